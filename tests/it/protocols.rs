//! HTTP/1.1, HTTP/2 and HTTP/3 clients through an edge to the backend, whatever they do.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::{sleep, timeout};

use crate::world::client::{Protocol, Received, Upload, empty, fed, whole};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::play::{Play, pattern};
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);
const ALL: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
/// AWS's largest payload.
const MOST: u64 = 10 * 1024 * 1024;

fn path(below: &str) -> String {
    format!("/{STAGE}{below}")
}

async fn start<'w>(world: &'w crate::world::World) -> Cluster<'w> {
    Cluster::start(world, &Shape::edges(1)).await
}

#[test]
fn every_protocol_carries_a_call() {
    simulate(&[1, 2], async |world| {
        let cluster = start(world).await;
        let play = Play::text("made").status(201).header("x-kind", "tea").header("x-kind", "pot");
        cluster.backend.on("/open/a%20b/c", play);
        for protocol in ALL {
            let mut client = cluster.connect(protocol, "edge-1").await;
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                let request = Request::builder()
                    .method(method)
                    .uri(path("/open/a%20b/c?x=1&y=a%2Fb"))
                    .header("x-own", "mine")
                    .body(whole(Bytes::from_static(if method == "GET" { b"" } else { b"body" })))
                    .unwrap();
                let answer = client.send(request).await.unwrap().whole().await.unwrap();
                let what = format!("{method} over {protocol:?}");
                assert_eq!((answer.status.as_u16(), answer.text()), (201, "made"), "{what}");
                let kinds: Vec<_> = answer.headers.get_all("x-kind").iter().collect();
                assert_eq!(kinds, ["tea", "pot"], "{what}");
                assert!(answer.header("x-amzn-requestid").is_some(), "{what}");

                let seen = cluster.backend.last();
                assert_eq!(seen.method.as_str(), method);
                assert_eq!(seen.uri.path_and_query().unwrap(), "/open/a%20b/c?x=1&y=a%2Fb");
                assert_eq!(seen.headers["x-own"], "mine", "{what}");
                assert_eq!(&seen.body[..], if method == "GET" { &b""[..] } else { b"body" });
                assert_eq!(seen.headers["x-forwarded-for"], "10.0.3.1", "{what}");
                assert_eq!(seen.headers["cloudfront-forwarded-proto"], "https", "{what}");
            }
        }
    });
}

#[test]
fn a_head_request_has_a_head_only() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        cluster.backend.on("/open/a", Play::bytes(1000));
        for protocol in ALL {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let request = Request::head(path("/open/a")).body(empty()).unwrap();
            let answer = client.send(request).await.unwrap().whole().await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{protocol:?}");
            // The backend's length is remapped; a length of 0 would be wrong.
            assert_eq!(answer.header("x-amzn-remapped-content-length"), Some("1000"));
            assert_ne!(answer.header("content-length"), Some("0"), "{protocol:?}");
            // The connection is as good as before.
            assert_eq!(client.get(&path("/open/b")).await.unwrap().status, 200);
        }
    });
}

#[test]
fn ten_megabytes_pass_both_ways_byte_by_byte() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        cluster.backend.on("/open/echo", Play::echo());
        let sent = pattern(7, MOST);
        for protocol in ALL {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let echoed = client.post(&path("/open/echo"), sent.clone()).await.unwrap();
            assert_eq!(echoed.status, 200, "{protocol:?}");
            assert!(echoed.body == sent, "{protocol:?}");
        }
        assert_eq!(cluster.backend.aborted(), 0);
    });
}

/// The end of a request may come long after its head; it is still a request without a body.
#[test]
fn a_late_end_of_a_get_is_no_body() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        for protocol in ALL {
            for below in ["/cached/late", "/open/late"] {
                let mut client = cluster.connect(protocol, "edge-1").await;
                let (pieces, upload) = fed();
                let mut request = Request::get(path(below));
                if protocol == Protocol::Http1 {
                    request = request.header("transfer-encoding", "chunked");
                }
                let request = request.body(upload).unwrap();
                let end = async {
                    sleep(SECOND).await;
                    drop(pieces);
                };
                let (answer, ()) = tokio::join!(client.send(request), end);
                assert_eq!(answer.unwrap().status(), 200, "{protocol:?}");
            }
            let seen = cluster.backend.last();
            assert_eq!(seen.uri.path(), "/open/late");
            assert!(!seen.headers.contains_key("transfer-encoding"), "{protocol:?}: {seen:?}");
        }
        assert_eq!(cluster.backend.calls("/cached/late"), 1);
    });
}

/// A GET may have a body. It is passed on, and not answered from the cache.
#[test]
fn a_get_with_a_body_keeps_it() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        for protocol in ALL {
            for body in ["known", "fed"] {
                let mut client = cluster.connect(protocol, "edge-1").await;
                let upload = match body {
                    "known" => whole(Bytes::from_static(b"question")),
                    _ => {
                        let (pieces, upload) = fed();
                        tokio::spawn(async move {
                            sleep(SECOND / 10).await;
                            pieces.send(Ok(Bytes::from_static(b"ques"))).await.unwrap();
                            pieces.send(Ok(Bytes::from_static(b"tion"))).await.unwrap();
                        });
                        upload
                    }
                };
                let mut request = Request::get(path("/cached/q"));
                if protocol == Protocol::Http1 && body == "fed" {
                    request = request.header("transfer-encoding", "chunked");
                }
                let answer = client.send(request.body(upload).unwrap()).await.unwrap();
                assert_eq!(answer.status(), 200);
                let seen = cluster.backend.last();
                let arrived = (&seen.body[..], seen.body_ended);
                assert_eq!(arrived, (&b"question"[..], true), "{body} over {protocol:?}");
            }
        }
        assert_eq!(cluster.backend.calls("/cached/q"), 6);
    });
}

/// AWS sends no trailers on; they must at least do no harm.
#[test]
fn request_trailers_do_no_harm() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        for protocol in ALL {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", "7".parse().unwrap());
            let frames: [io::Result<Frame<Bytes>>; 2] =
                [Ok(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
            let upload: Upload =
                BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::iter(frames)));
            let mut request = Request::post(path("/open/t"));
            if protocol == Protocol::Http1 {
                request = request.header("trailer", "x-checksum").header("te", "trailers");
            }
            let mut client = cluster.connect(protocol, "edge-1").await;
            let answer = client.send(request.body(upload).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200, "{protocol:?}");
            let seen = cluster.backend.last();
            assert_eq!((&seen.body[..], seen.body_ended), (&b"body"[..], true), "{protocol:?}");
            assert_eq!(client.get(&path("/open/b")).await.unwrap().status, 200);
        }
    });
}

/// A client that reads slowly holds its own answer back and nobody else's.
#[test]
fn a_slow_reader_gets_all_and_delays_nobody() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        cluster.backend.on("/open/big", Play::bytes(4_000_000));
        for protocol in ALL {
            let mut slow = cluster.connect(protocol, "edge-1").await;
            let request = Request::get(path("/open/big")).body(empty()).unwrap();
            let mut answer = slow.send(request).await.unwrap();
            let mut read = 0;
            let mut rounds = 0;
            while let Some(piece) = answer.piece().await.unwrap() {
                assert!(piece == pattern(read, piece.len() as u64), "{protocol:?}");
                read += piece.len() as u64;
                rounds += 1;
                if rounds % 20 == 0 {
                    sleep(SECOND).await;
                    let before = world.elapsed();
                    assert_eq!(cluster.get("edge-1", "/open/small").await.status, 200);
                    assert!(world.elapsed() - before < SECOND);
                }
            }
            assert_eq!(read, 4_000_000, "{protocol:?}");
        }
    });
}

/// A slow sender has all the time it needs as long as it moves.
#[test]
fn a_slow_sender_gets_through() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        for protocol in ALL {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let (pieces, upload) = fed();
            let request = Request::post(path("/open/up")).body(upload).unwrap();
            let feed = async {
                for n in 0..10 {
                    pieces.send(Ok(pattern(n * 1000, 1000))).await.unwrap();
                    sleep(SECOND).await;
                }
                drop(pieces);
            };
            let (answer, ()) = tokio::join!(client.send(request), feed);
            assert_eq!(answer.unwrap().status(), 200, "{protocol:?}");
            let seen = cluster.backend.last();
            assert!(seen.body == pattern(0, 10_000), "{protocol:?}");
        }
    });
}

async fn ask(cluster: &Cluster<'_>, protocol: Protocol, below: &str) -> Received {
    let mut client = cluster.connect(protocol, "edge-1").await;
    let request = Request::get(path(below)).body(empty()).unwrap();
    // The connection lives on in the answer, and ends with it.
    client.send(request).await.unwrap()
}

#[test]
fn a_client_that_leaves_cancels_the_backends_call() {
    simulate(&[1, 2], async |world| {
        let cluster = start(world).await;
        cluster.backend.on("/open/hang", Play::hangs());
        cluster.backend.on("/streamed/drip", Play::drip(100, 10_000, SECOND));
        let mut aborted = 0;
        for protocol in ALL {
            // Before the answer …
            let mut client = cluster.connect(protocol, "edge-1").await;
            let request = Request::get(path("/open/hang")).body(empty()).unwrap();
            assert!(timeout(2 * SECOND, client.send(request)).await.is_err());
            assert_eq!(cluster.backend.in_flight(), 1, "{protocol:?}");
            drop(client);
            sleep(2 * SECOND).await;
            aborted += 1;
            let counts = (cluster.backend.in_flight(), cluster.backend.aborted());
            assert_eq!(counts, (0, aborted), "{protocol:?} before the answer");
            // … and in the middle of it.
            let mut answer = ask(&cluster, protocol, "/streamed/drip").await;
            assert_eq!(answer.piece().await.unwrap().unwrap().len(), 100);
            assert_eq!(cluster.backend.in_flight(), 1, "{protocol:?}");
            drop(answer);
            sleep(5 * SECOND).await;
            aborted += 1;
            let counts = (cluster.backend.in_flight(), cluster.backend.aborted());
            assert_eq!(counts, (0, aborted), "{protocol:?} within the answer");
        }
    });
}

#[test]
fn a_request_body_that_breaks_off_is_never_a_whole_one() {
    simulate(&[1, 2], async |world| {
        let cluster = start(world).await;
        for protocol in ALL {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let (pieces, upload) = fed();
            let request = Request::post(path("/open/up")).body(upload).unwrap();
            let feed = async {
                pieces.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
                sleep(SECOND).await;
                pieces.send(Err(io::ErrorKind::Other.into())).await.unwrap();
            };
            let (answer, ()) = tokio::join!(timeout(5 * SECOND, client.send(request)), feed);
            assert!(!matches!(answer, Ok(Ok(answer)) if answer.status() == 200), "{protocol:?}");
            drop(client);
            sleep(SECOND).await;
            // Its length was not known, so that it is read before the backend is asked.
            assert_eq!(cluster.backend.calls_of_all(), 0, "{protocol:?}");
        }
    });
}

#[test]
fn http1_and_http2_advertise_http3() {
    simulate(&[1], async |world| {
        let cluster = start(world).await;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let answer = client.get(&path("/open/a")).await.unwrap();
            let offer = answer.header("alt-svc").unwrap_or_default();
            assert!(offer.contains("h3=\":8443\""), "{protocol:?}: {offer}");
        }
    });
}
