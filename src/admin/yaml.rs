//! YAML to tree: [`Node`]s that remember their line and column.
//!
//! serde-saphyr knows places, bounds what aliases repeat and refuses repeated keys. What a tag such as
//! `!Ref` means is for the kind of document to say. YAML 1.2.2 with the core schema, booleans only as
//! `true` and `false`.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::model::document::{DEPTH_MAX, NODES_MAX, Node, Value};

/// Where, and what is wrong there.
pub(super) type Complaint = ((u32, u32), String);

/// A kind of document.
pub(super) trait Kind: Sized {
    /// Reads one value, whatever its tag means.
    ///
    /// # Errors
    /// The text is no such document.
    fn node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error>;
}

/// API documents: a tag says nothing new.
pub(super) enum Plain {}

impl Kind for Plain {
    fn node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Bare<Self>>::deserialize(deserializer)?;
        Ok(Node { mark: mark(&spanned), value: spanned.value.into_value() })
    }
}

/// Reads a whole document, on a stack of its own: the reader takes one frame after the other for each
/// level of nesting, in a debug build some 2 to 4 MiB for [`DEPTH_MAX`] levels, and callers' threads
/// may have less. An overflow would end the process.
///
/// # Errors
/// What is wrong and where.
pub(super) fn read<K: Kind + Send>(text: &str) -> Result<Node, Complaint> {
    let bounds = Bounds { nodes: NODES_MAX, depth: DEPTH_MAX };
    parse::<Marked<K>>(text, bounds).map(|Marked(node, _)| node)
}

/// How much a document may hold.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) nodes: usize,
    pub(super) depth: usize,
}

/// The same into any shape and within other bounds.
///
/// # Errors
/// What is wrong and where.
pub(super) fn parse<T: DeserializeOwned + Send>(
    text: &str,
    bounds: Bounds,
) -> Result<T, Complaint> {
    /// Reserved, not used, unless a document is as deep as it may be.
    const STACK_BYTES: usize = 16 * 1024 * 1024;

    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("yaml".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse_here(text, bounds))
            .map_err(|err| ((0, 0), format!("the document cannot be read now: {err}")))?;
        let failed = |_| ((0, 0), "not valid YAML: reading it failed".to_owned());
        reader.join().map_err(failed)?
    })
}

fn parse_here<T: DeserializeOwned>(text: &str, bounds: Bounds) -> Result<T, Complaint> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: bounds.nodes,
            max_depth: bounds.depth,
            flow_nesting_limit: bounds.depth,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: bounds.nodes,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|err| {
        let place = err.location().map_or((0, 0), |at| mark_of(at.line(), at.column()));
        let said = err.to_string();
        let mut message = said.lines().next().unwrap_or_default();
        // The place is said once, in our own form.
        if let Some((head, _)) = message.rsplit_once(" at line ") {
            message = head;
        }
        if let Some((head, tail)) = message.split_once(": ")
            && head.starts_with("error: line ")
        {
            message = tail;
        }
        (place, format!("not valid YAML: {message}"))
    })
}

/// Line and column of a value.
pub(super) fn mark<T>(spanned: &Spanned<T>) -> (u32, u32) {
    mark_of(spanned.referenced.line(), spanned.referenced.column())
}

fn mark_of(line: u64, column: u64) -> (u32, u32) {
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A node on its way out of serde.
struct Marked<K>(Node, PhantomData<K>);

impl<'de, K: Kind> Deserialize<'de> for Marked<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        K::node(deserializer).map(|node| Self(node, PhantomData))
    }
}

/// A value without its place and tag, which only the wrappers around it are told.
pub(super) struct Bare<K>(Value, PhantomData<K>);

impl<K> Bare<K> {
    pub(super) fn into_value(self) -> Value {
        self.0
    }
}

impl<'de, K: Kind> Deserialize<'de> for Bare<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(BareVisitor::<K>(PhantomData))?;
        Ok(Self(value, PhantomData))
    }
}

struct BareVisitor<K>(PhantomData<K>);

impl<'de, K: Kind> Visitor<'de> for BareVisitor<K> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Marked(node, _)) = list.next_element::<Marked<K>>()? {
            items.push(node);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = IndexMap::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let Marked(node, _) = map.next_value::<Marked<K>>()?;
            let mark = mark(&key);
            entries.insert(key.value, Node { mark, ..node });
        }
        Ok(Value::Map(entries))
    }
}
