//! Stages: named, configured copies of an API that callers reach.
//!
//! A stage that the data plane could not serve is refused when it is pointed at its deployment or
//! changed so that it could not be served any longer, with the list of places: answering 200 would
//! promise what no caller gets. A change that leaves an unserved stage no worse is taken.
//!
//! AWS: API Gateway REST API Reference, "Stage", "CreateStage", "Patch Operations"; Developer
//! Guide, "Set up a stage for a REST API". Texts of refusals are recorded unless a comment says
//! otherwise.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, Op, PatchOperation};
use crate::admin::rest::{apis, canary, deployments, stage_settings};
use crate::deployment::definition::{
    Limits, Unserved, add_canary, canary_deployment_id, stage_deployment,
};
use crate::model::quotas;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateStage", create_stage),
    ("GetStage", get_stage),
    ("GetStages", get_stages),
    ("UpdateStage", update_stage),
    ("DeleteStage", delete_stage),
];

/// AWS: "CreateStage", `cacheClusterSize`, gigabytes.
const CACHE_SIZES: [&str; 8] = ["0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237"];
/// What a stage has when a cache is switched on without a size.
const CACHE_SIZE_DEFAULT: &str = "0.5";
/// Members of a stage that its callers notice.
const SERVED: [&str; 7] = [
    "deploymentId",
    "variables",
    "canarySettings",
    "methodSettings",
    "accessLogSettings",
    "cacheClusterEnabled",
    "clientCertificateId",
];

fn create_stage(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let name = input.text("stageName").unwrap_or_default();
    check_name(name)?;
    let deployment = input.text("deploymentId").unwrap_or_default();
    existing_deployment(ctx.txn, &api, deployment)?;
    if ctx.txn.contains(Kind::Stage, &api, name) {
        // Not in the catalogue; as CloudFormation's users quote it.
        return Err(ApiError::conflict("Stage already exists"));
    }
    let mut stage = fresh(ctx, name, deployment);
    describe(&mut stage, input.text("description"));
    configure(&mut stage, input)?;
    if let Some(version) = input.text("documentationVersion") {
        check_documentation_version(ctx.txn, &api, version)?;
        stage.insert("documentationVersion".to_owned(), Value::from(version));
    }
    canary::set(ctx.txn, &api, &mut stage, None, input)?;
    if let Some(tags) = input.body.get("tags").and_then(Value::as_object)
        && !tags.is_empty()
    {
        stage.insert("tags".to_owned(), Value::Object(tags.clone()));
    }
    refuse_unserved(ctx.txn, &api, None, &stage)?;
    ctx.txn.put(Kind::Stage, &api, name, stage.clone());
    Ok(Outcome::Body(stage))
}

fn get_stage(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let stage = existing(ctx.txn, &api, input.label("stage_name"))?;
    Ok(Outcome::Body(Arc::unwrap_or_clone(stage)))
}

/// Not paged, as AWS does not.
fn get_stages(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let wanted = input.query_text("deploymentId").filter(|id| !id.is_empty());
    let found = ctx.txn.list(Kind::Stage, &api).into_iter().map(|(_, stage)| stage);
    let item = found
        .filter(|stage| {
            wanted.is_none() || stage.get("deploymentId").and_then(Value::as_str) == wanted
        })
        .map(|stage| Value::Object(Arc::unwrap_or_clone(stage)))
        .collect();
    let mut body = Body::new();
    body.insert("item".to_owned(), Value::Array(item));
    Ok(Outcome::Body(body))
}

fn update_stage(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let name = input.label("stage_name");
    let before = existing(ctx.txn, &api, name)?;
    let mut stage = Body::clone(&before);
    for operation in patch::read(input)? {
        apply(ctx.txn, &api, &mut stage, &operation)?;
    }
    check_count(&stage)?;
    stage.insert("lastUpdatedDate".to_owned(), ctx.seconds());
    refuse_unserved(ctx.txn, &api, Some(&before), &stage)?;
    ctx.txn.put(Kind::Stage, &api, name, stage.clone());
    Ok(Outcome::Body(stage))
}

fn delete_stage(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let name = input.label("stage_name");
    existing(ctx.txn, &api, name)?;
    apis::delete_stage(ctx.txn, &api, name);
    Ok(Outcome::Body(Body::new()))
}

/// CreateDeployment with a stage: the stage is made or pointed at the deployment, or gets it as its
/// canary. What the call says of the stage holds for it.
pub(super) fn deploy_to(
    ctx: &mut Context<'_>,
    api: &str,
    name: &str,
    deployment: &str,
    input: &Input,
) -> Result<(), ApiError> {
    let before = ctx.txn.get(Kind::Stage, api, name);
    let mut stage = match &before {
        Some(before) => Body::clone(before),
        None => {
            check_name(name)?;
            fresh(ctx, name, deployment)
        }
    };
    describe(&mut stage, input.text("stageDescription"));
    configure(&mut stage, input)?;
    if input.body.get("canarySettings").is_some_and(Value::is_object) {
        canary::set(ctx.txn, api, &mut stage, Some(deployment), input)?;
    } else {
        stage.insert("deploymentId".to_owned(), Value::from(deployment));
    }
    stage.insert("lastUpdatedDate".to_owned(), ctx.seconds());
    refuse_unserved(ctx.txn, api, before.as_deref(), &stage)?;
    ctx.txn.put(Kind::Stage, api, name, stage);
    Ok(())
}

pub(super) fn existing(txn: &Txn, api: &str, name: &str) -> Result<Arc<Body>, ApiError> {
    let unknown = || ApiError::not_found("Invalid stage identifier specified");
    txn.get(Kind::Stage, api, name).ok_or_else(unknown)
}

pub(super) fn existing_deployment(txn: &Txn, api: &str, id: &str) -> Result<(), ApiError> {
    if txn.contains(Kind::Deployment, api, id) {
        Ok(())
    } else {
        Err(ApiError::bad_request("Deployment id does not exist"))
    }
}

/// Recorded: what a stage answers that was told nothing.
fn fresh(ctx: &Context<'_>, name: &str, deployment: &str) -> Body {
    let member = |name: &str, value: Value| (name.to_owned(), value);
    Map::from_iter([
        member("deploymentId", Value::from(deployment)),
        member("stageName", Value::from(name)),
        member("cacheClusterEnabled", Value::from(false)),
        member("cacheClusterStatus", Value::from("NOT_AVAILABLE")),
        member("methodSettings", Value::Object(Map::new())),
        member("tracingEnabled", Value::from(false)),
        member("createdDate", ctx.seconds()),
        member("lastUpdatedDate", ctx.seconds()),
    ])
}

/// The members that CreateStage and CreateDeployment have in common.
fn configure(stage: &mut Body, input: &Input) -> Result<(), ApiError> {
    if let Some(size) = input.text("cacheClusterSize") {
        check_cache_size(size)?;
        stage.insert("cacheClusterSize".to_owned(), Value::from(size));
    }
    if let Some(enabled) = input.flag("cacheClusterEnabled") {
        switch_cache(stage, enabled);
    }
    if let Some(enabled) = input.flag("tracingEnabled") {
        stage.insert("tracingEnabled".to_owned(), Value::from(enabled));
    }
    if let Some(variables) = input.body.get("variables").and_then(Value::as_object) {
        check_variables(variables)?;
        stage.insert("variables".to_owned(), Value::Object(variables.clone()));
    }
    check_count(stage)
}

fn describe(stage: &mut Body, description: Option<&str>) {
    if let Some(text) = description {
        stage.insert("description".to_owned(), Value::from(text));
    }
}

/// The cache is there at once: it is every node's memory, not a cluster to be started.
fn switch_cache(stage: &mut Body, enabled: bool) {
    let status = if enabled { "AVAILABLE" } else { "NOT_AVAILABLE" };
    stage.insert("cacheClusterEnabled".to_owned(), Value::from(enabled));
    stage.insert("cacheClusterStatus".to_owned(), Value::from(status));
    if enabled && !stage.contains_key("cacheClusterSize") {
        stage.insert("cacheClusterSize".to_owned(), Value::from(CACHE_SIZE_DEFAULT));
    }
}

/// One operation of UpdateStage. Method settings come last: their paths begin with anything.
fn apply(
    txn: &Txn,
    api: &str,
    stage: &mut Body,
    operation: &PatchOperation,
) -> Result<(), ApiError> {
    match operation.op {
        Op::Copy => return canary::promote(stage, operation),
        Op::Move | Op::Test => return Err(invalid_operation(operation)),
        Op::Add | Op::Replace | Op::Remove => {}
    }
    let segments = operation.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["canarySettings", ..] => canary::patch(txn, api, stage, operation),
        ["accessLogSettings"] | ["accessLogSettings", _] => {
            access_log_settings(stage, operation, segments.get(1).copied())
        }
        ["variables"] | ["variables", _] => variable(stage, operation, segments.get(1).copied()),
        [member] if operation.op == Op::Replace => scalar(txn, api, stage, member, operation),
        [member] if operation.op == Op::Add && is_scalar(member) => {
            Err(invalid_operation(operation))
        }
        _ => stage_settings::patch(stage, operation),
    }
}

fn is_scalar(member: &str) -> bool {
    matches!(
        member,
        "deploymentId"
            | "description"
            | "cacheClusterEnabled"
            | "cacheClusterSize"
            | "clientCertificateId"
            | "documentationVersion"
            | "tracingEnabled"
    )
}

fn scalar(
    txn: &Txn,
    api: &str,
    stage: &mut Body,
    member: &str,
    operation: &PatchOperation,
) -> Result<(), ApiError> {
    let value = operation.value();
    match member {
        "deploymentId" => existing_deployment(txn, api, value)?,
        "cacheClusterEnabled" => {
            switch_cache(stage, value.eq_ignore_ascii_case("true"));
            return Ok(());
        }
        "tracingEnabled" => {
            let enabled = value.eq_ignore_ascii_case("true");
            stage.insert(member.to_owned(), Value::from(enabled));
            return Ok(());
        }
        "cacheClusterSize" => check_cache_size(value)?,
        "description" | "clientCertificateId" | "documentationVersion" if value.is_empty() => {
            stage.shift_remove(member);
            return Ok(());
        }
        "clientCertificateId" if !txn.contains(Kind::ClientCertificate, "", value) => {
            // Ours; no recording of AWS's text.
            return Err(ApiError::bad_request("Invalid Client Certificate identifier specified"));
        }
        "documentationVersion" => check_documentation_version(txn, api, value)?,
        "description" | "clientCertificateId" => {}
        _ => return Err(stage_settings::unknown_path(operation)),
    }
    stage.insert(member.to_owned(), Value::from(value));
    Ok(())
}

fn access_log_settings(
    stage: &mut Body,
    operation: &PatchOperation,
    member: Option<&str>,
) -> Result<(), ApiError> {
    const MEMBER: &str = "accessLogSettings";
    match (member, operation.op) {
        (None, Op::Remove) => {
            stage.shift_remove(MEMBER);
        }
        (Some("destinationArn" | "format"), Op::Remove) => {
            let settings = patch::object(stage, MEMBER);
            settings.shift_remove(member.unwrap_or_default());
            if settings.is_empty() {
                stage.shift_remove(MEMBER);
            }
        }
        (_, Op::Remove) => return Err(no_method_setting(operation)),
        (Some(member @ ("destinationArn" | "format")), _) => {
            if operation.value().is_empty() {
                return Err(ApiError::bad_request("Access Log value must not be empty"));
            }
            let settings = patch::object(stage, MEMBER);
            settings.insert(member.to_owned(), Value::from(operation.value()));
        }
        _ => {
            return Err(ApiError::bad_request(
                "Invalid accessLogSettings path. Must be one of : \
                 [/accessLogSettings/destinationArn, /accessLogSettings/format]",
            ));
        }
    }
    Ok(())
}

fn variable(
    stage: &mut Body,
    operation: &PatchOperation,
    name: Option<&str>,
) -> Result<(), ApiError> {
    const MEMBER: &str = "variables";
    match (name, operation.op) {
        (None, Op::Remove) => {
            stage.shift_remove(MEMBER);
        }
        (Some(name), Op::Remove) => {
            let variables = patch::object(stage, MEMBER);
            variables.shift_remove(name);
            if variables.is_empty() {
                stage.shift_remove(MEMBER);
            }
        }
        (None, Op::Replace) => {
            let variables: Map<String, Value> = serde_json::from_str(operation.value())
                .map_err(|_| invalid_operation(operation))?;
            check_variables(&variables)?;
            stage.insert(MEMBER.to_owned(), Value::Object(variables));
        }
        (Some(name), Op::Replace) => {
            check_variable(name, operation.value())?;
            let value = Value::from(operation.value());
            patch::object(stage, MEMBER).insert(name.to_owned(), value);
        }
        _ => return Err(invalid_operation(operation)),
    }
    Ok(())
}

pub(super) fn invalid_operation(operation: &PatchOperation) -> ApiError {
    let path = operation.path.as_deref().unwrap_or("null");
    ApiError::bad_request(format!("Invalid {} operation with path: {path}", operation.op.as_str()))
}

/// The blank at the end is recorded; Terraform looks for "no method setting for this method".
pub(super) fn no_method_setting(operation: &PatchOperation) -> ApiError {
    let path = operation.path.as_deref().unwrap_or("null").trim_start_matches('/');
    ApiError::bad_request(format!(
        "Cannot remove method setting {path} because there is no method setting for this method "
    ))
}

/// Ours; the pattern is AWS's ("CreateStage", `stageName`).
fn check_name(name: &str) -> Result<(), ApiError> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.len() <= quotas::STAGE_NAME_MAX && name.bytes().all(known) {
        return Ok(());
    }
    let most = quotas::STAGE_NAME_MAX;
    Err(ApiError::bad_request(format!(
        "Invalid stage name: {name}. Use 1 to {most} of a-zA-Z0-9_-"
    )))
}

pub(super) fn check_variables(variables: &Map<String, Value>) -> Result<(), ApiError> {
    variables
        .iter()
        .try_for_each(|(name, value)| check_variable(name, value.as_str().unwrap_or_default()))
}

/// The texts are ours; the patterns are AWS's ("CreateStage", `variables`), the lengths its quotas.
pub(super) fn check_variable(name: &str, value: &str) -> Result<(), ApiError> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let in_value = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#&=,".contains(&byte);
    let fits = |text: &str, most: usize| !text.is_empty() && text.len() <= most;
    if !fits(name, quotas::STAGE_VARIABLE_NAME_MAX) || !name.bytes().all(in_name) {
        return Err(ApiError::bad_request(format!(
            "Invalid stage variable name: {name}. Use 1 to {} of a-zA-Z0-9_",
            quotas::STAGE_VARIABLE_NAME_MAX
        )));
    }
    if !fits(value, quotas::STAGE_VARIABLE_VALUE_MAX) || !value.bytes().all(in_value) {
        return Err(ApiError::bad_request(format!(
            "Invalid stage variable value: {value}. Use 1 to {} of a-zA-Z0-9-._~:/?#&=,",
            quotas::STAGE_VARIABLE_VALUE_MAX
        )));
    }
    Ok(())
}

/// Ours; the figure is AWS's quota.
fn check_count(stage: &Body) -> Result<(), ApiError> {
    let count = stage.get("variables").and_then(Value::as_object).map_or(0, Map::len);
    if count <= quotas::STAGE_VARIABLES_MAX {
        return Ok(());
    }
    let most = quotas::STAGE_VARIABLES_MAX;
    Err(ApiError::bad_request(format!("Too many stage variables: {count} of at most {most}")))
}

/// Ours; the list is AWS's.
fn check_cache_size(size: &str) -> Result<(), ApiError> {
    if CACHE_SIZES.contains(&size) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "Invalid cacheClusterSize specified: {size}. Must be one of: [{}]",
        CACHE_SIZES.join(", ")
    )))
}

/// Ours; AWS names no text.
fn check_documentation_version(txn: &Txn, api: &str, version: &str) -> Result<(), ApiError> {
    if txn.contains(Kind::DocumentationVersion, api, version) {
        Ok(())
    } else {
        Err(ApiError::not_found("Invalid Documentation version specified"))
    }
}

/// Refuses a stage that could not be served for a reason it did not have before.
fn refuse_unserved(
    txn: &Txn,
    api: &str,
    before: Option<&Body>,
    after: &Body,
) -> Result<(), ApiError> {
    let unchanged = |before: &Body| SERVED.iter().all(|name| before.get(*name) == after.get(*name));
    if before.is_some_and(unchanged) {
        return Ok(());
    }
    let Err(mut places) = served(txn, api, after) else { return Ok(()) };
    if let Some(before) = before
        && let Err(known) = served(txn, api, before)
    {
        places.retain(|place| !known.contains(place));
    }
    if places.is_empty() {
        return Ok(());
    }
    Err(ApiError::bad_request(unserved(&places)))
}

/// What is wrong first: it has to be mended; what is right may only have to wait.
fn unserved(places: &[Unserved]) -> String {
    let list = |is_unbuilt: bool| {
        let places = places.iter().filter(|place| place.is_unbuilt == is_unbuilt);
        places.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let (wrong, unbuilt) = (list(false), list(true));
    let reason = match (wrong.as_str(), unbuilt.as_str()) {
        (wrong, "") => format!("since this is wrong: {wrong}"),
        ("", unbuilt) => format!("since this needs what is not built yet: {unbuilt}"),
        (wrong, unbuilt) => {
            format!("since this is wrong: {wrong}; and this needs what is not built yet: {unbuilt}")
        }
    };
    format!("The stage cannot be served, {reason}")
}

fn served(txn: &Txn, api: &str, stage: &Body) -> Result<(), Vec<Unserved>> {
    let deployment = stage.get("deploymentId").and_then(Value::as_str).unwrap_or_default();
    let frozen = |id| deployments::frozen(txn, api, id).unwrap_or(Value::Null);
    let limits = Limits::default();
    let mut served = stage_deployment(&frozen(deployment), stage, Vec::new(), &limits)?;
    match canary_deployment_id(stage) {
        Some(id) => add_canary(&mut served, &frozen(id), stage, &limits),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "stages_tests.rs"]
mod tests;
