//! The operations of REST APIs (v1), by resource.

use crate::admin::protocol::operation::Operations;

pub mod definition;
pub mod export;
pub mod import;

/// Every operation of v1 that is built.
pub const OPERATIONS: &[Operations] = &[
    // One in a line.
    export::OPERATIONS,
    import::OPERATIONS,
];
