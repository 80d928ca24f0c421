//! Tags of v2's resources, by ARN.
//!
//! AWS: API Gateway Version 2 API Reference, "Tags"; Developer Guide, "Tag your API Gateway
//! resources", "Tag restrictions".

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations =
    &[("TagResource", tag), ("UntagResource", untag), ("GetTags", get)];

/// "Tag restrictions".
const TAGS_MAX: usize = 50;
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

/// Where the ARN points: `arn:aws:apigateway:region::/apis/{id}[/stages/{name}]` and the like.
fn target(cx: &Context<'_>, input: &Input) -> Result<(Kind, String, String, Body), ApiError> {
    let arn = input.label("resource-arn");
    let path = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (kind, scope, id) = match parts[..] {
        ["apis", api] => (Kind::HttpApi, "", api),
        ["apis", api, "stages", stage] => (Kind::HttpStage, api, stage),
        ["domainnames", name] => (Kind::DomainName, "", name),
        ["vpclinks", id] => (Kind::VpcLinkV2, "", id),
        _ => return Err(ApiError::bad_request(format!("Invalid resource ARN specified: {arn}"))),
    };
    let body = cx.txn.get(kind, scope, id);
    let body = body.ok_or_else(|| {
        ApiError::not_found(format!("Invalid resource identifier specified {id}"))
    })?;
    Ok((kind, scope.to_owned(), id.to_owned(), Body::clone(&body)))
}

fn tag(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (kind, scope, id, mut body) = target(cx, input)?;
    let mut tags = tags_of(&body);
    let given = input.body.get("tags").and_then(Value::as_object);
    for (key, value) in given.into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if key.is_empty() || key.chars().count() > KEY_CHARACTERS_MAX || key.starts_with("aws:") {
            return Err(ApiError::bad_request(format!("Invalid tag key specified: {key}")));
        }
        if value.chars().count() > VALUE_CHARACTERS_MAX {
            return Err(ApiError::bad_request(format!("Invalid tag value specified for {key}")));
        }
        tags.insert(key.clone(), Value::from(value));
    }
    if tags.len() > TAGS_MAX {
        return Err(ApiError::bad_request(format!("A resource has at most {TAGS_MAX} tags")));
    }
    body.insert("tags".to_owned(), Value::Object(tags));
    cx.txn.put(kind, &scope, &id, body);
    Ok(Outcome::Body(Body::new()))
}

fn untag(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (kind, scope, id, mut body) = target(cx, input)?;
    let mut tags = tags_of(&body);
    let keys = input.query.get("tagKeys").and_then(Value::as_array);
    for key in keys.into_iter().flatten().filter_map(Value::as_str) {
        tags.shift_remove(key);
    }
    body.insert("tags".to_owned(), Value::Object(tags));
    cx.txn.put(kind, &scope, &id, body);
    Ok(Outcome::Body(Body::new()))
}

fn get(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (.., body) = target(cx, input)?;
    let mut answer = Body::new();
    answer.insert("tags".to_owned(), Value::Object(tags_of(&body)));
    Ok(Outcome::Body(answer))
}

fn tags_of(body: &Body) -> Map<String, Value> {
    body.get("tags").and_then(Value::as_object).cloned().unwrap_or_default()
}
