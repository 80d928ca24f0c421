//! Taking connections in, and keeping on doing so whatever happens to one of them.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::call::Connection;
use crate::listener::addresses::{Addresses, Ticket};
use crate::listener::gather::GatherStream;
use crate::listener::guard::Guard;
use crate::listener::head::HeadLimits;
use crate::listener::service::{self, OnThisRuntime, Session};
use crate::listener::watch::{Ending, Finishing, Roll, Vitals, watch};
use crate::listener::{Config, Counted, Gauges, Handler};
use crate::net::clock::{Clock, Timestamp};
use crate::net::socket::{Listener, Stream};
use crate::net::tasks::Tasks;

/// How long to wait when the machine has no descriptors or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the same trouble is worth a line in the log.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// How often addresses that did not come back are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// hyper's read buffer at most; more than the largest head the guard lets through.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Flow-control windows: enough for 100 Mbit/s over 80 ms (RFC 9113 section 6.9.2).
const WINDOW_BYTES: u32 = 1024 * 1024;
/// Decoded header list h2 accepts; the finer limits are ours to check and to answer.
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
/// Streams a client may reset before we have looked at them, and we because of its errors, before
/// the connection is closed (CVE-2023-44487 "rapid reset" and CVE-2025-8671 "made you reset").
const PENDING_RESETS_MAX: usize = 64;
const LOCAL_RESETS_MAX: usize = 256;
/// Bytes of a reply h2 buffers per stream.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// What all connections of a listener share.
pub(super) struct Front<H> {
    pub(super) handler: H,
    pub(super) config: Config,
    pub(super) local: SocketAddr,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) alt_svc: Option<HeaderValue>,
    pub(super) addresses: Arc<Addresses>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) clock: Clock,
}

/// Accepts on one worker until told to stop, then waits for the worker's connections to end.
pub(super) async fn accept<H: Handler>(
    mut listener: Listener,
    front: Arc<Front<H>>,
    tasks: Tasks,
    sweeps: bool,
) {
    let roll = Arc::new(Roll::default());
    let mut sweep = tokio::time::interval(FORGET_EVERY);
    let mut trouble = Trouble { clock: front.clock.clone(), logged: None };
    loop {
        let accepted = tokio::select! {
            biased;
            () = tasks.draining().cancelled() => break,
            () = tasks.stopped().cancelled() => break,
            _ = sweep.tick(), if sweeps => {
                front.addresses.forget_the_quiet();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take_in(&front, &roll, &tasks, stream, peer),
            Err(err) if is_of_one_connection(&err) => {}
            Err(err) => {
                trouble.log(&err);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    roll.drain();
    tokio::select! {
        () = roll.empty() => {}
        () = tasks.stopped().cancelled() => roll.stop(),
    }
}

/// Errors of `accept` that belong to a connection that is gone already (accept(2)).
fn is_of_one_connection(err: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        err.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::InvalidInput
            | Kind::NotConnected
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::TimedOut
    )
}

/// Logs repeated trouble once in a while.
struct Trouble {
    clock: Clock,
    logged: Option<Timestamp>,
}

impl Trouble {
    fn log(&mut self, err: &io::Error) {
        let now = self.clock.now();
        if self.logged.is_none_or(|logged| now.since(logged) >= LOG_PAUSE) {
            self.logged = Some(now);
            tracing::warn!(%err, "No connection could be accepted; trying again.");
        }
    }
}

fn take_in<H: Handler>(
    front: &Arc<Front<H>>,
    roll: &Arc<Roll>,
    tasks: &Tasks,
    stream: Stream,
    peer: SocketAddr,
) {
    front.gauges.accepted.fetch_add(1, Ordering::Relaxed);
    let Some(ticket) = front.addresses.admit(peer) else {
        front.gauges.turned_away.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let (front, roll, stopped) = (front.clone(), roll.clone(), tasks.stopped().clone());
    drop(tasks.spawn(async move {
        let gauges = front.gauges.clone();
        let served = serve(front, roll, stopped, stream, peer, ticket);
        match AssertUnwindSafe(served).catch_unwind().await {
            Ok(Some(Ending::TimedOut)) => {
                gauges.timed_out.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, "A connection was dropped because its peer was too slow.");
            }
            Ok(_) => {}
            Err(_) => gauges.panicked(),
        }
    }));
}

/// Serves one connection to its end. The phases are boxed, each at the place where it is made: an
/// async function keeps room for what passes through it, and a connection idles for minutes.
async fn serve<H: Handler>(
    front: Arc<Front<H>>,
    roll: Arc<Roll>,
    stopped: tokio_util::sync::CancellationToken,
    stream: Stream,
    peer: SocketAddr,
    ticket: Ticket,
) -> Option<Ending> {
    let _ticket = ticket;
    let connection = Connection {
        door: front.config.door.clone(),
        peer,
        local: front.local,
        tls_version: "",
        cipher_suite: "",
        sni: None,
    };
    let served = match front.tls.clone() {
        None => serve_http1(front, connection, stream, roll),
        Some(config) => {
            let accept = Box::pin(TlsAcceptor::from(config).accept(stream));
            let stream = shake(&front, accept, &stopped).await?;
            over_tls(front, connection, stream, roll)
        }
    };
    Some(served.await)
}

/// The TLS handshake within its time.
async fn shake<H>(
    front: &Front<H>,
    accept: Pin<Box<Accept<Stream>>>,
    stopped: &tokio_util::sync::CancellationToken,
) -> Option<Box<TlsStream<Stream>>> {
    let _handshaking = Counted::new(&front.gauges, |gauges| &gauges.handshaking);
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(front.config.limits.header_timeout, accept) => shaken,
        () = stopped.cancelled() => return None,
    };
    let Ok(Ok(stream)) = shaken else {
        front.gauges.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    Some(Box::new(stream))
}

fn over_tls<H: Handler>(
    front: Arc<Front<H>>,
    mut connection: Connection,
    stream: Box<TlsStream<Stream>>,
    roll: Arc<Roll>,
) -> Served {
    let tls = stream.get_ref().1;
    connection.tls_version = tls.protocol_version().map_or("", version_name);
    connection.cipher_suite =
        tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
    connection.sni = tls.server_name().map(str::to_ascii_lowercase);
    if tls.alpn_protocol() == Some(b"h2") {
        serve_http2(front, connection, stream, roll)
    } else {
        serve_http1(front, connection, stream, roll)
    }
}

/// As AWS writes it in `$context.tlsVersion`-like fields and OpenSSL prints it.
fn version_name(version: rustls::ProtocolVersion) -> &'static str {
    match version {
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "",
    }
}

/// A connection being served.
type Served = Pin<Box<dyn Future<Output = Ending> + Send>>;

fn serve_http1<H, S>(
    front: Arc<Front<H>>,
    connection: Connection,
    stream: S,
    roll: Arc<Roll>,
) -> Served
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let open = Counted::new(&front.gauges, |gauges| &gauges.open_http1);
    let vitals = Arc::new(Vitals::default());
    let limits = &front.config.limits;
    let head_limits = HeadLimits {
        uri_bytes: limits.uri_bytes,
        header_bytes: limits.header_bytes,
        body_bytes: limits.body_bytes,
    };
    let stream = TokioIo::new(Guard::new(stream, head_limits, vitals.clone()));
    let session = Arc::new(Session {
        front: front.clone(),
        connection: Arc::new(connection),
        vitals: vitals.clone(),
    });
    let service = service_fn(move |request| service::http1(&session, request));
    // No timer: the watch keeps the deadlines. No pipeline_flush: it would buffer whole bodies.
    let served =
        http1::Builder::new().max_buf_size(READ_BUFFER_BYTES_MAX).serve_connection(stream, service);
    let served = Box::pin(Finishing::new(served, |served| served.graceful_shutdown()));
    Box::pin(async move {
        let _open = open;
        watch(served, &vitals, &front.config.limits, &roll).await
    })
}

fn serve_http2<H, S>(
    front: Arc<Front<H>>,
    connection: Connection,
    stream: S,
    roll: Arc<Roll>,
) -> Served
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let open = Counted::new(&front.gauges, |gauges| &gauges.open_http2);
    let vitals = Arc::new(Vitals::default());
    let limits = &front.config.limits;
    let session = Arc::new(Session {
        front: front.clone(),
        connection: Arc::new(connection),
        vitals: vitals.clone(),
    });
    let service = service_fn(move |request| service::http2(&session, request));
    let gather = GatherStream::new(stream, vitals.clone());
    // No pings: the watch ends what shows no life, and pings would read the clock at every frame.
    let served =
        http2::Builder::new(OnThisRuntime { gauges: front.gauges.clone(), vitals: vitals.clone() })
            .max_concurrent_streams(limits.streams_per_connection)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .serve_connection(TokioIo::new(gather.handle()), service);
    let served = Finishing::new(served, |served| served.graceful_shutdown());
    let served = Box::pin(gather.drive(served));
    Box::pin(async move {
        let _open = open;
        watch(served, &vitals, &front.config.limits, &roll).await
    })
}
