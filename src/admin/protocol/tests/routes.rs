//! Which operation an address means.

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::Service;
use crate::admin::protocol::route::route;
use crate::admin::protocol::tests::{operations, parts, target};

#[test]
fn every_operation_is_found_at_its_own_address() {
    for operation in operations() {
        let target = target(operation, "a%20%2Fb");
        let found = route(&parts(operation.method.as_str(), &target)).unwrap();
        assert_eq!(
            (found.operation.service, &found.operation.name),
            (operation.service, &operation.name),
            "{target}"
        );
        for (name, label) in &found.labels {
            assert_eq!(label, "a /b", "{operation} {name}");
        }
    }
}

#[test]
fn names_arrive_encoded_and_are_decoded_after_the_split() {
    let cases = [
        ("GET", "/domainnames/a.b/basepathmappings/%28none%29", "base_path", "(none)"),
        ("GET", "/v2/apis/a1/stages/%24default", "stageName", "$default"),
        (
            "DELETE",
            "/v2/apis/a1/stages/s/routesettings/GET%20%2Fpets%2F%7Bid%7D",
            "routeKey",
            "GET /pets/{id}",
        ),
        (
            "GET",
            "/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fabc",
            "resource_arn",
            "arn:aws:apigateway:us-east-1::/restapis/abc",
        ),
        ("GET", "/restapis/%C3%A9+%2B", "restapi_id", "é++"),
    ];
    for (method, target, label, value) in cases {
        let found = route(&parts(method, target)).unwrap();
        assert_eq!(found.labels.get(label).unwrap(), value, "{target}");
    }
}

#[test]
fn create_and_import_share_a_path() {
    let name = |target: &str| route(&parts("POST", target)).unwrap().operation.name.to_string();
    assert_eq!(name("/restapis"), "CreateRestApi");
    assert_eq!(name("/restapis?mode=import&failonwarnings=true"), "ImportRestApi");
    assert_eq!(name("/restapis?failonwarnings=true&mode=import"), "ImportRestApi");
    assert_eq!(name("/restapis?mode=other"), "CreateRestApi");
    assert_eq!(name("/apikeys"), "CreateApiKey");
    assert_eq!(name("/apikeys?mode=import&format=csv"), "ImportApiKeys");
}

#[test]
fn policies_name_the_decoded_path_without_the_version() {
    let path = |target: &str| route(&parts("GET", target)).unwrap().path;
    assert_eq!(path("/restapis/abc/stages/%24x"), "/restapis/abc/stages/$x");
    assert_eq!(path("/v2/apis/abc"), "/apis/abc");
    assert_eq!(route(&parts("GET", "/v2/apis")).unwrap().operation.service, Service::V2);
}

#[test]
fn an_unknown_path_answers_403_as_awss_gateway_does() {
    let unknown = [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("PUT", "/restapis"),
        ("GET", "/restapis/"),
        ("DELETE", "/restapis/"),
        ("DELETE", "/restapis/abc/"),
        ("GET", "//restapis"),
        ("GET", "/v2"),
        ("GET", "/v2/restapis"),
        ("GET", "/RESTAPIS"),
        ("HEAD", "/restapis"),
        ("GET", "/restapis/a/b/c/d/e/f/g/h/i/j/k/l"),
        ("OPTIONS", "*"),
    ];
    for (method, target) in unknown {
        let error = route(&parts(method, target)).unwrap_err();
        let expected =
            ApiError::new(ErrorKind::MissingAuthenticationToken, "Missing Authentication Token");
        assert_eq!(error, expected, "{method} {target}");
    }
}

#[test]
fn what_is_not_percent_encoded_utf_8_answers_400() {
    for target in ["/restapis/%", "/restapis/%4", "/restapis/%zz", "/restapis/%ff", "/restapis?a=%"]
    {
        let error = route(&parts("GET", target)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest, "{target}");
    }
}
