//! The topology's API definitions, put into the store: at start, and again when a file changes.
//!
//! A document becomes the same resources as `aws apigateway put-rest-api --mode overwrite` would
//! make of it, a deployment of them, and a stage as the topology describes it. What did not change
//! since the last time is left alone, so that settings an operator made meanwhile stay and a restart
//! changes nothing. APIs that the topology no longer names go.
//!
//! A definition that cannot be read or served changes nothing: the APIs stay as they were, and
//! whoever wrote it is told file, line and why.

pub(super) mod kept;
pub(super) mod watch;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::admin::openapi::import::{self, Import, Places};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Site};
use crate::admin::rest::definition::freeze;
use crate::deployment::definition::{Limits, Unserved, stage_deployment};
use crate::model::problem::{Findings, Plain, Problem, Problems, nearest};
use crate::model::rest_api::RestApi;
use crate::net::clock::Timestamp;
use crate::node::config::{ApiConfig, Doors, TimeoutsConfig};
use crate::store::control::{State, Txn};

const TIMEOUT_HINT: &str = "the topology's `timeouts.integration_max` sets the bound";
const UNBUILT_HINT: &str = "the document is refused, since leaving this out would change behaviour";

/// One API on one stage, read from its document and tried.
#[derive(Clone, Debug)]
pub struct Imported {
    config: ApiConfig,
    /// As [`import::read`] gives it, with what the topology replaces.
    definition: Map<String, Value>,
    /// What AWS would warn of.
    pub warnings: Vec<String>,
    /// As it would be served.
    pub api: RestApi,
}

/// Reads all definitions; the problems are those of all of them.
pub(super) fn read(
    apis: &[ApiConfig],
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Result<Vec<Imported>, Problems> {
    let mut imported = Vec::with_capacity(apis.len());
    let mut problems = Problems::default();
    for api in apis {
        match load(api, site, timeouts, doors) {
            Ok(found) => {
                tell_warnings(&found);
                imported.push(found);
            }
            Err(found) => problems.extend(found),
        }
    }
    problems.into_result().map(|()| imported)
}

/// What AWS would print at an import goes to the log: it may be a rule that nobody enforces.
fn tell_warnings(imported: &Imported) {
    let Imported { config, warnings, .. } = imported;
    if !warnings.is_empty() {
        let lines: Vec<String> = warnings.iter().map(|text| Plain(text).to_string()).collect();
        let (api, lines) = (config.label.as_str(), lines.join("\n"));
        tracing::warn!(api, "An API's document is served, but not all of it counts:\n{lines}");
    }
}

/// Reads one definition as it is now, and tries whether it can be served as the topology wants it.
///
/// # Errors
/// All problems of the document, or why its file cannot be read.
pub fn load(
    config: &ApiConfig,
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Result<Imported, Problems> {
    examine(config, site, timeouts, doors).outcome
}

/// What is to be said of a definition.
#[derive(Debug)]
pub struct Examined {
    pub file: String,
    /// What AWS would warn of, also where the document is refused.
    pub warnings: Vec<String>,
    /// As [`load`] gives it.
    pub outcome: Result<Imported, Problems>,
}

/// As [`load`], with the warnings of a document that is refused.
pub fn examine(
    config: &ApiConfig,
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Examined {
    match config.read() {
        Ok((file, bytes)) => judge(config, file, &bytes, site, timeouts, doors),
        Err(problem) => Examined {
            file: problem.file.clone(),
            warnings: Vec::new(),
            outcome: Err(problem.into()),
        },
    }
}

/// What AWS would refuse and what cannot be served are told together, so that one reading shows
/// the whole list.
fn judge(
    config: &ApiConfig,
    file: String,
    bytes: &[u8],
    site: &Site,
    timeouts: &TimeoutsConfig,
    doors: Doors,
) -> Examined {
    let most = u32::try_from(timeouts.integration_max.as_millis()).unwrap_or(u32::MAX);
    let mut options = import::Options::new(config.id.as_str(), site);
    options.integration_timeout_max_ms = most;
    options.integration_timeout_hint = Some(TIMEOUT_HINT);
    let (import, findings) = match import::survey(&file, bytes, &options) {
        Ok(surveyed) => surveyed,
        Err(err) => {
            let outcome = Err(err.problems().clone());
            return Examined { file, warnings: Vec::new(), outcome };
        }
    };
    let Import { mut definition, warnings, places } = import;
    replace(config, &mut definition);
    let limits = Limits { integration_timeout_max_ms: most };
    let api = match trial(config, &definition, site, &limits) {
        Ok(api) => {
            fits(config, &api, doors, &places, &findings);
            Some(api)
        }
        Err(unserved) => {
            let told = findings.marks();
            unserved.into_iter().for_each(|one| refuse(one, &places, &told, &findings));
            None
        }
    };
    let served = findings.into_result().and_then(|()| {
        let cause = "the definition cannot be served";
        api.ok_or_else(|| Problem::of_file(&file, cause).into())
    });
    let outcome = served.map(|api| Imported {
        config: config.clone(),
        definition,
        warnings: warnings.clone(),
        api,
    });
    Examined { file, warnings, outcome }
}

/// Notes what cannot be served where the document asks for it. Where a mistake was `told` already,
/// what follows from it is not; nor is that an integration is missing which was not read for one.
fn refuse(unserved: Unserved, places: &Places, told: &HashSet<(u32, u32)>, findings: &Findings) {
    let Unserved { place, what, hint, is_unbuilt } = unserved;
    if places.knows(&format!("{place} integration")) {
        return;
    }
    let hint = hint.or_else(|| is_unbuilt.then(|| UNBUILT_HINT.to_owned()));
    match places.locate(&place) {
        Some(at) if told.contains(&at.mark) && !is_unbuilt => {}
        Some(at) => findings.add(at.mark, &at.key, what, hint),
        None => findings.add((0, 0), &place, what, hint),
    }
}

/// What the topology says instead of the document.
fn replace(config: &ApiConfig, definition: &mut Map<String, Value>) {
    let api = definition.entry("restApi").or_insert_with(|| json!({}));
    let Some(api) = api.as_object_mut() else { return };
    if let Some(name) = &config.name {
        api.insert("name".to_owned(), Value::from(name.as_str()));
    }
    let own = api.get("endpointConfiguration").and_then(|own| own.get("types")).is_some();
    let kind = match (config.endpoint_type, own) {
        (Some(kind), _) => Some(kind),
        (None, false) => Some(config.endpoint_type_default),
        (None, true) => None,
    };
    if let Some(kind) = kind {
        let endpoint = api.entry("endpointConfiguration").or_insert_with(|| json!({}));
        endpoint["types"] = json!([kind.as_str()]);
    }
}

/// The API as it would be served, tried on a store of its own.
fn trial(
    config: &ApiConfig,
    definition: &Map<String, Value>,
    site: &Site,
    limits: &Limits,
) -> Result<RestApi, Vec<Unserved>> {
    let refused = |err: ApiError| {
        let (place, what) = ("restApi".to_owned(), err.message.into_owned());
        vec![Unserved { place, what, hint: None, is_unbuilt: false }]
    };
    let mut txn = Txn::new(Arc::<State>::default());
    let id = config.id.as_str();
    let now = Timestamp::from_seconds(0);
    let mut context = Context { txn: &mut txn, site, now, effects: Vec::new() };
    kept::put_api(&mut context, config, definition, String::new()).map_err(refused)?;
    let frozen = freeze(&txn, id).unwrap_or_default();
    let stage = kept::stage_body(&config.stage, site);
    stage_deployment(&frozen, &stage, config.domains.clone(), limits).map(|served| served.api)
}

/// Whether what the topology says of the API fits it.
fn fits(config: &ApiConfig, api: &RestApi, doors: Doors, places: &Places, findings: &Findings) {
    if api.resources.is_empty() && findings.is_empty() {
        let at = places.locate("resources");
        let (mark, key) = at.map_or(((0, 0), ""), |at| (at.mark, at.key.as_str()));
        let hint = "below `paths`, describe at least one operation";
        let what = "The REST API doesn't contain any methods";
        findings.add(mark, key, what, Some(hint.to_owned()));
    }
    if let Some(remedy) = doors.remedy(api.endpoint_type) {
        let own = places.locate("restApi endpointConfiguration types");
        let own = own.filter(|_| config.endpoint_type.is_none());
        let (mark, key) = own.map_or(((0, 0), ""), |at| (at.mark, at.key.as_str()));
        findings.add(
            mark,
            key,
            format!("the API is {}, and nothing listens for that", api.endpoint_type.as_str()),
            Some(format!("in the topology, {remedy} or give the API another `endpoint_type`")),
        );
    }
    let known: Vec<String> = api.method_keys().collect();
    for key in config.stage.methods.keys().filter(|key| !known.contains(key)) {
        let words: Vec<&str> = known.iter().map(String::as_str).collect();
        findings.add(
            (0, 0),
            "",
            format!("the topology has settings for `{key}`, and the API has no such method"),
            nearest(key, &words),
        );
    }
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
