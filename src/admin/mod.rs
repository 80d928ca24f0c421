//! What does the operator see and change? The admin listener's surface, and API definitions.
//!
//! Health, metrics, the cluster's status and purges, and in the region AWS's control-plane protocol
//! ([`operations`] behind [`protocol`]), over plain HTTP on loopback and HTTPS elsewhere; and the
//! reader of OpenAPI documents. It answers no call of an API and reaches nothing by itself: the node
//! implements [`http::Admin`] and lends the control plane its store, its gatekeeper and its effects.

mod answer;
pub mod client;
pub mod cors;
mod guard;
pub mod http;
pub mod iam;
pub mod openapi;
pub mod operations;
pub mod protocol;
pub mod rest;
pub mod stacks;
pub mod status;
pub mod template;
pub mod v2;
mod yaml;

#[cfg(test)]
mod tests;
