//! What should be served, given everything the control plane was told?
//!
//! Every REST stage with what its deployment froze, and the custom domain names mapped to it. What
//! did not change since the last time is recognised by the revision of its stage and its domains,
//! and is neither read nor compiled again. A stage that cannot be served is left out, so it answers
//! as an unknown one; its reason is told once, and the others are served.
//!
//! Not here: when to look, which is the business of whoever watches the store's revision; stages of
//! HTTP and WebSocket APIs, which are not served yet.
//!
//! AWS: API Gateway REST API Reference, "Stage", "BasePathMapping", "DomainName"; Developer Guide,
//! "Custom domain name for public REST APIs in API Gateway".

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use crate::admin::rest::domain_names;
use crate::deployment::definition::{
    Limits, Unserved, add_canary, canary_deployment_id, stage_deployment,
};
use crate::deployment::{Changed, Deployments, Fingerprint, Wanted};
use crate::model::ids::{ApiId, StageName};
use crate::model::stage::{
    BasePathMapping, DomainCertificate, HeaderCondition, RoutingRule, RuleCondition,
    StageDeployment,
};
use crate::node::backing::{self, Links};
use crate::node::config::{Doors, TimeoutsConfig};
use crate::store::control::{Body, Kind, Object, State};
use crate::store::parts::PartRef;

/// The id of a mapping without a base path (recorded).
const NO_BASE_PATH: &str = "(none)";
/// The routing mode that leaves base path mappings out.
const RULES_ONLY: &str = "ROUTING_RULE_ONLY";

/// What the last look found, so that the next tells only what is new.
#[derive(Debug, Default)]
pub struct Known {
    stages: HashMap<Key, Verdict>,
    /// Reasons by what they are about.
    told: HashMap<String, String>,
}

type Key = (ApiId, StageName);

#[derive(Debug)]
struct Verdict {
    fingerprint: Fingerprint,
    /// Why it is not served.
    refused: Option<String>,
}

/// What should be served.
#[derive(Debug, Default)]
pub struct Plan {
    pub wanted: Vec<Wanted>,
    /// Only what was not told before.
    pub unserved: Vec<NotServed>,
}

/// Something that was told to the control plane and is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotServed {
    /// Such as `API a1b2c3d4e5, stage prod`.
    pub what: String,
    pub reason: String,
}

/// What a publication did.
#[derive(Debug, Default)]
pub struct Published {
    /// Stages that were compiled.
    pub compiled: Vec<PartRef>,
    /// What is not served, and was not told before.
    pub unserved: Vec<NotServed>,
}

/// Puts a state in force under its epoch. Blocks for as long as compiling what changed takes.
pub fn publish(
    deployments: &Deployments,
    epoch: u64,
    state: &State,
    known: &mut Known,
    doors: Doors,
    timeouts: &TimeoutsConfig,
) -> Published {
    let plan = from_state(state, known, doors, timeouts);
    let mut unserved = plan.unserved;
    let changed = deployments.publish_changed(epoch, plan.wanted).or_else(|_| {
        // Somebody else has published in between: everything is given anew.
        known.stages.clear();
        let plan = from_state(state, known, doors, timeouts);
        unserved.extend(plan.unserved);
        deployments.publish_changed(epoch, plan.wanted)
    });
    // The second plan leaves no content out, so that nothing can be forgotten.
    let Changed { compiled, failed } = changed.unwrap_or_default();
    for failed in failed {
        let what = name(&failed.api, &failed.stage);
        // Not remembered, so that the next look tries again.
        known.stages.remove(&(failed.api, failed.stage));
        unserved.extend(known.tell(what, format!("it stays as it was: {}", failed.error)));
    }
    Published { compiled, unserved }
}

/// What should be served of a state. The contents of stages that `known` has are left out.
pub fn from_state(
    state: &State,
    known: &mut Known,
    doors: Doors,
    timeouts: &TimeoutsConfig,
) -> Plan {
    let most = timeouts.integration_max.as_millis();
    let limits = Limits { integration_timeout_max_ms: u32::try_from(most).unwrap_or(u32::MAX) };
    let mut plan = Plan::default();
    let mut seen = HashSet::new();
    let mut reasons = Vec::new();
    let mut domains = domains(state, &mut reasons);
    let links = backing::links(state);
    let mut stages: Vec<_> = state.all(Kind::Stage).collect();
    stages.sort_unstable_by_key(|(api, name, _)| (*api, *name));
    for (api, name, object) in stages {
        let key = (ApiId::new(api), StageName::new(name));
        let places = domains.remove(&key).unwrap_or_default();
        let found = FoundStage { state, api, object, places, links: &links };
        seen.insert(key.clone());
        let fingerprint = match found.fingerprint() {
            Ok(fingerprint) => fingerprint,
            Err(err) => {
                reasons.push((self::name(&key.0, &key.1), err));
                continue;
            }
        };
        let verdict = known.stages.get(&key).filter(|had| had.fingerprint == fingerprint);
        let (refused, content) = match verdict {
            Some(had) => (had.refused.clone(), None),
            None => match found.content(doors, &limits) {
                Ok(content) => (None, Some(Box::new(content))),
                Err(reason) => (Some(reason), None),
            },
        };
        match &refused {
            Some(reason) => reasons.push((self::name(&key.0, &key.1), reason.clone())),
            None => plan.wanted.push(Wanted {
                api: key.0.clone(),
                stage: key.1.clone(),
                fingerprint,
                content,
            }),
        }
        known.stages.insert(key, Verdict { fingerprint, refused });
    }
    known.stages.retain(|key, _| seen.contains(key));
    let about: HashSet<&str> = reasons.iter().map(|(what, _)| what.as_str()).collect();
    known.told.retain(|what, _| about.contains(what.as_str()));
    for (what, reason) in reasons {
        plan.unserved.extend(known.tell(what, reason));
    }
    plan
}

impl Known {
    /// The message, unless it was told before.
    fn tell(&mut self, what: String, reason: String) -> Option<NotServed> {
        let before = self.told.insert(what.clone(), reason.clone());
        (before.as_ref() != Some(&reason)).then_some(NotServed { what, reason })
    }
}

fn name(api: &ApiId, stage: &StageName) -> String {
    format!("API {api}, stage {stage}")
}

/// A stage as the state has it.
struct FoundStage<'s> {
    state: &'s State,
    api: &'s str,
    object: &'s Object,
    places: Places,
    /// All there are.
    links: &'s Links,
}

impl FoundStage<'_> {
    fn deployment_id(&self) -> &str {
        text(&self.object.body, "deploymentId")
    }

    /// A deployment never changes, so its id stands for it.
    fn fingerprint(&self) -> Result<Fingerprint, String> {
        #[derive(Serialize)]
        struct Ingredients<'i> {
            revision: u64,
            deployment: &'i str,
            places: &'i Places,
            links: Option<&'i Links>,
            certificate: Option<u64>,
        }
        let ingredients = Ingredients {
            revision: self.object.revision,
            deployment: self.deployment_id(),
            places: &self.places,
            // A link may be made after the deployment that names it.
            links: self.names_links().then_some(self.links),
            certificate: backing::certificate(self.state, &self.object.body)
                .map(|certificate| certificate.revision),
        };
        Fingerprint::of(&ingredients).map_err(|err| err.to_string())
    }

    /// Whether its deployment may call through a VPC link. Mostly there are no links at all, and no
    /// deployment has to be searched.
    fn names_links(&self) -> bool {
        if self.links.is_empty() {
            return false;
        }
        let ids = [Some(self.deployment_id()), canary_deployment_id(&self.object.body)];
        ids.into_iter().flatten().any(|id| {
            let kept = self.state.get(Kind::DeploymentDefinition, self.api, id);
            kept.is_some_and(|kept| text(&kept.body, "definition").contains(backing::VPC_LINK))
        })
    }

    /// What a deployment of the API froze.
    fn definition(&self, id: &str) -> Result<Value, String> {
        let kept = self.state.get(Kind::DeploymentDefinition, self.api, id);
        let kept = kept.ok_or_else(|| format!("there is no deployment `{id}`"))?;
        serde_json::from_str(text(&kept.body, "definition"))
            .map_err(|err| format!("deployment `{id}` cannot be read: {err}"))
    }

    fn content(&self, doors: Doors, limits: &Limits) -> Result<StageDeployment, String> {
        let id = self.deployment_id();
        let definition = self.definition(id)?;
        let (stage, places) = (&self.object.body, self.places.clone());
        let mut deployment = stage_deployment(&definition, stage, places.mappings, limits)
            .map_err(|why| joined(&why))?;
        deployment.routing_rules = places.rules;
        if let Some(id) = canary_deployment_id(stage) {
            let definition = self.definition(id)?;
            add_canary(&mut deployment, &definition, stage, limits).map_err(|why| joined(&why))?;
        }
        let canary = deployment.stage.canary.as_ref().map(|canary| &canary.api.id);
        if [Some(&deployment.api.id), canary].iter().flatten().any(|api| api.as_str() != self.api) {
            return Err(format!("deployment `{id}` or its canary's is another API's"));
        }
        backing::put_in(self.state, &self.object.body, self.links, &mut deployment)?;
        match doors.remedy(deployment.api.endpoint_type) {
            None => Ok(deployment),
            Some(remedy) => Err(format!(
                "the API is {}, and nothing listens for that (in the topology, {remedy}, or give \
                 the API another endpoint type)",
                deployment.api.endpoint_type.as_str()
            )),
        }
    }
}

fn joined(places: &[Unserved]) -> String {
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    places.join("; ")
}

/// What custom domains say of one stage.
#[derive(Clone, Debug, Default, Serialize)]
struct Places {
    mappings: Vec<BasePathMapping>,
    rules: Vec<RoutingRule>,
}

/// Custom domains by the stage they lead to.
fn domains(state: &State, reasons: &mut Vec<(String, String)>) -> HashMap<Key, Places> {
    let mut found: HashMap<Key, Places> = HashMap::new();
    let mut names: Vec<_> = state.all(Kind::DomainName).collect();
    names.sort_unstable_by_key(|(scope, name, _)| (*scope, *name));
    for (_, name, object) in names {
        let what = || format!("domain name {name}");
        if let Some(reason) = unserved_domain(&object.body) {
            reasons.push((what(), reason.to_owned()));
            continue;
        }
        let rules = match routing_rules(state, name, &object.body) {
            Ok(rules) => rules,
            Err(reason) => {
                reasons.push((what(), reason));
                continue;
            }
        };
        for (key, rule) in rules {
            found.entry(key).or_default().rules.push(rule);
        }
        if text(&object.body, "routingMode") == RULES_ONLY {
            continue;
        }
        for (key, mapping) in mappings(state, name, certificate(&object.body).as_ref()) {
            found.entry(key).or_default().mappings.push(mapping);
        }
    }
    found
}

/// What was uploaded for a domain; one that has only an ARN is served with the topology's files.
fn certificate(domain: &Body) -> Option<DomainCertificate> {
    let own = |name: &str| Some(text(domain, name)).filter(|text| !text.is_empty());
    let chain = own(domain_names::CERTIFICATES)?.to_owned();
    Some(DomainCertificate { chain, key: own(domain_names::PRIVATE_KEY)?.to_owned() })
}

/// A domain that asks more of its callers than we can check is not served at all.
fn unserved_domain(domain: &Body) -> Option<&'static str> {
    let mutual = domain.get("mutualTlsAuthentication");
    let truststore = mutual.and_then(|mutual| mutual.get("truststoreUri")).and_then(Value::as_str);
    if truststore.is_some_and(|uri| !uri.is_empty()) {
        return Some("mutual TLS of a custom domain is not built yet");
    }
    if !text(domain, "policy").is_empty() {
        return Some("a policy of a custom domain is not built yet");
    }
    let types = domain.get("endpointConfiguration").and_then(|own| own.get("types"));
    let mut types = types.and_then(Value::as_array).into_iter().flatten();
    if types.any(|kind| kind == "PRIVATE") {
        return Some("private custom domains are not built yet");
    }
    None
}

/// The rules of a domain whose mode asks for them, with the stages they lead to.
///
/// # Errors
/// A rule that cannot be read: to leave it out would be to lead its callers elsewhere.
fn routing_rules(
    state: &State,
    name: &str,
    domain: &Body,
) -> Result<Vec<(Key, RoutingRule)>, String> {
    let mode = text(domain, "routingMode");
    let is_rules_only = mode == RULES_ONLY;
    if !is_rules_only && !mode.starts_with("ROUTING_RULE_THEN_") {
        return Ok(Vec::new());
    }
    let certificate = certificate(domain);
    let rules = state.list(Kind::RoutingRule, name).map(|(id, object)| {
        let read = routing_rule(&object.body);
        let (key, mut rule) = read.ok_or_else(|| format!("its routing rule {id} is none"))?;
        rule.domain_name = name.to_ascii_lowercase();
        rule.id = id.to_string();
        rule.is_rules_only = is_rules_only;
        rule.certificate.clone_from(&certificate);
        Ok((key, rule))
    });
    rules.collect()
}

/// A rule as the control plane keeps it; what belongs to its domain is left open.
fn routing_rule(body: &Body) -> Option<(Key, RoutingRule)> {
    let priority = body.get("priority")?.as_u64()?;
    let action = body.get("actions")?.as_array()?.first()?.get("invokeApi")?;
    let target = |name: &str| action.get(name)?.as_str();
    let any =
        |condition: &Value, kind: &str| condition.get(kind)?.get("anyOf")?.as_array().cloned();
    let mut conditions = Vec::new();
    for condition in body.get("conditions")?.as_array()? {
        if let Some(headers) = any(condition, "matchHeaders") {
            let headers = headers.iter().map(|one| {
                Some(HeaderCondition {
                    header: one.get("header")?.as_str()?.to_owned(),
                    value_glob: one.get("valueGlob")?.as_str()?.to_owned(),
                })
            });
            conditions.push(RuleCondition::Headers(headers.collect::<Option<_>>()?));
        }
        if let Some(paths) = any(condition, "matchBasePaths") {
            let paths = paths.iter().map(|path| Some(path.as_str()?.to_owned()));
            conditions.push(RuleCondition::BasePaths(paths.collect::<Option<_>>()?));
        }
    }
    let rule = RoutingRule {
        domain_name: String::new(),
        id: String::new(),
        priority: u32::try_from(priority).ok()?,
        conditions,
        strips_base_path: action.get("stripBasePath").and_then(Value::as_bool).unwrap_or(false),
        is_rules_only: false,
        certificate: None,
    };
    Some(((ApiId::new(target("apiId")?), StageName::new(target("stage")?)), rule))
}

/// The base paths of a domain, with the stages they lead to. Where a mapping names no stage, the
/// next part of the path does: each stage of the API has it then.
fn mappings(
    state: &State,
    domain: &str,
    certificate: Option<&DomainCertificate>,
) -> Vec<(Key, BasePathMapping)> {
    let mut found = Vec::new();
    for (id, object) in state.list(Kind::BasePathMapping, domain) {
        let base_path = match &**id {
            NO_BASE_PATH => "",
            path => path.trim_matches('/'),
        };
        let api = text(&object.body, "restApiId");
        let named = Some(text(&object.body, "stage"));
        let named = named.filter(|stage| !matches!(*stage, "" | NO_BASE_PATH));
        let mapping = BasePathMapping {
            domain_name: domain.to_ascii_lowercase(),
            base_path: base_path.to_owned(),
            stage_in_path: named.is_none(),
            certificate: certificate.cloned(),
        };
        let mut add =
            |stage| found.push(((ApiId::new(api), StageName::new(stage)), mapping.clone()));
        match named {
            Some(stage) => add(stage),
            None => state.list(Kind::Stage, api).for_each(|(stage, _)| add(stage)),
        }
    }
    found
}

fn text<'b>(body: &'b Body, name: &str) -> &'b str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
