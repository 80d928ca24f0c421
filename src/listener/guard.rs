//! May hyper see these bytes?
//!
//! A reader between the transport and hyper that lets through only what [`Scanner`] approved. A
//! head is passed on when it is complete, so hyper never holds half of a head that turns out bad.
//!
//! When a head is refused, it and everything behind it is swallowed and hyper is given a request
//! with a method no client can utter. Answers to requests pipelined before it thus stay in order,
//! and the refusal is written, framed and followed by a close like any other answer. When a body
//! breaks its framing, its reader gets an error and the connection ends after the reply.
//!
//! A complete head in one read, the usual case, is scanned in place and never copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::Refused;
use crate::listener::head::{HeadLimits, REFUSED_METHOD, Scanner, Verdict};
use crate::listener::watch::{Reading, Vitals, bump};

/// Bytes a refused client may still send before it is cut off. Closing with unread bytes would
/// make the kernel reset the connection and the client lose our answer (RFC 9112 section 9.6).
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// The reading half is guarded, the writing half is only observed.
#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    scanner: Scanner,
    vitals: Arc<Vitals>,
    /// An incomplete head, or approved bytes that did not fit; mostly empty and unallocated.
    held: Vec<u8>,
    /// Bytes of `held` that may be passed on.
    approved: usize,
    /// Bytes of `held` already passed on.
    passed: usize,
    end: End,
    lingered: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    /// A head was refused; what the client sends is of no interest.
    Refused,
    /// A body broke its framing.
    Broken(Refused),
}

impl<S> Guard<S> {
    pub(super) fn new(stream: S, limits: HeadLimits, vitals: Arc<Vitals>) -> Self {
        Self {
            stream,
            scanner: Scanner::new(limits),
            vitals,
            held: Vec::new(),
            approved: 0,
            passed: 0,
            end: End::Open,
            lingered: 0,
        }
    }

    /// Passes on approved bytes that were held back.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.held.get(self.passed..self.approved).unwrap_or_default();
        let rest = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(rest);
        self.passed += rest.len();
        if self.passed == self.approved {
            self.held.drain(..self.approved);
            self.approved = 0;
            self.passed = 0;
            if self.held.is_empty() {
                self.held = Vec::new();
            }
        }
    }

    /// Looks at bytes that have just come to lie behind `start` in `buf`.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let fresh = buf.filled().get(start..).unwrap_or_default();
        let verdict = if self.held.is_empty() {
            let (good, verdict) = self.scanner.scan(fresh);
            if verdict.is_none() {
                self.held.extend_from_slice(fresh.get(good..).unwrap_or_default());
            }
            buf.set_filled(start + good);
            verdict
        } else {
            self.held.extend_from_slice(fresh);
            buf.set_filled(start);
            let (good, verdict) = self.scanner.scan(&self.held);
            self.approved = good;
            if verdict.is_some() {
                self.held.truncate(good);
            }
            verdict
        };
        match verdict {
            None => {}
            Some(Verdict::Head(reason)) => {
                self.end = End::Refused;
                // The first reason counts; there is only one per connection.
                self.vitals.refused.get_or_init(|| reason);
                self.held.extend_from_slice(REFUSED_METHOD.as_bytes());
                self.held.extend_from_slice(b" / HTTP/1.1\r\nhost: _\r\nconnection: close\r\n\r\n");
                self.approved = self.held.len();
            }
            Some(Verdict::Body(reason)) => {
                self.vitals.refused.get_or_init(|| reason);
                self.end = End::Broken(reason);
            }
        }
        self.vitals.heads.store(self.scanner.heads(), Ordering::Relaxed);
        let spellings = self.scanner.take_spellings();
        if !spellings.is_empty() {
            self.vitals.keep_spellings(spellings);
        }
    }

    fn note_waiting(&self) {
        let reading = if self.end != End::Open {
            Reading::Between
        } else if self.scanner.in_body() {
            Reading::Body
        } else if self.held.is_empty() {
            Reading::Between
        } else {
            Reading::Head
        };
        self.vitals.set_reading(reading);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        let start = buf.filled().len();
        loop {
            if guard.passed < guard.approved {
                guard.give(buf);
                return Poll::Ready(Ok(()));
            }
            match guard.end {
                End::Open => {}
                // The stand-in request is on its way; its answer closes the connection, and until
                // then there is nothing to read.
                End::Refused => return Poll::Pending,
                End::Broken(reason) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
                }
            }
            match Pin::new(&mut guard.stream).poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() == start => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(err)) => return Poll::Ready(Err(err)),
                Poll::Pending => {
                    guard.note_waiting();
                    return Poll::Pending;
                }
            }
            bump(&guard.vitals.received);
            guard.vitals.set_reading(Reading::Between);
            guard.inspect(buf, start);
            if buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    fn note_write<T>(&self, poll: Poll<T>) -> Poll<T> {
        let blocked = poll.is_pending();
        if !blocked {
            bump(&self.vitals.sent);
        }
        self.vitals.write_blocked.store(blocked, Ordering::Relaxed);
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let poll = Pin::new(&mut guard.stream).poll_write(cx, bytes);
        guard.note_write(poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let poll = Pin::new(&mut guard.stream).poll_write_vectored(cx, slices);
        guard.note_write(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        let poll = Pin::new(&mut guard.stream).poll_flush(cx);
        if poll.is_pending() {
            guard.vitals.write_blocked.store(true, Ordering::Relaxed);
        } else {
            guard.vitals.write_blocked.store(false, Ordering::Relaxed);
        }
        poll
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        ready!(Pin::new(&mut guard.stream).poll_shutdown(cx))?;
        if guard.end == End::Open && !guard.scanner.in_body() {
            return Poll::Ready(Ok(()));
        }
        guard.vitals.write_blocked.store(false, Ordering::Relaxed);
        guard.vitals.set_reading(Reading::Linger);
        let mut scratch = [0; 4096];
        while guard.lingered < LINGER_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut guard.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => guard.lingered += buf.filled().len(),
                // Gone, one way or another; the answer was sent.
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
