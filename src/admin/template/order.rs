//! What must be there before what? Resources sorted so that each comes after those it needs.
//!
//! A resource needs what its functions refer to and what `DependsOn` names. Among those that could
//! come next, the one that stands first in the template does. A circle is refused with its members.
//!
//! AWS: CloudFormation Template Reference, "DependsOn attribute".

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use super::Fault;
use super::document::Resource;
use super::functions::references;

/// What each resource needs, by logical id; only ids of the template.
pub(super) fn needs(resources: &IndexMap<String, Resource>) -> HashMap<String, BTreeSet<String>> {
    resources
        .iter()
        .map(|(id, resource)| {
            let mut found = resource.depends_on.clone();
            for value in resource.properties.values() {
                references(value, &mut found);
            }
            let needed = found.into_iter().filter(|other| resources.contains_key(other));
            (id.clone(), needed.collect())
        })
        .collect()
}

/// Logical ids in an order in which they can be made.
///
/// # Errors
/// A circle.
pub(super) fn sorted(resources: &IndexMap<String, Resource>) -> Result<Vec<String>, Fault> {
    let mut needs = needs(resources);
    let mut waiting: Vec<&String> = resources.keys().collect();
    let mut order = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|id| needs.get(*id).is_none_or(BTreeSet::is_empty));
        let Some(ready) = ready else { return Err(circle(&waiting, &needs)) };
        let id = waiting.remove(ready).clone();
        for others in needs.values_mut() {
            others.remove(&id);
        }
        order.push(id);
    }
    Ok(order)
}

/// Follows needs until one comes again: among the rest everything needs something.
fn circle(waiting: &[&String], needs: &HashMap<String, BTreeSet<String>>) -> Fault {
    let mut way: Vec<&String> = waiting.iter().take(1).copied().collect();
    while let Some(next) = way.last().and_then(|last| needs.get(*last)?.first()) {
        if let Some(start) = way.iter().position(|known| *known == next) {
            way.drain(..start);
            break;
        }
        way.push(next);
    }
    let first = way.first().map_or("", |id| id.as_str());
    let names: Vec<&str> = way.iter().map(|id| id.as_str()).chain([first]).collect();
    Fault::of_resource(first, None, format!("these need each other: {}", names.join(" → ")))
}
