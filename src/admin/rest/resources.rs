//! The tree of resources: create, get, list, rename and move, delete with everything below.
//!
//! A resource keeps its full path besides its own part, so that nobody has to climb the tree to
//! show one; whoever is renamed or moved takes all descendants' paths along. Of one parent's
//! children at most one is variable, and below a greedy one there is nothing.
//!
//! AWS: API Gateway API Reference, "CreateResource", "GetResources", "UpdateResource",
//! "DeleteResource"; Developer Guide, "Methods for REST APIs in API Gateway".

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, Apply, Op, Rule, Wording};
use crate::admin::rest::shared::{
    ID_LENGTH, each, has_text, nothing, page_of, resource, rest_api, room_for_one, text,
};
use crate::model::quotas;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateResource", create_resource),
    ("GetResource", get_resource),
    ("GetResources", get_resources),
    ("UpdateResource", update_resource),
    ("DeleteResource", delete_resource),
];

fn create_resource(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (api, parent_id) = (input.label("restapi_id"), input.label("parent_id"));
    let parent = resource(context.txn, api, parent_id)?;
    let part = input.text("pathPart").unwrap_or_default();
    check_part(part)?;
    check_place(context.txn, api, parent_id, &parent, part, None)?;
    room_for_one(context.txn, Kind::Resource, api, quotas::RESOURCES_KEPT_MAX, "resources")?;

    let id = context.new_id(ID_LENGTH, |id| context.txn.contains(Kind::Resource, api, id));
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(id.as_str()));
    body.insert("parentId".to_owned(), Value::from(parent_id));
    body.insert("pathPart".to_owned(), Value::from(part));
    body.insert("path".to_owned(), Value::from(path_below(&parent, part)));
    context.txn.put(Kind::Resource, api, &id, body.clone());
    Ok(Outcome::Body(body))
}

/// A part is wholly static or wholly a variable.
fn check_part(part: &str) -> Result<(), ApiError> {
    let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
    let name = inner.map_or(part, |inner| inner.strip_suffix('+').unwrap_or(inner));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:,$".contains(&byte);
    if !name.is_empty() && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "Resource's path part only allow a-zA-Z0-9._- and curly braces at the beginning and the \
         end and an optional plus sign before the closing brace.",
    ))
}

fn is_variable(part: &str) -> bool {
    part.starts_with('{')
}

fn is_greedy(part: &str) -> bool {
    part.ends_with("+}")
}

/// Whether a child of this name may stand under the parent; `except` is the child itself when it
/// is there already.
fn check_place(
    txn: &Txn,
    api: &str,
    parent_id: &str,
    parent: &Body,
    part: &str,
    except: Option<&str>,
) -> Result<(), ApiError> {
    let above = text(parent, "pathPart").unwrap_or_default();
    if is_greedy(above) {
        return Err(ApiError::bad_request(format!(
            "Cannot create a child of a resource with a greedy path variable: {above}"
        )));
    }
    let mut same = false;
    let mut variable = None;
    each(txn, Kind::Resource, api, |id, sibling| {
        if !has_text(sibling, "parentId", parent_id) || except == Some(&**id) {
            return;
        }
        same |= has_text(sibling, "pathPart", part);
        if is_variable(part) {
            let known = text(sibling, "pathPart").filter(|known| is_variable(known));
            if let Some(known) = known {
                variable = Some(known.to_owned());
            }
        }
    });
    if same {
        return Err(ApiError::conflict(format!(
            "Another resource with the same parent already has this name: {part}"
        )));
    }
    match variable {
        Some(known) => Err(ApiError::bad_request(format!(
            "A sibling ({known}) of this resource already has a variable path part -- only one is \
             allowed"
        ))),
        None => Ok(()),
    }
}

fn path_below(parent: &Body, part: &str) -> String {
    let above = text(parent, "path").unwrap_or("/");
    format!("{}/{part}", above.trim_end_matches('/'))
}

fn get_resource(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let found = resource(context.txn, input.label("restapi_id"), input.label("resource_id"))?;
    Ok(Outcome::Body(shown(&found, embeds_methods(input))))
}

fn get_resources(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let embed = embeds_methods(input);
    let api = input.label("restapi_id");
    Ok(page_of(context.txn, input, Kind::Resource, api, |body| shown(body, embed)))
}

/// What an answer shows of a resource's methods.
#[derive(Clone, Copy)]
enum Methods {
    Whole,
    /// An empty object each (recorded).
    Named,
}

fn embeds_methods(input: &Input) -> Methods {
    let asked = input.query.get("embed");
    let list = asked.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if list.iter().chain(asked).any(|embed| embed == "methods") {
        Methods::Whole
    } else {
        Methods::Named
    }
}

fn shown(resource: &Body, methods: Methods) -> Body {
    let mut shown = Body::new();
    for (name, value) in resource {
        let value = match (methods, name.as_str(), value) {
            (Methods::Named, "resourceMethods", Value::Object(found)) => {
                Value::Object(found.keys().map(|verb| (verb.clone(), json!({}))).collect())
            }
            _ => value.clone(),
        };
        shown.insert(name.clone(), value);
    }
    shown
}

const RULES: &[Rule] = &[
    Rule { path: "/parentId", ops: &[Op::Replace], apply: Apply::Text },
    Rule { path: "/pathPart", ops: &[Op::Replace], apply: Apply::Text },
];

fn update_resource(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (api, id) = (input.label("restapi_id"), input.label("resource_id"));
    let before = resource(context.txn, api, id)?;
    let operations = patch::read(input)?;
    let mut body = Body::clone(&before);
    patch::apply(&mut body, &operations, RULES, Wording::Listing)?;
    if before.get("parentId").is_none() {
        if let Some(operation) = operations.first() {
            let member = operation.key();
            return Err(ApiError::bad_request(format!(
                "Root resource cannot update its {member}."
            )));
        }
        return Ok(Outcome::Body(shown(&before, Methods::Named)));
    }
    let part = text(&body, "pathPart").unwrap_or_default().to_owned();
    let parent_id = text(&body, "parentId").unwrap_or_default().to_owned();
    check_part(&part)?;
    let parent = resource(context.txn, api, &parent_id)?;
    check_above(context.txn, api, id, &parent_id)?;
    check_place(context.txn, api, &parent_id, &parent, &part, Some(id))?;

    body.insert("path".to_owned(), Value::from(path_below(&parent, &part)));
    let moved = body.get("path") != before.get("path");
    if (is_greedy(&part) || moved) && has_children(context.txn, api, id) {
        if is_greedy(&part) {
            return Err(ApiError::bad_request(format!(
                "Cannot create a child of a resource with a greedy path variable: {part}"
            )));
        }
        Children::of(context.txn, api).recompute_paths(context.txn, api, id, &body);
    }
    context.txn.put(Kind::Resource, api, id, body.clone());
    Ok(Outcome::Body(shown(&body, Methods::Named)))
}

/// Refuses a parent that is the resource itself or stands below it.
fn check_above(txn: &Txn, api: &str, id: &str, parent_id: &str) -> Result<(), ApiError> {
    let mut climbed = Some(parent_id.to_owned());
    while let Some(above) = climbed {
        if above == id {
            return Err(ApiError::bad_request("Resources cannot be cyclical."));
        }
        climbed = txn
            .get(Kind::Resource, api, &above)
            .and_then(|body| text(&body, "parentId").map(str::to_owned));
    }
    Ok(())
}

fn has_children(txn: &Txn, api: &str, id: &str) -> bool {
    let mut found = false;
    each(txn, Kind::Resource, api, |_, body| {
        found = found || has_text(body, "parentId", id);
    });
    found
}

/// Who stands directly below whom.
struct Children(HashMap<String, Vec<Arc<str>>>);

impl Children {
    fn of(txn: &Txn, api: &str) -> Self {
        let mut children: HashMap<String, Vec<Arc<str>>> = HashMap::new();
        each(txn, Kind::Resource, api, |id, body| {
            if let Some(parent) = text(body, "parentId") {
                children.entry(parent.to_owned()).or_default().push(Arc::clone(id));
            }
        });
        Self(children)
    }

    /// Everything below, parents before their children.
    fn below(&self, id: &str) -> Vec<Arc<str>> {
        let direct = |id: &str| self.0.get(id).map(Vec::as_slice).unwrap_or_default().to_vec();
        let mut found = direct(id);
        let mut next = 0;
        while let Some(id) = found.get(next) {
            let more = direct(id);
            found.extend(more);
            next += 1;
        }
        found
    }

    /// Writes the paths of all that stand below `id`, whose new body is `top`.
    fn recompute_paths(&self, txn: &mut Txn, api: &str, id: &str, top: &Body) {
        let mut above: HashMap<String, Body> = HashMap::from([(id.to_owned(), top.clone())]);
        for id in self.below(id) {
            let Some(body) = txn.get(Kind::Resource, api, &id) else { continue };
            let mut body = Body::clone(&body);
            let part = text(&body, "pathPart").unwrap_or_default();
            let path = text(&body, "parentId")
                .and_then(|parent| above.get(parent))
                .map(|parent| path_below(parent, part));
            if let Some(path) = path {
                body.insert("path".to_owned(), Value::from(path));
            }
            above.insert(id.to_string(), body.clone());
            txn.put(Kind::Resource, api, &id, body);
        }
    }
}

fn delete_resource(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    let (api, id) = (input.label("restapi_id"), input.label("resource_id"));
    if resource(context.txn, api, id)?.get("parentId").is_none() {
        return Err(ApiError::bad_request("Root resource cannot be deleted."));
    }
    if has_children(context.txn, api, id) {
        for below in Children::of(context.txn, api).below(id) {
            context.txn.delete(Kind::Resource, api, &below);
        }
    }
    context.txn.delete(Kind::Resource, api, id);
    Ok(nothing())
}

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
