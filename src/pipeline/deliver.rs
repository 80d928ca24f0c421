//! The headers every reply gets at the door the client came in.
//!
//! AWS: recorded headers of REST APIs (`x-amzn-RequestId`, `x-amz-apigw-id` on every reply, no
//! `Server`); `X-Cache` and `Age` are what an edge-optimized endpoint's distribution adds.

use std::fmt::Write as _;

use http::header::{AGE, CONTENT_LENGTH, HeaderName, HeaderValue, SERVER, WARNING};
use http::{Method, StatusCode};
use uuid::fmt::Hyphenated;

use crate::call::{Body, CacheStatus, Call, Reply};
use crate::deployment::snapshot::Resolved;
use crate::model::rest_api::EndpointType;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// A call's id as the client and the access log read it: written once for both.
#[derive(Debug)]
pub struct IdText([u8; Hyphenated::LENGTH]);

impl IdText {
    pub fn of(call: &Call) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        call.id.as_hyphenated().encode_lower(&mut text);
        Self(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Adds what belongs to the call, not to the answer.
pub fn finish(call: &Call, id: &IdText, resolved: Option<&Resolved>, reply: &mut Reply) {
    let headers = &mut reply.headers;
    headers.remove(SERVER);
    insert_unique(reply, REQUEST_ID, &id.0);
    insert_unique(reply, EXTENDED_REQUEST_ID, &call.extended_id.0);
    if matches!(reply.body, Body::Empty) && may_have_body(&call.head.method, reply.status) {
        reply.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let Some(resolved) = resolved else { return };
    if resolved.stage.cache_headers && resolved.stage.endpoint_type == EndpointType::Edge {
        cache_headers(reply);
    }
}

/// Whether an empty body is the client's to count. HTTP/1.1 writes the length by itself; HTTP/2 and
/// HTTP/3 only mark the end, but AWS says `Content-Length: 0` there as well. RFC 9110 section 8.6
/// forbids it where there can be no body, and after HEAD it would speak of GET's.
fn may_have_body(method: &Method, status: StatusCode) -> bool {
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    !bodiless && *method != Method::HEAD
}

fn insert(reply: &mut Reply, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        reply.headers.insert(name, value);
    }
}

/// For values that never come twice: they must not push what does out of HPACK's table, where h2
/// would also compare each new one with all of its predecessors (RFC 7541 section 6.2.3).
fn insert_unique(reply: &mut Reply, name: HeaderName, value: &[u8]) {
    if let Ok(mut value) = HeaderValue::from_bytes(value) {
        value.set_sensitive(true);
        reply.headers.insert(name, value);
    }
}

/// `X-Cache` as scripts written against CloudFront expect it, in our own name.
fn cache_headers(reply: &mut Reply) {
    let text = match reply.cache {
        CacheStatus::Hit { age_seconds } => {
            let mut age = String::new();
            if write!(age, "{age_seconds}").is_ok() {
                insert(reply, AGE, age.as_bytes());
            }
            "Hit from tidegate"
        }
        _ if reply.status.is_client_error() || reply.status.is_server_error() => {
            "Error from tidegate"
        }
        _ => "Miss from tidegate",
    };
    reply.headers.insert(X_CACHE, HeaderValue::from_static(text));
}

/// AWS: "Cache settings for REST APIs", strategy SUCCEED_WITH_RESPONSE_HEADER.
pub fn warn_of_ignored_cache_control(reply: &mut Reply) {
    const TEXT: &str =
        "199 Cache-control headers were ignored because the caller was unauthorized.";
    reply.headers.append(WARNING, HeaderValue::from_static(TEXT));
}
