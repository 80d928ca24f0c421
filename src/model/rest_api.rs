//! A REST API as its author described it: resources, methods, integrations.
//!
//! AWS: API Gateway REST API Reference, "RestApi", "Resource", "Method", "Integration".

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::ids::{ApiId, ResourceId};

/// One REST API, complete and checked: what a deployment freezes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestApi {
    pub id: ApiId,
    pub name: String,
    pub endpoint_type: EndpointType,
    /// Media types whose bodies are binary, such as `image/png` or `*/*`.
    pub binary_media_types: Vec<String>,
    /// Responses of at least this many bytes are compressed when the client asks; `None` is off.
    pub minimum_compression_size: Option<u32>,
    /// In document order; paths are unique and begin with `/`.
    pub resources: Vec<Resource>,
}

/// Which door serves the API. AWS: "Choose an endpoint type to set up for an API Gateway API".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EndpointType {
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Upper case; `ANY` stands for DELETE, GET, HEAD, OPTIONS, PATCH, POST and PUT.
    pub http_method: String,
    pub operation_name: Option<String>,
    /// `method.request.{header|querystring|path}.{name}` → required.
    pub request_parameters: IndexMap<String, bool>,
    pub integration: Integration,
}

/// What stands behind a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    pub kind: IntegrationKind,
    /// The backend's verb; `None` or `ANY` means the client's.
    pub http_method: Option<String>,
    /// May hold `{path-parameter}` and `${stageVariables.x}`; empty for MOCK.
    pub uri: String,
    /// `integration.request.{header|querystring|path}.X` → expression.
    pub request_parameters: IndexMap<String, String>,
    /// HTTP: media type → text without template language, the body in the place of the client's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub request_templates: IndexMap<String, String>,
    /// HTTP: what becomes of a body that no request template fits.
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
    /// MOCK: the status its static template `{"statusCode": n}` names; `None` makes calls fail.
    pub mock_status: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IntegrationKind {
    HttpProxy,
    Http,
    Mock,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationResponse {
    /// Regular expression over the status code's text; must match all of it. `None` is the default.
    pub selection_pattern: Option<String>,
    pub status_code: u16,
    /// `method.response.header.X` → `'static'` or `integration.response.header.Y`.
    pub response_parameters: IndexMap<String, String>,
    /// Media type → text without template language, the body of the answer; none: it stays.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub response_templates: IndexMap<String, String>,
}
