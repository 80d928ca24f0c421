//! The embedded database: one file in the region's data folder.
//!
//! SQLite in WAL mode with `synchronous=FULL`: a commit returns after the log is synced, so it
//! survives a lost machine, not only a killed process ("PRAGMA synchronous"). One connection writes,
//! another reads, so that a follower never waits for a commit. Processes on the same machine may
//! share the file: the command line writes beside a running region.
//!
//! Every question runs on a blocking thread of the runtime. sqlx's SQLite waits without the
//! runtime's timers, and tokio, whose clock tests pause, then knows that somebody is at work.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row as _, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::store::control::database::{Found, from_sql, migration_error, migrator, number, to_sql};
use crate::store::control::error::ControlError;
use crate::store::control::row::Row;
use crate::store::files;

const MIGRATIONS: &[(&str, &str)] = &[("objects", include_str!("migrations/sqlite_1.sql"))];
/// What another process's commit may take; longer, and the call is refused.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// For another process that starts with the same file, and checks all of it.
const START_WAIT: Duration = Duration::from_secs(60);
const START_PAUSE: Duration = Duration::from_millis(10);
/// The write lock at once: one asked for after a read is refused without waiting.
const BEGIN_WRITING: &str = "BEGIN IMMEDIATE";
const ONLY_THE_OWNER: u32 = 0o600;

/// Primary result codes ("Result and Error Codes").
mod code {
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const CORRUPT: i64 = 11;
    pub(super) const CANTOPEN: i64 = 14;
    pub(super) const NOTADB: i64 = 26;
}

#[derive(Debug)]
pub(super) struct Sqlite {
    place: Arc<str>,
    runtime: Handle,
    writer: Arc<Mutex<Option<SqliteConnection>>>,
    reader: Arc<Mutex<Option<SqliteConnection>>>,
}

/// How to open the file for reading and writing; it must exist.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_WAIT)
        .disable_statement_logging()
}

impl Sqlite {
    pub(super) async fn open(path: &Path, runtime: Handle) -> Result<Self, ControlError> {
        let place: Arc<str> = path.display().to_string().into();
        let opened = {
            let (path, place, handle) = (path.to_owned(), Arc::clone(&place), runtime.clone());
            runtime.spawn_blocking(move || start(&path, &place, &handle))
        };
        let (writer, reader) = opened.await.map_err(|_| ControlError::Closed)??;
        Ok(Self {
            place,
            runtime,
            writer: Arc::new(Mutex::new(Some(writer))),
            reader: Arc::new(Mutex::new(Some(reader))),
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Asks a question on a blocking thread.
    async fn ask<T: Send + 'static>(
        &self,
        connection: &Arc<Mutex<Option<SqliteConnection>>>,
        question: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error> + Send + 'static,
    ) -> Result<T, ControlError> {
        let connection = Arc::clone(connection);
        let place = Arc::clone(&self.place);
        let handle = self.runtime.clone();
        let asked = self.runtime.spawn_blocking(move || {
            handle.block_on(async {
                let mut connection = connection.lock().await;
                let open = connection.as_mut().ok_or(ControlError::Closed)?;
                question(open).await.map_err(|error| explain(&place, &error))
            })
        });
        // Only a runtime that ends abandons it.
        asked.await.unwrap_or(Err(ControlError::Closed))
    }

    pub(super) async fn revision(&self) -> Result<u64, ControlError> {
        let (revision, _) = self.ask(&self.reader, async |open| marks(open).await).await?;
        number(&self.place, revision.as_deref())
    }

    pub(super) async fn since(&self, known: Option<u64>) -> Result<Found, ControlError> {
        let question = async move |open: &mut SqliteConnection| {
            // A transaction reads one picture of the file.
            let mut look = open.begin().await?;
            let seen = look_since(&mut look, known).await?;
            look.commit().await?;
            Ok(seen)
        };
        found(&self.place, self.ask(&self.reader, question).await?)
    }

    pub(super) async fn commit(
        &self,
        expected: u64,
        next: u64,
        rows: Arc<Vec<Row>>,
    ) -> Result<bool, ControlError> {
        let question = async move |open: &mut SqliteConnection| {
            let mut change = open.begin_with(BEGIN_WRITING).await?;
            let moved =
                sqlx::query("UPDATE meta SET value = ?1 WHERE name = 'revision' AND value = ?2")
                    .bind(next.to_string())
                    .bind(expected.to_string())
                    .execute(&mut *change)
                    .await?;
            if moved.rows_affected() == 0 {
                change.rollback().await?;
                return Ok(false);
            }
            write(&mut change, &rows).await?;
            change.commit().await?;
            Ok(true)
        };
        self.ask(&self.writer, question).await
    }

    pub(super) async fn hold(&self, known: u64) -> Result<(Held, Found), ControlError> {
        let mut held = Held {
            place: Arc::clone(&self.place),
            runtime: self.runtime.clone(),
            open: Some(Arc::clone(&self.writer).lock_owned().await),
        };
        let question = async move |open: &mut SqliteConnection| {
            sqlx::query(BEGIN_WRITING).execute(&mut *open).await?;
            look_since(open, Some(known)).await
        };
        let seen = held.ask(question).await?;
        let found = found(&held.place, seen)?;
        Ok((held, found))
    }

    pub(super) async fn key_id(&self) -> Result<Option<String>, ControlError> {
        let question = async |open: &mut SqliteConnection| {
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'key_id'")
                .fetch_optional(open)
                .await
        };
        self.ask(&self.reader, question).await
    }

    /// Not synced by itself: nothing is sealed with the key yet, and the commit that brings the first
    /// row syncs the log from its beginning, this note included.
    pub(super) async fn note_key_id(&self, key_id: String) -> Result<(), ControlError> {
        let question = async move |open: &mut SqliteConnection| {
            sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *open).await?;
            let noted = sqlx::query(
                "INSERT INTO meta (name, value) VALUES ('key_id', ?1) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(key_id)
            .execute(&mut *open)
            .await;
            // A connection that stays as it is would lose commits: then there is none.
            sqlx::query("PRAGMA synchronous = FULL").execute(open).await?;
            noted
        };
        self.ask(&self.writer, question).await.map(drop)
    }

    pub(super) async fn prune(&self, to: u64) -> Result<u64, ControlError> {
        let question = async move |open: &mut SqliteConnection| {
            let mut change = open.begin_with(BEGIN_WRITING).await?;
            let gone = sqlx::query("DELETE FROM objects WHERE body IS NULL AND revision <= ?1")
                .bind(to_sql(to))
                .execute(&mut *change)
                .await?
                .rows_affected();
            if gone > 0 {
                sqlx::query(
                    "UPDATE meta SET value = ?1 \
                     WHERE name = 'pruned_to' AND CAST(value AS INTEGER) < ?2",
                )
                .bind(to.to_string())
                .bind(to_sql(to))
                .execute(&mut *change)
                .await?;
            }
            change.commit().await?;
            Ok(gone)
        };
        self.ask(&self.writer, question).await
    }

    /// The last one to leave folds the log into the file.
    pub(super) async fn close(&self) {
        for connection in [&self.reader, &self.writer] {
            let connection = Arc::clone(connection);
            let handle = self.runtime.clone();
            let closed = self.runtime.spawn_blocking(move || {
                handle.block_on(async {
                    if let Some(open) = connection.lock().await.take()
                        && let Err(error) = open.close().await
                    {
                        tracing::warn!(%error, "The control database did not close cleanly");
                    }
                });
            });
            // Only a runtime that ends abandons it.
            closed.await.ok();
        }
    }
}

/// A transaction that has the file's write lock. It spans several questions, so it is begun and
/// ended by hand.
#[derive(Debug)]
pub(super) struct Held {
    place: Arc<str>,
    runtime: Handle,
    /// Present but while a question is asked, and after the end.
    open: Option<OwnedMutexGuard<Option<SqliteConnection>>>,
}

impl Held {
    pub(super) async fn commit(
        mut self,
        next: u64,
        rows: Arc<Vec<Row>>,
    ) -> Result<(), ControlError> {
        let question = async move |open: &mut SqliteConnection| {
            sqlx::query("UPDATE meta SET value = ?1 WHERE name = 'revision'")
                .bind(next.to_string())
                .execute(&mut *open)
                .await?;
            write(open, &rows).await?;
            sqlx::query("COMMIT").execute(open).await
        };
        self.ask(question).await?;
        // Nothing is left to be undone.
        self.open = None;
        Ok(())
    }

    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error> + Send + 'static,
    ) -> Result<T, ControlError> {
        let mut guard = self.open.take().ok_or(ControlError::Closed)?;
        let handle = self.runtime.clone();
        let asked = self.runtime.spawn_blocking(move || {
            let answer = match guard.as_mut() {
                Some(open) => handle.block_on(question(open)).map_err(Some),
                None => Err(None),
            };
            (guard, answer)
        });
        // Only a runtime that ends abandons it.
        let (guard, answer) = asked.await.map_err(|_| ControlError::Closed)?;
        self.open = Some(guard);
        answer.map_err(|error| {
            error.map_or(ControlError::Closed, |error| explain(&self.place, &error))
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut guard) = self.open.take() else { return };
        let handle = self.runtime.clone();
        // The next one to write waits for the guard.
        self.runtime.spawn_blocking(move || {
            if let Some(open) = guard.as_mut() {
                // Fails where nothing was begun, or where the engine has undone it already.
                handle.block_on(sqlx::query("ROLLBACK").execute(open)).ok();
            }
        });
    }
}

/// A writer and a reader of a file that is whole and has this program's tables.
fn start(
    path: &Path,
    place: &str,
    handle: &Handle,
) -> Result<(SqliteConnection, SqliteConnection), ControlError> {
    let failed = |source| ControlError::io("cannot create", path, source);
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let _alone = alone(folder, place)?;
    if !path.exists() {
        make(path, place, handle)?;
    }
    let options =
        options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    handle.block_on(async {
        let explain = |error| explain(place, &error);
        let mut writer = options.connect().await.map_err(explain)?;
        is_whole(&mut writer, place).await?;
        let migrated = migrator(MIGRATIONS).run_direct(None, &mut writer, false).await;
        migrated.map_err(|error| migration_error(place, error, explain))?;
        let reader = options.connect().await.map_err(explain)?;
        Ok((writer, reader))
    })
}

/// One process starts after the other: the switch to WAL and the first migration are refused
/// without waiting where another is at them. The lock is the folder's (flock(2)); it ends with the
/// file that is returned. SQLite's own locks on its file would end with any descriptor of it.
fn alone(folder: &Path, place: &str) -> Result<Option<File>, ControlError> {
    let file =
        File::open(folder).map_err(|source| ControlError::io("cannot open", folder, source))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // A file system without such locks.
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if waited >= START_WAIT => {
                let cause = "another process is starting with it";
                return Err(ControlError::Busy { place: place.to_owned(), cause });
            }
            Err(TryLockError::WouldBlock) => {
                thread::sleep(START_PAUSE);
                waited += START_PAUSE;
            }
        }
    }
}

/// A new file with this program's tables: whole or not at all, and never over another's. A neighbour
/// is made without a thought for crashes, synced once, and linked to the name, which fails where the
/// name is taken (link(2)). Made in place, it would be synced nine times, each step by itself.
fn make(path: &Path, place: &str, handle: &Handle) -> Result<(), ControlError> {
    let failed = |source| ControlError::io("cannot create", path, source);
    let neighbour = path.with_added_extension(format!("{}.new", Uuid::new_v4().simple()));
    // SQLite's own would follow the umask.
    let opened =
        OpenOptions::new().write(true).create_new(true).mode(ONLY_THE_OWNER).open(&neighbour);
    let file = opened.map_err(failed)?;
    let made = handle.block_on(fill(&neighbour, place)).and_then(|()| {
        file.sync_all().map_err(failed)?;
        match std::fs::hard_link(&neighbour, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    });
    for left in ["", "-journal", "-wal", "-shm"] {
        let mut name = neighbour.clone().into_os_string();
        name.push(left);
        // Mostly it is the first one only.
        std::fs::remove_file(name).ok();
    }
    made?;
    files::sync_folder(path).map_err(failed)
}

/// Makes the tables of a file that nobody knows yet, unsynced.
async fn fill(neighbour: &Path, place: &str) -> Result<(), ControlError> {
    let explain = |error| explain(place, &error);
    let options = options(neighbour)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off);
    let mut open = options.connect().await.map_err(explain)?;
    let migrated = migrator(MIGRATIONS).run_direct(None, &mut open, false).await;
    migrated.map_err(|error| migration_error(place, error, explain))?;
    // It is a property of the file, and stays ("PRAGMA journal_mode").
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut open).await.map_err(explain)?;
    open.close().await.map_err(explain)
}

/// "PRAGMA integrity_check": pages, rows and indexes.
pub(super) async fn is_whole(open: &mut SqliteConnection, place: &str) -> Result<(), ControlError> {
    let said: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(3)")
        .fetch_all(open)
        .await
        .map_err(|error| explain(place, &error))?;
    if said == ["ok"] {
        return Ok(());
    }
    Err(ControlError::Damaged { place: place.to_owned(), cause: said.join("; ") })
}

/// The revision, and the one up to which tombstones are gone, as they are written.
type Marks = (Option<String>, Option<String>);

async fn marks(open: &mut SqliteConnection) -> Result<Marks, sqlx::Error> {
    sqlx::query_as(
        "SELECT (SELECT value FROM meta WHERE name = 'revision'), \
         (SELECT value FROM meta WHERE name = 'pruned_to')",
    )
    .fetch_one(open)
    .await
}

/// Marks, whether the rows are all there are, and the rows.
type Seen = (Marks, bool, Vec<Row>);

/// Within a transaction, so that marks and rows belong together.
async fn look_since(open: &mut SqliteConnection, known: Option<u64>) -> Result<Seen, sqlx::Error> {
    let marks = marks(open).await?;
    // A number that cannot be read makes an error of the whole in `found`.
    let pruned_to = marks.1.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    let known = known.filter(|known| *known >= pruned_to);
    let rows = match known {
        Some(known) => {
            sqlx::query("SELECT kind, scope, id, revision, body FROM objects WHERE revision > ?1")
                .bind(to_sql(known))
                .fetch_all(open)
                .await?
        }
        None => {
            sqlx::query(
                "SELECT kind, scope, id, revision, body FROM objects WHERE body IS NOT NULL",
            )
            .fetch_all(open)
            .await?
        }
    };
    let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok((marks, known.is_none(), rows))
}

fn found(
    place: &str,
    ((revision, pruned_to), is_whole, rows): Seen,
) -> Result<Found, ControlError> {
    number(place, pruned_to.as_deref())?;
    Ok(Found { revision: number(place, revision.as_deref())?, is_whole, rows })
}

/// Within a transaction.
async fn write(open: &mut SqliteConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    for row in rows {
        sqlx::query(
            "INSERT INTO objects (kind, scope, id, revision, body) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (kind, scope, id) \
             DO UPDATE SET revision = excluded.revision, body = excluded.body",
        )
        .bind(&row.kind)
        .bind(&row.scope)
        .bind(&row.id)
        .bind(to_sql(row.revision))
        .bind(row.body.as_deref())
        .execute(&mut *open)
        .await?;
    }
    Ok(())
}

fn row(found: sqlx::sqlite::SqliteRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        kind: found.try_get(0)?,
        scope: found.try_get(1)?,
        id: found.try_get(2)?,
        revision: from_sql(found.try_get(3)?),
        body: found.try_get(4)?,
    })
}

pub(super) fn explain(place: &str, error: &sqlx::Error) -> ControlError {
    let place = place.to_owned();
    let Some(said) = error.as_database_error() else {
        return ControlError::Database { place, cause: error.to_string() };
    };
    let cause = said.message().to_owned();
    // The low byte of an extended code is the primary one.
    let primary = said.code().and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xff);
    match primary {
        Some(code::BUSY | code::LOCKED) => {
            ControlError::Busy { place, cause: "another process holds it" }
        }
        Some(code::CORRUPT | code::NOTADB) => ControlError::Damaged { place, cause },
        Some(code::CANTOPEN) => ControlError::Unreachable { place, cause },
        _ => ControlError::Database { place, cause },
    }
}
