//! API definitions that somebody wrote, and those that somebody wants to have written.
//!
//! OpenAPI 3.0 and 3.1 and Swagger 2.0, as JSON or YAML, with AWS's extensions. One document goes
//! one way, whoever brings it: [`import`] reads it into a definition in AWS's shape, [`apply`] puts
//! that into a store, and `deployment::definition` says whether a stage of it can be served. A file
//! of the topology and a client's `PutRestApi` so come to the same API, and are refused in the same
//! words. [`export`] is the way back.
//!
//! AWS: API Gateway Developer Guide, "Develop REST APIs using OpenAPI in API Gateway" and
//! "OpenAPI extensions for API Gateway".

pub mod apply;
pub mod export;
pub mod import;
mod plain;
pub(in crate::admin) mod syntax;

pub use plain::to_json;

/// `$ref`s followed from one place before we call it a circle.
const REFERENCE_HOPS_MAX: usize = 16;
/// What every extension of AWS begins with.
const EXTENSION: &str = "x-amazon-apigateway-";

/// A key that OpenAPI leaves to vendors; AWS's own are the import's sweep's business.
fn is_extension(key: &str) -> bool {
    begins_with(key, "x-")
}

fn begins_with(key: &str, prefix: &str) -> bool {
    key.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
pub(in crate::admin) mod testing;
