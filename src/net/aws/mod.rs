//! How is a request to AWS signed? Signature Version 4: the canonical request, and signing.
//!
//! One canonicaliser serves both directions: `auth` verifies with it what callers signed, and
//! [`Signer`] signs what the gateway itself sends to Lambda, to other services and to itself. The
//! header form only; a body is always hashed, never left unsigned.
//!
//! AWS: IAM User Guide, "Create a signed AWS API request"; Amazon S3 API Reference, "Authenticating
//! Requests: Using the Authorization Header" (S3's own rules for paths).

mod canonical;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::net::clock::Timestamp;

pub use canonical::{Canonical, PathRule, pairs};

pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub const TERMINATOR: &str = "aws4_request";
/// `20261121T120000Z`: ISO 8601 in its basic form.
pub const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
pub const DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const S3: &str = "s3";

/// The secret half of a key pair.
#[derive(Clone)]
pub struct Secret {
    pub secret_access_key: Zeroizing<String>,
    /// Set for temporary credentials: requests carry it besides.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// What a signature is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub aws_region: String,
    /// Such as `apigateway`.
    pub service: String,
}

/// A header that holds what no signature can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header cannot be signed")]
pub struct Unsignable;

/// A key pair to sign with.
#[derive(Clone, Debug)]
pub struct Signer {
    pub access_key_id: String,
    pub secret: Secret,
    pub scope: Scope,
}

/// What is signed of a request, besides its headers.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'r> {
    pub method: &'r Method,
    /// As sent, with the percent signs it is sent with.
    pub path: &'r str,
    /// As sent, without `?`.
    pub query: &'r str,
    pub body: &'r [u8],
}

impl Signer {
    /// Adds `x-amz-date`, the session token and `Authorization` to the headers of a request. Every
    /// header that is there is signed; `Host` must be among them.
    ///
    /// # Errors
    /// There is no `Host`, or a header holds what is no text.
    pub fn sign(
        &self,
        request: Unsigned<'_>,
        headers: &mut HeaderMap,
        now: Timestamp,
    ) -> Result<(), Unsignable> {
        let time = time_text(now.as_seconds());
        let day = time.get(..8).unwrap_or_default();
        headers.remove(AUTHORIZATION);
        headers.insert(DATE, value(&time)?);
        if let Some(token) = &self.secret.session_token {
            headers.insert(SECURITY_TOKEN, value(token)?);
        }
        let payload_hash = sha256_hex(request.body);
        let is_s3 = self.scope.service == S3;
        if is_s3 {
            headers.insert(CONTENT_SHA256, value(&payload_hash)?);
        }
        if !headers.contains_key(HOST) {
            return Err(Unsignable);
        }
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let Scope { aws_region, service } = &self.scope;
        let scope = format!("{day}/{aws_region}/{service}/{TERMINATOR}");
        let canonical = Canonical {
            method: request.method.as_str(),
            path: request.path,
            path_rule: if is_s3 { PathRule::AsSent } else { PathRule::Normalised },
            query: request.query,
            is_presigned: false,
            headers,
            authority: None,
            signed_headers: &names,
            payload_hash: &payload_hash,
        };
        let text = canonical.text().ok_or(Unsignable)?;
        let signature = signature(&self.secret.secret_access_key, &time, &scope, &text);
        let header = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.access_key_id,
            names.join(";"),
            hex(&signature)
        );
        headers.insert(AUTHORIZATION, value(&header)?);
        Ok(())
    }
}

fn value(text: &str) -> Result<HeaderValue, Unsignable> {
    HeaderValue::from_str(text).map_err(|_| Unsignable)
}

/// The signature of a canonical request. `scope` is `date/region/service/aws4_request`.
pub fn signature(secret: &str, time: &str, scope: &str, canonical: &str) -> Vec<u8> {
    let hash = sha256_hex(canonical.as_bytes());
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");
    let first = Zeroizing::new(format!("AWS4{secret}").into_bytes());
    let mut key = Zeroizing::new(first.to_vec());
    for part in scope.split('/') {
        key = Zeroizing::new(hmac_sha256(&key, part.as_bytes()));
    }
    hmac_sha256(&key, to_sign.as_bytes())
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
        text
    })
}

/// Seconds since the Unix epoch in [`TIME_FORMAT`].
pub fn time_text(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let time = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).strftime(TIME_FORMAT).to_string()
}
