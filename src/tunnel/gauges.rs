//! Figures of one end of a tunnel, for the metrics page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters and gauges; read them at any time, they are never reset.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Calls in flight: reply body not yet taken or given up.
    pub calls_open: AtomicU64,
    /// Calls ever begun.
    pub calls: AtomicU64,
    /// Body bytes sent and received, without frames.
    pub bytes_sent: AtomicU64,
    pub bytes_received: AtomicU64,
    /// Connections established; at an edge, all but the first are reconnects.
    pub connections: AtomicU64,
    /// Connections that could not be established or were refused.
    pub refused: AtomicU64,
    /// Handlers that panicked.
    pub panics: AtomicU64,
    /// Smoothed round-trip time of the newest connection, microseconds.
    pub rtt_us: AtomicU64,
}

impl Gauges {
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// Counts a call as open while it lives.
#[derive(Debug)]
pub(super) struct OpenCall(Arc<Gauges>);

impl OpenCall {
    pub(super) fn new(gauges: &Arc<Gauges>) -> Self {
        Gauges::add(&gauges.calls, 1);
        Gauges::add(&gauges.calls_open, 1);
        Self(gauges.clone())
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.calls_open.fetch_sub(1, Ordering::Relaxed);
    }
}
