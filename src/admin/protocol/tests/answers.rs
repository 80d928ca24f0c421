//! What a client gets of what a handler answers.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::admin::protocol::encode::{ERROR_TYPE, encode, refuse};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::Service;
use crate::admin::protocol::operation::Outcome;
use crate::admin::protocol::tests::{operation, operations};
use crate::store::control::Body;

fn body(value: Value) -> Outcome {
    match value {
        Value::Object(body) => Outcome::Body(body),
        other => panic!("{other} is no object"),
    }
}

fn answer(service: Service, name: &str, value: Value) -> Value {
    let answer = encode(operation(service, name), body(value)).unwrap();
    serde_json::from_slice(answer.body()).unwrap()
}

fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn only_what_the_model_knows_is_written_at_any_depth() {
    let stored = json!({"id": "a", "tidegateSecret": "s", "createdDate": 1511380879,
        "endpointConfiguration": {"types": ["EDGE"], "tidegateX": 1}, "tags": {}, "version": null,
        "warnings": ["w"]});
    let expected = json!({"id": "a", "createdDate": 1511380879,
        "endpointConfiguration": {"types": ["EDGE"]}, "tags": {}, "warnings": ["w"]});
    assert_eq!(answer(Service::V1, "GetRestApi", stored), expected);

    let stored = json!({"item": [{"id": "r", "resourceMethods": {"GET": {"x": 1,
        "methodIntegration": {"type": "MOCK", "requestTemplates": {"application/json": null},
        "integrationResponses": {"200": {"statusCode": "200", "tidegateY": 1}}}}}}]});
    let expected = json!({"item": [{"id": "r", "resourceMethods": {"GET": {
        "methodIntegration": {"type": "MOCK", "requestTemplates": {"application/json": null},
        "integrationResponses": {"200": {"statusCode": "200"}}}}}}]});
    assert_eq!(answer(Service::V1, "GetResources", stored), expected);
}

#[test]
fn dates_are_numbers_in_v1_and_iso_8601_in_v2() {
    let date = |service, name| {
        answer(service, name, json!({"createdDate": 1586372745}))["createdDate"].clone()
    };
    assert_eq!(date(Service::V1, "GetRestApi"), json!(1586372745));
    assert_eq!(date(Service::V2, "GetApi"), json!("2020-04-08T19:05:45Z"));
    let list = answer(Service::V2, "GetStages", json!({"items": [{"lastUpdatedDate": 0.5}]}));
    assert_eq!(list, json!({"items": [{"lastUpdatedDate": "1970-01-01T00:00:00Z"}]}));
    // A date that is none is no reason to fail.
    let odd = answer(Service::V2, "GetApi", json!({"createdDate": 1e300}));
    assert_eq!(odd, json!({"createdDate": 1e300}));
}

#[test]
fn usage_travels_under_values() {
    let usage = json!({"usagePlanId": "p", "values": {"k": [[0, 100]]}, "items": {"k": []}});
    let expected = json!({"usagePlanId": "p", "values": {"k": [[0, 100]]}});
    assert_eq!(answer(Service::V1, "GetUsage", usage), expected);
}

#[test]
fn success_has_the_models_status_and_a_body_only_with_an_output() {
    for (service, name, status) in [
        (Service::V1, "CreateRestApi", 201),
        (Service::V1, "GetRestApi", 200),
        (Service::V1, "DeleteRestApi", 202),
        (Service::V1, "DeleteMethod", 204),
        (Service::V1, "UpdateMethodResponse", 201),
        (Service::V1, "TagResource", 204),
        (Service::V1, "FlushStageCache", 202),
        (Service::V2, "TagResource", 201),
        (Service::V2, "DeleteApi", 204),
        (Service::V2, "DeleteVpcLink", 202),
        (Service::V2, "ReimportApi", 201),
    ] {
        let operation = operation(service, name);
        let answer = encode(operation, body(json!({}))).unwrap();
        assert_eq!(answer.status().as_u16(), status, "{operation}");
        let has_output = operation.output().is_some();
        assert_eq!(answer.body().as_ref(), if has_output { "{}".as_bytes() } else { b"" });
        assert_eq!(header(&answer, "content-type").is_some(), has_output);
    }
}

#[test]
fn a_payload_is_given_out_as_it_is() {
    let payload = |disposition: &str| Outcome::Payload {
        content_type: "application/octet-stream".to_owned(),
        disposition: disposition.to_owned(),
        bytes: Bytes::from_static(b"\xff\x00"),
    };
    let disposition = r#"attachment; filename="oas30_1.json""#;
    let answer = encode(operation(Service::V1, "GetExport"), payload(disposition)).unwrap();
    assert_eq!(header(&answer, "content-type"), Some("application/octet-stream"));
    assert_eq!(header(&answer, "content-disposition"), Some(disposition));
    assert_eq!(&**answer.body(), b"\xff\x00");
    let answer = encode(operation(Service::V2, "ExportApi"), payload("")).unwrap();
    assert_eq!(header(&answer, "content-disposition"), None);

    // An API's title may have got into a file name.
    for (name, outcome) in [
        ("GetExport", payload("a\nb")),
        ("GetExport", body(json!({}))),
        ("GetRestApi", payload("")),
    ] {
        let error = encode(operation(Service::V1, name), outcome).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    }
}

#[test]
fn errors_carry_their_name_and_their_message() {
    let error = ApiError::not_found("Invalid API identifier specified 000000000000:x");
    let answer = refuse(Some(Service::V1), error);
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&answer, ERROR_TYPE.as_str()), Some("NotFoundException"));
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    let expected = r#"{"message":"Invalid API identifier specified 000000000000:x"}"#;
    assert_eq!(&**answer.body(), expected.as_bytes());

    let mut error = ApiError::not_found("x");
    error.more.insert("resourceType".to_owned(), json!("Api"));
    let answer = refuse(Some(Service::V2), error);
    assert_eq!(&**answer.body(), br#"{"message":"x","resourceType":"Api"}"#);
}

#[test]
fn who_must_wait_is_told_how_long() {
    for kind in
        [ErrorKind::LimitExceeded, ErrorKind::TooManyRequests, ErrorKind::ServiceUnavailable]
    {
        let error = ApiError::new(kind, "x");
        assert_eq!(header(&refuse(Some(Service::V1), error.clone()), "retry-after"), Some("1"));
        assert_eq!(header(&refuse(Some(Service::V2), error), "retry-after"), None);
    }
    let mut error = ApiError::new(ErrorKind::TooManyRequests, "x");
    error.more.insert("retryAfterSeconds".to_owned(), json!(7));
    let answer = refuse(Some(Service::V1), error);
    assert_eq!(header(&answer, "retry-after"), Some("7"));
    assert_eq!(&**answer.body(), br#"{"message":"x"}"#);
}

#[test]
fn any_json_can_be_written_by_any_operation() {
    let odd = [json!(null), json!([[{}]]), json!({"a": {"b": []}}), json!(-1.5e300), json!("x")];
    for operation in operations().filter(|operation| operation.output().is_some()) {
        let structure = operation.output().unwrap();
        for value in &odd {
            let names = structure.body.keys().map(|name| name.to_string());
            let body: Body = names.map(|name| (name, value.clone())).collect();
            let answer = encode(operation, Outcome::Body(body));
            assert_eq!(answer.is_ok(), structure.payload.is_none(), "{operation}");
        }
    }
}
