//! What a node is told about itself: plain data, already checked.
//!
//! `topology` builds it from the file; tests build it by hand. Nothing that reads these structs can
//! fail on configuration any more: only opening files and ports is left to go wrong. Each default
//! stands at its field's constructor, next to the key's explanation in `topology/one-box.toml`.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::admin::protocol::operation::{Installation, Site};
use crate::integration::lambda::local::{FunctionConfig, Runtimes};
use crate::integration::link;
use crate::model::ids::{ApiId, NodeName};
use crate::model::problem::{Problem, Problems};
use crate::model::quotas;
use crate::model::rest_api::EndpointType;
use crate::model::stage::{BasePathMapping, Stage};
use crate::net::client::CircuitConfig;
use crate::store::control::{self, DatabaseConfig, KeySource};

/// The pet store's definition, which `up` serves when it is given no other.
pub const PETSTORE: &str = include_str!("../../topology/petstore.yaml");
/// The partition in ARNs; the others are for regions of AWS itself.
const PARTITION: &str = "aws";
/// Its name in what is said of it.
const PETSTORE_FILE: &str = "petstore.yaml";

/// One node of a topology.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeConfig {
    Region(Box<RegionConfig>),
    Edge(Box<EdgeConfig>),
}

impl NodeConfig {
    pub fn common(&self) -> &CommonConfig {
        match self {
            NodeConfig::Region(region) => &region.common,
            NodeConfig::Edge(edge) => &edge.common,
        }
    }
}

/// What all nodes of a cluster agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    pub name: String,
    /// Public domain, lower case: APIs answer at `{api-id}.execute-api.{aws-region}.{domain}`.
    pub domain: String,
    /// The region node's name.
    pub region: NodeName,
    /// AWS's name of the region, such as `eu-central-1`, for host names, ARNs and `$context`.
    pub aws_region: String,
    /// Twelve digits, for ARNs and `$context.accountId`.
    pub account_id: String,
}

/// What edge and region nodes have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonConfig {
    pub name: NodeName,
    pub cluster: ClusterConfig,
    /// The node's own folder.
    pub data: PathBuf,
    /// Free text for people, such as `Frankfurt`; may be empty.
    pub location: String,
    pub admin: AdminConfig,
    pub gossip: GossipConfig,
    pub cache: CacheConfig,
    pub limits: LimitsConfig,
    pub timeouts: TimeoutsConfig,
    pub certificates: Vec<CertificateConfig>,
    /// HTTP/3 besides HTTP/1.1 and HTTP/2, on the UDP port of the same number.
    pub http3: bool,
    /// Data-plane threads; `None` is one per core.
    pub workers: Option<usize>,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RegionConfig {
    pub common: CommonConfig,
    /// HTTPS for clients; `None` is off.
    pub public: Option<SocketAddr>,
    /// HTTPS for PRIVATE APIs.
    pub private: Option<SocketAddr>,
    /// Plain HTTP that only redirects to `public`.
    pub plain: Option<SocketAddr>,
    /// UDP, where edges dial in; `None` in a cluster without edges.
    pub tunnel: Option<SocketAddr>,
    pub backends: BackendsConfig,
    /// What VPC links lead to; ARNs are unique.
    pub balancers: Vec<BalancerConfig>,
    pub aws: AwsConfig,
    pub functions: FunctionsConfig,
    pub store: StoreConfig,
    /// The admin listener asks nobody who they are: for tests on loopback.
    pub open_admin: bool,
    /// Pairs of id and stage are unique.
    pub apis: Vec<ApiConfig>,
}

/// Which doors of a cluster are open to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    pub edges: bool,
    pub public: bool,
    pub private: bool,
}

impl CommonConfig {
    /// The account and region the control plane plays.
    pub fn site(&self) -> Site {
        Site {
            partition: PARTITION.to_owned(),
            aws_region: self.cluster.aws_region.clone(),
            account_id: self.cluster.account_id.clone(),
            domain: self.cluster.domain.clone(),
            port: String::new(),
            installation: Installation::default(),
        }
    }
}

impl RegionConfig {
    /// The same as all nodes have it, and what only this region can do.
    pub fn site(&self) -> Site {
        // A shorter one cuts what is asked for; it refuses nobody.
        let most = self.common.timeouts.integration_max.max(quotas::INTEGRATION_TIMEOUT_MAX);
        let most = most.as_millis();
        let arns = self.balancers.iter().map(|balancer| balancer.arn.clone());
        let installation = Installation {
            integration_timeout_max_ms: u64::try_from(most).unwrap_or(u64::MAX),
            load_balancers: arns.collect(),
        };
        Site { installation, ..self.common.site() }
    }

    pub fn doors(&self) -> Doors {
        Doors {
            edges: self.tunnel.is_some(),
            public: self.public.is_some(),
            private: self.private.is_some(),
        }
    }
}

impl Doors {
    /// What to do so that an API of this type is served to anybody; `None` where one can reach it.
    pub fn remedy(self, endpoint_type: EndpointType) -> Option<&'static str> {
        match endpoint_type {
            // Without edges the region's public door serves these as well.
            EndpointType::Edge if !self.edges && !self.public => Some("add an `[[edge]]`"),
            EndpointType::Regional if !self.public => {
                Some("switch the region's `public` listener on")
            }
            EndpointType::Private if !self.private => Some("give the region a `private` listener"),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct EdgeConfig {
    pub common: CommonConfig,
    /// Point of presence, such as `fra1`; several edges may share one.
    pub pop: String,
    /// HTTPS for clients.
    pub public: SocketAddr,
    /// Plain HTTP that only redirects to `public`.
    pub plain: Option<SocketAddr>,
    /// `host:port` of the region's tunnel, in order of preference; never empty.
    pub regions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Set wherever the address is not loopback.
    pub https: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipConfig {
    /// UDP.
    pub listen: SocketAddr,
    /// Where the other nodes reach it; never the unspecified address.
    pub advertise: SocketAddr,
    /// The advertised addresses of all other nodes.
    pub seeds: Vec<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    pub memory_bytes: u64,
    /// 0: no disk tier.
    pub disk_bytes: u64,
    pub folder: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    pub body_bytes: u64,
    /// Names and values of all headers of a request together.
    pub header_bytes: usize,
    /// Request target at an edge and at a private listener.
    pub uri_bytes_edge: usize,
    /// Request target at the region's public listener.
    pub uri_bytes_regional: usize,
    pub connections_per_address: u32,
    pub handshakes_per_address_per_second: u32,
    pub streams_per_connection: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body_bytes: quotas::BODY_BYTES_MAX,
            header_bytes: quotas::HEADER_BYTES_MAX,
            uri_bytes_edge: quotas::URI_BYTES_MAX_EDGE,
            uri_bytes_regional: quotas::URI_BYTES_MAX_REGIONAL,
            // Ours: a large office behind one address, and far below what would hurt a core.
            connections_per_address: 1_000,
            handshakes_per_address_per_second: 100,
            // Ours, as nginx and HAProxy have it by default (128 and 100).
            streams_per_connection: 128,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutsConfig {
    /// From the connection's first byte, TLS included, to the end of the head.
    pub header_read: Duration,
    /// A connection without a request in flight.
    pub idle: Duration,
    /// A body that moves no byte in either direction.
    pub stall: Duration,
    /// The longest `timeoutInMillis` a definition may ask for.
    pub integration_max: Duration,
    /// What calls in flight get when a node stops.
    pub drain_grace: Duration,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            idle: quotas::IDLE_CONNECTION,
            stall: Duration::from_secs(60),
            integration_max: quotas::INTEGRATION_TIMEOUT_MAX,
            // An integration may take 29 s.
            drain_grace: Duration::from_secs(30),
        }
    }
}

/// A certificate for listeners, in place of the local CA's; reread when the files change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// Lower-case host names; the first label may be `*`.
    pub names: Vec<String>,
    /// PEM, leaf first.
    pub cert: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendsConfig {
    /// PEM files of CAs that HTTPS backends may have besides the system's.
    pub roots: Vec<PathBuf>,
    /// Whether the system's CAs are trusted.
    pub system_roots: bool,
    /// Connections to one backend; further calls wait. `None`: the client's own bound.
    pub connections_max: Option<usize>,
    /// Calls that may wait for a connection to one backend. `None`: any number, as AWS has it.
    pub pending_max: Option<usize>,
    /// `None`: off, as AWS has it.
    pub circuit: Option<CircuitConfig>,
}

/// A load balancer as the topology has it; see [`link::BalancerConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerConfig {
    pub arn: String,
    pub link: Option<String>,
    pub listeners: Vec<link::ListenerConfig>,
    pub health: Option<link::HealthConfig>,
    pub outliers: link::OutlierConfig,
    /// PEM files.
    pub tls_roots: Vec<PathBuf>,
}

/// What stands behind AWS integrations, and whose keys sign for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsConfig {
    pub lambda: LambdaConfig,
    pub services: Vec<ServiceConfig>,
    pub credentials: Vec<CredentialsConfig>,
    /// Where roles without credentials of their own are assumed.
    pub sts: Option<StsConfig>,
}

/// Where functions are invoked that the region does not run itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LambdaConfig {
    /// An address that speaks Lambda's Invoke API; `None` is AWS where there are keys, else nowhere.
    pub endpoint: Option<String>,
    /// Functions with an address of their own.
    pub functions: Vec<FunctionEndpoint>,
    /// `None`: requests are not signed unless the integration names a role.
    pub keys: Option<KeysConfig>,
    /// `None`: the one in the integration's URI.
    pub aws_region: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionEndpoint {
    pub name: String,
    pub endpoint: String,
}

/// A service that lives somewhere else than at AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// As integration URIs have it: `dynamodb`, or with its subdomain, `data-ats.iot`.
    pub name: String,
    pub endpoint: String,
    /// Its name in signatures, where that is another.
    pub signing_name: Option<String>,
}

/// Whose keys sign for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsConfig {
    /// The role's ARN; `*` is every role without credentials of its own.
    pub role: String,
    pub keys: KeysConfig,
}

/// A key pair whose secrets stand in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysConfig {
    pub access_key_id: String,
    pub secret_key_file: PathBuf,
    pub session_token_file: Option<PathBuf>,
}

/// A Security Token Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsConfig {
    /// `None` is AWS.
    pub endpoint: Option<String>,
    /// `None` is the cluster's.
    pub aws_region: Option<String>,
    pub keys: KeysConfig,
}

impl AwsConfig {
    /// The files with secrets.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let stored = self.credentials.iter().map(|credentials| &credentials.keys);
        let sts = self.sts.iter().map(|sts| &sts.keys);
        let keys = self.lambda.keys.iter().chain(stored).chain(sts);
        keys.flat_map(|keys| std::iter::once(&keys.secret_key_file).chain(&keys.session_token_file))
    }
}

/// Functions that the region runs itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionsConfig {
    /// Names are unique.
    pub functions: Vec<FunctionConfig>,
    pub runtimes: Runtimes,
    /// Of the templates that the topology takes functions from. A region does not start with any;
    /// edges read the same topology and need no template.
    pub problems: Problems,
}

/// Where the region keeps what its control plane is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub database: DatabaseConfig,
    pub key: KeySource,
}

impl StoreConfig {
    /// The default: a file and its key in the node's data folder.
    pub fn in_folder(data: &Path) -> Self {
        Self {
            database: DatabaseConfig::Sqlite { path: data.join("control.db") },
            key: KeySource::File(data.join("control.key")),
        }
    }

    /// As the store wants it.
    pub fn control(self) -> control::Config {
        control::Config { database: self.database, key: self.key }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `tracing_subscriber::EnvFilter`'s syntax.
    pub filter: String,
    pub json: bool,
}

/// One API on one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiConfig {
    pub id: ApiId,
    /// For people: the topology's name for the API, or its file's.
    pub label: String,
    /// Replaces the definition's title.
    pub name: Option<String>,
    pub document: Document,
    /// Replaces the definition's endpoint type.
    pub endpoint_type: Option<EndpointType>,
    /// Holds when neither topology nor definition names a type: EDGE where there are edges, as
    /// AWS has it, else REGIONAL.
    pub endpoint_type_default: EndpointType,
    pub stage: Stage,
    /// Custom domain names of the stage.
    pub domains: Vec<BasePathMapping>,
}

/// Where a definition comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// [`PETSTORE`]. Its backend is the program's own; whoever starts it puts the backend's
    /// `host:port` into the stage variable `petstore`.
    PetStore,
    File(PathBuf),
}

impl ApiConfig {
    /// The document's name for people and its bytes as they are now.
    ///
    /// # Errors
    /// Why its file cannot be read.
    pub fn read(&self) -> Result<(String, Vec<u8>), Problem> {
        let path = match &self.document {
            Document::PetStore => return Ok((PETSTORE_FILE.to_owned(), PETSTORE.into())),
            Document::File(path) => path,
        };
        let file = path.display().to_string();
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too long from one that just fits.
        File::open(path)
            .and_then(|open| open.take(quotas::DEFINITION_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|err| Problem::of_file(&file, format!("cannot be read: {err}")))?;
        Ok((file, bytes))
    }

    /// The file to watch for changes.
    pub fn file(&self) -> Option<&Path> {
        match &self.document {
            Document::PetStore => None,
            Document::File(path) => Some(path),
        }
    }
}
