//! What goes over the wire to services and functions, and what becomes of their answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::*;
use crate::call::{Body, MappedParameters, PathValue, Reply};
use crate::integration::lambda::InvokeError;
use crate::integration::{
    self, CompiledIntegration, Forwarded, FunctionCall, IntegrationError, IntegrationRequest,
    Integrations,
};
use crate::model::rest_api::{self, IntegrationKind};
use crate::net::client;
use crate::net::client::fake::{Fake, Log};
use crate::net::tasks::Tasks;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const ROLE: &str = "arn:aws:iam::111111111111:role/api";
const FUNCTION: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                        arn:aws:lambda:us-east-1:111111111111:function:hello:prod/invocations";

fn keys(id: &str) -> Keys {
    let secret =
        Secret { secret_access_key: Zeroizing::new("secret".to_owned()), session_token: None };
    Keys { access_key_id: id.to_owned(), secret }
}

fn service(endpoint: &str) -> ServiceConfig {
    ServiceConfig { endpoint: endpoint.to_owned(), signing_name: None }
}

fn config() -> Config {
    Config {
        lambda: LambdaConfig {
            endpoint: Some("http://lambda.test:9701/base/".to_owned()),
            ..LambdaConfig::default()
        },
        services: [("dynamodb".to_owned(), service("http://moto.test:5000"))].into_iter().collect(),
        roles: [(ROLE.to_owned(), keys("AKIAROLE"))].into_iter().collect(),
        sts: None,
    }
}

/// Integrations before a backend that writes down requests and gives these answers in turn, the
/// last one for ever.
fn before(config: Config, answers: &'static [&'static str]) -> (Integrations, Log) {
    let log = Log::default();
    let written = log.clone();
    let network = Fake::new(move |_, mut wire| {
        let log = written.clone();
        async move {
            while let Some(request) = wire.request().await {
                log.add(request);
                let turn = log.lines().len().min(answers.len());
                wire.write(answers[turn - 1]).await;
            }
        }
    });
    let tasks = Tasks::new(Handle::current());
    let client = HttpClient::new(client::Config::default(), network, tasks);
    let clock = Clock::manual(1_440_938_160_000);
    let integrations = Integrations::new(integration::Config::default(), client);
    (integrations.with_aws(config, clock).unwrap(), log)
}

struct Asked {
    uri: &'static str,
    method: &'static str,
    credentials: Option<&'static str>,
    mapped: MappedParameters,
    body: &'static str,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            uri: FUNCTION,
            method: "POST",
            credentials: None,
            mapped: MappedParameters::default(),
            body: "",
        }
    }
}

fn mapped(headers: &[(&'static str, &'static str)], query: &[(&str, &str)]) -> MappedParameters {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    MappedParameters {
        headers: headers.iter().map(header).collect(),
        query: query.iter().map(|(name, value)| (Arc::from(*name), (*value).to_owned())).collect(),
        path: Vec::new(),
    }
}

impl Asked {
    fn compiled(&self, kind: IntegrationKind) -> CompiledIntegration {
        let integration = rest_api::Integration {
            kind,
            http_method: Some(self.method.to_owned()),
            uri: self.uri.to_owned(),
            credentials: self.credentials.map(ToOwned::to_owned),
            timeout_ms: 1_000,
            ..rest_api::Integration::default()
        };
        let variables = [("alias".to_owned(), "prod".to_owned())].into_iter().collect();
        CompiledIntegration::compile(&integration, "abcdefghij", &variables)
    }

    async fn answer(self, integrations: &Integrations) -> Result<Reply, IntegrationError> {
        let compiled = self.compiled(IntegrationKind::Aws);
        let request = IntegrationRequest {
            method: &Method::GET,
            query: Some("not=passed"),
            headers: &HeaderMap::new(),
            mapped: self.mapped,
            peer: std::net::IpAddr::from([203, 0, 113, 9]),
            forwarded: Forwarded { proto: "https", port: 443 },
            trace_id: HeaderValue::from_static("Root=1-0-0"),
            id: uuid::Uuid::nil(),
        };
        let body = Body::from(Bytes::from_static(self.body.as_bytes()));
        let deadline = Instant::now() + Duration::from_secs(29);
        integrations.answer(&request, body, &compiled, deadline).await
    }
}

/// The request line and the headers that a test names, then the body.
fn sent(log: &Log, names: &[&str]) -> String {
    let request = log.lines().pop().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    let first = lines.remove(0);
    lines.sort_unstable();
    lines.retain(|line| names.iter().any(|name| line.split(':').next() == Some(name)));
    format!("{first}|{}|{body}", lines.join("|"))
}

/// rest-data-plane 7.10: one row per way to say what is meant.
#[tokio::test(start_paused = true)]
async fn what_a_service_is_asked() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cases = [
        (
            "arn:aws:apigateway:us-east-1:dynamodb:action/PutItem",
            mapped(&[], &[]),
            "POST / HTTP/1.1|content-type: application/x-amz-json-1.0|host: moto.test:5000|\
             x-amz-target: DynamoDB_20120810.PutItem|{}",
        ),
        (
            "arn:aws:apigateway:us-east-1:logs:action/DescribeLogGroups",
            mapped(&[form], &[]),
            "POST /?Action=DescribeLogGroups HTTP/1.1|\
             content-type: application/x-www-form-urlencoded|\
             host: logs.us-east-1.amazonaws.com|{}",
        ),
        (
            "arn:aws:apigateway:us-east-1:sns:action/Publish",
            mapped(&[], &[("TopicArn", "a:b"), ("Message", "x y&z")]),
            "POST /?Action=Publish&Version=2010-03-31&TopicArn=a%3Ab&Message=x%20y%26z HTTP/1.1|\
             content-type: application/json|host: sns.us-east-1.amazonaws.com|{}",
        ),
        (
            "arn:aws:apigateway:us-east-1:sqs:path//111111111111/queue",
            mapped(&[form, ("host", "elsewhere"), ("te", "x"), ("referer", "x")], &[]),
            "POST /111111111111/queue HTTP/1.1|content-type: application/x-www-form-urlencoded|\
             host: sqs.us-east-1.amazonaws.com|{}",
        ),
        (
            "arn:aws:apigateway:eu-west-1:pictures.s3:path/a/b?versioning",
            mapped(&[], &[]),
            "POST /a/b?versioning HTTP/1.1|content-type: application/json|\
             host: pictures.s3.eu-west-1.amazonaws.com|{}",
        ),
        (
            "arn:aws:apigateway:us-east-1:shard.dynamodb:path/x",
            mapped(&[], &[]),
            "POST /x HTTP/1.1|content-type: application/json|host: shard.moto.test:5000|{}",
        ),
    ];
    for (uri, mapped, expected) in cases {
        // In the clear, or the wire would be unreadable.
        let mut config = config();
        for name in ["logs", "sns", "sqs", "s3"] {
            if !uri.contains("dynamodb") && uri.contains(name) {
                let region = uri.split(':').nth(3).unwrap();
                let host = format!("{name}.{region}.amazonaws.com");
                let known = service(&format!("http://{host}:80"));
                config.services.insert(name.to_owned(), known);
            }
        }
        let expected = match uri.contains("pictures.s3") {
            true => {
                expected.replace("POST /a", "POST /pictures/a").replace("host: pictures.", "host: ")
            }
            false => expected.to_owned(),
        };
        let (integrations, log) = before(config, &[OK]);
        let asked = Asked { uri, credentials: Some(ROLE), mapped, body: "{}", ..Asked::default() };
        asked.answer(&integrations).await.unwrap();
        let names = ["content-type", "host", "x-amz-target", "te", "referer", "expect"];
        assert_eq!(sent(&log, &names), expected, "{uri}");
        let all = log.lines().pop().unwrap();
        assert!(all.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIAROLE/20150830/"));
        assert!(all.contains("x-amzn-apigateway-api-id: abcdefghij\r\n"), "{all}");
        assert!(all.contains("accept: application/json\r\n"), "{all}");
        assert!(all.contains("user-agent: AmazonAPIGateway_abcdefghij\r\n"), "{all}");
    }
}

/// rest-data-plane 7.10 (test_get_parameter_query_protocol): the query is the request, whatever a
/// template makes; the answer is wrapped, an error is not.
#[tokio::test(start_paused = true)]
async fn ssm_is_asked_by_the_query_and_answers_wrapped() {
    const FOUND: &str = "HTTP/1.1 200 OK\r\nx-amzn-requestid: r-1\r\n\
        content-type: application/x-amz-json-1.1\r\ncontent-length: 27\r\n\r\n\
        {\"Parameter\":{\"Value\":\"5\"}}";
    const NONE: &str = "HTTP/1.1 400 B\r\ncontent-length: 23\r\n\r\n{\"__type\":\"NotFound\"}  ";
    let form = ("content-type", "application/x-www-form-urlencoded");
    let name = [("Name", "/a b"), ("WithDecryption", "true")];
    let path = [
        ("Path", "/"),
        ("MaxResults", "5"),
        ("Recursive", "no"),
        ("Names.member.1", "true"),
        ("Names.member.2", "5"),
        ("ParameterFilters.member.1.Key", "Type"),
        ("ParameterFilters.member.1.Values.member.1", "String"),
        ("ParameterFilters.member.2.Key", "Tier"),
        ("Action", "Other"),
        ("Deep.Er", "1"),
    ];
    let wrapped = "{\"GetParameterResponse\":{\"GetParameterResult\":{\"Parameter\":\
                   {\"Value\":\"5\"}},\"ResponseMetadata\":{\"RequestId\":\"r-1\"}}}";
    type Headers<'c> = &'c [(&'static str, &'static str)];
    type Case<'c> = (Headers<'c>, &'c [(&'c str, &'c str)], &'static str, &'c str, u16, &'c str);
    let cases: [Case<'_>; 3] = [
        (&[], &name, FOUND, r#"{"Name":"/a b","WithDecryption":true}"#, 200, wrapped),
        (
            &[form],
            &path,
            FOUND,
            r#"{"Path":"/","MaxResults":5,"Recursive":"no","Names":["true","5"],"ParameterFilters":[{"Key":"Type","Values":["String"]},{"Key":"Tier"}],"Deep":{"Er":"1"}}"#,
            200,
            wrapped,
        ),
        (&[], &[], NONE, "{}", 400, "{\"__type\":\"NotFound\"}  "),
    ];
    for (headers, query, answer, body, status, expected) in cases {
        let mut config = config();
        config.services.insert("ssm".to_owned(), service("http://ssm.test:80"));
        let (integrations, log) = before(config, Box::leak(Box::new([answer])));
        let asked = Asked {
            uri: "arn:aws:apigateway:us-east-1:ssm:action/GetParameter",
            method: "GET",
            credentials: Some(ROLE),
            mapped: mapped(headers, query),
            body: "the template's, which has no effect",
        };
        let reply = asked.answer(&integrations).await.unwrap();
        assert_eq!(
            sent(&log, &["content-type", "x-amz-target"]),
            format!(
                "POST / HTTP/1.1|content-type: application/x-amz-json-1.1|\
                 x-amz-target: AmazonSSM.GetParameter|{body}"
            )
        );
        assert_eq!(reply.status, status);
        let length = reply.headers["content-length"].clone();
        let body = reply.body.collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
        assert_eq!(length, body.len().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn path_values_fill_the_uri() {
    let (integrations, log) = before(config(), &[OK]);
    let mut values = mapped(&[], &[]);
    values.path.push((Arc::from("key"), PathValue::Text("a b/c".to_owned())));
    let uri = "arn:aws:apigateway:us-east-1:dynamodb:path/items/{key}";
    let asked = Asked { uri, mapped: values, credentials: Some(ROLE), ..Asked::default() };
    asked.answer(&integrations).await.unwrap();
    assert!(sent(&log, &[]).starts_with("POST /items/a%20b/c HTTP/1.1|"), "{}", sent(&log, &[]));
}

/// rest-data-plane 7.10, `credentials`.
#[tokio::test(start_paused = true)]
async fn without_the_roles_keys_nothing_is_sent() {
    let (integrations, log) = before(config(), &[OK]);
    let uri = "arn:aws:apigateway:us-east-1:dynamodb:action/Scan";
    for role in ["arn:aws:iam::1:role/other", "arn:aws:iam::*:user/*"] {
        let asked = Asked { uri, credentials: Some(role), ..Asked::default() };
        let err = asked.answer(&integrations).await.unwrap_err();
        assert!(matches!(err, IntegrationError::Configuration(_)), "{err}");
    }
    assert!(log.lines().is_empty());
}

/// Security Token Service API Reference, "AssumeRole": one request serves calls until the keys end.
#[tokio::test(start_paused = true)]
async fn a_role_without_stored_keys_is_assumed_once() {
    const ASSUMED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 260\r\n\r\n<AssumeRoleResponse>\
        <AssumeRoleResult><Credentials><AccessKeyId>ASIATEMP</AccessKeyId><SecretAccessKey>s\
        </SecretAccessKey><SessionToken>tok/en</SessionToken><Expiration>2015-08-30T13:36:00Z\
        </Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>    ";
    let mut config = config();
    config.sts = Some(StsConfig {
        endpoint: Some("http://sts.test:5000".to_owned()),
        keys: keys("AKIAOWN"),
        aws_region: "eu-west-1".to_owned(),
    });
    let length = ASSUMED.split_once("\r\n\r\n").unwrap().1.len();
    assert_eq!(length, 260, "the canned answer's length");
    let (integrations, log) = before(config, &[ASSUMED, OK]);
    let uri = "arn:aws:apigateway:us-east-1:dynamodb:action/Scan";
    for _ in 0..2 {
        let role = Some("arn:aws:iam::1:role/other");
        let asked = Asked { uri, credentials: role, body: "{}", ..Asked::default() };
        asked.answer(&integrations).await.unwrap();
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("Credential=AKIAOWN/20150830/eu-west-1/sts/"), "{}", lines[0]);
    assert!(lines[0].ends_with("&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fother"), "{}", lines[0]);
    for asked in &lines[1..] {
        assert!(asked.contains("Credential=ASIATEMP/20150830/us-east-1/dynamodb/"), "{asked}");
        assert!(asked.contains("x-amz-security-token: tok/en\r\n"), "{asked}");
    }
}

/// Lambda API Reference, "Invoke"; rest-data-plane 7.10.
#[tokio::test(start_paused = true)]
async fn what_a_function_with_mappings_is_asked() {
    let names = ["x-amz-invocation-type", "x-amz-log-type", "x-amz-client-context", "host"];
    let path = "/base/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111111111111%3A\
                function%3Ahello%3Aprod/invocations";
    type Case<'c> = (&'c [(&'static str, &'static str)], &'static str, &'c str);
    let cases: [Case<'_>; 3] = [
        (&[], OK, "host: lambda.test:9701|x-amz-invocation-type: RequestResponse"),
        (
            &[("x-amz-invocation-type", "Event")],
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
            "host: lambda.test:9701|x-amz-invocation-type: Event",
        ),
        (
            &[("x-amz-log-type", "Tail"), ("x-amz-client-context", "e30=")],
            OK,
            "host: lambda.test:9701|x-amz-client-context: e30=|\
             x-amz-invocation-type: RequestResponse|x-amz-log-type: Tail",
        ),
    ];
    for (headers, answer, expected) in cases {
        let (integrations, log) = before(config(), Box::leak(Box::new([answer])));
        let headers: Vec<(&'static str, &'static str)> = headers.to_vec();
        let uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                   arn:aws:lambda:us-east-1:111111111111:function:hello:${stageVariables.alias}/\
                   invocations";
        let asked = Asked { uri, mapped: mapped(&headers, &[]), body: "{}", ..Asked::default() };
        let reply = asked.answer(&integrations).await.unwrap();
        assert_eq!(sent(&log, &names), format!("POST {path} HTTP/1.1|{expected}|{{}}"));
        assert!(!log.lines()[0].contains("authorization"), "there are no keys to sign with");
        let body = reply.body.collect().await.unwrap().to_bytes();
        assert_eq!(body, if expected.contains("Event") { "" } else { "{}" });
    }
}

async fn invoked(answer: &'static str, method: &'static str) -> Result<String, IntegrationError> {
    let (integrations, _) = before(config(), Box::leak(Box::new([answer])));
    let compiled = Asked { method, ..Asked::default() }.compiled(IntegrationKind::AwsProxy);
    let call = FunctionCall {
        method: Method::GET,
        payload: Bytes::from_static(b"{}"),
        trace_id: HeaderValue::from_static("Root=1-0-0"),
        tag: Some(HeaderValue::from_static("id")),
    };
    let deadline = Instant::now() + Duration::from_secs(29);
    let (invoked, report) = integrations.invoke(call, &compiled, deadline).await?;
    let body = invoked.body.collect().await.unwrap().to_bytes();
    let error = invoked.function_error.as_deref().unwrap_or("-").to_owned();
    Ok(format!("{} {error} {}", report.status, String::from_utf8_lossy(&body)))
}

/// rest-data-plane 3.4.
#[tokio::test(start_paused = true)]
async fn what_a_function_answers() {
    assert_eq!(invoked(OK, "POST").await.unwrap(), "200 - {}");
    // The integration's own verb is the client's, and this client says GET.
    let err = invoked(OK, "ANY").await.unwrap_err();
    assert!(matches!(err, IntegrationError::NotPost), "{err}");
    let failed =
        "HTTP/1.1 200 OK\r\nx-amz-function-error: Unhandled\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(invoked(failed, "POST").await.unwrap(), "200 Unhandled {}");
    let err = invoked(OK, "GET").await.unwrap_err();
    assert!(matches!(err, IntegrationError::NotPost), "{err}");
    type Fits = fn(&InvokeError) -> bool;
    let cases: [(&str, Fits); 5] = [
        (
            "HTTP/1.1 404 N\r\nx-amzn-errortype: ResourceNotFoundException:http://x\r\n\
             content-length: 0\r\n\r\n",
            |err| matches!(err, InvokeError::NotFound(_)),
        ),
        (
            "HTTP/1.1 403 F\r\nx-amzn-errortype: AccessDeniedException\r\n\
             content-length: 15\r\n\r\n{\"Message\":\"no\"}",
            |err| matches!(err, InvokeError::NotPermitted(_)),
        ),
        ("HTTP/1.1 429 T\r\ncontent-length: 0\r\n\r\n", |err| {
            matches!(err, InvokeError::Throttled(_))
        }),
        ("HTTP/1.1 413 T\r\ncontent-length: 0\r\n\r\n", |err| {
            matches!(err, InvokeError::PayloadTooLarge { .. })
        }),
        ("HTTP/1.1 500 S\r\ncontent-length: 0\r\n\r\n", |err| {
            matches!(err, InvokeError::Service { status: 500, .. })
        }),
    ];
    for (answer, fits) in cases {
        match invoked(answer, "POST").await {
            Err(IntegrationError::Lambda(err)) => assert!(fits(&err), "{answer}: {err}"),
            other => panic!("{answer}: {other:?}"),
        }
    }
}

/// rest-data-plane 7.10, 11.2: Invoke's headers are there for mappings, and its id for logs.
#[tokio::test(start_paused = true)]
async fn what_invoke_says_beside_the_answer_is_kept() {
    const SAID: &str = "HTTP/1.1 200 OK\r\nx-amzn-requestid: r-1\r\nx-amz-log-result: bG9n\r\n\
        x-amz-executed-version: 7\r\ncontent-length: 2\r\n\r\n{}";
    let (integrations, log) = before(config(), &[SAID]);
    let reply = Asked::default().answer(&integrations).await.unwrap();
    let said = ["x-amzn-requestid", "x-amz-log-result", "x-amz-executed-version", "content-type"]
        .map(|name| reply.headers[name].to_str().unwrap().to_owned());
    assert_eq!(said, ["r-1", "bG9n", "7", "application/json"]);
    let tag = "x-amzn-lambda-integration-tag: 00000000-0000-0000-0000-000000000000\r\n";
    assert!(log.lines()[0].contains(tag), "{}", log.lines()[0]);
    let compiled = Asked::default().compiled(IntegrationKind::AwsProxy);
    let call = FunctionCall {
        method: Method::POST,
        payload: Bytes::from_static(b"{}"),
        trace_id: HeaderValue::from_static("Root=1-0-0"),
        tag: None,
    };
    let deadline = Instant::now() + Duration::from_secs(29);
    let (_, report) = integrations.invoke(call, &compiled, deadline).await.unwrap();
    assert_eq!(report.request_id.as_deref(), Some("r-1"));
}

#[tokio::test(start_paused = true)]
async fn a_function_that_never_answers_times_out() {
    let err = invoked("", "POST").await.unwrap_err();
    assert!(matches!(err, IntegrationError::Timeout { .. }), "{err}");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_nobody_runs_says_what_to_configure() {
    let config = Config { lambda: LambdaConfig::default(), ..config() };
    let (integrations, log) = before(config, &[OK]);
    let err = Asked::default().answer(&integrations).await.unwrap_err();
    assert!(err.to_string().contains("add [lambda] with an endpoint"), "{err}");
    assert!(log.lines().is_empty());
}
