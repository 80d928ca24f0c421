//! Real clients of AWS's control plane against our protocol: botocore, pinned, as pip installs it.
//!
//! `tests/clients/roundtrip.py` calls every operation of both service models with random valid
//! parameters; this side plays the handlers and says what arrived. Skipped, loudly, only where pip
//! cannot reach a package index.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use serde_json::{Value, json};
use tidegate::admin::http::{Admin, AdminError, Config, PurgeOutcome, PurgeRequest, serve};
use tidegate::admin::operations::{ControlPlane, Effects, Gatekeeper, MemoryKeeper, Wanted};
use tidegate::admin::protocol::error::{ApiError, ErrorKind};
use tidegate::admin::protocol::model::Service;
use tidegate::admin::protocol::operation::{
    Context, Effect, Handler, Input, Operations, Outcome, Site, TestInvokeAuthorizer,
    TestInvokeMethod,
};
use tidegate::admin::protocol::route::route;
use tidegate::admin::status::ClusterStatus;
use tidegate::net::clock::Clock;
use tidegate::net::socket::{Machine, Network};
use tidegate::net::tasks::Tasks;
use tidegate::store::control::Body;

/// Rounds per operation; each draws other parameters.
const ROUNDS: u32 = 4;
/// `tests/clients/needs` could not reach a package index.
const SKIPPED: i32 = 77;

/// What the script wants answered, and what arrived. A handler is a plain function, so the one test
/// that uses this keeps it here.
static STAGE: Mutex<Stage> = Mutex::new(Stage { answer: None, seen: Value::Null });

struct Stage {
    answer: Option<Value>,
    seen: Value,
}

fn play(_: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut stage = STAGE.lock().unwrap();
    stage.seen["input"] = json!({
        "uri": input.uri, "query": input.query, "parameters": input.parameters, "body": input.body,
        "payload": STANDARD.encode(&input.payload), "accept": input.accept,
    });
    let answer = stage.answer.clone().unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    if answer["error"].is_string() {
        let name = text("error");
        return Err(ApiError::new(kind(&name), text("message")));
    }
    match &answer["body"] {
        Value::Object(body) => Ok(Outcome::Body(body.clone())),
        _ => Ok(Outcome::Payload {
            content_type: text("content_type"),
            disposition: text("disposition"),
            bytes: STANDARD.decode(text("payload")).unwrap().into(),
        }),
    }
}

fn kind(name: &str) -> ErrorKind {
    let kinds = [
        ErrorKind::BadRequest,
        ErrorKind::Unauthorized,
        ErrorKind::AccessDenied,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::LimitExceeded,
        ErrorKind::TooManyRequests,
        ErrorKind::ServiceUnavailable,
    ];
    kinds.into_iter().find(|kind| kind.name() == name).unwrap_or_else(|| panic!("no kind {name}"))
}

struct Doorman;

#[async_trait]
impl Gatekeeper for Doorman {
    async fn admit(&self, parts: &Parts, _: &Bytes, _: Wanted<'_>) -> Result<(), ApiError> {
        let operation = route(parts).unwrap().operation;
        STAGE.lock().unwrap().seen = json!({
            "operation": [operation.service.as_str(), operation.name],
            "expected_continue": parts.headers.contains_key("expect"),
        });
        Ok(())
    }

    fn verifies(&self) -> bool {
        false
    }
}

struct Nothing;

#[async_trait]
impl Effects for Nothing {
    async fn run(&self, _: Vec<Effect>, _: u64) -> Result<(), ApiError> {
        Ok(())
    }

    async fn test_invoke_method(&self, _: TestInvokeMethod) -> Result<Body, ApiError> {
        Ok(Body::new())
    }

    async fn test_invoke_authorizer(&self, _: TestInvokeAuthorizer) -> Result<Body, ApiError> {
        Ok(Body::new())
    }
}

struct Region(Arc<ControlPlane>);

#[async_trait]
impl Admin for Region {
    fn ready(&self) -> Result<(), Vec<String>> {
        Ok(())
    }

    fn status(&self) -> ClusterStatus {
        ClusterStatus::default()
    }

    fn metrics(&self) -> String {
        String::new()
    }

    async fn purge(&self, _: PurgeRequest) -> Result<PurgeOutcome, AdminError> {
        Err(AdminError::NotHere)
    }

    fn control_plane(&self) -> Option<Arc<ControlPlane>> {
        Some(self.0.clone())
    }
}

/// Every operation of a service, played.
fn table(service: Service) -> Operations {
    let played = |name| (name, play as Handler);
    let names = service.model().operations.iter().map(|operation| &*operation.name);
    names.map(played).collect::<Vec<_>>().leak()
}

fn start(tasks: &Tasks) -> SocketAddr {
    let site = Site {
        partition: "aws".to_owned(),
        aws_region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        domain: "localhost".to_owned(),
        port: String::new(),
        installation: Default::default(),
    };
    let keeper = Arc::new(MemoryKeeper::default());
    let control =
        ControlPlane::new(site, Clock::system(), keeper, Arc::new(Doorman), Arc::new(Nothing))
            .with_handlers(Service::V1, &[table(Service::V1)])
            .with_handlers(Service::V2, &[table(Service::V2)]);
    let listener = Machine.listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = listener.local_addr().unwrap();
    serve(Config::default(), listener, None, Arc::new(Region(Arc::new(control))), tasks);
    address
}

/// The folder with the clients; `None` when they cannot be had. Made once for all tests.
pub(crate) fn clients() -> Option<String> {
    static FOLDER: OnceLock<Option<String>> = OnceLock::new();
    FOLDER.get_or_init(|| installed(None)).clone()
}

/// The folder with what a file of requirements names, by itself whole.
pub(crate) fn installed(requirements: Option<&Path>) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/needs");
    let mut command = Command::new(script);
    let output = command.arg(env!("CARGO_TARGET_TMPDIR")).args(requirements).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPPED) {
        // Not `eprintln!`, which is shown only when a test fails.
        std::io::stderr().write_all(&output.stderr).unwrap();
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn botocore_is_understood_and_understands_at_every_operation() {
    let Some(clients) = clients() else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tasks = Tasks::new(runtime.handle().clone());
    let address = {
        let _inside = runtime.enter();
        start(&tasks)
    };

    let seed = rand::random::<u32>();
    let mut client = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/roundtrip.py"))
        .args([format!("http://{address}"), seed.to_string(), ROUNDS.to_string()])
        .env("PYTHONPATH", clients)
        // Nothing of the machine's own set-up.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut answers = client.stdin.take().unwrap();
    let mut done = Value::Null;
    while let Some(Ok(line)) = questions.next() {
        let question: Value = serde_json::from_str(&line).unwrap();
        let answer = if let Some(answer) = question.get("answer") {
            let mut stage = STAGE.lock().unwrap();
            stage.answer = Some(answer.clone());
            stage.seen = Value::Null;
            json!("ready")
        } else if question.get("seen").is_some() {
            STAGE.lock().unwrap().seen.clone()
        } else {
            done = question["done"].clone();
            json!("thanks")
        };
        writeln!(answers, "{answer}").unwrap();
    }
    let status = client.wait().unwrap();
    tasks.stopped().cancel();
    assert!(status.success(), "seed {seed}: the client has said why");
    let operations: usize =
        Service::ALL.iter().map(|service| service.model().operations.len()).sum();
    assert_eq!(done["calls"], json!(operations * ROUNDS as usize));
    assert_eq!(done["exceptions"], json!(12), "seven errors of v1 and five of v2");
}
