//! The disk tier on real files. These tests wait for background writes by asking until they show,
//! with a generous bound that only a defect reaches.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{LOG, World, answer, flush, glob, key, template};
use crate::cache::entry::Answer;
use crate::cache::fill::Lookup;
use crate::cache::purge::Purges;
use crate::cache::tiers::{Config, DiskConfig, ResponseCache};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;
use crate::store::purge_log::PurgeRecord;

const CAPACITY: u64 = 32 * 1024 * 1024;
const ROUNDS: u32 = 1_000;

fn config(folder: &Path, epoch: u128) -> DiskConfig {
    DiskConfig {
        admit_all: true,
        // These tests are about content; a slow machine must not make them about time.
        read_deadline: Duration::from_secs(20),
        ..DiskConfig::new(folder.to_owned(), CAPACITY, Uuid::from_u128(epoch))
    }
}

async fn open(disk: DiskConfig, purges: &[PurgeRecord]) -> World {
    open_at(disk, purges, 1_000_000).await
}

async fn open_at(disk: DiskConfig, records: &[PurgeRecord], wall_millis: u64) -> World {
    let (clock, purges) = (Clock::manual(wall_millis), Purges::new());
    purges.adopt(LOG, records.last().map_or(0, |last| last.seq), records);
    let tasks = Tasks::new(Handle::current());
    let config = Config { disk: Some(disk), ..Config::default() };
    let cache = ResponseCache::start(config, clock.clone(), purges.clone(), &tasks);
    until(|| cache.disk_is_settled()).await;
    World { cache, purges, clock, tasks }
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..ROUNDS {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen");
}

/// Other users of the machine must not read what callers were answered.
#[tokio::test]
async fn answers_on_disk_are_their_owners_alone() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 1).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("blocks")), 0o700);
    // A folder that was made with other permissions is closed as well.
    fs::set_permissions(folder.path().join("blocks"), fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(config(folder.path(), 1), &[]).await);
    assert_eq!(mode(&folder.path().join("blocks")), 0o700);
}

/// "Cache settings for REST APIs", encrypted cache data: what is never written needs no key.
#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_lie_on_disk_in_the_clear_stays_in_memory() {
    let folder = TempDir::new().unwrap();
    let world = open(config(folder.path(), 1), &[]).await;
    for (path, is_memory_only) in [("/secret", true), ("/plain", false)] {
        let template = template();
        let Lookup::Miss(place) = world.cache.look_further(&template, &key(path), path).await
        else {
            panic!("a miss")
        };
        let answer = Answer { is_memory_only, ..answer(&place, path, 300) };
        place.keep(answer);
        assert!(world.hit(path).await.is_some());
    }
    world.cache.close().await;
    drop(world);
    let again = open(config(folder.path(), 1), &[]).await;
    assert!(again.hit("/secret").await.is_none());
    assert!(again.hit("/plain").await.is_some());
}

/// Keeps some entries and closes in order.
async fn written(folder: &Path, count: usize) {
    let world = open(config(folder, 1), &[]).await;
    for number in 0..count {
        world.keep(&format!("/{number}"), &format!("body {number}"), 300).await;
    }
    world.cache.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_outlive_the_process() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 50).await;
    let world = open_at(config(folder.path(), 1), &[], 1_100_000).await;
    for number in 0..50 {
        let entry = world.hit(&format!("/{number}")).await.unwrap();
        assert_eq!(entry.body, format!("body {number}"));
        assert_eq!(entry.age_seconds(world.clock.now()), 100);
        assert_eq!(entry.headers["content-type"], "text/plain");
    }
    let counters = world.cache.counters();
    assert_eq!(counters.hits_disk.load(Ordering::Relaxed), 50);
    // Promoted: the second look needs no disk.
    assert!(world.cache.find_in_memory(&key("/7"), world.clock.now()).is_some());
    world.clock.advance(Duration::from_secs(200));
    assert!(world.hit("/7").await.is_none(), "with the rest of its life, not a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_and_foreign_entries_are_not_shown() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 1).await;
    let later = open_at(config(folder.path(), 1), &[], 1_300_000).await;
    assert!(later.hit("/0").await.is_none(), "expired");
    later.cache.close().await;
    drop(later);
    let earlier = open_at(config(folder.path(), 1), &[], 900_000).await;
    assert!(earlier.hit("/0").await.is_none(), "from the future: the clock went back");
    earlier.cache.close().await;
    drop(earlier);
    let other = open(config(folder.path(), 2), &[]).await;
    assert!(other.hit("/0").await.is_none(), "another epoch");
    other.cache.close().await;
    drop(other);
    let same = open(config(folder.path(), 1), &[]).await;
    same.purges.adopt(Uuid::from_u128(99), 0, &[]);
    assert!(same.hit("/0").await.is_none(), "another log");
    same.purges.adopt(LOG, 0, &[]);
    assert!(same.hit("/0").await.is_some(), "it was there all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_entries_stay_purged_over_a_restart() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 3).await;
    let purges = [PurgeRecord { seq: 1, at_ms: 0, scope: glob("/1") }];
    let world = open(config(folder.path(), 1), &purges).await;
    assert!(world.hit("/0").await.is_some());
    assert!(world.hit("/1").await.is_none());
    world.purge(flush());
    assert!(world.hit("/0").await.is_none(), "promoted, then purged");
    assert!(world.hit("/2").await.is_none());
}

/// A copy of the files taken in the middle of writing is what kill -9 leaves behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_no_wrong_bytes() {
    let folder = TempDir::new().unwrap();
    let live = folder.path().join("live");
    let world = open(config(&live, 1), &[]).await;
    for number in 0..400 {
        world.keep(&format!("/{number}"), &numbered(number), 300).await;
        if number % 100 == 99 {
            let copy = folder.path().join(format!("copy{number}"));
            copy_folder(&live, &copy);
            found_after_kill(&copy).await;
        }
    }
    // Writing goes on in the background: sooner or later a copy holds nearly all.
    for round in 0..ROUNDS {
        let copy = folder.path().join(format!("late{round}"));
        copy_folder(&live, &copy);
        if found_after_kill(&copy).await > 300 {
            return;
        }
        fs::remove_dir_all(&copy).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("hardly anything was written");
}

fn numbered(number: usize) -> String {
    format!("{number} ").repeat(500)
}

/// How many entries a node finds that starts on these files, having heard of a purge meanwhile.
async fn found_after_kill(folder: &Path) -> usize {
    let purges = [PurgeRecord { seq: 1, at_ms: 0, scope: glob("/5?") }];
    let world = open(config(folder, 1), &purges).await;
    let mut found = 0;
    for number in 0..400 {
        if let Some(entry) = world.hit(&format!("/{number}")).await {
            assert_eq!(entry.body, numbered(number));
            assert!(!(50..60).contains(&number), "{number} was purged");
            found += 1;
        }
    }
    found
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_folder(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// Damage all over the files costs entries, never content and never the process.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_misses() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 100).await;
    for file in fs::read_dir(folder.path().join("blocks")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        for at in (3_000..bytes.len()).step_by(9_001) {
            bytes[at] ^= 0xFF;
        }
        fs::write(&path, bytes).unwrap();
    }
    let world = open(config(folder.path(), 1), &[]).await;
    for number in 0..100 {
        if let Some(entry) = world.hit(&format!("/{number}")).await {
            assert_eq!(entry.body, format!("body {number}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sizes_wipe_and_a_second_process_stays_out() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 1).await;
    let smaller = DiskConfig { capacity_bytes: CAPACITY / 2, ..config(folder.path(), 1) };
    let world = open(smaller.clone(), &[]).await;
    assert!(world.hit("/0").await.is_none());

    let second = open(smaller, &[]).await;
    second.keep("/a", "memory only", 300).await;
    assert!(second.hit("/a").await.is_some());
    assert_eq!(second.cache.counters().disk_writes.load(Ordering::Relaxed), 0);
}

/// Only what is asked for twice, and lives long enough, is worth writing.
#[tokio::test(flavor = "multi_thread")]
async fn admission_waits_for_the_second_request() {
    let folder = TempDir::new().unwrap();
    let disk = DiskConfig { admit_all: false, ..config(folder.path(), 1) };
    let world = open(disk, &[]).await;
    let writes = || world.cache.counters().disk_writes.load(Ordering::Relaxed);
    world.keep("/once", "1", 300).await;
    world.keep("/short", "2", 29).await;
    world.keep("/twice", "3", 300).await;
    assert_eq!(writes(), 0);
    for _ in 0..3 {
        assert!(world.hit("/twice").await.is_some());
        assert!(world.hit("/short").await.is_some());
    }
    assert_eq!(writes(), 1);
    world.clock.advance(Duration::from_secs(400));
    world.keep("/once", "4", 300).await;
    assert_eq!(writes(), 2, "kept before, within the hour");
}

/// A client may refresh an entry; afterwards nobody may get the old one from the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_entry_does_not_return_from_disk() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 1).await;
    let world = open(config(folder.path(), 1), &[]).await;
    let Lookup::Miss(place) = world.cache.look_up_replacing(&template(), &key("/0"), "/0") else {
        panic!("it must not read");
    };
    // Too short-lived for the disk, so the disk would still have the old one.
    let fetched = super::answer(&place, "new", 10);
    place.keep(fetched);
    assert_eq!(world.hit("/0").await.unwrap().body, "new");
    world.clock.advance(Duration::from_secs(20));
    assert!(world.hit("/0").await.is_none());
}

/// The disk goes wrong after the start: answers go on, without it after some failures.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_is_turned_off_for_a_while() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 20).await;
    let world = open(config(folder.path(), 1), &[]).await;
    for file in fs::read_dir(folder.path().join("blocks")).unwrap() {
        // Reads behind the end of a file fail.
        fs::File::options().write(true).open(file.unwrap().path()).unwrap().set_len(0).unwrap();
    }
    for number in 0..20 {
        assert!(world.hit(&format!("/{number}")).await.is_none());
    }
    let counters = world.cache.counters();
    assert_eq!(counters.disk_errors.load(Ordering::Relaxed), 5);
    assert_eq!(counters.disk_breaks.load(Ordering::Relaxed), 1);
    assert!(world.cache.disk_is_off());
    world.clock.advance(Duration::from_secs(31));
    assert!(!world.cache.disk_is_off());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_costs_the_disk_only() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"not a folder").unwrap();
    let world = open(config(&file, 1), &[]).await;
    world.keep("/a", "1", 300).await;
    assert!(world.hit("/a").await.is_some());
    assert_eq!(world.cache.disk_bytes(), 0);
    world.cache.close().await;
}
