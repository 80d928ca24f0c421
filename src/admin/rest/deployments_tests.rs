//! AWS facts: what a deployment freezes, when one may go, and which stages one makes.

use serde_json::{Value, json};

use crate::admin::rest::deployments::frozen;
use crate::admin::rest::stage_world::{API, NOW, World, input, mock, unserved};
use crate::store::control::{Kind, Txn};

fn bad(message: &str) -> (String, String) {
    ("BadRequestException".to_owned(), message.to_owned())
}

#[test]
fn an_api_without_methods_is_not_deployed() {
    let mut world = World::empty();
    let err = world.err("CreateDeployment", json!({}), json!({}));
    assert_eq!(err, bad("The REST API doesn't contain any methods"));
    world.set_method(Value::Null);
    let err = world.err("CreateDeployment", json!({}), json!({}));
    assert_eq!(err, bad("No integration defined for method"));
}

#[test]
fn an_unknown_api_is_named_with_its_account() {
    let mut world = World::new();
    for operation in ["CreateDeployment", "GetDeployments", "GetStages"] {
        let err = world.err(operation, json!({"restapi_id": "nope"}), json!({}));
        assert_eq!(err.0, "NotFoundException");
        assert_eq!(err.1, "Invalid API identifier specified 000000000000:nope");
    }
}

#[test]
fn a_deployment_answers_its_id_date_and_description() {
    let mut world = World::new();
    let made = world.ok("CreateDeployment", json!({}), json!({"description": "first"}));
    let id = made["id"].as_str().unwrap();
    assert_eq!(id.len(), 6);
    assert_eq!(made, json!({"id": id, "description": "first", "createdDate": NOW}));
    let got = world.ok("GetDeployment", json!({"deployment_id": id}), json!({}));
    assert_eq!(got, made);
    let list = world.ok("GetDeployments", json!({}), json!({}));
    assert_eq!(list, json!({"item": [made]}));
}

#[test]
fn a_deployment_keeps_the_api_as_it_was() {
    let mut world = World::new();
    let id = world.deploy(json!({}));
    world.set_method(json!({"type": "AWS_PROXY"}));
    let frozen = frozen(&Txn::new(world.state.clone()), API, &id).unwrap();
    let method = &frozen["resources"][0]["resourceMethods"]["GET"];
    assert_eq!(method["methodIntegration"]["type"], "MOCK");
}

#[test]
fn embedding_the_summary_shows_who_may_call_what() {
    let mut world = World::new();
    let id = world.deploy(json!({}));
    let mut call = input(json!({"deployment_id": id}), json!({}));
    call.query.insert("embed".into(), json!(["apisummary"]));
    let outcome = world.run("GetDeployment", &call).unwrap();
    let crate::admin::protocol::operation::Outcome::Body(body) = outcome else { panic!() };
    let wanted = json!({"/": {"GET": {"authorizationType": "NONE", "apiKeyRequired": false}}});
    assert_eq!(body["apiSummary"], wanted);
}

#[test]
fn only_the_description_of_a_deployment_can_be_patched() {
    let mut world = World::new();
    let id = world.deploy(json!({}));
    let patch =
        |path: &str| json!({"patchOperations": [{"op": "replace", "path": path, "value": "x"}]});
    let labels = json!({"deployment_id": id});
    let got = world.ok("UpdateDeployment", labels.clone(), patch("/description"));
    assert_eq!(got["description"], "x");
    let err = world.err("UpdateDeployment", labels, patch("/id"));
    assert_eq!(
        err,
        bad("Invalid patch path  '/id' specified for op 'replace'. Must be one of: [/description]")
    );
}

/// Recorded: test_create_delete_deployments; case control-deployment-delete-active.
#[test]
fn a_deployment_in_use_cannot_be_deleted() {
    let mut world = World::new();
    let first = world.deploy(json!({"stageName": "dev"}));
    let second = world.deploy(json!({}));
    let err = world.err("DeleteDeployment", json!({"deployment_id": first}), json!({}));
    assert_eq!(err, bad("Active stages pointing to this deployment must be moved or deleted"));
    let set = json!({"op": "replace", "path": "/canarySettings/deploymentId", "value": second});
    world.patch(set).unwrap();
    let err = world.err("DeleteDeployment", json!({"deployment_id": second}), json!({}));
    assert_eq!(
        err,
        bad("Active stages with canary settings pointing to this deployment must be moved or \
             deleted")
    );
    world.patch(json!({"op": "remove", "path": "/canarySettings"})).unwrap();
    world.ok("DeleteDeployment", json!({"deployment_id": second}), json!({}));
    assert!(world.state.get(Kind::DeploymentDefinition, API, &second).is_none());
    let err = world.err("DeleteDeployment", json!({"deployment_id": second}), json!({}));
    assert_eq!(err.1, "Invalid Deployment identifier specified");
}

#[test]
fn deploying_to_a_new_stage_makes_it_with_what_the_call_says() {
    let mut world = World::new();
    let id = world.deploy(json!({
        "stageName": "dev", "stageDescription": "for us", "variables": {"a": "b"},
        "tracingEnabled": true, "cacheClusterEnabled": true, "description": "of the deployment",
    }));
    assert_eq!(
        world.stage(),
        json!({
            "deploymentId": id, "stageName": "dev", "description": "for us",
            "cacheClusterEnabled": true, "cacheClusterStatus": "AVAILABLE",
            "cacheClusterSize": "0.5", "methodSettings": {}, "tracingEnabled": true,
            "createdDate": NOW, "lastUpdatedDate": NOW, "variables": {"a": "b"},
        })
    );
}

#[test]
fn deploying_to_a_stage_again_moves_it_and_keeps_its_settings() {
    let mut world = World::new();
    world.deploy(json!({"stageName": "dev", "variables": {"a": "b"}}));
    let second = world.deploy(json!({"stageName": "dev"}));
    let stage = world.stage();
    assert_eq!(stage["deploymentId"], second.as_str());
    assert_eq!(stage["variables"], json!({"a": "b"}));
}

/// Terraform sends an empty stage name where it wants none.
#[test]
fn an_empty_stage_name_is_none() {
    let mut world = World::new();
    world.deploy(json!({"stageName": ""}));
    assert!(world.state.collection(Kind::Stage, API).is_none());
}

#[test]
fn a_snapshot_can_always_be_made_but_no_stage_of_what_is_not_served() {
    let mut world = World::new();
    world.set_method(unserved());
    let id = world.deploy(json!({}));
    let place = "The stage cannot be served, since this needs what is not built yet: / GET \
                 integration credentials: calling the backend with the caller's own \
                 credentials is not built yet";
    let err = world.err("CreateDeployment", json!({}), json!({"stageName": "dev"}));
    assert_eq!(err, bad(place));
    let new = json!({"stageName": "dev", "deploymentId": id});
    assert_eq!(world.err("CreateStage", json!({}), new), bad(place));
    // Nothing of the refused call was kept.
    assert_eq!(world.state.list(Kind::Deployment, API).count(), 1);
}

/// What is wrong is not called unbuilt.
#[test]
fn a_refusal_tells_what_is_wrong_from_what_is_not_built() {
    let mut world = World::new();
    let mut method = mock();
    method["integrationResponses"]["200"]["selectionPattern"] = json!("[");
    world.set_method(method);
    let err = world.err("CreateDeployment", json!({}), json!({"stageName": "dev"}));
    let says = "The stage cannot be served, since this is wrong: / GET integration \
                integrationResponses 200: selection pattern `[` is not usable";
    assert!(err.1.starts_with(says) && !err.1.contains("not built"), "{err:?}");
}

#[test]
fn a_stage_is_not_moved_to_what_is_not_served_and_stays_as_it_was() {
    let mut world = World::new();
    let first = world.deploy(json!({"stageName": "dev"}));
    world.set_method(unserved());
    let second = world.deploy(json!({}));
    let message =
        world.patch_message(json!({"op": "replace", "path": "/deploymentId", "value": second}));
    assert!(message.contains("/ GET integration credentials"), "{message}");
    assert_eq!(world.stage()["deploymentId"], first.as_str());
}

/// A stage from elsewhere, such as a newer program's store, can still be described.
#[test]
fn an_unserved_stage_may_be_changed_where_that_makes_it_no_worse() {
    let mut world = World::new();
    world.set_method(unserved());
    let id = world.deploy(json!({}));
    world.put(Kind::Stage, API, "dev", json!({"stageName": "dev", "deploymentId": id}));
    for (path, value) in [("/description", "x"), ("/variables/a", "b")] {
        world.patch(json!({"op": "replace", "path": path, "value": value})).unwrap();
    }
    assert_eq!(world.stage()["variables"], json!({"a": "b"}));
}
