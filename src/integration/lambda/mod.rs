//! Lambda: what an invocation is, whoever carries it out.
//!
//! Functions run in processes of our own ([`local`]) or behind an endpoint that speaks Lambda's
//! Invoke API (`endpoint`). Both take an [`Invocation`] and give an [`Invoked`].
//!
//! AWS: Lambda API Reference, "Invoke" and "InvokeWithResponseStream".

pub(crate) mod endpoint;
mod event_stream;
pub mod local;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::call::Body;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// One invocation of one function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// ARN, partial ARN or name as the integration has it, stage variables put in; may end in
    /// `:alias` or `:version`.
    pub function: Arc<str>,
    pub payload: Bytes,
    /// The payload was made here, so nobody needs to look whether it is JSON.
    pub is_json: bool,
    pub kind: InvocationKind,
    /// `X-Amzn-Trace-Id` of the call.
    pub trace_id: HeaderValue,
    /// `X-Amz-Client-Context`, base64.
    pub client_context: Option<HeaderValue>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// AWS's `InvocationType`, and the streaming form of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvocationKind {
    RequestResponse,
    /// Accepted, run later; the answer is empty.
    Event,
    DryRun,
    /// `InvokeWithResponseStream`: the body comes as the function makes it.
    Stream,
}

/// What a function, or the service in its place, answered.
#[derive(Debug)]
pub struct Invoked {
    /// 200; 202 for `Event`, 204 for `DryRun`.
    pub status: u16,
    /// The service's headers, which mappings may read and logs show.
    pub headers: HeaderMap,
    /// `X-Amz-Function-Error`: `Handled` or `Unhandled`.
    pub function_error: Option<Arc<str>>,
    /// The function's answer; of a stream the bytes it wrote, without the frames of the service.
    pub body: Body,
}

impl Invoked {
    /// The service's id of the invocation.
    pub fn request_id(&self) -> Option<&str> {
        self.headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok())
    }
}

/// Why there is no answer of a function's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    #[error("there is no function {0}")]
    NotFound(Arc<str>),
    /// Lambda's 403: the gateway may not invoke the function.
    #[error("the function may not be invoked: {0}")]
    NotPermitted(Arc<str>),
    /// No keys for the role that the integration names.
    #[error("no credentials for the function: {0}")]
    NoCredentials(Arc<str>),
    /// Lambda's 429, or a local function's concurrency is used up.
    #[error("the function is throttled: {0}")]
    Throttled(Arc<str>),
    /// Lambda's 413.
    #[error("the payload is longer than {limit} bytes")]
    PayloadTooLarge { limit: u64 },
    /// Another error of the service's.
    #[error("Lambda answered {status}: {message}")]
    Service { status: u16, message: Arc<str> },
    /// Nobody runs it, and no endpoint is known that could.
    #[error(
        "function {0} is not run here, and no endpoint is configured: add [lambda] with an endpoint"
    )]
    Nowhere(Arc<str>),
    #[error("no answer in time")]
    TimedOut,
    #[error("Lambda cannot be reached: {0}")]
    Network(Arc<str>),
}

/// A function's name without account, region, alias and version, whatever form names it: `name`,
/// `123456789012:function:name`, `arn:aws:lambda:us-east-1:123456789012:function:name:prod`.
pub fn plain_name(function: &str) -> &str {
    let name = match function.split_once("function:") {
        Some((_, name)) => name,
        None => function,
    };
    name.split_once(':').map_or(name, |(name, _)| name)
}
