//! A store with one API, and calls on it: what the tests of deployments and stages share.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Effect, Input, Outcome};
use crate::admin::rest::harness::{handler, object, site};
use crate::net::clock::Timestamp;
use crate::store::control::{Kind, State, Txn};

pub(super) const API: &str = "a1b2c3d4e5";
pub(super) const ROOT: &str = "r000000000";
/// What all dates are.
pub(super) const NOW: u64 = 1_700_000_000;

pub(super) struct World {
    pub(super) state: Arc<State>,
    pub(super) effects: Vec<Effect>,
}

impl World {
    /// An API whose root has a GET that answers 200 from a MOCK.
    pub(super) fn new() -> Self {
        let mut world = Self::empty();
        world.set_method(mock());
        world
    }

    /// An API without methods.
    pub(super) fn empty() -> Self {
        let mut world = Self { state: Arc::new(State::default()), effects: Vec::new() };
        world.put(
            Kind::RestApi,
            "",
            API,
            json!({"id": API, "name": "oracle", "endpointConfiguration": {"types": ["EDGE"]}}),
        );
        world.put(Kind::Resource, API, ROOT, json!({"id": ROOT, "path": "/"}));
        world
    }

    pub(super) fn put(&mut self, kind: Kind, scope: &str, id: &str, body: Value) {
        let mut txn = Txn::new(Arc::clone(&self.state));
        txn.put(kind, scope, id, object(body));
        self.state = Arc::new(self.state.with(self.state.revision + 1, txn.into_changes()));
    }

    /// The root's GET from now on.
    pub(super) fn set_method(&mut self, integration: Value) {
        let method = json!({
            "httpMethod": "GET", "authorizationType": "NONE", "apiKeyRequired": false,
            "methodIntegration": integration,
        });
        self.put(
            Kind::Resource,
            API,
            ROOT,
            json!({"id": ROOT, "path": "/", "resourceMethods": {"GET": method}}),
        );
    }

    /// Runs an operation; what it changed is committed unless it failed.
    pub(super) fn run(&mut self, name: &str, input: &Input) -> Result<Outcome, ApiError> {
        let handler = handler(name).expect("the operation is built");
        let mut txn = Txn::new(Arc::clone(&self.state));
        let site = site("gateway.localhost");
        let now = Timestamp::from_seconds(NOW);
        let mut ctx = Context { txn: &mut txn, site: &site, now, effects: Vec::new() };
        let outcome = handler(&mut ctx, input)?;
        self.effects.extend(ctx.effects);
        self.state = Arc::new(self.state.with(self.state.revision + 1, txn.into_changes()));
        Ok(outcome)
    }

    /// Runs an operation on the API; `labels` beside the API's, and the body.
    pub(super) fn call(
        &mut self,
        name: &str,
        labels: Value,
        body: Value,
    ) -> Result<Value, ApiError> {
        let outcome = self.run(name, &input(labels, body))?;
        match outcome {
            Outcome::Body(body) => Ok(Value::Object(body)),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn ok(&mut self, name: &str, labels: Value, body: Value) -> Value {
        self.call(name, labels, body).unwrap()
    }

    /// The error's name and message.
    #[track_caller]
    pub(super) fn err(&mut self, name: &str, labels: Value, body: Value) -> (String, String) {
        let err = self.call(name, labels, body).unwrap_err();
        (err.kind.name().to_owned(), err.message.into_owned())
    }

    /// Deploys to a stage and returns the deployment's id.
    #[track_caller]
    pub(super) fn deploy(&mut self, body: Value) -> String {
        let made = self.ok("CreateDeployment", json!({}), body);
        made["id"].as_str().unwrap().to_owned()
    }

    /// UpdateStage on `dev` by one operation.
    pub(super) fn patch(&mut self, operation: Value) -> Result<Value, ApiError> {
        let body = json!({"patchOperations": [operation]});
        self.call("UpdateStage", json!({"stage_name": "dev"}), body)
    }

    #[track_caller]
    pub(super) fn patch_message(&mut self, operation: Value) -> String {
        let err = self.patch(operation).unwrap_err();
        assert_eq!(err.kind.name(), "BadRequestException");
        err.message.into_owned()
    }

    #[track_caller]
    pub(super) fn stage(&mut self) -> Value {
        self.ok("GetStage", json!({"stage_name": "dev"}), json!({}))
    }
}

pub(super) fn input(labels: Value, body: Value) -> Input {
    let mut uri = object(labels);
    uri.entry("restapi_id").or_insert(json!(API));
    Input { uri, body: object(body), ..Input::default() }
}

pub(super) fn mock() -> Value {
    json!({
        "type": "MOCK", "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": 29000,
        "cacheNamespace": ROOT, "cacheKeyParameters": [],
        "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
        "integrationResponses": {"200": {"statusCode": "200", "selectionPattern": ""}},
    })
}

/// What the data plane cannot serve yet.
pub(super) fn unserved() -> Value {
    json!({
        "type": "AWS",
        "httpMethod": "POST",
        "uri": "arn:aws:apigateway:us-east-1:sqs:path/queue",
        "credentials": "arn:aws:iam::*:user/*",
    })
}
