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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::admin::rest::domain_names;
use crate::deployment::definition::{
    Limits, Unserved, add_canary, canary_deployment_id, stage_deployment,
};
use crate::deployment::{Changed, Deployments, Fingerprint, Wanted};
use crate::model::ids::{ApiId, StageName};
use crate::model::stage::{BasePathMapping, DomainCertificate, StageDeployment};
use crate::node::backing::{self, Links};
use crate::node::config::{Doors, TimeoutsConfig};
use crate::store::control::{Body, Kind, Object, State};
use crate::store::parts::PartRef;

/// The id of a mapping without a base path (recorded).
const NO_BASE_PATH: &str = "(none)";

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
        let domains = domains.remove(&key);
        let found = FoundStage { state, api, object, domains, links: &links };
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
    domains: Option<Vec<BasePathMapping>>,
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
            domains: &'i Option<Vec<BasePathMapping>>,
            links: Option<&'i Links>,
            certificate: Option<u64>,
        }
        let ingredients = Ingredients {
            revision: self.object.revision,
            deployment: self.deployment_id(),
            domains: &self.domains,
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
        let (stage, domains) = (&self.object.body, self.domains.clone().unwrap_or_default());
        let mut deployment =
            stage_deployment(&definition, stage, domains, limits).map_err(|why| joined(&why))?;
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

/// Custom domains by the stage they are mapped to.
fn domains(
    state: &State,
    reasons: &mut Vec<(String, String)>,
) -> HashMap<Key, Vec<BasePathMapping>> {
    let mut found: HashMap<Key, Vec<BasePathMapping>> = HashMap::new();
    let mut names: Vec<_> = state.all(Kind::DomainName).collect();
    names.sort_unstable_by_key(|(scope, name, _)| (*scope, *name));
    for (_, name, object) in names {
        if let Some(reason) = unserved_domain(state, name, &object.body) {
            reasons.push((format!("domain name {name}"), reason.to_owned()));
            continue;
        }
        let certificate = certificate(&object.body);
        for (base_path, (api, stage)) in mappings(state, name) {
            let mapping = BasePathMapping {
                domain_name: name.to_ascii_lowercase(),
                base_path,
                certificate: certificate.clone(),
            };
            found.entry((ApiId::new(&api), StageName::new(&stage))).or_default().push(mapping);
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
fn unserved_domain(state: &State, name: &str, domain: &Body) -> Option<&'static str> {
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
    let ruled = match text(domain, "routingMode") {
        "ROUTING_RULE_ONLY" => true,
        mode if mode.starts_with("ROUTING_RULE_THEN_") => {
            state.list(Kind::RoutingRule, name).next().is_some()
        }
        _ => false,
    };
    ruled.then_some("routing rules are not built yet")
}

/// Base path → API and stage. Where a mapping names no stage, the next part of the path does: one
/// entry for each stage of the API, unless another mapping has that base path for its own.
fn mappings(state: &State, domain: &str) -> BTreeMap<String, (Arc<str>, Arc<str>)> {
    let mut found = BTreeMap::new();
    let mut open = Vec::new();
    for (id, object) in state.list(Kind::BasePathMapping, domain) {
        let base_path = match &**id {
            NO_BASE_PATH => "",
            path => path.trim_matches('/'),
        };
        let api: Arc<str> = text(&object.body, "restApiId").into();
        match text(&object.body, "stage") {
            "" | NO_BASE_PATH => open.push((base_path, api)),
            stage => {
                found.insert(base_path.to_owned(), (api, Arc::from(stage)));
            }
        }
    }
    for (base_path, api) in open {
        for (stage, _) in state.list(Kind::Stage, &api) {
            let path = format!("{base_path}/{stage}").trim_start_matches('/').to_owned();
            found.entry(path).or_insert_with(|| (Arc::clone(&api), Arc::clone(stage)));
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
