//! Nobody has the answer: who fetches it, and who waits?
//!
//! The first asker of a key gets its `Place` and fetches; later askers wait for what the place
//! brings. A place belongs to the fetching task, not to a client, and every way it can end releases
//! all waiters at once: with the answer, with the gateway's error, or to fetch for themselves when
//! the answer is nobody else's business. Nobody polls.
//!
//! A purge that arrives while a fill is under way ends the sharing, not the fill: askers from
//! before the purge still get its answer, later ones begin a new fill.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::cache::entry::{Answer, Entry, SharedReply, own_headers};
use crate::cache::key::KeyTemplate;
use crate::cache::purge::{AsOf, Subject, canonical_path};
use crate::cache::tiers::{Config, PASS_MAX, ResponseCache};
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Timestamp;

/// Enough that threads rarely meet at one lock.
const SHARDS: usize = 64;
/// Fills under way per shard; 2^18 altogether, more calls than a node carries.
const FILLS_PER_SHARD_MAX: usize = 4_096;
/// Keys that pass unshared, per shard; 64 k altogether (edge-caching notes, 7.2).
const PASSES_PER_SHARD_MAX: usize = 1_024;

/// What a look-up found.
#[derive(Debug)]
pub enum Lookup {
    /// Fresh and unpurged.
    Hit(Arc<Entry>),
    /// Fetch it, and tell the place how that ended.
    Miss(Place),
    /// Somebody is fetching it.
    Wait(Waiter),
    /// This key's answers cannot be shared: fetch alone, do not keep.
    Pass,
    /// Too many are waiting already.
    Crowded,
}

/// What waiting brought.
#[derive(Debug)]
pub enum Waited {
    Hit(Arc<Entry>),
    /// The filler got an error, which is everybody's.
    Failed(Arc<SharedReply>),
    /// Fetch alone: the answer could not be shared, or took too long.
    Alone,
    /// The filler left before it had begun to fetch: look up again.
    Again,
    /// The filler ended without an outcome, by a panic or because the node stops: an internal
    /// error, and not worth everybody's trying at once.
    Abandoned,
}

impl ResponseCache {
    /// Looks up a rendered key in memory and, without an entry there, further.
    pub async fn look_up(&self, template: &KeyTemplate, key: &[u8], path: &str) -> Lookup {
        match self.find_in_memory(key, self.0.clock.now()) {
            Some(entry) => Lookup::Hit(entry),
            None => self.look_further(template, key, path).await,
        }
    }

    /// Looks up a rendered key that `find_in_memory` had nothing for. `path` is the request's path
    /// below the stage, as sent. It may read the disk once, for all askers of the key.
    pub async fn look_further(&self, template: &KeyTemplate, key: &[u8], path: &str) -> Lookup {
        let hash = self.0.hash(key);
        let place = match self.claim(hash, key, template, path, false) {
            Lookup::Miss(place) => place,
            settled => return settled,
        };
        if self.0.has_disk()
            && let Some(entry) = self.0.find_on_disk(hash, key).await
        {
            place.settle(Outcome::Kept(Arc::clone(&entry)));
            return Lookup::Hit(entry);
        }
        Lookup::Miss(self.begin(place))
    }

    /// For a client that may refresh the entry (`Cache-Control: max-age=0`): does not read, and
    /// what the place keeps replaces the entry. Still one fill per key at a time.
    pub fn look_up_replacing(&self, template: &KeyTemplate, key: &[u8], path: &str) -> Lookup {
        match self.claim(self.0.hash(key), key, template, path, true) {
            Lookup::Miss(place) => Lookup::Miss(self.begin(place)),
            settled => settled,
        }
    }

    fn begin(&self, place: Place) -> Place {
        self.0.counters.misses.fetch_add(1, Ordering::Relaxed);
        place.fill.begun.store(true, Ordering::Relaxed);
        place
    }

    fn claim(
        &self,
        hash: u64,
        key: &[u8],
        template: &KeyTemplate,
        path: &str,
        replaces: bool,
    ) -> Lookup {
        let shared = &*self.0;
        let table = &shared.table;
        let mut shard = table.shard(hash);
        if shard.passes(hash, shared.clock.now()) {
            shared.counters.passes.fetch_add(1, Ordering::Relaxed);
            return Lookup::Pass;
        }
        if let Some(fill) = shard.fills.get(&hash) {
            if *fill.key != *key {
                return Lookup::Pass;
            }
            if !shared.purges.covers(fill.as_of, fill.subject()) {
                let waiter = table.join(fill);
                if waiter.is_some() {
                    shared.counters.waits.fetch_add(1, Ordering::Relaxed);
                }
                return waiter.map_or(Lookup::Crowded, Lookup::Wait);
            }
        } else if shard.fills.len() >= FILLS_PER_SHARD_MAX {
            return Lookup::Pass;
        }
        // Between the look into memory and this lock another fill may have ended.
        if !replaces && let Some(entry) = shared.find_again(hash, key) {
            return Lookup::Hit(entry);
        }
        let fill = Arc::new(Fill {
            id: table.next.fetch_add(1, Ordering::Relaxed),
            hash,
            key: Box::from(key),
            api: template.api().clone(),
            stage: template.stage().clone(),
            path: canonical_path(path),
            path_is_shared: template.path_is_shared(),
            as_of: shared.purges.as_of(),
            replaces,
            begun: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            waiters: AtomicUsize::new(0),
            outcome: watch::Sender::new(None),
        });
        shard.fills.insert(hash, Arc::clone(&fill));
        drop(shard);
        Lookup::Miss(Place { cache: self.clone(), fill })
    }
}

/// The right and duty to fill one entry. Owned by the task that fetches; dropping it without an
/// outcome releases the waiters.
#[derive(Debug)]
pub struct Place {
    cache: ResponseCache,
    fill: Arc<Fill>,
}

impl Place {
    /// The last purge that had been applied when the fill began.
    pub fn as_of_seq(&self) -> u64 {
        self.fill.as_of.seq
    }

    /// How many wait for the outcome now.
    pub fn waiters(&self) -> usize {
        self.fill.waiters.load(Ordering::Relaxed)
    }

    /// Keeps the answer, unless it is too large, has no time to live, or was purged meanwhile, and
    /// gives it to all waiters in any case. Returns it as they get it.
    pub fn keep(self, answer: Answer) -> Arc<Entry> {
        let fill = &*self.fill;
        let now = self.cache.0.clock.now();
        let entry = Arc::new(Entry {
            key: fill.key.clone(),
            status: answer.status,
            headers: own_headers(&answer.headers),
            body: Bytes::copy_from_slice(&answer.body),
            stored_at: now,
            expires_at: now.plus(answer.ttl),
            age_at_store_seconds: answer.age_seconds,
            as_of_seq: answer.as_of_seq,
            api: fill.api.clone(),
            stage: fill.stage.clone(),
            path: fill.path.clone(),
            path_is_shared: fill.path_is_shared,
            era: fill.as_of.era,
            verified_seq: AtomicU64::new(answer.as_of_seq),
            wants_disk: AtomicBool::new(false),
            is_memory_only: answer.is_memory_only,
        });
        self.cache.0.store(fill.hash, &entry, fill.replaces);
        self.settle(Outcome::Kept(Arc::clone(&entry)));
        entry
    }

    /// Nothing to keep: all waiters get this reply, an error, now.
    pub fn fail(self, reply: SharedReply) {
        self.settle(Outcome::Failed(Arc::new(reply)));
    }

    /// The answer must not be shared: all waiters fetch for themselves at once, and so do later
    /// askers for a while.
    pub fn pass(self) {
        let shared = &*self.cache.0;
        let until = shared.clock.now().plus(shared.table.pass);
        shared.table.shard(self.fill.hash).let_pass(self.fill.hash, until);
        self.settle(Outcome::Alone);
    }

    /// This one answer cannot be shared, which says nothing of the next: all waiters fetch for
    /// themselves at once, later askers begin a new fill.
    pub fn leave(self) {
        self.settle(Outcome::Alone);
    }

    fn settle(&self, outcome: Outcome) {
        if self.fill.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        self.fill.outcome.send_replace(Some(outcome));
        let mut shard = self.cache.0.table.shard(self.fill.hash);
        // After a purge the key may be another fill's already.
        if shard.fills.get(&self.fill.hash).is_some_and(|fill| fill.id == self.fill.id) {
            shard.fills.remove(&self.fill.hash);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let begun = self.fill.begun.load(Ordering::Relaxed);
        self.settle(if begun { Outcome::Abandoned } else { Outcome::Again });
    }
}

/// A place in the queue behind a filler.
#[derive(Debug)]
pub struct Waiter {
    fill: Arc<Fill>,
    total: Arc<AtomicUsize>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Waiter {
    /// Waits for the filler's outcome.
    pub async fn wait(mut self, at_most: Duration) -> Waited {
        let outcome = self.outcome.wait_for(Option::is_some);
        let Ok(Ok(outcome)) = tokio::time::timeout(at_most, outcome).await else {
            return Waited::Alone;
        };
        match &*outcome {
            Some(Outcome::Kept(entry)) => Waited::Hit(Arc::clone(entry)),
            Some(Outcome::Failed(reply)) => Waited::Failed(Arc::clone(reply)),
            Some(Outcome::Again) => Waited::Again,
            Some(Outcome::Abandoned) => Waited::Abandoned,
            Some(Outcome::Alone) | None => Waited::Alone,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.fill.waiters.fetch_sub(1, Ordering::Relaxed);
        self.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
enum Outcome {
    Kept(Arc<Entry>),
    Failed(Arc<SharedReply>),
    Alone,
    Again,
    Abandoned,
}

/// One fill under way.
#[derive(Debug)]
struct Fill {
    id: u64,
    hash: u64,
    key: Box<[u8]>,
    api: ApiId,
    stage: StageName,
    path: String,
    path_is_shared: bool,
    as_of: AsOf,
    replaces: bool,
    /// The place was handed out: from here on dropping it is a failure.
    begun: AtomicBool,
    settled: AtomicBool,
    waiters: AtomicUsize,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Fill {
    fn subject(&self) -> Subject<'_> {
        Subject {
            api: &self.api,
            stage: &self.stage,
            path: &self.path,
            path_is_shared: self.path_is_shared,
        }
    }
}

/// All fills of a node.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
    next: AtomicU64,
    waiters: Arc<AtomicUsize>,
    waiters_per_key_max: usize,
    waiters_max: usize,
    pass: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    fills: HashMap<u64, Arc<Fill>>,
    /// Hash → until when it passes.
    passes: HashMap<u64, Timestamp>,
    /// In the order they were noted, to forget the oldest.
    passes_order: VecDeque<u64>,
}

impl Table {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next: AtomicU64::new(0),
            waiters: Arc::default(),
            waiters_per_key_max: config.waiters_per_key_max,
            waiters_max: config.waiters_max,
            pass: config.pass.min(PASS_MAX),
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The high bits: the low ones choose slots elsewhere.
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the fill's shard locked, so its outcome cannot be missed.
    fn join(&self, fill: &Arc<Fill>) -> Option<Waiter> {
        let total = self.waiters.fetch_add(1, Ordering::Relaxed);
        let own = fill.waiters.fetch_add(1, Ordering::Relaxed);
        // From here on dropping the waiter takes both counts back.
        let waiter = Waiter {
            fill: Arc::clone(fill),
            total: Arc::clone(&self.waiters),
            outcome: fill.outcome.subscribe(),
        };
        (total < self.waiters_max && own < self.waiters_per_key_max).then_some(waiter)
    }
}

impl Shard {
    fn passes(&mut self, hash: u64, now: Timestamp) -> bool {
        let Some(until) = self.passes.get(&hash) else { return false };
        let passes = now < *until;
        if !passes {
            self.passes.remove(&hash);
        }
        passes
    }

    fn let_pass(&mut self, hash: u64, until: Timestamp) {
        while self.passes_order.len() >= PASSES_PER_SHARD_MAX {
            let Some(oldest) = self.passes_order.pop_front() else { break };
            self.passes.remove(&oldest);
        }
        self.passes.insert(hash, until);
        self.passes_order.push_back(hash);
    }
}
