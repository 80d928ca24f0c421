//! The frames in which Lambda sends a streamed answer, taken off as they arrive.
//!
//! `application/vnd.amazon.eventstream` is a row of messages: a prelude of two lengths and their
//! checksum, headers, a payload, a checksum of all. `PayloadChunk` messages carry what the function
//! wrote; `InvokeComplete` ends the stream and says whether the function failed. Whatever breaks the
//! form ends the body with an error: bytes after it could be anything.
//!
//! AWS: Lambda API Reference, "InvokeWithResponseStream"; Amazon Transcribe Developer Guide, "Event
//! stream encoding" (the one page that shows the bytes).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::Deserialize;

use crate::call::{Body, BodyError};

/// Lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// The checksum at a message's end.
const TRAILER_BYTES: usize = 4;
/// The longest message AWS's SDKs take (smithy's event stream: 24 MB); a function's whole streamed
/// answer has at most 200 MB ("Lambda quotas").
const MESSAGE_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The longest headers of a message, as AWS's SDKs have it.
const HEADERS_BYTES_MAX: usize = 128 * 1024;

/// A body without the frames it came in.
pub(super) struct Unframed {
    body: Body,
    read: BytesMut,
    ended: bool,
}

impl Unframed {
    pub(super) fn new(body: Body) -> Self {
        Self { body, read: BytesMut::new(), ended: false }
    }

    /// The next chunk that has arrived whole; `None` when more must be read.
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        while let Some(message) = message(&mut self.read).map_err(BodyError::aborted)? {
            match message.event {
                Event::Chunk if message.payload.is_empty() => {}
                Event::Chunk => return Ok(Some(message.payload)),
                Event::Complete => {
                    self.ended = true;
                    return match failure(&message.payload) {
                        Some(failure) => Err(BodyError::Failed(failure.into())),
                        None => Ok(None),
                    };
                }
                Event::Exception(name) => return Err(BodyError::aborted(name)),
                Event::Other => {}
            }
        }
        Ok(None)
    }
}

impl HttpBody for Unframed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            match self.next() {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                Ok(None) if self.ended => return Poll::Ready(None),
                Ok(None) => {}
                Err(err) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(err)));
                }
            }
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
                Some(Err(err)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(err)));
                }
                None => {
                    self.ended = true;
                    let err = BodyError::aborted("the stream ended before it was complete");
                    return Poll::Ready(Some(Err(err)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Chunk,
    Complete,
    /// An error of the service's, by its name.
    Exception(String),
    Other,
}

#[derive(Debug)]
struct Message {
    event: Event,
    payload: Bytes,
}

/// Takes a whole message off the front; `None` while it is not whole.
fn message(read: &mut BytesMut) -> Result<Option<Message>, &'static str> {
    let Some(mut prelude) = read.get(..PRELUDE_BYTES) else { return Ok(None) };
    let checked = prelude.get(..8).unwrap_or_default();
    let sum = crc32(checked);
    let total = usize::try_from(prelude.get_u32()).unwrap_or(usize::MAX);
    let headers = usize::try_from(prelude.get_u32()).unwrap_or(usize::MAX);
    if prelude.get_u32() != sum {
        return Err("the checksum of a message's prelude is wrong");
    }
    let least = PRELUDE_BYTES + TRAILER_BYTES;
    if headers > HEADERS_BYTES_MAX
        || total > MESSAGE_BYTES_MAX
        || total < least.saturating_add(headers)
    {
        return Err("the lengths of a message are wrong");
    }
    if read.len() < total {
        read.reserve(total - read.len());
        return Ok(None);
    }
    let mut whole = read.split_to(total).freeze();
    let mut trailer = whole.split_off(total - TRAILER_BYTES);
    if trailer.get_u32() != crc32(&whole) {
        return Err("the checksum of a message is wrong");
    }
    whole.advance(PRELUDE_BYTES);
    let event = event(&whole.split_to(headers)).ok_or("the headers of a message are wrong")?;
    Ok(Some(Message { event, payload: whole }))
}

/// Reads `:message-type`, `:event-type` and `:exception-type`; others are passed over. `None` for
/// headers that have no form.
fn event(mut headers: &[u8]) -> Option<Event> {
    let (mut kind, mut name) = (String::new(), String::new());
    while !headers.is_empty() {
        let length = usize::from(headers.try_get_u8().ok()?);
        let (key, rest) = headers.split_at_checked(length)?;
        headers = rest;
        // The types: true, false, byte, short, int, long, bytes, text, time, UUID.
        let length = match headers.try_get_u8().ok()? {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            6 | 7 => usize::from(headers.try_get_u16().ok()?),
            9 => 16,
            _ => return None,
        };
        let (value, rest) = headers.split_at_checked(length)?;
        headers = rest;
        let text = || String::from_utf8_lossy(value).into_owned();
        match key {
            b":message-type" => kind = text(),
            b":event-type" | b":exception-type" | b":error-code" => name = text(),
            _ => {}
        }
    }
    Some(match (kind.as_str(), name.as_str()) {
        ("event", "PayloadChunk") => Event::Chunk,
        ("event", "InvokeComplete") => Event::Complete,
        ("exception" | "error", _) => Event::Exception(name),
        _ => Event::Other,
    })
}

/// What `InvokeComplete` says of a function that failed.
fn failure(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Complete {
        error_code: Option<String>,
        error_details: Option<String>,
    }
    let complete: Complete = serde_json::from_slice(payload).ok()?;
    let code = complete.error_code?;
    Some(format!("{code}: {}", complete.error_details.unwrap_or_default()))
}

/// CRC-32 as ISO 3309 and zlib have it, reflected.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        // The remainder is a byte.
        (sum >> 8) ^ TABLE[usize::from((sum as u8) ^ byte)]
    })
}

const fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
#[path = "event_stream_tests.rs"]
mod tests;
