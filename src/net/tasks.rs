//! Tasks of a node: every one is tracked, and all are told to stop together.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns on a runtime and keeps count. Clones share the count and the stop signals.
#[derive(Clone, Debug)]
pub struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    draining: CancellationToken,
    stopped: CancellationToken,
}

impl Tasks {
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
        }
    }

    /// The same tasks, spawned on another runtime from here on.
    pub fn on(&self, runtime: Handle) -> Self {
        Self { runtime, ..self.clone() }
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(future, &self.runtime)
    }

    /// Take no new work; finish what is in flight.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// The grace is over: let go of everything.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Resolves when every tracked task has ended. Call after `stopped` was cancelled.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
