//! What the keys of a plan have used, and what is left to them.
//!
//! Nothing counts calls yet, so what has been used is zero, which is true, and what is left is the
//! quota, less the offset in a key's first period, or what UpdateUsage granted for a period.
//! AWS: API Gateway API Reference, "Usage".

use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::{support, usage_plan_keys, usage_plans};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[("GetUsage", get_usage), ("UpdateUsage", update_usage)];

/// Days one call may ask for.
const DAYS_MAX: i32 = 90;

/// What is left of a plan that has no quota: as much as the number of AWS's model can say.
const WITHOUT_QUOTA: i64 = i64::MAX;

const PATCH: &[Rule] =
    &[Rule { path: "/remaining", ops: &[Op::Replace], apply: Apply::Custom(set_remaining) }];

fn get_usage(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("usageplanId");
    let plan = usage_plans::find(context.txn, id)?;
    let start = date(input, "startDate")?;
    let end = date(input, "endDate")?;
    if end < start {
        return Err(ApiError::bad_request("Invalid usage dates: endDate is before startDate"));
    }
    let last = start.checked_add((DAYS_MAX - 1).days()).unwrap_or(Date::MAX);
    if end > last {
        return Err(ApiError::bad_request(format!(
            "Invalid usage dates: at most {DAYS_MAX} days can be requested"
        )));
    }
    let mut keys = context.txn.list(Kind::UsagePlanKey, id);
    if let Some(key) = input.query_text("keyId") {
        keys.retain(|(id, _)| **id == *key);
        if keys.is_empty() {
            return Err(ApiError::not_found("Invalid API Key identifier specified"));
        }
    }
    // One page of keys, in the words all lists have.
    let wrapped = keys.into_iter().map(|(id, body)| (id, Body::clone(&body)));
    let Outcome::Body(mut page) = page::page(input, wrapped) else { return support::nothing() };
    let mut values = Body::new();
    let keys = page.get("item").and_then(Value::as_array).map(Vec::as_slice);
    for key in keys.unwrap_or_default().iter().filter_map(Value::as_object) {
        let days = start.series(1.day()).take_while(|day| *day <= end);
        let left = Left::of(context.txn, id, &plan, key);
        let pairs: Vec<Value> = days.map(|day| json!([0, left.on(day)])).collect();
        values.insert(support::text(key, "id").to_owned(), Value::Array(pairs));
    }
    let mut answer = shape(id, start, end, values);
    if let Some(position) = page.shift_remove("position") {
        answer.insert("position".to_owned(), position);
    }
    Ok(Outcome::Body(answer))
}

/// Grants a key another number of calls for the current period.
fn update_usage(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (id, key) = (input.label("usageplanId"), input.label("keyId"));
    let plan = usage_plans::find(context.txn, id)?;
    let subscribed = context.txn.get(Kind::UsagePlanKey, id, key);
    let subscribed =
        subscribed.ok_or_else(|| ApiError::not_found("Invalid API Key identifier specified"))?;
    let mut granted = Body::new();
    patch::apply(&mut granted, &patch::read(input)?, PATCH, Wording::Listing)?;
    let today = day_of(context.now.as_seconds());
    if !granted.is_empty() {
        if !plan.contains_key("quota") {
            return Err(ApiError::bad_request(format!("Usage Plan {id} has no quota")));
        }
        granted.insert("date".to_owned(), Value::from(today.to_string()));
        context.txn.put(Kind::Usage, id, key, granted);
    }
    let left = Left::of(context.txn, id, &plan, &subscribed).on(today);
    let mut values = Body::new();
    values.insert(key.to_owned(), json!([[0, left]]));
    Ok(Outcome::Body(shape(id, today, today, values)))
}

fn shape(plan: &str, start: Date, end: Date, values: Body) -> Body {
    let mut body = Body::new();
    body.insert("usagePlanId".to_owned(), Value::from(plan));
    body.insert("startDate".to_owned(), Value::from(start.to_string()));
    body.insert("endDate".to_owned(), Value::from(end.to_string()));
    body.insert("values".to_owned(), Value::Object(values));
    body
}

/// What a key of a plan may still use, by day.
struct Left {
    quota: Option<Quota>,
    /// The day the key came into the plan.
    since: Option<Date>,
    granted: Option<(Date, i64)>,
}

struct Quota {
    limit: i64,
    offset: i64,
    period: String,
}

impl Left {
    fn of(txn: &Txn, plan_id: &str, plan: &Body, key: &Body) -> Self {
        let quota = plan.get("quota").and_then(Value::as_object).map(|quota| {
            let whole = |name: &str| quota.get(name).and_then(Value::as_i64).unwrap_or_default();
            Quota {
                limit: whole("limit"),
                offset: whole("offset"),
                period: support::text(quota, "period").to_owned(),
            }
        });
        let since = key.get(usage_plan_keys::SINCE).and_then(Value::as_u64).map(day_of);
        let granted = txn.get(Kind::Usage, plan_id, support::text(key, "id"));
        let granted = granted.and_then(|granted| {
            let day = read_date(support::text(&granted, "date"))?;
            Some((day, granted.get("remaining").and_then(Value::as_i64)?))
        });
        Self { quota, since, granted }
    }

    fn on(&self, day: Date) -> i64 {
        let Some(quota) = &self.quota else { return WITHOUT_QUOTA };
        let period = period_start(day, &quota.period);
        let same = |other: Date| period_start(other, &quota.period) == period;
        if let Some((granted, remaining)) = self.granted
            && same(granted)
            && day >= granted
        {
            return remaining;
        }
        if self.since.is_some_and(same) {
            return quota.limit.saturating_sub(quota.offset).max(0);
        }
        quota.limit
    }
}

/// Weeks begin on Sundays.
fn period_start(day: Date, period: &str) -> Date {
    match period {
        "MONTH" => day.first_of_month(),
        "WEEK" => {
            let days = i32::from(day.weekday().to_sunday_zero_offset());
            day.checked_sub(days.days()).unwrap_or(day)
        }
        _ => day,
    }
}

fn day_of(seconds: u64) -> Date {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn date(input: &Input, name: &str) -> Result<Date, ApiError> {
    let sent = input.query_text(name).unwrap_or_default();
    read_date(sent).ok_or_else(|| {
        ApiError::bad_request(format!(
            "Invalid {name} specified: '{sent}'. The format must be YYYY-MM-DD"
        ))
    })
}

fn read_date(text: &str) -> Option<Date> {
    // Other forms of a date are longer or shorter.
    if text.len() != "YYYY-MM-DD".len() {
        return None;
    }
    Date::strptime("%Y-%m-%d", text).ok()
}

fn set_remaining(granted: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let remaining = operation.value().trim().parse::<i64>().ok().filter(|left| *left >= 0);
    let remaining = remaining.ok_or_else(|| {
        ApiError::bad_request(format!("Invalid remaining usage specified: {}", operation.value()))
    })?;
    granted.insert("remaining".to_owned(), Value::from(remaining));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Call, World, call, object};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    /// The key `key0000000` is in the plan `plan00` since 2026-02-03, a Tuesday.
    fn world(quota: Value) -> World {
        let mut world = World::new(&[OPERATIONS]);
        let mut plan = json!({"id": "plan00", "name": "p", "apiStages": []});
        if !quota.is_null() {
            plan["quota"] = quota;
        }
        world.txn.put(Kind::UsagePlan, "", "plan00", object(plan));
        let key = json!({"id": "key0000000", "tidegateSince": world.now});
        world.txn.put(Kind::UsagePlanKey, "plan00", "key0000000", object(key));
        world
    }

    fn days(start: &str, end: &str) -> Call {
        let plan = call().uri("usageplanId", "plan00");
        plan.query("startDate", start).query("endDate", end)
    }

    fn grant(value: &str) -> Call {
        let key = call().uri("usageplanId", "plan00").uri("keyId", "key0000000");
        key.patch(&[("replace", "/remaining", json!(value))])
    }

    #[test]
    fn one_pair_per_day_and_the_offset_in_the_first_period() {
        let mut world = world(json!({"limit": 100, "offset": 30, "period": "DAY"}));
        let usage = world.ok("GetUsage", days("2026-02-02", "2026-02-04"));
        assert_eq!(
            usage,
            json!({
                "usagePlanId": "plan00", "startDate": "2026-02-02", "endDate": "2026-02-04",
                "values": {"key0000000": [[0, 100], [0, 70], [0, 100]]},
            })
        );
    }

    #[test]
    fn a_grant_holds_for_the_rest_of_the_period() {
        let mut world = world(json!({"limit": 100, "offset": 0, "period": "WEEK"}));
        let granted = world.ok("UpdateUsage", grant("500"));
        assert_eq!(
            granted,
            json!({
                "usagePlanId": "plan00", "startDate": "2026-02-03", "endDate": "2026-02-03",
                "values": {"key0000000": [[0, 500]]},
            })
        );
        // Monday before the grant, the week's last day, the next week's first.
        let left = |world: &mut World, day: &str| {
            world.ok("GetUsage", days(day, day))["values"]["key0000000"][0][1].clone()
        };
        assert_eq!(left(&mut world, "2026-02-02"), 100);
        assert_eq!(left(&mut world, "2026-02-07"), 500);
        assert_eq!(left(&mut world, "2026-02-08"), 100);
    }

    #[test]
    fn ninety_days_at_most_and_real_dates_only() {
        let mut world = world(Value::Null);
        let usage = world.ok("GetUsage", days("2026-01-01", "2026-03-31"));
        assert_eq!(usage["values"]["key0000000"].as_array().unwrap().len(), 90);
        for (start, end) in [
            ("2026-01-01", "2026-04-01"),
            ("2026-01-02", "2026-01-01"),
            ("2026-02-30", "2026-03-01"),
            ("2026-1-1", "2026-01-02"),
            ("yesterday!", "2026-01-02"),
            ("2026-01-01", ""),
        ] {
            let (kind, _) = world.refused("GetUsage", days(start, end));
            assert_eq!(kind, ErrorKind::BadRequest, "{start} {end}");
        }
    }

    #[test]
    fn keys_are_paged_and_filtered() {
        let mut world = world(Value::Null);
        world.txn.put(Kind::UsagePlanKey, "plan00", "zzz", object(json!({"id": "zzz"})));
        let at = || days("2026-02-03", "2026-02-03");
        let first = world.ok("GetUsage", at().query("limit", 1));
        assert_eq!(first["position"], "key0000000");
        let second = world.ok("GetUsage", at().query("position", "key0000000"));
        assert!(second["values"].get("zzz").is_some() && second.get("position").is_none());
        let one = world.ok("GetUsage", at().query("keyId", "zzz"));
        assert_eq!(one["values"].as_object().unwrap().len(), 1);
        assert_eq!(world.refused("GetUsage", at().query("keyId", "no")).0, ErrorKind::NotFound);
    }

    #[test]
    fn only_a_plan_with_a_quota_can_be_granted_more() {
        let mut world = world(Value::Null);
        assert_eq!(world.refused("UpdateUsage", grant("5")).0, ErrorKind::BadRequest);
        let mut world = self::world(json!({"limit": 1, "offset": 0, "period": "DAY"}));
        assert_eq!(world.refused("UpdateUsage", grant("-5")).0, ErrorKind::BadRequest);
        assert_eq!(world.refused("UpdateUsage", grant("many")).0, ErrorKind::BadRequest);
    }
}
