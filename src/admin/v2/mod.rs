//! The operations of HTTP and WebSocket APIs (v2), by resource.
//!
//! v2 is more regular than v1: what can be created can be got, listed, updated and deleted, and an
//! update takes the same members as a creation and replaces those that are given. `family` does
//! that once; each resource adds its defaults and rules.
//!
//! These APIs are kept, imported and exported; calls of them are not served yet, and a stage says so.
//!
//! AWS: Amazon API Gateway Version 2 API Reference.

mod apis;
mod authorizers;
mod deployments;
mod domain_names;
mod export;
mod family;
mod import;
mod integrations;
mod mappings;
mod models;
mod routes;
mod routing_rules;
mod stages;
mod tags;
mod vpc_links;

#[cfg(test)]
mod tests;

use crate::admin::protocol::operation::Operations;

pub const OPERATIONS: &[Operations] = &[
    apis::OPERATIONS,
    authorizers::OPERATIONS,
    deployments::OPERATIONS,
    domain_names::OPERATIONS,
    export::OPERATIONS,
    import::OPERATIONS,
    integrations::OPERATIONS,
    mappings::OPERATIONS,
    models::OPERATIONS,
    routes::OPERATIONS,
    routing_rules::OPERATIONS,
    stages::OPERATIONS,
    tags::OPERATIONS,
    vpc_links::OPERATIONS,
];

/// What a stage of these APIs says of itself while calls of it are not served.
pub const NOT_SERVED: &str =
    "This build keeps the stage; calls of HTTP and WebSocket APIs are not served yet.";
