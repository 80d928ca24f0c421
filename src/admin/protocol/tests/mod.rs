//! The protocol by itself: models, routes, reading, checking, writing, and the ledger.

mod answers;
mod constraints;
mod ledger;
mod requests;
mod routes;

use bytes::Bytes;
use http::Request;
use http::request::Parts;

use crate::admin::protocol::decode::decode;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::model::{Form, Operation, Segment, Service};
use crate::admin::protocol::operation::Input;
use crate::admin::protocol::route::route;

fn parts(method: &str, target: &str) -> Parts {
    let request = Request::builder().method(method).uri(target).body(()).unwrap();
    request.into_parts().0
}

fn read(method: &str, target: &str, body: &str) -> Result<Input, ApiError> {
    read_bytes(method, target, body.as_bytes())
}

fn read_bytes(method: &str, target: &str, body: &[u8]) -> Result<Input, ApiError> {
    let parts = parts(method, target);
    decode(route(&parts)?, &parts, &Bytes::copy_from_slice(body))
}

fn operations() -> impl Iterator<Item = &'static Operation> {
    Service::ALL.into_iter().flat_map(|service| service.model().operations.iter())
}

fn operation(service: Service, name: &str) -> &'static Operation {
    service.model().operation(name).unwrap()
}

/// An address of the operation, every label filled.
fn target(operation: &Operation, label: &str) -> String {
    let mut target = String::new();
    for segment in &operation.path {
        target.push('/');
        target.push_str(match segment {
            Segment::Fixed(text) => text,
            Segment::Label(_) | Segment::Greedy(_) => label,
        });
    }
    for (at, (name, value)) in operation.fixed_query.iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(&format!("{name}={value}"));
    }
    target
}

#[test]
fn both_models_are_read_whole() {
    for (service, count) in [(Service::V1, 124), (Service::V2, 103)] {
        let model = service.model();
        assert_eq!(model.operations.len(), count);
        for operation in &model.operations {
            // Labels of the template are the input's members in the address, no more and no less.
            let mut labels: Vec<&str> = operation
                .path
                .iter()
                .filter_map(|segment| match segment {
                    Segment::Label(name) | Segment::Greedy(name) => Some(&**name),
                    Segment::Fixed(_) => None,
                })
                .collect();
            let members = operation.input().map(|input| &input.uri);
            let mut members: Vec<&str> =
                members.into_iter().flatten().map(|(wire, _)| &**wire).collect();
            labels.sort_unstable();
            members.sort_unstable();
            assert_eq!(labels, members, "{operation}");
            // What the encoder and the decoder leave out, no operation has.
            assert_eq!(operation.input.is_some(), operation.input().is_some(), "{operation}");
            assert_eq!(operation.output.is_some(), operation.output().is_some(), "{operation}");
            for structure in operation.input().into_iter() {
                for (wire, _) in &structure.headers {
                    assert_eq!(&**wire, "Accept", "{operation}");
                }
                assert!(structure.payload.is_none() || structure.body.is_empty(), "{operation}");
            }
            for structure in operation.output().into_iter() {
                for (wire, _) in &structure.headers {
                    assert!(["Content-Type", "Content-Disposition"].contains(&&**wire));
                    assert!(structure.payload.is_some(), "{operation}");
                }
                assert!(structure.uri.is_empty() && structure.query.is_empty(), "{operation}");
            }
        }
    }
}

#[test]
fn no_input_nests_without_end() {
    fn depth(service: Service, form: &Form, above: usize) -> usize {
        assert!(above < 32, "a recursive shape");
        let model = service.model();
        let inner = |id| model.form(id).map_or(0, |form| depth(service, form, above + 1));
        match form {
            Form::Structure(members) => {
                1 + members.body.values().map(|member| inner(member.shape)).max().unwrap_or(0)
            }
            Form::List(item) => 1 + inner(*item),
            Form::Map(entry) => 1 + inner(*entry),
            _ => 1,
        }
    }
    let deepest = operations().flat_map(|operation| {
        let model = operation.service.model();
        let shapes = operation.input.into_iter().chain(operation.output);
        shapes.filter_map(|id| model.form(id)).map(|form| depth(operation.service, form, 0))
    });
    assert!(deepest.max() > Some(3));
}
