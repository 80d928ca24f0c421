//! What an edge and the region have in common, laid before either is filled.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::admin::operations::ControlPlane;
use crate::auth::Auth;
use crate::cache::purge::Purges;
use crate::cache::tiers::{self, DiskConfig, ResponseCache};
use crate::call::Door;
use crate::deployment::Deployments;
use crate::deployment::compile::Compiler;
use crate::deployment::snapshot::Site;
use crate::gossip::{self, Gossip, Key};
use crate::limits::Limits;
use crate::listener::{
    self, Bound, CertificateSource, Certificates, Gauges, ListenerError, Material, Speaks,
};
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Timestamp;
use crate::net::socket::Listener;
use crate::net::tasks::Tasks;
use crate::node::config::CommonConfig;
use crate::node::control::Control;
use crate::node::identity::{self, Identity};
use crate::node::{Environment, StartError};
use crate::pipeline::record::Telemetry;
use crate::pipeline::{Gateway, Origin};
use crate::store::StoreError;
use crate::store::parts::Parts;
use crate::store::purge_log::PurgeLog;
use crate::telemetry::access_log::{self, AccessLogs};
use crate::telemetry::metrics::Metrics;
use crate::tunnel::{Edges, Tunnel};
use uuid::Uuid;

/// Parts that every node has, before it has a `Gateway`.
pub(super) struct Foundation {
    pub(super) common: CommonConfig,
    pub(super) identity: Identity,
    pub(super) environment: Environment,
    pub(super) tasks: Tasks,
    pub(super) workers: Vec<Tasks>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access_logs: AccessLogs,
    pub(super) purge_log: Arc<Mutex<PurgeLog>>,
    pub(super) instance: Uuid,
    pub(super) purges: Purges,
    pub(super) parts: Parts,
    pub(super) site: Arc<Site>,
}

/// The client listeners of a node, bound and named for metrics.
pub(super) fn named(
    bound: [(&'static str, &Option<Bound>); 3],
) -> Vec<(&'static str, Arc<Gauges>)> {
    bound.into_iter().filter_map(|(name, bound)| Some((name, bound.as_ref()?.gauges()))).collect()
}

/// What the tasks of a running node share.
pub(super) struct Core {
    pub(super) common: CommonConfig,
    pub(super) role: &'static str,
    pub(super) gateway: Arc<Gateway>,
    pub(super) gossip: Gossip,
    pub(super) identity: Identity,
    pub(super) purge_log: Arc<Mutex<PurgeLog>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access_logs: AccessLogs,
    /// By listener: `public`, `private`, `plain`.
    pub(super) listeners: Vec<(&'static str, Arc<Gauges>)>,
    pub(super) started_at: Timestamp,
    /// Region only.
    pub(super) edges: Option<Edges>,
    /// Edge only.
    pub(super) tunnel: Option<Tunnel>,
    certificates: Arc<Certificates>,
    /// Region only.
    pub(super) control: Option<Control>,
    /// Region only, once it stands.
    plane: OnceLock<Arc<ControlPlane>>,
    pub(super) tasks: Tasks,
}

/// What `edge` and `region` put upon the foundation.
pub(super) struct Filled {
    pub(super) role: &'static str,
    pub(super) gateway: Arc<Gateway>,
    pub(super) gossip: Gossip,
    pub(super) listeners: Vec<(&'static str, Arc<Gauges>)>,
    pub(super) edges: Option<Edges>,
    pub(super) tunnel: Option<Tunnel>,
    pub(super) certificates: Arc<Certificates>,
}

impl Foundation {
    /// Opens folders, logs and the cache's books. Called on the control runtime.
    pub(super) fn lay(
        common: CommonConfig,
        regional_only: bool,
        identity: Identity,
        environment: Environment,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let data = common.data.clone();
        let purge_log = PurgeLog::open(&data.join("purges.log"))?;
        let purges = Purges::new();
        purges.adopt(purge_log.log_id(), purge_log.head(), &purge_log.since(0));
        let site = Site {
            aws_region: common.cluster.aws_region.clone(),
            account_id: common.cluster.account_id.clone(),
            domain: common.cluster.domain.clone(),
            regional_only,
        };
        let logs = access_log::Config { folder: data.clone() };
        Ok(Self {
            workers: environment.workers.iter().map(|worker| tasks.on(worker.clone())).collect(),
            metrics: Arc::new(Metrics::new()),
            access_logs: AccessLogs::start(logs, tasks),
            parts: Parts::open(&data.join("parts"))?,
            instance: purge_log.instance(),
            purge_log: Arc::new(Mutex::new(purge_log)),
            purges,
            site: Arc::new(site),
            tasks: tasks.clone(),
            common,
            identity,
            environment,
        })
    }

    pub(super) fn deployments(&self) -> Deployments {
        let compiler = Compiler {
            site: Arc::clone(&self.site),
            metrics: Arc::clone(&self.metrics),
            access_logs: self.access_logs.clone(),
        };
        Deployments::new(compiler, Some(self.parts.clone()))
    }

    pub(super) fn gateway(&self, deployments: Arc<Deployments>, origin: Origin) -> Arc<Gateway> {
        let common = &self.common;
        let disk = (common.cache.disk_bytes > 0).then(|| {
            let folder = common.cache.folder.clone();
            DiskConfig::new(folder, common.cache.disk_bytes, self.instance)
        });
        let config =
            tiers::Config { memory_bytes: common.cache.memory_bytes, disk, ..Default::default() };
        let clock = self.environment.clock.clone();
        let cache = ResponseCache::start(config, clock.clone(), self.purges.clone(), &self.tasks);
        Arc::new(Gateway {
            deployments,
            auth: Auth,
            limits: Limits,
            cache,
            origin,
            telemetry: Telemetry {
                metrics: Arc::clone(&self.metrics),
                access_logs: self.access_logs.clone(),
                unrouted: self.metrics.stage(&ApiId::new("-"), &StageName::new("-")),
            },
            clock,
            tasks: self.tasks.clone(),
        })
    }

    pub(super) fn gossip(&self, values: Vec<(Key, String)>) -> Result<Gossip, StartError> {
        let common = &self.common;
        let mut config = gossip::Config::new(common.gossip.listen);
        config.advertise = Some(common.gossip.advertise);
        config.seeds = common.gossip.seeds.iter().map(SocketAddr::to_string).collect();
        config.values = vec![
            (Key::Version, env!("CARGO_PKG_VERSION").to_owned()),
            (Key::Location, common.location.clone()),
            // Said from the first round on: a node that is silent of it seems to have dropped none.
            (Key::PurgeApplied, self.purges.newest_seq().to_string()),
        ];
        config.values.extend(values);
        Ok(Gossip::start(
            config,
            Arc::clone(&self.environment.network),
            &self.identity.certificate,
            &self.tasks,
            &self.environment.clock,
        )?)
    }

    /// The certificates of the listeners: the operator's own, and the local CA's for the rest.
    pub(super) fn certificates(&self) -> Result<Arc<Certificates>, StartError> {
        let own = self.common.certificates.iter().map(|given| CertificateSource {
            names: given.names.clone(),
            material: Material::Files { chain: given.cert.clone(), key: given.key.clone() },
        });
        let sources = std::iter::once(self.identity.https.clone()).chain(own).collect();
        let certificates = Certificates::load(sources)?;
        certificates.watch(&self.tasks);
        identity::watch(self.identity.certificate.clone(), self.common.data.clone(), &self.tasks);
        Ok(certificates)
    }

    pub(super) fn bind(
        &self,
        door: Door,
        address: SocketAddr,
        speaks: Speaks,
    ) -> Result<Bound, StartError> {
        let limits = &self.common.limits;
        let timeouts = &self.common.timeouts;
        let uri_bytes = match door {
            Door::Region => limits.uri_bytes_regional,
            _ => limits.uri_bytes_edge,
        };
        let config = listener::Config {
            door,
            address,
            speaks,
            limits: listener::Limits {
                uri_bytes,
                header_bytes: limits.header_bytes,
                body_bytes: limits.body_bytes,
                header_timeout: timeouts.header_read,
                idle_timeout: timeouts.idle,
                body_stall: timeouts.stall,
                write_stall: timeouts.stall,
                connections_per_address: limits.connections_per_address,
                handshakes_per_address_per_second: limits.handshakes_per_address_per_second,
                streams_per_connection: limits.streams_per_connection,
            },
        };
        let Environment { network, clock, .. } = &self.environment;
        Ok(listener::bind(config, network, clock, &self.workers)?)
    }

    /// What the running node's tasks share.
    pub(super) fn core(self, filled: Filled, control: Option<Control>) -> Arc<Core> {
        let Filled { role, gateway, gossip, listeners, edges, tunnel, certificates } = filled;
        Arc::new(Core {
            role,
            gateway,
            gossip,
            identity: self.identity,
            purge_log: self.purge_log,
            metrics: self.metrics,
            access_logs: self.access_logs,
            listeners,
            started_at: self.environment.clock.now(),
            edges,
            tunnel,
            certificates,
            control,
            plane: OnceLock::new(),
            tasks: self.tasks,
            common: self.common,
        })
    }

    /// Where clients come in: HTTPS, and the plain port that only redirects to it.
    pub(super) fn https(&self) -> Speaks {
        Speaks::Https { http3: self.common.http3 }
    }

    pub(super) fn bind_admin(&self) -> Result<Listener, StartError> {
        let address = self.common.admin.listen;
        let _control = self.environment.control.enter();
        self.environment.network.listen(address, false).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ListenerError::AddressTaken { address }.into(),
            _ => StartError::Admin { address, source },
        })
    }
}

impl Core {
    /// Runs a change of the purge log off the async threads: it waits for the disk.
    pub(super) async fn with_purge_log<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut PurgeLog) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let log = Arc::clone(&self.purge_log);
        let changed = self.tasks.runtime().spawn_blocking(move || {
            change(&mut log.lock().unwrap_or_else(PoisonError::into_inner))
        });
        changed.await.unwrap_or(Err(StoreError::Invalid("the change was abandoned")))
    }
}

impl Core {
    pub(super) fn set_plane(&self, plane: ControlPlane) {
        if self.plane.set(Arc::new(plane)).is_err() {
            tracing::error!("A node got two control planes; the first one stays.");
        }
    }

    pub(super) fn plane(&self) -> Option<Arc<ControlPlane>> {
        self.plane.get().cloned()
    }

    /// Takes the certificates of the custom domains that are served now.
    pub(super) fn take_certificates(&self) {
        let snapshot = self.gateway.deployments.current();
        let mut sources: Vec<CertificateSource> = Vec::new();
        let mapped = snapshot.stages().flat_map(|stage| &stage.domains);
        let mapped = mapped.map(|mapping| (&mapping.domain_name, &mapping.certificate));
        let ruled = snapshot.stages().flat_map(|stage| &stage.routing_rules);
        let ruled = ruled.map(|rule| (&rule.domain_name, &rule.certificate));
        for (name, certificate) in mapped.chain(ruled) {
            let Some(certificate) = certificate else { continue };
            if sources.iter().any(|known| known.names.contains(name)) {
                continue;
            }
            sources.push(CertificateSource {
                names: vec![name.clone()],
                material: Material::Pem {
                    chain: certificate.chain.as_bytes().into(),
                    key: certificate.key.as_bytes().into(),
                },
            });
        }
        self.certificates.serve_uploaded(sources);
    }

    pub(super) fn purge_head(&self) -> u64 {
        self.purge_log.lock().unwrap_or_else(PoisonError::into_inner).head()
    }

    /// Says what this node serves and has dropped.
    pub(super) fn announce(&self) {
        let seq = self.purge_head().to_string();
        self.gossip.set(Key::PurgeApplied, &seq);
        if self.edges.is_some() || self.tunnel.is_none() {
            self.gossip.set(Key::PurgeHead, &seq);
        }
        self.gossip.set(Key::ConfigEpoch, &self.gateway.deployments.epoch().to_string());
    }
}
