//! What functions print, and the lines Lambda adds: into one file per function.
//!
//! One task words and writes the lines of all functions, so that no invocation waits for it or for the
//! disk: lines that come faster than they are written are counted and left out. The same lines go to
//! the gateway's own log under the target `tidegate::function`.
//!
//! AWS: Lambda Developer Guide, "Viewing CloudWatch logs for Lambda functions" (START, END, REPORT).

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::failure::Failure;
use crate::model::problem::Plain;
use crate::net::clock::{self, Clock};
use crate::net::tasks::Tasks;

/// Lines that wait for the disk.
const LINES_MAX: usize = 4_096;
/// Room for a line of Lambda's own, the longest of which is a report.
const LINE_BYTES: usize = 192;
/// Lines written at once.
const BATCH: usize = 256;
/// How long a line waits for others: each invocation has three, and a write for each of them would cost
/// as much as the way to the function. Not longer, since a function that prints much at once fills the
/// queue meanwhile.
const GATHER: Duration = Duration::from_millis(20);
/// A file that is this long becomes `NAME.log.1`, and a new one is begun.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Target of the lines in the gateway's own log.
const TARGET: &str = "tidegate::function";

/// Where lines go. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    lines: mpsc::Sender<Line>,
    lost: Arc<AtomicU64>,
    clock: Clock,
}

#[derive(Debug)]
struct Line {
    function: Arc<str>,
    at: clock::Timestamp,
    entry: Entry,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:.3} {}", timestamp(self.at), self.entry)
    }
}

/// What there is to say.
#[derive(Debug)]
pub(super) enum Entry {
    Text(String),
    /// An invocation, by its request id, begins.
    Start(Arc<str>),
    End(Arc<str>),
    Report(Box<Report>),
}

/// What one invocation took.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) id: Arc<str>,
    pub(super) took: Duration,
    pub(super) memory_mb: u64,
    pub(super) used_mb: u64,
    /// Of the first invocation of a process: what its start took.
    pub(super) init: Option<Duration>,
    pub(super) failure: Option<Failure>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Text(text) => f.write_str(text),
            Entry::Start(id) => write!(f, "START RequestId: {id} Version: $LATEST"),
            Entry::End(id) => write!(f, "END RequestId: {id}"),
            Entry::Report(report) => report.fmt(f),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { id, took, memory_mb, used_mb, .. } = self;
        let billed = took.as_nanos().div_ceil(1_000_000);
        write!(
            f,
            "REPORT RequestId: {id}\tDuration: {} ms\tBilled Duration: {billed} ms\t\
             Memory Size: {memory_mb} MB\tMax Memory Used: {used_mb} MB\t",
            Millis(*took),
        )?;
        if let Some(init) = self.init {
            write!(f, "Init Duration: {} ms\t", Millis(init))?;
        }
        match &self.failure {
            None => Ok(()),
            Some(Failure::TimedOut { .. }) => f.write_str("Status: timeout"),
            Some(failure) => write!(f, "Status: error\tError Type: {}", failure.kind()),
        }
    }
}

/// Milliseconds with two decimals, by whole numbers: a float's digits cost as much as the rest of the
/// line.
pub(super) struct Millis(pub(super) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0.as_nanos() + 5_000) / 10_000;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl Log {
    /// The writing task ends when the node stops and what was said until then is on disk.
    pub(super) fn start(folder: PathBuf, clock: &Clock, tasks: &Tasks) -> Self {
        let (lines, received) = mpsc::channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        tasks.spawn(write(folder, received, Arc::clone(&lost), tasks.clone()));
        Self { lines, lost, clock: clock.clone() }
    }

    /// A line that the function printed.
    pub(super) fn printed(&self, function: &Arc<str>, text: &str) {
        tracing::info!(target: TARGET, %function, "{}", Plain(text));
        self.keep(function, Entry::Text(text.to_owned()));
    }

    /// A line that Lambda adds.
    pub(super) fn added(&self, function: &Arc<str>, entry: Entry) {
        if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            let text = entry.to_string();
            tracing::debug!(target: TARGET, %function, "{}", Plain(text.trim_end()));
        }
        self.keep(function, entry);
    }

    fn keep(&self, function: &Arc<str>, entry: Entry) {
        let line = Line { function: Arc::clone(function), at: self.clock.now(), entry };
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Now, as `2026-01-31T12:00:00.123Z`.
    pub(super) fn time(&self) -> String {
        format!("{:.3}", timestamp(self.clock.now()))
    }
}

fn timestamp(at: clock::Timestamp) -> Timestamp {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

async fn write(
    folder: PathBuf,
    mut received: mpsc::Receiver<Line>,
    lost: Arc<AtomicU64>,
    tasks: Tasks,
) {
    let mut files = Files { folder, open: HashMap::new() };
    let mut lines = Vec::with_capacity(BATCH);
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            biased;
            count = received.recv_many(&mut lines, BATCH) => is_over = count == 0,
            () = tasks.stopped().cancelled() => {
                received.close();
                while received.recv_many(&mut lines, BATCH).await > 0 {}
                is_over = true;
            }
        }
        if !is_over && lines.len() < BATCH {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = tasks.stopped().cancelled() => {}
            }
            lines.extend(std::iter::from_fn(|| received.try_recv().ok()).take(BATCH));
        }
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(count, "Functions print faster than the disk writes; lines are lost.");
        }
        let batch = std::mem::take(&mut lines);
        let written = tasks.runtime().spawn_blocking(move || {
            files.write(batch);
            files
        });
        match written.await {
            Ok(back) => files = back,
            Err(_) => return,
        }
    }
}

/// The open files; their number is that of the functions.
struct Files {
    folder: PathBuf,
    open: HashMap<Arc<str>, (File, u64)>,
}

impl Files {
    /// One write for each function.
    fn write(&mut self, mut lines: Vec<Line>) {
        lines.sort_by(|one, other| one.function.cmp(&other.function));
        for lines in lines.chunk_by(|one, other| one.function == other.function) {
            let Some(Line { function, .. }) = lines.first() else { continue };
            let mut text = String::with_capacity(lines.len() * LINE_BYTES);
            for line in lines {
                // A string takes all.
                write!(text, "{line}").unwrap_or_default();
            }
            let path = self.folder.join(format!("{function}.log"));
            let entry = match self.open.remove(function) {
                Some((_, length)) if length > FILE_BYTES_MAX => {
                    drop(fs::rename(&path, self.folder.join(format!("{function}.log.1"))));
                    open(&path)
                }
                Some(entry) => Ok(entry),
                None => open(&path),
            };
            let written = entry.and_then(|(mut file, length)| {
                file.write_all(text.as_bytes())?;
                Ok((file, length + text.len() as u64))
            });
            match written {
                Ok(entry) => drop(self.open.insert(Arc::clone(function), entry)),
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "A function's log cannot be written.");
                }
            }
        }
    }
}

fn open(path: &Path) -> std::io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}
