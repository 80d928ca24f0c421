//! One answer for many: hits, misses, and who asks the backend when all ask at once.

use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use tokio::time::{sleep, timeout};

use crate::world::client::{Answer, Connection, Protocol, empty};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::link::Link;
use crate::world::play::Play;
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);
/// Below the listener's bound of 128 streams per connection.
const STREAMS: usize = 100;

fn path(below: &str) -> String {
    format!("/{STAGE}{below}")
}

/// The body of a good answer and what `X-Cache` says.
fn said(answer: &Answer) -> (u16, String, Option<&str>) {
    (answer.status.as_u16(), answer.text().to_owned(), answer.header("x-cache"))
}

/// Connections enough for this many concurrent calls.
async fn connections(cluster: &Cluster<'_>, node: &str, calls: usize) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..calls.div_ceil(STREAMS) {
        connections.push(cluster.connect(Protocol::Http2, node).await);
    }
    connections
}

/// The same GET this many times at once.
async fn storm(connections: &[Connection], below: &str, calls: usize) -> Vec<Answer> {
    let calls = (0..calls).map(|n| {
        let mut connection = connections[n / STREAMS].share();
        async move { connection.get(&path(below)).await.unwrap() }
    });
    join_all(calls).await
}

#[test]
fn a_miss_is_answered_by_the_backend_and_the_next_call_from_the_cache() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2).ttl_seconds(60)).await;
        cluster.backend.on("/cached/a", Play::text("once").header("x-kind", "tea"));

        let miss = cluster.get("edge-1", "/cached/a").await;
        assert_eq!(said(&miss), (200, "once".to_owned(), Some("Miss from tidegate")));
        assert_eq!((miss.header("age"), miss.header("x-kind")), (None, Some("tea")));
        sleep(7 * SECOND).await;
        let hit = cluster.get("edge-1", "/cached/a").await;
        assert_eq!(said(&hit), (200, "once".to_owned(), Some("Hit from tidegate")));
        assert_eq!((hit.header("age"), hit.header("x-kind")), (Some("7"), Some("tea")));
        assert_eq!(hit.header("content-length"), Some("4"));
        assert_ne!(miss.header("x-amzn-requestid"), hit.header("x-amzn-requestid"));

        // The other edge finds it in the region's cache, as old as it is.
        let other = cluster.get("edge-2", "/cached/a").await;
        assert_eq!((other.status.as_u16(), other.text()), (200, "once"));
        assert_eq!(cluster.backend.calls_of_all(), 1);

        // The time to live counts from the backend's answer at both edges.
        sleep(52 * SECOND).await;
        for edge in ["edge-1", "edge-2"] {
            let hit = cluster.get(edge, "/cached/a").await;
            assert_eq!(
                (hit.header("age"), hit.header("x-cache")),
                (Some("59"), Some("Hit from tidegate"))
            );
        }
        sleep(2 * SECOND).await;
        for edge in ["edge-1", "edge-2"] {
            assert_eq!(cluster.get(edge, "/cached/a").await.text(), "once");
        }
        assert_eq!(cluster.backend.calls("/cached/a"), 2);
    });
}

#[test]
fn keys_and_methods_are_kept_apart() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        for name in ["a", "b", "a"] {
            let answer = cluster.get("edge-1", &format!("/cached/{name}?x=1")).await;
            assert_eq!(answer.text(), format!("backend: /cached/{name}"));
        }
        assert_eq!(cluster.backend.calls_of_all(), 2);
        for _ in 0..3 {
            let answer = cluster.get("edge-1", "/open/a").await;
            assert_eq!(answer.header("x-cache"), Some("Miss from tidegate"));
        }
        assert_eq!(cluster.backend.calls("/open/a"), 3);
    });
}

#[test]
fn a_thousand_misses_at_one_edge_are_one_backend_call() {
    simulate(&[1, 2, 3], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/cached/hot", Play::text("hot").after(SECOND));
        let connections = connections(&cluster, "edge-1", 1000).await;
        let answers = storm(&connections, "/cached/hot", 1000).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "hot"));
        assert_eq!((answers.len(), cluster.backend.calls_of_all()), (1000, 1));
    });
}

#[test]
fn a_thousand_misses_at_three_edges_are_one_backend_call() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(3)).await;
        world.link("edge-2", "region", Link::delay_ms(90).jitter_ms(30).loss(0.02));
        cluster.backend.on("/cached/hot", Play::text("hot").after(SECOND));
        let mut doors = Vec::new();
        for edge in ["edge-1", "edge-2", "edge-3"] {
            doors.push(connections(&cluster, edge, 334).await);
        }
        let storms = doors.iter().map(|connections| storm(connections, "/cached/hot", 334));
        let answers: Vec<Answer> = join_all(storms).await.concat();
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "hot"));
        assert_eq!((answers.len(), cluster.backend.calls_of_all()), (1002, 1));
    });
}

/// Slower than a waiter is willing to wait elsewhere, faster than the integration's timeout.
#[test]
fn a_slow_backend_is_not_stormed() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.backend.on("/cached/slow", Play::text("slow").after(20 * SECOND));
        let mut doors = Vec::new();
        for edge in ["edge-1", "edge-2"] {
            doors.push(connections(&cluster, edge, 200).await);
        }
        let storms = doors.iter().map(|connections| storm(connections, "/cached/slow", 200));
        let answers: Vec<Answer> = join_all(storms).await.concat();
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "slow"));
        assert_eq!(cluster.backend.calls_of_all(), 1);
    });
}

#[test]
fn a_fill_outlives_the_client_that_asked_first() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.backend.on("/cached/a", Play::text("kept").after(2 * SECOND));
        let mut first = cluster.connect(Protocol::Http2, "edge-1").await;
        let request = Request::get(path("/cached/a")).body(empty()).unwrap();
        let asked = timeout(SECOND, first.send(request)).await;
        assert!(asked.is_err(), "the backend takes two seconds");
        drop(first);

        let (same_edge, other_edge) =
            tokio::join!(cluster.get("edge-1", "/cached/a"), cluster.get("edge-2", "/cached/a"));
        assert_eq!((same_edge.text(), other_edge.text()), ("kept", "kept"));
        assert_eq!((cluster.backend.calls_of_all(), cluster.backend.aborted()), (1, 0));
    });
}

/// Nobody is left at the edge, and still the answer is there for the next one.
#[test]
fn a_fill_that_everybody_left_is_kept() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/cached/a", Play::text("kept").after(2 * SECOND));
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let request = Request::get(path("/cached/a")).body(empty()).unwrap();
            assert!(timeout(SECOND / 4, client.send(request)).await.is_err(), "{protocol:?}");
        }
        sleep(3 * SECOND).await;
        let answer = cluster.get("edge-1", "/cached/a").await;
        assert_eq!(said(&answer), (200, "kept".to_owned(), Some("Hit from tidegate")));
        assert_eq!((cluster.backend.calls_of_all(), cluster.backend.aborted()), (1, 0));
    });
}

#[test]
fn a_failed_fill_releases_all_waiters_at_once() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.backend.on("/cached/bad", Play::breaks(0).after(SECOND));
        let mut doors = Vec::new();
        for edge in ["edge-1", "edge-2"] {
            doors.push(connections(&cluster, edge, 100).await);
        }
        let before = world.elapsed();
        let storms = doors.iter().map(|connections| storm(connections, "/cached/bad", 100));
        let answers: Vec<Answer> = join_all(storms).await.concat();
        let took = world.elapsed() - before;
        for answer in &answers {
            let message = r#"{"message": "Network error communicating with endpoint"}"#;
            assert_eq!((answer.status.as_u16(), answer.text()), (504, message));
            assert_eq!(answer.header("x-cache"), Some("Error from tidegate"));
        }
        assert!(took < 2 * SECOND, "waiters waited {took:?} for a failure after one second");
        assert_eq!(cluster.backend.calls_of_all(), 1);

        // A failure is not kept.
        cluster.backend.on("/cached/bad", Play::text("good again"));
        assert_eq!(cluster.get("edge-1", "/cached/bad").await.text(), "good again");
    });
}

/// A backend's own error goes to all who waited, as its good answer would have; it is not kept,
/// and it does not keep the next good answer from being kept.
#[test]
fn a_backends_own_error_is_shared_but_never_kept() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.backend.on("/cached/e", Play::text("sorry").status(500).after(SECOND));
        let mut doors = Vec::new();
        for edge in ["edge-1", "edge-2"] {
            doors.push(connections(&cluster, edge, 100).await);
        }
        let storms = doors.iter().map(|connections| storm(connections, "/cached/e", 100));
        for answer in join_all(storms).await.concat() {
            assert_eq!(said(&answer), (500, "sorry".to_owned(), Some("Error from tidegate")));
        }
        assert_eq!(cluster.backend.calls_of_all(), 1);

        assert_eq!(cluster.get("edge-1", "/cached/e").await.status, 500);
        assert_eq!(cluster.backend.calls_of_all(), 2);
        cluster.backend.on("/cached/e", Play::text("well again"));
        for says in ["Miss from tidegate", "Hit from tidegate"] {
            let answer = cluster.get("edge-1", "/cached/e").await;
            assert_eq!(said(&answer), (200, "well again".to_owned(), Some(says)));
        }
        assert_eq!(cluster.backend.calls_of_all(), 3);
    });
}

/// What one client asked for in pieces is no reason to keep nothing for the others.
#[test]
fn a_partial_answer_is_not_kept_and_spoils_nothing() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let part = Play::text("par").status(206).header("content-range", "bytes 0-2/5");
        cluster.backend.on("/cached/p", part);
        assert_eq!(cluster.get("edge-1", "/cached/p").await.status, 206);
        cluster.backend.on("/cached/p", Play::text("parts"));
        for says in ["Miss from tidegate", "Hit from tidegate"] {
            let answer = cluster.get("edge-1", "/cached/p").await;
            assert_eq!(said(&answer), (200, "parts".to_owned(), Some(says)));
        }
    });
}

/// In its last second the region's entry has no whole second left to give to an edge.
#[test]
fn an_entry_about_to_expire_spoils_nothing() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2).ttl_seconds(10)).await;
        cluster.get("edge-1", "/cached/a").await;
        sleep(Duration::from_millis(9_500)).await;
        assert_eq!(cluster.get("edge-2", "/cached/a").await.status, 200);
        assert_eq!(cluster.backend.calls_of_all(), 1);
        sleep(SECOND).await;
        cluster.get("edge-2", "/cached/a").await;
        let answer = cluster.get("edge-2", "/cached/a").await;
        assert_eq!(answer.header("x-cache"), Some("Hit from tidegate"));
        assert_eq!(cluster.backend.calls_of_all(), 2);
    });
}

/// Longer than an entry may be: everybody gets it whole, nobody from the cache.
#[test]
fn an_answer_too_long_to_keep_is_still_whole() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/cached/big", Play::bytes(1_500_000));
        for _ in 0..2 {
            let answer = cluster.get("edge-1", "/cached/big").await;
            assert_eq!(answer.header("x-cache"), Some("Miss from tidegate"));
            assert!(answer.body == crate::world::play::pattern(0, 1_500_000));
        }
        assert_eq!(cluster.backend.calls_of_all(), 2);
    });
}
