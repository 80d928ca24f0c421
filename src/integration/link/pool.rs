//! One listener's targets: who is asked next, who is left out, who is back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use tokio::time::Instant;

use super::{Check, HealthConfig, ListenerConfig, OutlierConfig, TARGETS_MAX};
use crate::net::client::{Manner, Roots, Scheme, Target};

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) port: u16,
    members: Vec<Member>,
    outliers: OutlierConfig,
    roots: Option<Arc<Roots>>,
    /// Held while somebody decides to leave a target out, so that two cannot leave out the last two.
    ejecting: Mutex<()>,
}

#[derive(Debug)]
struct Member {
    host: Arc<str>,
    port: u16,
    /// Counted by the calls, which may outlive the pool.
    in_flight: Arc<AtomicUsize>,
    condition: Mutex<Condition>,
}

/// What is known of a target.
#[derive(Debug, Default)]
struct Condition {
    /// By its checks; without checks it never is.
    is_unhealthy: bool,
    /// Checks in a row that say the other of what `is_unhealthy` says.
    contradicted: u32,
    /// Calls that failed in a row.
    failures: u32,
    ejected_until: Option<Instant>,
    /// Times it was left out lately.
    ejections: u32,
}

/// A call that a target is busy with.
#[derive(Debug)]
pub(crate) struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(
        listener: &ListenerConfig,
        outliers: OutlierConfig,
        roots: Option<Arc<Roots>>,
    ) -> Self {
        let members = listener.targets.iter().take(TARGETS_MAX).map(|(host, port)| Member {
            host: Arc::clone(host),
            port: *port,
            in_flight: Arc::default(),
            condition: Mutex::default(),
        });
        let members = members.collect();
        Self { port: listener.port, members, outliers, roots, ejecting: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Where a target is; the scheme is for the caller to say.
    pub(super) fn target(&self, index: usize) -> Target {
        let member = &self.members[index];
        super::target(&member.host, member.port)
    }

    /// How its targets are spoken to for an integration whose URI is `named`.
    pub(super) fn manner(&self, own: &Manner, named: &Target) -> Manner {
        if named.scheme == Scheme::Http {
            return Manner { is_balanced: true, ..Manner::default() };
        }
        let server_name = own.server_name.clone().unwrap_or_else(|| Arc::clone(&named.host));
        Manner {
            server_name: Some(server_name),
            identity: own.identity.clone(),
            roots: self.roots.clone(),
            is_balanced: true,
        }
    }

    /// Of two drawn by lot the one with fewer calls, among those that are well and not in `tried`;
    /// when none is well, among all. `None`: all were tried.
    pub(super) fn choose(&self, now: Instant, tried: u64) -> Option<usize> {
        let untried = self.all() & !tried;
        let well = self.well(now) & untried;
        let mut open = if well == 0 { untried } else { well };
        let first = draw(open)?;
        open &= !(1 << first);
        let Some(second) = draw(open) else { return Some(first) };
        let calls = |index: usize| self.members[index].in_flight.load(Ordering::Relaxed);
        Some(if calls(second) < calls(first) { second } else { first })
    }

    /// Whether there is a target that was not tried.
    pub(super) fn has_others(&self, tried: u64) -> bool {
        self.all() & !tried != 0
    }

    pub(super) fn hold(&self, index: usize) -> Held {
        let in_flight = Arc::clone(&self.members[index].in_flight);
        in_flight.fetch_add(1, Ordering::Relaxed);
        Held(in_flight)
    }

    /// How a call to a target went.
    pub(super) fn report(&self, index: usize, failed: bool, now: Instant) {
        let member = &self.members[index];
        if !failed {
            let mut condition = member.lock();
            condition.failures = 0;
            if condition
                .ejected_until
                .is_some_and(|until| now > until + self.outliers.ejected_at_most)
            {
                condition.ejections = 0;
                condition.ejected_until = None;
            }
            return;
        }
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let others_are_well = self.well(now) & !(1 << index) != 0;
        let mut condition = member.lock();
        condition.failures = condition.failures.saturating_add(1);
        let is_out = condition.ejected_until.is_some_and(|until| now < until);
        if condition.failures < self.outliers.failures || is_out || !others_are_well {
            return;
        }
        let factor = 2_u32.saturating_pow(condition.ejections);
        let time = self.outliers.ejected_for.saturating_mul(factor);
        let time = time.min(self.outliers.ejected_at_most);
        condition.ejected_until = Some(now + time);
        condition.ejections = condition.ejections.saturating_add(1);
        // Once it is back, one more failure is enough.
        condition.failures = self.outliers.failures.saturating_sub(1);
        drop(condition);
        let (target, seconds) = (&member.host, time.as_secs());
        tracing::warn!(%target, port = member.port, seconds, "A target fails and is left out.");
    }

    /// How a check of a target went.
    pub(super) fn checked(&self, index: usize, passed: bool, config: &HealthConfig) {
        let member = &self.members[index];
        let mut condition = member.lock();
        // An answer also ends the time for which calls were kept away; an open port does not, as
        // it says nothing of answers.
        let answers = config.check != Check::Tcp;
        let is_out = condition.is_unhealthy || (answers && condition.ejected_until.is_some());
        if passed != is_out {
            condition.contradicted = 0;
            return;
        }
        condition.contradicted = condition.contradicted.saturating_add(1);
        let needed = if passed { config.healthy } else { config.unhealthy };
        if condition.contradicted < needed {
            return;
        }
        condition.contradicted = 0;
        condition.is_unhealthy = !passed;
        if passed && answers {
            condition.ejected_until = None;
            condition.failures = 0;
        }
        drop(condition);
        let target = &member.host;
        tracing::info!(%target, port = member.port, passed, "A target's health changed.");
    }

    fn all(&self) -> u64 {
        // At most TARGETS_MAX of them, so the shift is below the width.
        u64::MAX.checked_shr(64 - u32::try_from(self.members.len()).unwrap_or(64)).unwrap_or(0)
    }

    /// A bit for each target that is healthy and not left out.
    pub(super) fn well(&self, now: Instant) -> u64 {
        self.members.iter().enumerate().fold(0, |well, (index, member)| {
            let condition = member.lock();
            let is_out = condition.ejected_until.is_some_and(|until| now < until);
            if condition.is_unhealthy || is_out { well } else { well | 1 << index }
        })
    }
}

impl Member {
    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the bits that are set, each as likely as the others.
fn draw(set: u64) -> Option<usize> {
    let count = set.count_ones();
    if count == 0 {
        return None;
    }
    let mut left = set;
    for _ in 0..rand::rng().next_u32() % count {
        left &= left - 1;
    }
    usize::try_from(left.trailing_zeros()).ok()
}
