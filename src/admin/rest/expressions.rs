//! Which mapping expressions and content types may stand in a method's maps?
//!
//! The recorded refusal has a list of faults, of which recordings show one; ours names all. Whether
//! a name that is mapped was ever declared is not asked: a mapping of an undeclared parameter works.
//!
//! AWS: API Gateway Developer Guide, "API Gateway mapping template and access logging variable
//! reference", "Request and response data mapping reference".

use crate::admin::protocol::error::ApiError;
use crate::admin::rest::shared::{entries, member};
use crate::mapping::context;
use crate::store::control::Body;

/// What a method may declare. The multi-value forms name the same parameters.
const PARAMETERS: [&str; 5] = [
    "method.request.querystring.",
    "method.request.header.",
    "method.request.path.",
    "method.request.multivalueheader.",
    "method.request.multivaluequerystring.",
];

/// An integration's `requestParameters`.
pub(crate) fn check_request_mappings(integration: &Body) -> Result<(), ApiError> {
    check_mappings(integration, "requestParameters", is_request_target, is_request_source)
}

/// An integration response's `responseParameters`.
pub(crate) fn check_response_mappings(response: &Body) -> Result<(), ApiError> {
    check_mappings(response, "responseParameters", is_response_target, is_response_source)
}

/// A gateway response's `responseParameters`.
pub(crate) fn check_gateway_mappings(response: &Body) -> Result<(), ApiError> {
    check_mappings(response, "responseParameters", is_gateway_target, is_gateway_source)
}

fn check_mappings(
    body: &Body,
    name: &str,
    is_target: fn(&str) -> bool,
    is_source: fn(&str) -> bool,
) -> Result<(), ApiError> {
    let faults = entries(body, name).filter_map(|(target, source)| {
        match (is_target(target), is_source(source)) {
            (true, true) => None,
            (true, false) => Some(source),
            (false, _) => Some(target),
        }
    });
    refuse_mappings(faults.collect())
}

/// A method response's `responseParameters`.
pub(crate) fn check_response_parameters(response: &Body) -> Result<(), ApiError> {
    let faults = keys(response, "responseParameters").filter(|key| !is_response_target(key));
    refuse_mappings(faults.collect())
}

/// AWS: "Request and response data mapping reference".
pub(crate) fn is_request_target(key: &str) -> bool {
    let named = key.strip_prefix("integration.request.").and_then(|rest| rest.split_once('.'));
    match named {
        Some(("header", name)) => is_header_name(name),
        Some(("querystring" | "path", name)) => is_parameter_name(name),
        _ => false,
    }
}

pub(crate) fn is_request_source(source: &str) -> bool {
    match source.strip_prefix("method.request.") {
        None => is_any_source(source),
        Some(rest) => {
            is_body(rest)
                || match rest.split_once('.') {
                    Some(("header" | "multivalueheader", name)) => is_header_name(name),
                    Some(("querystring" | "path" | "multivaluequerystring", name)) => {
                        is_parameter_name(name)
                    }
                    _ => false,
                }
        }
    }
}

pub(crate) fn is_response_target(key: &str) -> bool {
    key.strip_prefix("method.response.header.").is_some_and(is_header_name)
}

pub(crate) fn is_response_source(source: &str) -> bool {
    match source.strip_prefix("integration.response.") {
        None => is_any_source(source),
        Some(rest) => {
            is_body(rest)
                || match rest.split_once('.') {
                    Some(("header" | "multivalueheader", name)) => is_header_name(name),
                    _ => false,
                }
        }
    }
}

/// AWS: "Gateway responses for REST APIs in API Gateway".
pub(crate) fn is_gateway_target(key: &str) -> bool {
    key.strip_prefix("gatewayresponse.header.").is_some_and(is_header_name)
}

pub(crate) fn is_gateway_source(source: &str) -> bool {
    match source.strip_prefix("method.request.").and_then(|rest| rest.split_once('.')) {
        Some(("header", name)) => is_header_name(name),
        Some(("querystring" | "path", name)) => is_parameter_name(name),
        Some(_) => false,
        None => is_any_source(source),
    }
}

/// What every direction can take.
fn is_any_source(source: &str) -> bool {
    let is_static = source.len() >= 2
        && source.starts_with('\'')
        && source.ends_with('\'')
        && !source.contains(char::is_control);
    is_static
        || source.strip_prefix("context.").is_some_and(context::is_known)
        || source.strip_prefix("stageVariables.").is_some_and(is_parameter_name)
}

/// The whole body, or a part of it by its path.
fn is_body(rest: &str) -> bool {
    rest == "body" || rest.strip_prefix("body.").is_some_and(|path| !path.is_empty())
}

/// A field name by RFC 9110 section 5.1.
fn is_header_name(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// A method's `requestParameters`: well-formed, and no name in two places.
pub(crate) fn check_request_parameters(method: &Body) -> Result<(), ApiError> {
    let faults = keys(method, "requestParameters").filter(|key| !is_parameter(key));
    refuse_mappings(faults.collect())?;
    let mut seen = std::collections::HashSet::new();
    let unique = keys(method, "requestParameters")
        .filter_map(|key| PARAMETERS.iter().find_map(|place| key.strip_prefix(place)))
        .all(|name| seen.insert(name));
    if unique {
        return Ok(());
    }
    Err(ApiError::bad_request("Parameter names must be unique across querystring, header and path"))
}

/// The keys of a map from content types (recorded text).
pub(crate) fn check_content_types(body: &Body, name: &str) -> Result<(), ApiError> {
    let faults: Vec<String> = keys(body, name)
        .filter(|key| !is_content_type(key))
        .map(|key| format!("Invalid content type specified: {key}"))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.join(", ");
    Err(ApiError::bad_request(format!("Validation Result: warnings : [], errors : [{faults}]")))
}

fn keys<'a>(body: &'a Body, name: &str) -> impl Iterator<Item = &'a str> {
    member(body, name).into_iter().flat_map(|entries| entries.keys().map(String::as_str))
}

fn is_parameter(key: &str) -> bool {
    PARAMETERS.iter().find_map(|place| key.strip_prefix(place)).is_some_and(is_parameter_name)
}

/// The pattern of names was seen on AWS: `^[a-zA-Z0-9._$-]+$`.
pub(crate) fn is_parameter_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$-".contains(&b))
}

pub(crate) fn is_content_type(key: &str) -> bool {
    const DEFAULT: &str = "$default";
    let halves = key.split_once('/');
    key == DEFAULT || halves.is_some_and(|(kind, form)| !kind.is_empty() && !form.is_empty())
}

fn refuse_mappings(faults: Vec<&str>) -> Result<(), ApiError> {
    if faults.is_empty() {
        return Ok(());
    }
    let faults: Vec<String> = faults
        .into_iter()
        .map(|fault| format!("Invalid mapping expression specified: {fault}"))
        .collect();
    Err(ApiError::bad_request(invalid_mapping(&faults.join(", "))))
}

/// The recorded refusal of these faults.
fn invalid_mapping(faults: &str) -> String {
    format!(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [{faults}]"
    )
}
