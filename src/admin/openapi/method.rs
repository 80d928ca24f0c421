//! One operation of a path: its declared parameters, who may call it, and its integration.
//!
//! Who may call it is decided here by refusing every rule that would restrict it: an operation is
//! accepted only when AWS, too, would let anyone call it.
//!
//! AWS: API Gateway Developer Guide, "Methods for REST APIs"; OpenAPI 3.0.3, "Operation Object",
//! "Parameter Object".

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::admin::openapi::paths::Part;
use crate::admin::openapi::{Reader, integration, is_extension, unbuilt};
use crate::model::document::{At, Section, Value};
use crate::model::rest_api::Method;

/// Reads the operation `verb` of `path`. `None` after complaints that leave nothing to serve.
pub(super) fn read<'a>(
    reader: &Reader<'a>,
    path: &str,
    verb: &'static str,
    shared: Option<&At<'a>>,
    operation: At<'a>,
) -> Option<Method> {
    let section = Section::new(operation.clone());
    section.ignore(&["tags", "summary", "description", "externalDocs", "deprecated"]);
    // Schemas bind nobody without a validator; callbacks and servers mean nothing to the gateway.
    section.ignore(&["consumes", "produces", "schemes", "requestBody", "callbacks", "servers"]);
    let operation_name =
        section.take("operationId").and_then(|id| id.text()).map(ToOwned::to_owned);
    let request_parameters =
        request_parameters(reader, path, shared, section.take("parameters").as_ref());
    let responses = declared_responses(reader, section.take("responses"));
    access_rules(reader, &operation, section.take("security"));
    validator(reader, &operation);

    let integration = match reader.claim(&operation, "x-amazon-apigateway-integration") {
        Some(at) => {
            let about = integration::About {
                request_parameters: &request_parameters,
                responses: &responses,
                timeout_max_ms: reader.options.integration_timeout_max_ms,
            };
            integration::read(at, &about)
        }
        None => {
            operation.problem(
                "No integration defined for method",
                Some("add `x-amazon-apigateway-integration`".to_owned()),
            );
            None
        }
    };
    section.finish_except(is_extension);
    Some(Method {
        http_method: verb.to_owned(),
        operation_name,
        request_parameters,
        integration: integration?,
    })
}

/// `method.request.{where}.{name}` → required; the operation's own go before the path's.
fn request_parameters<'a>(
    reader: &Reader<'a>,
    path: &str,
    shared: Option<&At<'a>>,
    own: Option<&At<'a>>,
) -> IndexMap<String, bool> {
    let mut parameters = IndexMap::new();
    for list in [shared, own].into_iter().flatten() {
        let mut here: IndexMap<String, bool> = IndexMap::new();
        for item in list.items() {
            let Some((name, required)) = parameter(reader, &item) else { continue };
            if here.contains_key(&name) {
                item.problem(format!("`{name}` is declared twice"), None);
            }
            here.insert(name, required);
        }
        parameters.extend(here);
    }
    // AWS declares a variable last part by itself, a greedy one not (recorded at an import).
    if let Some(Part::Variable(name)) = path.rsplit('/').next().and_then(Part::parse) {
        parameters.insert(format!("method.request.path.{name}"), true);
    }
    parameters
}

/// One declared parameter; `None` for kinds that AWS passes over, and after complaints.
fn parameter<'a>(reader: &Reader<'a>, item: &At<'a>) -> Option<(String, bool)> {
    let at = reader.resolve(item)?;
    let place = at.get("in").or_else(|| missing(&at, "in"))?;
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
    let name_at = at.get("name").or_else(|| missing(&at, "name"))?;
    let name = name_at.text()?;
    if !is_parameter_name(name) {
        name_at.problem(
            format!("Invalid mapping expression parameter specified: method.request.{kind}.{name}"),
            Some("names are made of letters, digits, `.`, `_`, `$` and `-`".to_owned()),
        );
        return None;
    }
    let required = at.get("required").and_then(|at| at.boolean()).unwrap_or(false);
    Some((format!("method.request.{kind}.{name}"), required))
}

fn missing<'a>(at: &At<'a>, key: &str) -> Option<At<'a>> {
    at.problem(format!("`{key}` is missing"), None);
    None
}

/// What AWS takes as the name of a parameter.
pub(super) fn is_parameter_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$-".contains(&b))
}

/// The status codes the operation declares, with their headers' table: AWS's method responses.
/// `default` declares none. The headers are looked at only where a mapping names one, since many
/// operations may refer to one long response.
fn declared_responses<'a>(
    reader: &Reader<'a>,
    responses: Option<At<'a>>,
) -> HashMap<u16, Option<At<'a>>> {
    let mut declared = HashMap::new();
    for (code, response) in responses.map(|at| at.entries()).unwrap_or_default() {
        let Ok(code) = code.parse::<u16>() else { continue };
        let Some(response) = reader.resolve(&response) else { continue };
        declared.insert(code, response.get("headers"));
    }
    declared
}

/// Refuses whatever would keep a caller out.
fn access_rules<'a>(reader: &Reader<'a>, operation: &At<'a>, own: Option<At<'a>>) {
    // An operation's own list counts even when it is empty; only without one the root's holds.
    let rules = match own {
        Some(own) => Some(own),
        None if reader.root_security_judged.replace(true) => None,
        None => reader.root.get("security"),
    };
    for requirement in rules.map(|rules| rules.items()).unwrap_or_default() {
        for (scheme, at) in requirement.entries() {
            unbuilt(&at, &format!("security by `{scheme}`"));
        }
    }
    if let Some(auth) = reader.claim(operation, "x-amazon-apigateway-auth") {
        let none = auth
            .get("type")
            .is_some_and(|kind| kind.text().is_some_and(|kind| kind.eq_ignore_ascii_case("NONE")));
        if !none {
            unbuilt(&auth, "authorization");
        }
    }
}

/// Refuses a request validator that would validate something.
fn validator<'a>(reader: &Reader<'a>, operation: &At<'a>) {
    const KEY: &str = "x-amazon-apigateway-request-validator";
    let Some(named) = reader.claim(operation, KEY).or_else(|| reader.root.get(KEY)) else {
        return;
    };
    let Some(name) = named.text() else { return };
    let validator =
        reader.root.get("x-amazon-apigateway-request-validators").and_then(|all| all.get(name));
    let Some(validator) = validator else {
        named.problem(
            format!("no request validator is named `{name}`"),
            Some("add it to `x-amazon-apigateway-request-validators`".to_owned()),
        );
        return;
    };
    let validates = ["validateRequestBody", "validateRequestParameters"]
        .iter()
        .any(|rule| validator.get(rule).is_some_and(|at| at.node.value != Value::Boolean(false)));
    if validates {
        unbuilt(&named, "request validation");
    }
}
