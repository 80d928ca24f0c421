//! The region's control plane, wired: the store behind it, the gate before it, and what a change
//! brings about.
//!
//! The store has a runtime of its own side: its waits are for a disk or a database, and a test that
//! moves time must not let them run out. Whoever changes something gets the answer once the change
//! is kept and this node serves it; edges follow by push.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use crate::admin::http::{Admin, AdminError, PurgeRequest};
use crate::admin::iam::gate::{Gate, Wish};
use crate::admin::iam::sts;
use crate::admin::operations::{
    Committed, ControlPlane, Effects, Gatekeeper, Keeper, Wanted, Work,
};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Effect, Site, TestInvokeAuthorizer, TestInvokeMethod};
use crate::deployment::definition::Limits;
use crate::gossip::Key;
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;
use crate::node::config::Doors;
use crate::node::foundation::Core;
use crate::node::publisher::{self, Known};
use crate::node::{StartError, test_invoke};
use crate::pipeline::Origin;
use crate::store::control::{self, Body, ControlError, ControlStore, State, Txn};
use crate::tunnel::Push;

/// How long an answer waits until this node serves what was changed. Compiling the largest API
/// takes far less; a call that waits longer is answered all the same.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// The region's store, with the runtime its work runs on.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) store: ControlStore,
    pub(super) site: Site,
    /// Where the store's own tasks and waits are.
    tasks: Tasks,
    /// The newest revision this node serves.
    served: watch::Sender<u64>,
}

impl Control {
    /// Opens the store.
    pub(super) async fn open(
        config: control::Config,
        site: Site,
        clock: Clock,
        runtime: &Handle,
    ) -> Result<Self, StartError> {
        let tasks = Tasks::new(runtime.clone());
        let own = tasks.clone();
        let opened = on(runtime, async move { ControlStore::open(config, clock, own).await }).await;
        let store = opened.ok_or(ControlError::Closed)??;
        Ok(Self { store, site, tasks, served: watch::Sender::new(0) })
    }

    /// Runs a change and returns its value with the revision that has it.
    pub(super) async fn transact<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnMut(&mut Txn) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<control::Committed<T>, E>, ControlError> {
        let store = self.store.clone();
        let done = on(self.tasks.runtime(), async move { store.transact(work).await }).await;
        done.unwrap_or(Err(ControlError::Closed))
    }

    /// Waits until this node serves what the store has.
    pub(super) async fn in_force(&self) {
        let mut served = self.served.subscribe();
        // The sender is here, so the wait cannot fail.
        served.wait_for(|served| *served > 0).await.ok();
    }

    /// Ends the store's tasks and closes the database.
    pub(super) async fn close(&self) {
        self.tasks.draining().cancel();
        self.tasks.stopped().cancel();
        let tasks = self.tasks.clone();
        on(self.tasks.runtime(), async move { tasks.ended().await }).await;
    }
}

/// Runs a future of the store on its runtime. The caller's runtime sees a thread at work, so a
/// clock that stands still when nobody works does not run ahead.
async fn on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let runtime = runtime.clone();
    Handle::current().spawn_blocking(move || runtime.block_on(work)).await.ok()
}

// ---- from a change to the edges

/// Puts states in force.
pub(super) struct Publisher {
    core: Arc<Core>,
    control: Control,
    doors: Doors,
    known: Mutex<Known>,
}

impl Publisher {
    pub(super) fn new(core: &Arc<Core>, control: &Control, doors: Doors) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(core),
            control: control.clone(),
            doors,
            known: Mutex::default(),
        })
    }

    /// Serves the newest state, and tells the cluster. Blocks while it compiles what changed.
    pub(super) fn publish(&self) {
        let state = self.control.store.current();
        let core = &self.core;
        let deployments = &core.gateway.deployments;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let timeouts = &core.common.timeouts;
        let published = publisher::publish(
            deployments,
            state.revision,
            &state,
            &mut known,
            self.doors,
            timeouts,
        );
        drop(known);
        core.take_certificates();
        for unserved in &published.unserved {
            tracing::warn!(what = unserved.what, reason = unserved.reason, "This is not served.");
        }
        core.gossip.set(Key::ConfigEpoch, &state.revision.to_string());
        if let Some(edges) = &core.edges {
            edges.push(Push::Config { epoch: state.revision });
        }
        self.control.served.send_replace(state.revision);
    }

    /// Starts the task that publishes whatever the store is told, by whichever process.
    pub(super) fn watch(self: Arc<Self>) {
        let tasks = self.core.tasks.clone();
        let mut changes = self.control.store.changes();
        tasks.clone().spawn(async move {
            loop {
                tokio::select! {
                    () = tasks.stopped().cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
                changes.mark_unchanged();
                let publisher = Arc::clone(&self);
                let published = tasks.runtime().spawn_blocking(move || publisher.publish()).await;
                // It panicked, or the runtime ends.
                if published.is_err() {
                    tracing::error!(
                        "A change could not be put in force; the node serves as before."
                    );
                }
            }
        });
    }
}

// ---- the seams of the control plane

/// The control plane on the admin listener.
pub(super) fn plane(core: &Arc<Core>, control: &Control, open: bool) -> ControlPlane {
    let clock = core.gateway.clock.clone();
    let gate = Gate { site: control.site.clone(), clock: clock.clone(), open };
    ControlPlane::new(
        control.site.clone(),
        clock,
        Arc::new(StoreKeeper { control: control.clone() }),
        Arc::new(Guard { gate, control: control.clone() }),
        Arc::new(DataPlane { core: Arc::downgrade(core), control: control.clone() }),
    )
}

struct StoreKeeper {
    control: Control,
}

#[async_trait]
impl Keeper for StoreKeeper {
    fn current(&self) -> Arc<State> {
        self.control.store.current()
    }

    async fn transact(&self, work: Work) -> Result<Committed, ApiError> {
        let done = self.control.transact(work).await.map_err(refused)?;
        let control::Committed { value: done, revision } = done?;
        let mut served = self.control.served.subscribe();
        let wait = served.wait_for(|served| *served >= revision);
        if tokio::time::timeout(SERVED_WITHIN, wait).await.is_err() {
            tracing::warn!(revision, "A change is kept, but this node does not serve it yet.");
        }
        Ok(Committed { done, revision })
    }
}

/// The caller hears AWS's words, the log the cause.
fn refused(error: ControlError) -> ApiError {
    tracing::error!(%error, "The control plane's store did not take a change.");
    match error {
        ControlError::Busy { .. } => ApiError::new(ErrorKind::TooManyRequests, "Too Many Requests"),
        ControlError::TooLarge { .. } => ApiError::bad_request(error.to_string()),
        _ => ApiError::new(ErrorKind::ServiceUnavailable, "Service Unavailable"),
    }
}

struct Guard {
    gate: Gate,
    control: Control,
}

#[async_trait]
impl Gatekeeper for Guard {
    async fn admit(&self, parts: &Parts, body: &Bytes, wanted: Wanted<'_>) -> Result<(), ApiError> {
        let Wanted { action, resource, source_ip } = wanted;
        let wish = Wish { service: "apigateway", action, resource, source_ip: Some(source_ip) };
        self.gate.admit(&self.control.store.current(), parts, body, wish).map(drop)
    }

    fn verifies(&self) -> bool {
        !self.gate.open
    }

    async fn answer_other(&self, parts: &Parts, body: &Bytes) -> Option<Response<Bytes>> {
        if !sts::is_get_caller_identity(parts, body) {
            return None;
        }
        // No policy is asked, so nobody wants to know from where.
        let wish = Wish {
            service: "sts",
            action: "sts:GetCallerIdentity",
            resource: "*",
            source_ip: None,
        };
        let id = Uuid::new_v4().to_string();
        let admitted = self.gate.admit(&self.control.store.current(), parts, body, wish);
        let (status, text) = match admitted {
            Ok(caller) => (200, sts::get_caller_identity(&caller, &self.gate.site, &id)),
            Err(error) => (error.kind.status(), sts::refusal(&error, &id)),
        };
        let mut answer = Response::new(Bytes::from(text));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        Some(answer)
    }
}

/// The node owns its control plane, so the way back is weak.
struct DataPlane {
    core: Weak<Core>,
    control: Control,
}

#[async_trait]
impl Effects for DataPlane {
    async fn run(&self, effects: Vec<Effect>, _revision: u64) -> Result<(), ApiError> {
        for effect in effects {
            match effect {
                Effect::FlushStage { api, stage } => self.flush(&api, &stage).await?,
                // Nothing of authorizers is cached while there are none.
                Effect::FlushAuthorizers { .. } => {}
            }
        }
        Ok(())
    }

    async fn test_invoke_method(&self, call: TestInvokeMethod) -> Result<Body, ApiError> {
        let core = self.core()?;
        let Origin::Integration(integrations) = &core.gateway.origin else {
            return Err(ApiError::new(ErrorKind::Internal, "This node runs no integrations"));
        };
        let most = core.common.timeouts.integration_max.as_millis();
        let limits = Limits { integration_timeout_max_ms: u32::try_from(most).unwrap_or(u32::MAX) };
        let (site, state) = (&self.control.site, self.control.store.current());
        test_invoke::method(&call, integrations, site, &core.gateway.clock, &limits, &state).await
    }

    async fn test_invoke_authorizer(&self, call: TestInvokeAuthorizer) -> Result<Body, ApiError> {
        test_invoke::authorizer(&call)
    }
}

impl DataPlane {
    fn core(&self) -> Result<Arc<Core>, ApiError> {
        let stopping = || ApiError::new(ErrorKind::ServiceUnavailable, "Service Unavailable");
        self.core.upgrade().ok_or_else(stopping)
    }

    async fn flush(&self, api: &str, stage: &str) -> Result<(), ApiError> {
        let request =
            PurgeRequest { api: ApiId::new(api), stage: StageName::new(stage), path: None };
        match self.core()?.purge(request).await {
            Ok(outcome) => {
                let late = outcome.nodes.iter().filter(|node| !node.confirmed).count();
                if late > 0 {
                    tracing::warn!(late, "Nodes drop flushed answers when they are back.");
                }
                Ok(())
            }
            // A stage that is kept and not served has nothing cached.
            Err(AdminError::UnknownStage { .. }) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "A cache could not be flushed.");
                Err(ApiError::new(ErrorKind::ServiceUnavailable, "Service Unavailable"))
            }
        }
    }
}
