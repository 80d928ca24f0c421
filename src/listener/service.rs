//! From hyper's request to the handler's reply: the last checks, one per protocol.
//!
//! Nothing here allocates for a request without a body that is answered at once. A panic of the
//! handler is caught, counted and answered by [`Handler::refuse`].

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use http::header::{ALT_SVC, CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::call::{Body, Connection, Spelling};
use crate::listener::accept::Front;
use crate::listener::body::{Bounded, Delivered, InFlight, during};
use crate::listener::head::{FIELDS_MAX, REFUSED_METHOD, is_authority};
use crate::listener::watch::Vitals;
use crate::listener::{Answer, Gauges, Handler, Limits, Refused, Speaks};

/// What the requests of one connection share.
pub(super) struct Session<H> {
    pub(super) front: Arc<Front<H>>,
    pub(super) connection: Arc<Connection>,
    pub(super) vitals: Arc<Vitals>,
}

impl<H: Handler> Session<H> {
    /// Asks the handler and contains its panics. What waits goes through `settle`.
    fn ask(&self, request: Request<Body>) -> Answer {
        let handle = || self.front.handler.handle(self.connection.clone(), request);
        catch_unwind(AssertUnwindSafe(handle)).unwrap_or_else(|_| Answer::Now(self.panicked()))
    }

    async fn settle(
        &self,
        answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
    ) -> Response<Body> {
        let settled = AssertUnwindSafe(answer).catch_unwind().await;
        settled.unwrap_or_else(|_| self.panicked())
    }

    /// Runs the handler and contains its panics.
    pub(super) async fn call(&self, request: Request<Body>) -> Response<Body> {
        match self.ask(request) {
            Answer::Now(response) => response,
            Answer::Later(answer) => self.settle(answer).await,
        }
    }

    fn panicked(&self) -> Response<Body> {
        self.front.gauges.panicked();
        self.refuse(Refused::Panicked)
    }

    pub(super) fn refuse(&self, reason: Refused) -> Response<Body> {
        self.front.gauges.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(peer = %self.connection.peer, %reason, "A request was refused.");
        self.front.handler.refuse(&self.connection, reason)
    }

    fn offer_http3(&self, response: &mut Response<Body>) {
        if let Some(offer) = &self.front.alt_svc {
            response.headers_mut().insert(ALT_SVC, offer.clone());
        }
    }
}

/// What hyper waits for: a response, mostly there at once. Small, because HTTP/2 copies it several
/// times and HTTP/1.1 keeps its room.
pub(super) enum Replying<B> {
    Now(Option<Response<B>>),
    Later(Pin<Box<dyn Future<Output = Response<B>> + Send>>),
}

impl<B> Replying<B> {
    fn now(response: Response<B>) -> Self {
        Replying::Now(Some(response))
    }
}

// A response that is there is moved, never pinned.
impl<B> Unpin for Replying<B> {}

impl<B> Future for Replying<B> {
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Replying::Now(response) => {
                response.take().map_or(Poll::Pending, |there| Poll::Ready(Ok(there)))
            }
            Replying::Later(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

/// Answers one HTTP/1.1 request; the guard has checked its head.
pub(super) fn http1<H: Handler>(
    session: &Arc<Session<H>>,
    request: Request<Incoming>,
) -> Replying<Body> {
    if request.method().as_str() == REFUSED_METHOD {
        let reason = session.vitals.refused.get().copied();
        let reason = reason.unwrap_or(Refused::Malformed("request"));
        let mut response = match session.front.config.speaks {
            Speaks::RedirectTo(_) => plain(StatusCode::BAD_REQUEST, "Bad Request\n"),
            _ => session.refuse(reason),
        };
        close(&mut response);
        return Replying::now(response);
    }
    if let Speaks::RedirectTo(port) = session.front.config.speaks {
        let mut response = redirect(&request, port);
        close(&mut response);
        return Replying::now(response);
    }
    let (mut parts, body) = request.into_parts();
    if let Some(names) = session.vitals.spelling_of_next() {
        parts.extensions.insert(Spelling::new(names));
    }
    let limits = &session.front.config.limits;
    let mut chunked = false;
    let body = if body.is_end_stream() {
        Body::Empty
    } else if body.size_hint().exact().is_some() {
        // The guard has bounded the declared length, and the watch the pace.
        Body::Incoming(body)
    } else {
        chunked = true;
        Body::stream(Bounded::new(body, limits.body_bytes, limits.body_stall, None))
    };
    let finish = move |session: &Session<H>, mut response: Response<Body>| {
        if chunked && session.vitals.refused.get().is_some() {
            // The body broke its framing, so nothing behind it can be read.
            close(&mut response);
        }
        session.offer_http3(&mut response);
        response
    };
    match session.ask(Request::from_parts(parts, body)) {
        Answer::Now(response) => Replying::now(finish(session, response)),
        Answer::Later(answer) => {
            let session = Arc::clone(session);
            let call = InFlight::new(session.vitals.clone());
            Replying::Later(Box::pin(async move {
                let response = session.settle(answer).await;
                finish(&session, response).map(|body| during(body, call))
            }))
        }
    }
}

/// Answers one HTTP/2 request.
pub(super) fn http2<H: Handler>(
    session: &Arc<Session<H>>,
    request: Request<Incoming>,
) -> Replying<Delivered> {
    let call = InFlight::new(session.vitals.clone());
    let (parts, body) = request.into_parts();
    let limits = &session.front.config.limits;
    let to_head = parts.method == Method::HEAD;
    let finish = move |session: &Session<H>, mut response: Response<Body>| {
        session.offer_http3(&mut response);
        leave_out_body(to_head, &mut response);
        response.map(|body| Delivered::new(body, call))
    };
    if let Err(reason) = check(&parts, limits) {
        session.vitals.closing.store(true, Ordering::Relaxed);
        return Replying::now(finish(session, session.refuse(reason)));
    }
    let body = if body.is_end_stream() {
        Body::Empty
    } else {
        // h2 compares the length with the declared one.
        Body::stream(Bounded::new(body, limits.body_bytes, limits.body_stall, None))
    };
    match session.ask(Request::from_parts(parts, body)) {
        Answer::Now(response) => {
            session.vitals.answered.store(true, Ordering::Relaxed);
            Replying::now(finish(session, response))
        }
        Answer::Later(answer) => {
            let session = Arc::clone(session);
            Replying::Later(Box::pin(async move {
                let response = session.settle(answer).await;
                finish(&session, response)
            }))
        }
    }
}

/// Answers that have no body, whatever the handler gave them (RFC 9110 section 6.4.1). hyper sees
/// to it over HTTP/1.1 only.
fn leave_out_body(to_head: bool, response: &mut Response<Body>) {
    let none = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !to_head && !none {
        return;
    }
    if to_head
        && !none
        && !response.headers().contains_key(CONTENT_LENGTH)
        && let Some(length) = response.body().size_hint().exact()
        && length > 0
    {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.body_mut().take();
}

/// What the guard checks for HTTP/1.1, for protocols whose framing is beyond doubt.
pub(super) fn check(parts: &http::request::Parts, limits: &Limits) -> Result<(), Refused> {
    if parts.method == Method::CONNECT || parts.method.as_str() == REFUSED_METHOD {
        return Err(Refused::Malformed("method is not for a gateway"));
    }
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes {
        return Err(Refused::UriTooLong { limit: limits.uri_bytes });
    }
    let headers = &parts.headers;
    if headers.len() > FIELDS_MAX {
        return Err(Refused::TooManyHeaders { limit: FIELDS_MAX });
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.header_bytes {
        return Err(Refused::HeadersTooLarge { limit: limits.header_bytes });
    }
    authority(&parts.uri, headers)?;
    if let Some(length) = content_length(headers)?
        && length > limits.body_bytes
    {
        return Err(Refused::BodyTooLarge { limit: limits.body_bytes });
    }
    Ok(())
}

/// RFC 9113 section 8.3.1 and RFC 9114 section 4.3.1: one authority, said once or twice alike.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Refused::Ambiguous("more than one Host"));
    }
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let authority = match (authority, host.map(HeaderValue::as_bytes)) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(Refused::Ambiguous("Host is not :authority"));
        }
        (Some(authority), _) => authority,
        (None, Some(host)) => host,
        (None, None) => return Err(Refused::Malformed("neither :authority nor Host")),
    };
    if is_authority(authority) { Ok(()) } else { Err(Refused::Malformed("authority")) }
}

/// The declared length, if any; two declarations are one too many.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(Refused::Ambiguous("more than one Content-Length"));
    }
    let digits = length.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Ambiguous("Content-Length is not a number"));
    }
    Ok(Some(length.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)))
}

/// Connection-specific fields have no place outside HTTP/1.1 (RFC 9114 section 4.2).
pub(super) fn has_connection_fields(headers: &HeaderMap) -> bool {
    headers.contains_key(CONNECTION)
        || headers.contains_key(TRANSFER_ENCODING)
        || headers.contains_key("keep-alive")
        || headers.contains_key("proxy-connection")
        || headers.contains_key("upgrade")
}

fn close(response: &mut Response<Body>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// RFC 9110 section 15.4.9: 308 keeps the method; bodies are not asked for again in the clear.
fn redirect(request: &Request<Incoming>, port: u16) -> Response<Body> {
    let authority = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST).and_then(|host| host.to_str().ok()),
    };
    let host = authority.and_then(host_of);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let known = matches!(*request.method(), Method::GET | Method::HEAD) && path.starts_with('/');
    let location = host.filter(|_| known).and_then(|host| {
        let location = match port {
            443 => format!("https://{host}{path}"),
            _ => format!("https://{host}:{port}{path}"),
        };
        HeaderValue::try_from(location).ok()
    });
    match location {
        Some(location) => {
            let mut response = plain(StatusCode::PERMANENT_REDIRECT, "Use HTTPS.\n");
            response.headers_mut().insert(LOCATION, location);
            response
        }
        None => plain(StatusCode::FORBIDDEN, "Forbidden: use HTTPS.\n"),
    }
}

/// An authority without its port; brackets of an IPv6 address stay.
fn host_of(authority: &str) -> Option<&str> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    (!host.is_empty()).then_some(host)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Full(text.as_bytes().into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

/// hyper's way to run HTTP/2 streams: on the runtime of their connection, which owns them. What
/// still panics there (a reply's body) costs one stream and is counted.
///
/// hyper comes here right after it called the service. An answer that was there at once is mostly
/// sent at once as well: it needs no task then, and leaves with the others of the same poll.
#[derive(Clone, Debug)]
pub(super) struct OnThisRuntime {
    pub(super) gauges: Arc<Gauges>,
    pub(super) vitals: Arc<Vitals>,
}

impl<F> hyper::rt::Executor<F> for OnThisRuntime
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[allow(clippy::disallowed_methods, reason = "the stream ends with its tracked connection")]
    fn execute(&self, future: F) {
        let gauges = self.gauges.clone();
        // Not an async block: that would hold the future twice, and a task is copied several times.
        let contained = AssertUnwindSafe(future).catch_unwind().map(move |ended| {
            if ended.is_err() {
                gauges.panicked();
            }
        });
        if !self.vitals.take_turn() {
            drop(tokio::spawn(contained));
            return;
        }
        let mut contained = Box::pin(contained);
        // Nobody needs to be woken: what has not ended yet is polled anew by its task.
        let mut nobody = Context::from_waker(Waker::noop());
        if contained.as_mut().poll(&mut nobody).is_pending() {
            drop(tokio::spawn(contained));
        }
    }
}
