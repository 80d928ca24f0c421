//! A part: one stage as an edge receives it, and the name its content gives it.
//!
//! Edges get what they need to judge and no more: the tree, the parameters, the cache settings and
//! time limits, but not where the backends are nor what is sent to them. The part's SHA-256 is how
//! edges fetch it, how a copy on disk is verified, and how a call sent through the tunnel names the
//! configuration it was resolved with.

use aws_lc_rs::digest::{SHA256, digest};

use crate::deployment::snapshot::PartHash;
use crate::model::rest_api::{Integration, IntegrationKind};
use crate::model::stage::StageDeployment;

/// Bytes and their name.
#[derive(Clone, Debug)]
pub struct Part {
    pub hash: PartHash,
    pub bytes: Vec<u8>,
}

/// Why bytes are no part.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error("content does not match its hash")]
    WrongHash,
    #[error("content cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Part {
    /// The part an edge gets of a stage.
    pub fn of(deployment: &StageDeployment) -> Result<Self, PartError> {
        let bytes = serde_json::to_vec(&for_edge(deployment))?;
        Ok(Self { hash: hash(&bytes), bytes })
    }
}

/// Reads a part after comparing it with its name.
pub fn read(expected: &PartHash, bytes: &[u8]) -> Result<StageDeployment, PartError> {
    if hash(bytes) != *expected {
        return Err(PartError::WrongHash);
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Lower-case hexadecimal, as manifests and file names have it.
pub fn hex(hash: &PartHash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        text
    })
}

/// The reverse of [`hex`]; `None` for anything else.
pub fn from_hex(text: &str) -> Option<PartHash> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn hash(bytes: &[u8]) -> PartHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The same stage with every integration replaced by one that does nothing.
fn for_edge(deployment: &StageDeployment) -> StageDeployment {
    let mut deployment = deployment.clone();
    for method in deployment.api.resources.iter_mut().flat_map(|resource| &mut resource.methods) {
        let integration = &method.integration;
        method.integration = Integration {
            kind: IntegrationKind::Mock,
            cache_namespace: integration.cache_namespace.clone(),
            cache_key_parameters: integration.cache_key_parameters.clone(),
            timeout_ms: integration.timeout_ms,
            is_streamed: integration.is_streamed,
            ..Integration::default()
        };
    }
    deployment.stage.variables.clear();
    deployment.stage.client_certificate = None;
    deployment.vpc_links.clear();
    deployment
}
