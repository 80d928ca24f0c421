//! Gateway responses as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, NotFound};
use crate::admin::rest::harness::{Plane, patch, with};
use crate::store::control::Kind;

const TEMPLATE: &str = "{\"message\":$context.error.messageString}";

fn place(plane: &mut Plane, kind: &str) -> Value {
    json!({"restApiId": plane.api().0, "responseType": kind})
}

#[test]
fn every_type_of_the_model_has_a_default_in_alphabetical_order() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let listed = plane.ok("GetGatewayResponses", json!({"restApiId": api}));
    let kinds: Vec<String> = listed["item"]
        .as_array()
        .unwrap()
        .iter()
        .map(|response| response["responseType"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.is_sorted());
    let model: Value = serde_json::from_str(include_str!("../protocol/apigateway.json")).unwrap();
    let mut known: Vec<String> =
        serde_json::from_value(model["shapes"]["GatewayResponseType"]["enum"].clone()).unwrap();
    known.sort();
    assert_eq!(kinds, known);
    let one = json!({"restApiId": api, "responseType": "THROTTLED"});
    assert_eq!(
        plane.ok("GetGatewayResponse", one),
        json!({"responseType": "THROTTLED", "statusCode": "429", "defaultResponse": true,
               "responseParameters": {}, "responseTemplates": {"application/json": TEMPLATE}})
    );
}

#[test]
fn a_customised_default_shows_through_whole() {
    let mut plane = Plane::new();
    let default = place(&mut plane, "DEFAULT_5XX");
    let own = with(&default, json!({"responseType": "INTEGRATION_TIMEOUT"}));
    let parameters = json!({"gatewayresponse.header.x": "'a'"});
    let put = plane.ok("PutGatewayResponse", with(&own, json!({"responseParameters": parameters})));
    // What was not given keeps the default of the type.
    assert_eq!(put["statusCode"], "504");
    assert_eq!(put["responseTemplates"], json!({"application/json": TEMPLATE}));
    assert_eq!(put["defaultResponse"], false);
    let custom = json!({"statusCode": "599", "responseTemplates": {"application/json": "x"}});
    plane.ok("PutGatewayResponse", with(&default, custom));

    let failure = with(&default, json!({"responseType": "INTEGRATION_FAILURE"}));
    assert_eq!(
        plane.ok("GetGatewayResponse", failure.clone()),
        json!({"responseType": "INTEGRATION_FAILURE", "statusCode": "599", "defaultResponse": true,
               "responseParameters": {}, "responseTemplates": {"application/json": "x"}})
    );
    assert_eq!(plane.ok("GetGatewayResponse", own), put);
    let unauthorized = with(&default, json!({"responseType": "UNAUTHORIZED"}));
    assert_eq!(plane.ok("GetGatewayResponse", unauthorized)["statusCode"], "401");
    plane.ok("DeleteGatewayResponse", default);
    assert_eq!(plane.ok("GetGatewayResponse", failure)["statusCode"], "504");
}

/// rest-data-plane 3.4: 504 is shown where the author gave no status, and is not the author's: a
/// failure of the type with 500 or 502 keeps that.
#[test]
fn a_status_that_nobody_gave_is_shown_and_not_kept() {
    let mut plane = Plane::new();
    let place = place(&mut plane, "INTEGRATION_FAILURE");
    let api = place["restApiId"].as_str().unwrap().to_owned();
    let parameters = json!({"gatewayresponse.header.x": "'a'"});
    let body = with(&place, json!({"responseParameters": parameters}));
    let entry = json!([{"op": "add", "path": "/responseParameters/gatewayresponse.header.y",
                        "value": "'b'"}]);
    for (operation, input) in [
        ("PutGatewayResponse", body),
        ("UpdateGatewayResponse", with(&place, json!({"patchOperations": entry}))),
    ] {
        assert_eq!(plane.ok(operation, input)["statusCode"], "504", "{operation}");
        let shown = plane.ok("GetGatewayResponse", place.clone());
        assert_eq!(
            (&shown["statusCode"], &shown["defaultResponse"]),
            (&json!("504"), &json!(false))
        );
        let state = &plane.state;
        let kept = state.get(Kind::GatewayResponse, &api, "INTEGRATION_FAILURE").unwrap();
        assert!(!kept.body.contains_key("statusCode"), "{operation}: {kept:?}");
    }
    plane.ok(
        "UpdateGatewayResponse",
        with(&place, json!({"patchOperations": patch("replace", "/statusCode", "504")})),
    );
    let state = &plane.state;
    let kept = state.get(Kind::GatewayResponse, &api, "INTEGRATION_FAILURE").unwrap();
    assert_eq!(kept.body["statusCode"], "504");
}

#[test]
fn a_patch_customises_what_was_default() {
    let mut plane = Plane::new();
    let place = place(&mut plane, "DEFAULT_4XX");
    let operations = json!([
        {"op": "replace", "path": "/statusCode", "value": "444"},
        {"op": "add", "path": "/responseParameters/gatewayresponse.header.a", "value": "'1'"},
        {"op": "replace", "path": "/responseTemplates/application~1json", "value": "y"},
        {"op": "add", "path": "/responseTemplates/application~1xml", "value": "<x/>"},
        {"op": "remove", "path": "/responseTemplates/application~1xml"},
    ]);
    let patched =
        plane.ok("UpdateGatewayResponse", with(&place, json!({"patchOperations": operations})));
    assert_eq!(
        patched,
        json!({"responseType": "DEFAULT_4XX", "statusCode": "444", "defaultResponse": false,
               "responseParameters": {"gatewayresponse.header.a": "'1'"},
               "responseTemplates": {"application/json": "y"}})
    );
    plane.ok("DeleteGatewayResponse", place.clone());
    let gone = "Gateway response type not defined on api";
    plane.refused("DeleteGatewayResponse", place, NotFound, gone);
}

#[test]
fn what_a_patch_refuses() {
    let mut plane = Plane::new();
    let place = place(&mut plane, "DEFAULT_4XX");
    let unknown = "Invalid parameter name specified";
    for (operations, kind, message) in [
        (patch("replace", "/wrongPath", "x"), BadRequest, "Invalid patch path /wrongPath"),
        (json!([{"op": "add", "value": "x"}]), BadRequest, "Invalid patch path null"),
        (patch("add", "/statusCode", "400"), BadRequest, "Invalid patch path /statusCode"),
        (patch("remove", "/statusCode", "400"), BadRequest, "Invalid patch path /statusCode"),
        (patch("replace", "/responseParameters/gatewayresponse.header.n", "x"), NotFound, unknown),
        (patch("replace", "/responseTemplates/text~1plain", "x"), NotFound, unknown),
        (
            patch("add", "/responseTemplates/text~1plain", Value::Null),
            BadRequest,
            "Invalid null or empty value in responseTemplates",
        ),
        (
            patch("add", "/responseParameters/gatewayresponse.header.n", Value::Null),
            BadRequest,
            "Invalid null or empty value in responseParameters",
        ),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        plane.refused("UpdateGatewayResponse", params, kind, message);
    }
    assert_eq!(plane.ok("GetGatewayResponse", place)["defaultResponse"], true);
}

/// What no answer could be made of is refused where it is put.
#[test]
fn sources_that_are_none_are_refused() {
    let mut plane = Plane::new();
    let place = place(&mut plane, "DEFAULT_4XX");
    let wrong = |named: &str| {
        format!(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: {named}]"
        )
    };
    let key = "gatewayresponse.header.a";
    for (target, source, message) in [
        (key, "x", wrong("x")),
        (key, "context.nope", wrong("context.nope")),
        (key, "method.request.body", wrong("method.request.body")),
        (key, "integration.response.header.a", wrong("integration.response.header.a")),
        ("header.a", "'x'", wrong("header.a")),
    ] {
        let parameters = json!({"responseParameters": {target: source}});
        plane.refused("PutGatewayResponse", with(&place, parameters), BadRequest, &message);
        let path = format!("/responseParameters/{target}");
        let operations = json!({"patchOperations": patch("add", &path, source)});
        plane.refused("UpdateGatewayResponse", with(&place, operations), BadRequest, &message);
    }
    let template = json!({"responseTemplates": {"json": "x"}});
    let message =
        "Validation Result: warnings : [], errors : [Invalid content type specified: json]";
    plane.refused("PutGatewayResponse", with(&place, template), BadRequest, message);
    let template = json!({"responseTemplates": {"a/b": "x".repeat(300 * 1024 + 1)}});
    let message = "Mapping template exceeds 307200 bytes in responseTemplates";
    plane.refused("PutGatewayResponse", with(&place, template), BadRequest, message);
    let parameters = json!({"gatewayresponse.header.a": "'x'",
                            "gatewayresponse.header.b": "method.request.querystring.q",
                            "gatewayresponse.header.c": "context.error.message",
                            "gatewayresponse.header.d": "stageVariables.v"});
    plane.ok("PutGatewayResponse", with(&place, json!({"responseParameters": parameters})));
}
