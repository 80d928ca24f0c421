//! Bodies between the call and the HTTP client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
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

pin_project! {
    /// A backend's body with an end to its length and its time.
    pub(super) struct LimitedBody {
        #[pin]
        body: StreamedBody,
        limit: u64,
        left: u64,
        deadline: Instant,
        // Made when the body first has to wait: most have arrived by then.
        #[pin]
        timer: Option<Sleep>,
    }
}

impl LimitedBody {
    pub(super) fn new(body: StreamedBody, limit: u64, deadline: Instant) -> Self {
        Self { body, limit, left: limit, deadline, timer: None }
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
        match this.body.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = this.left.checked_sub(length) else {
                    return Poll::Ready(Some(Err(BodyError::TooLarge { limit: *this.limit })));
                };
                *this.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(BodyError::aborted))),
            Poll::Pending => {
                if this.timer.is_none() {
                    this.timer.set(Some(tokio::time::sleep_until(*this.deadline)));
                }
                let late = this.timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
                if late { Poll::Ready(Some(Err(BodyError::TimedOut))) } else { Poll::Pending }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
