//! Methods as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, Conflict, NotFound};
use crate::admin::rest::harness::{Plane, patch, string, with};

/// A plane, its API and a method's place on the root resource.
fn place() -> (Plane, String, Value) {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let place = json!({"restApiId": api, "resourceId": root, "httpMethod": "ANY"});
    (plane, api, place)
}

fn open(place: &Value) -> Value {
    with(place, json!({"authorizationType": "NONE"}))
}

#[test]
fn a_bare_method() {
    let (mut plane, _, place) = place();
    let expected =
        json!({"httpMethod": "ANY", "apiKeyRequired": false, "authorizationType": "NONE"});
    let empty = json!({"requestParameters": {}, "requestModels": {}, "authorizationScopes": []});
    assert_eq!(plane.ok("PutMethod", with(&open(&place), empty)), expected);
    assert_eq!(plane.ok("GetMethod", place.clone()), expected);
    plane.refused("PutMethod", open(&place), Conflict, "Method already exists for this resource");
    plane.ok("DeleteMethod", place.clone());
    let gone = "Invalid Method identifier specified";
    for operation in ["DeleteMethod", "GetMethod", "UpdateMethod"] {
        plane.refused(operation, place.clone(), NotFound, gone);
    }
    let resource = json!({"restApiId": place["restApiId"], "resourceId": place["resourceId"]});
    assert_eq!(plane.ok("GetResource", resource).get("resourceMethods"), None);
}

#[test]
fn what_put_refuses() {
    let (mut plane, _, place) = place();
    let method = open(&place);
    let authorizer = "Invalid authorizer ID specified. Setting the authorization type to CUSTOM \
                      or COGNITO_USER_POOLS requires a valid authorizer.";
    for (more, kind, message) in [
        (json!({"resourceId": "nope"}), NotFound, "Invalid Resource identifier specified"),
        (
            json!({"restApiId": "nope"}),
            NotFound,
            "Invalid API identifier specified 000000000000:nope",
        ),
        (
            json!({"httpMethod": "WRONG"}),
            BadRequest,
            "Invalid HttpMethod specified. Valid options are \
             GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY",
        ),
        (json!({"authorizationType": "CUSTOM"}), BadRequest, authorizer),
        (
            json!({"authorizationType": "COGNITO_USER_POOLS", "authorizerId": "nope"}),
            BadRequest,
            authorizer,
        ),
        (
            json!({"requestValidatorId": "nope"}),
            BadRequest,
            "Invalid Request Validator identifier specified",
        ),
        (
            json!({"requestModels": {"application/json": "Nope"}}),
            BadRequest,
            "Invalid model identifier specified: Nope",
        ),
        (
            json!({"requestParameters":
                   {"method.request.querystring.a": true, "method.request.header.a": true}}),
            BadRequest,
            "Parameter names must be unique across querystring, header and path",
        ),
    ] {
        plane.refused("PutMethod", with(&method, more), kind, message);
    }
}

#[test]
fn request_models_and_parameters_are_patched_as_maps() {
    let (mut plane, _, place) = place();
    plane.ok("PutMethod", open(&place));
    let mut update = |operations: Value| {
        plane.ok("UpdateMethod", with(&place, json!({"patchOperations": operations})))
    };
    let method = update(json!([
        {"op": "add", "path": "/requestModels/application~1json", "value": "Error"},
        {"op": "add", "path": "/requestParameters/method.request.header.a", "value": "true"},
        {"op": "add", "path": "/requestParameters/method.request.path.b", "value": "other"},
        {"op": "replace", "path": "/apiKeyRequired", "value": "TRUE"},
        {"op": "replace", "path": "/operationName", "value": "op"},
    ]));
    assert_eq!(method["requestModels"], json!({"application/json": "Error"}));
    assert_eq!(
        method["requestParameters"],
        json!({"method.request.header.a": true, "method.request.path.b": false})
    );
    assert_eq!(method["apiKeyRequired"], true);
    let method = update(json!([
        {"op": "remove", "path": "/requestModels/application~1json"},
        {"op": "remove", "path": "/requestParameters/method.request.header.a"},
        {"op": "remove", "path": "/requestParameters/method.request.path.b"},
        {"op": "replace", "path": "/apiKeyRequired", "value": "no boolean"},
        {"op": "replace", "path": "/operationName", "value": null},
    ]));
    assert_eq!(
        method,
        json!({"httpMethod": "ANY", "apiKeyRequired": false, "authorizationType": "NONE"})
    );
}

#[test]
fn what_update_refuses() {
    let (mut plane, _, place) = place();
    plane.ok("PutMethod", open(&place));
    for (operations, message) in [
        (patch("replace", "/httpMethod", "GET"), "Invalid patch path /httpMethod"),
        (json!([{"op": "replace", "value": "x"}]), "Invalid patch path null"),
        (
            patch("add", "/authorizationType", "NONE"),
            "Invalid patch operation specified. Must be one of: [replace]",
        ),
        (
            patch("replace", "/authorizationScopes", "x"),
            "Invalid patch operation specified. Must be one of: [add, remove]",
        ),
        (
            patch("replace", "/requestValidatorId", "nope"),
            "Invalid Request Validator identifier specified",
        ),
        (
            patch("add", "/requestModels/application~1json", "Nope"),
            "Invalid model identifier specified: Nope",
        ),
        (
            patch("replace", "/authorizationType", "CUSTOM"),
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or \
             COGNITO_USER_POOLS requires a valid authorizer.",
        ),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        plane.refused("UpdateMethod", params, BadRequest, message);
    }
}

#[test]
fn scopes_and_authorizer_go_with_the_type_that_used_them() {
    let (mut plane, api, place) = place();
    let pool = "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_x";
    let authorizer = plane.ok(
        "CreateAuthorizer",
        json!({"restApiId": api, "name": "c", "type": "COGNITO_USER_POOLS",
               "providerARNs": [pool], "identitySource": "method.request.header.Authorization"}),
    );
    plane.ok("PutMethod", open(&place));
    let mut update = |operations: Value| {
        plane.ok("UpdateMethod", with(&place, json!({"patchOperations": operations})))
    };
    // An authorizer that the type cannot use is ignored.
    let ignored = update(patch("replace", "/authorizerId", authorizer["id"].clone()));
    assert_eq!(ignored.get("authorizerId"), None);
    let method = update(json!([
        {"op": "replace", "path": "/authorizationType", "value": "COGNITO_USER_POOLS"},
        {"op": "replace", "path": "/authorizerId", "value": authorizer["id"]},
        {"op": "add", "path": "/authorizationScopes", "value": "a/b"},
        {"op": "add", "path": "/authorizationScopes", "value": "c/d"},
        {"op": "remove", "path": "/authorizationScopes", "value": "a/b"},
    ]));
    assert_eq!(string(&method["authorizerId"]), string(&authorizer["id"]));
    assert_eq!(method["authorizationScopes"], json!(["c/d"]));
    let method = update(patch("replace", "/authorizationType", "NONE"));
    assert_eq!(
        method,
        json!({"httpMethod": "ANY", "apiKeyRequired": false, "authorizationType": "NONE"})
    );
}

#[test]
fn an_empty_validator_clears_it() {
    let (mut plane, api, place) = place();
    let validator = plane.ok("CreateRequestValidator", json!({"restApiId": api, "name": "v"}));
    let id = validator["id"].clone();
    plane.ok("PutMethod", with(&open(&place), json!({"requestValidatorId": id})));
    for empty in [json!(""), Value::Null] {
        let mut update = |value: Value| {
            let operations = patch("replace", "/requestValidatorId", value);
            plane.ok("UpdateMethod", with(&place, json!({"patchOperations": operations})))
        };
        assert_eq!(update(id.clone())["requestValidatorId"], id);
        assert_eq!(update(empty).get("requestValidatorId"), None);
    }
}
