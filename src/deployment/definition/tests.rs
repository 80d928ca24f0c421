//! What is served comes out as the OpenAPI reader would have it; the rest is named place by place.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::rest_api::{ContentHandling, IntegrationKind, IntegrationResponse, Passthrough};
use crate::model::stage::MethodSettings;

fn object(value: Value) -> Body {
    match value {
        Value::Object(body) => body,
        other => panic!("{other}"),
    }
}

/// One GET of `/pets/{id}` that a MOCK answers.
fn definition() -> Value {
    json!({
        "restApi": {
            "id": "a1b2c3d4e5", "name": "shop", "apiKeySource": "HEADER",
            "endpointConfiguration": {"types": ["REGIONAL"], "ipAddressType": "ipv4"},
            "binaryMediaTypes": ["image/png"], "minimumCompressionSize": 1024,
            "disableExecuteApiEndpoint": false,
        },
        "resources": [
            {"id": "root", "path": "/"},
            {"id": "res001", "path": "/pets/{id}", "resourceMethods": {"GET": {
                "httpMethod": "GET", "authorizationType": "NONE", "apiKeyRequired": false,
                "operationName": "getPet",
                "requestParameters": {"method.request.path.id": true, "method.request.querystring.q": false},
                "methodResponses": {"200": {"statusCode": "200"}},
                "methodIntegration": mock(),
            }}},
        ],
        "models": [{"name": "Empty"}], "requestValidators": [],
        "authorizers": [{"id": "unused", "type": "TOKEN"}], "gatewayResponses": [],
    })
}

fn mock() -> Value {
    json!({
        "type": "MOCK", "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": 29000,
        "cacheNamespace": "res001", "cacheKeyParameters": ["method.request.path.id"],
        "requestTemplates": {"application/json": "{\"statusCode\": 204}"},
        "integrationResponses": {"204": {
            "statusCode": "204", "selectionPattern": "",
            "responseParameters": {"method.response.header.x": "'y'"},
            "responseTemplates": {"application/json": null},
        }},
    })
}

fn http(kind: &str) -> Value {
    json!({
        "type": kind, "httpMethod": "get", "uri": "https://${stageVariables.host}/pets/{id}",
        "connectionType": "INTERNET", "passthroughBehavior": "WHEN_NO_MATCH",
        "timeoutInMillis": 5000, "tlsConfig": {"insecureSkipVerification": true},
        "requestParameters": {"integration.request.path.id": "method.request.path.id"},
        "integrationResponses": {"200": {"statusCode": "200", "selectionPattern": "2\\d\\d"}},
    })
}

fn stage() -> Value {
    json!({
        "stageName": "prod", "deploymentId": "dep001", "cacheClusterEnabled": false,
        "methodSettings": {}, "tracingEnabled": true, "variables": {"host": "b.test"},
    })
}

fn served(definition: &Value, stage: &Value) -> StageDeployment {
    match read(definition, stage) {
        Ok(deployment) => deployment,
        Err(places) => panic!("{places:#?}"),
    }
}

fn read(definition: &Value, stage: &Value) -> Result<StageDeployment, Vec<Unserved>> {
    stage_deployment(definition, &object(stage.clone()), Vec::new(), &Limits::default())
}

const METHOD: &str = "/resources/1/resourceMethods/GET";

/// The definition with a member set, by JSON pointer of its owner.
fn with(owner: &str, member: &str, value: Value) -> Value {
    let mut definition = definition();
    definition.pointer_mut(owner).unwrap()[member] = value;
    definition
}

/// The one place that is refused.
#[track_caller]
fn refused(definition: &Value, stage: &Value) -> (String, String) {
    let mut places = read(definition, stage).unwrap_err();
    assert_eq!(places.len(), 1, "{places:#?}");
    let place = places.remove(0);
    (place.place, place.what)
}

#[test]
fn a_definition_becomes_the_models_api() {
    let found = served(&definition(), &stage());
    assert_eq!(found.deployment_id.as_str(), "dep001");
    let api = &found.api;
    assert_eq!((api.id.as_str(), api.name.as_str()), ("a1b2c3d4e5", "shop"));
    assert_eq!(api.endpoint_type, EndpointType::Regional);
    assert_eq!(api.binary_media_types, ["image/png"]);
    assert_eq!(api.minimum_compression_size, Some(1024));
    // The root has no methods: it answers nothing.
    let [resource] = api.resources.as_slice() else { panic!() };
    assert_eq!((resource.id.as_str(), resource.path.as_str()), ("res001", "/pets/{id}"));
    let method = &resource.methods[0];
    assert_eq!(method.operation_name.as_deref(), Some("getPet"));
    assert!(method.request_parameters["method.request.path.id"]);
    assert!(!method.request_parameters["method.request.querystring.q"]);
    let integration = &method.integration;
    assert_eq!(integration.kind, IntegrationKind::Mock);
    assert_eq!(integration.request_templates["application/json"], "{\"statusCode\": 204}");
    assert_eq!(integration.cache_namespace.as_deref(), Some("res001"));
    assert_eq!(integration.cache_key_parameters, ["method.request.path.id"]);
    let [response] = integration.responses.as_slice() else { panic!() };
    let IntegrationResponse {
        selection_pattern,
        status_code,
        response_parameters,
        response_templates,
        content_handling: _,
    } = response;
    assert_eq!((selection_pattern, *status_code), (&None, 204));
    assert_eq!(response_templates["application/json"], "");
    assert_eq!(response_parameters["method.response.header.x"], "'y'");
}

#[test]
fn backends_keep_their_address_and_limits() {
    for (kind, responses) in [("HTTP", 1), ("HTTP_PROXY", 0)] {
        let found = served(&with(METHOD, "methodIntegration", http(kind)), &stage());
        let integration = &found.api.resources[0].methods[0].integration;
        assert_eq!(integration.uri, "https://${stageVariables.host}/pets/{id}");
        assert_eq!(integration.http_method.as_deref(), Some("GET"));
        assert_eq!(integration.timeout_ms, 5_000);
        assert!(integration.insecure_skip_verification);
        assert_eq!(integration.responses.len(), responses);
    }
    let limits = Limits { integration_timeout_max_ms: 700 };
    let body = object(stage());
    let found = stage_deployment(&definition(), &body, Vec::new(), &limits).unwrap();
    assert_eq!(found.api.resources[0].methods[0].integration.timeout_ms, 700);
}

/// AWS: "Mapping template transformations for REST APIs": text outside of the language is output.
#[test]
fn templates_without_the_language_are_kept() {
    let mut integration = http("HTTP");
    integration["passthroughBehavior"] = json!("NEVER");
    integration["requestTemplates"] = json!({"text/plain": "in", "$default": "other"});
    integration["integrationResponses"]["200"]["responseTemplates"] = json!({"text/xml": "<out/>"});
    let found = served(&with(METHOD, "methodIntegration", integration), &stage());
    let integration = &found.api.resources[0].methods[0].integration;
    assert_eq!(integration.passthrough, Passthrough::Never);
    assert_eq!(integration.request_templates["text/plain"], "in");
    assert_eq!(integration.request_templates["$default"], "other");
    assert_eq!(integration.responses[0].response_templates["text/xml"], "<out/>");
}

#[test]
fn the_api_s_own_places_are_named() {
    for (member, value, place) in [
        ("policy", json!("{}"), "restApi policy"),
        ("securityPolicy", json!("SecurityPolicy_TLS13_2025_EDGE"), "restApi securityPolicy"),
        ("endpointAccessMode", json!("STRICT"), "restApi endpointAccessMode"),
        ("minimumCompressionSize", json!(10_485_761), "restApi minimumCompressionSize"),
        (
            "endpointConfiguration",
            json!({"types": ["PRIVATE"], "vpcEndpointIds": ["vpce-1"]}),
            "restApi endpointConfiguration vpcEndpointIds",
        ),
    ] {
        assert_eq!(refused(&with("/restApi", member, value), &stage()).0, place);
    }
}

/// rest-data-plane 1.1.
#[test]
fn the_default_endpoint_is_on_unless_switched_off() {
    for (value, disabled) in [(json!(true), true), (json!(false), false), (json!(null), false)] {
        let found = served(&with("/restApi", "disableExecuteApiEndpoint", value), &stage());
        assert_eq!(found.api.default_endpoint_disabled, disabled);
    }
}

#[test]
fn whoever_would_be_kept_out_is_not_let_in() {
    for (member, value, place) in [
        ("authorizationType", json!("AWS_IAM"), "authorizationType"),
        ("authorizationType", json!("CUSTOM"), "authorizationType"),
        ("apiKeyRequired", json!(true), "apiKeyRequired"),
    ] {
        let (found, _) = refused(&with(METHOD, member, value), &stage());
        assert_eq!(found, format!("/pets/{{id}} GET {place}"));
    }
}

fn validated(models: Value) -> Value {
    let mut definition = with(METHOD, "requestValidatorId", json!("val001"));
    definition["requestValidators"] = json!([{
        "id": "val001", "validateRequestBody": true, "validateRequestParameters": "true",
    }]);
    definition["resources"][1]["resourceMethods"]["GET"]["requestModels"] =
        json!({"application/json": "Pet"});
    definition["models"] = models;
    definition
}

#[test]
fn a_validator_takes_the_models_it_needs_along() {
    let pet = json!([{"name": "Pet", "schema": "{\"type\":\"object\"}"}]);
    let found = served(&validated(pet), &stage());
    assert_eq!(found.api.models["Pet"], "{\"type\":\"object\"}");
    let validation = found.api.resources[0].methods[0].validation.clone().unwrap();
    assert!(validation.parameters);
    assert_eq!(validation.body.unwrap()["application/json"], "Pet");
    for broken in [
        json!([]),
        json!([{"name": "Pet", "schema": "<xml/>"}]),
        json!([{"name": "Pet", "schema": "{\"$ref\":\"http://elsewhere/x\"}"}]),
        json!([{"name": "Pet", "schema": "{\"type\":\"thing\"}"}]),
    ] {
        assert_eq!(refused(&validated(broken), &stage()).0, "models Pet");
    }
    // A validator that validates nothing binds nobody.
    let mut idle = validated(json!([]));
    idle["requestValidators"] = json!([{"id": "val001", "validateRequestBody": false}]);
    assert_eq!(served(&idle, &stage()).api.resources[0].methods[0].validation, None);
    let unknown = with(METHOD, "requestValidatorId", json!("gone"));
    assert_eq!(refused(&unknown, &stage()).0, "/pets/{id} GET requestValidatorId");
}

#[test]
fn gateway_responses_come_along_and_their_places_are_named() {
    let own = json!([{"responseType": "DEFAULT_4XX", "statusCode": "418",
        "responseParameters": {"gatewayresponse.header.a": "'b'"},
        "responseTemplates": {"text/plain": "no"}, "defaultResponse": false}]);
    let found = served(&with("", "gatewayResponses", own), &stage());
    let own = &found.api.gateway_responses["DEFAULT_4XX"];
    assert_eq!(own.status_code, Some(418));
    assert_eq!(own.response_parameters["gatewayresponse.header.a"], "'b'");
    assert_eq!(own.response_templates["text/plain"], "no");
    let bad = json!([{"responseType": "THROTTLED",
        "responseParameters": {"gatewayresponse.header.a": "method.request.body"}}]);
    let (place, _) = refused(&with("", "gatewayResponses", bad), &stage());
    assert_eq!(place, "gatewayResponses THROTTLED responseParameters gatewayresponse.header.a");
}

#[test]
fn an_integration_s_places_are_named() {
    let refuse = |integration: Value, place: &str| {
        let (found, what) = refused(&with(METHOD, "methodIntegration", integration), &stage());
        assert_eq!(found, format!("/pets/{{id}} GET integration {place}"), "{what}");
    };
    for (member, value) in [
        ("credentials", json!("arn:aws:iam::000000000000:role/x")),
        ("responseTransferMode", json!("STREAM")),
        ("uri", json!("ftp://b.test/")),
        ("uri", json!("http://b.test/{")),
    ] {
        let mut integration = http("HTTP");
        integration[member] = value;
        refuse(integration, member);
    }
    let mut templated = http("HTTP");
    templated["requestTemplates"] = json!({"application/json": 7, "text/xml": "<a/>"});
    refuse(templated, "requestTemplates application/json");
    let mut templated = mock();
    templated["integrationResponses"]["204"]["responseTemplates"] = json!({"$default": "1"});
    refuse(templated, "integrationResponses 204");
    for kind in ["AWS", "AWS_PROXY"] {
        refuse(json!({"type": kind, "uri": "arn:x"}), "uri");
    }
    let function = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations";
    let streamed = "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/f/\
                    response-streaming-invocations";
    for wrong in [
        json!({"type": "AWS_PROXY", "uri": function, "responseTransferMode": "STREAM"}),
        json!({"type": "AWS_PROXY", "uri": streamed}),
        json!({"type": "AWS_PROXY", "uri": "arn:aws:apigateway:us-east-1:sqs:path/q"}),
        json!({"type": "AWS", "uri": "arn:aws:apigateway:us-east-1:sqs:queue"}),
    ] {
        refuse(wrong, "uri");
    }
    let own = "arn:aws:iam::*:user/*";
    refuse(json!({"type": "AWS", "uri": function, "credentials": own}), "credentials");
}

/// rest-data-plane 7.10 and 7.14.
#[test]
fn functions_and_services_are_served() {
    let streamed = "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/f/\
                    response-streaming-invocations";
    for integration in [
        json!({"type": "AWS_PROXY", "httpMethod": "POST",
            "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations"}),
        json!({"type": "AWS_PROXY", "uri": "${stageVariables.function}"}),
        json!({"type": "AWS_PROXY", "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/\
            functions/arn:aws:lambda:us-east-1:0:function:${stageVariables.f}/invocations"}),
        json!({"type": "AWS", "uri": "arn:aws:apigateway:us-east-1:b.s3:path/{key}",
            "credentials": "arn:aws:iam::000000000000:role/x",
            "integrationResponses": {"200": {"statusCode": "200"}}}),
        json!({"type": "AWS_PROXY", "httpMethod": "POST",
            "uri": "arn:aws:apigateway:us-east-1:firehose:action/PutRecord",
            "credentials": "arn:aws:iam::000000000000:role/x"}),
    ] {
        let found = served(&with(METHOD, "methodIntegration", integration), &stage());
        assert!(!found.api.resources[0].methods[0].integration.is_streamed);
    }
    let long = json!({"type": "AWS_PROXY", "uri": streamed, "responseTransferMode": "STREAM",
        "timeoutInMillis": 900_000});
    let found = served(&with(METHOD, "methodIntegration", long), &stage());
    let integration = &found.api.resources[0].methods[0].integration;
    assert!(integration.is_streamed);
    assert_eq!(integration.timeout_ms, 900_000);
}

/// rest-data-plane 5, 7.2, 7.9: templates compute, contents are converted, empty ones are none.
#[test]
fn templates_and_conversions_are_served() {
    let mut integration = mock();
    integration["contentHandling"] = json!("CONVERT_TO_TEXT");
    integration["requestTemplates"] =
        json!({"application/json": "#set($x = 1){\"statusCode\": $x}", "text/xml": null});
    integration["integrationResponses"]["204"]["contentHandling"] = json!("CONVERT_TO_BINARY");
    integration["integrationResponses"]["204"]["responseTemplates"] =
        json!({"a/b": "$input.body ## one"});
    let found = served(&with(METHOD, "methodIntegration", integration), &stage());
    let integration = &found.api.resources[0].methods[0].integration;
    assert_eq!(integration.request_templates["text/xml"], "");
    assert_eq!(integration.content_handling, Some(ContentHandling::ConvertToText));
    let response = &integration.responses[0];
    assert_eq!(response.content_handling, Some(ContentHandling::ConvertToBinary));
    assert_eq!(response.response_templates["a/b"], "$input.body ## one");
    // A proxy keeps templates without effect.
    let mut proxy = http("HTTP_PROXY");
    proxy["requestTemplates"] = json!({"application/json": "$input.body"});
    let found = served(&with(METHOD, "methodIntegration", proxy), &stage());
    assert!(found.api.resources[0].methods[0].integration.request_templates.is_empty());
    // A MOCK without a template takes its status from the caller's body.
    let mut bare = mock();
    bare["requestTemplates"] = json!({});
    served(&with(METHOD, "methodIntegration", bare), &stage());
}

/// Nothing is left to fail when the stage is compiled.
#[test]
fn what_does_not_compile_is_named_as_well() {
    let refuse = |member: &str, value: Value, place: &str| {
        let mut integration = http("HTTP");
        integration[member] = value;
        let mut stage = stage();
        stage["cacheClusterEnabled"] = json!(true);
        let (found, what) = refused(&with(METHOD, "methodIntegration", integration), &stage);
        assert_eq!(found, format!("/pets/{{id}} GET integration {place}"), "{what}");
    };
    let source = |text: &str| json!({"integration.request.header.x": text});
    let mapping = "requestParameters integration.request.header.x";
    refuse("requestParameters", source("method.request.body["), mapping);
    refuse("requestParameters", source("context.nothing"), mapping);
    let broken = json!({"200": {"statusCode": "200", "selectionPattern": "(x"}});
    refuse("integrationResponses", broken, "integrationResponses 200");
    let key = json!(["integration.request.path.id"]);
    refuse("cacheKeyParameters", key, "cacheKeyParameters");
    let mut logged = stage();
    logged["accessLogSettings"] = json!({"destinationArn": "arn:x", "format": "no id"});
    assert_eq!(refused(&definition(), &logged).0, "stage accessLogSettings format");
}

#[test]
fn all_places_are_named_and_their_number_is_bounded() {
    let mut definition = with(METHOD, "apiKeyRequired", json!(true));
    definition["restApi"]["policy"] = json!("{}");
    definition["resources"][1]["resourceMethods"]["POST"] =
        json!({"authorizationType": "NONE", "methodIntegration": {"type": "AWS"}});
    let places = read(&definition, &stage()).unwrap_err();
    let places: Vec<&str> = places.iter().map(|place| place.place.as_str()).collect();
    assert_eq!(
        places,
        ["restApi policy", "/pets/{id} GET apiKeyRequired", "/pets/{id} POST integration uri",]
    );
    let many: Vec<Value> = (0..500)
        .map(|n| json!({"responseType": format!("T{n}"), "responseTemplates": {"a/b": 1}}))
        .collect();
    let places = read(&with("", "gatewayResponses", json!(many)), &stage()).unwrap_err();
    assert_eq!(places.len(), PLACES_MAX + 1);
    assert_eq!(places[PLACES_MAX].what, "401 more places are not listed");
}

#[test]
fn settings_find_their_method_by_either_spelling() {
    let mut stage = stage();
    let entry = |ttl: u32| json!({"cachingEnabled": true, "cacheTtlInSeconds": ttl});
    stage["methodSettings"] = json!({
        "*/*": {
            "cachingEnabled": false, "cacheTtlInSeconds": 1, "throttlingRateLimit": -1.0,
            "throttlingBurstLimit": -1, "requireAuthorizationForCacheControl": false,
        },
        "~1pets~1{id}/GET": entry(2), "~1a~1b/GET": entry(3), "a/c/PUT": entry(4),
        "/GET": entry(5), "~1/PUT": entry(6),
    });
    let found = served(&definition(), &stage).stage;
    let default = MethodSettings {
        caching_enabled: Some(false),
        cache_ttl_seconds: 1,
        require_authorization_for_cache_control: false,
        throttling_rate_limit: None,
        throttling_burst_limit: None,
        ..MethodSettings::default()
    };
    assert_eq!(found.defaults, default);
    let ttl: Vec<(&str, u32)> =
        found.methods.iter().map(|(key, own)| (key.as_str(), own.cache_ttl_seconds)).collect();
    assert_eq!(
        ttl,
        [("pets/{id}/GET", 2), ("a/b/GET", 3), ("a/c/PUT", 4), ("/GET", 5), ("/PUT", 6)]
    );
    let api = &served(&definition(), &stage).api;
    let key = api.method_keys().next().unwrap();
    assert!(found.methods.contains_key(&key), "{key}");
}

#[test]
fn an_access_log_goes_to_a_file_within_the_data_folder() {
    for (arn, file) in [
        ("arn:aws:logs:us-east-1:000000000000:log-group:shop:*", "access-shop.log"),
        ("arn:aws:logs:us-east-1:0:log-group:/aws/../x", "access-aws-..-x.log"),
        (
            "arn:aws:firehose:us-east-1:0:deliverystream/amazon-apigateway-x",
            "access-amazon-apigateway-x.log",
        ),
        ("../../etc/passwd", "access-..-..-etc-passwd.log"),
    ] {
        let mut stage = stage();
        stage["accessLogSettings"] = json!({"destinationArn": arn, "format": "$context.requestId"});
        let log = served(&definition(), &stage).stage.access_log.unwrap();
        assert_eq!(log.destination, file);
    }
    let mut half = stage();
    half["accessLogSettings"] = json!({"destinationArn": "arn:x"});
    assert_eq!(served(&definition(), &half).stage.access_log, None);
}

/// rest-data-plane 11.1: overridden names have the canary's value, names only among the overrides
/// exist for the canary alone, others are inherited.
#[test]
fn a_canary_has_a_deployment_and_variables_of_its_own() {
    let mut stage = stage();
    stage["variables"] = json!({"host": "b.test", "kept": "k"});
    stage["canarySettings"] = json!({
        "deploymentId": "other1", "percentTraffic": 12.5, "useStageCache": true,
        "stageVariableOverrides": {"host": "c.test", "new": "n"},
    });
    let stage = object(stage);
    assert_eq!(canary_deployment_id(&stage), Some("other1"));
    let limits = Limits::default();
    let mut deployment = stage_deployment(&definition(), &stage, Vec::new(), &limits).unwrap();
    let mut other = definition();
    other["restApi"]["name"] = json!("shop, renewed");
    add_canary(&mut deployment, &other, &stage, &limits).unwrap();
    let canary = deployment.stage.canary.unwrap();
    assert_eq!(canary.deployment_id.as_str(), "other1");
    assert_eq!((canary.percent_traffic, canary.use_stage_cache), (12.5, true));
    assert_eq!(canary.api.name, "shop, renewed");
    let variables: Vec<(&str, &str)> =
        canary.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(variables, [("host", "c.test"), ("kept", "k"), ("new", "n")]);
    assert_eq!(deployment.stage.variables["host"], "b.test");
}

#[test]
fn what_a_canary_cannot_serve_is_named_as_its_own() {
    let mut stage = stage();
    stage["canarySettings"] = json!({"deploymentId": "other1", "percentTraffic": 0.0});
    let stage = object(stage);
    let limits = Limits::default();
    let mut deployment = stage_deployment(&definition(), &stage, Vec::new(), &limits).unwrap();
    let mut other = definition();
    other["restApi"]["policy"] = json!("{}");
    let places = add_canary(&mut deployment, &other, &stage, &limits).unwrap_err();
    assert_eq!(places[0].place, "canary restApi policy");
}

#[test]
fn a_link_is_read_with_what_it_leads_to() {
    let mut integration = http("HTTP_PROXY");
    integration["connectionType"] = json!("VPC_LINK");
    let refused = refused(&with(METHOD, "methodIntegration", integration.clone()), &stage());
    assert_eq!(refused.0, "/pets/{id} GET integration connectionId");
    integration["connectionId"] = json!("${stageVariables.link}");
    integration["integrationTarget"] = json!("arn:x");
    integration["tlsConfig"] = json!({"serverNameToVerify": "inside.test"});
    integration["responseTransferMode"] = json!("STREAM");
    integration["timeoutInMillis"] = json!(900_000);
    let found = served(&with(METHOD, "methodIntegration", integration.clone()), &stage());
    let read = &found.api.resources[0].methods[0].integration;
    assert_eq!(read.vpc_link.as_deref(), Some("${stageVariables.link}"));
    assert_eq!(read.integration_target.as_deref(), Some("arn:x"));
    assert_eq!(read.server_name_to_verify.as_deref(), Some("inside.test"));
    assert!(read.is_streamed);
    assert_eq!(read.timeout_ms, 900_000, "a streamed answer may take fifteen minutes");
    // An id without the connection type means nothing.
    integration["connectionType"] = json!("INTERNET");
    let found = served(&with(METHOD, "methodIntegration", integration), &stage());
    assert_eq!(found.api.resources[0].methods[0].integration.vpc_link, None);
}

#[test]
fn a_test_call_needs_no_more_than_the_method() {
    let mut definition = with(METHOD, "authorizationType", json!("AWS_IAM"));
    definition["restApi"]["policy"] = json!("{}");
    let (resource, found) = method(&definition, "res001", "GET", &Limits::default()).unwrap();
    assert_eq!(resource.path, "/pets/{id}");
    assert_eq!(found.integration.kind, IntegrationKind::Mock);
    assert!(method(&definition, "res001", "PUT", &Limits::default()).is_err());
    definition["resources"][1]["resourceMethods"]["GET"]["methodIntegration"]["type"] =
        json!("AWS");
    assert!(method(&definition, "res001", "GET", &Limits::default()).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(
        &[
            "GET",
            "MOCK",
            "HTTP",
            "HTTP_PROXY",
            "NONE",
            "/",
            "/a/{b}",
            "/{c+}",
            "{",
            "true",
            "http://b.test/{x}",
            "${stageVariables.a}",
            "'x'",
            "*/*",
            "~1a/GET",
            "",
            "é",
        ][..],
    );
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let name = prop::sample::select(
        &[
            "restApi",
            "resources",
            "resourceMethods",
            "GET",
            "methodIntegration",
            "type",
            "uri",
            "path",
            "id",
            "requestTemplates",
            "integrationResponses",
            "200",
            "statusCode",
            "methodSettings",
            "accessLogSettings",
            "canarySettings",
            "variables",
            "stageName",
            "requestParameters",
            "endpointConfiguration",
            "types",
            "cacheClusterEnabled",
            "format",
            "destinationArn",
            "percentTraffic",
            "selectionPattern",
            "responseParameters",
        ][..],
    );
    leaf.prop_recursive(7, 96, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(
                |members| Value::from_iter(members.into_iter().map(|(k, v)| (k.to_owned(), v)))
            ),
        ]
    })
}

proptest! {
    /// The definition is data of a store that others write: nothing in it may bring us down.
    #[test]
    fn no_definition_brings_us_down(definition in any_json(), stage in any_json()) {
        let stage = stage.as_object().cloned().unwrap_or_default();
        let read = stage_deployment(&definition, &stage, Vec::new(), &Limits::default());
        if let Err(places) = read {
            prop_assert!(!places.is_empty());
        }
    }

    /// Settings of a method are found however its path was spelled.
    #[test]
    fn spellings_of_a_path_are_one(parts in prop::collection::vec("[a-z{}+.~]{1,6}", 0..4)) {
        let path = parts.join("/");
        let escaped = format!("/{path}").replace('~', "~0").replace('/', "~1");
        prop_assert_eq!(settings::model_key(&format!("{escaped}/GET")), format!("{path}/GET"));
    }
}
