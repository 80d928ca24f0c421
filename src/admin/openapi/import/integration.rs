//! `x-amazon-apigateway-integration`, as the control plane keeps it.
//!
//! AWS: API Gateway Developer Guide, "x-amazon-apigateway-integration object"; API Reference,
//! "PutIntegration", "PutIntegrationResponse".

use serde_json::{Map, Value as Json, json};

use crate::admin::openapi::import::Reader;
use crate::admin::protocol::error::ApiError;
use crate::admin::rest::expressions::{
    self, is_request_source, is_request_target, is_response_source, is_response_target,
};
use crate::admin::rest::integrations;
use crate::model::document::{At, Value};
use crate::model::quotas;

const KEY: &str = "x-amazon-apigateway-integration";
const KEYS: [&str; 20] = [
    "type",
    "uri",
    "httpMethod",
    "credentials",
    "connectionType",
    "connectionId",
    "integrationTarget",
    "integrationSubtype",
    "payloadFormatVersion",
    "requestParameters",
    "requestTemplates",
    "passthroughBehavior",
    "contentHandling",
    "cacheNamespace",
    "cacheKeyParameters",
    "timeoutInMillis",
    "responseTransferMode",
    "tlsConfig",
    "responses",
    "$ref",
];
/// Members that are text and stay as they are.
const TEXTS: [&str; 5] =
    ["uri", "credentials", "connectionId", "integrationTarget", "cacheNamespace"];
const HTTP_URI_HINT: &str = "http://host/path or https://host/path, where `{name}` and \
                             `${stageVariables.name}` may stand in";
const VERBS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY"];

impl<'a> Reader<'a> {
    /// The integration of an operation; `None` when it has none, or after complaints.
    pub(super) fn integration(
        &self,
        place: &str,
        verb: &str,
        operation: &At<'a>,
        parameters: &Map<String, Json>,
        method_responses: &Map<String, Json>,
    ) -> Option<Map<String, Json>> {
        let at = self.claim(operation, KEY)?;
        let place = format!("{place} integration");
        self.place(&place, &at);
        let at = self.resolve(&at)?;
        if !matches!(at.node.value, Value::Map(_)) {
            at.expected("a table");
            return None;
        }
        self.warn_unknown(&at, &KEYS);
        self.place_members(&place, &at);
        let Some(kind) = at.get("type") else {
            at.problem("Enumeration value for IntegrationType must be non-empty", None);
            return None;
        };
        let kind = self.one_of(&kind, &["HTTP", "HTTP_PROXY", "AWS", "AWS_PROXY", "MOCK"])?;
        for (key, value) in at.entries() {
            self.place(&format!("{place} {key}"), &value);
        }
        let mut body = Map::new();
        body.insert("type".to_owned(), Json::from(kind));
        self.backend(&at, kind, verb, &mut body);
        let member = format!("{place} requestParameters");
        if let Some(at) = at.get("requestParameters") {
            let mappings = self.request_mappings(&at, &member);
            if !mappings.is_empty() {
                body.insert("requestParameters".to_owned(), Json::Object(mappings));
            }
        }
        if let Some(templates) = at.get("requestTemplates") {
            let templates = self.templates(&templates, &format!("{place} requestTemplates"));
            body.insert("requestTemplates".to_owned(), Json::Object(templates));
        }
        let words = ["WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"];
        let passthrough = at.get("passthroughBehavior").and_then(|at| self.one_of(&at, &words));
        let passthrough = passthrough.unwrap_or("WHEN_NO_MATCH");
        body.insert("passthroughBehavior".to_owned(), Json::from(passthrough));
        self.content_handling(&at, &mut body);
        body.insert("timeoutInMillis".to_owned(), Json::from(self.timeout(&at)));
        let keys = self.cache_keys(&at, parameters);
        body.insert("cacheKeyParameters".to_owned(), Json::Array(keys));
        self.kept(&at, &mut body);
        if let Some(responses) = at.get("responses") {
            let place = format!("{place} integrationResponses");
            self.place(&place, &responses);
            let responses = self.integration_responses(&responses, &place, method_responses);
            body.insert("integrationResponses".to_owned(), Json::Object(responses));
        }
        Some(body)
    }

    /// Whom to call, and how.
    fn backend(&self, at: &At<'a>, kind: &str, verb: &str, body: &mut Map<String, Json>) {
        let own = at.get("httpMethod").and_then(|at| backend_verb(&at));
        // Recorded: a Lambda function is always posted to.
        let method = if kind == "AWS_PROXY" { "POST" } else { own.unwrap_or(verb) };
        body.insert("httpMethod".to_owned(), Json::from(method));
        for key in TEXTS {
            self.copy_text(at, key, body);
        }
        let words = ["INTERNET", "VPC_LINK"];
        let connection = at.get("connectionType").and_then(|at| self.one_of(&at, &words));
        // Recorded: the internet is shown for HTTP only.
        let connection = match (connection, kind.starts_with("HTTP")) {
            (None | Some("INTERNET"), true) => Some("INTERNET"),
            (Some("INTERNET"), false) => None,
            (other, _) => other,
        };
        if let Some(connection) = connection {
            body.insert("connectionType".to_owned(), Json::from(connection));
        }
        let words = ["BUFFERED", "STREAM"];
        if let Some(mode) = at.get("responseTransferMode").and_then(|at| self.one_of(&at, &words)) {
            body.insert("responseTransferMode".to_owned(), Json::from(mode));
        }
        if let Some(tls) = at.get("tlsConfig") {
            self.warn_unknown(&tls, &["insecureSkipVerification", "serverNameToVerify"]);
            let skip = tls.get("insecureSkipVerification").and_then(|at| at.boolean());
            if let Some(skip) = skip {
                let config = json!({ "insecureSkipVerification": skip });
                body.insert("tlsConfig".to_owned(), config);
            }
        }
        check(at, kind, body);
    }

    /// Target → source. What is no text is passed over with AWS's recorded warning.
    fn request_mappings(&self, at: &At<'a>, place: &str) -> Map<String, Json> {
        let mut mappings = Map::new();
        let mut words = place.split(' ');
        let (path, verb) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        for (target, value) in at.entries() {
            let Value::Text(source) = &value.node.value else {
                let given = self.json(&value);
                self.warnings.add(format!(
                    "Invalid format for 'requestParameters'. Expected type string for property \
                     '{target}' of resource '{path}' and method '{verb}' but got '{given}'"
                ));
                continue;
            };
            if !is_request_target(target) {
                let hint = "integration.request.header.x, .querystring.x or .path.x";
                invalid_mapping(&value, target, hint);
            } else if !is_request_source(source) {
                let hint = "method.request.header.x, .querystring.x, .path.x, stageVariables.x, \
                            context.x or 'static text'";
                invalid_mapping(&value, source, hint);
            }
            self.place(&format!("{place} {target}"), &value);
            mappings.insert(self.own(target), Json::from(self.own(source)));
        }
        mappings
    }

    /// Content type → template; an empty one is null (recorded).
    fn templates(&self, at: &At<'a>, place: &str) -> Map<String, Json> {
        let mut templates = Map::new();
        for (media_type, value) in at.entries() {
            let template = match &value.node.value {
                Value::Text(text) if text.is_empty() => Json::Null,
                Value::Null => Json::Null,
                Value::Text(text) => Json::from(self.own(text)),
                _ => {
                    value.expected("a template's text");
                    continue;
                }
            };
            check_template(media_type, &value, place.rsplit(' ').next().unwrap_or_default());
            self.place(&format!("{place} {media_type}"), &value);
            templates.insert(self.own(media_type), template);
        }
        templates
    }

    fn content_handling(&self, at: &At<'a>, body: &mut Map<String, Json>) {
        let words = ["CONVERT_TO_BINARY", "CONVERT_TO_TEXT"];
        if let Some(handling) = at.get("contentHandling").and_then(|at| self.one_of(&at, &words)) {
            body.insert("contentHandling".to_owned(), Json::from(handling));
        }
    }

    fn timeout(&self, at: &At<'a>) -> u32 {
        let least = u32::try_from(quotas::INTEGRATION_TIMEOUT_MIN.as_millis()).unwrap_or(0);
        let default = u32::try_from(quotas::INTEGRATION_TIMEOUT_MAX.as_millis()).unwrap_or(least);
        let streams = at.get("responseTransferMode").is_some_and(
            |at| matches!(&at.node.value, Value::Text(mode) if mode.eq_ignore_ascii_case("STREAM")),
        );
        let streaming = u32::try_from(quotas::STREAMING_TIMEOUT_MAX.as_millis()).unwrap_or(default);
        let most = self.options.integration_timeout_max_ms;
        let most = if streams { most.max(streaming) } else { most };
        let Some(at) = at.get("timeoutInMillis") else { return default };
        match &at.node.value {
            Value::Integer(given) if (i64::from(least)..=i64::from(most)).contains(given) => {
                u32::try_from(*given).unwrap_or(default)
            }
            _ => {
                let message = format!("Timeout should be between {least} ms and {most} ms");
                let hint = self.options.integration_timeout_hint;
                at.problem(message, hint.map(ToOwned::to_owned));
                default
            }
        }
    }

    fn cache_keys(&self, at: &At<'a>, parameters: &Map<String, Json>) -> Vec<Json> {
        let mut keys = Vec::new();
        for item in at.get("cacheKeyParameters").map(|at| at.items()).unwrap_or_default() {
            let Some(name) = item.text() else { continue };
            // A backend's own parameter is a key as well, and may hold what was not declared.
            if parameters.contains_key(name) || is_request_target(name) {
                keys.push(Json::from(self.own(name)));
            } else {
                item.problem(
                    format!("Invalid cache key parameter specified: {name}"),
                    Some("declare it among the method's parameters".to_owned()),
                );
            }
        }
        keys
    }

    /// Members of HTTP APIs, without effect in a REST API but kept.
    fn kept(&self, at: &At<'a>, body: &mut Map<String, Json>) {
        let mut kept = Map::new();
        if let Some(version) = at.get("payloadFormatVersion")
            && let Some(text) = self.scalar(&version)
        {
            if text != "1.0" {
                self.warn(&version, "A REST API has payload format 1.0 only; this is ignored");
            }
            kept.insert("payloadFormatVersion".to_owned(), Json::from(text));
        }
        if let Some(subtype) = at.get("integrationSubtype") {
            self.warn(&subtype, "Subtypes are an HTTP API's: a REST API ignores them");
            self.copy_text(at, "integrationSubtype", &mut kept);
        }
        if let Some(tls) = at.get("tlsConfig")
            && let Some(name) = tls.get("serverNameToVerify")
        {
            self.warn(&name, "`serverNameToVerify` is an HTTP API's: a REST API ignores it");
            self.copy_text(&tls, "serverNameToVerify", &mut kept);
        }
        if !kept.is_empty() {
            body.insert("tidegateExtensions".to_owned(), Json::Object(kept));
        }
    }

    /// Status code → integration response. The document has them by pattern; AWS, by status.
    fn integration_responses(
        &self,
        at: &At<'a>,
        place: &str,
        method_responses: &Map<String, Json>,
    ) -> Map<String, Json> {
        let mut responses: Map<String, Json> = Map::new();
        let mut has_default = false;
        for (pattern, at) in at.entries() {
            if !matches!(at.node.value, Value::Map(_)) {
                at.expected("a table");
                continue;
            }
            let known =
                ["statusCode", "responseParameters", "responseTemplates", "contentHandling"];
            self.warn_unknown(&at, &known);
            let Some(code_at) = at.get("statusCode") else {
                at.problem("`statusCode` is missing", None);
                continue;
            };
            let Some(code) = self.status_code(&code_at) else { continue };
            let mut body = Map::new();
            body.insert("statusCode".to_owned(), Json::from(code.as_str()));
            // Recorded: the default response of an import has no pattern.
            if matches!(pattern, "default" | "") {
                if has_default {
                    at.problem("there is already a default response", None);
                }
                has_default = true;
            } else {
                body.insert("selectionPattern".to_owned(), Json::from(self.own(pattern)));
            }
            let place = format!("{place} {code}");
            self.place(&place, &at);
            self.place_members(&place, &at);
            if let Some(at) = at.get("responseParameters") {
                let declared = method_responses.get(&code);
                let mappings =
                    self.response_mappings(&at, &format!("{place} responseParameters"), declared);
                body.insert("responseParameters".to_owned(), Json::Object(mappings));
            }
            if let Some(templates) = at.get("responseTemplates") {
                let templates = self.templates(&templates, &format!("{place} responseTemplates"));
                body.insert("responseTemplates".to_owned(), Json::Object(templates));
            }
            self.content_handling(&at, &mut body);
            if responses.insert(code.clone(), Json::Object(body)).is_some() {
                self.warn(
                    &at,
                    format!(
                        "A status code has one integration response; this one for {code} holds"
                    ),
                );
            }
        }
        responses
    }

    fn response_mappings(
        &self,
        at: &At<'a>,
        place: &str,
        declared: Option<&Json>,
    ) -> Map<String, Json> {
        let mut mappings = Map::new();
        for (target, value) in at.entries() {
            let Some(source) = value.text() else { continue };
            if !is_response_target(target) {
                invalid_mapping(&value, target, "method.response.header.x");
            } else if !is_response_source(source) {
                let hint = "integration.response.header.x, stageVariables.x, context.x or 'static \
                            text'";
                invalid_mapping(&value, source, hint);
            } else if let Some(declared) = declared
                && !declares(declared, target)
            {
                value.problem(
                    format!("Invalid mapping expression parameter specified: {target}"),
                    Some("declare the header in the operation's response".to_owned()),
                );
            }
            self.place(&format!("{place} {target}"), &value);
            mappings.insert(self.own(target), Json::from(self.own(source)));
        }
        mappings
    }
}

/// Whether a method response declares the header, in whatever case.
fn declares(response: &Json, target: &str) -> bool {
    let parameters = response.get("responseParameters").and_then(Json::as_object);
    parameters.is_some_and(|known| {
        known.contains_key(target) || known.keys().any(|key| key.eq_ignore_ascii_case(target))
    })
}

fn backend_verb(at: &At<'_>) -> Option<&'static str> {
    let text = at.text()?;
    let verb = VERBS.into_iter().find(|verb| verb.eq_ignore_ascii_case(text));
    if verb.is_none() {
        let message = "Invalid HttpMethod specified. Valid options are ";
        at.problem(format!("{message}{}", VERBS.join(",")), None);
    }
    verb
}

/// What the operation that puts an integration refuses is refused here, each where it is written.
fn check(at: &At<'_>, kind: &str, body: &Map<String, Json>) {
    if kind == "MOCK" {
        return;
    }
    let tell = |key: &str, outcome: Result<(), ApiError>| {
        let Err(err) = outcome else { return };
        let place = at.get(key).unwrap_or_else(|| at.clone());
        let hint = (key == "uri" && kind.starts_with("HTTP")).then(|| HTTP_URI_HINT.to_owned());
        place.problem(err.message, hint);
    };
    let uri = integrations::check_uri(kind, body);
    if uri.is_ok() {
        tell("credentials", integrations::check_credentials(kind, body));
        // Of a function the mode is known by the URI.
        let key = if kind == "AWS_PROXY" { "uri" } else { "responseTransferMode" };
        tell(key, integrations::check_streaming(kind, body));
    }
    tell("uri", uri);
    tell("connectionId", integrations::check_connection(kind, body));
}

/// A template under a name, such as `requestTemplates`.
pub(super) fn check_template(media_type: &str, at: &At<'_>, name: &str) {
    if !expressions::is_content_type(media_type) {
        let text = "Validation Result: warnings : [], errors : [Invalid content type specified: ";
        at.problem(format!("{text}{media_type}]"), None);
    }
    if matches!(&at.node.value, Value::Text(text) if text.len() > quotas::TEMPLATE_BYTES_MAX) {
        at.problem(integrations::template_too_long(name), None);
    }
}

pub(super) fn invalid_mapping(at: &At<'_>, expression: &str, hint: &str) {
    at.problem(
        format!(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : \
             [Invalid mapping expression specified: {expression}]"
        ),
        Some(hint.to_owned()),
    );
}
