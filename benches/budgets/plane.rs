//! What a question to the control plane costs: protocol, handler and answer, with all objects in
//! memory and nobody asked who they are.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use tidegate::admin::operations::{
    ControlPlane, Done, Effects, Gatekeeper, Keeper, MemoryKeeper, Wanted, Work,
};
use tidegate::admin::protocol::error::ApiError;
use tidegate::admin::protocol::operation::{
    Effect, Outcome, Site, TestInvokeAuthorizer, TestInvokeMethod,
};
use tidegate::net::clock::Clock;
use tidegate::store::control::{Body, Kind};
use tokio::runtime::Runtime;

const API: &str = "api0000000";
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A control plane with this many APIs, the first of which has this many resources.
pub(crate) struct Plane {
    control: ControlPlane,
    runtime: Runtime,
}

struct Open;

#[async_trait]
impl Gatekeeper for Open {
    async fn admit(&self, _: &Parts, _: &Bytes, _: Wanted<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    fn verifies(&self) -> bool {
        false
    }
}

#[async_trait]
impl Effects for Open {
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

impl Plane {
    pub(crate) fn new(apis: usize, resources: usize) -> Self {
        let runtime = crate::runtime();
        let keeper = Arc::new(MemoryKeeper::default());
        let fill: Work = Box::new(move |txn| {
            for n in 0..apis {
                let id = format!("api{n:07}");
                let api = json!({"id": id, "name": format!("shop {n}"), "rootResourceId": "root",
                    "createdDate": 1_700_000_000, "apiKeySource": "HEADER",
                    "endpointConfiguration": {"types": ["EDGE"]}});
                txn.put(Kind::RestApi, "", &id, object(api));
                txn.put(Kind::Resource, &id, "root", object(json!({"id": "root", "path": "/"})));
            }
            for n in 0..resources {
                let id = format!("r{n:05}");
                let part = format!("part{n}");
                let path = format!("/{part}");
                let method = json!({"httpMethod": "GET", "authorizationType": "NONE",
                    "apiKeyRequired": false, "methodIntegration": {"type": "HTTP_PROXY",
                    "httpMethod": "GET", "uri": "https://backend.example/"}});
                let resource = json!({"id": id, "parentId": "root", "pathPart": part, "path": path,
                    "resourceMethods": {"GET": method}});
                txn.put(Kind::Resource, API, &id, object(resource));
            }
            Ok(Done { outcome: Outcome::Body(Body::new()), effects: Vec::new() })
        });
        runtime.block_on(keeper.transact(fill)).unwrap();
        let site = Site {
            partition: "aws".to_owned(),
            aws_region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            domain: "localhost".to_owned(),
            port: String::new(),
            installation: Default::default(),
        };
        let (gate, effects) = (Arc::new(Open), Arc::new(Open));
        let control = ControlPlane::new(site, Clock::system(), keeper, gate, effects);
        Self { control, runtime }
    }

    /// The bytes of the answer to a GET; it must succeed.
    pub(crate) fn get(&self, target: &str) -> usize {
        let (parts, ()) = Request::get(target).body(()).unwrap().into_parts();
        let answer = self.runtime.block_on(self.control.answer(&parts, Bytes::new(), CLIENT));
        assert_eq!(answer.status(), 200, "{target}: {:?}", answer.body());
        answer.body().len()
    }
}

fn object(value: Value) -> Body {
    value.as_object().cloned().unwrap()
}
