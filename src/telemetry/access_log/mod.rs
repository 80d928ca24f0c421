//! One line per call, in the words its stage asked for.
//!
//! The format string is taken apart once, when the stage is deployed ([`Format`]); a call only
//! copies pieces into a buffer of its thread ([`AccessLog::write`]). A task carries the buffers to
//! the file, so neither a slow disk nor a full one is ever felt by a caller. What does not fit is
//! dropped and counted: an access log is evidence, but not at the price of the service.
//!
//! Beyond AWS: text that a client chose is escaped for the kind of line it lands in (see
//! [`escape`]), because AWS's unescaped lines can be forged by a `User-Agent` header.
//!
//! AWS: API Gateway Developer Guide, "Set up CloudWatch logging for REST APIs in API Gateway" and
//! "Variables for access logging for API Gateway".

pub mod escape;
pub mod format;
pub mod record;
pub mod writer;

#[cfg(test)]
mod tests;

pub use format::{Format, FormatError, Wants};
pub use record::{Identity, Record};
pub use writer::{AccessLog, AccessLogError, AccessLogs, Config};
