//! (stub)

pub mod petstore;
