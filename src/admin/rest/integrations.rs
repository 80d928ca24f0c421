//! Integrations: what answers a method.
//!
//! AWS: API Gateway API Reference, "PutIntegration", "UpdateIntegration"; Developer Guide,
//! "Integrations for REST APIs in API Gateway".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome, Site};
use crate::admin::protocol::patch::{self, ANY, Apply, PatchOperation, REPLACE, Rule, Wording};
use crate::admin::rest::expressions;
use crate::admin::rest::methods::{Place, touches};
use crate::admin::rest::shared::{copy, entries, nothing, text};
use crate::deployment::definition::is_http_endpoint;
use crate::model::quotas;
use crate::store::control::Body;

pub const OPERATIONS: Operations = &[
    ("PutIntegration", put_integration),
    ("GetIntegration", get_integration),
    ("UpdateIntegration", update_integration),
    ("DeleteIntegration", delete_integration),
];

fn put_integration(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let resource_id = place.resource_id().to_owned();
    let method = place.method()?;
    let mut body = Body::new();
    copy(
        &input.body,
        &mut body,
        &[
            "type",
            "httpMethod",
            "uri",
            "connectionType",
            "connectionId",
            "credentials",
            "requestParameters",
            "requestTemplates",
            "passthroughBehavior",
            "contentHandling",
            "timeoutInMillis",
            "cacheNamespace",
            "cacheKeyParameters",
            "tlsConfig",
            "responseTransferMode",
            "integrationTarget",
        ],
    );
    for name in ["httpMethod", "uri", "credentials", "connectionId"] {
        if text(&body, name) == Some("") {
            body.shift_remove(name);
        }
    }
    null_templates(&mut body, "requestTemplates");
    complete(&mut body, &resource_id);
    check(context.site, &body)?;
    method.insert("methodIntegration".to_owned(), Value::Object(body.clone()));
    place.save(context.txn);
    Ok(Outcome::Body(body))
}

/// An empty template is kept and shown as null (recorded).
pub(crate) fn null_templates(body: &mut Body, name: &str) {
    let templates = body.get_mut(name).and_then(Value::as_object_mut);
    for template in templates.into_iter().flat_map(|templates| templates.values_mut()) {
        if template.as_str() == Some("") {
            *template = Value::Null;
        }
    }
}

/// Recorded defaults. The internet as connection is shown for HTTP only.
fn complete(body: &mut Body, resource_id: &str) {
    let over_http = matches!(text(body, "type"), Some("HTTP" | "HTTP_PROXY"));
    if over_http {
        body.entry("connectionType").or_insert_with(|| Value::from("INTERNET"));
    } else if text(body, "connectionType") == Some("INTERNET") {
        body.shift_remove("connectionType");
    }
    body.entry("passthroughBehavior").or_insert_with(|| Value::from("WHEN_NO_MATCH"));
    body.entry("timeoutInMillis").or_insert_with(|| {
        Value::from(u64::try_from(quotas::INTEGRATION_TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX))
    });
    body.entry("cacheNamespace").or_insert_with(|| Value::from(resource_id));
    body.entry("cacheKeyParameters").or_insert_with(|| Value::Array(Vec::new()));
}

fn check(site: &Site, body: &Body) -> Result<(), ApiError> {
    let kind = text(body, "type").unwrap_or_default();
    if kind != "MOCK" {
        if text(body, "httpMethod").is_none() {
            return Err(ApiError::bad_request(
                "Enumeration value for HttpMethod must be non-empty",
            ));
        }
        check_uri(kind, body)?;
        check_credentials(kind, body)?;
    }
    check_http_method(body)?;
    check_passthrough(body)?;
    check_connection(kind, body)?;
    check_streaming(kind, body)?;
    check_timeout(site, body)?;
    check_templates(body, "requestTemplates")?;
    expressions::check_request_mappings(body)
}

fn check_http_method(body: &Body) -> Result<(), ApiError> {
    const VERBS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY"];
    match text(body, "httpMethod") {
        Some(verb) if !VERBS.contains(&verb) => Err(ApiError::bad_request(format!(
            "Invalid HttpMethod specified. Valid options are {}",
            VERBS.join(",")
        ))),
        _ => Ok(()),
    }
}

pub(crate) fn check_uri(kind: &str, body: &Body) -> Result<(), ApiError> {
    let uri = text(body, "uri").unwrap_or_default();
    match kind {
        "HTTP" | "HTTP_PROXY" if is_http_endpoint(uri) => Ok(()),
        "HTTP" | "HTTP_PROXY" => {
            Err(ApiError::bad_request("Invalid HTTP endpoint specified for URI"))
        }
        _ => check_arn(kind, uri),
    }
}

/// `arn:{partition}:apigateway:{region}:{subdomain.}{service}:{path|action}/{…}`. A stage variable
/// may hold the end of it.
fn check_arn(kind: &str, uri: &str) -> Result<(), ApiError> {
    let parts: Vec<&str> = uri.splitn(6, ':').collect();
    let ["arn", _, owner, _, service, target] = parts.as_slice() else {
        return Err(ApiError::bad_request("Invalid ARN specified in the request"));
    };
    let acts = ["path/", "action/", "${stageVariables."].iter().any(|own| target.starts_with(own));
    if *owner != "apigateway" || !acts {
        return Err(ApiError::bad_request("AWS ARN for integration must contain path or action"));
    }
    let service = service.rsplit('.').next().unwrap_or_default();
    if kind == "AWS_PROXY" && !matches!(service, "lambda" | "firehose") {
        return Err(ApiError::bad_request(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose \
             stream invocations.",
        ));
    }
    Ok(())
}

/// Lambda functions may give the permission themselves; for every other service there is a role.
pub(crate) fn check_credentials(kind: &str, body: &Body) -> Result<(), ApiError> {
    let parts: Vec<&str> = text(body, "uri").unwrap_or_default().splitn(6, ':').collect();
    match (kind, parts.as_slice()) {
        ("AWS" | "AWS_PROXY", ["arn", _, "apigateway", _, service, _])
            if service.rsplit('.').next() != Some("lambda")
                && text(body, "credentials").is_none() =>
        {
            Err(ApiError::bad_request("Role ARN must be specified for AWS integrations"))
        }
        _ => Ok(()),
    }
}

fn check_passthrough(body: &Body) -> Result<(), ApiError> {
    match text(body, "passthroughBehavior") {
        None | Some("WHEN_NO_MATCH" | "WHEN_NO_TEMPLATES" | "NEVER") => Ok(()),
        Some(_) => Err(ApiError::bad_request(
            "Invalid passthrough behavior specified. Valid options are \
             WHEN_NO_MATCH,WHEN_NO_TEMPLATES,NEVER",
        )),
    }
}

pub(crate) fn check_connection(kind: &str, body: &Body) -> Result<(), ApiError> {
    match text(body, "connectionType") {
        None | Some("INTERNET") => Ok(()),
        Some("VPC_LINK") if !matches!(kind, "HTTP" | "HTTP_PROXY") => Err(ApiError::bad_request(
            "Connection type VPC_LINK is only supported for HTTP and HTTP_PROXY integrations",
        )),
        Some("VPC_LINK") if text(body, "connectionId").is_none() => Err(ApiError::bad_request(
            "Connection ID must be specified for connection type VPC_LINK",
        )),
        Some("VPC_LINK") => Ok(()),
        Some(_) => Err(ApiError::bad_request(
            "Invalid connection type specified. Valid options are INTERNET,VPC_LINK",
        )),
    }
}

pub(crate) fn check_streaming(kind: &str, body: &Body) -> Result<(), ApiError> {
    match text(body, "responseTransferMode") {
        mode @ (None | Some("BUFFERED" | "STREAM")) if kind == "AWS_PROXY" => {
            check_streamed_uri(mode == Some("STREAM"), text(body, "uri").unwrap_or_default())
        }
        None | Some("BUFFERED") => Ok(()),
        Some("STREAM") if kind == "HTTP_PROXY" => Ok(()),
        Some("STREAM") => Err(ApiError::bad_request(
            "Response transfer mode STREAM is only supported for HTTP_PROXY and AWS_PROXY \
             integrations",
        )),
        Some(_) => Err(ApiError::bad_request(
            "Invalid response transfer mode specified. Valid options are BUFFERED,STREAM",
        )),
    }
}

/// Which of Lambda's two actions the URI names must be the one the mode needs. One without either,
/// such as a stage variable's, is judged when it is known.
fn check_streamed_uri(streams: bool, uri: &str) -> Result<(), ApiError> {
    let is_streamed = uri.ends_with("/response-streaming-invocations");
    let is_buffered = uri.ends_with("/invocations");
    if streams && is_buffered {
        return Err(ApiError::bad_request(
            "Response transfer mode STREAM requires a URI with \
             2021-11-15/functions/{function}/response-streaming-invocations",
        ));
    }
    if !streams && is_streamed {
        return Err(ApiError::bad_request(
            "A URI with response-streaming-invocations requires response transfer mode STREAM",
        ));
    }
    Ok(())
}

/// AWS's 29 s are a quota that an installation may raise.
fn check_timeout(site: &Site, body: &Body) -> Result<(), ApiError> {
    let longest = u128::from(site.installation.integration_timeout_max_ms);
    let longest = match text(body, "responseTransferMode") {
        Some("STREAM") => longest.max(quotas::STREAMING_TIMEOUT_MAX.as_millis()),
        _ => longest,
    };
    let shortest = quotas::INTEGRATION_TIMEOUT_MIN.as_millis();
    let asked = body.get("timeoutInMillis").and_then(Value::as_u64).map(u128::from);
    if asked.is_some_and(|asked| (shortest..=longest).contains(&asked)) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("Timeout should be between {shortest} ms and {longest} ms")))
}

/// The map from content types to templates under a name.
pub(crate) fn check_templates(body: &Body, name: &str) -> Result<(), ApiError> {
    expressions::check_content_types(body, name)?;
    if entries(body, name).any(|(_, template)| template.len() > quotas::TEMPLATE_BYTES_MAX) {
        return Err(ApiError::bad_request(template_too_long(name)));
    }
    Ok(())
}

pub(crate) fn template_too_long(name: &str) -> String {
    format!("Mapping template exceeds {} bytes in {name}", quotas::TEMPLATE_BYTES_MAX)
}

fn get_integration(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    Ok(Outcome::Body(std::mem::take(place.integration()?)))
}

const RULES: &[Rule] = &[
    Rule { path: "/cacheKeyParameters", ops: ANY, apply: Apply::ListItem },
    Rule { path: "/cacheKeyParameters/{}", ops: ANY, apply: Apply::ListItem },
    Rule { path: "/cacheNamespace", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/connectionId", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/connectionType", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/contentHandling", ops: REPLACE, apply: Apply::Custom(patch_content_handling) },
    Rule { path: "/credentials", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/httpMethod", ops: REPLACE, apply: Apply::Custom(patch_endpoint) },
    Rule { path: "/integrationTarget", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/passthroughBehavior", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/requestParameters/{}", ops: ANY, apply: Apply::MapText },
    Rule { path: "/requestTemplates/{}", ops: ANY, apply: Apply::MapTemplate },
    Rule { path: "/responseTransferMode", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/timeoutInMillis", ops: REPLACE, apply: Apply::Custom(patch_timeout) },
    Rule { path: "/tlsConfig/insecureSkipVerification", ops: REPLACE, apply: Apply::Boolean },
    Rule { path: "/uri", ops: REPLACE, apply: Apply::Custom(patch_endpoint) },
];

fn update_integration(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let site = context.site;
    let mut place = Place::find(context, input)?;
    let resource_id = place.resource_id().to_owned();
    let body = place.integration()?;
    let operations = patch::read(input)?;
    patch::apply(body, &operations, RULES, Wording::Bare)?;
    complete(body, &resource_id);
    // What an import brought is not judged by what a call did not touch.
    if operations.iter().any(|operation| !touches(operation, "/cache")) {
        check(site, body)?;
    }
    let answer = body.clone();
    place.save(context.txn);
    Ok(Outcome::Body(answer))
}

/// `/uri` and `/httpMethod`: a mock has neither.
fn patch_endpoint(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if text(body, "type") == Some("MOCK") {
        return Err(operation.invalid_path());
    }
    body.insert(operation.key(), Value::from(operation.value()));
    Ok(())
}

/// Of integrations and their responses; empty passes the body on as it is.
pub(crate) fn patch_content_handling(
    body: &mut Body,
    operation: &PatchOperation,
) -> Result<(), ApiError> {
    match operation.value() {
        "" => {
            body.shift_remove("contentHandling");
        }
        known @ ("CONVERT_TO_BINARY" | "CONVERT_TO_TEXT") => {
            body.insert("contentHandling".to_owned(), Value::from(known));
        }
        _ => {
            return Err(ApiError::bad_request(
                "Invalid content handling specified. Valid options are \
                 CONVERT_TO_BINARY,CONVERT_TO_TEXT",
            ));
        }
    }
    Ok(())
}

/// Text that is no number becomes one that is refused.
fn patch_timeout(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let asked: u64 = operation.value().parse().unwrap_or(0);
    body.insert("timeoutInMillis".to_owned(), Value::from(asked));
    Ok(())
}

fn delete_integration(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    place.integration()?;
    place.method()?.shift_remove("methodIntegration");
    place.save(context.txn);
    Ok(nothing())
}

#[cfg(test)]
#[path = "integrations_tests.rs"]
mod tests;
