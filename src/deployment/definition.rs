//! Can this stage be served, and as what? A frozen definition and a stage in, a typed deployment
//! or the list of everything in the way out.
//!
//! The control plane keeps whatever AWS's API can say; the data plane serves less. Leaving
//! something out would change behaviour (a dropped authorizer opens an API), so each thing that
//! cannot be served is named with its place, and the stage is not served at all. What AWS itself
//! has no effect for (tracing, documentation, unused models and authorizers) is
//! passed over.
//!
//! What passes here compiles: mappings, patterns, keys and log formats are tried as well.
//!
//! AWS: API Gateway REST API Reference, "Deployment", "Stage", "RestApi"; Developer Guide, "Deploy
//! REST APIs in API Gateway".

mod integration;
mod settings;

pub use integration::is_http_endpoint;

use std::fmt;

use indexmap::IndexMap;
use serde_json::Value;

use crate::deployment::compile::{self, of_canary};
use crate::deployment::router::Router;
use crate::mapping::context::RouteFacts;
use crate::mapping::gateway_responses::GatewayResponses;
use crate::mapping::parameters::RequestMapping;
use crate::mapping::responses::ResponseMapping;
use crate::mapping::templates::RequestTemplates;
use crate::model::ids::{ApiId, DeploymentId, ResourceId};
use crate::model::quotas;
use crate::model::rest_api::{
    EndpointType, GatewayResponse, Integration, IntegrationResponse, Method, Resource, RestApi,
    Validation,
};
use crate::model::stage::{BasePathMapping, Canary, Stage, StageDeployment};
use crate::store::control::Body;

/// Places listed for one stage; further ones are only counted. An API with more needs no longer
/// list to be mended by.
pub const PLACES_MAX: usize = 100;

/// One thing that today's data plane cannot do for a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Such as `/pets GET integration requestTemplates`.
    pub place: String,
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it is right, and only not built yet.
    pub is_unbuilt: bool,
}

impl fmt::Display for Unserved {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.what)?;
        match &self.hint {
            Some(hint) => write!(out, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// What the operator bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds. A longer `timeoutInMillis` is cut to it: definitions carry AWS's default of
    /// 29 s whether or not their author asked for it.
    pub integration_timeout_max_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let most = quotas::INTEGRATION_TIMEOUT_MAX.as_millis();
        Self { integration_timeout_max_ms: u32::try_from(most).unwrap_or(u32::MAX) }
    }
}

/// The stage as the data plane serves it. `definition` is what its deployment froze. The client
/// certificate and what VPC links lead to are no part of either: whoever knows them puts them in.
///
/// # Errors
/// Every place that cannot be served, in the order of the definition; never empty.
pub fn stage_deployment(
    definition: &Value,
    stage: &Body,
    domains: Vec<BasePathMapping>,
    limits: &Limits,
) -> Result<StageDeployment, Vec<Unserved>> {
    let mut found = Findings::default();
    let api = rest_api(definition, limits, &mut found);
    let stage = settings::stage(stage, &mut found);
    let deployment = StageDeployment {
        deployment_id: DeploymentId::new(stage.deployment_id),
        api,
        stage: stage.stage,
        domains,
        ..StageDeployment::default()
    };
    compiles(&deployment, &mut found);
    found.into_result().map(|()| deployment)
}

/// The id of the deployment that the stage's canary serves; `None` where there is no canary.
pub fn canary_deployment_id(stage: &Body) -> Option<&str> {
    settings::canary(stage).map(|canary| canary.deployment_id)
}

/// Gives the deployment its canary. `definition` is what the canary's own deployment froze.
///
/// # Errors
/// Every place of the canary's that cannot be served, marked as the canary's.
pub fn add_canary(
    deployment: &mut StageDeployment,
    definition: &Value,
    stage: &Body,
    limits: &Limits,
) -> Result<(), Vec<Unserved>> {
    let Some(settings) = settings::canary(stage) else { return Ok(()) };
    let mut found = Findings::default();
    let canary = Canary {
        percent_traffic: settings.percent_traffic,
        deployment_id: DeploymentId::new(settings.deployment_id),
        api: rest_api(definition, limits, &mut found),
        variables: settings.variables,
        use_stage_cache: settings.use_stage_cache,
    };
    compiles(&of_canary(deployment, &canary), &mut found);
    deployment.stage.canary = Some(Box::new(canary));
    found.into_result().map_err(|mut places| {
        for unserved in &mut places {
            unserved.place.insert_str(0, "canary ");
        }
        places
    })
}

fn rest_api(definition: &Value, limits: &Limits, found: &mut Findings) -> RestApi {
    let rest_api = definition.get("restApi").unwrap_or(&Value::Null);
    refuse_of_api(rest_api, found);
    let mut api = RestApi {
        id: ApiId::new(text(rest_api, "id").unwrap_or_default()),
        name: text(rest_api, "name").unwrap_or_default().to_owned(),
        endpoint_type: endpoint_type(rest_api, found),
        default_endpoint_disabled: is_true(rest_api, "disableExecuteApiEndpoint"),
        binary_media_types: texts(rest_api.get("binaryMediaTypes")),
        minimum_compression_size: minimum_compression_size(rest_api, found),
        resources: resources(definition, limits, found),
        ..RestApi::default()
    };
    api.models = models(definition, &api.resources);
    api.gateway_responses = gateway_responses(definition, found);
    api
}

/// One method as a test call needs it: who may call it and which stage it has play no part.
///
/// # Errors
/// Every place of it that cannot be served.
pub fn method(
    definition: &Value,
    resource_id: &str,
    http_method: &str,
    limits: &Limits,
) -> Result<(Resource, Method), Vec<Unserved>> {
    let mut found = Findings::default();
    let resource = entries(definition.get("resources"))
        .find(|resource| text(resource, "id") == Some(resource_id));
    let body = resource.and_then(|resource| resource.get("resourceMethods")?.get(http_method));
    let (Some(resource), Some(body)) = (resource, body) else {
        found.add(http_method, "there is no such method", None);
        return Err(found.into_list());
    };
    let path = text(resource, "path").unwrap_or_default();
    let place = format!("{path} {http_method}");
    refuse_unknown_validator(definition, body, &place, &mut found);
    let method = typed_method(definition, body, http_method, &place, limits, &mut found);
    let resource =
        Resource { id: ResourceId::new(resource_id), path: path.to_owned(), methods: Vec::new() };
    match (method, found.is_empty()) {
        (Some(method), true) => Ok((resource, method)),
        _ => Err(found.into_list()),
    }
}

/// The list on its way: bounded, and how many more there were.
#[derive(Default)]
struct Findings {
    list: Vec<Unserved>,
    more: usize,
}

impl Findings {
    fn add(&mut self, place: impl Into<String>, what: impl Into<String>, hint: Option<&str>) {
        if self.list.len() >= PLACES_MAX {
            self.more += 1;
            return;
        }
        let hint = hint.map(ToOwned::to_owned);
        let (place, what) = (place.into(), what.into());
        self.list.push(Unserved { place, what, hint, is_unbuilt: false });
    }

    fn unbuilt(&mut self, place: impl Into<String>, what: &str) {
        let listed = self.list.len();
        self.add(place, format!("{what} is not built yet"), None);
        if let Some(added) = self.list.get_mut(listed) {
            added.is_unbuilt = true;
        }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn into_result(self) -> Result<(), Vec<Unserved>> {
        if self.is_empty() { Ok(()) } else { Err(self.into_list()) }
    }

    fn into_list(mut self) -> Vec<Unserved> {
        if self.more > 0 {
            let what = format!("{} more places are not listed", self.more);
            let place = "…".to_owned();
            let is_unbuilt = self.list.iter().all(|unserved| unserved.is_unbuilt);
            self.list.push(Unserved { place, what, hint: None, is_unbuilt });
        }
        self.list
    }
}

/// What holds for the whole API.
fn refuse_of_api(api: &Value, found: &mut Findings) {
    if text(api, "policy").is_some_and(|policy| !policy.trim().is_empty()) {
        found.unbuilt("restApi policy", "a resource policy");
    }
    if text(api, "securityPolicy").is_some_and(|name| !matches!(name, "TLS_1_0" | "TLS_1_2")) {
        found.unbuilt("restApi securityPolicy", "a TLS policy of the API's own");
    }
    if text(api, "endpointAccessMode").is_some_and(|mode| mode != "BASIC") {
        found.unbuilt("restApi endpointAccessMode", "an access mode other than BASIC");
    }
}

fn endpoint_type(api: &Value, found: &mut Findings) -> EndpointType {
    let configuration = api.get("endpointConfiguration").unwrap_or(&Value::Null);
    if !texts(configuration.get("vpcEndpointIds")).is_empty() {
        found.unbuilt("restApi endpointConfiguration vpcEndpointIds", "a bond to VPC endpoints");
    }
    let types = texts(configuration.get("types"));
    match types.first().map(String::as_str) {
        None | Some("EDGE") => EndpointType::Edge,
        Some("REGIONAL") => EndpointType::Regional,
        Some("PRIVATE") => EndpointType::Private,
        Some(other) => {
            let what = format!("`{other}` is no endpoint type");
            found.add("restApi endpointConfiguration types", what, None);
            EndpointType::Edge
        }
    }
}

fn minimum_compression_size(api: &Value, found: &mut Findings) -> Option<u32> {
    let size = api.get("minimumCompressionSize").filter(|size| !size.is_null())?;
    let fits = size.as_u64().and_then(|size| u32::try_from(size).ok());
    let fits = fits.filter(|size| *size <= quotas::MINIMUM_COMPRESSION_SIZE_MAX);
    if fits.is_none() {
        let what = "Invalid minimum compression size, must be between 0 and 10485760";
        found.add("restApi minimumCompressionSize", what, None);
    }
    fits
}

/// Resources that have methods; the others answer nothing.
fn resources(definition: &Value, limits: &Limits, found: &mut Findings) -> Vec<Resource> {
    let mut resources = Vec::new();
    for resource in entries(definition.get("resources")) {
        let path = text(resource, "path").unwrap_or_default();
        let bodies = resource.get("resourceMethods").and_then(Value::as_object);
        let mut methods = Vec::new();
        for (verb, body) in bodies.into_iter().flatten() {
            let place = format!("{path} {verb}");
            refuse_access_rules(body, &place, found);
            refuse_unknown_validator(definition, body, &place, found);
            methods.extend(typed_method(definition, body, verb, &place, limits, found));
        }
        if !methods.is_empty() {
            let id = ResourceId::new(text(resource, "id").unwrap_or_default());
            resources.push(Resource { id, path: path.to_owned(), methods });
        }
    }
    resources
}

/// Whatever would keep a caller out.
fn refuse_access_rules(method: &Value, place: &str, found: &mut Findings) {
    match text(method, "authorizationType") {
        None | Some("NONE") => {}
        Some(kind) => {
            found.unbuilt(format!("{place} authorizationType"), &format!("authorization by {kind}"))
        }
    }
    if is_true(method, "apiKeyRequired") {
        found.unbuilt(format!("{place} apiKeyRequired"), "requiring an API key");
    }
}

/// To leave a validator out that is not there would let everything in.
fn refuse_unknown_validator(definition: &Value, method: &Value, place: &str, found: &mut Findings) {
    let Some(id) = text(method, "requestValidatorId").filter(|id| !id.is_empty()) else { return };
    let mut validators = entries(definition.get("requestValidators"));
    if !validators.any(|known| text(known, "id") == Some(id)) {
        let what = format!("there is no request validator `{id}`");
        found.add(format!("{place} requestValidatorId"), what, None);
    }
}

fn typed_method(
    definition: &Value,
    body: &Value,
    verb: &str,
    place: &str,
    limits: &Limits,
    found: &mut Findings,
) -> Option<Method> {
    let Some(own) = body.get("methodIntegration").filter(|own| own.is_object()) else {
        let hint = "give it one; in a document it is `x-amazon-apigateway-integration`";
        found.add(place, "No integration defined for method", Some(hint));
        return None;
    };
    let declared = body.get("requestParameters").and_then(Value::as_object);
    let declared = declared.into_iter().flatten();
    let integration = integration::read(own, &format!("{place} integration"), limits, found)?;
    let response_statuses = match text(own, "type") {
        // What a proxy answers needs no declaration.
        Some("AWS_PROXY") => integration.responses.iter().map(|own| own.status_code).collect(),
        _ => response_statuses(body),
    };
    Some(Method {
        http_method: verb.to_owned(),
        operation_name: text(body, "operationName").map(ToOwned::to_owned),
        request_parameters: declared
            .map(|(name, required)| (name.clone(), truth(required)))
            .collect(),
        validation: validation(definition, body),
        response_statuses,
        integration,
    })
}

/// What the method's validator asks; `None` where it has none, or one that asks nothing.
fn validation(definition: &Value, method: &Value) -> Option<Validation> {
    let id = text(method, "requestValidatorId").filter(|id| !id.is_empty())?;
    let mut validators = entries(definition.get("requestValidators"));
    let validator = validators.find(|known| text(known, "id") == Some(id))?;
    let of_body = is_true(validator, "validateRequestBody");
    let models = method.get("requestModels").and_then(Value::as_object).into_iter().flatten();
    let models = models.filter_map(|(key, name)| Some((key.clone(), name.as_str()?.to_owned())));
    let validation = Validation {
        parameters: is_true(validator, "validateRequestParameters"),
        body: of_body.then(|| models.collect()),
    };
    (validation.parameters || of_body).then_some(validation)
}

fn response_statuses(method: &Value) -> Vec<u16> {
    let responses = method.get("methodResponses").and_then(Value::as_object).into_iter().flatten();
    responses.filter_map(|(code, _)| code.parse().ok()).collect()
}

/// All models, where one of these methods validates bodies by one: name → schema.
pub fn models(definition: &Value, resources: &[Resource]) -> IndexMap<String, String> {
    let mut methods = resources.iter().flat_map(|resource| &resource.methods);
    let validates = |method: &Method| method.validation.as_ref().is_some_and(|v| v.body.is_some());
    if !methods.any(validates) {
        return IndexMap::new();
    }
    let models = entries(definition.get("models"));
    let named = |model| Some((text(model, "name")?.to_owned(), text(model, "schema")?.to_owned()));
    models.filter_map(named).collect()
}

fn gateway_responses(
    definition: &Value,
    found: &mut Findings,
) -> IndexMap<String, GatewayResponse> {
    let mut responses = IndexMap::new();
    for own in entries(definition.get("gatewayResponses")) {
        let Some(kind) = text(own, "responseType") else { continue };
        let place = format!("gatewayResponses {kind}");
        let response = GatewayResponse {
            status_code: text(own, "statusCode").and_then(|code| code.parse().ok()),
            response_parameters: integration::texts_of(own, "responseParameters", &place, found),
            response_templates: integration::texts_of(own, "responseTemplates", &place, found),
        };
        responses.insert(kind.to_owned(), response);
    }
    responses
}

/// Tries what the compiler will do, so that nothing is left to fail when the stage is published.
fn compiles(deployment: &StageDeployment, found: &mut Findings) {
    let StageDeployment { api, stage, .. } = deployment;
    for (name, err) in compile::models(api).err().into_iter().flatten() {
        found.add(format!("models {name}"), err.to_string(), None);
    }
    let responses = GatewayResponses::compile(&api.gateway_responses);
    for (place, err) in responses.err().into_iter().flatten() {
        found.add(format!("gatewayResponses {place}"), err.to_string(), None);
    }
    let mut router = Router::new();
    for resource in &api.resources {
        for method in &resource.methods {
            let place = format!("{} {}", resource.path, method.http_method);
            if let Err(err) = router.insert(&resource.path, &method.http_method, ()) {
                found.add(place.as_str(), err.to_string(), None);
            }
            mappings_compile(api, stage, resource, method, &place, found);
            settings::cache_key_compiles(api, stage, resource, method, &place, found);
        }
    }
}

fn mappings_compile(
    api: &RestApi,
    stage: &Stage,
    resource: &Resource,
    method: &Method,
    place: &str,
    found: &mut Findings,
) {
    let facts = RouteFacts {
        api_id: api.id.as_str(),
        // Only put into values: any account compiles as this one does.
        account_id: "",
        stage: stage.name.as_str(),
        deployment_id: "",
        resource_id: resource.id.as_str(),
        resource_path: &resource.path,
        operation_name: method.operation_name.as_deref().unwrap_or_default(),
        stage_variables: &stage.variables,
        is_canary: None,
    };
    let integration = &method.integration;
    let kind = integration.kind;
    let before = found.list.len();
    // One by one, so that each that fails is named.
    for (target, source) in &integration.request_parameters {
        let one = IndexMap::from_iter([(target.clone(), source.clone())]);
        if let Err(err) = RequestMapping::compile(&one, kind, &facts) {
            let place = format!("{place} integration requestParameters {target}");
            found.add(place, err.to_string(), None);
        }
    }
    let templates = &integration.request_templates;
    if let Err(err) = RequestTemplates::compile(templates, integration.passthrough) {
        found.add(format!("{place} integration requestTemplates"), err.to_string(), None);
    }
    let compiles = |response: IntegrationResponse| {
        let alone = Integration { kind, responses: vec![response], ..Integration::default() };
        ResponseMapping::compile(&alone, &method.response_statuses, &facts).map(drop)
    };
    for response in &integration.responses {
        let place = format!("{place} integration integrationResponses {}", response.status_code);
        let status_code = response.status_code;
        for (target, source) in &response.response_parameters {
            let response_parameters = IndexMap::from_iter([(target.clone(), source.clone())]);
            let one = IntegrationResponse {
                status_code,
                response_parameters,
                ..IntegrationResponse::default()
            };
            if let Err(err) = compiles(one) {
                found.add(format!("{place} responseParameters {target}"), err.to_string(), None);
            }
        }
        let mut bare = response.clone();
        bare.response_parameters.clear();
        if let Err(err) = compiles(bare) {
            found.add(place.as_str(), err.to_string(), None);
        }
    }
    // Whatever else keeps a deployment from being compiled.
    if found.list.len() == before
        && let Err(err) = compile::flow(method, &facts)
    {
        found.add(format!("{place} integration"), err.to_string(), None);
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

fn entries(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    entries(list).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn is_true(value: &Value, name: &str) -> bool {
    value.get(name).is_some_and(truth)
}

/// Recorded: some of AWS's booleans travel as the texts `true` and `false`.
fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
