//! HTTP/3: the same calls over QUIC, by h3 on quinn.
//!
//! Everything that knows h3 is in this file, because h3 is young: each connection and each request
//! runs in a task of its own, so that a panic in the library costs no more than that.
//! h3-quinn panics when `stop_sending` is called while a read is pending; we never call it and let
//! the stream's drop stop the client.
//!
//! A client that cancels a request after having sent all of it is noticed at the first write only;
//! h3 offers no way to wait for STOP_SENDING. WebSocket over HTTP/3 is not offered.
//!
//! RFC 9114 sections 4 (requests), 5.2 (GOAWAY), 8.1 (error codes).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use h3::error::Code;
use h3::server::{RequestResolver, RequestStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use quinn::crypto::rustls::QuicServerConfig;
use tokio::task::JoinSet;

use crate::call::{Body, Connection};
use crate::listener::accept::Front;
use crate::listener::body::Bounded;
use crate::listener::service::{Session, check, content_length, has_connection_fields};
use crate::listener::watch::Vitals;
use crate::listener::{Counted, Handler, ListenerError, Refused};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;

/// Decoded field section we accept; the finer limits are ours to check and to answer.
const FIELD_SECTION_BYTES_MAX: u64 = 32 * 1024;
/// Bytes a client may send ahead per stream and per connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Unidirectional streams: control, two for QPACK, and greasing (RFC 9114 section 6.2).
const UNI_STREAMS_MAX: u32 = 8;
/// Handshakes under way above which clients must first prove their address (RFC 9000 section 8.1).
const UNPROVEN_HANDSHAKES_MAX: u64 = 256;

type QuicStream = h3_quinn::BidiStream<Bytes>;
type SendHalf = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type ReceiveHalf = RequestStream<h3_quinn::RecvStream, Bytes>;

/// Starts the endpoint on the current runtime.
pub(super) fn serve<H: Handler>(
    front: &Arc<Front<H>>,
    crypto: Arc<rustls::ServerConfig>,
    socket: Arc<dyn quinn::AsyncUdpSocket>,
    runtime: Arc<dyn quinn::Runtime>,
    tasks: &Tasks,
) -> Result<(), ListenerError> {
    let failed = |err: &dyn std::fmt::Display| ListenerError::Tls(err.to_string());
    let crypto = QuicServerConfig::try_from(crypto).map_err(|err| failed(&err))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(front)));
    let endpoint = quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        Some(config),
        socket,
        runtime,
    )
    .map_err(|source| ListenerError::Bind { address: front.local, source })?;
    drop(tasks.spawn(accept(endpoint, front.clone(), tasks.clone())));
    Ok(())
}

fn transport<H>(front: &Front<H>) -> quinn::TransportConfig {
    let limits = &front.config.limits;
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.streams_per_connection.into())
        .max_concurrent_uni_streams(UNI_STREAMS_MAX.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .max_idle_timeout(limits.idle_timeout.try_into().ok())
        .datagram_receive_buffer_size(None);
    transport
}

async fn accept<H: Handler>(endpoint: quinn::Endpoint, front: Arc<Front<H>>, tasks: Tasks) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = tasks.draining().cancelled() => break,
            () = tasks.stopped().cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        front.gauges.accepted.fetch_add(1, Ordering::Relaxed);
        let unproven = !incoming.remote_address_validated();
        if unproven && front.gauges.handshaking.load(Ordering::Relaxed) >= UNPROVEN_HANDSHAKES_MAX {
            // An error means that the address is proved already.
            drop(incoming.retry());
            continue;
        }
        let Some(ticket) = front.addresses.admit(incoming.remote_address()) else {
            front.gauges.turned_away.fetch_add(1, Ordering::Relaxed);
            incoming.refuse();
            continue;
        };
        let (front, of) = (front.clone(), tasks.clone());
        drop(tasks.spawn(async move {
            let _ticket = ticket;
            let served = Box::pin(connection(incoming, front.clone(), of));
            if std::panic::AssertUnwindSafe(served).catch_unwind().await.is_err() {
                front.gauges.panicked();
            }
        }));
    }
    // New connections are refused from here on; those we have may finish.
    endpoint.set_server_config(None);
    tokio::select! {
        () = endpoint.wait_idle() => {}
        () = tasks.stopped().cancelled() => {
            endpoint.close(code(Code::H3_NO_ERROR), b"the node stops");
        }
    }
}

async fn connection<H: Handler>(incoming: quinn::Incoming, front: Arc<Front<H>>, tasks: Tasks) {
    let limits = &front.config.limits;
    let peer = incoming.remote_address();
    let handshaking = Counted::new(&front.gauges, |gauges| &gauges.handshaking);
    let shaken = tokio::time::timeout(limits.header_timeout, async {
        let quic = incoming.await.ok()?;
        let about = about(&front, &quic, peer);
        let server = h3::server::builder()
            .max_field_section_size(FIELD_SECTION_BYTES_MAX)
            .build(h3_quinn::Connection::new(quic.clone()))
            .await
            .ok()?;
        Some((server, quic, about))
    });
    let Ok(Some((mut server, quic, about))) = shaken.await else {
        front.gauges.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    drop(handshaking);
    let _open = Counted::new(&front.gauges, |gauges| &gauges.open_http3);
    let session = Arc::new(Session {
        front: front.clone(),
        connection: Arc::new(about),
        vitals: Arc::new(Vitals::default()),
    });
    // Aborts what is left when the connection is gone.
    let mut requests = JoinSet::new();
    let mut closing = false;
    loop {
        if closing && requests.is_empty() {
            break;
        }
        let next = tokio::select! {
            biased;
            () = tasks.stopped().cancelled() => return,
            ended = requests.join_next(), if !requests.is_empty() => {
                match ended {
                    Some(Err(err)) if err.is_panic() => front.gauges.panicked(),
                    _ => {}
                }
                if session.vitals.closing.load(Ordering::Relaxed) { None } else { continue }
            }
            () = tasks.draining().cancelled(), if !closing => None,
            next = server.accept() => Some(next),
        };
        match next {
            Some(Ok(Some(resolver))) => {
                requests.spawn(request(session.clone(), resolver));
            }
            Some(Ok(None) | Err(_)) => break,
            None if !closing => {
                closing = true;
                // GOAWAY names the first request we will not answer (RFC 9114 section 5.2), and h3
                // counts from the last one accepted.
                if server.shutdown(1).await.is_err() {
                    break;
                }
            }
            None => {}
        }
    }
    // A peer that said goodbye may still wait for answers.
    while !requests.is_empty() && quic.close_reason().is_none() {
        tokio::select! {
            () = tasks.stopped().cancelled() => return,
            _ = quic.closed() => {}
            _ = requests.join_next() => {}
        }
    }
    if quic.close_reason().is_none() {
        linger(&quic, limits.write_stall, &tasks).await;
    }
}

/// Waits until the client has what was sent, or goes away. Closing a QUIC connection drops what is
/// still on its way (RFC 9000 section 10.2).
async fn linger(quic: &quinn::Connection, longest: Duration, tasks: &Tasks) {
    const GOODBYE: Duration = Duration::from_secs(1);
    tokio::select! {
        () = tasks.stopped().cancelled() => {}
        _ = quic.closed() => {}
        () = tokio::time::sleep(longest.min(GOODBYE)) => {}
    }
}

fn about<H>(front: &Front<H>, quic: &quinn::Connection, peer: std::net::SocketAddr) -> Connection {
    let data = quic.handshake_data();
    let data = data.and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok());
    Connection {
        door: front.config.door.clone(),
        peer,
        local: front.local,
        tls_version: "TLSv1.3",
        // quinn does not tell which suite was chosen.
        cipher_suite: "",
        sni: data.and_then(|data| data.server_name).map(|name| name.to_ascii_lowercase()),
    }
}

async fn request<H: Handler>(
    session: Arc<Session<H>>,
    resolver: RequestResolver<h3_quinn::Connection, Bytes>,
) {
    let limits = &session.front.config.limits;
    let resolved = tokio::time::timeout(limits.header_timeout, resolver.resolve_request()).await;
    // A malformed or oversized head was answered or reset by h3 itself.
    let Ok(Ok((request, stream))) = resolved else { return };
    let (send, receive) = split(stream);
    let (parts, ()) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let judged = match check(&parts, limits) {
        Ok(()) if has_connection_fields(&parts.headers) => {
            Err(Refused::Malformed("connection-specific header"))
        }
        Ok(()) => content_length(&parts.headers),
        Err(reason) => Err(reason),
    };
    let response = match judged {
        Ok(declared) => {
            let mut body = Received { stream: receive, first: None, data_ended: false };
            let body = if declared.unwrap_or(0) == 0 && body.has_ended() {
                Body::Empty
            } else {
                let (limit, stall) = (limits.body_bytes, limits.body_stall);
                Body::stream(Bounded::new(body, limit, stall, declared))
            };
            session.call(Request::from_parts(parts, body)).await
        }
        Err(reason) => {
            session.vitals.closing.store(true, Ordering::Relaxed);
            session.refuse(reason)
        }
    };
    let limit = session.front.config.limits.write_stall;
    if deliver(send, response, head, limit, &session.front.clock).await.is_none() {
        tracing::debug!(peer = %session.connection.peer, "A reply was not taken.");
    }
}

fn split(stream: RequestStream<QuicStream, Bytes>) -> (SendHalf, ReceiveHalf) {
    stream.split()
}

/// Sends the reply. Nothing is returned when the client went away, stalled, or the body failed.
async fn deliver(
    mut stream: SendHalf,
    response: Response<Body>,
    head: bool,
    stall: Duration,
    clock: &Clock,
) -> Option<()> {
    let (mut parts, mut body) = response.into_parts();
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        parts.headers.remove(name);
    }
    let bodiless = head
        || parts.status.is_informational()
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = body.size_hint().exact()
        && !bodiless
        && !parts.headers.contains_key(CONTENT_LENGTH)
    {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    if !parts.headers.contains_key(DATE) {
        let now = std::time::UNIX_EPOCH + Duration::from_secs(clock.now().as_seconds());
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now)) {
            parts.headers.insert(DATE, date);
        }
    }
    let within = |result: Result<Result<(), h3::error::StreamError>, _>| match result {
        Ok(Ok(())) => Some(()),
        Ok(Err(_)) | Err::<_, tokio::time::error::Elapsed>(_) => None,
    };
    let head = Response::from_parts(parts, ());
    within(tokio::time::timeout(stall, stream.send_response(head)).await)?;
    while !bodiless && let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // Half an answer must not look like a whole one.
            stream.stop_stream(Code::H3_INTERNAL_ERROR);
            return None;
        };
        match frame.into_data() {
            Ok(data) => {
                if within(tokio::time::timeout(stall, stream.send_data(data)).await).is_none() {
                    stream.stop_stream(Code::H3_REQUEST_CANCELLED);
                    return None;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let sent = stream.send_trailers(trailers);
                    within(tokio::time::timeout(stall, sent).await)?;
                }
            }
        }
    }
    within(tokio::time::timeout(stall, stream.finish()).await)
}

/// A request's body as it comes from h3.
struct Received {
    stream: ReceiveHalf,
    /// What came when we looked whether there is a body at all.
    first: Option<Bytes>,
    data_ended: bool,
}

impl Received {
    /// Whether the stream is known to have ended with its head, as it mostly does with a GET.
    fn has_ended(&mut self) -> bool {
        match self.stream.recv_data().now_or_never() {
            Some(Ok(Some(mut data))) => self.first = Some(data.copy_to_bytes(data.remaining())),
            Some(Ok(None)) => self.data_ended = true,
            // An error comes again when the body is read.
            Some(Err(_)) | None => {}
        }
        self.data_ended
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = h3::error::StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(data) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !this.data_ended {
            match ready!(this.stream.poll_recv_data(cx))? {
                Some(mut data) => {
                    let data = data.copy_to_bytes(data.remaining());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                None => this.data_ended = true,
            }
        }
        let trailers = ready!(this.stream.poll_recv_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

fn code(code: Code) -> quinn::VarInt {
    quinn::VarInt::from_u64(code.value()).unwrap_or(quinn::VarInt::MAX)
}
