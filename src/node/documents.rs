//! The region's API definitions: read at start, read again when a file changes.
//!
//! A definition that cannot be read or compiled changes nothing: the APIs stay as they were, and
//! the log says file, line and why.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};

use crate::deployment::part;
use crate::gossip::Key;
use crate::model::ids::{ApiId, DeploymentId};
use crate::model::problem::Problems;
use crate::model::stage::StageDeployment;
use crate::node::StartError;
use crate::node::config::{ApiConfig, Doors, TimeoutsConfig};
use crate::node::foundation::Core;
use crate::store::StoreError;
use crate::store::parts::Manifest;
use crate::tunnel::Push;

/// How often files are looked at; editors write in bursts, so a change is seen whole.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads all definitions; the problems are those of all of them.
pub(super) fn read(
    apis: &[ApiConfig],
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Result<Vec<StageDeployment>, Problems> {
    let mut deployments = Vec::with_capacity(apis.len());
    let mut problems = Problems::default();
    for api in apis {
        match deployment(api, timeouts, doors) {
            Ok(deployment) => deployments.push(deployment),
            Err(found) => problems.extend(found),
        }
    }
    problems.into_result().map(|()| deployments)
}

fn deployment(
    config: &ApiConfig,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Result<StageDeployment, Problems> {
    let mut deployment = StageDeployment {
        deployment_id: DeploymentId::new(""),
        api: config.load(timeouts, doors)?,
        stage: config.stage.clone(),
        domains: config.domains.clone(),
    };
    deployment.deployment_id = deployment_id(&deployment);
    Ok(deployment)
}

/// Derived from the content, so that an unchanged document keeps its deployment over a restart.
fn deployment_id(deployment: &StageDeployment) -> DeploymentId {
    let content = serde_json::to_vec(deployment).unwrap_or_default();
    let digest = digest(&SHA256, &content);
    let text: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    DeploymentId::new(ApiId::derived(&text).as_str())
}

/// Puts deployments in force under a new epoch, unless what edges see of them is unchanged, and
/// tells the cluster.
pub(super) fn publish(core: &Core, deployments: &[StageDeployment]) -> Result<u64, StartError> {
    let before = core.gateway.deployments.manifest();
    let serve = |epoch| {
        let served = core.gateway.deployments.publish(epoch, deployments);
        served.map_err(|err| StartError::Deployment(err.to_string()))
    };
    // A trial under the old number: what cannot be compiled must not use up an epoch.
    serve(before.epoch)?;
    let mut after = core.gateway.deployments.manifest();
    let mut epoch = core.epoch.lock().unwrap_or_else(PoisonError::into_inner);
    let known = core.parts.manifest()?;
    if known.as_ref().is_none_or(|known| known.parts != after.parts) {
        after.epoch = epoch.advance()?;
    } else {
        after.epoch = epoch.current();
    }
    serve(after.epoch)?;
    drop(epoch);
    remember(core, &after)?;
    core.gossip.set(Key::ConfigEpoch, &after.epoch.to_string());
    if let Some(edges) = &core.edges {
        edges.push(Push::Config { epoch: after.epoch });
    }
    Ok(after.epoch)
}

/// So that a restart with the same documents keeps the epoch.
fn remember(core: &Core, manifest: &Manifest) -> Result<(), StoreError> {
    for part in &manifest.parts {
        let hash = part::from_hex(&part.hash);
        if let Some(bytes) = hash.and_then(|hash| core.gateway.deployments.part(&hash)) {
            core.parts.put(&bytes)?;
        }
    }
    core.parts.set_manifest(manifest)?;
    core.parts.retain(manifest).map(drop)
}

/// Time, size and number of a file: what tells that it changed. The number is for editors that put
/// a new file in the old one's place within one tick of the file system's clock.
pub(super) type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn files(apis: &[ApiConfig]) -> Vec<PathBuf> {
    apis.iter().filter_map(|api| api.file().map(PathBuf::from)).collect()
}

/// The stamps of all definitions. To be taken before they are read: a change in between is then
/// seen at the next look.
pub(super) fn stamps(apis: &[ApiConfig]) -> Vec<Stamp> {
    files(apis).iter().map(stamp).collect()
}

/// Starts the task that publishes documents that changed since `seen`.
pub(super) fn watch(core: &Arc<Core>, apis: Vec<ApiConfig>, doors: Doors, mut seen: Vec<Stamp>) {
    let files = files(&apis);
    if files.is_empty() {
        return;
    }
    let core = Arc::clone(core);
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let draining = core.tasks.draining().clone();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now: Vec<Stamp> = files.iter().map(stamp).collect();
            if now == seen {
                continue;
            }
            seen = now;
            let (core, apis) = (Arc::clone(&core), apis.clone());
            let reread = core.tasks.runtime().clone().spawn_blocking(move || {
                reread(&core, &apis, doors);
            });
            if reread.await.is_err() {
                tracing::error!(
                    "Reading the API documents again failed; the APIs stay as they were."
                );
            }
        }
    });
}

fn reread(core: &Core, apis: &[ApiConfig], doors: Doors) {
    let read = read(apis, &core.common.timeouts, doors);
    let published = match read {
        Err(problems) => Err(problems.to_string()),
        Ok(deployments) => publish(core, &deployments).map_err(|err| err.to_string()),
    };
    match published {
        Ok(epoch) => tracing::info!(epoch, "API documents changed and are in force."),
        Err(problems) => {
            tracing::error!("API documents changed, but the APIs stay as they were:\n{problems}");
        }
    }
}
