//! Connections: who is let in, what happens when they break, what is told over them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::*;
use crate::net::quic::{self, PeerStreams, Protocol};

async fn name_of_edge(tunnel: &Tunnel) -> String {
    let sent = tunnel.forward(call(Method::GET, "/name"), Body::Empty);
    text(soon(sent).await.unwrap().1).await
}

#[tokio::test]
async fn news_reaches_edges_and_reports_come_back() {
    let (edges, tunnel, mut events) = pair(Deeds::default()).await;
    edges.push(Push::Config { epoch: 3 });
    assert_eq!(soon(events.recv()).await, Some(Event::Push(Push::Config { epoch: 3 })));
    edges.push(Push::Purge { seq: 9 });
    assert_eq!(soon(events.recv()).await, Some(Event::Push(Push::Purge { seq: 9 })));
    tunnel.report(Report::Applied { epoch: 3 });

    let late = edges.confirmed(9, Duration::from_millis(100)).await;
    assert_eq!(late, [(NodeName::new("edge-1"), false)]);
    let waiting = edges.confirmed(9, PATIENCE);
    tunnel.report(Report::Purged { seq: 9 });
    assert_eq!(soon(waiting).await, [(NodeName::new("edge-1"), true)]);
    let view = edges.list().pop().unwrap();
    assert_eq!((view.applied_epoch, view.purged_seq, view.connected), (3, 9, true));
}

#[tokio::test]
async fn an_edge_that_was_away_hears_the_newest() {
    let cluster = Cluster::new();
    let tasks = tasks();
    let edges = region(&cluster, loopback(), Deeds::default(), &tasks);
    for seq in 1..=50 {
        edges.push(Push::Purge { seq });
    }
    let (_tunnel, mut events) = edge(&cluster.edge, edges.local_addr(), &tasks);
    assert!(matches!(soon(events.recv()).await, Some(Event::Connected { .. })));
    assert_eq!(soon(events.recv()).await, Some(Event::Push(Push::Purge { seq: 50 })));
}

/// The region's runtime dies without a word, as after kill -9; another takes its address.
#[tokio::test]
async fn the_tunnel_comes_back_after_the_region_was_killed() {
    let cluster = Arc::new(Cluster::new());
    let start = |listen: SocketAddr| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let tasks = Tasks::new(runtime.handle().clone());
        let edges = region(&cluster, listen, Deeds::default(), &tasks);
        (runtime, edges)
    };
    let (runtime, edges) = start(loopback());
    let address = edges.local_addr();
    let tasks = tasks();
    let (tunnel, mut events) = edge(&cluster.edge, address, &tasks);
    assert!(matches!(soon(events.recv()).await, Some(Event::Connected { .. })));
    assert_eq!(name_of_edge(&tunnel).await, "edge-1");

    runtime.shutdown_background();
    drop(edges);
    let (runtime, _edges) = loop {
        // The old socket closes when its runtime is done with it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if UdpSocket::bind(address).is_ok() {
            break start(address);
        }
    };
    let sent = tunnel.forward(call(Method::GET, "/name"), Body::Empty);
    assert_eq!(text(soon(sent).await.unwrap().1).await, "edge-1");
    assert_eq!(soon(events.recv()).await, Some(Event::Disconnected));
    assert!(matches!(soon(events.recv()).await, Some(Event::Connected { .. })));
    runtime.shutdown_background();
}

/// A taken port is the commonest mistake of whoever starts a node twice: the message says so.
#[tokio::test]
async fn a_taken_port_is_named() {
    let cluster = Cluster::new();
    let taken = UdpSocket::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let runtime = Handle::current();
    let opened = quic::endpoint(&Machine, address, &cluster.region, None, &runtime);
    let text = opened.unwrap_err().to_string();
    assert!(text.contains(&address.to_string()) && text.contains("already in use"), "{text}");
}

#[tokio::test]
async fn without_a_region_calls_fail_within_their_time() {
    let cluster = Cluster::new();
    let nobody = UdpSocket::bind(loopback()).unwrap();
    let (tunnel, _events) = edge(&cluster.edge, nobody.local_addr().unwrap(), &tasks());
    let head = CallHead { time_left_ms: 100, ..call(Method::GET, "/name") };
    let answer = soon(tunnel.forward(head, Body::Empty)).await;
    assert!(matches!(answer, Err(TunnelError::NotConnected | TunnelError::Timeout)), "{answer:?}");
    let answer = soon(tunnel.forward(call(Method::GET, "/name"), Body::Empty)).await;
    assert!(matches!(answer, Err(TunnelError::NotConnected)), "{answer:?}");
}

#[tokio::test]
async fn the_next_address_is_tried() {
    let cluster = Cluster::new();
    let tasks = tasks();
    let edges = region(&cluster, loopback(), Deeds::default(), &tasks);
    let (events, mut heard) = mpsc::channel(8);
    let mut config =
        Config::new(vec!["no.such.host.invalid:1".into(), edges.local_addr().to_string()]);
    config.local = loopback();
    let tunnel =
        Tunnel::start(config, Arc::new(Machine), &cluster.edge, &tasks, &Clock::system(), events);
    assert!(matches!(soon(heard.recv()).await, Some(Event::Connected { .. })));
    assert_eq!(name_of_edge(&tunnel.unwrap()).await, "edge-1");
}

#[tokio::test]
async fn only_edges_of_this_cluster_are_let_in() {
    let cluster = Cluster::new();
    let foreign = Cluster::new();
    let tasks = tasks();
    let edges = region(&cluster, loopback(), Deeds::default(), &tasks);
    // A region's certificate is not an edge's; another CA's certificate is nothing at all. The
    // foreign edge believes its own CA only, so this also covers an edge facing a false region.
    for certificate in [&cluster.region, &foreign.edge] {
        let (tunnel, mut events) = edge(certificate, edges.local_addr(), &tasks);
        let head = CallHead { time_left_ms: 1_000, ..call(Method::GET, "/name") };
        assert!(soon(tunnel.forward(head, Body::Empty)).await.is_err());
        assert!(events.try_recv().is_err(), "never connected");
    }
    assert!(edges.list().is_empty());
    assert!(edges.gauges().refused.load(Ordering::Relaxed) > 0);
    assert_eq!(edges.gauges().calls.load(Ordering::Relaxed), 0);
}

/// An edge that poses as the region (its certificate is of the cluster) is not believed.
#[tokio::test]
async fn an_edge_cannot_pose_as_the_region() {
    let cluster = Cluster::new();
    let tasks = tasks();
    let config = RegionConfig::new(loopback());
    let handler = Arc::new(Deeds::default());
    let edges = serve(config, &Machine, &cluster.edge, handler, &tasks, &Clock::system()).unwrap();
    let (tunnel, _events) = edge(&cluster.edge, edges.local_addr(), &tasks);
    let head = CallHead { time_left_ms: 1_000, ..call(Method::GET, "/name") };
    assert!(soon(tunnel.forward(head, Body::Empty)).await.is_err());
    assert!(edges.list().is_empty());
}

/// Who speaks gossip does not get into the tunnel, even with the right certificate.
#[tokio::test]
async fn another_protocol_is_refused() {
    let cluster = Cluster::new();
    let edges = region(&cluster, loopback(), Deeds::default(), &tasks());
    let streams = PeerStreams { bidirectional: 0, unidirectional: 0 };
    let clock = Clock::system();
    let config =
        quic::client_config(&cluster.edge, Protocol::Gossip, streams, Some(Role::Region), &clock);
    let handle = Handle::current();
    let endpoint = quic::endpoint(&Machine, loopback(), &cluster.edge, None, &handle).unwrap();
    let connecting =
        endpoint.connect_with(config.unwrap(), edges.local_addr(), quic::server_name());
    let error = soon(connecting.unwrap()).await.unwrap_err();
    // TLS alert 120, no_application_protocol (RFC 7301, section 3.2).
    assert!(error.to_string().contains("error 120"), "{error}");
}

#[tokio::test]
async fn garbage_on_a_stream_costs_the_stream_only() {
    let (edges, tunnel, _events) = pair(Deeds::default()).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let (mut send, mut recv) = tunnel.open(deadline).await.unwrap();
    send.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let answer = soon(recv.read_to_end(100)).await;
    assert!(answer.is_err(), "reset");
    assert_eq!(name_of_edge(&tunnel).await, "edge-1");
    assert_eq!(edges.list().len(), 1);
}

#[tokio::test]
async fn a_second_connection_of_an_edge_replaces_the_first() {
    let cluster = Cluster::new();
    let tasks = tasks();
    let edges = region(&cluster, loopback(), Deeds::default(), &tasks);
    let (_first, mut events) = edge(&cluster.edge, edges.local_addr(), &tasks);
    assert!(matches!(soon(events.recv()).await, Some(Event::Connected { .. })));
    let config = quic::client_config(
        &cluster.edge,
        Protocol::Tunnel,
        PeerStreams { bidirectional: 0, unidirectional: 0 },
        Some(Role::Region),
        &Clock::system(),
    );
    // The same name from another place, as after a machine was cloned.
    let handle = Handle::current();
    let endpoint = quic::endpoint(&Machine, loopback(), &cluster.edge, None, &handle).unwrap();
    let connecting =
        endpoint.connect_with(config.unwrap(), edges.local_addr(), quic::server_name());
    let second = soon(connecting.unwrap()).await.unwrap();
    let (mut send, _recv) = second.open_bi().await.unwrap();
    let mut hello = bytes::BytesMut::new();
    let said = frame::Hello {
        node: "edge-1".into(),
        version: "2".into(),
        applied_epoch: 0,
        purged_seq: 0,
    };
    frame::put_frame(&mut hello, frame::Kind::Hello, |out| said.put(out)).unwrap();
    send.write_all(&hello).await.unwrap();
    assert_eq!(soon(events.recv()).await, Some(Event::Disconnected));
    assert_eq!(edges.list().len(), 1);
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let cluster = Cluster::new();
    let (region_tasks, edge_tasks) = (tasks(), tasks());
    let edges = region(&cluster, loopback(), Deeds::default(), &region_tasks);
    let (_tunnel, mut events) = edge(&cluster.edge, edges.local_addr(), &edge_tasks);
    assert!(matches!(soon(events.recv()).await, Some(Event::Connected { .. })));
    region_tasks.draining().cancel();
    assert_eq!(soon(events.recv()).await, Some(Event::Push(Push::Goodbye)));
    region_tasks.stopped().cancel();
    assert_eq!(soon(events.recv()).await, Some(Event::Disconnected));
    soon(region_tasks.ended()).await;
    edge_tasks.stopped().cancel();
    soon(edge_tasks.ended()).await;
}

/// A NAT between edge and region: forwards datagrams and can change its outer port at any time.
struct Nat {
    inner: SocketAddr,
    rebind: Arc<AtomicBool>,
    outer_port: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
}

impl Nat {
    fn new(region: SocketAddr) -> Self {
        let inside = UdpSocket::bind(loopback()).unwrap();
        let inner = inside.local_addr().unwrap();
        let (rebind, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let outer_port = Arc::new(AtomicU16::new(0));
        let nat = Self {
            inner,
            rebind: rebind.clone(),
            outer_port: outer_port.clone(),
            stop: stop.clone(),
        };
        // A thread: two blocking sockets polled in turn, which is simple and fast enough.
        std::thread::spawn(move || {
            let fresh = || {
                let socket = UdpSocket::bind(loopback()).unwrap();
                socket.connect(region).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            };
            inside.set_nonblocking(true).unwrap();
            let mut outside = fresh();
            let mut edge = None;
            let mut buffer = [0; 65_535];
            while !stop.load(Ordering::Relaxed) {
                if rebind.swap(false, Ordering::Relaxed) {
                    outside = fresh();
                }
                outer_port.store(outside.local_addr().unwrap().port(), Ordering::Relaxed);
                let mut idle = true;
                while let Ok((length, from)) = inside.recv_from(&mut buffer) {
                    edge = Some(from);
                    outside.send(&buffer[..length]).ok();
                    idle = false;
                }
                while let Ok(length) = outside.recv(&mut buffer) {
                    if let Some(edge) = edge {
                        inside.send_to(&buffer[..length], edge).ok();
                    }
                    idle = false;
                }
                if idle {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        nat
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_tunnel_survives_a_change_of_the_edges_address() {
    let cluster = Cluster::new();
    let tasks = tasks();
    let edges = region(&cluster, loopback(), Deeds::default(), &tasks);
    let nat = Nat::new(edges.local_addr());
    let (tunnel, mut events) = edge(&cluster.edge, nat.inner, &tasks);
    assert!(matches!(soon(events.recv()).await, Some(Event::Connected { .. })));
    let before = edges.list().pop().unwrap().address;
    assert_eq!(before.port(), nat.outer_port.load(Ordering::Relaxed));

    // A call that spans the change.
    let (_, mut body) =
        soon(tunnel.forward(call(Method::GET, "/endless"), Body::Empty)).await.unwrap();
    soon(body.frame()).await.unwrap().unwrap();
    nat.rebind.store(true, Ordering::Relaxed);
    assert_eq!(name_of_edge(&tunnel).await, "edge-1");
    let mut seen = 0;
    while seen < 2_000_000 {
        seen += soon(body.frame()).await.unwrap().unwrap().into_data().unwrap().len();
    }
    let after = edges.list().pop().unwrap();
    assert_ne!(after.address, before);
    assert!(after.connected);
    assert!(events.try_recv().is_err(), "no reconnect");
}

#[test]
fn the_last_good_address_is_first_and_a_silent_one_last() {
    let addresses = |ports: &[u16]| -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([192, 0, 2, 1], *port))).collect()
    };
    let [first, second] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
    let order =
        |good, silent, ports: &[u16]| keep::Experience { good, silent }.order(addresses(ports));
    assert_eq!(order(None, None, &[1, 2, 1, 3]), addresses(&[1, 2, 3]));
    assert_eq!(order(Some(second), None, &[1, 2, 3]), addresses(&[2, 1, 3]));
    assert_eq!(order(None, Some(first), &[1, 2, 3]), addresses(&[2, 3, 1]));
    // One that no name stands for any more is not tried.
    assert_eq!(order(Some(second), None, &[1, 3]), addresses(&[1, 3]));
    let many: Vec<u16> = (1..100).collect();
    assert_eq!(order(None, Some(first), &many).len(), 16);
}
