//! Execution logs of stages: whose calls are written down, by whom, and as what.
//!
//! A call is logged once, by the node that knew what became of it: the region for whatever asked an
//! integration, the node whose cache answered, the door that refused. A reply carries whether that
//! has happened. Lines are gathered while the call runs and handed to the access log's buffers in
//! one piece, so nobody waits; a log that is off is a `None` in the route and nothing else.
//!
//! Beyond AWS: control characters are escaped, because a body could otherwise forge lines.
//!
//! AWS: API Gateway Developer Guide, "Set up CloudWatch logging for REST APIs in API Gateway".

use http::StatusCode;

use crate::call::{Body, CacheStatus, Call, Reply};
use crate::deployment::snapshot::{ExecutionLogging, Resolved};
use crate::net::clock::{Clock, Timestamp};
use crate::pipeline::execution_log::ExecutionLog;
use crate::pipeline::integrate::{Passage, collected, context, integrate};
use crate::pipeline::refusal::{Refusal, Type};

/// Bytes of one event, its id included. AWS: the same page, "Execution logging".
const EVENT_BYTES_MAX: usize = 1_024;

/// Has the integration answer and logs it.
pub(super) async fn logged(
    clock: &Clock,
    passage: Passage<'_>,
    mut body: Body,
    to: &ExecutionLogging,
) -> Result<Reply, Refusal> {
    let Passage { call, resolved, .. } = passage;
    let mut entry = Entry::new(clock, call, to);
    let outcome = match to.shows_data {
        false => Ok(Default::default()),
        true => collected(body.take()).await,
    };
    let outcome = match outcome {
        Ok(known) => {
            entry.begun(resolved, &known);
            let body = if to.shows_data { Body::from(known) } else { body };
            integrate(passage, body, &mut entry.log).await
        }
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(mut reply) => {
            entry.completed(reply.status, false);
            reply.is_logged = true;
            Ok(reply)
        }
        Err(mut refusal) => {
            entry.refused_with(refusal.kind.name(), refusal.kind.status());
            refusal.is_logged = true;
            Err(refusal)
        }
    }
}

/// Logs a reply that no integration was asked for, or none that could be: from a cache, or the
/// gateway's own.
pub(super) fn unless_logged(
    clock: &Clock,
    call: &Call,
    resolved: &Resolved,
    to: &ExecutionLogging,
    reply: &Reply,
) {
    if reply.is_logged {
        return;
    }
    let mut entry = Entry::new(clock, call, to);
    let refused = reply.refusal.as_ref().and_then(|refusal| refusal.request_body.as_deref());
    entry.begun(resolved, refused.unwrap_or_default());
    if let Some(refusal) = &reply.refusal {
        if let Some(lines) = entry.log.lines() {
            lines.unfit(refusal, &call.head.headers);
            lines.line(format_args!(
                "Gateway response type: {} with status code: {}",
                refusal.response_type,
                reply.status.as_u16()
            ));
        }
        entry.refused_with(&refusal.response_type, reply.status);
        return;
    }
    if let Some(lines) = entry.log.lines() {
        if let CacheStatus::Hit { age_seconds } = reply.cache {
            lines.line(format_args!("Answered from the cache, age: {age_seconds} s"));
        }
        let known = match &reply.body {
            Body::Full(bytes) => bytes.as_ref(),
            _ => b"",
        };
        lines.succeeded(&reply.headers, known);
    }
    entry.completed(reply.status, false);
}

/// The lines of one call. Written when it goes, so that a call whose client leaves is there as far
/// as it came.
struct Entry<'c> {
    call: &'c Call,
    to: &'c ExecutionLogging,
    log: ExecutionLog,
    has_failed: bool,
}

impl<'c> Entry<'c> {
    fn new(clock: &Clock, call: &'c Call, to: &'c ExecutionLogging) -> Self {
        let log = ExecutionLog::on(clock.clone(), to.shows_data);
        Self { call, to, log, has_failed: false }
    }

    fn begun(&mut self, resolved: &Resolved, body: &[u8]) {
        if let Some(lines) = self.log.lines() {
            let id = self.call.extended_id.as_str();
            lines.line(format_args!("Extended Request Id: {id}"));
            lines.begun(&context(self.call, resolved), body);
        }
    }

    fn refused_with(&mut self, response_type: &str, status: StatusCode) {
        if is_unlogged(response_type, status) {
            self.log = ExecutionLog::Off;
        }
        self.completed(status, true);
    }

    fn completed(&mut self, status: StatusCode, refused: bool) {
        self.has_failed = refused || status.is_server_error();
        if let Some(lines) = self.log.lines() {
            lines.completed(status);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.to.errors_only && !self.has_failed {
            return;
        }
        let lines = std::mem::take(&mut self.log).into_lines();
        if !lines.is_empty() {
            let text = rendered(&self.call.id.to_string(), &lines);
            self.to.log.append(text.as_bytes(), lines.len() as u64);
        }
    }
}

/// What AWS writes to no execution log: requests too large, and errors within the service.
/// AWS: the page named above, "Execution logging" (events that are not logged).
fn is_unlogged(response_type: &str, status: StatusCode) -> bool {
    let internal = status == Type::Internal.status() && response_type == Type::Internal.name();
    status == StatusCode::PAYLOAD_TOO_LARGE || internal
}

/// `({id}) {text}` for each line, as AWS prints them.
fn rendered(id: &str, lines: &[(Timestamp, String)]) -> String {
    let mut out = String::new();
    for (_, text) in lines {
        let begin = out.len();
        out.push('(');
        out.push_str(id);
        out.push_str(") ");
        for c in text.chars() {
            let before = out.len();
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push('\t'),
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
            if out.len() - begin > EVENT_BYTES_MAX {
                out.truncate(before);
                break;
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        rendered("id", &[(Timestamp::from_millis(0), text.to_owned())])
    }

    /// rest-data-plane 11.3: events have at most 1,024 bytes; what a caller sent forges no line.
    #[test]
    fn events_are_cut_and_of_one_line() {
        assert_eq!(line("Method completed"), "(id) Method completed\n");
        let whole = "x".repeat(EVENT_BYTES_MAX - "(id) ".len());
        assert_eq!(line(&whole), format!("(id) {whole}\n"));
        assert_eq!(line(&format!("{whole}x")), format!("(id) {whole}\n"));
        let wide = line(&"ä".repeat(1_000));
        assert_eq!(wide.len(), EVENT_BYTES_MAX, "the break, and no half of a character");
        assert_eq!(line("a\n(other) b\r\u{1b}"), "(id) a\\n(other) b\\r\\u001b\n");
    }

    /// rest-data-plane 11.3: 413 and internal errors are in no execution log.
    #[test]
    fn some_events_are_logged_nowhere() {
        for (kind, unlogged) in [
            (Type::RequestTooLarge, true),
            (Type::Internal, true),
            (Type::ApiConfigurationError, false),
            (Type::Throttled, false),
            (Type::IntegrationTimeout, false),
        ] {
            assert_eq!(is_unlogged(kind.name(), kind.status()), unlogged, "{kind:?}");
        }
    }
}
