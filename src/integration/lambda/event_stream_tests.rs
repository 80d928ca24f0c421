use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;

use super::*;

/// A message as Lambda sends it.
pub(in crate::integration) fn framed(event: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", event)] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE_BYTES + headers.len() + payload.len() + TRAILER_BYTES;
    let mut message = Vec::new();
    message.extend_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
    message.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    message
}

/// What comes out of bytes that arrive in pieces of a length.
async fn unframed(bytes: &[u8], piece: usize) -> Result<Vec<u8>, BodyError> {
    let pieces: Vec<Result<Frame<Bytes>, BodyError>> = bytes
        .chunks(piece.max(1))
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let body = Body::stream(StreamBody::new(futures_util::stream::iter(pieces)));
    let collected = Unframed::new(body).collect().await?;
    Ok(collected.to_bytes().to_vec())
}

#[test]
fn the_checksum_is_zlibs() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(crc32(b""), 0);
}

/// rest-data-plane 7.14; Lambda API Reference, "InvokeWithResponseStream".
#[tokio::test]
async fn chunks_come_out_whatever_pieces_they_arrive_in() {
    let mut bytes = framed("PayloadChunk", b"{\"statusCode\":200}");
    bytes.extend(framed("PayloadChunk", b""));
    bytes.extend(framed("Unknown", b"?"));
    bytes.extend(framed("PayloadChunk", b"rest"));
    bytes.extend(framed("InvokeComplete", b"{}"));
    for piece in [1, 2, 7, 64, bytes.len()] {
        assert_eq!(unframed(&bytes, piece).await.unwrap(), b"{\"statusCode\":200}rest");
    }
}

#[tokio::test]
async fn a_stream_that_fails_or_breaks_off_is_an_error() {
    let chunk = framed("PayloadChunk", b"x");
    let failed = framed("InvokeComplete", br#"{"ErrorCode":"Unhandled","ErrorDetails":"boom"}"#);
    let err = unframed(&[chunk.clone(), failed].concat(), 9).await.unwrap_err().to_string();
    assert!(err.contains("Unhandled: boom"), "{err}");
    for broken in [chunk.clone(), chunk[..chunk.len() - 1].to_vec(), b"HTTP/1.1 200".to_vec()] {
        assert!(unframed(&broken, 5).await.is_err());
    }
    let mut spoiled = chunk.clone();
    spoiled[14] ^= 1;
    assert!(unframed(&spoiled, 99).await.is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut read = BytesMut::from(bytes.as_slice());
        drop(message(&mut read));
        event(&bytes);
    }
}
