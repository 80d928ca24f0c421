//! Which headers cross the gateway, towards the backend and back.
//!
//! The lists were recorded from AWS (header remapping tests) unless a comment says otherwise.
//! Names that a `Connection` header lists are removed besides (RFC 9110 section 7.6.1): a proxy
//! that forwards them lets a client switch off headers the gateway sets.

use std::fmt::Write;
use std::net::IpAddr;

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Backend, Forwarded};
use crate::call::MappedParameters;

pub(super) const API_ID: HeaderName = HeaderName::from_static("x-amzn-apigateway-api-id");
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A client's headers that HTTP_PROXY does not hand on. `Host` is the backend's. The last three are
/// hop-by-hop by custom (RFC 9110 section 7.6.1).
const NOT_FORWARDED: [HeaderName; 18] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    header::EXPECT,
    header::MAX_FORWARDS,
    header::PROXY_AUTHENTICATE,
    header::SERVER,
    header::TE,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::WWW_AUTHENTICATE,
    header::CONTENT_ENCODING,
    header::VIA,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];
/// Headers a mapping may set and that still never arrive.
const NEVER_DELIVERED: [HeaderName; 5] =
    [header::CONNECTION, header::EXPECT, header::PROXY_AUTHENTICATE, header::TE, header::VIA];
/// Headers of an HTTP_PROXY backend that get another name, because the gateway has its own.
const REMAPPED: [(HeaderName, HeaderName); 5] = [
    (header::CONNECTION, HeaderName::from_static("x-amzn-remapped-connection")),
    (header::CONTENT_LENGTH, HeaderName::from_static("x-amzn-remapped-content-length")),
    (header::DATE, HeaderName::from_static("x-amzn-remapped-date")),
    (header::SERVER, HeaderName::from_static("x-amzn-remapped-server")),
    (
        HeaderName::from_static("x-amzn-requestid"),
        HeaderName::from_static("x-amzn-remapped-x-amzn-requestid"),
    ),
];

/// Headers towards an HTTP_PROXY backend, made of the client's.
pub(super) fn towards_proxy(
    mut headers: HeaderMap,
    backend: &Backend,
    mapped: &MappedParameters,
    peer: IpAddr,
    forwarded: Forwarded,
    trace_id: HeaderValue,
) -> HeaderMap {
    remove_listed(&mut headers);
    for name in &NOT_FORWARDED {
        headers.remove(name);
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
pub(super) fn from_proxy(headers: &mut HeaderMap) {
    for (name, remapped) in &REMAPPED {
        let Entry::Occupied(entry) = headers.entry(name) else { continue };
        let (_, values) = entry.remove_entry_mult();
        let values: Vec<HeaderValue> = values.collect();
        headers.remove(remapped);
        for value in values {
            headers.append(remapped.clone(), value);
        }
    }
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::VIA);
    headers.remove("keep-alive");
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

fn remove_listed(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
}

/// Extends `X-Forwarded-For` by the peer; port and protocol are the gateway's word alone.
fn forward(headers: &mut HeaderMap, peer: IpAddr, forwarded: Forwarded) {
    let mut chain = Vec::with_capacity(48);
    for value in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    let mut address = String::with_capacity(40);
    // Writing to a string cannot fail.
    if write!(address, "{}", peer.to_canonical()).is_ok() {
        chain.extend_from_slice(address.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PORT, HeaderValue::from(forwarded.port));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(forwarded.proto));
}
