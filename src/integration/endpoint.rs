//! An integration's URI: a template that calls fill.
//!
//! Stage variables are text put in before anything is read, so they may hold any part of the URI.
//! `{name}` stands in the host, the path or the query and is filled from the path mappings; one
//! that nothing fills makes the address invalid. A value can never leave its place: what would end
//! a path or a query parameter is percent-encoded, and a host is read anew once it is filled.
//!
//! AWS: "Set up HTTP integrations", "Use stage variables for a REST API"; RFC 3986 section 3.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use indexmap::IndexMap;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

use crate::call::PathValue;
use crate::net::client::{Scheme, Target};

/// What cannot stand in a path as it is. `%` is left alone: it already encodes something.
const RAW_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const TEXT_IN_PATH: &AsciiSet = &RAW_IN_PATH.add(b'%');
/// In a query everything but the unreserved is encoded, so that no value becomes two.
const TEXT_IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RAW_IN_QUERY: &AsciiSet = &TEXT_IN_QUERY.remove(b'%');

/// A compiled URI.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) place: Place,
    path: Vec<Piece>,
    /// Without `?`; empty when there is none.
    query: Vec<Piece>,
}

/// Where the URI leads.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Fixed(Target),
    /// Each call may mean another host.
    Open {
        scheme: Scheme,
        authority: Vec<Piece>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Parameter(Arc<str>),
}

impl Endpoint {
    /// The error says what is wrong with the address.
    pub(super) fn compile(
        uri: &str,
        stage_variables: &IndexMap<String, String>,
        insecure: bool,
    ) -> Result<Self, Arc<str>> {
        let uri = with_stage_variables(uri, stage_variables);
        let wrong = |why: &str| Arc::from(format!("{uri}: {why}"));
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" if insecure => Scheme::HttpsUnverified,
            "https" => Scheme::Https,
            _ => return Err(wrong("its scheme is neither http nor https")),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _fragment)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let place = if authority.contains('{') {
            let authority = pieces(authority, CONTROLS);
            let authority = authority.ok_or_else(|| wrong("braces do not match"))?;
            Place::Open { scheme, authority }
        } else {
            Place::Fixed(target(scheme, authority).map_err(wrong)?)
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        let pieces = |text, keep| pieces(text, keep).ok_or_else(|| wrong("braces do not match"));
        Ok(Self { place, path: pieces(path, RAW_IN_PATH)?, query: pieces(query, RAW_IN_PATH)? })
    }

    /// The host, filled by a call's values where it has to be.
    pub(super) fn target(
        &self,
        values: &[(Arc<str>, PathValue)],
    ) -> Result<Cow<'_, Target>, Arc<str>> {
        let (scheme, authority) = match &self.place {
            Place::Fixed(target) => return Ok(Cow::Borrowed(target)),
            Place::Open { scheme, authority } => (*scheme, authority),
        };
        let mut filled = String::new();
        fill(authority, values, CONTROLS, CONTROLS, &mut filled)?;
        let wrong = |why: &str| Arc::from(format!("{filled}: {why}"));
        target(scheme, &filled).map(Cow::Owned).map_err(wrong)
    }

    /// Appends path and query to `out`; there is a `?` only with a query.
    pub(super) fn fill(
        &self,
        values: &[(Arc<str>, PathValue)],
        out: &mut String,
    ) -> Result<(), Arc<str>> {
        fill(&self.path, values, RAW_IN_PATH, TEXT_IN_PATH, out)?;
        if !self.query.is_empty() {
            out.push('?');
            fill(&self.query, values, RAW_IN_QUERY, TEXT_IN_QUERY, out)?;
        }
        Ok(())
    }

    pub(super) fn has_query(&self) -> bool {
        !self.query.is_empty()
    }
}

fn fill(
    pieces: &[Piece],
    values: &[(Arc<str>, PathValue)],
    raw: &'static AsciiSet,
    text: &'static AsciiSet,
    out: &mut String,
) -> Result<(), Arc<str>> {
    for piece in pieces {
        let name = match piece {
            Piece::Text(literal) => {
                out.push_str(literal);
                continue;
            }
            Piece::Parameter(name) => name,
        };
        match values.iter().rev().find(|(other, _)| other == name) {
            Some((_, PathValue::Raw(value))) => {
                out.extend(percent_encode(value.as_bytes(), raw));
            }
            Some((_, PathValue::Text(value))) => {
                out.extend(percent_encode(value.as_bytes(), text));
            }
            None => return Err(Arc::from(format!("nothing is mapped to {{{name}}}"))),
        }
    }
    Ok(())
}

/// Puts in `${stageVariables.x}`; an unknown one is empty.
pub fn with_stage_variables(uri: &str, stage_variables: &IndexMap<String, String>) -> String {
    const OPEN: &str = "${stageVariables.";
    let mut out = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once(OPEN) {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push_str(OPEN);
            rest = after;
            continue;
        };
        out.push_str(stage_variables.get(name).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Reads `host`, `host:port` or `[address]:port`.
fn target(scheme: Scheme, authority: &str) -> Result<Target, &'static str> {
    let default = if scheme == Scheme::Http { 80 } else { 443 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its host has an open bracket")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "its host is not an address")?;
            let port = if port.is_empty() { None } else { port.strip_prefix(':').or(Some("-")) };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !authority.starts_with('[') && !host.bytes().all(known) {
        return Err("its host is not a name");
    }
    let port = match port {
        None => default,
        Some(port) => port.parse().map_err(|_| "its port is not a number")?,
    };
    // Recorded: AWS calls these ports and no others.
    if !matches!(port, 80 | 443 | 1024..) {
        return Err("its port is not 80, 443 or from 1024 to 65535");
    }
    Ok(Target { scheme, host: Arc::from(host.to_ascii_lowercase()), port })
}

/// Takes text apart at `{name}`. `None` when a brace has no partner.
fn pieces(text: &str, encoded: &'static AsciiSet) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let literal = |text: &str, pieces: &mut Vec<Piece>| -> Option<()> {
        if text.contains('}') {
            return None;
        }
        let mut clean = String::with_capacity(text.len());
        write!(clean, "{}", percent_encode(text.as_bytes(), encoded)).ok()?;
        if !clean.is_empty() {
            pieces.push(Piece::Text(clean));
        }
        Some(())
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        literal(before, &mut pieces)?;
        let (name, after) = after.split_once('}')?;
        pieces.push(Piece::Parameter(Arc::from(name)));
        rest = after;
    }
    literal(rest, &mut pieces)?;
    Some(pieces)
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod endpoint_tests;
