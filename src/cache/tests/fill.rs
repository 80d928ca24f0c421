use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{answer, key, template, world, world_with};
use crate::cache::entry::SharedReply;
use crate::cache::fill::{Lookup, Waited};
use crate::cache::tiers::Config;

const LONG: Duration = Duration::from_secs(5);

fn bad_gateway() -> SharedReply {
    SharedReply {
        status: StatusCode::BAD_GATEWAY,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        integration: None,
        refusal: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_askers_are_one_fill() {
    let world = world();
    let mut askers = Vec::new();
    for _ in 0..1_000 {
        let cache = world.cache.clone();
        askers.push(world.tasks.spawn(async move {
            match cache.look_up(&template(), &key("/a"), "/a").await {
                Lookup::Miss(place) => {
                    // Long enough for others to come, short enough for a test.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let fetched = answer(&place, "once", 300);
                    assert_eq!(place.keep(fetched).body, "once");
                    1
                }
                Lookup::Wait(waiter) => match waiter.wait(LONG).await {
                    Waited::Hit(entry) => {
                        assert_eq!(entry.body, "once");
                        0
                    }
                    other => panic!("{other:?}"),
                },
                Lookup::Hit(_) => 0,
                other => panic!("{other:?}"),
            }
        }));
    }
    let mut fills = 0;
    for asker in askers {
        fills += asker.await.unwrap();
    }
    assert_eq!(fills, 1);
    assert_eq!(world.cache.counters().misses.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_failure_is_everybodys_and_nothing_is_kept() {
    let world = world();
    let place = world.place("/a").await;
    let waiters = [world.waiter("/a").await, world.waiter("/a").await];
    assert_eq!(place.waiters(), 2);
    place.fail(bad_gateway());
    for waiter in waiters {
        let Waited::Failed(reply) = waiter.wait(LONG).await else { panic!("the filler failed") };
        assert_eq!((*reply).clone().into_reply().status, StatusCode::BAD_GATEWAY);
    }
    world.place("/a").await;
}

#[tokio::test]
async fn an_unshareable_answer_lets_all_go_on_alone_for_a_while() {
    let world = world();
    let place = world.place("/a").await;
    let waiter = world.waiter("/a").await;
    place.pass();
    assert!(matches!(waiter.wait(LONG).await, Waited::Alone));
    assert!(matches!(world.look("/a").await, Lookup::Pass));
    world.clock.advance(Duration::from_secs(119));
    assert!(matches!(world.look("/a").await, Lookup::Pass));
    world.clock.advance(Duration::from_secs(1));
    world.keep("/a", "shareable now", 300).await;
    assert!(world.hit("/a").await.is_some());
}

#[tokio::test]
async fn a_dropped_place_releases_its_waiters() {
    let world = world();
    let place = world.place("/a").await;
    let waiter = world.waiter("/a").await;
    drop(place);
    assert!(matches!(waiter.wait(LONG).await, Waited::Abandoned));
    world.place("/a").await;
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let world = world();
    let _place = world.place("/a").await;
    let waiter = world.waiter("/a").await;
    let begun = tokio::time::Instant::now();
    assert!(matches!(waiter.wait(LONG).await, Waited::Alone));
    assert_eq!(begun.elapsed(), LONG);
}

#[tokio::test]
async fn the_number_of_waiters_is_bounded() {
    let config = Config { waiters_per_key_max: 2, waiters_max: 3, ..Config::default() };
    let world = world_with(config);
    let _places = [world.place("/a").await, world.place("/b").await];
    let first = world.waiter("/a").await;
    let _second = world.waiter("/a").await;
    assert!(matches!(world.look("/a").await, Lookup::Crowded), "two for this key");
    let _third = world.waiter("/b").await;
    assert!(matches!(world.look("/b").await, Lookup::Crowded), "three altogether");
    drop(first);
    world.waiter("/b").await;
}

#[tokio::test]
async fn a_replacing_look_up_does_not_read_and_replaces() {
    let world = world();
    world.keep("/a", "old", 300).await;
    assert_eq!(world.hit("/a").await.unwrap().body, "old");
    let look = || world.cache.look_up_replacing(&template(), &key("/a"), "/a");
    let Lookup::Miss(place) = look() else { panic!("it must not read") };
    assert!(matches!(look(), Lookup::Wait(_)), "one at a time");
    assert_eq!(world.hit("/a").await.unwrap().body, "old", "others are served meanwhile");
    let fetched = answer(&place, "new", 300);
    place.keep(fetched);
    assert_eq!(world.hit("/a").await.unwrap().body, "new");
}

#[tokio::test]
async fn an_answer_that_is_not_kept_still_reaches_the_waiters() {
    let config = Config { entry_bytes_max: 4, ..Config::default() };
    let world = world_with(config);
    for (body, ttl_seconds) in [("too large", 300), ("0ttl", 0)] {
        let place = world.place("/a").await;
        let waiter = world.waiter("/a").await;
        let fetched = answer(&place, body, ttl_seconds);
        place.keep(fetched);
        assert!(matches!(waiter.wait(LONG).await, Waited::Hit(entry) if entry.body == body));
        assert!(world.hit("/a").await.is_none(), "{body}");
    }
    assert_eq!(world.cache.counters().unstored.load(Ordering::Relaxed), 2);
}

#[test]
fn futures_may_move_between_threads() {
    fn check<T: Send>(_: impl FnOnce(crate::cache::tiers::ResponseCache) -> T) {}
    fn check_wait<T: Send>(_: impl FnOnce(crate::cache::fill::Waiter) -> T) {}
    check(|cache| async move {
        let found = cache.look_up(&template(), b"key", "/").await;
        tokio::task::yield_now().await;
        drop(found);
    });
    check_wait(|waiter| waiter.wait(LONG));
}
