//! Lambda functions and services of AWS's as integrations: asked with mapped values, or, for a
//! function as a proxy, with the event somebody else made.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use super::aws::service::{Failure, whole};
use super::aws::{Function, Service, ssm_query};
use super::headers::{API_ID, TRACE_ID};
use super::lambda::endpoint::{INTEGRATION_TAG, Sender};
use super::lambda::{Invocation, InvocationKind, InvokeError, Invoked};
use super::{
    CompiledIntegration, IntegrationError, IntegrationRequest, Integrations, Kind, forward,
    streaming,
};
use crate::call::{Body, IntegrationReport, MappedParameters, Reply};

/// A compiled integration with a function.
#[derive(Debug)]
pub(super) struct FunctionTarget {
    pub(super) function: Function,
    pub(super) aws_region: String,
    /// Lambda takes POST alone; any other verb is the author's mistake. `None`: the client's.
    pub(super) method: Option<Method>,
    pub(super) credentials: Option<Arc<str>>,
    pub(super) api_id: HeaderValue,
    pub(super) user_agent: HeaderValue,
}

/// One invocation for one call.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    /// The client's.
    pub method: Method,
    /// The event, JSON.
    pub payload: Bytes,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: HeaderValue,
    /// The call's request id.
    pub tag: Option<HeaderValue>,
}

impl CompiledIntegration {
    /// Whether the integration's URI invokes a function so that its answer streams.
    pub fn is_streamed_function(&self) -> bool {
        matches!(&self.kind, Kind::Function(target) if target.function.is_streamed)
    }
}

impl Integrations {
    /// Invokes the function of a proxy integration and waits until its answer begins: for the
    /// integration's own time, and at most until `deadline`.
    ///
    /// # Errors
    /// Also where the integration is none of a function, or has another verb than POST.
    pub async fn invoke(
        &self,
        call: FunctionCall,
        integration: &CompiledIntegration,
        deadline: Instant,
    ) -> Result<(Invoked, IntegrationReport), IntegrationError> {
        let began = Instant::now();
        let deadline = deadline.min(began + integration.timeout);
        let target = match &integration.kind {
            Kind::Function(target) => target,
            Kind::Service(Err(why)) => return Err(IntegrationError::BadEndpoint(why.clone())),
            _ => return Err(configuration("the integration's URI invokes no function")),
        };
        if target.method.as_ref().unwrap_or(&call.method) != Method::POST {
            return Err(IntegrationError::NotPost);
        }
        let invocation = Invocation {
            function: target.function.name.clone(),
            payload: call.payload,
            is_json: true,
            kind: match target.function.is_streamed {
                true => InvocationKind::Stream,
                false => InvocationKind::RequestResponse,
            },
            trace_id: call.trace_id,
            client_context: None,
            deadline,
        };
        let sender = Sender { tag: call.tag.as_ref(), ..target.sender() };
        let invoked = self.run(invocation, sender, began).await?;
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = IntegrationReport {
            status: invoked.status,
            latency_ms,
            request_id: invoked.request_id().map(Arc::from),
            is_streamed: target.function.is_streamed,
            ..IntegrationReport::default()
        };
        Ok((invoked, report))
    }

    /// A function with mappings: its answer is a reply for `mapping::responses`.
    pub(super) async fn custom_function(
        &self,
        target: &FunctionTarget,
        request: &IntegrationRequest<'_>,
        body: Body,
        began: Instant,
        deadline: Instant,
    ) -> Result<Reply, IntegrationError> {
        let mapped = |name: &str| last(&request.mapped, name);
        let invocation = Invocation {
            function: target.function.name.clone(),
            payload: whole(body).await?,
            is_json: false,
            kind: kind(mapped("x-amz-invocation-type"))?,
            trace_id: request.trace_id.clone(),
            client_context: mapped("x-amz-client-context").cloned(),
            deadline,
        };
        let (log_type, tag) = (mapped("x-amz-log-type"), tag(request));
        let sender = Sender { log_type, tag: tag.as_ref(), ..target.sender() };
        let Invoked { status, mut headers, body, .. } = self.run(invocation, sender, began).await?;
        headers.insert(TRACE_ID, request.trace_id.clone());
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert_with(|| HeaderValue::from_static("application/json"));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        Ok(Reply::new(status, headers, body))
    }

    async fn run(
        &self,
        invocation: Invocation,
        sender: Sender<'_>,
        began: Instant,
    ) -> Result<Invoked, IntegrationError> {
        let after = invocation.deadline - began;
        let deadline = invocation.deadline;
        let name = Arc::clone(&invocation.function);
        let local = self.local.as_ref().and_then(|local| local.find(&name));
        let invoked = match local {
            Some(local) => {
                let is_streamed = invocation.kind == InvocationKind::Stream;
                let mut invoked = local.invoke(invocation).await;
                if let Ok(invoked) = &mut invoked
                    && is_streamed
                {
                    invoked.body = streaming::bounded(invoked.body.take(), streaming::IDLE_MAX);
                }
                Ok(invoked)
            }
            None => {
                let Some((aws, api)) = self.aws.as_deref() else {
                    return Err(InvokeError::Nowhere(invocation.function).into());
                };
                let invoked = api.invoke(aws, invocation, sender);
                tokio::time::timeout_at(deadline, Box::pin(invoked)).await
            }
        };
        match invoked {
            Ok(Ok(invoked)) => Ok(invoked),
            Ok(Err(InvokeError::TimedOut)) | Err(_) => Err(IntegrationError::Timeout { after }),
            Ok(Err(err)) => Err(err.into()),
        }
    }

    pub(super) async fn ask_service(
        &self,
        service: &Service,
        request: &IntegrationRequest<'_>,
        body: Body,
        began: Instant,
        deadline: Instant,
    ) -> Result<Reply, IntegrationError> {
        let (aws, _) = self
            .aws
            .as_deref()
            .ok_or_else(|| configuration("this node calls no services of AWS's"))?;
        let body = whole(body).await?;
        let response =
            service.ask(aws, request, body, deadline).await.map_err(|err| match err {
                Failure::Error(err) => err,
                Failure::Client(err) => forward::explain(err, deadline - began),
            })?;
        let response =
            self.buffered(response, forward::Span { began, deadline }, None::<()>).await?;
        let reply = forward::http(response, request);
        match service.wrapped_action() {
            Some(action) if reply.status.is_success() => {
                Box::pin(ssm_query::wrapped(action, reply, deadline - began)).await
            }
            _ => Ok(reply),
        }
    }
}

impl FunctionTarget {
    /// For the log of an execution: the function as AWS's service names it.
    pub(super) fn preview(&self, request: &IntegrationRequest<'_>) -> (String, HeaderMap) {
        let Function { name, is_streamed } = &self.function;
        let (version, action) = match is_streamed {
            true => ("2021-11-15", "response-streaming-invocations"),
            false => ("2015-03-31", "invocations"),
        };
        let region = &self.aws_region;
        let uri =
            format!("https://lambda.{region}.amazonaws.com/{version}/functions/{name}/{action}");
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(API_ID, self.api_id.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(TRACE_ID, request.trace_id.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(tag) = tag(request) {
            headers.insert(INTEGRATION_TAG, tag);
        }
        (uri, headers)
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            api_id: &self.api_id,
            user_agent: &self.user_agent,
            tag: None,
            log_type: None,
            credentials: self.credentials.as_deref(),
            aws_region: &self.aws_region,
        }
    }
}

/// What ties an invocation to its call.
fn tag(request: &IntegrationRequest<'_>) -> Option<HeaderValue> {
    HeaderValue::from_str(&request.id.hyphenated().to_string()).ok()
}

/// AWS's `InvocationType`; unmapped it is a request with a response.
fn kind(mapped: Option<&HeaderValue>) -> Result<InvocationKind, IntegrationError> {
    match mapped.map(HeaderValue::as_bytes) {
        None | Some(b"RequestResponse") => Ok(InvocationKind::RequestResponse),
        Some(b"Event") => Ok(InvocationKind::Event),
        Some(b"DryRun") => Ok(InvocationKind::DryRun),
        Some(_) => Err(configuration("X-Amz-Invocation-Type is mapped to no type of invocation")),
    }
}

fn last<'m>(mapped: &'m MappedParameters, name: &str) -> Option<&'m HeaderValue> {
    mapped.headers.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value)
}

fn configuration(why: &str) -> IntegrationError {
    IntegrationError::Configuration(Arc::from(why))
}
