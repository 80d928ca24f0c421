//! Integrations as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, NotFound};
use crate::admin::rest::harness::{Plane, patch, with};

const LAMBDA: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations";
const STREAMED: &str = "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/f/\
                        response-streaming-invocations";

/// A plane and the root resource's ANY.
fn place() -> (Plane, Value) {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let place = json!({"restApiId": api, "resourceId": root, "httpMethod": "ANY"});
    plane.ok("PutMethod", with(&place, json!({"authorizationType": "NONE"})));
    (plane, place)
}

fn http(place: &Value) -> Value {
    with(
        place,
        json!({"type": "HTTP", "uri": "http://example.com", "integrationHttpMethod": "POST"}),
    )
}

#[test]
fn recorded_defaults_of_each_kind() {
    let (mut plane, place) = place();
    let common = json!({"cacheKeyParameters": [], "cacheNamespace": place["resourceId"],
                        "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": 29_000});
    let lambda = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                  arn:aws:lambda:us-east-1:000000000000:function:f/invocations";
    for (sent, shown) in [
        (json!({"type": "MOCK"}), json!({"type": "MOCK"})),
        (
            json!({"type": "HTTP", "uri": "http://example.com", "integrationHttpMethod": "POST"}),
            json!({"type": "HTTP", "uri": "http://example.com", "httpMethod": "POST",
                   "connectionType": "INTERNET"}),
        ),
        (
            json!({"type": "AWS_PROXY", "uri": lambda, "integrationHttpMethod": "POST",
                   "connectionType": "INTERNET"}),
            json!({"type": "AWS_PROXY", "uri": lambda, "httpMethod": "POST"}),
        ),
    ] {
        let shown = with(&common, shown);
        assert_eq!(plane.ok("PutIntegration", with(&place, sent)), shown);
        assert_eq!(plane.ok("GetIntegration", place.clone()), shown);
    }
}

#[test]
fn what_put_refuses() {
    let (mut plane, place) = place();
    let needs_method = "Enumeration value for HttpMethod must be non-empty";
    let endpoint = "Invalid HTTP endpoint specified for URI";
    let arn = "Invalid ARN specified in the request";
    let http = http(&place);
    let aws = |kind: &str, uri: &str| {
        with(&http, json!({"type": kind, "uri": uri, "credentials": "arn:aws:iam::0:role/r"}))
    };
    for (params, message) in [
        (with(&place, json!({"type": "HTTP", "uri": "http://example.com"})), needs_method),
        (with(&place, json!({"type": "AWS", "uri": "arn:aws:x"})), needs_method),
        (with(&http, json!({"uri": "non-valid-uri"})), endpoint),
        (with(&http, json!({"uri": ""})), endpoint),
        (with(&http, json!({"uri": "http:///x"})), endpoint),
        (aws("AWS", "non-valid-arn"), arn),
        (aws("AWS_PROXY", "non-valid-arn"), arn),
        (
            aws("AWS", "arn:aws:apigateway:us-east-1:lambda:test"),
            "AWS ARN for integration must contain path or action",
        ),
        (
            aws("AWS_PROXY", "arn:aws:apigateway:us-east-1:s3:path/b/k"),
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and \
             Firehose stream invocations.",
        ),
        (
            with(&aws("AWS_PROXY", LAMBDA), json!({"responseTransferMode": "STREAM"})),
            "Response transfer mode STREAM requires a URI with \
             2021-11-15/functions/{function}/response-streaming-invocations",
        ),
        (
            aws("AWS_PROXY", STREAMED),
            "A URI with response-streaming-invocations requires response transfer mode STREAM",
        ),
        (
            with(&http, json!({"timeoutInMillis": 29_001})),
            "Timeout should be between 50 ms and 29000 ms",
        ),
        (
            with(&http, json!({"timeoutInMillis": 49})),
            "Timeout should be between 50 ms and 29000 ms",
        ),
        (
            with(&http, json!({"requestParameters": {"integration.request.header.a": "true"}})),
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: true]",
        ),
        (
            with(
                &http,
                json!({"requestParameters": {"integration.request.header.a": "context.nope"}}),
            ),
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: context.nope]",
        ),
        (
            with(&http, json!({"requestTemplates": {"123": "{}"}})),
            "Validation Result: warnings : [], errors : [Invalid content type specified: 123]",
        ),
    ] {
        plane.refused("PutIntegration", params, BadRequest, message);
    }
    let unknown = "Invalid Integration identifier specified";
    plane.refused("GetIntegration", place.clone(), NotFound, unknown);
    let other = with(&place, json!({"httpMethod": "GET"}));
    let unknown = "Invalid Method identifier specified";
    plane.refused("GetIntegration", other, NotFound, unknown);
    let other = with(&place, json!({"resourceId": "nope"}));
    let unknown = "Invalid Resource identifier specified";
    plane.refused("GetIntegration", other, NotFound, unknown);
}

#[test]
fn mappings_come_from_everywhere_aws_knows() {
    let (mut plane, place) = place();
    let parameters = json!({
        "integration.request.header.a": "'static, with ''quotes'",
        "integration.request.header.b": "method.request.body",
        "integration.request.header.c": "method.request.body.a[0].b",
        "integration.request.querystring.d": "method.request.multivaluequerystring.q",
        "integration.request.path.e": "context.identity.sourceIp",
        "integration.request.path.f": "stageVariables.v",
    });
    let params = with(&http(&place), json!({"requestParameters": parameters}));
    assert_eq!(plane.ok("PutIntegration", params)["requestParameters"], parameters);
}

#[test]
fn empty_templates_are_kept_as_null() {
    let (mut plane, place) = place();
    let templates = json!({"application/json": "", "text/plain": null, "text/html": "x"});
    let shown = json!({"application/json": null, "text/plain": null, "text/html": "x"});
    let params = with(&place, json!({"type": "MOCK", "requestTemplates": templates}));
    assert_eq!(plane.ok("PutIntegration", params)["requestTemplates"], shown);
    let operations = patch("replace", "/requestTemplates/text~1html", "");
    let params = with(&place, json!({"patchOperations": operations}));
    assert_eq!(plane.ok("UpdateIntegration", params)["requestTemplates"]["text/html"], Value::Null);
}

#[test]
fn an_update_changes_what_it_names() {
    let (mut plane, place) = place();
    plane.ok("PutIntegration", http(&place));
    let mut update = |operations: Value| {
        plane.ok("UpdateIntegration", with(&place, json!({"patchOperations": operations})))
    };
    // As Terraform sends cache keys.
    let integration = update(json!([
        {"op": "add", "path": "/cacheKeyParameters/method.request.path.a", "value": ""},
        {"op": "add", "path": "/cacheKeyParameters", "value": "method.request.path.b"},
        {"op": "replace", "path": "/cacheNamespace", "value": "ns"},
        {"op": "replace", "path": "/timeoutInMillis", "value": "50"},
        {"op": "replace", "path": "/uri", "value": "https://${stageVariables.host}/x"},
        {"op": "replace", "path": "/httpMethod", "value": "GET"},
        {"op": "replace", "path": "/tlsConfig/insecureSkipVerification", "value": "true"},
        {"op": "replace", "path": "/contentHandling", "value": "CONVERT_TO_TEXT"},
        {"op": "add", "path": "/requestTemplates/application~1json", "value": "{}"},
    ]));
    assert_eq!(
        integration,
        json!({
            "type": "HTTP", "httpMethod": "GET", "uri": "https://${stageVariables.host}/x",
            "connectionType": "INTERNET", "passthroughBehavior": "WHEN_NO_MATCH",
            "timeoutInMillis": 50, "cacheNamespace": "ns", "contentHandling": "CONVERT_TO_TEXT",
            "cacheKeyParameters": ["method.request.path.a", "method.request.path.b"],
            "tlsConfig": {"insecureSkipVerification": true},
            "requestTemplates": {"application/json": "{}"},
        })
    );
    let integration = update(json!([
        {"op": "remove", "path": "/cacheKeyParameters/method.request.path.a", "value": ""},
        {"op": "remove", "path": "/requestTemplates/application~1json"},
        {"op": "replace", "path": "/contentHandling", "value": null},
    ]));
    assert_eq!(integration["cacheKeyParameters"], json!(["method.request.path.b"]));
    assert_eq!(integration.get("requestTemplates"), None);
    assert_eq!(integration.get("contentHandling"), None);
}

#[test]
fn what_update_refuses() {
    let (mut plane, place) = place();
    plane.ok("PutIntegration", http(&place));
    for (operations, message) in [
        (patch("replace", "/type", "MOCK"), "Invalid patch path /type"),
        (patch("replace", "/uri", "x"), "Invalid HTTP endpoint specified for URI"),
        (
            patch("replace", "/timeoutInMillis", "soon"),
            "Timeout should be between 50 ms and 29000 ms",
        ),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        plane.refused("UpdateIntegration", params, BadRequest, message);
    }
    plane.ok("PutIntegration", with(&place, json!({"type": "MOCK"})));
    let operations = patch("replace", "/uri", "http://example.com");
    let params = with(&place, json!({"patchOperations": operations}));
    plane.refused("UpdateIntegration", params, BadRequest, "Invalid patch path /uri");
    plane.ok("DeleteIntegration", place.clone());
    let unknown = "Invalid Integration identifier specified";
    plane.refused("DeleteIntegration", place, NotFound, unknown);
}
