//! Where does one HTTP/1.1 message end and the next begin, beyond any doubt?
//!
//! A tokeniser without I/O: it is fed the bytes of a connection in any pieces and says how many of
//! them are certainly well-formed and unambiguous. It is stricter than RFC 9112 where leniency has
//! been used to smuggle requests: a lenient parser before or behind us must not find another
//! message boundary than we do.
//!
//! It keeps no copy of anything but framing facts; interpreting the request is hyper's work.
//!
//! RFC 9112 sections 2.2 (line endings), 3 (request line), 3.2 (Host), 5 (fields), 6 (framing),
//! 7.1 (chunks), 11.2 (request smuggling).

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::listener::Refused;

/// hyper parses at most this many fields without allocating (`DEFAULT_MAX_HEADERS`).
pub(super) const FIELDS_MAX: usize = 100;
/// Longest method IANA registers is 17 bytes (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 32;
/// Colons, spaces and line ends that do not count as header bytes, per head.
const SLACK_BYTES: usize = 1_024;
/// Empty lines tolerated before a request line; RFC 9112 section 2.2 asks for at least one.
const BLANK_LINES_MAX: u8 = 2;
/// Hex digits of a chunk size: 2^60 bytes are more than any limit.
const CHUNK_DIGITS_MAX: u8 = 15;
/// Chunk extensions of one body, bytes. They carry nothing we use (RFC 9112 section 7.1.1).
const CHUNK_EXTENSION_BYTES_MAX: usize = 4_096;
/// A method only this module can utter: the guard feeds it to hyper in place of a refused head.
pub(super) const REFUSED_METHOD: &str = "TIDEGATE-REFUSED";

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    pub(super) uri_bytes: usize,
    pub(super) header_bytes: usize,
    pub(super) body_bytes: u64,
}

/// Where in the message a refusal struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// In a head: the request has not begun for anyone else.
    Head(Refused),
    /// In a body whose head was let through.
    Body(Refused),
}

/// Reads a connection's bytes, message after message.
#[derive(Debug)]
pub(super) struct Scanner {
    limits: HeadLimits,
    state: State,
    lines: Lines,
    /// Bytes of chunk extensions seen in this body.
    extension_bytes: usize,
    /// Heads completed, wrapping.
    heads: u32,
    /// Names of the head being read whose spelling is worth keeping, one a line.
    names: Vec<u8>,
    /// Of heads completed since somebody took them: the head's number and its names.
    spellings: Vec<(u32, Bytes)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// Bytes left of a body with a Content-Length.
    Body(u64),
    Chunk(Chunk),
    Trailers,
}

/// Where in the chunked framing the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeLf { value: u64 },
    Data(u64),
    DataCr,
    DataLf,
}

/// What is known of a section of lines (a head or trailers) of which complete lines were read.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes of the section that belong to complete, checked lines.
    checked: usize,
    blank_lines: u8,
    have_request_line: bool,
    http_1_0: bool,
    fields: usize,
    field_bytes: usize,
    hosts: u8,
    content_length: Option<u64>,
    chunked: bool,
    /// Authority of an absolute-form target, which `Host` must repeat.
    authority: Option<Box<[u8]>>,
}

impl Scanner {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Head,
            lines: Lines::default(),
            extension_bytes: 0,
            heads: 0,
            names: Vec::new(),
            spellings: Vec::new(),
        }
    }

    /// How names were spelled in heads completed since the last time. Mostly there is nothing.
    pub(super) fn take_spellings(&mut self) -> Vec<(u32, Bytes)> {
        std::mem::take(&mut self.spellings)
    }

    /// Whether the next byte belongs to a body.
    pub(super) fn in_body(&self) -> bool {
        self.state != State::Head
    }

    /// Heads completed since the connection began, wrapping.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// Reads on. Returns how many of `bytes` may be passed on, and the verdict on what follows
    /// them, if there is one. Bytes not passed on (an incomplete head) must be given again, with
    /// more behind them.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, Option<Verdict>) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let step = match self.state {
                State::Head => self.section(rest).map_err(Verdict::Head),
                State::Trailers => self.section(rest).map_err(Verdict::Body),
                State::Body(left) => Ok(Some(self.body(left, rest.len()))),
                State::Chunk(chunk) => self.chunk(chunk, rest).map(Some).map_err(Verdict::Body),
            };
            match step {
                Ok(Some(used)) => at += used,
                Ok(None) => break,
                Err(verdict) => return (at, Some(verdict)),
            }
        }
        (at, None)
    }

    fn body(&mut self, left: u64, available: usize) -> usize {
        let available = available as u64;
        if available < left {
            self.state = State::Body(left - available);
            return usize::try_from(available).unwrap_or(usize::MAX);
        }
        self.state = State::Head;
        // Not more than `available`, which came from a usize.
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Checks the complete lines of a head or of trailers. Returns the section's length once it
    /// is complete.
    fn section(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refused> {
        loop {
            let rest = bytes.get(self.lines.checked..).unwrap_or_default();
            let Some(length) = memchr(b'\n', rest) else {
                self.too_long(rest.len())?;
                return Ok(None);
            };
            self.too_long(length)?;
            let line = match rest.get(..length) {
                Some([line @ .., b'\r']) => line,
                _ => return Err(Refused::Malformed("line ends with a bare LF")),
            };
            self.lines.checked += length + 1;
            if self.state == State::Head && !self.lines.have_request_line {
                self.request_line(line)?;
            } else if line.is_empty() {
                let length = self.lines.checked;
                self.end_of_section()?;
                return Ok(Some(length));
            } else {
                self.field(line)?;
            }
        }
    }

    /// Bounds a line before its end is seen, with the same outcome as if it had been seen.
    fn too_long(&self, length: usize) -> Result<(), Refused> {
        if self.state == State::Head && !self.lines.have_request_line {
            let limit = self.limits.uri_bytes;
            if length > limit + METHOD_BYTES_MAX + " ".len() + " HTTP/1.1\r".len() {
                return Err(Refused::UriTooLong { limit });
            }
        } else {
            let limit = self.limits.header_bytes;
            if self.lines.field_bytes + length > limit + SLACK_BYTES {
                return Err(Refused::HeadersTooLarge { limit });
            }
        }
        Ok(())
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Refused> {
        const MALFORMED: Refused = Refused::Malformed("request line");
        if line.is_empty() {
            self.lines.blank_lines += 1;
            if self.lines.blank_lines > BLANK_LINES_MAX {
                return Err(Refused::Malformed("empty lines before the request"));
            }
            return Ok(());
        }
        let method_end = memchr(b' ', line).ok_or(MALFORMED)?;
        let (method, rest) = line.split_at(method_end);
        let (target, version) = match rest {
            [b' ', target @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] => {
                (target, *minor)
            }
            _ => return Err(MALFORMED),
        };
        self.lines.http_1_0 = match version {
            b'1' => false,
            b'0' => true,
            _ => return Err(Refused::Malformed("HTTP version")),
        };
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !is_token(method) {
            return Err(Refused::Malformed("method"));
        }
        if method == REFUSED_METHOD.as_bytes() || method == b"CONNECT" {
            return Err(Refused::Malformed("method is not for a gateway"));
        }
        if target.len() > self.limits.uri_bytes {
            return Err(Refused::UriTooLong { limit: self.limits.uri_bytes });
        }
        self.lines.authority = authority_of(method, target)?;
        self.lines.have_request_line = true;
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Refused> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Refused::Ambiguous("folded header line"));
        }
        let colon = memchr(b':', line).ok_or(Refused::Malformed("header line without a colon"))?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() || !is_token(name) {
            return Err(Refused::Malformed("header name"));
        }
        if !is_field_value(value) {
            return Err(Refused::Malformed("control character in a header value"));
        }
        // Of what this trims, only space and tab are left here.
        let value = value.trim_ascii();
        self.lines.fields += 1;
        if self.lines.fields > FIELDS_MAX {
            return Err(Refused::TooManyHeaders { limit: FIELDS_MAX });
        }
        self.lines.field_bytes += name.len() + value.len();
        if self.lines.field_bytes > self.limits.header_bytes {
            return Err(Refused::HeadersTooLarge { limit: self.limits.header_bytes });
        }
        if self.state == State::Head && is_spelled(name) {
            self.names.extend_from_slice(name);
            self.names.push(b'\n');
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Refused> {
        self.not_in_trailers()?;
        self.lines.hosts += 1;
        if self.lines.hosts > 1 {
            return Err(Refused::Ambiguous("more than one Host"));
        }
        if !is_authority(value) {
            return Err(Refused::Malformed("Host"));
        }
        match &self.lines.authority {
            Some(authority) if !authority.eq_ignore_ascii_case(value) => {
                Err(Refused::Ambiguous("Host is not the target's authority"))
            }
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refused> {
        self.not_in_trailers()?;
        if self.lines.content_length.is_some() {
            return Err(Refused::Ambiguous("more than one Content-Length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refused::Ambiguous("Content-Length is not a number"));
        }
        // A number too large for 64 bits is too large in any case.
        let length = value.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        self.lines.content_length = Some(length);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refused> {
        self.not_in_trailers()?;
        if self.lines.chunked {
            return Err(Refused::Ambiguous("more than one Transfer-Encoding"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refused::Ambiguous("Transfer-Encoding is not `chunked`"));
        }
        self.lines.chunked = true;
        Ok(())
    }

    fn not_in_trailers(&self) -> Result<(), Refused> {
        match self.state {
            State::Trailers => Err(Refused::Ambiguous("framing field in the trailers")),
            _ => Ok(()),
        }
    }

    fn end_of_section(&mut self) -> Result<(), Refused> {
        let lines = std::mem::take(&mut self.lines);
        if self.state == State::Trailers {
            self.state = State::Head;
            return Ok(());
        }
        if lines.hosts == 0 && !lines.http_1_0 {
            return Err(Refused::Malformed("no Host"));
        }
        if lines.chunked && (lines.http_1_0 || lines.content_length.is_some()) {
            return Err(Refused::Ambiguous("Transfer-Encoding beside another framing"));
        }
        if lines.content_length.is_some_and(|length| length > self.limits.body_bytes) {
            return Err(Refused::BodyTooLarge { limit: self.limits.body_bytes });
        }
        self.heads = self.heads.wrapping_add(1);
        if !self.names.is_empty() {
            self.spellings.push((self.heads, Bytes::copy_from_slice(&self.names)));
            self.names.clear();
        }
        self.extension_bytes = 0;
        self.state = match lines.content_length {
            _ if lines.chunked => State::Chunk(Chunk::Size { value: 0, digits: 0 }),
            Some(length) if length > 0 => State::Body(length),
            _ => State::Head,
        };
        Ok(())
    }

    /// Reads one step of the chunked framing; returns the bytes it took.
    fn chunk(&mut self, chunk: Chunk, bytes: &[u8]) -> Result<usize, Refused> {
        const MALFORMED: Refused = Refused::Malformed("chunk framing");
        if let Chunk::Data(left) = chunk {
            let available = bytes.len() as u64;
            let used = available.min(left);
            self.state = State::Chunk(match left - used {
                0 => Chunk::DataCr,
                left => Chunk::Data(left),
            });
            // Not more than `bytes.len()`.
            return Ok(usize::try_from(used).unwrap_or(usize::MAX));
        }
        let Some(&byte) = bytes.first() else { return Ok(0) };
        let next = match (chunk, byte) {
            (Chunk::Size { digits: 1.., value }, b'\r') => Chunk::SizeLf { value },
            (Chunk::Size { digits: 1.., value }, b';') => Chunk::Extension { value },
            (Chunk::Size { value, digits }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(MALFORMED)?;
                if digits == CHUNK_DIGITS_MAX {
                    return Err(Refused::Malformed("chunk size"));
                }
                Chunk::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Chunk::Extension { value }, b'\r') => Chunk::SizeLf { value },
            (Chunk::Extension { value }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension_bytes += 1;
                if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
                    return Err(Refused::Malformed("chunk extensions"));
                }
                Chunk::Extension { value }
            }
            (Chunk::SizeLf { value: 0 }, b'\n') => {
                self.lines = Lines::default();
                self.state = State::Trailers;
                return Ok(1);
            }
            (Chunk::SizeLf { value }, b'\n') => Chunk::Data(value),
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::Size { value: 0, digits: 0 },
            _ => return Err(MALFORMED),
        };
        self.state = State::Chunk(next);
        Ok(1)
    }
}

/// Checks the request target; returns the authority of an absolute form.
fn authority_of(method: &[u8], target: &[u8]) -> Result<Option<Box<[u8]>>, Refused> {
    const MALFORMED: Refused = Refused::Malformed("request target");
    let (authority, path) = match target {
        [b'/', ..] => (None, target),
        b"*" if method == b"OPTIONS" => return Ok(None),
        _ => {
            let scheme = memchr(b':', target).ok_or(MALFORMED)?;
            let (scheme, rest) = target.split_at(scheme);
            let known =
                scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
            let rest = rest.strip_prefix(b"://").filter(|_| known).ok_or(MALFORMED)?;
            let end = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            // hyper's parser has the last word on the rare absolute form, so ask it first.
            http::Uri::try_from(target).map_err(|_| MALFORMED)?;
            if !is_authority(authority) {
                return Err(MALFORMED);
            }
            (Some(Box::from(authority)), path)
        }
    };
    if !path.iter().all(|&byte| TARGET[usize::from(byte)]) {
        return Err(Refused::Malformed("character in the request target"));
    }
    Ok(authority)
}

/// Host and port, without user information (RFC 9110 section 4.2.4).
pub(super) fn is_authority(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| AUTHORITY[usize::from(byte)])
}

fn is_token(text: &[u8]) -> bool {
    text.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// RFC 9110 section 5.5: no control characters but the tab. Written without an early exit so that
/// it compiles to vector instructions.
fn is_field_value(text: &[u8]) -> bool {
    !text.iter().fold(false, |bad, &byte| bad | (byte < b' ' && byte != b'\t') | (byte == 0x7f))
}

const fn table(extra: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < extra.len() {
        table[extra[index] as usize] = true;
        index += 1;
    }
    table
}

/// RFC 9110 section 5.6.2.
static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
/// RFC 3986 section 3.3 and 3.4, and what clients send unescaped all the same. No `#`: a fragment
/// is not part of a request target. No `"`: the `http` crate takes it in paths only.
static TARGET: [bool; 256] = table(b"-._~!$&'()*+,;=:@/?%[]{}|\\^");
/// RFC 3986 section 3.2.2: names, IPv4, bracketed IPv6, port.
static AUTHORITY: [bool; 256] = table(b"-._~:[]%");

/// Whether a name has capitals that somebody could miss. The names that nearly every client sends
/// are left out, because nobody sees them as they were sent: they are written in one way to whoever
/// is told of them, and a call from a plain client then costs nothing here.
fn is_spelled(name: &[u8]) -> bool {
    const USUAL: [&[u8]; 6] =
        [b"host", b"accept", b"user-agent", b"connection", b"authorization", b"content-length"];
    name.iter().any(u8::is_ascii_uppercase)
        && !USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(name))
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
