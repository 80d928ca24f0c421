//! What the metrics and gossip show of a running node, read when somebody looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::gossip::Key;
use crate::listener;
use crate::node::foundation::Core;
use crate::telemetry::metrics::names;

/// How often this node tells the others how full its cache is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Registers every series the node has, and starts telling gossip.
pub(super) fn watch(core: &Arc<Core>) {
    of_node(core);
    of_listeners(core);
    of_cache(core);
    of_tunnel(core);
    tell(core);
}

/// A series that ends with the node: it must not keep it alive.
fn series(
    core: &Arc<Core>,
    family: &'static names::Family,
    labels: &[&str],
    read: impl Fn(&Core) -> f64 + Send + Sync + 'static,
) {
    let weak: Weak<Core> = Arc::downgrade(core);
    core.metrics.watch(family, labels, move || weak.upgrade().map_or(0.0, |core| read(&core)));
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point by definition")]
fn float(number: u64) -> f64 {
    number as f64
}

fn load(number: &AtomicU64) -> f64 {
    float(number.load(Ordering::Relaxed))
}

fn of_node(core: &Arc<Core>) {
    let labels = [env!("CARGO_PKG_VERSION"), core.common.name.as_str(), core.role];
    series(core, &names::BUILD_INFO, &labels, |_| 1.0);
    series(core, &names::START_TIME, &[], |core| float(core.started_at.as_seconds()));
    series(core, &names::ACCESS_LOG_LINES, &[], |core| float(core.access_logs.lines_written()));
    series(core, &names::ACCESS_LOG_DROPPED, &[], |core| float(core.access_logs.lines_dropped()));
    series(core, &names::PANICS, &[], |core| {
        let listeners: u64 = core.listeners.iter().map(|(_, gauges)| gauges.panics()).sum();
        let edges = core.edges.as_ref().map_or(0.0, |edges| load(&edges.gauges().panics));
        float(listeners) + edges
    });
    series(core, &names::CONFIG_EPOCH, &[], |core| float(core.gateway.deployments.epoch()));
    series(core, &names::CONFIG_EPOCH_LAG, &[], |core| {
        let nodes = core.gossip.nodes();
        let newest = nodes.iter().filter_map(|node| node.get(Key::ConfigEpoch)?.parse().ok()).max();
        float(newest.unwrap_or(0_u64).saturating_sub(core.gateway.deployments.epoch()))
    });
    for (state, alive) in [("alive", true), ("dead", false)] {
        series(core, &names::GOSSIP_NODES, &[state], move |core| {
            let nodes = core.gossip.nodes();
            float(nodes.iter().filter(|node| node.alive == alive).count() as u64)
        });
    }
}

/// A listener's open connections, by protocol.
type Open = fn(&listener::Gauges) -> &AtomicU64;

fn of_listeners(core: &Arc<Core>) {
    let protocols: [(&str, Open); 3] = [
        ("http1", |gauges| &gauges.open_http1),
        ("http2", |gauges| &gauges.open_http2),
        ("http3", |gauges| &gauges.open_http3),
    ];
    let refusals: [(&str, Open); 3] = [
        ("handshake", |gauges| &gauges.handshakes_failed),
        ("address_bound", |gauges| &gauges.turned_away),
        ("too_slow", |gauges| &gauges.timed_out),
    ];
    for (index, (name, _)) in core.listeners.iter().enumerate() {
        let of = move |core: &Core, read: Open| {
            core.listeners.get(index).map_or(0.0, |(_, gauges)| load(read(gauges)))
        };
        for (protocol, read) in protocols {
            series(core, &names::CONNECTIONS, &[name, protocol], move |core| of(core, read));
        }
        for (reason, read) in refusals {
            series(core, &names::CONNECTIONS_REFUSED, &[name, reason], move |core| of(core, read));
        }
        series(core, &names::CONNECTIONS_ACCEPTED, &[name, "any"], move |core| {
            of(core, |gauges| &gauges.accepted)
        });
    }
}

fn of_cache(core: &Arc<Core>) {
    series(core, &names::CACHE_BYTES, &["memory"], |core| {
        float(core.gateway.cache.bytes_in_memory())
    });
    series(core, &names::CACHE_BYTES, &["disk"], |core| float(core.gateway.cache.disk_bytes()));
    series(core, &names::CACHE_ENTRIES, &["memory"], |core| float(core.gateway.cache.entries()));
    series(core, &names::CACHE_HITS, &["memory"], |core| {
        load(&core.gateway.cache.counters().hits_memory.0)
    });
    series(core, &names::CACHE_HITS, &["disk"], |core| {
        load(&core.gateway.cache.counters().hits_disk)
    });
    series(core, &names::CACHE_MISSES, &[], |core| load(&core.gateway.cache.counters().misses));
    series(core, &names::CACHE_STORES, &[], |core| load(&core.gateway.cache.counters().stores));
    series(core, &names::CACHE_DISK_ERRORS, &[], |core| {
        load(&core.gateway.cache.counters().disk_errors)
    });
    series(core, &names::CACHE_DISK_OPEN, &[], |core| {
        let cache = &core.gateway.cache;
        if core.common.cache.disk_bytes > 0 && !cache.disk_is_off() { 1.0 } else { 0.0 }
    });
    series(core, &names::CACHE_PURGE_SEQUENCE, &[], |core| {
        float(core.gateway.cache.purges().newest_seq())
    });
}

fn of_tunnel(core: &Arc<Core>) {
    let peer = if core.tunnel.is_some() { "region" } else { "edges" };
    if core.tunnel.is_none() && core.edges.is_none() {
        return;
    }
    fn gauges(core: &Core) -> Option<Arc<crate::tunnel::Gauges>> {
        let edge = core.tunnel.as_ref().map(|tunnel| Arc::clone(tunnel.gauges()));
        edge.or_else(|| core.edges.as_ref().map(|edges| Arc::clone(edges.gauges())))
    }
    type Read = fn(&crate::tunnel::Gauges) -> f64;
    let all: [(&'static names::Family, Read); 5] = [
        (&names::TUNNEL_STREAMS, |gauges| load(&gauges.calls_open)),
        (&names::TUNNEL_CONNECTS, |gauges| load(&gauges.connections)),
        (&names::TUNNEL_SENT_BYTES, |gauges| load(&gauges.bytes_sent)),
        (&names::TUNNEL_RECEIVED_BYTES, |gauges| load(&gauges.bytes_received)),
        (&names::TUNNEL_ROUND_TRIP, |gauges| load(&gauges.rtt_us) / 1e6),
    ];
    for (family, read) in all {
        series(core, family, &[peer], move |core| gauges(core).map_or(0.0, |gauges| read(&gauges)));
    }
    series(core, &names::TUNNEL_CONNECTED, &[peer], |core| match (&core.tunnel, &core.edges) {
        (Some(tunnel), _) => f64::from(u8::from(tunnel.is_connected())),
        (None, Some(edges)) => {
            float(edges.list().iter().filter(|edge| edge.connected).count() as u64)
        }
        (None, None) => 0.0,
    });
}

/// Tells gossip how full the cache is.
fn tell(core: &Arc<Core>) {
    let weak = Arc::downgrade(core);
    let stopped = core.tasks.stopped().clone();
    core.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                () = tokio::time::sleep(TELL_EVERY) => {}
            }
            let Some(core) = weak.upgrade() else { return };
            let cache = &core.gateway.cache;
            core.gossip.set(Key::CacheMemoryBytes, &cache.bytes_in_memory().to_string());
            core.gossip.set(Key::CacheMemoryEntries, &cache.entries().to_string());
            core.gossip.set(Key::CacheDiskBytes, &cache.disk_bytes().to_string());
        }
    });
}
