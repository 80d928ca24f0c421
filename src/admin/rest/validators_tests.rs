//! Request validators as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, Conflict, NotFound};
use crate::admin::rest::harness::{Plane, patch, with};

#[test]
fn flags_are_false_unless_they_say_true() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let made = plane.ok("CreateRequestValidator", json!({"restApiId": api, "name": "v"}));
    let expected = json!({"id": made["id"], "name": "v", "validateRequestBody": false,
                          "validateRequestParameters": false});
    assert_eq!(made, expected);
    let place = json!({"restApiId": api, "requestValidatorId": made["id"]});
    let mut update = |path: &str, value: Value| {
        let operations = json!({"patchOperations": patch("replace", path, value)});
        plane.ok("UpdateRequestValidator", with(&place, operations))
    };
    assert_eq!(update("/validateRequestBody", json!("true"))["validateRequestBody"], true);
    assert_eq!(update("/validateRequestBody", Value::Null)["validateRequestBody"], false);
    let parameters = update("/validateRequestParameters", json!("whatever"));
    assert_eq!(parameters["validateRequestParameters"], false);
    assert_eq!(update("/name", json!("w"))["name"], "w");
}

#[test]
fn what_is_refused() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let wrong = json!({"restApiId": "api_id", "name": "v"});
    let message = "Invalid REST API identifier specified";
    plane.refused("CreateRequestValidator", wrong, BadRequest, message);
    let made = plane.ok("CreateRequestValidator", json!({"restApiId": api, "name": "v"}));
    let place = json!({"restApiId": api, "requestValidatorId": made["id"]});
    for (operations, message) in [
        (patch("replace", "/name", ""), "Request Validator name cannot be blank"),
        (
            patch("replace", "/invalidPath", "x"),
            "Invalid patch path  '/invalidPath' specified for op 'replace'. Must be one of: \
             [/name, /validateRequestParameters, /validateRequestBody]",
        ),
        (
            patch("add", "/name", "x"),
            "Invalid patch path  '/name' specified for op 'add'. Please choose supported operations",
        ),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        plane.refused("UpdateRequestValidator", params, BadRequest, message);
    }
    let method = json!({"restApiId": api, "resourceId": root, "httpMethod": "GET"});
    let uses = json!({"authorizationType": "NONE", "requestValidatorId": made["id"]});
    plane.ok("PutMethod", with(&method, uses));
    let error = plane.call("DeleteRequestValidator", place.clone()).unwrap_err();
    assert_eq!(error.kind, Conflict);
    plane.ok("DeleteMethod", method);
    plane.ok("DeleteRequestValidator", place.clone());
    let gone = "Invalid Request Validator identifier specified";
    for operation in ["GetRequestValidator", "UpdateRequestValidator", "DeleteRequestValidator"] {
        plane.refused(operation, place.clone(), NotFound, gone);
    }
}
