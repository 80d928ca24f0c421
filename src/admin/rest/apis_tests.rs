//! REST APIs as AWS was recorded to treat them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, NotFound};
use crate::admin::rest::harness::{Plane, patch, string, with};
use crate::store::control::{Body, Kind, Txn};

#[test]
fn a_new_api_has_recorded_defaults() {
    let mut plane = Plane::new();
    let api = plane.ok("CreateRestApi", json!({"name": "a"}));
    let id = string(&api["id"]);
    assert_eq!(
        api,
        json!({
            "id": id, "name": "a", "createdDate": 1_700_000_000, "apiKeySource": "HEADER",
            "disableExecuteApiEndpoint": false, "rootResourceId": api["rootResourceId"],
            "endpointConfiguration": {"types": ["EDGE"], "ipAddressType": "ipv4"},
        })
    );
    assert_eq!((id.len(), string(&api["rootResourceId"]).len()), (10, 10));
    let models = plane.ok("GetModels", json!({"restApiId": id}));
    let mut names: Vec<_> = models["item"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, ["Empty", "Error"]);
}

#[test]
fn members_are_kept_and_empty_lists_are_not() {
    let mut plane = Plane::new();
    let api = plane.ok(
        "CreateRestApi",
        json!({"name": "a", "version": "v1", "binaryMediaTypes": [], "minimumCompressionSize": 0,
               "securityPolicy": "TLS_1_2", "tags": {"k": "v"}, "apiKeySource": "AUTHORIZER"}),
    );
    assert_eq!(api["version"], "v1");
    assert_eq!(api.get("binaryMediaTypes"), None);
    assert_eq!(api["minimumCompressionSize"], 0);
    assert_eq!(api["tags"], json!({"k": "v"}));
    assert_eq!(api["apiKeySource"], "AUTHORIZER");
}

#[test]
fn tags_appear_in_get_and_update_but_not_in_create_and_list() {
    let mut plane = Plane::new();
    let api = plane.ok("CreateRestApi", json!({"name": "a"}));
    assert_eq!(api.get("tags"), None);
    let id = json!({"restApiId": api["id"]});
    assert_eq!(plane.ok("GetRestApi", id.clone())["tags"], json!({}));
    let updated = plane.ok("UpdateRestApi", with(&id, json!({"patchOperations": []})));
    assert_eq!(updated["tags"], json!({}));
    assert_eq!(plane.ok("GetRestApis", json!({}))["item"][0].get("tags"), None);
}

#[test]
fn what_create_refuses() {
    let mut plane = Plane::new();
    let compression = "Invalid minimum compression size, must be between 0 and 10485760";
    for (more, message) in [
        (json!({"description": ""}), "Description cannot be an empty string"),
        (json!({"minimumCompressionSize": -1}), compression),
        (json!({"minimumCompressionSize": 10_485_761}), compression),
        (
            json!({"endpointConfiguration": {"types": []}}),
            "REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.",
        ),
        (
            json!({"endpointConfiguration": {"types": ["EDGE", "REGIONAL"]}}),
            "Cannot create an api with multiple Endpoint Types.",
        ),
        (
            json!({"endpointConfiguration": {"types": ["PRIVATE"], "ipAddressType": "ipv4"}}),
            "Only dualstack ipAddressType is supported for Private APIs.",
        ),
    ] {
        let params = with(&json!({"name": "a"}), more);
        plane.refused("CreateRestApi", params, BadRequest, message);
    }
}

#[test]
fn a_private_api_is_dualstack() {
    let mut plane = Plane::new();
    let api = plane.ok(
        "CreateRestApi",
        json!({"name": "a", "endpointConfiguration":
               {"types": ["PRIVATE"], "vpcEndpointIds": ["vpce-1"]}}),
    );
    assert_eq!(
        api["endpointConfiguration"],
        json!({"types": ["PRIVATE"], "vpcEndpointIds": ["vpce-1"], "ipAddressType": "dualstack"})
    );
}

#[test]
fn an_unknown_api_is_named_with_its_account() {
    let mut plane = Plane::new();
    let message = "Invalid API identifier specified 000000000000:nope";
    for operation in ["GetRestApi", "UpdateRestApi", "DeleteRestApi"] {
        plane.refused(operation, json!({"restApiId": "nope"}), NotFound, message);
    }
    let clone = json!({"name": "a", "cloneFrom": "nope"});
    plane.refused("CreateRestApi", clone, NotFound, message);
}

/// An API, patched; the answer.
fn patched(plane: &mut Plane, id: &str, operations: Value) -> Value {
    plane.ok("UpdateRestApi", json!({"restApiId": id, "patchOperations": operations}))
}

#[test]
fn binary_media_types_are_a_list_patched_as_a_map() {
    let mut plane = Plane::new();
    let (id, _) = plane.api();
    let both = json!([{"op": "add", "path": "/binaryMediaTypes/image~1png"},
                      {"op": "add", "path": "/binaryMediaTypes/image~1jpeg"}]);
    assert_eq!(
        patched(&mut plane, &id, both)["binaryMediaTypes"],
        json!(["image/png", "image/jpeg"])
    );
    let replace = patch("replace", "/binaryMediaTypes/image~1png", "image/gif");
    let api = patched(&mut plane, &id, replace);
    assert_eq!(api["binaryMediaTypes"], json!(["image/jpeg", "image/gif"]));
    let dash = patched(&mut plane, &id, patch("add", "/binaryMediaTypes/-", "image/png"));
    assert_eq!(dash["binaryMediaTypes"], json!(["image/jpeg", "image/gif", "-"]));
    let remove = json!([{"op": "remove", "path": "/binaryMediaTypes/image~1jpeg"},
                        {"op": "remove", "path": "/binaryMediaTypes/image~1gif"},
                        {"op": "remove", "path": "/binaryMediaTypes/-"}]);
    assert_eq!(patched(&mut plane, &id, remove).get("binaryMediaTypes"), None);
}

#[test]
fn an_empty_or_null_compression_size_turns_it_off() {
    let mut plane = Plane::new();
    let (id, _) = plane.api();
    for off in [json!(""), Value::Null] {
        let on = patched(&mut plane, &id, patch("replace", "/minimumCompressionSize", "10"));
        assert_eq!(on["minimumCompressionSize"], 10);
        let api = patched(&mut plane, &id, patch("replace", "/minimumCompressionSize", off));
        assert_eq!(api.get("minimumCompressionSize"), None);
    }
}

#[test]
fn endpoint_types_are_replaced_in_order_and_private_turns_dualstack() {
    let mut plane = Plane::new();
    let (id, _) = plane.api();
    let operations = json!([
        {"op": "replace", "path": "/endpointConfiguration/types/0", "value": "REGIONAL"},
        {"op": "replace", "path": "/endpointConfiguration/types/0", "value": "PRIVATE"},
        {"op": "add", "path": "/endpointConfiguration/vpcEndpointIds", "value": "vpce-1"},
    ]);
    let private = patched(&mut plane, &id, operations);
    assert_eq!(
        private["endpointConfiguration"],
        json!({"types": ["PRIVATE"], "ipAddressType": "dualstack", "vpcEndpointIds": ["vpce-1"]})
    );
    let regional = patch("replace", "/endpointConfiguration/types/PRIVATE", "REGIONAL");
    assert_eq!(
        patched(&mut plane, &id, regional)["endpointConfiguration"],
        json!({"types": ["REGIONAL"], "ipAddressType": "dualstack"})
    );
}

#[test]
fn what_update_refuses() {
    let mut plane = Plane::new();
    let private = json!({"name": "a", "endpointConfiguration": {"types": ["PRIVATE"]}});
    let private = string(&plane.ok("CreateRestApi", private)["id"]);
    let only_replace = "Invalid patch operation specified. Must be one of: [replace]";
    let types = "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE";
    for (operations, message) in [
        (patch("add", "/apiKeySource", "HEADER"), only_replace),
        (patch("add", "/minimumCompressionSize", "10"), only_replace),
        (patch("replace", "/wrong/path", "x"), "Invalid patch path /wrong/path"),
        (json!([{"op": "replace", "value": "x"}]), "Invalid patch path null"),
        (
            patch("copy", "/endpointConfiguration/types/0", "EDGE"),
            "Invalid patch operation specified. Must be 'add'|'remove'|'replace'",
        ),
        (patch("replace", "/endpointConfiguration/types/0", "INVALID"), types),
        (patch("replace", "/securityPolicy", "SSL"), "Invalid security policy specified: SSL"),
        (
            patch("replace", "/endpointConfiguration/ipAddressType", "ipv4"),
            "Only dualstack ipAddressType is supported for Private APIs.",
        ),
        (
            patch("replace", "/endpointConfiguration/ipAddressType", "x"),
            "ipAddressType must be either ipv4 or dualstack.",
        ),
        (
            patch("add", "/endpointConfiguration/types/0", "EDGE"),
            "Cannot create an api with multiple Endpoint Types.",
        ),
        (
            patch("remove", "/endpointConfiguration/types/PRIVATE", Value::Null),
            "REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.",
        ),
    ] {
        let params = json!({"restApiId": private, "patchOperations": operations});
        plane.refused("UpdateRestApi", params, BadRequest, message);
    }
}

#[test]
fn a_patch_is_applied_whole_or_not_at_all() {
    let mut plane = Plane::new();
    let (id, _) = plane.api();
    let operations = json!([{"op": "replace", "path": "/name", "value": "new"},
                            {"op": "replace", "path": "/nope", "value": "x"}]);
    let params = json!({"restApiId": id, "patchOperations": operations});
    plane.refused("UpdateRestApi", params, BadRequest, "Invalid patch path /nope");
    assert_eq!(plane.ok("GetRestApi", json!({"restApiId": id}))["name"], "test");
}

#[test]
fn a_policy_comes_back_with_escaped_quotes_and_whole_arns() {
    let mut plane = Plane::new();
    let policy = r#"{"Statement": [{"Effect": "Allow", "Principal": "*",
        "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}]}"#;
    let api = plane.ok("CreateRestApi", json!({"name": "a", "policy": policy}));
    let id = string(&api["id"]);
    // As Terraform's provider reads it.
    let unescaped: String =
        serde_json::from_str(&format!("\"{}\"", string(&api["policy"]))).unwrap();
    let policy: Value = serde_json::from_str(&unescaped).unwrap();
    let arn = format!("arn:aws:execute-api:us-east-1:000000000000:{id}/*");
    assert_eq!(policy["Statement"][0]["Resource"], Value::from(arn));
    // It is kept as it is read, and survives a second look.
    let again = plane.ok("GetRestApi", json!({"restApiId": id}));
    assert_eq!(again["policy"], api["policy"]);
    let params = json!({"name": "a", "policy": "{"});
    let message = "Invalid policy document. Please check the policy syntax and ensure that Principals are valid.";
    plane.refused("CreateRestApi", params, BadRequest, message);
    let gone = patched(&mut plane, &id, patch("replace", "/policy", ""));
    assert_eq!(gone.get("policy"), None);
}

/// Objects outside the core, as other handlers would have put them.
fn put(plane: &mut Plane, kind: Kind, scope: &str, id: &str, body: Value) {
    let body: Body = body.as_object().unwrap().clone();
    let mut txn = Txn::new(Arc::clone(&plane.state));
    txn.put(kind, scope, id, body);
    plane.state = Arc::new(plane.state.with(plane.state.revision + 1, txn.into_changes()));
}

#[test]
fn deleting_an_api_takes_all_that_belongs_to_it() {
    let mut plane = Plane::new();
    let (id, root) = plane.api();
    let (other, _) = plane.api();
    plane.resource(&id, &root, "pets");
    put(&mut plane, Kind::Stage, &id, "dev", json!({}));
    put(&mut plane, Kind::DomainName, "", "a.example", json!({}));
    put(&mut plane, Kind::BasePathMapping, "a.example", "x", json!({"restApiId": id}));
    put(&mut plane, Kind::BasePathMapping, "a.example", "y", json!({"restApiId": other}));
    put(
        &mut plane,
        Kind::UsagePlan,
        "",
        "plan",
        json!({"apiStages": [{"apiId": id, "stage": "dev"}, {"apiId": other, "stage": "dev"}]}),
    );
    plane.ok("DeleteRestApi", json!({"restApiId": id}));
    for kind in Kind::ALL {
        assert_eq!(plane.state.list(*kind, &id).count(), 0, "{kind:?}");
    }
    let mappings: Vec<_> =
        plane.state.list(Kind::BasePathMapping, "a.example").map(|(path, _)| &**path).collect();
    assert_eq!(mappings, ["y"]);
    let plan = &plane.state.get(Kind::UsagePlan, "", "plan").unwrap().body;
    assert_eq!(plan["apiStages"], json!([{"apiId": other, "stage": "dev"}]));
}

#[test]
fn a_clone_has_everything_under_ids_of_its_own() {
    let mut plane = Plane::new();
    let (id, root) = plane.api();
    let schema = format!(
        "{{\"items\":{{\"$ref\":\"https://apigateway.amazonaws.com/restapis/{id}/models/Empty\"}}}}"
    );
    let model = json!({"restApiId": id, "name": "Pets", "contentType": "application/json",
                       "schema": schema});
    plane.ok("CreateModel", model);
    let validator = plane.ok("CreateRequestValidator", json!({"restApiId": id, "name": "v"}));
    let pets = plane.resource(&id, &root, "pets");
    let pet = plane.resource(&id, &pets, "{pet}");
    let method = json!({"restApiId": id, "resourceId": pet, "httpMethod": "GET"});
    plane.ok(
        "PutMethod",
        with(&method, json!({"authorizationType": "NONE", "requestValidatorId": validator["id"]})),
    );
    plane.ok("PutIntegration", with(&method, json!({"type": "MOCK"})));

    let clone = plane.ok("CreateRestApi", json!({"name": "b", "cloneFrom": id}));
    let copy = string(&clone["id"]);
    assert_ne!(copy, id);
    let list = json!({"restApiId": copy, "embed": ["methods"]});
    let resources = plane.ok("GetResources", list);
    let resources = resources["item"].as_array().unwrap();
    let at = |path: &str| resources.iter().find(|resource| resource["path"] == path).unwrap();
    assert_eq!(resources.len(), 3);
    assert_eq!(at("/")["id"], clone["rootResourceId"]);
    assert_eq!(at("/pets")["parentId"], at("/")["id"]);
    assert_eq!(at("/pets/{pet}")["parentId"], at("/pets")["id"]);
    let method = &at("/pets/{pet}")["resourceMethods"]["GET"];
    assert_eq!(method["methodIntegration"]["cacheNamespace"], at("/pets/{pet}")["id"]);
    let validators = plane.ok("GetRequestValidators", json!({"restApiId": copy}));
    assert_eq!(method["requestValidatorId"], validators["item"][0]["id"]);
    assert_ne!(method["requestValidatorId"], validator["id"]);
    let model = plane.ok("GetModel", json!({"restApiId": copy, "modelName": "Pets"}));
    assert!(string(&model["schema"]).contains(&format!("/restapis/{copy}/models/Empty")));
}

#[test]
fn the_policy_of_a_clone_speaks_of_the_clone() {
    let mut plane = Plane::new();
    let policy = r#"{"Statement": {"Effect": "Deny", "Resource": ["execute-api:/dev/*"]}}"#;
    let api = plane.ok("CreateRestApi", json!({"name": "a", "policy": policy}));
    let clone = plane.ok("CreateRestApi", json!({"name": "b", "cloneFrom": api["id"]}));
    let (policy, id) = (string(&clone["policy"]), string(&clone["id"]));
    assert!(policy.contains(&format!(":{id}/dev/*")), "{policy}");
}

#[test]
fn a_page_begins_behind_the_position_of_the_one_before() {
    let mut plane = Plane::new();
    let mut made: Vec<String> = (0..7).map(|_| plane.api().0).collect();
    made.sort();
    let mut seen = Vec::new();
    let mut params = json!({"limit": 3});
    for last in [false, false, true] {
        let page = plane.ok("GetRestApis", params.clone());
        seen.extend(page["item"].as_array().unwrap().iter().map(|api| string(&api["id"])));
        assert_eq!(page.get("position").is_none(), last);
        params["position"] = page["position"].clone();
    }
    assert_eq!(seen, made);
    assert_eq!(plane.ok("GetRestApis", json!({"limit": -1})), json!({"item": []}));
}
