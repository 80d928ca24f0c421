//! One request and its response: find a connection, send, wait for the head.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use tokio::time::Instant;

use super::body::{RequestBody, ResponseBody, describe};
use super::dial::{Fresh, dial};
use super::host::{Checkout, Http1, Http2, Slot, Ticket, unspeakable};
use super::{BoxError, ClientError, Host, Outgoing, Scheme, Shared, Target, Unanswered};

/// A connection to send on.
enum Carrier {
    Reused(Box<Http1>),
    Fresh(Box<Http1>),
    Http2(Http2),
}

pub(super) async fn send(
    shared: &Arc<Shared>,
    host: &Arc<Host>,
    mut request: Outgoing,
    again: &(dyn Fn() -> Option<Outgoing> + Sync),
    deadline: Instant,
) -> Result<Response<ResponseBody>, Box<Unanswered>> {
    loop {
        let carrier = match acquire(shared, host, deadline).await {
            Ok(carrier) => carrier,
            Err(error) => return Err(Box::new(Unanswered { error, unsent: Some(request) })),
        };
        match carrier {
            Carrier::Fresh(connection) => {
                let request = over_http1(host, request)?;
                return exchange(connection, request).await.map_err(|failed| failed.error.into());
            }
            Carrier::Http2(connection) => {
                return over_http2(host, connection, request).await.map_err(Into::into);
            }
            Carrier::Reused(connection) => {
                let repeatable = request.is_repeatable();
                let failed = match exchange(connection, over_http1(host, request)?).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => failed,
                };
                // Each turn uses up one kept connection, so the loop ends with a fresh one.
                request = match failed.unsent {
                    Some(unsent) => from_http1(unsent),
                    None if repeatable && failed.unheard => match again() {
                        Some(remade) => remade,
                        None => return Err(failed.error.into()),
                    },
                    None => return Err(failed.error.into()),
                };
            }
        }
    }
}

async fn acquire(
    shared: &Arc<Shared>,
    host: &Arc<Host>,
    deadline: Instant,
) -> Result<Carrier, ClientError> {
    loop {
        let slot = match host.checkout() {
            Checkout::Http1(connection) => return Ok(Carrier::Reused(connection)),
            Checkout::Http2(connection) => return Ok(Carrier::Http2(connection)),
            Checkout::Dial(slot) => slot,
            Checkout::Crowded { limit } => {
                let Target { host, port, .. } = host.target.clone();
                return Err(ClientError::TooManyPending { host, port, limit });
            }
            Checkout::Wait(ticket) => match tokio::time::timeout_at(deadline, ticket).await {
                Ok(Ok(Ticket::Connection(connection))) => return Ok(Carrier::Reused(connection)),
                Ok(Ok(Ticket::Slot(slot))) => slot,
                // The queue was dissolved: there is something new to look at.
                Ok(Err(_gone)) => continue,
                Err(_elapsed) => return Err(ClientError::TimedOut),
            },
        };
        // Boxed, because most calls find a connection and should not carry the room for this.
        if let Some(carrier) = Box::pin(open(shared, host, slot)).await? {
            return Ok(carrier);
        }
    }
}

/// A new connection; `None` when another call opened an HTTP/2 connection in the meantime.
async fn open(
    shared: &Arc<Shared>,
    host: &Arc<Host>,
    slot: Slot,
) -> Result<Option<Carrier>, ClientError> {
    let single = if host.speaks_http2.load(Ordering::Relaxed) {
        let permit = host.dialing.acquire().await.ok();
        if host.has_room_http2() {
            return Ok(None);
        }
        permit
    } else {
        None
    };
    let fresh = dial(shared, host, slot).await?;
    let carrier = match fresh {
        Fresh::Http1(connection) => {
            host.speaks_http2.store(false, Ordering::Relaxed);
            Carrier::Fresh(connection)
        }
        Fresh::Http2(connection) => {
            host.add_http2(connection.share());
            Carrier::Http2(connection)
        }
    };
    drop(single);
    Ok(Some(carrier))
}

/// A request in the form hyper sends over HTTP/1.1: the target without a host, and `Host`.
fn over_http1(host: &Host, request: Outgoing) -> Result<Request<RequestBody>, ClientError> {
    let Outgoing { method, path_and_query, mut headers, body } = request;
    if !headers.contains_key(header::HOST) {
        let value = host.header.clone().ok_or_else(|| unspeakable(&host.target))?;
        headers.insert(header::HOST, value);
    }
    // A body is expected with these, so that there is none has to be said (RFC 9110 section 8.6).
    if matches!(method, Method::POST | Method::PUT | Method::PATCH) && body.is_end_stream() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // hyper drops a body without a length from these unless it is told to send it.
    if matches!(method, Method::GET | Method::HEAD)
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
    {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path_and_query);
    *request.headers_mut() = headers;
    Ok(request)
}

/// The way back of `over_http1`.
fn from_http1(request: Request<RequestBody>) -> Outgoing {
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::TRANSFER_ENCODING);
    let path_and_query = head.uri.into_parts().path_and_query;
    Outgoing {
        method: head.method,
        path_and_query: path_and_query.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")),
        headers: head.headers,
        body,
    }
}

/// Why an exchange over HTTP/1.1 failed, and whether it may be tried again.
struct Failed {
    error: ClientError,
    /// The request itself, when not a byte of it was sent.
    unsent: Option<Request<RequestBody>>,
    /// Not a byte of an answer arrived.
    unheard: bool,
}

async fn exchange(
    mut connection: Box<Http1>,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Box<Failed>> {
    connection.forget_heard();
    let mut answer = pin!(connection.sender.try_send_request(request));
    let outcome = poll_fn(|cx| {
        connection.drive(cx);
        answer.as_mut().poll(cx)
    })
    .await;
    let mut failed = match outcome {
        Ok(response) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
            let (head, incoming) = response.into_parts();
            // A second poll of a future that never waits: it only lends the call's waker.
            let mut parts = Some((connection, incoming));
            let body = poll_fn(|cx| {
                Poll::Ready(parts.take().map(|(connection, incoming)| {
                    ResponseBody::from_http1(connection, incoming, cx)
                }))
            })
            .await;
            return Ok(Response::from_parts(head, body.unwrap_or(ResponseBody::Empty)));
        }
        Ok(_switched) => {
            let error =
                ClientError::NotHttp(Arc::from("it changes to a protocol nobody asked for"));
            return Err(Box::new(Failed { error, unsent: None, unheard: false }));
        }
        Err(failed) => failed,
    };
    let unsent = failed.take_message();
    let unheard = !connection.has_heard();
    Err(Box::new(Failed { error: explain(failed.into_error()), unsent, unheard }))
}

async fn over_http2(
    host: &Host,
    mut connection: Http2,
    request: Outgoing,
) -> Result<Response<ResponseBody>, ClientError> {
    let Outgoing { method, path_and_query, mut headers, body } = request;
    let authority = take_host(&mut headers).or_else(|| host.header.clone());
    let authority = authority.ok_or_else(|| unspeakable(&host.target))?;
    let uri = Uri::builder()
        .scheme(if host.target.scheme == Scheme::Http { "http" } else { "https" })
        .authority(authority.as_bytes())
        .path_and_query(path_and_query)
        .build()
        .map_err(|_| unspeakable(&host.target))?;
    let (in_flight, body) = connection.begin(body);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let response = connection.sender.send_request(request).await.map_err(explain)?;
    let (head, incoming) = response.into_parts();
    Ok(Response::from_parts(head, ResponseBody::from_http2(incoming, in_flight)))
}

/// HTTP/2 says it in `:authority` (RFC 9113 section 8.3.1).
fn take_host(headers: &mut HeaderMap) -> Option<HeaderValue> {
    headers.remove(header::HOST)
}

/// hyper's error in our words. The error of a request's body is handed on as it is, because the
/// one who made the body knows what it means.
fn explain(err: hyper::Error) -> ClientError {
    if err.is_user() || err.is_body_write_aborted() {
        let whole: Arc<dyn std::error::Error + Send + Sync> = Arc::from(BoxError::from(err));
        return ClientError::RequestBody(whole);
    }
    let text = Arc::from(describe(&err));
    if err.is_parse() { ClientError::NotHttp(text) } else { ClientError::Broken(text) }
}
