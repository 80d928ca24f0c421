//! AWS facts: what a new stage has, and what UpdateStage takes.

use serde_json::json;

use crate::admin::rest::stage_world::{API, NOW, World};
use crate::store::control::Kind;

fn with_stage() -> (World, String) {
    let mut world = World::new();
    let id = world.deploy(json!({"stageName": "dev"}));
    (world, id)
}

#[test]
fn a_new_stage_has_the_recorded_defaults() {
    let (mut world, id) = with_stage();
    let made = world.ok(
        "CreateStage",
        json!({}),
        json!({"stageName": "other", "deploymentId": id, "tags": {"a": "b"}}),
    );
    let wanted = json!({
        "deploymentId": id, "stageName": "other", "cacheClusterEnabled": false,
        "cacheClusterStatus": "NOT_AVAILABLE", "methodSettings": {}, "tracingEnabled": false,
        "createdDate": NOW, "lastUpdatedDate": NOW, "tags": {"a": "b"},
    });
    assert_eq!(made, wanted);
    assert!(world.stage().get("tags").is_none());
}

#[test]
fn a_stage_needs_a_good_name_a_deployment_and_no_namesake() {
    let (mut world, id) = with_stage();
    let mut err = |name: &str, deployment: &str| {
        let body = json!({"stageName": name, "deploymentId": deployment});
        world.err("CreateStage", json!({}), body)
    };
    assert_eq!(err("dev", &id), ("ConflictException".into(), "Stage already exists".into()));
    assert_eq!(err("new", "nope").1, "Deployment id does not exist");
    for name in ["", "a b", "ä", "a/b", &"x".repeat(129)] {
        assert!(err(name, &id).1.starts_with("Invalid stage name"), "{name}");
    }
}

#[test]
fn a_deleted_stage_leaves_its_usage_plans() {
    let (mut world, _) = with_stage();
    let stages = json!([
        {"apiId": API, "stage": "dev"}, {"apiId": API, "stage": "b"}, {"apiId": "o", "stage": "dev"},
    ]);
    world.put(Kind::UsagePlan, "", "plan", json!({"apiStages": stages}));
    world.ok("DeleteStage", json!({"restapi_id": API, "stage_name": "dev"}), json!({}));
    let plan = &world.state.get(Kind::UsagePlan, "", "plan").unwrap().body;
    let left = json!([{"apiId": API, "stage": "b"}, {"apiId": "o", "stage": "dev"}]);
    assert_eq!(plan["apiStages"], left);
}

#[test]
fn stages_are_listed_whole_or_by_deployment() {
    let (mut world, first) = with_stage();
    world.deploy(json!({"stageName": "other"}));
    let all = world.ok("GetStages", json!({}), json!({}));
    assert_eq!(all["item"].as_array().unwrap().len(), 2);
    assert!(all.get("position").is_none());
    let mut call = crate::admin::rest::stage_world::input(json!({}), json!({}));
    call.query.insert("deploymentId".into(), json!(first));
    let crate::admin::protocol::operation::Outcome::Body(some) =
        world.run("GetStages", &call).unwrap()
    else {
        panic!()
    };
    assert_eq!(some["item"][0]["stageName"], "dev");
    assert_eq!(some["item"].as_array().unwrap().len(), 1);
}

#[test]
fn a_deleted_stage_is_unknown() {
    let (mut world, _) = with_stage();
    let labels = json!({"stage_name": "dev"});
    world.ok("DeleteStage", labels.clone(), json!({}));
    for operation in ["GetStage", "UpdateStage", "DeleteStage"] {
        let err = world.err(operation, labels.clone(), json!({}));
        assert_eq!(err.0, "NotFoundException");
        assert_eq!(err.1, "Invalid stage identifier specified");
    }
}

#[test]
fn scalars_are_replaced_and_cleared_by_nothing() {
    let (mut world, _) = with_stage();
    world.put(Kind::DocumentationVersion, API, "1.0", json!({"version": "1.0"}));
    for (path, value, member, wanted) in [
        ("/description", json!("x"), "description", json!("x")),
        ("/description", json!(null), "description", json!(null)),
        ("/tracingEnabled", json!("true"), "tracingEnabled", json!(true)),
        ("/tracingEnabled", json!("yes"), "tracingEnabled", json!(false)),
        ("/cacheClusterSize", json!("1.6"), "cacheClusterSize", json!("1.6")),
        ("/cacheClusterEnabled", json!("true"), "cacheClusterStatus", json!("AVAILABLE")),
        ("/documentationVersion", json!("1.0"), "documentationVersion", json!("1.0")),
        ("/documentationVersion", json!(""), "documentationVersion", json!(null)),
    ] {
        let stage = world.patch(json!({"op": "replace", "path": path, "value": value})).unwrap();
        assert_eq!(stage[member], wanted, "{path} {value}");
    }
    for (path, value, says) in [
        ("/deploymentId", "nope", "Deployment id does not exist"),
        ("/cacheClusterSize", "7", "Invalid cacheClusterSize specified: 7. Must be one of: [0.5,"),
        ("/clientCertificateId", "x", "Invalid Client Certificate identifier specified"),
    ] {
        let message = world.patch_message(json!({"op": "replace", "path": path, "value": value}));
        assert!(message.starts_with(says), "{message}");
    }
}

#[test]
fn variables_are_replaced_and_removed() {
    let (mut world, _) = with_stage();
    let at = |op: &str, path: &str, value: &str| json!({"op": op, "path": path, "value": value});
    let url = "https://x.test/a?b=c&d=1,2#e~f";
    let stage = world.patch(at("replace", "/variables/url_1", url)).unwrap();
    assert_eq!(stage["variables"], json!({"url_1": url}));
    let stage = world.patch(at("remove", "/variables/url_1", "")).unwrap();
    assert!(stage.get("variables").is_none());
    for (name, value, says) in [
        ("a-b", "x", "Invalid stage variable name: a-b."),
        ("a", "", "Invalid stage variable value: ."),
        ("a", "two words", "Invalid stage variable value: two words."),
    ] {
        let message = world.patch_message(at("replace", &format!("/variables/{name}"), value));
        assert!(message.starts_with(says), "{message}");
    }
    let message = world.patch_message(at("add", "/variables/a", "b"));
    assert_eq!(message, "Invalid add operation with path: /variables/a");
}

#[test]
fn a_stage_has_at_most_a_hundred_variables() {
    let (mut world, _) = with_stage();
    let set = |n: usize| json!({"op": "replace", "path": format!("/variables/v{n}"), "value": "x"});
    let all: Vec<_> = (0..100).map(set).collect();
    world.ok("UpdateStage", json!({"stage_name": "dev"}), json!({"patchOperations": all}));
    let message = world.patch_message(set(100));
    assert_eq!(message, "Too many stage variables: 101 of at most 100");
}

/// Recorded: test_stage_access_log_settings_validation; case control-stage-access-log-wrong-path.
#[test]
fn access_log_settings_have_their_own_refusals() {
    let (mut world, _) = with_stage();
    let paths = "Invalid accessLogSettings path. Must be one of : \
                 [/accessLogSettings/destinationArn, /accessLogSettings/format]";
    for path in ["/accessLogSettings/randomValue", "/accessLogSettings"] {
        let message = world.patch_message(json!({"op": "replace", "path": path, "value": "x"}));
        assert_eq!(message, paths);
    }
    let path = "/accessLogSettings/format";
    let message = world.patch_message(json!({"op": "add", "path": path, "value": ""}));
    assert_eq!(message, "Access Log value must not be empty");
}

#[test]
fn access_log_settings_are_set_member_by_member() {
    let (mut world, _) = with_stage();
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:shop";
    let set = |name: &str, value: &str| json!({"op": "replace", "path": format!("/accessLogSettings/{name}"), "value": value});
    world.patch(set("destinationArn", arn)).unwrap();
    let stage = world.patch(set("format", "$context.requestId")).unwrap();
    assert_eq!(
        stage["accessLogSettings"],
        json!({"destinationArn": arn, "format": "$context.requestId"})
    );
    let message = world.patch_message(set("format", "$context.status"));
    assert!(message.contains("must contain $context.requestId"), "{message}");
    let stage = world.patch(json!({"op": "remove", "path": "/accessLogSettings"})).unwrap();
    assert!(stage.get("accessLogSettings").is_none());
}

#[test]
fn a_patch_holds_whole_or_not_at_all() {
    let (mut world, _) = with_stage();
    let before = world.stage();
    let operations = json!({"patchOperations": [
        {"op": "replace", "path": "/description", "value": "x"},
        {"op": "replace", "path": "/nonsense", "value": "x"},
    ]});
    world.err("UpdateStage", json!({"stage_name": "dev"}), operations);
    assert_eq!(world.stage(), before);
}
