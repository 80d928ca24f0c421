//! The clients and the backend, against each other: in the world and on real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use tidegate::net::socket::{Machine, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::backend::Backend;
use super::certs::TestCa;
use super::client::{Client, Protocol, empty, fed, whole};
use super::link::Link;
use super::play::{Play, pattern};
use super::{World, simulate};

const NAME: &str = "backend.test";
const SECOND: Duration = Duration::from_secs(1);

const OVER_TCP: [Protocol; 3] = [Protocol::Plain, Protocol::Http1, Protocol::Http2];

/// A backend for a protocol, and a client that trusts it.
fn pair(
    ca: &TestCa,
    protocol: Protocol,
    network: &Arc<dyn Network>,
    address: SocketAddr,
) -> (Backend, Client) {
    let tls = ca.server(&[NAME], &[b"h2", b"http/1.1"]);
    let tls = (protocol != Protocol::Plain).then_some(tls);
    let backend = Backend::start(&**network, address, tls).unwrap();
    (backend, Client::new(Arc::clone(network), ca.roots()))
}

fn in_world(world: &World, ca: &TestCa, protocol: Protocol) -> (Backend, Client) {
    let name = format!("{protocol:?}");
    let octet = world.host(&format!("backend-{name}"), &format!("10.0.1.{}", protocol as u8));
    let client = world.host(&format!("client-{name}"), &format!("10.0.2.{}", protocol as u8));
    let address = octet.at(8000);
    let (backend, _) = pair(ca, protocol, &(octet as Arc<dyn Network>), address);
    (backend, Client::new(client, ca.roots()))
}

/// A call, an upload and a download: what every scenario does.
async fn exchange(protocol: Protocol, backend: &Backend, client: &Client) {
    backend.on("/big", Play::bytes(1_000_000).status(201).header("x-kind", "big"));
    backend.on("/echo", Play::echo());
    let mut connection = client.connect(protocol, backend.address(), NAME).await.unwrap();

    let answer = connection.get("/hello?a=1").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "backend: /hello"));
    let seen = backend.last();
    assert_eq!(seen.uri.path_and_query().unwrap().as_str(), "/hello?a=1");
    assert!(seen.body_ended);

    let answer = connection.get("/big").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("x-kind")), (201, Some("big")));
    assert!(answer.body == pattern(0, 1_000_000));

    let sent = pattern(3, 200_000);
    let answer = connection.post("/echo", sent.clone()).await.unwrap();
    assert!(answer.body == sent);
    let answer = connection.post("/kept", sent.clone()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    let seen = backend.last();
    assert_eq!((seen.body_bytes, seen.body_ended), (200_000, true));
    assert!(seen.body == sent[..seen.body.len()]);

    assert_eq!((backend.calls("/echo"), backend.calls_of_all()), (1, 4));
    assert_eq!((backend.connections(), backend.aborted(), backend.in_flight()), (1, 0, 0));
}

#[test]
fn each_protocol_over_tcp_carries_a_call() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        world.usual_link(Link::delay_ms(10).loss(0.01));
        for protocol in OVER_TCP {
            let (backend, client) = in_world(world, &ca, protocol);
            exchange(protocol, &backend, &client).await;
        }
    });
}

#[tokio::test]
async fn each_protocol_over_tcp_carries_a_call_on_real_sockets() {
    let ca = TestCa::new();
    for protocol in OVER_TCP {
        let network: Arc<dyn Network> = Arc::new(Machine);
        let any = "127.0.0.1:0".parse().unwrap();
        let (backend, client) = pair(&ca, protocol, &network, any);
        exchange(protocol, &backend, &client).await;
    }
}

#[test]
fn a_client_that_goes_away_is_an_abort() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        for protocol in OVER_TCP {
            let (backend, client) = in_world(world, &ca, protocol);
            backend.on("/drip", Play::drip(10, 1000, SECOND));
            let mut connection = client.connect(protocol, backend.address(), NAME).await.unwrap();
            let request = Request::get("/drip").body(empty()).unwrap();
            let mut answer = connection.send(request).await.unwrap();
            assert_eq!(answer.piece().await.unwrap().unwrap(), pattern(0, 10));
            assert_eq!((backend.in_flight(), backend.aborted()), (1, 0));
            drop(answer);
            sleep(3 * SECOND).await;
            assert_eq!((backend.in_flight(), backend.aborted()), (0, 1), "{protocol:?}");
        }
    });
}

#[test]
fn an_upload_that_breaks_off_is_seen_to_break_off() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        for protocol in OVER_TCP {
            let (backend, client) = in_world(world, &ca, protocol);
            let mut connection = client.connect(protocol, backend.address(), NAME).await.unwrap();
            let (pieces, upload) = fed();
            let request = Request::post("/up").body(upload).unwrap();
            let feed = async {
                pieces.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
                sleep(SECOND).await;
                pieces.send(Err(io::ErrorKind::Other.into())).await.unwrap();
            };
            let (answer, ()) = tokio::join!(connection.send(request), feed);
            answer.unwrap_err();
            sleep(SECOND).await;
            let seen = backend.last();
            assert_eq!((&seen.body[..], seen.body_ended), (&b"half"[..], false), "{protocol:?}");
        }
    });
}

#[test]
fn a_backend_hangs_breaks_and_stalls_as_told() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        for protocol in OVER_TCP {
            let (backend, client) = in_world(world, &ca, protocol);
            backend.on("/hangs", Play::hangs());
            backend.on("/late", Play::text("late").after(5 * SECOND));
            backend.on("/breaks", Play::breaks(1000));
            backend.on("/stalls", Play::stalls(1000));
            let open = async || client.connect(protocol, backend.address(), NAME).await.unwrap();
            let ask = |path: &str| Request::get(path).body(empty()).unwrap();

            let mut connection = open().await;
            assert!(timeout(60 * SECOND, connection.get("/hangs")).await.is_err());
            let before = world.elapsed();
            assert_eq!(open().await.get("/late").await.unwrap().text(), "late");
            assert_eq!(world.elapsed() - before, 5 * SECOND);

            let mut connection = open().await;
            let mut answer = connection.send(ask("/breaks")).await.unwrap();
            assert_eq!(answer.piece().await.unwrap().unwrap().len(), 1000);
            answer.piece().await.unwrap_err();

            let mut connection = open().await;
            let mut answer = connection.send(ask("/stalls")).await.unwrap();
            assert_eq!(answer.piece().await.unwrap().unwrap().len(), 1000);
            assert!(timeout(60 * SECOND, answer.piece()).await.is_err());
        }
    });
}

#[test]
fn http2_shares_one_connection() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        let (backend, client) = in_world(world, &ca, Protocol::Http2);
        backend.on("/slow", Play::text("slow").after(SECOND));
        let connection = client.connect(Protocol::Http2, backend.address(), NAME).await.unwrap();
        let calls = (0..50).map(|_| {
            let mut connection = connection.share();
            async move { connection.get("/slow").await.unwrap() }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!((backend.in_flight_peak(), backend.connections()), (50, 1));
        assert_eq!(world.elapsed(), SECOND);
    });
}

#[test]
fn an_untrusted_backend_is_refused() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        let (backend, client) = in_world(world, &ca, Protocol::Http1);
        let wrong_name = client.get(Protocol::Http1, backend.address(), "other.test", "/").await;
        wrong_name.unwrap_err();
        let stranger = Client::new(world.host("stranger", "10.0.3.1"), TestCa::new().roots());
        stranger.get(Protocol::Http1, backend.address(), NAME, "/").await.unwrap_err();
        assert_eq!(backend.calls_of_all(), 0);
    });
}

#[test]
fn raw_bytes_over_tls_get_an_answer() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        let (backend, client) = in_world(world, &ca, Protocol::Http1);
        let mut stream = client.tls(&[b"http/1.1"], backend.address(), NAME).await.unwrap();
        stream.write_all(b"GARBAGE\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    });
}

/// An HTTP/3 server that answers with the request's body, for the client's own test.
fn echo_http3(ca: &TestCa, network: &dyn Network, address: SocketAddr) -> SocketAddr {
    let crypto = Arc::unwrap_or_clone(ca.server(&[NAME], &[b"h3"]));
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(crypto).unwrap();
    let endpoint = quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        Some(quinn::ServerConfig::with_crypto(Arc::new(crypto))),
        network.udp(address).unwrap(),
        network.quic_runtime(),
    )
    .unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = h3_quinn::Connection::new(incoming.await.unwrap());
            tokio::spawn(echo_http3_connection(connection));
        }
    });
    address
}

async fn echo_http3_connection(connection: h3_quinn::Connection) {
    let mut server = h3::server::Connection::new(connection).await.unwrap();
    while let Ok(Some(resolver)) = server.accept().await {
        tokio::spawn(async move {
            let (request, mut stream) = resolver.resolve_request().await.unwrap();
            let path = request.uri().to_string();
            let response = Response::builder().status(202).header("x-uri", path).body(()).unwrap();
            stream.send_response(response).await.unwrap();
            // A client that goes away ends the echo.
            while let Ok(Some(mut data)) = stream.recv_data().await {
                let data = data.copy_to_bytes(data.remaining());
                if stream.send_data(data).await.is_err() {
                    return;
                }
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-end", "yes".parse().unwrap());
            stream.send_trailers(trailers).await.ok();
            stream.finish().await.ok();
        });
    }
}

async fn exchange_http3(client: &Client, address: SocketAddr) {
    let mut connection = client.connect(Protocol::Http3, address, NAME).await.unwrap();
    let answer = connection.get("/a?b=c").await.unwrap();
    assert_eq!(answer.status.as_u16(), 202);
    let port = address.port();
    assert_eq!(answer.header("x-uri"), Some(&*format!("https://{NAME}:{port}/a?b=c")));
    assert_eq!(answer.trailers.unwrap()["x-end"], "yes");
    let sent = pattern(0, 300_000);
    let request = Request::post("/echo").body(whole(sent.clone())).unwrap();
    let mut other = connection.share();
    let (echo, small) = tokio::join!(connection.send(request), other.get("/small"));
    assert_eq!(small.unwrap().status.as_u16(), 202);
    let echo = echo.unwrap().whole().await.unwrap();
    assert!(echo.body == sent);
}

#[test]
fn http3_carries_a_call_through_loss() {
    let ca = TestCa::new();
    simulate(&[1, 2], async |world| {
        world.usual_link(Link::delay_ms(20).jitter_ms(5).loss(0.02));
        let server = world.host("server", "10.0.0.1");
        let address = echo_http3(&ca, &*server, server.at(443));
        let client = Client::new(world.host("client", "10.0.0.2"), ca.roots());
        exchange_http3(&client, address).await;
    });
}

#[tokio::test]
async fn http3_carries_a_call_on_real_sockets() {
    let ca = TestCa::new();
    let address = echo_http3(&ca, &Machine, "127.0.0.1:0".parse().unwrap());
    exchange_http3(&Client::new(Arc::new(Machine), ca.roots()), address).await;
}
