//! How does an entry look on disk?
//!
//! Written by hand: a fixed head, then parts with their lengths, the body raw at the end. The
//! digest covers everything after itself, and a reader checks it before it believes any length, so
//! torn or foreign bytes are a miss and never a wrong answer. Lengths are checked all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use crate::cache::entry::{Entry, HEADERS_TO_COME, without_spare_memory};
use crate::cache::purge::AsOf;
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Timestamp;

/// Changes with the layout; a record of another format is a miss.
const MAGIC: &[u8; 8] = b"tgcache1";
const DIGEST_BYTES: usize = 32;
const HEAD_BYTES: usize = MAGIC.len() + DIGEST_BYTES;
/// Headers a record may have: a backend's header block is bounded far below this.
const HEADERS_MAX: u32 = 1_000;

/// Why bytes from the disk are not the entry asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the record is damaged")]
    Damaged,
    #[error("the record counts purges of another log")]
    OtherLog,
    #[error("the record answers another key")]
    OtherKey,
}

/// Bytes that `encode` will write.
pub(super) fn encoded_bytes(entry: &Entry) -> usize {
    let headers: usize =
        entry.headers.iter().map(|(name, value)| 8 + name.as_str().len() + value.len()).sum();
    // Log id, status, two times, age, sequence, flag, six lengths and the number of headers.
    let fixed = 16 + 2 + 8 + 8 + 4 + 8 + 1 + 5 * 4 + 4;
    let (api, stage) = (entry.api.as_str().len(), entry.stage.as_str().len());
    HEAD_BYTES
        + fixed
        + entry.key.len()
        + api
        + stage
        + entry.path.len()
        + headers
        + entry.body.len()
}

pub(super) fn encode(entry: &Entry, log_id: Uuid) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_bytes(entry));
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; DIGEST_BYTES]);
    out.extend_from_slice(log_id.as_bytes());
    out.extend_from_slice(&entry.status.as_u16().to_le_bytes());
    out.extend_from_slice(&entry.stored_at.as_millis().to_le_bytes());
    out.extend_from_slice(&entry.expires_at.as_millis().to_le_bytes());
    out.extend_from_slice(&entry.age_at_store_seconds.to_le_bytes());
    out.extend_from_slice(&entry.as_of_seq.to_le_bytes());
    out.push(u8::from(entry.path_is_shared));
    for part in [&*entry.key, entry.api.as_str().as_bytes(), entry.stage.as_str().as_bytes()] {
        append(&mut out, part);
    }
    append(&mut out, entry.path.as_bytes());
    out.extend_from_slice(&length(entry.headers.len()).to_le_bytes());
    for (name, value) in &entry.headers {
        append(&mut out, name.as_str().as_bytes());
        append(&mut out, value.as_bytes());
    }
    append(&mut out, &entry.body);
    let digest = digest_of(&out);
    if let Some(room) = out.get_mut(MAGIC.len()..HEAD_BYTES) {
        room.copy_from_slice(&digest);
    }
    out
}

/// Reads a record back and checks that it is whole, of this purge log, and for this key. `as_of`'s
/// era is given to the entry. Freshness and purges are judged by the caller, as for any entry.
pub(super) fn decode(
    bytes: &Bytes,
    key: &[u8],
    log_id: Uuid,
    as_of: AsOf,
) -> Result<Entry, RecordError> {
    let damaged = RecordError::Damaged;
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(damaged)?;
    let digest = rest.get(..DIGEST_BYTES).ok_or(damaged)?;
    if magic != MAGIC || digest != digest_of(bytes) {
        return Err(damaged);
    }
    let mut from = Reader { bytes, at: HEAD_BYTES };
    if from.array::<16>().ok_or(damaged)? != *log_id.as_bytes() {
        return Err(RecordError::OtherLog);
    }
    let entry = read(&mut from, as_of).ok_or(damaged)?;
    if *entry.key != *key { Err(RecordError::OtherKey) } else { Ok(entry) }
}

fn read(from: &mut Reader<'_>, as_of: AsOf) -> Option<Entry> {
    let status = StatusCode::from_u16(u16::from_le_bytes(from.array()?)).ok()?;
    let stored_at = Timestamp::from_millis(u64::from_le_bytes(from.array()?));
    let expires_at = Timestamp::from_millis(u64::from_le_bytes(from.array()?));
    let age_at_store_seconds = u32::from_le_bytes(from.array()?);
    let as_of_seq = u64::from_le_bytes(from.array()?);
    let [flag] = from.array()?;
    let key = Box::from(&*from.part()?);
    let api = ApiId::new(&from.text()?);
    let stage = StageName::new(&from.text()?);
    let path = from.text()?;
    let count = u32::from_le_bytes(from.array()?);
    if count > HEADERS_MAX {
        return None;
    }
    let mut headers = HeaderMap::with_capacity(usize::try_from(count).ok()? + HEADERS_TO_COME);
    for _ in 0..count {
        let name = HeaderName::from_bytes(&from.part()?).ok()?;
        let value = HeaderValue::from_maybe_shared(from.part()?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    let body = from.part()?;
    if from.at != from.bytes.len() {
        return None;
    }
    Some(Entry {
        key,
        status,
        headers: without_spare_memory(&headers),
        body,
        stored_at,
        expires_at,
        age_at_store_seconds,
        as_of_seq,
        api,
        stage,
        path,
        path_is_shared: flag != 0,
        era: as_of.era,
        verified_seq: AtomicU64::new(as_of_seq),
        wants_disk: AtomicBool::new(false),
        is_memory_only: false,
    })
}

fn digest_of(record: &[u8]) -> [u8; DIGEST_BYTES] {
    let digest = digest::digest(&digest::SHA256, record.get(HEAD_BYTES..).unwrap_or_default());
    let mut out = [0; DIGEST_BYTES];
    out.copy_from_slice(digest.as_ref());
    out
}

fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Entries are bounded to a few MiB, so lengths always fit.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Takes parts off the front; parts share the record's memory.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(array)
    }

    fn part(&mut self) -> Option<Bytes> {
        let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let part = self.bytes.slice(self.at..end);
        self.at = end;
        Some(part)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.part()?.to_vec()).ok()
    }
}

/// What foyer stores: on its way to the disk the entry itself, on its way back the raw bytes.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    Entry { entry: Arc<Entry>, log_id: Uuid },
    Raw(Bytes),
}

impl foyer::Code for Stored {
    fn encode(&self, writer: &mut impl std::io::Write) -> foyer::Result<()> {
        match self {
            Self::Entry { entry, log_id } => writer.write_all(&encode(entry, *log_id)),
            Self::Raw(bytes) => writer.write_all(bytes),
        }
        .map_err(foyer::Error::io_error)
    }

    /// foyer hands over exactly the value's bytes, so their end is the record's end.
    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(foyer::Error::io_error)?;
        Ok(Self::Raw(Bytes::from(bytes)))
    }

    fn estimated_size(&self) -> usize {
        match self {
            Self::Entry { entry, .. } => encoded_bytes(entry),
            Self::Raw(bytes) => bytes.len(),
        }
    }
}

/// Where foyer keeps an entry: a digest of epoch and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DiskKey(pub(super) [u8; 32]);

impl foyer::Code for DiskKey {
    fn encode(&self, writer: &mut impl std::io::Write) -> foyer::Result<()> {
        writer.write_all(&self.0).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        let mut bytes = [0; 32];
        reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
        Ok(Self(bytes))
    }

    fn estimated_size(&self) -> usize {
        self.0.len()
    }
}
