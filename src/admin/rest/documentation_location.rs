//! What a documentation part is about: which members each type of entity takes, and which places
//! an API has.
//!
//! AWS: API Gateway API Reference, "DocumentationPartLocation".

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::support;
use crate::admin::protocol::error::ApiError;
use crate::store::control::{Body, Kind, Txn};

/// A type of entity and the members that locate it.
struct Type {
    name: &'static str,
    has_path: bool,
    has_method: bool,
    has_status: bool,
    needs_name: bool,
}

const fn kind(name: &'static str, places: [bool; 4]) -> Type {
    let [has_path, has_method, has_status, needs_name] = places;
    Type { name, has_path, has_method, has_status, needs_name }
}

/// Columns: path, method, status code, name.
const TYPES: &[Type] = &[
    kind("API", [false, false, false, false]),
    kind("AUTHORIZER", [false, false, false, true]),
    kind("MODEL", [false, false, false, true]),
    kind("RESOURCE", [true, false, false, false]),
    kind("METHOD", [true, true, false, false]),
    kind("PATH_PARAMETER", [true, true, false, true]),
    kind("QUERY_PARAMETER", [true, true, false, true]),
    kind("REQUEST_HEADER", [true, true, false, true]),
    kind("REQUEST_BODY", [true, true, false, false]),
    kind("RESPONSE", [true, true, true, false]),
    kind("RESPONSE_HEADER", [true, true, true, true]),
    kind("RESPONSE_BODY", [true, true, true, false]),
];

/// A location with its defaults filled in: path `/`, method and status code `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    kind: &'static str,
    path: Option<String>,
    method: Option<String>,
    status: Option<String>,
    name: Option<String>,
}

impl Location {
    /// Of a request or a document; refused when a member does not go with the type.
    pub(super) fn read(sent: &Body) -> Result<Self, ApiError> {
        let sent_kind = support::text(sent, "type");
        let kind = TYPES.iter().find(|kind| kind.name == sent_kind).ok_or_else(|| {
            ApiError::bad_request(format!("Invalid documentation part type specified: {sent_kind}"))
        })?;
        let member =
            |name: &str, allowed: bool, default: &str| match (support::text(sent, name), allowed) {
                ("", false) => Ok(None),
                ("", true) => Ok(Some(default.to_owned())),
                (text, true) => Ok(Some(text.to_owned())),
                (_, false) => Err(ApiError::bad_request(format!(
                    "Invalid location: {name} is not allowed for type {sent_kind}"
                ))),
            };
        let name = member("name", kind.needs_name, "")?;
        if name.as_deref() == Some("") {
            return Err(ApiError::bad_request(format!(
                "Invalid location: name is required for type {sent_kind}"
            )));
        }
        Ok(Self {
            kind: kind.name,
            path: member("path", kind.has_path, "/")?,
            method: member("method", kind.has_method, "*")?,
            status: member("statusCode", kind.has_status, "*")?,
            name,
        })
    }

    /// Of a stored part.
    pub(super) fn of(part: &Body) -> Option<Self> {
        Self::read(part.get("location")?.as_object()?).ok()
    }

    /// As answers show it.
    pub(super) fn into_body(self) -> Body {
        let mut body = Body::new();
        body.insert("type".to_owned(), Value::from(self.kind));
        let members = [
            ("path", self.path),
            ("method", self.method),
            ("statusCode", self.status),
            ("name", self.name),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                body.insert(name.to_owned(), Value::from(value));
            }
        }
        body
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "type '{}'", self.kind)?;
        let members = [
            ("path", &self.path),
            ("method", &self.method),
            ("statusCode", &self.status),
            ("name", &self.name),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                write!(out, ", {name} '{value}'")?;
            }
        }
        Ok(())
    }
}

/// Every place of an API that a part could be about.
pub(super) fn entities(txn: &Txn, api: &str) -> BTreeSet<Location> {
    let mut found = Entities::default();
    found.add("API", "", "", "", "");
    for (_, authorizer) in txn.list(Kind::Authorizer, api) {
        found.add("AUTHORIZER", "", "", "", support::text(&authorizer, "name"));
    }
    for (_, model) in txn.list(Kind::Model, api) {
        found.add("MODEL", "", "", "", support::text(&model, "name"));
    }
    for (_, resource) in txn.list(Kind::Resource, api) {
        let path = support::text(&resource, "path");
        found.add("RESOURCE", path, "", "", "");
        let methods = resource.get("resourceMethods").and_then(Value::as_object);
        for (verb, method) in methods.into_iter().flatten() {
            found.add_method(path, verb, method);
        }
    }
    found.0
}

#[derive(Default)]
struct Entities(BTreeSet<Location>);

impl Entities {
    /// Empty texts are members the type does not have; what lacks a name cannot be located.
    fn add(&mut self, kind: &'static str, path: &str, method: &str, status: &str, name: &str) {
        let members = [
            ("type", kind),
            ("path", path),
            ("method", method),
            ("statusCode", status),
            ("name", name),
        ];
        let body = members.into_iter().filter(|(_, text)| !text.is_empty());
        let body = body.map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
        self.0.extend(Location::read(&body));
    }

    fn add_method(&mut self, path: &str, verb: &str, method: &Value) {
        self.add("METHOD", path, verb, "", "");
        for (parameter, _) in method["requestParameters"].as_object().into_iter().flatten() {
            let kinds = [
                ("method.request.path.", "PATH_PARAMETER"),
                ("method.request.querystring.", "QUERY_PARAMETER"),
                ("method.request.header.", "REQUEST_HEADER"),
            ];
            for (prefix, kind) in kinds {
                if let Some(name) = parameter.strip_prefix(prefix) {
                    self.add(kind, path, verb, "", name);
                }
            }
        }
        if method["requestModels"].as_object().is_some_and(|models| !models.is_empty()) {
            self.add("REQUEST_BODY", path, verb, "", "");
        }
        for (status, response) in method["methodResponses"].as_object().into_iter().flatten() {
            self.add("RESPONSE", path, verb, status, "");
            for (header, _) in response["responseParameters"].as_object().into_iter().flatten() {
                if let Some(name) = header.strip_prefix("method.response.header.") {
                    self.add("RESPONSE_HEADER", path, verb, status, name);
                }
            }
            if response["responseModels"].as_object().is_some_and(|models| !models.is_empty()) {
                self.add("RESPONSE_BODY", path, verb, status, "");
            }
        }
    }
}
