//! A schema of draft 4, compiled, and the comparison of a value with it.
//!
//! The order is that of fge's json-schema-validator, because its report shows it: the keywords of a
//! schema by name, then the members of a value by name, and members only while nothing was wrong so
//! far. Schemas within `allOf`, `anyOf`, `oneOf` and `not` are only asked whether they fit; what is
//! wrong in them is not told.
//!
//! Neither the depth nor the work of a comparison has an end of its own where schemas lead back to
//! themselves, so both are counted, and where one value may be compared with a schema on many ways
//! the answer is kept.
//!
//! JSON Schema draft 4, "Interactive and non interactive validation".

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::ecma_regex::{self, EcmaRegex};
use super::schema_body::Json;
use super::schema_number::Decimal;
use super::validation_errors::{self, Report};

/// Comparisons within one another; it bounds the stack. A body may be nested as deep as the reader
/// takes it where each level is compared with one schema, and less deep where with many in a row.
const DEPTH_MAX: usize = 1_200;
/// Comparisons for one body, some seconds of work. Real bodies have less than one for each byte.
const STEPS_MAX: usize = 20_000_000;
/// Answers kept during one comparison.
const KEPT_MAX: usize = 500_000;
/// What one pattern takes when it is compiled, bytes: the default of the `regex` crate.
const PATTERN_BYTES_MAX: usize = 10 << 20;
/// Where a schema has many patterns, what all may take together, and what each may always take.
const PATTERNS_BYTES_MAX: usize = 64 << 20;
const PATTERN_BYTES_MIN: usize = 1 << 20;
/// In the order in which Java lists them.
pub(super) const TYPES: [&str; 7] =
    ["array", "boolean", "integer", "null", "number", "object", "string"];
const INTEGER: u8 = 1 << 2;
const NUMBER: u8 = 1 << 4;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadPattern {
    pub(super) pattern: String,
    pub(super) cause: String,
}

/// A schema with all that it refers to.
pub(super) struct Rules {
    nodes: Vec<Node>,
    /// Whether a value may be compared with one schema on several ways.
    keeps_answers: bool,
}

#[derive(Default)]
struct Node {
    /// By keyword.
    rules: Box<[Rule]>,
    members: Members,
    items: Items,
}

/// Schemas of an object's members.
#[derive(Default)]
struct Members {
    named: HashMap<Box<str>, usize>,
    patterns: Box<[(EcmaRegex, usize)]>,
    others: Option<usize>,
}

/// Schemas of an array's items.
#[derive(Default)]
enum Items {
    #[default]
    Any,
    All(usize),
    Each(Box<[usize]>, Option<usize>),
}

/// What one keyword asks.
pub(super) enum Rule {
    AdditionalItems { limit: usize },
    AdditionalProperties { named: HashSet<Box<str>>, patterns: Box<[EcmaRegex]> },
    AllOf(Box<[usize]>),
    AnyOf(Box<[usize]>),
    Dependencies { names: Box<[Wanted]>, schemas: Box<[(Box<str>, usize)]> },
    Enum(Box<[Json<'static>]>),
    Format(Format),
    MaxItems(u64),
    MaxLength(u64),
    MaxProperties(u64),
    Maximum(Limit),
    MinItems(u64),
    MinLength(u64),
    MinProperties(u64),
    Minimum(Limit),
    MultipleOf(Limit),
    Not(usize),
    OneOf(Box<[usize]>),
    Pattern(EcmaRegex),
    Required(Box<[Box<str>]>),
    Type(u8),
    UniqueItems,
}

/// A name, and the names that must be there with it.
type Wanted = (Box<str>, Box<[Box<str>]>);

pub(super) struct Limit {
    pub(super) text: String,
    value: Decimal<'static>,
    pub(super) is_exclusive: bool,
}

/// A form of texts, and who knows it.
pub(super) struct Format {
    pub(super) name: String,
    judge: Option<Validator>,
}

impl Rules {
    /// Of a document of draft 4 whose references are all `#/…` and lead somewhere.
    ///
    /// # Errors
    /// A pattern that is none.
    pub(super) fn compile(document: &Value, keeps_answers: bool) -> Result<Self, BadPattern> {
        let patterns = count_patterns(document);
        let share = PATTERNS_BYTES_MAX / patterns.max(1);
        let mut compiler = Compiler {
            document,
            waiting: Vec::new(),
            known: HashMap::new(),
            pattern_bytes_max: share.clamp(PATTERN_BYTES_MIN, PATTERN_BYTES_MAX),
        };
        compiler.place(document);
        let mut nodes = Vec::new();
        // Each may bring more.
        while let Some(schema) = compiler.waiting.get(nodes.len()).copied() {
            nodes.push(compiler.node(schema)?);
        }
        Ok(Self { nodes, keeps_answers })
    }

    pub(super) fn fit(&self, value: &Json<'_>) -> bool {
        let mut report = Report::of_the_first();
        let mut run = Run::new(self);
        run.compare(0, value, &mut report);
        !report.has_failed() && !run.gave_up
    }

    pub(super) fn report(&self, value: &Json<'_>) -> String {
        let mut report = Report::of_all();
        Run::new(self).compare(0, value, &mut report);
        report.into_text()
    }
}

/// At least as many as there are, whether or not they count.
fn count_patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| match (key.as_str(), value) {
                ("pattern", Value::String(_)) => 1,
                ("patternProperties", Value::Object(table)) => {
                    table.len() + table.values().map(count_patterns).sum::<usize>()
                }
                (_, value) => count_patterns(value),
            })
            .sum(),
        Value::Array(list) => list.iter().map(count_patterns).sum(),
        _ => 0,
    }
}

struct Compiler<'d> {
    document: &'d Value,
    /// The schema of each node.
    waiting: Vec<&'d Value>,
    /// By place in the document.
    known: HashMap<*const Value, usize>,
    pattern_bytes_max: usize,
}

impl<'d> Compiler<'d> {
    /// The node of a schema. Who weighed the document has seen that references end.
    fn place(&mut self, schema: &'d Value) -> usize {
        let mut schema = schema;
        while let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = target.strip_prefix('#').unwrap_or(target);
            let Some(next) = self.document.pointer(pointer) else { break };
            schema = next;
        }
        let next = self.waiting.len();
        let node = *self.known.entry(std::ptr::from_ref(schema)).or_insert(next);
        if node == next {
            self.waiting.push(schema);
        }
        node
    }

    fn places(&mut self, list: &'d Value) -> Box<[usize]> {
        list.as_array().into_iter().flatten().map(|schema| self.place(schema)).collect()
    }

    fn pattern(&self, pattern: &str) -> Result<EcmaRegex, BadPattern> {
        EcmaRegex::compile(pattern, self.pattern_bytes_max)
            .map_err(|cause| BadPattern { pattern: pattern.to_owned(), cause })
    }

    fn node(&mut self, schema: &'d Value) -> Result<Node, BadPattern> {
        let Value::Object(schema) = schema else { return Ok(Node::default()) };
        let mut keywords: Vec<(&String, &'d Value)> = schema.iter().collect();
        keywords.sort_unstable_by_key(|(keyword, _)| *keyword);
        let mut rules = Vec::new();
        for (keyword, value) in keywords {
            rules.extend(self.rule(keyword, value, schema)?);
        }
        Ok(Node { rules: rules.into(), members: self.members(schema)?, items: self.items(schema) })
    }

    fn members(&mut self, schema: &'d Map<String, Value>) -> Result<Members, BadPattern> {
        let mut patterns = Vec::new();
        for (pattern, schema) in table(schema, "patternProperties") {
            patterns.push((self.pattern(pattern)?, self.place(schema)));
        }
        let named = table(schema, "properties");
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        Ok(Members {
            named: named.map(|(name, schema)| (name.as_str().into(), self.place(schema))).collect(),
            patterns: patterns.into(),
            others: others.map(|others| self.place(others)),
        })
    }

    fn items(&mut self, schema: &'d Map<String, Value>) -> Items {
        match schema.get("items") {
            Some(each @ Value::Array(_)) => {
                let others = schema.get("additionalItems").filter(|others| others.is_object());
                Items::Each(self.places(each), others.map(|others| self.place(others)))
            }
            Some(all) => Items::All(self.place(all)),
            None => Items::Any,
        }
    }

    /// What no keyword of draft 4 asks, and what asks nothing, is no rule.
    fn rule(
        &mut self,
        keyword: &str,
        value: &'d Value,
        schema: &'d Map<String, Value>,
    ) -> Result<Option<Rule>, BadPattern> {
        let is_true = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        let count = whole(value);
        Ok(Some(match (keyword, value) {
            ("additionalItems", Value::Bool(false)) => match schema.get("items") {
                Some(Value::Array(each)) => Rule::AdditionalItems { limit: each.len() },
                _ => return Ok(None),
            },
            ("additionalProperties", Value::Bool(false)) => {
                let patterns = table(schema, "patternProperties");
                let patterns = patterns.map(|(pattern, _)| self.pattern(pattern));
                let patterns = patterns.collect::<Result<_, _>>()?;
                let named = table(schema, "properties").map(|(name, _)| name.as_str().into());
                Rule::AdditionalProperties { named: named.collect(), patterns }
            }
            ("allOf", list) => Rule::AllOf(self.places(list)),
            ("anyOf", list) => Rule::AnyOf(self.places(list)),
            ("dependencies", _) => self.dependencies(schema),
            ("enum", Value::Array(values)) => Rule::Enum(values.iter().map(Json::of).collect()),
            ("format", Value::String(name)) => Rule::Format(Format::new(name)),
            ("maxItems", _) => Rule::MaxItems(count),
            ("maxLength", _) => Rule::MaxLength(count),
            ("maxProperties", _) => Rule::MaxProperties(count),
            ("maximum", Value::Number(_)) => {
                Rule::Maximum(Limit::new(value, is_true("exclusiveMaximum")))
            }
            ("minItems", _) => Rule::MinItems(count),
            ("minLength", _) => Rule::MinLength(count),
            ("minProperties", _) => Rule::MinProperties(count),
            ("minimum", Value::Number(_)) => {
                Rule::Minimum(Limit::new(value, is_true("exclusiveMinimum")))
            }
            ("multipleOf", Value::Number(_)) => Rule::MultipleOf(Limit::new(value, false)),
            ("not", schema) => Rule::Not(self.place(schema)),
            ("oneOf", list) => Rule::OneOf(self.places(list)),
            ("pattern", Value::String(pattern)) => Rule::Pattern(self.pattern(pattern)?),
            ("required", names) => Rule::Required(sorted(names)),
            ("type", allowed) => Rule::Type(types(allowed)),
            ("uniqueItems", Value::Bool(true)) => Rule::UniqueItems,
            _ => return Ok(None),
        }))
    }

    fn dependencies(&mut self, schema: &'d Map<String, Value>) -> Rule {
        let mut all: Vec<_> = table(schema, "dependencies").collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        let (mut names, mut schemas) = (Vec::new(), Vec::new());
        for (name, wanted) in all {
            match wanted {
                Value::Array(_) => names.push((name.as_str().into(), sorted(wanted))),
                schema => schemas.push((name.as_str().into(), self.place(schema))),
            }
        }
        Rule::Dependencies { names: names.into(), schemas: schemas.into() }
    }
}

fn table<'d>(
    schema: &'d Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'d String, &'d Value)> {
    schema.get(name).and_then(Value::as_object).into_iter().flatten()
}

/// Names by which a report lists them.
fn sorted(names: &Value) -> Box<[Box<str>]> {
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut names: Vec<Box<str>> = names.map(Box::from).collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}

/// A count; draft 4 lets it be written as `1.0` as well.
fn whole(value: &Value) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let of_float = |float: f64| float as u64;
    value.as_u64().or_else(|| value.as_f64().map(of_float)).unwrap_or(0)
}

/// A number may be an integer.
fn types(allowed: &Value) -> u8 {
    let one = |name: &Value| match TYPES.iter().position(|own| name.as_str() == Some(own)) {
        Some(4) => INTEGER | NUMBER,
        Some(index) => 1 << index,
        None => 0,
    };
    match allowed {
        Value::Array(list) => list.iter().map(one).fold(0, |all, one| all | one),
        name => one(name),
    }
}

/// Draft 4 tells a number with a point or an exponent from an integer, whatever its value.
pub(super) fn type_of(value: &Json<'_>) -> usize {
    match value {
        Json::List(_) => 0,
        Json::Bool(_) => 1,
        Json::Number(text) if text.contains(['.', 'e', 'E']) => 4,
        Json::Number(_) => 2,
        Json::Null => 3,
        Json::Object(_) => 5,
        Json::Text(_) => 6,
    }
}

impl Limit {
    fn new(value: &Value, is_exclusive: bool) -> Self {
        let text = value.to_string();
        let value = Decimal::read(&text).owned();
        Self { text, value, is_exclusive }
    }

    /// Whether the number is this very one.
    pub(super) fn is(&self, number: &str) -> bool {
        Decimal::read(number) == self.value
    }
}

impl Format {
    fn new(name: &str) -> Self {
        let judge = (name != "regex").then(|| {
            let options = jsonschema::options().with_draft(Draft::Draft4);
            options.should_validate_formats(true).offline().build(&json!({ "format": name }))
        });
        Self { name: name.to_owned(), judge: judge.and_then(Result::ok) }
    }

    fn is_of(&self, text: &str) -> bool {
        match &self.judge {
            Some(judge) => judge.is_valid(&Value::from(text)),
            None => ecma_regex::check(text).is_ok(),
        }
    }
}

/// One comparison.
struct Run<'r> {
    rules: &'r Rules,
    depth: usize,
    steps: usize,
    /// Whether a bound was met; then no answer counts.
    gave_up: bool,
    /// By schema and value.
    kept: HashMap<(usize, *const ()), bool>,
}

impl<'r> Run<'r> {
    fn new(rules: &'r Rules) -> Self {
        Self { rules, depth: 0, steps: 0, gave_up: false, kept: HashMap::new() }
    }

    fn compare(&mut self, node: usize, value: &Json<'_>, report: &mut Report) {
        self.steps += 1;
        if self.depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            self.gave_up = true;
        }
        let Some(node) = self.rules.nodes.get(node).filter(|_| !self.gave_up) else { return };
        self.depth += 1;
        for rule in &node.rules {
            if report.is_complete() {
                break;
            }
            self.rule(rule, value, report);
        }
        if !report.has_failed() {
            match value {
                Json::List(list) => self.items(&node.items, list, report),
                Json::Object(members) => self.members(&node.members, members, report),
                _ => {}
            }
        }
        self.depth -= 1;
    }

    fn rule(&mut self, rule: &'r Rule, value: &Json<'_>, report: &mut Report) {
        match rule {
            Rule::AllOf(list) => {
                let matched = self.matched(list, value);
                if matched < list.len() {
                    report.add(|| validation_errors::all_of(matched, list.len()));
                }
            }
            Rule::AnyOf(list) => {
                if self.matched(list, value) == 0 {
                    report.add(|| validation_errors::any_of(list.len()));
                }
            }
            Rule::OneOf(list) => {
                let matched = self.matched(list, value);
                if matched != 1 {
                    report.add(|| validation_errors::one_of(matched, list.len()));
                }
            }
            Rule::Not(node) => {
                if self.fits(*node, value) {
                    report.add(validation_errors::not);
                }
            }
            Rule::Dependencies { names, schemas } => {
                let Json::Object(members) = value else { return };
                dependencies_hold(names, members, report);
                for (name, node) in schemas {
                    if members.contains_key(&**name) {
                        self.compare(*node, value, report);
                    }
                }
            }
            alone => {
                if !alone.holds(value) {
                    report.add(|| validation_errors::message(alone, value));
                }
            }
        }
    }

    fn matched(&mut self, nodes: &[usize], value: &Json<'_>) -> usize {
        let mut matched = 0;
        for node in nodes {
            matched += usize::from(self.fits(*node, value));
        }
        matched
    }

    /// The answer without its reasons.
    fn fits(&mut self, node: usize, value: &Json<'_>) -> bool {
        let holds_others = matches!(value, Json::List(_) | Json::Object(_));
        let keeps = self.rules.keeps_answers && holds_others;
        let key = (node, std::ptr::from_ref(value).cast::<()>());
        if keeps && let Some(known) = self.kept.get(&key) {
            return *known;
        }
        let mut report = Report::of_the_first();
        self.compare(node, value, &mut report);
        let fits = !report.has_failed() && !self.gave_up;
        if keeps && self.kept.len() < KEPT_MAX {
            self.kept.insert(key, fits);
        }
        fits
    }

    fn items(&mut self, items: &'r Items, list: &[Json<'_>], report: &mut Report) {
        match items {
            Items::Any => {}
            Items::All(node) => {
                for item in list {
                    self.inner(*node, item, report);
                }
            }
            Items::Each(nodes, others) => {
                for (index, item) in list.iter().enumerate() {
                    if let Some(node) = nodes.get(index).or(others.as_ref()) {
                        self.inner(*node, item, report);
                    }
                }
            }
        }
    }

    fn members(
        &mut self,
        schemas: &'r Members,
        members: &super::schema_body::Members<'_>,
        report: &mut Report,
    ) {
        if schemas.named.is_empty() && schemas.patterns.is_empty() && schemas.others.is_none() {
            return;
        }
        let mut sorted: Vec<_> = members.iter().collect();
        if report.tells() {
            sorted.sort_unstable_by_key(|(name, _)| *name);
        }
        for (name, member) in sorted {
            let named = schemas.named.get(&**name);
            let mut is_known = named.is_some();
            if let Some(node) = named {
                self.inner(*node, member, report);
            }
            for (pattern, node) in &schemas.patterns {
                if pattern.is_found_in(name) {
                    is_known = true;
                    self.inner(*node, member, report);
                }
            }
            if let Some(node) = schemas.others.filter(|_| !is_known) {
                self.inner(node, member, report);
            }
        }
    }

    /// A value within the one that is compared.
    fn inner(&mut self, node: usize, value: &Json<'_>, report: &mut Report) {
        if report.is_complete() || self.gave_up {
            return;
        }
        if !self.rules.keeps_answers {
            return self.compare(node, value, report);
        }
        if self.fits(node, value) {
            return;
        }
        match report.tells() {
            true => self.compare(node, value, report),
            false => report.add(String::new),
        }
    }
}

impl Rule {
    /// Whether a rule that asks no other schema holds. What is of another type it does not concern.
    fn holds(&self, value: &Json<'_>) -> bool {
        let fits = |count: usize, limit: u64| u64::try_from(count).is_ok_and(|own| own <= limit);
        let reaches = |count: usize, limit: u64| u64::try_from(count).is_ok_and(|own| own >= limit);
        match (self, value) {
            (Rule::Type(allowed), value) => allowed & (1 << type_of(value)) != 0,
            (Rule::Enum(values), value) => values.iter().any(|own| own.is_same(value)),
            (Rule::AdditionalItems { limit }, Json::List(list)) => list.len() <= *limit,
            (Rule::MaxItems(limit), Json::List(list)) => fits(list.len(), *limit),
            (Rule::MinItems(limit), Json::List(list)) => reaches(list.len(), *limit),
            (Rule::UniqueItems, Json::List(list)) => are_different(list),
            (Rule::AdditionalProperties { named, patterns }, Json::Object(members)) => {
                members.keys().all(|name| is_allowed(name, named, patterns))
            }
            (Rule::MaxProperties(limit), Json::Object(members)) => fits(members.len(), *limit),
            (Rule::MinProperties(limit), Json::Object(members)) => reaches(members.len(), *limit),
            (Rule::Required(names), Json::Object(members)) => {
                names.iter().all(|name| members.contains_key(&**name))
            }
            (Rule::MaxLength(limit), Json::Text(text)) => {
                fits(text.len(), *limit) || fits(text.chars().count(), *limit)
            }
            (Rule::MinLength(limit), Json::Text(text)) => reaches(text.chars().count(), *limit),
            (Rule::Pattern(pattern), Json::Text(text)) => pattern.is_found_in(text),
            (Rule::Format(format), Json::Text(text)) => format.is_of(text),
            (Rule::Maximum(limit), Json::Number(text)) => {
                match Decimal::read(text).order(&limit.value) {
                    Ordering::Less => true,
                    Ordering::Equal => !limit.is_exclusive,
                    Ordering::Greater => false,
                }
            }
            (Rule::Minimum(limit), Json::Number(text)) => {
                match Decimal::read(text).order(&limit.value) {
                    Ordering::Greater => true,
                    Ordering::Equal => !limit.is_exclusive,
                    Ordering::Less => false,
                }
            }
            (Rule::MultipleOf(limit), Json::Number(text)) => {
                Decimal::read(text).is_multiple_of(&limit.value)
            }
            _ => true,
        }
    }
}

fn dependencies_hold(
    names: &[Wanted],
    members: &super::schema_body::Members<'_>,
    report: &mut Report,
) {
    for (name, wanted) in names {
        let is_concerned = members.contains_key(&**name);
        if is_concerned && !wanted.iter().all(|name| members.contains_key(&**name)) {
            report.add(|| validation_errors::dependency(name, wanted, members));
        }
    }
}

pub(super) fn is_allowed(name: &str, named: &HashSet<Box<str>>, patterns: &[EcmaRegex]) -> bool {
    named.contains(name) || patterns.iter().any(|pattern| pattern.is_found_in(name))
}

fn are_different(list: &[Json<'_>]) -> bool {
    let mut seen = HashSet::with_capacity(list.len());
    list.iter().all(|item| {
        let mut text = String::new();
        item.canonical(&mut text);
        seen.insert(text)
    })
}
