//! How connections to a target are made where it is not the usual way: whose name is checked, what
//! is trusted, who we say we are.
//!
//! A target has a pool of connections for each manner it is spoken to in, because a connection that
//! was opened as one client must not carry another's calls.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Certificates in one client's chain; a longer one is a mistake.
const CHAIN_MAX: usize = 10;

/// The default is the usual manner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Manner {
    /// The name that is asked for (SNI) and checked in the certificate, in place of the target's.
    pub server_name: Option<Arc<str>>,
    /// What is presented to a backend that asks for a certificate.
    pub identity: Option<Arc<ClientIdentity>>,
    /// What is trusted, in place of the client's own roots.
    pub roots: Option<Arc<Roots>>,
    /// The target was chosen among several by somebody who watches them: no circuit of our own.
    pub is_balanced: bool,
}

impl Manner {
    /// Whether the TLS of it is that of the whole client.
    pub(super) fn has_usual_tls(&self) -> bool {
        self.identity.is_none() && self.roots.is_none()
    }
}

/// Why PEM text is no identity or no root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate cannot be read: {0}")]
    Certificate(Arc<str>),
    #[error("the private key cannot be read")]
    Key,
    #[error("there are no certificates, or more than {CHAIN_MAX}")]
    Count,
}

/// A certificate with its key, as a client presents it. Two of the same content are equal.
pub struct ClientIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    print: [u8; 32],
}

impl ClientIdentity {
    /// Reads PEM: the chain, leaf first, and its key.
    ///
    /// # Errors
    /// What of them cannot be read; the text of a key is never part of it.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .take(CHAIN_MAX + 1)
            .collect::<Result<_, _>>()
            .map_err(|err| IdentityError::Certificate(Arc::from(err.to_string())))?;
        if chain.is_empty() || chain.len() > CHAIN_MAX {
            return Err(IdentityError::Count);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| IdentityError::Key)?;
        let parts = chain.iter().map(|certificate| &**certificate);
        let print = print(parts.chain([key.secret_der()]));
        Ok(Self { chain, key, print })
    }
}

impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for ClientIdentity {}

impl std::hash::Hash for ClientIdentity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClientIdentity(…)")
    }
}

/// Root certificates of a target's own.
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
    print: [u8; 32],
}

impl Roots {
    /// # Errors
    /// A certificate that cannot be a root, or none at all.
    pub fn new(certificates: &[CertificateDer<'static>]) -> Result<Self, IdentityError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store
                .add(certificate.clone())
                .map_err(|err| IdentityError::Certificate(Arc::from(err.to_string())))?;
        }
        if store.is_empty() {
            return Err(IdentityError::Count);
        }
        let print = print(certificates.iter().map(|certificate| &**certificate));
        Ok(Self { store: Arc::new(store), print })
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Roots {}

impl std::hash::Hash for Roots {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Roots({})", self.store.len())
    }
}

/// Stands for the content of several parts, each with its length before it.
fn print<'p>(parts: impl Iterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&part.len().to_be_bytes());
        all.extend_from_slice(part);
    }
    let mut print = [0; 32];
    print.copy_from_slice(digest(&SHA256, &all).as_ref());
    print
}
