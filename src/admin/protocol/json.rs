//! How is a JSON body read by a shape? In one pass that keeps what the shape knows.
//!
//! Unknown members are skipped while they are read and cost no memory, so a body cannot grow in it
//! beyond what the model can name; the number of values is bounded besides. The models' shapes are
//! not recursive: known values nest as deep as the model does, and how deep unknown ones nest does
//! not matter to a reader that skips them.
//!
//! A null member counts as absent. It is kept as an entry of a map of text (a template may be null,
//! recorded) and in a patch operation.
//!
//! Of the messages about wrong types one is recorded, `class java.lang.Boolean can not be
//! converted to an String`; the others have its form.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::{DateFormat, Form, Model, ShapeId, Structure};

/// Values in one body; ours. A definition is one text, and no list of AWS's API comes near.
const VALUES_MAX: usize = 200_000;
/// Shape whose null members are kept: `value` may be null on purpose.
const PATCH_OPERATION: &str = "PatchOperation";

/// Reads a body that must be an object of this structure; nothing at all is an empty one.
pub(super) fn read(
    model: &Model,
    structure: &Structure,
    body: &[u8],
) -> Result<Map<String, Value>, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let wrong = RefCell::new(None);
    let reader = Reader { model, left: &Cell::new(VALUES_MAX), wrong: &wrong };
    let mut input = serde_json::Deserializer::from_slice(body);
    let seed = Seed { reader, expected: Expected::Members(structure, false) };
    let read = seed.deserialize(&mut input).and_then(|value| input.end().map(|()| value));
    match (read, wrong.into_inner()) {
        (_, Some(message)) => Err(ApiError::new(ErrorKind::Serialization, message)),
        (Ok(Value::Object(members)), None) => Ok(members),
        // `null` for the whole body: nothing was sent.
        (Ok(_), None) => Ok(Map::new()),
        (Err(error), None) => Err(ApiError::new(
            ErrorKind::Serialization,
            format!("The request's body is not valid JSON: {error}"),
        )),
    }
}

/// Seconds since the epoch of an ISO 8601 date, or the number itself.
fn date(text: &str) -> Option<Value> {
    let date: jiff::Timestamp = text.parse().ok()?;
    Some(Value::from(date.as_second()))
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    model: &'a Model,
    /// Values that may still come.
    left: &'a Cell<usize>,
    /// What was wrong with the types, in AWS's words.
    wrong: &'a RefCell<Option<String>>,
}

#[derive(Clone, Copy)]
enum Expected<'a> {
    Form(&'a Form),
    /// A structure's members; whether nulls are kept.
    Members(&'a Structure, bool),
}

struct Seed<'a> {
    reader: Reader<'a>,
    expected: Expected<'a>,
}

impl<'a> Seed<'a> {
    /// The seed for what stands inside this one.
    fn inner<E: Error>(&self, shape: ShapeId) -> Result<Seed<'a>, E> {
        let shape = self.reader.model.shape(shape);
        let shape = shape.ok_or_else(|| E::custom("a shape of another model"))?;
        let expected = match &shape.form {
            Form::Structure(members) => Expected::Members(members, *shape.name == *PATCH_OPERATION),
            form => Expected::Form(form),
        };
        Ok(Seed { reader: self.reader, expected })
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        match self.reader.left.get().checked_sub(1) {
            Some(left) => {
                self.reader.left.set(left);
                Ok(())
            }
            None => self.fail(format!("The request's body has more than {VALUES_MAX} values")),
        }
    }

    fn fail<T, E: Error>(&self, message: String) -> Result<T, E> {
        self.reader.wrong.replace(Some(message));
        Err(E::custom("refused"))
    }

    /// Java's name of what came, AWS's of what belongs there.
    fn mismatch<T, E: Error>(&self, found: &str) -> Result<T, E> {
        let wanted = match self.expected {
            Expected::Members(..) | Expected::Form(Form::Structure(_)) => "Structure",
            Expected::Form(Form::List(_)) => "List",
            Expected::Form(Form::Map(_)) => "Map",
            Expected::Form(Form::Text(_)) => "String",
            Expected::Form(Form::Integer(_)) => "Integer",
            Expected::Form(Form::Long(_)) => "Long",
            Expected::Form(Form::Double) => "Double",
            Expected::Form(Form::Boolean) => "Boolean",
            Expected::Form(Form::Blob) => "Blob",
            Expected::Form(Form::Timestamp(_)) => "Timestamp",
        };
        self.fail(format!("class java.{found} can not be converted to an {wanted}"))
    }

    fn whole<E: Error>(&self, number: i64) -> Result<Value, E> {
        match self.expected {
            Expected::Form(Form::Integer(_)) if i32::try_from(number).is_ok() => {
                Ok(Value::from(number))
            }
            Expected::Form(Form::Long(_) | Form::Timestamp(_)) => Ok(Value::from(number)),
            Expected::Form(Form::Double) => Ok(Value::from(number as f64)),
            _ if i32::try_from(number).is_ok() => self.mismatch("lang.Integer"),
            _ => self.mismatch("lang.Long"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        self.count()?;
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        match self.expected {
            Expected::Form(Form::Boolean) => Ok(Value::Bool(flag)),
            _ => self.mismatch("lang.Boolean"),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        self.whole(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.whole(number),
            Err(_) => self.visit_f64(number as f64),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        match self.expected {
            Expected::Form(Form::Double) => Ok(Value::from(number)),
            // `1.0` is a whole number to most writers of JSON.
            Expected::Form(Form::Integer(_) | Form::Long(_) | Form::Timestamp(_))
                if number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX) =>
            {
                Ok(Value::from(number as i64))
            }
            Expected::Form(Form::Timestamp(_)) if number.abs() < 1e15 => {
                Ok(Value::from(number as i64))
            }
            _ => self.mismatch("lang.Double"),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        match self.expected {
            Expected::Form(Form::Text(_) | Form::Blob) => Ok(Value::from(text)),
            Expected::Form(Form::Timestamp(DateFormat::Iso8601 | DateFormat::Number)) => {
                match date(text) {
                    Some(date) => Ok(date),
                    None => self.mismatch("lang.String"),
                }
            }
            _ => self.mismatch("lang.String"),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Expected::Form(Form::List(item)) = self.expected else {
            return self.mismatch("util.List");
        };
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(self.inner(*item)?)? {
            if !value.is_null() {
                list.push(value);
            }
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        match self.expected {
            Expected::Members(structure, keeps_null) => {
                while let Some(name) = entries.next_key::<String>()? {
                    let Some(member) = structure.body.get(name.as_str()) else {
                        entries.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = entries.next_value_seed(self.inner(member.shape)?)?;
                    if value.is_null() && !keeps_null {
                        object.shift_remove(&name);
                    } else {
                        object.insert(name, value);
                    }
                }
            }
            Expected::Form(Form::Map(shape)) => {
                let is_text = matches!(self.reader.model.form(*shape), Some(Form::Text(_)));
                while let Some(key) = entries.next_key::<String>()? {
                    let value = entries.next_value_seed(self.inner(*shape)?)?;
                    if is_text || !value.is_null() {
                        object.insert(key, value);
                    }
                }
            }
            _ => return self.mismatch("util.Map"),
        }
        Ok(Value::Object(object))
    }
}
