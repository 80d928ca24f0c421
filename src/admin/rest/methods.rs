//! Methods: what a client may call on a resource, and who may.
//!
//! A method lives inside its resource's body, with its responses and its integration inside it;
//! `Place` is the way there for all four families of operations.
//!
//! AWS: API Gateway API Reference, "PutMethod", "GetMethod", "UpdateMethod", "DeleteMethod".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{
    self, ADD_REMOVE, ANY, Apply, PatchOperation, REPLACE, Rule, Wording,
};
use crate::admin::rest::shared::{
    copy, drop_empty, entries, member, nothing, resource, rest_api, text, texts,
};
use crate::admin::rest::{expressions, models};
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("PutMethod", put_method),
    ("GetMethod", get_method),
    ("UpdateMethod", update_method),
    ("DeleteMethod", delete_method),
];

const VERBS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY"];

/// The resource and verb a request names, with the resource's body to be changed.
pub(crate) struct Place {
    api: String,
    resource_id: String,
    verb: String,
    resource: Body,
}

impl Place {
    /// The API and the resource must be there; the method need not.
    pub(crate) fn find(context: &Context<'_>, input: &Input) -> Result<Self, ApiError> {
        rest_api(context, input)?;
        let (api, resource_id) = (input.label("restapi_id"), input.label("resource_id"));
        let resource = resource(context.txn, api, resource_id)?;
        Ok(Self {
            api: api.to_owned(),
            resource_id: resource_id.to_owned(),
            verb: input.label("http_method").to_owned(),
            resource: Body::clone(&resource),
        })
    }

    pub(crate) fn resource_id(&self) -> &str {
        &self.resource_id
    }

    pub(crate) fn method(&mut self) -> Result<&mut Body, ApiError> {
        let methods = self.resource.get_mut("resourceMethods").and_then(Value::as_object_mut);
        methods
            .and_then(|methods| methods.get_mut(&self.verb))
            .and_then(Value::as_object_mut)
            .ok_or_else(|| ApiError::not_found("Invalid Method identifier specified"))
    }

    pub(crate) fn integration(&mut self) -> Result<&mut Body, ApiError> {
        self.method()?
            .get_mut("methodIntegration")
            .and_then(Value::as_object_mut)
            .ok_or_else(|| ApiError::not_found("Invalid Integration identifier specified"))
    }

    /// Puts the changed resource back.
    pub(crate) fn save(self, txn: &mut Txn) {
        txn.put(Kind::Resource, &self.api, &self.resource_id, self.resource);
    }
}

/// The response of a status code inside a method (`methodResponses`) or an integration
/// (`integrationResponses`).
pub(crate) fn response<'a>(
    owner: &'a mut Body,
    name: &str,
    status: &str,
) -> Result<&'a mut Body, ApiError> {
    owner
        .get_mut(name)
        .and_then(Value::as_object_mut)
        .and_then(|responses| responses.get_mut(status))
        .and_then(Value::as_object_mut)
        .ok_or_else(|| ApiError::not_found("Invalid Response status code specified"))
}

/// Takes a status code's response out of its owner.
pub(crate) fn remove_response(owner: &mut Body, name: &str, status: &str) -> Result<(), ApiError> {
    response(owner, name, status)?;
    patch::object(owner, name).shift_remove(status);
    drop_empty(owner, name);
    Ok(())
}

fn put_method(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    if !VERBS.contains(&place.verb.as_str()) {
        return Err(ApiError::bad_request(format!(
            "Invalid HttpMethod specified. Valid options are {}",
            VERBS.join(",")
        )));
    }
    if place.method().is_ok() {
        return Err(ApiError::conflict("Method already exists for this resource"));
    }
    let mut method = Body::new();
    method.insert("httpMethod".to_owned(), Value::from(place.verb.as_str()));
    method.insert("apiKeyRequired".to_owned(), Value::from(false));
    copy(
        &input.body,
        &mut method,
        &[
            "authorizationType",
            "authorizerId",
            "apiKeyRequired",
            "operationName",
            "requestParameters",
            "requestModels",
            "requestValidatorId",
            "authorizationScopes",
        ],
    );
    for name in ["requestParameters", "requestModels", "authorizationScopes"] {
        drop_empty(&mut method, name);
    }
    for name in ["operationName", "requestValidatorId"] {
        if text(&method, name) == Some("") {
            method.shift_remove(name);
        }
    }
    expressions::check_request_parameters(&method)?;
    check_authorization(context.txn, &place.api, &mut method)?;
    check_validator(context.txn, &place.api, &method)?;
    check_models(context.txn, &place.api, &method, "requestModels")?;

    patch::object(&mut place.resource, "resourceMethods")
        .insert(place.verb.clone(), Value::Object(method.clone()));
    place.save(context.txn);
    Ok(Outcome::Body(method))
}

/// The authorization type must be known and have what it needs. What it does not need is dropped.
fn check_authorization(txn: &Txn, api: &str, method: &mut Body) -> Result<(), ApiError> {
    let kind = text(method, "authorizationType").unwrap_or_default();
    let fitting: &[&str] = match kind {
        "NONE" | "AWS_IAM" => &[],
        "CUSTOM" => &["TOKEN", "REQUEST"],
        "COGNITO_USER_POOLS" => &["COGNITO_USER_POOLS"],
        "JWT" => &["JWT"],
        _ => {
            return Err(ApiError::bad_request(
                "Invalid authorization type specified. Valid options are \
                 NONE,AWS_IAM,CUSTOM,COGNITO_USER_POOLS,JWT",
            ));
        }
    };
    if !matches!(kind, "COGNITO_USER_POOLS" | "JWT")
        && texts(method, "authorizationScopes").next().is_some()
    {
        return Err(ApiError::bad_request(
            "Invalid Method authorization type specified. Authorization Scopes are only valid for \
             COGNITO_USER_POOLS and JWT authorization types",
        ));
    }
    if fitting.is_empty() {
        method.shift_remove("authorizerId");
        return Ok(());
    }
    let authorizer = text(method, "authorizerId")
        .and_then(|id| txn.get(Kind::Authorizer, api, id))
        .filter(|authorizer| fitting.contains(&text(authorizer, "type").unwrap_or_default()));
    match authorizer {
        Some(_) => Ok(()),
        None => Err(ApiError::bad_request(
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or \
             COGNITO_USER_POOLS requires a valid authorizer.",
        )),
    }
}

fn check_validator(txn: &Txn, api: &str, method: &Body) -> Result<(), ApiError> {
    match text(method, "requestValidatorId") {
        Some(id) if !txn.contains(Kind::RequestValidator, api, id) => {
            Err(ApiError::bad_request("Invalid Request Validator identifier specified"))
        }
        _ => Ok(()),
    }
}

/// The map from content types to names of models that are there.
pub(crate) fn check_models(txn: &Txn, api: &str, body: &Body, map: &str) -> Result<(), ApiError> {
    expressions::check_content_types(body, map)?;
    for (_, name) in entries(body, map) {
        if name != models::EMPTY && models::find(txn, api, name).is_none() {
            return Err(ApiError::bad_request(format!(
                "Invalid model identifier specified: {name}"
            )));
        }
    }
    Ok(())
}

fn get_method(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    Ok(Outcome::Body(std::mem::take(place.method()?)))
}

const RULES: &[Rule] = &[
    Rule { path: "/authorizationScopes", ops: ADD_REMOVE, apply: Apply::ListItem },
    Rule { path: "/authorizationScopes/{}", ops: ADD_REMOVE, apply: Apply::ListItem },
    Rule { path: "/authorizationType", ops: REPLACE, apply: Apply::Text },
    Rule { path: "/authorizerId", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/apiKeyRequired", ops: REPLACE, apply: Apply::Boolean },
    Rule { path: "/operationName", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/requestValidatorId", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/requestParameters/{}", ops: ANY, apply: Apply::MapBoolean },
    Rule { path: "/requestModels/{}", ops: ANY, apply: Apply::MapText },
];

fn update_method(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    let api = place.api.clone();
    let method = place.method()?;
    let operations = patch::read(input)?;
    let touches = |name: &str| operations.iter().any(|operation| touches(operation, name));
    patch::apply(method, &operations, RULES, Wording::Bare)?;
    drop_empty(method, "authorizationScopes");
    if touches("/requestParameters") {
        expressions::check_request_parameters(method)?;
    }
    if touches("/authoriz") {
        // Scopes and authorizers that only the former type could use go with it.
        if !touches("/authorizationScopes")
            && !matches!(text(method, "authorizationType"), Some("COGNITO_USER_POOLS" | "JWT"))
        {
            method.shift_remove("authorizationScopes");
        }
        check_authorization(context.txn, &api, method)?;
    }
    if touches("/requestValidatorId") {
        check_validator(context.txn, &api, method)?;
    }
    if touches("/requestModels") {
        check_models(context.txn, &api, method, "requestModels")?;
    }
    let answer = method.clone();
    place.save(context.txn);
    Ok(Outcome::Body(answer))
}

/// Whether an operation brings a value for a path that begins so.
pub(crate) fn touches(operation: &PatchOperation, prefix: &str) -> bool {
    operation.path.as_deref().is_some_and(|path| path.starts_with(prefix))
}

fn delete_method(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut place = Place::find(context, input)?;
    place.method()?;
    let verb = place.verb.clone();
    patch::object(&mut place.resource, "resourceMethods").shift_remove(&verb);
    drop_empty(&mut place.resource, "resourceMethods");
    place.save(context.txn);
    Ok(nothing())
}

/// Where methods of an API refer to something, as AWS prints it: `/pets/GET`, the root `//GET`.
pub(crate) fn find_reference(
    txn: &Txn,
    api: &str,
    refers: impl Fn(&Body) -> bool,
) -> Option<String> {
    let mut found = None;
    crate::admin::rest::shared::each(txn, Kind::Resource, api, |_, resource| {
        let methods = member(resource, "resourceMethods").into_iter().flatten();
        for (verb, method) in methods {
            if found.is_none() && method.as_object().is_some_and(&refers) {
                found = Some(format!("{}/{verb}", text(resource, "path").unwrap_or("/")));
            }
        }
    });
    found
}

#[cfg(test)]
#[path = "methods_tests.rs"]
mod tests;
