//! Does a body fit its model?
//!
//! All models of an API that methods validate by are compiled once, when the API is deployed, and
//! shared by its methods. What a model needs of other models is put into one document with it, so
//! that a reference, whichever way it was written, is one inside of that document: nothing is ever
//! fetched. A model that nobody could afford to compare with bodies is refused when it is
//! deployed, see `schema_weight`.
//!
//! AWS: Developer Guide, "Data models for REST APIs", "Request validation for REST APIs in API
//! Gateway"; JSON Schema draft 4. Formats beyond draft 4's (`int32` and others) have no effect.
//! `minItems` and `maxItems` have, whatever the page of known issues says: recorded. Patterns are
//! those of ECMA 262, see `ecma_regex`; a schema is otherwise judged by the draft's own schema.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value, json};

use super::ecma_regex;
use super::schema_body::Json;
use super::schema_rules::{BadPattern, Rules};
use super::schema_weight;
use crate::model::quotas;

/// The model that takes every JSON text; methods may name it where it is not kept. AWS: "Data
/// models for REST APIs".
const EMPTY: &str = "Empty";
/// Followed by the API's id, `/models/` and a name; AWS's form of a reference to a model.
const MODELS_URL: &str = "https://apigateway.amazonaws.com/restapis/";
/// Formats of draft 4, section 7.3.
const FORMATS: [&str; 7] = ["date-time", "email", "hostname", "ipv4", "ipv6", "regex", "uri"];
/// Why a model cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("there is no model `{0}`")]
    Unknown(String),
    #[error("model `{model}` is no JSON object: {cause}")]
    NotJson { model: String, cause: String },
    #[error("model `{model}` refers to `{target}`, which is no model of this API")]
    BadReference { model: String, target: String },
    #[error("the model and what it refers to have more than {limit} bytes")]
    TooLong { limit: usize },
    #[error("the model and what it refers to {0}")]
    TooHeavy(#[from] schema_weight::TooHeavy),
    #[error("not a schema of draft 4: {0}")]
    NotASchema(String),
    #[error("the pattern `{pattern}` is no regular expression of ECMA 262: {cause}")]
    BadPattern { pattern: String, cause: String },
}

/// The compiled models of one API, by name.
#[derive(Clone, Debug, Default)]
pub struct Models(HashMap<Box<str>, Arc<Model>>);

/// One compiled model.
pub struct Model {
    rules: Rules,
    takes_no_body: bool,
}

/// Whether a body fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Fits,
    DoesNotFit,
    NotJson,
}

impl Models {
    /// Compiles the models of these names. `texts`: name → schema, of all models of the API.
    ///
    /// # Errors
    /// Every named model that cannot be compiled, with its name.
    pub fn compile<'n>(
        api_id: &str,
        texts: &IndexMap<String, String>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Vec<(String, SchemaError)>> {
        let mut models = HashMap::new();
        let mut failed = Vec::new();
        let mut seen = HashSet::new();
        for name in names {
            if !seen.insert(name) {
                continue;
            }
            match Model::compile(api_id, texts, name) {
                Ok(model) => {
                    models.insert(Box::from(name), Arc::new(model));
                }
                Err(err) => failed.push((name.to_owned(), err)),
            }
        }
        if failed.is_empty() { Ok(Self(models)) } else { Err(failed) }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Model>> {
        self.0.get(name)
    }
}

impl Model {
    fn compile(
        api_id: &str,
        texts: &IndexMap<String, String>,
        name: &str,
    ) -> Result<Self, SchemaError> {
        let document = gather(api_id, texts, name)?;
        let weight = schema_weight::weigh(&document)?;
        conforms(&document)?;
        let rules = Rules::compile(&document, weight.recursion_branches)?;
        let takes_no_body = rules.fit(&Json::of(&json!({})));
        Ok(Self { rules, takes_no_body })
    }

    /// Recorded: no body is validated as `{}`, whatever the model is of.
    pub fn takes_no_body(&self) -> bool {
        self.takes_no_body
    }

    /// Compares a body with the model.
    pub fn check(&self, body: &[u8]) -> Fit {
        if body.is_empty() {
            return if self.takes_no_body { Fit::Fits } else { Fit::DoesNotFit };
        }
        match Json::read(body) {
            Some(value) if self.rules.fit(&value) => Fit::Fits,
            Some(_) => Fit::DoesNotFit,
            None => Fit::NotJson,
        }
    }

    /// `$context.error.validationErrorString` of a body that does not fit. Empty for one that is
    /// no JSON.
    pub fn report(&self, body: &[u8]) -> String {
        let text: &[u8] = if body.is_empty() { b"{}" } else { body };
        Json::read(text).map(|value| self.rules.report(&value)).unwrap_or_default()
    }
}

/// Whether all patterns of a schema are regular expressions, whatever else it is: what a model may
/// be kept with.
///
/// # Errors
/// The first pattern that is none.
pub fn check_patterns(schema: &Value) -> Result<(), SchemaError> {
    let Value::Object(members) = schema else { return Ok(()) };
    for (key, value) in members {
        match (key.as_str(), value) {
            ("pattern", Value::String(pattern)) => check_pattern(pattern)?,
            ("patternProperties", Value::Object(table)) => {
                table.keys().try_for_each(|pattern| check_pattern(pattern))?;
                table.values().try_for_each(check_patterns)?;
            }
            ("properties" | "definitions" | "dependencies", Value::Object(table)) => {
                table.values().try_for_each(check_patterns)?;
            }
            ("enum" | "default" | "example" | "examples", _) => {}
            (_, Value::Array(list)) => list.iter().try_for_each(check_patterns)?,
            (_, value) => check_patterns(value)?,
        }
    }
    Ok(())
}

fn check_pattern(pattern: &str) -> Result<(), SchemaError> {
    ecma_regex::check(pattern)
        .map_err(|cause| BadPattern { pattern: pattern.to_owned(), cause: cause.to_owned() }.into())
}

impl From<BadPattern> for SchemaError {
    fn from(BadPattern { pattern, cause }: BadPattern) -> Self {
        Self::BadPattern { pattern: short(pattern), cause }
    }
}

/// Whether the draft's own schema fits. Patterns have another judge.
fn conforms(document: &Value) -> Result<(), SchemaError> {
    let judge = jsonschema::draft4::meta::validator();
    let is_of_pattern = |kind: &ValidationErrorKind| matches!(kind, ValidationErrorKind::Format { format } if format == "regex");
    match judge.iter_errors(document).find(|err| !is_of_pattern(err.kind())) {
        Some(err) => Err(SchemaError::NotASchema(short(err.to_string()))),
        None => Ok(()),
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Model")
            .field("takes_no_body", &self.takes_no_body)
            .finish_non_exhaustive()
    }
}

/// The named model with everything it refers to: `{"$ref": "#/definitions/A", "definitions": …}`.
fn gather(
    api_id: &str,
    texts: &IndexMap<String, String>,
    name: &str,
) -> Result<Value, SchemaError> {
    if name == EMPTY && !texts.contains_key(EMPTY) {
        return Ok(json!({}));
    }
    let mut definitions = Map::new();
    let mut wanted = VecDeque::from([name.to_owned()]);
    let mut bytes = 0;
    while let Some(name) = wanted.pop_front() {
        if definitions.contains_key(&name) {
            continue;
        }
        let Some(text) = texts.get(&name) else { return Err(SchemaError::Unknown(name)) };
        bytes += text.len();
        if bytes > quotas::MODEL_BYTES_MAX {
            return Err(SchemaError::TooLong { limit: quotas::MODEL_BYTES_MAX });
        }
        let not_json =
            |cause: String| SchemaError::NotJson { model: name.clone(), cause: short(cause) };
        let own: Value = serde_json::from_str(text).map_err(|err| not_json(err.to_string()))?;
        if !own.is_object() {
            return Err(not_json("it is another kind of value".to_owned()));
        }
        let mut adopted = Adopted { api_id, texts, model: &name, own: &own, wanted: Vec::new() };
        let schema = adopted.schema(&own)?;
        wanted.extend(adopted.wanted);
        definitions.insert(name, schema);
    }
    Ok(json!({ "$ref": format!("#/definitions/{name}"), "definitions": definitions }))
}

/// One model on its way into the document.
struct Adopted<'m> {
    api_id: &'m str,
    texts: &'m IndexMap<String, String>,
    model: &'m str,
    own: &'m Value,
    /// Names of other models it refers to.
    wanted: Vec<String>,
}

impl Adopted<'_> {
    /// The same schema with references that hold in the document. The parser bounds the depth.
    fn schema(&mut self, schema: &Value) -> Result<Value, SchemaError> {
        let Value::Object(members) = schema else { return Ok(schema.clone()) };
        let mut adopted = Map::with_capacity(members.len());
        for (key, value) in members {
            let value = match (key.as_str(), value) {
                ("$ref", Value::String(target)) => Value::String(self.reference(target)?),
                // They would move the base of all references; draft 4 is the only draft there is.
                ("id" | "$schema", Value::String(_)) => continue,
                ("format", Value::String(format)) if !FORMATS.contains(&format.as_str()) => {
                    continue;
                }
                ("enum" | "default" | "example" | "examples", _) => value.clone(),
                ("properties" | "patternProperties" | "definitions" | "dependencies", _) => {
                    self.table(value)?
                }
                (_, Value::Array(list)) => Value::Array(
                    list.iter().map(|entry| self.schema(entry)).collect::<Result<_, _>>()?,
                ),
                _ => self.schema(value)?,
            };
            adopted.insert(key.clone(), value);
        }
        Ok(Value::Object(adopted))
    }

    /// Schemas by names that mean nothing here.
    fn table(&mut self, table: &Value) -> Result<Value, SchemaError> {
        let Value::Object(entries) = table else { return Ok(table.clone()) };
        let mut adopted = Map::with_capacity(entries.len());
        for (name, entry) in entries {
            adopted.insert(name.clone(), self.schema(entry)?);
        }
        Ok(Value::Object(adopted))
    }

    /// Where in the document the target of a reference is.
    fn reference(&mut self, target: &str) -> Result<String, SchemaError> {
        let bad = || SchemaError::BadReference {
            model: self.model.to_owned(),
            target: short(target.to_owned()),
        };
        if let Some(own) = target.strip_prefix('#') {
            if self.own.pointer(own).is_some() {
                return Ok(format!("#/definitions/{}{own}", self.model));
            }
            // As documents write it that were never imported: the definition is another model.
            let name = own
                .strip_prefix("/definitions/")
                .or_else(|| own.strip_prefix("/components/schemas/"))
                .filter(|name| self.texts.contains_key(*name))
                .ok_or_else(bad)?;
            self.wanted.push(name.to_owned());
            return Ok(format!("#/definitions/{name}"));
        }
        let rest = target.strip_prefix(MODELS_URL).and_then(|rest| rest.strip_prefix(self.api_id));
        let rest = rest.and_then(|rest| rest.strip_prefix("/models/")).ok_or_else(bad)?;
        let (name, pointer) = rest.split_once('#').unwrap_or((rest, ""));
        if !self.texts.contains_key(name) {
            return Err(bad());
        }
        self.wanted.push(name.to_owned());
        Ok(format!("#/definitions/{name}{pointer}"))
    }
}

/// Foreign text within an error, cut.
fn short(mut text: String) -> String {
    const BYTES_MAX: usize = 300;
    if text.len() > BYTES_MAX {
        text.truncate(text.floor_char_boundary(BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
