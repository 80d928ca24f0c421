//! HTTP APIs from OpenAPI 3.0 documents.
//!
//! A document is read whole before anything is changed. What AWS takes and does not support is told
//! in `importInfo`, what it leaves out in `warnings`; what contradicts itself is an error.
//!
//! AWS: API Gateway Developer Guide, "Work with OpenAPI definitions for HTTP APIs", "OpenAPI
//! extensions for API Gateway"; Version 2 API Reference, "ImportApi", "ReimportApi".

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::admin::openapi;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::apis::APIS;
use crate::admin::v2::authorizers::AUTHORIZERS;
use crate::admin::v2::deployments;
use crate::admin::v2::family::{Family, Place, require_api, text};
use crate::admin::v2::integrations::INTEGRATIONS;
use crate::admin::v2::routes::ROUTES;
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[("ImportApi", import), ("ReimportApi", reimport)];

/// OpenAPI's verbs.
const VERBS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const ANY: &str = "x-amazon-apigateway-any-method";
/// References that point at references.
const HOPS_MAX: usize = 8;

/// What an extension says and what the API calls it.
const INTEGRATION_MEMBERS: [(&str, &str); 14] = [
    ("httpMethod", "integrationMethod"),
    ("uri", "integrationUri"),
    ("credentials", "credentialsArn"),
    ("connectionType", "connectionType"),
    ("connectionId", "connectionId"),
    ("integrationSubtype", "integrationSubtype"),
    ("payloadFormatVersion", "payloadFormatVersion"),
    ("requestParameters", "requestParameters"),
    ("responseParameters", "responseParameters"),
    ("requestTemplates", "requestTemplates"),
    ("timeoutInMillis", "timeoutInMillis"),
    ("tlsConfig", "tlsConfig"),
    ("description", "description"),
    ("passthroughBehavior", "passthroughBehavior"),
];

pub(super) const AUTHORIZER_MEMBERS: [(&str, &str); 6] = [
    ("authorizerUri", "authorizerUri"),
    ("authorizerCredentials", "authorizerCredentialsArn"),
    ("authorizerResultTtlInSeconds", "authorizerResultTtlInSeconds"),
    ("authorizerPayloadFormatVersion", "authorizerPayloadFormatVersion"),
    ("enableSimpleResponses", "enableSimpleResponses"),
    ("jwtConfiguration", "jwtConfiguration"),
];

/// A document, read.
#[derive(Debug, Default)]
struct Document {
    api: Body,
    /// By the scheme's name.
    authorizers: IndexMap<String, Body>,
    /// Integrations that several routes share, by the name in `components`, and then the others.
    integrations: IndexMap<String, Body>,
    routes: Vec<Route>,
    warnings: Vec<String>,
    unsupported: Vec<String>,
}

#[derive(Debug)]
struct Route {
    body: Body,
    integration: Option<String>,
    authorizer: Option<String>,
}

fn import(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let document = read(input)?;
    let id = cx.new_id(APIS.id_length, |id| {
        cx.txn.contains(Kind::HttpApi, "", id) || cx.txn.contains(Kind::RestApi, "", id)
    });
    let place = Place { api: String::new(), scope: String::new(), id: id.clone() };
    APIS.create_as(cx, place, &document.api)?;
    apply(cx, &id, document)
}

fn reimport(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let before = require_api(cx, input)?;
    let id = input.label("apiId").to_owned();
    if text(&before, "protocolType") != "HTTP" {
        return Err(ApiError::bad_request("Only HTTP APIs can be imported"));
    }
    let document = read(input)?;
    let mut api = document.api.clone();
    for kept in ["apiId", "apiEndpoint", "createdDate", "tags"] {
        if let Some(value) = before.get(kept)
            && !api.contains_key(kept)
        {
            api.insert(kept.to_owned(), value.clone());
        }
    }
    let place = Place { api: String::new(), scope: String::new(), id: id.clone() };
    (APIS.prepare)(cx, &place, Some(&before), &mut api)?;
    cx.txn.put(Kind::HttpApi, "", &id, api);
    apply(cx, &id, document)
}

/// Replaces everything of an API by what the document has. A route keeps its id where its key is
/// the same, an authorizer where its name is.
fn apply(cx: &mut Context<'_>, api: &str, document: Document) -> Result<Outcome, ApiError> {
    let ids = |kind: Kind, member: &str| -> IndexMap<String, String> {
        let found = cx.txn.list(kind, api).into_iter();
        found.map(|(id, body)| (text(&body, member).to_owned(), id.to_string())).collect()
    };
    let (old_routes, old_authorizers) =
        (ids(Kind::Route, "routeKey"), ids(Kind::HttpAuthorizer, "name"));
    for kind in [Kind::Route, Kind::HttpIntegration, Kind::HttpAuthorizer] {
        cx.txn.delete_all(kind, api);
    }
    let mut authorizers = IndexMap::new();
    for (name, body) in &document.authorizers {
        let id = put(cx, &AUTHORIZERS, api, old_authorizers.get(name), body)?;
        authorizers.insert(name.clone(), id);
    }
    let mut integrations = IndexMap::new();
    for (name, body) in &document.integrations {
        integrations.insert(name.clone(), put(cx, &INTEGRATIONS, api, None, body)?);
    }
    for route in document.routes {
        let mut body = route.body;
        if let Some(id) = route.integration.and_then(|name| integrations.get(&name)) {
            body.insert("target".to_owned(), Value::from(format!("integrations/{id}")));
        }
        if let Some(id) = route.authorizer.and_then(|name| authorizers.get(&name)) {
            body.insert("authorizerId".to_owned(), Value::from(id.as_str()));
        }
        let old = old_routes.get(text(&body, "routeKey"));
        put(cx, &ROUTES, api, old, &body)?;
    }
    deployments::api_changed(cx, api)?;
    let made = cx.txn.get(Kind::HttpApi, "", api).unwrap_or_default();
    let mut answer = Body::clone(&made);
    for (name, list) in [("warnings", document.warnings), ("importInfo", document.unsupported)] {
        if !list.is_empty() {
            answer.insert(name.to_owned(), Value::from(list));
        }
    }
    Ok(Outcome::Body(answer))
}

/// Keeps one resource without deploying: the import is one change.
fn put(
    cx: &mut Context<'_>,
    family: &Family,
    api: &str,
    old: Option<&String>,
    body: &Body,
) -> Result<String, ApiError> {
    let id = match old {
        Some(id) => id.clone(),
        None => cx.new_id(family.id_length, |id| cx.txn.contains(family.kind, api, id)),
    };
    let place = Place { api: api.to_owned(), scope: api.to_owned(), id: id.clone() };
    let mut kept = Body::new();
    kept.insert(family.id.to_owned(), Value::from(id.as_str()));
    kept.extend(body.clone());
    (family.prepare)(cx, &place, None, &mut kept)?;
    cx.txn.put(family.kind, api, &id, kept);
    Ok(id)
}

// ---- reading

fn read(input: &Input) -> Result<Document, ApiError> {
    let text = input.text("body").unwrap_or_default();
    let root = openapi::to_json("body", text.as_bytes())
        .map_err(|problems| ApiError::bad_request(format!("Invalid OpenAPI input. {problems}")))?;
    let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.0") {
        return Err(ApiError::bad_request(
            "Unable to import: HTTP APIs are imported from OpenAPI 3.0 documents only",
        ));
    }
    let prefix = base_path(&root, input.query_text("basepath").unwrap_or("ignore"))?;
    let mut document = Document { api: api(&root), ..Document::default() };
    read_authorizers(&root, &mut document)?;
    read_shared_integrations(&root, &mut document);
    read_paths(&root, &prefix, &mut document)?;
    if input.query_flag("failOnWarnings") && !document.warnings.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Warnings found during import:\n{}",
            document.warnings.join("\n")
        )));
    }
    Ok(document)
}

fn api(root: &Value) -> Body {
    let mut api = Body::new();
    let mut put = |name: &str, value: Option<&Value>| {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            api.insert(name.to_owned(), value.clone());
        }
    };
    put("protocolType", Some(&Value::from("HTTP")));
    put("name", root.pointer("/info/title"));
    put("version", root.pointer("/info/version"));
    put("description", root.pointer("/info/description"));
    put("corsConfiguration", root.get("x-amazon-apigateway-cors"));
    let servers = root.get("servers").and_then(Value::as_array).into_iter().flatten();
    let endpoint = servers
        .filter_map(|server| server.get("x-amazon-apigateway-endpoint-configuration"))
        .next();
    put("disableExecuteApiEndpoint", endpoint.and_then(|at| at.get("disableExecuteApiEndpoint")));
    put("ipAddressType", endpoint.and_then(|at| at.get("ipAddressType")));
    let tags: Map<String, Value> = root
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tag| {
            let name = tag.get("name")?.as_str()?;
            Some((name.to_owned(), tag.get("x-amazon-apigateway-tag-value")?.clone()))
        })
        .collect();
    if !tags.is_empty() {
        put("tags", Some(&Value::Object(tags)));
    }
    api
}

/// What stands in front of each path.
fn base_path(root: &Value, mode: &str) -> Result<String, ApiError> {
    let server = root.pointer("/servers/0");
    let variable = server.and_then(|server| server.pointer("/variables/basePath/default"));
    let path = match variable.and_then(Value::as_str) {
        Some(path) => path.to_owned(),
        None => {
            let url = server.and_then(|server| server.get("url")).and_then(Value::as_str);
            let url = url.unwrap_or_default();
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split_once('/').map(|(_, path)| path.to_owned()).unwrap_or_default()
        }
    };
    let path = path.trim_matches('/');
    let path = match mode {
        "ignore" => "",
        "prepend" => path,
        "split" => path.split_once('/').map_or("", |(_, rest)| rest),
        _ => {
            return Err(ApiError::bad_request(
                "Invalid basepath specified. Must be one of [ignore, prepend, split]",
            ));
        }
    };
    Ok(if path.is_empty() { String::new() } else { format!("/{path}") })
}

fn read_authorizers(root: &Value, document: &mut Document) -> Result<(), ApiError> {
    let schemes = root.pointer("/components/securitySchemes").and_then(Value::as_object);
    for (name, scheme) in schemes.into_iter().flatten() {
        let Some(extension) = scheme.get("x-amazon-apigateway-authorizer") else { continue };
        let kind = extension.get("type").and_then(Value::as_str).unwrap_or_default();
        let mut body = Body::new();
        body.insert("name".to_owned(), Value::from(name.as_str()));
        body.insert("authorizerType".to_owned(), Value::from(kind.to_ascii_uppercase()));
        let sources = match extension.get("identitySource") {
            Some(Value::String(text)) => {
                text.split(',').map(|source| Value::from(source.trim())).collect()
            }
            Some(Value::Array(list)) => list.clone(),
            _ => Vec::new(),
        };
        if !sources.is_empty() {
            body.insert("identitySource".to_owned(), Value::Array(sources));
        }
        copy(extension, &AUTHORIZER_MEMBERS, &mut body);
        if !["JWT", "REQUEST"].contains(&text(&body, "authorizerType")) {
            return Err(ApiError::bad_request(format!(
                "Unable to import: authorizer {name} must be of type jwt or request"
            )));
        }
        document.authorizers.insert(name.clone(), body);
    }
    Ok(())
}

fn copy(from: &Value, members: &[(&str, &str)], into: &mut Body) {
    for (extension, member) in members {
        if let Some(value) = from.get(*extension).filter(|value| !value.is_null()) {
            into.insert((*member).to_owned(), value.clone());
        }
    }
}

fn read_shared_integrations(root: &Value, document: &mut Document) {
    let shared = root.pointer("/components/x-amazon-apigateway-integrations");
    for (name, extension) in shared.and_then(Value::as_object).into_iter().flatten() {
        match integration(extension) {
            Ok(body) => {
                document.integrations.insert(name.clone(), body);
            }
            Err(warning) => document.warnings.push(format!("Integration {name}: {warning}")),
        }
    }
}

fn integration(extension: &Value) -> Result<Body, String> {
    let kind = extension.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.to_ascii_uppercase();
    if !["AWS_PROXY", "HTTP_PROXY"].contains(&kind.as_str()) {
        return Err(format!(
            "Integration type '{kind}' is not supported for HTTP APIs; the integration is left out"
        ));
    }
    let mut body = Body::new();
    body.insert("integrationType".to_owned(), Value::from(kind));
    copy(extension, &INTEGRATION_MEMBERS, &mut body);
    Ok(body)
}

fn read_paths(root: &Value, prefix: &str, document: &mut Document) -> Result<(), ApiError> {
    let paths = root.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        let Some(item) = item.as_object() else { continue };
        for (verb, operation) in item {
            let method = match verb.as_str() {
                ANY => "ANY".to_owned(),
                "trace" => {
                    document.warnings.push(format!("TRACE {path}: the method is not supported"));
                    continue;
                }
                verb if VERBS.contains(&verb) => verb.to_ascii_uppercase(),
                _ => continue,
            };
            let is_default =
                path == "/$default" || operation.get("isDefaultRoute") == Some(&Value::Bool(true));
            let key = match is_default && method == "ANY" {
                true => "$default".to_owned(),
                false => format!("{method} {prefix}{path}"),
            };
            let route = read_operation(root, &key, operation, document)?;
            document.routes.push(route);
        }
    }
    Ok(())
}

fn read_operation(
    root: &Value,
    key: &str,
    operation: &Value,
    document: &mut Document,
) -> Result<Route, ApiError> {
    let mut body = Body::new();
    body.insert("routeKey".to_owned(), Value::from(key));
    if let Some(name) = operation.get("operationId").and_then(Value::as_str) {
        body.insert("operationName".to_owned(), Value::from(name));
    }
    if operation.get("requestBody").is_some() {
        document.unsupported.push(format!("Request body of {key} is not validated by HTTP APIs"));
    }
    let integration = read_integration(root, key, operation, document);
    let authorizer = read_security(root, key, operation, document, &mut body)?;
    Ok(Route { body, integration, authorizer })
}

/// The name of the route's integration among the document's.
fn read_integration(
    root: &Value,
    key: &str,
    operation: &Value,
    document: &mut Document,
) -> Option<String> {
    let Some(mut extension) = operation.get("x-amazon-apigateway-integration") else {
        document.warnings.push(format!("No integration defined for {key}"));
        return None;
    };
    for _ in 0..HOPS_MAX {
        let Some(target) = extension.get("$ref").and_then(Value::as_str) else { break };
        let shared = target.strip_prefix("#/components/x-amazon-apigateway-integrations/");
        if let Some(name) = shared
            && document.integrations.contains_key(name)
        {
            return Some(name.to_owned());
        }
        let Some(found) = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else {
            document.warnings.push(format!("{key}: the reference {target} points at nothing"));
            return None;
        };
        extension = found;
    }
    match integration(extension) {
        Ok(body) => {
            // No name in `components` holds a NUL.
            let name = format!("\0{key}");
            document.integrations.insert(name.clone(), body);
            Some(name)
        }
        Err(warning) => {
            document.warnings.push(format!("{key}: {warning}"));
            None
        }
    }
}

/// Sets type and scopes and returns the authorizer's name.
fn read_security(
    root: &Value,
    key: &str,
    operation: &Value,
    document: &Document,
    body: &mut Body,
) -> Result<Option<String>, ApiError> {
    let auth = operation.pointer("/x-amazon-apigateway-auth/type").and_then(Value::as_str);
    if auth.is_some_and(|kind| kind.eq_ignore_ascii_case("AWS_IAM")) {
        body.insert("authorizationType".to_owned(), Value::from("AWS_IAM"));
        return Ok(None);
    }
    let security = operation.get("security").or_else(|| root.get("security"));
    let requirements = security.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let entries: Vec<(&String, &Value)> =
        requirements.iter().filter_map(Value::as_object).flatten().collect();
    if entries.len() > 1 {
        return Err(ApiError::bad_request(format!(
            "Unable to import: {key} has several security requirements, and HTTP APIs have one"
        )));
    }
    let Some((name, scopes)) = entries.first() else { return Ok(None) };
    let Some(authorizer) = document.authorizers.get(*name) else { return Ok(None) };
    let is_jwt = text(authorizer, "authorizerType") == "JWT";
    let kind = if is_jwt { "JWT" } else { "CUSTOM" };
    body.insert("authorizationType".to_owned(), Value::from(kind));
    if is_jwt && scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
        body.insert("authorizationScopes".to_owned(), (*scopes).clone());
    }
    Ok(Some((*name).clone()))
}

/// The extension of an integration, for the export.
pub(super) fn extension(integration: &Body) -> Value {
    let mut extension = Map::new();
    let kind = text(integration, "integrationType").to_ascii_lowercase();
    extension.insert("type".to_owned(), json!(kind));
    for (name, member) in INTEGRATION_MEMBERS {
        if let Some(value) = integration.get(member) {
            extension.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(extension)
}
