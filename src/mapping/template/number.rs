//! Numbers as Java computes and writes them: integers widen when they overflow, division of
//! integers truncates, and a `double` always shows its fraction (`2.0`, `1.0E10`).

use super::value::Value;

/// `Double.toString`.
pub(crate) fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = number.abs();
    if number == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// `None` where Java's engine gives null: no numbers, or a division by zero.
pub(super) fn compute<'a>(
    operator: Operator,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Option<Value<'a>> {
    if let (Some(left_whole), Some(right_whole)) = (left.as_integer(), right.as_integer()) {
        let result = whole(operator, left_whole, right_whole)?;
        return Some(widened(left, right, result));
    }
    let (left, right) = (left.as_double()?, right.as_double()?);
    Some(Value::Double(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide | Operator::Modulo if right == 0.0 => return None,
        Operator::Divide => left / right,
        Operator::Modulo => left % right,
    }))
}

fn whole(operator: Operator, left: i128, right: i128) -> Option<i128> {
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::Modulo => left.checked_rem(right),
    }
}

/// The wider type of both operands, or a still wider one that holds the result.
fn widened<'a>(left: &Value<'_>, right: &Value<'_>, result: i128) -> Value<'a> {
    if matches!((left, right), (Value::Int(_), Value::Int(_)))
        && let Ok(result) = i32::try_from(result)
    {
        return Value::Int(result);
    }
    let big = matches!(left, Value::Big(_)) || matches!(right, Value::Big(_));
    match i64::try_from(result) {
        Ok(result) if !big => Value::Long(result),
        _ => Value::Big(result),
    }
}

/// How two numbers compare; `None` where one is no number.
pub(crate) fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<std::cmp::Ordering> {
    if let (Some(left), Some(right)) = (left.as_integer(), right.as_integer()) {
        return Some(left.cmp(&right));
    }
    left.as_double()?.partial_cmp(&right.as_double()?)
}
