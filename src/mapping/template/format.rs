//! `String.format`, as far as templates use it: `%s %S %d %x %X %f %b %c %n %%` with width,
//! precision and the flags `-`, `0`, `,`, `+`.

use super::cursor::Cursor;
use super::meter::RenderError;
use super::number;
use super::render::Machine;
use super::value::Value;

/// Characters of one field; Java has no bound of its own.
const WIDTH_MAX: usize = 10_000;

const WRONG: RenderError =
    RenderError::BadCall { method: "format", cause: "a specifier and its argument do not fit" };

#[derive(Default)]
struct Field {
    left: bool,
    zeros: bool,
    grouped: bool,
    signed: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn format<'r>(
    machine: &Machine<'r>,
    pattern: &str,
    arguments: &[Value<'r>],
) -> Result<String, RenderError> {
    let mut out = String::new();
    let mut cursor = Cursor::new(pattern);
    let mut next = 0;
    loop {
        out.push_str(cursor.take_while(|byte| byte != b'%'));
        if cursor.is_at_end() {
            return Ok(out);
        }
        cursor.skip(1);
        let start = cursor;
        let number: usize = match cursor.take_while(|byte| byte.is_ascii_digit()).parse() {
            Ok(number) if cursor.eat(b'$') => number,
            _ => {
                cursor = start;
                0
            }
        };
        let field = field(&mut cursor)?;
        let kind = cursor.peek().ok_or(WRONG)?;
        cursor.skip(1);
        if matches!(kind, b'n' | b'%') {
            out.push_str(if kind == b'n' { "\n" } else { "%" });
            continue;
        }
        let at = if number > 0 { number - 1 } else { next };
        next += usize::from(number == 0);
        let text = convert(machine, kind, &field, arguments.get(at).ok_or(WRONG)?)?;
        machine.meter.make(text.len().max(field.width))?;
        pad(&field, kind, &text, &mut out);
    }
}

fn field(cursor: &mut Cursor<'_>) -> Result<Field, RenderError> {
    let mut field = Field::default();
    for flag in cursor.take_while(|byte| b"-0,+".contains(&byte)).bytes() {
        match flag {
            b'-' => field.left = true,
            b'0' => field.zeros = true,
            b',' => field.grouped = true,
            _ => field.signed = true,
        }
    }
    let mut number = || {
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        let number = if digits.is_empty() { Some(0) } else { digits.parse().ok() };
        number.filter(|number| *number <= WIDTH_MAX).ok_or(WRONG)
    };
    field.width = number()?;
    if cursor.eat(b'.') {
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        field.precision = Some(digits.parse().ok().filter(|n| *n <= WIDTH_MAX).ok_or(WRONG)?);
    }
    Ok(field)
}

fn convert<'r>(
    machine: &Machine<'r>,
    kind: u8,
    field: &Field,
    value: &Value<'r>,
) -> Result<String, RenderError> {
    Ok(match kind {
        b's' | b'S' => {
            let text = machine.text(value)?;
            let most = field.precision.unwrap_or(usize::MAX);
            let text: String = text.chars().take(most).collect();
            if kind == b'S' { text.to_uppercase() } else { text }
        }
        b'd' => signed(field, value.as_integer().ok_or(WRONG)?.to_string()),
        b'x' | b'X' => {
            let text = match value {
                Value::Int(number) => format!("{number:x}"),
                Value::Long(number) => format!("{number:x}"),
                _ => return Err(WRONG),
            };
            if kind == b'X' { text.to_uppercase() } else { text }
        }
        b'f' => match (value, value.as_double()) {
            (Value::Double(_) | Value::Exact(_), Some(number)) if number.is_finite() => {
                let digits = field.precision.unwrap_or(6);
                signed(field, format!("{number:.digits$}"))
            }
            (Value::Double(number), _) => number::double_text(*number),
            _ => return Err(WRONG),
        },
        b'b' => match value {
            Value::Bool(flag) => flag.to_string(),
            other => (!other.is_null()).to_string(),
        },
        b'c' => machine.text(value)?.chars().take(1).collect(),
        _ => return Err(WRONG),
    })
}

fn signed(field: &Field, text: String) -> String {
    let text = if field.grouped { grouped(&text) } else { text };
    if field.signed && !text.starts_with('-') { format!("+{text}") } else { text }
}

/// A comma before every third digit.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (digits, String::new()),
    };
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + &fraction
}

fn pad(field: &Field, kind: u8, text: &str, out: &mut String) {
    let missing = field.width.saturating_sub(text.chars().count());
    let with = |count: usize, fill: &str| fill.repeat(count);
    if field.left {
        out.push_str(text);
        out.push_str(&with(missing, " "));
    } else if field.zeros && matches!(kind, b'd' | b'x' | b'X' | b'f') {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.get(..1).unwrap_or_default(), digits),
            None => ("", text),
        };
        out.push_str(sign);
        out.push_str(&with(missing, "0"));
        out.push_str(digits);
    } else {
        out.push_str(&with(missing, " "));
        out.push_str(text);
    }
}
