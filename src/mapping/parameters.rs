//! Request parameter mappings: values of the call that go into the integration's request.
//!
//! Recorded and documented rules: single-value sources take the last value; a source that is absent
//! means that nothing is mapped; some header names may not be set, and that shows only when a call
//! comes. AWS: "Amazon API Gateway API request and response data mapping reference".

use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};
use indexmap::IndexMap;

use super::context::{self, CallContext, RouteFacts};
use super::{CompileError, MappingError};
use crate::call::{MappedParameters, PathValue};
use crate::net::query;

/// Client headers that mappings do not see (recorded: header remapping tests).
const INVISIBLE: [&str; 12] = [
    "connection",
    "content-length",
    "content-md5",
    "expect",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "te",
    "transfer-encoding",
    "trailer",
    "upgrade",
    "www-authenticate",
];
/// Headers an HTTP integration's mapping may not set.
const NOT_ALLOWED: [&str; 4] =
    ["content-length", "transfer-encoding", "x-amzn-trace-id", "x-amzn-apigateway-api-id"];

/// The request mappings of one integration.
#[derive(Clone, Debug, Default)]
pub struct RequestMapping(Box<[Mapping]>);

#[derive(Clone, Debug)]
struct Mapping {
    place: Place,
    source: Source,
}

#[derive(Clone, Debug)]
enum Place {
    Header(HeaderName),
    ForbiddenHeader(HeaderName),
    Query(Arc<str>),
    Path(Arc<str>),
}

/// Where a value comes from.
#[derive(Clone, Debug)]
enum Source {
    Fixed(String),
    Header(HeaderName),
    AllHeaders(HeaderName),
    Query(String),
    AllQuery(String),
    Path(String),
    Context(Box<str>),
    /// Known to have no value, such as an unset stage variable.
    Absent,
}

impl RequestMapping {
    /// Compiles `integration.request.{header|querystring|path}.X` → expression.
    pub fn compile(
        parameters: &IndexMap<String, String>,
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        parameters
            .iter()
            .map(|(key, expression)| {
                let place =
                    Place::parse(key).ok_or_else(|| CompileError::BadKey { key: key.clone() })?;
                let source = Source::parse(expression, route).ok_or_else(|| {
                    let (key, expression) = (key.clone(), expression.clone());
                    CompileError::BadExpression { key, expression }
                })?;
                Ok(Mapping { place, source })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Takes the values from a call. Without mappings it costs nothing.
    pub fn apply(&self, call: &CallContext<'_>) -> Result<MappedParameters, MappingError> {
        let mut mapped = MappedParameters::default();
        for mapping in &self.0 {
            mapping.apply(call, &mut mapped)?;
        }
        Ok(mapped)
    }
}

impl Mapping {
    fn apply(
        &self,
        call: &CallContext<'_>,
        mapped: &mut MappedParameters,
    ) -> Result<(), MappingError> {
        let values = self.source.values(call);
        match &self.place {
            Place::ForbiddenHeader(_) | Place::Header(_) | Place::Path(_) if values.is_empty() => {}
            Place::ForbiddenHeader(name) => {
                return Err(MappingError::HeaderNotAllowed(name.clone()));
            }
            Place::Header(name) => {
                let joined = values.join(",");
                let value = HeaderValue::from_str(&joined)
                    .map_err(|_| MappingError::BadHeaderValue(name.clone()))?;
                mapped.headers.push((name.clone(), value));
            }
            Place::Query(name) => {
                mapped.query.extend(values.into_iter().map(|value| (name.clone(), value)));
            }
            Place::Path(name) => {
                let joined = values.join(",");
                let value = match &self.source {
                    Source::Path(_) => PathValue::Raw(joined),
                    _ => PathValue::Text(joined),
                };
                mapped.path.push((name.clone(), value));
            }
        }
        Ok(())
    }
}

impl Place {
    fn parse(key: &str) -> Option<Self> {
        let place = key.strip_prefix("integration.request.")?;
        let (kind, name) = place.split_once('.')?;
        if name.is_empty() {
            return None;
        }
        Some(match kind {
            "header" => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                if NOT_ALLOWED.contains(&name.as_str()) {
                    Place::ForbiddenHeader(name)
                } else {
                    Place::Header(name)
                }
            }
            "querystring" => Place::Query(Arc::from(name)),
            "path" => Place::Path(Arc::from(name)),
            _ => return None,
        })
    }
}

impl Source {
    fn parse(expression: &str, route: &RouteFacts<'_>) -> Option<Self> {
        if let Some(text) = quoted(expression) {
            return Some(Source::Fixed(text.to_owned()));
        }
        if let Some(name) = expression.strip_prefix("stageVariables.") {
            return Some(stage_variable(name, route).map_or(Source::Absent, Source::Fixed));
        }
        if let Some(name) = expression.strip_prefix("context.") {
            if !context::is_known(name) {
                return None;
            }
            return Some(match context::fixed(name, route) {
                Some(text) => text.map_or(Source::Absent, |text| Source::Fixed(text.into_owned())),
                None => Source::Context(name.into()),
            });
        }
        let (kind, name) = expression.strip_prefix("method.request.")?.split_once('.')?;
        if name.is_empty() {
            return None;
        }
        let visible = || {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((!INVISIBLE.contains(&name.as_str())).then_some(name))
        };
        Some(match kind {
            "header" => visible()?.map_or(Source::Absent, Source::Header),
            "multivalueheader" => visible()?.map_or(Source::Absent, Source::AllHeaders),
            "querystring" => Source::Query(name.to_owned()),
            "multivaluequerystring" => Source::AllQuery(name.to_owned()),
            "path" => Source::Path(name.to_owned()),
            _ => return None,
        })
    }

    /// Empty when the source is absent.
    fn values(&self, call: &CallContext<'_>) -> Vec<String> {
        let one = match self {
            Source::Absent => None,
            Source::Fixed(text) => Some(text.clone()),
            Source::Header(header::HOST) => call
                .headers
                .get(header::HOST)
                .map_or_else(|| Some(call.domain_name.to_owned()), |value| Some(text(value))),
            Source::Header(name) => call.headers.get_all(name).iter().next_back().map(text),
            Source::AllHeaders(name) => {
                return call.headers.get_all(name).iter().map(text).collect();
            }
            Source::Query(name) => call.query.and_then(|query| query::last(query, name)),
            Source::AllQuery(name) => {
                return call.query.map_or_else(Vec::new, |query| query::all(query, name));
            }
            Source::Path(name) => call.path_parameters.get(name).map(str::to_owned),
            Source::Context(name) => call.text(name).map(|value| value.into_owned()),
        };
        one.into_iter().collect()
    }
}

/// The text between single quotes.
pub(super) fn quoted(expression: &str) -> Option<&str> {
    expression.strip_prefix('\'')?.strip_suffix('\'')
}

pub(super) fn stage_variable(name: &str, route: &RouteFacts<'_>) -> Option<String> {
    route.stage_variables.get(name).cloned()
}

/// Header bytes as text: UTF-8, which is what clients send where it is not ASCII.
pub(super) fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
