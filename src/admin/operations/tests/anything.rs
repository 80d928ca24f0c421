//! Whatever is sent to any operation: an answer comes, and it is never our fault.

use bytes::Bytes;
use http::{Request, Response};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{House, house, send};
use crate::admin::protocol::decode::decode;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::model::{
    Form, Member, Model, Operation, Segment, Service, ShapeId, Structure,
};
use crate::admin::protocol::operation::{Context, Handler, Input, Outcome};
use crate::admin::protocol::route::route;
use crate::net::query::encode;

fn echo(_: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(input.body.clone()))
}

fn echo_bytes(_: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Payload {
        content_type: "application/octet-stream".to_owned(),
        disposition: String::new(),
        bytes: input.payload.clone(),
    })
}

/// All operations of both services, echoing.
fn echoes() -> House {
    let table = |service: Service| {
        let echoes = service.model().operations.iter().map(|operation| {
            let gives_bytes = operation.output().is_some_and(|output| output.payload.is_some());
            let handler: Handler = if gives_bytes { echo_bytes } else { echo };
            (&*operation.name, handler)
        });
        echoes.collect::<Vec<_>>()
    };
    let house = house(Service::V1, table(Service::V1));
    let control = house.control.with_handlers(Service::V2, &[table(Service::V2).leak()]);
    House { control, ..house }
}

fn any_operation() -> impl Strategy<Value = &'static Operation> {
    let all: Vec<&'static Operation> =
        Service::ALL.into_iter().flat_map(|service| &service.model().operations).collect();
    proptest::sample::select(all)
}

/// An address of the operation: labels and parameters of any text, encoded.
fn target(operation: &Operation, label: &str, query: &str) -> String {
    let mut target = String::new();
    for segment in &operation.path {
        target.push('/');
        match segment {
            Segment::Fixed(text) => target.push_str(text),
            Segment::Label(_) | Segment::Greedy(_) => encode(label.as_bytes(), &mut target),
        }
    }
    target.push('?');
    for (name, value) in &operation.fixed_query {
        target.push_str(&format!("{name}={value}&"));
    }
    let names = operation.input().into_iter().flat_map(|input| input.query.keys());
    for name in names.map(|name| &**name).chain(["other"]) {
        target.push_str(&format!("{name}={query}&"));
    }
    target
}

fn json_of_any_shape() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((".{0,8}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A value of a shape, by a stream of dice; `wrong` puts `instead` at some places.
struct Maker<'a> {
    model: &'static Model,
    dice: &'a [u8],
    at: usize,
    instead: Option<&'a Value>,
}

impl Maker<'_> {
    fn roll(&mut self) -> u8 {
        self.at += 1;
        self.dice[self.at % self.dice.len()]
    }

    fn structure(&mut self, structure: &Structure) -> Value {
        let mut body = Map::new();
        for (wire, member) in &structure.body {
            if member.required || !self.roll().is_multiple_of(3) {
                body.insert(wire.to_string(), self.member(member));
            }
        }
        Value::Object(body)
    }

    fn member(&mut self, member: &Member) -> Value {
        match member.values.first() {
            Some(value) => Value::from(&**value),
            None => self.value(member.shape),
        }
    }

    fn value(&mut self, shape: ShapeId) -> Value {
        if let Some(instead) = self.instead
            && self.roll().is_multiple_of(16)
        {
            return instead.clone();
        }
        let roll = usize::from(self.roll());
        match self.model.form(shape).unwrap() {
            Form::Structure(structure) => self.structure(structure),
            Form::List(item) => (0..roll % 3).map(|_| self.value(*item)).collect(),
            Form::Map(entry) => {
                let entries = (0..roll % 3).map(|at| (format!("k{at}"), self.value(*entry)));
                Value::Object(entries.collect())
            }
            Form::Text(rules) => match rules.values.get(roll % rules.values.len().max(1)) {
                Some(value) => Value::from(&**value),
                None if rules.pattern.is_some() => Value::from("200"),
                None => {
                    let length = rules.length.min.unwrap_or(0).max(1);
                    Value::from("x".repeat(usize::try_from(length).unwrap()))
                }
            },
            Form::Integer(range) | Form::Long(range) => {
                Value::from(range.min.unwrap_or(0) + i64::try_from(roll).unwrap() % 2)
            }
            Form::Double => Value::from(f64::from(u8::try_from(roll).unwrap()) / 4.0),
            Form::Boolean => Value::from(roll % 2 == 0),
            Form::Blob => Value::from("AA=="),
            Form::Timestamp(_) => Value::from(roll),
        }
    }
}

/// Whatever is asked, an answer comes, and it is never our fault.
fn is_sound(answer: &Response<Bytes>) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(answer.body());
    prop_assert!(answer.status().as_u16() < 500, "{}: {text}", answer.status());
    prop_assert!(answer.headers().contains_key("x-amzn-requestid"));
    if !answer.status().is_success() {
        prop_assert!(answer.headers().contains_key("x-amzn-errortype"));
        let message: Value = serde_json::from_slice(answer.body()).unwrap();
        prop_assert!(message["message"].is_string());
    }
    Ok(())
}

fn request(operation: &Operation, target: &str, kind: &str, body: Vec<u8>) -> Request<Bytes> {
    let request = Request::builder().method(operation.method.clone()).uri(target);
    request.header("content-type", kind).body(Bytes::from(body)).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_at_any_operation_are_answered(
        operation in any_operation(),
        label in ".{1,20}",
        query in "[a-zA-Z0-9%+=;/?.-]{0,20}",
        kind in "[ -~]{0,20}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let target = target(operation, &label, &query);
        is_sound(&send(&echoes(), request(operation, &target, &kind, body)))?;
    }

    #[test]
    fn any_json_at_any_operation_is_answered(
        operation in any_operation(),
        value in json_of_any_shape(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let target = target(operation, "200", "");
        let mut body = value.to_string().into_bytes();
        is_sound(&send(&echoes(), request(operation, &target, "application/json", body.clone())))?;
        body.truncate(cut.index(body.len()));
        is_sound(&send(&echoes(), request(operation, &target, "application/json", body)))?;
    }

    #[test]
    fn a_body_of_the_right_shape_arrives_whole(
        operation in any_operation(),
        dice in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let Some(input) = operation.input().filter(|input| !input.body.is_empty()) else {
            return Ok(());
        };
        let mut maker = Maker { model: operation.service.model(), dice: &dice, at: 0, instead: None };
        let sent = maker.structure(input);
        let request = request(operation, &target(operation, "200", ""), "text/plain", sent.to_string().into_bytes());
        let (parts, body) = request.into_parts();
        let route = route(&parts).unwrap();
        let read = decode(route, &parts, &body);
        // The label need not be what the address wants; then that is all there is to complain about.
        match read {
            Ok(read) => prop_assert_eq!(Value::Object(read.body), sent),
            Err(error) => prop_assert!(error.message.starts_with("1 validation error detected: Value '200' at 'responseType'"), "{}", error.message),
        }
    }

    #[test]
    fn a_body_of_almost_the_right_shape_is_answered(
        operation in any_operation(),
        dice in proptest::collection::vec(any::<u8>(), 1..200),
        instead in json_of_any_shape(),
    ) {
        let Some(input) = operation.input() else { return Ok(()) };
        let mut maker =
            Maker { model: operation.service.model(), dice: &dice, at: 0, instead: Some(&instead) };
        let body = maker.structure(input).to_string().into_bytes();
        let target = target(operation, "200", "");
        is_sound(&send(&echoes(), request(operation, &target, "", body)))?;
    }

    #[test]
    fn any_address_is_answered(method in "[A-Z]{1,8}", path in "/[!-~&&[^#?]]{0,60}") {
        let Ok(request) = Request::builder().method(&*method).uri(&path).body(Bytes::new()) else {
            return Ok(());
        };
        is_sound(&send(&echoes(), request))?;
    }
}
