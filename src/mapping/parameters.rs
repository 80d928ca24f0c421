//! Request parameter mappings: values of the call that go into the integration's request.
//!
//! Recorded and documented rules: single-value sources take the last value; a source that is absent
//! means that nothing is mapped; some header names may not be set, and that shows only when a call
//! comes. AWS: "Amazon API Gateway API request and response data mapping reference".

use std::sync::Arc;

use http::HeaderName;
use indexmap::IndexMap;

use super::context::{CallContext, RouteFacts};
use super::sources::{BodyFault, BodySource, BodyText, Common};
use super::template::Overrides;
use super::view::Written;
use super::{CompileError, MappingError, Side, check_overrides, header_value};
use crate::call::{MappedParameters, PathValue};
use crate::model::rest_api::IntegrationKind;
use crate::net::query;

/// Headers that no mapping may set.
const NOT_ALLOWED: [&str; 4] =
    ["content-length", "transfer-encoding", "x-amzn-trace-id", "x-amzn-apigateway-api-id"];
/// Those that a mapping towards a service of AWS's may not set either.
const NOT_ALLOWED_FOR_AWS: [&str; 5] =
    ["authorization", "connection", "expect", "proxy-authenticate", "te"];

/// The request mappings of one integration.
#[derive(Debug, Default)]
pub struct RequestMapping {
    mappings: Box<[Mapping]>,
    reads_body: bool,
}

#[derive(Debug)]
struct Mapping {
    place: Place,
    source: Source,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName),
    ForbiddenHeader(HeaderName),
    Query(Arc<str>),
    Path(Arc<str>),
}

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Common(Common),
    Header(Written),
    AllHeaders(Written),
    Query(String),
    AllQuery(String),
    Path(String),
    Body(BodySource),
}

impl RequestMapping {
    /// Compiles `integration.request.{header|querystring|path}.X` → expression.
    pub fn compile(
        parameters: &IndexMap<String, String>,
        kind: IntegrationKind,
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        let mappings = parameters
            .iter()
            .map(|(key, expression)| {
                let bad_key = || CompileError::BadKey { key: key.clone() };
                let place = Place::parse(key, kind).ok_or_else(bad_key)?;
                let source = Source::parse(expression, route).ok_or_else(|| {
                    let (key, expression) = (key.clone(), expression.clone());
                    CompileError::BadExpression { key, expression }
                })?;
                Ok(Mapping { place, source })
            })
            .collect::<Result<Box<[Mapping]>, _>>()?;
        let reads_body = mappings.iter().any(|own| matches!(own.source, Source::Body(_)));
        Ok(Self { mappings, reads_body })
    }

    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// Whether a value comes from the request's body.
    pub fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Takes the values from a call; `body` is its text, where `reads_body` asks for it.
    ///
    /// # Errors
    /// A header that may not be set or cannot hold its value, a body that is no JSON.
    pub fn apply(
        &self,
        call: &CallContext<'_>,
        body: &str,
    ) -> Result<MappedParameters, MappingError> {
        let mut mapped = MappedParameters::default();
        let body = BodyText::new(body);
        for mapping in &self.mappings {
            mapping.apply(call, &body, &mut mapped)?;
        }
        Ok(mapped)
    }
}

impl Mapping {
    fn apply(
        &self,
        call: &CallContext<'_>,
        body: &BodyText<'_>,
        mapped: &mut MappedParameters,
    ) -> Result<(), MappingError> {
        let values = self.source.values(call, body)?;
        match &self.place {
            Place::ForbiddenHeader(_) | Place::Header(_) | Place::Path(_) if values.is_empty() => {}
            Place::ForbiddenHeader(name) => {
                return Err(MappingError::HeaderNotAllowed(name.clone()));
            }
            Place::Header(name) => {
                let value = header_value(name, &values.join(","))?;
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

fn is_forbidden(name: &HeaderName, kind: IntegrationKind) -> bool {
    let of_aws = matches!(kind, IntegrationKind::Aws | IntegrationKind::AwsProxy);
    NOT_ALLOWED.contains(&name.as_str()) || of_aws && NOT_ALLOWED_FOR_AWS.contains(&name.as_str())
}

/// What a template set in `$context.requestOverride` is the last word.
/// AWS: "Override your API's request and response parameters and status codes".
///
/// # Errors
/// A header that may not be set, or cannot be.
pub fn override_request(
    mapped: &mut MappedParameters,
    overrides: &Overrides,
    kind: IntegrationKind,
) -> Result<(), MappingError> {
    if overrides.is_empty() {
        return Ok(());
    }
    let (headers, query) = (overrides.request_headers(), overrides.request_query());
    check_overrides(&headers)?;
    check_overrides(&query)?;
    for (name, values) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let cause = format!("`{name}` is no name of a header");
            MappingError::Template { side: Side::Request, cause }
        })?;
        if is_forbidden(&name, kind) {
            return Err(MappingError::HeaderNotAllowed(name));
        }
        mapped.headers.retain(|(own, _)| *own != name);
        for value in values {
            mapped.headers.push((name.clone(), header_value(&name, &value)?));
        }
    }
    for (name, values) in query {
        mapped.query.retain(|(own, _)| **own != *name);
        let name: Arc<str> = Arc::from(name);
        mapped.query.extend(values.into_iter().map(|value| (Arc::clone(&name), value)));
    }
    for (name, value) in overrides.request_path() {
        mapped.path.retain(|(own, _)| **own != *name);
        mapped.path.push((Arc::from(name), PathValue::Text(value)));
    }
    Ok(())
}

impl Place {
    fn parse(key: &str, kind: IntegrationKind) -> Option<Self> {
        let place = key.strip_prefix("integration.request.")?;
        let (place, name) = place.split_once('.')?;
        if name.is_empty() {
            return None;
        }
        Some(match place {
            "header" => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                match is_forbidden(&name, kind) {
                    true => Place::ForbiddenHeader(name),
                    false => Place::Header(name),
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
        if let Some(common) = Common::parse(expression, route) {
            return common.map(Source::Common);
        }
        let rest = expression.strip_prefix("method.request.")?;
        if let Some(body) = BodySource::parse(rest) {
            return body.map(Source::Body);
        }
        let (kind, name) = rest.split_once('.')?;
        if name.is_empty() {
            return None;
        }
        let header = |of: fn(Written) -> Source| {
            let written = Written::parse(name)?;
            Some(if written.is_visible() { of(written) } else { Source::Common(Common::Absent) })
        };
        match kind {
            "header" => header(Source::Header),
            "multivalueheader" => header(Source::AllHeaders),
            "querystring" => Some(Source::Query(name.to_owned())),
            "multivaluequerystring" => Some(Source::AllQuery(name.to_owned())),
            "path" => Some(Source::Path(name.to_owned())),
            _ => None,
        }
    }

    /// Empty when the source is absent.
    fn values(
        &self,
        call: &CallContext<'_>,
        body: &BodyText<'_>,
    ) -> Result<Vec<String>, MappingError> {
        let one = match self {
            Source::Common(common) => common.value(call),
            Source::Header(written) => written.value(call).map(|value| value.into_owned()),
            Source::AllHeaders(written) => return Ok(written.values(call)),
            Source::Query(name) => call.query.and_then(|query| query::last(query, name)),
            Source::AllQuery(name) => {
                return Ok(call.query.map_or_else(Vec::new, |query| query::all(query, name)));
            }
            Source::Path(name) => call.path_parameters.get(name).map(str::to_owned),
            Source::Body(source) => source.value(body).map_err(|fault| match fault {
                BodyFault::NotJson => MappingError::RequestNotJson,
                BodyFault::TooMuch => MappingError::BodyTooMuch(Side::Request),
            })?,
        };
        Ok(one.into_iter().collect())
    }
}
