//! Authorizers: the four kinds, and what each needs.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, Conflict, NotFound};
use crate::admin::rest::harness::{Plane, patch, with};

const FUNCTION: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                        arn:aws:lambda:us-east-1:000000000000:function:f/invocations";
const POOL: &str = "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_x";
const SOURCE: &str = "method.request.header.Authorization";

fn token(api: &str) -> Value {
    json!({"restApiId": api, "name": "t", "type": "TOKEN", "authorizerUri": FUNCTION,
           "identitySource": SOURCE})
}

fn jwt(api: &str) -> Value {
    json!({"restApiId": api, "name": "j", "type": "JWT", "identitySource": SOURCE,
           "jwtConfiguration": {
               "issuers": [{"issuer": "https://issuer.example/x", "audiences": ["a"]}],
               "defaultAlgorithms": ["RS256"]}})
}

#[test]
fn each_kind_is_kept_whole() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let request = json!({"restApiId": api, "name": "r", "type": "REQUEST",
                         "authorizerUri": FUNCTION, "authorizerResultTtlInSeconds": 0});
    let cognito = json!({"restApiId": api, "name": "c", "type": "COGNITO_USER_POOLS",
                         "providerARNs": [POOL], "identitySource": SOURCE});
    for (params, auth_type, ttl) in [
        (token(&api), "custom", json!(300)),
        (request, "custom", json!(0)),
        (cognito, "cognito_user_pools", json!(300)),
        (jwt(&api), "jwt", Value::Null),
    ] {
        let made = plane.ok("CreateAuthorizer", params.clone());
        for (name, value) in params.as_object().unwrap() {
            assert!(name == "restApiId" || made[name] == *value, "{name} of {made}");
        }
        assert_eq!(
            (&made["authType"], &made["authorizerResultTtlInSeconds"]),
            (&json!(auth_type), &ttl)
        );
        let place = json!({"restApiId": api, "authorizerId": made["id"]});
        assert_eq!(plane.ok("GetAuthorizer", place), made);
    }
    let listed = plane.ok("GetAuthorizers", json!({"restApiId": api}));
    assert_eq!(listed["item"].as_array().unwrap().len(), 4);
}

#[test]
fn what_create_refuses() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    plane.refused(
        "CreateAuthorizer",
        token("nope"),
        Conflict,
        "Unable to complete operation due to concurrent modification. Please try again later.",
    );
    let issuer = |url: &str| {
        json!({"jwtConfiguration": {"issuers": [{"issuer": url, "audiences": ["a"]}],
                                    "defaultAlgorithms": ["RS256"]}})
    };
    for params in [
        with(&token(&api), json!({"authorizerUri": "arn:aws:lambda:us-east-1:0:function:f"})),
        with(&token(&api), json!({"identitySource": null})),
        with(&token(&api), json!({"identitySource": "method.request.querystring.a"})),
        with(&token(&api), json!({"authorizerResultTtlInSeconds": 3_601})),
        with(&token(&api), json!({"authorizerResultTtlInSeconds": -1})),
        with(&token(&api), json!({"type": "REQUEST", "identitySource": null})),
        with(&token(&api), json!({"type": "REQUEST", "identitySource": "method.request.path.a"})),
        with(&token(&api), json!({"type": "COGNITO_USER_POOLS"})),
        with(&token(&api), json!({"name": ""})),
        with(&jwt(&api), json!({"authorizerResultTtlInSeconds": 300})),
        with(&jwt(&api), json!({"jwtConfiguration": null})),
        with(&jwt(&api), json!({"providerARNs": [POOL]})),
        with(&jwt(&api), issuer("http://issuer.example")),
        with(&jwt(&api), issuer("https://user@issuer.example")),
        with(&jwt(&api), issuer("https://issuer.example/?a=b")),
        with(&jwt(&api), issuer("https://")),
    ] {
        let error = plane.call("CreateAuthorizer", params.clone()).unwrap_err();
        assert_eq!(error.kind, BadRequest, "{params}");
    }
    plane.ok("CreateAuthorizer", token(&api));
    plane.refused(
        "CreateAuthorizer",
        token(&api),
        BadRequest,
        "Authorizer name must be unique. Authorizer t already exists in this RestApi.",
    );
}

#[test]
fn an_update_follows_the_table() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let made = plane.ok("CreateAuthorizer", token(&api));
    let place = json!({"restApiId": api, "authorizerId": made["id"]});
    let operations = json!([
        {"op": "replace", "path": "/type", "value": "COGNITO_USER_POOLS"},
        {"op": "add", "path": "/providerARNs", "value": POOL},
        {"op": "replace", "path": "/authorizerUri", "value": ""},
        {"op": "replace", "path": "/authorizerResultTtlInSeconds", "value": "60"},
    ]);
    let patched =
        plane.ok("UpdateAuthorizer", with(&place, json!({"patchOperations": operations})));
    assert_eq!(
        patched,
        json!({"id": made["id"], "name": "t", "type": "COGNITO_USER_POOLS",
               "authType": "cognito_user_pools", "providerARNs": [POOL],
               "identitySource": SOURCE, "authorizerResultTtlInSeconds": 60})
    );
    for operations in [
        patch("replace", "/authorizerResultTtlInSeconds", "soon"),
        patch("remove", "/providerARNs", POOL),
        patch("replace", "/name", ""),
        patch("replace", "/id", "x"),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        let error = plane.call("UpdateAuthorizer", params).unwrap_err();
        assert_eq!(error.kind, BadRequest, "{operations}");
    }
}

#[test]
fn an_authorizer_in_use_is_not_deleted() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let made = plane.ok("CreateAuthorizer", token(&api));
    let place = json!({"restApiId": api, "authorizerId": made["id"]});
    let method = json!({"restApiId": api, "resourceId": root, "httpMethod": "GET"});
    let uses = json!({"authorizationType": "CUSTOM", "authorizerId": made["id"]});
    plane.ok("PutMethod", with(&method, uses));
    let error = plane.call("DeleteAuthorizer", place.clone()).unwrap_err();
    assert_eq!(error.kind, Conflict);
    plane.ok("DeleteMethod", method);
    plane.ok("DeleteAuthorizer", place.clone());
    let gone = "Invalid Authorizer identifier specified";
    plane.refused("GetAuthorizer", place, NotFound, gone);
}
