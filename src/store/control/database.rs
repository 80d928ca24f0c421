//! One database or the other: the same few questions, each in its engine's own words.

use std::path::Path;
use std::sync::Arc;

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::net::tasks::Tasks;
use crate::store::control::config::DatabaseConfig;
use crate::store::control::error::ControlError;
use crate::store::control::postgres::{self, Postgres};
use crate::store::control::row::Row;
use crate::store::control::sqlite::{self, Sqlite};

#[derive(Debug)]
pub(super) enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The right to write next, by the database's own lock. What was read with it is the newest, and
/// stays so. Dropped, it changes nothing.
#[derive(Debug)]
pub(super) enum Held {
    Sqlite(sqlite::Held),
    Postgres(postgres::Held),
}

impl Held {
    /// Writes rows and `next` in one transaction, durably.
    pub(super) async fn commit(self, next: u64, rows: Arc<Vec<Row>>) -> Result<(), ControlError> {
        match self {
            Held::Sqlite(held) => held.commit(next, rows).await,
            Held::Postgres(held) => held.commit(next, rows).await,
        }
    }
}

/// What was read in one look at the database.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) revision: u64,
    /// All rows there are, not only those that changed.
    pub(super) is_whole: bool,
    pub(super) rows: Vec<Row>,
}

macro_rules! either {
    ($self:ident, $engine:ident => $answer:expr) => {
        match $self {
            Database::Sqlite($engine) => $answer,
            Database::Postgres($engine) => $answer,
        }
    };
}

impl Database {
    /// Connects, and brings the tables to this program's form.
    pub(super) async fn open(config: &DatabaseConfig, tasks: &Tasks) -> Result<Self, ControlError> {
        Ok(match config {
            DatabaseConfig::Sqlite { path } => {
                Database::Sqlite(Sqlite::open(path, tasks.runtime().clone()).await?)
            }
            DatabaseConfig::Postgres { url, password_file } => {
                Database::Postgres(Postgres::open(url, password_file.as_deref()).await?)
            }
        })
    }

    /// The database in words, without a password.
    pub(super) fn place(&self) -> &str {
        either!(self, engine => engine.place())
    }

    pub(super) async fn revision(&self) -> Result<u64, ControlError> {
        either!(self, engine => engine.revision().await)
    }

    /// What changed after `known`, or all objects.
    pub(super) async fn since(&self, known: Option<u64>) -> Result<Found, ControlError> {
        either!(self, engine => engine.since(known).await)
    }

    /// Writes rows and `next` in one transaction, durably; `false` and nothing if the database is
    /// not at `expected`.
    pub(super) async fn commit(
        &self,
        expected: u64,
        next: u64,
        rows: Arc<Vec<Row>>,
    ) -> Result<bool, ControlError> {
        either!(self, engine => engine.commit(expected, next, rows).await)
    }

    /// Waits for the right to write next, and reads what changed after `known`.
    pub(super) async fn hold(&self, known: u64) -> Result<(Held, Found), ControlError> {
        Ok(match self {
            Database::Sqlite(engine) => {
                let (held, found) = engine.hold(known).await?;
                (Held::Sqlite(held), found)
            }
            Database::Postgres(engine) => {
                let (held, found) = engine.hold(known).await?;
                (Held::Postgres(held), found)
            }
        })
    }

    pub(super) async fn key_id(&self) -> Result<Option<String>, ControlError> {
        either!(self, engine => engine.key_id().await)
    }

    /// Notes which key seals the rows, unless one is noted.
    pub(super) async fn note_key_id(&self, key_id: String) -> Result<(), ControlError> {
        either!(self, engine => engine.note_key_id(key_id).await)
    }

    /// Forgets tombstones up to a revision. How many there were.
    pub(super) async fn prune(&self, to: u64) -> Result<u64, ControlError> {
        either!(self, engine => engine.prune(to).await)
    }

    pub(super) async fn close(&self) {
        either!(self, engine => engine.close().await);
    }
}

/// The tables' history: each step's SQL is never changed again, a new form is a new step.
pub(super) fn migrator(steps: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = (1..).zip(steps).map(|(version, (name, sql))| {
        let sql = (*sql).into_sql_str();
        Migration::new(version, (*name).into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// What a failed step means; what the engine complains of is put in its own words.
pub(super) fn migration_error(
    place: &str,
    error: MigrateError,
    explain: impl FnOnce(sqlx::Error) -> ControlError,
) -> ControlError {
    let place = place.to_owned();
    let cause = match error {
        MigrateError::VersionMissing(version) => {
            return ControlError::Newer {
                place,
                cause: format!(
                    "its tables are in form {version}, which this program does not know"
                ),
            };
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            return explain(error);
        }
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            format!("its tables are not as form {version} should be")
        }
        other => other.to_string(),
    };
    ControlError::Database { place, cause }
}

/// A number of the table `meta`.
pub(super) fn number(place: &str, text: Option<&str>) -> Result<u64, ControlError> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| ControlError::Damaged {
        place: place.to_owned(),
        cause: "its table `meta` lacks a number".to_owned(),
    })
}

/// Revisions are positive and fit both engines' 64-bit integers.
pub(super) fn to_sql(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// For shell commands shown to people.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// As [`quoted`].
pub(super) fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}
