//! What several resources do alike: look up what a call names, keep tags, show a stored object.

use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Outcome};
use crate::store::control::{Body, Kind, Txn};

/// "Tagging API Gateway resources": tags per resource, length of a key, length of a value.
const TAGS_MAX: usize = 50;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

/// Members that are ours alone begin like this; they never leave the control plane.
const PRIVATE: &str = "tidegate";

/// Length of most ids ("control-plane.md", section 2).
pub(super) const ID_LENGTH: usize = 6;

/// The REST API a call names.
pub(super) fn rest_api(context: &Context<'_>, api: &str) -> Result<Arc<Body>, ApiError> {
    context.txn.get(Kind::RestApi, "", api).ok_or_else(|| {
        let account = &context.site.account_id;
        ApiError::not_found(format!("Invalid API identifier specified {account}:{api}"))
    })
}

/// Whether there is such a stage of a REST API.
pub(super) fn has_stage(txn: &Txn, api: &str, stage: &str) -> bool {
    txn.contains(Kind::RestApi, "", api) && txn.contains(Kind::Stage, api, stage)
}

/// A new id for an object of this kind.
pub(super) fn new_id(context: &Context<'_>, kind: Kind, scope: &str, length: usize) -> String {
    context.new_id(length, |id| context.txn.contains(kind, scope, id))
}

/// Sets the named text members that the request has.
pub(super) fn copy_texts(body: &mut Body, input: &Input, names: &[&str]) {
    for name in names {
        if let Some(text) = input.text(name) {
            body.insert((*name).to_owned(), Value::from(text));
        }
    }
}

/// Keeps the tags of a create call. Without any there is no member: recorded.
pub(super) fn keep_tags(body: &mut Body, input: &Input) -> Result<(), ApiError> {
    let Some(tags) = input.body.get("tags").and_then(Value::as_object) else { return Ok(()) };
    if tags.is_empty() {
        return Ok(());
    }
    if tags.len() > TAGS_MAX {
        return Err(ApiError::bad_request(format!("A resource can have at most {TAGS_MAX} tags")));
    }
    for (key, value) in tags {
        let value = value.as_str().unwrap_or_default();
        if key.is_empty() || key.chars().count() > TAG_KEY_MAX {
            return Err(ApiError::bad_request(format!(
                "Tag keys must have between 1 and {TAG_KEY_MAX} characters"
            )));
        }
        if value.chars().count() > TAG_VALUE_MAX {
            return Err(ApiError::bad_request(format!(
                "Tag values must have at most {TAG_VALUE_MAX} characters"
            )));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(ApiError::bad_request("Tag keys must not begin with aws:"));
        }
    }
    body.insert("tags".to_owned(), Value::Object(tags.clone()));
    Ok(())
}

/// An object as answers show it, without what is ours alone.
pub(super) fn shown(body: &Body) -> Body {
    body.iter()
        .filter(|(name, _)| !name.starts_with(PRIVATE))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The same, with the empty `tags` that Get and Update of some resources answer: recorded.
pub(super) fn shown_with_tags(body: &Body) -> Body {
    let mut shown = shown(body);
    shown.entry("tags").or_insert_with(|| Value::Object(Body::new()));
    shown
}

/// The answer of an import of many: the ids of what it made, and what it left out; the latter is
/// a refusal where the call says so.
pub(super) fn imported(
    input: &Input,
    ids: Vec<String>,
    warnings: Vec<String>,
) -> Result<Outcome, ApiError> {
    if input.query_flag("failonwarnings") && !warnings.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Warnings found during import: {}",
            warnings.join("; ")
        )));
    }
    let mut answer = Body::new();
    answer.insert("ids".to_owned(), Value::from(ids));
    answer.insert("warnings".to_owned(), Value::from(warnings));
    Ok(Outcome::Body(answer))
}

/// An answer without content.
pub(super) fn nothing() -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(Body::new()))
}

/// A text member of a stored object; empty when it is not there.
pub(super) fn text<'a>(body: &'a Body, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The texts of a list member of a stored object or a request.
pub(super) fn texts<'a>(body: &'a Body, name: &str) -> Vec<&'a str> {
    let list = body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

/// `arn:partition:service:region:account:resource`, as far as AWS looks before it asks the service.
pub(super) fn is_arn(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let head = [parts.next(), parts.next(), parts.next()];
    let resource = parts.nth(2);
    head[0] == Some("arn")
        && head[1].is_some_and(|partition| !partition.is_empty())
        && head[2].is_some_and(|service| !service.is_empty())
        && resource.is_some_and(|resource| !resource.is_empty())
        && !text.contains(char::is_whitespace)
}
