//! HTTP and HTTP_PROXY: the request made, sent, and its answer taken over.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response};
use http_body::Body as HttpBody;
use tokio::time::Instant;

use super::body::{LimitedBody, outgoing_body};
use super::headers::{self, TRACE_ID};
use super::{Backend, IntegrationError, IntegrationRequest, Integrations};
use crate::call::{Body, BodyError, Reply};
use crate::net::client::{ClientError, Outgoing, ResponseBody};
use crate::net::query;

/// A backend's answer before its header rules are applied.
pub(super) struct Answer {
    response: Response<Body>,
    trace_id: HeaderValue,
}

/// A request and what its answer will need.
pub(super) struct Prepared {
    outgoing: Outgoing,
    trace_id: HeaderValue,
}

/// HTTP_PROXY: the client's request with the gateway's changes.
pub(super) fn proxy(
    backend: &Backend,
    request: IntegrationRequest,
) -> Result<Prepared, IntegrationError> {
    let path_and_query = path_and_query(backend, request.query.as_deref(), &request)?;
    let trace_id = request.trace_id;
    let headers = headers::towards_proxy(
        request.headers,
        backend,
        &request.mapped,
        request.peer,
        request.forwarded,
        trace_id.clone(),
    );
    let method = backend.method.clone().unwrap_or(request.method);
    let body = outgoing_body(request.body);
    Ok(Prepared { outgoing: Outgoing { method, path_and_query, headers, body }, trace_id })
}

/// HTTP: nothing of the client's but the mapped values and the body.
pub(super) fn custom(
    backend: &Backend,
    request: IntegrationRequest,
) -> Result<Prepared, IntegrationError> {
    let path_and_query = path_and_query(backend, None, &request)?;
    let has_body = !request.body.is_end_stream();
    let trace_id = request.trace_id;
    let headers = headers::towards_custom(backend, &request.mapped, has_body, trace_id.clone());
    let method = backend.method.clone().unwrap_or(request.method);
    let body = outgoing_body(request.body);
    Ok(Prepared { outgoing: Outgoing { method, path_and_query, headers, body }, trace_id })
}

/// The URI's own parameters, then the client's, then the mapped ones (recorded order).
fn path_and_query(
    backend: &Backend,
    passed: Option<&str>,
    request: &IntegrationRequest,
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
    pub(super) async fn ask(
        &self,
        backend: &Backend,
        request: Prepared,
        began: Instant,
        deadline: Instant,
    ) -> Result<Answer, IntegrationError> {
        let endpoint = backend.endpoint.as_ref().map_err(bad)?;
        let known = backend.host.get_or_init(|| self.client.host(&endpoint.target));
        let other;
        let host = if self.client.owns(known) {
            known
        } else {
            other = self.client.host(&endpoint.target);
            &other
        };
        let Prepared { outgoing, trace_id } = request;
        let response = self
            .client
            .send(host, outgoing, deadline)
            .await
            .map_err(|err| explain(err, deadline - began))?;
        let limit = self.config.response_bytes_max;
        if response.body().size_hint().lower() > limit {
            return Err(IntegrationError::ResponseTooLarge { limit });
        }
        let response = response.map(|body| match body {
            ResponseBody::Empty => Body::Empty,
            ResponseBody::Full(bytes) => Body::from(bytes),
            ResponseBody::Stream(stream) => Body::stream(LimitedBody::new(stream, limit, deadline)),
        });
        Ok(Answer { response, trace_id })
    }
}

impl Answer {
    /// The client sees what the backend said.
    pub(super) fn http_proxy(self) -> Reply {
        let (mut head, body) = self.response.into_parts();
        headers::from_proxy(&mut head.headers);
        Reply::new(head.status, head.headers, body)
    }

    /// The backend's headers for `mapping::responses`. The trace header is this call's, never the
    /// backend's.
    pub(super) fn http(self) -> Reply {
        let (mut head, body) = self.response.into_parts();
        head.headers.insert(TRACE_ID, self.trace_id);
        Reply::new(head.status, head.headers, body)
    }
}

fn explain(err: ClientError, after: std::time::Duration) -> IntegrationError {
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
        | ClientError::NotHttp(_) => IntegrationError::Network(Arc::from(err.to_string())),
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
