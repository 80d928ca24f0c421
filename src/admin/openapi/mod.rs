//! An API definition somebody wrote, read into the model or refused with reasons.
//!
//! OpenAPI 3.0 and 3.1 and Swagger 2.0, as JSON or YAML, with AWS's extensions. Descriptions,
//! schemas, examples and the like change nothing at run time and are passed over, as AWS passes
//! them over without validators. What does change behaviour is either built into the model here or
//! **refused at its place**: a gateway that drops a security rule is worse than none. The refusal
//! needs no list of everything AWS may ever invent. Each reader below claims the extension keys it
//! understood, and the final sweep refuses every `x-amazon-apigateway-` key nobody claimed.
//!
//! The whole document is read even after the first problem, and all are reported together.
//! `$ref` is followed within the document only, for parameters and responses. A base path is left
//! out of the resource tree, which is AWS's default (`basepath=ignore`).
//!
//! The control plane reads and writes documents by other means, which refuse nothing that AWS
//! takes: [`import`], [`apply`] and [`export`].
//!
//! AWS: API Gateway Developer Guide, "Develop REST APIs using OpenAPI in API Gateway" and
//! "OpenAPI extensions for API Gateway".

pub mod apply;
pub mod export;
mod expression;
pub mod import;
mod integration;
mod method;
mod mock;
mod paths;
mod plain;
mod root;
mod syntax;

pub use plain::to_json;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::model::document::{At, Node, Value};
use crate::model::ids::ApiId;
use crate::model::problem::{Findings, Problem, Problems};
use crate::model::quotas;
use crate::model::rest_api::{EndpointType, RestApi};

/// `$ref`s followed from one place before we call it a circle.
const REFERENCE_HOPS_MAX: usize = 16;
/// What every extension of AWS begins with.
const EXTENSION: &str = "x-amazon-apigateway-";
/// Extensions without effect on a REST API's calls, wherever they stand. AWS: "OpenAPI extensions
/// for API Gateway", the pages of these names.
const HARMLESS: [&str; 3] = [
    "x-amazon-apigateway-documentation",
    "x-amazon-apigateway-importexport-version",
    "x-amazon-apigateway-tag-value",
];

/// What the reader is told from outside the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub api_id: ApiId,
    /// Replaces `info.title`.
    pub name: Option<String>,
    /// Replaces the document's endpoint type.
    pub endpoint_type: Option<EndpointType>,
    /// Holds when neither of the above nor the document names a type; AWS's own is `Edge`.
    pub endpoint_type_default: EndpointType,
    /// Milliseconds; the longest `timeoutInMillis` the operator allows.
    pub integration_timeout_max_ms: u32,
}

/// Reads one definition. `file` is only for the problems' text.
///
/// # Errors
/// All that stands in the way of serving the document exactly as written, place by place.
pub fn read(file: &str, bytes: &[u8], options: &Options) -> Result<RestApi, Problems> {
    let findings = Findings::new(file);
    let api = match syntax::parse(bytes, &findings) {
        Some(tree) => Reader::new(&tree, &findings, options).api(),
        None => None,
    };
    findings.into_result()?;
    // Without a problem there is an API: every path to `None` notes why.
    api.ok_or_else(|| Problems::from(Problem::of_file(file, "the document holds no API")))
}

/// Reads the definition in a file.
///
/// # Errors
/// As [`read`], or why the file cannot be read.
pub fn read_file(path: &Path, options: &Options) -> Result<RestApi, Problems> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    File::open(path)
        .and_then(|open| open.take(quotas::DEFINITION_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|err| Problem::of_file(&file, format!("cannot be read: {err}")))?;
    read(&file, &bytes, options)
}

/// Which of the two languages the document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Swagger2,
    OpenApi3,
}

/// One reading of one document.
struct Reader<'a> {
    root: At<'a>,
    options: &'a Options,
    /// Extension values some reader understood, by address in the tree.
    claimed: RefCell<HashSet<*const Node>>,
    /// The root's security is complained about once, by the first operation under it.
    root_security_judged: Cell<bool>,
}

impl<'a> Reader<'a> {
    fn new(tree: &'a Node, findings: &'a Findings, options: &'a Options) -> Self {
        Self {
            root: At::root(tree, findings),
            options,
            claimed: RefCell::default(),
            root_security_judged: Cell::new(false),
        }
    }

    fn api(&self) -> Option<RestApi> {
        if !matches!(self.root.node.value, Value::Map(_)) {
            self.root.problem("the document is not a table", None);
            return None;
        }
        let dialect = self.dialect()?;
        let api = self.definition(dialect);
        self.sweep(&self.root);
        Some(api)
    }

    /// The value of an extension key, which the sweep then leaves alone.
    fn claim(&self, at: &At<'a>, key: &str) -> Option<At<'a>> {
        if let Value::Map(entries) = &at.node.value
            && let Some(node) = entries.get(key)
        {
            self.claimed.borrow_mut().insert(std::ptr::from_ref(node));
        }
        at.get(key)
    }

    /// Refuses every extension of AWS that nobody claimed. Recursion is bounded by the parser's
    /// depth.
    fn sweep(&self, at: &At<'a>) {
        match &at.node.value {
            Value::Map(_) => {
                for (key, value) in at.entries() {
                    if begins_with(key, EXTENSION)
                        && !HARMLESS.contains(&key)
                        && !self.claimed.borrow().contains(&std::ptr::from_ref(value.node))
                    {
                        value.problem(
                            "this extension is not built yet, or has no meaning at this place",
                            Some("take it out, or wait for a release that knows it".to_owned()),
                        );
                    } else {
                        self.sweep(&value);
                    }
                }
            }
            Value::List(_) => at.items().iter().for_each(|item| self.sweep(item)),
            _ => {}
        }
    }

    /// What a `$ref` points at, or the place itself. `None` after a complaint.
    fn resolve(&self, at: &At<'a>) -> Option<At<'a>> {
        let mut place = at.clone();
        for _ in 0..REFERENCE_HOPS_MAX {
            let Some(reference) = place.get("$ref") else { return Some(place) };
            let target = reference.text()?;
            let Some(pointer) = target.strip_prefix("#/") else {
                reference.problem(
                    format!("`{target}` points outside this document"),
                    Some("AWS follows only `#/…`; copy the target in".to_owned()),
                );
                return None;
            };
            let mut node = self.root.node;
            for part in pointer.split('/') {
                let key = part.replace("~1", "/").replace("~0", "~");
                let next = match &node.value {
                    Value::Map(entries) => entries.get(&key),
                    _ => None,
                };
                let Some(next) = next else {
                    reference.problem(format!("`{target}` points at nothing"), None);
                    return None;
                };
                node = next;
            }
            place = place.instead(node);
        }
        at.problem("the references go in a circle", None);
        None
    }
}

/// A key that OpenAPI leaves to vendors; AWS's own are the sweep's business.
fn is_extension(key: &str) -> bool {
    begins_with(key, "x-")
}

fn begins_with(key: &str, prefix: &str) -> bool {
    key.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Says that something known is not built yet.
fn unbuilt(at: &At<'_>, what: &str) {
    at.problem(
        format!("{what} is not built yet"),
        Some("the document is refused, since leaving it out would change behaviour".to_owned()),
    );
}

#[cfg(test)]
pub(in crate::admin) mod testing;
#[cfg(test)]
mod tests;
