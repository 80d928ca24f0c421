//! The operations of REST APIs (v1), by resource.

pub mod account;
pub mod client_certificates;
pub mod definition;
pub mod sdk_types;
pub mod vpc_links;

mod support;
#[cfg(test)]
mod harness;

use crate::admin::protocol::operation::Operations;

/// Every handler table of v1.
pub const OPERATIONS: &[Operations] = &[
    account::OPERATIONS,
    client_certificates::OPERATIONS,
    sdk_types::OPERATIONS,
    vpc_links::OPERATIONS,
];
