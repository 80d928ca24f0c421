//! Canaries: a second deployment within a stage, for part of its calls.
//!
//! There are three ways to one: CreateDeployment with `canarySettings` on a stage that exists,
//! CreateStage with them, and replacing a member of `/canarySettings` by UpdateStage, which makes
//! a canary of the stage's own deployment that gets no calls. Promotion copies what the canary has
//! to the stage; the canary itself stays until it is removed.
//!
//! AWS: Developer Guide, "Create a canary release deployment", "Update a canary release", "Promote
//! a canary release". Texts of refusals are recorded unless a comment says otherwise.

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::Input;
use crate::admin::protocol::patch::{self, Op, PatchOperation};
use crate::admin::rest::stages;
use crate::store::control::{Body, Kind, Txn};

const MEMBER: &str = "canarySettings";

/// May a deployment be made as a canary of this stage?
pub(super) fn check_deployment(
    txn: &Txn,
    api: &str,
    stage_name: Option<&str>,
) -> Result<(), ApiError> {
    let Some(name) = stage_name.filter(|name| !name.is_empty()) else {
        let provided = stage_name.unwrap_or("null");
        return Err(ApiError::bad_request(format!(
            "Invalid deployment content specified.Non null and non empty stageName must be \
             provided for canary deployment. Provided value is {provided}"
        )));
    };
    if txn.contains(Kind::Stage, api, name) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "Invalid deployment content specified.Stage {name} must already be created before making \
         a canary release deployment"
    )))
}

/// The canary's deployment.
pub(super) fn deployment_of(stage: &Body) -> Option<&str> {
    stage.get(MEMBER)?.get("deploymentId")?.as_str()
}

/// Gives a stage the canary that a call asks for, with `deployment` behind it unless the call names
/// another.
pub(super) fn set(
    txn: &Txn,
    api: &str,
    stage: &mut Body,
    deployment: Option<&str>,
    input: &Input,
) -> Result<(), ApiError> {
    let Some(asked) = input.body.get(MEMBER).and_then(Value::as_object) else { return Ok(()) };
    let named = asked.get("deploymentId").and_then(Value::as_str);
    let own = stage.get("deploymentId").and_then(Value::as_str);
    let deployment = deployment.or(named).or(own).unwrap_or_default();
    stages::existing_deployment(txn, api, deployment)?;
    let mut canary = fresh(deployment);
    if let Some(percent) = asked.get("percentTraffic").and_then(Value::as_f64) {
        canary.insert("percentTraffic".to_owned(), Value::from(within_bounds(percent)?));
    }
    if let Some(overrides) = asked.get("stageVariableOverrides").and_then(Value::as_object) {
        stages::check_variables(overrides)?;
        canary.insert("stageVariableOverrides".to_owned(), Value::Object(overrides.clone()));
    }
    if let Some(shared) = asked.get("useStageCache").and_then(Value::as_bool) {
        canary.insert("useStageCache".to_owned(), Value::from(shared));
    }
    stage.insert(MEMBER.to_owned(), Value::Object(canary));
    Ok(())
}

/// One operation below `/canarySettings`.
pub(super) fn patch(
    txn: &Txn,
    api: &str,
    stage: &mut Body,
    operation: &PatchOperation,
) -> Result<(), ApiError> {
    let segments = operation.segments();
    let segments: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    if operation.op == Op::Remove {
        return remove(stage, &segments, operation);
    }
    if operation.op != Op::Replace {
        return Err(stages::invalid_operation(operation));
    }
    let value = operation.value();
    let (member, value) = match segments.as_slice() {
        ["deploymentId"] => {
            stages::existing_deployment(txn, api, value)?;
            ("deploymentId", Value::from(value))
        }
        ["percentTraffic"] => {
            let percent = value.parse().ok().ok_or_else(|| out_of_bounds(value))?;
            ("percentTraffic", Value::from(within_bounds(percent)?))
        }
        ["useStageCache"] => ("useStageCache", Value::from(value.eq_ignore_ascii_case("true"))),
        ["stageVariableOverrides"] => {
            let overrides: Map<String, Value> =
                serde_json::from_str(value).map_err(|_| stages::invalid_operation(operation))?;
            stages::check_variables(&overrides)?;
            ("stageVariableOverrides", Value::Object(overrides))
        }
        ["stageVariableOverrides", name] => {
            stages::check_variable(name, value)?;
            let canary = made(stage);
            let overrides = patch::object(canary, "stageVariableOverrides");
            overrides.insert((*name).to_owned(), Value::from(value));
            return Ok(());
        }
        _ => return Err(stages::invalid_operation(operation)),
    };
    made(stage).insert(member.to_owned(), value);
    Ok(())
}

fn remove(stage: &mut Body, segments: &[&str], operation: &PatchOperation) -> Result<(), ApiError> {
    let canary = stage.get_mut(MEMBER).and_then(Value::as_object_mut);
    match (segments, canary) {
        ([], _) => {
            stage.shift_remove(MEMBER);
        }
        (["stageVariableOverrides"], Some(canary)) => {
            canary.shift_remove("stageVariableOverrides");
        }
        (["stageVariableOverrides", name], Some(canary)) => {
            let overrides = patch::object(canary, "stageVariableOverrides");
            overrides.shift_remove(*name);
            if overrides.is_empty() {
                canary.shift_remove("stageVariableOverrides");
            }
        }
        (["stageVariableOverrides", ..], None) => {}
        _ => return Err(stages::no_method_setting(operation)),
    }
    Ok(())
}

/// `copy` takes a canary's deployment or variables over into the stage.
pub(super) fn promote(stage: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let to = operation.path.as_deref().unwrap_or("null");
    let from = operation.from.as_deref().unwrap_or("null");
    let member = match (to, from) {
        ("/deploymentId", "/canarySettings/deploymentId") => "deploymentId",
        ("/variables", "/canarySettings/stageVariableOverrides") => "stageVariableOverrides",
        // The reference says that the text is fixed without quoting it; this is from memory.
        _ => {
            return Err(ApiError::bad_request(format!(
                "Invalid copy operation with path: {to} and from {from}. Valid copy:path are \
                 [/deploymentId, /variables] and valid copy:from are \
                 [/canarySettings/deploymentId, /canarySettings/stageVariableOverrides]"
            )));
        }
    };
    let Some(canary) = stage.get(MEMBER) else {
        return Err(ApiError::bad_request("Promotion not available. Canary does not exist."));
    };
    match canary.get(member).cloned() {
        Some(Value::Object(overrides)) => patch::object(stage, "variables").extend(overrides),
        Some(deployment) => {
            stage.insert(member.to_owned(), deployment);
        }
        None => {}
    }
    Ok(())
}

/// The stage's canary, made of its own deployment where there is none.
fn made(stage: &mut Body) -> &mut Body {
    if !stage.get(MEMBER).is_some_and(Value::is_object) {
        let own = stage.get("deploymentId").and_then(Value::as_str).unwrap_or_default();
        let canary = fresh(own);
        stage.insert(MEMBER.to_owned(), Value::Object(canary));
    }
    patch::object(stage, MEMBER)
}

fn fresh(deployment: &str) -> Body {
    Map::from_iter([
        ("deploymentId".to_owned(), Value::from(deployment)),
        ("percentTraffic".to_owned(), Value::from(0.0)),
        ("useStageCache".to_owned(), Value::from(false)),
    ])
}

fn within_bounds(percent: f64) -> Result<f64, ApiError> {
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err(out_of_bounds(percent)) }
}

/// Ours; no recording of AWS's text.
fn out_of_bounds(sent: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!(
        "Invalid percentTraffic specified: {sent}. Must be between 0.0 and 100.0"
    ))
}

#[cfg(test)]
#[path = "canary_tests.rs"]
mod tests;
