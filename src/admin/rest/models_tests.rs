//! Models as AWS was recorded to treat them.

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, Conflict, NotFound};
use crate::admin::rest::harness::{Plane, patch, string, with};

fn model(api: &str, name: &str, schema: Value) -> Value {
    json!({"restApiId": api, "name": name, "contentType": "application/json",
           "schema": schema.to_string()})
}

fn reference(api: &str, name: &str) -> Value {
    json!({"$ref": format!("https://apigateway.amazonaws.com/restapis/{api}/models/{name}")})
}

/// The schema of a model, flattened.
fn flattened(plane: &mut Plane, api: &str, name: &str) -> Value {
    let params = json!({"restApiId": api, "modelName": name, "flatten": true});
    serde_json::from_str(&string(&plane.ok("GetModel", params)["schema"])).unwrap()
}

#[test]
fn what_create_refuses() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let params = model(&api, "MySchema", json!({"type": "object"}));
    plane.ok("CreateModel", params.clone());
    let no_schema = "Model schema must have at least 1 property or array items defined";
    for (more, kind, message) in [
        (json!({"name": ""}), BadRequest, "Model name must be non-empty"),
        (json!({"name": "my_model"}), BadRequest, "Model name must be alphanumeric: my_model"),
        (json!({}), Conflict, "Model name already exists for this REST API"),
        (json!({"name": "other", "schema": ""}), BadRequest, no_schema),
        (json!({"name": "other", "schema": null}), BadRequest, no_schema),
    ] {
        plane.refused("CreateModel", with(&params, more), kind, message);
    }
    let unknown = json!({"restApiId": api, "modelName": "Nope"});
    let message = "Invalid model name specified: Nope";
    for operation in ["GetModel", "UpdateModel", "DeleteModel", "GetModelTemplate"] {
        plane.refused(operation, unknown.clone(), NotFound, message);
    }
}

/// A pattern that is none is refused where the model is made, not where it is deployed.
#[test]
fn a_pattern_that_is_none_is_named() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let schema = |pattern: &str| json!({"properties": {"a": {"pattern": pattern}}});
    let refusal = "Invalid model specified: Validation Result: warnings : [], errors : [Invalid \
                   model schema specified: model M: the pattern `[` is no regular expression of \
                   ECMA 262: `[` without `]`]";
    plane.refused("CreateModel", model(&api, "M", schema("[")), BadRequest, refusal);
    plane.ok("CreateModel", model(&api, "M", schema(r"^[\w-\.]+@{.}[]a]\Z$")));
    let operations = patch("replace", "/schema", schema("[").to_string());
    let params = json!({"restApiId": api, "modelName": "M", "patchOperations": operations});
    plane.refused("UpdateModel", params, BadRequest, refusal);
    // What is no JSON has no patterns.
    let xml = json!({"contentType": "application/xml", "schema": "["});
    plane.ok("CreateModel", with(&model(&api, "Xml", json!({})), xml));
}

#[test]
fn description_and_schema_are_patched_and_nothing_else() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    plane.ok("CreateModel", model(&api, "M", json!({"type": "object"})));
    let place = json!({"restApiId": api, "modelName": "M"});
    let operations = json!([
        {"op": "replace", "path": "/schema", "value": "{\"type\": \"array\"}"},
        {"op": "replace", "path": "/description", "value": "d"},
    ]);
    let patched = plane.ok("UpdateModel", with(&place, json!({"patchOperations": operations})));
    assert_eq!(
        (&patched["schema"], &patched["description"]),
        (&json!("{\"type\": \"array\"}"), &json!("d"))
    );
    for (operations, message) in [
        (
            patch("replace", "/name", "x"),
            "Invalid patch path  '/name' specified for op 'replace'. Must be one of: \
             [/description, /schema]",
        ),
        (
            patch("add", "/schema", "{}"),
            "Invalid patch path  '/schema' specified for op 'add'. Please choose supported \
             operations",
        ),
        (
            patch("replace", "/schema", ""),
            "Model schema must have at least 1 property or array items defined",
        ),
    ] {
        let params = with(&place, json!({"patchOperations": operations}));
        plane.refused("UpdateModel", params, BadRequest, message);
    }
}

#[test]
fn a_model_in_use_is_not_deleted() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let test = plane.resource(&api, &root, "test");
    plane.ok("CreateModel", model(&api, "MySchema", json!({"type": "object"})));
    let delete = json!({"restApiId": api, "modelName": "MySchema"});
    for (resource, place) in [(&test, "/test/ANY"), (&root, "//ANY")] {
        let method = json!({"restApiId": api, "resourceId": resource, "httpMethod": "ANY"});
        let with_model = json!({"authorizationType": "NONE",
                                "requestModels": {"application/json": "MySchema"}});
        plane.ok("PutMethod", with(&method, with_model));
        let message =
            format!("Cannot delete model 'MySchema', is referenced in method request: {place}");
        plane.refused("DeleteModel", delete.clone(), Conflict, &message);
        plane.ok("DeleteMethod", method);
    }
    plane.ok("DeleteModel", delete);
}

#[test]
fn flatten_writes_references_out_and_leaves_circles() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let schema = json!({"type": "object", "properties": {"house": reference(&api, "House")}});
    plane.ok("CreateModel", model(&api, "Person", schema));
    let house = json!({"type": "array", "items": reference(&api, "Person")});
    plane.ok("CreateModel", model(&api, "House", house));
    plane.ok("CreateModel", model(&api, "Town", json!({"items": reference(&api, "House")})));
    assert_eq!(
        flattened(&mut plane, &api, "Person"),
        json!({"type": "object", "properties":
               {"house": {"type": "array", "items": reference(&api, "Person")}}})
    );
    let town = flattened(&mut plane, &api, "Town");
    assert_eq!(town["items"]["items"]["properties"]["house"], reference(&api, "House"));
}

#[test]
fn references_that_double_each_time_are_refused() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    plane.ok("CreateModel", model(&api, "M0", json!({"type": "object", "title": "x".repeat(99)})));
    for level in 1..40 {
        let below = reference(&api, &format!("M{}", level - 1));
        let schema = json!({"properties": {"a": below, "b": below}});
        plane.ok("CreateModel", model(&api, &format!("M{level}"), schema));
    }
    let params = json!({"restApiId": api, "modelName": "M39", "flatten": true});
    let message = "Model is too large to be flattened";
    plane.refused("GetModel", params, BadRequest, message);
}

#[test]
fn long_chains_and_deep_schemas_are_refused_not_fatal() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let nested = |inner: Value| (0..50).fold(inner, |inner, _| json!({"properties": {"a": inner}}));
    plane.ok("CreateModel", model(&api, "M0", nested(json!({"type": "string"}))));
    for level in 1..60 {
        let schema = nested(reference(&api, &format!("M{}", level - 1)));
        plane.ok("CreateModel", model(&api, &format!("M{level}"), schema));
    }
    let place = json!({"restApiId": api, "modelName": "M59"});
    let message = "Model is too large to be flattened";
    for operation in ["GetModel", "GetModelTemplate"] {
        let flatten = if operation == "GetModel" { json!({"flatten": true}) } else { json!({}) };
        plane.refused(operation, with(&place, flatten), BadRequest, message);
    }
}

#[test]
fn the_template_of_the_empty_model() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let params = json!({"restApiId": api, "modelName": "Empty"});
    let template = plane.ok("GetModelTemplate", params);
    assert_eq!(template, json!({"value": "#set($inputRoot = $input.path('$'))\n{ }"}));
}

#[test]
fn a_template_loops_over_lists_and_quotes_text() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let schema = json!({"type": "object", "properties": {
        "id": {"type": "integer"}, "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}}}});
    plane.ok("CreateModel", model(&api, "Pet", schema));
    let template =
        plane.ok("GetModelTemplate", json!({"restApiId": api, "modelName": "Pet"}))["value"]
            .clone();
    let expected = "#set($inputRoot = $input.path('$'))\n{\n  \"id\" : $inputRoot.id,\n  \
                    \"name\" : \"$inputRoot.name\",\n  \"tags\" : [\n  \
                    #foreach($elem in $inputRoot.tags)\n    \"$elem\"#if($foreach.hasNext),#end\n\n  \
                    #end\n  ]\n}";
    assert_eq!(string(&template), expected);
}

#[test]
fn a_template_has_the_length_of_templates() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let leaves: Value = (0..200)
        .map(|leaf| (format!("l{leaf}"), json!({"type": "string"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let long = "n".repeat(4_000);
    let schema = json!({"properties": {long: {"properties": leaves}}});
    plane.ok("CreateModel", model(&api, "Wide", schema));
    let params = json!({"restApiId": api, "modelName": "Wide"});
    plane.refused("GetModelTemplate", params, BadRequest, "Model is too large for a template");
}
