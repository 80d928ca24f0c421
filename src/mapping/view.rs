//! A call as templates look at it: `$context` and `$input.params()`.
//!
//! Recorded: headers are those of the client less the ones that concern its connection
//! (rest-data-plane 7.3), by the names the client wrote (12.5). Names in mappings and templates are
//! case-sensitive (documented): over HTTP/1.1 `X-Name` is found where the client wrote `X-Name`. Over
//! HTTP/2 and HTTP/3 names come in lower case whatever the client would have written, so that there
//! `$input.params('X-Name')` finds a header in any case, and so do the few names that the listener
//! keeps no note of. A map of all headers has each under one name, and
//! `$input.params().header.get('X-Name')` finds that one only, as at AWS.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, header};
use indexmap::IndexMap;

use super::context::{CallContext, Node};
use super::template::{Parameters, Place, Value, Variables};
use crate::net::query;

/// Client headers that mappings and templates do not see (recorded: header remapping tests).
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

/// Whether mappings may look at the header.
pub(super) fn is_visible(name: &HeaderName) -> bool {
    !INVISIBLE.contains(&name.as_str())
}

/// A header's last value. HTTP/2 and HTTP/3 name the host elsewhere.
pub(super) fn header<'a>(call: &CallContext<'a>, name: &HeaderName) -> Option<Cow<'a, str>> {
    match call.headers.get_all(name).iter().next_back() {
        Some(value) => Some(text(value)),
        None => (*name == header::HOST).then_some(Cow::Borrowed(call.domain_name)),
    }
}

/// A header's name as whoever wrote it did: the client, or this gateway.
pub(super) fn spelled<'a>(call: &CallContext<'a>, name: &'a HeaderName) -> &'a str {
    let own = match name.as_str() {
        "x-forwarded-for" => Some("X-Forwarded-For"),
        "x-forwarded-port" => Some("X-Forwarded-Port"),
        "x-forwarded-proto" => Some("X-Forwarded-Proto"),
        "x-amzn-trace-id" => Some("X-Amzn-Trace-Id"),
        _ => None,
    };
    if let Some(own) = own.or_else(|| call.spelling?.of(name)) {
        return own;
    }
    match name.as_str() {
        // As every HTTP/1.1 client but a few writes them; the listener keeps no note of these.
        "accept" if call.protocol == "HTTP/1.1" => "Accept",
        "authorization" if call.protocol == "HTTP/1.1" => "Authorization",
        "host" if call.protocol == "HTTP/1.1" => "Host",
        "user-agent" if call.protocol == "HTTP/1.1" => "User-Agent",
        other => other,
    }
}

/// A header of the call as the author of a mapping wrote its name.
#[derive(Debug)]
pub(super) struct Written {
    name: HeaderName,
    text: Box<str>,
}

impl Written {
    /// `None`: no name of a header.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self { name: HeaderName::from_bytes(text.as_bytes()).ok()?, text: text.into() })
    }

    pub(super) fn is_visible(&self) -> bool {
        is_visible(&self.name)
    }

    /// The last value.
    pub(super) fn value<'a>(&self, call: &CallContext<'a>) -> Option<Cow<'a, str>> {
        means(call, &self.text, &self.name).then(|| header(call, &self.name))?
    }

    pub(super) fn values(&self, call: &CallContext<'_>) -> Vec<String> {
        if !means(call, &self.text, &self.name) {
            return Vec::new();
        }
        let all = call.headers.get_all(&self.name).iter();
        all.map(|value| text(value).into_owned()).collect()
    }
}

/// Whether an author who wrote the name like this means the header as it came.
fn means(call: &CallContext<'_>, written: &str, name: &HeaderName) -> bool {
    let has_case = call.protocol.starts_with("HTTP/1.");
    match name.as_str() {
        // The listener keeps no note of these.
        "accept" | "authorization" | "host" | "user-agent" => true,
        _ => !has_case || spelled(call, name) == written,
    }
}

/// Header bytes as text: UTF-8, which is what clients send where it is not ASCII.
pub(super) fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

impl Parameters for CallContext<'_> {
    fn get<'a>(&'a self, place: Place, name: &str) -> Option<Cow<'a, str>> {
        match place {
            Place::Path => self.path_parameters.get(name).map(Cow::Borrowed),
            Place::Query => query::last(self.query?, name).map(Cow::Owned),
            Place::Header => {
                let own = HeaderName::from_bytes(name.as_bytes()).ok()?;
                let is_meant = is_visible(&own) && means(self, name, &own);
                is_meant.then(|| header(self, &own))?
            }
        }
    }

    fn all<'a>(&'a self, place: Place) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        match place {
            Place::Path => self
                .path_parameters
                .iter()
                .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
                .collect(),
            Place::Query => {
                let pairs = query::pairs(self.query.unwrap_or_default());
                // Of a repeated name the last value counts, at the first one's place.
                let last: IndexMap<Cow<'a, str>, Cow<'a, str>> = pairs
                    .map(|(name, value)| (query::decode_text(name), query::decode_text(value)))
                    .collect();
                last.into_iter().collect()
            }
            Place::Header => {
                let names = self.headers.keys().filter(|name| is_visible(name));
                let mut all: Vec<_> = names
                    .filter_map(|name| Some((spelled(self, name).into(), header(self, name)?)))
                    .collect();
                if !self.headers.contains_key(header::HOST) {
                    all.push(("host".into(), self.domain_name.into()));
                }
                all
            }
        }
    }
}

impl Variables for CallContext<'_> {
    fn get<'a>(&'a self, path: &str) -> Option<Value<'a>> {
        if path.is_empty() {
            let keys = self.keys().map(|key| {
                // The overrides are the renderer's own.
                let none = || Value::map::<String>([]);
                (key, self.node(key).map_or_else(none, value))
            });
            return Some(Value::map(keys));
        }
        // Documented: all claims together are null, and yet each of them can be asked for.
        if path == "authorizer.claims" {
            return None;
        }
        let mut names = path.split('.');
        // A name may hold dots itself, as those of claims do: whole paths come first.
        let node = match self.text(path) {
            Some(text) if path != "requestTimeEpoch" => Node::Text(text),
            _ => {
                let first = self.node(names.next()?)?;
                names.try_fold(first, |node, name| match node {
                    Node::Map(entries) => {
                        entries.into_iter().find(|(own, _)| own == name).map(|(_, node)| node)
                    }
                    Node::Null | Node::Text(_) | Node::Number(_) => None,
                })?
            }
        };
        (node != Node::Null).then(|| value(node))
    }
}

fn value(node: Node<'_>) -> Value<'_> {
    match node {
        Node::Null => Value::Null,
        Node::Text(Cow::Borrowed(text)) => Value::text(text),
        Node::Text(Cow::Owned(text)) => Value::owned(text),
        Node::Number(number) => Value::Long(number),
        Node::Map(entries) => {
            Value::map(entries.into_iter().map(|(name, node)| (name, value(node))))
        }
    }
}
