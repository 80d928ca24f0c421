//! Stopping in order: say so, take nothing new, let calls finish, flush, let go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::node::foundation::Core;

/// How often it is looked whether the last call has gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time for tasks to end once they have been told to.
const LET_GO: Duration = Duration::from_secs(5);

pub(super) async fn stop(core: Arc<Core>) {
    core.gossip.leave().await;
    core.tasks.draining().cancel();
    let grace = core.common.timeouts.drain_grace;
    if tokio::time::timeout(grace, drained(&core)).await.is_err() {
        tracing::warn!(left = connections(&core), "Grace is over; calls in flight are cut off.");
    }
    core.gateway.cache.close().await;
    let logs = core.access_logs.clone();
    // The last lines are written by a thread that may wait for the disk.
    let flushed = core.tasks.runtime().spawn_blocking(move || logs.flush());
    if flushed.await.is_err() {
        tracing::warn!("The access log's last lines could not be written.");
    }
    kill(&core).await;
}

pub(super) async fn kill(core: &Core) {
    core.tasks.draining().cancel();
    core.tasks.stopped().cancel();
    let ended = async {
        if let Some(control) = &core.control {
            control.close().await;
        }
        core.tasks.ended().await;
    };
    if tokio::time::timeout(LET_GO, ended).await.is_err() {
        tracing::warn!("Some tasks did not end in time.");
    }
}

async fn drained(core: &Core) {
    while connections(core) > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Client connections that still have something to finish, and calls from edges.
fn connections(core: &Core) -> u64 {
    let open = core.listeners.iter().map(|(_, gauges)| {
        gauges.open_http1.load(Ordering::Relaxed)
            + gauges.open_http2.load(Ordering::Relaxed)
            + gauges.open_http3.load(Ordering::Relaxed)
    });
    let calls =
        core.edges.as_ref().map_or(0, |edges| edges.gauges().calls_open.load(Ordering::Relaxed));
    open.sum::<u64>() + calls
}
