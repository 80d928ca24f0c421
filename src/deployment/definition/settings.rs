//! A stage's own settings in AWS's shape, made the model's: variables, cache, throttles, access
//! log, canary.
//!
//! Settings of one method stand under a key that was stored as a client sent it: `pets/{id}/GET`
//! and `~1pets~1{id}/GET` are both in use and mean the same method.
//!
//! AWS: API Gateway REST API Reference, "Stage", "MethodSetting", "CanarySettings"; Developer
//! Guide, "Set up CloudWatch logging for REST APIs in API Gateway".

use std::path::{Component, Path};

use indexmap::IndexMap;
use serde_json::Value;

use super::{Findings, is_true, text};
use crate::cache::key::{KeySource, KeyTemplate};
use crate::model::ids::StageName;
use crate::model::rest_api::{Method, Resource, RestApi};
use crate::model::stage::{
    AccessLogSettings, LoggingLevel, MethodSettings, Stage, UnauthorizedCacheControl,
};
use crate::store::control::Body;
use crate::telemetry::access_log::Format;

/// What holds for the whole stage.
const EVERY_METHOD: &str = "*/*";
/// Bytes taken of a log group's name for its file; file systems allow 255.
const LOG_NAME_BYTES_MAX: usize = 200;

/// The stage and the deployment it points at.
pub(super) struct Read<'s> {
    pub(super) stage: Stage,
    pub(super) deployment_id: &'s str,
}

pub(super) fn stage<'s>(body: &'s Body, found: &mut Findings) -> Read<'s> {
    let member = |name: &str| body.get(name).unwrap_or(&Value::Null);
    let own = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let cache_enabled = member("cacheClusterEnabled").as_bool().unwrap_or(false);
    let variables = variables(member("variables"));
    let mut methods = IndexMap::new();
    let mut defaults = MethodSettings::default();
    for (key, settings) in member("methodSettings").as_object().into_iter().flatten() {
        let settings = method_settings(settings);
        match key.as_str() {
            EVERY_METHOD => defaults = settings,
            _ => {
                methods.insert(model_key(key), settings);
            }
        }
    }
    let stage = Stage {
        name: StageName::new(own("stageName")),
        variables,
        cache_enabled,
        defaults,
        methods,
        access_log: access_log(member("accessLogSettings"), found),
        // Ours: AWS has no such setting.
        cache_headers: member("tidegateCacheHeaders").as_bool().unwrap_or(true),
        ..Stage::default()
    };
    Read { stage, deployment_id: own("deploymentId") }
}

fn variables(member: &Value) -> IndexMap<String, String> {
    let entries = member.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// What the stage says of its canary, whose deployment's definition is read elsewhere.
pub(super) struct CanarySettings<'s> {
    pub(super) percent_traffic: f64,
    /// The canary's own; the stage's where it names none.
    pub(super) deployment_id: &'s str,
    pub(super) variables: IndexMap<String, String>,
    pub(super) use_stage_cache: bool,
}

pub(super) fn canary(stage: &Body) -> Option<CanarySettings<'_>> {
    let canary = stage.get("canarySettings").filter(|canary| canary.is_object())?;
    let mut variables = variables(stage.get("variables").unwrap_or(&Value::Null));
    let overrides = canary.get("stageVariableOverrides").unwrap_or(&Value::Null);
    variables.extend(self::variables(overrides));
    let own = stage.get("deploymentId").and_then(Value::as_str).unwrap_or_default();
    Some(CanarySettings {
        percent_traffic: canary.get("percentTraffic").and_then(Value::as_f64).unwrap_or(0.0),
        deployment_id: text(canary, "deploymentId").unwrap_or(own),
        variables,
        use_stage_cache: is_true(canary, "useStageCache"),
    })
}

fn method_settings(body: &Value) -> MethodSettings {
    let default = MethodSettings::default();
    let flag = |name: &str| body.get(name).and_then(Value::as_bool);
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let ttl = number("cacheTtlInSeconds").and_then(|ttl| u32::try_from(ttl).ok());
    // A negative limit, as CloudFormation writes it, is none.
    let rate = body.get("throttlingRateLimit").and_then(Value::as_f64);
    MethodSettings {
        caching_enabled: flag("cachingEnabled"),
        cache_ttl_seconds: ttl.unwrap_or(default.cache_ttl_seconds),
        require_authorization_for_cache_control: flag("requireAuthorizationForCacheControl")
            .unwrap_or(default.require_authorization_for_cache_control),
        throttling_rate_limit: rate.filter(|rate| *rate >= 0.0),
        throttling_burst_limit: number("throttlingBurstLimit")
            .and_then(|burst| u32::try_from(burst).ok()),
        cache_data_encrypted: is_true(body, "cacheDataEncrypted"),
        unauthorized_cache_control: match text(body, "unauthorizedCacheControlHeaderStrategy") {
            Some("FAIL_WITH_403") => UnauthorizedCacheControl::FailWith403,
            Some("SUCCEED_WITHOUT_RESPONSE_HEADER") => {
                UnauthorizedCacheControl::SucceedWithoutResponseHeader
            }
            _ => UnauthorizedCacheControl::SucceedWithResponseHeader,
        },
        logging_level: match text(body, "loggingLevel") {
            Some("ERROR") => LoggingLevel::Error,
            Some("INFO") => LoggingLevel::Info,
            _ => LoggingLevel::Off,
        },
        data_trace: is_true(body, "dataTraceEnabled"),
        metrics: is_true(body, "metricsEnabled"),
    }
}

/// A stored key as the model has it: `~1pets~1{id}/GET` is `pets/{id}/GET`, the root's is `/GET`.
pub(super) fn model_key(key: &str) -> String {
    let (path, verb) = key.rsplit_once('/').unwrap_or(("", key));
    let path = path.replace("~1", "/").replace("~0", "~");
    format!("{}/{verb}", path.trim_matches('/'))
}

/// An access log needs both its members; with one of them AWS writes nothing.
fn access_log(member: &Value, found: &mut Findings) -> Option<AccessLogSettings> {
    let filled = |name: &str| text(member, name).filter(|value| !value.is_empty());
    let (destination, format) = (filled("destinationArn")?, filled("format")?);
    if let Err(err) = Format::compile(format) {
        found.add("stage accessLogSettings format", err.to_string(), None);
    }
    Some(AccessLogSettings { format: format.to_owned(), destination: log_file(destination) })
}

/// The file in the node's data folder that stands for a log group or delivery stream:
/// `arn:aws:logs:us-east-1:000000000000:log-group:/shop/access` is `access-shop-access.log`.
///
/// `…:file:NAME` is a file of that name, and `…:file:-` standard output: what the topology says, and
/// a form of our own that clients may use, too.
fn log_file(arn: &str) -> String {
    if let Some((_, name)) = arn.split_once(":file:")
        && (name == "-" || Path::new(name).components().all(|c| matches!(c, Component::Normal(_))))
        && !name.is_empty()
        && !name.contains('\0')
    {
        return name.to_owned();
    }
    let name = ["log-group:", "deliverystream/"]
        .iter()
        .find_map(|before| arn.split_once(before).map(|(_, name)| name))
        .unwrap_or(arn);
    let name = name.trim_end_matches(":*").trim_matches('/');
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).take(LOG_NAME_BYTES_MAX).collect();
    format!("access-{name}.log")
}

/// Keys are compiled where the stage caches; elsewhere a parameter nobody can read does no harm.
pub(super) fn cache_key_compiles(
    api: &RestApi,
    stage: &Stage,
    resource: &Resource,
    method: &Method,
    place: &str,
    found: &mut Findings,
) {
    let parameters = &method.integration.cache_key_parameters;
    if !stage.cache_enabled || parameters.is_empty() {
        return;
    }
    let compiled = KeyTemplate::compile(&KeySource {
        api: &api.id,
        stage: &stage.name,
        canary: None,
        namespace: "",
        namespace_is_shared: false,
        http_method: "GET",
        resource_path: &resource.path,
        parameters,
    });
    if let Err(err) = compiled {
        found.add(format!("{place} integration cacheKeyParameters"), err.to_string(), None);
    }
}
