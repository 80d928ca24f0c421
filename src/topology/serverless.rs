//! `[[function]]` with a `template`: all functions of a SAM template, run by the region itself.
//!
//! They get the names that `tidegate import` gives them, so that the template's API, once it is
//! imported, finds them. What only AWS can run (images, layers, code in a bucket) is refused by its
//! place in the template, unless the function has an entry of its own in the topology.
//!
//! AWS: Serverless Application Model, "AWS::Serverless::Function"; Lambda API Reference,
//! "CreateFunction".

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use indexmap::IndexMap;

use crate::admin::template::document::{Settings, read as read_template};
use crate::admin::template::local::TemplateFunction;
use crate::integration::lambda::local::{FunctionConfig, Package, Runtime, names};
use crate::model::document::{At, Node, Section, Value};
use crate::model::problem::{Findings, Problem, Problems};
use crate::model::quotas;
use crate::topology::functions::{self, Pool};
use crate::topology::units;

/// What the entry says besides the template.
struct Entry {
    settings: Settings,
    /// For all of its functions; counts more than the template's.
    environment: IndexMap<String, String>,
    pool: Pool,
}

/// The functions of one entry, without those whose names are taken. Mistakes in the entry itself
/// are told to its own findings.
///
/// # Errors
/// All problems of the template.
pub(super) fn read(
    section: Section<'_>,
    folder: &Path,
    (aws_region, account_id): (&str, &str),
    taken: &HashSet<String>,
) -> Result<Vec<FunctionConfig>, Problems> {
    let path = section.take("template").and_then(|at| units::path(&at, folder));
    let stack = section.take("stack_name").and_then(|at| at.text().map(str::to_owned));
    let parameters = section.take("parameters").map(|at| texts(&at)).unwrap_or_default();
    let environment = section.take("environment").map(|at| functions::variables(&at));
    let pool = Pool::read(&section);
    section.finish();
    let Some(path) = path else { return Ok(Vec::new()) };

    let settings =
        Settings { stack: stack.unwrap_or_else(|| stem(&path)), parameters, ..Settings::default() };
    let entry = Entry { settings, environment: environment.unwrap_or_default(), pool };
    let file = path.display().to_string();
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let template = read_template(&file, base, &bytes(&path, &file)?)?;
    let is_set = |name: &str| entry.environment.contains_key(name);
    let found = template.functions(&entry.settings, aws_region, account_id, is_set);
    let found = found.map_err(hinted)?;
    if found.is_empty() {
        let message = "the template has no AWS::Serverless::Function";
        return Err(Problem::of_file(&file, message).into());
    }
    let findings = Findings::new(&file);
    let wanted = found.iter().filter(|function| !taken.contains(&function.name));
    let functions = wanted.filter_map(|one| function(one, &entry, base, &findings)).collect();
    findings.into_result().map(|()| functions)
}

/// As `tidegate import` names a stack that nobody names: `shop.template.json` is `shop`.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.split('.').next().unwrap_or_default().to_owned()
}

fn texts(at: &At<'_>) -> Vec<(String, String)> {
    let entries = at.entries();
    entries.into_iter().filter_map(|(name, at)| Some((name.into(), at.text()?.into()))).collect()
}

fn bytes(path: &Path, file: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    // One byte more than it may have; the reader then says so.
    let most = quotas::DEFINITION_BYTES_MAX + 1;
    File::open(path)
        .and_then(|open| open.take(most).read_to_end(&mut bytes))
        .map_err(|err| Problem::of_file(file, format!("cannot be read: {err}")))?;
    Ok(bytes)
}

/// The same problems, with what a topology can do about them.
fn hinted(mut problems: Problems) -> Problems {
    for problem in &mut problems.found {
        if problem.key.contains(".Environment.Variables.") {
            let hint = "set it in `environment` of the topology's [[function]]";
            problem.hint = Some(hint.to_owned());
        } else if problem.key.starts_with("Parameters") {
            problem.hint = Some("`parameters` of the topology's [[function]]".to_owned());
        }
    }
    problems
}

fn function(
    one: &TemplateFunction,
    entry: &Entry,
    folder: &Path,
    findings: &Findings,
) -> Option<FunctionConfig> {
    let path = format!("Resources.{}.Properties", one.id);
    let section = Section::new(At { node: &one.properties, path, findings });
    if !names::is_name(&one.name) {
        let hint = "give it a FunctionName of 1 to 64 letters, digits, `-` and `_`";
        section.at.problem(format!("`{}` is no function's name", one.name), Some(hint.to_owned()));
        return None;
    }
    if !only_local(&section, &one.name) {
        return None;
    }
    let runtime = section.require("Runtime").and_then(|at| functions::runtime(&at));
    let handler = section.require("Handler").and_then(|at| functions::handler(&at));
    let package = section.require("CodeUri").and_then(|at| code(&at, folder));
    let timeout =
        section.take("Timeout").and_then(|at| functions::timeout(&at.instead(&number(at.node))));
    let memory =
        section.take("MemorySize").and_then(|at| functions::memory(&at.instead(&number(at.node))));
    let alias = section.take("AutoPublishAlias").and_then(|at| alias(&at));
    let environment = environment(section.take("Environment"), entry);

    let runtime: Runtime = runtime?;
    let mut function = FunctionConfig::new(&one.name, runtime, handler.as_deref(), package?);
    function.environment = environment;
    function.timeout = timeout.unwrap_or(function.timeout);
    function.memory_mb = memory.unwrap_or(function.memory_mb);
    function.aliases.extend(alias);
    entry.pool.apply(&mut function);
    Some(function)
}

/// Refuses what nobody but AWS runs.
fn only_local(section: &Section<'_>, name: &str) -> bool {
    let hint = || Some(format!("or give `{name}` a [[function]] of its own in the topology"));
    let mut is_good = true;
    let mut refuse = |at: At<'_>, why: &str| {
        at.problem(why, hint());
        is_good = false;
    };
    if let Some(at) = section.take("PackageType").filter(|at| at.text() == Some("Image")) {
        refuse(at, "container images are not run here");
    }
    if let Some(at) = section.take("ImageUri") {
        refuse(at, "container images are not run here");
    }
    if let Some(at) = section.take("InlineCode") {
        refuse(at, "the code must be a folder or a zip file");
    }
    if let Some(at) = section.take("Layers").filter(|at| at.node.value != Value::List(Vec::new())) {
        refuse(
            at,
            "layers are not put together here; install what they hold into CodeUri's folder",
        );
    }
    is_good
}

/// A folder or a zip file, from the template's folder.
fn code(at: &At<'_>, folder: &Path) -> Option<Package> {
    let is_elsewhere = match &at.node.value {
        Value::Text(text) => text.contains("://"),
        // A bucket and a key.
        _ => true,
    };
    if is_elsewhere {
        let hint = "a folder or a zip file beside the template".to_owned();
        at.problem("code is not fetched from elsewhere", Some(hint));
        return None;
    }
    units::path(at, folder).map(functions::package)
}

fn alias(at: &At<'_>) -> Option<String> {
    let alias = at.text()?;
    if !names::is_qualifier(alias) {
        at.problem(format!("`{alias}` is neither an alias nor a version"), None);
        return None;
    }
    Some(alias.to_owned())
}

fn environment(at: Option<At<'_>>, entry: &Entry) -> IndexMap<String, String> {
    let mut all = IndexMap::new();
    if let Some(at) = at.and_then(|at| at.get("Variables")) {
        let texts = plain(at.node);
        all = functions::variables(&at.instead(&texts));
    }
    all.extend(entry.environment.clone());
    all
}

/// Numbers may be written as text, and come from parameters as text.
fn number(node: &Node) -> Node {
    let value = match &node.value {
        Value::Text(text) => {
            text.trim().parse().map_or_else(|_| node.value.clone(), Value::Integer)
        }
        other => other.clone(),
    };
    Node { value, mark: node.mark }
}

/// A table of scalars, as the texts they are for a process.
fn plain(node: &Node) -> Node {
    let value = match &node.value {
        Value::Boolean(flag) => Value::Text(flag.to_string()),
        Value::Integer(number) => Value::Text(number.to_string()),
        Value::Float(number) => Value::Text(number.to_string()),
        Value::Map(entries) => {
            Value::Map(entries.iter().map(|(name, node)| (name.clone(), plain(node))).collect())
        }
        other => other.clone(),
    };
    Node { value, mark: node.mark }
}

#[cfg(test)]
#[path = "serverless_tests.rs"]
mod tests;
