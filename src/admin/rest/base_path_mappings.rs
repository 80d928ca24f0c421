//! Base path mappings: which API and stage answers below which path of a domain name.
//!
//! The empty path is `(none)` on the wire, and in the store, too. A mapping without a stage lets
//! callers name it. AWS: API Gateway API Reference, "BasePathMapping".

use std::sync::Arc;

use serde_json::Value;

use super::{domain_names, support};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateBasePathMapping", create_base_path_mapping),
    ("GetBasePathMapping", get_base_path_mapping),
    ("GetBasePathMappings", get_base_path_mappings),
    ("UpdateBasePathMapping", update_base_path_mapping),
    ("DeleteBasePathMapping", delete_base_path_mapping),
];

/// The empty path, and the stage that callers name.
pub(crate) const NONE: &str = "(none)";

/// Length of a base path; ours until AWS's figure is verified.
const BASE_PATH_MAX: usize = 300;

const PATCH: &[Rule] = &[
    Rule { path: "/basePath", ops: &[Op::Replace], apply: Apply::Custom(set_base_path) },
    Rule { path: "/restapiId", ops: &[Op::Replace], apply: Apply::Custom(set_api) },
    Rule { path: "/stage", ops: &[Op::Replace], apply: Apply::Custom(set_stage) },
];

fn create_base_path_mapping(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, _) = domain_names::find(context.txn, input)?;
    let mut mapping = Body::new();
    let path = base_path(input.text("basePath").unwrap_or_default())?;
    mapping.insert("basePath".to_owned(), Value::from(path));
    let api = input.text("restApiId").unwrap_or_default();
    mapping.insert("restApiId".to_owned(), Value::from(api));
    keep_stage(&mut mapping, input.text("stage").unwrap_or_default());
    check_target(context.txn, &mapping)?;
    if context.txn.contains(Kind::BasePathMapping, &domain, path) {
        return Err(exists());
    }
    let answer = support::shown(&mapping);
    context.txn.put(Kind::BasePathMapping, &domain, path, mapping);
    Ok(Outcome::Body(answer))
}

fn get_base_path_mapping(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (_, _, mapping) = find(context.txn, input)?;
    Ok(Outcome::Body(support::shown(&mapping)))
}

fn get_base_path_mappings(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, _) = domain_names::find(context.txn, input)?;
    let mappings = context.txn.list(Kind::BasePathMapping, &domain);
    Ok(page(input, mappings.into_iter().map(|(id, body)| (id, support::shown(&body)))))
}

/// The paths of this resource are accepted in any case: AWS's page and its tools disagree.
fn update_base_path_mapping(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, path, stored) = find(context.txn, input)?;
    let mut mapping = Body::clone(&stored);
    let mut operations = patch::read(input)?;
    for operation in &mut operations {
        let sent = operation.path.as_deref().unwrap_or_default();
        let known = PATCH.iter().find(|rule| rule.path.eq_ignore_ascii_case(sent));
        if let Some(known) = known {
            operation.path = Some(known.path.to_owned());
        }
    }
    patch::apply(&mut mapping, &operations, PATCH, Wording::Listing)?;
    // What was already gone does not stand in the way of another change.
    let moved = ["restApiId", "stage"].iter().any(|name| mapping.get(*name) != stored.get(*name));
    if moved {
        check_target(context.txn, &mapping)?;
    }
    let renamed = support::text(&mapping, "basePath").to_owned();
    if renamed != path {
        if context.txn.contains(Kind::BasePathMapping, &domain, &renamed) {
            return Err(exists());
        }
        context.txn.delete(Kind::BasePathMapping, &domain, &path);
    }
    let answer = support::shown(&mapping);
    context.txn.put(Kind::BasePathMapping, &domain, &renamed, mapping);
    Ok(Outcome::Body(answer))
}

fn delete_base_path_mapping(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (domain, path, _) = find(context.txn, input)?;
    context.txn.delete(Kind::BasePathMapping, &domain, &path);
    support::nothing()
}

/// The domain's id in the store, the path, the mapping.
fn find(txn: &Txn, input: &Input) -> Result<(String, String, Arc<Body>), ApiError> {
    let (domain, _) = domain_names::find(txn, input)?;
    let path = match input.label("base_path") {
        "" => NONE,
        path => path,
    };
    let mapping = txn
        .get(Kind::BasePathMapping, &domain, path)
        .ok_or_else(|| ApiError::not_found("Invalid base path mapping identifier specified"))?;
    Ok((domain, path.to_owned(), mapping))
}

fn base_path(sent: &str) -> Result<&str, ApiError> {
    if matches!(sent, "" | NONE) {
        return Ok(NONE);
    }
    if sent.contains('/') {
        return Err(ApiError::bad_request(
            "API Gateway V1 doesn't support the slash character (/) in base path mappings. To \
             create a multi-level base path mapping, use API Gateway V2.",
        ));
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"$-_.+!*'()".contains(&byte);
    if sent.len() > BASE_PATH_MAX || !sent.bytes().all(is_allowed) {
        return Err(ApiError::bad_request(
            "Base path names may only contain letters, numbers, and one of $-_.+!*'()",
        ));
    }
    Ok(sent)
}

fn check_target(txn: &Txn, mapping: &Body) -> Result<(), ApiError> {
    let api = support::text(mapping, "restApiId");
    if !txn.contains(Kind::RestApi, "", api) {
        return Err(ApiError::bad_request("Invalid REST API identifier specified"));
    }
    match support::text(mapping, "stage") {
        "" => Ok(()),
        stage if support::has_stage(txn, api, stage) => Ok(()),
        _ => Err(ApiError::bad_request("Invalid stage identifier specified")),
    }
}

fn keep_stage(mapping: &mut Body, stage: &str) {
    if matches!(stage, "" | NONE) {
        mapping.shift_remove("stage");
    } else {
        mapping.insert("stage".to_owned(), Value::from(stage));
    }
}

fn exists() -> ApiError {
    ApiError::conflict("Base path already exists for this domain name")
}

fn set_base_path(mapping: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let path = base_path(operation.value())?;
    mapping.insert("basePath".to_owned(), Value::from(path));
    Ok(())
}

fn set_api(mapping: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    mapping.insert("restApiId".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn set_stage(mapping: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    keep_stage(mapping, operation.value());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::{Call, World, call, object};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    fn world() -> World {
        let mut world = World::new(&[OPERATIONS]);
        for domain in ["a.example", "a.example+private000"] {
            world.txn.put(Kind::DomainName, "", domain, object(json!({"domainName": "a.example"})));
        }
        world
    }

    fn at() -> Call {
        call().uri("domain_name", "a.example")
    }

    fn target() -> Value {
        json!({"restApiId": "api1234567", "stage": "dev"})
    }

    #[test]
    fn the_empty_path_is_none_in_brackets() {
        let mut world = world();
        let made = world.ok("CreateBasePathMapping", at().body(target()));
        let whole = json!({"basePath": "(none)", "restApiId": "api1234567", "stage": "dev"});
        assert_eq!(made, whole);
        let got = world.ok("GetBasePathMapping", at().uri("base_path", "(none)"));
        assert_eq!(got, whole);
        assert_eq!(world.ok("GetBasePathMappings", at()), json!({"item": [whole]}));
        assert_eq!(
            world.refused("CreateBasePathMapping", at().body(target())),
            (ErrorKind::Conflict, "Base path already exists for this domain name".to_owned())
        );
    }

    #[test]
    fn patch_takes_paths_in_any_case_and_keeps_other_fields() {
        let mut world = world();
        world.ok("CreateBasePathMapping", at().body(target()));
        let update = |path: &str, operations: &[(&str, &str, Value)]| {
            at().uri("base_path", path).patch(operations)
        };
        let changed = world.ok(
            "UpdateBasePathMapping",
            update("(none)", &[("replace", "/basepath", json!("v1"))]),
        );
        assert_eq!(changed, json!({"basePath": "v1", "restApiId": "api1234567", "stage": "dev"}));
        assert_eq!(
            world.refused("GetBasePathMapping", at().uri("base_path", "(none)")),
            (ErrorKind::NotFound, "Invalid base path mapping identifier specified".to_owned())
        );
        let changed = world.ok(
            "UpdateBasePathMapping",
            update(
                "v1",
                &[
                    ("replace", "/restapiId", json!("api1234567")),
                    ("replace", "/stage", json!("")),
                    ("replace", "/basePath", json!("")),
                ],
            ),
        );
        assert_eq!(changed, json!({"basePath": "(none)", "restApiId": "api1234567"}));
        for wrong in [
            ("replace", "/stage", json!("nope")),
            ("replace", "/restapiId", json!("nope")),
            ("add", "/stage", json!("dev")),
            ("replace", "/other", json!("x")),
        ] {
            world.refused("UpdateBasePathMapping", update("(none)", &[wrong]));
        }
        world.ok("DeleteBasePathMapping", at().uri("base_path", "(none)"));
        assert_eq!(world.ok("GetBasePathMappings", at()), json!({"item": []}));
    }

    #[test]
    fn refusals_of_create() {
        let mut world = world();
        let mut refused = |body: Value| world.refused("CreateBasePathMapping", at().body(body)).1;
        assert_eq!(
            refused(json!({"restApiId": "api1234567", "basePath": "a/b"})),
            "API Gateway V1 doesn't support the slash character (/) in base path mappings. To \
             create a multi-level base path mapping, use API Gateway V2."
        );
        assert_eq!(refused(json!({"restApiId": "no"})), "Invalid REST API identifier specified");
        assert_eq!(
            refused(json!({"restApiId": "api1234567", "stage": "no"})),
            "Invalid stage identifier specified"
        );
        assert_eq!(
            world.refused("GetBasePathMappings", call().uri("domain_name", "b.example")),
            (ErrorKind::NotFound, "Invalid domain name identifier specified".to_owned())
        );
    }

    #[test]
    fn a_private_domain_of_the_same_name_has_its_own_mappings() {
        let mut world = world();
        let private = || at().query("domainNameId", "private000");
        world.ok("CreateBasePathMapping", private().body(target()));
        assert_eq!(world.ok("GetBasePathMappings", at()), json!({"item": []}));
        let listed = world.ok("GetBasePathMappings", private());
        assert_eq!(listed["item"].as_array().unwrap().len(), 1);
    }
}
