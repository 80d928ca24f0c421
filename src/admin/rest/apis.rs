//! REST APIs themselves: create (also as a copy), get, update, delete.
//!
//! Deleting an API takes all that belongs to it, and what points to it from outside: base path
//! mappings, and stages in usage plans.
//!
//! AWS: API Gateway API Reference, "CreateRestApi", "GetRestApi", "UpdateRestApi",
//! "DeleteRestApi"; Developer Guide, "API endpoint types for REST APIs in API Gateway".

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch::{
    self, ADD_REMOVE, ANY, Apply, Op, PatchOperation, REPLACE, Rule, Wording,
};
use crate::admin::rest::shared::{
    ID_LENGTH, copy, drop_empty, member, nothing, page_of, rest_api, room_for_one, text, texts,
    unknown_api,
};
use crate::admin::rest::tags;
use crate::admin::rest::{cloning, policies};
use crate::model::quotas;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateRestApi", create_rest_api),
    ("GetRestApi", get_rest_api),
    ("GetRestApis", get_rest_apis),
    ("UpdateRestApi", update_rest_api),
    ("DeleteRestApi", delete_rest_api),
];

/// What belongs to an API and goes with it.
const PARTS: [Kind; 10] = [
    Kind::Resource,
    Kind::Model,
    Kind::RequestValidator,
    Kind::Authorizer,
    Kind::GatewayResponse,
    Kind::DocumentationPart,
    Kind::DocumentationVersion,
    Kind::Deployment,
    Kind::DeploymentDefinition,
    Kind::Stage,
];

/// Length of the ids of APIs and of their root resources.
const API_ID_LENGTH: usize = 10;

/// An API as create and list answers show it.
pub(crate) fn shown(api: &Body) -> Body {
    let mut shown = api.clone();
    policies::escape(&mut shown);
    shown
}

/// An API as get and update answers show it: with its tags, also when there are none (recorded).
pub(crate) fn shown_with_tags(api: &Body) -> Body {
    let mut shown = shown(api);
    shown.entry("tags").or_insert_with(|| json!({}));
    shown
}

/// A new id for an API.
pub(crate) fn new_api_id(context: &Context<'_>) -> String {
    context.new_id(API_ID_LENGTH, |id| context.txn.contains(Kind::RestApi, "", id))
}

/// Puts a root resource into an API that has none yet; answers its id.
pub(crate) fn put_root(context: &mut Context<'_>, api: &str) -> String {
    let root = context.new_id(API_ID_LENGTH, |id| context.txn.contains(Kind::Resource, api, id));
    let mut body = Body::new();
    body.insert("id".to_owned(), Value::from(root.as_str()));
    body.insert("path".to_owned(), Value::from("/"));
    context.txn.put(Kind::Resource, api, &root, body);
    root
}

fn create_rest_api(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    if input.text("name").unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request("API name cannot be blank"));
    }
    if input.text("description") == Some("") {
        return Err(ApiError::bad_request("Description cannot be an empty string"));
    }
    let asked = input.body.get("minimumCompressionSize").filter(|size| !size.is_null());
    if let Some(size) = asked {
        compression_size(size.as_i64())?;
    }
    let source = match input.text("cloneFrom") {
        Some(id) => {
            let body = context.txn.get(Kind::RestApi, "", id);
            Some((id.to_owned(), body.ok_or_else(|| unknown_api(context, id))?))
        }
        None => None,
    };
    room_for_one(context.txn, Kind::RestApi, "", quotas::REST_APIS_KEPT_MAX, "REST APIs")?;

    let id = new_api_id(context);
    let mut api = match &source {
        Some((source, body)) => cloning::settings(body, source, &id),
        None => defaults(),
    };
    api.insert("id".to_owned(), Value::from(id.as_str()));
    api.insert("createdDate".to_owned(), context.seconds());
    copy(
        &input.body,
        &mut api,
        &[
            "name",
            "description",
            "version",
            "binaryMediaTypes",
            "minimumCompressionSize",
            "apiKeySource",
            "disableExecuteApiEndpoint",
            "securityPolicy",
            "endpointAccessMode",
            "tags",
        ],
    );
    if let Some(asked) = member(&input.body, "endpointConfiguration") {
        api.insert("endpointConfiguration".to_owned(), endpoint_configuration(asked)?);
    }
    if let Some(policy) = input.text("policy").filter(|policy| !policy.is_empty()) {
        let policy = policies::read(policy, context.site, &id)?;
        api.insert("policy".to_owned(), Value::from(policy));
    }
    if let Some(asked) = member(&api, "tags") {
        tags::check(asked)?;
    }
    drop_empty(&mut api, "binaryMediaTypes");
    drop_empty(&mut api, "tags");

    let root = match &source {
        Some((source, body)) => cloning::copy_parts(context, source, body, &id),
        None => {
            put_default_models(context, &id);
            put_root(context, &id)
        }
    };
    api.insert("rootResourceId".to_owned(), Value::from(root));
    context.txn.put(Kind::RestApi, "", &id, api.clone());
    Ok(Outcome::Body(shown(&api)))
}

/// Recorded: a new API that says nothing.
pub(crate) fn defaults() -> Body {
    let mut api = Body::new();
    api.insert("apiKeySource".to_owned(), Value::from("HEADER"));
    api.insert("disableExecuteApiEndpoint".to_owned(), Value::from(false));
    api.insert("endpointConfiguration".to_owned(), default_endpoint());
    api
}

fn default_endpoint() -> Value {
    json!({"types": ["EDGE"], "ipAddressType": "ipv4"})
}

/// The models every created API has; imported ones have not (recorded).
fn put_default_models(context: &mut Context<'_>, api: &str) {
    const EMPTY: &str = "{\n  \"$schema\": \"http://json-schema.org/draft-04/schema#\",\n  \
                         \"title\" : \"Empty Schema\",\n  \"type\" : \"object\"\n}";
    const ERROR: &str = "{\n  \"$schema\" : \"http://json-schema.org/draft-04/schema#\",\n  \
                         \"title\" : \"Error Schema\",\n  \"type\" : \"object\",\n  \
                         \"properties\" : {\n    \"message\" : { \"type\" : \"string\" }\n  }\n}";
    for (name, description, schema) in [
        ("Empty", "This is a default empty schema model", EMPTY),
        ("Error", "This is a default error schema model", ERROR),
    ] {
        let id = context.new_id(ID_LENGTH, |id| context.txn.contains(Kind::Model, api, id));
        let mut model = Body::new();
        model.insert("id".to_owned(), Value::from(id.as_str()));
        model.insert("name".to_owned(), Value::from(name));
        model.insert("description".to_owned(), Value::from(description));
        model.insert("schema".to_owned(), Value::from(schema));
        model.insert("contentType".to_owned(), Value::from("application/json"));
        context.txn.put(Kind::Model, api, &id, model);
    }
}

fn compression_size(size: Option<i64>) -> Result<i64, ApiError> {
    size.filter(|size| (0..=i64::from(quotas::MINIMUM_COMPRESSION_SIZE_MAX)).contains(size))
        .ok_or_else(|| {
            ApiError::bad_request(
                "Invalid minimum compression size, must be between 0 and 10485760",
            )
        })
}

/// The endpoint configuration a request asks for, completed and checked.
pub(crate) fn endpoint_configuration(asked: &Body) -> Result<Value, ApiError> {
    let mut endpoint = Body::new();
    copy(asked, &mut endpoint, &["types", "ipAddressType", "vpcEndpointIds"]);
    endpoint.entry("types").or_insert_with(|| json!(["EDGE"]));
    let private = is_private(&endpoint);
    if private && text(&endpoint, "ipAddressType") == Some("ipv4") {
        return Err(ApiError::bad_request(DUALSTACK_ONLY));
    }
    endpoint
        .entry("ipAddressType")
        .or_insert_with(|| Value::from(if private { "dualstack" } else { "ipv4" }));
    check_endpoint(&endpoint)?;
    drop_empty(&mut endpoint, "vpcEndpointIds");
    Ok(Value::Object(endpoint))
}

const DUALSTACK_ONLY: &str = "Only dualstack ipAddressType is supported for Private APIs.";

fn is_private(endpoint: &Body) -> bool {
    texts(endpoint, "types").eq(["PRIVATE"])
}

fn check_endpoint(endpoint: &Body) -> Result<(), ApiError> {
    match texts(endpoint, "types").count() {
        0 => Err(ApiError::bad_request(
            "REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.",
        )),
        1 if !is_private(endpoint) && texts(endpoint, "vpcEndpointIds").next().is_some() => {
            Err(ApiError::bad_request("VPCEndpoints can only be specified with PRIVATE apis."))
        }
        1 => Ok(()),
        _ => Err(ApiError::bad_request("Cannot create an api with multiple Endpoint Types.")),
    }
}

fn get_rest_api(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(shown_with_tags(&*rest_api(context, input)?)))
}

fn get_rest_apis(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(page_of(context.txn, input, Kind::RestApi, "", shown))
}

const RULES: &[Rule] = &[
    Rule { path: "/name", ops: REPLACE, apply: Apply::Custom(patch_name) },
    Rule { path: "/description", ops: ANY, apply: Apply::TextOrNothing },
    Rule { path: "/apiKeySource", ops: REPLACE, apply: Apply::Custom(patch_key_source) },
    Rule { path: "/disableExecuteApiEndpoint", ops: REPLACE, apply: Apply::Boolean },
    Rule { path: "/endpointAccessMode", ops: REPLACE, apply: Apply::Custom(patch_access_mode) },
    Rule { path: "/securityPolicy", ops: REPLACE, apply: Apply::Custom(patch_security_policy) },
    Rule { path: "/minimumCompressionSize", ops: REPLACE, apply: Apply::Custom(patch_compression) },
    Rule { path: "/policy", ops: REPLACE, apply: Apply::TextOrNothing },
    Rule { path: "/binaryMediaTypes/{}", ops: ANY, apply: Apply::Custom(patch_binary_types) },
    Rule {
        path: "/endpointConfiguration/types/{}",
        ops: ANY,
        apply: Apply::Custom(patch_endpoint_types),
    },
    Rule {
        path: "/endpointConfiguration/ipAddressType",
        ops: REPLACE,
        apply: Apply::Custom(patch_ip_address_type),
    },
    Rule {
        path: "/endpointConfiguration/vpcEndpointIds",
        ops: ADD_REMOVE,
        apply: Apply::Custom(patch_vpc_endpoints),
    },
];

fn update_rest_api(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let before = rest_api(context, input)?;
    let id = input.label("restapi_id");
    let operations = patch::read(input)?;
    let mut api = Body::clone(&before);
    api.entry("endpointConfiguration").or_insert_with(default_endpoint);
    patch::apply(&mut api, &operations, RULES, Wording::Bare)?;

    let was_private = member(&before, "endpointConfiguration").is_some_and(is_private);
    let endpoint = patch::object(&mut api, "endpointConfiguration");
    let touches_vpc = operations.iter().any(|operation| {
        operation.path.as_deref() == Some("/endpointConfiguration/vpcEndpointIds")
    });
    if !is_private(endpoint) && !touches_vpc {
        endpoint.shift_remove("vpcEndpointIds");
    }
    check_endpoint(endpoint)?;
    // "You can't change a private API to an edge-optimized API."
    if was_private && texts(endpoint, "types").eq(["EDGE"]) {
        return Err(ApiError::bad_request("Cannot update endpoint from PRIVATE to EDGE"));
    }
    if operations.iter().any(|operation| operation.path.as_deref() == Some("/policy"))
        && let Some(policy) = text(&api, "policy")
    {
        let policy = policies::read(policy, context.site, id)?;
        api.insert("policy".to_owned(), Value::from(policy));
    }
    context.txn.put(Kind::RestApi, "", id, api.clone());
    Ok(Outcome::Body(shown_with_tags(&api)))
}

fn patch_name(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if operation.value().is_empty() {
        return Err(ApiError::bad_request("API name cannot be blank"));
    }
    api.insert("name".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn patch_key_source(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if !matches!(operation.value(), "HEADER" | "AUTHORIZER") {
        return Err(ApiError::bad_request(
            "Invalid API key source specified. Valid options are HEADER,AUTHORIZER",
        ));
    }
    api.insert("apiKeySource".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn patch_access_mode(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if !matches!(operation.value(), "BASIC" | "STRICT") {
        return Err(ApiError::bad_request(
            "Invalid endpoint access mode specified. Valid options are BASIC,STRICT",
        ));
    }
    api.insert("endpointAccessMode".to_owned(), Value::from(operation.value()));
    Ok(())
}

/// TLS policies: the two old names, and a growing family of new ones.
fn patch_security_policy(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let value = operation.value();
    if !matches!(value, "TLS_1_0" | "TLS_1_2") && !value.starts_with("SecurityPolicy_TLS") {
        return Err(ApiError::bad_request(format!("Invalid security policy specified: {value}")));
    }
    api.insert("securityPolicy".to_owned(), Value::from(value));
    Ok(())
}

/// An empty or null size turns compression off (recorded).
fn patch_compression(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if operation.value().is_empty() {
        api.shift_remove("minimumCompressionSize");
        return Ok(());
    }
    let size = compression_size(operation.value().parse().ok())?;
    api.insert("minimumCompressionSize".to_owned(), Value::from(size));
    Ok(())
}

/// A list that is patched as a map is (recorded): the path names the type, not its place. A
/// replaced type moves to the end; `-` is a type like any other.
fn patch_binary_types(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let named = operation.key();
    let mut types: Vec<String> = texts(api, "binaryMediaTypes").map(str::to_owned).collect();
    let added = match operation.op {
        Op::Add => Some(named.clone()),
        Op::Replace => Some(operation.value().to_owned()),
        _ => None,
    };
    if operation.op != Op::Add {
        types.retain(|known| *known != named);
    }
    if let Some(added) = added.filter(|added| !added.is_empty() && !types.contains(added)) {
        types.push(added);
    }
    api.insert("binaryMediaTypes".to_owned(), Value::from(types));
    drop_empty(api, "binaryMediaTypes");
    Ok(())
}

/// The path names the type to replace, or its place in the list.
fn patch_endpoint_types(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let named = operation.key();
    let endpoint = patch::object(api, "endpointConfiguration");
    let mut types: Vec<String> = texts(endpoint, "types").map(str::to_owned).collect();
    let place = named
        .parse()
        .ok()
        .filter(|place| *place < types.len())
        .or_else(|| types.iter().position(|known| *known == named));
    if operation.op == Op::Remove {
        if let Some(place) = place {
            types.remove(place);
        }
    } else {
        let value = operation.value.clone().unwrap_or_else(|| named.clone());
        if !matches!(value.as_str(), "REGIONAL" | "EDGE" | "PRIVATE") {
            return Err(ApiError::bad_request(
                "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE",
            ));
        }
        match place {
            _ if operation.op == Op::Add => {
                types.retain(|known| *known != value);
                types.push(value);
            }
            Some(place) => types[place] = value,
            None => types = vec![value],
        }
    }
    endpoint.insert("types".to_owned(), Value::from(types));
    if is_private(endpoint) {
        endpoint.insert("ipAddressType".to_owned(), Value::from("dualstack"));
    }
    Ok(())
}

fn patch_ip_address_type(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let endpoint = patch::object(api, "endpointConfiguration");
    match operation.value() {
        "ipv4" if is_private(endpoint) => Err(ApiError::bad_request(DUALSTACK_ONLY)),
        known @ ("ipv4" | "dualstack") => {
            endpoint.insert("ipAddressType".to_owned(), Value::from(known));
            Ok(())
        }
        _ => Err(ApiError::bad_request("ipAddressType must be either ipv4 or dualstack.")),
    }
}

fn patch_vpc_endpoints(api: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let endpoint = patch::object(api, "endpointConfiguration");
    let mut ids: Vec<String> = texts(endpoint, "vpcEndpointIds").map(str::to_owned).collect();
    ids.retain(|known| known != operation.value());
    if operation.op == Op::Add && !operation.value().is_empty() {
        ids.push(operation.value().to_owned());
    }
    endpoint.insert("vpcEndpointIds".to_owned(), Value::from(ids));
    drop_empty(endpoint, "vpcEndpointIds");
    Ok(())
}

fn delete_rest_api(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    rest_api(context, input)?;
    delete_api(context.txn, input.label("restapi_id"));
    Ok(nothing())
}

/// Deletes an API with all that belongs to it, and takes it out of base path mappings and usage
/// plans.
pub(crate) fn delete_api(txn: &mut Txn, api: &str) {
    for kind in PARTS {
        txn.delete_all(kind, api);
    }
    txn.delete(Kind::RestApi, "", api);
    for (domain, _) in txn.list(Kind::DomainName, "") {
        for (path, mapping) in txn.list(Kind::BasePathMapping, &domain) {
            if text(&mapping, "restApiId") == Some(api) {
                txn.delete(Kind::BasePathMapping, &domain, &path);
            }
        }
    }
    forget_in_plans(txn, |stage| stage["apiId"] == api);
}

/// Deletes a stage, and takes it out of usage plans.
pub(crate) fn delete_stage(txn: &mut Txn, api: &str, name: &str) {
    txn.delete(Kind::Stage, api, name);
    forget_in_plans(txn, |stage| stage["apiId"] == api && stage["stage"] == name);
}

/// Takes stages that are gone out of usage plans. Ours, not recorded: what stayed would give a
/// plan's keys to whichever stage next has the name.
fn forget_in_plans(txn: &mut Txn, is_gone: impl Fn(&Value) -> bool) {
    for (id, plan) in txn.list(Kind::UsagePlan, "") {
        let Some(stages) = plan.get("apiStages").and_then(Value::as_array) else { continue };
        let kept: Vec<Value> = stages.iter().filter(|stage| !is_gone(stage)).cloned().collect();
        if kept.len() != stages.len() {
            let mut plan = Body::clone(&plan);
            plan.insert("apiStages".to_owned(), Value::from(kept));
            txn.put(Kind::UsagePlan, "", &id, plan);
        }
    }
}

#[cfg(test)]
#[path = "apis_tests.rs"]
mod tests;
