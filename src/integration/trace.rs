//! `X-Amzn-Trace-Id`: one made up, or the client's completed.
//!
//! Recorded: without a header all parts are made up; a root alone keeps its root; a full header is
//! not touched. AWS: X-Ray Developer Guide, "Tracing header".

use http::HeaderValue;

use crate::net::clock::Timestamp;

/// Longest header taken from a client, bytes: a root, a parent, a flag and a lineage are under 200.
const HEADER_BYTES_MAX: usize = 1_024;

/// The header to send on. `now` is part of a root that has to be made up.
///
/// Nothing is sampled: there is no trace store behind this gateway, and `Sampled=0` tells a backend
/// with one not to record a trace that would miss its beginning.
pub fn extend(header: Option<&HeaderValue>, now: Timestamp) -> HeaderValue {
    let text = header
        .filter(|value| value.len() <= HEADER_BYTES_MAX)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let has = |name: &str| text.split(';').any(|part| part.trim_start().starts_with(name));
    let (root, parent, sampled) = (has("Root="), has("Parent="), has("Sampled="));
    if root
        && parent
        && sampled
        && let Some(header) = header
    {
        return header.clone();
    }
    let mut extended = if root {
        text.trim_end_matches(';').to_owned()
    } else {
        let unique = rand::random::<u128>() >> 32;
        format!("Root=1-{:08x}-{unique:024x}", now.as_seconds() & 0xffff_ffff)
    };
    if !root || !parent {
        extended.push_str(&format!(";Parent={:016x}", rand::random::<u64>()));
    }
    if !root || !sampled {
        extended.push_str(";Sampled=0");
    }
    HeaderValue::from_str(&extended).unwrap_or_else(|_| HeaderValue::from_static("Sampled=0"))
}
