//! Opening a connection: name, TCP, TLS, HTTP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::body::describe;
use super::host::{Http1, Http2, Slot};
use super::{ClientError, Config, Host, Manner, Scheme, Shared, Target};
use crate::net::socket::{Network, Stream};
use crate::net::tasks::Tasks;

/// Names remembered at once; as many as there can be hosts.
const NAMES_MAX: usize = 4_096;
/// Largest head of a response and largest piece read of its body, bytes: a response's headers are
/// small, and 64 KiB is what one TLS read or one socket buffer yields at a time.
const READ_BUFFER_MAX: usize = 64 * 1024;
/// HTTP/2 windows, bytes. A body of 10 MiB must not stop at the 64 KiB that RFC 9113 starts with.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// An HTTP/2 connection is asked for a sign of life this often while calls are in flight.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(10);

/// A new connection.
pub(super) enum Fresh {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// Opens a connection within `connect_timeout`.
pub(super) async fn dial(shared: &Shared, host: &Host, slot: Slot) -> Result<Fresh, ClientError> {
    let limit = shared.config.connect_timeout;
    match tokio::time::timeout(limit, open(shared, host, slot)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(ClientError::ConnectTimedOut { limit }),
    }
}

async fn open(shared: &Shared, host: &Host, slot: Slot) -> Result<Fresh, ClientError> {
    let target = &host.target;
    let stream = connect(shared, target).await?;
    let heard = Arc::new(AtomicBool::new(false));
    if target.scheme == Scheme::Http {
        return http1(Io { socket: Socket::Plain(stream), heard: heard.clone() }, heard, slot)
            .await;
    }
    let failed =
        |cause: String| ClientError::Tls { host: target.host.clone(), cause: Arc::from(cause) };
    let manner = &host.manner;
    let name = manner.server_name.as_ref().unwrap_or(&target.host);
    let name = ServerName::try_from(name.to_string())
        .map_err(|_| failed("the name is not one a certificate can hold".to_owned()))?;
    let config = match manner.has_usual_tls() {
        true => shared.tls.config(target.scheme),
        false => host.tls.get_or_init(|| shared.tls.make(target.scheme, manner)).clone(),
    };
    let config = config.map_err(|err| failed(err.to_string()))?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|err| failed(describe(&err)))?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Io { socket: Socket::Tls(Box::new(stream)), heard: heard.clone() };
    if h2 { http2(shared, io, slot).await } else { http1(io, heard, slot).await }
}

/// Tries the name's addresses in order and reports the last failure.
pub(super) async fn connect(shared: &Shared, target: &Target) -> Result<Stream, ClientError> {
    let addresses = shared.names.resolve(&*shared.network, &target.host, target.port).await?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.iter() {
        match shared.network.connect(SocketAddr::new(*address, target.port)).await {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    let (host, port) = (target.host.clone(), target.port);
    Err(if last.kind() == io::ErrorKind::ConnectionRefused {
        ClientError::Refused { host, port }
    } else {
        ClientError::Connect { host, port, cause: Arc::from(last.to_string()) }
    })
}

async fn http1(io: Io, heard: Arc<AtomicBool>, slot: Slot) -> Result<Fresh, ClientError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER_MAX)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|err| ClientError::Broken(Arc::from(describe(&err))))?;
    Ok(Fresh::Http1(Box::new(Http1::new(sender, connection, heard, slot))))
}

/// An HTTP/2 connection carries many calls, so it has a task, on the runtime of its first call.
async fn http2(shared: &Shared, io: Io, slot: Slot) -> Result<Fresh, ClientError> {
    let tasks = shared.tasks.on(Handle::current());
    let (sender, connection) = http2::Builder::new(TaskExecutor(tasks.clone()))
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(HTTP2_PING_EVERY)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|err| ClientError::Broken(Arc::from(describe(&err))))?;
    let stopped = tasks.stopped().clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {}
            // Its errors reach the calls that use it.
            outcome = connection => drop(outcome),
        }
    });
    Ok(Fresh::Http2(Http2::new(sender, slot)))
}

/// hyper's executor for what an HTTP/2 connection starts, such as the sending of a body.
#[derive(Clone)]
struct TaskExecutor(Tasks);

impl<F> hyper::rt::Executor<F> for TaskExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A socket that remembers whether a byte came in.
pub(super) struct Io {
    socket: Socket,
    heard: Arc<AtomicBool>,
}

enum Socket {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Names looked up lately.
pub(super) struct Names {
    ttl: Duration,
    known: Mutex<HashMap<Arc<str>, Known>>,
}

/// Addresses and when they were looked up.
type Known = (Instant, Arc<[IpAddr]>);

impl Names {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, known: Mutex::new(HashMap::new()) }
    }

    async fn resolve(
        &self,
        network: &dyn Network,
        host: &Arc<str>,
        port: u16,
    ) -> Result<Arc<[IpAddr]>, ClientError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::from([address]));
        }
        if let Some(known) = self.fresh(host) {
            return Ok(known);
        }
        let found = network.resolve(host, port).await.map_err(|err| ClientError::Resolve {
            host: host.clone(),
            cause: Arc::from(err.to_string()),
        })?;
        let found: Arc<[IpAddr]> = found.iter().map(SocketAddr::ip).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < NAMES_MAX || known.contains_key(host) {
            known.insert(host.clone(), (Instant::now(), found.clone()));
        }
        Ok(found)
    }

    fn fresh(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(host).filter(|(since, _)| since.elapsed() < self.ttl).map(|(_, ips)| ips.clone())
    }

    pub(super) fn sweep(&self, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (since, _)| now.duration_since(*since) < self.ttl);
    }
}

/// TLS towards backends, made when the first HTTPS backend is called: reading the machine's root
/// certificates takes longer than the start of a node should.
pub(super) struct Tls {
    native_roots: bool,
    roots: Vec<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
    /// What is trusted: the machine's roots and the operator's.
    store: OnceLock<Result<Arc<RootCertStore>, rustls::Error>>,
    verified: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
    unverified: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

impl Tls {
    pub(super) fn new(config: &Config) -> Self {
        let mut alpn = vec![b"http/1.1".to_vec()];
        if config.http2 {
            alpn.insert(0, b"h2".to_vec());
        }
        Self {
            native_roots: config.native_roots,
            roots: config.roots.clone(),
            alpn,
            store: OnceLock::new(),
            verified: OnceLock::new(),
            unverified: OnceLock::new(),
        }
    }

    fn config(&self, scheme: Scheme) -> Result<Arc<ClientConfig>, rustls::Error> {
        let usual = match scheme {
            Scheme::HttpsUnverified => &self.unverified,
            Scheme::Http | Scheme::Https => &self.verified,
        };
        usual.get_or_init(|| self.make(scheme, &Manner::default())).clone()
    }

    fn make(&self, scheme: Scheme, manner: &Manner) -> Result<Arc<ClientConfig>, rustls::Error> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match scheme {
            Scheme::HttpsUnverified => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms))),
            Scheme::Http | Scheme::Https => builder.with_root_certificates(match &manner.roots {
                Some(roots) => Arc::clone(&roots.store),
                None => self.store.get_or_init(|| self.trusted()).clone()?,
            }),
        };
        let mut config = match &manner.identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }

    fn trusted(&self) -> Result<Arc<RootCertStore>, rustls::Error> {
        let mut store = RootCertStore::empty();
        if self.native_roots {
            let native = rustls_native_certs::load_native_certs();
            for err in &native.errors {
                tracing::warn!(%err, "Some of the machine's root certificates were not read.");
            }
            let (_, ignored) = store.add_parsable_certificates(native.certs);
            if ignored > 0 {
                tracing::debug!(ignored, "Some of the machine's root certificates are unusable.");
            }
        }
        for root in &self.roots {
            store.add(root.clone())?;
        }
        Ok(Arc::new(store))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Accepts any certificate, but still asks that the server holds its key. Used only where the API's
/// author wrote `insecureSkipVerification`.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
