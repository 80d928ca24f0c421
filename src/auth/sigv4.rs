//! Who signed this request? AWS Signature Version 4, verified in full and constant in time.
//!
//! Two forms: the `Authorization` header, and a presigned query. The body is always hashed here, so
//! a caller cannot leave it out of the signature. The secret is asked for by access key id and
//! never kept.
//!
//! What both sides of a signature agree on is `net::aws`. AWS: IAM User Guide, "AWS Signature
//! Version 4 for API requests", "Create a signed AWS API request"; "Troubleshoot Signature Version 4
//! signing".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::uri::Authority;
use jiff::tz::TimeZone;

use crate::net::aws::{
    self, ALGORITHM, Canonical, PathRule, Scope, Secret, TERMINATOR, TIME_FORMAT, pairs, time_text,
};
use crate::net::clock::{Clock, Timestamp};

/// How far a request's time may be from ours, minutes. IAM User Guide, "Signature Version 4".
const SKEW_MINUTES: u64 = 5;
/// Longest life of a presigned request, seconds: seven days. Same page, `X-Amz-Expires`.
const EXPIRES_SECONDS_MAX: u64 = 604_800;
/// Signed headers in one request; ours, our listeners take fewer headers than that.
const SIGNED_HEADERS_MAX: usize = 128;

/// Why a request is not proved to come from a key's owner. The texts are AWS's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sigv4Error {
    #[error("Missing Authentication Token")]
    Missing,
    /// Parts of the signature are absent or cannot be read.
    #[error("{0}")]
    Incomplete(String),
    /// The key is unknown or inactive, or its session token is another.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details."
    )]
    Mismatch,
    /// Wrong time or scope.
    #[error("{0}")]
    Invalid(String),
}

/// The parts of a signature, as sent.
#[derive(Debug)]
struct Presented {
    access_key_id: String,
    /// `date/region/service/aws4_request`.
    scope: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
    /// `20261121T120000Z`.
    time: String,
    /// Seconds, of a presigned request.
    expires: Option<u64>,
    session_token: Option<String>,
    is_query: bool,
}

/// Verifies a request and returns the access key id that signed it.
///
/// # Errors
/// [`Sigv4Error`], with the text AWS gives.
pub fn verify(
    parts: &Parts,
    body: &[u8],
    scope: &Scope,
    clock: &Clock,
    secret_of: impl FnOnce(&str) -> Option<Secret>,
) -> Result<String, Sigv4Error> {
    let presented = presented(parts)?;
    check_scope(&presented, scope)?;
    check_time(&presented, clock.now())?;
    let secret = secret_of(&presented.access_key_id).ok_or(Sigv4Error::UnknownKey)?;
    check_token(&presented, &secret)?;
    let canonical = canonical_request(parts, &presented, body)?;
    let Presented { time, scope, .. } = &presented;
    let expected = aws::signature(&secret.secret_access_key, time, scope, &canonical);
    verify_slices_are_equal(&expected, &presented.signature).map_err(|_| Sigv4Error::Mismatch)?;
    Ok(presented.access_key_id)
}

// ---- reading

fn presented(parts: &Parts) -> Result<Presented, Sigv4Error> {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let header = header.to_str().map_err(|_| Sigv4Error::Missing)?;
        return from_header(header, &parts.headers);
    }
    let query = pairs(parts.uri.query().unwrap_or_default());
    if query.iter().any(|(name, _)| name == "X-Amz-Algorithm") {
        return from_query(&query);
    }
    Err(Sigv4Error::Missing)
}

fn from_header(header: &str, headers: &HeaderMap) -> Result<Presented, Sigv4Error> {
    let (algorithm, fields) = header.split_once(' ').unwrap_or((header, ""));
    if algorithm != ALGORITHM {
        return Err(Sigv4Error::Incomplete(format!(
            "Unsupported AWS 'algorithm': '{}'.",
            algorithm.chars().take(40).collect::<String>()
        )));
    }
    let field = |name: &str| field(fields, name).map(str::to_owned);
    let time = headers.get("x-amz-date").or_else(|| headers.get("date"));
    let time = time.and_then(|time| time.to_str().ok()).map(amz_time);
    let (Some(credential), Some(signature), Some(signed), Some(time)) =
        (field("Credential"), field("Signature"), field("SignedHeaders"), time)
    else {
        return Err(Sigv4Error::Incomplete(absent(fields, headers)));
    };
    let token = headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
    assemble(&credential, &signature, &signed, time, None, token.map(str::to_owned), false)
}

fn field<'f>(fields: &'f str, name: &str) -> Option<&'f str> {
    let mut found = fields.split(',').filter_map(|field| field.trim().split_once('='));
    found.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// AWS's words for what an `Authorization` header lacks to be a signature; `fields` is its value
/// without the algorithm (rest-data-plane 8.3).
pub fn absent(fields: &str, headers: &HeaderMap) -> String {
    let mut absent = Vec::new();
    for name in ["Credential", "Signature", "SignedHeaders"] {
        if field(fields, name).is_none() {
            absent.push(format!("Authorization header requires '{name}' parameter."));
        }
    }
    if !headers.contains_key("x-amz-date") && !headers.contains_key("date") {
        absent.push(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .to_owned(),
        );
    }
    absent.join(" ")
}

fn from_query(query: &[(String, String)]) -> Result<Presented, Sigv4Error> {
    let value =
        |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if value("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) {
        return Err(Sigv4Error::Incomplete("Unsupported AWS 'algorithm'.".to_owned()));
    }
    let require = |name: &str| {
        value(name).ok_or_else(|| {
            Sigv4Error::Incomplete(format!("AWS query-string parameters must include '{name}'."))
        })
    };
    let expires = require("X-Amz-Expires")?;
    let expires = expires.parse().ok().filter(|seconds| *seconds <= EXPIRES_SECONDS_MAX);
    let expires = expires.ok_or_else(|| {
        Sigv4Error::Incomplete(format!(
            "X-Amz-Expires must be a number of seconds of at most {EXPIRES_SECONDS_MAX}."
        ))
    })?;
    assemble(
        &require("X-Amz-Credential")?,
        &require("X-Amz-Signature")?,
        &require("X-Amz-SignedHeaders")?,
        require("X-Amz-Date")?,
        Some(expires),
        value("X-Amz-Security-Token"),
        true,
    )
}

fn assemble(
    credential: &str,
    signature: &str,
    signed: &str,
    time: String,
    expires: Option<u64>,
    session_token: Option<String>,
    is_query: bool,
) -> Result<Presented, Sigv4Error> {
    // An access key id has no slash.
    let (access_key_id, scope) = credential.split_once('/').unwrap_or((credential, ""));
    if access_key_id.is_empty() || scope.split('/').count() != 4 {
        return Err(Sigv4Error::Incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term."
                .to_owned(),
        ));
    }
    let signed_headers: Vec<String> = signed.split(';').map(str::to_ascii_lowercase).collect();
    if signed_headers.len() > SIGNED_HEADERS_MAX {
        return Err(Sigv4Error::Incomplete("Too many SignedHeaders.".to_owned()));
    }
    if !signed_headers.iter().any(|name| name == "host") {
        return Err(Sigv4Error::Invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    Ok(Presented {
        access_key_id: access_key_id.to_owned(),
        scope: scope.to_owned(),
        signed_headers,
        // Anything that is no SHA-256 in hexadecimal matches nothing.
        signature: unhex(signature).ok_or(Sigv4Error::Mismatch)?,
        time,
        expires,
        session_token,
        is_query,
    })
}

/// `Date` may be an HTTP date; the canonical form is ISO 8601 basic.
fn amz_time(text: &str) -> String {
    match httpdate::parse_http_date(text) {
        Ok(time) => jiff::Timestamp::try_from(time)
            .map(|time| time.to_zoned(TimeZone::UTC).strftime(TIME_FORMAT).to_string())
            .unwrap_or_else(|_| text.to_owned()),
        Err(_) => text.to_owned(),
    }
}

// ---- checking

fn check_scope(presented: &Presented, scope: &Scope) -> Result<(), Sigv4Error> {
    let parts: Vec<&str> = presented.scope.split('/').collect();
    let [date, region, service, terminator] = parts[..] else {
        return Err(Sigv4Error::Incomplete("Credential cannot be read.".to_owned()));
    };
    let mut wrong = String::new();
    if !presented.time.starts_with(date) || date.len() != 8 {
        let day: String = presented.time.chars().take(8).collect();
        wrong.push_str(&format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{date}' != '{day}', from '{}'. ",
            presented.time
        ));
    }
    if region != scope.aws_region {
        wrong.push_str(&format!(
            "Credential should be scoped to a valid region, not '{region}'. This one is '{}'. ",
            scope.aws_region
        ));
    }
    if service != scope.service {
        wrong.push_str(&format!(
            "Credential should be scoped to correct service: '{}'. ",
            scope.service
        ));
    }
    if terminator != TERMINATOR {
        wrong.push_str(&format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not \
             '{terminator}'. "
        ));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Sigv4Error::Invalid(wrong.trim_end().to_owned())),
    }
}

fn check_time(presented: &Presented, now: Timestamp) -> Result<(), Sigv4Error> {
    let signed_at = seconds_of(&presented.time).ok_or_else(|| {
        Sigv4Error::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{}'. See \
             http://en.wikipedia.org/wiki/ISO_8601",
            presented.time.chars().take(40).collect::<String>()
        ))
    })?;
    let now = now.as_seconds();
    let skew = SKEW_MINUTES * 60;
    let expires_at = signed_at.saturating_add(presented.expires.unwrap_or(skew));
    if expires_at < now {
        let now_text = time_text(now);
        return Err(Sigv4Error::Invalid(match presented.expires {
            Some(_) => format!(
                "Signature expired: {} is now earlier than {now_text} ({} + {} sec.)",
                time_text(expires_at),
                presented.time,
                presented.expires.unwrap_or_default()
            ),
            None => format!(
                "Signature expired: {} is now earlier than {} ({now_text} - {SKEW_MINUTES} min.)",
                presented.time,
                time_text(now.saturating_sub(skew))
            ),
        }));
    }
    if signed_at > now.saturating_add(skew) {
        return Err(Sigv4Error::Invalid(format!(
            "Signature not yet current: {} is still later than {} ({} + {SKEW_MINUTES} min.)",
            presented.time,
            time_text(now.saturating_add(skew)),
            time_text(now)
        )));
    }
    Ok(())
}

fn check_token(presented: &Presented, secret: &Secret) -> Result<(), Sigv4Error> {
    let same = match (&secret.session_token, &presented.session_token) {
        (None, None) => true,
        (Some(known), Some(sent)) => {
            verify_slices_are_equal(known.as_bytes(), sent.as_bytes()).is_ok()
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(Sigv4Error::UnknownKey) }
}

fn seconds_of(time: &str) -> Option<u64> {
    let time = jiff::civil::DateTime::strptime(TIME_FORMAT, time).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(time.timestamp().as_second()).ok()
}

// ---- the signature

fn canonical_request(
    parts: &Parts,
    presented: &Presented,
    body: &[u8],
) -> Result<String, Sigv4Error> {
    let canonical = Canonical {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        path_rule: PathRule::Normalised,
        query: parts.uri.query().unwrap_or_default(),
        is_presigned: presented.is_query,
        headers: &parts.headers,
        authority: parts.uri.authority().map(Authority::as_str),
        signed_headers: &presented.signed_headers,
        payload_hash: &aws::sha256_hex(body),
    };
    canonical.text().ok_or(Sigv4Error::Mismatch)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..64).step_by(2).map(digit).collect()
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
