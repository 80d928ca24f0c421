//! What time is it? The only place that may ask the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. `System` is wall-clock time that never runs backwards within a process.
#[derive(Clone, Debug)]
pub struct Clock(Inner);

#[derive(Clone, Debug)]
enum Inner {
    /// Wall clock at start, and the monotonic clock since.
    System { wall: Duration, start: Instant },
    /// tokio's clock, which a test may pause; the wall clock follows it.
    Tokio { wall: Duration, start: tokio::time::Instant },
    /// Milliseconds, moved by hand.
    Manual(Arc<AtomicU64>),
}

/// Time since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Duration);

impl Timestamp {
    pub fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
    pub fn from_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
    pub fn as_micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
    pub fn as_seconds(self) -> u64 {
        self.0.as_secs()
    }
    /// Zero when `earlier` is in fact later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Inner::System { wall, start: Instant::now() })
    }

    /// A clock that follows tokio's, for tests with paused time. Needs a tokio runtime.
    pub fn tokio(wall_millis: u64) -> Self {
        let wall = Duration::from_millis(wall_millis);
        Self(Inner::Tokio { wall, start: tokio::time::Instant::now() })
    }

    /// A clock that only `advance` moves.
    pub fn manual(wall_millis: u64) -> Self {
        Self(Inner::Manual(Arc::new(AtomicU64::new(wall_millis))))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System { wall, start } => Timestamp(*wall + start.elapsed()),
            Inner::Tokio { wall, start } => Timestamp(*wall + start.elapsed()),
            Inner::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock; any other clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual(millis) = &self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            millis.fetch_add(by, Ordering::Relaxed);
        }
    }
}
