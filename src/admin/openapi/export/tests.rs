use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::admin::openapi::syntax;
use crate::admin::openapi::testing::{
    Dice, assert_round_trips, document, exported, import, stored,
};
use crate::model::problem::Findings;

const PETSTORE: &str = include_str!("../../../../topology/petstore.yaml");

#[test]
fn an_export_of_the_pet_store_is_the_pet_store() {
    assert_round_trips(PETSTORE);
}

/// The conformance suite, if it is there: its documents are read where they are.
fn corpus() -> Option<Vec<(String, Value)>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = ["../shared/conformance/cases", "../../shared/conformance/cases"]
        .iter()
        .map(|path| root.join(path))
        .find(|path| path.is_dir())?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if let Some(document) = case.get("api").and_then(|api| api.get("openapi")) {
            found.push((name, document.clone()));
        }
    }
    Some(found)
}

#[test]
fn every_document_of_the_conformance_suite_is_the_same_api_after_an_export() {
    let Some(corpus) = corpus() else {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests must see that one did not")]
        {
            eprintln!("SKIPPED: ../shared/conformance/cases is not here");
        }
        return;
    };
    assert!(corpus.len() >= 50, "{}", corpus.len());
    let http = regex::Regex::new(r"\$\{http:[^}]*\}").unwrap();
    let lambda = regex::Regex::new(r"\$\{lambda:[^}]*\}").unwrap();
    for (name, document) in corpus {
        // What the suite's runner fills in.
        let text = document.to_string();
        let text = http.replace_all(&text, "http://127.0.0.1:9702/b");
        let arn = "arn:aws:apigateway:us-east-1:lambda:path/functions/f/invocations";
        let text = lambda.replace_all(&text, arn);
        let outcome = std::panic::catch_unwind(|| assert_round_trips(&text));
        assert!(outcome.is_ok(), "{name}");
    }
}

fn small(form: Form) -> Value {
    let text = json!({
        "openapi": "3.0.1",
        "info": { "title": "small", "description": "d", "version": "1.2" },
        "paths": {
            "/pets/{id}": {
                "get": {
                    "operationId": "one",
                    "parameters": [{ "name": "q", "in": "query" }],
                    "responses": { "200": { "description": "x" } },
                    "security": [{ "key": [] }],
                    "x-amazon-apigateway-integration": {
                        "type": "MOCK",
                        "timeoutInMillis": 29_000,
                        "responses": { "default": { "statusCode": 200 } },
                    },
                },
            },
        },
        "components": {
            "securitySchemes": { "key": { "type": "apiKey", "name": "X-API-Key", "in": "header" } },
        },
    });
    Value::Object(exported(&stored(&import(&text.to_string()).definition), form))
}

/// Recorded: test_export_oas30.
#[test]
fn openapi_3_has_the_form_aws_writes() {
    let mut document = small(Form::OpenApi30);
    document.as_object_mut().unwrap().remove("x-amazon-apigateway-documentation");
    let expected = json!({
        "openapi": "3.0.1",
        "info": { "title": "small", "description": "d", "version": "1.2" },
        "servers": [{
            "url": "https://a1b2c3d4e5.execute-api.us-east-1.tidegate.test/{basePath}",
            "variables": { "basePath": { "default": "dev" } },
        }],
        "paths": {
            "/pets/{id}": {
                "get": {
                    "operationId": "one",
                    "parameters": [
                        { "name": "q", "in": "query", "schema": { "type": "string" } },
                        { "name": "id", "in": "path", "required": true,
                          "schema": { "type": "string" } },
                    ],
                    "responses": { "200": { "description": "200 response", "content": {} } },
                    "security": [{ "api_key": [] }],
                    "x-amazon-apigateway-integration": {
                        "type": "mock",
                        "responses": { "default": { "statusCode": "200" } },
                        "passthroughBehavior": "when_no_match",
                    },
                },
            },
        },
        "components": {
            "securitySchemes": {
                "api_key": { "type": "apiKey", "name": "x-api-key", "in": "header" },
            },
        },
    });
    assert_eq!(document, expected, "{document:#}");
}

/// Recorded: test_export_swagger.
#[test]
fn swagger_2_has_the_form_aws_writes() {
    let document = small(Form::Swagger2);
    assert_eq!(document["host"], "a1b2c3d4e5.execute-api.us-east-1.tidegate.test");
    assert_eq!(document["basePath"], "/dev");
    assert_eq!(document["schemes"], json!(["https"]));
    let operation = &document["paths"]["/pets/{id}"]["get"];
    assert_eq!(
        operation["parameters"][0],
        json!({ "name": "q", "in": "query", "required": false, "type": "string" })
    );
    assert_eq!(operation["responses"], json!({ "200": { "description": "200 response" } }));
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys[..6], ["swagger", "info", "host", "basePath", "schemes", "paths"]);
}

#[test]
fn models_of_other_media_types_are_named_and_not_exported() {
    let text = json!({
        "openapi": "3.0.1",
        "info": { "title": "t" },
        "paths": { "/a": { "post": {
            "requestBody": { "content": { "text/xml": { "schema": { "type": "object" } } } },
        } } },
    });
    let txn = stored(&import(&text.to_string()).definition);
    let definition = crate::admin::rest::definition::freeze(&txn, "a1b2c3d4e5").unwrap();
    let deployed = Deployed {
        definition: &definition,
        documentation: None,
        stage_name: "dev",
        host: "h",
        version: "v",
    };
    let verdict = export(&deployed, Form::OpenApi30, Extensions::default());
    assert_eq!(verdict, Err(ExportError::NoJsonModels(vec!["POST /a (text/xml)".to_owned()])));
}

#[test]
fn without_extensions_nothing_of_aws_is_written() {
    let txn = stored(&import(&document(&mut Dice(&[1; 400])).to_string()).definition);
    let definition = crate::admin::rest::definition::freeze(&txn, "a1b2c3d4e5").unwrap();
    let deployed = Deployed {
        definition: &definition,
        documentation: None,
        stage_name: "dev",
        host: "h",
        version: "v",
    };
    let plain = export(&deployed, Form::OpenApi30, Extensions::default()).unwrap();
    let text = Value::Object(plain).to_string().replace("x-amazon-apigateway-any-method", "");
    let text = text.replace(r#""x-amazon-apigateway-authtype":"awsSigv4""#, "");
    assert!(!text.contains("x-amazon-apigateway"), "{text}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // serde_json reads numbers of more digits a little off.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<String>().prop_map(Value::from),
        "[ -~\n]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[ -~é\n\u{85}]{0,120}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Import of an export of an import is the import: both forms, both notations.
    #[test]
    fn an_export_is_the_same_api(throws in proptest::collection::vec(any::<u8>(), 0..600)) {
        assert_round_trips(&document(&mut Dice(&throws)).to_string());
    }

    /// Whatever is written as YAML is read as it was.
    #[test]
    fn yaml_is_read_as_it_was_written(value in any_json()) {
        let Value::Object(document) = json!({ "root": value }) else { unreachable!() };
        let text = to_yaml(&document);
        let findings = Findings::new("f");
        let node = syntax::parse(text.as_bytes(), &findings);
        prop_assert!(findings.is_empty(), "{:?}\n{}", findings, text);
        let expected = Value::Object(document).to_string();
        let expected = syntax::parse(expected.as_bytes(), &findings);
        prop_assert_eq!(node.map(plain), expected.map(plain), "{}", text);
    }
}

/// The tree without its places.
fn plain(node: crate::model::document::Node) -> String {
    use crate::model::document::Value as Tree;
    match node.value {
        Tree::List(items) => format!("{:?}", items.into_iter().map(plain).collect::<Vec<_>>()),
        Tree::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key, plain(value)));
            format!("{:?}", entries.collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}
