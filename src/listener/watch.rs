//! Is this connection still alive, and is the peer quick enough to keep it?
//!
//! One lazily reset timer per connection serves all deadlines (head, body, reply, idle): the
//! guard and the writers leave marks in [`Vitals`], and after each poll of the connection [`watch`]
//! looks whether they moved. A call thus costs no timer.
//!
//! Connections are also entered in a [`Roll`] per worker, so that a drain can reach the idle ones
//! without each of them polling a cancellation token on every wake-up.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::listener::{Limits, Refused};
use crate::model::quotas;

/// How long a refused client may take to read its answer, and a closing one to say goodbye.
const LINGER: Duration = Duration::from_secs(2);

/// Marks a connection's parts leave for the watch. All in one task or its children; atomics only
/// because futures must be `Send`.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    /// Set once, when the guard refuses.
    pub(super) refused: OnceLock<Refused>,
    reading: AtomicU8,
    /// Whether the transport did not take our bytes.
    pub(super) write_blocked: AtomicBool,
    /// Heads completed.
    pub(super) heads: AtomicU32,
    /// Requests that hyper has handed over (HTTP/1.1).
    served: AtomicU32,
    /// Whether there are spellings.
    is_spelled: AtomicBool,
    /// Names of heads that hyper has not handed over yet, by the head's number. hyper takes no more
    /// heads than its buffer holds.
    spellings: Mutex<VecDeque<(u32, Bytes)>>,
    /// Grows with bytes that came.
    pub(super) received: AtomicU32,
    /// Grows with bytes or frames the client took.
    pub(super) sent: AtomicU32,
    /// Calls in flight; over HTTP/1.1 those that were not answered at once.
    pub(super) calls: AtomicU32,
    /// Replies with a frame that flow control holds back (HTTP/2).
    pub(super) held: AtomicU32,
    /// Finish what is in flight and close.
    pub(super) closing: AtomicBool,
    /// The newest HTTP/2 call was answered at once.
    pub(super) answered: AtomicBool,
    /// Answers that may still be sent within this poll of an HTTP/2 connection.
    pub(super) turns: AtomicU32,
}

/// What the reading side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reading {
    /// Nothing, or the handler.
    Between = 0,
    /// The rest of a head.
    Head = 1,
    /// More of a body.
    Body = 2,
    /// The end of what a refused client still sends.
    Linger = 3,
}

/// Counts up by one, wrapping.
pub(super) fn bump(counter: &AtomicU32) {
    // One task writes, so load and store are enough and cheaper than a locked add.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl Vitals {
    pub(super) fn set_reading(&self, reading: Reading) {
        self.reading.store(reading as u8, Ordering::Relaxed);
    }

    /// Keeps how names were spelled until their request is handed over.
    pub(super) fn keep_spellings(&self, spellings: Vec<(u32, Bytes)>) {
        self.is_spelled.store(true, Ordering::Relaxed);
        self.spellings.lock().unwrap_or_else(PoisonError::into_inner).extend(spellings);
    }

    /// Counts a request that is handed over, and returns how its names were spelled.
    pub(super) fn spelling_of_next(&self) -> Option<Bytes> {
        bump(&self.served);
        if !self.is_spelled.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.served.load(Ordering::Relaxed);
        let mut spellings = self.spellings.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, names) = spellings.pop_front_if(|(of, _)| *of == number)?;
        self.is_spelled.store(!spellings.is_empty(), Ordering::Relaxed);
        Some(names)
    }

    /// Whether the newest call was answered at once and may be sent within this poll. Once a poll
    /// has had its turns, calls get tasks and so wait for those of other connections.
    pub(super) fn take_turn(&self) -> bool {
        // One task reads and writes these, as in `bump`.
        let answered = self.answered.load(Ordering::Relaxed);
        self.answered.store(false, Ordering::Relaxed);
        let turns = self.turns.load(Ordering::Relaxed);
        let may = answered && turns > 0;
        self.turns.store(turns - u32::from(may), Ordering::Relaxed);
        may
    }

    fn situation(&self) -> Situation {
        let received = self.received.load(Ordering::Relaxed);
        let sent = self.sent.load(Ordering::Relaxed);
        let reading = self.reading.load(Ordering::Relaxed);
        if reading == Reading::Linger as u8 {
            Situation::Lingering
        } else if self.write_blocked.load(Ordering::Relaxed)
            || self.held.load(Ordering::Relaxed) > 0
        {
            Situation::Sending { sent }
        } else if reading == Reading::Head as u8 {
            Situation::Head { heads: self.heads.load(Ordering::Relaxed) }
        } else if reading == Reading::Body as u8 {
            Situation::Body { received }
        } else if self.calls.load(Ordering::Relaxed) > 0 {
            Situation::Answering { received, sent }
        } else {
            Situation::Quiet { received, sent }
        }
    }
}

/// What the connection waits for, and the marks whose change restarts the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Lingering,
    Sending {
        sent: u32,
    },
    Head {
        heads: u32,
    },
    Body {
        received: u32,
    },
    /// The handler thinks, or its answer pauses.
    Answering {
        received: u32,
        sent: u32,
    },
    Quiet {
        received: u32,
        sent: u32,
    },
}

impl Situation {
    fn allowed(self, limits: &Limits) -> Duration {
        match self {
            Situation::Lingering => LINGER,
            Situation::Sending { .. } => limits.write_stall,
            Situation::Head { .. } => limits.header_timeout,
            Situation::Body { .. } => limits.body_stall,
            // Whoever answers has bounds of its own; none of them is longer than this one.
            Situation::Answering { .. } => limits.idle_timeout.max(quotas::STREAMING_TIMEOUT_MAX),
            Situation::Quiet { .. } => limits.idle_timeout,
        }
    }
}

/// How a watched connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself.
    Closed,
    /// The peer was too slow.
    TimedOut,
    /// Nothing happened for the idle timeout, which is no fault.
    Idle,
    /// The node stops.
    Stopped,
}

/// A connection that can be asked to finish.
pub(super) trait Graceful: Future {
    fn finish(self: Pin<&mut Self>);
}

pin_project_lite::pin_project! {
    /// A connection and its library's way to finish it.
    pub(super) struct Finishing<C, F> {
        #[pin]
        connection: C,
        finish: F,
    }
}

impl<C, F> Finishing<C, F> {
    pub(super) fn new(connection: C, finish: F) -> Self
    where
        F: FnMut(Pin<&mut C>),
    {
        Self { connection, finish }
    }
}

impl<C: Future, F> Future for Finishing<C, F> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        self.project().connection.poll(cx)
    }
}

impl<C: Future, F: FnMut(Pin<&mut C>)> Graceful for Finishing<C, F> {
    fn finish(self: Pin<&mut Self>) {
        let this = self.project();
        (this.finish)(this.connection);
    }
}

/// Drives a connection to its end, keeping its deadlines.
pub(super) async fn watch<C: Graceful>(
    mut connection: Pin<Box<C>>,
    vitals: &Vitals,
    limits: &Limits,
    roll: &Roll,
) -> Ending {
    let mut since = Instant::now();
    let mut seen = vitals.situation();
    let mut timer = pin!(tokio::time::sleep_until(since + seen.allowed(limits)));
    let mut finishing = false;
    // Set when the idle timeout passed: the peer was told and may close.
    let mut goodbye = false;
    let mut entry = Entry { roll, key: None };
    poll_fn(move |cx| {
        entry.sign(cx);
        if roll.stopped.load(Ordering::Relaxed) {
            return Poll::Ready(Ending::Stopped);
        }
        loop {
            let finish = goodbye
                || roll.draining.load(Ordering::Relaxed)
                || vitals.closing.load(Ordering::Relaxed);
            if finish && !finishing {
                finishing = true;
                connection.as_mut().finish();
            }
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(if goodbye { Ending::Idle } else { Ending::Closed });
            }
            if !finishing && vitals.closing.load(Ordering::Relaxed) {
                continue;
            }
            let now = vitals.situation();
            if now != seen {
                seen = now;
                since = Instant::now();
            }
            let deadline = since + if goodbye { LINGER } else { seen.allowed(limits) };
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            loop {
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if deadline <= Instant::now() {
                    break;
                }
                timer.as_mut().reset(deadline);
            }
            match seen {
                _ if goodbye => return Poll::Ready(Ending::Idle),
                Situation::Quiet { .. } | Situation::Answering { .. } => {
                    goodbye = true;
                    since = Instant::now();
                    timer.as_mut().reset(since + LINGER);
                }
                Situation::Lingering => return Poll::Ready(Ending::Closed),
                _ => return Poll::Ready(Ending::TimedOut),
            }
        }
    })
    .await
}

/// The open connections of one worker, so that stopping can reach them.
#[derive(Debug, Default)]
pub(super) struct Roll {
    draining: AtomicBool,
    stopped: AtomicBool,
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

impl Roll {
    /// Asks every connection to finish, now and in future.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Ends every connection.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Waits until no connection is open.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.open().wakers.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = self.open().wakers.values().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's line in the roll, struck out when dropped.
struct Entry<'a> {
    roll: &'a Roll,
    key: Option<u64>,
}

impl Entry<'_> {
    /// Enters the task's waker, once: a connection stays in its task.
    fn sign(&mut self, cx: &Context<'_>) {
        if self.key.is_none() {
            let mut open = self.roll.open();
            let key = open.next;
            open.next += 1;
            open.wakers.insert(key, cx.waker().clone());
            self.key = Some(key);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut open = self.roll.open();
            open.wakers.remove(&key);
            if open.wakers.is_empty() {
                self.roll.left.notify_waiters();
            }
        }
    }
}
