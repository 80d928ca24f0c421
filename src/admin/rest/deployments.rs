//! Deployments: immutable snapshots of an API, and the stage a snapshot is made for.
//!
//! A snapshot can always be made: it keeps whatever the API says. Pointing a stage at one that the
//! data plane cannot serve is refused with the list of places (`stages::refuse_unserved`).
//!
//! AWS: API Gateway REST API Reference, "Deployment", "CreateDeployment"; Developer Guide, "Deploy
//! REST APIs in API Gateway", "Create a canary release deployment". Texts of refusals are recorded
//! unless a comment says otherwise.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, Rule, Wording};
use crate::admin::rest::{canary, definition, stages};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateDeployment", create_deployment),
    ("GetDeployment", get_deployment),
    ("GetDeployments", get_deployments),
    ("UpdateDeployment", update_deployment),
    ("DeleteDeployment", delete_deployment),
];

/// AWS: "Patch Operations", Deployment.
const RULES: &[Rule] =
    &[Rule { path: "/description", ops: &[Op::Replace], apply: Apply::TextOrNothing }];
/// Length of an id.
const ID_LENGTH: usize = 6;
/// Member of a `DeploymentDefinition`: the frozen API as JSON text.
const DEFINITION: &str = "definition";

fn create_deployment(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = existing_api(ctx, input)?;
    let asks_canary = input.body.get("canarySettings").is_some_and(Value::is_object);
    // Terraform sends an empty name where it wants no stage.
    let stage_name = input.text("stageName").filter(|name| !name.is_empty());
    if asks_canary {
        canary::check_deployment(ctx.txn, &api, input.text("stageName"))?;
    }
    refuse_incomplete(ctx.txn, &api)?;
    let id = ctx.new_id(ID_LENGTH, |id| ctx.txn.contains(Kind::Deployment, &api, id));
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(id.as_str()));
    if let Some(description) = input.text("description") {
        body.insert("description".to_owned(), Value::from(description));
    }
    body.insert("createdDate".to_owned(), ctx.seconds());
    let frozen = definition::freeze(ctx.txn, &api).unwrap_or(Value::Null);
    let mut kept = Body::new();
    kept.insert(DEFINITION.to_owned(), Value::from(frozen.to_string()));
    ctx.txn.put(Kind::DeploymentDefinition, &api, &id, kept);
    ctx.txn.put(Kind::Deployment, &api, &id, body.clone());
    if let Some(name) = stage_name {
        stages::deploy_to(ctx, &api, name, &id, input)?;
    }
    Ok(Outcome::Body(body))
}

/// AWS deploys no API without methods, and no method without an integration.
fn refuse_incomplete(txn: &Txn, api: &str) -> Result<(), ApiError> {
    let mut any = false;
    for (_, resource) in txn.list(Kind::Resource, api) {
        let methods = resource.get("resourceMethods").and_then(Value::as_object);
        for method in methods.into_iter().flat_map(Map::values) {
            any = true;
            if !method.get("methodIntegration").is_some_and(Value::is_object) {
                return Err(ApiError::bad_request("No integration defined for method"));
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(ApiError::bad_request("The REST API doesn't contain any methods"))
    }
}

fn get_deployment(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = existing_api(ctx, input)?;
    let mut body = existing(ctx, &api, input)?;
    let embed = input.query.get("embed").and_then(Value::as_array);
    let wanted = embed.into_iter().flatten().filter_map(Value::as_str);
    if wanted.into_iter().any(|name| name.eq_ignore_ascii_case("apisummary"))
        && let Some(frozen) = frozen(ctx.txn, &api, input.label("deployment_id"))
    {
        body.insert("apiSummary".to_owned(), summary(&frozen));
    }
    Ok(Outcome::Body(body))
}

fn get_deployments(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = existing_api(ctx, input)?;
    let found = ctx.txn.list(Kind::Deployment, &api);
    Ok(page(input, found.into_iter().map(|(id, body)| (id, Body::clone(&body)))))
}

fn update_deployment(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = existing_api(ctx, input)?;
    let mut body = existing(ctx, &api, input)?;
    patch::apply(&mut body, &patch::read(input)?, RULES, Wording::Listing)?;
    ctx.txn.put(Kind::Deployment, &api, input.label("deployment_id"), body.clone());
    Ok(Outcome::Body(body))
}

fn delete_deployment(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = existing_api(ctx, input)?;
    existing(ctx, &api, input)?;
    let id = input.label("deployment_id");
    for (_, stage) in ctx.txn.list(Kind::Stage, &api) {
        if stage.get("deploymentId").and_then(Value::as_str) == Some(id) {
            return Err(ApiError::bad_request(
                "Active stages pointing to this deployment must be moved or deleted",
            ));
        }
        if canary::deployment_of(&stage) == Some(id) {
            return Err(ApiError::bad_request(
                "Active stages with canary settings pointing to this deployment must be moved or \
                 deleted",
            ));
        }
    }
    ctx.txn.delete(Kind::Deployment, &api, id);
    ctx.txn.delete(Kind::DeploymentDefinition, &api, id);
    Ok(Outcome::Body(Body::new()))
}

/// The id of the API the call is about.
pub(super) fn existing_api(ctx: &Context<'_>, input: &Input) -> Result<String, ApiError> {
    let id = input.label("restapi_id");
    if ctx.txn.contains(Kind::RestApi, "", id) {
        return Ok(id.to_owned());
    }
    let account = &ctx.site.account_id;
    Err(ApiError::not_found(format!("Invalid API identifier specified {account}:{id}")))
}

fn existing(ctx: &Context<'_>, api: &str, input: &Input) -> Result<Body, ApiError> {
    let found = ctx.txn.get(Kind::Deployment, api, input.label("deployment_id"));
    let unknown = || ApiError::not_found("Invalid Deployment identifier specified");
    found.map(Arc::unwrap_or_clone).ok_or_else(unknown)
}

/// What a deployment froze. `None` when there is no such deployment.
pub fn frozen(txn: &Txn, api: &str, deployment: &str) -> Option<Value> {
    let kept = txn.get(Kind::DeploymentDefinition, api, deployment)?;
    serde_json::from_str(kept.get(DEFINITION)?.as_str()?).ok()
}

/// Path → verb → who may call it.
fn summary(frozen: &Value) -> Value {
    let mut paths = Map::new();
    for resource in frozen.get("resources").and_then(Value::as_array).into_iter().flatten() {
        let methods = resource.get("resourceMethods").and_then(Value::as_object);
        let methods: Map<String, Value> = methods
            .into_iter()
            .flatten()
            .map(|(verb, method)| {
                let authorization = method.get("authorizationType").cloned();
                let key = method.get("apiKeyRequired").and_then(Value::as_bool).unwrap_or(false);
                let snapshot = Map::from_iter([
                    (
                        "authorizationType".to_owned(),
                        authorization.unwrap_or_else(|| Value::from("NONE")),
                    ),
                    ("apiKeyRequired".to_owned(), Value::from(key)),
                ]);
                (verb.clone(), Value::Object(snapshot))
            })
            .collect();
        if let Some(path) = resource.get("path").and_then(Value::as_str)
            && !methods.is_empty()
        {
            paths.insert(path.to_owned(), Value::Object(methods));
        }
    }
    Value::Object(paths)
}

#[cfg(test)]
#[path = "deployments_tests.rs"]
mod tests;
