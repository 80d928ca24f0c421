//! What local functions are told about themselves: plain data.
//!
//! Limits and defaults are AWS's ("Lambda quotas", "Configure Lambda function timeout", "Configure
//! Lambda function memory") unless the constant says otherwise.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

/// Default, shortest and longest time a function may take for one invocation.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);
pub const TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// Default, least and most memory of one process, MiB.
pub const MEMORY_MB_DEFAULT: u64 = 128;
pub const MEMORY_MB_MIN: u64 = 128;
pub const MEMORY_MB_MAX: u64 = 10_240;
/// Processes of one function. AWS: 1,000 per account and region. The default is ours: one machine
/// has fewer cores than AWS.
pub const CONCURRENCY_DEFAULT: usize = 10;
pub const CONCURRENCY_MAX: usize = 1_000;
/// How long a process is kept without work. AWS promises no figure; this is ours.
pub const IDLE_DEFAULT: Duration = Duration::from_secs(300);
/// All environment variables of a function, names and values, bytes.
pub const ENVIRONMENT_BYTES_MAX: usize = 4 * 1024;
/// Characters of a function's name (Lambda API Reference, "CreateFunction").
pub const NAME_MAX: usize = 64;
/// Characters of a handler (Lambda API Reference, "CreateFunction").
pub const HANDLER_MAX: usize = 128;
/// Waits before the second and the third attempt of an asynchronous invocation ("Error handling for
/// asynchronous invocation": one minute, two minutes).
pub const EVENT_RETRY_WAITS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// All functions of a node and where they live.
#[derive(Clone, Debug)]
pub struct Config {
    pub functions: Vec<FunctionConfig>,
    /// For ARNs and `AWS_REGION`.
    pub aws_region: String,
    /// Twelve digits.
    pub account_id: String,
    /// Unpacked packages and log files; nobody else's.
    pub folder: PathBuf,
    pub runtimes: Runtimes,
    /// Waits between the attempts of an asynchronous invocation.
    pub event_retry_waits: [Duration; 2],
}

/// Interpreters and AWS's runtime clients for them. Programs without a `/` are looked for in the
/// functions' own `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtimes {
    pub python: PathBuf,
    /// Folder that holds the package `awslambdaric`; `None`: the interpreter finds it by itself.
    pub python_client: Option<PathBuf>,
    pub node: PathBuf,
    /// Folder of the package `aws-lambda-ric`; `None`: in the function's own `node_modules`.
    pub node_client: Option<PathBuf>,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self {
            python: PathBuf::from("python3"),
            python_client: None,
            node: PathBuf::from("node"),
            node_client: None,
        }
    }
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionConfig {
    pub name: String,
    pub runtime: Runtime,
    /// Such as `app.handler`; a `provided` runtime may go without.
    pub handler: Option<String>,
    pub package: Package,
    /// Program and arguments in place of the runtime's own; started in the package's folder.
    pub command: Option<Vec<String>>,
    pub environment: IndexMap<String, String>,
    pub timeout: Duration,
    pub memory_mb: u64,
    /// Most processes at a time.
    pub concurrency: usize,
    /// A process without work for this long ends.
    pub idle: Duration,
    /// How long an invocation waits for a process when all are busy; zero refuses at once, as AWS
    /// does; `None` waits as long as its caller.
    pub queue: Option<Duration>,
    /// Names and version numbers by which the function may be asked for besides `$LATEST`; all mean
    /// the same code.
    pub aliases: Vec<String>,
}

impl FunctionConfig {
    /// A function with AWS's defaults.
    pub fn new(name: &str, runtime: Runtime, handler: Option<&str>, package: Package) -> Self {
        Self {
            name: name.to_owned(),
            runtime,
            handler: handler.map(str::to_owned),
            package,
            command: None,
            environment: IndexMap::new(),
            timeout: TIMEOUT_DEFAULT,
            memory_mb: MEMORY_MB_DEFAULT,
            concurrency: CONCURRENCY_DEFAULT,
            idle: IDLE_DEFAULT,
            queue: None,
            aliases: Vec::new(),
        }
    }
}

/// Where a function's code lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Package {
    /// Used in place.
    Folder(PathBuf),
    /// Unpacked into the data folder.
    Zip(PathBuf),
}

/// AWS's identifier of a runtime ("Lambda runtimes").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    pub kind: RuntimeKind,
    /// As written, such as `python3.12`.
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    Python,
    NodeJs,
    /// The package brings a program named `bootstrap`.
    Provided,
}

impl Runtime {
    /// `python3.N`, `nodejsN.x`, `provided`, `provided.NAME`; `None` for any other.
    pub fn parse(name: &str) -> Option<Self> {
        let is_number = |text: &str| {
            (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_word = |text: &str| {
            (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let kind = if name.strip_prefix("python3.").is_some_and(is_number) {
            RuntimeKind::Python
        } else if name
            .strip_prefix("nodejs")
            .and_then(|rest| rest.strip_suffix(".x"))
            .is_some_and(is_number)
        {
            RuntimeKind::NodeJs
        } else if name == "provided" || name.strip_prefix("provided.").is_some_and(is_word) {
            RuntimeKind::Provided
        } else {
            return None;
        };
        Some(Self { kind, name: name.to_owned() })
    }
}
