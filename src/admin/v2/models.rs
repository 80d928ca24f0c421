//! Models of WebSocket APIs.
//!
//! AWS: API Gateway Version 2 API Reference, "Models".

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{Family, Owner, Place, another, default, handlers, text, unknown};
use crate::admin::v2::routes::only_websocket;
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateModel", create),
    ("GetModel", get),
    ("GetModels", list),
    ("UpdateModel", update),
    ("DeleteModel", delete),
    ("GetModelTemplate", template),
];

const MODELS: Family = Family {
    kind: Kind::HttpModel,
    id: "modelId",
    noun: "Model",
    id_length: 6,
    owner: Owner::Api,
    prepare,
};

handlers!(MODELS: create = create, get = get, list = list, update = update, delete = delete);

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    _before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    only_websocket(cx, place, "Models")?;
    let name = text(body, "name").to_owned();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(ApiError::bad_request("Model name must be alphanumeric"));
    }
    if another(cx, Kind::HttpModel, place, |other| text(other, "name") == name) {
        return Err(ApiError::conflict("Model name already exists for this API"));
    }
    if serde_json::from_str::<Value>(text(body, "schema")).is_err() {
        return Err(ApiError::bad_request("Invalid model schema specified"));
    }
    default(body, "contentType", "application/json");
    Ok(())
}

fn template(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, _) = MODELS.scope(cx, input)?;
    let id = input.label("modelId");
    let model = cx.txn.get(Kind::HttpModel, &api, id).ok_or_else(|| unknown("Model", id))?;
    let schema: Value = serde_json::from_str(text(&model, "schema")).unwrap_or_default();
    let fields = schema.get("properties").and_then(Value::as_object);
    let lines = fields.into_iter().flatten().map(|(name, schema)| {
        let quoted = schema.get("type").and_then(Value::as_str) == Some("string");
        let quote = if quoted { "\"" } else { "" };
        format!("  \"{name}\" : {quote}$inputRoot.{name}{quote}")
    });
    let lines: Vec<String> = lines.collect();
    let body = if lines.is_empty() { String::new() } else { lines.join(",\n") + "\n" };
    let value = format!(
        "#set($inputRoot = $input.path('$'))\n{{{}{body} }}",
        if body.is_empty() { "" } else { "\n" }
    );
    match json!({ "value": value }) {
        Value::Object(body) => Ok(Outcome::Body(body)),
        _ => Ok(Outcome::Body(Body::new())),
    }
}
