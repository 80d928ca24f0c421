//! A stage: a named, configured copy of an API that callers reach.
//!
//! AWS: API Gateway REST API Reference, "Stage" and "MethodSetting".

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::ids::{DeploymentId, StageName};
use crate::model::quotas;
use crate::model::rest_api::RestApi;

/// One stage with the API it serves: the part a deployment ships to every node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageDeployment {
    pub deployment_id: DeploymentId,
    pub api: RestApi,
    pub stage: Stage,
    /// Custom domain names under which the stage answers.
    pub domains: Vec<BasePathMapping>,
    /// Rules of custom domains that lead to the stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing_rules: Vec<RoutingRule>,
    /// Id of each VPC link that the API names → ARNs of the load balancers behind it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub vpc_links: IndexMap<String, Vec<String>>,
}

/// A base path of a custom domain, mapped to a stage.
/// AWS: API Gateway REST API Reference, "BasePathMapping".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasePathMapping {
    /// Lower-case host name.
    pub domain_name: String,
    /// Without slashes at its ends; empty maps everything.
    pub base_path: String,
    /// Whether the caller names the stage, in the segment after the base path.
    #[serde(default)]
    pub stage_in_path: bool,
    /// What the domain's owner uploaded for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<DomainCertificate>,
}

/// A rule of a custom domain that leads to a stage.
/// AWS: API Gateway Version 2 API Reference, "RoutingRule".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingRule {
    /// Lower-case host name.
    pub domain_name: String,
    pub id: String,
    /// 1 to 1,000,000, unique in its domain; the lowest number is asked first.
    pub priority: u32,
    /// All must fit; without any the rule fits every call.
    pub conditions: Vec<RuleCondition>,
    /// Whether the base path that fitted is taken off.
    pub strips_base_path: bool,
    /// The domain has no other way than its rules (`ROUTING_RULE_ONLY`).
    pub is_rules_only: bool,
    /// What the domain's owner uploaded for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<DomainCertificate>,
}

/// Fits when any of its members does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleCondition {
    Headers(Vec<HeaderCondition>),
    BasePaths(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderCondition {
    /// In any case.
    pub header: String,
    /// `*` at its beginning, its end or both stands for anything; compared with case.
    pub value_glob: String,
}

/// A certificate for a custom domain, as every node that answers for the domain needs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCertificate {
    /// PEM, leaf first.
    pub chain: String,
    /// PEM.
    pub key: String,
}

impl fmt::Debug for DomainCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DomainCertificate(…)")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub name: StageName,
    pub variables: IndexMap<String, String>,
    /// `cacheClusterEnabled`: without it no method of the stage is cached.
    pub cache_enabled: bool,
    /// What holds for a method without settings of its own (AWS writes it `*/*`).
    pub defaults: MethodSettings,
    /// `{resource path without its first slash}/{VERB}`, as AWS writes it → settings.
    /// Example: `pets/{id}/GET`; the root resource is `/GET`.
    pub methods: IndexMap<String, MethodSettings>,
    pub access_log: Option<AccessLogSettings>,
    /// What the stage presents to backends that ask for a certificate. Only the region has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<DomainCertificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Box<Canary>>,
    /// `X-Cache` and `Age` on answers of an edge-optimized endpoint.
    pub cache_headers: bool,
}

/// Another deployment that gets some of a stage's calls.
/// AWS: API Gateway REST API Reference, "CanarySettings".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// 0 to 100.
    pub percent_traffic: f64,
    pub deployment_id: DeploymentId,
    pub api: RestApi,
    /// All of them: the stage's with the canary's put in.
    pub variables: IndexMap<String, String>,
    /// Whether both share their cached answers.
    pub use_stage_cache: bool,
}

/// What the execution log gets. AWS: "Set up CloudWatch logging for REST APIs in API Gateway".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LoggingLevel {
    #[default]
    Off,
    Error,
    Info,
}

/// What a caller gets who may not bypass the cache and tries.
/// AWS: API Gateway REST API Reference, "MethodSetting".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnauthorizedCacheControl {
    #[serde(rename = "FAIL_WITH_403")]
    FailWith403,
    #[default]
    SucceedWithResponseHeader,
    SucceedWithoutResponseHeader,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodSettings {
    /// `None`: GET is cached, other verbs are not ("Enable API caching", default of a stage).
    pub caching_enabled: Option<bool>,
    /// Seconds, 0 to 3600; 0 switches caching off.
    pub cache_ttl_seconds: u32,
    pub require_authorization_for_cache_control: bool,
    /// Kept for the limits issue; not yet effective.
    pub throttling_rate_limit: Option<f64>,
    pub throttling_burst_limit: Option<u32>,
    /// `cacheDataEncrypted`: nothing of it may lie on a disk in the clear.
    #[serde(default)]
    pub cache_data_encrypted: bool,
    #[serde(default)]
    pub unauthorized_cache_control: UnauthorizedCacheControl,
    #[serde(default)]
    pub logging_level: LoggingLevel,
    /// Bodies and headers go into the execution log as well.
    #[serde(default)]
    pub data_trace: bool,
    /// Metrics by method.
    #[serde(default)]
    pub metrics: bool,
}

impl Default for MethodSettings {
    fn default() -> Self {
        Self {
            caching_enabled: None,
            cache_ttl_seconds: quotas::CACHE_TTL_DEFAULT_SECONDS,
            require_authorization_for_cache_control: true,
            throttling_rate_limit: None,
            throttling_burst_limit: None,
            cache_data_encrypted: false,
            unauthorized_cache_control: UnauthorizedCacheControl::default(),
            logging_level: LoggingLevel::default(),
            data_trace: false,
            metrics: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogSettings {
    /// The `$context` format string, or one of the presets `CLF`, `JSON`, `XML`, `CSV`.
    pub format: String,
    /// File the lines go to, relative to the node's data folder; `-` is standard output.
    pub destination: String,
}
