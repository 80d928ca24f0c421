use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::context::{PathParameters, RouteFacts};
use super::*;
use crate::call::Spelling;
use crate::net::clock::Timestamp;

/// A call that tests change before they look at its event.
struct Told {
    method: Method,
    headers: Vec<(&'static str, &'static str)>,
    query: Option<&'static str>,
    names: Vec<String>,
    path: &'static str,
    variables: IndexMap<String, String>,
    caller: Option<CallerFacts>,
    is_canary: Option<bool>,
    operation_name: &'static str,
    spelling: Option<Spelling>,
    body: &'static [u8],
    is_binary: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            method: Method::GET,
            headers: vec![("host", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com")],
            query: None,
            names: vec!["id".to_owned()],
            path: "/pets/7",
            variables: IndexMap::new(),
            caller: None,
            is_canary: None,
            operation_name: "",
            spelling: None,
            body: b"",
            is_binary: false,
        }
    }
}

impl Told {
    fn text(&self) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        let range = 6..self.path.len();
        let call = CallContext {
            facts: RouteFacts {
                api_id: "a1b2c3d4e5",
                account_id: "111111111111",
                stage: "prod",
                deployment_id: "d1e2f3",
                resource_id: "abc123",
                resource_path: "/pets/{id}",
                operation_name: self.operation_name,
                stage_variables: &self.variables,
                is_canary: self.is_canary,
            },
            method: &self.method,
            headers: &headers,
            spelling: self.spelling.as_ref(),
            query: self.query,
            path_parameters: PathParameters {
                names: &self.names,
                path: self.path,
                ranges: std::slice::from_ref(&range),
            },
            request_id: &Uuid::nil(),
            extended_request_id: "cXNV7F7iPHcFoDA=",
            aws_endpoint_request_id: None,
            source_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            path: "/prod/pets/7",
            protocol: "HTTP/1.1",
            domain_name: "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
            received_at: Timestamp::from_millis(1_722_592_800_000),
            caller: self.caller.as_ref(),
            error: None,
        };
        let event = Event {
            call: &call,
            path: self.path,
            trace_id: &HeaderValue::from_static("Root=1-66aa0000-0123456789abcdef01234567"),
            proto: "https",
            port: 443,
            body: self.body,
            is_binary: self.is_binary,
        };
        String::from_utf8(event.to_json().to_vec()).unwrap()
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

/// rest-data-plane 7.7 and 15.1: keys, order, nulls.
#[test]
fn the_least_event() {
    let told = Told { names: Vec::new(), ..Told::default() };
    let host = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com";
    let trace = "Root=1-66aa0000-0123456789abcdef01234567";
    let expected = [
        r#"{"resource":"/pets/{id}","path":"/pets/7","httpMethod":"GET","#,
        &format!(r#""headers":{{"Host":"{host}","X-Amzn-Trace-Id":"{trace}","#),
        r#""X-Forwarded-For":"203.0.113.9","X-Forwarded-Port":"443","X-Forwarded-Proto":"https"},"#,
        &format!(r#""multiValueHeaders":{{"Host":["{host}"],"X-Amzn-Trace-Id":["{trace}"],"#),
        r#""X-Forwarded-For":["203.0.113.9"],"X-Forwarded-Port":["443"],"X-Forwarded-Proto":["https"]},"#,
        r#""queryStringParameters":null,"multiValueQueryStringParameters":null,"#,
        r#""pathParameters":null,"stageVariables":null,"requestContext":{"resourceId":"abc123","#,
        r#""resourcePath":"/pets/{id}","httpMethod":"GET","extendedRequestId":"cXNV7F7iPHcFoDA=","#,
        r#""requestTime":"02/Aug/2024:10:00:00 +0000","path":"/prod/pets/7","#,
        r#""accountId":"111111111111","protocol":"HTTP/1.1","stage":"prod","#,
        r#""domainPrefix":"a1b2c3d4e5","requestTimeEpoch":1722592800000,"#,
        r#""requestId":"00000000-0000-0000-0000-000000000000","identity":{"#,
        r#""cognitoIdentityPoolId":null,"accountId":null,"cognitoIdentityId":null,"caller":null,"#,
        r#""sourceIp":"203.0.113.9","principalOrgId":null,"accessKey":null,"#,
        r#""cognitoAuthenticationType":null,"cognitoAuthenticationProvider":null,"#,
        r#""userArn":null,"userAgent":null,"user":null},"#,
        &format!(r#""domainName":"{host}","deploymentId":"d1e2f3","apiId":"a1b2c3d4e5"}},"#),
        r#""body":null,"isBase64Encoded":false}"#,
    ]
    .concat();
    assert_eq!(told.text(), expected);
}

/// rest-data-plane 7.3 and 7.4.
#[test]
fn headers_are_shown_as_sent_less_the_connections_own() {
    let told = Told {
        headers: vec![
            ("user-agent", "curl/8.5.0"),
            ("authorization", "tok"),
            ("x-two", "a"),
            ("x-two", "b"),
            ("test-header", "aValUE"),
            ("connection", "close"),
            ("expect", "x"),
            ("te", "x"),
            ("upgrade", "x"),
            ("via", "1.0 a"),
            ("content-encoding", "gzip"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "gopher"),
            ("x-amzn-trace-id", "Self=1"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ],
        spelling: Some(Spelling::new(Bytes::from_static(b"AUTHORIZATION\ntEsT-HEADeR\nX-Two"))),
        ..Told::default()
    };
    let event = told.event();
    assert_eq!(
        event["headers"],
        json!({
            "Authorization": "tok", "content-encoding": "gzip", "cookie": "a=1; b=2",
            "Host": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
            "tEsT-HEADeR": "aValUE", "User-Agent": "curl/8.5.0", "via": "1.0 a",
            "X-Amzn-Trace-Id": "Root=1-66aa0000-0123456789abcdef01234567",
            "X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https", "X-Two": "b",
        })
    );
    assert_eq!(event["multiValueHeaders"]["X-Two"], json!(["a", "b"]));
    assert_eq!(event["multiValueHeaders"]["cookie"], json!(["a=1; b=2"]));
    let names: Vec<String> = event["headers"].as_object().unwrap().keys().cloned().collect();
    let mut sorted = names.clone();
    sorted.sort_by_key(|name| name.to_ascii_lowercase());
    assert_eq!(names, sorted);
}

/// rest-data-plane 1.4: the query is decoded, the path is not.
#[test]
fn parameters() {
    let told = Told {
        query: Some("tag=a&tag=b%2Bc+d&empty&%C3%A9=1;x=%zz"),
        path: "/pets/test%2Balias@gmail.com",
        ..Told::default()
    };
    let event = told.event();
    assert_eq!(
        event["queryStringParameters"],
        json!({"tag": "b+c d", "empty": "", "é": "1", "x": "%zz"})
    );
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({"tag": ["a", "b+c d"], "empty": [""], "é": ["1"], "x": ["%zz"]})
    );
    assert_eq!(event["pathParameters"], json!({"id": "test%2Balias@gmail.com"}));
    assert_eq!(event["path"], json!("/pets/test%2Balias@gmail.com"));
}

/// rest-data-plane 7.7: what is there only at times.
#[test]
fn what_comes_only_at_times() {
    let mut caller = CallerFacts { api_key: Some("k".to_owned()), ..CallerFacts::default() };
    caller.api_key_id = Some("k1".to_owned());
    caller.vpce_id = Some("vpce-1".to_owned());
    for (name, value) in
        [("principalId", "user|1"), ("integrationLatency", "41"), ("admin", "true")]
    {
        caller.authorizer.insert(name.to_owned(), value.to_owned());
    }
    let told = Told {
        caller: Some(caller),
        is_canary: Some(true),
        operation_name: "getPet",
        variables: [("url".to_owned(), "a\"b".to_owned())].into_iter().collect(),
        ..Told::default()
    };
    let event = told.event();
    let context = &event["requestContext"];
    assert_eq!(
        context["authorizer"],
        json!({"principalId": "user|1", "integrationLatency": 41, "admin": "true"})
    );
    assert_eq!(context["isCanaryRequest"], json!("true"));
    assert_eq!(context["operationName"], json!("getPet"));
    let identity = &context["identity"];
    assert_eq!([&identity["apiKey"], &identity["apiKeyId"]], [&json!("k"), &json!("k1")]);
    assert_eq!(identity["vpceId"], json!("vpce-1"));
    assert_eq!(event["stageVariables"], json!({"url": "a\"b"}));
    let claims = [("sub".to_owned(), "1".to_owned())].into_iter().collect();
    let caller = CallerFacts { claims, ..CallerFacts::default() };
    let event = Told { caller: Some(caller), ..Told::default() }.event();
    assert_eq!(event["requestContext"]["authorizer"], json!({"claims": {"sub": "1"}}));
    let event = Told { caller: Some(CallerFacts::default()), ..Told::default() }.event();
    assert_eq!(event["requestContext"].get("authorizer"), None);
}

/// rest-data-plane 7.7, `isBase64Encoded`.
#[test]
fn bodies() {
    let shown = |body: &'static [u8], is_binary| {
        let event = Told { body, is_binary, method: Method::POST, ..Told::default() }.event();
        (event["body"].clone(), event["isBase64Encoded"].clone())
    };
    assert_eq!(shown(b"", false), (Value::Null, json!(false)));
    assert_eq!(shown(b"", true), (Value::Null, json!(false)));
    assert_eq!(shown(b"\"a\"\n\x01", false), (json!("\"a\"\n\u{1}"), json!(false)));
    assert_eq!(shown(b"\xff\xfe", false), (json!("\u{fffd}\u{fffd}"), json!(false)));
    assert_eq!(shown(b"\xff\xfe", true), (json!("//4="), json!(true)));
    let mut out = Vec::new();
    let long: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
    base64(&mut out, &long);
    assert_eq!(STANDARD.decode(&out).unwrap(), long);
}
