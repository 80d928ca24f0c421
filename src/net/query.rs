//! Query strings: taken apart, decoded, put together again.
//!
//! The gateway decodes what the client sent and encodes it anew towards the backend, so a backend
//! sees one spelling of every value. Decoding never fails: a percent sign that encodes nothing
//! stands for itself. Values are bytes until somebody needs text.
//!
//! AWS: "Amazon API Gateway important notes" (`;` separates too); recorded: `+` is a space.
//! RFC 3986 section 2.3 (what needs no encoding).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of a query string in order, not decoded: name, and value or nothing.
/// Empty pieces, as in `a&&b`, are no parameters.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split(['&', ';'])
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

/// Undoes `+` and `%XX`.
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr2(b'+', b'%', bytes) else { return Cow::Borrowed(bytes) };
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(bytes.get(..first).unwrap_or_default());
    let mut rest = bytes.get(first..).unwrap_or_default();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

/// Like [`decode`]; bytes that are not UTF-8 become U+FFFD.
pub fn decode_text(text: &str) -> Cow<'_, str> {
    match decode(text) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(err) => String::from_utf8_lossy(err.as_bytes()).into_owned(),
        }),
    }
}

/// Appends a name or a value, encoded.
pub fn encode(bytes: &[u8], out: &mut String) {
    out.extend(percent_encode(bytes, ENCODED));
}

/// Appends a name or a value as a client spelled it, in our spelling.
pub fn recode(text: &str, out: &mut String) {
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if text.bytes().all(clean) {
        out.push_str(text);
    } else {
        encode(&decode(text), out);
    }
}

/// Whether a parameter has this name.
pub fn is_named(raw: &str, name: &str) -> bool {
    raw == name || *decode(raw) == *name.as_bytes()
}

/// The last value of a parameter, as AWS's single-value maps have it.
pub fn last(query: &str, name: &str) -> Option<String> {
    let (_, value) = pairs(query).filter(|(raw, _)| is_named(raw, name)).last()?;
    Some(decode_text(value).into_owned())
}

/// All values of a parameter in order.
pub fn all(query: &str, name: &str) -> Vec<String> {
    pairs(query)
        .filter(|(raw, _)| is_named(raw, name))
        .map(|(_, value)| decode_text(value).into_owned())
        .collect()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod query_tests;
