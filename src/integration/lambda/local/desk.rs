//! What one process is doing: the state that its supervisor and its Runtime API share.
//!
//! The Runtime API moves it on (the process asks, gets, answers), the supervisor looks at it (is it
//! late, what is its answer when it is dead). One short lock; no queue between the two, since a
//! message more per invocation is what a warm call would feel.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::function::Function;
use super::log::{Entry, Millis, Report};
use super::pool::Job;
use crate::integration::lambda::{InvokeError, Invoked};

type Reply = oneshot::Sender<Result<Invoked, InvokeError>>;

/// One process.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) function: Arc<Function>,
    /// Unique among the function's processes.
    pub(super) process: u64,
    pub(super) generation: u64,
    /// Where its connections are served.
    pub(super) home: Handle,
    /// Wakes the supervisor when there is something new to watch.
    pub(super) changed: Notify,
    /// The supervisor looks again within moments, so that it need not be told of each invocation.
    is_watched: AtomicBool,
    /// The process shall end.
    pub(super) retired: CancellationToken,
    /// The process has ended: connections let go.
    pub(super) over: CancellationToken,
    /// Largest resident size seen, KiB.
    pub(super) peak_kib: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// How long it took to ask for work, until the first report has said so.
    init: Option<Duration>,
    began: Instant,
    /// What `init/error` said.
    init_failure: Option<Failure>,
    /// The question for work that is open; a newer one makes it void.
    asking: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum Stage {
    Starting,
    Idle { since: Instant },
    Busy(Busy),
}

/// An invocation that the process has been given.
#[derive(Debug)]
struct Busy {
    id: Arc<str>,
    streams: bool,
    began: Instant,
    /// Until it is answered, or while the answer is being read.
    reply: Option<Reply>,
    /// Whether a connection is reading the answer, or has read it.
    is_answered: bool,
}

/// A question for work.
#[derive(Debug)]
pub(super) struct Question {
    /// Ends when the process asks anew.
    pub(super) superseded: oneshot::Receiver<()>,
    /// The process has just started.
    pub(super) is_first: bool,
}

/// What the supervisor has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Starting { since: Instant },
    Idle { since: Instant },
    Busy { since: Instant },
}

/// The Runtime API was used out of turn.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum DeskError {
    #[error("not now")]
    OutOfTurn,
    #[error("another request id is in work")]
    UnknownId,
}

impl Desk {
    pub(super) fn new(
        function: Arc<Function>,
        process: u64,
        generation: u64,
        home: Handle,
        now: Instant,
    ) -> Self {
        Self {
            function,
            process,
            generation,
            home,
            changed: Notify::new(),
            is_watched: AtomicBool::new(false),
            retired: CancellationToken::new(),
            over: CancellationToken::new(),
            peak_kib: AtomicU64::new(0),
            state: Mutex::new(State {
                stage: Stage::Starting,
                init: None,
                began: now,
                init_failure: None,
                asking: None,
            }),
        }
    }

    /// The process asks for work, which ends the invocation before.
    ///
    /// # Errors
    /// It owes an answer.
    pub(super) fn ask(&self, now: Instant) -> Result<Question, DeskError> {
        let mut state = self.lock();
        let is_first = matches!(state.stage, Stage::Starting);
        match &state.stage {
            Stage::Busy(busy) if busy.reply.is_some() => return Err(DeskError::OutOfTurn),
            Stage::Busy(_) => self.report(&mut state, now, None),
            Stage::Starting => {
                state.init = Some(now - state.began);
                self.function.pool.has_started();
            }
            Stage::Idle { .. } => {}
        }
        state.stage = Stage::Idle { since: now };
        let (void, superseded) = oneshot::channel();
        // Dropping the sender of an earlier question tells it that it is void.
        state.asking = Some(void);
        drop(state);
        Ok(Question { superseded, is_first })
    }

    /// The process gets work; its payload and headers have been taken out.
    ///
    /// # Errors
    /// It is at work already; the job comes back.
    pub(super) fn begin(&self, job: Job, now: Instant) -> Result<(), Box<Job>> {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Idle { .. }) {
            return Err(Box::new(job));
        }
        self.function.added(Entry::Start(Arc::clone(&job.id)));
        state.stage = Stage::Busy(Busy {
            id: job.id,
            streams: job.streams,
            began: now,
            reply: Some(job.reply),
            is_answered: false,
        });
        drop(state);
        if !self.is_watched.load(Ordering::SeqCst) {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// A connection is about to read the answer.
    ///
    /// # Errors
    /// Nobody asked, or not for this.
    pub(super) fn answer(self: &Arc<Self>, id: &str) -> Result<Answering, DeskError> {
        let mut state = self.lock();
        let Stage::Busy(busy) = &mut state.stage else { return Err(DeskError::OutOfTurn) };
        if *busy.id != *id {
            return Err(DeskError::UnknownId);
        }
        if busy.is_answered {
            return Err(DeskError::OutOfTurn);
        }
        busy.is_answered = true;
        let (id, streams) = (Arc::clone(&busy.id), busy.streams);
        drop(state);
        Ok(Answering { desk: Arc::clone(self), id, streams, is_done: false })
    }

    /// The process cannot begin.
    ///
    /// # Errors
    /// It has begun long ago.
    pub(super) fn fail_init(&self, failure: Failure) -> Result<(), DeskError> {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Starting) {
            return Err(DeskError::OutOfTurn);
        }
        state.init_failure = Some(failure);
        drop(state);
        self.retired.cancel();
        Ok(())
    }

    /// Whether it has said why it cannot begin.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().init_failure.is_some()
    }

    /// Whether somebody waits for its answer.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(&self.lock().stage, Stage::Busy(busy) if busy.reply.is_some())
    }

    /// What the supervisor has to look after. One that is at work it sees again within moments; for one
    /// that is idle it has to be woken.
    pub(super) fn watch(&self) -> Watch {
        let state = self.lock();
        self.is_watched.store(!matches!(state.stage, Stage::Idle { .. }), Ordering::SeqCst);
        match &state.stage {
            Stage::Starting => Watch::Starting { since: state.began },
            Stage::Idle { since } => Watch::Idle { since: *since },
            Stage::Busy(busy) => Watch::Busy { since: busy.began },
        }
    }

    /// The process is dead and its connections are gone. Whoever still waits for its answer is told.
    /// Gives what is to be told to those who wait for its start, if it never began.
    pub(super) fn close(&self, failure: &Failure, now: Instant) -> Option<Failure> {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Starting) {
            let failure = state.init_failure.take().unwrap_or_else(|| failure.clone());
            let took = Millis(now - state.began);
            self.function.added(Entry::Text(format!(
                "INIT_REPORT Init Duration: {took} ms\tPhase: init\tStatus: error\t\
                 Error Type: {}",
                failure.kind()
            )));
            return Some(failure);
        }
        if let Stage::Busy(busy) = &mut state.stage {
            if let Some(reply) = busy.reply.take() {
                self.function.added(Entry::Text(failure.message(&busy.id)));
                // The caller may have gone.
                drop(reply.send(Ok(failure.invoked(&busy.id))));
            }
            self.report(&mut state, now, Some(failure));
        }
        state.stage = Stage::Idle { since: now };
        None
    }

    /// END and REPORT of the invocation that was in work.
    fn report(&self, state: &mut State, now: Instant, failure: Option<&Failure>) {
        let Stage::Busy(busy) = &state.stage else { return };
        let report = Report {
            id: Arc::clone(&busy.id),
            took: now - busy.began,
            memory_mb: self.function.config.memory_mb,
            used_mb: self.peak_kib.load(Ordering::Relaxed).div_ceil(1024),
            init: state.init.take(),
            failure: failure.cloned(),
        };
        self.function.added(Entry::End(Arc::clone(&report.id)));
        self.function.added(Entry::Report(Box::new(report)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to answer one invocation. Dropped without an answer it leaves that to the supervisor.
#[derive(Debug)]
pub(super) struct Answering {
    desk: Arc<Desk>,
    pub(super) id: Arc<str>,
    pub(super) streams: bool,
    is_done: bool,
}

impl Answering {
    pub(super) fn finish(mut self, answer: Invoked) {
        self.is_done = true;
        let mut state = self.desk.lock();
        let Stage::Busy(busy) = &mut state.stage else { return };
        let reply = if *busy.id == *self.id { busy.reply.take() } else { None };
        drop(state);
        if let Some(reply) = reply {
            // The caller may have gone.
            drop(reply.send(Ok(answer)));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.desk.lock();
        if let Stage::Busy(busy) = &mut state.stage
            && *busy.id == *self.id
        {
            busy.is_answered = false;
        }
    }
}
