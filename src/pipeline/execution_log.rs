//! What a call's way through its integration was: the lines of an execution log.
//!
//! The lines, their order and their form are recorded (rest-data-plane 7.13). A log that is off
//! costs nothing: whoever tells asks for the lines first and makes no text for nobody.
//!
//! AWS: API Gateway Developer Guide, "Set up CloudWatch logging for REST APIs in API Gateway".

use std::fmt;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use indexmap::IndexMap;

use crate::call::{RefusalReport, Spelling};
use crate::mapping::context::CallContext;
use crate::net::clock::{Clock, Timestamp};
use crate::net::query;
use crate::pipeline::refusal::Type;

/// Characters shown of headers (recorded) and bodies: AWS cuts log events at 1,024 bytes.
const SHOWN_MAX: usize = 998;
const TRUNCATED: &str = " [TRUNCATED]";
/// Names whose usual spelling is not that of each word's first letter in upper case.
const SPELLED: [&str; 5] = [
    "x-amzn-ErrorType",
    "x-amzn-RequestId",
    "x-amzn-apigateway-api-id",
    "x-amzn-lambda-integration-tag",
    "ETag",
];
/// What stands before a backend's header that makes room for the gateway's own (recorded).
const REMAPPED: &str = "x-amzn-Remapped-";
/// Headers that hold secrets; of their values only the end is shown.
const MASKED: [&str; 4] =
    ["authorization", "proxy-authorization", "x-api-key", "x-amz-security-token"];
/// Characters of a secret that are shown; a shorter one is masked whole.
const UNMASKED: usize = 6;

/// Where the lines go.
#[derive(Debug, Default)]
pub enum ExecutionLog {
    #[default]
    Off,
    On(Box<Lines>),
}

/// The lines of one call.
#[derive(Debug)]
pub struct Lines {
    clock: Clock,
    /// Whether headers and bodies are shown (`dataTraceEnabled`): bodies are then read whole.
    shows_data: bool,
    lines: Vec<(Timestamp, String)>,
}

impl ExecutionLog {
    pub fn on(clock: Clock, shows_data: bool) -> Self {
        Self::On(Box::new(Lines { clock, shows_data, lines: Vec::new() }))
    }

    /// `None` where nobody reads them.
    pub fn lines(&mut self) -> Option<&mut Lines> {
        match self {
            Self::Off => None,
            Self::On(lines) => Some(lines),
        }
    }

    /// Whether bodies have to be read for the log's sake.
    pub fn shows_data(&self) -> bool {
        matches!(self, Self::On(lines) if lines.shows_data)
    }

    /// All lines with their times.
    pub fn into_lines(self) -> Vec<(Timestamp, String)> {
        match self {
            Self::Off => Vec::new(),
            Self::On(lines) => lines.lines,
        }
    }
}

impl Lines {
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        self.lines.push((self.clock.now(), line.to_string()));
    }

    /// The beginning of a call, before anything is done with it.
    pub fn begun(&mut self, call: &CallContext<'_>, body: &[u8]) {
        let id = call.request_id;
        self.line(format_args!("Starting execution for request: {id}"));
        self.line(format_args!("HTTP Method: {}, Resource Path: {}", call.method, call.path));
        let parameters = call.path_parameters.iter();
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.line(format_args!("Method request path: {}", map(&parameters.collect())));
        let query = query::pairs(call.query.unwrap_or_default()).map(|(name, value)| {
            (query::decode_text(name).into_owned(), query::decode_text(value).into_owned())
        });
        self.line(format_args!("Method request query string: {}", map(&query.collect())));
        if self.shows_data {
            let sent = headers_as(call.headers, call.spelling);
            self.line(format_args!("Method request headers: {sent}"));
            let body = shown(body);
            self.line(format_args!("Method request body before transformations: {body}"));
        }
    }

    /// A request that the method does not take: what it lacks, or why its body does not fit. Of other
    /// refusals there is nothing to say here.
    pub fn unfit(&mut self, refusal: &RefusalReport, clients: &HeaderMap) {
        if refusal.response_type == Type::BadRequestParameters.name() {
            self.line(format_args!("Execution failed: {}", refusal.message));
        } else if let Some(error) = &refusal.validation_error {
            let media_type = clients.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            self.line(format_args!(
                "Request body does not match model schema for content type {}: {error}",
                media_type.unwrap_or("application/json")
            ));
        }
    }

    /// The request to the endpoint.
    pub fn asked(&mut self, uri: &str, sent: &HeaderMap, body: &[u8]) {
        self.line(format_args!("Endpoint request URI: {uri}"));
        if self.shows_data {
            self.line(format_args!("Endpoint request headers: {}", headers(sent)));
            let body = shown(body);
            self.line(format_args!("Endpoint request body after transformations: {body}"));
        }
        self.line(format_args!("Sending request to {uri}"));
    }

    /// The endpoint's answer.
    pub fn answered(&mut self, status: u16, latency_ms: u64, theirs: &HeaderMap, body: &[u8]) {
        self.line(format_args!(
            "Received response. Status: {status}, Integration latency: {latency_ms} ms"
        ));
        self.line(format_args!("Endpoint response headers: {}", headers(theirs)));
        if self.shows_data {
            let body = shown(body);
            self.line(format_args!("Endpoint response body before transformations: {body}"));
        }
    }

    /// What the client gets of it.
    pub fn succeeded(&mut self, ours: &HeaderMap, body: &[u8]) {
        if self.shows_data {
            let body = shown(body);
            self.line(format_args!("Method response body after transformations: {body}"));
        }
        self.line(format_args!("Method response headers: {}", headers(ours)));
        self.line(format_args!("Successfully completed execution"));
    }

    pub fn completed(&mut self, status: StatusCode) {
        self.line(format_args!("Method completed with status: {}", status.as_u16()));
    }
}

/// `Tue Nov 18 12:00:00 UTC 2025`, as the lines of a test call begin.
pub fn date(at: Timestamp) -> Option<String> {
    let second = i64::try_from(at.as_seconds()).ok()?;
    let time = jiff::Timestamp::from_second(second).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    Some(time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string())
}

/// `{a=b, c=d}`.
fn map(entries: &IndexMap<String, String>) -> String {
    let entries: Vec<String> =
        entries.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{{}}}", entries.join(", "))
}

fn headers(headers: &HeaderMap) -> String {
    headers_as(headers, None)
}

/// The same where somebody chose how the names are spelled.
fn headers_as(headers: &HeaderMap, chosen: Option<&Spelling>) -> String {
    cut(map(&spelled(headers, chosen)))
}

fn shown(bytes: &[u8]) -> String {
    // A character has at most four bytes, so nothing that is shown is cut off here.
    let begin = bytes.get(..4 * (SHOWN_MAX + 1)).unwrap_or(bytes);
    cut(String::from_utf8_lossy(begin).into_owned())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text,
        Some((end, _)) => format!("{}{TRUNCATED}", text.get(..end).unwrap_or_default()),
    }
}

/// Several values of a name are joined by commas (recorded).
fn spelled(headers: &HeaderMap, chosen: Option<&Spelling>) -> IndexMap<String, String> {
    let mut entries: IndexMap<String, String> = IndexMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let own = chosen.and_then(|chosen| chosen.of(name));
        let name_shown = own.map_or_else(|| spelling(name), ToOwned::to_owned);
        let entry = entries.entry(name_shown).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        match MASKED.contains(&name.as_str()) {
            true => entry.push_str(&masked(&value)),
            false => entry.push_str(&value),
        }
    }
    entries
}

fn masked(secret: &str) -> String {
    let length = secret.chars().count();
    let hidden = if length > UNMASKED { length - UNMASKED } else { length };
    let tail = secret.chars().skip(hidden);
    std::iter::repeat_n('*', hidden).chain(tail).collect()
}

/// Names travel without case; people read them with it.
pub fn spelling(name: &HeaderName) -> String {
    spelled_out(name.as_str())
}

fn spelled_out(name: &str) -> String {
    if let Some(known) = SPELLED.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return (*known).to_owned();
    }
    if let Some((prefix, own)) = name.split_at_checked(REMAPPED.len())
        && prefix.eq_ignore_ascii_case(REMAPPED)
    {
        return format!("{REMAPPED}{}", spelled_out(own));
    }
    let mut spelled = String::with_capacity(name.len());
    let mut begins = true;
    for c in name.chars() {
        spelled.push(if begins { c.to_ascii_uppercase() } else { c });
        begins = c == '-';
    }
    spelled
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn long_dumps_are_cut() {
        let whole = "x".repeat(998);
        assert_eq!(shown(whole.as_bytes()), whole);
        assert_eq!(shown("x".repeat(999).as_bytes()), format!("{whole} [TRUNCATED]"));
        let wide = "ä".repeat(5_000);
        assert_eq!(shown(wide.as_bytes()).chars().count(), 998 + " [TRUNCATED]".len());
    }

    /// rest-data-plane 7.5, 7.13.
    #[test]
    fn names_have_their_recorded_spelling() {
        for (name, spelled) in [
            ("content-type", "Content-Type"),
            ("x-amzn-remapped-content-length", "x-amzn-Remapped-Content-Length"),
            ("x-amzn-remapped-x-amzn-requestid", "x-amzn-Remapped-x-amzn-RequestId"),
            ("x-amzn-lambda-integration-tag", "x-amzn-lambda-integration-tag"),
        ] {
            assert_eq!(spelling(&HeaderName::from_static(name)), spelled);
        }
    }

    /// rest-data-plane 11.3: secrets are masked, and all of a short one.
    #[test]
    fn secrets_are_masked() {
        let mut sent = HeaderMap::new();
        sent.insert("authorization", HeaderValue::from_static("Bearer 123456789"));
        sent.insert("x-api-key", HeaderValue::from_static("short"));
        sent.insert("x-amzn-requestid", HeaderValue::from_static("id"));
        sent.append("accept", HeaderValue::from_static("a"));
        sent.append("accept", HeaderValue::from_static("b"));
        assert_eq!(
            headers(&sent),
            "{Authorization=**********456789, X-Api-Key=*****, x-amzn-RequestId=id, Accept=a,b}"
        );
    }
}
