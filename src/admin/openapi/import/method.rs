//! One operation of a path: what it declares, and who may call it.
//!
//! AWS: API Gateway Developer Guide, "Methods for REST APIs"; OpenAPI 3.0.3, "Operation Object",
//! "Parameter Object".

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use crate::admin::openapi::import::security::Access;
use crate::admin::openapi::import::tree::Part;
use crate::admin::openapi::import::{Dialect, Reader, Written};
use crate::admin::openapi::is_extension;
use crate::admin::rest::expressions::is_parameter_name;
use crate::model::document::{At, Value};

const OPERATION_KEYS: [&str; 15] = [
    "tags",
    "summary",
    "description",
    "externalDocs",
    "deprecated",
    "consumes",
    "produces",
    "schemes",
    "requestBody",
    "callbacks",
    "servers",
    "operationId",
    "parameters",
    "responses",
    "security",
];
const VALIDATOR: &str = "x-amazon-apigateway-request-validator";

/// What holds for operations that say nothing themselves.
pub(super) struct Defaults<'v> {
    access: Access,
    validator: Option<(String, Written)>,
    /// The names of the document's request validators.
    validators: &'v HashSet<&'v str>,
}

impl<'v> Defaults<'v> {
    pub(super) fn read(reader: &Reader<'_>, validators: &'v HashSet<&'v str>) -> Self {
        let access = match reader.root.get("security") {
            Some(at) => reader.access(&at),
            None => Access::default(),
        };
        let validator = reader.claim(&reader.root, VALIDATOR);
        let validator = validator
            .and_then(|at| Some((named_validator(reader, &at, validators)?, Written::from(&at))));
        Self { access, validator, validators }
    }
}

fn named_validator(reader: &Reader<'_>, at: &At<'_>, known: &HashSet<&str>) -> Option<String> {
    let name = at.text()?;
    if !known.contains(name) {
        at.problem(
            format!("Invalid Request Validator identifier specified: {name}"),
            Some("add it to `x-amazon-apigateway-request-validators`".to_owned()),
        );
        return None;
    }
    Some(reader.own(name))
}

impl<'a> Reader<'a> {
    /// The method that an operation describes, its integration inside.
    pub(super) fn method(
        &self,
        path: &str,
        verb: &str,
        shared: Option<&At<'a>>,
        operation: &At<'a>,
        defaults: &Defaults<'_>,
    ) -> Map<String, Json> {
        self.warn_unknown(operation, &OPERATION_KEYS);
        let place = format!("{path} {verb}");
        self.place(&place, operation);
        let mut method = Map::new();
        method.insert("httpMethod".to_owned(), Json::from(verb));
        self.authorization(&place, operation, defaults, &mut method);
        let validator = match self.claim(operation, VALIDATOR) {
            Some(at) => {
                self.place(&format!("{place} requestValidatorId"), &at);
                named_validator(self, &at, defaults.validators)
            }
            None => defaults.validator.as_ref().map(|(name, from)| {
                self.place_as(&format!("{place} requestValidatorId"), from);
                self.own(name)
            }),
        };
        if let Some(validator) = validator {
            method.insert("requestValidatorId".to_owned(), Json::from(validator));
        }
        if let Some(id) = operation.get("operationId").and_then(|at| at.text())
            && !id.is_empty()
        {
            method.insert("operationName".to_owned(), Json::from(self.own(id)));
        }
        let own = operation.get("parameters");
        let parameters = self.request_parameters(path, shared, own.as_ref());
        let models = self.request_models(&place, operation, shared, own.as_ref());
        let responses = self.method_responses(&place, operation);
        let integration = self.integration(&place, verb, operation, &parameters, &responses);
        for (member, table) in [
            ("requestParameters", parameters),
            ("requestModels", models),
            ("methodResponses", responses),
        ] {
            if !table.is_empty() {
                method.insert(member.to_owned(), Json::Object(table));
            }
        }
        if let Some(integration) = integration {
            method.insert("methodIntegration".to_owned(), Json::Object(integration));
        }
        method
    }

    fn authorization(
        &self,
        place: &str,
        operation: &At<'a>,
        defaults: &Defaults<'_>,
        method: &mut Map<String, Json>,
    ) {
        let own = operation.get("security");
        let mut access = match &own {
            Some(at) => self.access(at),
            None => defaults.access.clone(),
        };
        // AWS: "x-amazon-apigateway-auth object".
        if let Some(auth) = self.claim(operation, "x-amazon-apigateway-auth")
            && let Some(kind) = auth.get("type")
            && let Some(kind) = self.one_of(&kind, &["NONE", "AWS_IAM"])
        {
            match (kind, access.authorizer.is_some()) {
                ("AWS_IAM", false) => {
                    access.is_iam = true;
                    access.authorization_from = Some(Written::from(&auth));
                }
                ("NONE", true) if own.is_none() => access.authorizer = None,
                ("NONE", false) if own.is_none() => access.is_iam = false,
                ("AWS_IAM", true) if own.is_none() => {
                    access.authorizer = None;
                    access.is_iam = true;
                    access.authorization_from = Some(Written::from(&auth));
                }
                // The stricter of two rules that contradict each other holds.
                _ => self.warn(&auth, "The operation's `security` holds instead"),
            }
        }
        for (member, from) in [
            ("authorizationType", &access.authorization_from),
            ("apiKeyRequired", &access.key_from),
        ] {
            if let Some(from) = from {
                self.place_as(&format!("{place} {member}"), from);
            }
        }
        let kind = match &access.authorizer {
            Some(authorizer) => authorizer.authorization_type,
            None if access.is_iam => "AWS_IAM",
            None => "NONE",
        };
        method.insert("authorizationType".to_owned(), Json::from(kind));
        if let Some(authorizer) = access.authorizer {
            method.insert("authorizerId".to_owned(), Json::from(self.own(&authorizer.name)));
            if !authorizer.scopes.is_empty() && self.spend(authorizer.bytes()) {
                method.insert("authorizationScopes".to_owned(), Json::from(authorizer.scopes));
            }
        }
        method.insert("apiKeyRequired".to_owned(), Json::from(access.is_key_required));
    }

    /// `method.request.{where}.{name}` → required; the operation's own go before the path's.
    fn request_parameters(
        &self,
        path: &str,
        shared: Option<&At<'a>>,
        own: Option<&At<'a>>,
    ) -> Map<String, Json> {
        let mut parameters = Map::new();
        for list in [shared, own].into_iter().flatten() {
            let mut here: HashSet<String> = HashSet::new();
            for item in list.items() {
                if let Some((name, required)) = self.parameter(&item) {
                    if here.contains(&name) {
                        self.warn(&item, format!("`{name}` is declared twice; this one holds"));
                    }
                    here.insert(name.clone());
                    parameters.insert(name, Json::from(required));
                }
            }
        }
        // AWS declares a variable last part by itself, a greedy one not (recorded at an import).
        if let Some(Part::Variable(name)) = path.rsplit('/').next().and_then(Part::parse) {
            parameters.insert(format!("method.request.path.{name}"), Json::from(true));
        }
        parameters
    }

    /// One declared parameter; `None` for kinds that AWS passes over, and after complaints.
    fn parameter(&self, item: &At<'a>) -> Option<(String, bool)> {
        if !self.spend(0) {
            return None;
        }
        let at = self.resolve(item)?;
        let Some(place) = at.get("in") else {
            at.problem("`in` is missing", None);
            return None;
        };
        let kind = match place.text()? {
            "query" => "querystring",
            "header" => "header",
            "path" => "path",
            "body" | "formData" | "cookie" => return None,
            other => {
                place.problem(
                    format!("`{other}` is no place for a parameter"),
                    Some("query, header or path".to_owned()),
                );
                return None;
            }
        };
        let Some(name_at) = at.get("name") else {
            at.problem("`name` is missing", None);
            return None;
        };
        let name = name_at.text()?;
        if !is_parameter_name(name) {
            name_at.problem(
                format!(
                    "Invalid mapping expression parameter specified: method.request.{kind}.{name}"
                ),
                Some("names are made of letters, digits, `.`, `_`, `$` and `-`".to_owned()),
            );
            return None;
        }
        let required = at.get("required").and_then(|at| at.boolean()).unwrap_or(false);
        Some((format!("method.request.{kind}.{}", self.own(name)), required))
    }

    /// Content type → model of the body.
    fn request_models(
        &self,
        place: &str,
        operation: &At<'a>,
        shared: Option<&At<'a>>,
        own: Option<&At<'a>>,
    ) -> Map<String, Json> {
        if self.dialect != Dialect::Swagger2 {
            let Some(body) = operation.get("requestBody") else { return Map::new() };
            self.place(&format!("{place} requestModels"), &body);
            return self.resolve(&body).map(|at| self.content_models(&at)).unwrap_or_default();
        }
        let mut models = Map::new();
        for list in [shared, own].into_iter().flatten() {
            for item in list.items() {
                let Some(at) = self.resolve(&item) else { continue };
                let is_body = at.get("in").is_some_and(
                    |at| matches!(&at.node.value, Value::Text(text) if text == "body"),
                );
                if is_body
                    && let Some(schema) = at.get("schema")
                    && let Some(model) = self.model_name(&schema)
                {
                    self.place(&format!("{place} requestModels"), &schema);
                    models.insert("application/json".to_owned(), Json::from(model));
                }
            }
        }
        models
    }

    /// OpenAPI 3's `content`: media type → name of the schema's model.
    fn content_models(&self, at: &At<'a>) -> Map<String, Json> {
        let mut models = Map::new();
        for (media_type, content) in at.get("content").map(|at| at.entries()).unwrap_or_default() {
            if let Some(schema) = content.get("schema")
                && let Some(model) = self.model_name(&schema)
            {
                models.insert(self.own(media_type), Json::from(model));
            }
        }
        models
    }

    /// Status code → method response. AWS takes no `default` and no ranges.
    fn method_responses(&self, place: &str, operation: &At<'a>) -> Map<String, Json> {
        let mut responses = Map::new();
        let Some(all) = operation.get("responses") else { return responses };
        for (code, response) in all.entries() {
            if code == "default" || is_extension(code) {
                continue;
            }
            let is_code = code.len() == 3
                && code.parse::<u16>().is_ok_and(|code| (100..=599).contains(&code));
            if !is_code {
                self.warn(&response, format!("The response `{code}` is ignored: no status code"));
                continue;
            }
            if !self.spend(place.len()) {
                break;
            }
            let Some(at) = self.resolve(&response) else { continue };
            self.place(&format!("{place} methodResponses {code}"), &response);
            let mut body = Map::new();
            body.insert("statusCode".to_owned(), Json::from(code));
            let headers = at.get("headers").map(|at| at.entries()).unwrap_or_default();
            let parameters: Map<String, Json> = headers
                .iter()
                .filter(|(name, _)| self.spend(name.len()))
                .map(|(name, _)| (format!("method.response.header.{name}"), json!(false)))
                .collect();
            if !parameters.is_empty() {
                body.insert("responseParameters".to_owned(), Json::Object(parameters));
            }
            let models = if self.dialect == Dialect::Swagger2 {
                let model = at.get("schema").and_then(|schema| self.model_name(&schema));
                let media_type = "application/json".to_owned();
                model.map(|model| (media_type, Json::from(model))).into_iter().collect()
            } else {
                self.content_models(&at)
            };
            if !models.is_empty() {
                body.insert("responseModels".to_owned(), Json::Object(models));
            }
            responses.insert(code.to_owned(), Json::Object(body));
        }
        responses
    }
}
