//! Which API keys are in which usage plan.
//!
//! An object says only that the key is in the plan, and since when; name and value are the key's.
//! AWS: API Gateway API Reference, "UsagePlanKey".

use std::sync::Arc;

use serde_json::Value;

use super::{api_keys, support};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateUsagePlanKey", create_usage_plan_key),
    ("GetUsagePlanKey", get_usage_plan_key),
    ("GetUsagePlanKeys", get_usage_plan_keys),
    ("DeleteUsagePlanKey", delete_usage_plan_key),
];

/// The only type there is.
const API_KEY: &str = "API_KEY";

/// Since when a key is in a plan, seconds since the epoch.
pub(super) const SINCE: &str = "tidegateSince";

/// Usage plans an API key can be in: "Quotas for configuring and running a REST API".
const PLANS_PER_KEY_MAX: usize = 10;

/// All usage plans, listed once for many keys.
pub(super) type Plans = Vec<(Arc<str>, Arc<Body>)>;

fn create_usage_plan_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    if input.text("keyType") != Some(API_KEY) {
        return Err(ApiError::bad_request(format!(
            "Invalid key type specified. Must be one of: [{API_KEY}]"
        )));
    }
    let plan = input.label("usageplanId");
    let key = input.text("keyId").unwrap_or_default();
    let plans = plans(context.txn);
    let body = subscribe(context, &plans, plan, key)?;
    Ok(Outcome::Body(joined(context.txn, &body)))
}

fn get_usage_plan_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let body = find(context.txn, input.label("usageplanId"), input.label("keyId"))?;
    Ok(Outcome::Body(joined(context.txn, &body)))
}

/// Recorded: the keys of an unknown plan are an empty list.
fn get_usage_plan_keys(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let prefix = input.query_text("name").unwrap_or_default();
    let found = context.txn.list(Kind::UsagePlanKey, input.label("usageplanId"));
    let shown = found
        .into_iter()
        .map(|(id, body)| (id, joined(context.txn, &body)))
        .filter(|(_, body)| support::text(body, "name").starts_with(prefix));
    Ok(page(input, shown))
}

fn delete_usage_plan_key(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (plan, key) = (input.label("usageplanId"), input.label("keyId"));
    find(context.txn, plan, key)?;
    context.txn.delete(Kind::UsagePlanKey, plan, key);
    context.txn.delete(Kind::Usage, plan, key);
    support::nothing()
}

pub(super) fn plans(txn: &Txn) -> Plans {
    txn.list(Kind::UsagePlan, "")
}

/// Puts a key into a plan, unless a plan of the key serves one of the plan's stages already.
pub(super) fn subscribe(
    context: &mut Context<'_>,
    plans: &Plans,
    plan: &str,
    key: &str,
) -> Result<Body, ApiError> {
    let wanted = super::usage_plans::find(context.txn, plan)?;
    api_keys::find(context.txn, key)?;
    let mut plans_of_key = 0;
    for (other, body) in plans {
        if !context.txn.contains(Kind::UsagePlanKey, other, key) {
            continue;
        }
        if **other == *plan {
            return Err(ApiError::conflict(format!(
                "API Key {key} is already subscribed to Usage Plan {plan}"
            )));
        }
        plans_of_key += 1;
        if let Some(stage) = common_stage(&wanted, body) {
            return Err(shared(plan, key, &stage));
        }
    }
    if plans_of_key >= PLANS_PER_KEY_MAX {
        return Err(ApiError::new(
            crate::admin::protocol::error::ErrorKind::LimitExceeded,
            format!("An API Key can be in at most {PLANS_PER_KEY_MAX} Usage Plans"),
        ));
    }
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(key));
    body.insert("type".to_owned(), Value::from(API_KEY));
    body.insert(SINCE.to_owned(), context.seconds());
    context.txn.put(Kind::UsagePlanKey, plan, key, body.clone());
    Ok(body)
}

/// A plan that gets stages must not give one of its keys a second plan for one of them.
pub(super) fn check_keys(txn: &Txn, plan: &str, wanted: &Body) -> Result<(), ApiError> {
    let others = plans(txn).into_iter().filter(|(other, _)| **other != *plan);
    let overlapping =
        others.filter_map(|(other, body)| common_stage(wanted, &body).map(|stage| (other, stage)));
    let mut overlapping = overlapping.peekable();
    if overlapping.peek().is_none() {
        return Ok(());
    }
    let keys = txn.list(Kind::UsagePlanKey, plan);
    for (other, stage) in overlapping {
        for (key, _) in &keys {
            if txn.contains(Kind::UsagePlanKey, &other, key) {
                return Err(shared(plan, key, &stage));
            }
        }
    }
    Ok(())
}

fn shared(plan: &str, key: &str, stage: &str) -> ApiError {
    ApiError::conflict(format!(
        "Usage Plan {plan} cannot be added because API Key {key} cannot reference multiple Usage \
         Plans with the same API Stage: {stage}"
    ))
}

/// A stage both plans serve, `api:stage`.
fn common_stage(one: &Body, other: &Body) -> Option<String> {
    let stages = |plan: &Body| -> Vec<String> {
        let stages = plan.get("apiStages").and_then(Value::as_array).map(Vec::as_slice);
        let name = |stage: &Value| {
            format!(
                "{}:{}",
                stage["apiId"].as_str().unwrap_or_default(),
                stage["stage"].as_str().unwrap_or_default()
            )
        };
        stages.unwrap_or_default().iter().map(name).collect()
    };
    let others = stages(other);
    stages(one).into_iter().find(|stage| others.contains(stage))
}

fn find(txn: &Txn, plan: &str, key: &str) -> Result<Arc<Body>, ApiError> {
    super::usage_plans::find(txn, plan)?;
    txn.get(Kind::UsagePlanKey, plan, key)
        .ok_or_else(|| ApiError::not_found("Invalid API Key identifier specified"))
}

/// As answers show it, with the key's value: the model has the member and no switch that hides it,
/// and Terraform's resource has the attribute. Not recorded.
fn joined(txn: &Txn, body: &Body) -> Body {
    let mut shown = support::shown(body);
    if let Some(key) = txn.get(Kind::ApiKey, "", support::text(body, "id")) {
        for name in ["value", "name"] {
            if let Some(value) = key.get(name) {
                shown.insert(name.to_owned(), value.clone());
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::{World, call, object};
    use super::super::usage_plans;
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    fn world() -> (World, String, String) {
        let mut world = World::new(&[OPERATIONS, api_keys::OPERATIONS, usage_plans::OPERATIONS]);
        let key = world.id("CreateApiKey", call().body(json!({"name": "k"})), "id");
        let stage = json!([{"apiId": "api1234567", "stage": "dev"}]);
        let plan = json!({"name": "p", "apiStages": stage});
        let plan = world.id("CreateUsagePlan", call().body(plan), "id");
        (world, key, plan)
    }

    fn add(world: &mut World, plan: &str, key: &str) -> Result<Body, ApiError> {
        let body = json!({"keyId": key, "keyType": "API_KEY"});
        world.run("CreateUsagePlanKey", call().uri("usageplanId", plan).body(body))
    }

    #[test]
    fn a_key_joins_is_listed_and_leaves() {
        let (mut world, key, plan) = world();
        let made = Value::Object(add(&mut world, &plan, &key).unwrap());
        assert_eq!(
            (&made["id"], &made["type"], &made["name"]),
            (&json!(key), &json!("API_KEY"), &json!("k"))
        );
        let at = || call().uri("usageplanId", &plan).uri("keyId", &key);
        assert_eq!(world.ok("GetUsagePlanKey", at()), made);
        assert_eq!(world.ok("GetUsagePlanKeys", at())["item"], json!([made]));
        assert_eq!(world.ok("GetUsagePlanKeys", at().query("name", "K"))["item"], json!([]));
        assert_eq!(
            world.ok("GetUsagePlans", call().query("keyId", key.as_str()))["item"][0]["id"],
            plan.as_str()
        );
        world.ok("DeleteUsagePlanKey", at());
        assert_eq!(world.refused("GetUsagePlanKey", at()).0, ErrorKind::NotFound);
        assert_eq!(
            world.ok("GetUsagePlans", call().query("keyId", key.as_str()))["item"],
            json!([])
        );
    }

    #[test]
    fn the_keys_of_an_unknown_plan_are_an_empty_list() {
        let (mut world, key, _) = world();
        let listed = world.ok("GetUsagePlanKeys", call().uri("usageplanId", "nope"));
        assert_eq!(listed, json!({"item": []}));
        let refused = add(&mut world, "nope", &key).unwrap_err();
        assert_eq!(refused.message, "Invalid Usage Plan ID specified");
    }

    #[test]
    fn a_key_is_in_one_plan_per_stage() {
        let (mut world, key, plan) = world();
        let same = json!({"name": "q", "apiStages": [{"apiId": "api1234567", "stage": "dev"}]});
        let second = world.id("CreateUsagePlan", call().body(same), "id");
        let empty = world.id("CreateUsagePlan", call().body(json!({"name": "r"})), "id");
        add(&mut world, &plan, &key).unwrap();
        assert_eq!(add(&mut world, &plan, &key).unwrap_err().kind, ErrorKind::Conflict);
        let refused = add(&mut world, &second, &key).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert_eq!(
            refused.message,
            format!(
                "Usage Plan {second} cannot be added because API Key {key} cannot reference \
                 multiple Usage Plans with the same API Stage: api1234567:dev"
            )
        );
        // The same by the other way: a plan of the key gets the stage afterwards.
        add(&mut world, &empty, &key).unwrap();
        let stage = call().uri("usageplanId", &empty);
        let stage = stage.patch(&[("add", "/apiStages", json!("api1234567:dev"))]);
        assert_eq!(world.refused("UpdateUsagePlan", stage).0, ErrorKind::Conflict);
    }

    #[test]
    fn a_key_is_in_ten_plans_at_most() {
        let (mut world, key, _) = world();
        for number in 0..=PLANS_PER_KEY_MAX {
            let id = format!("plan{number:02}");
            world.txn.put(Kind::UsagePlan, "", &id, object(json!({"id": id, "apiStages": []})));
            assert_eq!(add(&mut world, &id, &key).is_ok(), number < PLANS_PER_KEY_MAX);
        }
    }

    #[test]
    fn only_api_keys_are_keys() {
        let (mut world, key, plan) = world();
        let body = json!({"keyId": key, "keyType": "OTHER"});
        let wrong = call().uri("usageplanId", &plan).body(body);
        assert_eq!(world.refused("CreateUsagePlanKey", wrong).0, ErrorKind::BadRequest);
        let refused = add(&mut world, &plan, "unknown").unwrap_err();
        assert_eq!(refused.message, "Invalid API Key identifier specified");
    }
}
