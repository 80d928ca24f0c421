//! Nodes that run in this process, from their certificates to a stop in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use tidegate::net::ca::PUBLIC_CA_CERTIFICATE;
use tidegate::net::clock::Clock;
use tidegate::net::socket::{Machine, Network};
use tidegate::node::config::NodeConfig;
use tidegate::node::identity::{self, Authorities, Identity};
use tidegate::node::{self, Environment, Node};
use tidegate::telemetry::logs;
use tidegate::topology::Topology;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Failure, iam, other};

/// Threads for gossip, tunnel, admin and files of all nodes of the process.
const CONTROL_THREADS: usize = 2;
/// Time in which a node of `up` becomes ready; afterwards it goes on, and the line says what is
/// missing.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Folder of the authorities below the data folder of `up`.
const CA_FOLDER: &str = "ca";
const DATA_FOLDER: &str = "tidegate-data";

/// All nodes of a topology, in this process.
pub(super) fn serve_all(topology: &Topology, data: Option<&Path>) -> Result<(), Failure> {
    let log = &topology.region.common.log;
    init_logs(log.json, &log.filter)?;
    let clock = Clock::system();
    let root = data.map_or_else(|| PathBuf::from(DATA_FOLDER), Path::to_path_buf);
    let cluster = &topology.region.common.cluster.name;
    let authorities =
        Authorities::load_or_init(&root.join(CA_FOLDER), cluster, &clock).map_err(other)?;
    let configs = topology.nodes();
    let identities = issue_all(&authorities, &configs, &clock)?;
    let nodes = configs.iter().cloned().zip(identities).collect();
    let renewing = authorities.keep_renewed(&configs, &clock);
    serve(nodes, clock.clone(), Some(authorities.public_path()), renewing)
}

/// The certificates of all nodes. A first start writes six files per node and waits for each, so
/// the nodes wait side by side.
fn issue_all(
    authorities: &Authorities,
    nodes: &[NodeConfig],
    clock: &Clock,
) -> Result<Vec<Identity>, Failure> {
    let issue = |node: &NodeConfig| authorities.issue(node, &node.common().data, clock);
    thread::scope(|scope| {
        let issuing: Vec<_> = nodes.iter().map(|node| scope.spawn(|| issue(node))).collect();
        let ended = issuing.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|issued| {
                issued.map_err(|_| other("a certificate could not be made"))?.map_err(other)
            })
            .collect()
    })
}

/// One node, with the certificates that were brought to its folder.
pub(super) fn serve_one(node: NodeConfig) -> Result<(), Failure> {
    let log = &node.common().log;
    init_logs(log.json, &log.filter)?;
    let identity = identity::load(&node, &node.common().data).map_err(|error| {
        other(format!("{error}\n  `tidegate ca issue {}` makes the files", node.common().name))
    })?;
    // Nodes do not need the public CA's certificate; where it was brought along, clients use it.
    let ca = node.common().data.join(PUBLIC_CA_CERTIFICATE);
    let ca = Some(ca.as_path()).filter(|ca| ca.is_file());
    // Who brought the certificates renews them.
    serve(vec![(node, identity)], Clock::system(), ca, std::future::pending())
}

fn init_logs(json: bool, filter: &str) -> Result<(), Failure> {
    let shape = if json { logs::Shape::Json } else { logs::Shape::Text };
    logs::init(shape, filter).map_err(|err| Failure::Configuration(err.to_string()))
}

/// Runs nodes until a signal comes; `renewing` goes on meanwhile.
fn serve(
    nodes: Vec<(NodeConfig, Identity)>,
    clock: Clock,
    ca: Option<&Path>,
    renewing: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let control = control_runtime()?;
    let network: Arc<dyn Network> = Arc::new(Machine);
    control.block_on(async {
        // From here on a signal kills nobody: it is kept until it is looked for.
        let mut signals = Signals::listen()?;
        let mut is_asked = false;
        let mut running = Vec::new();
        for (config, identity) in nodes {
            // A start is not broken off: it may have made a key that is to be shown.
            is_asked = signals.heard().now_or_never().is_some();
            if is_asked {
                break;
            }
            let environment = Environment {
                network: Arc::clone(&network),
                clock: clock.clone(),
                control: control.handle().clone(),
                store: control.handle().clone(),
                workers: workers(&config)?,
            };
            match node::start(config, identity, environment).await {
                Ok(node) => running.push(node),
                Err(error) => {
                    // It is kept already, and is shown by no later start.
                    show_first_key(&running);
                    node::stop_all(running).await;
                    return Err(error.into());
                }
            }
        }
        let mut is_shown = false;
        // Calls are answered before everything is announced, so that a signal which comes
        // meanwhile already finds something to stop in order.
        if !is_asked {
            let serving = async {
                announce_nodes(&running).await;
                show_first_key(&running);
                is_shown = true;
                announce_apis(&running, ca);
                sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
                renewing.await;
            };
            tokio::select! {
                biased;
                () = signals.heard() => {}
                () = serving => {}
            }
        }
        if !is_shown {
            show_first_key(&running);
        }
        sd_notify::notify(&[sd_notify::NotifyState::Stopping]).ok();
        eprintln!("stopping; calls in flight may finish");
        node::stop_all(running).await;
        Ok(())
    })
}

pub(super) fn control_runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(other)
}

/// A single-threaded runtime per core: a connection lives and dies on one of them.
fn workers(node: &NodeConfig) -> Result<Vec<tokio::runtime::Handle>, Failure> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = node.common().workers.unwrap_or(cores).max(1);
    let mut handles = Vec::with_capacity(count);
    for index in 0..count {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(other)?;
        handles.push(runtime.handle().clone());
        thread::Builder::new()
            .name(format!("{}-{index}", node.common().name))
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .map_err(other)?;
    }
    Ok(handles)
}

/// What asks a process to end in order.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(other)?,
            terminate: signal(SignalKind::terminate()).map_err(other)?,
        })
    }

    /// Returns at once when one came since the last look.
    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// One line per node, when it is ready.
async fn announce_nodes(nodes: &[Node]) {
    // An edge is ready with its copy on disk; what it prints is what the region has.
    let region = nodes.iter().find(|node| node.role() == "region");
    let epoch = region.map(Node::epoch);
    for node in nodes {
        let ready = tokio::time::timeout(READY_WITHIN, until_ready(node, epoch)).await;
        let state = match (ready, node.ready()) {
            (Ok(()), _) | (_, Ok(())) => "ready".to_owned(),
            (_, Err(missing)) => format!("started, but {}", missing.join("; ")),
        };
        println!("{} {}: {state}{}", node.role(), node.name(), node.doors());
    }
}

/// One line per API and door, with a curl line that works when pasted.
fn announce_apis(nodes: &[Node], ca: Option<&Path>) {
    for line in nodes.iter().flat_map(|node| node.api_lines(ca)) {
        println!("{line}");
    }
}

fn show_first_key(nodes: &[Node]) {
    if let Some(key) = nodes.iter().find_map(|node| node.first_key.as_ref()) {
        iam::print_key(key);
    }
}

async fn until_ready(node: &Node, epoch: Option<u64>) {
    while node.ready().is_err() || epoch.is_some_and(|epoch| node.epoch() != epoch) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets everybody in, where everybody is on this machine.
pub(super) fn open_admin(topology: &mut Topology) -> Result<(), Failure> {
    let listen = topology.region.common.admin.listen;
    if !listen.ip().is_loopback() {
        return Err(Failure::Configuration(format!(
            "--open-admin: the region's admin listener is {listen}, which other machines can \
             reach; use it with a loopback address only"
        )));
    }
    topology.region.open_admin = true;
    let (red, plain) = match std::env::var_os("NO_COLOR") {
        Some(_) => ("", ""),
        None => ("\x1b[31m", "\x1b[0m"),
    };
    eprintln!(
        "{red}--open-admin: http://{listen} accepts any credentials, and none. Everybody on this \
         machine can change every API.{plain}"
    );
    Ok(())
}
