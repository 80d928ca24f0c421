//! Content codings: bodies compressed for clients that ask, request bodies taken out of theirs.
//!
//! AWS: "Content encoding for REST APIs in API Gateway" (`minimumCompressionSize`, supported
//! codings `gzip`, `deflate`, `identity`). RFC 9110 section 8.4.1 (`deflate` is the zlib format)
//! and 12.5.3 (`Accept-Encoding`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{GzipDecoder, ZlibDecoder};
use async_compression::tokio::write::{GzipEncoder, ZlibEncoder};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::call::{Body, BodyError, Reply};

/// A coding we can produce and undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("gzip") {
            Some(Coding::Gzip)
        } else if name.eq_ignore_ascii_case("deflate") {
            Some(Coding::Deflate)
        } else {
            None
        }
    }

    fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        })
    }
}

/// Why a request's body could not be taken out of its coding.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("content coding is not supported")]
    UnsupportedCoding,
    #[error("body is not what its content coding says")]
    Undecodable,
    #[error("decoded body is longer than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// The coding the client wants most of those we have; `None` when it wants the body as it is.
///
/// `*` alone asks for nothing (AWS). Of equal weights gzip comes first, then deflate.
pub fn negotiate(headers: &HeaderMap) -> Option<Coding> {
    let (mut gzip, mut deflate, mut identity) = (0, 0, 0);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for element in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
            let name = name.trim();
            let weight = weight(parameters);
            match Coding::parse(name) {
                Some(Coding::Gzip) => gzip = weight,
                Some(Coding::Deflate) => deflate = weight,
                None if name.eq_ignore_ascii_case("identity") => identity = weight,
                None => {}
            }
        }
    }
    let (coding, weight) =
        if gzip >= deflate { (Coding::Gzip, gzip) } else { (Coding::Deflate, deflate) };
    (weight > 0 && weight >= identity).then_some(coding)
}

/// A `q` parameter in thousandths; 1000 without one, 0 for one that is not a weight.
fn weight(parameters: &str) -> u16 {
    let quality = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(quality) = quality else { return 1000 };
    let (whole, part) = quality.split_once('.').unwrap_or((quality, ""));
    let thousandths = format!("{part:0<3}");
    match (whole, thousandths.parse::<u16>()) {
        ("1", _) => 1000,
        ("0", Ok(thousandths)) => thousandths.min(1000),
        _ => 0,
    }
}

/// Compresses a reply of at least `minimum` bytes when the client wants it so and no one has done
/// it. Reads at most `minimum` bytes ahead, and only where the length is not known.
pub async fn compress_reply(mut reply: Reply, accepted: &HeaderMap, minimum: u64) -> Reply {
    let Some(coding) = negotiate(accepted) else { return reply };
    // A part of a body is counted in bytes of the whole, which a coding would shift.
    let partial = reply.status == StatusCode::PARTIAL_CONTENT;
    if partial || reply.headers.contains_key(header::CONTENT_ENCODING) {
        return reply;
    }
    let hint = reply.body.size_hint();
    let large = match hint.exact() {
        Some(0) => false,
        Some(length) => length >= minimum,
        None if hint.lower() >= minimum && minimum > 0 => true,
        None => {
            let (body, large) = read_ahead(reply.body, minimum.max(1)).await;
            reply.body = body;
            large
        }
    };
    if large {
        reply.body = compress(reply.body, coding);
        reply.headers.remove(header::CONTENT_LENGTH);
        reply.headers.insert(header::CONTENT_ENCODING, coding.header_value());
    }
    reply
}

/// Reads until `minimum` bytes are there or the body has ended. Says whether they are there.
async fn read_ahead(mut body: Body, minimum: u64) -> (Body, bool) {
    let mut read: Vec<u8> = Vec::new();
    let failed = loop {
        if read.len() as u64 >= minimum {
            let first = Some(Bytes::from(read));
            return (Body::stream(Prefixed { first, failed: None, rest: body }), true);
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
            Some(Err(err)) => break err,
            None => return (Body::from(Bytes::from(read)), false),
        }
    };
    let (first, failed) = (Some(Bytes::from(read)), Some(failed));
    (Body::stream(Prefixed { first, failed, rest: Body::Empty }), false)
}

/// A body whose beginning has been read.
struct Prefixed {
    first: Option<Bytes>,
    failed: Option<BodyError>,
    rest: Body,
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(Some(Err(failed)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }
}

/// The body in a coding; its length is not known in advance.
pub fn compress(body: Body, coding: Coding) -> Body {
    let encoder = match coding {
        Coding::Gzip => Encoder::Gzip(Box::new(GzipEncoder::new(Vec::new()))),
        Coding::Deflate => Encoder::Deflate(Box::new(ZlibEncoder::new(Vec::new()))),
    };
    Body::stream(Compressed { body, encoder: Some(encoder), unflushed: false })
}

struct Compressed {
    body: Body,
    /// `None` once the end has been written.
    encoder: Option<Encoder>,
    /// The encoder holds bytes the client has not been given.
    unflushed: bool,
}

enum Encoder {
    Gzip(Box<GzipEncoder<Vec<u8>>>),
    Deflate(Box<ZlibEncoder<Vec<u8>>>),
}

impl Encoder {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Encoder::Gzip(encoder) => Pin::new(&mut **encoder),
            Encoder::Deflate(encoder) => Pin::new(&mut **encoder),
        }
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(match self {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Deflate(encoder) => encoder.get_mut(),
        }))
    }
}

impl Compressed {
    /// Writing goes to memory and so never waits.
    fn write(&mut self, cx: &mut Context<'_>, mut data: Bytes) -> Poll<io::Result<()>> {
        let Some(encoder) = &mut self.encoder else { return Poll::Ready(Ok(())) };
        while !data.is_empty() {
            let written = std::task::ready!(encoder.writer().poll_write(cx, &data))?;
            drop(data.split_to(written.min(data.len())));
        }
        self.unflushed = true;
        Poll::Ready(Ok(()))
    }
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let polled = Pin::new(&mut this.body).poll_frame(cx)?;
            let Some(encoder) = &mut this.encoder else {
                // The trailers, or the end.
                return polled.map(|frame| frame.map(Ok));
            };
            match polled {
                // What the client may have now must not wait for what comes later.
                Poll::Pending if this.unflushed => {
                    std::task::ready!(encoder.writer().poll_flush(cx))
                        .map_err(BodyError::aborted)?;
                    this.unflushed = false;
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(frame)) => match frame.into_data() {
                    Ok(data) => {
                        std::task::ready!(this.write(cx, data)).map_err(BodyError::aborted)?;
                    }
                    // REST APIs hand on no trailers.
                    Err(_trailers) => continue,
                },
                Poll::Ready(None) => {
                    std::task::ready!(encoder.writer().poll_shutdown(cx))
                        .map_err(BodyError::aborted)?;
                    let last = encoder.take();
                    this.encoder = None;
                    this.body = Body::Empty;
                    return Poll::Ready(Some(Ok(Frame::data(last))));
                }
            }
            if let Some(encoder) = &mut this.encoder {
                let ready = encoder.take();
                if !ready.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(ready))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}

/// Takes a request's body out of its `Content-Encoding`; without one the body stays a stream.
///
/// The header stays: it is dropped towards HTTP_PROXY backends only. The whole body is read,
/// because one that does not decode has to be answered with 415 before anything else happens.
/// An empty body has no coding, whatever the header says (recorded).
pub async fn decode_request(
    headers: &HeaderMap,
    body: Body,
    limit: u64,
) -> Result<Body, DecodeError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(body) };
    if body.is_end_stream() {
        return Ok(body);
    }
    let name = value.to_str().unwrap_or_default().trim();
    if values.next().is_none() && (name.is_empty() || name.eq_ignore_ascii_case("identity")) {
        return Ok(body);
    }
    let coding = if headers.get_all(header::CONTENT_ENCODING).iter().count() > 1 {
        None
    } else {
        Coding::parse(name)
    };
    let Some(coding) = coding else { return without_coding(body).await };
    let packed = whole(body, limit).await?;
    if packed.is_empty() {
        return Ok(Body::Empty);
    }
    let (bytes, rest) = match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(&*packed);
            // RFC 1952 section 2.2: a file is a row of members.
            decoder.multiple_members(true);
            (unpacked(&mut decoder, limit).await?, decoder.into_inner())
        }
        Coding::Deflate => {
            let mut decoder = ZlibDecoder::new(&*packed);
            (unpacked(&mut decoder, limit).await?, decoder.into_inner())
        }
    };
    match rest.is_empty() {
        true => Ok(Body::from(Bytes::from(bytes))),
        false => Err(DecodeError::Undecodable),
    }
}

/// A coding that is none of ours. An empty body of unknown length may claim any.
async fn without_coding(body: Body) -> Result<Body, DecodeError> {
    match read_ahead(body, 1).await {
        (Body::Empty, _) => Ok(Body::Empty),
        (_, true) => Err(DecodeError::UnsupportedCoding),
        (failed, false) => match BodyExt::collect(failed).await {
            Err(err) => Err(err.into()),
            Ok(_) => Ok(Body::Empty),
        },
    }
}

/// By how much a body may be longer in its coding than without: frames of what cannot be made
/// shorter, and a file's name and comment.
const PACKED_MORE_MAX: u64 = 64 * 1024;

/// The body in its coding. What is longer than anything it may hold is not read to the end.
async fn whole(mut body: Body, limit: u64) -> Result<BytesMut, DecodeError> {
    let mut packed = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if (packed.len() + data.len()) as u64 > limit.saturating_add(PACKED_MORE_MAX) {
            return Err(DecodeError::TooLarge { limit });
        }
        packed.extend_from_slice(&data);
    }
    Ok(packed)
}

/// What a decoder makes, unless it is more than `limit`: a small body may unpack to a huge one.
async fn unpacked<D: AsyncRead + Unpin>(
    decoder: &mut D,
    limit: u64,
) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    let read = decoder.take(limit + 1).read_to_end(&mut bytes).await;
    match read {
        Ok(_) if bytes.len() as u64 > limit => Err(DecodeError::TooLarge { limit }),
        Ok(_) => Ok(bytes),
        Err(_) => Err(DecodeError::Undecodable),
    }
}
