//! A deployed API as an OpenAPI document.
//!
//! The document is made of what a deployment froze, in the two forms AWS writes: Swagger 2.0 and
//! OpenAPI 3.0. What the importer reads back is the same API; only the type of its endpoint is not
//! told, as AWS does not tell it. The extensions asked for decide how much of API Gateway's own is
//! in it.
//!
//! AWS: API Gateway Developer Guide, "Export a REST API from API Gateway"; API Reference,
//! "GetExport".

mod methods;
mod yaml;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::admin::openapi::import::MODELS_URL;
use crate::admin::openapi::import::tree::parent_of;

pub use yaml::to_yaml;

/// The language of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Swagger2,
    OpenApi30,
}

/// Which of AWS's extensions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Integrations and everything else but authorizers: AWS calls it `integrations` and
    /// `apigateway`.
    pub integrations: bool,
    pub authorizers: bool,
}

/// What is exported.
#[derive(Clone, Copy, Debug)]
pub struct Deployed<'a> {
    /// As [`crate::admin::rest::definition::freeze`] gives it.
    pub definition: &'a Value,
    /// `{version?, documentationParts}` of the stage's documentation version, if it is wanted.
    pub documentation: Option<&'a Value>,
    pub stage_name: &'a str,
    /// Host and port that clients call.
    pub host: &'a str,
    /// Stands for the version of an API that has none.
    pub version: &'a str,
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// AWS exports JSON models only.
    #[error("JSON body models not found for: {}", .0.join(", "))]
    NoJsonModels(Vec<String>),
    #[error("The schema of model {0} is not JSON")]
    Schema(String),
}

/// Writes the document.
///
/// # Errors
/// The API has what AWS does not export.
pub fn export(
    deployed: &Deployed<'_>,
    form: Form,
    extensions: Extensions,
) -> Result<Map<String, Value>, ExportError> {
    let exporter = Exporter { deployed, form, extensions, schemes: Schemes::new(deployed) };
    exporter.document()
}

struct Exporter<'a> {
    deployed: &'a Deployed<'a>,
    form: Form,
    extensions: Extensions,
    schemes: Schemes<'a>,
}

/// Names that methods have for what they refer to by id, and of the gateway's own schemes.
struct Schemes<'a> {
    authorizers: HashMap<&'a str, &'a str>,
    validators: HashMap<&'a str, &'a str>,
    api_key: String,
    iam: String,
}

impl<'a> Schemes<'a> {
    fn new(deployed: &Deployed<'a>) -> Self {
        let names = |member: &str| -> HashMap<&'a str, &'a str> {
            let found = list(deployed.definition, member);
            found.map(|body| (text(body, "id"), text(body, "name"))).collect()
        };
        let authorizers = names("authorizers");
        let taken: HashSet<&str> = authorizers.values().copied().collect();
        // A scheme of the gateway's own must not take an authorizer's name.
        let free = |wanted: &str| {
            let mut name = wanted.to_owned();
            while taken.contains(name.as_str()) {
                name.push('_');
            }
            name
        };
        let (api_key, iam) = (free("api_key"), free("sigv4"));
        Self { authorizers, validators: names("requestValidators"), api_key, iam }
    }
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Map<String, Value>> {
    let items = value.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_object)
}

fn text<'b>(body: &'b Map<String, Value>, name: &str) -> &'b str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn entries<'b>(
    body: &'b Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'b String, &'b Value)> {
    body.get(name).and_then(Value::as_object).into_iter().flatten()
}

impl Exporter<'_> {
    fn api(&self) -> &Map<String, Value> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        self.deployed.definition.get("restApi").and_then(Value::as_object).unwrap_or(&NONE)
    }

    fn document(&self) -> Result<Map<String, Value>, ExportError> {
        let mut document = Map::new();
        match self.form {
            Form::Swagger2 => {
                document.insert("swagger".to_owned(), json!("2.0"));
                document.insert("info".to_owned(), self.info());
                document.insert("host".to_owned(), json!(self.deployed.host));
                let base_path = format!("/{}", self.deployed.stage_name);
                document.insert("basePath".to_owned(), json!(base_path));
                document.insert("schemes".to_owned(), json!(["https"]));
            }
            Form::OpenApi30 => {
                document.insert("openapi".to_owned(), json!("3.0.1"));
                document.insert("info".to_owned(), self.info());
                document.insert("servers".to_owned(), json!([self.server()]));
            }
        }
        self.tags(&mut document);
        document.insert("paths".to_owned(), Value::Object(self.paths()?));
        let schemes = self.security_schemes();
        let models = self.models()?;
        match self.form {
            Form::Swagger2 => {
                for (name, table) in [("securityDefinitions", schemes), ("definitions", models)] {
                    if !table.is_empty() {
                        document.insert(name.to_owned(), Value::Object(table));
                    }
                }
            }
            Form::OpenApi30 => {
                let mut components = Map::new();
                for (name, table) in [("schemas", models), ("securitySchemes", schemes)] {
                    if !table.is_empty() {
                        components.insert(name.to_owned(), Value::Object(table));
                    }
                }
                document.insert("components".to_owned(), Value::Object(components));
            }
        }
        if self.extensions.integrations {
            self.root_extensions(&mut document);
        }
        if let Some(documentation) = self.deployed.documentation {
            let documentation = documented(documentation);
            document.insert("x-amazon-apigateway-documentation".to_owned(), documentation);
        }
        Ok(document)
    }

    fn info(&self) -> Value {
        let api = self.api();
        let mut info = Map::new();
        info.insert("title".to_owned(), json!(text(api, "name")));
        if !text(api, "description").is_empty() {
            info.insert("description".to_owned(), json!(text(api, "description")));
        }
        let version = api.get("version").and_then(Value::as_str);
        info.insert("version".to_owned(), json!(version.unwrap_or(self.deployed.version)));
        Value::Object(info)
    }

    fn server(&self) -> Value {
        let mut server = Map::new();
        let url = format!("https://{}/{{basePath}}", self.deployed.host);
        server.insert("url".to_owned(), json!(url));
        let variables = json!({ "basePath": { "default": self.deployed.stage_name } });
        server.insert("variables".to_owned(), variables);
        if self.extensions.integrations
            && let Some(configuration) = self.endpoint_configuration()
        {
            let key = "x-amazon-apigateway-endpoint-configuration".to_owned();
            server.insert(key, configuration);
        }
        Value::Object(server)
    }

    /// What the endpoint's configuration says beyond AWS's defaults, its type left out.
    fn endpoint_configuration(&self) -> Option<Value> {
        let api = self.api();
        let mut configuration = Map::new();
        if api.get("disableExecuteApiEndpoint") == Some(&Value::Bool(true)) {
            configuration.insert("disableExecuteApiEndpoint".to_owned(), json!(true));
        }
        if let Some(Value::Object(endpoint)) = api.get("endpointConfiguration") {
            if let Some(ids @ Value::Array(_)) = endpoint.get("vpcEndpointIds") {
                configuration.insert("vpcEndpointIds".to_owned(), ids.clone());
            }
            let is_private = endpoint.get("types") == Some(&json!(["PRIVATE"]));
            let usual = if is_private { "dualstack" } else { "ipv4" };
            let kind = text(endpoint, "ipAddressType");
            if !kind.is_empty() && kind != usual {
                configuration.insert("ipAddressType".to_owned(), json!(kind));
            }
        }
        (!configuration.is_empty()).then_some(Value::Object(configuration))
    }

    fn tags(&self, document: &mut Map<String, Value>) {
        if !self.extensions.integrations {
            return;
        }
        let tags: Vec<Value> = entries(self.api(), "tags")
            .map(|(name, value)| json!({ "name": name, "x-amazon-apigateway-tag-value": value }))
            .collect();
        if !tags.is_empty() {
            document.insert("tags".to_owned(), Value::Array(tags));
        }
    }

    /// Resources with methods, and those that nothing else would make known.
    fn paths(&self) -> Result<Map<String, Value>, ExportError> {
        let resources: Vec<_> = list(self.deployed.definition, "resources").collect();
        let parents: HashSet<&str> = resources
            .iter()
            .filter_map(|resource| parent_of(text(resource, "path")))
            .map(|(parent, _)| parent)
            .collect();
        let mut sorted = resources;
        sorted.sort_by_key(|resource| text(resource, "path"));
        let mut paths = Map::new();
        let mut foreign = Vec::new();
        for resource in sorted {
            let path = text(resource, "path");
            let mut item = Map::new();
            for (verb, method) in entries(resource, "resourceMethods") {
                let Some(method) = method.as_object() else { continue };
                let key = match verb.as_str() {
                    "ANY" => "x-amazon-apigateway-any-method".to_owned(),
                    verb => verb.to_ascii_lowercase(),
                };
                let operation =
                    self.operation(text(resource, "id"), path, verb, method, &mut foreign);
                item.insert(key, Value::Object(operation));
            }
            if !item.is_empty() || (path != "/" && !parents.contains(path)) {
                paths.insert(path.to_owned(), Value::Object(item));
            }
        }
        if foreign.is_empty() { Ok(paths) } else { Err(ExportError::NoJsonModels(foreign)) }
    }

    fn models(&self) -> Result<Map<String, Value>, ExportError> {
        let mut models = Map::new();
        for model in list(self.deployed.definition, "models") {
            let name = text(model, "name");
            if !text(model, "contentType").starts_with("application/json") {
                return Err(ExportError::NoJsonModels(vec![name.to_owned()]));
            }
            let schema = serde_json::from_str(text(model, "schema"));
            let mut schema: Value = schema.map_err(|_| ExportError::Schema(name.to_owned()))?;
            self.localize(&mut schema);
            if let Some(schema) = schema.as_object_mut() {
                schema.shift_remove("$schema");
            }
            models.insert(name.to_owned(), schema);
        }
        Ok(models)
    }

    fn model_reference(&self, name: &str) -> String {
        match self.form {
            Form::Swagger2 => format!("#/definitions/{name}"),
            Form::OpenApi30 => format!("#/components/schemas/{name}"),
        }
    }

    /// References by URL become references within the document. Recursion is bounded by
    /// serde_json's own depth.
    fn localize(&self, schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                for (key, value) in members {
                    if key == "$ref"
                        && let Value::String(target) = value
                    {
                        let model = target.strip_prefix(MODELS_URL);
                        if let Some((_, name)) = model.and_then(|rest| rest.split_once("/models/"))
                        {
                            *target = self.model_reference(&name.replacen('#', "", 1));
                        }
                    } else {
                        self.localize(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.localize(item)),
            _ => {}
        }
    }

    fn security_schemes(&self) -> Map<String, Value> {
        let mut schemes = Map::new();
        let methods = || {
            list(self.deployed.definition, "resources")
                .flat_map(|resource| entries(resource, "resourceMethods"))
        };
        if methods().any(|(_, method)| method["apiKeyRequired"] == true) {
            let scheme = json!({ "type": "apiKey", "name": "x-api-key", "in": "header" });
            schemes.insert(self.schemes.api_key.clone(), scheme);
        }
        if methods().any(|(_, method)| method["authorizationType"] == "AWS_IAM") {
            let scheme = json!({
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authtype": "awsSigv4",
            });
            schemes.insert(self.schemes.iam.clone(), scheme);
        }
        for authorizer in list(self.deployed.definition, "authorizers") {
            let scheme = self.authorizer_scheme(authorizer);
            schemes.insert(text(authorizer, "name").to_owned(), scheme);
        }
        schemes
    }

    fn authorizer_scheme(&self, authorizer: &Map<String, Value>) -> Value {
        let source = text(authorizer, "identitySource");
        let header = source
            .strip_prefix("method.request.header.")
            .filter(|name| !name.is_empty() && !name.contains([',', ' ']));
        let mut scheme = Map::new();
        scheme.insert("type".to_owned(), json!("apiKey"));
        // AWS: what stands for several sources.
        scheme.insert("name".to_owned(), json!(header.unwrap_or("Unused")));
        scheme.insert("in".to_owned(), json!("header"));
        if self.extensions.authorizers {
            let auth_type = text(authorizer, "authType");
            if !auth_type.is_empty() {
                scheme.insert("x-amazon-apigateway-authtype".to_owned(), json!(auth_type));
            }
            let mut extension = Map::new();
            for (key, value) in authorizer {
                match key.as_str() {
                    "id" | "name" | "authType" | "tidegateExtensions" => {}
                    "type" => {
                        let kind = text(authorizer, "type").to_ascii_lowercase();
                        extension.insert(key.clone(), json!(kind));
                    }
                    "identitySource"
                        if header.is_some()
                            && matches!(
                                text(authorizer, "type"),
                                "TOKEN" | "COGNITO_USER_POOLS"
                            ) => {}
                    _ => {
                        extension.insert(key.clone(), value.clone());
                    }
                }
            }
            for (key, value) in entries(authorizer, "tidegateExtensions") {
                extension.insert(key.clone(), value.clone());
            }
            let key = "x-amazon-apigateway-authorizer".to_owned();
            scheme.insert(key, Value::Object(extension));
        }
        Value::Object(scheme)
    }

    fn root_extensions(&self, document: &mut Map<String, Value>) {
        let api = self.api();
        if self.form == Form::Swagger2
            && let Some(configuration) = self.endpoint_configuration()
        {
            let key = "x-amazon-apigateway-endpoint-configuration".to_owned();
            document.insert(key, configuration);
        }
        let mut responses = Map::new();
        for response in list(self.deployed.definition, "gatewayResponses") {
            let mut body = response.clone();
            let kind = text(response, "responseType").to_owned();
            body.shift_remove("responseType");
            body.shift_remove("defaultResponse");
            responses.insert(kind, Value::Object(body));
        }
        let mut validators = Map::new();
        for validator in list(self.deployed.definition, "requestValidators") {
            let flag = |name: &str| validator.get(name) == Some(&Value::Bool(true));
            let body = json!({
                "validateRequestParameters": flag("validateRequestParameters"),
                "validateRequestBody": flag("validateRequestBody"),
            });
            validators.insert(text(validator, "name").to_owned(), body);
        }
        for (key, table) in [("gateway-responses", responses), ("request-validators", validators)] {
            if !table.is_empty() {
                document.insert(format!("x-amazon-apigateway-{key}"), Value::Object(table));
            }
        }
        for (key, member) in [
            ("binary-media-types", "binaryMediaTypes"),
            ("minimum-compression-size", "minimumCompressionSize"),
            ("security-policy", "securityPolicy"),
            ("endpoint-access-mode", "endpointAccessMode"),
        ] {
            if let Some(value) = api.get(member).filter(|value| !value.is_null()) {
                document.insert(format!("x-amazon-apigateway-{key}"), value.clone());
            }
        }
        let source = text(api, "apiKeySource");
        if !source.is_empty() && source != "HEADER" {
            let key = "x-amazon-apigateway-api-key-source".to_owned();
            document.insert(key, json!(source));
        }
        if let Some(policy) = api.get("policy").and_then(Value::as_str) {
            let policy = serde_json::from_str(policy).unwrap_or_else(|_| json!(policy));
            document.insert("x-amazon-apigateway-policy".to_owned(), policy);
        }
        for (key, value) in entries(api, "tidegateExtensions") {
            document.insert(key.clone(), value.clone());
        }
    }
}

/// `{version?, documentationParts: [{location, properties}]}` with properties as tables.
fn documented(documentation: &Value) -> Value {
    let mut written = Map::new();
    for key in ["version", "description", "createdDate"] {
        if let Some(value) = documentation.get(key) {
            written.insert(key.to_owned(), value.clone());
        }
    }
    let parts = list(documentation, "documentationParts").map(|part| {
        let properties = text(part, "properties");
        let parsed = serde_json::from_str(properties).ok().filter(Value::is_object);
        json!({
            "location": part.get("location"),
            "properties": parsed.unwrap_or_else(|| json!(properties)),
        })
    });
    written.insert("documentationParts".to_owned(), parts.collect());
    Value::Object(written)
}

#[cfg(test)]
mod tests;
