//! Flushing tells the nodes, and only of stages that exist.

use serde_json::json;

use crate::admin::protocol::operation::Effect;
use crate::admin::rest::stage_world::{API, World};

#[test]
fn a_flush_tells_every_node_and_changes_nothing() {
    let mut world = World::new();
    world.deploy(json!({"stageName": "dev"}));
    let before = world.stage();
    world.ok("FlushStageCache", json!({"stage_name": "dev"}), json!({}));
    world.ok("FlushStageAuthorizersCache", json!({"stage_name": "dev"}), json!({}));
    let (api, stage) = (API.to_owned(), "dev".to_owned());
    assert_eq!(
        world.effects,
        [
            Effect::FlushStage { api: api.clone(), stage: stage.clone() },
            Effect::FlushAuthorizers { api, stage },
        ]
    );
    assert_eq!(world.stage(), before);
}

#[test]
fn an_unknown_stage_has_no_cache() {
    let mut world = World::new();
    for operation in ["FlushStageCache", "FlushStageAuthorizersCache"] {
        let err = world.err(operation, json!({"stage_name": "dev"}), json!({}));
        assert_eq!(err.0, "NotFoundException");
        assert_eq!(err.1, "Invalid stage identifier specified");
    }
    assert!(world.effects.is_empty());
}
