//! The mapping template that a model suggests: its shape, each value read from the input.
//!
//! AWS: API Gateway API Reference, "GetModelTemplate"; the form follows the photos example of the
//! Developer Guide, "Mapping templates for REST APIs".

use serde_json::{Map, Value};

use crate::model::quotas;

/// Depth of schemas that are written out; deeper ones end in an empty value.
const DEPTH_MAX: usize = 32;

/// Length of a variable's name with all names above it: every leaf below repeats it.
const SOURCE_BYTES_MAX: usize = 4_096;

/// The template of a flattened schema; `None` when it would be longer than templates may be.
pub(crate) fn skeleton(schema: &Value) -> Option<String> {
    let mut out = String::from("#set($inputRoot = $input.path('$'))\n");
    write(&mut out, schema, "$inputRoot", 0, 0)?;
    Some(out)
}

/// `source` is the variable that holds what the schema describes; `loops` counts the loops around.
fn write(out: &mut String, schema: &Value, source: &str, depth: usize, loops: usize) -> Option<()> {
    if out.len() > quotas::TEMPLATE_BYTES_MAX || source.len() > SOURCE_BYTES_MAX {
        return None;
    }
    let indent = "  ".repeat(depth);
    match (kind(schema), depth < DEPTH_MAX) {
        ("object", true) => match schema.get("properties").and_then(Value::as_object) {
            Some(properties) if !properties.is_empty() => {
                write_members(out, properties, source, depth, loops)?;
            }
            _ => out.push_str("{ }"),
        },
        ("array", true) => {
            let elem = if loops == 0 { "elem".to_owned() } else { format!("elem{loops}") };
            out.push_str(&format!("[\n{indent}#foreach(${elem} in {source})\n{indent}  "));
            let items = schema.get("items").unwrap_or(&Value::Null);
            write(out, items, &format!("${elem}"), depth + 1, loops + 1)?;
            out.push_str(&format!("#if($foreach.hasNext),#end\n\n{indent}#end\n{indent}]"));
        }
        ("integer" | "number" | "boolean", _) => out.push_str(source),
        ("string", _) => out.push_str(&format!("\"{source}\"")),
        _ => out.push_str("{ }"),
    }
    Some(())
}

fn write_members(
    out: &mut String,
    properties: &Map<String, Value>,
    source: &str,
    depth: usize,
    loops: usize,
) -> Option<()> {
    let indent = "  ".repeat(depth);
    out.push_str("{\n");
    for (index, (name, schema)) in properties.iter().enumerate() {
        let separator = if index + 1 < properties.len() { "," } else { "" };
        out.push_str(&format!("{indent}  {} : ", Value::from(name.as_str())));
        write(out, schema, &format!("{source}.{name}"), depth + 1, loops)?;
        out.push_str(separator);
        out.push('\n');
    }
    out.push_str(&format!("{indent}}}"));
    Some(())
}

/// The schema's type; of several the first that is not null.
fn kind(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
        }
        named => named.and_then(Value::as_str),
    };
    let guessed = if schema.get("items").is_some() { "array" } else { "object" };
    named.unwrap_or(guessed)
}
