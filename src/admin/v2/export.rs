//! HTTP APIs as OpenAPI 3.0 documents: what a stage's deployment froze, or what the API is now.
//!
//! AWS: API Gateway Developer Guide, "Export HTTP APIs"; Version 2 API Reference, "ExportApi".

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::admin::openapi::export::to_yaml;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::deployments::{DEFINITION, definition};
use crate::admin::v2::family::{is_websocket, require_api, text, unknown};
use crate::admin::v2::import::{AUTHORIZER_MEMBERS, extension};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[("ExportApi", export)];

fn export(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = require_api(cx, input)?;
    if is_websocket(&api) {
        return Err(ApiError::bad_request("WebSocket APIs cannot be exported"));
    }
    if input.label("specification") != "OAS30" {
        return Err(ApiError::bad_request("Invalid specification. Must be one of [OAS30]"));
    }
    let id = input.label("apiId");
    let stage = input.query_text("stageName").filter(|stage| !stage.is_empty());
    let definition = match stage {
        None => definition(cx.txn, id),
        Some(stage) => deployed(cx, id, stage)?,
    };
    // Extensions are part of an export unless they are switched off.
    let with_extensions =
        input.query.get("includeExtensions").and_then(Value::as_bool).unwrap_or(true);
    let document = document(&definition, with_extensions);
    let yaml = input.query_text("outputType").is_some_and(|kind| kind.eq_ignore_ascii_case("YAML"));
    let text = match &document {
        Value::Object(entries) if yaml => to_yaml(entries),
        document => serde_json::to_string_pretty(document).unwrap_or_default(),
    };
    let suffix = if yaml { "yaml" } else { "json" };
    Ok(Outcome::Payload {
        content_type: format!("application/{suffix}"),
        disposition: format!("attachment; filename=\"{id}.{suffix}\""),
        bytes: Bytes::from(text),
    })
}

fn deployed(cx: &Context<'_>, api: &str, stage: &str) -> Result<Value, ApiError> {
    let found = cx.txn.get(Kind::HttpStage, api, stage).ok_or_else(|| unknown("Stage", stage))?;
    let id = text(&found, "deploymentId");
    let deployment = cx.txn.get(Kind::HttpDeployment, api, id).ok_or_else(|| {
        ApiError::bad_request(format!("Stage {stage} has no deployment that could be exported"))
    })?;
    serde_json::from_str(text(&deployment, DEFINITION))
        .map_err(|_| ApiError::bad_request(format!("Deployment {id} cannot be exported")))
}

fn document(definition: &Value, with_extensions: bool) -> Value {
    let empty = Body::new();
    let api = definition.get("api").and_then(Value::as_object).unwrap_or(&empty);
    let mut info = Map::new();
    info.insert("title".to_owned(), json!(text(api, "name")));
    let version = api.get("version").cloned().unwrap_or_else(|| json!("1.0"));
    info.insert("version".to_owned(), version);
    if let Some(description) = api.get("description") {
        info.insert("description".to_owned(), description.clone());
    }
    let mut server = json!({
        "url": format!("{}/{{basePath}}", text(api, "apiEndpoint")),
        "variables": { "basePath": { "default": "" } },
    });
    if with_extensions && api.get("disableExecuteApiEndpoint") == Some(&Value::Bool(true)) {
        server["x-amazon-apigateway-endpoint-configuration"] =
            json!({ "disableExecuteApiEndpoint": true });
    }
    let mut root = Map::new();
    root.insert("openapi".to_owned(), json!("3.0.1"));
    root.insert("info".to_owned(), Value::Object(info));
    root.insert("servers".to_owned(), json!([server]));
    let tags = api.get("tags").and_then(Value::as_object).filter(|tags| !tags.is_empty());
    if let Some(tags) = tags {
        let tags = tags.iter().map(|(name, value)| match with_extensions {
            true => json!({ "name": name, "x-amazon-apigateway-tag-value": value }),
            false => json!({ "name": name }),
        });
        root.insert("tags".to_owned(), tags.collect());
    }
    root.insert("paths".to_owned(), paths(definition, with_extensions));
    let schemes = schemes(definition, with_extensions);
    if !schemes.is_empty() {
        root.insert("components".to_owned(), json!({ "securitySchemes": schemes }));
    }
    if with_extensions {
        if let Some(cors) = api.get("corsConfiguration") {
            root.insert("x-amazon-apigateway-cors".to_owned(), cors.clone());
        }
        root.insert("x-amazon-apigateway-importexport-version".to_owned(), json!("1.0"));
    }
    Value::Object(root)
}

fn list<'d>(definition: &'d Value, name: &str) -> impl Iterator<Item = &'d Body> {
    let found = definition.get(name).and_then(Value::as_array).into_iter().flatten();
    found.filter_map(Value::as_object)
}

fn paths(definition: &Value, with_extensions: bool) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut routes: Vec<&Body> = list(definition, "routes").collect();
    routes.sort_by_key(|route| text(route, "routeKey"));
    for route in routes {
        let key = text(route, "routeKey");
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", "/$default"));
        let verb = match method {
            "ANY" => "x-amazon-apigateway-any-method".to_owned(),
            method => method.to_ascii_lowercase(),
        };
        let operation = operation(definition, route, path, with_extensions);
        let item = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        item[verb] = operation;
    }
    Value::Object(paths)
}

fn operation(definition: &Value, route: &Body, path: &str, with_extensions: bool) -> Value {
    let mut operation = Map::new();
    if let Some(name) = route.get("operationName") {
        operation.insert("operationId".to_owned(), name.clone());
    }
    let parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({
                "name": name.trim_end_matches('+'), "in": "path", "required": true,
                "schema": { "type": "string" },
            })
        })
        .collect();
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    let responses = json!({ "default": { "description": format!("Default response for {}", text(route, "routeKey")) } });
    operation.insert("responses".to_owned(), responses);
    let authorizer = text(route, "authorizerId");
    let authorizer =
        list(definition, "authorizers").find(|found| text(found, "authorizerId") == authorizer);
    if let Some(authorizer) = authorizer {
        let scopes = route.get("authorizationScopes").cloned().unwrap_or_else(|| json!([]));
        let name = text(authorizer, "name");
        operation.insert("security".to_owned(), json!([{ name: scopes }]));
    }
    if with_extensions {
        if text(route, "authorizationType") == "AWS_IAM" {
            let auth = json!({ "type": "AWS_IAM" });
            operation.insert("x-amazon-apigateway-auth".to_owned(), auth);
        }
        if path == "/$default" {
            operation.insert("isDefaultRoute".to_owned(), json!(true));
        }
        let target = text(route, "target").trim_start_matches("integrations/");
        let integration =
            list(definition, "integrations").find(|found| text(found, "integrationId") == target);
        if let Some(integration) = integration {
            let extension = extension(integration);
            operation.insert("x-amazon-apigateway-integration".to_owned(), extension);
        }
    }
    Value::Object(operation)
}

fn schemes(definition: &Value, with_extensions: bool) -> Map<String, Value> {
    let scheme = |authorizer: &Body| {
        let is_jwt = text(authorizer, "authorizerType") == "JWT";
        let mut scheme = match is_jwt {
            true => json!({ "type": "oauth2", "flows": {} }),
            false => json!({ "type": "apiKey", "name": "Authorization", "in": "header" }),
        };
        if with_extensions {
            let kind = text(authorizer, "authorizerType").to_ascii_lowercase();
            let mut extension = Map::new();
            extension.insert("type".to_owned(), json!(kind));
            let sources = authorizer.get("identitySource").and_then(Value::as_array);
            if let Some(sources) = sources {
                let texts: Vec<&str> = sources.iter().filter_map(Value::as_str).collect();
                extension.insert("identitySource".to_owned(), json!(texts.join(", ")));
            }
            for (name, member) in AUTHORIZER_MEMBERS {
                if let Some(value) = authorizer.get(member) {
                    extension.insert(name.to_owned(), value.clone());
                }
            }
            scheme["x-amazon-apigateway-authorizer"] = Value::Object(extension);
        }
        (text(authorizer, "name").to_owned(), scheme)
    };
    list(definition, "authorizers").map(scheme).collect()
}
