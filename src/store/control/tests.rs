//! Pictures and transactions, without a database; the databases are in `tests/it/store.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::config::PostgresUrl;
use super::row;
use super::seal::{KEY_BYTES, Sealer};
use super::*;

fn body(value: u32) -> Body {
    json!({ "value": value }).as_object().cloned().unwrap()
}

/// One step of a call: scope, id, and the new value or a deletion.
type Step = (u8, u8, Option<u32>);

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..3_u8, 0..5_u8, proptest::option::weighted(0.7, 0..4_u32));
    proptest::collection::vec(proptest::collection::vec(step, 0..6), 0..12)
}

proptest! {
    /// Reads within a call see its changes; a picture after it is the model's map.
    #[test]
    fn transactions_are_a_map(calls in steps()) {
        let sealer = Sealer::new(&zeroize::Zeroizing::new([7; KEY_BYTES]));
        let mut model: BTreeMap<(String, String), u32> = BTreeMap::new();
        let mut state = Arc::new(State::default());
        let mut rows = BTreeMap::new();
        for call in calls {
            let before = model.clone();
            let mut txn = Txn::new(Arc::clone(&state));
            for (scope, id, value) in call {
                let (scope, id) = (scope.to_string(), id.to_string());
                let key = (scope.clone(), id.clone());
                match value {
                    Some(value) => {
                        txn.put(Kind::Model, &scope, &id, body(value));
                        model.insert(key.clone(), value);
                    }
                    None => {
                        let was_there = txn.delete(Kind::Model, &scope, &id);
                        prop_assert_eq!(was_there, model.remove(&key).is_some());
                    }
                }
                let seen = txn.get(Kind::Model, &scope, &id).map(|body| (*body).clone());
                prop_assert_eq!(seen, model.get(&key).copied().map(body));
                let listed: Vec<String> =
                    txn.list(Kind::Model, &scope).iter().map(|(id, _)| id.to_string()).collect();
                let expected: Vec<String> = model
                    .keys()
                    .filter(|(of, _)| *of == scope)
                    .map(|(_, id)| id.clone())
                    .collect();
                prop_assert_eq!(listed, expected);
            }
            let changes = txn.into_changes();
            prop_assert_eq!(changes.is_empty(), model == before, "only changes are changes");
            let revision = state.revision + 1;
            for row in row::seal(&sealer, &changes, revision).unwrap() {
                rows.insert((row.scope.clone(), row.id.clone()), row);
            }
            state = Arc::new(state.with(revision, changes));
            let replay = row::open(&sealer, rows.values().cloned().collect(), "memory").unwrap();
            let replay = State::default().with_objects(revision, replay);
            prop_assert_eq!(everything(&replay), everything(&state));
            let found: BTreeMap<_, _> =
                everything(&state).into_iter().map(|(key, (_, text))| (key, text)).collect();
            let expected: BTreeMap<_, _> = model
                .iter()
                .map(|((scope, id), value)| {
                    let key = (Kind::Model, scope.clone(), id.clone());
                    (key, serde_json::to_string(&body(*value)).unwrap())
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}

fn everything(state: &State) -> BTreeMap<(Kind, String, String), (u64, String)> {
    let mut all = BTreeMap::new();
    for kind in Kind::ALL {
        for (scope, id, object) in state.all(*kind) {
            let text = serde_json::to_string(&*object.body).unwrap();
            all.insert((*kind, scope.to_string(), id.to_string()), (object.revision, text));
        }
    }
    all
}

#[test]
fn another_order_of_members_is_a_change() {
    let first: Body = serde_json::from_str(r#"{"a":1,"b":2}"#).unwrap();
    let second: Body = serde_json::from_str(r#"{"b":2,"a":1}"#).unwrap();
    let mut txn = Txn::new(Arc::default());
    txn.put(Kind::Account, "", "account", first.clone());
    let state = Arc::new(State::default().with(1, txn.into_changes()));
    let mut txn = Txn::new(Arc::clone(&state));
    txn.put(Kind::Account, "", "account", first);
    assert!(txn.into_changes().is_empty());
    let mut txn = Txn::new(state);
    txn.put(Kind::Account, "", "account", second);
    assert_eq!(txn.into_changes().len(), 1);
}

#[test]
fn what_no_database_could_keep_is_refused() {
    let sealer = Sealer::new(&zeroize::Zeroizing::new([7; KEY_BYTES]));
    let sealed = |scope: &str, value: serde_json::Value| {
        let body = json!({ "x": value }).as_object().cloned().unwrap();
        let change = (ObjectKey::new(Kind::Model, scope, "m"), Some(Arc::new(body)));
        row::seal(&sealer, &[change], 1).map(|rows| rows.len())
    };
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(sealed("a", nested(50)).unwrap(), 1);
    for (scope, value, says) in [
        ("a", nested(200), "the depth of an object"),
        ("a", json!("x".repeat(row::BODY_BYTES_MAX)), "an object is larger"),
        (&*"s".repeat(3_000), json!(1), "the name of an object"),
        ("a\0b", json!(1), "U+0000"),
    ] {
        let said = sealed(scope, value).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    // The deepest that is kept can be read back.
    let mut deepest = 1;
    while sealed("a", nested(deepest + 1)).is_ok() {
        deepest += 1;
    }
    let body = json!({ "x": nested(deepest) });
    let text = serde_json::to_string(&body).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), body);
}

/// A kind that is stored under two names, or not under its own, would be lost.
#[test]
fn kinds_are_found_by_their_names() {
    let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    for kind in Kind::ALL {
        assert_eq!(Kind::from_name(kind.as_str()), Some(*kind));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Kind::ALL.len());
}

#[test]
fn urls_keep_their_password_to_themselves() {
    let url = PostgresUrl::new("postgres://gate:pass%21word@db:5433/control?sslmode=require");
    let url = url.unwrap();
    assert_eq!(url.to_string(), "postgres://gate@db:5433/control");
    assert!(!format!("{url:?}").contains("word"));
    for text in ["sqlite:x", "postgres:", "mysql://a/b", "postgres://a:b:c/d", ""] {
        assert!(PostgresUrl::new(text).is_none(), "{text}");
    }
}
