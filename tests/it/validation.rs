//! Requests that a method does not take, and refusals as an API's author wants them: at an edge,
//! through the tunnel, and at the door of a region without edges.
//!
//! Developer Guide, "Request validation for REST APIs in API Gateway", "Gateway responses for REST
//! APIs in API Gateway"; rest-data-plane 3.5, 4.1, 4.2.

use std::time::Duration;

use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::world::client::{Answer, Protocol, empty, fed, whole};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::play::Play;
use crate::world::simulate;

const ALL: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
const SECOND: Duration = Duration::from_secs(1);

const PATHS: &str = r##"
  /people/{issuer}:
    post:
      parameters:
        - { name: issuer, in: path, required: true, schema: { type: string } }
        - { name: qs1, in: query, required: true, schema: { type: string } }
        - { name: x-header-param, in: header, required: true, schema: { type: string } }
      requestBody:
        content: { application/json: { schema: { $ref: "#/components/schemas/Person" } } }
      x-amazon-apigateway-request-validator: all
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: POST, uri: "http://10.0.2.1:8000/people" }
  /bodies:
    post:
      requestBody:
        content: { application/json: { schema: { $ref: "#/components/schemas/Person" } } }
      x-amazon-apigateway-request-validator: body
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: POST, uri: "http://10.0.2.1:8000/bodies" }
  /cached-search:
    get:
      parameters: [{ name: q, in: query, required: true, schema: { type: string } }]
      x-amazon-apigateway-request-validator: all
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        uri: http://10.0.2.1:8000/search
        cacheKeyParameters: [method.request.querystring.q]
  /cached-quick:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:8000/slow", timeoutInMillis: 1000 }
components:
  schemas:
    Person:
      type: object
      required: [name, b]
      properties:
        name: { type: string }
        b: { type: number }
        house: { $ref: "#/components/schemas/House" }
    House:
      type: object
      required: [contains]
      properties:
        contains: { type: array, minItems: 1, items: { $ref: "#/components/schemas/Person" } }
x-amazon-apigateway-request-validators:
  all: { validateRequestBody: true, validateRequestParameters: true }
  body: { validateRequestBody: true, validateRequestParameters: false }
"##;

const RESPONSES: &str = r##"
x-amazon-apigateway-gateway-responses:
  DEFAULT_4XX:
    responseParameters:
      gatewayresponse.header.Access-Control-Allow-Origin: "'*'"
      gatewayresponse.header.x-color: stageVariables.color
  DEFAULT_5XX:
    statusCode: "599"
    responseTemplates:
      application/json: '{"id":"$context.requestId","is":"$context.error.responseType"}'
  BAD_REQUEST_BODY:
    statusCode: "422"
    responseTemplates:
      application/json: '{"m":$context.error.messageString,"v":"$context.error.validationErrorString"}'
  MISSING_AUTHENTICATION_TOKEN:
    statusCode: "404"
    responseParameters: { gatewayresponse.header.x-q: method.request.querystring.q }
    responseTemplates:
      text/html: "<p>$method.request.header.x-name at $context.stage, ${stageVariables.color}</p>"
"##;

fn shape(edges: u8, responses: &str) -> Shape {
    let mut shape = Shape::edges(edges).ttl_seconds(60);
    shape.document.push_str(PATHS);
    shape.document.push_str(responses);
    shape.apis += "variables = { color = \"blue\", secret = \"sesame\" }\n\
                   access_log = { format = \"$context.requestId $context.error.responseType \
                   $context.error.validationErrorString\", destination = \"access.log\" }\n";
    shape
}

/// Runs at an edge and at the door of a region without edges.
fn at_both_doors(responses: &str, scenario: impl AsyncFn(&Cluster<'_>, &str)) {
    for (edges, door) in [(1, "edge-1"), (0, "region")] {
        simulate(&[1], async |world| {
            let cluster = Cluster::start(world, &shape(edges, responses)).await;
            cluster.backend.on("/people", Play::text("welcome"));
            cluster.backend.on("/bodies", Play::echo());
            scenario(&cluster, door).await;
        });
    }
}

async fn send(
    cluster: &Cluster<'_>,
    (door, protocol): (&str, Protocol),
    method: &str,
    below: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/{STAGE}{below}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.into();
    let body = if body.is_empty() { empty() } else { whole(body) };
    let mut connection = cluster.connect(protocol, door).await;
    let received = connection.send(request.body(body).unwrap()).await.unwrap();
    received.whole().await.unwrap()
}

#[track_caller]
fn check(answer: &Answer, status: u16, body: &str, what: &str) {
    assert_eq!((answer.status.as_u16(), answer.text()), (status, body), "{what}");
    assert_eq!(answer.header("x-amzn-errortype"), Some("BadRequestException"), "{what}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
}

const WRONG_BODY: &str = r#"{"message":"Invalid request body"}"#;
const THERE: [(&str, &str); 1] = [("x-header-param", "1")];

/// Recorded: test_api_gateway_request_validator.
#[test]
fn what_a_method_does_not_take_reaches_no_backend() {
    at_both_doors("", async |cluster, door| {
        for protocol in ALL {
            let at = (door, protocol);
            let what = format!("{door} {protocol:?}");
            let fits = r#"{"name":"n","b":1}"#;
            let missing =
                r#"{"message":"Missing required request parameters: [x-header-param, qs1]"}"#;
            // Parameters are told before the body.
            for body in [fits, "{}", ""] {
                let answer = send(cluster, at, "POST", "/people/i", &[], body).await;
                check(&answer, 400, missing, &what);
            }
            for body in ["", "{}", "nope", r#"{"name":"n","b":"x"}"#, "[]"] {
                let answer = send(cluster, at, "POST", "/people/i?qs1=1", &THERE, body).await;
                check(&answer, 400, WRONG_BODY, &format!("{what} {body}"));
            }
            assert_eq!(cluster.backend.calls("/people"), 0, "{what}");
        }
        for protocol in ALL {
            let body = r#"{"name":"n","b":1,"house":{"contains":[{"name":"c","b":2}]}}"#;
            let at = (door, protocol);
            let answer = send(cluster, at, "POST", "/people/i?qs1=1", &THERE, body).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "welcome"));
            assert_eq!(cluster.backend.last().body, body);
            // Another media type has no model.
            let plain = [THERE[0], ("content-type", "text/plain")];
            let answer = send(cluster, at, "POST", "/people/i?qs1=1", &plain, "nope").await;
            assert_eq!(answer.status.as_u16(), 200);
        }
    });
}

/// Bodies are looked at out of their content coding, in whatever pieces, and however long or deep.
#[test]
fn coded_huge_and_deep_bodies_are_looked_at() {
    at_both_doors("", async |cluster, door| {
        let at = (door, Protocol::Http2);
        let coded = async |text: &str| {
            let mut encoder = GzipEncoder::new(Vec::new());
            encoder.write_all(text.as_bytes()).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        };
        let gzip = [("content-encoding", "gzip")];
        let fits = r#"{"name":"n","b":1}"#;
        let answer = send(cluster, at, "POST", "/bodies", &gzip, coded(fits).await).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, fits));
        let answer = send(cluster, at, "POST", "/bodies", &gzip, coded("{}").await).await;
        check(&answer, 400, WRONG_BODY, "coded");
        let answer = send(cluster, at, "POST", "/bodies", &gzip, "not coded").await;
        assert_eq!(answer.status.as_u16(), 415);

        let long = format!(r#"{{"name":"{}","b":1}}"#, "x".repeat(300_000));
        let answer = send(cluster, at, "POST", "/bodies", &[], long.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, long.len()));
        let wrong = long.replace("\"b\"", "\"c\"");
        let answer = send(cluster, at, "POST", "/bodies", &[], wrong).await;
        check(&answer, 400, WRONG_BODY, "long");
        let deep =
            format!(r#"{{"name":"n","b":1,"x":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        let answer = send(cluster, at, "POST", "/bodies", &[], deep).await;
        check(&answer, 400, WRONG_BODY, "deep");

        let (pieces, upload) = fed();
        let request = Request::post(format!("/{STAGE}/bodies")).body(upload).unwrap();
        let mut connection = cluster.connect(Protocol::Http2, door).await;
        let feed = async {
            for byte in fits.as_bytes().chunks(3) {
                sleep(SECOND).await;
                pieces.send(Ok(Bytes::copy_from_slice(byte))).await.unwrap();
            }
            drop(pieces);
        };
        let (received, ()) = tokio::join!(connection.send(request), feed);
        let answer = received.unwrap().whole().await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), (200, fits));
    });
}

/// Validation comes before the cache, and what it refuses is never kept.
#[test]
fn a_kept_answer_is_for_those_who_ask_rightly() {
    at_both_doors("", async |cluster, door| {
        cluster.backend.on("/search", Play::text("found"));
        let ask = async |below: &str| cluster.get(door, below).await;
        for _ in 0..2 {
            assert_eq!(ask("/cached-search?q=a").await.text(), "found");
            let missing = r#"{"message":"Missing required request parameters: [q]"}"#;
            for below in ["/cached-search", "/cached-search?q=", "/cached-search?q=%20"] {
                check(&ask(below).await, 400, missing, below);
            }
        }
        assert_eq!(cluster.backend.calls("/search"), 1);
    });
}

/// rest-data-plane 3.5: at an edge, through the tunnel, in the region; once, and not merged.
#[test]
fn refusals_are_as_the_author_wants_them() {
    at_both_doors(RESPONSES, async |cluster, door| {
        let at = (door, Protocol::Http2);
        let answer = send(cluster, at, "POST", "/bodies", &[], r#"{"b":1}"#).await;
        assert_eq!(answer.status.as_u16(), 422);
        let body = r#"{"m":"Invalid request body","v":"[object has missing required properties ([\"name\"])]"}"#;
        assert_eq!(answer.text(), body);
        // An entry of its own takes nothing from DEFAULT_4XX.
        assert_eq!(answer.header("access-control-allow-origin"), None);

        let answer = send(cluster, at, "POST", "/people/i", &THERE, "{}").await;
        check(&answer, 400, r#"{"message":"Missing required request parameters: [qs1]"}"#, door);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("x-color"), Some("blue"));

        let named = [("x-name", "Ann")];
        let answer = send(cluster, at, "GET", "/nowhere/at/all?q=seen", &named, "").await;
        assert_eq!(answer.status.as_u16(), 404);
        assert_eq!(answer.text(), format!("<p>Ann at {STAGE}, blue</p>"));
        assert_eq!(answer.header("content-type"), Some("text/html"));
        assert_eq!(answer.header("x-q"), Some("seen"));
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));

        // The region refuses these, and the client's door makes the author's answer of them.
        for (below, is) in
            [("/quick", "INTEGRATION_TIMEOUT"), ("/refused", "API_CONFIGURATION_ERROR")]
        {
            cluster.backend.on("/quick", Play::hangs());
            let answer = cluster.get(door, below).await;
            let id = answer.header("x-amzn-requestid").unwrap();
            assert_eq!(answer.status.as_u16(), 599, "{below}");
            assert_eq!(answer.text(), format!(r#"{{"id":"{id}","is":"{is}"}}"#), "{below}");
            assert_eq!(answer.header("x-amzn-errortype"), Some("InternalServerErrorException"));
        }
        // What a backend says itself is nobody's to change.
        cluster.backend.on("/open/own", Play::text("mine").status(503));
        let answer = cluster.get(door, "/open/own").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (503, "mine"));
    });
}

/// One failure answers all who waited for it, each with its own call's values.
#[test]
fn who_shares_a_failure_gets_an_answer_of_its_own() {
    at_both_doors(RESPONSES, async |cluster, door| {
        cluster.backend.on("/slow", Play::hangs());
        let ask = || cluster.get(door, "/cached-quick");
        let answers: [Answer; 3] = tokio::join!(ask(), ask(), ask()).into();
        let mut ids = Vec::new();
        for answer in &answers {
            let id = answer.header("x-amzn-requestid").unwrap();
            let body = format!(r#"{{"id":"{id}","is":"INTEGRATION_TIMEOUT"}}"#);
            assert_eq!((answer.status.as_u16(), answer.text()), (599, body.as_str()));
            ids.push(id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert_eq!(cluster.backend.calls("/slow"), 1);
    });
}

/// 413 and 414 come before any API is asked (rest-data-plane 3.1).
#[test]
fn what_is_too_large_is_nobodys_to_customise() {
    at_both_doors(RESPONSES, async |cluster, door| {
        let answer = cluster.get(door, &format!("/open/{}", "x".repeat(1_700))).await;
        assert_eq!(answer.status.as_u16(), 414);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let request = Request::post(format!("/{STAGE}/bodies"))
            .header("content-length", 10 * 1024 * 1024 + 1);
        let (pieces, upload) = fed();
        let mut connection = cluster.connect(Protocol::Http2, door).await;
        let received = connection.send(request.body(upload).unwrap()).await.unwrap();
        let answer = received.whole().await.unwrap();
        drop(pieces);
        assert_eq!(answer.status.as_u16(), 413);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    });
}

/// `$context.error.*` in the access log, and no other stage variable at an edge than those shown.
#[test]
fn the_log_says_what_was_wrong_and_edges_know_no_secrets() {
    at_both_doors(RESPONSES, async |cluster, door| {
        let at = (door, Protocol::Http2);
        send(cluster, at, "POST", "/bodies", &[], r#"{"name":1,"b":1}"#).await;
        send(cluster, at, "POST", "/people/i", &THERE, "{}").await;
        sleep(5 * SECOND).await;
        let folder = cluster.folder().join(door);
        let log = std::fs::read_to_string(folder.join("access.log")).unwrap();
        let lines: Vec<&str> =
            log.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest).collect();
        assert_eq!(
            lines,
            [
                "BAD_REQUEST_BODY [instance type (integer) does not match any allowed primitive \
                 type (allowed: [\\\"string\\\"])]",
                "BAD_REQUEST_PARAMETERS -",
            ]
        );
        if door == "edge-1" {
            let mut kept = String::new();
            collect(&folder, &mut kept);
            assert!(kept.contains("blue"), "the part is on the edge's disk");
            assert!(!kept.contains("sesame"));
        }
    });
}

/// All text below a folder.
fn collect(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else if let Ok(bytes) = std::fs::read(&path) {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}
