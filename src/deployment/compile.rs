//! Model in, `Stage` out: everything that can be decided before a call comes is decided here.
//!
//! What cannot be compiled is an error with its place; nothing is left to fail at a call.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::Semaphore;

use crate::auth::Authorizer;
use crate::cache::key::{KeyError, KeySource, KeyTemplate};
use crate::call::ExtendedId;
use crate::deployment::part::{Part, PartError};
use crate::deployment::router::{Router, RouterError};
use crate::deployment::snapshot::{
    AccessLog, CacheRules, CanaryStage, CustomFlow, ExecutionLogging, Flow, LambdaProxyFlow,
    PartHash, Route, Site, Stage,
};
use crate::integration::{Access, CompiledIntegration, with_stage_variables};
use crate::limits::Throttle;
use crate::mapping::CompileError;
use crate::mapping::content::BinaryTypes;
use crate::mapping::context::RouteFacts;
use crate::mapping::gateway_responses::GatewayResponses;
use crate::mapping::parameters::RequestMapping;
use crate::mapping::request::RequestSide;
use crate::mapping::responses::ResponseMapping;
use crate::mapping::schema::{Models, SchemaError};
use crate::mapping::validation::RequestValidation;
use crate::model::rest_api::{IntegrationKind, Method, Resource, RestApi};
use crate::model::stage::{Canary, LoggingLevel, MethodSettings, StageDeployment};
use crate::telemetry::access_log::{AccessLogError, AccessLogs, Format, FormatError};
use crate::telemetry::metrics::{MethodKey, Metrics, StageMeter};

/// Long bodies that one stage compares with models at a time: ten megabytes of JSON can take 400 MB.
const LONG_BODIES_AT_ONCE: usize = 4;

/// Why a stage cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error(transparent)]
    Route(#[from] RouterError),
    #[error("{method} {path}: {source}")]
    Mapping { method: String, path: String, source: CompileError },
    #[error("access log format: {0}")]
    Format(#[from] FormatError),
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    #[error("{method} {path}: cache key: {source}")]
    CacheKey { method: String, path: String, source: KeyError },
    #[error("model {name}: {source}")]
    Model { name: String, source: SchemaError },
    #[error("gateway response {place}: {source}")]
    GatewayResponse { place: String, source: CompileError },
    #[error("part: {0}")]
    Part(#[from] PartError),
}

impl DeploymentError {
    /// One is enough here: who points a stage at a deployment is told of all of them.
    fn first_model(failed: Vec<(String, SchemaError)>) -> Self {
        let first = failed.into_iter().next();
        let (name, source) =
            first.unwrap_or_else(|| (String::new(), SchemaError::Unknown(String::new())));
        Self::Model { name, source }
    }

    fn first_gateway_response(failed: Vec<(String, CompileError)>) -> Self {
        let first = failed.into_iter().next();
        let (place, source) =
            first.unwrap_or_else(|| (String::new(), CompileError::BadKey { key: String::new() }));
        Self::GatewayResponse { place, source }
    }
}

/// The models by which methods of the API validate bodies.
pub(super) fn models(api: &RestApi) -> Result<Models, Vec<(String, SchemaError)>> {
    let methods = api.resources.iter().flat_map(|resource| &resource.methods);
    let bodies = methods.filter_map(|method| method.validation.as_ref()?.body.as_ref());
    let names = bodies.flat_map(|body| body.values()).map(String::as_str);
    Models::compile(api.id.as_str(), &api.models, names)
}

/// What compiling needs beside the model.
#[derive(Clone, Debug)]
pub struct Compiler {
    pub site: Arc<Site>,
    pub metrics: Arc<Metrics>,
    pub access_logs: AccessLogs,
}

impl Compiler {
    /// Compiles a stage in the region, and makes the part that edges get of it.
    pub fn region(&self, deployment: &StageDeployment) -> Result<(Stage, Part), DeploymentError> {
        let part = Part::of(deployment)?;
        Ok((self.stage(deployment, part.hash)?, part))
    }

    /// Compiles a stage; `hash` names the part it came from.
    pub fn stage(
        &self,
        deployment: &StageDeployment,
        hash: PartHash,
    ) -> Result<Stage, DeploymentError> {
        let Some(canary) = &deployment.stage.canary else {
            return self.one(deployment, hash, Half::default());
        };
        let half = Half { is_canary: Some(false), has_own_cache: false };
        let mut stage = self.one(deployment, hash, half)?;
        // A canary of the very same deployment gives the stage's answers (rest-data-plane 10).
        let differs = canary.deployment_id != deployment.deployment_id;
        let has_own_cache = differs && !canary.use_stage_cache;
        let half = Half { is_canary: Some(true), has_own_cache };
        let compiled = self.one(&of_canary(deployment, canary), canary_hash(&hash), half)?;
        stage.canary =
            Some(CanaryStage { stage: Arc::new(compiled), draws: draws(canary.percent_traffic) });
        Ok(stage)
    }

    /// One deployment of a stage.
    fn one(
        &self,
        deployment: &StageDeployment,
        hash: PartHash,
        half: Half,
    ) -> Result<Stage, DeploymentError> {
        let StageDeployment { api, stage, .. } = deployment;
        let mut router = Router::new();
        let mut routes = Vec::new();
        let models = models(api).map_err(DeploymentError::first_model)?;
        let account_id = self.site.account_id.as_str();
        for resource in &api.resources {
            for method in &resource.methods {
                router.insert(&resource.path, &method.http_method, routes.len())?;
                routes.push(self.route(deployment, resource, method, &models, half)?);
            }
        }
        let access_log = match &stage.access_log {
            Some(settings) => Some(AccessLog {
                format: Format::compile(&settings.format)?,
                log: self.access_logs.open(&settings.destination)?,
            }),
            None => None,
        };
        let meter = self.metrics.stage(&api.id, &stage.name);
        let parts = Parts { meter, access_log, routes, router };
        let mut compiled = assemble(deployment, account_id, hash, parts)?;
        compiled.is_canary_request = half.is_canary;
        Ok(compiled)
    }

    fn route(
        &self,
        deployment: &StageDeployment,
        resource: &Resource,
        method: &Method,
        models: &Models,
        half: Half,
    ) -> Result<Route, DeploymentError> {
        let settings = settings(deployment, resource, method);
        let account_id = &self.site.account_id;
        let mut route = route(deployment, account_id, resource, method, models, half)?;
        route.meter = settings.metrics.then(|| {
            self.metrics.method(MethodKey {
                api: deployment.api.id.clone(),
                stage: deployment.stage.name.clone(),
                method: method.http_method.clone(),
                resource: resource.path.clone(),
            })
        });
        route.execution_log = match settings.logging_level {
            LoggingLevel::Off => None,
            level => Some(ExecutionLogging {
                errors_only: level == LoggingLevel::Error,
                shows_data: settings.data_trace,
                log: self.access_logs.open(&execution_log_file(deployment, half))?,
            }),
        };
        Ok(route)
    }
}

/// The file that stands for AWS's log group `API-Gateway-Execution-Logs_{api}/{stage}`, and for
/// `…/{stage}/Canary`. Ids and names of stages have no character that a file's name cannot have;
/// what comes from elsewhere is made so.
fn execution_log_file(deployment: &StageDeployment, half: Half) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let name = format!("{}-{}", deployment.api.id, deployment.stage.name);
    let name: String = name.chars().map(plain).take(LOG_NAME_BYTES_MAX).collect();
    let canary = if half.is_canary == Some(true) { "-canary" } else { "" };
    format!("execution-{name}{canary}.log")
}

/// Bytes taken of an API's and a stage's name for the log's file; file systems allow 255.
const LOG_NAME_BYTES_MAX: usize = 200;

/// Which deployment of a stage is compiled.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    /// `$context.isCanaryRequest`; `None` where the stage has no canary.
    is_canary: Option<bool>,
    /// Whether its answers are cached apart from the stage's.
    has_own_cache: bool,
}

/// One method alone, for a test call: who may call it, its cache and its logs have no part.
pub fn only_route(
    deployment: &StageDeployment,
    account_id: &str,
) -> Result<Stage, DeploymentError> {
    let models = models(&deployment.api).map_err(DeploymentError::first_model)?;
    let mut routes = Vec::new();
    for resource in &deployment.api.resources {
        for method in &resource.methods {
            routes.push(route(deployment, account_id, resource, method, &models, Half::default())?);
        }
    }
    let meter = Metrics::new().stage(&deployment.api.id, &deployment.stage.name);
    let parts = Parts { meter, access_log: None, routes, router: Router::new() };
    let stage = assemble(deployment, account_id, PartHash::default(), parts)?;
    Ok(Stage { tells_validation_errors: true, ..stage })
}

/// What of a stage is made and not copied.
struct Parts {
    meter: Arc<StageMeter>,
    access_log: Option<AccessLog>,
    routes: Vec<Route>,
    router: Router<usize>,
}

fn assemble(
    deployment: &StageDeployment,
    account_id: &str,
    hash: PartHash,
    parts: Parts,
) -> Result<Stage, DeploymentError> {
    let StageDeployment { api, stage, .. } = deployment;
    let Parts { meter, access_log, routes, router } = parts;
    let gateway_responses = GatewayResponses::compile(&api.gateway_responses)
        .map_err(DeploymentError::first_gateway_response)?;
    let is_logged = access_log.as_ref().is_some_and(|log| log.format.wants().validation_error);
    Ok(Stage {
        tells_validation_errors: is_logged || gateway_responses.show_validation_errors(),
        gateway_responses,
        long_bodies: Arc::new(Semaphore::new(LONG_BODIES_AT_ONCE)),
        api: api.id.clone(),
        api_name: api.name.clone(),
        name: stage.name.clone(),
        deployment_id: deployment.deployment_id.clone(),
        account_id: account_id.to_owned(),
        variables: stage.variables.clone(),
        hash,
        canary: None,
        is_canary_request: None,
        endpoint_type: api.endpoint_type,
        binary: BinaryTypes::new(&api.binary_media_types),
        minimum_compression_size: api.minimum_compression_size,
        cache_headers: stage.cache_headers,
        domains: deployment.domains.clone(),
        routing_rules: deployment.routing_rules.clone(),
        default_endpoint_disabled: api.default_endpoint_disabled,
        meter,
        access_log,
        routes,
        router,
    })
}

fn route(
    deployment: &StageDeployment,
    account_id: &str,
    resource: &Resource,
    method: &Method,
    models: &Models,
    half: Half,
) -> Result<Route, DeploymentError> {
    let settings = settings(deployment, resource, method);
    let facts = RouteFacts {
        api_id: deployment.api.id.as_str(),
        account_id,
        stage: deployment.stage.name.as_str(),
        deployment_id: deployment.deployment_id.as_str(),
        resource_id: resource.id.as_str(),
        resource_path: &resource.path,
        operation_name: method.operation_name.as_deref().unwrap_or_default(),
        stage_variables: &deployment.stage.variables,
        is_canary: half.is_canary,
    };
    let at = |source: CompileError| DeploymentError::Mapping {
        method: method.http_method.clone(),
        path: resource.path.clone(),
        source,
    };
    let integration = &method.integration;
    let flow = flow(method, &facts).map_err(at)?;
    Ok(Route {
        resource_id: resource.id.clone(),
        resource_path: resource.path.clone(),
        operation_name: method.operation_name.clone(),
        parameter_names: parameter_names(&resource.path),
        authorizer: Authorizer::None,
        throttle: Throttle::from(settings),
        validation: RequestValidation::compile(method, models),
        cache: cache_rules(deployment, resource, method, settings, half.has_own_cache).map_err(
            |source| DeploymentError::CacheKey {
                method: method.http_method.clone(),
                path: resource.path.clone(),
                source,
            },
        )?,
        flow,
        integration: CompiledIntegration::compile(
            integration,
            deployment.api.id.as_str(),
            &deployment.stage.variables,
        )
        .reached(integration, access(deployment)),
        timeout_ms: method.integration.timeout_ms,
        is_streamed: integration.is_streamed,
        meter: None,
        execution_log: None,
    })
}

/// The mappings of a method.
///
/// # Errors
/// The first that cannot be compiled.
pub fn flow(method: &Method, facts: &RouteFacts<'_>) -> Result<Flow, CompileError> {
    let integration = &method.integration;
    let kind = integration.kind;
    let mapping = || RequestMapping::compile(&integration.request_parameters, kind, facts);
    Ok(match kind {
        IntegrationKind::HttpProxy => Flow::HttpProxy(mapping()?),
        IntegrationKind::AwsProxy => {
            Flow::LambdaProxy(Box::new(LambdaProxyFlow { mapping: mapping()? }))
        }
        IntegrationKind::Http | IntegrationKind::Mock | IntegrationKind::Aws => {
            Flow::Custom(Box::new(CustomFlow {
                kind,
                is_lambda: kind == IntegrationKind::Aws
                    && invokes_function(&with_stage_variables(
                        &integration.uri,
                        facts.stage_variables,
                    )),
                request: RequestSide::compile(integration, facts)?,
                response: ResponseMapping::compile(integration, &method.response_statuses, facts)?,
            }))
        }
    })
}

/// `arn:aws:apigateway:{region}:lambda:path/…`, once the stage's variables are put in: each part
/// may come from one.
fn invokes_function(uri: &str) -> bool {
    uri.split(':').nth(4) == Some("lambda")
}

/// The stage as its canary's calls see it.
pub(super) fn of_canary(deployment: &StageDeployment, canary: &Canary) -> StageDeployment {
    let mut deployment = deployment.clone();
    deployment.deployment_id = canary.deployment_id.clone();
    deployment.api = canary.api.clone();
    deployment.stage.variables = canary.variables.clone();
    deployment.stage.canary = None;
    deployment
}

/// Names the canary's half of a part.
fn canary_hash(part: &PartHash) -> PartHash {
    let mut hash = [0; 32];
    let mut context = Context::new(&SHA256);
    context.update(part);
    context.update(b"canary");
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// How many of all draws `percent` are.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn draws(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) / 100.0 * f64::from(ExtendedId::DRAWS)).round() as u32
}

/// How the stage reaches its backends.
fn access(deployment: &StageDeployment) -> Access<'_> {
    Access {
        stage_variables: &deployment.stage.variables,
        vpc_links: &deployment.vpc_links,
        client_certificate: deployment.stage.client_certificate.as_ref(),
    }
}

/// The settings that hold for a method: its own, else the stage's.
fn settings<'d>(
    deployment: &'d StageDeployment,
    resource: &Resource,
    method: &Method,
) -> &'d MethodSettings {
    let own = deployment.stage.methods.get(&resource.method_key(method));
    own.unwrap_or(&deployment.stage.defaults)
}

/// GET is cached unless switched off; another verb only where a setting of its own switches it on.
/// Of an `ANY` method only GET is ever cached, and only by a setting of its own. An answer that is
/// streamed is never kept ("Stream the integration response").
fn cache_rules(
    deployment: &StageDeployment,
    resource: &Resource,
    method: &Method,
    settings: &MethodSettings,
    has_own_cache: bool,
) -> Result<Option<CacheRules>, KeyError> {
    let is_get = method.http_method == "GET";
    let own = deployment.stage.methods.contains_key(&resource.method_key(method));
    let wanted = match settings.caching_enabled {
        Some(enabled) => enabled && (own || is_get),
        None => is_get,
    };
    // AWS: "Stream the integration response": there is no cache for it.
    let can = deployment.stage.cache_enabled && !method.integration.is_streamed;
    if !(can && wanted && settings.cache_ttl_seconds > 0) {
        return Ok(None);
    }
    let namespace = method.integration.cache_namespace.as_deref();
    let verb = if method.http_method == "ANY" { "GET" } else { &method.http_method };
    let key = KeyTemplate::compile(&KeySource {
        api: &deployment.api.id,
        stage: &deployment.stage.name,
        canary: has_own_cache.then_some(&deployment.deployment_id),
        namespace: namespace.unwrap_or(resource.id.as_str()),
        namespace_is_shared: namespace.is_some_and(|name| name != resource.id.as_str()),
        http_method: verb,
        resource_path: &resource.path,
        parameters: &method.integration.cache_key_parameters,
    })?;
    Ok(Some(CacheRules {
        key,
        verb: verb.parse().unwrap_or(http::Method::GET),
        ttl_seconds: settings.cache_ttl_seconds,
        require_authorization: settings.require_authorization_for_cache_control,
        unauthorized: settings.unauthorized_cache_control,
        is_memory_only: settings.cache_data_encrypted,
    }))
}

fn parameter_names(template: &str) -> Vec<String> {
    template
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_end_matches('+').to_owned())
        .collect()
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
