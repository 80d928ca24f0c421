//! What a client refuses by itself, and what it gives back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::fake::Fake;
use super::*;

const CIRCUIT: CircuitConfig = CircuitConfig {
    failures: 3,
    window: Duration::from_secs(10),
    open_for: Duration::from_secs(30),
};

/// Answers by the request's path: `/503` is 503, `/hang` nothing.
fn by_path() -> Arc<Fake> {
    Fake::new(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            if path == "/hang" {
                wire.closed().await;
                return;
            }
            let status = path.trim_start_matches('/');
            wire.write(&format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
        }
    })
}

struct Rig {
    client: HttpClient,
    network: Arc<Fake>,
    host: Arc<Host>,
}

fn rig(config: Config) -> Rig {
    let network = by_path();
    let client = HttpClient::new(config, network.clone(), Tasks::new(Handle::current()));
    let host = client.host(&target(80));
    Rig { client, network, host }
}

fn target(port: u16) -> Target {
    Target { scheme: Scheme::Http, host: Arc::from("backend.test"), port }
}

fn request(method: Method, path: &'static str, body: RequestBody) -> Outgoing {
    let path_and_query = PathAndQuery::from_static(path);
    Outgoing { method, path_and_query, headers: HeaderMap::new(), body }
}

impl Rig {
    async fn get(&self, path: &'static str) -> Result<u16, ClientError> {
        let request = request(Method::GET, path, RequestBody::Empty);
        let deadline = Instant::now() + Duration::from_secs(1);
        let answer = self.client.send(&self.host, request, deadline).await?;
        Ok(answer.status().as_u16())
    }

    async fn is_open(&self) -> bool {
        let before = self.network.connections();
        let refused = matches!(self.get("/200").await, Err(ClientError::CircuitOpen { .. }));
        assert!(!refused || self.network.connections() == before, "it asked all the same");
        refused
    }
}

fn with_circuit() -> Rig {
    rig(Config { circuit: Some(CIRCUIT), ..Config::default() })
}

#[tokio::test(start_paused = true)]
async fn without_a_circuit_a_failing_host_is_asked_again_and_again() {
    let rig = rig(Config::default());
    for _ in 0..20 {
        assert_eq!(rig.get("/503").await.unwrap(), 503);
    }
    assert_eq!(rig.get("/200").await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_opens_rests_and_tries_once() {
    let rig = with_circuit();
    for path in ["/503", "/502", "/504"] {
        assert!(!rig.is_open().await, "answers between do not close it, and it is not open yet");
        rig.get(path).await.unwrap();
    }
    assert!(rig.is_open().await);
    sleep(Duration::from_secs(29)).await;
    assert!(rig.is_open().await);
    sleep(Duration::from_secs(2)).await;
    // The call that tries fails: another rest.
    assert_eq!(rig.get("/503").await.unwrap(), 503);
    assert!(rig.is_open().await);
    sleep(Duration::from_secs(31)).await;
    assert_eq!(rig.get("/200").await.unwrap(), 200);
    for _ in 0..2 {
        rig.get("/503").await.unwrap();
        assert!(!rig.is_open().await, "it counts from the beginning");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_speaks_against_the_host_counts_and_only_for_a_while() {
    let rig = with_circuit();
    for path in ["/500", "/404", "/429", "/500", "/500"] {
        rig.get(path).await.unwrap();
    }
    assert!(!rig.is_open().await);
    for _ in 0..6 {
        rig.get("/503").await.unwrap();
        sleep(Duration::from_secs(6)).await;
    }
    assert!(!rig.is_open().await, "failures six seconds apart are never three in ten");
    sleep(Duration::from_secs(10)).await;
    for _ in 0..3 {
        assert!(matches!(rig.get("/hang").await, Err(ClientError::TimedOut)));
    }
    assert!(rig.is_open().await);
}

/// A caller who goes away while trying leaves the right to try to the next.
#[tokio::test(start_paused = true)]
async fn a_try_that_was_given_up_does_not_close_the_way() {
    let rig = with_circuit();
    for _ in 0..3 {
        rig.get("/503").await.unwrap();
    }
    sleep(Duration::from_secs(31)).await;
    let given_up = tokio::time::timeout(Duration::from_millis(10), rig.get("/hang")).await;
    assert!(given_up.is_err());
    assert_eq!(rig.get("/200").await.unwrap(), 200);
}

/// While one call tries, others are refused.
#[tokio::test(start_paused = true)]
async fn one_call_tries_at_a_time() {
    let rig = with_circuit();
    for _ in 0..3 {
        rig.get("/503").await.unwrap();
    }
    sleep(Duration::from_secs(31)).await;
    let (first, second) = tokio::join!(rig.get("/hang"), rig.get("/200"));
    assert!(matches!(first, Err(ClientError::TimedOut)));
    assert!(matches!(second, Err(ClientError::CircuitOpen { .. })));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_wait_than_may() {
    let config =
        Config { connections_per_host_max: 1, pending_per_host_max: Some(1), ..Config::default() };
    let rig = rig(config);
    let (a, b, c) = tokio::join!(rig.get("/hang"), rig.get("/hang"), rig.get("/200"));
    assert!(matches!(a, Err(ClientError::TimedOut)) && matches!(b, Err(ClientError::TimedOut)));
    let Err(ClientError::TooManyPending { limit: 1, .. }) = c else { panic!("{c:?}") };
    assert!(c.unwrap_err().to_string().contains("pending_max"));
    assert_eq!(rig.get("/200").await.unwrap(), 200);
}

/// Whatever the verb: nothing was sent, so another target may be asked.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_sent_comes_back_whole() {
    let rig = rig(Config::default());
    let refuses = rig.client.host(&target(9999));
    let body = RequestBody::Full(Bytes::from_static(b"body"));
    let post = request(Method::POST, "/200", body);
    let deadline = Instant::now() + Duration::from_secs(1);
    let lost = rig.client.send_or_return(&refuses, post, &|| None, deadline).await.unwrap_err();
    assert!(matches!(lost.error, ClientError::Refused { .. }));
    let unsent = lost.unsent.unwrap();
    assert_eq!((&unsent.method, unsent.path_and_query.as_str()), (&Method::POST, "/200"));
    assert_eq!(unsent.body.collect().await.unwrap().to_bytes(), "body");
    // One that was sent does not.
    let post = request(Method::POST, "/hang", RequestBody::Empty);
    let deadline = Instant::now() + Duration::from_secs(1);
    let lost = rig.client.send_or_return(&rig.host, post, &|| None, deadline).await.unwrap_err();
    assert!(lost.unsent.is_none());
}

#[tokio::test(start_paused = true)]
async fn each_manner_has_connections_of_its_own_and_is_forgotten_with_them() {
    let rig = rig(Config::default());
    let named = |name: &str| Manner { server_name: Some(Arc::from(name)), ..Manner::default() };
    let first = rig.client.host_as(&target(80), &named("a"));
    assert!(Arc::ptr_eq(&first, &rig.client.host_as(&target(80), &named("a"))));
    assert!(!Arc::ptr_eq(&first, &rig.client.host_as(&target(80), &named("b"))));
    assert!(!Arc::ptr_eq(&first, &rig.host));
    assert_eq!(rig.client.0.hosts().len(), 3);
    drop(first);
    sleep(SWEEP_EVERY * 2).await;
    assert_eq!(rig.client.0.hosts().len(), 1, "what somebody keeps stays");
}

/// Calls that name their host cannot make the node remember any number of them.
#[tokio::test(start_paused = true)]
async fn hosts_that_calls_name_are_bounded() {
    let rig = rig(Config::default());
    let named = |n: usize| Target { host: Arc::from(format!("h{n}")), ..target(80) };
    // Somebody is connected to each: they cannot be forgotten.
    let client = &rig.client;
    for n in 0..HOSTS_MAX - 1 {
        let host = client.host_if_room(&named(n), &Manner::default()).unwrap();
        let get = request(Method::GET, "/200", RequestBody::Empty);
        let deadline = Instant::now() + Duration::from_secs(1);
        client.send(&host, get, deadline).await.unwrap();
    }
    assert!(client.host_if_room(&named(HOSTS_MAX), &Manner::default()).is_some());
    assert!(client.host_if_room(&named(3), &Manner::default()).is_some());
    client.host_if_room(&named(HOSTS_MAX + 1), &Manner::default());
    assert!(client.0.hosts().len() <= HOSTS_MAX);
    for n in 0..20 {
        client.host_if_room(&named(2 * HOSTS_MAX + n), &Manner::default());
    }
    assert!(client.0.hosts().len() <= HOSTS_MAX);
}
