//! Bodies as values: a JSON reader that borrows texts from the body.
//!
//! It makes the engine's own values in one pass, because a body is read for a single call and
//! copying it first would cost more than rendering. Numbers get the Java type that AWS's reader
//! gives them, and keep their text where no number of ours holds it. RFC 8259.

use crate::mapping::template::cursor::Cursor;
use crate::mapping::template::meter::{DEPTH_MAX, RenderError};
use crate::mapping::template::value::{Entries, Key, List, Map, Text, Value};

/// The longest decimal that becomes a `double`. Jayway's reader, json-smart, makes a `BigDecimal`
/// of a longer one (seen by asking it); a double holds 17 digits.
const DOUBLE_BYTES_MAX: usize = 18;

/// The value a text stands for, as a whole; `None` where it is not JSON.
///
/// # Errors
/// The text is nested deeper than we follow: what it says must not be lost in silence.
pub(crate) fn parse(text: &str) -> Result<Option<Value<'_>>, RenderError> {
    let mut reader = Reader { cursor: Cursor::new(text), is_too_deep: false };
    let value = reader.value(0);
    if reader.is_too_deep {
        return Err(RenderError::TooDeep { limit: DEPTH_MAX });
    }
    reader.cursor.skip_space();
    Ok(value.filter(|_| reader.cursor.is_at_end()))
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    is_too_deep: bool,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Option<Value<'t>> {
        if depth >= DEPTH_MAX {
            self.is_too_deep = true;
            return None;
        }
        self.cursor.skip_space();
        match self.cursor.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.cursor.eat_text("true").then_some(Value::Bool(true)),
            b'f' => self.cursor.eat_text("false").then_some(Value::Bool(false)),
            b'n' => self.cursor.eat_text("null").then_some(Value::Null),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value<'t>> {
        self.cursor.skip(1);
        let mut entries = Entries::default();
        self.cursor.skip_space();
        if self.cursor.eat(b'}') {
            return Some(Value::Map(Map::new(entries)));
        }
        loop {
            self.cursor.skip_space();
            if self.cursor.peek() != Some(b'"') {
                return None;
            }
            let name = self.string()?;
            self.cursor.skip_space();
            if !self.cursor.eat(b':') {
                return None;
            }
            let value = self.value(depth + 1)?;
            entries.insert(Key::Text(name), value);
            self.cursor.skip_space();
            match self.cursor.peek()? {
                b',' => self.cursor.skip(1),
                b'}' => {
                    self.cursor.skip(1);
                    return Some(Value::Map(Map::new(entries)));
                }
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value<'t>> {
        self.cursor.skip(1);
        let mut items = Vec::new();
        self.cursor.skip_space();
        if self.cursor.eat(b']') {
            return Some(Value::List(List::json(items)));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.cursor.skip_space();
            match self.cursor.peek()? {
                b',' => self.cursor.skip(1),
                b']' => {
                    self.cursor.skip(1);
                    return Some(Value::List(List::json(items)));
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Value<'t>> {
        let start = self.cursor;
        self.cursor.eat(b'-');
        let whole = self.cursor.take_while(|byte| byte.is_ascii_digit());
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let mut is_whole = true;
        if self.cursor.eat(b'.') {
            is_whole = false;
            if self.cursor.take_while(|byte| byte.is_ascii_digit()).is_empty() {
                return None;
            }
        }
        if self.cursor.eat(b'e') || self.cursor.eat(b'E') {
            is_whole = false;
            let _signed = self.cursor.eat(b'-') || self.cursor.eat(b'+');
            if self.cursor.take_while(|byte| byte.is_ascii_digit()).is_empty() {
                return None;
            }
        }
        let text = self.cursor.since(start);
        let exact = || Value::Exact(Text::Borrowed(text));
        if is_whole {
            return Some(text.parse().map_or_else(|_| exact(), Value::integer));
        }
        let number: f64 = text.parse().ok()?;
        let is_held = number.is_finite() && text.len() <= DOUBLE_BYTES_MAX;
        Some(if is_held { Value::Double(number) } else { exact() })
    }

    fn string(&mut self) -> Option<Text<'t>> {
        self.cursor.skip(1);
        let plain = self.plain()?;
        if self.cursor.eat(b'"') {
            return Some(Text::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.cursor.peek()? {
                b'"' => {
                    self.cursor.skip(1);
                    return Some(Text::from(text));
                }
                _ => text.push(self.escape()?),
            }
            text.push_str(self.plain()?);
        }
    }

    /// Up to a quote or a backslash; control characters may not stand in a string.
    fn plain(&mut self) -> Option<&'t str> {
        let rest = self.cursor.rest().as_bytes();
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let start = self.cursor;
        self.cursor.skip(length);
        (rest.get(length).is_some_and(|byte| *byte >= 0x20)).then(|| self.cursor.since(start))
    }

    fn escape(&mut self) -> Option<char> {
        self.cursor.skip(1);
        let escaped = self.cursor.peek()?;
        self.cursor.skip(1);
        Some(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode()?,
            _ => return None,
        })
    }

    /// One character of one or two `\u`; half a pair becomes the replacement character.
    fn unicode(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if (0xd800..0xdc00).contains(&first) {
            let place = self.cursor;
            if self.cursor.eat_text("\\u")
                && let Some(second) = self.four_digits()
                && let Some(Ok(both)) = char::decode_utf16([first, second]).next()
            {
                return Some(both);
            }
            self.cursor = place;
        }
        Some(char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Option<u16> {
        let digits = self.cursor.rest().get(..4)?;
        let digits = Some(digits).filter(|d| d.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.cursor.skip(4);
        u16::from_str_radix(digits, 16).ok()
    }
}
