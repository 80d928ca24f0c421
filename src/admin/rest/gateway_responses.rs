//! Gateway responses: what a client gets when the gateway itself refuses.
//!
//! Only customised ones are kept, and of a status only the author's own; the rest is made up when
//! they are read: INTEGRATION_FAILURE is shown with 504, but some of its failures are 500 and 502,
//! and stay that where nobody gave a status (recorded: rest-data-plane 3.4). A customised
//! `DEFAULT_4XX` or `DEFAULT_5XX` shows through in every type of its class that is not customised
//! itself, which still counts as default (recorded). Entries are never merged member by member.
//!
//! AWS: API Gateway API Reference, "PutGatewayResponse", "GetGatewayResponses"; Developer Guide,
//! "Gateway response types for API Gateway".

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page;
use crate::admin::protocol::patch::{self, ANY, Apply, Op, PatchOperation, Rule, Wording};
use crate::admin::rest::expressions;
use crate::admin::rest::integrations::check_templates;
use crate::admin::rest::shared::{copy, member, nothing, rest_api};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("PutGatewayResponse", put_gateway_response),
    ("GetGatewayResponse", get_gateway_response),
    ("GetGatewayResponses", get_gateway_responses),
    ("UpdateGatewayResponse", update_gateway_response),
    ("DeleteGatewayResponse", delete_gateway_response),
];

/// Every type with its status; alphabetical, as lists are. Recorded.
pub(crate) const TYPES: [(&str, Option<&str>); 21] = [
    ("ACCESS_DENIED", Some("403")),
    ("API_CONFIGURATION_ERROR", Some("500")),
    ("AUTHORIZER_CONFIGURATION_ERROR", Some("500")),
    ("AUTHORIZER_FAILURE", Some("500")),
    ("BAD_REQUEST_BODY", Some("400")),
    ("BAD_REQUEST_PARAMETERS", Some("400")),
    ("DEFAULT_4XX", None),
    ("DEFAULT_5XX", None),
    ("EXPIRED_TOKEN", Some("403")),
    ("INTEGRATION_FAILURE", Some("504")),
    ("INTEGRATION_TIMEOUT", Some("504")),
    ("INVALID_API_KEY", Some("403")),
    ("INVALID_SIGNATURE", Some("403")),
    ("MISSING_AUTHENTICATION_TOKEN", Some("403")),
    ("QUOTA_EXCEEDED", Some("429")),
    ("REQUEST_TOO_LARGE", Some("413")),
    ("RESOURCE_NOT_FOUND", Some("404")),
    ("THROTTLED", Some("429")),
    ("UNAUTHORIZED", Some("401")),
    ("UNSUPPORTED_MEDIA_TYPE", Some("415")),
    ("WAF_FILTERED", Some("403")),
];

/// The template of a gateway response that has none of its own.
pub(crate) const TEMPLATE: &str = "{\"message\":$context.error.messageString}";

/// What AWS answers for a type nobody customised.
fn built_in(kind: &str, status: Option<&str>) -> Body {
    let mut body = Body::new();
    body.insert("responseType".to_owned(), Value::from(kind));
    if let Some(status) = status {
        body.insert("statusCode".to_owned(), Value::from(status));
    }
    body.insert("responseParameters".to_owned(), json!({}));
    body.insert("responseTemplates".to_owned(), json!({"application/json": TEMPLATE}));
    body.insert("defaultResponse".to_owned(), Value::from(true));
    body
}

/// The type that the request's path names; the protocol has checked that there is one.
fn named(input: &Input) -> Result<(&'static str, Option<&'static str>), ApiError> {
    let asked = input.label("response_type");
    TYPES
        .iter()
        .find(|(kind, _)| *kind == asked)
        .copied()
        .ok_or_else(|| ApiError::bad_request(format!("Invalid response type specified: {asked}")))
}

/// A customised type as it is shown: with the status of the type where the author gave none.
fn completed(own: &Body, kind: &str, status: Option<&str>) -> Body {
    let mut body = built_in(kind, status);
    body.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    body
}

/// A type as it applies now.
fn shown(txn: &Txn, api: &str, kind: &str, status: Option<&str>) -> Body {
    if let Some(own) = txn.get(Kind::GatewayResponse, api, kind) {
        return completed(&own, kind, status);
    }
    let mut body = built_in(kind, status);
    let class = match status.map(|status| status.starts_with('4')) {
        Some(true) => "DEFAULT_4XX",
        Some(false) => "DEFAULT_5XX",
        None => return body,
    };
    if let Some(default) = txn.get(Kind::GatewayResponse, api, class) {
        copy(&default, &mut body, &["statusCode", "responseParameters", "responseTemplates"]);
    }
    body
}

fn put_gateway_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (kind, status) = named(input)?;
    let mut body = built_in(kind, None);
    copy(&input.body, &mut body, &["statusCode", "responseParameters", "responseTemplates"]);
    body.insert("defaultResponse".to_owned(), Value::from(false));
    check(&body)?;
    let shown = completed(&body, kind, status);
    context.txn.put(Kind::GatewayResponse, input.label("restapi_id"), kind, body);
    Ok(Outcome::Body(shown))
}

/// What could not be put into an answer.
fn check(body: &Body) -> Result<(), ApiError> {
    check_templates(body, "responseTemplates")?;
    expressions::check_gateway_mappings(body)
}

fn get_gateway_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (kind, status) = named(input)?;
    Ok(Outcome::Body(shown(context.txn, input.label("restapi_id"), kind, status)))
}

fn get_gateway_responses(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let api = input.label("restapi_id");
    let found = TYPES
        .iter()
        .map(|(kind, status)| (Arc::from(*kind), shown(context.txn, api, kind, *status)));
    Ok(page::page(input, found))
}

const RULES: &[Rule] = &[
    Rule { path: "/statusCode", ops: ANY, apply: Apply::Custom(patch_status) },
    Rule { path: "/responseParameters/{}", ops: ANY, apply: Apply::Custom(patch_entry) },
    Rule { path: "/responseTemplates/{}", ops: ANY, apply: Apply::Custom(patch_entry) },
];

/// A type nobody customised becomes customised from its defaults (recorded).
fn update_gateway_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (kind, status) = named(input)?;
    let api = input.label("restapi_id");
    let own = context.txn.get(Kind::GatewayResponse, api, kind);
    let mut body = own.map_or_else(|| built_in(kind, None), |own| Body::clone(&own));
    body.insert("defaultResponse".to_owned(), Value::from(false));
    patch::apply(&mut body, &patch::read(input)?, RULES, Wording::Bare)?;
    check(&body)?;
    let shown = completed(&body, kind, status);
    context.txn.put(Kind::GatewayResponse, api, kind, body);
    Ok(Outcome::Body(shown))
}

/// The status can only be replaced. How AWS words the refusal is not in our recordings; it is taken
/// for a wrong path.
fn patch_status(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if operation.op != Op::Replace {
        return Err(operation.invalid_path());
    }
    let value = operation.value();
    let digits = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !matches!(value.as_bytes().first(), Some(b'1'..=b'5')) {
        return Err(ApiError::bad_request("Invalid status code specified"));
    }
    body.insert("statusCode".to_owned(), Value::from(value));
    Ok(())
}

/// The texts are recorded, what brings each about is not: 404 for an entry that is not there.
fn patch_entry(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let segments = operation.segments();
    let [name, key] = segments.as_slice() else { return Err(operation.invalid_path()) };
    let known = member(body, name).is_some_and(|entries| entries.contains_key(key));
    if operation.op != Op::Add && !known {
        return Err(ApiError::not_found("Invalid parameter name specified"));
    }
    let entries = patch::object(body, name);
    match &operation.value {
        _ if operation.op == Op::Remove => {
            entries.shift_remove(key);
        }
        Some(value) => {
            entries.insert(key.clone(), Value::from(value.as_str()));
        }
        None => {
            let message = format!("Invalid null or empty value in {name}");
            return Err(ApiError::bad_request(message));
        }
    }
    Ok(())
}

fn delete_gateway_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (kind, _) = named(input)?;
    if !context.txn.delete(Kind::GatewayResponse, input.label("restapi_id"), kind) {
        return Err(ApiError::not_found("Gateway response type not defined on api"));
    }
    Ok(nothing())
}

#[cfg(test)]
#[path = "gateway_responses_tests.rs"]
mod tests;
