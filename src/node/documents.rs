//! The topology's API definitions, put into the store: at start, and again when a file changes.
//!
//! A document becomes the same resources as `aws apigateway put-rest-api --mode overwrite` would
//! make of it, a deployment of them, and a stage as the topology describes it. What did not change
//! since the last time is left alone, so that settings an operator made meanwhile stay and a restart
//! changes nothing. APIs that the topology no longer names go.
//!
//! A definition that cannot be read or served changes nothing: the APIs stay as they were, and
//! whoever wrote it is told file, line and why.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::admin::openapi::apply::{Mode, apply};
use crate::admin::openapi::import::{self, Import, Places};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Site};
use crate::admin::rest::definition::{PARTS, freeze};
use crate::deployment::definition::{Limits, Unserved, stage_deployment};
use crate::model::problem::{Findings, Plain, Problem, Problems, nearest};
use crate::model::rest_api::RestApi;
use crate::model::stage::{BasePathMapping, MethodSettings, Stage};
use crate::net::clock::Timestamp;
use crate::node::StartError;
use crate::node::config::{ApiConfig, Doors, TimeoutsConfig};
use crate::node::control::Control;
use crate::node::foundation::Core;
use crate::store::control::{Body, Kind, State, Txn};

/// How often files are looked at; editors write in bursts, so a change is seen whole.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Marks what came from the topology, and with which content. AWS's model does not know it.
const SOURCE: &str = "tidegateDocument";
/// Characters of a deployment's id.
const DEPLOYMENT_ID_LENGTH: usize = 6;
const ROOT_PATH: &str = "(none)";
const TIMEOUT_HINT: &str = "the topology's `timeouts.integration_max` sets the bound";
const UNBUILT_HINT: &str = "the document is refused, since leaving this out would change behaviour";

/// One API on one stage, read from its document and tried.
#[derive(Clone, Debug)]
pub struct Imported {
    config: ApiConfig,
    /// As [`import::read`] gives it, with what the topology replaces.
    definition: Map<String, Value>,
    /// What AWS would warn of.
    pub warnings: Vec<String>,
    /// As it would be served.
    pub api: RestApi,
}

/// Reads all definitions; the problems are those of all of them.
pub(super) fn read(
    apis: &[ApiConfig],
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Result<Vec<Imported>, Problems> {
    let mut imported = Vec::with_capacity(apis.len());
    let mut problems = Problems::default();
    for api in apis {
        match load(api, site, timeouts, doors) {
            Ok(found) => {
                tell_warnings(&found);
                imported.push(found);
            }
            Err(found) => problems.extend(found),
        }
    }
    problems.into_result().map(|()| imported)
}

/// What AWS would print at an import goes to the log: it may be a rule that nobody enforces.
fn tell_warnings(imported: &Imported) {
    let Imported { config, warnings, .. } = imported;
    if !warnings.is_empty() {
        let lines: Vec<String> = warnings.iter().map(|text| Plain(text).to_string()).collect();
        let (api, lines) = (config.label.as_str(), lines.join("\n"));
        tracing::warn!(api, "An API's document is served, but not all of it counts:\n{lines}");
    }
}

/// Reads one definition as it is now, and tries whether it can be served as the topology wants it.
///
/// # Errors
/// All problems of the document, or why its file cannot be read.
pub fn load(
    config: &ApiConfig,
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Result<Imported, Problems> {
    examine(config, site, timeouts, doors).outcome
}

/// What is to be said of a definition.
#[derive(Debug)]
pub struct Examined {
    pub file: String,
    /// What AWS would warn of, also where the document is refused.
    pub warnings: Vec<String>,
    /// As [`load`] gives it.
    pub outcome: Result<Imported, Problems>,
}

/// As [`load`], with the warnings of a document that is refused.
pub fn examine(
    config: &ApiConfig,
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Examined {
    match config.read() {
        Ok((file, bytes)) => judge(config, file, &bytes, site, timeouts, doors),
        Err(problem) => Examined {
            file: problem.file.clone(),
            warnings: Vec::new(),
            outcome: Err(problem.into()),
        },
    }
}

/// What AWS would refuse and what cannot be served are told together, so that one reading shows
/// the whole list.
fn judge(
    config: &ApiConfig,
    file: String,
    bytes: &[u8],
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Examined {
    let most = u32::try_from(timeouts.integration_max.as_millis()).unwrap_or(u32::MAX);
    let mut options = import::Options::new(config.id.as_str(), site);
    options.integration_timeout_max_ms = most;
    options.integration_timeout_hint = Some(TIMEOUT_HINT);
    let (import, findings) = match import::survey(&file, bytes, &options) {
        Ok(surveyed) => surveyed,
        Err(err) => {
            let outcome = Err(err.problems().clone());
            return Examined { file, warnings: Vec::new(), outcome };
        }
    };
    let Import { mut definition, warnings, places } = import;
    replace(config, &mut definition);
    let limits = Limits { integration_timeout_max_ms: most };
    let api = match trial(config, &definition, site, &limits) {
        Ok(api) => {
            fits(config, &api, doors, &places, &findings);
            Some(api)
        }
        Err(unserved) => {
            let told = findings.marks();
            unserved.into_iter().for_each(|one| refuse(one, &places, &told, &findings));
            None
        }
    };
    let served = findings.into_result().and_then(|()| {
        let cause = "the definition cannot be served";
        api.ok_or_else(|| Problem::of_file(&file, cause).into())
    });
    let outcome = served.map(|api| Imported {
        config: config.clone(),
        definition,
        warnings: warnings.clone(),
        api,
    });
    Examined { file, warnings, outcome }
}

/// Notes what cannot be served where the document asks for it. Where a mistake was `told` already,
/// what follows from it is not; nor is that an integration is missing which was not read for one.
fn refuse(unserved: Unserved, places: &Places, told: &HashSet<(u32, u32)>, findings: &Findings) {
    let Unserved { place, what, hint, is_unbuilt } = unserved;
    if places.knows(&format!("{place} integration")) {
        return;
    }
    let hint = hint.or_else(|| is_unbuilt.then(|| UNBUILT_HINT.to_owned()));
    match places.locate(&place) {
        Some(at) if told.contains(&at.mark) && !is_unbuilt => {}
        Some(at) => findings.add(at.mark, &at.key, what, hint),
        None => findings.add((0, 0), &place, what, hint),
    }
}

/// What the topology says instead of the document.
fn replace(config: &ApiConfig, definition: &mut Map<String, Value>) {
    let api = definition.entry("restApi").or_insert_with(|| json!({}));
    let Some(api) = api.as_object_mut() else { return };
    if let Some(name) = &config.name {
        api.insert("name".to_owned(), Value::from(name.as_str()));
    }
    let own = api.get("endpointConfiguration").and_then(|own| own.get("types")).is_some();
    let kind = match (config.endpoint_type, own) {
        (Some(kind), _) => Some(kind),
        (None, false) => Some(config.endpoint_type_default),
        (None, true) => None,
    };
    if let Some(kind) = kind {
        let endpoint = api.entry("endpointConfiguration").or_insert_with(|| json!({}));
        endpoint["types"] = json!([kind.as_str()]);
    }
}

/// The API as it would be served, tried on a store of its own.
fn trial(
    config: &ApiConfig,
    definition: &Map<String, Value>,
    site: &Site,
    limits: &Limits,
) -> Result<RestApi, Vec<Unserved>> {
    let refused = |err: ApiError| {
        let (place, what) = ("restApi".to_owned(), err.message.into_owned());
        vec![Unserved { place, what, hint: None, is_unbuilt: false }]
    };
    let mut txn = Txn::new(Arc::<State>::default());
    let id = config.id.as_str();
    let now = Timestamp::from_seconds(0);
    let mut context = Context { txn: &mut txn, site, now, effects: Vec::new() };
    put_api(&mut context, config, definition, String::new()).map_err(refused)?;
    let frozen = freeze(&txn, id).unwrap_or_default();
    let stage = stage_body(&config.stage, site);
    stage_deployment(&frozen, &stage, config.domains.clone(), limits).map(|served| served.api)
}

/// Whether what the topology says of the API fits it.
fn fits(config: &ApiConfig, api: &RestApi, doors: Doors, places: &Places, findings: &Findings) {
    if api.resources.is_empty() && findings.is_empty() {
        let at = places.locate("resources");
        let (mark, key) = at.map_or(((0, 0), ""), |at| (at.mark, at.key.as_str()));
        let hint = "below `paths`, describe at least one operation";
        let what = "The REST API doesn't contain any methods";
        findings.add(mark, key, what, Some(hint.to_owned()));
    }
    if let Some(remedy) = doors.remedy(api.endpoint_type) {
        let own = places.locate("restApi endpointConfiguration types");
        let own = own.filter(|_| config.endpoint_type.is_none());
        let (mark, key) = own.map_or(((0, 0), ""), |at| (at.mark, at.key.as_str()));
        findings.add(
            mark,
            key,
            format!("the API is {}, and nothing listens for that", api.endpoint_type.as_str()),
            Some(format!("in the topology, {remedy} or give the API another `endpoint_type`")),
        );
    }
    let known: Vec<String> = api.method_keys().collect();
    for key in config.stage.methods.keys().filter(|key| !known.contains(key)) {
        let words: Vec<&str> = known.iter().map(String::as_str).collect();
        findings.add(
            (0, 0),
            "",
            format!("the topology has settings for `{key}`, and the API has no such method"),
            nearest(key, &words),
        );
    }
}

// ---- into the store

/// Puts what was read into the store, in one transaction.
pub(super) async fn commit(
    control: &Control,
    imported: Vec<Imported>,
    now: Timestamp,
) -> Result<u64, StartError> {
    let site = control.site.clone();
    let done = control.transact(move |txn| put_all(txn, &imported, &site, now)).await?;
    let committed = done.map_err(|err| StartError::Deployment(err.to_string()))?;
    Ok(committed.revision)
}

/// The same within a change of the caller's.
pub(super) fn put_all(
    txn: &mut Txn,
    imported: &[Imported],
    site: &Site,
    now: Timestamp,
) -> Result<(), ApiError> {
    forget_others(txn, imported);
    let mut context = Context { txn, site, now, effects: Vec::new() };
    for one in imported {
        put_one(&mut context, one)?;
    }
    put_domains(&mut context, imported);
    Ok(())
}

/// Deletes what came from a topology that does not name it any more.
fn forget_others(txn: &mut Txn, imported: &[Imported]) {
    let ours = |body: &Body| body.contains_key(SOURCE);
    for (id, api) in txn.list(Kind::RestApi, "") {
        let named = imported.iter().any(|one| one.config.id.as_str() == &*id);
        if ours(&api) && !named {
            for (_, kind) in PARTS {
                txn.delete_all(kind, &id);
            }
            for kind in [
                Kind::Stage,
                Kind::Deployment,
                Kind::DeploymentDefinition,
                Kind::DocumentationPart,
                Kind::DocumentationVersion,
            ] {
                txn.delete_all(kind, &id);
            }
            txn.delete(Kind::RestApi, "", &id);
        }
        for (stage, body) in txn.list(Kind::Stage, &id) {
            let named = imported.iter().any(|one| {
                one.config.id.as_str() == &*id && one.config.stage.name.as_str() == &*stage
            });
            if ours(&body) && !named {
                txn.delete(Kind::Stage, &id, &stage);
            }
        }
    }
}

fn put_one(context: &mut Context<'_>, one: &Imported) -> Result<(), ApiError> {
    let config = &one.config;
    let (api, stage) = (config.id.as_str(), config.stage.name.as_str());
    let source = fingerprint(&json!(one.definition));
    let mut body = stage_body(&config.stage, context.site);
    let stage_source = fingerprint(&json!([body, source]));
    let before = context.txn.get(Kind::Stage, api, stage);
    if before.as_ref().is_some_and(|before| marked(before) == Some(stage_source.as_str())) {
        return Ok(());
    }
    let known = context.txn.get(Kind::RestApi, "", api);
    if known.is_none_or(|known| marked(&known) != Some(source.as_str())) {
        put_api(context, config, &one.definition, source.clone())?;
    }
    // Where only the stage's settings changed, its deployment stays.
    let deployed = before.as_ref().and_then(|before| before.get("deploymentId")?.as_str());
    let deployed = deployed.filter(|id| {
        let deployment = context.txn.get(Kind::Deployment, api, id);
        deployment.is_some_and(|deployment| marked(&deployment) == Some(source.as_str()))
    });
    let deployment = match deployed {
        Some(id) => id.to_owned(),
        None => deploy(context, api, &source),
    };
    body.insert("deploymentId".to_owned(), Value::from(deployment));
    let created = before.as_ref().and_then(|before| before.get("createdDate").cloned());
    body.insert("createdDate".to_owned(), created.unwrap_or_else(|| context.seconds()));
    body.insert("lastUpdatedDate".to_owned(), context.seconds());
    body.insert(SOURCE.to_owned(), Value::from(stage_source));
    context.txn.put(Kind::Stage, api, stage, body);
    drop_unused(context.txn, api);
    Ok(())
}

fn marked(body: &Body) -> Option<&str> {
    body.get(SOURCE).and_then(Value::as_str)
}

/// What content was taken over last.
fn fingerprint(content: &Value) -> String {
    let digest = digest(&SHA256, content.to_string().as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The API itself, overwritten by its definition.
fn put_api(
    context: &mut Context<'_>,
    config: &ApiConfig,
    definition: &Map<String, Value>,
    source: String,
) -> Result<(), ApiError> {
    let id = config.id.as_str();
    let mut body = match context.txn.get(Kind::RestApi, "", id) {
        Some(body) => Body::clone(&body),
        None => match json!({
            "id": id,
            "name": config.label,
            "createdDate": context.seconds(),
            "apiKeySource": "HEADER",
            "disableExecuteApiEndpoint": false,
            "endpointConfiguration": { "types": ["EDGE"], "ipAddressType": "ipv4" },
        }) {
            Value::Object(body) => body,
            _ => Body::new(),
        },
    };
    body.insert(SOURCE.to_owned(), Value::from(source));
    context.txn.put(Kind::RestApi, "", id, body);
    apply(context, id, definition, Mode::Overwrite)
}

/// Freezes the API as it is now and returns the deployment's id.
fn deploy(context: &mut Context<'_>, api: &str, source: &str) -> String {
    let taken = |id: &str| context.txn.contains(Kind::Deployment, api, id);
    let id = context.new_id(DEPLOYMENT_ID_LENGTH, taken);
    let frozen = freeze(context.txn, api).unwrap_or_default();
    let mut kept = Body::new();
    kept.insert("definition".to_owned(), Value::from(frozen.to_string()));
    context.txn.put(Kind::DeploymentDefinition, api, &id, kept);
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(id.as_str()));
    body.insert("createdDate".to_owned(), context.seconds());
    body.insert("description".to_owned(), Value::from("read from its document"));
    body.insert(SOURCE.to_owned(), Value::from(source));
    context.txn.put(Kind::Deployment, api, &id, body);
    id
}

/// A file that changes all day must not leave a deployment behind each time.
fn drop_unused(txn: &mut Txn, api: &str) {
    let stages = txn.list(Kind::Stage, api);
    let used = |id: &str| {
        stages.iter().any(|(_, stage)| {
            let canary = stage.get("canarySettings").and_then(|canary| canary.get("deploymentId"));
            [stage.get("deploymentId"), canary].contains(&Some(&Value::from(id)))
        })
    };
    for (id, deployment) in txn.list(Kind::Deployment, api) {
        if deployment.contains_key(SOURCE) && !used(&id) {
            txn.delete(Kind::Deployment, api, &id);
            txn.delete(Kind::DeploymentDefinition, api, &id);
        }
    }
}

/// A stage as the control plane keeps it.
fn stage_body(stage: &Stage, site: &Site) -> Body {
    let mut body = Body::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("stageName", Value::from(stage.name.as_str()));
    put("cacheClusterEnabled", Value::from(stage.cache_enabled));
    let status = if stage.cache_enabled { "AVAILABLE" } else { "NOT_AVAILABLE" };
    put("cacheClusterStatus", Value::from(status));
    if stage.cache_enabled {
        put("cacheClusterSize", Value::from("0.5"));
    }
    put("tracingEnabled", Value::from(false));
    if !stage.variables.is_empty() {
        put("variables", json!(stage.variables));
    }
    let mut settings = Map::new();
    if stage.defaults != MethodSettings::default() {
        settings.insert("*/*".to_owned(), method_settings(&stage.defaults));
    }
    for (key, own) in &stage.methods {
        settings.insert(key.clone(), method_settings(own));
    }
    put("methodSettings", Value::Object(settings));
    if let Some(log) = &stage.access_log {
        let Site { partition, aws_region, account_id, .. } = site;
        let destination =
            format!("arn:{partition}:logs:{aws_region}:{account_id}:file:{}", log.destination);
        put("accessLogSettings", json!({ "destinationArn": destination, "format": log.format }));
    }
    if !stage.cache_headers {
        put("tidegateCacheHeaders", Value::from(false));
    }
    body
}

/// A member that is absent is decided by the verb: GET is cached, others are not.
fn method_settings(settings: &MethodSettings) -> Value {
    let mut body = json!({
        "metricsEnabled": false,
        "dataTraceEnabled": false,
        "cacheTtlInSeconds": settings.cache_ttl_seconds,
        "cacheDataEncrypted": false,
        "requireAuthorizationForCacheControl": settings.require_authorization_for_cache_control,
        "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
    });
    if let Some(enabled) = settings.caching_enabled {
        body["cachingEnabled"] = Value::from(enabled);
    }
    if let Some(rate) = settings.throttling_rate_limit {
        body["throttlingRateLimit"] = Value::from(rate);
    }
    if let Some(burst) = settings.throttling_burst_limit {
        body["throttlingBurstLimit"] = Value::from(burst);
    }
    body
}

/// The topology's domains and mappings; what others made stays.
fn put_domains(context: &mut Context<'_>, imported: &[Imported]) {
    let wanted: Vec<(&BasePathMapping, &ApiConfig)> = imported
        .iter()
        .flat_map(|one| one.config.domains.iter().map(move |domain| (domain, &one.config)))
        .collect();
    let mut kept: HashSet<(String, String)> = HashSet::new();
    for (mapping, config) in wanted {
        let domain = mapping.domain_name.as_str();
        if !context.txn.contains(Kind::DomainName, "", domain) {
            put_domain(context, domain);
        }
        let path = if mapping.base_path.is_empty() { ROOT_PATH } else { &mapping.base_path };
        kept.insert((domain.to_owned(), path.to_owned()));
        let body = json!({
            "basePath": path,
            "restApiId": config.id.as_str(),
            "stage": config.stage.name.as_str(),
            SOURCE: "",
        });
        let before = context.txn.get(Kind::BasePathMapping, domain, path);
        if let Value::Object(body) = body
            && before.is_none_or(|before| *before != body)
        {
            context.txn.put(Kind::BasePathMapping, domain, path, body);
        }
    }
    for (domain, own) in context.txn.list(Kind::DomainName, "") {
        for (path, mapping) in context.txn.list(Kind::BasePathMapping, &domain) {
            let named = kept.contains(&(domain.to_string(), path.to_string()));
            if mapping.contains_key(SOURCE) && !named {
                context.txn.delete(Kind::BasePathMapping, &domain, &path);
            }
        }
        let empty = context.txn.list(Kind::BasePathMapping, &domain).is_empty();
        if own.contains_key(SOURCE) && empty {
            context.txn.delete(Kind::DomainName, "", &domain);
        }
    }
}

fn put_domain(context: &mut Context<'_>, domain: &str) {
    let site = context.site;
    let target = context.new_id(10, |_| false);
    let body = json!({
        "domainName": domain,
        "domainNameArn":
            format!("arn:{}:apigateway:{}::/domainnames/{domain}", site.partition, site.aws_region),
        "domainNameStatus": "AVAILABLE",
        "endpointConfiguration": { "types": ["REGIONAL"], "ipAddressType": "ipv4" },
        "regionalDomainName":
            format!("d-{target}.execute-api.{}.{}", site.aws_region, site.domain),
        "routingMode": "BASE_PATH_MAPPING_ONLY",
        "securityPolicy": "TLS_1_2",
        SOURCE: "",
    });
    if let Value::Object(body) = body {
        context.txn.put(Kind::DomainName, "", domain, body);
    }
}

// ---- files that change

/// Time, size and number of a file: what tells that it changed. The number is for editors that put
/// a new file in the old one's place within one tick of the file system's clock.
pub(super) type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn files(apis: &[ApiConfig]) -> Vec<PathBuf> {
    apis.iter().filter_map(|api| api.file().map(PathBuf::from)).collect()
}

/// The stamps of all definitions. To be taken before they are read: a change in between is then
/// seen at the next look.
pub(super) fn stamps(apis: &[ApiConfig]) -> Vec<Stamp> {
    files(apis).iter().map(stamp).collect()
}

/// Starts the task that takes over documents that changed since `seen`.
pub(super) fn watch(
    core: &Arc<Core>,
    control: &Control,
    apis: Vec<ApiConfig>,
    doors: Doors,
    mut seen: Vec<Stamp>,
) {
    let files = files(&apis);
    if files.is_empty() {
        return;
    }
    let (core, control) = (Arc::clone(core), control.clone());
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let draining = core.tasks.draining().clone();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now: Vec<Stamp> = files.iter().map(stamp).collect();
            if now == seen {
                continue;
            }
            seen = now;
            match reread(&core, &control, apis.clone(), doors).await {
                Ok(revision) => {
                    tracing::info!(revision, "API documents changed and are in force.");
                }
                Err(problems) => tracing::error!(
                    "API documents changed, but the APIs stay as they were:\n{problems}"
                ),
            }
        }
    });
}

async fn reread(
    core: &Core,
    control: &Control,
    apis: Vec<ApiConfig>,
    doors: Doors,
) -> Result<u64, String> {
    let (site, timeouts) = (control.site.clone(), core.common.timeouts.clone());
    let reading = core.tasks.runtime().spawn_blocking(move || read(&apis, &site, &timeouts, doors));
    let imported = reading.await.map_err(|_| "reading them failed".to_owned())?;
    let imported = imported.map_err(|problems| problems.to_string())?;
    let now = core.gateway.clock.now();
    commit(control, imported, now).await.map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
