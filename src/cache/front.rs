//! Can a hot entry be found without asking the shared cache?
//!
//! A look-up in moka costs about a microsecond, most of it bookkeeping. Each thread therefore keeps
//! the few entries it serves most in a direct-mapped table of its own. moka must still hear of
//! reads, or it would evict what is hottest: a slot counts as unknown after some hits or a second,
//! and the asker then goes to moka and puts the entry back. Freshness and purges are judged by the
//! caller, on this table's answers as on all others.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::entry::Entry;
use crate::net::clock::Timestamp;

/// Slots per thread; with `ENTRY_BYTES_MAX` this bounds what a thread's table keeps alive to 8 MiB.
const SLOTS: usize = 512;
/// Heavier entries are not kept here: copying their body out costs more than the look-up.
const ENTRY_BYTES_MAX: usize = 16 * 1024;
/// Hits after which moka hears of the entry again; one microsecond over 64 hits is nothing.
const HITS_MAX: u8 = 64;
/// Age after which a slot is asked of moka again; also bounds how long an evicted entry is used.
const AGE_MAX: Duration = Duration::from_secs(1);

struct Slot {
    /// Several caches may live in one process.
    cache: u64,
    generation: u64,
    hash: u64,
    hits: u8,
    since: Timestamp,
    entry: Arc<Entry>,
}

thread_local! {
    static TABLE: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

/// Names a cache and a moment in its life: entries put under an older generation are not found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) cache: u64,
    pub(super) generation: u64,
}

/// The entry for this key, unless moka should be asked.
pub(super) fn get(owner: Owner, hash: u64, key: &[u8], now: Timestamp) -> Option<Arc<Entry>> {
    TABLE.with_borrow_mut(|table| {
        let slot = table.get_mut(index(hash))?.as_mut()?;
        if slot.hash != hash
            || slot.cache != owner.cache
            || slot.generation != owner.generation
            || slot.hits >= HITS_MAX
            || now.since(slot.since) >= AGE_MAX
            || *slot.entry.key != *key
        {
            return None;
        }
        slot.hits += 1;
        Some(Arc::clone(&slot.entry))
    })
}

/// Remembers what moka said.
pub(super) fn put(owner: Owner, hash: u64, now: Timestamp, entry: &Arc<Entry>) {
    if entry.weight_bytes() > ENTRY_BYTES_MAX {
        return;
    }
    let Owner { cache, generation } = owner;
    let entry = Arc::clone(entry);
    let slot = Slot { cache, generation, hash, hits: 0, since: now, entry };
    // What the slot held is dropped after the borrow ends.
    let _old = TABLE.with_borrow_mut(|table| {
        if table.is_empty() {
            table.resize_with(SLOTS, || None);
        }
        table.get_mut(index(hash)).and_then(|place| place.replace(slot))
    });
}

fn index(hash: u64) -> usize {
    // The hash is keyed and uniform; its low bits are as good as any.
    usize::try_from(hash % SLOTS as u64).unwrap_or(0)
}
