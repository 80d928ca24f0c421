//! HTTP and HTTP_PROXY: the request made, sent, and its answer taken over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::uri::PathAndQuery;
use http_body::Body as HttpBody;
use tokio::time::Instant;

use super::body::{Collected, LimitedBody, collect, holding, outgoing_body};
use super::headers::{self, TRACE_ID};
use super::streaming::{IDLE_MAX, Streamed};
use super::way::{self, Way};
use super::{Backend, IntegrationError, IntegrationRequest, Integrations};
use crate::call::{Body, BodyError, Reply};
use crate::model::quotas;
use crate::net::client::{ClientError, Outgoing, RequestBody, ResponseBody};
use crate::net::query;

/// Answers up to so many bytes are read whole; as many as the cache keeps of one (AWS: "Cache settings
/// for REST APIs", 1,048,576).
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// HTTP_PROXY: the client's request with the gateway's changes, without its body.
pub(super) fn proxy(
    backend: &Backend,
    request: &IntegrationRequest<'_>,
) -> Result<Outgoing, IntegrationError> {
    let path_and_query = path_and_query(backend, request.query, request)?;
    let headers = headers::towards_proxy(
        request.headers,
        backend,
        &request.mapped,
        request.peer,
        request.forwarded,
        request.trace_id.clone(),
    );
    let method = backend.method.as_ref().unwrap_or(request.method).clone();
    Ok(Outgoing { method, path_and_query, headers, body: RequestBody::Empty })
}

/// HTTP: nothing of the client's but the mapped values and the body, which is not in it yet.
pub(super) fn custom(
    backend: &Backend,
    request: &IntegrationRequest<'_>,
    has_body: bool,
) -> Result<Outgoing, IntegrationError> {
    let path_and_query = path_and_query(backend, None, request)?;
    let trace_id = request.trace_id.clone();
    let headers = headers::towards_custom(backend, &request.mapped, has_body, trace_id);
    let method = backend.method.as_ref().unwrap_or(request.method).clone();
    Ok(Outgoing { method, path_and_query, headers, body: RequestBody::Empty })
}

/// The URI's own parameters, then the client's, then the mapped ones (recorded order).
fn path_and_query(
    backend: &Backend,
    passed: Option<&str>,
    request: &IntegrationRequest<'_>,
) -> Result<PathAndQuery, IntegrationError> {
    let endpoint = backend.endpoint.as_ref().map_err(bad)?;
    let mut target = String::with_capacity(128);
    endpoint.fill(&request.mapped.path, &mut target).map_err(|why| bad(&why))?;
    let mut separator = if endpoint.has_query() { '&' } else { '?' };
    for (name, value) in passed.into_iter().flat_map(query::pairs) {
        target.push(std::mem::replace(&mut separator, '&'));
        query::recode(name, &mut target);
        target.push('=');
        query::recode(value, &mut target);
    }
    for (name, value) in &request.mapped.query {
        target.push(std::mem::replace(&mut separator, '&'));
        query::encode(name.as_bytes(), &mut target);
        target.push('=');
        query::encode(value.as_bytes(), &mut target);
    }
    let shown = target.len();
    PathAndQuery::from_maybe_shared(Bytes::from(target))
        .map_err(|err| bad(&Arc::from(format!("target of {shown} bytes: {err}"))))
}

fn bad(why: &Arc<str>) -> IntegrationError {
    IntegrationError::BadEndpoint(why.clone())
}

impl Integrations {
    /// Sends what `make` makes, with `body`. It is asked once more where a connection that had been
    /// kept turns out to be dead: rarely, so nothing is copied in case of that.
    pub(super) async fn ask(
        &self,
        backend: &Backend,
        request: &IntegrationRequest<'_>,
        make: &(dyn Fn() -> Result<Outgoing, IntegrationError> + Sync),
        body: Body,
        Span { began, deadline }: Span,
    ) -> Result<Response<Body>, IntegrationError> {
        let endpoint = backend.endpoint.as_ref().map_err(bad)?;
        let body = outgoing_body(body);
        let (response, held) = match &backend.way {
            Way::Host(known) => {
                let host = self.host(backend, known, endpoint, request)?;
                let outgoing = Outgoing { body, ..make()? };
                let again = || make().ok();
                let sent = self.client.send_remade(&host, outgoing, &again, deadline);
                (sent.await.map_err(|err| explain(err, deadline - began))?, None)
            }
            Way::Link(link) => {
                let arn = link.as_ref().map_err(|why| self.balancers.lead_nowhere(why.clone()))?;
                let named = way::named(endpoint, request)?;
                let at = (&**arn, &*named);
                let (client, manner) = (&self.client, &backend.manner);
                // Boxed, because most integrations have no link and should not carry its room.
                let sent = self.balancers.ask(client, at, manner, make, body, deadline);
                let (response, held) = Box::pin(sent).await?;
                (response, Some(held))
            }
        };
        if backend.is_streamed {
            let until = began + quotas::STREAMING_TIMEOUT_MAX;
            return Ok(response.map(|body| match body {
                ResponseBody::Empty => Body::Empty,
                ResponseBody::Full(bytes) => Body::from(bytes),
                ResponseBody::Stream(stream) => {
                    holding(Body::stream(Streamed::new(stream, IDLE_MAX, until)), held)
                }
            }));
        }
        self.buffered(response, Span { began, deadline }, held).await
    }

    /// The whole answer, as AWS reads it before the client gets any of it: one that breaks off, is
    /// late or too long becomes an error and not half an answer (rest-data-plane 3.4, 7.14). A long
    /// one passes as it comes, so that many at once do not fill the memory. `held` lives as long as
    /// it is read.
    pub(super) async fn buffered<H: Send + 'static>(
        &self,
        response: Response<ResponseBody>,
        Span { began, deadline }: Span,
        held: Option<H>,
    ) -> Result<Response<Body>, IntegrationError> {
        let limit = self.config.response_bytes_max;
        if response.body().size_hint().lower() > limit {
            return Err(IntegrationError::ResponseTooLarge { limit });
        }
        let (head, body) = response.into_parts();
        let body = match body {
            ResponseBody::Empty => Body::Empty,
            ResponseBody::Full(bytes) => Body::from(bytes),
            ResponseBody::Stream(stream) => {
                let limited = Body::stream(LimitedBody::new(stream, limit, deadline));
                match collect(holding(limited, held), WHOLE_BYTES_MAX).await {
                    Ok(Collected::Whole(bytes)) => Body::from(bytes),
                    Ok(Collected::Longer(body)) => body,
                    Err(err) => return Err(unread(err, deadline - began)),
                }
            }
        };
        Ok(Response::from_parts(head, body))
    }
}

/// Why an answer could not be read.
pub fn unread(err: BodyError, after: Duration) -> IntegrationError {
    match err {
        BodyError::TooLarge { limit } => IntegrationError::ResponseTooLarge { limit },
        BodyError::TimedOut => IntegrationError::Timeout { after },
        BodyError::Aborted(cause) | BodyError::Failed(cause) => IntegrationError::Network(cause),
    }
}

/// From when to when an integration may take.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) began: Instant,
    pub(super) deadline: Instant,
}

/// The client sees what the backend said.
pub(super) fn http_proxy(response: Response<Body>) -> Reply {
    let (head, body) = response.into_parts();
    Reply::new(head.status, headers::from_proxy(head.headers), body)
}

/// The backend's headers for `mapping::responses`. The trace header is this call's, never the
/// backend's.
pub(super) fn http(response: Response<Body>, request: &IntegrationRequest<'_>) -> Reply {
    let (mut head, body) = response.into_parts();
    head.headers.insert(TRACE_ID, request.trace_id.clone());
    Reply::new(head.status, head.headers, body)
}

pub(super) fn explain(err: ClientError, after: Duration) -> IntegrationError {
    match err {
        ClientError::TimedOut => IntegrationError::Timeout { after },
        ClientError::Refused { .. } => {
            IntegrationError::ConnectionRefused(Arc::from(err.to_string()))
        }
        ClientError::RequestBody(err) => IntegrationError::RequestBody(body_error(&*err)),
        ClientError::Resolve { .. }
        | ClientError::Connect { .. }
        | ClientError::ConnectTimedOut { .. }
        | ClientError::Tls { .. }
        | ClientError::Broken(_)
        | ClientError::NotHttp(_)
        | ClientError::TooManyPending { .. }
        | ClientError::CircuitOpen { .. } => IntegrationError::Network(Arc::from(err.to_string())),
    }
}

/// The error the request's body itself gave, which hyper wraps.
fn body_error(err: &(dyn std::error::Error + 'static)) -> BodyError {
    let mut cause = Some(err);
    while let Some(err) = cause {
        if let Some(own) = err.downcast_ref::<BodyError>() {
            return own.clone();
        }
        cause = err.source();
    }
    BodyError::aborted(err)
}
