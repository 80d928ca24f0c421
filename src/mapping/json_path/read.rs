//! Walking a path through a document.

use super::filter::Subject;
use super::{Function, Segment};
use crate::mapping::template::meter::{DEPTH_MAX, Meter, RenderError};
use crate::mapping::template::value::{ITEM_BYTES, Key, List, Map, Value};

/// The value of a definite path, or the list of what an indefinite one finds.
pub(super) fn find<'a>(
    segments: &[Segment],
    start: &Value<'a>,
    root: &Value<'a>,
    meter: &Meter,
) -> Result<Option<Value<'a>>, RenderError> {
    // Functions see the whole of what stands before them.
    let (segments, functions) = match segments.split_last() {
        Some((Segment::Function(function), before)) => (before, Some(*function)),
        _ => (segments, None),
    };
    let walk = Walk { root, meter };
    let found = if segments.iter().all(is_definite) {
        walk.definite(segments, start)?
    } else {
        let mut found = Vec::new();
        walk.visit(segments, start, 0, &mut |value| {
            meter.make(ITEM_BYTES)?;
            found.push(value);
            Ok(())
        })?;
        Some(Value::List(List::json(found)))
    };
    Ok(match (functions, found) {
        (Some(function), Some(value)) => apply(function, &value),
        (_, found) => found,
    })
}

fn is_definite(segment: &Segment) -> bool {
    match segment {
        Segment::Member(_) | Segment::Members(_) | Segment::Index(_) | Segment::Function(_) => true,
        Segment::Indexes(_)
        | Segment::Slice(..)
        | Segment::Every
        | Segment::Filter(_)
        | Segment::Deep => false,
    }
}

struct Walk<'s, 'a> {
    root: &'s Value<'a>,
    meter: &'s Meter,
}

type Found<'f, 'a> = &'f mut dyn FnMut(Value<'a>) -> Result<(), RenderError>;

impl<'a> Walk<'_, 'a> {
    fn definite(
        &self,
        segments: &[Segment],
        start: &Value<'a>,
    ) -> Result<Option<Value<'a>>, RenderError> {
        let mut at = start.clone();
        for segment in segments {
            self.meter.step()?;
            match one(segment, &at) {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn visit(
        &self,
        segments: &[Segment],
        at: &Value<'a>,
        depth: usize,
        found: Found<'_, 'a>,
    ) -> Result<(), RenderError> {
        self.meter.step()?;
        self.meter.depth(depth)?;
        let Some((segment, rest)) = segments.split_first() else { return found(at.clone()) };
        let mut next = |value: &Value<'a>| self.visit(rest, value, depth + 1, found);
        match segment {
            Segment::Member(_) | Segment::Members(_) | Segment::Index(_) => {
                one(segment, at).map_or(Ok(()), |value| next(&value))
            }
            Segment::Function(function) => {
                apply(*function, at).map_or(Ok(()), |value| next(&value))
            }
            Segment::Every => children(at).iter().try_for_each(next),
            Segment::Indexes(indexes) => {
                let items = items(at);
                let found = indexes.iter().filter_map(|index| item(&items, *index));
                found.collect::<Vec<_>>().iter().try_for_each(next)
            }
            Segment::Slice(from, to) => slice(&items(at), *from, *to).iter().try_for_each(next),
            Segment::Filter(condition) => {
                let candidates = match at {
                    Value::List(_) => items(at),
                    Value::Map(_) => vec![at.clone()],
                    _ => Vec::new(),
                };
                candidates.iter().try_for_each(|candidate| {
                    let subject = Subject { root: self.root, candidate, meter: self.meter };
                    if condition.holds(subject)? { next(candidate) } else { Ok(()) }
                })
            }
            Segment::Deep => self.deep(rest, at, depth, found),
        }
    }

    /// The value itself, then everything below it. As in Jayway's, a filter asks each object itself,
    /// so that none is found once more in its list, and several names want an object with all of
    /// them.
    fn deep(
        &self,
        rest: &[Segment],
        at: &Value<'a>,
        depth: usize,
        found: Found<'_, 'a>,
    ) -> Result<(), RenderError> {
        self.meter.step()?;
        if depth > DEPTH_MAX {
            return Err(RenderError::TooDeep { limit: DEPTH_MAX });
        }
        match (rest.first(), at) {
            (Some(Segment::Filter(_)), Value::List(_)) => {}
            (Some(Segment::Members(names)), Value::Map(map))
                if !names.iter().all(|name| map.get(name).is_some()) => {}
            _ => self.visit(rest, at, depth + 1, found)?,
        }
        children(at).iter().try_for_each(|child| self.deep(rest, child, depth + 1, found))
    }
}

/// One step of a definite path.
fn one<'a>(segment: &Segment, at: &Value<'a>) -> Option<Value<'a>> {
    match (segment, at) {
        (Segment::Member(name), Value::Map(map)) => map.get(name),
        (Segment::Members(names), Value::Map(map)) => {
            let found = names
                .iter()
                .filter_map(|name| Some((Key::Text(name.to_string().into()), map.get(name)?)));
            Some(Value::Map(Map::new(found.collect())))
        }
        (Segment::Index(index), Value::List(list)) => item(&list.items(), *index),
        (Segment::Function(function), at) => apply(*function, at),
        _ => None,
    }
}

fn item<'a>(items: &[Value<'a>], index: i64) -> Option<Value<'a>> {
    let at = match usize::try_from(index) {
        Ok(at) => at,
        Err(_) => items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    items.get(at).cloned()
}

fn items<'a>(at: &Value<'a>) -> Vec<Value<'a>> {
    match at {
        Value::List(list) => list.items().clone(),
        _ => Vec::new(),
    }
}

fn children<'a>(at: &Value<'a>) -> Vec<Value<'a>> {
    match at {
        Value::List(list) => list.items().clone(),
        Value::Map(map) => map.entries().values().cloned().collect(),
        _ => Vec::new(),
    }
}

fn slice<'s, 'a>(items: &'s [Value<'a>], from: Option<i64>, to: Option<i64>) -> &'s [Value<'a>] {
    let place = |index: i64| match usize::try_from(index) {
        Ok(at) => at.min(items.len()),
        Err(_) => {
            let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            items.len().saturating_sub(back)
        }
    };
    let (from, to) = (from.map_or(0, place), to.map_or(items.len(), place));
    items.get(from..to).unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn apply<'a>(function: Function, value: &Value<'a>) -> Option<Value<'a>> {
    let count = |count: usize| i32::try_from(count).ok().map(Value::Int);
    match (function, value) {
        (Function::Length | Function::Size, Value::List(list)) => count(list.items().len()),
        (Function::Length | Function::Size, Value::Map(map)) => count(map.entries().len()),
        (Function::Keys, Value::Map(map)) => {
            Some(Value::List(List::json(map.entries().keys().map(Key::value).collect())))
        }
        (Function::First, Value::List(list)) => list.items().first().cloned(),
        (Function::Last, Value::List(list)) => list.items().last().cloned(),
        (
            Function::Min | Function::Max | Function::Avg | Function::Sum | Function::StdDev,
            Value::List(list),
        ) => {
            let numbers: Vec<f64> = list.items().iter().filter_map(Value::as_double).collect();
            let size = numbers.len() as f64;
            if numbers.is_empty() {
                return None;
            }
            let sum: f64 = numbers.iter().sum();
            Some(Value::Double(match function {
                Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
                Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Function::Sum => sum,
                Function::Avg => sum / size,
                _ => {
                    let squares: f64 = numbers.iter().map(|number| number * number).sum();
                    (squares / size - (sum / size).powi(2)).sqrt()
                }
            }))
        }
        _ => None,
    }
}
