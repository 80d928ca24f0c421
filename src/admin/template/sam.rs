//! What do `AWS::Serverless::*` resources stand for? Plain ones, under the ids that SAM gives them.
//!
//! A `Serverless::Api` is a RestApi whose definition is generated or completed, a Deployment whose
//! logical id carries the definition's hash (so that another definition is another deployment), and
//! a Stage. A `Serverless::HttpApi` is an Api and a Stage that deploys by itself. Events of functions
//! that name no API make the implicit ones. Functions themselves, and all else, are other services'
//! business and are only referred to.
//!
//! AWS: Serverless Application Model, "Generated CloudFormation resources", "Globals section",
//! "AWS::Serverless::Api", "AWS::Serverless::HttpApi", "Api" and "HttpApi" event sources.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::document::{Includes, Resource, Skipped};
use super::functions::plain_text;
use super::{Fault, Object, text};

pub(super) const API: &str = "AWS::Serverless::Api";
pub(super) const HTTP_API: &str = "AWS::Serverless::HttpApi";
pub(super) const FUNCTION: &str = "AWS::Serverless::Function";
/// The APIs of events that name none.
const IMPLICIT_API: &str = "ServerlessRestApi";
const IMPLICIT_HTTP_API: &str = "ServerlessHttpApi";
/// Sections of `Globals` and the types they are for.
const GLOBALS: [(&str, &str); 3] = [("Api", API), ("HttpApi", HTTP_API), ("Function", FUNCTION)];

/// What an expansion may ask.
pub(super) struct Expanding<'a> {
    pub(super) stack: &'a str,
    pub(super) includes: &'a Includes,
}

/// Plain resources, and the names under which generated ones are referred to.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    pub(super) resources: IndexMap<String, Resource>,
    /// `MyApi.Stage` for the stage's logical id.
    pub(super) aliases: HashMap<String, String>,
}

/// A method or route that calls a function.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Such as `GetPets.Api`, for complaints.
    pub(super) name: String,
    pub(super) function: String,
    /// The value of the function's ARN.
    pub(super) arn: String,
    pub(super) properties: Object,
}

impl Expanding<'_> {
    /// Turns SAM's resources into plain ones; others come through as they are.
    pub(super) fn expand(
        &self,
        resources: IndexMap<String, Resource>,
        globals: &Object,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Expansion, Fault> {
        let mut resources = resources;
        for (_, resource) in &mut resources {
            let of = GLOBALS.iter().find(|(_, kind)| *kind == resource.kind);
            if let Some(Json::Object(given)) = of.and_then(|(name, _)| globals.get(*name)) {
                resource.properties = merged(given, &resource.properties);
            }
        }
        let mut events = Events::default();
        for (id, resource) in &resources {
            match resource.kind.as_str() {
                FUNCTION => events.collect(id, resource, &resources, skipped)?,
                "AWS::Serverless::StateMachine" => note_events(id, resource, skipped),
                _ => {}
            }
        }
        for (id, kind, section) in
            [(IMPLICIT_API, API, "Api"), (IMPLICIT_HTTP_API, HTTP_API, "HttpApi")]
        {
            if events.by_api.contains_key(id) && !resources.contains_key(id) {
                let own = globals.get(section).and_then(Json::as_object);
                let implicit = implicit(id, kind, self.stack, own);
                resources.insert(id.to_owned(), implicit);
            }
        }
        let mut expansion = Expansion::default();
        for (id, resource) in resources {
            let of_api = events.by_api.shift_remove(&id).unwrap_or_default();
            match resource.kind.as_str() {
                API => self.rest_api(&id, &resource, &of_api, &mut expansion, skipped)?,
                HTTP_API => self.http_api(&id, &resource, &of_api, &mut expansion, skipped)?,
                FUNCTION => function(&id, resource, &mut expansion),
                _ => {
                    expansion.resources.insert(id, resource);
                }
            }
        }
        Ok(expansion)
    }
}

/// Events of functions, by the logical id of their API.
#[derive(Default)]
struct Events {
    by_api: IndexMap<String, Vec<Event>>,
}

impl Events {
    fn collect(
        &mut self,
        id: &str,
        function: &Resource,
        resources: &IndexMap<String, Resource>,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), Fault> {
        let Some(Json::Object(events)) = function.properties.get("Events") else { return Ok(()) };
        for (name, event) in events {
            let kind = event.get("Type").and_then(Json::as_str).unwrap_or_default();
            let (member, implicit, wanted) = match kind {
                "Api" => ("RestApiId", IMPLICIT_API, API),
                "HttpApi" => ("ApiId", IMPLICIT_HTTP_API, HTTP_API),
                _ => continue,
            };
            let properties = event.get("Properties").and_then(Json::as_object);
            let properties = properties.cloned().unwrap_or_default();
            let api = match properties.get(member) {
                None => implicit.to_owned(),
                Some(Json::String(id)) => id.clone(),
                Some(given) => given.get("Ref").and_then(Json::as_str).unwrap_or("").to_owned(),
            };
            let known = resources.get(&api).map(|api| api.kind.as_str());
            if api != implicit && known != Some(wanted) {
                skipped.push(Skipped {
                    id: format!("{id}.{name}"),
                    kind: format!("{kind} event"),
                    why: format!("{member} names no {wanted} of this template"),
                });
                continue;
            }
            if kind == "Api" {
                for wanted in ["Path", "Method"] {
                    if text(&properties, wanted).is_none() {
                        let message = format!("the event `{name}` needs a {wanted}");
                        return Err(Fault::of_resource(id, Some("Events"), message));
                    }
                }
            }
            let alias = function.properties.get("AutoPublishAlias").and_then(plain_text);
            let arn = match alias {
                Some(alias) => format!("${{{id}Alias{alias}}}"),
                None => format!("${{{id}.Arn}}"),
            };
            let name = format!("{id}.{name}");
            let event = Event { name, function: id.to_owned(), arn, properties };
            self.by_api.entry(api).or_default().push(event);
        }
        Ok(())
    }
}

fn note_events(id: &str, machine: &Resource, skipped: &mut Vec<Skipped>) {
    let Some(Json::Object(events)) = machine.properties.get("Events") else { return };
    for (name, event) in events {
        let kind = event.get("Type").and_then(Json::as_str).unwrap_or_default();
        if matches!(kind, "Api" | "HttpApi") {
            skipped.push(Skipped {
                id: format!("{id}.{name}"),
                kind: format!("{kind} event"),
                why: "events of state machines are not made".to_owned(),
            });
        }
    }
}

/// The API of events that name none.
fn implicit(id: &str, kind: &str, stack: &str, globals: Option<&Object>) -> Resource {
    let mut properties = globals.cloned().unwrap_or_default();
    if kind == API {
        properties.entry("Name").or_insert_with(|| Json::from(stack));
        properties.entry("StageName").or_insert_with(|| json!("Prod"));
    }
    Resource {
        kind: kind.to_owned(),
        properties,
        depends_on: Vec::new(),
        origin: id.to_owned(),
        is_kept: false,
    }
}

/// A function itself is Lambda's; its role and alias can be referred to.
fn function(id: &str, resource: Resource, expansion: &mut Expansion) {
    let other = |kind: &str, properties: Object| Resource {
        kind: kind.to_owned(),
        properties,
        depends_on: Vec::new(),
        origin: id.to_owned(),
        is_kept: false,
    };
    let properties = &resource.properties;
    if !properties.contains_key("Role") {
        let role = other("AWS::IAM::Role", Object::new());
        expansion.resources.insert(format!("{id}Role"), role);
    }
    if let Some(alias) = properties.get("AutoPublishAlias").and_then(plain_text) {
        let name = format!("{id}Alias{alias}");
        let mut own = Object::new();
        let function = properties.get("FunctionName").cloned();
        own.insert("FunctionName".to_owned(), function.unwrap_or_else(|| json!({ "Ref": id })));
        own.insert("Name".to_owned(), Json::from(alias));
        expansion.aliases.insert(format!("{id}.Alias"), name.clone());
        expansion.resources.insert(name, other("AWS::Lambda::Alias", own));
    }
    expansion.resources.insert(id.to_owned(), resource);
}

/// AWS: "Globals section": a resource's own values count more, tables are merged, lists joined with
/// the global items first.
fn merged(global: &Object, own: &Object) -> Object {
    let mut all = global.clone();
    for (name, value) in own {
        let value = match (all.get(name), value) {
            (Some(Json::Object(global)), Json::Object(own))
                if !is_function(global) && !is_function(own) =>
            {
                Json::Object(merged(global, own))
            }
            (Some(Json::Array(global)), Json::Array(own)) => {
                Json::Array(global.iter().chain(own).cloned().collect())
            }
            _ => value.clone(),
        };
        all.insert(name.clone(), value);
    }
    all
}

fn is_function(object: &Object) -> bool {
    object.len() == 1 && object.keys().all(|name| name == "Ref" || name.starts_with("Fn::"))
}
