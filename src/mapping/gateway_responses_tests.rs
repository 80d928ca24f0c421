//! What authors make of refusals: rest-data-plane 3.5.

use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::mapping::context::{ErrorFacts, PathParameters, RouteFacts};
use crate::net::clock::Timestamp;

const REPORT: &str = r#"[object has missing required properties (["id","name"])]"#;

/// A call of POST /prod/pets/7?q=a%20b that was refused.
fn on_a_call<T>(
    accept: Option<&str>,
    message: Option<&str>,
    run: impl FnOnce(&CallContext<'_>) -> T,
) -> T {
    let variables: IndexMap<String, String> = [("color".into(), "blue".into())].into();
    let mut headers = HeaderMap::new();
    headers.append("origin", HeaderValue::from_static("https://a.test"));
    headers.append("x-two", HeaderValue::from_static("1"));
    headers.append("x-two", HeaderValue::from_static("2"));
    if let Some(accept) = accept {
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
    }
    let names = ["id".to_owned()];
    let (method, id) = (Method::POST, Uuid::nil());
    let id_range = 6..7;
    run(&CallContext {
        facts: RouteFacts {
            api_id: "a1b2c3d4e5",
            account_id: "123456789012",
            stage: "prod",
            deployment_id: "dep001",
            resource_id: "res001",
            resource_path: "/pets/{id}",
            operation_name: "",
            stage_variables: &variables,
            is_canary: None,
        },
        method: &method,
        headers: &headers,
        spelling: None,
        query: Some("q=a%20b"),
        path_parameters: PathParameters {
            names: &names,
            path: "/pets/7",
            ranges: std::slice::from_ref(&id_range),
        },
        request_id: &id,
        extended_request_id: "cXNV7F7iPHcFoDA=",
        aws_endpoint_request_id: None,
        source_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        path: "/prod/pets/7",
        protocol: "HTTP/1.1",
        domain_name: "api.test",
        received_at: Timestamp::from_millis(1_700_000_000_123),
        caller: None,
        error: Some(ErrorFacts {
            message,
            response_type: "BAD_REQUEST_BODY",
            validation_error: REPORT,
        }),
    })
}

fn map(list: &[(&str, &str)]) -> IndexMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn entry(
    status_code: Option<u16>,
    parameters: &[(&str, &str)],
    templates: &[(&str, &str)],
) -> rest_api::GatewayResponse {
    rest_api::GatewayResponse {
        status_code,
        response_parameters: map(parameters),
        response_templates: map(templates),
    }
}

#[track_caller]
fn compiled(entries: &[(&str, rest_api::GatewayResponse)]) -> GatewayResponses {
    let entries = entries.iter().map(|(kind, own)| ((*kind).to_owned(), own.clone())).collect();
    GatewayResponses::compile(&entries).unwrap()
}

fn body(template: &str) -> String {
    let all = compiled(&[("THROTTLED", entry(None, &[], &[(JSON, template)]))]);
    let own = all.of("THROTTLED", StatusCode::TOO_MANY_REQUESTS).unwrap();
    let made = on_a_call(None, Some("It's \"bad\""), |call| own.make(call));
    String::from_utf8(made.body.unwrap().1.to_vec()).unwrap()
}

/// Plain substitution: not the mapping language.
#[test]
fn variables_are_put_in_and_nothing_else_happens() {
    for (template, expected) in [
        ("plain", "plain"),
        ("$context.stage", "prod"),
        ("${context.stage}x", "prodx"),
        ("$context.stage.", "prod."),
        ("$context.error.message", "It's \"bad\""),
        ("{\"m\":$context.error.messageString}", "{\"m\":\"It's \\\"bad\\\"\"}"),
        ("$context.error.responseType", "BAD_REQUEST_BODY"),
        ("$context.error.validationErrorString", REPORT),
        (
            "{\"v\":\"$context.error.validationErrorString\"}",
            r#"{"v":"[object has missing required properties ([\"id\",\"name\"])]"}"#,
        ),
        ("$context.resourcePath|$context.httpMethod", "/pets/{id}|POST"),
        ("$context.identity.sourceIp", "203.0.113.9"),
        ("$context.requestId", "00000000-0000-0000-0000-000000000000"),
        ("$context.nothing|$context.authorizer.x-y", "|"),
        ("$stageVariables.color-$stageVariables.gone.", "blue-."),
        ("$method.request.header.Origin", "https://a.test"),
        ("$method.request.header.x-two", "2"),
        ("$method.request.header.Host", "api.test"),
        ("$method.request.querystring.q", "a b"),
        ("$method.request.path.id", "7"),
        ("$method.request.body", ""),
        // No language: directives, unknown references and lone signs stand as they are.
        ("#if($context.stage == \"x\")a#end", "#if(prod == \"x\")a#end"),
        ("$util.x $$ $ ${ $input.body 5$", "$util.x $$ $ ${ $input.body 5$"),
        ("${context.stage", "${context.stage"),
        ("$context. $contextual", "$context. $contextual"),
    ] {
        assert_eq!(body(template), expected, "{template}");
    }
}

/// rest-data-plane 3.5: `messageString` is `null` where there is no message.
#[test]
fn a_type_without_a_message_says_null() {
    let all = compiled(&[(
        "AUTHORIZER_FAILURE",
        entry(None, &[], &[(JSON, "[$context.error.messageString,\"$context.error.message\"]")]),
    )]);
    let own = all.of("AUTHORIZER_FAILURE", StatusCode::INTERNAL_SERVER_ERROR).unwrap();
    let made = on_a_call(None, None, |call| own.make(call));
    assert_eq!(made.body.unwrap().1, "[null,\"\"]");
}

#[test]
fn parameters_become_headers() {
    let own = entry(
        Some(418),
        &[
            ("gatewayresponse.header.Access-Control-Allow-Origin", "'*'"),
            ("gatewayresponse.header.x-origin", "method.request.header.origin"),
            ("gatewayresponse.header.x-query", "method.request.querystring.q"),
            ("gatewayresponse.header.x-path", "method.request.path.id"),
            ("gatewayresponse.header.x-context", "context.error.responseType"),
            ("gatewayresponse.header.x-variable", "stageVariables.color"),
            ("gatewayresponse.header.x-absent", "method.request.header.gone"),
            ("gatewayresponse.header.x-empty", "''"),
            ("gatewayresponse.header.Content-Length", "'7'"),
            ("gatewayresponse.header.Transfer-Encoding", "'chunked'"),
            ("gatewayresponse.header.x-broken", "context.error.message"),
        ],
        &[],
    );
    let all = compiled(&[("DEFAULT_4XX", own)]);
    let own = all.of("THROTTLED", StatusCode::TOO_MANY_REQUESTS).unwrap();
    let made = on_a_call(None, Some("two\nlines"), |call| own.make(call));
    let headers: Vec<(&str, &str)> =
        made.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(
        headers,
        [
            ("access-control-allow-origin", "*"),
            ("x-origin", "https://a.test"),
            ("x-query", "a b"),
            ("x-path", "7"),
            ("x-context", "BAD_REQUEST_BODY"),
            ("x-variable", "blue"),
            ("x-empty", ""),
        ]
    );
    assert_eq!((made.status, made.body), (Some(StatusCode::IM_A_TEAPOT), None));
}

/// Recorded: test_gateway_response_put. Entries are not merged.
#[test]
fn an_own_entry_hides_the_default_of_its_class() {
    let all = compiled(&[
        ("DEFAULT_5XX", entry(Some(599), &[("gatewayresponse.header.a", "'b'")], &[(JSON, "x")])),
        ("INTEGRATION_TIMEOUT", entry(None, &[("gatewayresponse.header.c", "'d'")], &[])),
        ("INTEGRATION_FAILURE", entry(None, &[], &[(JSON, DEFAULT_TEMPLATE)])),
    ]);
    let made = |kind: &str, status: StatusCode| {
        let own = all.of(kind, status)?;
        Some(on_a_call(None, Some("m"), |call| own.make(call)))
    };
    let of_class = made("API_CONFIGURATION_ERROR", StatusCode::INTERNAL_SERVER_ERROR).unwrap();
    assert_eq!(of_class.status.unwrap().as_u16(), 599);
    assert_eq!((of_class.headers.len(), of_class.body.is_some()), (1, true));
    let own = made("INTEGRATION_TIMEOUT", StatusCode::GATEWAY_TIMEOUT).unwrap();
    assert_eq!((own.status, own.body), (None, None));
    assert_eq!(own.headers[0].0, "c");
    // The template that every type has while nobody gives it another is the type's own body.
    let own = made("INTEGRATION_FAILURE", StatusCode::GATEWAY_TIMEOUT).unwrap();
    assert_eq!(own, Made { status: None, headers: Vec::new(), body: None });
    assert_eq!(made("THROTTLED", StatusCode::TOO_MANY_REQUESTS), None);
}

/// `Accept` picks the template; else JSON's, else the first.
#[test]
fn accept_picks_the_template() {
    let three = [("text/html", "h"), ("application/json", "j"), ("text/plain", "t")];
    for (templates, accept, media_type, expected) in [
        (&three[..], None, "application/json", "j"),
        (&three[..], Some("*/*"), "application/json", "j"),
        (&three[..], Some("text/plain"), "text/plain", "t"),
        (&three[..], Some("TEXT/HTML"), "text/html", "h"),
        (&three[..], Some("text/html,application/json"), "application/json", "j"),
        (&three[..1], Some("application/json"), "text/html", "h"),
    ] {
        let all = compiled(&[("DEFAULT_4XX", entry(None, &[], templates))]);
        let own = all.of("THROTTLED", StatusCode::TOO_MANY_REQUESTS).unwrap();
        let made = on_a_call(accept, Some("m"), |call| own.make(call)).body.unwrap();
        assert_eq!((made.0.to_str().unwrap(), &made.1[..]), (media_type, expected.as_bytes()));
    }
}

#[test]
fn what_cannot_be_compiled_is_named() {
    let bad = entry(
        Some(100),
        &[("gatewayresponse.header.a", "method.request.body"), ("header.b", "'x'")],
        &[("json", "x")],
    );
    let failed = GatewayResponses::compile(&[("THROTTLED".to_owned(), bad)].into()).unwrap_err();
    let places: Vec<&str> = failed.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "THROTTLED statusCode",
            "THROTTLED responseParameters gatewayresponse.header.a",
            "THROTTLED responseParameters header.b",
            "THROTTLED responseTemplates json",
        ]
    );
}

#[test]
fn who_shows_what_is_known() {
    let shows = |own| compiled(&[("DEFAULT_4XX", own)]).show_validation_errors();
    assert!(!shows(entry(None, &[], &[(JSON, "$context.error.message")])));
    assert!(shows(entry(None, &[], &[(JSON, "\"$context.error.validationErrorString\"")])));
    assert!(shows(entry(None, &[], &[("text/plain", "$context.error.validationErrorString")])));
    let header = [("gatewayresponse.header.x", "context.error.validationErrorString")];
    assert!(shows(entry(None, &header, &[])));
    let entries = [(
        "DEFAULT_4XX".to_owned(),
        entry(
            None,
            &[("gatewayresponse.header.x", "stageVariables.one")],
            &[(JSON, "${stageVariables.two} $stageVariables.three.x")],
        ),
    )];
    let mut shown: Vec<String> = shown_stage_variables(&entries.into()).into_iter().collect();
    shown.sort_unstable();
    assert_eq!(shown, ["one", "three", "two"]);
}

proptest! {
    #[test]
    fn any_template_prints(template in "[$a-c{}.\"#]{0,12}(\\$context\\.stage|\\$\\{context\\.x|[$.{}é-]){0,6}") {
        body(&template);
    }

    /// Without variables a template is its own output.
    #[test]
    fn text_is_its_own_output(template in "[^$]{0,40}") {
        prop_assume!(template != DEFAULT_TEMPLATE);
        prop_assert_eq!(body(&template), template);
    }
}
