//! rest-data-plane 4.3, 5.7, 6.1, 6.3, 7.5, 7.9: from the integration's answer to the client's.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use proptest::prelude::*;

use super::super::content::BinaryTypes;
use super::super::responses::{MappedResponse, ResponseMapping};
use super::super::template::Overrides;
use super::super::{CompileError, MappingError, Side};
use super::{headers, table, with_call, with_route};
use crate::model::rest_api::{ContentHandling, Integration, IntegrationKind, IntegrationResponse};

/// The method responses of all methods here.
const DECLARED: [u16; 7] = [200, 201, 400, 404, 405, 500, 502];

fn response(
    pattern: Option<&str>,
    status: u16,
    parameters: &[(&str, &str)],
) -> IntegrationResponse {
    IntegrationResponse {
        selection_pattern: pattern.map(str::to_owned),
        status_code: status,
        response_parameters: table(parameters),
        ..IntegrationResponse::default()
    }
}

fn integration(responses: &[IntegrationResponse]) -> Integration {
    Integration {
        kind: IntegrationKind::Http,
        responses: responses.to_vec(),
        ..Integration::default()
    }
}

fn compile(integration: &Integration) -> Result<ResponseMapping, CompileError> {
    with_route(|route| ResponseMapping::compile(integration, &DECLARED, route))
}

fn select(responses: &[IntegrationResponse], status: u16) -> Result<u16, MappingError> {
    let mapping = compile(&integration(responses)).unwrap();
    let chosen = mapping.by_status(StatusCode::from_u16(status).unwrap())?;
    let none = HeaderMap::new();
    let plan = chosen.plan(&none, &none, &BinaryTypes::default())?;
    let mapped = with_call(None, |call| plan.run(call, &none, None, Overrides::default()))?;
    Ok(mapped.status.as_u16())
}

/// What the client gets where the backend said `theirs` and `body` with 200.
fn answered(
    integration: &Integration,
    theirs: HeaderMap,
    body: &'static str,
    clients: &[(&str, &str)],
) -> Result<MappedResponse, MappingError> {
    let mapping = compile(integration).unwrap();
    let binary = BinaryTypes::new(&["image/*".to_owned()]);
    let plan = mapping.by_status(StatusCode::OK)?.plan(&theirs, &headers(clients), &binary)?;
    let body = Some(Bytes::from_static(body.as_bytes()));
    with_call(None, |call| plan.run(call, &theirs, body, Overrides::default()))
}

/// AWS: "Set up an integration response"; recorded: test_http_integration_status_code_selection.
#[test]
fn a_response_is_selected_by_the_whole_status() {
    let two = [response(None, 200, &[]), response(Some(r"4\d{2}"), 400, &[])];
    let none_default = [response(Some("20"), 200, &[]), response(Some("5.."), 500, &[])];
    let shadow =
        [response(Some(".*"), 200, &[]), response(None, 201, &[]), response(Some("404"), 404, &[])];
    let either = [response(Some("404|5"), 404, &[]), response(Some(""), 200, &[])];
    for (responses, backend, expected) in [
        (&two[..], 404, Ok(400)),
        (&two, 201, Ok(200)),
        (&none_default, 503, Ok(500)),
        (&none_default, 200, Err(200)),
        (&none_default, 299, Err(299)),
        (&shadow, 404, Ok(200)),
        (&either, 404, Ok(404)),
        (&either, 500, Ok(200)),
        (&either, 999, Ok(200)),
        (&[], 200, Err(200)),
    ] {
        let expected = expected.map_err(|status| MappingError::NoResponse { status });
        assert_eq!(select(responses, backend), expected, "{backend}");
    }
}

/// rest-data-plane 6.3.5.
#[test]
fn the_chosen_status_must_be_a_method_response() {
    assert_eq!(
        select(&[response(None, 299, &[])], 200),
        Err(MappingError::UndeclaredStatus { status: 299 })
    );
    let unused = [response(Some("404"), 299, &[]), response(None, 200, &[])];
    assert_eq!(select(&unused, 200), Ok(200));
}

/// rest-data-plane 6.3.1; recorded: test_lambda_selection_patterns.
#[test]
fn a_function_is_judged_by_its_error_message() {
    let responses = [
        response(None, 200, &[]),
        response(Some(".*four hundred.*"), 405, &[]),
        response(Some("200"), 500, &[]),
        response(Some(".+"), 502, &[]),
    ];
    let mapping = compile(&integration(&responses)).unwrap();
    let none = HeaderMap::new();
    for (message, expected) in [
        (None, 200),
        (Some("a four hundred problem"), 405),
        (Some("other"), 502),
        (Some("two\nlines"), 200),
        (Some("200"), 500),
    ] {
        let chosen = mapping.by_message(message, StatusCode::OK).unwrap();
        let plan = chosen.plan(&none, &none, &BinaryTypes::default()).unwrap();
        let mapped = with_call(None, |call| plan.run(call, &none, None, Overrides::default()));
        assert_eq!(mapped.unwrap().status.as_u16(), expected, "{message:?}");
    }
    let only = compile(&integration(&[response(Some("x"), 200, &[])])).unwrap();
    let failed = only.by_message(Some("y"), StatusCode::OK);
    assert_eq!(failed.err(), Some(MappingError::NoResponse { status: 200 }));
}

#[test]
fn patterns_we_cannot_read_are_refused_when_compiled() {
    for pattern in ["(", "a)(b", "["] {
        let compiled = compile(&integration(&[response(Some(pattern), 200, &[])]));
        assert!(matches!(compiled, Err(CompileError::BadPattern { .. })), "{pattern}");
    }
}

/// Recorded: test_apigateway_header_remapping_http, the table of what a mapped header becomes.
#[test]
fn only_mapped_headers_remain_and_some_under_another_name() {
    let renamed = [
        "Authorization",
        "Connection",
        "Content-Length",
        "Content-MD5",
        "Date",
        "Expect",
        "Host",
        "Max-Forwards",
        "Proxy-Authenticate",
        "Server",
        "Trailer",
        "Upgrade",
        "User-Agent",
        "WWW-Authenticate",
    ];
    let passed = [
        "Accept",
        "Accept-Charset",
        "Accept-Encoding",
        "Age",
        "Content-Encoding",
        "Content-Type",
        "Pragma",
        "Range",
        "Referer",
        "TE",
        "Via",
        "Warn",
    ];
    let becomes = |name: &str| {
        let key = format!("method.response.header.{name}");
        let responses = [response(None, 200, &[(&key, "integration.response.header.x")])];
        let theirs = headers(&[("x", "old"), ("x", "new"), ("other", "1")]);
        let reply = answered(&integration(&responses), theirs, "", &[]).unwrap();
        let found = reply.headers.iter().find(|(_, value)| *value == "new");
        let expected =
            if found.is_some_and(|(name, _)| name != header::CONTENT_TYPE) { 2 } else { 1 };
        assert_eq!(reply.headers.len(), expected, "{:?}", reply.headers);
        found.map(|(name, _)| name.to_string())
    };
    for name in renamed {
        let expected = format!("x-amzn-remapped-{}", name.to_lowercase());
        assert_eq!(becomes(name), Some(expected));
    }
    for name in passed {
        assert_eq!(becomes(name), Some(name.to_lowercase()));
    }
    assert_eq!(becomes("Transfer-Encoding"), None);
}

#[test]
fn response_headers_come_from_the_answer_the_stage_or_the_author() {
    let mut integration = integration(&[response(
        None,
        201,
        &[
            ("method.response.header.a", "'fixed'"),
            ("method.response.header.b", "stageVariables.version"),
            ("method.response.header.c", "stageVariables.absent"),
            ("method.response.header.d", "integration.response.multivalueheader.x"),
            ("method.response.header.e", "integration.response.header.absent"),
            ("method.response.header.f", "integration.response.body.a.b"),
            ("method.response.header.g", "integration.response.body.absent"),
            ("method.response.header.h", "integration.response.body"),
            ("method.response.header.i", "context.httpMethod"),
        ],
    )]);
    let theirs = headers(&[("x", "1"), ("x", "2"), ("date", "now")]);
    let body = r#"{"a": {"b": 5}}"#;
    let mapped = answered(&integration, theirs.clone(), body, &[]).unwrap();
    let expected = headers(&[
        ("a", "fixed"),
        ("b", "v 2"),
        ("d", "1,2"),
        ("f", "5"),
        ("h", body),
        ("i", "GET"),
        ("content-type", "application/json"),
    ]);
    assert_eq!((mapped.status, mapped.headers), (StatusCode::CREATED, expected));
    assert_eq!(mapped.body.unwrap(), body);
    let broken = answered(&integration, theirs.clone(), "\n{wrongjson", &[]);
    assert_eq!(broken.err(), Some(MappingError::ResponseNotJson));
    assert!(answered(&integration, theirs.clone(), "plain", &[]).is_ok());
    let whole = [("method.response.header.x", "integration.response.body")];
    let whole = self::integration(&[response(None, 200, &whole)]);
    let broken = answered(&whole, theirs, "[1", &[]);
    assert_eq!(broken.err(), Some(MappingError::ResponseNotJson));
    for (key, expression) in [
        ("overwrite:header.x", "'1'"),
        ("append:header.x", "'1'"),
        ("remove:header.x", "''"),
        ("overwrite:method.response.header.x", "'1'"),
        ("method.response.body.x", "'1'"),
        ("method.response.header.x", "integration.response.path.x"),
        ("method.response.header.x", "context.nothing"),
        ("method.response.header.x", "text"),
    ] {
        integration.responses = vec![response(None, 200, &[(key, expression)])];
        assert!(compile(&integration).is_err(), "{key} {expression}");
    }
}

fn with_templates(templates: &[(&str, &str)], parameters: &[(&str, &str)]) -> Integration {
    integration(&[IntegrationResponse {
        response_templates: table(templates),
        ..response(None, 200, parameters)
    }])
}

/// The content type and the body that a client gets.
fn templated(integration: &Integration, clients: &[(&str, &str)]) -> (String, Bytes) {
    let theirs = headers(&[("content-type", "a/theirs")]);
    let mapped = answered(integration, theirs, "theirs", clients).unwrap();
    let media_type = mapped.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    (media_type, mapped.body.unwrap())
}

/// Selection by `Accept`, then JSON, then the first (rest-data-plane 4.3); an empty template lets
/// the body pass. The key says nothing of what the client gets (6.3.7): that is JSON unless mapped.
#[test]
fn a_response_template_makes_the_body_and_not_its_media_type() {
    let mapping = with_templates(
        &[("text/xml", "<a/>"), ("application/json", "$input.body!"), ("text/plain", "")],
        &[],
    );
    let json = |body: &str| ("application/json".to_owned(), Bytes::from(body.to_owned()));
    for (accept, body) in [
        (&[][..], "theirs!"),
        (&["text/xml"], "<a/>"),
        (&["Text/XML"], "<a/>"),
        (&["text/xml, */*"], "theirs!"),
        (&["text/xml", "image/a"], "theirs!"),
        (&["image/a", "text/xml"], "<a/>"),
        (&["text/plain"], "theirs"),
    ] {
        let clients: Vec<(&str, &str)> = accept.iter().map(|value| ("accept", *value)).collect();
        if accept.first() == Some(&"image/a") {
            // This client wants bytes, which the table of 7.9 speaks of.
            let refused = answered(&mapping, HeaderMap::new(), "theirs", &clients);
            assert_eq!(refused.err(), Some(MappingError::BinaryTemplate(Side::Response)));
            continue;
        }
        assert_eq!(templated(&mapping, &clients), json(body), "{accept:?}");
    }
    let first = with_templates(&[("text/xml", "<a/>"), ("text/plain", "a")], &[]);
    assert_eq!(templated(&first, &[]), json("<a/>"));
    let mapped = [("method.response.header.Content-Type", "'text/html'")];
    let mapped = with_templates(&[("application/json", "<p>")], &mapped);
    let html = ("text/html".to_owned(), Bytes::from("<p>"));
    assert_eq!(templated(&mapped, &[]), html);
    let over = "#set($context.responseOverride.header.Content-Type = 'text/html')<p>";
    assert_eq!(templated(&with_templates(&[("text/xml", over)], &[]), &[]), html);
    let none = with_templates(&[], &[]);
    assert_eq!(templated(&none, &[("accept", "text/xml")]), json("theirs"));
}

/// rest-data-plane 5.7: overrides are applied last; a list gives several headers; a status that is
/// none is ignored.
#[test]
fn overrides_have_the_last_word() {
    let parameters = [("method.response.header.a", "'mapped'")];
    let answer = |template: &str| {
        let integration = with_templates(&[("application/json", template)], &parameters);
        answered(&integration, HeaderMap::new(), "{}", &[])
    };
    let mapped = answer(
        "#set($context.responseOverride.status = 444)\
         #set($context.responseOverride.header.A = 'over')\
         #set($context.responseOverride.header['x'] = ['1', '2'])\
         #set($context.responseOverride.header.Date = 'd')body",
    )
    .unwrap();
    assert_eq!(mapped.status.as_u16(), 444);
    let expected = headers(&[
        ("content-type", "application/json"),
        ("a", "over"),
        ("x", "1"),
        ("x", "2"),
        ("x-amzn-remapped-date", "d"),
    ]);
    assert_eq!(mapped.headers, expected);
    assert_eq!(mapped.body.unwrap(), "body");
    for ignored in ["99", "600", "'text'", "'404'", "[1]"] {
        let template = format!("#set($context.responseOverride.status = {ignored})");
        assert_eq!(answer(&template).unwrap().status, StatusCode::OK, "{ignored}");
    }
    let not_final = answer("#set($context.responseOverride.status = 101)");
    assert_eq!(not_final.err(), Some(MappingError::UndeclaredStatus { status: 101 }));
    let many =
        answer("#foreach($i in [1..501])#set($context.responseOverride.header[\"x$i\"] = 'v')#end");
    assert_eq!(many.err(), Some(MappingError::TooManyOverrides { limit: 500 }));
    let line = answer("#set($context.responseOverride.header.b = \"a\nb\")");
    assert!(matches!(line, Err(MappingError::BadHeaderValue(_))), "{line:?}");
}

/// rest-data-plane 5.1: a text that is no template is a 500 when the call comes.
#[test]
fn a_broken_template_fails_the_call() {
    let integration = with_templates(&[("application/json", "#if(")], &[]);
    let failed = answered(&integration, HeaderMap::new(), "{}", &[]);
    assert!(matches!(failed, Err(MappingError::Template { side: Side::Response, .. })));
}

#[test]
fn templates_that_cannot_be_used_are_refused_when_compiled() {
    let refused = |templates: &[(&str, &str)]| compile(&with_templates(templates, &[])).err();
    let key = || "a/b".to_owned();
    let long = "x".repeat(crate::model::quotas::TEMPLATE_BYTES_MAX + 1);
    let limit = crate::model::quotas::TEMPLATE_BYTES_MAX;
    assert_eq!(
        refused(&[("a/b", &long)]),
        Some(CompileError::TemplateTooLong { key: key(), limit })
    );
    let bad = Some(CompileError::BadMediaType { key: "none".into() });
    assert_eq!(refused(&[("none", "x")]), bad);
    let many: Vec<String> = (0..101).map(|n| format!("a/{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
    assert_eq!(refused(&many), Some(CompileError::TooManyTemplates { limit: 100 }));
}

/// rest-data-plane 7.9, the rows of responses; the client's first type decides.
#[test]
fn bodies_are_converted_for_the_client() {
    use ContentHandling::{ConvertToBinary as ToBinary, ConvertToText as ToText};
    let (text, image) = ("text/plain", "image/png");
    for (theirs, accept, handling, expected) in [
        (text, text, None, Ok("aGk=")),
        (text, text, Some(ToText), Ok("aGk=")),
        (text, text, Some(ToBinary), Ok("hi")),
        (text, image, None, Ok("hi")),
        (text, image, Some(ToText), Ok("aGk=")),
        (text, image, Some(ToBinary), Ok("hi")),
        (image, text, None, Ok("YUdrPQ==")),
        (image, text, Some(ToText), Ok("YUdrPQ==")),
        (image, text, Some(ToBinary), Ok("aGk=")),
        (image, image, None, Ok("aGk=")),
        (image, image, Some(ToText), Ok("YUdrPQ==")),
        (image, image, Some(ToBinary), Ok("aGk=")),
    ] {
        let mut response = response(None, 200, &[]);
        response.content_handling = handling;
        let integration = integration(&[response]);
        let clients = [("accept", format!("{accept}, */*"))];
        let clients: Vec<(&str, &str)> =
            clients.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let theirs = headers(&[("content-type", theirs)]);
        let mapped = answered(&integration, theirs.clone(), "aGk=", &clients);
        let got = mapped.map(|mapped| mapped.body.unwrap());
        assert_eq!(got, expected.map(Bytes::from), "{theirs:?} {accept} {handling:?}");
        let decodes = got_decodes(theirs.get("content-type").unwrap() == image, accept, handling);
        let broken = answered(&integration, theirs, "no base64!", &clients);
        assert_eq!(broken.err() == Some(MappingError::NotBase64), decodes);
    }
}

fn got_decodes(is_binary: bool, accept: &str, handling: Option<ContentHandling>) -> bool {
    !is_binary
        && (handling == Some(ContentHandling::ConvertToBinary)
            || handling.is_none() && accept.starts_with("image"))
}

proptest! {
    #[test]
    fn compiling_never_panics(key: String, expression: String, pattern: String) {
        let response = response(Some(&pattern), 200, &[(&key, &expression)]);
        drop(compile(&integration(&[response])));
    }
}
