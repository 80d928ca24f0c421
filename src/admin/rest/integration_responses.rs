//! Integration responses: which answer of the backend becomes which answer of the method.
//!
//! AWS: API Gateway API Reference, "PutIntegrationResponse", "UpdateIntegrationResponse".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{self, ANY, Apply, REPLACE, Rule, Wording};
use crate::admin::rest::expressions;
use crate::admin::rest::integrations::{check_templates, null_templates, patch_content_handling};
use crate::admin::rest::methods::{Place, remove_response, response};
use crate::admin::rest::shared::{copy, nothing};
use crate::store::control::Body;

pub const OPERATIONS: Operations = &[
    ("PutIntegrationResponse", put_integration_response),
    ("GetIntegrationResponse", get_integration_response),
    ("UpdateIntegrationResponse", update_integration_response),
    ("DeleteIntegrationResponse", delete_integration_response),
];

const RESPONSES: &str = "integrationResponses";

fn put_integration_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let status = input.label("status_code");
    place.integration()?;
    // The method must be able to answer so.
    response(place.method()?, "methodResponses", status)?;
    let mut body = Body::new();
    body.insert("statusCode".to_owned(), Value::from(status));
    body.insert("selectionPattern".to_owned(), Value::from(""));
    copy(
        &input.body,
        &mut body,
        &["selectionPattern", "responseParameters", "responseTemplates", "contentHandling"],
    );
    null_templates(&mut body, "responseTemplates");
    check(&body)?;
    let integration = place.integration()?;
    patch::object(integration, RESPONSES).insert(status.to_owned(), Value::Object(body.clone()));
    place.save(context.txn);
    Ok(Outcome::Body(body))
}

fn check(body: &Body) -> Result<(), ApiError> {
    check_templates(body, "responseTemplates")?;
    expressions::check_response_mappings(body)
}

fn get_integration_response(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let found = response(place.integration()?, RESPONSES, input.label("status_code"))?;
    Ok(Outcome::Body(std::mem::take(found)))
}

const RULES: &[Rule] = &[
    Rule { path: "/contentHandling", ops: REPLACE, apply: Apply::Custom(patch_content_handling) },
    Rule { path: "/responseParameters/{}", ops: ANY, apply: Apply::MapText },
    Rule { path: "/responseTemplates/{}", ops: ANY, apply: Apply::MapTemplate },
    Rule { path: "/selectionPattern", ops: REPLACE, apply: Apply::Text },
];

fn update_integration_response(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let found = response(place.integration()?, RESPONSES, input.label("status_code"))?;
    let operations = patch::read(input)?;
    patch::apply(found, &operations, RULES, Wording::Bare)?;
    check(found)?;
    let answer = found.clone();
    place.save(context.txn);
    Ok(Outcome::Body(answer))
}

fn delete_integration_response(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    remove_response(place.integration()?, RESPONSES, input.label("status_code"))?;
    place.save(context.txn);
    Ok(nothing())
}

#[cfg(test)]
#[path = "integration_responses_tests.rs"]
mod tests;
