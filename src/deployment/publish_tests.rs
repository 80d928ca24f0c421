//! A change compiles what it changed, and no other stage notices.

use std::time::Duration;

use http::Request;
use indexmap::IndexMap;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::call::{Connection, Door, ExtendedId};
use crate::model::ids::{DeploymentId, ResourceId};
use crate::model::rest_api::{
    EndpointType, Integration, IntegrationKind, Method, Resource, RestApi,
};
use crate::model::stage::{
    AccessLogSettings, BasePathMapping, MethodSettings, Stage as StageModel,
};
use crate::net::clock::Timestamp;
use crate::net::tasks::Tasks;
use crate::telemetry::access_log::{AccessLogs, Config as LogConfig};
use crate::telemetry::metrics::Metrics;

fn deployments() -> Deployments {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = Tasks::new(runtime.handle().clone());
    let deployments = Deployments::new(
        Compiler {
            site: Arc::new(Site { domain: "gateway.localhost".into(), ..Site::default() }),
            metrics: Arc::new(Metrics::new()),
            access_logs: AccessLogs::start(LogConfig { folder: std::env::temp_dir() }, &tasks),
        },
        None,
    );
    // An ordinary drop waits, which a test's own runtime does not permit.
    runtime.shutdown_background();
    deployments
}

/// The n-th API's stage; `version` is what changes of it.
fn content(n: usize, version: u64) -> StageDeployment {
    let integration = Integration {
        kind: IntegrationKind::Mock,
        http_method: None,
        uri: String::new(),
        request_parameters: IndexMap::new(),
        cache_namespace: None,
        cache_key_parameters: Vec::new(),
        timeout_ms: 1_000,
        insecure_skip_verification: false,
        responses: Vec::new(),
        ..Integration::default()
    };
    let method = Method { http_method: "GET".into(), integration, ..Method::default() };
    let resource =
        Resource { id: ResourceId::new("r"), path: format!("/v{version}"), methods: vec![method] };
    StageDeployment {
        deployment_id: DeploymentId::new(&format!("d{version}")),
        api: RestApi {
            id: ApiId::new(&format!("api{n}")),
            name: "test".into(),
            endpoint_type: EndpointType::Regional,
            binary_media_types: Vec::new(),
            minimum_compression_size: None,
            resources: vec![resource],
            ..RestApi::default()
        },
        stage: StageModel {
            name: StageName::new("prod"),
            variables: IndexMap::new(),
            cache_enabled: false,
            defaults: MethodSettings::default(),
            methods: IndexMap::new(),
            access_log: None,
            cache_headers: true,
            ..StageModel::default()
        },
        domains: Vec::new(),
        ..StageDeployment::default()
    }
}

fn wanted(content: StageDeployment) -> Wanted {
    Wanted {
        api: content.api.id.clone(),
        stage: content.stage.name.clone(),
        fingerprint: Fingerprint::of(&content.deployment_id).unwrap(),
        content: Some(Box::new(content)),
    }
}

fn unchanged(content: StageDeployment) -> Wanted {
    Wanted { content: None, ..wanted(content) }
}

fn stage(deployments: &Deployments, n: usize) -> Option<Arc<Stage>> {
    deployments.current().stage(&format!("api{n}"), "prod").cloned()
}

fn names(changed: &Changed) -> Vec<&str> {
    changed.compiled.iter().map(|part| part.api_id.as_str()).collect()
}

#[test]
fn one_change_among_a_thousand_apis_compiles_one_stage() {
    let deployments = deployments();
    let all = (0..1_000).map(|n| wanted(content(n, 1))).collect();
    assert_eq!(deployments.publish_changed(1, all).unwrap().compiled.len(), 1_000);
    let before = deployments.current();
    let next = (0..1_000).map(|n| match n {
        500 => wanted(content(n, 2)),
        _ => unchanged(content(n, 1)),
    });
    let changed = deployments.publish_changed(2, next.collect()).unwrap();
    assert_eq!(names(&changed), ["api500"]);
    let after = deployments.current();
    assert_eq!((after.epoch, after.stages().count()), (2, 1_000));
    for stage in before.stages() {
        let same = after.stage(stage.api.as_str(), "prod").unwrap();
        assert_eq!(Arc::ptr_eq(stage, same), stage.api.as_str() != "api500");
    }
}

/// A region that starts again listens before it has read its store.
#[tokio::test]
async fn an_edge_keeps_what_it_has_when_the_region_has_put_nothing_in_force() {
    let (region, edge) = (Arc::new(deployments()), deployments());
    region.publish(3, &[content(1, 1)]).unwrap();
    assert!(edge.refresh(&Source::Store(Arc::clone(&region))).await.unwrap());
    let before = edge.current();
    let again = Source::Store(Arc::new(deployments()));
    let refused = edge.refresh(&again).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Source(SourceError::NothingYet)), "{refused}");
    assert!(Arc::ptr_eq(&before, &edge.current()));
    assert_eq!((edge.epoch(), edge.current().stages().count()), (3, 1));
}

#[test]
fn equal_content_given_again_is_not_compiled_again() {
    let deployments = deployments();
    let all = [content(1, 1), content(2, 1)];
    deployments.publish(1, &all).unwrap();
    let before = stage(&deployments, 1).unwrap();
    deployments.publish(2, &[content(1, 1), content(2, 2)]).unwrap();
    assert!(Arc::ptr_eq(&before, &stage(&deployments, 1).unwrap()));
    assert_eq!(stage(&deployments, 2).unwrap().deployment_id.as_str(), "d2");
    assert_eq!(deployments.epoch(), 2);
}

#[test]
fn every_part_of_the_manifest_can_be_fetched_after_many_changes() {
    let deployments = deployments();
    for epoch in 1..10 {
        let all = vec![wanted(content(1, 1)), wanted(content(2, epoch))];
        deployments.publish_changed(epoch, all).unwrap();
        for part in deployments.manifest().parts {
            let hash = part::from_hex(&part.hash).unwrap();
            assert!(deployments.part(&hash).is_some(), "epoch {epoch}: {part:?}");
        }
    }
}

#[test]
fn a_stage_that_is_not_wanted_is_gone_and_must_be_given_anew() {
    let deployments = deployments();
    deployments.publish_changed(1, vec![wanted(content(1, 1)), wanted(content(2, 1))]).unwrap();
    deployments.publish_changed(2, vec![unchanged(content(1, 1))]).unwrap();
    assert!(stage(&deployments, 2).is_none());
    let both = vec![wanted(content(1, 2)), unchanged(content(2, 1))];
    let err = deployments.publish_changed(3, both).unwrap_err();
    assert_eq!(err.api.as_str(), "api2");
    // Nothing of the failed change is in force.
    assert_eq!(deployments.epoch(), 2);
    assert_eq!(stage(&deployments, 1).unwrap().deployment_id.as_str(), "d1");
}

#[test]
fn what_cannot_be_compiled_stays_as_it_was_and_keeps_no_other_back() {
    let deployments = deployments();
    deployments.publish_changed(1, vec![wanted(content(1, 1))]).unwrap();
    let broken = |n| {
        let mut content = content(n, 2);
        content.stage.access_log =
            Some(AccessLogSettings { format: "CLF".into(), destination: "../outside".into() });
        content
    };
    let all = vec![wanted(broken(1)), wanted(content(2, 2)), wanted(broken(3))];
    let changed = deployments.publish_changed(2, all).unwrap();
    assert_eq!(names(&changed), ["api2"]);
    let failed: Vec<&str> = changed.failed.iter().map(|failed| failed.api.as_str()).collect();
    assert_eq!(failed, ["api1", "api3"]);
    assert_eq!(stage(&deployments, 1).unwrap().deployment_id.as_str(), "d1");
    assert!(stage(&deployments, 3).is_none());
    // It is tried again, as its fingerprint is not the one in force.
    let again = deployments.publish_changed(3, vec![wanted(content(1, 2))]).unwrap();
    assert_eq!(names(&again), ["api1"]);
    assert!(deployments.publish(4, &[content(2, 9), broken(1)]).is_err());
    assert_eq!(deployments.epoch(), 3);
}

#[test]
fn a_domain_follows_the_change_of_its_stage() {
    let deployments = deployments();
    let mapped = |version| {
        let mut content = content(1, version);
        content.domains = vec![BasePathMapping {
            certificate: None,
            stage_in_path: false,
            domain_name: "shop.example.com".into(),
            base_path: String::new(),
        }];
        content
    };
    deployments.publish_changed(1, vec![wanted(mapped(1))]).unwrap();
    deployments.publish_changed(2, vec![wanted(mapped(2))]).unwrap();
    let call = |path: &str| Call {
        id: Uuid::nil(),
        extended_id: ExtendedId(*b"AAAAAAAAAAAAAAA="),
        received_at: Timestamp::from_millis(0),
        connection: Arc::new(Connection {
            door: Door::Region,
            peer: "127.0.0.1:1".parse().unwrap(),
            local: "127.0.0.1:2".parse().unwrap(),
            tls_version: "",
            cipher_suite: "",
            sni: None,
        }),
        head: Request::get(path)
            .header("host", "shop.example.com")
            .body(())
            .unwrap()
            .into_parts()
            .0,
    };
    assert!(deployments.resolve(&call("/v2")).is_ok());
    assert!(deployments.resolve(&call("/v1")).is_err());
}

/// Readers are never held up and never see half a change.
#[test]
fn readers_see_whole_snapshots_while_changes_are_published() {
    let deployments = deployments();
    let both = |version| vec![wanted(content(1, version)), wanted(content(2, version))];
    deployments.publish_changed(1, both(1)).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while last < 200 {
                let seen = deployments.current();
                let versions: HashSet<&str> =
                    seen.stages().map(|stage| stage.deployment_id.as_str()).collect();
                assert_eq!(versions, HashSet::from([&*format!("d{}", seen.epoch)]));
                assert!(seen.epoch >= last);
                last = seen.epoch;
                std::thread::sleep(Duration::from_micros(10));
            }
        });
        for epoch in 2..=200 {
            deployments.publish_changed(epoch, both(epoch)).unwrap();
        }
        reader.join().unwrap();
    });
}

proptest! {
    /// However a state was reached, it is the one that publishing all at once gives.
    #[test]
    fn changes_one_by_one_end_where_all_at_once_ends(
        steps in prop::collection::vec(prop::collection::vec(0u64..3, 4), 1..6),
    ) {
        let (step_by_step, at_once) = (deployments(), deployments());
        let mut last: Vec<u64> = vec![0; 4];
        for (epoch, versions) in (1..).zip(&steps) {
            // Version 0 is no stage at all.
            let all = (0..4).filter(|n| versions[*n] > 0).map(|n| {
                let content = content(n, versions[n]);
                if last[n] == versions[n] { unchanged(content) } else { wanted(content) }
            });
            step_by_step.publish_changed(epoch, all.collect()).unwrap();
            last.clone_from(versions);
        }
        let all: Vec<StageDeployment> =
            (0..4).filter(|n| last[*n] > 0).map(|n| content(n, last[n])).collect();
        at_once.publish(steps.len() as u64, &all).unwrap();
        prop_assert_eq!(step_by_step.manifest(), at_once.manifest());
    }
}
