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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            "[ -~é€]{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(8, 128, 8, |inner| {
            let entry = ("[ -~é€]{0,6}", inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..5).prop_map(Json::from),
                proptest::collection::vec(entry, 0..8)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever serde_json writes, the scanner reads as serde_json does.
        #[test]
        fn the_scanner_agrees_with_serde_json(tree in tree(), pretty in any::<bool>()) {
            let tree = serde_json::json!({ "root": tree });
            let text = if pretty {
                serde_json::to_string_pretty(&tree).unwrap()
            } else {
                tree.to_string()
            };
            let expected: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(to_json("f", text.as_bytes()).unwrap(), expected);
        }
    }
}
