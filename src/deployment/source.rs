//! Where configuration comes from: one of the two enums that carry the edge/region difference.

use std::sync::Arc;

use crate::deployment::snapshot::PartHash;
use crate::store::StoreError;
use crate::store::parts::Manifest;
use crate::tunnel::{Request, Tunnel, TunnelError};

/// Where a node gets its configuration.
#[derive(Clone, Debug)]
pub enum Source {
    /// An edge asks the region.
    Region(Tunnel),
    /// The region has it; held by `Deployments` itself.
    Store(Arc<super::Deployments>),
}

/// Why configuration could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the region did not send it: {0}")]
    Tunnel(#[from] TunnelError),
    #[error("the region's manifest cannot be read: {0}")]
    Manifest(#[from] StoreError),
    #[error("the region does not have the part any more")]
    UnknownPart,
    #[error("the region has put nothing in force yet")]
    NothingYet,
}

impl Source {
    pub async fn manifest(&self) -> Result<Manifest, SourceError> {
        match self {
            Source::Region(tunnel) => {
                let bytes = tunnel.request(Request::Manifest).await?;
                Ok(Manifest::decode(&bytes)?)
            }
            Source::Store(deployments) => Ok(deployments.manifest()),
        }
    }

    pub async fn part(&self, hash: &PartHash) -> Result<Vec<u8>, SourceError> {
        match self {
            Source::Region(tunnel) => {
                Ok(tunnel.request(Request::Part { hash: *hash }).await?.to_vec())
            }
            Source::Store(deployments) => {
                let part = deployments.part(hash).ok_or(SourceError::UnknownPart)?;
                Ok(part.to_vec())
            }
        }
    }
}
