//! An imported definition, put into the store as the API it describes.
//!
//! What is there under the same name keeps its id: resources by path (the root always), models,
//! authorizers and request validators by name, gateway responses by type, documentation parts by
//! location. *Merge* leaves alone what the document does not mention and replaces methods whole;
//! *overwrite* deletes it, settings of the API included. Stages and deployments stay either way.
//! All of it is one transaction, so a call that fails changes nothing, other than AWS's.
//!
//! AWS: API Gateway Developer Guide, "Update an existing API definition and redeploy an API"; API
//! Reference, "PutRestApi".

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::admin::openapi::import::tree::{Tree, parent_of};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::Context;
use crate::store::control::{Body, Kind};

/// Length of the ids that AWS gives to what belongs to an API, root resources excepted.
const ID_LENGTH: usize = 6;
const ROOT_ID_LENGTH: usize = 10;

/// What becomes of that which the document does not mention. AWS: "PutRestApi", `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Merge,
    Overwrite,
}

/// Puts a definition as [`super::import::read`] gives it into the API, whose body must be there
/// already. An API without a root resource gets one.
///
/// # Errors
/// The resources of document and API do not go together, or there is no such API.
pub fn apply(
    context: &mut Context<'_>,
    api_id: &str,
    definition: &Map<String, Value>,
    mode: Mode,
) -> Result<(), ApiError> {
    let Some(api) = context.txn.get(Kind::RestApi, "", api_id) else {
        let account = &context.site.account_id;
        let message = format!("Invalid API identifier specified {account}:{api_id}");
        return Err(ApiError::not_found(message));
    };
    let validators = by_name(context, Kind::RequestValidator, api_id, definition, mode);
    let authorizers = by_name(context, Kind::Authorizer, api_id, definition, mode);
    by_name(context, Kind::Model, api_id, definition, mode);
    gateway_responses(context, api_id, definition, mode);
    documentation(context, api_id, definition, mode);
    let names = Names { validators, authorizers };
    let root = resources(context, api_id, definition, mode, &names)?;
    let mut api = Body::clone(&api);
    settings(&mut api, definition, mode);
    api.insert("rootResourceId".to_owned(), Value::from(root));
    context.txn.put(Kind::RestApi, "", api_id, api);
    Ok(())
}

/// Ids by name.
struct Names {
    validators: HashMap<String, String>,
    authorizers: HashMap<String, String>,
}

fn list<'d>(definition: &'d Map<String, Value>, name: &str) -> impl Iterator<Item = &'d Body> {
    let items = definition.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_object)
}

fn text<'b>(body: &'b Body, name: &str) -> &'b str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The API's own members.
fn settings(api: &mut Body, definition: &Map<String, Value>, mode: Mode) {
    /// What overwriting takes away when the document does not say it. AWS: as Terraform's
    /// provider notes it; tags and the endpoint's type stay.
    const TAKEN: [&str; 5] =
        ["description", "version", "binaryMediaTypes", "policy", "minimumCompressionSize"];
    let none = Map::new();
    let new = definition.get("restApi").and_then(Value::as_object).unwrap_or(&none);
    if mode == Mode::Overwrite {
        for key in TAKEN {
            api.shift_remove(key);
        }
        api.shift_remove("tidegateExtensions");
        api.insert("apiKeySource".to_owned(), Value::from("HEADER"));
        api.insert("disableExecuteApiEndpoint".to_owned(), Value::from(false));
        if let Some(Value::Object(endpoint)) = api.get_mut("endpointConfiguration") {
            endpoint.shift_remove("vpcEndpointIds");
        }
    }
    for (key, value) in new {
        match (key.as_str(), api.get_mut(key)) {
            // Recorded: merging appends.
            ("binaryMediaTypes", Some(Value::Array(known))) => {
                let there: HashSet<Value> = known.iter().cloned().collect();
                let new = value.as_array().into_iter().flatten();
                known.extend(new.filter(|item| !there.contains(*item)).cloned());
            }
            (
                "endpointConfiguration" | "tags" | "tidegateExtensions",
                Some(Value::Object(known)),
            ) => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    known.insert(key.clone(), value.clone());
                }
            }
            _ => {
                api.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Parts that are told apart by their names; answers the id of every name.
fn by_name(
    context: &mut Context<'_>,
    kind: Kind,
    api_id: &str,
    definition: &Map<String, Value>,
    mode: Mode,
) -> HashMap<String, String> {
    let member = match kind {
        Kind::Model => "models",
        Kind::Authorizer => "authorizers",
        _ => "requestValidators",
    };
    let found = context.txn.list(kind, api_id);
    let mut taken: HashSet<String> = found.iter().map(|(id, _)| id.to_string()).collect();
    let mut ids: HashMap<String, String> =
        found.iter().map(|(id, body)| (text(body, "name").to_owned(), id.to_string())).collect();
    let mut mentioned: HashSet<&str> = HashSet::new();
    for part in list(definition, member) {
        let name = text(part, "name");
        mentioned.insert(name);
        let id = ids.entry(name.to_owned()).or_insert_with(|| {
            let id = context.new_id(ID_LENGTH, |id| taken.contains(id));
            taken.insert(id.clone());
            id
        });
        let mut body = with_id(id);
        body.extend(part.clone());
        context.txn.put(kind, api_id, id, body);
    }
    if mode == Mode::Overwrite {
        ids.retain(|name, id| {
            let kept = mentioned.contains(name.as_str());
            if !kept {
                context.txn.delete(kind, api_id, id);
            }
            kept
        });
    }
    ids
}

fn with_id(id: &str) -> Body {
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(id));
    body
}

fn gateway_responses(
    context: &mut Context<'_>,
    api_id: &str,
    definition: &Map<String, Value>,
    mode: Mode,
) {
    if mode == Mode::Overwrite {
        context.txn.delete_all(Kind::GatewayResponse, api_id);
    }
    for body in list(definition, "gatewayResponses") {
        let kind = text(body, "responseType");
        context.txn.put(Kind::GatewayResponse, api_id, kind, body.clone());
    }
}

/// Documentation parts are told apart by their locations. A version is a picture of the parts; the
/// document's is made anew when it is there already.
fn documentation(
    context: &mut Context<'_>,
    api_id: &str,
    definition: &Map<String, Value>,
    mode: Mode,
) {
    if !definition.contains_key("documentationParts") {
        return;
    }
    let found = context.txn.list(Kind::DocumentationPart, api_id);
    let mut taken: HashSet<String> = found.iter().map(|(id, _)| id.to_string()).collect();
    let mut ids: HashMap<String, Arc<str>> =
        found.into_iter().map(|(id, body)| (location(&body), id)).collect();
    let mut mentioned: HashSet<Arc<str>> = HashSet::new();
    for part in list(definition, "documentationParts") {
        let id = ids.entry(location(part)).or_insert_with(|| {
            let id = context.new_id(ID_LENGTH, |id| taken.contains(id));
            taken.insert(id.clone());
            id.into()
        });
        mentioned.insert(Arc::clone(id));
        let mut body = with_id(id);
        body.extend(part.clone());
        context.txn.put(Kind::DocumentationPart, api_id, id, body);
    }
    if mode == Mode::Overwrite {
        for id in ids.values().filter(|id| !mentioned.contains(*id)) {
            context.txn.delete(Kind::DocumentationPart, api_id, id);
        }
    }
    if let Some(version) = definition.get("documentationVersion").and_then(Value::as_object) {
        let parts = context.txn.list(Kind::DocumentationPart, api_id);
        let parts = parts.into_iter().map(|(_, body)| Value::Object(Body::clone(&body)));
        let mut body = version.clone();
        body.insert("createdDate".to_owned(), context.seconds());
        body.insert(DOCUMENTATION_PARTS.to_owned(), Value::Array(parts.collect()));
        let name = text(version, "version").to_owned();
        context.txn.put(Kind::DocumentationVersion, api_id, &name, body);
    }
}

/// Member of a documentation version: its parts as they were.
pub const DOCUMENTATION_PARTS: &str = "tidegateParts";

/// A location as text in which the order of its members says nothing.
fn location(part: &Body) -> String {
    let mut words: Vec<String> = Vec::new();
    for (key, value) in part.get("location").and_then(Value::as_object).into_iter().flatten() {
        words.push(format!("{key}={value}"));
    }
    words.sort_unstable();
    words.join(" ")
}

/// Puts the resources and their methods; answers the root's id.
fn resources(
    context: &mut Context<'_>,
    api_id: &str,
    definition: &Map<String, Value>,
    mode: Mode,
    names: &Names,
) -> Result<String, ApiError> {
    let found = context.txn.list(Kind::Resource, api_id);
    let mut taken: HashSet<String> = found.iter().map(|(id, _)| id.to_string()).collect();
    let mut tree = Tree::default();
    let mut known: HashMap<String, (String, Arc<Body>)> = HashMap::new();
    for (id, body) in found {
        let path = text(&body, "path").to_owned();
        if mode == Mode::Merge {
            // What stands in the API was judged when it came.
            drop(tree.add(&path));
        }
        known.insert(path, (id.to_string(), body));
    }
    let mut ids: HashMap<&str, String> = HashMap::new();
    for resource in list(definition, "resources") {
        let path = text(resource, "path");
        tree.add(path).map_err(|(message, _)| ApiError::bad_request(message))?;
        let before = known.remove(path);
        let id = match &before {
            Some((id, _)) => id.clone(),
            None => {
                let length = if path == "/" { ROOT_ID_LENGTH } else { ID_LENGTH };
                let id = context.new_id(length, |id| taken.contains(id));
                taken.insert(id.clone());
                id
            }
        };
        let mut body = with_id(&id);
        if let Some((parent, part)) = parent_of(path) {
            // Parents come before their children.
            let parent = ids.get(parent).cloned().unwrap_or_default();
            body.insert("parentId".to_owned(), Value::from(parent));
            body.insert("pathPart".to_owned(), Value::from(part));
        }
        body.insert("path".to_owned(), Value::from(path));
        let mut methods = match &before {
            Some((_, before)) if mode == Mode::Merge => {
                before.get("resourceMethods").and_then(Value::as_object).cloned()
            }
            _ => None,
        }
        .unwrap_or_default();
        let new = resource.get("resourceMethods").and_then(Value::as_object);
        for (verb, method) in new.into_iter().flatten() {
            methods.insert(verb.clone(), with_ids(method, &id, names));
        }
        if !methods.is_empty() {
            body.insert("resourceMethods".to_owned(), Value::Object(methods));
        }
        context.txn.put(Kind::Resource, api_id, &id, body);
        ids.insert(path, id);
    }
    if mode == Mode::Overwrite {
        for (id, _) in known.values() {
            context.txn.delete(Kind::Resource, api_id, id);
        }
    }
    Ok(ids.remove("/").unwrap_or_default())
}

/// A method with ids where the definition has names.
fn with_ids(method: &Value, resource_id: &str, names: &Names) -> Value {
    let mut method = method.clone();
    for (member, ids) in
        [("authorizerId", &names.authorizers), ("requestValidatorId", &names.validators)]
    {
        if let Some(Value::String(name)) = method.get_mut(member)
            && let Some(id) = ids.get(name)
        {
            id.clone_into(name);
        }
    }
    if let Some(Value::Object(integration)) = method.get_mut("methodIntegration") {
        integration.entry("cacheNamespace".to_owned()).or_insert_with(|| Value::from(resource_id));
    }
    method
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
