//! AWS facts, recorded in TestStageCrudCanary and TestCanaryDeployments.

use serde_json::json;

use crate::admin::rest::stage_world::World;

fn bad(message: &str) -> (String, String) {
    ("BadRequestException".to_owned(), message.to_owned())
}

/// A stage `dev` and its deployment, and a second deployment.
fn with_two() -> (World, String, String) {
    let mut world = World::new();
    let first = world.deploy(json!({"stageName": "dev"}));
    let second = world.deploy(json!({}));
    (world, first, second)
}

/// Case canary-deployment-error-unknown-stage and its neighbours.
#[test]
fn a_canary_deployment_needs_a_stage_that_exists() {
    let mut world = World::new();
    let mut with = |stage: serde_json::Value| {
        let mut body = json!({"canarySettings": {"percentTraffic": 50}});
        if !stage.is_null() {
            body["stageName"] = stage;
        }
        world.err("CreateDeployment", json!({}), body)
    };
    assert_eq!(
        with(json!("non-existing")),
        bad("Invalid deployment content specified.Stage non-existing must already be created \
             before making a canary release deployment")
    );
    let unnamed = "Invalid deployment content specified.Non null and non empty stageName must be \
                   provided for canary deployment. Provided value is ";
    assert_eq!(with(json!(null)), bad(&format!("{unnamed}null")));
    assert_eq!(with(json!("")), bad(unnamed));
}

/// Case canary-by-stage-patch-defaults.
#[test]
fn patching_a_member_makes_a_canary_with_defaults() {
    let (mut world, first, second) = with_two();
    let set = json!({"op": "replace", "path": "/canarySettings/deploymentId", "value": second});
    let stage = world.patch(set).unwrap();
    let canary = |deployment: &str, percent: f64| json!({"deploymentId": deployment, "percentTraffic": percent, "useStageCache": false});
    assert_eq!(stage["canarySettings"], canary(&second, 0.0));
    assert_eq!(stage["deploymentId"], first.as_str());
    let stage = world.patch(json!({"op": "remove", "path": "/canarySettings"})).unwrap();
    assert!(stage.get("canarySettings").is_none());
    let half = json!({"op": "replace", "path": "/canarySettings/percentTraffic", "value": "50"});
    let stage = world.patch(half).unwrap();
    assert_eq!(stage["canarySettings"], canary(&first, 50.0));
}

/// Case canary-patch-error-add-deployment-id.
#[test]
fn canary_members_are_replaced_not_added() {
    let (mut world, ..) = with_two();
    let add = json!({"op": "add", "path": "/canarySettings/deploymentId", "value": "deploy"});
    assert_eq!(
        world.patch_message(add),
        "Invalid add operation with path: /canarySettings/deploymentId"
    );
    let unknown = json!({"op": "replace", "path": "/canarySettings/deploymentId", "value": "x"});
    assert_eq!(world.patch_message(unknown), "Deployment id does not exist");
    for percent in ["101", "-1", "NaN", "much"] {
        let path = "/canarySettings/percentTraffic";
        let message = world.patch_message(json!({"op": "replace", "path": path, "value": percent}));
        assert!(message.starts_with("Invalid percentTraffic specified"), "{message}");
    }
}

/// Case canary-hundred-percent-serves-canary, its set-up.
#[test]
fn a_canary_deployment_leaves_the_stage_where_it_is() {
    let mut world = World::new();
    let first = world.deploy(json!({"stageName": "dev", "variables": {"testVar": "default"}}));
    let second = world.deploy(json!({
        "stageName": "dev",
        "canarySettings": {
            "percentTraffic": 0,
            "stageVariableOverrides": {"testVar": "canary", "noStageVar": "canary"},
        },
    }));
    let stage = world.stage();
    assert_eq!(stage["deploymentId"], first.as_str());
    assert_eq!(stage["variables"], json!({"testVar": "default"}));
    assert_eq!(
        stage["canarySettings"],
        json!({
            "deploymentId": second, "percentTraffic": 0.0, "useStageCache": false,
            "stageVariableOverrides": {"testVar": "canary", "noStageVar": "canary"},
        })
    );
}

#[test]
fn creating_a_stage_with_a_canary_needs_its_deployment() {
    let (mut world, first, second) = with_two();
    let mut create = |name: &str, deployment: &str| {
        let canary = json!({"deploymentId": deployment, "useStageCache": true});
        let body = json!({"stageName": name, "deploymentId": first, "canarySettings": canary});
        world.call("CreateStage", json!({}), body)
    };
    let err = create("a", "nope").unwrap_err();
    assert_eq!(err.message, "Deployment id does not exist");
    let stage = create("b", &second).unwrap();
    let wanted = json!({"deploymentId": second, "percentTraffic": 0.0, "useStageCache": true});
    assert_eq!(stage["canarySettings"], wanted);
}

#[test]
fn promotion_copies_deployment_and_variables_and_leaves_the_canary() {
    let mut world = World::new();
    world.deploy(json!({"stageName": "dev", "variables": {"a": "stage", "b": "stage"}}));
    let second = world.deploy(json!({
        "stageName": "dev",
        "canarySettings": {"stageVariableOverrides": {"a": "canary", "c": "canary"}},
    }));
    let operations = json!({"patchOperations": [
        {"op": "replace", "path": "/canarySettings/percentTraffic", "value": "0.0"},
        {"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"},
        {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
    ]});
    let stage = world.ok("UpdateStage", json!({"stage_name": "dev"}), operations);
    assert_eq!(stage["deploymentId"], second.as_str());
    assert_eq!(stage["variables"], json!({"a": "canary", "b": "stage", "c": "canary"}));
    assert_eq!(stage["canarySettings"]["deploymentId"], second.as_str());
}

#[test]
fn promotion_needs_a_canary_and_a_pair_that_fits() {
    let (mut world, ..) = with_two();
    let copy = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
    let message = world.patch_message(copy("/canarySettings/stageVariableOverrides", "/variables"));
    assert_eq!(message, "Promotion not available. Canary does not exist.");
    for (from, path) in [
        ("/variables", "/canarySettings/stageVariableOverrides"),
        ("/canarySettings/deploymentId", "/variables"),
        ("/description", "/description"),
    ] {
        let message = world.patch_message(copy(from, path));
        let begin = format!("Invalid copy operation with path: {path} and from {from}. Valid ");
        assert!(message.starts_with(&begin), "{message}");
    }
}

#[test]
fn overrides_are_set_and_removed_one_by_one() {
    let (mut world, ..) = with_two();
    let path = "/canarySettings/stageVariableOverrides/a";
    let stage = world.patch(json!({"op": "replace", "path": path, "value": "b"})).unwrap();
    assert_eq!(stage["canarySettings"]["stageVariableOverrides"], json!({"a": "b"}));
    let stage = world.patch(json!({"op": "remove", "path": path})).unwrap();
    assert!(stage["canarySettings"].get("stageVariableOverrides").is_none());
}

/// rest-data-plane 11.1: a canary may get any share of the calls.
#[test]
fn a_canary_gets_calls_and_variables_of_its_own() {
    let (mut world, _, second) = with_two();
    let path = "/canarySettings/deploymentId";
    world.patch(json!({"op": "replace", "path": path, "value": second})).unwrap();
    let half = json!({"op": "replace", "path": "/canarySettings/percentTraffic", "value": "50"});
    let stage = world.patch(half).unwrap();
    assert_eq!(stage["canarySettings"]["percentTraffic"], json!(50.0));
    assert_eq!(stage["canarySettings"]["deploymentId"], json!(second));
}
