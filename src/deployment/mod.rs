//! What was deployed, compiled: model in, immutable `Snapshot` out; hold it, fetch it, spread it.
//!
//! The region compiles what its documents say and publishes it under a new epoch; an edge fetches
//! the parts whose content it does not have yet, verifies them, keeps them on disk and compiles
//! the same stages. Readers take the current snapshot without a lock; a swap is one pointer.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::call::Call;
use crate::model::stage::StageDeployment;
use crate::store::StoreError;
use crate::store::parts::{Manifest, PartRef, Parts};

pub mod compile;
pub mod definition;
pub mod part;
pub mod router;
pub mod snapshot;
pub mod source;

use compile::{Compiler, DeploymentError};
use part::Part;
use snapshot::{Mapping, PartHash, ResolveError, Resolved, Site, Snapshot, Stage};
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
    /// Parts by hash: what the region hands out.
    shelf: Mutex<HashMap<PartHash, Arc<Vec<u8>>>>,
    disk: Option<Parts>,
    /// Held while a refresh runs; readers never meet it.
    refreshing: tokio::sync::Mutex<()>,
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
        let mut stages = Vec::with_capacity(deployments.len());
        let mut parts = Vec::with_capacity(deployments.len());
        for deployment in deployments {
            let (stage, part) = self.compiler.region(deployment)?;
            stages.push(Arc::new(stage));
            parts.push(part);
        }
        self.shelve(parts);
        self.swap(epoch, stages);
        Ok(())
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
        let mut domains: HashMap<Box<str>, Vec<Mapping>> = HashMap::new();
        for stage in stages {
            for given in &stage.domains {
                domains.entry(given.domain_name.as_str().into()).or_default().push(Mapping {
                    base_path: given.base_path.clone(),
                    api: stage.api.clone(),
                    stage: Some(stage.name.clone()),
                });
            }
            apis.entry(stage.api.as_str().into()).or_default().push(stage);
        }
        let site = Arc::clone(&self.compiler.site);
        for mappings in domains.values_mut() {
            mappings.sort_by_key(|mapping| Reverse(mapping.base_path.len()));
        }
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
