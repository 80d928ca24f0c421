//! What does the integration's request look like, and what of its answer does the client see?
//!
//! Everything is compiled when an API is deployed, so that a call only copies values. A mapping
//! makes values and never sends anything: `pipeline` hands what it made to the integration and the
//! integration's answer back to the mapping.
//!
//! A request to an integration that is no proxy goes through `request`, its answer through
//! `responses`; a proxy has parameter mappings alone. AWS: "Set up request and response data
//! mappings using the API Gateway console", "Content encoding for REST APIs in API Gateway".

pub mod compression;
pub mod content;
pub mod context;
mod ecma_regex;
pub mod gateway_responses;
pub mod java_regex;
pub mod json_path;
pub mod lambda_event;
pub mod lambda_reply;
pub mod mock;
pub mod parameters;
mod pattern;
pub mod request;
pub mod responses;
pub mod schema;
mod schema_body;
mod schema_number;
mod schema_rules;
mod schema_weight;
mod sources;
pub mod template;
pub mod templates;
pub mod validation;
mod validation_errors;
#[cfg(test)]
mod tests;
mod view;

use crate::model::quotas;

/// Values of headers or of query parameters that templates may override in one call. AWS states no
/// figure, but bounds all headers together, and each value takes at least a name.
const OVERRIDES_MAX: usize = 500;

/// A mapped value as a header's.
///
/// # Errors
/// Characters no header may have, or more bytes than AWS takes in all headers together.
fn header_value(name: &http::HeaderName, text: &str) -> Result<http::HeaderValue, MappingError> {
    let fits = text.len() <= quotas::HEADER_BYTES_MAX;
    let value = http::HeaderValue::from_str(text).ok().filter(|_| fits);
    value.ok_or_else(|| MappingError::BadHeaderValue(name.clone()))
}

fn check_overrides(all: &[(&str, Vec<String>)]) -> Result<(), MappingError> {
    match all.iter().map(|(_, values)| values.len()).sum::<usize>() > OVERRIDES_MAX {
        true => Err(MappingError::TooManyOverrides { limit: OVERRIDES_MAX }),
        false => Ok(()),
    }
}

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

impl std::fmt::Display for Side {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Side::Request => "request",
            Side::Response => "response",
        })
    }
}

/// Why a mapping could not be used for a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// AWS refuses these names when the call comes, not when the integration is saved.
    #[error("header {0} may not be set by a mapping")]
    HeaderNotAllowed(http::HeaderName),
    #[error("a mapped value cannot stand in header {0}")]
    BadHeaderValue(http::HeaderName),
    /// Recorded text.
    #[error(
        "No match for output mapping and no default output mapping configured. Endpoint Response \
         Status Code: {status}"
    )]
    NoResponse { status: u16 },
    /// The integration response's status is that of no method response.
    #[error("Output mapping refers to an invalid method response: {status}")]
    UndeclaredStatus { status: u16 },
    /// No request template fits the body, and the author lets no other through.
    #[error("no request template for the media type, and no passing through")]
    UnsupportedMediaType,
    /// A parameter comes from a body that begins like JSON and is none.
    #[error("Invalid JSON in request body")]
    RequestNotJson,
    #[error("Unable to parse response body")]
    ResponseNotJson,
    #[error("a value of the {0}'s body takes too much work")]
    BodyTooMuch(Side),
    /// A template that is none, or one that failed with this call.
    #[error("Unable to transform {side}: {cause}")]
    Template { side: Side, cause: String },
    /// The body is bytes and was not made text before.
    #[error("Unable to transform {0}: a template cannot read a binary body")]
    BinaryTemplate(Side),
    #[error("Unable to base64 decode the body.")]
    NotBase64,
    #[error("selection pattern: {0}")]
    Pattern(String),
    #[error("statusCode should be an integer which defined in request template")]
    NoMockStatus,
    #[error("a template overrides more than {limit} values")]
    TooManyOverrides { limit: usize },
}

/// Why a mapping could not be compiled: the API's author has to change it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("`{key}` is not a place a parameter can be mapped to")]
    BadKey { key: String },
    #[error("`{expression}`, mapped to `{key}`, is not a source of parameters")]
    BadExpression { key: String, expression: String },
    #[error("selection pattern `{pattern}` is not usable: {cause}")]
    BadPattern { pattern: String, cause: String },
    #[error("an integration response names status {0}, which is not an HTTP status")]
    BadStatus(u16),
    #[error("more than {limit} integration responses")]
    TooManyResponses { limit: usize },
    #[error("template {key}: longer than {limit} bytes")]
    TemplateTooLong { key: String, limit: usize },
    #[error("`{key}`, the key of a template, is no media type")]
    BadMediaType { key: String },
    #[error("more than {limit} templates")]
    TooManyTemplates { limit: usize },
}
