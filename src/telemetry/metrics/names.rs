//! Every metric this program can show, in one table.
//!
//! A name is a promise to dashboards and alerts. `deploy/metrics.md` explains each one and a test
//! compares it with [`ALL`]; so a name cannot be added, changed or dropped in silence.
//!
//! Names follow Prometheus, "Metric and label naming": base units, `_total` for counters.

/// What a number means over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, with sum and count.
    Histogram,
}

/// One metric: its name as dashboards use it, and its labels in the order values are given.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric, in the order of the reference page.
        pub static ALL: &[&Family] = &[$(&$constant),*];
    };
}

families! {
    // Calls, counted at the door the client came in.
    REQUESTS Counter "tidegate_requests_total" ["api", "stage", "status", "cache"]
        "Calls answered";
    LATENCY Histogram "tidegate_latency_seconds" ["api", "stage"]
        "Time from a request's head to its response's end";
    INTEGRATION_LATENCY Histogram "tidegate_integration_latency_seconds" ["api", "stage"]
        "Time an integration took to answer";
    REQUEST_BYTES Counter "tidegate_request_bytes_total" ["api", "stage"]
        "Bytes of request bodies";
    RESPONSE_BYTES Counter "tidegate_response_bytes_total" ["api", "stage"]
        "Bytes of response bodies";

    // The same by method, where a method's settings switch metrics on.
    METHOD_REQUESTS Counter "tidegate_method_requests_total" ["api", "stage", "method", "resource", "status", "cache"]
        "Calls of a method answered";
    METHOD_LATENCY Histogram "tidegate_method_latency_seconds" ["api", "stage", "method", "resource"]
        "Time from a request's head to its response's end, by method";
    METHOD_INTEGRATION_LATENCY Histogram "tidegate_method_integration_latency_seconds" ["api", "stage", "method", "resource"]
        "Time an integration took to answer, by method";

    // Connections of clients.
    CONNECTIONS Gauge "tidegate_connections" ["listener", "protocol"]
        "Client connections open";
    CONNECTIONS_ACCEPTED Counter "tidegate_connections_accepted_total" ["listener", "protocol"]
        "Client connections accepted";
    CONNECTIONS_REFUSED Counter "tidegate_connections_refused_total" ["listener", "reason"]
        "Client connections closed before their first request";

    // Cache.
    CACHE_BYTES Gauge "tidegate_cache_bytes" ["tier"]
        "Bytes of cached answers";
    CACHE_ENTRIES Gauge "tidegate_cache_entries" ["tier"]
        "Cached answers";
    CACHE_HITS Counter "tidegate_cache_hits_total" ["tier"]
        "Look-ups answered by a tier";
    CACHE_MISSES Counter "tidegate_cache_misses_total" []
        "Look-ups no tier could answer";
    CACHE_STORES Counter "tidegate_cache_stores_total" []
        "Answers put into the cache";
    CACHE_DISK_ERRORS Counter "tidegate_cache_disk_errors_total" []
        "Disk reads and writes that failed, were late or did not verify";
    CACHE_DISK_OPEN Gauge "tidegate_cache_disk_usable" []
        "1 while the disk tier is used, 0 while its breaker is open or there is none";
    CACHE_PURGE_SEQUENCE Gauge "tidegate_cache_purge_sequence" []
        "Last purge this node applied";

    // Tunnel; `peer` is the region on an edge and the edge in the region.
    TUNNEL_CONNECTED Gauge "tidegate_tunnel_connected" ["peer"]
        "1 while the tunnel to the peer stands";
    TUNNEL_STREAMS Gauge "tidegate_tunnel_streams" ["peer"]
        "Calls inside the tunnel";
    TUNNEL_CONNECTS Counter "tidegate_tunnel_connects_total" ["peer"]
        "Times the tunnel was set up";
    TUNNEL_SENT_BYTES Counter "tidegate_tunnel_sent_bytes_total" ["peer"]
        "Bytes sent into the tunnel";
    TUNNEL_RECEIVED_BYTES Counter "tidegate_tunnel_received_bytes_total" ["peer"]
        "Bytes received from the tunnel";
    TUNNEL_ROUND_TRIP Gauge "tidegate_tunnel_round_trip_seconds" ["peer"]
        "Round-trip time of the tunnel";

    // Gossip and configuration.
    GOSSIP_NODES Gauge "tidegate_gossip_nodes" ["state"]
        "Nodes of the cluster as this one sees them";
    CONFIG_EPOCH Gauge "tidegate_config_epoch" []
        "Configuration epoch this node serves";
    CONFIG_EPOCH_LAG Gauge "tidegate_config_epoch_lag" []
        "Epochs between the newest configuration known and the one this node serves";

    // The node itself.
    ACCESS_LOG_LINES Counter "tidegate_access_log_lines_total" []
        "Access log lines written";
    ACCESS_LOG_DROPPED Counter "tidegate_access_log_dropped_lines_total" []
        "Access log lines lost to a full buffer or an unwritable file";
    PANICS Counter "tidegate_panics_total" []
        "Calls that ended in a panic; each one is a defect";
    BUILD_INFO Gauge "tidegate_build_info" ["version", "node", "role"]
        "Always 1; its labels say what runs";
    START_TIME Gauge "tidegate_start_time_seconds" []
        "When the node started, seconds since the Unix epoch";
}
