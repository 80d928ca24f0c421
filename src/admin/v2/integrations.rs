//! Integrations of routes, and the integration responses of WebSocket APIs.
//!
//! AWS: API Gateway Version 2 API Reference, "Integrations", "IntegrationResponses"; Developer
//! Guide, "Create integrations for HTTP APIs", "Quotas".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{
    Family, Owner, Place, another, default, handlers, is_websocket, text,
};
use crate::admin::v2::routes::only_websocket;
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateIntegration", create),
    ("GetIntegration", get),
    ("GetIntegrations", list),
    ("UpdateIntegration", update),
    ("DeleteIntegration", delete),
    ("CreateIntegrationResponse", create_response),
    ("GetIntegrationResponse", get_response),
    ("GetIntegrationResponses", list_responses),
    ("UpdateIntegrationResponse", update_response),
    ("DeleteIntegrationResponse", delete_response),
];

pub(super) const INTEGRATIONS: Family = Family {
    kind: Kind::HttpIntegration,
    id: "integrationId",
    noun: "Integration",
    id_length: 7,
    owner: Owner::Api,
    prepare,
};

const RESPONSES: Family = Family {
    kind: Kind::HttpIntegrationResponse,
    id: "integrationResponseId",
    noun: "IntegrationResponse",
    id_length: 7,
    owner: Owner::PartOfApi(Kind::HttpIntegration, "integrationId", "Integration"),
    prepare: prepare_response,
};

handlers!(INTEGRATIONS: create = create, get = get, list = list, update = update);
handlers!(RESPONSES: create_response = create, get_response = get, list_responses = list,
    update_response = update, delete_response = delete);

/// Milliseconds; Developer Guide, "Quotas for configuring and running an HTTP API" and "…a
/// WebSocket API".
const TIMEOUT_MIN: u64 = 50;
const TIMEOUT_MAX_HTTP: u64 = 30_000;
const TIMEOUT_MAX_WEBSOCKET: u64 = 29_000;

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    _before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    let api = cx.txn.get(Kind::HttpApi, "", &place.api).unwrap_or_default();
    let socket = is_websocket(&api);
    let kind = text(body, "integrationType").to_owned();
    if !socket && !["AWS_PROXY", "HTTP_PROXY"].contains(&kind.as_str()) {
        return Err(ApiError::bad_request(
            "Only AWS_PROXY and HTTP_PROXY integrations are supported for HTTP APIs",
        ));
    }
    let subtype = !text(body, "integrationSubtype").is_empty();
    if subtype && (socket || kind != "AWS_PROXY") {
        return Err(ApiError::bad_request(
            "IntegrationSubtype is only supported for AWS_PROXY integrations of HTTP APIs",
        ));
    }
    if kind != "MOCK" && !subtype && text(body, "integrationUri").is_empty() {
        return Err(ApiError::bad_request("IntegrationUri must be specified"));
    }
    if kind == "HTTP_PROXY" && text(body, "integrationMethod").is_empty() {
        return Err(ApiError::bad_request(
            "HttpMethod must be specified for HTTP_PROXY integrations",
        ));
    }
    let most = if socket { TIMEOUT_MAX_WEBSOCKET } else { TIMEOUT_MAX_HTTP };
    if let Some(timeout) = body.get("timeoutInMillis").and_then(Value::as_u64)
        && !(TIMEOUT_MIN..=most).contains(&timeout)
    {
        return Err(ApiError::bad_request(format!(
            "Timeout should be between {TIMEOUT_MIN} ms and {most} ms"
        )));
    }
    if !["", "1.0", "2.0"].contains(&text(body, "payloadFormatVersion")) {
        return Err(ApiError::bad_request(
            "Invalid payload format version specified. Must be one of [1.0, 2.0]",
        ));
    }
    check_connection(cx, body)?;
    default(body, "connectionType", "INTERNET");
    default(body, "payloadFormatVersion", "1.0");
    default(body, "timeoutInMillis", most);
    if socket {
        default(body, "passthroughBehavior", "WHEN_NO_MATCH");
        if !kind.ends_with("_PROXY") {
            default(
                body,
                "integrationResponseSelectionExpression",
                "${integration.response.statuscode}",
            );
        }
    }
    if kind == "AWS_PROXY" && !subtype {
        default(body, "integrationMethod", "POST");
    }
    Ok(())
}

fn check_connection(cx: &Context<'_>, body: &Body) -> Result<(), ApiError> {
    let id = text(body, "connectionId");
    match text(body, "connectionType") {
        "VPC_LINK" if id.is_empty() => {
            Err(ApiError::bad_request("ConnectionId must be specified for VPC_LINK connections"))
        }
        "VPC_LINK"
            if !id.contains("${stageVariables.")
                && !cx.txn.contains(Kind::VpcLinkV2, "", id)
                && !cx.txn.contains(Kind::VpcLink, "", id) =>
        {
            Err(ApiError::not_found(format!("Invalid VPC link identifier specified {id}")))
        }
        _ => Ok(()),
    }
}

fn prepare_response(
    cx: &mut Context<'_>,
    place: &Place,
    _before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    only_websocket(cx, place, "Integration responses")?;
    let key = text(body, "integrationResponseKey");
    let same = |other: &Body| text(other, "integrationResponseKey") == key;
    if another(cx, Kind::HttpIntegrationResponse, place, same) {
        return Err(ApiError::conflict(format!(
            "Integration response with key {key} already exists"
        )));
    }
    Ok(())
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, id) = (input.label("apiId"), input.label("integrationId"));
    let target = format!("integrations/{id}");
    let routes = cx.txn.list(Kind::Route, api);
    if let Some((_, route)) = routes.iter().find(|(_, route)| text(route, "target") == target) {
        return Err(ApiError::conflict(format!(
            "Cannot delete Integration {id}, as it is referenced by route {}",
            text(route, "routeKey")
        )));
    }
    let outcome = INTEGRATIONS.delete(cx, input)?;
    cx.txn.delete_all(Kind::HttpIntegrationResponse, &format!("{api}/{id}"));
    Ok(outcome)
}
