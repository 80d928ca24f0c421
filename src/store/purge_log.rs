//! The purge log: which purges were ordered, in which order, and which of them have we applied?
//!
//! The region is the only sequencer: a purge is in the log, synced to disk, before anybody hears
//! of it, and its sequence number is what every cached entry is compared with. An edge keeps the
//! same log as its applied state, so that after a restart it still knows what its disk entries
//! must not show. Only the newest record of a scope matters, so the log is compacted by scope and
//! its size is bounded by what can be purged, not by how often it was.
//!
//! `log_id` names the sequencer's numbering: a node that meets another one starts over. `instance`
//! names this very file: a cache whose disk entries carry another instance must not trust them,
//! because purges may be missing here.
//!
//! Format: one line each, 16 hexadecimal characters of the SHA-256 of what follows, a space, JSON.
//! The first line is the head. A last line without its newline was never acknowledged and is cut
//! off; any other damage gives the log a new identity, which makes all nodes forget what they
//! hold: slow for a while, never wrong.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::ids::{ApiId, StageName};
use crate::store::StoreError;
use crate::store::files;
use crate::store::live_purges::Live;

/// Longest path glob, bytes: longer than any sensible purge, short enough to match quickly.
pub const GLOB_BYTES_MAX: usize = 512;
/// Path globs kept per stage; beyond it they fold into a flush of the stage.
pub const GLOBS_PER_STAGE_MAX: usize = 1_000;
/// Records kept altogether; beyond it an API's records fold into a flush of the API.
pub const RECORDS_MAX: usize = 100_000;
/// Largest log file and largest batch, bytes: `RECORDS_MAX` records at their usual size, twice.
pub const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Lines the file may hold beyond twice the live records before it is rewritten.
const SLACK_LINES: usize = 1_000;
const SUM_CHARS: usize = 16;
const FORMAT: u32 = 1;

/// What a purge covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum PurgeScope {
    /// Every stage of an API.
    Api { api: ApiId },
    /// One stage, as AWS's `FlushStageCache` does.
    Stage { api: ApiId, stage: StageName },
    /// Paths below a stage: `*` stands for any text, `/` included, `?` for one character.
    Path { api: ApiId, stage: StageName, glob: String },
}

/// One purge. A cached entry is void when `seq` is greater than its `as_of_seq` and the scope fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRecord {
    pub seq: u64,
    /// When it was ordered, milliseconds since the Unix epoch; for people, nothing compares it.
    pub at_ms: u64,
    #[serde(flatten)]
    pub scope: PurgeScope,
}

/// What one node tells another: all live records after a sequence number, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeBatch {
    #[serde(with = "uuid_text")]
    pub log_id: Uuid,
    pub head: u64,
    pub records: Vec<PurgeRecord>,
}

/// What a batch did to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// These records were new, in order; the batch's other records were known.
    Applied(Vec<PurgeRecord>),
    /// The batch came from another log, which replaced ours: forget everything stored before.
    Adopted(Vec<PurgeRecord>),
}

/// The durable log. Every change is on disk before the call returns.
#[derive(Debug)]
pub struct PurgeLog {
    path: PathBuf,
    file: File,
    /// Length of the file up to the last good line, bytes.
    bytes: u64,
    lines: usize,
    log_id: Uuid,
    instance: Uuid,
    /// Begun in this run under a numbering of its own, which nobody has used yet.
    unused: bool,
    live: Live,
    poisoned: bool,
}

impl PurgeLog {
    /// Opens the log; a missing or damaged one becomes a new log with new identities, and a damaged
    /// one is kept beside it as `….damaged`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match files::read_bounded(path, LOG_BYTES_MAX.saturating_mul(2)) {
            Ok(None) => return Self::begin(path),
            Ok(Some(bytes)) => {
                if let Some(parsed) = parse(&bytes) {
                    return Self::resume(path, parsed);
                }
            }
            Err(StoreError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        tracing::warn!(
            path = %path.display(),
            "The purge log is damaged; starting a new one, everything cached before is void"
        );
        let damaged = path.with_added_extension("damaged");
        std::fs::rename(path, &damaged)
            .map_err(|source| StoreError::io("cannot set aside", path, source))?;
        Self::begin(path)
    }

    /// Names the numbering; differs between any two sequencers.
    pub fn log_id(&self) -> Uuid {
        self.log_id
    }

    /// Names this file's life; a cache's disk epoch.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    /// Sequence number of the newest purge; 0 when there was none.
    pub fn head(&self) -> u64 {
        self.live.head
    }

    /// Live records after `seq`, oldest first.
    pub fn since(&self, seq: u64) -> Vec<PurgeRecord> {
        self.live.after(seq)
    }

    /// What a node that knows `log_id` up to `seq` lacks; everything if it knows another log.
    pub fn batch_since(&self, log_id: Uuid, seq: u64) -> PurgeBatch {
        let seq = if log_id == self.log_id { seq } else { 0 };
        PurgeBatch { log_id: self.log_id, head: self.head(), records: self.since(seq) }
    }

    /// Orders a purge: gives it the next sequence number and makes it durable. For the sequencer.
    pub fn append(&mut self, scope: PurgeScope, at_ms: u64) -> Result<PurgeRecord, StoreError> {
        scope.check()?;
        let seq = self.head().checked_add(1).ok_or(StoreError::Invalid("sequence is used up"))?;
        let record = PurgeRecord { seq, at_ms, scope };
        self.write(std::slice::from_ref(&record))?;
        Ok(record)
    }

    /// Takes in what the sequencer said. For everybody else.
    pub fn absorb(&mut self, batch: &PurgeBatch) -> Result<Absorbed, StoreError> {
        batch.check()?;
        if batch.log_id != self.log_id {
            let mut live = Live::default();
            for record in &batch.records {
                live.add(record.clone());
            }
            live.head = live.head.max(batch.head);
            // Nothing can have been kept under an unused numbering and come back under another one.
            // A node's first log thus stays one instance, and its disk cache outlives a restart.
            let instance =
                if self.unused && self.head() == 0 { self.instance } else { Uuid::new_v4() };
            *self = Self::create(&self.path, batch.log_id, instance, live)?;
            return Ok(Absorbed::Adopted(self.since(0)));
        }
        let head = self.head();
        let new: Vec<_> = batch.records.iter().filter(|new| new.seq > head).cloned().collect();
        self.write(&new)?;
        Ok(Absorbed::Applied(new))
    }

    /// Appends the records with one sync. After a failure the file is cut back to what was good.
    fn write(&mut self, records: &[PurgeRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        if self.poisoned {
            return Err(StoreError::Poisoned { path: self.path.clone() });
        }
        let mut text = String::new();
        for record in records {
            text.push_str(&line(record)?);
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // What a failed sync left on disk is unknown. Cutting it off is the best guess; a log
            // that cannot even do that must be reopened before it numbers another purge.
            let cut = self
                .file
                .set_len(self.bytes)
                .and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)).map(drop))
                .and_then(|()| self.file.sync_all());
            self.poisoned = cut.is_err();
            return Err(StoreError::io("cannot append to", &self.path, source));
        }
        self.bytes += text.len() as u64;
        self.lines += records.len();
        for record in records {
            self.live.add(record.clone());
        }
        if self.lines > self.live.len().saturating_mul(2) + SLACK_LINES
            && let Err(error) = self.compact()
        {
            // The records are safe in the long file; a shorter one can wait.
            tracing::warn!(%error, "Could not rewrite the purge log");
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let head = Head::of(self.log_id, self.instance, self.live.head);
        (self.file, self.bytes) = rewrite(&self.path, &head, &self.live)?;
        self.lines = self.live.len();
        Ok(())
    }

    /// An empty log with a numbering of its own.
    fn begin(path: &Path) -> Result<Self, StoreError> {
        let log = Self::create(path, Uuid::new_v4(), Uuid::new_v4(), Live::default())?;
        Ok(Self { unused: true, ..log })
    }

    fn create(path: &Path, log_id: Uuid, instance: Uuid, live: Live) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            files::create_folder(folder)?;
        }
        let (file, bytes) = rewrite(path, &Head::of(log_id, instance, live.head), &live)?;
        let (path, lines) = (path.to_owned(), live.len());
        Ok(Self {
            path,
            file,
            bytes,
            lines,
            log_id,
            instance,
            unused: false,
            live,
            poisoned: false,
        })
    }

    fn resume(path: &Path, parsed: Parsed) -> Result<Self, StoreError> {
        let fail = |source| StoreError::io("cannot open", path, source);
        let mut file = OpenOptions::new().write(true).open(path).map_err(fail)?;
        file.set_len(parsed.bytes).map_err(fail)?;
        file.seek(SeekFrom::Start(parsed.bytes)).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes: parsed.bytes,
            lines: parsed.lines,
            log_id: parsed.head.log_id,
            instance: parsed.head.instance,
            unused: false,
            live: parsed.live,
            poisoned: false,
        })
    }
}

impl PurgeScope {
    pub fn api(&self) -> &ApiId {
        match self {
            Self::Api { api } | Self::Stage { api, .. } | Self::Path { api, .. } => api,
        }
    }

    /// Checks what a user or a peer wrote.
    pub fn check(&self) -> Result<(), StoreError> {
        if let Self::Path { glob, .. } = self {
            if glob.len() > GLOB_BYTES_MAX {
                return Err(StoreError::Invalid("a path pattern may have at most 512 bytes"));
            }
            if !glob.starts_with(['/', '*']) {
                return Err(StoreError::Invalid("a path pattern begins with `/` or `*`"));
            }
        }
        Ok(())
    }
}

impl PurgeBatch {
    /// JSON, for the tunnel's `PurgesSince`.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|_| StoreError::Invalid("the batch does not encode"))
    }

    /// Reads and checks what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() as u64 > LOG_BYTES_MAX {
            return Err(StoreError::Invalid("the batch of purges is too long"));
        }
        let batch: Self = serde_json::from_slice(bytes)
            .map_err(|_| StoreError::Invalid("the batch of purges is not JSON of its shape"))?;
        batch.check()?;
        Ok(batch)
    }

    fn check(&self) -> Result<(), StoreError> {
        let ascending = self.records.windows(2).all(|pair| pair[0].seq <= pair[1].seq);
        let within = self.records.last().is_none_or(|last| last.seq <= self.head);
        if !ascending || !within {
            return Err(StoreError::Invalid("the purges of a batch are out of order"));
        }
        self.records.iter().try_for_each(|record| record.scope.check())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(with = "uuid_text")]
    log_id: Uuid,
    #[serde(with = "uuid_text")]
    instance: Uuid,
    /// Newest sequence number when the file was written: it must survive even an empty log.
    head: u64,
}

impl Head {
    fn of(log_id: Uuid, instance: Uuid, head: u64) -> Self {
        Self { format: FORMAT, log_id, instance, head }
    }
}

struct Parsed {
    head: Head,
    live: Live,
    bytes: u64,
    lines: usize,
}

fn line(content: &impl Serialize) -> Result<String, StoreError> {
    let json = serde_json::to_string(content)
        .map_err(|_| StoreError::Invalid("the purge does not encode"))?;
    let mut line = files::sha256_hex(json.as_bytes());
    line.truncate(SUM_CHARS);
    line.push(' ');
    line.push_str(&json);
    line.push('\n');
    Ok(line)
}

/// Content of a whole line, without its newline; `None` when it is damaged.
fn read_line<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let (sum, rest) = line.split_at_checked(SUM_CHARS)?;
    let json = rest.strip_prefix(b" ")?;
    let actual = files::sha256_hex(json);
    if actual.as_bytes().get(..SUM_CHARS)? != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// `None` when the log is damaged anywhere but in an unfinished last line.
fn parse(bytes: &[u8]) -> Option<Parsed> {
    let whole = memchr::memrchr(b'\n', bytes)? + 1;
    let mut lines = bytes.get(..whole)?.split_inclusive(|byte| *byte == b'\n');
    let strip = |line: &[u8]| line.len().saturating_sub(1);
    let first = lines.next()?;
    let head: Head = read_line(first.get(..strip(first))?)?;
    if head.format != FORMAT {
        return None;
    }
    let mut live = Live::default();
    let mut count = 0;
    for line in lines {
        let record: PurgeRecord = read_line(line.get(..strip(line))?)?;
        if record.seq < live.head || record.scope.check().is_err() {
            return None;
        }
        live.add(record);
        count += 1;
    }
    live.head = live.head.max(head.head);
    Some(Parsed { head, live, bytes: whole as u64, lines: count })
}

/// Replaces the file and opens it for appending.
fn rewrite(path: &Path, head: &Head, live: &Live) -> Result<(File, u64), StoreError> {
    let mut text = line(head)?;
    for record in live.after(0) {
        text.push_str(&line(&record)?);
    }
    files::replace(path, text.as_bytes())?;
    let fail = |source| StoreError::io("cannot open", path, source);
    let mut file = OpenOptions::new().write(true).open(path).map_err(fail)?;
    file.seek(SeekFrom::End(0)).map_err(fail)?;
    Ok((file, text.len() as u64))
}

/// Ids as their usual text, so that people can compare them.
mod uuid_text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(input)?;
        Uuid::parse_str(&text).map_err(de::Error::custom)
    }
}
