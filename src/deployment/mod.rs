//! What was deployed, compiled: model in, immutable `Snapshot` out; hold it, fetch it, spread it.
//!
//! The region compiles what its documents say and publishes it under a new epoch; an edge fetches
//! the parts whose content it does not have yet, verifies them, keeps them on disk and compiles
//! the same stages. Readers take the current snapshot without a lock; a swap is one pointer.
//!
//! A change compiles what it changed: a stage whose content bears the fingerprint it was compiled
//! under is taken over as it is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use crate::call::Call;
use crate::model::ids::{ApiId, StageName};
use crate::model::stage::StageDeployment;
use crate::store::StoreError;
use crate::store::parts::{Manifest, PartRef, Parts};

pub mod compile;
pub mod definition;
pub mod domains;
pub mod part;
pub mod router;
pub mod snapshot;
pub mod source;

use compile::{Compiler, DeploymentError};
use domains::Domains;
use part::{Part, PartError};
use snapshot::{PartHash, ResolveError, Resolved, Site, Snapshot, Stage};
use source::{Source, SourceError};

/// Snapshots the region keeps, so that it can answer with the route an edge resolved shortly
/// before a change.
const RECENT_SNAPSHOTS: usize = 4;

/// The current snapshot of a node, and how it gets the next.
#[derive(Debug)]
pub struct Deployments {
    current: ArcSwap<Snapshot>,
    recent: Mutex<VecDeque<Arc<Snapshot>>>,
    compiler: Compiler,
    /// What was published last; held while the region publishes, and readers never meet it.
    published: Mutex<Published>,
    /// Parts by hash: what the region hands out.
    shelf: Mutex<HashMap<PartHash, Arc<Vec<u8>>>>,
    disk: Option<Parts>,
    /// Held while a refresh runs; readers never meet it.
    refreshing: tokio::sync::Mutex<()>,
}

type Published = HashMap<(ApiId, StageName), Compiled>;

/// A stage and what it was compiled from.
#[derive(Clone, Debug)]
struct Compiled {
    fingerprint: Fingerprint,
    stage: Arc<Stage>,
}

/// Says that two contents of a stage are the same without keeping either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of whatever decides the content, such as the content itself or the revision of its source.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn of(content: &impl Serialize) -> Result<Self, PartError> {
        let bytes = serde_json::to_vec(content)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Ok(Self(hash))
    }
}

/// A stage as it should be served from now on.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub api: ApiId,
    pub stage: StageName,
    pub fingerprint: Fingerprint,
    /// `None`: as it was published under this very fingerprint.
    pub content: Option<Box<StageDeployment>>,
}

/// What publishing a change did.
#[derive(Debug, Default)]
pub struct Changed {
    /// The stages that were compiled; their parts are new to edges.
    pub compiled: Vec<PartRef>,
    /// The stages that could not be compiled. Each stays as it was, if it was there.
    pub failed: Vec<Failed>,
}

#[derive(Debug)]
pub struct Failed {
    pub api: ApiId,
    pub stage: StageName,
    pub error: DeploymentError,
}

/// A stage is wanted as it was, and was never published so: its content must be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("API `{api}`, stage `{stage}` has not been published under this fingerprint")]
pub struct Forgotten {
    pub api: ApiId,
    pub stage: StageName,
}

/// Why a node could not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("copy on disk: {0}")]
    Disk(#[from] StoreError),
    #[error("the manifest names part `{0}`, which is no hash or not held")]
    UnknownPart(String),
}

impl Deployments {
    pub fn new(compiler: Compiler, disk: Option<Parts>) -> Self {
        let empty = Snapshot { site: Arc::clone(&compiler.site), ..Snapshot::default() };
        Self {
            current: ArcSwap::from_pointee(empty),
            recent: Mutex::default(),
            compiler,
            published: Mutex::default(),
            shelf: Mutex::default(),
            disk,
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    pub fn site(&self) -> &Arc<Site> {
        &self.compiler.site
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    pub fn epoch(&self) -> u64 {
        self.current.load().epoch
    }

    /// Finds the route of a call in the current snapshot.
    pub fn resolve(&self, call: &Call) -> Result<Resolved, ResolveError> {
        self.current.load().resolve(call)
    }

    /// Finds the route an edge resolved, in the current or a recent snapshot.
    pub fn resolve_for_edge(
        &self,
        api: &str,
        stage: &str,
        hash: &PartHash,
        call: &Call,
    ) -> Option<Resolved> {
        let found = self.current.load().resolve_for_edge(api, stage, hash, call);
        found.or_else(|| {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner).clone();
            recent.iter().find_map(|old| old.resolve_for_edge(api, stage, hash, call))
        })
    }

    /// Region: serves these stages from now on. Nothing changes when one cannot be compiled.
    pub fn publish(
        &self,
        epoch: u64,
        deployments: &[StageDeployment],
    ) -> Result<(), DeploymentError> {
        let mut published = self.published();
        let mut next = Vec::with_capacity(deployments.len());
        let mut parts = Vec::new();
        for deployment in deployments {
            let key = (deployment.api.id.clone(), deployment.stage.name.clone());
            let fingerprint = Fingerprint::of(deployment)?;
            let known = published.get(&key).filter(|known| known.fingerprint == fingerprint);
            let compiled = match known {
                Some(known) => known.clone(),
                None => {
                    let (stage, part) = self.compiler.region(deployment)?;
                    parts.push(part);
                    Compiled { fingerprint, stage: Arc::new(stage) }
                }
            };
            next.push((key, compiled));
        }
        self.put_in_force(epoch, &mut published, next, parts);
        Ok(())
    }

    /// Region: serves these stages from now on, and compiles those that changed. A stage that
    /// cannot be compiled stays as it was; it keeps no other from changing.
    ///
    /// # Errors
    /// Nothing changes when a stage without content is unknown.
    pub fn publish_changed(&self, epoch: u64, wanted: Vec<Wanted>) -> Result<Changed, Forgotten> {
        let mut published = self.published();
        let mut next = Vec::with_capacity(wanted.len());
        let mut parts = Vec::new();
        let mut changed = Changed::default();
        for Wanted { api, stage, fingerprint, content } in wanted {
            let key = (api.clone(), stage.clone());
            let known = published.get(&key);
            let same = known.filter(|known| known.fingerprint == fingerprint);
            if let Some(same) = same {
                next.push((key, same.clone()));
                continue;
            }
            let Some(content) = content else { return Err(Forgotten { api, stage }) };
            match self.compiler.region(&content) {
                Ok((compiled, part)) => {
                    let hash = part::hex(&part.hash);
                    changed.compiled.push(PartRef { api_id: api, stage, hash });
                    parts.push(part);
                    next.push((key, Compiled { fingerprint, stage: Arc::new(compiled) }));
                }
                Err(error) => {
                    next.extend(known.map(|known| (key, known.clone())));
                    changed.failed.push(Failed { api, stage, error });
                }
            }
        }
        self.put_in_force(epoch, &mut published, next, parts);
        Ok(changed)
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_in_force(
        &self,
        epoch: u64,
        published: &mut Published,
        next: Vec<((ApiId, StageName), Compiled)>,
        parts: Vec<Part>,
    ) {
        self.shelve(parts);
        self.swap(epoch, next.iter().map(|(_, known)| Arc::clone(&known.stage)).collect());
        *published = next.into_iter().collect();
    }

    /// Keeps the newest parts and, for edges that are still fetching, those of the snapshots that
    /// are kept as well.
    fn shelve(&self, parts: Vec<Part>) {
        let mut kept: HashSet<PartHash> = self.current().stages().map(|stage| stage.hash).collect();
        for old in &*self.recent.lock().unwrap_or_else(PoisonError::into_inner) {
            kept.extend(old.stages().map(|stage| stage.hash));
        }
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.retain(|hash, _| kept.contains(hash));
        shelf.extend(parts.into_iter().map(|part| (part.hash, Arc::new(part.bytes))));
    }

    /// The list of parts this node serves.
    pub fn manifest(&self) -> Manifest {
        let snapshot = self.current.load();
        let mut parts: Vec<PartRef> = snapshot
            .stages()
            .map(|stage| PartRef {
                api_id: stage.api.clone(),
                stage: stage.name.clone(),
                hash: part::hex(&stage.hash),
            })
            .collect();
        parts.sort_by(|a, b| (&a.api_id, &a.stage).cmp(&(&b.api_id, &b.stage)));
        Manifest { epoch: snapshot.epoch, parts }
    }

    /// A part's bytes, for an edge that asks.
    pub fn part(&self, hash: &PartHash) -> Option<Arc<Vec<u8>>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// Edge: takes over what the source has now. Returns whether anything changed.
    pub async fn refresh(&self, source: &Source) -> Result<bool, RefreshError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let manifest = source.manifest().await?;
        if manifest.epoch == 0 {
            // To take this over would be to forget what is served, on the disk as well.
            return Err(SourceError::NothingYet.into());
        }
        if manifest.epoch == self.epoch() && manifest.parts == self.manifest().parts {
            return Ok(false);
        }
        let current = self.current();
        let mut stages = Vec::with_capacity(manifest.parts.len());
        for listed in &manifest.parts {
            let hash = hash_of(listed)?;
            let known = current.stage(listed.api_id.as_str(), listed.stage.as_str());
            if let Some(stage) = known.filter(|stage| stage.hash == hash) {
                stages.push(Arc::clone(stage));
                continue;
            }
            let bytes = source.part(&hash).await?;
            stages.push(Arc::new(self.compile_part(&hash, &bytes)?));
            if let Some(disk) = &self.disk {
                disk.put_verified(&listed.hash, &bytes)?;
            }
        }
        if let Some(disk) = &self.disk {
            disk.set_manifest(&manifest)?;
            disk.retain(&manifest)?;
        }
        self.swap(manifest.epoch, stages);
        Ok(true)
    }

    /// Edge: starts from the copy on disk, when the region may be away. Returns the epoch found.
    pub fn load(&self) -> Result<Option<u64>, RefreshError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        let Some(manifest) = disk.manifest()? else { return Ok(None) };
        let mut stages = Vec::with_capacity(manifest.parts.len());
        for listed in &manifest.parts {
            let hash = hash_of(listed)?;
            let bytes = disk.get(&listed.hash)?;
            let bytes = bytes.ok_or_else(|| RefreshError::UnknownPart(listed.hash.clone()))?;
            stages.push(Arc::new(self.compile_part(&hash, &bytes)?));
        }
        self.swap(manifest.epoch, stages);
        Ok(Some(manifest.epoch))
    }

    fn compile_part(&self, hash: &PartHash, bytes: &[u8]) -> Result<Stage, DeploymentError> {
        let deployment = part::read(hash, bytes)?;
        self.compiler.stage(&deployment, *hash)
    }

    fn swap(&self, epoch: u64, stages: Vec<Arc<Stage>>) {
        let mut apis: HashMap<Box<str>, Vec<Arc<Stage>>> = HashMap::new();
        let domains = Domains::of(&stages);
        for stage in stages {
            apis.entry(stage.api.as_str().into()).or_default().push(stage);
        }
        let site = Arc::clone(&self.compiler.site);
        let next = Snapshot { epoch, apis, domains, site };
        let previous = self.current.swap(Arc::new(next));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front(previous);
        recent.truncate(RECENT_SNAPSHOTS);
    }
}

fn hash_of(listed: &PartRef) -> Result<PartHash, RefreshError> {
    part::from_hex(&listed.hash).ok_or_else(|| RefreshError::UnknownPart(listed.hash.clone()))
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
