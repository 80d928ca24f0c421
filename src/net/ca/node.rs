//! A node's own certificate, as it loads it at start.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::net::ca::{CLUSTER_CA_CERTIFICATE, CaError, PeerIdentity, expires_at, files};
use crate::net::clock::Timestamp;

/// Certificate, key and the authority to believe: all a node needs to meet its peers.
#[derive(Clone)]
pub struct NodeCertificate(Arc<Inner>);

struct Inner {
    identity: PeerIdentity,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: CertificateDer<'static>,
    roots: Arc<RootCertStore>,
    expires_at: Timestamp,
}

impl NodeCertificate {
    /// Loads `{name}.pem`, `{name}.key` and the authority's certificate from `folder`.
    pub fn load(folder: &Path, name: &str) -> Result<Self, CaError> {
        let certificate = folder.join(format!("{name}.pem"));
        let key = folder.join(format!("{name}.key"));
        Self::load_files(&certificate, &key, &folder.join(CLUSTER_CA_CERTIFICATE))
    }

    /// The same from files named one by one.
    pub fn load_files(certificate: &Path, key: &Path, authority: &Path) -> Result<Self, CaError> {
        let broken = |path: &Path, problem: &dyn fmt::Display| CaError::Broken {
            path: path.to_owned(),
            problem: problem.to_string(),
        };
        let text = files::read(certificate)?;
        let chain = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| broken(certificate, &error))?;
        let leaf = chain.first().ok_or_else(|| broken(certificate, &"no PEM certificate in it"))?;
        let identity = PeerIdentity::of(leaf).map_err(|error| broken(certificate, &error))?;
        let ends = expires_at(&text).map_err(|error| broken(certificate, &error))?;

        let pair = KeyPair::from_pem(&files::read(key)?).map_err(|error| broken(key, &error))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| broken(certificate, &error))?;
        if *parsed.public_key().subject_public_key.data != *pair.public_key_raw() {
            return Err(broken(key, &"not the key of the certificate"));
        }
        let der =
            PrivateKeyDer::try_from(pair.serialize_der()).map_err(|error| broken(key, &error))?;

        let authority_der = files::first_certificate(&files::read(authority)?)
            .ok_or_else(|| broken(authority, &"no PEM certificate in it"))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority_der.clone()).map_err(|error| broken(authority, &error))?;
        Ok(Self(Arc::new(Inner {
            identity,
            chain,
            key: der,
            authority: authority_der,
            roots: Arc::new(roots),
            expires_at: ends,
        })))
    }

    pub fn identity(&self) -> &PeerIdentity {
        &self.0.identity
    }

    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Whether `authority` (PEM) is the one this node believes and was signed by, as far as names
    /// and stored copies tell; the signature itself is checked by the peers.
    pub(super) fn is_of(&self, authority: &str) -> bool {
        files::first_certificate(authority).is_some_and(|der| der == self.0.authority)
    }

    pub(in crate::net) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.chain.clone()
    }

    pub(in crate::net) fn key(&self) -> PrivateKeyDer<'static> {
        self.0.key.clone_key()
    }

    /// The authorities this node believes.
    pub fn roots(&self) -> Arc<RootCertStore> {
        self.0.roots.clone()
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "NodeCertificate({}, key not shown)", self.0.identity)
    }
}
