//! The task that owns chitchat: carries values in, views out, and starts it again if it ends.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat,
};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

use crate::gossip::keys::{Key, LEAVING};
use crate::gossip::peers::Peers;
use crate::gossip::{Inner, NodeView};
use crate::net::ca::PeerIdentity;
use crate::net::clock::{Clock, Timestamp};
use crate::net::socket::Network;
use crate::net::tasks::Tasks;

/// Suspicion at which a node counts as dead: eight times its usual interval without news
/// (chitchat's and Cassandra's default).
const PHI: f64 = 8.0;
/// Heartbeats the usual interval is drawn from (chitchat's default).
const SAMPLES: usize = 1_000;
/// A pause of more than this many rounds is an outage, not a sample.
const MAX_INTERVAL_ROUNDS: u32 = 20;
/// How long a dead node is shown.
const DEAD_GRACE: Duration = Duration::from_secs(60 * 60);
/// How often seeds are asked again: soon while alone, then only against partitions.
const RESEED_ALONE: Duration = Duration::from_secs(5);
const RESEED: Duration = Duration::from_secs(60);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before chitchat is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const SEEDS_MAX: usize = 64;
/// Nodes and values shown; a peer cannot make us hold more for the readers.
const VIEWS_MAX: usize = 1_024;
const VALUES_MAX: usize = 64;

pub(super) struct Keeper {
    pub(super) identity: PeerIdentity,
    pub(super) seeds: Vec<String>,
    pub(super) network: Arc<dyn Network>,
    pub(super) inner: Arc<Inner>,
    pub(super) publish: watch::Sender<Arc<[NodeView]>>,
    pub(super) peers: Peers,
    pub(super) tasks: Tasks,
    pub(super) clock: Clock,
}

/// Why a life of chitchat's is over.
enum End {
    Stop,
    Died(String),
}

/// Heartbeats as last seen, and when they changed.
type Seen = HashMap<ChitchatId, (u64, Timestamp)>;

impl Keeper {
    pub(super) async fn run(self) {
        let stopped = self.tasks.stopped().clone();
        let mut generation = 0;
        loop {
            // Peers tell lives of a node apart by this number, so it must grow.
            generation = self.clock.now().as_millis().max(generation + 1);
            let starting = self.start(generation);
            let started = tokio::select! {
                started = starting => started,
                () = stopped.cancelled() => return,
            };
            let end = match started {
                Ok(handle) => {
                    let end = self.tend(&handle).await;
                    // It ends by itself when its handle is dropped; asking is only sooner.
                    handle.initiate_shutdown().ok();
                    end
                }
                Err(error) => End::Died(error.to_string()),
            };
            match end {
                End::Stop => return,
                End::Died(error) => tracing::error!(%error, "Gossip died; starting it again."),
            }
            tokio::select! {
                () = tokio::time::sleep(RESTART_PAUSE) => {}
                () = stopped.cancelled() => return,
            }
        }
    }

    async fn start(&self, generation: u64) -> anyhow::Result<ChitchatHandle> {
        let interval = self.inner.interval;
        let seeds = self.resolve_seeds().await;
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new(
                self.identity.name.as_str(),
                generation,
                self.inner.address,
            ),
            cluster_id: self.identity.cluster.clone(),
            gossip_interval: interval,
            listen_addr: self.inner.address,
            // Addresses only: names are ours to resolve, through the network seam.
            seed_nodes: seeds.iter().map(SocketAddr::to_string).collect(),
            failure_detector_config: FailureDetectorConfig::new(
                PHI,
                SAMPLES,
                interval * MAX_INTERVAL_ROUNDS,
                interval,
                DEAD_GRACE,
            ),
            marked_for_deletion_grace_period: DEAD_GRACE,
            catchup_callback: None,
            extra_liveness_predicate: None,
        };
        let values = self.wanted();
        let values = values.into_iter().map(|(key, value)| (key.as_str().to_owned(), value));
        spawn_chitchat(config, values.collect(), &self.peers).await
    }

    /// Works until chitchat ends or the node stops.
    async fn tend(&self, handle: &ChitchatHandle) -> End {
        let mut died = pin!(handle.termination_watcher());
        let mut lives = handle.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
        let mut round = tokio::time::interval(self.inner.interval);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Others' farewells are shown as they come; nodes that stop together wait for them.
        let farewell = Arc::new(Notify::new());
        let _heard = handle
            .with_chitchat(|chitchat| {
                let farewell = Arc::clone(&farewell);
                chitchat.subscribe_event(Key::State.as_str(), move |_| farewell.notify_one())
            })
            .await;
        let mut reseed = pin!(tokio::time::sleep(RESEED_ALONE));
        let mut seen = Seen::new();
        loop {
            tokio::select! {
                result = &mut died => {
                    return End::Died(match result {
                        Ok(()) => "it stopped without being asked".to_owned(),
                        Err(error) => error.to_string(),
                    });
                }
                () = self.tasks.stopped().cancelled() => return End::Stop,
                () = self.inner.bell.notified() => self.speak(handle).await,
                changed = lives.changed() => if changed.is_ok() {
                    lives.mark_unchanged();
                },
                () = farewell.notified() => {}
                _ = round.tick() => {}
                () = &mut reseed => {
                    let alone = self.publish.borrow().len() < 2;
                    for seed in self.resolve_seeds().await {
                        // Fails where chitchat died, which the next turn notices.
                        handle.gossip(seed).ok();
                    }
                    let next = if alone { RESEED_ALONE } else { RESEED };
                    reseed.as_mut().reset(tokio::time::Instant::now() + next);
                }
            }
            let now = self.clock.now();
            let views = handle.with_chitchat(|chitchat| views(chitchat, &mut seen, now)).await;
            self.show(views);
        }
    }

    /// Carries what changed into this node's table.
    async fn speak(&self, handle: &ChitchatHandle) {
        let wanted = self.wanted();
        let leaving = wanted.get(&Key::State).is_some_and(|state| state == LEAVING);
        let alive: Vec<SocketAddr> = handle
            .with_chitchat(|chitchat| {
                let own = chitchat.self_node_state();
                for (key, value) in &wanted {
                    // chitchat compares: an equal value makes no new version.
                    own.set(key.as_str(), value);
                }
                chitchat.live_nodes().map(|node| node.gossip_advertise_addr).collect()
            })
            .await;
        if leaving {
            // Rounds pick peers at random; a farewell does not wait for luck.
            for peer in alive.into_iter().filter(|peer| *peer != self.inner.address) {
                handle.gossip(peer).ok();
            }
        }
    }

    fn wanted(&self) -> BTreeMap<Key, String> {
        self.inner.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, views: Vec<NodeView>) {
        self.publish.send_if_modified(|shown| {
            let same = |(old, new): (&NodeView, &NodeView)| {
                let NodeView { name, alive, address, last_seen: _, values } = old;
                (name, *alive, *address, values) == (&new.name, new.alive, new.address, &new.values)
            };
            let changed = shown.len() != views.len() || !shown.iter().zip(&views).all(same);
            *shown = views.into();
            changed
        });
    }

    async fn resolve_seeds(&self) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for seed in &self.seeds {
            if let Ok(address) = seed.parse() {
                found.push(address);
                continue;
            }
            let Some((host, port)) = seed.rsplit_once(':') else { continue };
            let Ok(port) = port.parse() else { continue };
            let resolving = self.network.resolve(host, port);
            match tokio::time::timeout(RESOLVE_TIMEOUT, resolving).await {
                Ok(Ok(addresses)) => found.extend(addresses),
                _ => tracing::warn!(%seed, "A gossip seed does not resolve."),
            }
        }
        found.retain(|seed| *seed != self.inner.address);
        found.truncate(SEEDS_MAX);
        found
    }
}

/// All nodes, each in its newest life, by name.
fn views(chitchat: &Chitchat, seen: &mut Seen, now: Timestamp) -> Vec<NodeView> {
    let own = chitchat.self_chitchat_id();
    let live: std::collections::HashSet<&ChitchatId> = chitchat.live_nodes().collect();
    let mut newest: BTreeMap<&str, &ChitchatId> = BTreeMap::new();
    for id in chitchat.node_states().keys().take(VIEWS_MAX) {
        let known = newest.entry(&id.node_id).or_insert(id);
        if id.generation_id > known.generation_id {
            *known = id;
        }
    }
    seen.retain(|id, _| chitchat.node_state(id).is_some());
    newest
        .into_iter()
        .filter_map(|(name, id)| {
            let state = chitchat.node_state(id)?;
            let heartbeat = u64::from(state.heartbeat());
            let last = seen.entry(id.clone()).or_insert((heartbeat, now));
            if last.0 != heartbeat || id == own {
                *last = (heartbeat, now);
            }
            let values = state.key_values().take(VALUES_MAX);
            Some(NodeView {
                name: name.to_owned(),
                alive: live.contains(id),
                address: id.gossip_advertise_addr,
                last_seen: last.1,
                values: values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            })
        })
        .collect()
}
