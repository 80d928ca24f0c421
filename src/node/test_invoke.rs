//! Test calls: one method of an API as it is now, run for real, with the log of the run.
//!
//! The call takes the way of any other from the parameter mappings on, on a route built for it
//! alone; who may call, throttles and caches have no part in it, as AWS has it. The log's lines and
//! their order are recorded; what of the call they show is what the integration is handed.
//!
//! AWS: API Gateway REST API Reference, "TestInvokeMethod"; Developer Guide, "Use the API Gateway
//! console to test a REST API method".

mod endpoint;
mod log;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Site, TestInvokeAuthorizer, TestInvokeMethod};
use crate::call::{Body, BodyError, Reply};
use crate::deployment::definition::{self, Limits, Unserved};
use crate::integration::lambda::InvokeError;
use crate::integration::{
    CompiledIntegration, Forwarded, IntegrationError, IntegrationRequest, Integrations, trace,
};
use crate::mapping::context::{CallContext, PathParameters, RouteFacts};
use crate::mapping::parameters::RequestMapping;
use crate::mapping::responses::ResponseMapping;
use crate::mapping::templates::RequestTemplates;
use crate::mapping::{CompileError, MappingError};
use crate::model::rest_api::{self, IntegrationKind, Resource};
use crate::net::clock::{Clock, Timestamp};
use crate::net::query;
use crate::pipeline::refusal::Refusal;
use crate::store::control;
use log::Log;

/// `$context.stage` of a test call.
const STAGE: &str = "test-invoke-stage";
/// Where a test call comes from: this program.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HTTPS_PORT: u16 = 443;
/// A test call has no extended request id of its own.
const EXTENDED_ID: &str = "-";

/// Runs a method: `{status, body, headers, multiValueHeaders, log, latency}`.
///
/// # Errors
/// `NotImplementedException` with the places where the data plane cannot run it yet;
/// `BadRequestException` for headers that are none. A failing integration is no error: the answer
/// says so, as AWS's does.
pub async fn method(
    invoke: &TestInvokeMethod,
    integrations: &Integrations,
    site: &Site,
    clock: &Clock,
    limits: &Limits,
) -> Result<control::Body, ApiError> {
    let known =
        definition::method(&invoke.definition, &invoke.resource_id, &invoke.http_method, limits);
    let (resource, method) = known.map_err(|places| unserved(&places))?;
    let call = TestCall::read(invoke, &resource, clock)?;
    let api_id = invoke.definition.pointer("/restApi/id").and_then(Value::as_str);
    let route = Route {
        api_id: api_id.unwrap_or_default(),
        account_id: &site.account_id,
        resource_path: &resource.path,
        integration: &method.integration,
        variables: texts(&invoke.request, "stageVariables"),
    };
    let domain_name = format!("{}.execute-api.{}.{}", route.api_id, site.aws_region, site.domain);
    let mut log = Log::begin(&call.id, clock.clone());
    call.describe(&mut log);
    let began = clock.now();
    let answer = match route.run(&call, &domain_name, integrations, &mut log).await {
        Ok(answer) => {
            answer.succeeded(&mut log);
            answer
        }
        Err(failure) => failure.answer(&mut log).await,
    };
    let latency = clock.now().since(began).as_millis();
    Ok(answer.into_body(log, u64::try_from(latency).unwrap_or(u64::MAX)))
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

/// What the caller wants called.
struct TestCall {
    id: Uuid,
    received_at: Timestamp,
    method: Method,
    path: String,
    query: Option<String>,
    parameter_names: Vec<String>,
    /// Within `path`.
    parameter_ranges: Vec<Range<usize>>,
    headers: HeaderMap,
    /// As they were sent, for the log.
    sent_headers: IndexMap<String, String>,
    body: String,
}

impl TestCall {
    fn read(
        invoke: &TestInvokeMethod,
        resource: &Resource,
        clock: &Clock,
    ) -> Result<Self, ApiError> {
        let request = &invoke.request;
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        // Recorded: without a path it is the template itself.
        let target = text("pathWithQueryString").filter(|target| !target.is_empty());
        let target = target.unwrap_or(&resource.path);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        // A test of ANY names no verb of its own.
        let verb = if invoke.http_method == "ANY" { "GET" } else { &invoke.http_method };
        let (headers, sent_headers) = headers(request)?;
        let (parameter_names, parameter_ranges) =
            path_parameters(&resource.path, path).into_iter().unzip();
        Ok(Self {
            id: Uuid::new_v4(),
            received_at: clock.now(),
            method: Method::from_bytes(verb.as_bytes()).unwrap_or(Method::GET),
            path: path.to_owned(),
            query,
            parameter_names,
            parameter_ranges,
            headers,
            sent_headers,
            body: text("body").unwrap_or_default().to_owned(),
        })
    }

    fn parameters(&self) -> PathParameters<'_> {
        PathParameters {
            names: &self.parameter_names,
            path: &self.path,
            ranges: &self.parameter_ranges,
        }
    }

    fn describe(&self, log: &mut Log) {
        log.line(format_args!("HTTP Method: {}, Resource Path: {}", self.method, self.path));
        let parameters = self.parameters().iter().map(|(name, value)| (name.into(), value.into()));
        log.line(format_args!("Method request path: {}", log::map(&parameters.collect())));
        let query: IndexMap<String, String> = query::pairs(self.query.as_deref().unwrap_or(""))
            .map(|(name, value)| {
                (query::decode_text(name).into_owned(), query::decode_text(value).into_owned())
            })
            .collect();
        log.line(format_args!("Method request query string: {}", log::map(&query)));
        let headers = log::headers(&self.sent_headers);
        log.line(format_args!("Method request headers: {headers}"));
        log.line(format_args!("Method request body before transformations: {}", self.body));
    }
}

/// `headers` and `multiValueHeaders`; of a name in both, the latter's values count.
fn headers(request: &control::Body) -> Result<(HeaderMap, IndexMap<String, String>), ApiError> {
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
    let shown = sent.into_iter().map(|(name, values)| (name, values.join(",")));
    Ok((headers, shown.collect()))
}

/// The text members of a map of the request.
fn texts(request: &control::Body, name: &str) -> IndexMap<String, String> {
    let entries = request.get(name).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The parameters of a path that fits the template. Recorded: one that does not fit still runs,
/// with none.
fn path_parameters(template: &str, path: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let end = path.strip_suffix('/').unwrap_or(path).len();
    let mut at = Some(path.len() - path.trim_start_matches('/').len());
    for part in template.trim_start_matches('/').split('/') {
        let Some(start) = at else { return Vec::new() };
        let left = path.get(start..end).unwrap_or_default();
        let slash = left.find('/').map(|length| start + length);
        let stop = slash.unwrap_or(end.max(start));
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        at = slash.map(|slash| slash + 1);
        match name.map(|name| (name, name.strip_suffix('+'))) {
            Some((_, Some(greedy))) => {
                found.push((greedy.to_owned(), start..end.max(start)));
                at = None;
            }
            Some((name, None)) => found.push((name.to_owned(), start..stop)),
            None if part == path.get(start..stop).unwrap_or_default() => {}
            None => return Vec::new(),
        }
    }
    if at.is_some() { Vec::new() } else { found }
}

/// A route for one call.
struct Route<'r> {
    api_id: &'r str,
    account_id: &'r str,
    resource_path: &'r str,
    integration: &'r rest_api::Integration,
    variables: IndexMap<String, String>,
}

impl Route<'_> {
    async fn run(
        &self,
        call: &TestCall,
        domain_name: &str,
        integrations: &Integrations,
        log: &mut Log,
    ) -> Result<Answer, Failure> {
        let integration = self.integration;
        let facts = RouteFacts {
            api_id: self.api_id,
            account_id: self.account_id,
            stage: STAGE,
            deployment_id: "",
            resource_id: "",
            resource_path: self.resource_path,
            operation_name: "",
            stage_variables: &self.variables,
            is_canary: None,
        };
        let requests =
            RequestMapping::compile(&integration.request_parameters, &facts).map_err(failed)?;
        let responses = match integration.kind {
            IntegrationKind::HttpProxy => None,
            _ => Some(ResponseMapping::compile(&integration.responses, &facts).map_err(failed)?),
        };
        let headers = endpoint::passed_on(&call.headers);
        let request = self.request(call, facts, domain_name, &requests, &headers)?;
        let body = self.body(call)?;
        let shown = match integration.kind {
            IntegrationKind::Mock => None,
            _ => {
                let has_body = !body.is_empty();
                endpoint::Shown::of(integration, &self.variables, self.api_id, &request, has_body)
            }
        };
        if let Some(shown) = &shown {
            shown.describe(&body, log);
        }
        let compiled = CompiledIntegration::compile(integration, self.api_id, &self.variables);
        let time = Duration::from_millis(u64::from(integration.timeout_ms));
        let reply =
            integrations.answer(&request, Body::from(body), &compiled, Instant::now() + time).await;
        let answer = Answer::read(reply.map_err(Failure::of_integration)?).await?;
        if shown.is_some() {
            answer.describe(log);
        }
        match responses {
            None => Ok(answer),
            Some(mapping) => answer.mapped(&mapping, &call.headers),
        }
    }

    /// The caller's body, or the template's in its place.
    fn body(&self, call: &TestCall) -> Result<Bytes, Failure> {
        let integration = self.integration;
        let own = || Bytes::copy_from_slice(call.body.as_bytes());
        if integration.kind != IntegrationKind::Http {
            return Ok(own());
        }
        let templates =
            RequestTemplates::compile(&integration.request_templates, integration.passthrough)
                .map_err(failed)?;
        let chosen = templates.choose(&call.headers).map_err(Failure::of_mapping)?;
        Ok(chosen.cloned().unwrap_or_else(own))
    }

    fn request<'c>(
        &self,
        call: &'c TestCall,
        facts: RouteFacts<'c>,
        domain_name: &'c str,
        mapping: &RequestMapping,
        headers: &'c HeaderMap,
    ) -> Result<IntegrationRequest<'c>, Failure> {
        let sources = CallContext {
            facts,
            method: &call.method,
            headers: &call.headers,
            query: call.query.as_deref(),
            path_parameters: call.parameters(),
            request_id: &call.id,
            extended_request_id: EXTENDED_ID,
            aws_endpoint_request_id: None,
            caller: None,
            error: None,
            source_ip: PEER,
            path: &call.path,
            protocol: "HTTP/1.1",
            domain_name,
            received_at: call.received_at,
        };
        let mapped = mapping.apply(&sources).map_err(Failure::of_mapping)?;
        Ok(IntegrationRequest {
            method: &call.method,
            query: call.query.as_deref(),
            headers,
            mapped,
            peer: PEER,
            forwarded: Forwarded { proto: "https", port: HTTPS_PORT },
            trace_id: trace::extend(call.headers.get("x-amzn-trace-id"), call.received_at),
        })
    }
}

/// The definition was read a moment ago, so this is a stage variable that fits nowhere.
fn failed(err: CompileError) -> Failure {
    Failure::of_integration(IntegrationError::Configuration(err.to_string().into()))
}

/// Why there is no answer of the integration's.
struct Failure {
    line: String,
    refusal: Refusal,
}

impl Failure {
    fn of_integration(err: IntegrationError) -> Self {
        let line = match &err {
            // Recorded; the other texts are ours in its manner.
            IntegrationError::BadEndpoint(_) => configuration(&"Invalid endpoint address"),
            IntegrationError::Timeout { .. } => {
                "Execution failed due to a timeout error".to_owned()
            }
            IntegrationError::Network(_) => {
                "Execution failed due to a network error communicating with endpoint".to_owned()
            }
            IntegrationError::Lambda(InvokeError::NotPermitted(_)) => {
                configuration(&"Invalid permissions on Lambda function")
            }
            IntegrationError::ConnectionRefused(_)
            | IntegrationError::Configuration(_)
            | IntegrationError::ResponseTooLarge { .. }
            | IntegrationError::RequestBody(_)
            | IntegrationError::Lambda(_) => configuration(&err),
        };
        Self { line, refusal: Refusal::from(err) }
    }

    fn of_mapping(err: MappingError) -> Self {
        Self { line: configuration(&err), refusal: Refusal::from(err) }
    }

    /// The gateway's own answer, as a caller would get it.
    async fn answer(self, log: &mut Log) -> Answer {
        let Reply { status, headers, body, .. } = self.refusal.into_reply();
        let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
        log.line(format_args!("{}", self.line));
        log.completed(status);
        Answer { status, headers, body, latency_ms: 0 }
    }
}

fn configuration(cause: &dyn std::fmt::Display) -> String {
    format!("Execution failed due to configuration error: {cause}")
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Of the integration.
    latency_ms: u64,
}

impl Answer {
    /// The integration room bounds the body's length and time.
    async fn read(reply: Reply) -> Result<Self, Failure> {
        let Reply { status, headers, body, integration, .. } = reply;
        let latency_ms = integration.map_or(0, |report| report.latency_ms);
        let body = body.collect().await.map_err(|err| {
            Failure::of_integration(match err {
                BodyError::TooLarge { limit } => IntegrationError::ResponseTooLarge { limit },
                BodyError::TimedOut => {
                    IntegrationError::Timeout { after: Duration::from_millis(latency_ms) }
                }
                BodyError::Aborted(cause) => IntegrationError::Network(cause),
            })
        })?;
        Ok(Self { status, headers, body: body.to_bytes(), latency_ms })
    }

    /// As the integration gave it. A proxy's headers have their public names already.
    fn describe(&self, log: &mut Log) {
        let Self { status, latency_ms, .. } = self;
        log.line(format_args!(
            "Received response. Status: {}, Integration latency: {latency_ms} ms",
            status.as_u16()
        ));
        let headers = log::headers(&log::spelled(&self.headers));
        log.line(format_args!("Endpoint response headers: {headers}"));
        let body = log::body(&self.body);
        log.line(format_args!("Endpoint response body before transformations: {body}"));
    }

    fn mapped(self, mapping: &ResponseMapping, clients: &HeaderMap) -> Result<Self, Failure> {
        let reply = Reply::new(self.status, self.headers, Body::from(self.body));
        let Reply { status, headers, body, .. } =
            mapping.apply(reply, clients).map_err(Failure::of_mapping)?;
        let body = match body {
            Body::Full(bytes) => bytes,
            // A mapping makes no streams.
            Body::Empty | Body::Incoming(_) | Body::Stream(_) => Bytes::new(),
        };
        Ok(Self { status, headers, body, latency_ms: self.latency_ms })
    }

    fn succeeded(&self, log: &mut Log) {
        let body = log::body(&self.body);
        log.line(format_args!("Method response body after transformations: {body}"));
        let headers = log::headers(&log::spelled(&self.headers));
        log.line(format_args!("Method response headers: {headers}"));
        log.line(format_args!("Successfully completed execution"));
        log.completed(self.status);
    }

    fn into_body(self, log: Log, latency_ms: u64) -> control::Body {
        let mut single = Map::new();
        let mut several = Map::new();
        for name in self.headers.keys() {
            let values: Vec<Value> = self
                .headers
                .get_all(name)
                .iter()
                .map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())))
                .collect();
            let name = log::spelling(name);
            single.extend(values.last().map(|last| (name.clone(), last.clone())));
            several.insert(name, Value::Array(values));
        }
        let body = String::from_utf8_lossy(&self.body);
        Map::from_iter([
            ("status".to_owned(), Value::from(self.status.as_u16())),
            ("body".to_owned(), Value::from(body)),
            ("headers".to_owned(), Value::Object(single)),
            ("multiValueHeaders".to_owned(), Value::Object(several)),
            ("log".to_owned(), Value::from(log.into_text())),
            ("latency".to_owned(), Value::from(latency_ms)),
        ])
    }
}

#[cfg(test)]
mod tests;
