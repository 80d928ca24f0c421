//! Template in, template out: mapping templates as AWS runs them.
//!
//! The language is that of Apache Velocity 1.7, which all recordings agree with, but for one rule:
//! a reference that comes to nothing is the empty text, wherever it stands. Therefore it prints
//! nothing, equals `""` and is true in `#if`. Beyond that macros and evaluation are switched off.
//! Templates are parsed when an API is deployed; a call only renders. Rendering is bounded in
//! steps, memory, depth and output (`meter`), because authors and clients both supply its input.
//!
//! AWS: API Gateway Developer Guide, "Mapping template transformations for REST APIs", "Variables
//! for data transformations for API Gateway". Apache Velocity 1.7, "Velocity User Guide".

mod compile;
pub(crate) mod cursor;
mod expression;
mod format;
mod input;
pub mod meter;
mod methods;
mod methods_list;
mod methods_map;
mod methods_number;
mod methods_string;
pub(crate) mod number;
mod overrides;
pub(crate) mod print;
mod render;
pub mod scope;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod util;
pub mod value;

use crate::model::quotas;

pub use meter::{Limits, RenderError};
pub use scope::{Input, ListedParameters, Overrides, Parameters, Place, Scope, Variables};
pub use value::Value;

/// A template, ready to be rendered. Compiled once per deployment, shared by all calls.
#[derive(Debug)]
pub struct Template {
    tree: tree::Tree,
}

/// Why a text is no template. AWS takes such a text and answers every call by 500.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the template is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("line {line}: {cause}")]
    Syntax { line: usize, cause: &'static str },
    #[error("line {line}: more than {limit} deep")]
    TooDeep { line: usize, limit: usize },
}

impl Template {
    /// # Errors
    /// The text is too long or no template.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        if text.len() > quotas::TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong { limit: quotas::TEMPLATE_BYTES_MAX });
        }
        Ok(Self { tree: syntax::parse(text)? })
    }

    /// The output for one call. What the template overrides is added to `scope.overrides`.
    ///
    /// # Errors
    /// A bound was exceeded, or a method failed as it would in Java: the call is answered by 500.
    pub fn render(&self, scope: &mut Scope<'_>) -> Result<String, RenderError> {
        render::render(&self.tree, scope)
    }

    /// The output of a template that is the same for every call: one that is only text.
    pub fn constant(&self) -> Option<&str> {
        self.tree.constant()
    }
}
