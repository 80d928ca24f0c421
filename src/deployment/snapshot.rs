//! The compiled form of everything deployed: immutable, shared, swapped as a whole.
//!
//! A call takes one `Arc<Stage>` at `resolve` and keeps it to its end, so a change of configuration
//! never tears a call in flight.
//!
//! AWS: API Gateway Developer Guide, "Invoke REST APIs in API Gateway" (host and path forms),
//! "Use API mappings to connect API stages to a custom domain name for REST APIs".

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderMap;
use http::Method;
use http::header::{AUTHORIZATION, HOST};
use indexmap::IndexMap;
use tokio::sync::Semaphore;

use crate::auth::Authorizer;
use crate::cache::key::KeyTemplate;
use crate::call::{Call, Door, ExtendedId};
use crate::deployment::domains::{Domains, Matched, Nowhere, Target, staged};
use crate::deployment::router::Router;
use crate::integration::CompiledIntegration;
use crate::limits::Throttle;
use crate::mapping::content::BinaryTypes;
use crate::mapping::context::{PathParameters, RouteFacts};
use crate::mapping::gateway_responses::GatewayResponses;
use crate::mapping::parameters::RequestMapping;
use crate::mapping::request::RequestSide;
use crate::mapping::responses::ResponseMapping;
use crate::mapping::validation::RequestValidation;
use crate::model::ids::{ApiId, DeploymentId, ResourceId, StageName};
use crate::model::quotas;
use crate::model::rest_api::{EndpointType, IntegrationKind};
use crate::model::stage::{BasePathMapping, RoutingRule, UnauthorizedCacheControl};
use crate::telemetry::access_log::{self, Format};
use crate::telemetry::metrics::StageMeter;

/// SHA-256 of a stage's part, as edges fetch it.
pub type PartHash = [u8; 32];

/// Everything deployed, at one epoch.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub epoch: u64,
    pub(super) apis: HashMap<Box<str>, Vec<Arc<Stage>>>,
    pub(super) domains: Domains,
    pub(super) site: Arc<Site>,
}

/// What the deployment of a cluster has in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// `us-east-1`.
    pub aws_region: String,
    /// Twelve digits.
    pub account_id: String,
    /// `gateway.localhost`.
    pub domain: String,
    /// No edges: the region's public door serves edge-optimized APIs as well.
    pub regional_only: bool,
}

/// One stage, compiled.
#[derive(Debug)]
pub struct Stage {
    pub api: ApiId,
    /// For people: the definition's title, or the topology's name for it.
    pub api_name: String,
    pub name: StageName,
    pub deployment_id: DeploymentId,
    /// Twelve digits.
    pub account_id: String,
    /// At an edge only those that gateway responses show.
    pub variables: IndexMap<String, String>,
    pub hash: PartHash,
    /// Another deployment that some of the calls go to.
    pub canary: Option<CanaryStage>,
    /// `$context.isCanaryRequest`; `None` where the stage has no canary.
    pub is_canary_request: Option<bool>,
    pub endpoint_type: EndpointType,
    pub binary: BinaryTypes,
    pub minimum_compression_size: Option<u32>,
    pub cache_headers: bool,
    pub domains: Vec<BasePathMapping>,
    pub routing_rules: Vec<RoutingRule>,
    /// Reachable by custom domain names only.
    pub default_endpoint_disabled: bool,
    pub meter: Arc<StageMeter>,
    pub access_log: Option<AccessLog>,
    pub gateway_responses: GatewayResponses,
    /// Whether anybody is told what is wrong with a body: a gateway response, the access log.
    pub tells_validation_errors: bool,
    /// For those who compare a long body with its model: each takes many times its length.
    pub long_bodies: Arc<Semaphore>,
    pub routes: Vec<Route>,
    pub(super) router: Router<usize>,
}

/// A stage's canary, compiled like a stage of its own.
#[derive(Debug)]
pub struct CanaryStage {
    pub stage: Arc<Stage>,
    /// Of [`ExtendedId::DRAWS`] draws: those below it go to the canary.
    pub draws: u32,
}

/// Where a stage's access log goes, and in which form.
#[derive(Debug)]
pub struct AccessLog {
    pub format: Format,
    pub log: Arc<access_log::AccessLog>,
}

/// The compiled form of one method of one resource.
#[derive(Debug)]
pub struct Route {
    pub resource_id: ResourceId,
    /// The template, `/pets/{id}`.
    pub resource_path: String,
    /// `None`, or what the definition calls the method.
    pub operation_name: Option<String>,
    /// Names of the path parameters, outermost first.
    pub parameter_names: Vec<String>,
    pub authorizer: Authorizer,
    pub throttle: Throttle,
    /// `None` where nothing is asked of requests.
    pub validation: Option<RequestValidation>,
    pub cache: Option<CacheRules>,
    pub flow: Flow,
    pub integration: CompiledIntegration,
    /// Time the integration may take, milliseconds.
    pub timeout_ms: u32,
    /// The client sees each piece of an answer when it comes.
    pub is_streamed: bool,
    /// The method's own numbers, where its settings ask for them.
    pub meter: Option<Arc<StageMeter>>,
    /// `None` where the method's settings say OFF.
    pub execution_log: Option<ExecutionLogging>,
}

/// What the execution log gets of a method's calls, and where that is.
#[derive(Debug)]
pub struct ExecutionLogging {
    /// Only of calls that fail.
    pub errors_only: bool,
    /// Bodies and headers as well.
    pub shows_data: bool,
    pub log: Arc<access_log::AccessLog>,
}

/// What is done with a call before its integration is asked and after it has answered.
#[derive(Debug)]
pub enum Flow {
    /// The client's request goes on, with parameters put in.
    HttpProxy(RequestMapping),
    /// HTTP, AWS and MOCK: only what is mapped crosses, in both directions.
    Custom(Box<CustomFlow>),
    /// A function gets the call as an event.
    LambdaProxy(Box<LambdaProxyFlow>),
}

#[derive(Debug)]
pub struct CustomFlow {
    pub kind: IntegrationKind,
    /// Whether the answer is a function's: then its error message chooses the response.
    pub is_lambda: bool,
    pub request: RequestSide,
    pub response: ResponseMapping,
}

#[derive(Debug)]
pub struct LambdaProxyFlow {
    /// Without effect but for headers that may not be set.
    pub mapping: RequestMapping,
}

/// How answers of a route are cached; absent where they are not.
#[derive(Debug)]
pub struct CacheRules {
    pub key: KeyTemplate,
    /// The one verb that is cached; an `ANY` route serves others as well.
    pub verb: Method,
    pub ttl_seconds: u32,
    /// Only an authorized caller may bypass the cache with `Cache-Control: max-age=0`.
    pub require_authorization: bool,
    /// What a caller gets who may not and tries.
    pub unauthorized: UnauthorizedCacheControl,
    /// `cacheDataEncrypted`: answers are never written to disk.
    pub is_memory_only: bool,
}

/// Which route a call means, and where in its path the parameters lie.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub stage: Arc<Stage>,
    route: usize,
    /// Where the path below the stage begins within the request's path.
    base: usize,
    parameters: Vec<Range<usize>>,
    /// By which entry of a custom domain the call came.
    matched: Option<Arc<Matched>>,
}

/// Why a call means no route.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("no API answers under `{0}`")]
    UnknownHost(String),
    #[error("there is no API `{0}`")]
    UnknownApi(String),
    #[error("API `{api}` has no stage `{stage}`")]
    UnknownStage { api: ApiId, stage: String },
    #[error("API `{0}` is not served at this door")]
    WrongDoor(ApiId),
    #[error("no routing rule of `{0}` fits")]
    NoRule(String),
    #[error("API `{0}` is reachable by its custom domain names only")]
    EndpointDisabled(ApiId),
    /// No call of an API: the service's own health check.
    #[error("a health check")]
    HealthCheck,
    #[error("API `{}`, stage `{}` has no method for this path", .stage.api, .stage.name)]
    NoRoute { stage: Arc<Stage>, matched: Option<Arc<Matched>> },
    #[error("the method's ARN has more than 1,600 bytes")]
    ArnTooLong,
}

/// Selects the API at a private listener whatever the host says.
const API_ID_HEADER: &str = "x-apigw-api-id";

impl Snapshot {
    /// Finds the route of a call.
    pub fn resolve(&self, call: &Call) -> Result<Resolved, ResolveError> {
        let path = call.head.uri.path();
        let target = self.target(call, path)?;
        let Some(stage) = self.stage(target.api, target.stage) else {
            return Err(self.missing(target.api, target.stage));
        };
        let stage = stage.drawn(&call.extended_id);
        if stage.default_endpoint_disabled && target.matched.is_none() {
            return Err(ResolveError::EndpointDisabled(stage.api.clone()));
        }
        if !self.admits(stage.endpoint_type, &call.connection.door) {
            return Err(ResolveError::WrongDoor(stage.api.clone()));
        }
        let rest = trim_slashes(path, target.rest);
        let below = path.get(rest..).filter(|below| !below.is_empty()).unwrap_or("/");
        if arn_length(&self.site, stage, &call.head.method, below) > quotas::METHOD_ARN_BYTES_MAX {
            return Err(ResolveError::ArnTooLong);
        }
        let mut found = Vec::new();
        let Some(route) = stage.router.find(&call.head.method, below, &mut found) else {
            let stage = Arc::clone(stage);
            return Err(ResolveError::NoRoute { stage, matched: target.matched });
        };
        let parameters = found.into_iter().map(|(_, range)| range).collect();
        let (stage, matched) = (Arc::clone(stage), target.matched);
        Ok(Resolved { stage, route: *route, base: rest, parameters, matched })
    }

    /// The same for a call an edge resolved, provided this snapshot has the very content the edge
    /// resolved it with.
    pub fn resolve_for_edge(
        &self,
        api: &str,
        stage: &str,
        hash: &PartHash,
        call: &Call,
    ) -> Option<Resolved> {
        let known = self.stage(api, stage)?;
        let canary = known.canary.as_ref().map(|canary| &canary.stage);
        let known = [Some(known), canary].into_iter().flatten().find(|own| own.hash == *hash)?;
        self.resolve(call).ok().filter(|resolved| Arc::ptr_eq(&resolved.stage, known))
    }

    pub fn stage(&self, api: &str, name: &str) -> Option<&Arc<Stage>> {
        self.apis.get(api)?.iter().find(|stage| stage.name.as_str() == name)
    }

    pub fn stages(&self) -> impl Iterator<Item = &Arc<Stage>> {
        self.apis.values().flatten()
    }

    fn missing(&self, api: &str, stage: &str) -> ResolveError {
        if self.apis.contains_key(api) {
            ResolveError::UnknownStage { api: ApiId::new(api), stage: stage.to_owned() }
        } else {
            ResolveError::UnknownApi(api.to_owned())
        }
    }

    fn admits(&self, endpoint: EndpointType, door: &Door) -> bool {
        match (endpoint, door) {
            (EndpointType::Edge, Door::Edge) => true,
            (EndpointType::Edge, Door::Region) => self.site.regional_only,
            (EndpointType::Regional, Door::Region) => true,
            (EndpointType::Private, Door::Private) => true,
            (_, Door::Tunnel { .. }) => true,
            _ => false,
        }
    }

    /// Host and path say which API and stage are meant.
    fn target<'c>(&'c self, call: &'c Call, path: &'c str) -> Result<Target<'c>, ResolveError> {
        if call.connection.door == Door::Private
            && let Some(api) = call.head.headers.get(API_ID_HEADER)
        {
            let api = lower(api.to_str().unwrap_or_default());
            return Ok(staged(path, self.known(&api)?));
        }
        let host = host(call);
        let host = lower(host);
        if let Some(api) = self.api_of_host(&host) {
            let api = self.known(api)?;
            return if is_reserved(path) {
                Err(ResolveError::HealthCheck)
            } else {
                Ok(staged(path, api))
            };
        }
        if let Some(domain) = self.domains.find(&host) {
            if is_reserved(path) {
                return Err(ResolveError::HealthCheck);
            }
            return domain.target(path, &call.head.headers).map_err(|nowhere| match nowhere {
                Nowhere::NoMapping => ResolveError::UnknownHost(host.into_owned()),
                Nowhere::NoRule => ResolveError::NoRule(host.into_owned()),
            });
        }
        match path_style(path) {
            Some((api, rest)) => {
                let mut target = staged(path.get(rest..).unwrap_or_default(), api);
                target.rest += rest;
                Ok(target)
            }
            None => Err(ResolveError::UnknownHost(host.into_owned())),
        }
    }

    /// `{api}.execute-api.{region}.{domain}` or, private, `{api}-{vpce}.execute-api.…`.
    fn api_of_host<'h>(&self, host: &'h str) -> Option<&'h str> {
        let (label, rest) = host.split_once('.')?;
        let rest = rest.strip_prefix("execute-api.")?;
        let domain = rest.strip_prefix(self.site.aws_region.as_str())?.strip_prefix('.')?;
        let known = domain == self.site.domain || AWS_DOMAINS.contains(&domain);
        known.then(|| label.split_once("-vpce-").map_or(label, |(api, _)| api))
    }

    /// The API's own text, so that the target does not borrow from a temporary host.
    fn known(&self, api: &str) -> Result<&str, ResolveError> {
        match self.apis.get_key_value(api) {
            Some((api, _)) => Ok(api),
            None => Err(ResolveError::UnknownApi(api.to_owned())),
        }
    }
}

/// Clients written for AWS may keep its host name and only connect elsewhere.
const AWS_DOMAINS: [&str; 2] = ["amazonaws.com", "amazonaws.com.cn"];
/// Prefix of the form that needs no host name of its own: `/_api/{api}/{stage}/…`.
pub const PATH_STYLE: &str = "/_api/";

/// Paths that the service keeps for its health check, at the root of each of its host names.
/// AWS: "Amazon API Gateway important notes".
fn is_reserved(path: &str) -> bool {
    matches!(path, "/ping" | "/sping")
}

fn path_style(path: &str) -> Option<(&str, usize)> {
    let after = path.strip_prefix(PATH_STYLE)?;
    let end = memchr::memchr(b'/', after.as_bytes()).unwrap_or(after.len());
    Some((after.get(..end)?, PATH_STYLE.len() + end))
}

/// Collapses leading slashes of the path below the stage, leaving the last of them.
fn trim_slashes(path: &str, rest: usize) -> usize {
    let below = path.get(rest..).unwrap_or_default();
    let slashes = below.len() - below.trim_start_matches('/').len();
    rest + slashes.saturating_sub(1)
}

/// The authority the client asked for, without its port.
pub fn host(call: &Call) -> &str {
    let named = match call.head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => call.head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
    };
    let end = if named.starts_with('[') {
        named.find(']').map_or(named.len(), |end| end + 1)
    } else {
        memchr::memchr(b':', named.as_bytes()).unwrap_or(named.len())
    };
    named.get(..end).unwrap_or_default().trim_end_matches('.')
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Length of `arn:aws:execute-api:{region}:{account}:{api}/{stage}/{VERB}/{path}`.
fn arn_length(site: &Site, stage: &Stage, method: &Method, below: &str) -> usize {
    "arn:aws:execute-api:::///".len()
        + site.aws_region.len()
        + site.account_id.len()
        + stage.api.as_str().len()
        + stage.name.as_str().len()
        + method.as_str().len()
        + below.len().saturating_sub(1)
}

impl Resolved {
    /// A call of `stage`'s only route, whatever its path. `parameters` lie within the path.
    pub fn only_route(stage: Arc<Stage>, parameters: Vec<Range<usize>>) -> Self {
        Self { stage, route: 0, base: 0, parameters, matched: None }
    }

    pub fn route(&self) -> &Route {
        &self.stage.routes[self.route]
    }

    /// By which entry of a custom domain the call came; `None` at the API's own host.
    pub fn matched(&self) -> Option<&Matched> {
        self.matched.as_deref()
    }

    /// Where the path below the stage begins within the request's path.
    pub fn base(&self) -> usize {
        self.base
    }

    /// The path below the stage, undecoded; begins with `/`.
    pub fn path<'c>(&self, call: &'c Call) -> &'c str {
        call.head.uri.path().get(self.base..).filter(|path| !path.is_empty()).unwrap_or("/")
    }

    /// All path parameters, undecoded.
    pub fn parameters<'c>(&'c self, call: &'c Call) -> PathParameters<'c> {
        PathParameters {
            names: &self.route().parameter_names,
            path: self.path(call),
            ranges: &self.parameters,
        }
    }

    /// What the route fixes of `$context`.
    pub fn facts(&self) -> RouteFacts<'_> {
        let route = self.route();
        RouteFacts {
            resource_id: route.resource_id.as_str(),
            resource_path: &route.resource_path,
            operation_name: route.operation_name.as_deref().unwrap_or_default(),
            ..self.stage.facts()
        }
    }

    /// A path parameter's text, undecoded.
    pub fn parameter<'c>(&self, call: &'c Call, name: &str) -> Option<&'c str> {
        let names = &self.route().parameter_names;
        let range = self.parameters.get(names.iter().position(|own| own == name)?)?;
        self.path(call).get(range.clone())
    }
}

impl Stage {
    /// The stage or its canary, as the call drew.
    fn drawn<'s>(self: &'s Arc<Self>, id: &ExtendedId) -> &'s Arc<Self> {
        match &self.canary {
            Some(canary) if id.draw() < canary.draws => &canary.stage,
            _ => self,
        }
    }

    /// What the stage fixes of `$context`, for a call that means no route of it.
    pub fn facts(&self) -> RouteFacts<'_> {
        RouteFacts {
            api_id: self.api.as_str(),
            account_id: &self.account_id,
            stage: self.name.as_str(),
            deployment_id: self.deployment_id.as_str(),
            resource_id: "",
            resource_path: "",
            operation_name: "",
            stage_variables: &self.variables,
            is_canary: self.is_canary_request,
        }
    }

    /// A path a plain GET can ask for: the shortest resource without parameters that has GET, else
    /// the root.
    pub fn example_path(&self) -> String {
        let plain = self.routes.iter().filter(|route| {
            route.parameter_names.is_empty()
                && self.router.find(&Method::GET, &route.resource_path, &mut Vec::new()).is_some()
        });
        let paths = plain.map(|route| route.resource_path.as_str());
        paths.min_by_key(|path| (path.len(), *path)).unwrap_or("/").to_owned()
    }
}

/// Whether an `Authorization` header is there that cannot be a SigV4 signature: AWS then complains
/// of the signature's form instead of a missing token.
pub fn unsigned_authorization(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    (!value.starts_with(b"AWS4-HMAC-SHA256")).then_some(value)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
