//! Templates applied to a control plane in memory, again and again.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use serde_json::{Value as Json, json};

use super::settings;
use crate::admin::operations::{ControlPlane, Effects, Gatekeeper, MemoryKeeper, Wanted};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Effect, Site, TestInvokeAuthorizer, TestInvokeMethod};
use crate::admin::template::apply::{Answer, ApplyError, Done, Door, Report, apply};
use crate::admin::template::document::read;
use crate::net::clock::Clock;
use crate::store::control::Body;

struct Open;

#[async_trait]
impl Gatekeeper for Open {
    async fn admit(&self, _: &Parts, _: &Bytes, _: Wanted<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    fn verifies(&self) -> bool {
        false
    }
}

struct Nothing;

#[async_trait]
impl Effects for Nothing {
    async fn run(&self, _: Vec<Effect>, _: u64) -> Result<(), ApiError> {
        Ok(())
    }

    async fn test_invoke_method(&self, _: TestInvokeMethod) -> Result<Body, ApiError> {
        Ok(Body::new())
    }

    async fn test_invoke_authorizer(&self, _: TestInvokeAuthorizer) -> Result<Body, ApiError> {
        Ok(Body::new())
    }
}

/// A region in memory that writes down what it is asked to change.
struct Plane {
    control: ControlPlane,
    changes: Mutex<Vec<String>>,
}

impl Plane {
    fn new() -> Self {
        let site = Site {
            partition: "aws".to_owned(),
            aws_region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
            domain: "gateway.localhost".to_owned(),
            port: String::new(),
            installation: Default::default(),
        };
        let keeper = Arc::new(MemoryKeeper::default());
        let control =
            ControlPlane::new(site, Clock::manual(0), keeper, Arc::new(Open), Arc::new(Nothing));
        Self { control, changes: Mutex::default() }
    }

    async fn try_run(&self, text: &str, only_look: bool) -> Result<Report, ApplyError> {
        self.changes.lock().unwrap().clear();
        let template = read("t.yaml", Path::new("."), text.as_bytes()).unwrap();
        apply(&template, &settings(), self, only_look).await
    }

    async fn run(&self, text: &str) -> Report {
        self.try_run(text, false).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Everything is made as it should be.
    async fn good(&self, text: &str) -> Report {
        let report = self.run(text).await;
        assert!(report.is_good(), "{report}");
        report
    }

    async fn get(&self, target: &str) -> Json {
        self.call(Method::GET, target, Bytes::new()).await.unwrap().body
    }

    fn changes(&self) -> Vec<String> {
        self.changes.lock().unwrap().clone()
    }
}

#[async_trait]
impl Door for Plane {
    async fn call(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, String> {
        if method != Method::GET {
            self.changes.lock().unwrap().push(format!("{method} {target}"));
        }
        let request = Request::builder().method(method).uri(target).header("host", "localhost");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let answer = self.control.answer(&parts, body, Ipv4Addr::LOCALHOST.into()).await;
        let body = serde_json::from_slice(answer.body()).unwrap_or(Json::Null);
        Ok(Answer { status: answer.status().as_u16(), body })
    }
}

fn reference(report: &Report, id: &str) -> String {
    let line = report.lines.iter().find(|line| line.id == id);
    line.unwrap_or_else(|| panic!("no {id} in {report}")).reference.clone()
}

fn done(report: &Report, id: &str) -> Done {
    let line = report.lines.iter().find(|line| line.id == id);
    line.unwrap_or_else(|| panic!("no {id} in {report}")).done.clone()
}

/// One of each type that a REST API of a template has.
const REST: &str = r#"
Parameters:
  Stage: { Type: String, Default: prod }
Resources:
  Api:
    Type: AWS::ApiGateway::RestApi
    Properties:
      Name: shop
      Description: first
      BinaryMediaTypes: [image/png, image/gif]
      EndpointConfiguration: { Types: [REGIONAL] }
      MinimumCompressionSize: 10
      Tags: [{ Key: team, Value: pets }, { Key: level, Value: one }]
  Pets:
    Type: AWS::ApiGateway::Resource
    Properties: { RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId, PathPart: pets }
  GetPets:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Api
      ResourceId: !Ref Pets
      HttpMethod: GET
      AuthorizationType: NONE
      ApiKeyRequired: false
      RequestParameters: { method.request.querystring.q: false }
      MethodResponses: [{ StatusCode: 200, ResponseModels: { application/json: !Ref Pet } }]
      Integration:
        Type: MOCK
        RequestTemplates: { application/json: '{"statusCode": 200}' }
        IntegrationResponses:
          - StatusCode: 200
            ResponseTemplates: { application/json: '{"pets": []}' }
  Pet:
    Type: AWS::ApiGateway::Model
    Properties: { RestApiId: !Ref Api, ContentType: application/json, Schema: { type: object } }
  Checks:
    Type: AWS::ApiGateway::RequestValidator
    Properties: { RestApiId: !Ref Api, Name: checks, ValidateRequestBody: true }
  Teapot:
    Type: AWS::ApiGateway::GatewayResponse
    DependsOn: Deployment
    Properties: { RestApiId: !Ref Api, ResponseType: DEFAULT_4XX, StatusCode: 418 }
  About:
    Type: AWS::ApiGateway::DocumentationPart
    Properties:
      RestApiId: !Ref Api
      Location: { Type: API }
      Properties: '{"description": "a shop"}'
  Version:
    Type: AWS::ApiGateway::DocumentationVersion
    DependsOn: About
    Properties: { RestApiId: !Ref Api, DocumentationVersion: v1 }
  Deployment:
    Type: AWS::ApiGateway::Deployment
    DependsOn: [GetPets]
    Properties: { RestApiId: !Ref Api, Description: d }
  Live:
    Type: AWS::ApiGateway::Stage
    Properties:
      RestApiId: !Ref Api
      DeploymentId: !Ref Deployment
      StageName: !Ref Stage
      Variables: { a: one, b: two }
      MethodSettings:
        - { ResourcePath: "/*", HttpMethod: "*", ThrottlingBurstLimit: 7, ThrottlingRateLimit: 5 }
      Tags: [{ Key: team, Value: pets }]
  Key:
    Type: AWS::ApiGateway::ApiKey
    Properties: { Name: k, Enabled: true, Value: abcdefghij0123456789xyz }
  Plan:
    Type: AWS::ApiGateway::UsagePlan
    Properties:
      UsagePlanName: p
      ApiStages: [{ ApiId: !Ref Api, Stage: !Ref Live }]
      Quota: { Limit: 100, Period: DAY }
      Throttle: { RateLimit: 10, BurstLimit: 20 }
  PlanKey:
    Type: AWS::ApiGateway::UsagePlanKey
    Properties: { KeyId: !Ref Key, KeyType: API_KEY, UsagePlanId: !Ref Plan }
  Certificate: { Type: AWS::ApiGateway::ClientCertificate, Properties: { Description: c } }
  Account: { Type: AWS::ApiGateway::Account, Properties: { CloudWatchRoleArn: !GetAtt Role.Arn } }
  Role: { Type: AWS::IAM::Role }
Outputs:
  Url: { Value: !Sub "${Api}/${Live}" }
"#;

#[tokio::test]
async fn a_rest_api_is_made_once_and_left_alone() {
    let plane = Plane::new();
    let looked = plane.try_run(REST, true).await.unwrap();
    assert_eq!(plane.changes(), Vec::<String>::new(), "a dry run changes nothing");
    assert_eq!(looked.count(&Done::Created), 15, "{looked}");

    let first = plane.good(REST).await;
    assert_eq!(first.count(&Done::Created), 15, "{first}");
    assert_eq!(first.skipped.len(), 1);
    let api = reference(&first, "Api");
    assert_eq!(first.outputs, [("Url".to_owned(), Ok(format!("{api}/prod")))]);
    let got = plane.get(&format!("/restapis/{api}")).await;
    assert_eq!(got["minimumCompressionSize"], 10);
    assert_eq!(got["tags"], json!({"team": "pets", "level": "one"}));
    let stage = plane.get(&format!("/restapis/{api}/stages/prod")).await;
    assert_eq!(stage["variables"], json!({"a": "one", "b": "two"}));
    assert_eq!(stage["methodSettings"]["*/*"]["throttlingBurstLimit"], 7);
    let pets = reference(&first, "Pets");
    let method = plane.get(&format!("/restapis/{api}/resources/{pets}/methods/GET")).await;
    assert_eq!(method["methodIntegration"]["integrationResponses"]["200"]["statusCode"], "200");
    assert_eq!(method["methodResponses"]["200"]["responseModels"]["application/json"], "shopPet");
    let account = plane.get("/account").await;
    assert_eq!(account["cloudwatchRoleArn"], "arn:aws:iam::123456789012:role/shop-Role");

    let second = plane.good(REST).await;
    assert_eq!(second.count(&Done::Unchanged), 15, "{second}");
    assert_eq!(plane.changes(), Vec::<String>::new(), "nothing is to be done");
    assert_eq!(reference(&second, "Api"), api);
}

#[tokio::test]
async fn what_changed_is_changed_in_its_place() {
    let plane = Plane::new();
    let first = plane.good(REST).await;
    let api = reference(&first, "Api");
    let changed = REST
        .replace("Description: first", "Description: second")
        .replace("[image/png, image/gif]", "[image/gif, a/b]")
        .replace("      MinimumCompressionSize: 10\n", "")
        .replace(", { Key: level, Value: one }", "")
        .replace("{ a: one, b: two }", "{ b: three, c: four }")
        .replace("ThrottlingBurstLimit: 7, ThrottlingRateLimit: 5", "ThrottlingRateLimit: 6")
        .replace("{\"pets\": []}", "{\"pets\": 1}")
        .replace("StatusCode: 418", "StatusCode: 419")
        .replace("ValidateRequestBody: true", "ValidateRequestParameters: true")
        .replace("      Quota: { Limit: 100, Period: DAY }\n", "")
        .replace("BurstLimit: 20", "BurstLimit: 30")
        .replace("Enabled: true", "Enabled: true, Description: new")
        .replace("a shop", "the shop")
        .replace("Schema: { type: object }", "Schema: { type: array }");
    let second = plane.good(&changed).await;
    assert_eq!(second.count(&Done::Created) + second.count(&Done::Replaced), 0, "{second}");
    for id in ["Api", "GetPets", "Pet", "Checks", "Teapot", "About", "Live", "Key", "Plan"] {
        assert_eq!(done(&second, id), Done::Updated, "{second}");
        assert_eq!(reference(&second, id), reference(&first, id), "{id} is the same");
    }
    let got = plane.get(&format!("/restapis/{api}")).await;
    assert_eq!(got["description"], "second");
    assert_eq!(got["binaryMediaTypes"], json!(["image/gif", "a/b"]));
    assert_eq!(got["minimumCompressionSize"], Json::Null);
    assert_eq!(got["tags"], json!({"team": "pets"}));
    let stage = plane.get(&format!("/restapis/{api}/stages/prod")).await;
    assert_eq!(stage["variables"], json!({"b": "three", "c": "four"}));
    assert_eq!(stage["methodSettings"]["*/*"]["throttlingRateLimit"], 6.0);
    assert_ne!(stage["methodSettings"]["*/*"]["throttlingBurstLimit"], 7);
    let plan = plane.get(&format!("/usageplans/{}", reference(&first, "Plan"))).await;
    assert_eq!(plan["throttle"]["burstLimit"], 30);
    assert_eq!(plan["quota"], Json::Null);
    let checks = reference(&first, "Checks");
    let checks = plane.get(&format!("/restapis/{api}/requestvalidators/{checks}")).await;
    assert_eq!(checks["validateRequestBody"], false);
    assert_eq!(checks["validateRequestParameters"], true);
    let third = plane.good(&changed).await;
    assert_eq!(third.count(&Done::Unchanged), 15, "{third}");
}

#[tokio::test]
async fn what_cannot_be_changed_is_replaced_and_what_is_gone_is_deleted() {
    let plane = Plane::new();
    let first = plane.good(REST).await;
    let api = reference(&first, "Api");
    let moved = REST
        .replace("PathPart: pets", "PathPart: cats")
        .replace("StageName: !Ref Stage", "StageName: next");
    let second = plane.good(&moved).await;
    for id in ["Pets", "GetPets", "Live"] {
        assert_eq!(done(&second, id), Done::Replaced, "{second}");
    }
    assert_eq!(second.count(&Done::Deleted), 3, "{second}");
    assert_eq!(plane.get(&format!("/restapis/{api}/stages/prod")).await["stageName"], Json::Null);
    let resources = plane.get(&format!("/restapis/{api}/resources")).await;
    assert_eq!(resources["item"].as_array().unwrap().len(), 2, "{resources}");

    let (head, tail) = moved.split_once("  Checks:").unwrap();
    let less = format!(
        "{head}{}",
        tail.split_once("  Teapot:").map(|(_, rest)| format!("  Teapot:{rest}")).unwrap()
    );
    let third = plane.good(&less).await;
    assert_eq!(done(&third, "Checks"), Done::Deleted);
    let validators = plane.get(&format!("/restapis/{api}/requestvalidators")).await;
    assert_eq!(validators["item"].as_array().map_or(0, Vec::len), 0, "{validators}");

    // Everything but one key, which stays where a policy says so.
    let kept = "Resources:\n  Other: { Type: AWS::ApiGateway::ApiKey }\n";
    let fourth = plane.good(kept).await;
    assert!(plane.get(&format!("/restapis/{api}")).await["id"].is_null(), "{fourth}");
    let retained = "Resources:\n  Other: { Type: AWS::ApiGateway::ApiKey, DeletionPolicy: Retain }\n  \
                    Next: { Type: AWS::ApiGateway::ApiKey }\n";
    plane.good(retained).await;
    let last = "Resources:\n  Next: { Type: AWS::ApiGateway::ApiKey }\n";
    let fifth = plane.good(last).await;
    assert_eq!(done(&fifth, "Other"), Done::Kept);
    assert_eq!(plane.get("/apikeys").await["item"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_somebody_deleted_is_made_again() {
    let plane = Plane::new();
    let first = plane.good(REST).await;
    let api = reference(&first, "Api");
    let checks = reference(&first, "Checks");
    let target = format!("/restapis/{api}/requestvalidators/{checks}");
    assert_eq!(plane.call(Method::DELETE, &target, Bytes::new()).await.unwrap().status, 202);
    let second = plane.good(REST).await;
    assert_eq!(done(&second, "Checks"), Done::Created);
    assert_eq!(second.count(&Done::Unchanged), 14, "{second}");
    let validators = plane.get(&format!("/restapis/{api}/requestvalidators")).await;
    assert_eq!(validators["item"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn definitions_are_imported_and_what_the_template_says_counts_more() {
    let text = r#"
Resources:
  Api:
    Type: AWS::ApiGateway::RestApi
    Properties:
      Description: from the template
      Body:
        openapi: 3.0.1
        info: { title: defined, version: "1", description: from the definition }
        paths:
          /a: { get: { x-amazon-apigateway-integration: { type: mock }, responses: {} } }
"#;
    let plane = Plane::new();
    let first = plane.good(text).await;
    let api = reference(&first, "Api");
    let got = plane.get(&format!("/restapis/{api}")).await;
    assert_eq!(
        (&got["name"], &got["description"]),
        (&json!("defined"), &json!("from the template"))
    );
    assert_eq!(plane.good(text).await.count(&Done::Unchanged), 1);
    let second = plane.good(&text.replace("/a:", "/b:")).await;
    assert_eq!(done(&second, "Api"), Done::Updated);
    let resources = plane.get(&format!("/restapis/{api}/resources")).await;
    let paths: Vec<&str> = resources["item"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["path"].as_str())
        .collect();
    assert!(paths.contains(&"/b") && !paths.contains(&"/a"), "{paths:?}");
    // A definition that is refused leaves no API behind.
    let other = Plane::new();
    let broken = other.run(&text.replace("type: mock", "type: nonsense")).await;
    assert!(matches!(done(&broken, "Api"), Done::Failed(_)), "{broken}");
    assert_eq!(other.get("/restapis").await["item"].as_array().map_or(0, Vec::len), 0);
}

#[tokio::test]
async fn an_http_api_is_made_changed_and_deleted() {
    let text = r#"
Resources:
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      Name: http
      ProtocolType: HTTP
      Description: first
      CorsConfiguration: { AllowOrigins: ["*"] }
      Tags: { team: pets }
  Backend:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: HTTP_PROXY
      IntegrationMethod: GET
      IntegrationUri: http://127.0.0.1:9/
      PayloadFormatVersion: "1.0"
      RequestParameters: { "append:header.a": b, "append:header.c": d }
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: { ApiId: !Ref Api, RouteKey: GET /pets, Target: !Join [/, [integrations, !Ref Backend]] }
"#;
    let plane = Plane::new();
    let first = plane.good(text).await;
    let api = reference(&first, "Api");
    assert_eq!(plane.good(text).await.count(&Done::Unchanged), 3);
    let changed = text
        .replace("Description: first", "Description: second")
        .replace("team: pets", "team: cats")
        .replace(", \"append:header.c\": d", "")
        .replace("GET /pets", "GET /cats");
    let second = plane.good(&changed).await;
    assert_eq!(second.count(&Done::Updated), 3, "{second}");
    let got = plane.get(&format!("/v2/apis/{api}")).await;
    assert_eq!((&got["description"], &got["tags"]), (&json!("second"), &json!({"team": "cats"})));
    let backend = reference(&first, "Backend");
    let got = plane.get(&format!("/v2/apis/{api}/integrations/{backend}")).await;
    assert_eq!(got["requestParameters"], json!({"append:header.a": "b"}));
    let third = plane.good("Resources: { K: { Type: AWS::ApiGateway::ApiKey } }\n").await;
    assert_eq!(third.count(&Done::Deleted), 3, "{third}");
}

#[tokio::test]
async fn a_wrong_template_changes_nothing_and_a_refused_resource_is_named() {
    let plane = Plane::new();
    for (from, to, wanted) in [
        (
            "PathPart: pets",
            "PathPartt: pets",
            "`PathPartt` is no property of AWS::ApiGateway::Resource",
        ),
        ("MinimumCompressionSize: 10", "MinimumCompressionSize: big", "a whole number is wanted"),
        ("Limit: 100", "Limitt: 100", "`Limitt` is not known here"),
        ("HttpMethod: GET", "HttpMethodd: GET", "needs the property `HttpMethod`"),
        ("StatusCode: 200\n", "StatusKode: 200\n", "needs a StatusCode"),
        ("!Sub \"${Api}/${Live}\"", "!Ref Api", ""),
    ] {
        let text = REST.replace(from, to);
        assert_ne!(text, REST, "{from}");
        match plane.try_run(&text, wanted.is_empty()).await {
            Err(ApplyError::Template(problems)) => {
                let said = problems.to_string();
                assert!(said.contains(wanted) && said.starts_with("t.yaml:"), "{from}: {said}");
            }
            Ok(_) if wanted.is_empty() => {}
            other => panic!("{from}: {other:?}"),
        }
        assert_eq!(plane.changes(), Vec::<String>::new(), "{from}");
    }
    let refused = plane.run(&REST.replace("PathPart: pets", "PathPart: \"{bad\"")).await;
    assert!(matches!(done(&refused, "Pets"), Done::Failed(_)), "{refused}");
    assert_eq!(done(&refused, "GetPets"), Done::Waits("Pets".to_owned()));
    let said = refused.to_string();
    assert!(said.contains("FAILED     Pets (AWS::ApiGateway::Resource): "), "{said}");
    // Mended, the run goes on with what is there.
    let api = reference(&refused, "Api");
    let mended = plane.good(REST).await;
    assert_eq!(reference(&mended, "Api"), api);
    assert_eq!(done(&mended, "Api"), Done::Unchanged);
}
