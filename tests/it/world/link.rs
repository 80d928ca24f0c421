//! A link between two hosts: what happens to a datagram or a piece of a stream on its way.

use std::time::Duration;

use rand::RngExt;

use super::{Inner, Way};

/// Largest datagram payload a link carries: Ethernet's 1,500 bytes less the headers of IPv4 (20,
/// RFC 791) and UDP (8, RFC 768).
pub(crate) const DATAGRAM_MAX: usize = 1472;

/// Payload of a full TCP segment: 1,500 less IPv4 (20), TCP (20) and timestamps (12, RFC 7323).
const SEGMENT_BYTES: usize = 1448;

/// How long a lost TCP segment stays missing beyond a round trip: Linux's least retransmission
/// timeout (`TCP_RTO_MIN`).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Settings of a link, the same for both ways. The default is a link without any fault or delay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// One way.
    pub(crate) delay: Duration,
    /// At most this much is added to the delay, evenly spread; datagrams may overtake each other.
    pub(crate) jitter: Duration,
    /// Share of datagrams and segments lost, 0 to 1.
    pub(crate) loss: f64,
    /// Share of datagrams delivered twice, 0 to 1.
    pub(crate) doubled: f64,
}

impl Link {
    /// A link with this delay each way and nothing else.
    pub(crate) fn delay_ms(delay_ms: u64) -> Self {
        Self { delay: Duration::from_millis(delay_ms), ..Self::default() }
    }

    pub(crate) fn jitter_ms(self, jitter_ms: u64) -> Self {
        Self { jitter: Duration::from_millis(jitter_ms), ..self }
    }

    pub(crate) fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    pub(crate) fn doubled(self, doubled: f64) -> Self {
        Self { doubled, ..self }
    }

    pub(super) fn checked(self) -> Self {
        assert!((0.0..=1.0).contains(&self.loss), "loss is a share");
        assert!((0.0..=1.0).contains(&self.doubled), "doubled is a share");
        self
    }
}

/// Which traffic; each has dice of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Stream,
    Datagram,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Arrives {
        after: Duration,
        again_after: Option<Duration>,
    },
    Lost,
    /// The link is cut.
    Cut,
    /// Larger than the link carries; nobody fragments (RFC 9000 section 14).
    TooBig,
}

impl Inner {
    /// Decides what becomes of a datagram.
    pub(super) fn datagram_fate(&self, way: Way, bytes: usize) -> Fate {
        let mut state = self.lock();
        let link = state.link_of(way);
        if bytes > DATAGRAM_MAX {
            return Fate::TooBig;
        }
        if state.cuts.contains(&way) {
            return Fate::Cut;
        }
        let dice = state.dice(self.seed, way, Kind::Datagram);
        if dice.random_bool(link.loss) {
            return Fate::Lost;
        }
        let after = link.delay + spread(link.jitter, dice);
        let again = dice.random_bool(link.doubled);
        let again_after = again.then(|| link.delay + spread(link.jitter, dice));
        Fate::Arrives { after, again_after }
    }

    /// How long a piece of a TCP stream is under way. Loss shows as delay only.
    pub(super) fn stream_delay(&self, way: Way, bytes: usize) -> Duration {
        let mut state = self.lock();
        let link = state.link_of(way);
        let dice = state.dice(self.seed, way, Kind::Stream);
        let mut delay = link.delay + spread(link.jitter, dice);
        for _ in 0..bytes.div_ceil(SEGMENT_BYTES).max(1) {
            if dice.random_bool(link.loss) {
                delay += RETRANSMISSION + 2 * link.delay;
            }
        }
        delay
    }

    /// A stream needs both ways: without acknowledgements nothing moves on.
    pub(super) fn is_cut(&self, (a, b): Way) -> bool {
        let state = self.lock();
        state.cuts.contains(&(a, b)) || state.cuts.contains(&(b, a))
    }

    /// Resolves once neither way is cut. Cancel-safe.
    pub(super) async fn mended(&self, way: Way) {
        let mut changes = self.changes.subscribe();
        while self.is_cut(way) {
            changes.changed().await.expect("self holds the sender");
        }
    }
}

fn spread(jitter: Duration, dice: &mut impl rand::Rng) -> Duration {
    if jitter.is_zero() { Duration::ZERO } else { dice.random_range(Duration::ZERO..=jitter) }
}
