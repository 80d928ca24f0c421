//! Text to tree: YAML with CloudFormation's short forms, or JSON.
//!
//! A short form is a YAML tag: `!Ref Name` is `{"Ref": "Name"}`, `!Sub x` is `{"Fn::Sub": "x"}`.
//! The tree has only the long forms. Everything else is as with API documents, and so are the
//! bounds: bytes, depth, values, replayed aliases.
//!
//! AWS: CloudFormation Template Reference, "Intrinsic function reference"; YAML 1.2.2 section 6.9.1.

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Number, Value as Json};
use serde_saphyr::{Spanned, Tagged};

use crate::admin::openapi::syntax as plain;
use crate::admin::yaml;
use crate::model::document::{Node, Value};
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
        match yaml::read::<Template>(text) {
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

/// Templates: a tag is a short form.
enum Template {}

impl yaml::Kind for Template {
    fn node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Tagged<yaml::Bare<Self>>>::deserialize(deserializer)?;
        let mark = yaml::mark(&spanned);
        let Tagged(bare, tag) = spanned.value;
        let value = bare.into_value();
        let value = match tag.as_deref() {
            Some(tag) if !tag.starts_with(YAML_TYPES) && tag != "!" => {
                long_form(tag, Node { value, mark }).map_err(D::Error::custom)?
            }
            _ => value,
        };
        Ok(Node { value, mark })
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
