//! The resource tree: are the paths ones AWS would build, and what stands at each?
//!
//! The rules are those of resource creation, with AWS's own texts: a part is wholly static or
//! wholly a variable, a parent has at most one variable child, a greedy resource has none. Paths in
//! between that carry no method are checked and then left out: they answer nothing.
//!
//! AWS: API Gateway REST API Reference, "CreateResource"; Developer Guide, "Methods for REST APIs".

use std::collections::HashMap;

use crate::admin::openapi::{Reader, is_extension, method};
use crate::model::document::{At, Section, Value};
use crate::model::ids::ResourceId;
use crate::model::quotas;
use crate::model::rest_api::{Method, Resource};

/// Verbs a path item can hold, with AWS's name for the method.
const VERBS: [(&str, &str); 8] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("x-amazon-apigateway-any-method", "ANY"),
];

/// All resources that have methods, in document order.
pub(super) fn read(reader: &Reader<'_>) -> Vec<Resource> {
    let Some(paths) = reader.root.get("paths") else {
        reader.root.problem("The REST API doesn't contain any methods", None);
        return Vec::new();
    };
    let mut tree = Tree::default();
    let mut resources = Vec::new();
    let known = reader.root.findings.is_empty();
    for (path, item) in paths.entries() {
        if is_extension(path) {
            continue;
        }
        tree.add(path, &item);
        let methods = item_methods(reader, path, item);
        if !methods.is_empty() {
            resources.push(Resource {
                id: ResourceId::derived(&reader.options.api_id, path),
                path: path.to_owned(),
                methods,
            });
        }
    }
    if resources.is_empty() && known && reader.root.findings.is_empty() {
        paths.problem("The REST API doesn't contain any methods", None);
    }
    resources
}

fn item_methods<'a>(reader: &Reader<'a>, path: &str, item: At<'a>) -> Vec<Method> {
    if let Some(reference) = item.get("$ref") {
        reference.problem(
            "a path that is kept elsewhere is not read",
            Some("copy what the reference points at to this place".to_owned()),
        );
        return Vec::new();
    }
    let section = Section::new(item.clone());
    section.ignore(&["summary", "description", "servers"]);
    let shared = section.take("parameters");
    let mut methods = Vec::new();
    for (key, verb) in VERBS {
        if let Some(operation) = section.take(key) {
            reader.claim(&item, key);
            methods.extend(method::read(reader, path, verb, shared.as_ref(), operation));
        }
    }
    if let Value::Map(entries) = &item.node.value {
        for verb in entries.keys().filter(|key| is_other_verb(key)) {
            if let Some(at) = item.get(verb) {
                // One complaint is enough.
                reader.claim(&at, "x-amazon-apigateway-integration");
                at.problem(
                    "Invalid HttpMethod specified. Valid options are \
                     GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY",
                    Some("write the verb in lower case".to_owned()),
                );
            }
        }
    }
    section.finish_except(|key| is_extension(key) || is_other_verb(key));
    methods
}

/// A verb AWS does not know, or knows in lower case only.
fn is_other_verb(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    matches!(lower.as_str(), "trace" | "query" | "connect")
        || (lower != key && VERBS.iter().any(|(verb, _)| *verb == lower))
}

/// What a part of a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Static(&'a str),
    Variable(&'a str),
    Greedy(&'a str),
}

impl<'a> Part<'a> {
    /// `None` when AWS would not take it.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$-:".contains(&b))
        };
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(inner) => match inner.strip_suffix('+') {
                Some(name) => is_name(name).then_some(Part::Greedy(name)),
                None => is_name(inner).then_some(Part::Variable(inner)),
            },
            None => (!text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:,".contains(&b)))
            .then_some(Part::Static(text)),
        }
    }

    fn variable(self) -> Option<&'a str> {
        match self {
            Part::Static(_) => None,
            Part::Variable(name) | Part::Greedy(name) => Some(name),
        }
    }
}

/// The tree built so far: one number per resource, 0 the root.
#[derive(Default)]
struct Tree<'a> {
    children: HashMap<(usize, &'a str), usize>,
    /// The variable child of a resource, as written.
    variable: HashMap<usize, &'a str>,
}

impl<'a> Tree<'a> {
    fn add(&mut self, path: &'a str, at: &At<'_>) {
        if path.len() > quotas::METHOD_ARN_BYTES_MAX {
            let most = quotas::METHOD_ARN_BYTES_MAX;
            at.problem(format!("the path is longer than {most} bytes"), None);
            return;
        }
        let Some(rest) = path.strip_prefix('/') else {
            at.problem("a path begins with `/`", None);
            return;
        };
        if rest.is_empty() {
            return;
        }
        let mut parent = 0;
        let mut greedy: Option<&str> = None;
        let mut names: Vec<&str> = Vec::new();
        for text in rest.split('/') {
            if let Some(greedy) = greedy {
                at.problem(
                    format!(
                        "Cannot create a child of a resource with a greedy path variable: {greedy}"
                    ),
                    None,
                );
                return;
            }
            let Some(part) = Part::parse(text) else {
                at.problem(
                    format!(
                        "Resource's path part only allow a-zA-Z0-9._-: and curly braces at the \
                         beginning and the end, not `{text}`"
                    ),
                    text.is_empty().then(|| "take the needless `/` out".to_owned()),
                );
                return;
            };
            if let Part::Greedy(_) = part {
                greedy = Some(text);
            }
            if let Some(name) = part.variable() {
                if names.contains(&name) {
                    at.problem(format!("the path names `{name}` twice"), None);
                    return;
                }
                names.push(name);
                let sibling = *self.variable.entry(parent).or_insert(text);
                if sibling != text {
                    at.problem(
                        format!(
                            "A sibling ({sibling}) of this resource already has a variable path \
                             part -- only one is allowed"
                        ),
                        Some(format!("write `{sibling}` here too")),
                    );
                    return;
                }
            }
            let next = self.children.len() + 1;
            parent = *self.children.entry((parent, text)).or_insert(next);
        }
    }
}
