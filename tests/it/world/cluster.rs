//! A whole cluster in the world: a region, edges, a backend behind and a client in front.
//!
//! A topology text and an API document are written to a folder that lives as long as the cluster,
//! and every node is started as `tidegate node` would start it, on a host of its own. All runtimes
//! of all nodes are the one paused runtime of the scenario. Disk tiers are off: their threads live
//! in real time, which paused time would run away from; `tests/it/real.rs` has them.
//!
//! | host | address | |
//! |---|---|---|
//! | `region` | 10.0.0.1 | public 8440, private 8441, tunnel 4701, gossip 4702 |
//! | `edge-1`, … | 10.0.1.1, … | public 8443, gossip 4711 |
//! | `backend` | 10.0.2.1 | plain HTTP, 8000 |
//! | `client` | 10.0.3.1 | |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tidegate::admin::http::{PurgeOutcome, PurgeRequest};
use tidegate::admin::status::NodeStatus;
use tidegate::model::ids::{ApiId, StageName};
use tidegate::net::clock::Clock;
use tidegate::net::socket::Network;
use tidegate::node::config::NodeConfig;
use tidegate::node::identity::{Authorities, Identity};
use tidegate::node::{self, Environment, Node};
use tidegate::topology::{self, Overrides, Topology};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::sleep;

use super::backend::Backend;
use super::client::{Answer, Client, Connection, Protocol};
use super::host::Host;
use super::link::Link;
use super::{World, commit};

/// The API of [`Shape::default`], on stage `prod`.
pub(crate) const API: &str = "shop000000";
pub(crate) const STAGE: &str = "prod";

/// Time a settled cluster needs at most: gossip rounds are 0.5 s, reconnects back off to 2 s.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is cached, what is not, and what fails. The backend's path is the resource's.
pub(crate) const DOCUMENT: &str = r#"
openapi: 3.0.1
info: { title: shop, version: "1" }
paths:
  /cached/{proxy+}:
    get:
      parameters: [{ name: proxy, in: path, required: true, schema: { type: string } }]
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        uri: http://10.0.2.1:8000/cached/{proxy}
        requestParameters: { integration.request.path.proxy: method.request.path.proxy }
        cacheKeyParameters: [method.request.path.proxy]
  /open/{proxy+}:
    x-amazon-apigateway-any-method:
      parameters: [{ name: proxy, in: path, required: true, schema: { type: string } }]
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: ANY
        uri: http://10.0.2.1:8000/open/{proxy}
        requestParameters: { integration.request.path.proxy: method.request.path.proxy }
  /streamed/{proxy+}:
    x-amazon-apigateway-any-method:
      parameters: [{ name: proxy, in: path, required: true, schema: { type: string } }]
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: ANY
        responseTransferMode: STREAM
        uri: http://10.0.2.1:8000/streamed/{proxy}
        requestParameters: { integration.request.path.proxy: method.request.path.proxy }
  /quick:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:8000/quick", timeoutInMillis: 1000 }
  /refused:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:9/" }
  /nowhere:
    get:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://nowhere.test/" }
  /version:
    x-amazon-apigateway-any-method:
      x-amazon-apigateway-integration:
        { type: http_proxy, httpMethod: GET, uri: "http://10.0.2.1:8000/version/1" }
"#;

/// What kind of cluster a scenario wants.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Edges, at most 200.
    pub(crate) edges: u8,
    /// TOML of the `[[api]]` tables; `shop.yaml` is [`Shape::document`].
    pub(crate) apis: String,
    pub(crate) document: String,
    /// Where edges dial, if not at the region's own address.
    pub(crate) dials: Vec<String>,
    /// Further TOML at the topology's end.
    pub(crate) more: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            edges: 1,
            apis: format!(
                "[[api]]\ndocument = \"shop.yaml\"\nid = \"{API}\"\nstage = \"{STAGE}\"\n\
                 cache = {{ enabled = true }}\n"
            ),
            document: DOCUMENT.to_owned(),
            dials: Vec::new(),
            more: String::new(),
        }
    }
}

impl Shape {
    pub(crate) fn edges(edges: u8) -> Self {
        Self { edges, ..Self::default() }
    }

    /// The default API with another time to live.
    pub(crate) fn ttl_seconds(mut self, ttl: u32) -> Self {
        let cache = format!("enabled = true, ttl_seconds = {ttl}");
        self.apis = self.apis.replace("enabled = true", &cache);
        self
    }

    /// Edges try these addresses of the region.
    pub(crate) fn dials(mut self, addresses: &[&str]) -> Self {
        self.dials = addresses.iter().map(|address| (*address).to_owned()).collect();
        self
    }

    fn topology(&self) -> String {
        let dials = match self.dials.as_slice() {
            [] => String::new(),
            dials => format!("region = {dials:?}\n"),
        };
        let mut text = format!(
            "[cluster]\nname = \"world\"\n[region]\nname = \"region\"\n\
             cache = {{ disk_bytes = 0 }}\n\
             listeners = {{ public = \"10.0.0.1:8440\", private = \"10.0.0.1:8441\", \
             gossip = \"10.0.0.1:4702\", tunnel = {} }}\n[backends]\nsystem_roots = false\n",
            if self.edges > 0 { "\"10.0.0.1:4701\"" } else { "\"off\"" }
        );
        for edge in 1..=self.edges {
            write!(
                text,
                "[[edge]]\nname = \"edge-{edge}\"\ncache = {{ disk_bytes = 0 }}\n\
                 listeners = {{ public = \"10.0.1.{edge}:8443\", gossip = \"10.0.1.{edge}:4711\" }}\n{dials}"
            )
            .unwrap();
        }
        text + &self.more + "\n" + &self.apis
    }
}

/// A running cluster. Nodes stop with the scenario's runtime.
pub(crate) struct Cluster<'w> {
    pub(crate) world: &'w World,
    pub(crate) backend: Backend,
    /// A client on a host of its own that trusts the cluster's public CA.
    pub(crate) client: Client,
    topology: Topology,
    authorities: Authorities,
    clock: Clock,
    nodes: RefCell<BTreeMap<String, Arc<Node>>>,
    folder: tempfile::TempDir,
}

impl<'w> Cluster<'w> {
    /// Starts everything and waits until every node serves the same configuration.
    pub(crate) async fn start(world: &'w World, shape: &Shape) -> Cluster<'w> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shop.yaml"), &shape.document).unwrap();
        let overrides = Overrides { data: Some(folder.path().to_owned()), port_base: None };
        let topology =
            topology::read_text("world.toml", folder.path(), &shape.topology(), &overrides);
        let topology = topology.unwrap_or_else(|problems| panic!("{problems}"));
        // Certificates are judged by the machine's clock, so the world begins today.
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let clock = Clock::tokio(u64::try_from(today).unwrap());
        let authorities = Authorities::init(&folder.path().join("ca"), "world", &clock).unwrap();
        let backend_host = world.host("backend", "10.0.2.1");
        let client_host = world.host("client", "10.0.3.1");
        world.usual_link(Link::delay_ms(5));
        let cluster = Cluster {
            backend: Backend::start(&*backend_host, backend_host.at(8000), None).unwrap(),
            client: Client::new(client_host, roots(authorities.public_path())),
            world,
            topology,
            authorities,
            clock,
            nodes: RefCell::default(),
            folder,
        };
        for node in cluster.topology.nodes() {
            let name = node.common().name.to_string();
            let host = world.host(&name, &node.common().gossip.advertise.ip().to_string());
            cluster.run(&name, host).await;
        }
        for edge in &cluster.topology.edges {
            world.link(edge.common.name.as_str(), "region", Link::delay_ms(20));
        }
        cluster.settled().await;
        cluster
    }

    async fn run(&self, name: &str, host: Arc<Host>) {
        let identity = self.issue_at(name, &self.clock);
        self.run_as(name, identity, host).await;
    }

    async fn run_as(&self, name: &str, identity: Identity, host: Arc<Host>) {
        let config = self.config(name);
        let environment = self.environment(host);
        let node = node::start(config, identity, environment).await;
        let node = node.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        self.nodes.borrow_mut().insert(name.to_owned(), Arc::new(node));
    }

    /// What a node runs on that is started by hand.
    pub(crate) fn environment(&self, host: Arc<Host>) -> Environment {
        Environment {
            network: host as Arc<dyn Network>,
            clock: self.clock.clone(),
            control: Handle::current(),
            store: store_runtime().clone(),
            workers: vec![Handle::current()],
        }
    }

    pub(crate) fn config(&self, name: &str) -> NodeConfig {
        self.topology.node(name).unwrap_or_else(|| panic!("no node is called {name}"))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Certificates of the cluster for a node that is not in its topology.
    pub(crate) fn issue(&self, node: &NodeConfig, folder: &Path) -> Identity {
        self.authorities.issue(node, folder, &self.clock).unwrap()
    }

    /// What a node needs, as issued by this clock into its folder where something is due.
    pub(crate) fn issue_at(&self, name: &str, clock: &Clock) -> Identity {
        let config = self.config(name);
        self.authorities.issue(&config, &config.common().data, clock).unwrap()
    }

    /// The cluster's own folder; a node's data is in a folder of its name.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts another text in the API document's place, as an editor does: all at once.
    pub(crate) fn rewrite(&self, text: &str) {
        let path = self.folder.path().join("shop.yaml");
        let draft = path.with_extension("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    }

    /// A node that runs.
    pub(crate) fn node(&self, name: &str) -> Arc<Node> {
        let nodes = self.nodes.borrow();
        Arc::clone(nodes.get(name).unwrap_or_else(|| panic!("{name} does not run")))
    }

    /// Kills a node as `kill -9` would; its folder stays.
    pub(crate) async fn crash(&self, name: &str) {
        self.world.crash(name);
        self.take(name).kill().await;
    }

    /// Starts a node that was crashed or stopped, on the folder it left.
    pub(crate) async fn restart(&self, name: &str) {
        let host = self.world.restart(name);
        self.run(name, host).await;
    }

    /// The same with certificates that were issued before.
    pub(crate) async fn restart_as(&self, name: &str, identity: Identity) {
        let host = self.world.restart(name);
        self.run_as(name, identity, host).await;
    }

    /// Stops a node in order.
    pub(crate) async fn stop(&self, name: &str) {
        self.take(name).stop().await;
    }

    /// Stops every node, as `up` does.
    pub(crate) async fn stop_all(&self) {
        let names: Vec<String> = self.nodes.borrow().keys().cloned().collect();
        node::stop_all(names.iter().map(|name| self.take(name)).collect()).await;
    }

    fn take(&self, name: &str) -> Node {
        let node = self.nodes.borrow_mut().remove(name);
        let node = node.unwrap_or_else(|| panic!("{name} does not run"));
        Arc::into_inner(node).expect("nobody else holds the node")
    }

    /// Waits until all running nodes serve the region's epoch, know of its newest purge, and all
    /// edges have a tunnel.
    pub(crate) async fn settled(&self) {
        self.until(SETTLES_WITHIN, "the region gossips", || {
            own_status("region", &self.node("region")).is_some()
        })
        .await;
        let region = self.node("region").status();
        self.until(SETTLES_WITHIN, "the cluster settles", || {
            let nodes = self.nodes.borrow();
            nodes.iter().all(|(name, node)| {
                let away = node.role() == "edge" && metric(node, "tidegate_tunnel_connected") < 1.0;
                !away
                    && own_status(name, node).is_some_and(|own| {
                        own.config_epoch >= region.config_epoch && own.purge_seq >= region.purge_seq
                    })
            })
        })
        .await;
    }

    /// Waits until something is so, and panics when that takes too long.
    pub(crate) async fn until(&self, most: Duration, what: &str, mut so: impl FnMut() -> bool) {
        let begin = self.world.elapsed();
        while !so() {
            assert!(
                self.world.elapsed() - begin < most,
                "{what}: not within {most:?} at {}",
                commit()
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// What a node says of itself.
    pub(crate) fn status(&self, name: &str) -> NodeStatus {
        own_status(name, &self.node(name)).expect("a settled node knows itself")
    }

    /// What one node thinks of another.
    pub(crate) fn view(&self, from: &str, of: &str) -> Option<NodeStatus> {
        self.node(from).status().nodes.into_iter().find(|node| node.name == of)
    }

    /// Drops cached answers, all of the stage or those of a glob.
    pub(crate) async fn purge(&self, path: Option<&str>) -> PurgeOutcome {
        let request = PurgeRequest {
            api: ApiId::new(API),
            stage: StageName::new(STAGE),
            path: path.map(str::to_owned),
        };
        self.node("region").purge(request).await.unwrap()
    }

    /// Where clients connect to a node.
    pub(crate) fn door(&self, name: &str) -> SocketAddr {
        self.node(name).public.expect("it has a public door")
    }

    /// The default API's host name.
    pub(crate) fn host_name(&self) -> String {
        host_name(API)
    }

    pub(crate) async fn connect(&self, protocol: Protocol, node: &str) -> Connection {
        let connection = self.client.connect(protocol, self.door(node), &self.host_name()).await;
        connection.unwrap_or_else(|error| panic!("{protocol:?} to {node}: {error:#}"))
    }

    /// One GET over HTTP/2 of a path below the default stage.
    pub(crate) async fn get(&self, node: &str, path: &str) -> Answer {
        let mut connection = self.connect(Protocol::Http2, node).await;
        let answer = connection.get(&format!("/{STAGE}{path}")).await;
        answer.unwrap_or_else(|error| panic!("GET {path} at {node}: {error:#}"))
    }

    /// A sum over all series of a metric on a node.
    pub(crate) fn metric(&self, name: &str, family: &str) -> f64 {
        metric(&self.node(name), family)
    }
}

impl Drop for Cluster<'_> {
    /// A panic in a node costs one call and is caught there, so it would else go unseen.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let names: Vec<String> = self.nodes.borrow().keys().cloned().collect();
        for name in names {
            let panics = self.metric(&name, "tidegate_panics_total");
            assert!(panics == 0.0, "{name} caught {panics} panics");
        }
    }
}

/// Nothing before the node's first round of gossip.
fn own_status(name: &str, node: &Node) -> Option<NodeStatus> {
    node.status().nodes.into_iter().find(|other| other.name == name)
}

/// A sum over all series of a metric.
fn metric(node: &Node, family: &str) -> f64 {
    let text = node.metrics();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(family)?;
        let value = rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next())??;
        value.parse::<f64>().ok()
    });
    values.sum()
}

/// An API's own host name.
pub(crate) fn host_name(api: &str) -> String {
    format!("{api}.execute-api.us-east-1.gateway.localhost")
}

/// What a PEM file holds, as trust.
pub(crate) fn roots(pem: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(pem).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    roots
}

/// The store's waits are for a real disk, so its time is real as well.
fn store_runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    });
    runtime.handle()
}
