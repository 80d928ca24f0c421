//! What answers a call that no cache could: the other enum that carries the edge/region difference.

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::{Body, RefusalReport, Reply, Spelling};
use crate::deployment::snapshot::{self, Resolved};
use crate::deployment::source::Source;
use crate::integration::Integrations;
use crate::pipeline::execution_log::ExecutionLog;
use crate::pipeline::integrate::{Passage, integrate};
use crate::pipeline::refusal::{Refusal, Type};
use crate::pipeline::{Errand, Gateway, stage_log};
use crate::tunnel::{CallHead, Proved, ReplyHead, Scheme, Tunnel, TunnelError};

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
            Origin::Integration(integrations) => {
                let Errand { call, body, resolved, deadline, .. } = errand;
                let (call, resolved) = (&*call, &resolved);
                let passage = Passage { integrations, call, resolved, deadline };
                match &resolved.route().execution_log {
                    None => integrate(passage, body, &mut ExecutionLog::Off).await,
                    Some(to) => {
                        Box::pin(stage_log::logged(&gateway.clock, passage, body, to)).await
                    }
                }
            }
        }
    }
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
        spelling: head.extensions.get::<Spelling>().cloned().unwrap_or_default(),
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
            request_body: None,
        }),
        cache: head.cache,
        freshness: head.freshness,
        // By the region.
        is_logged: true,
    }
}
