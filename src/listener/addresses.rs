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

use governor::{DefaultKeyedRateLimiter, Quota};

use crate::listener::Limits;

/// Open connections and recent arrivals per address; shared by all workers of a listener.
pub(super) struct Addresses {
    open: Mutex<HashMap<IpAddr, u32>>,
    open_max: u32,
    arrivals: DefaultKeyedRateLimiter<IpAddr>,
}

/// One open connection of an address, until dropped.
pub(super) struct Ticket {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn new(limits: &Limits) -> Self {
        let rate =
            NonZeroU32::new(limits.handshakes_per_address_per_second).unwrap_or(NonZeroU32::MIN);
        Self {
            open: Mutex::default(),
            open_max: limits.connections_per_address,
            arrivals: DefaultKeyedRateLimiter::keyed(Quota::per_second(rate)),
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

    fn addresses(open: u32, rate: u32) -> Arc<Addresses> {
        Arc::new(Addresses::new(&Limits {
            connections_per_address: open,
            handshakes_per_address_per_second: rate,
            ..Limits::default()
        }))
    }

    #[test]
    fn open_connections_are_bounded_per_address() {
        let addresses = addresses(2, 1_000);
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
        let addresses = addresses(1_000, 3);
        let peer = "192.0.2.1:9".parse().unwrap();
        let admitted = (0..50).filter(|_| addresses.admit(peer).is_some()).count();
        assert!((3..50).contains(&admitted), "{admitted}");
        assert!(addresses.admit("192.0.2.2:9".parse().unwrap()).is_some());
    }
}
