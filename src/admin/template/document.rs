//! What does a template ask for? Its sections, with everything answered that needs no region.
//!
//! Parameters take their values, conditions are decided, resources whose condition is false leave,
//! those of other services are listed as skipped, and `AWS::Serverless::*` becomes plain resources.
//! What is left in an [`Expanded`] are resources of API Gateway's in the order in which they can be
//! made; their values may still refer to each other.
//!
//! Files that a template names (`AWS::Include`, `DefinitionUri`) must lie in the template's folder
//! or below it, links followed: a template from elsewhere reads nothing else of this machine.
//!
//! AWS: CloudFormation User Guide, "Template anatomy"; quotas "Parameters", "Mappings", "Outputs".

use std::cell::Cell;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::foreign::imagine;
use super::functions::{Evaluator, Mode, is_pending, plain_text};
use super::syntax::{self, locate};
use super::{Fault, INCLUDES_MAX, Object, RESOURCES_MAX, kinds, order, sam, text};
use crate::model::document::Node;
use crate::model::problem::{Problem, Problems};
use crate::model::quotas;

/// AWS: CloudFormation quotas: 200 each.
const ENTRIES_MAX: usize = 200;
/// AWS: CloudFormation quotas, "Parameter values".
const PARAMETER_BYTES_MAX: usize = 4_096;
const SECTIONS: [&str; 11] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Globals",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
];
const TRANSFORM: &str = "Transform";
const SAM: &str = "AWS::Serverless-2016-10-31";
/// Transforms that leave templates without them alone.
const HARMLESS: [&str; 2] = ["AWS::LanguageExtensions", SAM];

/// The account and region that pseudo parameters name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    pub aws_region: String,
    /// Twelve digits.
    pub account_id: String,
    /// `amazonaws.com`
    pub url_suffix: String,
}

/// What the user decides about one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name under which the region remembers what was made.
    pub stack: String,
    /// `NAME=VALUE` of the template's parameters.
    pub parameters: Vec<(String, String)>,
    /// Values for `Fn::ImportValue`.
    pub exports: Vec<(String, String)>,
}

/// A template, read.
#[derive(Debug)]
pub struct Template {
    file: String,
    folder: PathBuf,
    root: Node,
}

/// One resource of API Gateway's.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Such as `AWS::ApiGateway::RestApi`.
    pub kind: String,
    pub properties: Object,
    pub depends_on: Vec<String>,
    /// The logical id it stands under in the template; for those SAM makes, their maker's.
    pub origin: String,
    /// `DeletionPolicy: Retain`
    pub is_kept: bool,
}

/// A resource nobody makes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub id: String,
    pub kind: String,
    pub why: String,
}

/// A template for one region and one set of parameters.
#[derive(Debug)]
pub struct Expanded {
    pub resources: IndexMap<String, Resource>,
    /// Logical ids in the order in which they are made.
    pub order: Vec<String>,
    pub skipped: Vec<Skipped>,
    /// Properties of `AWS::Serverless::Function`s, `Globals` put in.
    pub(super) functions: IndexMap<String, Object>,
    pub(super) outputs: Object,
    pub(super) evaluator: Evaluator,
}

/// Reads a template's bytes. `file` is its name for complaints, `folder` where it lies.
///
/// # Errors
/// What is wrong and where.
pub fn read(file: &str, folder: &Path, bytes: &[u8]) -> Result<Template, Problems> {
    let root = syntax::parse(file, bytes)?;
    let folder = folder.to_path_buf();
    Ok(Template { file: file.to_owned(), folder, root })
}

/// Whether these bytes look like a template rather than an API document or a topology.
pub fn is_template(bytes: &[u8]) -> bool {
    syntax::parse("", bytes).is_ok_and(|root| {
        let root = syntax::to_json(&root);
        root.get("Resources").is_some_and(Json::is_object) && root.get("paths").is_none()
    })
}

impl Template {
    /// Everything that can be said without asking a region.
    ///
    /// # Errors
    /// The first thing that is wrong, with line, logical id and property.
    pub fn expand(&self, settings: &Settings, site: &Site) -> Result<Expanded, Problems> {
        self.expanded(settings, site).map_err(|fault| self.problem(&fault).into())
    }

    /// The whole file.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// A fault as a problem of this file.
    pub fn problem(&self, fault: &Fault) -> Problem {
        let (line, column) = locate(&self.root, &fault.path);
        Problem {
            file: self.file.clone(),
            line,
            column,
            key: fault.path.join("."),
            message: fault.message.clone(),
            hint: None,
        }
    }

    fn expanded(&self, settings: &Settings, site: &Site) -> Result<Expanded, Fault> {
        let Json::Object(root) = syntax::to_json(&self.root) else {
            return Err(Fault::new(&[], "a template is a table with `Resources` in it"));
        };
        check_sections(&root)?;
        let resources = section(&root, "Resources")?;
        if resources.is_empty() {
            return Err(Fault::new(&[], "the template has no Resources"));
        }
        let mut evaluator = Evaluator {
            mappings: section(&root, "Mappings")?,
            conditions: section(&root, "Conditions")?,
            exports: settings.exports.iter().cloned().collect(),
            includes: Includes::new(&self.folder),
            declared: resources.keys().cloned().collect(),
            // SAM makes resources that can be referred to.
            is_lenient: true,
            ..Evaluator::default()
        };
        take_parameters(&mut evaluator, &section(&root, "Parameters")?, settings, site)?;
        for name in evaluator.conditions.keys() {
            evaluator.named_condition(name, &["Conditions".to_owned(), name.clone()], 0)?;
        }
        let read = read_resources(&resources, &mut evaluator)?;
        let globals = Json::Object(section(&root, "Globals")?);
        let globals = evaluator.answer(&globals, &["Globals".to_owned()], Mode::Early)?;
        let globals = globals.and_then(|globals| globals.as_object().cloned()).unwrap_or_default();
        let mut skipped = Vec::new();
        let expanding = sam::Expanding { stack: &settings.stack, includes: &evaluator.includes };
        let plain = expanding.expand(read, &globals, &mut skipped)?;
        evaluator.declared.extend(plain.resources.keys().cloned());
        evaluator.aliases = plain.aliases;
        evaluator.is_lenient = false;
        let is_function = |of: &Resource| of.kind == sam::FUNCTION;
        let functions = plain.resources.iter().filter(|(_, of)| is_function(of));
        let functions = functions.map(|(id, of)| (id.clone(), of.properties.clone())).collect();
        let (mut ours, others) = plain
            .resources
            .into_iter()
            .partition::<IndexMap<_, _>, _>(|(_, resource)| kinds::find(&resource.kind).is_some());
        if ours.len() > RESOURCES_MAX {
            let message = format!("{} resources; at most {RESOURCES_MAX} are taken", ours.len());
            return Err(Fault::new(&["Resources".to_owned()], message));
        }
        imagine_others(&evaluator, site, &settings.stack, others, &mut skipped);
        // Now every id is known; what is still unknown is wrong.
        for resource in ours.values_mut() {
            let path = ["Resources", &resource.origin, "Properties"].map(str::to_owned);
            let given = Json::Object(std::mem::take(&mut resource.properties));
            let answered = evaluator.answer(&given, &path, Mode::Early)?;
            resource.properties =
                answered.and_then(|all| all.as_object().cloned()).unwrap_or_default();
        }
        let order = order::sorted(&ours)?;
        let outputs = section(&root, "Outputs")?;
        Ok(Expanded { resources: ours, order, skipped, functions, outputs, evaluator })
    }
}

fn check_sections(root: &Object) -> Result<(), Fault> {
    for name in root.keys() {
        if name != TRANSFORM && !SECTIONS.contains(&name.as_str()) {
            let path = [name.clone()];
            return Err(Fault::new(&path, "this is no section of a template"));
        }
    }
    let named: Vec<&Json> = match root.get(TRANSFORM) {
        Some(Json::Array(names)) => names.iter().collect(),
        Some(name) => vec![name],
        None => Vec::new(),
    };
    for name in named {
        let known = name.as_str().is_some_and(|name| HARMLESS.contains(&name));
        if !known {
            let message = format!("the transform {name} is not known; {SAM} is");
            return Err(Fault::new(&[TRANSFORM.to_owned()], message));
        }
    }
    Ok(())
}

fn section(root: &Object, name: &str) -> Result<Object, Fault> {
    let entries = match root.get(name) {
        None | Some(Json::Null) => Object::new(),
        Some(Json::Object(entries)) => entries.clone(),
        Some(_) => return Err(Fault::new(&[name.to_owned()], "this must be a table")),
    };
    let most = if name == "Resources" { 2 * RESOURCES_MAX } else { ENTRIES_MAX };
    if entries.len() > most {
        return Err(Fault::new(&[name.to_owned()], format!("more than {most} entries")));
    }
    Ok(entries)
}

// ---- parameters

fn take_parameters(
    evaluator: &mut Evaluator,
    declared: &Object,
    settings: &Settings,
    site: &Site,
) -> Result<(), Fault> {
    for (name, _) in &settings.parameters {
        if !declared.contains_key(name) {
            let message = format!("the template has no parameter `{name}`");
            return Err(Fault::new(&["Parameters".to_owned()], message));
        }
    }
    for (name, parameter) in declared {
        let path = ["Parameters".to_owned(), name.clone()];
        let given = settings.parameters.iter().rev().find(|(known, _)| known == name);
        let given = given.map(|(_, value)| value.clone());
        // The default of such a one is a name in another service.
        let kind = parameter.get("Type").and_then(Json::as_str).unwrap_or("String");
        let is_looked_up = kind.starts_with("AWS::SSM::Parameter::Value");
        let default = parameter.get("Default").filter(|_| !is_looked_up).and_then(plain_text);
        let value = given.or(default);
        let Some(value) = value else {
            let message = format!("it has no default; give it with --parameter {name}=VALUE");
            return Err(Fault::new(&path, message));
        };
        check_parameter(parameter, &value).map_err(|message| Fault::new(&path, message))?;
        let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
        let value = match is_list {
            true => value.split(',').map(str::trim).collect(),
            false => Json::from(value),
        };
        evaluator.parameters.insert(name.clone(), value);
    }
    let stack = &settings.stack;
    let id = format!(
        "arn:{}:cloudformation:{}:{}:stack/{stack}/tidegate",
        site.partition, site.aws_region, site.account_id
    );
    for (name, value) in [
        ("AWS::Region", site.aws_region.as_str()),
        ("AWS::AccountId", &site.account_id),
        ("AWS::Partition", &site.partition),
        ("AWS::URLSuffix", &site.url_suffix),
        ("AWS::StackName", stack),
        ("AWS::StackId", &id),
    ] {
        evaluator.parameters.insert(name.to_owned(), Json::from(value));
    }
    evaluator.parameters.insert("AWS::NotificationARNs".to_owned(), Json::Array(Vec::new()));
    Ok(())
}

/// AWS: CloudFormation User Guide, "Parameters", the constraints.
fn check_parameter(parameter: &Json, value: &str) -> Result<(), String> {
    if value.len() > PARAMETER_BYTES_MAX {
        return Err(format!("its value has more than {PARAMETER_BYTES_MAX} bytes"));
    }
    let said = parameter.get("ConstraintDescription").and_then(Json::as_str);
    let refuse = |why: String| Err(said.map_or(why, str::to_owned));
    if let Some(allowed) = parameter.get("AllowedValues").and_then(Json::as_array)
        && !allowed.iter().filter_map(plain_text).any(|allowed| allowed == value)
    {
        return refuse(format!("`{value}` is none of its AllowedValues"));
    }
    if let Some(pattern) = parameter.get("AllowedPattern").and_then(Json::as_str) {
        // The whole value has to fit; what this engine cannot read is not held against a value.
        let whole =
            regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build();
        if whole.is_ok_and(|whole| !whole.is_match(value)) {
            return refuse(format!("`{value}` does not fit its AllowedPattern"));
        }
    }
    let bound = |name: &str| parameter.get(name).and_then(plain_text)?.parse::<f64>().ok();
    let length = value.chars().count() as f64;
    if bound("MinLength").is_some_and(|least| length < least)
        || bound("MaxLength").is_some_and(|most| length > most)
    {
        return refuse(format!("`{value}` has a length that it must not have"));
    }
    if parameter.get("Type").and_then(Json::as_str) == Some("Number") {
        let Ok(number) = value.parse::<f64>() else {
            return refuse(format!("`{value}` is no number"));
        };
        if bound("MinValue").is_some_and(|least| number < least)
            || bound("MaxValue").is_some_and(|most| number > most)
        {
            return refuse(format!("{value} is out of bounds"));
        }
    }
    Ok(())
}

// ---- resources

fn read_resources(
    resources: &Object,
    evaluator: &mut Evaluator,
) -> Result<IndexMap<String, Resource>, Fault> {
    let mut wanted = Vec::new();
    for (id, resource) in resources {
        let path = ["Resources".to_owned(), id.clone()];
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Fault::new(&path, "a logical id has letters and digits only"));
        }
        let Json::Object(resource) = resource else {
            return Err(Fault::new(&path, "a resource is a table with a Type"));
        };
        if text(resource, "Type").is_none() {
            return Err(Fault::new(&path, "a resource needs a Type"));
        }
        match resource.get("Condition") {
            Some(Json::String(name)) if !evaluator.named_condition(name, &path, 0)? => {
                evaluator.dropped.insert(id.clone());
            }
            None | Some(Json::String(_)) => wanted.push((id, resource)),
            Some(_) => return Err(Fault::new(&path, "Condition takes a condition's name")),
        }
    }
    wanted.into_iter().map(|(id, of)| Ok((id.clone(), resource(id, of, evaluator)?))).collect()
}

fn resource(id: &str, of: &Object, evaluator: &Evaluator) -> Result<Resource, Fault> {
    let mut path = vec!["Resources".to_owned(), id.to_owned(), "Properties".to_owned()];
    let kind = text(of, "Type").unwrap_or_default().to_owned();
    let is_ours = kind.starts_with("AWS::ApiGateway") || kind.starts_with("AWS::Serverless::");
    let properties = match of.get("Properties") {
        None | Some(Json::Null) => Object::new(),
        Some(given) if is_ours => match evaluator.answer(given, &path, Mode::Early)? {
            Some(Json::Object(properties)) => properties,
            _ => return Err(Fault::new(&path, "Properties is a table")),
        },
        // Of others only names are looked at, and nobody refuses what is nobody's business here.
        Some(Json::Object(given)) => given
            .iter()
            .filter_map(|(name, value)| {
                let value = evaluator.answer(value, &path, Mode::Early).ok()??;
                Some((name.clone(), value))
            })
            .collect(),
        Some(_) => return Err(Fault::new(&path, "Properties is a table")),
    };
    path.truncate(2);
    let depends_on = match of.get("DependsOn") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(some)) if some.iter().all(Json::is_string) => {
            some.iter().filter_map(Json::as_str).map(str::to_owned).collect()
        }
        Some(_) => return Err(Fault::new(&path, "DependsOn takes logical ids")),
    };
    if let Some(unknown) = depends_on.iter().find(|id| !evaluator.declared.contains(*id)) {
        return Err(Fault::new(&path, format!("DependsOn: there is no resource `{unknown}`")));
    }
    let policy = text(of, "DeletionPolicy").unwrap_or_default();
    let is_kept = policy.starts_with("Retain");
    Ok(Resource { kind, properties, depends_on, origin: id.to_owned(), is_kept })
}

fn imagine_others(
    evaluator: &Evaluator,
    site: &Site,
    stack: &str,
    others: IndexMap<String, Resource>,
    skipped: &mut Vec<Skipped>,
) {
    // A version is named after its function, so functions come first; twice settles the rest.
    for _ in 0..2 {
        for (id, other) in &others {
            let path = ["Resources".to_owned(), id.clone()];
            let named: Object = other
                .properties
                .iter()
                .filter_map(|(name, value)| {
                    let value = evaluator.answer(value, &path, Mode::Early).ok()??;
                    (!is_pending(&value)).then(|| (name.clone(), value))
                })
                .collect();
            let made = imagine(site, stack, id, &other.kind, &named);
            evaluator.made.borrow_mut().insert(id.clone(), made);
        }
    }
    skipped.extend(others.into_iter().map(|(id, other)| Skipped {
        id,
        why: if other.kind.starts_with("AWS::ApiGateway") {
            "the control plane has no such resource".to_owned()
        } else {
            "not API Gateway's".to_owned()
        },
        kind: other.kind,
    }));
}

// ---- files

/// Files beside a template.
#[derive(Debug, Default)]
pub(super) struct Includes {
    folder: PathBuf,
    loaded: Cell<usize>,
}

impl Includes {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), loaded: Cell::new(0) }
    }

    /// Reads a file of JSON or YAML, short forms included.
    pub(super) fn load(&self, place: &str) -> Result<Json, String> {
        let wrong = |why: String| format!("`{place}`: {why}");
        if place.contains("://") {
            return Err(wrong("only files beside the template are read".to_owned()));
        }
        self.loaded.set(self.loaded.get() + 1);
        if self.loaded.get() > INCLUDES_MAX {
            return Err(wrong(format!("more than {INCLUDES_MAX} files are included")));
        }
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let folder = folder.canonicalize().map_err(|err| wrong(err.to_string()))?;
        let file = folder.join(place).canonicalize().map_err(|err| wrong(err.to_string()))?;
        if !file.starts_with(&folder) {
            return Err(wrong("it lies outside the template's folder".to_owned()));
        }
        let about = file.metadata().map_err(|err| wrong(err.to_string()))?;
        if !about.is_file() || about.len() > quotas::DEFINITION_BYTES_MAX {
            let most = quotas::DEFINITION_BYTES_MAX;
            return Err(wrong(format!("it is no file of at most {most} bytes")));
        }
        let bytes = std::fs::read(&file).map_err(|err| wrong(err.to_string()))?;
        let root = syntax::parse(place, &bytes).map_err(|problems| problems.to_string())?;
        Ok(syntax::to_json(&root))
    }
}
