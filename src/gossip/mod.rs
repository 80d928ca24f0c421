//! Which nodes are there, are they alive, and what does each say about itself?
//!
//! chitchat (scuttlebutt reconciliation, phi-accrual failure detection) over our own transport:
//! its messages travel in mutual-TLS QUIC and never as bare UDP. Every node writes only its own
//! small table of [`Key`]s; all nodes come to know all tables within a few rounds. What is said
//! here is for people and for tuning; nothing that must be right (configuration, purges) depends
//! on it, the tunnel carries that.
//!
//! A member of the cluster is trusted to speak the truth about other members, as in any gossip;
//! a node without a certificate of this cluster gets nowhere.
//!
//! Hayashibara et al., "The phi accrual failure detector" (2004); van Renesse et al., "Efficient
//! reconciliation and flow control for anti-entropy protocols" (2008).

mod keeper;
mod keys;
mod peers;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell, watch};

use crate::net::ca::NodeCertificate;
use crate::net::clock::{Clock, Timestamp};
use crate::net::quic::{self, PeerStreams, Protocol, QuicError};
use crate::net::socket::Network;
use crate::net::tasks::Tasks;

pub use keys::Key;

/// Longest value; all values of a node together then fit one message many times over.
const VALUE_BYTES_MAX: usize = 1_024;

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where datagrams are received.
    pub listen: SocketAddr,
    /// What peers are told to send to; `None` is the address listened on.
    pub advertise: Option<SocketAddr>,
    /// Where to find the first peers, `host:port` or `ip:port`; own addresses do no harm.
    pub seeds: Vec<String>,
    /// Time between rounds.
    pub interval: Duration,
    /// What the node says about itself from the start.
    pub values: Vec<(Key, String)>,
}

impl Config {
    pub const INTERVAL: Duration = Duration::from_millis(500);

    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            advertise: None,
            seeds: Vec::new(),
            interval: Self::INTERVAL,
            values: Vec::new(),
        }
    }
}

/// One node as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub name: String,
    pub alive: bool,
    /// Its gossip address.
    pub address: SocketAddr,
    /// When news of it last arrived here; for this node itself, now.
    pub last_seen: Timestamp,
    /// By the key's text, so that a node of a newer version can be shown, too.
    pub values: BTreeMap<String, String>,
}

impl NodeView {
    pub fn get(&self, key: Key) -> Option<&str> {
        self.values.get(key.as_str()).map(String::as_str)
    }

    /// It said that it is about to stop.
    pub fn is_leaving(&self) -> bool {
        self.get(Key::State) == Some(keys::LEAVING)
    }
}

/// This node's part in the gossip. Clones share it.
#[derive(Clone, Debug)]
pub struct Gossip(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    address: SocketAddr,
    interval: Duration,
    /// What this node wants to be known; the keeper carries it over.
    wanted: Mutex<BTreeMap<Key, String>>,
    /// Rung when `wanted` changed.
    bell: Notify,
    views: watch::Receiver<Arc<[NodeView]>>,
    left: OnceCell<()>,
}

impl Gossip {
    /// Opens the port and begins to gossip until the node stops.
    pub fn start(
        config: Config,
        network: Arc<dyn Network>,
        certificate: &NodeCertificate,
        tasks: &Tasks,
        clock: &Clock,
    ) -> Result<Gossip, QuicError> {
        let streams = PeerStreams { bidirectional: 0, unidirectional: peers::STREAMS };
        let server = quic::server_config(certificate, Protocol::Gossip, streams, clock)?;
        let client = quic::client_config(certificate, Protocol::Gossip, streams, None, clock)?;
        let mut endpoint =
            quic::endpoint(&*network, config.listen, certificate, Some(server), tasks.runtime())?;
        endpoint.set_default_client_config(client);
        let address = endpoint
            .local_addr()
            .map_err(|source| QuicError::Socket { address: config.listen, source })?;
        let advertise = config.advertise.unwrap_or(address);
        let peers = peers::Peers::new(endpoint, advertise, certificate.identity(), tasks);

        let mut wanted: BTreeMap<Key, String> = config.values.into_iter().collect();
        wanted.insert(Key::Role, certificate.identity().role.as_str().to_owned());
        wanted.insert(Key::StartedAt, clock.now().as_millis().to_string());
        let (publish, views) = watch::channel(Arc::from([]));
        let inner = Arc::new(Inner {
            name: certificate.identity().name.clone(),
            address: advertise,
            interval: config.interval,
            wanted: Mutex::new(wanted),
            bell: Notify::new(),
            views,
            left: OnceCell::new(),
        });
        let keeper = keeper::Keeper {
            identity: certificate.identity().clone(),
            seeds: config.seeds,
            network,
            inner: inner.clone(),
            publish,
            peers,
            tasks: tasks.clone(),
            clock: clock.clone(),
        };
        tasks.spawn(keeper.run());
        Ok(Gossip(inner))
    }

    /// The address peers are told.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Says something about this node. Never waits; saying the same again costs nothing. A value
    /// of more than 1 KiB is not said.
    pub fn set(&self, key: Key, value: &str) {
        if value.len() > VALUE_BYTES_MAX {
            tracing::warn!(key = key.as_str(), bytes = value.len(), "Too long for gossip.");
            return;
        }
        {
            let mut wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted.get(&key).is_some_and(|old| old == value) {
                return;
            }
            wanted.insert(key, value.to_owned());
        }
        self.0.bell.notify_one();
    }

    /// All nodes known, alive and dead, this one included, by name.
    pub fn nodes(&self) -> Arc<[NodeView]> {
        self.0.views.borrow().clone()
    }

    /// Told whenever a node comes, goes or says something new (not when it is merely seen again).
    pub fn watch(&self) -> watch::Receiver<Arc<[NodeView]>> {
        self.0.views.clone()
    }

    /// Tells the peers that this node is about to stop, and gives the news two rounds to spread.
    /// Where nobody is left who stays, nobody needs the news and this returns sooner; the second
    /// time it returns with the first.
    pub async fn leave(&self) {
        let told = self.0.left.get_or_init(|| async {
            self.set(Key::State, keys::LEAVING);
            let stays =
                |node: &NodeView| node.alive && node.name != self.0.name && !node.is_leaving();
            let mut views = self.0.views.clone();
            let nobody_stays = views.wait_for(|nodes| !nodes.iter().any(stays));
            // That the time is over is the usual end; an error means that gossip has ended.
            tokio::time::timeout(self.0.interval * 2, nobody_stays).await.ok();
        });
        told.await;
    }
}
