//! Which template makes the body?
//!
//! Templates are compiled when an API is deployed; a call chooses one by a media type and renders
//! it. A text without `$` and `#` is its own output and costs nothing. AWS keeps an empty template
//! as none: its key counts when one is chosen, the body goes on as it is. A text that is no
//! template is taken, too, and answers every call by 500 (recorded).
//!
//! AWS: Developer Guide, "Method request behavior for payloads without mapping templates" (which
//! template runs, and when none does), "Mapping template transformations for REST APIs". The media
//! type of a chosen response template becomes the answer's where no header mapping sets one; no
//! page of AWS's says so for types other than JSON.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use indexmap::IndexMap;

use super::content::last;
use super::context::CallContext;
use super::template::{Input, Limits, Overrides, Scope, Template, TemplateError};
use super::{CompileError, MappingError, Side};
use crate::model::quotas;
use crate::model::rest_api::Passthrough;

/// Templates of one method's request or of one of its responses. A call looks at them one by one;
/// real APIs have one to three.
const TEMPLATES_MAX: usize = 100;
const JSON: &str = "application/json";
/// The key of the template for requests of any other media type.
const ANY_OTHER: &str = "$default";

/// One template's text, compiled.
#[derive(Debug)]
pub(super) enum Text {
    Empty,
    Constant(Bytes),
    Computed(Template),
    Broken(TemplateError),
}

impl Text {
    fn compile(key: &str, text: &str) -> Result<Self, CompileError> {
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        let template = match Template::compile(text) {
            Ok(template) => template,
            Err(TemplateError::TooLong { limit }) => {
                return Err(CompileError::TemplateTooLong { key: key.to_owned(), limit });
            }
            Err(err) => return Ok(Self::Broken(err)),
        };
        Ok(match template.constant() {
            Some(text) => Self::Constant(Bytes::copy_from_slice(text.as_bytes())),
            None => Self::Computed(template),
        })
    }

    /// Whether rendering it needs the body.
    pub(super) fn reads_body(&self) -> bool {
        matches!(self, Self::Computed(_))
    }

    /// Whether it says what the body is.
    pub(super) fn makes_body(&self) -> bool {
        !matches!(self, Self::Empty)
    }

    /// The output; `None` for an empty template. Overrides are read and added to.
    pub(super) fn render(
        &self,
        side: Side,
        call: &CallContext<'_>,
        body: &str,
        overrides: &mut Overrides,
    ) -> Result<Option<Bytes>, MappingError> {
        let failed = |cause: String| MappingError::Template { side, cause };
        match self {
            Self::Empty => Ok(None),
            Self::Constant(text) => Ok(Some(text.clone())),
            Self::Broken(err) => Err(failed(err.to_string())),
            Self::Computed(template) => {
                let mut scope = Scope {
                    input: Input { body, parameters: call },
                    context: call,
                    stage_variables: call.facts.stage_variables,
                    overrides: std::mem::take(overrides),
                    limits: Limits::default(),
                };
                let rendered = template.render(&mut scope);
                *overrides = scope.overrides;
                rendered.map(|text| Some(Bytes::from(text))).map_err(|err| failed(err.to_string()))
            }
        }
    }
}

/// The request templates of one integration.
#[derive(Debug)]
pub struct RequestTemplates {
    by_type: Box<[(Box<str>, Text)]>,
    any_other: Option<Text>,
    passthrough: Passthrough,
}

impl RequestTemplates {
    /// Media type → template.
    ///
    /// # Errors
    /// Too many texts, one that is too long.
    pub fn compile(
        templates: &IndexMap<String, String>,
        passthrough: Passthrough,
    ) -> Result<Self, CompileError> {
        check_count(templates)?;
        let mut by_type = Vec::with_capacity(templates.len());
        let mut any_other = None;
        for (key, text) in templates {
            let text = Text::compile(key, text)?;
            match key.as_str() {
                ANY_OTHER => any_other = Some(text),
                _ => by_type.push((media_type(key).into(), text)),
            }
        }
        Ok(Self { by_type: by_type.into(), any_other, passthrough })
    }

    /// The template for a body of the client's media type; `None` where the body goes on as it is.
    ///
    /// # Errors
    /// `UnsupportedMediaType` where the author lets no body through that no template fits.
    pub(super) fn choose(&self, clients: &HeaderMap) -> Result<Option<&Text>, MappingError> {
        let sent = last(clients, &header::CONTENT_TYPE).map_or(JSON, media_type);
        let own = self.by_type.iter().find(|(key, _)| key.eq_ignore_ascii_case(sent));
        if let Some(text) = own.map(|(_, text)| text).or(self.any_other.as_ref()) {
            return Ok(Some(text));
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
#[derive(Debug)]
pub(super) struct ResponseTemplates {
    list: Box<[ResponseTemplate]>,
    /// For clients that ask for no media type of the list: JSON's, else the first.
    default: usize,
}

#[derive(Debug)]
pub(super) struct ResponseTemplate {
    media_type: HeaderValue,
    pub(super) text: Text,
}

impl ResponseTemplates {
    pub(super) fn compile(templates: &IndexMap<String, String>) -> Result<Self, CompileError> {
        check_count(templates)?;
        let list: Box<[ResponseTemplate]> = templates
            .iter()
            .map(|(key, text)| {
                let value = HeaderValue::from_str(key).ok().filter(|_| key.contains('/'));
                let media_type =
                    value.ok_or_else(|| CompileError::BadMediaType { key: key.clone() })?;
                Ok(ResponseTemplate { media_type, text: Text::compile(key, text)? })
            })
            .collect::<Result<_, _>>()?;
        let default = list.iter().position(|own| own.is(JSON)).unwrap_or(0);
        Ok(Self { list, default })
    }

    /// The template for a client with these headers; `None` where there are none at all.
    pub(super) fn choose(&self, clients: &HeaderMap) -> Option<&ResponseTemplate> {
        let asked = last(clients, &header::ACCEPT);
        let asked = asked.and_then(|asked| self.list.iter().find(|own| own.is(asked)));
        asked.or_else(|| self.list.get(self.default))
    }
}

impl ResponseTemplate {
    /// `Accept` counts whole: a list of types is no key.
    fn is(&self, asked: &str) -> bool {
        self.media_type.as_bytes().eq_ignore_ascii_case(asked.as_bytes())
    }
}

fn check_count(templates: &IndexMap<String, String>) -> Result<(), CompileError> {
    match templates.len() > TEMPLATES_MAX {
        true => Err(CompileError::TooManyTemplates { limit: TEMPLATES_MAX }),
        false => Ok(()),
    }
}

/// Without its parameters.
fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or(text).trim()
}

// The engine's bound is AWS's.
const _: () = assert!(quotas::TEMPLATE_BYTES_MAX == 300 * 1024);
