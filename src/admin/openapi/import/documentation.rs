//! What an API's document says about itself: documentation parts and their version.

use serde_json::{Map, Value as Json, json};

use crate::admin::openapi::import::Reader;
use crate::model::document::{At, Value};

impl<'a> Reader<'a> {
    /// AWS: "x-amazon-apigateway-documentation object". A document without one has no parts, which
    /// is something else than parts that are not to be read.
    pub(super) fn documentation(&self, definition: &mut Map<String, Json>) {
        let at = self.claim(&self.root, "x-amazon-apigateway-documentation");
        if !self.options.documentation {
            return;
        }
        let items = at.as_ref().and_then(|at| at.get("documentationParts"));
        let items = items.map(|at| at.items()).unwrap_or_default();
        let parts = items.iter().filter_map(|item| self.documentation_part(item)).collect();
        definition.insert("documentationParts".to_owned(), Json::Array(parts));
        if let Some(at) = at
            && let Some(version) = at.get("version").and_then(|at| self.scalar(&at))
            && !version.is_empty()
        {
            let mut body = Map::new();
            body.insert("version".to_owned(), Json::from(version));
            self.copy_text(&at, "description", &mut body);
            definition.insert("documentationVersion".to_owned(), Json::Object(body));
        }
    }

    fn documentation_part(&self, item: &At<'a>) -> Option<Json> {
        let Some(location) = item.get("location") else {
            item.problem("`location` is missing", None);
            return None;
        };
        if location.get("type").and_then(|at| at.text()).is_none() {
            location.problem("`type` is missing", None);
            return None;
        }
        let properties = match item.get("properties") {
            None => "{}".to_owned(),
            Some(at) => match &at.node.value {
                Value::Text(text) => {
                    let text = self.own(text);
                    let parsed = serde_json::from_str::<Json>(&text);
                    parsed.map_or(text, |parsed| parsed.to_string())
                }
                Value::Map(_) => self.json(&at).to_string(),
                _ => {
                    at.expected("a table");
                    return None;
                }
            },
        };
        Some(json!({ "location": self.json(&location), "properties": properties }))
    }
}
