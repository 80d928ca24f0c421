//! (stub)

pub mod openapi;
