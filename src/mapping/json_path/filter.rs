//! Conditions of `[?(…)]`.
//!
//! Numbers and texts that look like numbers are equal; an order exists among numbers and among
//! texts only; what is missing is equal to nothing, and no condition on it holds but `!=`.

use super::JsonPath;
use super::read;
use crate::mapping::java_regex::JavaRegex;
use crate::mapping::template::meter::{Meter, RenderError};
use crate::mapping::template::number;
use crate::mapping::template::value::{List, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Operand),
    Compare(Operand, Operator, Operand),
    Matches(Operand, Box<JavaRegex>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Path { from_root: bool, path: JsonPath },
    Text(Box<str>),
    Number(f64),
    Bool(bool),
    Null,
    List(Vec<Operand>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    TypedEqual,
    TypedNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    SubsetOf,
    AnyOf,
    NoneOf,
    Contains,
    All,
    Size,
    Empty,
}

/// Document and candidate that a condition is asked about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s, 'a> {
    pub(super) root: &'s Value<'a>,
    pub(super) candidate: &'s Value<'a>,
    pub(super) meter: &'s Meter,
}

impl Condition {
    pub(super) fn holds(&self, subject: Subject<'_, '_>) -> Result<bool, RenderError> {
        subject.meter.step()?;
        Ok(match self {
            Condition::Any(conditions) => {
                for condition in conditions {
                    if condition.holds(subject)? {
                        return Ok(true);
                    }
                }
                false
            }
            Condition::All(conditions) => {
                for condition in conditions {
                    if !condition.holds(subject)? {
                        return Ok(false);
                    }
                }
                true
            }
            Condition::Not(condition) => !condition.holds(subject)?,
            Condition::Exists(operand) => operand.value(subject)?.is_some(),
            Condition::Matches(operand, regex) => match operand.value(subject)? {
                Some(Value::Text(text)) => {
                    subject.meter.read(text.len())?;
                    regex.is_full_match(&text)?
                }
                _ => false,
            },
            Condition::Compare(left, operator, right) => {
                let (left, right) = (left.value(subject)?, right.value(subject)?);
                compare(left, *operator, right, subject.meter)?
            }
        })
    }
}

impl Operand {
    fn value<'a>(&self, subject: Subject<'_, 'a>) -> Result<Option<Value<'a>>, RenderError> {
        Ok(Some(match self {
            Operand::Path { from_root, path } => {
                let start = if *from_root { subject.root } else { subject.candidate };
                return read::find(&path.segments, start, subject.root, subject.meter);
            }
            Operand::Text(text) => {
                subject.meter.make(text.len())?;
                Value::owned(text.to_string())
            }
            Operand::Number(number) => Value::Double(*number),
            Operand::Bool(flag) => Value::Bool(*flag),
            Operand::Null => Value::Null,
            Operand::List(items) => {
                let values: Result<Vec<_>, RenderError> = items
                    .iter()
                    .map(|item| item.value(subject).map(|value| value.unwrap_or(Value::Null)))
                    .collect();
                Value::List(List::json(values?))
            }
        }))
    }
}

fn compare<'a>(
    left: Option<Value<'a>>,
    operator: Operator,
    right: Option<Value<'a>>,
    meter: &Meter,
) -> Result<bool, RenderError> {
    use std::cmp::Ordering::{Greater, Less};
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(matches!(operator, Operator::NotEqual | Operator::TypedNotEqual));
    };
    let order = || match (&left, &right) {
        (Value::Text(left), Value::Text(right)) => Some((**left).cmp(&**right)),
        _ => number::compare(&left, &right),
    };
    Ok(match operator {
        Operator::Equal => equal(&left, &right, meter)?,
        Operator::NotEqual => !equal(&left, &right, meter)?,
        Operator::TypedEqual => same_kind(&left, &right) && equal(&left, &right, meter)?,
        Operator::TypedNotEqual => !(same_kind(&left, &right) && equal(&left, &right, meter)?),
        Operator::Less => order() == Some(Less),
        Operator::LessOrEqual => order().is_some_and(|order| order != Greater),
        Operator::Greater => order() == Some(Greater),
        Operator::GreaterOrEqual => order().is_some_and(|order| order != Less),
        Operator::Matches => false,
        Operator::In => is_in(&left, &right, meter)?,
        Operator::NotIn => !is_in(&left, &right, meter)?,
        Operator::SubsetOf => count(&left, &right, meter)? == Count::All,
        Operator::AnyOf => matches!(count(&left, &right, meter)?, Count::Some | Count::All),
        Operator::NoneOf => count(&left, &right, meter)? == Count::None,
        Operator::All => count(&right, &left, meter)? == Count::All,
        Operator::Contains => match (&left, &right) {
            (Value::Text(text), Value::Text(part)) => text.contains(&**part),
            _ => is_in(&right, &left, meter)?,
        },
        Operator::Size => size(&left) == right.as_double().map(|wanted| wanted as usize),
        Operator::Empty => size(&left).map(|size| size == 0) == as_bool(&right),
    })
}

fn as_bool(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        _ => None,
    }
}

fn size(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::List(list) => Some(list.items().len()),
        Value::Text(text) => Some(text.encode_utf16().count()),
        Value::Map(map) => Some(map.entries().len()),
        _ => None,
    }
}

fn same_kind<'a>(left: &Value<'a>, right: &Value<'a>) -> bool {
    let both_numbers = left.as_double().is_some() && right.as_double().is_some();
    both_numbers || std::mem::discriminant(left) == std::mem::discriminant(right)
}

fn equal<'a>(left: &Value<'a>, right: &Value<'a>, meter: &Meter) -> Result<bool, RenderError> {
    let as_number = |value: &Value<'_>| match value {
        Value::Text(text) => text.trim().parse().ok(),
        other => other.as_double(),
    };
    let one_number = left.as_double().is_some() || right.as_double().is_some();
    if one_number {
        let (left, right): (Option<f64>, Option<f64>) = (as_number(left), as_number(right));
        return Ok(left.is_some() && left == right);
    }
    left.same(right, meter)
}

fn is_in<'a>(item: &Value<'a>, list: &Value<'a>, meter: &Meter) -> Result<bool, RenderError> {
    let Value::List(list) = list else { return Ok(false) };
    for own in list.items().iter() {
        if equal(item, own, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    NoList,
    None,
    Some,
    All,
}

/// How many items of the first list are in the second.
fn count<'a>(left: &Value<'a>, right: &Value<'a>, meter: &Meter) -> Result<Count, RenderError> {
    let (Value::List(left), Value::List(_)) = (left, right) else { return Ok(Count::NoList) };
    let mut found = 0;
    let items = left.items();
    for item in items.iter() {
        found += usize::from(is_in(item, right, meter)?);
    }
    Ok(match found {
        found if found == items.len() => Count::All,
        0 => Count::None,
        _ => Count::Some,
    })
}
