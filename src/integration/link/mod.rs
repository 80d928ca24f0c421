//! VPC links: whom do we ask when an integration names a load balancer instead of a host?
//!
//! A link leads to a load balancer's ARN, and the topology says which addresses stand behind it,
//! listener by listener. The gateway balances itself: no load balancer has to run, and none of the
//! addresses is known to anybody but the region. The integration's URI gives the path, `Host`, the
//! name checked in a certificate, and by its port the listener.
//!
//! Of two targets drawn by lot the one with fewer calls in flight is asked. Who fails several times
//! in a row is left out for a while, longer each time, but never the last one; health checks, where
//! they are asked for, take targets out and bring them back. When none is well, all are tried:
//! a network load balancer does the same. A call whose connection could not be opened goes to
//! another target, whatever its verb, because nothing was sent; nothing else is tried again here.
//!
//! AWS: API Gateway Developer Guide, "Set up a private integration"; Elastic Load Balancing,
//! "Health checks for Network Load Balancer target groups" (fail-open).

mod health;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Response, header};
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;

use super::IntegrationError;
use crate::net::client::{
    ClientError, HttpClient, IdentityError, Manner, Outgoing, RequestBody, ResponseBody, Roots,
    Scheme, Target, Unanswered,
};
use crate::net::tasks::Tasks;
pub(super) use pool::Held;
use pool::Pool;

/// Targets behind one listener: as many as have a bit each.
pub const TARGETS_MAX: usize = 64;
/// Targets one call tries to connect to. A third fresh failure says more of us than of them.
const TARGETS_TRIED_MAX: u32 = 3;
/// A link that leads nowhere is told of at most this often: each call would otherwise say it.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What an ARN stands for.
#[derive(Clone, Debug)]
pub struct BalancerConfig {
    pub arn: String,
    /// The id of a VPC link that leads here without anybody having made it.
    pub link: Option<String>,
    /// Ports are unique.
    pub listeners: Vec<ListenerConfig>,
    /// `None`: only calls tell how a target fares.
    pub health: Option<HealthConfig>,
    pub outliers: OutlierConfig,
    /// Roots for HTTPS to these targets, in place of the node's own; empty: the node's own.
    pub roots: Vec<CertificateDer<'static>>,
}

/// One listener's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The listener's own ARN, where an integration may name it.
    pub arn: Option<String>,
    pub port: u16,
    /// Name or address, and port; 1 to [`TARGETS_MAX`].
    pub targets: Vec<(Arc<str>, u16)>,
}

/// How targets are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    pub check: Check,
    pub interval: Duration,
    pub timeout: Duration,
    /// Checks passed in a row that bring a target back.
    pub healthy: u32,
    /// Checks failed in a row that take it out.
    pub unhealthy: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A connection can be opened.
    Tcp,
    /// GET answers 200 to 399.
    Http { path: PathAndQuery },
    /// The same over TLS; its certificate is not looked at.
    Https { path: PathAndQuery },
}

/// When a target is left out because calls to it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// Failed connections and answers of 500 and more, in a row.
    pub failures: u32,
    /// How long at first; it doubles from one time to the next.
    pub ejected_for: Duration,
    pub ejected_at_most: Duration,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        // As Envoy has them (`outlier_detection`: consecutive_5xx, base and max_ejection_time).
        Self {
            failures: 5,
            ejected_for: Duration::from_secs(30),
            ejected_at_most: Duration::from_secs(300),
        }
    }
}

/// All load balancers of a topology. Clones share what is known of the targets.
#[derive(Clone, Debug, Default)]
pub struct Balancers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By the listener's port.
    balancers: HashMap<String, Vec<Arc<Pool>>>,
    /// Listeners that have an ARN of their own.
    listeners: HashMap<String, Arc<Pool>>,
    /// ARN by the id of the link that the topology has for it.
    links: HashMap<String, String>,
    /// Milliseconds since `began` when it was told last that a link leads nowhere, plus one; 0 is
    /// never.
    told: AtomicU64,
    began: Option<Instant>,
}

impl Balancers {
    /// Starts the checks of those that have any; they end when `tasks` are stopped.
    ///
    /// # Errors
    /// The ARN of the load balancer whose roots are none.
    pub fn start(
        configs: Vec<BalancerConfig>,
        client: &HttpClient,
        tasks: &Tasks,
    ) -> Result<Self, (String, IdentityError)> {
        let mut shared = Shared { began: Some(Instant::now()), ..Shared::default() };
        for config in configs {
            let roots = match config.roots.as_slice() {
                [] => None,
                roots => {
                    let roots = Roots::new(roots).map_err(|err| (config.arn.clone(), err))?;
                    Some(Arc::new(roots))
                }
            };
            let mut pools = Vec::with_capacity(config.listeners.len());
            for listener in &config.listeners {
                let pool = Arc::new(Pool::new(listener, config.outliers, roots.clone()));
                if let Some(arn) = &listener.arn {
                    shared.listeners.insert(arn.clone(), Arc::clone(&pool));
                }
                pools.push(pool);
            }
            if let Some(health) = &config.health {
                health::watch(&pools, health, client, tasks);
            }
            if let Some(link) = config.link {
                shared.links.insert(link, config.arn.clone());
            }
            shared.balancers.insert(config.arn, pools);
        }
        Ok(Self(Arc::new(shared)))
    }

    /// The targets behind an ARN: a listener's own, else a load balancer's listener on that port.
    /// What is no ARN is the id of a link that only the topology may know.
    fn find(&self, named: &str, port: u16) -> Result<&Arc<Pool>, IntegrationError> {
        let arn = match self.0.links.get(named) {
            Some(arn) => arn,
            None if named.starts_with("arn:") => named,
            None => {
                return Err(self.lead_nowhere(Arc::from(format!(
                    "there is no VPC link `{named}`: create it, or give a \
                     `[[region.load_balancer]]` of the topology this `link`"
                ))));
            }
        };
        if let Some(pool) = self.0.listeners.get(arn) {
            return Ok(pool);
        }
        let owner = balancer_of(arn);
        let found = self.0.balancers.get(arn).or_else(|| self.0.balancers.get(owner.as_deref()?));
        let Some(pools) = found else {
            return Err(self.lead_nowhere(Arc::from(format!(
                "the VPC link leads to `{arn}`, and no `[[region.load_balancer]]` of the topology \
                 has that `arn`"
            ))));
        };
        pools.iter().find(|pool| pool.port == port).ok_or_else(|| {
            let ports: Vec<String> = pools.iter().map(|pool| pool.port.to_string()).collect();
            self.lead_nowhere(Arc::from(format!(
                "load balancer `{arn}` has no listener on port {port} (in the topology it has {})",
                ports.join(", ")
            )))
        })
    }

    /// What a call gets whose link leads nowhere; the log says it now and then.
    pub(super) fn lead_nowhere(&self, why: Arc<str>) -> IntegrationError {
        let now = self.0.began.map_or(0, |began| began.elapsed().as_millis());
        let now = u64::try_from(now).unwrap_or(u64::MAX).saturating_add(1);
        let told = self.0.told.load(Ordering::Relaxed);
        let every = u64::try_from(TOLD_EVERY.as_millis()).unwrap_or(u64::MAX);
        if told == 0 || now.saturating_sub(told) >= every {
            self.0.told.store(now, Ordering::Relaxed);
            tracing::warn!(%why, "Calls through a VPC link fail.");
        }
        IntegrationError::Configuration(why)
    }

    /// Asks one of the targets behind `arn`. `named` is the integration's URI: its port chooses the
    /// listener, its host is what `Host` and the certificate say. The target counts the call until
    /// what comes with the response is dropped.
    pub(super) async fn ask(
        &self,
        client: &HttpClient,
        (arn, named): (&str, &Target),
        manner: &Manner,
        make: &(dyn Fn() -> Result<Outgoing, IntegrationError> + Sync),
        body: RequestBody,
        deadline: Instant,
    ) -> Result<(Response<ResponseBody>, Held), IntegrationError> {
        let pool = self.find(arn, named.port)?;
        let manner = pool.manner(manner, named);
        let make = || {
            let mut outgoing = make()?;
            if !outgoing.headers.contains_key(header::HOST)
                && let Some(host) = named.host_header()
            {
                outgoing.headers.insert(header::HOST, host);
            }
            Ok::<_, IntegrationError>(outgoing)
        };
        let mut request = Outgoing { body, ..make()? };
        let began = Instant::now();
        let mut tried = 0_u64;
        loop {
            let Some(index) = pool.choose(Instant::now(), tried) else {
                return Err(IntegrationError::Network(Arc::from("the listener has no targets")));
            };
            tried |= 1 << index;
            let held = pool.hold(index);
            let target = Target { scheme: named.scheme, ..pool.target(index) };
            let host = client.host_as(&target, &manner);
            let again = || make().ok();
            let sent = client.send_or_return(&host, request, &again, deadline).await;
            let Unanswered { error, unsent } = match sent {
                Ok(response) => {
                    let failed = response.status().is_server_error();
                    pool.report(index, failed, Instant::now());
                    return Ok((response, held));
                }
                Err(unanswered) => *unanswered,
            };
            if error.is_of_host() {
                pool.report(index, true, Instant::now());
                tracing::debug!(arn, target = %target.host, port = target.port, %error,
                    "A target of a VPC link failed.");
            }
            let left = tried.count_ones() < TARGETS_TRIED_MAX && pool.has_others(tried);
            request = match unsent {
                Some(unsent) if left && !matches!(error, ClientError::TimedOut) => unsent,
                _ => return Err(super::forward::explain(error, deadline - began)),
            };
        }
    }
}

/// The load balancer's ARN in a listener's: `…:listener/net/name/id/listener-id` belongs to
/// `…:loadbalancer/net/name/id`.
fn balancer_of(arn: &str) -> Option<String> {
    let (before, rest) = arn.split_once(":listener/")?;
    let (owner, _listener) = rest.rsplit_once('/')?;
    Some(format!("{before}:loadbalancer/{owner}"))
}

/// A target as the client knows it; the scheme is the call's.
fn target(host: &Arc<str>, port: u16) -> Target {
    Target { scheme: Scheme::Http, host: Arc::clone(host), port }
}
