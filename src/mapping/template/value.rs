//! What can a template hold in its hands?
//!
//! The Java objects that AWS's engine works on, as far as a template can tell: numbers keep their
//! Java type, lists and maps are shared and may be changed through any name. A list of a JSON
//! document prints as JSON, a map never does (recorded, rest-data-plane 5.3).
//!
//! Values borrow from the template, the body and the context where they can. They are made for one
//! rendering and are not `Send`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use indexmap::{Equivalent, IndexMap};

use super::meter::{Meter, RenderError};

/// Bytes a list item or a map entry counts against the memory of a rendering.
pub(crate) const ITEM_BYTES: usize = 64;

/// A text, borrowed or shared.
#[derive(Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text::Shared(text.into())
    }
}

/// One value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Undefined or null. A reference that comes to this is the empty text (recorded).
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    /// `BigInteger`, as far as it is needed: what overflows a `long`.
    Big(i128),
    Double(f64),
    /// A number that none of these holds, as it was written: `BigDecimal`, and `BigInteger` beyond
    /// that. What computes with it takes the nearest double.
    Exact(Text<'a>),
    Text(Text<'a>),
    List(List<'a>),
    Map(Map<'a>),
    /// One entry of `entrySet()`.
    Entry(Rc<(Value<'a>, Value<'a>)>),
    /// `$input`, `$context` and the like, when a template passes them on whole.
    Builtin(Builtin),
    /// The text of a `#define`, by its number in the template.
    Block(usize),
}

/// Objects that the gateway puts into every template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    Input,
    Context,
    StageVariables,
    Util,
    Foreach,
}

impl<'a> Value<'a> {
    pub fn text(text: &'a str) -> Self {
        Value::Text(Text::Borrowed(text))
    }

    pub fn owned(text: String) -> Self {
        Value::Text(Text::from(text))
    }

    /// A map in the order of its entries.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value<'a>)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| {
            let key: String = key.into();
            (Key::Text(Text::from(key)), value)
        });
        Value::Map(Map::new(entries.collect()))
    }

    /// The smallest Java type that holds the number, as JSON readers choose it.
    pub(crate) fn integer(number: i128) -> Self {
        if let Ok(number) = i32::try_from(number) {
            return Value::Int(number);
        }
        i64::try_from(number).map_or(Value::Big(number), Value::Long)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whole numbers only.
    pub(crate) fn as_integer(&self) -> Option<i128> {
        match *self {
            Value::Int(number) => Some(number.into()),
            Value::Long(number) => Some(number.into()),
            Value::Big(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_double(&self) -> Option<f64> {
        match *self {
            Value::Double(number) => Some(number),
            Value::Exact(ref text) => text.parse().ok(),
            #[allow(clippy::cast_precision_loss, reason = "Java widens in the same way")]
            _ => self.as_integer().map(|number| number as f64),
        }
    }

    /// An argument that Java would take as an `int`.
    pub(crate) fn as_index(&self) -> Option<i32> {
        match *self {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn is_container(&self) -> bool {
        matches!(self, Value::List(_) | Value::Map(_) | Value::Entry(_))
    }

    /// How deep lists and maps stand in one another, as known when they were put there.
    fn depth(&self) -> u16 {
        match self {
            Value::List(list) => list.0.depth.get(),
            Value::Map(map) => map.0.depth.get(),
            Value::Entry(entry) => 1 + entry.0.depth().max(entry.1.depth()),
            _ => 0,
        }
    }

    /// The same value with texts of its own, so that it may outlive what it borrowed from. Only for
    /// values fresh from a document: nothing in them is shared.
    pub(crate) fn detached<'b>(&self) -> Value<'b> {
        match self {
            Value::Bool(flag) => Value::Bool(*flag),
            Value::Int(number) => Value::Int(*number),
            Value::Long(number) => Value::Long(*number),
            Value::Big(number) => Value::Big(*number),
            Value::Double(number) => Value::Double(*number),
            Value::Exact(text) => Value::Exact(Text::from(text.to_string())),
            Value::Text(text) => Value::owned(text.to_string()),
            Value::List(list) => {
                Value::List(List::json(list.items().iter().map(Value::detached).collect()))
            }
            Value::Map(map) => {
                Value::map(map.entries().iter().filter_map(|(key, value)| match key {
                    Key::Text(name) => Some((name.to_string(), value.detached())),
                    _ => None,
                }))
            }
            _ => Value::Null,
        }
    }

    /// `equals()` of Java: types count, lists and maps are compared by their content.
    pub(crate) fn same(&self, other: &Self, meter: &Meter) -> Result<bool, RenderError> {
        same(self, other, meter, 0)
    }
}

impl From<&serde_json::Value> for Value<'_> {
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => match number.as_i128() {
                Some(whole) => Value::integer(whole),
                None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::owned(text.clone()),
            Json::Array(items) => Value::List(List::json(items.iter().map(Value::from).collect())),
            Json::Object(members) => {
                Value::map(members.iter().map(|(name, value)| (name.clone(), Value::from(value))))
            }
        }
    }
}

fn same<'a>(
    left: &Value<'a>,
    right: &Value<'a>,
    meter: &Meter,
    depth: usize,
) -> Result<bool, RenderError> {
    meter.step()?;
    meter.depth(depth)?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Long(left), Value::Long(right)) => left == right,
        (Value::Big(left), Value::Big(right)) => left == right,
        (Value::Double(left), Value::Double(right)) => left.to_bits() == right.to_bits(),
        (Value::Text(left), Value::Text(right)) | (Value::Exact(left), Value::Exact(right)) => {
            **left == **right
        }
        (Value::Builtin(left), Value::Builtin(right)) => left == right,
        (Value::Block(left), Value::Block(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            if Rc::ptr_eq(&left.0, &right.0) {
                return Ok(true);
            }
            let (left, right) = (left.items(), right.items());
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if !same(left, right, meter, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(left), Value::Map(right)) => {
            if Rc::ptr_eq(&left.0, &right.0) {
                return Ok(true);
            }
            let (left, right) = (left.entries(), right.entries());
            if left.len() != right.len() {
                return Ok(false);
            }
            for (key, value) in left.iter() {
                match right.get(key) {
                    Some(other) if same(value, other, meter, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Entry(left), Value::Entry(right)) => {
            same(&left.0, &right.0, meter, depth + 1)? && same(&left.1, &right.1, meter, depth + 1)?
        }
        _ => false,
    })
}

/// A Java list, shared by all who hold it.
#[derive(Clone)]
pub struct List<'a>(Rc<ListBody<'a>>);

struct ListBody<'a> {
    /// Of a JSON document: prints as JSON.
    json: bool,
    depth: Cell<u16>,
    items: RefCell<Vec<Value<'a>>>,
}

impl<'a> List<'a> {
    pub(crate) fn new(items: Vec<Value<'a>>) -> Self {
        Self::make(items, false)
    }

    pub(crate) fn json(items: Vec<Value<'a>>) -> Self {
        Self::make(items, true)
    }

    fn make(items: Vec<Value<'a>>, json: bool) -> Self {
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        Self(Rc::new(ListBody { json, depth: Cell::new(depth), items: RefCell::new(items) }))
    }

    pub(crate) fn is_json(&self) -> bool {
        self.0.json
    }

    pub(crate) fn items(&self) -> std::cell::Ref<'_, Vec<Value<'a>>> {
        self.0.items.borrow()
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Vec<Value<'a>>) -> T) -> T {
        change(&mut self.0.items.borrow_mut())
    }

    pub(crate) fn deepen(&self, value: &Value<'a>, meter: &Meter) -> Result<(), RenderError> {
        deepen(&self.0.depth, value, meter)
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A list may hold itself.
        write!(out, "List({} items)", self.0.items.borrow().len())
    }
}

/// A Java map that keeps the order of its entries, shared by all who hold it.
#[derive(Clone)]
pub struct Map<'a>(Rc<MapBody<'a>>);

/// The hash is keyed by chance, since clients choose the keys, and quick, since every body that a
/// template looks into is hashed.
pub(crate) type Entries<'a> = IndexMap<Key<'a>, Value<'a>, ahash::RandomState>;

struct MapBody<'a> {
    depth: Cell<u16>,
    entries: RefCell<Entries<'a>>,
}

impl<'a> Map<'a> {
    pub(crate) fn new(entries: Entries<'a>) -> Self {
        let depth = 1 + entries.values().map(Value::depth).max().unwrap_or(0);
        Self(Rc::new(MapBody { depth: Cell::new(depth), entries: RefCell::new(entries) }))
    }

    pub(crate) fn entries(&self) -> std::cell::Ref<'_, Entries<'a>> {
        self.0.entries.borrow()
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Entries<'a>) -> T) -> T {
        change(&mut self.0.entries.borrow_mut())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.entries().get(&Named(name)).cloned()
    }

    /// Whether both are one map, not just equal ones.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn deepen(&self, value: &Value<'a>, meter: &Meter) -> Result<(), RenderError> {
        deepen(&self.0.depth, value, meter)
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Map({} entries)", self.0.entries.borrow().len())
    }
}

/// Dropping a value recurses through what was nested when it was made, so that this is bounded.
fn deepen(own: &Cell<u16>, value: &Value<'_>, meter: &Meter) -> Result<(), RenderError> {
    let depth = own.get().max(value.depth().saturating_add(1));
    meter.depth(depth.into())?;
    own.set(depth);
    Ok(())
}

/// Lists and maps that are as deep as the bound are not put into others.
pub(crate) fn check_depth(value: &Value<'_>, meter: &Meter) -> Result<(), RenderError> {
    meter.depth(value.depth().into())
}

/// The key of a map's entry; Java tells `1` from `"1"`.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    Text(Text<'a>),
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Big(i128),
    /// Bits of a double.
    Double(u64),
}

impl<'a> Key<'a> {
    pub(crate) fn value(&self) -> Value<'a> {
        match self {
            Key::Text(text) => Value::Text(text.clone()),
            Key::Null => Value::Null,
            Key::Bool(flag) => Value::Bool(*flag),
            Key::Int(number) => Value::Int(*number),
            Key::Long(number) => Value::Long(*number),
            Key::Big(number) => Value::Big(*number),
            Key::Double(bits) => Value::Double(f64::from_bits(*bits)),
        }
    }

    fn tag(&self) -> (u8, u128) {
        match *self {
            Key::Text(_) => (0, 0),
            Key::Null => (1, 0),
            Key::Bool(flag) => (2, flag.into()),
            Key::Int(number) => (3, u128::from(number.cast_unsigned())),
            Key::Long(number) => (4, u128::from(number.cast_unsigned())),
            Key::Big(number) => (5, number.cast_unsigned()),
            Key::Double(bits) => (6, bits.into()),
        }
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Text(text) => Named(text).hash(state),
            other => other.tag().hash(state),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Key::Text(left), Key::Text(right)) => **left == **right,
            (left, right) => left.tag() == right.tag(),
        }
    }
}

impl Eq for Key<'_> {}

/// Looks up a text key without making one.
pub(crate) struct Named<'x>(pub(crate) &'x str);

impl Hash for Named<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<Key<'_>> for Named<'_> {
    fn equivalent(&self, key: &Key<'_>) -> bool {
        matches!(key, Key::Text(text) if **text == *self.0)
    }
}
