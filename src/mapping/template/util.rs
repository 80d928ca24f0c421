//! `$util`: the six functions of API Gateway; those of AppSync do not exist here.
//!
//! AWS: "Variables for data transformations for API Gateway", `$util`. Escaping follows Apache
//! Commons Lang 2 (also `'` and `/`, upper-case digits), whose rules the page describes.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::meter::RenderError;
use super::render::Machine;
use super::value::Value;
use crate::mapping::json_path::document;

/// Java's decoder minds neither missing padding nor bits left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl<'r> Machine<'r> {
    pub(super) fn util_method(
        &mut self,
        name: &str,
        arguments: &[Value<'r>],
    ) -> Result<Value<'r>, RenderError> {
        let [argument] = arguments else { return Ok(Value::Null) };
        let text = self.text(argument)?;
        // No result is more than six times as long.
        self.meter.make(text.len())?;
        let result = match name {
            "escapeJavaScript" => escape_java_script(&text),
            "parseJson" => {
                return Ok(parse_json(&text)?.unwrap_or(Value::Null));
            }
            "urlEncode" => url_encode(&text),
            "urlDecode" => url_decode(&text)?,
            "base64Encode" => base64::engine::general_purpose::STANDARD.encode(text.as_bytes()),
            "base64Decode" => base64_decode(&text),
            _ => return Ok(Value::Null),
        };
        self.meter.make(result.len())?;
        Ok(Value::owned(result))
    }
}

/// Texts of the value are its own: the text they are read from may not live as long.
fn parse_json<'r>(text: &str) -> Result<Option<Value<'r>>, RenderError> {
    Ok(document::parse(text)?.map(|value| value.detached()))
}

fn escape_java_script(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' | '/' => {
                out.push('\\');
                out.push(character);
            }
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            ' '..='\u{7f}' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}").expect("a String takes all");
                }
            }
        }
    }
    out
}

/// `java.net.URLEncoder`: a form's encoding, with a plus sign for a blank.
fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => write!(out, "%{other:02X}").expect("a String takes all"),
        }
    }
    out
}

/// `java.net.URLDecoder`, which throws at a `%` without two digits.
fn url_decode(text: &str) -> Result<String, RenderError> {
    let wrong = RenderError::BadCall { method: "urlDecode", cause: "`%` without two digits" };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || {
                    let next = bytes.next().map(char::from);
                    next.and_then(|next| next.to_digit(16)).and_then(|d| u8::try_from(d).ok())
                };
                match (digit(), digit()) {
                    (Some(high), Some(low)) => out.push(high * 16 + low),
                    _ => return Err(wrong),
                }
            }
            other => out.push(other),
        }
    }
    Ok(String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Java's lenient decoder: what is not of the alphabet is left out, and so is what follows `=`.
fn base64_decode(text: &str) -> String {
    let digits: String = text
        .chars()
        .take_while(|next| *next != '=')
        .filter_map(|next| match next {
            '-' => Some('+'),
            '_' => Some('/'),
            '+' | '/' => Some(next),
            other => other.is_ascii_alphanumeric().then_some(other),
        })
        .collect();
    // A single digit at the end is less than a byte.
    let whole = digits.len() - usize::from(digits.len() % 4 == 1);
    let bytes = LENIENT.decode(digits.get(..whole).unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
