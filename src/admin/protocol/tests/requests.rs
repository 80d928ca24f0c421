//! What a handler gets of what was sent.

use serde_json::json;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::tests::{read, read_bytes};
use crate::model::quotas::DEFINITION_BYTES_MAX;

fn serialization(message: &str) -> ApiError {
    ApiError::new(ErrorKind::Serialization, message.to_owned())
}

const METHOD: &str = "/restapis/a/resources/b/methods/GET";

#[test]
fn a_boolean_where_text_belongs_is_refused_in_awss_words() {
    let body = r#"{"authorizationType": "NONE", "requestModels": {"application/json": true}}"#;
    let expected = serialization("class java.lang.Boolean can not be converted to an String");
    assert_eq!(read("PUT", METHOD, body).unwrap_err(), expected);
    assert_eq!(read("POST", "/restapis", r#"{"name": true}"#).unwrap_err(), expected);
}

#[test]
fn other_wrong_types_are_refused_in_the_same_form() {
    let cases = [
        (r#"{"name": 1}"#, "class java.lang.Integer can not be converted to an String"),
        (r#"{"name": 10000000000}"#, "class java.lang.Long can not be converted to an String"),
        (r#"{"name": 1.5}"#, "class java.lang.Double can not be converted to an String"),
        (r#"{"name": 1e400}"#, "The request's body is not valid JSON"),
        (r#"{"name": ["a"]}"#, "class java.util.List can not be converted to an String"),
        (r#"{"name": {"a": 1}}"#, "class java.util.Map can not be converted to an String"),
        (r#"{"binaryMediaTypes": "a"}"#, "class java.lang.String can not be converted to an List"),
        (r#"{"tags": []}"#, "class java.util.List can not be converted to an Map"),
        (
            r#"{"endpointConfiguration": "EDGE"}"#,
            "class java.lang.String can not be converted to an Structure",
        ),
        (
            r#"{"minimumCompressionSize": "1"}"#,
            "class java.lang.String can not be converted to an Integer",
        ),
        (
            r#"{"minimumCompressionSize": 3000000000}"#,
            "class java.lang.Long can not be converted to an Integer",
        ),
        (
            r#"{"minimumCompressionSize": 0.5}"#,
            "class java.lang.Double can not be converted to an Integer",
        ),
        (
            r#"{"disableExecuteApiEndpoint": "true"}"#,
            "class java.lang.String can not be converted to an Boolean",
        ),
        ("[]", "class java.util.List can not be converted to an Structure"),
        (r#""a""#, "class java.lang.String can not be converted to an Structure"),
        ("{", "The request's body is not valid JSON"),
        (r#"{"name": "a"} x"#, "The request's body is not valid JSON"),
        (r#"{"name": "a",}"#, "The request's body is not valid JSON"),
        (r#"{"name": "\ud800"}"#, "The request's body is not valid JSON"),
    ];
    for (body, message) in cases {
        let error = read("POST", "/restapis", body).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Serialization, "{body}");
        assert!(error.message.starts_with(message), "{body}: {}", error.message);
    }
    let error = read_bytes("POST", "/restapis", b"{\"name\": \"\xff\"}").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Serialization);
}

#[test]
fn unknown_members_are_dropped_at_every_depth() {
    let body = r#"{"name": "a", "new": {"deep": [1, {"a": null}]},
        "endpointConfiguration": {"types": ["EDGE"], "other": 1}, "minimumCompressionSize": 2.0}"#;
    let input = read("POST", "/restapis", body).unwrap();
    let expected = json!({"name": "a", "endpointConfiguration": {"types": ["EDGE"]},
        "minimumCompressionSize": 2});
    assert_eq!(serde_json::Value::Object(input.body), expected);
}

#[test]
fn unknown_members_may_nest_as_deep_as_they_like() {
    let deep = 100_000;
    let body = format!(r#"{{"name": "a", "x": {}1{}}}"#, "[".repeat(deep), "]".repeat(deep));
    assert_eq!(read("POST", "/restapis", &body).unwrap().text("name"), Some("a"));
    let body = format!(r#"{{"name": {}1{}}}"#, "[".repeat(deep), "]".repeat(deep));
    assert_eq!(read("POST", "/restapis", &body).unwrap_err().kind, ErrorKind::Serialization);
}

#[test]
fn the_number_of_values_is_bounded() {
    let list = vec![r#""a""#; 300_000].join(",");
    let body = format!(r#"{{"name": "a", "binaryMediaTypes": [{list}]}}"#);
    let error = read("POST", "/restapis", &body).unwrap_err();
    assert_eq!(error, serialization("The request's body has more than 200000 values"));
}

#[test]
fn null_is_absence_but_for_templates_and_patch_values() {
    let body = r#"{"name": "a", "description": null, "tags": {"k": null}, "version": "1"}"#;
    let input = read("POST", "/restapis", body).unwrap();
    assert!(!input.body.contains_key("description"));

    // Recorded: a template that is null is stored and returned as null.
    let body = r#"{"type": "MOCK", "requestTemplates": {"application/json": null}}"#;
    let input = read("PUT", &format!("{METHOD}/integration"), body).unwrap();
    assert_eq!(input.body["requestTemplates"], json!({"application/json": null}));

    let body =
        r#"{"patchOperations": [{"op": "replace", "path": "/operationName", "value": null}]}"#;
    let input = read("PATCH", METHOD, body).unwrap();
    let expected = json!([{"op": "replace", "path": "/operationName", "value": null}]);
    assert_eq!(input.body["patchOperations"], expected);
}

#[test]
fn no_body_and_any_content_type_are_an_empty_object() {
    for body in ["", " \r\n", "null", "{}"] {
        let input = read("POST", "/restapis/a/deployments", body).unwrap();
        assert!(input.body.is_empty());
    }
    // Nothing of a body is looked at where none belongs.
    assert!(read_bytes("GET", "/restapis", b"\xff{").unwrap().body.is_empty());
}

#[test]
fn sdk_names_and_wire_names_differ() {
    let body =
        r#"{"type": "HTTP", "httpMethod": "POST", "integrationHttpMethod": "X", "uri": "u"}"#;
    let input = read("PUT", &format!("{METHOD}/integration"), body).unwrap();
    assert_eq!(input.label("http_method"), "GET");
    assert_eq!(input.text("httpMethod"), Some("POST"));
    assert!(!input.body.contains_key("integrationHttpMethod"));
}

#[test]
fn query_parameters_have_types() {
    let input = read("GET", "/apikeys?limit=-1&includeValues=TRUE&name=a+b%2Bc&x=1", "").unwrap();
    assert_eq!(
        serde_json::Value::Object(input.query),
        json!({"limit": -1, "includeValues": true, "name": "a b+c"})
    );
    assert!(input.parameters.is_empty());

    let input = read("DELETE", "/tags/arn?tagKeys=a&tagKeys=b%26", "").unwrap();
    assert_eq!(input.query["tagKeys"], json!(["a", "b&"]));
    let input = read("GET", "/restapis/a/resources?embed=methods&limit=", "").unwrap();
    assert_eq!(serde_json::Value::Object(input.query), json!({"embed": ["methods"]}));

    let error = read("GET", "/apikeys?limit=ten", "").unwrap_err();
    assert_eq!(error, serialization("class java.lang.String can not be converted to an Integer"));
    let error = read("GET", "/apikeys?includeValues=1", "").unwrap_err();
    assert_eq!(error, serialization("class java.lang.String can not be converted to an Boolean"));
}

#[test]
fn free_parameters_are_all_others_but_the_protocols() {
    let target = "/restapis/a?mode=overwrite&failonwarnings=true&basepath=split&new=1&basepath=x\
                  &X-Amz-Signature=00&x-amz-date=1&Action=y";
    let input = read("PUT", target, "openapi: 3.0.1").unwrap();
    assert_eq!(
        serde_json::Value::Object(input.query),
        json!({"mode": "overwrite", "failonwarnings": true})
    );
    let parameters: Vec<(&str, &str)> =
        input.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(parameters, [("basepath", "split"), ("new", "1"), ("Action", "y")]);
    assert_eq!(&*input.payload, b"openapi: 3.0.1");

    let input = read("POST", "/restapis?mode=import&ignore=documentation", "{}").unwrap();
    assert_eq!(input.parameters.len(), 1);
    let sdk = "/restapis/a/stages/s/sdks/java?service.name=X&java.package-name=a.b";
    assert_eq!(read("GET", sdk, "").unwrap().parameters["java.package-name"], "a.b");
}

#[test]
fn blobs_are_taken_as_they_are_up_to_a_definitions_size() {
    let bytes = b"\xff\x00{";
    assert_eq!(&*read_bytes("PUT", "/restapis/a", bytes).unwrap().payload, bytes);
    let most = usize::try_from(DEFINITION_BYTES_MAX).unwrap();
    assert!(read_bytes("PUT", "/restapis/a", &vec![b' '; most]).is_ok());
    let error = read_bytes("PUT", "/restapis/a", &vec![b' '; most + 1]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
}

#[test]
fn whole_numbers_become_doubles_where_the_model_has_doubles() {
    let body = r#"{"name": "p", "throttle": {"rateLimit": 10, "burstLimit": 5}}"#;
    let input = read("POST", "/usageplans", body).unwrap();
    assert_eq!(input.body["throttle"].to_string(), r#"{"rateLimit":10.0,"burstLimit":5}"#);
}
