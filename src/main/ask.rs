//! Questions to a running node, by its admin listener.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidegate::admin::client::Client;
use tidegate::cli::AdminDoor;
use tidegate::net::aws::{Scope, Secret, Signer};
use tidegate::net::socket::Machine;
use tidegate::topology::Overrides;
use zeroize::Zeroizing;

use crate::{Failure, other, read_topology};

/// Region to sign for where nobody names one: the bundled topology's.
const REGION_DEFAULT: &str = "us-east-1";

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

/// The access key of the environment, as AWS's tools have it; without one nothing is signed.
pub(super) fn signer(door: &AdminDoor, region: Option<&str>) -> Result<Option<Signer>, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some((id, secret)) = set("AWS_ACCESS_KEY_ID").zip(set("AWS_SECRET_ACCESS_KEY")) else {
        return Ok(None);
    };
    let named = region.map(str::to_owned).or_else(|| set("AWS_REGION"));
    let aws_region = match named.or_else(|| set("AWS_DEFAULT_REGION")) {
        Some(region) => region,
        None if door.topology.is_some() => {
            let topology = door.topology.as_deref();
            read_topology(topology, &Overrides::default())?.region.common.cluster.aws_region
        }
        None => REGION_DEFAULT.to_owned(),
    };
    let scope = Scope { aws_region, service: "apigateway".to_owned() };
    let secret = Secret {
        secret_access_key: Zeroizing::new(secret),
        session_token: set("AWS_SESSION_TOKEN").map(Zeroizing::new),
    };
    Ok(Some(Signer { access_key_id: id, secret, scope }))
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
