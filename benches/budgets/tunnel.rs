//! An edge and a region over the loopback interface: one call, there and back.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use http_body_util::BodyExt;
use tidegate::call::{Body, CacheStatus};
use tidegate::model::ids::{ApiId, NodeName, ResourceId, StageName};
use tidegate::net::ca::{ClusterCa, Role};
use tidegate::net::clock::Clock;
use tidegate::net::socket::Machine;
use tidegate::net::tasks::Tasks;
use tidegate::tunnel::{
    self, CallHead, CallOutcome, Edges, Event, Handler, Proved, RegionConfig, ReplyHead, Request,
    Scheme, Tunnel,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Both ends, connected.
pub(crate) struct Pair {
    tunnel: Tunnel,
    _edges: Edges,
    _events: mpsc::Receiver<Event>,
}

impl Pair {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        let tasks = Tasks::new(runtime.handle().clone());
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let ca = ClusterCa::init(folder.path(), "bench", &clock).unwrap();
        let region = ca.issue(Role::Region, "region", folder.path(), &clock).unwrap();
        let edge = ca.issue(Role::Edge, "edge", folder.path(), &clock).unwrap();
        let _entered = runtime.enter();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let handler = Arc::new(Constant(Bytes::from(vec![b'x'; 1024])));
        let config = RegionConfig::new(any);
        let edges = tunnel::serve(config, &Machine, &region, handler, &tasks, &clock).unwrap();
        let mut config = tunnel::Config::new(vec![edges.local_addr().to_string()]);
        config.local = any;
        let (heard, mut events) = mpsc::channel(64);
        let machine = Arc::new(Machine);
        let tunnel = Tunnel::start(config, machine, &edge, &tasks, &clock, heard).unwrap();
        assert!(matches!(runtime.block_on(events.recv()), Some(Event::Connected { .. })));
        Self { tunnel, _edges: edges, _events: events }
    }

    pub(crate) async fn call(&self) -> Bytes {
        let (_, body) = self.tunnel.forward(head(), Body::Empty).await.unwrap();
        body.collect().await.unwrap().to_bytes()
    }
}

/// Answers every call with the same bytes.
struct Constant(Bytes);

impl Handler for Constant {
    async fn call(&self, _: NodeName, _: CallHead, _: Body) -> CallOutcome {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let head = ReplyHead {
            status: StatusCode::OK,
            headers,
            integration: None,
            refusal: None,
            cache: CacheStatus::Off,
            freshness: None,
        };
        CallOutcome::Reply(Box::new(head), self.0.clone().into())
    }

    async fn document(&self, _: NodeName, _: Request) -> Result<Bytes, String> {
        Err("there are no documents here".to_owned())
    }
}

fn head() -> CallHead {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("*/*"));
    headers.insert("user-agent", HeaderValue::from_static("bench/1"));
    CallHead {
        id: Uuid::from_u128(7),
        extended_id: *b"abcdefghijklmno=",
        api_id: ApiId::new("a1b2c3d4e5"),
        stage: StageName::new("prod"),
        part: [9; 32],
        resource_id: ResourceId::new("r1"),
        verb: String::new(),
        method: Method::GET,
        uri: Bytes::from_static(b"/prod/pets/7"),
        authority: "a1b2c3d4e5.execute-api.us-east-1.gateway.localhost".into(),
        version: Version::HTTP_2,
        headers,
        spelling: Default::default(),
        peer: SocketAddr::from(([192, 0, 2, 1], 4711)),
        scheme: Scheme::Https,
        port: 8443,
        received_at_ms: 1_800_000_000_000,
        time_left_ms: 20_000,
        trace_id: String::new(),
        path_parameters: Vec::new(),
        proved: Proved::Anonymous,
    }
}
