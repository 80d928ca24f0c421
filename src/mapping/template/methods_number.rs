//! `Integer`, `Long`, `Double`, `Boolean`; static methods can be called on any value of the class,
//! which authors use to read numbers: `#set($n = 0)$n.parseInt("7")`.

use super::meter::RenderError;
use super::number;
use super::render::Machine;
use super::value::Value;

pub(super) fn call<'r>(
    machine: &mut Machine<'r>,
    own: &Value<'r>,
    name: &str,
    arguments: &[Value<'r>],
) -> Result<Option<Value<'r>>, RenderError> {
    if let (Some(operator), [left, right]) = (static_operator(name), arguments) {
        return Ok(operator(left, right));
    }
    Ok(match (name, arguments) {
        ("intValue", []) => own.as_double().map(|number| Value::Int(narrow(own, number))),
        ("shortValue", []) => own.as_double().map(|n| Value::Int((narrow(own, n) as i16).into())),
        ("byteValue", []) => own.as_double().map(|n| Value::Int((narrow(own, n) as i8).into())),
        ("longValue", []) => own.as_double().map(|number| {
            Value::Long(own.as_integer().map_or(number as i64, |whole| whole as i64))
        }),
        ("doubleValue" | "floatValue", []) => own.as_double().map(Value::Double),
        ("hashCode", []) => own.as_integer().map(|whole| Value::Int(whole as i32)),
        ("isNaN", []) => match own {
            Value::Double(number) => Some(Value::Bool(number.is_nan())),
            _ => None,
        },
        ("compareTo", [other]) if same_class(own, other) => {
            number::compare(own, other).map(|order| Value::Int(order as i32))
        }
        ("parseInt" | "parseLong" | "parseDouble" | "valueOf", [Value::Text(text), rest @ ..]) => {
            Some(parse(own, name, text, rest)?)
        }
        ("valueOf", [number]) if number.as_double().is_some() => Some(number.clone()),
        ("toString", [number]) if number.as_double().is_some() => {
            Some(Value::Text(machine.text(number)?))
        }
        ("toHexString", [number]) => number.as_integer().map(|whole| match number {
            Value::Int(own) => Value::owned(format!("{own:x}")),
            _ => Value::owned(format!("{:x}", whole as i64)),
        }),
        ("toBinaryString", [number]) => number.as_integer().map(|whole| match number {
            Value::Int(own) => Value::owned(format!("{own:b}")),
            _ => Value::owned(format!("{:b}", whole as i64)),
        }),
        _ => None,
    })
}

type Static = for<'v> fn(&Value<'v>, &Value<'v>) -> Option<Value<'v>>;

fn static_operator(name: &str) -> Option<Static> {
    Some(match name {
        "max" => |left, right| {
            let order = number::compare(left, right)?;
            Some(if order.is_lt() { right.clone() } else { left.clone() })
        },
        "min" => |left, right| {
            let order = number::compare(left, right)?;
            Some(if order.is_gt() { right.clone() } else { left.clone() })
        },
        "sum" => |left, right| number::compute(number::Operator::Add, left, right),
        "compare" => |left, right| Some(Value::Int(number::compare(left, right)? as i32)),
        _ => return None,
    })
}

fn same_class<'a>(left: &Value<'a>, right: &Value<'a>) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

/// Java narrows whole numbers by their bits and fractions by their value.
fn narrow(own: &Value<'_>, number: f64) -> i32 {
    own.as_integer().map_or(number as i32, |whole| whole as i32)
}

fn parse<'r>(
    own: &Value<'r>,
    name: &str,
    text: &str,
    rest: &[Value<'r>],
) -> Result<Value<'r>, RenderError> {
    let not_a_number = || RenderError::NotANumber { text: text.chars().take(40).collect() };
    let radix = match rest {
        [] => 10,
        [Value::Int(radix @ 2..=36)] => radix.unsigned_abs(),
        _ => return Ok(Value::Null),
    };
    let as_double = name == "parseDouble" || (name == "valueOf" && matches!(own, Value::Double(_)));
    if as_double {
        let number = text.trim().parse().map_err(|_| not_a_number())?;
        return Ok(Value::Double(number));
    }
    if name == "parseLong" || (name == "valueOf" && matches!(own, Value::Long(_))) {
        return i64::from_str_radix(text, radix).map(Value::Long).map_err(|_| not_a_number());
    }
    i32::from_str_radix(text, radix).map(Value::Int).map_err(|_| not_a_number())
}

pub(super) fn of_bool<'r>(own: bool, name: &str, arguments: &[Value<'r>]) -> Option<Value<'r>> {
    match (name, arguments) {
        ("booleanValue", []) => Some(Value::Bool(own)),
        ("parseBoolean" | "valueOf", [Value::Text(text)]) => {
            Some(Value::Bool(text.eq_ignore_ascii_case("true")))
        }
        ("compareTo", [Value::Bool(other)]) => Some(Value::Int(own.cmp(other) as i32)),
        _ => None,
    }
}
