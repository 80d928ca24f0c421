//! `X-Amzn-Trace-Id`: one made up, or the client's completed.
//!
//! Recorded: without a header all parts are made up; a root alone keeps its root; a full header is
//! not touched. AWS: X-Ray Developer Guide, "Tracing header".

use bytes::Bytes;
use http::HeaderValue;
use rand::Rng;

use crate::net::clock::Timestamp;

/// Longest header taken from a client, bytes: a root, a parent, a flag and a lineage are under 200.
const HEADER_BYTES_MAX: usize = 1_024;
/// Random bytes of a root and of a parent.
const ROOT_RANDOM: usize = 12;
const PARENT_RANDOM: usize = 8;
const MADE_UP: &[u8; 74] =
    b"Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0";
/// Where the digits stand in it.
const SECONDS_AT: usize = "Root=1-".len();
const ROOT_AT: usize = "Root=1-00000000-".len();
const PARENT_AT: usize = "Root=1-00000000-000000000000000000000000;Parent=".len();

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
    let mut random = [0_u8; ROOT_RANDOM + PARENT_RANDOM];
    rand::rng().fill_bytes(&mut random);
    let (of_root, of_parent) = random.split_at(ROOT_RANDOM);
    if !root {
        return made_up(now, of_root, of_parent);
    }
    let mut extended = Vec::with_capacity(text.len() + MADE_UP.len());
    extended.extend_from_slice(text.trim_end_matches(';').as_bytes());
    if !parent {
        extended.extend_from_slice(b";Parent=");
        let start = extended.len();
        extended.resize(start + 2 * PARENT_RANDOM, b'0');
        put_hex(&mut extended, start, of_parent);
    }
    if !sampled {
        extended.extend_from_slice(b";Sampled=0");
    }
    HeaderValue::from_maybe_shared(Bytes::from(extended))
        .unwrap_or_else(|_| HeaderValue::from_static("Sampled=0"))
}

/// A header of which nothing came from the client: what most calls get. Filled in by hand, as the
/// formatting machinery took ten times as long.
fn made_up(now: Timestamp, of_root: &[u8], of_parent: &[u8]) -> HeaderValue {
    let mut text = *MADE_UP;
    // The format's field has 32 bits.
    put_hex(&mut text, SECONDS_AT, &(now.as_seconds() as u32).to_be_bytes());
    put_hex(&mut text, ROOT_AT, of_root);
    put_hex(&mut text, PARENT_AT, of_parent);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("Sampled=0"))
}

/// Writes the digits of `bytes` over the zeros at `start`.
fn put_hex(text: &mut [u8], start: usize, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let places = text.get_mut(start..).unwrap_or_default().chunks_exact_mut(2);
    for (place, byte) in places.zip(bytes) {
        place.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(text: &'static str) -> String {
        let header = HeaderValue::from_static(text);
        let now = Timestamp::from_seconds(0x5759_e988);
        extend(Some(&header).filter(|_| !text.is_empty()), now).to_str().unwrap().to_owned()
    }

    /// The text with every digit of its random parts as `x`.
    fn shape(text: &str) -> String {
        let parts = text.split(';').map(|part| match part.split_once('=') {
            Some(("Root", id)) => {
                let (known, random) = id.split_at("1-5759e988-".len());
                format!("Root={known}{}", "x".repeat(random.len()))
            }
            Some(("Parent", id)) => format!("Parent={}", "x".repeat(id.len())),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(";")
    }

    /// AWS: X-Ray Developer Guide, "Tracing header".
    #[test]
    fn what_a_client_did_not_say_is_made_up() {
        let whole = "Root=1-5759e988-xxxxxxxxxxxxxxxxxxxxxxxx;Parent=xxxxxxxxxxxxxxxx;Sampled=0";
        for nothing in ["", "Parent=53995c3f42cd8ad8;Sampled=1", "odd"] {
            let (one, other) = (extended(nothing), extended(nothing));
            assert_ne!(one, other);
            assert!(one.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(shape(&one), whole);
        }
    }

    #[test]
    fn a_root_is_kept_and_completed() {
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        assert_eq!(
            extended("Root=1-5759e988-bd862e3fe1be46a994272793;").split(';').next(),
            Some(root)
        );
        assert!(extended(root).ends_with(";Sampled=0"));
        assert_eq!(extended(root).len(), MADE_UP.len());
        let sampled = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";
        assert!(extended(sampled).starts_with(&format!("{sampled};Parent=")));
        let whole = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(extended(whole), whole);
    }
}
