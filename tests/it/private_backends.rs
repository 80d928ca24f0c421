//! Backends that only the region reaches: the pages' examples, and nginx behind a VPC link.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::net::socket::Machine;
use tokio::time::sleep;

use crate::process::{PATIENCE, Running, port_base};
use crate::world::backend::Backend;
use crate::world::client::{Client, Protocol};
use crate::world::cluster::{Cluster, Shape, host_name, roots};
use crate::world::play::Play;
use crate::world::simulate;

/// A web server that is not ours.
struct Nginx {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    /// On an address that is neither the gateway's nor its clients'.
    fn start(folder: &Path, name: &str, ip: Ipv4Addr) -> Self {
        let address = free(ip);
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        let config = format!(
            "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
             fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
             server {{ listen {address}; default_type text/plain;\n\
             location /health {{ return 200 well; }}\n\
             location /events {{ return 200 \"data: {name}\\n\\n\"; }}\n\
             location / {{ return 200 \"{name} $request_method $host $uri\"; }} }} }}\n",
            folder.display()
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let child = Self::run(&folder);
        let nginx = Self { child, folder, address };
        nginx.await_up();
        nginx
    }

    fn run(folder: &Path) -> Child {
        let log = fs::File::create(folder.join("out.log")).unwrap();
        Command::new(nginx().expect("asked before"))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn await_up(&self) {
        until("nginx listens", || TcpStream::connect(self.address).is_ok());
    }

    /// At once, master and worker.
    fn kill(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let workers = fs::read_to_string(children).unwrap_or_default();
        self.child.kill().ok();
        for worker in workers.split_whitespace() {
            Command::new("kill").args(["-9", worker]).status().ok();
        }
        self.child.wait().ok();
        until("nginx is gone", || TcpStream::connect(self.address).is_err());
    }

    fn start_again(&mut self) {
        self.child = Self::run(&self.folder);
        self.await_up();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM to the master ends its workers, too.
        let id = self.child.id().to_string();
        if matches!(self.child.try_wait(), Ok(None)) {
            Command::new("kill").arg(id).status().ok();
            self.child.wait().ok();
        }
    }
}

/// Where nginx is; says it loudly when it is nowhere.
pub(crate) fn nginx() -> Option<PathBuf> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        // Not `eprintln!`, which is shown only when a test fails.
        let said = b"SKIPPED: there is no nginx, so nothing private was called; see tests/needs\n";
        std::io::stderr().write_all(said).unwrap();
    }
    found
}

/// An address that nobody has.
pub(crate) fn free(ip: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The code blocks of a section of the page, in one language.
fn examples(section: &str, language: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/INTEGRATIONS.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let begins = format!("```{language}\n");
    let blocks = section.split(&begins).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

const NODES: &str = "[cluster]\nname = \"private\"\n[region]\nname = \"region\"\n\
                     [[edge]]\nname = \"edge-1\"\n[[api]]\ndocument = \"api.yaml\"\n\
                     id = \"privateapi\"\n";

/// A region and an edge in one process, and a client at the edge.
struct Up {
    running: Running,
    folder: tempfile::TempDir,
    edge: SocketAddr,
}

impl Up {
    fn start(folder: tempfile::TempDir, topology: &str, document: &str) -> Self {
        fs::write(folder.path().join("t.toml"), format!("{NODES}{topology}")).unwrap();
        fs::write(folder.path().join("api.yaml"), document).unwrap();
        let base = port_base();
        let port = base.to_string();
        let arguments = ["up", "--topology", "t.toml", "--data", "data", "--port-base", &port];
        let mut running = Running::start(folder.path(), &arguments);
        running.until("the ready lines", |up| up.out().contains("  curl "));
        Self { running, folder, edge: SocketAddr::from(([127, 0, 0, 1], base + 10)) }
    }

    fn client(&self) -> Client {
        let ca = self.folder.path().join("data/ca/public-ca.pem");
        Client::new(Arc::new(Machine), roots(&ca))
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let name = host_name("privateapi");
        let answer = self.client().get(Protocol::Http2, self.edge, &name, path).await.unwrap();
        (answer.status.as_u16(), answer.text().to_owned())
    }
}

#[tokio::test]
async fn the_pages_example_of_http_runs() {
    if nginx().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let one = Nginx::start(folder.path(), "one", Ipv4Addr::new(127, 0, 0, 2));
    let document = examples("HTTP", "yaml").concat();
    let document = document.replace("10.0.0.5:8080", &one.address.to_string());
    let up = Up::start(folder, &examples("HTTP", "toml").concat(), &document);
    let seen = up.get("/prod/orders/7").await;
    assert_eq!(seen, (200, format!("one GET {} /v1/orders/7", one.address.ip())));
    assert_eq!(up.get("/prod/events").await, (200, "data: one\n\n".to_owned()));
}

/// Two targets under load: one is killed, taken out, and comes back; once it is out, no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_example_of_a_vpc_link_runs_and_survives_a_target() {
    if nginx().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut one = Nginx::start(folder.path(), "one", Ipv4Addr::new(127, 0, 0, 2));
    let two = Nginx::start(folder.path(), "two", Ipv4Addr::new(127, 0, 0, 3));
    let topology = examples("VPC link", "toml").concat();
    let topology = topology
        .replace("10.0.0.5:8080", &one.address.to_string())
        .replace("10.0.0.6:8080", &two.address.to_string())
        .replace("interval = \"2s\"", "interval = \"200ms\"");
    assert!(!topology.contains("10.0.0.") && topology.contains("200ms"));
    let up = Arc::new(Up::start(folder, &topology, &examples("VPC link", "yaml").concat()));
    let (status, text) = up.get("/prod/orders/7").await;
    assert_eq!(status, 200);
    assert!(text.ends_with(" GET orders.internal /v1/orders/7"), "{text}");
    not_exposed(&up, &[one.address, two.address]);

    let load = Load::start(&up).await;
    load.calls_of("one").await;
    load.calls_of("two").await;
    let begun = load.begun.load(Ordering::SeqCst);
    one.kill();
    until("the target is left out", || {
        let log = up.running.err();
        log.contains("left out") || log.contains("health changed")
    });
    let out = load.begun.load(Ordering::SeqCst);
    load.calls_of("two").await;
    load.calls_of("two").await;
    one.start_again();
    load.calls_of("one").await;
    let failed = load.end().await;
    // Those that were on a connection of the one that died, while it did.
    assert!(failed.iter().all(|call| (begun.saturating_sub(LANES)..out + LANES).contains(call)));
    assert!(!up.running.err().contains("ERROR"), "{}", up.running.err());
}

const LINK: &str = "[[region.load_balancer]]\narn = \"arn:aws:x:y:z:n/1\"\nlink = \"orders\"\n\
                    [[region.load_balancer.listener]]\nport = 80\n\
                    targets = [\"10.9.0.1:8000\", \"10.9.0.2:8000\"]\n";

/// The backends are in a network that only the region has a way into; one of them goes away while
/// calls come, and comes back.
#[test]
fn what_only_the_region_reaches_is_used_from_every_edge() {
    simulate(&[1, 2], async |world| {
        let (one, two) = (world.host("one", "10.9.0.1"), world.host("two", "10.9.0.2"));
        let first = Backend::start(&*one, one.at(8000), None).unwrap();
        let second = Backend::start(&*two, two.at(8000), None).unwrap();
        let document = examples("VPC link", "yaml").concat();
        let more = LINK.to_owned();
        let cluster = Cluster::start(world, &Shape { document, more, ..Shape::edges(2) }).await;
        for outside in ["edge-1", "edge-2", "client"] {
            for inside in ["one", "two"] {
                world.partition(outside, inside);
            }
        }
        for turn in 0..40 {
            let edge = if turn % 2 == 0 { "edge-1" } else { "edge-2" };
            // Cached ones would not come here.
            let answer = cluster.get(edge, &format!("/orders/{turn}")).await;
            assert_eq!(answer.text(), format!("backend: /v1/orders/{turn}"));
        }
        assert!(first.calls_of_all() > 5 && second.calls_of_all() > 5, "both have their part");
        assert_eq!(second.last().headers["host"], "orders.internal");
        assert!(second.seen().iter().all(|seen| seen.peer.ip() == region()));
        world.crash("one");
        let before = second.calls_of_all();
        for turn in 100..140 {
            assert_eq!(cluster.get("edge-1", &format!("/orders/{turn}")).await.status, 200);
        }
        assert_eq!(second.calls_of_all() - before, 40);
    });
}

/// `[backends] circuit`: a backend that fails again and again gets a rest, and calls answer 504.
#[test]
fn a_backend_that_fails_gets_a_rest_where_the_operator_wants_it() {
    simulate(&[1], async |world| {
        let more = "[backends.circuit]\nfailures = 3\nopen_for = \"30s\"\n".to_owned();
        let cluster = Cluster::start(world, &Shape { more, ..Shape::edges(1) }).await;
        cluster.backend.on("/open/a", Play::text("no").status(503));
        for _ in 0..3 {
            assert_eq!(cluster.get("edge-1", "/open/a").await.status, 503);
        }
        for _ in 0..5 {
            let answer = cluster.get("edge-1", "/open/b").await;
            assert_eq!(answer.status, 504);
            assert_eq!(
                answer.text(),
                r#"{"message": "Network error communicating with endpoint"}"#
            );
        }
        assert_eq!(cluster.backend.calls_of_all(), 3);
        sleep(Duration::from_secs(31)).await;
        assert_eq!(cluster.get("edge-1", "/open/b").await.status, 200);
        assert_eq!(cluster.get("edge-1", "/open/b").await.status, 200);
    });
}

/// The region's address in the simulated network.
fn region() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

/// Edges keep what they serve on disk; the addresses are not in it.
fn not_exposed(up: &Up, addresses: &[SocketAddr]) {
    let mut folders = vec![up.folder.path().join("data/edge-1")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap_or_default();
            for address in addresses {
                let text = address.to_string();
                let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
                assert!(!found, "{} has {address}", path.display());
            }
        }
    }
    assert!(files > 0);
}

/// Calls in flight at a time.
const LANES: usize = 8;

/// Callers at the edge, some of whose calls must not be sent twice.
struct Load {
    begun: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    one: Arc<AtomicUsize>,
    two: Arc<AtomicUsize>,
    lanes: Vec<tokio::task::JoinHandle<Vec<usize>>>,
}

impl Load {
    async fn start(up: &Arc<Up>) -> Self {
        let mut load = Self {
            begun: Arc::default(),
            stop: Arc::default(),
            one: Arc::default(),
            two: Arc::default(),
            lanes: Vec::new(),
        };
        for lane in 0..LANES {
            let name = host_name("privateapi");
            let mut client = up.client().connect(Protocol::Http1, up.edge, &name).await.unwrap();
            let (begun, stop) = (Arc::clone(&load.begun), Arc::clone(&load.stop));
            let (one, two) = (Arc::clone(&load.one), Arc::clone(&load.two));
            load.lanes.push(tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let call = begun.fetch_add(1, Ordering::SeqCst);
                    let answer = match lane % 2 {
                        0 => client.get("/prod/orders/7").await,
                        _ => client.post("/prod/orders/7", Bytes::from_static(b"an order")).await,
                    };
                    let answer = answer.expect("the edge always answers");
                    match (answer.status.as_u16(), answer.text().split(' ').next()) {
                        (200, Some("one")) => one.fetch_add(1, Ordering::SeqCst),
                        (200, Some("two")) => two.fetch_add(1, Ordering::SeqCst),
                        _ => {
                            failed.push(call);
                            0
                        }
                    };
                }
                failed
            }));
        }
        load
    }

    /// Waits until a target has answered many more calls.
    async fn calls_of(&self, name: &str) {
        let counter = if name == "one" { &self.one } else { &self.two };
        let wanted = counter.load(Ordering::SeqCst) + 100;
        let end = Instant::now() + PATIENCE;
        while counter.load(Ordering::SeqCst) < wanted {
            assert!(Instant::now() < end, "{name} gets no calls");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops, and says which calls failed.
    async fn end(self) -> Vec<usize> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failed = Vec::new();
        for lane in self.lanes {
            failed.extend(lane.await.unwrap());
        }
        failed
    }
}
