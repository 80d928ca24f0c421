//! The request to the endpoint, as the log shows it: what the integration room makes of what it is
//! handed. That room keeps its requests to itself, so its rules stand here a second time, for
//! reading only; a test compares both with what a backend receives.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

use super::log::{self, Log};
use crate::call::PathValue;
use crate::integration::IntegrationRequest;
use crate::model::rest_api::{Integration, IntegrationKind};
use crate::net::query;

const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const TEXT_IN_PATH: &AsciiSet = &IN_PATH.add(b'%');
const TEXT_IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RAW_IN_QUERY: &AsciiSet = &TEXT_IN_QUERY.remove(b'%');
/// What a proxy does not hand on of the caller's.
const NOT_FORWARDED: [&str; 18] = [
    "connection",
    "content-length",
    "content-md5",
    "expect",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "te",
    "transfer-encoding",
    "trailer",
    "upgrade",
    "www-authenticate",
    "content-encoding",
    "via",
    "host",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
];
/// What a mapping may set and still never arrives.
const NEVER_DELIVERED: [HeaderName; 5] =
    [header::CONNECTION, header::EXPECT, header::PROXY_AUTHENTICATE, header::TE, header::VIA];

/// The caller's headers less those of a connection that a test call does not have.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in NOT_FORWARDED {
        headers.remove(name);
    }
    headers
}

/// A request as the log has it.
pub(super) struct Shown {
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
}

impl Shown {
    /// `None` where nothing can be sent because the address is none.
    pub(super) fn of(
        integration: &Integration,
        variables: &IndexMap<String, String>,
        api_id: &str,
        request: &IntegrationRequest<'_>,
        has_body: bool,
    ) -> Option<Self> {
        let proxy = integration.kind == IntegrationKind::HttpProxy;
        let uri = uri(integration, variables, request, proxy)?;
        let mut headers = if proxy { request.headers.clone() } else { HeaderMap::new() };
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if proxy {
            let mut chain: Vec<String> = request
                .headers
                .get_all("x-forwarded-for")
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            chain.push(request.peer.to_string());
            set("x-forwarded-for", &chain.join(", "));
            set("x-forwarded-port", &request.forwarded.port.to_string());
            set("x-forwarded-proto", request.forwarded.proto);
        } else {
            set("accept", "application/json");
            set("user-agent", &format!("AmazonAPIGateway_{api_id}"));
            if has_body {
                set("content-type", "application/json");
            }
        }
        set("x-amzn-apigateway-api-id", api_id);
        headers.insert("x-amzn-trace-id", request.trace_id.clone());
        set_mapped(&mut headers, request);
        Some(Self { uri, headers })
    }

    pub(super) fn describe(&self, body: &[u8], log: &mut Log) {
        let Self { uri, headers } = self;
        log.line(format_args!("Endpoint request URI: {uri}"));
        let headers = log::headers(&log::spelled(headers));
        log.line(format_args!("Endpoint request headers: {headers}"));
        let body = log::body(body);
        log.line(format_args!("Endpoint request body after transformations: {body}"));
        log.line(format_args!("Sending request to {uri}"));
    }
}

fn set_mapped(headers: &mut HeaderMap, request: &IntegrationRequest) {
    let mut seen: Vec<&HeaderName> = Vec::new();
    for (name, value) in &request.mapped.headers {
        if NEVER_DELIVERED.contains(name) {
            continue;
        }
        if seen.contains(&name) {
            headers.append(name, value.clone());
        } else {
            headers.insert(name, value.clone());
            seen.push(name);
        }
    }
}

/// The URI's own parameters, then the caller's, then the mapped ones.
fn uri(
    integration: &Integration,
    variables: &IndexMap<String, String>,
    request: &IntegrationRequest<'_>,
    proxy: bool,
) -> Option<String> {
    let whole = with_stage_variables(&integration.uri, variables);
    let whole = whole.split_once('#').map_or(whole.as_str(), |(before, _)| before);
    let (scheme, rest) = whole.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.is_empty() {
        return None;
    }
    let (path, own) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    let mut uri = format!("{scheme}://{authority}");
    fill(path, request, (IN_PATH, TEXT_IN_PATH), &mut uri)?;
    let mut separator = '?';
    if !own.is_empty() {
        uri.push(std::mem::replace(&mut separator, '&'));
        fill(own, request, (RAW_IN_QUERY, TEXT_IN_QUERY), &mut uri)?;
    }
    let passed = request.query.as_deref().filter(|_| proxy);
    for (name, value) in passed.into_iter().flat_map(query::pairs) {
        uri.push(std::mem::replace(&mut separator, '&'));
        query::recode(name, &mut uri);
        uri.push('=');
        query::recode(value, &mut uri);
    }
    for (name, value) in &request.mapped.query {
        uri.push(std::mem::replace(&mut separator, '&'));
        query::encode(name.as_bytes(), &mut uri);
        uri.push('=');
        query::encode(value.as_bytes(), &mut uri);
    }
    Some(uri)
}

/// `None` where a variable has no value.
fn fill(
    template: &str,
    request: &IntegrationRequest<'_>,
    (raw, text): (&'static AsciiSet, &'static AsciiSet),
    out: &mut String,
) -> Option<()> {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        write!(out, "{}", percent_encode(before.as_bytes(), IN_PATH)).ok()?;
        let (_, value) = request.mapped.path.iter().rev().find(|(own, _)| **own == *name)?;
        match value {
            PathValue::Raw(value) => out.extend(percent_encode(value.as_bytes(), raw)),
            PathValue::Text(value) => out.extend(percent_encode(value.as_bytes(), text)),
        }
        rest = after;
    }
    write!(out, "{}", percent_encode(rest.as_bytes(), IN_PATH)).ok()
}

/// An unknown variable is empty.
fn with_stage_variables(uri: &str, variables: &IndexMap<String, String>) -> String {
    let mut out = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once("${stageVariables.") {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else { return out };
        out.push_str(variables.get(name).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}
