//! The seam that tests replace: time, sockets, QUIC. Production code asks this module for the
//! time and for a network; a test hands in a clock it turns itself and a network that loses packets.

pub mod aws;
pub mod ca;
pub mod client;
pub mod clock;
pub mod query;
pub mod quic;
pub mod socket;
pub mod tasks;
pub mod text;
