//! What the handlers of REST APIs have in common: finding what a request names, and its pages.

use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Context, Input, Outcome};
use crate::admin::protocol::page;
use crate::store::control::{Body, Kind, Txn};

/// Length of the ids that AWS gives to what belongs to an API (examples of the AWS CLI).
pub(crate) const ID_LENGTH: usize = 6;

/// The refusal of an API that is not there (recorded).
pub(crate) fn unknown_api(context: &Context<'_>, api: &str) -> ApiError {
    let account = &context.site.account_id;
    ApiError::not_found(format!("Invalid API identifier specified {account}:{api}"))
}

/// The API that the request's path names.
pub(crate) fn rest_api(context: &Context<'_>, input: &Input) -> Result<Arc<Body>, ApiError> {
    let api = input.label("restapi_id");
    context.txn.get(Kind::RestApi, "", api).ok_or_else(|| unknown_api(context, api))
}

/// The resource with this id.
pub(crate) fn resource(txn: &Txn, api: &str, id: &str) -> Result<Arc<Body>, ApiError> {
    txn.get(Kind::Resource, api, id)
        .ok_or_else(|| ApiError::not_found("Invalid Resource identifier specified"))
}

/// Calls `visit` with every object of a kind and scope. On an untouched transaction this walks the
/// picture itself, which matters for APIs of ten thousand resources.
pub(crate) fn each(txn: &Txn, kind: Kind, scope: &str, mut visit: impl FnMut(&Arc<str>, &Body)) {
    if txn.is_changed() {
        for (id, body) in txn.list(kind, scope) {
            visit(&id, &body);
        }
    } else {
        for (id, object) in txn.base().list(kind, scope) {
            visit(id, &object.body);
        }
    }
}

/// Refuses one more object of a kind where there are `most` already.
pub(crate) fn room_for_one(
    txn: &Txn,
    kind: Kind,
    scope: &str,
    most: usize,
    name: &str,
) -> Result<(), ApiError> {
    let count = if txn.is_changed() {
        txn.list(kind, scope).len()
    } else {
        txn.base().collection(kind, scope).map_or(0, |collection| collection.len())
    };
    if count < most {
        return Ok(());
    }
    let message = format!("Maximum number of {name} has been reached: {most}");
    Err(ApiError::new(ErrorKind::LimitExceeded, message))
}

/// The page of a kind that the request asks for, each body as `show` makes it. Only what is on the
/// page is looked at: a page costs the same in an API of ten thousand resources.
pub(crate) fn page_of(
    txn: &Txn,
    input: &Input,
    kind: Kind,
    scope: &str,
    show: impl Fn(&Body) -> Body,
) -> Outcome {
    let after = input.query_text("position").unwrap_or_default();
    if txn.is_changed() {
        let found = txn.list(kind, scope);
        let start = found.partition_point(|(id, _)| **id <= *after);
        let rest = found.into_iter().skip(start);
        return page::page(input, rest.map(|(id, body)| (id, show(&body))));
    }
    let rest = txn.base().collection(kind, scope).into_iter().flat_map(|collection| {
        // No id is empty, so that nothing is left out of the first page.
        collection.range::<str, _>((Bound::Excluded(after), Bound::Unbounded))
    });
    page::page(input, rest.map(|(id, object)| (Arc::clone(id), show(&object.body))))
}

/// An answer without content.
pub(crate) fn nothing() -> Outcome {
    Outcome::Body(Body::new())
}

/// The text under a name, if it is one.
pub(crate) fn text<'a>(body: &'a Body, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// Whether this text stands under a name. The values are compared first and nothing is hashed: in
/// walks over all resources of an API almost all differ in length already.
pub(crate) fn has_text(body: &Body, name: &str, wanted: &str) -> bool {
    body.iter().any(|(key, value)| value.as_str() == Some(wanted) && key == name)
}

/// The object under a name, if it is one.
pub(crate) fn member<'a>(body: &'a Body, name: &str) -> Option<&'a Body> {
    body.get(name).and_then(Value::as_object)
}

/// The texts of the list under a name.
pub(crate) fn texts<'a>(body: &'a Body, name: &str) -> impl Iterator<Item = &'a str> {
    body.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The texts of the map under a name, with their keys.
pub(crate) fn entries<'a>(body: &'a Body, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    member(body, name)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// Copies these members of the request's body that are there and not null.
pub(crate) fn copy(from: &Body, to: &mut Body, names: &[&str]) {
    for name in names {
        if let Some(value) = from.get(*name).filter(|value| !value.is_null()) {
            to.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Drops the list or map under a name when it holds nothing.
pub(crate) fn drop_empty(body: &mut Body, name: &str) {
    let empty = match body.get(name) {
        Some(Value::Object(entries)) => entries.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => false,
    };
    if empty {
        body.shift_remove(name);
    }
}
