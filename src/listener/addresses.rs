//! How much does one address already have open, and how fast does it come back?
//!
//! Two bounds: open connections, counted exactly, and new connections per second, by governor's
//! token rule. IPv6 clients are counted by /64, the smallest block a site is given (RFC 6177), or
//! one site could appear as 2^64 addresses.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::listener::Limits;
use crate::net::clock::{Clock, Timestamp};

/// Open connections and recent arrivals per address; shared by all workers of a listener.
pub(super) struct Addresses {
    open: Mutex<HashMap<IpAddr, u32>>,
    open_max: u32,
    arrivals: Arrivals,
}

type Arrivals = RateLimiter<IpAddr, DashMapStateStore<IpAddr>, NodeClock, NoOpMiddleware<Duration>>;

/// The node's clock as governor reads it.
#[derive(Clone, Debug)]
struct NodeClock(Clock);

impl governor::clock::Clock for NodeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().since(Timestamp::from_millis(0))
    }
}

/// One open connection of an address, until dropped.
pub(super) struct Ticket {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn new(limits: &Limits, clock: &Clock) -> Self {
        let rate =
            NonZeroU32::new(limits.handshakes_per_address_per_second).unwrap_or(NonZeroU32::MIN);
        Self {
            open: Mutex::default(),
            open_max: limits.connections_per_address,
            arrivals: RateLimiter::dashmap_with_clock(
                Quota::per_second(rate),
                NodeClock(clock.clone()),
            ),
        }
    }

    /// Counts a new connection in, or returns nothing if the address has had enough.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Ticket> {
        let address = block(peer.ip());
        self.arrivals.check_key(&address).ok()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= self.open_max {
            return None;
        }
        *count += 1;
        Some(Ticket { addresses: self.clone(), address })
    }

    /// Forgets addresses that have not come back; without it a scan would fill the memory.
    pub(super) fn forget_the_quiet(&self) {
        self.arrivals.retain_recent();
        self.arrivals.shrink_to_fit();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What counts as one address.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(open: u32, rate: u32) -> (Arc<Addresses>, Clock) {
        let limits = Limits {
            connections_per_address: open,
            handshakes_per_address_per_second: rate,
            ..Limits::default()
        };
        let clock = Clock::manual(1_700_000_000_000);
        (Arc::new(Addresses::new(&limits, &clock)), clock)
    }

    #[test]
    fn open_connections_are_bounded_per_address() {
        let (addresses, _) = addresses(2, 1_000);
        let one = addresses.admit("[2001:db8::1]:1".parse().unwrap());
        let two = addresses.admit("[2001:db8::2]:1".parse().unwrap());
        assert!(one.is_some() && two.is_some());
        assert!(addresses.admit("[2001:db8::3]:1".parse().unwrap()).is_none(), "same /64");
        assert!(addresses.admit("[2001:db8:0:1::3]:1".parse().unwrap()).is_some());
        drop(one);
        assert!(addresses.admit("[2001:db8::3]:1".parse().unwrap()).is_some());
        drop(two);
        assert!(addresses.open.lock().unwrap().is_empty());
    }

    #[test]
    fn arrivals_are_bounded_per_address() {
        let (addresses, clock) = addresses(1_000, 3);
        let peer = "192.0.2.1:9".parse().unwrap();
        let admitted = || (0..50).filter(|_| addresses.admit(peer).is_some()).count();
        assert_eq!((admitted(), admitted()), (3, 0));
        clock.advance(Duration::from_millis(400));
        assert_eq!((admitted(), admitted()), (1, 0));
        clock.advance(Duration::from_secs(60));
        assert_eq!((admitted(), admitted()), (3, 0));
        assert!(addresses.admit("192.0.2.2:9".parse().unwrap()).is_some());
    }
}
