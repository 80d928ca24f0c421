//! Integration responses: which one an answer becomes, with which status, headers and body.
//!
//! HTTP, MOCK and AWS service integrations choose by the status of the answer. There are only 900
//! of those, so every pattern is tried on each of them when the API is deployed and a call looks up
//! a number. Of a Lambda function the message of its error is looked at; a function that did not
//! fail has none, and an empty text matches few patterns (recorded: not `200`, not `.+`).
//!
//! AWS: "Set up an integration response in API Gateway", "Handle Lambda errors in API Gateway";
//! recorded: a pattern must match all of the text, the first match wins, an entry without a pattern
//! is the default.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::content::{BinaryTypes, Conversion};
use super::context::{CallContext, RouteFacts};
use super::java_regex::JavaRegex;
use super::sources::{BodyFault, BodySource, BodyText, Common};
use super::template::Overrides;
use super::templates::{ResponseTemplate, ResponseTemplates, Text};
use super::{CompileError, MappingError, Side, check_overrides, header_value};
use crate::model::quotas;
use crate::model::rest_api::{ContentHandling, Integration, IntegrationKind, IntegrationResponse};

/// Status codes an answer may have: three digits (RFC 9110 section 15).
const STATUSES: std::ops::Range<u16> = 100..1000;
/// Integration responses of one method. Each has its own status, and a method response can have
/// any of three digits; far fewer are in use.
const RESPONSES_MAX: usize = 200;
/// What an error message that patterns are tried on may hold, bytes. AWS states no figure; the
/// message of a whole stack trace is shorter.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a client is told of a body that nobody says more about.
const JSON: &str = "application/json";

/// Names that are the gateway's own in a response (recorded: header remapping tests).
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

/// The integration responses of one integration that is no proxy.
#[derive(Debug)]
pub struct ResponseMapping {
    kind: IntegrationKind,
    responses: Box<[Response]>,
    /// Index into `responses` by status less 100; `NONE` where nothing fits.
    by_status: Box<[u8]>,
    /// The entry without a pattern.
    default: u8,
}

const NONE: u8 = u8::MAX;

#[derive(Debug)]
struct Response {
    status: StatusCode,
    /// Whether the method has a response of this status.
    is_declared: bool,
    pattern: Option<JavaRegex>,
    headers: Vec<(HeaderName, Source)>,
    reads_body: bool,
    templates: ResponseTemplates,
    handling: Option<ContentHandling>,
}

#[derive(Debug)]
enum Source {
    Common(Common),
    Header(HeaderName),
    AllHeaders(HeaderName),
    Body(BodySource),
}

/// What is to be done with one answer.
#[derive(Debug)]
pub struct ResponsePlan<'m> {
    response: &'m Response,
    template: Option<&'m ResponseTemplate>,
    conversion: Conversion,
}

/// What the client gets.
#[derive(Debug)]
pub struct MappedResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `None`: the integration's body goes on as it is.
    pub body: Option<Bytes>,
}

impl ResponseMapping {
    /// Compiles the integration responses. Patterns are tried in the order of their status codes.
    /// `declared` are the statuses of the method's responses.
    ///
    /// # Errors
    /// A pattern or a source that is none, too many entries.
    pub fn compile(
        integration: &Integration,
        declared: &[u16],
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        let responses = &integration.responses;
        if responses.len() > RESPONSES_MAX {
            return Err(CompileError::TooManyResponses { limit: RESPONSES_MAX });
        }
        let mut sorted: Vec<&IntegrationResponse> = responses.iter().collect();
        sorted.sort_by_key(|response| response.status_code);
        let responses: Box<[Response]> = sorted
            .into_iter()
            .map(|response| Response::compile(response, declared, route))
            .collect::<Result<_, _>>()?;
        let mut default = NONE;
        let mut by_status = vec![NONE; STATUSES.len()];
        for (index, response) in (0..NONE).zip(&responses) {
            match &response.pattern {
                None => default = if default == NONE { index } else { default },
                Some(pattern) => mark(pattern, index, &mut by_status),
            }
        }
        for chosen in by_status.iter_mut().filter(|chosen| **chosen == NONE) {
            *chosen = default;
        }
        Ok(Self { kind: integration.kind, responses, by_status: by_status.into(), default })
    }

    /// The response for an answer of this status.
    ///
    /// # Errors
    /// `NoResponse`; `UndeclaredStatus` where the method has no response of the chosen status.
    pub fn by_status(&self, status: StatusCode) -> Result<Chosen<'_>, MappingError> {
        let index = self.by_status.get(usize::from(status.as_u16().wrapping_sub(STATUSES.start)));
        self.chosen(index.copied().unwrap_or(NONE), status)
    }

    /// The response for an answer of a function; `message` is that of its error.
    ///
    /// # Errors
    /// As of [`ResponseMapping::by_status`]; `Pattern` where a match takes too long.
    pub fn by_message(
        &self,
        message: Option<&str>,
        status: StatusCode,
    ) -> Result<Chosen<'_>, MappingError> {
        let message = message.unwrap_or_default();
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        let message = message.get(..end).unwrap_or_default();
        for (index, response) in (0..NONE).zip(&self.responses) {
            let Some(pattern) = &response.pattern else { continue };
            let matches = pattern.is_full_match(message);
            if matches.map_err(|err| MappingError::Pattern(err.to_string()))? {
                return self.chosen(index, status);
            }
        }
        self.chosen(self.default, status)
    }

    fn chosen(&self, index: u8, status: StatusCode) -> Result<Chosen<'_>, MappingError> {
        let no_response = MappingError::NoResponse { status: status.as_u16() };
        let response = self.responses.get(usize::from(index)).ok_or(no_response)?;
        if !response.is_declared {
            return Err(MappingError::UndeclaredStatus { status: response.status.as_u16() });
        }
        Ok(Chosen { kind: self.kind, response })
    }
}

/// The integration response an answer becomes.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'m> {
    kind: IntegrationKind,
    response: &'m Response,
}

impl<'m> Chosen<'m> {
    /// `theirs` are the answer's headers, `clients` the request's.
    ///
    /// # Errors
    /// A template for a body it cannot read.
    pub fn plan(
        self,
        theirs: &HeaderMap,
        clients: &HeaderMap,
        binary: &BinaryTypes,
    ) -> Result<ResponsePlan<'m>, MappingError> {
        let Self { kind, response } = self;
        let template = response.templates.choose(clients);
        let conversion = match kind {
            // There is no body that could be converted.
            IntegrationKind::Mock => Conversion::Text,
            _ => Conversion::of_response(
                binary.is_body(theirs),
                binary.is_wanted(clients),
                response.handling,
            ),
        };
        if template.is_some_and(|own| own.text.makes_body()) && !conversion.makes_text() {
            return Err(MappingError::BinaryTemplate(Side::Response));
        }
        Ok(ResponsePlan { response, template, conversion })
    }
}

impl ResponsePlan<'_> {
    /// Whether [`ResponsePlan::run`] needs the answer's body.
    pub fn needs_body(&self) -> bool {
        let text = self.template.map(|own| &own.text);
        let passes = !text.is_some_and(Text::makes_body);
        text.is_some_and(Text::reads_body) || self.response.reads_body || passes
    }

    /// Only mapped headers remain, and `Content-Type`: `application/json` unless mapped, whatever
    /// the key of the template (rest-data-plane 6.3.7).
    ///
    /// # Errors
    /// See [`MappingError`].
    pub fn run(
        &self,
        call: &CallContext<'_>,
        theirs: &HeaderMap,
        body: Option<Bytes>,
        mut overrides: Overrides,
    ) -> Result<MappedResponse, MappingError> {
        let body = body.map(|body| self.conversion.apply(body)).transpose()?;
        let text = String::from_utf8_lossy(body.as_deref().unwrap_or_default());
        let mut headers = HeaderMap::with_capacity(self.response.headers.len() + 4);
        let read = BodyText::new(&text);
        for (name, source) in &self.response.headers {
            if let Some(value) = source.value(call, theirs, &read)? {
                headers.append(name, value);
            }
        }
        drop(read);
        let rendered = match self.template {
            Some(template) => template.text.render(Side::Response, call, &text, &mut overrides)?,
            None => None,
        };
        drop(text);
        if !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        let status = override_response(self.response.status, &mut headers, &overrides)?;
        if status.is_informational() {
            // RFC 9110 section 15.2: that is no final answer.
            return Err(MappingError::UndeclaredStatus { status: status.as_u16() });
        }
        Ok(MappedResponse { status, headers, body: rendered.or(body) })
    }
}

/// What a template set in `$context.responseOverride` is the last word.
fn override_response(
    status: StatusCode,
    headers: &mut HeaderMap,
    overrides: &Overrides,
) -> Result<StatusCode, MappingError> {
    if overrides.is_empty() {
        return Ok(status);
    }
    let overridden = overrides.response_headers();
    check_overrides(&overridden)?;
    for (name, values) in overridden {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let cause = format!("`{name}` is no name of a header");
            MappingError::Template { side: Side::Response, cause }
        })?;
        let Some(name) = visible_name(name) else { continue };
        headers.remove(&name);
        for value in values {
            headers.append(&name, header_value(&name, &value)?);
        }
    }
    let overridden = overrides.response_status().and_then(|own| StatusCode::from_u16(own).ok());
    Ok(overridden.unwrap_or(status))
}

/// Writes `index` at every status that the whole pattern matches and no earlier one took. A match
/// that takes too long is none: three digits give no pattern of a person's that much to try.
fn mark(pattern: &JavaRegex, index: u8, by_status: &mut [u8]) {
    for (status, chosen) in STATUSES.zip(by_status) {
        if *chosen == NONE && pattern.is_full_match(&status.to_string()).unwrap_or(false) {
            *chosen = index;
        }
    }
}

impl Response {
    fn compile(
        response: &IntegrationResponse,
        declared: &[u16],
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        let status = StatusCode::from_u16(response.status_code)
            .map_err(|_| CompileError::BadStatus(response.status_code))?;
        let pattern = response.selection_pattern.as_deref().filter(|own| !own.is_empty());
        let pattern = pattern.map(JavaRegex::compile).transpose().map_err(|err| {
            let pattern = response.selection_pattern.clone().unwrap_or_default();
            CompileError::BadPattern { pattern, cause: err.to_string() }
        })?;
        let mut headers = Vec::new();
        for (key, expression) in &response.response_parameters {
            let name = key
                .strip_prefix("method.response.header.")
                .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                .ok_or_else(|| CompileError::BadKey { key: key.clone() })?;
            let bad =
                || CompileError::BadExpression { key: key.clone(), expression: expression.clone() };
            let source = Source::parse(expression, route).ok_or_else(bad)?;
            if let Some(name) = visible_name(name) {
                headers.push((name, source));
            }
        }
        Ok(Self {
            status,
            is_declared: declared.contains(&response.status_code),
            pattern,
            reads_body: headers.iter().any(|(_, source)| matches!(source, Source::Body(_))),
            headers,
            templates: ResponseTemplates::compile(&response.response_templates)?,
            handling: response.content_handling,
        })
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
    fn parse(expression: &str, route: &RouteFacts<'_>) -> Option<Self> {
        if let Some(common) = Common::parse(expression, route) {
            return common.map(Source::Common);
        }
        let rest = expression.strip_prefix("integration.response.")?;
        if let Some(body) = BodySource::parse(rest) {
            return body.map(Source::Body);
        }
        let (kind, name) = rest.split_once('.')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        match kind {
            "header" => Some(Source::Header(name)),
            "multivalueheader" => Some(Source::AllHeaders(name)),
            _ => None,
        }
    }

    /// `None` where the source is absent, or has what no header can hold.
    fn value(
        &self,
        call: &CallContext<'_>,
        theirs: &HeaderMap,
        body: &BodyText<'_>,
    ) -> Result<Option<HeaderValue>, MappingError> {
        let text = match self {
            Source::Header(name) => return Ok(theirs.get_all(name).iter().next_back().cloned()),
            Source::AllHeaders(name) => {
                let all: Vec<&[u8]> =
                    theirs.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                let joined = HeaderValue::from_bytes(&all.join(&b","[..])).ok();
                return Ok(joined.filter(|_| !all.is_empty()));
            }
            Source::Common(common) => common.value(call),
            Source::Body(source) => source.value(body).map_err(|fault| match fault {
                BodyFault::NotJson => MappingError::ResponseNotJson,
                BodyFault::TooMuch => MappingError::BodyTooMuch(Side::Response),
            })?,
        };
        let fits = text.filter(|text| text.len() <= quotas::HEADER_BYTES_MAX);
        Ok(fits.and_then(|text| HeaderValue::from_str(&text).ok()))
    }
}
