//! What functions print, and the lines Lambda adds: into one file per function.
//!
//! One task writes for all functions, so that a function that prints a lot waits for nobody's disk:
//! lines that come faster than they are written are counted and left out. The same lines go to the
//! gateway's own log under the target `tidegate::function`.
//!
//! AWS: Lambda Developer Guide, "Viewing CloudWatch logs for Lambda functions" (START, END, REPORT).

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::model::problem::Plain;
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;

/// Lines that wait for the disk.
const LINES_MAX: usize = 4_096;
/// Lines written at once.
const BATCH: usize = 256;
/// How long a line waits for others: each invocation has three, and a write for each of them would cost
/// as much as the way to the function.
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
    text: String,
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
        self.keep(function, text);
    }

    /// A line that Lambda adds.
    pub(super) fn added(&self, function: &Arc<str>, text: &str) {
        tracing::debug!(target: TARGET, %function, "{}", Plain(text.trim_end()));
        self.keep(function, text);
    }

    fn keep(&self, function: &Arc<str>, text: &str) {
        let text = format!("{} {text}\n", self.time());
        if self.lines.try_send(Line { function: Arc::clone(function), text }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Now, as `2026-01-31T12:00:00.123Z`.
    pub(super) fn time(&self) -> String {
        let millis = i64::try_from(self.clock.now().as_millis()).unwrap_or(i64::MAX);
        let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{time:.3}")
    }
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
    fn write(&mut self, lines: Vec<Line>) {
        for Line { function, text } in lines {
            let path = self.folder.join(format!("{function}.log"));
            let entry = match self.open.remove(&function) {
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
                Ok(entry) => drop(self.open.insert(function, entry)),
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
