//! Is the request one that the method takes?
//!
//! Required parameters first, then the body: what is wrong with both is wrong with the parameters
//! (recorded). Without a request validator nothing is asked of anybody.
//!
//! AWS: Developer Guide, "Request validation for REST APIs in API Gateway"; recorded: a blank value
//! is missing, the order of the names, a path parameter that the path does not have is always
//! missing (rest-data-plane 4.1, 4.2).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use super::context::PathParameters;
use super::schema::{Model, Models};
use crate::model::rest_api::Method;
use crate::net::query;

/// A body without a media type is JSON.
const JSON: &str = "application/json";
/// The key of the model for every media type that has none of its own.
const ANY_OTHER: &str = "$default";

/// What one method asks of its requests.
#[derive(Clone, Debug, Default)]
pub struct RequestValidation {
    /// In the order in which AWS names them.
    required: Box<[Required]>,
    by_type: Box<[(Box<str>, Arc<Model>)]>,
    any_other: Option<Arc<Model>>,
}

#[derive(Clone, Debug)]
struct Required {
    /// As it was declared.
    name: Box<str>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Header(HeaderName),
    Query,
    Path,
    /// Nothing that a request could have.
    Nowhere,
}

/// A request as far as its parameters go.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    pub headers: &'a HeaderMap,
    /// As the client sent it, without `?`.
    pub query: Option<&'a str>,
    pub path: PathParameters<'a>,
    /// The host the client called: HTTP/2 and HTTP/3 have no header for it.
    pub host: &'a str,
}

impl RequestValidation {
    /// `None` where the method asks nothing. Models that are not among `models` ask nothing.
    pub fn compile(method: &Method, models: &Models) -> Option<Self> {
        let asked = method.validation.as_ref()?;
        let mut keys: Vec<&str> = Vec::new();
        if asked.parameters {
            let required = method.request_parameters.iter().filter(|(_, required)| **required);
            keys.extend(required.map(|(key, _)| key.as_str()));
        }
        keys.sort_unstable();
        let mut by_type = Vec::new();
        let mut any_other = None;
        for (key, name) in asked.body.iter().flatten() {
            let Some(model) = models.get(name) else { continue };
            match key.as_str() {
                ANY_OTHER => any_other = Some(Arc::clone(model)),
                key => by_type.push((media_type(key).into(), Arc::clone(model))),
            }
        }
        let own = Self {
            required: keys.into_iter().filter_map(Required::parse).collect(),
            by_type: by_type.into(),
            any_other,
        };
        let asks = !own.required.is_empty() || own.asks_for_bodies();
        asks.then_some(own)
    }

    /// Whether any body may have to be read for this method.
    pub fn asks_for_bodies(&self) -> bool {
        !self.by_type.is_empty() || self.any_other.is_some()
    }

    /// AWS's message where required parameters are missing. Allocates only then, and for query
    /// parameters.
    pub fn missing(&self, request: &Parameters<'_>) -> Option<String> {
        let mut message = String::new();
        for own in self.required.iter().filter(|own| !own.is_in(request)) {
            message.push_str(if message.is_empty() {
                "Missing required request parameters: ["
            } else {
                ", "
            });
            message.push_str(&own.name);
        }
        if message.is_empty() {
            return None;
        }
        message.push(']');
        Some(message)
    }

    /// The model that a body of this request must fit.
    pub fn model(&self, headers: &HeaderMap) -> Option<&Arc<Model>> {
        if !self.asks_for_bodies() {
            return None;
        }
        let sent = headers.get_all(header::CONTENT_TYPE).iter().next_back();
        let sent = match sent {
            None => JSON,
            Some(value) => value.to_str().map_or("", media_type),
        };
        // RFC 9110 section 8.3: an empty field says as little as none.
        let sent = if sent.is_empty() { JSON } else { sent };
        let own = self.by_type.iter().find(|(key, _)| key.eq_ignore_ascii_case(sent));
        own.map(|(_, model)| model).or(self.any_other.as_ref())
    }
}

impl Required {
    /// `method.request.{header|path|querystring}.{name}`.
    fn parse(key: &str) -> Option<Self> {
        let (kind, name) = key.strip_prefix("method.request.")?.split_once('.')?;
        let place = match kind {
            "header" | "multivalueheader" => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Place::Header(name),
                Err(_) => Place::Nowhere,
            },
            "querystring" | "multivaluequerystring" => Place::Query,
            "path" => Place::Path,
            _ => return None,
        };
        Some(Self { name: name.into(), place })
    }

    fn is_in(&self, request: &Parameters<'_>) -> bool {
        let there = |text: &[u8]| !text.trim_ascii().is_empty();
        match &self.place {
            // The last of several decides, as it does in a query.
            Place::Header(name) => match request.headers.get_all(name).iter().next_back() {
                Some(value) => there(value.as_bytes()),
                None => *name == header::HOST && there(request.host.as_bytes()),
            },
            Place::Query => request.query.is_some_and(|query| {
                query::last(query, &self.name).is_some_and(|value| there(value.as_bytes()))
            }),
            Place::Path => {
                let value = request.path.get(&self.name);
                // A plus sign is itself in a path.
                let mut bytes = value.into_iter().flat_map(percent_encoding::percent_decode_str);
                bytes.any(|byte| !byte.is_ascii_whitespace())
            }
            Place::Nowhere => false,
        }
    }
}

/// Without its parameters.
fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or(text).trim()
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
