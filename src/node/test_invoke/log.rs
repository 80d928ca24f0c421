//! The log of a test call: recorded lines, each under a date, maps as Java prints them.
//!
//! AWS: API Gateway Developer Guide, "Set up CloudWatch logging for REST APIs in API Gateway".

use std::fmt::{self, Write};

use http::{HeaderMap, HeaderName, StatusCode};
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::net::clock::Clock;

/// Characters shown of headers (recorded) and bodies: AWS cuts log events at 1,024 bytes.
const SHOWN_MAX: usize = 998;
const TRUNCATED: &str = " [TRUNCATED]";
/// Names whose usual spelling is not that of each word's first letter in upper case.
const SPELLED: [&str; 4] =
    ["x-amzn-ErrorType", "x-amzn-RequestId", "x-amzn-apigateway-api-id", "ETag"];

#[derive(Debug)]
pub(super) struct Log {
    text: String,
    clock: Clock,
}

impl Log {
    pub(super) fn begin(id: &Uuid, clock: Clock) -> Self {
        let mut log = Self { text: format!("Execution log for request {id}\n"), clock };
        log.line(format_args!("Starting execution for request: {id}"));
        log
    }

    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        let date = self.date().unwrap_or_default();
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{date} : {line}");
    }

    pub(super) fn completed(&mut self, status: StatusCode) {
        self.line(format_args!("Method completed with status: {}", status.as_u16()));
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// `Tue Nov 18 12:00:00 UTC 2025`.
    fn date(&self) -> Option<String> {
        let second = i64::try_from(self.clock.now().as_seconds()).ok()?;
        let time = jiff::Timestamp::from_second(second).ok()?.to_zoned(TimeZone::UTC);
        Some(time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string())
    }
}

/// `{a=b, c=d}`.
pub(super) fn map(entries: &IndexMap<String, String>) -> String {
    let entries: Vec<String> =
        entries.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{{}}}", entries.join(", "))
}

pub(super) fn headers(entries: &IndexMap<String, String>) -> String {
    cut(map(entries))
}

pub(super) fn body(bytes: &[u8]) -> String {
    // A character has at most four bytes, so nothing that is shown is cut off here.
    let begin = bytes.get(..4 * (SHOWN_MAX + 1)).unwrap_or(bytes);
    cut(String::from_utf8_lossy(begin).into_owned())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text,
        Some((end, _)) => format!("{}{TRUNCATED}", text.get(..end).unwrap_or_default()),
    }
}

/// Several values of a name are joined by commas (recorded).
pub(super) fn spelled(headers: &HeaderMap) -> IndexMap<String, String> {
    let mut entries: IndexMap<String, String> = IndexMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let shown = entries.entry(spelling(name)).or_default();
        if !shown.is_empty() {
            shown.push(',');
        }
        shown.push_str(&value);
    }
    entries
}

/// Names travel without case; people read them with it.
pub(super) fn spelling(name: &HeaderName) -> String {
    let name = name.as_str();
    if let Some(known) = SPELLED.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return (*known).to_owned();
    }
    let mut spelled = String::with_capacity(name.len());
    let mut begins = true;
    for c in name.chars() {
        spelled.push(if begins { c.to_ascii_uppercase() } else { c });
        begins = c == '-';
    }
    spelled
}
