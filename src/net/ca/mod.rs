//! Who may speak within the cluster, and with which certificate do listeners greet strangers?
//!
//! Two authorities that never vouch for each other: the cluster CA signs node certificates, whose
//! URI name `tidegate://{cluster}/{role}/{node}` is the node's identity (a role is a fact of the
//! certificate, so an edge cannot talk itself into being a region); the public CA signs the
//! certificates of HTTPS listeners that have none from elsewhere. A user may trust the public CA
//! in a browser without letting anyone into the cluster, and the other way round.
//!
//! Node certificates carry no host names: nodes move between addresses, and whom a node dials is
//! proved by the identity. One constant DNS name lets the usual X.509 check do the rest.
//!
//! It does not revoke: a node that is to leave for good is shut out by a new cluster CA.
//!
//! RFC 5280 (profile), RFC 9525 (names).

mod authority;
mod files;
mod node;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::net::clock::Timestamp;

pub use authority::{ClusterCa, PublicCa};
pub use node::NodeCertificate;

/// File names of the two authorities within their folder.
pub const CLUSTER_CA_CERTIFICATE: &str = "cluster-ca.pem";
pub const CLUSTER_CA_KEY: &str = "cluster-ca.key";
pub const PUBLIC_CA_CERTIFICATE: &str = "public-ca.pem";
pub const PUBLIC_CA_KEY: &str = "public-ca.key";

/// DNS name of every node certificate, and the server name every node asks for. Reserved by
/// ICANN's `.internal`, so no public authority can issue it.
pub const NODE_DNS_NAME: &str = "node.tidegate.internal";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An authority outlives the machines of a cluster.
pub const CA_LIFETIME: Duration = Duration::from_secs(3_652 * DAY.as_secs());
pub const NODE_LIFETIME: Duration = Duration::from_secs(365 * DAY.as_secs());
/// Browsers refuse more than 398 days (CA/Browser Forum, Baseline Requirements, section 6.3.2).
pub const PUBLIC_LIFETIME: Duration = Duration::from_secs(397 * DAY.as_secs());
/// Clocks of nodes may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// Longest cluster or node name: a DNS label (RFC 1035, section 2.3.4), so that a name fits anywhere.
const NAME_BYTES_MAX: usize = 63;
/// Names of one listener certificate.
const PUBLIC_NAMES_MAX: usize = 100;
/// A PEM file of ours has some 2 KB; more is a mistake.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Why a certificate could not be made, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{0} exists already; remove it first if the authority shall really be replaced")]
    Exists(PathBuf),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {problem}")]
    Broken { path: PathBuf, problem: String },
    #[error("`{0}` cannot be a cluster or node name: 1 to 63 letters, digits, `-`, `_` or `.`")]
    Name(String),
    #[error("`{0}` cannot be a name of a listener certificate")]
    PublicName(String),
    #[error("a listener certificate needs 1 to {PUBLIC_NAMES_MAX} names")]
    PublicNames,
    #[error("certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error(
        "{0}: another node's certificate, or of another authority; it is taken after a restart"
    )]
    Another(PathBuf),
    #[error("certificate names no node: {0}")]
    NoIdentity(&'static str),
}

/// What a node may be. Read from its certificate, nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Edge,
    Region,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Edge => "edge",
            Role::Region => "region",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = CaError;

    fn from_str(text: &str) -> Result<Self, CaError> {
        match text {
            "edge" => Ok(Role::Edge),
            "region" => Ok(Role::Region),
            _ => Err(CaError::NoIdentity("its role is neither edge nor region")),
        }
    }
}

/// Who a certificate says its owner is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    pub cluster: String,
    pub role: Role,
    pub name: String,
}

impl PeerIdentity {
    /// Checks the names.
    pub fn new(cluster: &str, role: Role, name: &str) -> Result<Self, CaError> {
        check_name(cluster)?;
        check_name(name)?;
        Ok(Self { cluster: cluster.to_owned(), role, name: name.to_owned() })
    }

    /// Reads the identity of a certificate. Whether the certificate deserves belief is decided by
    /// the TLS handshake, before anyone gets here.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CaError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| CaError::NoIdentity("it is not an X.509 certificate"))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|_| CaError::NoIdentity("its alternative names are malformed"))?
            .ok_or(CaError::NoIdentity("it has no alternative names"))?;
        let mut found = None;
        for name in &names.value.general_names {
            let GeneralName::URI(uri) = name else { continue };
            let Some(rest) = uri.strip_prefix("tidegate://") else { continue };
            // Two identities in one certificate would let the reader choose; nobody gets to.
            if found.is_some() {
                return Err(CaError::NoIdentity("it names two nodes"));
            }
            let mut parts = rest.splitn(3, '/');
            let (Some(cluster), Some(role), Some(name)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(CaError::NoIdentity("its tidegate:// name is incomplete"));
            };
            found = Some(Self::new(cluster, role.parse()?, name)?);
        }
        found.ok_or(CaError::NoIdentity("it has no tidegate:// name"))
    }

    /// The URI name of the certificate.
    pub fn uri(&self) -> String {
        format!("tidegate://{}/{}/{}", self.cluster, self.role, self.name)
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} of cluster {}", self.role, self.name, self.cluster)
    }
}

/// From when to when a certificate may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub begins: Timestamp,
    pub ends: Timestamp,
}

impl Validity {
    /// That of the first certificate of a PEM text.
    pub fn of(pem: &str) -> Result<Self, CaError> {
        let der = files::first_certificate(pem)
            .ok_or(CaError::NoIdentity("the text holds no PEM certificate"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| CaError::NoIdentity("it is not an X.509 certificate"))?;
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_seconds(u64::try_from(time.timestamp()).unwrap_or(0))
        };
        let validity = parsed.validity();
        Ok(Self { begins: at(validity.not_before), ends: at(validity.not_after) })
    }

    /// Whether two thirds of its life are over. The last third, months of it, is for whoever has
    /// to find out why it was not renewed.
    pub fn is_due(self, now: Timestamp) -> bool {
        now.since(self.begins) >= self.ends.since(self.begins) / 3 * 2
    }
}

fn check_name(name: &str) -> Result<(), CaError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !name.starts_with('.');
    if fits { Ok(()) } else { Err(CaError::Name(name.to_owned())) }
}
