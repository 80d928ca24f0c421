//! What does the thing behind the route answer?
//!
//! An integration is compiled when an API is deployed: its URI taken apart, stage variables put in,
//! the backend's connections looked up once. A call brings its request and what `mapping` made of
//! its parameters; the answer is the backend's, with the header rules of its kind applied. Choosing
//! an integration response from it (HTTP, MOCK) is `mapping`'s business again.
//!
//! Not here: templates, what a function is told of a call; redirects are not followed.
//! AWS: "HTTP integrations for REST APIs in API Gateway", "Mock integrations for REST APIs", "AWS
//! integrations for REST APIs in API Gateway".

pub mod aws;
pub mod body;
mod endpoint;
mod forward;
mod functions;
mod headers;
pub mod lambda;
pub mod link;
pub mod streaming;
#[cfg(test)]
mod tests;
pub mod trace;
mod way;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use indexmap::IndexMap;
use tokio::time::Instant;
use uuid::Uuid;

use crate::call::{Body, BodyError, IntegrationReport, MappedParameters, Reply};
use crate::model::quotas;
use crate::model::rest_api::{self, IntegrationKind};
use crate::net::client::{HttpClient, Manner};
use crate::net::clock::Clock;
use aws::{Aws, AwsUri, Service};
use endpoint::Endpoint;
pub use endpoint::with_stage_variables;
use forward::Span;
pub use forward::unread;
pub use functions::FunctionCall;
use functions::FunctionTarget;
use lambda::InvokeError;
use lambda::endpoint::InvokeApi;
use lambda::local::LocalFunctions;
use link::Balancers;
pub use way::Access;
use way::Way;

/// What an operator may change.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest body of an answer, bytes.
    pub response_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { response_bytes_max: quotas::BODY_BYTES_MAX }
    }
}

/// Why an integration gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IntegrationError {
    /// The integration's timeout, or the time the call had left.
    #[error("no answer within {} ms", after.as_millis())]
    Timeout { after: Duration },
    /// Name, TCP, TLS or reading failed.
    #[error("network error communicating with the endpoint: {0}")]
    Network(Arc<str>),
    #[error("the endpoint refused the connection: {0}")]
    ConnectionRefused(Arc<str>),
    /// Not a URL once everything is put in.
    #[error("invalid endpoint address: {0}")]
    BadEndpoint(Arc<str>),
    #[error("configuration error: {0}")]
    Configuration(Arc<str>),
    /// Lambda takes POST alone, and the integration's HTTP method is the author's choice.
    #[error("a function is invoked by POST, and the integration's HTTP method is another")]
    NotPost,
    #[error("the answer is longer than {limit} bytes")]
    ResponseTooLarge { limit: u64 },
    /// The client's body was too long, broke off or came too slowly.
    #[error("the request's body: {0}")]
    RequestBody(BodyError),
    /// A function gave no answer.
    #[error(transparent)]
    Lambda(#[from] InvokeError),
}

/// An integration as a call uses it.
#[derive(Debug)]
pub struct CompiledIntegration {
    kind: Kind,
    timeout: Duration,
}

#[derive(Debug)]
enum Kind {
    /// A MOCK: its answer is made by mappings alone.
    Nothing,
    Http(Backend),
    HttpProxy(Backend),
    /// A function, with mappings or as a proxy.
    Function(FunctionTarget),
    Service(Result<Box<Service>, Arc<str>>),
}

#[derive(Debug)]
struct Backend {
    /// `None`: the client's.
    method: Option<Method>,
    endpoint: Result<Endpoint, Arc<str>>,
    api_id: HeaderValue,
    user_agent: HeaderValue,
    way: Way,
    manner: Manner,
    /// `responseTransferMode` is STREAM.
    is_streamed: bool,
}

impl CompiledIntegration {
    /// A URI that is no URL, for example because a stage variable is missing, is no error here: AWS
    /// answers 500 when the call comes.
    pub fn compile(
        integration: &rest_api::Integration,
        api_id: &str,
        stage_variables: &IndexMap<String, String>,
    ) -> Self {
        let backend = || Backend {
            method: method(integration),
            endpoint: Endpoint::compile(
                &integration.uri,
                stage_variables,
                integration.insecure_skip_verification,
            ),
            api_id: header_value(api_id),
            user_agent: header_value(&format!("AmazonAPIGateway_{api_id}")),
            way: Way::of(integration),
            manner: way::manner(integration),
            is_streamed: integration.is_streamed,
        };
        let kind = match integration.kind {
            IntegrationKind::Mock => Kind::Nothing,
            IntegrationKind::Http => Kind::Http(backend()),
            IntegrationKind::HttpProxy => Kind::HttpProxy(backend()),
            IntegrationKind::Aws | IntegrationKind::AwsProxy => {
                aws(integration, api_id, stage_variables)
            }
        };
        let timeout = Duration::from_millis(u64::from(integration.timeout_ms))
            .max(quotas::INTEGRATION_TIMEOUT_MIN);
        Self { kind, timeout }
    }

    /// URI and headers of what [`Integrations::answer`] will send, for the log of an execution.
    /// `None` where nothing can be sent.
    pub fn preview(
        &self,
        request: &IntegrationRequest<'_>,
        has_body: bool,
    ) -> Option<(String, HeaderMap)> {
        let (backend, outgoing) = match &self.kind {
            Kind::Http(backend) => (backend, forward::custom(backend, request, has_body)),
            Kind::HttpProxy(backend) => (backend, forward::proxy(backend, request)),
            Kind::Function(target) => return Some(target.preview(request)),
            Kind::Service(Ok(service)) => return service.preview(request, has_body),
            Kind::Nothing | Kind::Service(Err(_)) => return None,
        };
        let outgoing = outgoing.ok()?;
        let target = backend.endpoint.as_ref().ok()?.target(&request.mapped.path).ok()?;
        Some((format!("{target}{}", outgoing.path_and_query), outgoing.headers))
    }
}

/// A function where the URI invokes one, else a service of AWS's.
fn aws(
    integration: &rest_api::Integration,
    api_id: &str,
    stage_variables: &IndexMap<String, String>,
) -> Kind {
    let filled = |text: &str| with_stage_variables(text, stage_variables);
    let method = method(integration);
    let credentials = integration.credentials.as_deref().map(|role| Arc::from(filled(role)));
    let api = header_value(api_id);
    let user_agent = header_value(&format!("AmazonAPIGateway_{api_id}"));
    let uri = match AwsUri::parse(&filled(&integration.uri)) {
        Ok(uri) => uri,
        Err(why) => return Kind::Service(Err(why)),
    };
    match uri.function() {
        Some(function) => Kind::Function(FunctionTarget {
            function,
            aws_region: uri.aws_region,
            method,
            credentials,
            api_id: api,
            user_agent,
        }),
        None => {
            let service = Service::compile(uri, method, credentials, api, user_agent);
            Kind::Service(service.map(Box::new))
        }
    }
}

/// The integration's own verb; `None` is the client's.
fn method(integration: &rest_api::Integration) -> Option<Method> {
    let method = integration.http_method.as_deref()?;
    if method.eq_ignore_ascii_case("ANY") {
        return None;
    }
    Method::from_bytes(method.as_bytes()).ok()
}

/// An API id is letters and digits; anything else is not sent.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A call as the integration needs it, besides its body.
#[derive(Debug)]
pub struct IntegrationRequest<'c> {
    pub method: &'c Method,
    /// As the client sent it, without `?`.
    pub query: Option<&'c str>,
    /// The client's headers, untouched.
    pub headers: &'c HeaderMap,
    pub mapped: MappedParameters,
    pub peer: IpAddr,
    pub forwarded: Forwarded,
    /// `X-Amzn-Trace-Id` of this call, as [`trace::extend`] made it.
    pub trace_id: HeaderValue,
    /// The call's id, which Lambda is told.
    pub id: Uuid,
}

/// How the client reached the gateway, for `X-Forwarded-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `https` or `http`.
    pub proto: &'static str,
    pub port: u16,
}

/// All integrations of a node; what they share is the HTTP client.
#[derive(Clone, Debug)]
pub struct Integrations {
    config: Config,
    client: HttpClient,
    balancers: Balancers,
    /// Functions that this node runs itself.
    local: Option<LocalFunctions>,
    /// `None`: a node that calls neither functions nor services of others.
    aws: Option<Arc<(Aws, InvokeApi)>>,
}

impl Integrations {
    pub fn new(config: Config, client: HttpClient) -> Self {
        Self { config, client, balancers: Balancers::default(), local: None, aws: None }
    }

    /// The same with what VPC links lead to.
    pub fn with_balancers(self, balancers: Balancers) -> Self {
        Self { balancers, ..self }
    }

    /// The same with functions and services of others.
    ///
    /// # Errors
    /// What is wrong with an address.
    pub fn with_aws(self, config: aws::Config, clock: Clock) -> Result<Self, Arc<str>> {
        let invoke = InvokeApi::new(config.lambda.clone())?;
        let aws = Aws::new(config, self.client.clone(), clock)?;
        Ok(Self { aws: Some(Arc::new((aws, invoke))), ..self })
    }

    /// With functions that run here; others are asked of an endpoint.
    pub fn with_local(self, local: Option<LocalFunctions>) -> Self {
        Self { local, ..self }
    }

    /// The functions that run here.
    pub fn local(&self) -> Option<&LocalFunctions> {
        self.local.as_ref()
    }

    /// Asks the integration, at most until `deadline` and for its own timeout, which are for the whole
    /// answer; where it is streamed, for its head.
    ///
    /// HTTP_PROXY: the reply is what the client gets. HTTP and AWS: status and headers are the
    /// backend's (besides `X-Amzn-Trace-Id`) and go through `mapping::responses` next. A function
    /// as a proxy is asked by [`Integrations::invoke`].
    /// Dropping the future or the reply's body cancels the backend call.
    pub async fn answer(
        &self,
        request: &IntegrationRequest<'_>,
        body: Body,
        integration: &CompiledIntegration,
        deadline: Instant,
    ) -> Result<Reply, IntegrationError> {
        let began = Instant::now();
        let span = Span { began, deadline: deadline.min(began + integration.timeout) };
        let mut reply = match &integration.kind {
            Kind::Nothing => {
                let why = Arc::from("nothing stands behind the integration");
                return Err(IntegrationError::Configuration(why));
            }
            Kind::Http(backend) => {
                let has_body = !body.is_end_stream();
                let make = || forward::custom(backend, request, has_body);
                let response = self.ask(backend, request, &make, body, span).await?;
                forward::http(response, request)
            }
            Kind::HttpProxy(backend) => {
                let make = || forward::proxy(backend, request);
                forward::http_proxy(self.ask(backend, request, &make, body, span).await?)
            }
            Kind::Function(function) => {
                Box::pin(self.custom_function(function, request, body, began, deadline)).await?
            }
            Kind::Service(service) => {
                let service = service
                    .as_deref()
                    .map_err(|why| IntegrationError::BadEndpoint(Arc::clone(why)))?;
                Box::pin(self.ask_service(service, request, body, began, deadline)).await?
            }
        };
        let latency = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = reply.integration.as_ref().map_or(reply.status.as_u16(), |had| had.status);
        reply.integration =
            Some(IntegrationReport { status, latency_ms: latency, ..IntegrationReport::default() });
        Ok(reply)
    }
}
