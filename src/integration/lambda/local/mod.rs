//! Functions that Tidegate runs itself: the Lambda service on this machine.
//!
//! A function is a package on disk and a pool of processes that grows with the calls, up to a limit,
//! and shrinks when there are none. In each process runs AWS's own runtime client (`awslambdaric`,
//! `aws-lambda-ric`, the `lambda_runtime` crate, or anything else that speaks the Lambda Runtime
//! API), so that a function cannot tell where it is but by what it has not: there is no sandbox, no
//! role's credentials, no `/tmp` of its own, no extensions and no layers. All versions and aliases
//! mean the code on disk.
//!
//! | part | question |
//! |---|---|
//! | `names` | which function is meant? |
//! | `code`, `unpack` | where is its code, and is it still the same? |
//! | `pool` | which process takes which invocation? |
//! | `process`, `desk` | how does a process live and end? |
//! | `runtime_api`, `stream` | what do process and gateway say to each other? |
//! | `failure` | what is answered in the function's place? |
//!
//! AWS: Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes", "Lambda quotas".

mod code;
pub mod config;
mod desk;
pub mod environment;
mod failure;
mod function;
mod log;
mod memory;
pub mod names;
mod pool;
mod process;
mod runtime_api;
mod stream;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Invocation, InvocationKind, InvokeError, Invoked, REQUEST_ID};
use crate::call::Body;
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;
pub use config::{Config, FunctionConfig, Package, Runtime, RuntimeKind, Runtimes};
use function::{Function, Host, Order};
use log::Log;

/// Payload of an invocation whose answer is waited for, bytes ("Lambda quotas": 6 MB).
pub const PAYLOAD_BYTES_MAX: u64 = 6 << 20;
/// Payload of an asynchronous invocation, bytes ("Lambda quotas": 1 MB).
pub const EVENT_BYTES_MAX: u64 = 1 << 20;
/// Unpacked packages, in the data folder.
const UNPACKED: &str = "code";
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");

/// Why functions cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("function `{0}`: the name has letters, digits, `-` and `_`, at most 64")]
    Name(String),
    #[error("there are two functions `{0}`")]
    Twice(String),
    #[error("function `{function}`: `{variable}` is no variable that a function may set")]
    Variable { function: String, variable: String },
    #[error("function `{function}`: {} is missing: {cause}", path.display())]
    Missing { function: String, path: PathBuf, cause: std::io::Error },
    #[error("cannot make folder {}: {cause}", path.display())]
    Folder { path: PathBuf, cause: std::io::Error },
}

/// All local functions of a node. Clones share them.
#[derive(Clone, Debug)]
pub struct LocalFunctions {
    functions: Arc<HashMap<String, Arc<Function>>>,
    host: Arc<Host>,
}

impl LocalFunctions {
    /// Starts no process yet. All processes end with the node, when `tasks` stop.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn new(config: Config, tasks: &Tasks, clock: &Clock) -> Result<Self, LocalError> {
        let folder = config.folder;
        let made = std::fs::create_dir_all(&folder).and_then(|()| std::fs::canonicalize(&folder));
        let folder = made.map_err(|cause| LocalError::Folder { path: folder, cause })?;
        let unpacked = folder.join(UNPACKED);
        let packages: Vec<&Package> = config.functions.iter().map(|one| &one.package).collect();
        code::tidy(&unpacked, &packages);
        let host = Arc::new(Host {
            tasks: tasks.clone(),
            clock: clock.clone(),
            log: Log::start(folder, clock, tasks),
            runtimes: absolute(config.runtimes),
            aws_region: config.aws_region,
            account_id: config.account_id,
            unpacked,
            event_retry_waits: config.event_retry_waits,
            over: CancellationToken::new(),
            alive: TaskTracker::new(),
        });
        let mut functions = HashMap::new();
        for function in config.functions {
            check(&function)?;
            let name = function.name.clone();
            let function = Arc::new(Function::new(function, Arc::clone(&host)));
            if functions.insert(name.clone(), function).is_some() {
                return Err(LocalError::Twice(name));
            }
        }
        Ok(Self { functions: Arc::new(functions), host })
    }

    /// The function (ARN, partial ARN or name), if it is run here.
    pub fn find<'a>(&'a self, text: &'a str) -> Option<LocalFunction<'a>> {
        let reference = names::parse(text)?;
        let function = self.functions.get(reference.name)?;
        let qualifier = reference.qualifier;
        function.knows(qualifier).then_some(LocalFunction { function, qualifier })
    }

    /// Finds the function and runs it.
    ///
    /// # Errors
    /// There is none, or those of [`LocalFunction::invoke`].
    pub async fn invoke(&self, invocation: Invocation) -> Result<Invoked, InvokeError> {
        let text = Arc::clone(&invocation.function);
        match self.find(&text) {
            Some(function) => function.invoke(invocation).await,
            None => Err(InvokeError::NotFound(text)),
        }
    }

    /// Ends all processes, also those at work, and waits until they are gone.
    pub async fn stop(&self) {
        for function in self.functions.values() {
            function.pool.close();
        }
        self.host.over.cancel();
        self.host.alive.close();
        self.host.alive.wait().await;
    }
}

/// A function that is run here, by the version or alias it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct LocalFunction<'a> {
    function: &'a Arc<Function>,
    qualifier: Option<&'a str>,
}

impl LocalFunction<'_> {
    /// Runs the function. An answer comes also from a function that failed: then
    /// [`Invoked::function_error`] says so. Dropping the future does not stop the function.
    ///
    /// # Errors
    /// The payload is too long or no JSON, all processes are busy, or the deadline has passed.
    pub async fn invoke(self, invocation: Invocation) -> Result<Invoked, InvokeError> {
        let Self { function, qualifier } = self;
        let limit = match invocation.kind {
            InvocationKind::Event => EVENT_BYTES_MAX,
            _ => PAYLOAD_BYTES_MAX,
        };
        let order = Order {
            id: function::request_id(),
            payload: payload(invocation.payload, limit, invocation.is_json)?,
            streams: invocation.kind == InvocationKind::Stream,
            arn: function.arn(qualifier),
            trace_id: invocation.trace_id,
            client_context: invocation.client_context.as_ref().map(context).transpose()?,
            deadline: invocation.deadline,
        };
        let empty = |status| answered(status, None, Body::Empty);
        let id = Arc::clone(&order.id);
        let mut invoked = match invocation.kind {
            InvocationKind::DryRun => empty(204),
            InvocationKind::Event => function.accept(order).map(|()| empty(202))?,
            InvocationKind::RequestResponse | InvocationKind::Stream => function.run(order).await?,
        };
        invoked.headers = headers(&id, invocation.kind, invoked.function_error.as_deref());
        Ok(invoked)
    }
}

/// A process starts in its package's folder, from which no path of ours counts. A path that cannot
/// be made absolute is empty, and then so is what is made of it.
fn absolute(runtimes: Runtimes) -> Runtimes {
    let full = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let program = |path: PathBuf| if path.components().count() > 1 { full(path) } else { path };
    Runtimes {
        python: program(runtimes.python),
        python_client: runtimes.python_client.map(full),
        node: program(runtimes.node),
        node_client: runtimes.node_client.map(full),
    }
}

fn check(function: &FunctionConfig) -> Result<(), LocalError> {
    let name = function.name.clone();
    if !names::is_name(&name) {
        return Err(LocalError::Name(name));
    }
    if let Some(variable) = function.environment.keys().find(|key| !environment::may_set(key)) {
        return Err(LocalError::Variable { function: name, variable: variable.clone() });
    }
    let (Package::Folder(path) | Package::Zip(path)) = &function.package;
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(cause) => Err(LocalError::Missing { function: name, path: path.clone(), cause }),
    }
}

/// The headers with which Lambda's own API would answer. `X-Amz-Log-Result` is not among them: what
/// a function prints comes through pipes, and some of it after its answer.
fn headers(id: &str, kind: InvocationKind, error: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    headers.insert(REQUEST_ID, text(id));
    if !matches!(kind, InvocationKind::RequestResponse | InvocationKind::Stream) {
        return headers;
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(EXECUTED_VERSION, HeaderValue::from_static("$LATEST"));
    if let Some(error) = error {
        headers.insert(FUNCTION_ERROR, text(error));
    }
    headers
}

/// An answer, to which the headers are added last.
fn answered(status: u16, function_error: Option<Arc<str>>, body: Body) -> Invoked {
    Invoked { status, headers: HeaderMap::new(), function_error, body }
}

/// The payload a function gets: JSON, and an empty object when there is none.
fn payload(payload: Bytes, limit: u64, is_json: bool) -> Result<Bytes, InvokeError> {
    if payload.len() as u64 > limit {
        return Err(InvokeError::PayloadTooLarge { limit });
    }
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if is_json {
        return Ok(payload);
    }
    match serde_json::from_slice::<IgnoredAny>(&payload) {
        Ok(_) => Ok(payload),
        Err(error) => Err(InvokeError::Service {
            status: 400,
            message: format!("Could not parse request body into json: {error}").into(),
        }),
    }
}

/// `X-Amz-Client-Context` is base64 towards Lambda and JSON towards the function.
fn context(value: &HeaderValue) -> Result<HeaderValue, InvokeError> {
    let decoded = STANDARD.decode(value.as_bytes()).ok();
    decoded.and_then(|json| HeaderValue::from_bytes(&json).ok()).ok_or_else(|| {
        let message = "Client context must be a valid Base64-encoded JSON object.".into();
        InvokeError::Service { status: 400, message }
    })
}
