//! What is wrong with a body, in the words of the validator that AWS uses.
//!
//! `$context.error.validationErrorString` is a list as Java prints it, of messages of the library
//! `json-schema-validator` (fge): `[object has missing required properties (["id","name"])]`. Texts
//! and patterns stand in it as they are: whoever puts the report into JSON puts it into quotes.
//!
//! Known from the field are that form and the message for missing properties (rest-data-plane 3.5);
//! all other messages follow the library's catalogue as remembered.

use super::schema_body::{Json, Members, in_quotes};
use super::schema_rules::{Limit, Rule, TYPES, is_allowed, type_of};

/// Length of the report, bytes; it has to fit into a line of the access log, and into a header.
const REPORT_BYTES_MAX: usize = 4 * 1024;
/// A value quoted in a message, bytes.
const QUOTED_BYTES_MAX: usize = 512;

/// What a comparison has found so far.
pub(super) struct Report {
    /// `None` where nobody asks what is wrong.
    text: Option<String>,
    has_failed: bool,
    is_full: bool,
}

impl Report {
    /// For who only wants to know whether anything is wrong.
    pub(super) fn of_the_first() -> Self {
        Self { text: None, has_failed: false, is_full: false }
    }

    pub(super) fn of_all() -> Self {
        Self { text: Some(String::new()), has_failed: false, is_full: false }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether it says what is wrong.
    pub(super) fn tells(&self) -> bool {
        self.text.is_some()
    }

    /// Whether looking further would change nothing.
    pub(super) fn is_complete(&self) -> bool {
        self.is_full || (self.has_failed && self.text.is_none())
    }

    pub(super) fn add(&mut self, message: impl FnOnce() -> String) {
        self.has_failed = true;
        let Some(text) = self.text.as_mut().filter(|_| !self.is_full) else { return };
        let message = message();
        if text.len() + message.len() > REPORT_BYTES_MAX {
            self.is_full = true;
            return;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&message);
    }

    /// The list of all messages.
    pub(super) fn into_text(self) -> String {
        format!("[{}]", self.text.unwrap_or_default())
    }
}

pub(super) fn all_of(matched: usize, of: usize) -> String {
    format!("instance failed to match all required schemas (matched only {matched} out of {of})")
}

pub(super) fn any_of(of: usize) -> String {
    format!("instance failed to match at least one required schema among {of}")
}

pub(super) fn one_of(matched: usize, of: usize) -> String {
    format!("instance failed to match exactly one schema (matched {matched} out of {of})")
}

pub(super) fn not() -> String {
    "instance matched a schema which it should not have".to_owned()
}

pub(super) fn dependency(name: &str, wanted: &[Box<str>], members: &Members<'_>) -> String {
    let missing = wanted.iter().filter(|name| !members.contains_key(&***name));
    format!(
        "property \"{}\" of object has missing property dependencies (schema requires {}; missing: \
         {})",
        cut(name.to_owned()),
        list(wanted.iter().map(|name| &**name)),
        list(missing.map(|name| &**name))
    )
}

/// Of a rule that does not hold.
pub(super) fn message(rule: &Rule, value: &Json<'_>) -> String {
    match (rule, value) {
        (Rule::Type(allowed), _) => {
            let names = TYPES.iter().enumerate().filter(|(index, _)| allowed & (1 << index) != 0);
            format!(
                "instance type ({}) does not match any allowed primitive type (allowed: {})",
                TYPES.get(type_of(value)).unwrap_or(&""),
                list(names.map(|(_, name)| *name))
            )
        }
        (Rule::Enum(values), _) => format!(
            "instance value ({}) not found in enum (possible values: {})",
            printed(value),
            printed(&Json::List(values.to_vec()))
        ),
        (rule, Json::Object(members)) => of_object(rule, members),
        (rule, Json::List(items)) => of_array(rule, items.len()),
        (rule, Json::Text(text)) => of_text(rule, text),
        (rule, Json::Number(found)) => of_number(rule, found),
        _ => String::new(),
    }
}

fn of_object(rule: &Rule, members: &Members<'_>) -> String {
    let count = members.len();
    match rule {
        Rule::Required(names) => {
            let missing = names.iter().filter(|name| !members.contains_key(&***name));
            let missing = list(missing.map(|name| &**name));
            format!("object has missing required properties ({missing})")
        }
        Rule::AdditionalProperties { named, patterns } => {
            let names = members.keys().map(|name| &**name);
            let mut unwanted: Vec<&str> =
                names.filter(|name| !is_allowed(name, named, patterns)).collect();
            unwanted.sort_unstable();
            let unwanted = list(unwanted.into_iter());
            format!(
                "object instance has properties which are not allowed by the schema: {unwanted}"
            )
        }
        Rule::MaxProperties(limit) => format!(
            "object has too many properties (found {count} but schema requires at most {limit})"
        ),
        Rule::MinProperties(limit) => format!(
            "object has too few properties (found {count} but schema requires at least {limit})"
        ),
        _ => String::new(),
    }
}

fn of_array(rule: &Rule, count: usize) -> String {
    match rule {
        Rule::AdditionalItems { limit } => format!(
            "array has too many elements: only {limit} are allowed but instance has {count} \
             elements"
        ),
        Rule::MaxItems(limit) => format!(
            "array is too long: must have at most {limit} elements but instance has {count} \
             elements"
        ),
        Rule::MinItems(limit) => format!(
            "array is too short: must have at least {limit} elements but instance has {count} \
             elements"
        ),
        Rule::UniqueItems => "array must not contain duplicate elements".to_owned(),
        _ => String::new(),
    }
}

fn of_text(rule: &Rule, text: &str) -> String {
    let length = text.chars().count();
    let found = cut(text.to_owned());
    match rule {
        Rule::MaxLength(limit) => {
            format!("string \"{found}\" is too long (length: {length}, maximum allowed: {limit})")
        }
        Rule::MinLength(limit) => {
            format!("string \"{found}\" is too short (length: {length}, required minimum: {limit})")
        }
        Rule::Pattern(pattern) => format!(
            "ECMA 262 regex \"{}\" does not match input string \"{found}\"",
            cut(pattern.pattern().to_owned())
        ),
        Rule::Format(format) => of_format(&format.name, &found),
        _ => String::new(),
    }
}

fn of_number(rule: &Rule, found: &str) -> String {
    let is_limit = |limit: &Limit| limit.is_exclusive && limit.is(found);
    let found = cut(found.to_owned());
    match rule {
        Rule::Minimum(limit) if is_limit(limit) => format!(
            "numeric instance is not strictly greater than the required minimum {}",
            limit.text
        ),
        Rule::Minimum(limit) => format!(
            "numeric instance is lower than the required minimum (minimum: {}, found: {found})",
            limit.text
        ),
        Rule::Maximum(limit) if is_limit(limit) => format!(
            "numeric instance is not strictly lower than the required maximum {}",
            limit.text
        ),
        Rule::Maximum(limit) => format!(
            "numeric instance is greater than the required maximum (maximum: {}, found: {found})",
            limit.text
        ),
        Rule::MultipleOf(limit) => {
            format!("remainder of division is not zero ({found} / {})", limit.text)
        }
        _ => String::new(),
    }
}

fn of_format(format: &str, found: &str) -> String {
    match format {
        "date-time" => format!(
            "string \"{found}\" is invalid against requested date format(s) \
             [yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.[0-9]{{1,12}}Z]"
        ),
        "email" => format!("string \"{found}\" is not a valid email address"),
        "ipv4" => format!("string \"{found}\" is not a valid IPv4 address"),
        "ipv6" => format!("string \"{found}\" is not a valid IPv6 address"),
        "hostname" => format!("string \"{found}\" is not a valid hostname"),
        "uri" => format!("string \"{found}\" is not a valid URI"),
        _ => format!("string \"{found}\" is not a valid ECMA 262 regular expression"),
    }
}

fn printed(value: &Json<'_>) -> String {
    let mut text = String::new();
    value.print(&mut text, QUOTED_BYTES_MAX);
    cut(text)
}

fn cut(mut text: String) -> String {
    if text.len() > QUOTED_BYTES_MAX {
        text.truncate(text.floor_char_boundary(QUOTED_BYTES_MAX));
        text.push('…');
    }
    text
}

/// `["a","b"]`.
fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut list = String::from("[");
    for text in texts {
        if list.len() > QUOTED_BYTES_MAX {
            list.push('…');
            break;
        }
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&in_quotes(text));
    }
    list.push(']');
    list
}
