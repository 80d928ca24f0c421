//! Who belongs to the cluster, who is alive, and how one leaves it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use tidegate::model::ids::NodeName;
use tidegate::node::config::{EdgeConfig, NodeConfig};
use tidegate::node::identity::{Authorities, Identity};
use tidegate::node::{self, Node};
use tokio::time::sleep;

use crate::world::client::{Protocol, empty};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::play::{Play, pattern};
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn status_tells_the_living_from_the_dead() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        let alive = |from: &str, of: &str| cluster.view(from, of).is_some_and(|node| node.alive);
        cluster
            .until(30 * SECOND, "all see all", || {
                let all = ["region", "edge-1", "edge-2"];
                all.iter().all(|from| all.iter().all(|of| alive(from, of)))
            })
            .await;
        let seen = cluster.view("edge-2", "edge-1").unwrap();
        assert_eq!((seen.role.as_str(), seen.pop.as_deref()), ("edge", Some("edge-1")));
        assert_eq!(cluster.view("edge-2", "region").unwrap().role, "region");

        cluster.crash("edge-1").await;
        cluster
            .until(60 * SECOND, "the dead node is seen as dead", || {
                !alive("region", "edge-1") && !alive("edge-2", "edge-1")
            })
            .await;
        // Dead is not forgotten, and the living stay alive.
        assert!(cluster.view("region", "edge-1").is_some());
        assert!(alive("region", "edge-2") && alive("edge-2", "region"));

        cluster.restart("edge-1").await;
        cluster
            .until(60 * SECOND, "it is alive again", || {
                alive("region", "edge-1") && alive("edge-2", "edge-1") && alive("edge-1", "region")
            })
            .await;
        let names = cluster.node("region").status().nodes;
        assert_eq!(names.len(), 3, "a restarted node is one node: {names:?}");
    });
}

#[test]
fn a_node_that_leaves_is_seen_to_leave_at_once() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        sleep(5 * SECOND).await;
        let before = world.elapsed();
        cluster.stop("edge-1").await;
        let left = |from: &str| cluster.view(from, "edge-1").is_some_and(|node| !node.alive);
        cluster
            .until(5 * SECOND, "its leaving is known", || left("region") && left("edge-2"))
            .await;
        assert!(world.elapsed() - before < 10 * SECOND);
    });
}

/// A farewell is for those who stay: nodes that stop together do not wait for each other's ears.
#[test]
fn a_cluster_that_stops_as_a_whole_takes_a_second() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        sleep(5 * SECOND).await;
        let before = world.elapsed();
        cluster.stop_all().await;
        let took = world.elapsed() - before;
        assert!(took < SECOND, "{took:?}");
    });
}

/// An edge that is in no topology, on a host of its own, with this identity.
async fn intruder(
    cluster: &Cluster<'_>,
    identify: impl FnOnce(&NodeConfig) -> Identity,
) -> (Node, SocketAddr) {
    let NodeConfig::Edge(mut edge) = cluster.config("edge-1") else { panic!("it is an edge") };
    let host = cluster.world.host("edge-9", "10.0.9.9");
    let EdgeConfig { common, public, .. } = &mut *edge;
    common.name = NodeName::new("edge-9");
    common.data = cluster.folder().join("intruder");
    common.gossip.listen = host.at(4711);
    common.gossip.advertise = host.at(4711);
    common.gossip.seeds = vec!["10.0.0.1:4702".parse().unwrap(), "10.0.1.1:4711".parse().unwrap()];
    *public = host.at(8443);
    let door = *public;
    let config = NodeConfig::Edge(edge);
    let identity = identify(&config);
    let node = node::start(config, identity, cluster.environment(host)).await.unwrap();
    (node, door)
}

/// Nothing of the cluster came to the intruder, and nothing of it to the cluster.
async fn got_nowhere(cluster: &Cluster<'_>, node: &Node) {
    sleep(30 * SECOND).await;
    assert!(node.ready().is_err(), "it got a configuration");
    assert!(node.apis().is_empty());
    let text = node.metrics();
    assert!(text.contains("tidegate_tunnel_connected{peer=\"region\"} 0"), "{text}");
    let seen = node.status().nodes;
    assert!(seen.iter().all(|other| other.name == "edge-9"), "it sees {seen:?}");
    for own in ["region", "edge-1"] {
        assert!(cluster.view(own, "edge-9").is_none(), "{own} sees it");
    }
    let confirmed = cluster.purge(None).await.nodes;
    assert!(confirmed.iter().all(|node| node.confirmed && node.name != "edge-9"), "{confirmed:?}");
}

#[test]
fn a_node_of_another_cluster_gets_nowhere() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        // The same names, another authority.
        let folder = cluster.folder().join("other-ca");
        let other = Authorities::init(&folder, "world", cluster.clock()).unwrap();
        let (node, _) = intruder(&cluster, |config| {
            other.issue(config, &config.common().data, cluster.clock()).unwrap()
        })
        .await;
        got_nowhere(&cluster, &node).await;
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
        node.kill().await;
    });
}

/// A proper member without the edge's role gossips, and gets no tunnel.
#[test]
fn the_tunnel_is_for_edges_only() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let (node, _) = intruder(&cluster, |config| {
            let NodeConfig::Region(mut region) = cluster.config("region") else {
                panic!("it is the region")
            };
            region.common.name = NodeName::new("edge-9");
            let certificate =
                cluster.issue(&NodeConfig::Region(region), &config.common().data).certificate;
            let https = cluster.issue(config, &cluster.folder().join("https")).https;
            Identity { certificate, https }
        })
        .await;
        sleep(30 * SECOND).await;
        assert!(node.ready().is_err() && node.apis().is_empty(), "it got a configuration");
        let text = node.metrics();
        assert!(text.contains("tidegate_tunnel_connected{peer=\"region\"} 0"), "{text}");
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
        node.kill().await;
    });
}

/// Every protocol's call in flight ends well while its edge stops.
#[test]
fn an_edge_that_stops_finishes_its_calls() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        cluster.backend.on("/open/slow", Play::drip(1000, 10, SECOND).after(3 * SECOND));
        let mut clients = Vec::new();
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            clients.push(cluster.connect(protocol, "edge-1").await);
        }
        let door = cluster.door("edge-1");
        let calls = join_all(clients.iter_mut().map(async |client| {
            let request = Request::get(format!("/{STAGE}/open/slow")).body(empty()).unwrap();
            client.send(request).await?.whole().await
        }));
        let stop = async {
            sleep(SECOND).await;
            let before = world.elapsed();
            cluster.stop("edge-1").await;
            world.elapsed() - before
        };
        let newcomer = async {
            sleep(4 * SECOND).await;
            cluster.client.connect(Protocol::Http1, door, &cluster.host_name()).await
        };
        let (answers, took, refused) = tokio::join!(calls, stop, newcomer);
        for answer in answers {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == pattern(0, 10_000));
        }
        assert!(took < 25 * SECOND, "it stopped after {took:?}, the calls after 13 s");
        assert!(refused.is_err(), "an edge that stops takes nobody in");
    });
}

#[test]
fn a_region_that_stops_finishes_the_calls_of_its_edges() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/open/slow", Play::drip(1000, 5, SECOND).after(3 * SECOND));
        let call = cluster.get("edge-1", "/open/slow");
        let stop = async {
            sleep(SECOND).await;
            cluster.stop("region").await;
        };
        let (answer, ()) = tokio::join!(call, stop);
        assert_eq!(answer.status, 200);
        assert!(answer.body == pattern(0, 5000));
        cluster.restart("region").await;
        cluster.settled().await;
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
    });
}

/// Grace is over some time: a call that never ends does not hold the node for ever.
#[test]
fn an_endless_call_does_not_keep_a_node_from_stopping() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/streamed/endless", Play::drip(10, 100_000, SECOND));
        let mut client = cluster.connect(Protocol::Http2, "edge-1").await;
        let request = Request::get(format!("/{STAGE}/streamed/endless")).body(empty()).unwrap();
        let mut answer = client.send(request).await.unwrap();
        assert_eq!(answer.piece().await.unwrap().unwrap().len(), 10);
        let before = world.elapsed();
        let reading = async { while let Ok(Some(_)) = answer.piece().await {} };
        tokio::join!(cluster.stop("edge-1"), reading);
        assert!(world.elapsed() - before < 45 * SECOND);
    });
}
