//! What does the integration's request look like, and what of its answer does the client see?
//!
//! Everything is compiled when an API is deployed, so that a call only copies values. A mapping
//! makes values and never sends anything: `pipeline` hands what it made to the integration and the
//! integration's answer back to the mapping.
//!
//! Not here yet: templates that compute, models, sources in bodies. AWS: "Set up request and response data
//! mappings using the API Gateway console", "Content encoding for REST APIs in API Gateway".

pub mod binary;
pub mod compression;
pub mod context;
pub mod java_regex;
pub mod json_path;
pub mod lambda_event;
pub mod lambda_reply;
pub mod mock;
pub mod parameters;
pub mod responses;
pub mod template;
pub mod templates;
#[cfg(test)]
mod tests;

/// Why a mapping could not be used for a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// AWS refuses these names when the call comes, not when the integration is saved.
    #[error("header {0} may not be set by a mapping")]
    HeaderNotAllowed(http::HeaderName),
    #[error("a mapped value cannot stand in header {0}")]
    BadHeaderValue(http::HeaderName),
    #[error(
        "no match for output mapping and no default output mapping configured; endpoint response \
         status code: {status}"
    )]
    NoResponse { status: u16 },
    /// No request template fits the body, and the author lets no other through.
    #[error("no request template for the media type, and no passing through")]
    UnsupportedMediaType,
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
    #[error("template {key}: not a constant text")]
    NotConstant { key: String },
    #[error("template {key}: longer than {limit} bytes")]
    TemplateTooLong { key: String, limit: usize },
    #[error("`{key}`, the key of a template, is no media type")]
    BadMediaType { key: String },
    #[error("more than {limit} templates")]
    TooManyTemplates { limit: usize },
}
