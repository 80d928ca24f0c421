//! A document on its way to an API that is served, or refused with every place named.

use std::path::Path;

use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;
use crate::model::ids::{ApiId, StageName};
use crate::model::rest_api::{EndpointType, IntegrationKind, Passthrough};
use crate::model::stage::{BasePathMapping, MethodSettings, Stage};
use crate::node::config::{Document, PETSTORE};
use crate::store::control::Kind;

const LAMBDA: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations";

fn config() -> ApiConfig {
    ApiConfig {
        id: ApiId::new("a1b2c3d4e5"),
        label: "api".to_owned(),
        name: None,
        document: Document::PetStore,
        endpoint_type: None,
        endpoint_type_default: EndpointType::Edge,
        stage: Stage {
            name: StageName::new("prod"),
            variables: IndexMap::new(),
            cache_enabled: false,
            defaults: MethodSettings::default(),
            methods: IndexMap::new(),
            access_log: None,
            cache_headers: true,
            ..Stage::default()
        },
        domains: Vec::new(),
    }
}

fn site() -> Site {
    Site {
        partition: "aws".to_owned(),
        aws_region: "eu-central-1".to_owned(),
        account_id: "000000000000".to_owned(),
        domain: "localhost".to_owned(),
        port: String::new(),
        installation: Default::default(),
    }
}

fn judged(bytes: &[u8], config: &ApiConfig) -> Examined {
    let doors = Doors { edges: true, public: true, private: true };
    judge(config, "api".to_owned(), bytes, &site(), &TimeoutsConfig::default(), doors)
}

/// Ids are drawn, and resources are in their order; here they are in that of their paths.
fn read(bytes: &[u8]) -> Result<RestApi, Problems> {
    let mut api = judged(bytes, &config()).outcome?.api;
    api.resources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(api)
}

fn good(text: &str) -> RestApi {
    match read(text.as_bytes()) {
        Ok(api) => api,
        Err(problems) => panic!("{problems}"),
    }
}

/// The problems of a document, without the file's name.
fn bad(text: &str) -> Vec<String> {
    match read(text.as_bytes()) {
        Ok(api) => panic!("was read: {api:?}"),
        Err(problems) => problems
            .found
            .iter()
            .map(|problem| problem.to_string().trim_start_matches("api:").to_owned())
            .collect(),
    }
}

/// Exactly one problem, and it says all of these.
#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let problems = bad(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for part in says {
        assert!(problems[0].contains(part), "`{part}` is not in: {}", problems[0]);
    }
}

/// A document with one GET at `path`; `{op}` goes into the operation, `{int}` into the integration.
fn document(path: &str, op: &str, int: &str) -> String {
    format!(
        r#"{{"openapi": "3.0.1", "info": {{"title": "t"}}, "paths": {{"{path}": {{"get": {{
  {op}
  "x-amazon-apigateway-integration": {{ {int} "type": "http_proxy", "uri": "http://b/x" }}
}}}}}}}}"#
    )
}

fn with_paths(paths: &[&str]) -> String {
    let items: Vec<String> = paths
        .iter()
        .map(|path| {
            format!(
                r#""{path}": {{"get": {{"x-amazon-apigateway-integration":
                {{"type": "http_proxy", "uri": "http://b/"}}}}}}"#
            )
        })
        .collect();
    format!(r#"{{"swagger": "2.0", "info": {{"title": "t"}}, "paths": {{{}}}}}"#, items.join(","))
}

/// Replaces one place of the small document below.
fn small(find: &str, replacement: &str) -> String {
    const SMALL: &str = r#"{
 "openapi": "3.0.1",
 "info": {"title": "small"},
 "servers": [{"url": "https://x/base"}],
 "security": [],
 "components": {},
 "paths": {
  "/a": {"get": {
   "responses": {"200": {"headers": {"X-A": {}}}},
   "x-amazon-apigateway-integration": {
    "type": "http",
    "uri": "http://b/a",
    "responses": {"default": {"statusCode": 200}}
   }
  }}
 }
}"#;
    assert!(SMALL.contains(find), "{find}");
    SMALL.replacen(find, replacement, 1)
}

#[test]
fn the_pet_store_is_read_whole() {
    let api = good(PETSTORE);
    assert_eq!(api.name, "petstore");
    assert_eq!(api.endpoint_type, EndpointType::Edge);
    assert_eq!(api.binary_media_types, ["image/*"]);
    assert_eq!(api.minimum_compression_size, Some(1024));
    let paths: Vec<&str> = api.resources.iter().map(|resource| resource.path.as_str()).collect();
    assert_eq!(paths, ["/echo/{proxy+}", "/health", "/pets", "/pets/{petId}"]);
    let pets = &api.resources[2];
    let verbs: Vec<&str> = pets.methods.iter().map(|method| method.http_method.as_str()).collect();
    assert_eq!(verbs, ["GET", "POST", "OPTIONS"]);
    let list = &pets.methods[0];
    assert_eq!(list.operation_name.as_deref(), Some("listPets"));
    assert_eq!(
        list.request_parameters.keys().collect::<Vec<_>>(),
        ["method.request.querystring.type", "method.request.querystring.page"]
    );
    assert_eq!(list.integration.kind, IntegrationKind::HttpProxy);
    assert_eq!(list.integration.timeout_ms, 5_000);
    assert_eq!(list.integration.cache_key_parameters.len(), 2);
    assert_eq!(pets.methods[2].integration.kind, IntegrationKind::Mock);
    let one = &api.resources[3].methods[0];
    assert!(one.request_parameters["method.request.path.petId"]);
    assert_eq!(one.integration.responses[1].selection_pattern.as_deref(), Some("404"));
    let echo = &api.resources[0].methods[0];
    assert_eq!(echo.http_method, "ANY");
    assert_eq!(echo.integration.timeout_ms, 29_000);
}

#[test]
fn json_and_yaml_say_the_same() {
    let yaml = "openapi: 3.1.0\ninfo: {title: small}\npaths:\n  /a:\n    get:\n      responses:\n        200: {headers: {X-A: {}}}\n      x-amazon-apigateway-integration:\n        type: http\n        uri: http://b/a\n        responses:\n          default: {statusCode: 200}\n";
    let definition = |text: &str| {
        let examined = judged(text.as_bytes(), &config());
        assert!(examined.warnings.is_empty(), "{:?}", examined.warnings);
        examined.outcome.unwrap().definition
    };
    assert_eq!(definition(&small("3.0.1", "3.1.0")), definition(yaml));
}

#[test]
fn swagger_is_read_and_its_base_path_left_out() {
    let api = good(
        "swagger: 2.0\ninfo: {title: s}\nbasePath: /v1\nhost: h\nschemes: [https]\n\
         x-amazon-apigateway-endpoint-configuration: {types: [REGIONAL]}\n\
         parameters:\n  q: {name: q, in: query, required: true, type: string}\n\
         paths:\n  /a:\n    parameters:\n    - {$ref: '#/parameters/q'}\n    - {name: h, in: header}\n\
         \x20   post:\n      parameters:\n      - {name: h, in: header, required: true}\n\
         \x20     - {name: b, in: body}\n\
         \x20     x-amazon-apigateway-integration: {type: HTTP_PROXY, uri: 'https://b/', httpMethod: post}\n",
    );
    assert_eq!(api.endpoint_type, EndpointType::Regional);
    assert_eq!(api.resources[0].path, "/a");
    let method = &api.resources[0].methods[0];
    assert_eq!(method.integration.http_method.as_deref(), Some("POST"));
    let parameters: Vec<(&str, bool)> =
        method.request_parameters.iter().map(|(name, must)| (name.as_str(), *must)).collect();
    assert_eq!(
        parameters,
        [("method.request.querystring.q", true), ("method.request.header.h", true)]
    );
}

#[test]
fn the_endpoint_type_comes_from_options_then_document_then_default() {
    let servers = r#"[{"x-amazon-apigateway-endpoint-configuration": {"types": ["PRIVATE"]}}]"#;
    let text = small(r#"[{"url": "https://x/base"}]"#, servers);
    assert_eq!(good(&text).endpoint_type, EndpointType::Private);
    let over = ApiConfig { endpoint_type: Some(EndpointType::Regional), ..config() };
    let imported = judged(text.as_bytes(), &over).outcome.unwrap();
    assert_eq!(imported.api.endpoint_type, EndpointType::Regional);
}

/// What is not built is refused where it stands.
#[test]
fn each_thing_not_built_is_refused_at_its_place() {
    let integration =
        |key: &str| small(r#""type": "http","#, &format!(r#""type": "http", {key},"#));
    let root = |key: &str| small(r#""components""#, &format!(r#"{key}, "components""#));
    let operation =
        |key: &str| small(r#""responses": {"200""#, &format!(r#"{key}, "responses": {{"200""#));
    for (text, place) in [
        (root(r#""x-amazon-apigateway-policy": {}"#), "x-amazon-apigateway-policy:"),
        (root(r#""x-amazon-apigateway-invented": 1"#), "x-amazon-apigateway-invented:"),
        (root(r#""X-Amazon-ApiGateway-Policy": 1"#), "X-Amazon-ApiGateway-Policy:"),
        (
            root(
                r#""x-amazon-apigateway-gateway-responses": {"DEFAULT_4XX": {"responseParameters":
                {"gatewayresponse.header.x": "method.request.body"}}}"#,
            ),
            "gateway-responses.DEFAULT_4XX.responseParameters.gatewayresponse.header.x:",
        ),
        (small(r#""security": []"#, r#""security": [{"key": []}]"#), "security[0].key:"),
        (
            small(
                r#""components": {}"#,
                r#""components": {"securitySchemes": {"s": {"x-amazon-apigateway-authorizer": {}}}}"#,
            ),
            "components.securitySchemes.s.x-amazon-apigateway-authorizer:",
        ),
        (
            small(
                r#"{"url": "https://x/base"}"#,
                r#"{"x-amazon-apigateway-endpoint-configuration": {"vpcEndpointIds": ["v"]}}"#,
            ),
            "vpcEndpointIds:",
        ),
        (operation(r#""security": [{"iam": []}]"#), "paths./a.get.security[0].iam:"),
        (
            operation(r#""x-amazon-apigateway-auth": {"type": "AWS_IAM"}"#),
            "x-amazon-apigateway-auth:",
        ),
        (operation(r#""x-amazon-apigateway-request-validator": "v""#), "request-validator"),
        (integration(r#""credentials": "arn:x""#), "x-amazon-apigateway-integration.credentials:"),
        (integration(r#""connectionType": "VPC_LINK""#), "Connection ID must be specified"),
        (integration(r#""responseTransferMode": "STREAM""#), "responseTransferMode:"),
        (integration(r#""passthroughBehavior": "ever""#), "passthroughBehavior:"),
        (
            small(r#""type": "http""#, r#""type": "aws", "credentials": "arn:aws:iam::*:user/*""#)
                .replace("http://b/a", LAMBDA),
            "x-amazon-apigateway-integration.credentials:",
        ),
        (
            small(r#""type": "http""#, r#""type": "aws_proxy""#)
                .replace("http://b/a", "arn:aws:apigateway:us-east-1:sqs:action/SendMessage"),
            "x-amazon-apigateway-integration.uri:",
        ),
    ] {
        refused(&text, &[place]);
    }
}

#[test]
fn what_changes_nothing_is_taken() {
    let integration =
        |key: &str| small(r#""type": "http","#, &format!(r#""type": "http", {key},"#));
    let root = |key: &str| small(r#""components""#, &format!(r#"{key}, "components""#));
    for text in [
        root(
            r#""x-amazon-apigateway-documentation": {}, "x-amazon-apigateway-importexport-version": "1.0""#,
        ),
        root(r#""tags": [{"name": "n", "x-amazon-apigateway-tag-value": "v"}], "x-vendor": 1"#),
        root(r#""x-amazon-apigateway-api-key-source": "HEADER""#),
        // Without effect while no method asks for a key.
        root(r#""x-amazon-apigateway-api-key-source": "AUTHORIZER""#),
        root(r#""x-amazon-apigateway-cors": {}"#),
        root(r#""x-amazon-apigateway-request-validators": {"v": {"validateRequestBody": true}}"#),
        root(
            r#""x-amazon-apigateway-request-validators": {"v": {"validateRequestBody": false}}, "x-amazon-apigateway-request-validator": "v""#,
        ),
        small(
            r#""components": {}"#,
            r#""components": {"securitySchemes": {"s": {"type": "apiKey"}}}"#,
        ),
        small(
            r#""responses": {"200""#,
            r#""x-amazon-apigateway-auth": {"type": "none"}, "responses": {"200""#,
        ),
        small(r#""statusCode": 200"#, r#""statusCode": 200, "responseTemplates": {"a/b": ""}"#),
        integration(r##""requestTemplates": {"application/json": "#x"}"##),
        integration(r#""contentHandling": "CONVERT_TO_TEXT""#),
        integration(r#""connectionType": "INTERNET", "passthroughBehavior": "when_no_templates""#),
        integration(
            r#""requestTemplates": {}, "contentHandling": null, "responseTransferMode": "BUFFERED""#,
        ),
    ] {
        good(&text);
    }
    // A root rule that every operation lifts keeps nobody out.
    good(
        &small(r#""security": []"#, r#""security": [{"key": []}]"#)
            .replace(
                r#""components": {}"#,
                r#""components": {"securitySchemes": {"key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}}"#,
            )
            .replace(r#""get": {"#, r#""get": {"security": [],"#),
    );
}

/// AWS: "CreateResource", texts as recorded.
#[test]
fn bad_resource_trees_are_refused_with_aws_texts() {
    for (paths, says) in [
        (
            &["/a/{x}", "/a/{y+}"][..],
            "A sibling ({x}) of this resource already has a variable path part -- only one is allowed",
        ),
        (&["/a/{x}/b", "/a/{y}/c"], "A sibling ({x})"),
        (&["/{p+}/x"], "Cannot create a child of a resource with a greedy path variable: {p+}"),
        (&["/a b"], "Resource's path part only allow"),
        (&["/a{x}"], "Resource's path part only allow"),
        (&["/{}"], "Resource's path part only allow"),
        (&["/a/"], "take the needless `/` out"),
        (&["/a//b"], "take the needless `/` out"),
        (&["a"], "a path begins with `/`"),
        (&["/{x}/{x}"], "names `x` twice"),
    ] {
        refused(&with_paths(paths), &[says]);
    }
    good(&with_paths(&["/", "/a/{x}", "/a/{x}/b", "/a/b", "/b/{y}", "/c/{x+}", "/a.b_c-d:e"]));
    refused(&with_paths(&["/a", "/a"]), &["twice"]);
    refused(&with_paths(&[]), &["The REST API doesn't contain any methods"]);
}

#[test]
fn mistakes_in_a_method_are_named() {
    for (op, int, says) in [
        ("", r#""timeoutInMillis": 49,"#, "Timeout should be between 50 ms and 29000 ms"),
        ("", r#""timeoutInMillis": 29001,"#, "Timeout should be between 50 ms and 29000 ms"),
        ("", r#""timeoutInMillis": "5","#, "Timeout should be between"),
        (
            "",
            r#""cacheKeyParameters": ["method.request.querystring.q"],"#,
            "Invalid cache key parameter",
        ),
        ("", r#""httpMethod": "FETCH","#, "Invalid HttpMethod specified"),
        (
            "",
            r#""requestParameters": {"integration.request.body.x": "'a'"},"#,
            "Invalid mapping expression specified",
        ),
        (
            "",
            r#""requestParameters": {"integration.request.header.x": "true"},"#,
            "[Invalid mapping expression specified: true]",
        ),
        (
            "",
            r#""requestParameters": {"integration.request.header.x": "context.identity.a"},"#,
            "context.identity.a",
        ),
        (
            "",
            r#""requestParameters": {"integration.request.header.x": "'a\nb'"},"#,
            "Invalid mapping expression",
        ),
        (r#""parameters": [{"in": "query"}],"#, "", "`name` is missing"),
        (r#""parameters": [{"in": "quary", "name": "x"}],"#, "", "no place for a parameter"),
        (
            r#""parameters": [{"in": "query", "name": "a[b]"}],"#,
            "",
            "Invalid mapping expression parameter",
        ),
        (r#""parameters": [{"$ref": "other.yaml#/x"}],"#, "", "outside this document"),
        (r##""parameters": [{"$ref": "#/components/x"}],"##, "", "points at nothing"),
    ] {
        refused(&document("/a", op, int), &[says]);
    }
    refused(&document("/a", "", "").replace("\"get\"", "\"GET\""), &["Invalid HttpMethod"]);
    refused(&document("/a", "", "").replace("\"get\"", "\"trace\""), &["Invalid HttpMethod"]);
    refused(&document("/a", "", "").replace("http://b/x", "ftp://b/x"), &["Invalid HTTP endpoint"]);
    for open in ["http://{x}/a", "http://a.{x}.b:80?q", "http://${stageVariables.h}.{x}"] {
        let text = document("/{x}", "", "").replace("http://b/x", open);
        good(&text);
    }
    good(&document("/{x}", "", "").replace("http://b/x", "http://${stageVariables.h}/{x}"));
    refused(
        &document("/a", "", "").replace("x-amazon-apigateway-integration", "x-other"),
        &["No integration defined for method"],
    );
    // Recorded: test_import_with_integer_http_status_code.
    good(&small(r#""default""#, r#""404": {"statusCode": "404"}, "default""#));
    refused(
        &small(
            r#""statusCode": 200"#,
            r#""statusCode": 200, "responseParameters": {"method.response.header.X-B": "'b'"}"#,
        ),
        &["Invalid mapping expression parameter specified: method.response.header.X-B"],
    );
    good(&small(
        r#""statusCode": 200"#,
        r#""statusCode": 200, "responseParameters": {"method.response.header.x-a": "integration.response.header.Server"}"#,
    ));
}

#[test]
fn backend_uris() {
    let read_uri =
        |uri: &str| read(document("/a", "", "").replace("http://b/x", uri).as_bytes()).is_ok();
    for uri in [
        "https://b",
        "HTTP://B:80/x?y=1",
        "http://${stageVariables.host}/x/{proxy}",
        "https://${stageVariables.sub}.example.com:8443/{a.b}/{c}",
        "http://[::1]:80/",
        "http://b/${stageVariables.p}?q=${stageVariables.q}",
        "http://b.${AWS::Region}.com",
    ] {
        assert!(read_uri(uri), "{uri}");
    }
    for uri in [
        "",
        "b/x",
        "/x",
        "ftp://b",
        "http://",
        "http:///x",
        "http://u:p@b/",
        "http://b/ x",
        "http://b/{",
        "http://b/}",
        "http://b/{}",
        "http://${stageVariables.}/",
        "http://${other.x}/",
        "http://b/#f",
        "arn:aws:apigateway:x",
        "http://b.${AWS::Unknown}.com",
    ] {
        assert!(!read_uri(uri), "{uri}");
    }
}

/// Nobody asks for what nobody knows, but whoever wrote it should hear of it.
#[test]
fn what_is_passed_over_is_warned_of() {
    for (op, int, says) in [
        ("", r#""invented": 1,"#, "Unknown key `invented` is ignored (paths./a.get"),
        ("", r#""timeoutInMilis": 1,"#, "did you mean `timeoutInMillis`?"),
        ("", r#""tlsConfig": {"serverNameToVerify": "x"},"#, "a REST API ignores it"),
        (r#""securty": [],"#, "", "did you mean `security`?"),
    ] {
        let examined = judged(document("/a", op, int).as_bytes(), &config());
        assert!(examined.outcome.is_ok(), "{examined:?}");
        assert_eq!(examined.warnings.len(), 1, "{:?}", examined.warnings);
        assert!(examined.warnings[0].contains(says), "{:?}", examined.warnings);
    }
}

/// AWS: "Mapping template transformations for REST APIs": text outside of the language is output.
#[test]
fn constant_templates_are_read() {
    let text = small(
        r#""type": "http","#,
        r#""type": "http", "passthroughBehavior": "NEVER", "requestTemplates": {"text/plain": "in"},"#,
    );
    let text = text.replacen(
        r#""statusCode": 200"#,
        r#""statusCode": 200, "responseTemplates": {"text/xml": "<out/>"}"#,
        1,
    );
    let api = good(&text);
    let integration = &api.resources[0].methods[0].integration;
    assert_eq!(integration.passthrough, Passthrough::Never);
    assert_eq!(integration.request_templates["text/plain"], "in");
    assert_eq!(integration.responses[0].response_templates["text/xml"], "<out/>");
}

/// Exports of CORS methods carry `"responseTemplates": {"application/json": ""}`.
#[test]
fn an_empty_response_template_is_none() {
    let with = |kind: &str, template: &str| {
        format!(
            r#"{{"swagger": "2.0", "info": {{"title": "t"}}, "paths": {{"/a": {{"options": {{
                "responses": {{"200": {{"description": "x"}}}},
                "x-amazon-apigateway-integration": {{ {kind},
                  "requestTemplates": {{"application/json": "{{\"statusCode\": 200}}"}},
                  "responses": {{"default": {{"statusCode": "200",
                    "responseTemplates": {{"application/json": "{template}"}}}}}}}}}}}}}}}}"#
        )
    };
    good(&with(r#""type": "mock""#, ""));
    good(&with(r#""type": "mock""#, "{}"));
    good(&with(r#""type": "mock""#, "$x"));
    good(&with(r#""type": "http", "uri": "http://b/", "httpMethod": "GET""#, ""));
}

/// AWS: "Mock integrations for REST APIs"; leniency as recorded.
#[test]
fn problems_name_line_and_column() {
    let problems = bad(
        "openapi: 3.0.1\ninfo:\n  title: t\npaths:\n  /a:\n    get:\n      x-amazon-apigateway-integration:\n        type: aws\n        uri: x\n",
    );
    assert!(
        problems[0].starts_with("9:9: paths./a.get.x-amazon-apigateway-integration.uri: "),
        "{problems:?}"
    );
    let problems = bad(&small(r#""type": "http""#, r#""type": "aws""#));
    assert!(problems[0].starts_with("12:5: paths./a.get."), "{problems:?}");
}

#[test]
fn all_problems_are_reported_together() {
    let text = PETSTORE
        .replace("type: http_proxy", "type: aws_proxy")
        .replace("title: petstore", "titel: petstore");
    let problems = bad(&text);
    let about = |end: &str| problems.iter().filter(|problem| problem.contains(end)).count();
    assert_eq!(about("info: `title` is missing"), 1, "{problems:#?}");
    assert_eq!(about("uri: Invalid ARN specified in the request"), 4, "{problems:#?}");
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[test]
fn broken_text_is_refused_with_its_place() {
    for (text, says) in [
        ("", "empty"),
        ("{\"openapi\": \"3.0.1\",\n ]", "2:2: not valid JSON"),
        ("{\"a\": 1, \"a\": 2, \"openapi\": \"3.0.0\"}", "1:10: a: this key stands here twice"),
        ("a: 1\na: 2\n", "not valid YAML"),
        ("a: [1\n", "not valid YAML"),
        ("--- 1\n--- 2\n", "not valid YAML"),
        ("[1]", "not a table"),
        ("openapi: 2.5.0\n", "version `2.5.0`"),
        ("openapi: 3.2.0\n", "version `3.2.0`"),
        ("swagger: '1.2'\n", "version `1.2`"),
        ("swagger: '2.0'\nopenapi: 3.0.0\n", "exactly one"),
        ("info: {}\n", "exactly one"),
    ] {
        let problems = bad(text);
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:?}");
    }
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(bad(&deep)[0].contains("nested too deeply"));
    assert!(bad(&format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000)))[0].contains("YAML"));
    assert!(read(&[0xff, b'{']).unwrap_err().to_string().contains("UTF-8"));
    let many = format!("{{\"a\": [{}]}}", vec!["1"; 200_000].join(","));
    assert!(bad(&many)[0].contains("too many values"));
    let long = vec![b' '; 7 * 1024 * 1024];
    assert!(read(&long).unwrap_err().to_string().contains("longer than"));
}

/// A debug build takes more stack for the deepest document than a thread usually has.
#[test]
fn the_deepest_yaml_fits_any_thread() {
    let deep = format!("{}x", "- ".repeat(5_000));
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let read = small.spawn(move || bad(&deep)).unwrap().join().unwrap();
    assert!(read[0].contains("YAML"), "{read:?}");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(bad(&text)[0].contains("not valid YAML"));
}

#[test]
fn a_response_kept_elsewhere_declares_its_headers() {
    let text = |header: &str| {
        small(
            r#""components": {}"#,
            r#""components": {"responses": {"R": {"headers": {"X-A": {}}}}}"#,
        )
        .replace(r#"{"headers": {"X-A": {}}}},"#, r##"{"$ref": "#/components/responses/R"}},"##)
        .replace(
            r#""statusCode": 200"#,
            &format!(
                r#""statusCode": 200, "responseParameters": {{"method.response.header.{header}": "'a'"}}"#
            ),
        )
    };
    assert!(text("X-A").contains("#/components/responses/R"));
    good(&text("X-A"));
    refused(&text("X-B"), &["method.response.header.X-B"]);
}

// ---- in the store

/// What the topology names no more goes as the control plane's own deletions do it: with all that
/// belongs to it, and with what points to it.
#[test]
fn what_is_named_no_more_goes_with_what_points_to_it() {
    let on = |stage: &str| {
        let mut config = config();
        config.stage.name = StageName::new(stage);
        let domain = BasePathMapping {
            domain_name: "a.example".to_owned(),
            base_path: String::new(),
            certificate: None,
            stage_in_path: false,
        };
        config.domains.push(domain);
        judged(PETSTORE.as_bytes(), &config).outcome.unwrap()
    };
    let mut txn = Txn::new(Arc::<State>::default());
    let now = Timestamp::from_seconds(1);
    let api = "a1b2c3d4e5";
    let plan = |stage: &str| match json!({"apiStages": [{"apiId": api, "stage": stage}]}) {
        Value::Object(plan) => plan,
        _ => Map::new(),
    };
    let stages_of_plan =
        |txn: &Txn| txn.get(Kind::UsagePlan, "", "plan01").unwrap()["apiStages"].clone();

    kept::put_all(&mut txn, &[on("prod")], &site(), now).unwrap();
    let domain = txn.get(Kind::DomainName, "", "a.example").unwrap();
    assert_eq!(domain["regionalHostedZoneId"], "Z1UJRXOUMOOFQ8", "as the control plane makes it");
    txn.put(Kind::UsagePlan, "", "plan01", plan("prod"));

    kept::put_all(&mut txn, &[on("test")], &site(), now).unwrap();
    assert!(!txn.contains(Kind::Stage, api, "prod") && txn.contains(Kind::Stage, api, "test"));
    assert_eq!(stages_of_plan(&txn), json!([]), "the stage that went left the plan");

    txn.put(Kind::UsagePlan, "", "plan01", plan("test"));
    // Mapped by an operator, so that the mapping bears no mark.
    let mut mapping = Map::new();
    mapping.insert("restApiId".to_owned(), Value::from(api));
    txn.put(Kind::BasePathMapping, "a.example", "v1", mapping);
    kept::put_all(&mut txn, &[], &site(), now).unwrap();
    for (kind, scope) in [
        (Kind::RestApi, ""),
        (Kind::Resource, api),
        (Kind::Deployment, api),
        (Kind::DeploymentDefinition, api),
        (Kind::Stage, api),
        (Kind::BasePathMapping, "a.example"),
        (Kind::DomainName, ""),
    ] {
        assert!(txn.list(kind, scope).is_empty(), "{kind:?}");
    }
    assert_eq!(stages_of_plan(&txn), json!([]), "the API that went left the plan");
}

#[test]
fn circles_of_references_end() {
    let text = small(
        r#""components": {}"#,
        r##""components": {"parameters": {"p": {"$ref": "#/components/parameters/p"}}}"##,
    )
    .replace(r#""get": {"#, r##""get": {"parameters": [{"$ref": "#/components/parameters/p"}],"##);
    refused(&text, &["in a circle"]);
}

/// `tests/data/openapi/*.case`: a document, a line of dashes, and what comes of it. `UPDATE=1`
/// writes what came of it into the files.
#[test]
fn cases() {
    const DASHES: &str = "\n--------\n";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openapi");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "case") {
            continue;
        }
        let case = std::fs::read_to_string(&path).unwrap();
        let (document, expected) = case.split_once(DASHES).unwrap_or((&case, ""));
        let outcome = outcome(document);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{document}{DASHES}{outcome}")).unwrap();
        } else {
            assert_eq!(outcome, expected, "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 4);
}

/// The API in a few lines, or the problems.
fn outcome(document: &str) -> String {
    let api = match read(document.as_bytes()) {
        Ok(api) => api,
        Err(problems) => return format!("{problems}\n"),
    };
    let mut lines = vec![format!("{} {:?}", api.name, api.endpoint_type)];
    for resource in &api.resources {
        for method in &resource.methods {
            let integration = &method.integration;
            lines.push(format!(
                "{} {} -> {:?} {} {}",
                method.http_method,
                resource.path,
                integration.kind,
                integration.http_method.as_deref().unwrap_or("same"),
                integration.uri,
            ));
            lines.extend(method.request_parameters.iter().map(|p| format!("  declares {p:?}")));
            lines.extend(integration.request_parameters.iter().map(|p| format!("  maps {p:?}")));
            lines.extend(integration.responses.iter().map(|r| format!("  answers {r:?}")));
        }
    }
    lines.join("\n") + "\n"
}

fn json_word() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "openapi",
            "swagger",
            "info",
            "title",
            "paths",
            "/a",
            "/a/{b}",
            "/{c+}",
            "get",
            "any",
            "parameters",
            "in",
            "name",
            "required",
            "$ref",
            "#/paths",
            "#/components/p",
            "query",
            "responses",
            "200",
            "default",
            "headers",
            "security",
            "servers",
            "components",
            "p",
            "x-amazon-apigateway-integration",
            "x-amazon-apigateway-any-method",
            "http",
            "mock",
            "x-amazon-apigateway-endpoint-configuration",
            "types",
            "type",
            "uri",
            "http://b/{x}",
            "requestParameters",
            "integration.request.header.a",
            "'x'",
            "method.request.path.b",
            "requestTemplates",
            "application/json",
            "{statusCode: 200}",
            "cacheKeyParameters",
            "timeoutInMillis",
            "statusCode",
            "responseParameters",
            "method.response.header.a",
            "x-amazon-apigateway-binary-media-types",
            "x-amazon-apigateway-invented",
            "2.0",
            "3.0.1",
        ])
        .prop_map(ToOwned::to_owned),
        "[ -~é€]{0,6}",
    ]
}

fn json_tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        json_word().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(8, 128, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            proptest::collection::vec((json_word(), inner), 0..8)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        drop(read(&bytes));
    }

    #[test]
    fn any_tree_of_the_words_is_read_or_refused(tree in json_tree(), version in any::<bool>()) {
        let mut tree = tree;
        if let Some(object) = tree.as_object_mut() {
            let (key, value) = if version { ("openapi", "3.0.1") } else { ("swagger", "2.0") };
            object.insert(key.to_owned(), value.into());
        }
        let verdict = read(tree.to_string().as_bytes());
        if let Err(problems) = verdict {
            prop_assert!(!problems.found.is_empty());
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
        drop(read(&mutated));
    }
}
