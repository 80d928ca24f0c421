//! The connections to one host: who may open one, who may use one, who waits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderValue;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::body::RequestBody;
use super::circuit::Circuit;
use super::dial::Io;
use super::{ClientError, Config, Manner, Target};

/// Streams in flight on one HTTP/2 connection before another is opened: the least that RFC 9113
/// section 6.5.2 advises a server to allow.
const STREAMS_PER_CONNECTION: usize = 100;

/// Connections to one target.
pub struct Host {
    /// The client it belongs to.
    pub(super) client: u64,
    pub(super) target: Target,
    pub(super) manner: Manner,
    /// Made by the first connection, where it is not the client's own.
    pub(super) tls: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
    pub(super) circuit: Option<Circuit>,
    /// `None`: the host's name cannot stand in a header, so nothing can be sent.
    pub(super) header: Option<HeaderValue>,
    /// One at a time opens a connection once it is known that a single one carries many calls.
    pub(super) dialing: Semaphore,
    pub(super) speaks_http2: AtomicBool,
    connections_max: usize,
    pending_max: Option<usize>,
    idle_max: usize,
    idle_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections being opened, in use and idle.
    open: usize,
    idle_total: usize,
    /// By the thread that used them last; the newest at the end.
    idle: Vec<(ThreadTag, Vec<Idle>)>,
    http2: Vec<Http2>,
    waiting: VecDeque<oneshot::Sender<Ticket>>,
}

struct Idle {
    connection: Box<Http1>,
    since: Instant,
}

/// What a waiting call may get.
pub(super) enum Ticket {
    Connection(Box<Http1>),
    Slot(Slot),
}

/// What a call gets at once.
pub(super) enum Checkout {
    Http1(Box<Http1>),
    Http2(Http2),
    Dial(Slot),
    Wait(oneshot::Receiver<Ticket>),
    /// As many wait as may.
    Crowded {
        limit: usize,
    },
}

impl Host {
    pub(super) fn new(client: u64, target: Target, manner: Manner, config: &Config) -> Self {
        Self {
            client,
            header: target.host_header(),
            circuit: config.circuit.filter(|_| !manner.is_balanced).map(Circuit::new),
            target,
            manner,
            tls: OnceLock::new(),
            dialing: Semaphore::new(1),
            speaks_http2: AtomicBool::new(false),
            connections_max: config.connections_per_host_max.max(1),
            pending_max: config.pending_per_host_max,
            idle_max: config.idle_per_host_max,
            idle_timeout: config.idle_timeout,
            state: Mutex::new(State::default()),
        }
    }

    /// Whether forgetting it would lose something: connections, or what its circuit knows.
    pub(super) fn is_wanted(&self) -> bool {
        self.open() > 0 || self.circuit.as_ref().is_some_and(Circuit::is_disturbed)
    }

    /// Connections open or being opened.
    pub fn open(&self) -> usize {
        self.lock().open
    }

    /// Unused connections that are kept.
    pub fn idle(&self) -> usize {
        self.lock().idle_total
    }

    /// A live connection, the right to open one, or a place in the queue.
    pub(super) fn checkout(self: &Arc<Self>) -> Checkout {
        loop {
            let candidate = {
                let mut state = self.lock();
                if let Some(http2) = state.best_http2(self.connections_max) {
                    return Checkout::Http2(http2);
                }
                let full = state.open >= self.connections_max;
                match state.take_idle(ThreadTag::current(), full) {
                    Some(idle) => idle,
                    None if full => {
                        let (sender, receiver) = oneshot::channel();
                        state.waiting.retain(|waiter| !waiter.is_closed());
                        if let Some(limit) = self.pending_max
                            && state.waiting.len() >= limit
                        {
                            return Checkout::Crowded { limit };
                        }
                        state.waiting.push_back(sender);
                        return Checkout::Wait(receiver);
                    }
                    None => {
                        state.open += 1;
                        return Checkout::Dial(Slot(Some(Arc::downgrade(self))));
                    }
                }
            };
            // Outside the lock, because dropping a connection takes it again.
            let mut connection = candidate.connection;
            if candidate.since.elapsed() < self.idle_timeout && connection.is_usable() {
                return Checkout::Http1(connection);
            }
        }
    }

    /// Keeps a connection whose answer has been read to its end, if it can be used again.
    pub(super) fn give_back(mut connection: Box<Http1>) {
        if !connection.is_usable() {
            return;
        }
        let Some(host) = connection.slot.host() else { return };
        let mut surplus = Some(connection);
        loop {
            let mut state = host.lock();
            let Some(waiter) = state.waiting.pop_front() else {
                if state.idle_total < host.idle_max
                    && let Some(connection) = surplus.take()
                {
                    state.keep(ThreadTag::current(), connection);
                }
                break;
            };
            drop(state);
            let Some(connection) = surplus.take() else { return };
            match waiter.send(Ticket::Connection(connection)) {
                Ok(()) => return,
                Err(Ticket::Connection(connection)) => surplus = Some(connection),
                Err(Ticket::Slot(_)) => return,
            }
        }
    }

    /// Lets all calls use a new HTTP/2 connection, also those that wait.
    pub(super) fn add_http2(&self, http2: Http2) {
        self.speaks_http2.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        state.http2.push(http2);
        // They look again when their sender is gone.
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// True when a call can join an open HTTP/2 connection.
    pub(super) fn has_room_http2(&self) -> bool {
        self.lock().best_http2(self.connections_max).is_some()
    }

    /// Closes what has been idle for too long or was closed by the backend.
    pub(super) fn sweep(&self, now: Instant) {
        let (old, looked_at) = {
            let mut state = self.lock();
            let old = state.take_http2(|http2| {
                http2.sender.is_closed()
                    || http2.in_flight() == 0
                        && now.duration_since(http2.used()) >= self.idle_timeout
            });
            (old, state.take_all_idle())
        };
        drop(old);
        for (tag, idle) in looked_at {
            for mut idle in idle {
                let fresh = now.duration_since(idle.since) < self.idle_timeout;
                if fresh && idle.connection.is_usable() {
                    self.lock().keep_since(tag, idle);
                }
            }
        }
    }

    /// Closes every unused connection.
    pub(super) fn close_idle(&self) {
        let (http2, idle) = {
            let mut state = self.lock();
            (state.take_http2(|_| true), state.take_all_idle())
        };
        drop(http2);
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A connection with room; when no more may be opened, the one with the fewest calls.
    fn best_http2(&mut self, connections_max: usize) -> Option<Http2> {
        if self.http2.is_empty() {
            return None;
        }
        let full = self.open >= connections_max;
        let tag = ThreadTag::current();
        let best =
            self.http2.iter().filter(|http2| !http2.sender.is_closed()).min_by_key(|http2| {
                (http2.in_flight() >= STREAMS_PER_CONNECTION, http2.tag != tag, http2.in_flight())
            })?;
        (full || best.in_flight() < STREAMS_PER_CONNECTION).then(|| best.share())
    }

    fn take_http2(&mut self, unwanted: impl Fn(&Http2) -> bool) -> Vec<Http2> {
        self.http2.extract_if(.., |http2| unwanted(http2)).collect()
    }

    fn take_idle(&mut self, tag: ThreadTag, any_thread: bool) -> Option<Idle> {
        if self.idle_total == 0 {
            return None;
        }
        let own = self.idle.iter_mut().find(|(other, _)| *other == tag);
        let mut found = own.and_then(|(_, idle)| idle.pop());
        if found.is_none() && any_thread {
            found = self.idle.iter_mut().find_map(|(_, idle)| idle.pop());
        }
        if found.is_some() {
            self.idle_total -= 1;
        }
        found
    }

    fn take_all_idle(&mut self) -> Vec<(ThreadTag, Vec<Idle>)> {
        self.idle_total = 0;
        std::mem::take(&mut self.idle)
    }

    fn keep(&mut self, tag: ThreadTag, connection: Box<Http1>) {
        self.keep_since(tag, Idle { connection, since: Instant::now() });
    }

    fn keep_since(&mut self, tag: ThreadTag, idle: Idle) {
        self.idle_total += 1;
        match self.idle.iter_mut().find(|(other, _)| *other == tag) {
            Some((_, kept)) => kept.push(idle),
            None => self.idle.push((tag, vec![idle])),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Host").field("target", &self.target).finish_non_exhaustive()
    }
}

/// One of a host's connections; given on to a waiting call when dropped.
pub(super) struct Slot(Option<Weak<Host>>);

impl Slot {
    fn host(&self) -> Option<Arc<Host>> {
        self.0.as_ref().and_then(Weak::upgrade)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(host) = self.host() else { return };
        loop {
            let mut state = host.lock();
            let Some(waiter) = state.waiting.pop_front() else {
                state.open = state.open.saturating_sub(1);
                return;
            };
            drop(state);
            match waiter.send(Ticket::Slot(Slot(self.0.take()))) {
                Ok(()) => return,
                Err(Ticket::Slot(mut slot)) => self.0 = slot.0.take(),
                Err(Ticket::Connection(_)) => return,
            }
        }
    }
}

/// An HTTP/1.1 connection without a task: whoever holds it polls it.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<RequestBody>,
    /// `None` once it has ended.
    connection: Option<http1::Connection<TokioIo<Io>, RequestBody>>,
    /// Set by the socket when a byte arrives.
    heard: Arc<AtomicBool>,
    slot: Slot,
}

impl Http1 {
    pub(super) fn new(
        sender: http1::SendRequest<RequestBody>,
        connection: http1::Connection<TokioIo<Io>, RequestBody>,
        heard: Arc<AtomicBool>,
        slot: Slot,
    ) -> Self {
        Self { sender, connection: Some(connection), heard, slot }
    }

    /// Reads and writes what can be read and written. True when the connection still lives.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match Pin::new(connection).poll(cx) {
            Poll::Pending => true,
            // Its errors reach the call through the answer or the body it waits for.
            Poll::Ready(_) => {
                self.connection = None;
                false
            }
        }
    }

    /// Polls once, to see whether the backend hung up and the last exchange is over on both sides.
    /// The waker that does nothing takes the place of the last call's, whose task it kept alive.
    fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }

    pub(super) fn forget_heard(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

/// A handle on an HTTP/2 connection, whose task reads and writes it.
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<RequestBody>,
    tag: ThreadTag,
    usage: Arc<Usage>,
}

struct Usage {
    in_flight: AtomicUsize,
    used: Mutex<Instant>,
    _slot: Slot,
}

impl Http2 {
    pub(super) fn new(sender: http2::SendRequest<RequestBody>, slot: Slot) -> Self {
        let used = Mutex::new(Instant::now());
        let usage = Arc::new(Usage { in_flight: AtomicUsize::new(0), used, _slot: slot });
        Self { sender, tag: ThreadTag::current(), usage }
    }

    pub(super) fn share(&self) -> Self {
        Self { sender: self.sender.clone(), tag: self.tag, usage: self.usage.clone() }
    }

    /// Counts a call until the guard is dropped, which also ends the sending of its body.
    pub(super) fn begin(&self, body: RequestBody) -> (InFlight, RequestBody) {
        self.usage.in_flight.fetch_add(1, Ordering::Relaxed);
        let (leash, body) = body.leashed();
        (InFlight { usage: self.usage.clone(), _leash: leash }, body)
    }

    fn in_flight(&self) -> usize {
        self.usage.in_flight.load(Ordering::Relaxed)
    }

    fn used(&self) -> Instant {
        *self.usage.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on an HTTP/2 connection.
pub(super) struct InFlight {
    usage: Arc<Usage>,
    _leash: Option<oneshot::Sender<Infallible>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.usage.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.usage.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Names the thread, so that a connection is reused where its socket is woken.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ThreadTag(usize);

impl ThreadTag {
    fn current() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static TAG: ThreadTag = ThreadTag(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        TAG.with(|tag| *tag)
    }
}

/// The error of a host whose name cannot be sent.
pub(super) fn unspeakable(target: &Target) -> ClientError {
    ClientError::Resolve {
        host: target.host.clone(),
        cause: Arc::from("the name cannot stand in a header"),
    }
}
