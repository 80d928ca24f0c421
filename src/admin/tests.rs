//! The admin surface over real sockets, and what it refuses.

mod control;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::admin::client::{Client, ClientError};
use crate::admin::http::{
    Admin, AdminError, Config, Confirmation, PurgeOutcome, PurgeRequest, serve, serve_some,
};
use crate::admin::status::ClusterStatus;
use crate::model::ids::{ApiId, StageName};
use crate::net::socket::{Listener, Machine, Network};
use crate::net::tasks::Tasks;

#[derive(Default)]
struct Node {
    is_ready: AtomicBool,
}

#[async_trait]
impl Admin for Node {
    fn ready(&self) -> Result<(), Vec<String>> {
        if self.is_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(vec!["no configuration yet".to_owned(), "no tunnel".to_owned()])
    }

    fn status(&self) -> ClusterStatus {
        ClusterStatus { cluster: "test".to_owned(), config_epoch: 7, ..ClusterStatus::default() }
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }

    async fn purge(&self, request: PurgeRequest) -> Result<PurgeOutcome, AdminError> {
        match request.api.as_str() {
            "slow" => std::future::pending().await,
            "here" => Err(AdminError::NotHere),
            "abc" => {
                let name = request.path.unwrap_or_else(|| "everything".to_owned());
                Ok(PurgeOutcome { seq: 5, nodes: vec![Confirmation { name, confirmed: true }] })
            }
            _ => Err(AdminError::UnknownStage { api: request.api, stage: request.stage }),
        }
    }
}

struct House {
    address: SocketAddr,
    node: Arc<Node>,
    tasks: Tasks,
}

fn house(tls: Option<Arc<rustls::ServerConfig>>) -> House {
    small_house(tls, 64)
}

fn small_house(tls: Option<Arc<rustls::ServerConfig>>, connections_max: usize) -> House {
    let listener = Machine.listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = listener.local_addr().unwrap();
    let (node, tasks) = (Arc::new(Node::default()), Tasks::new(Handle::current()));
    let config = Config { names: vec!["admin.example".to_owned()], ..Config::default() };
    serve_some(config, listener, tls, node.clone(), &tasks, connections_max);
    House { address, node, tasks }
}

/// Sends `request` as it is and returns the whole answer; the request must ask to close.
async fn raw(house: &House, request: &str) -> String {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(house: &House, path: &str) -> String {
    raw(
        house,
        &format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", house.address),
    )
    .await
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /_tidegate/purges HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";
const PURGE: &str = r#"{"api":"abc","stage":"prod"}"#;

#[tokio::test]
async fn health_readiness_metrics_and_status_answer() {
    let house = house(None);
    assert!(get(&house, "/healthz").await.ends_with("\r\n\r\nok\n"));

    let answer = get(&house, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno configuration yet\nno tunnel\n"), "{answer}");
    house.node.is_ready.store(true, Ordering::Relaxed);
    assert!(get(&house, "/readyz").await.starts_with("HTTP/1.1 200 "));

    let answer = get(&house, "/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.ends_with("# EOF\n"));

    let answer = get(&house, "/_tidegate/status").await;
    assert!(answer.contains("cache-control: no-store"), "{answer}");
    assert!(answer.contains(r#""config_epoch":7"#), "{answer}");

    let head =
        format!("HEAD /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", house.address);
    let answer = raw(&house, &head).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn other_paths_and_methods_say_what_there_is() {
    let house = house(None);
    let answer = get(&house, "/restapis").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains(r#"{"message":"#), "{answer}");
    let answer = get(&house, "/_tidegate/purges").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: POST"), "{answer}");
    let answer =
        raw(&house, "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
}

#[tokio::test]
async fn a_purge_needs_more_than_a_web_page_can_send() {
    let house = house(None);
    let answer = raw(&house, &post(JSON, PURGE)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#"{"seq":5,"nodes":[{"name":"everything","confirmed":true}]}"#));

    for (headers, status) in [
        ("Content-Type: application/json\r\nOrigin: http://evil.example\r\n", "403"),
        ("Content-Type: application/json\r\nOrigin: null\r\n", "403"),
        ("Content-Type: text/plain\r\n", "415"),
        ("", "415"),
    ] {
        let answer = raw(&house, &post(headers, PURGE)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}{answer}");
        assert!(answer.contains(r#""hint":"#), "{answer}");
    }
}

#[tokio::test]
async fn malformed_purges_are_refused() {
    let house = house(None);
    for body in [
        "",
        "{",
        "[]",
        r#"{"api":"abc"}"#,
        r#"{"api":"abc","stage":"prod","what":1}"#,
        r#"{"api":"","stage":"prod"}"#,
        r#"{"api":"a b","stage":"prod"}"#,
        r#"{"api":"abc","stage":"pro/d"}"#,
        r#"{"api":"abc","stage":"prod","path":"pets"}"#,
        r#"{"api":"abc","stage":"prod","path":"/a\nb"}"#,
    ] {
        let answer = raw(&house, &post(JSON, body)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
    }
    let answer = raw(&house, &post(JSON, &" ".repeat(64 * 1024 + 1))).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn only_our_names_are_answered() {
    let house = house(None);
    for (host, is_known) in [
        ("127.0.0.1", true),
        ("127.0.0.1:4700", true),
        ("[::1]:4700", true),
        ("[::1]", true),
        ("LocalHost:1", true),
        ("admin.example:4700", true),
        ("evil.example", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("localhost:x", false),
        ("[::1", false),
        ("[::1]x", false),
        ("[evil]", false),
        ("", false),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let status = if is_known { "200" } else { "421" };
        let answer = raw(&house, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    let twice =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n";
    assert!(raw(&house, twice).await.starts_with("HTTP/1.1 421 "));
}

#[tokio::test]
async fn garbage_and_huge_heads_do_no_harm() {
    let house = house(None);
    let answer = raw(&house, "\x16\x03\x01\x02garbage\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", "x".repeat(30_000));
    let answer = raw(&house, &format!("{head}Y: {}\r\n\r\n", "y".repeat(60_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(get(&house, "/healthz").await.ends_with("ok\n"));
}

/// One exchange with a server that sees the given peer's address; time is tokio's and may pause.
async fn from(peer: &str, config: Config, request: &str) -> String {
    let (queue_end, queue) = mpsc::channel(1);
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    queue_end.send((far, peer.parse().unwrap())).await.unwrap();
    let tasks = Tasks::new(Handle::current());
    let listener = Listener::Memory { address: "192.0.2.1:4700".parse().unwrap(), queue };
    serve(config, listener, None, Arc::new(Node::default()), &tasks);
    near.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn changes_from_afar_need_a_certificate() {
    let answer = from("192.0.2.9:5000", Config::default(), &post(JSON, PURGE)).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("client certificate"), "{answer}");
    let answer = from("[::ffff:127.0.0.1]:5000", Config::default(), &post(JSON, PURGE)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let open = Config { changes_without_certificate: true, ..Config::default() };
    let answer = from("192.0.2.9:5000", open, &post(JSON, PURGE)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn nobody_holds_a_connection_for_ever() {
    let answer = from("127.0.0.1:5000", Config::default(), "GET /healthz HT").await;
    assert!(!answer.contains("200"), "{answer}");
    let slow = r#"{"api":"slow","stage":"prod"}"#;
    let answer = from("127.0.0.1:5000", Config::default(), &post(JSON, slow)).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

#[tokio::test]
async fn connections_are_bounded() {
    let house = small_house(None, 16);
    let mut kept = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        kept.push(stream);
    }
    let mut one_more = TcpStream::connect(house.address).await.unwrap();
    // Well before it would be closed for saying nothing.
    let read = tokio::time::timeout(Duration::from_secs(20), async {
        one_more.read(&mut [0; 16]).await.unwrap_or(0)
    });
    assert_eq!(read.await, Ok(0), "closed at once");
}

#[tokio::test]
async fn a_stopped_server_lets_go() {
    let house = house(None);
    let mut idle = TcpStream::connect(house.address).await.unwrap();
    // Until this has been answered the connection may still wait in the kernel's queue.
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    house.tasks.draining().cancel();
    assert!(get(&house, "/healthz").await.ends_with("ok\n"), "draining nodes still answer");
    house.node.is_ready.store(true, Ordering::Relaxed);
    assert!(get(&house, "/readyz").await.ends_with("the node is shutting down\n"));
    house.tasks.stopped().cancel();
    tokio::time::timeout(Duration::from_secs(30), house.tasks.ended()).await.unwrap();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

fn client(url: &str, tls: Option<Arc<rustls::ClientConfig>>) -> Result<Client, ClientError> {
    Client::new(url, tls, Arc::new(Machine))
}

fn purge(api: &str) -> PurgeRequest {
    let path = Some("/pets/*".to_owned());
    PurgeRequest { api: ApiId::new(api), stage: StageName::new("prod"), path }
}

#[tokio::test]
async fn the_client_reads_status_and_purges() {
    let house = house(None);
    let client = client(&format!("http://{}/", house.address), None).unwrap();
    assert_eq!(client.status().await.unwrap().config_epoch, 7);
    let outcome = client.purge(&purge("abc")).await.unwrap();
    assert_eq!((outcome.seq, outcome.nodes[0].name.as_str()), (5, "/pets/*"));

    let error = client.purge(&purge("nope")).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { status: StatusCode::NOT_FOUND, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("no stage `prod` of an API `nope`"), "{error}");
    let error = client.purge(&purge("here")).await.unwrap_err();
    assert!(error.to_string().contains("ask the region"), "{error}");
}

#[tokio::test]
async fn the_client_says_what_is_wrong() {
    for url in [
        "127.0.0.1:4700",
        "ftp://x",
        "http://",
        "http://localhost/path",
        "http://a:b@localhost",
        "not a url",
        "",
    ] {
        assert!(matches!(client(url, None), Err(ClientError::Url { .. })), "{url}");
    }
    assert!(matches!(client("https://localhost", None), Err(ClientError::NoRoots { .. })));

    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let error = client(&format!("http://{address}"), None).unwrap().status().await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("nobody answers at http://{address}:")),
        "{error}"
    );
}

/// Somebody else's server: its answers are shown, but cannot speak to the terminal.
#[tokio::test]
async fn the_client_is_wary_of_strangers() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhi\x1b[2J", "something else"),
        ("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}", "500"),
        ("SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        ("", "broke off"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stranger = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let client = client(&format!("http://{address}"), None).unwrap();
        let (error, ()) = tokio::join!(client.status(), stranger);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\x1b'), "{answer:?}: {error}");
    }
}

/// A certificate for 127.0.0.1 signed by itself, and clients that trust it, with and without one
/// of their own.
fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let names = vec!["127.0.0.1".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let key =
        || rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[tokio::test]
async fn https_works_with_the_right_root_only() {
    let (server, trusting) = tls();
    let house = house(Some(server));
    let url = format!("https://{}", house.address);
    assert_eq!(client(&url, Some(trusting)).unwrap().status().await.unwrap().cluster, "test");
    let (_, stranger) = tls();
    let error = client(&url, Some(stranger)).unwrap().status().await.unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
    let plain = client(&format!("http://{}", house.address), None).unwrap();
    assert!(matches!(plain.status().await, Err(ClientError::Broken { .. })));
}
