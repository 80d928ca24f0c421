use proptest::prelude::*;
use uuid::Uuid;

use super::{LOG, answer, api, flush, glob, stage, world};
use crate::cache::fill::{Lookup, Place, Waited};
use crate::cache::key::{KeySource, KeyTemplate};
use crate::cache::purge::{Glob, Purges, canonical_path};
use crate::model::ids::{ApiId, StageName};
use crate::store::purge_log::{GLOBS_PER_STAGE_MAX, PurgeRecord, PurgeScope};

fn fits(pattern: &str, path: &str) -> bool {
    Glob::new(pattern).fits(&canonical_path(path))
}

#[test]
fn patterns() {
    for (pattern, path) in [
        ("/pets/*", "/pets/1"),
        ("/pets/*", "/pets/1/toys"),
        ("/pets/*", "/pets/"),
        ("/pets", "/pets/"),
        ("/pets/", "/pets"),
        ("/pets/?", "/pets/7"),
        ("/pets/?", "/pets/é"),
        ("*", "/"),
        ("*.json", "/a/b.json"),
        ("/a*b*c", "/axxbyybzzc"),
        ("/**/c", "/a/b/c"),
        ("/pets/1", "/pets/%31"),
        ("/pets/%31", "/pets/1"),
        ("/pets/*", "//pets/1"),
        ("/a b", "/a%20b"),
    ] {
        assert!(fits(pattern, path), "{pattern} fits {path}");
    }
    for (pattern, path) in [
        ("/pets/*", "/pets"),
        ("/pets", "/pets/1"),
        ("/pets/?", "/pets/12"),
        ("/pets/?", "/pets/"),
        ("/a*b", "/a/c"),
        ("/Pets", "/pets"),
        ("/", "/pets"),
    ] {
        assert!(!fits(pattern, path), "{pattern} does not fit {path}");
    }
}

proptest! {
    /// Against the definition, which tries everything.
    #[test]
    fn matching_follows_its_definition(pattern in "/[ab*?]{0,8}", path in "/[ab]{0,10}") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) => {
                    (0..=text.len()).any(|skipped| slow(rest, &text[skipped..]))
                }
                (Some((b'?', rest)), Some((_, text))) => slow(rest, text),
                (Some((byte, rest)), Some((own, text))) => byte == own && slow(rest, text),
                _ => false,
            }
        }
        prop_assert_eq!(fits(&pattern, &path), slow(pattern.as_bytes(), path.as_bytes()));
    }

    #[test]
    fn any_pattern_and_path_end(pattern in any::<String>(), path in any::<String>()) {
        prop_assert!(fits("*", &path));
        let _ = fits(&pattern, &path);
    }
}

#[tokio::test]
async fn a_flush_voids_the_stage_and_nothing_else() {
    let world = world();
    world.keep("/a", "1", 300).await;
    world.purge(PurgeScope::Stage { api: api(), stage: StageName::new("test") });
    world.purge(PurgeScope::Api { api: ApiId::new("other") });
    world.purge(glob("/b*"));
    assert!(world.hit("/a").await.is_some());
    world.purge(flush());
    assert!(world.hit("/a").await.is_none());
    world.keep("/a", "2", 300).await;
    assert_eq!(world.hit("/a").await.unwrap().body, "2");
    world.purge(PurgeScope::Api { api: api() });
    assert!(world.hit("/a").await.is_none());
}

#[tokio::test]
async fn a_path_purge_voids_every_spelling() {
    let world = world();
    for path in ["/pets/1", "/pets/%31", "/pets/2"] {
        world.keep(path, path, 300).await;
    }
    world.purge(glob("/pets/1"));
    assert!(world.hit("/pets/1").await.is_none());
    assert!(world.hit("/pets/%31").await.is_none());
    assert!(world.hit("/pets/2").await.is_some());
}

/// The entry answers all pets, whichever of them was fetched: a purge of any one must meet it.
#[tokio::test]
async fn an_entry_shared_by_paths_is_met_by_any_path_purge() {
    let world = world();
    let template = KeyTemplate::compile(&KeySource {
        canary: None,
        api: &api(),
        stage: &stage(),
        namespace: "pet",
        namespace_is_shared: false,
        http_method: "GET",
        resource_path: "/pets/{id}",
        parameters: &[],
    })
    .unwrap();
    let look = || world.cache.look_up(&template, b"shared", "/pets/1");
    let Lookup::Miss(place) = look().await else { panic!("nothing was kept") };
    let kept = answer(&place, "any pet", 300);
    place.keep(kept);
    assert!(matches!(look().await, Lookup::Hit(_)));
    world.purge(glob("/pets/7"));
    assert!(matches!(look().await, Lookup::Miss(_)));
}

#[tokio::test]
async fn many_patterns_fold_and_still_void() {
    let world = world();
    world.keep("/a", "1", 300).await;
    for number in 0..GLOBS_PER_STAGE_MAX {
        world.purge(glob(&format!("/x/{number}")));
    }
    assert!(world.hit("/a").await.is_some());
    world.purge(glob("/x/one-more"));
    assert!(world.hit("/a").await.is_none(), "folded into a flush");
}

#[tokio::test]
async fn another_log_voids_everything_stored_before() {
    let world = world();
    world.purge(glob("/x"));
    world.keep("/a", "1", 300).await;
    let place = world.place("/b").await;
    let begun_before = answer(&place, "2", 300);
    // The new log counts from the start: its numbers say nothing about the old entries.
    world.purges.adopt(Uuid::from_u128(8), 0, &[]);
    place.keep(begun_before);
    assert!(world.hit("/a").await.is_none());
    assert!(world.hit("/b").await.is_none());
    assert_eq!(world.cache.counters().purged.load(std::sync::atomic::Ordering::Relaxed), 1);
    world.keep("/c", "3", 300).await;
    assert!(world.hit("/c").await.is_some());
    assert_ne!(world.purges.log_id(), LOG);
}

#[tokio::test]
async fn in_doubt_nothing_kept_is_shown() {
    let world = world();
    world.keep("/a", "1", 300).await;
    world.purges.set_doubted(true);
    let place = world.place("/a").await;
    assert!(matches!(world.look("/a").await, Lookup::Wait(_)), "fills are still shared");
    let fetched = answer(&place, "2", 300);
    place.keep(fetched);
    assert!(world.hit("/a").await.is_none());
    world.purges.set_doubted(false);
    assert_eq!(world.hit("/a").await.unwrap().body, "2");
}

#[test]
fn applying_twice_changes_nothing() {
    let purges = Purges::new();
    purges.adopt(LOG, 4, &[]);
    let record = PurgeRecord { seq: 5, at_ms: 0, scope: flush() };
    purges.apply_all(&[record.clone(), record.clone()]);
    purges.apply(&record);
    assert_eq!(purges.newest_seq(), 5);
}

/// An edge may hear of a purge later than the region answered: such an answer is newer than the
/// purge, although it arrived first.
#[tokio::test]
async fn an_answer_from_after_a_purge_survives_hearing_of_it_late() {
    let world = world();
    let place = world.place("/a").await;
    let mut fetched = answer(&place, "after purge 1", 300);
    fetched.as_of_seq = 1;
    place.keep(fetched);
    world.purge(flush());
    assert_eq!(world.purges.newest_seq(), 1);
    assert!(world.hit("/a").await.is_some());
}

/// A purge during a fill: who asked before it may have its answer, who asks later may not.
#[tokio::test]
async fn a_purge_under_a_fill_ends_the_sharing() {
    let world = world();
    let old = world.place("/a").await;
    let before = world.waiter("/a").await;
    world.purge(glob("/a"));
    let new = world.place("/a").await;
    let after = world.waiter("/a").await;

    let outdated = answer(&old, "old", 300);
    old.keep(outdated);
    let long = std::time::Duration::from_secs(5);
    assert!(matches!(before.wait(long).await, Waited::Hit(entry) if entry.body == "old"));
    assert!(matches!(world.look("/a").await, Lookup::Wait(_)), "the new fill is still under way");

    let current = answer(&new, "new", 300);
    new.keep(current);
    assert!(matches!(after.wait(long).await, Waited::Hit(entry) if entry.body == "new"));
    assert_eq!(world.hit("/a").await.unwrap().body, "new");
}

#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks for a path; if it is a miss, the fetch reads the backend now.
    Ask(usize),
    /// The oldest fill under way ends.
    Finish(usize),
    /// The backend changes all its answers, then the purge is ordered.
    Purge(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Ask),
        3 => (0..4_usize).prop_map(Step::Finish),
        2 => (0..5_usize).prop_map(Step::Purge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the order of asks, fills and purges: a hit never shows what a purge, applied
    /// before the hit, was ordered to remove.
    #[test]
    fn a_purged_answer_is_never_shown(steps in proptest::collection::vec(step(), 1..60)) {
        const PATHS: [&str; 3] = ["/a", "/b", "/c"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = world();
            let mut version = 0_u64;
            // The oldest version a path may still show.
            let mut least = [0_u64; 3];
            let mut fills: Vec<(Place, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Ask(path) => match world.look(PATHS[path]).await {
                        Lookup::Hit(entry) => {
                            let shown: u64 =
                                std::str::from_utf8(&entry.body).unwrap().parse().unwrap();
                            prop_assert!(shown >= least[path], "{shown} < {}", least[path]);
                        }
                        Lookup::Miss(place) => fills.push((place, version)),
                        Lookup::Wait(_) | Lookup::Pass | Lookup::Crowded => {}
                    },
                    Step::Finish(which) => {
                        if which < fills.len() {
                            let (place, read) = fills.remove(which);
                            let fetched = answer(&place, &read.to_string(), 300);
                            place.keep(fetched);
                        }
                    }
                    Step::Purge(what) => {
                        version += 1;
                        let scope = match what {
                            0..3 => glob(PATHS[what]),
                            3 => glob("/?"),
                            _ => flush(),
                        };
                        world.purge(scope);
                        for (path, least) in least.iter_mut().enumerate() {
                            if what == path || what >= 3 {
                                *least = version;
                            }
                        }
                    }
                }
            }
            Ok(())
        })?;
    }
}
