//! `$context` values that parameter mappings may use, as far as this gateway has them.
//!
//! What the route fixes is put in when the API is deployed; the rest is taken from the call.
//! AWS: "Variables for data transformations for API Gateway".

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, Method, header};
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::net::clock::Timestamp;

/// What is known of a route when it is deployed.
#[derive(Clone, Copy, Debug)]
pub struct RouteFacts<'a> {
    pub api_id: &'a str,
    pub account_id: &'a str,
    pub stage: &'a str,
    /// The template, such as `/pets/{id}`.
    pub resource_path: &'a str,
    pub stage_variables: &'a IndexMap<String, String>,
}

/// What mappings may take from a call. Borrowed; made for the moment of the mapping.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// As the client sent it, without `?`.
    pub query: Option<&'a str>,
    /// The raw value of a path parameter, by its name without braces and plus sign.
    pub path_parameter: &'a dyn Fn(&str) -> Option<&'a str>,
    pub request_id: &'a Uuid,
    pub extended_request_id: &'a str,
    pub source_ip: IpAddr,
    /// `$context.path`: the path with the stage, as the client sent it.
    pub path: &'a str,
    /// Such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// The host the client called, without a port.
    pub domain_name: &'a str,
    pub received_at: Timestamp,
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may hold secrets.
        out.debug_struct("Sources").field("request_id", self.request_id).finish_non_exhaustive()
    }
}

/// A `$context` variable of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    RequestId,
    ExtendedRequestId,
    SourceIp,
    UserAgent,
    HttpMethod,
    Path,
    Protocol,
    DomainName,
    DomainPrefix,
    RequestTime,
    RequestTimeEpoch,
}

/// Either fixed by the route or read from the call.
pub(super) enum Context {
    Fixed(String),
    OfCall(Variable),
}

/// `None` for a name that is not supported.
pub(super) fn parse(name: &str, route: &RouteFacts<'_>) -> Option<Context> {
    Some(match name {
        "apiId" => Context::Fixed(route.api_id.to_owned()),
        "accountId" => Context::Fixed(route.account_id.to_owned()),
        "stage" => Context::Fixed(route.stage.to_owned()),
        "resourcePath" => Context::Fixed(route.resource_path.to_owned()),
        "requestId" => Context::OfCall(Variable::RequestId),
        "extendedRequestId" => Context::OfCall(Variable::ExtendedRequestId),
        "identity.sourceIp" => Context::OfCall(Variable::SourceIp),
        "identity.userAgent" => Context::OfCall(Variable::UserAgent),
        "httpMethod" => Context::OfCall(Variable::HttpMethod),
        "path" => Context::OfCall(Variable::Path),
        "protocol" => Context::OfCall(Variable::Protocol),
        "domainName" => Context::OfCall(Variable::DomainName),
        "domainPrefix" => Context::OfCall(Variable::DomainPrefix),
        "requestTime" => Context::OfCall(Variable::RequestTime),
        "requestTimeEpoch" => Context::OfCall(Variable::RequestTimeEpoch),
        _ => return None,
    })
}

impl Variable {
    /// `None` where the call has no such value.
    pub(super) fn of<'a>(self, call: &Sources<'a>) -> Option<Cow<'a, str>> {
        Some(match self {
            Variable::RequestId => Cow::Owned(call.request_id.to_string()),
            Variable::ExtendedRequestId => Cow::Borrowed(call.extended_request_id),
            Variable::SourceIp => Cow::Owned(call.source_ip.to_string()),
            Variable::UserAgent => {
                let value = call.headers.get(header::USER_AGENT)?;
                String::from_utf8_lossy(value.as_bytes())
            }
            Variable::HttpMethod => Cow::Borrowed(call.method.as_str()),
            Variable::Path => Cow::Borrowed(call.path),
            Variable::Protocol => Cow::Borrowed(call.protocol),
            Variable::DomainName => Cow::Borrowed(call.domain_name),
            Variable::DomainPrefix => Cow::Borrowed(call.domain_name.split('.').next()?),
            Variable::RequestTime => Cow::Owned(request_time(call.received_at)?),
            Variable::RequestTimeEpoch => Cow::Owned(call.received_at.as_millis().to_string()),
        })
    }
}

/// The time in the common log format, as in `09/Apr/2015:12:34:56 +0000`.
fn request_time(at: Timestamp) -> Option<String> {
    let second = i64::try_from(at.as_seconds()).ok()?;
    let time = jiff::Timestamp::from_second(second).ok()?.to_zoned(TimeZone::UTC);
    Some(time.strftime("%d/%b/%Y:%H:%M:%S %z").to_string())
}
