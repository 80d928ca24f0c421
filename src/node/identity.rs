//! Who a node is: its certificate in the cluster, and the one its HTTPS listeners show.
//!
//! Files in the node's folder: `cluster-ca.pem`, `{name}.pem`, `{name}.key` (identity) and
//! `{name}-https.pem`, `{name}-https.key` (listeners, from the public CA). `tidegate up` issues
//! them; on machines of their own they are brought there from `tidegate ca issue`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::listener::{CertificateSource, Material};
use crate::net::ca::{CaError, ClusterCa, NodeCertificate, PublicCa, Role};
use crate::net::clock::Clock;
use crate::node::config::NodeConfig;

/// A node's certificates.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: NodeCertificate,
    /// What the listeners show to clients whose name has no certificate of its own.
    pub https: CertificateSource,
}

impl Identity {
    /// The listener certificate, for listeners that are not the clients'.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn https_pair(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let Material::Files { chain, key } = &self.https.material else {
            return Err("the listener certificate is not in files".to_owned());
        };
        let failed =
            |path: &Path, err: rustls::pki_types::pem::Error| format!("{}: {err}", path.display());
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|err| failed(chain, err))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|err| failed(key, err))?;
        Ok((certificates, secret))
    }
}

/// The two authorities of a cluster, in one folder.
#[derive(Debug)]
pub struct Authorities {
    cluster: ClusterCa,
    public: PublicCa,
}

impl Authorities {
    /// Makes both; existing ones are never overwritten.
    ///
    /// # Errors
    /// [`CaError::Exists`], or what the folder says.
    pub fn init(folder: &Path, cluster: &str, clock: &Clock) -> Result<Self, CaError> {
        Ok(Self {
            cluster: ClusterCa::init(folder, cluster, clock)?,
            public: PublicCa::init(folder, cluster, clock)?,
        })
    }

    /// # Errors
    /// Missing or unreadable files.
    pub fn load(folder: &Path) -> Result<Self, CaError> {
        Ok(Self { cluster: ClusterCa::load(folder)?, public: PublicCa::load(folder)? })
    }

    /// Loads them, or makes what is missing.
    ///
    /// # Errors
    /// What the folder says.
    pub fn load_or_init(folder: &Path, cluster: &str, clock: &Clock) -> Result<Self, CaError> {
        Ok(Self {
            cluster: ClusterCa::load_or_init(folder, cluster, clock)?,
            public: PublicCa::load_or_init(folder, cluster, clock)?,
        })
    }

    /// PEM file that HTTPS clients trust (`curl --cacert`).
    pub fn public_path(&self) -> &Path {
        self.public.path()
    }

    /// Issues what `node` needs into `folder`, renewing only what is due.
    ///
    /// # Errors
    /// What the folder says.
    pub fn issue(
        &self,
        node: &NodeConfig,
        folder: &Path,
        clock: &Clock,
    ) -> Result<Identity, CaError> {
        let name = node.common().name.as_str();
        let certificate = self.cluster.issue_if_due(role(node), name, folder, clock)?;
        let [chain, key] = https_files(folder, name);
        let names = https_names(node);
        let due = match fs::read_to_string(&chain) {
            Ok(text) => PublicCa::is_due(&text, clock) || !key.is_file(),
            Err(_) => true,
        };
        if due || !same_names(folder, name, &names) {
            let (chain_pem, key_pem) = self.public.issue_public(&names, clock)?;
            write(&key, &key_pem, 0o600)?;
            write(&chain, &chain_pem, 0o644)?;
            write(&names_file(folder, name), &names.join("\n"), 0o644)?;
        }
        Ok(Identity {
            certificate,
            https: CertificateSource { names, material: Material::Files { chain, key } },
        })
    }
}

/// Loads what was issued before.
///
/// # Errors
/// Names the file that is missing or broken.
pub fn load(node: &NodeConfig, folder: &Path) -> Result<Identity, CaError> {
    let name = node.common().name.as_str();
    let certificate = NodeCertificate::load(folder, name)?;
    let [chain, key] = https_files(folder, name);
    for path in [&chain, &key] {
        if let Err(source) = fs::metadata(path) {
            return Err(CaError::File { path: path.clone(), source });
        }
    }
    let names = https_names(node);
    Ok(Identity {
        certificate,
        https: CertificateSource { names, material: Material::Files { chain, key } },
    })
}

fn role(node: &NodeConfig) -> Role {
    match node {
        NodeConfig::Region(_) => Role::Region,
        NodeConfig::Edge(_) => Role::Edge,
    }
}

fn https_files(folder: &Path, name: &str) -> [PathBuf; 2] {
    [folder.join(format!("{name}-https.pem")), folder.join(format!("{name}-https.key"))]
}

fn names_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}-https.names"))
}

fn same_names(folder: &Path, name: &str, names: &[String]) -> bool {
    fs::read_to_string(names_file(folder, name)).is_ok_and(|text| text == names.join("\n"))
}

/// Every name under which clients reach the node's listeners without a certificate of their own.
fn https_names(node: &NodeConfig) -> Vec<String> {
    let common = node.common();
    let cluster = &common.cluster;
    let mut names = vec![
        format!("*.execute-api.{}.{}", cluster.aws_region, cluster.domain),
        cluster.domain.clone(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let listeners = match node {
        NodeConfig::Region(region) => vec![region.public, region.private],
        NodeConfig::Edge(edge) => vec![Some(edge.public)],
    };
    let addresses =
        listeners.into_iter().flatten().chain([common.admin.listen, common.gossip.advertise]);
    for address in addresses.filter(|address| !address.ip().is_unspecified()) {
        let name = address.ip().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    let failed = |source| CaError::File { path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
