//! Method responses as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, Conflict, NotFound};
use crate::admin::rest::harness::{Plane, patch, with};

/// A plane and the place of a response of the root resource's GET.
fn place() -> (Plane, Value) {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let method = json!({"restApiId": api, "resourceId": root, "httpMethod": "GET"});
    plane.ok("PutMethod", with(&method, json!({"authorizationType": "NONE"})));
    (plane, with(&method, json!({"statusCode": "200"})))
}

#[test]
fn absent_maps_are_not_shown_and_empty_ones_are() {
    let (mut plane, place) = place();
    assert_eq!(plane.ok("PutMethodResponse", place.clone()), json!({"statusCode": "200"}));
    let other = with(&place, json!({"statusCode": "201"}));
    let empty = json!({"responseModels": {}, "responseParameters": {}});
    let expected = with(&json!({"statusCode": "201"}), empty.clone());
    assert_eq!(plane.ok("PutMethodResponse", with(&other, empty)), expected);
    assert_eq!(plane.ok("GetMethodResponse", other), expected);
    plane.refused(
        "PutMethodResponse",
        place,
        Conflict,
        "Response already exists for this resource",
    );
}

#[test]
fn an_emptied_map_disappears() {
    let (mut plane, place) = place();
    plane.ok("PutMethodResponse", place.clone());
    let header = "/responseParameters/method.response.header.a";
    let mut update = |operations: Value| {
        plane.ok("UpdateMethodResponse", with(&place, json!({"patchOperations": operations})))
    };
    let response = update(json!([
        {"op": "add", "path": header, "value": "true"},
        {"op": "add", "path": "/responseModels/application~1json", "value": "Empty"},
    ]));
    assert_eq!(
        response,
        json!({"statusCode": "200", "responseParameters": {"method.response.header.a": true},
               "responseModels": {"application/json": "Empty"}})
    );
    let response = update(json!([
        {"op": "remove", "path": header},
        {"op": "remove", "path": "/responseModels/application~1json"},
    ]));
    assert_eq!(response, json!({"statusCode": "200"}));
}

#[test]
fn what_is_refused() {
    let (mut plane, place) = place();
    plane.ok("PutMethodResponse", place.clone());
    for (operations, kind, message) in [
        (patch("replace", "/wrongPath", "x"), BadRequest, "Invalid patch path /wrongPath"),
        (json!([{"op": "add", "value": "x"}]), BadRequest, "Invalid patch path null"),
        (
            patch("remove", "/responseParameters/method.response.header.no", Value::Null),
            NotFound,
            "Invalid parameter name specified",
        ),
        (
            patch("replace", "/responseModels/text~1no", "Empty"),
            NotFound,
            "Content-Type specified was not found",
        ),
        (
            patch("add", "/responseModels/application~1json", "Nope"),
            BadRequest,
            "Invalid model identifier specified: Nope",
        ),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        plane.refused("UpdateMethodResponse", params, kind, message);
    }
    let unknown = "Invalid Response status code specified";
    for operation in ["GetMethodResponse", "UpdateMethodResponse", "DeleteMethodResponse"] {
        let other = with(&place, json!({"statusCode": "404"}));
        plane.refused(operation, other, NotFound, unknown);
        let other = with(&place, json!({"httpMethod": "PUT"}));
        plane.refused(operation, other, NotFound, "Invalid Method identifier specified");
    }
    plane.ok("DeleteMethodResponse", place.clone());
    plane.refused("GetMethodResponse", place, NotFound, unknown);
}
