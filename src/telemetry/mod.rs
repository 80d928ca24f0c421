//! What happened? Access log, metrics and the program's own log.
//!
//! A call must never wait for the people who watch it. So everything on the call's way is a few
//! additions to memory that only the call's own thread touches in practice: a log line is rendered
//! into a per-thread buffer, a measurement is added to a per-thread block of counters. A task
//! writes the lines out, a scrape adds the blocks up.
//!
//! This room does not decide what is logged for which stage; the deployment compiles a
//! [`access_log::Format`] and opens an [`access_log::AccessLog`], the pipeline fills the record.
//!
//! AWS: API Gateway Developer Guide, "Set up CloudWatch logging for REST APIs in API Gateway" and
//! "Amazon API Gateway dimensions and metrics".

pub mod access_log;
pub mod logs;
pub mod metrics;

use std::sync::atomic::{AtomicUsize, Ordering};

/// A small number that belongs to the calling thread, handed out in order of first use. Threads
/// whose numbers differ modulo the size of a table never meet in it.
fn thread_slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    SLOT.with(|slot| *slot)
}
