//! All integration tests, in one binary: every further one would link the whole crate again.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test's panic is its verdict")]
#![allow(clippy::disallowed_methods, reason = "a test may look at the machine's clock")]

mod caching;
mod certificates;
mod client_door;
mod clients;
mod command_line;
mod control_plane;
mod deploy;
mod doors;
mod floorplan;
mod functions;
mod header_names;
mod lifecycle;
mod membership;
mod outages;
mod private_backends;
mod process;
mod protocols;
mod purging;
mod real;
mod refusals;
mod rollout;
mod store;
mod store_kill;
mod store_place;
mod streams;
mod template;
mod templates;
mod tour;
mod validation;
mod velocity;
mod world;
