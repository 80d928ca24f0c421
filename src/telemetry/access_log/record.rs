//! What is known of a call once it is over, borrowed from wherever it lies.
//!
//! AWS: API Gateway Developer Guide, "Variables for access logging for API Gateway".

use std::net::{IpAddr, Ipv4Addr};

use crate::call::{ExtendedId, IntegrationReport, RefusalReport};
use crate::net::clock::Timestamp;

/// One finished call. Empty text means that the variable has no value and prints `-`.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// A UUID. `None`: the client sent an `x-amzn-RequestId` that is no UUID.
    pub request_id: Option<&'a [u8]>,
    pub extended_request_id: ExtendedId,
    /// When the call came in: `requestTime`, `requestTimeEpoch`.
    pub received_at: Timestamp,

    pub http_method: &'a str,
    /// The request's path with the stage, without the query.
    pub path: &'a str,
    /// The resource's template, such as `/pets/{id}`.
    pub resource_path: &'a str,
    pub resource_id: &'a str,
    /// `HTTP/1.1`, `HTTP/2.0`, `HTTP/3.0`.
    pub protocol: &'a str,
    /// The host the client asked for, without a port; `domainPrefix` is its first label.
    pub domain_name: &'a str,
    /// The `User-Agent` header; any bytes.
    pub user_agent: &'a [u8],
    /// On a custom domain: the base path that led here; empty for `(none)`, too.
    pub base_path_matched: &'a str,
    pub routing_rule_matched: &'a str,
    pub xray_trace_id: &'a str,

    pub account_id: &'a str,
    pub api_id: &'a str,
    pub stage: &'a str,
    pub deployment_id: &'a str,
    /// `None` where the stage has no canary.
    pub is_canary_request: Option<bool>,
    /// `EDGE`, `REGIONAL` or `PRIVATE`.
    pub endpoint_type: &'a str,

    /// The client's address as the listener saw it, never a header's claim.
    pub source_ip: IpAddr,
    pub identity: Identity<'a>,
    pub tls_version: &'a str,
    pub cipher_suite: &'a str,

    pub status: u16,
    /// Bytes of the response's body as sent.
    pub response_length: u64,
    /// From the request's head to the response's last byte.
    pub response_latency_ms: u64,
    pub integration: Option<&'a IntegrationReport>,
    /// Why the gateway answered by itself: `error.*`.
    pub refusal: Option<&'a RefusalReport>,
}

/// What was proved about the caller; all empty for an anonymous one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    pub caller: &'a str,
    pub user: &'a str,
    pub user_arn: &'a str,
    pub account_id: &'a str,
    pub access_key: &'a str,
    pub principal_org_id: &'a str,
    /// `identity.apiKeyId`. The key itself (`identity.apiKey`) is a secret and always prints `-`.
    pub api_key_id: &'a str,
    /// `authorizer.principalId`.
    pub principal_id: &'a str,
}

impl Default for Record<'_> {
    fn default() -> Self {
        Self {
            request_id: Some(b""),
            extended_request_id: ExtendedId([b'='; 16]),
            received_at: Timestamp::from_millis(0),
            http_method: "",
            path: "",
            resource_path: "",
            resource_id: "",
            protocol: "",
            domain_name: "",
            user_agent: b"",
            base_path_matched: "",
            routing_rule_matched: "",
            xray_trace_id: "",
            account_id: "",
            api_id: "",
            stage: "",
            deployment_id: "",
            is_canary_request: None,
            endpoint_type: "",
            source_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            identity: Identity::default(),
            tls_version: "",
            cipher_suite: "",
            status: 0,
            response_length: 0,
            response_latency_ms: 0,
            integration: None,
            refusal: None,
        }
    }
}
