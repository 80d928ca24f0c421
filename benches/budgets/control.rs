//! What a change of the control plane costs the region: a state of many deployed APIs, and the step
//! from one state to the next.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tidegate::deployment::Deployments;
use tidegate::deployment::compile::Compiler;
use tidegate::deployment::definition::{Limits, stage_deployment};
use tidegate::deployment::snapshot::Site;
use tidegate::model::stage::StageDeployment;
use tidegate::net::tasks::Tasks;
use tidegate::node::config::{Doors, TimeoutsConfig};
use tidegate::node::publisher::{self, Known};
use tidegate::store::control::{Kind, ObjectKey, State};
use tidegate::telemetry::access_log::{self, AccessLogs};
use tidegate::telemetry::metrics::Metrics;
use tokio::runtime::Runtime;

const DOORS: Doors = Doors { edges: true, public: true, private: false };

/// A region that publishes what its state says.
pub(crate) struct Region {
    state: State,
    known: Known,
    deployments: Deployments,
    _tasks: Tasks,
    _folder: TempDir,
}

impl Region {
    /// One stage for each of `apis`, of `resources` methods each, in force.
    pub(crate) fn new(runtime: &Runtime, apis: usize, resources: usize) -> Self {
        let _entered = runtime.enter();
        let tasks = Tasks::new(runtime.handle().clone());
        let folder = tempfile::tempdir().unwrap();
        let logs = access_log::Config { folder: folder.path().to_owned() };
        let compiler = Compiler {
            site: Arc::new(Site::default()),
            metrics: Arc::new(Metrics::new()),
            access_logs: AccessLogs::start(logs, &tasks),
        };
        let mut objects = Vec::new();
        for n in 0..apis {
            let api = format!("api{n:07}");
            let frozen = definition(&api, resources).to_string();
            let kept = object(json!({"definition": frozen}));
            let key = ObjectKey::new(Kind::DeploymentDefinition, &api, "d1");
            objects.push((key, Some(Arc::new(kept))));
            let key = ObjectKey::new(Kind::Stage, &api, "prod");
            objects.push((key, Some(Arc::new(stage()))));
        }
        let mut region = Self {
            state: State::default().with(1, objects),
            known: Known::default(),
            deployments: Deployments::new(compiler, None),
            _tasks: tasks,
            _folder: folder,
        };
        assert_eq!(region.publish(), apis);
        region
    }

    /// Changes one stage and publishes; returns how many were compiled.
    pub(crate) fn change_one(&mut self) -> usize {
        let key = ObjectKey::new(Kind::Stage, "api0000000", "prod");
        let change = [(key, Some(Arc::new(stage())))];
        self.state = self.state.with(self.state.revision + 1, change);
        self.publish()
    }

    fn publish(&mut self) -> usize {
        let timeouts = TimeoutsConfig::default();
        let (state, known) = (&self.state, &mut self.known);
        let epoch = state.revision;
        let done = publisher::publish(&self.deployments, epoch, state, known, DOORS, &timeouts);
        assert!(done.unserved.is_empty(), "{:?}", done.unserved);
        done.compiled.len()
    }
}

/// A definition of `resources` methods, read.
pub(crate) fn read(definition: &Value) -> StageDeployment {
    stage_deployment(definition, &stage(), Vec::new(), &Limits::default()).unwrap()
}

pub(crate) fn definition(api: &str, resources: usize) -> Value {
    let resource = |n: usize| {
        json!({"id": format!("r{n}"), "path": format!("/r/{n}"), "resourceMethods": {"GET": {
            "httpMethod": "GET", "authorizationType": "NONE", "apiKeyRequired": false,
            "methodIntegration": {
                "type": "HTTP", "httpMethod": "GET", "uri": "http://b.test/{id}",
                "requestParameters": {"integration.request.path.id": "context.requestId"},
                "integrationResponses": {"200": {"statusCode": "200", "selectionPattern": ""}},
            },
        }}})
    };
    json!({
        "restApi": {"id": api, "name": api, "endpointConfiguration": {"types": ["EDGE"]}},
        "resources": (0..resources).map(resource).collect::<Vec<Value>>(),
    })
}

fn stage() -> Map<String, Value> {
    object(json!({"stageName": "prod", "deploymentId": "d1", "methodSettings": {}}))
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
