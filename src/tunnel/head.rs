//! Heads of calls and replies, as they travel.
//!
//! The edge has resolved the call already; the region trusts what the head says because the edge's
//! certificate says it is an edge, not because of anything in the head.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};
use uuid::Uuid;

use crate::call::{CacheStatus, Freshness, IntegrationReport, Spelling};
use crate::model::ids::{ApiId, ResourceId, StageName};
use crate::tunnel::frame::{self, FrameError, HEAD_MAX, Reader, put_bytes, put_integer};

/// Longest id or name within a head; a stage's name is the longest with 128 characters.
const ID_MAX: usize = 256;
/// `X-Amzn-Trace-Id` as a client may send it.
const TRACE_MAX: usize = 2_048;
/// Names of headers as a client spelled them; they are part of what a listener takes as a head.
const SPELLING_MAX: usize = HEAD_MAX;
/// Path parameters of one call: a URI of 10,240 bytes has no more segments.
const PARAMETERS_MAX: u64 = 5_120;

/// A call on its way from the edge to the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallHead {
    /// `$context.requestId`.
    pub id: Uuid,
    /// `$context.extendedRequestId`.
    pub extended_id: [u8; 16],
    pub api_id: ApiId,
    pub stage: StageName,
    /// Content hash of the stage deployment the edge resolved the call with.
    pub part: [u8; 32],
    pub resource_id: ResourceId,
    /// The route's verb as the API has it; may be `ANY`.
    pub verb: String,
    /// The client's verb.
    pub method: Method,
    /// Path and query as the client sent them, stage included.
    pub uri: Bytes,
    /// The host the client asked for; empty if it named none.
    pub authority: String,
    pub version: Version,
    pub headers: HeaderMap,
    /// How the client spelled the names of its headers; mostly empty.
    pub spelling: Spelling,
    pub peer: SocketAddr,
    pub scheme: Scheme,
    /// Port of the edge's listener.
    pub port: u16,
    /// Milliseconds since the Unix epoch, by the edge's clock.
    pub received_at_ms: u64,
    /// What is left of the call's time. The tunnel writes it when it sends the head.
    pub time_left_ms: u64,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: String,
    /// Names as the resource path has them, values as the client sent them.
    pub path_parameters: Vec<(String, String)>,
    pub proved: Proved,
}

/// How the client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// What the edge proved about the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proved {
    /// The method asks for no authorization.
    Anonymous,
}

/// A reply on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub integration: Option<IntegrationReport>,
    pub refusal: Option<Refusal>,
    pub cache: CacheStatus,
    pub freshness: Option<Freshness>,
}

/// The gateway response the region made, in texts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `$context.error.responseType`.
    pub response_type: String,
    /// `$context.error.message`.
    pub message: String,
}

/// Whether a body follows a head, and how long it is if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    None,
    Unknown,
    Exact(u64),
}

impl BodyLength {
    fn put(self, out: &mut BytesMut) {
        match self {
            BodyLength::None => out.put_u8(0),
            BodyLength::Unknown => out.put_u8(1),
            BodyLength::Exact(length) => {
                out.put_u8(2);
                put_integer(out, length);
            }
        }
    }

    fn get(reader: &mut Reader) -> Result<Self, FrameError> {
        match reader.byte()? {
            0 => Ok(BodyLength::None),
            1 => Ok(BodyLength::Unknown),
            2 => Ok(BodyLength::Exact(reader.integer()?)),
            _ => Err(FrameError::Malformed("body length")),
        }
    }
}

impl CallHead {
    pub(super) fn put(&self, time_left_ms: u64, body: BodyLength, out: &mut BytesMut) {
        body.put(out);
        out.put_slice(self.id.as_bytes());
        out.put_slice(&self.extended_id);
        put_bytes(out, self.api_id.as_str().as_bytes());
        put_bytes(out, self.stage.as_str().as_bytes());
        out.put_slice(&self.part);
        put_bytes(out, self.resource_id.as_str().as_bytes());
        put_bytes(out, self.verb.as_bytes());
        put_bytes(out, self.method.as_str().as_bytes());
        put_bytes(out, &self.uri);
        put_bytes(out, self.authority.as_bytes());
        out.put_u8(version_code(self.version));
        frame::put_headers(out, &self.headers);
        put_bytes(out, self.spelling.as_bytes());
        put_address(out, self.peer);
        out.put_u8(match self.scheme {
            Scheme::Http => 0,
            Scheme::Https => 1,
        });
        put_integer(out, self.port.into());
        put_integer(out, self.received_at_ms);
        put_integer(out, time_left_ms);
        put_bytes(out, self.trace_id.as_bytes());
        put_integer(out, self.path_parameters.len() as u64);
        for (name, value) in &self.path_parameters {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
        out.put_u8(match self.proved {
            Proved::Anonymous => 0,
        });
    }

    pub(super) fn get(payload: Bytes) -> Result<(Self, BodyLength), FrameError> {
        let mut reader = Reader(payload);
        let body = BodyLength::get(&mut reader)?;
        let head = Self {
            id: Uuid::from_bytes(reader.array()?),
            extended_id: reader.array()?,
            api_id: ApiId::new(&reader.text("API id", ID_MAX)?),
            stage: StageName::new(&reader.text("stage", ID_MAX)?),
            part: reader.array()?,
            resource_id: ResourceId::new(&reader.text("resource id", ID_MAX)?),
            verb: reader.text("verb", ID_MAX)?,
            method: Method::from_bytes(&reader.bytes("method", ID_MAX)?)
                .map_err(|_| FrameError::Malformed("method"))?,
            uri: reader.bytes("URI", HEAD_MAX)?,
            authority: reader.text("authority", HEAD_MAX)?,
            version: version(reader.byte()?)?,
            headers: reader.headers()?,
            spelling: Spelling::new(reader.bytes("spelling", SPELLING_MAX)?),
            peer: address(&mut reader)?,
            scheme: match reader.byte()? {
                0 => Scheme::Http,
                1 => Scheme::Https,
                _ => return Err(FrameError::Malformed("scheme")),
            },
            port: reader.small("port")?,
            received_at_ms: reader.integer()?,
            time_left_ms: reader.integer()?,
            trace_id: reader.text("trace id", TRACE_MAX)?,
            path_parameters: parameters(&mut reader)?,
            proved: match reader.byte()? {
                0 => Proved::Anonymous,
                _ => return Err(FrameError::Malformed("caller")),
            },
        };
        reader.end()?;
        Ok((head, body))
    }
}

impl ReplyHead {
    pub(super) fn put(&self, body: BodyLength, out: &mut BytesMut) {
        body.put(out);
        out.put_u16(self.status.as_u16());
        frame::put_headers(out, &self.headers);
        out.put_u8(u8::from(self.integration.is_some()));
        if let Some(integration) = &self.integration {
            put_report(out, integration);
        }
        out.put_u8(u8::from(self.refusal.is_some()));
        if let Some(refusal) = &self.refusal {
            put_bytes(out, refusal.response_type.as_bytes());
            put_bytes(out, refusal.message.as_bytes());
        }
        match self.cache {
            CacheStatus::Off => out.put_u8(0),
            CacheStatus::Miss => out.put_u8(1),
            CacheStatus::Hit { age_seconds } => {
                out.put_u8(2);
                put_integer(out, age_seconds.into());
            }
        }
        out.put_u8(u8::from(self.freshness.is_some()));
        if let Some(freshness) = &self.freshness {
            put_integer(out, freshness.ttl_seconds.into());
            put_integer(out, freshness.age_seconds.into());
            put_integer(out, freshness.as_of_seq);
        }
    }

    pub(super) fn get(payload: Bytes) -> Result<(Self, BodyLength), FrameError> {
        let mut reader = Reader(payload);
        let body = BodyLength::get(&mut reader)?;
        let head = Self {
            status: StatusCode::from_u16(u16::from_be_bytes(reader.array()?))
                .map_err(|_| FrameError::Malformed("status"))?,
            headers: reader.headers()?,
            integration: optional(&mut reader, report)?,
            refusal: optional(&mut reader, |reader| {
                Ok(Refusal {
                    response_type: reader.text("response type", ID_MAX)?,
                    message: reader.text("message", HEAD_MAX)?,
                })
            })?,
            cache: match reader.byte()? {
                0 => CacheStatus::Off,
                1 => CacheStatus::Miss,
                2 => CacheStatus::Hit { age_seconds: reader.small("age")? },
                _ => return Err(FrameError::Malformed("cache status")),
            },
            freshness: optional(&mut reader, |reader| {
                Ok(Freshness {
                    ttl_seconds: reader.small("ttl")?,
                    age_seconds: reader.small("age")?,
                    as_of_seq: reader.integer()?,
                })
            })?,
        };
        reader.end()?;
        Ok((head, body))
    }
}

fn put_report(out: &mut BytesMut, report: &IntegrationReport) {
    out.put_u16(report.status);
    put_integer(out, report.latency_ms);
    out.put_u8(u8::from(report.function_status.is_some()));
    if let Some(status) = report.function_status {
        out.put_u16(status);
    }
    for text in [&report.error, &report.request_id] {
        out.put_u8(u8::from(text.is_some()));
        if let Some(text) = text {
            put_bytes(out, text.as_bytes());
        }
    }
    out.put_u8(u8::from(report.is_streamed));
}

fn report(reader: &mut Reader) -> Result<IntegrationReport, FrameError> {
    Ok(IntegrationReport {
        status: u16::from_be_bytes(reader.array()?),
        latency_ms: reader.integer()?,
        function_status: optional(reader, |reader| Ok(u16::from_be_bytes(reader.array()?)))?,
        error: optional(reader, |reader| Ok(reader.text("integration error", HEAD_MAX)?.into()))?,
        request_id: optional(reader, |reader| {
            Ok(reader.text("integration request id", ID_MAX)?.into())
        })?,
        is_streamed: match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(FrameError::Malformed("transfer mode")),
        },
    })
}

fn optional<T>(
    reader: &mut Reader,
    get: impl FnOnce(&mut Reader) -> Result<T, FrameError>,
) -> Result<Option<T>, FrameError> {
    match reader.byte()? {
        0 => Ok(None),
        1 => Ok(Some(get(reader)?)),
        _ => Err(FrameError::Malformed("presence")),
    }
}

fn parameters(reader: &mut Reader) -> Result<Vec<(String, String)>, FrameError> {
    let count = reader.integer()?;
    if count > PARAMETERS_MAX || count > reader.0.len() as u64 / 2 {
        return Err(FrameError::Malformed("number of path parameters"));
    }
    (0..count)
        .map(|_| {
            let name = reader.text("parameter name", HEAD_MAX)?;
            Ok((name, reader.text("parameter value", HEAD_MAX)?))
        })
        .collect()
}

fn version_code(version: Version) -> u8 {
    match version {
        Version::HTTP_09 => 9,
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        Version::HTTP_3 => 30,
        _ => 11,
    }
}

fn version(code: u8) -> Result<Version, FrameError> {
    match code {
        9 => Ok(Version::HTTP_09),
        10 => Ok(Version::HTTP_10),
        11 => Ok(Version::HTTP_11),
        20 => Ok(Version::HTTP_2),
        30 => Ok(Version::HTTP_3),
        _ => Err(FrameError::Malformed("HTTP version")),
    }
}

fn put_address(out: &mut BytesMut, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    put_integer(out, address.port().into());
}

fn address(reader: &mut Reader) -> Result<SocketAddr, FrameError> {
    let ip = match reader.byte()? {
        4 => IpAddr::from(reader.array::<4>()?),
        6 => IpAddr::from(reader.array::<16>()?),
        _ => return Err(FrameError::Malformed("address")),
    };
    Ok(SocketAddr::new(ip, reader.small("port")?))
}
