//! One method as an operation.

use serde_json::{Map, Value, json};

use crate::admin::openapi::export::{Exporter, Form, entries, text};
use crate::model::quotas;

const JSON: &str = "application/json";
/// Members that go into the document as they are, when they are there.
const COPIED: [&str; 9] = [
    "uri",
    "credentials",
    "connectionId",
    "integrationTarget",
    "requestParameters",
    "requestTemplates",
    "contentHandling",
    "responseTransferMode",
    "tlsConfig",
];

impl Exporter<'_> {
    /// `foreign` takes the places of models that are not JSON.
    pub(super) fn operation(
        &self,
        resource_id: &str,
        path: &str,
        verb: &str,
        method: &Map<String, Value>,
        foreign: &mut Vec<String>,
    ) -> Map<String, Value> {
        let mut operation = Map::new();
        if !text(method, "operationName").is_empty() {
            operation.insert("operationId".to_owned(), json!(text(method, "operationName")));
        }
        if self.form == Form::Swagger2 {
            self.media_types(method, &mut operation);
        }
        let mut parameters = self.parameters(method);
        for (media_type, model) in entries(method, "requestModels") {
            let model = model.as_str().unwrap_or_default();
            if media_type != JSON {
                foreign.push(format!("{verb} {path} ({media_type})"));
                continue;
            }
            let schema = json!({ "$ref": self.model_reference(model) });
            if self.form == Form::Swagger2 {
                parameters.push(
                    json!({ "in": "body", "name": model, "required": true, "schema": schema }),
                );
            } else {
                let body = json!({ "content": { JSON: { "schema": schema } }, "required": true });
                operation.insert("requestBody".to_owned(), body);
            }
        }
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(parameters));
        }
        let mut responses = Map::new();
        for (code, response) in entries(method, "methodResponses") {
            let Some(response) = response.as_object() else { continue };
            let place = format!("{verb} {path} {code}");
            responses.insert(code.clone(), self.response(code, response, &place, foreign));
        }
        operation.insert("responses".to_owned(), Value::Object(responses));
        let security = self.security(method);
        if !security.is_empty() {
            operation.insert("security".to_owned(), Value::Array(security));
        }
        if self.extensions.integrations {
            if let Some(name) = self.schemes.validators.get(text(method, "requestValidatorId")) {
                let key = "x-amazon-apigateway-request-validator".to_owned();
                operation.insert(key, json!(name));
            }
            if let Some(Value::Object(integration)) = method.get("methodIntegration") {
                let integration = integration_of(resource_id, verb, integration);
                let key = "x-amazon-apigateway-integration".to_owned();
                operation.insert(key, Value::Object(integration));
            }
        }
        operation
    }

    /// `consumes` and `produces`: what models and templates are for.
    fn media_types(&self, method: &Map<String, Value>, operation: &mut Map<String, Value>) {
        let none = Map::new();
        let integration =
            method.get("methodIntegration").and_then(Value::as_object).unwrap_or(&none);
        let mut consumes: Vec<&str> = Vec::new();
        let mut produces: Vec<&str> = Vec::new();
        consumes.extend(entries(method, "requestModels").map(|(key, _)| key.as_str()));
        consumes.extend(entries(integration, "requestTemplates").map(|(key, _)| key.as_str()));
        let tables = entries(method, "methodResponses").map(|found| (found.1, "responseModels"));
        let templates = entries(integration, "integrationResponses");
        for (response, member) in
            tables.chain(templates.map(|found| (found.1, "responseTemplates")))
        {
            if let Some(response) = response.as_object() {
                produces.extend(entries(response, member).map(|(key, _)| key.as_str()));
            }
        }
        for (key, mut types) in [("consumes", consumes), ("produces", produces)] {
            types.retain(|media_type| media_type.contains('/'));
            types.sort_unstable();
            types.dedup();
            if !types.is_empty() {
                operation.insert(key.to_owned(), json!(types));
            }
        }
    }

    fn parameters(&self, method: &Map<String, Value>) -> Vec<Value> {
        let mut parameters = Vec::new();
        for (key, required) in entries(method, "requestParameters") {
            let named = key.strip_prefix("method.request.").and_then(|rest| rest.split_once('.'));
            let (place, name) = match named {
                Some(("querystring" | "multivaluequerystring", name)) => ("query", name),
                Some(("header" | "multivalueheader", name)) => ("header", name),
                Some(("path", name)) => ("path", name),
                _ => continue,
            };
            let required = required == &Value::Bool(true);
            let mut parameter = Map::new();
            parameter.insert("name".to_owned(), json!(name));
            parameter.insert("in".to_owned(), json!(place));
            if self.form == Form::Swagger2 {
                parameter.insert("required".to_owned(), json!(required));
                parameter.insert("type".to_owned(), json!("string"));
            } else {
                if required {
                    parameter.insert("required".to_owned(), json!(true));
                }
                parameter.insert("schema".to_owned(), json!({ "type": "string" }));
            }
            parameters.push(Value::Object(parameter));
        }
        parameters
    }

    fn response(
        &self,
        code: &str,
        response: &Map<String, Value>,
        place: &str,
        foreign: &mut Vec<String>,
    ) -> Value {
        let mut written = Map::new();
        written.insert("description".to_owned(), json!(format!("{code} response")));
        let mut headers = Map::new();
        for (key, _) in entries(response, "responseParameters") {
            if let Some(name) = key.strip_prefix("method.response.header.") {
                let header = match self.form {
                    Form::Swagger2 => json!({ "type": "string" }),
                    Form::OpenApi30 => json!({ "schema": { "type": "string" } }),
                };
                headers.insert(name.to_owned(), header);
            }
        }
        if !headers.is_empty() {
            written.insert("headers".to_owned(), Value::Object(headers));
        }
        let mut content = Map::new();
        for (media_type, model) in entries(response, "responseModels") {
            if media_type != JSON {
                foreign.push(format!("{place} ({media_type})"));
                continue;
            }
            let model = model.as_str().unwrap_or_default();
            let schema = json!({ "$ref": self.model_reference(model) });
            match self.form {
                Form::Swagger2 => {
                    written.insert("schema".to_owned(), schema);
                }
                Form::OpenApi30 => {
                    content.insert(media_type.clone(), json!({ "schema": schema }));
                }
            }
        }
        if self.form == Form::OpenApi30 {
            written.insert("content".to_owned(), Value::Object(content));
        }
        Value::Object(written)
    }

    fn security(&self, method: &Map<String, Value>) -> Vec<Value> {
        let mut requirements = Vec::new();
        if let Some(name) = self.schemes.authorizers.get(text(method, "authorizerId")) {
            let scopes = method.get("authorizationScopes").cloned().unwrap_or_else(|| json!([]));
            requirements.push(json!({ *name: scopes }));
        } else if text(method, "authorizationType") == "AWS_IAM" {
            let name: &str = &self.schemes.iam;
            requirements.push(json!({ name: [] }));
        }
        if method.get("apiKeyRequired") == Some(&Value::Bool(true)) {
            let name: &str = &self.schemes.api_key;
            requirements.push(json!({ name: [] }));
        }
        requirements
    }
}

/// The extension's value: what is AWS's default is left out.
fn integration_of(
    resource_id: &str,
    verb: &str,
    integration: &Map<String, Value>,
) -> Map<String, Value> {
    let kind = text(integration, "type");
    let mut written = Map::new();
    written.insert("type".to_owned(), json!(kind.to_ascii_lowercase()));
    let http_method = text(integration, "httpMethod");
    // A mock has a method only because an import gives it one.
    let is_given = kind == "MOCK" && http_method == verb;
    if !http_method.is_empty() && !is_given {
        written.insert("httpMethod".to_owned(), json!(http_method));
    }
    for key in COPIED {
        if let Some(value) = integration.get(key) {
            written.insert(key.to_owned(), value.clone());
        }
    }
    if text(integration, "connectionType") == "VPC_LINK" {
        written.insert("connectionType".to_owned(), json!("VPC_LINK"));
    }
    if let Some(Value::Object(responses)) = integration.get("integrationResponses") {
        let mut by_pattern = Map::new();
        for response in responses.values().filter_map(Value::as_object) {
            let pattern = text(response, "selectionPattern");
            let key = if pattern.is_empty() { "default" } else { pattern };
            let mut body = response.clone();
            body.shift_remove("selectionPattern");
            // Of two under one pattern a document can hold only one: the one that is asked first.
            by_pattern.entry(key.to_owned()).or_insert(Value::Object(body));
        }
        written.insert("responses".to_owned(), Value::Object(by_pattern));
    }
    let passthrough = text(integration, "passthroughBehavior");
    if !passthrough.is_empty() {
        let passthrough = passthrough.to_ascii_lowercase();
        written.insert("passthroughBehavior".to_owned(), json!(passthrough));
    }
    let usual = u64::try_from(quotas::INTEGRATION_TIMEOUT_MAX.as_millis()).ok();
    let timeout = integration.get("timeoutInMillis");
    if let Some(timeout) = timeout.filter(|timeout| timeout.as_u64() != usual) {
        written.insert("timeoutInMillis".to_owned(), timeout.clone());
    }
    let namespace = text(integration, "cacheNamespace");
    if !namespace.is_empty() && namespace != resource_id {
        written.insert("cacheNamespace".to_owned(), json!(namespace));
    }
    if let Some(Value::Array(keys)) = integration.get("cacheKeyParameters")
        && !keys.is_empty()
    {
        written.insert("cacheKeyParameters".to_owned(), json!(keys));
    }
    for (key, value) in entries(integration, "tidegateExtensions") {
        if key == "serverNameToVerify" {
            let tls = written.entry("tlsConfig".to_owned()).or_insert_with(|| json!({}));
            tls[key.as_str()] = value.clone();
        } else {
            written.insert(key.clone(), value.clone());
        }
    }
    written
}
