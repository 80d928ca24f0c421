//! The account: its throttle, its features and the role for logs.
//!
//! AWS: API Gateway API Reference, "Account".

use serde_json::{Value, json};

use super::support;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations =
    &[("GetAccount", get_account), ("UpdateAccount", update_account)];

/// The id of the only object.
const ACCOUNT: &str = "account";

/// The account's quota: "Quotas for configuring and running a REST API", account-level throttling.
const BURST_LIMIT: u32 = 5_000;
const RATE_LIMIT: f64 = 10_000.0;

const USAGE_PLANS: &str = "UsagePlans";

const PATCH: &[Rule] = &[
    Rule { path: "/cloudwatchRoleArn", ops: &[Op::Replace], apply: Apply::Custom(set_role) },
    Rule { path: "/features", ops: &[Op::Add, Op::Remove], apply: Apply::Custom(set_feature) },
];

fn get_account(context: &mut Context<'_>, _input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(support::shown(&current(context.txn))))
}

fn update_account(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut account = current(context.txn);
    patch::apply(&mut account, &patch::read(input)?, PATCH, Wording::Listing)?;
    context.txn.put(Kind::Account, "", ACCOUNT, account.clone());
    Ok(Outcome::Body(support::shown(&account)))
}

fn current(txn: &Txn) -> Body {
    if let Some(account) = txn.get(Kind::Account, "", ACCOUNT) {
        return Body::clone(&account);
    }
    let mut account = Body::new();
    account.insert(
        "throttleSettings".to_owned(),
        json!({"burstLimit": BURST_LIMIT, "rateLimit": RATE_LIMIT}),
    );
    account.insert("features".to_owned(), json!([USAGE_PLANS]));
    account.insert("apiKeyVersion".to_owned(), Value::from("4"));
    account
}

/// Terraform clears the role with an empty value.
fn set_role(account: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let role = operation.value();
    if role.is_empty() {
        account.shift_remove("cloudwatchRoleArn");
        return Ok(());
    }
    let is_role = support::is_arn(role)
        && role.split(':').nth(2) == Some("iam")
        && role.split(':').nth(5).is_some_and(|resource| resource.starts_with("role/"));
    if !is_role {
        return Err(ApiError::bad_request("Invalid ARN specified in the request"));
    }
    account.insert("cloudwatchRoleArn".to_owned(), Value::from(role));
    Ok(())
}

/// The only feature there is cannot be given up.
fn set_feature(_account: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    match (operation.op, operation.value()) {
        (Op::Add, USAGE_PLANS) => Ok(()),
        (_, USAGE_PLANS) => {
            Err(ApiError::bad_request("The UsagePlans feature cannot be removed from the account"))
        }
        (_, other) => Err(ApiError::bad_request(format!(
            "Invalid feature specified: {other}. Must be one of: [{USAGE_PLANS}]"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{World, call};
    use super::*;

    #[test]
    fn the_account_has_aws_quota_until_told_otherwise() {
        let mut world = World::new(&[OPERATIONS]);
        let account = world.ok("GetAccount", call());
        assert_eq!(
            account,
            json!({
                "throttleSettings": {"burstLimit": 5000, "rateLimit": 10000.0},
                "features": ["UsagePlans"],
                "apiKeyVersion": "4",
            })
        );
    }

    #[test]
    fn the_log_role_is_set_and_cleared() {
        let mut world = World::new(&[OPERATIONS]);
        let role = "arn:aws:iam::000000000000:role/logs";
        let set = call().patch(&[("replace", "/cloudwatchRoleArn", json!(role))]);
        assert_eq!(world.ok("UpdateAccount", set)["cloudwatchRoleArn"], role);
        assert_eq!(world.ok("GetAccount", call())["cloudwatchRoleArn"], role);
        let clear = call().patch(&[("replace", "/cloudwatchRoleArn", json!(""))]);
        assert!(world.ok("UpdateAccount", clear).get("cloudwatchRoleArn").is_none());
    }

    #[test]
    fn usage_plans_cannot_be_given_up() {
        let mut world = World::new(&[OPERATIONS]);
        let remove = call().patch(&[("remove", "/features", json!("UsagePlans"))]);
        let (_, message) = world.refused("UpdateAccount", remove);
        assert!(message.contains("UsagePlans"), "{message}");
        let add = call().patch(&[("add", "/features", json!("UsagePlans"))]);
        assert_eq!(world.ok("UpdateAccount", add)["features"], json!(["UsagePlans"]));
    }

    #[test]
    fn an_unknown_path_is_answered_with_the_list() {
        let mut world = World::new(&[OPERATIONS]);
        let wrong = call().patch(&[("replace", "/x", json!("y"))]);
        let (_, message) = world.refused("UpdateAccount", wrong);
        assert_eq!(
            message,
            "Invalid patch path  '/x' specified for op 'replace'. Must be one of: [/cloudwatchRoleArn]"
        );
        let bad = call().patch(&[("replace", "/cloudwatchRoleArn", json!("arn:aws:s3:::x"))]);
        assert_eq!(world.refused("UpdateAccount", bad).1, "Invalid ARN specified in the request");
    }
}
