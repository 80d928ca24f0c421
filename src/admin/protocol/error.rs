//! What the control plane answers when it does not do as it was told.
//!
//! AWS: API Gateway API Reference, "Common errors"; each operation's "Errors".

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The names AWS gives to errors; each has its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    BadRequest,
    /// A value outside its enumeration, length or pattern.
    Validation,
    /// JSON of the wrong type.
    Serialization,
    Unauthorized,
    AccessDenied,
    MissingAuthenticationToken,
    IncompleteSignature,
    InvalidSignature,
    UnrecognizedClient,
    NotFound,
    Conflict,
    /// A body beyond what is taken; ours.
    RequestTooLarge,
    LimitExceeded,
    TooManyRequests,
    /// An operation of AWS's model that is not built; ours.
    NotImplemented,
    ServiceUnavailable,
    Internal,
}

impl ErrorKind {
    /// As `x-amzn-ErrorType` has it.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::BadRequest => "BadRequestException",
            ErrorKind::Validation => "ValidationException",
            ErrorKind::Serialization => "SerializationException",
            ErrorKind::Unauthorized => "UnauthorizedException",
            ErrorKind::AccessDenied => "AccessDeniedException",
            ErrorKind::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            ErrorKind::IncompleteSignature => "IncompleteSignatureException",
            ErrorKind::InvalidSignature => "InvalidSignatureException",
            ErrorKind::UnrecognizedClient => "UnrecognizedClientException",
            ErrorKind::NotFound => "NotFoundException",
            ErrorKind::Conflict => "ConflictException",
            ErrorKind::RequestTooLarge => "RequestEntityTooLargeException",
            ErrorKind::LimitExceeded => "LimitExceededException",
            ErrorKind::TooManyRequests => "TooManyRequestsException",
            ErrorKind::NotImplemented => "NotImplementedException",
            ErrorKind::ServiceUnavailable => "ServiceUnavailableException",
            ErrorKind::Internal => "InternalFailure",
        }
    }

    pub fn status(self) -> u16 {
        match self {
            ErrorKind::BadRequest | ErrorKind::Validation | ErrorKind::Serialization => 400,
            ErrorKind::IncompleteSignature => 400,
            ErrorKind::Unauthorized => 401,
            ErrorKind::AccessDenied
            | ErrorKind::MissingAuthenticationToken
            | ErrorKind::InvalidSignature
            | ErrorKind::UnrecognizedClient => 403,
            ErrorKind::NotFound => 404,
            ErrorKind::Conflict => 409,
            ErrorKind::RequestTooLarge => 413,
            ErrorKind::LimitExceeded | ErrorKind::TooManyRequests => 429,
            ErrorKind::Internal => 500,
            ErrorKind::NotImplemented => 501,
            ErrorKind::ServiceUnavailable => 503,
        }
    }
}

/// An error as the caller gets it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {message}", kind.name())]
pub struct ApiError {
    pub kind: ErrorKind,
    pub message: Cow<'static, str>,
    /// Members beside `message`, such as v2's `resourceType`.
    pub more: Map<String, Value>,
}

impl ApiError {
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), more: Map::new() }
    }

    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }

    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
}
