//! Is an uploaded certificate one that a domain name can be served with?
//!
//! Checked when it is uploaded, because afterwards only clients would notice: that the key fits,
//! that the certificate is valid now and names the domain, and that the chain leads somewhere.
//! RFC 5280; RFC 6125 section 6.4 (names).

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::admin::protocol::error::ApiError;
use crate::net::clock::Timestamp;

/// Certificates of a chain and bytes of a PEM text; ours, far beyond real chains.
const CHAIN_MAX: usize = 10;
const PEM_BYTES_MAX: usize = 256 * 1024;

/// A certificate as the store keeps it.
pub(super) struct Uploaded {
    /// The leaf and its chain, PEM.
    pub(super) certificates: String,
    /// PEM.
    pub(super) private_key: String,
}

/// Checks the three texts of an upload; the chain may be empty.
pub(super) fn check(
    domain: &str,
    [body, key, chain]: [&str; 3],
    now: Timestamp,
) -> Result<Uploaded, ApiError> {
    if [body, key, chain].iter().any(|text| text.len() > PEM_BYTES_MAX) {
        return Err(refused("is too large"));
    }
    let leaf = certificates(body)?;
    let [leaf] = leaf.as_slice() else {
        return Err(refused("body must hold exactly one PEM certificate"));
    };
    let chain_certificates = certificates(chain)?;
    if chain_certificates.len() > CHAIN_MAX {
        return Err(refused("chain has too many certificates"));
    }
    let private_key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| refused("private key is not a PEM private key"))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|_| refused("body is not an X.509 certificate"))?;
    check_validity(&parsed, now)?;
    if !covers(&parsed, domain) {
        return Err(ApiError::bad_request(
            "The domain name to be created is not covered by the provided certificate",
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    CertifiedKey::from_der(vec![leaf.clone()], private_key, &provider).map_err(
        |error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                refused("does not belong to the private key")
            }
            _ => refused("and its private key cannot be used"),
        },
    )?;
    check_chain(leaf, &chain_certificates, domain, now, provider)?;
    let mut certificates = body.trim().to_owned();
    certificates.push('\n');
    if !chain.trim().is_empty() {
        certificates.push_str(chain.trim());
        certificates.push('\n');
    }
    Ok(Uploaded { certificates, private_key: key.to_owned() })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, ApiError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| refused("is not PEM text"))
}

fn check_validity(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(), ApiError> {
    let now = i64::try_from(now.as_seconds()).unwrap_or(i64::MAX);
    if leaf.validity().not_after.timestamp() < now {
        return Err(refused("has expired"));
    }
    if leaf.validity().not_before.timestamp() > now {
        return Err(refused("is not valid yet"));
    }
    Ok(())
}

/// By a subject alternative name; common names no longer count.
fn covers(leaf: &X509Certificate<'_>, domain: &str) -> bool {
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match name {
        GeneralName::DNSName(name) => covers_name(&name.to_ascii_lowercase(), domain),
        _ => false,
    })
}

/// A wildcard stands for one whole label, so `*.a.b` covers the wildcard domain `*.a.b`, too.
fn covers_name(name: &str, domain: &str) -> bool {
    if name == domain {
        return true;
    }
    let Some(parent) = name.strip_prefix("*.") else { return false };
    domain.split_once('.').is_some_and(|(label, rest)| label != "*" && rest == parent)
}

/// The last certificate of the chain is taken as trusted; the others must lead from it to the leaf.
fn check_chain(
    leaf: &CertificateDer<'static>,
    chain: &[CertificateDer<'static>],
    domain: &str,
    now: Timestamp,
    provider: Arc<CryptoProvider>,
) -> Result<(), ApiError> {
    let Some((anchor, intermediates)) = chain.split_last() else { return Ok(()) };
    let wrong = || refused("chain does not lead to the certificate");
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone()).map_err(|_| wrong())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| wrong())?;
    // A wildcard is no name a client could ask for; any name below it will do.
    let asked = match domain.strip_prefix("*.") {
        Some(parent) => format!("any.{parent}"),
        None => domain.to_owned(),
    };
    let asked = ServerName::try_from(asked).map_err(|_| wrong())?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_seconds()));
    verifier
        .verify_server_cert(leaf, intermediates, &asked, &[], now)
        .map(drop)
        .map_err(|_| wrong())
}

fn refused(problem: &str) -> ApiError {
    ApiError::bad_request(format!("The provided certificate {problem}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::super::trial::NOW;
    use super::*;

    /// A chain and a leaf of these names, PEM, and the leaf's key.
    fn issued(names: &[&str], from_year: i32) -> [String; 3] {
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.distinguished_name.push(rcgen::DnType::CommonName, "a root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.not_before = rcgen::date_time_ymd(from_year, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(from_year + 2, 1, 1);
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        [leaf.pem(), key.serialize_pem(), root_pem]
    }

    fn verdict(domain: &str, [body, key, chain]: [&str; 3]) -> Result<(), String> {
        let now = Timestamp::from_seconds(NOW);
        check(domain, [body, key, chain], now).map(drop).map_err(|err| err.message.into_owned())
    }

    #[test]
    fn a_certificate_with_its_key_and_chain_is_taken() {
        let [leaf, key, root] = issued(&["api.example.com", "*.wild.example.com"], 2025);
        for domain in ["api.example.com", "*.wild.example.com", "a.wild.example.com"] {
            assert_eq!(verdict(domain, [&leaf, &key, &root]), Ok(()));
            assert_eq!(verdict(domain, [&leaf, &key, ""]), Ok(()));
        }
    }

    #[test]
    fn a_name_outside_of_it_is_refused() {
        let [leaf, key, root] = issued(&["*.example.com"], 2025);
        for domain in ["example.com", "a.b.example.com", "*.b.example.com", "x.example.org"] {
            let message = verdict(domain, [&leaf, &key, &root]).unwrap_err();
            assert!(message.contains("not covered by the provided certificate"), "{message}");
        }
    }

    #[test]
    fn a_strange_key_or_chain_and_other_times_are_refused() {
        let [leaf, key, root] = issued(&["a.example"], 2025);
        let [_, other_key, other_root] = issued(&["a.example"], 2025);
        let refused = |texts: [&str; 3]| verdict("a.example", texts).unwrap_err();
        assert!(refused([&leaf, &other_key, &root]).contains("does not belong"));
        assert!(refused([&leaf, &key, &other_root]).contains("chain"));
        assert!(refused([&leaf, "", &root]).contains("private key"));
        assert!(refused(["", &key, &root]).contains("exactly one"));
        assert!(refused([&leaf, &key, &"x".repeat(PEM_BYTES_MAX + 1)]).contains("too large"));
        let [old, old_key, old_root] = issued(&["a.example"], 2020);
        assert!(refused([&old, &old_key, &old_root]).contains("expired"));
        let [new, new_key, new_root] = issued(&["a.example"], 2030);
        assert!(refused([&new, &new_key, &new_root]).contains("not valid yet"));
    }
}
