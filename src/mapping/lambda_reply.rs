//! What a client gets of what a function behind a proxy integration returned.
//!
//! Two forms: one JSON object with status, headers and body; or, streamed, a JSON object without the
//! body, eight NUL bytes and then the body as it comes. Whatever else a function returns is
//! malformed; the recorded table of rest-data-plane 7.8 says what that is.
//!
//! AWS: "Lambda proxy integrations in API Gateway" (output format), "Return binary media from a
//! Lambda proxy integration", "Stream the integration response".

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::call::{Body, BodyError};
use crate::model::quotas;

const DELIMITER: [u8; 8] = [0; 8];
/// Headers of one answer. A function's JSON of 6 MB could name hundreds of thousands, and no
/// client takes more than a few hundred.
const HEADERS_MAX: usize = 1_000;
const RENAMED: &str = "x-amzn-remapped-";

/// Why a function's answer is none for the client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplyError {
    /// AWS's words for it.
    #[error("Malformed Lambda proxy response")]
    Malformed,
    /// Says base64 and is not.
    #[error("Unable to base64 decode the body.")]
    NotBase64,
    /// The beginning of a stream has not the form.
    #[error("Malformed Lambda streaming response: {0}")]
    BadStream(&'static str),
    /// The function threw, crashed or ran out of something; what Lambda says of it. AWS's words,
    /// from logs that its customers show.
    #[error(
        "Lambda execution failed with status 200 due to customer function error: {message}. Lambda \
         request id: {request_id}"
    )]
    Failed { message: Arc<str>, request_id: Arc<str> },
    #[error("the function's answer: {0}")]
    Body(#[from] BodyError),
}

/// A function's answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

/// Reads a function's whole answer. `wants_binary`: the client's first accepted type is a binary
/// one of the API's.
///
/// # Errors
/// `Malformed` and `NotBase64`.
pub fn read(returned: &[u8], wants_binary: bool) -> Result<Answer, ReplyError> {
    let repaired;
    let object: Object<'_> = match object(returned) {
        Some(object) => object,
        None => {
            repaired = without_lone_surrogates(returned).ok_or(ReplyError::Malformed)?;
            self::object(&repaired).ok_or(ReplyError::Malformed)?
        }
    };
    let headers = merged(&object.headers, &object.multi_value_headers, &[])?;
    let body = match object.body {
        Some(body) if object.is_base64_encoded && wants_binary => {
            let decoded = STANDARD.decode(body.as_bytes()).map_err(|_| ReplyError::NotBase64)?;
            Bytes::from(decoded)
        }
        Some(body) => Bytes::from(body.into_owned()),
        None => Bytes::new(),
    };
    Ok(Answer { status: object.status_code.0, headers, body: Body::from(body) })
}

/// Reads the beginning of a streamed answer; its body is the rest, as it comes.
///
/// # Errors
/// `BadStream`, and what the stream itself failed with.
pub async fn read_stream(mut stream: Body) -> Result<Answer, ReplyError> {
    let mut read = BytesMut::new();
    let end = loop {
        if let Some(end) = find_delimiter(&read) {
            break end;
        }
        if read.len() >= quotas::STREAMING_METADATA_BYTES_MAX + DELIMITER.len() {
            return Err(ReplyError::BadStream("no delimiter within the first 16 KB"));
        }
        match stream.frame().await {
            Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Some(Err(err)) => return Err(err.into()),
            None => return Err(ReplyError::BadStream("it ended before the delimiter")),
        }
    };
    if end > quotas::STREAMING_METADATA_BYTES_MAX {
        return Err(ReplyError::BadStream("no delimiter within the first 16 KB"));
    }
    let rest = read.split_off(end + DELIMITER.len()).freeze();
    let metadata: Metadata<'_> = object(read.get(..end).unwrap_or_default())
        .ok_or(ReplyError::BadStream("its metadata has not the form"))?;
    let cookies = metadata.cookies.unwrap_or_default();
    let headers = merged(&metadata.headers, &metadata.multi_value_headers, &cookies)
        .map_err(|_| ReplyError::BadStream("its metadata has a bad header"))?;
    let body = Body::stream(Rest { first: Some(rest), stream });
    Ok(Answer { status: metadata.status_code.0, headers, body })
}

/// An object in JSON; serde would also read a list for one.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    serde_json::from_slice(json).ok().filter(|_| is_object)
}

/// The same text with U+FFFD in the place of each half of a surrogate pair that stands alone, as
/// Node and Python print it and no text can hold it. `None` where there is none.
fn without_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    const REPLACEMENT: &[u8] = b"\\ufffd";
    let mut repaired = Vec::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        let (unit, next) = (escaped_unit(json, at), escaped_unit(json, at + ESCAPE_BYTES));
        at += match (unit, next) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 2 * ESCAPE_BYTES,
            (Some(0xD800..=0xDFFF), _) => {
                repaired.extend_from_slice(json.get(done..at)?);
                repaired.extend_from_slice(REPLACEMENT);
                done = at + ESCAPE_BYTES;
                ESCAPE_BYTES
            }
            (Some(_), _) => ESCAPE_BYTES,
            // Any other escape: the character behind it begins none.
            (None, _) => 2,
        };
    }
    if done == 0 {
        return None;
    }
    repaired.extend_from_slice(json.get(done..)?);
    Some(repaired)
}

/// `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// The UTF-16 unit whose escape stands here.
fn escaped_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

fn find_delimiter(read: &[u8]) -> Option<usize> {
    memchr::memmem::find(read, &DELIMITER)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Object<'a> {
    #[serde(default)]
    status_code: Status,
    #[serde(default, borrow)]
    headers: Option<Entries<'a, HeaderText<'a>>>,
    #[serde(default, borrow)]
    multi_value_headers: Option<Entries<'a, Vec<HeaderText<'a>>>>,
    #[serde(default, borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "flag")]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(default)]
    status_code: Status,
    #[serde(default, borrow)]
    headers: Option<Entries<'a, HeaderText<'a>>>,
    #[serde(default, borrow)]
    multi_value_headers: Option<Entries<'a, Vec<HeaderText<'a>>>>,
    cookies: Option<Vec<String>>,
}

fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(from).map(Option::unwrap_or_default)
}

/// An integer, or text that is one; absent it is 200.
#[derive(Clone, Copy)]
struct Status(StatusCode);

impl Default for Status {
    fn default() -> Self {
        Self(StatusCode::OK)
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Status;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a status code")
            }
            fn visit_u64<E: serde::de::Error>(self, code: u64) -> Result<Status, E> {
                // Interim answers are the connection's business.
                let code = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
                let status = code.and_then(|code| StatusCode::from_u16(code).ok());
                status.map(Status).ok_or_else(|| E::custom("no status code"))
            }
            #[expect(clippy::cast_possible_truncation, reason = "only whole numbers pass")]
            #[expect(clippy::cast_sign_loss, reason = "only positive numbers pass")]
            fn visit_f64<E: serde::de::Error>(self, code: f64) -> Result<Status, E> {
                match code.fract() == 0.0 && (0.0..=999.0).contains(&code) {
                    true => self.visit_u64(code as u64),
                    false => Err(E::custom("no status code")),
                }
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Status, E> {
                let code = text.trim().parse().map_err(|_| E::custom("no status code"))?;
                self.visit_u64(code)
            }
        }
        from.deserialize_any(Reader)
    }
}

/// A header's value: text, or true or false (recorded). Anything else is malformed.
struct HeaderText<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for HeaderText<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = HeaderText<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a header's value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<HeaderText<'de>, E> {
                Ok(HeaderText(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<HeaderText<'de>, E> {
                Ok(HeaderText(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, is: bool) -> Result<HeaderText<'de>, E> {
                Ok(HeaderText(Cow::Borrowed(if is { "true" } else { "false" })))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// A map in the order in which it was written.
struct Entries<'a, T>(Vec<(Cow<'a, str>, T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Entries<'a, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Entries<'de, T>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of headers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(HeaderText(name)) = map.next_key()? {
                    if entries.len() >= HEADERS_MAX {
                        return Err(serde::de::Error::custom("too many headers"));
                    }
                    entries.push((name, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        let Entries(entries) = from.deserialize_map(Reader(std::marker::PhantomData))?;
        Ok(Entries(entries))
    }
}

/// Both maps as one: values of the multi map first, then the single one, unless it repeats one of
/// them. Without `Content-Type` it is JSON (recorded).
fn merged(
    single: &Option<Entries<'_, HeaderText<'_>>>,
    multi: &Option<Entries<'_, Vec<HeaderText<'_>>>>,
    cookies: &[String],
) -> Result<HeaderMap, ReplyError> {
    let mut values: IndexMap<HeaderName, Vec<&str>> = IndexMap::new();
    for (name, texts) in multi.iter().flat_map(|entries| &entries.0) {
        let Some(name) = delivered(name)? else { continue };
        values.entry(name).or_default().extend(texts.iter().map(|text| &*text.0));
    }
    for (name, text) in single.iter().flat_map(|entries| &entries.0) {
        let Some(name) = delivered(name)? else { continue };
        let known = values.entry(name).or_default();
        if !known.contains(&&*text.0) {
            known.push(&text.0);
        }
    }
    if !cookies.is_empty() {
        let known = values.entry(header::SET_COOKIE).or_default();
        known.extend(cookies.iter().map(String::as_str));
    }
    let mut headers = HeaderMap::with_capacity(values.len() + 8);
    let mut count = 0;
    for (name, texts) in values {
        for text in texts {
            count += 1;
            if count > HEADERS_MAX {
                return Err(ReplyError::Malformed);
            }
            let value = HeaderValue::from_bytes(text.trim_matches([' ', '\t']).as_bytes());
            headers.append(&name, value.map_err(|_| ReplyError::Malformed)?);
        }
    }
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert_with(|| HeaderValue::from_static("application/json"));
    Ok(headers)
}

/// The name under which the client gets a function's header; `None` where it does not get it
/// (rest-data-plane 7.5).
fn delivered(name: &str) -> Result<Option<HeaderName>, ReplyError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| ReplyError::Malformed)?;
    Ok(match name.as_str() {
        "transfer-encoding" | "keep-alive" => None,
        "connection" | "content-length" | "date" | "server" | "x-amzn-requestid" => {
            HeaderName::try_from(format!("{RENAMED}{name}")).ok()
        }
        _ => Some(name),
    })
}

pin_project_lite::pin_project! {
    /// What came after the metadata, then the stream.
    struct Rest {
        first: Option<Bytes>,
        #[pin]
        stream: Body,
    }
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let this = self.project();
        if let Some(first) = this.first.take().filter(|first| !first.is_empty()) {
            return std::task::Poll::Ready(Some(Ok(http_body::Frame::data(first))));
        }
        this.stream.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.as_ref().is_none_or(Bytes::is_empty) && self.stream.is_end_stream()
    }
}

#[cfg(test)]
#[path = "lambda_reply_tests.rs"]
mod tests;
