use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use indexmap::IndexMap;
use proptest::prelude::*;
use uuid::Uuid;

use super::compression::{
    Coding, DecodeError, compress, compress_reply, decode_request, negotiate,
};
use super::context::{CallContext, CallerFacts, ErrorFacts, Node, PathParameters, RouteFacts};
use super::mock::{Named, named_status};
use super::parameters::RequestMapping;
use super::responses::ResponseMapping;
use super::templates::RequestTemplates;
use super::{CompileError, MappingError};
use crate::call::{Body, BodyError, MappedParameters, PathValue, Reply};
use crate::model::quotas;
use crate::model::rest_api::{IntegrationResponse, Passthrough};
use crate::net::clock::Timestamp;

fn table(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn with_route<T>(work: impl FnOnce(&RouteFacts<'_>) -> T) -> T {
    let variables = table(&[("version", "v 2"), ("empty", "")]);
    work(&RouteFacts {
        api_id: "abcdefghij",
        account_id: "000000000000",
        stage: "prod",
        deployment_id: "dep123",
        resource_id: "res123",
        resource_path: "/pets/{id}",
        operation_name: "",
        stage_variables: &variables,
        is_canary: None,
    })
}

/// A call that has a bit of everything.
fn with_call<T>(caller: Option<&CallerFacts>, work: impl FnOnce(&CallContext<'_>) -> T) -> T {
    let headers = headers(&[
        ("x-one", "1"),
        ("x-two", "a"),
        ("x-two", "b"),
        ("user-agent", "curl/8"),
        ("expect", "100-continue"),
        ("via", "1.1 someone"),
    ]);
    let names = ["id".to_owned()];
    with_route(|route| {
        work(&CallContext {
            facts: *route,
            method: &Method::GET,
            headers: &headers,
            query: Some("q=1&q=x%20y&plus=a+b&none"),
            path_parameters: PathParameters {
                names: &names,
                path: "/pets/a%2Fb",
                ranges: std::slice::from_ref(&(6..11)),
            },
            request_id: &Uuid::from_u128(7),
            extended_request_id: "cXNV7F7iPHcFoDA=",
            aws_endpoint_request_id: None,
            source_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            path: "/prod/pets/a%2Fb",
            protocol: "HTTP/1.1",
            domain_name: "abcdefghij.execute-api.eu-west-1.gateway.localhost",
            received_at: Timestamp::from_millis(1_428_582_896_000),
            caller,
            error: None,
        })
    })
}

/// Maps with one mapping.
fn map(key: &str, expression: &str) -> Result<MappedParameters, MappingError> {
    let mapping =
        with_route(|route| RequestMapping::compile(&table(&[(key, expression)]), route)).unwrap();
    with_call(None, |call| mapping.apply(call))
}

/// rest-data-plane 5.5: keys in the recorded order; nulls print nothing.
#[test]
fn a_template_sees_the_recorded_keys() {
    with_call(None, |call| {
        let keys: Vec<&str> = call.keys().collect();
        let recorded = "resourceId, resourcePath, httpMethod, extendedRequestId, requestTime, path, \
                        accountId, protocol, requestOverride, stage, domainPrefix, \
                        requestTimeEpoch, requestId, identity, domainName, deploymentId, \
                        responseOverride, apiId";
        assert_eq!(keys.join(", "), recorded);
        let Some(Node::Map(identity)) = call.node("identity") else { panic!() };
        let keys: Vec<&str> = identity.iter().map(|(name, _)| &**name).collect();
        let recorded = "cognitoIdentityPoolId, accountId, cognitoIdentityId, caller, sourceIp, \
                        principalOrgId, accessKey, cognitoAuthenticationType, \
                        cognitoAuthenticationProvider, userArn, userAgent, user";
        assert_eq!(keys.join(", "), recorded);
        assert_eq!(identity[1].1, Node::Null);
        assert_eq!(call.node("authorizer"), Some(Node::Map(Vec::new())));
    });
}

/// rest-data-plane 5.5 and 3.5.
#[test]
fn variables_of_the_caller_and_of_errors() {
    let mut caller = CallerFacts { user: Some("me".into()), ..CallerFacts::default() };
    caller.authorizer.insert("principalId".into(), "user|1".into());
    caller.claims.insert("sub".into(), "s".into());
    with_call(Some(&caller), |call| {
        let mut call = *call;
        call.facts.is_canary = Some(false);
        call.error = Some(ErrorFacts {
            message: Some("it's \"no\""),
            response_type: "THROTTLED",
            validation_error: "",
        });
        for (name, expected) in [
            ("identity.user", Some("me")),
            ("identity.caller", None),
            ("authorizer.principalId", Some("user|1")),
            ("authorizer.claims.sub", Some("s")),
            ("authorizer.claims", None),
            ("isCanaryRequest", Some("false")),
            ("error.message", Some("it's \"no\"")),
            ("error.messageString", Some(r#""it's \"no\"""#)),
            ("error.responseType", Some("THROTTLED")),
            ("error.validationErrorString", Some("")),
            ("deploymentId", Some("dep123")),
            ("resourceId", Some("res123")),
            ("operationName", None),
            ("identity", None),
            ("nothing", None),
        ] {
            assert_eq!(call.text(name).as_deref(), expected, "{name}");
        }
        call.error = Some(ErrorFacts { message: None, response_type: "", validation_error: "" });
        assert_eq!(call.text("error.message"), None);
        assert_eq!(call.text("error.messageString").as_deref(), Some("null"));
        assert!(call.keys().any(|key| key == "isCanaryRequest"));
    });
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
        ("method.request.header.X-Two", &["b"]),
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
    ] {
        let compiled =
            with_route(|route| RequestMapping::compile(&table(&[(key, expression)]), route));
        assert!(matches!(compiled, Err(CompileError::BadKey { .. })), "{key}");
    }
    for expression in [
        "method.request.body",
        "method.request.body.$.x",
        "method.request.header.",
        "context.nothing",
        "context.identity.nothing",
        "'open",
        "'",
        "text",
        "",
    ] {
        let key = "integration.request.header.x";
        let compiled =
            with_route(|route| RequestMapping::compile(&table(&[(key, expression)]), route));
        assert!(matches!(compiled, Err(CompileError::BadExpression { .. })), "{expression}");
    }
}

fn response(
    pattern: Option<&str>,
    status: u16,
    parameters: &[(&str, &str)],
) -> IntegrationResponse {
    IntegrationResponse {
        selection_pattern: pattern.map(str::to_owned),
        status_code: status,
        response_parameters: table(parameters),
        ..IntegrationResponse::default()
    }
}

fn select(responses: &[IntegrationResponse], status: u16) -> Result<u16, MappingError> {
    let mapping = with_route(|route| ResponseMapping::compile(responses, route)).unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    let reply =
        mapping.apply(Reply::new(status, HeaderMap::new(), Body::Empty), &HeaderMap::new())?;
    Ok(reply.status.as_u16())
}

/// AWS: "Set up an integration response"; recorded: test_http_integration_status_code_selection.
#[test]
fn a_response_is_selected_by_the_whole_status() {
    let two = [response(None, 200, &[]), response(Some(r"4\d{2}"), 400, &[])];
    let none_default = [response(Some("20"), 200, &[]), response(Some("5.."), 500, &[])];
    let shadow =
        [response(Some(".*"), 200, &[]), response(None, 201, &[]), response(Some("404"), 404, &[])];
    let either = [response(Some("404|5"), 404, &[]), response(Some(""), 200, &[])];
    for (responses, backend, expected) in [
        (&two[..], 404, Ok(400)),
        (&two, 201, Ok(200)),
        (&none_default, 503, Ok(500)),
        (&none_default, 200, Err(200)),
        (&none_default, 299, Err(299)),
        (&shadow, 404, Ok(200)),
        (&either, 404, Ok(404)),
        (&either, 500, Ok(200)),
        (&either, 999, Ok(200)),
        (&[], 200, Err(200)),
    ] {
        let expected = expected.map_err(|status| MappingError::NoResponse { status });
        assert_eq!(select(responses, backend), expected, "{backend}");
    }
}

#[test]
fn patterns_we_cannot_read_are_refused_when_compiled() {
    for pattern in ["(?=4)", r"(4)\1", "(", "a)(b", "[", "(?:a{1000}){1000}"] {
        let compiled = with_route(|route| {
            ResponseMapping::compile(&[response(Some(pattern), 200, &[])], route)
        });
        assert!(matches!(compiled, Err(CompileError::BadPattern { .. })), "{pattern}");
    }
}

/// Recorded: test_apigateway_header_remapping_http, the table of what a mapped header becomes.
#[test]
fn only_mapped_headers_remain_and_some_under_another_name() {
    let renamed = [
        "Authorization",
        "Connection",
        "Content-Length",
        "Content-MD5",
        "Date",
        "Expect",
        "Host",
        "Max-Forwards",
        "Proxy-Authenticate",
        "Server",
        "Trailer",
        "Upgrade",
        "User-Agent",
        "WWW-Authenticate",
    ];
    let passed = [
        "Accept",
        "Accept-Charset",
        "Accept-Encoding",
        "Age",
        "Content-Encoding",
        "Content-Type",
        "Pragma",
        "Range",
        "Referer",
        "TE",
        "Via",
        "Warn",
    ];
    let becomes = |name: &str| {
        let key = format!("method.response.header.{name}");
        let responses = [response(None, 200, &[(&key, "integration.response.header.x")])];
        let mapping = with_route(|route| ResponseMapping::compile(&responses, route)).unwrap();
        let theirs = headers(&[("x", "old"), ("x", "new"), ("other", "1")]);
        let reply = mapping
            .apply(Reply::new(StatusCode::OK, theirs, Body::Empty), &HeaderMap::new())
            .unwrap();
        let found = reply.headers.iter().find(|(_, value)| *value == "new");
        let expected =
            if found.is_some_and(|(name, _)| name != header::CONTENT_TYPE) { 2 } else { 1 };
        assert_eq!(reply.headers.len(), expected, "{:?}", reply.headers);
        found.map(|(name, _)| name.to_string())
    };
    for name in renamed {
        let expected = format!("x-amzn-remapped-{}", name.to_lowercase());
        assert_eq!(becomes(name), Some(expected));
    }
    for name in passed {
        assert_eq!(becomes(name), Some(name.to_lowercase()));
    }
    assert_eq!(becomes("Transfer-Encoding"), None);
}

#[test]
fn response_headers_come_from_the_answer_the_stage_or_the_author() {
    let responses = [response(
        None,
        201,
        &[
            ("method.response.header.a", "'fixed'"),
            ("method.response.header.b", "stageVariables.version"),
            ("method.response.header.c", "stageVariables.absent"),
            ("method.response.header.d", "integration.response.multivalueheader.x"),
            ("method.response.header.e", "integration.response.header.absent"),
        ],
    )];
    let mapping = with_route(|route| ResponseMapping::compile(&responses, route)).unwrap();
    let theirs = headers(&[("x", "1"), ("x", "2"), ("x-amzn-trace-id", "Root=1"), ("date", "now")]);
    let reply =
        mapping.apply(Reply::new(StatusCode::OK, theirs, Body::Empty), &HeaderMap::new()).unwrap();
    let expected = headers(&[
        ("a", "fixed"),
        ("b", "v 2"),
        ("d", "1,2"),
        ("content-type", "application/json"),
        ("x-amzn-trace-id", "Root=1"),
    ]);
    assert_eq!((reply.status, reply.headers), (StatusCode::CREATED, expected));
    for (key, expression) in [
        ("method.response.body.x", "'1'"),
        ("method.response.header.x", "integration.response.body"),
        ("method.response.header.x", "text"),
    ] {
        let responses = [response(None, 200, &[(key, expression)])];
        assert!(with_route(|route| ResponseMapping::compile(&responses, route)).is_err());
    }
}

/// AWS: "Content encoding for REST APIs": the most preferred supported coding decides.
#[test]
fn the_coding_is_what_the_client_wants_most() {
    for (accepted, expected) in [
        ("gzip", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("deflate, gzip", Some(Coding::Gzip)),
        ("gzip;q=0.5, deflate;q=0.8", Some(Coding::Deflate)),
        ("br, gzip;q=0.1", Some(Coding::Gzip)),
        ("GZIP; Q=1.000", Some(Coding::Gzip)),
        ("gzip, identity", Some(Coding::Gzip)),
        ("identity, gzip;q=0.9", None),
        ("gzip;q=0", None),
        ("gzip;q=oops", None),
        ("identity", None),
        ("*", None),
        ("br", None),
        ("", None),
    ] {
        assert_eq!(negotiate(&headers(&[("accept-encoding", accepted)])), expected, "{accepted}");
    }
    assert_eq!(negotiate(&HeaderMap::new()), None);
}

fn chunked(chunks: Vec<Bytes>) -> Body {
    let frames = chunks.into_iter().map(|chunk| Ok::<_, BodyError>(Frame::data(chunk)));
    Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
}

fn bodies(text: &'static str) -> [Body; 2] {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let chunks = [first, second].into_iter().filter(|chunk| !chunk.is_empty());
    [Body::from(Bytes::from(text)), chunked(chunks.map(Bytes::from_static).collect())]
}

async fn collect(body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

async fn decoded(coding: &str, body: Body, limit: u64) -> Result<Bytes, DecodeError> {
    let headers = headers(&[("content-encoding", coding)]);
    Ok(collect(decode_request(&headers, body, limit).await?).await)
}

/// `minimumCompressionSize` counts the bytes before compression.
#[tokio::test]
async fn replies_from_a_size_on_are_compressed() {
    let accepted = headers(&[("accept-encoding", "gzip")]);
    for (text, minimum, compressed) in
        [("hello", 5, true), ("hello", 6, false), ("hello", 0, true), ("", 0, false)]
    {
        for body in bodies(text) {
            let lengths = headers(&[("content-length", "5")]);
            let reply = Reply::new(StatusCode::OK, lengths, body);
            let reply = compress_reply(reply, &accepted, minimum).await;
            let coded = reply.headers.get(header::CONTENT_ENCODING).is_some();
            assert_eq!(coded, compressed, "{text} {minimum}");
            assert_eq!(reply.headers.contains_key(header::CONTENT_LENGTH), !compressed);
            let bytes = collect(reply.body).await;
            if compressed {
                assert_eq!(decoded("gzip", Body::from(bytes), 100).await.unwrap(), text);
            } else {
                assert_eq!(bytes, text);
            }
        }
    }
    let coded = headers(&[("content-encoding", "br")]);
    let reply = Reply::new(StatusCode::OK, coded.clone(), Body::from(Bytes::from("hello")));
    let reply = compress_reply(reply, &accepted, 0).await;
    assert_eq!((reply.headers, collect(reply.body).await), (coded, Bytes::from("hello")));
}

/// Data that has come is sent on before the next data comes.
#[tokio::test(start_paused = true)]
async fn compression_does_not_hold_back_what_is_there() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(chunk)), receiver))
    });
    let mut body = compress(Body::stream(StreamBody::new(Box::pin(frames))), Coding::Gzip);
    sender.send(Bytes::from_static(b"first")).await.unwrap();
    let mut seen = Vec::new();
    while let Ok(Some(frame)) =
        tokio::time::timeout(std::time::Duration::from_secs(1), body.frame()).await
    {
        seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert!(seen.len() > 10, "the head of the format and the first data");
    drop(sender);
    seen.extend_from_slice(&collect(body).await);
    assert_eq!(decoded("gzip", Body::from(Bytes::from(seen)), 100).await.unwrap(), "first");
}

#[tokio::test]
async fn request_bodies_are_taken_out_of_their_coding() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let name = if coding == Coding::Gzip { "gzip" } else { "deflate" };
        for body in bodies("hello") {
            assert_eq!(decoded(name, compress(body, coding), 5).await.unwrap(), "hello");
        }
        let long = decoded(name, compress(Body::from(Bytes::from("hello")), coding), 4).await;
        assert!(matches!(long, Err(DecodeError::TooLarge { limit: 4 })), "{long:?}");
        let bomb = compress(Body::from(Bytes::from(vec![0; 1 << 20])), coding);
        let bomb = decoded(name, bomb, 1 << 16).await;
        assert!(matches!(bomb, Err(DecodeError::TooLarge { .. })), "{bomb:?}");
        let whole = collect(compress(Body::from(Bytes::from("hello")), coding)).await;
        let cut = whole.slice(..whole.len() - 1);
        assert!(matches!(decoded(name, Body::from(cut), 100).await, Err(DecodeError::Undecodable)));
        let plain = decoded(name, Body::from(Bytes::from("plain")), 100).await;
        assert!(matches!(plain, Err(DecodeError::Undecodable)), "{plain:?}");
    }
    for name in ["br", "gzip, gzip", "x"] {
        let refused = decoded(name, Body::from(Bytes::from("hello")), 100).await;
        assert!(matches!(refused, Err(DecodeError::UnsupportedCoding)), "{name}");
    }
    assert_eq!(decoded("identity", Body::from(Bytes::from("hello")), 1).await.unwrap(), "hello");
    // Recorded: a bodiless request may name a coding.
    for name in ["deflate", "br"] {
        assert_eq!(decoded(name, Body::Empty, 1).await.unwrap(), "");
        assert_eq!(decoded(name, chunked(Vec::new()), 1).await.unwrap(), "");
    }
}

proptest! {
    #[test]
    fn compressing_loses_nothing(chunks: Vec<Vec<u8>>, gzip: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (coding, name) =
            if gzip { (Coding::Gzip, "gzip") } else { (Coding::Deflate, "deflate") };
        let whole = chunks.concat();
        let body = chunked(chunks.into_iter().map(Bytes::from).collect());
        let back = runtime.block_on(decoded(name, compress(body, coding), 1 << 20));
        prop_assert_eq!(&back.unwrap()[..], &whole[..]);
    }

    #[test]
    fn decoding_never_panics(bytes: Vec<u8>, gzip: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let name = if gzip { "gzip" } else { "deflate" };
        drop(runtime.block_on(decoded(name, Body::from(Bytes::from(bytes)), 1 << 16)));
    }

    #[test]
    fn compiling_never_panics(key: String, expression: String, pattern: String) {
        let parameters = table(&[(&key, &expression)]);
        with_route(|route| {
            drop(RequestMapping::compile(&parameters, route));
            let response = response(Some(&pattern), 200, &[(&key, &expression)]);
            drop(ResponseMapping::compile(&[response], route));
        });
    }
}

fn with_templates(templates: &[(&str, &str)], parameters: &[(&str, &str)]) -> ResponseMapping {
    let response = IntegrationResponse {
        response_templates: table(templates),
        ..response(None, 200, parameters)
    };
    with_route(|route| ResponseMapping::compile(&[response], route)).unwrap()
}

/// The content type and the body that a client gets where the backend said `theirs`.
fn templated(mapping: &ResponseMapping, clients: &[(&str, &str)]) -> (String, Option<Bytes>) {
    let theirs = Body::from(Bytes::from_static(b"theirs"));
    let reply = Reply::new(StatusCode::OK, headers(&[("content-type", "a/theirs")]), theirs);
    let reply = mapping.apply(reply, &headers(clients)).unwrap();
    let media_type = reply.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = match reply.body {
        Body::Full(bytes) => Some(bytes),
        Body::Empty => None,
        other => panic!("{other:?}"),
    };
    (media_type, body)
}

/// Selection by `Accept`, then JSON, then the first (data plane reference 4.3).
#[test]
fn a_constant_response_template_is_the_body_with_its_media_type() {
    let mapping = with_templates(
        &[("text/xml", "<a/>"), ("application/json", "{}"), ("text/plain", "")],
        &[],
    );
    for (accept, media_type, body) in [
        (&[][..], "application/json", Some("{}")),
        (&["text/xml"], "text/xml", Some("<a/>")),
        (&["Text/XML"], "text/xml", Some("<a/>")),
        (&["text/xml, */*"], "application/json", Some("{}")),
        (&["text/xml", "image/png"], "application/json", Some("{}")),
        (&["image/png", "text/xml"], "text/xml", Some("<a/>")),
        (&["text/plain"], "text/plain", None),
    ] {
        let clients: Vec<(&str, &str)> = accept.iter().map(|value| ("accept", *value)).collect();
        let expected = (media_type.to_owned(), body.map(Bytes::from));
        assert_eq!(templated(&mapping, &clients), expected, "{accept:?}");
    }
    let first = with_templates(&[("text/xml", "<a/>"), ("text/plain", "a")], &[]);
    let expected = ("text/xml".to_owned(), Some(Bytes::from("<a/>")));
    assert_eq!(templated(&first, &[]), expected);
    let mapped = [("method.response.header.Content-Type", "'text/html'")];
    let mapped = with_templates(&[("application/json", "<p>")], &mapped);
    assert_eq!(templated(&mapped, &[]), ("text/html".to_owned(), Some(Bytes::from("<p>"))));
    let none = with_templates(&[], &[]);
    let expected = ("application/json".to_owned(), Some(Bytes::from("theirs")));
    assert_eq!(templated(&none, &[("accept", "text/xml")]), expected);
}

#[test]
fn templates_that_cannot_be_used_are_refused_when_compiled() {
    let longest = "x".repeat(quotas::TEMPLATE_BYTES_MAX);
    let long = format!("{longest}x");
    let compile = |key: &str, text: &str| {
        let response = IntegrationResponse {
            response_templates: table(&[(key, text)]),
            ..response(None, 200, &[])
        };
        with_route(|route| ResponseMapping::compile(&[response], route)).map(|_| ())
    };
    assert_eq!(compile("a/b", &longest), Ok(()));
    let not_constant = |key: &str| Err(CompileError::NotConstant { key: key.into() });
    assert_eq!(compile("a/b", "$input.body"), not_constant("a/b"));
    assert_eq!(compile("a/b", "#set($a = 1)"), not_constant("a/b"));
    let limit = quotas::TEMPLATE_BYTES_MAX;
    assert_eq!(
        compile("a/b", &long),
        Err(CompileError::TemplateTooLong { key: "a/b".into(), limit })
    );
    for key in ["$default", "a\u{7f}/b", ""] {
        assert_eq!(compile(key, ""), Err(CompileError::BadMediaType { key: key.into() }), "{key}");
    }
    let many: IndexMap<String, String> =
        (0..101).map(|n| (format!("a/{n}"), String::new())).collect();
    let many = RequestTemplates::compile(&many, Passthrough::Never).map(|_| ());
    assert_eq!(many, Err(CompileError::TooManyTemplates { limit: 100 }));
}

/// AWS: "Method request behavior for payloads without mapping templates", its table.
#[test]
fn a_body_without_a_template_passes_as_the_author_says() {
    use Passthrough::{Never, WhenNoMatch, WhenNoTemplates};
    let json = [("application/json", "j")];
    let any = [("application/json", "j"), ("$default", "d")];
    let chosen = |templates: &[(&str, &str)], passthrough, sent: Option<&str>| {
        let templates = RequestTemplates::compile(&table(templates), passthrough).unwrap();
        let sent: Vec<(&str, &str)> = sent.map(|sent| ("content-type", sent)).into_iter().collect();
        templates.choose(&headers(&sent)).map(Option::<&Bytes>::cloned)
    };
    let body = |text: &'static str| Ok(Some(Bytes::from_static(text.as_bytes())));
    let refused = || Err(MappingError::UnsupportedMediaType);
    for passthrough in [WhenNoMatch, WhenNoTemplates, Never] {
        assert_eq!(chosen(&json, passthrough, None), body("j"));
        assert_eq!(chosen(&json, passthrough, Some("Application/JSON; charset=x")), body("j"));
        assert_eq!(chosen(&any, passthrough, Some("text/xml")), body("d"));
    }
    for (passthrough, no_match, no_templates) in [
        (WhenNoMatch, Ok(None), Ok(None)),
        (WhenNoTemplates, refused(), Ok(None)),
        (Never, refused(), refused()),
    ] {
        assert_eq!(chosen(&json, passthrough, Some("text/xml")), no_match, "{passthrough:?}");
        assert_eq!(chosen(&[], passthrough, Some("text/xml")), no_templates, "{passthrough:?}");
    }
}

/// AWS: "Mock integrations for REST APIs"; leniency and failures as recorded.
#[test]
fn a_constant_mock_template_names_its_status() {
    use Named::{Nothing, Status, Unknown};
    for (template, named) in [
        (r#"{"statusCode": 200}"#, Status(200)),
        ("{statusCode: 200}", Status(200)),
        (" { 'statusCode' : 404 , } ", Status(404)),
        (r#"{"statusCode": 200 ,, }"#, Status(200)),
        (r#"{"statusCode": 200, "x": 1}"#, Status(200)),
        (r#"{"statusCode": "200"}"#, Nothing),
        (r#"{"statusCode": 2.5}"#, Nothing),
        (r#"{"code": 200}"#, Nothing),
        (r#"{"statusCode": 200"#, Nothing),
        ("statusCode: 200", Nothing),
        ("{", Nothing),
        ("}{", Nothing),
        (r#"{"statusCode": 999}"#, Unknown),
        (r#"{"statusCode": -1}"#, Unknown),
        ("{statusCode: 99}", Unknown),
        ("{statusCode: }", Unknown),
        ("{code: 200}", Unknown),
        ("#set($x = 1){statusCode: 200}", Unknown),
        (r#"{"statusCode": $input.params('s')}"#, Unknown),
        (" ", Unknown),
    ] {
        assert_eq!(named_status(template), named, "{template}");
    }
}
