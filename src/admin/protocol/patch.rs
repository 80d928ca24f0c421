//! PATCH of v1: a list of operations, applied in order, all or none.
//!
//! Which paths a resource takes, and what a value becomes, is a table of [`Rule`]s per resource.
//! Values always travel as text.
//!
//! AWS: API Gateway API Reference, "Patch Operations"; RFC 6901 (pointers).

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::Input;
use crate::store::control::Body;

/// Operations of one call; ours, far beyond what tools send.
const OPERATIONS_MAX: usize = 1_000;

/// What most paths take, in the order of the refusal's text.
pub const ANY: &[Op] = &[Op::Add, Op::Remove, Op::Replace];
pub const REPLACE: &[Op] = &[Op::Replace];
pub const ADD_REMOVE: &[Op] = &[Op::Add, Op::Remove];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Replace,
    Remove,
    Copy,
    Move,
    Test,
}

impl Op {
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Add => "add",
            Op::Replace => "replace",
            Op::Remove => "remove",
            Op::Copy => "copy",
            Op::Move => "move",
            Op::Test => "test",
        }
    }
}

/// One operation as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchOperation {
    pub op: Op,
    /// As sent; `None` when it was absent.
    pub path: Option<String>,
    pub value: Option<String>,
    pub from: Option<String>,
}

impl PatchOperation {
    /// The pointer's segments, unescaped; none when it is no pointer.
    pub fn segments(&self) -> Vec<String> {
        let path = self.path.as_deref().and_then(|path| path.strip_prefix('/'));
        path.into_iter().flat_map(|path| path.split('/')).map(unescape).collect()
    }

    /// The last segment, unescaped: the key of an operation on a map's entry.
    pub fn key(&self) -> String {
        self.segments().pop().unwrap_or_default()
    }

    /// The refusal of a path (recorded).
    pub fn invalid_path(&self) -> ApiError {
        let path = self.path.as_deref().unwrap_or("null");
        ApiError::bad_request(format!("Invalid patch path {path}"))
    }

    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// RFC 6901 section 4.
pub fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// The operations of a request, in order. The protocol has checked their shape.
pub fn read(input: &Input) -> Result<Vec<PatchOperation>, ApiError> {
    let sent = input.body.get("patchOperations").and_then(Value::as_array);
    let sent = sent.map(Vec::as_slice).unwrap_or_default();
    if sent.len() > OPERATIONS_MAX {
        return Err(ApiError::bad_request(format!(
            "Too many patch operations: {} of at most {OPERATIONS_MAX}",
            sent.len()
        )));
    }
    sent.iter().map(operation).collect()
}

fn operation(sent: &Value) -> Result<PatchOperation, ApiError> {
    let text = |name: &str| sent.get(name).and_then(Value::as_str).map(str::to_owned);
    let op = match sent.get("op").and_then(Value::as_str) {
        Some("add") => Op::Add,
        Some("replace") => Op::Replace,
        Some("remove") => Op::Remove,
        Some("copy") => Op::Copy,
        Some("move") => Op::Move,
        Some("test") => Op::Test,
        _ => return Err(ApiError::bad_request("Invalid patch operation specified.")),
    };
    Ok(PatchOperation { op, path: text("path"), value: text("value"), from: text("from") })
}

/// How a family of resources words its refusals (recorded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Resource, Model, RequestValidator, DocumentationPart, ApiKey: lists what would do.
    Listing,
    /// RestApi, Method, MethodResponse, GatewayResponse; also where nothing is recorded.
    Bare,
}

/// One path pattern of a resource: `{}` stands for one segment of any text.
#[derive(Debug)]
pub struct Rule {
    pub path: &'static str,
    pub ops: &'static [Op],
    pub apply: Apply,
}

/// What an operation does to the body.
#[derive(Debug)]
pub enum Apply {
    /// Sets the member the path names to the text; remove drops it.
    Text,
    /// The same, but a null or empty value drops it.
    TextOrNothing,
    /// `true` for the text `true`, else false (recorded).
    Boolean,
    /// An entry of the map the path's first segment names, its key the second segment.
    MapText,
    /// The same; a null or empty value is kept as null (recorded).
    MapTemplate,
    MapBoolean,
    /// Adds to or removes from the list the path's first segment names.
    ListItem,
    /// Anything else.
    Custom(fn(&mut Body, &PatchOperation) -> Result<(), ApiError>),
}

/// Applies operations to a body by a resource's table.
pub fn apply(
    body: &mut Body,
    operations: &[PatchOperation],
    rules: &[Rule],
    wording: Wording,
) -> Result<(), ApiError> {
    for operation in operations {
        let segments = operation.segments();
        let rule = rules.iter().find(|rule| fits(rule.path, &segments));
        let Some(rule) = rule else { return Err(unknown_path(operation, rules, wording)) };
        if !rule.ops.contains(&operation.op) {
            return Err(wrong_op(operation, rule, rules, wording));
        }
        apply_one(body, operation, &segments, rule)?;
    }
    Ok(())
}

fn fits(pattern: &str, segments: &[String]) -> bool {
    let mut expected = pattern.split('/').skip(1);
    segments.iter().all(|segment| {
        expected.next().is_some_and(|expected| expected == "{}" || expected == segment)
    }) && expected.next().is_none()
}

fn apply_one(
    body: &mut Body,
    operation: &PatchOperation,
    segments: &[String],
    rule: &Rule,
) -> Result<(), ApiError> {
    let removes = operation.op == Op::Remove;
    let name = segments.first().cloned().unwrap_or_default();
    match &rule.apply {
        Apply::Custom(apply) => return apply(body, operation),
        Apply::Text | Apply::TextOrNothing => {
            let drops = matches!(rule.apply, Apply::TextOrNothing) && operation.value().is_empty();
            let (target, member) = member_of(body, segments);
            if removes || drops || operation.value.is_none() {
                target.shift_remove(&member);
            } else {
                target.insert(member, Value::from(operation.value()));
            }
        }
        Apply::Boolean => {
            let (target, member) = member_of(body, segments);
            target.insert(member, Value::from(operation.value().eq_ignore_ascii_case("true")));
        }
        Apply::MapText | Apply::MapTemplate | Apply::MapBoolean => {
            let key = segments.get(1).cloned().unwrap_or_default();
            let value = match rule.apply {
                Apply::MapBoolean => Value::from(operation.value().eq_ignore_ascii_case("true")),
                Apply::MapTemplate if operation.value().is_empty() => Value::Null,
                _ => Value::from(operation.value()),
            };
            let entries = object(body, &name);
            if removes {
                entries.shift_remove(&key);
                if entries.is_empty() {
                    body.shift_remove(&name);
                }
            } else {
                entries.insert(key, value);
            }
        }
        Apply::ListItem => {
            let item = segments.get(1).cloned().unwrap_or_else(|| operation.value().to_owned());
            let list = body.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.retain(|known| known.as_str() != Some(&item));
                if !removes {
                    items.push(Value::from(item));
                }
            }
        }
    }
    Ok(())
}

/// The object that holds the member a path of one or more segments names.
fn member_of<'a>(body: &'a mut Body, segments: &[String]) -> (&'a mut Body, String) {
    match segments {
        [] => (body, String::new()),
        [member] => (body, member.clone()),
        [first, rest @ ..] => member_of(object(body, first), rest),
    }
}

/// The object under a name, made where there is none.
pub fn object<'a>(body: &'a mut Body, name: &str) -> &'a mut Body {
    let slot = body.entry(name.to_owned()).or_insert_with(|| Value::Object(Body::new()));
    if !slot.is_object() {
        *slot = Value::Object(Body::new());
    }
    match slot {
        Value::Object(object) => object,
        _ => unreachable!("made an object just above"),
    }
}

fn unknown_path(operation: &PatchOperation, rules: &[Rule], wording: Wording) -> ApiError {
    let path = operation.path.as_deref().unwrap_or("null");
    match wording {
        Wording::Bare => operation.invalid_path(),
        Wording::Listing => listing(operation, path, rules),
    }
}

fn wrong_op(operation: &PatchOperation, rule: &Rule, rules: &[Rule], wording: Wording) -> ApiError {
    match wording {
        Wording::Listing => listing(operation, operation.path.as_deref().unwrap_or("null"), rules),
        // Recorded for endpoint types; taken for all that can be added, removed and replaced.
        Wording::Bare if rule.ops == [Op::Add, Op::Remove, Op::Replace] => ApiError::bad_request(
            "Invalid patch operation specified. Must be 'add'|'remove'|'replace'",
        ),
        Wording::Bare => {
            let ops: Vec<&str> = rule.ops.iter().map(|op| op.as_str()).collect();
            ApiError::bad_request(format!(
                "Invalid patch operation specified. Must be one of: [{}]",
                ops.join(", ")
            ))
        }
    }
}

fn listing(operation: &PatchOperation, path: &str, rules: &[Rule]) -> ApiError {
    let known: Vec<&str> = rules
        .iter()
        .filter(|rule| rule.ops.contains(&operation.op))
        .map(|rule| rule.path)
        .collect();
    let op = operation.op.as_str();
    let advice = if known.is_empty() {
        "Please choose supported operations".to_owned()
    } else {
        format!("Must be one of: [{}]", known.join(", "))
    };
    // Two spaces: recorded.
    ApiError::bad_request(format!("Invalid patch path  '{path}' specified for op '{op}'. {advice}"))
}
