//! The operations of HTTP and WebSocket APIs (v2), by resource.

use crate::admin::protocol::operation::Operations;

/// The handlers' tables, one per resource.
pub const OPERATIONS: &[Operations] = &[];
