//! An OpenAPI document, read into an API definition in AWS's own shape.
//!
//! Swagger 2.0, OpenAPI 3.0 and 3.1, JSON or YAML, with every `x-amazon-apigateway-` extension.
//! The definition is kept whole, also where no part of the gateway can serve it yet: that is for a
//! stage to refuse. It has the shape of [`crate::admin::rest::definition`], with names where ids
//! will stand (`authorizerId`, `requestValidatorId`) and without the ids themselves, so that one
//! document always gives one definition; [`super::apply`] puts it into a store.
//!
//! Three things come besides. *Problems* are what AWS would refuse, all of them with their places.
//! *Warnings* are what is passed over. *Places* lead from a part of the definition back to the
//! document. A key of AWS's that nobody here knows is a problem: it could be a rule of security.
//!
//! What a document asks for may be far longer than the document, since references multiply. The
//! reader therefore pays for everything it writes, and a document that costs too much is refused.
//!
//! AWS: API Gateway Developer Guide, "Develop REST APIs using OpenAPI in API Gateway", "OpenAPI
//! extensions for API Gateway" and "Amazon API Gateway important notes".

mod base_path;
mod documentation;
mod integration;
mod method;
mod paths;
mod places;
mod root;
mod schemas;
mod security;
pub(in crate::admin) mod tree;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use serde_json::{Map, Number, Value as Json};

use crate::admin::openapi::{EXTENSION, REFERENCE_HOPS_MAX, begins_with, syntax};
use crate::admin::protocol::operation::Site;
use crate::model::document::{At, Node, Value};
use crate::model::problem::{self, Findings, Problem, Problems};

pub use places::{Places, Written};
pub(in crate::admin) use schemas::MODELS_URL;

/// Bytes a definition may cost, texts, names and [`COST`] for each value: ours, ten times the
/// longest document.
const BUDGET: usize = 64 * 1024 * 1024;
/// What a value costs besides its text.
const COST: usize = 32;
/// Warnings listed; further ones are counted. Ours.
const WARNINGS_MAX: usize = 200;

/// What to do with the path under which the document says its API lives. AWS: "Set the OpenAPI
/// basePath property".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BasePath {
    #[default]
    Ignore,
    Prepend,
    /// As prepend, without its first part, which is taken for the stage.
    Split,
}

/// What the reader is told from outside the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The API the definition is for; references between models carry it.
    pub api_id: String,
    /// For `${AWS::Region}` and the like.
    pub site: Site,
    pub base_path: BasePath,
    /// Whether documentation parts are read.
    pub documentation: bool,
    /// Milliseconds; the longest `timeoutInMillis` the operator allows.
    pub integration_timeout_max_ms: u32,
    /// What to do about a longer one.
    pub integration_timeout_hint: Option<&'static str>,
}

impl Options {
    /// AWS's own defaults for an API at a site.
    pub fn new(api_id: &str, site: &Site) -> Self {
        let most = site.installation.integration_timeout_max_ms;
        Self {
            api_id: api_id.to_owned(),
            site: site.clone(),
            base_path: BasePath::Ignore,
            documentation: true,
            integration_timeout_max_ms: u32::try_from(most).unwrap_or(u32::MAX),
            integration_timeout_hint: None,
        }
    }
}

/// A document, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// `restApi`, `resources` (parents before children), `models`, `requestValidators`,
    /// `authorizers`, `gatewayResponses`; with documentation also `documentationParts` and
    /// `documentationVersion`.
    pub definition: Map<String, Json>,
    pub warnings: Vec<String>,
    pub places: Places,
}

/// Why there is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Not JSON, not YAML, or neither Swagger 2.0 nor OpenAPI 3.
    #[error("Invalid OpenAPI input.\n{0}")]
    NoDocument(Problems),
    /// A document that AWS would refuse, or that costs too much.
    #[error("{0}")]
    Faulty(Problems),
}

impl ImportError {
    pub fn problems(&self) -> &Problems {
        match self {
            ImportError::NoDocument(problems) | ImportError::Faulty(problems) => problems,
        }
    }
}

/// Reads a document. `file` is only for the problems' text.
///
/// # Errors
/// All that is wrong with it.
pub fn read(file: &str, bytes: &[u8], options: &Options) -> Result<Import, ImportError> {
    let (import, findings) = survey(file, bytes, options)?;
    findings.into_result().map_err(ImportError::Faulty)?;
    Ok(import)
}

/// As [`read`], for callers who look for further problems: what could be read, and what is wrong
/// with it so far.
///
/// # Errors
/// Nothing could be read, or too much was asked for.
pub fn survey(
    file: &str,
    bytes: &[u8],
    options: &Options,
) -> Result<(Import, Findings), ImportError> {
    let findings = Findings::new(file);
    let Some(mut tree) = syntax::parse(bytes, &findings) else {
        return Err(ImportError::NoDocument(problems_of(file, findings)));
    };
    substitute(&mut tree, &options.site);
    let root = At::root(&tree, &findings);
    let Some(dialect) = root::dialect(&root) else {
        return Err(ImportError::NoDocument(problems_of(file, findings)));
    };
    let reader = Reader::new(root, dialect, options);
    let definition = reader.definition();
    if reader.is_spent() {
        // What was read since is cut off, and complaints about it would mislead.
        let message = "the document asks for a definition that is too long";
        return Err(ImportError::Faulty(Problem::of_file(file, message).into()));
    }
    reader.sweep(&reader.root);
    let Reader { warnings, places, .. } = reader;
    let (warnings, places) = (warnings.into_texts(), places.into_inner());
    Ok((Import { definition, warnings, places }, findings))
}

fn problems_of(file: &str, findings: Findings) -> Problems {
    let nothing = || Problems::from(Problem::of_file(file, "the document holds no API"));
    findings.into_result().err().unwrap_or_else(nothing)
}

/// Fills in AWS's variables, anywhere in the document. No value is longer than its variable by
/// more than an account's region may be, and the parser has bounded the tree.
fn substitute(node: &mut Node, site: &Site) {
    match &mut node.value {
        Value::Text(text) if text.contains("${AWS::") => {
            *text = text
                .replace("${AWS::AccountId}", &site.account_id)
                .replace("${AWS::Partition}", &site.partition)
                .replace("${AWS::Region}", &site.aws_region);
        }
        Value::List(items) => items.iter_mut().for_each(|item| substitute(item, site)),
        Value::Map(entries) => entries.values_mut().for_each(|entry| substitute(entry, site)),
        _ => {}
    }
}

/// In which language the document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Swagger2,
    OpenApi30,
    OpenApi31,
}

/// One reading of one document.
struct Reader<'a> {
    root: At<'a>,
    dialect: Dialect,
    options: &'a Options,
    warnings: Warnings,
    places: RefCell<Places>,
    /// Extension values some reader understood, by address in the tree.
    claimed: RefCell<HashSet<*const Node>>,
    /// What is left of [`BUDGET`]; `None` once it is used up.
    budget: Cell<Option<usize>>,
    models: RefCell<schemas::Models>,
    security: security::Schemes,
}

impl<'a> Reader<'a> {
    fn new(root: At<'a>, dialect: Dialect, options: &'a Options) -> Self {
        let mut reader = Self {
            root,
            dialect,
            options,
            warnings: Warnings::default(),
            places: RefCell::default(),
            claimed: RefCell::default(),
            budget: Cell::new(Some(BUDGET)),
            models: RefCell::default(),
            security: security::Schemes::default(),
        };
        reader.security = security::read(&reader);
        reader
    }

    /// Pays for something that is to be written; `false` when it must not be.
    fn spend(&self, bytes: usize) -> bool {
        let Some(left) = self.budget.get() else { return false };
        let left = left.checked_sub(bytes.saturating_add(COST));
        self.budget.set(left);
        left.is_some()
    }

    fn is_spent(&self) -> bool {
        self.budget.get().is_none()
    }

    /// A copy of a text of the document; empty when it can no longer be paid for.
    fn own(&self, text: &str) -> String {
        if self.spend(text.len()) { text.to_owned() } else { String::new() }
    }

    /// Notes where a part of the definition comes from.
    fn place(&self, place: &str, at: &At<'_>) {
        if self.spend(place.len().saturating_add(at.path.len())) {
            self.places.borrow_mut().insert(place.to_owned(), at.into());
        }
    }

    /// As [`Reader::place`], for what was looked up earlier.
    fn place_as(&self, place: &str, written: &Written) {
        if self.spend(place.len().saturating_add(written.key.len())) {
            self.places.borrow_mut().insert(place.to_owned(), written.clone());
        }
    }

    /// Notes where each entry of a table comes from.
    fn place_members(&self, place: &str, at: &At<'_>) {
        let Value::Map(entries) = &at.node.value else { return };
        for key in entries.keys() {
            if let Some(member) = at.get(key) {
                self.place(&format!("{place} {key}"), &member);
            }
        }
    }

    /// Says that something is passed over.
    fn warn(&self, at: &At<'_>, message: impl AsRef<str>) {
        let (line, column) = at.node.mark;
        let message = message.as_ref();
        let key = &at.path;
        self.warnings.add(format!("{message} ({key}, line {line}, column {column})"));
    }

    /// Warns of keys that mean nothing here. Keys of AWS's own are the sweep's business, other
    /// vendors' nobody's.
    fn warn_unknown(&self, at: &At<'a>, known: &[&str]) {
        let Value::Map(entries) = &at.node.value else { return };
        for key in entries.keys() {
            if !known.contains(&key.as_str())
                && !begins_with(key, "x-")
                && let Some(value) = at.get(key)
            {
                let near = problem::nearest(key, known).filter(|hint| hint.ends_with('?'));
                let near = near.map(|hint| format!("; {hint}")).unwrap_or_default();
                self.warn(&value, format!("Unknown key `{key}` is ignored{near}"));
            }
        }
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
                    if !begins_with(key, EXTENSION) {
                        self.sweep(&value);
                    } else if !self.claimed.borrow().contains(&std::ptr::from_ref(value.node)) {
                        value.problem(
                            "this extension is not known, or has no meaning at this place",
                            Some("take it out, or wait for a release that knows it".to_owned()),
                        );
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

    /// A part of the document as JSON, as it stands.
    fn json(&self, at: &At<'_>) -> Json {
        self.plain(at.node, at)
    }

    fn plain(&self, node: &Node, at: &At<'_>) -> Json {
        if !self.spend(0) {
            return Json::Null;
        }
        match &node.value {
            Value::Null => Json::Null,
            Value::Boolean(value) => Json::Bool(*value),
            Value::Integer(value) => Json::from(*value),
            Value::Float(value) => match Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None => {
                    at.problem("a number that JSON does not have", None);
                    Json::Null
                }
            },
            Value::Text(text) => Json::String(self.own(text)),
            Value::List(items) => items.iter().map(|item| self.plain(item, at)).collect(),
            Value::Map(entries) => {
                let copied =
                    entries.iter().map(|(key, value)| (self.own(key), self.plain(value, at)));
                Json::Object(copied.collect())
            }
        }
    }

    /// A text, or a number or truth value as it reads.
    fn scalar(&self, at: &At<'_>) -> Option<String> {
        match &at.node.value {
            Value::Text(text) => Some(self.own(text)),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(format!("{number:?}")),
            Value::Boolean(value) => Some(value.to_string()),
            _ => {
                at.expected("text");
                None
            }
        }
    }

    /// The text under a key goes into a body under the same name.
    fn copy_text(&self, from: &At<'a>, key: &str, body: &mut Map<String, Json>) {
        if let Some(text) = from.get(key).and_then(|at| at.text()) {
            body.insert(key.to_owned(), Json::from(self.own(text)));
        }
    }
}

/// What was passed over, in the order it was found.
#[derive(Debug, Default)]
struct Warnings {
    texts: RefCell<Vec<String>>,
    more: Cell<usize>,
}

impl Warnings {
    /// A warning may quote the document, so it is cut.
    const CHARS_MAX: usize = 500;

    fn add(&self, mut text: String) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() >= WARNINGS_MAX {
            self.more.set(self.more.get().saturating_add(1));
            return;
        }
        if let Some((end, _)) = text.char_indices().nth(Self::CHARS_MAX) {
            text.truncate(end);
        }
        if !texts.contains(&text) {
            texts.push(text);
        }
    }

    fn into_texts(self) -> Vec<String> {
        let mut texts = self.texts.into_inner();
        let more = self.more.get();
        if more > 0 {
            texts.push(format!("… and {more} more"));
        }
        texts
    }
}

#[cfg(test)]
mod tests;
