//! How do we speak HTTP to a backend, and how cheaply?
//!
//! One client per node, HTTP/1.1 to any backend and HTTP/2 to those that choose it in the TLS
//! handshake. An HTTP/1.1 connection has no task of its own: it is polled by the call that uses it
//! and afterwards by the body of its response, so a call costs no wake-up across tasks, and a
//! dropped call closes its connection, which is what tells the backend that nobody waits.
//! Connections are kept per host and preferably reused by the thread that opened them, because a
//! socket is woken by the runtime it was opened on.
//!
//! Not done here: redirects, cookies, proxies, decompression, caching. AWS does none of them either
//! ("HTTP integrations for REST APIs"). A call is sent a second time in one case only, when a kept
//! connection turned out to be dead before a byte of the answer came, the verb is safe and there is
//! no body (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).

mod body;
mod circuit;
mod dial;
mod exchange;
mod host;
mod manner;
#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Body as _;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;

use crate::net::socket::Network;
use crate::net::tasks::Tasks;

pub use body::{RequestBody, ResponseBody, StreamedBody};
pub use circuit::CircuitConfig;
pub use host::Host;
pub use manner::{ClientIdentity, IdentityError, Manner, Roots};

/// Hosts remembered at once; more are forgotten when nothing is open to them. One per integration
/// of every API a node may serve (300 resources, AWS quotas) with room for several APIs.
const HOSTS_MAX: usize = 4_096;
/// How often idle connections are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Any error, as hyper hands them on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What an operator may change.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest time for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// An unused connection is closed after this time. 60 s is shorter than the 65 to 75 s after
    /// which common backends close theirs, so that we seldom race them.
    pub idle_timeout: Duration,
    /// Unused connections kept per host.
    pub idle_per_host_max: usize,
    /// Connections per host, used and unused together; further calls wait for one.
    pub connections_per_host_max: usize,
    /// Calls per host that may wait for a connection; further ones fail. `None`: any number.
    pub pending_per_host_max: Option<usize>,
    /// `None`: a host that fails is asked again and again, as AWS does.
    pub circuit: Option<CircuitConfig>,
    /// How long an address list is used before the name is looked up again.
    pub dns_ttl: Duration,
    /// Trust the machine's root certificates.
    pub native_roots: bool,
    /// Root certificates trusted besides.
    pub roots: Vec<CertificateDer<'static>>,
    /// Offer HTTP/2 to HTTPS backends.
    pub http2: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_per_host_max: 512,
            connections_per_host_max: 4_096,
            pending_per_host_max: None,
            circuit: None,
            dns_ttl: Duration::from_secs(5),
            native_roots: true,
            roots: Vec::new(),
            http2: true,
        }
    }
}

/// Why a backend gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    #[error("name {host} was not resolved: {cause}")]
    Resolve { host: Arc<str>, cause: Arc<str> },
    #[error("connection refused by {host}:{port}")]
    Refused { host: Arc<str>, port: u16 },
    #[error("no connection to {host}:{port}: {cause}")]
    Connect { host: Arc<str>, port: u16, cause: Arc<str> },
    #[error("TLS with {host}: {cause}")]
    Tls { host: Arc<str>, cause: Arc<str> },
    #[error("connecting took longer than {} ms", limit.as_millis())]
    ConnectTimedOut { limit: Duration },
    #[error("no answer within the time allowed")]
    TimedOut,
    #[error("connection broke: {0}")]
    Broken(Arc<str>),
    #[error("the answer is not HTTP: {0}")]
    NotHttp(Arc<str>),
    /// The body handed to the client failed; the error is its own.
    #[error("the request's body ended early: {0}")]
    RequestBody(Arc<dyn std::error::Error + Send + Sync>),
    #[error(
        "{limit} calls wait for a connection to {host}:{port} already ([backends] pending_max)"
    )]
    TooManyPending { host: Arc<str>, port: u16, limit: usize },
    #[error(
        "{host}:{port} failed too often and is not asked for another {} ms ([backends] circuit)",
        left.as_millis()
    )]
    CircuitOpen { host: Arc<str>, port: u16, left: Duration },
}

impl ClientError {
    /// Whether it speaks against the host, and not against the call or our own bounds.
    pub fn is_of_host(&self) -> bool {
        match self {
            ClientError::Resolve { .. }
            | ClientError::Refused { .. }
            | ClientError::Connect { .. }
            | ClientError::Tls { .. }
            | ClientError::ConnectTimedOut { .. }
            | ClientError::TimedOut
            | ClientError::Broken(_)
            | ClientError::NotHttp(_) => true,
            ClientError::RequestBody(_)
            | ClientError::TooManyPending { .. }
            | ClientError::CircuitOpen { .. } => false,
        }
    }
}

/// A request that got no answer. It comes back where not a byte of it was sent, so that whoever has
/// another target may ask that one: no verb can have had an effect.
#[derive(Debug)]
pub struct Unanswered {
    pub error: ClientError,
    pub unsent: Option<Outgoing>,
}

impl From<ClientError> for Box<Unanswered> {
    fn from(error: ClientError) -> Self {
        Box::new(Unanswered { error, unsent: None })
    }
}

/// Where a request goes; connections are kept per target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub scheme: Scheme,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: Arc<str>,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
    /// TLS without a look at the certificate: `tlsConfig.insecureSkipVerification`.
    HttpsUnverified,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https | Scheme::HttpsUnverified => 443,
        }
    }
}

/// A request on its way to a backend. `Host` is the target's unless `headers` has one; lengths and
/// transfer codings are set by the client from the body.
#[derive(Debug)]
pub struct Outgoing {
    pub method: Method,
    pub path_and_query: PathAndQuery,
    pub headers: HeaderMap,
    pub body: RequestBody,
}

impl Outgoing {
    /// Whether sending it twice does no harm (RFC 9110 section 9.2.2).
    fn is_repeatable(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && self.body.is_end_stream()
    }
}

/// The client. Clones share connections.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

struct Shared {
    id: u64,
    config: Config,
    network: Arc<dyn Network>,
    tasks: Tasks,
    tls: dial::Tls,
    names: dial::Names,
    hosts: Mutex<Hosts>,
}

impl HttpClient {
    /// Starts the task that closes idle connections; it ends when `tasks` are stopped or the last
    /// clone of the client is gone.
    pub fn new(config: Config, network: Arc<dyn Network>, tasks: Tasks) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let shared = Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tls: dial::Tls::new(&config),
            names: dial::Names::new(config.dns_ttl),
            config,
            network,
            tasks: tasks.clone(),
            hosts: Mutex::new(HashMap::new()),
        });
        let weak = Arc::downgrade(&shared);
        let stopped = tasks.stopped().clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stopped.cancelled() => break,
                    () = tokio::time::sleep(SWEEP_EVERY) => {}
                }
                let Some(shared) = weak.upgrade() else { return };
                shared.sweep(Instant::now());
            }
            if let Some(shared) = weak.upgrade() {
                for host in shared.all_hosts() {
                    host.close_idle();
                }
            }
        });
        Self(shared)
    }

    /// The place where connections to `target` are kept. Callers keep it, so that a call need not
    /// look it up.
    pub fn host(&self, target: &Target) -> Arc<Host> {
        self.host_as(target, &Manner::default())
    }

    /// The same for another manner of speaking to it.
    pub fn host_as(&self, target: &Target, manner: &Manner) -> Arc<Host> {
        let mut hosts = self.0.hosts();
        self.0.look_up(&mut hosts, target, manner)
    }

    /// The same for a target that a call named, who could name any number: `None` where as many
    /// hosts are in use as are remembered at once.
    pub fn host_if_room(&self, target: &Target, manner: &Manner) -> Option<Arc<Host>> {
        let mut hosts = self.0.hosts();
        let key = (target.clone(), manner.clone());
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&key) {
            hosts.retain(|_, host| host.is_wanted());
            if hosts.len() >= HOSTS_MAX {
                return None;
            }
        }
        Some(self.0.look_up(&mut hosts, target, manner))
    }

    /// Whether `host` is one of this client's: one process may run several nodes.
    pub fn owns(&self, host: &Host) -> bool {
        host.client == self.0.id
    }

    /// Sends a request and waits for the head of its response, at most until `deadline`.
    ///
    /// The body is read as it is polled and has no deadline of its own. Dropping the future or the
    /// body closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
    pub async fn send(
        &self,
        host: &Arc<Host>,
        request: Outgoing,
        deadline: Instant,
    ) -> Result<Response<ResponseBody>, ClientError> {
        let spare = request.is_repeatable().then(|| {
            (request.method.clone(), request.path_and_query.clone(), request.headers.clone())
        });
        let again = || {
            let (method, path_and_query, headers) = spare.clone()?;
            Some(Outgoing { method, path_and_query, headers, body: RequestBody::Empty })
        };
        self.send_remade(host, request, &again, deadline).await
    }

    /// The same, for a caller that can make its request once more: `again` is called when a kept
    /// connection turned out to be dead and the request may be sent twice; what it makes must be
    /// the same request, without a body.
    pub async fn send_remade(
        &self,
        host: &Arc<Host>,
        request: Outgoing,
        again: &(dyn Fn() -> Option<Outgoing> + Sync),
        deadline: Instant,
    ) -> Result<Response<ResponseBody>, ClientError> {
        let sent = self.send_or_return(host, request, again, deadline).await;
        sent.map_err(|unanswered| unanswered.error)
    }

    /// The same, and the request comes back where not a byte of it was sent.
    pub async fn send_or_return(
        &self,
        host: &Arc<Host>,
        request: Outgoing,
        again: &(dyn Fn() -> Option<Outgoing> + Sync),
        deadline: Instant,
    ) -> Result<Response<ResponseBody>, Box<Unanswered>> {
        let pass = match &host.circuit {
            Some(circuit) => Some(circuit.admit(Instant::now()).map_err(|left| {
                let Target { host, port, .. } = host.target.clone();
                ClientError::CircuitOpen { host, port, left }
            })?),
            None => None,
        };
        let sent = exchange::send(&self.0, host, request, again, deadline);
        let outcome = match tokio::time::timeout_at(deadline, sent).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ClientError::TimedOut.into()),
        };
        if let Some(pass) = pass {
            let status = outcome.as_ref().map(Response::status).map_err(|lost| &lost.error);
            if pass.ended(circuit::is_failure(status), Instant::now()) {
                let Target { host, port, .. } = &host.target;
                tracing::warn!(%host, port, "A backend fails too often and gets a rest.");
            }
        }
        outcome
    }

    /// Opens a TCP connection and closes it again: whether somebody listens there.
    ///
    /// # Errors
    /// Why there is none within `limit`.
    pub async fn reach(&self, target: &Target, limit: Duration) -> Result<(), ClientError> {
        match tokio::time::timeout(limit, dial::connect(&self.0, target)).await {
            Ok(outcome) => outcome.map(drop),
            Err(_elapsed) => Err(ClientError::ConnectTimedOut { limit }),
        }
    }
}

type Hosts = HashMap<(Target, Manner), Arc<Host>>;

impl Shared {
    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, hosts: &mut Hosts, target: &Target, manner: &Manner) -> Arc<Host> {
        let key = (target.clone(), manner.clone());
        if let Some(host) = hosts.get(&key) {
            return host.clone();
        }
        if hosts.len() >= HOSTS_MAX {
            hosts.retain(|_, host| host.is_wanted());
        }
        let host = Arc::new(Host::new(self.id, target.clone(), manner.clone(), &self.config));
        hosts.insert(key, host.clone());
        host
    }

    fn all_hosts(&self) -> Vec<Arc<Host>> {
        self.hosts().values().cloned().collect()
    }

    fn sweep(&self, now: Instant) {
        for host in self.all_hosts() {
            host.sweep(now);
        }
        // What nobody keeps and nothing is open to: hosts of calls that named them, and those of
        // certificates that were replaced.
        self.hosts().retain(|_, host| Arc::strong_count(host) > 1 || host.is_wanted());
        self.names.sweep(now);
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpClient").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// The beginning of a URI, up to its path.
impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https | Scheme::HttpsUnverified => "https",
        };
        write!(out, "{scheme}://{}", self.authority())
    }
}

impl Target {
    /// `host:port` as `Host` and `:authority` carry it: no port where it is the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    /// `None` when the name holds what no header may hold.
    pub fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.authority()).ok()
    }
}
