//! How do the lines get to the disk without a call waiting for it?
//!
//! Each destination has a few buffers; a thread always uses the same one, so their locks are all
//! but uncontended and held for the time of a copy. A task empties them several times a second on
//! a thread that may block. Nobody wakes that task: a wake-up per line would cost more than the
//! line. A buffer that is full drops lines and counts them.
//!
//! A file that was moved away or deleted (log rotation) is opened anew within a second. The task
//! never truncates and never deletes.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::tasks::Tasks;
use crate::telemetry::access_log::format::Format;
use crate::telemetry::access_log::record::Record;
use crate::telemetry::thread_slot;

/// Buffers per destination; more than this many threads share them.
const SHARDS: usize = 16;
/// Bytes one buffer may hold: a fifth of a second of a busy core's lines (50,000 calls per second
/// of 200 bytes each), because a full disk's first answer can take that long.
const SHARD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A buffer this full at a drain means that the next drain comes early.
const SHARD_BYTES_BUSY: usize = SHARD_BYTES_MAX / 8;
/// What a buffer keeps of its memory after a burst.
const SHARD_BYTES_KEPT: usize = 512 * 1024;
/// Time between two drains; a person watching the file does not notice it.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// The same while lines come fast.
const DRAIN_EVERY_BUSY: Duration = Duration::from_millis(20);
/// How often a file's name is compared with the file that is open.
const ROTATION_CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long shutdown waits for the last lines: a pipe nobody reads must not hold the node.
const LAST_DRAIN_MAX: Duration = Duration::from_secs(5);
/// Group may read, others may not: lines hold addresses of people.
const FILE_MODE: u32 = 0o640;

/// Where files go.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's data folder; destinations are relative to it.
    pub folder: PathBuf,
}

/// Why a destination was refused.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    #[error(
        "access log destination `{0}` must be a path inside the node's data folder, or `-` for \
         standard output"
    )]
    Outside(String),
}

/// All access logs of a node. Clones are the same logs.
#[derive(Clone, Debug)]
pub struct AccessLogs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    logs: Mutex<HashMap<Destination, Arc<AccessLog>>>,
    /// Only the drain holds this, and it holds it while it writes.
    sinks: Mutex<HashMap<Destination, Sink>>,
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Destination {
    Stdout,
    File(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Stdout => out.write_str("standard output"),
            Destination::File(path) => write!(out, "{}", path.display()),
        }
    }
}

/// One destination; stages that name the same one share it.
#[derive(Debug)]
pub struct AccessLog {
    shards: [Mutex<Shard>; SHARDS],
}

/// Aligned to two cache lines, as neighbours are fetched in pairs: threads must not share one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    lines: Vec<u8>,
    count: u64,
    dropped: u64,
}

impl AccessLogs {
    /// Starts the task that writes. It makes a last round when `tasks` are stopped.
    pub fn start(config: Config, tasks: &Tasks) -> Self {
        let logs = Self(Arc::new(Shared {
            folder: config.folder,
            logs: Mutex::default(),
            sinks: Mutex::default(),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }));
        tasks.spawn(logs.clone().drain_until_stopped(tasks.clone()));
        logs
    }

    /// The log for a stage's `destination`: a path relative to the data folder, or `-`. The file is
    /// made when its first line is written; a file that cannot be opened costs lines (counted,
    /// warned about), not the deployment.
    pub fn open(&self, destination: &str) -> Result<Arc<AccessLog>, AccessLogError> {
        let key = self.destination(destination)?;
        let log = held(&self.0.logs)
            .entry(key)
            .or_insert_with(|| Arc::new(AccessLog { shards: Default::default() }))
            .clone();
        Ok(log)
    }

    /// Lines that reached their file.
    pub fn lines_written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Lines lost to a full buffer or to a file that could not be written.
    pub fn lines_dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Writes out, on this thread, what the buffers hold; may block. Tests and last words.
    pub fn flush(&self) {
        self.0.drain();
    }

    fn destination(&self, text: &str) -> Result<Destination, AccessLogError> {
        if text == "-" {
            return Ok(Destination::Stdout);
        }
        // A snapshot comes from the region; it must not choose files outside an edge's own folder.
        let stays_inside =
            Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        if text.is_empty() || text.contains('\0') || !stays_inside {
            return Err(AccessLogError::Outside(text.to_owned()));
        }
        Ok(Destination::File(self.0.folder.join(text)))
    }

    async fn drain_until_stopped(self, tasks: Tasks) {
        let mut pause = DRAIN_EVERY;
        loop {
            let stopped = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                () = tasks.stopped().cancelled() => true,
            };
            if !self.0.has_lines() {
                if stopped {
                    return;
                }
                continue;
            }
            let shared = self.0.clone();
            let drain = tasks.runtime().spawn_blocking(move || shared.drain());
            if stopped {
                if tokio::time::timeout(LAST_DRAIN_MAX, drain).await.is_err() {
                    tracing::warn!("The last access log lines could not be written in time.");
                }
                return;
            }
            let busiest = drain.await.unwrap_or(0);
            pause = if busiest >= SHARD_BYTES_BUSY { DRAIN_EVERY_BUSY } else { DRAIN_EVERY };
        }
    }
}

impl AccessLog {
    /// Adds one line. Never waits for the writer, never wakes it.
    pub fn write(&self, format: &Format, record: &Record<'_>) {
        let mut shard = held(&self.shards[thread_slot() % SHARDS]);
        let before = shard.lines.len();
        format.render(record, &mut shard.lines);
        shard.lines.push(b'\n');
        if shard.lines.len() > SHARD_BYTES_MAX {
            shard.lines.truncate(before);
            shard.dropped += 1;
        } else {
            shard.count += 1;
        }
    }

    /// Adds lines that are rendered already, each with its line break: all of them or none.
    pub fn append(&self, lines: &[u8], count: u64) {
        let mut shard = held(&self.shards[thread_slot() % SHARDS]);
        if shard.lines.len() + lines.len() > SHARD_BYTES_MAX {
            shard.dropped += count;
        } else {
            shard.lines.extend_from_slice(lines);
            shard.count += count;
        }
    }

    fn has_lines(&self) -> bool {
        self.shards.iter().any(|shard| {
            let shard = held(shard);
            shard.count > 0 || shard.dropped > 0
        })
    }
}

impl Shared {
    /// Spares an idle node the trip to another thread.
    fn has_lines(&self) -> bool {
        held(&self.logs).values().any(|log| log.has_lines())
    }

    /// Empties all buffers into their files; returns the size of the fullest.
    fn drain(&self) -> usize {
        let logs: Vec<_> =
            held(&self.logs).iter().map(|(key, log)| (key.clone(), log.clone())).collect();
        let mut sinks = held(&self.sinks);
        let mut busiest = 0;
        for (destination, log) in logs {
            let sink = sinks.entry(destination.clone()).or_default();
            for shard in &log.shards {
                let (count, dropped) = {
                    let mut shard = held(shard);
                    // Swapped only where there are lines: two buffers then take turns and stay
                    // warm, where a swap with every shard would send sixteen round the table.
                    if shard.count == 0 && shard.dropped == 0 {
                        continue;
                    }
                    std::mem::swap(&mut shard.lines, &mut sink.spare);
                    (std::mem::take(&mut shard.count), std::mem::take(&mut shard.dropped))
                };
                busiest = busiest.max(sink.spare.len());
                self.dropped.fetch_add(dropped, Ordering::Relaxed);
                if count == 0 {
                    continue;
                }
                let counter = if sink.write(&destination) { &self.written } else { &self.dropped };
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
        // What no stage names any more and holds no line is closed. Only `open` makes new holders,
        // under this same lock, so a count of one cannot grow meanwhile.
        held(&self.logs).retain(|destination, log| {
            let needed = Arc::strong_count(log) > 1 || log.has_lines();
            if !needed {
                sinks.remove(destination);
            }
            needed
        });
        busiest
    }
}

/// The writer's end of a destination.
#[derive(Debug, Default)]
struct Sink {
    file: Option<File>,
    checked_at: Option<Instant>,
    /// Swapped with a shard's buffer, so that neither side allocates.
    spare: Vec<u8>,
    /// A failed write may have left half a line behind.
    torn: bool,
    /// Warned already; the next success says so.
    failing: bool,
}

impl Sink {
    /// Writes `spare` out and leaves it empty; false if the lines are lost.
    fn write(&mut self, destination: &Destination) -> bool {
        let lines = std::mem::take(&mut self.spare);
        let result = match destination {
            Destination::Stdout => io::stdout().lock().write_all(&lines),
            Destination::File(path) => self.append(path, &lines),
        };
        self.spare = lines;
        self.spare.clear();
        self.spare.shrink_to(SHARD_BYTES_KEPT);
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(%destination, "The access log can be written again.");
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%destination, %error, "Access log lines are lost.");
                }
                self.file = None;
                false
            }
        }
    }

    fn append(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        if self.checked_at.is_none_or(|at| now.duration_since(at) >= ROTATION_CHECK_EVERY) {
            self.checked_at = Some(now);
            if let Some(file) = &self.file
                && !is_still(file, path)
            {
                self.file = None;
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(path)?),
        };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        let written = file.write_all(lines);
        self.torn = written.is_err();
        written
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
}

/// Whether `path` still names the open `file`.
fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}

/// The lock, whoever panicked while holding it: lines and counters are whole at every moment
/// between two statements of the code above.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
