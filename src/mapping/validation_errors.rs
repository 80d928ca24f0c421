//! What is wrong with a body, in the words of the validator that AWS uses.
//!
//! `$context.error.validationErrorString` is a list as Java prints it, of messages of the library
//! `json-schema-validator` (fge): `[object has missing required properties (["id","name"])]`. Like
//! that library, nothing is said of what is within a value that is itself wrong.
//!
//! Known from the field are that form and the message for missing properties (rest-data-plane 3.5);
//! all other messages follow the library's catalogue as remembered.

use std::fmt::Write as _;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// Errors looked at; a body can have as many as it has values.
const ERRORS_MAX: usize = 200;
/// Length of the report, bytes; it has to fit into a line of the access log, and into a header.
const REPORT_BYTES_MAX: usize = 4 * 1024;
/// A value quoted in a message, bytes.
const QUOTED_BYTES_MAX: usize = 512;

/// The list of all messages.
pub(super) fn report<'e>(errors: impl Iterator<Item = ValidationError<'e>>) -> String {
    let errors: Vec<_> = errors.take(ERRORS_MAX).collect();
    let mut report = String::from("[");
    let mut told: Vec<String> = Vec::new();
    for error in &errors {
        let path = error.instance_path().as_str();
        let wrong_above = errors.iter().any(|other| is_above(other.instance_path().as_str(), path));
        if wrong_above {
            continue;
        }
        let text = match error.kind() {
            // One message for all that one value lacks.
            Kind::Required { .. } => lacking(&errors, path),
            kind => message(kind, error.instance()),
        };
        let is_new = !matches!(error.kind(), Kind::Required { .. })
            || !told.iter().any(|place| place == path);
        if !is_new {
            continue;
        }
        if matches!(error.kind(), Kind::Required { .. }) {
            told.push(path.to_owned());
        }
        if report.len() + text.len() > REPORT_BYTES_MAX {
            break;
        }
        if report.len() > 1 {
            report.push_str(", ");
        }
        report.push_str(&text);
    }
    report.push(']');
    report
}

/// Whether the first of two JSON pointers is a place around the second.
fn is_above(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

fn lacking(errors: &[ValidationError<'_>], path: &str) -> String {
    let mut missing: Vec<&str> = Vec::new();
    for error in errors.iter().filter(|error| error.instance_path().as_str() == path) {
        if let Kind::Required { property: Value::String(name) } = error.kind()
            && !missing.contains(&name.as_str())
        {
            missing.push(name);
        }
    }
    format!("object has missing required properties ({})", list(&missing))
}

fn message(kind: &Kind, instance: &Value) -> String {
    let (count, length) = (members(instance), characters(instance));
    match kind {
        Kind::Type { kind } => {
            let allowed: Vec<&str> = match kind {
                TypeKind::Single(own) => vec![own.as_str()],
                TypeKind::Multiple(set) => set.iter().map(|own| own.as_str()).collect(),
            };
            format!(
                "instance type ({}) does not match any allowed primitive type (allowed: {})",
                type_of(instance),
                list(&allowed)
            )
        }
        Kind::Enum { options } => format!(
            "instance value ({}) not found in enum (possible values: {})",
            quoted(instance),
            quoted(options)
        ),
        Kind::AdditionalProperties { unexpected } => {
            let unexpected: Vec<&str> = unexpected.iter().map(String::as_str).collect();
            let names = cut(list(&unexpected));
            format!("object instance has properties which are not allowed by the schema: {names}")
        }
        Kind::MinLength { limit } => format!(
            "string {} is too short (length: {length}, required minimum: {limit})",
            quoted(instance)
        ),
        Kind::MaxLength { limit } => format!(
            "string {} is too long (length: {length}, maximum allowed: {limit})",
            quoted(instance)
        ),
        Kind::Pattern { pattern } => format!(
            "ECMA 262 regex {} does not match input string {}",
            cut(Value::from(pattern.as_str()).to_string()),
            quoted(instance)
        ),
        Kind::MinItems { limit } => format!(
            "array is too short: must have at least {limit} elements but instance has {count} \
             elements"
        ),
        Kind::MaxItems { limit } => format!(
            "array is too long: must have at most {limit} elements but instance has {count} \
             elements"
        ),
        Kind::AdditionalItems { limit } => format!(
            "array has too many elements: only {limit} are allowed but instance has {count} \
             elements"
        ),
        Kind::UniqueItems => "array must not contain duplicate elements".to_owned(),
        Kind::MinProperties { limit } => {
            format!(
                "object has too few properties (found {count} but schema requires at least {limit})"
            )
        }
        Kind::MaxProperties { limit } => {
            format!(
                "object has too many properties (found {count} but schema requires at most {limit})"
            )
        }
        Kind::AnyOf { context } => {
            let count = context.len();
            format!("instance failed to match at least one required schema among {count}")
        }
        Kind::OneOfNotValid { context } => matched_exactly_one(0, context.len()),
        Kind::OneOfMultipleValid { context } => {
            let matched = context.iter().filter(|errors| errors.is_empty()).count();
            matched_exactly_one(matched, context.len())
        }
        Kind::Not { .. } => "instance matched a schema which it should not have".to_owned(),
        Kind::Format { format } => of_format(format, instance),
        _ => of_number(kind, instance),
    }
}

fn of_number(kind: &Kind, instance: &Value) -> String {
    let found = quoted(instance);
    match kind {
        Kind::Minimum { limit } => format!(
            "numeric instance is lower than the required minimum (minimum: {limit}, found: {found})"
        ),
        Kind::Maximum { limit } => format!(
            "numeric instance is greater than the required maximum (maximum: {limit}, found: \
             {found})"
        ),
        Kind::ExclusiveMinimum { limit } => {
            format!("numeric instance is not strictly greater than the required minimum {limit}")
        }
        Kind::ExclusiveMaximum { limit } => {
            format!("numeric instance is not strictly lower than the required maximum {limit}")
        }
        Kind::MultipleOf { multiple_of } => {
            format!("remainder of division is not zero ({found} / {multiple_of})")
        }
        _ => format!("instance does not match keyword \"{}\"", kind.keyword()),
    }
}

fn of_format(format: &str, instance: &Value) -> String {
    let found = quoted(instance);
    match format {
        "date-time" => format!(
            "string {found} is invalid against requested date format(s) \
             [yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.[0-9]{{1,12}}Z]"
        ),
        "email" => format!("string {found} is not a valid email address"),
        "ipv4" => format!("string {found} is not a valid IPv4 address"),
        "ipv6" => format!("string {found} is not a valid IPv6 address"),
        "hostname" => format!("string {found} is not a valid hostname"),
        "uri" => format!("string {found} is not a valid URI"),
        _ => format!("string {found} is not a valid ECMA 262 regular expression"),
    }
}

fn matched_exactly_one(matched: usize, of: usize) -> String {
    format!("instance failed to match exactly one schema (matched {matched} out of {of})")
}

/// Draft 4 tells a number with a point from an integer, whatever its value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    }
}

fn characters(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn quoted(value: &Value) -> String {
    cut(value.to_string())
}

fn cut(mut text: String) -> String {
    if text.len() > QUOTED_BYTES_MAX {
        text.truncate(text.floor_char_boundary(QUOTED_BYTES_MAX));
        text.push('…');
    }
    text
}

/// `["a","b"]`.
fn list(texts: &[&str]) -> String {
    let mut list = String::from("[");
    for text in texts {
        if list.len() > 1 {
            list.push(',');
        }
        // Writing into a text does not fail.
        write!(list, "{}", Value::from(*text)).unwrap_or_default();
    }
    list.push(']');
    list
}
