//! The door to clients: who is calling, in which protocol, and is it one well-formed request?
//!
//! A listener accepts TLS 1.3 and 1.2 with HTTP/1.1 and HTTP/2, and QUIC with HTTP/3, and hands
//! each request to a [`Handler`]. It alone bounds what an unknown peer may cost us: time, memory,
//! connections, streams. Requests that two parsers could read differently never reach a handler.
//!
//! Each worker has a TCP socket of its own on the shared address (SO_REUSEPORT), so a connection
//! lives and dies on one thread; HTTP/3 has one socket, on the first worker.
//!
//! It does not know APIs, stages or gateway responses: even the text of a refusal comes from the
//! handler. WebSocket is not offered yet.
//!
//! RFC 9110, RFC 9112, RFC 9113, RFC 9114; API Gateway Developer Guide, "Quotas for configuring
//! and running a REST API".

mod accept;
mod addresses;
mod body;
mod gather;
mod guard;
mod head;
mod http3;
mod service;
mod tls;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response};

use crate::call::{Body, Connection, Door};
use crate::model::quotas;
use crate::net::clock::Clock;
use crate::net::socket::{self, Network};
use crate::net::tasks::Tasks;

pub use crate::listener::tls::{CertificateSource, Certificates, Material};

/// Ports tried when the operator asks for any free port and UDP must follow TCP.
const ANY_PORT_TRIES: usize = 16;
/// How long a client may rely on the HTTP/3 offer, seconds; RFC 7838 section 3.1 suggests a day.
const ALT_SVC_SECONDS: u32 = 86_400;

/// What a listener does with requests.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request. A panic in here or in the answer's future costs this request only.
    ///
    /// HTTP/1.1 requests carry their authority in `Host`, HTTP/2 and HTTP/3 requests in the URI.
    fn handle(&self, connection: Arc<Connection>, request: Request<Body>) -> Answer;

    /// The reply to a request the listener refused; the connection closes after it.
    fn refuse(&self, connection: &Connection, reason: Refused) -> Response<Body>;
}

/// A handler's answer.
///
/// The two cases are kept apart because what waits is large and what need not wait is frequent: a
/// future that may wait would be carried, and copied several times over, by every request that is
/// answered at once, and its room would stay with every idle HTTP/1.1 connection.
pub enum Answer {
    /// There already.
    Now(Response<Body>),
    /// On its way.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Answer::Now(_) => "Now",
            Answer::Later(_) => "Later",
        })
    }
}

/// Why the listener refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not HTTP as the RFCs write it.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// HTTP that another parser may read as another request.
    #[error("ambiguous request: {0}")]
    Ambiguous(&'static str),
    #[error("request target is longer than {limit} bytes")]
    UriTooLong { limit: usize },
    #[error("headers are longer than {limit} bytes")]
    HeadersTooLarge { limit: usize },
    #[error("request has more than {limit} headers")]
    TooManyHeaders { limit: usize },
    #[error("declared body is longer than {limit} bytes")]
    BodyTooLarge { limit: u64 },
    /// The handler panicked; the fault is ours.
    #[error("the handler panicked")]
    Panicked,
}

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("{address} is already in use; stop the other process or choose another port")]
    AddressTaken { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("a listener needs at least one worker")]
    NoWorker,
    #[error("certificate {what}: {cause}")]
    Certificate { what: String, cause: String },
    #[error("cannot read {}: {source}", path.display())]
    CertificateFile { path: PathBuf, source: io::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// TLS with HTTP/1.1 and HTTP/2, and, if wanted, HTTP/3 on the same port number.
    Https { http3: bool },
    /// HTTP/1.1 without TLS: for benches, tests, and behind a TLS terminator.
    Plain,
    /// HTTP/1.1 without TLS that only sends clients to this HTTPS port: 308 for GET and HEAD,
    /// 403 for the rest, whose bodies must not travel in the clear.
    RedirectTo(u16),
}

/// Configuration of one listener.
#[derive(Clone, Debug)]
pub struct Config {
    pub door: Door,
    /// Port 0 takes any free port.
    pub address: SocketAddr,
    pub speaks: Speaks,
    pub limits: Limits,
}

/// What one peer may take. Where AWS names a figure it is the default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Request target, bytes.
    pub uri_bytes: usize,
    /// Names and values of all headers together, bytes.
    pub header_bytes: usize,
    /// Request body, bytes.
    pub body_bytes: u64,
    /// From a request's first byte to the end of its head; also for the TLS handshake.
    pub header_timeout: Duration,
    /// Without a byte in either direction; over TCP without a call in flight, too.
    pub idle_timeout: Duration,
    /// A body we wait for, without a byte of it.
    pub body_stall: Duration,
    /// A reply the client does not take, without a byte of it taken.
    pub write_stall: Duration,
    /// Open connections per address (IPv6: per /64).
    pub connections_per_address: u32,
    /// New connections per address and second, and as many at once.
    pub handshakes_per_address_per_second: u32,
    /// Requests at the same time on one HTTP/2 or HTTP/3 connection.
    pub streams_per_connection: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uri_bytes: quotas::URI_BYTES_MAX_REGIONAL,
            header_bytes: quotas::HEADER_BYTES_MAX,
            body_bytes: quotas::BODY_BYTES_MAX,
            // AWS has no figure; 10 s carries a full head over a 10 kbit/s line.
            header_timeout: Duration::from_secs(10),
            idle_timeout: quotas::IDLE_CONNECTION,
            // One integration timeout: nobody behind us would have waited longer.
            body_stall: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            // Wide enough for an office or a carrier behind one address.
            connections_per_address: 16_384,
            handshakes_per_address_per_second: 8_192,
            streams_per_connection: 128,
        }
    }
}

/// Counters of a listener. `open_*` go up and down, the others only up.
#[derive(Debug, Default)]
pub struct Gauges {
    pub open_http1: AtomicU64,
    pub open_http2: AtomicU64,
    pub open_http3: AtomicU64,
    /// TLS or QUIC handshakes under way.
    pub handshaking: AtomicU64,
    pub accepted: AtomicU64,
    pub handshakes_failed: AtomicU64,
    /// Connections dropped for a bound per address.
    pub turned_away: AtomicU64,
    /// Connections dropped because the peer was too slow.
    pub timed_out: AtomicU64,
    /// Requests answered by [`Handler::refuse`].
    pub refused: AtomicU64,
    panics: AtomicU64,
}

impl Gauges {
    /// Handlers that panicked. A healthy node shows 0.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("A handler panicked; the call was answered, the cause is above.");
    }
}

/// Adds one while it lives.
#[derive(Debug)]
struct Counted(Arc<Gauges>, fn(&Gauges) -> &AtomicU64);

impl Counted {
    fn new(gauges: &Arc<Gauges>, which: fn(&Gauges) -> &AtomicU64) -> Self {
        which(gauges).fetch_add(1, Ordering::Relaxed);
        Self(gauges.clone(), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A listener whose sockets are open but which does not accept yet.
pub struct Bound {
    config: Config,
    address: SocketAddr,
    network: Arc<dyn Network>,
    clock: Clock,
    workers: Vec<(socket::Listener, Tasks)>,
    udp: Option<Arc<dyn quinn::AsyncUdpSocket>>,
    gauges: Arc<Gauges>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Opens the sockets: a TCP socket on each worker's runtime and, for HTTP/3, a UDP socket on the
/// first. All listeners of a node are bound before any of them serves, so that a taken port is an
/// error before the first client comes.
///
/// # Errors
/// [`ListenerError::AddressTaken`], [`ListenerError::Bind`], [`ListenerError::NoWorker`].
pub fn bind(
    config: Config,
    network: &Arc<dyn Network>,
    clock: &Clock,
    workers: &[Tasks],
) -> Result<Bound, ListenerError> {
    let mut tries = if config.address.port() == 0 { ANY_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_once(&config, network, clock, workers) {
            Err(ListenerError::AddressTaken { .. }) if tries > 0 => {}
            done => return done,
        }
    }
}

fn bind_once(
    config: &Config,
    network: &Arc<dyn Network>,
    clock: &Clock,
    workers: &[Tasks],
) -> Result<Bound, ListenerError> {
    let failed = |address: SocketAddr, source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenerError::AddressTaken { address },
        _ => ListenerError::Bind { address, source },
    };
    let first = workers.first().ok_or(ListenerError::NoWorker)?;
    let alone = {
        let _runtime = first.runtime().enter();
        network.listen(config.address, false).map_err(|err| failed(config.address, err))?
    };
    let address = alone.local_addr().map_err(|err| failed(config.address, err))?;
    let mut listeners = Vec::with_capacity(workers.len());
    if workers.len() == 1 {
        listeners.push((alone, first.clone()));
    } else {
        // SO_REUSEPORT would let us share the port with a stranger; the socket that just took the
        // address alone has shown that there is none.
        drop(alone);
        for worker in workers {
            let _runtime = worker.runtime().enter();
            let listener = network.listen(address, true).map_err(|err| failed(address, err))?;
            listeners.push((listener, worker.clone()));
        }
    }
    let udp = match config.speaks {
        Speaks::Https { http3: true } => {
            let _runtime = first.runtime().enter();
            Some(network.udp(address).map_err(|err| failed(address, err))?)
        }
        _ => None,
    };
    Ok(Bound {
        config: config.clone(),
        address,
        network: network.clone(),
        clock: clock.clone(),
        workers: listeners,
        udp,
        gauges: Arc::default(),
    })
}

impl Bound {
    /// Where clients connect; the port is the real one even when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn gauges(&self) -> Arc<Gauges> {
        self.gauges.clone()
    }

    /// Starts accepting. Returns at once; the work is done by tasks on the workers.
    ///
    /// When the tasks are `draining`, connections are told to finish (`Connection: close`, GOAWAY)
    /// and the tasks end with the last of them; when `stopped`, everything is dropped.
    ///
    /// # Errors
    /// [`ListenerError::Tls`] if TLS or QUIC cannot be set up with these certificates.
    pub fn serve<H: Handler>(
        self,
        handler: H,
        certificates: &Arc<Certificates>,
    ) -> Result<(), ListenerError> {
        let tls = match self.config.speaks {
            Speaks::Https { .. } => Some(certificates.server_config(&[b"h2", b"http/1.1"])?),
            Speaks::Plain | Speaks::RedirectTo(_) => None,
        };
        let alt_svc = match self.config.speaks {
            Speaks::Https { http3: true } => {
                let offer = format!("h3=\":{}\"; ma={ALT_SVC_SECONDS}", self.address.port());
                HeaderValue::try_from(offer).ok()
            }
            _ => None,
        };
        let addresses = addresses::Addresses::new(&self.config.limits, &self.clock);
        let addresses = Arc::new(addresses);
        let front = Arc::new(accept::Front {
            handler,
            config: self.config,
            local: self.address,
            tls,
            alt_svc,
            addresses,
            gauges: self.gauges,
            clock: self.clock,
        });
        if let (Some(udp), Some((_, tasks))) = (self.udp, self.workers.first()) {
            let crypto = certificates.server_config(&[b"h3"])?;
            let _runtime = tasks.runtime().enter();
            http3::serve(&front, crypto, udp, self.network.quic_runtime(), tasks)?;
        }
        for (index, (listener, tasks)) in self.workers.into_iter().enumerate() {
            let accepting = accept::accept(listener, front.clone(), tasks.clone(), index == 0);
            drop(tasks.spawn(accepting));
        }
        Ok(())
    }
}
