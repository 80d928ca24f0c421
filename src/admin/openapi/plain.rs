//! A document as plain JSON, for readers that need no places.

use serde_json::{Map, Number, Value as Json};

use crate::admin::openapi::syntax;
use crate::model::document::{Node, Value};
use crate::model::problem::{Findings, Problems};

/// Reads JSON or YAML, within the bounds of every document.
///
/// # Errors
/// What is wrong with it and where.
pub fn to_json(file: &str, bytes: &[u8]) -> Result<Json, Problems> {
    let findings = Findings::new(file);
    let node = syntax::parse(bytes, &findings);
    findings.into_result()?;
    Ok(node.map_or(Json::Null, |node| plain(&node)))
}

/// The tree is bounded in depth by the parser.
fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => Json::Object(
            entries.iter().map(|(key, node)| (key.clone(), plain(node))).collect::<Map<_, _>>(),
        ),
    }
}
