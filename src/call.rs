//! The thing that travels: a call on its way in, a reply on its way out.
//!
//! This module holds data only. Who fills a field is said at the field; what is decided from it is
//! the business of the floors above.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use uuid::Uuid;

use crate::model::ids::NodeName;
use crate::net::clock::Timestamp;

/// One request in flight, without its body: the body is handed on by value, while the head is
/// shared with whoever fills the cache after the client has gone.
#[derive(Debug)]
pub struct Call {
    /// `$context.requestId` and `x-amzn-RequestId`.
    pub id: Uuid,
    /// `$context.extendedRequestId` and `x-amz-apigw-id`: 15 characters of URL-safe base64 and `=`.
    pub extended_id: ExtendedId,
    pub received_at: Timestamp,
    pub connection: Arc<Connection>,
    pub head: http::request::Parts,
}

/// Random text that names a call towards AWS support, as AWS forms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedId(pub [u8; 16]);

impl ExtendedId {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// A number from 0 to [`Self::DRAWS`] less 1, the same at every node: what a canary draws by.
    /// The client has no say in the id.
    pub fn draw(&self) -> u32 {
        let [a, b, c, d, ..] = self.0.map(sextet);
        a << 18 | b << 12 | c << 6 | d
    }

    pub const DRAWS: u32 = 1 << 24;
}

/// The six bits that a character of URL-safe base64 stands for.
fn sextet(character: u8) -> u32 {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    u32::from(value)
}

/// How a client spelled the names of its headers, where it had a choice: HTTP/1.1 keeps their case,
/// HTTP/2 and HTTP/3 have none. An extension of the call's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling(Bytes);

impl Spelling {
    /// The names in order, one a line.
    pub fn new(names: Bytes) -> Self {
        Self(names)
    }

    /// The names in order, one a line.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// A name as the client wrote it; the last spelling of several.
    pub fn of(&self, name: &HeaderName) -> Option<&str> {
        let mut lines = self.0.rsplit(|byte| *byte == b'\n');
        let found = lines.find(|line| line.eq_ignore_ascii_case(name.as_str().as_bytes()))?;
        std::str::from_utf8(found).ok()
    }
}

/// Which way a call came in. Endpoint types are doors, not pipelines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// A client at an edge node.
    Edge,
    /// A client at the region's public listener.
    Region,
    /// A client at the region's private listener.
    Private,
    /// An edge, through the tunnel; its certificate proved its name and role.
    Tunnel { edge: NodeName },
}

/// What is known of a client's connection; shared by its calls.
#[derive(Clone, Debug)]
pub struct Connection {
    pub door: Door,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// `TLSv1.3`, `TLSv1.2`; empty without TLS.
    pub tls_version: &'static str,
    /// OpenSSL's or IANA's name as rustls prints it; empty without TLS.
    pub cipher_suite: &'static str,
    /// Server name of the TLS handshake, lower case.
    pub sni: Option<String>,
}

/// A reply on its way out.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    /// What the integration said, for `$context.integration.*`.
    pub integration: Option<IntegrationReport>,
    /// Set when the gateway itself made this reply: the gateway response type, such as `THROTTLED`.
    pub refusal: Option<RefusalReport>,
    pub cache: CacheStatus,
    /// Set where a cache further down vouches for the reply: how long it may still be kept, and
    /// the last purge that had been applied when the answer was begun.
    pub freshness: Option<Freshness>,
    /// Whether the execution log has this call already.
    pub is_logged: bool,
}

/// What an integration did for a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrationReport {
    /// What the endpoint answered; 0 where it did not.
    pub status: u16,
    pub latency_ms: u64,
    /// What a function's code answered, where the endpoint is Lambda and hands it through; 0 where
    /// the code gave no status.
    pub function_status: Option<u16>,
    /// Why there is no answer, in the words of the execution log.
    pub error: Option<Arc<str>>,
    /// The AWS service's own id of the request.
    pub request_id: Option<Arc<str>>,
    /// `responseTransferMode` is STREAM.
    pub is_streamed: bool,
}

/// Why the gateway answered by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalReport {
    /// `$context.error.responseType`.
    pub response_type: Cow<'static, str>,
    /// `$context.error.message`; empty where AWS's is `null`.
    pub message: Cow<'static, str>,
    /// `$context.error.validationErrorString`: what is wrong with the client's body.
    pub validation_error: Option<Arc<str>>,
    /// For the log only; never shown to the caller.
    pub cause: Option<Arc<str>>,
    /// The body that was refused, where the execution log shows bodies.
    pub request_body: Option<Bytes>,
}

/// Where the answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// The method is not cached.
    Off,
    Hit {
        age_seconds: u32,
    },
    Miss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Seconds this reply may still be kept, counted from when it arrived.
    pub ttl_seconds: u32,
    /// Seconds the reply has already lived in a cache.
    pub age_seconds: u32,
    /// Last purge sequence applied when the answer was begun.
    pub as_of_seq: u64,
}

impl Reply {
    pub fn new(status: StatusCode, headers: HeaderMap, body: Body) -> Self {
        Self {
            status,
            headers,
            body,
            integration: None,
            refusal: None,
            cache: CacheStatus::Off,
            freshness: None,
            is_logged: false,
        }
    }
}

/// A body in either direction, streamed with back-pressure.
pub enum Body {
    Empty,
    /// Known whole; taken at once.
    Full(Bytes),
    /// From a hyper connection, either side.
    Incoming(hyper::body::Incoming),
    /// Anything else: HTTP/3, the tunnel, a limit, a meter.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

/// Why a body ended before its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BodyError {
    #[error("body is longer than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the other side went away: {0}")]
    Aborted(Arc<str>),
    #[error("no data within the time allowed")]
    TimedOut,
    /// Whoever makes the body said that it failed: a function behind a streamed answer.
    #[error("whoever made it has failed: {0}")]
    Failed(Arc<str>),
}

impl BodyError {
    pub fn aborted(cause: impl std::fmt::Display) -> Self {
        Self::Aborted(Arc::from(cause.to_string()))
    }
}

impl Body {
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::Stream(Box::pin(body))
    }

    /// Leaves an empty body behind.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Body::Empty)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Body::Empty } else { Body::Full(bytes) }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Empty => out.write_str("Empty"),
            Body::Full(bytes) => write!(out, "Full({} bytes)", bytes.len()),
            Body::Incoming(_) => out.write_str("Incoming"),
            Body::Stream(_) => out.write_str("Stream"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Full(_) => match self.take() {
                Body::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Body::Incoming(incoming) => {
                Pin::new(incoming).poll_frame(cx).map_err(BodyError::aborted)
            }
            Body::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(_) => false,
            Body::Incoming(incoming) => incoming.is_end_stream(),
            Body::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Incoming(incoming) => incoming.size_hint(),
            Body::Stream(stream) => stream.size_hint(),
        }
    }
}

/// What parameter mappings made of a call, for the request to the integration. `mapping` fills it,
/// `integration` uses it; neither knows the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedParameters {
    /// A name may come several times; it replaces the client's header of that name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Names and values as they are meant, not encoded.
    pub query: Vec<(Arc<str>, String)>,
    /// Values for `{name}` in the integration's URI.
    pub path: Vec<(Arc<str>, PathValue)>,
}

/// A value that goes into a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathValue {
    /// As it stood in the client's path: its percent signs already encode something.
    Raw(String),
    /// As it is meant: its percent signs are percent signs.
    Text(String),
}
