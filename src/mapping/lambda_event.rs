//! What a function behind a proxy integration is told of a call: the event, format 1.0.
//!
//! It is written in one pass into one buffer. Keys, nulls and their order are as recorded; headers
//! are sorted by name without regard to case, as every event of a Regional API shows them.
//!
//! AWS: "Lambda proxy integrations in API Gateway" (input format); rest-data-plane 1.4, 7.3, 7.4,
//! 7.7 and 15.1.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use indexmap::IndexMap;

use super::context::{CallContext, CallerFacts};
use super::view::spelled;
use crate::net::{query, text};

/// What an event has around headers, parameters and body, bytes.
const FRAME_BYTES: usize = 2_048;
/// A header stands in two maps, each with quotes and separators.
const HEADER_FRAME_BYTES: usize = 16;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Keys of `identity` in the recorded order, without an API key and with one.
const IDENTITY: [&str; 12] = [
    "cognitoIdentityPoolId",
    "accountId",
    "cognitoIdentityId",
    "caller",
    "sourceIp",
    "principalOrgId",
    "accessKey",
    "cognitoAuthenticationType",
    "cognitoAuthenticationProvider",
    "userArn",
    "userAgent",
    "user",
];
const IDENTITY_WITH_KEY: [&str; 14] = [
    "cognitoIdentityPoolId",
    "cognitoIdentityId",
    "apiKey",
    "principalOrgId",
    "cognitoAuthenticationType",
    "userArn",
    "apiKeyId",
    "userAgent",
    "accountId",
    "caller",
    "sourceIp",
    "accessKey",
    "cognitoAuthenticationProvider",
    "user",
];

/// A call as its event shows it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub call: &'a CallContext<'a>,
    /// The path without the stage, not decoded.
    pub path: &'a str,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: &'a HeaderValue,
    /// `https` or `http`, and the port the client called.
    pub proto: &'a str,
    pub port: u16,
    /// Taken out of its content coding.
    pub body: &'a [u8],
    /// The body goes in as base64.
    pub is_binary: bool,
}

impl Event<'_> {
    /// The event in JSON.
    pub fn to_json(&self) -> Bytes {
        let headers = self.call.headers;
        let sent: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let room = FRAME_BYTES
            + 2 * sent
            + 2 * HEADER_FRAME_BYTES * headers.len()
            + 2 * self.call.query.map_or(0, str::len)
            + self.body.len() * if self.is_binary { 4 } else { 3 }
                / if self.is_binary { 3 } else { 2 };
        let mut out = Vec::with_capacity(room);
        self.write(&mut out);
        Bytes::from(out)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let call = self.call;
        out.push(b'{');
        first(out, "resource", call.facts.resource_path);
        field(out, "path", self.path);
        field(out, "httpMethod", call.method.as_str());
        self.headers(out);
        query_parameters(out, call.query);
        key(out, "pathParameters");
        map(out, call.path_parameters.iter());
        key(out, "stageVariables");
        map(out, call.facts.stage_variables.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        self.request_context(out);
        self.body(out);
        out.push(b'}');
    }

    /// `headers` and `multiValueHeaders`.
    fn headers(&self, out: &mut Vec<u8>) {
        let mut lines = self.lines();
        lines.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        key(out, "headers");
        if lines.is_empty() {
            out.extend_from_slice(b"null,\"multiValueHeaders\":null");
            return;
        }
        out.push(b'{');
        for (index, line) in lines.iter().enumerate() {
            separate(out, index);
            string(out, &line.name);
            out.push(b':');
            match &line.values {
                Values::Sent(values) => header_text(out, values.iter().next_back()),
                Values::Made(text) => string(out, text),
            }
        }
        out.push(b'}');
        key(out, "multiValueHeaders");
        out.push(b'{');
        for (index, line) in lines.iter().enumerate() {
            separate(out, index);
            string(out, &line.name);
            out.extend_from_slice(b":[");
            match &line.values {
                Values::Sent(values) => {
                    for (index, value) in values.iter().enumerate() {
                        separate(out, index);
                        header_text(out, Some(value));
                    }
                }
                Values::Made(text) => string(out, text),
            }
            out.push(b']');
        }
        out.push(b'}');
    }

    /// The client's headers and the gateway's own.
    fn lines(&self) -> Vec<Line<'_>> {
        let headers = self.call.headers;
        let mut lines = Vec::with_capacity(headers.len() + 16);
        for name in headers.keys().filter(|name| is_visible(name) && !is_own(name)) {
            let spelled = match name.as_str() {
                // Recorded: these two are normalised, whatever the client wrote.
                "authorization" => "Authorization",
                "user-agent" => "User-Agent",
                "host" => "Host",
                _ => spelled(self.call, name),
            };
            let values = match *name {
                // HTTP/2 clients may send one cookie a line (RFC 9113 section 8.2.3).
                header::COOKIE => Values::Made(cookies(headers)),
                _ => Values::Sent(headers.get_all(name)),
            };
            lines.push(Line { key: Cow::Borrowed(name.as_str()), name: spelled.into(), values });
        }
        let mut add = |name: &'static str, text: Cow<'static, str>| {
            let key = Cow::Owned(name.to_ascii_lowercase());
            lines.push(Line { key, name: name.into(), values: Values::Made(text) });
        };
        if !headers.contains_key(header::HOST) {
            add("Host", self.call.domain_name.to_owned().into());
        }
        add(
            "X-Amzn-Trace-Id",
            String::from_utf8_lossy(self.trace_id.as_bytes()).into_owned().into(),
        );
        add("X-Forwarded-For", self.forwarded_for().into());
        add("X-Forwarded-Port", self.port.to_string().into());
        add("X-Forwarded-Proto", self.proto.to_owned().into());
        lines
    }

    fn forwarded_for(&self) -> String {
        let mut chain = Vec::with_capacity(48);
        for value in self.call.headers.get_all(FORWARDED_FOR) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
        text::push_address(self.call.source_ip, &mut chain);
        String::from_utf8_lossy(&chain).into_owned()
    }

    fn request_context(&self, out: &mut Vec<u8>) {
        let call = self.call;
        let facts = &call.facts;
        key(out, "requestContext");
        out.push(b'{');
        first(out, "resourceId", facts.resource_id);
        if let Some(caller) = call.caller {
            authorizer(out, caller);
        }
        field(out, "resourcePath", facts.resource_path);
        if !facts.operation_name.is_empty() {
            field(out, "operationName", facts.operation_name);
        }
        field(out, "httpMethod", call.method.as_str());
        field(out, "extendedRequestId", call.extended_request_id);
        let time = text::request_time(call.received_at);
        field(out, "requestTime", &String::from_utf8_lossy(&time));
        field(out, "path", call.path);
        field(out, "accountId", facts.account_id);
        field(out, "protocol", call.protocol);
        field(out, "stage", facts.stage);
        field(out, "domainPrefix", call.domain_name.split('.').next().unwrap_or_default());
        key(out, "requestTimeEpoch");
        text::push_number(call.received_at.as_millis(), out);
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        field(out, "requestId", call.request_id.as_hyphenated().encode_lower(&mut id));
        self.identity(out);
        field(out, "domainName", call.domain_name);
        field(out, "deploymentId", facts.deployment_id);
        if let Some(is_canary) = facts.is_canary {
            field(out, "isCanaryRequest", if is_canary { "true" } else { "false" });
        }
        field(out, "apiId", facts.api_id);
        out.push(b'}');
    }

    fn identity(&self, out: &mut Vec<u8>) {
        let call = self.call;
        let has_key = call.caller.is_some_and(|caller| caller.api_key.is_some());
        let names: &[&str] = if has_key { &IDENTITY_WITH_KEY } else { &IDENTITY };
        key(out, "identity");
        out.push(b'{');
        for (index, name) in names.iter().enumerate() {
            separate(out, index);
            string(out, name);
            out.push(b':');
            match call.identity(name) {
                Some(text) => string(out, &text),
                None => out.extend_from_slice(b"null"),
            }
        }
        for name in ["vpcId", "vpceId"] {
            if let Some(text) = call.identity(name) {
                field(out, name, &text);
            }
        }
        if let Some(cert) = call.caller.and_then(|caller| caller.client_cert.as_deref()) {
            key(out, "clientCert");
            out.push(b'{');
            first(out, "clientCertPem", &cert.pem);
            field(out, "issuerDN", &cert.issuer_dn);
            field(out, "serialNumber", &cert.serial_number);
            field(out, "subjectDN", &cert.subject_dn);
            key(out, "validity");
            out.push(b'{');
            first(out, "notAfter", &cert.not_after);
            field(out, "notBefore", &cert.not_before);
            out.extend_from_slice(b"}}");
        }
        out.push(b'}');
    }

    /// `body` and `isBase64Encoded`, the last keys. Bytes that are no UTF-8 become U+FFFD.
    fn body(&self, out: &mut Vec<u8>) {
        key(out, "body");
        let is_base64 = self.is_binary && !self.body.is_empty();
        if self.body.is_empty() {
            out.extend_from_slice(b"null");
        } else if is_base64 {
            out.push(b'"');
            base64(out, self.body);
            out.push(b'"');
        } else {
            string(out, &String::from_utf8_lossy(self.body));
        }
        key(out, "isBase64Encoded");
        out.extend_from_slice(if is_base64 { b"true" } else { b"false" });
    }
}

/// One header of the event.
struct Line<'a> {
    /// The name in lower case, by which headers are sorted.
    key: Cow<'a, str>,
    name: Cow<'a, str>,
    values: Values<'a>,
}

enum Values<'a> {
    Sent(header::GetAll<'a, HeaderValue>),
    Made(Cow<'a, str>),
}

/// Headers of which the event has the gateway's own word, whatever the client says.
fn is_own(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "x-amzn-trace-id" | "x-forwarded-for" | "x-forwarded-port" | "x-forwarded-proto"
    )
}

/// Client headers that no function sees (recorded: header remapping tests).
fn is_visible(name: &HeaderName) -> bool {
    !matches!(
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
    )
}

fn cookies(headers: &HeaderMap) -> Cow<'_, str> {
    let mut values = headers.get_all(header::COOKIE).iter();
    let first = values.next().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut all = first.unwrap_or_default();
    for value in values {
        let joined = all.to_mut();
        joined.push_str("; ");
        joined.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    all
}

/// `queryStringParameters` with the last value of each name, `multiValueQueryStringParameters` with
/// all, in the order in which they came.
fn query_parameters(out: &mut Vec<u8>, query: Option<&str>) {
    let mut parameters: IndexMap<Cow<'_, str>, Vec<Cow<'_, str>>> = IndexMap::new();
    for (name, value) in query.into_iter().flat_map(query::pairs) {
        parameters.entry(query::decode_text(name)).or_default().push(query::decode_text(value));
    }
    key(out, "queryStringParameters");
    map(
        out,
        parameters.iter().map(|(name, values)| (&**name, values.last().map_or("", |last| &**last))),
    );
    key(out, "multiValueQueryStringParameters");
    if parameters.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'{');
    for (index, (name, values)) in parameters.iter().enumerate() {
        separate(out, index);
        string(out, name);
        out.extend_from_slice(b":[");
        for (index, value) in values.iter().enumerate() {
            separate(out, index);
            string(out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// `authorizer`, where one said something.
fn authorizer(out: &mut Vec<u8>, caller: &CallerFacts) {
    if caller.authorizer.is_empty() && caller.claims.is_empty() {
        return;
    }
    key(out, "authorizer");
    out.push(b'{');
    let mut written = 0;
    for (name, value) in &caller.authorizer {
        separate(out, written);
        written += 1;
        string(out, name);
        out.push(b':');
        match value.parse::<u64>() {
            // The one number among texts.
            Ok(number) if name == "integrationLatency" => text::push_number(number, out),
            _ => string(out, value),
        }
    }
    if !caller.claims.is_empty() {
        separate(out, written);
        out.extend_from_slice(b"\"claims\":");
        map(out, caller.claims.iter().map(|(name, claim)| (name.as_str(), claim.as_str())));
    }
    out.push(b'}');
}

// ---- JSON

/// An object of texts; `null` where there are none.
fn map<'t>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'t str, &'t str)>) {
    let start = out.len();
    for (name, value) in entries {
        out.push(if out.len() == start { b'{' } else { b',' });
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.extend_from_slice(if out.len() == start { b"null" } else { b"}" });
}

/// A key that is not the first.
fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

fn first(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(out, value);
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// Quoted and escaped. Writing to memory does not fail.
fn string(out: &mut Vec<u8>, text: &str) {
    // Few texts need an escape. No early end, so that many bytes are looked at in one step.
    let is_plain = text
        .bytes()
        .fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'));
    if !is_plain {
        return serde_json::to_writer(out, text).unwrap_or_default();
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn header_text(out: &mut Vec<u8>, value: Option<&HeaderValue>) {
    let bytes = value.map(HeaderValue::as_bytes).unwrap_or_default();
    string(out, &String::from_utf8_lossy(bytes));
}

/// Appends base64 without a buffer in between: whole groups first, which need no padding.
fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const GROUPS: usize = 3 * 1_024;
    let mut text = [0; GROUPS / 3 * 4];
    let mut chunks = bytes.chunks_exact(GROUPS);
    for chunk in &mut chunks {
        // The room is exactly what the chunk needs.
        let length = STANDARD_NO_PAD.encode_slice(chunk, &mut text).unwrap_or_default();
        out.extend_from_slice(text.get(..length).unwrap_or_default());
    }
    let length = STANDARD.encode_slice(chunks.remainder(), &mut text).unwrap_or_default();
    out.extend_from_slice(text.get(..length).unwrap_or_default());
}

#[cfg(test)]
#[path = "lambda_event_tests.rs"]
mod tests;
