//! The street door: arguments in, exit codes out, signals heard.
//!
//! Exit codes: 0 a clean stop, 64 bad usage, 78 bad configuration (sysexits.h), 1 anything else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where we talk to people")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidegate::admin::client::Client;
use tidegate::admin::http::PurgeRequest;
use tidegate::admin::iam::users::{self, IamError, NewKey};
use tidegate::admin::template::apply::{self, ApplyError};
use tidegate::admin::template::document::{self, Settings};
use tidegate::admin::template::door::AdminListener;
use tidegate::auth::sigv4::{Scope, Secret, Signer};
use tidegate::cli::{self, AdminDoor, CaCommand, CaPlace, Command, IamCommand, Place};
use tidegate::model::ids::{ApiId, StageName};
use tidegate::model::problem::{Plain, Problem, Problems};
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
use tokio::signal::unix::{SignalKind, signal};
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
        Command::Import(wanted) => import(&wanted),
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
        let is_template = std::fs::read(file).is_ok_and(|bytes| document::is_template(&bytes));
        let checked = match is_template {
            true => check_template(file),
            false => topology::check(file, warn),
        };
        match checked {
            Ok(()) => println!("{}: ok", file.display()),
            Err(problems) => wrong.push(problems.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Configuration(wrong.join("\n"))) }
}

/// A template, with the defaults of its parameters.
fn check_template(file: &Path) -> Result<(), Problems> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file)
        .map_err(|err| Problems::from(Problem::of_file(&name, format!("cannot be read: {err}"))))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let template = document::read(&name, folder, &bytes)?;
    let settings = Settings { stack: "check".to_owned(), ..Settings::default() };
    apply::check(&template, &settings).map(drop)
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
    let mut nodes = Vec::new();
    for node in topology.nodes() {
        let identity = authorities.issue(&node, &node.common().data, &clock).map_err(other)?;
        nodes.push((node, identity));
    }
    let configs = topology.nodes();
    let renewing = authorities.keep_renewed(&configs, &clock);
    serve(nodes, clock.clone(), Some(authorities.public_path()), renewing)
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
        let mut running = Vec::new();
        for (config, identity) in nodes {
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
        announce(&running, ca).await;
        sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
        tokio::select! {
            signal = wait_for_signal() => signal?,
            () = renewing => {}
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

async fn wait_for_signal() -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(other)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(other)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// One line per node and per API, the latter with a curl line that works when pasted.
async fn announce(nodes: &[Node], ca: Option<&Path>) {
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
    show_first_key(nodes);
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

// ---- templates

/// Region to sign for where nobody names one: the bundled topology's.
const REGION_DEFAULT: &str = "us-east-1";

fn import(wanted: &cli::Import) -> Result<(), Failure> {
    let template = read_template(&wanted.template)?;
    let stem = wanted.template.file_stem().unwrap_or_default().to_string_lossy();
    // A stack's name has no dots: `shop.template.json` is `shop`.
    let stem = stem.split('.').next().unwrap_or_default().to_owned();
    let settings = Settings {
        stack: wanted.stack_name.clone().unwrap_or(stem),
        parameters: wanted.parameters.clone(),
        exports: wanted.exports.clone(),
    };
    let door = AdminListener::new(client(&wanted.door)?, signer(wanted)?, Clock::system());
    let run = apply::apply(&template, &settings, &door, wanted.dry_run);
    let report = block_on(run)?.map_err(|error| match error {
        ApplyError::Template(problems) => problems.into(),
        ApplyError::Region(reason) => other(Plain(&reason)),
    })?;
    if wanted.dry_run {
        println!("a dry run: nothing is changed");
    }
    for line in report.to_string().lines() {
        println!("{}", Plain(line));
    }
    if report.is_good() {
        return Ok(());
    }
    Err(other(
        "not everything is as the template says; see above, and repeat the run when it is mended",
    ))
}

fn read_template(file: &Path) -> Result<document::Template, Failure> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file)
        .map_err(|err| Failure::Configuration(format!("{name}: cannot be read: {err}")))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    Ok(document::read(&name, folder, &bytes)?)
}

/// The access key of the environment, as AWS's tools have it; without one nothing is signed.
fn signer(wanted: &cli::Import) -> Result<Option<Signer>, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some((id, secret)) = set("AWS_ACCESS_KEY_ID").zip(set("AWS_SECRET_ACCESS_KEY")) else {
        return Ok(None);
    };
    let named = wanted.region.clone().or_else(|| set("AWS_REGION"));
    let aws_region = match named.or_else(|| set("AWS_DEFAULT_REGION")) {
        Some(region) => region,
        None if wanted.door.topology.is_some() => {
            let topology = wanted.door.topology.as_deref();
            read_topology(topology, &Overrides::default())?.region.common.cluster.aws_region
        }
        None => REGION_DEFAULT.to_owned(),
    };
    let scope = Scope { aws_region, service: "apigateway".to_owned() };
    let secret = Secret {
        secret_access_key: Zeroizing::new(secret),
        session_token: set("AWS_SESSION_TOKEN").map(Zeroizing::new),
    };
    Ok(Some(Signer { access_key_id: id, secret, scope }))
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
