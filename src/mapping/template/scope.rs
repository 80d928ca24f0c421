//! What can a template see of a call, and what does it leave behind?
//!
//! Everything is looked up when a template asks for it. What a template overrides is plain data
//! that may wait for the integration's answer: overrides of a request template can be read in the
//! response template of the same call (recorded, rest-data-plane 5.7).

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::meter::Limits;
use super::value::Value;

/// The name in `$context.responseOverride`.
pub(super) const STATUS: &str = "status";

/// A call as a template sees it.
pub struct Scope<'a> {
    pub input: Input<'a>,
    /// `$context`, but for the overrides.
    pub context: &'a dyn Variables,
    pub stage_variables: &'a IndexMap<String, String>,
    /// What templates of this call have set so far; rendering adds to it.
    pub overrides: Overrides,
    pub limits: Limits,
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Body, parameters and variables may hold secrets.
        out.debug_struct("Scope").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// `$input`.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Of the request, or in a response template the integration's. Empty is the same as `{}`.
    pub body: &'a str,
    /// Of the request, in both kinds of templates.
    pub parameters: &'a dyn Parameters,
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Input").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Where a parameter of the request stands, in the order `$input.params('x')` looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    pub(crate) const ALL: [Place; 3] = [Place::Path, Place::Query, Place::Header];

    /// The key in `$input.params()`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Path => "path",
            Place::Query => "querystring",
            Place::Header => "header",
        }
    }
}

/// The parameters of the request.
pub trait Parameters {
    /// One value; of several the last.
    fn get<'a>(&'a self, place: Place, name: &str) -> Option<Cow<'a, str>>;
    /// All of a place, each name once, with its last value.
    fn all<'a>(&'a self, place: Place) -> Vec<(Cow<'a, str>, Cow<'a, str>)>;
}

/// Parameters as lists of name and value; of a repeated name the last counts.
#[derive(Clone, Debug, Default)]
pub struct ListedParameters {
    pub path: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    pub header: Vec<(String, String)>,
}

impl ListedParameters {
    fn list(&self, place: Place) -> &[(String, String)] {
        match place {
            Place::Path => &self.path,
            Place::Query => &self.query,
            Place::Header => &self.header,
        }
    }
}

impl Parameters for ListedParameters {
    fn get<'a>(&'a self, place: Place, name: &str) -> Option<Cow<'a, str>> {
        let found = self.list(place).iter().rev().find(|(own, _)| own == name);
        found.map(|(_, value)| Cow::Borrowed(value.as_str()))
    }

    fn all<'a>(&'a self, place: Place) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let last: IndexMap<&str, &str> =
            self.list(place).iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        last.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }
}

/// `$context`, but for `requestOverride` and `responseOverride`, which the engine keeps itself.
pub trait Variables {
    /// The value at a path of names joined by dots, such as `identity.sourceIp`: a text, or a map
    /// for `identity` or `authorizer`; the empty path is the whole. `None` is undefined.
    fn get<'a>(&'a self, path: &str) -> Option<Value<'a>>;
}

/// Variables as one JSON object, for tests and for whatever is at hand as JSON.
impl Variables for Json {
    fn get<'a>(&'a self, path: &str) -> Option<Value<'a>> {
        let found = match path {
            "" => Some(self),
            path => path.split('.').try_fold(self, |at, name| at.get(name)),
        };
        found.filter(|value| !value.is_null()).map(Value::from)
    }
}

/// What templates of a call have put into `$context.requestOverride` and `.responseOverride`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    pub(super) request: Map<String, Json>,
    pub(super) response: Map<String, Json>,
}

impl Overrides {
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }

    /// Headers for the integration; several values where a template set a list.
    pub fn request_headers(&self) -> Vec<(&str, Vec<String>)> {
        members(&self.request, "header")
    }

    pub fn request_query(&self) -> Vec<(&str, Vec<String>)> {
        members(&self.request, "querystring")
    }

    /// Values of `{name}` in the integration's address.
    pub fn request_path(&self) -> Vec<(&str, String)> {
        let all = members(&self.request, "path").into_iter();
        all.map(|(name, values)| (name, values.into_iter().next_back().unwrap_or_default()))
            .collect()
    }

    /// Headers for the client.
    pub fn response_headers(&self) -> Vec<(&str, Vec<String>)> {
        members(&self.response, "header")
    }

    /// `None` where it is not set, or not an integer from 100 to 599; a text is none.
    pub fn response_status(&self) -> Option<u16> {
        let status = u16::try_from(self.response.get(STATUS)?.as_u64()?).ok()?;
        (100..=599).contains(&status).then_some(status)
    }
}

fn members<'o>(all: &'o Map<String, Json>, group: &str) -> Vec<(&'o str, Vec<String>)> {
    let Some(Json::Object(members)) = all.get(group) else { return Vec::new() };
    let values = |value: &Json| match value {
        Json::Array(items) => items.iter().map(plain).collect(),
        one => vec![plain(one)],
    };
    members.iter().map(|(name, value)| (name.as_str(), values(value))).collect()
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        Json::Number(number) => match number.as_f64() {
            Some(real) if number.is_f64() => super::number::double_text(real),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
