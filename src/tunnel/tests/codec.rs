//! Laws of the codec: what was written is read, and nothing else is.

use bytes::BytesMut;
use http::header::{HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::call::{Freshness, IntegrationReport, Spelling};
use crate::tunnel::frame::{self, Hello, Kind, Reader};
use crate::tunnel::head::BodyLength;

fn headers() -> impl Strategy<Value = HeaderMap> {
    let pair = ("[a-z][a-z0-9-]{0,12}", "[ -~]{0,30}");
    vec(pair, 0..12).prop_map(|pairs| {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(&value).unwrap(),
            );
        }
        map
    })
}

fn body_length() -> impl Strategy<Value = BodyLength> {
    prop_oneof![
        Just(BodyLength::None),
        Just(BodyLength::Unknown),
        any::<u64>().prop_map(BodyLength::Exact),
    ]
}

prop_compose! {
    fn call_head()(
        id in any::<u128>(),
        extended_id in any::<[u8; 16]>(),
        part in any::<[u8; 32]>(),
        texts in vec("[a-zA-Z0-9-]{1,20}", 6),
        uri in vec(any::<u8>(), 0..200),
        headers in headers(),
        spelling in "([a-zA-Z-]{0,9}\n?){0,4}",
        ip in any::<std::net::IpAddr>(),
        numbers in any::<(u16, u16, u64, u64)>(),
        version in 0usize..4,
        path_parameters in vec((".{0,9}", ".{0,9}"), 0..5),
    ) -> CallHead {
        CallHead {
            id: Uuid::from_u128(id),
            extended_id,
            api_id: ApiId::new(&texts[0]),
            stage: StageName::new(&texts[1]),
            part,
            resource_id: ResourceId::new(&texts[2]),
            verb: texts[3].clone(),
            method: Method::from_bytes(texts[3].as_bytes()).unwrap(),
            uri: uri.into(),
            authority: texts[4].clone(),
            version: [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3][version],
            headers,
            spelling: Spelling::new(spelling.into()),
            peer: SocketAddr::new(ip, numbers.0),
            scheme: if version == 0 { Scheme::Http } else { Scheme::Https },
            port: numbers.1,
            received_at_ms: numbers.2,
            time_left_ms: numbers.3,
            trace_id: texts[5].clone(),
            path_parameters,
            proved: Proved::Anonymous,
        }
    }
}

fn reported() -> impl Strategy<Value = Option<std::sync::Arc<str>>> {
    option::of(".{0,40}".prop_map(std::sync::Arc::from))
}

prop_compose! {
    fn reply_head()(
        status in 100u16..1000,
        headers in headers(),
        integration in option::of((any::<(u16, u64, Option<u16>, bool)>(), reported(), reported())),
        refusal in option::of(("[A-Z_]{0,20}", ".{0,40}")),
        cache in 0u32..3,
        age in any::<u32>(),
        freshness in option::of(any::<(u32, u32, u64)>()),
    ) -> ReplyHead {
        ReplyHead {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            integration: integration
                .map(|((status, latency_ms, function_status, is_streamed), error, request_id)| {
                    IntegrationReport {
                        status,
                        latency_ms,
                        function_status,
                        error,
                        request_id,
                        is_streamed,
                    }
                }),
            refusal: refusal
                .map(|(response_type, message)| Refusal { response_type, message }),
            cache: match cache {
                0 => CacheStatus::Off,
                1 => CacheStatus::Miss,
                _ => CacheStatus::Hit { age_seconds: age },
            },
            freshness: freshness.map(|(ttl_seconds, age_seconds, as_of_seq)| Freshness {
                ttl_seconds,
                age_seconds,
                as_of_seq,
            }),
        }
    }
}

/// Every payload decoder, fed the same bytes; it must not panic.
fn decode_all(payload: &Bytes) {
    let _call = CallHead::get(payload.clone());
    let _reply = ReplyHead::get(payload.clone());
    let _hello = Hello::get(payload.clone());
    let _push = Push::get(payload.clone());
    let _report = Report::get(payload.clone());
    let _request = Request::get(payload.clone());
    let _headers = Reader(payload.clone()).headers();
    let _integer = Reader(payload.clone()).integer();
}

proptest! {
    #[test]
    fn a_call_head_comes_back(head in call_head(), length in body_length()) {
        let mut out = BytesMut::new();
        head.put(head.time_left_ms, length, &mut out);
        let whole = out.freeze();
        prop_assert_eq!(CallHead::get(whole.clone()).unwrap(), (head, length));
        for cut in 0..whole.len() {
            prop_assert!(CallHead::get(whole.slice(..cut)).is_err());
        }
    }

    #[test]
    fn a_reply_head_comes_back(head in reply_head(), length in body_length()) {
        let mut out = BytesMut::new();
        head.put(length, &mut out);
        let whole = out.freeze();
        prop_assert_eq!(ReplyHead::get(whole.clone()).unwrap(), (head, length));
        for cut in 0..whole.len() {
            prop_assert!(ReplyHead::get(whole.slice(..cut)).is_err());
        }
    }

    #[test]
    fn integers_come_back(value in any::<u64>()) {
        let mut out = BytesMut::new();
        frame::put_integer(&mut out, value);
        let mut reader = Reader(out.freeze());
        prop_assert_eq!(reader.integer().unwrap(), value);
        prop_assert!(reader.end().is_ok());
    }

    #[test]
    fn small_messages_come_back(a in any::<u64>(), hash in any::<[u8; 32]>(), node in ".{0,40}") {
        fn put(fill: impl FnOnce(&mut BytesMut)) -> Bytes {
            let mut out = BytesMut::new();
            fill(&mut out);
            out.freeze()
        }
        for push in [Push::Config { epoch: a }, Push::Purge { seq: a }, Push::Goodbye] {
            prop_assert_eq!(Push::get(put(|out| push.put(out))), Ok(push));
        }
        for report in [Report::Applied { epoch: a }, Report::Purged { seq: a }] {
            prop_assert_eq!(Report::get(put(|out| report.put(out))), Ok(report));
        }
        let log_id = Uuid::from_u128(a.into());
        for request in
            [Request::Manifest, Request::Part { hash }, Request::PurgesSince { log_id, seq: a }]
        {
            prop_assert_eq!(Request::get(put(|out| request.put(out))), Ok(request));
        }
        let hello = Hello { node, version: "1".into(), applied_epoch: a, purged_seq: a };
        prop_assert_eq!(Hello::get(put(|out| hello.put(out))), Ok(hello.clone()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        decode_all(&Bytes::from(bytes));
    }

    /// Nearly right bytes get further into the decoders than random ones.
    #[test]
    fn damaged_heads_never_panic(head in call_head(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut out = BytesMut::new();
        head.put(1, BodyLength::Unknown, &mut out);
        let at = at.index(out.len());
        out[at] = byte;
        decode_all(&out.freeze());
    }

    #[test]
    fn frame_headers_are_bounded(bytes in any::<[u8; 5]>()) {
        if let Ok((kind, length)) = frame::header(bytes) {
            let mut out = BytesMut::new();
            prop_assert!(frame::put_header(&mut out, kind, length).is_ok());
            prop_assert_eq!(&out[..], &bytes[..]);
        }
    }
}

#[test]
fn a_payload_beyond_its_bound_is_neither_read_nor_written() {
    let mut out = BytesMut::new();
    assert!(
        frame::put_frame(&mut out, Kind::Push, |out| out.resize(out.len() + 5_000, 0)).is_err()
    );
    assert!(out.is_empty(), "nothing half-written stays");
    assert!(frame::header([Kind::Push as u8, 0, 0, 0x20, 0]).is_err());
    assert!(frame::header([Kind::Data as u8, 0xff, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn a_lie_about_the_number_of_headers_is_refused() {
    let mut out = BytesMut::new();
    frame::put_integer(&mut out, 2_000);
    assert!(Reader(out.freeze()).headers().is_err());
}
