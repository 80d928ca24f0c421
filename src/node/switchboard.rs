//! The edge's switchboard: what the tunnel and gossip say, turned into what the parts do.
//!
//! Both only say numbers: an epoch, a purge. Whoever sees a number ahead of its own asks the region
//! for what is missing. So a push that was lost costs a gossip round, never a wrong answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::deployment::source::Source;
use crate::gossip::{Key, NodeView};
use crate::node::foundation::Core;
use crate::store::purge_log::{Absorbed, PurgeBatch};
use crate::tunnel::{Event, Push, Report, Request, Tunnel};

/// How long an edge that starts doubts its disk while it waits for the region to say what was
/// purged meanwhile. After that the region counts as away, and what is fresh is served.
const DOUBT_AT_START: Duration = Duration::from_secs(3);
/// Pause before what failed is tried again; the tunnel has its own back-off.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Switchboard {
    pub(super) core: Arc<Core>,
    pub(super) tunnel: Tunnel,
}

/// Starts the tasks. Until the region has said which purges were missed, or seems to be away,
/// nothing kept is shown.
pub(super) fn start(board: Switchboard, events: mpsc::Receiver<Event>) {
    let tasks = board.core.tasks.clone();
    board.core.gateway.cache.purges().set_doubted(true);
    tasks.spawn(board.run(events));
}

/// What is known to be newer elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    config: bool,
    purges: bool,
}

impl Switchboard {
    async fn run(self, mut events: mpsc::Receiver<Event>) {
        let stopped = self.core.tasks.stopped().clone();
        let mut gossip = self.core.gossip.watch();
        let mut missing = Missing::default();
        let mut doubting = true;
        let doubt_ends = tokio::time::sleep(DOUBT_AT_START);
        tokio::pin!(doubt_ends);
        loop {
            let busy = missing.config || missing.purges;
            tokio::select! {
                () = stopped.cancelled() => return,
                () = &mut doubt_ends, if doubting => {
                    doubting = false;
                    self.doubt(false);
                }
                event = events.recv() => match event {
                    None => return,
                    Some(event) => self.note(&event, &mut missing),
                },
                changed = gossip.changed() => match changed {
                    Ok(()) => self.compare(&gossip.borrow_and_update().clone(), &mut missing),
                    Err(_) => return,
                },
                () = tokio::time::sleep(RETRY), if busy => {}
            }
            if self.tunnel.is_connected() {
                self.catch_up(&mut missing, &mut doubting).await;
            }
        }
    }

    fn doubt(&self, doubted: bool) {
        self.core.gateway.cache.purges().set_doubted(doubted);
    }

    fn note(&self, event: &Event, missing: &mut Missing) {
        match event {
            Event::Connected { region } => {
                tracing::info!(%region, "The tunnel is up.");
                self.core.gossip.set(Key::Tunnel, "up");
                // What was missed while away must not be shown for the moment it takes to ask.
                self.doubt(true);
                *missing = Missing { config: true, purges: true };
            }
            Event::Disconnected => {
                tracing::warn!("The tunnel is down; what is fresh is served from the cache.");
                self.core.gossip.set(Key::Tunnel, "down");
                self.doubt(false);
            }
            Event::Push(Push::Config { epoch }) => {
                missing.config |= *epoch != self.core.gateway.deployments.epoch();
            }
            Event::Push(Push::Purge { .. }) => missing.purges = true,
            Event::Push(Push::Goodbye) => tracing::info!("The region is about to stop."),
        }
    }

    /// What the region says of itself in gossip, against what we have.
    fn compare(&self, nodes: &[NodeView], missing: &mut Missing) {
        let number = |node: &NodeView, key| node.get(key).and_then(|text| text.parse::<u64>().ok());
        for region in nodes.iter().filter(|node| node.get(Key::Role) == Some("region")) {
            let epoch = self.core.gateway.deployments.epoch();
            missing.config |= number(region, Key::ConfigEpoch).is_some_and(|theirs| theirs > epoch);
            let seq = self.core.gateway.cache.purges().newest_seq();
            missing.purges |= number(region, Key::PurgeHead).is_some_and(|theirs| theirs > seq);
        }
    }

    async fn catch_up(&self, missing: &mut Missing, doubting: &mut bool) {
        if missing.purges {
            match self.purges().await {
                Ok(()) => {
                    missing.purges = false;
                    *doubting = false;
                    self.doubt(false);
                }
                Err(error) => tracing::warn!(%error, "Purges could not be fetched; trying again."),
            }
        }
        if missing.config {
            let source = Source::Region(self.tunnel.clone());
            match self.core.gateway.deployments.refresh(&source).await {
                Ok(changed) => {
                    missing.config = false;
                    self.core.take_certificates();
                    let epoch = self.core.gateway.deployments.epoch();
                    self.core.gossip.set(Key::ConfigEpoch, &epoch.to_string());
                    self.tunnel.report(Report::Applied { epoch });
                    if changed {
                        tracing::info!(epoch, "A new configuration is in force.");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "The configuration could not be fetched; trying again.");
                }
            }
        }
    }

    async fn purges(&self) -> Result<(), SyncError> {
        let core = &self.core;
        let purges = core.gateway.cache.purges().clone();
        let (log_id, seq) = core.with_purge_log(|log| Ok((log.log_id(), log.head()))).await?;
        let bytes = self.tunnel.request(Request::PurgesSince { log_id, seq }).await?;
        let batch = PurgeBatch::decode(&bytes)?;
        let (their_log, head) = (batch.log_id, batch.head);
        if their_log != log_id {
            // Another numbering: what was reported under the old one must not confirm the new.
            self.tunnel.report(Report::Purged { seq: 0 });
        }
        match core.with_purge_log(move |log| log.absorb(&batch)).await? {
            Absorbed::Applied(new) => purges.apply_all(&new),
            Absorbed::Adopted(all) => purges.adopt(their_log, head, &all),
        }
        self.tunnel.report(Report::Purged { seq: head });
        core.announce();
        Ok(())
    }
}

/// Why the region's purges are not ours yet.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Tunnel(#[from] crate::tunnel::TunnelError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}
