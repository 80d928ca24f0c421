//! A definition changes while calls come in: nobody notices but those who look.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use tokio::time::sleep;

use crate::world::World;
use crate::world::client::{Protocol, empty, fed};
use crate::world::cluster::{Cluster, DOCUMENT, STAGE, Shape};
use crate::world::link::Link;
use crate::world::play::Play;
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);

/// The default document with its `/version` answered by another backend path.
fn version(number: u32) -> String {
    DOCUMENT.replace("/version/1", &format!("/version/{number}"))
}

fn path(below: &str) -> String {
    format!("/{STAGE}{below}")
}

/// Calls without a pause until told to stop, over one connection that every answer must be good on.
async fn load(cluster: &Cluster<'_>, protocol: Protocol, edge: &str, go_on: &Cell<bool>) -> u32 {
    let mut client = cluster.connect(protocol, edge).await;
    let mut calls = 0;
    while go_on.get() {
        let n = calls % 4;
        let answer = match n {
            0 => client.get(&path("/version")).await,
            1 => client.get(&path("/cached/a")).await,
            2 => client.post(&path("/open/p"), Bytes::from_static(b"known length")).await,
            _ => {
                let (pieces, upload) = fed();
                tokio::spawn(async move {
                    sleep(SECOND / 50).await;
                    pieces.send(Ok(Bytes::from_static(b"length unknown"))).await.ok();
                });
                let request = Request::post(path("/open/p")).body(upload).unwrap();
                client.send(request).await.unwrap().whole().await
            }
        };
        let answer = answer.unwrap_or_else(|error| panic!("{protocol:?} at {edge}: {error:#}"));
        assert_eq!(answer.status, 200, "call {calls}, {protocol:?} at {edge}: {}", answer.text());
        calls += 1;
    }
    calls
}

async fn until_all_serve(cluster: &Cluster<'_>, nodes: &[&str], epoch: u64) {
    cluster
        .until(30 * SECOND, "the new epoch is everywhere", || {
            nodes.iter().all(|node| cluster.status(node).config_epoch >= epoch)
        })
        .await;
}

fn three(world: &World) {
    world.link("edge-2", "region", Link::delay_ms(80).jitter_ms(20).loss(0.02));
}

#[test]
fn a_change_under_load_costs_no_call() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        three(world);
        let go_on = Cell::new(true);
        let loads = join_all([
            load(&cluster, Protocol::Http1, "edge-1", &go_on),
            load(&cluster, Protocol::Http2, "edge-1", &go_on),
            load(&cluster, Protocol::Http3, "edge-2", &go_on),
            load(&cluster, Protocol::Http1, "edge-2", &go_on),
        ]);
        let changes = async {
            let first = cluster.status("region").config_epoch;
            // More often than the region keeps older configurations.
            for number in 2..=7 {
                cluster.rewrite(&version(number));
                let epoch = first + u64::from(number) - 1;
                until_all_serve(&cluster, &["region", "edge-1", "edge-2"], epoch).await;
                for edge in ["edge-1", "edge-2"] {
                    let answer = cluster.get(edge, "/version").await;
                    assert_eq!(answer.text(), format!("backend: /version/{number}"), "{edge}");
                }
            }
            let status = cluster.node("edge-2").status();
            cluster
                .until(10 * SECOND, "no node lags", || {
                    cluster.node("region").status().nodes.iter().all(|node| node.epoch_lag == 0)
                })
                .await;
            assert_eq!((status.config_epoch, status.nodes.len()), (first + 6, 3));
            go_on.set(false);
        };
        let (calls, ()) = tokio::join!(loads, changes);
        assert!(calls.iter().all(|calls| *calls > 20), "{calls:?}");
        // The cached answer outlived all changes.
        assert_eq!(cluster.backend.calls("/cached/a"), 1);
    });
}

#[test]
fn a_call_ends_on_the_configuration_it_began_with() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        cluster.backend.on("/version/1", Play::text("one").after(20 * SECOND));
        let slow = cluster.get("edge-1", "/version");
        let change = async {
            sleep(SECOND).await;
            let epoch = cluster.status("region").config_epoch;
            cluster.rewrite(&version(2));
            until_all_serve(&cluster, &["region", "edge-1"], epoch + 1).await;
            assert_eq!(cluster.get("edge-1", "/version").await.text(), "backend: /version/2");
        };
        let (answer, ()) = tokio::join!(slow, change);
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "one"));
    });
}

#[test]
fn a_broken_document_keeps_the_api_as_it_was() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let epoch = cluster.status("region").config_epoch;
        let authorizer = "securityDefinitions: {}\nx-amazon-apigateway-policy: { Statement: [] }\n";
        for broken in [
            "openapi: [".to_owned(),
            String::new(),
            version(2).replace("http_proxy", "aws_proxy"),
            format!("{}{authorizer}", version(2)),
        ] {
            cluster.rewrite(&broken);
            sleep(5 * SECOND).await;
            assert_eq!(cluster.get("edge-1", "/version").await.text(), "backend: /version/1");
            for node in ["region", "edge-1"] {
                assert_eq!(cluster.status(node).config_epoch, epoch, "{broken}");
            }
        }
        cluster.rewrite(&version(2));
        until_all_serve(&cluster, &["region", "edge-1"], epoch + 1).await;
        assert_eq!(cluster.get("edge-1", "/version").await.text(), "backend: /version/2");
    });
}

/// Routes appear and vanish; what was cached under a route stays its own.
#[test]
fn routes_come_and_go() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        let epoch = cluster.status("region").config_epoch;
        cluster.rewrite(&DOCUMENT.replace("  /version:", "  /edition:"));
        until_all_serve(&cluster, &["region", "edge-1"], epoch + 1).await;
        assert_eq!(cluster.get("edge-1", "/edition").await.text(), "backend: /version/1");
        assert_eq!(cluster.get("edge-1", "/version").await.status, 403);
        cluster.rewrite(DOCUMENT);
        until_all_serve(&cluster, &["region", "edge-1"], epoch + 2).await;
        assert_eq!(cluster.get("edge-1", "/edition").await.status, 403);
        assert_eq!(cluster.get("edge-1", "/version").await.status, 200);
    });
}

#[test]
fn an_edge_that_was_away_during_a_change_catches_up() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(2)).await;
        let epoch = cluster.status("region").config_epoch;
        world.isolate("edge-1");
        cluster.crash("edge-2").await;
        cluster.rewrite(&version(2));
        until_all_serve(&cluster, &["region"], epoch + 1).await;
        world.rejoin("edge-1");
        cluster.restart("edge-2").await;
        for edge in ["edge-1", "edge-2"] {
            until_all_serve(&cluster, &[edge], epoch + 1).await;
            assert_eq!(cluster.get(edge, "/version").await.text(), "backend: /version/2");
        }
    });
}

/// The region comes back with another document than the edges have: they must not be believed
/// to be newer because their number is higher, nor fail calls in between.
#[test]
fn a_region_that_lost_its_data_is_followed() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        for number in 2..=4 {
            let epoch = cluster.status("region").config_epoch;
            cluster.rewrite(&version(number));
            until_all_serve(&cluster, &["region", "edge-1"], epoch + 1).await;
        }
        cluster.crash("region").await;
        std::fs::remove_dir_all(cluster.folder().join("region")).unwrap();
        cluster.rewrite(&version(9));
        cluster.restart("region").await;
        sleep(40 * SECOND).await;
        let answer = cluster.get("edge-1", "/version").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "backend: /version/9"));
    });
}

/// An upload that began before the change goes where it was going.
#[test]
fn an_upload_under_way_survives_a_change() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(1)).await;
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            let mut client = cluster.connect(protocol, "edge-1").await;
            let (pieces, upload) = fed();
            let request = Request::post(path("/open/up")).body(upload).unwrap();
            let feed = async {
                pieces.send(Ok(Bytes::from_static(b"be"))).await.unwrap();
                let epoch = cluster.status("region").config_epoch;
                let other = if epoch % 2 == 0 { version(2) } else { version(3) };
                cluster.rewrite(&other);
                until_all_serve(&cluster, &["region", "edge-1"], epoch + 1).await;
                pieces.send(Ok(Bytes::from_static(b"fore"))).await.unwrap();
                drop(pieces);
            };
            let (answer, ()) = tokio::join!(client.send(request), feed);
            assert_eq!(answer.unwrap().status(), 200, "{protocol:?}");
            assert_eq!(&cluster.backend.last().body[..], b"before", "{protocol:?}");
            let request = Request::get(path("/version")).body(empty()).unwrap();
            assert_eq!(client.send(request).await.unwrap().status(), 200, "{protocol:?}");
        }
    });
}
