//! Nodes and links that fail, and come back by themselves.

use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use tokio::time::sleep;

use crate::world::client::{Protocol, empty};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::link::Link;
use crate::world::play::{Play, pattern};
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);
/// AWS's 29 s for the integration, and what an edge grants on top for the way.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn without_its_region_an_edge_serves_what_is_fresh_and_refuses_the_rest() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2).ttl_seconds(180)).await;
        cluster.backend.on("/cached/a", Play::text("fresh"));
        for edge in ["edge-1", "edge-2"] {
            cluster.get(edge, "/cached/a").await;
        }
        cluster.crash("region").await;

        let refused = async |edge: &str, path: &str| {
            let before = world.elapsed();
            let answer = cluster.get(edge, path).await;
            assert!([503, 504].contains(&answer.status.as_u16()), "{}", answer.status);
            assert!(world.elapsed() - before <= DEADLINE + SECOND);
        };
        // At once, and when everybody has noticed.
        for _ in 0..2 {
            for edge in ["edge-1", "edge-2"] {
                let hit = cluster.get(edge, "/cached/a").await;
                assert_eq!(
                    (hit.text(), hit.header("x-cache")),
                    ("fresh", Some("Hit from tidegate"))
                );
                refused(edge, "/cached/b").await;
                refused(edge, "/open/b").await;
            }
            sleep(30 * SECOND).await;
        }
        // The tunnel is known to be down: nobody waits long for the refusal.
        let before = world.elapsed();
        let answer = cluster.get("edge-1", "/open/b").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.text(), r#"{"message":"Service Unavailable"}"#);
        assert!(world.elapsed() - before < 3 * SECOND);
        let calls = cluster.backend.calls_of_all();

        cluster.restart("region").await;
        cluster.settled().await;
        for edge in ["edge-1", "edge-2"] {
            // The tunnel comes back within its longest pause and a dial.
            let mut answer = cluster.get(edge, "/open/b").await;
            for _ in 0..20 {
                if answer.status != 503 {
                    break;
                }
                sleep(SECOND).await;
                answer = cluster.get(edge, "/open/b").await;
            }
            assert_eq!(answer.text(), "backend: /open/b");
            // Fresh still: the restart purged nothing.
            assert_eq!(cluster.get(edge, "/cached/a").await.text(), "fresh");
        }
        assert_eq!(cluster.backend.calls_of_all(), calls + 2);
        // What was fresh has its time, region or not.
        sleep(180 * SECOND).await;
        cluster.backend.on("/cached/a", Play::text("later"));
        assert_eq!(cluster.get("edge-1", "/cached/a").await.text(), "later");
    });
}

/// Calls that wait for a dead region are refused as soon as it is known to be dead, and it is known
/// soon; from then on nobody waits at all.
#[test]
fn a_dead_region_is_noticed_within_seconds() {
    /// A keep-alive's interval, the idle time, the wait for another connection, and a round trip.
    const NOTICED_WITHIN: Duration = Duration::from_millis(6_000);
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        // Quiet for a while: the silence is noticed without a call.
        sleep(30 * SECOND).await;
        cluster.crash("region").await;
        let before = world.elapsed();
        let miss = async |edge: &str, path: &str| {
            let answer = cluster.get(edge, path).await;
            assert_eq!(answer.status, 503, "{edge}{path}");
        };
        tokio::join!(miss("edge-1", "/open/a"), miss("edge-1", "/cached/a"), async {
            let down = || cluster.metric("edge-2", "tidegate_tunnel_connected") < 1.0;
            cluster.until(NOTICED_WITHIN, "the idle edge notices", down).await;
        });
        assert!(world.elapsed() - before <= NOTICED_WITHIN, "{:?}", world.elapsed() - before);

        sleep(SECOND).await;
        let before = world.elapsed();
        miss("edge-1", "/open/a").await;
        miss("edge-2", "/cached/a").await;
        assert!(world.elapsed() - before < SECOND / 2, "{:?}", world.elapsed() - before);
    });
}

/// A region that is back before it was missed says so at the first packet (a stateless reset).
#[test]
fn a_region_that_restarts_at_once_is_found_at_once() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        sleep(30 * SECOND).await;
        cluster.crash("region").await;
        cluster.restart("region").await;
        let before = world.elapsed();
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
        assert!(world.elapsed() - before < 2 * SECOND, "{:?}", world.elapsed() - before);
    });
}

/// Addresses where nobody answers cost a fraction of a second each time, not a timeout each.
#[test]
fn dead_addresses_of_the_region_cost_little() {
    simulate(&[1, 2], async |world| {
        let shape = Shape::edges(1).dials(&["10.0.9.1:4701", "10.0.9.2:4701", "10.0.0.1:4701"]);
        let cluster = Cluster::start(world, &shape).await;
        let up = || cluster.metric("edge-1", "tidegate_tunnel_connected") > 0.0;
        for round in 0..3 {
            cluster.crash("region").await;
            cluster.until(10 * SECOND, "the tunnel is down", || !up()).await;
            cluster.restart("region").await;
            let before = world.elapsed();
            // The longest pause, two dead addresses, and the handshake.
            cluster.until(4 * SECOND, "the tunnel is up again", up).await;
            let took = world.elapsed() - before;
            assert!(took < 4 * SECOND, "round {round}: {took:?}");
        }
    });
}

/// The tunnel's short patience must not make it nervous.
#[test]
fn neither_loss_nor_a_stall_ends_the_tunnel() {
    simulate(&[1, 2, 3], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let connects = || cluster.metric("edge-1", "tidegate_tunnel_connects_total");
        let before = connects();
        assert!(before >= 1.0);
        world.link("edge-1", "region", Link::delay_ms(40).jitter_ms(10).loss(0.01));
        sleep(200 * SECOND).await;
        // A machine that stalls sends nothing and answers nothing.
        for _ in 0..10 {
            world.partition("edge-1", "region");
            sleep(2 * SECOND).await;
            world.heal("edge-1", "region");
            sleep(3 * SECOND).await;
        }
        assert!(connects() - before < 0.5, "the tunnel was made anew");
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
    });
}

/// Calls in flight are answered, well or ill, when their region dies; nobody hangs.
#[test]
fn calls_in_flight_end_when_the_region_dies() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/open/slow", Play::text("late").after(20 * SECOND));
        let connection = cluster.connect(Protocol::Http2, "edge-1").await;
        let calls = join_all((0..20).map(|_| {
            let mut connection = connection.share();
            async move { connection.get(&format!("/{STAGE}/open/slow")).await.unwrap() }
        }));
        let before = world.elapsed();
        let (answers, ()) = tokio::join!(calls, async {
            sleep(SECOND).await;
            cluster.crash("region").await;
        });
        assert!(world.elapsed() - before <= DEADLINE + SECOND);
        for answer in answers {
            assert!([503, 504].contains(&answer.status.as_u16()), "{}", answer.status);
        }
    });
}

/// An answer that breaks off at the edge must look broken to the client, not short.
#[test]
fn a_body_cut_off_by_the_regions_death_looks_cut_off() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/streamed/drip", Play::drip(1000, 100, SECOND));
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let request = Request::get(format!("/{STAGE}/streamed/drip")).body(empty()).unwrap();
            let mut answer = client.send(request).await.unwrap();
            assert_eq!(answer.piece().await.unwrap().unwrap(), pattern(0, 1000));
            cluster.crash("region").await;
            let end = loop {
                match answer.piece().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert!(end.is_err(), "{protocol:?}: a cut body ended as if it were whole");
            cluster.restart("region").await;
            cluster.settled().await;
        }
    });
}

#[test]
fn an_edge_comes_back_after_a_crash() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.get("edge-1", "/cached/a").await;
        cluster.crash("edge-1").await;
        // The other edge notices nothing.
        assert_eq!(cluster.get("edge-2", "/cached/a").await.status, 200);
        assert_eq!(cluster.get("edge-2", "/open/a").await.status, 200);
        cluster.restart("edge-1").await;
        assert_eq!(cluster.get("edge-1", "/open/a").await.text(), "backend: /open/a");
        // The region's cache has what the edge lost with its memory.
        assert_eq!(cluster.get("edge-1", "/cached/a").await.status, 200);
        assert_eq!(cluster.backend.calls("/cached/a"), 1);
    });
}

#[test]
fn an_edge_starts_from_its_disk_while_the_region_is_away() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let epoch = cluster.status("edge-1").config_epoch;
        cluster.stop("edge-1").await;
        cluster.crash("region").await;
        cluster.restart("edge-1").await;
        assert_eq!(cluster.node("edge-1").ready(), Ok(()));
        // It knows the API: an unknown route is told from one it cannot serve now.
        assert_eq!(cluster.get("edge-1", "/unknown").await.status, 403);
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 503);
        assert_eq!(cluster.status("edge-1").config_epoch, epoch);

        cluster.restart("region").await;
        cluster.settled().await;
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
        assert_eq!(cluster.status("edge-1").config_epoch, epoch, "nothing changed");
    });
}

#[test]
fn a_damaged_copy_on_disk_is_not_served() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.crash("edge-1").await;
        let mut damaged = 0;
        for part in walk(&cluster.folder().join("edge-1").join("parts")) {
            let mut bytes = std::fs::read(&part).unwrap();
            if let Some(last) = bytes.last_mut() {
                *last ^= 0x55;
            }
            std::fs::write(&part, bytes).unwrap();
            damaged += 1;
        }
        assert!(damaged > 0, "there are no parts to damage");
        world.isolate("edge-1");
        cluster.restart("edge-1").await;
        world.isolate("edge-1");
        assert!(cluster.node("edge-1").ready().is_err());
        world.rejoin("edge-1");
        world.heal("edge-1", "client");
        cluster.settled().await;
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
    });
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_new_nat_mapping_costs_no_call() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let mut client = cluster.connect(Protocol::Http1, "edge-1").await;
        for round in 0..6 {
            if round % 2 == 1 {
                world.rebind_nat("edge-1");
            }
            for _ in 0..5 {
                let answer = client.get(&format!("/{STAGE}/open/a")).await.unwrap();
                assert_eq!(answer.status, 200, "round {round}");
                sleep(SECOND / 2).await;
            }
        }
    });
}

/// Every protocol through a bad link: slow and bent, but not wrong.
#[test]
fn loss_and_jitter_cost_time_only() {
    simulate(&[1, 2, 3], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        for edge in ["edge-1", "edge-2"] {
            world.link(edge, "region", Link::delay_ms(40).jitter_ms(20).loss(0.05).doubled(0.01));
            world.link(edge, "client", Link::delay_ms(20).jitter_ms(10).loss(0.05));
        }
        cluster.backend.on("/open/big", Play::bytes(300_000));
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            for edge in ["edge-1", "edge-2"] {
                let mut client = cluster.connect(protocol, edge).await;
                for n in 0..10 {
                    let path = format!("/{STAGE}/cached/{protocol:?}-{}", n % 3);
                    assert_eq!(client.get(&path).await.unwrap().status, 200);
                }
                let answer = client.get(&format!("/{STAGE}/open/big")).await.unwrap();
                assert!(answer.body == pattern(0, 300_000), "{protocol:?}");
            }
        }
        assert_eq!(cluster.backend.calls_of_all(), 3 * 3 + 6);
    });
}
