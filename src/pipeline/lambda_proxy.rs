//! A function that gets the whole call and says the whole answer.
//!
//! Mappings have no effect on the event, but a header that may not be set fails the call all the
//! same (recorded). A streamed answer begins for the client as soon as its metadata has come.
//!
//! AWS: "Lambda proxy integrations in API Gateway", "Stream the integration response".

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::call::{Body, BodyError, Call, IntegrationReport, Reply};
use crate::deployment::snapshot::{self, LambdaProxyFlow, Resolved};
use crate::integration::lambda::Invoked;
use crate::integration::{FunctionCall, IntegrationError};
use crate::mapping::compression::decode_request;
use crate::mapping::lambda_event::Event;
use crate::mapping::lambda_reply::{self, Answer, ReplyError};
use crate::model::quotas;
use crate::pipeline::deliver::IdText;
use crate::pipeline::execution_log::ExecutionLog;
use crate::pipeline::integrate::{Failure, Passage, context, error_message, whole_request};

const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// Characters of a function's error that go into a log.
const ERROR_CHARS_MAX: usize = 998;

pub(super) async fn lambda_proxy(
    passage: Passage<'_>,
    flow: &LambdaProxyFlow,
    body: Body,
    log: &mut ExecutionLog,
) -> Result<Reply, Failure> {
    let Passage { integrations, call, resolved, deadline } = passage;
    let clients = &call.head.headers;
    let body = decode_request(clients, body, quotas::BODY_BYTES_MAX).await?;
    let body = whole_request(body).await?;
    let context = context(call, resolved);
    let mapped = flow.mapping.apply(&context, "")?;
    let request = passage.request(mapped);
    let binary = &resolved.stage.binary;
    let event = Event {
        call: &context,
        path: event_path(call, resolved),
        trace_id: &request.trace_id,
        proto: request.forwarded.proto,
        port: request.forwarded.port,
        body: &body,
        is_binary: binary.is_body(clients),
    };
    let payload = event.to_json();
    let integration = &resolved.route().integration;
    if let Some(lines) = log.lines()
        && let Some((uri, headers)) = integration.preview(&request, true)
    {
        lines.asked(&uri, &headers, &payload);
    }
    let asked = FunctionCall {
        method: call.head.method.clone(),
        payload,
        trace_id: request.trace_id.clone(),
        tag: HeaderValue::from_bytes(IdText::of(call).as_bytes()).ok(),
    };
    let time = Duration::from_millis(u64::from(resolved.route().timeout_ms));
    let begins_by = deadline.min(Instant::now() + time);
    let invoked = Box::pin(integrations.invoke(asked, integration, deadline)).await;
    let (invoked, report) = invoked.map_err(Failure::Integration)?;
    let is_streamed = integration.is_streamed_function() && invoked.function_error.is_none();
    let answer = async {
        if is_streamed {
            return begun(invoked).await.map_err(Failure::Function);
        }
        whole(invoked, &report, binary.is_wanted(clients), log).await.map_err(Failure::Function)
    };
    let answer = Box::pin(tokio::time::timeout_at(begins_by, answer)).await;
    let answer = answer.unwrap_or_else(|_elapsed| Err(timed_out(time)));
    let answer = answer.map_err(|failure| failure.after(&report))?;
    let Answer { status, mut headers, body } = answer;
    headers.insert(TRACE_ID, request.trace_id);
    let mut reply = Reply::new(status, headers, body);
    let function_status = Some(status.as_u16());
    reply.integration = Some(IntegrationReport { function_status, ..report });
    if let Some(lines) = log.lines() {
        let shown = match &reply.body {
            Body::Full(bytes) => bytes.as_ref(),
            _ => b"",
        };
        lines.succeeded(&reply.headers, shown);
    }
    Ok(reply)
}

/// The answer was not there in time, or a streamed one did not begin: its metadata is its head.
fn timed_out(after: Duration) -> Failure {
    Failure::Integration(IntegrationError::Timeout { after })
}

/// A streamed answer as far as its head. A function that fails before that has failed like any
/// other; what was already sent of its head does not matter.
async fn begun(invoked: Invoked) -> Result<Answer, ReplyError> {
    let id: Arc<str> = invoked.request_id().unwrap_or_default().into();
    let answer = Box::pin(lambda_reply::read_stream(invoked.body)).await;
    answer.map_err(|err| match err {
        ReplyError::Body(BodyError::Failed(said)) => failed(said.as_bytes(), &id),
        err => err,
    })
}

/// An answer that comes as a whole. A function that fails answers so, also where it would stream.
async fn whole(
    invoked: Invoked,
    report: &IntegrationReport,
    wants_binary: bool,
    log: &mut ExecutionLog,
) -> Result<Answer, ReplyError> {
    let id: Arc<str> = invoked.request_id().unwrap_or_default().into();
    let Invoked { headers, function_error, body, .. } = invoked;
    let returned = body.collect().await?.to_bytes();
    if let Some(lines) = log.lines() {
        lines.answered(report.status, report.latency_ms, &headers, &returned);
    }
    match function_error {
        Some(_) => Err(failed(&returned, &id)),
        None => lambda_reply::read(&returned, wants_binary),
    }
}

/// What Lambda answered in the function's place, for the log.
fn failed(returned: &[u8], id: &Arc<str>) -> ReplyError {
    let text = error_message(returned).unwrap_or_else(|| String::from_utf8_lossy(returned).into());
    let shown: String = text.chars().take(ERROR_CHARS_MAX).collect();
    ReplyError::Failed { message: shown.into(), request_id: Arc::clone(id) }
}

/// `path` of the event: without the stage, with the base path of a custom domain.
fn event_path<'c>(call: &'c Call, resolved: &Resolved) -> &'c str {
    let host = snapshot::host(call);
    let is_custom = |own: &str| own.eq_ignore_ascii_case(host);
    match resolved.stage.domains.iter().any(|mapping| is_custom(&mapping.domain_name)) {
        true => {
            let path = call.head.uri.path();
            let first = path.len() - path.trim_start_matches('/').len();
            path.get(first.saturating_sub(1)..).unwrap_or(path)
        }
        false => resolved.path(call),
    }
}

#[cfg(test)]
#[path = "lambda_proxy_tests.rs"]
mod tests;
