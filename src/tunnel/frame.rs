//! Frames on a tunnel stream, and the codec's small change.
//!
//! A frame is one byte of kind, four bytes of length (big endian) and the payload. The first frame
//! of a stream says what the stream is for:
//!
//! ```text
//! call       edge: CALL DATA* (TRAILERS)? END        region: REPLY DATA* (TRAILERS)? END | STALE
//! document   edge: REQUEST                           region: DOCUMENT | FAILED
//! control    edge: HELLO REPORT*                     region: WELCOME PUSH*
//! ```
//!
//! Where END could stand, ABORT may stand instead: the body broke off at its source. It is a frame
//! and not a reset because a reset overtakes what was sent before it, the head included.
//!
//! Every length is bounded before anything is allocated; decoding arbitrary bytes gives an error,
//! never a panic. Integers are LEB128 except in the frame header.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

/// Bytes of a frame header.
pub(super) const HEADER: usize = 5;
/// A head holds a URI (at most 10,240 bytes), headers (10,240 from clients; backends may send a
/// little more), path parameters (parts of the URI) and ids.
pub(super) const HEAD_MAX: usize = 256 * 1024;
/// DATA is passed on as it arrives; the bound only keeps lengths sane.
pub(super) const DATA_MAX: usize = 1024 * 1024;
pub(super) const TRAILERS_MAX: usize = 64 * 1024;
/// Hello, pushes, reports, questions, failure texts.
pub(super) const SMALL_MAX: usize = 4 * 1024;
/// A manifest or a compiled part: 300 resources with their methods are some megabytes.
pub(super) const DOCUMENT_MAX: usize = 64 * 1024 * 1024;
/// Headers of one message; hyper takes 100 by default, HTTP/2 is bounded by bytes only.
const HEADERS_MAX: u64 = 2_048;
/// Length of a text in small frames.
const TEXT_MAX: usize = 1_024;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame ends early")]
    Short,
    #[error("{0} has {1} bytes, too many")]
    TooLong(&'static str, usize),
    #[error("{0} is malformed")]
    Malformed(&'static str),
    #[error("frame of kind {0} is out of place")]
    Unexpected(u8),
    #[error("stream ended in the middle of a message")]
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Call = 1,
    Reply = 2,
    Data = 3,
    Trailers = 4,
    End = 5,
    Stale = 6,
    Request = 7,
    Document = 8,
    Failed = 9,
    Hello = 10,
    Push = 11,
    Report = 12,
    Welcome = 13,
    Abort = 14,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Call,
        Self::Reply,
        Self::Data,
        Self::Trailers,
        Self::End,
        Self::Stale,
        Self::Request,
        Self::Document,
        Self::Failed,
        Self::Hello,
        Self::Push,
        Self::Report,
        Self::Welcome,
        Self::Abort,
    ];

    fn payload_max(self) -> usize {
        match self {
            Kind::Call | Kind::Reply => HEAD_MAX,
            Kind::Data => DATA_MAX,
            Kind::Trailers => TRAILERS_MAX,
            Kind::End | Kind::Stale | Kind::Welcome | Kind::Abort => 0,
            Kind::Document => DOCUMENT_MAX,
            Kind::Request | Kind::Failed | Kind::Hello | Kind::Push | Kind::Report => SMALL_MAX,
        }
    }
}

/// Reads a frame header: kind and payload length, both checked.
pub(super) fn header(bytes: [u8; HEADER]) -> Result<(Kind, usize), FrameError> {
    let [kind, length @ ..] = bytes;
    let kind = Kind::ALL
        .into_iter()
        .find(|known| *known as u8 == kind)
        .ok_or(FrameError::Unexpected(kind))?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > kind.payload_max() {
        return Err(FrameError::TooLong("payload", length));
    }
    Ok((kind, length))
}

/// Writes a header for a payload that follows elsewhere.
pub(super) fn put_header(out: &mut BytesMut, kind: Kind, length: usize) -> Result<(), FrameError> {
    match u32::try_from(length) {
        Ok(fits) if length <= kind.payload_max() => {
            out.put_u8(kind as u8);
            out.put_u32(fits);
            Ok(())
        }
        _ => Err(FrameError::TooLong("payload", length)),
    }
}

/// Writes a whole frame whose payload `fill` appends.
pub(super) fn put_frame(
    out: &mut BytesMut,
    kind: Kind,
    fill: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameError> {
    let start = out.len();
    out.put_bytes(0, HEADER);
    fill(out);
    let length = out.len() - start - HEADER;
    let mut head = BytesMut::with_capacity(HEADER);
    if let Err(error) = put_header(&mut head, kind, length) {
        out.truncate(start);
        return Err(error);
    }
    if let Some(place) = out.get_mut(start..start + HEADER) {
        place.copy_from_slice(&head);
    }
    Ok(())
}

/// What the region tells its edges. Each is the newest of its kind; an older one is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// The manifest of this epoch can be fetched.
    Config { epoch: u64 },
    /// Purges up to this sequence are in force.
    Purge { seq: u64 },
    /// The region is about to stop.
    Goodbye,
}

impl Push {
    pub(super) fn put(self, out: &mut BytesMut) {
        let (tag, value) = match self {
            Push::Config { epoch } => (0, epoch),
            Push::Purge { seq } => (1, seq),
            Push::Goodbye => (2, 0),
        };
        out.put_u8(tag);
        put_integer(out, value);
    }

    pub(super) fn get(payload: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader(payload);
        let (tag, value) = (reader.byte()?, reader.integer()?);
        reader.end()?;
        match tag {
            0 => Ok(Push::Config { epoch: value }),
            1 => Ok(Push::Purge { seq: value }),
            2 => Ok(Push::Goodbye),
            _ => Err(FrameError::Malformed("push")),
        }
    }
}

/// What an edge has carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The configuration of this epoch answers calls.
    Applied { epoch: u64 },
    /// Nothing older than this purge is served any more.
    Purged { seq: u64 },
}

impl Report {
    pub(super) fn put(self, out: &mut BytesMut) {
        let (tag, value) = match self {
            Report::Applied { epoch } => (0, epoch),
            Report::Purged { seq } => (1, seq),
        };
        out.put_u8(tag);
        put_integer(out, value);
    }

    pub(super) fn get(payload: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader(payload);
        let (tag, value) = (reader.byte()?, reader.integer()?);
        reader.end()?;
        match tag {
            0 => Ok(Report::Applied { epoch: value }),
            1 => Ok(Report::Purged { seq: value }),
            _ => Err(FrameError::Malformed("report")),
        }
    }
}

/// An edge's question for a document; the answer's bytes mean nothing to the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The list of parts of the newest epoch.
    Manifest,
    /// One part, by the hash of its content.
    Part { hash: [u8; 32] },
    /// Purges after `seq` of the log `log_id`; another log id makes the region send everything.
    PurgesSince { log_id: Uuid, seq: u64 },
}

impl Request {
    pub(super) fn put(&self, out: &mut BytesMut) {
        match self {
            Request::Manifest => out.put_u8(0),
            Request::Part { hash } => {
                out.put_u8(1);
                out.put_slice(hash);
            }
            Request::PurgesSince { log_id, seq } => {
                out.put_u8(2);
                out.put_slice(log_id.as_bytes());
                put_integer(out, *seq);
            }
        }
    }

    pub(super) fn get(payload: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader(payload);
        let request = match reader.byte()? {
            0 => Request::Manifest,
            1 => Request::Part { hash: reader.array()? },
            2 => Request::PurgesSince {
                log_id: Uuid::from_bytes(reader.array()?),
                seq: reader.integer()?,
            },
            _ => return Err(FrameError::Malformed("request")),
        };
        reader.end()?;
        Ok(request)
    }
}

/// How an edge introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Must be the name in the certificate.
    pub(super) node: String,
    /// Program version, for people.
    pub(super) version: String,
    pub(super) applied_epoch: u64,
    pub(super) purged_seq: u64,
}

impl Hello {
    pub(super) fn put(&self, out: &mut BytesMut) {
        put_bytes(out, self.node.as_bytes());
        put_bytes(out, self.version.as_bytes());
        put_integer(out, self.applied_epoch);
        put_integer(out, self.purged_seq);
    }

    pub(super) fn get(payload: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader(payload);
        let hello = Self {
            node: reader.text("node", TEXT_MAX)?,
            version: reader.text("version", TEXT_MAX)?,
            applied_epoch: reader.integer()?,
            purged_seq: reader.integer()?,
        };
        reader.end()?;
        Ok(hello)
    }
}

pub(super) fn put_integer(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(super) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_integer(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Names and values in the map's order; the order of values of one name is kept.
pub(super) fn put_headers(out: &mut BytesMut, headers: &HeaderMap) {
    put_integer(out, headers.len() as u64);
    for (name, value) in headers {
        put_bytes(out, name.as_str().as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Takes values off the front of a payload. Slices share the payload's memory.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn byte(&mut self) -> Result<u8, FrameError> {
        self.0.try_get_u8().map_err(|_| FrameError::Short)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let mut bytes = [0; N];
        self.0.try_copy_to_slice(&mut bytes).map_err(|_| FrameError::Short)?;
        Ok(bytes)
    }

    pub(super) fn integer(&mut self) -> Result<u64, FrameError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte may only carry the last bit of 64.
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FrameError::Malformed("integer"))
    }

    /// An integer that must fit a smaller type.
    pub(super) fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, FrameError> {
        T::try_from(self.integer()?).map_err(|_| FrameError::Malformed(what))
    }

    pub(super) fn bytes(&mut self, what: &'static str, max: usize) -> Result<Bytes, FrameError> {
        let length: usize = self.small(what)?;
        if length > max {
            return Err(FrameError::TooLong(what, length));
        }
        if length > self.0.len() {
            return Err(FrameError::Short);
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn text(&mut self, what: &'static str, max: usize) -> Result<String, FrameError> {
        let bytes = self.bytes(what, max)?;
        String::from_utf8(bytes.into()).map_err(|_| FrameError::Malformed(what))
    }

    pub(super) fn headers(&mut self) -> Result<HeaderMap, FrameError> {
        let count = self.integer()?;
        // Each takes two bytes at least, so a lie about the count cannot allocate much.
        if count > HEADERS_MAX || count > self.0.len() as u64 / 2 {
            return Err(FrameError::Malformed("number of headers"));
        }
        let mut headers = HeaderMap::with_capacity(count as usize);
        for _ in 0..count {
            let name = HeaderName::from_bytes(&self.bytes("header name", HEAD_MAX)?)
                .map_err(|_| FrameError::Malformed("header name"))?;
            let value = HeaderValue::from_maybe_shared(self.bytes("header value", HEAD_MAX)?)
                .map_err(|_| FrameError::Malformed("header value"))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Nothing may be left: both ends speak the same version or do not speak.
    pub(super) fn end(&self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Malformed("end of frame")) }
    }
}
