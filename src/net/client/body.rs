//! Bodies on both ways: what a call hands in, what a connection hands out.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::host::{Host, Http1, InFlight};
use super::{BoxError, ClientError};

/// The body of a request to a backend.
pub enum RequestBody {
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl RequestBody {
    fn take(&mut self) -> Self {
        std::mem::replace(self, RequestBody::Empty)
    }

    /// A body that ends with an error once the other end of its leash is dropped. hyper sends the
    /// body of an HTTP/2 request in a task of its own, which would outlive the call otherwise.
    pub(super) fn leashed(self) -> (Option<oneshot::Sender<Infallible>>, Self) {
        if self.is_end_stream() {
            return (None, self);
        }
        let (leash, held) = oneshot::channel();
        (Some(leash), RequestBody::Stream(Box::pin(Leashed { body: self, held })))
    }
}

struct Leashed {
    body: RequestBody,
    held: oneshot::Receiver<Infallible>,
}

impl Body for Leashed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if Pin::new(&mut self.held).poll(cx).is_ready() {
            return Poll::Ready(Some(Err(BoxError::from("the call is over"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Full(_) => match self.take() {
                RequestBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            RequestBody::Incoming(incoming) => {
                Pin::new(incoming).poll_frame(cx).map_err(BoxError::from)
            }
            RequestBody::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Full(_) => false,
            RequestBody::Incoming(incoming) => incoming.is_end_stream(),
            RequestBody::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            RequestBody::Incoming(incoming) => incoming.size_hint(),
            RequestBody::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            RequestBody::Empty => "Empty",
            RequestBody::Full(_) => "Full",
            RequestBody::Incoming(_) => "Incoming",
            RequestBody::Stream(_) => "Stream",
        })
    }
}

/// The body of a backend's response.
pub enum ResponseBody {
    Empty,
    /// It had arrived whole together with the head.
    Full(Bytes),
    /// Still on its way; dropping it closes the connection or resets the stream.
    Stream(StreamedBody),
}

/// A body read from a connection as it is polled.
pub struct StreamedBody {
    /// What was read before it was known that more would come.
    first: Option<Bytes>,
    /// How it ended, where that was seen before anyone polled.
    failed: Option<ClientError>,
    incoming: Incoming,
    carrier: Carrier,
}

enum Carrier {
    Http1(Option<Box<Http1>>),
    Http2 { _in_flight: InFlight },
}

impl ResponseBody {
    /// Takes what has already arrived. A connection whose answer is complete goes back at once, so
    /// that a small answer needs neither a box nor a second wake-up.
    pub(super) fn from_http1(
        mut connection: Box<Http1>,
        mut incoming: Incoming,
        cx: &mut Context<'_>,
    ) -> Self {
        if incoming.is_end_stream() {
            Host::give_back(connection);
            return ResponseBody::Empty;
        }
        let first = match poll_driven(&mut incoming, &mut connection, cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => bytes,
                // Trailers without a body before them: there is nothing more to read.
                Err(_trailers) => {
                    connection.drive(cx);
                    Host::give_back(connection);
                    return ResponseBody::Empty;
                }
            },
            Poll::Ready(None) => {
                Host::give_back(connection);
                return ResponseBody::Empty;
            }
            Poll::Ready(Some(Err(err))) => return Self::broken(None, &err, incoming),
            Poll::Pending => return Self::streamed(None, connection, incoming),
        };
        if incoming.is_end_stream() {
            Host::give_back(connection);
            return ResponseBody::Full(first);
        }
        // A chunked answer shows its end only by a last, empty read.
        if incoming.size_hint().exact().is_none() {
            match poll_driven(&mut incoming, &mut connection, cx) {
                Poll::Ready(None) => {
                    Host::give_back(connection);
                    return ResponseBody::Full(first);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(more) = frame.into_data() else {
                        Host::give_back(connection);
                        return ResponseBody::Full(first);
                    };
                    let both = [first, more].concat().into();
                    return Self::streamed(Some(both), connection, incoming);
                }
                Poll::Ready(Some(Err(err))) => return Self::broken(Some(first), &err, incoming),
                Poll::Pending => {}
            }
        }
        Self::streamed(Some(first), connection, incoming)
    }

    fn streamed(first: Option<Bytes>, connection: Box<Http1>, incoming: Incoming) -> Self {
        let carrier = Carrier::Http1(Some(connection));
        ResponseBody::Stream(StreamedBody { first, failed: None, incoming, carrier })
    }

    /// hyper tells an error once, so it is kept until the body is polled.
    fn broken(first: Option<Bytes>, err: &hyper::Error, incoming: Incoming) -> Self {
        let failed = Some(broken(err));
        let carrier = Carrier::Http1(None);
        ResponseBody::Stream(StreamedBody { first, failed, incoming, carrier })
    }

    pub(super) fn from_http2(incoming: Incoming, in_flight: InFlight) -> Self {
        if incoming.is_end_stream() {
            return ResponseBody::Empty;
        }
        let carrier = Carrier::Http2 { _in_flight: in_flight };
        ResponseBody::Stream(StreamedBody { first: None, failed: None, incoming, carrier })
    }
}

/// Polls the body, and the connection when the body has nothing yet.
fn poll_driven(
    incoming: &mut Incoming,
    connection: &mut Http1,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    match Pin::new(&mut *incoming).poll_frame(cx) {
        Poll::Pending => {
            connection.drive(cx);
            Pin::new(incoming).poll_frame(cx)
        }
        ready => ready,
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(failed) = this.failed.take() {
            return Poll::Ready(Some(Err(failed)));
        }
        let polled = match &mut this.carrier {
            Carrier::Http1(Some(connection)) => poll_driven(&mut this.incoming, connection, cx),
            _ => Pin::new(&mut this.incoming).poll_frame(cx),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(err))) => {
                // Dropped, not given back: what follows on it belongs to nobody.
                if let Carrier::Http1(connection) = &mut this.carrier {
                    *connection = None;
                }
                Poll::Ready(Some(Err(broken(&err))))
            }
            Poll::Ready(frame) => {
                if let Carrier::Http1(connection) = &mut this.carrier
                    && (frame.is_none() || this.incoming.is_end_stream())
                    && let Some(connection) = connection.take()
                {
                    Host::give_back(connection);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|err| broken(&err))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.failed.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.incoming.size_hint();
        let first = self.first.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        match &mut *self {
            ResponseBody::Empty => Poll::Ready(None),
            ResponseBody::Full(_) => match std::mem::replace(&mut *self, ResponseBody::Empty) {
                ResponseBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            ResponseBody::Stream(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty => true,
            ResponseBody::Full(_) => false,
            ResponseBody::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Empty => SizeHint::with_exact(0),
            ResponseBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseBody::Empty => out.write_str("Empty"),
            ResponseBody::Full(bytes) => write!(out, "Full({} bytes)", bytes.len()),
            ResponseBody::Stream(_) => out.write_str("Stream"),
        }
    }
}

impl fmt::Debug for StreamedBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StreamedBody").finish_non_exhaustive()
    }
}

fn broken(err: &hyper::Error) -> ClientError {
    ClientError::Broken(Arc::from(describe(err)))
}

/// An error with what caused it; hyper's own text leaves that out.
pub(super) fn describe(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
