//! What the gateway itself adds to a call of a function as a proxy: the event, and reading the answer.

use std::net::IpAddr;

use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use indexmap::IndexMap;
use tidegate::mapping::context::{CallContext, PathParameters, RouteFacts};
use tidegate::mapping::lambda_event::Event;
use tidegate::mapping::lambda_reply;
use tidegate::net::clock::Timestamp;
use uuid::Uuid;

/// Headers of a browser's call.
const HEADERS: [(&str, &str); 12] = [
    ("host", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("content-type", "application/json"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("referer", "https://shop.example.com/orders"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    ("x-request-source", "web"),
];

/// The event of a call with a body of 1 KiB, two query parameters and twelve headers.
#[divan::bench]
fn lambda_event(bencher: Bencher<'_, '_>) {
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let variables = IndexMap::from([("table".to_owned(), "orders".to_owned())]);
    let names = ["id".to_owned()];
    let range = 8..10;
    let id = Uuid::nil();
    let call = CallContext {
        facts: RouteFacts {
            api_id: "a1b2c3d4e5",
            account_id: "111111111111",
            stage: "prod",
            deployment_id: "d1e2f3",
            resource_id: "abc123",
            resource_path: "/orders/{id}",
            operation_name: "",
            stage_variables: &variables,
            is_canary: None,
        },
        method: &Method::POST,
        headers: &headers,
        spelling: None,
        query: Some("page=2&sort=date%20desc"),
        path_parameters: PathParameters {
            names: &names,
            path: "/orders/42",
            ranges: std::slice::from_ref(&range),
        },
        request_id: &id,
        extended_request_id: "cXNV7F7iPHcFoDA=",
        aws_endpoint_request_id: None,
        source_ip: IpAddr::from([203, 0, 113, 9]),
        path: "/prod/orders/42",
        protocol: "HTTP/1.1",
        domain_name: "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
        received_at: Timestamp::from_millis(1_722_592_800_000),
        caller: None,
        error: None,
    };
    let body = format!("{{\"text\":\"{}\"}}", "a \\\"quoted\\\" text ".repeat(56));
    let trace_id = HeaderValue::from_static("Root=1-66aa0000-0123456789abcdef01234567");
    let event = Event {
        call: &call,
        path: "/orders/42",
        trace_id: &trace_id,
        proto: "https",
        port: 443,
        body: body.as_bytes(),
        is_binary: false,
    };
    bencher.bench_local(|| black_box(&event).to_json());
}

/// An answer with four headers and a body of 1 KiB.
#[divan::bench]
fn lambda_reply(bencher: Bencher<'_, '_>) {
    let body = "a \\\"quoted\\\" text ".repeat(56);
    let returned = format!(
        "{{\"statusCode\":200,\"headers\":{{\"Content-Type\":\"application/json\",\
         \"Cache-Control\":\"no-store\",\"X-Total\":\"42\"}},\"multiValueHeaders\":\
         {{\"Set-Cookie\":[\"a=1\",\"b=2\"]}},\"body\":\"{body}\"}}"
    );
    bencher.bench_local(|| lambda_reply::read(black_box(returned.as_bytes()), false).unwrap());
}
