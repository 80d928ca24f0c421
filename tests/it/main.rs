//! All integration tests, in one binary: every further one would link the whole crate again.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test's panic is its verdict")]
#![allow(clippy::disallowed_methods, reason = "a test may look at the machine's clock")]

mod caching;
mod client_door;
mod deploy;
mod floorplan;
mod world;
