//! Text to tree: YAML with CloudFormation's short forms, or JSON.
//!
//! A short form is a YAML tag: `!Ref Name` is `{"Ref": "Name"}`, `!Sub x` is `{"Fn::Sub": "x"}`.
//! The tree has only the long forms. Everything else is as with API documents, and so are the
//! bounds: bytes, depth, values, replayed aliases.
//!
//! AWS: CloudFormation Template Reference, "Intrinsic function reference"; YAML 1.2.2 section 6.9.1.

use std::fmt;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::{DuplicateKeyPolicy, Spanned, Tagged};

use crate::admin::openapi::syntax as plain;
use crate::model::document::{DEPTH_MAX, NODES_MAX, Node, Value};
use crate::model::problem::{Findings, Problems};
use crate::model::quotas;

/// Functions that have a short form.
const SHORT: [&str; 19] = [
    "And",
    "Base64",
    "Cidr",
    "Equals",
    "FindInMap",
    "ForEach",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
];
/// What YAML's own types begin with; they say nothing new.
const YAML_TYPES: &str = "tag:yaml.org,2002:";
/// Reserved, not used, unless a document is as deep as it may be.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Reads a whole template.
///
/// # Errors
/// What is wrong and where.
pub(in crate::admin) fn parse(file: &str, bytes: &[u8]) -> Result<Node, Problems> {
    let findings = Findings::new(file);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_plain = text.trim_start().is_empty()
        || text.trim_start().starts_with('{')
        || bytes.len() as u64 > quotas::DEFINITION_BYTES_MAX;
    // JSON, and what is refused in the same words everywhere.
    let node = if is_plain {
        plain::parse(bytes, &findings)
    } else {
        match yaml(text) {
            Ok(node) => Some(node),
            Err((place, message)) => {
                findings.add(place, "", message, None);
                None
            }
        }
    };
    findings.into_result()?;
    Ok(node.unwrap_or(Node { value: Value::Null, mark: (0, 0) }))
}

/// The tree as JSON. Its depth is bounded by the parser.
pub(super) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, node)| (key.clone(), to_json(node))).collect())
        }
    }
}

/// The place of what a path names, or of the nearest thing around it that the text has.
pub(super) fn locate(root: &Node, path: &[String]) -> (u32, u32) {
    let mut node = root;
    let mut mark = (0, 0);
    for name in path {
        let next = match &node.value {
            Value::Map(entries) => entries.get(name),
            Value::List(items) => name.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
        mark = node.mark;
    }
    mark
}

type Complaint = ((u32, u32), String);

/// The reader takes one frame after the other for each level of nesting; a caller's thread may have
/// less room.
fn yaml(text: &str) -> Result<Node, Complaint> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("template".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || tree(text))
            .map_err(|err| ((0, 0), format!("the template cannot be read now: {err}")))?;
        let failed = |_| ((0, 0), "not valid YAML: reading it failed".to_owned());
        reader.join().map_err(failed)?
    })
}

fn tree(text: &str) -> Result<Node, Complaint> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: NODES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Marked>(text, options) {
        Ok(Marked(node)) => Ok(node),
        Err(err) => {
            let place = err.location().map_or((0, 0), |at| mark_of(at.line(), at.column()));
            let said = err.to_string();
            let mut message = said.lines().next().unwrap_or_default();
            // The place is said once, in our own form.
            if let Some((head, _)) = message.rsplit_once(" at line ") {
                message = head;
            }
            if let Some((head, tail)) = message.split_once(": ")
                && head.starts_with("error: line ")
            {
                message = tail;
            }
            Err((place, format!("not valid YAML: {message}")))
        }
    }
}

fn mark_of(line: u64, column: u64) -> (u32, u32) {
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A node on its way out of serde.
struct Marked(Node);

impl<'de> Deserialize<'de> for Marked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tagged<Bare>>::deserialize(deserializer)?;
        let mark = mark_of(spanned.referenced.line(), spanned.referenced.column());
        let Tagged(Bare(value), tag) = spanned.value;
        let value = match tag.as_deref() {
            Some(tag) if !tag.starts_with(YAML_TYPES) && tag != "!" => {
                long_form(tag, Node { value, mark }).map_err(D::Error::custom)?
            }
            _ => value,
        };
        Ok(Self(Node { value, mark }))
    }
}

fn long_form(tag: &str, argument: Node) -> Result<Value, String> {
    let name = tag.strip_prefix('!').unwrap_or(tag);
    let mark = argument.mark;
    let (key, argument) = match name {
        "Ref" | "Condition" => (name.to_owned(), argument),
        "GetAtt" => ("Fn::GetAtt".to_owned(), attribute(argument)),
        name if SHORT.contains(&name) => (format!("Fn::{name}"), argument),
        _ => return Err(format!("`!{name}` is no function of CloudFormation's")),
    };
    Ok(Value::Map(IndexMap::from_iter([(key, Node { mark, ..argument })])))
}

/// `A.B.C` is the attribute `B.C` of `A`.
fn attribute(argument: Node) -> Node {
    let Value::Text(text) = &argument.value else { return argument };
    let Some((id, name)) = text.split_once('.') else { return argument };
    let part = |text: &str| Node { value: Value::Text(text.to_owned()), mark: argument.mark };
    Node { value: Value::List(vec![part(id), part(name)]), mark: argument.mark }
}

/// A value without its place and tag, which only the wrappers around it are told.
struct Bare(Value);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor).map(Self)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Marked(node)) = list.next_element()? {
            items.push(node);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = IndexMap::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let Marked(node) = map.next_value()?;
            let mark = mark_of(key.referenced.line(), key.referenced.column());
            entries.insert(key.value, Node { mark, ..node });
        }
        Ok(Value::Map(entries))
    }
}
