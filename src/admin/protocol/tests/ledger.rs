//! Every operation of both models, and its state. `UPDATE=1` writes the reference page anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use crate::admin::operations::built;
use crate::admin::protocol::ledger::{PENDING, REFUSED, REFUSED_MEMBERS};
use crate::admin::protocol::model::{Operation, Segment, Service};
use crate::admin::protocol::tests::{operation, operations};

type Name = (Service, String);

fn collect<'a>(names: impl Iterator<Item = (Service, &'a str)>) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    for (service, name) in names {
        assert!(found.insert((service, name.to_owned())), "{name} stands there twice");
    }
    found
}

#[test]
fn every_operation_is_built_refused_or_pending_and_nothing_else_is() {
    let model = collect(operations().map(|operation| (operation.service, &*operation.name)));
    let built = collect(built().map(|(service, name, _)| (service, name)));
    let refused = collect(REFUSED.iter().map(|(service, name, _)| (*service, *name)));
    let pending = collect(PENDING.iter().copied());

    let known: BTreeSet<Name> = built.union(&refused).chain(&pending).cloned().collect();
    let unlisted: Vec<&Name> = model.difference(&known).collect();
    let unknown: Vec<&Name> = known.difference(&model).collect();
    let twice: Vec<&Name> = built
        .intersection(&refused)
        .chain(built.intersection(&pending))
        .chain(refused.intersection(&pending))
        .collect();
    assert!(unlisted.is_empty(), "without handler, reason or place in PENDING: {unlisted:?}");
    assert!(unknown.is_empty(), "not in the model: {unknown:?}");
    assert!(twice.is_empty(), "take these out of PENDING or REFUSED, they are built: {twice:?}");
}

#[test]
fn refused_members_are_members() {
    for (service, name, member, reason) in REFUSED_MEMBERS {
        assert!(operation(*service, name).input().unwrap().body.contains_key(*member), "{name}");
        assert!(!reason.is_empty());
    }
    assert!(REFUSED.iter().all(|(_, _, reason)| !reason.is_empty()));
}

#[test]
fn the_reference_page_says_what_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/OPERATIONS.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "run the tests with UPDATE=1 to write {} anew", path.display());
}

fn page() -> String {
    let mut states: BTreeMap<Name, String> = BTreeMap::new();
    for (service, name, _) in built() {
        states.insert((service, name.to_owned()), "built".to_owned());
    }
    for (service, name) in PENDING {
        states.insert((*service, (*name).to_owned()), "pending".to_owned());
    }
    for (service, name, reason) in REFUSED {
        states.insert((*service, (*name).to_owned()), format!("refused: {reason}"));
    }
    let mut page = "# Operations of the control plane\n\n\
        Every operation of AWS's service models and its state here. *Pending* and *refused* \
        operations answer 501 `NotImplementedException` with the reason. Members are named as they \
        travel; those in the address are in braces. A member that is ~~struck out~~ would have no \
        effect and is refused. A test writes and compares this page.\n"
        .to_owned();
    for (service, title) in [
        (Service::V1, "REST APIs: `apigateway`, 2015-07-09"),
        (Service::V2, "HTTP and WebSocket APIs: `apigatewayv2`, 2018-11-29"),
    ] {
        let of = || operations().filter(move |operation| operation.service == service);
        let state = |operation: &Operation| {
            states.get(&(service, operation.name.to_string())).cloned().unwrap_or_default()
        };
        let count = |wanted: &str| of().filter(|one| state(one).starts_with(wanted)).count();
        let (built, pending, refused) = (count("built"), count("pending"), count("refused"));
        write!(
            page,
            "\n## {title}\n\n{} operations: {built} built, {pending} pending, {refused} refused.\n\n\
             | Operation | Request | State | Query | Body |\n|---|---|---|---|---|\n",
            of().count()
        )
        .unwrap();
        for operation in of() {
            let (query, body) = members(operation);
            let (name, request, state) = (&operation.name, request(operation), state(operation));
            writeln!(page, "| {name} | `{request}` | {state} | {query} | {body} |").unwrap();
        }
    }
    page
}

fn request(operation: &Operation) -> String {
    let mut text = format!("{} ", operation.method);
    for segment in &operation.path {
        match segment {
            Segment::Fixed(fixed) => write!(text, "/{fixed}").unwrap(),
            Segment::Label(label) => write!(text, "/{{{label}}}").unwrap(),
            Segment::Greedy(label) => write!(text, "/{{{label}+}}").unwrap(),
        }
    }
    for (name, value) in &operation.fixed_query {
        write!(text, "?{name}={value}").unwrap();
    }
    text
}

fn members(operation: &Operation) -> (String, String) {
    let Some(input) = operation.input() else { return (String::new(), String::new()) };
    let mut query: Vec<String> = input.query.keys().map(|name| name.to_string()).collect();
    query.extend(input.free_query.as_ref().map(|_| "any other".to_owned()));
    let is_refused = |member: &str| {
        REFUSED_MEMBERS.iter().any(|(service, name, refused, _)| {
            *service == operation.service && **name == *operation.name && *refused == member
        })
    };
    let mut body: Vec<String> = input
        .body
        .keys()
        .map(|name| if is_refused(name) { format!("~~{name}~~") } else { name.to_string() })
        .collect();
    body.extend(input.payload.as_ref().map(|_| "*a document*".to_owned()));
    (query.join(", "), body.join(", "))
}
