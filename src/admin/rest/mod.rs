//! The operations of REST APIs (v1), by resource.
//!
//! A handler does AWS's service rules only: the protocol has already checked types, enumerations
//! and patterns. Of several faults the first is answered, in AWS's recorded words where they are
//! recorded; words of our own say which member is wrong.
//!
//! AWS: API Gateway API Reference (version 1), one page per operation.

use crate::admin::protocol::operation::Operations;

pub mod account;
pub mod api_key_import;
pub mod api_keys;
pub mod apis;
pub mod authorizers;
pub mod base_path_mappings;
pub mod caches;
pub mod canary;
pub mod client_certificates;
mod cloning;
pub mod definition;
pub mod deployments;
pub mod documentation;
mod documentation_location;
pub mod documentation_versions;
pub mod domain_access;
mod domain_certificate;
mod domain_name_patch;
pub mod domain_names;
pub mod export;
pub(in crate::admin) mod expressions;
pub mod gateway_responses;
pub mod import;
pub mod integration_responses;
pub mod integrations;
pub mod method_responses;
pub mod methods;
mod model_template;
pub mod models;
pub(in crate::admin) mod policies;
pub mod resources;
pub mod sdk_types;
mod shared;
pub mod stage_settings;
pub mod stages;
mod support;
pub mod tags;
pub mod test_invoke;
pub mod usage;
pub mod usage_plan_keys;
mod usage_plan_patch;
pub mod usage_plans;
pub mod validators;
pub mod vpc_links;

#[cfg(test)]
pub(in crate::admin) mod harness;
#[cfg(test)]
mod stage_world;
#[cfg(test)]
mod trial;

/// Every operation of v1 that is built.
pub const OPERATIONS: &[Operations] = &[
    account::OPERATIONS,
    api_key_import::OPERATIONS,
    api_keys::OPERATIONS,
    apis::OPERATIONS,
    authorizers::OPERATIONS,
    base_path_mappings::OPERATIONS,
    caches::OPERATIONS,
    client_certificates::OPERATIONS,
    deployments::OPERATIONS,
    documentation::OPERATIONS,
    documentation_versions::OPERATIONS,
    domain_access::OPERATIONS,
    domain_names::OPERATIONS,
    export::OPERATIONS,
    gateway_responses::OPERATIONS,
    import::OPERATIONS,
    integration_responses::OPERATIONS,
    integrations::OPERATIONS,
    method_responses::OPERATIONS,
    methods::OPERATIONS,
    models::OPERATIONS,
    resources::OPERATIONS,
    sdk_types::OPERATIONS,
    stages::OPERATIONS,
    tags::OPERATIONS,
    test_invoke::OPERATIONS,
    usage::OPERATIONS,
    usage_plan_keys::OPERATIONS,
    usage_plans::OPERATIONS,
    validators::OPERATIONS,
    vpc_links::OPERATIONS,
];
