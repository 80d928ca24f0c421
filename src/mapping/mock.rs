//! Which status does the request of a MOCK integration name?
//!
//! AWS reads the rendered template leniently: `{"statusCode": 200}`, `{statusCode: 200}`, single
//! quotes and trailing commas are all the same (recorded). What is no object, or whose status is no
//! integer, makes the call a 500. The reader below takes JSON with those liberties: names and texts
//! without quotes, either kind of quote, commas too many.
//!
//! AWS: API Gateway Developer Guide, "Mock integrations for REST APIs".

use http::StatusCode;

use super::MappingError;

/// Objects and lists in one another; the reader's stack is as deep.
const DEPTH_MAX: usize = 64;

/// The status that the text names.
///
/// # Errors
/// `NoMockStatus`.
pub fn status(text: &str) -> Result<StatusCode, MappingError> {
    let mut reader = Reader { rest: text.trim(), status: None };
    let is_object = reader.rest.starts_with('{');
    let read = reader.value(0, true);
    let status = reader.status.filter(|_| is_object && read.is_some() && reader.rest.is_empty());
    status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| (100..=599).contains(&status.as_u16()))
        .ok_or(MappingError::NoMockStatus)
}

struct Reader<'t> {
    rest: &'t str,
    /// Of the outermost object; the last one counts.
    status: Option<u16>,
}

impl<'t> Reader<'t> {
    /// Takes one value; a bare word is one, too. `None`: the text is broken.
    fn value(&mut self, depth: usize, is_outermost: bool) -> Option<&'t str> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.space();
        match self.rest.chars().next()? {
            '{' => self.members('}', depth, is_outermost),
            '[' => self.members(']', depth, false),
            quote @ ('"' | '\'') => self.quoted(quote),
            _ => self.word(),
        }
    }

    /// What stands between brackets, with them.
    fn members(&mut self, close: char, depth: usize, is_outermost: bool) -> Option<&'t str> {
        let whole = self.rest;
        self.skip(1);
        loop {
            self.space();
            if self.rest.starts_with(',') {
                self.skip(1);
                continue;
            }
            if self.rest.starts_with(close) {
                self.skip(1);
                return whole.get(..whole.len() - self.rest.len());
            }
            let first = self.value(depth + 1, false)?;
            if close != '}' {
                continue;
            }
            self.space();
            self.rest = self.rest.strip_prefix(':')?;
            let value = self.value(depth + 1, false)?;
            if is_outermost && bare(first) == "statusCode" {
                self.status = value.parse().ok();
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Option<&'t str> {
        let whole = self.rest;
        self.skip(1);
        while let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            match c {
                '\\' => {
                    let escaped = self.rest.chars().next()?;
                    self.skip(escaped.len_utf8());
                }
                c if c == quote => return whole.get(..whole.len() - self.rest.len()),
                _ => {}
            }
        }
        None
    }

    fn word(&mut self) -> Option<&'t str> {
        let ends = |c: char| c.is_whitespace() || ",:{}[]\"'".contains(c);
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

/// A name without its quotes.
fn bare(name: &str) -> &str {
    let inner = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(name)
}
