//! Documentation versions: an API's documentation parts, frozen under a name.
//!
//! AWS: API Gateway API Reference, "DocumentationVersion".

use serde_json::Value;

use super::{documentation, support};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, Rule, Wording};
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations = &[
    ("CreateDocumentationVersion", create_documentation_version),
    ("GetDocumentationVersion", get_documentation_version),
    ("GetDocumentationVersions", get_documentation_versions),
    ("UpdateDocumentationVersion", update_documentation_version),
    ("DeleteDocumentationVersion", delete_documentation_version),
];

/// The member of a stored version that holds the parts it froze, as a list of their bodies.
pub const PARTS: &str = "tidegateParts";

const PATCH: &[Rule] =
    &[Rule { path: "/description", ops: &[Op::Replace], apply: Apply::TextOrNothing }];

fn create_documentation_version(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let api = input.label("restapi_id");
    support::rest_api(context, api)?;
    let version = input.text("documentationVersion").unwrap_or_default();
    if version.is_empty() {
        return Err(ApiError::bad_request("Documentation version must be non-empty"));
    }
    if context.txn.contains(Kind::DocumentationVersion, api, version) {
        return Err(ApiError::conflict(format!("Documentation version already exists: {version}")));
    }
    if let Some(stage) = input.text("stageName").filter(|stage| !stage.is_empty()) {
        bind(context, api, stage, version)?;
    }
    let mut body = Body::new();
    body.insert("version".to_owned(), Value::from(version));
    body.insert("createdDate".to_owned(), context.seconds());
    support::copy_texts(&mut body, input, &["description"]);
    body.insert(PARTS.to_owned(), documentation::snapshot(context.txn, api));
    let answer = support::shown(&body);
    context.txn.put(Kind::DocumentationVersion, api, version, body);
    Ok(Outcome::Body(answer))
}

fn get_documentation_version(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(support::shown(&find(context, input)?)))
}

fn get_documentation_versions(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let api = input.label("restapi_id");
    support::rest_api(context, api)?;
    let versions = context.txn.list(Kind::DocumentationVersion, api);
    Ok(page(input, versions.into_iter().map(|(id, body)| (id, support::shown(&body)))))
}

fn update_documentation_version(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let mut body = find(context, input)?;
    patch::apply(&mut body, &patch::read(input)?, PATCH, Wording::Listing)?;
    let (api, version) = (input.label("restapi_id"), input.label("doc_version"));
    let answer = support::shown(&body);
    context.txn.put(Kind::DocumentationVersion, api, version, body);
    Ok(Outcome::Body(answer))
}

fn delete_documentation_version(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    find(context, input)?;
    let (api, version) = (input.label("restapi_id"), input.label("doc_version"));
    for (stage, settings) in context.txn.list(Kind::Stage, api) {
        if support::text(&settings, "documentationVersion") == version {
            return Err(ApiError::bad_request(format!(
                "Documentation version {version} is in use by stage {stage}"
            )));
        }
    }
    context.txn.delete(Kind::DocumentationVersion, api, version);
    support::nothing()
}

/// Makes a stage show this version.
fn bind(context: &mut Context<'_>, api: &str, stage: &str, version: &str) -> Result<(), ApiError> {
    let settings = context.txn.get(Kind::Stage, api, stage);
    let settings =
        settings.ok_or_else(|| ApiError::not_found("Invalid stage identifier specified"))?;
    let mut settings = Body::clone(&settings);
    settings.insert("documentationVersion".to_owned(), Value::from(version));
    settings.insert("lastUpdatedDate".to_owned(), context.seconds());
    context.txn.put(Kind::Stage, api, stage, settings);
    Ok(())
}

fn find(context: &Context<'_>, input: &Input) -> Result<Body, ApiError> {
    let (api, version) = (input.label("restapi_id"), input.label("doc_version"));
    support::rest_api(context, api)?;
    let body = context.txn.get(Kind::DocumentationVersion, api, version);
    let body = body
        .ok_or_else(|| ApiError::not_found("Invalid Documentation version identifier specified"))?;
    Ok(Body::clone(&body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::{Call, NOW, World, call};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    fn at() -> Call {
        call().uri("restapi_id", "api1234567")
    }

    #[test]
    fn a_version_freezes_the_parts_and_keeps_them_to_itself() {
        let mut world = World::new(&[OPERATIONS, documentation::OPERATIONS]);
        let part = at().body(json!({"location": {"type": "API"}, "properties": "{\"a\":1}"}));
        let part = world.id("CreateDocumentationPart", part, "id");
        let create = at().body(json!({"documentationVersion": "1", "description": "d"}));
        let made = world.ok("CreateDocumentationVersion", create);
        assert_eq!(made, json!({"version": "1", "createdDate": NOW, "description": "d"}));
        world.ok("DeleteDocumentationPart", at().uri("part_id", &part));
        let kept = world.txn.get(Kind::DocumentationVersion, "api1234567", "1").unwrap();
        assert_eq!(kept[PARTS][0]["properties"], "{\"a\":1}");
        assert_eq!(world.ok("GetDocumentationVersions", at()), json!({"item": [made]}));
    }

    #[test]
    fn a_version_can_be_bound_to_a_stage_and_then_stays() {
        let mut world = World::new(&[OPERATIONS]);
        let create = |stage: &str, version: &str| {
            at().body(json!({"documentationVersion": version, "stageName": stage}))
        };
        world.ok("CreateDocumentationVersion", create("dev", "1"));
        let stage = world.txn.get(Kind::Stage, "api1234567", "dev").unwrap();
        assert_eq!(stage["documentationVersion"], "1");
        let version = || at().uri("doc_version", "1");
        assert_eq!(world.refused("DeleteDocumentationVersion", version()).0, ErrorKind::BadRequest);
        assert_eq!(
            world.refused("CreateDocumentationVersion", create("nope", "2")).1,
            "Invalid stage identifier specified"
        );
        assert_eq!(
            world.refused("CreateDocumentationVersion", create("dev", "1")).0,
            ErrorKind::Conflict
        );
        let described = version().patch(&[("replace", "/description", json!("x"))]);
        assert_eq!(world.ok("UpdateDocumentationVersion", described)["description"], "x");
        world.txn.delete(Kind::Stage, "api1234567", "dev");
        world.ok("DeleteDocumentationVersion", version());
        assert_eq!(world.refused("GetDocumentationVersion", version()).0, ErrorKind::NotFound);
    }
}
