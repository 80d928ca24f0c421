//! What the control plane is told, kept: every change in one transaction under a new revision.
//!
//! The database is the truth, a [`state::State`] in memory what everybody reads. One call is one
//! transaction: its handler runs on the newest picture, and its changes are committed only if the
//! database is still at that picture's revision. Otherwise another writer (another region process,
//! or the command line) was faster: the picture is brought up to date and the handler runs again.

pub mod state;

pub use state::{Body, Change, Kind, Object, ObjectKey, State, Txn};
