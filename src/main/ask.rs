//! Questions to a running node, by its admin listener.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidegate::admin::client::Client;
use tidegate::cli::AdminDoor;
use tidegate::net::socket::Machine;
use tidegate::topology::Overrides;

use crate::{Failure, other, read_topology};

pub(super) fn client(door: &AdminDoor) -> Result<Client, Failure> {
    let url = match &door.admin {
        Some(url) => url.clone(),
        None => {
            let topology = read_topology(door.topology.as_deref(), &Overrides::default())?;
            let admin = &topology.region.common.admin;
            let scheme = if admin.https { "https" } else { "http" };
            format!("{scheme}://{}", admin.listen)
        }
    };
    let own = door.cert.as_deref().zip(door.key.as_deref());
    let tls = door.ca.as_deref().map(|ca| trusting(ca, own)).transpose()?;
    Client::new(&url, tls, Arc::new(Machine)).map_err(other)
}

fn trusting(ca: &Path, own: Option<(&Path, &Path)>) -> Result<Arc<rustls::ClientConfig>, Failure> {
    let failed = |err: &dyn std::fmt::Display| other(format!("{}: {err}", ca.display()));
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca).map_err(|err| failed(&err))? {
        let root = root.map_err(|err| failed(&err))?;
        roots.add(root).map_err(|err| failed(&err))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| failed(&err))?
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let failed = |err: &dyn std::fmt::Display| other(format!("{}: {err}", cert.display()));
            let chain = CertificateDer::pem_file_iter(cert)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|err| failed(&err))?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|err| other(format!("{}: {err}", key.display())))?;
            config.with_client_auth_cert(chain, secret).map_err(|err| failed(&err))?
        }
    };
    Ok(Arc::new(config))
}
