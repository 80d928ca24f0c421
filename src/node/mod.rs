//! Fill `Gateway`, start tasks, stop them in order.
//!
//! An edge and the region are two short files that fill the same parts differently; what they have
//! in common is laid by `foundation`, watched by `gauges`, shown by `operator` and taken down by
//! `shutdown`.

mod backing;
pub mod config;
mod control;
pub mod documents;
mod edge;
mod foundation;
mod gauges;
pub mod identity;
mod operator;
pub mod petstore;
pub mod publisher;
mod region;
mod services;
mod shutdown;
mod switchboard;
pub mod test_invoke;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::runtime::Handle;

use crate::admin::http::{Admin, AdminError, PurgeOutcome, PurgeRequest};
use crate::admin::iam::users::NewKey;
use crate::admin::status::ClusterStatus;
use crate::integration::lambda::local::LocalError;
use crate::listener::ListenerError;
use crate::model::problem::Problems;
use crate::net::ca::CaError;
use crate::net::clock::Clock;
use crate::net::quic::QuicError;
use crate::net::socket::Network;
use crate::node::config::NodeConfig;
use crate::node::foundation::Core;
use crate::node::identity::Identity;
use crate::store::StoreError;
use crate::store::control::ControlError;

/// What a node runs on: the machine's, or a test's.
#[derive(Clone, Debug)]
pub struct Environment {
    pub network: Arc<dyn Network>,
    pub clock: Clock,
    /// Gossip, tunnel, admin listener, files.
    pub control: Handle,
    /// The region's store; in production the same as `control`.
    pub store: Handle,
    /// Calls; at least one. Each is a thread of its own in production.
    pub workers: Vec<Handle>,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API documents are at fault.
    #[error("{0}")]
    Documents(Problems),
    #[error("{0}")]
    Deployment(String),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error(transparent)]
    Quic(#[from] QuicError),
    #[error(transparent)]
    Certificate(#[from] CaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("control plane: {0}")]
    Control(#[from] ControlError),
    #[error(transparent)]
    Function(#[from] LocalError),
    #[error("cannot listen on {address} for the admin listener: {source}")]
    Admin { address: SocketAddr, source: std::io::Error },
    #[error("cannot read CA certificates from {}: {cause}", path.display())]
    Roots { path: PathBuf, cause: String },
    #[error("the pet store's backend: {0}")]
    PetStore(std::io::Error),
    /// A secret's file, or an address.
    #[error("functions and services: {0}")]
    Services(String),
}

impl StartError {
    /// Whether what the user wrote is at fault, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            StartError::Documents(_)
                | StartError::Deployment(_)
                | StartError::Function(_)
                | StartError::Roots { .. }
                | StartError::Services(_)
        )
    }
}

/// A node that runs. Dropping it does not stop it; [`Node::stop`] does.
pub struct Node {
    core: Arc<Core>,
    /// Where clients connect.
    pub public: Option<SocketAddr>,
    pub private: Option<SocketAddr>,
    pub plain: Option<SocketAddr>,
    pub admin: SocketAddr,
    pub tunnel: Option<SocketAddr>,
    /// The administrator's access key, when this start was the region's first: to be shown once.
    pub first_key: Option<NewKey>,
}

impl fmt::Debug for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Node").field("name", &self.core.common.name).finish_non_exhaustive()
    }
}

/// Starts a node and returns when its listeners are open. An edge serves its copy on disk at once
/// and goes on without the region; [`Node::ready`] says what is still missing.
///
/// # Errors
/// Everything that keeps it from starting; nothing is left running then.
pub async fn start(
    config: NodeConfig,
    identity: Identity,
    environment: Environment,
) -> Result<Node, StartError> {
    let started = match config {
        NodeConfig::Region(config) => Box::pin(region::start(*config, identity, environment)).await,
        NodeConfig::Edge(config) => edge::start(*config, identity, environment).await,
    };
    let (node, tasks) = started;
    if node.is_err() {
        tasks.draining().cancel();
        tasks.stopped().cancel();
        tasks.ended().await;
    }
    node
}

/// Where an API answers, as the ready lines and `status` print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrls {
    pub id: String,
    pub name: String,
    pub stage: String,
    pub endpoint_type: &'static str,
    /// Host name of the API's own; clients add the port and the stage.
    pub host: String,
    /// A path below the stage that a plain GET can ask for, for examples.
    pub example: String,
}

/// A path as a shell understands it, from whatever folder.
fn pasted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

impl Node {
    pub fn name(&self) -> &str {
        self.core.common.name.as_str()
    }

    /// `edge` or `region`.
    pub fn role(&self) -> &'static str {
        self.core.role
    }

    /// Where it can be reached, as the end of its ready line.
    pub fn doors(&self) -> String {
        let mut text = String::new();
        let mut door = |name: &str, scheme: &str, address: Option<SocketAddr>| {
            if let Some(address) = address {
                text.push_str(&format!("  {name} {scheme}{address}"));
            }
        };
        door("public", "https://", self.public);
        door("private", "https://", self.private);
        door("redirect", "http://", self.plain);
        let admin = if self.core.common.admin.https { "https://" } else { "http://" };
        door("admin", admin, Some(self.admin));
        door("tunnel", "udp://", self.tunnel);
        text
    }

    /// One line for each API that clients reach at this node, with a curl line that works.
    pub fn api_lines(&self, ca: Option<&Path>) -> Vec<String> {
        let line = |api: ApiUrls| {
            let door = match (self.core.role, api.endpoint_type) {
                ("edge", "EDGE") => self.public,
                ("region", "REGIONAL") => self.public,
                ("region", "EDGE") if self.core.gateway.deployments.site().regional_only => {
                    self.public
                }
                ("region", "PRIVATE") => self.private,
                _ => None,
            }?;
            let url = format!("https://{}:{}/{}", api.host, door.port(), api.stage);
            let trust = ca.map_or_else(String::new, |ca| format!("--cacert {} ", pasted(ca)));
            // A name below `localhost` is this machine to curl; elsewhere it is told where to go.
            let connect = if api.host.ends_with(".localhost") && door.ip().is_loopback() {
                String::new()
            } else {
                format!("--connect-to ::{door} ")
            };
            Some(format!(
                "api {} stage {} ({}) at {}: {url}\n  curl {trust}{connect}{url}{}",
                api.id,
                api.stage,
                api.endpoint_type,
                self.name(),
                api.example
            ))
        };
        self.apis().into_iter().filter_map(line).collect()
    }

    /// Whether calls would be answered now; otherwise everything that is missing.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        self.core.ready()
    }

    /// The configuration in force; 0 is none.
    pub fn epoch(&self) -> u64 {
        self.core.gateway.deployments.epoch()
    }

    /// The stages this node serves.
    pub fn apis(&self) -> Vec<ApiUrls> {
        self.core.apis()
    }

    /// OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.core.metrics.encode()
    }

    /// How the cluster looks from here.
    pub fn status(&self) -> ClusterStatus {
        self.core.status()
    }

    /// Drops cached answers on all nodes: region only.
    ///
    /// # Errors
    /// [`AdminError`]: an unknown stage, a bad glob, a log that cannot be written.
    pub async fn purge(&self, request: PurgeRequest) -> Result<PurgeOutcome, AdminError> {
        self.core.purge(request).await
    }

    /// Leaves in order: gossip, accept no more, let calls finish within the grace, flush.
    pub async fn stop(self) {
        shutdown::stop(self.core).await;
    }

    /// Stops at once, as far as a process can do that to itself: for tests that crash a node.
    pub async fn kill(self) {
        shutdown::kill(&self.core).await;
    }
}

/// Stops nodes together: all say so at once, since none of them needs to hear it for long; then the
/// edges stop, so that their calls in flight still find the region, and then the region.
pub async fn stop_all(nodes: Vec<Node>) {
    join_all(nodes.iter().map(|node| node.core.gossip.leave())).await;
    let (regions, edges): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| node.core.tunnel.is_none());
    join_all(edges.into_iter().map(Node::stop)).await;
    join_all(regions.into_iter().map(Node::stop)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(pasted(Path::new("/tmp/a-b/ca.pem")), "/tmp/a-b/ca.pem");
        assert_eq!(pasted(Path::new("/tmp/a b/ca.pem")), "'/tmp/a b/ca.pem'");
        assert_eq!(pasted(Path::new("/tmp/a'b/$x")), r"'/tmp/a'\''b/$x'");
        assert!(pasted(Path::new("data/ca.pem")).starts_with(['/', '\'']));
    }
}
