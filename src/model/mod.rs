//! The control plane's nouns as plain data, with no behaviour beyond their own invariants.
//!
//! They derive serde because two borders carry exactly these shapes: the store keeps them and the
//! tunnel ships them to the edges. A second set of structs per border would only be a place to
//! forget a field.

pub mod document;
pub mod ids;
pub mod policy;
pub mod problem;
pub mod quotas;
pub mod rest_api;
pub mod stage;
