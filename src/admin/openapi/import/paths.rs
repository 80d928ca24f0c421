//! The paths of a document, as a tree of resources.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use crate::admin::openapi::import::tree::{Tree, lineage, parent_of};
use crate::admin::openapi::import::{Reader, method};
use crate::admin::openapi::is_extension;
use crate::model::document::{At, Value};

/// Verbs a path item can hold, with AWS's name for the method.
const VERBS: [(&str, &str); 8] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("x-amazon-apigateway-any-method", "ANY"),
];
const ITEM_KEYS: [&str; 11] = [
    "get",
    "put",
    "post",
    "delete",
    "options",
    "head",
    "patch",
    "summary",
    "description",
    "servers",
    "parameters",
];

impl<'a> Reader<'a> {
    /// All resources, the root first and parents before their children: those of the document and
    /// those above them.
    pub(super) fn resources(&self, validators: &HashSet<&str>) -> Vec<Json> {
        let base = self.base_path();
        let mut tree = Tree::default();
        let mut found: IndexMap<String, Map<String, Json>> = IndexMap::new();
        found.insert("/".to_owned(), Map::new());
        let defaults = method::Defaults::read(self, validators);
        for (path, item) in self.root.get("paths").map(|at| at.entries()).unwrap_or_default() {
            if is_extension(path) {
                continue;
            }
            if self.is_spent() {
                break;
            }
            let whole = match path {
                "/" if !base.is_empty() => base.clone(),
                _ => format!("{base}{path}"),
            };
            if let Err((message, hint)) = tree.add(&whole) {
                item.problem(message, hint);
                // Only for what is wrong below.
                self.item_methods(&whole, &item, &defaults);
                continue;
            }
            for above in lineage(&whole) {
                if !found.contains_key(above) && self.spend(above.len().saturating_mul(2)) {
                    found.insert(above.to_owned(), Map::new());
                }
            }
            self.place(&whole, &item);
            let methods = self.item_methods(&whole, &item, &defaults);
            if let Some(place) = found.get_mut(&whole) {
                place.extend(methods);
            }
        }
        found.into_iter().map(|(path, methods)| resource(path, methods)).collect()
    }

    fn item_methods(
        &self,
        path: &str,
        item: &At<'a>,
        defaults: &method::Defaults<'a>,
    ) -> Map<String, Json> {
        let mut methods = Map::new();
        if let Some(reference) = item.get("$ref") {
            reference.problem(
                "a path that is kept elsewhere is not read",
                Some("copy what the reference points at to this place".to_owned()),
            );
            return methods;
        }
        if !matches!(item.node.value, Value::Map(_) | Value::Null) {
            item.expected("a table");
            return methods;
        }
        let shared = item.get("parameters");
        for (key, verb) in VERBS {
            if let Some(operation) = self.claim(item, key) {
                if !matches!(operation.node.value, Value::Map(_)) {
                    operation.expected("a table");
                    continue;
                }
                let read = self.method(path, verb, shared.as_ref(), &operation, defaults);
                methods.insert(verb.to_owned(), Json::Object(read));
            }
        }
        if let Value::Map(entries) = &item.node.value {
            for verb in entries.keys().filter(|key| is_other_verb(key)) {
                if let Some(at) = item.get(verb) {
                    // One complaint is enough.
                    self.claim(&at, "x-amazon-apigateway-integration");
                    at.problem(
                        "Invalid HttpMethod specified. Valid options are \
                         GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY",
                        Some("write the verb in lower case".to_owned()),
                    );
                }
            }
        }
        if let Value::Map(entries) = &item.node.value {
            let mut known = ITEM_KEYS.to_vec();
            known.extend(entries.keys().map(String::as_str).filter(|key| is_other_verb(key)));
            self.warn_unknown(item, &known);
        }
        methods
    }
}

fn resource(path: String, methods: Map<String, Json>) -> Json {
    let mut body = Map::new();
    if let Some((_, part)) = parent_of(&path) {
        body.insert("pathPart".to_owned(), Json::from(part));
    }
    body.insert("path".to_owned(), Json::from(path));
    if !methods.is_empty() {
        body.insert("resourceMethods".to_owned(), Json::Object(methods));
    }
    Json::Object(body)
}

/// A verb AWS does not know, or knows in lower case only.
fn is_other_verb(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    matches!(lower.as_str(), "trace" | "query" | "connect")
        || (lower != key && VERBS.iter().any(|(verb, _)| *verb == lower))
}
