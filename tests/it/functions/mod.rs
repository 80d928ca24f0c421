//! Local functions with AWS's own runtime clients in them, pinned, as pip, npm and cargo install
//! them. A client is skipped, loudly, only where its registry cannot be reached.

mod clients;
mod life;
mod packages;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::integration::lambda::local::{
    Config, FunctionConfig, LocalFunctions, Package, Runtime, Runtimes,
};
use tidegate::integration::lambda::{Invocation, InvocationKind, InvokeError, Invoked};
use tidegate::net::clock::Clock;
use tidegate::net::tasks::Tasks;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Longer than anything here takes; what hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(120);
/// For functions that are not there to be late; a cold start on a busy machine is not counted.
const AMPLE: Duration = Duration::from_secs(60);

/// What `tests/functions/needs` found or installed.
#[derive(Debug)]
struct Clients {
    interpreter: PathBuf,
    nodejs: Option<PathBuf>,
    python: Option<PathBuf>,
    node: Option<PathBuf>,
    rust: Option<PathBuf>,
}

fn clients() -> &'static Clients {
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    CLIENTS.get_or_init(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_tidegate")).ancestors().nth(2).unwrap();
        let output = Command::new(sources().join("needs"))
            .arg(target)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "tests/functions/needs failed");
        let text = String::from_utf8(output.stdout).unwrap();
        let found = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(PathBuf::from))
        };
        Clients {
            interpreter: found("interpreter").unwrap(),
            nodejs: found("nodejs"),
            python: found("python"),
            node: found("node"),
            rust: found("rust"),
        }
    })
}

/// The folder with AWS's runtime client for Python; `None`, loudly, when it cannot be had.
pub(crate) fn python_client() -> Option<PathBuf> {
    if clients().python.is_none() {
        eprintln!("SKIPPED: no awslambdaric");
    }
    clients().python.clone()
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions")
}

/// A Python function of `tests/functions/python/app.py`; `None`, loudly, without its client.
fn python(name: &str) -> Option<FunctionConfig> {
    python_client()?;
    let package = Package::Folder(sources().join("python"));
    let runtime = Runtime::parse("python3.12").unwrap();
    Some(ample(FunctionConfig::new(name, runtime, Some("app.handler"), package)))
}

fn node(name: &str, handler: &str) -> Option<FunctionConfig> {
    if clients().node.is_none() {
        eprintln!("SKIPPED: no aws-lambda-ric");
        return None;
    }
    let package = Package::Folder(sources().join("node"));
    let runtime = Runtime::parse("nodejs22.x").unwrap();
    Some(ample(FunctionConfig::new(name, runtime, Some(handler), package)))
}

fn rust(name: &str) -> Option<FunctionConfig> {
    let Some(folder) = clients().rust.clone() else {
        eprintln!("SKIPPED: no function of lambda_runtime's");
        return None;
    };
    let runtime = Runtime::parse("provided.al2023").unwrap();
    Some(ample(FunctionConfig::new(name, runtime, None, Package::Folder(folder))))
}

fn ample(mut function: FunctionConfig) -> FunctionConfig {
    function.timeout = AMPLE;
    function
}

/// Some functions and what they run on.
struct Lambda {
    functions: LocalFunctions,
    tasks: Tasks,
    folder: TempDir,
}

impl Lambda {
    fn of(functions: impl IntoIterator<Item = FunctionConfig>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tasks = Tasks::new(Handle::current());
        let config = Config {
            functions: functions.into_iter().collect(),
            aws_region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
            folder: folder.path().join("functions"),
            runtimes: Runtimes {
                python: clients().interpreter.clone(),
                python_client: clients().python.clone(),
                node: clients().nodejs.clone().unwrap_or_else(|| "node".into()),
                node_client: clients()
                    .node
                    .as_ref()
                    .map(|folder| folder.join("node_modules/aws-lambda-ric")),
            },
            event_retry_waits: [Duration::from_millis(10); 2],
        };
        let functions = LocalFunctions::new(config, &tasks, &Clock::system()).unwrap();
        Self { functions, tasks, folder }
    }

    /// What the function answered, and how it failed.
    async fn call(&self, function: &str, event: Value) -> (Option<String>, Value) {
        let (error, body) = self.raw(function, event).await.unwrap();
        (error, serde_json::from_slice(&body).unwrap())
    }

    /// The answer of a function that did not fail.
    #[track_caller]
    fn good(&self, function: &str, event: Value) -> impl Future<Output = Value> {
        let call = self.call(function, event);
        async move {
            let (error, answer) = call.await;
            assert_eq!(error, None, "{answer}");
            answer
        }
    }

    async fn raw(
        &self,
        function: &str,
        event: Value,
    ) -> Result<(Option<String>, Bytes), InvokeError> {
        let invoked = self.invoke(function, event, InvocationKind::RequestResponse).await?;
        assert_eq!(invoked.status, 200);
        // Lambda API Reference, "Invoke": what mappings may read.
        assert_eq!(invoked.headers["x-amz-executed-version"], "$LATEST");
        assert_eq!(invoked.request_id().map(str::len), Some(36));
        let error = invoked.function_error.map(|error| error.to_string());
        Ok((error, invoked.body.collect().await.unwrap().to_bytes()))
    }

    async fn invoke(
        &self,
        function: &str,
        event: Value,
        kind: InvocationKind,
    ) -> Result<Invoked, InvokeError> {
        self.functions.invoke(invocation(function, event, kind)).await
    }

    fn log(&self, function: &str) -> String {
        let path = self.folder.path().join(format!("functions/{function}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits until the log has a line with this in it.
    async fn logged(&self, function: &str, text: &str) {
        until(text, || self.log(function).contains(text)).await;
    }

    /// Ends all and checks that nothing is left of it.
    async fn stop(self) {
        self.functions.stop().await;
        self.tasks.stopped().cancel();
        self.tasks.ended().await;
    }
}

fn invocation(function: &str, event: Value, kind: InvocationKind) -> Invocation {
    Invocation {
        function: Arc::from(function),
        payload: event.to_string().into(),
        is_json: false,
        kind,
        trace_id: HeaderValue::from_static("Root=1-5759e988-bd862e3fe1be46a994272793"),
        client_context: None,
        deadline: Instant::now() + PATIENCE,
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} was not seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn is_alive(pid: u64) -> bool {
    // A zombie has ended as well.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}
