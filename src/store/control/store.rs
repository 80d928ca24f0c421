//! The picture everybody reads, and the one way to change it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::timeout;

use crate::net::clock::{Clock, Timestamp};
use crate::net::tasks::Tasks;
use crate::store::control::config::Config;
use crate::store::control::database::{Database, Found, Held};
use crate::store::control::error::ControlError;
use crate::store::control::seal::Sealer;
use crate::store::control::state::{Change, State, Txn};
use crate::store::control::{follow, key, row};

/// Runs of one handler: on the picture as it is; if another process was faster, once more with the
/// database's lock held, when nobody can be faster.
const RUNS_MAX: usize = 2;
/// For the writers before this one, in this process.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// Both engines count in signed 64 bits.
const REVISION_MAX: u64 = i64::MAX as u64;

/// The control plane's store. Clones are the same store; they cost nothing.
#[derive(Clone, Debug)]
pub struct ControlStore(Arc<Inner>);

/// A call that went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// What the handler returned.
    pub value: T,
    /// The picture that has the change, or, when nothing changed, the one that was read.
    pub revision: u64,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) database: Database,
    sealer: Sealer,
    current: ArcSwap<State>,
    changes: watch::Sender<u64>,
    /// Held by whoever brings the picture forward: it only moves from one revision to a later one.
    turn: Arc<Mutex<()>>,
    clock: Clock,
    /// When the database last answered, in milliseconds.
    heard_at: AtomicU64,
    pub(super) tasks: Tasks,
}

impl ControlStore {
    /// Opens the database, creating file, tables and key where they are missing, reads all of it,
    /// and follows what other processes write until the tasks are stopped.
    ///
    /// # Errors
    /// No access, damage, a newer program's tables, or not the key that was there first.
    pub async fn open(config: Config, clock: Clock, tasks: Tasks) -> Result<Self, ControlError> {
        let database = Database::open(&config.database, &tasks).await?;
        let opened = async {
            let sealer = sealer(&config, &database).await?;
            let found = database.since(None).await?;
            Ok((sealer, found))
        };
        let (sealer, found) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                database.close().await;
                return Err(error);
            }
        };
        let now = AtomicU64::new(clock.now().as_millis());
        let inner = Arc::new(Inner {
            database,
            sealer,
            current: ArcSwap::default(),
            changes: watch::Sender::new(0),
            turn: Arc::default(),
            clock,
            heard_at: now,
            tasks,
        });
        let reader = Arc::clone(&inner);
        let read = inner.blocking(move || {
            let objects = row::open(&reader.sealer, found.rows, reader.database.place())?;
            Ok(State::default().with_objects(found.revision, objects))
        });
        match read.await {
            Ok(state) => inner.publish(state),
            Err(error) => {
                inner.database.close().await;
                return Err(error);
            }
        }
        follow::start(&inner);
        Ok(Self(inner))
    }

    /// The newest picture this process knows. Waits for nobody.
    pub fn current(&self) -> Arc<State> {
        self.0.current.load_full()
    }

    /// Tells the revision whenever the picture moves, by whichever process.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// When the database last answered: a follower that hears nothing serves an old picture.
    pub fn heard_at(&self) -> Timestamp {
        Timestamp::from_millis(self.0.heard_at.load(Ordering::Relaxed))
    }

    /// Forgets deletions except those of the last `kept` revisions, and says how many. The follower
    /// does so from time to time.
    ///
    /// # Errors
    /// The database's trouble.
    pub async fn prune(&self, kept: u64) -> Result<u64, ControlError> {
        self.0.prune(kept).await
    }

    /// Runs `work` on the newest picture and commits what it changed. It may be run several times,
    /// so it must have no effect besides. When this returns, the change is on the disk, and
    /// [`current`](Self::current) has it. A refusal by `work` is the inner error; it commits
    /// nothing. A caller that goes away while the commit is under way does not stop it.
    ///
    /// # Errors
    /// The database's trouble. After [`ControlError::Unreachable`] the change may have been
    /// committed all the same, when the answer to the commit was lost; never in part.
    pub async fn transact<T, E>(
        &self,
        mut work: impl FnMut(&mut Txn) -> Result<T, E>,
    ) -> Result<Result<Committed<T>, E>, ControlError> {
        let inner = &self.0;
        let waited = timeout(TURN_WAIT, Arc::clone(&inner.turn).lock_owned()).await;
        let mut turn = waited.map_err(|_| ControlError::Busy {
            place: inner.database.place().to_owned(),
            cause: "too many changes wait before this one",
        })?;
        let mut held = None;
        for _ in 0..RUNS_MAX {
            let picture = inner.current.load_full();
            let mut txn = Txn::new(Arc::clone(&picture));
            let outcome = work(&mut txn);
            let changes = match &outcome {
                Ok(_) => txn.into_changes(),
                Err(_) => Vec::new(),
            };
            let ended = inner.spawn_end(turn, held, picture, changes).await?;
            turn = ended.turn;
            match ended.end? {
                End::Settled(revision) => {
                    return Ok(outcome.map(|value| Committed { value, revision }));
                }
                End::Behind(lock) => held = Some(lock),
            }
        }
        // The second run has the lock, and settles.
        Err(ControlError::Invalid("another process wrote past the database's lock"))
    }
}

/// How a run ended; the turn comes back with it.
struct Ended {
    turn: OwnedMutexGuard<()>,
    end: Result<End, ControlError>,
}

enum End {
    /// At this revision.
    Settled(u64),
    /// Another process was faster. The picture is the newest now, and the lock keeps it so.
    Behind(Held),
}

impl Inner {
    /// Ends a run in a task of its own: the caller's future may be dropped at any time, and a
    /// commit under way must still reach the picture, in its order.
    async fn spawn_end(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        held: Option<Held>,
        picture: Arc<State>,
        changes: Vec<Change>,
    ) -> Result<Ended, ControlError> {
        let inner = Arc::clone(self);
        let ending = self.tasks.spawn(async move {
            let end = if changes.is_empty() {
                inner.end_unchanged(held, &picture).await
            } else {
                inner.commit(held, &picture, changes).await
            };
            Ended { turn, end }
        });
        // Only a runtime that ends abandons it.
        ending.await.map_err(|_| ControlError::Closed)
    }

    /// What a handler read, or refused, holds only if nobody else wrote meanwhile: a client may have
    /// created there what it asks for here. A database that does not answer changes nothing in that.
    async fn end_unchanged(
        self: &Arc<Self>,
        held: Option<Held>,
        picture: &State,
    ) -> Result<End, ControlError> {
        if held.is_none()
            && self.database.revision().await.is_ok_and(|revision| revision > picture.revision)
        {
            return self.hold().await.map(End::Behind);
        }
        Ok(End::Settled(picture.revision))
    }

    async fn commit(
        self: &Arc<Self>,
        held: Option<Held>,
        picture: &Arc<State>,
        changes: Vec<Change>,
    ) -> Result<End, ControlError> {
        let expected = picture.revision;
        if expected >= REVISION_MAX {
            return Err(ControlError::Invalid("revisions are used up"));
        }
        let next = expected + 1;
        let (inner, picture) = (Arc::clone(self), Arc::clone(picture));
        let sealing = self.blocking(move || {
            let rows = row::seal(&inner.sealer, &changes, next)?;
            Ok((Arc::new(rows), picture.with(next, changes)))
        });
        let (rows, state) = sealing.await?;
        match held {
            Some(held) => held.commit(next, rows).await?,
            None if self.database.commit(expected, next, rows).await? => {}
            None => return self.hold().await.map(End::Behind),
        }
        self.heard();
        self.publish(state);
        Ok(End::Settled(next))
    }

    /// Takes the database's lock and moves the picture to where it is then. Without the lock a
    /// process that lost once loses on: the winner writes again from the newest picture, while the
    /// loser still reads what it missed.
    async fn hold(self: &Arc<Self>) -> Result<Held, ControlError> {
        let (held, found) = self.database.hold(self.revision()).await?;
        self.advance(found).await?;
        Ok(held)
    }

    /// Is the database elsewhere than the picture? If so, moves the picture there.
    pub(super) async fn keep_up(self: &Arc<Self>) -> Result<(), ControlError> {
        let revision = self.database.revision().await?;
        self.heard();
        if revision != self.revision() {
            let _turn = Arc::clone(&self.turn).lock_owned().await;
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Moves the picture to where the database is. The caller has the turn.
    async fn catch_up(self: &Arc<Self>) -> Result<(), ControlError> {
        let found = self.database.since(Some(self.revision())).await?;
        self.advance(found).await
    }

    async fn advance(self: &Arc<Self>, found: Found) -> Result<(), ControlError> {
        let known = self.current.load_full();
        if found.revision < known.revision {
            return Err(ControlError::WentBack {
                place: self.database.place().to_owned(),
                known: known.revision,
                found: found.revision,
            });
        }
        self.heard();
        if found.revision == known.revision {
            return Ok(());
        }
        let inner = Arc::clone(self);
        let reading = self.blocking(move || {
            let objects = row::open(&inner.sealer, found.rows, inner.database.place())?;
            let base = if found.is_whole { Arc::default() } else { known };
            Ok(base.with_objects(found.revision, objects))
        });
        self.publish(reading.await?);
        Ok(())
    }

    pub(super) async fn prune(&self, kept: u64) -> Result<u64, ControlError> {
        match self.revision().checked_sub(kept) {
            None | Some(0) => Ok(0),
            Some(to) => self.database.prune(to).await,
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.current.load().revision
    }

    pub(super) async fn close(&self) {
        // A commit under way is waited for.
        let _turn = Arc::clone(&self.turn).lock_owned().await;
        self.database.close().await;
    }

    fn publish(&self, state: State) {
        let revision = state.revision;
        self.current.store(Arc::new(state));
        self.changes.send_replace(revision);
    }

    fn heard(&self) {
        self.heard_at.store(self.clock.now().as_millis(), Ordering::Relaxed);
    }

    /// Sealing and reading of many objects takes milliseconds that no other task should wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let done = self.tasks.runtime().spawn_blocking(work).await;
        // Only a runtime that ends abandons it.
        done.unwrap_or(Err(ControlError::Closed))
    }
}

/// The cipher with the key that the database's rows are sealed with; a new database gets a new key.
async fn sealer(config: &Config, database: &Database) -> Result<Sealer, ControlError> {
    let place = || database.place().to_owned();
    let noted = database.key_id().await?;
    let secret = match (key::load(&config.key).await?, &noted) {
        (Some(secret), _) => secret,
        // A new key would open nothing of what is there.
        (None, Some(_)) => {
            return Err(ControlError::KeyMissing { key: config.key.to_string(), place: place() });
        }
        (None, None) => key::create(&config.key).await?,
    };
    let sealer = Sealer::new(&secret);
    let noted = match noted {
        Some(noted) => Some(noted),
        None => {
            database.note_key_id(sealer.key_id()).await?;
            // Another process may have been faster, with another key.
            database.key_id().await?
        }
    };
    if noted.as_deref() != Some(sealer.key_id().as_str()) {
        return Err(ControlError::WrongKey { key: config.key.to_string(), place: place() });
    }
    Ok(sealer)
}
