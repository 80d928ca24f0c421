//! A control plane for tests of handlers: no protocol, no database.
//!
//! Calls are written with the names of AWS's SDKs, as the recorded cases are; the service model
//! says which of them stand in the URI, in the query, or in the body, and under which name.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Context, Handler, Input, Outcome, Site};
use crate::admin::rest;
use crate::net::clock::Timestamp;
use crate::store::control::{Body, State, Txn};

pub(crate) struct Plane {
    pub(crate) state: Arc<State>,
    pub(crate) site: Site,
    model: Value,
}

impl Plane {
    pub(crate) fn new() -> Self {
        let model = serde_json::from_str(include_str!("../protocol/apigateway.json")).unwrap();
        Self { state: Arc::new(State::default()), site: site("localhost"), model }
    }

    /// Runs an operation as one transaction and answers its output.
    pub(crate) fn call(&mut self, operation: &str, params: Value) -> Result<Value, ApiError> {
        let handler = handler(operation).unwrap_or_else(|| panic!("{operation} is not built"));
        let input = self.input(operation, &params);
        let mut txn = Txn::new(Arc::clone(&self.state));
        let mut context = Context {
            txn: &mut txn,
            site: &self.site,
            now: Timestamp::from_millis(1_700_000_000_000),
            effects: Vec::new(),
        };
        match handler(&mut context, &input)? {
            Outcome::Body(body) => {
                let revision = self.state.revision + 1;
                self.state = Arc::new(self.state.with(revision, txn.into_changes()));
                Ok(Value::Object(body))
            }
            other => panic!("{operation} answered {other:?}"),
        }
    }

    /// The output of an operation that must succeed.
    pub(crate) fn ok(&mut self, operation: &str, params: Value) -> Value {
        self.call(operation, params.clone())
            .unwrap_or_else(|error| panic!("{operation} {params}: {error}"))
    }

    /// The operation is refused so, and nothing changes.
    pub(crate) fn refused(
        &mut self,
        operation: &str,
        params: Value,
        kind: ErrorKind,
        message: &str,
    ) {
        let revision = self.state.revision;
        let error = match self.call(operation, params.clone()) {
            Ok(answer) => panic!("{operation} {params} answered {answer}"),
            Err(error) => error,
        };
        assert_eq!((error.kind, &*error.message), (kind, message), "{operation} {params}");
        assert_eq!(self.state.revision, revision);
    }

    /// A new API with these members; its id and its root resource's id.
    pub(crate) fn api(&mut self) -> (String, String) {
        let api = self.ok("CreateRestApi", json!({"name": "test"}));
        (string(&api["id"]), string(&api["rootResourceId"]))
    }

    /// A resource below another; its id.
    pub(crate) fn resource(&mut self, api: &str, parent: &str, part: &str) -> String {
        let params = json!({"restApiId": api, "parentId": parent, "pathPart": part});
        string(&self.ok("CreateResource", params)["id"])
    }

    fn input(&self, operation: &str, params: &Value) -> Input {
        let shape = self.model["operations"][operation]["input"]["shape"].as_str().unwrap();
        let members = &self.model["shapes"][shape]["members"];
        let mut input = Input::default();
        for (name, value) in params.as_object().unwrap() {
            let member = &members[name];
            assert!(member.is_object(), "{operation} has no member {name}");
            let wire = member["locationName"].as_str().unwrap_or(name).to_owned();
            match member["location"].as_str() {
                Some("uri") => input.uri.insert(wire, value.clone()),
                Some("querystring") => input.query.insert(wire, value.clone()),
                _ => input.body.insert(wire, value.clone()),
            };
        }
        input
    }
}

/// Where the control planes of tests are.
pub(crate) fn site(domain: &str) -> Site {
    Site {
        partition: "aws".to_owned(),
        aws_region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        domain: domain.to_owned(),
        port: String::new(),
        installation: Default::default(),
    }
}

pub(crate) fn object(value: Value) -> Body {
    match value {
        Value::Object(body) => body,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// One patch operation.
pub(crate) fn patch(op: &str, path: &str, value: impl Into<Value>) -> Value {
    json!([{"op": op, "path": path, "value": value.into()}])
}

/// These members together; the second wins.
pub(crate) fn with(params: &Value, more: Value) -> Value {
    let mut params = params.clone();
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
    }
    params
}

pub(crate) fn handler(operation: &str) -> Option<Handler> {
    let mut all = rest::OPERATIONS.iter().flat_map(|table| table.iter());
    all.find(|(name, _)| *name == operation).map(|(_, handler)| *handler)
}
