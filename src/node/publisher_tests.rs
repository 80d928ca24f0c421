//! A state becomes what is served, and the next state only what changed of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::deployment::compile::Compiler;
use crate::deployment::snapshot::Site;
use crate::net::tasks::Tasks;
use crate::store::control::{ObjectKey, Txn};
use crate::telemetry::access_log::{AccessLogs, Config as LogConfig};
use crate::telemetry::metrics::Metrics;

const DOORS: Doors = Doors { edges: true, public: true, private: false };

fn object(value: Value) -> Body {
    match value {
        Value::Object(body) => body,
        other => panic!("{other}"),
    }
}

#[derive(Default)]
struct World {
    state: Arc<State>,
    known: Known,
}

impl World {
    fn put(&mut self, kind: Kind, scope: &str, id: &str, body: Value) {
        let mut txn = Txn::new(Arc::clone(&self.state));
        txn.put(kind, scope, id, object(body));
        self.state = Arc::new(self.state.with(self.state.revision + 1, txn.into_changes()));
    }

    fn delete(&mut self, kind: Kind, scope: &str, id: &str) {
        let change = [(ObjectKey::new(kind, scope, id), None)];
        self.state = Arc::new(self.state.with(self.state.revision + 1, change));
    }

    /// An API of one MOCK method, deployed.
    fn deploy(&mut self, api: &str, deployment: &str, endpoint_type: &str) {
        self.freeze(api, deployment, endpoint_type, "NONE");
    }

    fn freeze(&mut self, api: &str, deployment: &str, endpoint_type: &str, authorization: &str) {
        let definition = json!({
            "restApi": {"id": api, "name": api, "endpointConfiguration": {"types": [endpoint_type]}},
            "resources": [{"id": "root", "path": "/", "resourceMethods": {"GET": {
                "authorizationType": authorization,
                "methodIntegration": {
                    "type": "MOCK",
                    "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
                    "integrationResponses": {"200": {"statusCode": "200"}},
                },
            }}}],
        });
        let body = json!({"definition": definition.to_string()});
        self.put(Kind::DeploymentDefinition, api, deployment, body);
    }

    fn stage(&mut self, api: &str, name: &str, deployment: &str) {
        let body = json!({"stageName": name, "deploymentId": deployment});
        self.put(Kind::Stage, api, name, body);
    }

    fn map(&mut self, domain: &str, base_path: &str, api: &str, stage: Option<&str>) {
        let mut body = json!({"basePath": base_path, "restApiId": api});
        if let Some(stage) = stage {
            body["stage"] = json!(stage);
        }
        self.put(Kind::BasePathMapping, domain, base_path, body);
    }

    fn plan(&mut self) -> Plan {
        from_state(&self.state, &mut self.known, DOORS, &TimeoutsConfig::default())
    }

    fn publish(&mut self, deployments: &Deployments) -> Published {
        let (state, known) = (&self.state, &mut self.known);
        let epoch = state.revision;
        super::publish(deployments, epoch, state, known, DOORS, &TimeoutsConfig::default())
    }
}

/// Those that are wanted, `+` where their content is given.
fn names(plan: &Plan) -> Vec<String> {
    let name = |wanted: &Wanted| {
        let sign = if wanted.content.is_some() { "+" } else { "" };
        format!("{sign}{}/{}", wanted.api, wanted.stage)
    };
    plan.wanted.iter().map(name).collect()
}

fn domains_of(plan: &Plan, api: &str, stage: &str) -> Vec<String> {
    let mut wanted = plan.wanted.iter();
    let found = wanted.find(|found| found.api.as_str() == api && found.stage.as_str() == stage);
    let content = found.unwrap().content.as_ref().unwrap();
    content
        .domains
        .iter()
        .map(|mapping| {
            let stage = if mapping.stage_in_path { "{stage}" } else { "" };
            format!("{}/{}{stage}", mapping.domain_name, mapping.base_path)
        })
        .collect()
}

fn deployments() -> Deployments {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = Tasks::new(runtime.handle().clone());
    let compiler = Compiler {
        site: Arc::new(Site::default()),
        metrics: Arc::new(Metrics::new()),
        access_logs: AccessLogs::start(LogConfig { folder: std::env::temp_dir() }, &tasks),
    };
    Deployments::new(compiler, None)
}

#[test]
fn only_what_changed_is_read_again() {
    let mut world = World::default();
    for api in ["a", "b", "c"] {
        world.deploy(api, "d1", "EDGE");
        world.stage(api, "prod", "d1");
    }
    assert_eq!(names(&world.plan()), ["+a/prod", "+b/prod", "+c/prod"]);
    assert_eq!(names(&world.plan()), ["a/prod", "b/prod", "c/prod"]);
    world.deploy("b", "d2", "EDGE");
    assert_eq!(names(&world.plan()), ["a/prod", "b/prod", "c/prod"]);
    world.stage("b", "prod", "d2");
    world.stage("b", "test", "d1");
    world.delete(Kind::Stage, "c", "prod");
    assert_eq!(names(&world.plan()), ["a/prod", "+b/prod", "+b/test"]);
}

#[test]
fn one_change_among_a_thousand_apis_compiles_one_stage() {
    let mut world = World::default();
    for n in 0..1_000 {
        let api = format!("api{n}");
        world.deploy(&api, "d1", "EDGE");
        world.stage(&api, "prod", "d1");
    }
    let deployments = deployments();
    assert_eq!(world.publish(&deployments).compiled.len(), 1_000);
    world.deploy("api7", "d2", "EDGE");
    world.stage("api7", "prod", "d2");
    let done = world.publish(&deployments);
    let compiled: Vec<&str> = done.compiled.iter().map(|part| part.api_id.as_str()).collect();
    assert_eq!(compiled, ["api7"]);
    assert!(done.unserved.is_empty());
    let current = deployments.current();
    assert_eq!(current.epoch, world.state.revision);
    assert_eq!(current.stage("api7", "prod").unwrap().deployment_id.as_str(), "d2");
    assert_eq!(current.stages().count(), 1_000);
}

#[test]
fn a_stage_without_a_door_is_told_once_and_the_others_are_served() {
    let mut world = World::default();
    world.deploy("a", "d1", "PRIVATE");
    world.stage("a", "prod", "d1");
    world.deploy("b", "d1", "REGIONAL");
    world.stage("b", "prod", "d1");
    let plan = world.plan();
    assert_eq!(names(&plan), ["+b/prod"]);
    let [unserved] = plan.unserved.as_slice() else { panic!() };
    assert_eq!(unserved.what, "API a, stage prod");
    assert!(unserved.reason.contains("PRIVATE"), "{}", unserved.reason);
    assert!(unserved.reason.contains("`private` listener"), "{}", unserved.reason);
    assert!(world.plan().unserved.is_empty());
    // Another change of the stage, the same reason.
    world.stage("a", "prod", "d1");
    assert!(world.plan().unserved.is_empty());
    world.deploy("a", "d2", "REGIONAL");
    world.stage("a", "prod", "d2");
    assert_eq!(names(&world.plan()), ["+a/prod", "b/prod"]);
    world.stage("a", "prod", "d1");
    assert_eq!(world.plan().unserved.len(), 1);
}

#[test]
fn what_cannot_be_served_is_told_with_its_places() {
    let mut world = World::default();
    world.freeze("a", "d1", "EDGE", "AWS_IAM");
    world.stage("a", "prod", "d1");
    world.stage("a", "test", "gone");
    world.put(Kind::DeploymentDefinition, "b", "d1", json!({"definition": "{"}));
    world.stage("b", "prod", "d1");
    let plan = world.plan();
    assert!(plan.wanted.is_empty());
    let reasons: Vec<&str> = plan.unserved.iter().map(|found| found.reason.as_str()).collect();
    assert_eq!(reasons[0], "/ GET authorizationType: authorization by AWS_IAM is not built yet");
    assert_eq!(reasons[1], "there is no deployment `gone`");
    assert!(reasons[2].starts_with("deployment `d1` cannot be read"), "{}", reasons[2]);
}

#[test]
fn domains_belong_to_the_stages_they_are_mapped_to() {
    let mut world = World::default();
    for api in ["a", "b"] {
        world.deploy(api, "d1", "EDGE");
        world.stage(api, "prod", "d1");
    }
    world.put(Kind::DomainName, "", "Shop.example.com", json!({"domainName": "x"}));
    world.map("Shop.example.com", "(none)", "a", Some("prod"));
    world.map("Shop.example.com", "v1", "b", Some("prod"));
    let plan = world.plan();
    assert_eq!(domains_of(&plan, "a", "prod"), ["shop.example.com/"]);
    assert_eq!(domains_of(&plan, "b", "prod"), ["shop.example.com/v1"]);
    world.delete(Kind::BasePathMapping, "Shop.example.com", "v1");
    assert_eq!(names(&world.plan()), ["a/prod", "+b/prod"]);
}

/// AWS: "BasePathMapping", `stage`: without one the caller names it in the path.
#[test]
fn a_mapping_without_a_stage_is_one_for_each_stage() {
    let mut world = World::default();
    for api in ["a", "b"] {
        world.deploy(api, "d1", "EDGE");
        world.stage(api, "prod", "d1");
        world.stage(api, "test", "d1");
    }
    world.put(Kind::DomainName, "", "s.test", json!({}));
    world.map("s.test", "(none)", "a", None);
    world.map("s.test", "v1", "a", Some("(none)"));
    world.map("s.test", "test", "b", Some("prod"));
    let plan = world.plan();
    assert_eq!(domains_of(&plan, "a", "prod"), ["s.test/{stage}", "s.test/v1{stage}"]);
    assert_eq!(domains_of(&plan, "a", "test"), ["s.test/{stage}", "s.test/v1{stage}"]);
    assert_eq!(domains_of(&plan, "b", "prod"), ["s.test/test"]);
}

/// A domain that asks more of its callers than is checked must not answer at all.
#[test]
fn a_domain_that_asks_for_what_is_not_built_is_left_out() {
    for (body, says) in [
        (json!({"mutualTlsAuthentication": {"truststoreUri": "s3://x/y"}}), "mutual TLS"),
        (json!({"policy": "{}"}), "policy"),
        (json!({"endpointConfiguration": {"types": ["PRIVATE"]}}), "private"),
    ] {
        let mut world = World::default();
        world.deploy("a", "d1", "EDGE");
        world.stage("a", "prod", "d1");
        world.put(Kind::DomainName, "", "s.test", body);
        world.map("s.test", "(none)", "a", Some("prod"));
        let plan = world.plan();
        assert!(domains_of(&plan, "a", "prod").is_empty());
        assert_eq!(plan.unserved[0].what, "domain name s.test");
        assert!(plan.unserved[0].reason.contains(says), "{}", plan.unserved[0].reason);
    }
}

fn rules_of(plan: &Plan, api: &str) -> Vec<RoutingRule> {
    let found = plan.wanted.iter().find(|found| found.api.as_str() == api).unwrap();
    found.content.as_ref().unwrap().routing_rules.clone()
}

/// rest-data-plane 1.3: three modes.
#[test]
fn routing_rules_belong_to_the_stages_they_lead_to() {
    for (mode, rules, mappings) in [
        (None, 0, 1),
        (Some("BASE_PATH_MAPPING_ONLY"), 0, 1),
        (Some("ROUTING_RULE_THEN_BASE_PATH_MAPPING"), 1, 1),
        (Some("ROUTING_RULE_ONLY"), 1, 0),
    ] {
        let mut world = World::default();
        for api in ["a", "b"] {
            world.deploy(api, "d1", "EDGE");
            world.stage(api, "prod", "d1");
        }
        world.put(Kind::DomainName, "", "S.test", json!({"routingMode": mode}));
        world.map("S.test", "(none)", "a", Some("prod"));
        let rule = json!({
            "routingRuleId": "r1", "priority": 7,
            "conditions": [
                {"matchHeaders": {"anyOf": [{"header": "X-V", "valueGlob": "beta*"}]}},
                {"matchBasePaths": {"anyOf": ["orders"]}},
            ],
            "actions": [{"invokeApi": {"apiId": "b", "stage": "prod", "stripBasePath": true}}],
        });
        world.put(Kind::RoutingRule, "S.test", "r1", rule);
        let plan = world.plan();
        assert!(plan.unserved.is_empty(), "{mode:?}");
        assert_eq!(domains_of(&plan, "a", "prod").len(), mappings, "{mode:?}");
        assert!(rules_of(&plan, "a").is_empty());
        let found = rules_of(&plan, "b");
        assert_eq!(found.len(), rules, "{mode:?}");
        for rule in found {
            let header = HeaderCondition { header: "X-V".into(), value_glob: "beta*".into() };
            let wanted = RoutingRule {
                domain_name: "s.test".into(),
                id: "r1".into(),
                priority: 7,
                conditions: vec![
                    RuleCondition::Headers(vec![header]),
                    RuleCondition::BasePaths(vec!["orders".into()]),
                ],
                strips_base_path: true,
                is_rules_only: mode == Some("ROUTING_RULE_ONLY"),
                certificate: None,
            };
            assert_eq!(rule, wanted);
        }
        // A rule that is taken away changes the stage it led to, and no other.
        world.delete(Kind::RoutingRule, "S.test", "r1");
        let changed = if rules > 0 { "+b/prod" } else { "b/prod" };
        assert_eq!(names(&world.plan()), ["a/prod", changed]);
    }
}

#[test]
fn a_domain_with_a_rule_that_is_none_is_left_out() {
    let mut world = World::default();
    world.deploy("a", "d1", "EDGE");
    world.stage("a", "prod", "d1");
    let mode = json!({"routingMode": "ROUTING_RULE_THEN_BASE_PATH_MAPPING"});
    world.put(Kind::DomainName, "", "s.test", mode);
    world.map("s.test", "(none)", "a", Some("prod"));
    assert_eq!(domains_of(&world.plan(), "a", "prod"), ["s.test/"]);
    world.put(Kind::RoutingRule, "s.test", "r1", json!({}));
    let plan = world.plan();
    assert!(domains_of(&plan, "a", "prod").is_empty());
    assert_eq!(plan.unserved[0].reason, "its routing rule r1 is none");
}

/// Another publisher, such as one of documents, may have put other stages in force in between.
#[test]
fn a_publication_by_somebody_else_is_got_over() {
    let mut world = World::default();
    world.deploy("a", "d1", "EDGE");
    world.stage("a", "prod", "d1");
    let deployments = deployments();
    world.publish(&deployments);
    deployments.publish(7, &[]).unwrap();
    let done = world.publish(&deployments);
    assert_eq!(done.compiled.len(), 1);
    assert!(deployments.current().stage("a", "prod").is_some());
}

impl World {
    /// An API behind a VPC link, deployed.
    fn deploy_linked(&mut self, api: &str, link: &str) {
        let definition = json!({
            "restApi": {"id": api, "name": api, "endpointConfiguration": {"types": ["EDGE"]}},
            "resources": [{"id": "root", "path": "/", "resourceMethods": {"GET": {
                "methodIntegration": {
                    "type": "HTTP_PROXY", "httpMethod": "GET", "uri": "http://b.test/",
                    "connectionType": "VPC_LINK", "connectionId": link,
                },
            }}}],
        });
        let body = json!({"definition": definition.to_string()});
        self.put(Kind::DeploymentDefinition, api, "d1", body);
        self.stage(api, "prod", "d1");
    }

    fn link(&mut self, id: &str, target: &str) {
        self.put(Kind::VpcLink, "", id, json!({"id": id, "targetArns": [target]}));
    }
}

fn content<'p>(plan: &'p Plan, api: &str) -> &'p StageDeployment {
    let found = plan.wanted.iter().find(|wanted| wanted.api.as_str() == api).unwrap();
    found.content.as_ref().expect("it is given")
}

/// A link is made, or deleted and made anew, without a deployment.
#[test]
fn a_link_that_changes_publishes_the_stages_that_may_use_it() {
    let mut world = World::default();
    world.deploy("a", "d1", "EDGE");
    world.stage("a", "prod", "d1");
    world.deploy_linked("b", "link01");
    world.deploy_linked("c", "${stageVariables.link}");
    let plan = world.plan();
    assert_eq!(names(&plan), ["+a/prod", "+b/prod", "+c/prod"]);
    assert!(content(&plan, "b").vpc_links.is_empty());
    world.link("link01", "arn:one");
    world.put(Kind::VpcLinkV2, "", "link02", json!({"vpcLinkId": "link02"}));
    let plan = world.plan();
    assert_eq!(names(&plan), ["a/prod", "+b/prod", "+c/prod"]);
    let links = &content(&plan, "b").vpc_links;
    assert_eq!((links.len(), &links["link01"]), (1, &vec!["arn:one".to_owned()]));
    // Which of them the variable names is for the stage to say.
    let links = &content(&plan, "c").vpc_links;
    assert_eq!((links.len(), links["link02"].len()), (2, 0));
    assert_eq!(names(&world.plan()), ["a/prod", "b/prod", "c/prod"]);
    world.delete(Kind::VpcLink, "", "link01");
    assert_eq!(names(&world.plan()), ["a/prod", "+b/prod", "+c/prod"]);
}

#[test]
fn a_stage_gets_its_certificate_and_a_new_one_at_once() {
    let mut world = World::default();
    world.deploy("a", "d1", "EDGE");
    let name = |world: &mut World, id: &str| {
        let body = json!({"stageName": "prod", "deploymentId": "d1", "clientCertificateId": id});
        world.put(Kind::Stage, "a", "prod", body);
    };
    let certificate = |text: &str| json!({"pemEncodedCertificate": text, "tidegatePrivateKey": format!("key of {text}")});
    name(&mut world, "cert01");
    let plan = world.plan();
    assert!(plan.wanted.is_empty(), "without its certificate it would go as nobody");
    assert_eq!(plan.unserved[0].reason, "there is no client certificate `cert01`");
    world.put(Kind::ClientCertificate, "", "cert01", certificate("one"));
    let shown = |plan: &Plan| content(plan, "a").stage.client_certificate.clone().unwrap();
    let plan = world.plan();
    assert_eq!((shown(&plan).chain.as_str(), shown(&plan).key.as_str()), ("one", "key of one"));
    assert_eq!(names(&world.plan()), ["a/prod"]);
    world.put(Kind::ClientCertificate, "", "cert02", certificate("two"));
    assert_eq!(names(&world.plan()), ["a/prod"]);
    name(&mut world, "cert02");
    assert_eq!(shown(&world.plan()).chain, "two");
    // Edges get neither.
    world.known = Known::default();
    let part = crate::deployment::part::Part::of(content(&world.plan(), "a"));
    let part = String::from_utf8(part.unwrap().bytes).unwrap();
    assert!(!part.contains("two"), "{part}");
}
