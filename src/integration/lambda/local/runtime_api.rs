//! The Lambda Runtime API, as one process sees it.
//!
//! Each process has a listener of its own on loopback, so that nobody has to tell processes apart.
//! The client in the process asks for work with a GET that waits, and posts what came of it. A
//! process that uses the API wrongly hurts only itself: its answers are refused, and it is its
//! supervisor that ends it.
//!
//! AWS: Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes", and there the
//! OpenAPI definition of 2018-06-01; "Building a custom runtime for AWS Lambda" (streaming).
//! Not here: extensions, telemetry, SnapStart's restore.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::desk::{Answering, Desk, DeskError};
use super::failure::{Failure, function_error};
use super::pool::{Job, Offer};
use super::{answered, stream};
use crate::call::Body;

/// Connections of one process; its client needs one or two.
const CONNECTIONS_MAX: usize = 32;
/// A head of the client's; hyper's least.
const BUFFER_BYTES: usize = 64 * 1024;
/// An answer, bytes. AWS: 6 MB, told in its error as 6,291,556: a little for the frame around it.
pub(super) const ANSWER_BYTES_MAX: usize = 6_291_556;
/// Of an answer that is too long so much is read before the connection is given up, so that the
/// client hears why.
const ANSWER_BYTES_READ_MAX: u64 = 64 << 20;
/// The pause after a connection could not be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const PREFIX: &str = "/2018-06-01/runtime/";
const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");

type Answer = Response<Full<Bytes>>;

/// Serves at the process's home until it is over. Tasks are tracked by `connections` besides the node.
pub(super) fn serve(listener: TcpListener, desk: &Arc<Desk>, connections: &TaskTracker) {
    let tasks = desk.function.host.tasks.on(desk.home.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (desk, tracker) = (Arc::clone(desk), connections.clone());
    tasks.clone().spawn(connections.track_future(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = desk.over.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let desk = Arc::clone(&desk);
            tasks.spawn(tracker.track_future(async move {
                let over = desk.over.clone();
                tokio::select! {
                    () = connection(stream, desk) => {}
                    () = over.cancelled() => {}
                }
                drop(place);
            }));
        }
    }));
}

async fn connection(stream: TcpStream, desk: Arc<Desk>) {
    // Answers are one small packet each.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| answer(Arc::clone(&desk), request));
    let served = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(BUFFER_BYTES)
        // A client says nothing for as long as its function works.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "A connection of a function's runtime client broke.");
    }
}

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.splitn(4, '/').collect();
    let answer = match (&head.method, parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(&desk).await,
        (&Method::POST, ["invocation", id, "response"]) => match desk.answer(id) {
            Ok(answering) => response(answering, &head.headers, body).await,
            Err(error) => refusal(&error),
        },
        (&Method::POST, ["invocation", id, "error"]) => match desk.answer(id) {
            Ok(answering) => error(answering, &head.headers, body).await,
            Err(error) => refusal(&error),
        },
        (&Method::POST, ["init", "error"]) => init_error(&desk, &head.headers, body).await,
        _ => said(StatusCode::NOT_FOUND, "ResourceNotFound", "404 page not found"),
    };
    Ok(answer)
}

/// `GET /runtime/invocation/next`: waits for work.
async fn next(desk: &Arc<Desk>) -> Answer {
    let question = match desk.ask(Instant::now()) {
        Ok(question) => question,
        Err(error) => return refusal(&error),
    };
    let offer = desk.function.pool.offer(desk.process, desk.generation, &desk.home);
    if question.is_first {
        // It no longer counts as starting, so another may.
        desk.function.grow();
    }
    let job = match offer {
        Offer::Job(job) => Ok(*job),
        Offer::Wait(mut wait) => tokio::select! {
            biased;
            job = &mut wait => job.map_err(|_| ()),
            _ = question.superseded => return refusal(&DeskError::OutOfTurn),
        },
        Offer::Retire => Err(()),
    };
    let Ok(mut job) = job else {
        // The supervisor ends the process while it still waits for this answer.
        desk.retired.cancel();
        desk.over.cancelled().await;
        return refusal(&DeskError::OutOfTurn);
    };
    let answer = work(desk, &mut job);
    match desk.begin(job, Instant::now()) {
        Ok(()) => answer,
        Err(job) => {
            desk.function.give_back(*job);
            refusal(&DeskError::OutOfTurn)
        }
    }
}

/// The invocation as the client gets it.
fn work(desk: &Desk, job: &mut Job) -> Answer {
    let timeout = desk.function.config.timeout;
    let deadline = desk.function.host.clock.now().plus(timeout).as_millis();
    let mut answer = Response::new(Full::new(job.payload.clone()));
    let headers = answer.headers_mut();
    headers.reserve(8);
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REQUEST_ID, text(&job.id));
    headers.insert(DEADLINE, HeaderValue::from(deadline));
    headers.insert(FUNCTION_ARN, job.arn.clone());
    headers.insert(TRACE_ID, job.trace_id.clone());
    if let Some(context) = job.client_context.take() {
        headers.insert(CLIENT_CONTEXT, context);
    }
    answer
}

/// `POST /runtime/invocation/{id}/response`.
async fn response(answering: Answering, headers: &HeaderMap, body: Incoming) -> Answer {
    let streams = headers
        .get(&RESPONSE_MODE)
        .is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"streaming"));
    if streams && answering.streams {
        return match stream::pass_on(answering, body).await {
            Ok(()) => accepted(),
            Err(stream::TooLong) => too_large(stream::STREAM_BYTES_MAX),
        };
    }
    match collect(headers, body).await {
        Ok(Collected { body, error: None }) => {
            answering.finish(answered(200, None, Body::from(body)));
            accepted()
        }
        // A stream that broke, to a caller who takes it whole.
        Ok(Collected { error: Some(error), .. }) => {
            answering.finish(function_error(error));
            accepted()
        }
        Err(Unread::TooLarge) => {
            let failure = Failure::AnswerTooLarge { limit: ANSWER_BYTES_MAX };
            let invoked = failure.invoked(&answering.id);
            answering.finish(invoked);
            too_large(ANSWER_BYTES_MAX as u64)
        }
        // The supervisor answers when the process is gone; if it lives it may try again.
        Err(Unread::Broken) => refusal(&DeskError::OutOfTurn),
    }
}

/// `POST /runtime/invocation/{id}/error`.
async fn error(answering: Answering, headers: &HeaderMap, body: Incoming) -> Answer {
    match collect(headers, body).await {
        Ok(Collected { body, .. }) => {
            let body = if body.is_empty() { error_of(headers) } else { body };
            answering.finish(function_error(body));
            accepted()
        }
        Err(Unread::TooLarge) => {
            answering.finish(function_error(error_of(headers)));
            too_large(ANSWER_BYTES_MAX as u64)
        }
        Err(Unread::Broken) => refusal(&DeskError::OutOfTurn),
    }
}

/// `POST /runtime/init/error`.
async fn init_error(desk: &Desk, headers: &HeaderMap, body: Incoming) -> Answer {
    let Ok(Collected { body, .. }) = collect(headers, body).await else {
        return refusal(&DeskError::OutOfTurn);
    };
    let body = if body.is_empty() { error_of(headers) } else { body };
    match desk.fail_init(Failure::Init(body)) {
        Ok(()) => accepted(),
        Err(error) => refusal(&error),
    }
}

/// An error of which only the header tells.
fn error_of(headers: &HeaderMap) -> Bytes {
    let kind = headers
        .get("lambda-runtime-function-error-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("Runtime.Unknown");
    json!({ "errorType": kind, "errorMessage": "" }).to_string().into()
}

struct Collected {
    body: Bytes,
    /// The body's trailers said that it broke.
    error: Option<Bytes>,
}

enum Unread {
    TooLarge,
    Broken,
}

/// The whole body; a long one is read on and thrown away.
async fn collect(headers: &HeaderMap, mut body: Incoming) -> Result<Collected, Unread> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut total: u64 = 0;
    let mut error = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                error = frame.into_trailers().ok().and_then(|trailers| stream::error(&trailers));
                continue;
            }
        };
        total += data.len() as u64;
        if total > ANSWER_BYTES_READ_MAX {
            break;
        }
        if total > ANSWER_BYTES_MAX as u64 {
            (first, rest) = (None, BytesMut::new());
            continue;
        }
        match first {
            // Most answers are one frame, which is not copied.
            None if rest.is_empty() && body.is_end_stream() => first = Some(data),
            None => {
                let known: usize = length.unwrap_or(0);
                rest.reserve(known.min(ANSWER_BYTES_MAX).saturating_sub(rest.len()));
                rest.extend_from_slice(&data);
            }
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    if total > ANSWER_BYTES_MAX as u64 {
        return Err(Unread::TooLarge);
    }
    let body = if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() };
    Ok(Collected { body, error })
}

fn accepted() -> Answer {
    said_json(StatusCode::ACCEPTED, Bytes::from_static(b"{\"status\":\"OK\"}"))
}

fn too_large(limit: u64) -> Answer {
    let message = format!("Exceeded maximum allowed payload size ({limit} bytes).");
    said(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

fn refusal(error: &DeskError) -> Answer {
    match error {
        DeskError::OutOfTurn => {
            said(StatusCode::FORBIDDEN, "InvalidStateTransition", "State transition is not allowed")
        }
        DeskError::UnknownId => {
            said(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
        }
    }
}

fn said(status: StatusCode, kind: &str, message: &str) -> Answer {
    let body = json!({ "errorMessage": message, "errorType": kind });
    said_json(status, body.to_string().into())
}

fn said_json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
