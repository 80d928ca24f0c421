//! Tidegate: an API gateway that behaves like AWS API Gateway, with an edge network in front.
//!
//! The modules stand in reading order, from the call's way down to the nouns. A module may use
//! only modules on lower floors; `tests/it/floorplan.rs` holds the plan and fails the build
//! otherwise. ARCHITECTURE.md draws it.

pub mod pipeline;
pub mod deployment;

pub mod auth;
pub mod limits;
pub mod mapping;
pub mod cache;
pub mod integration;

pub mod listener;
pub mod tunnel;
pub mod gossip;
pub mod store;
pub mod telemetry;

pub mod call;

pub mod model;
pub mod net;

pub mod admin;
pub mod node;
pub mod topology;
pub mod cli;
