//! Method responses: which status codes a method may answer with, and what they look like.
//!
//! Maps that were sent empty are shown empty, absent ones are not shown; one whose last entry is
//! removed disappears (recorded).
//!
//! AWS: API Gateway API Reference, "PutMethodResponse", "UpdateMethodResponse".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, ANY, Apply, Op, PatchOperation, Rule, Wording};
use crate::admin::rest::expressions;
use crate::admin::rest::methods::{Place, check_models, remove_response, response, touches};
use crate::admin::rest::shared::{copy, member, nothing};
use crate::store::control::Body;

pub const OPERATIONS: Operations = &[
    ("PutMethodResponse", put_method_response),
    ("GetMethodResponse", get_method_response),
    ("UpdateMethodResponse", update_method_response),
    ("DeleteMethodResponse", delete_method_response),
];

const RESPONSES: &str = "methodResponses";

fn put_method_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let method = place.method()?;
    let status = input.label("status_code");
    if response(method, RESPONSES, status).is_ok() {
        return Err(ApiError::conflict("Response already exists for this resource"));
    }
    let mut body = Body::new();
    body.insert("statusCode".to_owned(), Value::from(status));
    copy(&input.body, &mut body, &["responseParameters", "responseModels"]);
    expressions::check_response_parameters(&body)?;
    check_models(context.txn, input.label("restapi_id"), &body, "responseModels")?;
    patch::object(method, RESPONSES).insert(status.to_owned(), Value::Object(body.clone()));
    place.save(context.txn);
    Ok(Outcome::Body(body))
}

fn get_method_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let found = response(place.method()?, RESPONSES, input.label("status_code"))?;
    Ok(Outcome::Body(std::mem::take(found)))
}

const RULES: &[Rule] = &[
    Rule { path: "/responseModels/{}", ops: ANY, apply: Apply::Custom(patch_model) },
    Rule { path: "/responseParameters/{}", ops: ANY, apply: Apply::Custom(patch_parameter) },
];

fn update_method_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let found = response(place.method()?, RESPONSES, input.label("status_code"))?;
    let operations = patch::read(input)?;
    patch::apply(found, &operations, RULES, Wording::Bare)?;
    expressions::check_response_parameters(found)?;
    if operations.iter().any(|operation| touches(operation, "/responseModels")) {
        check_models(context.txn, input.label("restapi_id"), found, "responseModels")?;
    }
    let answer = found.clone();
    place.save(context.txn);
    Ok(Outcome::Body(answer))
}

fn patch_model(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    patch_entry(body, operation, "responseModels", "Content-Type specified was not found", || {
        Value::from(operation.value())
    })
}

fn patch_parameter(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    patch_entry(body, operation, "responseParameters", "Invalid parameter name specified", || {
        Value::from(operation.value().eq_ignore_ascii_case("true"))
    })
}

/// Only what is there can be replaced or removed. The texts and the 404 are recorded, the exact
/// operations that bring them about are not.
fn patch_entry(
    body: &mut Body,
    operation: &PatchOperation,
    name: &str,
    absent: &'static str,
    value: impl Fn() -> Value,
) -> Result<(), ApiError> {
    let key = operation.key();
    let known = member(body, name).is_some_and(|entries| entries.contains_key(&key));
    if operation.op != Op::Add && !known {
        return Err(ApiError::not_found(absent));
    }
    let entries = patch::object(body, name);
    if operation.op == Op::Remove {
        entries.shift_remove(&key);
        if entries.is_empty() {
            body.shift_remove(name);
        }
    } else {
        entries.insert(key, value());
    }
    Ok(())
}

fn delete_method_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    remove_response(place.method()?, RESPONSES, input.label("status_code"))?;
    place.save(context.txn);
    Ok(nothing())
}

#[cfg(test)]
#[path = "method_responses_tests.rs"]
mod tests;
