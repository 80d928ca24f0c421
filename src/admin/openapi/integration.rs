//! `x-amazon-apigateway-integration`: what stands behind a method.
//!
//! HTTP_PROXY, HTTP and MOCK are read; the keys that only other kinds or a template engine could
//! honour are refused by name. Values that change nothing for the kind at hand are taken, since
//! AWS's own exports write them.
//!
//! AWS: Developer Guide, "x-amazon-apigateway-integration object" and the pages of its members;
//! API Gateway REST API Reference, "PutIntegration".

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use crate::admin::openapi::{expression, mock, unbuilt};
use crate::mapping::templates;
use crate::model::document::{At, Section, Value};
use crate::model::quotas;
use crate::model::rest_api::{Integration, IntegrationKind, IntegrationResponse, Passthrough};

/// What the integration may refer to.
pub(super) struct About<'m> {
    pub(super) request_parameters: &'m IndexMap<String, bool>,
    /// Declared status codes with the tables of their headers.
    pub(super) responses: &'m HashMap<u16, Option<At<'m>>>,
    pub(super) timeout_max_ms: u32,
}

/// `None` after complaints that leave nothing to serve; the findings have them.
pub(super) fn read(at: At<'_>, about: &About<'_>) -> Option<Integration> {
    let section = Section::new(at);
    let kind = section.require("type").and_then(|at| kind(&at));
    let uri = section.take("uri");
    let http_method = section.take("httpMethod").and_then(|at| backend_verb(&at));
    refuse_unbuilt(&section);
    let passthrough = section.take("passthroughBehavior").and_then(|at| passthrough(&at));
    let uri = match (kind, uri) {
        (Some(IntegrationKind::Mock) | None, _) => String::new(),
        (Some(_), Some(at)) => backend_uri(&at).unwrap_or_default(),
        (Some(_), None) => {
            section.at.problem("Invalid HTTP endpoint specified for URI: `uri` is missing", None);
            String::new()
        }
    };
    let templates = section.take("requestTemplates");
    let mut request_templates = IndexMap::new();
    let mut mock_status = None;
    match kind {
        Some(IntegrationKind::Mock) => mock_status = status_of_mock(&section.at, templates),
        _ => request_templates = constants(templates, kind),
    }
    let integration = Integration {
        kind: kind.unwrap_or(IntegrationKind::Mock),
        http_method,
        uri,
        request_parameters: request_parameters(section.take("requestParameters")),
        request_templates,
        passthrough: passthrough.unwrap_or_default(),
        cache_namespace: section
            .take("cacheNamespace")
            .and_then(|at| at.text())
            .map(ToOwned::to_owned),
        cache_key_parameters: cache_key_parameters(section.take("cacheKeyParameters"), about),
        timeout_ms: timeout(section.take("timeoutInMillis"), about.timeout_max_ms),
        insecure_skip_verification: tls_config(section.take("tlsConfig")),
        responses: responses(section.take("responses"), kind, about),
        mock_status,
    };
    section.finish();
    kind.map(|_| integration)
}

fn kind(at: &At<'_>) -> Option<IntegrationKind> {
    let text = at.text()?;
    match text.to_ascii_lowercase().as_str() {
        "http_proxy" => return Some(IntegrationKind::HttpProxy),
        "http" => return Some(IntegrationKind::Http),
        "mock" => return Some(IntegrationKind::Mock),
        "aws" | "aws_proxy" => unbuilt(at, &format!("an integration of type `{text}`")),
        _ => at.problem(
            format!("`{text}` is no integration type"),
            Some("http_proxy, http or mock".to_owned()),
        ),
    }
    None
}

/// The keys that ask for something no part of the gateway can do yet.
fn refuse_unbuilt(section: &Section<'_>) {
    for (key, what) in [
        ("credentials", "calling the backend with credentials"),
        ("connectionId", "a VPC link"),
        ("integrationTarget", "a VPC link"),
        ("contentHandling", "conversion between text and binary"),
        ("integrationSubtype", "an integration subtype (an HTTP API's)"),
    ] {
        if let Some(at) = section.take(key) {
            unbuilt(&at, what);
        }
    }
    for (key, harmless, what) in [
        ("connectionType", "INTERNET", "a connection type other than INTERNET"),
        ("responseTransferMode", "BUFFERED", "response streaming"),
        ("payloadFormatVersion", "1.0", "a payload format other than 1.0"),
    ] {
        if let Some(at) = section.take(key) {
            let is_harmless = match &at.node.value {
                Value::Text(text) => text.eq_ignore_ascii_case(harmless),
                Value::Float(number) => format!("{number:?}") == harmless,
                _ => false,
            };
            if !is_harmless {
                unbuilt(&at, what);
            }
        }
    }
}

fn passthrough(at: &At<'_>) -> Option<Passthrough> {
    let text = at.text()?;
    let known = Passthrough::parse(text);
    if known.is_none() {
        at.problem(
            format!("`{text}` is no passthrough behavior"),
            Some("when_no_match, when_no_templates or never".to_owned()),
        );
    }
    known
}

fn backend_verb(at: &At<'_>) -> Option<String> {
    let verb = at.text()?.to_ascii_uppercase();
    if !matches!(
        verb.as_str(),
        "GET" | "PUT" | "POST" | "DELETE" | "PATCH" | "OPTIONS" | "HEAD" | "ANY"
    ) {
        at.problem(
            "Invalid HttpMethod specified. Valid options are \
             GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY",
            None,
        );
        return None;
    }
    Some(verb)
}

/// Checks the URI with its variables filled in by a stand-in.
fn backend_uri(at: &At<'_>) -> Option<String> {
    let uri = at.text()?;
    if uri.contains(expression::AWS_VARIABLE) {
        unbuilt(at, "an AWS variable such as ${AWS::Region}");
        return None;
    }
    let filled = filled_in(uri);
    let parsed = filled.as_deref().and_then(|filled| filled.parse::<http::Uri>().ok());
    let served = parsed.is_some_and(|parsed| {
        matches!(parsed.scheme_str(), Some("http" | "https"))
            && parsed.host().is_some_and(|host| !host.is_empty())
            && parsed.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if !served || uri.contains('#') {
        at.problem(
            "Invalid HTTP endpoint specified for URI",
            Some(
                "http://host/path or https://host/path, where `{name}` and \
                 `${stageVariables.name}` may stand in"
                    .to_owned(),
            ),
        );
        return None;
    }
    if has_open_host(uri) {
        unbuilt(at, "a backend's host that depends on the call");
        return None;
    }
    Some(uri.to_owned())
}

/// Whether `{name}` stands before the path: each call could then mean another backend.
fn has_open_host(uri: &str) -> bool {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    authority.replace("${", "").contains('{')
}

/// The URI with `x` for each `${stageVariables.name}` and `{name}`; `None` when the braces are
/// wrong.
fn filled_in(uri: &str) -> Option<String> {
    let mut filled = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, tail) = after.split_once('}')?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$-".contains(&b))
        };
        match before.strip_suffix('$') {
            Some(before) => {
                inner.strip_prefix("stageVariables.").filter(|name| is_name(name))?;
                filled.push_str(before);
            }
            None if is_name(inner) => filled.push_str(before),
            None => return None,
        }
        filled.push('x');
        rest = tail;
    }
    if rest.contains('}') {
        return None;
    }
    filled.push_str(rest);
    Some(filled)
}

fn status_of_mock(at: &At<'_>, templates: Option<At<'_>>) -> Option<u16> {
    let mut status = None;
    let templates = templates.map(|at| at.entries()).unwrap_or_default();
    let any = !templates.is_empty();
    for (_, template) in templates {
        let named = template.text().and_then(mock::constant_status);
        match (named, status) {
            (None, _) => {
                unbuilt(&template, "a MOCK template other than a constant {\"statusCode\": 200}");
            }
            (Some(named), Some(earlier)) if named != earlier => {
                unbuilt(&template, "a MOCK whose status depends on the media type");
            }
            _ => {}
        }
        status = status.or(named);
    }
    if !any {
        at.problem(
            "a MOCK without a request template takes its status from the caller's body, which is \
             not built yet",
            Some("add `requestTemplates: {application/json: '{\"statusCode\": 200}'}`".to_owned()),
        );
    }
    status
}

fn request_parameters(at: Option<At<'_>>) -> IndexMap<String, String> {
    let mut mappings = IndexMap::new();
    let mut names: HashSet<&str> = HashSet::new();
    for (target, value) in at.map(|at| at.entries()).unwrap_or_default() {
        let Some(name) = expression::request_target(target) else {
            expression::invalid(
                &value,
                target,
                "integration.request.header.x, .querystring.x or .path.x".to_owned(),
            );
            continue;
        };
        if !names.insert(name) {
            value.problem(
                "Parameter names must be unique across querystring, header and path",
                None,
            );
        }
        let Some(source) = value.text() else { continue };
        expression::check_request_source(&value, source);
        mappings.insert(target.to_owned(), source.to_owned());
    }
    mappings
}

fn cache_key_parameters(at: Option<At<'_>>, about: &About<'_>) -> Vec<String> {
    let mut parameters = Vec::new();
    for item in at.map(|at| at.items()).unwrap_or_default() {
        let Some(name) = item.text() else { continue };
        if about.request_parameters.contains_key(name) {
            parameters.push(name.to_owned());
        } else {
            item.problem(
                format!("Invalid cache key parameter specified: {name}"),
                Some("declare it among the method's parameters".to_owned()),
            );
        }
    }
    parameters
}

fn timeout(at: Option<At<'_>>, most: u32) -> u32 {
    let default = u32::try_from(quotas::INTEGRATION_TIMEOUT_MAX.as_millis()).unwrap_or(most);
    let least = u32::try_from(quotas::INTEGRATION_TIMEOUT_MIN.as_millis()).unwrap_or(0);
    let Some(at) = at else { return default.min(most) };
    match at.node.value {
        Value::Integer(given) if (i64::from(least)..=i64::from(most)).contains(&given) => {
            u32::try_from(given).unwrap_or(most)
        }
        _ => {
            at.problem(
                format!("Timeout should be between {least} ms and {most} ms"),
                Some("the topology's `timeouts.integration_max` sets the bound".to_owned()),
            );
            most
        }
    }
}

fn tls_config(at: Option<At<'_>>) -> bool {
    let Some(at) = at else { return false };
    let section = Section::new(at);
    let skip = section.take("insecureSkipVerification").and_then(|at| at.boolean());
    if let Some(name) = section.take("serverNameToVerify") {
        unbuilt(&name, "a server name of one's own (an HTTP API's)");
    }
    section.finish();
    skip.unwrap_or(false)
}

/// The templates that are their own output. An empty one, as exports write it for CORS, is a MOCK's
/// empty body. Whether a backend's body would pass by it or be dropped is not known, and neither
/// is tried.
fn constants(at: Option<At<'_>>, kind: Option<IntegrationKind>) -> IndexMap<String, String> {
    let mut constants = IndexMap::new();
    for (media_type, template) in at.map(|at| at.entries()).unwrap_or_default() {
        let text = match &template.node.value {
            Value::Null => "",
            _ => match template.text() {
                Some(text) => text,
                None => continue,
            },
        };
        if kind == Some(IntegrationKind::HttpProxy) {
            unbuilt(&template, "a mapping template of a proxy");
        } else if text.is_empty() && kind != Some(IntegrationKind::Mock) {
            unbuilt(&template, "an empty template before a backend");
        } else if !templates::is_constant(text) {
            unbuilt(&template, "a mapping template with `$` or `#`");
        } else {
            constants.insert(media_type.to_owned(), text.to_owned());
        }
    }
    constants
}

fn responses(
    at: Option<At<'_>>,
    kind: Option<IntegrationKind>,
    about: &About<'_>,
) -> Vec<IntegrationResponse> {
    let mut responses: Vec<IntegrationResponse> = Vec::new();
    for (pattern, at) in at.map(|at| at.entries()).unwrap_or_default() {
        let selection_pattern = (!matches!(pattern, "default" | "")).then(|| pattern.to_owned());
        if selection_pattern.is_none() && responses.iter().any(|r| r.selection_pattern.is_none()) {
            at.problem("there is already a default response", None);
        }
        let section = Section::new(at);
        let status_code = section.require("statusCode").and_then(|at| status_code(&at));
        let response_templates = constants(section.take("responseTemplates"), kind);
        if let Some(at) = section.take("contentHandling") {
            unbuilt(&at, "conversion between text and binary");
        }
        // A proxy passes the backend's answer on and looks at none of this.
        let declared = match (kind, status_code) {
            (Some(IntegrationKind::Http | IntegrationKind::Mock), Some(code)) => {
                let declared = about.responses.get(&code);
                if declared.is_none() {
                    section.at.problem(
                        format!("No method response exists for method: {code} is not declared"),
                        Some(format!("add `\"{code}\"` to the operation's `responses`")),
                    );
                }
                declared
            }
            _ => None,
        };
        let response_parameters = response_parameters(section.take("responseParameters"), declared);
        section.finish();
        if let Some(status_code) = status_code {
            responses.push(IntegrationResponse {
                selection_pattern,
                status_code,
                response_parameters,
                response_templates,
            });
        }
    }
    responses
}

fn status_code(at: &At<'_>) -> Option<u16> {
    let code = match &at.node.value {
        Value::Integer(code) => u16::try_from(*code).ok(),
        Value::Text(text) if text.len() == 3 => text.parse().ok(),
        _ => None,
    };
    let code = code.filter(|code| (100..=599).contains(code));
    if code.is_none() {
        at.problem("Invalid Response status code specified", Some("such as \"200\"".to_owned()));
    }
    code
}

fn response_parameters(
    at: Option<At<'_>>,
    declared: Option<&Option<At<'_>>>,
) -> IndexMap<String, String> {
    let mut mappings = IndexMap::new();
    for (target, value) in at.map(|at| at.entries()).unwrap_or_default() {
        let Some(name) = expression::response_target(target) else {
            expression::invalid(&value, target, "method.response.header.x".to_owned());
            continue;
        };
        if declared.is_some_and(|headers| !has_header(headers.as_ref(), name)) {
            value.problem(
                format!("Invalid mapping expression parameter specified: {target}"),
                Some(format!("declare the header `{name}` in the operation's response")),
            );
        }
        let Some(source) = value.text() else { continue };
        expression::check_response_source(&value, source);
        mappings.insert(target.to_owned(), source.to_owned());
    }
    mappings
}

/// Whether a response declares the header, in whatever case.
fn has_header(headers: Option<&At<'_>>, name: &str) -> bool {
    match headers.map(|at| &at.node.value) {
        Some(Value::Map(entries)) => {
            entries.contains_key(name) || entries.keys().any(|key| key.eq_ignore_ascii_case(name))
        }
        _ => false,
    }
}
