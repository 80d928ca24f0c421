//! Properties and methods: which of Java's a template can reach, by the type of the value.
//!
//! What Java's class does not have is null, as in Velocity; what Java's method would throw is an
//! error. Wrong types of arguments are "does not have" as well.

use super::meter::RenderError;
use super::render::Machine;
use super::tree::Call;
use super::value::{Builtin, Value};
use super::{methods_list, methods_map, methods_number, methods_string};

impl<'r> Machine<'r> {
    /// `$value.name`.
    pub(super) fn property(&self, value: &Value<'r>, name: &str) -> Value<'r> {
        match value {
            Value::Map(map) => map.get(name).unwrap_or(Value::Null),
            Value::List(list) if name == "empty" => Value::Bool(list.items().is_empty()),
            Value::Text(text) if name == "empty" => Value::Bool(text.is_empty()),
            Value::Entry(entry) => match name {
                "key" => entry.0.clone(),
                "value" => entry.1.clone(),
                _ => Value::Null,
            },
            Value::Builtin(builtin) => self.member(*builtin, name),
            _ => Value::Null,
        }
    }

    /// `$value.name(arguments)`.
    pub(super) fn call(
        &mut self,
        value: &Value<'r>,
        call: &'r Call,
        arguments: &[Value<'r>],
    ) -> Result<Value<'r>, RenderError> {
        let name = &*call.name;
        let own = match value {
            Value::Builtin(Builtin::Input) => return self.input_method(call, arguments),
            Value::Builtin(Builtin::Util) => return self.util_method(name, arguments),
            Value::Builtin(Builtin::Context) if matches!(name, "put" | "putAll") => {
                let overlay = self.overlay.clone();
                return methods_map::call(self, &overlay, name, arguments)
                    .map(|value| value.unwrap_or(Value::Null));
            }
            Value::Builtin(builtin) => match self.whole(*builtin) {
                Value::Map(map) => methods_map::call(self, &map, name, arguments)?,
                _ => None,
            },
            Value::Map(map) => methods_map::call(self, map, name, arguments)?,
            Value::List(list) => methods_list::call(self, list, name, arguments)?,
            Value::Text(text) => methods_string::call(self, text, call, arguments)?,
            Value::Entry(entry) => match (name, arguments) {
                ("getKey", []) => Some(entry.0.clone()),
                ("getValue", []) => Some(entry.1.clone()),
                _ => None,
            },
            Value::Bool(own) => methods_number::of_bool(*own, name, arguments),
            number => methods_number::call(self, number, name, arguments)?,
        };
        match own {
            Some(result) => Ok(result),
            None => self.of_any_object(value, name, arguments),
        }
    }

    fn of_any_object(
        &mut self,
        value: &Value<'r>,
        name: &str,
        arguments: &[Value<'r>],
    ) -> Result<Value<'r>, RenderError> {
        Ok(match (name, arguments) {
            ("toString", []) => Value::Text(self.text(value)?),
            ("equals", [other]) => Value::Bool(value.same(other, &self.meter)?),
            _ => Value::Null,
        })
    }
}
