//! What was sent? A request, read by its operation's input shape and checked.
//!
//! Wrong types answer `SerializationException`, values outside AWS's constraints one
//! `ValidationException` ([`super::check`]). `Content-Type` does not matter, as with AWS: where the
//! operation takes a blob the body is that blob (botocore sends definitions without any type),
//! where it has JSON members the body is read as JSON, and where it has neither it is not looked
//! at.
//!
//! AWS: API Gateway API Reference, "Request syntax" of each operation.

use bytes::Bytes;
use http::header::ACCEPT;
use http::request::Parts;
use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::admin::protocol::check::check;
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::json;
use crate::admin::protocol::ledger;
use crate::admin::protocol::model::{Form, Operation, Structure};
use crate::admin::protocol::operation::Input;
use crate::admin::protocol::route::Route;
use crate::model::quotas::DEFINITION_BYTES_MAX;

/// Query parameters that belong to a presigned request and to no operation.
const SIGNATURE_PREFIX: &str = "x-amz-";

/// Reads what was sent.
pub fn decode(route: Route, parts: &Parts, body: &Bytes) -> Result<Input, ApiError> {
    let Route { operation, labels, query, .. } = route;
    let mut input = Input { uri: labels, ..Input::default() };
    let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    input.accept = accept.map(str::to_owned);
    let Some(structure) = operation.input() else { return Ok(input) };
    read_query(operation, structure, query, &mut input)?;
    if structure.payload.is_some() {
        if body.len() as u64 > DEFINITION_BYTES_MAX {
            return Err(ApiError::bad_request(format!(
                "The document has {} bytes; at most {DEFINITION_BYTES_MAX} are allowed.",
                body.len()
            )));
        }
        input.payload = body.clone();
    } else if !structure.body.is_empty() {
        input.body = json::read(operation.service.model(), structure, body)?;
    }
    ledger::check_members(operation, &input)?;
    check(operation, &input)?;
    Ok(input)
}

fn read_query(
    operation: &Operation,
    structure: &Structure,
    query: Vec<(String, String)>,
    input: &mut Input,
) -> Result<(), ApiError> {
    let mut parameters = IndexMap::new();
    for (name, text) in query {
        if let Some(member) = structure.query.get(name.as_str()) {
            let form = operation.service.model().form(member.shape);
            read_parameter(name, text, form, &mut input.query)?;
        } else if structure.free_query.is_some() && !is_of_the_protocol(operation, &name) {
            parameters.entry(name).or_insert(text);
        }
    }
    input.parameters = parameters;
    Ok(())
}

/// Lists take every value of their name, everything else the first.
fn read_parameter(
    name: String,
    text: String,
    form: Option<&Form>,
    into: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    if let Some(Form::List(_)) = form {
        let list = into.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = list {
            items.push(Value::from(text));
        }
        return Ok(());
    }
    let wrong = |wanted: &str| {
        let message = format!("class java.lang.String can not be converted to an {wanted}");
        ApiError::new(ErrorKind::Serialization, message)
    };
    let value = match form {
        // `?limit=` says nothing.
        Some(Form::Boolean | Form::Integer(_) | Form::Long(_) | Form::Double)
            if text.is_empty() =>
        {
            return Ok(());
        }
        Some(Form::Boolean) if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        Some(Form::Boolean) if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        Some(Form::Boolean) => return Err(wrong("Boolean")),
        Some(Form::Integer(_)) => Value::from(text.parse::<i32>().map_err(|_| wrong("Integer"))?),
        Some(Form::Long(_)) => Value::from(text.parse::<i64>().map_err(|_| wrong("Long"))?),
        Some(Form::Double) => Value::from(text.parse::<f64>().map_err(|_| wrong("Double"))?),
        _ => Value::String(text),
    };
    into.entry(name).or_insert(value);
    Ok(())
}

/// Whether a query parameter says which operation is meant, or signs the request.
fn is_of_the_protocol(operation: &Operation, name: &str) -> bool {
    let prefix = name.get(..SIGNATURE_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(SIGNATURE_PREFIX))
        || operation.fixed_query.iter().any(|(fixed, _)| **fixed == *name)
}
