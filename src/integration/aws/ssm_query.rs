//! Actions of SSM, which an integration names as AWS's older Query protocol has it.
//!
//! AWS asks SSM in that protocol: parameters come from `integration.request.querystring.*`, a
//! template's body has no effect, and the answer is wrapped (recorded: rest-data-plane 7.10). The
//! servers that one can run oneself speak SSM's JSON protocol alone, and so do its SDKs. So the JSON
//! request is made of the parameters, and the JSON answer is wrapped here.
//!
//! AWS: AWS Systems Manager API Reference; which members are no text is in botocore's model of SSM.
//! Query protocol (smithy's "AWS Query protocol"): `Names.member.1=a`, `Filter.Key=b`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use crate::call::{Body, MappedParameters, Reply};
use crate::integration::{IntegrationError, forward};

/// As URIs name it.
pub(super) const SERVICE: &str = "ssm";
/// Parts of a parameter's name, each of which is a level of the request. SSM's deepest has six.
const DEPTH_MAX: usize = 16;
/// Members of requests that are true or false, and that are whole numbers; all others are text.
/// Only `Details` has two meanings, and is not among them.
const FLAGS: [&str; 21] = [
    "Aggregator",
    "AllowUnassociatedTargets",
    "ApplyOnlyAtCronInterval",
    "ApprovedPatchesEnableNonSecurity",
    "AutoApprove",
    "CloudWatchOutputEnabled",
    "DryRun",
    "EnableAllOpsDataSources",
    "EnableNonSecurity",
    "Enabled",
    "Force",
    "IgnorePollAlarmFailure",
    "IncludeChildOrganizationUnits",
    "IncludeFutureRegions",
    "Overwrite",
    "Recursive",
    "Replace",
    "ReverseOrder",
    "Safe",
    "Shared",
    "WithDecryption",
];
const NUMBERS: [&str; 9] = [
    "ApproveAfterDays",
    "Cutoff",
    "Duration",
    "MaxResults",
    "ParameterVersion",
    "Priority",
    "RegistrationLimit",
    "ScheduleOffset",
    "TimeoutSeconds",
];

/// The request in JSON.
pub(super) fn request(parameters: &[(Arc<str>, String)]) -> Bytes {
    let mut request = Value::Object(Map::new());
    for (name, value) in parameters {
        // The gateway says these itself.
        if matches!(&**name, "Action" | "Version") {
            continue;
        }
        let parts: Vec<&str> = name.split('.').take(DEPTH_MAX).collect();
        put(&mut request, &parts, value);
    }
    Bytes::from(request.to_string())
}

/// What is mapped besides: the parameters are in the body, and its type is given.
pub(super) fn remaining(mapped: &MappedParameters) -> MappedParameters {
    let headers = mapped.headers.iter().filter(|(name, _)| *name != header::CONTENT_TYPE);
    MappedParameters {
        headers: headers.cloned().collect(),
        query: Vec::new(),
        path: mapped.path.clone(),
    }
}

/// Puts a value where its name's parts lead. Entries of a list come in the order they are given.
fn put(into: &mut Value, parts: &[&str], value: &str) {
    let Value::Object(members) = into else { return };
    match parts {
        [] => {}
        [name] => {
            members.insert((*name).to_owned(), typed(name, value));
        }
        [name, "member", index, rest @ ..] => {
            let list = members.entry(*name).or_insert_with(|| json!([]));
            let Value::Array(entries) = list else { return };
            if rest.is_empty() {
                entries.push(Value::from(value));
                return;
            }
            // Parts of one entry stand together; a number that is ahead begins the next.
            let index = index.parse::<usize>().unwrap_or(0).saturating_sub(1);
            if index >= entries.len() {
                entries.push(json!({}));
            }
            if let Some(entry) = entries.get_mut(index) {
                put(entry, rest, value);
            }
        }
        [name, rest @ ..] => {
            let inner = members.entry(*name).or_insert_with(|| json!({}));
            put(inner, rest, value);
        }
    }
}

/// A value as JSON's protocol wants it; one that does not fit is text, which SSM then refuses.
fn typed(name: &str, value: &str) -> Value {
    match value {
        "true" | "false" if FLAGS.contains(&name) => Value::from(value == "true"),
        _ if NUMBERS.contains(&name) => {
            value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from)
        }
        _ => Value::from(value),
    }
}

/// `{"XResponse": {"XResult": …, "ResponseMetadata": {"RequestId": "…"}}}`, recorded.
pub(crate) async fn wrapped(
    action: &str,
    mut reply: Reply,
    after: Duration,
) -> Result<Reply, IntegrationError> {
    let read = reply.body.take().collect().await;
    let whole = read.map_err(|err| forward::unread(err, after))?.to_bytes();
    let result = serde_json::from_slice(&whole).unwrap_or_else(|_| json!({}));
    let id = reply.headers.get("x-amzn-requestid").and_then(|id| id.to_str().ok());
    let mut inner = Map::new();
    inner.insert(format!("{action}Result"), result);
    inner.insert("ResponseMetadata".to_owned(), json!({ "RequestId": id.unwrap_or_default() }));
    let mut outer = Map::new();
    outer.insert(format!("{action}Response"), Value::Object(inner));
    let body = Bytes::from(Value::Object(outer).to_string());
    reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.body = Body::from(body);
    Ok(reply)
}
