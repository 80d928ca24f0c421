//! One page of a list: AWS's `limit` and `position`.

use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::operation::{Input, Outcome};
use crate::store::control::Body;

/// AWS: "GetRestApis", `limit`.
const LIMIT_DEFAULT: usize = 25;
const LIMIT_MAX: usize = 500;

/// The page of `found` (in the order of their ids) that v1's `limit` and `position` ask for, under
/// `item`. The position is the last id of the page before.
pub fn page(input: &Input, found: impl IntoIterator<Item = (Arc<str>, Body)>) -> Outcome {
    let limit = match input.query.get("limit").and_then(Value::as_i64) {
        None => LIMIT_DEFAULT,
        // Recorded: a negative limit is accepted and gives nothing.
        Some(limit) => usize::try_from(limit).unwrap_or(0).min(LIMIT_MAX),
    };
    let after = input.query_text("position").unwrap_or_default();
    let mut rest = found.into_iter().skip_while(|(id, _)| !after.is_empty() && **id <= *after);
    let taken: Vec<(Arc<str>, Body)> = rest.by_ref().take(limit).collect();
    let mut body = Body::new();
    if limit > 0
        && rest.next().is_some()
        && let Some((last, _)) = taken.last()
    {
        body.insert("position".to_owned(), Value::from(&**last));
    }
    let items = taken.into_iter().map(|(_, body)| Value::Object(body)).collect();
    body.insert("item".to_owned(), Value::Array(items));
    Outcome::Body(body)
}
