//! Which operation is asked for? Method, raw path and query against the model's templates.
//!
//! Names arrive percent-encoded and may hold slashes (`arn%3A…%2Frestapis%2Fabc` is one segment),
//! so the raw path is split first and each piece decoded afterwards. A trailing slash is an empty
//! segment and fits no label: `DELETE /restapis/` followed by an id that a script failed to fill in
//! must not delete something else.
//!
//! A path that AWS does not have answers as AWS's gateway answers any unknown path, 403 and
//! `Missing Authentication Token` (chosen: the reference records no such call). A path or query
//! that is not properly percent-encoded UTF-8 answers 400.
//!
//! AWS: API Gateway API Reference, "Request syntax" of each operation. RFC 3986 section 2.1.

use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::{Operation, Segment, Service};

/// A request's operation, with what its address says, decoded.
#[derive(Clone, Debug)]
pub struct Route {
    pub operation: &'static Operation,
    /// By the names in the template.
    pub labels: Map<String, Value>,
    /// All query parameters in order.
    pub query: Vec<(String, String)>,
    /// The path as policies name it: decoded, v2's without its `/v2`.
    pub path: String,
}

/// Finds the operation.
pub fn route(parts: &Parts) -> Result<Route, ApiError> {
    let raw = parts.uri.path();
    let pieces: Vec<&str> = raw.strip_prefix('/').unwrap_or(raw).split('/').collect();
    let service = match pieces.first() {
        Some(&"v2") => Service::V2,
        _ => Service::V1,
    };
    let model = service.model();
    let mut candidates = model
        .candidates(&parts.method, pieces.len())
        .chain(model.greedy().filter(|operation| operation.method == parts.method))
        .filter(|operation| fits(operation, &pieces))
        .peekable();
    if candidates.peek().is_none() {
        return Err(unknown());
    }
    let query = query(parts.uri.query().unwrap_or_default())?;
    let is_asked = |operation: &&Operation| {
        operation.fixed_query.iter().all(|(name, value)| {
            query.iter().any(|(given, text)| *given == **name && *text == **value)
        })
    };
    let operation = candidates.find(is_asked).ok_or_else(unknown)?;
    let labels = labels(operation, &pieces)?;
    let path = decode(raw)?;
    let path = match service {
        Service::V2 => path.strip_prefix("/v2").unwrap_or(&path).to_owned(),
        Service::V1 => path,
    };
    Ok(Route { operation, labels, query, path })
}

fn fits(operation: &Operation, pieces: &[&str]) -> bool {
    let is_greedy = matches!(operation.path.last(), Some(Segment::Greedy(_)));
    let long_enough = match is_greedy {
        true => pieces.len() >= operation.path.len(),
        false => pieces.len() == operation.path.len(),
    };
    long_enough
        && operation.path.iter().zip(pieces).all(|(segment, piece)| match segment {
            Segment::Fixed(text) => **text == **piece,
            Segment::Label(_) | Segment::Greedy(_) => !piece.is_empty(),
        })
}

fn labels(operation: &Operation, pieces: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let mut labels = Map::new();
    for (at, segment) in operation.path.iter().enumerate() {
        let (name, raw) = match segment {
            Segment::Fixed(_) => continue,
            Segment::Label(name) => (name, pieces.get(at).copied().unwrap_or_default().to_owned()),
            Segment::Greedy(name) => (name, pieces.get(at..).unwrap_or_default().join("/")),
        };
        labels.insert(name.to_string(), Value::String(decode(&raw)?));
    }
    Ok(labels)
}

/// Parameters in order. `+` is a space, as forms have it; AWS's clients write `%20`.
fn query(raw: &str) -> Result<Vec<(String, String)>, ApiError> {
    let pieces = raw.split('&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let decoded = |text: &str| decode(&text.replace('+', " "));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Undoes `%XX`; a percent sign that encodes nothing and bytes that are no UTF-8 are refused.
fn decode(raw: &str) -> Result<String, ApiError> {
    let is_sound = raw.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        (0..2).all(|_| digits.next().is_some_and(|byte| byte.is_ascii_hexdigit()))
    });
    let decoded = is_sound.then(|| percent_decode_str(raw).decode_utf8().ok()).flatten();
    decoded.map(|text| text.into_owned()).ok_or_else(|| {
        ApiError::bad_request("The request's path or query is not percent-encoded UTF-8.")
    })
}

fn unknown() -> ApiError {
    ApiError::new(ErrorKind::MissingAuthenticationToken, "Missing Authentication Token")
}
