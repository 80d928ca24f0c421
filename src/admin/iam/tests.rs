use std::sync::Arc;

use http::Request;
use http::request::Parts;

use crate::admin::iam::gate::{Gate, Wish};
use crate::admin::iam::sts;
use crate::admin::iam::users::{self, IamError, NewKey};
use crate::admin::protocol::operation::Site;
use crate::net::aws::{Scope, Secret, Signer, Unsigned};
use crate::net::clock::Clock;
use crate::store::control::{State, Txn};

const NOW: u64 = 1_800_000_000_000;

fn gate(open: bool) -> Gate {
    let site = Site {
        partition: "aws".to_owned(),
        aws_region: "eu-central-1".to_owned(),
        account_id: "123456789012".to_owned(),
        domain: "gateway.localhost".to_owned(),
        port: String::new(),
        installation: Default::default(),
    };
    Gate { site, clock: Clock::manual(NOW), open }
}

fn changed(state: &Arc<State>, change: impl FnOnce(&mut Txn)) -> Arc<State> {
    let mut txn = Txn::new(Arc::clone(state));
    change(&mut txn);
    Arc::new(state.with(state.revision + 1, txn.into_changes()))
}

/// A store with the administrator of the first start.
fn first_start() -> (Arc<State>, NewKey) {
    let clock = Clock::manual(NOW);
    let mut key = None;
    let state = changed(&Arc::default(), |txn| {
        key = users::bootstrap(txn, clock.now()).unwrap();
    });
    (state, key.unwrap())
}

fn signed(key: &NewKey, method: &str, path: &str) -> Parts {
    let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:4700");
    let mut parts = request.body(()).unwrap().into_parts().0;
    let signer = Signer {
        access_key_id: key.access_key_id.clone(),
        secret: Secret { secret_access_key: key.secret_access_key.clone(), session_token: None },
        scope: Scope { aws_region: "eu-central-1".to_owned(), service: "apigateway".to_owned() },
    };
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let request = Unsigned { method: &method, path, query, body: b"" };
    signer.sign(request, &mut parts.headers, Clock::manual(NOW).now()).unwrap();
    parts
}

fn wish<'a>(action: &'a str, resource: &'a str) -> Wish<'a> {
    Wish { service: "apigateway", action, resource, source_ip: None }
}

const APIS: &str = "arn:aws:apigateway:eu-central-1::/restapis";

#[test]
fn the_first_start_makes_one_administrator_and_the_second_none() {
    let (state, key) = first_start();
    assert!(key.access_key_id.starts_with("AKIA") && key.access_key_id.len() == 20);
    assert_eq!(key.secret_access_key.len(), 40);
    let mut txn = Txn::new(Arc::clone(&state));
    assert!(users::bootstrap(&mut txn, Clock::manual(NOW).now()).unwrap().is_none());
    let caller = gate(false)
        .admit(&state, &signed(&key, "GET", "/restapis"), b"", wish("apigateway:GET", APIS))
        .unwrap();
    assert_eq!(caller.arn, "arn:aws:iam::123456789012:user/admin");
    assert!(!format!("{key:?}").contains(key.secret_access_key.as_str()));
}

#[test]
fn a_user_may_what_its_policies_allow_and_is_told_what_they_do_not() {
    let (state, _) = first_start();
    let mut key = None;
    let state = changed(&state, |txn| {
        users::create_user(txn, "ann", Clock::manual(NOW).now()).unwrap();
        users::attach_policy(txn, "ann", "ReadOnlyAccess", None).unwrap();
        key = Some(users::create_key(txn, "ann", Clock::manual(NOW).now()).unwrap());
    });
    let key = key.unwrap();
    let gate = gate(false);
    let get =
        gate.admit(&state, &signed(&key, "GET", "/restapis"), b"", wish("apigateway:GET", APIS));
    assert!(get.is_ok());
    let post =
        gate.admit(&state, &signed(&key, "POST", "/restapis"), b"", wish("apigateway:POST", APIS));
    assert_eq!(
        post.unwrap_err().to_string(),
        "AccessDeniedException: User: arn:aws:iam::123456789012:user/ann is not authorized to \
         perform: apigateway:POST on resource: arn:aws:apigateway:eu-central-1::/restapis because \
         no identity-based policy allows the apigateway:POST action"
    );
}

#[test]
fn errors_have_the_names_clients_know() {
    let (state, key) = first_start();
    let gate = gate(false);
    let name = |parts: &Parts| {
        gate.admit(&state, parts, b"", wish("apigateway:GET", APIS)).unwrap_err().kind.name()
    };
    let unsigned = Request::get("/restapis").body(()).unwrap().into_parts().0;
    assert_eq!(name(&unsigned), "MissingAuthenticationTokenException");
    let stranger = NewKey { access_key_id: "AKIANOBODY".to_owned(), ..key.clone() };
    assert_eq!(name(&signed(&stranger, "GET", "/restapis")), "UnrecognizedClientException");
    let thief = NewKey { secret_access_key: "guessed".to_owned().into(), ..key.clone() };
    assert_eq!(name(&signed(&thief, "GET", "/restapis")), "InvalidSignatureException");
    // The signature holds for what was signed only.
    let mut moved = signed(&key, "GET", "/restapis");
    moved.uri = "/apikeys".parse().unwrap();
    assert_eq!(name(&moved), "InvalidSignatureException");
}

#[test]
fn a_deleted_key_opens_nothing() {
    let (state, key) = first_start();
    let state = changed(&state, |txn| users::delete_key(txn, &key.access_key_id).unwrap());
    let found =
        gate(false).admit(&state, &signed(&key, "GET", "/"), b"", wish("apigateway:GET", APIS));
    assert_eq!(found.unwrap_err().kind.name(), "UnrecognizedClientException");
}

#[test]
fn an_open_gate_asks_nobody() {
    let unsigned = Request::get("/restapis").body(()).unwrap().into_parts().0;
    let state = State::default();
    assert!(gate(true).admit(&state, &unsigned, b"", wish("apigateway:GET", APIS)).is_ok());
}

#[test]
fn a_user_has_two_keys_at_most_and_taking_a_foreign_one_is_checked() {
    let (state, _) = first_start();
    let now = Clock::manual(NOW).now();
    let mut txn = Txn::new(state);
    users::take_key(&mut txn, "admin", "test", "test", now).unwrap();
    assert!(matches!(
        users::create_key(&mut txn, "admin", now),
        Err(IamError::TooMany { most: 2, .. })
    ));
    users::create_user(&mut txn, "ann", now).unwrap();
    let mut take = |id: &str, secret: &str| users::take_key(&mut txn, "ann", id, secret, now);
    assert!(matches!(take("test", "other"), Err(IamError::KeyExists(_))));
    assert!(matches!(take("a/b/c", "secret"), Err(IamError::BadKeyId)));
    assert!(matches!(take("AKIA", ""), Err(IamError::BadSecret)));
}

#[test]
fn a_policy_that_is_not_understood_is_not_attached() {
    let (state, _) = first_start();
    let mut txn = Txn::new(state);
    let refused = users::attach_policy(&mut txn, "admin", "mine", Some(r#"{"Statement": 1}"#));
    assert!(matches!(refused, Err(IamError::Policy(_))));
    let unknown = users::attach_policy(&mut txn, "admin", "PowerUserAccess", None);
    assert!(matches!(unknown, Err(IamError::UnknownPolicy { .. })));
    users::delete_user(&mut txn, "admin").unwrap();
    assert_eq!(users::list(&txn)["users"].as_array().unwrap().len(), 0);
}

#[test]
fn get_caller_identity_names_the_account() {
    let gate = gate(true);
    let request = Request::post("/").body(()).unwrap().into_parts().0;
    let form = b"Action=GetCallerIdentity&Version=2011-06-15";
    assert!(sts::is_get_caller_identity(&request, form));
    assert!(!sts::is_get_caller_identity(&request, b"Action=AssumeRole"));
    let wish =
        Wish { service: "sts", action: "sts:GetCallerIdentity", resource: "*", source_ip: None };
    let caller = gate.admit(&State::default(), &request, form, wish).unwrap();
    let xml = sts::get_caller_identity(&caller, &gate.site, "id");
    assert!(xml.contains("<Account>123456789012</Account>"), "{xml}");
}
