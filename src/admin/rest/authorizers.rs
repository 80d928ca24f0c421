//! Authorizers: who decides about a caller. All four kinds are kept whole.
//!
//! `authType` is what the kind says unless the caller said otherwise; it has no effect.
//!
//! AWS: API Gateway API Reference, "CreateAuthorizer", "UpdateAuthorizer"; Developer Guide, "Use
//! API Gateway Lambda authorizers", "Control access to REST APIs using Amazon Cognito user pools as
//! an authorizer".

use std::sync::Arc;

use serde_json::Value;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{
    self, ADD_REMOVE, ANY, Apply, PatchOperation, REPLACE, Rule, Wording,
};
use crate::admin::rest::methods::find_reference;
use crate::admin::rest::shared::{
    ID_LENGTH, copy, drop_empty, each, member, nothing, page_of, rest_api, room_for_one, text,
    texts,
};
use crate::model::quotas;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateAuthorizer", create_authorizer),
    ("GetAuthorizer", get_authorizer),
    ("GetAuthorizers", get_authorizers),
    ("UpdateAuthorizer", update_authorizer),
    ("DeleteAuthorizer", delete_authorizer),
];

fn create_authorizer(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    // Recorded: here an API that is not there looks like a clash of changes.
    rest_api(context, input).map_err(|_| {
        ApiError::new(
            ErrorKind::Conflict,
            "Unable to complete operation due to concurrent modification. Please try again later.",
        )
    })?;
    let api = input.label("restapi_id");
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::Null);
    copy(
        &input.body,
        &mut body,
        &[
            "name",
            "type",
            "providerARNs",
            "authType",
            "authorizerUri",
            "authorizerCredentials",
            "identitySource",
            "identityValidationExpression",
            "authorizerResultTtlInSeconds",
            "jwtConfiguration",
        ],
    );
    let kind = text(&body, "type").unwrap_or_default().to_owned();
    body.entry("authType").or_insert_with(|| Value::from(derived_auth_type(&kind)));
    if kind != "JWT" {
        body.entry("authorizerResultTtlInSeconds")
            .or_insert_with(|| Value::from(quotas::AUTHORIZER_TTL_DEFAULT_SECONDS));
    }
    tidy(&mut body);
    check(&body)?;
    check_name(context.txn, api, &body, None)?;
    let most = quotas::AUTHORIZERS_KEPT_MAX;
    room_for_one(context.txn, Kind::Authorizer, api, most, "authorizers")?;

    let id = context.new_id(ID_LENGTH, |id| context.txn.contains(Kind::Authorizer, api, id));
    body.insert("id".to_owned(), Value::from(id.as_str()));
    context.txn.put(Kind::Authorizer, api, &id, body.clone());
    Ok(Outcome::Body(body))
}

fn derived_auth_type(kind: &str) -> &'static str {
    match kind {
        "COGNITO_USER_POOLS" => "cognito_user_pools",
        "JWT" => "jwt",
        _ => "custom",
    }
}

/// Drops what is empty.
fn tidy(body: &mut Body) {
    for name in
        ["authorizerUri", "authorizerCredentials", "identitySource", "identityValidationExpression"]
    {
        if text(body, name) == Some("") {
            body.shift_remove(name);
        }
    }
    drop_empty(body, "providerARNs");
}

fn check(body: &Body) -> Result<(), ApiError> {
    let kind = text(body, "type").unwrap_or_default();
    let ttl = body.get("authorizerResultTtlInSeconds").and_then(Value::as_i64);
    if ttl.is_some_and(|ttl| !(0..=quotas::AUTHORIZER_TTL_MAX_SECONDS).contains(&ttl)) {
        return Err(ApiError::bad_request(format!(
            "Invalid authorizer result TTL, must be between 0 and {}",
            quotas::AUTHORIZER_TTL_MAX_SECONDS
        )));
    }
    match kind {
        "TOKEN" | "REQUEST" => {
            check_function(body)?;
            check_identity(kind, body, ttl)
        }
        "COGNITO_USER_POOLS" => check_user_pools(body),
        "JWT" => check_jwt(body, ttl),
        _ => Err(ApiError::bad_request(
            "Invalid authorizer type specified. Valid options are \
             TOKEN,REQUEST,COGNITO_USER_POOLS,JWT",
        )),
    }
}

/// `arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations`.
fn check_function(body: &Body) -> Result<(), ApiError> {
    let uri = text(body, "authorizerUri").unwrap_or_default();
    let parts: Vec<&str> = uri.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "apigateway", _, "lambda", path]
            if path.starts_with("path/") && path.ends_with("/invocations") =>
        {
            Ok(())
        }
        _ => Err(ApiError::bad_request(format!(
            "Invalid Authorizer URI: {uri}. Authorizer URI should be a valid API Gateway ARN that \
             represents a Lambda function invocation."
        ))),
    }
}

fn check_identity(kind: &str, body: &Body, ttl: Option<i64>) -> Result<(), ApiError> {
    const HEADER: &str = "method.request.header.";
    const SOURCES: [&str; 4] =
        [HEADER, "method.request.querystring.", "stageVariables.", "context."];
    let source = text(body, "identitySource");
    let Some(source) = source else {
        let needed = kind == "TOKEN" || ttl.is_some_and(|ttl| ttl > 0);
        return if needed {
            Err(ApiError::bad_request(format!(
                "Identity source is required for authorizers of type {kind}, or for type REQUEST \
                 the result TTL must be 0"
            )))
        } else {
            Ok(())
        };
    };
    let is = |prefix: &str, source: &str| {
        source.strip_prefix(prefix).is_some_and(|name| !name.is_empty() && !name.contains(','))
    };
    let fits = match kind {
        "TOKEN" => is(HEADER, source),
        _ => source.split(',').all(|source| SOURCES.iter().any(|from| is(from, source.trim()))),
    };
    if fits {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("Invalid identity source specified: {source}")))
}

fn check_user_pools(body: &Body) -> Result<(), ApiError> {
    if texts(body, "providerARNs").next().is_none() {
        return Err(ApiError::bad_request(
            "At least one provider ARN is required for authorizers of type COGNITO_USER_POOLS",
        ));
    }
    let wrong = texts(body, "providerARNs").find(|arn| {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        !matches!(parts.as_slice(), ["arn", _, "cognito-idp", _, _, pool]
            if pool.starts_with("userpool/"))
    });
    match wrong {
        Some(arn) => Err(ApiError::bad_request(format!("Invalid provider ARN specified: {arn}"))),
        None => Ok(()),
    }
}

/// One header, no cached results, nobody to invoke; issuers that discovery can reach.
fn check_jwt(body: &Body, ttl: Option<i64>) -> Result<(), ApiError> {
    let refuse = |why: &str| Err(ApiError::bad_request(format!("Invalid JWT authorizer: {why}")));
    for name in ["authorizerUri", "authorizerCredentials", "providerARNs"] {
        if body.contains_key(name) {
            return refuse(&format!("{name} is not supported"));
        }
    }
    if ttl.is_some_and(|ttl| ttl > 0) {
        return refuse("authorizerResultTtlInSeconds is not supported");
    }
    let source = text(body, "identitySource").unwrap_or_default();
    let header = source.strip_prefix("method.request.header.").unwrap_or_default();
    if header.is_empty() || header.contains(',') {
        return refuse("identitySource must be one method.request.header.{name}");
    }
    let Some(configuration) = member(body, "jwtConfiguration") else {
        return refuse("jwtConfiguration is required");
    };
    let issuers = configuration.get("issuers").and_then(Value::as_array);
    let issuers = issuers.map(Vec::as_slice).unwrap_or_default();
    if issuers.is_empty() || texts(configuration, "defaultAlgorithms").next().is_none() {
        return refuse("jwtConfiguration must have issuers and defaultAlgorithms");
    }
    for issuer in issuers.iter().filter_map(Value::as_object) {
        let url = text(issuer, "issuer").unwrap_or_default();
        let rest = url.strip_prefix("https://").unwrap_or_default();
        if rest.is_empty() || rest.starts_with('/') || rest.contains(['?', '#', '@', ' ']) {
            return refuse("an issuer must be an https URL without query, fragment and user");
        }
        if texts(issuer, "audiences").next().is_none() {
            return refuse("an issuer must have audiences");
        }
    }
    Ok(())
}

fn check_name(txn: &Txn, api: &str, body: &Body, own: Option<&str>) -> Result<(), ApiError> {
    let name = text(body, "name").unwrap_or_default();
    if name.is_empty() {
        return Err(ApiError::bad_request("Authorizer name cannot be blank"));
    }
    let mut taken = false;
    each(txn, Kind::Authorizer, api, |id, known| {
        taken |= text(known, "name") == Some(name) && own != Some(&**id);
    });
    if taken {
        return Err(ApiError::bad_request(format!(
            "Authorizer name must be unique. Authorizer {name} already exists in this RestApi."
        )));
    }
    Ok(())
}

/// The authorizer that the request's path names.
fn named(context: &Context<'_>, input: &Input) -> Result<Arc<Body>, ApiError> {
    rest_api(context, input)?;
    context
        .txn
        .get(Kind::Authorizer, input.label("restapi_id"), input.label("authorizer_id"))
        .ok_or_else(|| ApiError::not_found("Invalid Authorizer identifier specified"))
}

fn get_authorizer(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(Body::clone(&*named(context, input)?)))
}

fn get_authorizers(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    Ok(page_of(context.txn, input, Kind::Authorizer, input.label("restapi_id"), Body::clone))
}

const RULES: &[Rule] = &[
    Rule { path: "/authorizerUri", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/authorizerCredentials", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/authorizerResultTtlInSeconds", ops: REPLACE, apply: Apply::Custom(patch_ttl) },
    Rule { path: "/authType", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/identitySource", ops: ANY, apply: Apply::TextOrNothing },
    Rule { path: "/identityValidationExpression", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/name", ops: REPLACE, apply: Apply::Text },
    Rule { path: "/providerARNs", ops: ADD_REMOVE, apply: Apply::ListItem },
    Rule { path: "/type", ops: REPLACE, apply: Apply::Custom(patch_type) },
];

fn update_authorizer(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut body = Body::clone(&*named(context, input)?);
    let (api, id) = (input.label("restapi_id"), input.label("authorizer_id"));
    patch::apply(&mut body, &patch::read(input)?, RULES, Wording::Bare)?;
    tidy(&mut body);
    let kind = text(&body, "type").unwrap_or_default().to_owned();
    body.entry("authType").or_insert_with(|| Value::from(derived_auth_type(&kind)));
    check(&body)?;
    check_name(context.txn, api, &body, Some(id))?;
    context.txn.put(Kind::Authorizer, api, id, body.clone());
    Ok(Outcome::Body(body))
}

/// Text that is no number becomes one that is refused.
fn patch_ttl(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let ttl: i64 = operation.value().parse().unwrap_or(-1);
    body.insert("authorizerResultTtlInSeconds".to_owned(), Value::from(ttl));
    Ok(())
}

/// A derived `authType` follows the type.
fn patch_type(body: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let former = derived_auth_type(text(body, "type").unwrap_or_default());
    if text(body, "authType") == Some(former) {
        body.insert("authType".to_owned(), Value::from(derived_auth_type(operation.value())));
    }
    body.insert("type".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn delete_authorizer(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    named(context, input)?;
    let (api, id) = (input.label("restapi_id"), input.label("authorizer_id"));
    let used = find_reference(context.txn, api, |method| text(method, "authorizerId") == Some(id));
    if let Some(place) = used {
        return Err(ApiError::conflict(format!(
            "Cannot delete authorizer '{id}', is referenced in method: {place}"
        )));
    }
    context.txn.delete(Kind::Authorizer, api, id);
    Ok(nothing())
}

#[cfg(test)]
#[path = "authorizers_tests.rs"]
mod tests;
