//! The document's outermost level: which language, what name, and what holds for the whole API.

use std::collections::HashSet;

use indexmap::IndexSet;
use serde_json::{Map, Value as Json, json};

use crate::admin::openapi::import::integration::{check_template, invalid_mapping};
use crate::admin::openapi::import::{Dialect, Options, Reader};
use crate::admin::rest::domain_names::SECURITY_POLICIES;
use crate::admin::rest::expressions;
use crate::admin::rest::gateway_responses::{TEMPLATE, TYPES};
use crate::admin::rest::policies;
use crate::model::document::{At, Value};
use crate::model::problem::nearest;
use crate::model::quotas;

/// Everything OpenAPI knows at the outermost level.
const ROOT_KEYS: [&str; 19] = [
    "openapi",
    "swagger",
    "info",
    "tags",
    "externalDocs",
    "jsonSchemaDialect",
    "components",
    "definitions",
    "parameters",
    "responses",
    "securityDefinitions",
    "webhooks",
    "host",
    "basePath",
    "schemes",
    "consumes",
    "produces",
    "servers",
    "paths",
];
/// Of an HTTP API's documents; kept, since an export must be what was imported.
const KEPT: [&str; 2] = ["x-amazon-apigateway-cors", "x-amazon-apigateway-importexport-version"];

/// Swagger 2.0 or OpenAPI 3.0/3.1; anything else is a complaint.
pub(super) fn dialect(root: &At<'_>) -> Option<Dialect> {
    if !matches!(root.node.value, Value::Map(_)) {
        root.problem("the document is not a table", None);
        return None;
    }
    let swagger = root.get("swagger");
    let openapi = root.get("openapi");
    let (at, is_swagger) = match (&swagger, &openapi) {
        (Some(at), None) => (at, true),
        (None, Some(at)) => (at, false),
        _ => {
            root.problem(
                "exactly one of `openapi` and `swagger` must be there",
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
    let is = |served: &str| {
        version
            .strip_prefix(served)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('-'))
    };
    match is_swagger {
        true if version == "2.0" => Some(Dialect::Swagger2),
        false if is("3.0") => Some(Dialect::OpenApi30),
        false if is("3.1") => Some(Dialect::OpenApi31),
        _ => {
            at.problem(
                format!("version `{version}` is not read"),
                Some("Swagger 2.0, OpenAPI 3.0 and OpenAPI 3.1 are".to_owned()),
            );
            None
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn definition(&self) -> Map<String, Json> {
        let mut known: Vec<&str> = ROOT_KEYS.to_vec();
        known.push("security");
        self.warn_unknown(&self.root, &known);
        if let Some(components) = self.root.get("components") {
            // Kept where an operation refers to them.
            self.claim(&components, "x-amazon-apigateway-integrations");
        }
        self.read_models();
        if let Some(paths) = self.root.get("paths") {
            self.place("resources", &paths);
        }
        let validators = self.validators();
        let names: HashSet<&str> =
            validators.iter().filter_map(|validator| validator["name"].as_str()).collect();
        let resources = self.resources(&names);
        let mut definition = Map::new();
        definition.insert("restApi".to_owned(), Json::Object(self.rest_api()));
        definition.insert("resources".to_owned(), Json::Array(resources));
        definition.insert("models".to_owned(), Json::Array(self.models.take().into_bodies()));
        definition.insert("requestValidators".to_owned(), Json::Array(validators));
        let authorizers = self.security.authorizers.clone();
        definition.insert("authorizers".to_owned(), Json::Array(authorizers));
        definition.insert("gatewayResponses".to_owned(), Json::Array(self.gateway_responses()));
        self.documentation(&mut definition);
        definition
    }

    fn rest_api(&self) -> Map<String, Json> {
        let mut api = Map::new();
        match self.root.get("info") {
            None => self.root.problem("`info` is missing", None),
            Some(info) => {
                match info.get("title").as_ref().map(At::text) {
                    Some(Some(title)) if !title.trim().is_empty() => {
                        api.insert("name".to_owned(), Json::from(self.own(title)));
                    }
                    Some(None) => {}
                    _ => info.problem("`title` is missing: it names the API", None),
                }
                if let Some(text) = info.get("description").and_then(|at| at.text())
                    && !text.is_empty()
                {
                    api.insert("description".to_owned(), Json::from(self.own(text)));
                }
                if let Some(version) = info.get("version").and_then(|at| self.scalar(&at)) {
                    api.insert("version".to_owned(), Json::from(version));
                }
            }
        }
        self.settings(&mut api);
        self.endpoint_configuration(&mut api);
        self.tags(&mut api);
        let mut kept = Map::new();
        for key in KEPT {
            if let Some(at) = self.claim(&self.root, key) {
                if key.ends_with("cors") {
                    self.warn(&at, "CORS settings are an HTTP API's: a REST API ignores them");
                }
                kept.insert(key.to_owned(), self.json(&at));
            }
        }
        if !kept.is_empty() {
            api.insert("tidegateExtensions".to_owned(), Json::Object(kept));
        }
        api
    }

    /// The extensions of the outermost level that are members of the API.
    fn settings(&self, api: &mut Map<String, Json>) {
        if let Some(types) = self.binary_media_types() {
            self.place_api("binaryMediaTypes", "x-amazon-apigateway-binary-media-types");
            api.insert("binaryMediaTypes".to_owned(), types);
        }
        if let Some(at) = self.claim(&self.root, "x-amazon-apigateway-minimum-compression-size") {
            self.place("restApi minimumCompressionSize", &at);
            match at.node.value {
                Value::Integer(size)
                    if (0..=i64::from(quotas::MINIMUM_COMPRESSION_SIZE_MAX)).contains(&size) =>
                {
                    api.insert("minimumCompressionSize".to_owned(), Json::from(size));
                }
                _ => at.problem(
                    "Invalid minimum compression size, must be between 0 and 10485760",
                    None,
                ),
            }
        }
        if let Some(at) = self.claim(&self.root, "x-amazon-apigateway-api-key-source")
            && let Some(source) = self.one_of(&at, &["HEADER", "AUTHORIZER"])
        {
            self.place_api("apiKeySource", "x-amazon-apigateway-api-key-source");
            api.insert("apiKeySource".to_owned(), Json::from(source));
        }
        if let Some(at) = self.claim(&self.root, "x-amazon-apigateway-policy")
            && let Some(policy) = self.policy(&at)
        {
            self.place_api("policy", "x-amazon-apigateway-policy");
            api.insert("policy".to_owned(), Json::from(policy));
        }
        let policy = self
            .claim(&self.root, "x-amazon-apigateway-security-policy")
            .and_then(|at| Some((self.one_of(&at, SECURITY_POLICIES)?, at)));
        let mode = self
            .claim(&self.root, "x-amazon-apigateway-endpoint-access-mode")
            .and_then(|at| self.one_of(&at, &["BASIC", "STRICT"]));
        if let Some((policy, at)) = policy {
            if policy.starts_with("SecurityPolicy_") && mode.is_none() {
                at.problem(
                    format!("the security policy {policy} needs an endpoint access mode"),
                    Some("add `x-amazon-apigateway-endpoint-access-mode: BASIC`".to_owned()),
                );
            }
            self.place("restApi securityPolicy", &at);
            api.insert("securityPolicy".to_owned(), Json::from(policy));
        }
        if let Some(mode) = mode {
            self.place_api("endpointAccessMode", "x-amazon-apigateway-endpoint-access-mode");
            api.insert("endpointAccessMode".to_owned(), Json::from(mode));
        }
    }

    fn place_api(&self, member: &str, key: &str) {
        if let Some(at) = self.root.get(key) {
            self.place(&format!("restApi {member}"), &at);
        }
    }

    /// The known word a text is, whatever its case.
    pub(super) fn one_of<'w>(&self, at: &At<'_>, words: &[&'w str]) -> Option<&'w str> {
        /// Words that still read well in one line.
        const LISTED_MAX: usize = 8;

        let text = at.text()?;
        let found = words.iter().copied().find(|word| word.eq_ignore_ascii_case(text));
        if found.is_none() {
            at.problem(
                format!("`{text}` is not known here"),
                (words.len() <= LISTED_MAX).then(|| format!("known are {}", words.join(", "))),
            );
        }
        found
    }

    fn binary_media_types(&self) -> Option<Json> {
        let at = self.claim(&self.root, "x-amazon-apigateway-binary-media-types")?;
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
                types.insert(self.own(text));
            }
        }
        (!types.is_empty()).then(|| types.into_iter().map(Json::from).collect())
    }

    /// A resource policy as JSON text, its short resource names written out. AWS:
    /// "x-amazon-apigateway-policy".
    fn policy(&self, at: &At<'a>) -> Option<String> {
        let mut policy = match &at.node.value {
            Value::Map(_) => self.json(at),
            Value::Text(text) => match serde_json::from_str(&self.own(text)) {
                Ok(policy @ Json::Object(_)) => policy,
                _ => {
                    at.problem("the policy is not JSON", None);
                    return None;
                }
            },
            _ => {
                at.expected("a policy");
                return None;
            }
        };
        let Options { site, api_id, .. } = self.options;
        let expand = |resource: &mut Json| policies::write_out(resource, site, api_id);
        let statements = match policy.get_mut("Statement") {
            Some(Json::Array(statements)) => statements.as_mut_slice(),
            Some(one) => std::slice::from_mut(one),
            None => &mut [],
        };
        for statement in statements {
            for key in ["Resource", "NotResource"] {
                // Each may grow by an ARN's length, once, from a text that was paid for.
                match statement.get_mut(key) {
                    Some(Json::Array(resources)) => resources.iter_mut().for_each(expand),
                    Some(resource) => expand(resource),
                    None => {}
                }
            }
        }
        Some(policy.to_string())
    }

    /// AWS: "x-amazon-apigateway-endpoint-configuration object": at the root in Swagger 2.0, in an
    /// entry of `servers` in OpenAPI 3. Both places are read in either.
    fn endpoint_configuration(&self, api: &mut Map<String, Json>) {
        const KEY: &str = "x-amazon-apigateway-endpoint-configuration";
        const TYPES: [&str; 3] = ["EDGE", "REGIONAL", "PRIVATE"];
        let servers = self.root.get("servers").map(|servers| servers.items()).unwrap_or_default();
        let places = std::iter::once(&self.root).chain(&servers);
        let mut configuration: Map<String, Json> = Map::new();
        for at in places.filter_map(|place| self.claim(place, KEY)) {
            let known = ["disableExecuteApiEndpoint", "vpcEndpointIds", "ipAddressType", "types"];
            self.warn_unknown(&at, &known);
            self.place("restApi endpointConfiguration", &at);
            self.place_members("restApi endpointConfiguration", &at);
            if let Some(at) = at.get("disableExecuteApiEndpoint")
                && let Some(flag) = at.boolean()
            {
                self.place("restApi disableExecuteApiEndpoint", &at);
                api.insert("disableExecuteApiEndpoint".to_owned(), Json::from(flag));
            }
            if let Some(endpoints) = at.get("vpcEndpointIds") {
                let ids: Vec<Json> =
                    endpoints.texts().iter().map(|id| Json::from(self.own(id))).collect();
                if !ids.is_empty() {
                    configuration.insert("vpcEndpointIds".to_owned(), Json::Array(ids));
                }
            }
            if let Some(kind) = at.get("ipAddressType")
                && let Some(kind) = self.one_of(&kind, &["ipv4", "dualstack"])
            {
                configuration.insert("ipAddressType".to_owned(), Json::from(kind));
            }
            // Not AWS's: a document says by itself at which door its API stands.
            if let Some(types) = at.get("types") {
                let named: Vec<&str> =
                    types.items().iter().filter_map(|item| self.one_of(item, &TYPES)).collect();
                match named.as_slice() {
                    [one] => {
                        let earlier = configuration.insert("types".to_owned(), json!([one]));
                        if earlier.is_some_and(|earlier| earlier != json!([one])) {
                            types.problem(
                                "Cannot create an api with multiple Endpoint Types.",
                                None,
                            );
                        }
                    }
                    // Words that are not known were complained about.
                    [] if !types.items().is_empty() => {}
                    [] => types.problem(
                        "REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.",
                        Some("name EDGE, REGIONAL or PRIVATE".to_owned()),
                    ),
                    _ => types.problem("Cannot create an api with multiple Endpoint Types.", None),
                }
            }
        }
        if !configuration.is_empty() {
            api.insert("endpointConfiguration".to_owned(), Json::Object(configuration));
        }
    }

    /// AWS: "x-amazon-apigateway-tag-value property".
    fn tags(&self, api: &mut Map<String, Json>) {
        let mut tags = Map::new();
        for tag in self.root.get("tags").map(|tags| tags.items()).unwrap_or_default() {
            if let Some(value) = self.claim(&tag, "x-amazon-apigateway-tag-value")
                && let Some(value) = self.scalar(&value)
                && let Some(name) = tag.get("name").and_then(|name| name.text())
            {
                tags.insert(self.own(name), Json::from(value));
            }
        }
        if !tags.is_empty() {
            api.insert("tags".to_owned(), Json::Object(tags));
        }
    }

    /// AWS: "x-amazon-apigateway-request-validators object".
    fn validators(&self) -> Vec<Json> {
        let all = self.claim(&self.root, "x-amazon-apigateway-request-validators");
        let mut validators = Vec::new();
        for (name, at) in all.map(|all| all.entries()).unwrap_or_default() {
            if name.is_empty() {
                at.problem("Request Validator name cannot be blank", None);
            }
            self.warn_unknown(&at, &["validateRequestBody", "validateRequestParameters"]);
            let flag = |key: &str| at.get(key).and_then(|at| at.boolean()).unwrap_or(false);
            self.place(&format!("requestValidator {name}"), &at);
            validators.push(json!({
                "name": self.own(name),
                "validateRequestBody": flag("validateRequestBody"),
                "validateRequestParameters": flag("validateRequestParameters"),
            }));
        }
        validators
    }

    /// AWS: "x-amazon-apigateway-gateway-responses object". What a document leaves out is as AWS
    /// has it for the type.
    fn gateway_responses(&self) -> Vec<Json> {
        let all = self.claim(&self.root, "x-amazon-apigateway-gateway-responses");
        let mut responses = Vec::new();
        for (kind, at) in all.map(|all| all.entries()).unwrap_or_default() {
            if !TYPES.iter().any(|(known, _)| *known == kind) {
                let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
                let hint = nearest(kind, &known);
                at.problem(format!("`{kind}` is no type of gateway response"), hint);
                continue;
            }
            self.warn_unknown(&at, &["statusCode", "responseParameters", "responseTemplates"]);
            let place = format!("gatewayResponses {kind}");
            self.place(&place, &at);
            let mut body = Map::new();
            body.insert("responseType".to_owned(), Json::from(kind));
            // Without one each failure of the type keeps its own; whoever reads it is shown one.
            if let Some(status) = at.get("statusCode").and_then(|at| self.status_code(&at)) {
                body.insert("statusCode".to_owned(), Json::from(status));
            }
            check_gateway_response(&at);
            let parameters = at.get("responseParameters");
            let parameters =
                parameters.map(|at| self.texts(&at, &format!("{place} responseParameters")));
            body.insert(
                "responseParameters".to_owned(),
                Json::Object(parameters.unwrap_or_default()),
            );
            let templates = match at.get("responseTemplates") {
                Some(at) => Json::Object(self.texts(&at, &format!("{place} responseTemplates"))),
                None => json!({ "application/json": TEMPLATE }),
            };
            body.insert("responseTemplates".to_owned(), templates);
            body.insert("defaultResponse".to_owned(), Json::from(false));
            responses.push(Json::Object(body));
        }
        responses
    }

    /// A table of texts.
    fn texts(&self, at: &At<'a>, place: &str) -> Map<String, Json> {
        let mut texts = Map::new();
        for (key, value) in at.entries() {
            if let Some(text) = value.text() {
                self.place(&format!("{place} {key}"), &value);
                texts.insert(self.own(key), Json::from(self.own(text)));
            }
        }
        texts
    }

    /// Three digits, as text or as a number.
    pub(super) fn status_code(&self, at: &At<'_>) -> Option<String> {
        let code = match &at.node.value {
            Value::Integer(code) => u16::try_from(*code).ok(),
            Value::Text(text) if text.len() == 3 => text.parse().ok(),
            _ => None,
        };
        let code = code.filter(|code| (100..=599).contains(code));
        if code.is_none() {
            at.problem(
                "Invalid Response status code specified",
                Some("such as \"200\"".to_owned()),
            );
        }
        code.map(|code| code.to_string())
    }
}

/// What the operation that puts a gateway response refuses.
fn check_gateway_response(at: &At<'_>) {
    let table = |name: &str| at.get(name).filter(|at| matches!(at.node.value, Value::Map(_)));
    for (target, at) in table("responseParameters").map(|at| at.entries()).unwrap_or_default() {
        let Value::Text(source) = &at.node.value else { continue };
        if !expressions::is_gateway_target(target) {
            invalid_mapping(&at, target, "gatewayresponse.header.x");
        } else if !expressions::is_gateway_source(source) {
            let hint = "method.request.header.x, .querystring.x, .path.x, stageVariables.x, \
                        context.x or 'static text'";
            invalid_mapping(&at, source, hint);
        }
    }
    for (media_type, at) in table("responseTemplates").map(|at| at.entries()).unwrap_or_default() {
        check_template(media_type, &at, "responseTemplates");
    }
}
