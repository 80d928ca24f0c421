//! Deployed parts: which pieces of configuration do we hold, and are they what they claim to be?
//!
//! A part is opaque bytes named by its SHA-256, so a copy is either right or recognisably wrong,
//! and an edge fetches only what it lacks. The manifest lists the parts of one config epoch; it is
//! replaced last, so a crash leaves the old configuration complete.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::ids::{ApiId, StageName};
use crate::store::StoreError;
use crate::store::files;

/// Largest part, bytes: a compiled API is far smaller than the 6 MiB its definition may have, and
/// this is also the tunnel's bound for a document.
pub const PART_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest manifest, bytes: some hundred bytes for each of 10,000 stages.
pub const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Parts in one manifest, well above AWS's 600 APIs per account and region.
pub const MANIFEST_PARTS_MAX: usize = 50_000;
const MANIFEST_FILE: &str = "manifest.json";

/// The parts of one config epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub epoch: u64,
    pub parts: Vec<PartRef>,
}

/// One stage's part, by the SHA-256 of its bytes in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    pub api_id: ApiId,
    pub stage: StageName,
    pub hash: String,
}

/// A folder of parts with the manifest in force.
#[derive(Clone, Debug)]
pub struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Opens the folder, creating it when missing.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        files::create_folder(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Keeps `bytes` durably and returns their hash. Keeping the same bytes again is free.
    pub fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let hash = files::sha256_hex(bytes);
        let path = self.folder.join(&hash);
        if bytes.len() as u64 > PART_BYTES_MAX {
            return Err(StoreError::TooLarge { path, limit: PART_BYTES_MAX });
        }
        match self.get(&hash) {
            Ok(Some(_)) => {}
            // A damaged copy is as good as none: write it anew.
            Ok(None) | Err(_) => files::replace(&path, bytes)?,
        }
        Ok(hash)
    }

    /// Keeps `bytes` if they are what `hash` names; for bytes that came over a wire.
    pub fn put_verified(&self, hash: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if files::sha256_hex(bytes) != hash {
            return Err(StoreError::Invalid("the part's bytes do not have the hash asked for"));
        }
        self.put(bytes).map(drop)
    }

    /// The part's bytes, verified; `None` when we do not hold it, an error when it is damaged.
    pub fn get(&self, hash: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !files::is_hash(hash) {
            return Err(StoreError::Invalid("a part's name is 64 hexadecimal characters"));
        }
        let path = self.folder.join(hash);
        let Some(bytes) = files::read_bounded(&path, PART_BYTES_MAX)? else { return Ok(None) };
        if files::sha256_hex(&bytes) != hash {
            return Err(StoreError::corrupt(&path, "its content does not have its name's hash"));
        }
        Ok(Some(bytes))
    }

    /// The manifest in force; `None` before the first one.
    pub fn manifest(&self) -> Result<Option<Manifest>, StoreError> {
        let path = self.folder.join(MANIFEST_FILE);
        let Some(bytes) = files::read_bounded(&path, MANIFEST_BYTES_MAX)? else { return Ok(None) };
        let manifest = Manifest::decode(&bytes)
            .map_err(|_| StoreError::corrupt(&path, "it is not a manifest"))?;
        Ok(Some(manifest))
    }

    /// Puts `manifest` in force. Every part it names must be held already.
    pub fn set_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        manifest.check()?;
        if manifest.parts.iter().any(|part| !self.folder.join(&part.hash).is_file()) {
            return Err(StoreError::Invalid("the manifest names a part that is not held"));
        }
        files::replace(&self.folder.join(MANIFEST_FILE), &manifest.encode()?)
    }

    /// Removes every part that `manifest` does not name, and leftovers of interrupted writes.
    /// Returns how many files went.
    pub fn retain(&self, manifest: &Manifest) -> Result<usize, StoreError> {
        let kept: std::collections::HashSet<&str> =
            manifest.parts.iter().map(|part| part.hash.as_str()).collect();
        let list = |source| StoreError::io("cannot list", &self.folder, source);
        let mut removed = 0;
        for file in fs::read_dir(&self.folder).map_err(list)? {
            let name = file.map_err(list)?.file_name();
            let Some(name) = name.to_str() else { continue };
            let part = name.strip_suffix(".new").unwrap_or(name);
            if files::is_hash(part) && (part != name || !kept.contains(part)) {
                let path = self.folder.join(name);
                fs::remove_file(&path)
                    .map_err(|source| StoreError::io("cannot remove", &path, source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Manifest {
    /// JSON, for the file and for the wire.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|_| StoreError::Invalid("the manifest does not encode"))
    }

    /// Reads and checks what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|_| StoreError::Invalid("the manifest is not JSON of the right shape"))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.parts.len() > MANIFEST_PARTS_MAX {
            return Err(StoreError::Invalid("the manifest names too many parts"));
        }
        if !self.parts.iter().all(|part| files::is_hash(&part.hash)) {
            return Err(StoreError::Invalid("a part's name is 64 hexadecimal characters"));
        }
        Ok(())
    }
}
