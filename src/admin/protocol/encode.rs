//! What is answered? A handler's outcome, written by its operation's output shape, or an error.
//!
//! Members the shape does not know are not written, at any depth: that is where private members of
//! stored objects stay behind. Handlers keep dates as seconds since the epoch everywhere; v1 writes
//! them as numbers, v2 as ISO 8601. The order of members is the body's own.
//!
//! AWS: API Gateway API Reference, "Response syntax" of each operation, "Common errors".

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::{
    DateFormat, Form, Model, Operation, Service, ShapeId, Structure,
};
use crate::admin::protocol::operation::Outcome;

/// The id of a request, as AWS's SDKs read it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The error's name, as AWS's SDKs read it.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Member of an error that travels as a header.
const RETRY_MEMBER: &str = "retryAfterSeconds";
/// When nothing better is known; ours, and as short as the header can say.
const RETRY_DEFAULT: HeaderValue = HeaderValue::from_static("1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Writes an outcome. An outcome that is not of the operation's form is a defect of its handler.
pub fn encode(operation: &Operation, outcome: Outcome) -> Result<Response<Bytes>, ApiError> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = operation.status;
    match (operation.output(), outcome) {
        (None, _) => {}
        (Some(structure), Outcome::Payload { content_type, disposition, bytes })
            if structure.payload.is_some() =>
        {
            let header = |text: &str| HeaderValue::from_str(text).map_err(|_| defect(operation));
            answer.headers_mut().insert(CONTENT_TYPE, header(&content_type)?);
            if !disposition.is_empty() {
                answer.headers_mut().insert(CONTENT_DISPOSITION, header(&disposition)?);
            }
            *answer.body_mut() = bytes;
        }
        (Some(structure), Outcome::Body(body)) if structure.payload.is_none() => {
            answer.headers_mut().insert(CONTENT_TYPE, JSON);
            if operation.status != StatusCode::NO_CONTENT {
                let body = members(operation.service.model(), structure, body);
                *answer.body_mut() = Value::Object(body).to_string().into();
            }
        }
        (Some(_), _) => return Err(defect(operation)),
    }
    Ok(answer)
}

fn defect(operation: &Operation) -> ApiError {
    tracing::error!(%operation, "An operation's outcome does not fit its model.");
    ApiError::new(ErrorKind::Internal, "Internal failure")
}

/// Writes an error; without a service where the request fits no operation.
pub fn refuse(service: Option<Service>, error: ApiError) -> Response<Bytes> {
    let ApiError { kind, message, mut more } = error;
    let retry = more.shift_remove(RETRY_MEMBER);
    let mut body = Map::new();
    body.insert("message".to_owned(), Value::from(message));
    body.extend(more);
    let mut answer = Response::new(Bytes::from(Value::Object(body).to_string()));
    *answer.status_mut() =
        StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ERROR_TYPE, HeaderValue::from_static(kind.name()));
    // v2's model has no such member; it says `limitType` in the body.
    let is_asked_to_wait = service != Some(Service::V2)
        && matches!(
            kind,
            ErrorKind::LimitExceeded | ErrorKind::TooManyRequests | ErrorKind::ServiceUnavailable
        );
    if is_asked_to_wait || retry.is_some() {
        let seconds = retry.as_ref().map(|seconds| match seconds {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let seconds = seconds.and_then(|text| HeaderValue::from_str(&text).ok());
        headers.insert(RETRY_AFTER, seconds.unwrap_or(RETRY_DEFAULT));
    }
    answer
}

fn members(model: &Model, structure: &Structure, body: Map<String, Value>) -> Map<String, Value> {
    let known = body.into_iter().filter(|(_, value)| !value.is_null());
    known
        .filter_map(|(wire, value)| {
            let member = structure.body.get(wire.as_str())?;
            Some((wire, written(model, member.shape, value)))
        })
        .collect()
}

fn written(model: &Model, shape: ShapeId, value: Value) -> Value {
    match (model.form(shape), value) {
        (Some(Form::Structure(structure)), Value::Object(body)) => {
            Value::Object(members(model, structure, body))
        }
        (Some(Form::List(item)), Value::Array(items)) => {
            items.into_iter().map(|value| written(model, *item, value)).collect()
        }
        (Some(Form::Map(entry)), Value::Object(entries)) => Value::Object(
            entries.into_iter().map(|(key, value)| (key, written(model, *entry, value))).collect(),
        ),
        (Some(Form::Timestamp(DateFormat::Iso8601)), Value::Number(seconds)) => {
            iso8601(&seconds).unwrap_or(Value::Number(seconds))
        }
        (_, value) => value,
    }
}

/// `2020-04-08T19:05:45Z`
fn iso8601(seconds: &serde_json::Number) -> Option<Value> {
    let whole = seconds.as_i64().or_else(|| seconds.as_f64().map(|seconds| seconds as i64))?;
    let date = jiff::Timestamp::from_second(whole).ok()?;
    Some(Value::from(date.to_string()))
}
