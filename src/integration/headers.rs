//! Which headers cross the gateway, towards the backend and back.
//!
//! The lists were recorded from AWS (header remapping tests) unless a comment says otherwise.
//! Names that a `Connection` header lists are removed besides (RFC 9110 section 7.6.1): a proxy
//! that forwards them lets a client switch off headers the gateway sets.

use std::net::IpAddr;

use http::header;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Backend, Forwarded};
use crate::call::MappedParameters;
use crate::net::text;

pub(super) const API_ID: HeaderName = HeaderName::from_static("x-amzn-apigateway-api-id");
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A client's headers that HTTP_PROXY does not hand on. `Host` is the backend's. The last three are
/// hop-by-hop by custom (RFC 9110 section 7.6.1).
///
/// Names are looked at one by one, because a call has few of them, and hashing each of this list
/// to find that the call does not have it would cost several times as much.
fn is_not_forwarded(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "content-md5"
            | "expect"
            | "max-forwards"
            | "proxy-authenticate"
            | "server"
            | "te"
            | "transfer-encoding"
            | "trailer"
            | "upgrade"
            | "www-authenticate"
            | "content-encoding"
            | "via"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
    )
}

/// Headers a mapping may set and that still never arrive.
const NEVER_DELIVERED: [HeaderName; 5] =
    [header::CONNECTION, header::EXPECT, header::PROXY_AUTHENTICATE, header::TE, header::VIA];
/// Headers of an HTTP_PROXY backend that get another name, because the gateway has its own.
static REMAPPED: [(HeaderName, HeaderName); 5] = [
    (header::CONNECTION, HeaderName::from_static("x-amzn-remapped-connection")),
    (header::CONTENT_LENGTH, HeaderName::from_static("x-amzn-remapped-content-length")),
    (header::DATE, HeaderName::from_static("x-amzn-remapped-date")),
    (header::SERVER, HeaderName::from_static("x-amzn-remapped-server")),
    (
        HeaderName::from_static("x-amzn-requestid"),
        HeaderName::from_static("x-amzn-remapped-x-amzn-requestid"),
    ),
];
const REMAPPED_PREFIX: &str = "x-amzn-remapped-";
/// What the gateway sets on a request besides: three `X-Forwarded-*`, the API, the trace, `Host`.
const HEADERS_TO_COME: usize = 6;
/// What delivery and the listener add to a reply: two ids, `X-Cache`, `Age`, `Alt-Svc`.
const REPLY_HEADERS_TO_COME: usize = 5;

/// Headers towards an HTTP_PROXY backend, made of the client's.
pub(super) fn towards_proxy(
    clients: &HeaderMap,
    backend: &Backend,
    mapped: &MappedParameters,
    peer: IpAddr,
    forwarded: Forwarded,
    trace_id: HeaderValue,
) -> HeaderMap {
    let listed = listed(clients);
    let mut headers =
        HeaderMap::with_capacity(clients.len() + HEADERS_TO_COME + mapped.headers.len());
    for (name, value) in clients {
        if !is_not_forwarded(name) && !listed.contains(name) {
            headers.append(name, value.clone());
        }
    }
    forward(&mut headers, peer, forwarded);
    headers.insert(API_ID, backend.api_id.clone());
    headers.insert(TRACE_ID, trace_id);
    set_mapped(&mut headers, mapped);
    headers
}

/// Headers towards an HTTP backend: the gateway's own and the mapped ones.
pub(super) fn towards_custom(
    backend: &Backend,
    mapped: &MappedParameters,
    has_body: bool,
    trace_id: HeaderValue,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6 + mapped.headers.len());
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::ACCEPT, json.clone());
    headers.insert(header::USER_AGENT, backend.user_agent.clone());
    headers.insert(API_ID, backend.api_id.clone());
    headers.insert(TRACE_ID, trace_id);
    if has_body {
        headers.insert(header::CONTENT_TYPE, json);
    }
    set_mapped(&mut headers, mapped);
    headers
}

/// What the client sees of an HTTP_PROXY backend's headers. `Content-Encoding` stays, as AWS
/// documents it: the body stays encoded too.
///
/// The headers are moved into a map with room for what delivery adds: renaming within the old one
/// would look each name up twice and let it grow.
pub(super) fn from_proxy(headers: HeaderMap) -> HeaderMap {
    let mut delivered = HeaderMap::with_capacity(headers.len() + REPLY_HEADERS_TO_COME);
    // A backend's header that has such a name already gives way to the one that gets it.
    let has = |name: &HeaderName| headers.contains_key(name);
    let usurped = headers.keys().any(|name| name.as_str().starts_with(REMAPPED_PREFIX));
    let taken: Vec<&HeaderName> = match usurped {
        true => REMAPPED.iter().filter(|(name, _)| has(name)).map(|(_, new)| new).collect(),
        false => Vec::new(),
    };
    let mut current = None;
    for (name, value) in headers {
        // Only the first value of a name comes with it.
        if let Some(name) = name {
            current = if taken.contains(&&name) { None } else { as_delivered(name) };
        }
        if let Some(name) = &current {
            delivered.append(name, value);
        }
    }
    delivered
}

/// The name under which the client gets a backend's header; `None` where it does not get it.
fn as_delivered(name: HeaderName) -> Option<HeaderName> {
    match name.as_str() {
        "transfer-encoding" | "via" | "keep-alive" => None,
        "connection" | "content-length" | "date" | "server" | "x-amzn-requestid" => {
            let new = REMAPPED.iter().find(|(old, _)| *old == name);
            new.map(|(_, new)| new.clone())
        }
        _ => Some(name),
    }
}

/// A mapped header replaces the client's; several of one name stay several.
fn set_mapped(headers: &mut HeaderMap, mapped: &MappedParameters) {
    for (index, (name, value)) in mapped.headers.iter().enumerate() {
        if NEVER_DELIVERED.contains(name) {
            continue;
        }
        let first = mapped.headers.iter().position(|(other, _)| other == name) == Some(index);
        if first {
            headers.insert(name, value.clone());
        } else {
            headers.append(name, value.clone());
        }
    }
}

/// The names that a `Connection` header lists; mostly there is none.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut listed = Vec::new();
    for (name, value) in headers {
        if *name == header::CONNECTION {
            let names = value.as_bytes().split(|byte| *byte == b',');
            listed.extend(names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
        }
    }
    listed
}

/// Extends `X-Forwarded-For` by the peer; port and protocol are the gateway's word alone.
fn forward(headers: &mut HeaderMap, peer: IpAddr, forwarded: Forwarded) {
    let mut chain = Vec::with_capacity(48);
    for value in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    text::push_address(peer, &mut chain);
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PORT, HeaderValue::from(forwarded.port));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(forwarded.proto));
}
