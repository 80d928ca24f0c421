//! `[cluster]`, `[region]`, `[[edge]]` and what all nodes share: read, moved by the command line's
//! wishes, put together into each node's config.
//!
//! The read form keeps what is only known at the end apart from the config: a seed list needs all
//! nodes, a default tunnel address the moved port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::model::document::{At, Section, Value};
use crate::model::ids::NodeName;
use crate::model::rest_api::EndpointType;
use crate::node::config::{
    AdminConfig, ApiConfig, AwsConfig, BackendsConfig, BalancerConfig, CacheConfig,
    CertificateConfig, ClusterConfig, CommonConfig, EdgeConfig, FunctionsConfig, GossipConfig,
    LimitsConfig, LogConfig, RegionConfig, TimeoutsConfig,
};
use crate::topology::store::{self, Store};
use crate::topology::{
    Overrides, Topology, apis, balancers, functions, ports, services, shared, units,
};

/// Nodes of one cluster: gossip's digests of more would no longer be small.
const EDGES_MAX: usize = 500;
/// Where a node keeps its data when nobody says.
const DATA: &str = "tidegate-data";
const CACHE_MEMORY_BYTES: u64 = 64 << 20;
const CACHE_DISK_BYTES: u64 = 256 << 20;
const MIB: u64 = 1 << 20;

/// What region and edges are read to, before it is known who else is there.
pub(super) struct Node<'a> {
    pub(super) at: At<'a>,
    pub(super) name: String,
    location: String,
    /// Where the other nodes reach it.
    pub(super) address: Option<IpAddr>,
    data: Option<PathBuf>,
    http3: bool,
    cache_memory: u64,
    cache_disk: u64,
    cache_folder: Option<PathBuf>,
    pub(super) admin: SocketAddr,
    pub(super) gossip: SocketAddr,
}

pub(super) struct Region<'a> {
    pub(super) node: Node<'a>,
    aws_region: String,
    account_id: String,
    pub(super) public: Option<SocketAddr>,
    pub(super) private: Option<SocketAddr>,
    pub(super) plain: Option<SocketAddr>,
    pub(super) tunnel: Option<SocketAddr>,
    balancers: Vec<BalancerConfig>,
    store: Store,
}

pub(super) struct Edge<'a> {
    pub(super) node: Node<'a>,
    pop: String,
    pub(super) public: SocketAddr,
    pub(super) plain: Option<SocketAddr>,
    pub(super) regions: Vec<String>,
}

/// What all nodes have in common and the file says once.
struct Shared {
    name: String,
    domain: String,
    limits: LimitsConfig,
    timeouts: TimeoutsConfig,
    certificates: Vec<CertificateConfig>,
    workers: Option<usize>,
    log: LogConfig,
}

pub(super) fn read(root: &Section<'_>, folder: &Path, overrides: &Overrides) -> Option<Topology> {
    let (name, domain) = cluster(root.take("cluster"));
    let region_at = root.require("region")?;
    let mut edges: Vec<Edge<'_>> = Vec::new();
    let list = root.take("edge");
    for (index, at) in list.iter().flat_map(At::items).take(EDGES_MAX).enumerate() {
        edges.push(edge(at, index, folder));
    }
    if let Some(list) = list.filter(|list| list.items().len() > EDGES_MAX) {
        list.problem(format!("more than {EDGES_MAX} edges"), None);
    }
    let mut region = region(region_at, folder, !edges.is_empty());
    let common = Shared {
        name,
        domain,
        limits: shared::limits(root.take("limits")),
        timeouts: shared::timeouts(root.take("timeouts")),
        certificates: shared::certificates(root.take("certificate"), folder),
        workers: shared::workers(root.take("workers")),
        log: shared::log(root.take("log")),
    };
    let backends = shared::backends(root.take("backends"), folder);
    let aws = services::read(root, folder);
    let place = (region.aws_region.as_str(), region.account_id.as_str());
    let functions = functions::read(root.take("function"), root.take("runtimes"), folder, place);
    let apis_at = root.take("api");
    let apis = apis::read(apis_at.clone(), folder, !edges.is_empty());

    if let Some(base) = overrides.port_base {
        ports::apply(base, &mut region, &mut edges, &root.at);
    }
    ports::check(&region, &edges);
    unique_names(&region, &edges);
    let mut topology = assemble(region, edges, common, backends, apis, overrides);
    topology.region.aws = aws;
    topology.region.functions = functions;
    if let Some(at) = apis_at {
        reachable(&at, &topology);
    }
    Some(topology)
}

fn cluster(at: Option<At<'_>>) -> (String, String) {
    let section = at.map(Section::new);
    let name = section.as_ref().and_then(|s| s.take("name")).and_then(|at| units::name(&at));
    let domain = section.as_ref().and_then(|s| s.take("domain")).and_then(|at| units::host(&at));
    if let Some(section) = section {
        section.finish();
    }
    (
        name.unwrap_or_else(|| "tidegate".to_owned()),
        domain.unwrap_or_else(|| "gateway.localhost".to_owned()),
    )
}

/// What the node's own keys begin with; the listeners follow.
fn node<'a>(
    section: &Section<'a>,
    listeners: &Section<'a>,
    name: String,
    admin: u16,
    gossip: u16,
    folder: &Path,
) -> Node<'a> {
    let cache = section.take("cache").map(Section::new);
    let size = |key, most_tib: u64, default| {
        cache
            .as_ref()
            .and_then(|cache| cache.take(key))
            .and_then(|at| units::bytes(&at, 0, most_tib << 40))
            .unwrap_or(default)
    };
    let cache_memory = size("memory_bytes", 1, CACHE_MEMORY_BYTES);
    let cache_disk = size("disk_bytes", 64, CACHE_DISK_BYTES);
    let cache_folder = cache
        .as_ref()
        .and_then(|cache| cache.take("folder"))
        .and_then(|at| units::path(&at, Path::new("")));
    if let Some(cache) = cache {
        // The disk engine's blocks are 16 MiB; below four of them it cannot turn around.
        if (1..64 * MIB).contains(&cache_disk) {
            cache.at.problem("a disk cache has at least 64 MiB", Some("0 is none".to_owned()));
        }
        cache.finish();
    }
    let gossip = fixed_listener(listeners, "gossip", gossip);
    let address = section.take("address").and_then(|at| units::ip(&at));
    if address.is_none() && gossip.ip().is_unspecified() {
        section.at.problem(
            "`address` is missing: the listeners do not tell where other nodes reach this one",
            Some("address = \"203.0.113.7\"".to_owned()),
        );
    }
    Node {
        at: section.at.clone(),
        name,
        location: section.take("location").and_then(|at| units::words(&at)).unwrap_or_default(),
        address: address.or_else(|| Some(gossip.ip()).filter(|ip| !ip.is_unspecified())),
        data: section.take("data").and_then(|at| units::path(&at, folder)),
        http3: listeners.take("http3").and_then(|at| at.boolean()).unwrap_or(true),
        cache_memory,
        cache_disk,
        cache_folder,
        admin: fixed_listener(listeners, "admin", admin),
        gossip,
    }
}

fn region<'a>(at: At<'a>, folder: &Path, has_edges: bool) -> Region<'a> {
    let section = Section::new(at);
    let listeners = listeners(&section);
    let name = section.take("name").and_then(|at| units::name(&at));
    let node =
        node(&section, &listeners, name.unwrap_or_else(|| "region".to_owned()), 4700, 4702, folder);
    let aws_region = section.take("aws_region").and_then(|at| units::name(&at));
    let account_id = section.take("account_id").and_then(|at| account_id(&at));
    let tunnel = listener(&listeners, "tunnel", has_edges.then_some(4701));
    if has_edges && tunnel.is_none() {
        listeners.at.problem("there are edges, so the tunnel must be on", None);
    }
    let region = Region {
        node,
        aws_region: aws_region.unwrap_or_else(|| "us-east-1".to_owned()),
        account_id: account_id.unwrap_or_else(|| "000000000000".to_owned()),
        public: listener(&listeners, "public", Some(8440)),
        private: listener(&listeners, "private", None),
        plain: listener(&listeners, "plain", None),
        tunnel,
        balancers: balancers::read(section.take("load_balancer"), folder),
        store: store::read(section.take("store")),
    };
    listeners.finish();
    section.finish();
    region
}

fn edge<'a>(at: At<'a>, index: usize, folder: &Path) -> Edge<'a> {
    let section = Section::new(at);
    let listeners = listeners(&section);
    // At most EDGES_MAX, so that the ports stay in range.
    let step = u16::try_from(index).unwrap_or(0);
    let name = section.require("name").and_then(|at| units::name(&at)).unwrap_or_default();
    let node = node(&section, &listeners, name.clone(), 4710 + 10 * step, 4711 + 10 * step, folder);
    let edge = Edge {
        node,
        pop: section.take("pop").and_then(|at| units::name(&at)).unwrap_or(name),
        public: fixed_listener(&listeners, "public", 8443 + step),
        plain: listener(&listeners, "plain", None),
        regions: section
            .take("region")
            .map(|at| at.items())
            .unwrap_or_default()
            .iter()
            .filter_map(units::dial)
            .collect(),
    };
    listeners.finish();
    section.finish();
    edge
}

/// The table of listeners, empty when the file has none.
fn listeners<'a>(section: &Section<'a>) -> Section<'a> {
    const NONE: &crate::model::document::Node =
        &crate::model::document::Node { value: Value::Null, mark: (0, 0) };
    Section::new(section.take("listeners").unwrap_or_else(|| section.at.instead(NONE)))
}

/// A listener that can be `"off"`; `default` is its port on loopback.
fn listener(
    listeners: &Section<'_>,
    key: &'static str,
    default: Option<u16>,
) -> Option<SocketAddr> {
    match listeners.take(key) {
        None => default.map(loopback),
        Some(at) if matches!(&at.node.value, Value::Text(text) if text == "off") => None,
        Some(at) => units::listen(&at),
    }
}

/// A listener that is always on.
fn fixed_listener(listeners: &Section<'_>, key: &'static str, default: u16) -> SocketAddr {
    listeners.take(key).and_then(|at| units::listen(&at)).unwrap_or_else(|| loopback(default))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn account_id(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        at.problem(format!("`{text}` is no account id"), Some("twelve digits".to_owned()));
        return None;
    }
    Some(text.to_owned())
}

fn unique_names(region: &Region<'_>, edges: &[Edge<'_>]) {
    let mut names = vec![region.node.name.as_str()];
    for edge in edges {
        let name = edge.node.name.as_str();
        // An empty name has been complained about.
        if !name.is_empty() && names.contains(&name) {
            edge.node.at.problem(format!("another node is already named `{name}`"), None);
        }
        names.push(name);
    }
}

fn assemble(
    region: Region<'_>,
    edges: Vec<Edge<'_>>,
    shared: Shared,
    backends: BackendsConfig,
    apis: Vec<ApiConfig>,
    overrides: &Overrides,
) -> Topology {
    let advertised = |node: &Node<'_>| {
        SocketAddr::new(node.address.unwrap_or_else(|| node.gossip.ip()), node.gossip.port())
    };
    let everyone: Vec<SocketAddr> = std::iter::once(&region.node)
        .chain(edges.iter().map(|edge| &edge.node))
        .map(advertised)
        .collect();
    let cluster = ClusterConfig {
        name: shared.name.clone(),
        domain: shared.domain.clone(),
        region: NodeName::new(&region.node.name),
        aws_region: region.aws_region,
        account_id: region.account_id,
    };
    let common = |node: Node<'_>| {
        let own = advertised(&node);
        let data = match (&overrides.data, node.data) {
            (Some(data), _) => data.join(&node.name),
            (None, Some(data)) => data,
            (None, None) => Path::new(DATA).join(&node.name),
        };
        CommonConfig {
            name: NodeName::new(&node.name),
            cluster: cluster.clone(),
            location: node.location,
            admin: AdminConfig { listen: node.admin, https: !node.admin.ip().is_loopback() },
            gossip: GossipConfig {
                listen: node.gossip,
                advertise: own,
                seeds: everyone.iter().copied().filter(|seed| *seed != own).collect(),
            },
            cache: CacheConfig {
                memory_bytes: node.cache_memory,
                disk_bytes: node.cache_disk,
                folder: data
                    .join(node.cache_folder.as_deref().unwrap_or_else(|| Path::new("cache"))),
            },
            data,
            limits: shared.limits.clone(),
            timeouts: shared.timeouts.clone(),
            certificates: shared.certificates.clone(),
            http3: node.http3,
            workers: shared.workers,
            log: shared.log.clone(),
        }
    };
    let tunnel = region.tunnel.map(|tunnel| {
        let ip = region.node.address.unwrap_or_else(|| tunnel.ip());
        SocketAddr::new(ip, tunnel.port()).to_string()
    });
    let edges = edges
        .into_iter()
        .map(|edge| EdgeConfig {
            common: common(edge.node),
            pop: edge.pop,
            public: edge.public,
            plain: edge.plain,
            regions: if edge.regions.is_empty() {
                tunnel.iter().cloned().collect()
            } else {
                edge.regions
            },
        })
        .collect();
    let common = common(region.node);
    let region = RegionConfig {
        store: region.store.in_folder(&common.data),
        open_admin: false,
        common,
        public: region.public,
        private: region.private,
        plain: region.plain,
        tunnel: region.tunnel,
        backends,
        balancers: region.balancers,
        aws: AwsConfig::default(),
        functions: FunctionsConfig::default(),
        apis,
    };
    Topology { region, edges }
}

/// An endpoint type whose door is nowhere open serves nobody. What a definition says of its type is
/// seen when it is loaded.
fn reachable(at: &At<'_>, topology: &Topology) {
    let doors = topology.region.doors();
    for api in &topology.region.apis {
        let Some(endpoint_type) = api.endpoint_type else { continue };
        let remedy = match endpoint_type {
            // Asked for by name, it is more likely a slip than a wish to be served by the region.
            EndpointType::Edge if topology.edges.is_empty() => Some("add an `[[edge]]`"),
            other => doors.remedy(other),
        };
        if let Some(remedy) = remedy {
            let door = endpoint_type.as_str();
            at.problem(
                format!("API `{}` is {door}, and nothing listens for that", api.label),
                Some(remedy.to_owned()),
            );
        }
    }
}
