//! Record: the access log's line and the metrics of a call, once, when its reply has left.
//!
//! A reply known whole is recorded as it is handed to the listener; a streamed one when its body
//! ends or is dropped, so that an aborted call is counted with the bytes that did leave.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT};
use http::{Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::call::{Body, BodyError, CacheStatus, Call, IntegrationReport, RefusalReport, Reply};
use crate::deployment::domains::Matched;
use crate::deployment::snapshot::{self, Resolved, Stage};
use crate::pipeline::deliver::IdText;
use crate::pipeline::{Gateway, Named, deliver, door};
use crate::telemetry::access_log::{AccessLogs, Record, Wants};
use crate::telemetry::metrics::{Measurement, Metrics, StageMeter};

/// Where records go.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pub metrics: Arc<Metrics>,
    pub access_logs: AccessLogs,
    /// Calls that meant no stage we have.
    pub unrouted: Arc<StageMeter>,
}

/// What a call meant, as far as it was found out.
#[derive(Debug)]
pub enum Meant {
    Route(Resolved),
    /// A stage that has no method for the path: AWS counts and logs these calls there.
    Stage(Arc<Stage>, Option<Arc<Matched>>),
    Nothing,
}

impl Meant {
    pub fn route(&self) -> Option<&Resolved> {
        match self {
            Meant::Route(resolved) => Some(resolved),
            Meant::Stage(..) | Meant::Nothing => None,
        }
    }

    pub fn stage(&self) -> Option<&Stage> {
        match self {
            Meant::Route(resolved) => Some(&resolved.stage),
            Meant::Stage(stage, _) => Some(stage),
            Meant::Nothing => None,
        }
    }

    fn matched(&self) -> Option<&Matched> {
        match self {
            Meant::Route(resolved) => resolved.matched(),
            Meant::Stage(_, matched) => matched.as_deref(),
            Meant::Nothing => None,
        }
    }
}

/// What was found out about a call on its way.
#[derive(Debug)]
pub struct Told {
    pub call: Arc<Call>,
    pub id: IdText,
    pub named: Named,
    pub meant: Meant,
}

/// Turns the reply into the listener's response and sees to its record.
pub fn deliver(gateway: &Arc<Gateway>, told: Told, reply: Reply) -> Response<Body> {
    let Reply { status, headers, body, integration, refusal, cache, .. } = reply;
    log_refusal(&told.call, refusal.as_ref());
    let outcome = Outcome { told, status, integration, refusal, cache };
    let body = match body {
        Body::Empty => {
            record(gateway, &outcome, 0);
            Body::Empty
        }
        Body::Full(bytes) => {
            record(gateway, &outcome, bytes.len() as u64);
            Body::Full(bytes)
        }
        streamed => Body::stream(Metered {
            body: streamed,
            bytes: 0,
            gateway: Arc::clone(gateway),
            outcome,
        }),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What is known of a call when its reply's head is ready.
struct Outcome {
    told: Told,
    status: StatusCode,
    integration: Option<IntegrationReport>,
    refusal: Option<RefusalReport>,
    cache: CacheStatus,
}

fn log_refusal(call: &Call, refusal: Option<&RefusalReport>) {
    let Some(RefusalReport { response_type, cause: Some(cause), .. }) = refusal else { return };
    tracing::debug!(request_id = %call.id, %response_type, %cause, "The gateway answered itself.");
}

fn record(gateway: &Gateway, outcome: &Outcome, response_bytes: u64) {
    let Told { call, named, meant, .. } = &outcome.told;
    let latency = gateway.clock.now().since(call.received_at);
    let measurement = Measurement {
        status: outcome.status.as_u16(),
        cache: outcome.cache,
        latency,
        integration_latency: outcome
            .integration
            .as_ref()
            .map(|report| Duration::from_millis(report.latency_ms)),
        request_bytes: if named.content_length { request_bytes(call) } else { 0 },
        response_bytes,
    };
    let Some(stage) = meant.stage() else {
        gateway.telemetry.unrouted.record(&measurement);
        return;
    };
    stage.meter.record(&measurement);
    if let Some(meter) = meant.route().and_then(|resolved| resolved.route().meter.as_ref()) {
        meter.record(&measurement);
    }
    if let Some(log) = &stage.access_log {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        let account_id = &gateway.deployments.site().account_id;
        let wanted = log.format.wants();
        let record = entry(outcome, stage, account_id, wanted, response_bytes, latency_ms);
        log.log.write(&log.format, &record);
    }
}

/// What the client declared; a chunked body is counted by the tunnel and the backends.
fn request_bytes(call: &Call) -> u64 {
    let length = call.head.headers.get(CONTENT_LENGTH);
    length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// How AWS's API names the base path that maps everything.
const NO_BASE_PATH: &str = "(none)";

fn entry<'r>(
    outcome: &'r Outcome,
    stage: &'r Stage,
    account_id: &'r str,
    wanted: Wants,
    response_length: u64,
    response_latency_ms: u64,
) -> Record<'r> {
    let Told { call, id, named, meant } = &outcome.told;
    let route = meant.route().map(Resolved::route);
    const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
    let header = |name: &HeaderName, wanted: bool| match wanted {
        true => call.head.headers.get(name).map(HeaderValue::as_bytes),
        false => None,
    };
    let (base_path_matched, routing_rule_matched) = match meant.matched() {
        None => ("", ""),
        Some(Matched::BasePath(base)) if base.is_empty() => (NO_BASE_PATH, ""),
        Some(Matched::BasePath(base)) => (&**base, ""),
        Some(Matched::Rule(id)) => ("", &**id),
    };
    Record {
        base_path_matched,
        routing_rule_matched,
        request_id: (!named.request_id || has_its_wish(call)).then(|| id.as_bytes()),
        extended_request_id: call.extended_id,
        received_at: call.received_at,
        http_method: call.head.method.as_str(),
        path: call.head.uri.path(),
        resource_path: route.map_or("", |route| &route.resource_path),
        resource_id: route.map_or("", |route| route.resource_id.as_str()),
        protocol: protocol(call.head.version),
        domain_name: if wanted.domain_name { snapshot::host(call) } else { "" },
        user_agent: header(&USER_AGENT, wanted.user_agent).unwrap_or_default(),
        xray_trace_id: header(&TRACE_ID, wanted.xray_trace_id)
            .and_then(|value| std::str::from_utf8(value).ok())
            .unwrap_or_default(),
        account_id,
        api_id: stage.api.as_str(),
        stage: stage.name.as_str(),
        deployment_id: stage.deployment_id.as_str(),
        is_canary_request: stage.is_canary_request,
        endpoint_type: stage.endpoint_type.as_str(),
        source_ip: call.connection.peer.ip(),
        identity: Default::default(),
        tls_version: call.connection.tls_version,
        cipher_suite: call.connection.cipher_suite,
        status: outcome.status.as_u16(),
        response_length,
        response_latency_ms,
        integration: outcome.integration.as_ref(),
        refusal: outcome.refusal.as_ref(),
    }
}

/// Whether the client, which wished for an id, wished for one that could be had.
fn has_its_wish(call: &Call) -> bool {
    call.head.headers.get(deliver::REQUEST_ID).and_then(door::clients_id).is_some()
}

/// As access logs and `$context.protocol` write it.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// A body that counts itself and is recorded when it is gone.
struct Metered {
    body: Body,
    bytes: u64,
    gateway: Arc<Gateway>,
    outcome: Outcome,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.bytes += data.len() as u64;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        record(&self.gateway, &self.outcome, self.bytes);
    }
}
