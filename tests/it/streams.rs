//! Answers that come piece by piece, and those that take long: through edge and tunnel, at once.
//!
//! AWS: API Gateway Developer Guide, "Stream the integration response for your proxy integrations";
//! rest-data-plane 7.14.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tidegate::net::socket::{Network, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::world::client::{Protocol, empty};
use crate::world::cluster::{Cluster, Shape};
use crate::world::play::Play;
use crate::world::simulate;

const EVENTS: usize = 5;

/// An API whose methods ask the feed, streamed and not, and methods with timeouts of their own.
const DOCUMENT: &str = r#"
openapi: 3.0.1
info: { title: feed, version: "1" }
paths:
  /streamed:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.4.1:8000/events", responseTransferMode: STREAM }
  /chunked:
    post:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: POST, uri: "http://10.0.4.1:8000/events" }
  /slow:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:8000/slow", timeoutInMillis: 60000 }
  /slower:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:8000/slower", timeoutInMillis: 60000 }
  /function:
    post:
      x-amazon-apigateway-integration:
        type: aws_proxy
        httpMethod: POST
        uri: "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:000000000000:function:feed/response-streaming-invocations"
        responseTransferMode: STREAM
  /pages:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:8000/pages", responseTransferMode: STREAM }
"#;

fn shape() -> Shape {
    shape_of(1)
}

/// Listeners that soon think of a connection as idle, or of a client as slow.
fn shape_of(edges: u8) -> Shape {
    let more = "[timeouts]\nintegration_max = \"2m\"\nidle = \"20s\"\nstall = \"20s\"\n\
                [lambda]\nendpoint = \"http://10.0.4.1:8000\"\n"
        .to_owned();
    Shape { document: DOCUMENT.to_owned(), more, ..Shape::edges(edges) }
}

/// The same with compression of whatever is compressed.
fn compressing() -> Shape {
    let document = format!("{DOCUMENT}x-amazon-apigateway-minimum-compression-size: 0\n");
    Shape { document, ..shape() }
}

/// A backend whose answers are said by the test, one piece at a time.
struct Feed {
    connected: mpsc::Receiver<mpsc::Sender<Option<Bytes>>>,
}

impl Feed {
    fn start(network: Arc<dyn Network>, address: SocketAddr) -> Self {
        let mut listener = network.listen(address, false).unwrap();
        let (announce, connected) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (say, said) = mpsc::channel(1);
                tokio::spawn(answer(stream, said));
                if announce.send(say).await.is_err() {
                    return;
                }
            }
        });
        Self { connected }
    }
}

/// Sends the head, and each piece when it is said; `None` is the end.
async fn answer(mut stream: Stream, mut said: mpsc::Receiver<Option<Bytes>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok();
    let mut rest = Vec::new();
    loop {
        let piece = tokio::select! {
            piece = said.recv() => piece,
            // Nothing more is asked for: the other side hung up.
            read = stream.read_buf(&mut rest) => match read {
                // The rest of the request.
                Ok(1..) => continue,
                _ => return,
            },
        };
        let Some(piece) = piece else { return };
        let text = match &piece {
            Some(piece) => {
                format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece))
            }
            None => "0\r\n\r\n".to_owned(),
        };
        if stream.write_all(text.as_bytes()).await.is_err() || piece.is_none() {
            return;
        }
    }
}

fn event(n: usize) -> Bytes {
    Bytes::from(format!("data: {n}\n\n"))
}

/// Event N is read by the client before the backend is told to send N + 1.
async fn events_come_one_by_one(cluster: &Cluster<'_>, feed: &mut Feed) {
    for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
        let mut client = cluster.connect(protocol, "edge-1").await;
        let request = Request::get("/prod/streamed").header("accept-encoding", "gzip");
        let request = request.body(empty()).unwrap();
        // The head is there before the first event.
        let mut answer = client.send(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.head.headers.contains_key("content-encoding"));
        assert_eq!(answer.head.headers["content-type"], "text/event-stream");
        let say = feed.connected.recv().await.unwrap();
        for n in 0..EVENTS {
            say.send(Some(event(n))).await.unwrap();
            let mut read = Vec::new();
            while read.len() < event(n).len() {
                read.extend_from_slice(&answer.piece().await.unwrap().unwrap());
            }
            assert_eq!(read, event(n), "{protocol:?}");
        }
        say.send(None).await.unwrap();
        // HTTP/2 says the end in an empty frame.
        assert!(answer.whole().await.unwrap().body.is_empty());
    }
}

#[test]
fn every_event_is_there_before_the_next_is_sent() {
    simulate(&[1], async |world| {
        let inside = world.host("feed", "10.0.4.1");
        let mut feed = Feed::start(inside.clone(), inside.at(8000));
        let cluster = Cluster::start(world, &shape()).await;
        events_come_one_by_one(&cluster, &mut feed).await;
    });
}

/// rest-data-plane 7.14: BUFFERED is the default, and then nothing is there before the end.
#[test]
fn without_streaming_an_answer_comes_whole() {
    simulate(&[1], async |world| {
        let inside = world.host("feed", "10.0.4.1");
        let mut feed = Feed::start(inside.clone(), inside.at(8000));
        let cluster = Cluster::start(world, &shape()).await;
        let mut client = cluster.connect(Protocol::Http2, "edge-1").await;
        let request = Request::post("/prod/chunked").body(empty()).unwrap();
        let answer = client.send(request);
        tokio::pin!(answer);
        let say = tokio::select! {
            say = feed.connected.recv() => say.unwrap(),
            _ = &mut answer => panic!("an answer before the backend's"),
        };
        for n in 0..EVENTS {
            say.send(Some(event(n))).await.unwrap();
            assert!(timeout(Duration::from_secs(1), &mut answer).await.is_err(), "{n}");
        }
        say.send(None).await.unwrap();
        let whole = answer.await.unwrap().whole().await.unwrap();
        assert_eq!(whole.body, (0..EVENTS).map(event).collect::<Vec<_>>().concat());
    });
}

/// rest-data-plane 7.14: no content encoding by the gateway, no cache.
#[test]
fn what_is_streamed_is_neither_compressed_nor_kept() {
    simulate(&[1], async |world| {
        let inside = world.host("feed", "10.0.4.1");
        let mut feed = Feed::start(inside.clone(), inside.at(8000));
        let cluster = Cluster::start(world, &compressing()).await;
        events_come_one_by_one(&cluster, &mut feed).await;
        // The stage caches GET, and this one it does not.
        for calls in 1..=3 {
            assert_eq!(cluster.get("edge-1", "/pages").await.text(), "backend: /pages");
            assert_eq!(cluster.backend.calls("/pages"), calls);
        }
    });
}

/// rest-data-plane 7.14: an edge-optimized answer may pause 30 s, and take far longer than 29 s.
#[test]
fn a_streamed_answer_may_pause_but_not_for_long() {
    simulate(&[1], async |world| {
        let inside = world.host("feed", "10.0.4.1");
        let mut feed = Feed::start(inside.clone(), inside.at(8000));
        let cluster = Cluster::start(world, &shape()).await;
        let mut client = cluster.connect(Protocol::Http1, "edge-1").await;
        let request = Request::get("/prod/streamed").body(empty()).unwrap();
        let mut answer = client.send(request).await.unwrap();
        let say = feed.connected.recv().await.unwrap();
        let began = Instant::now();
        for n in 0..EVENTS {
            sleep(Duration::from_secs(28)).await;
            say.send(Some(event(n))).await.unwrap();
            assert_eq!(answer.piece().await.unwrap(), Some(event(n)));
        }
        assert!(began.elapsed() > 4 * Duration::from_secs(29));
        assert!(answer.piece().await.is_err(), "it pauses too long");
        // The backend hears of it.
        cluster.until(Duration::from_secs(5), "the backend hears", || say.is_closed()).await;
    });
}

/// What a function says first: its metadata, and the eight zeros that end it.
fn metadata() -> Bytes {
    Bytes::from_static(b"{\"statusCode\":200}\0\0\0\0\0\0\0\0")
}

/// A function's answer pauses at an edge and in the region as any other: 30 s and 5 min, whatever a
/// listener thinks of clients that are slow (rest-data-plane 7.14).
#[test]
fn a_functions_answer_may_pause_as_long_as_any() {
    let second = Duration::from_secs(1);
    for (edges, door, most) in [(1, "edge-1", 30 * second), (0, "region", 300 * second)] {
        simulate(&[1], async |world| {
            let inside = world.host("feed", "10.0.4.1");
            let mut feed = Feed::start(inside.clone(), inside.at(8000));
            let cluster = Cluster::start(world, &shape_of(edges)).await;
            for protocol in [Protocol::Http1, Protocol::Http2] {
                a_function_pauses(&cluster, &mut feed, (door, protocol), most).await;
            }
        });
    }
}

/// Pauses nearly as long as it may, twice, and then too long.
async fn a_function_pauses(
    cluster: &Cluster<'_>,
    feed: &mut Feed,
    (door, protocol): (&str, Protocol),
    most: Duration,
) {
    let second = Duration::from_secs(1);
    let mut client = cluster.connect(protocol, door).await;
    let request = Request::post("/prod/function").body(empty()).unwrap();
    let told = async {
        let say = feed.connected.recv().await.unwrap();
        say.send(Some(metadata())).await.unwrap();
        say
    };
    let (answer, say) = tokio::join!(client.send(request), told);
    let mut answer = answer.unwrap();
    assert_eq!(answer.status(), 200, "{door} {protocol:?}");
    for n in 0..2 {
        sleep(most - 2 * second).await;
        say.send(Some(event(n))).await.unwrap();
        let mut read = Vec::new();
        while read.len() < event(n).len() {
            let piece = answer.piece().await.unwrap();
            read.extend_from_slice(&piece.unwrap_or_else(|| panic!("{door} {protocol:?}")));
        }
        assert_eq!(read, event(n), "{door} {protocol:?}");
    }
    sleep(most + second).await;
    assert!(answer.whole().await.is_err(), "{door} {protocol:?}: it pauses too long");
    cluster.until(5 * second, "the function hears", || say.is_closed()).await;
}

/// A function that does not even say its metadata has the integration's time, not a stream's.
#[test]
fn a_functions_answer_has_to_begin_in_time() {
    simulate(&[1], async |world| {
        let inside = world.host("feed", "10.0.4.1");
        let mut feed = Feed::start(inside.clone(), inside.at(8000));
        let cluster = Cluster::start(world, &shape()).await;
        let mut client = cluster.connect(Protocol::Http1, "edge-1").await;
        let request = Request::post("/prod/function").body(empty()).unwrap();
        let began = Instant::now();
        let (answer, _say) = tokio::join!(client.send(request), feed.connected.recv());
        assert_eq!(answer.unwrap().status(), 504);
        assert!(began.elapsed() < Duration::from_secs(31));
    });
}

/// `timeouts.integration_max` of the topology allows what AWS's quota allows on request.
#[test]
fn an_integration_may_take_longer_than_29_s_where_the_operator_allows_it() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &shape()).await;
        let slow = |seconds| Play::text("late").after(Duration::from_secs(seconds));
        cluster.backend.on("/slow", slow(45));
        let answer = cluster.get("edge-1", "/slow").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "late"));
        cluster.backend.on("/slower", slow(61));
        let answer = cluster.get("edge-1", "/slower").await;
        assert_eq!(answer.status, 504);
        assert_eq!(answer.text(), r#"{"message": "Endpoint request timed out"}"#);
    });
}
