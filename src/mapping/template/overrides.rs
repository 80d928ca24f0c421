//! `$context.requestOverride` and `.responseOverride`: from plain data to values that a template
//! may change, and back.

use serde_json::{Map as JsonMap, Value as Json};

use super::meter::{Meter, RenderError};
use super::print::to_text;
use super::scope::{Overrides, STATUS};
use super::value::{Entries, Key, Map, Text, Value};

const REQUEST: &str = "requestOverride";
const RESPONSE: &str = "responseOverride";
/// The variables of `$context` that templates are meant to set.
pub(super) const GROUPS: [&str; 2] = [REQUEST, RESPONSE];

/// Where parameters stand that can be overridden by name.
const PARAMETERS: [(&str, &str); 4] =
    [(REQUEST, HEADER), (REQUEST, "path"), (REQUEST, "querystring"), (RESPONSE, HEADER)];
const HEADER: &str = "header";

/// The parameter that an entry `name` of `map` overrides, if it does: AWS takes one override of
/// each. Names of headers are the same in any case.
pub(super) fn parameter<'r>(overlay: &Map<'r>, map: &Map<'r>, name: &str) -> Option<String> {
    let is_status = name == STATUS && child(overlay, RESPONSE).is_some_and(|own| own.is(map));
    if is_status {
        return Some(format!("{RESPONSE}.{STATUS}"));
    }
    let (side, group) = PARAMETERS.into_iter().find(|(side, group)| {
        let own = child(overlay, side).and_then(|side| child(&side, group));
        own.is_some_and(|own| own.is(map))
    })?;
    Some(match group {
        HEADER => format!("{side}.{group}.{}", name.to_ascii_lowercase()),
        _ => format!("{side}.{group}.{name}"),
    })
}

fn child<'r>(of: &Map<'r>, name: &str) -> Option<Map<'r>> {
    match of.get(name) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    }
}

/// Both maps, with the groups that AWS has in them from the beginning (recorded).
pub(super) fn open<'r>(before: &Overrides) -> Map<'r> {
    let groups = |names: &[&'static str], before: &JsonMap<String, Json>| {
        let mut entries = Entries::default();
        for name in names {
            entries.insert(key(name), Value::Map(Map::new(Entries::default())));
        }
        for (name, value) in before {
            entries.insert(Key::Text(Text::from(name.clone())), Value::from(value));
        }
        Value::Map(Map::new(entries))
    };
    let mut both = Entries::default();
    both.insert(key(REQUEST), groups(&["path", "header", "querystring"], &before.request));
    both.insert(key(RESPONSE), groups(&["header"], &before.response));
    Map::new(both)
}

fn key<'r>(name: &'static str) -> Key<'r> {
    Key::Text(Text::Borrowed(name))
}

/// What the maps hold after a rendering.
pub(super) fn close(overlay: &Map<'_>, meter: &Meter) -> Result<Overrides, RenderError> {
    let members = |name: &str| -> Result<JsonMap<String, Json>, RenderError> {
        let Some(value @ Value::Map(_)) = overlay.get(name) else { return Ok(JsonMap::new()) };
        let Json::Object(mut members) = plain(&value, meter, 0)? else { return Ok(JsonMap::new()) };
        members.retain(|_, value| value.as_object().is_none_or(|group| !group.is_empty()));
        Ok(members)
    };
    Ok(Overrides { request: members(REQUEST)?, response: members(RESPONSE)? })
}

fn plain(value: &Value<'_>, meter: &Meter, depth: usize) -> Result<Json, RenderError> {
    meter.step()?;
    meter.depth(depth)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Long(number) => Json::from(*number),
        Value::Double(number) => Json::from(*number),
        Value::List(list) => {
            let items: Result<Vec<Json>, RenderError> =
                list.items().iter().map(|item| plain(item, meter, depth + 1)).collect();
            Json::Array(items?)
        }
        Value::Map(map) => {
            let mut members = JsonMap::new();
            for (key, value) in map.entries().iter() {
                let name = to_text(&key.value(), meter)?;
                members.insert(name.to_string(), plain(value, meter, depth + 1)?);
            }
            Json::Object(members)
        }
        other => Json::String(to_text(other, meter)?.to_string()),
    })
}
