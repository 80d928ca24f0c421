//! A template and a running region: what is to be done, and doing it.
//!
//! A run goes through the resources twice. The first time it only looks: every value is answered,
//! ids of what is not there yet stand in by name, and whatever is wrong with the template is found
//! before anything is made. The second time it acts, in the order of needs. What an earlier run
//! made is told by the region's records; each record is written as soon as its resource is there, so
//! a run that ends in the middle can be repeated.
//!
//! When the region refuses a resource, what needs it is left out and nothing is deleted; the rest of
//! the template goes on only when the refusal says that this gateway cannot serve it yet, for then
//! the template is right.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};

use super::calls::{self, Born, CallError, Place, Wanted};
use super::document::{Expanded, Settings, Site, Skipped, Template};
use super::foreign::Made;
use super::functions::{Mode, plain_text};
use super::kinds::{self, Kind, Update};
use super::{Fault, Object, order, text};
use crate::admin::stacks::STACKS_PATH;
use crate::model::problem::Problems;

pub use super::calls::{Answer, Door};

/// AWS's public suffix; `AWS::URLSuffix`.
pub(super) const URL_SUFFIX: &str = "amazonaws.com";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The template; nothing was changed.
    #[error("{0}")]
    Template(Problems),
    /// The region cannot be reached, or does not let us in.
    #[error("{0}")]
    Region(String),
}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Created,
    Updated,
    /// Another one in its place.
    Replaced,
    Unchanged,
    Deleted,
    /// Gone from the template, but its `DeletionPolicy` keeps it.
    Kept,
    /// Refused by the region, in its words.
    Failed(String),
    /// The template is right, but nothing here can serve it yet.
    NotBuilt(String),
    /// Left out, since this resource was refused and it needs that, or the run ended there.
    Waits(String),
}

/// One resource in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    pub kind: String,
    /// What `Ref` answers; empty where nothing was made.
    pub reference: String,
    pub done: Done,
}

/// What a run did, or would do.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub lines: Vec<Line>,
    pub skipped: Vec<Skipped>,
    /// The template's outputs, or why one has no value.
    pub outputs: Vec<(String, Result<String, String>)>,
}

impl Report {
    /// Whether everything is as the template says.
    pub fn is_good(&self) -> bool {
        !self
            .lines
            .iter()
            .any(|line| matches!(line.done, Done::Failed(_) | Done::NotBuilt(_) | Done::Waits(_)))
    }

    /// How many lines say this.
    pub fn count(&self, wanted: &Done) -> usize {
        self.lines.iter().filter(|line| line.done == *wanted).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { id, kind, reference, done } in &self.lines {
            let (word, why) = match done {
                Done::Created => ("created", None),
                Done::Updated => ("updated", None),
                Done::Replaced => ("replaced", None),
                Done::Unchanged => ("unchanged", None),
                Done::Deleted => ("deleted", None),
                Done::Kept => ("kept", None),
                Done::Failed(why) => ("FAILED", Some(why.clone())),
                Done::NotBuilt(why) => ("NOT BUILT", Some(why.clone())),
                Done::Waits(other) => ("left out", Some(format!("{other} was refused"))),
            };
            write!(out, "{word:<10} {id} ({kind})")?;
            if !reference.is_empty() {
                write!(out, " {reference}")?;
            }
            match why {
                Some(why) => writeln!(out, ": {why}")?,
                None => writeln!(out)?,
            }
        }
        for Skipped { id, kind, why } in &self.skipped {
            writeln!(out, "{:<10} {id} ({kind}): {why}", "skipped")?;
        }
        for (name, value) in &self.outputs {
            match value {
                Ok(value) => writeln!(out, "{:<10} {name} = {value}", "output")?,
                Err(why) => writeln!(out, "{:<10} {name}: {why}", "output")?,
            }
        }
        Ok(())
    }
}

/// What an earlier run made.
#[derive(Clone, Debug, Default)]
struct Record {
    kind: String,
    reference: String,
    place: Place,
    properties: Object,
    members: Object,
    attributes: Object,
    /// Its place in the order of that run.
    rank: u64,
    is_kept: bool,
}

/// Brings a region to what a template says; with `only_look` tells what would be done.
///
/// # Errors
/// The template is wrong, and nothing was changed; or the region cannot be asked.
pub async fn apply(
    template: &Template,
    settings: &Settings,
    door: &dyn Door,
    only_look: bool,
) -> Result<Report, ApplyError> {
    let told = ask(door, Method::GET, &settings.stack, None, Bytes::new()).await?;
    let of = |name: &str| told.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let site = Site {
        partition: of("partition"),
        aws_region: of("awsRegion"),
        account_id: of("accountId"),
        url_suffix: URL_SUFFIX.to_owned(),
    };
    let mut records = BTreeMap::new();
    for (id, record) in told.get("resources").and_then(Json::as_object).into_iter().flatten() {
        records.insert(id.clone(), Record::read(record));
    }
    // What somebody deleted meanwhile is made again.
    let mut gone = Vec::new();
    for (id, record) in &records {
        let Some(kind) = kinds::find(&record.kind) else { continue };
        let there = calls::is_there(door, kind, &record.place).await;
        if !there.map_err(|error| ApplyError::Region(format!("{id}: {error}")))? {
            gone.push(id.clone());
        }
    }
    let mut lost = BTreeMap::new();
    for id in gone {
        lost.extend(records.remove_entry(&id));
    }

    let mut report = Report::default();
    for looks in [true, false] {
        let expanded = template.expand(settings, &site).map_err(ApplyError::Template)?;
        let mut run = Run {
            template,
            stack: &settings.stack,
            site: &site,
            door,
            looks,
            records: records.clone(),
            lost: lost.clone(),
            report: Report { skipped: expanded.skipped.clone(), ..Report::default() },
            refused: BTreeSet::new(),
        };
        run.resources(&expanded).await?;
        run.outputs(&expanded);
        report = run.report;
        if only_look {
            break;
        }
    }
    Ok(report)
}

/// Checks a template without any region, as for region `us-east-1` of account `000000000000`.
///
/// # Errors
/// What is wrong with it.
pub fn check(template: &Template, settings: &Settings) -> Result<Vec<Skipped>, Problems> {
    let site = Site {
        partition: "aws".to_owned(),
        aws_region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        url_suffix: URL_SUFFIX.to_owned(),
    };
    let expanded = template.expand(settings, &site)?;
    for id in &expanded.order {
        let planned = Made::planned(id);
        let wanted = wanted(&expanded, id, &settings.stack, &site);
        wanted.map_err(|fault| template.problem(&fault))?;
        expanded.evaluator.made.borrow_mut().insert(id.clone(), planned);
    }
    Ok(expanded.skipped)
}

fn wanted<'a>(
    expanded: &'a Expanded,
    id: &'a str,
    stack: &'a str,
    site: &'a Site,
) -> Result<Wanted<'a>, Fault> {
    let resource = expanded.resources.get(id);
    let resource = resource.ok_or_else(|| Fault::of_resource(id, None, "it is not there"))?;
    let kind = kinds::find(&resource.kind);
    let kind = kind.ok_or_else(|| Fault::of_resource(id, None, "its type is not known"))?;
    let path = ["Resources", &resource.origin, "Properties"].map(str::to_owned);
    let given = Json::Object(resource.properties.clone());
    let answered = expanded.evaluator.answer(&given, &path, Mode::Late)?;
    let mut properties = answered.and_then(|all| all.as_object().cloned()).unwrap_or_default();
    if let Some(place) = properties.shift_remove("BodyS3Location") {
        let place = plain_text(&place).unwrap_or_default();
        let body = expanded.evaluator.includes.load(&place);
        let wrong = |why| Fault::of_resource(&resource.origin, Some("BodyS3Location"), why);
        properties.insert("Body".to_owned(), body.map_err(wrong)?);
    }
    Wanted::new(kind, id, (stack, site), properties)
}

struct Run<'a> {
    template: &'a Template,
    stack: &'a str,
    site: &'a Site,
    door: &'a dyn Door,
    /// Nothing is changed.
    looks: bool,
    /// What earlier runs made; those that were seen to are taken out.
    records: BTreeMap<String, Record>,
    /// Records of what is not there any more.
    lost: BTreeMap<String, Record>,
    report: Report,
    /// Logical ids that were not made.
    refused: BTreeSet<String>,
}

impl Run<'_> {
    async fn resources(&mut self, expanded: &Expanded) -> Result<(), ApplyError> {
        let needs = order::needs(&expanded.resources);
        // Where the run ended.
        let mut end: Option<String> = None;
        for (rank, id) in expanded.order.iter().enumerate() {
            let kind = expanded.resources.get(id).map_or("", |resource| resource.kind.as_str());
            let missing = needs.get(id).into_iter().flatten().find(|id| self.refused.contains(*id));
            if let Some(refused) = end.clone().or_else(|| missing.cloned()) {
                // Its record stays, and so does what it stands for.
                self.records.remove(id);
                self.refused.insert(id.clone());
                self.say(id, kind, "", Done::Waits(refused));
                continue;
            }
            let wanted =
                wanted(expanded, id, self.stack, self.site).map_err(|fault| self.wrong(&fault))?;
            let is_kept = expanded.resources.get(id).is_some_and(|resource| resource.is_kept);
            match self.one(&wanted, rank as u64, is_kept).await {
                Ok((made, done)) => {
                    self.say(id, kind, &made.id, done);
                    expanded.evaluator.made.borrow_mut().insert(id.clone(), made);
                }
                Err(CallError::Fault(fault)) => return Err(self.wrong(&fault)),
                Err(CallError::Way(reason)) => return Err(ApplyError::Region(reason)),
                Err(error) => {
                    self.refused.insert(id.clone());
                    let is_not_built = error.is_not_built();
                    if !is_not_built {
                        end = Some(id.clone());
                    }
                    let said = error.to_string();
                    let done = if is_not_built { Done::NotBuilt(said) } else { Done::Failed(said) };
                    self.say(id, kind, "", done);
                }
            }
        }
        if self.refused.is_empty() { self.clear().await } else { Ok(()) }
    }

    fn wrong(&self, fault: &Fault) -> ApplyError {
        ApplyError::Template(self.template.problem(fault).into())
    }

    fn say(&mut self, id: &str, kind: &str, reference: &str, done: Done) {
        let (id, kind, reference) = (id.to_owned(), kind.to_owned(), reference.to_owned());
        self.report.lines.push(Line { id, kind, reference, done });
    }

    async fn one(
        &mut self,
        wanted: &Wanted<'_>,
        rank: u64,
        is_kept: bool,
    ) -> Result<(Made, Done), CallError> {
        self.lost.remove(wanted.id);
        let properties = kept_properties(&wanted.properties);
        let Some(old) = self.records.remove(wanted.id) else {
            let made = self.create(wanted, rank, is_kept, properties).await?;
            return Ok((made, Done::Created));
        };
        let is_other = old.kind != wanted.kind.name || is_fixed(wanted.kind, &old, &properties);
        if is_other {
            let made = self.replace(wanted, old, rank, is_kept, properties).await?;
            return Ok((made, Done::Replaced));
        }
        let is_same = old.properties == properties;
        let made = Made {
            id: old.reference.clone(),
            attributes: attributes(wanted.kind, &old.reference, &old.attributes),
            is_imagined: false,
        };
        if !is_same && !self.looks {
            wanted.update(self.door, &old.members, &old.place).await?;
        }
        let members = wanted.members.clone();
        let new = Record { properties, members, rank, is_kept, ..old.clone() };
        if !is_same || new.rank != old.rank || new.is_kept != old.is_kept {
            self.remember(wanted.id, &new).await?;
        }
        Ok((made, if is_same { Done::Unchanged } else { Done::Updated }))
    }

    async fn create(
        &mut self,
        wanted: &Wanted<'_>,
        rank: u64,
        is_kept: bool,
        properties: Object,
    ) -> Result<Made, CallError> {
        if self.looks {
            return Ok(Made::planned(wanted.id));
        }
        let Born { id, place, attributes: answered } = wanted.create(self.door).await?;
        let attributes = attributes(wanted.kind, &id, &answered);
        let made = Made { id: id.clone(), attributes, is_imagined: false };
        let record = Record {
            kind: wanted.kind.name.to_owned(),
            reference: id,
            place,
            properties,
            members: wanted.members.clone(),
            attributes: answered,
            rank,
            is_kept,
        };
        self.remember(wanted.id, &record).await?;
        Ok(made)
    }

    /// Another resource in the place of one whose change asks for that. The old one is deleted when
    /// everything that used it uses the new one, unless both cannot be there at once.
    async fn replace(
        &mut self,
        wanted: &Wanted<'_>,
        old: Record,
        rank: u64,
        is_kept: bool,
        properties: Object,
    ) -> Result<Made, CallError> {
        let is_in_the_way = old.kind == wanted.kind.name
            && wanted
                .place("")
                .labels
                .iter()
                .all(|(name, value)| old.place.labels.get(name) == Some(value))
            && old.place.labels.len() == wanted.place("").labels.len();
        if is_in_the_way {
            if !self.looks
                && let Some(kind) = kinds::find(&old.kind)
            {
                calls::delete(self.door, kind, &old.place).await?;
            }
        } else {
            let aside = (0u32..)
                .map(|number| format!("{}.replaced{number}", wanted.id))
                .find(|name| !self.records.contains_key(name))
                .unwrap_or_default();
            self.remember(&aside, &old).await?;
            self.records.insert(aside, old);
        }
        self.create(wanted, rank, is_kept, properties).await
    }

    /// Deletes what the template does not have any more, the last made first.
    async fn clear(&mut self) -> Result<(), ApplyError> {
        for id in std::mem::take(&mut self.lost).into_keys() {
            self.forget(&id).await?;
        }
        let mut rest: Vec<(String, Record)> =
            std::mem::take(&mut self.records).into_iter().collect();
        rest.sort_by_key(|(_, record)| std::cmp::Reverse(record.rank));
        for (id, record) in rest {
            let mut done = if record.is_kept { Done::Kept } else { Done::Deleted };
            if !record.is_kept
                && !self.looks
                && let Some(kind) = kinds::find(&record.kind)
            {
                match calls::delete(self.door, kind, &record.place).await {
                    Ok(()) => {}
                    Err(CallError::Way(reason)) => return Err(ApplyError::Region(reason)),
                    Err(error) => done = Done::Failed(error.to_string()),
                }
            }
            if !matches!(done, Done::Failed(_)) {
                self.forget(&id).await?;
            }
            self.say(&id, &record.kind, &record.reference, done);
        }
        Ok(())
    }

    async fn remember(&self, id: &str, record: &Record) -> Result<(), CallError> {
        if self.looks {
            return Ok(());
        }
        let body = Bytes::from(record.write().to_string());
        let told = ask(self.door, Method::PUT, self.stack, Some(id), body).await;
        told.map(drop).map_err(|error| CallError::Way(error.to_string()))
    }

    async fn forget(&self, id: &str) -> Result<(), ApplyError> {
        if self.looks {
            return Ok(());
        }
        ask(self.door, Method::DELETE, self.stack, Some(id), Bytes::new()).await.map(drop)
    }

    fn outputs(&mut self, expanded: &Expanded) {
        for (name, output) in &expanded.outputs {
            let path = ["Outputs".to_owned(), name.clone()];
            if let Some(condition) = output.get("Condition").and_then(Json::as_str)
                && !expanded.evaluator.named_condition(condition, &path, 0).unwrap_or(true)
            {
                continue;
            }
            let value = output.get("Value").cloned().unwrap_or(Json::Null);
            let value = match expanded.evaluator.answer(&value, &path, Mode::Late) {
                Ok(Some(value)) => Ok(plain_text(&value).unwrap_or_else(|| value.to_string())),
                Ok(None) => Err("it has no value".to_owned()),
                Err(fault) => Err(fault.message),
            };
            self.report.outputs.push((name.clone(), value));
        }
    }
}

/// Properties as a record has them: of a definition only its hash, which tells whether it changed.
fn kept_properties(properties: &Object) -> Object {
    let mut kept = properties.clone();
    if let Some(definition) = kept.get_mut("Body") {
        *definition = Json::from(hash(&definition.to_string()));
    }
    kept
}

/// SHA-256 in hexadecimal.
pub(super) fn hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_fixed(kind: &Kind, old: &Record, new: &Object) -> bool {
    let changed = |name: &str| old.properties.get(name) != new.get(name);
    let any = old.properties != *new;
    kind.fixed.iter().any(|name| changed(name)) || any && kind.update == Update::Never
}

/// What `Fn::GetAtt` can ask of a resource of ours: the answer's members under the names that
/// templates have for them.
fn attributes(kind: &Kind, id: &str, answered: &Object) -> Object {
    /// Attributes that are not the member of that name.
    const NAMED: [(&str, &str); 5] = [
        ("DistributionHostedZoneId", "distributionHostedZoneId"),
        ("RegionalHostedZoneId", "regionalHostedZoneId"),
        ("RootResourceId", "rootResourceId"),
        ("DomainNameArn", "domainNameArn"),
        ("ApiEndpoint", "apiEndpoint"),
    ];
    let mut found = Object::new();
    for (member, value) in answered.iter().filter(|(_, value)| plain_text(value).is_some()) {
        let mut letters = member.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        found.insert(first.into_iter().chain(letters).collect(), value.clone());
    }
    for (name, member) in NAMED {
        if let Some(value) = answered.get(member) {
            found.insert(name.to_owned(), value.clone());
        }
    }
    // v2's domain names tell these of their first configuration.
    if let Some(first) = answered.get("domainNameConfigurations").and_then(|all| all.get(0)) {
        for (name, member) in [
            ("RegionalDomainName", "apiGatewayDomainName"),
            ("RegionalHostedZoneId", "hostedZoneId"),
        ] {
            found.extend(first.get(member).map(|value| (name.to_owned(), value.clone())));
        }
    }
    let own = kind.name.rsplit("::").next().unwrap_or_default();
    for name in [format!("{own}Id"), "Id".to_owned(), "APIKeyId".to_owned()] {
        found.entry(name).or_insert_with(|| Json::from(id));
    }
    found
}

impl Record {
    fn read(record: &Json) -> Self {
        let object =
            |name: &str| record.get(name).and_then(Json::as_object).cloned().unwrap_or_default();
        let word =
            |name: &str| record.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let labels = object("labels");
        let labels = labels
            .iter()
            .filter_map(|(name, _)| Some((name.clone(), text(&labels, name)?.to_owned())));
        Self {
            kind: word("type"),
            reference: word("ref"),
            place: Place { labels: labels.collect(), domain_id: word("domainNameId") },
            properties: object("properties"),
            members: object("members"),
            attributes: object("attributes"),
            rank: record.get("rank").and_then(Json::as_u64).unwrap_or_default(),
            is_kept: record.get("kept").and_then(Json::as_bool).unwrap_or_default(),
        }
    }

    fn write(&self) -> Json {
        let labels: HashMap<&String, &String> = self.place.labels.iter().collect();
        json!({
            "type": self.kind,
            "ref": self.reference,
            "labels": labels,
            "domainNameId": self.place.domain_id,
            "properties": self.properties,
            "members": self.members,
            "attributes": self.attributes,
            "rank": self.rank,
            "kept": self.is_kept,
        })
    }
}

/// One request about the stack.
async fn ask(
    door: &dyn Door,
    method: Method,
    stack: &str,
    id: Option<&str>,
    body: Bytes,
) -> Result<Json, ApplyError> {
    let mut target = format!("{STACKS_PATH}{stack}");
    if let Some(id) = id {
        target.push('/');
        target.push_str(id);
    }
    let answer = door.call(method, &target, body).await.map_err(ApplyError::Region)?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let said = answer.body.get("message").and_then(Json::as_str).unwrap_or_default();
    let mut reason = format!("the region answers {} about stack `{stack}`: {said}", answer.status);
    if matches!(answer.status, 401 | 403) {
        reason.push_str(
            " (put an access key of the region's into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; \
             `tidegate iam create-key` makes one)",
        );
    }
    Err(ApplyError::Region(reason))
}
