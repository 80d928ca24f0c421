//! Serverless Application Model, "Generated CloudFormation resources" and the types' pages.

use serde_json::{Value as Json, json};

use super::{expanded, property, refused};

const SHOP: &str = r#"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: { Runtime: python3.12 }
  Api: { MinimumCompressionSize: 100, BinaryMediaTypes: ["image~1png"] }
Resources:
  List:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Get: { Type: Api, Properties: { Path: /pets, Method: get } }
        Queue: { Type: SQS, Properties: { Queue: x } }
  Own:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: own
      AutoPublishAlias: live
      Events:
        Any:
          Type: Api
          Properties:
            Path: /own/{id}
            Method: any
            RestApiId: !Ref Explicit
            Auth: { ApiKeyRequired: true }
            RequestParameters:
              - method.request.querystring.q: { Required: true, Caching: true }
            RequestModel: { Model: Pet, Required: true, ValidateBody: true }
        Lost: { Type: Api, Properties: { Path: /x, Method: get, RestApiId: !Ref Nothing } }
  Nothing: { Type: AWS::ApiGateway::RestApi, Properties: { Name: plain } }
  Explicit:
    Type: AWS::Serverless::Api
    Properties:
      StageName: dev
      Cors: { AllowOrigin: "'*'", AllowHeaders: "'x'" }
      EndpointConfiguration: REGIONAL
      Tags: { team: pets }
      Models: { Pet: { type: object } }
      GatewayResponses:
        DEFAULT_4XX: { StatusCode: 418, ResponseParameters: { Headers: { X: "'y'" } } }
      Auth:
        DefaultAuthorizer: Pool
        Authorizers:
          Pool: { UserPoolArn: !GetAtt Users.Arn }
          Tokens: { FunctionArn: !GetAtt List.Arn, Identity: { ReauthorizeEvery: 30 } }
        UsagePlan: { CreateUsagePlan: PER_API, Throttle: { BurstLimit: 5, RateLimit: 1 } }
      MethodSettings:
        - { ResourcePath: "/*", HttpMethod: "*", ThrottlingBurstLimit: 9 }
  Users: { Type: AWS::Cognito::UserPool }
  Http:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Default: { Type: HttpApi }
        One: { Type: HttpApi, Properties: { Path: /one, Method: post } }
Outputs:
  Implicit: { Value: !Ref ServerlessRestApi }
  Stage: { Value: !Ref Explicit.Stage }
"#;

#[test]
fn sams_resources_become_plain_ones_under_its_names() {
    let found = expanded(SHOP);
    let ids: Vec<String> = found
        .order
        .iter()
        .map(|id| match id.split_once("Deployment") {
            Some((api, _)) => format!("{api}Deployment"),
            None => id.clone(),
        })
        .collect();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "Explicit",
            "ExplicitApiKey",
            "ExplicitDeployment",
            "ExplicitUsagePlan",
            "ExplicitUsagePlanKey",
            "ExplicitdevStage",
            "Nothing",
            "ServerlessHttpApi",
            "ServerlessHttpApiApiGatewayDefaultStage",
            "ServerlessRestApi",
            "ServerlessRestApiDeployment",
            "ServerlessRestApiProdStage",
        ]
    );
    let skipped: Vec<&str> = found.skipped.iter().map(|one| one.id.as_str()).collect();
    for id in ["List", "ListRole", "Own", "OwnAliaslive", "Users", "Own.Lost", "Http"] {
        assert!(skipped.contains(&id), "{id}: {skipped:?}");
    }
    assert_eq!(property(&found, "ServerlessRestApi", "MinimumCompressionSize"), 100);
    assert_eq!(property(&found, "ServerlessRestApi", "BinaryMediaTypes"), json!(["image/png"]));
    assert_eq!(property(&found, "ServerlessRestApi", "Name"), "shop");
    assert_eq!(property(&found, "ServerlessRestApiProdStage", "StageName"), "Prod");
    assert_eq!(property(&found, "Explicit", "Tags"), json!([{"Key": "team", "Value": "pets"}]));
    assert_eq!(
        property(&found, "Explicit", "EndpointConfiguration"),
        json!({"Types": ["REGIONAL"]})
    );
}

#[test]
fn events_auth_and_cors_complete_the_definition() {
    let found = expanded(SHOP);
    let body = property(&found, "ServerlessRestApi", "Body");
    assert_eq!(
        body["paths"]["/pets"]["get"]["x-amazon-apigateway-integration"]["uri"],
        "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/\
         arn:aws:lambda:eu-central-1:123456789012:function:shop-List/invocations"
    );
    let body = property(&found, "Explicit", "Body");
    let any = &body["paths"]["/own/{id}"]["x-amazon-apigateway-any-method"];
    assert_eq!(any["security"], json!([{"Pool": [], "api_key": []}]));
    assert_eq!(
        any["x-amazon-apigateway-integration"]["uri"],
        "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/\
         arn:aws:lambda:eu-central-1:123456789012:function:own:live/invocations"
    );
    assert_eq!(
        any["x-amazon-apigateway-integration"]["cacheKeyParameters"],
        json!(["method.request.querystring.q"])
    );
    assert_eq!(any["x-amazon-apigateway-request-validator"], "body-only");
    assert_eq!(any["parameters"][1]["schema"]["$ref"], "#/definitions/pet");
    let options = &body["paths"]["/own/{id}"]["options"]["x-amazon-apigateway-integration"];
    let headers = &options["responses"]["default"]["responseParameters"];
    assert_eq!(
        headers["method.response.header.Access-Control-Allow-Methods"],
        "'DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT'"
    );
    let pool = &body["securityDefinitions"]["Pool"]["x-amazon-apigateway-authorizer"];
    assert_eq!(
        pool["providerARNs"],
        json!(["arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_Users"])
    );
    let tokens = &body["securityDefinitions"]["Tokens"]["x-amazon-apigateway-authorizer"];
    assert_eq!(tokens["authorizerResultTtlInSeconds"], 30);
    assert_eq!(
        body["x-amazon-apigateway-gateway-responses"]["DEFAULT_4XX"],
        json!({"statusCode": "418", "responseParameters": {"gatewayresponse.header.X": "'y'"}})
    );
    let http = property(&found, "ServerlessHttpApi", "Body");
    let default = &http["paths"]["$default"]["x-amazon-apigateway-any-method"];
    assert_eq!(default["x-amazon-apigateway-integration"]["payloadFormatVersion"], "2.0");
    assert!(http["paths"]["/one"]["post"].is_object());
}

#[test]
fn another_definition_is_another_deployment() {
    let deployment = |text: &str| {
        let found = expanded(text);
        let id = found.order.iter().find(|id| id.starts_with("ServerlessRestApiDeployment"));
        id.unwrap().clone()
    };
    assert_eq!(deployment(SHOP), deployment(SHOP));
    assert_ne!(deployment(SHOP), deployment(&SHOP.replace("Path: /pets", "Path: /cats")));
}

#[test]
fn what_sam_refuses_is_refused() {
    for (properties, wanted) in [
        ("{}", "needs a StageName"),
        ("{ StageName: s, Nonsense: 1 }", "`Nonsense` is no property"),
        ("{ StageName: s, DefinitionBody: [] }", "a definition is a table"),
        ("{ StageName: s, DefinitionBody: { a: b } }", "begins with `openapi`"),
        ("{ StageName: s, Domain: { DomainName: a } }", "Domain needs"),
    ] {
        let text = format!(
            "Resources:\n  A: {{ Type: AWS::Serverless::Api, Properties: {properties} }}\n"
        );
        let said = refused(&text);
        assert!(said.contains(wanted), "{properties}: {said}");
        assert!(said.contains("t.yaml:2:"), "{said}");
    }
    let twice = SHOP
        .replace("Path: /own/{id}", "Path: /pets")
        .replace("RestApiId: !Ref Explicit", "Description: x");
    let twice = twice.replace("Method: any", "Method: get");
    assert!(refused(&twice).contains("has an integration already"));
}

#[test]
fn a_function_that_waits_is_no_plain_value() {
    let found = expanded(SHOP);
    let stage = property(&found, "ExplicitdevStage", "RestApiId");
    assert_eq!(stage, json!({"Ref": "Explicit"}));
    assert_ne!(stage, Json::Null);
}
