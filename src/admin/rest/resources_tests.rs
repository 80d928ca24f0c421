//! The resource tree as AWS was recorded to treat it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, Conflict, NotFound};
use crate::admin::rest::harness::{Plane, patch, string};

fn create(api: &str, parent: &str, part: &str) -> Value {
    json!({"restApiId": api, "parentId": parent, "pathPart": part})
}

/// Moves or renames a resource.
fn update(api: &str, id: &str, operations: Value) -> Value {
    json!({"restApiId": api, "resourceId": id, "patchOperations": operations})
}

#[test]
fn a_resource_knows_its_parent_and_path() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let pets = plane.ok("CreateResource", create(&api, &root, "pets"));
    let id = string(&pets["id"]);
    assert_eq!(id.len(), 6);
    assert_eq!(pets, json!({"id": id, "parentId": root, "pathPart": "pets", "path": "/pets"}));
    let pet = plane.ok("CreateResource", create(&api, &id, "{pet}"));
    assert_eq!(pet["path"], "/pets/{pet}");
    let root = plane.ok("GetResource", json!({"restApiId": api, "resourceId": root}));
    assert_eq!(root, json!({"id": root["id"], "path": "/"}));
}

#[test]
fn methods_are_empty_objects_unless_embedded() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let method = json!({"restApiId": api, "resourceId": root, "httpMethod": "GET",
                        "authorizationType": "NONE"});
    plane.ok("PutMethod", method);
    let resource = json!({"restApiId": api, "resourceId": root});
    assert_eq!(plane.ok("GetResource", resource)["resourceMethods"], json!({"GET": {}}));
    let embedded = plane.ok("GetResources", json!({"restApiId": api, "embed": ["methods"]}));
    let method = &embedded["item"][0]["resourceMethods"]["GET"];
    assert_eq!(method["authorizationType"], "NONE");
}

#[test]
fn siblings_differ_and_at_most_one_is_variable() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let greedy = plane.resource(&api, &root, "{proxy+}");
    plane.resource(&api, &root, "pets");
    plane.refused(
        "CreateResource",
        create(&api, &root, "pets"),
        Conflict,
        "Another resource with the same parent already has this name: pets",
    );
    plane.refused(
        "CreateResource",
        create(&api, &root, "{id}"),
        BadRequest,
        "A sibling ({proxy+}) of this resource already has a variable path part -- only one is \
         allowed",
    );
    plane.refused(
        "CreateResource",
        create(&api, &greedy, "x"),
        BadRequest,
        "Cannot create a child of a resource with a greedy path variable: {proxy+}",
    );
    plane.refused(
        "CreateResource",
        create(&api, "nope", "x"),
        NotFound,
        "Invalid Resource identifier specified",
    );
}

#[test]
fn a_path_part_is_static_or_one_variable() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    for part in ["", "a/b", "a b", "{a}b", "{", "{}", "{+}", "a+", "{a", "ä", "{{a}}"] {
        let error = plane.call("CreateResource", create(&api, &root, part)).unwrap_err();
        assert_eq!(error.kind, BadRequest, "{part}");
        let begin = "Resource's path part only allow a-zA-Z0-9._- and curly braces";
        assert!(error.message.starts_with(begin), "{part}");
    }
    for part in ["a.b_c-d", "v1:act", "{id}"] {
        plane.resource(&api, &root, part);
    }
}

#[test]
fn moving_takes_the_descendants_along() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let pets = plane.resource(&api, &root, "pets");
    let sub = plane.resource(&api, &pets, "sub");
    let deep = plane.resource(&api, &sub, "deep");
    let dogs = plane.resource(&api, &root, "dogs");
    let moved = update(&api, &sub, patch("replace", "/parentId", dogs.as_str()));
    assert_eq!(plane.ok("UpdateResource", moved)["path"], "/dogs/sub");
    let renamed = update(&api, &dogs, patch("replace", "/pathPart", "cats"));
    assert_eq!(plane.ok("UpdateResource", renamed)["path"], "/cats");
    let deep = plane.ok("GetResource", json!({"restApiId": api, "resourceId": deep}));
    assert_eq!(deep["path"], "/cats/sub/deep");
}

#[test]
fn what_moving_refuses() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let pets = plane.resource(&api, &root, "pets");
    let sub = plane.resource(&api, &pets, "sub");
    let deep = plane.resource(&api, &sub, "pets");
    let greedy = plane.resource(&api, &root, "{proxy+}");
    let replace = |path: &str, value: &str| patch("replace", path, value);
    for (id, operations, kind, message) in [
        (&pets, replace("/parentId", &sub), BadRequest, "Resources cannot be cyclical."),
        (&pets, replace("/parentId", &pets), BadRequest, "Resources cannot be cyclical."),
        (
            &deep,
            replace("/parentId", &root),
            Conflict,
            "Another resource with the same parent already has this name: pets",
        ),
        (
            &deep,
            replace("/parentId", &greedy),
            BadRequest,
            "Cannot create a child of a resource with a greedy path variable: {proxy+}",
        ),
        (
            &sub,
            replace("/pathPart", "{all+}"),
            BadRequest,
            "Cannot create a child of a resource with a greedy path variable: {all+}",
        ),
        (&pets, replace("/parentId", "nope"), NotFound, "Invalid Resource identifier specified"),
        (&root, replace("/pathPart", "x"), BadRequest, "Root resource cannot update its pathPart."),
        (
            &root,
            replace("/parentId", &pets),
            BadRequest,
            "Root resource cannot update its parentId.",
        ),
        (
            &pets,
            replace("/invalid", "x"),
            BadRequest,
            "Invalid patch path  '/invalid' specified for op 'replace'. Must be one of: \
             [/parentId, /pathPart]",
        ),
        (
            &pets,
            patch("add", "/pathPart", "x"),
            BadRequest,
            "Invalid patch path  '/pathPart' specified for op 'add'. Please choose supported \
             operations",
        ),
    ] {
        plane.refused("UpdateResource", update(&api, id, operations), kind, message);
    }
}

#[test]
fn deleting_cascades_but_spares_the_root() {
    let mut plane = Plane::new();
    let (api, root) = plane.api();
    let pets = plane.resource(&api, &root, "pets");
    let sub = plane.resource(&api, &pets, "sub");
    plane.resource(&api, &sub, "deep");
    plane.resource(&api, &root, "dogs");
    let delete = |id: &str| json!({"restApiId": api, "resourceId": id});
    plane.ok("DeleteResource", delete(&pets));
    let left = plane.ok("GetResources", json!({"restApiId": api}));
    let mut paths: Vec<_> = left["item"].as_array().unwrap().iter().map(|r| &r["path"]).collect();
    paths.sort_by_key(|path| path.to_string());
    assert_eq!(paths, ["/", "/dogs"]);
    let gone = "Invalid Resource identifier specified";
    plane.refused("DeleteResource", delete(&sub), NotFound, gone);
    let error = plane.call("DeleteResource", delete(&root)).unwrap_err();
    assert_eq!(error.kind, BadRequest);
}

/// What every tree must be, whatever was done to it.
fn check_tree(plane: &mut Plane, api: &str, root: &str) {
    let all = plane.ok("GetResources", json!({"restApiId": api, "limit": 500}));
    let all: BTreeMap<String, &Value> =
        all["item"].as_array().unwrap().iter().map(|r| (string(&r["id"]), r)).collect();
    let mut seen = std::collections::BTreeSet::new();
    for (id, resource) in &all {
        let mut parts = Vec::new();
        let mut at = id.as_str();
        while at != root {
            assert!(parts.len() <= all.len(), "{id} is in a circle");
            parts.push(string(&all[at]["pathPart"]));
            at = all[at]["parentId"].as_str().unwrap();
        }
        parts.reverse();
        assert_eq!(resource["path"], format!("/{}", parts.join("/")).as_str());
        if let Some(part) = resource.get("pathPart") {
            let part = string(part);
            let name = if part.starts_with('{') { "{}".to_owned() } else { part };
            assert!(seen.insert((string(&resource["parentId"]), name)), "twins below one parent");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Random creations, moves, renames and deletions leave a tree: no circles, paths that are
    /// their parts, unlike siblings, one variable each.
    #[test]
    fn it_stays_a_tree(steps in prop::collection::vec((0..4u8, 0..40usize, 0..40usize, 0..6usize), 1..60)) {
        const PARTS: [&str; 6] = ["a", "b", "c", "{x}", "{y}", "{z+}"];
        let mut plane = Plane::new();
        let (api, root) = plane.api();
        for (step, one, two, part) in steps {
            let all = plane.ok("GetResources", json!({"restApiId": api, "limit": 500}));
            let ids: Vec<String> =
                all["item"].as_array().unwrap().iter().map(|r| string(&r["id"])).collect();
            let (one, two) = (&ids[one % ids.len()], &ids[two % ids.len()]);
            // Refusals are part of the game.
            let _answer = match step {
                0 | 1 => plane.call("CreateResource", create(&api, one, PARTS[part])),
                2 => plane.call("UpdateResource", update(&api, one, json!([
                    {"op": "replace", "path": "/parentId", "value": two},
                    {"op": "replace", "path": "/pathPart", "value": PARTS[part]},
                ]))),
                _ => plane.call("DeleteResource", json!({"restApiId": api, "resourceId": one})),
            };
            check_tree(&mut plane, &api, &root);
        }
    }
}
