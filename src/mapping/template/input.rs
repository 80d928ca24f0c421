//! `$input`, `$stageVariables`, `$context` as a whole, `$foreach`.
//!
//! The body is read as JSON once, and only when a template asks for a path of it.

use super::meter::RenderError;
use super::print;
use super::render::{Loop, Machine};
use super::scope::Place;
use super::tree::{Call, Prepared};
use super::value::{Builtin, Entries, Key, Map, Text, Value};
use crate::mapping::json_path::{JsonPath, PathError, document};

/// `$input.body` of a message without one (recorded, rest-data-plane 5.3).
const EMPTY_BODY: &str = "{}";
/// `$input.json` of what is not there.
const NOTHING: &str = "\"\"";

impl<'r> Machine<'r> {
    fn body_text(&self) -> &'r str {
        if self.input.body.is_empty() { EMPTY_BODY } else { self.input.body }
    }

    fn body_json(&self) -> Result<Option<Value<'r>>, RenderError> {
        if let Some(body) = self.body.get() {
            return Ok(body.clone());
        }
        let text = self.body_text();
        self.meter.make(text.len())?;
        let body = document::parse(text)?;
        Ok(self.body.get_or_init(|| body).clone())
    }

    pub(super) fn input_method(
        &mut self,
        call: &'r Call,
        arguments: &[Value<'r>],
    ) -> Result<Value<'r>, RenderError> {
        match (&*call.name, arguments) {
            ("json", [path]) => match self.at_path(call, path)? {
                Some(value) => Ok(Value::owned(print::to_json(&value, &self.meter)?)),
                None => Ok(Value::text(NOTHING)),
            },
            ("path", [path]) => Ok(self.at_path(call, path)?.unwrap_or(Value::Null)),
            ("params", []) => Ok(self.parameters()),
            ("params", [name]) => {
                let name = self.text(name)?;
                let parameters = self.input.parameters;
                let found = Place::ALL.iter().find_map(|place| parameters.get(*place, &name));
                Ok(found.map_or(Value::Null, cow))
            }
            ("toString", []) => Ok(Value::text(self.body_text())),
            _ => Ok(Value::Null),
        }
    }

    fn at_path(
        &mut self,
        call: &'r Call,
        path: &Value<'r>,
    ) -> Result<Option<Value<'r>>, RenderError> {
        let Some(body) = self.body_json()? else { return Ok(None) };
        match &call.prepared {
            Prepared::Path(Ok(path)) => path.find(&body, &self.meter),
            Prepared::Path(Err(error)) => Err(bad_path(error.clone())),
            _ => {
                let text = self.text(path)?;
                self.meter.read(text.len())?;
                JsonPath::compile(&text).map_err(bad_path)?.find(&body, &self.meter)
            }
        }
    }

    fn parameters(&self) -> Value<'r> {
        let mut all = Entries::default();
        for place in Place::ALL {
            let own = self.place(place);
            all.insert(Key::Text(Text::Borrowed(place.name())), own);
        }
        Value::Map(Map::new(all))
    }

    fn place(&self, place: Place) -> Value<'r> {
        let entries = self.input.parameters.all(place).into_iter().map(|(name, value)| {
            let name = match name {
                std::borrow::Cow::Borrowed(name) => Text::Borrowed(name),
                std::borrow::Cow::Owned(name) => Text::from(name),
            };
            (Key::Text(name), cow(value))
        });
        Value::Map(Map::new(entries.collect()))
    }

    /// A property of one of the gateway's objects.
    pub(super) fn member(&self, builtin: Builtin, name: &str) -> Value<'r> {
        match builtin {
            Builtin::Input if name == "body" => Value::text(self.body_text()),
            Builtin::Input | Builtin::Util => Value::Null,
            Builtin::Context => {
                let own = self.overlay.get(name).or_else(|| self.variables.get(name));
                own.unwrap_or(Value::Null)
            }
            Builtin::StageVariables => {
                self.stage_variables.get(name).map_or(Value::Null, |value| Value::text(value))
            }
            Builtin::Foreach => {
                self.loops.last().map_or(Value::Null, |own| self.of_loop(own, name))
            }
        }
    }

    fn of_loop(&self, own: &Loop, name: &str) -> Value<'r> {
        match name {
            "index" => Value::integer(own.index as i128),
            "count" => Value::integer(own.index as i128 + 1),
            "hasNext" => Value::Bool(own.index + 1 < own.length),
            "first" => Value::Bool(own.index == 0),
            "last" => Value::Bool(own.index + 1 == own.length),
            // The loop around this one, as it stands.
            "parent" | "topmost" => {
                let outer = match name {
                    "parent" => self.loops.iter().nth_back(1),
                    _ => self.loops.first(),
                };
                let names = ["index", "count", "hasNext", "first", "last"];
                outer.map_or(Value::Null, |outer| {
                    Value::map(names.map(|name| (name, self.of_loop(outer, name))))
                })
            }
            _ => Value::Null,
        }
    }

    /// One of the gateway's objects as a map, where it is one.
    pub(super) fn whole(&self, builtin: Builtin) -> Value<'r> {
        match builtin {
            Builtin::StageVariables => {
                let entries = self.stage_variables.iter();
                let entries = entries.map(|(name, value)| {
                    (Key::Text(Text::Borrowed(name.as_str())), Value::text(value))
                });
                Value::Map(Map::new(entries.collect()))
            }
            Builtin::Context => {
                let whole = match self.variables.get("") {
                    Some(Value::Map(map)) => map.entries().clone(),
                    _ => Entries::default(),
                };
                let mut entries = whole;
                entries.extend(
                    self.overlay.entries().iter().map(|(key, value)| (key.clone(), value.clone())),
                );
                Value::Map(Map::new(entries))
            }
            Builtin::Input | Builtin::Util | Builtin::Foreach => Value::Builtin(builtin),
        }
    }
}

fn cow(text: std::borrow::Cow<'_, str>) -> Value<'_> {
    match text {
        std::borrow::Cow::Borrowed(text) => Value::text(text),
        std::borrow::Cow::Owned(text) => Value::owned(text),
    }
}

fn bad_path(error: PathError) -> RenderError {
    RenderError::BadPath { path: error.path, cause: error.cause }
}
