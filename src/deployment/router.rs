//! Which resource and method does a path mean? A tree of path segments, built once per deployment.
//!
//! Each node has static children, at most one variable child and at most one greedy child, as the
//! service itself allows. Per segment a static child is tried first, then `{name}`, then `{name+}`,
//! and the method takes part in the match: a branch without the method does not hide a later one.
//! Every node is reached by one path only, so a look-up visits a node at most once.
//!
//! AWS: API Gateway Developer Guide, "Set up a proxy integration with a proxy resource".

use std::collections::HashMap;
use std::ops::Range;

use http::Method;

/// Verbs that `ANY` stands for; no other verb is ever served.
const ANY: [Method; 7] = [
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
];

/// A compiled resource tree whose leaves are `T`.
#[derive(Debug)]
pub struct Router<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    statics: HashMap<Box<str>, usize>,
    variable: Option<(Box<str>, usize)>,
    greedy: Option<(Box<str>, usize)>,
    methods: Vec<(Method, T)>,
    any: Option<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            statics: HashMap::new(),
            variable: None,
            greedy: None,
            methods: Vec::new(),
            any: None,
        }
    }
}

/// What a path template cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    #[error("path `{0}` does not begin with `/`")]
    NotAbsolute(String),
    #[error(
        "a sibling ({{{sibling}}}) of `{path}` already has a variable path part; \
         only one is allowed"
    )]
    SecondVariable { path: String, sibling: String },
    #[error("`{0}` has children below a greedy path variable")]
    ChildOfGreedy(String),
    #[error("`{path}` has the method {method} twice")]
    SecondMethod { path: String, method: String },
    #[error("`{0}` is not a method an API can have")]
    BadMethod(String),
}

/// Where a path parameter's text lies within the matched path; undecoded.
pub type Parameter<'r> = (&'r str, Range<usize>);

impl<T> Router<T> {
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Adds one method (`GET`, `ANY`, …) of the resource `template`, such as `/pets/{id}`.
    pub fn insert(&mut self, template: &str, method: &str, leaf: T) -> Result<(), RouterError> {
        let at = self.place(template)?;
        let node = &mut self.nodes[at];
        let twice =
            || RouterError::SecondMethod { path: template.into(), method: method.to_owned() };
        if method == "ANY" {
            return match node.any.replace(leaf) {
                Some(_) => Err(twice()),
                None => Ok(()),
            };
        }
        let verb = Method::from_bytes(method.as_bytes())
            .ok()
            .filter(|verb| ANY.contains(verb))
            .ok_or_else(|| RouterError::BadMethod(method.to_owned()))?;
        if node.methods.iter().any(|(known, _)| *known == verb) {
            return Err(twice());
        }
        node.methods.push((verb, leaf));
        Ok(())
    }

    /// The node of a template, made where it is missing.
    fn place(&mut self, template: &str) -> Result<usize, RouterError> {
        let rest = template
            .strip_prefix('/')
            .ok_or_else(|| RouterError::NotAbsolute(template.to_owned()))?;
        let mut at = 0;
        let mut greedy = false;
        if rest.is_empty() {
            return Ok(at);
        }
        for segment in rest.split('/') {
            if greedy {
                return Err(RouterError::ChildOfGreedy(template.to_owned()));
            }
            let variable = segment.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            at = match variable {
                None => self.static_child(at, segment),
                Some(name) => {
                    greedy = name.ends_with('+');
                    self.variable_child(at, name, template)?
                }
            };
        }
        Ok(at)
    }

    fn static_child(&mut self, at: usize, segment: &str) -> usize {
        if let Some(child) = self.nodes[at].statics.get(segment) {
            return *child;
        }
        let child = self.add();
        self.nodes[at].statics.insert(segment.into(), child);
        child
    }

    fn variable_child(
        &mut self,
        at: usize,
        name: &str,
        template: &str,
    ) -> Result<usize, RouterError> {
        let (bare, greedy) = match name.strip_suffix('+') {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        let node = &self.nodes[at];
        let (same, other) =
            if greedy { (&node.greedy, &node.variable) } else { (&node.variable, &node.greedy) };
        let second = |sibling: &str| RouterError::SecondVariable {
            path: template.to_owned(),
            sibling: sibling.to_owned(),
        };
        if let Some((sibling, _)) = other {
            return Err(second(sibling));
        }
        if let Some((known, child)) = same {
            return if **known == *bare { Ok(*child) } else { Err(second(known)) };
        }
        let child = self.add();
        let edge = Some((bare.into(), child));
        if greedy {
            self.nodes[at].greedy = edge;
        } else {
            self.nodes[at].variable = edge;
        }
        Ok(child)
    }

    fn add(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// Finds the method for `path`, which begins with `/`, has no stage and no query, and is not
    /// decoded. Parameters are pushed outermost first. `None` is AWS's 403 "Missing
    /// Authentication Token", for an unknown path and an unknown verb alike.
    pub fn find<'r>(
        &'r self,
        method: &Method,
        path: &str,
        parameters: &mut Vec<Parameter<'r>>,
    ) -> Option<&'r T> {
        let trimmed = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        let start = if trimmed == "/" { trimmed.len() + 1 } else { 1 };
        self.walk(0, trimmed, start, method, parameters)
    }

    /// `start` is where the next segment begins; past the end means no segment is left.
    fn walk<'r>(
        &'r self,
        at: usize,
        path: &str,
        start: usize,
        method: &Method,
        parameters: &mut Vec<Parameter<'r>>,
    ) -> Option<&'r T> {
        let node = &self.nodes[at];
        let Some(rest) = path.get(start..) else { return node.leaf(method) };
        let end = memchr::memchr(b'/', rest.as_bytes()).map_or(path.len(), |slash| start + slash);
        let segment = path.get(start..end).unwrap_or_default();
        if let Some(child) = node.statics.get(segment)
            && let Some(leaf) = self.walk(*child, path, end + 1, method, parameters)
        {
            return Some(leaf);
        }
        if let Some((name, child)) = &node.variable
            && !segment.is_empty()
        {
            parameters.push((name, start..end));
            if let Some(leaf) = self.walk(*child, path, end + 1, method, parameters) {
                return Some(leaf);
            }
            parameters.pop();
        }
        if let Some((name, child)) = &node.greedy
            && let Some(leaf) = self.nodes[*child].leaf(method)
        {
            parameters.push((name, start..path.len()));
            return Some(leaf);
        }
        None
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Node<T> {
    fn leaf(&self, method: &Method) -> Option<&T> {
        let exact = self.methods.iter().find(|(verb, _)| verb == method).map(|(_, leaf)| leaf);
        exact.or_else(|| self.any.as_ref().filter(|_| ANY.contains(method)))
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
