//! Usage plans: which stages a customer may call, how fast and how often.
//!
//! AWS: API Gateway Developer Guide, "Usage plans and API keys for REST APIs"; API Reference,
//! "UsagePlan".

use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{self, ID_LENGTH};
use super::{usage_plan_keys, usage_plan_patch};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateUsagePlan", create_usage_plan),
    ("GetUsagePlan", get_usage_plan),
    ("GetUsagePlans", get_usage_plans),
    ("UpdateUsagePlan", update_usage_plan),
    ("DeleteUsagePlan", delete_usage_plan),
];

fn create_usage_plan(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let name = input.text("name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(no_name)?;
    let id = support::new_id(context, Kind::UsagePlan, "", ID_LENGTH);
    let mut plan = Body::new();
    plan.insert("id".to_owned(), Value::from(id.as_str()));
    plan.insert("name".to_owned(), Value::from(name));
    support::copy_texts(&mut plan, input, &["description"]);
    plan.insert("apiStages".to_owned(), stages(context.txn, input)?);
    if let Some(throttle) = input.body.get("throttle").and_then(Value::as_object) {
        plan.insert("throttle".to_owned(), Value::Object(rates(throttle)));
    }
    if let Some(quota) = input.body.get("quota").and_then(Value::as_object) {
        plan.insert("quota".to_owned(), Value::Object(quota.clone()));
    }
    support::keep_tags(&mut plan, input)?;
    check(&mut plan)?;
    let answer = support::shown(&plan);
    context.txn.put(Kind::UsagePlan, "", &id, plan);
    Ok(Outcome::Body(answer))
}

fn get_usage_plan(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let plan = find(context.txn, input.label("usageplanId"))?;
    Ok(Outcome::Body(support::shown_with_tags(&plan)))
}

/// With `keyId`, the plans that key is in.
fn get_usage_plans(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let plans = context.txn.list(Kind::UsagePlan, "").into_iter().filter(|(id, _)| {
        let key = input.query_text("keyId");
        key.is_none_or(|key| context.txn.contains(Kind::UsagePlanKey, id, key))
    });
    Ok(page(input, plans.map(|(id, plan)| (id, support::shown(&plan)))))
}

fn update_usage_plan(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("usageplanId");
    let mut plan = Body::clone(&*find(context.txn, id)?);
    usage_plan_patch::apply(context.txn, &mut plan, &patch::read(input)?)?;
    if support::text(&plan, "name").is_empty() {
        return Err(no_name());
    }
    check(&mut plan)?;
    usage_plan_keys::check_keys(context.txn, id, &plan)?;
    let answer = support::shown_with_tags(&plan);
    context.txn.put(Kind::UsagePlan, "", id, plan);
    Ok(Outcome::Body(answer))
}

fn delete_usage_plan(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("usageplanId");
    let plan = find(context.txn, id)?;
    // Inferred, not recorded: Terraform takes the stages out first, so AWS seems to want it. A
    // stage that is gone binds nothing.
    let serves = plan.get("apiStages").and_then(Value::as_array).map(Vec::as_slice);
    let is_served = |stage: &Value| {
        let (api, name) = (stage["apiId"].as_str(), stage["stage"].as_str());
        support::has_stage(context.txn, api.unwrap_or_default(), name.unwrap_or_default())
    };
    if serves.unwrap_or_default().iter().any(is_served) {
        return Err(ApiError::bad_request(format!(
            "Cannot delete Usage Plan {id} because there are API stages associated with it"
        )));
    }
    context.txn.delete_all(Kind::UsagePlanKey, id);
    context.txn.delete_all(Kind::Usage, id);
    context.txn.delete(Kind::UsagePlan, "", id);
    support::nothing()
}

/// The plan of this id.
pub(super) fn find(txn: &Txn, id: &str) -> Result<Arc<Body>, ApiError> {
    txn.get(Kind::UsagePlan, "", id)
        .ok_or_else(|| ApiError::not_found("Invalid Usage Plan ID specified"))
}

/// A stage that a plan is to serve must be there.
pub(super) fn check_stage(txn: &Txn, api: &str, stage: &str) -> Result<(), ApiError> {
    if support::has_stage(txn, api, stage) {
        return Ok(());
    }
    Err(ApiError::not_found(format!("API Stage not found: {api}:{stage}")))
}

/// Rates are decimal numbers and bursts whole ones, however they were sent.
pub(super) fn rates(throttle: &Body) -> Body {
    let mut rates = throttle.clone();
    if let Some(rate) = rates.get("rateLimit").and_then(Value::as_f64) {
        rates.insert("rateLimit".to_owned(), Value::from(rate));
    }
    rates
}

fn stages(txn: &Txn, input: &Input) -> Result<Value, ApiError> {
    let sent = input.body.get("apiStages").and_then(Value::as_array).map(Vec::as_slice);
    let mut stages: Vec<Value> = Vec::new();
    for stage in sent.unwrap_or_default() {
        let (Some(api), Some(name)) = (stage["apiId"].as_str(), stage["stage"].as_str()) else {
            return Err(wrong_stage());
        };
        check_stage(txn, api, name)?;
        if stages.iter().any(|known| known["apiId"] == api && known["stage"] == name) {
            return Err(ApiError::bad_request(format!(
                "API Stage {api}:{name} is specified more than once"
            )));
        }
        let mut kept = json!({"apiId": api, "stage": name});
        if let Some(throttle) = stage["throttle"].as_object() {
            let methods: Body = throttle
                .iter()
                .filter_map(|(method, limits)| Some((method.clone(), limits.as_object()?)))
                .map(|(method, limits)| (method, Value::Object(rates(limits))))
                .collect();
            kept["throttle"] = Value::Object(methods);
        }
        stages.push(kept);
    }
    Ok(Value::Array(stages))
}

/// What must hold of a plan, however it came to be.
fn check(plan: &mut Body) -> Result<(), ApiError> {
    let negative = |limits: &Body, name: &str| {
        limits.get(name).and_then(Value::as_f64).is_some_and(|limit| limit < 0.0)
    };
    let methods = plan.get("apiStages").and_then(Value::as_array).into_iter().flatten();
    let methods = methods.filter_map(|stage| stage["throttle"].as_object());
    let methods = methods.flat_map(|methods| methods.values());
    for limits in plan.get("throttle").into_iter().chain(methods).filter_map(Value::as_object) {
        if negative(limits, "rateLimit") || negative(limits, "burstLimit") {
            return Err(ApiError::bad_request("Throttle limits must not be negative"));
        }
    }
    let Some(Value::Object(quota)) = plan.get_mut("quota") else { return Ok(()) };
    let whole = |name: &str| quota.get(name).and_then(Value::as_i64);
    if whole("limit").is_none_or(|limit| limit < 0) || whole("offset").is_some_and(|at| at < 0) {
        return Err(ApiError::bad_request(
            "Usage Plan quota needs a limit, and neither limit nor offset may be negative",
        ));
    }
    if !matches!(support::text(quota, "period"), "DAY" | "WEEK" | "MONTH") {
        return Err(ApiError::bad_request(
            "Invalid quota period specified. Must be one of: [DAY, WEEK, MONTH]",
        ));
    }
    quota.entry("offset").or_insert_with(|| Value::from(0));
    Ok(())
}

/// Recorded.
pub(super) fn wrong_stage() -> ApiError {
    ApiError::bad_request("Invalid API Stage specified")
}

fn no_name() -> ApiError {
    ApiError::bad_request("Usage Plan name must be non-empty")
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Call, World, call};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    fn world() -> (World, String) {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateUsagePlan", call().body(json!({"name": "p"})), "id");
        (world, id)
    }

    fn patch(id: &str, operations: &[(&str, &str, Value)]) -> Call {
        call().uri("usageplanId", id).patch(operations)
    }

    #[test]
    fn a_bare_plan_has_no_stages_and_tags_only_when_read() {
        let (mut world, id) = world();
        let made = world.ok("GetUsagePlans", call());
        assert_eq!(made, json!({"item": [{"id": id, "name": "p", "apiStages": []}]}));
        let got = world.ok("GetUsagePlan", call().uri("usageplanId", &id));
        assert_eq!(got, json!({"id": id, "name": "p", "apiStages": [], "tags": {}}));
    }

    #[test]
    fn a_burst_may_exceed_the_rate_and_a_quota_has_an_offset() {
        let (mut world, _) = world();
        let made = world.ok(
            "CreateUsagePlan",
            call().body(json!({
                "name": "p", "throttle": {"burstLimit": 20, "rateLimit": 10},
                "quota": {"limit": 100, "period": "MONTH"},
                "apiStages": [{"apiId": "api1234567", "stage": "dev",
                               "throttle": {"/a/GET": {"rateLimit": 5, "burstLimit": 2}}}],
                "tags": {"a": "b"},
            })),
        );
        assert_eq!(made["throttle"].to_string(), r#"{"burstLimit":20,"rateLimit":10.0}"#);
        assert_eq!(made["quota"], json!({"limit": 100, "period": "MONTH", "offset": 0}));
        assert_eq!(made["apiStages"][0]["throttle"]["/a/GET"]["rateLimit"], 5.0);
        assert_eq!(made["tags"], json!({"a": "b"}));
    }

    #[test]
    fn refusals_of_stages() {
        let (mut world, id) = world();
        let mut refused = |op: &str, value: Value| {
            world.refused("UpdateUsagePlan", patch(&id, &[(op, "/apiStages", value)]))
        };
        let wrong = (ErrorKind::BadRequest, "Invalid API Stage specified".to_owned());
        for op in ["add", "remove"] {
            assert_eq!(refused(op, Value::Null), wrong);
            assert_eq!(refused(op, json!("fakevalue")), wrong);
        }
        assert_eq!(
            refused("remove", json!("api1234567:nope")),
            (
                ErrorKind::NotFound,
                format!(
                    "Invalid API Stage {{api: api1234567, stage: nope}} specified for usageplan {id}"
                )
            )
        );
        assert_eq!(
            refused("add", json!("api1234567:nope")),
            (ErrorKind::NotFound, "API Stage not found: api1234567:nope".to_owned())
        );
        let create = json!({"name": "q", "apiStages": [{"apiId": "nope", "stage": "dev"}]});
        assert_eq!(
            world.refused("CreateUsagePlan", call().body(create)).1,
            "API Stage not found: nope:dev"
        );
    }

    #[test]
    fn a_raw_slash_in_a_method_path_and_an_escaped_one_are_the_same() {
        let (mut world, id) = world();
        world.ok("UpdateUsagePlan", patch(&id, &[("add", "/apiStages", json!("api1234567:dev"))]));
        // As Terraform sends it, and as the CLI's documentation does.
        let at = "/apiStages/api1234567:dev/throttle";
        let changed = world.ok(
            "UpdateUsagePlan",
            patch(
                &id,
                &[
                    ("replace", &format!("{at}//a/b/GET/rateLimit"), json!("10.000000")),
                    ("replace", &format!("{at}//a/b/GET/burstLimit"), json!("5")),
                    ("add", &format!("{at}/~1a~1b/PUT/burstLimit"), json!("7")),
                ],
            ),
        );
        let throttle = &changed["apiStages"][0]["throttle"];
        assert_eq!(
            *throttle,
            json!({"/a/b/GET": {"rateLimit": 10.0, "burstLimit": 5}, "/a/b/PUT": {"burstLimit": 7}})
        );
        let changed = world.ok(
            "UpdateUsagePlan",
            patch(&id, &[("remove", &format!("{at}/a/b/GET"), Value::Null)]),
        );
        let throttle = &changed["apiStages"][0]["throttle"];
        assert_eq!(*throttle, json!({"/a/b/PUT": {"burstLimit": 7}}));
        let whole = json!(r#"{"/x/GET": {"rateLimit": 1, "burstLimit": 2}}"#);
        let changed = world.ok("UpdateUsagePlan", patch(&id, &[("replace", at, whole)]));
        assert_eq!(
            changed["apiStages"][0]["throttle"],
            json!({"/x/GET": {"rateLimit": 1.0, "burstLimit": 2}})
        );
        let changed = world.ok("UpdateUsagePlan", patch(&id, &[("remove", at, Value::Null)]));
        assert!(changed["apiStages"][0].get("throttle").is_none());
    }

    #[test]
    fn throttle_quota_and_product_code_come_and_go() {
        let (mut world, id) = world();
        let changed = world.ok(
            "UpdateUsagePlan",
            patch(
                &id,
                &[
                    ("replace", "/name", json!("n")),
                    ("replace", "/description", json!("d")),
                    ("add", "/productCode", json!("code")),
                    ("add", "/throttle/rateLimit", json!("10.5")),
                    ("add", "/throttle/burstLimit", json!("20")),
                    ("add", "/quota/limit", json!("100")),
                    ("add", "/quota/offset", json!("2")),
                    ("add", "/quota/period", json!("WEEK")),
                ],
            ),
        );
        assert_eq!(
            changed,
            json!({
                "id": id, "name": "n", "apiStages": [], "description": "d", "productCode": "code",
                "throttle": {"rateLimit": 10.5, "burstLimit": 20},
                "quota": {"limit": 100, "offset": 2, "period": "WEEK"}, "tags": {},
            })
        );
        let changed = world.ok(
            "UpdateUsagePlan",
            patch(
                &id,
                &[
                    ("remove", "/throttle", Value::Null),
                    ("remove", "/quota", Value::Null),
                    ("remove", "/productCode", Value::Null),
                ],
            ),
        );
        for gone in ["throttle", "quota", "productCode"] {
            assert!(changed.get(gone).is_none(), "{gone}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        let (mut world, id) = world();
        let wrong: &[(&str, &str, Value)] = &[
            ("replace", "/name", json!("")),
            ("add", "/quota/limit", json!("10")),
            ("add", "/quota/limit", json!("many")),
            ("add", "/throttle/rateLimit", json!("NaN")),
            ("add", "/throttle/rateLimit", json!("-1")),
            ("replace", "/apiStages/api1234567:dev/throttle//a/GET/rateLimit", json!("1")),
            ("replace", "/id", json!("x")),
            ("move", "/name", json!("x")),
            ("remove", "/name", Value::Null),
        ];
        for operation in wrong {
            world.refused("UpdateUsagePlan", patch(&id, std::slice::from_ref(operation)));
        }
        let plan = world.ok("GetUsagePlan", call().uri("usageplanId", &id));
        assert_eq!(plan, json!({"id": id, "name": "p", "apiStages": [], "tags": {}}));
    }

    #[test]
    fn a_plan_with_stages_stays_until_they_are_taken_out() {
        let (mut world, id) = world();
        let stage = json!("api1234567:dev");
        world.ok("UpdateUsagePlan", patch(&id, &[("add", "/apiStages", stage.clone())]));
        let at = || call().uri("usageplanId", &id);
        assert_eq!(world.refused("DeleteUsagePlan", at()).0, ErrorKind::BadRequest);
        world.ok("UpdateUsagePlan", patch(&id, &[("remove", "/apiStages", stage)]));
        world.ok("DeleteUsagePlan", at());
        for operation in ["GetUsagePlan", "UpdateUsagePlan", "DeleteUsagePlan"] {
            assert_eq!(
                world.refused(operation, at()),
                (ErrorKind::NotFound, "Invalid Usage Plan ID specified".to_owned())
            );
        }
    }
}
