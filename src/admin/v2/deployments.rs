//! Deployments: what the routes were at one moment; made by hand, or by stages that deploy by
//! themselves.
//!
//! AWS: API Gateway Version 2 API Reference, "Deployments"; Developer Guide, "Stages for HTTP APIs".

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{Family, Owner, Place, handlers, require_api, text, unknown};
use crate::store::control::{Body, Kind, Txn};

pub(super) const OPERATIONS: Operations = &[
    ("CreateDeployment", create),
    ("GetDeployment", get),
    ("GetDeployments", list),
    ("UpdateDeployment", update),
    ("DeleteDeployment", delete),
];

const DEPLOYMENTS: Family = Family {
    kind: Kind::HttpDeployment,
    id: "deploymentId",
    noun: "Deployment",
    id_length: 6,
    owner: Owner::Api,
    prepare,
};

handlers!(DEPLOYMENTS: get = get, list = list, update = update);

/// What a deployment froze, as JSON text; the service model does not know this member.
pub(super) const DEFINITION: &str = "tidegateDefinition";
const AUTOMATIC: &str = "Automatic deployment triggered by changes to the Api configuration";
/// Automatic deployments kept besides those that stages point to; ours.
const AUTOMATIC_KEPT: usize = 10;

fn prepare(
    _cx: &mut Context<'_>,
    _place: &Place,
    _before: Option<&Body>,
    _body: &mut Body,
) -> Result<(), ApiError> {
    Ok(())
}

fn create(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    require_api(cx, input)?;
    let api = input.label("apiId").to_owned();
    if cx.txn.list(Kind::Route, &api).is_empty() {
        return Err(ApiError::bad_request(
            "At least one route is required before deploying the Api.",
        ));
    }
    let stage = input.text("stageName").filter(|stage| !stage.is_empty());
    if let Some(stage) = stage {
        let found = cx.txn.get(Kind::HttpStage, &api, stage);
        let found = found.ok_or_else(|| unknown("Stage", stage))?;
        if found.get("autoDeploy") == Some(&Value::Bool(true)) {
            return Err(ApiError::bad_request(format!(
                "Deployment ID cannot be set on stage '{stage}' because AutoDeploy is enabled"
            )));
        }
    }
    let (id, body) = freeze(cx, &api, input.text("description"), false);
    if let Some(stage) = stage
        && let Some(found) = cx.txn.get(Kind::HttpStage, &api, stage)
    {
        let mut found = Body::clone(&found);
        found.insert("deploymentId".to_owned(), Value::from(id));
        found.insert("lastUpdatedDate".to_owned(), cx.seconds());
        cx.txn.put(Kind::HttpStage, &api, stage, found);
    }
    Ok(Outcome::Body(body))
}

/// Keeps what the API is now as a deployment.
pub(super) fn freeze(
    cx: &mut Context<'_>,
    api: &str,
    description: Option<&str>,
    automatic: bool,
) -> (String, Body) {
    let id = cx.new_id(DEPLOYMENTS.id_length, |id| cx.txn.contains(Kind::HttpDeployment, api, id));
    let mut body = Body::new();
    body.insert("deploymentId".to_owned(), Value::from(id.as_str()));
    body.insert("createdDate".to_owned(), cx.seconds());
    body.insert("deploymentStatus".to_owned(), Value::from("DEPLOYED"));
    body.insert("autoDeployed".to_owned(), Value::from(automatic));
    if let Some(description) = description {
        body.insert("description".to_owned(), Value::from(description));
    }
    body.insert(DEFINITION.to_owned(), Value::from(definition(cx.txn, api).to_string()));
    cx.txn.put(Kind::HttpDeployment, api, &id, body.clone());
    (id, body)
}

/// The whole API as it is now.
pub(super) fn definition(txn: &Txn, api: &str) -> Value {
    let mut parts = Map::new();
    let own = txn.get(Kind::HttpApi, "", api).unwrap_or_default();
    parts.insert("api".to_owned(), Value::Object(Body::clone(&own)));
    let bodies = |kind: Kind, scope: &str| -> Value {
        let found = txn.list(kind, scope).into_iter();
        found.map(|(_, body)| Value::Object(Body::clone(&body))).collect()
    };
    let with_responses = |kind: Kind, responses: Kind, member: &str| -> Value {
        let found = txn.list(kind, api).into_iter();
        found
            .map(|(id, body)| {
                let mut body = Body::clone(&body);
                let found = bodies(responses, &format!("{api}/{id}"));
                if found.as_array().is_some_and(|found| !found.is_empty()) {
                    body.insert(member.to_owned(), found);
                }
                Value::Object(body)
            })
            .collect()
    };
    let routes = with_responses(Kind::Route, Kind::RouteResponse, "routeResponses");
    parts.insert("routes".to_owned(), routes);
    let integrations = with_responses(
        Kind::HttpIntegration,
        Kind::HttpIntegrationResponse,
        "integrationResponses",
    );
    parts.insert("integrations".to_owned(), integrations);
    parts.insert("authorizers".to_owned(), bodies(Kind::HttpAuthorizer, api));
    parts.insert("models".to_owned(), bodies(Kind::HttpModel, api));
    Value::Object(parts)
}

/// Deploys an API to its stages that deploy by themselves. Called after every change of an API.
pub(super) fn api_changed(cx: &mut Context<'_>, api: &str) -> Result<(), ApiError> {
    if api.is_empty() || cx.txn.list(Kind::Route, api).is_empty() {
        return Ok(());
    }
    let automatic = |body: &Body| body.get("autoDeploy") == Some(&Value::Bool(true));
    let stages = cx.txn.list(Kind::HttpStage, api);
    let stages: Vec<_> = stages.into_iter().filter(|(_, body)| automatic(body)).collect();
    let Some((_, first)) = stages.first() else { return Ok(()) };
    // A change of a stage's own settings needs no new deployment.
    let now = definition(cx.txn, api).to_string();
    let newest = cx.txn.get(Kind::HttpDeployment, api, text(first, "deploymentId"));
    if newest.is_some_and(|newest| text(&newest, DEFINITION) == now)
        && stages.iter().all(|(_, body)| body.get("deploymentId") == first.get("deploymentId"))
    {
        return Ok(());
    }
    let (id, _) = freeze(cx, api, Some(AUTOMATIC), true);
    for (name, body) in stages {
        let mut body = Body::clone(&body);
        body.insert("deploymentId".to_owned(), Value::from(id.as_str()));
        body.insert(
            "lastDeploymentStatusMessage".to_owned(),
            Value::from(format!(
                "Successfully deployed stage with deployment ID '{id}'. {}",
                super::NOT_SERVED
            )),
        );
        cx.txn.put(Kind::HttpStage, api, &name, body);
    }
    forget_old(cx, api);
    Ok(())
}

/// Drops the oldest automatic deployments that no stage points to.
fn forget_old(cx: &mut Context<'_>, api: &str) {
    let stages = cx.txn.list(Kind::HttpStage, api);
    let used = |id: &str| stages.iter().any(|(_, stage)| text(stage, "deploymentId") == id);
    let mut old: Vec<_> = cx
        .txn
        .list(Kind::HttpDeployment, api)
        .into_iter()
        .filter(|(id, body)| body.get("autoDeployed") == Some(&Value::Bool(true)) && !used(id))
        .collect();
    old.sort_by_key(|(_, body)| body.get("createdDate").and_then(Value::as_u64));
    let surplus = old.len().saturating_sub(AUTOMATIC_KEPT);
    for (id, _) in old.into_iter().take(surplus) {
        cx.txn.delete(Kind::HttpDeployment, api, &id);
    }
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, id) = (input.label("apiId"), input.label("deploymentId"));
    let stages = cx.txn.list(Kind::HttpStage, api);
    if stages.iter().any(|(_, stage)| text(stage, "deploymentId") == id) {
        return Err(ApiError::bad_request(
            "Active stages pointing to this deployment must be moved or deleted",
        ));
    }
    DEPLOYMENTS.delete(cx, input)
}
