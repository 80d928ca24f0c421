//! Gateway responses: the one place where errors become status codes.
//!
//! Every room's error enum is matched to the end here, so a new variant does not compile until it
//! has a line. The caller sees AWS's text for the type; the cause goes to the log only.
//!
//! AWS: API Gateway Developer Guide, "Gateway response types for API Gateway"; bytes as recorded:
//! the early phases write `{"message":"…"}`, a failing integration `{"message": "…"}`.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::call::{Body, BodyError, Call, IntegrationReport, RefusalReport, Reply};
use crate::deployment::snapshot::{self, ResolveError};
use crate::integration::IntegrationError;
use crate::limits::LimitsError;
use crate::listener::Refused;
use crate::mapping::MappingError;
use crate::mapping::compression::DecodeError;
use crate::tunnel::{ResetReason, TunnelError};

/// AWS's gateway response types, as far as something here can raise them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    RequestTooLarge,
    /// 414; not customisable and without a name among AWS's types.
    UriTooLong,
    MissingAuthenticationToken,
    /// The same status for a request whose `Authorization` is no signature.
    IncompleteSignature,
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
    /// The backend answered something that is not HTTP or too large.
    BadIntegrationResponse,
    ApiConfigurationError,
    /// The region cannot be reached from this edge, or the node is shutting down.
    ServiceUnavailable,
    /// A defect of ours; the call's panic was caught.
    Internal,
}

/// What a type looks like on the wire.
struct Form {
    name: &'static str,
    status: StatusCode,
    /// JSON text with or without the space; `None` is plain text.
    error_type: Option<&'static str>,
    message: &'static str,
    body: &'static str,
}

const SERVER_ERROR: &str = "InternalServerErrorException";

impl Type {
    fn form(self) -> Form {
        let form = |name, status, error_type, message, body| Form {
            name,
            status,
            error_type,
            message,
            body,
        };
        match self {
            Type::RequestTooLarge => form(
                "REQUEST_TOO_LARGE",
                StatusCode::PAYLOAD_TOO_LARGE,
                None,
                "HTTP content length exceeded 10485760 bytes.",
                "HTTP content length exceeded 10485760 bytes.",
            ),
            Type::UriTooLong => form(
                "DEFAULT_4XX",
                StatusCode::URI_TOO_LONG,
                Some("RequestUriTooLongException"),
                "Request URI too long",
                r#"{"message":"Request URI too long"}"#,
            ),
            Type::MissingAuthenticationToken => form(
                "MISSING_AUTHENTICATION_TOKEN",
                StatusCode::FORBIDDEN,
                Some("MissingAuthenticationTokenException"),
                "Missing Authentication Token",
                r#"{"message":"Missing Authentication Token"}"#,
            ),
            Type::IncompleteSignature => form(
                "INVALID_SIGNATURE",
                StatusCode::FORBIDDEN,
                Some("IncompleteSignatureException"),
                "Invalid key=value pair (missing equal-sign) in Authorization header",
                r#"{"message":"Invalid key=value pair (missing equal-sign) in Authorization header"}"#,
            ),
            Type::Forbidden => form(
                "DEFAULT_4XX",
                StatusCode::FORBIDDEN,
                Some("ForbiddenException"),
                "Forbidden",
                r#"{"message":"Forbidden"}"#,
            ),
            Type::NotFound => form(
                "DEFAULT_4XX",
                StatusCode::NOT_FOUND,
                Some("NotFoundException"),
                "Not Found",
                r#"{"message":"Not Found"}"#,
            ),
            Type::Healthy => form("HEALTHY", StatusCode::OK, None, "healthy", "healthy"),
            Type::BadRequest => form(
                "DEFAULT_4XX",
                StatusCode::BAD_REQUEST,
                Some("BadRequestException"),
                "Bad Request",
                r#"{"message":"Bad Request"}"#,
            ),
            Type::UnsupportedMediaType => form(
                "UNSUPPORTED_MEDIA_TYPE",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Some("BadRequestException"),
                "Unsupported Media Type",
                r#"{"message":"Unsupported Media Type"}"#,
            ),
            Type::Throttled => form(
                "THROTTLED",
                StatusCode::TOO_MANY_REQUESTS,
                Some("TooManyRequestsException"),
                "Too Many Requests",
                r#"{"message":"Too Many Requests"}"#,
            ),
            Type::QuotaExceeded => form(
                "QUOTA_EXCEEDED",
                StatusCode::TOO_MANY_REQUESTS,
                Some("LimitExceededException"),
                "Limit Exceeded",
                r#"{"message":"Limit Exceeded"}"#,
            ),
            Type::IntegrationTimeout => form(
                "INTEGRATION_TIMEOUT",
                StatusCode::GATEWAY_TIMEOUT,
                Some(SERVER_ERROR),
                "Endpoint request timed out",
                r#"{"message": "Endpoint request timed out"}"#,
            ),
            Type::IntegrationFailure => form(
                "INTEGRATION_FAILURE",
                StatusCode::GATEWAY_TIMEOUT,
                Some(SERVER_ERROR),
                "Network error communicating with endpoint",
                r#"{"message": "Network error communicating with endpoint"}"#,
            ),
            Type::BadIntegrationResponse => form(
                "INTEGRATION_FAILURE",
                StatusCode::BAD_GATEWAY,
                Some(SERVER_ERROR),
                "Internal server error",
                r#"{"message": "Internal server error"}"#,
            ),
            Type::ApiConfigurationError => form(
                "API_CONFIGURATION_ERROR",
                StatusCode::INTERNAL_SERVER_ERROR,
                Some(SERVER_ERROR),
                "Internal server error",
                r#"{"message": "Internal server error"}"#,
            ),
            Type::ServiceUnavailable => form(
                "DEFAULT_5XX",
                StatusCode::SERVICE_UNAVAILABLE,
                Some("ServiceUnavailableException"),
                "Service Unavailable",
                r#"{"message":"Service Unavailable"}"#,
            ),
            Type::Internal => form(
                "DEFAULT_5XX",
                StatusCode::INTERNAL_SERVER_ERROR,
                Some(SERVER_ERROR),
                "Internal server error",
                r#"{"message":"Internal server error"}"#,
            ),
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
    /// Replaces the type's own body where AWS's text depends on the request.
    pub body: Option<Bytes>,
    /// For the log only.
    pub cause: Option<Arc<str>>,
    /// Where an integration was asked and did not answer.
    pub integration: Option<Box<IntegrationReport>>,
    /// Whether the execution log has the call already.
    pub is_logged: bool,
}

impl Refusal {
    pub fn new(kind: Type) -> Self {
        Self { kind, body: None, cause: None, integration: None, is_logged: false }
    }

    pub fn because(kind: Type, cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(Arc::from(cause.to_string())), ..Self::new(kind) }
    }

    /// The reply as AWS writes it, without the headers every reply gets (`deliver` adds those).
    pub fn into_reply(self) -> Reply {
        let form = self.kind.form();
        let mut headers = HeaderMap::with_capacity(8);
        let media_type = if form.error_type.is_some() { "application/json" } else { "text/plain" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(error_type) = form.error_type {
            headers.insert(ERROR_TYPE, HeaderValue::from_static(error_type));
        }
        let body = self.body.unwrap_or_else(|| Bytes::from_static(form.body.as_bytes()));
        let mut reply = Reply::new(form.status, headers, Body::Full(body));
        reply.refusal = Some(RefusalReport {
            response_type: form.name.into(),
            message: form.message.into(),
            cause: self.cause,
        });
        reply.integration = self.integration.map(|report| *report);
        reply.is_logged = self.is_logged;
        reply
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
                return incomplete_signature(value, &err);
            }
            Type::MissingAuthenticationToken
        }
    };
    Refusal::because(kind, err)
}

/// The text shows a hash of the header instead of what may be a secret.
fn incomplete_signature(value: &[u8], err: &ResolveError) -> Refusal {
    let hash = BASE64.encode(digest(&SHA256, value));
    let body = format!(
        "{{\"message\":\"Invalid key=value pair (missing equal-sign) in Authorization header \
         (hashed with SHA-256 and encoded with Base64): '{hash}'.\"}}"
    );
    let mut refusal = Refusal::because(Type::IncompleteSignature, err);
    refusal.body = Some(Bytes::from(body));
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
            let body = br#"{"message":"Invalid JSON in request body"}"#;
            refusal.body = Some(Bytes::from_static(body));
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
            IntegrationError::ConnectionRefused(_)
            | IntegrationError::BadEndpoint(_)
            | IntegrationError::Configuration(_)
            | IntegrationError::ResponseTooLarge { .. } => Type::ApiConfigurationError,
            IntegrationError::RequestBody(body) => request_body(body),
        };
        Refusal::because(kind, err)
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
        BodyError::Aborted(_) | BodyError::TimedOut => Type::BadRequest,
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
