//! The same nodes as processes of their own, on the machine's sockets and disks: what a simulation
//! cannot prove. Each test has a cluster of its own on free ports of 127.0.0.1, with certificates
//! from `tidegate ca`; dropped, its processes are killed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use tidegate::net::socket::{Machine, Network};
use tokio::time::sleep;

use crate::process::port_base;
use crate::world::backend::Backend;
use crate::world::client::{Answer, Client, Connection, Protocol, datagram, empty};
use crate::world::cluster::{API, DOCUMENT, STAGE, host_name, roots};
use crate::world::play::{Play, pattern};

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
const ALL: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
const MOST: u64 = 10 * 1024 * 1024;
/// Generous for a machine that builds something else at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes as processes.
struct Fleet {
    nodes: BTreeMap<String, Child>,
    ports: Ports,
    backend: Backend,
    client: Client,
    folder: tempfile::TempDir,
}

struct Ports {
    region: SocketAddr,
    region_plain: SocketAddr,
    region_admin: SocketAddr,
    tunnel: SocketAddr,
    region_gossip: SocketAddr,
    edge: SocketAddr,
    edge_plain: SocketAddr,
    edge_admin: SocketAddr,
    edge_gossip: SocketAddr,
}

impl Ports {
    /// Ports that no other test is given. Not from those the kernel gives to outgoing connections:
    /// one of these could take the port of a node between its end and its restart.
    fn free() -> Self {
        let mut ports = port_base()..;
        let mut next = || {
            let port = ports.next().expect("a base has room for more ports than these");
            SocketAddr::from(([127, 0, 0, 1], port))
        };
        Self {
            region: next(),
            region_plain: next(),
            region_admin: next(),
            tunnel: next(),
            region_gossip: next(),
            edge: next(),
            edge_plain: next(),
            edge_admin: next(),
            edge_gossip: next(),
        }
    }

    fn topology(&self) -> String {
        let Self { region, region_plain, region_admin, tunnel, region_gossip, .. } = self;
        let Self { edge, edge_plain, edge_admin, edge_gossip, .. } = self;
        format!(
            r#"
[cluster]
name = "real"
[region]
name = "region"
cache = {{ disk_bytes = 0 }}
[region.listeners]
public = "{region}"
plain = "{region_plain}"
admin = "{region_admin}"
tunnel = "{tunnel}"
gossip = "{region_gossip}"
[[edge]]
name = "edge-1"
cache = {{ memory_bytes = "16MiB", disk_bytes = "128MiB" }}
[edge.listeners]
public = "{edge}"
plain = "{edge_plain}"
admin = "{edge_admin}"
gossip = "{edge_gossip}"
[workers]
count = 1
[backends]
system_roots = false
[timeouts]
drain_grace = "2s"
# One address plays every client here; what the bound does is the listener's own test.
[limits]
handshakes_per_address_per_second = 8192
[[api]]
document = "shop.yaml"
id = "{API}"
stage = "{STAGE}"
cache = {{ enabled = true }}
"#
        )
    }
}

impl Fleet {
    /// Starts a region and an edge, each as its own process.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network: Arc<dyn Network> = Arc::new(Machine);
        let backend = Backend::start(&*network, "127.0.0.1:0".parse().unwrap(), None).unwrap();
        let document = DOCUMENT.replace("10.0.2.1:8000", &backend.address().to_string());
        fs::write(folder.path().join("shop.yaml"), document).unwrap();
        let ports = Ports::free();
        fs::write(folder.path().join("real.toml"), ports.topology()).unwrap();
        issue_certificates(folder.path());
        let client = Client::new(network, roots(&folder.path().join("ca/public-ca.pem")));
        let mut fleet = Self { nodes: BTreeMap::new(), ports, backend, client, folder };
        fleet.run("region");
        fleet.run("edge-1");
        fleet
    }

    /// Starts a node and waits for its ready line.
    fn run(&mut self, name: &str) {
        let log = self.folder.path().join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(TIDEGATE)
            .args(["node", name, "--topology"])
            .arg(self.folder.path().join("real.toml"))
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        self.nodes.insert(name.to_owned(), child);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains(&format!("{name}: ready")), "{line}{}", self.log(name));
        // Read on, or the node could block on its standard output.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    fn pid(&self, name: &str) -> u32 {
        self.nodes[name].id()
    }

    fn kill(&mut self, name: &str) {
        let mut child = self.nodes.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and a clean end.
    fn stop(&mut self, name: &str) {
        let mut child = self.nodes.remove(name).unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{name} does not stop: {}", self.log(name));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0), "{}", self.log(name));
    }

    async fn connect(&self, protocol: Protocol) -> Connection {
        let connection = self.client.connect(protocol, self.ports.edge, &host_name(API)).await;
        connection.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log("edge-1")))
    }

    async fn get(&self, below: &str) -> Answer {
        self.connect(Protocol::Http1).await.get(&format!("/{STAGE}{below}")).await.unwrap()
    }

    /// A number of the edge's metrics page.
    async fn metric(&self, line: &str) -> f64 {
        let admin = self.ports.edge_admin;
        let page = self.client.get(Protocol::Plain, admin, "127.0.0.1", "/metrics").await.unwrap();
        let found =
            page.text().lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {}", page.text()))
    }

    async fn until_tunnel_is_up(&self) {
        self.until("the tunnel is up", async || {
            self.metric("tidegate_tunnel_connected{peer=\"region\"}").await == 1.0
        })
        .await;
    }

    async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !so().await {
            assert!(began.elapsed() < PATIENCE, "{what}: not in time\n{}", self.log("edge-1"));
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A line of `/proc/PID/status`, bytes.
    fn memory(&self, name: &str, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid(name))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// Bytes that the edge's disk tier has written so far.
    fn disk_bytes(&self) -> u64 {
        let blocks = self.folder.path().join("data/edge-1/cache/blocks");
        let files = fs::read_dir(blocks).into_iter().flatten();
        // The files have their length from the start; what was written has blocks of 512 bytes.
        files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
    }

    fn tidegate(&self, arguments: &[&str]) -> String {
        let output = Command::new(TIDEGATE).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (name, child) in &mut self.nodes {
            // It may have ended by itself, which the test has seen.
            child.kill().ok();
            child.wait().ok();
            if std::thread::panicking() {
                let log = self.folder.path().join(format!("{name}.log"));
                eprintln!("{name}: {}", fs::read_to_string(log).unwrap_or_default());
            }
        }
    }
}

/// As an operator does it: one authority, and each node's files brought to its folder.
fn issue_certificates(folder: &Path) {
    let ca = folder.join("ca");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(TIDEGATE);
        command.arg("ca").args(arguments).arg("--topology").arg(folder.join("real.toml"));
        let output = command.arg("--out").arg(&ca).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["init"]);
    for name in ["region", "edge-1"] {
        run(&["issue", name]);
        let data = folder.join("data").join(name);
        fs::create_dir_all(&data).unwrap();
        let own = ["NAME.pem", "NAME.key", "NAME-https.pem", "NAME-https.key"];
        for file in own.iter().map(|file| file.replace("NAME", name)) {
            fs::copy(ca.join(&file), data.join(&file)).unwrap();
        }
        fs::copy(ca.join("cluster-ca.pem"), data.join("cluster-ca.pem")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_hits_and_misses_on_real_sockets() {
    let fleet = Fleet::start().await;
    for protocol in ALL {
        let mut client = fleet.connect(protocol).await;
        let path = format!("/{STAGE}/cached/{protocol:?}");
        for says in ["Miss from tidegate", "Hit from tidegate"] {
            let answer = client.get(&path).await.unwrap();
            assert_eq!(answer.text(), format!("backend: /cached/{protocol:?}"));
            assert_eq!(answer.header("x-cache"), Some(says), "{protocol:?}");
        }
        let answer = client.post(&format!("/{STAGE}/open/p"), Bytes::from_static(b"b")).await;
        assert_eq!(answer.unwrap().status, 200, "{protocol:?}");
    }
    assert_eq!(fleet.backend.calls_of_all(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_pass_in_bounded_memory() {
    /// At the same time, each way; a node that held them whole would need 100 MiB more.
    const AT_ONCE: usize = 5;
    /// Windows and buffers of five calls, each way.
    const GROWTH_MAX: u64 = 48 * 1024 * 1024;

    let fleet = Fleet::start().await;
    fleet.backend.on("/open/echo", Play::echo());
    let sent = pattern(11, MOST);
    let small = pattern(3, 1000);
    let echo = async |protocol: Protocol, body: &Bytes| {
        let mut client = fleet.connect(protocol).await;
        let answer = client.post(&format!("/{STAGE}/open/echo"), body.clone()).await.unwrap();
        assert_eq!(answer.status, 200, "{protocol:?}");
        assert!(answer.body == *body, "{protocol:?}");
    };
    for protocol in ALL {
        echo(protocol, &small).await;
    }
    let before = ["region", "edge-1"].map(|name| fleet.memory(name, "VmRSS"));
    for protocol in ALL {
        join_all((0..AT_ONCE).map(|_| echo(protocol, &sent))).await;
    }
    for (name, before) in ["region", "edge-1"].into_iter().zip(before) {
        let peak = fleet.memory(name, "VmHWM");
        let grown = peak.saturating_sub(before);
        assert!(grown < GROWTH_MAX, "{name} grew by {grown} from {before}");
    }
}

/// An answer with a length of its own, long enough for the disk.
fn big(n: u64) -> (String, u64) {
    (format!("/cached/big-{n}"), 80_000 + 1000 * n)
}

fn tell_backend(fleet: &Fleet, entries: u64) {
    for n in 0..entries {
        let (path, bytes) = big(n);
        fleet.backend.on(&path, Play::bytes(bytes));
    }
}

/// Asks for an entry twice: only what is asked for again is worth the disk.
async fn ask_twice(client: &Client, edge: SocketAddr, n: u64) -> anyhow::Result<()> {
    let mut connection = client.connect(Protocol::Http1, edge, &host_name(API)).await?;
    let (path, bytes) = big(n);
    for _ in 0..2 {
        let answer = connection.get(&format!("/{STAGE}{path}")).await?;
        anyhow::ensure!(answer.body == pattern(0, bytes), "{path} is damaged");
    }
    Ok(())
}

/// A node serves before its disk tier is open, and what it keeps until then is not written.
async fn until_disk_is_open(fleet: &Fleet) {
    let probes = Cell::new(0);
    fleet
        .until("the disk tier writes", async || {
            probes.set(probes.get() + 1);
            for _ in 0..2 {
                fleet.get(&format!("/cached/probe-{}", probes.get())).await;
            }
            fleet.disk_bytes() > 0
        })
        .await;
}

async fn fill_disk(fleet: &Fleet, entries: u64) {
    until_disk_is_open(fleet).await;
    tell_backend(fleet, entries);
    for n in 0..entries {
        ask_twice(&fleet.client, fleet.ports.edge, n).await.unwrap();
    }
}

/// Whether an entry is served, from disk or not at all: the region is away.
async fn is_found_whole(fleet: &Fleet, n: u64) -> bool {
    let (path, bytes) = big(n);
    let answer = fleet.get(&path).await;
    let found = answer.status == 200;
    if found {
        assert!(answer.body == pattern(0, bytes), "{path} is damaged");
        assert_eq!(answer.header("x-cache"), Some("Hit from tidegate"));
    } else {
        let status = answer.status.as_u16();
        assert!([503, 504].contains(&status), "{path}: {status}");
    }
    found
}

/// Waits until an entry is served from disk. An edge doubts what it has for some seconds after its
/// start, in case the region knows of a purge; and a read that a busy machine makes late counts as
/// a miss, several of them turn the tier off for a while.
async fn until_found_whole(fleet: &Fleet, n: u64) {
    fleet.until(&format!("entry {n} is found"), async || is_found_whole(fleet, n).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_tier_survives_a_clean_restart_and_a_kill() {
    const ENTRIES: u64 = 12;
    let mut fleet = Fleet::start().await;
    fill_disk(&fleet, ENTRIES).await;
    fleet.stop("edge-1");
    fleet.stop("region");
    fleet.run("edge-1");
    // A clean stop loses nothing.
    for n in 0..ENTRIES {
        until_found_whole(&fleet, n).await;
    }

    fleet.kill("edge-1");
    fleet.run("edge-1");
    // What is on disk survives a kill.
    for n in 0..ENTRIES {
        until_found_whole(&fleet, n).await;
    }
}

/// Killed in the middle of filling, several times: what is served afterwards is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_filling_leaves_nothing_half_written() {
    const ROUNDS: u64 = 2;
    const ENTRIES: u64 = 20 * ROUNDS;
    let mut fleet = Fleet::start().await;
    tell_backend(&fleet, ENTRIES);
    until_disk_is_open(&fleet).await;
    let before = fleet.disk_bytes();
    ask_twice(&fleet.client, fleet.ports.edge, 0).await.unwrap();
    // The first entry must be on the disk before the first kill.
    let written = async || fleet.disk_bytes() - before >= big(0).1;
    fleet.until("the first entry is written", written).await;
    for round in 0..ROUNDS {
        let calls = (round * 20..(round + 1) * 20).map(|n| {
            let (client, edge) = (fleet.client.clone(), fleet.ports.edge);
            // Many of these find the edge dead.
            async move { ask_twice(&client, edge, n).await.ok() }
        });
        let filling = tokio::spawn(join_all(calls.collect::<Vec<_>>()));
        // No moment is the right one; another one in every round.
        sleep(Duration::from_millis(60 * (round + 1))).await;
        fleet.kill("edge-1");
        filling.await.unwrap();
        fleet.kill("region");
        fleet.run("edge-1");
        // What was on disk before is still there, and of the rest nothing is served in part.
        until_found_whole(&fleet, 0).await;
        for n in 1..ENTRIES {
            is_found_whole(&fleet, n).await;
        }
        fleet.run("region");
        fleet.until_tunnel_is_up().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_purged_while_an_edge_was_down_stays_purged() {
    let mut fleet = Fleet::start().await;
    fill_disk(&fleet, 4).await;
    fleet.stop("edge-1");
    let admin = format!("http://{}", fleet.ports.region_admin);
    let purge = ["purge", "--admin", &admin, "--api", API, "--stage", STAGE];
    let said = fleet.tidegate(&[&purge[..], &["--path", "/cached/big-1"]].concat());
    assert!(said.starts_with("purge 1: 1 of "), "{said}");
    for n in 0..4 {
        fleet.backend.on(&big(n).0, Play::text("new"));
    }
    fleet.run("edge-1");
    let is_new = async |n: u64| fleet.get(&big(n).0).await.body == "new";
    assert!(is_new(1).await, "the purged entry came back from disk");
    fleet.until_tunnel_is_up().await;
    // What was not purged is still there.
    for n in [0, 2, 3] {
        assert!(!is_new(n).await, "entry {n} was lost");
    }

    // The same with a kill, and with the region away when the edge starts: it knows of the purge.
    fleet.kill("edge-1");
    fleet.kill("region");
    fleet.run("edge-1");
    until_found_whole(&fleet, 0).await;
    for _ in 0..3 {
        let answer = fleet.get(&big(1).0).await;
        assert!(answer.status == 503 || answer.body == "new", "{}", answer.status);
    }
    for n in 2..4 {
        until_found_whole(&fleet, n).await;
    }
}

/// Bytes that mean nothing, the same in every run.
fn garbage(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state & 0xFF).unwrap()
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_at_every_listener_leaves_the_nodes_serving() {
    let fleet = Fleet::start().await;
    let Ports { region, region_plain, region_admin, tunnel, region_gossip, .. } = fleet.ports;
    let Ports { edge, edge_plain, edge_admin, edge_gossip, .. } = fleet.ports;
    let tcp = [region, region_plain, region_admin, edge, edge_plain, edge_admin];
    let udp = [region, tunnel, region_gossip, edge, edge_gossip];
    let quic_initial = [&[0xC3, 0, 0, 0, 1, 8][..], &garbage(7, 1194)].concat();
    for seed in 0..40 {
        let noise = garbage(seed, 1 + 97 * usize::try_from(seed).unwrap());
        let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &noise].concat();
        let http = [&b"GET / HTTP/1.1\r\n"[..], &noise, b"\r\n\r\n"].concat();
        for address in tcp {
            for bytes in [&noise, &hello, &http] {
                let mut stream = TcpStream::connect(address).unwrap();
                // The other side may hang up at the first byte.
                stream.write_all(bytes).ok();
            }
        }
        for address in udp {
            for bytes in [&noise[..noise.len().min(1400)], &quic_initial, &[]] {
                datagram(&Machine, address, bytes).await.unwrap();
            }
        }
    }
    // Inside TLS and HTTP/2, too.
    for (alpn, bytes) in [
        (&b"h2"[..], garbage(1, 5000)),
        (b"h2", [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &garbage(2, 5000)].concat()),
        (b"http/1.1", garbage(3, 5000)),
    ] {
        for address in [edge, region] {
            use tokio::io::AsyncWriteExt;
            let stream = fleet.client.tls(&[alpn], address, &host_name(API)).await;
            stream.unwrap().write_all(&bytes).await.ok();
        }
    }
    // And inside QUIC, on streams of every kind.
    for address in [edge, region] {
        let connection = fleet.client.quic(&[b"h3"], address, &host_name(API)).await.unwrap();
        for seed in 0..5 {
            if let Ok(mut stream) = connection.open_uni().await {
                stream.write_all(&garbage(seed, 500)).await.ok();
            }
            if let Ok((mut stream, _)) = connection.open_bi().await {
                stream.write_all(&garbage(seed, 500)).await.ok();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    for protocol in ALL {
        let mut client = fleet.connect(protocol).await;
        let request = Request::get(format!("/{STAGE}/open/a")).body(empty()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status(), 200, "{protocol:?}");
    }
    assert_eq!(fleet.metric("tidegate_panics_total").await, 0.0);
    let alive = "tidegate_gossip_nodes{state=\"alive\"}";
    fleet.until("both see both", async || fleet.metric(alive).await == 2.0).await;
    for name in ["region", "edge-1"] {
        assert!(!fleet.log(name).contains("panicked"), "{}", fleet.log(name));
    }
}
