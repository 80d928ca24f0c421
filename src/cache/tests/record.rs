use std::sync::atomic::{AtomicBool, AtomicU64};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use uuid::Uuid;

use super::LOG;
use crate::cache::entry::Entry;
use crate::cache::purge::{AsOf, Purges};
use crate::cache::record::{RecordError, decode, encode, encoded_bytes};
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Timestamp;

fn as_of() -> AsOf {
    Purges::new().as_of()
}

fn entry(key: &[u8], body: &[u8], headers: &[(String, Vec<u8>)]) -> Entry {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    Entry {
        key: Box::from(key),
        status: StatusCode::IM_A_TEAPOT,
        headers: map,
        body: Bytes::copy_from_slice(body),
        stored_at: Timestamp::from_millis(1_700_000_000_123),
        expires_at: Timestamp::from_millis(1_700_000_300_123),
        age_at_store_seconds: 17,
        as_of_seq: 42,
        api: ApiId::new("api"),
        stage: StageName::new("prod"),
        path: "/pets/é".to_owned(),
        path_is_shared: true,
        era: 0,
        verified_seq: AtomicU64::new(99),
        wants_disk: AtomicBool::new(true),
        is_memory_only: false,
    }
}

fn plain() -> Bytes {
    let headers = [("content-type".to_owned(), b"text/plain".to_vec())];
    encode(&entry(b"key", b"body", &headers), LOG).into()
}

#[test]
fn a_record_of_another_log_or_key_is_not_used() {
    assert!(decode(&plain(), b"key", LOG, as_of()).is_ok());
    let other = decode(&plain(), b"key", Uuid::nil(), as_of());
    assert_eq!(other.unwrap_err(), RecordError::OtherLog);
    let other = decode(&plain(), b"kez", LOG, as_of());
    assert_eq!(other.unwrap_err(), RecordError::OtherKey);
}

#[test]
fn every_single_changed_or_missing_byte_is_noticed() {
    let whole = plain();
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        assert!(decode(&bytes.into(), b"key", LOG, as_of()).is_err(), "changed at {at}");
        assert!(decode(&whole.slice(..at), b"key", LOG, as_of()).is_err(), "cut at {at}");
    }
    let longer = [&whole[..], b"x"].concat();
    assert!(decode(&longer.into(), b"key", LOG, as_of()).is_err());
}

proptest! {
    #[test]
    fn a_record_reads_back_as_it_was(
        key in proptest::collection::vec(any::<u8>(), 0..50),
        body in proptest::collection::vec(any::<u8>(), 0..500),
        headers in proptest::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 0..6),
    ) {
        let headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let kept = entry(&key, &body, &headers);
        let bytes = encode(&kept, LOG);
        prop_assert_eq!(bytes.len(), encoded_bytes(&kept));
        let read = decode(&bytes.into(), &key, LOG, as_of()).unwrap();
        prop_assert_eq!((&read.key, read.status, &read.headers), (&kept.key, kept.status, &kept.headers));
        prop_assert_eq!((&read.body, &read.path), (&kept.body, &kept.path));
        prop_assert_eq!((read.stored_at, read.expires_at), (kept.stored_at, kept.expires_at));
        prop_assert_eq!((read.as_of_seq, read.age_at_store_seconds), (42, 17));
        prop_assert_eq!((&read.api, &read.stage), (&kept.api, &kept.stage));
        prop_assert!(read.path_is_shared);
        prop_assert_eq!(read.verified_seq.into_inner(), 42, "checked anew after a restart");
    }

    /// Garbage, also behind a right magic and digest, is an error and nothing worse.
    #[test]
    fn garbage_is_refused(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&content.clone().into(), b"key", LOG, as_of()).is_err());
        let mut forged = b"tgcache1".to_vec();
        let body = [LOG.as_bytes().as_slice(), &content].concat();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        forged.extend_from_slice(digest.as_ref());
        forged.extend_from_slice(&body);
        prop_assert!(decode(&forged.into(), b"key", LOG, as_of()).is_err());
    }
}
