//! From what a resource was to what it should be: patch operations (v1) and members (v2).
//!
//! The paths are those of the API's tables of patch operations; values travel as text. What a
//! template does not name any more goes back to its default.
//!
//! AWS: API Gateway REST API Reference, "Patch Operations"; V2 API Reference, the update operations.

use serde_json::{Value as Json, json};

use super::functions::plain_text;
use super::{Object, text};

/// Lists whose items are patched by value, with the path of the list.
const BY_VALUE: [(&str, &str); 4] = [
    ("providerARNs", "/providerARNs"),
    ("stageKeys", "/stages"),
    ("authorizationScopes", "/authorizationScopes"),
    ("vpcEndpointIds", "/endpointConfiguration/vpcEndpointIds"),
];
/// Tables that are removed whole.
const WHOLE: [&str; 5] =
    ["accessLogSettings", "canarySettings", "mutualTlsAuthentication", "quota", "throttle"];
/// Maps whose entries are patched by key.
const MAPS: [&str; 2] = ["variables", "stageVariableOverrides"];
/// AWS: "CreateAuthorizer", `authorizerResultTtlInSeconds`.
const AUTHORIZER_TTL: &str = "300";

/// Patch operations that lead from `old` to `new`; tags are not among them.
pub(super) fn operations(old: &Object, new: &Object) -> Vec<Json> {
    let mut found = Vec::new();
    members("", old, new, &mut found);
    found
}

fn members(base: &str, old: &Object, new: &Object, found: &mut Vec<Json>) {
    let none = Json::Null;
    for name in names(old, new) {
        let (was, is) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        if was != is && name != "tags" {
            member(base, name, was, is, found);
        }
    }
}

fn names<'a>(old: &'a Object, new: &'a Object) -> Vec<&'a String> {
    old.keys().filter(|name| !new.contains_key(*name)).chain(new.keys()).collect()
}

fn member(base: &str, name: &str, was: &Json, is: &Json, found: &mut Vec<Json>) {
    let path = format!("{base}/{name}");
    let empty = Object::new();
    let (old, new) = (was.as_object().unwrap_or(&empty), is.as_object().unwrap_or(&empty));
    if let Some((_, path)) = BY_VALUE.iter().find(|(known, _)| *known == name) {
        return by_value(path, &items(name, was), &items(name, is), found);
    }
    match name {
        "apiStages" => api_stages(was, is, found),
        "binaryMediaTypes" => {
            let (was, is) = (items(name, was), items(name, is));
            for item in was.iter().filter(|item| !is.contains(item)) {
                found.push(json!({"op": "remove", "path": format!("{path}/{}", escape(item))}));
            }
            for item in is.iter().filter(|item| !was.contains(item)) {
                found.push(json!({"op": "add", "path": format!("{path}/{}", escape(item))}));
            }
        }
        "types" => {
            let first = items(name, is).into_iter().next().unwrap_or_else(|| "EDGE".to_owned());
            found.push(replace(&format!("{path}/0"), &first));
        }
        "methodSettings" => method_settings(old, new, found),
        "restApiId" => found.push(replace("/restapiId", &plain_text(is).unwrap_or_default())),
        name if MAPS.contains(&name) => {
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                found.push(json!({"op": "remove", "path": format!("{path}/{}", escape(key))}));
            }
            for (key, value) in new.iter().filter(|(key, value)| old.get(*key) != Some(*value)) {
                let value = plain_text(value).unwrap_or_default();
                found.push(replace(&format!("{path}/{}", escape(key)), &value));
            }
        }
        name if WHOLE.contains(&name) && is.is_null() => {
            found.push(json!({"op": "remove", "path": path}));
        }
        _ if was.is_object() || is.is_object() => members(&path, old, new, found),
        "minimumCompressionSize" if is.is_null() => {
            found.push(json!({"op": "replace", "path": path}));
        }
        "authorizerResultTtlInSeconds" if is.is_null() => {
            found.push(replace(&path, AUTHORIZER_TTL));
        }
        // AWS: "EndpointConfiguration", `ipAddressType`: what public APIs have by default.
        "ipAddressType" if is.is_null() => found.push(replace(&path, "ipv4")),
        _ if is.is_null() && was.is_boolean() => found.push(replace(&path, "false")),
        _ => {
            let value = plain_text(is).unwrap_or_else(|| match is {
                Json::Null => String::new(),
                other => other.to_string(),
            });
            found.push(replace(&path, &value));
        }
    }
}

fn replace(path: &str, value: &str) -> Json {
    json!({"op": "replace", "path": path, "value": value})
}

/// RFC 6901 section 3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Items as text; a key's stage is `api/stage`.
fn items(name: &str, list: &Json) -> Vec<String> {
    let one = |item: &Json| match name {
        "stageKeys" => item.as_object().map(|key| {
            let (api, stage) = (text(key, "restApiId"), text(key, "stageName"));
            format!("{}/{}", api.unwrap_or_default(), stage.unwrap_or_default())
        }),
        _ => plain_text(item),
    };
    list.as_array().map(|items| items.iter().filter_map(one).collect()).unwrap_or_default()
}

fn by_value(path: &str, was: &[String], is: &[String], found: &mut Vec<Json>) {
    for item in was.iter().filter(|item| !is.contains(item)) {
        found.push(json!({"op": "remove", "path": path, "value": item}));
    }
    for item in is.iter().filter(|item| !was.contains(item)) {
        found.push(json!({"op": "add", "path": path, "value": item}));
    }
}

/// A usage plan's stages, `api:stage`, each with limits of its own.
fn api_stages(was: &Json, is: &Json, found: &mut Vec<Json>) {
    let keyed = |list: &Json| -> Vec<(String, Json)> {
        let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let named =
            |item: &Json, name: &str| item.get(name).and_then(plain_text).unwrap_or_default();
        let key = |item: &Json| format!("{}:{}", named(item, "apiId"), named(item, "stage"));
        items
            .iter()
            .map(|item| (key(item), item.get("throttle").cloned().unwrap_or(Json::Null)))
            .collect()
    };
    let (was, is) = (keyed(was), keyed(is));
    let find = |list: &[(String, Json)], key: &str| {
        list.iter().find(|(known, _)| known == key).map(|(_, throttle)| throttle.clone())
    };
    for (key, _) in was.iter().filter(|(key, _)| find(&is, key).is_none()) {
        found.push(json!({"op": "remove", "path": "/apiStages", "value": key}));
    }
    for (key, throttle) in &is {
        let before = find(&was, key);
        if before.is_none() {
            found.push(json!({"op": "add", "path": "/apiStages", "value": key}));
        }
        let path = format!("/apiStages/{key}/throttle");
        match (before.unwrap_or(Json::Null), throttle) {
            (before, now) if before == *now => {}
            (_, Json::Null) => found.push(json!({"op": "remove", "path": path})),
            (_, now) => found.push(replace(&path, &now.to_string())),
        }
    }
}

/// A method's settings: `/{key}/logging/loglevel` and their like. A setting that is not named any
/// more cannot be taken back alone, so its entry is removed and made again.
fn method_settings(old: &Object, new: &Object, found: &mut Vec<Json>) {
    let empty = Object::new();
    for (key, was) in old {
        let was = was.as_object().unwrap_or(&empty);
        let is = new.get(key).and_then(Json::as_object).unwrap_or(&empty);
        if was.keys().any(|name| !is.contains_key(name)) {
            found.push(json!({"op": "remove", "path": format!("/{key}")}));
        }
    }
    for (key, is) in new {
        let is = is.as_object().unwrap_or(&empty);
        let was = old.get(key).and_then(Json::as_object).unwrap_or(&empty);
        let is_fresh = was.keys().any(|name| !is.contains_key(name));
        for (path, value) in is {
            if is_fresh || was.get(path) != Some(value) {
                let value = plain_text(value).unwrap_or_default();
                found.push(replace(&format!("/{key}/{path}"), &value));
            }
        }
    }
}

/// Members of a v2 update: those that changed, and empty ones for those that are gone.
pub(super) fn changed_members(old: &Object, new: &Object) -> Object {
    let none = Json::Null;
    let mut found = Object::new();
    for name in names(old, new) {
        let (was, is) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        if was == is || name == "tags" {
            continue;
        }
        let value = match (was, is) {
            (Json::Object(was), Json::Object(is)) => {
                // An entry is taken away by an empty value of its kind.
                let gone = was.iter().filter(|(key, _)| !is.contains_key(*key));
                let gone = gone.map(|(key, value)| (key.clone(), emptied(value)));
                Json::Object(gone.chain(is.clone()).collect())
            }
            (was, Json::Null) => emptied(was),
            (_, is) => is.clone(),
        };
        found.insert(name.clone(), value);
    }
    found
}

fn emptied(value: &Json) -> Json {
    match value {
        Json::Bool(_) => Json::from(false),
        Json::Array(_) => json!([]),
        Json::Object(_) => json!({}),
        Json::Number(_) => Json::from(0),
        _ => json!(""),
    }
}
