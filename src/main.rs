//! The street door: arguments in, exit codes out, signals heard.
//!
//! Exit codes: 0 a clean stop, 64 bad usage, 78 bad configuration (sysexits.h), 1 anything else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where we talk to people")]

#[path = "main/ask.rs"]
mod ask;
#[path = "main/authorities.rs"]
mod authorities;
#[path = "main/cors.rs"]
mod cors;
#[path = "main/iam.rs"]
mod iam;
#[path = "main/serve.rs"]
mod serve;
#[path = "main/templates.rs"]
mod templates;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate::admin::http::PurgeRequest;
use tidegate::admin::template::document;
use tidegate::cli::{self, CaCommand, Command, CorsCommand};
use tidegate::model::ids::{ApiId, StageName};
use tidegate::model::problem::{Plain, Problems};
use tidegate::node::StartError;
use tidegate::store::control;
use tidegate::topology::{self, Overrides, Topology};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
                serve::open_admin(&mut topology)?;
            }
            serve::serve_all(&topology, up.place.data.as_deref())
        }
        Command::Node(wanted) => {
            let overrides = Overrides { data: wanted.data.clone(), port_base: None };
            let topology = topology::read(&wanted.topology, &overrides)?;
            let node =
                topology.node(&wanted.name).ok_or_else(|| unknown(&topology, &wanted.name))?;
            serve::serve_one(node)
        }
        Command::Check(check) => check_files(&check.files),
        Command::Status(status) => {
            let client = ask::client(&status.door)?;
            let answer = block_on(client.status())?.map_err(other)?;
            if status.json {
                println!("{}", serde_json::to_string_pretty(&answer).map_err(other)?);
            } else {
                print!("{}", answer.to_table());
            }
            Ok(())
        }
        Command::Purge(purge) => {
            let client = ask::client(&purge.door)?;
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
        Command::Import(wanted) => templates::import(&wanted),
        Command::Cors(cors) => match cors.command {
            CorsCommand::Enable(wanted) => cors::enable(&wanted),
        },
        Command::Backup(wanted) => back_up(&wanted),
        Command::Iam(iam) => iam::manage(iam.command),
        Command::Ca(ca) => match ca.command {
            CaCommand::Init(place) => authorities::init_ca(&place),
            CaCommand::Issue { node, place } => authorities::issue(&node, &place),
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
            true => templates::check(file),
            false => topology::check(file, warn),
        };
        match checked {
            Ok(()) => println!("{}: ok", file.display()),
            Err(problems) => wrong.push(problems.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Configuration(wrong.join("\n"))) }
}

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

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(Builder::new_current_thread().enable_all().build().map_err(other)?.block_on(future))
}
