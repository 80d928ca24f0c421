//! What was read, in the store: API, deployment, stage, domain names and their mappings.
//!
//! What comes from the topology is marked with a fingerprint of its content: the mark tells what did
//! not change, and what may go when the topology names it no more.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::Imported;
use crate::admin::openapi::apply::{Mode, apply};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Site};
use crate::admin::rest::definition::freeze;
use crate::admin::rest::{apis, base_path_mappings, domain_names};
use crate::model::stage::{BasePathMapping, MethodSettings, Stage};
use crate::net::clock::Timestamp;
use crate::node::StartError;
use crate::node::config::ApiConfig;
use crate::node::control::Control;
use crate::store::control::{Body, Kind, Txn};

/// Marks what came from the topology, and with which content. AWS's model does not know it.
const SOURCE: &str = "tidegateDocument";
/// Characters of a deployment's id.
const DEPLOYMENT_ID_LENGTH: usize = 6;

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
pub(in crate::node) fn put_all(
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
            apis::delete_api(txn, &id);
        }
        for (stage, body) in txn.list(Kind::Stage, &id) {
            let named = imported.iter().any(|one| {
                one.config.id.as_str() == &*id && one.config.stage.name.as_str() == &*stage
            });
            if ours(&body) && !named {
                apis::delete_stage(txn, &id, &stage);
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
pub(super) fn put_api(
    context: &mut Context<'_>,
    config: &ApiConfig,
    definition: &Map<String, Value>,
    source: String,
) -> Result<(), ApiError> {
    let id = config.id.as_str();
    let mut body = match context.txn.get(Kind::RestApi, "", id) {
        Some(body) => Body::clone(&body),
        None => {
            let mut body = apis::defaults();
            body.insert("id".to_owned(), Value::from(id));
            body.insert("name".to_owned(), Value::from(config.label.as_str()));
            body.insert("createdDate".to_owned(), context.seconds());
            body
        }
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
pub(super) fn stage_body(stage: &Stage, site: &Site) -> Body {
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
        let path = if mapping.base_path.is_empty() {
            base_path_mappings::NONE
        } else {
            &mapping.base_path
        };
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

fn put_domain(context: &mut Context<'_>, name: &str) {
    let mut domain = domain_names::regional(name);
    domain_names::fill_in(context, name, &mut domain);
    domain.insert(SOURCE.to_owned(), Value::from(""));
    context.txn.put(Kind::DomainName, "", name, domain);
}
