//! `tidegate import`: SAM and CloudFormation templates, CDK's among them, made by a region that runs,
//! served by its edges, made again without a change, changed, and taken away.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::functions::python_client;
use crate::process::{Ended, Running, port_base, program, run, shell};

/// A region and two edges, and its folder.
struct Up {
    running: Running,
    folder: TempDir,
    base: u16,
}

impl Up {
    fn start(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more)
    }

    fn start_in(folder: TempDir, more: &[&str]) -> Self {
        let base = port_base();
        let port = base.to_string();
        let mut arguments = vec!["up", "--data", "data", "--port-base", &port];
        arguments.extend(more);
        let mut running = Running::start(folder.path(), &arguments);
        running.until("the ready lines", |up| {
            up.out().matches(": ready").count() == 3 && up.out().matches("  curl ").count() >= 2
        });
        Self { running, folder, base }
    }

    fn import(&self, template: &str, more: &[&str], key: Option<(&str, &str)>) -> Ended {
        let admin = format!("http://127.0.0.1:{}", self.base);
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).args(["import", template, "--admin", &admin]);
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
        ] {
            command.env_remove(name);
        }
        if let Some((id, secret)) = key {
            command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        }
        command.args(more).output().unwrap().into()
    }

    /// An import of this text under this name that makes everything.
    #[track_caller]
    fn good(&self, name: &str, text: &str) -> String {
        fs::write(self.folder.path().join(name), text).unwrap();
        let ended = self.import(name, &[], None);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    }

    fn get(&self, target: &str) -> Value {
        let line = format!("curl -sS 'http://127.0.0.1:{}{target}'", self.base);
        serde_json::from_str(&shell(self.folder.path(), &line).out).unwrap()
    }

    /// Waits until an edge answers so: a change reaches it a moment after the region's answer.
    #[track_caller]
    fn serves(&mut self, api: &str, path: &str, wanted: &str) {
        let port = self.base + 10;
        let line = format!(
            "curl -sS --cacert data/ca/public-ca.pem \
             https://{api}.execute-api.us-east-1.gateway.localhost:{port}{path}"
        );
        let folder = self.folder.path().to_owned();
        self.running.until(wanted, |_| shell(&folder, &line).out == wanted);
    }
}

/// What `Ref` answers for a resource, by its line in the report.
#[track_caller]
fn id(out: &str, logical: &str) -> String {
    let line = out.lines().find(|line| line.split_whitespace().nth(1) == Some(logical));
    let line = line.unwrap_or_else(|| panic!("no {logical} in {out}"));
    line.rsplit(' ').next().unwrap().to_owned()
}

#[track_caller]
fn says(out: &str, done: &str, logical: &str) {
    let found =
        out.lines().any(|line| line.starts_with(done) && line.contains(&format!(" {logical} (")));
    assert!(found, "{done} {logical}: {out}");
}

/// Every resource is as it was.
#[track_caller]
fn unchanged(out: &str) {
    for word in ["created", "updated", "replaced", "deleted", "FAILED", "NOT BUILT"] {
        assert!(!out.lines().any(|line| line.starts_with(word)), "{out}");
    }
    assert!(out.contains("unchanged"), "{out}");
}

#[test]
fn the_shipped_sam_template_is_made_served_and_changed() {
    let mut up = Up::start(&["--open-admin"]);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/sam-petstore.yaml");
    let shipped = shipped.to_str().unwrap();
    let looked = up.import(shipped, &["--dry-run", "--stack-name", "pets"], None);
    assert_eq!(looked.code, Some(0), "{looked:?}");
    assert_eq!(up.get("/restapis")["item"].as_array().unwrap().len(), 1, "only the pet store's");

    let first = up.import(shipped, &["--stack-name", "pets"], None);
    assert_eq!(first.code, Some(0), "{first:?}");
    let api = id(&first.out, "Pets");
    says(&first.out, "skipped", "PetTable");
    assert!(first.out.contains("TableArn = arn:aws:dynamodb:us-east-1:"), "{}", first.out);
    up.serves(&api, "/prod/greeting", r#"{"said": "hello from a template"}"#);

    let second = up.import(shipped, &["--stack-name", "pets"], None);
    assert_eq!((second.code, id(&second.out, "Pets")), (Some(0), api.clone()));
    unchanged(&second.out);

    let more = ["--stack-name", "pets", "--parameter", "Greeting=good evening"];
    let third = up.import(shipped, &more, None);
    assert_eq!((third.code, id(&third.out, "Pets")), (Some(0), api.clone()), "{third:?}");
    says(&third.out, "updated", "Pets");
    says(&third.out, "updated", "PetsprodStage");
    up.serves(&api, "/prod/greeting", r#"{"said": "good evening"}"#);
    let deployments = up.get(&format!("/restapis/{api}/deployments"));
    assert_eq!(deployments["item"].as_array().unwrap().len(), 1, "the old one is gone");
}

/// An implicit API in front of a function, and an explicit one.
const FUNCTIONS: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: { Type: String, Default: hello }
Globals:
  Function: { Runtime: python3.12, Timeout: 25 }
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code
      Handler: app.handler
      Environment: { Variables: { GREETING: !Ref Greeting } }
      Events:
        Get: { Type: Api, Properties: { Path: "/hello/{name}", Method: get } }
  Own:
    Type: AWS::Serverless::Api
    Properties:
      StageName: dev
      DefinitionUri: own.json
"#;
const GREETER: &str = r#"
import os

def handler(event, context):
    return {"statusCode": 200, "body": os.environ["GREETING"] + " " + event["pathParameters"]["name"]}
"#;
/// A region that runs the template's functions, and as many nodes as without a topology.
const RUNS_FUNCTIONS: &str = r#"
[cluster]
name = "sam"
[region]
name = "region"
[[edge]]
name = "edge-a"
[[edge]]
name = "edge-b"
[[api]]
document = "bundled:petstore"
name = "petstore"
[[function]]
template = "sam.yaml"
"#;

#[test]
fn a_sam_application_is_served_whole() {
    let folder = tempfile::tempdir().unwrap();
    let own = json!({"openapi": "3.0.1", "info": {"title": "own", "version": "1"}, "paths": {"/a": {
        "get": {"responses": {"200": {"description": "own"}}, "x-amazon-apigateway-integration": {"type": "mock",
            "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
            "responses": {"default": {"statusCode": "200",
                "responseTemplates": {"application/json": "own"}}}}}}}});
    let client = python_client();
    let runtimes =
        client.as_ref().map(|client| format!("[runtimes]\npython_client = {client:?}\n"));
    let topology = format!("{RUNS_FUNCTIONS}{}", runtimes.unwrap_or_default());
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    file("own.json", &own.to_string());
    file("sam.yaml", FUNCTIONS);
    file("t.toml", &topology);
    fs::create_dir(folder.path().join("code")).unwrap();
    file("code/app.py", GREETER);
    let mut up = Up::start_in(folder, &["--topology", "t.toml", "--open-admin"]);

    let ended = up.import("sam.yaml", &[], None);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    says(&ended.out, "skipped", "Hello");
    let api = id(&ended.out, "ServerlessRestApi");
    let resources = up.get(&format!("/restapis/{api}/resources?embed=methods"));
    let all = resources["item"].as_array().unwrap();
    let hello = all.iter().find(|one| one["path"] == "/hello/{name}").unwrap();
    let uri = hello["resourceMethods"]["GET"]["methodIntegration"]["uri"].as_str().unwrap();
    assert!(uri.ends_with(":function:sam-Hello/invocations"), "{uri}");
    up.serves(&id(&ended.out, "Own"), "/dev/a", "own");
    if client.is_some() {
        up.serves(&api, "/Prod/hello/world", "hello world");
    }
}

/// The mistake is told with its place before anything starts.
#[test]
fn a_template_whose_functions_cannot_run_keeps_the_region_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let template = FUNCTIONS.replace("python3.12", "java21");
    fs::write(folder.path().join("sam.yaml"), template).unwrap();
    fs::write(folder.path().join("own.json"), r#"{"openapi": "3.0.1", "paths": {}}"#).unwrap();
    fs::write(folder.path().join("t.toml"), RUNS_FUNCTIONS).unwrap();
    let base = port_base().to_string();
    let up = ["up", "--topology", "t.toml", "--data", "data", "--port-base", &base];
    for arguments in [&["check", "t.toml"][..], &up[..]] {
        let ended = run(folder.path(), arguments);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains("sam.yaml:"), "{said}");
        assert!(said.contains("Resources.Hello.Properties.Runtime"), "{said}");
        assert!(said.contains("`java21` is not known here"), "{said}");
    }
}

fn cloudformation(answer: &str, deployment: &str, more: &str) -> String {
    format!(
        r#"
Resources:
  Api: {{ Type: AWS::ApiGateway::RestApi, Properties: {{ Name: plain }} }}
  Pets:
    Type: AWS::ApiGateway::Resource
    Properties: {{ RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId, PathPart: pets }}
  GetPets:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Api
      ResourceId: !Ref Pets
      HttpMethod: GET
      AuthorizationType: NONE
      MethodResponses: [{{ StatusCode: 200 }}]
      Integration:
        Type: MOCK
        RequestTemplates: {{ application/json: '{{"statusCode": 200}}' }}
        IntegrationResponses:
          - {{ StatusCode: 200, ResponseTemplates: {{ application/json: "{answer}" }} }}
  {deployment}:
    Type: AWS::ApiGateway::Deployment
    DependsOn: GetPets
    Properties: {{ RestApiId: !Ref Api }}
  Live:
    Type: AWS::ApiGateway::Stage
    Properties: {{ RestApiId: !Ref Api, DeploymentId: !Ref {deployment}, StageName: live }}
{more}"#
    )
}

const PLAN: &str = r#"
  Plan:
    Type: AWS::ApiGateway::UsagePlan
    Properties: { UsagePlanName: p, ApiStages: [{ ApiId: !Ref Api, Stage: !Ref Live }] }
  Key: { Type: AWS::ApiGateway::ApiKey, Properties: { Name: k, Enabled: true } }
  PlanKey:
    Type: AWS::ApiGateway::UsagePlanKey
    Properties: { KeyId: !Ref Key, KeyType: API_KEY, UsagePlanId: !Ref Plan }
"#;

#[test]
fn a_cloudformation_template_is_made_changed_and_taken_away() {
    let mut up = Up::start(&["--open-admin"]);
    let text = cloudformation("one", "DeploymentA", PLAN);
    let first = up.good("plain.yaml", &text);
    let api = id(&first, "Api");
    up.serves(&api, "/live/pets", "one");
    let second = up.good("plain.yaml", &text);
    unchanged(&second);
    for logical in ["Api", "Pets", "DeploymentA", "Plan", "Key"] {
        assert_eq!(id(&second, logical), id(&first, logical), "{logical}");
    }
    let third = up.good("plain.yaml", &cloudformation("two", "DeploymentB", PLAN));
    for (done, logical) in [
        ("updated", "GetPets"),
        ("updated", "Live"),
        ("created", "DeploymentB"),
        ("deleted", "DeploymentA"),
    ] {
        says(&third, done, logical);
    }
    up.serves(&api, "/live/pets", "two");
    let fourth = up.good("plain.yaml", &cloudformation("two", "DeploymentB", ""));
    for logical in ["Plan", "Key", "PlanKey"] {
        says(&fourth, "deleted", logical);
    }
    assert_eq!(up.get("/usageplans")["item"].as_array().map_or(0, Vec::len), 0);
    up.serves(&api, "/live/pets", "two");

    // What is wrong is said with its place, and nothing is changed.
    let broken = cloudformation("three", "DeploymentB", "")
        .replace("PathPart: pets", "PathPart: !Ref Nobody");
    fs::write(up.folder.path().join("plain.yaml"), broken).unwrap();
    let ended = up.import("plain.yaml", &[], None);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("plain.yaml:6:"), "{ended:?}");
    assert!(ended.err.contains("Resources.Pets.Properties.PathPart"), "{ended:?}");
    assert!(ended.err.contains("no parameter or resource `Nobody`"), "{ended:?}");
    // What the region refuses is named, and the run ends there.
    let refused = cloudformation(
        "two",
        "DeploymentB",
        "  Bad:\n    Type: AWS::ApiGateway::Resource\n    \
        Properties: { RestApiId: !Ref Api, ParentId: nobody, PathPart: x }\n",
    );
    fs::write(up.folder.path().join("plain.yaml"), refused).unwrap();
    let ended = up.import("plain.yaml", &[], None);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    says(&ended.out, "FAILED", "Bad");
    up.serves(&api, "/live/pets", "two");
}

/// As the CDK synthesizes it: every text a `Fn::Join`, hashes in logical ids, metadata everywhere.
#[test]
fn a_template_of_the_cdk_is_made_with_a_signature_only() {
    let mut up = Up::start(&[]);
    let join = |parts: Value| json!({"Fn::Join": ["", parts]});
    let api = json!({"Ref": "petsapi1A2B3C4D"});
    let template = json!({
        "Resources": {
            "petsapi1A2B3C4D": {"Type": "AWS::ApiGateway::RestApi", "Metadata": {"aws:cdk:path": "S/a"},
                "Properties": {"Name": join(json!(["pets-", {"Ref": "AWS::Region"}]))}},
            "petsapiDeployment99": {"Type": "AWS::ApiGateway::Deployment",
                "DependsOn": ["petsapipetsGET77"],
                "Properties": {"RestApiId": api, "Description": "by the CDK"}},
            "petsapiDeploymentStageprod55": {"Type": "AWS::ApiGateway::Stage", "Properties": {
                "RestApiId": api, "DeploymentId": {"Ref": "petsapiDeployment99"}, "StageName": "prod"}},
            "petsapipets66": {"Type": "AWS::ApiGateway::Resource", "Properties": {"RestApiId": api,
                "ParentId": {"Fn::GetAtt": ["petsapi1A2B3C4D", "RootResourceId"]}, "PathPart": "pets"}},
            "petsapipetsGET77": {"Type": "AWS::ApiGateway::Method", "Properties": {
                "RestApiId": api, "ResourceId": {"Ref": "petsapipets66"}, "HttpMethod": "GET",
                "AuthorizationType": "NONE", "MethodResponses": [{"StatusCode": "200"}],
                "Integration": {"Type": "MOCK",
                    "RequestTemplates": {"application/json": "{ \"statusCode\": 200 }"},
                    "IntegrationResponses": [{"StatusCode": "200", "ResponseTemplates":
                        {"application/json": join(json!(["in ", {"Ref": "AWS::Region"}]))}}]}}},
            "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "x"}}
        },
        "Outputs": {"Endpoint": {"Value": join(json!(["https://", api, ".execute-api.",
            {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}, "/",
            {"Ref": "petsapiDeploymentStageprod55"}, "/"]))}},
        "Parameters": {"BootstrapVersion": {"Type": "String", "Default": "1"}},
        "Rules": {"CheckBootstrapVersion": {"Assertions": []}}
    });
    fs::write(up.folder.path().join("S.template.json"), template.to_string()).unwrap();
    let unsigned = up.import("S.template.json", &[], None);
    assert_eq!(unsigned.code, Some(1), "{unsigned:?}");
    assert!(unsigned.err.contains("AWS_ACCESS_KEY_ID"), "{unsigned:?}");

    let out = up.running.out();
    let said = |name: &str| {
        out.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().to_owned()
    };
    let (key, secret) = (said("export AWS_ACCESS_KEY_ID="), said("export AWS_SECRET_ACCESS_KEY="));
    let wrong = up.import("S.template.json", &[], Some((&key, "not the secret")));
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let first = up.import("S.template.json", &[], Some((&key, &secret)));
    assert_eq!(first.code, Some(0), "{first:?}");
    let id = id(&first.out, "petsapi1A2B3C4D");
    assert!(first.out.contains(&format!("Endpoint = https://{id}.execute-api.us-east-1.")));
    says(&first.out, "skipped", "CDKMetadata");
    up.serves(&id, "/prod/pets", "in us-east-1");
    let second = up.import("S.template.json", &[], Some((&key, &secret)));
    assert_eq!(second.code, Some(0), "{second:?}");
    unchanged(&second.out);
}
