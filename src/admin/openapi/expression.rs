//! Parameter mappings: may this place be set, and from this source?
//!
//! Only those sources are taken that `mapping` can evaluate; bodies and the rest of `$context` are
//! refused with AWS's text. A mapping of an undeclared parameter is taken: it works when the
//! parameter is there.
//!
//! AWS: API Gateway Developer Guide, "Request and response data mapping reference".

use crate::admin::openapi::method::is_parameter_name;
use crate::admin::openapi::unbuilt;
use crate::model::document::At;

/// What AWS fills in at import, anywhere in a definition.
pub(super) const AWS_VARIABLE: &str = "${AWS::";

/// The `$context` variables a request mapping can take.
const CONTEXT: [&str; 15] = [
    "accountId",
    "apiId",
    "domainName",
    "domainPrefix",
    "extendedRequestId",
    "httpMethod",
    "identity.sourceIp",
    "identity.userAgent",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourcePath",
    "stage",
];

/// The part of `key` after `integration.request.{header|querystring|path}.`, if it is a name.
pub(super) fn request_target(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("integration.request.")?;
    let (kind, name) = rest.split_once('.')?;
    match kind {
        "header" => is_header_name(name),
        "querystring" | "path" => is_parameter_name(name),
        _ => false,
    }
    .then_some(name)
}

/// The header that `method.response.header.X` sets.
pub(super) fn response_target(key: &str) -> Option<&str> {
    key.strip_prefix("method.response.header.").filter(|name| is_header_name(name))
}

/// Complains unless the value is a source of a request mapping.
pub(super) fn check_request_source(at: &At<'_>, source: &str) {
    if source.contains(AWS_VARIABLE) {
        return unbuilt(at, "an AWS variable such as ${AWS::Region}");
    }
    let taken = is_static(source)
        || source.strip_prefix("stageVariables.").is_some_and(is_variable_name)
        || source.strip_prefix("context.").is_some_and(|name| CONTEXT.contains(&name))
        || source
            .strip_prefix("method.request.")
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(kind, name)| {
                matches!(
                    kind,
                    "header"
                        | "querystring"
                        | "path"
                        | "multivalueheader"
                        | "multivaluequerystring"
                ) && is_parameter_name(name)
            });
    if taken {
        return;
    }
    let hint = if source.starts_with("method.request.body") {
        "mapping from the body is not built yet".to_owned()
    } else if source.starts_with("context.") {
        format!("of the context these are built: {}", CONTEXT.join(", "))
    } else {
        "method.request.header.x, .querystring.x, .path.x, stageVariables.x, context.x or \
         'static text'"
            .to_owned()
    };
    invalid(at, source, hint);
}

/// Complains unless the value is a source of a response mapping.
pub(super) fn check_response_source(at: &At<'_>, source: &str) {
    if source.contains(AWS_VARIABLE) {
        return unbuilt(at, "an AWS variable such as ${AWS::Region}");
    }
    let taken = is_static(source)
        || source.strip_prefix("integration.response.header.").is_some_and(is_header_name);
    if !taken {
        invalid(at, source, "built are 'static text' and integration.response.header.x".to_owned());
    }
}

pub(super) fn invalid(at: &At<'_>, expression: &str, hint: String) {
    at.problem(
        format!(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: {expression}]"
        ),
        Some(hint),
    );
}

/// Text in single quotes that may stand in a header: no control characters.
fn is_static(source: &str) -> bool {
    source
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .is_some_and(|text| !text.chars().any(char::is_control))
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A field name by RFC 9110 section 5.1.
fn is_header_name(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}
