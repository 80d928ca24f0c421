//! Model in, `Stage` out: everything that can be decided before a call comes is decided here.
//!
//! What cannot be compiled is an error with its place; nothing is left to fail at a call.

use std::sync::Arc;

use crate::auth::Authorizer;
use crate::cache::key::{KeyError, KeySource, KeyTemplate};
use crate::deployment::part::{Part, PartError};
use crate::deployment::router::{Router, RouterError};
use crate::deployment::snapshot::{
    AccessLog, CacheRules, CustomFlow, Flow, LambdaProxyFlow, PartHash, Route, Site, Stage,
};
use crate::integration::CompiledIntegration;
use crate::limits::Throttle;
use crate::mapping::CompileError;
use crate::mapping::content::BinaryTypes;
use crate::mapping::context::RouteFacts;
use crate::mapping::parameters::RequestMapping;
use crate::mapping::request::RequestSide;
use crate::mapping::responses::ResponseMapping;
use crate::model::rest_api::{IntegrationKind, Method, Resource};
use crate::model::stage::{MethodSettings, StageDeployment};
use crate::telemetry::access_log::{AccessLogError, AccessLogs, Format, FormatError};
use crate::telemetry::metrics::{Metrics, StageMeter};

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
    #[error("part: {0}")]
    Part(#[from] PartError),
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
        let StageDeployment { api, stage, .. } = deployment;
        let mut router = Router::new();
        let mut routes = Vec::new();
        for resource in &api.resources {
            for method in &resource.methods {
                router.insert(&resource.path, &method.http_method, routes.len())?;
                routes.push(route(deployment, &self.site.account_id, resource, method)?);
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
        Ok(assemble(deployment, &self.site.account_id, hash, parts))
    }
}

/// One method alone, for a test call: who may call it, its cache and its logs have no part.
pub fn only_route(
    deployment: &StageDeployment,
    account_id: &str,
) -> Result<Stage, DeploymentError> {
    let mut routes = Vec::new();
    for resource in &deployment.api.resources {
        for method in &resource.methods {
            routes.push(route(deployment, account_id, resource, method)?);
        }
    }
    let meter = Metrics::new().stage(&deployment.api.id, &deployment.stage.name);
    let parts = Parts { meter, access_log: None, routes, router: Router::new() };
    Ok(assemble(deployment, account_id, PartHash::default(), parts))
}

/// What of a stage is made and not copied.
struct Parts {
    meter: Arc<StageMeter>,
    access_log: Option<AccessLog>,
    routes: Vec<Route>,
    router: Router<usize>,
}

fn assemble(deployment: &StageDeployment, account_id: &str, hash: PartHash, parts: Parts) -> Stage {
    let StageDeployment { api, stage, .. } = deployment;
    let Parts { meter, access_log, routes, router } = parts;
    Stage {
        api: api.id.clone(),
        api_name: api.name.clone(),
        name: stage.name.clone(),
        deployment_id: deployment.deployment_id.clone(),
        account_id: account_id.to_owned(),
        variables: stage.variables.clone(),
        is_canary: stage.canary.is_some().then_some(false),
        hash,
        endpoint_type: api.endpoint_type,
        binary: BinaryTypes::new(&api.binary_media_types),
        minimum_compression_size: api.minimum_compression_size,
        cache_headers: stage.cache_headers,
        domains: deployment.domains.clone(),
        meter,
        access_log,
        routes,
        router,
    }
}

fn route(
    deployment: &StageDeployment,
    account_id: &str,
    resource: &Resource,
    method: &Method,
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
        is_canary: deployment.stage.canary.is_some().then_some(false),
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
        cache: cache_rules(deployment, resource, method, settings).map_err(|source| {
            DeploymentError::CacheKey {
                method: method.http_method.clone(),
                path: resource.path.clone(),
                source,
            }
        })?,
        flow,
        integration: CompiledIntegration::compile(
            integration,
            deployment.api.id.as_str(),
            &deployment.stage.variables,
        ),
        timeout_ms: method.integration.timeout_ms,
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
                is_lambda: kind == IntegrationKind::Aws && invokes_function(&integration.uri),
                request: RequestSide::compile(integration, facts)?,
                response: ResponseMapping::compile(integration, &method.response_statuses, facts)?,
            }))
        }
    })
}

/// `arn:aws:apigateway:{region}:lambda:path/…`.
fn invokes_function(uri: &str) -> bool {
    uri.split(':').nth(4) == Some("lambda")
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
/// Of an `ANY` method only GET is ever cached, and only by a setting of its own.
fn cache_rules(
    deployment: &StageDeployment,
    resource: &Resource,
    method: &Method,
    settings: &MethodSettings,
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
    }))
}

fn parameter_names(template: &str) -> Vec<String> {
    template
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_end_matches('+').to_owned())
        .collect()
}
