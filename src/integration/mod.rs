//! What does the thing behind the route answer?
//!
//! An integration is compiled when an API is deployed: its URI taken apart, stage variables put in,
//! the backend's connections looked up once. A call brings its request and what `mapping` made of
//! its parameters; the answer is the backend's, with the header rules of its kind applied. Choosing
//! an integration response from it (HTTP, MOCK) is `mapping`'s business again.
//!
//! Not here: templates, Lambda and AWS integrations, VPC links; redirects are not followed.
//! AWS: "HTTP integrations for REST APIs in API Gateway", "Mock integrations for REST APIs".

mod body;
mod endpoint;
mod forward;
mod headers;
pub mod lambda;

#[cfg(test)]
mod tests;
pub mod trace;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use indexmap::IndexMap;
use tokio::time::Instant;

use crate::call::{Body, BodyError, IntegrationReport, MappedParameters, Reply};
use crate::model::quotas;
use crate::model::rest_api::{self, IntegrationKind};
use crate::net::client::{Host, HttpClient};
use endpoint::Endpoint;

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
    #[error("the answer is longer than {limit} bytes")]
    ResponseTooLarge { limit: u64 },
    /// The client's body was too long, broke off or came too slowly.
    #[error("the request's body: {0}")]
    RequestBody(BodyError),
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
}

#[derive(Debug)]
struct Backend {
    /// `None`: the client's.
    method: Option<Method>,
    endpoint: Result<Endpoint, Arc<str>>,
    api_id: HeaderValue,
    user_agent: HeaderValue,
    /// Looked up by the first call.
    host: OnceLock<Arc<Host>>,
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
            method: integration
                .http_method
                .as_deref()
                .filter(|method| !method.eq_ignore_ascii_case("ANY"))
                .and_then(|method| Method::from_bytes(method.as_bytes()).ok()),
            endpoint: Endpoint::compile(
                &integration.uri,
                stage_variables,
                integration.insecure_skip_verification,
            ),
            api_id: header_value(api_id),
            user_agent: header_value(&format!("AmazonAPIGateway_{api_id}")),
            host: OnceLock::new(),
        };
        let kind = match integration.kind {
            IntegrationKind::Mock => Kind::Nothing,
            IntegrationKind::Http => Kind::Http(backend()),
            IntegrationKind::HttpProxy => Kind::HttpProxy(backend()),
            // Refused by `deployment::definition` before it comes here.
            IntegrationKind::Aws | IntegrationKind::AwsProxy => Kind::Nothing,
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
            Kind::Nothing => return None,
        };
        let outgoing = outgoing.ok()?;
        let origin = backend.endpoint.as_ref().ok()?.origin();
        Some((format!("{origin}{}", outgoing.path_and_query), outgoing.headers))
    }
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
}

impl Integrations {
    pub fn new(config: Config, client: HttpClient) -> Self {
        Self { config, client }
    }

    /// Asks the integration, at most until `deadline` and for its own timeout. What is left of both
    /// when the head has come is how long the body may keep its reader waiting in all; after that it
    /// ends with an error.
    ///
    /// HTTP_PROXY: the reply is what the client gets. HTTP: status and headers are the
    /// backend's (besides `X-Amzn-Trace-Id`) and go through `mapping::responses` next.
    /// Dropping the future or the reply's body cancels the backend call.
    pub async fn answer(
        &self,
        request: &IntegrationRequest<'_>,
        body: Body,
        integration: &CompiledIntegration,
        deadline: Instant,
    ) -> Result<Reply, IntegrationError> {
        let began = Instant::now();
        let deadline = deadline.min(began + integration.timeout);
        let mut reply = match &integration.kind {
            Kind::Nothing => {
                let why = Arc::from("nothing stands behind the integration");
                return Err(IntegrationError::Configuration(why));
            }
            Kind::Http(backend) => {
                let has_body = !body.is_end_stream();
                let make = || forward::custom(backend, request, has_body);
                let response = self.ask(backend, &make, body, began, deadline).await?;
                forward::http(response, request)
            }
            Kind::HttpProxy(backend) => {
                let make = || forward::proxy(backend, request);
                forward::http_proxy(self.ask(backend, &make, body, began, deadline).await?)
            }
        };
        let latency = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = reply.integration.as_ref().map_or(reply.status.as_u16(), |had| had.status);
        reply.integration =
            Some(IntegrationReport { status, latency_ms: latency, ..IntegrationReport::default() });
        Ok(reply)
    }
}
