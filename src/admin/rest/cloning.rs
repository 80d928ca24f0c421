//! A copy of an API: CreateRestApi's `cloneFrom`.
//!
//! Everything gets an id of its own, so ids that one part keeps of another are exchanged: parents,
//! authorizers, validators, cache namespaces, and the API's id in references between models.
//! Deployments, stages and tags are not part of the copy.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::admin::protocol::operation::Context;
use crate::admin::rest::apis;
use crate::admin::rest::shared::{ID_LENGTH, text};
use crate::store::control::{Body, Kind};

/// What the copy `target` takes from the API `source` itself, whose body this is.
pub(crate) fn settings(body: &Body, source: &str, target: &str) -> Body {
    let mut api = body.clone();
    if let Some(Value::String(policy)) = api.get_mut("policy") {
        *policy = policy.replace(&format!(":{source}/"), &format!(":{target}/"));
    }
    for own in ["id", "createdDate", "rootResourceId", "tags", "warnings"] {
        api.shift_remove(own);
    }
    api
}

/// Copies what belongs to the API `source` into the API `target`; answers the root resource's id.
pub(crate) fn copy_parts(
    context: &mut Context<'_>,
    source: &str,
    body: &Body,
    target: &str,
) -> String {
    let old_models = format!("/restapis/{source}/models/");
    let new_models = format!("/restapis/{target}/models/");
    for (_, model) in context.txn.list(Kind::Model, source) {
        let mut model = Body::clone(&model);
        if let Some(Value::String(schema)) = model.get_mut("schema") {
            *schema = schema.replace(&old_models, &new_models);
        }
        put_new(context, Kind::Model, target, model);
    }
    for (id, part) in context.txn.list(Kind::GatewayResponse, source) {
        context.txn.put(Kind::GatewayResponse, target, &id, Body::clone(&part));
    }
    for (_, part) in context.txn.list(Kind::DocumentationPart, source) {
        put_new(context, Kind::DocumentationPart, target, Body::clone(&part));
    }
    for (version, part) in context.txn.list(Kind::DocumentationVersion, source) {
        context.txn.put(Kind::DocumentationVersion, target, &version, Body::clone(&part));
    }
    let mut renamed = HashMap::new();
    for kind in [Kind::RequestValidator, Kind::Authorizer] {
        for (old, part) in context.txn.list(kind, source) {
            let new = put_new(context, kind, target, Body::clone(&part));
            renamed.insert(old.to_string(), new);
        }
    }
    copy_resources(context, source, body, target, renamed)
}

fn copy_resources(
    context: &mut Context<'_>,
    source: &str,
    body: &Body,
    target: &str,
    mut renamed: HashMap<String, String>,
) -> String {
    let resources = context.txn.list(Kind::Resource, source);
    let root = apis::put_root(context, target);
    let mut taken = HashSet::new();
    for (old, _) in &resources {
        let new = if text(body, "rootResourceId") == Some(old) {
            root.clone()
        } else {
            context.new_id(ID_LENGTH, |id| taken.contains(id))
        };
        taken.insert(new.clone());
        renamed.insert(old.to_string(), new);
    }
    for (old, resource) in resources {
        let mut resource = Body::clone(&resource);
        rename(&mut resource, &["id", "parentId"], &renamed);
        if let Some(Value::Object(methods)) = resource.get_mut("resourceMethods") {
            for method in methods.values_mut().filter_map(Value::as_object_mut) {
                rename(method, &["authorizerId", "requestValidatorId"], &renamed);
                if let Some(Value::Object(integration)) = method.get_mut("methodIntegration") {
                    rename(integration, &["cacheNamespace"], &renamed);
                }
            }
        }
        context.txn.put(Kind::Resource, target, &renamed[&*old], resource);
    }
    root
}

fn rename(body: &mut Body, members: &[&str], renamed: &HashMap<String, String>) {
    for name in members {
        if let Some(Value::String(id)) = body.get_mut(*name)
            && let Some(new) = renamed.get(id)
        {
            new.clone_into(id);
        }
    }
}

/// Puts the body under a new id, which it answers.
fn put_new(context: &mut Context<'_>, kind: Kind, scope: &str, mut body: Body) -> String {
    let id = context.new_id(ID_LENGTH, |id| context.txn.contains(kind, scope, id));
    body.insert("id".to_owned(), Value::from(id.as_str()));
    context.txn.put(kind, scope, &id, body);
    id
}
