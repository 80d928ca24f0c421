//! What do other processes write? The task that keeps the picture up to date.
//!
//! PostgreSQL tells of each commit; polling stands behind it, for a connection that died without a
//! word. SQLite tells nobody, so the command line's changes are found by polling alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::control::database::Database;
use crate::store::control::error::ControlError;
use crate::store::control::postgres::Postgres;
use crate::store::control::store::Inner;

const POLL_SQLITE: Duration = Duration::from_millis(500);
const POLL_POSTGRES: Duration = Duration::from_secs(2);
/// Between tries to listen again; doubled with each, up to the longest.
const LISTEN_AGAIN_FIRST: Duration = Duration::from_millis(100);
const LISTEN_AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// Tombstones are kept for this many revisions; a follower further behind reads all objects.
const TOMBSTONES_KEPT: u64 = 10_000;
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Follows until the tasks are stopped; then the database is closed.
pub(super) fn start(inner: &Arc<Inner>) {
    let told = Arc::new(Notify::new());
    if matches!(inner.database, Database::Postgres(_)) {
        inner.tasks.spawn(listen(Arc::clone(inner), Arc::clone(&told)));
    }
    inner.tasks.spawn(follow(Arc::clone(inner), told));
}

async fn follow(inner: Arc<Inner>, told: Arc<Notify>) {
    let poll = match inner.database {
        Database::Sqlite(_) => POLL_SQLITE,
        Database::Postgres(_) => POLL_POSTGRES,
    };
    let stopped = inner.tasks.stopped().clone();
    let mut prune_at = Instant::now() + PRUNE_EVERY;
    let mut fails = false;
    loop {
        tokio::select! {
            () = stopped.cancelled() => break,
            () = told.notified() => {}
            () = sleep(poll) => {}
        }
        report(inner.keep_up().await, &mut fails);
        if Instant::now() >= prune_at {
            prune_at = Instant::now() + PRUNE_EVERY;
            prune(&inner).await;
        }
    }
    inner.close().await;
}

/// Once when it begins to fail, and once when it is over.
fn report(kept_up: Result<(), ControlError>, fails: &mut bool) {
    match kept_up {
        Ok(()) if *fails => {
            *fails = false;
            tracing::info!("The control database answers again");
        }
        Ok(()) => {}
        Err(error) if !*fails => {
            *fails = true;
            tracing::warn!(%error, "The control plane cannot be followed; it stays as it was");
        }
        Err(_) => {}
    }
}

async fn prune(inner: &Inner) {
    match inner.prune(TOMBSTONES_KEPT).await {
        Ok(0) => {}
        Ok(gone) => tracing::debug!(gone, "Forgot what was deleted long ago"),
        Err(error) => tracing::warn!(%error, "Old deletions could not be forgotten"),
    }
}

/// Wakes the follower when PostgreSQL tells of a commit that is not in the picture.
async fn listen(inner: Arc<Inner>, told: Arc<Notify>) {
    let Database::Postgres(postgres) = &inner.database else { return };
    let stopped = inner.tasks.stopped().clone();
    let mut pause = LISTEN_AGAIN_FIRST;
    while !stopped.is_cancelled() {
        // On the heap: a connection's states are large, and this task has few others.
        let hearing = Box::pin(hear(&inner, postgres, &told, &mut pause));
        let heard = stopped.run_until_cancelled(hearing).await;
        if let Some(error) = heard {
            tracing::debug!(%error, "Listening for changes ended; polling goes on");
        }
        // All processes lose a server at once; they should not come back at once.
        wait(&stopped, pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        pause = (pause * 2).min(LISTEN_AGAIN_LONGEST);
    }
}

async fn wait(stopped: &CancellationToken, pause: Duration) {
    // Whether the time is over or the node stops, the caller looks.
    stopped.run_until_cancelled(sleep(pause)).await;
}

/// Listens until that fails; says why.
async fn hear(
    inner: &Inner,
    postgres: &Postgres,
    told: &Notify,
    pause: &mut Duration,
) -> ControlError {
    let mut listener = match postgres.listen().await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    *pause = LISTEN_AGAIN_FIRST;
    // What was committed before this connection listened was not told.
    told.notify_one();
    loop {
        match listener.try_recv().await {
            Ok(Some(news)) => {
                // One's own commits are told, too.
                let known = inner.revision();
                if news.payload().parse::<u64>().is_ok_and(|revision| revision <= known) {
                    continue;
                }
            }
            Ok(None) => {}
            Err(error) => return postgres.explain(&error),
        }
        told.notify_one();
    }
}
