//! Test calls: checked here, made by the node, which has the data plane.
//!
//! AWS: API Gateway REST API Reference, "TestInvokeMethod", "TestInvokeAuthorizer".

use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{
    Context, Input, Operations, Outcome, TestInvokeAuthorizer, TestInvokeMethod,
};
use crate::admin::rest::{definition, deployments};
use crate::store::control::Kind;

pub const OPERATIONS: Operations =
    &[("TestInvokeMethod", test_invoke_method), ("TestInvokeAuthorizer", test_invoke_authorizer)];

fn test_invoke_method(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let resource_id = input.label("resource_id");
    let resource = ctx.txn.get(Kind::Resource, &api, resource_id);
    let resource =
        resource.ok_or_else(|| ApiError::not_found("Invalid Resource identifier specified"))?;
    let http_method = input.label("http_method");
    let method = resource.get("resourceMethods").and_then(|methods| methods.get(http_method));
    let method =
        method.ok_or_else(|| ApiError::not_found("Invalid Method identifier specified"))?;
    if !method.get("methodIntegration").is_some_and(Value::is_object) {
        return Err(ApiError::bad_request("No integration defined for method"));
    }
    Ok(Outcome::TestInvokeMethod(Box::new(TestInvokeMethod {
        definition: definition::freeze(ctx.txn, &api).unwrap_or(Value::Null),
        resource_id: resource_id.to_owned(),
        http_method: http_method.to_owned(),
        request: input.body.clone(),
    })))
}

fn test_invoke_authorizer(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    let authorizer = ctx.txn.get(Kind::Authorizer, &api, input.label("authorizer_id"));
    let unknown = || ApiError::not_found("Invalid Authorizer identifier specified");
    Ok(Outcome::TestInvokeAuthorizer(Box::new(TestInvokeAuthorizer {
        authorizer: authorizer.map(Arc::unwrap_or_clone).ok_or_else(unknown)?,
        request: input.body.clone(),
    })))
}

#[cfg(test)]
#[path = "test_invoke_tests.rs"]
mod tests;
