//! What an API's author made of the gateway's own refusals: status, headers, body.
//!
//! Templates here are no templates of the mapping language: variables are put in, everything else
//! stands as it is, `#if` too. They are cut into pieces when the API is deployed. Entries are not
//! merged: a type with an entry of its own takes nothing from `DEFAULT_4XX` or `DEFAULT_5XX`, and
//! what the entry leaves out is as the type has it (recorded: rest-data-plane 3.5).
//!
//! AWS: Developer Guide, "Gateway responses for REST APIs in API Gateway", "Gateway response types
//! for API Gateway".

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use indexmap::IndexMap;

use super::CompileError;
use super::context::CallContext;
use crate::model::quotas;
use crate::model::rest_api;
use crate::net::query;

const JSON: &str = "application/json";
/// The template every type has while nobody gives it another. Recorded.
const DEFAULT_TEMPLATE: &str = "{\"message\":$context.error.messageString}";
/// Entries of one API; AWS has 21 types.
const ENTRIES_MAX: usize = 21;
/// Headers, and templates, of one entry.
const PLACES_MAX: usize = 100;
/// A client's values may be long, and a template may repeat them. AWS: payload of a response.
const RENDERED_BYTES_MAX: usize = 10 * 1024 * 1024;
/// These frame the message; the listener writes them itself (RFC 9110 sections 7.6.1, 8.6).
const FRAMING: [&str; 6] =
    ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// The entries of one API.
#[derive(Clone, Debug, Default)]
pub struct GatewayResponses(HashMap<Box<str>, GatewayResponse>);

/// One entry, compiled.
#[derive(Clone, Debug)]
pub struct GatewayResponse {
    status: Option<StatusCode>,
    headers: Box<[(HeaderName, Source)]>,
    templates: Box<[Template]>,
    /// For clients that ask for no media type of the list: JSON's, else the first.
    default: usize,
}

/// What an entry makes of a refusal. What is `None` stays as the type has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub status: Option<StatusCode>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<(HeaderValue, Bytes)>,
}

#[derive(Clone, Debug)]
struct Template {
    media_type: HeaderValue,
    /// `None`: the type's own body, byte for byte.
    pieces: Option<Box<[Piece]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Value(Source),
    /// Within quotes of a JSON template; it is full of quotes itself.
    ValidationErrorInJson,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Fixed(Box<str>),
    Context(Box<str>),
    StageVariable(Box<str>),
    Header(HeaderName),
    Query(Box<str>),
    Path(Box<str>),
    Nothing,
}

impl GatewayResponses {
    /// Type → entry.
    ///
    /// # Errors
    /// All places that cannot be compiled, such as `DEFAULT_4XX responseParameters x`.
    pub fn compile(
        entries: &IndexMap<String, rest_api::GatewayResponse>,
    ) -> Result<Self, Vec<(String, CompileError)>> {
        let mut failed = Vec::new();
        if entries.len() > ENTRIES_MAX {
            failed.push((String::new(), CompileError::TooManyTemplates { limit: ENTRIES_MAX }));
            return Err(failed);
        }
        let mut compiled = HashMap::with_capacity(entries.len());
        for (kind, entry) in entries {
            let own = GatewayResponse::compile(entry, |place, err| {
                failed.push((format!("{kind} {place}"), err));
            });
            compiled.insert(Box::from(kind.as_str()), own);
        }
        if failed.is_empty() { Ok(Self(compiled)) } else { Err(failed) }
    }

    /// The entry that counts for a type whose own status is this.
    pub fn of(&self, kind: &str, status: StatusCode) -> Option<&GatewayResponse> {
        if self.0.is_empty() {
            return None;
        }
        let class = if status.is_client_error() { "DEFAULT_4XX" } else { "DEFAULT_5XX" };
        self.0.get(kind).or_else(|| self.0.get(class))
    }

    /// Whether any entry shows what is wrong with a body.
    pub fn show_validation_errors(&self) -> bool {
        self.0.values().any(GatewayResponse::shows_validation_errors)
    }
}

/// Names of the stage variables that the entries show, for whoever gets no others.
pub fn shown_stage_variables(
    entries: &IndexMap<String, rest_api::GatewayResponse>,
) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut add = |source: &Source| {
        if let Source::StageVariable(name) = source {
            names.insert(name.to_string());
        }
    };
    for entry in entries.values() {
        let entry = GatewayResponse::compile(entry, |_, _| {});
        entry.headers.iter().for_each(|(_, source)| add(source));
        let pieces = entry.templates.iter().filter_map(|own| own.pieces.as_deref()).flatten();
        for piece in pieces {
            if let Piece::Value(source) = piece {
                add(source);
            }
        }
    }
    names
}

impl GatewayResponse {
    /// What cannot be compiled is told and left out.
    fn compile(
        entry: &rest_api::GatewayResponse,
        mut failed: impl FnMut(String, CompileError),
    ) -> Self {
        let status = entry.status_code.map(|code| (code, StatusCode::from_u16(code)));
        let status = match status {
            None => None,
            Some((200..=599, Ok(status))) => Some(status),
            Some((code, _)) => {
                failed("statusCode".to_owned(), CompileError::BadStatus(code));
                None
            }
        };
        let mut headers = Vec::new();
        for (key, expression) in entry.response_parameters.iter().take(PLACES_MAX) {
            match mapped(key, expression) {
                Ok((name, _)) if FRAMING.contains(&name.as_str()) => {}
                Ok(mapped) => headers.push(mapped),
                Err(err) => failed(format!("responseParameters {key}"), err),
            }
        }
        let mut templates = Vec::new();
        for (key, text) in entry.response_templates.iter().take(PLACES_MAX) {
            match Template::compile(key, text) {
                Ok(template) => templates.push(template),
                Err(err) => failed(format!("responseTemplates {key}"), err),
            }
        }
        let most = entry.response_parameters.len().max(entry.response_templates.len());
        if most > PLACES_MAX {
            failed(String::new(), CompileError::TooManyTemplates { limit: PLACES_MAX });
        }
        let is_json = |own: &Template| own.is(JSON.as_bytes());
        let default = templates.iter().position(is_json).unwrap_or(0);
        Self { status, headers: headers.into(), templates: templates.into(), default }
    }

    /// The author's status, if there is one.
    #[cfg(test)]
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// What the entry makes of a refusal of this call. A source that is absent sets no header.
    pub fn make(&self, call: &CallContext<'_>) -> Made {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, source) in &self.headers {
            let value = source.value(call);
            let value = value.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
            headers.extend(value.map(|value| (name.clone(), value)));
        }
        let body = self.choose(call.headers).and_then(|own| {
            let pieces = own.pieces.as_deref()?;
            Some((own.media_type.clone(), rendered(pieces, call)))
        });
        Made { status: self.status, headers, body }
    }

    /// `Accept` counts whole, as it does for templates of integration responses.
    fn choose(&self, clients: &HeaderMap) -> Option<&Template> {
        let asked = clients.get_all(header::ACCEPT).iter().next_back();
        let own =
            asked.and_then(|asked| self.templates.iter().find(|own| own.is(asked.as_bytes())));
        own.or_else(|| self.templates.get(self.default))
    }

    fn shows_validation_errors(&self) -> bool {
        let is = |source: &Source| matches!(source, Source::Context(name) if **name == *VALIDATION_ERROR);
        let in_header = self.headers.iter().any(|(_, source)| is(source));
        let mut pieces = self.templates.iter().filter_map(|own| own.pieces.as_deref()).flatten();
        in_header
            || pieces.any(|piece| match piece {
                Piece::ValidationErrorInJson => true,
                Piece::Value(source) => is(source),
                Piece::Text(_) => false,
            })
    }
}

const VALIDATION_ERROR: &str = "error.validationErrorString";

/// `gatewayresponse.header.{Name}` and its expression.
fn mapped(key: &str, expression: &str) -> Result<(HeaderName, Source), CompileError> {
    let name = key.strip_prefix("gatewayresponse.header.");
    let name = name.and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let name = name.ok_or_else(|| CompileError::BadKey { key: key.to_owned() })?;
    let fixed = expression.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let source = match fixed {
        Some(text) => Some(Source::Fixed(text.into())),
        None => Source::parse(expression),
    };
    let bad = || CompileError::BadExpression { key: key.to_owned(), expression: expression.into() };
    Ok((name, source.ok_or_else(bad)?))
}

impl Template {
    fn compile(key: &str, text: &str) -> Result<Self, CompileError> {
        let media_type = HeaderValue::from_str(key).ok().filter(|_| key.contains('/'));
        let media_type =
            media_type.ok_or_else(|| CompileError::BadMediaType { key: key.to_owned() })?;
        if text.len() > quotas::TEMPLATE_BYTES_MAX {
            let limit = quotas::TEMPLATE_BYTES_MAX;
            return Err(CompileError::TemplateTooLong { key: key.to_owned(), limit });
        }
        let is_json = key.to_ascii_lowercase().contains("json");
        let pieces = (text != DEFAULT_TEMPLATE).then(|| pieces(text, is_json));
        Ok(Self { media_type, pieces })
    }

    fn is(&self, asked: &[u8]) -> bool {
        self.media_type.as_bytes().eq_ignore_ascii_case(asked)
    }
}

/// Cuts a template at its variables: `$name` or `${name}`.
fn pieces(text: &str, is_json: bool) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut plain = String::new();
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        let Some((source, left)) = variable(after.get(1..).unwrap_or_default()) else {
            plain.push('$');
            rest = after.get(1..).unwrap_or_default();
            continue;
        };
        let in_quotes = is_json && plain.ends_with('"') && left.starts_with('"');
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
        }
        pieces.push(match &source {
            Source::Context(name) if in_quotes && **name == *VALIDATION_ERROR => {
                Piece::ValidationErrorInJson
            }
            _ => Piece::Value(source),
        });
        rest = left;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into()));
    }
    pieces.into()
}

/// The variable at the beginning of a text, and what follows it. A point that ends a sentence is
/// none of a name.
fn variable(text: &str) -> Option<(Source, &str)> {
    let (inner, is_braced) = match text.strip_prefix('{') {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    const FAMILIES: [&str; 3] = ["context.", "stageVariables.", "method.request."];
    let family = FAMILIES.into_iter().find(|family| inner.starts_with(family))?;
    // Names of headers, of claims and of what an authorizer says may hold hyphens.
    let hyphens = family == "method.request." || inner.starts_with("context.authorizer.");
    let is_of_name =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (hyphens && byte == b'-');
    // Everywhere else a name has parts.
    let has_parts = family != "stageVariables.";
    let bytes = inner.as_bytes();
    let mut end = family.len();
    while let Some(&byte) = bytes.get(end) {
        let is_inner_point =
            has_parts && byte == b'.' && bytes.get(end + 1).is_some_and(|next| is_of_name(*next));
        if !(is_of_name(byte) || is_inner_point) {
            break;
        }
        end += 1;
    }
    if end == family.len() {
        return None;
    }
    let (name, left) = inner.split_at_checked(end)?;
    let left = if is_braced { left.strip_prefix('}')? } else { left };
    Some((Source::parse(name).unwrap_or(Source::Nothing), left))
}

impl Source {
    /// `context.x`, `stageVariables.x`, `method.request.{header|querystring|path}.x`.
    fn parse(expression: &str) -> Option<Self> {
        if let Some(name) = expression.strip_prefix("context.") {
            return (!name.is_empty()).then(|| Source::Context(name.into()));
        }
        if let Some(name) = expression.strip_prefix("stageVariables.") {
            return (!name.is_empty()).then(|| Source::StageVariable(name.into()));
        }
        let (kind, name) = expression.strip_prefix("method.request.")?.split_once('.')?;
        if name.is_empty() {
            return None;
        }
        Some(match kind {
            "header" => Source::Header(HeaderName::from_bytes(name.as_bytes()).ok()?),
            "querystring" => Source::Query(name.into()),
            "path" => Source::Path(name.into()),
            _ => return None,
        })
    }

    fn value<'a>(&'a self, call: &CallContext<'a>) -> Option<Cow<'a, str>> {
        match self {
            Source::Fixed(text) => Some(Cow::Borrowed(text)),
            Source::Context(name) => call.text(name),
            Source::StageVariable(name) => call.stage_variable(name).map(Cow::Borrowed),
            Source::Header(name) => {
                let value = call.headers.get_all(name).iter().next_back();
                match value {
                    Some(value) => Some(String::from_utf8_lossy(value.as_bytes())),
                    None if *name == header::HOST => Some(Cow::Borrowed(call.domain_name)),
                    None => None,
                }
            }
            Source::Query(name) => {
                call.query.and_then(|all| query::last(all, name)).map(Cow::Owned)
            }
            Source::Path(name) => call.path_parameters.get(name).map(Cow::Borrowed),
            Source::Nothing => None,
        }
    }
}

/// The whole text; what is absent prints nothing.
fn rendered(pieces: &[Piece], call: &CallContext<'_>) -> Bytes {
    let mut text = String::new();
    for piece in pieces {
        let value = match piece {
            Piece::Text(own) => Cow::Borrowed(&**own),
            Piece::Value(source) => source.value(call).unwrap_or_default(),
            Piece::ValidationErrorInJson => {
                let report = call.text(VALIDATION_ERROR).unwrap_or_default();
                Cow::Owned(within_json_quotes(&report))
            }
        };
        if text.len() + value.len() > RENDERED_BYTES_MAX {
            break;
        }
        text.push_str(&value);
    }
    Bytes::from(text)
}

fn within_json_quotes(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text).to_owned()
}

#[cfg(test)]
#[path = "gateway_responses_tests.rs"]
mod tests;
