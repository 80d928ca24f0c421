//! What was deployed, compiled: model in, immutable `Snapshot` out; hold it, fetch it, spread it.

pub mod router;
