//! What does the operator see and change? The admin listener's surface, and API definitions.
//!
//! Today: health, metrics, the cluster's status and purges, over plain HTTP on loopback and HTTPS
//! elsewhere, and the reader of OpenAPI documents. It answers no call of an API and decides nothing
//! by itself: the node implements [`http::Admin`], this room only speaks the protocol. AWS's
//! control-plane protocol will live here too, on the same listener.

mod answer;
pub mod client;
pub mod http;
pub mod iam;
pub mod openapi;
pub mod operations;
pub mod protocol;
pub mod rest;
pub mod status;
pub mod v2;

#[cfg(test)]
mod tests;
