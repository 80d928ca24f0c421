//! How does HTTP/2 get out in few TLS records and system calls?
//!
//! h2 flushes after almost every frame; over TLS each flush would be a record and a system call.
//! [`Gathering`] collects what a connection writes while it is polled and hands it on when the
//! poll is over: HTTP/2 hits cost less than half. Large writes go through at once, because copying
//! them would cost more than it saves, and the buffer is given back while the connection idles.
//!
//! hyper owns the stream and we need it after each poll, hence the (never contended) mutex.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::watch::{Graceful, Vitals, bump};

/// Writes of this size are not copied.
const LARGE_WRITE_BYTES: usize = 8 * 1024;
/// Answers sent within one poll of a connection: enough to make the most of a write, few enough
/// that the worker's other connections do not wait for longer than a fraction of a millisecond.
const ANSWERS_PER_POLL: u32 = 64;
/// Collected bytes that make h2 wait.
const COLLECTED_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
struct Gather<S> {
    stream: S,
    out: Vec<u8>,
    written: usize,
    /// Bytes collected the last time: most likely as many will be the next time.
    usual: usize,
    vitals: Arc<Vitals>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            let poll = Pin::new(&mut self.stream).poll_write(cx, rest);
            let was_blocked = self.vitals.write_blocked.swap(poll.is_pending(), Ordering::Relaxed);
            let count = ready!(poll)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if was_blocked {
                bump(&self.vitals.sent);
            }
            self.written += count;
        }
        if self.written > 0 {
            self.usual = self.out.len();
        }
        self.out.clear();
        self.written = 0;
        // A TLS stream may have taken bytes that its socket did not.
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.vitals.write_blocked.store(poll.is_pending(), Ordering::Relaxed);
        poll
    }

    fn write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total >= LARGE_WRITE_BYTES || self.out.len() >= COLLECTED_BYTES_MAX {
            ready!(self.drain(cx))?;
        }
        if total >= LARGE_WRITE_BYTES {
            let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
            self.vitals.write_blocked.store(poll.is_pending(), Ordering::Relaxed);
            return poll;
        }
        if self.out.capacity() == 0 {
            // Growing from nothing to dozens of answers would copy each of them twice.
            let usual = self.usual.next_power_of_two().min(COLLECTED_BYTES_MAX);
            self.out.reserve_exact(usual.max(total));
        }
        self.out.reserve(total);
        for slice in slices {
            self.out.extend_from_slice(slice);
        }
        Poll::Ready(Ok(total))
    }
}

/// What hyper writes to and reads from.
#[derive(Debug)]
pub(super) struct GatherStream<S>(Arc<Mutex<Gather<S>>>);

impl<S> GatherStream<S> {
    pub(super) fn new(stream: S, vitals: Arc<Vitals>) -> Self {
        Self(Arc::new(Mutex::new(Gather { stream, out: Vec::new(), written: 0, usual: 0, vitals })))
    }

    /// Wraps the connection that was built on this stream.
    pub(super) fn drive<C>(&self, connection: C) -> Gathering<S, C> {
        Gathering { gather: self.0.clone(), connection, ended: false }
    }

    /// A second handle, for hyper.
    pub(super) fn handle(&self) -> Self {
        Self(self.0.clone())
    }
}

fn lock<S>(gather: &Mutex<Gather<S>>) -> MutexGuard<'_, Gather<S>> {
    gather.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + Unpin> AsyncRead for GatherStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut gather = lock(&self.0);
        let poll = Pin::new(&mut gather.stream).poll_read(cx, buf);
        if poll.is_ready() {
            bump(&gather.vitals.received);
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GatherStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Deferred to the end of the poll.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gather = lock(&self.0);
        ready!(gather.drain(cx))?;
        Pin::new(&mut gather.stream).poll_shutdown(cx)
    }
}

pin_project_lite::pin_project! {
    /// A connection whose collected bytes are written after each poll.
    pub(super) struct Gathering<S, C> {
        gather: Arc<Mutex<Gather<S>>>,
        #[pin]
        connection: C,
        ended: bool,
    }
}

impl<S, C> Future for Gathering<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Future,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if !*this.ended {
            lock(this.gather).vitals.turns.store(ANSWERS_PER_POLL, Ordering::Relaxed);
            *this.ended = this.connection.poll(cx).is_ready();
        }
        let mut gather = lock(this.gather);
        let drained = gather.drain(cx);
        let idle = gather.vitals.calls.load(Ordering::Relaxed) == 0;
        if idle && gather.out.is_empty() && gather.out.capacity() > 0 {
            gather.out = Vec::new();
        }
        match drained {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) if *this.ended => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl<S, C> Graceful for Gathering<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Graceful,
{
    fn finish(self: Pin<&mut Self>) {
        let this = self.project();
        if !*this.ended {
            this.connection.finish();
        }
    }
}
