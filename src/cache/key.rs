//! What makes two calls the same to the cache?
//!
//! Everything that varies with the deployment is compiled once into a prefix; a call only appends
//! its declared parameters. Each part is a tag, a length and bytes, so no two different sets of
//! values can render to the same key, whatever bytes a client sends. Undeclared parameters, the
//! body and `Authorization` are no part of the key: that is AWS's rule, and the author's choice.
//!
//! Where AWS keeps the last of several values of one query parameter we key all of them: the
//! backend sees all, so answers may differ, and one client must not choose another's answer.
//!
//! AWS: "Cache settings for REST APIs in API Gateway", "Use method or integration parameters as
//! cache keys to index cached responses".

use http::HeaderMap;
use http::header::HeaderName;

use crate::model::ids::{ApiId, DeploymentId, StageName};

/// First byte of every key; changes when the layout below does.
const FORMAT: u8 = 1;
/// Declared parameters per method; AWS documents no limit, and a request has at most 10 KiB of
/// headers and 10 KiB of target to fill them with.
pub const PARAMETERS_MAX: usize = 64;

const TAG_API: u8 = 1;
const TAG_STAGE: u8 = 2;
const TAG_NAMESPACE: u8 = 3;
const TAG_METHOD: u8 = 4;
const TAG_HEADER: u8 = 5;
const TAG_QUERY: u8 = 6;
const TAG_PATH: u8 = 7;
/// Follows its parameter's tag once per value; an absent parameter has none.
const TAG_VALUE: u8 = 8;
const TAG_CANARY: u8 = 9;

/// Why a method's cache key cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("`{0}` is not `method.request.header|querystring|path.NAME`")]
    UnknownParameter(String),
    #[error("a method may have at most {PARAMETERS_MAX} cache key parameters")]
    TooMany,
}

/// What a deployment knows of a method's key.
#[derive(Clone, Copy, Debug)]
pub struct KeySource<'a> {
    pub api: &'a ApiId,
    pub stage: &'a StageName,
    /// What the stage's canary serves, where its cache is its own. A later canary with another
    /// deployment does not find its answers.
    pub canary: Option<&'a DeploymentId>,
    /// The integration's `cacheNamespace`; AWS's default is the resource's id.
    pub namespace: &'a str,
    /// Is the namespace shared with other resources, that is, not the resource's own id?
    pub namespace_is_shared: bool,
    /// The verb as the client sends it: for an `ANY` method, one template per verb.
    pub http_method: &'a str,
    /// The resource's path template, such as `/pets/{id}`.
    pub resource_path: &'a str,
    /// `cacheKeyParameters`.
    pub parameters: &'a [String],
}

/// A method's compiled key.
#[derive(Clone, Debug)]
pub struct KeyTemplate {
    api: ApiId,
    stage: StageName,
    prefix: Vec<u8>,
    parameters: Vec<Parameter>,
    path_is_shared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Parameter {
    /// Lower case.
    Header(Name<HeaderKey>),
    Query(Name<()>),
    Path(Name<()>),
}

/// A parameter's name with its rendered tag, length and bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name<T> {
    text: String,
    rendered: Vec<u8>,
    extra: T,
}

/// Parsed once, so that a call's look-up in its headers does not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderKey(HeaderName);

impl PartialOrd for HeaderKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HeaderKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl KeyTemplate {
    /// Compiles a method's key. The parameters' order in the document does not matter.
    pub fn compile(source: &KeySource<'_>) -> Result<Self, KeyError> {
        if source.parameters.len() > PARAMETERS_MAX {
            return Err(KeyError::TooMany);
        }
        let mut prefix = vec![FORMAT];
        append(&mut prefix, TAG_API, source.api.as_str().as_bytes());
        append(&mut prefix, TAG_STAGE, source.stage.as_str().as_bytes());
        if let Some(deployment) = source.canary {
            append(&mut prefix, TAG_CANARY, deployment.as_str().as_bytes());
        }
        append(&mut prefix, TAG_NAMESPACE, source.namespace.as_bytes());
        append(&mut prefix, TAG_METHOD, source.http_method.as_bytes());
        let mut parameters =
            source.parameters.iter().map(|text| parameter(text)).collect::<Result<Vec<_>, _>>()?;
        parameters.sort();
        parameters.dedup();
        let unkeyed = |name: &str| {
            !parameters.iter().any(|own| matches!(own, Parameter::Path(own) if own.text == name))
        };
        let path_is_shared =
            source.namespace_is_shared || path_parameters(source.resource_path).any(unkeyed);
        let (api, stage) = (source.api.clone(), source.stage.clone());
        Ok(Self { api, stage, prefix, parameters, path_is_shared })
    }

    pub fn api(&self) -> &ApiId {
        &self.api
    }

    pub fn stage(&self) -> &StageName {
        &self.stage
    }

    /// May calls to different paths have this key? Then any path purge in the stage meets it.
    pub fn path_is_shared(&self) -> bool {
        self.path_is_shared
    }

    /// Renders a call's key into `into`, replacing what it held. Allocates nothing beyond what
    /// `into` needs to grow.
    ///
    /// `path_parameter` gives a path parameter's value as routing saw it; `query` is the raw query
    /// without its `?`.
    pub fn render<'a>(
        &self,
        into: &mut Vec<u8>,
        path_parameter: impl Fn(&str) -> Option<&'a str>,
        query: Option<&str>,
        headers: &HeaderMap,
    ) {
        into.clear();
        into.extend_from_slice(&self.prefix);
        for parameter in &self.parameters {
            match parameter {
                Parameter::Header(name) => {
                    into.extend_from_slice(&name.rendered);
                    render_header(into, &name.extra.0, headers);
                }
                Parameter::Query(name) => {
                    into.extend_from_slice(&name.rendered);
                    render_query(into, &name.text, query.unwrap_or(""));
                }
                Parameter::Path(name) => {
                    into.extend_from_slice(&name.rendered);
                    if let Some(value) = path_parameter(&name.text) {
                        append(into, TAG_VALUE, value.as_bytes());
                    }
                }
            }
        }
    }
}

fn parameter(text: &str) -> Result<Parameter, KeyError> {
    let unknown = || KeyError::UnknownParameter(text.to_owned());
    let rest = text.strip_prefix("method.request.").ok_or_else(unknown)?;
    let (place, name) = rest.split_once('.').ok_or_else(unknown)?;
    if name.is_empty() {
        return Err(unknown());
    }
    match place {
        "header" | "multivalueheader" => {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unknown())?;
            let text = header.as_str().to_owned();
            Ok(Parameter::Header(Name::new(TAG_HEADER, text, HeaderKey(header))))
        }
        "querystring" | "multivaluequerystring" => {
            Ok(Parameter::Query(Name::new(TAG_QUERY, name.to_owned(), ())))
        }
        "path" => Ok(Parameter::Path(Name::new(TAG_PATH, name.to_owned(), ()))),
        _ => Err(unknown()),
    }
}

impl<T> Name<T> {
    fn new(tag: u8, text: String, extra: T) -> Self {
        let mut rendered = Vec::new();
        append(&mut rendered, tag, text.as_bytes());
        Self { text, rendered, extra }
    }
}

/// Names of the template's parameters: `id` of `/pets/{id}`, `proxy` of `/{proxy+}`.
fn path_parameters(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.strip_suffix('+').unwrap_or(name))
    })
}

fn append(into: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    let start = begin(into, tag);
    into.extend_from_slice(bytes);
    end(into, start);
}

/// Writes a tag and room for the length that `end` fills in.
fn begin(into: &mut Vec<u8>, tag: u8) -> usize {
    into.push(tag);
    into.extend_from_slice(&[0; 4]);
    into.len()
}

fn end(into: &mut [u8], start: usize) {
    // A request's head is bounded to some kilobytes by the listener, so a length always fits.
    let length = u32::try_from(into.len() - start).unwrap_or(u32::MAX);
    if let Some(room) = into.get_mut(start - 4..start) {
        room.copy_from_slice(&length.to_be_bytes());
    }
}

/// Several lines of one field mean the same as one line joined by commas (RFC 9110 section 5.3).
fn render_header(into: &mut Vec<u8>, name: &HeaderName, headers: &HeaderMap) {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return };
    let start = begin(into, TAG_VALUE);
    into.extend_from_slice(first.as_bytes());
    for value in values {
        into.extend_from_slice(b", ");
        into.extend_from_slice(value.as_bytes());
    }
    end(into, start);
}

/// One value per occurrence, in order, decoded as the data plane decodes: `+` and `%XX`; `;`
/// separates like `&`; a key without `=` has the empty value.
fn render_query(into: &mut Vec<u8>, name: &str, query: &str) {
    for pair in query.split(['&', ';']) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !pair.is_empty() && decoded(key).eq(name.bytes()) {
            let start = begin(into, TAG_VALUE);
            into.extend(decoded(value));
            end(into, start);
        }
    }
}

/// The bytes that query text stands for; a `%` without two hexadecimal digits stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        match first {
            b'+' => Some(b' '),
            b'%' => {
                if let Some((&[high, low], after)) = tail.split_first_chunk::<2>()
                    && let (Some(high), Some(low)) = (hex(high), hex(low))
                {
                    rest = after;
                    return Some(high << 4 | low);
                }
                Some(b'%')
            }
            other => Some(other),
        }
    })
}

/// Value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
