use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::admin::openapi::testing::{context, site};
use crate::admin::protocol::error::ErrorKind;
use crate::store::control::{State, Txn};

struct Plane(Txn);

impl Plane {
    fn new() -> Self {
        Self(Txn::new(Arc::new(State::default())))
    }

    /// `parameters` as they stand in the query; those of the model go where the protocol puts them.
    fn call(
        &mut self,
        operation: &str,
        api: &str,
        parameters: &[(&str, &str)],
        payload: &str,
    ) -> Result<Value, ApiError> {
        let mut input = Input { payload: Bytes::from(payload.to_owned()), ..Input::default() };
        input.uri.insert("restapi_id".to_owned(), json!(api));
        for (key, value) in parameters {
            match *key {
                "failonwarnings" => {
                    input.query.insert((*key).to_owned(), json!(*value == "true"));
                }
                "mode" => {
                    input.query.insert((*key).to_owned(), json!(value));
                }
                _ => {
                    input.parameters.insert((*key).to_owned(), (*value).to_owned());
                }
            }
        }
        let (_, handler) = OPERATIONS.iter().find(|(name, _)| *name == operation).unwrap();
        let mut txn = self.0.clone();
        match handler(&mut context(&mut txn, &site()), &input)? {
            Outcome::Body(body) => {
                self.0 = txn;
                Ok(Value::Object(body))
            }
            other => panic!("{other:?}"),
        }
    }

    fn import(&mut self, parameters: &[(&str, &str)], payload: &str) -> Result<Value, ApiError> {
        self.call("ImportRestApi", "", parameters, payload)
    }

    fn paths(&self, api: &str) -> Vec<String> {
        let found = self.0.list(Kind::Resource, api);
        let mut paths: Vec<String> =
            found.iter().map(|(_, body)| body["path"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    }
}

fn document(more: Value) -> String {
    let mut document = json!({
        "openapi": "3.0.1",
        "info": { "title": "oracle", "version": "1" },
        "paths": { "/test": { "get": { "x-amazon-apigateway-integration": { "type": "mock" } } } },
    });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    document.to_string()
}

/// Recorded: test_import_api_bad_file.
#[test]
fn what_cannot_be_parsed_is_answered_with_one_text() {
    let mut plane = Plane::new();
    for payload in ["this: [is not\n  closed", "{\"this\": ", "", "{}"] {
        let refused = plane.import(&[("failonwarnings", "false")], payload).unwrap_err();
        assert_eq!(refused, ApiError::bad_request("Invalid OpenAPI input."));
    }
}

/// Recorded: test_import_and_validate_rest_api.
#[test]
fn an_imported_api_has_the_defaults_of_a_created_one_and_no_models() {
    let mut plane = Plane::new();
    let api = plane.import(&[], &document(json!({}))).unwrap();
    let id = api["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 10);
    assert_eq!(
        api,
        json!({
            "id": id,
            "createdDate": 1_763_467_200,
            "apiKeySource": "HEADER",
            "disableExecuteApiEndpoint": false,
            "endpointConfiguration": { "types": ["EDGE"], "ipAddressType": "ipv4" },
            "name": "oracle",
            "version": "1",
            "rootResourceId": api["rootResourceId"],
        })
    );
    assert!(plane.0.contains(Kind::Resource, &id, api["rootResourceId"].as_str().unwrap()));
    assert!(plane.0.list(Kind::Model, &id).is_empty());
    assert_eq!(plane.paths(&id), ["/", "/test"]);
}

/// Recorded: test_import_rest_api_with_base_path_oas30, test_import_rest_apis_with_base_path_swagger.
#[test]
fn base_paths_follow_the_parameter() {
    let mut plane = Plane::new();
    let id = plane.import(&[], &document(json!({}))).unwrap()["id"].as_str().unwrap().to_owned();
    let url = document(json!({ "servers": [{ "url": "https://petstore.test/base-url/part/" }] }));
    let variable = document(json!({ "servers": [{
        "url": "https://petstore.test/{basePath}",
        "variables": { "basePath": { "default": "/base-var" } },
    }] }));
    for (payload, base_path, expected) in [
        (&url, "split", vec!["/", "/part", "/part/test"]),
        (&url, "prepend", vec!["/", "/base-url", "/base-url/part", "/base-url/part/test"]),
        (&variable, "prepend", vec!["/", "/base-var", "/base-var/test"]),
        (&variable, "split", vec!["/", "/test"]),
        (&variable, "ignore", vec!["/", "/test"]),
    ] {
        let parameters = [("mode", "overwrite"), ("basepath", base_path)];
        let api = plane.call("PutRestApi", &id, &parameters, payload).unwrap();
        assert_eq!(api["id"], json!(id));
        assert_eq!(plane.paths(&id), expected);
    }
    let refused = plane.call("PutRestApi", &id, &[("basepath", "cut")], &url).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadRequest);
}

#[test]
fn warnings_are_answered_and_fail_the_call_that_asks_for_it() {
    let mut plane = Plane::new();
    let payload = document(json!({ "surprise": 1 }));
    let id = plane.import(&[], &document(json!({}))).unwrap()["id"].as_str().unwrap().to_owned();
    let before = plane.0.clone().into_changes();
    let refused =
        plane.call("PutRestApi", &id, &[("failonwarnings", "true")], &payload).unwrap_err();
    assert!(
        refused.message.starts_with(
            "Warnings found during import:\n\tUnknown key `surprise` is ignored (surprise, line 1"
        ),
        "{}",
        refused.message
    );
    assert_eq!(plane.0.clone().into_changes(), before);
    let put = plane.call("PutRestApi", &id, &[], &payload).unwrap();
    assert_eq!(put["warnings"].as_array().unwrap().len(), 1);
    // Recorded: an update shows tags also when there are none.
    assert_eq!(put["tags"], json!({}));
    assert_eq!(plane.0.get(Kind::RestApi, "", &id).unwrap().get("warnings"), None);
}

#[test]
fn faults_are_told_with_line_and_column_and_change_nothing() {
    let mut plane = Plane::new();
    let payload = "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  a: {}\n  b: {}\n";
    let refused = plane.import(&[], payload).unwrap_err();
    assert_eq!(
        refused.message,
        "Errors found during import:\n\tbody:4:3: paths.a: a path begins with `/`\n\t\
         body:5:3: paths.b: a path begins with `/`"
    );
    assert!(!plane.0.is_changed());
    let many: String = (0..100).map(|path| format!("  p{path}: {{}}\n")).collect();
    let payload = format!("openapi: 3.0.1\ninfo: {{title: t}}\npaths:\n{many}");
    let refused = plane.import(&[], &payload).unwrap_err();
    assert!(refused.message.ends_with("… and 80 more"), "{}", refused.message);
}

#[test]
fn endpoint_types_come_from_the_parameters() {
    let mut plane = Plane::new();
    let payload = document(json!({}));
    let mut endpoint = |parameters: &[(&str, &str)]| {
        plane.import(parameters, &payload).map(|api| api["endpointConfiguration"].clone())
    };
    assert_eq!(
        endpoint(&[("endpointConfigurationTypes", "REGIONAL")]),
        Ok(json!({ "types": ["REGIONAL"], "ipAddressType": "ipv4" }))
    );
    assert_eq!(
        endpoint(&[("endpointConfigurationTypes", "PRIVATE"), ("vpcEndpointIds", "vpce-1,vpce-2")]),
        Ok(json!({
            "types": ["PRIVATE"],
            "vpcEndpointIds": ["vpce-1", "vpce-2"],
            "ipAddressType": "dualstack",
        }))
    );
    for (types, says) in [
        ("EDGE,REGIONAL", "Cannot create an api with multiple Endpoint Types."),
        ("LOCAL", "Invalid endpoint type specified: LOCAL"),
    ] {
        let refused = endpoint(&[("endpointConfigurationTypes", types)]).unwrap_err();
        assert!(refused.message.starts_with(says), "{}", refused.message);
    }
    let refused = endpoint(&[("vpcEndpointIds", "vpce-1")]).unwrap_err();
    assert_eq!(refused.message, "VPCEndpoints can only be specified with PRIVATE apis.");
}

#[test]
fn documentation_is_left_alone_when_it_is_to_be_ignored() {
    let mut plane = Plane::new();
    let with = document(json!({ "x-amazon-apigateway-documentation": {
        "version": "1",
        "documentationParts": [{ "location": { "type": "API" }, "properties": { "a": 1 } }],
    } }));
    let api = plane.import(&[("ignore", "documentation")], &with).unwrap();
    let ignored = api["id"].as_str().unwrap().to_owned();
    assert!(plane.0.list(Kind::DocumentationPart, &ignored).is_empty());
    let id = plane.import(&[], &with).unwrap()["id"].as_str().unwrap().to_owned();
    let parts = plane.0.list(Kind::DocumentationPart, &id);
    assert_eq!(parts[0].1["properties"], "{\"a\":1}");
    assert!(plane.0.contains(Kind::DocumentationVersion, &id, "1"));
    let without = document(json!({}));
    let overwrite = [("mode", "overwrite"), ("ignore", "documentation")];
    plane.call("PutRestApi", &id, &overwrite, &without).unwrap();
    assert_eq!(plane.0.list(Kind::DocumentationPart, &id).len(), 1);
    plane.call("PutRestApi", &id, &overwrite[..1], &without).unwrap();
    assert!(plane.0.list(Kind::DocumentationPart, &id).is_empty());
}

/// A policy is shown as AWS shows it: its quotes escaped once more.
#[test]
fn policies_are_expanded_and_shown_escaped() {
    let mut plane = Plane::new();
    let payload = document(json!({ "x-amazon-apigateway-policy": {
        "Statement": [{ "Resource": ["execute-api:/*"] }, { "NotResource": "execute-api:/dev/*" }],
    } }));
    let api = plane.import(&[], &payload).unwrap();
    let id = api["id"].as_str().unwrap();
    let arn = format!("arn:aws:execute-api:us-east-1:000000000000:{id}");
    let policy = format!(
        "{{\"Statement\":[{{\"Resource\":[\"{arn}/*\"]}},{{\"NotResource\":\"{arn}/dev/*\"}}]}}"
    );
    assert_eq!(plane.0.get(Kind::RestApi, "", id).unwrap()["policy"], json!(policy));
    assert_eq!(api["policy"], json!(policy.replace('"', "\\\"")));
}

#[test]
fn an_unknown_api_is_not_found() {
    let refused = Plane::new().call("PutRestApi", "gone", &[], &document(json!({}))).unwrap_err();
    assert_eq!(refused, ApiError::not_found("Invalid API identifier specified 000000000000:gone"));
}
