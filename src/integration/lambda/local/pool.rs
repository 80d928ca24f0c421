//! Which process takes which invocation?
//!
//! Processes ask for work; invocations wait for processes. Whoever of the two comes first is kept
//! here, under one lock that is held for a few list operations. Of several idle processes the one
//! that worked last is taken: the others grow old and end, and the pool shrinks to what is needed.
//!
//! A process is at home where the caller it was started for is, and serves callers from there first:
//! between two threads an invocation wakes each of them twice, which costs as much as the rest of it.
//!
//! New code is a new generation: idle processes of the old one are let go at once, busy ones when
//! they ask for their next invocation.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use crate::integration::lambda::{InvokeError, Invoked};

/// Invocations of one function that wait for a process; ours.
pub(super) const WAITING_MAX: usize = 1_000;
/// Processes of one function that start at the same time: more only slow each other down.
const STARTS_AT_ONCE: usize = 16;
/// The wait before a process is started after one that came to nothing; doubled each time.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// One invocation on its way to a process.
#[derive(Debug)]
pub(super) struct Job {
    /// Request id.
    pub(super) id: Arc<str>,
    pub(super) payload: Bytes,
    /// Whether the caller takes the answer as it is made.
    pub(super) streams: bool,
    /// ARN as the function is told it, with the qualifier.
    pub(super) arn: HeaderValue,
    pub(super) trace_id: HeaderValue,
    /// JSON.
    pub(super) client_context: Option<HeaderValue>,
    /// Where its caller waits.
    pub(super) home: Handle,
    pub(super) reply: oneshot::Sender<Result<Invoked, InvokeError>>,
}

/// A package as it was at some time, ready to run.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) root: PathBuf,
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) struct Pool {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    code: Option<Arc<Code>>,
    /// The last one worked last.
    idle: Vec<Idle>,
    waiting: VecDeque<Job>,
    /// Processes, those that start included.
    alive: usize,
    starting: usize,
    /// Processes in a row that ended before they asked for work.
    failures: u32,
    not_before: Option<Instant>,
    is_closed: bool,
}

#[derive(Debug)]
struct Idle {
    process: u64,
    home: runtime::Id,
    give: oneshot::Sender<Job>,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// An idle process has it.
    Taken,
    Waits,
}

/// What a process that asks for work gets.
#[derive(Debug)]
pub(super) enum Offer {
    Job(Box<Job>),
    Wait(oneshot::Receiver<Job>),
    /// Its code is old, or everything stops.
    Retire,
}

/// Processes to start now.
#[derive(Debug)]
pub(super) struct Starts {
    /// Where each of them shall be at home.
    pub(super) homes: Vec<Handle>,
    pub(super) code: Arc<Code>,
    pub(super) not_before: Option<Instant>,
}

/// How a process ended, as far as the pool cares.
#[derive(Debug)]
pub(super) enum Ending {
    /// It had asked for work at least once.
    Worked,
    /// It was told to end before it asked for work.
    Stopped,
    /// It never asked for work.
    Failed(Failure),
}

impl State {
    /// The process at home there that worked last, or else the last of all.
    fn take_idle(&mut self, home: runtime::Id) -> Option<Idle> {
        let near = self.idle.iter().rposition(|idle| idle.home == home);
        match near {
            Some(index) => Some(self.idle.remove(index)),
            None => self.idle.pop(),
        }
    }
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Hands the job to an idle process or keeps it until one asks.
    ///
    /// # Errors
    /// Too many wait already, everything stops, or nobody is free and the job may not wait.
    pub(super) fn submit(&self, mut job: Job, may_wait: bool) -> Result<Submitted, InvokeError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(stopping());
        }
        while let Some(idle) = state.take_idle(job.home.id()) {
            // A process that has just gone gives the job back.
            match idle.give.send(job) {
                Ok(()) => return Ok(Submitted::Taken),
                Err(back) => job = back,
            }
        }
        let to_come = self.limit.saturating_sub(state.alive) + state.starting;
        let no_process = state.waiting.len() >= to_come;
        if state.waiting.len() >= WAITING_MAX || (!may_wait && no_process) {
            let limit = self.limit;
            return Err(InvokeError::Throttled(format!("all {limit} processes are busy").into()));
        }
        state.waiting.push_back(job);
        Ok(Submitted::Waits)
    }

    /// Takes a job back that no process has begun; `false` when one has.
    pub(super) fn withdraw(&self, id: &str) -> bool {
        let mut state = self.lock();
        let found = state.waiting.iter().position(|job| &*job.id == id);
        found.and_then(|index| state.waiting.remove(index)).is_some()
    }

    /// As [`Pool::withdraw`], but not where a process is on its way to take it: a cold start is no
    /// queue.
    pub(super) fn withdraw_from_queue(&self, id: &str) -> bool {
        let mut state = self.lock();
        let found = state.waiting.iter().position(|job| &*job.id == id);
        let found = found.filter(|index| *index >= state.starting);
        found.and_then(|index| state.waiting.remove(index)).is_some()
    }

    /// A job that its process could not take after all goes to the front.
    pub(super) fn give_back(&self, job: Job) {
        let mut state = self.lock();
        if !state.is_closed {
            state.waiting.push_front(job);
        }
    }

    /// A process asks for work.
    pub(super) fn offer(&self, process: u64, generation: u64, home: &Handle) -> Offer {
        let mut state = self.lock();
        if state.is_closed || state.code.as_ref().is_none_or(|code| code.generation != generation) {
            return Offer::Retire;
        }
        while let Some(job) = state.waiting.pop_front() {
            // Nobody waits any more for one whose caller has gone.
            if !job.reply.is_closed() {
                return Offer::Job(Box::new(job));
            }
        }
        let (give, wait) = oneshot::channel();
        // A process has one place: if it asks again, its earlier question is void.
        state.idle.retain(|idle| idle.process != process && !idle.give.is_closed());
        state.idle.push(Idle { process, home: home.id(), give });
        Offer::Wait(wait)
    }

    /// A process has asked for work for the first time.
    pub(super) fn has_started(&self) {
        let mut state = self.lock();
        state.starting = state.starting.saturating_sub(1);
        state.failures = 0;
        state.not_before = None;
    }

    /// Takes an idle process out, so that it gets no more work; `false` when it is not idle.
    pub(super) fn retire(&self, process: u64) -> bool {
        let mut state = self.lock();
        let found = state.idle.iter().position(|idle| idle.process == process);
        found.map(|index| state.idle.remove(index)).is_some()
    }

    /// A process is gone. After one that never asked for work the invocation it was started for is
    /// told so, and all others that wait as well where no other process could take them.
    pub(super) fn has_ended(&self, process: u64, ending: Ending, now: Instant) {
        let mut state = self.lock();
        state.alive = state.alive.saturating_sub(1);
        state.idle.retain(|idle| idle.process != process);
        if !matches!(ending, Ending::Worked) {
            state.starting = state.starting.saturating_sub(1);
        }
        let Ending::Failed(failure) = ending else { return };
        let wait = BACK_OFF_FIRST.saturating_mul(1 << state.failures.min(16)).min(BACK_OFF_MAX);
        state.failures = state.failures.saturating_add(1);
        // The first failure may have been the package half written.
        state.not_before = (state.failures > 1).then(|| now + wait);
        let told = if state.alive == 0 { state.waiting.len() } else { 1 };
        let told = told.min(state.waiting.len());
        let jobs: Vec<Job> = state.waiting.drain(..told).collect();
        drop(state);
        for job in jobs {
            let answer = failure.invoked(&job.id);
            // The caller may have gone.
            drop(job.reply.send(Ok(answer)));
        }
    }

    /// How many processes the waiting invocations are worth. They count as alive from here on.
    pub(super) fn starts(&self) -> Option<Starts> {
        let mut state = self.lock();
        let code = state.code.clone().filter(|_| !state.is_closed)?;
        // After a failure one process tries alone.
        let at_once = if state.failures > 0 { 1 } else { STARTS_AT_ONCE };
        let wanted = state.waiting.len().min(at_once).saturating_sub(state.starting);
        let count = wanted.min(self.limit.saturating_sub(state.alive));
        if count == 0 {
            return None;
        }
        let fresh = state.waiting.iter().skip(state.starting).take(count);
        let homes = fresh.map(|job| job.home.clone()).collect();
        state.alive += count;
        state.starting += count;
        Some(Starts { homes, code, not_before: state.not_before })
    }

    /// The code is this from now on; gives its generation.
    pub(super) fn renew(&self, root: PathBuf) -> u64 {
        let mut state = self.lock();
        let generation = state.code.as_ref().map_or(1, |code| code.generation + 1);
        state.code = Some(Arc::new(Code { root, generation }));
        // Dropping their places tells them to end.
        state.idle.clear();
        state.failures = 0;
        state.not_before = None;
        generation
    }

    /// There is no code to run: whoever waits for it is told why.
    pub(super) fn refuse_all(&self, error: &InvokeError) {
        let jobs = std::mem::take(&mut self.lock().waiting);
        for job in jobs {
            drop(job.reply.send(Err(error.clone())));
        }
    }

    pub(super) fn has_code(&self) -> bool {
        self.lock().code.is_some()
    }

    /// Nothing is begun any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.idle.clear();
        drop(state);
        self.refuse_all(&stopping());
    }

    /// The list operations under the lock cannot panic half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn stopping() -> InvokeError {
    InvokeError::Network("the gateway stops".into())
}
