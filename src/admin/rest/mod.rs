//! The operations of REST APIs (v1), by resource.

pub mod definition;
