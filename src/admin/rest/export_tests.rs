use serde_json::{Value, json};

use super::*;
use crate::admin::openapi::testing::{API, context, import, site, stored};
use crate::admin::rest::definition;
use crate::store::control::Txn;

/// An API that is deployed to `dev`.
fn deployed(version: Option<&str>) -> Txn {
    let mut info = json!({ "title": "t" });
    if let Some(version) = version {
        info["version"] = json!(version);
    }
    let document = json!({
        "openapi": "3.0.1",
        "info": info,
        "paths": { "/a": { "get": {
            "responses": { "200": {} },
            "x-amazon-apigateway-integration": { "type": "mock" },
        } } },
        "components": { "securitySchemes": { "auth": {
            "type": "apiKey", "name": "T", "in": "header",
            "x-amazon-apigateway-authorizer": {
                "type": "token",
                "authorizerUri": "arn:aws:apigateway:r:lambda:path/functions/f/invocations",
            },
        } } },
        "x-amazon-apigateway-documentation": { "documentationParts": [
            { "location": { "type": "API" }, "properties": { "description": "now" } },
        ] },
    });
    let mut txn = stored(&import(&document.to_string()).definition);
    let frozen = definition::freeze(&txn, API).unwrap();
    let body = |value: Value| value.as_object().unwrap().clone();
    let kept = body(json!({ "definition": frozen.to_string() }));
    txn.put(Kind::DeploymentDefinition, API, "d1", kept);
    let stage = json!({ "stageName": "dev", "deploymentId": "d1", "createdDate": 1_763_467_200 });
    txn.put(Kind::Stage, API, "dev", body(stage));
    txn
}

struct Export {
    content_type: String,
    disposition: String,
    text: String,
}

fn call(
    txn: &mut Txn,
    labels: [&str; 3],
    extensions: &str,
    accept: Option<&str>,
) -> Result<Export, ApiError> {
    let mut input = Input { accept: accept.map(ToOwned::to_owned), ..Input::default() };
    for (name, value) in ["restapi_id", "stage_name", "export_type"].into_iter().zip(labels) {
        input.uri.insert(name.to_owned(), json!(value));
    }
    if !extensions.is_empty() {
        input.parameters.insert("extensions".to_owned(), extensions.to_owned());
    }
    match get_export(&mut context(txn, &site()), &input)? {
        Outcome::Payload { content_type, disposition, bytes } => {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            Ok(Export { content_type, disposition, text })
        }
        other => panic!("{other:?}"),
    }
}

/// Recorded: test_export_swagger, test_export_oas30.
#[test]
fn an_export_is_an_attachment_named_after_the_version() {
    let mut txn = deployed(Some("1.2"));
    let json = call(&mut txn, [API, "dev", "oas30"], "", Some("application/json")).unwrap();
    assert_eq!(json.content_type, "application/octet-stream");
    assert_eq!(json.disposition, "attachment; filename=\"oas30_1.2.json\"");
    let document: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(document["openapi"], "3.0.1");
    assert!(!json.text.contains("x-amazon-apigateway"), "{}", json.text);
    let yaml = call(&mut txn, [API, "dev", "swagger"], "", Some("application/yaml")).unwrap();
    assert_eq!(yaml.disposition, "attachment; filename=\"swagger_1.2.yaml\"");
    assert!(
        yaml.text.starts_with("---\nswagger: \"2.0\"\ninfo:\n  title: \"t\"\n"),
        "{}",
        yaml.text
    );
}

/// Recorded: test_export_*; the stage's creation stands for a version that is not there.
#[test]
fn an_api_without_a_version_has_the_stages_date() {
    let mut txn = deployed(None);
    let export = call(&mut txn, [API, "dev", "oas30"], "", None).unwrap();
    let document: Value = serde_json::from_str(&export.text).unwrap();
    assert_eq!(document["info"]["version"], "2025-11-18T12:00:00Z");
    assert_eq!(export.disposition, "attachment; filename=\"oas30_2025-11-18T12:00:00Z.json\"");
}

#[test]
fn a_version_cannot_leave_its_header() {
    let mut txn = deployed(Some("1\"\r\nSet-Cookie: x"));
    let export = call(&mut txn, [API, "dev", "oas30"], "", None).unwrap();
    assert_eq!(export.disposition, "attachment; filename=\"oas30_1___Set-Cookie:_x.json\"");
}

#[test]
fn extensions_are_written_when_they_are_asked_for() {
    let mut txn = deployed(Some("1"));
    let mut keys = |extensions: &str| {
        let export = call(&mut txn, [API, "dev", "oas30"], extensions, None).unwrap();
        ["integration\"", "authorizer\"", "documentation\""]
            .map(|key| export.text.contains(&format!("x-amazon-apigateway-{key}")))
    };
    assert_eq!(keys("integrations"), [true, false, false]);
    assert_eq!(keys("apigateway"), [true, false, false]);
    assert_eq!(keys("authorizers, postman"), [false, true, false]);
    assert_eq!(keys("integrations,authorizers,documentation"), [true, true, true]);
    let refused = call(&mut txn, [API, "dev", "oas30"], "more", None).err().unwrap();
    assert!(refused.message.starts_with("Invalid extensions specified: more"));
}

#[test]
fn the_deployed_api_is_exported_and_not_what_became_of_it() {
    let mut txn = deployed(Some("1"));
    for (id, _) in txn.list(Kind::Resource, API) {
        txn.delete(Kind::Resource, API, &id);
    }
    let export = call(&mut txn, [API, "dev", "oas30"], "", None).unwrap();
    assert!(export.text.contains("\"/a\""));
}

#[test]
fn documentation_is_that_of_the_stages_version() {
    let mut txn = deployed(Some("1"));
    let body = |value: Value| value.as_object().unwrap().clone();
    let frozen =
        json!([{ "location": { "type": "API" }, "properties": "{\"description\":\"then\"}" }]);
    let version = json!({ "version": "7", DOCUMENTATION_PARTS: frozen });
    txn.put(Kind::DocumentationVersion, API, "7", body(version));
    let now = call(&mut txn, [API, "dev", "oas30"], "documentation", None).unwrap().text;
    assert!(now.contains("now") && !now.contains("then"), "{now}");
    let mut stage = Body::clone(&txn.get(Kind::Stage, API, "dev").unwrap());
    stage.insert("documentationVersion".to_owned(), json!("7"));
    txn.put(Kind::Stage, API, "dev", stage);
    let then = call(&mut txn, [API, "dev", "oas30"], "documentation", None).unwrap().text;
    assert!(then.contains("then") && !then.contains("now"), "{then}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut txn = deployed(Some("1"));
    for (labels, message) in [
        (["gone", "dev", "oas30"], "Invalid API identifier specified 000000000000:gone"),
        ([API, "prod", "oas30"], "Invalid stage identifier specified"),
        ([API, "dev", "raml"], "No API exporter for type 'raml'"),
    ] {
        assert_eq!(call(&mut txn, labels, "", None).err().unwrap().message, message);
    }
    txn.delete(Kind::DeploymentDefinition, API, "d1");
    let refused = call(&mut txn, [API, "dev", "oas30"], "", None).err().unwrap();
    assert_eq!(refused.message, "Invalid Deployment identifier specified");
}
