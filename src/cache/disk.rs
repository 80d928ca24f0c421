//! The disk tier: what did we know before memory was full, or before we were restarted?
//!
//! foyer's block engine does the writing and the recovery; it stays behind this file. It runs on
//! threads of its own, reads have a deadline, and repeated failure turns the tier off for a while:
//! a bad disk costs hits, never answers. The deadline counts on the disk's own runtime, whose clock
//! no test pauses. Its memory part is kept minimal and is not read from; freshness, purges and the
//! right key are checked by `record` and by the caller at every read.
//!
//! What foyer drops under load (its queues are bounded) is simply not cached on disk. Purges
//! delete nothing, they are compared at read time, and blocks are reused oldest first.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use foyer::{
    BlockEngineConfig, DeviceBuilder, FifoConfig, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    HybridCachePolicy, Load, PsyncIoEngineConfig, RecoverMode, Spawner,
};
use tokio::runtime::Builder;
use uuid::Uuid;

use crate::cache::entry::Entry;
use crate::cache::purge::Purges;
use crate::cache::record::{self, DiskKey, RecordError, Stored};
use crate::cache::tiers::Counters;
use crate::net::clock::{Clock, Timestamp};
use crate::net::tasks::Tasks;

/// Smallest useful disk tier: eight of the smallest blocks.
pub const CAPACITY_BYTES_MIN: u64 = 16 * MIB;
const MIB: u64 = 1024 * 1024;
/// foyer's memory part; we do not read from it, it only has to exist.
const MEMORY_BYTES: usize = 8 * 1024 * 1024;
/// Bytes a block loses to its index and to alignment.
const BLOCK_OVERHEAD_BYTES: usize = 64 * 1024;
const THREADS: usize = 2;
/// Threads for reads and writes, which block. A disk that hangs can hold this many reads.
const BLOCKING_THREADS_MAX: usize = 16;
/// The circuit breaker: this many failures within this time …
const FAILURES_MAX: usize = 5;
const FAILURES_WITHIN: Duration = Duration::from_secs(10);
/// … turn the tier off for this long.
const BREAK: Duration = Duration::from_secs(30);
/// How long closing may flush.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// Mode of the folder that holds the answers.
const OWNER_ONLY: u32 = 0o700;
/// Content of the file `format`; block files of another layout or size are wiped.
const FORMAT: &str = "tidegate disk cache 1";

/// Where and how to keep entries on disk.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// A folder of our own; `blocks` below it is wiped when its format does not fit.
    pub folder: PathBuf,
    pub capacity_bytes: u64,
    /// Entries written under another epoch are not found: the purge log's instance.
    pub epoch: Uuid,
    /// Entries with less time to live are not written.
    pub ttl_min: Duration,
    /// Write every entry at once instead of those asked for twice; for tests.
    pub admit_all: bool,
    pub read_deadline: Duration,
}

impl DiskConfig {
    pub fn new(folder: PathBuf, capacity_bytes: u64, epoch: Uuid) -> Self {
        Self {
            folder,
            capacity_bytes,
            epoch,
            ttl_min: Duration::from_secs(30),
            admit_all: false,
            read_deadline: Duration::from_millis(50),
        }
    }
}

type Engine = HybridCache<DiskKey, Stored>;

#[derive(Debug)]
pub(super) struct Disk {
    config: DiskConfig,
    block_bytes: usize,
    clock: Clock,
    purges: Purges,
    counters: Arc<Counters>,
    /// Tasks on the disk's own threads.
    tasks: Tasks,
    engine: Arc<OnceLock<Opened>>,
    failed: AtomicBool,
    closed: AtomicBool,
    breaker: Breaker,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Opened {
    engine: Engine,
    /// Held as long as the files are used.
    _lock: File,
}

/// Why the disk tier could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("the storage engine: {0}")]
    Engine(#[from] foyer::Error),
}

impl Disk {
    /// Begins opening in the background; until that is done nothing is found and nothing written.
    pub(super) fn start(
        mut config: DiskConfig,
        clock: Clock,
        purges: Purges,
        counters: Arc<Counters>,
        tasks: &Tasks,
    ) -> io::Result<Arc<Self>> {
        config.capacity_bytes = config.capacity_bytes.max(CAPACITY_BYTES_MIN);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("cache-disk")
            .enable_time()
            .build()?;
        let handle = runtime.handle().clone();
        let disk = Arc::new(Self {
            block_bytes: block_bytes(config.capacity_bytes),
            config,
            clock,
            purges,
            counters,
            tasks: tasks.on(handle),
            engine: Arc::new(OnceLock::new()),
            failed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            breaker: Breaker::default(),
            bytes: Arc::new(AtomicU64::new(0)),
        });
        disk.tasks.spawn(open_in_background(Arc::clone(&disk), Spawner::from(runtime)));
        Ok(disk)
    }

    /// Is the tier ready, or will it never be?
    pub(super) fn is_settled(&self) -> bool {
        self.engine.get().is_some() || self.failed.load(Ordering::Acquire)
    }

    /// The entry for this key, if the disk holds it whole and in time.
    pub(super) async fn read(&self, key: &[u8]) -> Option<Entry> {
        let engine = self.engine.get()?.engine.clone();
        if self.breaker.is_open(self.clock.now()) {
            return None;
        }
        let place = self.place(key);
        // An index in memory answers most misses without touching the disk.
        if !engine.storage().may_contains(&place) {
            return None;
        }
        let (deadline, key) = (self.config.read_deadline, Box::<[u8]>::from(key));
        let (log_id, as_of) = self.purges.log_and_as_of();
        let read = self.tasks.spawn(async move {
            let loaded = tokio::time::timeout(deadline, engine.storage().load(&place)).await;
            let loaded = loaded.map_err(|_| Failure::Late)?.map_err(|_| Failure::Engine)?;
            let bytes = match loaded {
                Load::Entry { value: Stored::Raw(bytes), .. } => bytes,
                Load::Entry { value: Stored::Entry { entry, log_id }, .. } => {
                    record::encode(&entry, log_id).into()
                }
                // Still on its way to the disk.
                Load::Piece { piece, .. } => match piece.value() {
                    Stored::Raw(bytes) => bytes.clone(),
                    Stored::Entry { entry, log_id } => record::encode(entry, *log_id).into(),
                },
                Load::Throttled | Load::Miss => return Ok(None),
            };
            record::decode(&bytes, &key, log_id, as_of).map(Some).map_err(Failure::Record)
        });
        match read.await {
            Ok(Ok(entry)) => entry,
            // Written under another log: old, not broken.
            Ok(Err(Failure::Record(RecordError::OtherLog))) => None,
            Ok(Err(failure)) => self.failed(&failure),
            Err(_) => self.failed(&Failure::Panicked),
        }
    }

    /// Hands an entry to the writer, which may drop it when it is busy.
    pub(super) fn write(&self, entry: &Arc<Entry>) {
        let Some(Opened { engine, .. }) = self.engine.get() else { return };
        let now = self.clock.now();
        let closed = self.closed.load(Ordering::Relaxed);
        if closed || !self.wants(entry, now) || self.breaker.is_open(now) {
            return;
        }
        let (log_id, as_of) = self.purges.log_and_as_of();
        if entry.era != as_of.era {
            // Its number counts in a log that is gone.
            return;
        }
        let stored = Stored::Entry { entry: Arc::clone(entry), log_id };
        let writer = engine.storage_writer(self.place(&entry.key)).force();
        // Only enqueues. A panic in there must cost the copy on disk, not the call.
        match std::panic::catch_unwind(AssertUnwindSafe(|| drop(writer.insert(stored)))) {
            Ok(()) => {
                self.counters.disk_writes.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => drop(self.failed(&Failure::Panicked)),
        }
    }

    /// Makes sure that what the disk holds for the key is not found again, because it was replaced
    /// before its time. Best effort across a crash: then its own lifetime ends it.
    pub(super) fn forget(&self, key: &[u8]) {
        if let Some(Opened { engine, .. }) = self.engine.get()
            && !self.closed.load(Ordering::Relaxed)
        {
            engine.storage().delete(&self.place(key));
        }
    }

    /// Is the entry worth a place on disk at all?
    pub(super) fn wants(&self, entry: &Entry, now: Timestamp) -> bool {
        let room = self.block_bytes.saturating_sub(BLOCK_OVERHEAD_BYTES);
        entry.ttl_left(now) >= self.config.ttl_min && record::encoded_bytes(entry) <= room
    }

    pub(super) fn admits_all(&self) -> bool {
        self.config.admit_all
    }

    /// Bytes the files took when last measured.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_off(&self) -> bool {
        self.breaker.is_open(self.clock.now())
    }

    /// Measures the files, in the background.
    pub(super) fn measure(&self) {
        let (folder, bytes) = (self.blocks(), Arc::clone(&self.bytes));
        self.tasks.spawn(async move {
            let measured = tokio::task::spawn_blocking(move || used_bytes(&folder)).await;
            if let Ok(Ok(measured)) = measured {
                bytes.store(measured, Ordering::Relaxed);
            }
        });
    }

    /// Writes out what is queued and takes nothing more.
    pub(super) async fn close(&self) {
        let Some(Opened { engine, .. }) = self.engine.get() else { return };
        self.closed.store(true, Ordering::Relaxed);
        let engine = engine.clone();
        let close =
            self.tasks.spawn(async move { tokio::time::timeout(CLOSE_MAX, engine.close()).await });
        match close.await {
            Ok(Ok(Ok(()))) => {}
            other => tracing::warn!(?other, "The disk cache did not close in order"),
        }
    }

    fn blocks(&self) -> PathBuf {
        self.config.folder.join("blocks")
    }

    /// Where foyer keeps this key: fixed size, and unknown to other epochs.
    fn place(&self, key: &[u8]) -> DiskKey {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.config.epoch.as_bytes());
        context.update(key);
        let mut place = [0; 32];
        place.copy_from_slice(context.finish().as_ref());
        DiskKey(place)
    }

    fn failed(&self, failure: &Failure) -> Option<Entry> {
        tracing::debug!(?failure, "A read of the disk cache failed; it counts as a miss");
        self.counters.disk_errors.fetch_add(1, Ordering::Relaxed);
        if self.breaker.note(self.clock.now()) {
            self.counters.disk_breaks.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(?failure, "The disk cache failed too often; off for half a minute");
        }
        None
    }

    fn open_files(&self) -> Result<File, DiskError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| DiskError::Io { path, source }
        };
        let folder = &self.config.folder;
        fs::create_dir_all(folder).map_err(io(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.try_lock().map_err(|_| DiskError::InUse { path: folder.clone() })?;
        let (format_path, blocks) = (folder.join("format"), self.blocks());
        let wanted = format!("{FORMAT} {} {}\n", self.config.capacity_bytes, self.block_bytes);
        if fs::read_to_string(&format_path).ok().as_deref() != Some(wanted.as_str()) {
            if blocks.exists() {
                fs::remove_dir_all(&blocks).map_err(io(&blocks))?;
            }
            // The format comes last: a crash in between wipes once more.
            fs::create_dir_all(&blocks).map_err(io(&blocks))?;
            fs::write(&format_path, wanted).map_err(io(&format_path))?;
        }
        // Answers may be meant for one caller only, and the engine's files are open to all.
        fs::set_permissions(&blocks, Permissions::from_mode(OWNER_ONLY)).map_err(io(&blocks))?;
        Ok(lock)
    }

    async fn open(&self, spawner: Spawner) -> Result<Opened, DiskError> {
        let lock = self.open_files()?;
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let device = FsDeviceBuilder::new(self.blocks())
            .with_capacity(bytes(self.config.capacity_bytes))
            .build()?;
        // The notes' 64 MiB and 128 MiB are for disks of many gigabytes; small ones take a share.
        let pool = bytes((self.config.capacity_bytes / 8).clamp(8 * MIB, 64 * MIB));
        let flushers = if self.config.capacity_bytes >= 1024 * MIB { 2 } else { 1 };
        let config = BlockEngineConfig::new(device)
            .with_block_size(self.block_bytes)
            .with_flushers(flushers)
            .with_buffer_pool_size(pool)
            .with_submit_queue_size_threshold(pool.saturating_mul(2))
            .with_tombstone_log(true);
        let engine = HybridCacheBuilder::new()
            .with_name("tidegate")
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .with_flush_on_close(false)
            .memory(MEMORY_BYTES)
            .with_weighter(|_: &DiskKey, stored: &Stored| foyer::Code::estimated_size(stored))
            .with_eviction_config(FifoConfig::default())
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(config)
            .with_recover_mode(RecoverMode::Quiet)
            .with_spawner(spawner)
            .build()
            .await?;
        Ok(Opened { engine, _lock: lock })
    }
}

async fn open_in_background(disk: Arc<Disk>, spawner: Spawner) {
    match disk.open(spawner).await {
        Ok(opened) => {
            if disk.engine.set(opened).is_err() {
                tracing::error!("The disk cache was opened twice");
            }
            disk.measure();
        }
        Err(error) => {
            tracing::warn!(%error, "No disk cache; memory has to do");
            disk.failed.store(true, Ordering::Release);
        }
    }
}

#[derive(Debug)]
enum Failure {
    Late,
    Engine,
    Record(RecordError),
    Panicked,
}

/// 16 MiB, foyer's own default, where at least 32 of them fit; larger for disks so large that the
/// number of open files would matter; smaller for small disks. Always more than an entry.
fn block_bytes(capacity_bytes: u64) -> usize {
    let block = match capacity_bytes {
        0..0x2000_0000 => (capacity_bytes / 32).max(2 * MIB),
        0x2000_0000..0x10_0000_0000 => 16 * MIB,
        _ => 64 * MIB,
    };
    // foyer rounds up to pages; rounding down first keeps the number of blocks.
    usize::try_from(block / 4096 * 4096).unwrap_or(16 * 1024 * 1024)
}

fn used_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        // `blocks` counts in 512 bytes whatever the file system's own unit is (stat(2)).
        bytes += file?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

/// Off for a while after repeated failure.
#[derive(Debug, Default)]
struct Breaker {
    failures: Mutex<Vec<Timestamp>>,
    /// Milliseconds; 0 is never.
    off_until: AtomicU64,
}

impl Breaker {
    fn is_open(&self, now: Timestamp) -> bool {
        now.as_millis() < self.off_until.load(Ordering::Relaxed)
    }

    /// Notes a failure; `true` when it was the one too many.
    fn note(&self, now: Timestamp) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|earlier| now.since(*earlier) < FAILURES_WITHIN);
        failures.push(now);
        if failures.len() < FAILURES_MAX {
            return false;
        }
        failures.clear();
        self.off_until.store(now.plus(BREAK).as_millis(), Ordering::Relaxed);
        true
    }
}
