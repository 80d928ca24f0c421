//! What would AWS's framework refuse before API Gateway sees the request? Its first layer of
//! validation: enumerations, lengths, bounds, patterns and required members, straight from the
//! model, collected into one error.
//!
//! ```text
//! 1 validation error detected: Value 'wrong-op' at 'updateGatewayResponseInput.patchOperations.
//! 1.member.op' failed to satisfy constraint: Member must satisfy enum value set: [add, remove, …]
//! ```
//! Members of the address are named alone (`'statusCode'`), list members are numbered from 1, a
//! list of enumerated values is judged and printed as a whole. The wording of enumerations and
//! patterns and the order of `op` are recorded; the wording of lengths, bounds and missing members
//! is the one AWS's framework has in all services, from memory.
//!
//! v2 has no `ValidationException`: the same text goes out as `BadRequestException` (decided here;
//! not recorded). Where a handler knows a recorded message, [`LEFT_TO_HANDLERS`] keeps this layer
//! silent. Required members follow the same rule: AWS's SDKs never leave one out, so no recording
//! shows it, and this layer refuses what a handler does not claim.

use std::fmt::Write;

use serde_json::Value;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::{Form, Member, Model, Operation, Range, Service, Structure};
use crate::admin::protocol::operation::Input;

/// Violations that are spelled out; all are counted.
const SPELLED_MAX: usize = 50;
/// Characters of a value that a message repeats; ours.
const VALUE_CHARS_MAX: usize = 1_024;

/// Members, by their names on the wire, that only the handler judges, since a message of its own is
/// recorded. Reference: control-plane.md section 1.2.
pub const LEFT_TO_HANDLERS: &[(Service, &str, &str)] = &[
    // `Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]`
    (Service::V2, "CreateApi", "protocolType"),
    // `Invalid OpenAPI input.`
    (Service::V2, "ImportApi", "body"),
    (Service::V2, "ReimportApi", "body"),
    // `Name cannot be empty`
    (Service::V1, "CreateVpcLink", "name"),
];

/// Enumerations that AWS prints in an order of its own, by shape.
///
/// `Op` is recorded; the others are from memory of the same source and not verified.
pub const PRINT_ORDERS: &[(Service, &str, &[&str])] = &[
    (Service::V1, "Op", &["add", "remove", "move", "test", "replace", "copy"]),
    (Service::V1, "EndpointType", &["PRIVATE", "EDGE", "REGIONAL"]),
    (Service::V1, "IntegrationType", &["HTTP", "MOCK", "AWS_PROXY", "HTTP_PROXY", "AWS"]),
];

/// Judges a request that could be read.
pub fn check(operation: &Operation, input: &Input) -> Result<(), ApiError> {
    let Some(structure) = operation.input() else { return Ok(()) };
    let mut found =
        Violations { model: operation.service.model(), count: 0, message: String::new() };
    found.members(operation, structure, input);
    if found.count == 0 {
        return Ok(());
    }
    let noun = if found.count == 1 { "error" } else { "errors" };
    let message = format!("{} validation {noun} detected: {}", found.count, found.message);
    Err(ApiError::new(kind(operation.service), message))
}

fn kind(service: Service) -> ErrorKind {
    match service {
        Service::V1 => ErrorKind::Validation,
        Service::V2 => ErrorKind::BadRequest,
    }
}

struct Violations<'a> {
    model: &'a Model,
    count: usize,
    message: String,
}

impl Violations<'_> {
    fn members(&mut self, operation: &Operation, structure: &Structure, input: &Input) {
        let is_ours = |wire: &str| {
            !LEFT_TO_HANDLERS.iter().any(|(service, name, member)| {
                *service == operation.service && **name == *operation.name && *member == wire
            })
        };
        for (wire, member) in &structure.uri {
            self.member(member, input.uri.get(&**wire), shown(operation, wire, member));
        }
        for (wire, member) in structure.query.iter().filter(|(wire, _)| is_ours(wire)) {
            self.member(member, input.query.get(&**wire), shown(operation, wire, member));
        }
        let name = input_name(operation);
        for (wire, member) in structure.body.iter().filter(|(wire, _)| is_ours(wire)) {
            let path = format!("{name}.{}", shown(operation, wire, member));
            self.member(member, input.body.get(&**wire), path);
        }
    }

    fn member(&mut self, member: &Member, value: Option<&Value>, path: String) {
        match value {
            None | Some(Value::Null) if member.required => {
                self.add("null", &path, "Member must not be null");
            }
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if !member.values.is_empty() => {
                if !member.values.iter().any(|allowed| **allowed == **text) {
                    let allowed: Vec<&str> = member.values.iter().map(|value| &**value).collect();
                    self.not_in_set(&quoted(text), &path, &allowed);
                }
            }
            Some(value) => self.value(member, value, path),
        }
    }

    fn value(&mut self, member: &Member, value: &Value, path: String) {
        self.form(
            self.model.shape(member.shape).map(|shape| (&*shape.name, &shape.form)),
            value,
            path,
        );
    }

    fn form(&mut self, shape: Option<(&str, &Form)>, value: &Value, path: String) {
        let Some((name, form)) = shape else { return };
        match (form, value) {
            (Form::Structure(structure), Value::Object(members)) => {
                for (wire, member) in &structure.body {
                    let shown = match self.model.service {
                        Service::V1 => &member.name,
                        Service::V2 => wire,
                    };
                    self.member(member, members.get(&**wire), format!("{path}.{shown}"));
                }
            }
            (Form::List(item), Value::Array(items)) => self.list(*item, items, &path),
            (Form::Map(entry), Value::Object(entries)) => {
                let shape = self.model.shape(*entry).map(|shape| (&*shape.name, &shape.form));
                for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                    self.form(shape, value, format!("{path}.{}.member", cut(key)));
                }
            }
            (Form::Text(rules), Value::String(text)) => {
                if !rules.values.is_empty() && !rules.values.iter().any(|one| **one == **text) {
                    self.not_in_set(&quoted(text), &path, &allowed(self.model, name, form));
                }
                self.length(rules.length, text, &path);
                if let Some(pattern) = &rules.pattern
                    && !pattern.regex.is_match(text)
                {
                    let constraint =
                        format!("Member must satisfy regular expression pattern: {}", pattern.text);
                    self.add(&quoted(text), &path, &constraint);
                }
            }
            (Form::Integer(range) | Form::Long(range), Value::Number(number)) => {
                self.bounds(*range, number.as_i64().unwrap_or_default(), &path);
            }
            _ => {}
        }
    }

    fn list(&mut self, item: super::model::ShapeId, items: &[Value], path: &str) {
        let shape = self.model.shape(item).map(|shape| (&*shape.name, &shape.form));
        if let Some((name, form @ Form::Text(rules))) = shape
            && !rules.values.is_empty()
        {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if !texts.iter().all(|text| rules.values.iter().any(|one| **one == **text)) {
                let whole = quoted(&format!("[{}]", texts.join(", ")));
                self.not_in_set(&whole, path, &allowed(self.model, name, form));
            }
            return;
        }
        for (at, value) in items.iter().enumerate() {
            self.form(shape, value, format!("{path}.{}.member", at + 1));
        }
    }

    fn length(&mut self, range: Range, text: &str, path: &str) {
        if range == Range::default() {
            return;
        }
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(min) = range.min.filter(|min| length < *min) {
            let constraint = format!("Member must have length greater than or equal to {min}");
            self.add(&quoted(text), path, &constraint);
        }
        if let Some(max) = range.max.filter(|max| length > *max) {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.add(&quoted(text), path, &constraint);
        }
    }

    fn bounds(&mut self, range: Range, number: i64, path: &str) {
        if let Some(min) = range.min.filter(|min| number < *min) {
            let constraint = format!("Member must have value greater than or equal to {min}");
            self.add(&format!("'{number}'"), path, &constraint);
        }
        if let Some(max) = range.max.filter(|max| number > *max) {
            let constraint = format!("Member must have value less than or equal to {max}");
            self.add(&format!("'{number}'"), path, &constraint);
        }
    }

    fn not_in_set(&mut self, value: &str, path: &str, allowed: &[&str]) {
        let constraint = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
        self.add(value, path, &constraint);
    }

    fn add(&mut self, value: &str, path: &str, constraint: &str) {
        self.count += 1;
        if self.count > SPELLED_MAX {
            return;
        }
        let joint = if self.count == 1 { "" } else { "; " };
        // Writing to memory does not fail.
        write!(
            self.message,
            "{joint}Value {value} at '{path}' failed to satisfy constraint: {constraint}"
        )
        .unwrap_or_default();
    }
}

/// The values of an enumeration in the order AWS prints them.
fn allowed<'a>(model: &Model, shape: &str, form: &'a Form) -> Vec<&'a str> {
    let known =
        PRINT_ORDERS.iter().find(|(service, name, _)| *service == model.service && *name == shape);
    match (known, form) {
        (Some((_, _, order)), _) => order.to_vec(),
        (None, Form::Text(rules)) => rules.values.iter().map(|value| &**value).collect(),
        (None, _) => Vec::new(),
    }
}

/// The SDK's name in v1; v2's SDK names begin with capitals and its messages show the wire's.
fn shown(operation: &Operation, wire: &str, member: &Member) -> String {
    match operation.service {
        Service::V1 => member.name.to_string(),
        Service::V2 => wire.to_owned(),
    }
}

/// `CreateRestApi` is `createRestApiInput` in messages.
fn input_name(operation: &Operation) -> String {
    let mut name = operation.name.chars();
    let first = name.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(name).chain("Input".chars()).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", cut(text))
}

fn cut(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).collect()
}
