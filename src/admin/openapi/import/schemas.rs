//! Schemas become models: AWS keeps each as JSON text under draft 4, and lets models refer to each
//! other by URL.
//!
//! A schema that stands where it is used becomes a model with a name made of its content, so that
//! equal schemas share one and a second import finds it again. References are never followed here,
//! so circles are no matter. What draft 4 has no word for is put in its terms where it has the
//! same meaning, and otherwise left for the validator to ignore, as AWS does.
//!
//! AWS: API Gateway Developer Guide, "Data models for REST APIs"; JSON Schema draft 4.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value as Json, json};

use crate::admin::openapi::import::{Dialect, Reader};
use crate::admin::rest::models::invalid_pattern;
use crate::mapping::schema;
use crate::model::document::{At, Value};

/// Where models live for references.
pub(in crate::admin) const MODELS_URL: &str = "https://apigateway.amazonaws.com/restapis/";
/// Keys without meaning in a model: recorded as dropped at import.
const DROPPED: [&str; 4] = ["example", "examples", "xml", "externalDocs"];

/// Models found so far.
#[derive(Debug, Default)]
pub(super) struct Models {
    bodies: Vec<Json>,
    /// Name → schema.
    schemas: HashMap<String, String>,
}

impl Models {
    pub(super) fn into_bodies(self) -> Vec<Json> {
        self.bodies
    }

    fn add(&mut self, name: &str, description: Option<&str>, schema: String) {
        let mut body = Map::new();
        body.insert("name".to_owned(), Json::from(name));
        if let Some(description) = description {
            body.insert("description".to_owned(), Json::from(description));
        }
        body.insert("contentType".to_owned(), Json::from("application/json"));
        body.insert("schema".to_owned(), Json::from(schema.as_str()));
        self.bodies.push(Json::Object(body));
        self.schemas.insert(name.to_owned(), schema);
    }
}

impl<'a> Reader<'a> {
    fn definitions(&self) -> Option<At<'a>> {
        match self.dialect {
            Dialect::Swagger2 => self.root.get("definitions"),
            _ => self.root.get("components")?.get("schemas"),
        }
    }

    /// Makes models of all named schemas.
    pub(super) fn read_models(&self) {
        for (name, at) in self.definitions().map(|at| at.entries()).unwrap_or_default() {
            if !is_model_name(name) {
                at.problem(
                    format!("Model name must be alphanumeric: {name}"),
                    Some("letters and digits only".to_owned()),
                );
                continue;
            }
            self.place(&format!("model {name}"), &at);
            let schema = self.schema(&at, true);
            check_patterns(&at, name, &schema);
            let description = schema.get("description").and_then(Json::as_str);
            let text = schema.to_string();
            if self.spend(text.len() + name.len()) {
                self.models.borrow_mut().add(name, description, text);
            }
        }
    }

    /// The model of a schema where it is used; `None` when it asks for nothing, or after a
    /// complaint.
    pub(super) fn model_name(&self, at: &At<'a>) -> Option<String> {
        if let Some(reference) = at.get("$ref") {
            let target = reference.text()?;
            let Some((name, "")) = self.referenced(target) else {
                reference.problem(
                    format!("Invalid model specified: `{target}` is no model of this document"),
                    None,
                );
                return None;
            };
            return self.known_model(&reference, name).then(|| self.own(name));
        }
        let schema = self.schema(at, true);
        if schema.as_object().is_none_or(Map::is_empty) {
            return None;
        }
        let name = self.generated(&schema);
        check_patterns(at, &name, &schema);
        Some(name)
    }

    /// `MODEL` and six letters or digits, made of the schema.
    fn generated(&self, schema: &Json) -> String {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let text = schema.to_string();
        let mut models = self.models.borrow_mut();
        // Another API's import of the same document gives the same names.
        let mut content = text.replace(&self.models_url(), "");
        loop {
            let hash = digest(&SHA256, content.as_bytes());
            let letters = hash.as_ref().iter().take(6);
            let letters = letters.map(|byte| char::from(ALPHABET[usize::from(*byte) % 36]));
            let name = format!("MODEL{}", letters.collect::<String>());
            match models.schemas.get(&name) {
                Some(known) if *known == text => return name,
                Some(_) => content.push(' '),
                None => {
                    if self.spend(text.len()) {
                        let description = schema.get("description").and_then(Json::as_str);
                        models.add(&name, description, text);
                    }
                    return name;
                }
            }
        }
    }

    fn models_url(&self) -> String {
        format!("{MODELS_URL}{}/models/", self.options.api_id)
    }

    /// The model a reference means, and what follows its name.
    fn referenced<'t>(&self, target: &'t str) -> Option<(&'t str, &'t str)> {
        let local = match self.dialect {
            Dialect::Swagger2 => "#/definitions/",
            _ => "#/components/schemas/",
        };
        let rest = match target.strip_prefix(local) {
            Some(rest) => rest,
            None => target.strip_prefix(MODELS_URL)?.split_once("/models/")?.1,
        };
        let end = rest.find(['/', '#']).unwrap_or(rest.len());
        rest.split_at_checked(end)
    }

    fn known_model(&self, at: &At<'_>, name: &str) -> bool {
        let known = self.definitions().is_some_and(|all| all.get(name).is_some());
        if !known {
            at.problem(format!("Invalid model name specified: {name}"), None);
        }
        known
    }

    /// A schema in draft 4, references as URLs. Recursion is bounded by the parser's depth.
    fn schema(&self, at: &At<'a>, is_outermost: bool) -> Json {
        let Value::Map(entries) = &at.node.value else {
            // `additionalProperties: true` and the like.
            return self.json(at);
        };
        let mut schema = Map::new();
        for (key, at) in at.entries() {
            // Draft 4 is what models are, so naming it adds nothing.
            if DROPPED.contains(&key) || (is_outermost && key == "$schema") {
                continue;
            }
            let value = match key {
                "$ref" => self.reference(&at),
                "properties" | "patternProperties" | "definitions" | "$defs" | "dependencies" => {
                    self.schemas(&at)
                }
                "items"
                | "additionalItems"
                | "additionalProperties"
                | "not"
                | "contains"
                | "propertyNames"
                | "if"
                | "then"
                | "else"
                | "allOf"
                | "anyOf"
                | "oneOf"
                | "prefixItems" => match &at.node.value {
                    Value::List(_) => {
                        at.items().iter().map(|item| self.schema(item, false)).collect()
                    }
                    _ => self.schema(&at, false),
                },
                _ => self.json(&at),
            };
            schema.insert(self.own(key), value);
        }
        if self.dialect == Dialect::OpenApi31 {
            self.in_draft_4(at, &mut schema);
        }
        if entries.is_empty() {
            self.spend(0);
        }
        Json::Object(schema)
    }

    /// A table of schemas by names that mean nothing here.
    fn schemas(&self, at: &At<'a>) -> Json {
        let copied = at.entries().into_iter().map(|(name, at)| {
            let value = match &at.node.value {
                Value::Map(_) => self.schema(&at, false),
                _ => self.json(&at),
            };
            (self.own(name), value)
        });
        Json::Object(copied.collect())
    }

    fn reference(&self, at: &At<'a>) -> Json {
        let Value::Text(target) = &at.node.value else { return self.json(at) };
        let Some((name, rest)) = self.referenced(target) else {
            at.problem(
                format!("`{target}` is no model of this document"),
                Some("AWS follows references to named schemas only".to_owned()),
            );
            return Json::Null;
        };
        self.known_model(at, name);
        let rest = rest.trim_start_matches('#');
        let hash = if rest.is_empty() { "" } else { "#" };
        Json::from(format!("{}{}{hash}{}", self.models_url(), self.own(name), self.own(rest)))
    }

    /// What OpenAPI 3.1 says in the words of a later draft.
    fn in_draft_4(&self, at: &At<'a>, schema: &mut Map<String, Json>) {
        if let Some(value) = schema.remove("const") {
            self.warn(at, "`const` is kept as an `enum` of one");
            schema.insert("enum".to_owned(), json!([value]));
        }
        for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")]
        {
            let Some(Json::Number(number)) = schema.get(exclusive).cloned() else { continue };
            if schema.contains_key(bound) {
                self.warn(at, format!("`{exclusive}` beside `{bound}` is ignored"));
                schema.remove(exclusive);
            } else {
                schema.insert(bound.to_owned(), Json::Number(number));
                schema.insert(exclusive.to_owned(), Json::from(true));
            }
        }
        // Draft 4 knows nothing beside a reference.
        if schema.len() > 1
            && let Some(Json::String(target)) = schema.get("$ref").cloned()
            && schema.keys().any(|key| !matches!(key.as_str(), "$ref" | "description" | "title"))
        {
            schema.shift_remove("$ref");
            match schema.get_mut("allOf") {
                Some(Json::Array(all)) => all.push(json!({ "$ref": target })),
                _ => {
                    schema.insert("allOf".to_owned(), json!([{ "$ref": target }]));
                }
            }
        }
    }
}

fn check_patterns(at: &At<'_>, name: &str, schema: &Json) {
    if let Err(err) = schema::check_patterns(schema) {
        at.problem(invalid_pattern(name, &err), None);
    }
}

fn is_model_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
