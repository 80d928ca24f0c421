//! A place in a template's text.
//!
//! All that has a meaning is ASCII, so that bytes can be looked at; texts are cut only next to such
//! bytes.

/// Where parsing stands. A copy is a bookmark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

pub(crate) fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// Of directives; those of references may hold `-`, too.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> &'t str {
        self.slice(self.at, self.text.len())
    }

    /// The text from an earlier place to this one.
    pub(crate) fn since(&self, earlier: Cursor<'t>) -> &'t str {
        self.slice(earlier.at, self.at)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Over bytes that the caller has seen to be ASCII.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.text.len());
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn eat_text(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'t str {
        let start = *self;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.since(start)
    }

    /// Text up to what may have a meaning.
    pub(super) fn until_special(&mut self) -> &'t str {
        let start = *self;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += memchr::memchr3(b'$', b'#', b'\\', rest).unwrap_or(rest.len());
        self.since(start)
    }

    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|byte| byte == b' ' || byte == b'\t');
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Blanks and an opening parenthesis; else stays where it is.
    pub(super) fn opens(&mut self) -> bool {
        let start = *self;
        self.skip_blanks();
        let found = self.eat(b'(');
        if !found {
            *self = start;
        }
        found
    }

    fn eat_newline(&mut self) -> bool {
        self.eat_text("\r\n") || self.eat(b'\n') || self.eat(b'\r')
    }

    /// Blanks and the end of the line; stays where something else stands in the line.
    pub(super) fn skip_rest_of_line(&mut self) {
        let start = *self;
        self.skip_blanks();
        if !self.eat_newline() {
            *self = start;
        }
    }

    pub(super) fn skip_line(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        self.eat_newline();
    }

    /// Text up to a mark, and over the mark.
    pub(super) fn take_through(&mut self, mark: &str) -> Option<&'t str> {
        let (text, _) = self.rest().split_once(mark)?;
        self.at += text.len() + mark.len();
        Some(text)
    }

    /// The same, or to the end.
    pub(super) fn skip_through(&mut self, mark: &str) {
        if self.take_through(mark).is_none() {
            self.at = self.text.len();
        }
    }
}
