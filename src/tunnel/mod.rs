//! How does a call get from an edge to the region, and news from the region to an edge?
//!
//! One QUIC connection per edge and region, one stream per call: QUIC already has what a call
//! needs (flow control per stream, cancellation in both directions, no head-of-line blocking
//! between calls, addresses that may change), so our own protocol is only a few frames. The edge's
//! end is [`Tunnel`], the region's [`serve`] with its [`Edges`].
//!
//! News is state, not messages: the newest config epoch and the newest purge are what counts, so
//! either side keeps the latest value and whoever was away hears it when it is back. Nothing
//! queues up for an edge that does not listen.
//!
//! It does not decide anything about calls, does not cache, and knows no HTTP status codes.
//! A body that ends without its END frame is an error, never a short body.
//!
//! RFC 9000 sections 2 (streams), 3.5 (solicited transitions), 9 (migration).

mod accept;
mod dial;
mod edges;
mod frame;
mod gauges;
mod head;
mod keep;
mod stream;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use quinn::VarInt;

pub use accept::{CallOutcome, Config as RegionConfig, Handler, serve};
pub use dial::{Config, Tunnel};
pub use edges::{EdgeView, Edges};
pub use frame::{FrameError, Push, Report, Request};
pub use gauges::Gauges;
pub use head::{CallHead, Proved, Refusal, ReplyHead, Scheme};

/// What the edge's node hears from its tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The tunnel is up; `region` is the name in the region's certificate. Pushes follow.
    Connected {
        region: String,
    },
    Disconnected,
    Push(Push),
}

/// Why a call or a question did not get its answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TunnelError {
    #[error("no connection to the region")]
    NotConnected,
    #[error("the region did not answer in time")]
    Timeout,
    #[error("the region gave the call up: {0}")]
    Reset(ResetReason),
    #[error("the connection to the region was lost: {0}")]
    Lost(Arc<str>),
    /// The body handed to the tunnel failed; the error is its own.
    #[error("the request's body ended early: {0}")]
    RequestBody(crate::call::BodyError),
    /// The region does not know the part the call was resolved with: refresh, then try once more.
    #[error("the region has another configuration")]
    Stale,
    #[error("the region sent something unexpected: {0}")]
    Protocol(#[from] FrameError),
    /// A document question was answered with a refusal.
    #[error("the region has no such document: {0}")]
    NoDocument(Arc<str>),
}

/// Why a stream was reset or stopped; travels as QUIC's application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetReason {
    #[error("cancelled")]
    Cancelled,
    #[error("the body broke off")]
    BodyAborted,
    #[error("a fault in the handler")]
    Panicked,
    #[error("time is up")]
    Deadline,
    #[error("protocol error")]
    Protocol,
    #[error("unknown code")]
    Unknown,
}

impl ResetReason {
    const ALL: [Self; 5] =
        [Self::Cancelled, Self::BodyAborted, Self::Panicked, Self::Deadline, Self::Protocol];

    fn code(self) -> VarInt {
        VarInt::from_u32(match self {
            // Zero is what quinn sends where a reader is merely dropped.
            Self::Cancelled => 0,
            Self::BodyAborted => 1,
            Self::Panicked => 2,
            Self::Deadline => 3,
            Self::Protocol => 4,
            Self::Unknown => 5,
        })
    }

    fn from_code(code: VarInt) -> Self {
        Self::ALL.into_iter().find(|reason| reason.code() == code).unwrap_or(Self::Unknown)
    }
}

/// Why a whole connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// The node stops.
    Shutdown,
    /// The certificate does not allow this.
    WrongRole,
    /// The same edge has a newer connection.
    Replaced,
    Protocol,
}

impl Close {
    fn apply(self, connection: &quinn::Connection) {
        let (code, reason): (u32, &[u8]) = match self {
            Close::Shutdown => (0x10, b"shutting down"),
            Close::WrongRole => (0x11, b"this certificate may not do that"),
            Close::Replaced => (0x12, b"replaced by a newer connection"),
            Close::Protocol => (0x13, b"protocol error"),
        };
        connection.close(VarInt::from_u32(code), reason);
    }
}
