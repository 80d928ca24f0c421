//! The operations of REST APIs (v1), by resource.

pub mod definition;

use crate::admin::protocol::operation::Operations;

/// The handlers' tables, one per resource.
pub const OPERATIONS: &[Operations] = &[];
