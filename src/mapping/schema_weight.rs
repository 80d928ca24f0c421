//! What would it cost to compare a body with this schema?
//!
//! References make a small text large: thirty models that each name the next one twice are a
//! billion schemas. And a schema that leads to itself makes its work as often as a body is deep.
//! Both are measured before a schema is compiled, on the document in which all references are
//! `#/…`. A node without the means to finish must not begin.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Schemas and other objects one body's value may be compared with, references written out. Real
/// models have hundreds.
const NODES_MAX: u64 = 20_000;
/// Schemas that are asked about one and the same value in a row, by reference or combination. With
/// the depth of a body (128) it bounds the stack.
const HOPS_MAX: u32 = 24;
/// Objects and arrays within each other, references followed.
const DEPTH_MAX: u32 = 512;

/// A schema nobody can afford.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooHeavy {
    #[error("come to more than {NODES_MAX} schemas when references are followed")]
    Nodes,
    #[error("ask more than {HOPS_MAX} schemas in a row about one value, or go round in a circle")]
    Hops,
    #[error("are nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("refer to a place that is not there")]
    Dangling,
}

/// What a bearable schema is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    /// Whether a recursion branches: each level of a body would double the work of who compares a
    /// value with a schema on every way that leads there.
    pub recursion_branches: bool,
}

/// Weighs a document.
///
/// # Errors
/// What makes it too heavy.
pub(super) fn weigh(document: &Value) -> Result<Weight, TooHeavy> {
    let mut scales = Scales {
        document,
        nodes: HashMap::new(),
        hops: HashMap::new(),
        is_recursive: false,
        branches: false,
    };
    scales.nodes(document, 0)?;
    scales.all_hops(document)?;
    Ok(Weight { recursion_branches: scales.is_recursive && scales.branches })
}

struct Scales<'d> {
    document: &'d Value,
    /// By reference; `None` while it is being counted.
    nodes: HashMap<&'d str, Option<u64>>,
    hops: HashMap<&'d str, Option<u32>>,
    is_recursive: bool,
    /// One value may be compared with several schemas.
    branches: bool,
}

impl<'d> Scales<'d> {
    fn nodes(&mut self, schema: &'d Value, depth: u32) -> Result<u64, TooHeavy> {
        if depth > DEPTH_MAX {
            return Err(TooHeavy::Depth);
        }
        let Value::Object(members) = schema else { return Ok(1) };
        // Draft 4 knows nothing beside a reference.
        if let Some(target) = reference(members) {
            return Ok(1 + self.nodes_of(target, depth + 1)?);
        }
        self.branches |= members.keys().any(|key| {
            matches!(
                key.as_str(),
                "anyOf" | "oneOf" | "allOf" | "not" | "patternProperties" | "dependencies"
            )
        });
        let mut sum = 1;
        for (_, part) in parts(members) {
            sum += self.nodes(part, depth + 1)?;
        }
        if sum > NODES_MAX { Err(TooHeavy::Nodes) } else { Ok(sum) }
    }

    fn nodes_of(&mut self, target: &'d str, depth: u32) -> Result<u64, TooHeavy> {
        match self.nodes.get(target) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => {
                self.is_recursive = true;
                return Ok(1);
            }
            None => {}
        }
        self.nodes.insert(target, None);
        let place = self.place(target)?;
        let nodes = self.nodes(place, depth)?;
        self.nodes.insert(target, Some(nodes));
        Ok(nodes)
    }

    /// Looks at every schema of the document, whichever way it is reached.
    fn all_hops(&mut self, schema: &'d Value) -> Result<(), TooHeavy> {
        let Value::Object(members) = schema else { return Ok(()) };
        self.hops(members, 0)?;
        parts(members).try_for_each(|(_, part)| self.all_hops(part))
    }

    /// The longest row of schemas about the very value this one is about.
    fn hops(&mut self, schema: &'d Map<String, Value>, before: u32) -> Result<u32, TooHeavy> {
        if before > HOPS_MAX {
            return Err(TooHeavy::Hops);
        }
        if let Some(target) = reference(schema) {
            return Ok(1 + self.hops_of(target, before + 1)?);
        }
        let mut longest = 0;
        for (key, part) in parts(schema) {
            let is_about_the_same =
                matches!(key, "allOf" | "anyOf" | "oneOf" | "not" | "dependencies");
            if let Some(part) = part.as_object().filter(|_| is_about_the_same) {
                longest = longest.max(1 + self.hops(part, before + 1)?);
            }
        }
        if longest > HOPS_MAX { Err(TooHeavy::Hops) } else { Ok(longest) }
    }

    fn hops_of(&mut self, target: &'d str, before: u32) -> Result<u32, TooHeavy> {
        match self.hops.get(target) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Err(TooHeavy::Hops),
            None => {}
        }
        self.hops.insert(target, None);
        let hops = match self.place(target)?.as_object() {
            Some(schema) => self.hops(schema, before)?,
            None => 0,
        };
        self.hops.insert(target, Some(hops));
        Ok(hops)
    }

    fn place(&self, target: &'d str) -> Result<&'d Value, TooHeavy> {
        let pointer = target.strip_prefix('#').ok_or(TooHeavy::Dangling)?;
        self.document.pointer(pointer).ok_or(TooHeavy::Dangling)
    }
}

/// The schemas a schema consists of, each with the keyword it stands under. What is under a keyword
/// unknown to draft 4 may still be referred to.
fn parts<'d>(schema: &'d Map<String, Value>) -> impl Iterator<Item = (&'d str, &'d Value)> {
    schema.iter().flat_map(|(key, value)| {
        let parts: Vec<&'d Value> = match (key.as_str(), value) {
            ("enum" | "default" | "example" | "examples" | "required" | "type", _) => Vec::new(),
            (
                "properties" | "patternProperties" | "definitions" | "dependencies",
                Value::Object(table),
            ) => table.values().collect(),
            (_, Value::Array(list)) => list.iter().collect(),
            (_, Value::Object(_)) => vec![value],
            _ => Vec::new(),
        };
        parts.into_iter().map(move |part| (key.as_str(), part))
    })
}

fn reference(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}
