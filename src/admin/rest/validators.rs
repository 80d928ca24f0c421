//! Request validators: which parts of a request are checked before the integration runs.
//!
//! AWS: API Gateway API Reference, "CreateRequestValidator", "UpdateRequestValidator".

use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::admin::rest::methods::find_reference;
use crate::admin::rest::shared::{ID_LENGTH, copy, nothing, page_of, rest_api, room_for_one, text};
use crate::model::quotas;
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations = &[
    ("CreateRequestValidator", create_request_validator),
    ("GetRequestValidator", get_request_validator),
    ("GetRequestValidators", get_request_validators),
    ("UpdateRequestValidator", update_request_validator),
    ("DeleteRequestValidator", delete_request_validator),
];

fn create_request_validator(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    check_api(context, input)?;
    let api = input.label("restapi_id");
    if input.text("name") == Some("") {
        return Err(blank_name());
    }
    let most = quotas::REQUEST_VALIDATORS_KEPT_MAX;
    room_for_one(context.txn, Kind::RequestValidator, api, most, "request validators")?;
    let taken = |id: &str| context.txn.contains(Kind::RequestValidator, api, id);
    let id = context.new_id(ID_LENGTH, taken);
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(id.as_str()));
    body.insert("validateRequestBody".to_owned(), Value::from(false));
    body.insert("validateRequestParameters".to_owned(), Value::from(false));
    let sent = ["name", "validateRequestBody", "validateRequestParameters"];
    copy(&input.body, &mut body, &sent);
    context.txn.put(Kind::RequestValidator, api, &id, body.clone());
    Ok(Outcome::Body(body))
}

/// Here an API that is not there has a text of its own (recorded).
fn check_api(context: &Context<'_>, input: &Input) -> Result<(), ApiError> {
    rest_api(context, input)
        .map(drop)
        .map_err(|_| ApiError::bad_request("Invalid REST API identifier specified"))
}

fn blank_name() -> ApiError {
    ApiError::bad_request("Request Validator name cannot be blank")
}

/// The validator that the request's path names.
fn named(context: &Context<'_>, input: &Input) -> Result<Arc<Body>, ApiError> {
    let (api, id) = (input.label("restapi_id"), input.label("requestvalidator_id"));
    context
        .txn
        .get(Kind::RequestValidator, api, id)
        .ok_or_else(|| ApiError::not_found("Invalid Request Validator identifier specified"))
}

fn get_request_validator(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(Body::clone(&*named(context, input)?)))
}

fn get_request_validators(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    check_api(context, input)?;
    let api = input.label("restapi_id");
    Ok(page_of(context.txn, input, Kind::RequestValidator, api, Body::clone))
}

/// In the order of the refusal's text (recorded).
const RULES: &[Rule] = &[
    Rule { path: "/name", ops: &[Op::Replace], apply: Apply::Custom(patch_name) },
    Rule { path: "/validateRequestParameters", ops: &[Op::Replace], apply: Apply::Boolean },
    Rule { path: "/validateRequestBody", ops: &[Op::Replace], apply: Apply::Boolean },
];

fn update_request_validator(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut body = Body::clone(&*named(context, input)?);
    patch::apply(&mut body, &patch::read(input)?, RULES, Wording::Listing)?;
    let (api, id) = (input.label("restapi_id"), input.label("requestvalidator_id"));
    context.txn.put(Kind::RequestValidator, api, id, body.clone());
    Ok(Outcome::Body(body))
}

fn patch_name(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if operation.value().is_empty() {
        return Err(blank_name());
    }
    body.insert("name".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn delete_request_validator(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    named(context, input)?;
    let (api, id) = (input.label("restapi_id"), input.label("requestvalidator_id"));
    let used =
        find_reference(context.txn, api, |method| text(method, "requestValidatorId") == Some(id));
    if let Some(place) = used {
        return Err(ApiError::conflict(format!(
            "Cannot delete validator '{id}', is referenced in method request: {place}"
        )));
    }
    context.txn.delete(Kind::RequestValidator, api, id);
    Ok(nothing())
}

#[cfg(test)]
#[path = "validators_tests.rs"]
mod tests;
