use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::*;
use crate::net::client::{Config, RequestBody};
use crate::net::socket::{Listener, Network, Stream};

const NLB: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/n/1";
const LISTENER: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/net/n/1/80";

/// What a target does, by its port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Answers(u16),
    Refuses,
    /// Takes the request and hangs up.
    Breaks,
}

/// A network in which each port is a target; what was asked of each is remembered.
#[derive(Debug)]
struct Targets {
    does: Mutex<HashMap<u16, Does>>,
    seen: Arc<Mutex<Vec<(u16, String)>>>,
    dialed: Mutex<Vec<u16>>,
    tasks: Tasks,
}

impl Targets {
    fn new(ports: &[u16]) -> Arc<Self> {
        let does = ports.iter().map(|port| (*port, Does::Answers(200))).collect();
        Arc::new(Self {
            does: Mutex::new(does),
            seen: Arc::default(),
            dialed: Mutex::default(),
            tasks: Tasks::new(Handle::current()),
        })
    }

    fn set(&self, port: u16, does: Does) {
        self.does.lock().unwrap().insert(port, does);
    }

    fn dialed(&self, port: u16) -> usize {
        self.dialed.lock().unwrap().iter().filter(|dialed| **dialed == port).count()
    }

    /// Calls a target was asked, checks left out.
    fn asked(&self, port: u16) -> usize {
        let seen = self.seen.lock().unwrap();
        let is_call = |text: &str| !text.is_empty() && !text.contains("health-check");
        seen.iter().filter(|(at, text)| *at == port && is_call(text)).count()
    }
}

#[async_trait]
impl Network for Targets {
    fn listen(&self, _address: SocketAddr, _shared: bool) -> io::Result<Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let port = address.port();
        self.dialed.lock().unwrap().push(port);
        let does = self.does.lock().unwrap()[&port];
        if does == Does::Refuses {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, mut far) = tokio::io::duplex(16 * 1024);
        let seen = Arc::clone(&self.seen);
        self.tasks.spawn(async move {
            let mut read = vec![0; 4096];
            let length = far.read(&mut read).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&read[..length]).into_owned();
            seen.lock().unwrap().push((port, text));
            if let Does::Answers(status) = does {
                // One call per connection, so that each call meets what its target does now.
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                far.write_all(answer.as_bytes()).await.ok();
            }
        });
        Ok(Stream::Memory(near))
    }
    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn udp(&self, _address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn quic_runtime(&self) -> Arc<dyn quinn::Runtime> {
        Arc::new(quinn::TokioRuntime)
    }
}

fn config(ports: &[u16], health: Option<HealthConfig>) -> BalancerConfig {
    let targets = ports.iter().map(|port| (Arc::from("10.0.0.1"), *port)).collect();
    BalancerConfig {
        arn: NLB.to_owned(),
        link: Some("orders".to_owned()),
        listeners: vec![
            ListenerConfig { arn: None, port: 80, targets },
            ListenerConfig {
                arn: Some(LISTENER.to_owned()),
                port: 8443,
                targets: vec![(Arc::from("10.0.0.1"), 1)],
            },
        ],
        health,
        outliers: OutlierConfig {
            failures: 3,
            ejected_for: Duration::from_secs(10),
            ejected_at_most: Duration::from_secs(60),
        },
        roots: Vec::new(),
    }
}

struct Rig {
    targets: Arc<Targets>,
    client: HttpClient,
    balancers: Balancers,
}

fn rig(ports: &[u16], health: Option<HealthConfig>) -> Rig {
    let targets = Targets::new(ports);
    targets.set(1, Does::Answers(204));
    let tasks = Tasks::new(Handle::current());
    let client = HttpClient::new(Config::default(), targets.clone(), tasks.clone());
    let balancers = Balancers::start(vec![config(ports, health)], &client, &tasks).unwrap();
    Rig { targets, client, balancers }
}

impl Rig {
    async fn ask(&self, arn: &str, port: u16, verb: Method) -> Result<u16, IntegrationError> {
        let named = Target { scheme: Scheme::Http, host: Arc::from("orders.test"), port };
        let make = || {
            let path_and_query = PathAndQuery::from_static("/a?b");
            let (method, headers) = (verb.clone(), HeaderMap::new());
            Ok(Outgoing { method, path_and_query, headers, body: RequestBody::Empty })
        };
        let body = match verb {
            Method::POST => RequestBody::Full(Bytes::from_static(b"body")),
            _ => RequestBody::Empty,
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let at = (arn, &named);
        let manner = Manner::default();
        let asked = self.balancers.ask(&self.client, at, &manner, &make, body, deadline).await;
        asked.map(|(response, _held)| response.status().as_u16())
    }

    async fn post(&self) -> Result<u16, IntegrationError> {
        self.ask(NLB, 80, Method::POST).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_uri_says_path_host_and_port_and_the_topology_where() {
    let rig = rig(&[8080], None);
    assert_eq!(rig.post().await.unwrap(), 200);
    let seen = rig.targets.seen.lock().unwrap().clone();
    let (port, text) = &seen[0];
    assert_eq!(*port, 8080);
    assert!(text.starts_with("POST /a?b HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("\r\nhost: orders.test\r\n") && text.ends_with("\r\n\r\nbody"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn listeners_are_found_by_their_arn_or_by_the_balancers_and_a_port() {
    let rig = rig(&[8080], None);
    let other = LISTENER.replace("/80", "/other");
    for (arn, port, status) in [
        (NLB, 80, 200),
        (NLB, 8443, 204),
        (LISTENER, 80, 204),
        (other.as_str(), 80, 200),
        ("orders", 80, 200),
    ] {
        assert_eq!(rig.ask(arn, port, Method::GET).await.unwrap(), status, "{arn} {port}");
    }
    for (arn, port, says) in [
        ("arn:aws:elasticloadbalancing:::loadbalancer/net/m/1", 80, "[[region.load_balancer]]"),
        ("other", 80, "this `link`"),
        (NLB, 81, "no listener on port 81 (in the topology it has 80, 8443)"),
    ] {
        let failed = rig.ask(arn, port, Method::GET).await.unwrap_err();
        assert!(matches!(failed, IntegrationError::Configuration(_)));
        assert!(failed.to_string().contains(says), "{failed}");
    }
}

/// Nothing was sent, so that even a POST may go elsewhere; the dead target is left alone soon.
#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_costs_no_call() {
    let rig = rig(&[8080, 8081], None);
    rig.targets.set(8080, Does::Refuses);
    for _ in 0..60 {
        assert_eq!(rig.post().await.unwrap(), 200);
    }
    assert_eq!(rig.targets.asked(8081), 60);
    assert_eq!(rig.targets.dialed(8080), 3, "it is left out after three failures");
    // Back after its time, and out again at the first failure, for twice as long.
    for (rest, dialed) in [(11, 4), (11, 4), (10, 5), (30, 5), (11, 6)] {
        sleep(Duration::from_secs(rest)).await;
        for _ in 0..30 {
            assert_eq!(rig.post().await.unwrap(), 200);
        }
        assert_eq!(rig.targets.dialed(8080), dialed);
    }
    rig.targets.set(8080, Does::Answers(200));
    sleep(Duration::from_secs(61)).await;
    for _ in 0..60 {
        assert_eq!(rig.post().await.unwrap(), 200);
    }
    assert!(rig.targets.asked(8080) > 0, "it is asked again");
}

/// A request that was sent is never sent to another target.
#[tokio::test(start_paused = true)]
async fn a_call_that_broke_off_is_not_repeated() {
    let rig = rig(&[8080, 8081], None);
    rig.targets.set(8080, Does::Breaks);
    rig.targets.set(8081, Does::Breaks);
    for calls in 1..=4 {
        let failed = rig.post().await.unwrap_err();
        assert!(matches!(failed, IntegrationError::Network(_)), "{failed:?}");
        assert_eq!(rig.targets.asked(8080) + rig.targets.asked(8081), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_500_and_more_in_a_row_put_a_target_out() {
    let rig = rig(&[8080, 8081], None);
    rig.targets.set(8080, Does::Answers(503));
    let mut failed = 0;
    for _ in 0..60 {
        failed += usize::from(rig.post().await.unwrap() == 503);
    }
    assert_eq!((failed, rig.targets.asked(8080)), (3, 3));
}

/// With all of them failing, the last one is still asked.
#[tokio::test(start_paused = true)]
async fn the_last_target_is_never_left_out() {
    let one = rig(&[8080], None);
    one.targets.set(8080, Does::Answers(500));
    for _ in 0..20 {
        assert_eq!(one.post().await.unwrap(), 500);
    }
    let two = rig(&[8080, 8081], None);
    two.targets.set(8080, Does::Refuses);
    two.targets.set(8081, Does::Refuses);
    for _ in 0..20 {
        assert!(matches!(two.post().await, Err(IntegrationError::ConnectionRefused(_))));
    }
    two.targets.set(8080, Does::Answers(200));
    two.targets.set(8081, Does::Answers(200));
    assert_eq!(two.post().await.unwrap(), 200);
}

fn checks(check: Check) -> HealthConfig {
    HealthConfig {
        check,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        healthy: 2,
        unhealthy: 2,
    }
}

#[tokio::test(start_paused = true)]
async fn checks_take_targets_out_and_bring_them_back() {
    let path = PathAndQuery::from_static("/up");
    for check in [Check::Tcp, Check::Http { path }] {
        let is_http = check != Check::Tcp;
        let rig = rig(&[8080, 8081], Some(checks(check)));
        rig.targets.set(8080, if is_http { Does::Answers(404) } else { Does::Refuses });
        sleep(Duration::from_secs(3)).await;
        let before = rig.targets.asked(8080);
        for _ in 0..40 {
            assert_eq!(rig.post().await.unwrap(), 200);
        }
        if is_http {
            assert_eq!(rig.targets.asked(8080), before, "no call reaches it");
        }
        rig.targets.set(8080, Does::Answers(200));
        sleep(Duration::from_secs(3)).await;
        for _ in 0..40 {
            assert_eq!(rig.post().await.unwrap(), 200);
        }
        assert!(rig.targets.asked(8080) > before);
    }
}

/// AWS: with no healthy target a network load balancer sends to all ("fail-open").
#[tokio::test(start_paused = true)]
async fn with_no_healthy_target_all_are_asked() {
    let rig = rig(&[8080, 8081], Some(checks(Check::Tcp)));
    rig.targets.set(8080, Does::Refuses);
    rig.targets.set(8081, Does::Refuses);
    sleep(Duration::from_secs(4)).await;
    rig.targets.set(8081, Does::Answers(200));
    assert_eq!(rig.post().await.unwrap(), 200);
}

/// A check that asks for a path and passes ends the time for which calls put a target out. That
/// somebody listens says nothing of answers.
#[tokio::test(start_paused = true)]
async fn a_check_brings_back_what_calls_put_out() {
    let path = PathAndQuery::from_static("/up");
    for (check, is_back) in [(Check::Http { path }, true), (Check::Tcp, false)] {
        let rig = rig(&[8080, 8081], Some(checks(check)));
        rig.targets.set(8080, Does::Answers(500));
        for _ in 0..40 {
            rig.post().await.unwrap();
        }
        assert_eq!(rig.targets.asked(8080), 3);
        rig.targets.set(8080, Does::Answers(200));
        sleep(Duration::from_secs(3)).await;
        for _ in 0..40 {
            assert_eq!(rig.post().await.unwrap(), 200);
        }
        // Three seconds are less than the ten it was out for.
        assert_eq!(rig.targets.asked(8080) > 3, is_back);
    }
}

fn pool(count: u16) -> Pool {
    let targets = (0..count).map(|n| (Arc::from("10.0.0.1"), 8000 + n)).collect();
    let listener = ListenerConfig { arn: None, port: 80, targets };
    Pool::new(&listener, OutlierConfig { failures: 2, ..OutlierConfig::default() }, None)
}

#[tokio::test(start_paused = true)]
async fn the_one_with_fewer_calls_is_asked() {
    let pool = pool(2);
    let now = Instant::now();
    let busy: Vec<Held> = (0..3).map(|_| pool.hold(0)).collect();
    for _ in 0..50 {
        assert_eq!(pool.choose(now, 0), Some(1));
    }
    drop(busy);
    let _busy = pool.hold(1);
    for _ in 0..50 {
        assert_eq!(pool.choose(now, 0), Some(0));
    }
}

proptest! {
    /// Whatever was reported: one target at least is well, and the choice is one not tried yet.
    #[test]
    fn a_choice_is_always_possible(
        count in 1_u16..=64,
        reports in proptest::collection::vec((0_usize..64, any::<bool>()), 0..300),
        tried in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let pool = pool(count);
        let now = Instant::now();
        for (index, failed) in reports {
            pool.report(index % usize::from(count), failed, now);
            prop_assert!(pool.well(now) != 0);
        }
        match pool.choose(now, tried) {
            Some(index) => prop_assert!(index < usize::from(count) && tried & 1 << index == 0),
            None => prop_assert!(!pool.has_others(tried)),
        }
        prop_assert!(pool.choose(now, 0).is_some_and(|index| pool.well(now) & 1 << index != 0));
    }
}
