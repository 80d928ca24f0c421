//! A region and edges over the loopback interface.

mod calls;
mod codec;
mod links;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::call::{Body, BodyError, CacheStatus, Spelling};
use crate::model::ids::{ApiId, NodeName, ResourceId, StageName};
use crate::net::ca::{ClusterCa, NodeCertificate, Role};
use crate::net::clock::Clock;
use crate::net::socket::Machine;
use crate::net::tasks::Tasks;

/// Longer than anything here takes; a test that hangs fails instead.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("should have happened by now")
}

/// A cluster's CA with a region's and an edge's certificate.
pub(super) struct Cluster {
    _folder: tempfile::TempDir,
    pub(super) region: NodeCertificate,
    pub(super) edge: NodeCertificate,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let ca = ClusterCa::init(folder.path(), "harbour", &clock).unwrap();
        let issue = |role, name: &str, folder: &Path| ca.issue(role, name, folder, &clock).unwrap();
        Self {
            region: issue(Role::Region, "region", folder.path()),
            edge: issue(Role::Edge, "edge-1", folder.path()),
            _folder: folder,
        }
    }
}

pub(super) fn tasks() -> Tasks {
    Tasks::new(Handle::current())
}

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn region<H: Handler>(
    cluster: &Cluster,
    listen: SocketAddr,
    handler: H,
    tasks: &Tasks,
) -> Edges {
    let config = RegionConfig::new(listen);
    serve(config, &Machine, &cluster.region, Arc::new(handler), tasks, &Clock::system()).unwrap()
}

pub(super) fn edge(
    certificate: &NodeCertificate,
    region: SocketAddr,
    tasks: &Tasks,
) -> (Tunnel, mpsc::Receiver<Event>) {
    let (events, heard) = mpsc::channel(64);
    let mut config = Config::new(vec![region.to_string()]);
    config.local = loopback();
    let machine = Arc::new(Machine);
    let tunnel =
        Tunnel::start(config, machine, certificate, tasks, &Clock::system(), events).unwrap();
    (tunnel, heard)
}

/// A region with this handler, and a connected edge.
pub(super) async fn pair<H: Handler>(handler: H) -> (Edges, Tunnel, mpsc::Receiver<Event>) {
    let cluster = Cluster::new();
    let tasks = tasks();
    let edges = region(&cluster, loopback(), handler, &tasks);
    let (tunnel, mut events) = edge(&cluster.edge, edges.local_addr(), &tasks);
    assert_eq!(soon(events.recv()).await, Some(Event::Connected { region: "region".into() }));
    (edges, tunnel, events)
}

pub(super) fn call(method: Method, path: &'static str) -> CallHead {
    let mut headers = HeaderMap::new();
    headers.append("accept", "text/plain".parse().unwrap());
    headers.append("accept", "*/*".parse().unwrap());
    CallHead {
        id: Uuid::from_u128(7),
        extended_id: *b"abcdefghijklmno=",
        api_id: ApiId::new("a1b2c3d4e5"),
        stage: StageName::new("prod"),
        part: [9; 32],
        resource_id: ResourceId::new("r1"),
        verb: "ANY".into(),
        method,
        uri: Bytes::from_static(path.as_bytes()),
        authority: "a1b2c3d4e5.execute-api.eu-central-1.gateway.localhost".into(),
        version: Version::HTTP_2,
        headers,
        spelling: Spelling::new(Bytes::from_static(b"ACCEPT")),
        peer: "192.0.2.1:4711".parse().unwrap(),
        scheme: Scheme::Https,
        port: 8443,
        received_at_ms: 1_800_000_000_000,
        time_left_ms: 20_000,
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793".into(),
        path_parameters: vec![("proxy".into(), "pets/7".into())],
        proved: Proved::Anonymous,
    }
}

pub(super) fn reply(status: StatusCode) -> Box<ReplyHead> {
    Box::new(ReplyHead {
        status,
        headers: HeaderMap::new(),
        integration: None,
        refusal: None,
        cache: CacheStatus::Off,
        freshness: None,
    })
}

/// What a handler does is told by the path; see [`Deeds`].
#[derive(Default)]
pub(super) struct Deeds {
    /// Told when a call's future was dropped before its end.
    pub(super) dropped: Option<mpsc::UnboundedSender<()>>,
}

/// Tells of its drop.
struct Witness(Option<mpsc::UnboundedSender<()>>);

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(told) = &self.0 {
            told.send(()).ok();
        }
    }
}

impl Handler for Deeds {
    async fn call(&self, edge: NodeName, head: CallHead, body: Body) -> CallOutcome {
        let path = String::from_utf8(head.uri.to_vec()).unwrap();
        match path.as_str() {
            "/name" => {
                CallOutcome::Reply(reply(StatusCode::OK), Bytes::from(edge.to_string()).into())
            }
            // Sends the body back as it comes, trailers and all.
            "/echo" => CallOutcome::Reply(reply(StatusCode::OK), body),
            "/count" => match body.collect().await {
                Ok(whole) => {
                    let text = whole.to_bytes().len().to_string();
                    CallOutcome::Reply(reply(StatusCode::OK), Bytes::from(text).into())
                }
                Err(error) => {
                    let text = Bytes::from(error.to_string());
                    CallOutcome::Reply(reply(StatusCode::BAD_REQUEST), text.into())
                }
            },
            "/stale" => CallOutcome::Stale,
            "/panic" => panic!("as asked"),
            "/break" => {
                let pieces = futures_util::stream::iter([
                    Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
                    Err(BodyError::TimedOut),
                ]);
                let body = Body::stream(http_body_util::StreamBody::new(pieces));
                CallOutcome::Reply(reply(StatusCode::OK), body)
            }
            "/hang" => {
                let _witness = Witness(self.dropped.clone());
                std::future::pending().await
            }
            // A reply whose body never ends, and which tells when it is dropped.
            "/endless" => {
                let witness = Witness(self.dropped.clone());
                let pieces = futures_util::stream::unfold(witness, |witness| async {
                    tokio::task::yield_now().await;
                    let piece = http_body::Frame::data(Bytes::from(vec![7; 10_000]));
                    Some((Ok(piece), witness))
                });
                let body = Body::stream(http_body_util::StreamBody::new(pieces));
                CallOutcome::Reply(reply(StatusCode::OK), body)
            }
            _ => CallOutcome::Reply(reply(StatusCode::NOT_FOUND), Body::Empty),
        }
    }

    async fn document(&self, _edge: NodeName, request: Request) -> Result<Bytes, String> {
        match request {
            Request::Manifest => Ok(Bytes::from_static(b"manifest")),
            Request::Part { hash: [first, ..] } => Ok(Bytes::from(vec![first; 3_000_000])),
            Request::PurgesSince { .. } => Err("no such log".into()),
        }
    }
}

pub(super) async fn text(body: Body) -> String {
    let bytes = soon(body.collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
