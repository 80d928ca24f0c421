//! Which template makes the body, for bodies that need no template language?
//!
//! A template without `$` and `#` is its own output. Such texts are made bytes when the API is
//! deployed, and a call only chooses among them. Everything else needs an engine, which does not
//! exist yet: `deployment` refuses it by its place before it comes here.
//!
//! AWS: Developer Guide, "Method request behavior for payloads without mapping templates" (which
//! template runs, and when none does), "Mapping template transformations for REST APIs". The media
//! type of a chosen response template becomes the answer's where no header mapping sets one; no
//! page of AWS's says so for types other than JSON.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use indexmap::IndexMap;

use super::{CompileError, MappingError};
use crate::model::quotas;
use crate::model::rest_api::Passthrough;

/// Templates of one method's request or of one of its responses. A call looks at them one by one;
/// real APIs have one to three.
const TEMPLATES_MAX: usize = 100;
const JSON: &str = "application/json";
/// The key of the template for requests of any other media type.
const ANY_OTHER: &str = "$default";

/// Whether the text is its own output.
pub fn is_constant(template: &str) -> bool {
    !template.contains(['$', '#'])
}

/// The request templates of one HTTP integration.
#[derive(Clone, Debug)]
pub struct RequestTemplates {
    by_type: Box<[(Box<str>, Bytes)]>,
    any_other: Option<Bytes>,
    passthrough: Passthrough,
}

impl RequestTemplates {
    /// Media type → constant text.
    ///
    /// # Errors
    /// A text that is no constant, too many texts, one that is too long.
    pub fn compile(
        templates: &IndexMap<String, String>,
        passthrough: Passthrough,
    ) -> Result<Self, CompileError> {
        check_count(templates)?;
        let mut by_type = Vec::with_capacity(templates.len());
        let mut any_other = None;
        for (key, text) in templates {
            let body = constant(key, text)?;
            match key.as_str() {
                ANY_OTHER => any_other = Some(body),
                _ => by_type.push((media_type(key).into(), body)),
            }
        }
        Ok(Self { by_type: by_type.into(), any_other, passthrough })
    }

    /// The body in the place of the client's; `None` where the client's goes on as it is.
    ///
    /// # Errors
    /// `UnsupportedMediaType` where the author lets no body through that no template fits.
    pub fn choose(&self, clients: &HeaderMap) -> Result<Option<&Bytes>, MappingError> {
        let sent = last(clients, header::CONTENT_TYPE).map_or(JSON, media_type);
        let own = self.by_type.iter().find(|(key, _)| key.eq_ignore_ascii_case(sent));
        if let Some(body) = own.map(|(_, body)| body).or(self.any_other.as_ref()) {
            return Ok(Some(body));
        }
        match self.passthrough {
            Passthrough::WhenNoMatch => Ok(None),
            Passthrough::WhenNoTemplates if self.by_type.is_empty() => Ok(None),
            Passthrough::WhenNoTemplates | Passthrough::Never => {
                Err(MappingError::UnsupportedMediaType)
            }
        }
    }
}

/// The templates of one integration response.
#[derive(Clone, Debug)]
pub(super) struct ResponseTemplates {
    list: Box<[Template]>,
    /// For clients that ask for no media type of the list: JSON's, else the first.
    default: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) media_type: HeaderValue,
    pub(super) body: Bytes,
}

impl ResponseTemplates {
    pub(super) fn compile(templates: &IndexMap<String, String>) -> Result<Self, CompileError> {
        check_count(templates)?;
        let list: Box<[Template]> = templates
            .iter()
            .map(|(key, text)| {
                let value = HeaderValue::from_str(key).ok().filter(|_| key.contains('/'));
                let media_type =
                    value.ok_or_else(|| CompileError::BadMediaType { key: key.clone() })?;
                Ok(Template { media_type, body: constant(key, text)? })
            })
            .collect::<Result<_, _>>()?;
        let default = list.iter().position(|own| own.is(JSON.as_bytes())).unwrap_or(0);
        Ok(Self { list, default })
    }

    /// The template for a client with these headers; `None` where there are none at all.
    pub(super) fn choose(&self, clients: &HeaderMap) -> Option<&Template> {
        let asked = clients.get_all(header::ACCEPT).iter().next_back();
        let asked = asked.and_then(|asked| self.list.iter().find(|own| own.is(asked.as_bytes())));
        asked.or_else(|| self.list.get(self.default))
    }
}

impl Template {
    /// `Accept` counts whole: a list of types is no key.
    fn is(&self, asked: &[u8]) -> bool {
        self.media_type.as_bytes().eq_ignore_ascii_case(asked)
    }
}

fn check_count(templates: &IndexMap<String, String>) -> Result<(), CompileError> {
    match templates.len() > TEMPLATES_MAX {
        true => Err(CompileError::TooManyTemplates { limit: TEMPLATES_MAX }),
        false => Ok(()),
    }
}

fn constant(key: &str, text: &str) -> Result<Bytes, CompileError> {
    if !is_constant(text) {
        return Err(CompileError::NotConstant { key: key.to_owned() });
    }
    if text.len() > quotas::TEMPLATE_BYTES_MAX {
        let limit = quotas::TEMPLATE_BYTES_MAX;
        return Err(CompileError::TemplateTooLong { key: key.to_owned(), limit });
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

/// Of a header that a client sent more than once the last counts.
fn last(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()
}

/// Without its parameters.
fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or(text).trim()
}
