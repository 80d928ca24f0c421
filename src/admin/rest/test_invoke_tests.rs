//! What is checked before a test call is made.

use serde_json::{Value, json};

use crate::admin::protocol::operation::Outcome;
use crate::admin::rest::stage_world::{API, ROOT, World, input};
use crate::store::control::Kind;

fn labels(resource: &str, verb: &str) -> Value {
    json!({"resource_id": resource, "http_method": verb})
}

/// Case control-test-invoke-unknown-method.
#[test]
fn a_test_call_needs_a_method_with_an_integration() {
    let mut world = World::empty();
    let err = |world: &mut World, resource: &str, verb: &str| {
        world.err("TestInvokeMethod", labels(resource, verb), json!({}))
    };
    let not_found = |message: &str| ("NotFoundException".to_owned(), message.to_owned());
    assert_eq!(err(&mut world, ROOT, "GET"), not_found("Invalid Method identifier specified"));
    assert_eq!(err(&mut world, "nope", "GET"), not_found("Invalid Resource identifier specified"));
    world.set_method(Value::Null);
    assert_eq!(err(&mut world, ROOT, "GET").1, "No integration defined for method");
}

#[test]
fn a_test_call_is_made_on_the_api_as_it_is_now() {
    let mut world = World::new();
    world.deploy(json!({"stageName": "dev"}));
    world.set_method(json!({"type": "HTTP_PROXY", "uri": "http://b/"}));
    let body = json!({"pathWithQueryString": "/?a=b"});
    let outcome = world.run("TestInvokeMethod", &input(labels(ROOT, "GET"), body)).unwrap();
    let Outcome::TestInvokeMethod(invoke) = outcome else { panic!() };
    let method = &invoke.definition["resources"][0]["resourceMethods"]["GET"];
    assert_eq!(method["methodIntegration"]["type"], "HTTP_PROXY");
    assert_eq!(invoke.request["pathWithQueryString"], "/?a=b");
}

#[test]
fn an_authorizer_must_exist_to_be_tested() {
    let mut world = World::new();
    let labels = json!({"authorizer_id": "abc123"});
    let err = world.err("TestInvokeAuthorizer", labels.clone(), json!({}));
    assert_eq!(err.1, "Invalid Authorizer identifier specified");
    world.put(Kind::Authorizer, API, "abc123", json!({"id": "abc123", "type": "TOKEN"}));
    let outcome = world.run("TestInvokeAuthorizer", &input(labels, json!({}))).unwrap();
    let Outcome::TestInvokeAuthorizer(invoke) = outcome else { panic!() };
    assert_eq!(invoke.authorizer["type"], "TOKEN");
}
