//! API keys: created, listed without their values, changed, deleted.
//!
//! AWS: API Gateway Developer Guide, "Set up API keys"; API Reference, "ApiKey".

use std::sync::Arc;

use serde_json::{Value, json};

use super::support;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateApiKey", create_api_key),
    ("GetApiKey", get_api_key),
    ("GetApiKeys", get_api_keys),
    ("UpdateApiKey", update_api_key),
    ("DeleteApiKey", delete_api_key),
];

/// Length of a key's id and of a generated value ("control-plane.md", section 2).
const ID_LENGTH: usize = 10;
const GENERATED_LENGTH: usize = 40;

/// Recorded bounds, in characters.
const VALUE_MIN: usize = 20;
const VALUE_MAX: usize = 128;
const NAME_MAX: usize = 1_024;
const DESCRIPTION_MAX: usize = 125_000;

/// The order of the first four is the recorded one of the error that lists them.
const PATCH: &[Rule] = &[
    Rule { path: "/description", ops: &[Op::Replace], apply: Apply::Custom(set_description) },
    Rule { path: "/enabled", ops: &[Op::Replace], apply: Apply::Boolean },
    Rule { path: "/name", ops: &[Op::Replace], apply: Apply::Custom(set_name) },
    Rule { path: "/customerId", ops: &[Op::Replace], apply: Apply::TextOrNothing },
    Rule { path: "/labels", ops: &[Op::Add, Op::Remove], apply: Apply::Custom(set_label) },
    Rule { path: "/stages", ops: &[Op::Add, Op::Remove], apply: Apply::Custom(set_stage) },
];

fn create_api_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let value = match input.text("value") {
        // Recorded: an empty value asks for a generated one.
        None | Some("") => generate_value(),
        Some(value) => value.to_owned(),
    };
    check_value(&value)?;
    let mut texts = Body::new();
    support::copy_texts(&mut texts, input, &["name", "description", "customerId"]);
    check_name(support::text(&texts, "name"))?;
    check_description(support::text(&texts, "description"))?;
    if find_by_value(context.txn, &value).is_some() {
        return Err(ApiError::conflict("API Key already exists"));
    }
    let mut body = new_key(context, &value, input.flag("enabled").unwrap_or(false));
    body.extend(texts);
    body.insert("stageKeys".to_owned(), stage_keys(context.txn, input)?);
    support::keep_tags(&mut body, input)?;
    let id = support::text(&body, "id").to_owned();
    let answer = support::shown(&body);
    context.txn.put(Kind::ApiKey, "", &id, body);
    Ok(Outcome::Body(answer))
}

fn get_api_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let body = find(context.txn, input.label("api_Key"))?;
    let mut body = support::shown_with_tags(&body);
    if !input.query_flag("includeValue") {
        body.shift_remove("value");
    }
    Ok(Outcome::Body(body))
}

fn get_api_keys(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let with_values = input.query_flag("includeValues");
    // Recorded: a prefix, and its case counts.
    let prefix = input.query_text("name").unwrap_or_default();
    let customer = input.query_text("customerId");
    let found = context.txn.list(Kind::ApiKey, "").into_iter().filter(|(_, body)| {
        support::text(body, "name").starts_with(prefix)
            && customer.is_none_or(|customer| support::text(body, "customerId") == customer)
    });
    let shown = found.map(|(id, body)| {
        let mut body = support::shown(&body);
        if !with_values {
            body.shift_remove("value");
        }
        (id, body)
    });
    Ok(page(input, shown))
}

fn update_api_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("api_Key");
    let mut body = Body::clone(&*find(context.txn, id)?);
    let is_enabled = |body: &Body| body.get("enabled") == Some(&Value::Bool(true));
    let was_enabled = is_enabled(&body);
    let operations = patch::read(input)?;
    patch::apply(&mut body, &operations, PATCH, Wording::Listing)?;
    for operation in &operations {
        if operation.op == Op::Add && operation.path.as_deref() == Some("/stages") {
            check_stage(context.txn, operation.value())?;
        }
    }
    if was_enabled && !is_enabled(&body) {
        leave_plans(context.txn, id);
    }
    body.insert("lastUpdatedDate".to_owned(), context.seconds());
    let mut answer = support::shown_with_tags(&body);
    answer.shift_remove("value");
    context.txn.put(Kind::ApiKey, "", id, body);
    Ok(Outcome::Body(answer))
}

fn delete_api_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("api_Key");
    find(context.txn, id)?;
    leave_plans(context.txn, id);
    context.txn.delete(Kind::ApiKey, "", id);
    support::nothing()
}

/// The key of this id.
pub(super) fn find(txn: &Txn, id: &str) -> Result<Arc<Body>, ApiError> {
    txn.get(Kind::ApiKey, "", id)
        .ok_or_else(|| ApiError::not_found("Invalid API Key identifier specified"))
}

/// A new key that nobody has stored yet.
pub(super) fn new_key(context: &Context<'_>, value: &str, enabled: bool) -> Body {
    let id = support::new_id(context, Kind::ApiKey, "", ID_LENGTH);
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(id));
    body.insert("value".to_owned(), Value::from(value));
    body.insert("enabled".to_owned(), Value::from(enabled));
    body.insert("createdDate".to_owned(), context.seconds());
    body.insert("lastUpdatedDate".to_owned(), context.seconds());
    body.insert("stageKeys".to_owned(), json!([]));
    body
}

pub(super) fn check_value(value: &str) -> Result<(), ApiError> {
    match value.chars().count() {
        0..VALUE_MIN => {
            Err(ApiError::bad_request("API Key value should be at least 20 characters"))
        }
        VALUE_MIN..=VALUE_MAX => Ok(()),
        _ => Err(ApiError::bad_request("API Key value exceeds maximum size of 128 characters")),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    if name.chars().count() > NAME_MAX {
        return Err(ApiError::bad_request("Invalid API Key name, can be at most 1024 characters."));
    }
    Ok(())
}

pub(super) fn check_description(description: &str) -> Result<(), ApiError> {
    if description.chars().count() > DESCRIPTION_MAX {
        return Err(ApiError::bad_request("Invalid API Key description specified."));
    }
    Ok(())
}

/// Takes a key out of every plan, when it is deleted or disabled ("control-plane.md", section 6;
/// for disabling no recording confirms it).
pub(super) fn leave_plans(txn: &mut Txn, key: &str) {
    for (plan, _) in txn.list(Kind::UsagePlan, "") {
        txn.delete(Kind::UsagePlanKey, &plan, key);
        txn.delete(Kind::Usage, &plan, key);
    }
}

fn find_by_value(txn: &Txn, value: &str) -> Option<Arc<str>> {
    let keys = txn.list(Kind::ApiKey, "");
    keys.into_iter().find(|(_, body)| support::text(body, "value") == value).map(|(id, _)| id)
}

fn generate_value() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..GENERATED_LENGTH)
        .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
        .collect()
}

/// `[{restApiId, stageName}]` of a request as the `api/stage` texts of an answer.
fn stage_keys(txn: &Txn, input: &Input) -> Result<Value, ApiError> {
    let sent = input.body.get("stageKeys").and_then(Value::as_array).map(Vec::as_slice);
    let mut keys = Vec::new();
    for key in sent.unwrap_or_default() {
        let api = key["restApiId"].as_str().unwrap_or_default();
        let stage = key["stageName"].as_str().unwrap_or_default();
        let key = format!("{api}/{stage}");
        check_stage(txn, &key)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(json!(keys))
}

fn check_stage(txn: &Txn, key: &str) -> Result<(), ApiError> {
    let known = key.split_once('/').is_some_and(|(api, stage)| support::has_stage(txn, api, stage));
    if known { Ok(()) } else { Err(ApiError::bad_request("Invalid stage identifier specified")) }
}

fn set_name(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    check_name(operation.value())?;
    set(body, "name", operation);
    Ok(())
}

fn set_description(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    check_description(operation.value())?;
    set(body, "description", operation);
    Ok(())
}

fn set(body: &mut Body, name: &str, operation: &PatchOperation) {
    match &operation.value {
        Some(value) => body.insert(name.to_owned(), Value::from(value.as_str())),
        None => body.shift_remove(name),
    };
}

/// Labels are in AWS's patch table, but no answer shows them.
fn set_label(_body: &mut Body, _operation: &PatchOperation) -> Result<(), ApiError> {
    Err(ApiError::bad_request("Labels of API keys are not supported; use tags instead"))
}

/// `api/stage`, of the time before usage plans.
fn set_stage(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let slot = body.entry("stageKeys").or_insert_with(|| json!([]));
    if let Value::Array(keys) = slot {
        keys.retain(|key| key != operation.value());
        if operation.op == Op::Add {
            keys.push(Value::from(operation.value()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::trial::{World, call, object};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    const VALUE: &str = "a-value-of-twenty-or-more";

    fn bad(message: &str) -> (ErrorKind, String) {
        (ErrorKind::BadRequest, message.to_owned())
    }

    #[test]
    fn create_answers_the_value_and_only_what_it_was_told() {
        let mut world = World::new(&[OPERATIONS]);
        let made = world.run("CreateApiKey", call().body(json!({"name": "k", "enabled": true})));
        let made = made.unwrap();
        let mut names: Vec<&str> = made.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["createdDate", "enabled", "id", "lastUpdatedDate", "name", "stageKeys", "value"]
        );
        assert_eq!(support::text(&made, "id").len(), 10);
        let value = support::text(&made, "value");
        assert!(value.len() == 40 && value.chars().all(|letter| letter.is_ascii_alphanumeric()));
        let empty = world.ok("CreateApiKey", call().body(json!({"value": ""})));
        assert_eq!(empty["value"].as_str().map(str::len), Some(40));
        assert_eq!(empty["enabled"], false);
    }

    #[test]
    fn get_and_list_hide_the_value_until_asked() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateApiKey", call().body(json!({"value": VALUE})), "id");
        let got = world.ok("GetApiKey", call().uri("api_Key", &id));
        assert!(got.get("value").is_none());
        assert_eq!(got["tags"], json!({}));
        let got = world.ok("GetApiKey", call().uri("api_Key", &id).query("includeValue", true));
        assert_eq!(got["value"], VALUE);
        let all = world.ok("GetApiKeys", call());
        assert!(all["item"][0].get("value").is_none());
        assert!(all["item"][0].get("tags").is_none());
        let all = world.ok("GetApiKeys", call().query("includeValues", true));
        assert_eq!(all["item"][0]["value"], VALUE);
    }

    #[test]
    fn the_name_filter_is_a_prefix_whose_case_counts() {
        let mut world = World::new(&[OPERATIONS]);
        for name in ["alpha", "Alpha", "alphabet", "beta"] {
            world.ok("CreateApiKey", call().body(json!({"name": name, "customerId": "c"})));
        }
        let all = world.ok("GetApiKeys", call().query("name", "alpha").query("customerId", "c"));
        let mut names: Vec<&str> = all["item"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["alpha", "alphabet"]);
        assert_eq!(world.ok("GetApiKeys", call().query("customerId", "x"))["item"], json!([]));
        assert_eq!(world.ok("GetApiKeys", call().query("limit", -1))["item"], json!([]));
    }

    #[test]
    fn refusals_of_create() {
        let mut world = World::new(&[OPERATIONS]);
        let mut refused = |body: Value| world.refused("CreateApiKey", call().body(body));
        assert_eq!(
            refused(json!({"value": "short"})),
            bad("API Key value should be at least 20 characters")
        );
        assert_eq!(
            refused(json!({"value": "x".repeat(129)})),
            bad("API Key value exceeds maximum size of 128 characters")
        );
        assert_eq!(
            refused(json!({"name": "x".repeat(1_025)})),
            bad("Invalid API Key name, can be at most 1024 characters.")
        );
        assert_eq!(
            refused(json!({"description": "x".repeat(125_001)})),
            bad("Invalid API Key description specified.")
        );
        assert_eq!(
            refused(json!({"stageKeys": [{"restApiId": "api1234567", "stageName": "no"}]})),
            bad("Invalid stage identifier specified")
        );
        world.ok("CreateApiKey", call().body(json!({"value": VALUE})));
        assert_eq!(
            world.refused("CreateApiKey", call().body(json!({"value": VALUE}))),
            (ErrorKind::Conflict, "API Key already exists".to_owned())
        );
    }

    #[test]
    fn update_answers_empty_tags_and_no_value() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateApiKey", call().body(json!({"enabled": true})), "id");
        let at = || call().uri("api_Key", &id);
        world.now += 60;
        let changed = world.ok(
            "UpdateApiKey",
            at().patch(&[
                ("replace", "/name", json!("n")),
                ("replace", "/description", json!("d")),
                ("replace", "/enabled", json!("not a boolean")),
                ("replace", "/customerId", json!("c")),
                ("add", "/stages", json!("api1234567/dev")),
            ]),
        );
        assert_eq!(changed["tags"], json!({}));
        assert!(changed.get("value").is_none());
        assert_eq!(changed["name"], "n");
        assert_eq!(changed["enabled"], false);
        assert_eq!(changed["stageKeys"], json!(["api1234567/dev"]));
        assert_eq!(changed["lastUpdatedDate"], world.now);
        let (_, message) =
            world.refused("UpdateApiKey", at().patch(&[("replace", "/wrong", json!("x"))]));
        assert_eq!(
            message,
            "Invalid patch path  '/wrong' specified for op 'replace'. \
             Must be one of: [/description, /enabled, /name, /customerId]"
        );
    }

    #[test]
    fn a_disabled_or_deleted_key_leaves_its_plans() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateApiKey", call().body(json!({"enabled": true})), "id");
        let at = || call().uri("api_Key", &id);
        world.txn.put(Kind::UsagePlan, "", "plan00", object(json!({"id": "plan00"})));
        world.txn.put(Kind::UsagePlanKey, "plan00", &id, object(json!({"id": id})));
        world.ok("UpdateApiKey", at().patch(&[("replace", "/enabled", json!("false"))]));
        assert!(!world.txn.contains(Kind::UsagePlanKey, "plan00", &id));
        world.txn.put(Kind::UsagePlanKey, "plan00", &id, object(json!({"id": id})));
        world.ok("DeleteApiKey", at());
        assert!(!world.txn.contains(Kind::UsagePlanKey, "plan00", &id));
        for operation in ["GetApiKey", "UpdateApiKey", "DeleteApiKey"] {
            assert_eq!(
                world.refused(operation, at()),
                (ErrorKind::NotFound, "Invalid API Key identifier specified".to_owned())
            );
        }
    }
}
