//! API mappings: v2's view of base path mappings, with several levels and with ids.
//!
//! AWS: API Gateway Version 2 API Reference, "ApiMappings"; Developer Guide, "Map API stages to a
//! custom domain name for HTTP APIs".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{self, no_domain, text, unknown};
use crate::model::ids::ApiId;
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateApiMapping", create),
    ("GetApiMapping", get),
    ("GetApiMappings", list),
    ("UpdateApiMapping", update),
    ("DeleteApiMapping", delete),
];

/// v1's word for the empty base path.
const NONE: &str = "(none)";
/// The mapping's id, once it can no longer be told from the path; v1 has none.
const MAPPING_ID: &str = "tidegateMappingId";
/// Developer Guide, "Quotas": characters of a key.
const KEY_CHARACTERS_MAX: usize = 300;

fn domain(cx: &Context<'_>, input: &Input) -> Result<String, ApiError> {
    let name = input.label("domainName").to_ascii_lowercase();
    match cx.txn.contains(Kind::DomainName, "", &name) {
        true => Ok(name),
        false => Err(no_domain()),
    }
}

/// A mapping that v1 made has an id, too: always the same for the same domain and path.
fn mapping_id(domain: &str, path: &str, body: &Body) -> String {
    match body.get(MAPPING_ID).and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => ApiId::derived(&format!("{domain}\0{path}")).as_str().to_owned(),
    }
}

fn require(cx: &Context<'_>, input: &Input) -> Result<(String, String, Body), ApiError> {
    let domain = domain(cx, input)?;
    let id = input.label("apiMappingId");
    let mappings = cx.txn.list(Kind::BasePathMapping, &domain);
    let found = mappings.into_iter().find(|(path, body)| mapping_id(&domain, path, body) == id);
    let (path, body) = found.ok_or_else(|| unknown("ApiMapping", id))?;
    Ok((domain, path.to_string(), Body::clone(&body)))
}

fn shown(domain: &str, path: &str, body: &Body) -> Body {
    let mut view = Body::new();
    view.insert("apiMappingId".to_owned(), Value::from(mapping_id(domain, path, body)));
    view.insert("apiId".to_owned(), body.get("restApiId").cloned().unwrap_or_default());
    let key = if path == NONE { "" } else { path };
    view.insert("apiMappingKey".to_owned(), Value::from(key));
    view.insert("stage".to_owned(), Value::from(text(body, "stage")));
    view
}

fn path_of(key: &str) -> Result<String, ApiError> {
    if key.is_empty() {
        return Ok(NONE.to_owned());
    }
    if key.ends_with('/') {
        return Err(ApiError::bad_request("API mapping key should not end with a '/'."));
    }
    if key.starts_with('/') {
        return Err(ApiError::bad_request("API mapping key should not start with a '/'."));
    }
    let good = key.len() <= KEY_CHARACTERS_MAX
        && !key.contains("//")
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"$-_.+!*'()/".contains(&byte));
    match good {
        true => Ok(key.to_owned()),
        false => Err(ApiError::bad_request(format!("Invalid API mapping key specified: {key}"))),
    }
}

fn check_target(cx: &Context<'_>, api: &str, stage: &str) -> Result<(), ApiError> {
    let (is_rest, is_http) =
        (cx.txn.contains(Kind::RestApi, "", api), cx.txn.contains(Kind::HttpApi, "", api));
    if !is_rest && !is_http {
        return Err(ApiError::bad_request("Invalid API identifier specified"));
    }
    let kind = if is_rest { Kind::Stage } else { Kind::HttpStage };
    if !cx.txn.contains(kind, api, stage) {
        return Err(ApiError::bad_request("Invalid stage identifier specified"));
    }
    Ok(())
}

fn create(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let domain = domain(cx, input)?;
    let path = path_of(input.text("apiMappingKey").unwrap_or_default())?;
    let api = input.text("apiId").unwrap_or_default();
    let stage = input.text("stage").unwrap_or_default();
    check_target(cx, api, stage)?;
    if cx.txn.contains(Kind::BasePathMapping, &domain, &path) {
        return Err(ApiError::conflict("ApiMapping key already exists for this domain name"));
    }
    let mut body = Body::new();
    body.insert("basePath".to_owned(), Value::from(path.as_str()));
    body.insert("restApiId".to_owned(), Value::from(api));
    body.insert("stage".to_owned(), Value::from(stage));
    let view = shown(&domain, &path, &body);
    cx.txn.put(Kind::BasePathMapping, &domain, &path, body);
    Ok(Outcome::Body(view))
}

fn get(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, path, body) = require(cx, input)?;
    Ok(Outcome::Body(shown(&domain, &path, &body)))
}

fn list(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let domain = domain(cx, input)?;
    let found = cx.txn.list(Kind::BasePathMapping, &domain).into_iter().map(|(path, body)| {
        let view = shown(&domain, &path, &body);
        (path, view)
    });
    family::page(input, "items", found)
}

fn update(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, path, mut body) = require(cx, input)?;
    let id = mapping_id(&domain, &path, &body);
    for (v2, v1) in [("apiId", "restApiId"), ("stage", "stage")] {
        if let Some(value) = input.text(v2) {
            body.insert(v1.to_owned(), Value::from(value));
        }
    }
    check_target(cx, text(&body, "restApiId"), text(&body, "stage"))?;
    let new_path = match input.text("apiMappingKey") {
        Some(key) => path_of(key)?,
        None => path.clone(),
    };
    if new_path != path {
        if cx.txn.contains(Kind::BasePathMapping, &domain, &new_path) {
            return Err(ApiError::conflict("ApiMapping key already exists for this domain name"));
        }
        cx.txn.delete(Kind::BasePathMapping, &domain, &path);
        body.insert("basePath".to_owned(), Value::from(new_path.as_str()));
        body.insert(MAPPING_ID.to_owned(), Value::from(id));
    }
    let view = shown(&domain, &new_path, &body);
    cx.txn.put(Kind::BasePathMapping, &domain, &new_path, body);
    Ok(Outcome::Body(view))
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, path, _) = require(cx, input)?;
    cx.txn.delete(Kind::BasePathMapping, &domain, &path);
    Ok(Outcome::Body(Body::new()))
}
