//! The operations of REST APIs (v1), by resource.
//!
//! A handler does AWS's service rules only: the protocol has already checked types, enumerations
//! and patterns. Of several faults the first is answered, in AWS's recorded words where they are
//! recorded; words of our own say which member is wrong.
//!
//! AWS: API Gateway API Reference (version 1), one page per operation.

use crate::admin::protocol::operation::Operations;

mod cloning;
pub mod definition;
mod expressions;
mod policies;
mod shared;

pub mod apis;
pub mod authorizers;
pub mod gateway_responses;
pub mod integration_responses;
pub mod integrations;
pub mod method_responses;
pub mod methods;
mod model_template;
pub mod models;
pub mod resources;
pub mod tags;
pub mod validators;

#[cfg(test)]
mod harness;

/// Every operation of v1 that is built.
pub const OPERATIONS: &[Operations] = &[
    apis::OPERATIONS,
    authorizers::OPERATIONS,
    gateway_responses::OPERATIONS,
    integration_responses::OPERATIONS,
    integrations::OPERATIONS,
    method_responses::OPERATIONS,
    methods::OPERATIONS,
    models::OPERATIONS,
    resources::OPERATIONS,
    tags::OPERATIONS,
    validators::OPERATIONS,
];
