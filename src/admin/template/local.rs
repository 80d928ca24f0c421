//! Which functions does a SAM template have, for somebody who runs them?
//!
//! The control plane makes none; `Ref` and `Fn::GetAtt` name them as AWS would, and here are the
//! properties that belong to those names: `Globals` put in, functions of the template answered,
//! every value with its place in the file. What is allowed in them is for their reader to say.
//!
//! A value that needs something which only an import makes (`!Ref` of an API) is a problem, unless
//! it is a variable that the caller sets by itself.
//!
//! AWS: Serverless Application Model, "AWS::Serverless::Function", "Globals section".

use serde_json::Value as Json;

use super::document::{Expanded, Settings, Site, Template};
use super::functions::Mode;
use super::syntax::locate;
use super::{Fault, Object, apply, single};
use crate::model::document::{Node, Value};
use crate::model::problem::Problems;

/// Properties that say how a function runs; others are about events, permissions, tracing.
const PROPERTIES: [&str; 11] = [
    "AutoPublishAlias",
    "CodeUri",
    "Environment",
    "Handler",
    "ImageUri",
    "InlineCode",
    "Layers",
    "MemorySize",
    "PackageType",
    "Runtime",
    "Timeout",
];
const ENVIRONMENT: &str = "Environment";
const VARIABLES: &str = "Variables";

/// An `AWS::Serverless::Function`.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateFunction {
    /// Logical id.
    pub id: String,
    /// `FunctionName`, or STACK-ID: what integrations of the imported template call.
    pub name: String,
    /// A table of the properties that say how it runs, each with its place in the template.
    pub properties: Node,
}

impl Template {
    /// The template's functions in its order, with the names that `tidegate import` gives them in
    /// a region of this account. Variables that `is_set` names are left out.
    ///
    /// # Errors
    /// The first thing that is wrong with the template, or all values that nothing answers.
    pub fn functions(
        &self,
        settings: &Settings,
        aws_region: &str,
        account_id: &str,
        is_set: impl Fn(&str) -> bool,
    ) -> Result<Vec<TemplateFunction>, Problems> {
        let site = Site {
            partition: "aws".to_owned(),
            aws_region: aws_region.to_owned(),
            account_id: account_id.to_owned(),
            url_suffix: apply::URL_SUFFIX.to_owned(),
        };
        let expanded = self.expand(settings, &site)?;
        let mut problems = Problems::default();
        let mut functions = Vec::new();
        for (id, given) in &expanded.functions {
            let mut faults = Vec::new();
            let properties = properties(&expanded, id, given, &is_set, &mut faults);
            problems.found.extend(faults.iter().map(|fault| self.problem(fault)));
            let made = expanded.evaluator.made.borrow();
            let name = made.get(id).map_or(id.as_str(), |made| &made.id).to_owned();
            let properties = self.placed(&Json::Object(properties), &mut place(id));
            functions.push(TemplateFunction { id: id.clone(), name, properties });
        }
        problems.into_result().map(|()| functions)
    }

    /// A value with the places of its parts. Its depth is bounded as the template's is.
    fn placed(&self, value: &Json, path: &mut Vec<String>) -> Node {
        let mark = locate(self.root(), path);
        let mut part = |name: String, value: &Json| {
            path.push(name);
            let node = self.placed(value, path);
            path.pop();
            node
        };
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Boolean(*flag),
            Json::Number(number) => number
                .as_i64()
                .map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Integer),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(
                items.iter().enumerate().map(|(at, item)| part(at.to_string(), item)).collect(),
            ),
            Json::Object(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(name, value)| (name.clone(), part(name.clone(), value)))
                    .collect(),
            ),
        };
        Node { value, mark }
    }
}

fn place(id: &str) -> Vec<String> {
    ["Resources", id, "Properties"].map(str::to_owned).to_vec()
}

/// The wanted ones, answered.
fn properties(
    expanded: &Expanded,
    id: &str,
    given: &Object,
    is_set: &impl Fn(&str) -> bool,
    faults: &mut Vec<Fault>,
) -> Object {
    let mut answered = Object::new();
    let mut answer = |names: &[&str], value: &Json| {
        let path: Vec<String> =
            place(id).into_iter().chain(names.iter().map(|name| (*name).to_owned())).collect();
        match expanded.evaluator.answer(value, &path, Mode::Late) {
            Ok(value) => value,
            Err(fault) => {
                faults.push(fault);
                None
            }
        }
    };
    for name in PROPERTIES {
        let Some(value) = given.get(name) else { continue };
        let variables = value.get(VARIABLES).and_then(Json::as_object);
        let value = match variables {
            // One by one: each that is wrong is named, and what is set elsewhere is not asked for.
            Some(variables) if name == ENVIRONMENT => {
                let own = variables.iter().filter(|(variable, _)| !is_set(variable));
                let own = own.filter_map(|(variable, value)| {
                    let value = answer(&[ENVIRONMENT, VARIABLES, variable], value)?;
                    Some((variable.clone(), value))
                });
                Some(single(VARIABLES, Json::Object(own.collect())))
            }
            _ => answer(&[name], value),
        };
        if let Some(value) = value {
            answered.insert(name.to_owned(), value);
        }
    }
    answered
}
