//! GetExport: a stage's API as an OpenAPI document.
//!
//! The document is made of what the stage's deployment froze, so changes that were not deployed
//! are not in it.
//!
//! AWS: API Gateway API Reference, "GetExport"; Developer Guide, "Export a REST API from API
//! Gateway".

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::admin::openapi::apply::DOCUMENTATION_PARTS;
use crate::admin::openapi::export::{Deployed, Extensions, Form, export, to_yaml};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations = &[("GetExport", get_export)];

fn get_export(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("restapi_id");
    if !context.txn.contains(Kind::RestApi, "", id) {
        let account = &context.site.account_id;
        let message = format!("Invalid API identifier specified {account}:{id}");
        return Err(ApiError::not_found(message));
    }
    let stage_name = input.label("stage_name");
    let stage = context
        .txn
        .get(Kind::Stage, id, stage_name)
        .ok_or_else(|| ApiError::not_found("Invalid stage identifier specified"))?;
    let export_type = input.label("export_type");
    let form = match export_type {
        "swagger" => Form::Swagger2,
        "oas30" => Form::OpenApi30,
        other => {
            return Err(ApiError::bad_request(format!("No API exporter for type '{other}'")));
        }
    };
    let (extensions, with_documentation) = extensions(input)?;
    let definition = deployed_definition(context, id, &stage)?;
    let documentation = with_documentation.then(|| documentation(context, id, &stage)).flatten();
    let site = context.site;
    let host = format!("{id}.execute-api.{}.{}{}", site.aws_region, site.domain, site.port);
    let created = date(&stage);
    let deployed = Deployed {
        definition: &definition,
        documentation: documentation.as_ref(),
        stage_name,
        host: &host,
        version: &created,
    };
    let document = export(&deployed, form, extensions)
        .map_err(|err| ApiError::bad_request(err.to_string()))?;
    let version = document.get("info").and_then(|info| info.get("version"));
    let version = file_name(version.and_then(Value::as_str).unwrap_or_default());
    let is_yaml = input.accept.as_deref().is_some_and(|accept| accept.contains("yaml"));
    let (text, suffix) = if is_yaml {
        (to_yaml(&document), "yaml")
    } else {
        let text = serde_json::to_string_pretty(&document)
            .map_err(|err| ApiError::new(ErrorKind::Internal, err.to_string()))?;
        (text, "json")
    };
    Ok(Outcome::Payload {
        content_type: "application/octet-stream".to_owned(),
        disposition: format!("attachment; filename=\"{export_type}_{version}.{suffix}\""),
        bytes: Bytes::from(text),
    })
}

/// `extensions`, a list with commas; and whether documentation is among them.
fn extensions(input: &Input) -> Result<(Extensions, bool), ApiError> {
    let mut asked = Extensions::default();
    let mut documentation = false;
    let list = input.parameters.get("extensions").map(String::as_str).unwrap_or_default();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "integrations" | "apigateway" => asked.integrations = true,
            "authorizers" => asked.authorizers = true,
            "documentation" => documentation = true,
            // Postman reads the document as it is.
            "postman" => {}
            other => {
                return Err(ApiError::bad_request(format!(
                    "Invalid extensions specified: {other}. Valid options are \
                     integrations,apigateway,authorizers,documentation,postman"
                )));
            }
        }
    }
    Ok((asked, documentation))
}

fn deployed_definition(context: &Context<'_>, id: &str, stage: &Body) -> Result<Value, ApiError> {
    let deployment = stage.get("deploymentId").and_then(Value::as_str).unwrap_or_default();
    let kept = context
        .txn
        .get(Kind::DeploymentDefinition, id, deployment)
        .ok_or_else(|| ApiError::not_found("Invalid Deployment identifier specified"))?;
    let text = kept.get("definition").and_then(Value::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|err| {
        let message = format!("The deployment's definition cannot be read: {err}");
        ApiError::new(ErrorKind::Internal, message)
    })
}

/// The stage's documentation version; without one, the parts as they are now.
fn documentation(context: &Context<'_>, id: &str, stage: &Body) -> Option<Value> {
    let mut written = Map::new();
    let version = stage.get("documentationVersion").and_then(Value::as_str);
    let kept = version.and_then(|name| context.txn.get(Kind::DocumentationVersion, id, name));
    let parts = match &kept {
        Some(kept) => {
            for key in ["version", "description"] {
                if let Some(value) = kept.get(key) {
                    written.insert(key.to_owned(), value.clone());
                }
            }
            kept.get(DOCUMENTATION_PARTS).cloned()
        }
        None => None,
    };
    let parts = parts.unwrap_or_else(|| {
        let now = context.txn.list(Kind::DocumentationPart, id);
        now.into_iter().map(|(_, part)| Value::Object(Body::clone(&part))).collect()
    });
    let is_empty = parts.as_array().is_none_or(Vec::is_empty);
    written.insert("documentationParts".to_owned(), parts);
    (!is_empty || written.contains_key("version")).then(|| json!(written))
}

/// The stage's creation in ISO 8601: AWS's version of an API that has none (recorded).
fn date(stage: &Body) -> String {
    let seconds = stage.get("createdDate").and_then(Value::as_i64).unwrap_or(0);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A version as part of a file name in a header: whatever could end either is replaced.
fn file_name(version: &str) -> String {
    const CHARS_MAX: usize = 64;
    let safe = |c: char| if c.is_ascii_alphanumeric() || ".-_:+".contains(c) { c } else { '_' };
    version.chars().take(CHARS_MAX).map(safe).collect()
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
