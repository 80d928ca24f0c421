//! The life of one process: started, watched, ended, its last word passed on.
//!
//! A process leads a process group of its own, and the group is killed with it, so that nothing a
//! function starts outlives it. There is no polite end: Lambda's runtimes without extensions get
//! none either. What is started here is no sandbox: a function may do what the gateway's user may.
//!
//! AWS: Lambda Developer Guide, "Understanding the Lambda execution environment lifecycle".

use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::desk::{Desk, Watch};
use super::environment::{self, Launch, Place};
use super::failure::Failure;
use super::function::Function;
use super::pool::{Code, Ending};
use super::{memory, runtime_api};

/// From the start to the first question for work ("Understanding the Lambda execution environment
/// lifecycle": the init phase is limited to 10 seconds).
pub(super) const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the memory of a working process is looked at.
const MEMORY_LOOK: Duration = Duration::from_millis(50);
/// What a process that has ended may still have in its pipes and sockets is read for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A longer line is cut into several ("CloudWatch Logs quotas": 256 KB of an event).
const LINE_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES: usize = 8 * 1024;

/// Runs one process to its end.
pub(super) async fn run(
    function: Arc<Function>,
    code: Arc<Code>,
    process: u64,
    home: Handle,
    not_before: Option<Instant>,
) {
    if let Some(at) = not_before {
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = function.host.stopping() => {}
        }
    }
    let ending = if function.host.is_stopping() {
        Ending::Stopped
    } else {
        begin(&function, &code, process, home).await.unwrap_or_else(Ending::Failed)
    };
    function.pool.has_ended(process, ending, Instant::now());
    function.grow();
}

async fn begin(
    function: &Arc<Function>,
    code: &Code,
    process: u64,
    home: Handle,
) -> Result<Ending, Failure> {
    let not_started = |cause: String| Failure::NotStarted(cause.into());
    let listener = listen(&home).map_err(|error| not_started(format!("no port: {error}")))?;
    let address = listener.local_addr().map_err(|error| not_started(error.to_string()))?;
    let launch = environment::launch(
        &function.config,
        &function.host.runtimes,
        Place {
            aws_region: &function.host.aws_region,
            root: &code.root,
            runtime_api: address,
            log_stream: &log_stream(function),
        },
    );
    let desk = Desk::new(Arc::clone(function), process, code.generation, home, Instant::now());
    let desk = Arc::new(desk);
    let mut child = spawn(&launch, code).map_err(|error| {
        let failure = not_started(format!("fork/exec {}: {error}", launch.program.display()));
        desk.close(&failure, Instant::now()).unwrap_or(failure)
    })?;
    let (connections, output) = (TaskTracker::new(), TaskTracker::new());
    runtime_api::serve(listener, &desk, &connections);
    let tasks = &function.host.tasks;
    if let Some(pipe) = child.stdout.take() {
        tasks.spawn(output.track_future(lines(pipe, Arc::clone(&desk))));
    }
    if let Some(pipe) = child.stderr.take() {
        tasks.spawn(output.track_future(lines(pipe, Arc::clone(&desk))));
    }
    let pid = child.id();
    let failure = watch(&desk, &mut child, pid).await;
    end(child, pid, &desk).await;
    for last in [&connections, &output] {
        last.close();
    }
    if matches!(failure, Failure::Exited(_)) {
        drop(tokio::time::timeout(LAST_WORDS, idle_connections(&desk, &connections)).await);
    }
    drop(tokio::time::timeout(LAST_WORDS, output.wait()).await);
    desk.over.cancel();
    connections.wait().await;
    output.wait().await;
    Ok(match desk.close(&failure, Instant::now()) {
        None => Ending::Worked,
        Some(Failure::Stopped) => Ending::Stopped,
        Some(failure) => Ending::Failed(failure),
    })
}

/// A port for the process's questions, served by another runtime than this one.
fn listen(home: &Handle) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let _entered = home.enter();
    TcpListener::from_std(listener)
}

/// What a process wrote before it ended is in its sockets: resolves when an answer has been read, or
/// nobody reads any.
async fn idle_connections(desk: &Desk, connections: &TaskTracker) {
    // The listener is one of the tracked.
    while connections.len() > 1 && desk.owes_answer() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn spawn(launch: &Launch, code: &Code) -> std::io::Result<Child> {
    Command::new(&launch.program)
        .args(&launch.arguments)
        .env_clear()
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&code.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Waits until the process ends or has to be ended, and says why.
async fn watch(desk: &Desk, child: &mut Child, pid: Option<u32>) -> Failure {
    let function = &desk.function;
    let limit_kib = function.config.memory_mb * 1024;
    let mut look_at = Instant::now() + MEMORY_LOOK;
    loop {
        let now = Instant::now();
        if now >= look_at {
            look_at = now + MEMORY_LOOK;
            let peak = pid.and_then(memory::peak_kib).unwrap_or(0);
            desk.peak_kib.fetch_max(peak, Ordering::Relaxed);
            if peak > limit_kib {
                return Failure::OutOfMemory;
            }
        }
        let wake = match desk.watch() {
            Watch::Starting { since } if now >= since + INIT_TIMEOUT => {
                return Failure::InitTimedOut(INIT_TIMEOUT);
            }
            Watch::Starting { since } => look_at.min(since + INIT_TIMEOUT),
            Watch::Busy { since } if now >= since + function.config.timeout => {
                return Failure::TimedOut {
                    time: function.host.log.time().into(),
                    after: function.config.timeout,
                };
            }
            Watch::Busy { since } => look_at.min(since + function.config.timeout),
            Watch::Idle { since } if now >= since + function.config.idle => {
                if function.pool.retire(desk.process) {
                    return Failure::Stopped;
                }
                // It has just been given work.
                now + MEMORY_LOOK
            }
            Watch::Idle { since } => since + function.config.idle,
        };
        tokio::select! {
            biased;
            status = child.wait() => return Failure::Exited(status.ok().and_then(exit)),
            () = function.host.stopping() => return Failure::Stopped,
            () = desk.retired.cancelled() => {
                // A client that has said why it cannot begin ends by itself, and may log more.
                let ended = tokio::time::timeout(LAST_WORDS, child.wait());
                if desk.has_failed() {
                    drop(ended.await);
                }
                return Failure::Stopped;
            }
            () = desk.changed.notified() => {}
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// As Go prints it, in which Lambda's own supervisor is written; `None` for a clean end.
fn exit(status: ExitStatus) -> Option<Arc<str>> {
    let text = match (status.code(), status.signal()) {
        (Some(0), _) => return None,
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(6)) => "signal: aborted".to_owned(),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(11)) => "signal: segmentation fault".to_owned(),
        (None, Some(15)) => "signal: terminated".to_owned(),
        (None, signal) => format!("signal: signal {}", signal.unwrap_or(0)),
    };
    Some(text.into())
}

/// Kills the process and all it has started, and takes its status from the kernel.
async fn end(mut child: Child, pid: Option<u32>, desk: &Desk) {
    if let Some(pid) = pid {
        // There is no safe call for a group's signal in the standard library; any shell has one.
        let killed = Command::new("/bin/sh")
            .args(["-c", "kill -s KILL -- \"-$0\"", &pid.to_string()])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if let Err(error) = killed.await {
            tracing::warn!(%error, pid, "What a function has started cannot be killed.");
        }
    }
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, process = desk.process, "A function's process cannot be killed.");
    }
}

/// Hands on what the process prints, line by line.
async fn lines<R: AsyncRead + Unpin>(mut pipe: R, desk: Arc<Desk>) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let print = |line: &[u8]| {
        // Runtime clients put a carriage return between the lines of one message.
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']).replace('\r', "\n");
        desk.function.host.log.printed(&desk.function.name, &text);
    };
    loop {
        buffer.reserve(READ_BYTES);
        let read = tokio::select! {
            read = pipe.read_buf(&mut buffer) => read,
            () = desk.over.cancelled() => break,
        };
        if !matches!(read, Ok(1..)) {
            break;
        }
        while let Some(end) = memchr::memchr(b'\n', &buffer) {
            let line = buffer.split_to(end + 1);
            print(&line);
        }
        if buffer.len() >= LINE_BYTES_MAX {
            print(&buffer);
            buffer.advance(buffer.len());
        }
    }
    if !buffer.is_empty() {
        print(&buffer);
    }
}

/// `2026/11/21/[$LATEST]` and 32 digits.
fn log_stream(function: &Function) -> String {
    let millis = i64::try_from(function.host.clock.now().as_millis()).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    let day = time.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    format!("{day}/[$LATEST]{}", Uuid::new_v4().simple())
}
