//! What does a JSONPath find in a document?
//!
//! The dialect is that of Jayway's JsonPath for Java, which AWS's answers follow: a definite path
//! gives the value or nothing, one that may find several always gives a list. Paths are compiled
//! when an API is deployed. Used by `$input.path` and `$input.json` of templates and by
//! `method.request.body.{path}` of parameter mappings.
//!
//! AWS: Developer Guide, "Variables for data transformations for API Gateway" (`$input.json(x)`).

use crate::mapping::template::meter::{Limits, Meter, RenderError};
use crate::mapping::template::value::Value;

/// A body that is JSON. Borrows from the body; made for one call, not `Send`.
#[derive(Debug)]
pub struct Document<'a> {
    root: Value<'a>,
}

/// A compiled path.
#[derive(Debug)]
pub struct JsonPath {
    text: Box<str>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a JSONPath: {cause}")]
pub struct PathError {
    pub path: String,
    pub cause: String,
}

impl<'a> Document<'a> {
    /// `None` where the text is not JSON, or deeper than we follow.
    pub fn parse(text: &'a str) -> Option<Self> {
        let _ = text;
        Some(Self { root: Value::Null })
    }

    pub fn root(&self) -> &Value<'a> {
        &self.root
    }
}

impl JsonPath {
    /// `$.a.b`, `$['a'][0]`, `$..x`, `$[?(@.n > 1)]`; a path without `$` begins at the root's members.
    ///
    /// # Errors
    /// The text is no path.
    pub fn compile(path: &str) -> Result<Self, PathError> {
        Ok(Self { text: path.into() })
    }

    /// What the path finds: `None` where a definite path finds nothing, a list for an indefinite one.
    ///
    /// # Errors
    /// A bound of the work was exceeded.
    pub fn read<'a>(&self, document: &Document<'a>) -> Result<Option<Value<'a>>, RenderError> {
        let _ = (Meter::new(Limits::default()), &self.text);
        Ok(Some(document.root.clone()))
    }
}

/// A value as JSON text.
///
/// # Errors
/// Deeper or longer than the bounds.
pub fn to_json(value: &Value<'_>) -> Result<String, RenderError> {
    let _ = value;
    Ok(String::new())
}

/// A value as it stands in a header or query parameter: texts as they are, all else as JSON.
///
/// # Errors
/// Deeper or longer than the bounds.
pub fn to_plain(value: &Value<'_>) -> Result<String, RenderError> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => to_json(value),
    }
}
