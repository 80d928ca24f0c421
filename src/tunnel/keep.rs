//! The edge's connection: made, kept, made again.
//!
//! The region's addresses are tried side by side, each begun a little after the one before, and the
//! first finished handshake is the connection: an address where nobody answers costs a quarter of a
//! second, not a timeout. RFC 8305 (Happy Eyeballs), section 5.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::RngExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::net::quic;
use crate::net::socket::Network;
use crate::net::tasks::Tasks;
use crate::tunnel::dial::{Config, Done};
use crate::tunnel::frame::{Hello, Kind, Push, Report};
use crate::tunnel::gauges::Gauges;
use crate::tunnel::stream::{Receiver, SendError, Sender};
use crate::tunnel::{Close, Event};

/// First and longest pause between attempts; each pause is drawn from the upper half.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(2);
/// A connection that lasted this long was a good one: the next pause starts small again.
const BACKOFF_RESET: Duration = Duration::from_secs(5);
/// Time between the beginnings of two attempts (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Handshake, then welcome: each some round trips with loss and retransmission.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses tried per round; a name may resolve to many.
const ADDRESSES_MAX: usize = 16;
/// How long calls wait for the next connection after the node's start, or after the region ended
/// the last one or lost its memory of it: it is there, or about to be.
pub(super) const RECONNECT_WAIT: Duration = Duration::from_secs(2);
/// The same after a connection that fell silent: calls have waited for it already. Enough for a
/// handshake by another way, or with a region that only stalled.
const SILENCE_WAIT: Duration = Duration::from_millis(500);
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

/// The connection, or until when it is worth waiting for one. After that calls are refused at
/// once, until there is a connection again.
#[derive(Clone, Debug)]
pub(super) enum Link {
    Up(quinn::Connection),
    Down { wait_until: Instant },
}

impl Link {
    pub(super) fn down(wait: Duration) -> Self {
        Link::Down { wait_until: Instant::now() + wait }
    }

    pub(super) fn alive(&self) -> Option<quinn::Connection> {
        match self {
            Link::Up(connection) if connection.close_reason().is_none() => Some(connection.clone()),
            Link::Up(_) | Link::Down { .. } => None,
        }
    }
}

/// The task that keeps the connection.
pub(super) struct Dialer {
    pub(super) node: String,
    pub(super) cluster: String,
    pub(super) config: Config,
    pub(super) network: Arc<dyn Network>,
    pub(super) endpoint: quinn::Endpoint,
    pub(super) link: watch::Sender<Link>,
    pub(super) reports: watch::Receiver<Done>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) tasks: Tasks,
    pub(super) experience: Experience,
}

/// What is known of the region's addresses from the last connection.
#[derive(Debug, Default)]
pub(super) struct Experience {
    /// It was fine until its end, so it is tried first.
    pub(super) good: Option<SocketAddr>,
    /// It fell silent, so it is tried last.
    pub(super) silent: Option<SocketAddr>,
}

impl Experience {
    /// The addresses in the order in which to try them, each once.
    pub(super) fn order(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut seen = HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        // A stable sort: the rest keeps the operator's order.
        addresses.sort_by_key(|address| match Some(*address) {
            address if address == self.good => 0,
            address if address == self.silent => 2,
            _ => 1,
        });
        addresses.truncate(ADDRESSES_MAX);
        addresses
    }
}

impl Dialer {
    pub(super) async fn run(mut self) {
        let stopped = self.tasks.stopped().clone();
        {
            let mut dialing = pin!(self.dial_forever());
            tokio::select! {
                () = stopped.cancelled() => {}
                () = &mut dialing => {}
            }
        }
        self.link.send_replace(Link::down(Duration::ZERO));
        self.endpoint.close(quinn::VarInt::from_u32(0x10), b"shutting down");
        // Late or not, the node stops.
        tokio::time::timeout(quic::FAREWELL, self.endpoint.wait_idle()).await.ok();
    }

    async fn dial_forever(&mut self) {
        let mut pause = BACKOFF_FIRST;
        loop {
            if let Some(up) = self.connect().await {
                let begun = Instant::now();
                self.hold(up).await;
                if begun.elapsed() >= BACKOFF_RESET {
                    pause = BACKOFF_FIRST;
                }
            }
            if self.reports.has_changed().is_err() {
                return;
            }
            // Drawn from the upper half, so that edges that lost a region together do not come
            // back together.
            let share = rand::rng().random_range(0.5..=1.0);
            tokio::time::sleep(pause.mul_f64(share)).await;
            pause = (pause * 2).min(BACKOFF_LAST);
        }
    }

    /// The region's addresses of our address family, in the order in which to try them.
    async fn addresses(&self) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for region in &self.config.regions {
            if let Ok(address) = region.parse() {
                found.push(address);
                continue;
            }
            let Some((host, port)) = region.rsplit_once(':') else { continue };
            let Ok(port) = port.parse() else { continue };
            let resolved =
                tokio::time::timeout(RESOLVE_TIMEOUT, self.network.resolve(host, port)).await;
            match resolved {
                Ok(Ok(addresses)) => found.extend(addresses),
                _ => tracing::warn!(%region, "The region's name does not resolve."),
            }
        }
        let all = found.len();
        found.retain(|address: &SocketAddr| address.is_ipv4() == self.config.local.is_ipv4());
        if found.is_empty() && all > 0 {
            tracing::warn!(local = %self.config.local, "No region address is of this family.");
        }
        self.experience.order(found)
    }

    /// Tries every address; the first that lets us in has won. Attempts still under way are then
    /// dropped, which closes them.
    async fn connect(&mut self) -> Option<Up> {
        let mut left = self.addresses().await.into_iter();
        let mut attempts = FuturesUnordered::new();
        let mut next = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let (address, outcome) = tokio::select! {
                () = &mut next, if left.len() > 0 => {
                    attempts.extend(left.next().map(|to| handshake(self.endpoint.clone(), to)));
                    next.as_mut().reset(Instant::now() + STAGGER);
                    continue;
                }
                Some(attempt) = attempts.next() => attempt,
                else => return None,
            };
            // Hello is said to the winner alone: a second one would replace the first.
            let outcome = match outcome {
                Ok(connection) => in_time(self.greet(connection)).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(up) => {
                    self.experience = Experience { good: Some(address), silent: None };
                    return Some(up);
                }
                Err(error) => tracing::info!(%address, %error, "The region is not reachable."),
            }
            Gauges::add(&self.gauges.refused, 1);
            // Nothing is won by waiting after a failure.
            next.as_mut().reset(Instant::now());
        }
    }

    async fn greet(&mut self, connection: quinn::Connection) -> Result<Up, String> {
        let identity = quic::peer(&connection, &self.cluster).map_err(|error| error.to_string())?;
        let (send, recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
        let (mut sender, mut receiver) = (Sender::new(send), Receiver::new(recv));
        let told = *self.reports.borrow_and_update();
        let hello = Hello {
            node: self.node.clone(),
            version: self.config.version.clone(),
            applied_epoch: told.epoch,
            purged_seq: told.seq,
        };
        let said = sender.frame(Kind::Hello, |out| hello.put(out)).await;
        said.map_err(|error| error.to_string())?;
        // The region looks at our certificate only after our side of the handshake is done; its
        // welcome is the proof that it let us in.
        match receiver.expect_frame().await {
            Ok((Kind::Welcome, _)) => {}
            Ok((other, _)) => return Err(format!("unexpected frame {other:?}")),
            Err(error) => {
                let reason = connection.close_reason();
                return Err(reason.map_or_else(|| error.to_string(), |reason| reason.to_string()));
            }
        }
        Ok(Up { connection, sender, receiver, told, region: identity.name })
    }

    /// Keeps a connection until it ends.
    async fn hold(&mut self, mut up: Up) {
        Gauges::add(&self.gauges.connections, 1);
        tracing::info!(
            region = %up.region,
            address = %up.connection.remote_address(),
            "The tunnel is up."
        );
        self.link.send_replace(Link::Up(up.connection.clone()));
        self.tell(Event::Connected { region: up.region.clone() }).await;
        let reason = self.listen(&mut up).await;
        let wait = match up.connection.close_reason() {
            Some(quinn::ConnectionError::TimedOut) => {
                self.experience.silent = self.experience.good.take();
                SILENCE_WAIT
            }
            _ => RECONNECT_WAIT,
        };
        self.link.send_replace(Link::down(wait));
        Close::Shutdown.apply(&up.connection);
        tracing::warn!(region = %up.region, %reason, "The tunnel is down.");
        self.tell(Event::Disconnected).await;
    }

    async fn listen(&mut self, up: &mut Up) -> String {
        let mut gauge = tokio::time::interval(GAUGE_INTERVAL);
        loop {
            tokio::select! {
                frame = up.receiver.frame() => match frame {
                    Ok(Some((Kind::Push, payload))) => match Push::get(payload) {
                        Ok(push) => self.tell(Event::Push(push)).await,
                        Err(error) => return error.to_string(),
                    },
                    Ok(_) => return "the region ended the control stream".to_owned(),
                    Err(error) => {
                        let reason = up.connection.close_reason();
                        return reason.map_or_else(|| error.to_string(), |reason| reason.to_string());
                    }
                },
                changed = self.reports.changed() => {
                    // All handles are gone: nobody will ever need this connection.
                    if changed.is_err() {
                        return "the tunnel is no longer used".to_owned();
                    }
                    let now = *self.reports.borrow_and_update();
                    if let Err(error) = up.report(now).await {
                        return error.to_string();
                    }
                }
                _ = gauge.tick() => {
                    let rtt = u64::try_from(up.connection.rtt().as_micros()).unwrap_or(u64::MAX);
                    self.gauges.rtt_us.store(rtt, Ordering::Relaxed);
                }
            }
        }
    }

    async fn tell(&self, event: Event) {
        // Without a listener there is nobody to tell.
        self.events.send(event).await.ok();
    }
}

/// A handshake with one address; the error is a sentence for the log.
async fn handshake(
    endpoint: quinn::Endpoint,
    address: SocketAddr,
) -> (SocketAddr, Result<quinn::Connection, String>) {
    let connecting = endpoint.connect(address, quic::server_name());
    let shaken = in_time(async move {
        let connecting = connecting.map_err(|error| error.to_string())?;
        connecting.await.map_err(|error| error.to_string())
    });
    (address, shaken.await)
}

async fn in_time<T>(attempt: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let outcome = tokio::time::timeout(CONNECT_TIMEOUT, attempt).await;
    outcome.unwrap_or_else(|_late| Err("it does not answer".to_owned()))
}

/// An established connection with its control stream.
struct Up {
    connection: quinn::Connection,
    sender: Sender,
    receiver: Receiver,
    told: Done,
    region: String,
}

impl Up {
    async fn report(&mut self, now: Done) -> Result<(), SendError> {
        if now.epoch != self.told.epoch {
            let report = Report::Applied { epoch: now.epoch };
            self.sender.frame(Kind::Report, |out| report.put(out)).await?;
        }
        if now.seq != self.told.seq {
            let report = Report::Purged { seq: now.seq };
            self.sender.frame(Kind::Report, |out| report.put(out)).await?;
        }
        self.told = now;
        Ok(())
    }
}
