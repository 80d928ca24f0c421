//! `[[api]]`: a definition, put on a stage.
//!
//! AWS: API Gateway Developer Guide, "Set up a stage for a REST API", "Cache settings for REST
//! APIs", "Set up CloudWatch logging for REST APIs".

use std::path::{Component, Path};

use indexmap::IndexMap;

use crate::model::document::{At, Section};
use crate::model::ids::{ApiId, StageName};
use crate::model::quotas;
use crate::model::rest_api::EndpointType;
use crate::model::stage::{AccessLogSettings, BasePathMapping, MethodSettings, Stage};
use crate::node::config::{ApiConfig, Document};
use crate::topology::units;

/// The stage of an API that names none.
const STAGE: &str = "prod";
/// What `document` may say instead of a file's name.
const BUNDLED: &str = "bundled:petstore";

/// All APIs of the file.
pub(super) fn read(list: Option<At<'_>>, folder: &Path, has_edges: bool) -> Vec<ApiConfig> {
    let mut apis: Vec<ApiConfig> = Vec::new();
    for at in list.map(|at| at.items()).unwrap_or_default() {
        let place = at.clone();
        let Some(api) = api(Section::new(at), folder, has_edges) else { continue };
        if apis.iter().any(|other| other.id == api.id && other.stage.name == api.stage.name) {
            place.problem(
                format!("API `{}` has a stage `{}` already", api.label, api.stage.name),
                Some("give it another `stage`, `name` or `id`".to_owned()),
            );
        }
        apis.push(api);
    }
    apis
}

/// An API of which only the definition is known.
pub(super) fn of_document(document: Document, has_edges: bool) -> ApiConfig {
    let label = match &document {
        Document::PetStore => "petstore".to_owned(),
        Document::File(path) => path
            .file_stem()
            .map_or_else(|| "api".to_owned(), |stem| stem.to_string_lossy().into_owned()),
    };
    ApiConfig {
        id: ApiId::derived(&label),
        label,
        name: None,
        document,
        endpoint_type: None,
        endpoint_type_default: if has_edges { EndpointType::Edge } else { EndpointType::Regional },
        stage: Stage {
            name: StageName::new(STAGE),
            variables: IndexMap::new(),
            cache_enabled: false,
            defaults: MethodSettings::default(),
            methods: IndexMap::new(),
            access_log: None,
            cache_headers: true,
            ..Stage::default()
        },
        domains: Vec::new(),
    }
}

fn api(section: Section<'_>, folder: &Path, has_edges: bool) -> Option<ApiConfig> {
    let document = section.require("document").and_then(|at| match at.text()? {
        BUNDLED => Some(Document::PetStore),
        text if text.starts_with("bundled:") => {
            at.problem(format!("`{text}` is not bundled"), Some(format!("`{BUNDLED}` is")));
            None
        }
        _ => units::path(&at, folder).map(Document::File),
    });
    let name = section.take("name").and_then(|at| units::words(&at));
    let id = section.take("id").and_then(|at| api_id(&at));
    let stage_name = section.take("stage").and_then(|at| stage_name(&at));
    let endpoint_type = section.take("endpoint_type").and_then(|at| endpoint_type(&at));
    let variables = section.take("variables").map(|at| variables(&at)).unwrap_or_default();
    let mut stage = Stage { variables, ..of_document(Document::PetStore, has_edges).stage };
    if let Some(name) = stage_name {
        stage.name = name;
    }
    // First what holds for all methods, since a method's settings begin as a copy of it.
    let cache = section.take("cache").map(Section::new);
    let throttling = section.take("throttling").map(Section::new);
    if let Some(cache) = &cache {
        if let Some(enabled) = cache.take("enabled").and_then(|at| at.boolean()) {
            stage.cache_enabled = enabled;
        }
        cache_settings(cache, &mut stage.defaults);
    }
    if let Some(throttling) = &throttling {
        throttling_settings(throttling, &mut stage.defaults);
    }
    if let Some(cache) = cache {
        per_method(&cache, &mut stage, |section, settings| {
            if let Some(enabled) = section.take("enabled").and_then(|at| at.boolean()) {
                settings.caching_enabled = Some(enabled);
            }
            cache_settings(section, settings);
        });
        cache.finish();
    }
    if let Some(throttling) = throttling {
        per_method(&throttling, &mut stage, throttling_settings);
        throttling.finish();
    }
    stage.access_log = section.take("access_log").and_then(access_log);
    if let Some(on) = section.take("cache_headers").and_then(|at| at.boolean()) {
        stage.cache_headers = on;
    }
    let domains = section.take("domains").map(|at| domains(&at)).unwrap_or_default();
    section.finish();

    let plain = of_document(document?, has_edges);
    let label = name.clone().unwrap_or(plain.label);
    Some(ApiConfig {
        id: id.unwrap_or_else(|| ApiId::derived(&label)),
        label,
        name,
        document: plain.document,
        endpoint_type,
        endpoint_type_default: plain.endpoint_type_default,
        stage,
        domains,
    })
}

/// `domains = ["api.example.com", "api.example.com/orders/v1"]`: host name, then base path.
fn domains(list: &At<'_>) -> Vec<BasePathMapping> {
    let mut domains: Vec<BasePathMapping> = Vec::new();
    for at in list.items() {
        let Some(text) = at.text() else { continue };
        let (host, base_path) = text.split_once('/').unwrap_or((text, ""));
        let host = host.to_ascii_lowercase();
        if !units::is_host_name(&host) {
            at.problem(
                format!("`{host}` is no host name"),
                Some("such as \"api.example.com\" or \"api.example.com/orders/v1\"".to_owned()),
            );
            continue;
        }
        let base_path = base_path.trim_matches('/').to_owned();
        let mapping = BasePathMapping {
            domain_name: host,
            base_path,
            stage_in_path: false,
            certificate: None,
        };
        if domains.contains(&mapping) {
            at.problem(format!("`{text}` is listed twice"), None);
        }
        domains.push(mapping);
    }
    domains
}

fn cache_settings(section: &Section<'_>, settings: &mut MethodSettings) {
    let most = i64::from(quotas::CACHE_TTL_MAX_SECONDS);
    if let Some(ttl) = section.take("ttl_seconds").and_then(|at| at.integer(0, most)) {
        settings.cache_ttl_seconds = u32::try_from(ttl).unwrap_or(quotas::CACHE_TTL_MAX_SECONDS);
    }
    if let Some(must) =
        section.take("require_authorization_for_cache_control").and_then(|at| at.boolean())
    {
        settings.require_authorization_for_cache_control = must;
    }
}

fn throttling_settings(section: &Section<'_>, settings: &mut MethodSettings) {
    /// Far above what one region can serve.
    const MOST: i64 = 100_000_000;
    if let Some(rate) = section.take("rate_per_second").and_then(|at| at.integer(0, MOST)) {
        settings.throttling_rate_limit = Some(rate as f64);
    }
    if let Some(burst) = section.take("burst").and_then(|at| at.integer(0, MOST)) {
        settings.throttling_burst_limit = u32::try_from(burst).ok();
    }
}

/// `methods = { "pets/{petId}/GET" = { … } }`.
fn per_method(
    section: &Section<'_>,
    stage: &mut Stage,
    fill: impl Fn(&Section<'_>, &mut MethodSettings),
) {
    let Some(methods) = section.take("methods") else { return };
    for (key, at) in methods.entries() {
        let verb = key.rsplit_once('/').map(|(_, verb)| verb);
        if !matches!(
            verb,
            Some("GET" | "PUT" | "POST" | "DELETE" | "PATCH" | "OPTIONS" | "HEAD" | "ANY")
        ) {
            at.problem(
                format!("`{key}` is no method"),
                Some("path without its first `/`, then the verb: \"pets/{petId}/GET\"".to_owned()),
            );
            continue;
        }
        // The root resource is `/GET`; elsewhere a needless first slash is a likely slip.
        if key.starts_with('/') && key.matches('/').count() > 1 {
            at.problem(
                format!("`{key}` begins with `/`"),
                Some("leave the first `/` out".to_owned()),
            );
            continue;
        }
        let method = Section::new(at);
        let mut settings =
            stage.methods.get(key).cloned().unwrap_or_else(|| stage.defaults.clone());
        fill(&method, &mut settings);
        method.finish();
        stage.methods.insert(key.to_owned(), settings);
    }
}

fn api_id(at: &At<'_>) -> Option<ApiId> {
    let text = at.text()?;
    let good =
        text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if !good {
        at.problem(
            format!("`{text}` is no API id"),
            Some("ten lower-case letters and digits, or leave it out".to_owned()),
        );
        return None;
    }
    Some(ApiId::new(text))
}

fn stage_name(at: &At<'_>) -> Option<StageName> {
    let text = at.text()?;
    let good = (1..=quotas::STAGE_NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !good {
        at.problem(
            format!("`{text}` is no stage name"),
            Some("letters, digits, `-` and `_`, at most 128".to_owned()),
        );
        return None;
    }
    Some(StageName::new(text))
}

fn endpoint_type(at: &At<'_>) -> Option<EndpointType> {
    match at.text()? {
        "EDGE" => Some(EndpointType::Edge),
        "REGIONAL" => Some(EndpointType::Regional),
        "PRIVATE" => Some(EndpointType::Private),
        other => {
            at.problem(
                format!("`{other}` is no endpoint type"),
                Some("\"EDGE\", \"REGIONAL\" or \"PRIVATE\"".to_owned()),
            );
            None
        }
    }
}

/// AWS: "Use stage variables for a REST API": the characters of names and values.
fn variables(at: &At<'_>) -> IndexMap<String, String> {
    let mut variables = IndexMap::new();
    for (name, value) in at.entries() {
        let name_good = (1..=quotas::STAGE_VARIABLE_NAME_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !name_good {
            value.problem(
                format!("`{name}` is no name of a stage variable"),
                Some("letters, digits and `_`, at most 64".to_owned()),
            );
        }
        let Some(text) = value.text() else { continue };
        let text_good = text.len() <= quotas::STAGE_VARIABLE_VALUE_MAX
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#&=,[]".contains(&b));
        if !text_good {
            value.problem(
                "a stage variable cannot have this value",
                Some("letters, digits and -._~:/?#&=, at most 512".to_owned()),
            );
        }
        variables.insert(name.to_owned(), text.to_owned());
    }
    if variables.len() > quotas::STAGE_VARIABLES_MAX {
        at.problem(format!("more than {} stage variables", quotas::STAGE_VARIABLES_MAX), None);
    }
    variables
}

fn access_log(at: At<'_>) -> Option<AccessLogSettings> {
    let section = Section::new(at);
    let format = section.require("format").and_then(|at| {
        let format = at.text()?;
        let preset = matches!(format, "CLF" | "JSON" | "XML" | "CSV");
        let names_request = ["$context.requestId", "$context.extendedRequestId"]
            .iter()
            .any(|variable| format.contains(variable));
        if !preset && !names_request {
            at.problem(
                "an access log format holds $context.requestId or $context.extendedRequestId",
                Some("or is one of \"CLF\", \"JSON\", \"XML\", \"CSV\"".to_owned()),
            );
        }
        if format.len() > quotas::ACCESS_LOG_FORMAT_BYTES_MAX {
            let most = quotas::ACCESS_LOG_FORMAT_BYTES_MAX;
            at.problem(format!("the format is longer than {most} bytes"), None);
        }
        Some(format.to_owned())
    });
    let destination = match section.take("destination") {
        None => Some("-".to_owned()),
        Some(at) => at.text().and_then(|text| {
            let below = Path::new(text).components().all(|c| matches!(c, Component::Normal(_)));
            if text.is_empty() || !below || text.contains('\0') {
                at.problem(
                    format!("`{text}` does not lie in the node's data folder"),
                    Some("a relative path without `..`, or \"-\" for standard output".to_owned()),
                );
                return None;
            }
            Some(text.to_owned())
        }),
    };
    section.finish();
    Some(AccessLogSettings { format: format?, destination: destination? })
}
