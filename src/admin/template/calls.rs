//! One resource, made, changed, looked for and deleted by calls of the control plane.
//!
//! A resource that cannot be made whole is taken away again: a method without its integration would
//! serve nobody. What comes behind a creation (a definition's import, patches for what the creation
//! does not take) therefore happens here, too.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};

use super::document::Site;
use super::functions::plain_text;
use super::kinds::{ID, Id, Kind, Update};
use super::{Fault, Object, changes, shape, single, text};
use crate::admin::protocol::model::{Segment, Service};

/// RFC 3986 section 2.3.
pub(in crate::admin) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stages answer that need what is not built.
const NOT_BUILT: &str = "not built yet";

/// A parameter of an address, and its value.
type Parameter = (String, String);

/// The control plane of a running region.
#[async_trait]
pub trait Door: Send + Sync {
    /// One request; `target` is path and query. An error is one of the way there.
    async fn call(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, String>;
}

/// What the control plane answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Json,
}

/// Why a resource is not as it should be.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{message}")]
    Refused { status: u16, message: String },
    #[error("{0}")]
    Way(String),
    #[error("{0}")]
    Fault(Fault),
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl CallError {
    /// The template is right, but this gateway cannot serve it today.
    pub(super) fn is_not_built(&self) -> bool {
        matches!(self, Self::Refused { status, message }
            if *status == 501 || message.contains(NOT_BUILT))
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// Where a resource is: what fills the paths of its operations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub(super) labels: BTreeMap<String, String>,
    /// A private domain name's id; empty for all else.
    pub(super) domain_id: String,
}

/// A resource with the values that it should have.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) kind: &'static Kind,
    /// The logical id.
    pub(super) id: &'a str,
    pub(super) properties: Object,
    /// Members of creation and patches; see [`shape::desired`].
    pub(super) members: Object,
    pub(super) stack: &'a str,
    pub(super) site: &'a Site,
}

/// What was made.
#[derive(Clone, Debug)]
pub(super) struct Born {
    /// The answer to `Ref`.
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) attributes: Object,
}

impl<'a> Wanted<'a> {
    /// Checks the properties and names what they leave unnamed.
    pub(super) fn new(
        kind: &'static Kind,
        id: &'a str,
        (stack, site): (&'a str, &'a Site),
        mut properties: Object,
    ) -> Result<Self, Fault> {
        name_it(kind, id, stack, &mut properties);
        for (_, property) in kind.labels.iter().filter(|(_, property)| *property != ID) {
            if *property != "BasePath" && properties.get(*property).and_then(plain_text).is_none() {
                let message = format!("{} needs the property `{property}`", kind.name);
                return Err(Fault::of_resource(id, None, message));
            }
        }
        let mut members = shape::desired(kind, id, &properties)?;
        if kind.name == "AWS::ApiGateway::Stage" {
            members.extend(stage_extras(id, &properties)?);
        }
        let wanted = Self { kind, id, properties, members, stack, site };
        // Wrong parts are to be found before anything is made.
        wanted.parts()?;
        wanted.stage_description()?;
        Ok(wanted)
    }

    /// Where it is, as far as its properties tell.
    pub(super) fn place(&self, own: &str) -> Place {
        let mut place = Place::default();
        for (label, property) in self.kind.labels {
            let given = self.properties.get(*property).and_then(plain_text);
            let value = match *property {
                ID if own.is_empty() => continue,
                ID => own.to_owned(),
                "BasePath" => {
                    given.filter(|path| !path.is_empty()).unwrap_or_else(|| "(none)".to_owned())
                }
                "HttpMethod" => given.unwrap_or_default().to_uppercase(),
                "DomainNameArn" => {
                    let arn = given.unwrap_or_default();
                    let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
                    let (name, id) = name.split_once('+').unwrap_or((&name, ""));
                    place.domain_id = id.to_owned();
                    name.to_owned()
                }
                _ => given.unwrap_or_default(),
            };
            place.labels.insert((*label).to_owned(), value);
        }
        place
    }

    /// Makes the resource, whole or not at all.
    pub(super) async fn create(&self, door: &dyn Door) -> Result<Born, CallError> {
        if self.kind.name == "AWS::ApiGateway::Account" {
            return self.account(door).await;
        }
        let place = self.place("");
        let mut taken = self.members.clone();
        taken.retain(|name, _| shape::takes(self.kind.service, self.kind.create, name));
        let answer = match (self.kind.name, self.properties.get("Body")) {
            ("AWS::ApiGatewayV2::Api", Some(definition)) => {
                let target = target(self.kind, "ImportApi", &place, &self.import_query())?;
                let body = single("body", json_text(definition));
                call(door, Method::PUT, &target, &body).await?
            }
            _ => {
                let mut body = taken;
                body.extend(self.stage_members()?);
                if !place.domain_id.is_empty() {
                    body.insert("domainNameId".to_owned(), Json::from(place.domain_id.as_str()));
                }
                invoke(door, self.kind, self.kind.create, &place, &Json::Object(body)).await?
            }
        };
        let born = self.born(answer)?;
        if let Err(error) = self.complete(door, &born).await {
            // The error that counts is the first one.
            delete(door, self.kind, &born.place).await.ok();
            return Err(error);
        }
        Ok(born)
    }

    fn born(&self, answer: Json) -> Result<Born, CallError> {
        let attributes = answer.as_object().cloned().unwrap_or_default();
        let own = match self.kind.id {
            Id::Answer(member) => text(&attributes, member).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let mut place = self.place(&own);
        if self.kind.name == "AWS::ApiGateway::DomainNameV2" {
            place.domain_id = text(&attributes, "domainNameId").unwrap_or_default().to_owned();
        }
        let id = match self.kind.id {
            Id::Answer(member) if own.is_empty() => {
                return Err(CallError::Way(format!("the region's answer has no `{member}`")));
            }
            Id::Answer(_) => own,
            Id::Property(name) => {
                self.properties.get(name).and_then(plain_text).unwrap_or_default()
            }
            Id::Labels(between) => {
                let values =
                    self.kind.labels.iter().filter_map(|(label, _)| place.labels.get(*label));
                values.map(String::as_str).collect::<Vec<_>>().join(between)
            }
        };
        Ok(Born { id, place, attributes })
    }

    /// What comes behind a creation.
    async fn complete(&self, door: &dyn Door, born: &Born) -> Result<(), CallError> {
        for part in self.parts()? {
            let mut place = born.place.clone();
            place.labels.extend(part.label.clone());
            invoke(door, self.kind, part.operation, &place, &Json::Object(part.body)).await?;
        }
        match (self.kind.name, self.properties.get("Body")) {
            ("AWS::ApiGateway::RestApi", Some(_)) => self.import(door, &born.place).await?,
            ("AWS::ApiGatewayV2::Api", Some(_)) => {
                self.set_members(door, &Object::new(), &born.place).await?;
                self.tag(door, &Object::new(), &born.place).await?;
            }
            _ => {
                let takes = |name: &str| shape::takes(self.kind.service, self.kind.create, name);
                let mut rest = self.members.clone();
                rest.retain(|name, _| !takes(name));
                self.patch(door, &Object::new(), &rest, &born.place).await?;
            }
        }
        if let Some((stage, settings)) = self.stage_description()? {
            let place = Place {
                labels: born.place.labels.clone().into_iter().chain([stage]).collect(),
                ..Place::default()
            };
            let operations = changes::operations(&Object::new(), &settings);
            patch(door, Service::V1, "UpdateStage", &place, operations).await?;
        }
        Ok(())
    }

    /// Changes the resource in its place. `old` has the members that it was given before.
    pub(super) async fn update(
        &self,
        door: &dyn Door,
        old: &Object,
        place: &Place,
    ) -> Result<(), CallError> {
        match self.kind.update {
            Update::Again if self.kind.name == "AWS::ApiGateway::Account" => {
                self.account(door).await.map(drop)
            }
            Update::Again => {
                let body = Json::Object(self.members.clone());
                invoke(door, self.kind, self.kind.create, place, &body).await.map(drop)
            }
            Update::Remake => {
                delete(door, self.kind, place).await?;
                self.create(door).await.map(drop)
            }
            Update::Never => Ok(()),
            Update::Patch(_) => {
                self.patch(door, old, &self.members, place).await?;
                self.tag(door, old, place).await?;
                if self.properties.contains_key("Body") {
                    self.import(door, place).await?;
                }
                Ok(())
            }
            Update::Members(_) => {
                let mut old = old.clone();
                if let Some(definition) = self.properties.get("Body") {
                    let target = target(self.kind, "ReimportApi", place, &self.import_query())?;
                    let body = single("body", json_text(definition));
                    call(door, Method::PUT, &target, &body).await?;
                    // The definition has set everything anew; those that are gone stay gone.
                    old.retain(|name, _| !self.members.contains_key(name) || name == "tags");
                }
                self.set_members(door, &old, place).await?;
                self.tag(door, &old, place).await
            }
        }
    }

    async fn patch(
        &self,
        door: &dyn Door,
        old: &Object,
        new: &Object,
        place: &Place,
    ) -> Result<(), CallError> {
        let Update::Patch(operation) = self.kind.update else { return Ok(()) };
        let operations = changes::operations(old, new);
        patch(door, self.kind.service, operation, place, operations).await
    }

    async fn set_members(
        &self,
        door: &dyn Door,
        old: &Object,
        place: &Place,
    ) -> Result<(), CallError> {
        let Update::Members(operation) = self.kind.update else { return Ok(()) };
        let mut changed = changes::changed_members(old, &self.members);
        changed.retain(|name, _| shape::takes(self.kind.service, operation, name));
        if changed.is_empty() {
            return Ok(());
        }
        invoke(door, self.kind, operation, place, &Json::Object(changed)).await.map(drop)
    }

    /// Imports the definition into an API that is there, and sets again what the template says
    /// itself, which counts more than the definition.
    async fn import(&self, door: &dyn Door, place: &Place) -> Result<(), CallError> {
        let Some(definition) = self.properties.get("Body") else { return Ok(()) };
        let mode = text(&self.properties, "Mode").unwrap_or("overwrite").to_owned();
        let mut query = self.import_query();
        query.push(("mode".to_owned(), mode));
        let target = target(self.kind, "PutRestApi", place, &query)?;
        let body = Bytes::from(json_text(definition));
        let answer = door.call(Method::PUT, &target, body).await.map_err(CallError::Way)?;
        let now = read_answer(answer)?;
        // Only what the template says is set again, in tables within, too.
        let mut known = now.as_object().cloned().unwrap_or_default();
        known.retain(|name, _| self.members.contains_key(name));
        for (name, value) in &mut known {
            let own = self.members.get(name).and_then(Json::as_object);
            if let (Some(value), Some(own)) = (value.as_object_mut(), own) {
                value.retain(|name, _| own.contains_key(name));
            }
        }
        self.patch(door, &known, &self.members, place).await
    }

    fn import_query(&self) -> Vec<(String, String)> {
        let mut query = Vec::new();
        let given = |name: &str| self.properties.get(name).and_then(plain_text);
        let fails = match self.kind.service {
            Service::V1 => "failonwarnings",
            Service::V2 => "failOnWarnings",
        };
        query.extend(given("FailOnWarnings").map(|flag| (fails.to_owned(), flag)));
        query.extend(given("BasePath").map(|path| ("basepath".to_owned(), path)));
        if let Some(Json::Object(parameters)) = self.properties.get("Parameters") {
            query.extend(
                parameters
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), plain_text(value)?))),
            );
        }
        query
    }

    /// Brings tags from what they were to what they should be.
    async fn tag(&self, door: &dyn Door, old: &Object, place: &Place) -> Result<(), CallError> {
        let of = |members: &Object| {
            members.get("tags").and_then(Json::as_object).cloned().unwrap_or_default()
        };
        let (was, is) = (of(old), of(&self.members));
        if was == is {
            return Ok(());
        }
        let path = target(self.kind, self.kind.read, place, &[])?;
        let (partition, region) = (&self.site.partition, &self.site.aws_region);
        let path = path.strip_prefix("/v2").unwrap_or(&path);
        let arn = format!("arn:{partition}:apigateway:{region}::{path}");
        let arn = utf8_percent_encode(&arn, UNRESERVED);
        let (base, method) = match self.kind.service {
            Service::V1 => (format!("/tags/{arn}"), Method::PUT),
            Service::V2 => (format!("/v2/tags/{arn}"), Method::POST),
        };
        let gone: Vec<String> = was
            .keys()
            .filter(|key| !is.contains_key(*key))
            .map(|key| format!("tagKeys={}", utf8_percent_encode(key, UNRESERVED)))
            .collect();
        if !gone.is_empty() {
            let target = format!("{base}?{}", gone.join("&"));
            call(door, Method::DELETE, &target, &Json::Null).await?;
        }
        if is.is_empty() {
            return Ok(());
        }
        call(door, method, &base, &single("tags", Json::Object(is))).await.map(drop)
    }

    async fn account(&self, door: &dyn Door) -> Result<Born, CallError> {
        let role = self.properties.get("CloudWatchRoleArn").and_then(plain_text);
        let operation = json!({
            "op": "replace", "path": "/cloudwatchRoleArn", "value": role.unwrap_or_default()
        });
        let place = Place::default();
        patch(door, Service::V1, "UpdateAccount", &place, vec![operation]).await?;
        let id = format!("{}-{}", self.stack, self.id);
        Ok(Born { id, place, attributes: Object::new() })
    }

    /// The calls that complete a method.
    fn parts(&self) -> Result<Vec<Part>, Fault> {
        if self.kind.name != "AWS::ApiGateway::Method" {
            return Ok(Vec::new());
        }
        let path =
            |name: &str| ["Resources", self.id, "Properties", name].map(str::to_owned).to_vec();
        let mut parts = Vec::new();
        let list = |value: Option<&Json>, at: &[String]| match value {
            None => Ok(Vec::new()),
            Some(Json::Array(items)) => Ok(items.clone()),
            Some(_) => Err(Fault::new(at, "a list is wanted")),
        };
        let at = path("MethodResponses");
        for item in list(self.properties.get("MethodResponses"), &at)? {
            parts.push(Part::of_status("PutMethodResponse", &item, &at)?);
        }
        let at = path("Integration");
        let Some(integration) = self.properties.get("Integration") else { return Ok(parts) };
        let Json::Object(integration) = integration else {
            return Err(Fault::new(&at, "a table is wanted"));
        };
        let apart = ["IntegrationResponses"];
        parts.push(Part {
            operation: "PutIntegration",
            label: None,
            body: shape::part(Service::V1, "PutIntegration", integration, &apart, &at)?,
        });
        for item in list(integration.get("IntegrationResponses"), &at)? {
            parts.push(Part::of_status("PutIntegrationResponse", &item, &at)?);
        }
        Ok(parts)
    }

    /// A deployment's `StageDescription`: its stage and what is set there.
    fn stage_description(&self) -> Result<Option<(Parameter, Object)>, Fault> {
        let given = self.properties.get("StageDescription").and_then(Json::as_object);
        let (Some(given), Some(stage)) = (given, text(&self.properties, "StageName")) else {
            return Ok(None);
        };
        let mut settings = stage_extras(self.id, given)?;
        let shorthand = method_setting(given);
        if !shorthand.is_empty() {
            let every = single("*/*", Json::Object(shorthand));
            let own = settings.insert("methodSettings".to_owned(), every);
            if let (Some(Json::Object(own)), Some(Json::Object(all))) =
                (own, settings.get_mut("methodSettings"))
            {
                all.extend(own);
            }
        }
        Ok(Some((("stage_name".to_owned(), stage.to_owned()), settings)))
    }

    /// What CreateDeployment says of its stage.
    fn stage_members(&self) -> Result<Object, Fault> {
        let Some(Json::Object(given)) = self.properties.get("StageDescription") else {
            return Ok(Object::new());
        };
        let path = ["Resources", self.id, "Properties", "StageDescription"].map(str::to_owned);
        let mut members = Object::new();
        for (name, value) in given {
            let taken = ["CacheClusterEnabled", "CacheClusterSize", "Variables", "TracingEnabled"];
            if name == "Description" {
                members.insert("stageDescription".to_owned(), value.clone());
            } else if taken.contains(&name.as_str()) {
                let one = Object::from_iter([(name.clone(), value.clone())]);
                members.extend(shape::part(Service::V1, "CreateDeployment", &one, &[], &path)?);
            }
        }
        Ok(members)
    }
}

/// A call behind a method's creation.
#[derive(Debug)]
struct Part {
    operation: &'static str,
    label: Option<(String, String)>,
    body: Object,
}

impl Part {
    fn of_status(operation: &'static str, item: &Json, at: &[String]) -> Result<Self, Fault> {
        let item = item.as_object();
        let status = item.and_then(|item| item.get("StatusCode").and_then(plain_text));
        let (Some(item), Some(status)) = (item, status) else {
            return Err(Fault::new(at, "each response needs a StatusCode"));
        };
        let body = shape::part(Service::V1, operation, item, &["StatusCode"], at)?;
        Ok(Self { operation, label: Some(("status_code".to_owned(), status)), body })
    }
}

/// Names that CloudFormation makes up where a template has none.
fn name_it(kind: &Kind, id: &str, stack: &str, properties: &mut Object) {
    let title = |properties: &Object| {
        properties.get("Body")?.get("info")?.get("title").and_then(plain_text)
    };
    let own = format!("{stack}-{id}");
    let (property, value) = match kind.name {
        "AWS::ApiGateway::RestApi" | "AWS::ApiGatewayV2::Api" => {
            if kind.service == Service::V2 && !properties.contains_key("Body") {
                return;
            }
            ("Name", title(properties).unwrap_or(own))
        }
        "AWS::ApiGateway::Model" => {
            ("Name", own.chars().filter(char::is_ascii_alphanumeric).collect())
        }
        "AWS::ApiGateway::UsagePlan" => ("UsagePlanName", own),
        "AWS::ApiGateway::ApiKey" => ("Name", own),
        _ => return,
    };
    properties.entry(property).or_insert_with(|| Json::from(value));
}

/// Members of a stage that only patches set.
fn stage_extras(id: &str, properties: &Object) -> Result<Object, Fault> {
    let mut extras = Object::new();
    if let Some(certificate) = properties.get("ClientCertificateId").and_then(plain_text) {
        extras.insert("clientCertificateId".to_owned(), Json::from(certificate));
    }
    if let Some(Json::Object(log)) = properties.get("AccessLogSetting") {
        let of = |name: &str| log.get(name).and_then(plain_text).unwrap_or_default();
        let settings = json!({"destinationArn": of("DestinationArn"), "format": of("Format")});
        extras.insert("accessLogSettings".to_owned(), settings);
    }
    let list = match properties.get("MethodSettings") {
        None => return Ok(extras),
        Some(Json::Array(list)) => list,
        Some(_) => {
            return Err(Fault::of_resource(id, Some("MethodSettings"), "a list is wanted"));
        }
    };
    let mut settings = Object::new();
    for item in list {
        let Json::Object(item) = item else {
            return Err(Fault::of_resource(
                id,
                Some("MethodSettings"),
                "a list of tables is wanted",
            ));
        };
        let path = text(item, "ResourcePath").unwrap_or("/*");
        let verb = text(item, "HttpMethod").unwrap_or("*");
        let key = match (path, verb) {
            ("/*" | "*", "*") => "*/*".to_owned(),
            // Written escaped or plain.
            (path, verb) if path.contains("~1") => {
                format!("{}/{verb}", path.trim_start_matches('/'))
            }
            (path, verb) => format!("{}/{verb}", path.replace('/', "~1")),
        };
        settings.insert(key, Json::Object(method_setting(item)));
    }
    extras.insert("methodSettings".to_owned(), Json::Object(settings));
    Ok(extras)
}

/// Settings by the end of the path that patches them.
fn method_setting(item: &Object) -> Object {
    const SETTINGS: [(&str, &str); 8] = [
        ("CacheDataEncrypted", "caching/dataEncrypted"),
        ("CacheTtlInSeconds", "caching/ttlInSeconds"),
        ("CachingEnabled", "caching/enabled"),
        ("DataTraceEnabled", "logging/dataTrace"),
        ("LoggingLevel", "logging/loglevel"),
        ("MetricsEnabled", "metrics/enabled"),
        ("ThrottlingBurstLimit", "throttling/burstLimit"),
        ("ThrottlingRateLimit", "throttling/rateLimit"),
    ];
    let found = SETTINGS.iter().filter_map(|(name, path)| {
        let value = item.get(*name).and_then(plain_text)?;
        Some(((*path).to_owned(), Json::from(value)))
    });
    found.collect()
}

// ---- calls

/// Whether the resource is there; where nothing can be asked, it is.
pub(super) async fn is_there(
    door: &dyn Door,
    kind: &Kind,
    place: &Place,
) -> Result<bool, CallError> {
    if kind.read.is_empty() {
        return Ok(true);
    }
    match invoke(door, kind, kind.read, place, &Json::Null).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_gone() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes the resource; one that is gone already is as good.
pub(super) async fn delete(door: &dyn Door, kind: &Kind, place: &Place) -> Result<(), CallError> {
    if kind.delete.is_empty() {
        return Ok(());
    }
    if kind.name == "AWS::ApiGateway::UsagePlan" {
        release_stages(door, kind, place).await?;
    }
    match invoke(door, kind, kind.delete, place, &Json::Null).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_gone() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A usage plan with stages is not deleted.
async fn release_stages(door: &dyn Door, kind: &Kind, place: &Place) -> Result<(), CallError> {
    let plan = match invoke(door, kind, kind.read, place, &Json::Null).await {
        Ok(Json::Object(plan)) => plan,
        Ok(_) => return Ok(()),
        Err(error) if error.is_gone() => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut stages = plan;
    stages.retain(|name, _| name == "apiStages");
    let operations = changes::operations(&stages, &Object::new());
    patch(door, kind.service, "UpdateUsagePlan", place, operations).await
}

async fn patch(
    door: &dyn Door,
    service: Service,
    operation: &str,
    place: &Place,
    operations: Vec<Json>,
) -> Result<(), CallError> {
    if operations.is_empty() {
        return Ok(());
    }
    let found = service.model().operation(operation);
    let found = found.ok_or_else(|| CallError::Way(format!("there is no {operation}")))?;
    let target = path_of(&found.path, place, &query_of(place))?;
    call(door, Method::PATCH, &target, &json!({ "patchOperations": operations })).await.map(drop)
}

async fn invoke(
    door: &dyn Door,
    kind: &Kind,
    operation: &str,
    place: &Place,
    body: &Json,
) -> Result<Json, CallError> {
    let found = kind.service.model().operation(operation);
    let found = found.ok_or_else(|| CallError::Way(format!("there is no {operation}")))?;
    let query = if operation == kind.create { Vec::new() } else { query_of(place) };
    call(door, found.method.clone(), &path_of(&found.path, place, &query)?, body).await
}

/// Path and query of an operation.
fn target(
    kind: &Kind,
    operation: &str,
    place: &Place,
    query: &[(String, String)],
) -> Result<String, CallError> {
    let found = kind.service.model().operation(operation);
    let found = found.ok_or_else(|| CallError::Way(format!("there is no {operation}")))?;
    path_of(&found.path, place, query)
}

fn query_of(place: &Place) -> Vec<(String, String)> {
    match place.domain_id.is_empty() {
        true => Vec::new(),
        false => vec![("domainNameId".to_owned(), place.domain_id.clone())],
    }
}

fn path_of(
    path: &[Segment],
    place: &Place,
    query: &[(String, String)],
) -> Result<String, CallError> {
    let mut target = String::new();
    for segment in path {
        target.push('/');
        match segment {
            Segment::Fixed(text) => target.push_str(text),
            Segment::Label(name) | Segment::Greedy(name) => {
                let value = place.labels.get(&**name).filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| CallError::Way(format!("`{name}` is empty")))?;
                target.extend(utf8_percent_encode(value, UNRESERVED));
            }
        }
    }
    for (at, (name, value)) in query.iter().enumerate() {
        let name = utf8_percent_encode(name, UNRESERVED);
        let value = utf8_percent_encode(value, UNRESERVED);
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(&format!("{name}={value}"));
    }
    Ok(target)
}

async fn call(
    door: &dyn Door,
    method: Method,
    target: &str,
    body: &Json,
) -> Result<Json, CallError> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    read_answer(door.call(method, target, body).await.map_err(CallError::Way)?)
}

fn read_answer(answer: Answer) -> Result<Json, CallError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let said = answer.body.get("message").or_else(|| answer.body.get("Message"));
    let message = said.and_then(Json::as_str).unwrap_or("no reason was given").to_owned();
    Err(CallError::Refused { status: answer.status, message })
}

fn json_text(definition: &Json) -> String {
    definition.as_str().map_or_else(|| definition.to_string(), str::to_owned)
}
