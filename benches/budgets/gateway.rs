//! A whole gateway without its listener: a stage of a few routes, a cache in memory, the access log
//! and the metrics on, and a backend on the loopback interface that answers 1 KiB.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use indexmap::IndexMap;
use tempfile::TempDir;
use tidegate::auth::Auth;
use tidegate::cache::purge::Purges;
use tidegate::cache::tiers::{self, ResponseCache};
use tidegate::call::{Body, Call, Connection, Door, ExtendedId};
use tidegate::deployment::Deployments;
use tidegate::deployment::compile::Compiler;
use tidegate::deployment::snapshot::Site;
use tidegate::integration::{self, Integrations};
use tidegate::limits::Limits;
use tidegate::listener::{Answer, Handler};
use tidegate::model::ids::{ApiId, DeploymentId, ResourceId, StageName};
use tidegate::model::rest_api::{
    EndpointType, Integration, IntegrationKind, Method, Resource, RestApi, Validation,
};
use tidegate::model::stage::{
    AccessLogSettings, BasePathMapping, MethodSettings, Stage, StageDeployment,
};
use tidegate::net::client::{self, HttpClient};
use tidegate::net::clock::Clock;
use tidegate::net::socket::{Machine, Network};
use tidegate::net::tasks::Tasks;
use tidegate::pipeline::door::Clients;
use tidegate::pipeline::record::Telemetry;
use tidegate::pipeline::{Gateway, Origin};
use tidegate::telemetry::access_log::{self, AccessLogs};
use tidegate::telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use uuid::Uuid;

const HOST: &str = "api.example.com";

/// What a bench calls.
pub(crate) struct World {
    pub(crate) clients: Clients,
    connection: Arc<Connection>,
    _tasks: Tasks,
    _folder: TempDir,
}

impl World {
    /// `/c/{proxy+}` is cached, `/p/{proxy+}` passed through; besides them `routes` constant ones.
    pub(crate) fn new(runtime: &Runtime, routes: usize) -> Self {
        let _entered = runtime.enter();
        let tasks = Tasks::new(runtime.handle().clone());
        let folder = tempfile::tempdir().unwrap();
        let (clock, metrics) = (Clock::system(), Arc::new(Metrics::new()));
        let logs = access_log::Config { folder: folder.path().to_owned() };
        let access_logs = AccessLogs::start(logs, &tasks);
        let site = Site {
            aws_region: "us-east-1".into(),
            account_id: "000000000000".into(),
            domain: "gateway.localhost".into(),
            regional_only: true,
        };
        let compiler = Compiler {
            site: Arc::new(site),
            metrics: Arc::clone(&metrics),
            access_logs: access_logs.clone(),
        };
        let deployments = Deployments::new(compiler, None);
        deployments.publish(1, &[deployment(backend(runtime), routes)]).unwrap();
        let network: Arc<dyn Network> = Arc::new(Machine);
        let config = client::Config { native_roots: false, ..client::Config::default() };
        let client = HttpClient::new(config, network, tasks.clone());
        let integrations = Integrations::new(integration::Config::default(), client);
        let purges = Purges::new();
        purges.adopt(Uuid::from_u128(1), 0, &[]);
        let cache = tiers::Config::default();
        let gateway = Gateway {
            deployments: Arc::new(deployments),
            auth: Auth,
            limits: Limits,
            cache: ResponseCache::start(cache, clock.clone(), purges, &tasks),
            origin: Origin::Integration(integrations),
            telemetry: Telemetry {
                unrouted: metrics.stage(&ApiId::new("-"), &StageName::new("-")),
                metrics,
                access_logs,
            },
            clock,
            tasks: tasks.clone(),
        };
        let connection = Connection {
            door: Door::Region,
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            local: SocketAddr::from(([127, 0, 0, 1], 2)),
            tls_version: "TLSv1.3",
            cipher_suite: "TLS_AES_128_GCM_SHA256",
            sni: None,
        };
        let clients = Clients { gateway: Arc::new(gateway) };
        Self { clients, connection: Arc::new(connection), _tasks: tasks, _folder: folder }
    }

    /// Asks for a path and reads the answer to its end.
    pub(crate) async fn ask(&self, path: &str) -> Bytes {
        let response = match self.clients.handle(Arc::clone(&self.connection), request(path)) {
            Answer::Now(response) => response,
            Answer::Later(response) => response.await,
        };
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap().to_bytes()
    }

    /// Sends a small JSON document and reads the answer to its end.
    pub(crate) async fn tell(&self, path: &str) -> Bytes {
        const BODY: &[u8] = br#"{"id":4711,"name":"Rex","kind":"dog","tags":["a","b","c"]}"#;
        let request = Request::post(path)
            .header("host", HOST)
            .header("user-agent", "bench/1")
            .header("content-type", "application/json")
            .header("x-tenant", "t1")
            .body(Body::Full(Bytes::from_static(BODY)))
            .unwrap();
        let response = match self.clients.handle(Arc::clone(&self.connection), request) {
            Answer::Now(response) => response,
            Answer::Later(response) => response.await,
        };
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap().to_bytes()
    }

    pub(crate) fn call(&self, path: &str) -> Call {
        Call {
            id: Uuid::from_u128(1),
            extended_id: ExtendedId(*b"AAAAAAAAAAAAAAA="),
            received_at: self.clients.gateway.clock.now(),
            connection: Arc::clone(&self.connection),
            head: request(path).into_parts().0,
        }
    }
}

/// With the headers a command-line client sends.
fn request(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", HOST).header("user-agent", "bench/1");
    request.header("accept", "*/*").body(Body::Empty).unwrap()
}

fn deployment(backend: SocketAddr, routes: usize) -> StageDeployment {
    let proxy = |path: &str| Integration {
        kind: IntegrationKind::HttpProxy,
        uri: format!("http://{backend}/{path}/{{proxy}}"),
        request_parameters: IndexMap::from([(
            "integration.request.path.proxy".to_owned(),
            "method.request.path.proxy".to_owned(),
        )]),
        cache_key_parameters: vec!["method.request.path.proxy".to_owned()],
        ..constant()
    };
    let mut resources = vec![
        resource("/c/{proxy+}", "GET", proxy("c")),
        resource("/p/{proxy+}", "ANY", proxy("p")),
    ];
    resources.push(validated(proxy("p")));
    resources.extend((0..routes).map(|n| resource(&format!("/r/{n}/{{id}}"), "GET", constant())));
    StageDeployment {
        deployment_id: DeploymentId::new("d1"),
        api: RestApi {
            id: ApiId::new("a1b2c3d4e5"),
            name: "bench".into(),
            endpoint_type: EndpointType::Regional,
            binary_media_types: Vec::new(),
            minimum_compression_size: None,
            resources,
            models: IndexMap::from([("Pet".to_owned(), PET.to_owned())]),
            ..RestApi::default()
        },
        stage: Stage {
            name: StageName::new("prod"),
            variables: IndexMap::new(),
            cache_enabled: true,
            defaults: MethodSettings { cache_ttl_seconds: 3_600, ..MethodSettings::default() },
            methods: IndexMap::new(),
            access_log: Some(AccessLogSettings {
                format: "CLF".into(),
                destination: "access.log".into(),
            }),
            cache_headers: true,
            ..Stage::default()
        },
        domains: vec![BasePathMapping {
            domain_name: HOST.into(),
            base_path: String::new(),
            certificate: None,
            stage_in_path: false,
        }],
        ..StageDeployment::default()
    }
}

/// The model of what `World::tell` sends.
const PET: &str = r#"{"type":"object","required":["id","name"],"properties":{
    "id":{"type":"integer","minimum":1},"name":{"type":"string","maxLength":100},
    "kind":{"enum":["dog","cat"]},"tags":{"type":"array","items":{"type":"string"}}}}"#;

/// `/v/{proxy+}`: as `/p/{proxy+}`, with a required parameter, a model and two mapped headers.
fn validated(mut integration: Integration) -> Resource {
    for (name, source) in [("x-a", "method.request.header.x-tenant"), ("x-b", "context.stage")] {
        let target = format!("integration.request.header.{name}");
        integration.request_parameters.insert(target, source.to_owned());
    }
    let mut resource = resource("/v/{proxy+}", "ANY", integration);
    for method in &mut resource.methods {
        let required = "method.request.header.x-tenant".to_owned();
        method.request_parameters = IndexMap::from([(required, true)]);
        let models = IndexMap::from([("application/json".to_owned(), "Pet".to_owned())]);
        method.validation = Some(Validation { parameters: true, body: Some(models) });
    }
    resource
}

fn resource(path: &str, verb: &str, integration: Integration) -> Resource {
    let method = Method { http_method: verb.into(), integration, ..Method::default() };
    Resource { id: ResourceId::new(path), path: path.into(), methods: vec![method] }
}

fn constant() -> Integration {
    Integration {
        kind: IntegrationKind::Mock,
        http_method: None,
        uri: String::new(),
        request_parameters: IndexMap::new(),
        cache_namespace: None,
        cache_key_parameters: Vec::new(),
        timeout_ms: 29_000,
        insecure_skip_verification: false,
        responses: Vec::new(),
        ..Integration::default()
    }
}

/// Answers everything with 1 KiB, on the bench's own runtime.
#[allow(clippy::disallowed_methods, reason = "it ends with the runtime of the bench")]
fn backend(runtime: &Runtime) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let body = Bytes::from(vec![b'x'; 1024]);
    drop(runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            let service = service_fn(move |_| {
                let body = Full::new(body.clone());
                async { Ok::<_, Infallible>(Response::new(body)) }
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            drop(tokio::spawn(served));
        }
    }));
    address
}
