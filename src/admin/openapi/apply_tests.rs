use serde_json::{Value, json};

use super::*;
use crate::admin::openapi::testing::{API, context, import, site, stored};
use crate::store::control::Txn;

fn method(validator: &str, authorizer: &str) -> Value {
    json!({
        "security": [{ authorizer: [] }],
        "x-amazon-apigateway-request-validator": validator,
        "x-amazon-apigateway-integration": { "type": "mock" },
    })
}

fn document(paths: Value, models: &[&str], more: Value) -> Map<String, Value> {
    let scheme = json!({
        "type": "apiKey", "name": "T", "in": "header",
        "x-amazon-apigateway-authorizer": {
            "type": "token",
            "authorizerUri": "arn:aws:apigateway:r:lambda:path/functions/f/invocations",
        },
    });
    let models: Map<String, Value> =
        models.iter().map(|name| ((*name).to_owned(), json!({ "type": "object" }))).collect();
    let mut document = json!({
        "openapi": "3.0.1",
        "info": { "title": "t" },
        "paths": paths,
        "components": { "schemas": models, "securitySchemes": { "one": scheme, "two": scheme } },
        "x-amazon-apigateway-request-validators": { "v": {}, "w": {} },
    });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    import(&document.to_string()).definition
}

fn change(txn: &mut Txn, definition: &Map<String, Value>, mode: Mode) -> Result<(), ApiError> {
    apply(&mut context(txn, &site()), API, definition, mode)
}

/// What a name or path has for an id.
fn ids(txn: &Txn, kind: Kind, member: &str) -> HashMap<String, String> {
    let found = txn.list(kind, API);
    found.iter().map(|(id, body)| (text(body, member).to_owned(), id.to_string())).collect()
}

fn resource(txn: &Txn, path: &str) -> Value {
    let found = txn.list(Kind::Resource, API);
    let found = found.into_iter().find(|(_, body)| text(body, "path") == path).unwrap();
    Value::Object(Body::clone(&found.1))
}

fn api(txn: &Txn) -> Value {
    Value::Object(Body::clone(&txn.get(Kind::RestApi, "", API).unwrap()))
}

#[test]
fn resources_get_the_ids_and_parents_of_created_ones() {
    let definition =
        document(json!({ "/a/{b}": { "get": method("w", "two") } }), &["M"], json!({}));
    let txn = stored(&definition);
    let resources = ids(&txn, Kind::Resource, "path");
    assert_eq!(resources.len(), 3);
    assert_eq!((resources["/"].len(), resources["/a"].len()), (10, 6));
    assert_eq!(api(&txn)["rootResourceId"], json!(resources["/"]));
    let leaf = resource(&txn, "/a/{b}");
    assert_eq!(leaf["id"], json!(resources["/a/{b}"]));
    assert_eq!(leaf["parentId"], json!(resources["/a"]));
    assert_eq!(leaf["pathPart"], "{b}");
    assert_eq!(resource(&txn, "/").get("parentId"), None);
    let method = &leaf["resourceMethods"]["GET"];
    assert_eq!(method["requestValidatorId"], json!(ids(&txn, Kind::RequestValidator, "name")["w"]));
    assert_eq!(method["authorizerId"], json!(ids(&txn, Kind::Authorizer, "name")["two"]));
    assert_eq!(method["methodIntegration"]["cacheNamespace"], leaf["id"]);
}

#[test]
fn overwriting_keeps_ids_and_deletes_what_the_document_does_not_mention() {
    let before = document(
        json!({ "/a": { "get": method("v", "one"), "put": method("v", "one") }, "/b/c": {} }),
        &["M", "N"],
        json!({
            "info": { "title": "t", "description": "d", "version": "1" },
            "x-amazon-apigateway-binary-media-types": ["a/b"],
            "x-amazon-apigateway-minimum-compression-size": 5,
            "x-amazon-apigateway-api-key-source": "AUTHORIZER",
            "x-amazon-apigateway-policy": { "Statement": [] },
            "x-amazon-apigateway-gateway-responses": { "THROTTLED": {} },
            "x-amazon-apigateway-endpoint-configuration": {
                "disableExecuteApiEndpoint": true, "vpcEndpointIds": ["vpce-1"],
            },
            "x-amazon-apigateway-documentation": { "documentationParts": [
                { "location": { "type": "API" } },
                { "location": { "type": "MODEL", "name": "M" } },
            ] },
        }),
    );
    let mut txn = stored(&before);
    txn.put(Kind::Stage, API, "dev", Body::new());
    let kinds = [
        (Kind::Resource, "path"),
        (Kind::Model, "name"),
        (Kind::Authorizer, "name"),
        (Kind::RequestValidator, "name"),
    ];
    let old = kinds.map(|(kind, member)| ids(&txn, kind, member));
    let parts = txn.list(Kind::DocumentationPart, API);
    let after = document(
        json!({ "/a": { "get": {} } }),
        &["N"],
        json!({
            "x-amazon-apigateway-request-validators": { "v": {} },
            "x-amazon-apigateway-documentation": { "documentationParts": [
                { "location": { "name": "M", "type": "MODEL" } },
            ] },
        }),
    );
    change(&mut txn, &after, Mode::Overwrite).unwrap();
    let new = kinds.map(|(kind, member)| ids(&txn, kind, member));
    assert_eq!(new.each_ref().map(HashMap::len), [2, 1, 2, 1]);
    for (old, new) in old.iter().zip(&new) {
        for (name, id) in new {
            assert_eq!(old[name], *id, "{name}");
        }
    }
    let methods = resource(&txn, "/a")["resourceMethods"].clone();
    assert_eq!(methods.as_object().unwrap().keys().collect::<Vec<_>>(), ["GET"]);
    assert_eq!(methods["GET"].get("methodIntegration"), None);
    assert!(txn.list(Kind::GatewayResponse, API).is_empty());
    let left = txn.list(Kind::DocumentationPart, API);
    assert_eq!(left.len(), 1);
    assert!(parts.iter().any(|(id, _)| *id == left[0].0));
    let api = api(&txn);
    let settings =
        ["description", "version", "binaryMediaTypes", "policy", "minimumCompressionSize"];
    for gone in settings {
        assert_eq!(api.get(gone), None, "{gone}");
    }
    assert_eq!(api["apiKeySource"], "HEADER");
    assert_eq!(api["disableExecuteApiEndpoint"], false);
    assert_eq!(api["endpointConfiguration"], json!({}));
    assert!(txn.contains(Kind::Stage, API, "dev"));
}

/// Recorded: test_put_rest_api_mode_binary_media_types.
#[test]
fn merging_unites_replaces_methods_whole_and_appends_binary_types() {
    let before = document(
        json!({ "/a": { "get": method("v", "one"), "put": method("v", "one") } }),
        &["M"],
        json!({
            "info": { "title": "t", "description": "d" },
            "x-amazon-apigateway-binary-media-types": ["a/b"],
            "x-amazon-apigateway-gateway-responses": { "THROTTLED": {} },
        }),
    );
    let mut txn = stored(&before);
    let old = ids(&txn, Kind::Resource, "path");
    let after = document(
        json!({ "/a": { "get": {} }, "/a/{x}": { "post": {} } }),
        &["N"],
        json!({
            "info": { "title": "renamed" },
            "x-amazon-apigateway-binary-media-types": ["c/d", "a/b"],
        }),
    );
    change(&mut txn, &after, Mode::Merge).unwrap();
    let new = ids(&txn, Kind::Resource, "path");
    assert_eq!(new.len(), 3);
    assert_eq!((&old["/"], &old["/a"]), (&new["/"], &new["/a"]));
    let methods = resource(&txn, "/a")["resourceMethods"].clone();
    assert_eq!(methods["GET"].get("methodIntegration"), None);
    assert!(methods["PUT"].get("methodIntegration").is_some());
    assert_eq!(ids(&txn, Kind::Model, "name").len(), 2);
    assert_eq!(txn.list(Kind::GatewayResponse, API).len(), 1);
    let api = api(&txn);
    assert_eq!(api["name"], "renamed");
    assert_eq!(api["description"], "d");
    assert_eq!(api["binaryMediaTypes"], json!(["a/b", "c/d"]));
}

#[test]
fn a_document_whose_resources_do_not_go_with_the_api_is_not_merged() {
    let mut txn = stored(&document(json!({ "/{a}": {} }), &[], json!({})));
    let definition = document(json!({ "/{b}": {} }), &[], json!({}));
    let refused = change(&mut txn, &definition, Mode::Merge).unwrap_err();
    assert_eq!(
        refused.message,
        "A sibling ({a}) of this resource already has a variable path part -- only one is allowed"
    );
    change(&mut txn, &definition, Mode::Overwrite).unwrap();
    assert!(ids(&txn, Kind::Resource, "path").contains_key("/{b}"));
}

#[test]
fn putting_the_same_again_changes_nothing() {
    let definition = document(
        json!({ "/a": { "get": method("v", "one") } }),
        &["M"],
        json!({ "x-amazon-apigateway-documentation": { "version": "1", "documentationParts": [
            { "location": { "type": "API" } },
        ] } }),
    );
    let mut txn = stored(&definition);
    let mut before: Vec<_> = txn.clone().into_changes();
    for mode in [Mode::Merge, Mode::Overwrite] {
        change(&mut txn, &definition, mode).unwrap();
        let mut after: Vec<_> = txn.clone().into_changes();
        before.sort_by(|one, other| one.0.cmp(&other.0));
        after.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(before, after);
    }
}

#[test]
fn an_api_that_is_not_there_is_not_found() {
    let mut txn = stored(&document(json!({}), &[], json!({})));
    let refused = apply(&mut context(&mut txn, &site()), "gone", &Map::new(), Mode::Merge);
    assert_eq!(refused.unwrap_err().message, "Invalid API identifier specified 000000000000:gone");
}
