//! Which certificate does this client get?
//!
//! By server name: the exact name, else the wildcard of one label (RFC 9525 section 6.3), else the
//! default. The table is swapped whole, so TCP and QUIC handshakes read it without a lock. Files
//! are read again when they change; a broken file keeps the certificate it had, because serving
//! the old one beats serving none.
//!
//! Client certificates are not asked for yet.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::listener::ListenerError;
use crate::net::tasks::Tasks;

/// How often certificate files are looked at. A look is two `stat` calls per certificate.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Largest certificate or key file, bytes; a chain of ten RSA-4096 certificates fits.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A certificate chain and its key.
#[derive(Clone)]
pub enum Material {
    /// PEM files: leaf first, then intermediates; PKCS#8, SEC1 or PKCS#1 key.
    Files { chain: PathBuf, key: PathBuf },
    /// The same as PEM text, for certificates the node issues itself.
    Pem { chain: Arc<[u8]>, key: Arc<[u8]> },
}

impl fmt::Debug for Material {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::Files { chain, .. } => write!(out, "Files({})", chain.display()),
            Material::Pem { .. } => out.write_str("Pem"),
        }
    }
}

/// A certificate and the server names it is for.
#[derive(Clone, Debug)]
pub struct CertificateSource {
    /// Exact names or one-label wildcards such as `*.example.com`, in any case.
    pub names: Vec<String>,
    pub material: Material,
}

/// The certificates of a node; shared by its listeners.
pub struct Certificates {
    provider: Arc<CryptoProvider>,
    table: ArcSwap<Table>,
    /// What the table was made from; the first is the default.
    sources: Mutex<Vec<Loaded>>,
    /// Those of custom domains. Their names go before the others': a local CA's certificate may
    /// name the same domain.
    uploaded: Mutex<Vec<Loaded>>,
}

#[derive(Debug, Default)]
struct Table {
    names: HashMap<Box<str>, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

struct Loaded {
    source: CertificateSource,
    certified: Arc<CertifiedKey>,
    stamp: Option<Stamp>,
}

/// What tells that a file changed: time and size of chain and key.
type Stamp = [(Option<SystemTime>, u64); 2];

impl fmt::Debug for Certificates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.table.load();
        out.debug_struct("Certificates").field("names", &names.names.keys()).finish()
    }
}

impl Certificates {
    /// Loads all certificates. The first source also serves clients that name no server, or one
    /// nobody else has.
    ///
    /// # Errors
    /// Any file that cannot be read, certificate that cannot be parsed or key that does not match.
    pub fn load(sources: Vec<CertificateSource>) -> Result<Arc<Self>, ListenerError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let loaded = load_all(sources, &provider)?;
        Ok(Arc::new(Self {
            provider,
            table: ArcSwap::from_pointee(table_of(&loaded, &[])),
            sources: Mutex::new(loaded),
            uploaded: Mutex::default(),
        }))
    }

    /// Serves these besides, in place of those of the last call. One that cannot be loaded is
    /// logged and left out; it was checked when it was uploaded.
    pub fn serve_uploaded(&self, sources: Vec<CertificateSource>) {
        let mut loaded = Vec::with_capacity(sources.len());
        for source in sources {
            let names = source.names.clone();
            match load_all(vec![source], &self.provider) {
                Ok(found) => loaded.extend(found),
                Err(err) => {
                    tracing::error!(%err, ?names, "An uploaded certificate cannot be served.");
                }
            }
        }
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        *uploaded = loaded;
        self.table.store(Arc::new(table_of(&sources, &uploaded)));
    }

    /// Puts other certificates in place of all present ones, for new handshakes.
    ///
    /// # Errors
    /// As [`Certificates::load`]; the present certificates then stay.
    pub fn replace(&self, sources: Vec<CertificateSource>) -> Result<(), ListenerError> {
        let loaded = load_all(sources, &self.provider)?;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.table.store(Arc::new(table_of(&loaded, &uploaded)));
        *sources = loaded;
        Ok(())
    }

    /// Starts the task that reads changed files again, until the tasks drain.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let certificates = self.clone();
        let (draining, stopped) = (tasks.draining().clone(), tasks.stopped().clone());
        drop(tasks.spawn(async move {
            let mut look = tokio::time::interval(LOOK_EVERY);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = stopped.cancelled() => return,
                    _ = look.tick() => certificates.look(),
                }
            }
        }));
    }

    /// Reads files that changed since they were last read.
    pub(super) fn look(&self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for loaded in sources.iter_mut() {
            let stamp = stamp_of(&loaded.source.material);
            if stamp == loaded.stamp {
                continue;
            }
            // Remembered also when broken, so that a broken file is logged once.
            loaded.stamp = stamp;
            match load(&loaded.source.material, &self.provider) {
                Ok(certified) => {
                    loaded.certified = Arc::new(certified);
                    changed = true;
                    tracing::info!(names = ?loaded.source.names, "A certificate was reloaded.");
                }
                Err(err) => tracing::error!(
                    %err,
                    names = ?loaded.source.names,
                    "A changed certificate is broken; the old one stays in use."
                ),
            }
        }
        if changed {
            let uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
            self.table.store(Arc::new(table_of(&sources, &uploaded)));
        }
    }

    /// TLS settings of a listener that offers these protocols, most wanted first.
    pub(super) fn server_config(
        self: &Arc<Self>,
        alpn: &[&[u8]],
    ) -> Result<Arc<rustls::ServerConfig>, ListenerError> {
        let failed = |err: rustls::Error| ListenerError::Tls(err.to_string());
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        // Stateless, so that resumption costs no memory; one ticket is what a client uses.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(failed)?;
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }

    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let found = name.and_then(|name| table.find(name));
        found.or(table.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

impl Table {
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // rustls hands names over as the client wrote them.
        let name = name.to_ascii_lowercase();
        let wildcard = || {
            let (_, domain) = name.split_once('.')?;
            self.names.get(format!("*.{domain}").as_str())
        };
        self.names.get(name.as_str()).or_else(wildcard)
    }
}

fn table_of(sources: &[Loaded], uploaded: &[Loaded]) -> Table {
    let mut table = Table {
        default: sources.first().map(|loaded| loaded.certified.clone()),
        ..Table::default()
    };
    for loaded in uploaded.iter().chain(sources) {
        for name in &loaded.source.names {
            let name = name.to_ascii_lowercase().into_boxed_str();
            // The first source that names a server has it.
            table.names.entry(name).or_insert_with(|| loaded.certified.clone());
        }
    }
    table
}

fn load_all(
    sources: Vec<CertificateSource>,
    provider: &CryptoProvider,
) -> Result<Vec<Loaded>, ListenerError> {
    sources
        .into_iter()
        .map(|source| {
            // Stamped before reading: a change in between is then seen at the next look.
            let stamp = stamp_of(&source.material);
            let certified = Arc::new(load(&source.material, provider)?);
            Ok(Loaded { source, certified, stamp })
        })
        .collect()
}

fn stamp_of(material: &Material) -> Option<Stamp> {
    let stamp = |path: &Path| {
        let about = fs::metadata(path).ok();
        about.map_or((None, 0), |about| (about.modified().ok(), about.len()))
    };
    match material {
        Material::Files { chain, key } => Some([stamp(chain), stamp(key)]),
        Material::Pem { .. } => None,
    }
}

fn load(material: &Material, provider: &CryptoProvider) -> Result<CertifiedKey, ListenerError> {
    let (chain, key, what): (Arc<[u8]>, Arc<[u8]>, String) = match material {
        Material::Pem { chain, key } => (chain.clone(), key.clone(), "issued here".to_owned()),
        Material::Files { chain, key } => {
            (read(chain)?.into(), read(key)?.into(), chain.display().to_string())
        }
    };
    let broken = |cause: String| ListenerError::Certificate { what: what.clone(), cause };
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|err| broken(format!("not PEM: {err}")))?;
    if chain.is_empty() {
        return Err(broken("no certificate in the file".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|err| broken(format!("key: {err}")))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|err| broken(err.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, ListenerError> {
    let failed = |source| ListenerError::CertificateFile { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        let cause = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(ListenerError::Certificate { what: path.display().to_string(), cause });
    }
    fs::read(path).map_err(failed)
}
