//! Is it worth asking this host now? A circuit opens when calls fail too often within a time, and
//! nobody asks until a while has passed; then one call tries, and decides for all.
//!
//! Off unless an operator wants it, because AWS has none: a backend that fails is asked again by
//! every call.
//!
//! A failure is a connection that cannot be had, one that breaks, an answer that does not come in
//! time, or one of 502, 503 and 504. A 500 may be one method's fault and says nothing of the host.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::ClientError;

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitConfig {
    /// Failures within `window` that open it; at least 1.
    pub failures: usize,
    pub window: Duration,
    pub open_for: Duration,
}

/// One host's circuit.
#[derive(Debug)]
pub(super) struct Circuit {
    config: CircuitConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// When it failed lately, oldest first; at most `failures`.
    Closed(VecDeque<Instant>),
    Open {
        until: Instant,
    },
    /// One call is on its way to find out.
    Trying,
}

/// The right to ask. Dropped without a verdict (the caller went away), it says nothing.
#[derive(Debug)]
pub(super) struct Pass<'c> {
    circuit: &'c Circuit,
    tries: bool,
}

impl Circuit {
    pub(super) fn new(config: CircuitConfig) -> Self {
        Self { config, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    /// # Errors
    /// It is open, and for how long still.
    pub(super) fn admit(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed(_) => Ok(Pass { circuit: self, tries: false }),
            State::Open { until } if now < until => Err(until - now),
            State::Open { .. } => {
                *state = State::Trying;
                Ok(Pass { circuit: self, tries: true })
            }
            State::Trying => Err(Duration::ZERO),
        }
    }

    /// Whether it remembers anything.
    pub(super) fn is_disturbed(&self) -> bool {
        !matches!(&*self.lock(), State::Closed(failed) if failed.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The call came to an end. True when this opened the circuit.
    pub(super) fn ended(mut self, failed: bool, now: Instant) -> bool {
        let config = self.circuit.config;
        let mut state = self.circuit.lock();
        let opens = match &mut *state {
            State::Trying if self.tries => failed,
            State::Closed(at) if failed => {
                at.push_back(now);
                if at.len() > config.failures {
                    at.pop_front();
                }
                let oldest = at.front().copied();
                at.len() >= config.failures.max(1)
                    && oldest.is_some_and(|oldest| now.duration_since(oldest) <= config.window)
            }
            // A call that began before it opened.
            _ => return false,
        };
        if opens {
            *state = State::Open { until: now + config.open_for };
        } else if self.tries {
            *state = State::Closed(VecDeque::new());
        }
        drop(state);
        self.tries = false;
        opens
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.tries {
            let mut state = self.circuit.lock();
            if matches!(*state, State::Trying) {
                // The next call tries.
                *state = State::Open { until: Instant::now() };
            }
        }
    }
}

/// Whether an outcome speaks against the host.
pub(super) fn is_failure(outcome: Result<StatusCode, &ClientError>) -> bool {
    match outcome {
        Ok(status) => matches!(
            status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        ),
        Err(error) => error.is_of_host(),
    }
}
