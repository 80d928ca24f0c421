//! The operations of REST APIs (v1), by resource.

pub mod account;
pub mod api_key_import;
pub mod api_keys;
pub mod base_path_mappings;
pub mod client_certificates;
pub mod definition;
pub mod documentation;
pub mod documentation_versions;
pub mod domain_access;
pub mod domain_names;
pub mod sdk_types;
pub mod usage;
pub mod usage_plan_keys;
pub mod usage_plans;
pub mod vpc_links;

mod documentation_location;
mod domain_certificate;
mod domain_name_patch;
mod support;
mod usage_plan_patch;
#[cfg(test)]
mod trial;

use crate::admin::protocol::operation::Operations;

/// Every handler table of v1.
pub const OPERATIONS: &[Operations] = &[
    account::OPERATIONS,
    api_key_import::OPERATIONS,
    api_keys::OPERATIONS,
    base_path_mappings::OPERATIONS,
    client_certificates::OPERATIONS,
    documentation::OPERATIONS,
    documentation_versions::OPERATIONS,
    domain_access::OPERATIONS,
    domain_names::OPERATIONS,
    sdk_types::OPERATIONS,
    usage::OPERATIONS,
    usage_plan_keys::OPERATIONS,
    usage_plans::OPERATIONS,
    vpc_links::OPERATIONS,
];
