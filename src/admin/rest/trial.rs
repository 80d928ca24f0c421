//! A control plane for one unit test: a transaction that stays open, and calls on it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Context, Handler, Input, Operations, Outcome, Site};
pub(super) use crate::admin::rest::harness::object;
use crate::admin::rest::harness::site;
use crate::net::clock::Timestamp;
use crate::store::control::{Kind, State, Txn};

/// 2026-02-03T04:05:06Z, a Tuesday.
pub(super) const NOW: u64 = 1_770_091_506;

#[derive(Debug)]
pub(super) struct World {
    pub(super) txn: Txn,
    pub(super) now: u64,
    pub(super) site: Site,
    tables: Vec<Operations>,
}

/// A request in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Call(Input);

impl Call {
    pub(super) fn uri(mut self, name: &str, value: &str) -> Self {
        self.0.uri.insert(name.to_owned(), Value::from(value));
        self
    }

    pub(super) fn query(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.query.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.0.body = object(body);
        self
    }

    pub(super) fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.0.payload = payload.into();
        self
    }

    /// `op`, `path`, `value`; a value of `null` is none.
    pub(super) fn patch(self, operations: &[(&str, &str, Value)]) -> Self {
        let operations: Vec<Value> = operations
            .iter()
            .map(|(op, path, value)| json!({"op": op, "path": path, "value": value}))
            .collect();
        self.body(json!({ "patchOperations": operations }))
    }
}

pub(super) fn call() -> Call {
    Call::default()
}

impl World {
    /// With an API `api1234567` that has a stage `dev`.
    pub(super) fn new(tables: &[Operations]) -> Self {
        let mut txn = Txn::new(Arc::new(State::default()));
        txn.put(Kind::RestApi, "", "api1234567", object(json!({"id": "api1234567"})));
        txn.put(Kind::Stage, "api1234567", "dev", object(json!({"stageName": "dev"})));
        Self { txn, now: NOW, site: site("gateway.test"), tables: tables.to_vec() }
    }

    fn handler(&self, operation: &str) -> Handler {
        let mut known = self.tables.iter().flat_map(|table| table.iter());
        let found = known.find(|(name, _)| *name == operation);
        found.unwrap_or_else(|| panic!("no handler of {operation}")).1
    }

    /// Runs a call; its changes stay only if it succeeds, as in the store.
    pub(super) fn run(
        &mut self,
        operation: &str,
        call: Call,
    ) -> Result<Map<String, Value>, ApiError> {
        let handler = self.handler(operation);
        let mut txn = self.txn.clone();
        let now = Timestamp::from_seconds(self.now);
        let mut context = Context { txn: &mut txn, site: &self.site, now, effects: Vec::new() };
        let outcome = handler(&mut context, &call.0)?;
        self.txn = txn;
        match outcome {
            Outcome::Body(body) => Ok(body),
            other => panic!("not a body: {other:?}"),
        }
    }

    pub(super) fn ok(&mut self, operation: &str, call: Call) -> Value {
        match self.run(operation, call) {
            Ok(body) => Value::Object(body),
            Err(error) => panic!("{operation}: {error}"),
        }
    }

    pub(super) fn refused(&mut self, operation: &str, call: Call) -> (ErrorKind, String) {
        match self.run(operation, call) {
            Ok(body) => panic!("{operation} answered {body:?}"),
            Err(error) => (error.kind, error.message.into_owned()),
        }
    }

    /// The text `name` of an answer.
    pub(super) fn id(&mut self, operation: &str, call: Call, name: &str) -> String {
        self.ok(operation, call)[name].as_str().expect("a text").to_owned()
    }
}
