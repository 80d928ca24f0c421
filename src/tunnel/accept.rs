//! The region's end: accepts edges, answers their calls and questions, tells them the news.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;

use crate::call::Body;
use crate::model::ids::NodeName;
use crate::net::ca::{NodeCertificate, Role};
use crate::net::clock::Clock;
use crate::net::quic::{self, PeerStreams, Protocol, QuicError};
use crate::net::socket::Network;
use crate::net::tasks::Tasks;
use crate::tunnel::edges::{EDGES_MAX, Edges, News};
use crate::tunnel::frame::{self, Hello, Kind, Push, Report, Request};
use crate::tunnel::gauges::{Gauges, OpenCall};
use crate::tunnel::head::{BodyLength, CallHead, ReplyHead};
use crate::tunnel::stream::{Receiver, SendError, Sender, TunnelBody, length_of};
use crate::tunnel::{Close, ResetReason};

/// A handshake takes three round trips with loss; who needs longer tries again.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an edge may take to say what a stream is for.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the round-trip gauge is read.
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

/// The region's tunnel listener.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Calls and questions one edge may have open at once. The next ones wait at the edge.
    pub streams_per_edge: u32,
}

impl Config {
    pub const STREAMS_PER_EDGE: u32 = 10_000;

    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, streams_per_edge: Self::STREAMS_PER_EDGE }
    }
}

/// Who answers for the region.
pub trait Handler: Send + Sync + 'static {
    /// Answers a call. Dropped when the edge gives it up or its time is over; a panic costs this
    /// call only.
    fn call(
        &self,
        edge: NodeName,
        head: CallHead,
        body: Body,
    ) -> impl Future<Output = CallOutcome> + Send;

    /// Answers a question; the error is a sentence for the edge's log.
    fn document(
        &self,
        edge: NodeName,
        request: Request,
    ) -> impl Future<Output = Result<Bytes, String>> + Send;
}

#[derive(Debug)]
pub enum CallOutcome {
    Reply(Box<ReplyHead>, Body),
    /// The part is unknown here: the edge refreshes its configuration and tries once more.
    Stale,
}

/// Listens for edges until the node stops.
pub fn serve<H: Handler>(
    config: Config,
    network: &dyn Network,
    certificate: &NodeCertificate,
    handler: Arc<H>,
    tasks: &Tasks,
    clock: &Clock,
) -> Result<Edges, QuicError> {
    let streams = PeerStreams { bidirectional: config.streams_per_edge, unidirectional: 0 };
    let server = quic::server_config(certificate, Protocol::Tunnel, streams, clock)?;
    let endpoint =
        quic::endpoint(network, config.listen, certificate, Some(server), tasks.runtime())?;
    let address = endpoint
        .local_addr()
        .map_err(|source| QuicError::Socket { address: config.listen, source })?;
    let edges = Edges::new(address, clock.clone());
    let region = Region {
        cluster: Arc::from(certificate.identity().cluster.as_str()),
        handler,
        edges: edges.clone(),
        tasks: tasks.clone(),
    };
    tasks.spawn(accept(region, endpoint));
    Ok(edges)
}

struct Region<H> {
    cluster: Arc<str>,
    handler: Arc<H>,
    edges: Edges,
    tasks: Tasks,
}

impl<H> Clone for Region<H> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            handler: self.handler.clone(),
            edges: self.edges.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

async fn accept<H: Handler>(region: Region<H>, endpoint: quinn::Endpoint) {
    let farewell = region.tasks.draining().cancelled();
    tokio::pin!(farewell);
    let mut draining = false;
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = &mut farewell, if !draining => {
                draining = true;
                region.edges.push(Push::Goodbye);
                continue;
            }
            () = region.tasks.stopped().cancelled() => None,
        };
        let Some(incoming) = incoming else { break };
        if draining || endpoint.open_connections() > EDGES_MAX {
            Gauges::add(&region.edges.gauges().refused, 1);
            incoming.refuse();
            continue;
        }
        region.tasks.spawn(connection(region.clone(), incoming));
    }
    endpoint.close(quinn::VarInt::from_u32(0x10), b"shutting down");
    // Late or not, the node stops.
    tokio::time::timeout(quic::FAREWELL, endpoint.wait_idle()).await.ok();
}

/// One edge, from its handshake to its end.
async fn connection<H: Handler>(region: Region<H>, incoming: quinn::Incoming) {
    let address = incoming.remote_address();
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming.into_future()).await;
    let Ok(Ok(connection)) = handshake else {
        Gauges::add(&region.edges.gauges().refused, 1);
        tracing::debug!(%address, "A tunnel handshake failed.");
        return;
    };
    let identity = match quic::peer(&connection, &region.cluster) {
        Ok(identity) if identity.role == Role::Edge => identity,
        other => {
            Gauges::add(&region.edges.gauges().refused, 1);
            match other {
                Ok(identity) => {
                    tracing::warn!(%address, %identity, "Refused: only edges may use the tunnel.");
                }
                Err(error) => tracing::warn!(%address, %error, "Refused a tunnel connection."),
            }
            Close::WrongRole.apply(&connection);
            return;
        }
    };
    let name = NodeName::new(&identity.name);
    tracing::debug!(edge = %name, %address, "An edge connected.");
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept_bi() => accepted,
            () = region.tasks.stopped().cancelled() => {
                Close::Shutdown.apply(&connection);
                return;
            }
        };
        let Ok((send, recv)) = accepted else { break };
        let stream = Stream {
            region: region.clone(),
            edge: name.clone(),
            connection: connection.clone(),
            sender: Sender::new(send),
            receiver: Receiver::new(recv),
        };
        region.tasks.spawn(stream.run());
    }
    tracing::debug!(edge = %name, reason = ?connection.close_reason(), "An edge's connection ended.");
}

struct Stream<H> {
    region: Region<H>,
    edge: NodeName,
    connection: quinn::Connection,
    sender: Sender,
    receiver: Receiver,
}

impl<H: Handler> Stream<H> {
    async fn run(mut self) {
        let first = tokio::time::timeout(FIRST_FRAME_TIMEOUT, self.receiver.frame()).await;
        // A stream that ends or breaks before it said what it is for was given up by the edge.
        let Ok(Ok(Some((kind, payload)))) = first else {
            self.refuse();
            return;
        };
        match kind {
            Kind::Call => match CallHead::get(payload) {
                Ok((head, body)) => Box::pin(self.call(head, body)).await,
                Err(error) => self.malformed(&error),
            },
            Kind::Request => match Request::get(payload) {
                Ok(request) => self.document(request).await,
                Err(error) => self.malformed(&error),
            },
            Kind::Hello => match Hello::get(payload) {
                Ok(hello) => self.control(hello).await,
                Err(error) => self.malformed(&error),
            },
            other => self.malformed(&frame::FrameError::Unexpected(other as u8)),
        }
    }

    fn refuse(&mut self) {
        self.sender.reset(ResetReason::Protocol);
        self.receiver.stop(ResetReason::Protocol);
    }

    fn malformed(&mut self, error: &frame::FrameError) {
        tracing::warn!(edge = %self.edge, %error, "An edge sent something unexpected.");
        self.refuse();
    }

    async fn call(self, head: CallHead, length: BodyLength) {
        let Self { region, edge, mut sender, receiver, .. } = self;
        let gauges = region.edges.gauges().clone();
        let _open = OpenCall::new(&gauges);
        let id = head.id;
        let time = Duration::from_millis(head.time_left_ms);
        let body = match length {
            BodyLength::None => Body::Empty,
            _ => Body::stream(TunnelBody::new(receiver, length, gauges.clone(), None, None)),
        };
        let answer = AssertUnwindSafe(region.handler.call(edge.clone(), head, body)).catch_unwind();
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(time, answer) => outcome,
            // The edge gave the call up; the handler's future is dropped with this select.
            () = sender.stopped() => return,
        };
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => {
                Gauges::add(&gauges.panics, 1);
                tracing::error!(%edge, %id, "A fault ended this call; the node goes on.");
                return sender.reset(ResetReason::Panicked);
            }
            Err(_late) => return sender.reset(ResetReason::Deadline),
        };
        let mut out = BytesMut::with_capacity(512);
        let written = match outcome {
            CallOutcome::Stale => {
                let sent = sender.frame(Kind::Stale, |_| {}).await;
                sender.finish();
                sent
            }
            CallOutcome::Reply(head, body) => {
                let length = length_of(&body);
                match frame::put_frame(&mut out, Kind::Reply, |out| head.put(length, out)) {
                    Ok(()) => sender.message(out, body, &gauges).await,
                    Err(error) => {
                        sender.reset(ResetReason::Protocol);
                        Err(error.into())
                    }
                }
            }
        };
        if let Err(error) = written {
            tracing::debug!(%edge, %id, %error, "A reply did not reach the edge whole.");
        }
    }

    async fn document(mut self, request: Request) {
        let question = self.region.handler.document(self.edge.clone(), request);
        let answer = tokio::select! {
            answer = AssertUnwindSafe(question).catch_unwind() => answer,
            () = self.sender.stopped() => return,
        };
        let sent = match answer {
            Ok(Ok(bytes)) => self.sender.document(bytes).await,
            Ok(Err(text)) => {
                let text: String = text.chars().take(512).collect();
                let fill = |out: &mut BytesMut| out.extend_from_slice(text.as_bytes());
                self.sender.frame(Kind::Failed, fill).await
            }
            Err(_panic) => {
                Gauges::add(&self.region.edges.gauges().panics, 1);
                tracing::error!(edge = %self.edge, ?request, "A fault ended this question.");
                return self.sender.reset(ResetReason::Panicked);
            }
        };
        match sent {
            Ok(()) => self.sender.finish(),
            Err(error) => {
                tracing::debug!(edge = %self.edge, %error, "A document did not reach the edge.");
                self.sender.reset(ResetReason::Protocol);
            }
        }
    }

    /// Tells the news and hears reports until the connection ends.
    async fn control(mut self, hello: Hello) {
        if hello.node != self.edge.as_str() {
            tracing::warn!(edge = %self.edge, claims = %hello.node, "Refused: names differ.");
            return Close::Protocol.apply(&self.connection);
        }
        let entered = self.region.edges.enter(&self.edge, &hello, self.connection.clone());
        let Some((entered, former)) = entered else {
            tracing::warn!(edge = %self.edge, "Refused: too many edges.");
            return Close::Protocol.apply(&self.connection);
        };
        if let Some(former) = former {
            Close::Replaced.apply(&former);
        }
        tracing::info!(edge = %self.edge, version = %hello.version, "An edge is connected.");
        let gauges = self.region.edges.gauges().clone();
        let mut news = self.region.edges.news();
        let mut told = News::default();
        let mut gauge = tokio::time::interval(GAUGE_INTERVAL);
        let mut sent = self.sender.frame(Kind::Welcome, |_| {}).await;
        while sent.is_ok() {
            tokio::select! {
                changed = news.changed() => {
                    if changed.is_err() { break }
                    let now = *news.borrow_and_update();
                    sent = self.tell(told, now).await;
                    told = now;
                }
                frame = self.receiver.frame() => {
                    let Ok(Some((Kind::Report, payload))) = frame else { break };
                    let Ok(report) = Report::get(payload) else { break };
                    entered.report(report);
                }
                _ = gauge.tick() => {
                    let rtt = u64::try_from(self.connection.rtt().as_micros()).unwrap_or(u64::MAX);
                    gauges.rtt_us.store(rtt, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
        // Without its control stream a connection is of no use: the edge shall make a new one.
        Close::Protocol.apply(&self.connection);
        tracing::info!(edge = %self.edge, "An edge is gone.");
    }

    async fn tell(&mut self, told: News, now: News) -> Result<(), SendError> {
        let config = now.epoch.filter(|_| now.epoch != told.epoch);
        let purge = now.seq.filter(|_| now.seq != told.seq);
        let pushes = [
            config.map(|epoch| Push::Config { epoch }),
            purge.map(|seq| Push::Purge { seq }),
            (now.goodbye && !told.goodbye).then_some(Push::Goodbye),
        ];
        for push in pushes.into_iter().flatten() {
            self.sender.frame(Kind::Push, |out| push.put(out)).await?;
        }
        Ok(())
    }
}
