//! The stores alone, on temporary folders.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use crate::model::ids::{ApiId, StageName};
use crate::store::StoreError;
use crate::store::files;
use crate::store::parts::{Manifest, PartRef, Parts};
use crate::store::purge_log::{
    Absorbed, GLOBS_PER_STAGE_MAX, PurgeBatch, PurgeLog, PurgeRecord, PurgeScope,
};

fn api(name: &str) -> PurgeScope {
    PurgeScope::Api { api: ApiId::new(name) }
}

fn stage(name: &str) -> PurgeScope {
    PurgeScope::Stage { api: ApiId::new("api"), stage: StageName::new(name) }
}

fn path(glob: &str) -> PurgeScope {
    let (api, stage) = (ApiId::new("api"), StageName::new("prod"));
    PurgeScope::Path { api, stage, glob: glob.to_owned() }
}

fn seqs(records: &[PurgeRecord]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

#[test]
fn purges_survive_reopening() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("purges");
    let mut log = PurgeLog::open(&file).unwrap();
    assert_eq!(log.head(), 0);
    let first = log.append(stage("prod"), 7).unwrap();
    let second = log.append(path("/pets/*"), 8).unwrap();
    let (log_id, instance) = (log.log_id(), log.instance());
    drop(log);

    let log = PurgeLog::open(&file).unwrap();
    assert_eq!((log.log_id(), log.instance(), log.head()), (log_id, instance, 2));
    assert_eq!(log.since(0), [first, second.clone()]);
    assert_eq!(log.since(1), [second]);
    assert!(log.since(2).is_empty());
}

/// Whatever a crash cuts off the end, the acknowledged lines before it are read, and nothing else.
#[test]
fn a_log_torn_at_any_byte_is_read_up_to_there() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("purges");
    let mut log = PurgeLog::open(&file).unwrap();
    let head_bytes = fs::read(&file).unwrap().len();
    let log_id = log.log_id();
    for number in 0..3 {
        log.append(path(&format!("/pets/{number}")), number).unwrap();
    }
    drop(log);
    let whole = fs::read(&file).unwrap();

    for cut in 0..=whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let mut log = PurgeLog::open(&file).unwrap();
        if cut < head_bytes {
            assert_ne!(log.log_id(), log_id, "cut at {cut}: identity unknown, so a new one");
            assert_eq!(log.head(), 0);
            continue;
        }
        let complete = whole[head_bytes..cut].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!((log.log_id(), log.head()), (log_id, complete), "cut at {cut}");
        // What comes next must not stick to the torn line.
        assert_eq!(log.append(stage("next"), 9).unwrap().seq, complete + 1);
        drop(log);
        let again = PurgeLog::open(&file).unwrap();
        assert_eq!((again.log_id(), again.head()), (log_id, complete + 1), "cut at {cut}");
    }
}

/// A changed byte anywhere in a complete line may hide a purge: the log starts over.
#[test]
fn a_damaged_line_gives_the_log_a_new_identity() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("purges");
    let mut log = PurgeLog::open(&file).unwrap();
    log.append(stage("one"), 1).unwrap();
    log.append(stage("two"), 2).unwrap();
    let (log_id, instance) = (log.log_id(), log.instance());
    drop(log);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        fs::write(&file, &bytes).unwrap();
        let log = PurgeLog::open(&file).unwrap();
        assert_ne!(log.log_id(), log_id, "changed at {at}");
        assert_ne!(log.instance(), instance, "changed at {at}");
        assert_eq!(fs::read(folder.path().join("purges.damaged")).unwrap(), bytes);
    }
}

/// What a node keeps on disk in its first run, before and after it met its region, must be found
/// in the second. The file is one instance; what was kept under another region's numbering is told
/// by the numbering, which each entry names.
#[test]
fn adopting_a_numbering_keeps_the_instance() {
    let folder = tempfile::tempdir().unwrap();
    let other = |name: &str| PurgeLog::open(&folder.path().join(name)).unwrap();
    let (region, successor) = (other("region"), other("successor"));
    let file = folder.path().join("edge");
    let mut log = PurgeLog::open(&file).unwrap();
    let first = log.instance();
    log.absorb(&region.batch_since(log.log_id(), 0)).unwrap();
    assert_eq!((log.log_id(), log.instance()), (region.log_id(), first));
    let mut log = PurgeLog::open(&file).unwrap();
    assert_eq!((log.log_id(), log.instance()), (region.log_id(), first));
    log.absorb(&successor.batch_since(log.log_id(), 0)).unwrap();
    assert_eq!((log.log_id(), log.instance()), (successor.log_id(), first));
}

/// A node that comes back to a numbering gets all of its live purges, those it missed among them.
#[test]
fn coming_back_to_a_numbering_brings_what_was_missed() {
    let folder = tempfile::tempdir().unwrap();
    let other = |name: &str| PurgeLog::open(&folder.path().join(name)).unwrap();
    let (mut region, successor) = (other("region"), other("successor"));
    let mut log = other("edge");
    log.absorb(&region.batch_since(log.log_id(), 0)).unwrap();
    log.absorb(&successor.batch_since(log.log_id(), 0)).unwrap();
    let missed = region.append(stage("prod"), 1).unwrap();
    let absorbed = log.absorb(&region.batch_since(log.log_id(), log.head())).unwrap();
    assert_eq!(absorbed, Absorbed::Adopted(vec![missed]));
}

#[test]
fn a_missing_log_is_a_new_instance() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("purges");
    let instance = PurgeLog::open(&file).unwrap().instance();
    assert_eq!(PurgeLog::open(&file).unwrap().instance(), instance);
    fs::remove_file(&file).unwrap();
    assert_ne!(PurgeLog::open(&file).unwrap().instance(), instance);
}

#[test]
fn only_the_newest_purge_of_a_scope_is_kept() {
    let folder = TempDir::new().unwrap();
    let mut log = PurgeLog::open(&folder.path().join("purges")).unwrap();
    log.append(path("/a"), 0).unwrap();
    log.append(stage("other"), 0).unwrap();
    log.append(path("/a"), 0).unwrap();
    assert_eq!(seqs(&log.since(0)), [2, 3]);
    log.append(stage("prod"), 0).unwrap();
    assert_eq!(seqs(&log.since(0)), [2, 4], "a stage flush covers the stage's paths");
    log.append(api("api"), 0).unwrap();
    assert_eq!(seqs(&log.since(0)), [5], "an API flush covers its stages");
}

#[test]
fn too_many_patterns_fold_into_a_flush_of_the_stage() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("purges");
    // Through a batch, which syncs once: this test is about counting.
    let mut log = PurgeLog::open(&file).unwrap();
    let count = GLOBS_PER_STAGE_MAX as u64 + 1;
    let records: Vec<_> = (1..=count)
        .map(|seq| PurgeRecord { seq, at_ms: 0, scope: path(&format!("/{seq}")) })
        .collect();
    log.absorb(&PurgeBatch { log_id: log.log_id(), head: count, records }).unwrap();
    let live = log.since(0);
    assert_eq!(live, [PurgeRecord { seq: count, at_ms: 0, scope: stage("prod") }]);
    drop(log);
    assert_eq!(PurgeLog::open(&file).unwrap().since(0), live);
}

#[test]
fn the_file_does_not_grow_with_the_number_of_purges() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("purges");
    let mut log = PurgeLog::open(&file).unwrap();
    let log_id = log.log_id();
    for round in 0..4_u64 {
        let records = (round * 1_000 + 1..=round * 1_000 + 1_000)
            .map(|seq| PurgeRecord { seq, at_ms: 0, scope: stage("prod") })
            .collect();
        log.absorb(&PurgeBatch { log_id, head: round * 1_000 + 1_000, records }).unwrap();
    }
    drop(log);
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert!(lines < 1_100, "{lines} lines");
    assert_eq!(PurgeLog::open(&file).unwrap().head(), 4_000);
}

#[test]
fn an_edge_follows_the_region() {
    let folder = TempDir::new().unwrap();
    let mut region = PurgeLog::open(&folder.path().join("region")).unwrap();
    let mut edge = PurgeLog::open(&folder.path().join("edge")).unwrap();
    // What an edge caches in its first hours must be found after its first restart.
    let instance = edge.instance();
    region.append(stage("prod"), 1).unwrap();

    let batch = region.batch_since(edge.log_id(), edge.head());
    let batch = PurgeBatch::decode(&batch.encode().unwrap()).unwrap();
    assert!(matches!(edge.absorb(&batch).unwrap(), Absorbed::Adopted(all) if seqs(&all) == [1]));
    assert_eq!(edge.log_id(), region.log_id());

    region.append(path("/x"), 2).unwrap();
    let batch = region.batch_since(edge.log_id(), edge.head());
    assert!(matches!(edge.absorb(&batch).unwrap(), Absorbed::Applied(new) if seqs(&new) == [2]));
    // The same again, as after a lost answer.
    assert_eq!(edge.absorb(&batch).unwrap(), Absorbed::Applied(Vec::new()));
    drop(edge);
    let edge = PurgeLog::open(&folder.path().join("edge")).unwrap();
    assert_eq!((edge.log_id(), edge.head()), (region.log_id(), 2));
    assert_eq!(edge.instance(), instance);
}

#[test]
fn bad_purges_are_refused() {
    let folder = TempDir::new().unwrap();
    let mut log = PurgeLog::open(&folder.path().join("purges")).unwrap();
    assert!(matches!(log.append(path("pets"), 0), Err(StoreError::Invalid(_))));
    assert!(log.append(path(&format!("/{}", "x".repeat(600))), 0).is_err());
    assert_eq!(log.head(), 0);
    let record = |seq| PurgeRecord { seq, at_ms: 0, scope: stage("prod") };
    for (head, records) in [(9, vec![record(3), record(2)]), (1, vec![record(2)])] {
        let batch = PurgeBatch { log_id: Uuid::nil(), head, records };
        assert!(log.absorb(&batch).is_err());
    }
}

#[test]
fn parts_are_found_by_their_hash_and_checked() {
    let folder = TempDir::new().unwrap();
    let parts = Parts::open(folder.path()).unwrap();
    let hash = parts.put(b"compiled stage").unwrap();
    assert_eq!(parts.get(&hash).unwrap().unwrap(), b"compiled stage");
    assert_eq!(parts.put(b"compiled stage").unwrap(), hash);
    assert!(parts.get(&files::sha256_hex(b"never kept")).unwrap().is_none());
    for name in ["../secret", "", "ABCD"] {
        assert!(matches!(parts.get(name), Err(StoreError::Invalid(_))), "{name}");
    }
    assert!(parts.put_verified(&hash, b"something else").is_err());

    fs::write(folder.path().join(&hash), b"tampered").unwrap();
    assert!(matches!(parts.get(&hash), Err(StoreError::Corrupt { .. })));
    assert_eq!(parts.put(b"compiled stage").unwrap(), hash, "a damaged copy is written anew");
    assert_eq!(parts.get(&hash).unwrap().unwrap(), b"compiled stage");
}

#[test]
fn a_manifest_names_parts_that_are_held() {
    let folder = TempDir::new().unwrap();
    let parts = Parts::open(folder.path()).unwrap();
    assert_eq!(parts.manifest().unwrap(), None);
    let (old, new) = (parts.put(b"old").unwrap(), parts.put(b"new").unwrap());
    let manifest = |hash: &str| Manifest {
        epoch: 3,
        parts: vec![PartRef {
            api_id: ApiId::new("api"),
            stage: StageName::new("prod"),
            hash: hash.to_owned(),
        }],
    };
    assert!(parts.set_manifest(&manifest(&files::sha256_hex(b"missing"))).is_err());
    assert!(parts.set_manifest(&manifest("../../etc/passwd")).is_err());
    parts.set_manifest(&manifest(&new)).unwrap();
    assert_eq!(parts.manifest().unwrap(), Some(manifest(&new)));

    fs::write(folder.path().join(format!("{old}.new")), b"interrupted").unwrap();
    assert_eq!(parts.retain(&manifest(&new)).unwrap(), 2);
    assert!(parts.get(&old).unwrap().is_none());
    assert!(parts.get(&new).unwrap().is_some());

    fs::write(folder.path().join("manifest.json"), b"{\"epoch\":").unwrap();
    assert!(matches!(parts.manifest(), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_file_larger_than_allowed_is_not_read() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, [0; 11]).unwrap();
    assert!(matches!(files::read_bounded(&file, 10), Err(StoreError::TooLarge { .. })));
    assert_eq!(files::read_bounded(&file, 11).unwrap().unwrap().len(), 11);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes at all: the log opens, and orders purges from there.
    #[test]
    fn garbage_never_stops_the_log(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("purges");
        fs::write(&file, &bytes).unwrap();
        let mut log = PurgeLog::open(&file).unwrap();
        prop_assert_eq!(log.append(stage("prod"), 0).unwrap().seq, 1);
    }

    #[test]
    fn a_batch_survives_the_wire(
        stages in proptest::collection::vec("[a-z]{1,4}", 0..20), log_id in any::<u128>(),
    ) {
        let records: Vec<_> = (1..).zip(&stages)
            .map(|(seq, name)| PurgeRecord { seq, at_ms: seq, scope: stage(name) })
            .collect();
        let batch = PurgeBatch {
            log_id: Uuid::from_u128(log_id), head: records.len() as u64, records,
        };
        prop_assert_eq!(PurgeBatch::decode(&batch.encode().unwrap()).unwrap(), batch);
    }
}
