//! What Lambda answers in a function's place when its process did not.
//!
//! The answer is a function error like one of the function's own: `X-Amz-Function-Error: Unhandled`
//! and a JSON body. AWS: Lambda Developer Guide, "Troubleshoot invocation issues in Lambda",
//! "Troubleshoot execution issues in Lambda".

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::answered;
use crate::call::Body;
use crate::integration::lambda::Invoked;

/// Why there is no answer of the function's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The process ended; text as `exit status 1`.
    Exited(Option<Arc<str>>),
    /// The program could not be started.
    NotStarted(Arc<str>),
    /// The runtime client said what went wrong while it began.
    Init(Bytes),
    /// It did not ask for work in time.
    InitTimedOut(Duration),
    /// `time` as Lambda prints it.
    TimedOut {
        time: Arc<str>,
        after: Duration,
    },
    OutOfMemory,
    AnswerTooLarge {
        limit: usize,
    },
    /// Its code changed, or the gateway stops, in the middle.
    Stopped,
}

impl Failure {
    /// Lambda's name of it, for logs and bodies.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Failure::Exited(_) | Failure::Stopped => "Runtime.ExitError",
            Failure::NotStarted(_) => "Runtime.InvalidEntrypoint",
            Failure::Init(_) => "Runtime.Unknown",
            Failure::InitTimedOut(_) | Failure::TimedOut { .. } => "Sandbox.Timedout",
            Failure::OutOfMemory => "Runtime.OutOfMemory",
            Failure::AnswerTooLarge { .. } => "Function.ResponseSizeTooLarge",
        }
    }

    pub(super) fn message(&self, id: &str) -> String {
        match self {
            Failure::Exited(Some(how)) => {
                format!("RequestId: {id} Error: Runtime exited with error: {how}")
            }
            Failure::Exited(None) => {
                format!("RequestId: {id} Error: Runtime exited without providing a reason")
            }
            Failure::NotStarted(cause) => format!("RequestId: {id} Error: {cause}"),
            Failure::Init(_) => format!("RequestId: {id} Error: initialisation failed"),
            Failure::InitTimedOut(after) => {
                format!("RequestId: {id} Error: Task timed out after {}", seconds(*after))
            }
            Failure::TimedOut { time, after } => {
                format!("{time} {id} Task timed out after {}", seconds(*after))
            }
            Failure::OutOfMemory => {
                format!("RequestId: {id} Error: Runtime exited with error: signal: killed")
            }
            Failure::AnswerTooLarge { limit } => format!(
                "Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            ),
            Failure::Stopped => {
                format!("RequestId: {id} Error: Runtime exited with error: signal: killed")
            }
        }
    }

    /// The answer to one invocation.
    pub(super) fn invoked(&self, id: &str) -> Invoked {
        match self {
            Failure::Init(body) if !body.is_empty() => function_error(body.clone()),
            _ => {
                let body = json!({ "errorType": self.kind(), "errorMessage": self.message(id) });
                function_error(body.to_string().into())
            }
        }
    }
}

/// An answer that says that the function failed.
pub(super) fn function_error(body: Bytes) -> Invoked {
    answered(200, Some("Unhandled".into()), Body::from(body))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} seconds", time.as_secs_f64())
}
