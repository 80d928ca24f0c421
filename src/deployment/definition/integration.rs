//! The integration of a method in AWS's shape, made the model's or refused place by place.
//!
//! AWS: API Gateway REST API Reference, "Integration" and "IntegrationResponse"; Developer Guide,
//! "Mock integrations for REST APIs".

use indexmap::IndexMap;
use serde_json::Value;

use super::{Findings, Limits, text, texts};
use crate::model::quotas;
use crate::model::rest_api::{
    ContentHandling, Integration, IntegrationKind, IntegrationResponse, Passthrough,
};

/// The caller's own credentials.
const CALLERS_OWN: &str = "arn:aws:iam::*:user/*";
/// How the URI of a function ends whose answer streams.
const STREAMED: &str = "/response-streaming-invocations";
/// The one service besides Lambda that may be a proxy (rest-data-plane 7.10).
const FIREHOSE: &str = "firehose";
/// What becomes of Firehose's statuses where it is a proxy: its own are 200, 400 and 500. Amazon Data
/// Firehose API Reference, "PutRecord".
const FIREHOSE_STATUSES: [(&str, u16); 3] = [("", 200), (r"4\d{2}", 400), (r"5\d{2}", 500)];

/// `None` after findings that leave nothing to serve.
pub(super) fn read(
    own: &Value,
    place: &str,
    limits: &Limits,
    found: &mut Findings,
) -> Option<Integration> {
    let kind = kind(own, place, found);
    refuse_unbuilt(own, place, found);
    let kind = kind?;
    if kind == IntegrationKind::AwsProxy && service(text(own, "uri")) == Some(FIREHOSE) {
        return Some(firehose_proxy(own, place, limits, found));
    }
    let uri = match kind {
        IntegrationKind::Mock => String::new(),
        IntegrationKind::Aws | IntegrationKind::AwsProxy => {
            aws_uri(own, kind, text(own, "uri").unwrap_or_default(), place, found)
        }
        _ => backend_uri(text(own, "uri").unwrap_or_default(), place, found),
    };
    // A proxy passes the client's body on, and the backend's answer back: AWS keeps its templates
    // and responses without effect.
    let is_proxy = matches!(kind, IntegrationKind::HttpProxy | IntegrationKind::AwsProxy);
    let request_templates = match is_proxy {
        true => IndexMap::new(),
        false => templates(own, "requestTemplates", place, found),
    };
    let responses = match is_proxy {
        true => Vec::new(),
        false => responses(own, place, found),
    };
    Some(Integration {
        kind,
        http_method: text(own, "httpMethod").map(str::to_ascii_uppercase),
        uri,
        request_parameters: texts_of(own, "requestParameters", place, found),
        request_templates,
        passthrough: text(own, "passthroughBehavior")
            .and_then(Passthrough::parse)
            .unwrap_or_default(),
        cache_namespace: text(own, "cacheNamespace").map(ToOwned::to_owned),
        cache_key_parameters: texts(own.get("cacheKeyParameters")),
        timeout_ms: timeout(own, limits),
        insecure_skip_verification: own
            .get("tlsConfig")
            .is_some_and(|tls| super::is_true(tls, "insecureSkipVerification")),
        responses,
        content_handling: text(own, "contentHandling").and_then(ContentHandling::parse),
        credentials: filled_text(own, "credentials"),
        vpc_link: filled_text(own, "connectionId")
            .filter(|_| text(own, "connectionType") == Some("VPC_LINK")),
        integration_target: filled_text(own, "integrationTarget"),
        server_name_to_verify: own
            .get("tlsConfig")
            .and_then(|tls| filled_text(tls, "serverNameToVerify")),
        is_streamed: text(own, "responseTransferMode") == Some("STREAM"),
    })
}

/// Firehose gets the client's body as it is, and its answer is the client's.
fn firehose_proxy(own: &Value, place: &str, limits: &Limits, found: &mut Findings) -> Integration {
    let kind = IntegrationKind::Aws;
    let uri = text(own, "uri").unwrap_or_default();
    let responses = FIREHOSE_STATUSES.map(|(pattern, status_code)| IntegrationResponse {
        selection_pattern: Some(pattern.to_owned()),
        status_code,
        ..IntegrationResponse::default()
    });
    Integration {
        kind,
        http_method: text(own, "httpMethod").map(str::to_ascii_uppercase),
        uri: aws_uri(own, kind, uri, place, found),
        timeout_ms: timeout(own, limits),
        credentials: filled_text(own, "credentials"),
        responses: responses.into(),
        ..Integration::default()
    }
}

/// The service that an integration's ARN names.
fn service(uri: Option<&str>) -> Option<&str> {
    uri?.strip_prefix("arn:")?.split(':').nth(3)
}

fn kind(own: &Value, place: &str, found: &mut Findings) -> Option<IntegrationKind> {
    match text(own, "type").unwrap_or_default() {
        "HTTP_PROXY" => Some(IntegrationKind::HttpProxy),
        "HTTP" => Some(IntegrationKind::Http),
        "MOCK" => Some(IntegrationKind::Mock),
        "AWS" => Some(IntegrationKind::Aws),
        "AWS_PROXY" => Some(IntegrationKind::AwsProxy),
        other => {
            let what = format!("`{other}` is no type of integration");
            found.add(format!("{place} type"), what, None);
            None
        }
    }
}

fn filled_text(own: &Value, name: &str) -> Option<String> {
    text(own, name).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

/// The members that ask for something no part of the gateway can do, or not yet.
fn refuse_unbuilt(own: &Value, place: &str, found: &mut Findings) {
    let kind = text(own, "type").unwrap_or_default();
    let is_aws = matches!(kind, "AWS" | "AWS_PROXY");
    if let Some(role) = text(own, "credentials") {
        let place = format!("{place} credentials");
        if is_aws && role == CALLERS_OWN {
            found.unbuilt(place, "calling the backend with the caller's own credentials");
        } else if !is_aws && !role.is_empty() {
            found.unbuilt(place, "calling the backend with credentials");
        }
    }
    let connection = text(own, "connectionType").unwrap_or_default();
    if connection == "VPC_LINK" && text(own, "connectionId").unwrap_or_default().is_empty() {
        let hint = "the id of a VPC link, or `${stageVariables.name}`";
        found.add(format!("{place} connectionId"), "the VPC link is not named", Some(hint));
    }
    let proxies = matches!(kind, "HTTP_PROXY" | "AWS_PROXY");
    if text(own, "responseTransferMode") == Some("STREAM") && !proxies {
        let what = "STREAM is only supported for HTTP_PROXY and AWS_PROXY integrations";
        found.add(format!("{place} responseTransferMode"), what, None);
    }
}

/// The URI of a function or of a service. A stage variable may hold any part of it: what it then
/// names is judged when the stage is compiled.
fn aws_uri(
    own: &Value,
    kind: IntegrationKind,
    uri: &str,
    place: &str,
    found: &mut Findings,
) -> String {
    let place = format!("{place} uri");
    if uri.starts_with("${stageVariables.") {
        return uri.to_owned();
    }
    let filled = filled_in(uri).unwrap_or_default();
    let parts: Vec<&str> = filled.splitn(6, ':').collect();
    let ["arn", _, "apigateway", _, service, api] = parts[..] else {
        found.add(place, "Invalid ARN specified in the request", None);
        return uri.to_owned();
    };
    if !(api.starts_with("path/") || api.starts_with("action/")) {
        found.add(place, "AWS ARN for integration must contain path or action", None);
        return uri.to_owned();
    }
    if kind == IntegrationKind::AwsProxy {
        let streams = text(own, "responseTransferMode") == Some("STREAM");
        let is_streamed = api.ends_with(STREAMED);
        if service != "lambda" {
            let what = "Integrations of type 'AWS_PROXY' currently only supports Lambda function \
                        and Firehose stream invocations.";
            found.add(place, what, None);
        } else if streams != is_streamed {
            let hint = "STREAM goes with …/2021-11-15/functions/…/response-streaming-invocations, \
                        BUFFERED with …/2015-03-31/functions/…/invocations";
            found.add(place, "the URI and responseTransferMode do not fit", Some(hint));
        }
    }
    uri.to_owned()
}

/// Whether the URI of an HTTP integration can be one, with its variables filled in by a stand-in.
pub fn is_http_endpoint(uri: &str) -> bool {
    let filled = filled_in(uri);
    let parsed = filled.as_deref().and_then(|filled| filled.parse::<http::Uri>().ok());
    let served = parsed.is_some_and(|parsed| {
        matches!(parsed.scheme_str(), Some("http" | "https"))
            && parsed.host().is_some_and(|host| !host.is_empty())
            && parsed.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    // A stage variable may hold the scheme and the host, too: what it then names is judged when
    // the stage is compiled, and a call answers 500 when it is no address, as AWS does.
    let open = uri.starts_with("${stageVariables.");
    (served || open) && !uri.contains('#')
}

fn backend_uri(uri: &str, place: &str, found: &mut Findings) -> String {
    if !is_http_endpoint(uri) {
        let place = format!("{place} uri");
        let hint = "http://host/path or https://host/path, where `{name}` and \
                    `${stageVariables.name}` may stand in";
        found.add(place, "Invalid HTTP endpoint specified for URI", Some(hint));
    }
    uri.to_owned()
}

/// The URI with `x` for each `${stageVariables.name}` and `{name}`; `None` when the braces are
/// wrong.
fn filled_in(uri: &str) -> Option<String> {
    let mut filled = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        let name = match before.strip_suffix('$') {
            Some(before) => {
                filled.push_str(before);
                name.strip_prefix("stageVariables.")?
            }
            None => {
                filled.push_str(before);
                name
            }
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._$-".contains(&byte);
        if name.is_empty() || !name.bytes().all(fits) {
            return None;
        }
        filled.push('x');
        rest = tail;
    }
    filled.push_str(rest);
    (!rest.contains('}')).then_some(filled)
}

/// A map of texts; what is no text is named.
pub(super) fn texts_of(
    own: &Value,
    name: &str,
    place: &str,
    found: &mut Findings,
) -> IndexMap<String, String> {
    let mut mappings = IndexMap::new();
    for (target, source) in own.get(name).and_then(Value::as_object).into_iter().flatten() {
        match source.as_str() {
            Some(source) => {
                mappings.insert(target.clone(), source.to_owned());
            }
            None => found.add(format!("{place} {name} {target}"), "the source is no text", None),
        }
    }
    mappings
}

fn timeout(own: &Value, limits: &Limits) -> u32 {
    let default = u32::try_from(quotas::INTEGRATION_TIMEOUT_MAX.as_millis()).unwrap_or(u32::MAX);
    let asked = own.get("timeoutInMillis").and_then(Value::as_u64);
    let asked = asked.map_or(default, |asked| u32::try_from(asked).unwrap_or(u32::MAX));
    let streams = text(own, "responseTransferMode") == Some("STREAM");
    let streaming = u32::try_from(quotas::STREAMING_TIMEOUT_MAX.as_millis()).unwrap_or(default);
    let most = limits.integration_timeout_max_ms;
    asked.min(if streams { most.max(streaming) } else { most })
}

/// Templates by media type. AWS keeps an empty one as null.
fn templates(
    own: &Value,
    name: &str,
    place: &str,
    found: &mut Findings,
) -> IndexMap<String, String> {
    let mut templates = IndexMap::new();
    for (media_type, template) in own.get(name).and_then(Value::as_object).into_iter().flatten() {
        match template {
            Value::Null => templates.insert(media_type.clone(), String::new()),
            Value::String(text) => templates.insert(media_type.clone(), text.clone()),
            _ => {
                found.add(format!("{place} {name} {media_type}"), "the template is no text", None);
                None
            }
        };
    }
    templates
}

fn responses(own: &Value, place: &str, found: &mut Findings) -> Vec<IntegrationResponse> {
    let mut responses = Vec::new();
    let bodies = own.get("integrationResponses").and_then(Value::as_object);
    for (code, response) in bodies.into_iter().flatten() {
        let place = format!("{place} integrationResponses {code}");
        let response_templates = templates(response, "responseTemplates", &place, found);
        let status = text(response, "statusCode").unwrap_or(code).parse::<u16>().ok();
        let Some(status_code) = status.filter(|status| (100..=599).contains(status)) else {
            found.add(place, "Invalid Response status code specified", None);
            continue;
        };
        let pattern = text(response, "selectionPattern").filter(|pattern| !pattern.is_empty());
        responses.push(IntegrationResponse {
            selection_pattern: pattern.map(ToOwned::to_owned),
            status_code,
            response_parameters: texts_of(response, "responseParameters", &place, found),
            response_templates,
            content_handling: text(response, "contentHandling").and_then(ContentHandling::parse),
        });
    }
    responses
}
