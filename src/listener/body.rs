//! Bodies with bounds: how much may a client send, and how slowly?
//!
//! [`Bounded`] wraps request bodies whose length or pace nobody else checks (chunked, HTTP/2,
//! HTTP/3). [`Delivered`] wraps HTTP/2 replies and notes which of them the client holds back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use crate::call::{Body, BodyError};
use crate::listener::watch::{Vitals, bump};

/// Bytes of a reply handed to h2 at once; a client must take that much per write-stall time.
const SLICE_BYTES: usize = 64 * 1024;
/// Up to h2's frame size a reply is not worth an extra frame (RFC 9113 section 6.5.2).
const SMALL_FRAME_BYTES: usize = 16 * 1024;

/// A request body that ends with an error when it grows too long or stalls.
pub(super) struct Bounded<B> {
    inner: B,
    limit: u64,
    received: u64,
    /// What the head declared, where the protocol's library does not compare (HTTP/3).
    declared: Option<u64>,
    stall: Duration,
    /// Created at the first wait; most bodies are here before they are asked for.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    ended: bool,
}

impl<B> Bounded<B> {
    pub(super) fn new(inner: B, limit: u64, stall: Duration, declared: Option<u64>) -> Self {
        Self {
            inner,
            limit,
            received: 0,
            declared,
            stall,
            timer: None,
            waiting: false,
            ended: false,
        }
    }

    /// Counts what came; refuses what is too much or not what was declared.
    fn judge(&mut self, frame: Option<&Frame<Bytes>>) -> Result<(), BodyError> {
        if let Some(data) = frame.and_then(Frame::data_ref) {
            self.received = self.received.saturating_add(data.len() as u64);
            if self.received > self.limit {
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            return match self.declared {
                Some(declared) if self.received > declared => {
                    Err(BodyError::aborted("more body than Content-Length says"))
                }
                _ => Ok(()),
            };
        }
        match self.declared {
            Some(declared) if self.received != declared => {
                Err(BodyError::aborted("less body than Content-Length says"))
            }
            _ => Ok(()),
        }
    }

    fn stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let stall = self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(tokio::time::Instant::now() + stall);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<B, E> HttpBody for Bounded<B>
where
    B: HttpBody<Data = Bytes, Error = E> + Unpin,
    E: std::fmt::Display,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let result = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending if this.stalled(cx) => Some(Err(BodyError::TimedOut)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Err(err))) => Some(Err(BodyError::aborted(err))),
            Poll::Ready(Some(Ok(frame))) => Some(this.judge(Some(&frame)).map(|()| frame)),
            Poll::Ready(None) => this.judge(None).err().map(Err),
        };
        this.waiting = false;
        this.ended = !matches!(result, Some(Ok(_)));
        Poll::Ready(result)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
            || (self.inner.is_end_stream() && self.declared.is_none_or(|n| n == self.received))
    }

    fn size_hint(&self) -> SizeHint {
        match self.declared {
            Some(declared) => SizeHint::with_exact(declared.saturating_sub(self.received)),
            None => self.inner.size_hint(),
        }
    }
}

/// A reply over HTTP/1.1 that takes its time: its call is in flight until all of it was read.
pub(super) fn during(body: Body, call: InFlight) -> Body {
    match body {
        Body::Empty | Body::Full(_) => body,
        body => Body::stream(During { body, _call: call }),
    }
}

struct During {
    body: Body,
    _call: InFlight,
}

impl HttpBody for During {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One call in flight that is not answered at once, until dropped.
pub(super) struct InFlight(Arc<Vitals>);

impl InFlight {
    pub(super) fn new(vitals: Arc<Vitals>) -> Self {
        vitals.calls.fetch_add(1, Ordering::Relaxed);
        Self(vitals)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reply's body on its way out through HTTP/2's flow control.
///
/// hyper asks for the next frame only when the client's window took the last one: between the
/// two, the client holds the reply. Large frames are handed over in slices, so that a slow client
/// shows progress and a stalled one none.
pub(super) struct Delivered {
    body: Body,
    /// What is left of a large frame.
    rest: Bytes,
    /// Set by the first large frame: the end is then told by a frame of its own, because hyper
    /// lets go of a body that says it has ended, however much of it the client has not taken.
    large: bool,
    ended: bool,
    held: bool,
    call: InFlight,
}

impl Delivered {
    pub(super) fn new(body: Body, call: InFlight) -> Self {
        Self { body, rest: Bytes::new(), large: false, ended: false, held: false, call }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                other => {
                    self.ended = true;
                    return Poll::Ready(other);
                }
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        self.large |= self.rest.len() > SMALL_FRAME_BYTES;
        let slice = self.rest.split_to(self.rest.len().min(SLICE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn hold(&mut self, held: bool) {
        if self.held != held {
            self.held = held;
            let counter = &self.call.0.held;
            if held {
                counter.fetch_add(1, Ordering::Relaxed);
            } else {
                counter.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        self.hold(false);
    }
}

impl HttpBody for Delivered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let poll = this.next(cx);
        bump(&this.call.0.sent);
        this.hold(matches!(poll, Poll::Ready(Some(Ok(_)))));
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (!self.large && self.rest.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match hint.exact() {
            Some(length) => SizeHint::with_exact(length.saturating_add(self.rest.len() as u64)),
            None => hint,
        }
    }
}
