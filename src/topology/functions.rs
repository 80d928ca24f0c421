//! `[[function]]` and `[runtimes]`: functions that the region runs itself.
//!
//! An entry with an `endpoint` is a function that somebody else runs; it is not read here. One with a
//! `template` is all functions of a SAM template: see [`serverless`].
//!
//! AWS: Lambda API Reference, "CreateFunction"; Lambda Developer Guide, "Lambda quotas".

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use crate::integration::lambda::local::config::{
    CONCURRENCY_MAX, ENVIRONMENT_BYTES_MAX, HANDLER_MAX, MEMORY_MB_MAX, MEMORY_MB_MIN, TIMEOUT_MAX,
    TIMEOUT_MIN,
};
use crate::integration::lambda::local::{
    FunctionConfig, Package, Runtime, RuntimeKind, Runtimes, environment, names,
};
use crate::model::document::{At, Section};
use crate::model::problem::Problems;
use crate::node::config::FunctionsConfig;
use crate::topology::{serverless, units};

/// Functions of one file.
const FUNCTIONS_MAX: usize = 1_000;
/// Versions and aliases of one function.
const ALIASES_MAX: usize = 100;
/// A program and what it is told; more is a mistake.
const COMMAND_WORDS_MAX: usize = 64;
/// A process without work.
const IDLE_MIN: Duration = Duration::from_secs(1);
const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Functions of one region, by its name and account.
pub(super) fn read(
    list: Option<At<'_>>,
    runtimes_at: Option<At<'_>>,
    folder: &Path,
    region: (&str, &str),
) -> FunctionsConfig {
    let mut functions: Vec<FunctionConfig> = Vec::new();
    let items = list.as_ref().map(At::items).unwrap_or_default();
    if items.len() > FUNCTIONS_MAX
        && let Some(list) = &list
    {
        list.problem(format!("more than {FUNCTIONS_MAX} functions"), None);
    }
    let items = items.into_iter().take(FUNCTIONS_MAX);
    let (elsewhere, own): (Vec<_>, Vec<_>) = items.partition(|at| at.get("endpoint").is_some());
    let (templates, own): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|at| at.get("template").is_some());
    for at in own {
        let place = at.clone();
        let Some(function) = function(Section::new(at), folder) else { continue };
        if functions.iter().any(|other| other.name == function.name) {
            place.problem(format!("there is a function `{}` already", function.name), None);
        }
        functions.push(function);
    }
    // What has an entry of its own is not the template's.
    let names = elsewhere.iter().filter_map(|at| at.get("name")?.text().map(str::to_owned));
    let mut taken: HashSet<String> = names.collect();
    taken.extend(functions.iter().map(|function| function.name.clone()));
    let mut problems = Problems::default();
    for at in templates {
        let place = at.clone();
        let found = serverless::read(Section::new(at), folder, region, &taken);
        for function in found.unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        }) {
            if functions.iter().any(|other| other.name == function.name) {
                place.problem(format!("there is a function `{}` already", function.name), None);
            }
            functions.push(function);
        }
    }
    FunctionsConfig { functions, runtimes: runtimes(runtimes_at, folder), problems }
}

fn function(section: Section<'_>, folder: &Path) -> Option<FunctionConfig> {
    let name = section.require("name").and_then(|at| name(&at));
    let runtime = section.require("runtime").and_then(|at| runtime(&at));
    let handler = section.take("handler").and_then(|at| handler(&at));
    let package = section.require("code").and_then(|at| units::path(&at, folder)).map(package);
    let command = section.take("command").and_then(|at| command(&at));
    let environment = section.take("environment").map(|at| variables(&at)).unwrap_or_default();
    let timeout = section.take("timeout").and_then(|at| timeout(&at));
    let memory = section.take("memory").and_then(|at| memory(&at));
    let pool = Pool::read(&section);
    let aliases = section.take("aliases").map(|at| aliases(&at)).unwrap_or_default();
    let needs_handler = runtime.as_ref().is_some_and(|one| one.kind != RuntimeKind::Provided);
    if needs_handler && command.is_none() && section.at.get("handler").is_none() {
        let hint = "the module and what to call in it, such as handler = \"app.handler\"";
        section.at.problem("`handler` is missing", Some(hint.to_owned()));
    }
    section.finish();

    let mut function = FunctionConfig::new(&name?, runtime?, handler.as_deref(), package?);
    function.command = command;
    function.environment = environment;
    function.timeout = timeout.unwrap_or(function.timeout);
    function.memory_mb = memory.unwrap_or(function.memory_mb);
    pool.apply(&mut function);
    function.aliases = aliases;
    Some(function)
}

/// What AWS has no word for: how many processes, and for how long.
#[derive(Debug)]
pub(super) struct Pool {
    concurrency: Option<usize>,
    idle: Option<Duration>,
    queue: Option<Duration>,
}

impl Pool {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let concurrency =
            section.take("concurrency").and_then(|at| whole(&at, 1, CONCURRENCY_MAX as u64));
        let idle = section.take("idle").and_then(|at| units::duration(&at, IDLE_MIN, IDLE_MAX));
        let queue =
            section.take("queue").and_then(|at| units::duration(&at, Duration::ZERO, TIMEOUT_MAX));
        // Within its bounds it fits.
        let concurrency = concurrency.and_then(|count| usize::try_from(count).ok());
        Self { concurrency, idle, queue }
    }

    pub(super) fn apply(&self, function: &mut FunctionConfig) {
        function.concurrency = self.concurrency.unwrap_or(function.concurrency);
        function.idle = self.idle.unwrap_or(function.idle);
        function.queue = self.queue;
    }
}

/// Seconds, or text with a unit.
pub(super) fn timeout(at: &At<'_>) -> Option<Duration> {
    units::duration(at, TIMEOUT_MIN, TIMEOUT_MAX)
}

/// MiB.
pub(super) fn memory(at: &At<'_>) -> Option<u64> {
    whole(at, MEMORY_MB_MIN, MEMORY_MB_MAX)
}

fn name(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    if !names::is_name(text) {
        let hint = "1 to 64 letters, digits, `-` and `_`; no ARN";
        at.problem(format!("`{text}` is no function's name"), Some(hint.to_owned()));
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn runtime(at: &At<'_>) -> Option<Runtime> {
    let text = at.text()?;
    let runtime = Runtime::parse(text);
    if runtime.is_none() {
        let hint = "such as \"python3.13\", \"nodejs22.x\" or \"provided.al2023\"; a program of \
                    another language is `provided`, with a `command` where it is not `bootstrap`";
        at.problem(format!("runtime `{text}` is not known here"), Some(hint.to_owned()));
    }
    runtime
}

pub(super) fn handler(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let is_good = (1..=HANDLER_MAX).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_good {
        let hint = format!("at most {HANDLER_MAX} characters without space");
        at.problem(format!("`{text}` is no handler"), Some(hint));
        return None;
    }
    Some(text.to_owned())
}

/// What ends in `.zip` is one.
pub(super) fn package(path: PathBuf) -> Package {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        Package::Zip(path)
    } else {
        Package::Folder(path)
    }
}

fn command(at: &At<'_>) -> Option<Vec<String>> {
    let words: Vec<String> = at.texts().into_iter().map(str::to_owned).collect();
    let is_good = (1..=COMMAND_WORDS_MAX).contains(&words.len())
        && words.first().is_some_and(|program| !program.is_empty())
        && words.iter().all(|word| !word.contains('\0'));
    if !is_good {
        let hint = "a list of a program and its arguments, such as [\"./server\", \"--verbose\"]";
        at.problem("no command", Some(hint.to_owned()));
        return None;
    }
    Some(words)
}

pub(super) fn variables(at: &At<'_>) -> IndexMap<String, String> {
    let mut variables = IndexMap::new();
    let mut bytes = 0;
    for (name, value) in at.entries() {
        let Some(text) = value.text() else { continue };
        if !environment::may_set(name) {
            let hint = "letters, digits and `_`, and none of those that Lambda sets itself";
            value.problem(format!("`{name}` cannot be set"), Some(hint.to_owned()));
        } else if text.contains('\0') {
            value.problem("a variable holds no NUL", None);
        }
        bytes += name.len() + text.len();
        variables.insert(name.to_owned(), text.to_owned());
    }
    if bytes > ENVIRONMENT_BYTES_MAX {
        at.problem(format!("{bytes} bytes; Lambda allows {ENVIRONMENT_BYTES_MAX}"), None);
    }
    variables
}

fn aliases(at: &At<'_>) -> Vec<String> {
    let aliases: Vec<String> = at.texts().into_iter().map(str::to_owned).collect();
    if aliases.len() > ALIASES_MAX {
        at.problem(format!("more than {ALIASES_MAX} aliases"), None);
    }
    for alias in aliases.iter().filter(|alias| !names::is_qualifier(alias)) {
        at.problem(format!("`{alias}` is neither an alias nor a version"), None);
    }
    aliases
}

fn runtimes(at: Option<At<'_>>, folder: &Path) -> Runtimes {
    let mut runtimes = Runtimes::default();
    let Some(section) = at.map(Section::new) else { return runtimes };
    let program = |key, default: &mut PathBuf| {
        if let Some(path) = section.take(key).and_then(|at| program(&at, folder)) {
            *default = path;
        }
    };
    program("python", &mut runtimes.python);
    program("node", &mut runtimes.node);
    runtimes.python_client = section.take("python_client").and_then(|at| units::path(&at, folder));
    runtimes.node_client = section.take("node_client").and_then(|at| units::path(&at, folder));
    section.finish();
    runtimes
}

/// A name is looked for where the functions look; with a `/` it is a path.
fn program(at: &At<'_>, folder: &Path) -> Option<PathBuf> {
    let path = units::path(at, folder)?;
    let text = at.text()?;
    Some(if text.contains('/') { path } else { PathBuf::from(text) })
}

fn whole(at: &At<'_>, least: u64, most: u64) -> Option<u64> {
    let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
    at.integer(bound(least), bound(most)).and_then(|value| u64::try_from(value).ok())
}
