//! TOML text to tree: [`Node`]s that remember their line and column, in the file's order.
//!
//! TOML 1.0; all syntax errors of a file come at once, because the parser recovers.

use indexmap::IndexMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::document::{Node, Value};
use crate::model::problem::Findings;

/// Bytes of a topology file; one with hundreds of nodes needs a tenth.
const TOPOLOGY_BYTES_MAX: usize = 1024 * 1024;

/// `None` when there is no tree worth checking; the findings then say why.
pub(super) fn parse(text: &str, findings: &Findings) -> Option<Node> {
    if text.len() > TOPOLOGY_BYTES_MAX {
        let most = TOPOLOGY_BYTES_MAX;
        findings.add((0, 0), "", format!("the file is longer than {most} bytes"), None);
        return None;
    }
    let places = Places::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let mark = error.span().map_or((0, 0), |span| places.mark(span.start));
            findings.add(mark, "", format!("not valid TOML: {}", error.message()), None);
        }
        return None;
    }
    Some(Node { value: map(table.get_ref(), &places), mark: (1, 1) })
}

fn map(table: &DeTable<'_>, places: &Places<'_>) -> Value {
    // The parser sorts keys by name; the file's order is the one people know.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries: IndexMap<String, Node> = entries
        .into_iter()
        .map(|(key, value)| {
            let mark = places.mark(key.span().start);
            (key.get_ref().to_string(), Node { value: value_of(value, places), mark })
        })
        .collect();
    Value::Map(entries)
}

fn value_of(value: &Spanned<DeValue<'_>>, places: &Places<'_>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Float(f64::INFINITY), Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node {
                    value: value_of(item, places),
                    mark: places.mark(item.span().start),
                })
                .collect(),
        ),
        DeValue::Table(table) => map(table, places),
    }
}

/// Byte offsets to lines and columns.
struct Places<'a> {
    text: &'a str,
    /// The byte at which each line begins.
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { text, starts: std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect() }
    }

    fn mark(&self, offset: usize) -> (u32, u32) {
        /// Beyond this a column is counted in bytes; see the same bound in `admin::openapi`.
        const COLUMN_MAX: usize = 1_000;
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let bytes = offset.saturating_sub(start);
        let column = if bytes > COLUMN_MAX {
            bytes
        } else {
            self.text.get(start..offset).map_or(bytes, |line| line.chars().count())
        };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(line), number(column + 1))
    }
}
