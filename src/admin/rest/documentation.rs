//! Documentation parts: texts about an API's entities, by their location.
//!
//! AWS: API Gateway Developer Guide, "Documentation for REST APIs"; API Reference,
//! "DocumentationPart".

use std::sync::Arc;

use serde_json::Value;

use super::documentation_location::{self as location, Location};
use super::support::{self, ID_LENGTH};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::admin::yaml;
use crate::model::quotas;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateDocumentationPart", create_documentation_part),
    ("GetDocumentationPart", get_documentation_part),
    ("GetDocumentationParts", get_documentation_parts),
    ("UpdateDocumentationPart", update_documentation_part),
    ("DeleteDocumentationPart", delete_documentation_part),
    ("ImportDocumentationParts", import_documentation_parts),
];

/// Documentation parts per API: "Quotas for configuring and running a REST API".
const PARTS_MAX: usize = 2_000;

/// Nodes and depth of an imported YAML document; ours, far beyond what documents have.
const NODES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 128;

/// Where documents keep their documentation.
const EXTENSION: &str = "x-amazon-apigateway-documentation";

const PATCH: &[Rule] =
    &[Rule { path: "/properties", ops: &[Op::Replace], apply: Apply::Custom(set_properties) }];

fn create_documentation_part(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let api = input.label("restapi_id");
    support::rest_api(context, api)?;
    let sent = input.body.get("location").and_then(Value::as_object);
    let sent =
        sent.ok_or_else(|| ApiError::bad_request("Documentation part location is required"))?;
    let place = Location::read(sent)?;
    let properties = input.text("properties").unwrap_or_default();
    check_properties(properties)?;
    let parts = context.txn.list(Kind::DocumentationPart, api);
    if parts.iter().any(|(_, part)| Location::of(part).as_ref() == Some(&place)) {
        return Err(ApiError::conflict(format!(
            "Documentation part already exists for the specified location: {place}."
        )));
    }
    if parts.len() >= PARTS_MAX {
        return Err(too_many());
    }
    let part = put(context, api, None, sent, properties);
    Ok(Outcome::Body(part))
}

fn get_documentation_part(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(support::shown(&find(context, input)?)))
}

/// By type, name and path; documented ones, or with `UNDOCUMENTED` the places that lack a part.
fn get_documentation_parts(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let api = input.label("restapi_id");
    support::rest_api(context, api)?;
    let parts = context.txn.list(Kind::DocumentationPart, api);
    let wanted = |part: &Body| {
        let place = part.get("location").and_then(Value::as_object);
        let member = |name: &str| place.map(|place| support::text(place, name)).unwrap_or_default();
        let asked = |query: &str, is: &str| input.query_text(query).is_none_or(|text| text == is);
        let path = match member("path") {
            "" => "/",
            path => path,
        };
        asked("type", member("type")) && asked("name", member("name")) && asked("path", path)
    };
    if input.query_text("locationStatus") == Some("UNDOCUMENTED") {
        let known: Vec<Location> =
            parts.iter().filter_map(|(_, part)| Location::of(part)).collect();
        let missing = location::entities(context.txn, api)
            .into_iter()
            .filter(|place| !known.contains(place))
            .map(|place| {
                let id: Arc<str> = place.to_string().into();
                let mut part = Body::new();
                part.insert("location".to_owned(), Value::Object(place.into_body()));
                (id, part)
            });
        let mut missing: Vec<(Arc<str>, Body)> = missing.filter(|(_, part)| wanted(part)).collect();
        missing.sort_by(|one, other| one.0.cmp(&other.0));
        return Ok(page(input, missing));
    }
    let parts = parts.into_iter().filter(|(_, part)| wanted(part));
    Ok(page(input, parts.map(|(id, part)| (id, support::shown(&part)))))
}

fn update_documentation_part(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let mut part = find(context, input)?;
    patch::apply(&mut part, &patch::read(input)?, PATCH, Wording::Listing)?;
    let (api, id) = (input.label("restapi_id"), input.label("part_id"));
    let answer = support::shown(&part);
    context.txn.put(Kind::DocumentationPart, api, id, part);
    Ok(Outcome::Body(answer))
}

fn delete_documentation_part(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    find(context, input)?;
    let (api, id) = (input.label("restapi_id"), input.label("part_id"));
    context.txn.delete(Kind::DocumentationPart, api, id);
    support::nothing()
}

fn import_documentation_parts(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let api = input.label("restapi_id");
    support::rest_api(context, api)?;
    let document = read_document(&input.payload)?;
    let overwrites = input.query_text("mode") == Some("overwrite");
    let (ids, warnings) = import(context, api, &document, overwrites)?;
    support::imported(input, ids, warnings)
}

/// Takes the documentation parts out of an OpenAPI document: their ids, and what was left out.
///
/// A part of a known location keeps its id; `overwrites` deletes those the document lacks.
///
/// # Errors
/// More parts than an API may have.
pub fn import(
    context: &mut Context<'_>,
    api: &str,
    document: &Value,
    overwrites: bool,
) -> Result<(Vec<String>, Vec<String>), ApiError> {
    let mut known: Vec<(Location, Arc<str>)> = context
        .txn
        .list(Kind::DocumentationPart, api)
        .into_iter()
        .filter_map(|(id, part)| Some((Location::of(&part)?, id)))
        .collect();
    if overwrites {
        context.txn.delete_all(Kind::DocumentationPart, api);
    }
    let parts = document[EXTENSION]["documentationParts"].as_array().map(Vec::as_slice);
    let mut ids: Vec<String> = Vec::new();
    let mut warnings = Vec::new();
    for (number, sent) in parts.unwrap_or_default().iter().enumerate() {
        let place = sent["location"].as_object();
        let read = place.map_or_else(
            || Err(ApiError::bad_request("Documentation part location is required")),
            |place| Ok((place, Location::read(place)?, properties_text(&sent["properties"])?)),
        );
        let (sent_place, place, properties) = match read {
            Ok(read) => read,
            Err(problem) => {
                warnings.push(format!("documentationParts[{number}]: {}", problem.message));
                continue;
            }
        };
        let known_id = known.iter().find(|(other, _)| *other == place).map(|(_, id)| &**id);
        let part = put(context, api, known_id, sent_place, &properties);
        let id = support::text(&part, "id");
        if known_id.is_none() {
            known.push((place, id.into()));
        }
        if !ids.iter().any(|other| other == id) {
            ids.push(id.to_owned());
        }
        let kept = if overwrites { ids.len() } else { known.len() };
        if kept > PARTS_MAX {
            return Err(too_many());
        }
    }
    Ok((ids, warnings))
}

/// Stores a part; as it is answered.
fn put(
    context: &mut Context<'_>,
    api: &str,
    id: Option<&str>,
    location: &Body,
    properties: &str,
) -> Body {
    let id = id.map_or_else(
        || support::new_id(context, Kind::DocumentationPart, api, ID_LENGTH),
        str::to_owned,
    );
    let mut part = Body::new();
    part.insert("id".to_owned(), Value::from(id.as_str()));
    part.insert("location".to_owned(), Value::Object(location.clone()));
    part.insert("properties".to_owned(), Value::from(properties));
    context.txn.put(Kind::DocumentationPart, api, &id, part.clone());
    part
}

fn find(context: &Context<'_>, input: &Input) -> Result<Body, ApiError> {
    let (api, id) = (input.label("restapi_id"), input.label("part_id"));
    support::rest_api(context, api)?;
    let part = context.txn.get(Kind::DocumentationPart, api, id);
    let part =
        part.ok_or_else(|| ApiError::not_found("Invalid Documentation part identifier specified"))?;
    Ok(Body::clone(&part))
}

/// What a version freezes: the parts as they are now.
pub(super) fn snapshot(txn: &Txn, api: &str) -> Value {
    let parts = txn.list(Kind::DocumentationPart, api);
    Value::Array(parts.into_iter().map(|(_, part)| Value::Object(Body::clone(&part))).collect())
}

fn check_properties(properties: &str) -> Result<(), ApiError> {
    if properties.is_empty() {
        return Err(ApiError::bad_request("Documentation part properties must be non-empty"));
    }
    let object = serde_json::from_str::<Body>(properties);
    object
        .map(drop)
        .map_err(|_| ApiError::bad_request("Documentation part properties must be a JSON object"))
}

fn set_properties(part: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    check_properties(operation.value())?;
    part.insert("properties".to_owned(), Value::from(operation.value()));
    Ok(())
}

/// Documents hold properties as an object or as its text.
fn properties_text(sent: &Value) -> Result<String, ApiError> {
    let text = match sent {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    check_properties(&text)?;
    Ok(text)
}

/// An OpenAPI document, or a document with nothing but the extension; JSON or YAML.
fn read_document(payload: &[u8]) -> Result<Value, ApiError> {
    // Recorded.
    let wrong = || ApiError::bad_request("Unable to build importer with provided input.");
    if payload.len() as u64 > quotas::DEFINITION_BYTES_MAX {
        return Err(wrong());
    }
    let text = std::str::from_utf8(payload).map_err(|_| wrong())?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let document: Value = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|_| wrong())?
    } else {
        let bounds = yaml::Bounds { nodes: NODES_MAX, depth: DEPTH_MAX };
        yaml::parse(text, bounds).map_err(|_| wrong())?
    };
    let is_document =
        ["swagger", "openapi", EXTENSION].iter().any(|name| !document[*name].is_null());
    if is_document { Ok(document) } else { Err(wrong()) }
}

fn too_many() -> ApiError {
    ApiError::new(
        crate::admin::protocol::error::ErrorKind::LimitExceeded,
        format!("An API can have at most {PARTS_MAX} documentation parts"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::{Call, World, call, object};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    fn at() -> Call {
        call().uri("restapi_id", "api1234567")
    }

    fn create(world: &mut World, location: Value) -> String {
        let body = json!({"location": location, "properties": "{\"description\": \"d\"}"});
        world.id("CreateDocumentationPart", at().body(body), "id")
    }

    #[test]
    fn a_part_lives_as_it_was_sent() {
        let mut world = World::new(&[OPERATIONS]);
        let properties = "{\n\t\"description\": \"Sample API description\"\n}";
        let body = json!({"location": {"type": "API"}, "properties": properties});
        let made = world.ok("CreateDocumentationPart", at().body(body));
        let id = made["id"].as_str().unwrap();
        assert_eq!(made, json!({"id": id, "location": {"type": "API"}, "properties": properties}));
        let part = || at().uri("part_id", id);
        assert_eq!(world.ok("GetDocumentationPart", part()), made);
        assert_eq!(world.ok("GetDocumentationParts", at()), json!({"item": [made]}));
        let changed = part().patch(&[("replace", "/properties", json!("{\"a\": 1}"))]);
        assert_eq!(world.ok("UpdateDocumentationPart", changed)["properties"], "{\"a\": 1}");
        world.ok("DeleteDocumentationPart", part());
        assert_eq!(
            world.refused("GetDocumentationPart", part()),
            (ErrorKind::NotFound, "Invalid Documentation part identifier specified".to_owned())
        );
    }

    #[test]
    fn refusals_of_update_list_the_only_path() {
        let mut world = World::new(&[OPERATIONS]);
        let id = create(&mut world, json!({"type": "API"}));
        let mut refused = |op: &str, path: &str, value: Value| {
            let call = at().uri("part_id", &id).patch(&[(op, path, value)]);
            world.refused("UpdateDocumentationPart", call).1
        };
        assert_eq!(
            refused("replace", "/invalidPath", json!("x")),
            "Invalid patch path  '/invalidPath' specified for op 'replace'. \
             Must be one of: [/properties]"
        );
        assert_eq!(
            refused("add", "/properties", json!("x")),
            "Invalid patch path  '/properties' specified for op 'add'. \
             Please choose supported operations"
        );
        assert_eq!(
            refused("replace", "/properties", json!("")),
            "Documentation part properties must be non-empty"
        );
    }

    #[test]
    fn a_location_has_one_part_whatever_defaults_were_spelled_out() {
        let mut world = World::new(&[OPERATIONS]);
        create(&mut world, json!({"type": "METHOD", "path": "/pets"}));
        let again = json!({
            "location": {"type": "METHOD", "path": "/pets", "method": "*"}, "properties": "{}"
        });
        assert_eq!(
            world.refused("CreateDocumentationPart", at().body(again)).0,
            ErrorKind::Conflict
        );
        for wrong in [
            json!({"location": {"type": "MODEL"}, "properties": "{}"}),
            json!({"location": {"type": "API", "path": "/"}, "properties": "{}"}),
            json!({"location": {"type": "API"}, "properties": "[]"}),
            json!({"location": {"type": "API"}, "properties": ""}),
            json!({"properties": "{}"}),
        ] {
            let (kind, _) = world.refused("CreateDocumentationPart", at().body(wrong));
            assert_eq!(kind, ErrorKind::BadRequest);
        }
        let nowhere = call().uri("restapi_id", "nope");
        assert_eq!(
            world.refused("GetDocumentationParts", nowhere),
            (ErrorKind::NotFound, "Invalid API identifier specified 000000000000:nope".to_owned())
        );
    }

    #[test]
    fn parts_are_filtered_and_missing_ones_listed() {
        let mut world = World::new(&[OPERATIONS]);
        create(&mut world, json!({"type": "RESOURCE", "path": "/pets"}));
        create(&mut world, json!({"type": "MODEL", "name": "Pet"}));
        let model = world.ok("GetDocumentationParts", at().query("type", "MODEL"));
        assert_eq!(model["item"].as_array().unwrap().len(), 1);
        let path = world.ok("GetDocumentationParts", at().query("path", "/pets"));
        assert_eq!(path["item"][0]["location"]["type"], "RESOURCE");
        let name = world.ok("GetDocumentationParts", at().query("name", "Cat"));
        assert_eq!(name["item"], json!([]));

        let pets = json!({"path": "/pets", "resourceMethods": {"GET": {
            "requestParameters": {"method.request.querystring.q": false},
            "methodResponses": {"200": {}},
        }}});
        world.txn.put(Kind::Resource, "api1234567", "pets00", object(pets));
        world.txn.put(Kind::Model, "api1234567", "Pet", object(json!({"name": "Pet"})));
        let missing = at().query("locationStatus", "UNDOCUMENTED");
        let missing = world.ok("GetDocumentationParts", missing);
        let places: Vec<&Value> =
            missing["item"].as_array().unwrap().iter().map(|part| &part["location"]).collect();
        assert!(places.contains(&&json!({"type": "API"})));
        let query =
            json!({"type": "QUERY_PARAMETER", "path": "/pets", "method": "GET", "name": "q"});
        assert!(places.contains(&&query));
        assert!(!places.contains(&&json!({"type": "RESOURCE", "path": "/pets"})));
        assert!(!places.contains(&&json!({"type": "MODEL", "name": "Pet"})));
    }

    #[test]
    fn import_merges_or_overwrites() {
        let mut world = World::new(&[OPERATIONS]);
        let kept = create(&mut world, json!({"type": "API"}));
        create(&mut world, json!({"type": "MODEL", "name": "Old"}));
        let document = json!({"openapi": "3.0.0", "x-amazon-apigateway-documentation": {
            "documentationParts": [
                {"location": {"type": "API"}, "properties": {"description": "new"}},
                {"location": {"type": "MODEL", "name": "Pet"}, "properties": {"description": "p"}},
                {"location": {"type": "MODEL"}, "properties": {"description": "p"}},
            ]
        }});
        let import = || at().payload(document.to_string());
        let strict = import().query("failonwarnings", true);
        assert_eq!(world.refused("ImportDocumentationParts", strict).0, ErrorKind::BadRequest);
        let merged = world.ok("ImportDocumentationParts", import());
        assert_eq!(merged["ids"][0], kept.as_str());
        assert_eq!(merged["ids"].as_array().unwrap().len(), 2);
        assert_eq!(merged["warnings"].as_array().unwrap().len(), 1);
        let count = |world: &mut World| {
            world.ok("GetDocumentationParts", at())["item"].as_array().unwrap().len()
        };
        assert_eq!(count(&mut world), 3);
        world.ok("ImportDocumentationParts", import().query("mode", "overwrite"));
        assert_eq!(count(&mut world), 2);
        let part = world.ok("GetDocumentationPart", at().uri("part_id", &kept));
        assert_eq!(part["properties"], "{\"description\":\"new\"}");
        let yaml = "swagger: '2.0'\nx-amazon-apigateway-documentation:\n  documentationParts:\n  \
                    - location: {type: API}\n    properties: {description: y}\n";
        let yaml = world.ok("ImportDocumentationParts", at().payload(yaml));
        assert_eq!(yaml["ids"], json!([kept]));
    }

    #[test]
    fn what_is_no_document_cannot_be_imported() {
        let mut world = World::new(&[OPERATIONS]);
        for payload in ["", "{", "[]", "{}", "text", "&a [*a]", "\u{feff}"] {
            assert_eq!(
                world.refused("ImportDocumentationParts", at().payload(payload)),
                (ErrorKind::BadRequest, "Unable to build importer with provided input.".to_owned())
            );
        }
    }
}
