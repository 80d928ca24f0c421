//! A document as YAML: keys in their order, every text in double quotes, as AWS writes it.
//!
//! Texts are never plain, so none can be mistaken for a number, a truth value or a date. Keys are
//! plain where no YAML reader could take them for anything else. YAML 1.2.2.

use serde_json::{Map, Value};

/// Longest key in the short form. YAML 1.2.2, section 7.4.2: implicit keys end within 1,024
/// characters, and an escape may take ten for one.
const SHORT_KEY_MAX: usize = 100;

/// The value as a YAML document.
pub fn to_yaml(document: &Map<String, Value>) -> String {
    let mut out = String::from("---\n");
    if document.is_empty() {
        out.push_str("{}\n");
    }
    table(&mut out, document, 0);
    out
}

/// Recursion is as deep as the value, which its parser has bounded.
fn table(out: &mut String, entries: &Map<String, Value>, indent: usize) {
    for (key, value) in entries {
        spaces(out, indent);
        if key.len() > SHORT_KEY_MAX {
            out.push_str("? ");
            quoted(out, key);
            out.push('\n');
            spaces(out, indent);
        } else if is_plain(key) {
            out.push_str(key);
        } else {
            quoted(out, key);
        }
        out.push(':');
        below(out, value, indent);
    }
}

/// What stands after a `:`.
fn below(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            out.push('\n');
            table(out, entries, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            list(out, items, indent);
        }
        _ => {
            out.push(' ');
            scalar(out, value);
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        spaces(out, indent);
        out.push('-');
        match item {
            Value::Object(entries) if !entries.is_empty() => {
                // The first entry stands on the dash's line, the others below it.
                let start = out.len();
                table(out, entries, indent + 2);
                let filled = indent + 2;
                out.replace_range(start..start + filled, " ");
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                list(out, inner, indent + 2);
            }
            _ => {
                out.push(' ');
                scalar(out, item);
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => quoted(out, text),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
    out.push('\n');
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// Whether every YAML reader takes the key for this very text.
fn is_plain(key: &str) -> bool {
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let word = key.to_ascii_lowercase();
    let is_word = matches!(
        word.as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
    );
    begins && !is_word && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-.{}+".contains(&b))
}

/// YAML's double-quoted style, which has all of JSON's escapes; what YAML counts as unprintable or
/// as a line break is escaped besides.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => escaped(out, c),
            c if c.is_control() => escaped(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn escaped(out: &mut String, c: char) {
    out.push_str(&format!("\\u{:04X}", u32::from(c)));
}
