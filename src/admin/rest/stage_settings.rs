//! Method settings of a stage, as UpdateStage patches them.
//!
//! A path is `/{resource path}/{VERB}/{group}/{setting}` or `/*/*/{group}/{setting}`, and clients
//! write the resource path both raw and escaped. So it is read from its end, and the entry's key
//! is what stood before the setting, exactly as it was sent: Terraform looks for its own spelling.
//! Recorded: the first setting of a method fills in the others, from the stage's `*/*` where it has
//! one; a later change of `*/*` does not touch the entry again.
//!
//! AWS: API Gateway REST API Reference, "MethodSetting", "Patch Operations".

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::patch::{self, Op, PatchOperation};
use crate::admin::rest::stages;
use crate::model::quotas;
use crate::store::control::Body;

const MEMBER: &str = "methodSettings";
/// What holds for the whole stage.
const EVERY_METHOD: &str = "*/*";
/// AWS: "Quotas for configuring and running a REST API": the account's throttle.
const BURST_DEFAULT: i64 = 5_000;
const RATE_DEFAULT: f64 = 10_000.0;
/// Entries of one stage; ours, beyond one for each method of a large API.
const ENTRIES_MAX: usize = 10_000;
const VERBS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY"];
const LEVELS: [&str; 3] = ["OFF", "ERROR", "INFO"];
const STRATEGIES: [&str; 3] =
    ["FAIL_WITH_403", "SUCCEED_WITH_RESPONSE_HEADER", "SUCCEED_WITHOUT_RESPONSE_HEADER"];
/// What AWS lists when it does not know a path; the missing commas are recorded.
const PATHS: &str = "[/deploymentId, /description, /cacheClusterEnabled, /cacheClusterSize, \
     /clientCertificateId, /accessLogSettings, /accessLogSettings/destinationArn, \
     /accessLogSettings/format, /{resourcePath}/{httpMethod}/metrics/enabled, \
     /{resourcePath}/{httpMethod}/logging/dataTrace, \
     /{resourcePath}/{httpMethod}/logging/loglevel, \
     /{resourcePath}/{httpMethod}/throttling/burstLimit\
     /{resourcePath}/{httpMethod}/throttling/rateLimit\
     /{resourcePath}/{httpMethod}/caching/ttlInSeconds, \
     /{resourcePath}/{httpMethod}/caching/enabled, \
     /{resourcePath}/{httpMethod}/caching/dataEncrypted, \
     /{resourcePath}/{httpMethod}/caching/requireAuthorizationForCacheControl, \
     /{resourcePath}/{httpMethod}/caching/unauthorizedCacheControlHeaderStrategy, \
     /*/*/metrics/enabled, /*/*/logging/dataTrace, /*/*/logging/loglevel, \
     /*/*/throttling/burstLimit /*/*/throttling/rateLimit /*/*/caching/ttlInSeconds, \
     /*/*/caching/enabled, /*/*/caching/dataEncrypted, \
     /*/*/caching/requireAuthorizationForCacheControl, \
     /*/*/caching/unauthorizedCacheControlHeaderStrategy, /variables/{variable_name}, \
     /tracingEnabled]";

/// A setting that a path's last two segments name.
#[derive(Clone, Copy)]
struct Setting {
    path: (&'static str, &'static str),
    member: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Flag,
    /// Between these bounds.
    Integer(i64, i64),
    Number,
    OneOf(&'static [&'static str]),
}

const SETTINGS: [Setting; 10] = [
    setting("metrics", "enabled", "metricsEnabled", Kind::Flag),
    setting("logging", "loglevel", "loggingLevel", Kind::OneOf(&LEVELS)),
    setting("logging", "dataTrace", "dataTraceEnabled", Kind::Flag),
    // CloudFormation and Terraform write -1 for no limit.
    setting("throttling", "burstLimit", "throttlingBurstLimit", Kind::Integer(-1, i32::MAX as i64)),
    setting("throttling", "rateLimit", "throttlingRateLimit", Kind::Number),
    setting("caching", "enabled", "cachingEnabled", Kind::Flag),
    setting(
        "caching",
        "ttlInSeconds",
        "cacheTtlInSeconds",
        Kind::Integer(0, quotas::CACHE_TTL_MAX_SECONDS as i64),
    ),
    setting("caching", "dataEncrypted", "cacheDataEncrypted", Kind::Flag),
    setting(
        "caching",
        "requireAuthorizationForCacheControl",
        "requireAuthorizationForCacheControl",
        Kind::Flag,
    ),
    setting(
        "caching",
        "unauthorizedCacheControlHeaderStrategy",
        "unauthorizedCacheControlHeaderStrategy",
        Kind::OneOf(&STRATEGIES),
    ),
];

const fn setting(
    group: &'static str,
    name: &'static str,
    member: &'static str,
    kind: Kind,
) -> Setting {
    Setting { path: (group, name), member, kind }
}

/// One operation on a method's settings. Any path that is none is refused here.
pub(super) fn patch(stage: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let path = operation.path.as_deref().unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(path);
    if operation.op == Op::Remove {
        return remove(stage, path, operation);
    }
    let Some((key, setting)) = read(path) else { return Err(unknown_path(operation)) };
    if operation.op != Op::Replace {
        return Err(stages::invalid_operation(operation));
    }
    let value = setting.value(operation.value())?;
    let settings = patch::object(stage, MEMBER);
    if !settings.contains_key(key) {
        if settings.len() >= ENTRIES_MAX {
            let text = format!("Too many method settings: at most {ENTRIES_MAX}");
            return Err(ApiError::bad_request(text));
        }
        let whole = settings.get(EVERY_METHOD).cloned().unwrap_or_else(defaults);
        settings.insert(key.to_owned(), whole);
    }
    patch::object(settings, key).insert(setting.member.to_owned(), value);
    Ok(())
}

/// Drops a method's entry, by its own spelling or by another of the same method.
fn remove(stage: &mut Body, path: &str, operation: &PatchOperation) -> Result<(), ApiError> {
    let settings = patch::object(stage, MEMBER);
    let known = if settings.contains_key(path) {
        Some(path.to_owned())
    } else {
        settings.keys().find(|key| plain(key) == plain(path)).cloned()
    };
    let known = known.ok_or_else(|| stages::no_method_setting(operation))?;
    settings.shift_remove(&known);
    Ok(())
}

/// The key without its spelling: `~1pets/GET` and `pets/GET` are one method's.
fn plain(key: &str) -> String {
    let unescaped = patch::unescape(key);
    unescaped.trim_start_matches('/').to_owned()
}

/// The entry's key and the setting that a path names, read from its end.
fn read(path: &str) -> Option<(&str, &'static Setting)> {
    let (before, name) = path.rsplit_once('/')?;
    let (key, group) = before.rsplit_once('/')?;
    let (_, verb) = key.rsplit_once('/')?;
    if key != EVERY_METHOD && !VERBS.contains(&verb) {
        return None;
    }
    let setting = SETTINGS.iter().find(|setting| setting.path == (group, name))?;
    Some((key, setting))
}

impl Setting {
    fn value(&self, sent: &str) -> Result<Value, ApiError> {
        let value = match self.kind {
            Kind::Flag => Some(Value::from(sent.eq_ignore_ascii_case("true"))),
            Kind::Integer(least, most) => sent
                .parse::<i64>()
                .ok()
                .filter(|number| (least..=most).contains(number))
                .map(Value::from),
            Kind::Number => sent
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && (*number >= 0.0 || *number == -1.0))
                .map(Value::from),
            Kind::OneOf(names) => names.contains(&sent).then(|| Value::from(sent)),
        };
        value.ok_or_else(|| self.refusal(sent))
    }

    /// Ours; no recording of AWS's texts.
    fn refusal(&self, sent: &str) -> ApiError {
        let (group, name) = self.path;
        let wanted = match self.kind {
            Kind::Flag => "true or false".to_owned(),
            Kind::Integer(least, most) => format!("an integer from {least} to {most}"),
            Kind::Number => "a number, or -1 for no limit".to_owned(),
            Kind::OneOf(names) => format!("one of [{}]", names.join(", ")),
        };
        ApiError::bad_request(format!("Invalid value for {group}/{name}: {sent}. Must be {wanted}"))
    }
}

/// Recorded: what stands beside the first setting of a stage. The log level is absent until set.
fn defaults() -> Value {
    let member = |name: &str, value: Value| (name.to_owned(), value);
    Value::Object(Map::from_iter([
        member("metricsEnabled", Value::from(false)),
        member("dataTraceEnabled", Value::from(false)),
        member("throttlingBurstLimit", Value::from(BURST_DEFAULT)),
        member("throttlingRateLimit", Value::from(RATE_DEFAULT)),
        member("cachingEnabled", Value::from(false)),
        member("cacheTtlInSeconds", Value::from(quotas::CACHE_TTL_DEFAULT_SECONDS)),
        member("cacheDataEncrypted", Value::from(false)),
        member("requireAuthorizationForCacheControl", Value::from(true)),
        member(
            "unauthorizedCacheControlHeaderStrategy",
            Value::from("SUCCEED_WITH_RESPONSE_HEADER"),
        ),
    ]))
}

pub(super) fn unknown_path(operation: &PatchOperation) -> ApiError {
    let path = operation.path.as_deref().unwrap_or("null");
    ApiError::bad_request(format!("Invalid method setting path: {path}. Must be one of: {PATHS}"))
}

#[cfg(test)]
#[path = "stage_settings_tests.rs"]
mod tests;
