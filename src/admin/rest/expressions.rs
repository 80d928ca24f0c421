//! Which mapping expressions and content types may stand in a method's maps?
//!
//! The recorded refusal has a list of faults, of which recordings show one; ours names all. Whether
//! a name that is mapped was ever declared is not asked: a mapping of an undeclared parameter works.
//!
//! AWS: API Gateway Developer Guide, "API Gateway mapping template and access logging variable
//! reference", "Request and response data mapping reference".

use crate::admin::protocol::error::ApiError;
use crate::admin::rest::shared::{entries, member};
use crate::store::control::Body;

const REQUEST_TARGETS: [&str; 3] = [
    "integration.request.header.",
    "integration.request.querystring.",
    "integration.request.path.",
];
const REQUEST_SOURCES: [&str; 8] = [
    "method.request.header.",
    "method.request.querystring.",
    "method.request.path.",
    "method.request.multivalueheader.",
    "method.request.multivaluequerystring.",
    "method.request.body.",
    "context.",
    "stageVariables.",
];
const RESPONSE_TARGETS: [&str; 1] = ["method.response.header."];
const RESPONSE_SOURCES: [&str; 5] = [
    "integration.response.header.",
    "integration.response.multivalueheader.",
    "integration.response.body.",
    "context.",
    "stageVariables.",
];
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
    let faults = entries(integration, "requestParameters").filter_map(|(target, source)| {
        fault(target, source, &REQUEST_TARGETS, &REQUEST_SOURCES, "method.request.body")
    });
    refuse_mappings(faults.collect())
}

/// An integration response's `responseParameters`.
pub(crate) fn check_response_mappings(response: &Body) -> Result<(), ApiError> {
    let faults = entries(response, "responseParameters").filter_map(|(target, source)| {
        fault(target, source, &RESPONSE_TARGETS, &RESPONSE_SOURCES, "integration.response.body")
    });
    refuse_mappings(faults.collect())
}

/// A method response's `responseParameters`.
pub(crate) fn check_response_parameters(response: &Body) -> Result<(), ApiError> {
    let faults = keys(response, "responseParameters").filter(|key| !names(&RESPONSE_TARGETS, key));
    refuse_mappings(faults.collect())
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

fn fault<'a>(
    target: &'a str,
    source: &'a str,
    targets: &[&str],
    sources: &[&str],
    whole_body: &str,
) -> Option<&'a str> {
    if !names(targets, target) {
        return Some(target);
    }
    let quoted = source.len() >= 2 && source.starts_with('\'') && source.ends_with('\'');
    (!quoted && source != whole_body && !names(sources, source)).then_some(source)
}

/// Whether the text is one of these prefixes and a name.
fn names(prefixes: &[&str], text: &str) -> bool {
    let name = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// The pattern of names was seen on AWS: `^[a-zA-Z0-9._$-]+$`.
fn is_parameter(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._$-".contains(&byte);
    let name = PARAMETERS.iter().find_map(|place| key.strip_prefix(place));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(allowed))
}

fn is_content_type(key: &str) -> bool {
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
    Err(ApiError::bad_request(format!(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [{}]",
        faults.join(", ")
    )))
}
