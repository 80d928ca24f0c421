//! Test calls: one method of an API as it is now, run for real, with the log of the run.
//!
//! The call takes the way of any other from the mappings on, on a stage made for it alone; who may
//! call, throttles and caches have no part in it, as AWS has it.
//!
//! AWS: API Gateway REST API Reference, "TestInvokeMethod"; Developer Guide, "Use the API Gateway
//! console to test a REST API method".

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt;
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Site, TestInvokeAuthorizer, TestInvokeMethod};
use crate::call::{Body, Call, Connection, Door, ExtendedId, Reply, Spelling};
use crate::deployment::compile::only_route;
use crate::deployment::definition::{self, Limits, Unserved};
use crate::deployment::snapshot::Resolved;
use crate::integration::Integrations;
use crate::model::ids::{ApiId, StageName};
use crate::model::rest_api::{Resource, RestApi};
use crate::model::stage::{Stage, StageDeployment};
use crate::net::clock::Clock;
use crate::node::backing;
use crate::pipeline::execution_log::{ExecutionLog, date, spelling};
use crate::pipeline::integrate::{Passage, context, integrate};
use crate::pipeline::refusal::Refusal;
use crate::pipeline::validate;
use crate::store::control::{self, State};

/// `$context.stage` of a test call.
const STAGE: &str = "test-invoke-stage";
/// Where a test call comes from: this program.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const HTTPS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 443);
/// A test call has no extended request id of its own.
const EXTENDED_ID: ExtendedId = ExtendedId(*b"----------------");
/// What no URI of ours can hold as it is; a caller may write anything.
const NOT_IN_URI: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'#');

/// Runs a method: `{status, body, headers, multiValueHeaders, log, latency}`.
///
/// # Errors
/// `NotImplementedException` with the places where the data plane cannot run it yet;
/// `BadRequestException` for headers that are none, and for a certificate that is not there. A failing integration is no error: the answer
/// says so, as AWS's does. VPC links and the certificate for backends are those of `state`.
pub async fn method(
    invoke: &TestInvokeMethod,
    integrations: &Integrations,
    site: &Site,
    clock: &Clock,
    limits: &Limits,
    state: &State,
) -> Result<control::Body, ApiError> {
    let known =
        definition::method(&invoke.definition, &invoke.resource_id, &invoke.http_method, limits);
    let (resource, method) = known.map_err(|places| unserved(&places))?;
    let time = Duration::from_millis(u64::from(method.integration.timeout_ms));
    let mut deployment = deployment(invoke, Resource { methods: vec![method], ..resource });
    // What the caller may name is said in a stage's words.
    backing::put_in(state, &invoke.request, &backing::links(state), &mut deployment)
        .map_err(|_| ApiError::bad_request("Invalid Client Certificate identifier specified"))?;
    deployment.api.models = definition::models(&invoke.definition, &deployment.api.resources);
    let api_id = &deployment.api.id;
    let domain = format!("{api_id}.execute-api.{}.{}", site.aws_region, site.domain);
    let [resource] = deployment.api.resources.as_slice() else { return Err(unserved(&[])) };
    let (call, body, parameters) = call(invoke, resource, &domain, clock)?;
    // The definition was read a moment ago, so this is a stage variable that fits nowhere.
    let stage = only_route(&deployment, &site.account_id)
        .map_err(|err| ApiError::new(ErrorKind::NotImplemented, err.to_string()))?;
    let resolved = Resolved::only_route(Arc::new(stage), parameters);

    let mut log = ExecutionLog::on(clock.clone(), true);
    if let Some(lines) = log.lines() {
        lines.begun(&context(&call, &resolved), &body);
    }
    let began = clock.now();
    let deadline = Instant::now() + time;
    let passage = Passage { integrations, call: &call, resolved: &resolved, deadline };
    let reply = match validate::request(&call, Body::from(body), &resolved).await {
        Ok(body) => integrate(passage, body, &mut log).await,
        Err(refusal) => {
            if let Some(lines) = log.lines() {
                lines.line(format_args!("{}", unfit(&refusal, &call)));
            }
            Err(refusal)
        }
    };
    let reply = reply.unwrap_or_else(Refusal::into_reply);
    if let Some(lines) = log.lines() {
        lines.completed(reply.status);
    }
    let latency = clock.now().since(began).as_millis();
    let log = text(&call.id, log);
    Ok(answer(reply, log, u64::try_from(latency).unwrap_or(u64::MAX)).await)
}

/// What the log says of a request that the method does not take.
fn unfit(refusal: &Refusal, call: &Call) -> String {
    let Some(error) = &refusal.validation_error else {
        let text = refusal.message.as_deref().or(refusal.cause.as_deref());
        return format!("Execution failed: {}", text.unwrap_or_default());
    };
    let media_type = call.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or("application/json");
    format!("Request body does not match model schema for content type {media_type}: {error}")
}

/// Runs an authorizer, once there are any.
///
/// # Errors
/// Always `NotImplementedException`.
pub fn authorizer(invoke: &TestInvokeAuthorizer) -> Result<control::Body, ApiError> {
    let name = invoke.authorizer.get("name").and_then(Value::as_str).unwrap_or_default();
    Err(ApiError::new(
        ErrorKind::NotImplemented,
        format!(
            "Authorizer `{name}` is kept, but authorizers are not built yet, so none can be tested"
        ),
    ))
}

fn unserved(places: &[Unserved]) -> ApiError {
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    ApiError::new(
        ErrorKind::NotImplemented,
        format!("The method cannot be run yet: {}", places.join("; ")),
    )
}

/// A stage with the one method, as the API is now.
fn deployment(invoke: &TestInvokeMethod, resource: Resource) -> StageDeployment {
    let api = invoke.definition.get("restApi").unwrap_or(&Value::Null);
    let types = api.get("binaryMediaTypes").and_then(Value::as_array).into_iter().flatten();
    StageDeployment {
        api: RestApi {
            id: ApiId::new(api.get("id").and_then(Value::as_str).unwrap_or_default()),
            binary_media_types: types.filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            resources: vec![resource],
            ..RestApi::default()
        },
        stage: Stage {
            name: StageName::new(STAGE),
            variables: texts(&invoke.request, "stageVariables"),
            ..Stage::default()
        },
        ..StageDeployment::default()
    }
}

/// What the caller wants called: the call, its body, and where its path parameters lie.
fn call(
    invoke: &TestInvokeMethod,
    resource: &Resource,
    domain: &str,
    clock: &Clock,
) -> Result<(Call, Bytes, Vec<Range<usize>>), ApiError> {
    let request = &invoke.request;
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    // Recorded: without a path it is the template itself.
    let target = text("pathWithQueryString").filter(|target| !target.is_empty());
    let target = target.unwrap_or(&resource.path);
    let slash = if target.starts_with('/') { "" } else { "/" };
    let target = utf8_percent_encode(target, NOT_IN_URI);
    let uri: Uri = format!("https://{domain}{slash}{target}")
        .parse()
        .map_err(|_| ApiError::bad_request("Invalid path specified"))?;
    // A test of ANY names no verb of its own.
    let verb = if invoke.http_method == "ANY" { "GET" } else { &invoke.http_method };
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method = Method::from_bytes(verb.as_bytes()).unwrap_or(Method::GET);
    let (headers, spelling) = headers(request)?;
    head.headers = headers;
    head.extensions.insert(spelling);
    let parameters = path_parameters(&resource.path, uri.path());
    head.uri = uri;
    let connection = Connection {
        door: Door::Region,
        peer: PEER,
        local: HTTPS,
        tls_version: "TLSv1.3",
        cipher_suite: "",
        sni: None,
    };
    let call = Call {
        id: Uuid::new_v4(),
        extended_id: EXTENDED_ID,
        received_at: clock.now(),
        connection: Arc::new(connection),
        head,
    };
    Ok((call, Bytes::copy_from_slice(text("body").unwrap_or_default().as_bytes()), parameters))
}

/// `headers` and `multiValueHeaders`, and how their names are written; of a name in both, the
/// latter's values count.
fn headers(request: &control::Body) -> Result<(HeaderMap, Spelling), ApiError> {
    let mut sent: IndexMap<String, Vec<String>> = IndexMap::new();
    for (name, value) in texts(request, "headers") {
        sent.insert(name, vec![value]);
    }
    let several = request.get("multiValueHeaders").and_then(Value::as_object);
    for (name, values) in several.into_iter().flatten() {
        let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        sent.insert(name.clone(), values.map(ToOwned::to_owned).collect());
    }
    let mut headers = HeaderMap::new();
    for (name, values) in &sent {
        let invalid = || ApiError::bad_request(format!("Invalid header specified: {name}"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        for value in values {
            headers.append(&key, HeaderValue::from_str(value).map_err(|_| invalid())?);
        }
    }
    let names: Vec<&str> = sent.keys().map(String::as_str).collect();
    Ok((headers, Spelling::new(Bytes::from(names.join("\n")))))
}

/// The text members of a map of the request.
fn texts(request: &control::Body, name: &str) -> IndexMap<String, String> {
    let entries = request.get(name).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The parameters of a path that fits the template. Recorded: one that does not fit still runs,
/// with none.
fn path_parameters(template: &str, path: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let end = path.strip_suffix('/').unwrap_or(path).len();
    let mut at = Some(path.len() - path.trim_start_matches('/').len());
    for part in template.trim_start_matches('/').split('/') {
        let Some(start) = at else { return Vec::new() };
        let left = path.get(start..end).unwrap_or_default();
        let slash = left.find('/').map(|length| start + length);
        let stop = slash.unwrap_or_else(|| end.max(start));
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        at = slash.map(|slash| slash + 1);
        match name {
            Some(name) if name.ends_with('+') => {
                found.push(start..end.max(start));
                at = None;
            }
            Some(_) => found.push(start..stop),
            None if part == path.get(start..stop).unwrap_or_default() => {}
            None => return Vec::new(),
        }
    }
    if at.is_some() { Vec::new() } else { found }
}

/// The log of a test call: each line but the first under a date.
fn text(id: &Uuid, log: ExecutionLog) -> String {
    let mut text = format!("Execution log for request {id}\n");
    for (at, line) in log.into_lines() {
        text.push_str(&date(at).unwrap_or_default());
        text.push_str(" : ");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// With the log on every body has been read.
async fn answer(reply: Reply, log: String, latency_ms: u64) -> control::Body {
    let Reply { status, headers, body, .. } = reply;
    let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    let mut single = Map::new();
    let mut several = Map::new();
    for name in headers.keys() {
        let values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let name = spelling(name);
        single.extend(values.last().map(|last| (name.clone(), last.clone())));
        several.insert(name, Value::Array(values));
    }
    let body = String::from_utf8_lossy(&body);
    Map::from_iter([
        ("status".to_owned(), Value::from(status.as_u16())),
        ("body".to_owned(), Value::from(body)),
        ("headers".to_owned(), Value::Object(single)),
        ("multiValueHeaders".to_owned(), Value::Object(several)),
        ("log".to_owned(), Value::from(log)),
        ("latency".to_owned(), Value::from(latency_ms)),
    ])
}

#[cfg(test)]
mod tests;
