//! rest-data-plane 6.1: request parameters.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use indexmap::IndexMap;
use proptest::prelude::*;

use super::super::context::{CallContext, RouteFacts};
use super::super::parameters::RequestMapping;
use super::super::{CompileError, MappingError, Side};
use super::{table, with_call, with_route};
use crate::call::{MappedParameters, PathValue, Spelling};
use crate::model::rest_api::IntegrationKind;

const BODY: &str = r#"{"pets": [{"age": 3}, {"name": "Rex"}], "none": null}"#;

fn compile(
    key: &str,
    expression: &str,
    route: &RouteFacts<'_>,
) -> Result<RequestMapping, CompileError> {
    RequestMapping::compile(&table(&[(key, expression)]), IntegrationKind::Http, route)
}

/// Maps with one mapping.
fn map(key: &str, expression: &str) -> Result<MappedParameters, MappingError> {
    map_body(key, expression, BODY)
}

fn map_body(key: &str, expression: &str, body: &str) -> Result<MappedParameters, MappingError> {
    let mapping = with_route(|route| compile(key, expression, route)).unwrap();
    with_call(None, |call| mapping.apply(call, body))
}

/// The values a source gives, seen where several may stand: in the query.
fn values(expression: &str) -> Vec<String> {
    let mapped = map("integration.request.querystring.x", expression).unwrap();
    mapped.query.into_iter().map(|(_, value)| value).collect()
}

/// AWS: "Amazon API Gateway API request and response data mapping reference".
#[test]
fn sources_give_their_values() {
    for (expression, expected) in [
        ("method.request.header.x-one", &["1"][..]),
        ("method.request.header.x-two", &["b"]),
        ("method.request.multivalueheader.x-two", &["a", "b"]),
        ("method.request.header.via", &["1.1 someone"]),
        ("method.request.header.host", &["abcdefghij.execute-api.eu-west-1.gateway.localhost"]),
        ("method.request.header.expect", &[]),
        ("method.request.header.absent", &[]),
        ("method.request.querystring.q", &["x y"]),
        ("method.request.multivaluequerystring.q", &["1", "x y"]),
        ("method.request.querystring.plus", &["a b"]),
        ("method.request.querystring.none", &[""]),
        ("method.request.querystring.absent", &[]),
        ("method.request.path.id", &["a%2Fb"]),
        ("method.request.path.absent", &[]),
        ("stageVariables.version", &["v 2"]),
        ("stageVariables.empty", &[""]),
        ("stageVariables.absent", &[]),
        ("'static text'", &["static text"]),
        ("''", &[""]),
        ("context.requestId", &["00000000-0000-0000-0000-000000000007"]),
        ("context.extendedRequestId", &["cXNV7F7iPHcFoDA="]),
        ("context.identity.sourceIp", &["203.0.113.9"]),
        ("context.identity.userAgent", &["curl/8"]),
        ("context.stage", &["prod"]),
        ("context.apiId", &["abcdefghij"]),
        ("context.resourcePath", &["/pets/{id}"]),
        ("context.httpMethod", &["GET"]),
        ("context.path", &["/prod/pets/a%2Fb"]),
        ("context.protocol", &["HTTP/1.1"]),
        ("context.domainName", &["abcdefghij.execute-api.eu-west-1.gateway.localhost"]),
        ("context.domainPrefix", &["abcdefghij"]),
        ("context.accountId", &["000000000000"]),
        ("context.requestTime", &["09/Apr/2015:12:34:56 +0000"]),
        ("context.requestTimeEpoch", &["1428582896000"]),
        ("context.deploymentId", &["dep123"]),
        ("context.resourceId", &["res123"]),
        ("context.authorizer.x", &[]),
        ("context.identity.user", &[]),
        ("context.operationName", &[]),
        ("method.request.body.pets[1].name", &["Rex"]),
        ("method.request.body.$.pets[0].age", &["3"]),
        ("method.request.body.pets[1]", &[r#"{"name":"Rex"}"#]),
        ("method.request.body.absent", &[]),
        ("method.request.body.none", &[]),
        ("method.request.body", &[BODY]),
    ] {
        assert_eq!(values(expression), expected, "{expression}");
    }
}

#[test]
fn values_go_to_their_places() {
    let mapped = map("integration.request.header.X-Made", "method.request.multivalueheader.x-two");
    let expected = (HeaderName::from_static("x-made"), HeaderValue::from_static("a,b"));
    assert_eq!(mapped.unwrap().headers, [expected]);
    let mapped = map("integration.request.path.p", "method.request.path.id").unwrap();
    assert_eq!(mapped.path, [("p".into(), PathValue::Raw("a%2Fb".into()))]);
    let mapped = map("integration.request.path.p", "method.request.querystring.q").unwrap();
    assert_eq!(mapped.path, [("p".into(), PathValue::Text("x y".into()))]);
    let mapped = map("integration.request.header.x", "method.request.header.absent").unwrap();
    assert_eq!(mapped, MappedParameters::default());
}

/// rest-data-plane 12.5: over HTTP/1.1 a name is that which the client wrote; the gateway's own
/// names are its own, and of some nobody keeps a note.
#[test]
fn names_of_headers_have_the_case_that_the_client_gave_them() {
    let spelling = Spelling::new(Bytes::from_static(b"X-One\nX-Two\nx-Forwarded-FOR"));
    let values = |expression: &str, protocol: &'static str| {
        let mapping =
            with_route(|route| compile("integration.request.querystring.x", expression, route));
        let mapped = with_call(None, |call| {
            let mut headers = call.headers.clone();
            headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
            let spelling = Some(&spelling).filter(|_| protocol == "HTTP/1.1");
            let call = CallContext { headers: &headers, spelling, protocol, ..*call };
            mapping.unwrap().apply(&call, "").unwrap()
        });
        mapped.query.into_iter().map(|(_, value)| value).collect::<Vec<String>>()
    };
    for (expression, with_case, without) in [
        ("header.X-One", &["1"][..], &["1"][..]),
        ("header.x-one", &[], &["1"]),
        ("header.X-ONE", &[], &["1"]),
        ("multivalueheader.X-Two", &["a", "b"], &["a", "b"]),
        ("multivalueheader.x-two", &[], &["a", "b"]),
        ("header.via", &["1.1 someone"], &["1.1 someone"]),
        ("header.Via", &[], &["1.1 someone"]),
        ("header.X-Forwarded-For", &["192.0.2.1"], &["192.0.2.1"]),
        ("header.x-forwarded-for", &[], &["192.0.2.1"]),
        ("header.User-Agent", &["curl/8"], &["curl/8"]),
        ("header.user-agent", &["curl/8"], &["curl/8"]),
    ] {
        let expression = format!("method.request.{expression}");
        assert_eq!(values(&expression, "HTTP/1.1"), with_case, "{expression}");
        assert_eq!(values(&expression, "HTTP/2.0"), without, "{expression}");
    }
}

/// Recorded: test_apigateway_header_remapping_http; the call fails, not the deployment.
#[test]
fn some_headers_may_not_be_mapped() {
    for name in
        ["Content-Length", "Transfer-Encoding", "X-Amzn-Trace-Id", "X-Amzn-Apigateway-Api-Id"]
    {
        let key = format!("integration.request.header.{name}");
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        assert_eq!(map(&key, "'1'"), Err(MappingError::HeaderNotAllowed(name)));
        assert_eq!(map(&key, "method.request.header.absent"), Ok(MappedParameters::default()));
    }
    let line = map("integration.request.header.x", "'a\r\nb: c'");
    assert!(matches!(line, Err(MappingError::BadHeaderValue(_))));
}

#[test]
fn what_cannot_be_mapped_is_refused_when_compiled() {
    for (key, expression) in [
        ("integration.request.body.x", "'1'"),
        ("integration.request.header.", "'1'"),
        ("integration.request.header.a b", "'1'"),
        ("method.request.header.x", "'1'"),
        // Those of HTTP APIs.
        ("overwrite:header.x", "'1'"),
        ("append:header.x", "'1'"),
        ("remove:header.x", "''"),
        ("overwrite:integration.request.header.x", "'1'"),
    ] {
        let compiled = with_route(|route| compile(key, expression, route));
        assert!(matches!(compiled, Err(CompileError::BadKey { .. })), "{key}");
    }
    for expression in [
        "method.request.header.",
        "context.nothing",
        "context.identity.nothing",
        "'open",
        "'",
        "text",
        "",
    ] {
        let key = "integration.request.header.x";
        let compiled = with_route(|route| compile(key, expression, route));
        assert!(matches!(compiled, Err(CompileError::BadExpression { .. })), "{expression}");
    }
}

/// rest-data-plane 6.1: which names each kind of integration refuses, when the call comes.
#[test]
fn aws_refuses_more_headers() {
    use IntegrationKind::{Aws, AwsProxy, Http, HttpProxy};
    let refused = |name: &str, kind: IntegrationKind| {
        let key = format!("integration.request.header.{name}");
        let table = table(&[(&key, "'1'")]);
        let mapping = with_route(|route| RequestMapping::compile(&table, kind, route)).unwrap();
        with_call(None, |call| mapping.apply(call, "")).is_err()
    };
    for name in ["Content-Length", "Transfer-Encoding", "X-Amzn-Trace-Id"] {
        for kind in [Http, HttpProxy, Aws, AwsProxy] {
            assert!(refused(name, kind), "{name} {kind:?}");
        }
    }
    for name in ["Authorization", "Connection", "Expect", "Proxy-Authenticate", "TE"] {
        for (kind, expected) in [(Http, false), (HttpProxy, false), (Aws, true), (AwsProxy, true)] {
            assert_eq!(refused(name, kind), expected, "{name} {kind:?}");
        }
    }
}

/// rest-data-plane 6.1: only what begins like JSON is read as JSON; no body is an empty object.
#[test]
fn bodies_are_read_where_they_look_like_json() {
    let header = "integration.request.header.b";
    let mapped = |expression: &str, body: &str| {
        let mapped = map_body(header, expression, body)?;
        Ok(mapped.headers.first().map(|(_, value)| value.to_str().unwrap().to_owned()))
    };
    for (expression, body, expected) in [
        ("method.request.body", "", Ok(Some("{}"))),
        ("method.request.body", "plain", Ok(Some("plain"))),
        ("method.request.body", " {\"a\": 1} ", Ok(Some(" {\"a\": 1} "))),
        ("method.request.body", "{wrongjson", Err(MappingError::RequestNotJson)),
        ("method.request.body", "'text'", Err(MappingError::RequestNotJson)),
        ("method.request.body.a", "", Ok(None)),
        ("method.request.body.a", "plain", Ok(None)),
        ("method.request.body.a", r#" {"a": true}"#, Ok(Some("true"))),
        ("method.request.body.a", r#"{"a": [1, "b"]}"#, Ok(Some(r#"[1,"b"]"#))),
        ("method.request.body.a", "\n{wrongjson", Err(MappingError::RequestNotJson)),
        ("method.request.body.a", "[", Err(MappingError::RequestNotJson)),
        (
            "method.request.body.errorMessage.code",
            r#"{"errorMessage": "{\"code\": 7}"}"#,
            Ok(Some("7")),
        ),
        (
            "method.request.body.errorMessage.code",
            r#"{"errorMessage": {"code": 8}}"#,
            Ok(Some("8")),
        ),
        ("method.request.body.errorMessage.code", r#"{"errorMessage": "text"}"#, Ok(None)),
    ] {
        let expected = expected.map(|text| text.map(str::to_owned));
        assert_eq!(mapped(expression, body), expected, "{expression} of {body}");
    }
    for expression in ["method.request.body", "method.request.body.a"] {
        let deep = mapped(expression, &"[".repeat(1_000));
        assert_eq!(deep, Err(MappingError::BodyTooMuch(Side::Request)), "{expression}");
    }
}

/// rest-data-plane 7.11: AWS takes 10,240 bytes of headers together.
#[test]
fn a_body_is_not_made_a_huge_header() {
    let header = "integration.request.header.b";
    let fits = "x".repeat(10_240);
    assert!(map_body(header, "method.request.body", &fits).is_ok());
    let refused = map_body(header, "method.request.body", &format!("{fits}x"));
    assert_eq!(refused, Err(MappingError::BadHeaderValue(HeaderName::from_static("b"))));
}

proptest! {
    #[test]
    fn compiling_and_mapping_never_panic(key: String, expression: String, body: String) {
        let _compiled = with_route(|route| compile(&key, &expression, route).map(drop));
        let expression = format!("method.request.body.{expression}");
        let key = "integration.request.querystring.x";
        let parameters = IndexMap::from([(key.to_owned(), expression)]);
        let compiled =
            with_route(|route| RequestMapping::compile(&parameters, IntegrationKind::Http, route));
        if let Ok(mapping) = compiled {
            with_call(None, |call| drop(mapping.apply(call, &body)));
        }
    }
}
