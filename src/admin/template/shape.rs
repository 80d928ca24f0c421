//! Properties of a template as members of a request, by AWS's service model.
//!
//! Names lose their capitals, numbers and flags become what the model wants, tables where the model
//! wants text become JSON text (a model's schema, a policy), and lists of `Key` and `Value` become
//! maps of tags. Keys of maps stay as they are. A property that the model does not know is refused
//! by name.

use serde_json::{Map, Number, Value as Json};

use super::functions::plain_text;
use super::kinds::{ID, Kind};
use super::{Fault, Object};
use crate::admin::protocol::model::{Form, Member, Service, ShapeId, Structure};

/// The members that a resource should have, as its creation and its patches name them.
pub(super) fn desired(kind: &Kind, id: &str, properties: &Object) -> Result<Object, Fault> {
    let structure = input(kind.service, kind.create);
    let mut members = Object::new();
    for (name, value) in properties {
        if kind.apart.contains(&name.as_str()) {
            continue;
        }
        let path = ["Resources", id, "Properties", name].map(str::to_owned);
        let renamed = kind.renamed.iter().find(|(known, _)| known == name);
        let wanted = renamed.map_or(name.as_str(), |(_, member)| *member);
        let found = structure.and_then(|structure| member(&structure.body, wanted));
        let Some((wire, found)) = found else {
            if kind.labels.iter().any(|(_, label)| *label != ID && label == name) {
                continue;
            }
            let message = format!("`{name}` is no property of {}", kind.name);
            return Err(Fault::new(&path, message));
        };
        let value = if wire == "tags" { tags(value) } else { value.clone() };
        let converted = convert(kind.service, found.shape, &value, &mut path.to_vec())?;
        members.insert(wire.to_owned(), converted);
    }
    Ok(members)
}

/// The same for a table within a resource, by the input of an operation of its own.
pub(super) fn part(
    service: Service,
    operation: &str,
    properties: &Object,
    skipped: &[&str],
    path: &[String],
) -> Result<Object, Fault> {
    let structure = input(service, operation);
    let mut members = Object::new();
    for (name, value) in properties {
        if skipped.contains(&name.as_str()) {
            continue;
        }
        let mut path: Vec<String> = path.iter().chain([name]).cloned().collect();
        let found = structure.and_then(|structure| member(&structure.body, name));
        let Some((wire, found)) = found else {
            return Err(Fault::new(&path, format!("`{name}` is not known here")));
        };
        members.insert(wire.to_owned(), convert(service, found.shape, value, &mut path)?);
    }
    Ok(members)
}

/// Whether an operation's input has this member in its body.
pub(super) fn takes(service: Service, operation: &str, wire: &str) -> bool {
    input(service, operation).is_some_and(|structure| structure.body.contains_key(wire))
}

fn input(service: Service, operation: &str) -> Option<&'static Structure> {
    service.model().operation(operation)?.input()
}

fn member<'a>(
    members: &'a indexmap::IndexMap<Box<str>, Member>,
    name: &str,
) -> Option<(&'a str, &'a Member)> {
    let same = |wire: &str, member: &Member| {
        wire.eq_ignore_ascii_case(name) || member.name.eq_ignore_ascii_case(name)
    };
    members.iter().find(|(wire, member)| same(wire, member)).map(|(wire, found)| (&**wire, found))
}

/// `[{Key, Value}]` as a map.
fn tags(value: &Json) -> Json {
    let Json::Array(items) = value else { return value.clone() };
    let pairs = items.iter().filter_map(|item| {
        let key = item.get("Key").and_then(plain_text)?;
        Some((key, Json::from(item.get("Value").and_then(plain_text).unwrap_or_default())))
    });
    Json::Object(pairs.collect())
}

fn convert(
    service: Service,
    shape: ShapeId,
    value: &Json,
    path: &mut Vec<String>,
) -> Result<Json, Fault> {
    let wrong =
        |path: &[String], wanted: &str| Err(Fault::new(path, format!("{wanted} is wanted")));
    match service.model().form(shape) {
        Some(Form::Structure(structure)) => {
            let Json::Object(object) = value else { return wrong(path, "a table") };
            let mut members = Map::new();
            for (name, value) in object {
                path.push(name.clone());
                let Some((wire, found)) = member(&structure.body, name) else {
                    return Err(Fault::new(path, format!("`{name}` is not known here")));
                };
                members.insert(wire.to_owned(), convert(service, found.shape, value, path)?);
                path.pop();
            }
            Ok(Json::Object(members))
        }
        Some(Form::List(item)) => {
            let items = match value {
                Json::Array(items) => items.as_slice(),
                // One where a list is wanted, as CloudFormation takes it.
                one => std::slice::from_ref(one),
            };
            let mut list = Vec::with_capacity(items.len());
            for (at, value) in items.iter().enumerate() {
                path.push(at.to_string());
                list.push(convert(service, *item, value, path)?);
                path.pop();
            }
            Ok(Json::Array(list))
        }
        Some(Form::Map(entry)) => {
            let Json::Object(object) = value else { return wrong(path, "a table") };
            let mut entries = Map::new();
            for (name, value) in object {
                path.push(name.clone());
                let value = entry_value(value);
                entries.insert(name.clone(), convert(service, *entry, &value, path)?);
                path.pop();
            }
            Ok(Json::Object(entries))
        }
        Some(Form::Integer(_) | Form::Long(_)) => {
            let number = plain_text(value).and_then(|text| text.trim().parse::<f64>().ok());
            match number.filter(|number| number.fract() == 0.0 && number.abs() < 1e15) {
                Some(number) => Ok(Json::from(number as i64)),
                None => wrong(path, "a whole number"),
            }
        }
        Some(Form::Double) => {
            let number = plain_text(value).and_then(|text| text.trim().parse::<f64>().ok());
            match number.and_then(Number::from_f64) {
                Some(number) => Ok(Json::Number(number)),
                None => wrong(path, "a number"),
            }
        }
        Some(Form::Boolean) => {
            match plain_text(value).unwrap_or_default().to_lowercase().as_str() {
                "true" => Ok(Json::from(true)),
                "false" => Ok(Json::from(false)),
                _ => wrong(path, "true or false"),
            }
        }
        _ => match plain_text(value) {
            Some(text) => Ok(Json::from(text)),
            None if value.is_null() => wrong(path, "a text"),
            // A schema or a policy.
            None => Ok(Json::from(value.to_string())),
        },
    }
}

/// Two forms that only templates have, in maps of v2: `{ResponseParameters: [{Source, Destination}]}`
/// for a map from destination to source, and `{Required: true}` for a flag by itself.
fn entry_value(value: &Json) -> Json {
    if let Some(list) = value.get("ResponseParameters").and_then(Json::as_array) {
        let pairs = list.iter().filter_map(|pair| {
            let destination = pair.get("Destination").and_then(plain_text)?;
            Some((destination, Json::from(pair.get("Source").and_then(plain_text)?)))
        });
        return Json::Object(pairs.collect());
    }
    value.clone()
}
