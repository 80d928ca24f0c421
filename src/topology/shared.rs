//! What the file says once for all nodes: limits, timeouts, certificates, backends, workers, log.

use std::path::Path;
use std::time::Duration;

use crate::model::document::{At, Section};
use crate::model::quotas;
use crate::net::client::CircuitConfig;
use crate::node::config::{
    BackendsConfig, CertificateConfig, LimitsConfig, LogConfig, TimeoutsConfig,
};
use crate::telemetry::logs;
use crate::topology::units;

const MIB: u64 = 1 << 20;
/// Connections to one backend: more than a machine has ports for one address.
const CONNECTIONS_MAX: i64 = 100_000;
/// Failures a circuit remembers the times of.
const FAILURES_MAX: i64 = 1_000;
const CIRCUIT_TIME: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3_600));

pub(super) fn limits(at: Option<At<'_>>) -> LimitsConfig {
    let mut limits = LimitsConfig::default();
    let Some(at) = at else { return limits };
    let section = Section::new(at);
    if let Some(size) = size(&section, "body_bytes", 1 << 30) {
        limits.body_bytes = size;
    }
    for (key, most, limit) in [
        ("header_bytes", MIB, &mut limits.header_bytes),
        ("uri_bytes_edge", MIB / 16, &mut limits.uri_bytes_edge),
        ("uri_bytes_regional", MIB / 16, &mut limits.uri_bytes_regional),
    ] {
        if let Some(size) = size(&section, key, most).and_then(|size| usize::try_from(size).ok()) {
            *limit = size;
        }
    }
    for (key, most, limit) in [
        ("connections_per_address", 10_000_000, &mut limits.connections_per_address),
        (
            "handshakes_per_address_per_second",
            10_000_000,
            &mut limits.handshakes_per_address_per_second,
        ),
        ("streams_per_connection", 10_000, &mut limits.streams_per_connection),
    ] {
        let count = section.take(key).and_then(|at| at.integer(1, most));
        if let Some(count) = count.and_then(|count| u32::try_from(count).ok()) {
            *limit = count;
        }
    }
    section.finish();
    limits
}

fn size(section: &Section<'_>, key: &'static str, most: u64) -> Option<u64> {
    section.take(key).and_then(|at| units::bytes(&at, 1, most))
}

pub(super) fn timeouts(at: Option<At<'_>>) -> TimeoutsConfig {
    const HOUR: Duration = Duration::from_secs(3_600);
    const SHORTEST: Duration = Duration::from_millis(100);
    let mut timeouts = TimeoutsConfig::default();
    let Some(at) = at else { return timeouts };
    let section = Section::new(at);
    for (key, least, time) in [
        ("header_read", SHORTEST, &mut timeouts.header_read),
        ("idle", SHORTEST, &mut timeouts.idle),
        ("stall", SHORTEST, &mut timeouts.stall),
        ("integration_max", quotas::INTEGRATION_TIMEOUT_MIN, &mut timeouts.integration_max),
        ("drain_grace", Duration::ZERO, &mut timeouts.drain_grace),
    ] {
        if let Some(given) = section.take(key).and_then(|at| units::duration(&at, least, HOUR)) {
            *time = given;
        }
    }
    section.finish();
    timeouts
}

pub(super) fn certificates(list: Option<At<'_>>, folder: &Path) -> Vec<CertificateConfig> {
    let mut certificates: Vec<CertificateConfig> = Vec::new();
    for at in list.map(|at| at.items()).unwrap_or_default() {
        let section = Section::new(at);
        let mut names = Vec::new();
        for name_at in section.require("names").map(|at| at.items()).unwrap_or_default() {
            let Some(name) = units::certificate_name(&name_at) else { continue };
            if names.contains(&name) || certificates.iter().any(|c| c.names.contains(&name)) {
                name_at.problem(format!("`{name}` has a certificate already"), None);
            }
            names.push(name);
        }
        let cert = section.require("cert").and_then(|at| units::path(&at, folder));
        let key = section.require("key").and_then(|at| units::path(&at, folder));
        section.finish();
        if let (Some(cert), Some(key)) = (cert, key) {
            certificates.push(CertificateConfig { names, cert, key });
        }
    }
    certificates
}

pub(super) fn workers(at: Option<At<'_>>) -> Option<usize> {
    const WORKERS_MAX: i64 = 256;
    let section = Section::new(at?);
    let count = section.take("count").and_then(|at| at.integer(1, WORKERS_MAX));
    section.finish();
    count.and_then(|count| usize::try_from(count).ok())
}

pub(super) fn log(at: Option<At<'_>>) -> LogConfig {
    let section = at.map(Section::new);
    let filter = section.as_ref().and_then(|s| s.take("filter")).and_then(|at| units::words(&at));
    let json = section.as_ref().and_then(|s| s.take("format")).is_some_and(|at| match at.text() {
        Some("json") => true,
        Some("text") | None => false,
        Some(other) => {
            at.problem(
                format!("`{other}` is no log format"),
                Some("\"text\" or \"json\"".to_owned()),
            );
            false
        }
    });
    if let Some(section) = section {
        section.finish();
    }
    LogConfig { filter: filter.unwrap_or_else(|| logs::DEFAULT_FILTER.to_owned()), json }
}

pub(super) fn backends(at: Option<At<'_>>, folder: &Path) -> BackendsConfig {
    let mut config = BackendsConfig {
        roots: Vec::new(),
        system_roots: true,
        connections_max: None,
        pending_max: None,
        circuit: None,
    };
    let Some(at) = at else { return config };
    let section = Section::new(at);
    for root in section.take("roots").map(|at| at.items()).unwrap_or_default() {
        config.roots.extend(units::path(&root, folder));
    }
    if let Some(on) = section.take("system_roots").and_then(|at| at.boolean()) {
        config.system_roots = on;
    }
    let count = |section: &Section<'_>, key, least| {
        let count = section.take(key).and_then(|at| at.integer(least, CONNECTIONS_MAX));
        count.and_then(|count| usize::try_from(count).ok())
    };
    config.connections_max = count(&section, "connections_max", 1);
    config.pending_max = count(&section, "pending_max", 0);
    config.circuit = section.take("circuit").and_then(circuit);
    section.finish();
    config
}

fn circuit(at: At<'_>) -> Option<CircuitConfig> {
    let section = Section::new(at);
    let failures = section.require("failures").and_then(|at| at.integer(1, FAILURES_MAX));
    let time = |key, default| {
        let at = section.take(key);
        at.and_then(|at| units::duration(&at, CIRCUIT_TIME.0, CIRCUIT_TIME.1)).unwrap_or(default)
    };
    let window = time("window", Duration::from_secs(10));
    let open_for = time("open_for", Duration::from_secs(30));
    section.finish();
    let failures = usize::try_from(failures?).ok()?;
    Some(CircuitConfig { failures, window, open_for })
}
