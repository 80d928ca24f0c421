//! A network in memory: whole nodes, backends and clients on one runtime whose time is paused.
//!
//! Everything a node sends goes over [`Network`](tidegate::net::socket::Network), so a test hands
//! each node a host of this world instead of the machine. Between any two hosts lies a link with a
//! delay, a jitter, a loss rate, and a test may cut it, mend it, or kill a host. An hour of
//! simulated time costs what its work costs.
//!
//! **What a seed fixes:** every decision of the network (which datagram is lost, doubled or late),
//! link by link and in the order of what is sent. **What it does not fix:** keys and nonces of TLS
//! and QUIC, and the random numbers nodes draw for themselves; so two runs of a whole node meet
//! the same weather but need not make the same steps.
//!
//! It does not model bandwidth: what is in flight is bounded, the rate is not. A TCP reset reaches
//! a reader as an end of stream (a `DuplexStream` has no other way to say it); over TLS that is
//! still told apart from a proper close, because the close alert is missing.
//!
//! Scenarios must not use threads of their own: tokio moves paused time forward as soon as its own
//! tasks are all idle.

#![allow(dead_code, reason = "a box of tools; not every scenario uses every tool")]

pub(crate) mod backend;
pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod host;
pub(crate) mod link;
pub(crate) mod play;
pub(crate) mod trace;

mod selftest;
mod selftest_http;
mod tcp;
mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use host::Host;
use link::Link;
use trace::Stats;

/// A scenario that has not ended after this much simulated time waits for something that will
/// not come. Generous beside AWS's longest integration timeout (29 s) and our grace (30 s).
const SCENARIO_MAX: Duration = Duration::from_secs(1800);

/// The world, as the test holds it. When a test panics, dropping it prints the seed.
#[derive(Debug)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

/// The world, as its hosts and sockets hold it.
#[derive(Debug)]
struct Inner {
    seed: u64,
    started: Instant,
    state: Mutex<State>,
    /// Counts changes of cuts, so that a stalled stream learns of a mended link.
    changes: watch::Sender<u64>,
}

/// Lets time pass. Unlike tokio's `sleep`, nothing at all when there is nothing to wait for: on a
/// clock that is not paused, tokio rounds every sleep up to a millisecond.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// Which host: an index into `State::hosts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct HostId(usize);

/// A way from one host to another. Settings are kept for both ways, cuts and dice for each.
type Way = (HostId, HostId);

#[derive(Debug, Default)]
struct State {
    hosts: Vec<host::Entry>,
    /// Further names of addresses, what a resolver would know.
    names: BTreeMap<String, Vec<IpAddr>>,
    usual: Link,
    links: BTreeMap<Way, Link>,
    cuts: BTreeSet<Way>,
    dice: BTreeMap<(Way, link::Kind), StdRng>,
    trace: trace::Trace,
}

/// Runs a scenario once for each seed, each in a fresh world on a fresh paused runtime.
///
/// `TIDEGATE_WORLD_SEED=7` runs only that seed, which is how a failure is looked at again;
/// `TIDEGATE_WORLD_SEEDS=500` runs the seeds 0 to 499, which is what a long job does.
pub(crate) fn simulate(seeds: &[u64], scenario: impl AsyncFn(&World)) {
    for seed in chosen_seeds(seeds) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new(seed);
            // Boxed, because a scenario is a large future and a test thread's stack is small.
            let run = Box::pin(scenario(&world));
            if tokio::time::timeout(SCENARIO_MAX, run).await.is_err() {
                panic!("the scenario did not end within {SCENARIO_MAX:?} of simulated time");
            }
        });
    }
}

fn chosen_seeds(seeds: &[u64]) -> Vec<u64> {
    let number = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
    };
    match (number("TIDEGATE_WORLD_SEED"), number("TIDEGATE_WORLD_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).collect(),
        (None, None) => seeds.to_vec(),
    }
}

impl World {
    /// An empty world. Needs a tokio runtime, with paused time unless the test wants to wait.
    pub(crate) fn new(seed: u64) -> Self {
        let (changes, _) = watch::channel(0);
        let started = Instant::now();
        Self { inner: Arc::new(Inner { seed, started, state: Mutex::default(), changes }) }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// Simulated time since the world began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// A new host, and its view of the network. The host's name is also its DNS name.
    pub(crate) fn host(&self, name: &str, ip: &str) -> Arc<Host> {
        let ip: IpAddr = ip.parse().unwrap();
        let life = CancellationToken::new();
        let mut state = self.inner.lock();
        assert!(!ip.is_loopback() && !ip.is_unspecified(), "{ip} is no host's own address");
        assert!(state.hosts.iter().all(|host| host.name != name && host.ip != ip), "{name} twice");
        let id = HostId(state.hosts.len());
        state.hosts.push(host::Entry::new(name, ip, life.clone()));
        drop(state);
        Arc::new(Host::new(Arc::clone(&self.inner), id, ip, life))
    }

    /// Kills what runs on a host, as `kill -9` would: its listeners vanish, its sockets die, its
    /// QUIC tasks stop without a word, its TCP peers are reset. The old view of the network stays
    /// dead for ever. The test must still stop the node's own tasks, which
    /// [`Host::crashed`] tells when to.
    pub(crate) fn crash(&self, name: &str) {
        let mut state = self.inner.lock();
        let id = state.id(name);
        let host = &mut state.hosts[id.0];
        host.life.cancel();
        host.close_all();
        state.trace.note(self.elapsed(), format!("{name} crashes"));
    }

    /// A crashed host (or, with a crash of its own, a running one) comes up again: same name, same
    /// address, no sockets.
    pub(crate) fn restart(&self, name: &str) -> Arc<Host> {
        if !self.inner.lock().host(name).life.is_cancelled() {
            self.crash(name);
        }
        let mut state = self.inner.lock();
        let id = state.id(name);
        let life = CancellationToken::new();
        state.hosts[id.0].life = life.clone();
        let ip = state.hosts[id.0].ip;
        state.trace.note(self.elapsed(), format!("{name} restarts"));
        drop(state);
        Arc::new(Host::new(Arc::clone(&self.inner), id, ip, life))
    }

    /// Lets a name resolve to an address, besides the hosts' own names.
    pub(crate) fn name(&self, name: &str, ip: &str) {
        let ip = ip.parse().unwrap();
        self.inner.lock().names.entry(name.to_owned()).or_default().push(ip);
    }

    /// How all links are that have no settings of their own.
    pub(crate) fn usual_link(&self, link: Link) {
        self.inner.lock().usual = link.checked();
    }

    /// How the link between two hosts is from now on, both ways.
    pub(crate) fn link(&self, a: &str, b: &str, link: Link) {
        let mut state = self.inner.lock();
        let (a, b) = (state.id(a), state.id(b));
        state.links.insert((a.min(b), a.max(b)), link.checked());
    }

    /// Nothing passes between the two hosts, either way.
    pub(crate) fn partition(&self, a: &str, b: &str) {
        self.change(&[(a, b), (b, a)], true);
    }

    /// Nothing passes from the one host to the other; the way back stays open.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.change(&[(from, to)], true);
    }

    /// Everything passes again between the two hosts.
    pub(crate) fn heal(&self, a: &str, b: &str) {
        self.change(&[(a, b), (b, a)], false);
    }

    /// A partition from every other host: a pulled cable, a lost machine.
    pub(crate) fn isolate(&self, name: &str) {
        for other in self.others(name) {
            self.partition(name, &other);
        }
    }

    /// Ends every partition of this host.
    pub(crate) fn rejoin(&self, name: &str) {
        for other in self.others(name) {
            self.heal(name, &other);
        }
    }

    /// The NAT in front of a host forgets its UDP ports: from now on the host's datagrams come
    /// from new ports, and what is sent to the old ones is lost.
    pub(crate) fn rebind_nat(&self, name: &str) {
        let mut state = self.inner.lock();
        let id = state.id(name);
        state.hosts[id.0].rebind_nat();
        state.trace.note(self.elapsed(), format!("{name} gets new ports from its NAT"));
    }

    /// What the network did since the world began.
    pub(crate) fn stats(&self) -> Stats {
        self.inner.lock().trace.total()
    }

    /// What the network did from one host to another.
    pub(crate) fn stats_of(&self, from: &str, to: &str) -> Stats {
        let state = self.inner.lock();
        state.trace.of((state.id(from), state.id(to)))
    }

    /// A number that two runs share only when all their network events were the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.inner.lock().trace.fingerprint()
    }

    /// The latest network events, oldest first.
    pub(crate) fn latest(&self) -> Vec<String> {
        let state = self.inner.lock();
        state.trace.latest(|id| state.hosts[id.0].name.clone())
    }

    fn others(&self, name: &str) -> Vec<String> {
        let state = self.inner.lock();
        state.hosts.iter().map(|host| host.name.clone()).filter(|other| other != name).collect()
    }

    fn change(&self, ways: &[(&str, &str)], cut: bool) {
        let mut state = self.inner.lock();
        for (from, to) in ways {
            let way = (state.id(from), state.id(to));
            if cut {
                state.cuts.insert(way)
            } else {
                state.cuts.remove(&way)
            };
            let word = if cut { "cut" } else { "whole" };
            state.trace.note(self.elapsed(), format!("{from} -> {to} is {word}"));
        }
        drop(state);
        self.inner.changes.send_modify(|count| *count += 1);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for line in self.latest() {
            eprintln!("{line}");
        }
        eprintln!(
            "world: commit {}, after {:?} of simulated time; run it again with TIDEGATE_WORLD_SEED={}",
            commit(),
            self.elapsed(),
            self.inner.seed
        );
    }
}

/// The commit under test, for the report of a failure.
fn commit() -> String {
    let mut git = std::process::Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    match git.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere is being reported; the world's tables are still worth reading.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl State {
    fn id(&self, name: &str) -> HostId {
        let found = self.hosts.iter().position(|host| host.name == name);
        HostId(found.unwrap_or_else(|| panic!("no host is called {name}")))
    }

    fn host(&self, name: &str) -> &host::Entry {
        &self.hosts[self.id(name).0]
    }

    /// The host an address belongs to, as seen from `from`.
    fn owner(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        self.hosts.iter().position(|host| host.ip == ip).map(HostId)
    }

    fn link_of(&self, (from, to): Way) -> Link {
        if from == to {
            return Link::default();
        }
        *self.links.get(&(from.min(to), from.max(to))).unwrap_or(&self.usual)
    }

    /// The random numbers of one way and kind of traffic, so that what happens on one link does
    /// not depend on how busy the others are.
    fn dice(&mut self, seed: u64, way: Way, kind: link::Kind) -> &mut StdRng {
        self.dice.entry((way, kind)).or_insert_with(|| {
            let mut bytes = [0_u8; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            bytes[8..16].copy_from_slice(&(way.0.0 as u64).to_le_bytes());
            bytes[16..24].copy_from_slice(&(way.1.0 as u64).to_le_bytes());
            bytes[24] = kind as u8;
            StdRng::from_seed(bytes)
        })
    }
}
