//! Nodes over the loopback interface.

use bytes::Bytes;
use tokio::runtime::Handle;

use super::peers::Peers;
use super::*;
use crate::net::ca::{ClusterCa, Role};
use crate::net::socket::Machine;

const INTERVAL: Duration = Duration::from_millis(100);
/// Longer than anything here takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    folder: tempfile::TempDir,
    ca: ClusterCa,
}

/// A node with tasks of its own, so that it can be stopped alone.
struct Node {
    gossip: Gossip,
    tasks: Tasks,
}

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = ClusterCa::init(folder.path(), "harbour", &Clock::system()).unwrap();
        Self { folder, ca }
    }

    fn certificate(&self, role: Role, name: &str) -> NodeCertificate {
        self.ca.issue(role, name, self.folder.path(), &Clock::system()).unwrap()
    }

    fn node(&self, role: Role, name: &str, listen: SocketAddr, seeds: &[SocketAddr]) -> Node {
        let tasks = Tasks::new(Handle::current());
        let mut config = Config::new(listen);
        config.interval = INTERVAL;
        config.seeds = seeds.iter().map(SocketAddr::to_string).collect();
        config.values = vec![(Key::Pop, format!("POP-{name}"))];
        let certificate = self.certificate(role, name);
        let network = Arc::new(Machine);
        let clock = Clock::system();
        let gossip = Gossip::start(config, network, &certificate, &tasks, &clock).unwrap();
        Node { gossip, tasks }
    }
}

impl Node {
    /// Waits for a view of all nodes that satisfies the condition.
    async fn sees(&self, what: &str, condition: impl Fn(&[NodeView]) -> bool) {
        let mut views = self.gossip.watch();
        let waiting = views.wait_for(|views| condition(views));
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{what} was not seen; {:#?}", self.gossip.nodes());
        }
    }

    async fn stop(self) {
        self.tasks.stopped().cancel();
        tokio::time::timeout(PATIENCE, self.tasks.ended()).await.unwrap();
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn alive(views: &[NodeView]) -> usize {
    views.iter().filter(|view| view.alive).count()
}

fn find<'a>(views: &'a [NodeView], name: &str) -> Option<&'a NodeView> {
    views.iter().find(|view| view.name == name)
}

/// A region and two edges that know the region only.
async fn three() -> (Cluster, [Node; 3]) {
    let cluster = Cluster::new();
    let region = cluster.node(Role::Region, "region", loopback(), &[]);
    let seeds = [region.gossip.address()];
    let first = cluster.node(Role::Edge, "edge-1", loopback(), &seeds);
    let second = cluster.node(Role::Edge, "edge-2", loopback(), &seeds);
    for node in [&region, &first, &second] {
        node.sees("all three", |views| alive(views) == 3).await;
    }
    (cluster, [region, first, second])
}

#[tokio::test]
async fn nodes_find_each_other_and_learn_what_each_says() {
    let (_cluster, [region, first, second]) = three().await;
    let told = |views: &[NodeView]| {
        let view = find(views, "edge-1");
        view.is_some_and(|view| {
            view.get(Key::Role) == Some("edge") && view.get(Key::Pop) == Some("POP-edge-1")
        })
    };
    second.sees("what edge-1 says", told).await;

    region.gossip.set(Key::PurgeHead, "17");
    for node in [&first, &second] {
        node.sees("the purge", |views| {
            find(views, "region").is_some_and(|view| view.get(Key::PurgeHead) == Some("17"))
        })
        .await;
    }
    // A value too long is not said, and what was said stays.
    region.gossip.set(Key::PurgeHead, &"9".repeat(VALUE_BYTES_MAX + 1));
    region.gossip.set(Key::ConfigEpoch, "4");
    first
        .sees("the epoch", |views| {
            find(views, "region").is_some_and(|view| {
                view.get(Key::ConfigEpoch) == Some("4") && view.get(Key::PurgeHead) == Some("17")
            })
        })
        .await;
}

#[tokio::test]
async fn a_node_that_goes_is_dead_and_one_that_returns_is_alive() {
    let (cluster, [region, first, second]) = three().await;
    let address = second.gossip.address();
    second.gossip.leave().await;
    region
        .sees("edge-2 leaving", |views| find(views, "edge-2").is_some_and(NodeView::is_leaving))
        .await;
    second.stop().await;
    for node in [&region, &first] {
        node.sees("edge-2 dead", |views| find(views, "edge-2").is_some_and(|view| !view.alive))
            .await;
    }
    let seen = |node: &Node| find(&node.gossip.nodes(), "edge-2").unwrap().last_seen;
    let before = seen(&region);

    let _second = cluster.node(Role::Edge, "edge-2", address, &[region.gossip.address()]);
    for node in [&region, &first] {
        node.sees("edge-2 alive", |views| {
            find(views, "edge-2").is_some_and(|view| view.alive && !view.is_leaving())
        })
        .await;
        assert_eq!(node.gossip.nodes().len(), 3, "one view per name");
    }
    assert!(seen(&region) > before);
}

#[tokio::test]
async fn a_node_of_another_cluster_gets_nowhere() {
    let (_cluster, [region, first, _second]) = three().await;
    // Same cluster name, same roles, another CA.
    let foreign = Cluster::new();
    let seeds = [region.gossip.address(), first.gossip.address()];
    let stranger = foreign.node(Role::Edge, "edge-9", loopback(), &seeds);
    // It has to be seen failing, so wait many rounds.
    tokio::time::sleep(INTERVAL * 20).await;
    assert_eq!(stranger.gossip.nodes().len(), 1, "it knows itself only");
    for node in [&region, &first] {
        assert!(find(&node.gossip.nodes(), "edge-9").is_none());
    }
}

/// With the certificate of an edge, someone claims the address of the region.
#[tokio::test]
async fn an_address_in_use_cannot_be_taken_over() {
    let (cluster, [region, first, _second]) = three().await;
    let thief = cluster.certificate(Role::Edge, "edge-3");
    let streams = PeerStreams { bidirectional: 0, unidirectional: 16 };
    let clock = Clock::system();
    let client = quic::client_config(&thief, Protocol::Gossip, streams, None, &clock).unwrap();
    let endpoint = quic::endpoint(&Machine, loopback(), &thief, None, &Handle::current()).unwrap();
    let connecting =
        endpoint.connect_with(client, first.gossip.address(), quic::server_name()).unwrap();
    let connection = connecting.await.unwrap();
    let mut introduction = connection.open_uni().await.unwrap();
    introduction.write_all(region.gossip.address().to_string().as_bytes()).await.unwrap();
    introduction.finish().unwrap();
    let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    assert!(closed.to_string().contains("which is region's"), "{closed}");
}

/// After a restart chitchat remembers our former life, which had the address that is ours.
#[tokio::test]
async fn a_node_does_not_dial_itself() {
    let cluster = Cluster::new();
    let certificate = cluster.certificate(Role::Edge, "edge-1");
    let endpoint =
        quic::endpoint(&Machine, loopback(), &certificate, None, &Handle::current()).unwrap();
    let own = endpoint.local_addr().unwrap();
    let tasks = Tasks::new(Handle::current());
    let peers = Peers::new(endpoint, own, certificate.identity(), &tasks);
    peers.send(own, Bytes::from_static(b"hello"));
    assert_eq!(peers.count(), 0);
    peers.send(loopback(), Bytes::from_static(b"hello"));
    assert_eq!(peers.count(), 1, "others are dialed");
    tasks.stopped().cancel();
}

/// Messages beyond a datagram travel as streams.
#[tokio::test]
async fn long_tables_travel_too() {
    let cluster = Cluster::new();
    let region = cluster.node(Role::Region, "region", loopback(), &[]);
    for (at, key) in Key::ALL.iter().enumerate() {
        if ![Key::Role, Key::State, Key::StartedAt].contains(key) {
            // Text that does not compress: a small generator's digits.
            let mut state = at as u64 + 1;
            let noise: String = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'!' + ((state >> 33) % 90) as u8)
            })
            .take(VALUE_BYTES_MAX)
            .collect();
            region.gossip.set(*key, &noise);
        }
    }
    let edge = cluster.node(Role::Edge, "edge-1", loopback(), &[region.gossip.address()]);
    edge.sees("all long values", |views| {
        find(views, "region").is_some_and(|view| {
            let long =
                |key: &&Key| view.get(**key).is_some_and(|value| value.len() == VALUE_BYTES_MAX);
            Key::ALL.iter().filter(long).count() == Key::ALL.len() - 3
        })
    })
    .await;
}

#[test]
fn key_names_are_unique_and_few() {
    let names: std::collections::BTreeSet<_> = Key::ALL.iter().map(|key| key.as_str()).collect();
    assert_eq!(names.len(), Key::ALL.len());
    assert!(names.len() <= 32);
}
