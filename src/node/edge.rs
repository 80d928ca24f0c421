//! An edge: the tunnel behind the cut, clients in front.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::admin;
use crate::call::Door;
use crate::gossip::Key;
use crate::listener::{Bound, Speaks};
use crate::net::tasks::Tasks;
use crate::node::config::EdgeConfig;
use crate::node::foundation::{Filled, Foundation, named};
use crate::node::identity::Identity;
use crate::node::switchboard::{self, Switchboard};
use crate::node::{Environment, Node, StartError, gauges, operator};
use crate::pipeline::Origin;
use crate::pipeline::door::Clients;
use crate::tunnel::{self, Tunnel};

/// Events of the tunnel that may wait for the switchboard. Each is the newest of its kind.
const EVENTS: usize = 64;

pub(super) async fn start(
    config: EdgeConfig,
    identity: Identity,
    environment: Environment,
) -> (Result<Node, StartError>, Tasks) {
    let tasks = Tasks::new(environment.control.clone());
    (fill(config, identity, environment, &tasks), tasks)
}

fn fill(
    config: EdgeConfig,
    identity: Identity,
    environment: Environment,
    tasks: &Tasks,
) -> Result<Node, StartError> {
    let EdgeConfig { common, pop, public, plain, regions } = config;
    let foundation = Foundation::lay(common, false, identity, environment, tasks)?;
    let deployments = Arc::new(foundation.deployments());
    // A damaged copy is no reason not to start: the region has the original.
    if let Err(error) = deployments.load() {
        tracing::warn!(%error, "The configuration's copy on disk cannot be used.");
    }

    let public = foundation.bind(Door::Edge, public, foundation.https())?;
    let secure = public.local_addr().port();
    let plain = plain
        .map(|address| foundation.bind(Door::Edge, address, Speaks::RedirectTo(secure)))
        .transpose()?;
    let admin = foundation.bind_admin()?;
    let admin_address = admin.local_addr().unwrap_or(foundation.common.admin.listen);
    let certificates = foundation.certificates()?;

    let (events, heard) = mpsc::channel(EVENTS);
    let mut dial = tunnel::Config::new(regions);
    dial.applied_epoch = deployments.epoch();
    dial.purged_seq = foundation.purges.newest_seq();
    let tunnel = Tunnel::start(
        dial,
        Arc::clone(&foundation.environment.network),
        &foundation.identity.certificate,
        tasks,
        &foundation.environment.clock,
        events,
    )?;
    let gateway = foundation.gateway(deployments, Origin::Region(tunnel.clone()));
    let gossip = foundation.gossip(vec![
        (Key::Pop, pop),
        (Key::ListenersAdmin, admin_address.to_string()),
        (Key::ListenersPublic, public.local_addr().to_string()),
    ])?;
    let (public, plain) = (Some(public), plain);
    let listeners = named([("public", &public), ("private", &None), ("plain", &plain)]);
    let filled = Filled {
        role: "edge",
        gateway,
        gossip,
        listeners,
        edges: None,
        tunnel: Some(tunnel.clone()),
        certificates: Arc::clone(&certificates),
    };
    let core = foundation.core(filled, None);
    core.take_certificates();
    core.announce();
    switchboard::start(Switchboard { core: Arc::clone(&core), tunnel }, heard);
    gauges::watch(&core);

    let [public_at, plain_at] =
        [&public, &plain].map(|bound| bound.as_ref().map(Bound::local_addr));
    let tls = operator::tls(&core, &certificates)?;
    admin::http::serve(operator::config(&core.common), admin, tls, core.clone(), tasks);
    for bound in [public, plain].into_iter().flatten() {
        bound.serve(Clients { gateway: Arc::clone(&core.gateway) }, &certificates)?;
    }
    Ok(Node {
        core,
        public: public_at,
        private: None,
        plain: plain_at,
        admin: admin_address,
        tunnel: None,
        first_key: None,
    })
}
