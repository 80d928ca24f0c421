//! Routing rules of custom domains: conditions on headers and base path, and where to go then.
//!
//! AWS: API Gateway Version 2 API Reference, "RoutingRule"; Developer Guide, "Routing rules to
//! connect API stages to a custom domain name".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{self, Family, Owner, Place, another, handlers, text};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateRoutingRule", create),
    ("GetRoutingRule", get),
    ("ListRoutingRules", list),
    ("PutRoutingRule", put),
    ("DeleteRoutingRule", delete),
];

const RULES: Family = Family {
    kind: Kind::RoutingRule,
    id: "routingRuleId",
    noun: "RoutingRule",
    id_length: 6,
    owner: Owner::Domain,
    prepare,
};

handlers!(RULES: create = create, get = get, delete = delete);

/// Developer Guide, "Routing rules…", "Quotas".
const RULES_PER_DOMAIN_MAX: usize = 50;
const PRIORITIES: std::ops::RangeInclusive<i64> = 1..=1_000_000;

fn prepare(
    cx: &mut Context<'_>,
    place: &Place,
    before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    let rules = cx.txn.list(Kind::RoutingRule, &place.scope);
    if before.is_none() && rules.len() >= RULES_PER_DOMAIN_MAX {
        return Err(ApiError::bad_request(format!(
            "A domain name has at most {RULES_PER_DOMAIN_MAX} routing rules"
        )));
    }
    let priority = body.get("priority").and_then(Value::as_i64).unwrap_or(0);
    if !PRIORITIES.contains(&priority) {
        return Err(ApiError::bad_request("Priority must be between 1 and 1000000"));
    }
    let taken = |other: &Body| other.get("priority").and_then(Value::as_i64) == Some(priority);
    if another(cx, Kind::RoutingRule, place, taken) {
        return Err(ApiError::conflict("A routing rule with this priority already exists"));
    }
    check_conditions(body)?;
    check_actions(cx, body)?;
    let site = cx.site;
    let arn = format!(
        "arn:{}:apigateway:{}:{}:/domainnames/{}/routingrules/{}",
        site.partition, site.aws_region, site.account_id, place.scope, place.id
    );
    body.insert("routingRuleArn".to_owned(), Value::from(arn));
    Ok(())
}

fn check_conditions(body: &Body) -> Result<(), ApiError> {
    let conditions = body.get("conditions").and_then(Value::as_array);
    let count = |member: &str| {
        let all = conditions.into_iter().flatten();
        all.filter(|condition| condition.get(member).is_some_and(|found| !found.is_null())).count()
    };
    if count("matchHeaders") > 2 || count("matchBasePaths") > 1 {
        return Err(ApiError::bad_request(
            "A routing rule has at most two header conditions and one base path condition",
        ));
    }
    Ok(())
}

fn check_actions(cx: &Context<'_>, body: &Body) -> Result<(), ApiError> {
    let actions = body.get("actions").and_then(Value::as_array);
    let [action] = actions.map(Vec::as_slice).unwrap_or_default() else {
        return Err(ApiError::bad_request("A routing rule has exactly one action"));
    };
    let invoke = action.get("invokeApi").and_then(Value::as_object);
    let Some(invoke) = invoke else {
        return Err(ApiError::bad_request("The action of a routing rule is invokeApi"));
    };
    let (api, stage) = (text(invoke, "apiId"), text(invoke, "stage"));
    if !cx.txn.contains(Kind::RestApi, "", api) {
        return Err(ApiError::bad_request(format!("Invalid API identifier specified {api}")));
    }
    if !cx.txn.contains(Kind::Stage, api, stage) {
        return Err(ApiError::bad_request(format!("Invalid stage identifier specified {stage}")));
    }
    Ok(())
}

fn list(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (_, scope) = RULES.scope(cx, input)?;
    let found = cx.txn.list(Kind::RoutingRule, &scope);
    let found = found.into_iter().map(|(id, body)| (id, Body::clone(&body)));
    family::page(input, "routingRules", found)
}

/// Replaces a rule whole; one that is not there is made.
fn put(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, scope) = RULES.scope(cx, input)?;
    let id = input.label("routingRuleId").to_owned();
    RULES.create_as(cx, Place { api, scope, id }, &input.body)
}
