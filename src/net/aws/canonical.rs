//! The one spelling of a request that both sides of a signature agree on.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters that stay as they are in a canonical request: RFC 3986's unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same in a path, whose slashes separate.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// What a service makes of a path before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathRule {
    /// Dots and doubled slashes resolved, and encoded once more than it was sent: all but S3.
    Normalised,
    /// S3, whose keys may hold dots and doubled slashes.
    AsSent,
}

/// The parts a canonical request is made of.
#[derive(Clone, Copy, Debug)]
pub struct Canonical<'r, S> {
    pub method: &'r str,
    pub path: &'r str,
    pub path_rule: PathRule,
    /// Without `?`.
    pub query: &'r str,
    /// The signature stands in the query, where it cannot sign itself.
    pub is_presigned: bool,
    pub headers: &'r HeaderMap,
    /// The host, where it is in the URI instead of the headers (HTTP/2, HTTP/3).
    pub authority: Option<&'r str>,
    /// Lower-case names, in the order in which they are signed.
    pub signed_headers: &'r [S],
    /// SHA-256 of the body in hexadecimal.
    pub payload_hash: &'r str,
}

impl<S: AsRef<str>> Canonical<'_, S> {
    /// `None` where a signed header is absent or no text.
    pub fn text(&self) -> Option<String> {
        let mut text = String::with_capacity(512);
        text.push_str(self.method);
        text.push('\n');
        match self.path_rule {
            PathRule::Normalised => {
                text.extend(utf8_percent_encode(&without_dots(self.path), PATH));
            }
            PathRule::AsSent => {
                let decoded = percent_decode_str(self.path).decode_utf8_lossy();
                text.extend(utf8_percent_encode(&decoded, PATH));
            }
        }
        text.push('\n');
        text.push_str(&canonical_query(self.query, self.is_presigned));
        text.push('\n');
        for name in self.signed_headers {
            text.push_str(name.as_ref());
            text.push(':');
            self.push_header(name.as_ref(), &mut text)?;
            text.push('\n');
        }
        text.push('\n');
        for (index, name) in self.signed_headers.iter().enumerate() {
            if index > 0 {
                text.push(';');
            }
            text.push_str(name.as_ref());
        }
        text.push('\n');
        text.push_str(self.payload_hash);
        Some(text)
    }

    /// All values of a header, spaces within them made one.
    fn push_header(&self, name: &str, text: &mut String) -> Option<()> {
        let mut values = 0;
        for value in self.headers.get_all(name) {
            if values > 0 {
                text.push(',');
            }
            values += 1;
            for (index, word) in value.to_str().ok()?.split_whitespace().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                text.push_str(word);
            }
        }
        if values == 0 {
            text.push_str(self.authority.filter(|_| name == "host")?);
        }
        Some(())
    }
}

/// RFC 3986 section 5.2.4, and AWS's removal of doubled slashes.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut text = String::with_capacity(path.len() + 1);
    text.push('/');
    text.push_str(&kept.join("/"));
    if path.len() > 1 && path.ends_with('/') && !kept.is_empty() {
        text.push('/');
    }
    text
}

fn canonical_query(query: &str, presigned: bool) -> String {
    let mut encoded: Vec<(String, String)> = pairs(query)
        .into_iter()
        .filter(|(name, _)| !(presigned && name == "X-Amz-Signature"))
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    encoded.sort();
    let pairs: Vec<String> =
        encoded.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Names and values, decoded. A `+` is a plus: signers write a space as `%20`.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}
