//! AWS's requests on the admin listener: who gets in, and how much they may bring.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::{House, raw};
use crate::admin::http::{Admin, AdminError, Config, PurgeOutcome, PurgeRequest, serve};
use crate::admin::operations::{ControlPlane, Effects, Gatekeeper, MemoryKeeper, Wanted};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::model::Service;
use crate::admin::protocol::operation::{
    Context, Effect, Handler, Input, Outcome, Site, TestInvokeAuthorizer, TestInvokeMethod,
};
use crate::admin::status::ClusterStatus;
use crate::net::clock::Clock;
use crate::net::socket::{Listener, Machine, Network};
use crate::net::tasks::Tasks;
use crate::store::control::Body;

struct Region(Arc<ControlPlane>);

#[async_trait]
impl Admin for Region {
    fn ready(&self) -> Result<(), Vec<String>> {
        Ok(())
    }

    fn status(&self) -> ClusterStatus {
        ClusterStatus::default()
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }

    async fn purge(&self, _: PurgeRequest) -> Result<PurgeOutcome, AdminError> {
        Err(AdminError::NotHere)
    }

    fn control_plane(&self) -> Option<Arc<ControlPlane>> {
        Some(self.0.clone())
    }
}

struct Doorman {
    verifies: bool,
}

#[async_trait]
impl Gatekeeper for Doorman {
    async fn admit(&self, _: &Parts, _: &Bytes, _: Wanted<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    fn verifies(&self) -> bool {
        self.verifies
    }
}

struct Nothing;

#[async_trait]
impl Effects for Nothing {
    async fn run(&self, _: Vec<Effect>, _: u64) -> Result<(), ApiError> {
        Ok(())
    }

    async fn test_invoke_method(&self, _: TestInvokeMethod) -> Result<Body, ApiError> {
        Ok(Body::new())
    }

    async fn test_invoke_authorizer(&self, _: TestInvokeAuthorizer) -> Result<Body, ApiError> {
        Ok(Body::new())
    }
}

fn length(_: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let name = format!("{} bytes", input.payload.len());
    Ok(Outcome::Body(Body::from_iter([("name".to_owned(), name.into())])))
}

const HANDLERS: &[(&str, Handler)] = &[("GetRestApis", length), ("PutRestApi", length)];

fn control(verifies: bool) -> Arc<ControlPlane> {
    let site = Site {
        partition: "aws".to_owned(),
        aws_region: "eu-central-1".to_owned(),
        account_id: "123456789012".to_owned(),
        domain: "localhost".to_owned(),
        port: String::new(),
        installation: Default::default(),
    };
    let keeper = Arc::new(MemoryKeeper::default());
    let gatekeeper = Arc::new(Doorman { verifies });
    let control = ControlPlane::new(site, Clock::manual(0), keeper, gatekeeper, Arc::new(Nothing));
    Arc::new(control.with_handlers(Service::V1, &[HANDLERS]))
}

fn region(verifies: bool) -> House {
    let listener = Machine.listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new(Handle::current());
    serve(Config::default(), listener, None, Arc::new(Region(control(verifies))), &tasks);
    House { address, node: Arc::default(), tasks }
}

fn get(headers: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")
}

const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=a/b\r\n";

#[tokio::test]
async fn a_signature_makes_any_host_welcome_and_no_web_page() {
    let house = region(true);
    let foreign = "Host: control.example\r\n";
    let local = "Host: localhost\r\n";
    let origin = "Origin: http://localhost\r\n";
    for (headers, target, status) in [
        (local.to_owned(), "/restapis", "200"),
        (format!("{foreign}{SIGNED}"), "/restapis", "200"),
        (foreign.to_owned(), "/restapis?X-Amz-Signature=00", "200"),
        (foreign.to_owned(), "/restapis", "421"),
        (format!("{foreign}Authorization: Bearer x\r\n"), "/restapis", "421"),
        (format!("{local}{SIGNED}{origin}"), "/restapis", "403"),
        // What is ours keeps its rules.
        (format!("{foreign}{SIGNED}"), "/healthz", "421"),
        (format!("{foreign}{SIGNED}"), "/_tidegate/status", "421"),
        (local.to_owned(), "/_tidegate/nothing", "404"),
    ] {
        let answer = raw(&house, &get(&headers, target)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}{target}: {answer}");
    }
}

#[tokio::test]
async fn a_signature_that_nobody_verifies_opens_nothing() {
    let house = region(false);
    // A page whose own name resolves to 127.0.0.1 can send such a header.
    let answer = raw(&house, &get(&format!("Host: evil.example\r\n{SIGNED}"), "/restapis")).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(raw(&house, &get("Host: localhost\r\n", "/restapis")).await.contains(" 200 "));
}

#[tokio::test(start_paused = true)]
async fn without_verification_only_this_machine_is_served() {
    for (verifies, peer, status) in [
        (false, "192.0.2.9:5000", "403"),
        (true, "192.0.2.9:5000", "200"),
        (false, "[::1]:1", "200"),
    ] {
        let (queue_end, queue) = tokio::sync::mpsc::channel(1);
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        queue_end.send((far, peer.parse().unwrap())).await.unwrap();
        let tasks = Tasks::new(Handle::current());
        let listener = Listener::Memory { address: "192.0.2.1:4700".parse().unwrap(), queue };
        serve(Config::default(), listener, None, Arc::new(Region(control(verifies))), &tasks);
        near.write_all(get("Host: localhost\r\n", "/restapis").as_bytes()).await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{verifies} {peer}: {answer}");
    }
}

fn put(length: usize, more: &str) -> String {
    format!(
        "PUT /restapis/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\
         Content-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_large_definition_is_asked_for_and_taken() {
    let house = region(true);
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let definition = vec![b' '; 6 * 1024 * 1024];
    let head = put(definition.len(), "Expect: 100-continue\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&definition).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(r#"{"name":"6291456 bytes"}"#), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_asked_for() {
    let house = region(true);
    let answer = raw(&house, &put(11 * 1024 * 1024, "Expect: 100-continue\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("x-amzn-errortype: RequestEntityTooLargeException"), "{answer}");
}

#[tokio::test]
async fn many_large_bodies_wait_for_room_and_are_all_taken() {
    let house = Arc::new(region(true));
    let body = " ".repeat(100_000);
    let sends = (0..40).map(|_| {
        let (house, body) = (house.clone(), body.clone());
        async move { raw(&house, &(put(body.len(), "") + &body)).await }
    });
    for answer in futures_util::future::join_all(sends).await {
        assert!(answer.contains("100000 bytes"), "{answer}");
    }
}
