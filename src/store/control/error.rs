//! What can go wrong between the control plane and its database, in words for operators.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::control::state::ObjectKey;

/// Why the control plane could not be read or changed. `place` is the database: a file, or a URL
/// without its password.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{place}: {cause}")]
    Database { place: String, cause: String },
    #[error("{place} cannot be reached: {cause}")]
    Unreachable { place: String, cause: String },
    /// It may work a moment later: somebody else holds a lock, or too many calls wait.
    #[error("{place} is busy: {cause}")]
    Busy { place: String, cause: &'static str },
    #[error(
        "{place} is damaged: {cause} (put a file made by `tidegate backup` in its place, and \
         remove the files of its name that end in -wal and -shm)"
    )]
    Damaged { place: String, cause: String },
    #[error(
        "{place} was written by a newer Tidegate: {cause} (run that one, or go back to a backup \
         made before it)"
    )]
    Newer { place: String, cause: String },
    #[error("the {key}: {cause}")]
    Key { key: String, cause: String },
    #[error(
        "the {key} is missing, and {place} is sealed with it (bring back the file; without it \
         nothing in the database can be read)"
    )]
    KeyMissing { key: String, place: String },
    #[error(
        "the {key} holds another key than the one {place} is sealed with (bring back the one \
         that was there first)"
    )]
    WrongKey { key: String, place: String },
    /// Somebody else changed the database's bytes, or moved a row.
    #[error("{place}: {object} cannot be opened: {cause}")]
    Sealed { place: String, object: ObjectKey, cause: &'static str },
    #[error("{what} is larger than {limit} allowed; nothing was changed")]
    TooLarge { what: &'static str, limit: usize },
    #[error("{0}")]
    Invalid(&'static str),
    #[error(
        "{place} went back from revision {known} to {found}, as an old backup would be (restart \
         the region to take it as it is)"
    )]
    WentBack { place: String, known: u64, found: u64 },
    #[error("the control plane's store is closed")]
    Closed,
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} exists already, and backups never overwrite", path.display())]
    Exists { path: PathBuf },
    /// Another program does it; the text says how.
    #[error("PostgreSQL makes its own backups, also while the region runs:\n  {command}")]
    BackupElsewhere { command: String },
}

impl ControlError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the same call may succeed a little later without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable { .. })
    }
}
