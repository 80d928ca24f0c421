//! The response cache: memory first, then disk, behind one type.
//!
//! Memory is moka, weighed by bytes. It is asked by a keyed 64-bit hash and the whole key is
//! compared afterwards, so two keys that collide cost a miss, never a wrong answer. moka's expiry
//! follows the machine's clock and only gives memory back; whether an entry is fresh is decided by
//! our clock at every read.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::cache::disk::Disk;
use crate::cache::entry::Entry;
use crate::cache::fill::Table;
use crate::cache::front::{self, Owner};
use crate::cache::purge::Purges;
use crate::cache::seen::Seen;
use crate::model::quotas;
use crate::net::clock::{Clock, Timestamp};
use crate::net::tasks::Tasks;

pub use crate::cache::disk::{CAPACITY_BYTES_MIN, DiskConfig};

/// How often moka is told to settle its books, so that an idle cache gives memory back too.
const UPKEEP: Duration = Duration::from_secs(1);
/// The disk's files are measured every so many upkeeps.
const MEASURE_EVERY: u32 = 10;
/// How far the machine's clock may have gone back since an entry was written to disk.
const SKEW_MAX: Duration = Duration::from_secs(5);
/// How long an unstorable answer lets its key pass unshared, at most (edge-caching notes, 7.2).
pub const PASS_MAX: Duration = Duration::from_secs(120);

/// Sizes and bounds of one node's cache.
#[derive(Clone, Debug)]
pub struct Config {
    pub memory_bytes: u64,
    /// Longer bodies are answered and not kept.
    pub entry_bytes_max: usize,
    /// Waiters per key, and altogether.
    pub waiters_per_key_max: usize,
    pub waiters_max: usize,
    /// How long a key passes unshared after an unstorable answer, at most `PASS_MAX`.
    pub pass: Duration,
    pub disk: Option<DiskConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            entry_bytes_max: quotas::CACHE_ENTRY_BYTES_MAX,
            waiters_per_key_max: 10_000,
            waiters_max: 100_000,
            pass: PASS_MAX,
            disk: None,
        }
    }
}

/// What happened so far. Plain counters for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    pub hits_memory: Padded,
    pub hits_disk: AtomicU64,
    pub misses: AtomicU64,
    /// Look-ups that waited for another's fill.
    pub waits: AtomicU64,
    /// Look-ups sent on alone because their key's answers cannot be kept.
    pub passes: AtomicU64,
    pub stores: AtomicU64,
    /// Answers that were fetched but not kept: too large, no time to live, purged meanwhile.
    pub unstored: AtomicU64,
    /// Entries found in memory and not shown, because a purge covers them.
    pub purged: AtomicU64,
    pub disk_writes: AtomicU64,
    pub disk_errors: AtomicU64,
    /// Times the circuit breaker turned the disk off.
    pub disk_breaks: AtomicU64,
}

/// A counter on a cache line of its own: every hit of every thread adds to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded(pub AtomicU64);

/// One node's cache. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct ResponseCache(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    /// Tells this cache's entries in the threads' tables from another cache's.
    id: u64,
    /// Grows when an entry replaced another before its time: older table slots must not be used.
    generation: AtomicU64,
    hasher: RandomState,
    memory: moka::sync::Cache<u64, Arc<Entry>, BuildHasherDefault<Hashed>>,
    disk: Option<Arc<Disk>>,
    seen: Seen,
    entry_bytes_max: usize,
    pub(super) table: Table,
    pub(super) purges: Purges,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
}

impl ResponseCache {
    /// Starts a cache. `purges` should have adopted the node's purge log before; the disk tier
    /// opens in the background, and a node without it goes on in memory.
    pub fn start(config: Config, clock: Clock, purges: Purges, tasks: &Tasks) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let counters = Arc::new(Counters::default());
        let disk = config.disk.clone().and_then(|disk| {
            let (clock, purges) = (clock.clone(), purges.clone());
            Disk::start(disk, clock, purges, Arc::clone(&counters), tasks)
                .inspect_err(|error| tracing::warn!(%error, "No threads for the disk cache"))
                .ok()
        });
        let memory = moka::sync::Cache::builder()
            .max_capacity(config.memory_bytes)
            .weigher(|_, entry: &Arc<Entry>| {
                u32::try_from(entry.weight_bytes()).unwrap_or(u32::MAX)
            })
            .expire_after(Lifetime(clock.clone()))
            .build_with_hasher(BuildHasherDefault::default());
        let cache = Self(Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            generation: AtomicU64::new(0),
            hasher: RandomState::new(),
            memory,
            disk,
            seen: Seen::new(clock.now()),
            entry_bytes_max: config.entry_bytes_max,
            table: Table::new(&config),
            purges,
            clock,
            counters,
        }));
        let stopped = tasks.stopped().clone();
        let shared = Arc::downgrade(&cache.0);
        tasks.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = keep_up(shared) => {}
            }
        });
        cache
    }

    /// An unpurged entry from memory that is fresh at `now`. Never waits.
    pub fn find_in_memory(&self, key: &[u8], now: Timestamp) -> Option<Arc<Entry>> {
        self.0.find(self.0.hash(key), key, now)
    }

    /// Longest body it keeps, bytes.
    pub fn entry_bytes_max(&self) -> usize {
        self.0.entry_bytes_max
    }

    pub fn purges(&self) -> &Purges {
        &self.0.purges
    }

    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Bytes of the entries in memory, as of the last upkeep.
    pub fn bytes_in_memory(&self) -> u64 {
        self.0.memory.weighted_size()
    }

    /// Entries in memory, as of the last upkeep.
    pub fn entries(&self) -> u64 {
        self.0.memory.entry_count()
    }

    /// Bytes the disk tier's files take, as last measured; 0 without one.
    pub fn disk_bytes(&self) -> u64 {
        self.0.disk.as_ref().map_or(0, |disk| disk.bytes())
    }

    /// Is there a disk tier that was turned off by failures?
    pub fn disk_is_off(&self) -> bool {
        self.0.disk.as_ref().is_some_and(|disk| disk.is_off())
    }

    /// Has the disk tier finished opening, or failed to, or is there none?
    pub fn disk_is_settled(&self) -> bool {
        self.0.disk.as_ref().is_none_or(|disk| disk.is_settled())
    }

    /// Writes out what the disk tier has queued; at most a few seconds. Reads go on.
    pub async fn close(&self) {
        if let Some(disk) = &self.0.disk {
            disk.close().await;
        }
    }

    /// Settles moka's books now; tests and status want exact numbers.
    pub fn settle(&self) {
        self.0.memory.run_pending_tasks();
    }
}

impl Shared {
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The thread's own table, then moka.
    fn find(&self, hash: u64, key: &[u8], now: Timestamp) -> Option<Arc<Entry>> {
        let owner = self.owner();
        // What the table holds may be void when moka already has its successor.
        if let Some(entry) = front::get(owner, hash, key, now)
            && self.usable(&entry, now)
        {
            return Some(self.hit(entry));
        }
        let entry = self.memory.get(&hash)?;
        if *entry.key != *key || !self.usable(&entry, now) {
            if self.purges.is_purged(&entry) {
                self.counters.purged.fetch_add(1, Ordering::Relaxed);
            }
            return None;
        }
        front::put(owner, hash, now, &entry);
        Some(self.hit(entry))
    }

    /// For one that `find` had nothing for: did another's fill end in between?
    pub(super) fn find_again(&self, hash: u64, key: &[u8]) -> Option<Arc<Entry>> {
        let entry = self.memory.get(&hash)?;
        let usable = *entry.key == *key && self.usable(&entry, self.clock.now());
        usable.then(|| self.hit(entry))
    }

    fn hit(&self, entry: Arc<Entry>) -> Arc<Entry> {
        self.counters.hits_memory.0.fetch_add(1, Ordering::Relaxed);
        // The second request for it: now it is worth a place on disk.
        if entry.wants_disk.load(Ordering::Relaxed)
            && entry.wants_disk.swap(false, Ordering::Relaxed)
            && let Some(disk) = &self.disk
        {
            disk.write(&entry);
        }
        entry
    }

    fn usable(&self, entry: &Entry, now: Timestamp) -> bool {
        entry.is_fresh(now) && !self.purges.is_purged(entry)
    }

    fn owner(&self) -> Owner {
        Owner { cache: self.id, generation: self.generation.load(Ordering::Acquire) }
    }

    pub(super) fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Reads the disk tier, and moves what it finds into memory for the rest of its life.
    pub(super) async fn find_on_disk(&self, hash: u64, key: &[u8]) -> Option<Arc<Entry>> {
        let entry = Arc::new(self.disk.as_ref()?.read(key).await?);
        let now = self.clock.now();
        // The machine's clock was set back: how old the entry is cannot be told.
        let from_the_future = entry.stored_at > now.plus(SKEW_MAX);
        if from_the_future || !self.usable(&entry, now) {
            return None;
        }
        self.counters.hits_disk.fetch_add(1, Ordering::Relaxed);
        self.memory.insert(hash, Arc::clone(&entry));
        Some(entry)
    }

    /// Keeps an answer, unless it is too large, dead already, or purged since its fill began.
    /// `replaces`: an entry that is still fresh may be in the way, and must not be shown again.
    pub(super) fn store(&self, hash: u64, entry: &Arc<Entry>, replaces: bool) {
        let now = self.clock.now();
        if replaces && let Some(disk) = &self.disk {
            disk.forget(&entry.key);
        }
        let fits = entry.body.len() <= self.entry_bytes_max;
        if !fits || !entry.is_fresh(now) || self.purges.was_purged(entry) {
            self.counters.unstored.fetch_add(1, Ordering::Relaxed);
            if replaces {
                self.memory.invalidate(&hash);
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
            return;
        }
        let to_disk =
            self.disk.as_ref().filter(|disk| !entry.is_memory_only && disk.wants(entry, now));
        let now_to_disk = to_disk.filter(|disk| {
            let seen = self.seen.note(hash, now);
            seen || disk.admits_all() || replaces
        });
        entry.wants_disk.store(to_disk.is_some() && now_to_disk.is_none(), Ordering::Relaxed);
        self.memory.insert(hash, Arc::clone(entry));
        if replaces {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        if let Some(disk) = now_to_disk {
            disk.write(entry);
        }
        self.counters.stores.fetch_add(1, Ordering::Relaxed);
    }
}

/// Upkeep for as long as somebody holds the cache.
async fn keep_up(shared: Weak<Shared>) {
    for round in 1_u32.. {
        tokio::time::sleep(UPKEEP).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.memory.run_pending_tasks();
        if round.is_multiple_of(MEASURE_EVERY)
            && let Some(disk) = &shared.disk
        {
            disk.measure();
        }
    }
}

/// When moka may give an entry's memory back.
struct Lifetime(Clock);

impl moka::Expiry<u64, Arc<Entry>> for Lifetime {
    fn expire_after_create(&self, _: &u64, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.ttl_left(self.0.now()))
    }

    fn expire_after_update(
        &self,
        _: &u64,
        entry: &Arc<Entry>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl_left(self.0.now()))
    }
}

/// The hash of a hash that is keyed and uniform already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
