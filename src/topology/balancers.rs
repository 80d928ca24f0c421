//! `[[region.load_balancer]]`: what the ARN behind a VPC link stands for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::integration::link::{Check, HealthConfig, ListenerConfig, OutlierConfig, TARGETS_MAX};
use crate::model::document::{At, Section};
use crate::node::config::BalancerConfig;
use crate::topology::units;

/// Load balancers of one region, and listeners of one of them. AWS: "Quotas for your Network Load
/// Balancers" (50 per region and 50 listeners each, unless raised).
const BALANCERS_MAX: usize = 200;
const LISTENERS_MAX: usize = 50;
/// Checks in a row; AWS allows 2 to 10.
const STREAK_MAX: i64 = 100;
/// Failed calls in a row.
const FAILURES_MAX: i64 = 10_000;
/// Between two checks, and for one. AWS: 5 to 300 s and 2 to 120 s.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3_600));
/// What an ejection may take.
const EJECTION: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(86_400));

pub(super) fn read(list: Option<At<'_>>, folder: &Path) -> Vec<BalancerConfig> {
    let Some(list) = list else { return Vec::new() };
    let items = list.items();
    if items.len() > BALANCERS_MAX {
        list.problem(format!("more than {BALANCERS_MAX} load balancers"), None);
    }
    let mut balancers: Vec<BalancerConfig> = Vec::new();
    for at in items.into_iter().take(BALANCERS_MAX) {
        let Some(balancer) = balancer(at.clone(), folder) else { continue };
        if balancers.iter().any(|other| other.arn == balancer.arn) {
            at.problem(format!("there is a load balancer `{}` already", balancer.arn), None);
        }
        let same = |other: &BalancerConfig| other.link.is_some() && other.link == balancer.link;
        if balancers.iter().any(same) {
            at.problem("another load balancer has this `link` already", None);
        }
        balancers.push(balancer);
    }
    balancers
}

fn balancer(at: At<'_>, folder: &Path) -> Option<BalancerConfig> {
    let section = Section::new(at);
    let arn = section.require("arn").and_then(|at| arn(&at));
    let roots = section.take("tls_roots").map(|at| at.items()).unwrap_or_default();
    let balancer = BalancerConfig {
        arn: arn.clone().unwrap_or_default(),
        link: section.take("link").and_then(|at| units::name(&at)),
        listeners: listeners(section.require("listener")),
        health: section.take("health").and_then(health),
        outliers: outliers(section.take("outliers")),
        tls_roots: roots.iter().filter_map(|at| units::path(at, folder)).collect(),
    };
    section.finish();
    arn.map(|_| balancer)
}

fn arn(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let is_good = text.starts_with("arn:")
        && text.splitn(6, ':').filter(|part| !part.is_empty()).count() >= 4
        && text.len() <= 2_048
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_good {
        let hint = "arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/net/NAME/ID";
        at.problem(format!("`{text}` is no ARN"), Some(hint.to_owned()));
        return None;
    }
    Some(text.to_owned())
}

fn listeners(list: Option<At<'_>>) -> Vec<ListenerConfig> {
    let Some(list) = list else { return Vec::new() };
    let items = list.items();
    if items.is_empty() || items.len() > LISTENERS_MAX {
        list.problem(format!("1 to {LISTENERS_MAX} listeners, please"), None);
    }
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for at in items.into_iter().take(LISTENERS_MAX) {
        let section = Section::new(at.clone());
        let port = section.require("port").and_then(|at| at.integer(1, 65_535));
        let port = port.and_then(|port| u16::try_from(port).ok());
        let targets = section.require("targets").map(|at| targets(&at)).unwrap_or_default();
        let arn = section.take("arn").and_then(|at| arn(&at));
        section.finish();
        let Some(port) = port else { continue };
        if listeners.iter().any(|other| other.port == port) {
            at.problem(format!("there is a listener on port {port} already"), None);
        }
        listeners.push(ListenerConfig { arn, port, targets });
    }
    listeners
}

fn targets(at: &At<'_>) -> Vec<(Arc<str>, u16)> {
    let items = at.items();
    if items.is_empty() || items.len() > TARGETS_MAX {
        at.problem(format!("1 to {TARGETS_MAX} targets, please"), None);
    }
    items.iter().filter_map(units::dial).filter_map(|text| address(&text)).collect()
}

/// Host and port of what is known to be an address; an IPv6 one loses its brackets.
fn address(text: &str) -> Option<(Arc<str>, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    Some((Arc::from(host), port.parse().ok()?))
}

fn health(at: At<'_>) -> Option<HealthConfig> {
    let section = Section::new(at);
    let path_at = section.take("path");
    let path = path_at.as_ref().and_then(path);
    let tcp = section.take("tcp").and_then(|at| at.boolean()).unwrap_or(false);
    let tls = section.take("tls").and_then(|at| at.boolean()).unwrap_or(false);
    if path_at.is_some() == tcp || (tls && tcp) {
        let hint = "path = \"/health\", or that with tls = true, or tcp = true";
        section.at.problem("a check asks for a path or opens a connection", Some(hint.to_owned()));
    }
    let check = match path {
        Some(path) if tls => Check::Https { path },
        Some(path) => Check::Http { path },
        None => Check::Tcp,
    };
    let time = |key, default| {
        let at = section.take(key);
        at.and_then(|at| units::duration(&at, INTERVAL.0, INTERVAL.1)).unwrap_or(default)
    };
    let count = |key, default| {
        let count = section.take(key).and_then(|at| at.integer(1, STREAK_MAX));
        count.and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
    };
    // Half of AWS's defaults of interval and time: we have no fleet of checkers to spread.
    let health = HealthConfig {
        check,
        interval: time("interval", Duration::from_secs(10)),
        timeout: time("timeout", Duration::from_secs(5)),
        healthy: count("healthy", 3),
        unhealthy: count("unhealthy", 3),
    };
    section.finish();
    Some(health)
}

fn path(at: &At<'_>) -> Option<PathAndQuery> {
    let text = at.text()?;
    let path = Some(text).filter(|text| text.starts_with('/')).and_then(|text| text.parse().ok());
    if path.is_none() {
        at.problem(format!("`{text}` is no path"), Some("such as \"/health\"".to_owned()));
    }
    path
}

fn outliers(at: Option<At<'_>>) -> OutlierConfig {
    let mut outliers = OutlierConfig::default();
    let Some(at) = at else { return outliers };
    let section = Section::new(at);
    if let Some(count) = section.take("failures").and_then(|at| at.integer(1, FAILURES_MAX)) {
        outliers.failures = u32::try_from(count).unwrap_or(outliers.failures);
    }
    for (key, time) in [
        ("ejected_for", &mut outliers.ejected_for),
        ("ejected_at_most", &mut outliers.ejected_at_most),
    ] {
        let given = section.take(key);
        if let Some(given) = given.and_then(|at| units::duration(&at, EJECTION.0, EJECTION.1)) {
            *time = given;
        }
    }
    section.finish();
    outliers
}
