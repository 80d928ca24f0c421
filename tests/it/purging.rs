//! A purge is a promise: once it was acknowledged, no node serves what was begun before it, even
//! one that was filling, cut off or down at the time.

use std::time::Duration;

use tokio::time::sleep;

use crate::world::cluster::{Cluster, Shape};
use crate::world::play::Play;
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);

/// Lets every edge keep the answer, and makes the backend say something else from then on.
async fn outdate(cluster: &Cluster<'_>, path: &str, edges: &[&str]) {
    cluster.backend.on(path, Play::text("old"));
    for edge in edges {
        assert_eq!(cluster.get(edge, path).await.text(), "old");
        assert_eq!(cluster.get(edge, path).await.header("x-cache"), Some("Hit from tidegate"));
    }
    cluster.backend.on(path, Play::text("new"));
}

fn confirmed(outcome: &tidegate::admin::http::PurgeOutcome) -> Vec<(&str, bool)> {
    let mut nodes: Vec<(&str, bool)> =
        outcome.nodes.iter().map(|node| (node.name.as_str(), node.confirmed)).collect();
    nodes.sort_unstable();
    nodes
}

#[test]
fn a_purge_reaches_every_node_before_it_is_confirmed() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(3)).await;
        let edges = ["edge-1", "edge-2", "edge-3"];
        outdate(&cluster, "/cached/a", &edges).await;
        let outcome = cluster.purge(None).await;
        assert_eq!(outcome.seq, 1);
        let all = [("edge-1", true), ("edge-2", true), ("edge-3", true), ("region", true)];
        assert_eq!(confirmed(&outcome), all);
        for edge in edges {
            assert_eq!(cluster.get(edge, "/cached/a").await.text(), "new");
        }
        assert_eq!(cluster.backend.calls("/cached/a"), 2);
        cluster.settled().await;
        for node in ["region", "edge-1", "edge-2", "edge-3"] {
            assert_eq!(cluster.status(node).purge_seq, 1, "{node}");
        }
    });
}

#[test]
fn a_glob_drops_what_it_matches_and_nothing_else() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        let paths = ["/cached/pets/1", "/cached/pets/12", "/cached/pets/2/toys", "/cached/shops/1"];
        for path in paths {
            outdate(&cluster, path, &["edge-1", "edge-2"]).await;
        }
        cluster.purge(Some("/cached/pets/?")).await;
        assert_eq!(cluster.get("edge-1", "/cached/pets/1").await.text(), "new");
        assert_eq!(cluster.get("edge-1", "/cached/pets/12").await.text(), "old");
        cluster.purge(Some("/cached/pets/*")).await;
        for edge in ["edge-1", "edge-2"] {
            let mut now = Vec::new();
            for path in paths {
                now.push(cluster.get(edge, path).await.text().to_owned());
            }
            // `*` does not stop at a slash.
            assert_eq!(now, ["new", "new", "new", "old"], "{edge}");
        }
        cluster.purge(Some("*")).await;
        for path in paths {
            assert_eq!(cluster.get("edge-1", path).await.text(), "new");
        }
    });
}

/// The old answer is on its way while it is purged. Who asked before may get it; nobody after.
#[test]
fn a_purge_wins_against_a_fill_under_way() {
    simulate(&[1, 2, 3, 4], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.backend.on("/cached/a", Play::text("old").after(2 * SECOND));
        // At different moments of the fill: before, at and after the backend's answer.
        let moment = Duration::from_millis(250 + 450 * (world.seed() % 5));
        let asked_before = cluster.get("edge-1", "/cached/a");
        let purge = async {
            sleep(moment).await;
            cluster.backend.on("/cached/a", Play::text("new"));
            cluster.purge(Some("/cached/a")).await;
            for _ in 0..3 {
                for edge in ["edge-1", "edge-2"] {
                    assert_eq!(cluster.get(edge, "/cached/a").await.text(), "new");
                }
            }
        };
        let (before, ()) = tokio::join!(asked_before, purge);
        assert_eq!(before.text(), "old");
        sleep(10 * SECOND).await;
        for edge in ["edge-1", "edge-2"] {
            assert_eq!(cluster.get(edge, "/cached/a").await.text(), "new");
        }
    });
}

#[test]
fn an_edge_cut_off_during_a_purge_never_serves_the_old_answer_afterwards() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        outdate(&cluster, "/cached/a", &["edge-1", "edge-2"]).await;
        world.partition("edge-1", "region");
        world.partition("edge-1", "edge-2");
        let outcome = cluster.purge(None).await;
        let late = [("edge-1", false), ("edge-2", true), ("region", true)];
        assert_eq!(confirmed(&outcome), late);
        // It cannot know, and what it has is fresh.
        assert_eq!(cluster.get("edge-1", "/cached/a").await.text(), "old");
        assert_eq!(cluster.get("edge-2", "/cached/a").await.text(), "new");

        // For the length of an idle timeout and longer, so that reconnects are met, too.
        sleep(10 * u32::try_from(world.seed()).unwrap() * SECOND).await;
        world.rejoin("edge-1");
        // Healed, and the purge on its way: old answers until it arrives, none after a new one.
        let healed = world.elapsed();
        let mut renewed = false;
        while world.elapsed() - healed < 25 * SECOND {
            let answer = cluster.get("edge-1", "/cached/a").await;
            assert_eq!(answer.status, 200);
            renewed |= answer.text() == "new";
            assert_eq!(answer.text() == "new", renewed, "the old answer came back");
            let confirmed = cluster.status("edge-1").purge_seq == 1;
            assert!(!confirmed || renewed, "it said it had dropped the old answer");
            sleep(SECOND / 10).await;
        }
        assert!(renewed, "the purge never reached it");
    });
}

#[test]
fn an_edge_that_was_down_during_a_purge_learns_of_it_before_it_serves() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        outdate(&cluster, "/cached/a", &["edge-1", "edge-2"]).await;
        cluster.crash("edge-1").await;
        cluster.purge(None).await;
        cluster.restart("edge-1").await;
        assert_eq!(cluster.get("edge-1", "/cached/a").await.text(), "new");
        cluster.settled().await;
        assert_eq!(cluster.status("edge-1").purge_seq, 1);
    });
}

#[test]
fn purges_survive_the_regions_crash() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        outdate(&cluster, "/cached/a", &["edge-1", "edge-2"]).await;
        world.isolate("edge-1");
        assert_eq!(cluster.purge(None).await.seq, 1);
        cluster.crash("region").await;
        cluster.restart("region").await;
        world.rejoin("edge-1");
        cluster.settled().await;
        assert_eq!(cluster.status("edge-1").purge_seq, 1);
        assert_eq!(cluster.get("edge-1", "/cached/a").await.text(), "new");
        // The numbers go on where they were.
        assert_eq!(cluster.purge(None).await.seq, 2);
    });
}

/// A region that lost its folder counts its purges anew; edges must not take its small numbers
/// for old news.
#[test]
fn purges_count_after_the_region_lost_its_data() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        for _ in 0..3 {
            cluster.purge(None).await;
        }
        cluster.crash("region").await;
        std::fs::remove_dir_all(cluster.folder().join("region")).unwrap();
        cluster.restart("region").await;
        // It notices, takes over the new numbering, and drops what it has from under the old one.
        sleep(30 * SECOND).await;
        outdate(&cluster, "/cached/a", &["edge-1"]).await;
        let outcome = cluster.purge(None).await;
        assert_eq!(outcome.seq, 1);
        assert_eq!(confirmed(&outcome), [("edge-1", true), ("region", true)]);
        assert_eq!(cluster.get("edge-1", "/cached/a").await.text(), "new");
    });
}
