//! What is kept of an answer, and what a filler hands over to be kept.
//!
//! An entry never changes after it was made; a newer answer is a new entry. The two marks inside
//! that do change (`verified_seq`, `disk`) only remember work already done.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::call::{IntegrationReport, RefusalReport, Reply};
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Timestamp;

/// What an entry costs beyond its bytes: moka's node with expiry (386 B), the `Arc`, this struct.
const OVERHEAD_BYTES: usize = 600;
/// What a header costs beyond its name and value in a `HeaderMap`.
const HEADER_OVERHEAD_BYTES: usize = 64;
/// What delivery and the listener add to a reply made of an entry: two ids, `X-Cache`, `Age`,
/// `Alt-Svc`, length and date.
pub(super) const HEADERS_TO_COME: usize = 7;

/// A kept answer.
#[derive(Debug)]
pub struct Entry {
    pub key: Box<[u8]>,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub stored_at: Timestamp,
    /// The first moment at which it is not fresh any more.
    pub expires_at: Timestamp,
    /// How long the answer had lived in other caches when it was stored here.
    pub age_at_store_seconds: u32,
    /// The last purge that had been applied when fetching it began.
    pub as_of_seq: u64,
    pub api: ApiId,
    pub stage: StageName,
    /// The request's path below the stage, percent-decoded.
    pub path: String,
    /// Other paths may have this entry's key too.
    pub path_is_shared: bool,
    /// Which purge log `as_of_seq` counts in; see `Purges`.
    pub(super) era: u64,
    /// All purges up to here were seen not to cover the entry.
    pub(super) verified_seq: AtomicU64,
    /// Not on disk yet, and wanted there as soon as somebody asks for it a second time.
    pub(super) wants_disk: AtomicBool,
    /// Never written to disk.
    pub(super) is_memory_only: bool,
}

impl Entry {
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// RFC 9111 section 4.2.3, with the time of storing as the time of response.
    pub fn age_seconds(&self, now: Timestamp) -> u32 {
        let here = u32::try_from(now.since(self.stored_at).as_secs()).unwrap_or(u32::MAX);
        self.age_at_store_seconds.saturating_add(here)
    }

    /// How long it stays fresh; zero when it is not.
    pub fn ttl_left(&self, now: Timestamp) -> Duration {
        self.expires_at.since(now)
    }

    /// Bytes of memory it takes, rounded up generously.
    pub fn weight_bytes(&self) -> usize {
        OVERHEAD_BYTES + self.key.len() + self.path.len() + size_bytes(&self.headers, &self.body)
    }
}

/// Header and body bytes of an answer, with what keeping them costs.
pub(super) fn size_bytes(headers: &HeaderMap, body: &Bytes) -> usize {
    let one = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES
    };
    headers.iter().map(one).sum::<usize>() + body.len()
}

/// The headers with their values in one buffer of just their size. What comes from a connection is
/// a slice of that connection's read buffer: an entry that kept such slices would keep buffers many
/// times its own weight, and nobody would count them.
///
/// The map has places for [`HEADERS_TO_COME`] more, so that a reply's clone of it does not grow.
pub(super) fn own_headers(headers: &HeaderMap) -> HeaderMap {
    let all: Vec<u8> = headers.values().flat_map(|value| value.as_bytes()).copied().collect();
    let mut rest = Bytes::from(all);
    let mut own = HeaderMap::with_capacity(headers.len() + HEADERS_TO_COME);
    for (name, value) in headers {
        let bytes = rest.split_to(value.len());
        // These bytes were a value before.
        let Ok(mut copy) = HeaderValue::from_maybe_shared(bytes) else { continue };
        copy.set_sensitive(value.is_sensitive());
        own.append(name, copy);
    }
    without_spare_memory(&own)
}

/// A map with as many places that keeps no memory for the headers in them: a place is four bytes,
/// a header a hundred.
pub(super) fn without_spare_memory(headers: &HeaderMap) -> HeaderMap {
    headers.clone()
}

/// An answer worth keeping, as the filler hands it over.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// Without the headers that are made fresh for every reply.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How long it may be served from now on.
    pub ttl: Duration,
    /// How long it has lived in other caches.
    pub age_seconds: u32,
    /// From the reply's `Freshness` where a cache further down vouches for it, else the `Place`'s.
    pub as_of_seq: u64,
    /// Never written to disk.
    pub is_memory_only: bool,
}

/// A gateway reply that many waiters get at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub integration: Option<IntegrationReport>,
    pub refusal: Option<RefusalReport>,
}

impl SharedReply {
    pub fn into_reply(self) -> Reply {
        let mut reply = Reply::new(self.status, self.headers, self.body.into());
        reply.integration = self.integration;
        reply.refusal = self.refusal;
        reply
    }
}
