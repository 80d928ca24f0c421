//! The resource tree: are these paths ones that AWS would build?
//!
//! A part is wholly static or wholly a variable, a parent has at most one variable child, and a
//! greedy resource has none. The import asks it of a document's paths, and once more of all of an
//! API's paths when a document was merged into it.
//!
//! AWS: API Gateway REST API Reference, "CreateResource".

use std::collections::HashMap;

use crate::model::quotas;

/// Checks paths one by one; each is added to those seen before.
#[derive(Debug, Default)]
pub(in crate::admin) struct Tree {
    /// Path of a parent → its variable child, as written.
    variables: HashMap<String, String>,
}

/// What a part of a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Part<'a> {
    Static,
    Variable(&'a str),
    Greedy(&'a str),
}

impl<'a> Part<'a> {
    /// `None` when AWS would not take it.
    pub(in crate::admin) fn parse(text: &'a str) -> Option<Self> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$-:".contains(&b))
        };
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(inner) => match inner.strip_suffix('+') {
                Some(name) => is_name(name).then_some(Part::Greedy(name)),
                None => is_name(inner).then_some(Part::Variable(inner)),
            },
            None => (!text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:,".contains(&b)))
            .then_some(Part::Static),
        }
    }
}

impl Tree {
    /// Adds a path with all that lies above it.
    ///
    /// # Errors
    /// Why AWS would not build it, and a hint.
    pub(in crate::admin) fn add(&mut self, path: &str) -> Result<(), (String, Option<String>)> {
        if path.len() > quotas::METHOD_ARN_BYTES_MAX {
            let most = quotas::METHOD_ARN_BYTES_MAX;
            return Err((format!("the path is longer than {most} bytes"), None));
        }
        let Some(rest) = path.strip_prefix('/') else {
            return Err(("a path begins with `/`".to_owned(), None));
        };
        if rest.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> = Vec::new();
        let mut greedy: Option<&str> = None;
        let mut parent = String::new();
        for text in rest.split('/') {
            if let Some(greedy) = greedy {
                return Err((
                    format!(
                        "Cannot create a child of a resource with a greedy path variable: {greedy}"
                    ),
                    None,
                ));
            }
            let Some(part) = Part::parse(text) else {
                return Err((
                    format!(
                        "Resource's path part only allow a-zA-Z0-9._-: and curly braces at the \
                         beginning and the end, not `{text}`"
                    ),
                    text.is_empty().then(|| "take the needless `/` out".to_owned()),
                ));
            };
            if let Part::Greedy(_) = part {
                greedy = Some(text);
            }
            if let Part::Variable(name) | Part::Greedy(name) = part {
                if names.contains(&name) {
                    return Err((format!("the path names `{name}` twice"), None));
                }
                names.push(name);
                if let Some(sibling) = self.variables.get(&parent) {
                    if sibling != text {
                        return Err((
                            format!(
                                "A sibling ({sibling}) of this resource already has a variable \
                                 path part -- only one is allowed"
                            ),
                            Some(format!("write `{sibling}` here too")),
                        ));
                    }
                } else {
                    self.variables.insert(parent.clone(), text.to_owned());
                }
            }
            parent.push('/');
            parent.push_str(text);
        }
        Ok(())
    }
}

/// The paths above a path, the root first, the path itself last.
pub(in crate::admin) fn lineage(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.char_indices().skip(1).filter(|(_, c)| *c == '/');
    let above = inner.filter_map(move |(at, _)| path.get(..at));
    let own = (path != "/").then_some(path);
    std::iter::once("/").chain(above).chain(own)
}

/// The parent's path and the last part; `None` for the root.
pub(in crate::admin) fn parent_of(path: &str) -> Option<(&str, &str)> {
    let (parent, part) = path.rsplit_once('/')?;
    if part.is_empty() {
        return None;
    }
    Some((if parent.is_empty() { "/" } else { parent }, part))
}
