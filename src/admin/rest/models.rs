//! Models: JSON schemas that methods refer to by name.
//!
//! A schema travels as text and is kept as it came. With `flatten` what it refers to is written
//! into it; a reference that leads back to where it came from stays one.
//!
//! AWS: API Gateway API Reference, "CreateModel", "GetModel", "GetModelTemplate", "UpdateModel",
//! "DeleteModel"; Developer Guide, "Data models for REST APIs".

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::admin::rest::methods::find_reference;
use crate::admin::rest::model_template;
use crate::admin::rest::shared::{
    ID_LENGTH, copy, each, entries, member, nothing, page_of, rest_api, room_for_one, text,
};
use crate::mapping::schema::{SchemaError, check_patterns};
use crate::model::quotas;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateModel", create_model),
    ("GetModel", get_model),
    ("GetModels", get_models),
    ("GetModelTemplate", get_model_template),
    ("UpdateModel", update_model),
    ("DeleteModel", delete_model),
];

/// The model that takes everything; methods may name it also where it is not kept.
pub(crate) const EMPTY: &str = "Empty";

/// The model of this name, with the id it is kept under.
pub(crate) fn find(txn: &Txn, api: &str, name: &str) -> Option<(Arc<str>, Arc<Body>)> {
    let mut found = None;
    each(txn, Kind::Model, api, |id, body| {
        if text(body, "name") == Some(name) {
            found = Some(Arc::clone(id));
        }
    });
    let id = found?;
    let body = txn.get(Kind::Model, api, &id)?;
    Some((id, body))
}

fn create_model(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let api = input.label("restapi_id");
    let name = input.text("name").unwrap_or_default();
    if name.is_empty() {
        return Err(ApiError::bad_request("Model name must be non-empty"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(ApiError::bad_request(format!("Model name must be alphanumeric: {name}")));
    }
    if find(context.txn, api, name).is_some() {
        return Err(ApiError::conflict("Model name already exists for this REST API"));
    }
    let content_type = input.text("contentType").unwrap_or_default();
    if content_type.is_empty() {
        return Err(ApiError::bad_request("Model content type must be non-empty"));
    }
    check_schema(name, input.text("schema").unwrap_or_default(), content_type)?;
    room_for_one(context.txn, Kind::Model, api, quotas::MODELS_KEPT_MAX, "models")?;

    let id = context.new_id(ID_LENGTH, |id| context.txn.contains(Kind::Model, api, id));
    let mut model = Body::new();
    model.insert("id".to_owned(), Value::from(id.as_str()));
    copy(&input.body, &mut model, &["name", "description", "schema", "contentType"]);
    context.txn.put(Kind::Model, api, &id, model.clone());
    Ok(Outcome::Body(model))
}

fn check_schema(name: &str, schema: &str, content_type: &str) -> Result<(), ApiError> {
    if schema.is_empty() {
        return Err(ApiError::bad_request(
            "Model schema must have at least 1 property or array items defined",
        ));
    }
    if schema.len() > quotas::MODEL_BYTES_MAX {
        return Err(ApiError::bad_request(format!(
            "Model schema exceeds {} bytes",
            quotas::MODEL_BYTES_MAX
        )));
    }
    if !content_type.to_ascii_lowercase().contains("json") {
        return Ok(());
    }
    let Ok(schema) = serde_json::from_str::<Body>(schema) else {
        return Err(ApiError::bad_request(
            "Invalid model specified: Validation Result: warnings : [], errors : [Invalid model \
             schema specified]",
        ));
    };
    check_patterns(&Value::Object(schema))
        .map_err(|err| ApiError::bad_request(invalid_pattern(name, &err)))
}

/// AWS's words, and which model and pattern it is.
pub(crate) fn invalid_pattern(name: &str, err: &SchemaError) -> String {
    format!(
        "Invalid model specified: Validation Result: warnings : [], errors : [Invalid model schema \
         specified: model {name}: {err}]"
    )
}

/// The model that the request's path names.
fn named(context: &Context<'_>, input: &Input) -> Result<(Arc<str>, Arc<Body>), ApiError> {
    rest_api(context, input)?;
    let name = input.label("model_name");
    find(context.txn, input.label("restapi_id"), name)
        .ok_or_else(|| ApiError::not_found(format!("Invalid model name specified: {name}")))
}

fn get_model(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (_, found) = named(context, input)?;
    let mut model = Body::clone(&found);
    if input.query_flag("flatten") {
        let schema = flattened(context.txn, input.label("restapi_id"), &model)?;
        if let Some(schema) = schema {
            model.insert("schema".to_owned(), Value::from(schema.to_string()));
        }
    }
    Ok(Outcome::Body(model))
}

fn get_models(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    Ok(page_of(context.txn, input, Kind::Model, input.label("restapi_id"), Body::clone))
}

fn get_model_template(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (_, model) = named(context, input)?;
    let schema = flattened(context.txn, input.label("restapi_id"), &model)?;
    let mut answer = Body::new();
    let value = model_template::skeleton(&schema.unwrap_or(Value::Null))
        .ok_or_else(|| ApiError::bad_request("Model is too large for a template"))?;
    answer.insert("value".to_owned(), Value::from(value));
    Ok(Outcome::Body(answer))
}

/// The model's schema with what it refers to written in; `None` when it is no JSON.
fn flattened(txn: &Txn, api: &str, model: &Body) -> Result<Option<Value>, ApiError> {
    let Ok(schema) = serde_json::from_str::<Value>(text(model, "schema").unwrap_or_default())
    else {
        return Ok(None);
    };
    let mut schemas = HashMap::new();
    each(txn, Kind::Model, api, |_, model| {
        if let (Some(name), Some(schema)) = (text(model, "name"), text(model, "schema")) {
            schemas.insert(name.to_owned(), schema.to_owned());
        }
    });
    let own = text(model, "name").unwrap_or_default().to_owned();
    let mut flattening = Flattening { schemas, within: vec![own], depth: 0, bytes: 0 };
    flattening.value(schema).map(Some)
}

/// Models that refer twice to models that refer twice grow without measure; this is the measure.
const FLATTENED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Nesting of a flattened schema; serde_json reads one schema to 128.
const FLATTENED_DEPTH_MAX: usize = 256;

struct Flattening {
    schemas: HashMap<String, String>,
    /// The models being written out, outermost first.
    within: Vec<String>,
    depth: usize,
    bytes: usize,
}

impl Flattening {
    fn value(&mut self, value: Value) -> Result<Value, ApiError> {
        self.depth += 1;
        if self.depth > FLATTENED_DEPTH_MAX {
            return Err(too_large());
        }
        let flat = match value {
            Value::Array(items) => {
                items.into_iter().map(|item| self.value(item)).collect::<Result<_, _>>()?
            }
            Value::Object(members) => self.object(members)?,
            plain => plain,
        };
        self.depth -= 1;
        Ok(flat)
    }

    fn object(&mut self, members: Body) -> Result<Value, ApiError> {
        let name = text(&members, "$ref").and_then(model_name).map(str::to_owned);
        if let Some(name) = name
            && !self.within.contains(&name)
            && let Some(schema) = self.schemas.get(&name)
            && let Ok(parsed) = serde_json::from_str(schema)
        {
            self.bytes += schema.len();
            if self.bytes > FLATTENED_BYTES_MAX {
                return Err(too_large());
            }
            self.within.push(name);
            let inner = self.value(parsed)?;
            self.within.pop();
            return Ok(inner);
        }
        let members = members
            .into_iter()
            .map(|(name, value)| Ok((name, self.value(value)?)))
            .collect::<Result<Body, ApiError>>()?;
        Ok(Value::Object(members))
    }
}

fn too_large() -> ApiError {
    ApiError::bad_request("Model is too large to be flattened")
}

/// The name at the end of `https://apigateway.amazonaws.com/restapis/{api}/models/{Name}`.
fn model_name(reference: &str) -> Option<&str> {
    let (before, name) = reference.rsplit_once("/models/")?;
    before.contains("/restapis/").then_some(name)
}

const RULES: &[Rule] = &[
    Rule { path: "/description", ops: &[Op::Replace], apply: Apply::TextOrNothing },
    Rule { path: "/schema", ops: &[Op::Replace], apply: Apply::Custom(patch_schema) },
];

fn update_model(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (id, found) = named(context, input)?;
    let mut model = Body::clone(&found);
    patch::apply(&mut model, &patch::read(input)?, RULES, Wording::Listing)?;
    context.txn.put(Kind::Model, input.label("restapi_id"), &id, model.clone());
    Ok(Outcome::Body(model))
}

fn patch_schema(model: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let name = text(model, "name").unwrap_or_default();
    check_schema(name, operation.value(), text(model, "contentType").unwrap_or_default())?;
    model.insert("schema".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn delete_model(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (id, _) = named(context, input)?;
    let (api, name) = (input.label("restapi_id"), input.label("model_name"));
    let in_request = find_reference(context.txn, api, |method| {
        entries(method, "requestModels").any(|(_, model)| model == name)
    });
    if let Some(place) = in_request {
        return Err(ApiError::conflict(format!(
            "Cannot delete model '{name}', is referenced in method request: {place}"
        )));
    }
    let in_response = find_reference(context.txn, api, |method| {
        member(method, "methodResponses")
            .into_iter()
            .flat_map(|responses| responses.values())
            .filter_map(Value::as_object)
            .any(|response| entries(response, "responseModels").any(|(_, model)| model == name))
    });
    if let Some(place) = in_response {
        return Err(ApiError::conflict(format!(
            "Cannot delete model '{name}', is referenced in method response: {place}"
        )));
    }
    context.txn.delete(Kind::Model, api, &id);
    Ok(nothing())
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
