//! One stream's two halves: frames in, frames out.
//!
//! quinn finishes a stream when its sender is dropped, which to the reader would look like an
//! orderly end; [`Sender`] resets instead, and the END frame makes the difference visible anyway.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::task::AbortHandle;

use crate::call::{Body, BodyError};
use crate::tunnel::frame::{self, DATA_MAX, FrameError, HEADER, Kind};
use crate::tunnel::gauges::{Gauges, OpenCall};
use crate::tunnel::head::BodyLength;
use crate::tunnel::{ResetReason, TunnelError};

/// QUIC delivers packet by packet; pieces are put together up to about this size, so that the next
/// protocol does not frame each packet by itself. A TLS record holds 16 KiB.
const COALESCE: usize = 16 * 1024;

/// Why frames could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the body broke off at its source")]
    Aborted,
}

impl From<ReceiveError> for TunnelError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Aborted => TunnelError::Reset(ResetReason::BodyAborted),
            ReceiveError::Frame(error) => TunnelError::Protocol(error),
            ReceiveError::Read(ReadError::Reset(code)) => match ResetReason::from_code(code) {
                ResetReason::Deadline => TunnelError::Timeout,
                reason => TunnelError::Reset(reason),
            },
            ReceiveError::Read(error @ ReadError::ConnectionLost(_)) => lost(&error),
            ReceiveError::Read(_) => TunnelError::Reset(ResetReason::Unknown),
        }
    }
}

/// The connection is gone; the cause in words.
pub(super) fn lost(error: &dyn std::error::Error) -> TunnelError {
    let text = match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    TunnelError::Lost(Arc::from(text))
}

/// Reads frames. All waits are cancel-safe: what was read stays in here.
#[derive(Debug)]
pub(super) struct Receiver {
    recv: RecvStream,
    /// What the stream delivered last and nobody took yet.
    chunk: Bytes,
    /// A header or payload that came in several chunks, so far.
    gathered: BytesMut,
    /// Header of the frame whose payload is being gathered.
    begun: Option<(Kind, usize)>,
    /// Bytes of the current DATA frame still to come.
    data_left: usize,
}

impl Receiver {
    pub(super) fn new(recv: RecvStream) -> Self {
        Self { recv, chunk: Bytes::new(), gathered: BytesMut::new(), begun: None, data_left: 0 }
    }

    /// The next frame, whole; `None` where the stream ends between frames.
    pub(super) async fn frame(&mut self) -> Result<Option<(Kind, Bytes)>, ReceiveError> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// The next frame of a stream that must go on.
    pub(super) async fn expect_frame(&mut self) -> Result<(Kind, Bytes), ReceiveError> {
        self.frame().await?.ok_or(ReceiveError::Frame(FrameError::Truncated))
    }

    pub(super) fn stop(&mut self, reason: ResetReason) {
        // It fails where the stream is over already, which is as good.
        self.recv.stop(reason.code()).ok();
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(Kind, Bytes)>, ReceiveError>> {
        let Some((kind, length)) = ready!(self.poll_header(cx))? else {
            return Poll::Ready(Ok(None));
        };
        let payload = ready!(self.poll_gather(cx, length))?.ok_or(FrameError::Truncated)?;
        self.begun = None;
        Poll::Ready(Ok(Some((kind, payload))))
    }

    /// The header of the frame that is to be read next; repeats it until the payload was taken.
    fn poll_header(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(Kind, usize)>, ReceiveError>> {
        if self.begun.is_none() {
            let Some(bytes) = ready!(self.poll_gather(cx, HEADER))? else {
                return Poll::Ready(Ok(None));
            };
            let bytes = <[u8; HEADER]>::try_from(&*bytes).map_err(|_| FrameError::Short)?;
            self.begun = Some(frame::header(bytes)?);
        }
        Poll::Ready(Ok(self.begun))
    }

    /// Exactly `wanted` bytes; `None` if the stream ends before the first of them.
    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<Option<Bytes>, ReceiveError>> {
        loop {
            if self.gathered.is_empty() && self.chunk.len() >= wanted {
                return Poll::Ready(Ok(Some(self.chunk.split_to(wanted))));
            }
            let take = self.chunk.len().min(wanted.saturating_sub(self.gathered.len()));
            self.gathered.extend_from_slice(&self.chunk.split_to(take));
            if self.gathered.len() >= wanted {
                return Poll::Ready(Ok(Some(self.gathered.split().freeze())));
            }
            if !ready!(self.poll_chunk(cx))? {
                return Poll::Ready(match self.gathered.is_empty() {
                    true => Ok(None),
                    false => Err(FrameError::Truncated.into()),
                });
            }
        }
    }

    /// Fills the empty `chunk`; false at the end of the stream.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        // quinn keeps no state in this future, so a new one may continue an old one's wait.
        let chunk = ready!(pin!(self.recv.read_chunk(usize::MAX, true)).poll(cx))?;
        self.chunk = chunk.map(|chunk| chunk.bytes).unwrap_or_default();
        Poll::Ready(Ok(!self.chunk.is_empty()))
    }

    /// The next frame of a body; `None` after END.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, ReceiveError>> {
        loop {
            if self.data_left > 0 {
                return self.poll_data(cx).map_ok(|data| Some(Frame::data(data)));
            }
            let (kind, length) = ready!(self.poll_header(cx))?.ok_or(FrameError::Truncated)?;
            match kind {
                Kind::Data => {
                    self.begun = None;
                    self.data_left = length;
                }
                Kind::Trailers => {
                    let payload =
                        ready!(self.poll_gather(cx, length))?.ok_or(FrameError::Truncated)?;
                    self.begun = None;
                    let mut reader = frame::Reader(payload);
                    let trailers = reader.headers()?;
                    reader.end()?;
                    return Poll::Ready(Ok(Some(Frame::trailers(trailers))));
                }
                Kind::End => {
                    self.begun = None;
                    // Usually the stream's end came with the frame: taking it now spares the peer
                    // a STOP_SENDING. Nothing depends on it.
                    if self.chunk.is_empty() {
                        let _seen = self.poll_chunk(cx).is_ready();
                    }
                    return Poll::Ready(Ok(None));
                }
                Kind::Abort => return Poll::Ready(Err(ReceiveError::Aborted)),
                other => return Poll::Ready(Err(FrameError::Unexpected(other as u8).into())),
            }
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReceiveError>> {
        loop {
            if !self.chunk.is_empty() {
                let take = self.chunk.len().min(self.data_left);
                let piece = self.chunk.split_to(take);
                self.data_left -= take;
                let more = self.data_left > 0 && self.gathered.len() + take < COALESCE;
                if more && self.poll_chunk(cx)?.is_ready() {
                    self.gathered.extend_from_slice(&piece);
                    continue;
                }
                if self.gathered.is_empty() {
                    return Poll::Ready(Ok(piece));
                }
                self.gathered.extend_from_slice(&piece);
                return Poll::Ready(Ok(self.gathered.split().freeze()));
            }
            if !ready!(self.poll_chunk(cx))? {
                return Poll::Ready(Err(FrameError::Truncated.into()));
            }
        }
    }
}

/// A body that arrives through the tunnel.
pub(super) struct TunnelBody {
    receiver: Receiver,
    length: Option<u64>,
    ended: bool,
    gauges: Arc<Gauges>,
    /// Ends with the body: an edge counts a call as open until its reply is taken.
    _open: Option<OpenCall>,
    /// The rest of the request body, still on its way; pointless once the reply is complete.
    _upload: Option<AbortOnDrop>,
}

impl TunnelBody {
    pub(super) fn new(
        receiver: Receiver,
        length: BodyLength,
        gauges: Arc<Gauges>,
        open: Option<OpenCall>,
        upload: Option<AbortOnDrop>,
    ) -> Self {
        let length = match length {
            BodyLength::Exact(length) => Some(length),
            BodyLength::None | BodyLength::Unknown => None,
        };
        Self { receiver, length, ended: false, gauges, _open: open, _upload: upload }
    }
}

impl HttpBody for TunnelBody {
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
        let frame = ready!(this.receiver.poll_body(cx));
        Poll::Ready(match frame {
            Ok(Some(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    Gauges::add(&this.gauges.bytes_received, length);
                    this.length = this.length.map(|left| left.saturating_sub(length));
                }
                Some(Ok(frame))
            }
            Ok(None) => {
                this.ended = true;
                None
            }
            Err(error) => {
                this.ended = true;
                this.receiver.stop(ResetReason::Cancelled);
                Some(Err(BodyError::aborted(error)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// Ends a task with the thing it works for.
pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a message was not sent to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the other side stopped the stream or went away")]
    Stopped,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Writes frames; resets the stream if dropped before [`Sender::finish`].
#[derive(Debug)]
pub(super) struct Sender {
    send: SendStream,
    over: bool,
}

impl Sender {
    pub(super) fn new(send: SendStream) -> Self {
        Self { send, over: false }
    }

    /// Resolves when the peer has no use for more, or is gone.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.send.stopped();
        async move {
            // Stopped, all taken, or the connection lost: in each case there is nobody to write to.
            stopped.await.ok();
        }
    }

    pub(super) async fn write(&mut self, bytes: BytesMut) -> Result<(), WriteError> {
        self.send.write_chunk(bytes.freeze()).await
    }

    /// Writes a frame that is all of the message.
    pub(super) async fn frame(
        &mut self,
        kind: Kind,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), SendError> {
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, kind, fill)?;
        Ok(self.write(out).await?)
    }

    /// Writes a frame around bytes that are not copied.
    pub(super) async fn document(&mut self, bytes: Bytes) -> Result<(), SendError> {
        let mut out = BytesMut::with_capacity(HEADER);
        frame::put_header(&mut out, Kind::Document, bytes.len())?;
        self.send.write_all_chunks(&mut [out.freeze(), bytes]).await?;
        Ok(())
    }

    pub(super) fn finish(&mut self) {
        self.over = true;
        // It fails where the peer stopped the stream, and then nobody waits for the end.
        self.send.finish().ok();
    }

    pub(super) fn reset(&mut self, reason: ResetReason) {
        self.over = true;
        self.send.reset(reason.code()).ok();
    }

    /// Writes `head` (a whole frame) and `body`, then finishes. A body error is sent on as
    /// ABORT; anything else that goes wrong resets the stream.
    pub(super) async fn message(
        &mut self,
        head: BytesMut,
        body: Body,
        gauges: &Gauges,
    ) -> Result<(), SendError> {
        let sent = self.try_message(head, body, gauges).await;
        match &sent {
            Ok(()) => self.finish(),
            Err(SendError::Body(_)) => match self.frame(Kind::Abort, |_| {}).await {
                Ok(()) => self.finish(),
                Err(_) => self.reset(ResetReason::BodyAborted),
            },
            Err(SendError::Frame(_)) => self.reset(ResetReason::Protocol),
            Err(SendError::Write(_) | SendError::Stopped) => self.reset(ResetReason::Cancelled),
        }
        sent
    }

    async fn try_message(
        &mut self,
        mut out: BytesMut,
        mut body: Body,
        gauges: &Gauges,
    ) -> Result<(), SendError> {
        // A body at hand travels with its head; one that must be waited for does not hold it up.
        if matches!(body, Body::Incoming(_) | Body::Stream(_)) {
            self.write(std::mem::take(&mut out)).await?;
        }
        let mut stopped = pin!(self.stopped());
        while !body.is_end_stream() {
            let next = tokio::select! {
                biased;
                () = &mut stopped => return Err(SendError::Stopped),
                next = body.frame() => next,
            };
            let Some(next) = next else { break };
            match next?.into_data() {
                Ok(data) => {
                    Gauges::add(&gauges.bytes_sent, data.len() as u64);
                    let last = body.is_end_stream();
                    self.data(&mut out, data, last).await?;
                    if last {
                        return Ok(());
                    }
                }
                Err(other) => {
                    if let Ok(trailers) = other.into_trailers() {
                        frame::put_frame(&mut out, Kind::Trailers, |out| {
                            frame::put_headers(out, &trailers);
                        })?;
                        break;
                    }
                }
            }
        }
        frame::put_header(&mut out, Kind::End, 0)?;
        Ok(self.write(out).await?)
    }

    /// Writes what is in `out`, then the data, then the END if it is the `last`, gathered.
    async fn data(
        &mut self,
        out: &mut BytesMut,
        mut data: Bytes,
        last: bool,
    ) -> Result<(), SendError> {
        while data.len() > DATA_MAX {
            frame::put_header(out, Kind::Data, DATA_MAX)?;
            let mut pieces = [out.split().freeze(), data.split_to(DATA_MAX)];
            self.send.write_all_chunks(&mut pieces).await?;
        }
        frame::put_header(out, Kind::Data, data.len())?;
        let before = out.split().freeze();
        if last {
            frame::put_header(out, Kind::End, 0)?;
        }
        self.send.write_all_chunks(&mut [before, data, out.split().freeze()]).await?;
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.over {
            self.reset(ResetReason::Cancelled);
        }
    }
}

/// What a body says about its length.
pub(super) fn length_of(body: &Body) -> BodyLength {
    if body.is_end_stream() {
        return BodyLength::None;
    }
    body.size_hint().exact().map_or(BodyLength::Unknown, BodyLength::Exact)
}
