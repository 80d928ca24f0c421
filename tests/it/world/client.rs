//! Clients over any network, simulated or real: HTTP/1.1 with and without TLS, HTTP/2, HTTP/3.
//!
//! They give a test the parts in hand: the address apart from the name, a body as it comes, and
//! dropping an answer half read is a client that went away. Nothing is retried or followed.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tidegate::net::socket::{Network, Stream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 without TLS.
    Plain,
    Http1,
    Http2,
    Http3,
}

/// A request's body. An error in it aborts the upload.
pub(crate) type Upload = UnsyncBoxBody<Bytes, io::Error>;

/// Makes connections; holds what is trusted.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    network: Arc<dyn Network>,
    roots: Arc<RootCertStore>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Client {
    pub(crate) fn new(network: Arc<dyn Network>, roots: RootCertStore) -> Self {
        Self { network, roots: Arc::new(roots) }
    }

    /// Opens a connection to `address` for requests to `name`.
    pub(crate) async fn connect(
        &self,
        protocol: Protocol,
        address: SocketAddr,
        name: &str,
    ) -> anyhow::Result<Connection> {
        let sender = match protocol {
            Protocol::Plain => {
                let stream = self.network.connect(address).await.context("TCP connect")?;
                http1(stream).await?
            }
            Protocol::Http1 => http1(self.tls(&[b"http/1.1"], address, name).await?).await?,
            Protocol::Http2 => http2(self.tls(&[b"h2"], address, name).await?).await?,
            Protocol::Http3 => {
                let connection = self.quic(&[b"h3"], address, name).await?;
                http3(connection).await?
            }
        };
        let scheme = if protocol == Protocol::Plain { "http" } else { "https" };
        let authority = format!("{name}:{}", address.port());
        Ok(Connection { protocol, sender, scheme, authority })
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(
        &self,
        protocol: Protocol,
        address: SocketAddr,
        name: &str,
        path: &str,
    ) -> anyhow::Result<Answer> {
        self.connect(protocol, address, name).await?.get(path).await
    }

    /// A bare TLS stream, for bytes no HTTP library would send.
    pub(crate) async fn tls(
        &self,
        alpn: &[&[u8]],
        address: SocketAddr,
        name: &str,
    ) -> anyhow::Result<tokio_rustls::client::TlsStream<Stream>> {
        let stream = self.network.connect(address).await.context("TCP connect")?;
        let name = ServerName::try_from(name.to_owned())?;
        let connector = TlsConnector::from(Arc::new(self.config(alpn)));
        let stream = connector.connect(name, stream).await.context("TLS handshake")?;
        let agreed = stream.get_ref().1.alpn_protocol();
        anyhow::ensure!(
            alpn.is_empty() || agreed.is_some(),
            "the server agreed to none of the protocols offered"
        );
        Ok(stream)
    }

    /// A bare QUIC connection.
    pub(crate) async fn quic(
        &self,
        alpn: &[&[u8]],
        address: SocketAddr,
        name: &str,
    ) -> anyhow::Result<quinn::Connection> {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(self.config(alpn))?;
        let mut endpoint = quinn::Endpoint::new_with_abstract_socket(
            quinn::EndpointConfig::default(),
            None,
            self.network.udp(any_port_like(address))?,
            self.network.quic_runtime(),
        )?;
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        endpoint.connect(address, name)?.await.context("QUIC handshake")
    }

    fn config(&self, alpn: &[&[u8]]) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

/// A body of nothing.
pub(crate) fn empty() -> Upload {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes, with a length.
pub(crate) fn whole(bytes: Bytes) -> Upload {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body the test feeds piece by piece, without a length. It ends when the sender is dropped;
/// an error sent into it aborts the upload.
pub(crate) fn fed() -> (mpsc::Sender<io::Result<Bytes>>, Upload) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece: io::Result<Bytes> = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    (sender, BodyExt::boxed_unsync(StreamBody::new(frames)))
}

/// A connection that takes requests.
pub(crate) struct Connection {
    protocol: Protocol,
    sender: Sender,
    scheme: &'static str,
    authority: String,
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Upload>),
    Http2(hyper::client::conn::http2::SendRequest<Upload>),
    Http3(H3Sender),
}

type H3Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

impl Connection {
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let request = Request::get(path).body(empty())?;
        self.send(request).await?.whole().await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        let request = Request::post(path).body(whole(body))?;
        self.send(request).await?.whole().await
    }

    /// Sends a request whose URI is a path, and waits for the head of the answer. The upload goes
    /// on meanwhile and afterwards.
    pub(crate) async fn send(&mut self, request: Request<Upload>) -> anyhow::Result<Received> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        match &mut self.sender {
            Sender::Http1(sender) => {
                if !parts.headers.contains_key(HOST) {
                    parts.headers.insert(HOST, HeaderValue::from_str(&self.authority)?);
                }
                sender.ready().await.context("HTTP/1.1 connection")?;
                let sent = sender.send_request(Request::from_parts(parts, body)).await;
                Ok(Received::hyper(sent.context("HTTP/1.1 request")?))
            }
            Sender::Http2(sender) => {
                parts.uri = absolute(self.scheme, &self.authority, &path)?;
                sender.ready().await.context("HTTP/2 connection")?;
                let sent = sender.send_request(Request::from_parts(parts, body)).await;
                Ok(Received::hyper(sent.context("HTTP/2 request")?))
            }
            Sender::Http3(sender) => {
                parts.uri = absolute(self.scheme, &self.authority, &path)?;
                send_http3(sender, Request::from_parts(parts, body)).await
            }
        }
    }

    /// The same connection for a concurrent request. HTTP/1.1 has no such thing.
    pub(crate) fn share(&self) -> Self {
        let sender = match &self.sender {
            Sender::Http1(_) => panic!("HTTP/1.1 takes one request at a time"),
            Sender::Http2(sender) => Sender::Http2(sender.clone()),
            Sender::Http3(sender) => Sender::Http3(sender.clone()),
        };
        let authority = self.authority.clone();
        Self { protocol: self.protocol, sender, scheme: self.scheme, authority }
    }

    /// Whether the connection has ended, as far as the client knows. HTTP/3 does not say.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
            Sender::Http3(_) => false,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} to {}", self.protocol, self.authority)
    }
}

/// The head of an answer, and its body as it comes. Dropping it early is a client's abort.
pub(crate) struct Received {
    pub(crate) head: http::response::Parts,
    body: Download,
    trailers: Option<HeaderMap>,
}

enum Download {
    Hyper(hyper::body::Incoming),
    Http3 {
        stream: Box<h3::client::RequestStream<h3_quinn::RecvStream, Bytes>>,
        /// Stops the upload.
        _upload: DropGuard,
        /// The last sender dropped would close the connection.
        _sender: Box<H3Sender>,
    },
}

impl Received {
    fn hyper(response: Response<hyper::body::Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body: Download::Hyper(body), trailers: None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The next piece of the body, `None` at its end.
    pub(crate) async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        match &mut self.body {
            Download::Hyper(body) => loop {
                let Some(frame) = body.frame().await else {
                    return Ok(None);
                };
                match frame.context("body")?.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(other) => self.trailers = other.into_trailers().ok(),
                }
            },
            Download::Http3 { stream, .. } => {
                if let Some(mut data) = stream.recv_data().await.context("HTTP/3 body")? {
                    return Ok(Some(data.copy_to_bytes(data.remaining())));
                }
                if self.trailers.is_none() {
                    self.trailers = stream.recv_trailers().await.context("HTTP/3 trailers")?;
                }
                Ok(None)
            }
        }
    }

    /// Reads to the end.
    pub(crate) async fn whole(mut self) -> anyhow::Result<Answer> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status: self.head.status,
            headers: self.head.headers,
            body: body.freeze(),
            trailers: self.trailers,
        })
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)
    }
}

impl Answer {
    /// A header's value, or nothing when it is absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the test asks for text only where it is")
    }
}

/// Sends one datagram from a port of its own; garbage for a QUIC port, say.
pub(crate) async fn datagram(
    network: &dyn Network,
    destination: SocketAddr,
    contents: &[u8],
) -> io::Result<()> {
    let socket = network.udp(any_port_like(destination))?;
    let transmit =
        quinn::udp::Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
    let mut poller = Arc::clone(&socket).create_io_poller();
    loop {
        poll_fn(|cx| poller.as_mut().poll_writable(cx)).await?;
        match socket.try_send(&transmit) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
    }
}

fn any_port_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn absolute(scheme: &str, authority: &str, path: &str) -> anyhow::Result<Uri> {
    let parts = Uri::builder().scheme(scheme).authority(authority).path_and_query(path);
    parts.build().context("URI")
}

async fn http1<S>(stream: S) -> anyhow::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.context("HTTP/1.1 handshake")?;
    // Its error, if any, also reaches the request.
    tokio::spawn(async { connection.await.ok() });
    Ok(Sender::Http1(sender))
}

async fn http2<S>(stream: S) -> anyhow::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (sender, connection) = handshake.await.context("HTTP/2 handshake")?;
    // Its error, if any, also reaches the request.
    tokio::spawn(async { connection.await.ok() });
    Ok(Sender::Http2(sender))
}

async fn http3(connection: quinn::Connection) -> anyhow::Result<Sender> {
    let handshake = h3::client::new(h3_quinn::Connection::new(connection));
    let (mut driver, sender) = handshake.await.context("HTTP/3 handshake")?;
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    Ok(Sender::Http3(sender))
}

async fn send_http3(sender: &mut H3Sender, request: Request<Upload>) -> anyhow::Result<Received> {
    let (parts, body) = request.into_parts();
    let mut parts = parts;
    if let Some(length) = body.size_hint().exact()
        && length > 0
    {
        parts.headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    let stream = sender.send_request(Request::from_parts(parts, ())).await;
    let (send, mut receive) = stream.context("HTTP/3 request")?.split();
    let cancelled = CancellationToken::new();
    tokio::spawn(upload_http3(send, body, cancelled.clone()));
    let upload = cancelled.drop_guard();
    let (head, ()) = receive.recv_response().await.context("HTTP/3 response")?.into_parts();
    let body = Download::Http3 {
        stream: Box::new(receive),
        _upload: upload,
        _sender: Box::new(sender.clone()),
    };
    Ok(Received { head, body, trailers: None })
}

async fn upload_http3(
    mut send: h3::client::RequestStream<h3_quinn::SendStream<Bytes>, Bytes>,
    mut body: Upload,
    cancelled: CancellationToken,
) {
    let upload = async {
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => send.send_data(data).await?,
                Err(other) => {
                    if let Ok(trailers) = other.into_trailers() {
                        send.send_trailers(trailers).await?;
                    }
                }
            }
        }
        send.finish().await?;
        anyhow::Ok(())
    };
    if !matches!(cancelled.run_until_cancelled(upload).await, Some(Ok(()))) {
        send.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
    }
}
