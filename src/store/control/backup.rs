//! A copy of the control database that is whole, while the region runs.
//!
//! SQLite's `VACUUM INTO` writes one consistent picture into a new file; readers and writers go on.
//! The copy takes its name only when it was checked and is on the disk, and never takes another's.
//! Bodies stay sealed, so the key is not needed for it, and must be kept besides. PostgreSQL has
//! pg_dump for that, and we say how.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::store::control::config::{self, DatabaseConfig};
use crate::store::control::database::{from_sql, number, quoted, quoted_path};
use crate::store::control::error::ControlError;
use crate::store::control::sqlite;
use crate::store::files;

const ONLY_THE_OWNER: u32 = 0o600;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    pub revision: u64,
    pub objects: u64,
    pub bytes: u64,
}

/// Copies the control database to a file that does not exist yet. Blocks on the disk; for commands.
///
/// # Errors
/// [`ControlError::BackupElsewhere`] for PostgreSQL, with the command that does it; or why the copy
/// could not be made, and then there is none.
pub async fn backup(database: &DatabaseConfig, to: &Path) -> Result<Backup, ControlError> {
    match database {
        DatabaseConfig::Sqlite { path } => copy(path, to).await,
        DatabaseConfig::Postgres { url, password_file } => {
            let options = url
                .options()
                .map_err(|_| ControlError::Invalid("the store's URL is no postgres:// URL"))?;
            let password = password_file.as_ref().map_or_else(String::new, |path| {
                format!("PGPASSWORD=\"$(cat {})\" ", quoted_path(path))
            });
            let file = quoted(&to.display().to_string());
            let place = quoted(&config::place(&options));
            let command = format!("{password}pg_dump --format=custom --file={file} {place}");
            Err(ControlError::BackupElsewhere { command })
        }
    }
}

async fn copy(from: &Path, to: &Path) -> Result<Backup, ControlError> {
    let failed = |source| ControlError::io("cannot write", to, source);
    if to.symlink_metadata().is_ok() {
        return Err(ControlError::Exists { path: to.to_owned() });
    }
    let place = from.display().to_string();
    let mut open =
        sqlite::options(from).connect().await.map_err(|error| sqlite::explain(&place, &error))?;
    let neighbour = Neighbour::new(to).map_err(failed)?;
    // An empty file is as good as none to it ("VACUUM"), and this one has our permissions.
    let name = neighbour.0.to_str();
    let name = name.ok_or(ControlError::Invalid("the backup's name is no UTF-8"))?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(name).execute(&mut open).await;
    copied.map_err(|error| sqlite::explain(&place, &error))?;
    // The copy is made, whatever becomes of the connection.
    open.close().await.ok();

    let place = to.display().to_string();
    let (revision, objects) = check(&neighbour.0, &place).await?;
    let copy = File::open(&neighbour.0).map_err(failed)?;
    copy.sync_all().map_err(failed)?;
    let bytes = copy.metadata().map_err(failed)?.len();
    neighbour.take_name(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ControlError::Exists { path: to.to_owned() },
        _ => failed(error),
    })?;
    Ok(Backup { revision, objects, bytes })
}

/// A backup that cannot be read is none: revision and number of objects, if it is whole.
async fn check(copy: &Path, place: &str) -> Result<(u64, u64), ControlError> {
    let explain = |error: sqlx::Error| sqlite::explain(place, &error);
    // Immutable: no files for a log, which would stay next to the copy.
    let mut open: SqliteConnection =
        sqlite::options(copy).immutable(true).connect().await.map_err(explain)?;
    sqlite::is_whole(&mut open, place).await?;
    let (revision, objects): (Option<String>, i64) = sqlx::query_as(
        "SELECT (SELECT value FROM meta WHERE name = 'revision'), \
         (SELECT COUNT(*) FROM objects WHERE body IS NOT NULL)",
    )
    .fetch_one(&mut open)
    .await
    .map_err(explain)?;
    open.close().await.map_err(explain)?;
    Ok((number(place, revision.as_deref())?, from_sql(objects)))
}

/// A file in the same folder, removed unless it took its name.
struct Neighbour(PathBuf);

impl Neighbour {
    fn new(to: &Path) -> io::Result<Self> {
        let unique = uuid::Uuid::new_v4().simple();
        let path = to.with_added_extension(format!("{unique}.new"));
        OpenOptions::new().write(true).create_new(true).mode(ONLY_THE_OWNER).open(&path)?;
        Ok(Self(path))
    }

    /// link(2) fails where the name is taken; rename(2) would overwrite, and is for file systems
    /// without links.
    fn take_name(self, to: &Path) -> io::Result<()> {
        match fs::hard_link(&self.0, to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !to.exists() => {
                fs::rename(&self.0, to)?;
            }
            linked => linked?,
        }
        files::sync_folder(to)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // Its content is under its name, or of no use.
        fs::remove_file(&self.0).ok();
    }
}
