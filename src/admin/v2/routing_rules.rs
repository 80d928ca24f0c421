//! Routing rules of custom domains: conditions on headers and base path, and where to go then.
//!
//! AWS: API Gateway Version 2 API Reference, "RoutingRule"; Developer Guide, "Routing rules to
//! connect API stages to a custom domain name".

use http::HeaderName;
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
    let any = |condition: &'_ Value, member: &str| {
        let any = condition.get(member).and_then(|found| found.get("anyOf"));
        any.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    for condition in conditions.into_iter().flatten() {
        for header in any(condition, "matchHeaders") {
            let member = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
            check_header(member("header"), member("valueGlob"))?;
        }
        for path in any(condition, "matchBasePaths") {
            if path.as_str().is_none_or(|path| path.len() >= BASE_PATH_END) {
                return Err(ApiError::bad_request(format!(
                    "A base path has fewer than {BASE_PATH_END} characters"
                )));
            }
        }
    }
    Ok(())
}

/// Developer Guide, "Routing rules…", "Restrictions": each has fewer characters than this.
const BASE_PATH_END: usize = 128;
const HEADER_END: usize = 40;
const GLOB_END: usize = 128;
/// The same where `*` stands at both ends.
const INFIX_GLOB_END: usize = 40;
/// Headers that no rule may look at, in lower case; the same page. `*` ends a prefix.
const RESERVED_HEADERS: [&str; 24] = [
    "access-control-*",
    "apigw-*",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "forwarded",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-amz-*",
    "x-amzn-*",
    "x-apigw-api-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-restapi",
];

fn check_header(name: &str, glob: &str) -> Result<(), ApiError> {
    let lower = name.to_ascii_lowercase();
    let reserved = RESERVED_HEADERS.iter().any(|known| match known.strip_suffix('*') {
        Some(prefix) => lower.starts_with(prefix),
        None => lower == *known,
    });
    if reserved {
        return Err(ApiError::bad_request(format!("A routing rule cannot use the header {name}")));
    }
    if name.len() >= HEADER_END || HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(ApiError::bad_request(format!(
            "A header's name is a token of fewer than {HEADER_END} characters"
        )));
    }
    let inner = glob.strip_prefix('*').unwrap_or(glob);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    let is_infix = glob.len() >= 2 && glob.starts_with('*') && glob.ends_with('*');
    let end = if is_infix { INFIX_GLOB_END } else { GLOB_END };
    if inner.contains('*') || glob.is_empty() || glob.len() >= end {
        return Err(ApiError::bad_request(format!(
            "A header's value glob has 1 to {} characters, and `*` only at its ends",
            end - 1
        )));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// rest-data-plane 1.3: sizes, globs, and the headers that cannot be used.
    #[test]
    fn headers_of_rules() {
        let (fits, long) = ("x".repeat(HEADER_END - 1), "x".repeat(HEADER_END));
        let infix = |length: usize| format!("*{}*", "v".repeat(length - 2));
        for (name, glob, taken) in [
            ("X-Version", "beta*", true),
            ("x-version", "*", true),
            ("x-version", "**", true),
            ("Host", "a.example", true),
            (&fits, "v", true),
            (&long, "v", false),
            ("x version", "v", false),
            ("", "v", false),
            ("x-v", "", false),
            ("x-v", "a*b", false),
            ("x-v", "*a*b*", false),
            ("x-v", &"v".repeat(GLOB_END - 1), true),
            ("x-v", &"v".repeat(GLOB_END), false),
            ("x-v", &infix(INFIX_GLOB_END - 1), true),
            ("x-v", &infix(INFIX_GLOB_END), false),
            ("Authorization", "v", false),
            ("X-Amzn-Trace-Id", "v", false),
            ("x-amz-date", "v", false),
            ("apigw-requestid", "v", false),
            ("Access-Control-Request-Method", "v", false),
            ("X-Forwarded-For", "v", false),
            ("x-restAPI", "v", false),
            ("Trailers", "v", false),
            ("TE", "v", false),
            ("Terms", "v", true),
        ] {
            assert_eq!(check_header(name, glob).is_ok(), taken, "{name}: {glob}");
        }
    }
}
