//! What must not be shown any more?
//!
//! Purges are numbered by the region. An entry remembers the last purge that had been applied when
//! fetching it began; a later purge whose scope fits makes it void. Nothing is searched for and
//! deleted: every read compares, so there is no race between a purge and a fill that ends after
//! it, and nothing that a crash could bring back. In the usual case the comparison is of integers.
//!
//! Numbers of different logs cannot be compared. Adopting another log begins a new era, and
//! entries of older eras are void.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::cache::entry::Entry;
use crate::cache::key::hex;
use crate::model::ids::{ApiId, StageName};
use crate::store::purge_log::{GLOBS_PER_STAGE_MAX, PurgeRecord, PurgeScope};

/// The purges a node has applied. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Purges(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Copies of what `state` holds, for the comparison that nearly always suffices.
    newest: AtomicU64,
    era: AtomicU64,
    state: ArcSwap<State>,
    /// Writers take turns; readers never wait.
    turn: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    log_id: Uuid,
    era: u64,
    newest: u64,
    /// The node cannot tell what was purged; nothing kept may be shown.
    doubted: bool,
    apis: HashMap<ApiId, Arc<ApiPurges>>,
}

#[derive(Clone, Debug, Default)]
struct ApiPurges {
    flushed: u64,
    stages: HashMap<StageName, Arc<StagePurges>>,
}

#[derive(Clone, Debug, Default)]
struct StagePurges {
    flushed: u64,
    globs: HashMap<Glob, u64>,
}

/// A moment in the order of purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    pub(super) era: u64,
    pub seq: u64,
}

/// What of an entry, or of an entry to be, decides whether a purge covers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) api: &'a ApiId,
    pub(super) stage: &'a StageName,
    /// Canonical; see `canonical_path`.
    pub(super) path: &'a str,
    pub(super) path_is_shared: bool,
}

impl Purges {
    /// Knows of no log and no purge.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a log as a whole. Everything stored before is void from here on, so call it at
    /// start, before the first read of the disk, and when the log turned out to be another one.
    pub fn adopt(&self, log_id: Uuid, head: u64, records: &[PurgeRecord]) {
        self.change(|state| {
            *state = State { log_id, era: state.era + 1, newest: head, ..State::default() };
            records.iter().for_each(|record| state.add(record));
        });
    }

    /// Applies a purge of the log that was adopted. Applying it again changes nothing.
    pub fn apply(&self, record: &PurgeRecord) {
        self.change(|state| state.add(record));
    }

    /// Applies several at once.
    pub fn apply_all(&self, records: &[PurgeRecord]) {
        self.change(|state| records.iter().for_each(|record| state.add(record)));
    }

    /// While in doubt nothing kept is shown: for a node that must not serve what it may have
    /// failed to drop, until it has caught up. Whether to doubt is the node's policy.
    pub fn set_doubted(&self, doubted: bool) {
        self.change(|state| state.doubted = doubted);
    }

    /// The log whose numbers count; nil before the first.
    pub fn log_id(&self) -> Uuid {
        self.0.state.load().log_id
    }

    /// Number of the last purge applied.
    pub fn newest_seq(&self) -> u64 {
        self.0.state.load().newest
    }

    /// Must this entry not be shown? One comparison, unless a purge came since it was last seen.
    pub fn is_purged(&self, entry: &Entry) -> bool {
        let era = self.0.era.load(Ordering::Acquire);
        let newest = self.0.newest.load(Ordering::Acquire);
        if entry.era == era && entry.verified_seq.load(Ordering::Relaxed) >= newest {
            return false;
        }
        self.is_purged_closely(entry)
    }

    #[cold]
    fn is_purged_closely(&self, entry: &Entry) -> bool {
        let state = self.0.state.load();
        let as_of = AsOf { era: entry.era, seq: entry.as_of_seq };
        let purged = state.doubted || state.covers(as_of, Subject::of(entry));
        if !purged {
            entry.verified_seq.fetch_max(state.newest, Ordering::Relaxed);
        }
        purged
    }

    /// Was the entry purged while it was fetched? Doubt does not count.
    pub(super) fn was_purged(&self, entry: &Entry) -> bool {
        self.covers(AsOf { era: entry.era, seq: entry.as_of_seq }, Subject::of(entry))
    }

    /// Era and number together, from one moment.
    pub(super) fn as_of(&self) -> AsOf {
        let state = self.0.state.load();
        AsOf { era: state.era, seq: state.newest }
    }

    /// The log and the moment in it, together.
    pub(super) fn log_and_as_of(&self) -> (Uuid, AsOf) {
        let state = self.0.state.load();
        (state.log_id, AsOf { era: state.era, seq: state.newest })
    }

    /// Was the subject purged after `as_of`? Doubt does not count: it says nothing of new answers.
    pub(super) fn covers(&self, as_of: AsOf, subject: Subject<'_>) -> bool {
        self.0.state.load().covers(as_of, subject)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.0.state.load());
        change(&mut state);
        let (era, newest) = (state.era, if state.doubted { u64::MAX } else { state.newest });
        // The state first: who sees the new numbers must find what they stand for.
        self.0.state.store(Arc::new(state));
        self.0.era.store(era, Ordering::Release);
        self.0.newest.store(newest, Ordering::Release);
    }
}

impl<'a> Subject<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        Self {
            api: &entry.api,
            stage: &entry.stage,
            path: &entry.path,
            path_is_shared: entry.path_is_shared,
        }
    }
}

impl State {
    fn add(&mut self, record: &PurgeRecord) {
        let seq = record.seq;
        self.newest = self.newest.max(seq);
        let api = Arc::make_mut(self.apis.entry(record.scope.api().clone()).or_default());
        match &record.scope {
            PurgeScope::Api { .. } => {
                api.flushed = api.flushed.max(seq);
                api.stages.retain(|_, stage| stage.newest() > seq);
            }
            PurgeScope::Stage { stage, .. } => {
                Arc::make_mut(api.stages.entry(stage.clone()).or_default()).flush(seq);
            }
            PurgeScope::Path { stage, glob, .. } => {
                Arc::make_mut(api.stages.entry(stage.clone()).or_default()).purge(glob, seq);
            }
        }
    }

    fn covers(&self, as_of: AsOf, subject: Subject<'_>) -> bool {
        if as_of.era != self.era {
            return true;
        }
        if as_of.seq >= self.newest {
            return false;
        }
        let Some(api) = self.apis.get(subject.api) else { return false };
        let stage = api.stages.get(subject.stage);
        api.flushed > as_of.seq || stage.is_some_and(|stage| stage.covers(as_of.seq, subject))
    }
}

impl StagePurges {
    fn newest(&self) -> u64 {
        self.globs.values().copied().fold(self.flushed, u64::max)
    }

    fn flush(&mut self, seq: u64) {
        self.flushed = self.flushed.max(seq);
        self.globs.retain(|_, own| *own > seq);
    }

    fn purge(&mut self, glob: &str, seq: u64) {
        if self.globs.len() >= GLOBS_PER_STAGE_MAX {
            // Too many to try one by one: flush all of the stage, which covers them and more.
            return self.flush(seq.max(self.newest()));
        }
        let newest = self.globs.entry(Glob::new(glob)).or_default();
        *newest = seq.max(*newest);
    }

    fn covers(&self, as_of_seq: u64, subject: Subject<'_>) -> bool {
        self.flushed > as_of_seq
            || self.globs.iter().any(|(glob, seq)| {
                *seq > as_of_seq && (subject.path_is_shared || glob.fits(subject.path))
            })
    }
}

/// A pattern over canonical paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// `*` stands for any text, `?` for one character; anything else for itself.
    pub fn new(pattern: &str) -> Self {
        let mut text =
            if pattern.starts_with('*') { decoded(pattern) } else { canonical_path(pattern) };
        while text.contains("**") {
            text = text.replace("**", "*");
        }
        if text.len() > 1 && text.ends_with('/') {
            text.pop();
        }
        Self(text)
    }

    /// Does the pattern cover this canonical path? A resource is the same with and without a slash
    /// at its end, so either form is enough.
    pub fn fits(&self, path: &str) -> bool {
        matches(self.0.as_bytes(), path.as_bytes())
            || path
                .strip_suffix('/')
                .is_some_and(|path| matches(self.0.as_bytes(), path.as_bytes()))
    }
}

/// A path as purges see it: percent-decoded once, so that one spelling cannot hide from a purge
/// of another, with one slash at the front.
pub fn canonical_path(path: &str) -> String {
    let mut text = decoded(path.trim_start_matches('/'));
    text.insert(0, '/');
    text
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%'
            && let Some((&[high, low], after)) = tail.split_first_chunk::<2>()
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Goes back to the last star only, which is enough and bounds the work to pattern × text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t = next_character(text, t);
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                let from = from + 1;
                star = Some((at, from));
                (p, t) = (at + 1, from);
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// UTF-8 continuation bytes belong to the character before them.
fn next_character(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80) {
        at += 1;
    }
    at
}
