//! What stands behind the gateway in a test: a small HTTP server that does as told and remembers
//! what it was asked. Works on any network, with or without TLS, over HTTP/1.1 and HTTP/2.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tidegate::net::socket::{Listener, Network, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::play::{FOREVER, PIECE_BYTES, Play, Script, UploadPlay, pattern};

/// Bytes of a request body kept for the test to look at; more is only counted.
const KEPT_BODY_MAX: usize = 64 * 1024;

/// Requests kept; more are only counted by path.
const KEPT_MAX: usize = 10_000;

/// A running backend; dropped, it stops, and its connections end.
#[derive(Debug)]
pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: SocketAddr,
    /// The first 64 KiB.
    pub(crate) body: Bytes,
    pub(crate) body_bytes: u64,
    /// False while the body is coming, and for ever when it was cut off or not read.
    pub(crate) body_ended: bool,
}

impl Backend {
    /// Starts a backend; port 0 takes any. With `tls`, speaks what its ALPN list says.
    pub(crate) fn start(
        network: &dyn Network,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let listener = network.listen(address, false)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, tls, Arc::clone(&shared), stop.clone()));
        Ok(Self { address, shared, _stop: stop.drop_guard() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to do on a path from now on. Paths without a play answer 200 and `backend: {path}`.
    pub(crate) fn on(&self, path: &str, play: Play) {
        self.shared.lock().plays.insert(path.to_owned(), play);
    }

    /// Requests for a path so far.
    pub(crate) fn calls(&self, path: &str) -> usize {
        self.shared.lock().calls.get(path).copied().unwrap_or(0)
    }

    /// Requests so far.
    pub(crate) fn calls_of_all(&self) -> usize {
        self.shared.lock().calls.values().sum()
    }

    /// The requests so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// The latest request.
    pub(crate) fn last(&self) -> Seen {
        self.shared.lock().seen.last().cloned().expect("the backend was asked")
    }

    /// Requests whose answer is not complete yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.lock().in_flight
    }

    /// Most requests in flight at one time.
    pub(crate) fn in_flight_peak(&self) -> usize {
        self.shared.lock().in_flight_peak
    }

    /// Requests that the other side gave up before the answer was complete.
    pub(crate) fn aborted(&self) -> usize {
        self.shared.lock().aborted
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Connections open now.
    pub(crate) fn connections_open(&self) -> usize {
        self.shared.lock().connections_open
    }
}

#[derive(Debug, Default)]
struct Shared(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    plays: BTreeMap<String, Play>,
    calls: BTreeMap<String, usize>,
    seen: Vec<Seen>,
    in_flight: usize,
    in_flight_peak: usize,
    aborted: usize,
    connections: usize,
    connections_open: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(
    mut listener: Listener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let tls = tls.map(TlsAcceptor::from);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, peer)) = accepted else {
            continue;
        };
        let (tls, shared, stop) = (tls.clone(), Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(connection(stream, peer, tls, shared)).await;
        });
    }
}

async fn connection(
    stream: Stream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    let _open = Open::new(&shared);
    match tls {
        None => serve(stream, false, peer, Arc::clone(&shared)).await,
        Some(tls) => {
            // A client that fails its handshake is the client's test to report.
            if let Ok(stream) = tls.accept(stream).await {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, h2, peer, Arc::clone(&shared)).await;
            }
        }
    }
}

/// Counts an open connection.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut book = shared.lock();
        book.connections += 1;
        book.connections_open += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().connections_open -= 1;
    }
}

async fn serve<S>(stream: S, h2: bool, peer: SocketAddr, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, peer, Arc::clone(&shared)));
    let io = TokioIo::new(stream);
    // How a connection ends is what the test sees at its own end.
    if h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(io, service).await.ok();
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(io, service).await.ok();
    }
}

type Reply = UnsyncBoxBody<Bytes, io::Error>;

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
) -> Result<Response<Reply>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let headless = parts.method == Method::HEAD;
    let mut flight = Flight::new(&shared, parts, peer);
    let play = shared.lock().plays.get(&path).cloned();
    let play = play.unwrap_or_else(|| Play::text(&format!("backend: {path}")));
    let mut upload = Some(body);
    if !matches!(play.script, Script::Echo)
        && let UploadPlay::Reads { pause } = play.upload
        && let Some(body) = &mut upload
    {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => flight.note(frame.data_ref()),
                Some(Err(_)) => break,
                None => {
                    flight.note_end();
                    break;
                }
            }
            super::pause(pause).await;
        }
    }
    super::pause(play.head_after).await;
    // The body of an answer to HEAD is never asked for.
    flight.done = headless;
    let body = match play.script {
        Script::Echo => echo(upload, flight),
        Script::Whole(bytes) => Saying { at: 0, whole: Some(bytes), ..Saying::new(flight) }.body(),
        Script::Pattern { bytes, piece, pause } => {
            Saying { until: bytes, piece, pause, ..Saying::new(flight) }.body()
        }
        Script::Breaks { after } => {
            Saying { until: after, last: Last::Breaks, ..Saying::new(flight) }.body()
        }
        Script::Stalls { after } => {
            Saying { until: after, last: Last::Stalls, ..Saying::new(flight) }.body()
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = play.status;
    *response.headers_mut() = play.headers;
    Ok(response)
}

/// A request until its answer is complete; dropped before that, it was aborted.
struct Flight {
    shared: Arc<Shared>,
    /// Where in `seen` it stands, if there was room.
    place: Option<usize>,
    done: bool,
}

impl Flight {
    fn new(shared: &Arc<Shared>, parts: http::request::Parts, peer: SocketAddr) -> Self {
        let mut book = shared.lock();
        *book.calls.entry(parts.uri.path().to_owned()).or_default() += 1;
        book.in_flight += 1;
        book.in_flight_peak = book.in_flight_peak.max(book.in_flight);
        let place = (book.seen.len() < KEPT_MAX).then_some(book.seen.len());
        if place.is_some() {
            book.seen.push(Seen {
                method: parts.method,
                uri: parts.uri,
                version: parts.version,
                headers: parts.headers,
                peer,
                body: Bytes::new(),
                body_bytes: 0,
                body_ended: false,
            });
        }
        Self { shared: Arc::clone(shared), place, done: false }
    }

    fn note(&self, data: Option<&Bytes>) {
        let (Some(place), Some(data)) = (self.place, data) else {
            return;
        };
        let mut book = self.shared.lock();
        let seen = &mut book.seen[place];
        seen.body_bytes += data.len() as u64;
        let room = KEPT_BODY_MAX.saturating_sub(seen.body.len()).min(data.len());
        if room > 0 {
            seen.body = [&seen.body[..], &data[..room]].concat().into();
        }
    }

    fn note_end(&self) {
        if let Some(place) = self.place {
            self.shared.lock().seen[place].body_ended = true;
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut book = self.shared.lock();
        book.in_flight -= 1;
        if !self.done {
            book.aborted += 1;
        }
    }
}

/// A body being sent.
struct Saying {
    flight: Flight,
    whole: Option<Bytes>,
    at: u64,
    until: u64,
    piece: u64,
    pause: Duration,
    last: Last,
}

enum Last {
    Ends,
    Breaks,
    Stalls,
}

impl Saying {
    fn new(flight: Flight) -> Self {
        let (piece, pause) = (PIECE_BYTES, Duration::ZERO);
        Self { flight, whole: None, at: 0, until: 0, piece, pause, last: Last::Ends }
    }

    fn body(mut self) -> Reply {
        if let Some(whole) = self.whole {
            // One piece with a known length; it counts as said when it was handed over.
            self.flight.done = true;
            return http_body_util::Full::new(whole).map_err(|never| match never {}).boxed_unsync();
        }
        BodyExt::boxed_unsync(StreamBody::new(stream::unfold(Some(self), Self::next)))
    }

    async fn next(saying: Option<Self>) -> Option<(io::Result<Frame<Bytes>>, Option<Self>)> {
        let mut saying = saying?;
        if saying.at > 0 {
            super::pause(saying.pause).await;
        }
        if saying.at < saying.until {
            let bytes = saying.piece.min(saying.until - saying.at);
            let data = pattern(saying.at, bytes);
            saying.at += bytes;
            // hyper does not ask again once the declared length is full.
            saying.flight.done |= saying.at == saying.until && matches!(saying.last, Last::Ends);
            return Some((Ok(Frame::data(data)), Some(saying)));
        }
        match saying.last {
            Last::Ends => {
                saying.flight.done = true;
                None
            }
            Last::Breaks => {
                saying.flight.done = true;
                // Lets what was said leave first; hyper would else drop it with the connection.
                sleep(Duration::from_millis(10)).await;
                Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
            }
            Last::Stalls => {
                sleep(FOREVER).await;
                None
            }
        }
    }
}

fn echo(upload: Option<Incoming>, flight: Flight) -> Reply {
    let frames = stream::unfold(upload.map(|body| (body, flight)), |state| async {
        let (mut body, mut flight) = state?;
        match body.frame().await {
            Some(Ok(frame)) => {
                flight.note(frame.data_ref());
                Some((Ok(frame), Some((body, flight))))
            }
            Some(Err(err)) => Some((Err(io::Error::other(err)), None)),
            None => {
                flight.note_end();
                flight.done = true;
                None
            }
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?} from {}", self.method, self.uri, self.version, self.peer)
    }
}
