//! Bodies as their models see them: JSON with numbers as they are written.
//!
//! serde_json's own value makes binary numbers, and refuses `1e400`, halves of characters and what
//! is nested deeper than 128, all of which AWS's reader takes. So bodies have a reader of their own.
//! It does not recurse; whoever walks a value may, since its depth is bounded. RFC 8259.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde_json::Value;

use super::schema_number::Decimal;

/// Objects and arrays within each other. Jackson, AWS's reader: `StreamReadConstraints`,
/// `DEFAULT_MAX_DEPTH`.
const DEPTH_MAX: usize = 1_000;

/// A value; texts are borrowed where they have no escapes.
#[derive(Clone, Debug)]
pub(super) enum Json<'t> {
    Null,
    Bool(bool),
    Number(Cow<'t, str>),
    Text(Cow<'t, str>),
    List(Vec<Json<'t>>),
    Object(Members<'t>),
}

pub(super) type Members<'t> = IndexMap<Cow<'t, str>, Json<'t>>;

impl<'t> Json<'t> {
    /// The value that the bytes are, as a whole; `None` where they are no JSON.
    pub(super) fn read(bytes: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = Reader { text, at: 0 };
        let value = reader.value()?;
        reader.skip_space();
        (reader.at == text.len()).then_some(value)
    }

    /// Of what a schema holds.
    pub(super) fn of(value: &Value) -> Json<'static> {
        match value {
            Value::Null => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Number(number) => Json::Number(Cow::Owned(number.to_string())),
            Value::String(text) => Json::Text(Cow::Owned(text.clone())),
            Value::Array(list) => Json::List(list.iter().map(Json::of).collect()),
            Value::Object(members) => Json::Object(
                members
                    .iter()
                    .map(|(name, member)| (Cow::Owned(name.clone()), Json::of(member)))
                    .collect(),
            ),
        }
    }

    /// Numbers by their value, objects whatever the order of their members.
    pub(super) fn is_same(&self, other: &Json<'_>) -> bool {
        match (self, other) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(one), Json::Bool(other)) => one == other,
            (Json::Text(one), Json::Text(other)) => one == other,
            (Json::Number(one), Json::Number(other)) => {
                one == other || Decimal::read(one) == Decimal::read(other)
            }
            (Json::List(one), Json::List(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| one.is_same(other))
            }
            (Json::Object(one), Json::Object(other)) => {
                let has = |(name, member): (&Cow<'_, str>, &Json<'_>)| {
                    other.get(name.as_ref()).is_some_and(|own| member.is_same(own))
                };
                one.len() == other.len() && one.iter().all(has)
            }
            _ => false,
        }
    }

    /// As JSON, at least as many bytes of it as asked for.
    pub(super) fn print(&self, out: &mut String, bytes_max: usize) {
        if out.len() > bytes_max {
            return;
        }
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(text) => out.push_str(text),
            Json::Text(text) => out.push_str(&in_quotes(text)),
            Json::List(list) => {
                out.push('[');
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.print(out, bytes_max);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&in_quotes(name));
                    out.push(':');
                    member.print(out, bytes_max);
                }
                out.push('}');
            }
        }
    }

    /// One text for all values that are the same.
    pub(super) fn canonical(&self, out: &mut String) {
        match self {
            Json::Number(text) => out.push_str(&Decimal::read(text).canonical()),
            Json::List(list) => {
                out.push('[');
                for item in list {
                    item.canonical(out);
                    out.push(',');
                }
                out.push(']');
            }
            Json::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                out.push('{');
                for (name, member) in members {
                    out.push_str(&in_quotes(name));
                    member.canonical(out);
                }
                out.push('}');
            }
            other => other.print(out, usize::MAX),
        }
    }
}

pub(super) fn in_quotes(text: &str) -> String {
    Value::from(text).to_string()
}

/// What is open while a text is read.
enum Open<'t> {
    List(Vec<Json<'t>>),
    /// With the name of the member that comes next.
    Object(Members<'t>, Cow<'t, str>),
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_text(&mut self, text: &str) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(text));
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<Json<'t>> {
        let mut open: Vec<Open<'t>> = Vec::new();
        loop {
            let mut value = match self.begin()? {
                Begun::Whole(value) => value,
                Begun::Open(container) if open.len() < DEPTH_MAX => {
                    open.push(container);
                    continue;
                }
                Begun::Open(_) => return None,
            };
            // What the value completes.
            loop {
                let Some(container) = open.last_mut() else { return Some(value) };
                self.skip_space();
                match container {
                    Open::List(list) => {
                        list.push(value);
                        if self.eat(b',') {
                            break;
                        }
                        if !self.eat(b']') {
                            return None;
                        }
                    }
                    Open::Object(members, name) => {
                        members.insert(std::mem::take(name), value);
                        if self.eat(b',') {
                            *name = self.name()?;
                            break;
                        }
                        if !self.eat(b'}') {
                            return None;
                        }
                    }
                }
                value = match open.pop()? {
                    Open::List(list) => Json::List(list),
                    Open::Object(members, _) => Json::Object(members),
                };
            }
        }
    }

    fn begin(&mut self) -> Option<Begun<'t>> {
        self.skip_space();
        let value = match self.peek()? {
            b'{' => {
                self.at += 1;
                self.skip_space();
                if !self.eat(b'}') {
                    return Some(Begun::Open(Open::Object(Members::new(), self.name()?)));
                }
                Json::Object(Members::new())
            }
            b'[' => {
                self.at += 1;
                self.skip_space();
                if !self.eat(b']') {
                    return Some(Begun::Open(Open::List(Vec::new())));
                }
                Json::List(Vec::new())
            }
            b'"' => Json::Text(self.string()?),
            b't' => self.eat_text("true").then_some(Json::Bool(true))?,
            b'f' => self.eat_text("false").then_some(Json::Bool(false))?,
            b'n' => self.eat_text("null").then_some(Json::Null)?,
            _ => Json::Number(self.number()?),
        };
        Some(Begun::Whole(value))
    }

    /// Of a member, with its colon.
    fn name(&mut self) -> Option<Cow<'t, str>> {
        self.skip_space();
        let name = self.string()?;
        self.skip_space();
        self.eat(b':').then_some(name)
    }

    fn number(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        self.eat(b'-');
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.text.as_bytes().get(self.at - whole) == Some(&b'0')) {
            return None;
        }
        if self.eat(b'.') && self.digits() == 0 {
            return None;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _has_sign = self.eat(b'-') || self.eat(b'+');
            if self.digits() == 0 {
                return None;
            }
        }
        self.text.get(start..self.at).map(Cow::Borrowed)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        if !self.eat(b'"') {
            return None;
        }
        let plain = self.plain()?;
        if self.eat(b'"') {
            return Some(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        while self.eat(b'\\') {
            text.push(self.escape()?);
            text.push_str(self.plain()?);
        }
        self.eat(b'"').then_some(Cow::Owned(text))
    }

    /// As far as there is neither the end nor an escape nor what may not stand there.
    fn plain(&mut self) -> Option<&'t str> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        let length = rest.iter().take_while(|byte| is_plain(byte)).count();
        let plain = self.text.get(self.at..self.at + length);
        self.at += length;
        plain
    }

    fn escape(&mut self) -> Option<char> {
        let escaped = self.peek()?;
        self.at += 1;
        Some(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unit()?,
            _ => return None,
        })
    }

    /// Half a character alone is U+FFFD: no text of ours can hold it.
    fn unit(&mut self) -> Option<char> {
        let first = self.hexadecimal()?;
        let after = self.at;
        if (0xd800..0xdc00).contains(&first)
            && self.eat_text("\\u")
            && let Some(second) = self.hexadecimal()
            && let Some(Ok(whole)) = char::decode_utf16([first, second]).next()
        {
            return Some(whole);
        }
        self.at = after;
        Some(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hexadecimal(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        self.at += 4;
        u16::from_str_radix(digits, 16).ok().filter(|_| are_digits)
    }
}

enum Begun<'t> {
    Whole(Json<'t>),
    Open(Open<'t>),
}
