//! Gateway responses: the one place where errors become status codes.
//!
//! Every room's error enum is matched to the end here, so a new variant does not compile until it
//! has a line. The caller sees AWS's text for the type; the cause goes to the log only.
//!
//! AWS: API Gateway Developer Guide, "Gateway response types for API Gateway"; bytes as recorded:
//! the early phases write `{"message":"…"}`, a failing integration `{"message": "…"}`.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::auth::sigv4;
use crate::call::{Body, BodyError, Call, IntegrationReport, RefusalReport, Reply};
use crate::deployment::snapshot::{self, ResolveError};
use crate::integration::IntegrationError;
use crate::integration::lambda::InvokeError;
use crate::limits::LimitsError;
use crate::listener::Refused;
use crate::mapping::MappingError;
use crate::mapping::compression::DecodeError;
use crate::mapping::lambda_reply::ReplyError;
use crate::tunnel::{ResetReason, TunnelError};

/// AWS's gateway response types, and what of ours stands beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    RequestTooLarge,
    /// 414; not customisable and without a name among AWS's types.
    UriTooLong,
    ResourceNotFound,
    AuthorizerConfigurationError,
    MissingAuthenticationToken,
    BadRequestBody,
    InvalidSignature,
    /// The same type for a request whose `Authorization` is no signature.
    IncompleteSignature,
    InvalidApiKey,
    BadRequestParameters,
    AuthorizerFailure,
    Unauthorized,
    AccessDenied,
    WafFiltered,
    ExpiredToken,
    /// Unknown API, stage or door. AWS answers it before an API is known.
    Forbidden,
    /// A custom domain that goes by routing rules alone, and none fits.
    NotFound,
    /// No refusal, but an answer of the gateway's own as well: a host name's health check.
    Healthy,
    /// The request is malformed; AWS's front end answers it before an API is known.
    BadRequest,
    UnsupportedMediaType,
    Throttled,
    QuotaExceeded,
    IntegrationTimeout,
    /// The backend cannot be reached or broke off.
    IntegrationFailure,
    /// A function that Lambda does not run for this call: throttled, not permitted, or not asked by
    /// POST. The table of types has 504 for it; what is recorded is 500.
    IntegrationRefused,
    /// The backend answered something that is not HTTP or too large.
    BadIntegrationResponse,
    ApiConfigurationError,
    /// The region cannot be reached from this edge, or the node is shutting down.
    ServiceUnavailable,
    /// A defect of ours; the call's panic was caught.
    Internal,
}

/// What a type looks like on the wire.
#[derive(Clone, Copy)]
struct Form {
    name: &'static str,
    status: StatusCode,
    /// `x-amzn-ErrorType`.
    error_type: &'static str,
    /// `None`: AWS says `null`.
    message: Option<&'static str>,
    style: Style,
    /// Made of the message by the style.
    body: &'static str,
}

/// How a message becomes a body. Recorded, but for the capital letter, which is a field report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// The message and nothing else, as plain text without an error type.
    Plain,
    /// `{"message":"…"}`: the early phases.
    Tight,
    /// `{"message": "…"}`: a failing integration.
    Spaced,
    /// `{"Message":"…"}`: policies.
    Capital,
}

/// The form of a type: its body is written out, so that refusing in masses costs no formatting.
macro_rules! form {
    ($name:literal, $status:ident, $style:ident, $error_type:literal, null) => {
        Form {
            name: $name,
            status: StatusCode::$status,
            error_type: $error_type,
            message: None,
            style: Style::$style,
            body: r#"{"message":null}"#,
        }
    };
    ($name:literal, $status:ident, Plain, $message:literal) => {
        Form {
            name: $name,
            status: StatusCode::$status,
            error_type: "",
            message: Some($message),
            style: Style::Plain,
            body: $message,
        }
    };
    ($name:literal, $status:ident, Tight, $error_type:literal, $message:literal) => {
        form!(@ $name, $status, Tight, $error_type, $message, "{\"message\":\"")
    };
    ($name:literal, $status:ident, Spaced, $error_type:literal, $message:literal) => {
        form!(@ $name, $status, Spaced, $error_type, $message, "{\"message\": \"")
    };
    ($name:literal, $status:ident, Capital, $error_type:literal, $message:literal) => {
        form!(@ $name, $status, Capital, $error_type, $message, "{\"Message\":\"")
    };
    (@ $name:literal, $status:ident, $style:ident, $error_type:literal, $message:literal,
        $before:literal) => {
        Form {
            name: $name,
            status: StatusCode::$status,
            error_type: $error_type,
            message: Some($message),
            style: Style::$style,
            body: concat!($before, $message, "\"}"),
        }
    };
}

impl Type {
    #[rustfmt::skip]
    fn form(self) -> Form {
        match self {
            Type::RequestTooLarge => form!("REQUEST_TOO_LARGE", PAYLOAD_TOO_LARGE, Plain,
                "HTTP content length exceeded 10485760 bytes."),
            Type::UriTooLong => form!("DEFAULT_4XX", URI_TOO_LONG, Tight,
                "RequestUriTooLongException", "Request URI too long"),
            Type::ResourceNotFound => form!("RESOURCE_NOT_FOUND", NOT_FOUND, Tight,
                "NotFoundException", "Not Found"),
            Type::AuthorizerConfigurationError => form!("AUTHORIZER_CONFIGURATION_ERROR",
                INTERNAL_SERVER_ERROR, Tight, "AuthorizerConfigurationException", null),
            Type::MissingAuthenticationToken => form!("MISSING_AUTHENTICATION_TOKEN", FORBIDDEN,
                Tight, "MissingAuthenticationTokenException", "Missing Authentication Token"),
            Type::BadRequestBody => form!("BAD_REQUEST_BODY", BAD_REQUEST, Tight,
                "BadRequestException", "Invalid request body"),
            Type::InvalidSignature => form!("INVALID_SIGNATURE", FORBIDDEN, Tight,
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."),
            Type::IncompleteSignature => form!("INVALID_SIGNATURE", FORBIDDEN, Tight,
                "IncompleteSignatureException",
                "Invalid key=value pair (missing equal-sign) in Authorization header"),
            Type::InvalidApiKey => form!("INVALID_API_KEY", FORBIDDEN, Tight,
                "ForbiddenException", "Forbidden"),
            Type::BadRequestParameters => form!("BAD_REQUEST_PARAMETERS", BAD_REQUEST, Tight,
                "BadRequestException", "Missing required request parameters: []"),
            Type::AuthorizerFailure => form!("AUTHORIZER_FAILURE", INTERNAL_SERVER_ERROR, Tight,
                "AuthorizerFailureException", null),
            Type::Unauthorized => form!("UNAUTHORIZED", UNAUTHORIZED, Tight,
                "UnauthorizedException", "Unauthorized"),
            Type::AccessDenied => form!("ACCESS_DENIED", FORBIDDEN, Capital,
                "AccessDeniedException", "User is not authorized to access this resource"),
            Type::WafFiltered => form!("WAF_FILTERED", FORBIDDEN, Tight,
                "ForbiddenException", "Forbidden"),
            Type::ExpiredToken => form!("EXPIRED_TOKEN", FORBIDDEN, Tight,
                "ExpiredTokenException", "The security token included in the request is expired"),
            Type::Forbidden => form!("DEFAULT_4XX", FORBIDDEN, Tight,
                "ForbiddenException", "Forbidden"),
            Type::NotFound => form!("DEFAULT_4XX", NOT_FOUND, Tight,
                "NotFoundException", "Not Found"),
            Type::Healthy => form!("HEALTHY", OK, Plain, "healthy"),
            Type::BadRequest => form!("DEFAULT_4XX", BAD_REQUEST, Tight,
                "BadRequestException", "Bad Request"),
            Type::UnsupportedMediaType => form!("UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE,
                Tight, "BadRequestException", "Unsupported Media Type"),
            Type::Throttled => form!("THROTTLED", TOO_MANY_REQUESTS, Tight,
                "TooManyRequestsException", "Too Many Requests"),
            Type::QuotaExceeded => form!("QUOTA_EXCEEDED", TOO_MANY_REQUESTS, Tight,
                "LimitExceededException", "Limit Exceeded"),
            Type::IntegrationTimeout => form!("INTEGRATION_TIMEOUT", GATEWAY_TIMEOUT, Spaced,
                "InternalServerErrorException", "Endpoint request timed out"),
            Type::IntegrationFailure => form!("INTEGRATION_FAILURE", GATEWAY_TIMEOUT, Spaced,
                "InternalServerErrorException", "Network error communicating with endpoint"),
            Type::IntegrationRefused => form!("INTEGRATION_FAILURE", INTERNAL_SERVER_ERROR, Spaced,
                "InternalServerErrorException", "Internal server error"),
            Type::BadIntegrationResponse => form!("INTEGRATION_FAILURE", BAD_GATEWAY, Spaced,
                "InternalServerErrorException", "Internal server error"),
            Type::ApiConfigurationError => form!("API_CONFIGURATION_ERROR", INTERNAL_SERVER_ERROR,
                Spaced, "InternalServerErrorException", "Internal server error"),
            Type::ServiceUnavailable => form!("DEFAULT_5XX", SERVICE_UNAVAILABLE, Tight,
                "ServiceUnavailableException", "Service Unavailable"),
            Type::Internal => form!("DEFAULT_5XX", INTERNAL_SERVER_ERROR, Tight,
                "InternalServerErrorException", "Internal server error"),
        }
    }

    /// `$context.error.responseType`.
    pub fn name(self) -> &'static str {
        self.form().name
    }

    pub fn status(self) -> StatusCode {
        self.form().status
    }
}

/// A reply the gateway makes itself, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub kind: Type,
    /// Replaces the type's own message where AWS's text depends on the request.
    pub message: Option<Arc<str>>,
    /// Of a body that does not fit its model, where anybody will be told.
    pub unfit: Option<Box<Unfit>>,
    /// For the log only.
    pub cause: Option<Arc<str>>,
    /// Where an integration was asked and did not answer.
    pub integration: Option<Box<IntegrationReport>>,
    /// Whether the execution log has the call already.
    pub is_logged: bool,
}

/// A body that was refused.
#[derive(Clone, Debug)]
pub struct Unfit {
    /// `$context.error.validationErrorString`.
    pub report: Arc<str>,
    /// The body itself, where the execution log shows bodies.
    pub body: Option<Bytes>,
}

impl Refusal {
    pub fn new(kind: Type) -> Self {
        Self { kind, message: None, unfit: None, cause: None, integration: None, is_logged: false }
    }

    pub fn because(kind: Type, cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(Arc::from(cause.to_string())), ..Self::new(kind) }
    }

    /// The type's answer with a message of its own.
    pub fn saying(kind: Type, message: impl Into<Arc<str>>) -> Self {
        Self { message: Some(message.into()), ..Self::new(kind) }
    }

    /// The reply as AWS writes it, without the headers every reply gets (`deliver` adds those) and
    /// without what the API's author made of the type (`customise` puts that in).
    pub fn into_reply(self) -> Reply {
        let form = self.kind.form();
        let mut headers = HeaderMap::with_capacity(8);
        if form.style == Style::Plain {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(ERROR_TYPE, HeaderValue::from_static(form.error_type));
        }
        let body = match &self.message {
            Some(message) => Bytes::from(form.style.body(message)),
            None => Bytes::from_static(form.body.as_bytes()),
        };
        let mut reply = Reply::new(form.status, headers, Body::Full(body));
        let (validation_error, request_body) = match self.unfit {
            Some(unfit) => (Some(unfit.report), unfit.body),
            None => (None, None),
        };
        reply.refusal = Some(RefusalReport {
            response_type: form.name.into(),
            message: match self.message {
                Some(message) => Cow::Owned(message.as_ref().to_owned()),
                None => form.message.unwrap_or_default().into(),
            },
            validation_error,
            cause: self.cause,
            request_body,
        });
        reply.integration = self.integration.map(|report| *report);
        reply.is_logged = self.is_logged;
        reply
    }
}

impl Style {
    fn body(self, message: &str) -> String {
        let quoted = || serde_json::Value::from(message);
        match self {
            Style::Plain => message.to_owned(),
            Style::Tight => format!("{{\"message\":{}}}", quoted()),
            Style::Spaced => format!("{{\"message\": {}}}", quoted()),
            Style::Capital => format!("{{\"Message\":{}}}", quoted()),
        }
    }
}

/// No route: AWS answers as if the method asked for a signature.
pub fn unresolved(err: ResolveError, call: &Call) -> Refusal {
    let kind = match &err {
        ResolveError::UnknownHost(_)
        | ResolveError::UnknownApi(_)
        | ResolveError::UnknownStage { .. }
        | ResolveError::EndpointDisabled(_)
        | ResolveError::WrongDoor(_) => Type::Forbidden,
        ResolveError::NoRule(_) => Type::NotFound,
        ResolveError::HealthCheck => Type::Healthy,
        ResolveError::ArnTooLong => Type::UriTooLong,
        ResolveError::NoRoute { .. } => {
            if let Some(value) = snapshot::unsigned_authorization(&call.head.headers) {
                return incomplete_signature(value, &call.head.headers, &err);
            }
            Type::MissingAuthenticationToken
        }
    };
    Refusal::because(kind, err)
}

/// The text shows a hash of the header instead of what may be a secret. What has an equal sign could
/// be the fields of a signature (rest-data-plane 1.6, 8.3).
fn incomplete_signature(value: &[u8], headers: &HeaderMap, err: &ResolveError) -> Refusal {
    let hash = BASE64.encode(digest(&SHA256, value));
    let message = match value.contains(&b'=') {
        false => format!(
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with \
             SHA-256 and encoded with Base64): '{hash}'."
        ),
        true => format!(
            "{} (Hashed with SHA-256 and encoded with Base64) Authorization={hash}",
            sigv4::absent(&String::from_utf8_lossy(value), headers)
        ),
    };
    let mut refusal = Refusal::because(Type::IncompleteSignature, err);
    refusal.message = Some(message.into());
    refusal
}

impl From<LimitsError> for Refusal {
    fn from(err: LimitsError) -> Self {
        let kind = match &err {
            LimitsError::Throttled { .. } => Type::Throttled,
        };
        Refusal::because(kind, err)
    }
}

impl From<MappingError> for Refusal {
    fn from(err: MappingError) -> Self {
        let kind = match &err {
            MappingError::HeaderNotAllowed(_)
            | MappingError::BadHeaderValue(_)
            | MappingError::NoResponse { .. }
            | MappingError::UndeclaredStatus { .. }
            | MappingError::ResponseNotJson
            | MappingError::BodyTooMuch(_)
            | MappingError::Template { .. }
            | MappingError::BinaryTemplate(_)
            | MappingError::NotBase64
            | MappingError::Pattern(_)
            | MappingError::NoMockStatus
            | MappingError::TooManyOverrides { .. } => Type::ApiConfigurationError,
            MappingError::UnsupportedMediaType => Type::UnsupportedMediaType,
            MappingError::RequestNotJson => Type::BadRequest,
        };
        let mut refusal = Refusal::because(kind, &err);
        if err == MappingError::RequestNotJson {
            refusal.message = Some(Arc::from("Invalid JSON in request body"));
        }
        refusal
    }
}

impl From<DecodeError> for Refusal {
    fn from(err: DecodeError) -> Self {
        let kind = match &err {
            DecodeError::UnsupportedCoding | DecodeError::Undecodable => Type::UnsupportedMediaType,
            DecodeError::TooLarge { .. } => Type::RequestTooLarge,
            DecodeError::Body(body) => request_body(body),
        };
        Refusal::because(kind, err)
    }
}

impl From<IntegrationError> for Refusal {
    fn from(err: IntegrationError) -> Self {
        let kind = match &err {
            IntegrationError::Timeout { .. } => Type::IntegrationTimeout,
            IntegrationError::Network(_) => Type::IntegrationFailure,
            IntegrationError::NotPost => Type::IntegrationRefused,
            IntegrationError::ConnectionRefused(_)
            | IntegrationError::BadEndpoint(_)
            | IntegrationError::Configuration(_)
            | IntegrationError::ResponseTooLarge { .. } => Type::ApiConfigurationError,
            IntegrationError::RequestBody(body) => request_body(body),
            IntegrationError::Lambda(err) => of_function(err),
        };
        let mut refusal = Refusal::because(kind, &err);
        // The type's own text names the limit of requests, and Lambda's is another.
        if let IntegrationError::Lambda(InvokeError::PayloadTooLarge { limit }) = err {
            refusal.message =
                Some(Arc::from(format!("HTTP content length exceeded {limit} bytes.")));
        }
        refusal
    }
}

impl From<ReplyError> for Refusal {
    fn from(err: ReplyError) -> Self {
        let kind = match &err {
            ReplyError::Malformed | ReplyError::Failed { .. } => Type::BadIntegrationResponse,
            ReplyError::NotBase64 | ReplyError::BadStream(_) => Type::ApiConfigurationError,
            ReplyError::Body(BodyError::TimedOut) => Type::IntegrationTimeout,
            ReplyError::Body(BodyError::Aborted(_)) => Type::IntegrationFailure,
            ReplyError::Body(BodyError::TooLarge { .. } | BodyError::Failed(_)) => {
                Type::BadIntegrationResponse
            }
        };
        Refusal::because(kind, err)
    }
}

/// A function that gave no answer (rest-data-plane 3.4).
fn of_function(err: &InvokeError) -> Type {
    match err {
        InvokeError::NotFound(_) | InvokeError::Service { .. } => Type::BadIntegrationResponse,
        InvokeError::NotPermitted(_) | InvokeError::Throttled(_) => Type::IntegrationRefused,
        InvokeError::NoCredentials(_) | InvokeError::Nowhere(_) => Type::ApiConfigurationError,
        InvokeError::PayloadTooLarge { .. } => Type::RequestTooLarge,
        InvokeError::TimedOut => Type::IntegrationTimeout,
        InvokeError::Network(_) => Type::IntegrationFailure,
    }
}

impl From<TunnelError> for Refusal {
    fn from(err: TunnelError) -> Self {
        let kind = match &err {
            TunnelError::Timeout | TunnelError::Reset(ResetReason::Deadline) => {
                Type::IntegrationTimeout
            }
            TunnelError::Reset(ResetReason::BodyAborted) => Type::BadRequest,
            TunnelError::RequestBody(body) => request_body(body),
            TunnelError::Reset(_) => Type::Internal,
            TunnelError::NotConnected | TunnelError::Stale | TunnelError::Lost(_) => {
                Type::ServiceUnavailable
            }
            TunnelError::Protocol(_) | TunnelError::NoDocument(_) => Type::Internal,
        };
        Refusal::because(kind, err)
    }
}

/// A request whose body failed before anything was done with it.
pub fn of_request_body(err: BodyError) -> Refusal {
    Refusal::because(request_body(&err), err)
}

/// The client's body is at fault.
fn request_body(err: &BodyError) -> Type {
    match err {
        BodyError::TooLarge { .. } => Type::RequestTooLarge,
        BodyError::Aborted(_) | BodyError::TimedOut | BodyError::Failed(_) => Type::BadRequest,
    }
}

/// What the listener refused before it became a call.
pub fn from_listener(err: Refused) -> Refusal {
    let kind = match err {
        Refused::Malformed(_)
        | Refused::Ambiguous(_)
        | Refused::HeadersTooLarge { .. }
        | Refused::TooManyHeaders { .. } => Type::BadRequest,
        Refused::UriTooLong { .. } => Type::UriTooLong,
        Refused::BodyTooLarge { .. } => Type::RequestTooLarge,
        Refused::Panicked => Type::Internal,
    };
    Refusal::because(kind, err)
}

/// Names the error towards AWS's clients, which choose their exception by it.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
