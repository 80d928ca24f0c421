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
pub mod base_path_mappings;
pub mod caches;
pub mod canary;
pub mod client_certificates;
pub mod definition;
pub mod deployments;
mod documentation_location;
pub mod documentation;
pub mod documentation_versions;
pub mod domain_access;
mod domain_certificate;
mod domain_name_patch;
pub mod domain_names;
pub mod export;
pub mod import;
pub mod sdk_types;
pub mod stage_settings;
pub mod stages;
mod support;
pub mod test_invoke;
pub mod usage;
pub mod usage_plan_keys;
mod usage_plan_patch;
pub mod usage_plans;
pub mod vpc_links;

#[cfg(test)]
mod stage_world;
#[cfg(test)]
mod trial;

/// Every operation of v1 that is built.
pub const OPERATIONS: &[Operations] = &[
    account::OPERATIONS,
    api_key_import::OPERATIONS,
    api_keys::OPERATIONS,
    base_path_mappings::OPERATIONS,
    caches::OPERATIONS,
    client_certificates::OPERATIONS,
    deployments::OPERATIONS,
    documentation::OPERATIONS,
    documentation_versions::OPERATIONS,
    domain_access::OPERATIONS,
    domain_names::OPERATIONS,
    export::OPERATIONS,
    import::OPERATIONS,
    sdk_types::OPERATIONS,
    stages::OPERATIONS,
    test_invoke::OPERATIONS,
    usage::OPERATIONS,
    usage_plan_keys::OPERATIONS,
    usage_plans::OPERATIONS,
    vpc_links::OPERATIONS,
];
