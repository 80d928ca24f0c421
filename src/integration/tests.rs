use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::*;
use crate::call::{BodyError, PathValue};
use crate::net::client;
use crate::net::client::fake::{Fake, Log};
use crate::net::clock::Timestamp;
use crate::net::tasks::Tasks;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn integration(kind: IntegrationKind, uri: &str) -> rest_api::Integration {
    rest_api::Integration {
        kind,
        http_method: None,
        uri: uri.to_owned(),
        request_parameters: IndexMap::new(),
        cache_namespace: None,
        cache_key_parameters: Vec::new(),
        timeout_ms: 1_000,
        insecure_skip_verification: false,
        responses: Vec::new(),
        ..rest_api::Integration::default()
    }
}

fn compiled(kind: IntegrationKind, uri: &str) -> CompiledIntegration {
    CompiledIntegration::compile(&integration(kind, uri), "abcdefghij", &IndexMap::new())
}

/// The parts of a call that a request borrows, and its body.
struct Asked {
    method: Method,
    query: Option<&'static str>,
    headers: HeaderMap,
    mapped: MappedParameters,
    body: Body,
}

impl Asked {
    async fn of(
        self,
        integrations: &Integrations,
        integration: &CompiledIntegration,
        deadline: Instant,
    ) -> Result<Reply, IntegrationError> {
        let request = IntegrationRequest {
            method: &self.method,
            query: self.query,
            headers: &self.headers,
            mapped: self.mapped,
            peer: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            forwarded: Forwarded { proto: "https", port: 443 },
            trace_id: HeaderValue::from_static("Root=1-0-0"),
            id: uuid::Uuid::nil(),
        };
        integrations.answer(&request, self.body, integration, deadline).await
    }
}

fn request(method: Method, headers: &[(&str, &str)], body: Body) -> Asked {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    Asked { method, query: None, headers: map, mapped: MappedParameters::default(), body }
}

fn get(headers: &[(&str, &str)]) -> Asked {
    request(Method::GET, headers, Body::Empty)
}

fn integrations(network: Arc<Fake>) -> Integrations {
    let tasks = Tasks::new(Handle::current());
    let client = HttpClient::new(client::Config::default(), network, tasks);
    Integrations::new(Config { response_bytes_max: 100 }, client)
}

/// A backend that writes down requests and answers each with `answer`.
fn backend(answer: &'static str) -> (Integrations, Log) {
    let log = Log::default();
    let written = log.clone();
    let network = Fake::new(move |_, mut wire| {
        let log = written.clone();
        async move {
            while let Some(request) = wire.request().await {
                log.add(request);
                wire.write(answer).await;
            }
        }
    });
    (integrations(network), log)
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(29)
}

/// What the backend received for a request, its head's lines sorted after the first.
async fn received(integration: &CompiledIntegration, request: Asked) -> String {
    let (integrations, log) = backend(OK);
    request.of(&integrations, integration, late()).await.unwrap();
    let lines = log.lines();
    let (head, body) = lines[0].split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    format!("{}\n\n{body}", lines.join("\n"))
}

/// Recorded: test_apigateway_header_remapping_http, HTTP_PROXY.
#[tokio::test(start_paused = true)]
async fn http_proxy_forwards_the_request_less_the_connections_own_headers() {
    let removed = [
        ("connection", "x-secret, close"),
        ("content-md5", "x"),
        ("expect", "x"),
        ("max-forwards", "1"),
        ("proxy-authenticate", "x"),
        ("server", "x"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("upgrade", "x"),
        ("www-authenticate", "x"),
        ("content-encoding", "x"),
        ("via", "x"),
        ("x-secret", "x"),
        ("keep-alive", "x"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("content-length", "99"),
        ("host", "gateway.test"),
    ];
    let kept = [
        ("accept", "a/b"),
        ("accept-encoding", "gzip"),
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("date", "x"),
        ("user-agent", "curl/8"),
        ("x-own", "1"),
        ("x-own", "2"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "gopher"),
        ("x-amzn-trace-id", "Root=client"),
        ("x-amzn-apigateway-api-id", "other"),
    ];
    let headers: Vec<_> = removed.into_iter().chain(kept).collect();
    let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/a");
    let body = Body::from(Bytes::from("body"));
    assert_eq!(
        received(&integration, request(Method::PATCH, &headers, body)).await,
        "PATCH /a HTTP/1.1\n\
         accept-encoding: gzip\n\
         accept: a/b\n\
         authorization: Bearer x\n\
         content-length: 4\n\
         cookie: a=b\n\
         date: x\n\
         host: backend.test\n\
         user-agent: curl/8\n\
         x-amzn-apigateway-api-id: abcdefghij\n\
         x-amzn-trace-id: Root=1-0-0\n\
         x-forwarded-for: 198.51.100.1, 203.0.113.9\n\
         x-forwarded-port: 443\n\
         x-forwarded-proto: https\n\
         x-own: 1\n\
         x-own: 2\n\nbody"
    );
}

/// Recorded: test_apigateway_header_remapping_http, HTTP.
#[tokio::test(start_paused = true)]
async fn http_sends_what_is_its_own_and_what_is_mapped() {
    let integration = compiled(IntegrationKind::Http, "http://backend.test/a");
    let client = [("x-own", "1"), ("accept", "a/b"), ("content-type", "text/plain")];
    assert_eq!(
        received(&integration, request(Method::POST, &client, Body::from(Bytes::from("body"))))
            .await,
        "POST /a HTTP/1.1\n\
         accept: application/json\n\
         content-length: 4\n\
         content-type: application/json\n\
         host: backend.test\n\
         user-agent: AmazonAPIGateway_abcdefghij\n\
         x-amzn-apigateway-api-id: abcdefghij\n\
         x-amzn-trace-id: Root=1-0-0\n\nbody"
    );
    let names = [
        "accept",
        "content-encoding",
        "content-md5",
        "host",
        "max-forwards",
        "server",
        "trailer",
        "upgrade",
        "user-agent",
        "www-authenticate",
        "connection",
        "expect",
        "proxy-authenticate",
        "te",
        "via",
    ];
    let mut bodiless = get(&client);
    bodiless.query = Some("not=passed");
    bodiless.mapped.headers = names
        .into_iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("m")))
        .collect();
    assert_eq!(
        received(&integration, bodiless).await,
        "GET /a HTTP/1.1\n\
         accept: m\n\
         content-encoding: m\n\
         content-md5: m\n\
         host: m\n\
         max-forwards: m\n\
         server: m\n\
         trailer: m\n\
         upgrade: m\n\
         user-agent: m\n\
         www-authenticate: m\n\
         x-amzn-apigateway-api-id: abcdefghij\n\
         x-amzn-trace-id: Root=1-0-0\n\n"
    );
}

/// Recorded: test_http_proxy_integration_request_data_mappings; mapped values come last.
#[tokio::test(start_paused = true)]
async fn the_query_is_the_uris_then_the_clients_then_the_mapped() {
    let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/{proxy}?own=1");
    let mut request = get(&[("x-own", "client")]);
    request.query = Some("testVar=foobar&a=x+y;b");
    request.mapped.query =
        vec![(Arc::from("testVar"), "bar".to_owned()), (Arc::from("odd &"), "=é".to_owned())];
    request.mapped.path = vec![(Arc::from("proxy"), PathValue::Raw("p//q%2F".to_owned()))];
    let own = HeaderName::from_static("x-own");
    request.mapped.headers =
        vec![(own.clone(), HeaderValue::from_static("1")), (own, HeaderValue::from_static("2"))];
    let seen = received(&integration, request).await;
    assert!(
        seen.starts_with(
            "GET /p//q%2F?own=1&testVar=foobar&a=x%20y&b=&testVar=bar&odd%20%26=%3D%C3%A9 HTTP/1.1\n"
        ),
        "{seen}"
    );
    assert!(seen.contains("\nx-own: 1\nx-own: 2\n"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn the_integrations_verb_is_used_where_it_names_one() {
    for (verb, expected) in [(None, "GET"), (Some("ANY"), "GET"), (Some("PUT"), "PUT")] {
        let mut plain = integration(IntegrationKind::HttpProxy, "http://backend.test/");
        plain.http_method = verb.map(str::to_owned);
        let compiled = CompiledIntegration::compile(&plain, "abcdefghij", &IndexMap::new());
        assert!(received(&compiled, get(&[])).await.starts_with(expected));
    }
}

fn shown(headers: &HeaderMap) -> Vec<String> {
    let show =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<String> = headers.iter().map(show).collect();
    lines.sort();
    lines
}

/// Recorded: test_apigateway_header_remapping_http, HTTP_PROXY, from the backend.
#[tokio::test(start_paused = true)]
async fn http_proxy_renames_the_backends_headers_that_are_the_gateways_own() {
    let (integrations, _) = backend(
        "HTTP/1.1 418 Teapot\r\nconnection: x\r\ncontent-length: 2\r\ndate: d\r\nserver: s\r\n\
         x-amzn-RequestId: r\r\nvia: v\r\ncontent-encoding: c\r\ncontent-type: t\r\n\
         www-authenticate: w\r\nexpect: e\r\nhost: h\r\nset-cookie: a\r\nset-cookie: b\r\n\
         x-amzn-trace-id: theirs\r\nx-amzn-remapped-date: forged\r\n\r\nok",
    );
    let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/a");
    let reply = get(&[]).of(&integrations, &integration, late()).await.unwrap();
    assert_eq!(reply.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(
        shown(&reply.headers),
        [
            "content-encoding: c",
            "content-type: t",
            "expect: e",
            "host: h",
            "set-cookie: a",
            "set-cookie: b",
            "www-authenticate: w",
            "x-amzn-remapped-connection: x",
            "x-amzn-remapped-content-length: 2",
            "x-amzn-remapped-date: d",
            "x-amzn-remapped-server: s",
            "x-amzn-remapped-x-amzn-requestid: r",
            "x-amzn-trace-id: theirs",
        ]
    );
    assert_eq!(reply.integration, Some(IntegrationReport { status: 418, ..Default::default() }));
    assert_eq!(reply.body.collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test(start_paused = true)]
async fn http_hands_the_backends_headers_to_the_mapping_with_this_calls_trace() {
    let (integrations, _) = backend(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: 1\r\nx-amzn-trace-id: theirs\r\n\r\nok",
    );
    let integration = compiled(IntegrationKind::Http, "http://backend.test/a");
    let reply = get(&[]).of(&integrations, &integration, late()).await.unwrap();
    assert_eq!(shown(&reply.headers), ["content-length: 2", "x-amzn-trace-id: Root=1-0-0", "x: 1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_stands_behind_a_mock() {
    let (integrations, log) = backend(OK);
    let failed = get(&[]).of(&integrations, &compiled(IntegrationKind::Mock, ""), late()).await;
    assert!(matches!(failed, Err(IntegrationError::Configuration(_))));
    assert!(log.lines().is_empty());
}

async fn failure(uri: &str, answer: &'static str) -> IntegrationError {
    let (integrations, _) = backend(answer);
    let integration = compiled(IntegrationKind::HttpProxy, uri);
    get(&[]).of(&integrations, &integration, late()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_apart() {
    use IntegrationError as E;
    let ok = "http://backend.test/";
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n";
    assert!(matches!(failure("http://{x}/", OK).await, E::BadEndpoint(_)));
    assert!(matches!(failure("http://backend.test/{x}", OK).await, E::BadEndpoint(_)));
    assert!(matches!(failure("http://backend.test:9999/", OK).await, E::ConnectionRefused(_)));
    assert!(matches!(failure("http://nowhere.test/", OK).await, E::Network(_)));
    assert!(matches!(failure(ok, "nonsense\r\n\r\n").await, E::Network(_)));
    assert!(matches!(failure(ok, long).await, E::ResponseTooLarge { limit: 100 }));
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_timeout_and_time_left_ends_the_wait() {
    for (left, expected) in [(29_000, 1_000), (300, 300)] {
        let network = Fake::new(|_, mut wire| async move { wire.closed().await });
        let integrations = integrations(network);
        let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/");
        let began = Instant::now();
        let deadline = began + Duration::from_millis(left);
        let failed = get(&[]).of(&integrations, &integration, deadline).await;
        let Err(IntegrationError::Timeout { after }) = failed else { panic!("{failed:?}") };
        assert_eq!(after, Duration::from_millis(expected));
        assert_eq!(began.elapsed().as_millis(), u128::from(expected));
    }
}

/// rest-data-plane 3.4, 7.11, 7.14: an answer that is not streamed is read whole before the client gets
/// any of it, in the time that the integration has.
#[tokio::test(start_paused = true)]
async fn half_an_answer_is_none() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let known = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
    let long = format!("60\r\n{}\r\n0\r\n\r\n", "x".repeat(96));
    // Of the integration's one second: the pause before the rest of the body, and the rest.
    for (head, pause_ms, rest, expected) in [
        (chunked, 900, "1\r\nx\r\n0\r\n\r\n", Ok("firstx")),
        (known, 900, "lines", Ok("firstlines")),
        (chunked, 1_100, "0\r\n\r\n", Err("no answer within 1000 ms")),
        (known, 1_100, "lines", Err("no answer within 1000 ms")),
        (chunked, 0, &long, Err("the answer is longer than 100 bytes")),
        (chunked, 0, "", Err("network error communicating with the endpoint")),
        (known, 0, "li", Err("network error communicating with the endpoint")),
    ] {
        let rest = rest.to_owned();
        let network = Fake::new(move |_, mut wire| {
            let rest = rest.clone();
            async move {
                wire.request().await;
                wire.write(head).await;
                sleep(Duration::from_millis(pause_ms)).await;
                wire.write(&rest).await;
            }
        });
        let integrations = integrations(network);
        let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/");
        let reply = get(&[]).of(&integrations, &integration, late()).await;
        match (reply, expected) {
            (Ok(reply), Ok(text)) => {
                assert_eq!(reply.body.collect().await.unwrap().to_bytes(), text);
            }
            (Err(err), Err(text)) => assert!(err.to_string().starts_with(text), "{err}"),
            (reply, _) => panic!("{head} {pause_ms}: {reply:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_clients_body_is_known_afterwards() {
    let (integrations, _) = backend(OK);
    let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/");
    let frames = [Ok(Frame::data(Bytes::from("x"))), Err(BodyError::TooLarge { limit: 1 })];
    let body = Body::stream(StreamBody::new(futures_util::stream::iter(frames)));
    let failed = request(Method::POST, &[], body).of(&integrations, &integration, late()).await;
    assert!(
        matches!(failed, Err(IntegrationError::RequestBody(BodyError::TooLarge { limit: 1 }))),
        "{failed:?}"
    );
}

/// An answer can be awaited in a task of its own.
#[tokio::test(start_paused = true)]
async fn an_answer_moves_into_a_task() {
    let (integrations, _) = backend(OK);
    let integration = Arc::new(compiled(IntegrationKind::HttpProxy, "http://backend.test/"));
    let task = Tasks::new(Handle::current()).spawn(async move {
        get(&[]).of(&integrations, &integration, late()).await.map(|reply| reply.status)
    });
    assert_eq!(task.await.unwrap().unwrap(), StatusCode::OK);
}

/// Recorded: test_invocation_trace_id.
#[test]
fn trace_headers_are_completed() {
    let now = Timestamp::from_seconds(0x5759_e988);
    let extend = |text: &'static str| {
        let header = HeaderValue::from_static(text);
        trace::extend(Some(&header), now).to_str().unwrap().to_owned()
    };
    let full = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    assert_eq!(extend(full), full);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
    };
    let rooted = extend("Root=1-a-b");
    let parts: Vec<&str> = rooted.split(';').collect();
    assert_eq!((parts[0], parts[2], parts.len()), ("Root=1-a-b", "Sampled=0", 3));
    assert!(hex(parts[1].strip_prefix("Parent=").unwrap(), 16), "{rooted}");
    assert!(extend("Root=1-a-b;Sampled=1").starts_with("Root=1-a-b;Sampled=1;Parent="));
    for made in
        [extend(""), extend("nonsense"), trace::extend(None, now).to_str().unwrap().to_owned()]
    {
        let root = made.split(';').next().unwrap();
        let unique = root.strip_prefix("Root=1-5759e988-").unwrap();
        assert!(hex(unique, 24), "{made}");
        assert!(made.ends_with(";Sampled=0"));
    }
}

/// rest-data-plane 7.6.
#[tokio::test(start_paused = true)]
async fn redirects_are_the_clients_to_follow() {
    let (integrations, log) =
        backend("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n");
    let integration = compiled(IntegrationKind::HttpProxy, "http://backend.test/a");
    let reply = get(&[]).of(&integrations, &integration, late()).await.unwrap();
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(reply.headers["location"], "/other");
    assert_eq!(log.lines().len(), 1);
}

/// Each call may name its host; what is no host is an invalid address.
#[tokio::test(start_paused = true)]
async fn a_host_may_depend_on_the_call() {
    let integration = compiled(IntegrationKind::HttpProxy, "http://{host}/a");
    let asked = |value: Option<&str>| {
        let mut request = get(&[]);
        let value = value.map(|value| (Arc::from("host"), PathValue::Text(value.to_owned())));
        request.mapped.path = value.into_iter().collect();
        request
    };
    for host in ["one.test", "two.test:8080", "10.0.0.1", "[::1]:8080"] {
        let seen = received(&integration, asked(Some(host))).await;
        assert!(seen.contains(&format!("\nhost: {host}\n")), "{seen}");
        assert!(seen.starts_with("GET /a HTTP/1.1"), "{seen}");
    }
    for wrong in ["", "a/b", "a?b", "user@a", "a b", "a#b", "a%2fb", "a\r\nx: y", "a:22", "[::1"] {
        let (integrations, log) = backend(OK);
        let failed = asked(Some(wrong)).of(&integrations, &integration, late()).await;
        assert!(matches!(failed, Err(IntegrationError::BadEndpoint(_))), "{wrong}: {failed:?}");
        assert!(log.lines().is_empty());
    }
    let (integrations, _) = backend(OK);
    let failed = asked(None).of(&integrations, &integration, late()).await;
    assert!(matches!(failed, Err(IntegrationError::BadEndpoint(_))), "{failed:?}");
}

fn streamed() -> CompiledIntegration {
    let mut plain = integration(IntegrationKind::HttpProxy, "http://backend.test/");
    plain.is_streamed = true;
    CompiledIntegration::compile(&plain, "abcdefghij", &IndexMap::new())
}

/// rest-data-plane 7.14: the timeout is for the head; pieces may come long after it, and the whole
/// may be longer than a buffered answer.
#[tokio::test(start_paused = true)]
async fn a_streamed_answer_goes_on_after_the_timeout() {
    let network = Fake::new(|_, mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for _ in 0..4 {
            sleep(Duration::from_secs(50)).await;
            wire.write(&format!("32\r\n{}\r\n", "x".repeat(50))).await;
        }
        wire.write("0\r\n\r\n").await;
    });
    let integrations = integrations(network);
    let reply = get(&[]).of(&integrations, &streamed(), late()).await.unwrap();
    // Twice the bound that `integrations` puts on the others.
    assert_eq!(reply.body.collect().await.unwrap().to_bytes().len(), 200);
    let buffered = compiled(IntegrationKind::HttpProxy, "http://backend.test/");
    let failed = get(&[]).of(&integrations, &buffered, late()).await;
    assert!(matches!(failed, Err(IntegrationError::Timeout { .. })), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_head_of_a_streamed_answer_has_the_timeout() {
    let network = Fake::new(|_, mut wire| async move { wire.closed().await });
    let failed = get(&[]).of(&integrations(network), &streamed(), late()).await;
    assert!(matches!(failed, Err(IntegrationError::Timeout { .. })), "{failed:?}");
}

/// Going to the host of the same name instead would call whatever that is.
#[tokio::test(start_paused = true)]
async fn a_link_that_leads_nowhere_leads_nowhere_else() {
    let arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/n/1";
    let variables = IndexMap::from([("link".to_owned(), "abc123".to_owned())]);
    let known = IndexMap::from([("abc123".to_owned(), vec![arn.to_owned()])]);
    let second = IndexMap::from([("abc123".to_owned(), Vec::new())]);
    for (link, links, says) in [
        (Some("other1"), &known, "no VPC link `other1`"),
        (Some("${stageVariables.none}"), &known, "no VPC link ``"),
        (Some("${stageVariables.link}"), &known, "[[region.load_balancer]]"),
        (Some("abc123"), &second, "no integrationTarget"),
        (None, &known, "not known here"),
    ] {
        let mut plain = integration(IntegrationKind::HttpProxy, "http://backend.test/");
        plain.vpc_link = Some(link.unwrap_or("abc123").to_owned());
        let mut compiled = CompiledIntegration::compile(&plain, "abcdefghij", &variables);
        if link.is_some() {
            let access =
                Access { stage_variables: &variables, vpc_links: links, client_certificate: None };
            compiled = compiled.reached(&plain, access);
        }
        let (integrations, log) = backend(OK);
        let failed = get(&[]).of(&integrations, &compiled, late()).await.unwrap_err();
        let IntegrationError::Configuration(why) = &failed else { panic!("{failed:?}") };
        assert!(why.contains(says), "{why}");
        assert!(log.lines().is_empty());
    }
}
