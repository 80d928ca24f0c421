//! Files that change: looked at from time to time, read again as a whole.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{kept, read};
use crate::node::config::{ApiConfig, Doors};
use crate::node::control::Control;
use crate::node::foundation::Core;

/// How often files are looked at; editors write in bursts, so a change is seen whole.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time, size and number of a file: what tells that it changed. The number is for editors that put
/// a new file in the old one's place within one tick of the file system's clock.
pub(in crate::node) type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn files(apis: &[ApiConfig]) -> Vec<PathBuf> {
    apis.iter().filter_map(|api| api.file().map(PathBuf::from)).collect()
}

/// The stamps of all definitions. To be taken before they are read: a change in between is then
/// seen at the next look.
pub(in crate::node) fn stamps(apis: &[ApiConfig]) -> Vec<Stamp> {
    files(apis).iter().map(stamp).collect()
}

/// Starts the task that takes over documents that changed since `seen`.
pub(in crate::node) fn start(
    core: &Arc<Core>,
    control: &Control,
    apis: Vec<ApiConfig>,
    doors: Doors,
    mut seen: Vec<Stamp>,
) {
    let files = files(&apis);
    if files.is_empty() {
        return;
    }
    let (core, control) = (Arc::clone(core), control.clone());
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
            match reread(&core, &control, apis.clone(), doors).await {
                Ok(revision) => {
                    tracing::info!(revision, "API documents changed and are in force.");
                }
                Err(problems) => tracing::error!(
                    "API documents changed, but the APIs stay as they were:\n{problems}"
                ),
            }
        }
    });
}

async fn reread(
    core: &Core,
    control: &Control,
    apis: Vec<ApiConfig>,
    doors: Doors,
) -> Result<u64, String> {
    let (site, timeouts) = (control.site.clone(), core.common.timeouts.clone());
    let reading = core.tasks.runtime().spawn_blocking(move || read(&apis, &site, &timeouts, doors));
    let imported = reading.await.map_err(|_| "reading them failed".to_owned())?;
    let imported = imported.map_err(|problems| problems.to_string())?;
    let now = core.gateway.clock.now();
    kept::commit(control, imported, now).await.map_err(|error| error.to_string())
}
