//! The region's answer to a call: mapping, integration, mapping.
//!
//! Each kind of integration has its way here and nowhere else. Answers are read whole before the
//! client gets them, unless the integration streams; a request's body passes a proxy as it comes
//! where its length is known. Test calls take the same way.
//!
//! AWS: "Data transformations for REST APIs in API Gateway", "Choose an API Gateway API
//! integration type".

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::Instant;

use crate::call::{Body, Call, Connection, IntegrationReport, MappedParameters, Reply, Spelling};
use crate::deployment::snapshot::{self, CustomFlow, Flow, Resolved};
use crate::integration::body::{Collected, collect};
use crate::integration::lambda::InvokeError;
use crate::integration::{
    self, Forwarded, IntegrationError, IntegrationRequest, Integrations, trace,
};
use crate::mapping::compression::{DecodeError, decode_request};
use crate::mapping::context::{CallContext, PathParameters, RouteFacts};
use crate::mapping::lambda_reply::ReplyError;
use crate::mapping::parameters::RequestMapping;
use crate::mapping::template::Overrides;
use crate::mapping::{MappingError, mock};
use crate::model::quotas;
use crate::model::rest_api::IntegrationKind;
use crate::pipeline::execution_log::ExecutionLog;
use crate::pipeline::lambda_proxy::lambda_proxy;
use crate::pipeline::record::protocol;
use crate::pipeline::refusal::Refusal;

const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Lambda's word that a function failed. AWS: Lambda API Reference, "Invoke".
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const SERVICE_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// A call that has been let in, and what it is to be asked of.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'c> {
    pub integrations: &'c Integrations,
    pub call: &'c Call,
    pub resolved: &'c Resolved,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// Answers the call. Dropping the future cancels what it asked for.
///
/// # Errors
/// What the caller gets instead; the log has said why.
pub async fn integrate(
    passage: Passage<'_>,
    body: Body,
    log: &mut ExecutionLog,
) -> Result<Reply, Refusal> {
    let began = Instant::now();
    let outcome = match &passage.resolved.route().flow {
        Flow::HttpProxy(mapping) => http_proxy(passage, mapping, body, log).await,
        Flow::Custom(flow) => Box::pin(custom(passage, flow, body, log)).await,
        Flow::LambdaProxy(flow) => Box::pin(lambda_proxy(passage, flow, body, log)).await,
    };
    outcome.map_err(|failure| {
        if let Some(lines) = log.lines() {
            lines.line(format_args!("{}", failure.line()));
        }
        failure.into_refusal(began)
    })
}

/// Why a call has no answer of its integration's.
#[derive(Debug)]
pub(super) enum Failure {
    Request(DecodeError),
    Mapping(MappingError),
    Integration(IntegrationError),
    Function(ReplyError),
    /// The integration had answered, and nothing could be made of that.
    Answered(Box<(Failure, IntegrationReport)>),
}

impl Failure {
    /// As the execution log says it; recorded texts where there are any.
    fn line(&self) -> String {
        let configuration = |cause: &dyn std::fmt::Display| {
            format!("Execution failed due to configuration error: {cause}")
        };
        match self {
            Failure::Request(err) => configuration(err),
            Failure::Mapping(err) => configuration(err),
            Failure::Integration(err) => match err {
                IntegrationError::BadEndpoint(_) => configuration(&"Invalid endpoint address"),
                IntegrationError::Timeout { .. } => {
                    "Execution failed due to a timeout error".to_owned()
                }
                IntegrationError::Network(_) => {
                    "Execution failed due to a network error communicating with endpoint".to_owned()
                }
                IntegrationError::Lambda(InvokeError::NotPermitted(_)) => {
                    configuration(&"Invalid permissions on Lambda function")
                }
                _ => configuration(err),
            },
            Failure::Function(err @ ReplyError::Failed { .. }) => err.to_string(),
            Failure::Function(err) => configuration(err),
            Failure::Answered(known) => known.0.line(),
        }
    }
}

impl Failure {
    /// The same, when the integration has answered: what that said is logged all the same. A
    /// failure on the way to it, or of its answer's body, leaves no answer.
    pub(super) fn after(self, report: &IntegrationReport) -> Self {
        match self {
            Failure::Integration(_) | Failure::Answered(_) => self,
            failure => Failure::Answered(Box::new((failure, report.clone()))),
        }
    }

    /// The refusal, which tells of the integration where that was asked.
    pub(super) fn into_refusal(self, began: Instant) -> Refusal {
        if let Failure::Answered(known) = self {
            let (failure, mut report) = *known;
            if let Failure::Function(_) = &failure {
                report.error = Some(Arc::from(failure.line()));
                // Lambda's status is known, the function's is not.
                report.function_status = Some(0);
            }
            let mut refusal = Refusal::from(failure);
            refusal.integration = Some(Box::new(report));
            return refusal;
        }
        let error = match &self {
            Failure::Answered(_)
            | Failure::Integration(IntegrationError::RequestBody(_))
            | Failure::Request(_)
            | Failure::Mapping(_) => None,
            Failure::Integration(_) | Failure::Function(_) => Some(Arc::from(self.line())),
        };
        let mut refusal = Refusal::from(self);
        refusal.integration = error.map(|error| {
            let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let error = Some(error);
            Box::new(IntegrationReport { latency_ms, error, ..IntegrationReport::default() })
        });
        refusal
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Request(err) => err.into(),
            Failure::Mapping(err) => err.into(),
            Failure::Integration(err) => err.into(),
            Failure::Function(err) => err.into(),
            Failure::Answered(known) => known.0.into(),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(err: DecodeError) -> Self {
        Failure::Request(err)
    }
}

impl From<MappingError> for Failure {
    fn from(err: MappingError) -> Self {
        Failure::Mapping(err)
    }
}

impl From<IntegrationError> for Failure {
    fn from(err: IntegrationError) -> Self {
        Failure::Integration(err)
    }
}

/// The client's request with the gateway's changes; the backend's answer is the client's.
async fn http_proxy(
    passage: Passage<'_>,
    mapping: &RequestMapping,
    body: Body,
    log: &mut ExecutionLog,
) -> Result<Reply, Failure> {
    let Passage { integrations, call, resolved, deadline } = passage;
    let mut body = decode_request(&call.head.headers, body, quotas::BODY_BYTES_MAX).await?;
    let mut known = Bytes::new();
    // A backend is told the length of every body (rest-data-plane 7.4): one of unknown length is read.
    let has_length = body.size_hint().exact().is_some();
    if mapping.reads_body() || log.shows_data() || !has_length {
        known = whole_request(body).await?;
        body = Body::from(known.clone());
    }
    let mapped = match mapping.is_empty() {
        true => MappedParameters::default(),
        false => mapping.apply(&context(call, resolved), &String::from_utf8_lossy(&known))?,
    };
    let request = passage.request(mapped);
    let integration = &resolved.route().integration;
    if let Some(lines) = log.lines()
        && let Some((uri, headers)) = integration.preview(&request, !body.is_end_stream())
    {
        lines.asked(&uri, &headers, &known);
    }
    let mut reply = integrations.answer(&request, body, integration, deadline).await?;
    if log.shows_data() {
        known = whole_answer(&mut reply).await?;
        reply.body = Body::from(known.clone());
    }
    if let Some(lines) = log.lines() {
        let (status, latency_ms) = report(&reply);
        lines.answered(status, latency_ms, &reply.headers, &known);
        lines.succeeded(&reply.headers, &known);
    }
    Ok(reply)
}

/// HTTP, AWS and MOCK: nothing of the client's but what is mapped, and the same on the way back.
async fn custom(
    passage: Passage<'_>,
    flow: &CustomFlow,
    body: Body,
    log: &mut ExecutionLog,
) -> Result<Reply, Failure> {
    let Passage { call, resolved, .. } = passage;
    let clients = &call.head.headers;
    let body = decode_request(clients, body, quotas::BODY_BYTES_MAX).await?;
    let plan = flow.request.plan(clients, &resolved.stage.binary)?;
    let (rest, whole) = match plan.needs_body() || log.shows_data() {
        true => (Body::Empty, Some(whole_request(body).await?)),
        false => (body, None),
    };
    let mut request = passage.request(MappedParameters::default());
    let seen = seen_headers(&request);
    let mapped = plan.run(&CallContext { headers: &seen, ..context(call, resolved) }, whole)?;
    if flow.kind == IntegrationKind::Mock {
        let text = mapped.body.unwrap_or_default();
        let status = mock::status(&String::from_utf8_lossy(&text))?;
        let mut reply = Reply::new(status, HeaderMap::new(), Body::Empty);
        reply.integration =
            Some(IntegrationReport { status: status.as_u16(), ..IntegrationReport::default() });
        return respond(passage, flow, (&seen, mapped.overrides), reply, log).await;
    }
    request.mapped = mapped.parameters;
    let integration = &resolved.route().integration;
    let known = mapped.body.clone().unwrap_or_default();
    let body = mapped.body.map_or(rest, Body::from);
    if let Some(lines) = log.lines()
        && let Some((uri, headers)) = integration.preview(&request, !body.is_end_stream())
    {
        lines.asked(&uri, &headers, &known);
    }
    let answer = passage.integrations.answer(&request, body, integration, passage.deadline);
    let reply = answer.await?;
    let report = reply.integration.clone().unwrap_or_default();
    let answered = respond(passage, flow, (&seen, mapped.overrides), reply, log).await;
    let mut reply = answered.map_err(|failure| failure.after(&report))?;
    reply.headers.insert(TRACE_ID, request.trace_id);
    Ok(reply)
}

/// The client's headers as templates and mappings see them: with what tells of its way.
fn seen_headers(request: &IntegrationRequest<'_>) -> HeaderMap {
    let mut seen = request.headers.clone();
    let peer = request.peer;
    let mut chain = String::new();
    for value in seen.get_all(FORWARDED_FOR) {
        chain.push_str(&String::from_utf8_lossy(value.as_bytes()));
        chain.push_str(", ");
    }
    let chain = HeaderValue::from_str(&format!("{chain}{peer}"));
    if let Ok(chain) = chain {
        seen.insert(FORWARDED_FOR, chain);
    }
    seen.insert(FORWARDED_PORT, HeaderValue::from(request.forwarded.port));
    seen.insert(FORWARDED_PROTO, HeaderValue::from_static(request.forwarded.proto));
    seen.insert(TRACE_ID, request.trace_id.clone());
    seen
}

/// The way back of an integration that is no proxy. What the request left behind: its headers as
/// mappings see them, and what its template overrode.
async fn respond(
    passage: Passage<'_>,
    flow: &CustomFlow,
    (seen, overrides): (&HeaderMap, Overrides),
    mut reply: Reply,
    log: &mut ExecutionLog,
) -> Result<Reply, Failure> {
    let Passage { call, resolved, .. } = passage;
    let mut whole = None;
    if flow.is_lambda && reply.headers.contains_key(FUNCTION_ERROR) || log.shows_data() {
        whole = Some(whole_answer(&mut reply).await?);
    }
    if let Some(lines) = log.lines()
        && flow.kind != IntegrationKind::Mock
    {
        let (status, latency_ms) = report(&reply);
        lines.answered(status, latency_ms, &reply.headers, whole.as_deref().unwrap_or_default());
    }
    let chosen = match flow.is_lambda {
        true => {
            let failed = whole.as_deref().filter(|_| reply.headers.contains_key(FUNCTION_ERROR));
            let message = failed.and_then(error_message);
            flow.response.by_message(message.as_deref(), reply.status)?
        }
        false => flow.response.by_status(reply.status)?,
    };
    let plan = chosen.plan(&reply.headers, &call.head.headers, &resolved.stage.binary)?;
    if plan.needs_body() && whole.is_none() {
        whole = Some(whole_answer(&mut reply).await?);
    }
    let theirs = std::mem::take(&mut reply.headers);
    let mut context = CallContext { headers: seen, ..context(call, resolved) };
    if flow.kind == IntegrationKind::Aws {
        let id = theirs.get(&SERVICE_REQUEST_ID);
        context.aws_endpoint_request_id = id.and_then(|id| id.to_str().ok());
        if let Some(report) = &mut reply.integration {
            report.request_id = context.aws_endpoint_request_id.map(Arc::from);
        }
    }
    let mapped = plan.run(&context, &theirs, whole, overrides)?;
    if let Some(lines) = log.lines() {
        lines.succeeded(&mapped.headers, mapped.body.as_deref().unwrap_or_default());
    }
    reply.status = mapped.status;
    reply.headers = mapped.headers;
    if let Some(body) = mapped.body {
        reply.body = Body::from(body);
    }
    Ok(reply)
}

impl<'c> Passage<'c> {
    pub(super) fn request(&self, mapped: MappedParameters) -> IntegrationRequest<'c> {
        let Call { id, head, connection, received_at, .. } = self.call;
        IntegrationRequest {
            method: &head.method,
            query: head.uri.query(),
            headers: &head.headers,
            mapped,
            peer: connection.peer.ip(),
            forwarded: Forwarded { proto: proto(connection), port: connection.local.port() },
            trace_id: trace::extend(head.headers.get(TRACE_ID), *received_at),
            id: *id,
        }
    }
}

/// How the client reached the gateway: `https` or `http`.
pub(super) fn proto(connection: &Connection) -> &'static str {
    if connection.tls_version.is_empty() { "http" } else { "https" }
}

/// What a mapping may read of the call.
pub fn context<'c>(call: &'c Call, resolved: &'c Resolved) -> CallContext<'c> {
    let path_parameters = resolved.parameters(call);
    CallContext { path_parameters, ..context_of(call, resolved.facts()) }
}

/// The same for a call that means no route, but a stage.
pub fn context_of<'c>(call: &'c Call, facts: RouteFacts<'c>) -> CallContext<'c> {
    let head = &call.head;
    CallContext {
        facts,
        method: &head.method,
        headers: &head.headers,
        spelling: head.extensions.get::<Spelling>(),
        query: head.uri.query(),
        path_parameters: PathParameters::default(),
        request_id: &call.id,
        extended_request_id: call.extended_id.as_str(),
        aws_endpoint_request_id: None,
        source_ip: call.connection.peer.ip(),
        path: context_path(call, facts.api_id),
        protocol: protocol(head.version),
        domain_name: snapshot::host(call),
        received_at: call.received_at,
        caller: None,
        error: None,
    }
}

/// Recorded: slashes before the stage collapse. What names the API in a path-style address is ours
/// and no part of it.
fn context_path<'c>(call: &'c Call, api: &str) -> &'c str {
    let path = call.head.uri.path();
    let path = path
        .strip_prefix(snapshot::PATH_STYLE)
        .and_then(|rest| rest.strip_prefix(api))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    let first = path.len() - path.trim_start_matches('/').len();
    path.get(first.saturating_sub(1)..).unwrap_or(path)
}

fn report(reply: &Reply) -> (u16, u64) {
    let report = reply.integration.as_ref();
    report.map_or((reply.status.as_u16(), 0), |report| (report.status, report.latency_ms))
}

/// `errorMessage` of a function that failed; selection patterns are tried on it.
pub(super) fn error_message(body: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(body).ok()?.get_mut("errorMessage")?.take() {
        Value::String(message) => Some(message),
        _ => None,
    }
}

pub(super) async fn collected(body: Body) -> Result<Bytes, Refusal> {
    whole_request(body).await.map_err(Refusal::from)
}

/// The whole body; the listener bounds its length already. What trails it is no part of it, and
/// nothing behind the gateway gets that from AWS.
pub(super) async fn whole_request(body: Body) -> Result<Bytes, Failure> {
    let limit = quotas::BODY_BYTES_MAX;
    match collect(body, usize::try_from(limit).unwrap_or(usize::MAX)).await {
        Ok(Collected::Whole(bytes)) => Ok(bytes),
        Ok(Collected::Longer(_)) => Err(DecodeError::TooLarge { limit }.into()),
        Err(err) => Err(DecodeError::Body(err).into()),
    }
}

/// The integration room bounds an answer's length and time.
async fn whole_answer(reply: &mut Reply) -> Result<Bytes, Failure> {
    match std::mem::replace(&mut reply.body, Body::Empty) {
        Body::Empty => return Ok(Bytes::new()),
        Body::Full(bytes) => return Ok(bytes),
        streamed => streamed.collect().await.map(|whole| whole.to_bytes()),
    }
    .map_err(|err| {
        let (_, latency_ms) = report(reply);
        Failure::Integration(integration::unread(err, Duration::from_millis(latency_ms)))
    })
}
