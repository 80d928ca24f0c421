//! Stages: where a deployment can be called, once these APIs are served.
//!
//! AWS: API Gateway Version 2 API Reference, "Stages".

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Effect, Input, Operations, Outcome};
use crate::admin::v2::family::{
    Family, Owner, Place, default, handlers, is_websocket, require_api, text, unknown,
};
use crate::model::quotas;
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateStage", create),
    ("GetStage", get),
    ("GetStages", list),
    ("UpdateStage", update),
    ("DeleteStage", delete),
    ("DeleteAccessLogSettings", delete_access_log_settings),
    ("DeleteRouteSettings", delete_route_settings),
    ("ResetAuthorizersCache", reset_authorizers_cache),
];

pub(super) const STAGES: Family = Family {
    kind: Kind::HttpStage,
    id: "stageName",
    noun: "Stage",
    id_length: 6,
    owner: Owner::Api,
    prepare,
};

handlers!(STAGES: get = get, list = list, update = update);

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    let api = cx.txn.get(Kind::HttpApi, "", &place.api).unwrap_or_default();
    check_name(&place.id, is_websocket(&api))?;
    if before.is_none() && cx.txn.contains(Kind::HttpStage, &place.api, &place.id) {
        return Err(ApiError::conflict("Stage already exists"));
    }
    let automatic = body.get("autoDeploy") == Some(&Value::Bool(true));
    let deployment = text(body, "deploymentId").to_owned();
    let repointed = before.map(|before| text(before, "deploymentId")) != Some(deployment.as_str());
    if automatic && repointed && !deployment.is_empty() {
        return Err(ApiError::bad_request(
            "Deployment ID cannot be set on a stage that has AutoDeploy enabled",
        ));
    }
    if !deployment.is_empty() && !cx.txn.contains(Kind::HttpDeployment, &place.api, &deployment) {
        return Err(unknown("Deployment", &deployment));
    }
    let variables = body.get("stageVariables").and_then(Value::as_object);
    if variables.is_some_and(|variables| variables.len() > quotas::STAGE_VARIABLES_MAX) {
        return Err(ApiError::bad_request(format!(
            "A stage has at most {} stage variables",
            quotas::STAGE_VARIABLES_MAX
        )));
    }
    if automatic && before.is_none() {
        // Deployed by `api_changed`, which runs after this.
        body.shift_remove("deploymentId");
    }
    default(body, "autoDeploy", false);
    default(body, "defaultRouteSettings", json!({ "detailedMetricsEnabled": false }));
    if let Some(Value::Object(settings)) = body.get_mut("defaultRouteSettings") {
        default(settings, "detailedMetricsEnabled", false);
    }
    default(body, "routeSettings", json!({}));
    default(body, "stageVariables", json!({}));
    default(body, "lastDeploymentStatusMessage", super::NOT_SERVED);
    if before.is_none() {
        body.insert("createdDate".to_owned(), cx.seconds());
        default(body, "tags", json!({}));
    }
    body.insert("lastUpdatedDate".to_owned(), cx.seconds());
    Ok(())
}

fn check_name(name: &str, is_websocket: bool) -> Result<(), ApiError> {
    let good = (1..=quotas::STAGE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if good || (name == "$default" && !is_websocket) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "Stage name only allows a-zA-Z0-9_- or, for HTTP APIs, $default, with at most 128 \
         characters",
    ))
}

fn create(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    require_api(cx, input)?;
    let api = input.label("apiId").to_owned();
    let name = input.text("stageName").unwrap_or_default().to_owned();
    let place = Place { scope: api.clone(), api: api.clone(), id: name.clone() };
    let outcome = STAGES.create_as(cx, place, &input.body)?;
    // As it is after an automatic deployment.
    let kept = cx.txn.get(Kind::HttpStage, &api, &name);
    Ok(kept.map_or(outcome, |kept| Outcome::Body(Body::clone(&kept))))
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, name) = (input.label("apiId"), input.label("stageName"));
    for (domain, _) in cx.txn.list(Kind::DomainName, "") {
        let mapped = cx.txn.list(Kind::BasePathMapping, &domain);
        let this =
            |mapping: &Body| text(mapping, "restApiId") == api && text(mapping, "stage") == name;
        if mapped.iter().any(|(_, mapping)| this(mapping)) {
            return Err(ApiError::conflict(format!(
                "Stage {name} is mapped by domain name {domain}; remove the API mapping first"
            )));
        }
    }
    let mut body = require(cx, input)?;
    // A managed stage may go; only its API cannot be taken apart further.
    body.shift_remove("apiGatewayManaged");
    cx.txn.put(Kind::HttpStage, api, name, body);
    STAGES.delete(cx, input)
}

fn require(cx: &Context<'_>, input: &Input) -> Result<Body, ApiError> {
    require_api(cx, input)?;
    let name = input.label("stageName");
    let stage = cx.txn.get(Kind::HttpStage, input.label("apiId"), name);
    stage.map(|stage| Body::clone(&stage)).ok_or_else(|| unknown("Stage", name))
}

fn delete_access_log_settings(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut stage = require(cx, input)?;
    stage.shift_remove("accessLogSettings");
    cx.txn.put(Kind::HttpStage, input.label("apiId"), input.label("stageName"), stage);
    Ok(Outcome::Body(Body::new()))
}

fn delete_route_settings(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut stage = require(cx, input)?;
    let key = input.label("routeKey");
    let settings = stage.get_mut("routeSettings").and_then(Value::as_object_mut);
    if settings.is_none_or(|settings| settings.shift_remove(key).is_none()) {
        return Err(ApiError::not_found(format!("Invalid route settings key specified {key}")));
    }
    cx.txn.put(Kind::HttpStage, input.label("apiId"), input.label("stageName"), stage);
    Ok(Outcome::Body(Body::new()))
}

fn reset_authorizers_cache(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    require(cx, input)?;
    cx.effects.push(Effect::FlushAuthorizers {
        api: input.label("apiId").to_owned(),
        stage: input.label("stageName").to_owned(),
    });
    Ok(Outcome::Body(Body::new()))
}
