//! What a function's process is started with: program, arguments, environment.
//!
//! Nothing of the gateway's own environment comes along. AWS: Lambda Developer Guide, "Working with
//! Lambda environment variables" (defined runtime environment variables), "Using the Lambda runtime
//! API for custom runtimes".

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::config::{FunctionConfig, RuntimeKind, Runtimes};

/// Directories in which programs are looked for, the function's own choice before them.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";
/// Variables that AWS sets itself and refuses to be given.
const RESERVED: [&str; 24] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "_LAMBDA_TELEMETRY_LOG_FD",
    "_AWS_XRAY_DAEMON_ADDRESS",
];

/// Whether a function may set this variable. `AWS_ACCESS_KEY_ID` and its like may be set, unlike on
/// AWS: there a role provides them, here nothing does.
pub fn may_set(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&name)
}

/// What one process is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(String, OsString)>,
}

/// Where a process stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) aws_region: &'a str,
    /// The package's folder.
    pub(super) root: &'a Path,
    pub(super) runtime_api: SocketAddr,
    /// `2026/11/21/[$LATEST]…`.
    pub(super) log_stream: &'a str,
}

pub(super) fn launch(function: &FunctionConfig, runtimes: &Runtimes, place: Place<'_>) -> Launch {
    let (program, arguments) = command(function, runtimes, place.root);
    let client = match function.runtime.kind {
        RuntimeKind::Python => runtimes.python_client.as_deref(),
        RuntimeKind::NodeJs => runtimes.node_client.as_deref(),
        RuntimeKind::Provided => None,
    };
    let root = place.root.as_os_str();
    let runtime_dir = client.map_or_else(|| root.to_owned(), |folder| folder.as_os_str().to_owned());
    let mut libraries = root.to_owned();
    libraries.push(":");
    libraries.push(place.root.join("lib"));

    let mut environment: Vec<(String, OsString)> = Vec::new();
    let mut set = |name: &str, value: OsString| environment.push((name.to_owned(), value));
    set("LANG", "en_US.UTF-8".into());
    set("TZ", ":UTC".into());
    set("PATH", PATH.into());
    set("LD_LIBRARY_PATH", libraries);
    if function.runtime.kind == RuntimeKind::Python
        && let Some(folder) = client
    {
        set("PYTHONPATH", folder.as_os_str().to_owned());
    }
    // The function's own variables may replace those above and none of those below.
    for (name, value) in &function.environment {
        set(name, value.into());
    }
    set("AWS_REGION", place.aws_region.into());
    set("AWS_DEFAULT_REGION", place.aws_region.into());
    // AWS leaves it away for runtimes that come with the package.
    if function.runtime.kind != RuntimeKind::Provided {
        set("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", function.runtime.name).into());
    }
    set("AWS_LAMBDA_FUNCTION_NAME", function.name.clone().into());
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into());
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string().into());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into());
    set("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name).into());
    set("AWS_LAMBDA_LOG_STREAM_NAME", place.log_stream.into());
    set("AWS_LAMBDA_RUNTIME_API", place.runtime_api.to_string().into());
    set("LAMBDA_TASK_ROOT", root.to_owned());
    set("LAMBDA_RUNTIME_DIR", runtime_dir);
    set("_HANDLER", function.handler.clone().unwrap_or_default().into());
    Launch { program, arguments, environment }
}

fn command(
    function: &FunctionConfig,
    runtimes: &Runtimes,
    root: &Path,
) -> (PathBuf, Vec<OsString>) {
    if let Some((program, rest)) = function.command.as_ref().and_then(|words| words.split_first()) {
        // A program that the package brings is named from its folder.
        let program = match Path::new(program) {
            named if named.is_relative() && program.contains('/') => root.join(named),
            named => named.to_owned(),
        };
        return (program, rest.iter().map(OsString::from).collect());
    }
    let handler = OsString::from(function.handler.clone().unwrap_or_default());
    match function.runtime.kind {
        RuntimeKind::Python => {
            (runtimes.python.clone(), vec!["-m".into(), "awslambdaric".into(), handler])
        }
        RuntimeKind::NodeJs => {
            let own = || root.join("node_modules/aws-lambda-ric");
            let client = runtimes.node_client.clone().unwrap_or_else(own);
            (runtimes.node.clone(), vec![node_entry(&client).into_os_string(), handler])
        }
        RuntimeKind::Provided => (root.join("bootstrap"), Vec::new()),
    }
}

/// The client's program has moved between its versions.
fn node_entry(client: &Path) -> PathBuf {
    let old = client.join("bin/index.mjs");
    if old.exists() { old } else { client.join("index.mjs") }
}
