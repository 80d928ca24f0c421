//! From names to slots: what can be settled about a reference when a template is deployed.

use std::sync::OnceLock;

use indexmap::IndexSet;

use super::overrides;
use super::tree::{Block, Call, Expr, Known, Prepared, Reference, Step};
use super::value::Builtin;
use crate::mapping::json_path::JsonPath;

/// Names and blocks of one template, while it is parsed.
#[derive(Debug)]
pub(super) struct Names {
    slots: IndexSet<String>,
    pub(super) blocks: Vec<Block>,
    /// Whether the template can see or set overrides at all.
    pub(super) uses_overrides: bool,
}

impl Names {
    pub(super) fn new() -> Self {
        // In the order of `tree::VELOCITY_COUNT` and `tree::VELOCITY_HAS_NEXT`.
        let slots = ["velocityCount", "velocityHasNext"].map(str::to_owned).into_iter().collect();
        Self { slots, blocks: Vec::new(), uses_overrides: false }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slot(&mut self, name: &str) -> usize {
        match self.slots.get_index_of(name) {
            Some(slot) => slot,
            None => self.slots.insert_full(name.to_owned()).0,
        }
    }

    pub(super) fn reference(&mut self, name: &str, steps: Vec<Step>) -> Reference {
        let builtin = builtin(name);
        let known = match builtin {
            Some(Builtin::Context) => context_path(&steps),
            _ => Known::Nothing,
        };
        self.uses_overrides |= builtin == Some(Builtin::Context) && !is_fixed(&known);
        Reference { slot: self.slot(name), builtin, steps: steps.into(), known }
    }
}

fn builtin(name: &str) -> Option<Builtin> {
    Some(match name {
        "input" => Builtin::Input,
        "context" => Builtin::Context,
        "stageVariables" => Builtin::StageVariables,
        "util" => Builtin::Util,
        "foreach" => Builtin::Foreach,
        _ => return None,
    })
}

/// A variable of the call, which is what it is unless a template sets it.
fn is_fixed(known: &Known) -> bool {
    match known {
        Known::Context { first, .. } => !overrides::GROUPS.contains(&&**first),
        Known::Nothing => false,
    }
}

/// Joins the leading names, written as `.name` or `['name']`.
fn context_path(steps: &[Step]) -> Known {
    let names: Vec<&str> = steps
        .iter()
        .map_while(|step| match step {
            Step::Property(name) => Some(&**name),
            Step::Index(index) => index.as_text(),
            Step::Method(_) => None,
        })
        .collect();
    match names.first() {
        None => Known::Nothing,
        Some(&first) => {
            Known::Context { first: first.into(), path: names.join(".").into(), steps: names.len() }
        }
    }
}

pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Call {
    let constant = arguments.first().and_then(Expr::as_text);
    let prepared = match (name, constant) {
        ("json" | "path", Some(path)) => Prepared::Path(JsonPath::compile(path)),
        // Compiled at the first call: patterns may be many, and most templates have none.
        ("replaceAll" | "replaceFirst" | "matches" | "split", Some(_)) => {
            Prepared::Regex(OnceLock::new())
        }
        _ => Prepared::Nothing,
    };
    Call { name: name.into(), arguments: arguments.into(), prepared }
}
