//! Text to tree: JSON or YAML into [`Node`]s that remember their line and column.
//!
//! serde_json judges JSON and decodes its scalars; because it forgets where values stood and lets
//! a repeated key win silently, a small scanner of ours walks the same (by then valid) text and
//! builds the tree (RFC 8259).

use indexmap::IndexMap;
use serde::de::IgnoredAny;

use crate::admin::yaml;
use crate::model::document::{DEPTH_MAX, NODES_MAX, Node, Value};
use crate::model::problem::Findings;
use crate::model::quotas;

/// Reads a whole document. `None` when it has no tree; the findings then say why.
pub(in crate::admin) fn parse(bytes: &[u8], findings: &Findings) -> Option<Node> {
    if bytes.len() as u64 > quotas::DEFINITION_BYTES_MAX {
        let most = quotas::DEFINITION_BYTES_MAX;
        findings.add((0, 0), "", format!("the document is longer than {most} bytes"), None);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(err) => {
            let line = 1 + bytes.iter().take(err.valid_up_to()).filter(|b| **b == b'\n').count();
            findings.add((saturated(line), 1), "", "the document is not UTF-8 text", None);
            return None;
        }
    };
    if text.trim_start().is_empty() {
        findings.add((0, 0), "", "the document is empty", None);
        return None;
    }
    if text.trim_start().starts_with('{') { json(text, findings) } else { yaml(text, findings) }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn json(text: &str, findings: &Findings) -> Option<Node> {
    if let Err(err) = serde_json::from_str::<IgnoredAny>(text) {
        let place = (saturated(err.line()), saturated(err.column()));
        let said = err.to_string();
        let message = said.split(" at line ").next().unwrap_or("not JSON");
        findings.add(place, "", format!("not valid JSON: {message}"), None);
        return None;
    }
    let mut scanner = Scanner { text, place: 0, line: 1, line_start: 0, nodes: 0, findings };
    match scanner.value(0) {
        Ok(node) => Some(node),
        Err(reason) => {
            findings.add(scanner.mark(), "", reason, None);
            None
        }
    }
}

/// Walks valid JSON. It trusts nothing for memory safety or progress, only for good messages.
struct Scanner<'a> {
    text: &'a str,
    /// Bytes consumed.
    place: usize,
    line: u32,
    /// Byte at which the current line begins.
    line_start: usize,
    nodes: usize,
    findings: &'a Findings,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: usize) -> Result<Node, &'static str> {
        if depth >= DEPTH_MAX {
            return Err("the document is nested too deeply");
        }
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err("the document holds too many values");
        }
        self.space();
        let mark = self.mark();
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            _ => self.word()?,
        };
        Ok(Node { value, mark })
    }

    fn map(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.place += 1;
        let mut entries = IndexMap::new();
        loop {
            self.space();
            match self.peek() {
                Some(b'}') => break,
                Some(b',') => self.place += 1,
                Some(b'"') => {
                    let mark = self.mark();
                    let key = self.string()?;
                    self.space();
                    if self.peek() != Some(b':') {
                        return Err("not valid JSON: `:` expected");
                    }
                    self.place += 1;
                    let node = Node { mark, ..self.value(depth + 1)? };
                    if entries.contains_key(&key) {
                        self.findings.add(mark, &key, "this key stands here twice", None);
                    } else {
                        entries.insert(key, node);
                    }
                }
                _ => return Err("not valid JSON: a key expected"),
            }
        }
        self.place += 1;
        Ok(Value::Map(entries))
    }

    fn list(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.place += 1;
        let mut items = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(b']') => break,
                Some(b',') => self.place += 1,
                Some(_) => items.push(self.value(depth + 1)?),
                None => return Err("not valid JSON: the list does not end"),
            }
        }
        self.place += 1;
        Ok(Value::List(items))
    }

    fn string(&mut self) -> Result<String, &'static str> {
        let bytes = self.text.as_bytes();
        let start = self.place;
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err("not valid JSON: the text does not end"),
            }
        }
        self.place = end + 1;
        let token = self.text.get(start..=end).unwrap_or_default();
        serde_json::from_str(token).map_err(|_| "not valid JSON: bad text")
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<Value, &'static str> {
        let rest = self.text.get(self.place..).unwrap_or_default();
        let end = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        let token = rest.get(..end).unwrap_or_default();
        let value: serde_json::Value =
            serde_json::from_str(token).map_err(|_| "not valid JSON: a value expected")?;
        self.place += end;
        Ok(match value {
            serde_json::Value::Bool(value) => Value::Boolean(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Value::Integer(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::INFINITY)),
            },
            _ => Value::Null,
        })
    }

    fn space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.place += 1;
            if byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.line_start = self.place;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    fn mark(&self) -> (u32, u32) {
        /// A document in one line has no useful columns beyond this, and counting them for each
        /// value would cost the square of the document's length.
        const COLUMN_MAX: usize = 1_000;
        let bytes = self.place - self.line_start;
        let column = if bytes > COLUMN_MAX {
            bytes
        } else {
            self.text.get(self.line_start..self.place).map_or(bytes, |line| line.chars().count())
        };
        (self.line, saturated(column + 1))
    }
}

fn yaml(text: &str, findings: &Findings) -> Option<Node> {
    match yaml::read::<yaml::Plain>(text) {
        Ok(node) => Some(node),
        Err((place, message)) => {
            findings.add(place, "", message, None);
            None
        }
    }
}
