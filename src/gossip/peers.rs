//! Connections to gossip peers: opened on demand, used in both directions.
//!
//! chitchat knows peers by the address they advertise. A dialed connection is to that address by
//! nature; an accepted one says its address in its first stream, and the address is then bound to
//! the name in its certificate: another node cannot take it over while the first is connected.
//!
//! Short messages are QUIC datagrams, longer ones a stream each. Nothing waits: a peer that does
//! not keep up misses rounds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chitchat::{ChitchatMessage, Deserializable};
use quinn::{Connection, VarInt};
use tokio::sync::mpsc;

use crate::gossip::transport::MESSAGE_BYTES_MAX;
use crate::net::ca::PeerIdentity;
use crate::net::quic;
use crate::net::tasks::Tasks;

/// Streams a peer may have open at once: a few rounds of long messages.
pub(super) const STREAMS: u32 = 16;
/// Peers at once; a cluster has some hundreds of nodes at most.
const PEERS_MAX: usize = 1_024;
/// Messages waiting for a connection or for its flow control: a round or two.
const OUTBOX: usize = 16;
/// Messages waiting for chitchat.
const INBOX: usize = 256;
/// A handshake with loss; a peer that needs longer is tried again at the next message.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// A long message, or an introduction, with loss.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// An introduction is a socket address in text.
const INTRODUCTION_BYTES_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Peers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: quinn::Endpoint,
    advertise: SocketAddr,
    identity: PeerIdentity,
    tasks: Tasks,
    table: Mutex<BTreeMap<SocketAddr, Peer>>,
    inbox: Mutex<Option<mpsc::Sender<(SocketAddr, ChitchatMessage)>>>,
    next_id: AtomicU64,
}

/// Where messages to an address go.
#[derive(Debug)]
struct Peer {
    id: u64,
    outbox: mpsc::Sender<Bytes>,
    /// Not yet known while dialing.
    bound: Option<(String, Connection)>,
}

impl Peers {
    pub(super) fn new(
        endpoint: quinn::Endpoint,
        advertise: SocketAddr,
        identity: &PeerIdentity,
        tasks: &Tasks,
    ) -> Self {
        let peers = Self(Arc::new(Shared {
            endpoint,
            advertise,
            identity: identity.clone(),
            tasks: tasks.clone(),
            table: Mutex::default(),
            inbox: Mutex::default(),
            next_id: AtomicU64::new(0),
        }));
        tasks.spawn(peers.clone().accept());
        peers
    }

    /// A new inbox; the former one ends.
    pub(super) fn attach(&self) -> mpsc::Receiver<(SocketAddr, ChitchatMessage)> {
        let (inbox, receiver) = mpsc::channel(INBOX);
        *self.0.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(inbox);
        receiver
    }

    /// Sends if there is room, and dials if there is no connection.
    pub(super) fn send(&self, to: SocketAddr, message: Bytes) {
        // chitchat also tries nodes it holds for dead, and one of them is our own former life.
        if to == self.0.advertise {
            return;
        }
        let outbox = self.with(|table| {
            if let Some(peer) = table.get(&to).filter(|peer| !peer.outbox.is_closed()) {
                // A full outbox means the peer does not keep up: this message is lost on it.
                peer.outbox.try_send(message).ok();
                return None;
            }
            if table.len() >= PEERS_MAX {
                return None;
            }
            let (outbox, waiting) = mpsc::channel(OUTBOX);
            // The channel is new and empty.
            outbox.try_send(message).ok();
            let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
            table.insert(to, Peer { id, outbox, bound: None });
            Some((id, waiting))
        });
        if let Some((id, outbox)) = outbox {
            self.0.tasks.spawn(self.clone().dial(to, id, outbox));
        }
    }

    async fn dial(self, to: SocketAddr, id: u64, outbox: mpsc::Receiver<Bytes>) {
        let dialing = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.try_dial(to));
        let dialed = tokio::select! {
            dialed = dialing => dialed,
            () = self.0.tasks.stopped().cancelled() => return,
        };
        match dialed {
            Ok(Ok((name, connection))) => {
                self.with(|table| {
                    if let Some(peer) = table.get_mut(&to).filter(|peer| peer.id == id) {
                        peer.bound = Some((name, connection.clone()));
                    }
                });
                self.0.tasks.spawn(self.clone().read(connection.clone(), to));
                self.write(connection, outbox).await;
            }
            Ok(Err(error)) => tracing::debug!(%to, %error, "A gossip peer is not reachable."),
            Err(_late) => tracing::debug!(%to, "A gossip peer does not answer."),
        }
        self.forget(to, id);
    }

    async fn try_dial(&self, to: SocketAddr) -> Result<(String, Connection), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let connecting =
            self.0.endpoint.connect(to, quic::server_name()).map_err(|error| text(&error))?;
        let connection = connecting.await.map_err(|error| text(&error))?;
        let peer = quic::peer(&connection, &self.0.identity.cluster).map_err(|e| text(&e))?;
        let mut introduction = connection.open_uni().await.map_err(|error| text(&error))?;
        let own = self.0.advertise.to_string();
        introduction.write_all(own.as_bytes()).await.map_err(|error| text(&error))?;
        introduction.finish().map_err(|error| text(&error))?;
        Ok((peer.name, connection))
    }

    async fn accept(self) {
        loop {
            let incoming = tokio::select! {
                incoming = self.0.endpoint.accept() => incoming,
                () = self.0.tasks.stopped().cancelled() => None,
            };
            let Some(incoming) = incoming else { break };
            if self.0.endpoint.open_connections() > 2 * PEERS_MAX {
                incoming.refuse();
                continue;
            }
            self.0.tasks.spawn(self.clone().welcome(incoming));
        }
        self.0.endpoint.close(VarInt::from_u32(0), b"shutting down");
        // Late or not, the node stops.
        tokio::time::timeout(quic::FAREWELL, self.0.endpoint.wait_idle()).await.ok();
    }

    async fn welcome(self, incoming: quinn::Incoming) {
        let from = incoming.remote_address();
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming.into_future()).await;
        let Ok(Ok(connection)) = handshake else {
            tracing::debug!(%from, "A gossip handshake failed.");
            return;
        };
        let introduced = tokio::time::timeout(MESSAGE_TIMEOUT, self.introduced(&connection));
        let bound = match introduced.await {
            Ok(Ok((name, address))) => self.bind(name, address, &connection),
            Ok(Err(error)) => Err(error),
            Err(_late) => Err("it did not introduce itself".to_owned()),
        };
        match bound {
            Ok((address, id, outbox)) => {
                let peers = self.clone();
                let writing = connection.clone();
                self.0.tasks.spawn(async move {
                    peers.write(writing, outbox).await;
                    peers.forget(address, id);
                });
                self.read(connection, address).await;
            }
            Err(reason) => {
                tracing::warn!(%from, %reason, "Refused a gossip peer.");
                connection.close(VarInt::from_u32(1), reason.as_bytes());
            }
        }
    }

    async fn introduced(&self, connection: &Connection) -> Result<(String, SocketAddr), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let peer = quic::peer(connection, &self.0.identity.cluster).map_err(|e| text(&e))?;
        let mut stream = connection.accept_uni().await.map_err(|error| text(&error))?;
        let own = stream.read_to_end(INTRODUCTION_BYTES_MAX).await.map_err(|error| text(&error))?;
        let address = std::str::from_utf8(&own).ok().and_then(|own| own.parse().ok());
        let address = address.ok_or_else(|| "its address is malformed".to_owned())?;
        Ok((peer.name, address))
    }

    /// Binds an address to an accepted connection, unless another node's or our own it is.
    fn bind(
        &self,
        name: String,
        address: SocketAddr,
        connection: &Connection,
    ) -> Result<(SocketAddr, u64, mpsc::Receiver<Bytes>), String> {
        if name == self.0.identity.name || address == self.0.advertise {
            return Err(format!("it claims to be {} at {}", self.0.identity.name, address));
        }
        self.with(|table| {
            if let Some(Peer { bound: Some((owner, alive)), .. }) = table.get(&address)
                && *owner != name
                && alive.close_reason().is_none()
            {
                return Err(format!("{name} claims {address}, which is {owner}'s"));
            }
            if !table.contains_key(&address) && table.len() >= PEERS_MAX {
                return Err("too many peers".to_owned());
            }
            let (outbox, waiting) = mpsc::channel(OUTBOX);
            let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
            // The newest connection is the one to answer on: after a restart the former one is
            // dead without knowing it. It goes on being read until it ends.
            let bound = Some((name, connection.clone()));
            table.insert(address, Peer { id, outbox, bound });
            Ok((address, id, waiting))
        })
    }

    /// Writes until the connection ends or a newer one takes the address over.
    async fn write(&self, connection: Connection, mut outbox: mpsc::Receiver<Bytes>) {
        loop {
            let message = tokio::select! {
                message = outbox.recv() => message,
                _ = connection.closed() => None,
                () = self.0.tasks.stopped().cancelled() => None,
            };
            let Some(message) = message else { return };
            if connection.max_datagram_size().is_some_and(|max| message.len() <= max) {
                // An error is a lost message, or a lost connection, which the next turn notices.
                connection.send_datagram(message).ok();
                continue;
            }
            let sending = async {
                let mut stream = connection.open_uni().await.ok()?;
                stream.write_chunk(message).await.ok()?;
                stream.finish().ok()
            };
            if !matches!(tokio::time::timeout(MESSAGE_TIMEOUT, sending).await, Ok(Some(()))) {
                tracing::debug!("A long gossip message was not sent.");
            }
        }
    }

    /// Reads until the connection ends.
    async fn read(self, connection: Connection, from: SocketAddr) {
        loop {
            let bytes = tokio::select! {
                datagram = connection.read_datagram() => match datagram {
                    Ok(bytes) => Some(bytes),
                    Err(_ended) => return,
                },
                stream = connection.accept_uni() => match stream {
                    Ok(mut stream) => {
                        let whole = stream.read_to_end(MESSAGE_BYTES_MAX);
                        match tokio::time::timeout(MESSAGE_TIMEOUT, whole).await {
                            Ok(Ok(bytes)) => Some(Bytes::from(bytes)),
                            _ => None,
                        }
                    }
                    Err(_ended) => return,
                },
            };
            let Some(bytes) = bytes else { continue };
            match ChitchatMessage::deserialize(&mut &*bytes) {
                Ok(message) => self.deliver(from, message),
                Err(error) => tracing::warn!(%from, %error, "A gossip message is malformed."),
            }
        }
    }

    fn deliver(&self, from: SocketAddr, message: ChitchatMessage) {
        let inbox = self.0.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = &*inbox {
            // Full: chitchat is behind, and the next round says the same again.
            inbox.try_send((from, message)).ok();
        }
    }

    fn forget(&self, address: SocketAddr, id: u64) {
        self.with(|table| {
            if table.get(&address).is_some_and(|peer| peer.id == id) {
                table.remove(&address);
            }
        });
    }

    /// Addresses that are connected or being dialed.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.with(|table| table.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<SocketAddr, Peer>) -> T) -> T {
        work(&mut self.0.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
