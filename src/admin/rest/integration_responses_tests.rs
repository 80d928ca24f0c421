//! Integration responses as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, NotFound};
use crate::admin::rest::harness::{Plane, patch, with};

/// A plane, the root resource's GET with an integration, and the place of its 200.
fn place() -> (Plane, Value, Value) {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let method = json!({"restApiId": api, "resourceId": root, "httpMethod": "GET"});
    plane.ok("PutMethod", with(&method, json!({"authorizationType": "NONE"})));
    let place = with(&method, json!({"statusCode": "200"}));
    plane.ok("PutMethodResponse", place.clone());
    plane.ok("PutIntegration", with(&method, json!({"type": "MOCK"})));
    (plane, method, place)
}

#[test]
fn empty_maps_are_echoed_and_the_pattern_defaults_to_empty() {
    let (mut plane, method, place) = place();
    let bare = plane.ok("PutIntegrationResponse", place.clone());
    assert_eq!(bare, json!({"statusCode": "200", "selectionPattern": ""}));
    let empty = json!({"responseTemplates": {}, "responseParameters": {}});
    let expected = with(&bare, empty.clone());
    assert_eq!(plane.ok("PutIntegrationResponse", with(&place, empty)), expected);
    assert_eq!(plane.ok("GetIntegrationResponse", place), expected);
    let integration = plane.ok("GetIntegration", method.clone());
    assert_eq!(integration["integrationResponses"], json!({"200": expected}));
    let embedded = plane.ok("GetMethod", method);
    assert_eq!(embedded["methodIntegration"], integration);
}

#[test]
fn templates_are_patched_and_an_emptied_map_disappears() {
    let (mut plane, _, place) = place();
    let templates = json!({"responseTemplates": {"application/json": "old", "text/plain": ""}});
    let put = plane.ok("PutIntegrationResponse", with(&place, templates));
    assert_eq!(put["responseTemplates"], json!({"application/json": "old", "text/plain": null}));
    let mut update = |operations: Value| {
        plane.ok("UpdateIntegrationResponse", with(&place, json!({"patchOperations": operations})))
    };
    let header = "/responseParameters/method.response.header.a";
    let response = update(json!([
        {"op": "replace", "path": "/responseTemplates/application~1json", "value": "new"},
        {"op": "remove", "path": "/responseTemplates/text~1plain"},
        {"op": "replace", "path": "/selectionPattern", "value": "2\\d{2}"},
        {"op": "add", "path": header, "value": "integration.response.header.b"},
    ]));
    assert_eq!(
        response,
        json!({"statusCode": "200", "selectionPattern": "2\\d{2}",
               "responseTemplates": {"application/json": "new"},
               "responseParameters": {"method.response.header.a": "integration.response.header.b"}})
    );
    let response = update(json!([
        {"op": "remove", "path": "/responseTemplates/application~1json"},
        {"op": "remove", "path": header},
    ]));
    assert_eq!(response, json!({"statusCode": "200", "selectionPattern": "2\\d{2}"}));
}

#[test]
fn what_is_refused() {
    let (mut plane, method, place) = place();
    for (more, kind, message) in [
        (
            json!({"responseTemplates": {"123": "x"}}),
            BadRequest,
            "Validation Result: warnings : [], errors : [Invalid content type specified: 123]",
        ),
        (
            json!({"responseParameters": {"method.response.header.a": "true"}}),
            BadRequest,
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: true]",
        ),
        (
            json!({"responseParameters": {"method.response.header.a": "context.nope"}}),
            BadRequest,
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: context.nope]",
        ),
        (json!({"statusCode": "404"}), NotFound, "Invalid Response status code specified"),
        (json!({"httpMethod": "PUT"}), NotFound, "Invalid Method identifier specified"),
        (json!({"resourceId": "nope"}), NotFound, "Invalid Resource identifier specified"),
        (
            json!({"restApiId": "nope"}),
            NotFound,
            "Invalid API identifier specified 000000000000:nope",
        ),
    ] {
        plane.refused("PutIntegrationResponse", with(&place, more), kind, message);
    }
    let unknown = "Invalid Response status code specified";
    for operation in
        ["GetIntegrationResponse", "UpdateIntegrationResponse", "DeleteIntegrationResponse"]
    {
        plane.refused(operation, place.clone(), NotFound, unknown);
    }
    plane.ok("PutIntegrationResponse", place.clone());
    let operations = json!({"patchOperations": patch("replace", "/statusCode", "201")});
    let wrong = "Invalid patch path /statusCode";
    plane.refused("UpdateIntegrationResponse", with(&place, operations), BadRequest, wrong);
    plane.ok("DeleteIntegrationResponse", place.clone());
    plane.refused("DeleteIntegrationResponse", place.clone(), NotFound, unknown);
    plane.ok("DeleteIntegration", method);
    let unknown = "Invalid Integration identifier specified";
    plane.refused("PutIntegrationResponse", place, NotFound, unknown);
}
