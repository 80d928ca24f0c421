//! An answer that is handed on while the function still makes it.
//!
//! The bytes are the function's, metadata prelude included: nothing here looks into them. The
//! function is slowed down by a slow reader; when the reader goes away the rest is read and thrown
//! away, as the function has more to do than to talk to that reader.
//!
//! AWS: Lambda Developer Guide, "Response streaming for Lambda functions", "Building a custom
//! runtime for AWS Lambda" (errors after the head come as trailers, base64).

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::mpsc;

use super::answered;
use super::desk::Answering;
use crate::call::{Body, BodyError};

/// One streamed answer ("Lambda quotas": 200 MB).
pub(super) const STREAM_BYTES_MAX: u64 = 200 << 20;
/// Pieces between function and reader; each is what one read of a socket gives.
const PIECES: usize = 16;
/// An error's text in a trailer; the log's and the caller's patience is shorter than a header.
const ERROR_BYTES_MAX: usize = 8 * 1024;

/// The answer was longer than [`STREAM_BYTES_MAX`].
#[derive(Debug)]
pub(super) struct TooLong;

enum Piece {
    Data(Bytes),
    End,
    Broken(BodyError),
}

/// Answers with the body as it comes and stays until its end.
pub(super) async fn pass_on(answering: Answering, mut body: Incoming) -> Result<(), TooLong> {
    let (pieces, received) = mpsc::channel(PIECES);
    let streamed = Body::stream(Streamed { pieces: received, is_over: false });
    answering.finish(answered(200, None, streamed));
    let mut total: u64 = 0;
    let mut end = Piece::End;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            end = Piece::Broken(BodyError::Failed("the function's answer broke off".into()));
            break;
        };
        match frame.into_data() {
            Ok(data) => {
                total += data.len() as u64;
                if total > STREAM_BYTES_MAX {
                    let error = BodyError::TooLarge { limit: STREAM_BYTES_MAX };
                    // Nobody may be listening any more.
                    drop(pieces.send(Piece::Broken(error)).await);
                    return Err(TooLong);
                }
                drop(pieces.send(Piece::Data(data)).await);
            }
            Err(frame) => {
                let error = frame.into_trailers().ok().and_then(|trailers| error(&trailers));
                if let Some(error) = error {
                    let text = String::from_utf8_lossy(&error).into_owned();
                    end = Piece::Broken(BodyError::Failed(text.into()));
                }
            }
        }
    }
    drop(pieces.send(end).await);
    Ok(())
}

/// The error that trailers tell of, as the JSON an unstreamed answer would have.
pub(super) fn error(trailers: &HeaderMap) -> Option<Bytes> {
    let kind = trailers.get("lambda-runtime-function-error-type")?.to_str().ok()?;
    let body = trailers
        .get("lambda-runtime-function-error-body")
        .filter(|body| body.len() <= ERROR_BYTES_MAX)
        .and_then(|body| STANDARD.decode(body.as_bytes()).ok());
    let nothing = || json!({ "errorType": kind, "errorMessage": "" }).to_string().into_bytes();
    Some(body.unwrap_or_else(nothing).into())
}

/// The reader's end. A function that dies says nothing: then there is no more, and no end.
struct Streamed {
    pieces: mpsc::Receiver<Piece>,
    is_over: bool,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.pieces.poll_recv(cx) else { return Poll::Pending };
        if let Some(Piece::Data(data)) = piece {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.is_over = true;
        Poll::Ready(match piece {
            Some(Piece::Broken(error)) => Some(Err(error)),
            None => Some(Err(BodyError::Failed("the function ended in the middle".into()))),
            Some(Piece::End | Piece::Data(_)) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}
