//! Who a node is: its certificate in the cluster, and the one its HTTPS listeners show.
//!
//! Files in the node's folder: `cluster-ca.pem`, `{name}.pem`, `{name}.key` (identity) and
//! `{name}-https.pem`, `{name}-https.key` (listeners, from the public CA). `tidegate up` issues
//! them and renews them while it runs; on machines of their own they are brought there from
//! `tidegate ca issue`. Either way a running node takes renewed files without a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::listener::{CertificateSource, Material};
use crate::net::ca::{CaError, ClusterCa, NodeCertificate, PublicCa, Role};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;
use crate::node::config::NodeConfig;

/// How often it is looked whether certificates are due; they then have months left.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a node looks whether its certificate was renewed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A node's certificates.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: NodeCertificate,
    /// What the listeners show to clients whose name has no certificate of its own.
    pub https: CertificateSource,
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
            self.public.issue_public_files(&names, &chain, &key, clock)?;
            note(&names_file(folder, name), &names)?;
        }
        Ok(Identity {
            certificate,
            https: CertificateSource { names, material: Material::Files { chain, key } },
        })
    }

    /// Looks every day whether a certificate of these nodes is due, and writes the new one into the
    /// node's folder, where the running node finds it. Goes on until it is dropped.
    pub async fn keep_renewed(&self, nodes: &[NodeConfig], clock: &Clock) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            for node in nodes {
                let name = &node.common().name;
                match self.issue(node, &node.common().data, clock) {
                    Ok(_) => tracing::debug!(%name, "The certificates are in order."),
                    Err(error) => tracing::error!(%name, %error, "Certificates cannot be renewed."),
                }
            }
        }
    }
}

/// Starts the task that takes the node's certificate from its folder when it was renewed there; the
/// listeners do the same with theirs.
pub(super) fn watch(certificate: NodeCertificate, folder: PathBuf, tasks: &Tasks) {
    let (draining, runtime) = (tasks.draining().clone(), tasks.runtime().clone());
    tasks.spawn(async move {
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (own, folder) = (certificate.clone(), folder.clone());
            // Reading waits for the disk.
            let Ok(reloaded) = runtime.spawn_blocking(move || own.reload(&folder)).await else {
                return;
            };
            let said = reloaded.as_ref().map_or_else(ToString::to_string, |_| String::new());
            match reloaded {
                Ok(true) => tracing::info!("The node's renewed certificate is in use."),
                Ok(false) => {}
                Err(error) if said != complaint => {
                    tracing::error!(%error, "The node's certificate cannot be read again.");
                }
                Err(_) => {}
            }
            complaint = said;
        }
    });
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

/// Notes the names of the certificate that was just issued. Not synced: a note that a crash of the
/// machine took or spoilt has other names, and the certificate is issued again.
fn note(path: &Path, names: &[String]) -> Result<(), CaError> {
    fs::write(path, names.join("\n"))
        .map_err(|source| CaError::File { path: path.to_owned(), source })
}
