//! The street door: arguments in, exit codes out, signals heard.
//!
//! Exit codes: 0 a clean stop, 64 bad usage, 78 bad configuration (sysexits.h), 1 anything else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where we talk to people")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidegate::admin::client::Client;
use tidegate::admin::http::PurgeRequest;
use tidegate::admin::iam::users::{self, IamError, NewKey};
use tidegate::cli::{self, AdminDoor, CaCommand, CaPlace, Command, IamCommand, Place};
use tidegate::model::ids::{ApiId, StageName};
use tidegate::model::problem::{Plain, Problems};
use tidegate::net::ca::PUBLIC_CA_CERTIFICATE;
use tidegate::net::clock::Clock;
use tidegate::net::socket::{Machine, Network};
use tidegate::net::tasks::Tasks;
use tidegate::node::config::NodeConfig;
use tidegate::node::identity::{self, Authorities, Identity};
use tidegate::node::{self, Environment, Node, StartError};
use tidegate::store::control::{self, ControlStore, Txn};
use tidegate::telemetry::logs;
use tidegate::topology::{self, Overrides, Topology};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for gossip, tunnel, admin and files of all nodes of the process.
const CONTROL_THREADS: usize = 2;
/// Time in which a node of `up` becomes ready; afterwards it goes on, and the line says what is
/// missing.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Folder of the authorities below the data folder of `up`.
const CA_FOLDER: &str = "ca";
const DATA_FOLDER: &str = "tidegate-data";

/// Why a command ends otherwise than well.
enum Failure {
    /// What the user wrote in files.
    Configuration(String),
    Other(String),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Failure::Configuration(problems.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        if error.is_configuration() {
            Failure::Configuration(error.to_string())
        } else {
            Failure::Other(error.to_string())
        }
    }
}

fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if this cannot be printed.
            error.print().ok();
            return ExitCode::from(cli::exit_code(&error));
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(text)) => {
            eprintln!("{}", text.trim_end());
            ExitCode::from(cli::EXIT_CONFIG)
        }
        Err(Failure::Other(text)) => {
            eprintln!("tidegate: {}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(up) => {
            let overrides = Overrides { data: up.place.data.clone(), port_base: up.port_base };
            let mut topology = read_topology(up.place.topology.as_deref(), &overrides)?;
            if !up.apis.is_empty() {
                topology.region.apis = topology::apis_from_documents(&up.apis, &topology)?;
            }
            if up.open_admin {
                open_admin(&mut topology)?;
            }
            serve_all(&topology, up.place.data.as_deref())
        }
        Command::Node(wanted) => {
            let overrides = Overrides { data: wanted.data.clone(), port_base: None };
            let topology = topology::read(&wanted.topology, &overrides)?;
            let node =
                topology.node(&wanted.name).ok_or_else(|| unknown(&topology, &wanted.name))?;
            serve_one(node)
        }
        Command::Check(check) => check_files(&check.files),
        Command::Status(status) => {
            let client = client(&status.door)?;
            let answer = block_on(client.status())?.map_err(other)?;
            if status.json {
                println!("{}", serde_json::to_string_pretty(&answer).map_err(other)?);
            } else {
                print!("{}", answer.to_table());
            }
            Ok(())
        }
        Command::Purge(purge) => {
            let client = client(&purge.door)?;
            let request = PurgeRequest {
                api: ApiId::new(&purge.api),
                stage: StageName::new(&purge.stage),
                path: purge.path,
            };
            let outcome = block_on(client.purge(&request))?.map_err(other)?;
            let confirmed = outcome.nodes.iter().filter(|node| node.confirmed).count();
            println!(
                "purge {}: {confirmed} of {} nodes confirmed",
                outcome.seq,
                outcome.nodes.len()
            );
            for late in outcome.nodes.iter().filter(|node| !node.confirmed) {
                println!("  {} has not; it drops the answers before it serves again", late.name);
            }
            Ok(())
        }
        Command::Backup(wanted) => back_up(&wanted),
        Command::Iam(iam) => manage(iam.command),
        Command::Ca(ca) => match ca.command {
            CaCommand::Init(place) => init_ca(&place),
            CaCommand::Issue { node, place } => issue(&node, &place),
        },
    }
}

fn read_topology(file: Option<&Path>, overrides: &Overrides) -> Result<Topology, Failure> {
    Ok(match file {
        Some(path) => topology::read(path, overrides)?,
        None => {
            topology::read_text("one-box.toml", Path::new("."), topology::bundled(), overrides)?
        }
    })
}

fn unknown(topology: &Topology, name: &str) -> Failure {
    let known: Vec<String> =
        topology.nodes().iter().map(|node| node.common().name.to_string()).collect();
    Failure::Configuration(format!(
        "the topology has no node `{name}`; it has {}",
        known.join(", ")
    ))
}

fn check_files(files: &[PathBuf]) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for file in files {
        let warn = |file: &str, text: &str| eprintln!("{}: warning: {}", Plain(file), Plain(text));
        match topology::check(file, warn) {
            Ok(()) => println!("{}: ok", file.display()),
            Err(problems) => wrong.push(problems.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Configuration(wrong.join("\n"))) }
}

// ---- nodes

/// All nodes of a topology, in this process.
fn serve_all(topology: &Topology, data: Option<&Path>) -> Result<(), Failure> {
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
fn serve_one(node: NodeConfig) -> Result<(), Failure> {
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

fn control_runtime() -> Result<Runtime, Failure> {
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
        print_key(key);
    }
}

async fn until_ready(node: &Node, epoch: Option<u64>) {
    while node.ready().is_err() || epoch.is_some_and(|epoch| node.epoch() != epoch) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// ---- the control plane's store

fn back_up(wanted: &cli::Backup) -> Result<(), Failure> {
    let overrides = Overrides { data: wanted.place.data.clone(), port_base: None };
    let topology = read_topology(wanted.place.topology.as_deref(), &overrides)?;
    let store = &topology.region.store;
    let made = block_on(control::backup(&store.database, &wanted.file))?.map_err(other)?;
    println!(
        "backed up {} objects at revision {} to {}, {} bytes",
        made.objects,
        made.revision,
        wanted.file.display(),
        made.bytes
    );
    println!("  it can only be read with the {}: keep that, too, and apart", store.key);
    Ok(())
}

// ---- the cluster's authorities

fn init_ca(place: &CaPlace) -> Result<(), Failure> {
    let topology = read_topology(place.topology.as_deref(), &Overrides::default())?;
    let cluster = &topology.region.common.cluster.name;
    let made = Authorities::init(&place.out, cluster, &Clock::system()).map_err(other)?;
    println!("made the authorities of cluster `{cluster}` in {}", place.out.display());
    println!("  nodes trust {}", place.out.join("cluster-ca.pem").display());
    println!("  HTTPS clients trust {}", made.public_path().display());
    Ok(())
}

fn issue(name: &str, place: &CaPlace) -> Result<(), Failure> {
    let topology = read_topology(place.topology.as_deref(), &Overrides::default())?;
    let node = topology.node(name).ok_or_else(|| unknown(&topology, name))?;
    let authorities = Authorities::load(&place.out)
        .map_err(|error| other(format!("{error}\n  `tidegate ca init` makes the authorities")))?;
    authorities.issue(&node, &place.out, &Clock::system()).map_err(other)?;
    let path = |file: String| place.out.join(file).display().to_string();
    println!("issued {name}; bring these to its data folder on its machine:");
    println!("  {}", path("cluster-ca.pem".to_owned()));
    for end in [".pem", ".key", "-https.pem", "-https.key"] {
        println!("  {}", path(format!("{name}{end}")));
    }
    println!("and, for its own clients there: {}", path(PUBLIC_CA_CERTIFICATE.to_owned()));
    Ok(())
}

// ---- users of the control plane

/// Lets everybody in, where everybody is on this machine.
fn open_admin(topology: &mut Topology) -> Result<(), Failure> {
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

fn manage(command: IamCommand) -> Result<(), Failure> {
    let now = Clock::system().now();
    match command {
        IamCommand::List { json, place } => {
            let found = with_store(&place, |txn| Ok(users::list(txn)))?;
            if json {
                println!("{}", serde_json::to_string_pretty(&found).map_err(other)?);
            } else {
                print!("{}", users::table(&found));
            }
        }
        IamCommand::CreateUser { user, place } => {
            let name = user.clone();
            with_store(&place, move |txn| users::create_user(txn, &name, now))?;
            println!("user {user} is there; `tidegate iam attach-policy` lets it do something");
        }
        IamCommand::DeleteUser { user, place } => {
            let name = user.clone();
            with_store(&place, move |txn| users::delete_user(txn, &name))?;
            println!("user {user} is gone, with its keys and policies");
        }
        IamCommand::CreateKey { user, access_key_id, secret_file, place } => {
            let given = match (access_key_id, secret_file) {
                (Some(id), Some(file)) => {
                    let secret = std::fs::read_to_string(&file)
                        .map_err(|err| other(format!("{}: {err}", file.display())))?;
                    Some((id, Zeroizing::new(secret.trim_end().to_owned())))
                }
                _ => None,
            };
            let key = with_store(&place, move |txn| match &given {
                Some((id, secret)) => users::take_key(txn, &user, id, secret, now),
                None => users::create_key(txn, &user, now),
            })?;
            print_key(&key);
        }
        IamCommand::DeleteKey { access_key_id, place } => {
            let id = access_key_id.clone();
            with_store(&place, move |txn| users::delete_key(txn, &id))?;
            println!("access key {access_key_id} opens nothing any more");
        }
        IamCommand::AttachPolicy { user, policy, file, place } => {
            let read = |file: PathBuf| {
                std::fs::read_to_string(&file)
                    .map_err(|err| other(format!("{}: {err}", file.display())))
            };
            let document = file.map(read).transpose()?;
            let (name, known) = (user.clone(), policy.clone());
            with_store(&place, move |txn| {
                users::attach_policy(txn, &name, &known, document.as_deref())
            })?;
            println!("user {user} has policy {policy}");
        }
        IamCommand::DetachPolicy { user, policy, place } => {
            let (name, known) = (user.clone(), policy.clone());
            with_store(&place, move |txn| users::detach_policy(txn, &name, &known))?;
            println!("user {user} has policy {policy} no more");
        }
    }
    Ok(())
}

/// One change of the region's store, whether the region runs or not.
fn with_store<T: Send + 'static>(
    place: &Place,
    work: impl FnMut(&mut Txn) -> Result<T, IamError> + Send + 'static,
) -> Result<T, Failure> {
    let overrides = Overrides { data: place.data.clone(), port_base: None };
    let topology = read_topology(place.topology.as_deref(), &overrides)?;
    let region = &topology.region;
    std::fs::create_dir_all(&region.common.data).map_err(other)?;
    let config = region.store.clone().control();
    let runtime = control_runtime()?;
    runtime.block_on(async {
        let tasks = Tasks::new(runtime.handle().clone());
        let store = ControlStore::open(config, Clock::system(), tasks.clone()).await;
        let store = store.map_err(other)?;
        let done = store.transact(work).await;
        tasks.stopped().cancel();
        tasks.ended().await;
        done.map_err(other)?.map(|committed| committed.value).map_err(other)
    })
}

/// The only time a secret is shown.
fn print_key(key: &NewKey) {
    println!("access key of user {}; the secret is shown this once:", key.user);
    println!("  export AWS_ACCESS_KEY_ID={}", key.access_key_id);
    println!("  export AWS_SECRET_ACCESS_KEY={}", key.secret_access_key.as_str());
}

// ---- questions to a running node

fn client(door: &AdminDoor) -> Result<Client, Failure> {
    let url = match &door.admin {
        Some(url) => url.clone(),
        None => {
            let topology = read_topology(door.topology.as_deref(), &Overrides::default())?;
            let admin = &topology.region.common.admin;
            let scheme = if admin.https { "https" } else { "http" };
            format!("{scheme}://{}", admin.listen)
        }
    };
    let own = door.cert.as_deref().zip(door.key.as_deref());
    let tls = door.ca.as_deref().map(|ca| trusting(ca, own)).transpose()?;
    Client::new(&url, tls, Arc::new(Machine)).map_err(other)
}

fn trusting(ca: &Path, own: Option<(&Path, &Path)>) -> Result<Arc<rustls::ClientConfig>, Failure> {
    let failed = |err: &dyn std::fmt::Display| other(format!("{}: {err}", ca.display()));
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca).map_err(|err| failed(&err))? {
        let root = root.map_err(|err| failed(&err))?;
        roots.add(root).map_err(|err| failed(&err))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| failed(&err))?
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let failed = |err: &dyn std::fmt::Display| other(format!("{}: {err}", cert.display()));
            let chain = CertificateDer::pem_file_iter(cert)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|err| failed(&err))?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|err| other(format!("{}: {err}", key.display())))?;
            config.with_client_auth_cert(chain, secret).map_err(|err| failed(&err))?
        }
    };
    Ok(Arc::new(config))
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(Builder::new_current_thread().enable_all().build().map_err(other)?.block_on(future))
}
