//! Was this key asked for before? Only what is asked for twice is worth a place on disk.
//!
//! The second request usually meets the entry in memory, which remembers for itself. This is for
//! entries that memory had let go of in between.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::net::clock::Timestamp;

/// Has this key been kept before, within the last hour or so? Two bit sets that take turns; a
/// wrong "yes" writes an entry to disk that was asked for only once.
#[derive(Debug)]
pub(super) struct Seen(Mutex<Turns>);

#[derive(Debug)]
struct Turns {
    current: Vec<u64>,
    previous: Vec<u64>,
    noted: usize,
    since: Timestamp,
}

/// 2^20 bits are 128 KiB per set; with 2^17 keys and two bits per key one in 20 answers is wrong.
const SEEN_BITS: u64 = 1 << 20;
const SEEN_KEYS_MAX: usize = 1 << 17;
const SEEN_TURN: Duration = Duration::from_secs(3600);

impl Seen {
    pub(super) fn new(now: Timestamp) -> Self {
        let empty = || vec![0; usize::try_from(SEEN_BITS / 64).unwrap_or(0)];
        let turns = Turns { current: empty(), previous: empty(), noted: 0, since: now };
        Self(Mutex::new(turns))
    }

    /// Notes the key and tells whether it had been noted.
    pub(super) fn note(&self, hash: u64, now: Timestamp) -> bool {
        let turns = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.noted >= SEEN_KEYS_MAX || now.since(turns.since) >= SEEN_TURN {
            std::mem::swap(&mut turns.current, &mut turns.previous);
            turns.current.fill(0);
            (turns.noted, turns.since) = (0, now);
        }
        let bits = [hash % SEEN_BITS, (hash >> 32) % SEEN_BITS];
        let word = |bit: u64| usize::try_from(bit / 64).unwrap_or(0);
        let has = |set: &[u64]| bits.iter().all(|bit| set[word(*bit)] & (1 << (bit % 64)) != 0);
        let known = has(&turns.current) || has(&turns.previous);
        if !has(&turns.current) {
            turns.noted += 1;
            bits.iter().for_each(|bit| turns.current[word(*bit)] |= 1 << (bit % 64));
        }
        known
    }
}
