//! The listener on real sockets, with real TLS and QUIC clients.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::*;
use crate::call::BodyError;
use crate::net::socket::Machine;

/// Answers by path; remembers what it was asked.
#[derive(Clone)]
struct Echo {
    seen: Arc<Mutex<Vec<String>>>,
    /// `/slow` waits for a permit.
    gate: Arc<Semaphore>,
    /// `/slow` calls that ended, either way.
    ended: Arc<AtomicU64>,
}

/// Counts when dropped.
struct Ended(Arc<AtomicU64>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Echo {
    fn new() -> Self {
        Self { seen: Arc::default(), gate: Arc::new(Semaphore::new(0)), ended: Arc::default() }
    }
}

impl Handler for Echo {
    fn handle(&self, connection: Arc<Connection>, request: Request<Body>) -> Answer {
        match request.uri().path() {
            "/panic/at/once" => panic!("as asked"),
            "/now" => return Answer::Now(Response::new(Body::Full("now".into()))),
            "/now/big" => return Answer::Now(Response::new(Body::Full(vec![7; 3 << 20].into()))),
            _ => {}
        }
        let echo = self.clone();
        Answer::Later(Box::pin(async move { echo.answer(connection, request).await }))
    }

    fn refuse(&self, _: &Connection, reason: Refused) -> Response<Body> {
        let mut response = Response::new(Body::Full(reason.to_string().into()));
        *response.status_mut() = match reason {
            Refused::UriTooLong { .. } => StatusCode::URI_TOO_LONG,
            Refused::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        response
    }
}

impl Echo {
    async fn answer(&self, connection: Arc<Connection>, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.or_else(|| Some(request.headers().get("host")?.to_str().ok()?.to_owned()));
        self.seen.lock().unwrap().push(format!(
            "{} {} {:?} {} {}",
            request.method(),
            path,
            request.version(),
            host.unwrap_or_default(),
            connection.sni.as_deref().unwrap_or("-"),
        ));
        match path.as_str() {
            "/panic" => panic!("as asked"),
            "/slow" => {
                let _ended = Ended(self.ended.clone());
                self.gate.acquire().await.unwrap().forget();
            }
            "/big" => return Response::new(Body::Full(vec![7; 10 << 20].into())),
            _ => {}
        }
        match request.into_body().collect().await {
            Ok(body) => {
                let trailer = body.trailers().and_then(|all| all.get("x-end")).cloned();
                let mut response = Response::new(Body::from(body.to_bytes()));
                if let Some(trailer) = trailer {
                    response.headers_mut().insert("x-trailer", trailer);
                }
                response
            }
            Err(err) => {
                let mut response = Response::new(Body::Full(err.to_string().into()));
                *response.status_mut() = match err {
                    BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::BAD_REQUEST,
                };
                response
            }
        }
    }
}

/// A running listener and what its clients need.
struct House {
    address: SocketAddr,
    handler: Echo,
    gauges: Arc<Gauges>,
    tasks: Tasks,
    certificates: Arc<Certificates>,
    roots: rustls::RootCertStore,
}

fn issue(name: &str) -> (Material, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let chain = made.cert.pem().into_bytes();
    let key = made.signing_key.serialize_pem().into_bytes();
    let root = CertificateDer::from_pem_slice(&chain).unwrap().into_owned();
    (Material::Pem { chain: chain.into(), key: key.into() }, root)
}

fn house(speaks: Speaks, limits: Limits) -> House {
    let (material, root) = issue("localhost");
    let source = CertificateSource { names: vec!["localhost".to_owned()], material };
    let certificates = Certificates::load(vec![source]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let tasks = Tasks::new(tokio::runtime::Handle::current());
    let network: Arc<dyn Network> = Arc::new(Machine);
    let config =
        Config { door: Door::Region, address: "127.0.0.1:0".parse().unwrap(), speaks, limits };
    let bound = bind(config, &network, &Clock::system(), std::slice::from_ref(&tasks)).unwrap();
    let handler = Echo::new();
    let (address, gauges) = (bound.local_addr(), bound.gauges());
    bound.serve(handler.clone(), &certificates).unwrap();
    House { address, handler, gauges, tasks, certificates, roots }
}

const HTTPS: Speaks = Speaks::Https { http3: false };

impl House {
    fn client(&self, alpn: &[&str]) -> rustls::ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    async fn tls(&self, alpn: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.client(&[alpn])));
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, stream).await.unwrap()
    }

    async fn http2<B>(&self) -> hyper::client::conn::http2::SendRequest<B>
    where
        B: http_body::Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TokioIo::new(self.tls("h2").await);
        let executor = TokioExecutor::new();
        let (client, connection) =
            hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
        drop(self.tasks.spawn(connection));
        client
    }

    async fn http3(
        &self,
    ) -> (h3::client::Connection<h3_quinn::Connection, Bytes>, H3Client, quinn::Endpoint) {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(self.client(&["h3"]));
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto.unwrap())));
        let quic = endpoint.connect(self.address, "localhost").unwrap().await.unwrap();
        let (driver, client) = h3::client::new(h3_quinn::Connection::new(quic)).await.unwrap();
        (driver, client, endpoint)
    }

    /// Sends text over plain TCP and returns all that comes until the server closes.
    async fn say(&self, text: &[u8]) -> String {
        let stream = TcpStream::connect(self.address).await.unwrap();
        say(stream, text).await
    }

    fn seen(&self) -> Vec<String> {
        self.handler.seen.lock().unwrap().clone()
    }
}

type H3Client = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

async fn say<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, text: &[u8]) -> String {
    // The server may close while we write.
    let written = stream.write_all(text).await.and(stream.flush().await);
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let read = read.await.expect("the server closes");
    assert!(written.is_ok() || !answer.is_empty(), "{written:?} {read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)).collect()
}

#[tokio::test]
async fn http1_over_tls() {
    let house = house(Speaks::Https { http3: true }, Limits::default());
    let stream = house.tls("http/1.1").await;
    let answer = say(
        stream,
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi\
          GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
    assert!(answer.contains("\r\n\r\nhi"), "{answer}");
    let offer = format!("alt-svc: h3=\":{}\"; ma=86400", house.address.port());
    assert!(answer.contains(&offer), "{answer}");
    assert_eq!(
        house.seen(),
        ["POST /a HTTP/1.1 localhost localhost", "GET /b HTTP/1.1 localhost localhost"]
    );
}

#[tokio::test]
async fn http1_carries_10_mb_both_ways() {
    let house = house(HTTPS, Limits::default());
    let stream = TokioIo::new(house.tls("http/1.1").await);
    let (mut client, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(stream).await.unwrap();
    drop(house.tasks.spawn(connection));
    let sent = Bytes::from(vec![9; 10 << 20]);
    let request = Request::post("/").header("host", "localhost").body(Full::new(sent.clone()));
    let response = client.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.unwrap().to_bytes() == sent);
}

#[tokio::test]
async fn http2_carries_10_mb_both_ways_and_many_streams() {
    let house = house(HTTPS, Limits::default());
    let client = house.http2::<Full<Bytes>>().await;
    let sent = Bytes::from(vec![9; 10 << 20]);
    let request = Request::post("https://localhost/").body(Full::new(sent.clone())).unwrap();
    let response = client.clone().send_request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert!(response.into_body().collect().await.unwrap().to_bytes() == sent);

    let all = (0..100).map(|index| {
        let mut client = client.clone();
        async move {
            let body = Full::new(Bytes::from(format!("{index}")));
            let request = Request::post("https://localhost/x").body(body).unwrap();
            let response = client.send_request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("{index}"));
        }
    });
    futures_util::future::join_all(all).await;
    assert_eq!(house.seen()[0], "POST / HTTP/2.0 localhost localhost");
    assert_eq!(house.gauges.open_http2.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn http2_refuses_two_authorities_and_closes() {
    let house = house(HTTPS, Limits::default());
    let mut client = house.http2::<Empty<Bytes>>().await;
    let request = Request::get("https://localhost/").header("host", "other");
    let request = request.body(Empty::new()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 400);
    drop(response);
    let closed = async {
        while !client.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("GOAWAY");
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn http3_carries_bodies_and_trailers() {
    let house = house(Speaks::Https { http3: true }, Limits::default());
    let (mut driver, mut client, _endpoint) = house.http3().await;
    drop(house.tasks.spawn(async move { driver.wait_idle().await }));

    let request = Request::get("https://localhost/a").body(()).unwrap();
    let mut stream = client.send_request(request).await.unwrap();
    stream.finish().await.unwrap();
    let response = stream.recv_response().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], "0");
    assert!(response.headers().contains_key("date"));

    let request = Request::post("https://localhost/b").body(()).unwrap();
    let mut stream = client.send_request(request).await.unwrap();
    let sent = Bytes::from(vec![5; 10 << 20]);
    for chunk in sent.chunks(1 << 20) {
        stream.send_data(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-end", "yes".parse().unwrap());
    stream.send_trailers(trailers).await.unwrap();
    stream.finish().await.unwrap();
    let response = stream.recv_response().await.unwrap();
    assert_eq!(response.headers()["x-trailer"], "yes");
    let mut received = Vec::new();
    while let Some(mut data) = stream.recv_data().await.unwrap() {
        received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    assert!(received == sent);
    assert_eq!(house.seen()[0], "GET /a HTTP/3.0 localhost localhost");
    assert_eq!(house.gauges.open_http3.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn http3_refuses_and_contains_panics() {
    let house = house(Speaks::Https { http3: true }, Limits::default());
    let (mut driver, mut client, _endpoint) = house.http3().await;
    drop(house.tasks.spawn(async move { driver.wait_idle().await }));
    let mut ask = async |path: &str| {
        let request = Request::get(format!("https://localhost{path}"));
        let mut stream = client.send_request(request.body(()).unwrap()).await.unwrap();
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/panic").await, 500);
    assert_eq!(ask("/panic/at/once").await, 500);
    assert_eq!(house.gauges.panics(), 2);
    assert_eq!(ask("/a").await, 200);
    assert_eq!(ask(&format!("/{}", "x".repeat(11_000))).await, 414);
}

/// A client that declares more than it sends must not pass for one that sent all.
#[tokio::test]
async fn http3_body_must_be_as_long_as_declared() {
    let house = house(Speaks::Https { http3: true }, Limits::default());
    let (mut driver, mut client, _endpoint) = house.http3().await;
    drop(house.tasks.spawn(async move { driver.wait_idle().await }));
    for sent in ["abc", "abcdef"] {
        let request = Request::post("https://localhost/").header("content-length", "5");
        let mut stream = client.send_request(request.body(()).unwrap()).await.unwrap();
        stream.send_data(Bytes::from(sent)).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), 400, "{sent}");
    }
}

#[tokio::test]
async fn a_bad_request_in_a_pipeline_is_answered_in_order_and_ends_it() {
    let house = house(Speaks::Plain, Limits::default());
    let answer = house
        .say(
            b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n\
              GET /3 HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\nGET /4 HTTP/1.1\r\nHost: h\r\n\r\n",
        )
        .await;
    assert_eq!(statuses(&answer), ["200", "200", "400"], "{answer}");
    assert!(answer.ends_with("more than one Host"), "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
    assert_eq!(house.seen(), ["GET /1 HTTP/1.1 h -", "GET /2 HTTP/1.1 h -"]);
    assert_eq!(house.gauges.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn refusals_reach_clients_byte_by_byte_too() {
    let house = house(Speaks::Plain, Limits::default());
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    for byte in b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
    {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = say(stream, b"\r\n0\r\n\r\n").await;
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_a_body() {
    let house = house(Speaks::Plain, Limits::default());
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000));
    assert_eq!(statuses(&house.say(long.as_bytes()).await), ["414"]);
    let wide = format!("GET / HTTP/1.1\r\nHost: h\r\nx: {}\r\n\r\n", "x".repeat(10_240));
    assert_eq!(statuses(&house.say(wide.as_bytes()).await), ["400"]);
    let large = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10485761\r\n\r\n";
    // The client sends on; the answer must reach it nevertheless.
    let large = [large.as_bytes(), &vec![0; 300_000]].concat();
    assert_eq!(statuses(&house.say(&large).await), ["413"]);
    // The largest head that passes is larger than hyper's first buffer.
    let fits = format!(
        "GET /{} HTTP/1.1\r\nHost: h\r\nconnection: close\r\nx: {}\r\n\r\n",
        "x".repeat(10_239),
        "x".repeat(10_200)
    );
    assert_eq!(statuses(&house.say(fits.as_bytes()).await), ["200"]);
}

#[tokio::test]
async fn chunked_bodies_are_bounded_and_must_be_well_framed() {
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let house = house(Speaks::Plain, limits);
    let post =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let answer = house.say(format!("{post}5\r\nhello\r\n0\r\nX-End: now\r\n\r\n").as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"], "{answer}");
    assert!(answer.contains("x-trailer: now") && answer.ends_with("hello"), "{answer}");
    let answer = house.say(format!("{post}b\r\nhello world\r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!(statuses(&answer), ["413"], "{answer}");
    let answer = house.say(format!("{post}5\r\nhelloGET / HTTP/1.1\r\n").as_bytes()).await;
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    assert_eq!(house.seen().len(), 3);
}

#[tokio::test]
async fn garbage_is_refused_and_closed() {
    let house = house(Speaks::Plain, Limits::default());
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"[..],
        b"\0\0\0\0\n",
        b"\r\n\r\n\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[b'A'; 100_000],
    ] {
        let answer = house.say(garbage).await;
        assert_eq!(statuses(&answer).len(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn a_panic_costs_one_call() {
    let house = house(Speaks::Plain, Limits::default());
    let answer = house
        .say(
            b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n\
              GET /panic/at/once HTTP/1.1\r\nHost: h\r\n\r\n\
              GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert_eq!(statuses(&answer), ["500", "500", "200"], "{answer}");
    assert_eq!(house.gauges.panics(), 2);

    let secure = house_with_http2_panic().await;
    assert_eq!(secure, [500, 500, 200]);
}

async fn house_with_http2_panic() -> Vec<u16> {
    let house = house(HTTPS, Limits::default());
    let mut client = house.http2::<Empty<Bytes>>().await;
    let mut statuses = Vec::new();
    for path in ["panic", "panic/at/once", "next"] {
        let request = Request::get(format!("https://localhost/{path}")).body(Empty::new());
        statuses.push(client.send_request(request.unwrap()).await.unwrap().status().as_u16());
    }
    statuses
}

/// Answers that are there at once need no task of their own; more of them than one poll may send,
/// ones that the client's window holds back, and ones that wait, come through all the same.
#[tokio::test]
async fn http2_answers_that_are_there_at_once() {
    let house = house(HTTPS, Limits::default());
    let client = house.http2::<Empty<Bytes>>().await;
    let ask = async |path: &str| {
        let mut client = client.clone();
        let request = Request::get(format!("https://localhost{path}")).body(Empty::new());
        client.ready().await.unwrap();
        let response = client.send_request(request.unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let paths = (0..500).map(|n| match n % 50 {
        0 => "/now/big",
        1 => "/later",
        _ => "/now",
    });
    let answers = futures_util::future::join_all(paths.clone().map(ask)).await;
    for (path, answer) in paths.zip(answers) {
        let length = match path {
            "/now/big" => 3 << 20,
            "/now" => 3,
            _ => 0,
        };
        assert_eq!(answer.len(), length, "{path}");
    }
}

#[tokio::test]
async fn a_slow_head_and_a_slow_handshake_are_closed() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let plain = house(Speaks::Plain, limits.clone());
    assert_eq!(plain.say(b"GET / HTTP/1.1\r\nHos").await, "");
    assert_eq!(plain.gauges.timed_out.load(Ordering::Relaxed), 1);
    let secure = house(HTTPS, limits);
    assert_eq!(secure.say(b"\x16").await, "");
    assert_eq!(secure.gauges.handshakes_failed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_stalled_body_and_an_idle_connection_are_closed() {
    let limits = Limits { body_stall: Duration::from_millis(50), ..Limits::default() };
    let house_ = house(Speaks::Plain, limits);
    let answer = house_.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab").await;
    assert_eq!(answer, "");
    assert_eq!(house_.gauges.timed_out.load(Ordering::Relaxed), 1);

    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let house_ = house(Speaks::Plain, limits.clone());
    let answer = house_.say(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(statuses(&answer), ["200"]);
    assert_eq!(house_.gauges.timed_out.load(Ordering::Relaxed), 0, "idleness is no fault");

    let house_ = house(HTTPS, limits);
    let client = house_.http2::<Empty<Bytes>>().await;
    let closed = async {
        while !client.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("GOAWAY");
}

/// A client that asks for a large answer and does not read it.
#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let limits = Limits { write_stall: Duration::from_millis(100), ..Limits::default() };
    let house_ = house(Speaks::Plain, limits.clone());
    let mut stream = TcpStream::connect(house_.address).await.unwrap();
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let dropped = async |house: &House| {
        while house.gauges.timed_out.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let longest = Duration::from_secs(20);
    tokio::time::timeout(longest, dropped(&house_)).await.expect("HTTP/1.1 client dropped");

    // Over HTTP/2 the client's window holds the answer, and the socket stays writable.
    let house_ = house(HTTPS, limits);
    let mut client = house_.http2::<Empty<Bytes>>().await;
    let request = Request::get("https://localhost/big").body(Empty::new()).unwrap();
    let response = client.send_request(request).await.unwrap();
    tokio::time::timeout(longest, dropped(&house_)).await.expect("HTTP/2 client dropped");
    drop(response);
}

#[tokio::test]
async fn the_plain_port_only_redirects() {
    let house = house(Speaks::RedirectTo(8443), Limits::default());
    let answer = house.say(b"GET /a?b HTTP/1.1\r\nHost: api.example:80\r\n\r\n").await;
    assert_eq!(statuses(&answer), ["308"], "{answer}");
    assert!(answer.contains("location: https://api.example:8443/a?b\r\n"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let answer = house.say(b"HEAD / HTTP/1.1\r\nHost: [::1]\r\n\r\n").await;
    assert!(answer.contains("location: https://[::1]:8443/\r\n"), "{answer}");
    let post = b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(statuses(&house.say(post).await), ["403"]);
    assert_eq!(statuses(&house.say(b"GET / HTTP/1.1\r\n\r\n").await), ["400"]);
    assert!(house.seen().is_empty());
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_is_in_flight() {
    let house = house(Speaks::Https { http3: true }, Limits::default());
    // Apart from the house's tasks, whose end we wait for.
    let clients = Tasks::new(tokio::runtime::Handle::current());
    let idle = house.tls("http/1.1").await;
    let mut busy = house.tls("http/1.1").await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut client = house.http2::<Empty<Bytes>>().await;
    let request = Request::get("https://localhost/slow").body(Empty::new()).unwrap();
    let second = clients.spawn(async move { client.send_request(request).await });
    let (mut driver, mut client, _endpoint) = house.http3().await;
    let driver = clients.spawn(async move { driver.wait_idle().await });
    let request = Request::get("https://localhost/slow").body(()).unwrap();
    let mut third = client.send_request(request).await.unwrap();
    third.finish().await.unwrap();
    while house.seen().len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    house.tasks.draining().cancel();
    assert_eq!(say(idle, b"").await, "", "an idle connection closes at once");
    house.handler.gate.add_permits(3);
    let answer = say(busy, b"").await;
    assert_eq!(statuses(&answer), ["200"], "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert_eq!(third.recv_response().await.unwrap().status(), 200);
    drop(driver);
    drop((third, client));
    let refused = TcpStream::connect(house.address).await;
    assert!(refused.is_err(), "nothing listens any more");
    let ended = tokio::time::timeout(Duration::from_secs(20), house.tasks.ended());
    ended.await.expect("all tasks end without being stopped");
    assert_eq!(house.gauges.open_http1.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_hard_stop_drops_everything() {
    let house = house(HTTPS, Limits::default());
    let mut busy = house.tls("http/1.1").await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    while house.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.tasks.draining().cancel();
    house.tasks.stopped().cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), house.tasks.ended());
    ended.await.expect("all tasks end");
}

#[tokio::test]
async fn connections_per_address_are_bounded() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let house = house(Speaks::Plain, limits);
    let mut one = TcpStream::connect(house.address).await.unwrap();
    let _two = TcpStream::connect(house.address).await.unwrap();
    assert_eq!(house.say(b"").await, "", "the third is closed");
    one.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    one.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(house.gauges.turned_away.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error_even_for_shared_sockets() {
    let tasks = Tasks::new(tokio::runtime::Handle::current());
    let network: Arc<dyn Network> = Arc::new(Machine);
    let mut config = Config {
        door: Door::Edge,
        address: "127.0.0.1:0".parse().unwrap(),
        speaks: Speaks::Https { http3: true },
        limits: Limits::default(),
    };
    let workers = [tasks.clone(), tasks];
    let first = bind(config.clone(), &network, &Clock::system(), &workers).unwrap();
    config.address = first.local_addr();
    let second = bind(config.clone(), &network, &Clock::system(), &workers);
    assert!(matches!(second, Err(ListenerError::AddressTaken { .. })), "{second:?}");
    drop(first);
    assert!(bind(config, &network, &Clock::system(), &workers).is_ok());
    let none = bind(
        Config {
            door: Door::Edge,
            address: "127.0.0.1:0".parse().unwrap(),
            speaks: Speaks::Plain,
            limits: Limits::default(),
        },
        &network,
        &Clock::system(),
        &[],
    );
    assert!(matches!(none, Err(ListenerError::NoWorker)));
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, stem: &str| {
        let (Material::Pem { chain, key }, root) = issue(name) else { unreachable!() };
        let path = |end: &str| folder.path().join(format!("{stem}.{end}"));
        std::fs::write(path("key"), &key).unwrap();
        std::fs::write(path("pem"), &chain).unwrap();
        (Material::Files { chain: path("pem"), key: path("key") }, root)
    };
    let (first, first_root) = write("default.example", "default");
    let (wild, wild_root) = write("*.wild.example", "wild");
    let (exact, exact_root) = write("a.wild.example", "exact");
    let source = |names: &[&str], material| CertificateSource {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        material,
    };
    let certificates = Certificates::load(vec![
        source(&[], first),
        source(&["*.Wild.example"], wild),
        source(&["a.wild.example"], exact),
    ])
    .unwrap();
    let leaf = |name: Option<&str>| certificates.find(name).unwrap().cert[0].clone();
    assert_eq!(leaf(None), first_root);
    assert_eq!(leaf(Some("unknown")), first_root);
    assert_eq!(leaf(Some("A.WILD.example")), exact_root);
    assert_eq!(leaf(Some("b.wild.example")), wild_root);
    assert_eq!(leaf(Some("a.b.wild.example")), first_root, "a wildcard is one label");
    assert_eq!(leaf(Some("wild.example")), first_root);

    std::fs::write(folder.path().join("exact.pem"), "broken").unwrap();
    certificates.look();
    assert_eq!(leaf(Some("a.wild.example")), exact_root, "a broken file changes nothing");
    let (_, renewed) = write("a.wild.example", "exact");
    certificates.look();
    assert_eq!(leaf(Some("a.wild.example")), renewed);
    assert_ne!(renewed, exact_root);

    assert!(
        Certificates::load(vec![source(
            &[],
            Material::Files { chain: folder.path().join("none"), key: folder.path().join("none") }
        )])
        .is_err()
    );
}

/// The key of another certificate is an error at start, not at the first handshake.
#[test]
fn an_uploaded_certificate_serves_its_name_and_goes_again() {
    let source = |name: &str| {
        let (material, root) = issue(name);
        (CertificateSource { names: vec![name.to_owned()], material }, root)
    };
    let (own, _) = source("a.example");
    let certificates = Certificates::load(vec![own]).unwrap();
    let leaf = |name: &str| certificates.find(Some(name)).unwrap().cert[0].clone();
    let before = leaf("a.example");
    // It goes before what the node has for the same name; a broken one is left out.
    let (uploaded, _) = source("a.example");
    let broken = CertificateSource {
        names: vec!["b.example".to_owned()],
        material: Material::Pem { chain: b"x".as_slice().into(), key: b"y".as_slice().into() },
    };
    certificates.serve_uploaded(vec![broken, uploaded]);
    assert_ne!(leaf("a.example"), before);
    assert_eq!(leaf("b.example"), before, "the default");
    certificates.serve_uploaded(Vec::new());
    assert_eq!(leaf("a.example"), before);
}

#[test]
fn a_key_must_fit_its_certificate() {
    let (Material::Pem { chain, .. }, _) = issue("a") else { unreachable!() };
    let (Material::Pem { key, .. }, _) = issue("b") else { unreachable!() };
    let source = CertificateSource { names: Vec::new(), material: Material::Pem { chain, key } };
    assert!(matches!(Certificates::load(vec![source]), Err(ListenerError::Certificate { .. })));
}

#[tokio::test]
async fn new_handshakes_get_the_new_certificate() {
    let mut house = house(HTTPS, Limits::default());
    let before = house.tls("h2").await;
    let (material, root) = issue("localhost");
    let names = vec!["localhost".to_owned()];
    house.certificates.replace(vec![CertificateSource { names, material }]).unwrap();
    house.roots = rustls::RootCertStore::empty();
    house.roots.add(root).unwrap();
    drop(house.tls("h2").await);
    drop(before);
}

/// A client that goes away takes its call with it, in every protocol.
#[tokio::test]
async fn an_abort_by_the_client_drops_the_call() {
    let house = house(Speaks::Https { http3: true }, Limits::default());
    let called = async |count: usize| {
        while house.seen().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = async |count: u64| {
        let wait = async {
            while house.handler.ended.load(Ordering::Relaxed) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the call is dropped");
    };
    let mut first = house.tls("http/1.1").await;
    first.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    called(1).await;
    drop(first);
    ended(1).await;

    let mut client = house.http2::<Empty<Bytes>>().await;
    let request = Request::get("https://localhost/slow").body(Empty::new()).unwrap();
    let second = house.tasks.spawn(async move { client.send_request(request).await.is_ok() });
    called(2).await;
    second.abort();
    ended(2).await;

    let (driver, mut client, endpoint) = house.http3().await;
    let request = Request::get("https://localhost/slow").body(()).unwrap();
    let mut third = client.send_request(request).await.unwrap();
    third.finish().await.unwrap();
    called(3).await;
    endpoint.close(0_u32.into(), b"gone");
    ended(3).await;
    drop((driver, third));
}

/// Each worker accepts on a runtime of its own; the test's runtime takes no part.
#[test]
fn workers_on_their_own_runtimes_share_an_address() {
    let runtimes: Vec<_> = (0..2)
        .map(|_| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap())
        .collect();
    let tasks = Tasks::new(runtimes[0].handle().clone());
    let workers: Vec<Tasks> =
        runtimes.iter().map(|runtime| tasks.on(runtime.handle().clone())).collect();
    let network: Arc<dyn Network> = Arc::new(Machine);
    let config = Config {
        door: Door::Edge,
        address: "127.0.0.1:0".parse().unwrap(),
        speaks: Speaks::Plain,
        limits: Limits::default(),
    };
    let bound = bind(config, &network, &Clock::system(), &workers).unwrap();
    let (address, gauges, handler) = (bound.local_addr(), bound.gauges(), Echo::new());
    bound.serve(handler.clone(), &Certificates::load(Vec::new()).unwrap()).unwrap();
    let threads: Vec<_> = runtimes
        .into_iter()
        .map(|runtime| {
            let stopped = tasks.stopped().clone();
            std::thread::spawn(move || runtime.block_on(stopped.cancelled()))
        })
        .collect();
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    client.block_on(async {
        for _ in 0..40 {
            let stream = TcpStream::connect(address).await.unwrap();
            let text = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            assert_eq!(statuses(&say(stream, text).await), ["200"]);
        }
    });
    assert_eq!(handler.seen.lock().unwrap().len(), 40);
    assert_eq!(gauges.accepted.load(Ordering::Relaxed), 40);
    tasks.draining().cancel();
    tasks.stopped().cancel();
    for thread in threads {
        thread.join().unwrap();
    }
}
