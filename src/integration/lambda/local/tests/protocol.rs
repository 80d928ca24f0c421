//! The Runtime API without a process behind it: in turn, out of turn, and garbage.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::integration::lambda::local::desk::Desk;
use crate::integration::lambda::local::failure::Failure;
use crate::integration::lambda::local::function::{Function, Order};
use crate::integration::lambda::local::{
    Config, FunctionConfig, LocalFunctions, Package, Runtime, Runtimes, runtime_api,
};
use crate::integration::lambda::{InvokeError, Invoked};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;

/// A process that the test plays itself.
struct Played {
    desk: Arc<Desk>,
    function: Arc<Function>,
    address: SocketAddr,
    _folder: tempfile::TempDir,
    connections: TaskTracker,
}

impl Played {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let package = Package::Folder(folder.path().join("code"));
        std::fs::create_dir(folder.path().join("code")).unwrap();
        let mut one = FunctionConfig::new("f", Runtime::parse("provided").unwrap(), None, package);
        // It never starts a process of its own: the test's counts as none.
        one.command = Some(vec!["sleep".to_owned(), "600".to_owned()]);
        let config = Config {
            functions: vec![one],
            aws_region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
            folder: folder.path().join("data"),
            runtimes: Runtimes::default(),
            event_retry_waits: [Duration::ZERO; 2],
        };
        let tasks = Tasks::new(Handle::current());
        let functions = LocalFunctions::new(config, &tasks, &Clock::system()).unwrap();
        let function = Arc::clone(&functions.functions["f"]);
        // The first look finds the code, which is generation 1.
        function.look().await.unwrap();
        let generation = 1;
        let desk =
            Desk::new(Arc::clone(&function), 77, generation, Handle::current(), Instant::now());
        let desk = Arc::new(desk);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = TaskTracker::new();
        runtime_api::serve(listener, &desk, &connections);
        Self { desk, function, address, _folder: folder, connections }
    }

    /// One request on a connection of its own; status and whole answer.
    async fn ask(&self, line: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let text = exchange(self.address, request.as_bytes()).await;
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), text)
    }

    async fn end(self) {
        self.desk.over.cancel();
        self.connections.close();
        self.connections.wait().await;
        self.function.host.tasks.stopped().cancel();
        self.function.host.tasks.ended().await;
    }
}

/// Sends all, ends the sending side only when the other has answered or the bytes were garbage.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may refuse in the middle.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

fn order(function: &Function, id: &str) -> Order {
    Order {
        id: id.into(),
        payload: "{\"a\":1}".into(),
        streams: false,
        arn: function.arn(Some("live")),
        trace_id: http::HeaderValue::from_static("Root=1"),
        client_context: None,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

async fn text_of(answer: Result<Invoked, InvokeError>) -> (Option<String>, String) {
    let invoked = answer.unwrap();
    let body = invoked.body.collect().await.unwrap().to_bytes();
    let error = invoked.function_error.map(|error| error.to_string());
    (error, String::from_utf8_lossy(&body).into_owned())
}

const API: &str = "/2018-06-01/runtime";

#[tokio::test]
async fn one_invocation_after_the_other() {
    let played = Played::new().await;
    let next = format!("GET {API}/invocation/next");
    for (turn, (what, error)) in
        [("response", None), ("error", Some("Unhandled"))].iter().enumerate()
    {
        let id = format!("id-{turn}");
        let asked = played.ask(&next, "");
        let run = async {
            // The process asks first, so that none is started for the job.
            while !matches!(played.desk.watch(), super::super::desk::Watch::Idle { .. }) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            played.function.run(order(&played.function, &id)).await
        };
        let play = async {
            let (status, text) = asked.await;
            assert_eq!(status, 200, "{text}");
            for header in [
                format!("Lambda-Runtime-Aws-Request-Id: {id}\r\n"),
                "Lambda-Runtime-Deadline-Ms: 1".to_owned(),
                "Lambda-Runtime-Trace-Id: Root=1\r\n".to_owned(),
                "Lambda-Runtime-Invoked-Function-Arn: \
                 arn:aws:lambda:eu-central-1:123456789012:function:f:live\r\n"
                    .to_owned(),
            ] {
                assert!(text.contains(&header), "{header} in {text}");
            }
            assert!(text.ends_with("{\"a\":1}"), "{text}");
            // Out of turn, and for somebody else.
            assert_eq!(played.ask(&next, "").await.0, 403);
            let other = format!("POST {API}/invocation/other/response");
            assert_eq!(played.ask(&other, "1").await.0, 400);
            assert_eq!(played.ask(&format!("POST {API}/init/error"), "{}").await.0, 403);
            let line = format!("POST {API}/invocation/{id}/{what}");
            assert_eq!(played.ask(&line, "\"done\"").await.0, 202);
            // Once only.
            assert_eq!(played.ask(&line, "\"again\"").await.0, 403);
        };
        let (answer, ()) = tokio::join!(run, play);
        let expected = (error.map(str::to_owned), "\"done\"".to_owned());
        assert_eq!(text_of(answer).await, expected);
    }
    for line in ["GET /", "GET /2018-06-01/runtime/restore/next", "PUT /2018-06-01/runtime/x"] {
        assert_eq!(played.ask(line, "").await.0, 404, "{line}");
    }
    played.end().await;
}

#[tokio::test]
async fn a_failed_start_is_remembered_for_whoever_waits() {
    let played = Played::new().await;
    let body = "{\"errorType\":\"Runtime.ImportModuleError\"}";
    assert_eq!(played.ask(&format!("POST {API}/init/error"), body).await.0, 202);
    assert!(played.desk.has_failed() && played.desk.retired.is_cancelled());
    let told = played.desk.close(&Failure::Stopped, Instant::now());
    assert_eq!(told, Some(Failure::Init(body.into())));
    played.end().await;
}

#[test]
fn garbage_breaks_only_its_connection() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let played = runtime.block_on(Played::new());
    let beginnings = prop::sample::select(vec![
        String::new(),
        "GET ".to_owned(),
        format!("GET {API}/invocation/"),
        format!("POST {API}/invocation/x/response HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"),
        format!("POST {API}/invocation/x/error HTTP/1.1\r\ncontent-length: 9\r\n\r\n"),
        format!("POST {API}/init/error HTTP/1.1\r\n"),
    ]);
    let input = (beginnings, prop::collection::vec(any::<u8>(), 0..200));
    let mut runner =
        TestRunner::new(Cases { cases: 100, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&input, |(beginning, garbage)| {
        runtime.block_on(async {
            let mut stream = TcpStream::connect(played.address).await.unwrap();
            // The other side may refuse in the middle.
            drop(stream.write_all(beginning.as_bytes()).await);
            drop(stream.write_all(&garbage).await);
            drop(stream.shutdown().await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        });
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(runtime.block_on(played.ask("GET /", "")).0, 404);
    runtime.block_on(played.end());
}
