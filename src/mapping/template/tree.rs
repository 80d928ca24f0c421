//! What is a template once it is parsed?
//!
//! Names are slots, constant paths and expressions are compiled. A tree is shared by all calls of
//! a deployment, so nothing in it changes but expressions that are compiled at their first use.

use std::sync::OnceLock;

use super::number::Operator;
use super::value::{Builtin, Value};
use crate::mapping::java_regex::{JavaRegex, RegexError};
use crate::mapping::json_path::{JsonPath, PathError};

pub(super) type Block = Box<[Node]>;

/// The slots that loops set by themselves.
pub(super) const VELOCITY_COUNT: usize = 0;
pub(super) const VELOCITY_HAS_NEXT: usize = 1;

/// A whole template.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Block,
    /// Bodies of `#define`.
    pub(super) blocks: Vec<Block>,
    /// How many names a template uses.
    pub(super) slots: usize,
    /// Whether overrides can be seen or set at all.
    pub(super) uses_overrides: bool,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(Box<str>),
    Print(Box<Reference>),
    Set(Box<(Reference, Expr)>),
    If { arms: Box<[(Expr, Block)]>, otherwise: Block },
    Foreach(Box<Foreach>),
    Define { slot: usize, block: usize },
    Break,
    Stop,
}

#[derive(Debug)]
pub(super) struct Foreach {
    pub(super) slot: usize,
    pub(super) over: Expr,
    pub(super) body: Block,
}

#[derive(Debug)]
pub(super) enum Expr {
    Constant(Constant),
    /// A text in double quotes that holds references or directives.
    Interpolated(Block),
    Reference(Box<Reference>),
    List(Box<[Expr]>),
    Range(i32, i32),
    Map(Box<[(Expr, Expr)]>),
    Not(Box<Expr>),
    All(Box<[Expr]>),
    Any(Box<[Expr]>),
    /// From left to right.
    Compare(Box<Expr>, Box<[(Comparison, Expr)]>),
    Compute(Box<Expr>, Box<[(Operator, Expr)]>),
}

#[derive(Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Big(i128),
    Double(f64),
    Text(Box<str>),
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(flag) => Value::Bool(*flag),
            Constant::Int(number) => Value::Int(*number),
            Constant::Long(number) => Value::Long(*number),
            Constant::Big(number) => Value::Big(*number),
            Constant::Double(number) => Value::Double(*number),
            Constant::Text(text) => Value::text(text),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `$name`, and the steps from there.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) slot: usize,
    /// What the name means while the template has not set it.
    pub(super) builtin: Option<Builtin>,
    pub(super) steps: Box<[Step]>,
    pub(super) known: Known,
}

/// Beginnings of references that can be looked up at once.
#[derive(Debug)]
pub(super) enum Known {
    Nothing,
    /// `$context.a.b`: the first name, the names joined by dots, and how many steps that is.
    Context {
        first: Box<str>,
        path: Box<str>,
        steps: usize,
    },
}

#[derive(Debug)]
pub(super) enum Step {
    Property(Box<str>),
    Index(Expr),
    Method(Box<Call>),
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: Box<str>,
    pub(super) arguments: Box<[Expr]>,
    pub(super) prepared: Prepared,
}

/// What a constant first argument was compiled to.
#[derive(Debug)]
pub(super) enum Prepared {
    Nothing,
    Path(Result<JsonPath, PathError>),
    Regex(OnceLock<Result<JavaRegex, RegexError>>),
}

impl Expr {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Expr::Constant(Constant::Text(text)) => Some(text),
            _ => None,
        }
    }
}
