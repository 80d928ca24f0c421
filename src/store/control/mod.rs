//! What the control plane is told, kept: every change in one transaction under a new revision.
//!
//! The database is the truth, a [`state::State`] in memory what everybody reads. One call is one
//! transaction: its handler runs on the newest picture, and its changes are committed only if the
//! database is still at that picture's revision. Otherwise another writer (another region process,
//! or the command line) was faster: then the database is locked, the picture brought up to date, and
//! the handler runs again.
//!
//! SQLite in the data folder is the default; PostgreSQL lets several region processes share one
//! control plane. All bodies are sealed, so neither the database nor its backup holds a
//! secret in the clear. What this module does not do: know what an object means.

mod backup;
mod config;
mod database;
mod error;
mod follow;
mod key;
mod postgres;
mod row;
mod seal;
mod sqlite;
pub mod state;
mod store;

pub use backup::{Backup, backup};
pub use config::{Config, DatabaseConfig, KeySource, PostgresUrl};
pub use error::ControlError;
pub use state::{Body, Change, Kind, Object, ObjectKey, State, Txn};
pub use store::{Committed, ControlStore};

#[cfg(test)]
mod tests;
