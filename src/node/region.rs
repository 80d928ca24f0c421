//! The region: integrations behind the cut, documents in front of everybody.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::admin;
use crate::admin::iam::users::{self, NewKey};
use crate::call::{Body, Connection, Door, ExtendedId};
use crate::gossip::Key;
use crate::integration::lambda::local::{self, LocalFunctions};
use crate::integration::link::{self, Balancers};
use crate::integration::{self, Integrations};
use crate::listener::{Bound, Speaks};
use crate::model::ids::NodeName;
use crate::net::client::{self, HttpClient};
use crate::net::clock::Timestamp;
use crate::net::tasks::Tasks;
use crate::node::config::{
    ApiConfig, BackendsConfig, BalancerConfig, Document, FunctionsConfig, RegionConfig,
};
use crate::node::control::{self, Control, Publisher};
use crate::node::documents::Imported;
use crate::node::foundation::{Filled, Foundation, named};
use crate::node::identity::Identity;
use crate::node::{Environment, Node, StartError, documents, gauges, operator, petstore, services};
use crate::pipeline::door::{self, Clients, Forwarded};
use crate::pipeline::{Gateway, Origin};
use crate::store::StoreError;
use crate::store::control::{Kind, State};
use crate::store::purge_log::PurgeLog;
use crate::tunnel::{self, CallHead, CallOutcome, Edges, ReplyHead, Request, Scheme};

/// Stage variable of the bundled definition that names its backend.
const PETSTORE_VARIABLE: &str = "petstore";
/// Unpacked packages and logs of functions, in the node's data folder.
const FUNCTIONS_FOLDER: &str = "functions";

pub(super) async fn start(
    config: RegionConfig,
    identity: Identity,
    environment: Environment,
) -> (Result<Node, StartError>, Tasks) {
    let tasks = Tasks::new(environment.control.clone());
    let (site, clock) = (config.site(), environment.clock.clone());
    let store = config.store.clone().control();
    let runtime = environment.store.clone();
    if let Err(error) = std::fs::create_dir_all(&config.common.data) {
        let path = config.common.data.clone();
        return (Err(StartError::Store(StoreError::io("make folder", &path, error))), tasks);
    }
    let control = match Control::open(store, site, clock, &runtime).await {
        Ok(control) => control,
        Err(error) => return (Err(error), tasks),
    };
    let node = fill(config, identity, environment, &tasks, &control).await;
    if node.is_err() {
        control.close().await;
    }
    (node, tasks)
}

async fn fill(
    config: RegionConfig,
    identity: Identity,
    environment: Environment,
    tasks: &Tasks,
    control: &Control,
) -> Result<Node, StartError> {
    let doors = config.doors();
    let RegionConfig {
        common,
        public,
        private,
        plain,
        tunnel,
        backends,
        balancers,
        aws,
        functions,
        store: _,
        open_admin,
        apis,
    } = config;
    let foundation = Foundation::lay(common, tunnel.is_none(), identity, environment, tasks)?;
    let apis = with_petstore(apis, &foundation, &control.store.current())?;
    let stamps = documents::watch::stamps(&apis);
    let imported = documents::read(&apis, &control.site, &foundation.common.timeouts, doors);
    let imported = imported.map_err(StartError::Documents)?;

    // Every port is taken before anything is served, so that a taken one is found at once.
    let bind = |door: Door, address, speaks| foundation.bind(door, address, speaks);
    let public = public.map(|at| bind(Door::Region, at, foundation.https())).transpose()?;
    let private = private.map(|at| bind(Door::Private, at, foundation.https())).transpose()?;
    let secure = public.as_ref().map_or(443, |bound| bound.local_addr().port());
    let plain = plain.map(|at| bind(Door::Region, at, Speaks::RedirectTo(secure))).transpose()?;
    let admin = foundation.bind_admin()?;
    let admin_address = admin.local_addr().unwrap_or(foundation.common.admin.listen);
    let certificates = foundation.certificates()?;

    let client = http_client(&backends, &foundation)?;
    let balancers = start_balancers(balancers, &client, &foundation)?;
    let local = local_functions(functions, &foundation)?;
    let integrations = Integrations::new(integration::Config::default(), client);
    let integrations = integrations.with_balancers(balancers).with_local(local);
    let aws = services::config(aws, &foundation.common.cluster.aws_region)?;
    let integrations = integrations
        .with_aws(aws, foundation.environment.clock.clone())
        .map_err(|why| StartError::Services(why.to_string()))?;
    let deployments_of_node = Arc::new(foundation.deployments());
    let gateway = foundation.gateway(deployments_of_node, Origin::Integration(integrations));
    let purge_head = foundation.purges.newest_seq().to_string();
    let mut said =
        vec![(Key::ListenersAdmin, admin_address.to_string()), (Key::PurgeHead, purge_head)];
    for (key, bound) in [(Key::ListenersPublic, &public), (Key::ListenersPrivate, &private)] {
        said.extend(bound.as_ref().map(|bound| (key, bound.local_addr().to_string())));
    }
    let gossip = foundation.gossip(said)?;
    let edges = tunnel.map(|at| accept_edges(at, &gateway, &foundation, control)).transpose()?;
    let tunnel = edges.as_ref().map(Edges::local_addr);
    let listeners = named([("public", &public), ("private", &private), ("plain", &plain)]);
    let filled = Filled {
        role: "region",
        gateway,
        gossip,
        listeners,
        edges,
        tunnel: None,
        certificates: Arc::clone(&certificates),
    };
    let clock = foundation.environment.clock.clone();
    let core = foundation.core(filled, Some(control.clone()));
    // Ports are ours now, so what is changed from here on is served.
    let first_key = seed(control, imported, clock.now()).await?;
    let publisher = Publisher::new(&core, control, doors);
    publisher.publish();
    publisher.watch();
    core.announce();
    documents::watch::start(&core, control, apis, doors, stamps);
    gauges::watch(&core);
    core.set_plane(control::plane(&core, control, open_admin));

    let [public_at, private_at, plain_at] =
        [&public, &private, &plain].map(|bound| bound.as_ref().map(Bound::local_addr));
    let tls = operator::tls(&core, &certificates)?;
    admin::http::serve(operator::config(&core.common), admin, tls, core.clone(), tasks);
    for bound in [public, private, plain].into_iter().flatten() {
        bound.serve(Clients { gateway: Arc::clone(&core.gateway) }, &certificates)?;
    }
    Ok(Node {
        core,
        public: public_at,
        private: private_at,
        plain: plain_at,
        admin: admin_address,
        tunnel,
        first_key,
    })
}

/// The administrator's key, when this is the first start, and the documents: in one change, so that
/// a start that fails makes no key that nobody was shown.
async fn seed(
    control: &Control,
    imported: Vec<Imported>,
    now: Timestamp,
) -> Result<Option<NewKey>, StartError> {
    let site = control.site.clone();
    let seeded = control.transact(move |txn| {
        let failed = |cause: String| StartError::Deployment(cause);
        let key = users::bootstrap(txn, now).map_err(|err| failed(err.to_string()))?;
        documents::kept::put_all(txn, &imported, &site, now)
            .map_err(|err| failed(err.to_string()))?;
        Ok::<_, StartError>(key)
    });
    Ok(seeded.await??.value)
}

/// Starts the bundled pet store's backend where an API asks for it and names none of its own. It
/// listens where it did the last time, if it can: a restart then changes no stage.
fn with_petstore(
    mut apis: Vec<ApiConfig>,
    foundation: &Foundation,
    state: &State,
) -> Result<Vec<ApiConfig>, StartError> {
    let mut backend: Option<SocketAddr> = None;
    for api in apis.iter_mut().filter(|api| api.document == Document::PetStore) {
        if api.stage.variables.contains_key(PETSTORE_VARIABLE) {
            continue;
        }
        let address = match backend {
            Some(address) => address,
            None => {
                let _control = foundation.environment.control.enter();
                let (network, tasks) = (&foundation.environment.network, &foundation.tasks);
                let port = petstore_port(state, api);
                petstore::start(network, tasks, port).map_err(StartError::PetStore)?
            }
        };
        backend = Some(address);
        api.stage.variables.insert(PETSTORE_VARIABLE.to_owned(), address.to_string());
    }
    Ok(apis)
}

/// Where the pet store listened the last time.
fn petstore_port(state: &State, api: &ApiConfig) -> Option<u16> {
    let stage = state.get(Kind::Stage, api.id.as_str(), api.stage.name.as_str())?;
    let address = stage.body.get("variables")?.get(PETSTORE_VARIABLE)?.as_str()?;
    address.parse().ok().filter(|at: &SocketAddr| at.ip().is_loopback()).map(|at| at.port())
}

fn http_client(
    backends: &BackendsConfig,
    foundation: &Foundation,
) -> Result<HttpClient, StartError> {
    let default = client::Config::default();
    let config = client::Config {
        native_roots: backends.system_roots,
        roots: roots(&backends.roots)?,
        connections_per_host_max: backends
            .connections_max
            .unwrap_or(default.connections_per_host_max),
        pending_per_host_max: backends.pending_max,
        circuit: backends.circuit,
        ..default
    };
    let network = Arc::clone(&foundation.environment.network);
    Ok(HttpClient::new(config, network, foundation.tasks.clone()))
}

/// The certificates of PEM files.
fn roots(paths: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let mut roots = Vec::new();
    for path in paths {
        let failed = |cause: String| StartError::Roots { path: path.clone(), cause };
        let found = CertificateDer::pem_file_iter(path).map_err(|err| failed(err.to_string()))?;
        for root in found {
            roots.push(root.map_err(|err| failed(err.to_string()))?);
        }
    }
    Ok(roots)
}

/// What VPC links lead to, looked after from now on.
fn start_balancers(
    configs: Vec<BalancerConfig>,
    client: &HttpClient,
    foundation: &Foundation,
) -> Result<Balancers, StartError> {
    let mut read = Vec::with_capacity(configs.len());
    for config in configs {
        read.push(link::BalancerConfig {
            roots: roots(&config.tls_roots)?,
            arn: config.arn,
            link: config.link,
            listeners: config.listeners,
            health: config.health,
            outliers: config.outliers,
        });
    }
    let _control = foundation.environment.control.enter();
    Balancers::start(read, client, &foundation.tasks).map_err(|(arn, err)| StartError::Roots {
        path: PathBuf::from(arn),
        cause: err.to_string(),
    })
}

/// The functions of the topology; their processes end with the node's tasks.
fn local_functions(
    config: FunctionsConfig,
    foundation: &Foundation,
) -> Result<Option<LocalFunctions>, StartError> {
    config.problems.into_result().map_err(StartError::Documents)?;
    if config.functions.is_empty() {
        return Ok(None);
    }
    let common = &foundation.common;
    let config = local::Config {
        functions: config.functions,
        aws_region: common.cluster.aws_region.clone(),
        account_id: common.cluster.account_id.clone(),
        folder: common.data.join(FUNCTIONS_FOLDER),
        runtimes: config.runtimes,
        event_retry_waits: local::config::EVENT_RETRY_WAITS,
    };
    let clock = &foundation.environment.clock;
    Ok(Some(LocalFunctions::new(config, &foundation.tasks, clock)?))
}

fn accept_edges(
    listen: SocketAddr,
    gateway: &Arc<Gateway>,
    foundation: &Foundation,
    control: &Control,
) -> Result<Edges, StartError> {
    let handler = Arc::new(ForEdges {
        gateway: Arc::clone(gateway),
        control: control.clone(),
        purge_log: Arc::clone(&foundation.purge_log),
    });
    Ok(tunnel::serve(
        tunnel::RegionConfig::new(listen),
        &*foundation.environment.network,
        &foundation.identity.certificate,
        handler,
        &foundation.tasks,
        &foundation.environment.clock,
    )?)
}

/// Door 2, and the documents edges ask for.
struct ForEdges {
    gateway: Arc<Gateway>,
    control: Control,
    purge_log: Arc<Mutex<PurgeLog>>,
}

impl tunnel::Handler for ForEdges {
    async fn call(&self, edge: NodeName, head: CallHead, body: Body) -> CallOutcome {
        let Some(forwarded) = forwarded(edge, head) else { return CallOutcome::Stale };
        let Some(reply) = door::answer_edge(&self.gateway, forwarded, body).await else {
            return CallOutcome::Stale;
        };
        let refusal = reply.refusal.map(|refusal| tunnel::Refusal {
            response_type: refusal.response_type.into_owned(),
            message: refusal.message.into_owned(),
        });
        let head = ReplyHead {
            status: reply.status,
            headers: reply.headers,
            integration: reply.integration,
            refusal,
            cache: reply.cache,
            freshness: reply.freshness,
        };
        CallOutcome::Reply(Box::new(head), reply.body)
    }

    async fn document(&self, _edge: NodeName, request: Request) -> Result<Bytes, String> {
        match request {
            Request::Manifest => {
                // An edge that is told of nothing would serve nothing, and forget what it has.
                self.control.in_force().await;
                let manifest = self.gateway.deployments.manifest().encode();
                manifest.map(Bytes::from).map_err(|err| err.to_string())
            }
            Request::Part { hash } => {
                let part = self.gateway.deployments.part(&hash);
                let part = part.ok_or("there is no such part any more")?;
                Ok(Bytes::from(part.to_vec()))
            }
            Request::PurgesSince { log_id, seq } => {
                let log = self.purge_log.lock().unwrap_or_else(PoisonError::into_inner);
                let batch = log.batch_since(log_id, seq).encode();
                batch.map(Bytes::from).map_err(|err| err.to_string())
            }
        }
    }
}

/// The tunnel's frame in the pipeline's words; `None` for a target that is no URI.
fn forwarded(edge: NodeName, head: CallHead) -> Option<Forwarded> {
    let mut request = http::Request::builder()
        .method(head.method)
        .version(head.version)
        .uri(target(&head.authority, &head.uri)?)
        .body(())
        .ok()?;
    *request.headers_mut() = head.headers;
    if !head.spelling.as_bytes().is_empty() {
        request.extensions_mut().insert(head.spelling);
    }
    let (parts, ()) = request.into_parts();
    Some(Forwarded {
        id: head.id,
        extended_id: ExtendedId(head.extended_id),
        received_at_ms: head.received_at_ms,
        head: parts,
        client: Connection {
            door: Door::Tunnel { edge: edge.clone() },
            peer: head.peer,
            local: SocketAddr::new(head.peer.ip(), head.port),
            tls_version: match head.scheme {
                Scheme::Https => "TLSv1.3",
                Scheme::Http => "",
            },
            cipher_suite: "",
            sni: None,
        },
        edge,
        api: head.api_id.as_str().to_owned(),
        stage: head.stage.as_str().to_owned(),
        part: head.part,
        time_left: Duration::from_millis(head.time_left_ms),
    })
}

/// The absolute form keeps the host the client asked for, whatever its protocol.
fn target(authority: &str, uri: &Bytes) -> Option<http::Uri> {
    let path = http::uri::PathAndQuery::from_maybe_shared(uri.clone()).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    if let Ok(authority) = authority.parse() {
        parts.authority = Some(authority);
        parts.scheme = Some(http::uri::Scheme::HTTPS);
    }
    http::Uri::from_parts(parts).ok()
}
