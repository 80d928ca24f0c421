//! PATCH of usage plans, whose paths hold method paths with raw slashes.
//!
//! `/apiStages/{api:stage}/throttle/{path}/{verb}/rateLimit`: Terraform sends the method's path as
//! it is, others escape it (`~1`). The path is therefore read from both ends; what is left in the
//! middle names the method. AWS: API Gateway API Reference, "Patch Operations".

use serde_json::Value;

use super::{support, usage_plans};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::{Body, Txn};

/// What stands in `/apiStages` is not reached through this table, but errors list it.
const PATCH: &[Rule] = &[
    Rule { path: "/name", ops: &[Op::Replace], apply: Apply::Text },
    Rule { path: "/description", ops: &[Op::Replace], apply: Apply::TextOrNothing },
    Rule {
        path: "/productCode",
        ops: &[Op::Add, Op::Replace, Op::Remove],
        apply: Apply::TextOrNothing,
    },
    Rule { path: "/apiStages", ops: &[Op::Add, Op::Remove], apply: Apply::Custom(unreached) },
    Rule {
        path: "/apiStages/{}/throttle",
        ops: &[Op::Add, Op::Replace, Op::Remove],
        apply: Apply::Custom(unreached),
    },
    Rule { path: "/quota", ops: &[Op::Remove], apply: Apply::Text },
    Rule { path: "/quota/limit", ops: &[Op::Add, Op::Replace], apply: Apply::Custom(set_whole) },
    Rule { path: "/quota/offset", ops: &[Op::Add, Op::Replace], apply: Apply::Custom(set_whole) },
    Rule { path: "/quota/period", ops: &[Op::Add, Op::Replace], apply: Apply::Text },
    Rule { path: "/throttle", ops: &[Op::Remove], apply: Apply::Text },
    Rule {
        path: "/throttle/burstLimit",
        ops: &[Op::Add, Op::Replace],
        apply: Apply::Custom(set_whole),
    },
    Rule {
        path: "/throttle/rateLimit",
        ops: &[Op::Add, Op::Replace],
        apply: Apply::Custom(set_rate),
    },
];

/// Applies the operations in order to a stored plan.
pub(super) fn apply(
    txn: &Txn,
    plan: &mut Body,
    operations: &[PatchOperation],
) -> Result<(), ApiError> {
    for operation in operations {
        let path = operation.path.as_deref().unwrap_or_default();
        match path.strip_prefix("/apiStages") {
            Some("") if matches!(operation.op, Op::Add | Op::Remove) => {
                change_stages(txn, plan, operation)?;
            }
            Some(rest) if rest.starts_with('/') => change_throttle(plan, operation, rest)?,
            _ => patch::apply(plan, std::slice::from_ref(operation), PATCH, Wording::Listing)?,
        }
    }
    Ok(())
}

/// `/apiStages`, value `api:stage`.
fn change_stages(txn: &Txn, plan: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let (api, stage) = split_stage(operation.value()).ok_or_else(usage_plans::wrong_stage)?;
    let id = support::text(plan, "id").to_owned();
    let stages = stages(plan);
    let known = stages.iter().position(|known| is_stage(known, api, stage));
    match (operation.op, known) {
        (Op::Add, Some(_)) => {}
        (Op::Add, None) => {
            usage_plans::check_stage(txn, api, stage)?;
            stages.push(serde_json::json!({"apiId": api, "stage": stage}));
        }
        (_, Some(place)) => {
            stages.remove(place);
        }
        (_, None) => return Err(not_of_plan(&id, api, stage)),
    }
    Ok(())
}

/// What an operation below `/apiStages/{api:stage}/throttle` is about.
enum Target {
    All,
    Method(String),
    Limit(String, &'static str),
}

fn change_throttle(
    plan: &mut Body,
    operation: &PatchOperation,
    rest: &str,
) -> Result<(), ApiError> {
    let unknown = |operation: &PatchOperation| {
        // The table has no such path, so this is the error that lists what would do.
        let one = std::slice::from_ref(operation);
        patch::apply(&mut Body::new(), one, PATCH, Wording::Listing)
    };
    let mut parts = rest.splitn(4, '/').skip(1);
    let stage = patch::unescape(parts.next().unwrap_or_default());
    if parts.next() != Some("throttle") {
        return unknown(operation);
    }
    let target = target(parts.next());
    let (api, stage) = split_stage(&stage).ok_or_else(usage_plans::wrong_stage)?;
    let id = support::text(plan, "id").to_owned();
    let found = stages(plan).iter_mut().find(|known| is_stage(known, api, stage));
    let found = found.and_then(Value::as_object_mut);
    let found = found.ok_or_else(|| not_of_plan(&id, api, stage))?;
    let throttle = patch::object(found, "throttle");
    match (target, operation.op) {
        (Target::All, Op::Remove) => throttle.clear(),
        (Target::All, Op::Add | Op::Replace) => *throttle = limits_by_method(operation.value())?,
        (Target::Method(method), Op::Remove) => {
            throttle.shift_remove(&method);
        }
        (Target::Method(method), Op::Add | Op::Replace) => {
            throttle.insert(method, Value::Object(limits(&json_text(operation.value())?)?));
        }
        (Target::Limit(method, limit), Op::Add | Op::Replace) => {
            let value = match limit {
                "rateLimit" => rate(operation.value())?,
                _ => whole(operation.value())?,
            };
            patch::object(throttle, &method).insert(limit.to_owned(), value);
        }
        _ => return unknown(operation),
    }
    if throttle.is_empty() {
        found.shift_remove("throttle");
    }
    Ok(())
}

fn target(rest: Option<&str>) -> Target {
    let Some(rest) = rest else { return Target::All };
    for limit in ["rateLimit", "burstLimit"] {
        if let Some(method) = rest.strip_suffix(limit).and_then(|rest| rest.strip_suffix('/')) {
            return Target::Limit(method_key(method), limit);
        }
    }
    Target::Method(method_key(rest))
}

/// `/pets/{id}/GET`: with a leading slash, as plans that were created whole have it.
fn method_key(sent: &str) -> String {
    let key = patch::unescape(sent);
    if key.starts_with('/') { key } else { format!("/{key}") }
}

fn split_stage(text: &str) -> Option<(&str, &str)> {
    let (api, stage) = text.split_once(':')?;
    (!api.is_empty() && !stage.is_empty() && !stage.contains(':')).then_some((api, stage))
}

fn stages(plan: &mut Body) -> &mut Vec<Value> {
    let slot = plan.entry("apiStages").or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(stages) => stages,
        _ => unreachable!("made a list just above"),
    }
}

fn is_stage(known: &Value, api: &str, stage: &str) -> bool {
    known["apiId"] == api && known["stage"] == stage
}

/// Recorded.
fn not_of_plan(plan: &str, api: &str, stage: &str) -> ApiError {
    ApiError::not_found(format!(
        "Invalid API Stage {{api: {api}, stage: {stage}}} specified for usageplan {plan}"
    ))
}

fn json_text(value: &str) -> Result<Value, ApiError> {
    serde_json::from_str(value).map_err(|_| wrong_limit(value))
}

/// `{"/path/VERB": {"rateLimit": …, "burstLimit": …}}` as JSON text.
fn limits_by_method(value: &str) -> Result<Body, ApiError> {
    let sent = json_text(value)?;
    let sent = sent.as_object().ok_or_else(|| wrong_limit(value))?;
    let mut methods = Body::new();
    for (method, sent) in sent {
        methods.insert(method_key(method), Value::Object(limits(sent)?));
    }
    Ok(methods)
}

fn limits(sent: &Value) -> Result<Body, ApiError> {
    let members = sent.as_object().ok_or_else(|| wrong_limit(&sent.to_string()))?;
    let mut limits = Body::new();
    for (name, value) in members {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = match name.as_str() {
            "rateLimit" => rate(&text)?,
            "burstLimit" => whole(&text)?,
            _ => return Err(wrong_limit(name)),
        };
        limits.insert(name.clone(), value);
    }
    Ok(limits)
}

fn set_whole(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let value = whole(operation.value())?;
    set(body, operation, value);
    Ok(())
}

fn set_rate(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let value = rate(operation.value())?;
    set(body, operation, value);
    Ok(())
}

fn set(body: &mut Body, operation: &PatchOperation, value: Value) {
    if let [group, member] = operation.segments().as_slice() {
        patch::object(body, group).insert(member.clone(), value);
    }
}

/// A count as AWS's model has it: 32 bits.
fn whole(text: &str) -> Result<Value, ApiError> {
    text.trim().parse::<i32>().map(Value::from).map_err(|_| wrong_limit(text))
}

fn rate(text: &str) -> Result<Value, ApiError> {
    let rate = text.trim().parse::<f64>().ok().filter(|rate| rate.is_finite());
    rate.map(Value::from).ok_or_else(|| wrong_limit(text))
}

fn wrong_limit(text: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid limit specified: {text}"))
}

fn unreached(_body: &mut Body, _operation: &PatchOperation) -> Result<(), ApiError> {
    Err(usage_plans::wrong_stage())
}
