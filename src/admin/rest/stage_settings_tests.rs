//! AWS facts: recorded in test_create_update_stages, and the CLI's and Terraform's spellings.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::admin::rest::stage_world::World;

fn with_stage() -> World {
    let mut world = World::new();
    world.deploy(json!({"stageName": "dev"}));
    world
}

fn set(path: &str, value: &str) -> Value {
    json!({"op": "replace", "path": path, "value": value})
}

/// The method settings after one replacement.
#[track_caller]
fn settings(world: &mut World, path: &str, value: &str) -> Value {
    world.patch(set(path, value)).unwrap()["methodSettings"].clone()
}

#[test]
fn the_first_setting_fills_in_the_others() {
    let mut world = with_stage();
    let found = settings(&mut world, "/*/*/throttling/burstLimit", "123");
    assert_eq!(
        found,
        json!({"*/*": {
            "metricsEnabled": false, "dataTraceEnabled": false, "throttlingBurstLimit": 123,
            "throttlingRateLimit": 10000.0, "cachingEnabled": false, "cacheTtlInSeconds": 300,
            "cacheDataEncrypted": false, "requireAuthorizationForCacheControl": true,
            "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
        }})
    );
    let found = settings(&mut world, "/*/*/logging/loglevel", "INFO");
    assert_eq!(found["*/*"]["loggingLevel"], "INFO");
}

#[test]
fn a_methods_entry_begins_as_the_stages_and_goes_its_own_way() {
    let mut world = with_stage();
    settings(&mut world, "/*/*/caching/enabled", "true");
    let found = settings(&mut world, "/test/GET/throttling/burstLimit", "124");
    assert_eq!(found["test/GET"]["cachingEnabled"], true);
    assert_eq!(found["test/GET"]["throttlingBurstLimit"], 124);
    let found = settings(&mut world, "/*/*/caching/enabled", "false");
    assert_eq!(found["test/GET"]["cachingEnabled"], true);
    assert_eq!(found["*/*"]["cachingEnabled"], false);
}

#[test]
fn the_key_is_stored_as_it_was_sent() {
    let mut world = with_stage();
    for (path, key) in [
        ("/~1resourceName/GET/logging/dataTrace", "~1resourceName/GET"),
        ("/test/GET/logging/dataTrace", "test/GET"),
        ("/pets/{id}/toys/PUT/logging/dataTrace", "pets/{id}/toys/PUT"),
        ("/~1/GET/logging/dataTrace", "~1/GET"),
        ("//GET/logging/dataTrace", "/GET"),
    ] {
        let found = settings(&mut world, path, "true");
        assert_eq!(found[key]["dataTraceEnabled"], true, "{path}: {found}");
    }
}

/// Terraform writes numbers as `%f`.
#[test]
fn values_are_read_by_their_setting() {
    let mut world = with_stage();
    for (setting, value, member, wanted) in [
        ("throttling/rateLimit", "10.000000", "throttlingRateLimit", json!(10.0)),
        ("throttling/rateLimit", "-1", "throttlingRateLimit", json!(-1.0)),
        ("throttling/burstLimit", "-1", "throttlingBurstLimit", json!(-1)),
        ("caching/ttlInSeconds", "3600", "cacheTtlInSeconds", json!(3600)),
        ("metrics/enabled", "TRUE", "metricsEnabled", json!(true)),
        (
            "caching/unauthorizedCacheControlHeaderStrategy",
            "FAIL_WITH_403",
            "unauthorizedCacheControlHeaderStrategy",
            json!("FAIL_WITH_403"),
        ),
    ] {
        let found = settings(&mut world, &format!("/*/*/{setting}"), value);
        assert_eq!(found["*/*"][member], wanted, "{setting}");
    }
    for (setting, value) in [
        ("throttling/rateLimit", "inf"),
        ("throttling/burstLimit", "1.5"),
        ("caching/ttlInSeconds", "3601"),
        ("logging/loglevel", "LOUD"),
        ("caching/unauthorizedCacheControlHeaderStrategy", ""),
    ] {
        let message = world.patch_message(set(&format!("/*/*/{setting}"), value));
        let begin = format!("Invalid value for {setting}: {value}. Must be ");
        assert!(message.starts_with(&begin), "{message}");
    }
}

#[test]
fn an_entry_is_removed_by_either_spelling() {
    let mut world = with_stage();
    for (stored, removed) in [
        ("/test/GET", "/test/GET"),
        ("/~1test/GET", "/test/GET"),
        ("/test/GET", "/~1test/GET"),
        ("/*/*", "/*/*"),
    ] {
        settings(&mut world, &format!("{stored}/metrics/enabled"), "true");
        let stage = world.patch(json!({"op": "remove", "path": removed})).unwrap();
        assert_eq!(stage["methodSettings"], json!({}), "{stored} {removed}");
    }
}

/// Recorded, with its blank at the end.
#[test]
fn removing_what_is_not_there_is_refused_by_path() {
    let mut world = with_stage();
    for path in ["*/*", "test/GET", "description", "accessLogSettings/x"] {
        let message = world.patch_message(json!({"op": "remove", "path": format!("/{path}")}));
        assert_eq!(
            message,
            format!(
                "Cannot remove method setting {path} because there is no method setting for this \
                 method "
            )
        );
    }
}

#[test]
fn an_unknown_path_gets_the_fixed_list() {
    let mut world = with_stage();
    for path in ["/x", "/test/FETCH/metrics/enabled", "/*/GET/x/y", "/test/GET/metrics", "/"] {
        let message = world.patch_message(set(path, "true"));
        let begin =
            format!("Invalid method setting path: {path}. Must be one of: [/deploymentId, ");
        assert!(message.starts_with(&begin), "{message}");
        assert!(message.ends_with(", /variables/{variable_name}, /tracingEnabled]"), "{message}");
    }
    let message = world.patch_message(json!({"op": "replace"}));
    assert!(message.starts_with("Invalid method setting path: null."), "{message}");
}

proptest! {
    /// Whatever is sent, the answer is a stage or a refusal of the caller.
    #[test]
    fn no_operation_breaks_anything(
        op in prop::sample::select(&["add", "replace", "remove", "copy", "move", "test", "x"][..]),
        path in prop_oneof![
            "[/~*a-zA-Z{}]{0,24}",
            "/(canarySettings|accessLogSettings|variables|\\*/\\*|pets/GET)(/[a-zA-Z/]{0,20})?",
        ],
        value in prop::option::of("[ -~]{0,12}"),
    ) {
        let mut world = with_stage();
        let before = world.stage();
        let operation = json!({"op": op, "path": path, "value": value, "from": path});
        match world.patch(operation) {
            Ok(stage) => prop_assert_eq!(&stage["stageName"], "dev"),
            Err(err) => {
                prop_assert!(err.kind.status() < 500);
                prop_assert_eq!(world.stage(), before);
            }
        }
    }
}
