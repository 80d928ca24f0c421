//! Functions behind an endpoint that speaks Lambda's Invoke API: AWS itself, a local stand-in, the
//! runtime interface emulator.
//!
//! AWS: Lambda API Reference, "Invoke", "InvokeWithResponseStream", "Common Errors".

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use super::event_stream::Unframed;
use super::{Invocation, InvocationKind, InvokeError, Invoked, plain_name};
use crate::call::Body;
use crate::integration::aws::{Aws, Base, Keys, LambdaConfig, public};
use crate::integration::body::LimitedBody;
use crate::integration::headers::{API_ID, TRACE_ID};
use crate::integration::streaming::{IDLE_MAX, Streamed};
use crate::model::quotas;
use crate::net::aws::Unsigned;
use crate::net::client::{ClientError, Outgoing, RequestBody, ResponseBody};

const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");
const LOG_TYPE: HeaderName = HeaderName::from_static("x-amz-log-type");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("x-amz-client-context");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Ties an invocation to the call (recorded: the log of a test invocation).
pub(crate) const INTEGRATION_TAG: HeaderName =
    HeaderName::from_static("x-amzn-lambda-integration-tag");
const EVENT_STREAM: &[u8] = b"application/vnd.amazon.eventstream";
/// An error of the service's has a few hundred bytes.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Characters of an error's message that go into a log.
const MESSAGE_CHARS_MAX: usize = 300;
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Whom an invocation comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'s> {
    pub(crate) api_id: &'s HeaderValue,
    pub(crate) user_agent: &'s HeaderValue,
    /// The call's request id.
    pub(crate) tag: Option<&'s HeaderValue>,
    /// `X-Amz-Log-Type`, where the integration maps one.
    pub(crate) log_type: Option<&'s HeaderValue>,
    /// The role to sign as; `None`: the keys for Lambda, if there are any.
    pub(crate) credentials: Option<&'s str>,
    /// The region the integration's URI names.
    pub(crate) aws_region: &'s str,
}

/// Where functions are invoked.
pub(crate) struct InvokeApi {
    base: Option<Base>,
    functions: IndexMap<String, Base>,
    keys: Option<Keys>,
    aws_region: Option<String>,
}

impl fmt::Debug for InvokeApi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("InvokeApi").field("base", &self.base).finish_non_exhaustive()
    }
}

impl InvokeApi {
    /// # Errors
    /// What is wrong with an address.
    pub(crate) fn new(config: LambdaConfig) -> Result<Self, Arc<str>> {
        let LambdaConfig { endpoint, functions, keys, aws_region } = config;
        let functions = functions
            .into_iter()
            .map(|(name, url)| Ok((name, Base::parse(&url)?)))
            .collect::<Result<_, Arc<str>>>()?;
        let base = endpoint.map(|url| Base::parse(&url)).transpose()?;
        Ok(Self { base, functions, keys, aws_region })
    }

    /// Invokes a function and waits until its answer begins.
    pub(crate) async fn invoke(
        &self,
        aws: &Aws,
        invocation: Invocation,
        sender: Sender<'_>,
    ) -> Result<Invoked, InvokeError> {
        let deadline = invocation.deadline;
        let aws_region = self.aws_region.as_deref().unwrap_or(sender.aws_region);
        let base = self.base_of(&invocation.function, aws_region)?;
        let keys = self.keys(aws, sender, deadline).await?;
        let limit = quotas::LAMBDA_PAYLOAD_BYTES_MAX;
        if invocation.payload.len() as u64 > limit {
            return Err(InvokeError::PayloadTooLarge { limit });
        }
        let outgoing = outgoing(aws, &invocation, sender, &base, keys.as_ref(), aws_region)?;
        let host = aws.client.host(&base.target);
        let response = aws.client.send(&host, outgoing, deadline).await.map_err(unreached)?;
        if !response.status().is_success() {
            return Err(refused(response, &invocation.function, deadline).await);
        }
        Ok(invoked(response, invocation.kind, deadline))
    }

    fn base_of(&self, function: &str, aws_region: &str) -> Result<Base, InvokeError> {
        let own = self.functions.get(plain_name(function));
        if let Some(base) = own.or(self.base.as_ref()) {
            return Ok(base.clone());
        }
        if self.keys.is_some() {
            return Ok(public("lambda", aws_region));
        }
        Err(InvokeError::Nowhere(Arc::from(function)))
    }

    async fn keys(
        &self,
        aws: &Aws,
        sender: Sender<'_>,
        deadline: Instant,
    ) -> Result<Option<Keys>, InvokeError> {
        let Some(role) = sender.credentials else { return Ok(self.keys.clone()) };
        match aws.keyring.keys(role, deadline).await {
            Ok(keys) => Ok(Some(keys)),
            Err(why) => Err(InvokeError::NoCredentials(why)),
        }
    }
}

fn outgoing(
    aws: &Aws,
    invocation: &Invocation,
    sender: Sender<'_>,
    base: &Base,
    keys: Option<&Keys>,
    aws_region: &str,
) -> Result<Outgoing, InvokeError> {
    let network = |why: &dyn fmt::Display| InvokeError::Network(Arc::from(why.to_string()));
    let name = utf8_percent_encode(&invocation.function, UNRESERVED);
    let path = match invocation.kind {
        InvocationKind::Stream => {
            format!("{}/2021-11-15/functions/{name}/response-streaming-invocations", base.prefix)
        }
        _ => format!("{}/2015-03-31/functions/{name}/invocations", base.prefix),
    };
    let mut headers = HeaderMap::with_capacity(14);
    let host = HeaderValue::from_str(&base.authority()).map_err(|err| network(&err))?;
    headers.insert(HOST, host);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json.clone());
    headers.insert(header::ACCEPT, json);
    headers.insert(header::USER_AGENT, sender.user_agent.clone());
    headers.insert(API_ID, sender.api_id.clone());
    headers.insert(TRACE_ID, invocation.trace_id.clone());
    let kind = match invocation.kind {
        InvocationKind::RequestResponse | InvocationKind::Stream => "RequestResponse",
        InvocationKind::Event => "Event",
        InvocationKind::DryRun => "DryRun",
    };
    headers.insert(INVOCATION_TYPE, HeaderValue::from_static(kind));
    for (name, value) in [
        (INTEGRATION_TAG, sender.tag),
        (LOG_TYPE, sender.log_type),
        (CLIENT_CONTEXT, invocation.client_context.as_ref()),
    ] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    if let Some(keys) = keys {
        let unsigned =
            Unsigned { method: &Method::POST, path: &path, query: "", body: &invocation.payload };
        let signer = keys.signer(aws_region, "lambda");
        signer.sign(unsigned, &mut headers, aws.clock.now()).map_err(|err| network(&err))?;
    }
    let path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(path));
    Ok(Outgoing {
        method: Method::POST,
        path_and_query: path_and_query.map_err(|err| network(&err))?,
        headers,
        body: RequestBody::Full(invocation.payload.clone()),
    })
}

fn unreached(err: ClientError) -> InvokeError {
    match err {
        ClientError::TimedOut => InvokeError::TimedOut,
        err => InvokeError::Network(Arc::from(err.to_string())),
    }
}

/// The answer of an invocation that was let through.
fn invoked(response: Response<ResponseBody>, kind: InvocationKind, deadline: Instant) -> Invoked {
    let (head, body) = response.into_parts();
    let function_error = head.headers.get(FUNCTION_ERROR);
    let function_error = function_error.and_then(|value| value.to_str().ok()).map(Arc::from);
    let is_framed = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(EVENT_STREAM));
    let body = match (body, kind) {
        (ResponseBody::Empty, _) => Body::Empty,
        (ResponseBody::Full(bytes), InvocationKind::Stream) if is_framed => {
            Body::stream(Unframed::new(Body::from(bytes)))
        }
        (ResponseBody::Full(bytes), _) => Body::from(bytes),
        (ResponseBody::Stream(stream), InvocationKind::Stream) => {
            // The deadline is that of the answer's beginning.
            let until = Instant::now() + quotas::STREAMING_TIMEOUT_MAX;
            let body = Body::stream(Streamed::new(stream, IDLE_MAX, until));
            if is_framed { Body::stream(Unframed::new(body)) } else { body }
        }
        (ResponseBody::Stream(stream), _) => {
            let limit = quotas::LAMBDA_PAYLOAD_BYTES_MAX;
            Body::stream(LimitedBody::new(stream, limit, deadline))
        }
    };
    Invoked { status: head.status.as_u16(), headers: head.headers, function_error, body }
}

/// An error of the service's, by status and name.
async fn refused(
    response: Response<ResponseBody>,
    function: &Arc<str>,
    deadline: Instant,
) -> InvokeError {
    let (head, body) = response.into_parts();
    let named = head.headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok());
    // Some services append a URL.
    let named = named.and_then(|name| name.split(':').next()).unwrap_or_default().to_owned();
    let bytes = match body {
        ResponseBody::Empty => Bytes::new(),
        ResponseBody::Full(bytes) => bytes,
        ResponseBody::Stream(stream) => {
            let collected = Limited::new(stream, ERROR_BYTES_MAX).collect();
            match tokio::time::timeout_at(deadline, collected).await {
                Ok(Ok(collected)) => collected.to_bytes(),
                Ok(Err(_)) => Bytes::new(),
                Err(_elapsed) => return InvokeError::TimedOut,
            }
        }
    };
    let message: Arc<str> = message(&bytes).into();
    match (head.status, named.as_str()) {
        (_, "ResourceNotFoundException") | (StatusCode::NOT_FOUND, _) => {
            InvokeError::NotFound(Arc::clone(function))
        }
        (_, "AccessDeniedException") | (StatusCode::FORBIDDEN, _) => {
            InvokeError::NotPermitted(message)
        }
        (_, "TooManyRequestsException") | (StatusCode::TOO_MANY_REQUESTS, _) => {
            InvokeError::Throttled(message)
        }
        (StatusCode::PAYLOAD_TOO_LARGE, _) => {
            InvokeError::PayloadTooLarge { limit: quotas::LAMBDA_PAYLOAD_BYTES_MAX }
        }
        (status, "") => InvokeError::Service { status: status.as_u16(), message },
        (status, name) => {
            let message = Arc::from(format!("{name}: {message}"));
            InvokeError::Service { status: status.as_u16(), message }
        }
    }
}

/// `Message` or `message` of an error in JSON, shortened.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Error {
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let error = serde_json::from_slice::<Error>(body).ok();
    let text = error.and_then(|error| error.message).unwrap_or_default();
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}
