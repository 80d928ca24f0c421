//! `java.util.List`, and what Velocity gives arrays.

use super::meter::RenderError;
use super::render::Machine;
use super::value::{ITEM_BYTES, List, Value};

pub(super) fn call<'r>(
    machine: &mut Machine<'r>,
    list: &List<'r>,
    name: &str,
    arguments: &[Value<'r>],
) -> Result<Option<Value<'r>>, RenderError> {
    let length = list.items().len();
    Ok(Some(match (name, arguments) {
        ("size", []) => Value::integer(length as i128),
        ("isEmpty", []) => Value::Bool(length == 0),
        ("get", [Value::Int(index)]) => {
            let at = inside(*index, length)?;
            list.items().get(at).cloned().unwrap_or(Value::Null)
        }
        ("set", [Value::Int(index), value]) => {
            let at = inside(*index, length)?;
            machine.put_item(list, at, value.clone())?
        }
        ("add", [value]) => {
            machine.touch_list(list, value)?;
            list.change(|items| items.push(value.clone()));
            Value::Bool(true)
        }
        ("add", [Value::Int(index), value]) => {
            let at = if *index as usize == length { length } else { inside(*index, length)? };
            machine.touch_list(list, value)?;
            machine.meter.read(length * ITEM_BYTES)?;
            list.change(|items| items.insert(at, value.clone()));
            Value::Null
        }
        ("addAll", [Value::List(other)]) => {
            let others = other.items().clone();
            for value in &others {
                machine.touch_list(list, value)?;
            }
            let changed = !others.is_empty();
            list.change(|items| items.extend(others));
            Value::Bool(changed)
        }
        ("remove", [Value::Int(index)]) => {
            let at = inside(*index, length)?;
            machine.meter.read(length * ITEM_BYTES)?;
            list.change(|items| items.remove(at))
        }
        ("remove", [value]) => {
            let found = position(machine, list, value, false)?;
            if let Some(at) = found {
                list.change(|items| items.remove(at));
            }
            Value::Bool(found.is_some())
        }
        ("clear", []) => {
            list.change(Vec::clear);
            Value::Null
        }
        ("contains", [value]) => Value::Bool(position(machine, list, value, false)?.is_some()),
        ("containsAll", [Value::List(others)]) => {
            for value in others.items().iter() {
                if position(machine, list, value, false)?.is_none() {
                    return Ok(Some(Value::Bool(false)));
                }
            }
            Value::Bool(true)
        }
        ("indexOf" | "lastIndexOf", [value]) => {
            let found = position(machine, list, value, name == "lastIndexOf")?;
            found.map_or(Value::Int(-1), |at| Value::integer(at as i128))
        }
        ("subList", [Value::Int(from), Value::Int(to)]) => {
            machine.meter.make(length * ITEM_BYTES)?;
            let part = usize::try_from(*from)
                .ok()
                .zip(usize::try_from(*to).ok())
                .and_then(|(from, to)| list.items().get(from..to).map(<[_]>::to_vec));
            let index = i64::from(if *from < 0 { *from } else { *to });
            let part = part.ok_or(RenderError::OutOfBounds { index, length })?;
            Value::List(if list.is_json() { List::json(part) } else { List::new(part) })
        }
        ("iterator" | "toArray", []) => {
            machine.meter.make(length * ITEM_BYTES)?;
            Value::List(List::new(list.items().clone()))
        }
        _ => return Ok(None),
    }))
}

/// `get(-1)` throws, other than `[-1]`.
fn inside(index: i32, length: usize) -> Result<usize, RenderError> {
    let at = usize::try_from(index).ok().filter(|at| *at < length);
    at.ok_or_else(|| RenderError::OutOfBounds { index: index.into(), length })
}

fn position<'r>(
    machine: &Machine<'r>,
    list: &List<'r>,
    value: &Value<'r>,
    from_end: bool,
) -> Result<Option<usize>, RenderError> {
    let items = list.items();
    let mut found = None;
    for (at, own) in items.iter().enumerate() {
        if own.same(value, &machine.meter)? {
            found = Some(at);
            if !from_end {
                break;
            }
        }
    }
    Ok(found)
}
