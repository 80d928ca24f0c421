//! Have we a fresh answer? And if not: who fetches it, and who waits?
//!
//! Read in this order: `key` (what makes two calls the same), `entry` (what is kept), `purge`
//! (what must not be shown any more), `tiers` (memory, then disk), `fill` (one filler, many
//! waiters). Freshness is judged here, by our clock, at every read; the libraries behind the tiers
//! only decide what to throw away when space runs out. What may be cached at all, and for how
//! long, is decided above.
//!
//! AWS: API Gateway Developer Guide, "Cache settings for REST APIs in API Gateway".

mod disk;
pub mod entry;
pub mod fill;
mod front;
pub mod key;
pub mod purge;
mod record;
mod seen;
pub mod tiers;

#[cfg(test)]
mod tests;
