//! One request to one service: made of the integration's URI and the mapped values, signed.
//!
//! Four ways to say what is meant. A path is the service's own (REST: S3, SQS queues). An action of
//! a JSON service goes into `X-Amz-Target`, of any other into the query, with the API's version. Of
//! SSM both is true (`ssm_query`).
//! AWS: API Gateway REST API Reference, "PutIntegration"; which services speak which protocol is in
//! the `metadata` of botocore's service models.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use indexmap::IndexMap;
use tokio::time::Instant;

use super::{Api, Aws, AwsUri, Base, public, ssm_query};
use crate::call::{Body, MappedParameters};
use crate::integration::endpoint::Endpoint;
use crate::integration::headers::{API_ID, TRACE_ID};
use crate::integration::{IntegrationError, IntegrationRequest};
use crate::net::aws::Unsigned;
use crate::net::client::{Outgoing, RequestBody};
use crate::net::query;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// JSON services: prefix of `X-Amz-Target`, and version of the protocol.
const JSON: [(&str, &str, &str); 10] = [
    ("dynamodb", "DynamoDB_20120810", "1.0"),
    ("kinesis", "Kinesis_20131202", "1.1"),
    ("ssm", "AmazonSSM", "1.1"),
    ("states", "AWSStepFunctions", "1.0"),
    ("events", "AWSEvents", "1.1"),
    ("firehose", "Firehose_20150804", "1.1"),
    ("logs", "Logs_20140328", "1.1"),
    ("secretsmanager", "secretsmanager", "1.1"),
    ("kms", "TrentService", "1.1"),
    ("cognito-idp", "AWSCognitoIdentityProviderService", "1.1"),
];
/// Query services: version of the API.
const QUERY: [(&str, &str); 12] = [
    (ssm_query::SERVICE, "2014-11-06"),
    ("sqs", "2012-11-05"),
    ("sns", "2010-03-31"),
    ("sts", "2011-06-15"),
    ("iam", "2010-05-08"),
    ("monitoring", "2010-08-01"),
    ("email", "2010-12-01"),
    ("cloudformation", "2010-05-15"),
    ("autoscaling", "2011-01-01"),
    ("rds", "2014-10-31"),
    ("elasticloadbalancing", "2015-12-01"),
    ("ec2", "2016-11-15"),
];
/// Names in signatures that are not the URI's.
const SIGNED_AS: [(&str, &str); 2] = [("email", "ses"), ("data-ats.iot", "iotdata")];

/// A compiled AWS integration.
#[derive(Debug)]
pub(crate) struct Service {
    uri: AwsUri,
    /// Path and query of the URI; of an action what follows it.
    target: Endpoint,
    method: Option<Method>,
    /// The role's ARN.
    credentials: Option<Arc<str>>,
    api_id: HeaderValue,
    user_agent: HeaderValue,
}

/// Where a request goes.
struct Place {
    base: Base,
    /// What `Host` says.
    authority: String,
    /// A bucket, where it cannot stand in the host's name.
    bucket: Option<String>,
    signing_name: String,
}

impl Service {
    /// # Errors
    /// What is wrong with the URI.
    pub(crate) fn compile(
        uri: AwsUri,
        method: Option<Method>,
        credentials: Option<Arc<str>>,
        api_id: HeaderValue,
        user_agent: HeaderValue,
    ) -> Result<Self, Arc<str>> {
        let path = match &uri.api {
            Api::Path(path) => path.clone(),
            Api::Action { query, .. } if query.is_empty() => "/".to_owned(),
            Api::Action { query, .. } => format!("/?{query}"),
        };
        // Only its path and query are used.
        let url = format!("http://service.invalid{path}");
        let target = Endpoint::compile(&url, &IndexMap::new(), false)?;
        Ok(Self { uri, target, method, credentials, api_id, user_agent })
    }

    /// The action, where its answer is to be wrapped.
    pub(crate) fn wrapped_action(&self) -> Option<&str> {
        match &self.uri.api {
            Api::Action { name, .. } if self.uri.service == ssm_query::SERVICE => Some(name),
            _ => None,
        }
    }

    /// Sends the call's request and waits for the head of the answer.
    pub(crate) async fn ask(
        &self,
        aws: &Aws,
        request: &IntegrationRequest<'_>,
        body: Bytes,
        deadline: Instant,
    ) -> Result<http::Response<crate::net::client::ResponseBody>, Failure> {
        let configuration = |why| Failure::Error(IntegrationError::Configuration(why));
        let keys = match &self.credentials {
            Some(role) => Some(aws.keyring.keys(role, deadline).await.map_err(configuration)?),
            None => None,
        };
        let place = self.place(aws);
        let mut method = self.method.as_ref().unwrap_or(request.method).clone();
        let mut body = body;
        let mut mapped = Cow::Borrowed(&request.mapped);
        if self.wrapped_action().is_some() {
            body = ssm_query::request(&request.mapped.query);
            mapped = Cow::Owned(ssm_query::remaining(&request.mapped));
            // The protocol that its servers speak knows no other.
            method = Method::POST;
        }
        let target = self.target(&place, &mapped, self.json_target(&mapped));
        let target = target.map_err(|why| Failure::Error(IntegrationError::BadEndpoint(why)))?;
        let mut headers = self.headers(&mapped, request, !body.is_empty());
        let host = HeaderValue::from_str(&place.authority)
            .map_err(|err| configuration(Arc::from(err.to_string())))?;
        headers.insert(HOST, host);
        if let Some(keys) = keys {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let unsigned = Unsigned { method: &method, path, query, body: &body };
            let signer = keys.signer(&self.uri.aws_region, &place.signing_name);
            let signed = signer.sign(unsigned, &mut headers, aws.clock.now());
            signed.map_err(|err| configuration(Arc::from(err.to_string())))?;
        }
        let path_and_query =
            PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|err| {
                Failure::Error(IntegrationError::BadEndpoint(Arc::from(err.to_string())))
            })?;
        let body = if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body) };
        let outgoing = Outgoing { method, path_and_query, headers, body };
        let host = aws.client.host(&place.base.target);
        aws.client.send(&host, outgoing, deadline).await.map_err(Failure::Client)
    }

    /// URI and headers of the request, without its signature, for the log of an execution.
    pub(crate) fn preview(
        &self,
        request: &IntegrationRequest<'_>,
        has_body: bool,
    ) -> Option<(String, HeaderMap)> {
        let AwsUri { aws_region, subdomain, service, .. } = &self.uri;
        let base = public(service, aws_region);
        let mut authority = base.authority();
        if let Some(name) = subdomain {
            authority = format!("{name}.{authority}");
        }
        let place = Place { base, authority, bucket: None, signing_name: String::new() };
        // The log shows what the author wrote: of SSM the query.
        let json = self.json_target(&request.mapped).filter(|_| self.wrapped_action().is_none());
        let target = self.target(&place, &request.mapped, json).ok()?;
        let headers = self.headers(&request.mapped, request, has_body);
        Some((format!("https://{}{target}", place.authority), headers))
    }

    fn place(&self, aws: &Aws) -> Place {
        let AwsUri { aws_region, subdomain, service, .. } = &self.uri;
        let whole = subdomain.as_ref().map(|name| format!("{name}.{service}"));
        let own = whole.as_deref().and_then(|whole| aws.service(whole));
        let subdomain = if own.is_some() { None } else { subdomain.as_deref() };
        let configured = own.or_else(|| aws.service(service));
        let signed_as =
            |name: &str| SIGNED_AS.iter().find(|(own, _)| *own == name).map(|(_, to)| *to);
        let signing_name = configured
            .and_then(|(_, name)| name.as_deref())
            .or_else(|| whole.as_deref().and_then(signed_as))
            .or_else(|| signed_as(service))
            .unwrap_or(service)
            .to_owned();
        let mut bucket = None;
        let (base, authority) = match (configured, subdomain) {
            (Some((base, _)), None) => (base.clone(), base.authority()),
            (Some((base, _)), Some(name)) if service == "s3" => {
                // Where a bucket is part of the host's name cannot be known of another's server.
                bucket = Some(name.to_owned());
                (base.clone(), base.authority())
            }
            (Some((base, _)), Some(name)) if base.takes_subdomain() => {
                (base.clone(), format!("{name}.{}", base.authority()))
            }
            (Some((base, _)), Some(_)) => (base.clone(), base.authority()),
            (None, Some(name)) => {
                let mut base = public(service, aws_region);
                base.target.host = Arc::from(format!("{name}.{}", base.target.host));
                let authority = base.authority();
                (base, authority)
            }
            (None, None) => {
                let base = public(service, aws_region);
                let authority = base.authority();
                (base, authority)
            }
        };
        Place { base, authority, bucket, signing_name }
    }

    /// Path and query: the URI's, then the action's, then what is mapped.
    fn target(
        &self,
        place: &Place,
        mapped: &MappedParameters,
        json: Option<(&str, &str)>,
    ) -> Result<String, Arc<str>> {
        let mut target = String::with_capacity(128);
        target.push_str(&place.base.prefix);
        if let Some(bucket) = &place.bucket {
            target.push('/');
            target.push_str(bucket);
        }
        self.target.fill(&mapped.path, &mut target)?;
        let mut separator = if self.target.has_query() { '&' } else { '?' };
        let mut add = |name: &str, value: &str| {
            target.push(std::mem::replace(&mut separator, '&'));
            query::encode(name.as_bytes(), &mut target);
            target.push('=');
            query::encode(value.as_bytes(), &mut target);
        };
        if let (Api::Action { name, .. }, None) = (&self.uri.api, json) {
            add("Action", name);
            let version = QUERY.iter().find(|(service, _)| *service == self.uri.service);
            let mapped_version = mapped.query.iter().any(|(name, _)| &**name == "Version");
            if let (Some((_, version)), false) = (version, mapped_version) {
                add("Version", version);
            }
        }
        for (name, value) in &mapped.query {
            add(name, value);
        }
        Ok(target)
    }

    /// Prefix of the target and version of the protocol, where the action is a JSON service's. Who
    /// maps a form's content type speaks the older protocol with it.
    fn json_target(&self, mapped: &MappedParameters) -> Option<(&'static str, &'static str)> {
        let Api::Action { .. } = &self.uri.api else { return None };
        let is_form = |(name, value): &(HeaderName, HeaderValue)| {
            *name == header::CONTENT_TYPE && value.as_bytes().starts_with(FORM)
        };
        if mapped.headers.iter().any(is_form) {
            return None;
        }
        let known = JSON.iter().find(|(service, _, _)| *service == self.uri.service);
        known.map(|(_, prefix, version)| (*prefix, *version))
    }

    fn headers(
        &self,
        mapped: &MappedParameters,
        request: &IntegrationRequest<'_>,
        has_body: bool,
    ) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12 + mapped.headers.len());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(API_ID, self.api_id.clone());
        headers.insert(TRACE_ID, request.trace_id.clone());
        if has_body {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let (Some((prefix, version)), Api::Action { name, .. }) =
            (self.json_target(mapped), &self.uri.api)
        {
            if let Ok(target) = HeaderValue::from_str(&format!("{prefix}.{name}")) {
                headers.insert(TARGET, target);
            }
            let media_type = match version {
                "1.0" => "application/x-amz-json-1.0",
                _ => "application/x-amz-json-1.1",
            };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        for (index, (name, value)) in mapped.headers.iter().enumerate() {
            if is_withheld(name) {
                continue;
            }
            let first = mapped.headers.iter().position(|(other, _)| other == name) == Some(index);
            if first {
                headers.insert(name, value.clone());
            } else {
                headers.append(name, value.clone());
            }
        }
        headers
    }
}

/// Mapped headers that never arrive (rest-data-plane 7.4); `Host` is the service's own.
fn is_withheld(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "expect" | "proxy-authenticate" | "te" | "referer" | "host" | "connection"
    )
}

/// Why there is no answer.
pub(crate) enum Failure {
    Error(IntegrationError),
    Client(crate::net::client::ClientError),
}

/// The whole body of a call, which a signature needs.
pub(crate) async fn whole(body: Body) -> Result<Bytes, IntegrationError> {
    match body {
        Body::Empty => Ok(Bytes::new()),
        Body::Full(bytes) => Ok(bytes),
        body => {
            let collected = body.collect().await.map_err(IntegrationError::RequestBody)?;
            Ok(collected.to_bytes())
        }
    }
}
