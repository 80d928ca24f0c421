//! Text to tree: JSON or YAML into [`Node`]s that remember their line and column.
//!
//! serde_json judges JSON and decodes its scalars; because it forgets where values stood and lets
//! a repeated key win silently, a small scanner of ours walks the same (by then valid) text and
//! builds the tree. YAML goes through serde-saphyr, which knows places and refuses repeated keys.
//! RFC 8259; YAML 1.2.2 with the core schema, booleans only as `true` and `false`.

use std::fmt;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

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

/// Reads YAML on a stack of its own: the reader takes one frame after the other for each level of
/// nesting, in a debug build some 2 to 4 MiB for [`DEPTH_MAX`] levels, and callers' threads may
/// have less. An overflow would end the process.
fn yaml(text: &str, findings: &Findings) -> Option<Node> {
    /// Reserved, not used, unless a document is as deep as it may be.
    const STACK_BYTES: usize = 16 * 1024 * 1024;

    let read = std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("yaml".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || yaml_tree(text))
            .map_err(|err| ((0, 0), format!("the document cannot be read now: {err}")))?;
        let failed = |_| ((0, 0), "not valid YAML: reading it failed".to_owned());
        reader.join().map_err(failed)?
    });
    match read {
        Ok(node) => Some(node),
        Err((place, message)) => {
            findings.add(place, "", message, None);
            None
        }
    }
}

/// The tree, or what is wrong and where.
fn yaml_tree(text: &str) -> Result<Node, ((u32, u32), String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: NODES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Marked>(text, options) {
        Ok(Marked(node)) => Ok(node),
        Err(err) => {
            let place = err.location().map_or((0, 0), |at| mark_of(at.line(), at.column()));
            let said = err.to_string();
            let mut message = said.lines().next().unwrap_or_default();
            // The place is said once, in our own form.
            if let Some((head, _)) = message.rsplit_once(" at line ") {
                message = head;
            }
            if let Some((head, tail)) = message.split_once(": ")
                && head.starts_with("error: line ")
            {
                message = tail;
            }
            Err((place, format!("not valid YAML: {message}")))
        }
    }
}

fn mark_of(line: u64, column: u64) -> (u32, u32) {
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A node on its way out of serde.
struct Marked(Node);

impl<'de> Deserialize<'de> for Marked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Bare>::deserialize(deserializer)?;
        let mark = mark_of(spanned.referenced.line(), spanned.referenced.column());
        Ok(Self(Node { value: spanned.value.0, mark }))
    }
}

/// A value without its place, which only the wrapper around it is told.
struct Bare(Value);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor).map(Self)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Marked(node)) = list.next_element()? {
            items.push(node);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = IndexMap::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let Marked(node) = map.next_value()?;
            let mark = mark_of(key.referenced.line(), key.referenced.column());
            entries.insert(key.value, Node { mark, ..node });
        }
        Ok(Value::Map(entries))
    }
}
