//! Certificates end; nodes do not.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::net::ca::{NODE_LIFETIME, NodeCertificate, Validity};
use tidegate::net::clock::{Clock, Timestamp};
use tidegate::node::config::NodeConfig;
use tidegate::node::identity::Authorities;
use tidegate::topology::{self, Overrides};
use tokio::time::sleep;

use crate::world::cluster::{Cluster, Shape};
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Ends of a node's certificates, by file.
fn ends(nodes: &[NodeConfig]) -> BTreeMap<String, Timestamp> {
    let of = |node: &NodeConfig| {
        let (name, data) = (node.common().name.to_string(), node.common().data.clone());
        let https = std::fs::read_to_string(data.join(format!("{name}-https.pem"))).unwrap();
        // Loading proves that certificate and key belong together.
        let own = NodeCertificate::load(&data, &name).unwrap().validity();
        [(format!("{name}-https"), Validity::of(&https).unwrap().ends), (name, own.ends)]
    };
    nodes.iter().flat_map(of).collect()
}

/// `up` issues certificates, so it also renews them, however long it runs.
#[tokio::test(start_paused = true)]
async fn certificates_are_renewed_while_nodes_run() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = Overrides { data: Some(folder.path().to_owned()), port_base: None };
    let text = topology::bundled();
    let topology = topology::read_text("one-box.toml", folder.path(), text, &overrides).unwrap();
    let nodes = topology.nodes();
    let clock = Clock::tokio(1_800_000_000_000);
    let authorities = Authorities::init(&folder.path().join("ca"), "here", &clock).unwrap();
    for node in &nodes {
        authorities.issue(node, &node.common().data, &clock).unwrap();
    }
    let first = ends(&nodes);
    let observing = async {
        sleep(200 * DAY).await;
        assert_eq!(ends(&nodes), first, "nothing was due");
        // Three years: several lives of certificates.
        for _ in 0..30 {
            sleep(37 * DAY).await;
            for (file, end) in ends(&nodes) {
                assert!(end.since(clock.now()) > NODE_LIFETIME / 4, "{file} was not renewed");
            }
        }
    };
    tokio::select! {
        () = authorities.keep_renewed(&nodes, &clock) => panic!("it ended"),
        () = observing => {}
    }
}

/// A node takes renewed files while it runs: its next handshake shows what they hold.
#[test]
fn a_running_node_takes_renewed_certificates() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        // The edges' certificates, as issued so long ago that they end in some minutes.
        let passed = u64::try_from((NODE_LIFETIME - 300 * SECOND).as_millis()).unwrap();
        let old = Clock::manual(cluster.clock().now().as_millis() - passed);
        for edge in ["edge-1", "edge-2"] {
            cluster.stop(edge).await;
            std::fs::remove_file(cluster.folder().join(edge).join(format!("{edge}.pem"))).unwrap();
            let identity = cluster.issue_at(edge, &old);
            let ends = identity.certificate.validity().ends;
            assert!(ends.since(cluster.clock().now()) <= 300 * SECOND);
            cluster.restart_as(edge, identity).await;
        }
        cluster.settled().await;
        let renewed = cluster.issue_at("edge-1", cluster.clock());
        assert!(renewed.certificate.validity().ends.since(cluster.clock().now()) > 300 * DAY);
        sleep(400 * SECOND).await;

        // Handshakes anew: what was shown before would be refused.
        cluster.crash("region").await;
        cluster.restart("region").await;
        let up = |edge: &str| cluster.metric(edge, "tidegate_tunnel_connected") > 0.0;
        cluster.until(30 * SECOND, "the renewed edge is let in", || up("edge-1")).await;
        sleep(30 * SECOND).await;
        assert!(up("edge-1"));
        assert!(!up("edge-2"), "an expired certificate was believed");
        assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
    });
}
