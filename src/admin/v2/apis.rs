//! HTTP and WebSocket APIs themselves.
//!
//! AWS: API Gateway Version 2 API Reference, "Apis"; Developer Guide, "Create an HTTP API" (quick
//! create), "Configure CORS for HTTP APIs".

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{
    self, Family, Owner, Place, default, handlers, is_websocket, require_api, text,
};
use crate::admin::v2::{integrations, routes, stages};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateApi", create),
    ("GetApi", get),
    ("GetApis", list),
    ("UpdateApi", update),
    ("DeleteApi", delete),
    ("DeleteCorsConfiguration", delete_cors),
];

pub(super) const APIS: Family = Family {
    kind: Kind::HttpApi,
    id: "apiId",
    noun: "API",
    id_length: 10,
    owner: Owner::Nobody,
    prepare,
};

/// Members that make routes and integrations instead of being kept.
const QUICK_CREATE: [&str; 3] = ["target", "routeKey", "credentialsArn"];

handlers!(APIS: get = get, list = list);

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    let protocol = text(body, "protocolType").to_owned();
    if !["HTTP", "WEBSOCKET"].contains(&protocol.as_str()) {
        return Err(ApiError::bad_request(
            "Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]",
        ));
    }
    if text(body, "name").is_empty() {
        return Err(ApiError::bad_request("Name must be specified"));
    }
    let is_http = protocol == "HTTP";
    let expression = text(body, "routeSelectionExpression");
    match (is_http, expression.is_empty()) {
        (false, true) => {
            return Err(ApiError::bad_request(
                "RouteSelectionExpression must be specified for WEBSOCKET APIs",
            ));
        }
        (true, false)
            if expression != "${request.method} ${request.path}"
                && expression != "$request.method $request.path" =>
        {
            return Err(ApiError::bad_request(
                "RouteSelectionExpression must be ${request.method} ${request.path} for HTTP APIs",
            ));
        }
        _ => {}
    }
    if let Some(cors) = body.get("corsConfiguration").and_then(Value::as_object) {
        if !is_http {
            return Err(ApiError::bad_request(
                "CORS configuration is only supported for HTTP APIs",
            ));
        }
        check_cors(cors)?;
    }
    default(body, "routeSelectionExpression", "$request.method $request.path");
    default(body, "apiKeySelectionExpression", "$request.header.x-api-key");
    default(body, "disableExecuteApiEndpoint", false);
    default(body, "ipAddressType", "ipv4");
    if before.is_none() {
        let scheme = if is_http { "https" } else { "wss" };
        let site = cx.site;
        let endpoint = format!(
            "{scheme}://{}.execute-api.{}.{}{}",
            place.id, site.aws_region, site.domain, site.port
        );
        body.insert("apiEndpoint".to_owned(), Value::from(endpoint));
        body.insert("createdDate".to_owned(), cx.seconds());
        default(body, "tags", json!({}));
    }
    Ok(())
}

fn check_cors(cors: &Body) -> Result<(), ApiError> {
    let any_origin = cors
        .get("allowOrigins")
        .and_then(Value::as_array)
        .is_some_and(|origins| origins.iter().any(|origin| origin == "*"));
    if any_origin && cors.get("allowCredentials") == Some(&Value::Bool(true)) {
        return Err(ApiError::bad_request(
            "allow-credentials is not supported if 'allow-origin' is *",
        ));
    }
    let age = cors.get("maxAge").and_then(Value::as_i64).unwrap_or(0);
    // API Gateway Version 2 API Reference, "Cors": -1 to 86400.
    if !(-1..=86_400).contains(&age) {
        return Err(ApiError::bad_request("maxAge must be between -1 and 86400 seconds"));
    }
    Ok(())
}

fn create(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut given = input.body.clone();
    let [target, route_key, credentials] = QUICK_CREATE.map(|name| given.shift_remove(name));
    let id = cx.new_id(APIS.id_length, |id| {
        cx.txn.contains(Kind::HttpApi, "", id) || cx.txn.contains(Kind::RestApi, "", id)
    });
    // The API is no part of another one, so that nothing is deployed by its creation.
    let place = Place { api: String::new(), scope: String::new(), id: id.clone() };
    let outcome = APIS.create_as(cx, place, &given)?;
    let target = target.as_ref().and_then(Value::as_str).filter(|target| !target.is_empty());
    if let Some(target) = target {
        if text(&given, "protocolType") != "HTTP" {
            return Err(ApiError::bad_request("Quick create is only supported for HTTP APIs"));
        }
        let route_key = route_key.as_ref().and_then(Value::as_str).unwrap_or("$default");
        quick_create(cx, &id, target, route_key, credentials)?;
    } else if route_key.is_some_and(|key| !key.is_null()) {
        return Err(ApiError::bad_request("Target must be specified with RouteKey"));
    }
    Ok(outcome)
}

/// One integration, one route and a stage `$default` that deploys by itself.
fn quick_create(
    cx: &mut Context<'_>,
    api: &str,
    target: &str,
    route_key: &str,
    credentials: Option<Value>,
) -> Result<(), ApiError> {
    let is_lambda = target.starts_with("arn:");
    let integration = json!({
        "apiGatewayManaged": true,
        "integrationType": if is_lambda { "AWS_PROXY" } else { "HTTP_PROXY" },
        "integrationMethod": if is_lambda { "POST" } else { "ANY" },
        "integrationUri": target,
        "payloadFormatVersion": if is_lambda { "2.0" } else { "1.0" },
        "credentialsArn": credentials,
    });
    let integration_id = cx.new_id(7, |id| cx.txn.contains(Kind::HttpIntegration, api, id));
    make(cx, &integrations::INTEGRATIONS, api, &integration_id, integration)?;
    let route_id = cx.new_id(7, |id| cx.txn.contains(Kind::Route, api, id));
    let route = json!({
        "apiGatewayManaged": true,
        "routeKey": route_key,
        "target": format!("integrations/{integration_id}"),
    });
    make(cx, &routes::ROUTES, api, &route_id, route)?;
    let stage = json!({ "apiGatewayManaged": true, "stageName": "$default", "autoDeploy": true });
    make(cx, &stages::STAGES, api, "$default", stage)
}

fn make(
    cx: &mut Context<'_>,
    family: &Family,
    api: &str,
    id: &str,
    body: Value,
) -> Result<(), ApiError> {
    let Value::Object(body) = body else { return Ok(()) };
    let place = Place { api: api.to_owned(), scope: api.to_owned(), id: id.to_owned() };
    family.create_as(cx, place, &body).map(drop)
}

fn update(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = require_api(cx, input)?;
    let id = input.label("apiId").to_owned();
    let mut given = input.body.clone();
    let [target, route_key, credentials] = QUICK_CREATE.map(|name| given.shift_remove(name));
    if target.is_some() || route_key.is_some() || credentials.is_some() {
        update_quick_created(cx, &id, target, route_key, credentials)?;
    }
    let mut body = Body::clone(&api);
    family::merge(&mut body, &given);
    let place = Place { api: id.clone(), scope: String::new(), id: id.clone() };
    prepare(cx, &place, Some(&api), &mut body)?;
    cx.txn.put(Kind::HttpApi, "", &id, body.clone());
    crate::admin::v2::deployments::api_changed(cx, &id)?;
    Ok(Outcome::Body(body))
}

fn update_quick_created(
    cx: &mut Context<'_>,
    api: &str,
    target: Option<Value>,
    route_key: Option<Value>,
    credentials: Option<Value>,
) -> Result<(), ApiError> {
    let mut managed = |kind: Kind, set: &[(&str, Option<Value>)]| {
        let found = cx
            .txn
            .list(kind, api)
            .into_iter()
            .find(|(_, body)| body.get("apiGatewayManaged") == Some(&Value::Bool(true)));
        let Some((id, body)) = found else {
            return Err(ApiError::bad_request(
                "Target, RouteKey and CredentialsArn can only be updated on APIs that were created \
                 with quick create",
            ));
        };
        let mut body = Body::clone(&body);
        for (name, value) in set {
            if let Some(value) = value.as_ref().filter(|value| !value.is_null()) {
                body.insert((*name).to_owned(), value.clone());
            }
        }
        cx.txn.put(kind, api, &id, body);
        Ok(())
    };
    managed(Kind::HttpIntegration, &[("integrationUri", target), ("credentialsArn", credentials)])?;
    managed(Kind::Route, &[("routeKey", route_key)])
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    require_api(cx, input)?;
    let api = input.label("apiId");
    for (domain, _) in cx.txn.list(Kind::DomainName, "") {
        let mapped = cx.txn.list(Kind::BasePathMapping, &domain);
        if mapped.iter().any(|(_, mapping)| text(mapping, "restApiId") == api) {
            return Err(ApiError::bad_request(
                "Deleting API failed. Please remove all API mappings related to the API in your \
                 domains and try again.",
            ));
        }
    }
    for (parts, responses) in
        [(Kind::Route, Kind::RouteResponse), (Kind::HttpIntegration, Kind::HttpIntegrationResponse)]
    {
        for (id, _) in cx.txn.list(parts, api) {
            cx.txn.delete_all(responses, &format!("{api}/{id}"));
        }
        cx.txn.delete_all(parts, api);
    }
    for kind in [Kind::HttpAuthorizer, Kind::HttpModel, Kind::HttpDeployment, Kind::HttpStage] {
        cx.txn.delete_all(kind, api);
    }
    cx.txn.delete(Kind::HttpApi, "", api);
    Ok(Outcome::Body(Body::new()))
}

fn delete_cors(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = require_api(cx, input)?;
    if is_websocket(&api) {
        return Err(ApiError::bad_request("CORS configuration is only supported for HTTP APIs"));
    }
    let mut body = Body::clone(&api);
    body.shift_remove("corsConfiguration");
    let id = input.label("apiId");
    cx.txn.put(Kind::HttpApi, "", id, body);
    crate::admin::v2::deployments::api_changed(cx, id)?;
    Ok(Outcome::Body(Body::new()))
}
