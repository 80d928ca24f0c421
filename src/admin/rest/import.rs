//! REST APIs out of OpenAPI documents: ImportRestApi and PutRestApi.
//!
//! Both read the document whole before they change anything. AWS's wording of faults and warnings
//! is kept, each with the line and column it is about. Recorded: what is no OpenAPI document at
//! all is answered with one fixed text.
//!
//! AWS: API Gateway API Reference, "ImportRestApi", "PutRestApi"; Developer Guide, "Import an
//! edge-optimized API into API Gateway", "Set the OpenAPI basePath property", "Errors and warnings
//! from importing your API into API Gateway".

use serde_json::{Map, Value, json};

use crate::admin::openapi::apply::{Mode, apply};
use crate::admin::openapi::import::{BasePath, Import, ImportError, Options, read};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::rest::apis;
use crate::model::problem::Problems;
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations =
    &[("ImportRestApi", import_rest_api), ("PutRestApi", put_rest_api)];

/// Length of an API's id.
const ID_LENGTH: usize = 10;
/// Problems told to the caller; ours. All of them would fill screens.
const TOLD_MAX: usize = 20;
/// What a document is called in what is said of it.
const FILE: &str = "body";

fn import_rest_api(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let endpoint = endpoint_configuration(input)?;
    let id = context.new_id(ID_LENGTH, |id| context.txn.contains(Kind::RestApi, "", id));
    let import = document(context, input, &id)?;
    let mut api = Body::new();
    api.insert("id".to_owned(), Value::from(id.as_str()));
    api.insert("createdDate".to_owned(), context.seconds());
    api.insert("apiKeySource".to_owned(), Value::from("HEADER"));
    api.insert("disableExecuteApiEndpoint".to_owned(), Value::from(false));
    api.insert("endpointConfiguration".to_owned(), Value::Object(Map::new()));
    context.txn.put(Kind::RestApi, "", &id, api);
    apply(context, &id, &import.definition, Mode::Merge)?;
    complete_endpoint(context, &id, endpoint)?;
    answer(context, &id, import.warnings, false)
}

fn put_rest_api(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("restapi_id").to_owned();
    if !context.txn.contains(Kind::RestApi, "", &id) {
        let account = &context.site.account_id;
        let message = format!("Invalid API identifier specified {account}:{id}");
        return Err(ApiError::not_found(message));
    }
    let endpoint = endpoint_configuration(input)?;
    let mode = match input.query_text("mode") {
        Some("overwrite") => Mode::Overwrite,
        _ => Mode::Merge,
    };
    let import = document(context, input, &id)?;
    apply(context, &id, &import.definition, mode)?;
    complete_endpoint(context, &id, endpoint)?;
    answer(context, &id, import.warnings, true)
}

/// Reads the payload by the request's parameters; with `failonwarnings`, warnings are faults.
fn document(context: &Context<'_>, input: &Input, id: &str) -> Result<Import, ApiError> {
    let mut options = Options::new(id, context.site);
    options.base_path = match input.parameters.get("basepath").map(String::as_str) {
        None | Some("ignore" | "") => BasePath::Ignore,
        Some("prepend") => BasePath::Prepend,
        Some("split") => BasePath::Split,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "Invalid basepath specified: {other}. Valid options are ignore,prepend,split"
            )));
        }
    };
    options.documentation =
        input.parameters.get("ignore").is_none_or(|ignored| ignored != "documentation");
    let import = read(FILE, &input.payload, &options).map_err(|err| refusal(&err))?;
    if input.query_flag("failonwarnings") && !import.warnings.is_empty() {
        let warnings = import.warnings.join("\n\t");
        return Err(ApiError::bad_request(format!("Warnings found during import:\n\t{warnings}")));
    }
    Ok(import)
}

fn refusal(err: &ImportError) -> ApiError {
    match err {
        ImportError::NoDocument(_) => ApiError::bad_request("Invalid OpenAPI input."),
        ImportError::Faulty(problems) => {
            ApiError::bad_request(format!("Errors found during import:\n\t{}", told(problems)))
        }
    }
}

fn told(problems: &Problems) -> String {
    let mut lines: Vec<String> =
        problems.found.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    let more = problems.found.len().saturating_sub(TOLD_MAX).saturating_add(problems.more);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n\t")
}

/// The endpoint configuration that the request's parameters ask for, if they do.
fn endpoint_configuration(input: &Input) -> Result<Map<String, Value>, ApiError> {
    let listed = |name: &str| -> Vec<String> {
        let text = input.parameters.get(name).map(String::as_str).unwrap_or_default();
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(ToOwned::to_owned).collect()
    };
    let mut configuration = Map::new();
    let types = listed("endpointConfigurationTypes");
    if types.len() > 1 {
        return Err(ApiError::bad_request("Cannot create an api with multiple Endpoint Types."));
    }
    if let Some(kind) = types.first() {
        if !matches!(kind.as_str(), "EDGE" | "REGIONAL" | "PRIVATE") {
            return Err(ApiError::bad_request(format!(
                "Invalid endpoint type specified: {kind}. Valid options are EDGE,REGIONAL,PRIVATE"
            )));
        }
        configuration.insert("types".to_owned(), json!([kind]));
    }
    let endpoints = listed("vpcEndpointIds");
    if !endpoints.is_empty() {
        configuration.insert("vpcEndpointIds".to_owned(), json!(endpoints));
    }
    Ok(configuration)
}

/// The parameters go before the document, and both before AWS's defaults.
fn complete_endpoint(
    context: &mut Context<'_>,
    id: &str,
    asked: Map<String, Value>,
) -> Result<(), ApiError> {
    let Some(api) = context.txn.get(Kind::RestApi, "", id) else { return Ok(()) };
    let mut api = Body::clone(&api);
    let mut endpoint = match api.get("endpointConfiguration") {
        Some(Value::Object(endpoint)) => endpoint.clone(),
        _ => Map::new(),
    };
    let changes_type = asked.contains_key("types") && endpoint.get("types") != asked.get("types");
    if changes_type {
        // The other type has another default, and may not know the old one.
        endpoint.shift_remove("ipAddressType");
    }
    endpoint.extend(asked);
    let endpoint = apis::endpoint_configuration(&endpoint)?;
    api.insert("endpointConfiguration".to_owned(), endpoint);
    context.txn.put(Kind::RestApi, "", id, api);
    Ok(())
}

/// The API as it is now, with what the import passed over. An update shows tags also when there
/// are none (recorded).
fn answer(
    context: &Context<'_>,
    id: &str,
    warnings: Vec<String>,
    with_tags: bool,
) -> Result<Outcome, ApiError> {
    let api = context.txn.get(Kind::RestApi, "", id).unwrap_or_default();
    let mut api = if with_tags { apis::shown_with_tags(&api) } else { apis::shown(&api) };
    if !warnings.is_empty() {
        api.insert("warnings".to_owned(), Value::from(warnings));
    }
    Ok(Outcome::Body(api))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
