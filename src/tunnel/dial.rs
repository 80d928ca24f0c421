//! The edge's end: sends calls and questions through the connection that `keep` holds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::call::Body;
use crate::net::ca::{NodeCertificate, Role};
use crate::net::clock::Clock;
use crate::net::quic::{self, PeerStreams, Protocol, QuicError};
use crate::net::socket::Network;
use crate::net::tasks::Tasks;
use crate::tunnel::frame::{self, FrameError, Kind, Report, Request};
use crate::tunnel::gauges::{Gauges, OpenCall};
use crate::tunnel::head::{BodyLength, CallHead, ReplyHead};
use crate::tunnel::keep::{Dialer, Experience, Link, RECONNECT_WAIT};
use crate::tunnel::stream::{
    AbortOnDrop, Receiver, SendError, Sender, TunnelBody, length_of, lost,
};
use crate::tunnel::{Event, TunnelError};

/// No call takes longer, whatever its head says; far beyond any integration timeout.
const CALL_TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// A body up to this size is written with its head before the reply is waited for; well below
/// the stream window, so the region's reading is not needed for it.
const INLINE_BODY_MAX: usize = 64 * 1024;

/// An edge's way to its region.
#[derive(Clone, Debug)]
pub struct Config {
    /// The region's addresses, `host:port` or `ip:port`, tried side by side,
    /// the first of them a little earlier.
    pub regions: Vec<String>,
    /// Address to send from; decides between IPv4 and IPv6.
    pub local: SocketAddr,
    /// Program version, for the region's `status`.
    pub version: String,
    /// What the node starts with: epoch it serves, last purge it applied.
    pub applied_epoch: u64,
    pub purged_seq: u64,
    /// How long a document may take.
    pub document_timeout: Duration,
}

impl Config {
    pub const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(30);

    pub fn new(regions: Vec<String>) -> Self {
        Self {
            regions,
            local: SocketAddr::from(([0, 0, 0, 0], 0)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            applied_epoch: 0,
            purged_seq: 0,
            document_timeout: Self::DOCUMENT_TIMEOUT,
        }
    }
}

/// The edge's end of the tunnel. Clones share it.
#[derive(Clone, Debug)]
pub struct Tunnel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: watch::Receiver<Link>,
    reports: watch::Sender<Done>,
    gauges: Arc<Gauges>,
    tasks: Tasks,
    document_timeout: Duration,
}

/// What this edge has carried out; the newest of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

impl Tunnel {
    /// Begins to connect. `events` is told of connections and pushes; it should be read quickly,
    /// but nothing is lost if it is not.
    pub fn start(
        config: Config,
        network: Arc<dyn Network>,
        certificate: &NodeCertificate,
        tasks: &Tasks,
        clock: &Clock,
        events: mpsc::Sender<Event>,
    ) -> Result<Tunnel, QuicError> {
        let streams = PeerStreams { bidirectional: 0, unidirectional: 0 };
        let client =
            quic::client_config(certificate, Protocol::Tunnel, streams, Some(Role::Region), clock)?;
        let mut endpoint =
            quic::endpoint(&*network, config.local, certificate, None, tasks.runtime())?;
        endpoint.set_default_client_config(client);
        let (link, published) = watch::channel(Link::down(RECONNECT_WAIT));
        let done = Done { epoch: config.applied_epoch, seq: config.purged_seq };
        let reports = watch::Sender::new(done);
        let gauges = Arc::new(Gauges::default());
        let dialer = Dialer {
            node: certificate.identity().name.clone(),
            cluster: certificate.identity().cluster.clone(),
            config,
            network,
            endpoint,
            link,
            reports: reports.subscribe(),
            events,
            gauges: gauges.clone(),
            tasks: tasks.clone(),
            experience: Experience::default(),
        };
        let tunnel = Tunnel(Arc::new(Inner {
            link: published,
            reports,
            gauges,
            tasks: tasks.clone(),
            document_timeout: dialer.config.document_timeout,
        }));
        tasks.spawn(dialer.run());
        Ok(tunnel)
    }

    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.0.gauges
    }

    pub fn is_connected(&self) -> bool {
        self.0.link.borrow().alive().is_some()
    }

    /// Tells the region what this edge has carried out, now or when it is connected again.
    pub fn report(&self, report: Report) {
        self.0.reports.send_if_modified(|done| {
            let before = *done;
            match report {
                Report::Applied { epoch } => done.epoch = epoch,
                Report::Purged { seq } => done.seq = seq,
            }
            *done != before
        });
    }

    /// Sends a call to the region and waits for the reply's head, at most `head.time_left_ms`.
    ///
    /// The body is sent while the reply is awaited. Dropping this future, or the reply's body,
    /// cancels the call at the region. A call without body and side effects (GET, HEAD) is sent a
    /// second time if the connection was lost before the reply began; a call that never left is
    /// sent again whatever it is.
    pub async fn forward(
        &self,
        head: CallHead,
        body: Body,
    ) -> Result<(ReplyHead, Body), TunnelError> {
        let time = Duration::from_millis(head.time_left_ms).min(CALL_TIME_MAX);
        let deadline = Instant::now() + time;
        let again =
            matches!(body, Body::Empty) && [Method::GET, Method::HEAD].contains(&head.method);
        let mut body = Some(body);
        let open = OpenCall::new(&self.0.gauges);
        let attempts = async {
            let mut first = true;
            loop {
                let stream = match self.open(deadline).await {
                    Err(TunnelError::Lost(_)) if first => {
                        first = false;
                        continue;
                    }
                    stream => stream?,
                };
                let body = body.take().unwrap_or(Body::Empty);
                match self.exchange(stream, &head, body, deadline).await {
                    Err(TunnelError::Lost(_)) if first && again => first = false,
                    answer => break answer,
                }
            }
        };
        let answer = tokio::time::timeout_at(deadline, attempts).await;
        let (reply, length, receiver, upload) = answer.map_err(|_late| TunnelError::Timeout)??;
        let body = match length {
            BodyLength::None => Body::Empty,
            _ => Body::stream(TunnelBody::new(
                receiver,
                length,
                self.0.gauges.clone(),
                Some(open),
                upload,
            )),
        };
        Ok((reply, body))
    }

    /// Asks the region for a document.
    pub async fn request(&self, request: Request) -> Result<Bytes, TunnelError> {
        let deadline = Instant::now() + self.0.document_timeout;
        let answer = async {
            let (send, recv) = self.open(deadline).await?;
            let (mut sender, mut receiver) = (Sender::new(send), Receiver::new(recv));
            // A failure to write shows in the answer, which says more about its cause.
            sender.frame(Kind::Request, |out| request.put(out)).await.ok();
            sender.finish();
            match receiver.expect_frame().await? {
                (Kind::Document, bytes) => Ok(bytes),
                (Kind::Failed, text) => {
                    Err(TunnelError::NoDocument(Arc::from(String::from_utf8_lossy(&text))))
                }
                (other, _) => Err(FrameError::Unexpected(other as u8).into()),
            }
        };
        let answer = tokio::time::timeout_at(deadline, answer).await;
        answer.map_err(|_late| TunnelError::Timeout)?
    }

    /// A new stream on the present connection, or on the next one if that is made soon.
    pub(super) async fn open(
        &self,
        deadline: Instant,
    ) -> Result<(quinn::SendStream, quinn::RecvStream), TunnelError> {
        let present = self.0.link.borrow().alive();
        let link = match present {
            Some(link) => link,
            None => self.await_link(deadline).await?,
        };
        link.open_bi().await.map_err(|error| lost(&error))
    }

    /// The next connection, if it comes while it is worth waiting for: that time counts from when
    /// the last one was lost, not from when a call asks.
    async fn await_link(&self, deadline: Instant) -> Result<quinn::Connection, TunnelError> {
        let mut link = self.0.link.clone();
        loop {
            let until = {
                let link = link.borrow_and_update();
                if let Some(alive) = link.alive() {
                    return Ok(alive);
                }
                match &*link {
                    Link::Down { wait_until } => *wait_until,
                    // Dead, and its keeper is about to say so.
                    Link::Up(_) => Instant::now() + RECONNECT_WAIT,
                }
            };
            match tokio::time::timeout_at(until.min(deadline), link.changed()).await {
                Ok(Ok(())) => {}
                // Nobody came, or the node stops.
                _ => return Err(TunnelError::NotConnected),
            }
        }
    }

    async fn exchange(
        &self,
        (send, recv): (quinn::SendStream, quinn::RecvStream),
        head: &CallHead,
        body: Body,
        deadline: Instant,
    ) -> Result<(ReplyHead, BodyLength, Receiver, Option<AbortOnDrop>), TunnelError> {
        let (mut sender, mut receiver) = (Sender::new(send), Receiver::new(recv));
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        let length = length_of(&body);
        let mut out = BytesMut::with_capacity(1_024);
        frame::put_frame(&mut out, Kind::Call, |out| head.put(left, length, out))?;
        let gauges = self.0.gauges.clone();
        let inline = match &body {
            Body::Empty => true,
            Body::Full(bytes) => bytes.len() <= INLINE_BODY_MAX,
            Body::Incoming(_) | Body::Stream(_) => false,
        };
        let mut upload = None;
        let first = if inline {
            // If the region does not want it, or is gone, the reply tells.
            sender.message(out, body, &gauges).await.ok();
            receiver.frame().await
        } else {
            let mut sending = Box::pin(async move {
                let sent = sender.message(out, body, &gauges).await;
                if let Err(error) = &sent {
                    tracing::debug!(%error, "A request body was not sent to its end.");
                }
                sent
            });
            let first = tokio::select! {
                first = receiver.frame() => Ok(first),
                sent = &mut sending => Err(sent),
            };
            match first {
                // Only here is it known what was wrong; the region just sees the body break off.
                Err(Err(SendError::Body(error))) => return Err(TunnelError::RequestBody(error)),
                // If the region does not want it, or is gone, the reply tells.
                Err(_) => receiver.frame().await,
                // The reply has begun and the request goes on: let it, on the caller's runtime.
                Ok(first) => {
                    let task = self.0.tasks.on(Handle::current()).spawn(sending);
                    upload = Some(AbortOnDrop(task.abort_handle()));
                    first
                }
            }
        };
        match first?.ok_or(FrameError::Truncated)? {
            (Kind::Reply, payload) => {
                let (reply, length) = ReplyHead::get(payload)?;
                Ok((reply, length, receiver, upload))
            }
            (Kind::Stale, _) => Err(TunnelError::Stale),
            (other, _) => Err(FrameError::Unexpected(other as u8).into()),
        }
    }
}
