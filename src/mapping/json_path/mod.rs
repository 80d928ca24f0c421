//! What does a JSONPath find in a document?
//!
//! The dialect is that of Jayway's JsonPath for Java, which AWS's answers follow: a definite path
//! gives the value or nothing, one that may find several always gives a list. Paths are compiled
//! when an API is deployed. Used by `$input.path` and `$input.json` of templates and by
//! `method.request.body.{path}` of parameter mappings.
//!
//! AWS: Developer Guide, "Variables for data transformations for API Gateway" (`$input.json(x)`).

pub(crate) mod document;
mod filter;
mod parse;
mod read;
#[cfg(test)]
mod tests;

use crate::mapping::template::meter::{Limits, Meter, RenderError};
use crate::mapping::template::print;
use crate::mapping::template::value::Value;

/// A body that is JSON. Borrows from the body; made for one call, not `Send`.
#[derive(Debug)]
pub struct Document<'a> {
    root: Value<'a>,
}

/// A compiled path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    segments: Box<[Segment]>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Member(Box<str>),
    /// `['a','b']`: an object of these members.
    Members(Box<[Box<str>]>),
    Index(i64),
    Indexes(Box<[i64]>),
    Slice(Option<i64>, Option<i64>),
    Every,
    Filter(filter::Condition),
    /// `..`: the value itself and all below it.
    Deep,
    Function(Function),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Length,
    Size,
    Min,
    Max,
    Avg,
    Sum,
    StdDev,
    Keys,
    First,
    Last,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a JSONPath: {cause}")]
pub struct PathError {
    pub path: String,
    pub cause: String,
}

impl<'a> Document<'a> {
    /// `None` where the text is not JSON.
    ///
    /// # Errors
    /// The text is nested deeper than we follow.
    pub fn parse(text: &'a str) -> Result<Option<Self>, RenderError> {
        Ok(document::parse(text)?.map(|root| Self { root }))
    }

    pub fn root(&self) -> &Value<'a> {
        &self.root
    }
}

impl JsonPath {
    /// `$.a.b`, `$['a'][0]`, `$..x`, `$[?(@.n > 1)]`; one without `$` begins with a member's name.
    ///
    /// # Errors
    /// The text is no path.
    pub fn compile(path: &str) -> Result<Self, PathError> {
        let segments = parse::path(path);
        segments
            .map(|segments| Self { segments: segments.into() })
            .map_err(|cause| PathError { path: path.to_owned(), cause: cause.to_owned() })
    }

    /// What the path finds: `None` where a definite path finds nothing, a list for an indefinite
    /// one.
    ///
    /// # Errors
    /// A bound of the work was exceeded.
    pub fn read<'a>(&self, document: &Document<'a>) -> Result<Option<Value<'a>>, RenderError> {
        self.find(&document.root, &Meter::new(Limits::default()))
    }

    pub(crate) fn find<'a>(
        &self,
        root: &Value<'a>,
        meter: &Meter,
    ) -> Result<Option<Value<'a>>, RenderError> {
        read::find(&self.segments, root, root, meter)
    }
}

/// A value as JSON text.
///
/// # Errors
/// Deeper or longer than the bounds.
pub fn to_json(value: &Value<'_>) -> Result<String, RenderError> {
    print::to_json(value, &Meter::new(Limits::default()))
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
