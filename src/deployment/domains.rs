//! Which stage does a path of a custom domain mean? Its routing rules by priority, then its longest
//! base path.
//!
//! Rules and base paths come with the stages they lead to, so what is served of a domain is always
//! of one piece with what is served of its stages. Everything a call needs is compared, not parsed.
//!
//! AWS: API Gateway Developer Guide, "Use API mappings to connect API stages to a custom domain name
//! for REST APIs", "Routing rules to connect API stages to a custom domain name for REST APIs".

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::deployment::snapshot::Stage;
use crate::model::ids::{ApiId, StageName};
use crate::model::stage::{BasePathMapping, RoutingRule, RuleCondition};

/// Custom domains by host name.
#[derive(Debug, Default)]
pub struct Domains {
    exact: HashMap<Box<str>, Domain>,
    /// `example.com` for `*.example.com`.
    wildcards: HashMap<Box<str>, Domain>,
}

/// What one domain leads to.
#[derive(Debug, Default)]
pub struct Domain {
    /// In order of their priority, the lowest number first.
    rules: Vec<Rule>,
    /// The longest base path first.
    mappings: Vec<Mapping>,
    /// Where no rule fits there is nothing (`ROUTING_RULE_ONLY`).
    is_rules_only: bool,
}

/// One base path of a custom domain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    /// Without slashes at its ends; empty maps everything.
    base_path: Box<str>,
    api: ApiId,
    /// `None`: the first remaining segment names the stage.
    stage: Option<StageName>,
    matched: Arc<Matched>,
}

#[derive(Debug)]
struct Rule {
    matched: Arc<Matched>,
    priority: u32,
    conditions: Vec<Condition>,
    strips_base_path: bool,
    api: ApiId,
    stage: StageName,
}

/// Fits when any of its members does.
#[derive(Debug)]
enum Condition {
    Headers(Vec<(HeaderName, Glob)>),
    /// Without slashes at their ends.
    BasePaths(Vec<Box<str>>),
}

/// A pattern with `*` at its ends only.
#[derive(Debug, PartialEq, Eq)]
enum Glob {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Infix(Box<[u8]>),
}

/// By which entry of its domain a call came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The base path; empty for the one that maps everything.
    BasePath(Box<str>),
    /// The rule's id.
    Rule(Box<str>),
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'c> {
    pub api: &'c str,
    pub stage: &'c str,
    /// Where the path below the stage begins.
    pub rest: usize,
    /// `None` at an API's own host.
    pub matched: Option<Arc<Matched>>,
}

/// Why a path of a known domain leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    NoMapping,
    NoRule,
}

impl Domains {
    /// What these stages say of domains.
    pub fn of<'s>(stages: impl IntoIterator<Item = &'s Arc<Stage>>) -> Self {
        let mut domains = Self::default();
        for stage in stages {
            for given in &stage.domains {
                domains.entry(&given.domain_name).map(stage, given);
            }
            for given in &stage.routing_rules {
                domains.entry(&given.domain_name).rule(stage, given);
            }
        }
        for domain in domains.exact.values_mut().chain(domains.wildcards.values_mut()) {
            domain.mappings.sort_by_key(|mapping| Reverse(mapping.base_path.len()));
            domain.rules.sort_by_key(|rule| rule.priority);
        }
        domains
    }

    fn entry(&mut self, name: &str) -> &mut Domain {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcards.entry(parent.into()).or_default(),
            None => self.exact.entry(name.into()).or_default(),
        }
    }

    /// The domain that answers for a host, given in lower case: the exact name, else the wildcard
    /// of one label.
    pub fn find(&self, host: &str) -> Option<&Domain> {
        self.exact.get(host).or_else(|| {
            let (label, parent) = host.split_once('.')?;
            self.wildcards.get(parent).filter(|_| !label.is_empty())
        })
    }
}

impl Domain {
    fn map(&mut self, stage: &Stage, given: &BasePathMapping) {
        let mapping = Mapping {
            base_path: given.base_path.as_str().into(),
            api: stage.api.clone(),
            stage: (!given.stage_in_path).then(|| stage.name.clone()),
            matched: Arc::new(Matched::BasePath(given.base_path.as_str().into())),
        };
        // All stages of an API bring the mapping that lets callers name them.
        if !self.mappings.contains(&mapping) {
            self.mappings.push(mapping);
        }
    }

    fn rule(&mut self, stage: &Stage, given: &RoutingRule) {
        self.is_rules_only |= given.is_rules_only;
        self.rules.push(Rule {
            matched: Arc::new(Matched::Rule(given.id.as_str().into())),
            priority: given.priority,
            conditions: given.conditions.iter().map(Condition::of).collect(),
            strips_base_path: given.strips_base_path,
            api: stage.api.clone(),
            stage: stage.name.clone(),
        });
    }

    /// Where a call leads.
    pub fn target<'c>(&'c self, path: &'c str, headers: &HeaderMap) -> Result<Target<'c>, Nowhere> {
        if let Some(target) = self.rules.iter().find_map(|rule| rule.target(path, headers)) {
            return Ok(target);
        }
        if self.is_rules_only {
            return Err(Nowhere::NoRule);
        }
        let mut mappings = self.mappings.iter();
        mappings.find_map(|mapping| mapping.target(path)).ok_or(Nowhere::NoMapping)
    }
}

impl Mapping {
    fn target<'c>(&'c self, path: &'c str) -> Option<Target<'c>> {
        let rest = below(path, &self.base_path)?;
        let matched = Some(Arc::clone(&self.matched));
        let api = self.api.as_str();
        Some(match &self.stage {
            Some(stage) => Target { api, stage: stage.as_str(), rest, matched },
            None => {
                let target = staged(path.get(rest..)?, api);
                Target { rest: target.rest + rest, matched, ..target }
            }
        })
    }
}

impl Rule {
    fn target<'c>(&'c self, path: &str, headers: &HeaderMap) -> Option<Target<'c>> {
        let mut rest = None;
        for condition in &self.conditions {
            match condition {
                Condition::Headers(any) => {
                    let fits = any.iter().any(|(name, glob)| {
                        headers.get_all(name).iter().any(|value| glob.fits(value.as_bytes()))
                    });
                    if !fits {
                        return None;
                    }
                }
                Condition::BasePaths(any) => {
                    rest = Some(any.iter().find_map(|base| below(path, base))?);
                }
            }
        }
        let rest = rest.filter(|_| self.strips_base_path).or_else(|| below(path, ""));
        Some(Target {
            api: self.api.as_str(),
            stage: self.stage.as_str(),
            rest: rest.unwrap_or_default(),
            matched: Some(Arc::clone(&self.matched)),
        })
    }
}

impl Condition {
    fn of(given: &RuleCondition) -> Self {
        match given {
            RuleCondition::Headers(any) => {
                // A name that is none fits no call.
                let compiled = any.iter().filter_map(|condition| {
                    let name = HeaderName::from_bytes(condition.header.as_bytes()).ok()?;
                    Some((name, Glob::of(&condition.value_glob)))
                });
                Self::Headers(compiled.collect())
            }
            RuleCondition::BasePaths(any) => {
                Self::BasePaths(any.iter().map(|base| base.trim_matches('/').into()).collect())
            }
        }
    }
}

impl Glob {
    fn of(text: &str) -> Self {
        let bytes = |text: &str| Box::from(text.as_bytes());
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (None, None) => Self::Exact(bytes(text)),
            (None, Some(prefix)) => Self::Prefix(bytes(prefix)),
            (Some(suffix), None) => Self::Suffix(bytes(suffix)),
            // `*` alone is anything.
            (Some(rest), Some(_)) => Self::Infix(bytes(rest.strip_suffix('*').unwrap_or(rest))),
        }
    }

    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(text),
            Self::Suffix(text) => value.ends_with(text),
            Self::Infix(text) => memchr::memmem::find(value, text).is_some(),
        }
    }
}

/// Where the path below a base path begins, if that is a prefix of whole segments. Leading slashes
/// of the path do not count; an empty base path leaves the last of them.
fn below(path: &str, base: &str) -> Option<usize> {
    let start = path.len() - path.trim_start_matches('/').len();
    let rest = path.get(start..)?.strip_prefix(base)?;
    if base.is_empty() {
        return Some(start.saturating_sub(1));
    }
    (rest.is_empty() || rest.starts_with('/')).then_some(start + base.len())
}

/// `/{stage}/…`; leading slashes collapse.
pub fn staged<'c>(path: &'c str, api: &'c str) -> Target<'c> {
    let start = path.len() - path.trim_start_matches('/').len();
    let after = path.get(start..).unwrap_or_default();
    let end = start + memchr::memchr(b'/', after.as_bytes()).unwrap_or(after.len());
    let stage = path.get(start..end).unwrap_or_default();
    Target { api, stage, rest: end, matched: None }
}

#[cfg(test)]
#[path = "domains_tests.rs"]
mod tests;
