//! What does a function of a template come to? `Ref`, `Fn::Sub` and their like, and conditions.
//!
//! A value is answered as far as it can be: what needs a resource that is not there yet stays a
//! function ([`Mode::Early`]) and is answered when the resource is made ([`Mode::Late`]). `None`
//! means `AWS::NoValue`: the member or item is left out. The bytes an answer takes are counted.
//!
//! AWS: CloudFormation Template Reference, "Intrinsic function reference", "Condition functions",
//! "Pseudo parameters reference".

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::document::Includes;
use super::foreign::Made;
use super::{ANSWER_BYTES_MAX, Fault, Object, single};

/// Whether every resource that is referred to must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Early,
    Late,
}

/// Everything functions may ask.
#[derive(Debug, Default)]
pub(super) struct Evaluator {
    /// Parameters and pseudo parameters.
    pub(super) parameters: HashMap<String, Json>,
    pub(super) mappings: Object,
    pub(super) conditions: Object,
    /// For `Fn::ImportValue`.
    pub(super) exports: HashMap<String, String>,
    /// Logical ids that may be referred to.
    pub(super) declared: HashSet<String>,
    /// Those among them whose condition is false.
    pub(super) dropped: HashSet<String>,
    /// Other names of logical ids: `MyApi.Stage`.
    pub(super) aliases: HashMap<String, String>,
    /// Ids that nobody declares yet may be referred to.
    pub(super) is_lenient: bool,
    /// What is there already, by logical id.
    pub(super) made: RefCell<HashMap<String, Made>>,
    pub(super) includes: Includes,
    /// Conditions that were decided; `None` while one is being decided.
    pub(super) decided: RefCell<HashMap<String, Option<bool>>>,
    pub(super) spent: Cell<usize>,
}

type Answer = Result<Option<Json>, Fault>;

impl Evaluator {
    /// Answers a whole value, with a fresh allowance of bytes.
    pub(super) fn answer(&self, value: &Json, path: &[String], mode: Mode) -> Answer {
        self.spent.set(0);
        self.value(value, &mut path.to_vec(), mode)
    }

    fn value(&self, value: &Json, path: &mut Vec<String>, mode: Mode) -> Answer {
        match value {
            Json::Object(object) => match function(object) {
                Some((name, argument)) => {
                    path.push(name.to_owned());
                    let answer = self.function(name, argument, path, mode);
                    path.pop();
                    answer
                }
                None => self.object(object, path, mode),
            },
            Json::Array(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    path.push(at.to_string());
                    kept.extend(self.value(item, path, mode)?);
                    path.pop();
                }
                Ok(Some(Json::Array(kept)))
            }
            Json::String(text) => {
                if mode == Mode::Late && text.contains("{{resolve:") {
                    return Err(Fault::new(
                        path,
                        "`{{resolve:…}}` is not looked up; use a parameter and --parameter",
                    ));
                }
                self.spend(text.len(), path)?;
                Ok(Some(value.clone()))
            }
            _ => {
                self.spend(1, path)?;
                Ok(Some(value.clone()))
            }
        }
    }

    fn object(&self, object: &Object, path: &mut Vec<String>, mode: Mode) -> Answer {
        let mut kept = Object::new();
        for (name, value) in object {
            path.push(name.clone());
            if name == "Fn::Transform" {
                // What is included stands beside its siblings.
                match self.transform(value, path, mode)? {
                    Json::Object(included) => kept.extend(included),
                    _ => return Err(Fault::new(path, "what is included here must be a table")),
                }
            } else if let Some(value) = self.value(value, path, mode)? {
                self.spend(name.len(), path)?;
                kept.insert(name.clone(), value);
            }
            path.pop();
        }
        Ok(Some(Json::Object(kept)))
    }

    fn function(&self, name: &str, argument: &Json, path: &mut Vec<String>, mode: Mode) -> Answer {
        match name {
            "Ref" => return self.reference(argument, path, mode),
            "Fn::GetAtt" => return self.attribute(argument, path, mode),
            "Fn::If" => return self.branch(argument, path, mode),
            "Fn::Sub" => return self.substitute(argument, path, mode),
            "Fn::Transform" => return self.transform(argument, path, mode).map(Some),
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                let whole = single(name, argument.clone());
                return self.condition(&whole, path, 0).map(|flag| Some(Json::from(flag)));
            }
            "Fn::FindInMap" => return self.find_in_map(argument, path, mode),
            _ => {}
        }
        let Some(answered) = self.value(argument, path, mode)? else {
            return Err(Fault::new(path, "AWS::NoValue is no argument"));
        };
        if is_pending(&answered) {
            return Ok(Some(single(name, answered)));
        }
        let result = simple(name, &answered, self).map_err(|message| Fault::new(path, message))?;
        self.spend(size(&result), path)?;
        Ok(Some(result))
    }

    fn reference(&self, argument: &Json, path: &[String], mode: Mode) -> Answer {
        let Some(name) = argument.as_str() else {
            return Err(Fault::new(path, "Ref takes a name"));
        };
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        let name = self.aliases.get(name).map_or(name, String::as_str);
        if let Some(value) = self.parameters.get(name) {
            self.spend(size(value), path)?;
            return Ok(Some(value.clone()));
        }
        if let Some(made) = self.made.borrow().get(name) {
            return Ok(Some(Json::from(made.id.as_str())));
        }
        self.not_there(name, path, mode)?;
        Ok(Some(single("Ref", name)))
    }

    fn attribute(&self, argument: &Json, path: &mut Vec<String>, mode: Mode) -> Answer {
        let wrong = "Fn::GetAtt takes a logical id and an attribute";
        let Some((id, name)) = self.id_and_name(argument, path, mode)? else {
            return Err(Fault::new(path, wrong));
        };
        if let Some(made) = self.made.borrow().get(&id) {
            let found = made.attribute(&name);
            let missing = || Fault::new(path, format!("`{id}` has no attribute `{name}`"));
            return found.map(Some).ok_or_else(missing);
        }
        self.not_there(&id, path, mode)?;
        Ok(Some(single("Fn::GetAtt", Json::from(vec![id, name]))))
    }

    fn id_and_name(
        &self,
        argument: &Json,
        path: &mut Vec<String>,
        mode: Mode,
    ) -> Result<Option<(String, String)>, Fault> {
        Ok(match argument {
            Json::String(text) => {
                text.split_once('.').map(|(id, name)| (id.to_owned(), name.to_owned()))
            }
            Json::Array(items) => match items.as_slice() {
                [Json::String(id), name] => {
                    let name = self.value(name, path, mode)?;
                    name.as_ref().and_then(Json::as_str).map(|name| (id.clone(), name.to_owned()))
                }
                _ => None,
            },
            _ => None,
        })
    }

    /// Refuses references that nothing will ever answer.
    fn not_there(&self, id: &str, path: &[String], mode: Mode) -> Result<(), Fault> {
        if self.dropped.contains(id) {
            return Err(Fault::new(path, format!("the condition of `{id}` is false")));
        }
        if !(self.declared.contains(id) || self.is_lenient && mode == Mode::Early) {
            let message = format!("the template has no parameter or resource `{id}`");
            return Err(Fault::new(path, message));
        }
        if mode == Mode::Late {
            return Err(Fault::new(path, format!("`{id}` is not there yet")));
        }
        Ok(())
    }

    fn branch(&self, argument: &Json, path: &mut Vec<String>, mode: Mode) -> Answer {
        let Some([Json::String(name), yes, no]) = argument.as_array().map(Vec::as_slice) else {
            return Err(Fault::new(path, "Fn::If takes a condition's name and two values"));
        };
        let (place, chosen) =
            if self.named_condition(name, path, 0)? { ("1", yes) } else { ("2", no) };
        path.push(place.to_owned());
        let answer = self.value(chosen, path, mode);
        path.pop();
        answer
    }

    fn find_in_map(&self, argument: &Json, path: &mut Vec<String>, mode: Mode) -> Answer {
        let answered = self.value(argument, path, mode)?.unwrap_or(Json::Null);
        if is_pending(&answered) {
            return Ok(Some(single("Fn::FindInMap", answered)));
        }
        let items = answered.as_array().map(Vec::as_slice).unwrap_or_default();
        let default = items.get(3).and_then(|more| more.get("DefaultValue"));
        let keys: Option<Vec<String>> = items.iter().take(3).map(plain_text).collect();
        let Some([map, first, second]) = keys.as_deref() else {
            return Err(Fault::new(path, "Fn::FindInMap takes a map's name and two keys"));
        };
        let found = self.mappings.get(map).and_then(|map| map.get(first));
        let found = found.and_then(|entry| entry.get(second)).or(default);
        let missing = || Fault::new(path, format!("no mapping has {map}.{first}.{second}"));
        let found = found.ok_or_else(missing)?;
        self.spend(size(found), path)?;
        Ok(Some(found.clone()))
    }

    /// `AWS::Include` of a file beside the template.
    fn transform(
        &self,
        argument: &Json,
        path: &mut Vec<String>,
        mode: Mode,
    ) -> Result<Json, Fault> {
        let answered = self.value(argument, path, mode)?.unwrap_or(Json::Null);
        let name = answered.get("Name").and_then(Json::as_str).unwrap_or_default();
        if name != "AWS::Include" {
            let message = format!("the transform `{name}` is not known; AWS::Include is");
            return Err(Fault::new(path, message));
        }
        let place = answered.get("Parameters").and_then(|given| given.get("Location"));
        let Some(place) = place.and_then(Json::as_str) else {
            return Err(Fault::new(path, "AWS::Include takes Parameters.Location, a text"));
        };
        let included = self.includes.load(place).map_err(|why| Fault::new(path, why))?;
        // Its own functions count, but it includes nothing itself.
        Ok(self.value(&included, path, mode)?.unwrap_or(Json::Null))
    }

    fn substitute(&self, argument: &Json, path: &mut Vec<String>, mode: Mode) -> Answer {
        let wrong = || Fault::new(path, "Fn::Sub takes a text, or a text and a table");
        let empty = Object::new();
        let (text, own) = match argument {
            Json::String(text) => (text, &empty),
            Json::Array(items) => match items.as_slice() {
                [Json::String(text)] => (text, &empty),
                [Json::String(text), Json::Object(own)] => (text, own),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        };
        let mut done = String::new();
        let mut pending = Object::new();
        let mut waits = false;
        for piece in pieces(text) {
            let name = match piece {
                Piece::Text(text) => {
                    self.spend(text.len(), path)?;
                    done.push_str(&text.replace("${", "${!"));
                    continue;
                }
                Piece::Name(name) => name,
            };
            let value = match own.get(name) {
                Some(value) => self.value(value, path, mode)?,
                None => match name.split_once('.') {
                    Some(_) if !self.aliases.contains_key(name) => {
                        self.attribute(&Json::from(name), path, mode)?
                    }
                    _ => self.reference(&Json::from(name), path, mode)?,
                },
            };
            let value =
                value.ok_or_else(|| Fault::new(path, format!("${{{name}}} has no value")))?;
            if is_pending(&value) {
                waits = true;
                let known = self.aliases.get(name).map_or(name, String::as_str);
                done.push_str(&format!("${{{known}}}"));
                if own.contains_key(name) {
                    pending.insert(name.to_owned(), value);
                }
                continue;
            }
            let Some(value) = plain_text(&value) else {
                return Err(Fault::new(path, format!("${{{name}}} is no text")));
            };
            self.spend(value.len(), path)?;
            done.push_str(&value.replace("${", "${!"));
        }
        Ok(Some(match (waits, pending.is_empty()) {
            (false, _) => Json::from(done.replace("${!", "${")),
            (true, true) => single("Fn::Sub", done),
            (true, false) => {
                single("Fn::Sub", Json::Array(vec![Json::from(done), Json::Object(pending)]))
            }
        }))
    }

    // ---- conditions

    /// Decides a condition of the `Conditions` section.
    pub(super) fn named_condition(
        &self,
        name: &str,
        path: &[String],
        depth: usize,
    ) -> Result<bool, Fault> {
        let known = self.decided.borrow().get(name).copied();
        match known {
            Some(Some(flag)) => return Ok(flag),
            Some(None) => {
                return Err(Fault::new(path, format!("the condition `{name}` needs itself")));
            }
            None => {}
        }
        let Some(condition) = self.conditions.get(name) else {
            return Err(Fault::new(path, format!("the template has no condition `{name}`")));
        };
        self.decided.borrow_mut().insert(name.to_owned(), None);
        let mut place = vec!["Conditions".to_owned(), name.to_owned()];
        let decided = self.condition(condition, &mut place, depth + 1);
        self.decided.borrow_mut().insert(name.to_owned(), decided.as_ref().ok().copied());
        decided
    }

    fn condition(&self, value: &Json, path: &mut Vec<String>, depth: usize) -> Result<bool, Fault> {
        /// Conditions one behind the other; ours, far beyond what anybody writes.
        const DEPTH_MAX: usize = 64;
        if depth > DEPTH_MAX {
            return Err(Fault::new(path, "conditions are nested too deeply"));
        }
        let Some((name, argument)) = value.as_object().and_then(only) else {
            return Err(Fault::new(path, "this is no condition"));
        };
        let items = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match name {
            "Condition" => {
                let name = argument.as_str().unwrap_or_default();
                self.named_condition(name, path, depth + 1)
            }
            "Fn::Equals" => {
                let [left, right] = items else {
                    return Err(Fault::new(path, "Fn::Equals takes two values"));
                };
                let side = |value: &Json| {
                    let value = self.value(value, &mut path.clone(), Mode::Late)?;
                    let value = value.unwrap_or(Json::Null);
                    Ok::<_, Fault>(plain_text(&value).map_or(value, Json::from))
                };
                Ok(side(left)? == side(right)?)
            }
            "Fn::Not" => match items {
                [one] => self.condition(one, path, depth + 1).map(|flag| !flag),
                _ => Err(Fault::new(path, "Fn::Not takes one condition")),
            },
            "Fn::And" | "Fn::Or" => {
                // AWS: "Condition functions": two to ten.
                if !(2..=10).contains(&items.len()) {
                    return Err(Fault::new(path, format!("{name} takes two to ten conditions")));
                }
                let mut flags = Vec::new();
                for item in items {
                    flags.push(self.condition(item, path, depth + 1)?);
                }
                Ok(if name == "Fn::And" { !flags.contains(&false) } else { flags.contains(&true) })
            }
            _ => Err(Fault::new(path, format!("`{name}` is no condition function"))),
        }
    }

    fn spend(&self, bytes: usize, path: &[String]) -> Result<(), Fault> {
        let spent = self.spent.get().saturating_add(bytes);
        self.spent.set(spent);
        if spent > ANSWER_BYTES_MAX {
            let message = format!("this comes to more than {ANSWER_BYTES_MAX} bytes");
            return Err(Fault::new(path, message));
        }
        Ok(())
    }
}

/// Functions of values alone.
fn simple(name: &str, argument: &Json, evaluator: &Evaluator) -> Result<Json, String> {
    let items = argument.as_array().map(Vec::as_slice).unwrap_or_default();
    match (name, items) {
        ("Fn::Join", [Json::String(between), Json::Array(parts)]) => {
            let parts: Option<Vec<String>> = parts.iter().map(plain_text).collect();
            let parts = parts.ok_or("Fn::Join joins texts")?;
            // The separator counts as often as it stands there.
            let bytes = parts.len().saturating_mul(between.len());
            if bytes > ANSWER_BYTES_MAX {
                return Err(format!("this comes to more than {ANSWER_BYTES_MAX} bytes"));
            }
            Ok(Json::from(parts.join(between)))
        }
        ("Fn::Select", [index, Json::Array(values)]) => {
            let index = plain_text(index).and_then(|text| text.parse::<usize>().ok());
            let found = index.and_then(|index| values.get(index));
            found.cloned().ok_or_else(|| "Fn::Select: the list has no such item".to_owned())
        }
        ("Fn::Split", [Json::String(between), text]) if !between.is_empty() => {
            let text = plain_text(text).ok_or("Fn::Split splits a text")?;
            Ok(text.split(between.as_str()).collect())
        }
        ("Fn::Base64", _) => {
            let text = plain_text(argument).ok_or("Fn::Base64 takes a text")?;
            Ok(Json::from(STANDARD.encode(text)))
        }
        ("Fn::Length", _) => argument
            .as_array()
            .map(|list| Json::from(list.len()))
            .ok_or_else(|| "Fn::Length takes a list".to_owned()),
        ("Fn::ToJsonString", _) => Ok(Json::from(argument.to_string())),
        ("Fn::GetAZs", _) => {
            let given = plain_text(argument).filter(|region| !region.is_empty());
            let own = evaluator.parameters.get("AWS::Region").and_then(plain_text);
            let region = given.or(own).unwrap_or_default();
            Ok(["a", "b", "c"].iter().map(|zone| format!("{region}{zone}")).collect())
        }
        ("Fn::ImportValue", _) => {
            let wanted = plain_text(argument).ok_or("Fn::ImportValue takes a name")?;
            evaluator.exports.get(&wanted).map(|value| Json::from(value.as_str())).ok_or_else(
                || format!("nothing exports `{wanted}` here; give it with --export {wanted}=VALUE"),
            )
        }
        ("Fn::Join" | "Fn::Select" | "Fn::Split", _) => {
            Err(format!("{name} takes other arguments"))
        }
        _ => Err(format!("the function {name} is not known here")),
    }
}

/// The name and argument of a function.
fn function(object: &Object) -> Option<(&str, &Json)> {
    let (name, argument) = only(object)?;
    let is_reference = name == "Ref" && argument.is_string();
    (is_reference || name.starts_with("Fn::")).then_some((name, argument))
}

fn only(object: &Object) -> Option<(&str, &Json)> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((name, value)), None) => Some((name.as_str(), value)),
        _ => None,
    }
}

/// Whether something in a value still waits for a resource.
pub(super) fn is_pending(value: &Json) -> bool {
    match value {
        Json::Object(object) => function(object).is_some() || object.values().any(is_pending),
        Json::Array(items) => items.iter().any(is_pending),
        _ => false,
    }
}

/// Scalars as the text they are in templates.
pub(super) fn plain_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn size(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size).sum::<usize>() + 1,
        Json::Object(object) => object.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 1,
    }
}

/// A part of a text with `${…}` in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Cuts a text into texts and names. `${!x}` is the text `${x}`; the `${` comes as a text of its
/// own, the rest with the text behind it.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        if let Some(literal) = after.strip_prefix('!') {
            found.push(Piece::Text("${"));
            rest = literal;
        } else if let Some((name, behind)) = after.split_once('}') {
            found.push(Piece::Name(name.trim()));
            rest = behind;
        } else {
            found.push(Piece::Text("${"));
            rest = after;
        }
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// Logical ids that a value refers to: what must be there first.
pub(super) fn references(value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        Json::Object(object) => {
            match function(object) {
                Some(("Ref", Json::String(id))) => found.push(id.clone()),
                Some(("Fn::GetAtt", Json::Array(items))) => {
                    found.extend(items.first().and_then(Json::as_str).map(str::to_owned));
                }
                Some(("Fn::GetAtt", Json::String(text))) => {
                    found.extend(text.split('.').next().map(str::to_owned));
                }
                Some(("Fn::Sub", argument)) => {
                    let text = argument.as_str().or_else(|| argument.get(0)?.as_str());
                    for piece in pieces(text.unwrap_or_default()) {
                        if let Piece::Name(name) = piece {
                            found.extend(name.split('.').next().map(str::to_owned));
                        }
                    }
                }
                _ => {}
            }
            object.values().for_each(|value| references(value, found));
        }
        _ => {}
    }
}
