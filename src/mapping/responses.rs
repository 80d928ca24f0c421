//! Integration responses: which one an answer becomes, with which headers and which body.
//!
//! HTTP and MOCK integrations choose by the status of the answer. There are only 900 of those, so
//! every pattern is tried on each of them when the API is deployed and a call looks up a number.
//!
//! AWS: "Set up an integration response in API Gateway"; recorded: a pattern must match all of the
//! status, the first match wins, an entry without a pattern is the default.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use regex::RegexBuilder;

use super::context::RouteFacts;
use super::parameters::{quoted, stage_variable};
use super::templates::ResponseTemplates;
use super::{CompileError, MappingError};
use crate::call::{Body, Reply};
use crate::model::rest_api::IntegrationResponse;

/// Status codes an answer may have: three digits (RFC 9110 section 15).
const STATUSES: std::ops::Range<u16> = 100..1000;
/// Integration responses of one method. Each has its own status, and a method response can have
/// any of three digits; far fewer are in use.
const RESPONSES_MAX: usize = 200;
/// Memory one compiled pattern may take, bytes. Patterns over three digits are small.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Names that are the gateway's own in a response (recorded: header remapping tests for HTTP).
const REMAPPED: [&str; 15] = [
    "authorization",
    "connection",
    "content-length",
    "content-md5",
    "date",
    "expect",
    "host",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "trailer",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-amzn-requestid",
];

/// The integration responses of one HTTP or MOCK integration.
#[derive(Clone, Debug)]
pub struct ResponseMapping {
    responses: Box<[Response]>,
    /// Index into `responses` by status less 100; `NONE` where nothing fits.
    by_status: Box<[u8]>,
}

const NONE: u8 = u8::MAX;

#[derive(Clone, Debug)]
struct Response {
    status: StatusCode,
    headers: Vec<(HeaderName, Source)>,
    templates: ResponseTemplates,
}

#[derive(Clone, Debug)]
enum Source {
    Fixed(HeaderValue),
    Header(HeaderName),
    AllHeaders(HeaderName),
}

impl ResponseMapping {
    /// Compiles the integration responses. Patterns are tried in the order of their status codes.
    ///
    /// Java's regular expressions know look-around and back-references, ours do not: a pattern that
    /// uses them is refused here, never read differently.
    pub fn compile(
        responses: &[IntegrationResponse],
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        if responses.len() > RESPONSES_MAX {
            return Err(CompileError::TooManyResponses { limit: RESPONSES_MAX });
        }
        let mut sorted: Vec<&IntegrationResponse> = responses.iter().collect();
        sorted.sort_by_key(|response| response.status_code);
        let mut default = NONE;
        let mut by_status = vec![NONE; STATUSES.len()];
        for (index, response) in (0..NONE).zip(&sorted) {
            match response.selection_pattern.as_deref() {
                None | Some("") => default = if default == NONE { index } else { default },
                Some(pattern) => mark(pattern, index, &mut by_status)?,
            }
        }
        for chosen in by_status.iter_mut().filter(|chosen| **chosen == NONE) {
            *chosen = default;
        }
        let responses = sorted
            .into_iter()
            .map(|response| Response::compile(response, route))
            .collect::<Result<_, _>>()?;
        Ok(Self { responses, by_status: by_status.into() })
    }

    /// Turns an integration's answer into the method's. The body is that of the template which
    /// `clients`, the headers of the request, ask for; without templates it stays.
    ///
    /// Only mapped headers remain, `Content-Type` (unless mapped the template's media type, else
    /// `application/json`), and the trace header where the integration set one.
    pub fn apply(&self, mut answer: Reply, clients: &HeaderMap) -> Result<Reply, MappingError> {
        let status = answer.status.as_u16();
        let index = self.by_status.get(usize::from(status.wrapping_sub(STATUSES.start)));
        let response = index
            .and_then(|index| self.responses.get(usize::from(*index)))
            .ok_or(MappingError::NoResponse { status })?;
        let theirs = std::mem::take(&mut answer.headers);
        let mut headers = HeaderMap::with_capacity(response.headers.len() + 4);
        for (name, source) in &response.headers {
            if let Some(value) = source.value(&theirs) {
                headers.append(name, value);
            }
        }
        let template = response.templates.choose(clients);
        if !headers.contains_key(header::CONTENT_TYPE) {
            let json = || HeaderValue::from_static("application/json");
            let media_type = template.map_or_else(json, |template| template.media_type.clone());
            headers.insert(header::CONTENT_TYPE, media_type);
        }
        if let Some(trace) = theirs.get(&TRACE_ID) {
            headers.insert(TRACE_ID, trace.clone());
        }
        answer.status = response.status;
        answer.headers = headers;
        if let Some(template) = template {
            answer.body = Body::from(template.body.clone());
        }
        Ok(answer)
    }
}

/// Writes `index` at every status that the whole pattern matches and no earlier one took.
fn mark(pattern: &str, index: u8, by_status: &mut [u8]) -> Result<(), CompileError> {
    let unusable = |cause: String| CompileError::BadPattern { pattern: pattern.to_owned(), cause };
    // Compiled by itself first, so that a stray bracket cannot pair with the ones put around it.
    let compile = |text: &str| {
        let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
        built.map_err(|err| unusable(err.to_string()))
    };
    compile(pattern)?;
    let whole = compile(&format!(r"\A(?:{pattern})\z"))?;
    for (status, chosen) in STATUSES.zip(by_status) {
        if *chosen == NONE && whole.is_match(&status.to_string()) {
            *chosen = index;
        }
    }
    Ok(())
}

impl Response {
    fn compile(
        response: &IntegrationResponse,
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        let status = StatusCode::from_u16(response.status_code)
            .map_err(|_| CompileError::BadStatus(response.status_code))?;
        let mut headers = Vec::new();
        for (key, expression) in &response.response_parameters {
            let name = key
                .strip_prefix("method.response.header.")
                .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                .ok_or_else(|| CompileError::BadKey { key: key.clone() })?;
            let bad =
                || CompileError::BadExpression { key: key.clone(), expression: expression.clone() };
            let source = Source::parse(expression, route).ok_or_else(bad)?;
            if let (Some(name), Some(source)) = (visible_name(name), source) {
                headers.push((name, source));
            }
        }
        let templates = ResponseTemplates::compile(&response.response_templates)?;
        Ok(Self { status, headers, templates })
    }
}

/// The name under which the client sees a mapped header; `None` when it never does.
fn visible_name(name: HeaderName) -> Option<HeaderName> {
    if name == header::TRANSFER_ENCODING {
        return None;
    }
    if !REMAPPED.contains(&name.as_str()) {
        return Some(name);
    }
    HeaderName::from_bytes(format!("x-amzn-remapped-{name}").as_bytes()).ok()
}

impl Source {
    /// `None`: not a source. `Some(None)`: a source known to have no value.
    fn parse(expression: &str, route: &RouteFacts<'_>) -> Option<Option<Self>> {
        let fixed = |text: &str| HeaderValue::from_str(text).ok().map(Source::Fixed);
        if let Some(text) = quoted(expression) {
            return fixed(text).map(Some);
        }
        if let Some(name) = expression.strip_prefix("stageVariables.") {
            return match stage_variable(name, route) {
                Some(value) => fixed(&value).map(Some),
                None => Some(None),
            };
        }
        let (kind, name) = expression.strip_prefix("integration.response.")?.split_once('.')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        match kind {
            "header" => Some(Some(Source::Header(name))),
            "multivalueheader" => Some(Some(Source::AllHeaders(name))),
            _ => None,
        }
    }

    fn value(&self, theirs: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Source::Fixed(value) => Some(value.clone()),
            Source::Header(name) => theirs.get_all(name).iter().next_back().cloned(),
            Source::AllHeaders(name) => {
                let all: Vec<&[u8]> =
                    theirs.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                if all.is_empty() {
                    None
                } else {
                    HeaderValue::from_bytes(&all.join(&b","[..])).ok()
                }
            }
        }
    }
}
