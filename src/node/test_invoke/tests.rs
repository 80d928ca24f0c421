//! AWS facts: recorded in test_invoke_test_method and test_failed_invoke_test_method, and the
//! log's promise that it shows what was sent.

use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Handle;

use super::*;
use crate::admin::rest::client_certificates::PRIVATE_KEY;
use crate::integration::link::{BalancerConfig, Balancers, ListenerConfig, OutlierConfig};
use crate::integration::{Config, aws};
use crate::net::client::fake::{Fake, Log as Requests};
use crate::net::client::{self, HttpClient};
use crate::net::tasks::Tasks;
use crate::store::control::{Kind, ObjectKey};

const API: &str = "a1b2c3d4e5";
/// Tue Nov 18 12:00:00 UTC 2025.
const NOW_MS: u64 = 1_763_467_200_000;

fn site() -> Site {
    Site {
        partition: "aws".into(),
        aws_region: "us-east-1".into(),
        account_id: "000000000000".into(),
        domain: "gateway.localhost".into(),
        port: String::new(),
        installation: Default::default(),
    }
}

/// A backend that writes down requests and answers each with `answer`.
fn backend(answer: &'static str) -> (Integrations, Requests) {
    let requests = Requests::default();
    let written = requests.clone();
    let network = Fake::new(move |_, mut wire| {
        let written = written.clone();
        async move {
            while let Some(request) = wire.request().await {
                written.add(request);
                wire.write(answer).await;
            }
        }
    });
    let network: Arc<dyn crate::net::socket::Network> = network;
    let tasks = Tasks::new(Handle::current());
    let client = HttpClient::new(client::Config::default(), network, tasks);
    (Integrations::new(Config::default(), client), requests)
}

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\nx-one: 1\r\n\r\nhi";

fn invoke(path: &str, method: Value, request: Value) -> TestInvokeMethod {
    let Value::Object(request) = request else { panic!() };
    TestInvokeMethod {
        definition: json!({
            "restApi": {"id": API, "policy": "not looked at by a test call"},
            "resources": [
                {"id": "res001", "path": path, "resourceMethods": {"GET": method}},
            ],
        }),
        resource_id: "res001".into(),
        http_method: "GET".into(),
        request,
    }
}

fn mock() -> Value {
    json!({
        "authorizationType": "AWS_IAM", "apiKeyRequired": true,
        "methodResponses": {"200": {"statusCode": "200"}},
        "methodIntegration": {
            "type": "MOCK",
            "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
            "integrationResponses": {"200": {"statusCode": "200"}},
        },
    })
}

fn http(kind: &str, uri: &str) -> Value {
    json!({
        "authorizationType": "NONE",
        "methodResponses": {"200": {"statusCode": "200"}},
        "methodIntegration": {
            "type": kind, "uri": uri, "httpMethod": "GET", "timeoutInMillis": 1000,
            "requestParameters": {
                "integration.request.path.id": "method.request.path.petId",
                "integration.request.querystring.q": "method.request.querystring.a",
                "integration.request.header.x-mapped": "context.stage",
            },
            "integrationResponses": {"200": {
                "statusCode": "200",
                "responseParameters": {"method.response.header.x-two": "integration.response.header.x-one"},
            }},
        },
    })
}

async fn run(invoke: &TestInvokeMethod, integrations: &Integrations) -> control::Body {
    run_with(invoke, integrations, &State::default()).await.unwrap()
}

async fn run_with(
    invoke: &TestInvokeMethod,
    integrations: &Integrations,
    state: &State,
) -> Result<control::Body, ApiError> {
    let clock = Clock::manual(NOW_MS);
    method(invoke, integrations, &site(), &clock, &Limits::default(), state).await
}

/// The log's lines without their dates and with the request's id replaced.
fn lines(answer: &control::Body) -> Vec<String> {
    let text = answer["log"].as_str().unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let id = first.strip_prefix("Execution log for request ").unwrap();
    assert!(Uuid::parse_str(id).is_ok(), "{id}");
    assert!(rest.ends_with('\n'));
    rest.lines()
        .map(|line| {
            let line = line.strip_prefix("Tue Nov 18 12:00:00 UTC 2025 : ").expect(line);
            line.replace(id, "ID")
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn constant_templates_make_the_bodies() {
    let (integrations, requests) = backend(ANSWER);
    let mut method = http("HTTP", "http://b.test/pets");
    method["methodIntegration"]["requestTemplates"] = json!({"application/json": "asked"});
    method["methodIntegration"]["passthroughBehavior"] = json!("NEVER");
    method["methodIntegration"]["integrationResponses"]["200"]["responseTemplates"] =
        json!({"application/json": "{}", "text/plain": "told"});
    let run = |headers: Value| {
        let request = json!({"body": "mine", "headers": headers});
        let invoke = invoke("/pets", method.clone(), request);
        let integrations = integrations.clone();
        async move { run(&invoke, &integrations).await }
    };
    let answer = run(json!({"Accept": "text/plain"})).await;
    assert_eq!((answer["status"].as_u64(), answer["body"].as_str()), (Some(200), Some("told")));
    assert_eq!(answer["headers"]["Content-Type"], "application/json");
    let lines = lines(&answer);
    for line in [
        "Endpoint request body after transformations: asked",
        "Endpoint response body before transformations: hi",
        "Method response body after transformations: told",
    ] {
        assert!(lines.iter().any(|own| own == line), "{line} in {lines:#?}");
    }
    assert!(requests.lines()[0].ends_with("asked"), "{:?}", requests.lines());
    let refused = run(json!({"Content-Type": "text/plain"})).await;
    assert_eq!(refused["status"], 415);
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mock_logs_the_recorded_lines() {
    let (integrations, _) = backend(ANSWER);
    let invoke = invoke("/pets/{petId}", mock(), json!({"pathWithQueryString": "/pets/123"}));
    let answer = run(&invoke, &integrations).await;
    assert_eq!(
        lines(&answer),
        [
            "Starting execution for request: ID",
            "HTTP Method: GET, Resource Path: /pets/123",
            "Method request path: {petId=123}",
            "Method request query string: {}",
            "Method request headers: {}",
            "Method request body before transformations: ",
            "Method response body after transformations: ",
            "Method response headers: {Content-Type=application/json}",
            "Successfully completed execution",
            "Method completed with status: 200",
        ]
    );
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["body"], "");
    assert_eq!(answer["headers"], json!({"Content-Type": "application/json"}));
    assert_eq!(answer["multiValueHeaders"], json!({"Content-Type": ["application/json"]}));
    assert_eq!(answer["latency"], 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_path_the_template_is_called() {
    let (integrations, _) = backend(ANSWER);
    let answer = run(&invoke("/pets/{petId}", mock(), json!({})), &integrations).await;
    let lines = lines(&answer);
    assert_eq!(lines[1], "HTTP Method: GET, Resource Path: /pets/{petId}");
    assert_eq!(lines[2], "Method request path: {petId={petId}}");
}

#[tokio::test(start_paused = true)]
async fn a_path_that_does_not_fit_still_runs_without_parameters() {
    let (integrations, _) = backend(ANSWER);
    let invoke = invoke(
        "/pets/{petId}",
        mock(),
        json!({
            "pathWithQueryString": "/foo?a=b%20c&d", "body": "{}",
            "headers": {"X-A": "1"}, "multiValueHeaders": {"X-B": ["2", "3"]},
        }),
    );
    let answer = run(&invoke, &integrations).await;
    assert_eq!(
        lines(&answer)[1..6],
        [
            "HTTP Method: GET, Resource Path: /foo",
            "Method request path: {}",
            "Method request query string: {a=b c, d=}",
            "Method request headers: {X-A=1, X-B=2,3}",
            "Method request body before transformations: {}",
        ]
    );
    assert_eq!(answer["status"], 200);
}

/// What the log says of the endpoint is what the endpoint got.
async fn compare(kind: &str, request: Value) -> Vec<String> {
    let (integrations, requests) = backend(ANSWER);
    let method = http(kind, "http://${stageVariables.host}/xy/{id}?own=1");
    let answer = run(&invoke("/pets/{petId}", method, request), &integrations).await;
    assert_eq!(answer["status"], 200, "{}", answer["log"]);
    let lines = lines(&answer);
    let received = requests.lines().pop().unwrap();
    let (head, _) = received.split_once("\r\n\r\n").unwrap();
    let mut head = head.split("\r\n");
    let target = head.next().unwrap().split(' ').nth(1).unwrap();
    assert_eq!(lines[6], format!("Endpoint request URI: http://b.test{target}"));
    let own = ["host", "content-length"];
    let mut sent: Vec<String> = head
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !own.contains(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let logged = lines[7].strip_prefix("Endpoint request headers: {").unwrap();
    let mut entries: Vec<String> = Vec::new();
    for piece in logged.trim_end_matches('}').split(", ") {
        match (piece.split_once('='), entries.last_mut()) {
            (Some((name, value)), _) => {
                entries.push(format!("{}={value}", name.to_ascii_lowercase()));
            }
            // A value may hold the separator: the way of X-Forwarded-For.
            (None, Some(before)) => before.push_str(&format!(", {piece}")),
            (None, None) => panic!("{piece}"),
        }
    }
    let mut logged = entries;
    sent.sort();
    logged.sort();
    assert_eq!(sent, logged);
    lines
}

#[tokio::test(start_paused = true)]
async fn the_log_shows_what_an_http_backend_receives() {
    let request = json!({
        "pathWithQueryString": "/pets/a%2Fb?a=1%202", "body": "text",
        "stageVariables": {"host": "b.test"}, "headers": {"X-Own": "1"},
    });
    let lines = compare("HTTP", request).await;
    assert_eq!(lines[6], "Endpoint request URI: http://b.test/xy/a%2Fb?own=1&q=1%202");
    assert_eq!(
        lines[8..],
        [
            "Endpoint request body after transformations: text",
            "Sending request to http://b.test/xy/a%2Fb?own=1&q=1%202",
            "Received response. Status: 200, Integration latency: 0 ms",
            &lines[11],
            "Endpoint response body before transformations: hi",
            "Method response body after transformations: hi",
            &lines[14],
            "Successfully completed execution",
            "Method completed with status: 200",
        ]
    );
    assert!(lines[11].contains("X-One=1"), "{}", lines[11]);
    assert!(lines[14].contains("X-Two=1"), "{}", lines[14]);
}

#[tokio::test(start_paused = true)]
async fn the_log_shows_what_a_proxied_backend_receives() {
    let mut headers = json!({
        "X-Own": "1", "Content-Type": "a/b", "X-Listed": "gone", "Connection": "x-listed",
        "X-Forwarded-For": "192.0.2.1", "Accept-Encoding": "gzip", "Host": "elsewhere.test",
    });
    for name in ["Content-MD5", "Expect", "Server", "TE", "Via", "Upgrade", "Content-Encoding"] {
        headers[name] = json!("x");
    }
    let request = json!({
        "pathWithQueryString": "/pets/7?a=1&b=+", "stageVariables": {"host": "b.test"},
        "headers": headers,
    });
    let lines = compare("HTTP_PROXY", request).await;
    assert_eq!(lines[6], "Endpoint request URI: http://b.test/xy/7?own=1&a=1&b=%20&q=1");
    assert!(lines[7].contains("X-Mapped=test-invoke-stage"), "{}", lines[7]);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_address_fails_as_recorded() {
    let (integrations, requests) = backend(ANSWER);
    let method = http("HTTP_PROXY", "http://${stageVariables.host}/");
    let answer = run(&invoke("/", method, json!({})), &integrations).await;
    assert_eq!(
        lines(&answer)[5..],
        [
            "Method request body before transformations: ",
            "Execution failed due to configuration error: Invalid endpoint address",
            "Method completed with status: 500",
        ]
    );
    assert_eq!(answer["status"], 500);
    assert_eq!(answer["body"], "{\"message\": \"Internal server error\"}");
    assert_eq!(answer["headers"]["x-amzn-ErrorType"], "InternalServerErrorException");
    assert!(requests.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_is_a_timeout() {
    let (integrations, _) = backend("");
    let request = json!({"stageVariables": {"host": "b.test"}});
    let method = http("HTTP", "http://${stageVariables.host}/");
    let answer = run(&invoke("/", method, request), &integrations).await;
    assert_eq!(answer["status"], 504);
    let lines = lines(&answer);
    let end = &lines[lines.len() - 3..];
    assert_eq!(end[0], "Sending request to http://b.test/");
    assert_eq!(end[1], "Execution failed due to a timeout error");
    assert_eq!(end[2], "Method completed with status: 504");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_response_for_it_is_a_configuration_error() {
    let (integrations, _) = backend(ANSWER);
    let mut method = mock();
    method["methodIntegration"]["integrationResponses"] = json!({});
    let answer = run(&invoke("/", method, json!({})), &integrations).await;
    assert_eq!(answer["status"], 500);
    let line = &lines(&answer)[6];
    let begin = "Execution failed due to configuration error: No match for output mapping";
    assert!(line.starts_with(begin), "{line}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_built_is_named_and_not_run() {
    let (integrations, requests) = backend(ANSWER);
    let run = |method_body: Value, request: Value| {
        let invoke = invoke("/", method_body, request);
        let integrations = integrations.clone();
        async move { run_with(&invoke, &integrations, &State::default()).await.unwrap_err() }
    };
    let own = json!({"methodIntegration": {
        "type": "AWS", "uri": "arn:aws:apigateway:us-east-1:sqs:path/queue",
        "credentials": "arn:aws:iam::*:user/*",
    }});
    let err = run(own, json!({})).await;
    assert_eq!(err.kind, ErrorKind::NotImplemented);
    assert_eq!(
        err.message,
        "The method cannot be run yet: / GET integration credentials: calling the backend with \
         the caller's own credentials is not built yet"
    );
    let err = run(mock(), json!({"headers": {"a b": "c"}})).await;
    assert_eq!(err.message, "Invalid header specified: a b");
    assert!(requests.lines().is_empty());
}

#[test]
fn no_authorizer_can_be_tested_yet() {
    let Value::Object(authorizer) = json!({"name": "mine"}) else { panic!() };
    let invoke = TestInvokeAuthorizer { authorizer, request: control::Body::new() };
    let err = super::authorizer(&invoke).unwrap_err();
    assert_eq!(err.kind, ErrorKind::NotImplemented);
    assert!(err.message.contains("`mine`"));
}

#[test]
fn parameters_are_found_by_the_template() {
    let found = |template: &str, path: &'static str| -> Vec<&'static str> {
        let found = path_parameters(template, path).into_iter();
        found.map(|range| path.get(range).unwrap()).collect()
    };
    assert_eq!(found("/a/{b}/c/{d+}", "/a/1/c/2/3/"), ["1", "2/3"]);
    assert_eq!(found("/{proxy+}", "/"), [""]);
    assert!(found("/a/{b}", "/a").is_empty());
    assert!(found("/a/{b}", "/a/1/2").is_empty());
    assert!(found("/", "/").is_empty());
}

/// What cannot stand in a URI is encoded, and the call is made.
#[tokio::test(start_paused = true)]
async fn any_path_can_be_called() {
    let (integrations, _) = backend(ANSWER);
    for path in ["/pets/a b", "pets/x", "/pets/é\"<>\\^`#?q= ", "", "?a=b"] {
        let invoke = invoke("/pets/{petId}", mock(), json!({"pathWithQueryString": path}));
        assert_eq!(run(&invoke, &integrations).await["status"], 200, "{path}");
    }
}

/// rest-data-plane 5 and 5.7: the very same mapping as any call's.
#[tokio::test(start_paused = true)]
async fn templates_compute_in_a_test_call() {
    let (integrations, _) = backend(ANSWER);
    let mut method = mock();
    method["methodIntegration"]["requestTemplates"] = json!({"application/json":
        "#set($context.responseOverride.header.x = $input.params('petId')){statusCode: 200}"});
    method["methodIntegration"]["integrationResponses"]["200"]["responseTemplates"] = json!({"application/json": "$context.stage $stageVariables.v $context.resourcePath \
            $input.params('X-Forwarded-For') $input.params().header.X-Forwarded-Proto \
            $input.params('X-One')$input.params('x-one')"});
    let request = json!({"pathWithQueryString": "/pets/7", "stageVariables": {"v": "w"},
        "headers": {"X-One": "1"}});
    let answer = run(&invoke("/pets/{petId}", method, request), &integrations).await;
    let expected = "test-invoke-stage w /pets/{petId} 127.0.0.1 https 1";
    assert_eq!(answer["body"], expected);
    assert_eq!(answer["headers"]["X"], "7");
}

/// rest-data-plane 4.1, 4.2: a test call is validated as any other.
#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_fit_is_refused() {
    let (integrations, requests) = backend(ANSWER);
    let mut method = http("HTTP_PROXY", "http://b.test/");
    method["requestValidatorId"] = json!("val001");
    method["requestParameters"] = json!({"method.request.querystring.q": true});
    method["requestModels"] = json!({"application/json": "Pet"});
    for (request, body, line) in [
        (json!({"body": "{}"}), "Missing required request parameters: [q]", "Execution failed: "),
        (
            json!({"pathWithQueryString": "/pets?q=1", "body": "{}"}),
            "Invalid request body",
            "Request body does not match model schema for content type application/json: \
             [object has missing required properties ([\"id\"])]",
        ),
        (
            json!({"pathWithQueryString": "/pets?q=1", "body": "nope"}),
            "Invalid request body",
            "Request body does not match model schema for content type application/json: ",
        ),
    ] {
        let mut invoke = invoke("/pets", method.clone(), request);
        invoke.definition["requestValidators"] = json!([{
            "id": "val001", "validateRequestBody": true, "validateRequestParameters": true,
        }]);
        let schema = json!({"type": "object", "required": ["id"]}).to_string();
        invoke.definition["models"] = json!([{"name": "Pet", "schema": schema}]);
        let answer = run(&invoke, &integrations).await;
        assert_eq!(answer["status"], 400);
        assert_eq!(answer["body"], json!({ "message": body }).to_string());
        let lines = lines(&answer);
        assert!(lines.iter().any(|own| own.starts_with(line)), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "Method completed with status: 400");
    }
    assert!(requests.lines().is_empty());
}

const BALANCER: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/n/1";
const ID: &str = "abc123";

/// A state with one link to the balancer, and one certificate that is none.
fn with_link_and_certificate() -> State {
    let objects = [
        (Kind::VpcLink, json!({"id": ID, "targetArns": [BALANCER]})),
        (Kind::ClientCertificate, json!({"pemEncodedCertificate": "x", PRIVATE_KEY: "y"})),
    ];
    let changes = objects.map(|(kind, body)| {
        let Value::Object(body) = body else { panic!() };
        (ObjectKey::new(kind, "", ID), Some(Arc::new(body)))
    });
    State::default().with(1, changes)
}

/// control-plane "TestInvokeMethod": a private integration is reached as on a stage.
#[tokio::test(start_paused = true)]
async fn a_link_leads_where_it_leads_on_a_stage() {
    let network: Arc<dyn crate::net::socket::Network> = Fake::new(|_, mut wire| async move {
        while let Some(_request) = wire.request().await {
            wire.write(ANSWER).await;
        }
    });
    let tasks = Tasks::new(Handle::current());
    let client = HttpClient::new(client::Config::default(), network, tasks.clone());
    let balancer = BalancerConfig {
        arn: BALANCER.to_owned(),
        link: None,
        listeners: vec![ListenerConfig {
            arn: None,
            port: 80,
            targets: vec![(Arc::from("10.0.0.1"), 8_080)],
        }],
        health: None,
        outliers: OutlierConfig::default(),
        roots: Vec::new(),
    };
    let balancers = Balancers::start(vec![balancer], &client, &tasks).unwrap();
    let integrations = Integrations::new(Config::default(), client).with_balancers(balancers);
    let mut method = http("HTTP_PROXY", "http://b.test/pets");
    method["methodIntegration"]["connectionType"] = json!("VPC_LINK");
    method["methodIntegration"]["connectionId"] = json!("${stageVariables.link}");
    let state = with_link_and_certificate();
    for (link, status) in [(ID, 200), ("other1", 500)] {
        let request = json!({"stageVariables": {"link": link}});
        let invoke = invoke("/pets", method.clone(), request);
        let answer = run_with(&invoke, &integrations, &state).await.unwrap();
        assert_eq!(answer["status"].as_u64(), Some(status), "{}", answer["log"]);
    }
}

/// A certificate that is named and cannot be shown fails the call: going without is no choice.
#[tokio::test(start_paused = true)]
async fn the_certificate_that_the_caller_names_is_shown() {
    let (integrations, requests) = backend(ANSWER);
    let run = |id: &str| {
        let request = json!({"clientCertificateId": id});
        let invoke = invoke("/pets", http("HTTP_PROXY", "http://b.test/pets"), request);
        let integrations = integrations.clone();
        async move { run_with(&invoke, &integrations, &with_link_and_certificate()).await }
    };
    assert_eq!(run("").await.unwrap()["status"].as_u64(), Some(200));
    assert_eq!(requests.lines().len(), 1);
    let failed = run(ID).await.unwrap();
    assert_eq!(failed["status"].as_u64(), Some(500), "{}", failed["log"]);
    let unknown = run("other1").await.unwrap_err();
    assert_eq!(unknown.message, "Invalid Client Certificate identifier specified");
    assert_eq!(requests.lines().len(), 1);
}

const FUNCTION: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                        arn:aws:lambda:us-east-1:000000000000:function:f/invocations";

/// One method before a Lambda that answers so.
async fn function(kind: &str, method: &str, answer: &'static str) -> (control::Body, Requests) {
    let (integrations, requests) = backend(answer);
    let endpoint = Some("http://lambda.test:9001".to_owned());
    let lambda = aws::LambdaConfig { endpoint, ..aws::LambdaConfig::default() };
    let config = aws::Config { lambda, ..aws::Config::default() };
    let integrations = integrations.with_aws(config, Clock::manual(NOW_MS)).unwrap();
    let method = json!({
        "authorizationType": "NONE",
        "methodResponses": {"200": {"statusCode": "200"}},
        "methodIntegration": {
            "type": kind, "uri": FUNCTION, "httpMethod": method, "timeoutInMillis": 1000,
            "integrationResponses": {"200": {
                "statusCode": "200",
                "responseParameters": {
                    "method.response.header.X-Log": "integration.response.header.X-Amz-Log-Result",
                    "method.response.header.X-Id": "integration.response.header.x-amzn-RequestId",
                },
            }},
        },
    });
    let request = json!({"headers": {"x-OWN": "1", "X-A": "2"}});
    (run(&invoke("/", method, request), &integrations).await, requests)
}

/// rest-data-plane 7.13: the log shows what Invoke was told and said; names keep their spelling.
#[tokio::test(start_paused = true)]
async fn the_log_shows_what_lambda_is_told_and_says() {
    const SAID: &str = "HTTP/1.1 200 OK\r\nx-amzn-requestid: r-1\r\nx-amz-log-result: bG9n\r\n\
        content-length: 29\r\n\r\n{\"headers\":{\"Server\":\"mine\"}}";
    for kind in ["AWS_PROXY", "AWS"] {
        let (answer, requests) = function(kind, "POST", SAID).await;
        assert_eq!(answer["status"], 200, "{}", answer["log"]);
        let lines = lines(&answer);
        let line = |begin: &str| lines.iter().find(|line| line.starts_with(begin)).unwrap();
        let id = answer["log"].as_str().unwrap().lines().next().unwrap();
        let id = id.rsplit(' ').next().unwrap();
        let tag = format!("x-amzn-lambda-integration-tag: {id}\r\n");
        assert!(requests.lines()[0].contains(&tag), "{}", requests.lines()[0]);
        assert_eq!(line("Method request headers"), "Method request headers: {x-OWN=1, X-A=2}");
        let asked = line("Endpoint request headers");
        assert!(asked.contains("x-amzn-lambda-integration-tag=ID"), "{asked}");
        let said = line("Endpoint response headers");
        assert!(said.contains("x-amzn-RequestId=r-1, X-Amz-Log-Result=bG9n"), "{said}");
        match kind {
            "AWS" => {
                assert_eq!(answer["headers"]["X-Log"], "bG9n");
                assert_eq!(answer["headers"]["X-Id"], "r-1");
            }
            _ => {
                assert_eq!(answer["headers"]["x-amzn-Remapped-Server"], "mine");
                let event = requests.lines().pop().unwrap();
                assert!(event.contains("\"x-OWN\":\"1\""), "{event}");
            }
        }
    }
}

/// rest-data-plane 3.4, 7.13, and how a function error is told.
#[tokio::test(start_paused = true)]
async fn a_function_that_fails_is_told_in_lambdas_words() {
    const FAILED: &str = "HTTP/1.1 200 OK\r\nx-amzn-requestid: r-1\r\n\
        x-amz-function-error: Unhandled\r\ncontent-length: 23\r\n\r\n{\"errorMessage\":\"boom\"}";
    const TEXT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntext";
    for (method, answer, line, status) in [
        (
            "POST",
            FAILED,
            "Lambda execution failed with status 200 due to customer function error: boom. Lambda \
             request id: r-1",
            502,
        ),
        (
            "POST",
            TEXT,
            "Execution failed due to configuration error: Malformed Lambda proxy response",
            502,
        ),
        (
            "GET",
            TEXT,
            "Execution failed due to configuration error: a function is invoked by POST, and the \
             integration's HTTP method is another",
            500,
        ),
    ] {
        let (answer, _) = function("AWS_PROXY", method, answer).await;
        assert_eq!(answer["status"].as_u64(), Some(status));
        assert_eq!(answer["body"], "{\"message\": \"Internal server error\"}");
        let lines = lines(&answer);
        assert_eq!(lines[lines.len() - 2], line);
    }
}
