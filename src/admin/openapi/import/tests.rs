use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::admin::openapi::testing::{
    API, Dice, assert_round_trips, document, import, site, try_import,
};
use crate::admin::protocol::error::ErrorKind;
use crate::admin::rest::harness::{Plane, with};

const PETSTORE: &str = include_str!("../../../../topology/petstore.yaml");
const LAMBDA: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations";

/// A document with these paths, and whatever else is laid over it.
fn with_paths(paths: Value, more: Value) -> String {
    let mut document = json!({ "openapi": "3.0.1", "info": { "title": "t" }, "paths": paths });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    document.to_string()
}

/// The method of `GET /a/{b}` when the operation says this.
fn method(operation: Value, more: Value) -> (Value, Import) {
    let import = import(&with_paths(json!({ "/a/{b}": { "get": operation } }), more));
    let resources = import.definition["resources"].as_array().unwrap();
    (resources[2]["resourceMethods"]["GET"].clone(), import)
}

/// All problems of the document, without the file's name.
fn problems(text: &str) -> Vec<String> {
    match try_import(text) {
        Ok(import) => panic!("was read: {import:?}"),
        Err(err) => err
            .problems()
            .found
            .iter()
            .map(|problem| problem.to_string().trim_start_matches("api:").to_owned())
            .collect(),
    }
}

/// Exactly one problem, and it says this.
#[track_caller]
fn refused(text: &str, says: &str) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains(says), "`{says}` is not in: {}", problems[0]);
}

#[track_caller]
fn refused_integration(integration: Value, says: &str) {
    let operation = json!({
        "responses": { "200": {} },
        "x-amazon-apigateway-integration": integration,
    });
    refused(&with_paths(json!({ "/a": { "get": operation } }), json!({})), says);
}

fn resource_paths(text: &str, base_path: BasePath) -> Vec<String> {
    let options = Options { base_path, ..Options::new(API, &site()) };
    let import = read("api", text.as_bytes(), &options).unwrap();
    let resources = import.definition["resources"].as_array().unwrap();
    resources.iter().map(|resource| resource["path"].as_str().unwrap().to_owned()).collect()
}

/// `tests/data/openapi/import/*.yaml`, each with the definition, the warnings and the places it
/// comes to. `UPDATE=1` writes what came of it into the files.
#[test]
fn documents_with_each_extension_come_to_what_is_written_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openapi/import");
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let document = std::fs::read_to_string(&path).unwrap();
        let outcome = match try_import(&document) {
            Ok(import) => {
                let places = import.places.iter();
                let places = places.map(|(place, (line, column))| {
                    (place.to_owned(), Value::from(format!("{line}:{column}")))
                });
                json!({
                    "definition": import.definition,
                    "warnings": import.warnings,
                    "places": places.collect::<Map<String, Value>>(),
                })
            }
            Err(err) => {
                assert!(path.ends_with("faulty.yaml"), "{err}");
                let problems = err.problems().to_string();
                json!({ "problems": problems.lines().collect::<Vec<_>>() })
            }
        };
        let outcome = format!("{outcome:#}\n");
        let beside = path.with_extension("json");
        if !path.ends_with("faulty.yaml") {
            assert_round_trips(&document);
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&beside, &outcome).unwrap();
        }
        assert_eq!(outcome, std::fs::read_to_string(&beside).unwrap(), "{}", path.display());
        text.push_str(&document);
    }
    // Every extension of AWS's list is in one of them.
    for extension in [
        "integration:",
        "integrations:",
        "any-method:",
        "auth:",
        "authorizer:",
        "authtype:",
        "policy:",
        "cors:",
        "gateway-responses:",
        "request-validators:",
        "request-validator:",
        "binary-media-types:",
        "minimum-compression-size:",
        "api-key-source:",
        "endpoint-configuration:",
        "security-policy:",
        "endpoint-access-mode:",
        "documentation:",
        "importexport-version:",
        "tag-value:",
    ] {
        assert!(text.contains(&format!("x-amazon-apigateway-{extension}")), "{extension}");
    }
}

/// Recorded: test_import_rest_apis_with_base_path_swagger, …_oas30; AWS: "Set the OpenAPI basePath
/// property".
#[test]
fn base_paths_are_ignored_prepended_or_split() {
    let swagger = json!({
        "swagger": "2.0",
        "info": { "title": "t" },
        "basePath": "/a/b/c",
        "paths": { "/e": {}, "/": {} },
    })
    .to_string();
    assert_eq!(resource_paths(&swagger, BasePath::Ignore), ["/", "/e"]);
    assert_eq!(
        resource_paths(&swagger, BasePath::Prepend),
        ["/", "/a", "/a/b", "/a/b/c", "/a/b/c/e"]
    );
    assert_eq!(resource_paths(&swagger, BasePath::Split), ["/", "/b", "/b/c", "/b/c/e"]);
    let servers =
        |servers: Value| with_paths(json!({ "/test": {} }), json!({ "servers": servers }));
    let url = servers(json!([{ "url": "https://petstore.test/base-url/part/" }]));
    assert_eq!(resource_paths(&url, BasePath::Split), ["/", "/part", "/part/test"]);
    let variable = servers(json!([
        { "url": "https://one.test/ignored" },
        { "url": "https://two.test/{basePath}",
          "variables": { "basePath": { "default": "/base-var" } } },
    ]));
    assert_eq!(resource_paths(&variable, BasePath::Prepend), ["/", "/base-var", "/base-var/test"]);
    assert_eq!(resource_paths(&variable, BasePath::Split), ["/", "/test"]);
    assert_eq!(resource_paths(&servers(json!([{ "url": "/x" }])), BasePath::Prepend)[1], "/x");
    assert_eq!(resource_paths(&servers(json!([])), BasePath::Prepend), ["/", "/test"]);
}

/// Recorded: test_import_swagger_api.
#[test]
fn a_variable_at_the_end_of_a_path_is_declared_by_itself_a_greedy_one_is_not() {
    let text =
        with_paths(json!({ "/a/{b}/{c}": { "get": {} }, "/g/{d+}": { "get": {} } }), json!({}));
    let definition = import(&text).definition;
    let resources = definition["resources"].as_array().unwrap();
    let of = |path: &str| {
        let found = resources.iter().find(|resource| resource["path"] == path).unwrap();
        found["resourceMethods"]["GET"]["requestParameters"].clone()
    };
    assert_eq!(of("/a/{b}/{c}"), json!({ "method.request.path.c": true }));
    assert_eq!(of("/g/{d+}"), Value::Null);
}

#[test]
fn parameters_go_from_query_header_and_path_and_the_path_shares_its_own() {
    let text = with_paths(
        json!({ "/a": {
            "parameters": [
                { "$ref": "#/components/parameters/q" },
                { "name": "h", "in": "header", "required": true },
                { "name": "c", "in": "cookie" },
            ],
            "get": { "parameters": [{ "name": "h", "in": "header" }] },
        } }),
        json!({ "components": { "parameters": { "q": { "name": "q", "in": "query" } } } }),
    );
    let import = import(&text);
    assert_eq!(
        import.definition["resources"][1]["resourceMethods"]["GET"]["requestParameters"],
        json!({ "method.request.querystring.q": false, "method.request.header.h": false })
    );
}

/// Recorded: test_import_with_integer_http_status_code.
#[test]
fn status_codes_may_be_integers() {
    let text = "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  /a:\n    get:\n      responses:\n        \
                200: {description: d}\n        default: {description: d}\n      \
                x-amazon-apigateway-integration:\n        type: mock\n        responses: \
                {default: {statusCode: 200}, 404: {statusCode: 404}}\n";
    let definition = import(text).definition;
    let method = &definition["resources"][1]["resourceMethods"]["GET"];
    assert_eq!(method["methodResponses"], json!({ "200": { "statusCode": "200" } }));
    assert_eq!(
        method["methodIntegration"]["integrationResponses"],
        json!({
            "200": { "statusCode": "200" },
            "404": { "statusCode": "404", "selectionPattern": "404" },
        })
    );
}

#[test]
fn integrations_have_the_defaults_of_put_integration() {
    let integration = |integration: Value| {
        let operation = json!({ "x-amazon-apigateway-integration": integration });
        method(operation, json!({})).0["methodIntegration"].clone()
    };
    assert_eq!(
        integration(json!({ "type": "http", "uri": "http://b.test" })),
        json!({
            "type": "HTTP",
            "httpMethod": "GET",
            "uri": "http://b.test",
            "connectionType": "INTERNET",
            "passthroughBehavior": "WHEN_NO_MATCH",
            "timeoutInMillis": 29_000,
            "cacheKeyParameters": [],
        })
    );
    // Recorded: test_import_with_http_method_integration.
    let lambda = integration(json!({ "type": "aws_proxy", "uri": LAMBDA, "httpMethod": "get" }));
    assert_eq!(lambda["httpMethod"], "POST");
    assert_eq!(lambda.get("connectionType"), None);
    let templates = json!({ "text/plain": "", "$default": null, "a/b": "x" });
    let mock = integration(json!({ "type": "mock", "requestTemplates": templates }));
    assert_eq!(
        mock["requestTemplates"],
        json!({ "text/plain": null, "$default": null, "a/b": "x" })
    );
    let stream = json!({
        "type": "http_proxy", "uri": "http://b.test", "responseTransferMode": "stream",
        "timeoutInMillis": 900_000,
    });
    assert_eq!(integration(stream)["timeoutInMillis"], 900_000);
}

#[test]
fn integrations_are_refused_in_the_words_of_put_integration() {
    let http = |more: Value| {
        let mut integration = json!({ "type": "http", "uri": "http://b.test" });
        for (key, value) in more.as_object().unwrap() {
            integration[key] = value.clone();
        }
        integration
    };
    refused_integration(json!({}), "Enumeration value for IntegrationType must be non-empty");
    refused_integration(json!({ "type": "smtp" }), "`smtp` is not known here");
    for uri in ["ftp://b", "http://", "http:///x", "b.test"] {
        refused_integration(
            json!({ "type": "http_proxy", "uri": uri }),
            "Invalid HTTP endpoint specified for URI",
        );
    }
    refused_integration(json!({ "type": "aws", "uri": "x" }), "Invalid ARN specified");
    refused_integration(
        json!({ "type": "aws", "uri": "arn:aws:apigateway:r:s3:thing" }),
        "AWS ARN for integration must contain path or action",
    );
    refused_integration(
        json!({ "type": "aws_proxy", "uri": "arn:aws:apigateway:r:s3:path/b" }),
        "currently only supports Lambda function and Firehose stream invocations.",
    );
    for timeout in [json!(49), json!(29_001), json!("50")] {
        refused_integration(
            http(json!({ "timeoutInMillis": timeout })),
            "Timeout should be between 50 ms and 29000 ms",
        );
    }
    for (target, source, named) in [
        ("integration.request.header.a", "true", "true"),
        ("integration.request.body.a", "'x'", "integration.request.body.a"),
        ("integration.request.path.a", "method.request.cookie.b", "method.request.cookie.b"),
    ] {
        refused_integration(
            http(json!({ "requestParameters": { target: source } })),
            &format!(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
                 [Invalid mapping expression specified: {named}]"
            ),
        );
    }
    refused_integration(
        http(json!({ "requestTemplates": { "123": "" } })),
        "Validation Result: warnings : [], errors : [Invalid content type specified: 123]",
    );
    refused_integration(
        http(json!({ "cacheKeyParameters": ["method.request.querystring.q"] })),
        "Invalid cache key parameter specified: method.request.querystring.q",
    );
    refused_integration(
        http(json!({ "responses": { "default": {
            "statusCode": 200,
            "responseParameters": { "method.response.header.A": "'x'" },
        } } })),
        "Invalid mapping expression parameter specified: method.response.header.A",
    );
    refused_integration(http(json!({ "responses": { "default": {} } })), "`statusCode` is missing");
    refused_integration(
        http(json!({ "responses": {
            "default": { "statusCode": 200 }, "": { "statusCode": 500 },
        } })),
        "there is already a default response",
    );
}

/// One rule for both ways an integration comes in.
#[test]
fn put_and_import_refuse_the_same_integrations_in_the_same_words() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let place = json!({"restApiId": api, "resourceId": root, "httpMethod": "GET"});
    plane.ok("PutMethod", with(&place, json!({"authorizationType": "NONE"})));
    let endpoint = "Invalid HTTP endpoint specified for URI";
    let path_or_action = "AWS ARN for integration must contain path or action";
    let arn = "Invalid ARN specified in the request";
    let role = "Role ARN must be specified for AWS integrations";
    let streamed = "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/f/\
                    response-streaming-invocations";
    let link = |kind: &str, uri: &str| json!({"type": kind, "uri": uri, "connectionType": "VPC_LINK", "connectionId": "abc123"});
    for (integration, message) in [
        (json!({"type": "HTTP", "uri": "http://user:pw@host/"}), endpoint),
        (json!({"type": "HTTP_PROXY", "uri": "http://host/a#frag"}), endpoint),
        (json!({"type": "HTTP_PROXY", "uri": "http://host/{a"}), endpoint),
        (json!({"type": "HTTP_PROXY", "uri": "http:///a"}), endpoint),
        (json!({"type": "HTTP"}), endpoint),
        (json!({"type": "AWS", "uri": "x"}), arn),
        (
            json!({"type": "AWS_PROXY", "uri": "arn:aws:lambda:us-east-1:1:function:f"}),
            path_or_action,
        ),
        (json!({"type": "AWS", "uri": "arn:aws:apigateway:us-east-1:s3:thing"}), path_or_action),
        (json!({"type": "AWS", "uri": "arn:aws:apigateway:us-east-1:s3:path/b/k"}), role),
        (
            json!({"type": "AWS_PROXY", "uri": "arn:aws:apigateway:us-east-1:firehose:action/PutRecord"}),
            role,
        ),
        (
            json!({"type": "AWS_PROXY", "uri": "arn:aws:apigateway:us-east-1:s3:path/b", "credentials": "arn:aws:iam::1:role/r"}),
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose \
             stream invocations.",
        ),
        (
            json!({"type": "AWS_PROXY", "uri": LAMBDA, "responseTransferMode": "STREAM"}),
            "Response transfer mode STREAM requires a URI with \
             2021-11-15/functions/{function}/response-streaming-invocations",
        ),
        (
            json!({"type": "AWS_PROXY", "uri": streamed}),
            "A URI with response-streaming-invocations requires response transfer mode STREAM",
        ),
        (
            json!({"type": "HTTP", "uri": "http://h/", "responseTransferMode": "STREAM"}),
            "Response transfer mode STREAM is only supported for HTTP_PROXY and AWS_PROXY \
             integrations",
        ),
        (
            json!({"type": "HTTP", "uri": "http://h/", "connectionType": "VPC_LINK"}),
            "Connection ID must be specified for connection type VPC_LINK",
        ),
        (
            link("AWS_PROXY", LAMBDA),
            "Connection type VPC_LINK is only supported for HTTP and HTTP_PROXY integrations",
        ),
        (
            json!({"type": "HTTP", "uri": "http://h/", "requestTemplates": {"a/b": "x".repeat(300 * 1024 + 1)}}),
            "Mapping template exceeds 307200 bytes in requestTemplates",
        ),
        (
            json!({"type": "HTTP", "uri": "http://h/", "requestParameters": {"integration.request.header.a": "context.nope"}}),
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: context.nope]",
        ),
    ] {
        let put =
            with(&with(&place, json!({"integrationHttpMethod": "POST"})), integration.clone());
        plane.refused("PutIntegration", put, ErrorKind::BadRequest, message);
        refused_integration(with(&json!({"httpMethod": "POST"}), integration), message);
    }
    let open = "arn:aws:apigateway:us-east-1:lambda:${stageVariables.rest}";
    for integration in [
        json!({"type": "HTTP_PROXY", "uri": "${stageVariables.url}"}),
        json!({"type": "HTTP_PROXY", "uri": "https://${stageVariables.host}/{proxy}?a={b}"}),
        json!({"type": "AWS_PROXY", "uri": open}),
        link("HTTP_PROXY", "http://h/"),
    ] {
        let put =
            with(&with(&place, json!({"integrationHttpMethod": "POST"})), integration.clone());
        plane.ok("PutIntegration", put);
        method(json!({"x-amazon-apigateway-integration": integration}), json!({}));
    }
}

#[test]
fn gateway_responses_and_models_are_refused_in_the_words_of_their_operations() {
    let gateway = |response: Value| {
        with_paths(
            json!({}),
            json!({ "x-amazon-apigateway-gateway-responses": { "THROTTLED": response } }),
        )
    };
    for (response, says) in [
        (
            json!({"responseParameters": {"gatewayresponse.header.a": "context.nope"}}),
            "[Invalid mapping expression specified: context.nope]",
        ),
        (
            json!({"responseParameters": {"header.a": "'x'"}}),
            "[Invalid mapping expression specified: header.a]",
        ),
        (json!({"responseTemplates": {"json": "x"}}), "[Invalid content type specified: json]"),
    ] {
        refused(&gateway(response), says);
    }
    let schema = json!({"properties": {"a": {"type": "string", "pattern": "("}}});
    let models = json!({"components": {"schemas": {"M": schema}}});
    refused(
        &with_paths(json!({}), models),
        "errors : [Invalid model schema specified: model M: the pattern `(` is no regular expression",
    );
}

/// Recorded text.
#[test]
fn a_mapping_that_is_no_text_is_left_out_with_a_warning() {
    let operation = json!({ "x-amazon-apigateway-integration": {
        "type": "http",
        "uri": "http://b.test",
        "requestParameters": { "integration.request.header.a": true },
    } });
    let (method, import) = method(operation, json!({}));
    assert_eq!(method["methodIntegration"].get("requestParameters"), None);
    assert_eq!(
        import.warnings,
        ["Invalid format for 'requestParameters'. Expected type string for property \
          'integration.request.header.a' of resource '/a/{b}' and method 'GET' but got 'true'"]
    );
}

#[test]
fn two_patterns_with_one_status_are_warned_of() {
    let operation = json!({ "x-amazon-apigateway-integration": {
        "type": "mock",
        "responses": { "default": { "statusCode": 200 }, "2..": { "statusCode": "200" } },
    } });
    let (_, import) = method(operation, json!({}));
    assert_eq!(import.warnings.len(), 1);
    assert!(import.warnings[0].starts_with("A status code has one integration response"));
}

fn schemes() -> Value {
    let authorizer = |kind: &str| {
        json!({
            "type": kind, "authorizerUri": LAMBDA, "providerARNs": ["arn:aws:x"],
            "jwtConfiguration": { "issuers": [] },
        })
    };
    let scheme = |kind: &str| {
        json!({
            "type": "apiKey", "name": "X-Token", "in": "header",
            "x-amazon-apigateway-authorizer": authorizer(kind),
        })
    };
    json!({ "components": { "securitySchemes": {
        "key": { "type": "apiKey", "name": "x-api-key", "in": "header" },
        "iam": { "type": "apiKey", "name": "Authorization", "in": "header",
                 "x-amazon-apigateway-authtype": "awsSigv4" },
        "token": scheme("token"),
        "pool": scheme("cognito_user_pools"),
        "jwt": scheme("jwt"),
        "oauth": { "type": "oauth2" },
    } }, "security": [{ "pool": ["email"] }] })
}

/// Recorded: test_import_with_cognito_auth_identity_source.
#[test]
fn the_first_scheme_with_an_authorizer_holds_and_the_root_speaks_for_silent_operations() {
    let access = |operation: Value| {
        let (method, import) = method(operation, schemes());
        let kept = ["authorizationType", "authorizerId", "authorizationScopes", "apiKeyRequired"];
        (kept.map(|key| method[key].clone()), import.warnings.len())
    };
    let none = Value::Null;
    let pool = json!("COGNITO_USER_POOLS");
    let no = json!(false);
    assert_eq!(access(json!({})), ([pool.clone(), json!("pool"), json!(["email"]), no.clone()], 0));
    assert_eq!(
        access(json!({ "security": [] })),
        ([json!("NONE"), none.clone(), none.clone(), no.clone()], 0)
    );
    assert_eq!(
        access(json!({ "security": [{ "key": [] }, { "token": [] }, { "pool": [] }] })),
        ([json!("CUSTOM"), json!("token"), none.clone(), json!(true)], 1)
    );
    assert_eq!(
        access(json!({ "security": [{ "jwt": ["read", "write"] }] })),
        ([json!("JWT"), json!("jwt"), json!(["read", "write"]), no.clone()], 0)
    );
    assert_eq!(
        access(json!({ "security": [{ "iam": [] }] })),
        ([json!("AWS_IAM"), none.clone(), none.clone(), no.clone()], 0)
    );
    assert_eq!(
        access(json!({ "x-amazon-apigateway-auth": { "type": "none" } })),
        ([json!("NONE"), none.clone(), none.clone(), no.clone()], 0)
    );
    assert_eq!(
        access(json!({ "x-amazon-apigateway-auth": { "type": "AWS_IAM" } })),
        ([json!("AWS_IAM"), none.clone(), none.clone(), no.clone()], 0)
    );
    // The stricter rule holds, and what nothing enforces is said.
    assert_eq!(
        access(json!({
            "security": [{ "token": [] }],
            "x-amazon-apigateway-auth": { "type": "NONE" },
        })),
        ([json!("CUSTOM"), json!("token"), none.clone(), no.clone()], 1)
    );
    assert_eq!(
        access(json!({ "security": [{ "oauth": ["read"] }] })),
        ([json!("NONE"), none.clone(), none, no], 1)
    );
}

#[test]
fn every_authorizer_is_made_used_or_not() {
    let import = import(&with_paths(json!({}), schemes()));
    let authorizers = import.definition["authorizers"].as_array().unwrap();
    let names: Vec<&Value> = authorizers.iter().map(|authorizer| &authorizer["name"]).collect();
    assert_eq!(names, ["token", "pool", "jwt"]);
    for authorizer in authorizers {
        assert_eq!(authorizer["identitySource"], "method.request.header.X-Token");
        assert_eq!(authorizer.get("authorizerResultTtlInSeconds"), None);
    }
    assert_eq!(authorizers[1]["authType"], "cognito_user_pools");
}

#[test]
fn schemes_and_validators_that_are_not_there_are_refused() {
    let operation = json!({ "security": [{ "gone": [] }] });
    refused(
        &with_paths(json!({ "/a": { "get": operation } }), json!({})),
        "no security scheme is named `gone`",
    );
    let operation = json!({ "x-amazon-apigateway-request-validator": "gone" });
    refused(
        &with_paths(json!({ "/a": { "get": operation } }), json!({})),
        "Invalid Request Validator identifier specified: gone",
    );
}

fn schema_of(schema: Value, version: &str) -> (Value, Vec<String>) {
    let text = json!({
        "openapi": version,
        "info": { "title": "t" },
        "components": { "schemas": { "A": schema, "B": { "type": "string" } } },
    });
    let import = import(&text.to_string());
    let text = import.definition["models"][0]["schema"].as_str().unwrap().to_owned();
    (serde_json::from_str(&text).unwrap(), import.warnings)
}

/// Recorded: test_import_swagger_api, test_import_with_circular_models.
#[test]
fn references_between_models_are_urls_and_may_be_circular() {
    let url = |name: &str| format!("https://apigateway.amazonaws.com/restapis/{API}/models/{name}");
    let schema = json!({
        "type": "object",
        "properties": {
            "a": { "$ref": "#/components/schemas/A" },
            "b": { "type": "array", "items": { "$ref": "#/components/schemas/B" } },
            "$ref": { "$ref": "https://apigateway.amazonaws.com/restapis/other/models/B" },
            "deep": { "$ref": "#/components/schemas/A/properties/b" },
        },
        "example": { "$ref": "dropped" },
        "enum": [{ "$ref": "kept" }],
    });
    assert_eq!(
        schema_of(schema, "3.0.1").0,
        json!({
            "type": "object",
            "properties": {
                "a": { "$ref": url("A") },
                "b": { "type": "array", "items": { "$ref": url("B") } },
                "$ref": { "$ref": url("B") },
                "deep": { "$ref": format!("{}#/properties/b", url("A")) },
            },
            "enum": [{ "$ref": "kept" }],
        })
    );
}

#[test]
fn openapi_3_1_is_put_into_draft_4() {
    let (schema, warnings) = schema_of(
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": ["object", "null"],
            "properties": {
                "one": { "const": 1 },
                "more": { "exclusiveMinimum": 0, "exclusiveMaximum": 9 },
                "ref": { "$ref": "#/components/schemas/B", "minLength": 2 },
            },
            "examples": [{}],
        }),
        "3.1.0",
    );
    let url = format!("https://apigateway.amazonaws.com/restapis/{API}/models/B");
    assert_eq!(
        schema,
        json!({
            "type": ["object", "null"],
            "properties": {
                "one": { "enum": [1] },
                "more": {
                    "minimum": 0, "exclusiveMinimum": true,
                    "maximum": 9, "exclusiveMaximum": true,
                },
                "ref": { "minLength": 2, "allOf": [{ "$ref": url }] },
            },
        })
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn schemas_where_they_are_used_become_models_named_by_their_content() {
    let body = |schema: Value| json!({ "content": { "application/json": { "schema": schema } } });
    let operation = json!({
        "requestBody": body(json!({ "type": "object", "required": ["a"] })),
        "responses": {
            "200": body(json!({ "type": "object", "required": ["a"] })),
            "201": body(json!({ "type": "object" })),
            "202": body(json!({ "$ref": "#/components/schemas/Named" })),
            "204": body(json!({})),
        },
    });
    let more = json!({ "components": { "schemas": { "Named": { "type": "string" } } } });
    let (method, import) = method(operation, more);
    let name = method["requestModels"]["application/json"].as_str().unwrap();
    assert!(name.starts_with("MODEL") && name.len() == 11, "{name}");
    let response =
        |code: &str| method["methodResponses"][code]["responseModels"]["application/json"].clone();
    assert_eq!(response("200"), name);
    assert_ne!(response("201"), name);
    assert_eq!(response("202"), "Named");
    assert_eq!(response("204"), Value::Null);
    assert_eq!(import.definition["models"].as_array().unwrap().len(), 3);
}

#[test]
fn models_that_cannot_be_are_refused() {
    let models =
        |models: Value| with_paths(json!({}), json!({ "components": { "schemas": models } }));
    refused(&models(json!({ "not-a-name": {} })), "Model name must be alphanumeric: not-a-name");
    refused(
        &models(json!({ "A": { "$ref": "#/components/schemas/Gone" } })),
        "Invalid model name specified: Gone",
    );
    refused(
        &models(json!({ "A": { "items": { "$ref": "other.json#/A" } } })),
        "`other.json#/A` is no model of this document",
    );
}

#[test]
fn aws_variables_are_filled_in_anywhere() {
    let mut text = with_paths(json!({}), json!({}));
    text =
        text.replace(r#""t""#, r#""${AWS::AccountId} ${AWS::Region} ${AWS::Partition} ${AWS::X}""#);
    assert_eq!(import(&text).definition["restApi"]["name"], "000000000000 us-east-1 aws ${AWS::X}");
}

/// rest-data-plane 3.4: failures of one type have several statuses, so one that nobody gave is none.
#[test]
fn a_gateway_response_without_a_status_keeps_that_of_each_failure() {
    let responses = json!({ "INTEGRATION_FAILURE": {}, "THROTTLED": { "statusCode": 420 } });
    let more = json!({ "x-amazon-apigateway-gateway-responses": responses });
    let definition = import(&with_paths(json!({}), more)).definition;
    let responses = &definition["gatewayResponses"];
    let status = |at: usize| responses[at].get("statusCode").and_then(Value::as_str);
    assert_eq!((status(0), status(1)), (None, Some("420")));
}

#[test]
fn settings_of_the_api_are_judged() {
    for (key, value, says) in [
        ("minimum-compression-size", json!(10_485_761), "must be between 0 and 10485760"),
        ("api-key-source", json!("QUERY"), "`QUERY` is not known here"),
        ("binary-media-types", json!(["image"]), "`image` is no media type"),
        ("policy", json!("{"), "the policy is not JSON"),
        ("security-policy", json!("TLS_1_1"), "`TLS_1_1` is not known here"),
        (
            "security-policy",
            json!("SecurityPolicy_TLS13_2025_EDGE"),
            "needs an endpoint access mode",
        ),
        ("gateway-responses", json!({ "THROTLED": {} }), "did you mean `THROTTLED`?"),
        ("gateway-responses", json!({ "THROTTLED": { "statusCode": 42 } }), "status code"),
        ("invented", json!(1), "this extension is not known"),
        ("documentation", json!({ "documentationParts": [{}] }), "`location` is missing"),
    ] {
        let more = json!({ format!("x-amazon-apigateway-{key}"): value });
        refused(&with_paths(json!({}), more), says);
    }
}

#[test]
fn paths_are_those_aws_would_build() {
    for (path, says) in [
        ("a", "a path begins with `/`"),
        ("/a/", "take the needless `/` out"),
        ("/a b", "Resource's path part only allow"),
        ("/x{y}", "Resource's path part only allow"),
        ("/{p+}/a", "Cannot create a child of a resource with a greedy path variable: {p+}"),
        ("/{a}/{a}", "the path names `a` twice"),
    ] {
        refused(&with_paths(json!({ path: { "get": {} } }), json!({})), says);
    }
    refused(
        &with_paths(json!({ "/{a}": {}, "/{b}/c": {} }), json!({})),
        "A sibling ({a}) of this resource already has a variable path part -- only one is allowed",
    );
    refused(
        &with_paths(json!({ "/a": { "trace": {} } }), json!({})),
        "Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY",
    );
    refused(
        &with_paths(
            json!({ "/a": { "get": { "parameters": [{ "in": "query", "name": "f[x]" }] } } }),
            json!({}),
        ),
        "Invalid mapping expression parameter specified: method.request.querystring.f[x]",
    );
}

#[test]
fn unknown_keys_are_warned_of_with_their_place() {
    let text = "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  /a:\n    get:\n      securty: []\n";
    assert_eq!(
        import(text).warnings,
        [
            "Unknown key `securty` is ignored; did you mean `security`? (paths./a.get.securty, line 6, \
          column 7)"
        ]
    );
}

#[test]
fn places_lead_back_to_the_document() {
    let text = "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  /a:\n    get:\n      \
                x-amazon-apigateway-integration:\n        type: mock\n        requestTemplates:\n          \
                a/b: x\n";
    let places = import(text).places;
    let mark = |place: &str| places.locate(place).map(|written| written.mark);
    assert_eq!(mark("/a GET"), Some((5, 5)));
    assert_eq!(mark("/a GET integration requestTemplates"), Some((8, 9)));
    assert_eq!(mark("/a GET integration requestTemplates a/b"), Some((9, 11)));
    assert_eq!(mark("/a GET integration credentials"), Some((6, 7)));
    let template = places.locate("/a GET integration requestTemplates a/b").unwrap();
    let key = "paths./a.get.x-amazon-apigateway-integration.requestTemplates.a/b";
    assert_eq!(template.key, key);
    assert_eq!(places.locate("/b GET"), None);
}

#[test]
fn what_is_no_openapi_document_is_told_apart_from_a_faulty_one() {
    for text in [
        "",
        "this: [is not\n  closed",
        "{\"this\": ",
        "[]",
        "{}",
        "just text",
        "{\"openapi\": \"4.0.0\"}",
        "{\"swagger\": \"2.0\", \"openapi\": \"3.0.1\"}",
    ] {
        assert!(matches!(try_import(text), Err(ImportError::NoDocument(_))), "{text}");
    }
    assert!(matches!(try_import("{\"openapi\": \"3.0.1\"}"), Err(ImportError::Faulty(_))));
    assert!(matches!(
        read("f", b"\xff\xfe", &Options::new(API, &site())),
        Err(ImportError::NoDocument(_))
    ));
}

/// YAML aliases of aliases, and of one long text.
#[test]
fn yaml_bombs_are_refused() {
    let mut doubling = String::from("a0: &a0 [x]\n");
    for level in 1..40 {
        let below = level - 1;
        writeln!(doubling, "a{level}: &a{level} [*a{below}, *a{below}]").unwrap();
    }
    let texts = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(20_000));
    let deep = format!("{}x", "- ".repeat(5_000));
    for bomb in [doubling, texts, deep, "[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let whole = bomb.len();
        let outcome = try_import(&format!("{bomb}\nopenapi: 3.0.1\n"));
        assert!(matches!(outcome, Err(ImportError::NoDocument(_))), "{whole} bytes");
    }
}

/// A short document that asks for a definition without end: references multiply what they mean.
#[test]
fn references_that_multiply_are_refused() {
    let long = "x".repeat(10_000);
    let operation = json!({ "x-amazon-apigateway-integration": { "$ref": "#/components/i" } });
    let paths: Map<String, Value> =
        (0..8_000).map(|path| (format!("/p{path}"), json!({ "get": operation }))).collect();
    let text = with_paths(
        Value::Object(paths),
        json!({ "components": { "i": { "type": "mock", "requestTemplates": { "a/b": long } } } }),
    );
    refused(&text, "the document asks for a definition that is too long");
    let headers: Map<String, Value> =
        (0..20_000).map(|header| (format!("X-{header}"), json!({}))).collect();
    let operation = json!({ "responses": { "200": { "$ref": "#/components/r" } } });
    let paths: Map<String, Value> =
        (0..5_000).map(|path| (format!("/p{path}"), json!({ "get": operation }))).collect();
    let text =
        with_paths(Value::Object(paths), json!({ "components": { "r": { "headers": headers } } }));
    refused(&text, "the document asks for a definition that is too long");
    let deep = "/a".repeat(700);
    let paths: Map<String, Value> =
        (0..3_000).map(|path| (format!("/{path}{deep}"), json!({}))).collect();
    refused(
        &with_paths(Value::Object(paths), json!({})),
        "the document asks for a definition that is too long",
    );
}

#[test]
fn circles_of_references_end() {
    let operation = json!({ "parameters": [{ "$ref": "#/components/parameters/p" }] });
    let circle = json!({ "p": { "$ref": "#/components/parameters/p" } });
    refused(
        &with_paths(
            json!({ "/a": { "get": operation } }),
            json!({ "components": { "parameters": circle } }),
        ),
        "the references go in a circle",
    );
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "openapi", "swagger", "info", "title", "version", "paths", "/a", "/a/{b}", "/{c+}", "get",
            "parameters", "in", "name", "body", "schema", "required", "$ref", "#/paths",
            "#/components/schemas/p", "#/definitions/p", "query", "responses", "200", "default",
            "headers", "security", "servers", "url", "variables", "basePath", "components",
            "schemas", "definitions", "securitySchemes", "securityDefinitions", "p",
            "properties", "items", "allOf", "const", "exclusiveMinimum", "tags",
            "x-amazon-apigateway-integration", "x-amazon-apigateway-any-method",
            "x-amazon-apigateway-authorizer", "x-amazon-apigateway-authtype",
            "x-amazon-apigateway-auth", "x-amazon-apigateway-policy", "Statement", "Resource",
            "x-amazon-apigateway-gateway-responses", "THROTTLED", "responseTemplates",
            "x-amazon-apigateway-request-validators", "x-amazon-apigateway-request-validator",
            "x-amazon-apigateway-endpoint-configuration", "types", "vpcEndpointIds",
            "x-amazon-apigateway-documentation", "documentationParts", "location",
            "x-amazon-apigateway-tag-value", "x-amazon-apigateway-cors", "content",
            "application/json", "requestBody", "type", "apiKey", "token", "http", "mock", "uri",
            "http://b/{x}", "requestParameters", "integration.request.header.a", "'x'",
            "requestTemplates", "cacheKeyParameters", "timeoutInMillis", "statusCode",
            "responseParameters", "method.response.header.a", "x-amazon-apigateway-invented",
        ]).prop_map(ToOwned::to_owned),
        1 => "[ -~é€]{0,6}",
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 128, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Puts `part` where the steps lead.
fn exchange(place: &mut Value, steps: &[u8], part: Value) {
    let Some((step, steps)) = steps.split_first() else {
        *place = part;
        return;
    };
    let step = usize::from(*step);
    match place {
        Value::Object(entries) if !entries.is_empty() => {
            let index = step % entries.len();
            exchange(entries.values_mut().nth(index).unwrap(), steps, part);
        }
        Value::Array(items) if !items.is_empty() => {
            let index = step % items.len();
            exchange(&mut items[index], steps, part);
        }
        other => *other = part,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let options = Options::new(API, &site());
        if let Err(err) = read("f", &bytes, &options) {
            prop_assert!(!err.problems().found.is_empty());
        }
    }

    #[test]
    fn any_tree_of_the_words_is_read_or_refused(tree in tree(), swagger in any::<bool>()) {
        let mut tree = tree;
        if let Some(object) = tree.as_object_mut() {
            let (key, value) = if swagger { ("swagger", "2.0") } else { ("openapi", "3.1.0") };
            object.insert(key.to_owned(), value.into());
            object.entry("info").or_insert_with(|| json!({ "title": "t" }));
        }
        if let Err(err) = try_import(&tree.to_string()) {
            prop_assert!(!err.problems().found.is_empty());
        }
    }

    /// Anything may stand anywhere in a document that was whole.
    #[test]
    fn a_document_with_one_part_exchanged_is_read_or_refused(
        throws in proptest::collection::vec(any::<u8>(), 0..300),
        steps in proptest::collection::vec(any::<u8>(), 1..8),
        part in tree(),
    ) {
        let mut whole = document(&mut Dice(&throws));
        exchange(&mut whole, &steps, part);
        if let Err(err) = try_import(&whole.to_string()) {
            prop_assert!(!err.problems().found.is_empty());
        }
    }

    #[test]
    fn a_mutated_document_is_read_or_refused(
        place in 0..PETSTORE.len(),
        end in 0..PETSTORE.len(),
        noise in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let bytes = PETSTORE.as_bytes();
        let mut mutated = bytes[..place].to_vec();
        mutated.extend_from_slice(&noise);
        mutated.extend_from_slice(&bytes[end.max(place)..]);
        drop(read("f", &mutated, &Options::new(API, &site())));
    }
}
