//! Which bodies are bytes and not text?
//!
//! AWS: "Content type conversions in API Gateway", "Return binary media from a Lambda proxy
//! integration"; recorded: a wildcard stands for the subtype or for all, never for the type alone.

use http::{HeaderMap, HeaderValue, header};

/// What a body without `Content-Type` is taken for.
const JSON: &str = "application/json";

/// Whether a media type (parameters and case do not count) is among an API's binary ones.
pub fn is_binary(binary_media_types: &[String], media_type: &str) -> bool {
    let media_type = bare(media_type);
    if media_type.is_empty() {
        return false;
    }
    let kind = media_type.split_once('/').map_or(media_type, |(kind, _)| kind);
    binary_media_types.iter().any(|entry| {
        let entry = bare(entry);
        entry == "*/*"
            || entry.eq_ignore_ascii_case(media_type)
            || entry.strip_suffix("/*").is_some_and(|own| own.eq_ignore_ascii_case(kind))
    })
}

/// Whether a request's body is binary.
pub fn is_binary_request(binary_media_types: &[String], headers: &HeaderMap) -> bool {
    if binary_media_types.is_empty() {
        return false;
    }
    let sent = headers.get_all(header::CONTENT_TYPE).iter().next_back();
    is_binary(binary_media_types, sent.and_then(text).unwrap_or(JSON))
}

/// Whether the client wants bytes: only the first media type of `Accept` counts (recorded). A
/// wildcard of the client's names no type.
pub fn accepts_binary(binary_media_types: &[String], headers: &HeaderMap) -> bool {
    if binary_media_types.is_empty() {
        return false;
    }
    if binary_media_types.iter().any(|entry| bare(entry) == "*/*") {
        return true;
    }
    let accept = headers.get(header::ACCEPT).and_then(text).unwrap_or_default();
    let first = bare(accept.split(',').next().unwrap_or_default());
    !first.contains('*') && is_binary(binary_media_types, first)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn bare(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    /// rest-data-plane 7.8, "Binary out".
    #[test]
    fn the_first_accepted_type_decides() {
        let cases = [
            ("image/png", Some("image/png"), true),
            ("image/png", Some("image/png,text/html"), true),
            ("image/png", Some("IMAGE/PNG;q=0.5, text/html"), true),
            ("image/png", Some("text/html,image/png"), false),
            ("image/png", Some("image/*"), false),
            ("image/png", Some("*/*"), false),
            ("image/png", Some("nonsense"), false),
            ("image/png", None, false),
            ("application/*", Some("application/x"), true),
            ("application/*", Some("text/x"), false),
            ("*/test", Some("image/test"), false),
            ("*/test", Some("*/test"), false),
            ("*/*", Some("text/plain"), true),
            ("*/*", None, true),
        ];
        for (binary, accept, expected) in cases {
            let binary = [binary.to_owned()];
            let headers = headers(header::ACCEPT, accept);
            assert_eq!(accepts_binary(&binary, &headers), expected, "{binary:?} {accept:?}");
        }
        assert!(!accepts_binary(&[], &headers(header::ACCEPT, Some("*/*"))));
    }

    /// rest-data-plane 7.7 and 7.9.
    #[test]
    fn the_content_type_says_what_a_request_is() {
        let cases = [
            ("image/png", Some("image/png"), true),
            ("image/png", Some("image/png; charset=x"), true),
            ("image/png", Some("image/jpeg"), false),
            ("image/*", Some("image/jpeg"), true),
            ("application/json", None, true),
            ("*/*", None, true),
        ];
        for (binary, sent, expected) in cases {
            let binary = [binary.to_owned()];
            let headers = headers(header::CONTENT_TYPE, sent);
            assert_eq!(is_binary_request(&binary, &headers), expected, "{binary:?} {sent:?}");
        }
    }
}
