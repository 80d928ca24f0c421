//! Which status does the request of a MOCK integration name?
//!
//! AWS reads the rendered template leniently: `{"statusCode": 200}`, `{statusCode: 200}`, single
//! quotes and trailing commas are all the same (recorded), and so is much that only looks like JSON
//! (rest-data-plane 7.2). One rule explains all that is known: a name without quotes is all up to
//! the colon, a value without quotes all up to the comma or bracket that ends it. What stands behind
//! the object's last bracket is not looked at; `{statusCode: 200, }foo: 1}`, which AWS takes, has no
//! other reading as simple. What is no object, or whose status is no integer, makes the call a 500.
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
    let mut reader = Reader { rest: text.trim_start(), status: None };
    let is_object = reader.eat('{') && reader.members(0).is_some();
    let status = reader.status.filter(|status| is_object && (100..=599).contains(status));
    status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or(MappingError::NoMockStatus)
}

/// Every method takes what it is named after; `None`: the text is broken.
struct Reader<'t> {
    rest: &'t str,
    /// Of the outermost object; the last one counts.
    status: Option<u16>,
}

impl<'t> Reader<'t> {
    /// The members of an object, and its closing brace.
    fn members(&mut self, depth: usize) -> Option<()> {
        loop {
            self.commas();
            if self.eat('}') {
                return Some(());
            }
            let name = self.name()?;
            let value = self.value('}', depth)?;
            if depth == 0 && name == "statusCode" {
                self.status = value.parse().ok();
            }
        }
    }

    fn name(&mut self) -> Option<&'t str> {
        let name = match self.rest.chars().next()? {
            '{' | '[' | ':' => return None,
            quote @ ('"' | '\'') => self.quoted(quote)?,
            _ => self.until(|c| c == ':')?,
        };
        self.space();
        self.eat(':').then_some(name)
    }

    /// The items of a list, and its closing bracket.
    fn items(&mut self, depth: usize) -> Option<()> {
        loop {
            self.commas();
            if self.eat(']') {
                return Some(());
            }
            self.value(']', depth)?;
        }
    }

    /// A value in what `close` ends. The text of one without quotes, which may be none at all.
    fn value(&mut self, close: char, depth: usize) -> Option<&'t str> {
        self.space();
        let inside = depth + 1;
        let text = match self.rest.chars().next()? {
            '{' | '[' if inside > DEPTH_MAX => return None,
            '{' => {
                self.skip(1);
                self.members(inside).map(|()| "")?
            }
            '[' => {
                self.skip(1);
                self.items(inside).map(|()| "")?
            }
            quote @ ('"' | '\'') => self.quoted(quote).map(|_| "")?,
            _ => self.until(|c| c == ',' || c == close)?,
        };
        self.space();
        self.rest.starts_with([',', close]).then_some(text)
    }

    /// A text in quotes, without them.
    fn quoted(&mut self, quote: char) -> Option<&'t str> {
        self.skip(1);
        let whole = self.rest;
        while let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            match c {
                '\\' => {
                    let escaped = self.rest.chars().next()?;
                    self.skip(escaped.len_utf8());
                }
                c if c == quote => return whole.get(..whole.len() - self.rest.len() - 1),
                _ => {}
            }
        }
        None
    }

    /// All up to a mark, without the blanks around it.
    fn until(&mut self, is_mark: impl Fn(char) -> bool) -> Option<&'t str> {
        let (text, rest) = self.rest.split_at_checked(self.rest.find(is_mark)?)?;
        self.rest = rest;
        Some(text.trim())
    }

    /// Blanks, and commas too many.
    fn commas(&mut self) {
        self.rest = self.rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.rest.starts_with(mark);
        if found {
            self.skip(mark.len_utf8());
        }
        found
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}
