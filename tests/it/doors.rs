//! Endpoint types are doors: an API answers where it may be reached, and nowhere else.

use std::net::SocketAddr;

use crate::world::client::{Answer, Protocol};
use crate::world::cluster::{Cluster, Shape, host_name};
use crate::world::simulate;

const EDGE: &str = "edgeapi000";
const REGIONAL: &str = "regional00";
const PRIVATE: &str = "private000";

fn three_types() -> Shape {
    let api = |id: &str, kind: &str| {
        format!("[[api]]\ndocument = \"shop.yaml\"\nid = \"{id}\"\nendpoint_type = \"{kind}\"\n")
    };
    let apis = [api(EDGE, "EDGE"), api(REGIONAL, "REGIONAL"), api(PRIVATE, "PRIVATE")].concat();
    Shape { apis, ..Shape::edges(1) }
}

async fn get(cluster: &Cluster<'_>, door: SocketAddr, name: &str, path: &str) -> Answer {
    let answer = cluster.client.get(Protocol::Http2, door, name, path).await;
    answer.unwrap_or_else(|error| panic!("{name} at {door}: {error:#}"))
}

#[test]
fn each_endpoint_type_has_its_own_door() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &three_types()).await;
        let region = cluster.node("region");
        let doors = [
            (cluster.door("edge-1"), EDGE),
            (region.public.unwrap(), REGIONAL),
            (region.private.unwrap(), PRIVATE),
        ];
        for (door, own) in doors {
            for api in [EDGE, REGIONAL, PRIVATE] {
                let by_name = get(&cluster, door, &host_name(api), "/prod/open/a").await;
                let path = format!("/_api/{api}/prod/open/a");
                let by_path = get(&cluster, door, "localhost", &path).await;
                for answer in [by_name, by_path] {
                    if api == own {
                        assert_eq!(answer.status, 200, "{api} at {door}");
                        assert_eq!(answer.text(), "backend: /open/a");
                        // Only an edge-optimised endpoint has a cache that shows itself.
                        assert_eq!(answer.header("x-cache").is_some(), api == EDGE);
                    } else {
                        assert_eq!(answer.status, 403, "{api} at {door}");
                        assert_eq!(answer.text(), r#"{"message":"Forbidden"}"#);
                        assert_eq!(answer.header("x-amzn-errortype"), Some("ForbiddenException"));
                    }
                }
            }
        }
    });
}

/// Forwarded headers that name another door or API must not open one.
#[test]
fn a_header_opens_no_door() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &three_types()).await;
        let door = cluster.door("edge-1");
        let mut client =
            cluster.client.connect(Protocol::Http1, door, &host_name(EDGE)).await.unwrap();
        for (name, value) in [
            ("host", host_name(PRIVATE)),
            ("host", host_name(REGIONAL)),
            ("host", format!("{}:8441", host_name(PRIVATE))),
        ] {
            let request = http::Request::get("/prod/open/a")
                .header(name, &value)
                .header("x-forwarded-host", host_name(PRIVATE))
                .body(crate::world::client::empty())
                .unwrap();
            let answer = client.send(request).await.unwrap().whole().await.unwrap();
            assert_eq!(answer.status, 403, "{name}: {value}");
        }
        assert_eq!(cluster.backend.calls_of_all(), 0);
    });
}

#[test]
fn a_region_without_edges_serves_clients_itself() {
    simulate(&[1, 2], async |world| {
        let cluster = Cluster::start(world, &Shape::edges(0)).await;
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            let mut client = cluster.connect(protocol, "region").await;
            for _ in 0..3 {
                let answer = client.get("/prod/cached/a").await.unwrap();
                assert_eq!((answer.status.as_u16(), answer.text()), (200, "backend: /cached/a"));
                assert_eq!(answer.header("x-cache"), None);
            }
            assert_eq!(client.get("/prod/open/a").await.unwrap().status, 200);
        }
        assert_eq!(cluster.backend.calls("/cached/a"), 1);
        let outcome = cluster.purge(None).await;
        assert_eq!((outcome.nodes.len(), outcome.nodes[0].confirmed), (1, true));
        assert_eq!(cluster.get("region", "/cached/a").await.status, 200);
        assert_eq!(cluster.backend.calls("/cached/a"), 2);
    });
}

/// A definition may say EDGE itself; without edges the region's door is the only one there is.
#[test]
fn a_region_without_edges_serves_edge_apis() {
    simulate(&[1], async |world| {
        let shape = Shape::edges(0);
        let says = "servers: [{ url: /, x-amazon-apigateway-endpoint-configuration: \
                    { types: [EDGE] } }]\n";
        let document = format!("{}{says}", shape.document);
        let cluster = Cluster::start(world, &Shape { document, ..shape }).await;
        let answer = cluster.get("region", "/open/a").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "backend: /open/a"));
    });
}
