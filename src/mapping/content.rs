//! Is a body text or bytes, and what becomes of it on its way?
//!
//! The table is recorded (rest-data-plane 7.9). A body is binary where its media type is among the
//! API's binary types, a client wants bytes where the first type of its `Accept` is.
//!
//! AWS: "Content type conversions in API Gateway", "Binary media types for REST APIs".

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, header};

use super::MappingError;
use crate::model::rest_api::ContentHandling;

/// What a body or a client without a media type is taken for.
const JSON: &str = "application/json";

/// An API's binary media types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinaryTypes(Box<[Box<str>]>);

impl BinaryTypes {
    pub fn new(types: &[String]) -> Self {
        Self(types.iter().map(|own| own.trim().to_ascii_lowercase().into()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Recorded: `image/*` stands for all images, `*/*` for everything; `*/png` is no pattern, and
    /// neither is a star that a client sends.
    pub fn contains(&self, media_type: &str) -> bool {
        let asked = media_type.split(';').next().unwrap_or_default().trim();
        self.0.iter().any(|own| match own.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => {
                asked.split_once('/').is_some_and(|(of, _)| of.eq_ignore_ascii_case(kind))
            }
            None => own.eq_ignore_ascii_case(asked),
        })
    }

    /// Whether the body under these headers is binary.
    pub fn is_body(&self, headers: &HeaderMap) -> bool {
        !self.is_empty() && self.contains(last(headers, &header::CONTENT_TYPE).unwrap_or(JSON))
    }

    /// Whether the client wants bytes. Recorded: only the first type counts.
    pub fn is_wanted(&self, clients: &HeaderMap) -> bool {
        if self.is_empty() {
            return false;
        }
        let accept = clients.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let first = accept.unwrap_or(JSON).split(',').next().unwrap_or_default();
        self.contains(first)
    }
}

/// Of a header that came more than once the last counts.
pub(super) fn last<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()
}

/// What is done to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// Text: what is not UTF-8 becomes U+FFFD.
    Text,
    /// Bytes as they are; no template can read them.
    Raw,
    /// Bytes to base64 text.
    Encode,
    /// Base64 text to bytes.
    Decode,
}

impl Conversion {
    pub fn of_request(is_binary: bool, handling: Option<ContentHandling>) -> Self {
        match (is_binary, handling) {
            (false, None | Some(ContentHandling::ConvertToText)) => Self::Text,
            (false, Some(ContentHandling::ConvertToBinary)) => Self::Decode,
            (true, Some(ContentHandling::ConvertToText)) => Self::Encode,
            (true, None | Some(ContentHandling::ConvertToBinary)) => Self::Raw,
        }
    }

    pub fn of_response(
        is_binary: bool,
        is_wanted: bool,
        handling: Option<ContentHandling>,
    ) -> Self {
        match (is_binary, is_wanted, handling) {
            (false, false, None) | (false, _, Some(ContentHandling::ConvertToText)) => Self::Text,
            (false, true, None) | (false, _, Some(ContentHandling::ConvertToBinary)) => {
                Self::Decode
            }
            (true, false, None) | (true, _, Some(ContentHandling::ConvertToText)) => Self::Encode,
            (true, true, None) | (true, _, Some(ContentHandling::ConvertToBinary)) => Self::Raw,
        }
    }

    /// Whether a template can read the result.
    pub fn makes_text(self) -> bool {
        matches!(self, Self::Text | Self::Encode)
    }

    /// # Errors
    /// `NotBase64`.
    pub fn apply(self, body: Bytes) -> Result<Bytes, MappingError> {
        Ok(match self {
            Self::Raw => body,
            Self::Text => match std::str::from_utf8(&body) {
                Ok(_) => body,
                Err(_) => Bytes::from(String::from_utf8_lossy(&body).into_owned()),
            },
            Self::Encode => Bytes::from(BASE64.encode(&body)),
            Self::Decode => {
                let text = body.trim_ascii();
                Bytes::from(BASE64.decode(text).map_err(|_| MappingError::NotBase64)?)
            }
        })
    }
}
