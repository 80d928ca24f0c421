//! The operations of REST APIs (v1), by resource.

use crate::admin::protocol::operation::Operations;

pub mod caches;
pub mod canary;
pub mod definition;
pub mod deployments;
pub mod stage_settings;
#[cfg(test)]
mod stage_world;
pub mod stages;
pub mod test_invoke;

/// The tables of all resources.
pub const OPERATIONS: &[Operations] =
    &[caches::OPERATIONS, deployments::OPERATIONS, stages::OPERATIONS, test_invoke::OPERATIONS];
