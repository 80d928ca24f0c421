//! Bodies between the call and the HTTP client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::call::{Body, BodyError};
use crate::net::client::{BoxError, RequestBody, StreamedBody};

/// A call's body as the client takes it. Its errors pass through unchanged inside hyper's.
pub(super) fn outgoing_body(body: Body) -> RequestBody {
    match body {
        Body::Empty => RequestBody::Empty,
        Body::Full(bytes) => RequestBody::Full(bytes),
        Body::Incoming(incoming) => RequestBody::Incoming(incoming),
        Body::Stream(stream) => RequestBody::Stream(Box::pin(stream.map_err(BoxError::from))),
    }
}

/// A body that keeps something until it is dropped.
pub(super) fn holding<H: Send + 'static>(body: Body, held: Option<H>) -> Body {
    match held {
        None => body,
        Some(held) => Body::stream(Holding { body, _held: held }),
    }
}

pin_project! {
    struct Holding<H> {
        #[pin]
        body: Body,
        _held: H,
    }
}

impl<H> HttpBody for Holding<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// A backend's body with an end to its length and to the time spent waiting for it.
    ///
    /// Only waiting counts: AWS reads a whole answer before a slow client gets it, so a client that
    /// takes its time must not turn a prompt backend into a late one.
    pub(super) struct LimitedBody {
        #[pin]
        body: StreamedBody,
        limit: u64,
        left: u64,
        patience: Duration,
        // Since when there is nothing to read.
        waiting: Option<Instant>,
        // Runs while there is nothing to read.
        #[pin]
        timer: Option<Sleep>,
    }
}

impl LimitedBody {
    pub(super) fn new(body: StreamedBody, limit: u64, deadline: Instant) -> Self {
        let patience = deadline.saturating_duration_since(Instant::now());
        Self { body, limit, left: limit, patience, waiting: None, timer: None }
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let Poll::Ready(frame) = this.body.poll_frame(cx) else {
            if this.waiting.is_none() {
                let now = Instant::now();
                *this.waiting = Some(now);
                this.timer.set(Some(tokio::time::sleep_until(now + *this.patience)));
            }
            let late = this.timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
            return if late { Poll::Ready(Some(Err(BodyError::TimedOut))) } else { Poll::Pending };
        };
        if let Some(since) = this.waiting.take() {
            *this.patience = this.patience.saturating_sub(since.elapsed());
            this.timer.set(None);
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => {
                        *this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(BodyError::TooLarge { limit: *this.limit })),
                }
            }
            Some(Err(err)) => Some(Err(BodyError::aborted(err))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that was read up to a bound.
#[derive(Debug)]
pub enum Collected {
    Whole(Bytes),
    /// What was read, and the rest behind it.
    Longer(Body),
}

/// Reads a body whole, unless that is longer than `limit` bytes.
///
/// # Errors
/// The body's own.
pub async fn collect(mut body: Body, limit: usize) -> Result<Collected, BodyError> {
    if let Body::Full(bytes) = &body
        && bytes.len() <= limit
    {
        return Ok(Collected::Whole(bytes.clone()));
    }
    if body.size_hint().lower() > limit as u64 {
        return Ok(Collected::Longer(body));
    }
    let mut read = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        // Trailers are not kept.
        let Ok(data) = frame?.into_data() else { continue };
        if read.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            let head = [first.unwrap_or_default(), read.freeze(), data];
            return Ok(Collected::Longer(Body::stream(Chained::new(head, body))));
        }
        match &first {
            // One frame is the common case, and needs no copy.
            None if read.is_empty() => first = Some(data),
            _ => {
                if let Some(first) = first.take() {
                    read.extend_from_slice(&first);
                }
                read.extend_from_slice(&data);
            }
        }
    }
    Ok(Collected::Whole(first.unwrap_or_else(|| read.freeze())))
}

/// Bytes already read, then the body they came from.
#[derive(Debug)]
pub struct Chained<const N: usize> {
    head: std::array::IntoIter<Bytes, N>,
    rest: Body,
}

impl<const N: usize> Chained<N> {
    pub fn new(head: [Bytes; N], rest: Body) -> Self {
        Self { head: head.into_iter(), rest }
    }
}

impl<const N: usize> HttpBody for Chained<N> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        for bytes in this.head.by_ref() {
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Pin::new(&mut this.rest).poll_frame(cx)
    }
}
