//! Answers that are streamed (`responseTransferMode: STREAM`): how long may they take?
//!
//! The client sees each piece when it comes. What ends such an answer early is only time: too much
//! of it in all, or too long without a piece. Its length is not bounded, but the pace of a long one:
//! whoever delivers it to a client asks for it no faster, and the backend is slowed down by that.
//!
//! AWS: API Gateway Developer Guide, "Stream the integration response for your proxy integrations".

use std::any::Any;
use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::call::{Body, BodyError};
use crate::model::quotas;

/// Longest pause of an answer at regional and private endpoints, and at edge-optimized ones.
pub const IDLE_MAX: Duration = quotas::STREAMING_IDLE_REGIONAL;
pub const IDLE_MAX_EDGE: Duration = quotas::STREAMING_IDLE_EDGE;

/// A body that ends with an error when it pauses longer than `idle` or takes longer than AWS's
/// fifteen minutes in all. A body that is at hand stays as it is.
pub fn bounded(body: Body, idle: Duration) -> Body {
    match body {
        Body::Empty | Body::Full(_) => body,
        body => {
            let until = Instant::now() + quotas::STREAMING_TIMEOUT_MAX;
            Body::stream(Streamed::new(body, idle, until))
        }
    }
}

/// Bytes of an answer that are sent as fast as they come, and bytes per second of what follows.
const FREE_BYTES: u64 = 10 << 20;
const BYTES_PER_SECOND: u64 = 2 << 20;
/// By how much an answer may be ahead of the pace: timers count milliseconds, and a wait for each of
/// many small pieces would be one for their roundings.
const AHEAD_MAX: Duration = Duration::from_millis(10);

/// A body that is read at AWS's pace once it is long. A body that is at hand stays as it is: it is
/// no longer than what is free.
pub fn paced(body: Body) -> Body {
    match body {
        Body::Empty | Body::Full(_) => body,
        body => Body::stream(Paced { body, read: 0, due: Instant::now(), timer: None }),
    }
}

struct Paced {
    body: Body,
    /// Bytes.
    read: u64,
    /// When what was read would have come at the pace.
    due: Instant,
    /// Ends when the next piece may be read.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// Takes note of a piece. A piece is passed on whole, however long: what it is too long by, the
    /// next one waits for.
    fn count(&mut self, bytes: u64) {
        let free = FREE_BYTES.saturating_sub(self.read);
        self.read = self.read.saturating_add(bytes);
        let micros = bytes.saturating_sub(free).saturating_mul(1_000_000) / BYTES_PER_SECOND;
        let now = Instant::now();
        self.due = self.due.max(now) + Duration::from_micros(micros);
        if self.due > now + AHEAD_MAX {
            self.timer = Some(Box::pin(tokio::time::sleep_until(self.due)));
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(timer) = &mut this.timer {
            ready!(timer.as_mut().poll(cx));
            this.timer = None;
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.count(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    pub(super) struct Streamed<B> {
        #[pin]
        body: B,
        idle: Duration,
        until: Instant,
        // Runs while there is nothing to read.
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<B> Streamed<B> {
    pub(super) fn new(body: B, idle: Duration, until: Instant) -> Self {
        Self { body, idle, until, timer: None }
    }
}

impl<B> HttpBody for Streamed<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Display + 'static,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let now = Instant::now();
        // One that never pauses has an end as well.
        if now >= *this.until {
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            this.timer.set(None);
            return Poll::Ready(frame.map(|frame| frame.map_err(ended)));
        }
        if this.timer.is_none() {
            let end = (*this.until).min(now + *this.idle);
            this.timer.set(Some(tokio::time::sleep_until(end)));
        }
        match this.timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready()) {
            true => Poll::Ready(Some(Err(BodyError::TimedOut))),
            false => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What ended a body; an error of ours stays what it is.
fn ended<E: Display + 'static>(err: E) -> BodyError {
    match (&err as &dyn Any).downcast_ref::<BodyError>() {
        Some(own) => own.clone(),
        None => BodyError::aborted(err),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::sleep;

    use super::*;

    /// A body of `times` pieces with a pause before each.
    fn pieces(times: u64, pause: Duration) -> Body {
        let frames = stream::unfold(times, move |left| async move {
            sleep(pause).await;
            let frame = Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"x")));
            (left > 0).then(|| (frame, left - 1))
        });
        Body::stream(StreamBody::new(Box::pin(frames)))
    }

    async fn read(mut body: Body) -> (usize, Option<BodyError>) {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(_) => read += 1,
                Err(err) => return (read, Some(err)),
            }
        }
        (read, None)
    }

    /// rest-data-plane 7.14: idle 5 min regional and private, 30 s edge; 15 min in all.
    #[tokio::test(start_paused = true)]
    async fn pauses_and_the_whole_are_bounded() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        for (times, pause, idle, came, whole) in [
            // Far longer than a buffered answer may take.
            (10, minute, IDLE_MAX, 10, true),
            (3, 29 * second, IDLE_MAX_EDGE, 3, true),
            (3, 31 * second, IDLE_MAX_EDGE, 0, false),
            (3, 5 * minute + second, IDLE_MAX, 0, false),
            // Never a long pause, and still too long.
            (10_000, second, IDLE_MAX, 899, false),
        ] {
            let began = Instant::now();
            let (read, failed) = read(bounded(pieces(times, pause), idle)).await;
            assert_eq!((read, failed.is_none()), (came, whole), "{pause:?} {failed:?}");
            assert!(whole || matches!(failed, Some(BodyError::TimedOut)));
            assert!(began.elapsed() <= quotas::STREAMING_TIMEOUT_MAX + second);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_at_hand_stays_as_it_is() {
        assert!(matches!(bounded(Body::Empty, IDLE_MAX), Body::Empty));
        let full = bounded(Body::from(Bytes::from_static(b"x")), IDLE_MAX);
        assert!(matches!(full, Body::Full(_)));
    }

    /// rest-data-plane 7.14: first 10 MB free, then 2 MB/s, however small the pieces.
    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_read_at_a_pace() {
        for (piece, bytes, pace) in [
            (64 * 1024, FREE_BYTES, Duration::ZERO),
            (64 * 1024, FREE_BYTES + BYTES_PER_SECOND, Duration::from_secs(1)),
            (64 * 1024, FREE_BYTES + 60 * BYTES_PER_SECOND, Duration::from_secs(60)),
            (256, FREE_BYTES + BYTES_PER_SECOND, Duration::from_secs(1)),
            (FREE_BYTES, FREE_BYTES + 2 * BYTES_PER_SECOND, Duration::from_secs(5)),
        ] {
            let data = Bytes::from(vec![0; usize::try_from(piece).unwrap()]);
            let frames = stream::repeat_with(move || Ok::<_, BodyError>(Frame::data(data.clone())));
            let mut body = paced(Body::stream(StreamBody::new(frames)));
            let began = Instant::now();
            for _ in 0..bytes.div_ceil(piece) {
                body.frame().await.unwrap().unwrap();
            }
            // What waits for the last piece is the next.
            if !pace.is_zero() {
                body.frame().await.unwrap().unwrap();
            }
            let (took, slack) = (began.elapsed(), AHEAD_MAX + pace / 10);
            assert!(took + AHEAD_MAX >= pace && took <= pace + slack, "{piece}: {took:?}");
        }
    }

    /// A slow answer is not made slower: only what was read too fast is waited for.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_slow_by_itself_is_not_slowed_down() {
        let began = Instant::now();
        let (read, failed) = read(paced(pieces(20, Duration::from_secs(1)))).await;
        assert_eq!((read, failed.is_none()), (20, true));
        // There is a pause before the end, too.
        assert_eq!(began.elapsed(), Duration::from_secs(21));
    }
}
