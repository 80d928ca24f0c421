//! What must outlive the process, as plain files: the purge log and deployed parts.
//!
//! Files, because the amounts are small, the access is "read all at start, append or replace
//! later", and an operator can look at them. Everything here blocks: call it from control tasks
//! through `spawn_blocking`, never from a data-plane worker. Cached responses are not kept here;
//! they may be lost at any time and belong to `cache`.

pub mod control;
pub mod files;
mod live_purges;
pub mod parts;
pub mod purge_log;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged: {why}", path.display())]
    Corrupt { path: PathBuf, why: &'static str },
    #[error("{} holds more than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{0}")]
    Invalid(&'static str),
    #[error("the purge log {} failed before and takes nothing until it is reopened", path.display())]
    Poisoned { path: PathBuf },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, why: &'static str) -> Self {
        Self::Corrupt { path: path.to_owned(), why }
    }
}
