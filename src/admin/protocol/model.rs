//! What does AWS's model say about an operation? The two service models, read once into compact
//! shapes.
//!
//! Requests are routed, read and checked and answers are written by these shapes alone, so a new
//! member of AWS's arrives with a new model file. The files are part of the program and the tests
//! read all of them; nothing a client sends can make reading them fail.
//!
//! Names: a member has one name in AWS's SDKs, which messages of violated constraints use, and one
//! on the wire, which everything else uses.
//!
//! AWS: botocore's `service-2.json` of `apigateway` (2015-07-09) and `apigatewayv2` (2018-11-29).

mod raw;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use http::{Method, StatusCode};
use indexmap::IndexMap;
use regex::Regex;

use raw::RawModel;

/// Which of the two APIs: they share names of operations, never paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// REST APIs: `apigateway`.
    V1,
    /// HTTP and WebSocket APIs, all paths below `/v2/`: `apigatewayv2`.
    V2,
}

impl Service {
    pub const ALL: [Service; 2] = [Service::V1, Service::V2];

    pub fn model(self) -> &'static Model {
        match self {
            Service::V1 => &V1,
            Service::V2 => &V2,
        }
    }

    /// As AWS's SDKs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::V1 => "apigateway",
            Service::V2 => "apigatewayv2",
        }
    }
}

static V1: LazyLock<Model> = LazyLock::new(|| {
    Model::read(Service::V1, include_str!("apigateway.json")).expect("the tests read this file")
});
static V2: LazyLock<Model> = LazyLock::new(|| {
    Model::read(Service::V2, include_str!("apigatewayv2.json")).expect("the tests read this file")
});

/// One service model.
#[derive(Debug)]
pub struct Model {
    pub service: Service,
    pub operations: Vec<Operation>,
    shapes: Vec<Shape>,
    /// Operations by method and number of path segments, the more particular ones first.
    routes: HashMap<(Method, usize), Vec<usize>>,
}

/// One operation: where it is called and what travels.
#[derive(Debug)]
pub struct Operation {
    pub service: Service,
    pub name: Box<str>,
    pub method: Method,
    pub path: Vec<Segment>,
    /// `mode=import` tells two operations on one path apart.
    pub fixed_query: Vec<(Box<str>, Box<str>)>,
    /// Status of success.
    pub status: StatusCode,
    pub input: Option<ShapeId>,
    pub output: Option<ShapeId>,
}

impl Operation {
    /// What only looks. Test calls are POSTs that change nothing.
    pub fn reads_only(&self) -> bool {
        self.method == Method::GET || self.name.starts_with("TestInvoke")
    }

    /// The input's structure; `None` where the operation takes nothing.
    pub fn input(&self) -> Option<&'static Structure> {
        self.input.and_then(|id| self.service.model().structure(id))
    }

    /// The output's structure; `None` where success has no body.
    pub fn output(&self) -> Option<&'static Structure> {
        self.output.and_then(|id| self.service.model().structure(id))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.service.as_str(), self.name)
    }
}

/// A piece of a path between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Fixed(Box<str>),
    /// One segment of any text that is not empty.
    Label(Box<str>),
    /// All the rest, slashes included: `{proxy+}`. Neither model has one today.
    Greedy(Box<str>),
}

/// A shape's place in its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeId(usize);

#[derive(Debug)]
pub struct Shape {
    /// The model's name for it, such as `PatchOperation`.
    pub name: Box<str>,
    pub form: Form,
}

#[derive(Debug)]
pub enum Form {
    Structure(Box<Structure>),
    List(ShapeId),
    /// Keys are text.
    Map(ShapeId),
    Text(Text),
    /// 32 bits.
    Integer(Range),
    /// 64 bits.
    Long(Range),
    Double,
    Boolean,
    Blob,
    Timestamp(DateFormat),
}

/// Members by where they travel; by their names on the wire.
#[derive(Debug, Default)]
pub struct Structure {
    /// In the JSON body, in the model's order.
    pub body: IndexMap<Box<str>, Member>,
    pub uri: IndexMap<Box<str>, Member>,
    pub query: IndexMap<Box<str>, Member>,
    pub headers: IndexMap<Box<str>, Member>,
    /// A map whose entries are query parameters: v1's `parameters`.
    pub free_query: Option<Member>,
    /// The body is this member's bytes.
    pub payload: Option<Member>,
}

#[derive(Debug)]
pub struct Member {
    /// As AWS's SDKs call it.
    pub name: Box<str>,
    pub shape: ShapeId,
    pub required: bool,
    /// Values the member allows beyond what its shape says. Empty: any.
    pub values: Vec<Box<str>>,
}

/// What a text must be. Lengths count characters.
#[derive(Debug)]
pub struct Text {
    /// Empty: any.
    pub values: Vec<Box<str>>,
    pub length: Range,
    pub pattern: Option<Pattern>,
}

/// Inclusive bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

/// A pattern that the whole text must fit, as Java's `matches` has it.
#[derive(Debug)]
pub struct Pattern {
    /// As messages show it.
    pub text: Box<str>,
    pub regex: Regex,
}

/// How a date is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFormat {
    /// Seconds since the epoch, a JSON number.
    Number,
    /// `2020-04-08T19:05:45Z`
    Iso8601,
}

/// Why a model file is not one.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("it is not such JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("there is no shape `{0}`")]
    UnknownShape(String),
    #[error("`{shape}` is of the unknown type `{form}`")]
    UnknownForm { shape: String, form: String },
    #[error("`{operation}` has no sound HTTP binding")]
    Binding { operation: String },
    #[error("`{shape}` has a pattern that cannot be compiled: {error}")]
    Pattern { shape: String, error: regex::Error },
    #[error("`{structure}` has two members `{member}` in one place")]
    TwoMembers { structure: String, member: String },
}

impl Model {
    /// Reads botocore's form of a service model.
    pub fn read(service: Service, text: &str) -> Result<Self, ModelError> {
        let raw: RawModel = serde_json::from_str(text)?;
        let ids: HashMap<&str, ShapeId> =
            raw.shapes.keys().enumerate().map(|(at, name)| (name.as_str(), ShapeId(at))).collect();
        let find = |name: &str| {
            ids.get(name).copied().ok_or_else(|| ModelError::UnknownShape(name.to_owned()))
        };
        let shapes = raw.shapes.iter().map(|(name, shape)| {
            Ok(Shape { name: name.as_str().into(), form: raw::form(name, shape, &find)? })
        });
        let shapes = shapes.collect::<Result<Vec<_>, ModelError>>()?;
        let operations = raw
            .operations
            .iter()
            .map(|(name, raw)| raw::operation(service, name, raw, &find))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let routes = routes(&operations);
        Ok(Self { service, operations, shapes, routes })
    }

    /// The shape; ids come from the model they are used with.
    pub fn form(&self, id: ShapeId) -> Option<&Form> {
        self.shapes.get(id.0).map(|shape| &shape.form)
    }

    pub fn shape(&self, id: ShapeId) -> Option<&Shape> {
        self.shapes.get(id.0)
    }

    pub fn structure(&self, id: ShapeId) -> Option<&Structure> {
        match self.form(id) {
            Some(Form::Structure(structure)) => Some(structure),
            _ => None,
        }
    }

    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| &*operation.name == name)
    }

    /// Operations that a request of this method and number of segments may be, the more particular
    /// ones first.
    pub fn candidates(&self, method: &Method, segments: usize) -> impl Iterator<Item = &Operation> {
        let found = self.routes.get(&(method.clone(), segments));
        found.into_iter().flatten().filter_map(|at| self.operations.get(*at))
    }

    /// Whether any operation takes a rest of a path.
    pub fn greedy(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| is_greedy(operation))
    }
}

fn is_greedy(operation: &Operation) -> bool {
    matches!(operation.path.last(), Some(Segment::Greedy(_)))
}

fn routes(operations: &[Operation]) -> HashMap<(Method, usize), Vec<usize>> {
    let mut routes: HashMap<(Method, usize), Vec<usize>> = HashMap::new();
    for (at, operation) in operations.iter().enumerate() {
        if !is_greedy(operation) {
            routes.entry((operation.method.clone(), operation.path.len())).or_default().push(at);
        }
    }
    let rank = |at: &usize| {
        let operation = operations.get(*at);
        let labels = operation.map_or(0, |operation| {
            operation.path.iter().filter(|piece| !matches!(piece, Segment::Fixed(_))).count()
        });
        let fixed = operation.map_or(0, |operation| operation.fixed_query.len());
        (std::cmp::Reverse(fixed), labels)
    };
    for found in routes.values_mut() {
        found.sort_by_key(rank);
    }
    routes
}
