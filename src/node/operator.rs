//! What an operator sees and does at this node: the admin listener's questions, answered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};

use crate::admin::http::{self, Admin, AdminError, Confirmation, PurgeOutcome, PurgeRequest};
use crate::admin::operations::ControlPlane;
use crate::admin::status::{ApiStatus, CacheFill, ClusterStatus, NodeStatus};
use crate::gossip::{Key, NodeView};
use crate::listener::Certificates;
use crate::node::config::CommonConfig;
use crate::node::foundation::Core;
use crate::node::{ApiUrls, StartError};
use crate::store::purge_log::PurgeScope;
use crate::tunnel::Push;

/// How long a purge waits for edges to confirm before it says who did not.
const CONFIRM: Duration = Duration::from_secs(5);

pub(super) fn config(common: &CommonConfig) -> http::Config {
    http::Config { names: vec![common.cluster.domain.clone()], changes_without_certificate: false }
}

/// TLS of the admin listener where it is not on loopback: the listeners' certificates, and a client
/// certificate of the cluster for whoever wants to change something.
pub(super) fn tls(
    core: &Core,
    certificates: &Arc<Certificates>,
) -> Result<Option<Arc<rustls::ServerConfig>>, StartError> {
    if !core.common.admin.https {
        return Ok(None);
    }
    let failed = |err: &dyn std::fmt::Display| StartError::Deployment(format!("admin TLS: {err}"));
    let certificate = &core.identity.certificate;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(certificate.roots(), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|err| failed(&err))?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| failed(&err))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
    Ok(Some(Arc::new(config)))
}

#[async_trait]
impl Admin for Core {
    fn control_plane(&self) -> Option<Arc<ControlPlane>> {
        self.plane()
    }

    fn ready(&self) -> Result<(), Vec<String>> {
        let mut missing = Vec::new();
        if self.gateway.deployments.epoch() == 0 {
            missing.push("no configuration yet: the region has not been reached".to_owned());
        }
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    fn status(&self) -> ClusterStatus {
        let nodes = self.gossip.nodes();
        let newest = |key| nodes.iter().map(|node| number(node, key)).max().unwrap_or(0);
        let config_epoch = newest(Key::ConfigEpoch).max(self.gateway.deployments.epoch());
        let now = self.gateway.clock.now().as_millis();
        ClusterStatus {
            cluster: self.common.cluster.name.clone(),
            answered_by: self.common.name.as_str().to_owned(),
            config_epoch,
            purge_seq: newest(Key::PurgeHead),
            nodes: nodes.iter().map(|node| node_status(node, config_epoch, now)).collect(),
            apis: self.api_status(&nodes),
        }
    }

    fn metrics(&self) -> String {
        self.metrics.encode()
    }

    async fn purge(&self, request: PurgeRequest) -> Result<PurgeOutcome, AdminError> {
        if self.tunnel.is_some() {
            return Err(AdminError::NotHere);
        }
        let PurgeRequest { api, stage, path } = request;
        if self.gateway.deployments.current().stage(api.as_str(), stage.as_str()).is_none() {
            return Err(AdminError::UnknownStage { api, stage });
        }
        let scope = match path {
            None => PurgeScope::Stage { api, stage },
            Some(glob) => PurgeScope::Path { api, stage, glob },
        };
        scope.check().map_err(|err| AdminError::Invalid(err.to_string()))?;
        let at_ms = self.gateway.clock.now().as_millis();
        let record = self
            .with_purge_log(move |log| log.append(scope, at_ms))
            .await
            .map_err(|err| AdminError::Unavailable(err.to_string()))?;
        self.gateway.cache.purges().apply(&record);
        self.announce();
        let own = Confirmation { name: self.common.name.as_str().to_owned(), confirmed: true };
        let mut nodes = vec![own];
        if let Some(edges) = &self.edges {
            edges.push(Push::Purge { seq: record.seq });
            let confirmed = edges.confirmed(record.seq, CONFIRM).await;
            nodes.extend(confirmed.into_iter().map(|(name, confirmed)| Confirmation {
                name: name.as_str().to_owned(),
                confirmed,
            }));
        }
        Ok(PurgeOutcome { seq: record.seq, nodes })
    }
}

fn number(node: &NodeView, key: Key) -> u64 {
    node.get(key).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn node_status(node: &NodeView, newest_epoch: u64, now_ms: u64) -> NodeStatus {
    let text = |key| node.get(key).filter(|text| !text.is_empty()).map(str::to_owned);
    let config_epoch = number(node, Key::ConfigEpoch);
    NodeStatus {
        name: node.name.clone(),
        role: text(Key::Role).unwrap_or_default(),
        pop: text(Key::Pop),
        location: text(Key::Location),
        alive: node.alive && !node.is_leaving(),
        version: text(Key::Version).unwrap_or_default(),
        config_epoch,
        epoch_lag: newest_epoch.saturating_sub(config_epoch),
        purge_seq: number(node, Key::PurgeApplied),
        cache: CacheFill {
            memory_bytes: number(node, Key::CacheMemoryBytes),
            memory_entries: number(node, Key::CacheMemoryEntries),
            disk_bytes: number(node, Key::CacheDiskBytes),
        },
        uptime_seconds: now_ms.saturating_sub(number(node, Key::StartedAt)) / 1_000,
    }
}

impl Core {
    /// The stages this node serves.
    pub(super) fn apis(&self) -> Vec<ApiUrls> {
        let site = self.gateway.deployments.site();
        let snapshot = self.gateway.deployments.current();
        let mut apis: Vec<ApiUrls> = snapshot
            .stages()
            .map(|stage| ApiUrls {
                id: stage.api.as_str().to_owned(),
                stage: stage.name.as_str().to_owned(),
                name: stage.api_name.clone(),
                endpoint_type: stage.endpoint_type.as_str(),
                host: format!("{}.execute-api.{}.{}", stage.api, site.aws_region, site.domain),
                example: stage.example_path(),
            })
            .collect();
        apis.sort_by(|a, b| (&a.id, &a.stage).cmp(&(&b.id, &b.stage)));
        apis
    }

    fn api_status(&self, nodes: &[NodeView]) -> Vec<ApiStatus> {
        let alone = self.gateway.deployments.site().regional_only;
        let doors = |role: &str, key| -> Vec<&str> {
            let known = nodes.iter().filter(|node| node.alive && node.get(Key::Role) == Some(role));
            known.filter_map(|node| node.get(key)?.rsplit_once(':')).map(|(_, port)| port).collect()
        };
        let doors = |api: &ApiUrls| match api.endpoint_type {
            "EDGE" if !alone => doors("edge", Key::ListenersPublic),
            "PRIVATE" => doors("region", Key::ListenersPrivate),
            _ => doors("region", Key::ListenersPublic),
        };
        self.apis()
            .into_iter()
            .map(|api| ApiStatus {
                urls: doors(&api)
                    .into_iter()
                    .map(|port| format!("https://{}:{port}/{}", api.host, api.stage))
                    .collect(),
                name: api.name,
                id: api.id,
                stage: api.stage,
                endpoint_type: api.endpoint_type.to_owned(),
            })
            .collect()
    }
}
