//! Fill `Gateway`, start tasks, stop them in order.

pub mod config;
pub mod petstore;
