//! AWS facts: invocation URL forms, base path mappings, and the recorded table of paths.

use std::collections::HashMap;

use http::Request;
use indexmap::IndexMap;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::call::{Connection, ExtendedId};
use crate::deployment::compile::Compiler;
use crate::model::rest_api::{
    Integration, IntegrationKind, Method as ApiMethod, Resource, RestApi,
};
use crate::model::stage::{Canary, MethodSettings, Stage as StageModel, StageDeployment};
use crate::net::clock::Timestamp;
use crate::net::tasks::Tasks;
use crate::telemetry::access_log::{AccessLogs, Config as LogConfig};
use crate::telemetry::metrics::Metrics;

fn deployment(endpoint_type: EndpointType, paths: &[&str]) -> StageDeployment {
    let method = ApiMethod {
        http_method: "ANY".into(),
        integration: Integration {
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
        },
        ..ApiMethod::default()
    };
    let resources = paths.iter().map(|path| Resource {
        id: ResourceId::new(path),
        path: (*path).to_owned(),
        methods: vec![method.clone()],
    });
    StageDeployment {
        deployment_id: DeploymentId::new("d1"),
        api: RestApi {
            id: ApiId::new("abc123"),
            name: "test".into(),
            endpoint_type,
            binary_media_types: Vec::new(),
            minimum_compression_size: None,
            resources: resources.collect(),
            ..RestApi::default()
        },
        stage: StageModel {
            name: StageName::new("stage"),
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

fn snapshot(endpoint_type: EndpointType) -> Snapshot {
    let mut model = deployment(endpoint_type, &["/{proxy+}", "/hardcoded"]);
    model.domains = vec![mapped("v1/x", false), mapped("", true)];
    compiled(&model)
}

fn canary_snapshot(percent_traffic: f64) -> Snapshot {
    let mut model = deployment(EndpointType::Edge, &["/hardcoded"]);
    model.stage.canary = Some(Box::new(Canary {
        percent_traffic,
        deployment_id: DeploymentId::new("d2"),
        api: model.api.clone(),
        variables: IndexMap::new(),
        use_stage_cache: false,
    }));
    compiled(&model)
}

fn compiled(model: &StageDeployment) -> Snapshot {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = Tasks::new(runtime.handle().clone());
    let site = Arc::new(Site {
        aws_region: "us-east-1".into(),
        account_id: "000000000000".into(),
        domain: "gateway.localhost".into(),
        regional_only: false,
    });
    let compiler = Compiler {
        site: Arc::clone(&site),
        metrics: Arc::new(Metrics::new()),
        access_logs: AccessLogs::start(LogConfig { folder: std::env::temp_dir() }, &tasks),
    };
    let stage = Arc::new(compiler.stage(model, [7; 32]).unwrap());
    Snapshot {
        epoch: 1,
        domains: Domains::of([&stage]),
        apis: HashMap::from([("abc123".into(), vec![stage])]),
        site,
    }
}

fn mapped(base_path: &str, stage_in_path: bool) -> BasePathMapping {
    BasePathMapping {
        domain_name: "api.example.com".into(),
        base_path: base_path.into(),
        stage_in_path,
        certificate: None,
    }
}

fn call(door: Door, host: &str, path: &str) -> Call {
    let request = Request::get(path).header(HOST, host).body(()).unwrap();
    Call {
        id: Uuid::nil(),
        extended_id: ExtendedId(*b"AAAAAAAAAAAAAAA="),
        received_at: Timestamp::from_millis(0),
        connection: Arc::new(Connection {
            door,
            peer: "127.0.0.1:1".parse().unwrap(),
            local: "127.0.0.1:2".parse().unwrap(),
            tls_version: "TLSv1.3",
            cipher_suite: "",
            sni: None,
        }),
        head: request.into_parts().0,
    }
}

const HOST_NAME: &str = "abc123.execute-api.us-east-1.gateway.localhost:8443";

/// `event.path` and the greedy parameter of a path at the API's own host.
fn check(host: &str, path: &str, expected: Result<(&str, &str, Option<&str>), &str>) {
    let call = call(Door::Edge, host, path);
    let found = snapshot(EndpointType::Edge).resolve(&call);
    let seen = found.as_ref().map(|found| {
        (found.route().resource_path.as_str(), found.path(&call), found.parameter(&call, "proxy"))
    });
    match (seen, expected) {
        (Ok(seen), Ok(expected)) => assert_eq!(seen, expected, "{path}"),
        (Err(err), Err(text)) => assert!(err.to_string().contains(text), "{path}: {err}"),
        (seen, expected) => panic!("{path}: {:?} instead of {expected:?}", seen.is_ok()),
    }
}

/// Recorded: test_lambda_aws_proxy_integration (edge-optimized endpoint).
#[test]
fn recorded_paths() {
    let greedy = "/{proxy+}";
    check(HOST_NAME, "/stage/proxy-value", Ok((greedy, "/proxy-value", Some("proxy-value"))));
    check(HOST_NAME, "/stage/proxy-value/", Ok((greedy, "/proxy-value/", Some("proxy-value"))));
    check(HOST_NAME, "/stage/a//b", Ok((greedy, "/a//b", Some("a//b"))));
    check(HOST_NAME, "//stage/proxy-value", Ok((greedy, "/proxy-value", Some("proxy-value"))));
    check(HOST_NAME, "/stage//proxy-value", Ok((greedy, "/proxy-value", Some("proxy-value"))));
    check(HOST_NAME, "/stage//hardcoded", Ok(("/hardcoded", "/hardcoded", None)));
    check(HOST_NAME, "/stage/t%2Bx@y", Ok((greedy, "/t%2Bx@y", Some("t%2Bx@y"))));
    check(HOST_NAME, "/stage", Err("no method"));
    check(HOST_NAME, "/other/x", Err("no stage `other`"));
}

#[test]
fn hosts_and_path_style() {
    let found = Ok(("/hardcoded", "/hardcoded", None));
    check("ABC123.Execute-Api.us-east-1.Gateway.localhost", "/stage/hardcoded", found);
    check("abc123.execute-api.us-east-1.amazonaws.com", "/stage/hardcoded", found);
    check("localhost:8443", "/_api/abc123/stage/hardcoded", found);
    check("127.0.0.1", "/_api/abc123/stage/hardcoded", found);
    check("localhost", "/stage/hardcoded", Err("no API answers"));
    check("zzz.execute-api.us-east-1.gateway.localhost", "/stage/x", Err("no API `zzz`"));
    check("localhost", "/_api/zzz/stage/x", Err("no API `zzz`"));
}

/// "Use API mappings to connect API stages": the longest whole-segment base path wins; without a
/// stage the first remaining segment names it.
#[test]
fn base_path_mappings() {
    let found = Ok(("/hardcoded", "/hardcoded", None));
    check("api.example.com", "/v1/x/hardcoded", found);
    check("api.example.com", "/stage/hardcoded", found);
    check("api.example.com", "/v1/xy/hardcoded", Err("no stage `v1`"));
    check("api.example.com", "/v1/x/", Err("no method"));
}

/// rest-data-plane 1.1: off, the default host answers 403, in every form it has; custom domains do
/// not mind.
#[test]
fn the_default_endpoint_can_be_switched_off() {
    let mut model = deployment(EndpointType::Edge, &["/hardcoded"]);
    model.domains = vec![mapped("v1", false)];
    model.api.default_endpoint_disabled = true;
    let snapshot = compiled(&model);
    let resolve = |host, path| snapshot.resolve(&call(Door::Edge, host, path));
    for (host, path) in [
        (HOST_NAME, "/stage/hardcoded"),
        ("abc123.execute-api.us-east-1.amazonaws.com", "/stage/hardcoded"),
        ("localhost", "/_api/abc123/stage/hardcoded"),
    ] {
        assert!(matches!(resolve(host, path), Err(ResolveError::EndpointDisabled(_))), "{host}");
    }
    assert!(resolve("api.example.com", "/v1/hardcoded").is_ok());
}

/// rest-data-plane 1.1: kept for the service's health check, at the root of each host.
#[test]
fn ping_is_reserved() {
    for (host, path, reserved) in [
        (HOST_NAME, "/ping", true),
        (HOST_NAME, "/sping", true),
        ("api.example.com", "/ping", true),
        ("api.example.com", "/sping", true),
        ("api.example.com", "/stage/ping", false),
        ("api.example.com", "/v1/x/ping", false),
        ("api.example.com", "/ping/x", false),
        ("localhost", "/ping", false),
    ] {
        let found = snapshot(EndpointType::Edge).resolve(&call(Door::Edge, host, path));
        let is = matches!(found, Err(ResolveError::HealthCheck));
        assert_eq!(is, reserved, "{host} {path}");
    }
}

/// rest-data-plane 1.1: private APIs by their host, an alias with the endpoint's id, or a header.
#[test]
fn private_forms() {
    let snapshot = snapshot(EndpointType::Private);
    let found = |host: &str, header: Option<&str>| {
        let mut call = call(Door::Private, host, "/stage/hardcoded");
        if let Some(value) = header {
            call.head.headers.insert(API_ID_HEADER, value.parse().unwrap());
        }
        snapshot.resolve(&call).map(|found| found.stage.api.to_string()).ok()
    };
    let api = Some("abc123".to_owned());
    assert_eq!(found(HOST_NAME, None), api);
    assert_eq!(found("abc123-vpce-0a1b.execute-api.us-east-1.amazonaws.com", None), api);
    assert_eq!(found("abc123.execute-api.us-east-1.amazonaws.com.cn", None), api);
    let endpoint = "vpce-0a1b-x.execute-api.us-east-1.vpce.amazonaws.com";
    assert_eq!(found(endpoint, Some("abc123")), api);
    assert_eq!(found(endpoint, Some("ABC123")), api);
    assert_eq!(found(endpoint, Some("other")), None);
    assert_eq!(found(endpoint, None), None);
}

#[test]
fn endpoint_types_are_doors() {
    let admitted = |endpoint, door| {
        let call = call(door, HOST_NAME, "/stage/hardcoded");
        snapshot(endpoint).resolve(&call).is_ok()
    };
    assert!(admitted(EndpointType::Edge, Door::Edge));
    assert!(!admitted(EndpointType::Edge, Door::Region));
    assert!(!admitted(EndpointType::Edge, Door::Private));
    assert!(admitted(EndpointType::Regional, Door::Region));
    assert!(!admitted(EndpointType::Regional, Door::Edge));
    assert!(admitted(EndpointType::Private, Door::Private));
    assert!(!admitted(EndpointType::Private, Door::Region));
}

/// "Quotas": a method's ARN has at most 1,600 bytes.
#[test]
fn long_method_arns_are_refused() {
    let fixed = "arn:aws:execute-api:us-east-1:000000000000:abc123/stage/GET/".len();
    let fits = "x".repeat(1_600 - fixed);
    let call = |text: &str| call(Door::Edge, HOST_NAME, &format!("/stage/{text}"));
    let snapshot = snapshot(EndpointType::Edge);
    assert!(snapshot.resolve(&call(&fits)).is_ok());
    let long = snapshot.resolve(&call(&format!("{fits}x")));
    assert!(matches!(long, Err(ResolveError::ArnTooLong)));
}

/// rest-data-plane 11.1: by chance, call by call; region and edge draw alike, as the id decides.
#[test]
fn a_canary_gets_the_calls_that_draw_it() {
    let ids =
        [*b"AAAAAAAAAAAAAAA=", *b"f___AAAAAAAAAAA=", *b"gAAAAAAAAAAAAAA=", *b"____AAAAAAAAAAA="];
    let share = |percent: f64| {
        let snapshot = canary_snapshot(percent);
        ids.map(|id| {
            let mut call = call(Door::Edge, HOST_NAME, "/stage/hardcoded");
            call.extended_id = ExtendedId(id);
            let found = snapshot.resolve(&call).unwrap();
            let hash = found.stage.hash;
            let again = snapshot.resolve_for_edge("abc123", "stage", &hash, &call).unwrap();
            assert!(Arc::ptr_eq(&again.stage, &found.stage), "the region draws as the edge did");
            // Of another configuration, which drew otherwise, the region knows nothing.
            assert!(snapshot.resolve_for_edge("abc123", "stage", &[9; 32], &call).is_none());
            let is_canary = found.stage.is_canary_request.unwrap();
            assert_eq!(found.stage.deployment_id.as_str(), if is_canary { "d2" } else { "d1" });
            is_canary
        })
    };
    assert_eq!(share(0.0), [false; 4]);
    assert_eq!(share(50.0), [true, true, false, false]);
    assert_eq!(share(100.0), [true; 4]);
    assert_eq!(snapshot(EndpointType::Edge).stages().next().unwrap().is_canary_request, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn resolving_never_panics(host in "[a-z0-9.:\\[\\]-]{0,40}", path in "/[a-z/%._{}+-]{0,40}") {
        let request = Request::get(path.as_str()).header(HOST, host.as_str()).body(());
        prop_assume!(request.is_ok());
        let call = call(Door::Edge, &host, &path);
        if let Ok(found) = snapshot(EndpointType::Edge).resolve(&call) {
            prop_assert!(found.path(&call).starts_with('/'));
        }
    }
}
