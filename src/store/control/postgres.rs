//! PostgreSQL, for regions of several processes: each commit is told to all by NOTIFY.
//!
//! A commit first moves the revision, which locks that one row until the end of the transaction:
//! of two writers the second waits, finds another revision than it expected, and changes nothing.
//! Revisions are therefore committed in their order, which is what makes "all rows after the one I
//! know" complete. ("Transaction Isolation": Read Committed re-evaluates the condition after the
//! wait; a look at the database is a Repeatable Read transaction, which sees one picture.)

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, Row as _, Transaction};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::store::control::config::{self, PostgresUrl};
use crate::store::control::database::{Found, from_sql, migration_error, migrator, number, to_sql};
use crate::store::control::error::ControlError;
use crate::store::control::row::Row;
use crate::store::files;

const MIGRATIONS: &[(&str, &str)] = &[("objects", include_str!("migrations/postgres_1.sql"))];
/// Told of every commit, with the new revision as its text.
const CHANNEL: &str = "tidegate_control";
/// One writes, one listens, two look.
const CONNECTIONS_MAX: u32 = 4;
/// For a connection, from the pool or to the server.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// For one whole question; a server that is gone without a word must not hang a call.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Said on every connection. A server that commits without waiting for its disk would lose
/// acknowledged changes, so ours wait; the rest keeps a stuck process from holding locks.
const GREETING: &str = "SELECT \
     CASE current_setting('synchronous_commit') WHEN 'off' \
     THEN set_config('synchronous_commit', 'on', false) END, \
     set_config('statement_timeout', '20s', false), \
     set_config('lock_timeout', '10s', false), \
     set_config('idle_in_transaction_session_timeout', '20s', false)";

#[derive(Debug)]
pub(super) struct Postgres {
    place: String,
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(
        url: &PostgresUrl,
        password_file: Option<&Path>,
    ) -> Result<Self, ControlError> {
        let options = options(url, password_file)?;
        let place = config::place(&options);
        let prepared = timeout(ANSWER_WAIT, prepare(&options, &place)).await;
        prepared.unwrap_or_else(|_| Err(silent(&place)))?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_WAIT)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::query(GREETING).execute(connection).await.map(drop) })
            })
            .connect_lazy_with(options);
        Ok(Self { place, pool })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    async fn within<T>(
        &self,
        question: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, ControlError> {
        within(&self.place, question).await
    }

    pub(super) async fn revision(&self) -> Result<u64, ControlError> {
        let question = async {
            let mut open = self.pool.acquire().await?;
            revision(&mut open).await
        };
        let found = self.within(question).await?;
        number(&self.place, found.as_deref())
    }

    pub(super) async fn since(&self, known: Option<u64>) -> Result<Found, ControlError> {
        let question = async {
            let mut look =
                self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let revision = revision(&mut look).await?;
            let seen = look_since(&mut look, known).await?;
            look.commit().await?;
            Ok((revision, seen))
        };
        let (revision, seen) = self.within(question).await?;
        found(&self.place, revision, seen)
    }

    pub(super) async fn hold(&self, known: u64) -> Result<(Held, Found), ControlError> {
        let question = async {
            let mut change = self.pool.begin().await?;
            let revision =
                sqlx::query_scalar("SELECT value FROM meta WHERE name = 'revision' FOR UPDATE")
                    .fetch_optional(&mut *change)
                    .await?;
            let seen = look_since(&mut change, Some(known)).await?;
            Ok((change, revision, seen))
        };
        let (change, revision, seen) = self.within(question).await?;
        let held = Held { place: self.place.clone(), change };
        Ok((held, found(&self.place, revision, seen)?))
    }

    pub(super) async fn commit(
        &self,
        expected: u64,
        next: u64,
        rows: Arc<Vec<Row>>,
    ) -> Result<bool, ControlError> {
        let question = async {
            let mut change = self.pool.begin().await?;
            let moved =
                sqlx::query("UPDATE meta SET value = $1 WHERE name = 'revision' AND value = $2")
                    .bind(next.to_string())
                    .bind(expected.to_string())
                    .execute(&mut *change)
                    .await?;
            if moved.rows_affected() == 0 {
                change.rollback().await?;
                return Ok(false);
            }
            write(&mut change, next, &rows).await?;
            tell(&mut change, next).await?;
            change.commit().await?;
            Ok(true)
        };
        self.within(question).await
    }

    pub(super) async fn key_id(&self) -> Result<Option<String>, ControlError> {
        let question = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'key_id'");
        self.within(question.fetch_optional(&self.pool)).await
    }

    pub(super) async fn note_key_id(&self, key_id: String) -> Result<(), ControlError> {
        let question = sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('key_id', $1) ON CONFLICT (name) DO NOTHING",
        )
        .bind(key_id);
        self.within(question.execute(&self.pool)).await.map(drop)
    }

    pub(super) async fn prune(&self, to: u64) -> Result<u64, ControlError> {
        let question = async {
            let mut change = self.pool.begin().await?;
            let gone = sqlx::query("DELETE FROM objects WHERE body IS NULL AND revision <= $1")
                .bind(to_sql(to))
                .execute(&mut *change)
                .await?
                .rows_affected();
            if gone > 0 {
                sqlx::query(
                    "UPDATE meta SET value = $1 WHERE name = 'pruned_to' AND value::BIGINT < $2",
                )
                .bind(to.to_string())
                .bind(to_sql(to))
                .execute(&mut *change)
                .await?;
            }
            change.commit().await?;
            Ok(gone)
        };
        self.within(question).await
    }

    /// A connection that hears of commits.
    pub(super) async fn listen(&self) -> Result<PgListener, ControlError> {
        let question = async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            // The follower reads what it may have missed, and then listens again.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        self.within(question).await
    }

    pub(super) fn explain(&self, error: &sqlx::Error) -> ControlError {
        explain(&self.place, error)
    }

    pub(super) async fn close(&self) {
        // A server that is gone does not answer a goodbye.
        timeout(CONNECT_WAIT, self.pool.close()).await.ok();
    }
}

/// A transaction that has locked the revision's row. It ends with its change, or undone when it is
/// dropped.
#[derive(Debug)]
pub(super) struct Held {
    place: String,
    change: Transaction<'static, sqlx::Postgres>,
}

impl Held {
    pub(super) async fn commit(self, next: u64, rows: Arc<Vec<Row>>) -> Result<(), ControlError> {
        let Self { place, mut change } = self;
        let question = async {
            sqlx::query("UPDATE meta SET value = $1 WHERE name = 'revision'")
                .bind(next.to_string())
                .execute(&mut *change)
                .await?;
            write(&mut change, next, &rows).await?;
            tell(&mut change, next).await?;
            change.commit().await
        };
        within(&place, question).await
    }
}

/// Waits for an answer, but not for ever.
async fn within<T>(
    place: &str,
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ControlError> {
    match timeout(ANSWER_WAIT, question).await {
        Ok(answer) => answer.map_err(|error| explain(place, &error)),
        Err(_) => Err(silent(place)),
    }
}

async fn revision(open: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM meta WHERE name = 'revision'").fetch_optional(open).await
}

/// The end of pruning as it is written, whether the rows are all there are, and the rows.
type Seen = (Option<String>, bool, Vec<Row>);

/// Within a transaction in which no revision can be committed, or none can be seen. A prune can:
/// so the rows are read first, and when the mark then says that deletions were missing, all of them.
async fn look_since(open: &mut PgConnection, known: Option<u64>) -> Result<Seen, sqlx::Error> {
    if let Some(known) = known {
        let rows =
            sqlx::query("SELECT kind, scope, id, revision, body FROM objects WHERE revision > $1")
                .bind(to_sql(known))
                .fetch_all(&mut *open)
                .await?;
        let pruned_to = pruned_to(open).await?;
        // A number that cannot be read makes an error of the whole in `found`.
        let pruned = pruned_to.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        if known >= pruned {
            let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
            return Ok((pruned_to, false, rows));
        }
    }
    let rows =
        sqlx::query("SELECT kind, scope, id, revision, body FROM objects WHERE body IS NOT NULL")
            .fetch_all(&mut *open)
            .await?;
    let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok((pruned_to(open).await?, true, rows))
}

async fn pruned_to(open: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM meta WHERE name = 'pruned_to'").fetch_optional(open).await
}

fn found(
    place: &str,
    revision: Option<String>,
    (pruned_to, is_whole, rows): Seen,
) -> Result<Found, ControlError> {
    number(place, pruned_to.as_deref())?;
    Ok(Found { revision: number(place, revision.as_deref())?, is_whole, rows })
}

/// The URL, and the password from its file.
pub(super) fn options(
    url: &PostgresUrl,
    password_file: Option<&Path>,
) -> Result<PgConnectOptions, ControlError> {
    let options = url
        .options()
        .map_err(|_| ControlError::Invalid("the store's URL is no postgres:// URL"))?
        .application_name("tidegate")
        .disable_statement_logging();
    let Some(path) = password_file else { return Ok(options) };
    let key = || format!("password file {}", path.display());
    let failed = |cause: String| ControlError::Key { key: key(), cause };
    let bytes = files::read_bounded(path, PASSWORD_BYTES_MAX)
        .map_err(|error| failed(error.to_string()))?
        .map(Zeroizing::new)
        .ok_or_else(|| failed("is missing".to_owned()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("is no UTF-8".to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(options.password(line.strip_suffix('\r').unwrap_or(line)))
}

/// Are the tables of this program's form? On a connection of its own: a failed migration leaves its
/// lock on the connection, which must end with it.
async fn prepare(options: &PgConnectOptions, place: &str) -> Result<(), ControlError> {
    let connected = timeout(CONNECT_WAIT, options.connect()).await;
    let mut open = connected.map_err(|_| silent(place))?.map_err(|error| explain(place, &error))?;
    let done = async {
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut open).await?;
        if fsync != "on" {
            tracing::warn!(%place, "The server runs with fsync off: a crash of its machine loses \
                changes that were acknowledged");
        }
        migrator(MIGRATIONS).run_direct(None, &mut open, false).await
    };
    let done = done.await;
    // The server notices either way.
    open.close().await.ok();
    done.map_err(|error| migration_error(place, error, |error| explain(place, &error)))
}

/// All rows in one statement: a round trip each would make a large import slow.
async fn write(change: &mut PgConnection, next: u64, rows: &[Row]) -> Result<(), sqlx::Error> {
    let column = |of: fn(&Row) -> &str| rows.iter().map(of).collect::<Vec<&str>>();
    let bodies: Vec<Option<&[u8]>> = rows.iter().map(|row| row.body.as_deref()).collect();
    sqlx::query(
        "INSERT INTO objects (kind, scope, id, revision, body) \
         SELECT kind, scope, id, $5, body \
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BYTEA[]) \
         AS changed (kind, scope, id, body) \
         ON CONFLICT (kind, scope, id) \
         DO UPDATE SET revision = EXCLUDED.revision, body = EXCLUDED.body",
    )
    .bind(column(|row| &row.kind))
    .bind(column(|row| &row.scope))
    .bind(column(|row| &row.id))
    .bind(bodies)
    .bind(to_sql(next))
    .execute(change)
    .await
    .map(drop)
}

/// Heard by the others when the transaction commits, and not otherwise ("NOTIFY").
async fn tell(change: &mut PgConnection, revision: u64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(revision.to_string())
        .execute(change)
        .await
        .map(drop)
}

fn row(found: sqlx::postgres::PgRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        kind: found.try_get(0)?,
        scope: found.try_get(1)?,
        id: found.try_get(2)?,
        revision: from_sql(found.try_get(3)?),
        body: found.try_get(4)?,
    })
}

fn silent(place: &str) -> ControlError {
    ControlError::Unreachable { place: place.to_owned(), cause: "it does not answer".to_owned() }
}

fn explain(place: &str, error: &sqlx::Error) -> ControlError {
    let place = place.to_owned();
    let cause = match error {
        sqlx::Error::Database(said) => {
            let cause = said.message().to_owned();
            let code = said.code().unwrap_or_default();
            return match &*code {
                // "PostgreSQL Error Codes": lock_not_available, serialization_failure,
                // deadlock_detected, query_canceled (by the time given above).
                "55P03" | "40001" | "40P01" | "57014" => {
                    ControlError::Busy { place, cause: "another process holds it" }
                }
                // data_corrupted, index_corrupted.
                "XX001" | "XX002" => ControlError::Damaged { place, cause },
                // Who we are, which database, how many connections, and a server that stops.
                code if ["28", "3D", "53", "57", "08"].iter().any(|c| code.starts_with(c)) => {
                    ControlError::Unreachable { place, cause }
                }
                _ => ControlError::Database { place, cause },
            };
        }
        sqlx::Error::PoolClosed => return ControlError::Closed,
        sqlx::Error::PoolTimedOut => "no connection in time".to_owned(),
        sqlx::Error::Io(cause) => cause.to_string(),
        sqlx::Error::Tls(cause) | sqlx::Error::Configuration(cause) => cause.to_string(),
        other => return ControlError::Database { place, cause: other.to_string() },
    };
    ControlError::Unreachable { place, cause }
}
