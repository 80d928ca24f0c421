//! The document's outermost level: which language, what name, which door, and what holds for all
//! methods.

use indexmap::IndexSet;

use crate::admin::openapi::{Dialect, Reader, is_extension, paths, unbuilt};
use crate::model::document::{At, Section, Value};
use crate::model::quotas;
use crate::model::rest_api::{EndpointType, RestApi};

impl<'a> Reader<'a> {
    /// Swagger 2.0 or OpenAPI 3.0/3.1; anything else is a complaint.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        let swagger = self.root.get("swagger");
        let openapi = self.root.get("openapi");
        let (at, dialect) = match (&swagger, &openapi) {
            (Some(at), None) => (at, Dialect::Swagger2),
            (None, Some(at)) => (at, Dialect::OpenApi3),
            _ => {
                self.root.problem(
                    "Invalid OpenAPI input: exactly one of `openapi` and `swagger` must be there",
                    Some("begin with `openapi: 3.0.1` or `swagger: \"2.0\"`".to_owned()),
                );
                return None;
            }
        };
        let version = match &at.node.value {
            Value::Text(text) => text.clone(),
            // YAML reads an unquoted 2.0 as a number.
            Value::Float(number) => format!("{number:?}"),
            _ => {
                at.expected("a version");
                return None;
            }
        };
        let served = match dialect {
            Dialect::Swagger2 => version == "2.0",
            Dialect::OpenApi3 => ["3.0", "3.1"].iter().any(|served| {
                version.strip_prefix(served).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('.') || rest.starts_with('-')
                })
            }),
        };
        if !served {
            at.problem(
                format!("version `{version}` is not read"),
                Some("Swagger 2.0, OpenAPI 3.0 and OpenAPI 3.1 are".to_owned()),
            );
            return None;
        }
        Some(dialect)
    }

    pub(super) fn definition(&self, dialect: Dialect) -> RestApi {
        let root = Section::new(self.root.clone());
        root.ignore(&["openapi", "swagger", "tags", "externalDocs", "jsonSchemaDialect"]);
        // Looked at where something refers to them; without use they change nothing.
        root.ignore(&["components", "definitions", "parameters", "responses"]);
        root.ignore(&["securityDefinitions", "webhooks"]);
        // Where AWS would tell clients to go; ours is told by the topology.
        root.ignore(&["host", "basePath", "schemes", "consumes", "produces", "servers"]);
        let name = self.name(root.require("info"));
        root.ignore(&["paths", "security"]);
        self.root_extensions();
        let endpoint_type = self.endpoint_type(dialect);
        let api = RestApi {
            id: self.options.api_id.clone(),
            name,
            endpoint_type,
            binary_media_types: self.binary_media_types(),
            minimum_compression_size: self.minimum_compression_size(),
            resources: paths::read(self),
        };
        root.finish_except(is_extension);
        api
    }

    fn name(&self, info: Option<At<'a>>) -> String {
        if let Some(name) = &self.options.name {
            return name.clone();
        }
        let Some(info) = info else { return String::new() };
        match info.get("title").as_ref().map(At::text) {
            Some(Some(title)) if !title.trim().is_empty() => title.to_owned(),
            Some(None) => String::new(),
            _ => {
                info.problem("`title` is missing: it names the API", None);
                String::new()
            }
        }
    }

    /// The extensions of the outermost level that are known, harmless in one form only.
    fn root_extensions(&self) {
        if let Some(source) = self.claim(&self.root, "x-amazon-apigateway-api-key-source")
            && !matches!(&source.node.value, Value::Text(text) if text == "HEADER")
        {
            unbuilt(&source, "an API key source other than HEADER");
        }
        if let Some(responses) = self.claim(&self.root, "x-amazon-apigateway-gateway-responses") {
            for (_, response) in responses.entries() {
                unbuilt(&response, "a gateway response of one's own");
            }
        }
        if let Some(policy) = self.claim(&self.root, "x-amazon-apigateway-policy") {
            unbuilt(&policy, "a resource policy");
        }
        // Judged where a method comes under it.
        self.claim(&self.root, "x-amazon-apigateway-request-validators");
        self.claim(&self.root, "x-amazon-apigateway-request-validator");
        if let Value::Map(entries) = &self.root.node.value
            && entries.get("components").is_some_and(|node| !matches!(node.value, Value::Map(_)))
            && let Some(components) = self.root.get("components")
        {
            components.expected("a table");
        }
    }

    /// AWS: "x-amazon-apigateway-endpoint-configuration object": at the root in Swagger 2.0, in an
    /// entry of `servers` in OpenAPI 3.
    fn endpoint_type(&self, dialect: Dialect) -> EndpointType {
        const KEY: &str = "x-amazon-apigateway-endpoint-configuration";
        let places: Vec<At<'a>> = match dialect {
            Dialect::Swagger2 => self.claim(&self.root, KEY).into_iter().collect(),
            Dialect::OpenApi3 => self
                .root
                .get("servers")
                .map(|servers| servers.items())
                .unwrap_or_default()
                .iter()
                .filter_map(|server| self.claim(server, KEY))
                .collect(),
        };
        let mut found: Option<EndpointType> = None;
        for place in places {
            let Some(named) = endpoint_configuration(place.clone()) else { continue };
            if found.is_some_and(|earlier| earlier != named) {
                place.problem("Cannot create an api with multiple Endpoint Types.", None);
            }
            found = Some(named);
        }
        self.options.endpoint_type.or(found).unwrap_or(self.options.endpoint_type_default)
    }

    fn binary_media_types(&self) -> Vec<String> {
        let Some(at) = self.claim(&self.root, "x-amazon-apigateway-binary-media-types") else {
            return Vec::new();
        };
        let mut types: IndexSet<String> = IndexSet::new();
        for item in at.items() {
            let Some(text) = item.text() else { continue };
            let whole = text.split_once('/').is_some_and(|(kind, subtype)| {
                !kind.is_empty() && !subtype.is_empty() && !subtype.contains('/')
            });
            if !whole || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                item.problem(
                    format!("`{text}` is no media type"),
                    Some("such as `image/png` or `*/*`".to_owned()),
                );
            } else {
                types.insert(text.to_owned());
            }
        }
        types.into_iter().collect()
    }

    fn minimum_compression_size(&self) -> Option<u32> {
        let at = self.claim(&self.root, "x-amazon-apigateway-minimum-compression-size")?;
        match at.node.value {
            Value::Integer(size)
                if (0..=i64::from(quotas::MINIMUM_COMPRESSION_SIZE_MAX)).contains(&size) =>
            {
                u32::try_from(size).ok()
            }
            _ => {
                at.problem(
                    "Invalid minimum compression size, must be between 0 and 10485760",
                    None,
                );
                None
            }
        }
    }
}

/// The one type of an endpoint configuration; everything else in it must be without effect.
fn endpoint_configuration(at: At<'_>) -> Option<EndpointType> {
    let section = Section::new(at);
    let mut named = None;
    if let Some(types) = section.take("types") {
        let listed = types.texts();
        match listed.as_slice() {
            [one] => {
                named = match one.to_ascii_uppercase().as_str() {
                    "EDGE" => Some(EndpointType::Edge),
                    "REGIONAL" => Some(EndpointType::Regional),
                    "PRIVATE" => Some(EndpointType::Private),
                    _ => {
                        types.problem(
                            format!("`{one}` is no endpoint type"),
                            Some("EDGE, REGIONAL or PRIVATE".to_owned()),
                        );
                        None
                    }
                };
            }
            [] => types.problem(
                "REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.",
                Some("name EDGE, REGIONAL or PRIVATE".to_owned()),
            ),
            _ => types.problem("Cannot create an api with multiple Endpoint Types.", None),
        }
    }
    if let Some(disable) = section.take("disableExecuteApiEndpoint")
        && disable.boolean() == Some(true)
    {
        unbuilt(&disable, "switching the default host name off");
    }
    if let Some(endpoints) = section.take("vpcEndpointIds")
        && !endpoints.items().is_empty()
    {
        unbuilt(&endpoints, "a bond to VPC endpoints");
    }
    if let Some(kind) = section.take("ipAddressType") {
        unbuilt(&kind, "an address type of one's own (the topology's listeners decide it)");
    }
    section.finish();
    named
}
