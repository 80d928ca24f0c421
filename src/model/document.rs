//! A file somebody wrote, as a tree in which every value remembers where it stands.
//!
//! JSON, YAML and TOML all become this one tree, so that the readers of API documents and of
//! topology files check it in one way and can name line, column and key of each problem. The tree
//! keeps the order of keys. It is bounded in depth by whoever builds it.

use std::cell::RefCell;

use indexmap::IndexMap;

use crate::model::problem::{self, Findings};

/// Deepest nesting any of our parsers accepts; OpenAPI needs about 20.
pub const DEPTH_MAX: usize = 64;
/// Values in one document.
pub const NODES_MAX: usize = 100_000;

/// A value and the place of its key (of itself, within a list).
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    /// Line and column, counted from 1.
    pub mark: (u32, u32),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(IndexMap<String, Node>),
}

impl Value {
    /// The kind in words, for complaints.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Boolean(_) => "true or false",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a table",
        }
    }
}

/// A place in the tree: the value, the way to it, and where to complain.
#[derive(Clone, Debug)]
pub struct At<'a> {
    pub node: &'a Node,
    /// Such as `paths./pets.get`; empty for the whole document.
    pub path: String,
    pub findings: &'a Findings,
}

impl<'a> At<'a> {
    pub fn root(node: &'a Node, findings: &'a Findings) -> Self {
        Self { node, path: String::new(), findings }
    }

    /// The same complaints and path, about another value: what a `$ref` points at.
    pub fn instead(&self, node: &'a Node) -> Self {
        Self { node, path: self.path.clone(), findings: self.findings }
    }

    pub fn problem(&self, message: impl Into<String>, hint: impl Into<Option<String>>) {
        self.findings.add(self.node.mark, &self.path, message, hint);
    }

    /// The value under a key; `None` when this is no table, the key is absent, or its value null.
    pub fn get(&self, key: &str) -> Option<At<'a>> {
        let Value::Map(entries) = &self.node.value else { return None };
        let node = entries.get(key)?;
        (node.value != Value::Null).then(|| self.child(key, node))
    }

    /// The entries of a table; anything else is complained about and has none.
    pub fn entries(&self) -> Vec<(&'a str, At<'a>)> {
        match &self.node.value {
            Value::Map(entries) => {
                entries.iter().map(|(key, node)| (key.as_str(), self.child(key, node))).collect()
            }
            Value::Null => Vec::new(),
            _ => {
                self.expected("a table");
                Vec::new()
            }
        }
    }

    /// The items of a list; anything else is complained about and has none.
    pub fn items(&self) -> Vec<At<'a>> {
        match &self.node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    node,
                    path: format!("{}[{index}]", self.path),
                    findings: self.findings,
                })
                .collect(),
            Value::Null => Vec::new(),
            _ => {
                self.expected("a list");
                Vec::new()
            }
        }
    }

    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.expected("text");
                None
            }
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Boolean(value) => Some(*value),
            _ => {
                self.expected("true or false");
                None
            }
        }
    }

    /// An integer within bounds, both included.
    pub fn integer(&self, least: i64, most: i64) -> Option<i64> {
        match &self.node.value {
            Value::Integer(value) if (least..=most).contains(value) => Some(*value),
            Value::Integer(value) => {
                self.problem(format!("{value} is not between {least} and {most}"), None);
                None
            }
            _ => {
                self.expected("an integer");
                None
            }
        }
    }

    /// A list of texts; items of another kind are complained about.
    pub fn texts(&self) -> Vec<&'a str> {
        self.items().iter().filter_map(At::text).collect()
    }

    pub fn expected(&self, what: &str) {
        self.problem(format!("expected {what}, found {}", self.node.value.kind()), None);
    }

    fn child(&self, key: &str, node: &'a Node) -> At<'a> {
        /// Characters of one key, bytes of a whole path: enough to find the place. A document of
        /// long keys must not multiply its size by its number of values.
        const KEY_MAX: usize = 128;
        const PATH_MAX: usize = 512;

        let mut path = self.path.clone();
        if path.len() < PATH_MAX {
            if !path.is_empty() {
                path.push('.');
            }
            path.extend(key.chars().take(KEY_MAX));
        }
        At { node, path, findings: self.findings }
    }
}

/// A table whose keys are all known: what was never asked for is a mistake.
#[derive(Debug)]
pub struct Section<'a> {
    pub at: At<'a>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// Complains and gives an empty section when the value is no table.
    pub fn new(at: At<'a>) -> Self {
        if !matches!(at.node.value, Value::Map(_) | Value::Null) {
            at.expected("a table");
        }
        Self { at, known: RefCell::default() }
    }

    /// The value under a key, which is known from now on.
    pub fn take(&self, key: &'static str) -> Option<At<'a>> {
        self.known.borrow_mut().push(key);
        self.at.get(key)
    }

    /// As [`Section::take`], with a complaint when the key is absent.
    pub fn require(&self, key: &'static str) -> Option<At<'a>> {
        let found = self.take(key);
        if found.is_none() && matches!(self.at.node.value, Value::Map(_) | Value::Null) {
            self.at.problem(format!("`{key}` is missing"), None);
        }
        found
    }

    /// Keys that are known and mean nothing to us.
    pub fn ignore(&self, keys: &[&'static str]) {
        self.known.borrow_mut().extend_from_slice(keys);
    }

    /// Complains about every key that was never asked for, except those `skip` accepts.
    pub fn finish_except(self, skip: impl Fn(&str) -> bool) {
        let Value::Map(entries) = &self.at.node.value else { return };
        let known = self.known.into_inner();
        for (key, node) in entries {
            if !known.contains(&key.as_str()) && !skip(key) {
                let at = self.at.child(key, node);
                let hint =
                    if self.at.findings.is_full() { None } else { problem::nearest(key, &known) };
                at.problem("unknown key", hint);
            }
        }
    }

    pub fn finish(self) {
        self.finish_except(|_| false);
    }
}
