//! The two authorities: made once per cluster, kept as files, loaded to issue.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::ServerName;

use crate::net::ca::node::NodeCertificate;
use crate::net::ca::{
    CA_LIFETIME, CLOCK_SKEW, CLUSTER_CA_CERTIFICATE, CLUSTER_CA_KEY, CaError, NODE_DNS_NAME,
    NODE_LIFETIME, PUBLIC_CA_CERTIFICATE, PUBLIC_CA_KEY, PUBLIC_LIFETIME, PUBLIC_NAMES_MAX,
    PeerIdentity, Validity, check_name, files,
};
use crate::net::clock::Clock;

/// Signs node certificates. Whoever holds its key owns the cluster.
pub struct ClusterCa {
    cluster: String,
    authority: Authority,
}

impl ClusterCa {
    /// Makes the authority of a new cluster in `folder`; refuses if there is one.
    pub fn init(folder: &Path, cluster: &str, clock: &Clock) -> Result<Self, CaError> {
        check_name(cluster)?;
        let files = [CLUSTER_CA_CERTIFICATE, CLUSTER_CA_KEY];
        let authority = Authority::init(folder, files, "Tidegate cluster CA", cluster, clock)?;
        Ok(Self { cluster: cluster.to_owned(), authority })
    }

    pub fn load(folder: &Path) -> Result<Self, CaError> {
        let authority = Authority::load(folder, [CLUSTER_CA_CERTIFICATE, CLUSTER_CA_KEY])?;
        let cluster = authority.organization()?;
        check_name(&cluster)?;
        Ok(Self { cluster, authority })
    }

    /// Loads the authority, or makes it when neither of its files exists.
    pub fn load_or_init(folder: &Path, cluster: &str, clock: &Clock) -> Result<Self, CaError> {
        if Authority::is_absent(folder, [CLUSTER_CA_CERTIFICATE, CLUSTER_CA_KEY]) {
            Self::init(folder, cluster, clock)
        } else {
            Self::load(folder)
        }
    }

    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// PEM of the authority's certificate.
    pub fn certificate(&self) -> &str {
        &self.authority.certificate
    }

    /// Writes `{name}.pem`, `{name}.key` and a copy of the authority's certificate into `folder`,
    /// replacing what is there, and returns what a node loads from them.
    pub fn issue(
        &self,
        role: crate::net::ca::Role,
        name: &str,
        folder: &Path,
        clock: &Clock,
    ) -> Result<NodeCertificate, CaError> {
        let identity = PeerIdentity::new(&self.cluster, role, name)?;
        let uri = identity.uri();
        let mut params = leaf(name, clock, NODE_LIFETIME);
        params.subject_alt_names = vec![
            SanType::URI(uri.as_str().try_into()?),
            SanType::DnsName(NODE_DNS_NAME.try_into()?),
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let (chain, key) = self.authority.sign(&params)?;
        files::make_folder(folder)?;
        files::replace_pair(
            (&folder.join(format!("{name}.pem")), &chain),
            (&folder.join(format!("{name}.key")), &key),
        )?;
        let copy = folder.join(CLUSTER_CA_CERTIFICATE);
        if copy != self.authority.path {
            files::replace(&copy, &self.authority.certificate, files::PUBLIC)?;
        }
        NodeCertificate::load(folder, name)
    }

    /// The node's certificate from `folder` as it is, or a new one where it is missing, does not
    /// fit, or is due.
    pub fn issue_if_due(
        &self,
        role: crate::net::ca::Role,
        name: &str,
        folder: &Path,
        clock: &Clock,
    ) -> Result<NodeCertificate, CaError> {
        let wanted = PeerIdentity::new(&self.cluster, role, name)?;
        if let Ok(found) = NodeCertificate::load(folder, name) {
            let lasts = !found.validity().is_due(clock.now());
            let fits = *found.identity() == wanted && found.is_of(&self.authority.certificate);
            if lasts && fits {
                return Ok(found);
            }
        }
        self.issue(role, name, folder, clock)
    }
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClusterCa({}, key not shown)", self.cluster)
    }
}

/// Signs certificates of HTTPS listeners, for those who bring none.
pub struct PublicCa {
    authority: Authority,
}

impl PublicCa {
    /// Makes the authority in `folder`; refuses if there is one.
    pub fn init(folder: &Path, cluster: &str, clock: &Clock) -> Result<Self, CaError> {
        check_name(cluster)?;
        let files = [PUBLIC_CA_CERTIFICATE, PUBLIC_CA_KEY];
        let authority = Authority::init(folder, files, "Tidegate local HTTPS CA", cluster, clock)?;
        Ok(Self { authority })
    }

    pub fn load(folder: &Path) -> Result<Self, CaError> {
        Ok(Self { authority: Authority::load(folder, [PUBLIC_CA_CERTIFICATE, PUBLIC_CA_KEY])? })
    }

    /// Loads the authority, or makes it when neither of its files exists.
    pub fn load_or_init(folder: &Path, cluster: &str, clock: &Clock) -> Result<Self, CaError> {
        if Authority::is_absent(folder, [PUBLIC_CA_CERTIFICATE, PUBLIC_CA_KEY]) {
            Self::init(folder, cluster, clock)
        } else {
            Self::load(folder)
        }
    }

    /// PEM of the authority's certificate: what a client trusts (`curl --cacert`).
    pub fn certificate(&self) -> &str {
        &self.authority.certificate
    }

    /// Where that PEM is.
    pub fn path(&self) -> &Path {
        &self.authority.path
    }

    /// A listener certificate for DNS names (`*.` in front for all names one label below) and IP
    /// addresses: PEM of the chain, PEM of the key.
    pub fn issue_public(
        &self,
        names: &[String],
        clock: &Clock,
    ) -> Result<(String, String), CaError> {
        let Some(first) = names.first().filter(|_| names.len() <= PUBLIC_NAMES_MAX) else {
            return Err(CaError::PublicNames);
        };
        let mut params = leaf(first, clock, PUBLIC_LIFETIME);
        for name in names {
            params.subject_alt_names.push(public_name(name)?);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.authority.sign(&params)
    }

    /// The same, into files, replacing what is there.
    pub fn issue_public_files(
        &self,
        names: &[String],
        chain: &Path,
        key: &Path,
        clock: &Clock,
    ) -> Result<(), CaError> {
        let (chain_pem, key_pem) = self.issue_public(names, clock)?;
        files::replace_pair((chain, &chain_pem), (key, &key_pem))
    }

    /// Whether a listener certificate should be issued anew.
    pub fn is_due(chain: &str, clock: &Clock) -> bool {
        Validity::of(chain).map_or(true, |validity| validity.is_due(clock.now()))
    }
}

impl fmt::Debug for PublicCa {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicCa({}, key not shown)", self.authority.path.display())
    }
}

fn public_name(name: &str) -> Result<SanType, CaError> {
    let wrong = || CaError::PublicName(name.to_owned());
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    match ServerName::try_from(host) {
        Ok(ServerName::DnsName(_)) => Ok(SanType::DnsName(name.try_into().map_err(|_| wrong())?)),
        _ => Err(wrong()),
    }
}

/// What both authorities are.
struct Authority {
    path: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn is_absent(folder: &Path, [certificate, key]: [&str; 2]) -> bool {
        !folder.join(certificate).exists() && !folder.join(key).exists()
    }

    fn init(
        folder: &Path,
        [certificate_file, key_file]: [&str; 2],
        title: &str,
        cluster: &str,
        clock: &Clock,
    ) -> Result<Self, CaError> {
        let path = folder.join(certificate_file);
        let key_path = folder.join(key_file);
        if let Some(found) = [&path, &key_path].into_iter().find(|path| path.exists()) {
            return Err(CaError::Exists(found.clone()));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = base(&format!("{title} ({cluster})"), clock, CA_LIFETIME);
        params.distinguished_name.push(DnType::OrganizationName, cluster);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        files::make_folder(folder)?;
        // The key first: a certificate without key would look like an authority.
        files::create(&key_path, &key.serialize_pem(), files::SECRET)?;
        files::create(&path, &certificate, files::PUBLIC)?;
        Ok(Self { path, certificate, issuer: Issuer::new(params, key) })
    }

    fn load(folder: &Path, [certificate_file, key_file]: [&str; 2]) -> Result<Self, CaError> {
        let path = folder.join(certificate_file);
        let key_path = folder.join(key_file);
        let certificate = files::read(&path)?;
        let broken = |path: &Path, problem: &dyn fmt::Display| CaError::Broken {
            path: path.to_owned(),
            problem: problem.to_string(),
        };
        let key = KeyPair::from_pem(&files::read(&key_path)?)
            .map_err(|error| broken(&key_path, &error))?;
        let der = files::first_certificate(&certificate)
            .ok_or_else(|| broken(&path, &"no PEM certificate in it"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| broken(&path, &"not an X.509 certificate"))?;
        if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(broken(&key_path, &"not the key of the certificate next to it"));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| broken(&path, &error))?;
        Ok(Self { path, certificate, issuer })
    }

    fn organization(&self) -> Result<String, CaError> {
        let broken = || CaError::Broken {
            path: self.path.clone(),
            problem: "its subject names no cluster".to_owned(),
        };
        let der = files::first_certificate(&self.certificate).ok_or_else(broken)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| broken())?;
        let name = parsed.subject().iter_organization().next().ok_or_else(broken)?;
        Ok(name.as_str().map_err(|_| broken())?.to_owned())
    }

    /// PEM of the chain (the leaf alone: who verifies has the authority) and of its new key.
    fn sign(&self, params: &CertificateParams) -> Result<(String, String), CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn leaf(name: &str, clock: &Clock, lifetime: Duration) -> CertificateParams {
    let mut params = base(name, clock, lifetime);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn base(name: &str, clock: &Clock, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(clock.now().as_seconds());
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + (now + lifetime);
    params
}
