//! Values as text: Java's `toString`, and JSON.

use std::fmt::Write;

use super::meter::{Meter, RenderError};
use super::number::double_text;
use super::value::{Key, List, Map, Text, Value};

/// Where a text is written to, with the bound it may grow to.
pub(crate) struct Printer<'p> {
    pub(crate) out: &'p mut String,
    pub(crate) meter: &'p Meter,
    pub(crate) bound: usize,
}

/// The text of a value, as `toString` gives it; null is `null`.
pub(crate) fn to_text<'a>(value: &Value<'a>, meter: &Meter) -> Result<Text<'a>, RenderError> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Bool(true) => Ok(Text::Borrowed("true")),
        Value::Bool(false) => Ok(Text::Borrowed("false")),
        other => print(meter, |printer| printer.value(other, 0)).map(Text::from),
    }
}

/// The JSON text of a value.
pub(crate) fn to_json(value: &Value<'_>, meter: &Meter) -> Result<String, RenderError> {
    print(meter, |printer| printer.json(value, 0))
}

fn print(
    meter: &Meter,
    write: impl FnOnce(&mut Printer<'_>) -> Result<(), RenderError>,
) -> Result<String, RenderError> {
    let mut out = String::new();
    write(&mut Printer { out: &mut out, meter, bound: meter.memory_left() })?;
    meter.make(out.len())?;
    Ok(out)
}

impl Printer<'_> {
    fn check(&self) -> Result<(), RenderError> {
        match self.out.len() > self.bound {
            true => Err(RenderError::OutputTooLong { limit: self.bound }),
            false => Ok(()),
        }
    }

    pub(crate) fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<(), RenderError> {
        match value {
            Value::Text(text) => self.out.push_str(text),
            Value::Null => self.out.push_str("null"),
            Value::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(number) => self.number(*number),
            Value::Long(number) => self.number(*number),
            Value::Big(number) => self.number(*number),
            Value::Double(number) => self.out.push_str(&double_text(*number)),
            Value::Exact(text) => self.out.push_str(text),
            Value::List(list) if list.is_json() => return self.json(value, depth),
            Value::List(list) => self.list(list, depth)?,
            Value::Map(map) => self.map(map, depth)?,
            Value::Entry(entry) => {
                self.inner(&entry.0, depth)?;
                self.out.push('=');
                self.inner(&entry.1, depth)?;
            }
            Value::Builtin(_) | Value::Block(_) => {}
        }
        self.check()
    }

    fn inner(&mut self, value: &Value<'_>, depth: usize) -> Result<(), RenderError> {
        self.meter.step()?;
        self.meter.depth(depth)?;
        self.value(value, depth + 1)
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        write!(self.out, "{number}").expect("a String takes all");
    }

    fn list(&mut self, list: &List<'_>, depth: usize) -> Result<(), RenderError> {
        self.out.push('[');
        for (at, item) in list.items().iter().enumerate() {
            if at > 0 {
                self.out.push_str(", ");
            }
            self.inner(item, depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, map: &Map<'_>, depth: usize) -> Result<(), RenderError> {
        self.out.push('{');
        for (at, (key, value)) in map.entries().iter().enumerate() {
            if at > 0 {
                self.out.push_str(", ");
            }
            self.key(key, depth)?;
            self.out.push('=');
            self.inner(value, depth)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn key(&mut self, key: &Key<'_>, depth: usize) -> Result<(), RenderError> {
        match key {
            Key::Text(text) => {
                self.out.push_str(text);
                self.check()
            }
            other => self.inner(&other.value(), depth),
        }
    }

    pub(crate) fn json(&mut self, value: &Value<'_>, depth: usize) -> Result<(), RenderError> {
        self.meter.step()?;
        self.meter.depth(depth)?;
        match value {
            Value::List(list) => {
                self.out.push('[');
                for (at, item) in list.items().iter().enumerate() {
                    if at > 0 {
                        self.out.push(',');
                    }
                    self.json(item, depth + 1)?;
                }
                self.out.push(']');
            }
            Value::Map(map) => {
                self.out.push('{');
                for (at, (key, value)) in map.entries().iter().enumerate() {
                    if at > 0 {
                        self.out.push(',');
                    }
                    match key {
                        Key::Text(name) => self.quoted(name),
                        other => {
                            let name = to_text(&other.value(), self.meter)?;
                            self.quoted(&name);
                        }
                    }
                    self.out.push(':');
                    self.json(value, depth + 1)?;
                }
                self.out.push('}');
            }
            Value::Text(text) => self.quoted(text),
            Value::Entry(_) => {
                let text = to_text(value, self.meter)?;
                self.quoted(&text);
            }
            Value::Builtin(_) | Value::Block(_) => self.out.push_str("\"\""),
            plain => return self.value(plain, depth),
        }
        self.check()
    }

    /// A JSON string. `/` and characters beyond ASCII stay as they are.
    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            let escape = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0x08 => "\\b",
                0x0c => "\\f",
                0..0x20 | 0x7f => "",
                _ => continue,
            };
            self.out.push_str(text.get(plain..at).unwrap_or_default());
            plain = at + 1;
            match escape {
                "" => write!(self.out, "\\u{byte:04X}").expect("a String takes all"),
                escape => self.out.push_str(escape),
            }
        }
        self.out.push_str(text.get(plain..).unwrap_or_default());
        self.out.push('"');
    }
}
