use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::fake::{Fake, Log, Wire};
use super::{ClientError, Config, Host, HttpClient, Outgoing, RequestBody, Scheme, Target};
use crate::net::socket::{Machine, Network};
use crate::net::tasks::Tasks;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

struct Rig {
    client: HttpClient,
    host: Arc<Host>,
    network: Arc<Fake>,
}

fn rig(network: &Arc<Fake>, config: Config) -> Rig {
    let network = network.clone();
    let client = HttpClient::new(config, network.clone(), Tasks::new(Handle::current()));
    let host = client.host(&target("backend.test", 80));
    Rig { client, host, network }
}

fn target(host: &str, port: u16) -> Target {
    Target { scheme: Scheme::Http, host: Arc::from(host), port }
}

fn outgoing(method: Method, path: &'static str, body: RequestBody) -> Outgoing {
    let path_and_query = PathAndQuery::from_static(path);
    Outgoing { method, path_and_query, headers: HeaderMap::new(), body }
}

fn get(path: &'static str) -> Outgoing {
    outgoing(Method::GET, path, RequestBody::Empty)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

impl Rig {
    async fn ask(&self, request: Outgoing) -> Result<(u16, Bytes), ClientError> {
        let response = self.client.send(&self.host, request, soon()).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// Answers every request of every connection with the same text.
fn constant(answer: &'static str) -> Arc<Fake> {
    Fake::new(move |_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(answer).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again() {
    for answer in [OK, CHUNKED] {
        let rig = rig(&constant(answer), Config::default());
        for _ in 0..5 {
            assert_eq!(rig.ask(get("/")).await.unwrap(), (200, Bytes::from_static(b"ok")));
        }
        assert_eq!(rig.network.connections(), 1);
        assert_eq!((rig.host.open(), rig.host.idle()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn heads_without_bodies_leave_the_connection_usable() {
    for (method, answer) in [
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"),
        (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        (
            Method::GET,
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let rig = rig(&constant(answer), Config::default());
        for _ in 0..3 {
            let request = outgoing(method.clone(), "/", RequestBody::Empty);
            assert!(rig.ask(request).await.unwrap().1.is_empty());
        }
        assert_eq!(rig.network.connections(), 1, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_have_connections_of_their_own_and_all_are_kept() {
    let network = Fake::new(|_, mut wire| async move {
        while wire.request().await.is_some() {
            sleep(Duration::from_millis(10)).await;
            wire.write(OK).await;
        }
    });
    let rig = rig(&network, Config::default());
    let (a, b, c) = tokio::join!(rig.ask(get("/")), rig.ask(get("/")), rig.ask(get("/")));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!((rig.host.open(), rig.host.idle()), (3, 3));
    rig.ask(get("/")).await.unwrap();
    assert_eq!(rig.network.connections(), 3);
}

/// A backend's own `Connection: close` is heeded.
#[tokio::test(start_paused = true)]
async fn a_closing_answer_is_whole_and_its_connection_is_not_kept() {
    let network = Fake::new(|_, mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    });
    let rig = rig(&network, Config::default());
    for turn in 1..=3 {
        assert_eq!(rig.ask(get("/")).await.unwrap().1, "ok");
        assert_eq!(rig.network.connections(), turn);
        assert_eq!(rig.host.idle(), 0);
    }
    assert_eq!(rig.host.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_with_its_connection_is_read_to_the_end() {
    let network = Fake::new(|_, mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\n\r\nfirst").await;
        sleep(Duration::from_millis(5)).await;
        wire.write("second").await;
    });
    let rig = rig(&network, Config::default());
    assert_eq!(rig.ask(get("/")).await.unwrap().1, "firstsecond");
    assert_eq!(rig.host.open(), 0);
}

/// The backend closes an idle connection: the next call must not notice.
#[tokio::test(start_paused = true)]
async fn a_connection_closed_while_idle_is_replaced() {
    let network = Fake::new(|_, mut wire| async move {
        wire.request().await;
        wire.write(OK).await;
    });
    let rig = rig(&network, Config::default());
    for turn in 1..=3 {
        // A body, so that nothing may be sent twice: the dead connection has to be seen before.
        let body = RequestBody::Full(Bytes::from_static(b"x"));
        rig.ask(outgoing(Method::POST, "/", body)).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(rig.network.connections(), turn);
    }
}

/// Closes each connection when the second request arrives on it, without a byte of an answer.
fn closes_on_second_request(log: &Log, partial: &'static str) -> Arc<Fake> {
    let log = log.clone();
    Fake::new(move |number, mut wire: Wire| {
        let log = log.clone();
        async move {
            wire.request().await;
            log.add(format!("{number} answered"));
            wire.write(OK).await;
            if wire.request().await.is_some() {
                log.add(format!("{number} dropped"));
                wire.write(partial).await;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_safe_call_that_raced_with_the_close_is_sent_once_more() {
    let log = Log::default();
    let rig = rig(&closes_on_second_request(&log, ""), Config::default());
    rig.ask(get("/")).await.unwrap();
    assert_eq!(rig.ask(get("/")).await.unwrap().0, 200);
    assert_eq!(log.lines(), ["1 answered", "1 dropped", "2 answered"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice_that_may_have_had_an_effect() {
    for (request, partial) in [
        (outgoing(Method::POST, "/", RequestBody::Empty), ""),
        (outgoing(Method::DELETE, "/", RequestBody::Empty), ""),
        (outgoing(Method::GET, "/", RequestBody::Full(Bytes::from_static(b"x"))), ""),
        // The backend had begun to answer.
        (get("/"), "HTTP/1.1 200"),
    ] {
        let log = Log::default();
        let rig = rig(&closes_on_second_request(&log, partial), Config::default());
        rig.ask(get("/")).await.unwrap();
        let failed = rig.ask(request).await.unwrap_err();
        assert!(matches!(failed, ClientError::Broken(_) | ClientError::NotHttp(_)), "{failed}");
        assert_eq!(log.lines(), ["1 answered", "1 dropped"]);
        assert_eq!(rig.host.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_bytes_arrive_before_the_last_are_written() {
    let network = Fake::new(|_, mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await;
        sleep(Duration::from_secs(60)).await;
        wire.write("final").await;
        wire.closed().await;
    });
    let rig = rig(&network, Config::default());
    let began = Instant::now();
    let response = rig.client.send(&rig.host, get("/"), soon()).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(10));
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "final");
    assert_eq!(rig.host.idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_closes_its_connection() {
    let log = Log::default();
    let network = {
        let log = log.clone();
        Fake::new(move |_, mut wire| {
            let log = log.clone();
            async move {
                wire.request().await;
                log.add("asked");
                wire.closed().await;
                log.add("hung up");
            }
        })
    };
    let rig = rig(&network, Config::default());
    let late = rig.client.send(&rig.host, get("/"), Instant::now() + Duration::from_secs(1)).await;
    assert!(matches!(late, Err(ClientError::TimedOut)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.lines(), ["asked", "hung up"]);
    assert_eq!(rig.host.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_closes_its_connection() {
    let log = Log::default();
    let network = {
        let log = log.clone();
        Fake::new(move |_, mut wire| {
            let log = log.clone();
            async move {
                wire.request().await;
                wire.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst").await;
                wire.closed().await;
                log.add("hung up");
            }
        })
    };
    let rig = rig(&network, Config::default());
    drop(rig.client.send(&rig.host, get("/"), soon()).await.unwrap());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.lines(), ["hung up"]);
    assert_eq!(rig.host.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_is_an_error() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\n",
    ] {
        let network = Fake::new(move |_, mut wire| async move {
            wire.request().await;
            wire.write(cut).await;
        });
        let rig = rig(&network, Config::default());
        let failed = rig.ask(get("/")).await;
        assert!(matches!(failed, Err(ClientError::Broken(_))), "{cut}: {failed:?}");
        assert_eq!(rig.host.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_told_apart() {
    let cases =
        ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"];
    for answer in cases {
        let rig = rig(&constant(answer), Config::default());
        let failed = rig.ask(get("/")).await;
        assert!(matches!(failed, Err(ClientError::NotHttp(_))), "{answer}: {failed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_to_connect_are_told_apart() {
    let rig = rig(&constant(OK), Config::default());
    let refused = rig.client.host(&target("backend.test", 9999));
    let failed = rig.client.send(&refused, get("/"), soon()).await;
    assert!(matches!(failed, Err(ClientError::Refused { port: 9999, .. })));
    assert_eq!(refused.open(), 0);
    let unknown = rig.client.host(&target("nowhere.test", 80));
    let failed = rig.client.send(&unknown, get("/"), soon()).await;
    assert!(matches!(failed, Err(ClientError::Resolve { .. })));
    assert_eq!(unknown.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn names_are_looked_up_again_after_a_while() {
    let rig = rig(
        &constant("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
        Config::default(),
    );
    for (pause, resolved) in [(0, 1), (1, 1), (6, 2)] {
        sleep(Duration::from_secs(pause)).await;
        rig.ask(get("/")).await.unwrap();
        assert_eq!(rig.network.resolved.load(Ordering::SeqCst), resolved);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_in_time() {
    let rig = rig(&constant(OK), Config::default());
    rig.ask(get("/")).await.unwrap();
    sleep(Duration::from_secs(50)).await;
    assert_eq!(rig.host.open(), 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(rig.host.open(), 0);
}

/// More calls than connections: they wait for one another, and none is lost.
#[tokio::test(start_paused = true)]
async fn the_cap_on_connections_holds_and_waiting_calls_get_their_turn() {
    for answer in [OK, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"] {
        let network = Fake::new(move |_, mut wire| async move {
            while wire.request().await.is_some() {
                sleep(Duration::from_millis(100)).await;
                wire.write(answer).await;
                if answer != OK {
                    return;
                }
            }
        });
        let config = Config { connections_per_host_max: 2, ..Config::default() };
        let rig = rig(&network, config);
        let began = Instant::now();
        let calls = (0..10).map(|_| rig.ask(get("/")));
        for outcome in futures_util::future::join_all(calls).await {
            assert_eq!(outcome.unwrap().1, "ok");
        }
        assert!(began.elapsed() >= Duration::from_millis(500));
        assert!(rig.host.open() <= 2);
        if answer == OK {
            assert_eq!(rig.network.connections(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gives_up_waiting_does_not_take_a_connection_with_it() {
    let network = Fake::new(|_, mut wire| async move {
        while wire.request().await.is_some() {
            sleep(Duration::from_secs(2)).await;
            wire.write(OK).await;
        }
    });
    let config = Config { connections_per_host_max: 1, ..Config::default() };
    let rig = rig(&network, config);
    let impatient = rig.client.send(&rig.host, get("/"), Instant::now() + Duration::from_secs(1));
    let (first, impatient, last) = tokio::join!(rig.ask(get("/")), impatient, rig.ask(get("/")));
    assert!(first.is_ok() && last.is_ok());
    assert!(matches!(impatient, Err(ClientError::TimedOut)));
    assert_eq!((rig.host.open(), rig.host.idle()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn requests_look_as_http_wants_them() {
    let log = Log::default();
    let network = {
        let log = log.clone();
        Fake::new(move |_, mut wire| {
            let log = log.clone();
            async move {
                while let Some(request) = wire.request().await {
                    log.add(request);
                    wire.write(OK).await;
                }
            }
        })
    };
    let rig = rig(&network, Config::default());
    let full = RequestBody::Full(Bytes::from_static(b"body"));
    let chunks = http_body_util::StreamBody::new(futures_util::stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"bo"))),
        Ok(http_body::Frame::data(Bytes::from_static(b"dy"))),
    ]));
    rig.ask(get("/a?b=c")).await.unwrap();
    rig.ask(outgoing(Method::POST, "/", RequestBody::Empty)).await.unwrap();
    rig.ask(outgoing(Method::POST, "/", full)).await.unwrap();
    rig.ask(outgoing(Method::PUT, "/", RequestBody::Stream(Box::pin(chunks)))).await.unwrap();
    let mut other = get("/");
    other.headers.insert(header::HOST, HeaderValue::from_static("other.test"));
    rig.ask(other).await.unwrap();
    let port = rig.client.host(&target("backend.test", 8080));
    rig.client.send(&port, get("/"), soon()).await.unwrap();
    assert_eq!(
        log.lines(),
        [
            "GET /a?b=c HTTP/1.1\r\nhost: backend.test\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: backend.test\r\ncontent-length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: backend.test\r\ncontent-length: 4\r\n\r\nbody",
            "PUT / HTTP/1.1\r\nhost: backend.test\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: other.test\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: backend.test:8080\r\n\r\n",
        ]
    );
}

/// 10 MiB in both directions at once, through pipes of 16 KiB: nothing waits for a whole body.
#[tokio::test(start_paused = true)]
async fn large_bodies_flow_both_ways_at_once() {
    const LENGTH: usize = 10 * 1024 * 1024;
    let network = Fake::new(|_, wire| async move {
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
        });
        let io = TokioIo::new(wire.stream);
        drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
    });
    let rig = rig(&network, Config::default());
    for _ in 0..2 {
        let body = RequestBody::Full(Bytes::from(vec![7; LENGTH]));
        let (_, answer) = rig.ask(outgoing(Method::POST, "/", body)).await.unwrap();
        assert_eq!(answer.len(), LENGTH);
    }
    assert_eq!(rig.network.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_is_taken_though_the_body_was_not_read() {
    let network = Fake::new(|_, mut wire| async move {
        use tokio::io::AsyncReadExt;
        let mut head = [0; 64];
        wire.stream.read_exact(&mut head).await.unwrap();
        wire.write("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        sleep(Duration::from_secs(1)).await;
    });
    let rig = rig(&network, Config::default());
    let body = RequestBody::Full(Bytes::from(vec![7; 1024 * 1024]));
    assert_eq!(rig.ask(outgoing(Method::POST, "/", body)).await.unwrap().0, 413);
    assert_eq!(rig.host.idle(), 0, "the rest of the body is still on its way");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_request_body_is_handed_on() {
    let rig = rig(&constant(OK), Config::default());
    let chunks = http_body_util::StreamBody::new(futures_util::stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"bo"))),
        Err(super::BoxError::from("the client left")),
    ]));
    let failed = rig.ask(outgoing(Method::POST, "/", RequestBody::Stream(Box::pin(chunks)))).await;
    let Err(ClientError::RequestBody(err)) = failed else { panic!("{failed:?}") };
    assert!(super::body::describe(&*err).contains("the client left"));
}

/// A backend over TLS with its own root, on real sockets.
async fn tls_backend(alpn: &[u8], name: &str) -> (u16, rustls_pki_types::CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let cert = cert.self_signed(&key).unwrap();
    let der = cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let mut listener = Machine.listen(([127, 0, 0, 1], 0).into(), false).unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = Tasks::new(Handle::current());
    let h2 = alpn == b"h2";
    tasks.clone().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tasks.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service =
                    service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                        let seen = format!("{:?}", request.version());
                        let authority = request.uri().authority().map(ToString::to_string);
                        let (_, body) = request.into_parts();
                        let mut response = Response::new(body);
                        let seen = format!("{seen} {}", authority.unwrap_or_default());
                        let seen = HeaderValue::from_str(&seen).unwrap();
                        response.headers_mut().insert("seen", seen);
                        Ok::<_, std::convert::Infallible>(response)
                    });
                let io = TokioIo::new(stream);
                if h2 {
                    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    drop(http2.serve_connection(io, service).await);
                } else {
                    let http1 = hyper::server::conn::http1::Builder::new();
                    drop(http1.serve_connection(io, service).await);
                }
            });
        }
    });
    (port, der)
}

fn real(config: Config) -> HttpClient {
    HttpClient::new(config, Arc::new(Machine), Tasks::new(Handle::current()))
}

#[tokio::test]
async fn https_backends_are_spoken_to_in_what_they_choose() {
    for (alpn, version) in [(&b"h2"[..], "HTTP/2.0 localhost"), (b"http/1.1", "HTTP/1.1")] {
        let (port, root) = tls_backend(alpn, "localhost").await;
        let config = Config { native_roots: false, roots: vec![root], ..Config::default() };
        let client = real(config);
        let target = Target { scheme: Scheme::Https, host: Arc::from("localhost"), port };
        let host = client.host(&target);
        for length in [0, 4, 10 * 1024 * 1024] {
            let body = RequestBody::Full(Bytes::from(vec![7; length]));
            let request = outgoing(Method::POST, "/", body);
            let response = client.send(&host, request, soon()).await.unwrap();
            let seen = response.headers().get("seen").unwrap().to_str().unwrap().to_owned();
            assert!(seen.starts_with(version), "{seen}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), length);
        }
        assert_eq!(host.open(), 1);
    }
}

#[tokio::test]
async fn many_calls_share_one_http2_connection() {
    let (port, root) = tls_backend(b"h2", "localhost").await;
    let client = real(Config { native_roots: false, roots: vec![root], ..Config::default() });
    let target = Target { scheme: Scheme::Https, host: Arc::from("localhost"), port };
    let host = client.host(&target);
    client.send(&host, get("/"), soon()).await.unwrap();
    let calls = (0..50).map(|_| client.send(&host, get("/"), soon()));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!(host.open(), 1);
}

/// Dropping a call on HTTP/2 resets its stream and leaves the others alone.
#[tokio::test]
async fn a_dropped_call_resets_its_http2_stream() {
    let (port, root) = tls_backend(b"h2", "localhost").await;
    let client = real(Config { native_roots: false, roots: vec![root], ..Config::default() });
    let target = Target { scheme: Scheme::Https, host: Arc::from("localhost"), port };
    let host = client.host(&target);
    // The echo's answer lasts as long as the request's body, which only a reset ends.
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((Ok(http_body::Frame::data(chunk)), receiver))
    });
    let body = RequestBody::Stream(Box::pin(http_body_util::StreamBody::new(Box::pin(frames))));
    let response = client.send(&host, outgoing(Method::POST, "/", body), soon()).await.unwrap();
    sender.send(Bytes::from_static(b"first")).await.unwrap();
    let mut answer = response.into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    drop(answer);
    // The body is dropped with its stream, and that closes the channel.
    tokio::time::timeout(Duration::from_secs(5), sender.closed()).await.unwrap();
    client.send(&host, get("/"), soon()).await.unwrap();
    assert_eq!(host.open(), 1);
}

/// Each thread keeps to its own connections; at the cap it takes another's, also one whose runtime
/// is gone.
#[test]
fn threads_reuse_their_own_connections_first() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tasks = Tasks::new(servers.handle().clone());
    let _entered = servers.enter();
    let mut listener = Machine.listen(([127, 0, 0, 1], 0).into(), false).unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.clone().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tasks.spawn(async move {
                let service = service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(Response::new(String::from("ok")))
                });
                let http1 = hyper::server::conn::http1::Builder::new();
                drop(http1.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    for (cap, expected) in [(10, 2), (1, 1)] {
        let config = Config { connections_per_host_max: cap, ..Config::default() };
        let client =
            HttpClient::new(config, Arc::new(Machine), Tasks::new(servers.handle().clone()));
        let host = client.host(&target("127.0.0.1", port));
        for _ in 0..2 {
            let (client, host) = (client.clone(), host.clone());
            let thread = std::thread::spawn(move || {
                runtime().block_on(async {
                    for _ in 0..3 {
                        let response = client.send(&host, get("/"), soon()).await.unwrap();
                        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
                    }
                });
            });
            thread.join().unwrap();
        }
        assert_eq!(host.open(), expected);
    }
}

#[tokio::test]
async fn certificates_are_checked_unless_the_author_said_otherwise() {
    let (port, root) = tls_backend(b"http/1.1", "another.test").await;
    let client = real(Config { native_roots: false, roots: vec![root], ..Config::default() });
    let mut target = Target { scheme: Scheme::Https, host: Arc::from("localhost"), port };
    let failed = client.send(&client.host(&target), get("/"), soon()).await;
    assert!(matches!(failed, Err(ClientError::Tls { .. })), "wrong name: {failed:?}");
    target.scheme = Scheme::HttpsUnverified;
    assert!(client.send(&client.host(&target), get("/"), soon()).await.is_ok());

    let (port, _) = tls_backend(b"http/1.1", "localhost").await;
    let target = Target { scheme: Scheme::Https, host: Arc::from("localhost"), port };
    let failed = client.send(&client.host(&target), get("/"), soon()).await;
    assert!(matches!(failed, Err(ClientError::Tls { .. })), "unknown root: {failed:?}");
}

#[tokio::test]
async fn a_real_port_without_a_listener_is_refused() {
    let mut listener = Machine.listen(([127, 0, 0, 1], 0).into(), false).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = real(Config::default());
    let host = client.host(&target("127.0.0.1", port));
    let (accepted, late) = tokio::join!(
        listener.accept(),
        client.send(&host, get("/"), Instant::now() + Duration::from_millis(20))
    );
    assert!(matches!(late, Err(ClientError::TimedOut)));
    drop((accepted, listener));
    let failed = client.send(&host, get("/"), soon()).await;
    assert!(matches!(failed, Err(ClientError::Refused { .. })), "{failed:?}");
}
