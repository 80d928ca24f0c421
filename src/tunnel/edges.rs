//! The region's view of its edges: who is connected, what each has carried out, news for all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::ids::NodeName;
use crate::net::clock::{Clock, Timestamp};
use crate::tunnel::frame::{Hello, Push, Report};
use crate::tunnel::gauges::Gauges;

/// Edges remembered, connected or not; a cluster has some hundreds at most.
pub(super) const EDGES_MAX: usize = 1_024;

/// All edges of a region. Clones share the table.
#[derive(Clone, Debug)]
pub struct Edges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    clock: Clock,
    table: Mutex<BTreeMap<NodeName, Entry>>,
    /// The newest of each kind of push.
    news: watch::Sender<News>,
    /// Counts changes of the table, so that waiters look again.
    changes: watch::Sender<u64>,
    gauges: Arc<Gauges>,
    next_id: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) epoch: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) goodbye: bool,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    connection: quinn::Connection,
    connected: bool,
    since: Timestamp,
    version: String,
    applied_epoch: u64,
    purged_seq: u64,
}

/// One edge, for `status` and the metrics.
#[derive(Clone, Debug)]
pub struct EdgeView {
    pub name: NodeName,
    pub connected: bool,
    /// When the connection, or the last one, was made.
    pub since: Timestamp,
    pub address: SocketAddr,
    pub rtt: Duration,
    pub version: String,
    pub applied_epoch: u64,
    pub purged_seq: u64,
}

impl Edges {
    pub(super) fn new(address: SocketAddr, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            address,
            clock,
            table: Mutex::default(),
            news: watch::Sender::default(),
            changes: watch::Sender::default(),
            gauges: Arc::default(),
            next_id: AtomicU64::new(0),
        }))
    }

    /// Where the region listens for edges.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.address
    }

    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.0.gauges
    }

    /// Tells every edge, now or when it connects. Never waits.
    pub fn push(&self, push: Push) {
        self.0.news.send_if_modified(|news| {
            let before = *news;
            match push {
                Push::Config { epoch } => news.epoch = Some(epoch),
                Push::Purge { seq } => news.seq = Some(seq.max(news.seq.unwrap_or(0))),
                Push::Goodbye => news.goodbye = true,
            }
            *news != before
        });
    }

    /// Waits until every connected edge serves nothing older than purge `seq`, at most `timeout`;
    /// then says of every known edge whether it confirmed. An edge that is away counts as not
    /// confirmed but is not waited for: it asks for missed purges before it serves again.
    pub async fn confirmed(&self, seq: u64, timeout: Duration) -> Vec<(NodeName, bool)> {
        let mut changes = self.0.changes.subscribe();
        let all = async {
            // Cannot fail while `self` holds the sender.
            while !self.connected_have(seq) && changes.changed().await.is_ok() {}
        };
        // Late is an answer, too: the list says who is missing.
        tokio::time::timeout(timeout, all).await.ok();
        self.with(|table| {
            table.iter().map(|(name, entry)| (name.clone(), entry.purged_seq >= seq)).collect()
        })
    }

    fn connected_have(&self, seq: u64) -> bool {
        self.with(|table| table.values().all(|entry| !entry.connected || entry.purged_seq >= seq))
    }

    /// Every edge that is or was connected since the region started, by name.
    pub fn list(&self) -> Vec<EdgeView> {
        self.with(|table| {
            let view = |(name, entry): (&NodeName, &Entry)| EdgeView {
                name: name.clone(),
                connected: entry.connected,
                since: entry.since,
                address: entry.connection.remote_address(),
                rtt: entry.connection.rtt(),
                version: entry.version.clone(),
                applied_epoch: entry.applied_epoch,
                purged_seq: entry.purged_seq,
            };
            table.iter().map(view).collect()
        })
    }

    pub(super) fn news(&self) -> watch::Receiver<News> {
        let mut news = self.0.news.subscribe();
        news.mark_changed();
        news
    }

    /// Enters a new connection; a former one of the same edge comes back, to be closed. `None`
    /// where there is no room.
    pub(super) fn enter(
        &self,
        name: &NodeName,
        hello: &Hello,
        connection: quinn::Connection,
    ) -> Option<(Entered, Option<quinn::Connection>)> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            id,
            connection,
            connected: true,
            since: self.0.clock.now(),
            version: hello.version.clone(),
            applied_epoch: hello.applied_epoch,
            purged_seq: hello.purged_seq,
        };
        let former = self.with(|table| {
            if !table.contains_key(name) && table.len() >= EDGES_MAX {
                let away = table.iter().find(|(_, entry)| !entry.connected);
                let away = away.map(|(name, _)| name.clone())?;
                table.remove(&away);
            }
            Some(table.insert(name.clone(), entry))
        })?;
        Gauges::add(&self.0.gauges.connections, 1);
        self.changed();
        let former = former.filter(|entry| entry.connected).map(|entry| entry.connection);
        Some((Entered { edges: self.clone(), name: name.clone(), id }, former))
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<NodeName, Entry>) -> T) -> T {
        // Nothing within can leave the table half changed, so a panic elsewhere does not spoil it.
        work(&mut self.0.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection's place in the table; given up when dropped.
#[derive(Debug)]
pub(super) struct Entered {
    edges: Edges,
    name: NodeName,
    id: u64,
}

impl Entered {
    pub(super) fn report(&self, report: Report) {
        self.entry(|entry| match report {
            Report::Applied { epoch } => entry.applied_epoch = epoch,
            Report::Purged { seq } => entry.purged_seq = seq,
        });
    }

    fn entry(&self, change: impl FnOnce(&mut Entry)) {
        self.edges.with(|table| {
            if let Some(entry) = table.get_mut(&self.name).filter(|entry| entry.id == self.id) {
                change(entry);
            }
        });
        self.edges.changed();
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.entry(|entry| entry.connected = false);
    }
}
