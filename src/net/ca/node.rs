//! A node's own certificate, as it loads it at start and again when it was renewed.
//!
//! Whoever holds a clone shows the newest from then on: handshakes ask for it each time.
//! Connections that exist stay as they are.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::net::ca::{CLUSTER_CA_CERTIFICATE, CaError, PeerIdentity, Validity, files};

/// Certificate, key and the authority to believe: all a node needs to meet its peers.
#[derive(Clone)]
pub struct NodeCertificate(Arc<Inner>);

struct Inner {
    identity: PeerIdentity,
    authority: CertificateDer<'static>,
    roots: Arc<RootCertStore>,
    shown: ArcSwap<Shown>,
}

/// What a renewal replaces.
struct Shown {
    certified: Arc<CertifiedKey>,
    key: PrivateKeyDer<'static>,
    validity: Validity,
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
        let validity = Validity::of(&text).map_err(|error| broken(certificate, &error))?;

        let pair = KeyPair::from_pem(&files::read(key)?).map_err(|error| broken(key, &error))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| broken(certificate, &error))?;
        if *parsed.public_key().subject_public_key.data != *pair.public_key_raw() {
            return Err(broken(key, &"not the key of the certificate"));
        }
        let der =
            PrivateKeyDer::try_from(pair.serialize_der()).map_err(|error| broken(key, &error))?;

        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, der.clone_key(), &provider)
            .map_err(|error| broken(certificate, &error))?;

        let authority_der = files::first_certificate(&files::read(authority)?)
            .ok_or_else(|| broken(authority, &"no PEM certificate in it"))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority_der.clone()).map_err(|error| broken(authority, &error))?;
        Ok(Self(Arc::new(Inner {
            identity,
            authority: authority_der,
            roots: Arc::new(roots),
            shown: ArcSwap::from_pointee(Shown {
                certified: Arc::new(certified),
                key: der,
                validity,
            }),
        })))
    }

    /// Reads the node's files again; true if they held another certificate, which is now shown.
    ///
    /// # Errors
    /// Files that are missing, broken, another node's or another authority's; then all stays.
    pub fn reload(&self, folder: &Path) -> Result<bool, CaError> {
        let name = &self.identity().name;
        let found = Self::load(folder, name)?;
        if found.identity() != self.identity() || found.0.authority != self.0.authority {
            return Err(CaError::Another(folder.join(format!("{name}.pem"))));
        }
        let newer = found.0.shown.load_full();
        let changed = newer.certified.cert != self.0.shown.load().certified.cert;
        if changed {
            self.0.shown.store(newer);
        }
        Ok(changed)
    }

    pub fn identity(&self) -> &PeerIdentity {
        &self.0.identity
    }

    /// That of the certificate shown now.
    pub fn validity(&self) -> Validity {
        self.0.shown.load().validity
    }

    /// Whether `authority` (PEM) is the one this node believes and was signed by, as far as names
    /// and stored copies tell; the signature itself is checked by the peers.
    pub(super) fn is_of(&self, authority: &str) -> bool {
        files::first_certificate(authority).is_some_and(|der| der == self.0.authority)
    }

    /// What the next handshake shows.
    pub(in crate::net) fn certified(&self) -> Arc<CertifiedKey> {
        self.0.shown.load().certified.clone()
    }

    pub(in crate::net) fn key(&self) -> PrivateKeyDer<'static> {
        self.0.shown.load().key.clone_key()
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
