//! A REST API as its author described it: resources, methods, integrations.
//!
//! AWS: API Gateway REST API Reference, "RestApi", "Resource", "Method", "Integration".

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::ids::{ApiId, ResourceId};

/// One REST API, complete and checked: what a deployment freezes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestApi {
    pub id: ApiId,
    pub name: String,
    pub endpoint_type: EndpointType,
    /// `disableExecuteApiEndpoint`: reachable by custom domain names only.
    #[serde(default)]
    pub default_endpoint_disabled: bool,
    /// Media types whose bodies are binary, such as `image/png` or `*/*`.
    pub binary_media_types: Vec<String>,
    /// Responses of at least this many bytes are compressed when the client asks; `None` is off.
    pub minimum_compression_size: Option<u32>,
    /// In document order; paths are unique and begin with `/`.
    pub resources: Vec<Resource>,
    /// By name: the schema's text (JSON Schema draft 4). None where no method validates bodies.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub models: IndexMap<String, String>,
    /// By AWS's name of the type, such as `DEFAULT_4XX`: what the API's author made of it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub gateway_responses: IndexMap<String, GatewayResponse>,
}

/// What an author made of one type of refusal. AWS: "Gateway responses for REST APIs in API
/// Gateway".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayResponse {
    /// `None`: the type's own.
    pub status_code: Option<u16>,
    /// `gatewayresponse.header.{Name}` → expression.
    pub response_parameters: IndexMap<String, String>,
    /// Media type → text in which `$context.…`, `$stageVariables.…` and `$method.request.…` stand.
    pub response_templates: IndexMap<String, String>,
}

/// Which door serves the API. AWS: "Choose an endpoint type to set up for an API Gateway API".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EndpointType {
    #[default]
    Edge,
    Regional,
    Private,
}

impl EndpointType {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointType::Edge => "EDGE",
            EndpointType::Regional => "REGIONAL",
            EndpointType::Private => "PRIVATE",
        }
    }
}

impl RestApi {
    /// The names of all methods as a stage's settings have them.
    pub fn method_keys(&self) -> impl Iterator<Item = String> {
        self.resources
            .iter()
            .flat_map(|resource| resource.methods.iter().map(|method| resource.method_key(method)))
    }
}

/// One path of the resource tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub id: ResourceId,
    /// The template, such as `/pets/{id}` or `/{proxy+}`.
    pub path: String,
    pub methods: Vec<Method>,
}

impl Resource {
    /// `pets/{id}/GET`, as AWS names a method's settings; the root's are `/GET`.
    pub fn method_key(&self, method: &Method) -> String {
        format!("{}/{}", self.path.trim_start_matches('/'), method.http_method)
    }
}

/// One verb of a resource, or `ANY`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Upper case; `ANY` stands for DELETE, GET, HEAD, OPTIONS, PATCH, POST and PUT.
    pub http_method: String,
    pub operation_name: Option<String>,
    /// `method.request.{header|querystring|path}.{name}` → required.
    pub request_parameters: IndexMap<String, bool>,
    /// What is asked of a request before anything is done with it; `None` is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Status codes for which the method has a method response.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_statuses: Vec<u16>,
    pub integration: Integration,
}

/// AWS: API Gateway REST API Reference, "RequestValidator".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// `validateRequestParameters`: required parameters must be there and not blank.
    pub parameters: bool,
    /// `validateRequestBody`: media type → name of the model that the body must fit; `None` is no
    /// validation of bodies.
    pub body: Option<IndexMap<String, String>>,
}

/// What stands behind a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    pub kind: IntegrationKind,
    /// The backend's verb; `None` or `ANY` means the client's.
    pub http_method: Option<String>,
    /// May hold `{path-parameter}` and `${stageVariables.x}`; empty for MOCK.
    pub uri: String,
    /// `integration.request.{header|querystring|path}.X` → expression.
    pub request_parameters: IndexMap<String, String>,
    /// Media type → mapping template, whose output stands in the place of the client's body.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub request_templates: IndexMap<String, String>,
    /// What becomes of a body that no request template fits.
    #[serde(default, skip_serializing_if = "Passthrough::is_default")]
    pub passthrough: Passthrough,
    pub cache_namespace: Option<String>,
    /// `method.request.{header|querystring|path}.{name}`.
    pub cache_key_parameters: Vec<String>,
    /// Milliseconds.
    pub timeout_ms: u32,
    /// `tlsConfig.insecureSkipVerification`.
    pub insecure_skip_verification: bool,
    /// Unused by HTTP_PROXY. In document order; an entry without pattern is the default.
    pub responses: Vec<IntegrationResponse>,
    /// Of the request's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_handling: Option<ContentHandling>,
    /// A role's ARN, `arn:aws:iam::*:user/*` for the caller's own, or with a stage variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// The VPC link's id, where the connection type is VPC_LINK; may hold a stage variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_link: Option<String>,
    /// ARN of the load balancer behind a VPC link of the second version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration_target: Option<String>,
    /// `tlsConfig.serverNameToVerify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name_to_verify: Option<String>,
    /// `responseTransferMode` is STREAM.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_streamed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IntegrationKind {
    HttpProxy,
    Http,
    #[default]
    Mock,
    /// A Lambda function or another service of AWS's, with mappings.
    Aws,
    /// A Lambda function that gets the whole call.
    AwsProxy,
}

/// AWS: "Content type conversions in API Gateway".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContentHandling {
    ConvertToBinary,
    ConvertToText,
}

impl ContentHandling {
    /// As AWS writes it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "CONVERT_TO_BINARY" => Some(Self::ConvertToBinary),
            "CONVERT_TO_TEXT" => Some(Self::ConvertToText),
            _ => None,
        }
    }
}

/// AWS: "Method request behavior for payloads without mapping templates".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Passthrough {
    /// The client's body goes on.
    #[default]
    WhenNoMatch,
    /// It goes on only where there are no templates at all.
    WhenNoTemplates,
    Never,
}

impl Passthrough {
    /// As AWS writes it, in whatever case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "WHEN_NO_MATCH" => Some(Self::WhenNoMatch),
            "WHEN_NO_TEMPLATES" => Some(Self::WhenNoTemplates),
            "NEVER" => Some(Self::Never),
            _ => None,
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How an integration's answer becomes the method's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationResponse {
    /// Java's regular expression over the status code's text, or over the error message of a Lambda
    /// function; must match all of it. `None` is the default.
    pub selection_pattern: Option<String>,
    pub status_code: u16,
    /// `method.response.header.X` → `'static'` or `integration.response.header.Y`.
    pub response_parameters: IndexMap<String, String>,
    /// Media type → mapping template, whose output is the body of the answer; none: it stays.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub response_templates: IndexMap<String, String>,
    /// Of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_handling: Option<ContentHandling>,
}
