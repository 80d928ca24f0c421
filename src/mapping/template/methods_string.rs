//! `java.lang.String`. Lengths and indices count UTF-16 units, as in Java.

use super::format;
use super::meter::RenderError;
use super::render::Machine;
use super::tree::{Call, Prepared};
use super::value::{ITEM_BYTES, List, Text, Value};
use crate::mapping::java_regex::{JavaRegex, RegexError};

/// What compiling an expression costs, in bytes read: expressions that are computed are compiled
/// at each use.
const COMPILING: usize = 32 * 1024;

pub(super) fn call<'r>(
    machine: &mut Machine<'r>,
    own: &Text<'r>,
    call: &'r Call,
    arguments: &[Value<'r>],
) -> Result<Option<Value<'r>>, RenderError> {
    machine.meter.read(own.len())?;
    let name = &*call.name;
    if let Some(result) = plain(own, name, arguments) {
        return Ok(Some(result));
    }
    if matches!(name, "matches" | "replaceAll" | "replaceFirst" | "split") {
        return with_regex(machine, own, call, arguments);
    }
    made(machine, own, name, arguments)
}

/// Methods that answer with a number, a flag or nothing new.
fn plain<'r>(own: &Text<'r>, name: &str, arguments: &[Value<'r>]) -> Option<Value<'r>> {
    let flag = |flag: bool| Some(Value::Bool(flag));
    match (name, arguments) {
        ("length", []) => Some(Value::integer(length(own) as i128)),
        ("isEmpty", []) => flag(own.is_empty()),
        ("isBlank", []) => flag(own.trim().is_empty()),
        ("toString" | "intern", []) => Some(Value::Text(own.clone())),
        ("equals", [other]) => flag(other.as_str() == Some(&**own)),
        ("equalsIgnoreCase", [other]) => {
            flag(other.as_str().is_some_and(|other| other.to_lowercase() == own.to_lowercase()))
        }
        ("contains", [Value::Text(part)]) => flag(own.contains(&**part)),
        ("startsWith", [Value::Text(part)]) => flag(own.starts_with(&**part)),
        ("endsWith", [Value::Text(part)]) => flag(own.ends_with(&**part)),
        ("startsWith", [Value::Text(part), Value::Int(from)]) => {
            let rest = usize::try_from(*from).ok().and_then(|from| byte_at(own, from));
            flag(rest.and_then(|at| own.get(at..)).is_some_and(|rest| rest.starts_with(&**part)))
        }
        ("indexOf", [Value::Text(part), rest @ ..]) => index_of(own, part, rest),
        ("lastIndexOf", [Value::Text(part)]) => Some(index(own, own.rfind(&**part))),
        ("compareTo" | "compareToIgnoreCase", [Value::Text(other)]) => {
            Some(compare(own, other, name == "compareToIgnoreCase"))
        }
        ("hashCode", []) => {
            let hash = own
                .encode_utf16()
                .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
            Some(Value::Int(hash))
        }
        _ => None,
    }
}

/// Methods that make a text or a list.
fn made<'r>(
    machine: &Machine<'r>,
    own: &Text<'r>,
    name: &str,
    arguments: &[Value<'r>],
) -> Result<Option<Value<'r>>, RenderError> {
    // What grows with its arguments says how much before it is made.
    let text = match (name, arguments) {
        ("substring" | "subSequence", [Value::Int(from), rest @ ..]) => {
            let to = match rest {
                [] => length(own),
                [Value::Int(to)] => inside(own, *to)?,
                _ => return Ok(None),
            };
            let from = inside(own, *from)?;
            if from > to {
                return Err(RenderError::OutOfBounds { index: from as i64, length: to });
            }
            part(own, from, to)
        }
        ("charAt", [Value::Int(at)]) => {
            let from = inside(own, *at)?;
            if from == length(own) {
                return Err(RenderError::OutOfBounds { index: from as i64, length: from });
            }
            part(own, from, from + 1)
        }
        ("toLowerCase", []) => own.to_lowercase(),
        ("toUpperCase", []) => own.to_uppercase(),
        // Java's `trim` takes everything up to the blank.
        ("trim", []) => own.trim_matches(|c: char| c <= ' ').to_owned(),
        ("strip", []) => own.trim().to_owned(),
        ("concat", [Value::Text(other)]) => {
            machine.meter.make(other.len())?;
            format!("{}{}", &**own, &**other)
        }
        ("replace", [Value::Text(from), Value::Text(to)]) => {
            let matches = match from.is_empty() {
                true => own.chars().count() + 1,
                false => own.matches(&**from).count(),
            };
            machine.meter.make(matches.saturating_mul(to.len()))?;
            own.replace(&**from, to)
        }
        ("repeat", [Value::Int(count)]) => {
            let count = usize::try_from(*count).map_err(|_| RenderError::BadCall {
                method: "repeat",
                cause: "a negative count",
            })?;
            machine.meter.make(own.len().saturating_mul(count))?;
            own.repeat(count)
        }
        ("valueOf", [other]) => return Ok(Some(Value::Text(machine.text(other)?))),
        ("format", [Value::Text(pattern), rest @ ..]) => format::format(machine, pattern, rest)?,
        ("join", [Value::Text(between), Value::List(list)]) => {
            join(machine, between, &list.items())?
        }
        ("join", [Value::Text(between), rest @ ..]) => join(machine, between, rest)?,
        ("toCharArray", []) => {
            machine.meter.make(own.len() * ITEM_BYTES)?;
            let characters = own.chars().map(|one| Value::owned(one.to_string())).collect();
            return Ok(Some(Value::List(List::new(characters))));
        }
        _ => return Ok(None),
    };
    machine.meter.make(text.len())?;
    Ok(Some(Value::owned(text)))
}

fn join<'r>(
    machine: &Machine<'r>,
    between: &str,
    items: &[Value<'r>],
) -> Result<String, RenderError> {
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let text = machine.text(item)?;
        machine.meter.make(between.len() + text.len())?;
        if at > 0 {
            out.push_str(between);
        }
        out.push_str(&text);
    }
    Ok(out)
}

fn with_regex<'r>(
    machine: &Machine<'r>,
    own: &Text<'r>,
    call: &'r Call,
    arguments: &[Value<'r>],
) -> Result<Option<Value<'r>>, RenderError> {
    let [Value::Text(pattern), rest @ ..] = arguments else { return Ok(None) };
    let compiled;
    let regex: Result<&JavaRegex, RegexError> = match &call.prepared {
        Prepared::Regex(lock) => {
            lock.get_or_init(|| JavaRegex::compile(pattern)).as_ref().map_err(Clone::clone)
        }
        _ => {
            machine.meter.read(COMPILING)?;
            compiled = JavaRegex::compile(pattern)?;
            Ok(&compiled)
        }
    };
    let regex = regex?;
    let bound = machine.meter.memory_left();
    let text = match (&*call.name, rest) {
        ("matches", []) => return Ok(Some(Value::Bool(regex.is_full_match(own)?))),
        ("replaceAll", [Value::Text(replacement)]) => regex.replace_all(own, replacement, bound)?,
        ("replaceFirst", [Value::Text(replacement)]) => {
            regex.replace_first(own, replacement, bound)?
        }
        ("split", []) => return split(machine, regex, own, 0).map(Some),
        ("split", [Value::Int(limit)]) => return split(machine, regex, own, *limit).map(Some),
        _ => return Ok(None),
    };
    machine.meter.make(text.len())?;
    Ok(Some(Value::owned(text)))
}

fn split<'r>(
    machine: &Machine<'r>,
    regex: &JavaRegex,
    own: &Text<'r>,
    limit: i32,
) -> Result<Value<'r>, RenderError> {
    let parts = regex.split(own, limit)?;
    machine.meter.make(own.len() + parts.len() * ITEM_BYTES)?;
    Ok(Value::List(List::new(parts.into_iter().map(|part| Value::owned(part.into())).collect())))
}

fn length(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.encode_utf16().count(),
    }
}

/// The byte where a UTF-16 unit begins; inside of a pair, where the pair begins.
fn byte_at(text: &str, unit: usize) -> Option<usize> {
    if text.is_ascii() {
        return (unit <= text.len()).then_some(unit);
    }
    let mut units = 0;
    for (at, character) in text.char_indices() {
        if unit < units + character.len_utf16() {
            return Some(at);
        }
        units += character.len_utf16();
    }
    (unit == units).then_some(text.len())
}

/// UTF-16 units `from..to`; half a pair becomes the replacement character.
fn part(text: &str, from: usize, to: usize) -> String {
    if text.is_ascii() {
        return text.get(from..to).unwrap_or_default().to_owned();
    }
    let units: Vec<u16> = text.encode_utf16().skip(from).take(to - from).collect();
    String::from_utf16_lossy(&units)
}

fn inside(text: &str, index: i32) -> Result<usize, RenderError> {
    let length = length(text);
    let at = usize::try_from(index).ok().filter(|at| *at <= length);
    at.ok_or_else(|| RenderError::OutOfBounds { index: index.into(), length })
}

/// The unit at which a byte stands, or -1.
fn index<'r>(text: &str, byte: Option<usize>) -> Value<'r> {
    let before = byte.and_then(|byte| text.get(..byte));
    before.map_or(Value::Int(-1), |before| Value::integer(length(before) as i128))
}

fn index_of<'r>(own: &str, part: &str, rest: &[Value<'r>]) -> Option<Value<'r>> {
    let from = match rest {
        [] => 0,
        [Value::Int(from)] => usize::try_from(*from).unwrap_or(0),
        _ => return None,
    };
    let start = byte_at(own, from).unwrap_or(own.len());
    let found = own.get(start..).and_then(|rest| rest.find(part));
    Some(index(own, found.map(|at| start + at)))
}

/// The first difference in units, or else in length.
fn compare<'r>(own: &str, other: &str, ignore_case: bool) -> Value<'r> {
    if ignore_case {
        return compare(&own.to_lowercase(), &other.to_lowercase(), false);
    }
    let different = own
        .encode_utf16()
        .zip(other.encode_utf16())
        .find(|(left, right)| left != right)
        .map(|(left, right)| i32::from(left) - i32::from(right));
    Value::Int(different.unwrap_or_else(|| length(own) as i32 - length(other) as i32))
}
