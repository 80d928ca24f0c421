//! Expressions: where a mapped value comes from.
//!
//! Both directions know static texts, stage variables, `$context` and the body of what is mapped;
//! what else there is differs. Recorded and documented rules: a single value is the last one, a
//! source that is absent maps nothing, a body is read as JSON only where it begins like JSON, and
//! then must be JSON even where it is mapped as a whole.
//!
//! AWS: "Amazon API Gateway API request and response data mapping reference".

use std::cell::OnceCell;

use super::context::{self, CallContext, RouteFacts};
use super::json_path::{Document, JsonPath, to_plain};

/// A source that both directions have.
#[derive(Debug)]
pub(super) enum Common {
    Fixed(String),
    /// A `$context` variable of the call.
    Context(Box<str>),
    /// Known to have no value, such as an unset stage variable.
    Absent,
}

impl Common {
    /// `None`: not such an expression. `Some(None)`: one that means nothing.
    pub(super) fn parse(expression: &str, route: &RouteFacts<'_>) -> Option<Option<Self>> {
        let or_absent = |text: Option<String>| text.map_or(Self::Absent, Self::Fixed);
        if let Some(text) = quoted(expression) {
            return Some(Some(Self::Fixed(text.to_owned())));
        }
        if let Some(name) = expression.strip_prefix("stageVariables.") {
            return Some(Some(or_absent(route.stage_variables.get(name).cloned())));
        }
        let name = expression.strip_prefix("context.")?;
        if !context::is_known(name) {
            return Some(None);
        }
        Some(Some(match context::fixed(name, route) {
            Some(text) => or_absent(text.map(|text| text.into_owned())),
            None => Self::Context(name.into()),
        }))
    }

    pub(super) fn value(&self, call: &CallContext<'_>) -> Option<String> {
        match self {
            Self::Fixed(text) => Some(text.clone()),
            Self::Context(name) => call.text(name).map(|text| text.into_owned()),
            Self::Absent => None,
        }
    }
}

/// The text between single quotes.
fn quoted(expression: &str) -> Option<&str> {
    expression.strip_prefix('\'')?.strip_suffix('\'')
}

/// The body as a source.
#[derive(Debug)]
pub(super) enum BodySource {
    Whole,
    Path(JsonPath),
    /// A part of an error message that is JSON itself.
    /// AWS: "Handle Lambda errors in API Gateway", custom errors.
    OfErrorMessage {
        plain: JsonPath,
        message: JsonPath,
        rest: JsonPath,
    },
}

/// Why a body gives no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It begins like JSON and is none.
    NotJson,
    /// A bound of the work was exceeded.
    TooMuch,
}

impl BodySource {
    /// Of what follows `method.request.` or `integration.response.`. `None`: not the body.
    /// `Some(None)`: a path that is none.
    pub(super) fn parse(expression: &str) -> Option<Option<Self>> {
        let rest = expression.strip_prefix("body")?;
        if rest.is_empty() {
            return Some(Some(Self::Whole));
        }
        let path = rest.strip_prefix('.')?;
        Some(Self::path(path))
    }

    fn path(path: &str) -> Option<Self> {
        let plain = JsonPath::compile(path).ok()?;
        let below = path.strip_prefix("$.").unwrap_or(path).strip_prefix("errorMessage.");
        Some(match below {
            Some(below) => Self::OfErrorMessage {
                plain,
                message: JsonPath::compile("$.errorMessage").ok()?,
                rest: JsonPath::compile(below).ok()?,
            },
            None => Self::Path(plain),
        })
    }

    pub(super) fn value(&self, body: &BodyText<'_>) -> Result<Option<String>, BodyFault> {
        let path = match self {
            Self::Whole => {
                body.document()?;
                return Ok(Some(body.whole().to_owned()));
            }
            Self::Path(path) => path,
            Self::OfErrorMessage { plain, .. } => plain,
        };
        let Some(document) = body.document()? else { return Ok(None) };
        let found = found(path, document)?;
        match (found, self) {
            (None, Self::OfErrorMessage { message, rest, .. }) => {
                let Some(text) = self::found(message, document)? else { return Ok(None) };
                let inner = Document::parse(&text).map_err(|_| BodyFault::TooMuch)?;
                let Some(inner) = inner else { return Ok(None) };
                self::found(rest, &inner)
            }
            (found, _) => Ok(found),
        }
    }
}

fn found(path: &JsonPath, document: &Document<'_>) -> Result<Option<String>, BodyFault> {
    use super::template::Value;
    match path.read(document).map_err(|_| BodyFault::TooMuch)? {
        None | Some(Value::Null) => Ok(None),
        Some(value) => to_plain(&value).map(Some).map_err(|_| BodyFault::TooMuch),
    }
}

/// A body, read as JSON when somebody asks for a part of it.
pub(super) struct BodyText<'b> {
    text: &'b str,
    document: OnceCell<Result<Document<'b>, BodyFault>>,
}

impl<'b> BodyText<'b> {
    pub(super) fn new(text: &'b str) -> Self {
        Self { text, document: OnceCell::new() }
    }

    /// Recorded: no body is an empty object.
    fn whole(&self) -> &'b str {
        if self.text.is_empty() { "{}" } else { self.text }
    }

    /// `None` for a body that does not look like JSON.
    fn document(&self) -> Result<Option<&Document<'b>>, BodyFault> {
        let whole = self.whole();
        if !whole.trim_start().starts_with(['{', '[', '\'', '"']) {
            return Ok(None);
        }
        let document = self.document.get_or_init(|| match Document::parse(whole) {
            Ok(document) => document.ok_or(BodyFault::NotJson),
            Err(_) => Err(BodyFault::TooMuch),
        });
        document.as_ref().map(Some).map_err(|fault| *fault)
    }
}
