//! `java.util.Map`.

use std::rc::Rc;

use super::meter::RenderError;
use super::render::Machine;
use super::value::{ITEM_BYTES, Key, List, Map, Value};

pub(super) fn call<'r>(
    machine: &mut Machine<'r>,
    map: &Map<'r>,
    name: &str,
    arguments: &[Value<'r>],
) -> Result<Option<Value<'r>>, RenderError> {
    let length = map.entries().len();
    Ok(Some(match (name, arguments) {
        ("get", [key]) => {
            let key = machine.key(key.clone())?;
            map.entries().get(&key).cloned().unwrap_or(Value::Null)
        }
        ("getOrDefault", [key, default]) => {
            let key = machine.key(key.clone())?;
            map.entries().get(&key).unwrap_or(default).clone()
        }
        ("put", [key, value]) => machine.put_entry(map, key.clone(), value.clone())?,
        ("putIfAbsent", [key, value]) => {
            let own = machine.key(key.clone())?;
            let found = map.entries().get(&own).cloned();
            match found {
                Some(found) => found,
                None => machine.put_entry(map, key.clone(), value.clone())?,
            }
        }
        ("putAll", [other]) => {
            let other = match other {
                Value::Map(other) => other.clone(),
                Value::Builtin(builtin) => match machine.whole(*builtin) {
                    Value::Map(other) => other,
                    _ => return Ok(None),
                },
                _ => return Ok(None),
            };
            let entries: Vec<_> =
                other.entries().iter().map(|(key, value)| (key.value(), value.clone())).collect();
            for (key, value) in entries {
                machine.put_entry(map, key, value)?;
            }
            Value::Null
        }
        ("remove", [key]) => {
            let key = machine.key(key.clone())?;
            machine.meter.read(length * ITEM_BYTES)?;
            map.change(|entries| entries.shift_remove(&key)).unwrap_or(Value::Null)
        }
        ("clear", []) => {
            map.change(|entries| entries.clear());
            Value::Null
        }
        ("size", []) => Value::integer(length as i128),
        ("isEmpty", []) => Value::Bool(length == 0),
        ("containsKey", [key]) => {
            let key = machine.key(key.clone())?;
            Value::Bool(map.entries().contains_key(&key))
        }
        ("containsValue", [value]) => {
            for own in map.entries().values() {
                if own.same(value, &machine.meter)? {
                    return Ok(Some(Value::Bool(true)));
                }
            }
            Value::Bool(false)
        }
        ("keySet" | "values" | "entrySet", []) => {
            machine.meter.make(length * ITEM_BYTES)?;
            let entries = map.entries();
            Value::List(List::new(match name {
                "keySet" => entries.keys().map(Key::value).collect(),
                "values" => entries.values().cloned().collect(),
                _ => entries.iter().map(|(key, value)| entry(key, value)).collect(),
            }))
        }
        _ => return Ok(None),
    }))
}

fn entry<'r>(key: &Key<'r>, value: &Value<'r>) -> Value<'r> {
    Value::Entry(Rc::new((key.value(), value.clone())))
}
