//! How does a request become a change? The control plane of the region: AWS's protocol in front,
//! the handlers behind it, and what the node lends them.
//!
//! The order is: find the operation, admit the caller, read the request, run the handler, commit,
//! carry out effects, answer. Nothing of a body is read before its sender is admitted. An operation
//! that only looks reads the newest picture and waits for no writer.
//!
//! The node supplies the three seams: [`Keeper`] keeps objects, [`Gatekeeper`] knows who may do
//! what, [`Effects`] reaches the data plane. A panic costs its call: it answers 500 and changes
//! nothing.
//!
//! AWS: API Gateway API Reference; Service Authorization Reference, "Actions, resources, and
//! condition keys for Amazon API Gateway".

mod memory;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use serde_json::Value;
use uuid::Uuid;

use crate::admin::protocol::decode::decode;
use crate::admin::protocol::encode::{REQUEST_ID, encode, refuse};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::ledger;
use crate::admin::protocol::model::{Operation, Service};
use crate::admin::protocol::operation::{
    Context, Effect, Handler, Input, Operations, Outcome, Site, TestInvokeAuthorizer,
    TestInvokeMethod,
};
use crate::admin::protocol::route::{Route, route};
use crate::admin::{rest, stacks, v2};
use crate::net::clock::{Clock, Timestamp};
use crate::store::control::{Body, State, Txn};

pub use memory::MemoryKeeper;

/// What one call does to the objects. It may be run more than once, on newer pictures.
pub type Work = Box<dyn FnMut(&mut Txn) -> Result<Done, ApiError> + Send>;

/// What a handler has done, before it is committed.
#[derive(Clone, Debug)]
pub struct Done {
    pub outcome: Outcome,
    pub effects: Vec<Effect>,
}

/// What is committed, under which revision. A call that changed nothing has the revision it saw.
#[derive(Clone, Debug)]
pub struct Committed {
    pub done: Done,
    pub revision: u64,
}

/// Keeps the objects of the control plane.
#[async_trait]
pub trait Keeper: Send + Sync + 'static {
    /// The newest picture; waits for nobody.
    fn current(&self) -> Arc<State>;
    /// Runs `work` on the newest picture and commits its changes durably, all or none. An error of
    /// `work` is given back and changes nothing.
    async fn transact(&self, work: Work) -> Result<Committed, ApiError>;
}

/// What the sender of a request wants, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Such as `apigateway:PATCH`.
    pub action: &'a str,
    /// The ARN of the path: `arn:aws:apigateway:eu-central-1::/restapis/abc`.
    pub resource: &'a str,
    /// The connection's other end. What a header says of it is no proof.
    pub source_ip: IpAddr,
}

/// Knows who sent a request and what they may do.
#[async_trait]
pub trait Gatekeeper: Send + Sync + 'static {
    /// Admits a request or says why not.
    async fn admit(&self, parts: &Parts, body: &Bytes, wanted: Wanted<'_>) -> Result<(), ApiError>;

    /// Whether signatures are verified. Where they are not, the listener admits only requests that
    /// cannot come from a web page or another machine.
    fn verifies(&self) -> bool;

    /// Answers what clients of the control plane ask another service of AWS's at the same address,
    /// such as STS's `GetCallerIdentity`; `None` when the request is none of that.
    async fn answer_other(&self, _parts: &Parts, _body: &Bytes) -> Option<Response<Bytes>> {
        None
    }
}

/// Reaches the data plane.
#[async_trait]
pub trait Effects: Send + Sync + 'static {
    /// Carries out what a committed change brings about, on every node, within bounded time.
    async fn run(&self, effects: Vec<Effect>, revision: u64) -> Result<(), ApiError>;
    /// The output of TestInvokeMethod.
    async fn test_invoke_method(&self, call: TestInvokeMethod) -> Result<Body, ApiError>;
    /// The output of TestInvokeAuthorizer.
    async fn test_invoke_authorizer(&self, call: TestInvokeAuthorizer) -> Result<Body, ApiError>;
}

/// The control plane of a region.
pub struct ControlPlane {
    site: Arc<Site>,
    clock: Clock,
    keeper: Arc<dyn Keeper>,
    gatekeeper: Arc<dyn Gatekeeper>,
    effects: Arc<dyn Effects>,
    handlers: HashMap<(Service, &'static str), Handler>,
}

impl ControlPlane {
    /// With all handlers there are.
    pub fn new(
        site: Site,
        clock: Clock,
        keeper: Arc<dyn Keeper>,
        gatekeeper: Arc<dyn Gatekeeper>,
        effects: Arc<dyn Effects>,
    ) -> Self {
        let handlers = built().map(|(service, name, handler)| ((service, name), handler)).collect();
        Self { site: Arc::new(site), clock, keeper, gatekeeper, effects, handlers }
    }

    /// With these handlers of one service instead, for tests.
    pub fn with_handlers(mut self, service: Service, tables: &[Operations]) -> Self {
        self.handlers.retain(|(of, _), _| *of != service);
        for (name, handler) in tables.iter().copied().flatten() {
            self.handlers.insert((service, name), *handler);
        }
        self
    }

    /// Whether callers prove who they are.
    pub fn verifies(&self) -> bool {
        self.gatekeeper.verifies()
    }

    /// Answers one request that came from `source_ip`. Never panics; an answer always has a request
    /// id.
    pub async fn answer(&self, parts: &Parts, body: Bytes, source_ip: IpAddr) -> Response<Bytes> {
        let request_id = Uuid::new_v4().to_string();
        let answered =
            AssertUnwindSafe(self.answer_or_refuse(parts, body, source_ip)).catch_unwind().await;
        let mut answer = answered.unwrap_or_else(|_| {
            tracing::error!(request_id, "The control plane panicked over a request.");
            refuse(None, internal())
        });
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        tracing::debug!(
            request_id,
            method = %parts.method,
            status = answer.status().as_u16(),
            "The control plane answered."
        );
        answer
    }

    async fn answer_or_refuse(
        &self,
        parts: &Parts,
        body: Bytes,
        source_ip: IpAddr,
    ) -> Response<Bytes> {
        if let Some(answer) = self.gatekeeper.answer_other(parts, &body).await {
            return answer;
        }
        if let Some(place) = stacks::place(parts.uri.path()) {
            return match self.stack(place, parts, body, source_ip).await {
                Ok(answer) => answer,
                Err(error) => refuse(Some(Service::V1), error),
            };
        }
        let route = match route(parts) {
            Ok(route) => route,
            Err(error) => return refuse(None, error),
        };
        let operation = route.operation;
        match self.perform(route, parts, body, source_ip).await {
            Ok(answer) => answer,
            Err(error) => refuse(Some(operation.service), error),
        }
    }

    async fn perform(
        &self,
        route: Route,
        parts: &Parts,
        body: Bytes,
        source_ip: IpAddr,
    ) -> Result<Response<Bytes>, ApiError> {
        let operation = route.operation;
        let action = format!("apigateway:{}", operation.method);
        let Site { partition, aws_region, .. } = &*self.site;
        let resource = format!("arn:{partition}:apigateway:{aws_region}::{}", route.path);
        let wanted = Wanted { action: &action, resource: &resource, source_ip };
        self.gatekeeper.admit(parts, &body, wanted).await?;
        let handler = self.handlers.get(&(operation.service, &*operation.name)).copied();
        let handler = handler.ok_or_else(|| ledger::not_built(operation))?;
        let input = decode(route, parts, &body)?;
        let outcome = self.run(operation, handler, input).await?;
        encode(operation, outcome)
    }

    /// What templates made.
    async fn stack(
        &self,
        place: Result<stacks::Place, ApiError>,
        parts: &Parts,
        body: Bytes,
        source_ip: IpAddr,
    ) -> Result<Response<Bytes>, ApiError> {
        let place = place?;
        // A record holds what a template's parameters did, secrets included: who may only read
        // APIs does not read it.
        let verb = if parts.method == Method::DELETE { "DELETE" } else { "PUT" };
        let action = format!("apigateway:{verb}");
        let Site { partition, aws_region, .. } = &*self.site;
        let path = format!("{}{}", stacks::STACKS_PATH, place.stack);
        let resource = format!("arn:{partition}:apigateway:{aws_region}::{path}");
        let wanted = Wanted { action: &action, resource: &resource, source_ip };
        self.gatekeeper.admit(parts, &body, wanted).await?;
        let (site, method) = (Arc::clone(&self.site), parts.method.clone());
        let told = if method == Method::GET {
            let mut txn = Txn::new(self.keeper.current());
            stacks::answer(&mut txn, &site, &method, &place, &body)?
        } else {
            let work: Work = Box::new(move |txn| {
                let told = stacks::answer(txn, &site, &method, &place, &body)?;
                let told = told.as_object().cloned().unwrap_or_default();
                Ok(Done { outcome: Outcome::Body(told), effects: Vec::new() })
            });
            match self.keeper.transact(work).await?.done.outcome {
                Outcome::Body(told) => Value::Object(told),
                _ => return Err(internal()),
            }
        };
        let mut answer = Response::new(Bytes::from(told.to_string()));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(answer)
    }

    async fn run(
        &self,
        operation: &'static Operation,
        handler: Handler,
        input: Input,
    ) -> Result<Outcome, ApiError> {
        let (site, now) = (Arc::clone(&self.site), self.clock.now());
        let outcome = if operation.reads_only() {
            let mut txn = Txn::new(self.keeper.current());
            call(operation, handler, &mut txn, &site, now, &input)?.outcome
        } else {
            let work: Work = Box::new(move |txn| call(operation, handler, txn, &site, now, &input));
            let Committed { done, revision } = self.keeper.transact(work).await?;
            if !done.effects.is_empty() {
                self.effects.run(done.effects, revision).await?;
            }
            done.outcome
        };
        match outcome {
            Outcome::TestInvokeMethod(test) => {
                self.effects.test_invoke_method(*test).await.map(Outcome::Body)
            }
            Outcome::TestInvokeAuthorizer(test) => {
                self.effects.test_invoke_authorizer(*test).await.map(Outcome::Body)
            }
            outcome => Ok(outcome),
        }
    }
}

/// All handlers there are: service, operation, handler.
pub fn built() -> impl Iterator<Item = (Service, &'static str, Handler)> {
    let of = |service: Service, tables: &'static [Operations]| {
        tables.iter().copied().flatten().map(move |(name, handler)| (service, *name, *handler))
    };
    of(Service::V1, rest::OPERATIONS).chain(of(Service::V2, v2::OPERATIONS))
}

/// Runs a handler; its panic is an error like any other, so that no keeper unwinds in a
/// transaction.
fn call(
    operation: &Operation,
    handler: Handler,
    txn: &mut Txn,
    site: &Site,
    now: Timestamp,
    input: &Input,
) -> Result<Done, ApiError> {
    let mut context = Context { txn, site, now, effects: Vec::new() };
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let outcome = handler(&mut context, input)?;
        Ok(Done { outcome, effects: context.effects })
    }));
    ran.unwrap_or_else(|_| {
        tracing::error!(%operation, "A handler panicked; its changes are dropped.");
        Err(internal())
    })
}

fn internal() -> ApiError {
    ApiError::new(ErrorKind::Internal, "Internal failure")
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ControlPlane")
            .field("site", &self.site)
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
