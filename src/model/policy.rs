//! IAM policies: may this principal do this to that? A pure function.
//!
//! A document is read once and refused, with its place, when anything in it is not understood: a
//! statement that is skipped could have been the one that denies. Evaluation is AWS's: an explicit
//! deny wins, then an allow, and what nobody allows is denied.
//!
//! AWS: IAM User Guide, "IAM JSON policy elements reference", "Policy evaluation logic",
//! "IAM JSON policy elements: Condition operators".

use std::net::IpAddr;

use indexmap::IndexMap;
use serde_json::Value;

/// Characters of one document. IAM User Guide, "IAM and AWS STS quotas" (managed policies: 6,144;
/// API Gateway resource policies: 8,192).
pub const DOCUMENT_CHARACTERS_MAX: usize = 8_192;
/// Statements of one document; ours, more than fit into the characters usefully.
const STATEMENTS_MAX: usize = 256;

/// A document, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// What a decision is about.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// ARN of the caller, or `*` for an anonymous one.
    pub principal: &'a str,
    /// Such as `apigateway:GET`.
    pub action: &'a str,
    /// ARN.
    pub resource: &'a str,
    /// Condition keys in lower case → values.
    pub context: &'a IndexMap<String, Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// A statement says no.
    ExplicitDeny,
    /// No statement says yes.
    ImplicitDeny,
}

/// Why a document is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct PolicyError {
    /// Such as `Statement[0].Action`.
    pub place: String,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    allows: bool,
    principals: Option<Listed>,
    actions: Listed,
    /// `None` in trust policies and the like: any resource.
    resources: Option<Listed>,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, and so on.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    patterns: Vec<String>,
    inverted: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    test: Test,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
    /// Lower case.
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    One,
    AnyValue,
    AllValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    NumericEquals,
    NumericLess,
    NumericLessEquals,
    NumericGreater,
    NumericGreaterEquals,
    DateEquals,
    DateLess,
    DateLessEquals,
    DateGreater,
    DateGreaterEquals,
    Bool,
    IpAddress,
    ArnLike,
    Null,
}

/// What several policies together say.
pub fn decide<'p>(policies: impl IntoIterator<Item = &'p Policy>, ask: Ask<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for policy in policies {
        for statement in policy.statements.iter().filter(|statement| statement.applies(ask)) {
            if !statement.allows {
                return Decision::ExplicitDeny;
            }
            decision = Decision::Allow;
        }
    }
    decision
}

impl Statement {
    fn applies(&self, ask: Ask<'_>) -> bool {
        let principal = self
            .principals
            .as_ref()
            .is_none_or(|list| list.fits(ask, |pattern| is_principal(pattern, ask.principal)));
        principal
            && self.actions.fits(ask, |pattern| {
                is_like(&pattern.to_ascii_lowercase(), &ask.action.to_ascii_lowercase())
            })
            && self
                .resources
                .as_ref()
                .is_none_or(|list| list.fits(ask, |pattern| is_like(pattern, ask.resource)))
            && self.conditions.iter().all(|condition| condition.holds(ask))
    }
}

impl Listed {
    fn fits(&self, ask: Ask<'_>, fits: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| fits(&with_variables(pattern, ask))) != self.inverted
    }
}

/// A principal is an ARN, an account's root ARN, an account number, or `*`.
fn is_principal(pattern: &str, principal: &str) -> bool {
    if pattern == "*" || pattern == principal {
        return true;
    }
    let account = match pattern.strip_suffix(":root") {
        Some(root) => root.rsplit(':').next().unwrap_or_default(),
        None => pattern,
    };
    account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && principal.split(':').nth(4) == Some(account)
}

impl Condition {
    fn holds(&self, ask: Ask<'_>) -> bool {
        let found = ask.context.get(&self.key);
        if self.test == Test::Null {
            let wanted_absent = self.values.iter().any(|value| value == "true");
            return found.is_none() == wanted_absent;
        }
        let Some(found) = found else {
            // An absent key fails a positive test and passes a negated one.
            return self.if_exists || self.negated || self.quantifier == Quantifier::AllValues;
        };
        let one = |value: &String| {
            let any = self
                .values
                .iter()
                .any(|wanted| self.test.holds(value, &with_variables(wanted, ask)));
            any != self.negated
        };
        match self.quantifier {
            Quantifier::One | Quantifier::AnyValue => found.iter().any(one),
            Quantifier::AllValues => found.iter().all(one),
        }
    }
}

impl Test {
    fn holds(self, value: &str, wanted: &str) -> bool {
        match self {
            Test::StringEquals => value == wanted,
            Test::StringEqualsIgnoreCase => value.eq_ignore_ascii_case(wanted),
            Test::StringLike | Test::ArnLike => is_like(wanted, value),
            Test::Bool => value.eq_ignore_ascii_case(wanted),
            Test::IpAddress => in_block(value, wanted),
            // `Condition::holds` has answered it.
            Test::Null => false,
            Test::NumericEquals => numbers(value, wanted, |a, b| a == b),
            Test::NumericLess => numbers(value, wanted, |a, b| a < b),
            Test::NumericLessEquals => numbers(value, wanted, |a, b| a <= b),
            Test::NumericGreater => numbers(value, wanted, |a, b| a > b),
            Test::NumericGreaterEquals => numbers(value, wanted, |a, b| a >= b),
            Test::DateEquals => dates(value, wanted, |a, b| a == b),
            Test::DateLess => dates(value, wanted, |a, b| a < b),
            Test::DateLessEquals => dates(value, wanted, |a, b| a <= b),
            Test::DateGreater => dates(value, wanted, |a, b| a > b),
            Test::DateGreaterEquals => dates(value, wanted, |a, b| a >= b),
        }
    }
}

fn numbers(value: &str, wanted: &str, holds: impl Fn(f64, f64) -> bool) -> bool {
    match (value.trim().parse(), wanted.trim().parse()) {
        (Ok(value), Ok(wanted)) => holds(value, wanted),
        _ => false,
    }
}

fn dates(value: &str, wanted: &str, holds: impl Fn(f64, f64) -> bool) -> bool {
    match (date(value), date(wanted)) {
        (Some(value), Some(wanted)) => holds(value, wanted),
        _ => false,
    }
}

/// Seconds since the epoch of an ISO 8601 time, a date, or such a number itself.
fn date(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond() as f64 / 1000.0);
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    let time = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(time.timestamp().as_second() as f64)
}

/// Whether an address lies in a CIDR block (RFC 4632), or is that address.
fn in_block(address: &str, block: &str) -> bool {
    let (network, bits) = match block.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (block, None),
    };
    let (Ok(address), Ok(network)) = (address.parse::<IpAddr>(), network.parse::<IpAddr>()) else {
        return false;
    };
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let bits = bits.unwrap_or(32).min(32);
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let bits = bits.unwrap_or(128).min(128);
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

/// Replaces `${key}` by the condition key's value, and `${*}`, `${?}`, `${$}` by the character.
/// A variable without a value matches nothing.
fn with_variables(pattern: &str, ask: Ask<'_>) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            text.push_str("${");
            rest = after;
            continue;
        };
        rest = after;
        let (name, default) = match name.split_once(',') {
            Some((name, default)) => (name.trim(), Some(default.trim().trim_matches('\''))),
            None => (name, None),
        };
        let value = match name {
            "*" | "?" | "$" => Some(name.to_owned()),
            _ => {
                let found = ask.context.get(&name.to_ascii_lowercase());
                found.and_then(|values| values.first().cloned())
            }
        };
        match value.as_deref().or(default) {
            Some(value) => text.push_str(value),
            // No ARN, action or value holds a NUL.
            None => text.push('\0'),
        }
    }
    text.push_str(rest);
    text
}

/// `*` stands for any text, `?` for one character. Linear in the product of the lengths at worst.
pub fn is_like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut reading) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while reading < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, reading));
                at += 1;
            }
            Some(expected) if *expected == '?' || *expected == text[reading] => {
                at += 1;
                reading += 1;
            }
            _ => {
                let Some((star_at, from)) = star else { return false };
                star = Some((star_at, from + 1));
                at = star_at + 1;
                reading = from + 1;
            }
        }
    }
    pattern[at.min(pattern.len())..].iter().all(|rest| *rest == '*')
}

// ---- reading

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong and where; nothing is guessed.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.chars().count() > DOCUMENT_CHARACTERS_MAX {
            return Err(wrong(
                "document",
                format!("has over {DOCUMENT_CHARACTERS_MAX} characters"),
            ));
        }
        let document: Value = serde_json::from_str(text)
            .map_err(|err| wrong("document", format!("is not JSON: {err}")))?;
        Self::read(&document)
    }

    /// Reads a document that is JSON already.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn read(document: &Value) -> Result<Self, PolicyError> {
        let Value::Object(entries) = document else {
            return Err(wrong("document", "is no JSON object"));
        };
        for (name, value) in entries {
            match name.as_str() {
                "Version" if matches!(value.as_str(), Some("2012-10-17" | "2008-10-17")) => {}
                "Version" => return Err(wrong("Version", "is neither 2012-10-17 nor 2008-10-17")),
                "Id" | "Statement" => {}
                other => return Err(wrong(other, "is no element of a policy")),
            }
        }
        let statements = match entries.get("Statement") {
            Some(Value::Array(list)) if list.len() <= STATEMENTS_MAX => list
                .iter()
                .enumerate()
                .map(|(index, statement)| read_statement(&format!("Statement[{index}]"), statement))
                .collect::<Result<_, _>>()?,
            Some(Value::Array(_)) => {
                return Err(wrong("Statement", format!("has over {STATEMENTS_MAX} entries")));
            }
            Some(one) => vec![read_statement("Statement", one)?],
            None => return Err(wrong("Statement", "is missing")),
        };
        Ok(Self { statements })
    }
}

fn wrong(place: &str, what: impl Into<String>) -> PolicyError {
    PolicyError { place: place.to_owned(), what: what.into() }
}

fn read_statement(place: &str, statement: &Value) -> Result<Statement, PolicyError> {
    let Value::Object(entries) = statement else {
        return Err(wrong(place, "is no JSON object"));
    };
    const KNOWN: [&str; 10] = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
        "Comment",
    ];
    if let Some(unknown) = entries.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(wrong(&format!("{place}.{unknown}"), "is no element of a statement"));
    }
    let allows = match entries.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err(wrong(&format!("{place}.Effect"), "is neither Allow nor Deny")),
    };
    let listed = |name: &str, not: &str, principals: bool| {
        let (name, inverted) = match (entries.contains_key(name), entries.contains_key(not)) {
            (true, true) => {
                return Err(wrong(place, format!("has both {name} and {not}")));
            }
            (true, false) => (name, false),
            (false, true) => (not, true),
            (false, false) => return Ok(None),
        };
        let place = format!("{place}.{name}");
        let value = &entries[name];
        let patterns =
            if principals { read_principals(&place, value)? } else { texts(&place, value)? };
        Ok(Some(Listed { patterns, inverted }))
    };
    let actions = listed("Action", "NotAction", false)?;
    Ok(Statement {
        allows,
        principals: listed("Principal", "NotPrincipal", true)?,
        actions: actions.ok_or_else(|| wrong(&format!("{place}.Action"), "is missing"))?,
        resources: listed("Resource", "NotResource", false)?,
        conditions: match entries.get("Condition") {
            Some(conditions) => read_conditions(&format!("{place}.Condition"), conditions)?,
            None => Vec::new(),
        },
    })
}

fn texts(place: &str, value: &Value) -> Result<Vec<String>, PolicyError> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(wrong(place, "is neither text nor a list of texts")),
    };
    match value {
        Value::Array(list) if list.is_empty() => Err(wrong(place, "is an empty list")),
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// `"*"`, or `{"AWS": …, "Service": …, "Federated": …, "CanonicalUser": …}`.
fn read_principals(place: &str, value: &Value) -> Result<Vec<String>, PolicyError> {
    let Value::Object(kinds) = value else {
        return match value.as_str() {
            Some("*") => Ok(vec!["*".to_owned()]),
            _ => Err(wrong(place, "is neither \"*\" nor an object of principals")),
        };
    };
    let mut principals = Vec::new();
    for (kind, value) in kinds {
        let place = format!("{place}.{kind}");
        match kind.as_str() {
            "AWS" | "Service" | "Federated" | "CanonicalUser" => {
                principals.extend(texts(&place, value)?);
            }
            _ => return Err(wrong(&place, "is no kind of principal")),
        }
    }
    Ok(principals)
}

fn read_conditions(place: &str, value: &Value) -> Result<Vec<Condition>, PolicyError> {
    let Value::Object(operators) = value else { return Err(wrong(place, "is no JSON object")) };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let place = format!("{place}.{operator}");
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAnyValue", name)) => (Quantifier::AnyValue, name),
            Some(("ForAllValues", name)) => (Quantifier::AllValues, name),
            Some(_) => return Err(wrong(&place, "is no condition operator")),
            None => (Quantifier::One, operator.as_str()),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (test, negated) =
            test_of(name).ok_or_else(|| wrong(&place, "is no condition operator"))?;
        let Value::Object(keys) = keys else { return Err(wrong(&place, "is no JSON object")) };
        for (key, values) in keys {
            conditions.push(Condition {
                test,
                negated,
                if_exists,
                quantifier,
                key: key.to_ascii_lowercase(),
                values: texts(&format!("{place}.{key}"), values)?,
            });
        }
    }
    Ok(conditions)
}

fn test_of(name: &str) -> Option<(Test, bool)> {
    Some(match name {
        "StringEquals" => (Test::StringEquals, false),
        "StringNotEquals" => (Test::StringEquals, true),
        "StringEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, true),
        "StringLike" => (Test::StringLike, false),
        "StringNotLike" => (Test::StringLike, true),
        "NumericEquals" => (Test::NumericEquals, false),
        "NumericNotEquals" => (Test::NumericEquals, true),
        "NumericLessThan" => (Test::NumericLess, false),
        "NumericLessThanEquals" => (Test::NumericLessEquals, false),
        "NumericGreaterThan" => (Test::NumericGreater, false),
        "NumericGreaterThanEquals" => (Test::NumericGreaterEquals, false),
        "DateEquals" => (Test::DateEquals, false),
        "DateNotEquals" => (Test::DateEquals, true),
        "DateLessThan" => (Test::DateLess, false),
        "DateLessThanEquals" => (Test::DateLessEquals, false),
        "DateGreaterThan" => (Test::DateGreater, false),
        "DateGreaterThanEquals" => (Test::DateGreaterEquals, false),
        "Bool" => (Test::Bool, false),
        "IpAddress" => (Test::IpAddress, false),
        "NotIpAddress" => (Test::IpAddress, true),
        "ArnEquals" | "ArnLike" => (Test::ArnLike, false),
        "ArnNotEquals" | "ArnNotLike" => (Test::ArnLike, true),
        "Null" => (Test::Null, false),
        _ => return None,
    })
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
