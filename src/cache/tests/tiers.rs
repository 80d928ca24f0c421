use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::{answer, key, world, world_with};
use crate::cache::tiers::Config;

/// "Cache settings for REST APIs": an entry is served for its time to live and not longer.
#[tokio::test]
async fn an_entry_is_fresh_until_its_time_is_over() {
    let world = world();
    world.keep("/a", "1", 300).await;
    world.clock.advance(Duration::from_millis(299_999));
    let entry = world.hit("/a").await.unwrap();
    assert_eq!(entry.age_seconds(world.clock.now()), 299);
    assert_eq!(entry.ttl_left(world.clock.now()), Duration::from_millis(1));
    world.clock.advance(Duration::from_millis(1));
    assert!(world.hit("/a").await.is_none());
    assert!(world.cache.find_in_memory(&key("/a"), world.clock.now()).is_none());
}

#[tokio::test]
async fn age_counts_on_from_where_the_answer_came() {
    let world = world();
    let place = world.place("/a").await;
    let mut fetched = answer(&place, "1", 60);
    fetched.age_seconds = 40;
    place.keep(fetched);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.hit("/a").await.unwrap().age_seconds(world.clock.now()), 45);
}

#[tokio::test]
async fn hits_are_counted_and_shared() {
    let world = world();
    let kept = world.keep("/a", "1", 300).await;
    // Enough for the thread's table to ask moka again several times.
    for _ in 0..200 {
        let entry = world.hit("/a").await.unwrap();
        assert!(std::sync::Arc::ptr_eq(&kept, &entry));
    }
    let counters = world.cache.counters();
    assert_eq!(counters.hits_memory.0.load(Ordering::Relaxed), 200);
    assert_eq!(counters.misses.load(Ordering::Relaxed), 1);
    assert_eq!(counters.stores.load(Ordering::Relaxed), 1);
}

/// Two nodes of one process share its threads and must not share entries.
#[tokio::test]
async fn caches_of_one_process_are_apart() {
    let (one, other) = (world(), world());
    one.keep("/a", "one", 300).await;
    assert!(one.hit("/a").await.is_some());
    assert!(other.hit("/a").await.is_none());
    other.keep("/a", "other", 300).await;
    assert_eq!(one.hit("/a").await.unwrap().body, "one");
    assert_eq!(other.hit("/a").await.unwrap().body, "other");
}

#[tokio::test]
async fn memory_is_bounded_in_bytes() {
    let limit = 1024 * 1024;
    let config = Config { memory_bytes: limit, ..Config::default() };
    let world = world_with(config);
    let body = "x".repeat(10_000);
    for number in 0..500 {
        world.keep(&format!("/{number}"), &body, 300).await;
    }
    world.cache.settle();
    assert!(world.cache.bytes_in_memory() <= limit, "{}", world.cache.bytes_in_memory());
    let entries = world.cache.entries();
    assert!((10..=99).contains(&entries), "{entries} entries of 10 kB and overhead in 1 MiB");
}

#[tokio::test]
async fn small_and_large_entries_alike_are_found() {
    let world = world();
    for (path, bytes) in [("/empty", 0), ("/small", 100), ("/large", 1_048_576)] {
        world.keep(path, &"x".repeat(bytes), 300).await;
        for _ in 0..3 {
            assert_eq!(world.hit(path).await.unwrap().body.len(), bytes);
        }
    }
    let place = world.place("/too-large").await;
    let fetched = answer(&place, &"x".repeat(1_048_577), 300);
    place.keep(fetched);
    assert!(world.hit("/too-large").await.is_none());
}

/// A thread's own table may lag behind; what it holds must not hide what others stored since.
#[tokio::test]
async fn a_successor_stored_by_another_thread_is_found() {
    let world = world();
    world.keep("/a", "old", 10).await;
    assert_eq!(world.hit("/a").await.unwrap().body, "old");
    world.clock.advance(Duration::from_millis(9_500));
    assert_eq!(world.hit("/a").await.unwrap().body, "old");
    world.clock.advance(Duration::from_millis(500));
    let place = world.place("/a").await;
    std::thread::spawn(move || {
        let fetched = answer(&place, "new", 300);
        place.keep(fetched);
    })
    .join()
    .unwrap();
    assert_eq!(world.hit("/a").await.unwrap().body, "new");
}

/// What a backend's connection read in one piece must not stay alive for the sake of an entry.
#[tokio::test]
async fn an_entry_holds_nothing_but_its_own_bytes() {
    let world = world();
    let read = Bytes::from(b"text/plain,body".repeat(1_000));
    let place = world.place("/a").await;
    let mut fetched = answer(&place, "", 300);
    let value = HeaderValue::from_maybe_shared(read.slice(..10)).unwrap();
    fetched.headers.insert("content-type", value.clone());
    fetched.headers.append("content-type", value);
    fetched.body = read.slice(11..15);
    let entry = place.keep(fetched);
    assert_eq!(entry.body, "body");
    assert_eq!(entry.headers.get_all("content-type").iter().count(), 2);
    assert_eq!(entry.headers["content-type"], "text/plain");
    assert!(read.is_unique());
}
