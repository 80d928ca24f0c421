//! JWT and Lambda authorizers of routes.
//!
//! AWS: API Gateway Version 2 API Reference, "Authorizers"; Developer Guide, "Control access to
//! HTTP APIs with JWT authorizers", "…with AWS Lambda authorizers".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{
    Family, Owner, Place, another, default, handlers, is_websocket, text,
};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateAuthorizer", create),
    ("GetAuthorizer", get),
    ("GetAuthorizers", list),
    ("UpdateAuthorizer", update),
    ("DeleteAuthorizer", delete),
];

pub(super) const AUTHORIZERS: Family = Family {
    kind: Kind::HttpAuthorizer,
    id: "authorizerId",
    noun: "Authorizer",
    id_length: 6,
    owner: Owner::Api,
    prepare,
};

handlers!(AUTHORIZERS: create = create, get = get, list = list, update = update);

/// Seconds; API Reference, "authorizerResultTtlInSeconds".
const TTL_MAX: u64 = 3_600;
const TTL_DEFAULT: u64 = 300;

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    let api = cx.txn.get(Kind::HttpApi, "", &place.api).unwrap_or_default();
    let name = text(body, "name").to_owned();
    if name.is_empty() {
        return Err(ApiError::bad_request("Name must be specified"));
    }
    if another(cx, Kind::HttpAuthorizer, place, |other| text(other, "name") == name) {
        return Err(ApiError::conflict(format!(
            "Authorizer name {name} already exists in this API"
        )));
    }
    let sources = body.get("identitySource").and_then(Value::as_array).map_or(0, Vec::len);
    match text(body, "authorizerType") {
        "JWT" => {
            if is_websocket(&api) {
                return Err(ApiError::bad_request(
                    "JWT authorizers are only supported for HTTP APIs",
                ));
            }
            if sources != 1 {
                return Err(ApiError::bad_request(
                    "JWT authorizers need exactly one identity source",
                ));
            }
            let jwt = body.get("jwtConfiguration").and_then(Value::as_object);
            let issuer = jwt.map(|jwt| text(jwt, "issuer")).unwrap_or_default();
            if !issuer.starts_with("https://") {
                return Err(ApiError::bad_request(format!(
                    "Caught exception when connecting to {issuer}/.well-known/openid-configuration. \
                     Please try again later. Error: Invalid issuer: it must be a valid HTTPS URL"
                )));
            }
        }
        _ => {
            if text(body, "authorizerUri").is_empty() {
                return Err(ApiError::bad_request("AuthorizerUri must be specified"));
            }
            if !is_websocket(&api) {
                let version = text(body, "authorizerPayloadFormatVersion").to_owned();
                if !["1.0", "2.0"].contains(&version.as_str()) {
                    return Err(ApiError::bad_request(
                        "AuthorizerPayloadFormatVersion is a required parameter for REQUEST \
                         authorizer of HTTP APIs, one of [1.0, 2.0]",
                    ));
                }
                default(body, "enableSimpleResponses", false);
                if before.is_none() && sources > 0 {
                    default(body, "authorizerResultTtlInSeconds", TTL_DEFAULT);
                }
            }
        }
    }
    let ttl = body.get("authorizerResultTtlInSeconds").and_then(Value::as_u64).unwrap_or(0);
    if ttl > TTL_MAX {
        return Err(ApiError::bad_request(format!(
            "Authorizer result TTL should be between 0 and {TTL_MAX} seconds"
        )));
    }
    Ok(())
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, id) = (input.label("apiId"), input.label("authorizerId"));
    let routes = cx.txn.list(Kind::Route, api);
    if let Some((_, route)) = routes.iter().find(|(_, route)| text(route, "authorizerId") == id) {
        return Err(ApiError::conflict(format!(
            "Cannot delete authorizer {id}, is referenced in route: {}",
            text(route, "routeKey")
        )));
    }
    AUTHORIZERS.delete(cx, input)
}
