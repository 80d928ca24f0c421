//! The topology file: which nodes are there, where do they listen, what do they serve?
//!
//! The file is read as written, every mistake in it is listed with line and nearest known key, and
//! what is left is handed on as each node's checked config. Nothing after this step can fail on
//! configuration. All nodes of a cluster read the same file, on one machine or on many, so that
//! they agree on names, seeds and addresses by construction. Relative paths count from the file's
//! folder; only a data folder that nobody names lies where the program runs.
//!
//! Every key is explained once in `topology/one-box.toml`. What this module does not do: open the
//! files and ports it names, but for templates of functions.

mod apis;
mod balancers;
mod functions;
mod nodes;
mod ports;
mod serverless;
mod services;
mod shared;
mod store;
mod syntax;
mod units;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::integration::lambda::local::Package;
use crate::model::document::{At, Section};
use crate::model::problem::{Findings, Problem, Problems};
use crate::node::config::{ApiConfig, Document, EdgeConfig, NodeConfig, RegionConfig};
use crate::node::documents;

/// A file this long is not read to its end; the parser then says so.
const FILE_BYTES_READ_MAX: u64 = 4 * 1024 * 1024;

/// What the command line puts above the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data DIR`: each node's folder is `DIR/{node name}`.
    pub data: Option<PathBuf>,
    /// `--port-base N`: every listener moves. With the edges numbered from 0 in the file's order:
    ///
    /// | node | ports |
    /// |---|---|
    /// | region | admin N, tunnel N+1, gossip N+2, public N+3, private N+4, plain N+5 |
    /// | edge i | public N+10(i+1), gossip +1, admin +2, plain +3 |
    ///
    /// Only ports move: a listener that is off stays off, and addresses stay. Tunnel addresses that
    /// name the region's old tunnel port follow it.
    pub port_base: Option<u16>,
}

/// All nodes of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    pub region: RegionConfig,
    /// In the file's order.
    pub edges: Vec<EdgeConfig>,
}

impl Topology {
    /// The region first, then the edges.
    pub fn nodes(&self) -> Vec<NodeConfig> {
        let region = NodeConfig::Region(Box::new(self.region.clone()));
        let edges = self.edges.iter().map(|edge| NodeConfig::Edge(Box::new(edge.clone())));
        std::iter::once(region).chain(edges).collect()
    }

    pub fn node(&self, name: &str) -> Option<NodeConfig> {
        self.nodes().into_iter().find(|node| node.common().name.as_str() == name)
    }
}

/// The topology `up` uses when it is given none.
pub fn bundled() -> &'static str {
    include_str!("../../topology/one-box.toml")
}

/// Reads and checks a topology file.
///
/// # Errors
/// All problems of the file, or why it cannot be read.
pub fn read(path: &Path, overrides: &Overrides) -> Result<Topology, Problems> {
    let file = path.display().to_string();
    let mut text = String::new();
    File::open(path)
        .and_then(|open| open.take(FILE_BYTES_READ_MAX).read_to_string(&mut text))
        .map_err(|err| Problem::of_file(&file, format!("cannot be read: {err}")))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    read_text(&file, folder, &text, overrides)
}

/// Reads and checks a topology's text. `file` is for the problems' text only; relative paths count
/// from `folder`.
///
/// # Errors
/// All problems of the text.
pub fn read_text(
    file: &str,
    folder: &Path,
    text: &str,
    overrides: &Overrides,
) -> Result<Topology, Problems> {
    let findings = Findings::new(file);
    let topology = syntax::parse(text, &findings).and_then(|tree| {
        let root = Section::new(At::root(&tree, &findings));
        let topology = nodes::read(&root, folder, overrides);
        root.finish();
        topology
    });
    findings.into_result()?;
    topology.ok_or_else(|| Problem::of_file(file, "the file describes no cluster").into())
}

/// The APIs of `tidegate up FILE…`: named and numbered after the file's stem, on stage `prod`, with
/// the cache off as AWS has it; EDGE where the topology has edges, else REGIONAL, unless the
/// definition says otherwise. The definitions themselves are read by [`documents::load`].
///
/// # Errors
/// Two files of one stem would get the same URL.
pub fn apis_from_documents(
    paths: &[PathBuf],
    topology: &Topology,
) -> Result<Vec<ApiConfig>, Problems> {
    let mut apis: Vec<ApiConfig> = Vec::new();
    for path in paths {
        let api = api_from_document(path, topology);
        if let Some(other) = apis.iter().find(|other| other.id == api.id) {
            let mut problem = Problem::of_file(
                &path.display().to_string(),
                format!("another API is already named `{}`", other.label),
            );
            problem.hint = Some("rename one file, or list both in a topology file".to_owned());
            return Err(problem.into());
        }
        apis.push(api);
    }
    Ok(apis)
}

/// One API of [`apis_from_documents`].
pub fn api_from_document(path: &Path, topology: &Topology) -> ApiConfig {
    let has_edges = !topology.edges.is_empty();
    apis::of_document(Document::File(path.to_owned()), has_edges)
}

/// What `tidegate check FILE` looks at: a topology (`.toml`) with all definitions and PEM files it
/// names, or an API definition (anything else).
///
/// What is passed over goes to `warn`, one document's file and one line of text after the other;
/// it makes no file wrong.
///
/// # Errors
/// All problems found.
pub fn check(path: &Path, mut warn: impl FnMut(&str, &str)) -> Result<(), Problems> {
    let mut examine = |api: &ApiConfig, topology: &Topology| {
        let region = &topology.region;
        let (site, timeouts) = (region.common.site(), &region.common.timeouts);
        let examined = documents::examine(api, &site, timeouts, region.doors());
        examined.warnings.iter().for_each(|warning| warn(&examined.file, warning));
        examined.outcome.map(drop)
    };
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("toml")) {
        let topology = read_text("one-box.toml", Path::new("."), bundled(), &Overrides::default())?;
        let api = api_from_document(path, &topology);
        return examine(&api, &topology);
    }
    let topology = read(path, &Overrides::default())?;
    let mut problems = Problems::default();
    for api in &topology.region.apis {
        if let Err(found) = examine(api, &topology) {
            problems.extend(found);
        }
    }
    let common = &topology.region.common;
    let pems =
        common.certificates.iter().flat_map(|certificate| [&certificate.cert, &certificate.key]);
    let balancers = topology.region.balancers.iter().flat_map(|balancer| &balancer.tls_roots);
    let secrets = topology.region.aws.files();
    let roots = topology.region.backends.roots.iter().chain(balancers);
    for pem in pems.chain(roots).chain(secrets) {
        if let Err(err) = File::open(pem) {
            let file = pem.display().to_string();
            problems.found.push(Problem::of_file(&file, format!("cannot be read: {err}")));
        }
    }
    problems.extend(topology.region.functions.problems.clone());
    for function in &topology.region.functions.functions {
        let (Package::Folder(code) | Package::Zip(code)) = &function.package;
        if let Err(err) = std::fs::metadata(code) {
            let file = code.display().to_string();
            problems.found.push(Problem::of_file(&file, format!("cannot be read: {err}")));
        }
    }
    problems.into_result()
}

#[cfg(test)]
mod tests;
