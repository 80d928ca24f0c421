//! Routes, and the responses of WebSocket routes.
//!
//! AWS: API Gateway Version 2 API Reference, "Routes", "RouteResponses"; Developer Guide, "Create
//! routes for HTTP APIs".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{
    Family, Owner, Place, another, default, handlers, is_websocket, text, unknown,
};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateRoute", create),
    ("GetRoute", get),
    ("GetRoutes", list),
    ("UpdateRoute", update),
    ("DeleteRoute", delete),
    ("DeleteRouteRequestParameter", delete_request_parameter),
    ("CreateRouteResponse", create_response),
    ("GetRouteResponse", get_response),
    ("GetRouteResponses", list_responses),
    ("UpdateRouteResponse", update_response),
    ("DeleteRouteResponse", delete_response),
];

pub(super) const ROUTES: Family = Family {
    kind: Kind::Route,
    id: "routeId",
    noun: "Route",
    id_length: 7,
    owner: Owner::Api,
    prepare,
};

const RESPONSES: Family = Family {
    kind: Kind::RouteResponse,
    id: "routeResponseId",
    noun: "RouteResponse",
    id_length: 6,
    owner: Owner::PartOfApi(Kind::Route, "routeId", "Route"),
    prepare: prepare_response,
};

handlers!(ROUTES: create = create, get = get, list = list, update = update);
handlers!(RESPONSES: create_response = create, get_response = get, list_responses = list,
    update_response = update, delete_response = delete);

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY"];

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    _before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    let api = cx.txn.get(Kind::HttpApi, "", &place.api).unwrap_or_default();
    let key = text(body, "routeKey").to_owned();
    if !is_websocket(&api) {
        check_http_key(&key)?;
    } else if key.is_empty() {
        return Err(ApiError::bad_request("RouteKey must be specified"));
    }
    let same = |other: &Body| same_key(text(other, "routeKey"), &key);
    if another(cx, Kind::Route, place, same) {
        return Err(ApiError::conflict(format!(
            "Route with key {key} already exists for this API"
        )));
    }
    default(body, "authorizationType", "NONE");
    default(body, "apiKeyRequired", false);
    check_authorization(cx, place, &api, body)?;
    if let Some(integration) = text(body, "target").strip_prefix("integrations/")
        && !cx.txn.contains(Kind::HttpIntegration, &place.api, integration)
    {
        return Err(unknown("Integration", integration));
    }
    Ok(())
}

fn check_http_key(key: &str) -> Result<(), ApiError> {
    let good = key == "$default"
        || key.split_once(' ').is_some_and(|(method, path)| {
            METHODS.contains(&method) && path.starts_with('/') && !path.contains(' ')
        });
    if good {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "The provided route key is not formatted properly for HTTP protocol. Format should be \
         \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"",
    ))
}

/// Keys that answer the same calls: the names of path variables do not tell them apart.
fn same_key(one: &str, other: &str) -> bool {
    let shape = |key: &str| -> String {
        let parts: Vec<&str> = key
            .split('/')
            .map(|part| match part {
                part if part.starts_with('{') && part.ends_with("+}") => "{+}",
                part if part.starts_with('{') && part.ends_with('}') => "{}",
                part => part,
            })
            .collect();
        parts.join("/")
    };
    one == other || shape(one) == shape(other)
}

fn check_authorization(
    cx: &Context<'_>,
    place: &Place,
    api: &Body,
    body: &Body,
) -> Result<(), ApiError> {
    let kind = text(body, "authorizationType");
    let has_scopes = body
        .get("authorizationScopes")
        .and_then(Value::as_array)
        .is_some_and(|scopes| !scopes.is_empty());
    if has_scopes && kind != "JWT" {
        return Err(ApiError::bad_request(
            "Invalid Route authorization type specified. Authorization Scopes are only valid for \
             COGNITO_USER_POOLS and JWT authorization types",
        ));
    }
    if kind == "JWT" && is_websocket(api) {
        return Err(ApiError::bad_request("JWT authorization is only supported for HTTP APIs"));
    }
    if is_websocket(api) && !["", "NONE"].contains(&kind) && text(body, "routeKey") != "$connect" {
        return Err(ApiError::bad_request(
            "Currently, authorization is restricted to the $connect route only",
        ));
    }
    if ["JWT", "CUSTOM"].contains(&kind) {
        let id = text(body, "authorizerId");
        if id.is_empty() {
            return Err(ApiError::bad_request(
                "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or JWT \
                 requires a valid authorizer.",
            ));
        }
        let authorizer = cx.txn.get(Kind::HttpAuthorizer, &place.api, id);
        let authorizer = authorizer.ok_or_else(|| unknown("Authorizer", id))?;
        let wanted = if kind == "JWT" { "JWT" } else { "REQUEST" };
        if text(&authorizer, "authorizerType") != wanted {
            return Err(ApiError::bad_request(
                "The authorizer's type does not fit the route's authorization type",
            ));
        }
    }
    Ok(())
}

fn prepare_response(
    cx: &mut Context<'_>,
    place: &Place,
    _before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    only_websocket(cx, place, "Route responses")?;
    let key = text(body, "routeResponseKey");
    let same = |other: &Body| text(other, "routeResponseKey") == key;
    if another(cx, Kind::RouteResponse, place, same) {
        return Err(ApiError::conflict(format!("Route response with key {key} already exists")));
    }
    Ok(())
}

pub(super) fn only_websocket(cx: &Context<'_>, place: &Place, what: &str) -> Result<(), ApiError> {
    let api = cx.txn.get(Kind::HttpApi, "", &place.api).unwrap_or_default();
    match is_websocket(&api) {
        true => Ok(()),
        false => {
            Err(ApiError::bad_request(format!("{what} are only supported for WEBSOCKET APIs")))
        }
    }
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let outcome = ROUTES.delete(cx, input)?;
    let scope = format!("{}/{}", input.label("apiId"), input.label("routeId"));
    cx.txn.delete_all(Kind::RouteResponse, &scope);
    Ok(outcome)
}

fn delete_request_parameter(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, _) = ROUTES.scope(cx, input)?;
    let id = input.label("routeId");
    let route = cx.txn.get(Kind::Route, &api, id).ok_or_else(|| unknown("Route", id))?;
    let mut body = Body::clone(&route);
    let key = input.label("requestParameterKey");
    let parameters = body.get_mut("requestParameters").and_then(Value::as_object_mut);
    if parameters.is_none_or(|parameters| parameters.shift_remove(key).is_none()) {
        return Err(ApiError::not_found(format!("Invalid request parameter specified {key}")));
    }
    cx.txn.put(Kind::Route, &api, id, body);
    super::deployments::api_changed(cx, &api)?;
    Ok(Outcome::Body(Body::new()))
}
