//! What can be asked about a call: `$context`, the parameters, the stage's variables.
//!
//! One view for everybody who asks: parameter mappings, templates, gateway responses. It borrows
//! from the call and from what its route fixed when it was deployed; nothing is written down before
//! it is asked for. What a caller proved comes in [`CallerFacts`], so that this room need not know
//! who proves it.
//!
//! AWS: "Variables for data transformations for API Gateway"; key order and nulls are recorded
//! (rest-data-plane 5.5).

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use http::{HeaderMap, Method, header};
use indexmap::IndexMap;
use uuid::Uuid;

use crate::call::Spelling;
use crate::net::clock::Timestamp;
use crate::net::text::request_time;

/// What is known of a route when it is deployed. Empty text stands for what does not exist: a call
/// that means no route has no resource.
#[derive(Clone, Copy, Debug)]
pub struct RouteFacts<'a> {
    pub api_id: &'a str,
    pub account_id: &'a str,
    pub stage: &'a str,
    pub deployment_id: &'a str,
    pub resource_id: &'a str,
    /// The template, such as `/pets/{id}`.
    pub resource_path: &'a str,
    pub operation_name: &'a str,
    pub stage_variables: &'a IndexMap<String, String>,
    /// `None` on a stage without a canary.
    pub is_canary: Option<bool>,
}

/// The call's path parameters: names of the route's template, values where they stand in the path.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathParameters<'a> {
    pub names: &'a [String],
    pub path: &'a str,
    /// One for each name, within `path`.
    pub ranges: &'a [Range<usize>],
}

impl<'a> PathParameters<'a> {
    /// The raw value, by its name without braces and plus sign.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let path = self.path;
        let pairs = self.names.iter().zip(self.ranges);
        pairs.filter_map(move |(name, range)| Some((name.as_str(), path.get(range.clone())?)))
    }
}

/// What was proved about a caller; all empty for an anonymous one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallerFacts {
    pub account_id: Option<String>,
    pub caller: Option<String>,
    pub user: Option<String>,
    pub user_arn: Option<String>,
    pub access_key: Option<String>,
    pub principal_org_id: Option<String>,
    pub api_key: Option<String>,
    pub api_key_id: Option<String>,
    pub cognito_authentication_provider: Option<String>,
    pub cognito_authentication_type: Option<String>,
    pub cognito_identity_id: Option<String>,
    pub cognito_identity_pool_id: Option<String>,
    pub vpc_id: Option<String>,
    pub vpce_id: Option<String>,
    pub client_cert: Option<Box<ClientCert>>,
    /// `principalId` and the context of a Lambda authorizer, every value as text.
    pub authorizer: IndexMap<String, String>,
    /// Of a user pool's token.
    pub claims: IndexMap<String, String>,
}

impl fmt::Debug for CallerFacts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and claims are secrets.
        out.debug_struct("CallerFacts").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The certificate of a client of a domain with mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCert {
    pub pem: String,
    pub subject_dn: String,
    pub issuer_dn: String,
    pub serial_number: String,
    /// As in `May 28 12:30:02 2019 GMT`.
    pub not_before: String,
    pub not_after: String,
}

/// Why the gateway answers by itself: `$context.error`.
#[derive(Clone, Copy, Debug)]
pub struct ErrorFacts<'a> {
    /// `None` prints `null`.
    pub message: Option<&'a str>,
    /// AWS's name of the type, such as `THROTTLED`.
    pub response_type: &'a str,
    /// Empty but for a body that fits no model.
    pub validation_error: &'a str,
}

/// A call, seen by those who map it. Borrowed; made for the moment.
#[derive(Clone, Copy)]
pub struct CallContext<'a> {
    pub facts: RouteFacts<'a>,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// How the client spelled the names of its headers, where it had a choice.
    pub spelling: Option<&'a Spelling>,
    /// As the client sent it, without `?`.
    pub query: Option<&'a str>,
    pub path_parameters: PathParameters<'a>,
    pub request_id: &'a Uuid,
    pub extended_request_id: &'a str,
    /// Of the AWS service behind the route, once it has answered.
    pub aws_endpoint_request_id: Option<&'a str>,
    pub source_ip: IpAddr,
    /// `$context.path`: the path with the stage, as the client sent it, without double slashes at
    /// its beginning.
    pub path: &'a str,
    /// Such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// The host the client called, without a port.
    pub domain_name: &'a str,
    pub received_at: Timestamp,
    /// `None`: anonymous.
    pub caller: Option<&'a CallerFacts>,
    pub error: Option<ErrorFacts<'a>>,
}

impl fmt::Debug for CallContext<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may hold secrets.
        out.debug_struct("CallContext").field("request_id", self.request_id).finish_non_exhaustive()
    }
}

/// A value of the tree that templates see.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    Null,
    Text(Cow<'a, str>),
    Number(i64),
    /// In order.
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Recorded: the keys of `$context` of a Regional API without authorization, in their order.
const KEYS: [&str; 18] = [
    "resourceId",
    "resourcePath",
    "httpMethod",
    "extendedRequestId",
    "requestTime",
    "path",
    "accountId",
    "protocol",
    "requestOverride",
    "stage",
    "domainPrefix",
    "requestTimeEpoch",
    "requestId",
    "identity",
    "domainName",
    "deploymentId",
    "responseOverride",
    "apiId",
];
/// Keys that are there where they have a value.
const KEYS_AT_TIMES: [&str; 5] =
    ["operationName", "authorizer", "isCanaryRequest", "awsEndpointRequestId", "error"];
/// Recorded: the keys of `$context.identity`, in their order; they are there as nulls, too.
const IDENTITY: [&str; 12] = [
    "cognitoIdentityPoolId",
    "accountId",
    "cognitoIdentityId",
    "caller",
    "sourceIp",
    "principalOrgId",
    "accessKey",
    "cognitoAuthenticationType",
    "cognitoAuthenticationProvider",
    "userArn",
    "userAgent",
    "user",
];
const IDENTITY_AT_TIMES: [&str; 5] = ["apiKey", "apiKeyId", "clientCert", "vpcId", "vpceId"];
const CLIENT_CERT: [&str; 4] = ["clientCertPem", "subjectDN", "issuerDN", "serialNumber"];
const ERROR: [&str; 4] = ["message", "messageString", "responseType", "validationErrorString"];
/// Variables without a value here: nothing of ours stands for AWS WAF.
const NEVER: [&str; 2] = ["wafResponseCode", "webaclArn"];

/// Whether `$context` has such a variable, with a value or without.
pub fn is_known(dotted: &str) -> bool {
    match dotted.split_once('.') {
        None => {
            KEYS.contains(&dotted) || KEYS_AT_TIMES.contains(&dotted) || NEVER.contains(&dotted)
        }
        Some(("identity", rest)) => {
            let cert = rest.strip_prefix("clientCert.");
            IDENTITY.contains(&rest)
                || IDENTITY_AT_TIMES.contains(&rest)
                || cert.is_some_and(|name| {
                    CLIENT_CERT.contains(&name)
                        || matches!(name, "validity.notBefore" | "validity.notAfter")
                })
        }
        Some(("authorizer", name)) => !name.is_empty(),
        Some(("error", name)) => ERROR.contains(&name),
        Some(("requestOverride" | "responseOverride", name)) => !name.is_empty(),
        Some(_) => false,
    }
}

/// A variable that the route fixes. `None`: it is the call's; `Some(None)`: it never has a value
/// on this route.
pub(super) fn fixed<'a>(name: &str, route: &RouteFacts<'a>) -> Option<Option<Cow<'a, str>>> {
    let text = |text: &'a str| Some((!text.is_empty()).then_some(Cow::Borrowed(text)));
    match name {
        "apiId" => text(route.api_id),
        "accountId" => text(route.account_id),
        "stage" => text(route.stage),
        "deploymentId" => text(route.deployment_id),
        "resourceId" => text(route.resource_id),
        "resourcePath" => text(route.resource_path),
        "operationName" => text(route.operation_name),
        "isCanaryRequest" => {
            Some(route.is_canary.map(|is| Cow::Borrowed(if is { "true" } else { "false" })))
        }
        _ => None,
    }
}

impl<'a> CallContext<'a> {
    /// The text of a variable by its name without `$context.`, such as `identity.sourceIp`.
    /// `None` where there is no such variable or it has no value; a map has no text.
    pub fn text(&self, dotted: &str) -> Option<Cow<'a, str>> {
        if let Some(of_route) = fixed(dotted, &self.facts) {
            return of_route;
        }
        Some(match dotted {
            "requestId" => Cow::Owned(self.request_id.to_string()),
            "extendedRequestId" => Cow::Borrowed(self.extended_request_id),
            "awsEndpointRequestId" => Cow::Borrowed(self.aws_endpoint_request_id?),
            "httpMethod" => Cow::Borrowed(self.method.as_str()),
            "path" => Cow::Borrowed(self.path),
            "protocol" => Cow::Borrowed(self.protocol),
            "domainName" => Cow::Borrowed(self.domain_name),
            "domainPrefix" => Cow::Borrowed(self.domain_name.split('.').next()?),
            "requestTime" => {
                let time = request_time(self.received_at);
                Cow::Owned(String::from_utf8_lossy(&time).into_owned())
            }
            "requestTimeEpoch" => Cow::Owned(self.received_at.as_millis().to_string()),
            _ => match dotted.split_once('.')? {
                ("identity", name) => return self.identity(name),
                ("authorizer", name) => return self.authorizer(name).map(Cow::Borrowed),
                ("error", name) => return self.error_text(name),
                _ => return None,
            },
        })
    }

    /// A stage variable.
    pub fn stage_variable(&self, name: &str) -> Option<&'a str> {
        self.facts.stage_variables.get(name).map(String::as_str)
    }

    pub(super) fn identity(&self, name: &str) -> Option<Cow<'a, str>> {
        match name {
            "sourceIp" => return Some(Cow::Owned(self.source_ip.to_string())),
            "userAgent" => {
                let value = self.headers.get(header::USER_AGENT)?;
                return Some(String::from_utf8_lossy(value.as_bytes()));
            }
            _ => {}
        }
        let caller = self.caller?;
        let cert = || caller.client_cert.as_deref();
        let text: &'a str = match name {
            "accountId" => caller.account_id.as_deref(),
            "caller" => caller.caller.as_deref(),
            "user" => caller.user.as_deref(),
            "userArn" => caller.user_arn.as_deref(),
            "accessKey" => caller.access_key.as_deref(),
            "principalOrgId" => caller.principal_org_id.as_deref(),
            "apiKey" => caller.api_key.as_deref(),
            "apiKeyId" => caller.api_key_id.as_deref(),
            "cognitoAuthenticationProvider" => caller.cognito_authentication_provider.as_deref(),
            "cognitoAuthenticationType" => caller.cognito_authentication_type.as_deref(),
            "cognitoIdentityId" => caller.cognito_identity_id.as_deref(),
            "cognitoIdentityPoolId" => caller.cognito_identity_pool_id.as_deref(),
            "vpcId" => caller.vpc_id.as_deref(),
            "vpceId" => caller.vpce_id.as_deref(),
            "clientCert.clientCertPem" => cert().map(|cert| cert.pem.as_str()),
            "clientCert.subjectDN" => cert().map(|cert| cert.subject_dn.as_str()),
            "clientCert.issuerDN" => cert().map(|cert| cert.issuer_dn.as_str()),
            "clientCert.serialNumber" => cert().map(|cert| cert.serial_number.as_str()),
            "clientCert.validity.notBefore" => cert().map(|cert| cert.not_before.as_str()),
            "clientCert.validity.notAfter" => cert().map(|cert| cert.not_after.as_str()),
            _ => None,
        }?;
        Some(Cow::Borrowed(text))
    }

    fn authorizer(&self, name: &str) -> Option<&'a str> {
        let caller = self.caller?;
        match name.strip_prefix("claims.") {
            Some(claim) => caller.claims.get(claim).map(String::as_str),
            None => caller.authorizer.get(name).map(String::as_str),
        }
    }

    fn error_text(&self, name: &str) -> Option<Cow<'a, str>> {
        let error = self.error?;
        Some(match name {
            "message" => Cow::Borrowed(error.message?),
            "messageString" => match error.message {
                Some(message) => Cow::Owned(serde_json::Value::from(message).to_string()),
                None => Cow::Borrowed("null"),
            },
            "responseType" => Cow::Borrowed(error.response_type),
            "validationErrorString" => Cow::Borrowed(error.validation_error),
            _ => return None,
        })
    }

    /// What `$context.{name}` is for a template; the overrides are the renderer's own.
    pub fn node(&self, name: &str) -> Option<Node<'a>> {
        match name {
            "identity" => Some(Node::Map(self.identity_nodes())),
            "authorizer" => Some(Node::Map(self.authorizer_nodes())),
            "error" => self.error.map(|_| {
                let entries =
                    ERROR.iter().map(|name| (Cow::Borrowed(*name), self.error_text(name)));
                Node::Map(entries.map(|(name, text)| (name, text.into())).collect())
            }),
            "requestTimeEpoch" => {
                let millis = i64::try_from(self.received_at.as_millis()).unwrap_or(i64::MAX);
                Some(Node::Number(millis))
            }
            "requestOverride" | "responseOverride" => None,
            _ => self.text(name).map(Node::Text),
        }
    }

    /// The keys `$context` has for this call, in the recorded order.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let present = |name: &&str| match *name {
            "authorizer" => self
                .caller
                .is_some_and(|caller| !caller.authorizer.is_empty() || !caller.claims.is_empty()),
            "error" => self.error.is_some(),
            name => self.text(name).is_some(),
        };
        KEYS.into_iter().chain(KEYS_AT_TIMES.into_iter().filter(present))
    }

    fn identity_nodes(&self) -> Vec<(Cow<'a, str>, Node<'a>)> {
        let node = |name: &'static str| (Cow::Borrowed(name), self.identity(name).into());
        let mut nodes: Vec<_> = IDENTITY.into_iter().map(node).collect();
        for name in IDENTITY_AT_TIMES {
            if let Some(text) = self.identity(name) {
                nodes.push((Cow::Borrowed(name), Node::Text(text)));
            }
        }
        if let Some(cert) = self.caller.and_then(|caller| caller.client_cert.as_deref()) {
            nodes.push((Cow::Borrowed("clientCert"), cert.node()));
        }
        nodes
    }

    /// Claims have no text of their own: `$context.authorizer.claims` prints nothing (documented),
    /// and yet each of them can be asked for.
    fn authorizer_nodes(&self) -> Vec<(Cow<'a, str>, Node<'a>)> {
        let Some(caller) = self.caller else { return Vec::new() };
        let mut nodes = text_nodes(&caller.authorizer);
        if !caller.claims.is_empty() {
            nodes.push((Cow::Borrowed("claims"), Node::Map(text_nodes(&caller.claims))));
        }
        nodes
    }
}

impl ClientCert {
    fn node(&self) -> Node<'_> {
        let text = |name, text| (Cow::Borrowed(name), Node::Text(Cow::Borrowed(text)));
        let validity =
            Node::Map(vec![text("notBefore", &self.not_before), text("notAfter", &self.not_after)]);
        Node::Map(vec![
            text("clientCertPem", &self.pem),
            text("subjectDN", &self.subject_dn),
            text("issuerDN", &self.issuer_dn),
            text("serialNumber", &self.serial_number),
            (Cow::Borrowed("validity"), validity),
        ])
    }
}

impl<'a> From<Option<Cow<'a, str>>> for Node<'a> {
    fn from(text: Option<Cow<'a, str>>) -> Self {
        text.map_or(Node::Null, Node::Text)
    }
}

fn text_nodes(texts: &IndexMap<String, String>) -> Vec<(Cow<'_, str>, Node<'_>)> {
    texts
        .iter()
        .map(|(name, text)| {
            (Cow::Borrowed(name.as_str()), Node::Text(Cow::Borrowed(text.as_str())))
        })
        .collect()
}
