use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Outcome, Site};
use crate::admin::v2::OPERATIONS;
use crate::net::clock::Timestamp;
use crate::store::control::{State, Txn};

/// A store that runs one operation after the other.
struct World(Arc<State>);

impl World {
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Labels and query as `{"apiId": …}`, the body as JSON. What fails changes nothing.
    fn run(&mut self, operation: &str, labels: Value, body: Value) -> Result<Value, ApiError> {
        let known = OPERATIONS.iter().flat_map(|list| list.iter());
        let handler = known.clone().find(|(name, _)| *name == operation).unwrap().1;
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let input = Input {
            uri: object(labels.clone()),
            query: object(labels),
            body: object(body),
            ..Input::default()
        };
        let site = Site {
            partition: "aws".to_owned(),
            aws_region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
            domain: "gateway.localhost".to_owned(),
            port: String::new(),
            installation: Default::default(),
        };
        let mut txn = Txn::new(Arc::clone(&self.0));
        let mut cx = Context {
            txn: &mut txn,
            site: &site,
            now: Timestamp::from_seconds(1_800_000_000),
            effects: Vec::new(),
        };
        let outcome = handler(&mut cx, &input)?;
        self.0 = Arc::new(self.0.with(self.0.revision + 1, txn.into_changes()));
        match outcome {
            Outcome::Body(body) => Ok(Value::Object(body)),
            Outcome::Payload { bytes, .. } => {
                Ok(Value::from(String::from_utf8(bytes.to_vec()).unwrap()))
            }
            other => panic!("{other:?}"),
        }
    }

    fn ok(&mut self, operation: &str, labels: Value, body: Value) -> Value {
        self.run(operation, labels, body).unwrap_or_else(|err| panic!("{operation}: {err}"))
    }

    fn refused(&mut self, operation: &str, labels: Value, body: Value) -> String {
        self.run(operation, labels, body).unwrap_err().to_string()
    }

    fn api(&mut self, protocol: &str) -> String {
        let mut body = json!({"name": "shop", "protocolType": protocol});
        if protocol == "WEBSOCKET" {
            body["routeSelectionExpression"] = json!("$request.body.action");
        }
        self.ok("CreateApi", json!({}), body)["apiId"].as_str().unwrap().to_owned()
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

#[test]
fn an_api_has_the_documented_defaults() {
    let mut world = World::new();
    let api = world.ok("CreateApi", json!({}), json!({"name": "shop", "protocolType": "HTTP"}));
    let id = text(&api, "apiId");
    assert_eq!(id.len(), 10);
    assert_eq!(api["routeSelectionExpression"], "$request.method $request.path");
    assert_eq!(api["apiKeySelectionExpression"], "$request.header.x-api-key");
    assert_eq!(api["disableExecuteApiEndpoint"], false);
    assert_eq!(api["createdDate"], 1_800_000_000);
    let endpoint = format!("https://{id}.execute-api.eu-central-1.gateway.localhost");
    assert_eq!(api["apiEndpoint"], endpoint);
    assert_eq!(world.ok("GetApi", json!({"apiId": id}), json!({})), api);
}

#[test]
fn unknown_ids_have_the_recorded_texts() {
    let mut world = World::new();
    let found = world.refused("GetApi", json!({"apiId": "nope"}), json!({}));
    assert_eq!(found, "NotFoundException: Invalid API identifier specified nope");
    let api = world.api("HTTP");
    for (operation, label, noun) in [
        ("GetRoute", "routeId", "Route"),
        ("GetIntegration", "integrationId", "Integration"),
        ("GetAuthorizer", "authorizerId", "Authorizer"),
    ] {
        let found = world.refused(operation, json!({"apiId": api, label: "x"}), json!({}));
        assert_eq!(found, format!("NotFoundException: Invalid {noun} identifier specified x"));
    }
    let bad = world.refused("CreateApi", json!({}), json!({"name": "a", "protocolType": "REST"}));
    assert_eq!(
        bad,
        "BadRequestException: Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]"
    );
}

/// Developer Guide, "Create an HTTP API": quick create.
#[test]
fn quick_create_makes_integration_route_and_a_stage_that_deploys() {
    let mut world = World::new();
    let body = json!({"name": "q", "protocolType": "HTTP", "target": "https://example.com"});
    let api = text(&world.ok("CreateApi", json!({}), body), "apiId");
    let routes = world.ok("GetRoutes", json!({"apiId": api}), json!({}));
    assert_eq!(routes["items"][0]["routeKey"], "$default");
    assert_eq!(routes["items"][0]["apiGatewayManaged"], true);
    let integrations = world.ok("GetIntegrations", json!({"apiId": api}), json!({}));
    assert_eq!(integrations["items"][0]["integrationType"], "HTTP_PROXY");
    let stage = world.ok("GetStage", json!({"apiId": api, "stageName": "$default"}), json!({}));
    assert_eq!(stage["autoDeploy"], true);
    let deployment = text(&stage, "deploymentId");
    let labels = json!({"apiId": api, "deploymentId": deployment});
    assert_eq!(world.ok("GetDeployment", labels, json!({}))["autoDeployed"], true);
    let route = text(&routes["items"][0], "routeId");
    let refused = world.refused("DeleteRoute", json!({"apiId": api, "routeId": route}), json!({}));
    assert!(refused.contains("managed by API Gateway"), "{refused}");
    let target = json!({"target": "https://other.example"});
    world.ok("UpdateApi", json!({"apiId": api}), target);
    let integrations = world.ok("GetIntegrations", json!({"apiId": api}), json!({}));
    assert_eq!(integrations["items"][0]["integrationUri"], "https://other.example");
}

#[test]
fn a_route_key_exists_once_whatever_its_variables_are_called() {
    let mut world = World::new();
    let api = world.api("HTTP");
    let at = json!({"apiId": api});
    world.ok("CreateRoute", at.clone(), json!({"routeKey": "GET /a/{x}"}));
    world.ok("CreateRoute", at.clone(), json!({"routeKey": "GET /a/{x+}"}));
    let twice = world.refused("CreateRoute", at.clone(), json!({"routeKey": "GET /a/{y}"}));
    assert!(twice.starts_with("ConflictException: Route with key GET /a/{y}"), "{twice}");
    for bad in ["GET", "get /a", "FETCH /a", "GET a", ""] {
        let refused = world.refused("CreateRoute", at.clone(), json!({"routeKey": bad}));
        assert!(refused.contains("not formatted properly"), "{bad}: {refused}");
    }
}

#[test]
fn scopes_need_a_jwt_route_and_custom_needs_an_authorizer() {
    let mut world = World::new();
    let api = world.api("HTTP");
    let at = json!({"apiId": api});
    let scopes = json!({"routeKey": "GET /a", "authorizationScopes": ["read"]});
    assert_eq!(
        world.refused("CreateRoute", at.clone(), scopes),
        "BadRequestException: Invalid Route authorization type specified. Authorization Scopes are \
         only valid for COGNITO_USER_POOLS and JWT authorization types"
    );
    let custom = json!({"routeKey": "GET /a", "authorizationType": "CUSTOM"});
    assert!(
        world.refused("CreateRoute", at.clone(), custom).contains("requires a valid authorizer")
    );
    let jwt = json!({
        "name": "j", "authorizerType": "JWT", "identitySource": ["$request.header.Authorization"],
        "jwtConfiguration": {"issuer": "https://issuer.example", "audience": ["a"]}
    });
    let id = text(&world.ok("CreateAuthorizer", at.clone(), jwt), "authorizerId");
    let route = json!({
        "routeKey": "GET /a", "authorizationType": "JWT", "authorizerId": id,
        "authorizationScopes": ["read"]
    });
    world.ok("CreateRoute", at.clone(), route);
    let labels = json!({"apiId": api, "authorizerId": id});
    assert!(world.refused("DeleteAuthorizer", labels, json!({})).starts_with("ConflictException"));
}

/// Seen in aws/aws-cdk issue 9076.
#[test]
fn cors_with_credentials_for_everybody_is_refused() {
    let mut world = World::new();
    let cors = json!({"allowOrigins": ["*"], "allowCredentials": true});
    let body = json!({"name": "c", "protocolType": "HTTP", "corsConfiguration": cors});
    assert_eq!(
        world.refused("CreateApi", json!({}), body),
        "BadRequestException: allow-credentials is not supported if 'allow-origin' is *"
    );
    let body = json!({"name": "c", "protocolType": "HTTP", "corsConfiguration": {"maxAge": 5}});
    let api = text(&world.ok("CreateApi", json!({}), body), "apiId");
    world.ok("DeleteCorsConfiguration", json!({"apiId": api}), json!({}));
    assert!(world.ok("GetApi", json!({"apiId": api}), json!({}))["corsConfiguration"].is_null());
}

#[test]
fn an_update_replaces_what_is_given_and_empty_entries_go() {
    let mut world = World::new();
    let api = world.api("HTTP");
    let body = json!({
        "integrationType": "HTTP_PROXY", "integrationMethod": "GET", "description": "d",
        "integrationUri": "https://a.example",
        "requestParameters": {"append:header.a": "1", "append:header.b": "2"},
        "responseParameters": {"200": {"append:header.x": "y"}}
    });
    let made = world.ok("CreateIntegration", json!({"apiId": api}), body);
    assert_eq!(
        (&made["timeoutInMillis"], &made["connectionType"]),
        (&json!(30_000), &json!("INTERNET"))
    );
    let labels = json!({"apiId": api, "integrationId": made["integrationId"]});
    let change = json!({
        "description": "", "requestParameters": {"append:header.a": ""},
        "responseParameters": {"200": {}}
    });
    let now = world.ok("UpdateIntegration", labels, change);
    assert_eq!(now["requestParameters"], json!({"append:header.b": "2"}));
    assert_eq!((&now["responseParameters"], &now["description"]), (&Value::Null, &Value::Null));
    assert_eq!(now["integrationUri"], "https://a.example");
}

#[test]
fn an_integration_in_use_stays() {
    let mut world = World::new();
    let api = world.api("HTTP");
    let at = json!({"apiId": api});
    let body = json!({
        "integrationType": "HTTP_PROXY", "integrationMethod": "ANY", "integrationUri": "https://a"
    });
    let id = text(&world.ok("CreateIntegration", at.clone(), body), "integrationId");
    let route = json!({"routeKey": "GET /", "target": format!("integrations/{id}")});
    let route = text(&world.ok("CreateRoute", at.clone(), route), "routeId");
    let labels = json!({"apiId": api, "integrationId": id});
    assert!(world.refused("DeleteIntegration", labels.clone(), json!({})).contains("GET /"));
    world.ok("DeleteRoute", json!({"apiId": api, "routeId": route}), json!({}));
    world.ok("DeleteIntegration", labels, json!({}));
}

#[test]
fn deployments_are_made_by_hand_or_by_stages() {
    let mut world = World::new();
    let api = world.api("HTTP");
    let at = json!({"apiId": api});
    assert_eq!(
        world.refused("CreateDeployment", at.clone(), json!({})),
        "BadRequestException: At least one route is required before deploying the Api."
    );
    world.ok("CreateRoute", at.clone(), json!({"routeKey": "$default"}));
    let by_hand = text(&world.ok("CreateDeployment", at.clone(), json!({})), "deploymentId");
    let stage = json!({"stageName": "dev", "deploymentId": by_hand});
    world.ok("CreateStage", at.clone(), stage);
    let labels = json!({"apiId": api, "deploymentId": by_hand});
    assert!(world.refused("DeleteDeployment", labels, json!({})).contains("Active stages"));
    let auto =
        world.ok("CreateStage", at.clone(), json!({"stageName": "auto", "autoDeploy": true}));
    let first = text(&auto, "deploymentId");
    let stage_at = json!({"apiId": api, "stageName": "auto"});
    // A stage's own settings deploy nothing; a route does.
    let limits = json!({"description": "x", "defaultRouteSettings": {"throttlingBurstLimit": 5}});
    let limited = world.ok("UpdateStage", stage_at.clone(), limits);
    let wanted = json!({"throttlingBurstLimit": 5, "detailedMetricsEnabled": false});
    assert_eq!(limited["defaultRouteSettings"], wanted);
    let now = world.ok("GetStage", stage_at.clone(), json!({}));
    assert_eq!(text(&now, "deploymentId"), first);
    world.ok("CreateRoute", at.clone(), json!({"routeKey": "GET /new"}));
    let now = world.ok("GetStage", stage_at.clone(), json!({}));
    assert_ne!(text(&now, "deploymentId"), first);
    let pinned = json!({"deploymentId": by_hand});
    assert!(world.refused("UpdateStage", stage_at, pinned).contains("AutoDeploy"));
    let dev = world.ok("GetStage", json!({"apiId": api, "stageName": "dev"}), json!({}));
    assert_eq!(text(&dev, "deploymentId"), by_hand);
}

#[test]
fn websocket_parts_belong_to_websocket_apis() {
    let mut world = World::new();
    let http = world.api("HTTP");
    let socket = world.api("WEBSOCKET");
    let model = json!({"name": "m", "schema": "{\"properties\":{\"a\":{\"type\":\"string\"}}}"});
    let refused = world.refused("CreateModel", json!({"apiId": http}), model.clone());
    assert!(refused.contains("only supported for WEBSOCKET"), "{refused}");
    let made = world.ok("CreateModel", json!({"apiId": socket}), model);
    let labels = json!({"apiId": socket, "modelId": made["modelId"]});
    let template = world.ok("GetModelTemplate", labels, json!({}));
    assert!(text(&template, "value").contains("\"a\" : \"$inputRoot.a\""), "{template}");
    let route = world.ok("CreateRoute", json!({"apiId": socket}), json!({"routeKey": "$connect"}));
    let labels = json!({"apiId": socket, "routeId": route["routeId"]});
    world.ok("CreateRouteResponse", labels.clone(), json!({"routeResponseKey": "$default"}));
    assert!(
        world
            .refused("CreateRouteResponse", labels, json!({"routeResponseKey": "$default"}))
            .starts_with("ConflictException")
    );
    let guarded = json!({"routeKey": "send", "authorizationType": "AWS_IAM"});
    let refused = world.refused("CreateRoute", json!({"apiId": socket}), guarded);
    assert!(refused.contains("$connect route only"), "{refused}");
}

#[test]
fn domains_and_mappings_are_v1s_objects_seen_from_v2() {
    let mut world = World::new();
    let api = world.api("HTTP");
    world.ok("CreateStage", json!({"apiId": api}), json!({"stageName": "$default"}));
    let configuration = json!([{"certificateArn": "arn:c", "endpointType": "REGIONAL"}]);
    let body = json!({"domainName": "API.example.com", "domainNameConfigurations": configuration});
    let domain = world.ok("CreateDomainName", json!({}), body.clone());
    assert_eq!(domain["domainName"], "api.example.com");
    assert_eq!(domain["domainNameConfigurations"][0]["domainNameStatus"], "AVAILABLE");
    // Clients make DNS alias records of it.
    assert!(domain["domainNameConfigurations"][0]["hostedZoneId"].is_string());
    assert!(world.refused("CreateDomainName", json!({}), body).starts_with("ConflictException"));
    let at = json!({"domainName": "api.example.com"});
    let mapping = json!({"apiId": api, "stage": "$default", "apiMappingKey": "shop/v1"});
    let made = world.ok("CreateApiMapping", at.clone(), mapping.clone());
    assert_eq!(made["apiMappingKey"], "shop/v1");
    let slash = json!({"apiId": api, "stage": "$default", "apiMappingKey": "shop/"});
    assert_eq!(
        world.refused("CreateApiMapping", at.clone(), slash),
        "BadRequestException: API mapping key should not end with a '/'."
    );
    let labels = json!({"domainName": "api.example.com", "apiMappingId": made["apiMappingId"]});
    let moved =
        world.ok("UpdateApiMapping", labels.clone(), json!({"apiId": api, "apiMappingKey": ""}));
    assert_eq!(
        (&moved["apiMappingId"], &moved["apiMappingKey"]),
        (&made["apiMappingId"], &json!(""))
    );
    assert_eq!(world.ok("GetApiMapping", labels.clone(), json!({})), moved);
    let refused = world.refused("DeleteApi", json!({"apiId": api}), json!({}));
    assert!(refused.contains("remove all API mappings"), "{refused}");
    world.ok("DeleteApiMapping", labels, json!({}));
    world.ok("DeleteApi", json!({"apiId": api}), json!({}));
    assert!(world.refused("GetStages", json!({"apiId": api}), json!({})).contains(&api));
}

#[test]
fn lists_come_in_pages() {
    let mut world = World::new();
    for _ in 0..5 {
        world.api("HTTP");
    }
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut query = json!({"maxResults": "2"});
        if !token.is_null() {
            query["nextToken"] = token;
        }
        let page = world.ok("GetApis", query, json!({}));
        seen.extend(page["items"].as_array().unwrap().iter().map(|api| text(api, "apiId")));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert!(world.run("GetApis", json!({"maxResults": "x"}), json!({})).is_err());
}

#[test]
fn tags_are_set_shown_and_taken_away() {
    let mut world = World::new();
    let api = world.api("HTTP");
    let at = json!({"resource-arn": format!("arn:aws:apigateway:eu-central-1::/apis/{api}")});
    world.ok("TagResource", at.clone(), json!({"tags": {"team": "a", "env": "b"}}));
    let mut less = at.clone();
    less["tagKeys"] = json!(["env"]);
    world.ok("UntagResource", less, json!({}));
    assert_eq!(world.ok("GetTags", at.clone(), json!({}))["tags"], json!({"team": "a"}));
    assert!(world.run("TagResource", at, json!({"tags": {"aws:x": "y"}})).is_err());
}

const SHOP: &str = r##"
openapi: 3.0.1
info: { title: shop, version: "7", description: sells }
servers:
  - url: https://old.example/{basePath}
    variables: { basePath: { default: a/b } }
    x-amazon-apigateway-endpoint-configuration: { disableExecuteApiEndpoint: true }
tags: [{ name: team, x-amazon-apigateway-tag-value: sales }]
x-amazon-apigateway-cors: { allowOrigins: ["https://x.example"], maxAge: 10 }
paths:
  /$default:
    x-amazon-apigateway-any-method:
      isDefaultRoute: true
      x-amazon-apigateway-integration: { $ref: "#/components/x-amazon-apigateway-integrations/all" }
  /pets/{id}:
    get:
      operationId: getPet
      security: [{ jwt: [read] }]
      x-amazon-apigateway-integration: { $ref: "#/components/x-amazon-apigateway-integrations/all" }
    post:
      requestBody: { content: {} }
      x-amazon-apigateway-auth: { type: aws_iam }
      x-amazon-apigateway-integration:
        type: aws_proxy
        httpMethod: POST
        uri: arn:aws:lambda:eu-central-1:123456789012:function:f
        payloadFormatVersion: "2.0"
        timeoutInMillis: 5000
components:
  x-amazon-apigateway-integrations:
    all: { type: http_proxy, httpMethod: ANY, uri: "https://b.example", payloadFormatVersion: "1.0" }
  securitySchemes:
    jwt:
      type: oauth2
      x-amazon-apigateway-authorizer:
        type: jwt
        identitySource: $request.header.Authorization
        jwtConfiguration: { issuer: "https://issuer.example", audience: [a] }
"##;

/// An API without its ids.
fn contents(world: &mut World, api: &str) -> Value {
    let at = json!({"apiId": api});
    let mut found = json!({"api": world.ok("GetApi", at.clone(), json!({}))});
    for name in ["apiId", "apiEndpoint"] {
        found["api"].as_object_mut().unwrap().shift_remove(name);
    }
    let integrations = world.ok("GetIntegrations", at.clone(), json!({}))["items"].clone();
    let authorizers = world.ok("GetAuthorizers", at.clone(), json!({}))["items"].clone();
    let without = |list: &Value, key: &str, id: &Value, name: &str| {
        let found = list.as_array().unwrap().iter().find(|one| &one[key] == id);
        let mut found = found.cloned().unwrap_or_default();
        if let Some(found) = found.as_object_mut() {
            found.shift_remove(key);
        }
        (name.to_owned(), found)
    };
    let mut routes = serde_json::Map::new();
    for route in world.ok("GetRoutes", at, json!({}))["items"].as_array().unwrap() {
        let mut route = route.as_object().unwrap().clone();
        route.shift_remove("routeId");
        let target = route.shift_remove("target").unwrap_or_default();
        let target = json!(target.as_str().unwrap_or("").trim_start_matches("integrations/"));
        route.extend([without(&integrations, "integrationId", &target, "integration")]);
        if let Some(id) = route.shift_remove("authorizerId") {
            route.extend([without(&authorizers, "authorizerId", &id, "authorizer")]);
        }
        routes.insert(route["routeKey"].as_str().unwrap().to_owned(), Value::Object(route));
    }
    found["routes"] = Value::Object(routes);
    found
}

#[test]
fn a_document_becomes_an_api_and_its_export_the_same_api() {
    let mut world = World::new();
    let made = world.ok("ImportApi", json!({}), json!({"body": SHOP}));
    assert_eq!(made["name"], "shop");
    assert_eq!(made["tags"], json!({"team": "sales"}));
    assert!(made["importInfo"][0].as_str().unwrap().contains("POST /pets/{id}"), "{made}");
    let api = text(&made, "apiId");
    let first = contents(&mut world, &api);
    assert_eq!(first["routes"]["GET /pets/{id}"]["authorizationScopes"], json!(["read"]));
    assert_eq!(first["routes"]["POST /pets/{id}"]["authorizationType"], "AWS_IAM");
    assert_eq!(first["routes"]["$default"]["integration"]["integrationUri"], "https://b.example");
    for kind in ["JSON", "YAML"] {
        let at = json!({"apiId": api, "specification": "OAS30", "outputType": kind});
        let exported = world.ok("ExportApi", at, json!({}));
        let again = world.ok("ImportApi", json!({}), json!({"body": exported}));
        assert_eq!(contents(&mut world, &text(&again, "apiId")), first, "{kind}: {exported}");
    }
}

#[test]
fn a_reimport_replaces_everything_and_keeps_ids_of_what_stays() {
    let mut world = World::new();
    let api = text(&world.ok("ImportApi", json!({}), json!({"body": SHOP})), "apiId");
    let at = json!({"apiId": api});
    let ids = |world: &mut World| -> Vec<(String, String)> {
        let routes = world.ok("GetRoutes", at.clone(), json!({}));
        let routes = routes["items"].as_array().unwrap().clone();
        routes.iter().map(|route| (text(route, "routeKey"), text(route, "routeId"))).collect()
    };
    let before = ids(&mut world);
    let less = SHOP.replace("/pets/{id}", "/cats/{id}");
    world.ok("ReimportApi", at.clone(), json!({"body": less}));
    let after = ids(&mut world);
    let default = |found: &[(String, String)]| {
        found.iter().find(|(key, _)| key == "$default").unwrap().1.clone()
    };
    assert_eq!(default(&before), default(&after));
    assert!(after.iter().any(|(key, _)| key == "GET /cats/{id}"));
    assert!(!after.iter().any(|(key, _)| key == "GET /pets/{id}"));
    // A document that is refused changes nothing.
    let broken = SHOP.replace("[{ jwt: [read] }]", "[{ jwt: [read] }, { jwt: [] }]");
    let refused = world.refused("ReimportApi", at.clone(), json!({"body": broken}));
    assert!(refused.contains("several security requirements"), "{refused}");
    assert_eq!(ids(&mut world), after);
}

#[test]
fn base_paths_are_ignored_prepended_or_split() {
    for (mode, key) in [
        ("ignore", "GET /pets/{id}"),
        ("prepend", "GET /a/b/pets/{id}"),
        ("split", "GET /b/pets/{id}"),
    ] {
        let mut world = World::new();
        let made = world.ok("ImportApi", json!({"basepath": mode}), json!({"body": SHOP}));
        let routes = world.ok("GetRoutes", json!({"apiId": text(&made, "apiId")}), json!({}));
        let routes = routes["items"].as_array().unwrap();
        assert!(routes.iter().any(|route| route["routeKey"] == key), "{mode}: {routes:?}");
    }
}

#[test]
fn what_is_left_out_is_a_warning_or_an_error() {
    let mut world = World::new();
    let document = SHOP.replace("type: aws_proxy", "type: aws");
    let body = json!({"body": document});
    let made = world.ok("ImportApi", json!({}), body.clone());
    assert!(made["warnings"][0].as_str().unwrap().contains("'AWS' is not supported"), "{made}");
    let refused = world.refused("ImportApi", json!({"failOnWarnings": true}), body);
    assert!(refused.contains("Warnings found during import"), "{refused}");
    for bad in ["swagger: '2.0'", "{", "", "[1]", "openapi: 3.1.0"] {
        assert!(world.run("ImportApi", json!({}), json!({"body": bad})).is_err(), "{bad}");
    }
}

/// Every operation of the model but the portals is here, or is on the list of what is not.
#[test]
fn no_operation_is_forgotten() {
    let model = include_str!("../protocol/apigatewayv2.json");
    let model: Value = serde_json::from_str(model).unwrap();
    let handled: Vec<&str> =
        OPERATIONS.iter().flat_map(|list| list.iter()).map(|(name, _)| *name).collect();
    let portal = |name: &str| name.contains("Portal") || name.contains("Product");
    let missing: Vec<&String> = model["operations"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !portal(name) && !handled.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
