//! What answers a call that no cache could: the other enum that carries the edge/region difference.

use bytes::Bytes;
use http::HeaderName;
use tokio::time::Instant;

use crate::call::{Body, Call, RefusalReport, Reply};
use crate::deployment::snapshot::{self, Resolved};
use crate::deployment::source::Source;
use crate::integration::{Forwarded, IntegrationRequest, Integrations, trace};
use crate::mapping::compression::decode_request;
use crate::mapping::context::{CallContext, PathParameters, RouteFacts};
use crate::model::quotas;
use crate::pipeline::record::protocol;
use crate::pipeline::refusal::{Refusal, Type};
use crate::pipeline::{Errand, Gateway};
use crate::tunnel::{CallHead, Proved, ReplyHead, Scheme, Tunnel, TunnelError};

const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Where answers come from.
#[derive(Debug)]
pub enum Origin {
    /// An edge asks the region.
    Region(Tunnel),
    /// The region asks what stands behind the route.
    Integration(Integrations),
}

impl Origin {
    /// Whether a cache stands behind this origin, whose word on lifetimes counts.
    pub fn is_vouched_for(&self) -> bool {
        match self {
            Origin::Region(_) => true,
            Origin::Integration(_) => false,
        }
    }

    /// Answers the errand. Dropping the future cancels what it asked for.
    pub async fn answer(&self, gateway: &Gateway, errand: Errand) -> Result<Reply, Refusal> {
        match self {
            Origin::Region(tunnel) => ask_region(gateway, tunnel, errand).await,
            Origin::Integration(integrations) => integrate(integrations, errand).await,
        }
    }
}

async fn integrate(integrations: &Integrations, errand: Errand) -> Result<Reply, Refusal> {
    let Errand { call, body, resolved, deadline, .. } = errand;
    let route = resolved.route();
    let head = &call.head;
    let body = decode_request(&head.headers, body, quotas::BODY_BYTES_MAX).await?;
    let mapped = route.request_mapping.apply(&context(&call, &resolved))?;
    let body = match &route.request_templates {
        Some(templates) => match templates.choose(&head.headers)? {
            Some(constant) => Body::from(constant.clone()),
            None => body,
        },
        None => body,
    };
    let connection = &call.connection;
    let request = IntegrationRequest {
        method: &head.method,
        query: head.uri.query(),
        headers: &head.headers,
        mapped,
        peer: connection.peer.ip(),
        forwarded: Forwarded {
            proto: if connection.tls_version.is_empty() { "http" } else { "https" },
            port: connection.local.port(),
        },
        trace_id: trace::extend(head.headers.get(TRACE_ID), call.received_at),
    };
    let reply = integrations.answer(&request, body, &route.integration, deadline).await?;
    match &route.response_mapping {
        Some(mapping) => Ok(mapping.apply(reply, &head.headers)?),
        None => Ok(reply),
    }
}

/// What a mapping may read of the call.
pub fn context<'c>(call: &'c Call, resolved: &'c Resolved) -> CallContext<'c> {
    let path_parameters = resolved.parameters(call);
    CallContext { path_parameters, ..context_of(call, resolved.facts()) }
}

/// The same for a call that means no route, but a stage.
pub fn context_of<'c>(call: &'c Call, facts: RouteFacts<'c>) -> CallContext<'c> {
    let head = &call.head;
    let path = head.uri.path();
    CallContext {
        facts,
        method: &head.method,
        headers: &head.headers,
        query: head.uri.query(),
        path_parameters: PathParameters::default(),
        request_id: &call.id,
        extended_request_id: call.extended_id.as_str(),
        aws_endpoint_request_id: None,
        source_ip: call.connection.peer.ip(),
        // Recorded: slashes before the stage collapse.
        path: context_path(path),
        protocol: protocol(head.version),
        domain_name: snapshot::host(call),
        received_at: call.received_at,
        caller: None,
        error: None,
    }
}

/// Recorded: slashes before the stage collapse.
fn context_path(path: &str) -> &str {
    let first = path.len() - path.trim_start_matches('/').len();
    path.get(first.saturating_sub(1)..).unwrap_or(path)
}

/// Sends the call through the tunnel. A region that does not know the configuration the call was
/// resolved with says so before doing anything: then the edge takes over the newer one, resolves
/// again, and asks once more, provided no body is lost by that.
async fn ask_region(
    gateway: &Gateway,
    tunnel: &Tunnel,
    mut errand: Errand,
) -> Result<Reply, Refusal> {
    let body = errand.body.take();
    let again = match &body {
        Body::Empty => Some(Body::Empty),
        Body::Full(bytes) => Some(Body::Full(bytes.clone())),
        _ => None,
    };
    match forward(tunnel, call_head(&errand), body).await? {
        Some(reply) => Ok(reply),
        None => {
            let again = again.ok_or_else(stale)?;
            let source = Source::Region(tunnel.clone());
            let refreshed = gateway.deployments.refresh(&source).await;
            refreshed.map_err(|err| Refusal::because(Type::ServiceUnavailable, err))?;
            errand.resolved = resolve_again(gateway, &errand)?;
            forward(tunnel, call_head(&errand), again).await?.ok_or_else(stale)
        }
    }
}

fn stale() -> Refusal {
    Refusal::because(Type::ServiceUnavailable, "the region has another configuration by now")
}

fn resolve_again(gateway: &Gateway, errand: &Errand) -> Result<Resolved, Refusal> {
    let resolved = gateway.deployments.resolve(&errand.call);
    resolved.map_err(|err| crate::pipeline::refusal::unresolved(err, &errand.call))
}

/// `None`: the region does not know the configuration.
async fn forward(tunnel: &Tunnel, head: CallHead, body: Body) -> Result<Option<Reply>, Refusal> {
    match tunnel.forward(head, body).await {
        Ok((head, body)) => Ok(Some(reply(head, body))),
        Err(TunnelError::Stale) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn call_head(errand: &Errand) -> CallHead {
    let Errand { call, resolved, deadline, .. } = errand;
    let head = &call.head;
    let route = resolved.route();
    let connection = &call.connection;
    let left = deadline.saturating_duration_since(Instant::now());
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    CallHead {
        id: call.id,
        extended_id: call.extended_id.0,
        api_id: resolved.stage.api.clone(),
        stage: resolved.stage.name.clone(),
        part: resolved.stage.hash,
        resource_id: route.resource_id.clone(),
        verb: String::new(),
        method: head.method.clone(),
        uri: Bytes::copy_from_slice(target.as_bytes()),
        authority: snapshot::host(call).to_owned(),
        version: head.version,
        headers: head.headers.clone(),
        peer: connection.peer,
        scheme: if connection.tls_version.is_empty() { Scheme::Http } else { Scheme::Https },
        port: connection.local.port(),
        received_at_ms: call.received_at.as_millis(),
        time_left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        trace_id: String::new(),
        path_parameters: Vec::new(),
        proved: Proved::Anonymous,
    }
}

fn reply(head: ReplyHead, body: Body) -> Reply {
    Reply {
        status: head.status,
        headers: head.headers,
        body,
        integration: head.integration,
        refusal: head.refusal.map(|refusal| RefusalReport {
            response_type: refusal.response_type.into(),
            message: refusal.message.into(),
            validation_error: None,
            cause: None,
        }),
        cache: head.cache,
        freshness: head.freshness,
    }
}
