//! The control plane as a whole, with a few handlers.

mod anything;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use serde_json::{Map, Value, json};

use crate::admin::operations::{ControlPlane, Effects, Gatekeeper, Keeper, MemoryKeeper, Wanted};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::Service;
use crate::admin::protocol::operation::{
    Context, Effect, Handler, Input, Outcome, Site, TestInvokeAuthorizer, TestInvokeMethod,
};
use crate::net::clock::Clock;
use crate::store::control::{Body, Kind};

/// Admits everybody but who asks to be refused.
struct Doorman;

#[async_trait]
impl Gatekeeper for Doorman {
    async fn admit(&self, parts: &Parts, _: &Bytes, wanted: Wanted<'_>) -> Result<(), ApiError> {
        let Wanted { action, resource, .. } = wanted;
        if parts.headers.contains_key("x-refuse") {
            let message = format!("not {action} on {resource}");
            return Err(ApiError::new(ErrorKind::AccessDenied, message));
        }
        Ok(())
    }

    fn verifies(&self) -> bool {
        false
    }

    async fn answer_other(&self, parts: &Parts, _body: &Bytes) -> Option<Response<Bytes>> {
        (parts.uri.path() == "/").then(|| Response::new(Bytes::from_static(b"other")))
    }
}

#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Effects for Counting {
    async fn run(&self, effects: Vec<Effect>, revision: u64) -> Result<(), ApiError> {
        assert_eq!(revision, 1, "effects run once the change is committed");
        self.0.fetch_add(effects.len(), Ordering::Relaxed);
        Ok(())
    }

    async fn test_invoke_method(&self, call: TestInvokeMethod) -> Result<Body, ApiError> {
        Ok(Map::from_iter([
            ("status".to_owned(), json!(200)),
            ("log".to_owned(), json!(call.http_method)),
        ]))
    }

    async fn test_invoke_authorizer(&self, _: TestInvokeAuthorizer) -> Result<Body, ApiError> {
        Err(ApiError::new(ErrorKind::NotImplemented, "later"))
    }
}

struct House {
    control: ControlPlane,
    keeper: Arc<MemoryKeeper>,
    effects: Arc<Counting>,
}

fn house(service: Service, table: Vec<(&'static str, Handler)>) -> House {
    let site = Site {
        partition: "aws".to_owned(),
        aws_region: "eu-central-1".to_owned(),
        account_id: "123456789012".to_owned(),
        domain: "localhost".to_owned(),
        port: String::new(),
        installation: Default::default(),
    };
    let (keeper, effects) = (Arc::new(MemoryKeeper::default()), Arc::new(Counting::default()));
    let clock = Clock::manual(1_586_372_745_000);
    let control =
        ControlPlane::new(site, clock, keeper.clone(), Arc::new(Doorman), effects.clone());
    let control = control.with_handlers(service, &[table.leak()]);
    House { control, keeper, effects }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn send(house: &House, request: Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    block_on(house.control.answer(&parts, body, IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

fn ask(house: &House, method: &str, target: &str, body: &str) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(target);
    let answer = send(house, request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap());
    assert!(answer.headers().contains_key("x-amzn-requestid"));
    let kind = answer.headers().get("x-amzn-errortype");
    let kind = kind.map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), kind, String::from_utf8_lossy(answer.body()).into_owned())
}

fn create(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut body = input.body.clone();
    body.insert("id".to_owned(), json!("abc"));
    body.insert("createdDate".to_owned(), context.seconds());
    context.txn.put(Kind::RestApi, "", "abc", body.clone());
    context.effects.push(Effect::FlushStage { api: "abc".to_owned(), stage: "s".to_owned() });
    match input.text("name") {
        Some("panic") => panic!("asked to"),
        Some("refuse") => Err(ApiError::conflict("no")),
        _ => Ok(Outcome::Body(body)),
    }
}

fn get(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let found = context.txn.get(Kind::RestApi, "", input.label("restapi_id"));
    context.txn.delete(Kind::RestApi, "", "abc");
    let found = found.ok_or_else(|| ApiError::not_found("no such API"))?;
    Ok(Outcome::Body(Body::clone(&found)))
}

fn test(_: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::TestInvokeMethod(Box::new(TestInvokeMethod {
        definition: Value::Null,
        resource_id: input.label("resource_id").to_owned(),
        http_method: input.label("http_method").to_owned(),
        request: input.body.clone(),
    })))
}

const HANDLERS: [(&str, Handler); 3] =
    [("CreateRestApi", create), ("GetRestApi", get), ("TestInvokeMethod", test)];

#[test]
fn a_change_is_committed_answered_and_seen() {
    let house = house(Service::V1, HANDLERS.to_vec());
    let (status, _, body) = ask(&house, "POST", "/restapis", r#"{"name": "a", "x": 1}"#);
    let expected = r#"{"name":"a","id":"abc","createdDate":1586372745}"#;
    assert_eq!((status, body.as_str()), (201, expected));
    assert_eq!(house.keeper.current().revision, 1);
    assert_eq!(house.effects.0.load(Ordering::Relaxed), 1);
    // Whoever only looks changes nothing, even if its handler tries.
    for _ in 0..2 {
        assert_eq!(ask(&house, "GET", "/restapis/abc", "").2, expected);
    }
    assert_eq!(house.keeper.current().revision, 1);
}

#[test]
fn an_error_and_a_panic_change_nothing() {
    let house = house(Service::V1, HANDLERS.to_vec());
    let (status, kind, body) = ask(&house, "POST", "/restapis", r#"{"name": "refuse"}"#);
    assert_eq!(
        (status, kind.as_str(), body.as_str()),
        (409, "ConflictException", r#"{"message":"no"}"#)
    );
    let (status, kind, _) = ask(&house, "POST", "/restapis", r#"{"name": "panic"}"#);
    assert_eq!((status, kind.as_str()), (500, "InternalFailure"));
    assert_eq!(house.keeper.current().revision, 0);
    assert_eq!(house.effects.0.load(Ordering::Relaxed), 0);
    assert_eq!(ask(&house, "GET", "/restapis/abc", "").0, 404);
    assert_eq!(ask(&house, "POST", "/restapis", r#"{"name": "b"}"#).0, 201);
}

#[test]
fn test_calls_go_to_the_data_plane() {
    let house = house(Service::V1, HANDLERS.to_vec());
    let target = "/restapis/a/resources/b/methods/PATCH";
    let (status, _, body) = ask(&house, "POST", target, "{}");
    assert_eq!((status, body.as_str()), (200, r#"{"status":200,"log":"PATCH"}"#));
}

#[test]
fn who_is_not_admitted_learns_nothing_of_the_body() {
    let house = house(Service::V1, HANDLERS.to_vec());
    let request = Request::post("/restapis").header("x-refuse", "1");
    let answer = send(&house, request.body(Bytes::from_static(b"{")).unwrap());
    assert_eq!(answer.status(), 403);
    let expected =
        r#"{"message":"not apigateway:POST on arn:aws:apigateway:eu-central-1::/restapis"}"#;
    assert_eq!(&**answer.body(), expected.as_bytes());
}

#[test]
fn what_is_not_built_says_so() {
    let house = house(Service::V1, Vec::new()).control.with_handlers(Service::V2, &[]);
    let house = House { control: house, keeper: Arc::default(), effects: Arc::default() };
    for (method, target) in [("GET", "/restapis"), ("GET", "/v2/portals"), ("POST", "/v2/apis")] {
        let (status, kind, body) = ask(&house, method, target, "");
        assert_eq!((status, kind.as_str()), (501, "NotImplementedException"));
        assert!(body.starts_with(r#"{"message":"#), "{body}");
    }
    assert_eq!(ask(&house, "POST", "/", "").2, "other");
    assert_eq!(ask(&house, "POST", "/nothing", "").0, 403);
}
