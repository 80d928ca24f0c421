//! A region starts on what it finds, and leaves nothing behind when it stops.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tidegate::node::{self, Environment, Node};
use tokio::runtime::{Builder, Runtime};

use crate::process::{PATIENCE, Running, port_base, run, shell};
use crate::world::World;
use crate::world::cluster::{Cluster, DOCUMENT, Shape};
use crate::world::host::Host;
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);
/// Places of ports behind `--port-base`.
const REGION_TUNNEL: u16 = 1;
const EDGE_GOSSIP: u16 = 11;

#[test]
fn the_first_start_is_one_change_and_the_next_is_none() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        let epochs = || ["region", "edge-1", "edge-2"].map(|node| cluster.node(node).epoch());
        assert_eq!(epochs(), [1; 3]);
        cluster.crash("region").await;
        cluster.restart("region").await;
        assert_eq!(cluster.node("region").epoch(), 1);
        cluster.settled().await;
        assert_eq!(epochs(), [1; 3]);

        // What was written while the region was away is in force when it is back.
        cluster.stop("region").await;
        cluster.rewrite(&DOCUMENT.replace("/version/1", "/version/2"));
        cluster.restart("region").await;
        assert_eq!(cluster.node("region").epoch(), 2);
        cluster.until(30 * SECOND, "the edges follow", || epochs() == [2; 3]).await;
        assert_eq!(cluster.get("edge-2", "/version").await.text(), "backend: /version/2");
    });
}

/// Starts the cluster's region on a host and a store runtime of the test's own.
async fn start(cluster: &Cluster<'_>, host: Arc<Host>, store: &Runtime) -> Node {
    let identity = cluster.issue_at("region", cluster.clock());
    let environment = Environment { store: store.handle().clone(), ..cluster.environment(host) };
    node::start(cluster.config("region"), identity, environment).await.unwrap()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// SQLite's log, which the last connection that is closed folds into the file.
fn has_log(cluster: &Cluster<'_>) -> bool {
    cluster.folder().join("region").join("control.db-wal").exists()
}

async fn stops_whole(world: &World, end: impl AsyncFn(Node)) {
    let cluster = Cluster::start(world, &Shape::edges(1)).await;
    cluster.stop("region").await;
    let host = world.restart("region");
    // Whatever calls out or listens has the network, and with it everything a node shares.
    let network = Arc::downgrade(&host);
    let store = runtime();
    let region = start(&cluster, host, &store).await;
    cluster
        .until(30 * SECOND, "an edge is connected", || {
            cluster.metric("edge-1", "tidegate_tunnel_connected") == 1.0
        })
        .await;
    assert_eq!(cluster.get("edge-1", "/open/a").await.status, 200);
    assert!(has_log(&cluster) && store.metrics().num_alive_tasks() > 0);

    end(region).await;
    assert!(!has_log(&cluster), "the store was not closed");
    assert_eq!(store.metrics().num_alive_tasks(), 0, "the store's tasks go on");
    store.shutdown_background();
    // A backend's connection in the pool learns by its own task.
    cluster.until(SECOND, "nothing has the network", || network.upgrade().is_none()).await;
}

#[test]
fn a_region_that_stopped_leaves_nothing_behind() {
    simulate(&[1], async |world| stops_whole(world, Node::stop).await);
}

#[test]
fn a_region_that_was_ended_at_once_leaves_nothing_behind() {
    simulate(&[1], async |world| stops_whole(world, Node::kill).await);
}

#[test]
fn a_region_may_start_while_the_one_before_still_closes_the_store() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.stop("region").await;
        let store = runtime();
        let mut region = start(&cluster, world.restart("region"), &store).await;
        for _ in 0..5 {
            world.crash("region");
            let next = start(&cluster, world.restart("region"), &store);
            ((), region) = tokio::join!(region.kill(), next);
            assert_eq!(region.epoch(), 1);
        }
        region.stop().await;
        assert!(!has_log(&cluster), "the store was not closed");
        store.shutdown_background();
    });
}

/// A region takes its ports before it knows what to serve. An edge that comes back in between must
/// not be told that there is nothing: it would forget what it has.
#[test]
fn edges_are_told_of_a_configuration_once_there_is_one() {
    const STEP: Duration = Duration::from_millis(5);
    /// Steps within which an edge connects, those in which it asks, and those in which it would ask
    /// again, had it been told something.
    const CONNECTS_WITHIN: u32 = 20_000;
    const ASKS_WITHIN: u32 = 200;
    const WAITS: u32 = 600;
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.stop("region").await;
        let tunnels = || cluster.metric("edge-1", "tidegate_tunnel_connected");
        cluster.until(30 * SECOND, "the edge is alone", || tunnels() == 0.0).await;
        cluster.rewrite(&DOCUMENT.replace("/version/1", "/version/2"));
        // Another process is at a change, and the region's start, which has one to make, waits.
        let store = runtime();
        let file = cluster.folder().join("region").join("control.db");
        let other = on(&store, async move {
            let mut open = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut open).await.unwrap();
            open
        });
        let other = other.await;

        let mut starting = Box::pin(start(&cluster, world.restart("region"), &store));
        let received = || cluster.metric("edge-1", "tidegate_tunnel_received_bytes_total");
        let (mut steps, mut connected, mut once_asked) = (0, 0, 0.0);
        // The clock stands still while the store is waited for, so it is moved by hand.
        while connected < ASKS_WITHIN + WAITS {
            tokio::select! {
                biased;
                _ = &mut starting => panic!("the region did not wait"),
                () = tokio::time::advance(STEP) => {}
            }
            steps += 1;
            assert!(steps < CONNECTS_WITHIN, "the edge does not connect");
            connected += u32::from(tunnels() == 1.0);
            if connected == ASKS_WITHIN {
                once_asked = received();
            }
        }
        assert_eq!(received(), once_asked, "it was told something");
        let edge = cluster.node("edge-1");
        assert_eq!((edge.epoch(), edge.apis().len()), (1, 1), "it keeps what it has");

        on(&store, async move { other.close().await.unwrap() }).await;
        let region = starting.await;
        cluster.until(30 * SECOND, "the edge follows", || edge.epoch() == 2).await;
        assert_eq!(cluster.get("edge-1", "/version").await.text(), "backend: /version/2");
        region.stop().await;
        store.shutdown_background();
    });
}

/// Runs work for the disk while the simulated clock stands still.
async fn on<T: Send + 'static>(
    store: &Runtime,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let store = store.handle().clone();
    tokio::task::spawn_blocking(move || store.block_on(work)).await.unwrap()
}

// ---- as processes

const KEY: &str = "AWS_SECRET_ACCESS_KEY=";

fn up(folder: &TempDir, base: u16) -> Running {
    let base = base.to_string();
    Running::start(folder.path(), &["up", "--data", "data", "--port-base", &base])
}

fn is_up(up: &Running) -> bool {
    up.out().matches("  curl ").count() >= 2
}

fn taken(base: u16, place: u16) -> UdpSocket {
    UdpSocket::bind(("127.0.0.1", base + place)).unwrap()
}

fn fails(folder: &TempDir, base: u16) -> String {
    let base = base.to_string();
    let ended = run(folder.path(), &["up", "--data", "data", "--port-base", &base]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended.out
}

#[test]
fn a_first_start_that_fails_makes_no_key_that_nobody_sees() {
    let folder = tempfile::tempdir().unwrap();
    let base = port_base();
    let tunnel = taken(base, REGION_TUNNEL);
    assert!(!fails(&folder, base).contains(KEY), "nothing was kept");
    drop(tunnel);

    // The region is up by then.
    let gossip = taken(base, EDGE_GOSSIP);
    assert!(fails(&folder, base).contains(KEY));
    drop(gossip);

    let mut last = up(&folder, base);
    last.until("the ready lines", is_up);
    assert!(!last.out().contains(KEY), "it was shown before");
    assert_eq!(last.stop().code, Some(0));
}

#[test]
fn a_killed_cluster_comes_back_on_the_same_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let base = port_base();
    let mut first = up(&folder, base);
    first.until("the ready lines", is_up);
    let asked = || epoch(folder.path(), base);
    assert_eq!(asked(), "config epoch 1");
    first.signal("-KILL");
    first.end();
    // The pet store listens where it did, so that its stage is what it was.
    let mut second = up(&folder, base);
    second.until("the ready lines", is_up);
    assert_eq!(asked(), "config epoch 1");
    assert_eq!(second.stop().code, Some(0));
}

/// AWS: "Global condition keys", `aws:SourceIp`. Callers are on this machine, so the network that a
/// policy names decides.
#[test]
fn a_policy_that_names_a_network_looks_where_the_caller_is() {
    let folder = tempfile::tempdir().unwrap();
    let base = port_base();
    let mut region = up(&folder, base);
    region.until("the ready lines", is_up);
    let iam = |words: &[&str]| {
        let line = [&["iam"], words, &["--data", "data"]].concat();
        let ended = run(folder.path(), &line);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    };
    iam(&["create-user", "ann"]);
    let out = iam(&["create-key", "ann"]);
    let said = |name: &str| {
        let after = out.split(name).nth(1).unwrap_or_else(|| panic!("{name}? {out}"));
        after.lines().next().unwrap().to_owned()
    };
    let user = format!("{}:{}", said("AWS_ACCESS_KEY_ID="), said(KEY));
    let ask = format!(
        "curl -sS --aws-sigv4 aws:amz:us-east-1:apigateway --user '{user}' \
         -w ' %{{http_code}}' http://127.0.0.1:{base}/restapis"
    );
    for (network, code) in [("127.0.0.0/8", "200"), ("192.0.2.0/24", "403")] {
        let policy = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow",
                "Action": "apigateway:*", "Resource": "*",
                "Condition": {{"IpAddress": {{"aws:SourceIp": "{network}"}}}}}}]}}"#
        );
        std::fs::write(folder.path().join("p.json"), policy).unwrap();
        iam(&["attach-policy", "ann", "--policy", "here", "--file", "p.json"]);
        // Another process changed the store; the region follows it.
        region.until("the answer", |_| shell(folder.path(), &ask).out.ends_with(code));
    }
    assert_eq!(region.stop().code, Some(0));
}

/// As `status` says it in its first line, once the region knows itself.
fn epoch(folder: &Path, base: u16) -> String {
    let admin = format!("http://127.0.0.1:{base}");
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let ended = run(folder, &["status", "--admin", &admin]);
        let said = ended.out.split(", ").nth(1).unwrap_or_default().to_owned();
        if ended.code == Some(0) && said.starts_with("config epoch") {
            return said;
        }
        assert!(std::time::Instant::now() < end, "{ended:?}");
        std::thread::sleep(SECOND / 10);
    }
}
