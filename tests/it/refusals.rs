//! What the gateway says when it refuses: status, headers and body to the byte.
//!
//! Developer Guide, "Gateway response types for API Gateway", and recordings of REST APIs: early
//! phases write `{"message":"…"}`, a failing integration `{"message": "…"}` with a space; no trace
//! header on a gateway response.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::client::{Answer, Connection, Protocol, empty, fed, whole};
use crate::world::cluster::{API, Cluster, STAGE, Shape, host_name};
use crate::world::play::Play;
use crate::world::simulate;

const ALL: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
const SECOND: Duration = Duration::from_secs(1);
const MOST: usize = 10 * 1024 * 1024;

/// A refusal as it stands in the reference.
struct Expected<'a> {
    status: u16,
    /// `x-amzn-errortype`; without one the body is plain text.
    error_type: Option<&'a str>,
    body: &'a str,
    /// The route was found, so an edge says what its cache did.
    routed: bool,
}

fn early<'a>(status: u16, error_type: &'a str, body: &'a str) -> Expected<'a> {
    Expected { status, error_type: Some(error_type), body, routed: false }
}

fn routed<'a>(status: u16, error_type: &'a str, body: &'a str) -> Expected<'a> {
    Expected { status, error_type: Some(error_type), body, routed: true }
}

/// Every header is looked at: none may be missing, none too many.
fn check(answer: &Answer, expected: &Expected<'_>, at_edge: bool, what: &str) {
    assert_eq!(answer.status.as_u16(), expected.status, "{what}: {:?}", answer.body);
    assert_eq!(answer.text(), expected.body, "{what}");
    assert_eq!(answer.header("x-amzn-errortype"), expected.error_type, "{what}");
    let media_type = if expected.error_type.is_some() { "application/json" } else { "text/plain" };
    assert_eq!(answer.header("content-type"), Some(media_type), "{what}");
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()), "{what}");
    let shown = (expected.routed && at_edge).then_some("Error from tidegate");
    assert_eq!(answer.header("x-cache"), shown, "{what}");
    let id = answer.header("x-amzn-requestid").unwrap_or_else(|| panic!("{what}: no request id"));
    assert!(uuid::Uuid::parse_str(id).is_ok() && id.len() == 36, "{what}: {id}");
    let id = answer.header("x-amz-apigw-id").unwrap_or_else(|| panic!("{what}: no extended id"));
    assert!(id.len() == 16 && id.ends_with('='), "{what}: {id}");
    assert!(answer.header("date").is_some(), "{what}");
    let known = [
        "content-type",
        "content-length",
        "date",
        "connection",
        "x-amzn-requestid",
        "x-amz-apigw-id",
        "x-amzn-errortype",
        "x-cache",
        "alt-svc",
    ];
    for name in answer.headers.keys() {
        assert!(known.contains(&name.as_str()), "{what}: {name} has no place in a refusal");
    }
}

async fn send(client: &mut Connection, request: http::request::Builder, body: Bytes) -> Answer {
    let request = request.body(if body.is_empty() { empty() } else { whole(body) }).unwrap();
    client.send(request).await.unwrap().whole().await.unwrap()
}

/// Runs for an edge and for the door of a region without edges.
fn at_both_doors(scenario: impl AsyncFn(&Cluster<'_>, &str, bool)) {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        scenario(&cluster, "edge-1", true).await;
    });
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(0)).await;
        scenario(&cluster, "region", false).await;
    });
}

const NO_TOKEN: &str = r#"{"message":"Missing Authentication Token"}"#;
const NO_TOKEN_TYPE: &str = "MissingAuthenticationTokenException";
const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
const SERVER: &str = "InternalServerErrorException";

#[test]
fn an_unknown_route_misses_a_token() {
    at_both_doors(async |cluster, door, at_edge| {
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            for (method, path) in [
                ("GET", "/unknown"),
                ("GET", ""),
                ("GET", "/"),
                ("POST", "/quick"),
                ("GET", "/quick/below"),
                ("GET", "/Quick"),
                ("HEAD", "/quick"),
            ] {
                let request = Request::builder().method(method).uri(format!("/{STAGE}{path}"));
                let answer = send(&mut client, request, Bytes::new()).await;
                let what = format!("{method} {path} over {protocol:?}");
                if method == "HEAD" {
                    assert_eq!((answer.status.as_u16(), answer.body.len()), (403, 0), "{what}");
                } else {
                    check(&answer, &early(403, NO_TOKEN_TYPE, NO_TOKEN), at_edge, &what);
                }
            }
        }
    });
}

/// rest-data-plane 1.6, 8.3: what is no signature is complained of, and the more of it there is the
/// more exactly. The caller's secret is not repeated, only its hash.
#[test]
fn an_unknown_route_with_another_authorization_complains_of_it() {
    let no_pair = "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with \
                   SHA-256 and encoded with Base64): 'HASH'.";
    let lacks = "Authorization header requires 'Credential' parameter. Authorization header requires \
                 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. \
                 Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                 header. (Hashed with SHA-256 and encoded with Base64) Authorization=HASH";
    at_both_doors(async |cluster, door, at_edge| {
        for (value, message) in [
            ("Bearer abc.def", no_pair),
            ("Basic Zm9vOmJhcg==", lacks),
            ("Digest username=\"x\", realm=\"y\"", lacks),
            ("a=b", lacks),
        ] {
            let hash = BASE64.encode(digest(&SHA256, value.as_bytes()));
            let body = format!("{{\"message\":\"{}\"}}", message.replace("HASH", &hash));
            let expected = early(403, "IncompleteSignatureException", &body);
            for protocol in ALL {
                let mut client = cluster.connect(protocol, door).await;
                let request =
                    Request::get(format!("/{STAGE}/unknown")).header("authorization", value);
                let answer = send(&mut client, request, Bytes::new()).await;
                check(&answer, &expected, at_edge, &format!("{value} over {protocol:?}"));
            }
        }
    });
}

#[test]
fn an_unknown_stage_or_api_is_forbidden() {
    at_both_doors(async |cluster, door, at_edge| {
        let expected = early(403, "ForbiddenException", FORBIDDEN);
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            for path in ["/nostage/quick", "/", "/nostage"] {
                let answer = client.get(path).await.unwrap();
                check(&answer, &expected, at_edge, &format!("{path} over {protocol:?}"));
            }
            let address = cluster.door(door);
            let name = host_name("noapi00000");
            let answer = cluster.client.get(protocol, address, &name, "/prod/quick").await.unwrap();
            check(&answer, &expected, at_edge, &format!("unknown API over {protocol:?}"));
            for path in [format!("/_api/noapi00000/{STAGE}/quick"), format!("/_api/{API}/x/quick")]
            {
                let answer = cluster.client.get(protocol, address, "localhost", &path).await;
                check(&answer.unwrap(), &expected, at_edge, &format!("{path} over {protocol:?}"));
            }
        }
    });
}

const TOO_LARGE: Expected<'static> = Expected {
    status: 413,
    error_type: None,
    body: "HTTP content length exceeded 10485760 bytes.",
    routed: false,
};

#[test]
fn a_declared_body_beyond_ten_megabytes_is_too_large() {
    at_both_doors(async |cluster, door, at_edge| {
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            let (pieces, upload) = fed();
            let request = Request::post(format!("/{STAGE}/open/up"))
                .header("content-length", MOST + 1)
                .body(upload)
                .unwrap();
            // Not a byte of it is needed for the refusal.
            let answer = client.send(request).await.unwrap().whole().await.unwrap();
            drop(pieces);
            check(&answer, &TOO_LARGE, at_edge, &format!("{protocol:?}"));
        }
        assert_eq!(cluster.backend.calls_of_all(), 0);
    });
}

#[test]
fn a_body_that_grows_beyond_ten_megabytes_is_too_large() {
    at_both_doors(async |cluster, door, at_edge| {
        // Answers only when it has the whole body, as most backends do.
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            let (pieces, upload) = fed();
            let request = Request::post(format!("/{STAGE}/open/up")).body(upload).unwrap();
            let feed = async {
                let piece = Bytes::from(vec![b'x'; 512 * 1024]);
                for _ in 0..=20 {
                    // The other side may have had enough already.
                    if pieces.send(Ok(piece.clone())).await.is_err() {
                        break;
                    }
                }
                drop(pieces);
            };
            let (answer, ()) = tokio::join!(client.send(request), feed);
            let answer = answer.unwrap().whole().await.unwrap();
            let expected = Expected { routed: true, ..TOO_LARGE };
            check(&answer, &expected, at_edge, &format!("{protocol:?}"));
        }
        assert!(cluster.backend.seen().iter().all(|seen| !seen.body_ended));
    });
}

#[test]
fn a_target_beyond_the_doors_bound_is_too_long() {
    at_both_doors(async |cluster, door, at_edge| {
        let most = if at_edge { 8192 } else { 10_240 };
        let prefix = format!("/{STAGE}/open/a?q=");
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            // The longest that fits the other bounds, too: AWS's 10,240 bytes hold all headers.
            let fits = format!("{prefix}{}", "x".repeat(most - prefix.len()));
            assert_eq!(client.get(&fits).await.unwrap().status, 200, "{protocol:?}");
            let answer = client.get(&format!("{fits}x")).await.unwrap();
            let body = r#"{"message":"Request URI too long"}"#;
            let expected = early(414, "RequestUriTooLongException", body);
            check(&answer, &expected, at_edge, &format!("{protocol:?}"));
        }
    });
}

#[test]
fn an_unknown_coding_is_unsupported() {
    at_both_doors(async |cluster, door, at_edge| {
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            let request =
                Request::post(format!("/{STAGE}/open/a")).header("content-encoding", "snappy");
            let answer = send(&mut client, request, Bytes::from_static(b"body")).await;
            let body = r#"{"message":"Unsupported Media Type"}"#;
            let expected = routed(415, "BadRequestException", body);
            check(&answer, &expected, at_edge, &format!("{protocol:?}"));
        }
        assert_eq!(cluster.backend.calls_of_all(), 0);
    });
}

#[test]
fn failing_integrations_say_what_aws_says() {
    at_both_doors(async |cluster, door, at_edge| {
        cluster.backend.on("/quick", Play::hangs());
        let network = r#"{"message": "Network error communicating with endpoint"}"#;
        let cases = [
            ("/refused", 500, r#"{"message": "Internal server error"}"#),
            ("/nowhere", 504, network),
            ("/quick", 504, r#"{"message": "Endpoint request timed out"}"#),
            // Collected before it is given out, so the client hears of its end.
            ("/cached/breaks", 504, network),
        ];
        cluster.backend.on("/cached/breaks", Play::breaks(10));
        for protocol in ALL {
            let mut client = cluster.connect(protocol, door).await;
            for (path, status, body) in cases {
                let before = cluster.world.elapsed();
                let answer = client.get(&format!("/{STAGE}{path}")).await.unwrap();
                let what = format!("{path} over {protocol:?}");
                check(&answer, &routed(status, SERVER, body), at_edge, &what);
                assert!(cluster.world.elapsed() - before < 3 * SECOND, "{what} took too long");
            }
        }
    });
}

#[test]
fn an_edge_without_its_region_is_unavailable() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.crash("region").await;
        tokio::time::sleep(30 * SECOND).await;
        for protocol in ALL {
            let mut client = cluster.connect(protocol, "edge-1").await;
            for path in ["/open/a", "/cached/a"] {
                let answer = client.get(&format!("/{STAGE}{path}")).await.unwrap();
                let body = r#"{"message":"Service Unavailable"}"#;
                let expected = routed(503, "ServiceUnavailableException", body);
                check(&answer, &expected, true, &format!("{path} over {protocol:?}"));
            }
        }
    });
}

/// Requests that two parsers could read differently: refused, and the connection ends.
#[test]
fn ambiguous_requests_are_bad_and_end_the_connection() {
    at_both_doors(async |cluster, door, at_edge| {
        let host = cluster.host_name();
        let cases = [
            format!(
                "POST /{STAGE}/open/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            format!(
                "POST /{STAGE}/open/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\
                 Content-Length: 4\r\n\r\nabcd"
            ),
            format!("GET /{STAGE}/open/a HTTP/1.1\r\nHost: {host}\r\nHost: other\r\n\r\n"),
            format!("GET /{STAGE}/open/a HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n folded\r\n\r\n"),
            format!("GET /{STAGE}/open/a HTTP/1.1\r\nHost : {host}\r\n\r\n"),
            format!("GET /{STAGE}/open/a HTTP/1.1\nHost: {host}\n\n"),
            format!("GET /{STAGE}/open/a HTTP/1.1\r\nX-A: b\r\n\r\n"),
            "GARBAGE\r\n\r\n".to_owned(),
        ];
        for case in cases {
            let address = cluster.door(door);
            let mut stream = cluster.client.tls(&[b"http/1.1"], address, &host).await.unwrap();
            stream.write_all(case.as_bytes()).await.unwrap();
            // A second request behind it must never be answered.
            let second = format!("GET /{STAGE}/open/second HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(second.as_bytes()).await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            let text = String::from_utf8(text).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400 "), "{case:?}: {text}");
            assert_eq!(body, r#"{"message":"Bad Request"}"#, "{case:?}");
            let head = head.to_ascii_lowercase();
            for line in [
                "content-type: application/json",
                "x-amzn-errortype: badrequestexception",
                "connection: close",
                "x-amzn-requestid: ",
            ] {
                assert!(head.contains(line), "{case:?}: {line} is missing in {head}");
            }
            assert!(at_edge || !head.contains("x-cache"), "{head}");
        }
        assert_eq!(cluster.backend.calls_of_all(), 0);
    });
}
