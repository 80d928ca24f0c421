//! Regular expressions as Java means them: selection patterns and the regex methods of templates.
//!
//! An expression is translated (`translate`) and run by an engine that backtracks only where the
//! expression needs it, and then only so often. What cannot be translated is refused when it is
//! compiled; nothing silently means something else.
//!
//! AWS: Developer Guide, "Set up an integration response in API Gateway" (patterns are Java's).
//! `java.util.regex.Pattern`, `Matcher.appendReplacement`, `String.split`.

mod translate;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use fancy_regex::{Captures, Regex, RegexBuilder};

/// Bytes of an expression. AWS states no bound; real ones are shorter than a line.
pub const PATTERN_BYTES_MAX: usize = 8 * 1024;
/// Steps back of one search; more means that the expression tries every way through the text.
pub const STEPS_BACK_MAX: usize = 200_000;
/// Matches of one replacement or split.
const MATCHES_MAX: usize = 200_000;
/// Bytes of a compiled expression, so that `(a{1000}){1000}` is refused.
const COMPILED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Why an expression could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    #[error("`{pattern}`: {cause}")]
    NotUsable { pattern: String, cause: String },
    /// The text makes the expression try too many ways.
    #[error("more than {limit} steps")]
    TooManySteps { limit: usize },
    #[error("the replacement names a group that the expression does not have, or ends in \\ or $")]
    BadReplacement,
    #[error("the result is longer than {limit} bytes")]
    TooLong { limit: usize },
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct JavaRegex {
    pattern: Box<str>,
    translated: Box<str>,
    whole: Regex,
    /// Most expressions are only asked about whole texts.
    part: OnceLock<Result<Regex, RegexError>>,
}

impl PartialEq for JavaRegex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl JavaRegex {
    /// # Errors
    /// Not an expression of Java's, or one that cannot be said in ours.
    pub fn compile(pattern: &str) -> Result<Self, RegexError> {
        let refused = |cause: String| RegexError::NotUsable { pattern: pattern.to_owned(), cause };
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(refused(format!("longer than {PATTERN_BYTES_MAX} bytes")));
        }
        let translated =
            translate::translate(pattern).map_err(|cause| refused(cause.to_owned()))?;
        let whole = build(&format!(r"\A(?:{translated})\z")).map_err(refused)?;
        Ok(Self {
            pattern: pattern.into(),
            translated: translated.into(),
            whole,
            part: OnceLock::new(),
        })
    }

    /// The expression as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the expression matches the whole text (`Matcher.matches`).
    ///
    /// # Errors
    /// Too many steps back.
    pub fn is_full_match(&self, text: &str) -> Result<bool, RegexError> {
        self.whole.is_match(text).map_err(too_many_steps)
    }

    /// The text with every match replaced; `$1`, `${name}` and `\` in the replacement as in
    /// `Matcher.replaceAll`. The result may have up to `bound` bytes.
    ///
    /// # Errors
    /// Too many steps back, a result that is too long, a bad replacement.
    pub fn replace_all(
        &self,
        text: &str,
        replacement: &str,
        bound: usize,
    ) -> Result<String, RegexError> {
        self.replace(text, replacement, bound, MATCHES_MAX)
    }

    /// The same for the first match.
    ///
    /// # Errors
    /// As `replace_all`.
    pub fn replace_first(
        &self,
        text: &str,
        replacement: &str,
        bound: usize,
    ) -> Result<String, RegexError> {
        self.replace(text, replacement, bound, 1)
    }

    /// The parts between the matches, as `String.split`: with limit 0 without empty parts at the
    /// end, with a positive limit at most so many.
    ///
    /// # Errors
    /// Too many steps back, too many parts.
    pub fn split<'t>(&self, text: &'t str, limit: i32) -> Result<Vec<&'t str>, RegexError> {
        let most = usize::try_from(limit).ok().filter(|most| *most > 0);
        let mut parts = Vec::new();
        let mut last = 0;
        self.each_match(text, |captures| {
            let (start, end) = bounds(captures);
            if most.is_some_and(|most| parts.len() + 1 >= most) {
                return Ok(false);
            }
            // A match of nothing at the beginning cuts off nothing.
            if end > 0 {
                parts.push(text.get(last..start).unwrap_or_default());
                last = end;
            }
            Ok(parts.len() <= MATCHES_MAX)
        })?;
        if parts.is_empty() {
            return Ok(vec![text]);
        }
        parts.push(text.get(last..).unwrap_or_default());
        if limit == 0 {
            while parts.last().is_some_and(|part| part.is_empty()) {
                parts.pop();
            }
        }
        Ok(parts)
    }

    fn replace(
        &self,
        text: &str,
        replacement: &str,
        bound: usize,
        matches: usize,
    ) -> Result<String, RegexError> {
        let mut out = String::new();
        let mut last = 0;
        let mut left = matches;
        self.each_match(text, |captures| {
            let (start, end) = bounds(captures);
            out.push_str(text.get(last..start).unwrap_or_default());
            expand(replacement, captures, &mut out)?;
            last = end;
            left -= 1;
            if out.len() > bound {
                return Err(RegexError::TooLong { limit: bound });
            }
            match left {
                0 if matches > 1 => Err(RegexError::TooManySteps { limit: MATCHES_MAX }),
                left => Ok(left > 0),
            }
        })?;
        out.push_str(text.get(last..).unwrap_or_default());
        Ok(out)
    }

    /// `Matcher.find`, again and again: after a match of nothing one character is left out.
    fn each_match<'t>(
        &self,
        text: &'t str,
        mut see: impl FnMut(&Captures<'t, str>) -> Result<bool, RegexError>,
    ) -> Result<(), RegexError> {
        let regex = self.part.get_or_init(|| {
            let pattern = self.pattern.to_string();
            build(&self.translated).map_err(|cause| RegexError::NotUsable { pattern, cause })
        });
        let regex = regex.as_ref().map_err(Clone::clone)?;
        let mut at = 0;
        while at <= text.len() {
            let found = regex.captures_from_pos(text, at).map_err(too_many_steps)?;
            let Some(captures) = found else { return Ok(()) };
            if !see(&captures)? {
                return Ok(());
            }
            let (start, end) = bounds(&captures);
            let skipped = text.get(end..).and_then(|rest| rest.chars().next());
            at = match start == end {
                true => end + skipped.map_or(1, char::len_utf8),
                false => end,
            };
        }
        Ok(())
    }
}

fn build(translated: &str) -> Result<Regex, String> {
    RegexBuilder::new(translated)
        .backtrack_limit(STEPS_BACK_MAX)
        .delegate_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())
}

fn too_many_steps(_: fancy_regex::Error) -> RegexError {
    RegexError::TooManySteps { limit: STEPS_BACK_MAX }
}

fn bounds(captures: &Captures<'_, str>) -> (usize, usize) {
    captures.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()))
}

/// Adds the replacement of one match.
fn expand(
    replacement: &str,
    captures: &Captures<'_, str>,
    out: &mut String,
) -> Result<(), RegexError> {
    let mut rest = replacement.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => out.push(rest.next().ok_or(RegexError::BadReplacement)?),
            '$' => {
                let group = match rest.as_str().strip_prefix('{') {
                    Some(named) => {
                        let (name, after) =
                            named.split_once('}').ok_or(RegexError::BadReplacement)?;
                        rest = after.chars();
                        captures.name(name)
                    }
                    None => captures.get(group_number(&mut rest, captures.len())?),
                };
                out.push_str(group.map_or("", |group| group.as_str()));
            }
            other => out.push(other),
        }
    }
    Ok(())
}

/// As many digits as still name a group.
fn group_number(rest: &mut std::str::Chars<'_>, groups: usize) -> Result<usize, RegexError> {
    let mut number: Option<usize> = None;
    while let Some(digit) = rest.clone().next().and_then(|next| next.to_digit(10)) {
        let next = number.unwrap_or(0) * 10 + digit as usize;
        if number.is_some() && next >= groups {
            break;
        }
        number = Some(next);
        rest.next();
    }
    number.filter(|number| *number < groups).ok_or(RegexError::BadReplacement)
}
