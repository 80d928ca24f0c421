use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;

use super::super::compression::{
    Coding, DecodeError, compress, compress_reply, decode_request, negotiate,
};
use super::headers;
use crate::call::{Body, BodyError, Reply};

/// AWS: "Content encoding for REST APIs": the most preferred supported coding decides.
#[test]
fn the_coding_is_what_the_client_wants_most() {
    for (accepted, expected) in [
        ("gzip", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("deflate, gzip", Some(Coding::Gzip)),
        ("gzip;q=0.5, deflate;q=0.8", Some(Coding::Deflate)),
        ("br, gzip;q=0.1", Some(Coding::Gzip)),
        ("GZIP; Q=1.000", Some(Coding::Gzip)),
        ("gzip, identity", Some(Coding::Gzip)),
        ("identity, gzip;q=0.9", None),
        ("gzip;q=0", None),
        ("gzip;q=oops", None),
        ("identity", None),
        ("*", None),
        ("br", None),
        ("", None),
    ] {
        assert_eq!(negotiate(&headers(&[("accept-encoding", accepted)])), expected, "{accepted}");
    }
    assert_eq!(negotiate(&HeaderMap::new()), None);
}

fn chunked(chunks: Vec<Bytes>) -> Body {
    let frames = chunks.into_iter().map(|chunk| Ok::<_, BodyError>(Frame::data(chunk)));
    Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
}

fn bodies(text: &'static str) -> [Body; 2] {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let chunks = [first, second].into_iter().filter(|chunk| !chunk.is_empty());
    [Body::from(Bytes::from(text)), chunked(chunks.map(Bytes::from_static).collect())]
}

async fn collect(body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

async fn decoded(coding: &str, body: Body, limit: u64) -> Result<Bytes, DecodeError> {
    let headers = headers(&[("content-encoding", coding)]);
    Ok(collect(decode_request(&headers, body, limit).await?).await)
}

/// `minimumCompressionSize` counts the bytes before compression.
#[tokio::test]
async fn replies_from_a_size_on_are_compressed() {
    let accepted = headers(&[("accept-encoding", "gzip")]);
    for (text, minimum, compressed) in
        [("hello", 5, true), ("hello", 6, false), ("hello", 0, true), ("", 0, false)]
    {
        for body in bodies(text) {
            let lengths = headers(&[("content-length", "5")]);
            let reply = Reply::new(StatusCode::OK, lengths, body);
            let reply = compress_reply(reply, &accepted, minimum).await;
            let coded = reply.headers.get(header::CONTENT_ENCODING).is_some();
            assert_eq!(coded, compressed, "{text} {minimum}");
            assert_eq!(reply.headers.contains_key(header::CONTENT_LENGTH), !compressed);
            let bytes = collect(reply.body).await;
            if compressed {
                assert_eq!(decoded("gzip", Body::from(bytes), 100).await.unwrap(), text);
            } else {
                assert_eq!(bytes, text);
            }
        }
    }
    let coded = headers(&[("content-encoding", "br")]);
    let reply = Reply::new(StatusCode::OK, coded.clone(), Body::from(Bytes::from("hello")));
    let reply = compress_reply(reply, &accepted, 0).await;
    assert_eq!((reply.headers, collect(reply.body).await), (coded, Bytes::from("hello")));
}

/// Data that has come is sent on before the next data comes.
#[tokio::test(start_paused = true)]
async fn compression_does_not_hold_back_what_is_there() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(chunk)), receiver))
    });
    let mut body = compress(Body::stream(StreamBody::new(Box::pin(frames))), Coding::Gzip);
    sender.send(Bytes::from_static(b"first")).await.unwrap();
    let mut seen = Vec::new();
    while let Ok(Some(frame)) =
        tokio::time::timeout(std::time::Duration::from_secs(1), body.frame()).await
    {
        seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert!(seen.len() > 10, "the head of the format and the first data");
    drop(sender);
    seen.extend_from_slice(&collect(body).await);
    assert_eq!(decoded("gzip", Body::from(Bytes::from(seen)), 100).await.unwrap(), "first");
}

#[tokio::test]
async fn request_bodies_are_taken_out_of_their_coding() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let name = if coding == Coding::Gzip { "gzip" } else { "deflate" };
        for body in bodies("hello") {
            assert_eq!(decoded(name, compress(body, coding), 5).await.unwrap(), "hello");
        }
        let long = decoded(name, compress(Body::from(Bytes::from("hello")), coding), 4).await;
        assert!(matches!(long, Err(DecodeError::TooLarge { limit: 4 })), "{long:?}");
        let bomb = compress(Body::from(Bytes::from(vec![0; 1 << 20])), coding);
        let bomb = decoded(name, bomb, 1 << 16).await;
        assert!(matches!(bomb, Err(DecodeError::TooLarge { .. })), "{bomb:?}");
        let whole = collect(compress(Body::from(Bytes::from("hello")), coding)).await;
        let cut = whole.slice(..whole.len() - 1);
        assert!(matches!(decoded(name, Body::from(cut), 100).await, Err(DecodeError::Undecodable)));
        let plain = decoded(name, Body::from(Bytes::from("plain")), 100).await;
        assert!(matches!(plain, Err(DecodeError::Undecodable)), "{plain:?}");
    }
    for name in ["br", "gzip, gzip", "x"] {
        let refused = decoded(name, Body::from(Bytes::from("hello")), 100).await;
        assert!(matches!(refused, Err(DecodeError::UnsupportedCoding)), "{name}");
    }
    assert_eq!(decoded("identity", Body::from(Bytes::from("hello")), 1).await.unwrap(), "hello");
    // Recorded: a bodiless request may name a coding.
    for name in ["deflate", "br"] {
        assert_eq!(decoded(name, Body::Empty, 1).await.unwrap(), "");
        assert_eq!(decoded(name, chunked(Vec::new()), 1).await.unwrap(), "");
    }
}

proptest! {
    #[test]
    fn compressing_loses_nothing(chunks: Vec<Vec<u8>>, gzip: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (coding, name) =
            if gzip { (Coding::Gzip, "gzip") } else { (Coding::Deflate, "deflate") };
        let whole = chunks.concat();
        let body = chunked(chunks.into_iter().map(Bytes::from).collect());
        let back = runtime.block_on(decoded(name, compress(body, coding), 1 << 20));
        prop_assert_eq!(&back.unwrap()[..], &whole[..]);
    }

    #[test]
    fn decoding_never_panics(bytes: Vec<u8>, gzip: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let name = if gzip { "gzip" } else { "deflate" };
        drop(runtime.block_on(decoded(name, Body::from(Bytes::from(bytes)), 1 << 16)));
    }
}

/// RFC 1952 section 2.2; what follows a coded body and is none belongs to nobody.
#[tokio::test]
async fn a_row_of_gzip_members_is_one_body() {
    let first = collect(compress(Body::from(Bytes::from("one ")), Coding::Gzip)).await;
    let second = collect(compress(Body::from(Bytes::from("two")), Coding::Gzip)).await;
    let row = [&first[..], &second].concat();
    for body in [
        Body::from(Bytes::from(row.clone())),
        chunked(row.chunks(1).map(Bytes::copy_from_slice).collect()),
    ] {
        assert_eq!(decoded("gzip", body, 100).await.unwrap(), "one two");
    }
    let refused = decoded("gzip", Body::from(Bytes::from(row)), 5).await;
    assert!(matches!(refused, Err(DecodeError::TooLarge { limit: 5 })), "{refused:?}");
    for coding in [Coding::Gzip, Coding::Deflate] {
        let name = if coding == Coding::Gzip { "gzip" } else { "deflate" };
        let coded = collect(compress(Body::from(Bytes::from("one")), coding)).await;
        let more = Bytes::from([&coded[..], b"more"].concat());
        let refused = decoded(name, Body::from(more), 100).await;
        assert!(matches!(refused, Err(DecodeError::Undecodable)), "{name}: {refused:?}");
    }
}
