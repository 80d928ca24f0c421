//! rest-data-plane 4.3, 5.7, 7.2, 7.9: from the client's request to the integration's.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::super::content::BinaryTypes;
use super::super::context::{CallContext, CallerFacts, ClientCert};
use super::super::request::{MappedRequest, RequestSide};
use super::super::template::{Parameters, Place};
use super::super::{MappingError, Side, mock};
use super::{headers, table, with_call, with_route};
use crate::call::{PathValue, Spelling};
use crate::model::rest_api::{ContentHandling, Integration, IntegrationKind, Passthrough};

fn integration(templates: &[(&str, &str)], passthrough: Passthrough) -> Integration {
    Integration {
        kind: IntegrationKind::Http,
        request_templates: table(templates),
        passthrough,
        ..Integration::default()
    }
}

/// Whether the body is looked into, and what is sent on.
fn sent(
    integration: &Integration,
    content_type: Option<&str>,
    body: &'static str,
) -> Result<(bool, MappedRequest), MappingError> {
    let side = with_route(|route| RequestSide::compile(integration, route)).unwrap();
    let clients: Vec<(&str, &str)> =
        content_type.map(|sent| ("content-type", sent)).into_iter().collect();
    let binary = BinaryTypes::new(&["image/*".to_owned()]);
    let plan = side.plan(&headers(&clients), &binary)?;
    let needed = plan.needs_body();
    let body = needed.then(|| Bytes::from_static(body.as_bytes()));
    with_call(None, |call| Ok((needed, plan.run(call, body)?)))
}

/// AWS: "Method request behavior for payloads without mapping templates", its table.
#[test]
fn a_body_without_a_template_passes_as_the_author_says() {
    use Passthrough::{Never, WhenNoMatch, WhenNoTemplates};
    let json = [("application/json", "j$input.body")];
    let any = [("application/json", "j"), ("$default", "d")];
    let body = |templates: &[(&str, &str)], passthrough, sent_type: Option<&str>| {
        let (_, mapped) = sent(&integration(templates, passthrough), sent_type, "mine")?;
        Ok(mapped.body.map(|body| String::from_utf8(body.to_vec()).unwrap()))
    };
    let is = |text: &str| Ok(Some(text.to_owned()));
    let refused = || Err(MappingError::UnsupportedMediaType);
    for passthrough in [WhenNoMatch, WhenNoTemplates, Never] {
        assert_eq!(body(&json, passthrough, None), is("jmine"));
        let spelled = Some("Application/JSON; charset=x");
        assert_eq!(body(&json, passthrough, spelled), is("jmine"));
        assert_eq!(body(&any, passthrough, Some("text/xml")), is("d"));
        // An empty template counts, and changes nothing.
        assert_eq!(body(&[("text/xml", "")], passthrough, Some("text/xml")), is("mine"));
    }
    for (passthrough, no_match, no_templates) in [
        (WhenNoMatch, is("mine"), is("mine")),
        (WhenNoTemplates, refused(), is("mine")),
        (Never, refused(), refused()),
    ] {
        assert_eq!(body(&json, passthrough, Some("text/xml")), no_match, "{passthrough:?}");
        assert_eq!(body(&[], passthrough, Some("text/xml")), no_templates, "{passthrough:?}");
    }
}

/// A body that a template replaces unseen is not read; one that goes on has to be text and have a
/// length (rest-data-plane 7.4, 7.9).
#[test]
fn bodies_that_go_nowhere_are_not_read() {
    let plain = integration(&[], Passthrough::WhenNoMatch);
    let constant = integration(&[("application/json", "x")], Passthrough::WhenNoMatch);
    let computed = integration(&[("application/json", "$input.body")], Passthrough::WhenNoMatch);
    let mut mapped = plain.clone();
    mapped.request_parameters = table(&[("integration.request.header.x", "method.request.body.a")]);
    let mut header = plain.clone();
    header.request_parameters =
        table(&[("integration.request.header.x", "method.request.header.x-one")]);
    header.request_templates = constant.request_templates.clone();
    for (integration, expected) in
        [(&plain, true), (&constant, false), (&header, false), (&computed, true), (&mapped, true)]
    {
        let (needed, _) = sent(integration, None, "").unwrap();
        assert_eq!(needed, expected, "{integration:?}");
    }
}

/// rest-data-plane 5.3: `$input.body` without a body, parameters of the request.
#[test]
fn a_template_sees_body_parameters_and_variables() {
    let render = |template: &'static str, body: &'static str| {
        let integration = integration(&[("application/json", template)], Passthrough::Never);
        let (_, mapped) = sent(&integration, None, body).unwrap();
        String::from_utf8(mapped.body.unwrap().to_vec()).unwrap()
    };
    for (template, body, expected) in [
        ("<$input.body>", "", "<{}>"),
        ("<$input.body>", "text", "<text>"),
        ("$input.json('$.a')", r#"{"a": [1]}"#, "[1]"),
        ("$input.params('id')", "", "a%2Fb"),
        ("$input.params('q')", "", "x y"),
        ("$input.params('x-one')", "", "1"),
        // The client wrote it in lower case (12.5).
        ("<$input.params('X-One')>", "", "<>"),
        ("$input.params('User-Agent') $input.params('user-agent')", "", "curl/8 curl/8"),
        ("$input.params().header.x-two", "", "b"),
        ("<$input.params('expect')>", "", "<>"),
        ("$input.params().path.id", "", "a%2Fb"),
        ("$stageVariables.version", "", "v 2"),
        ("<$stageVariables.absent>", "", "<>"),
        ("$context.identity.sourceIp", "", "203.0.113.9"),
        ("<$context.identity.user>", "", "<>"),
        ("$context.requestTimeEpoch", "", "1428582896000"),
        ("$context.resourcePath $context.httpMethod", "", "/pets/{id} GET"),
        ("<$context.nothing.at.all>", "", "<>"),
    ] {
        assert_eq!(render(template, body), expected, "{template}");
    }
}

/// rest-data-plane 5.7: after all mappings, and the last word.
#[test]
fn overrides_replace_what_is_mapped() {
    let mut integration = integration(
        &[(
            "application/json",
            "#set($context.requestOverride.header.X-A = ['1', '2'])\
             #set($context.requestOverride.querystring.q = 'over')\
             #set($context.requestOverride.path.p = 'a%b')body",
        )],
        Passthrough::Never,
    );
    integration.request_parameters = table(&[
        ("integration.request.header.x-a", "'mapped'"),
        ("integration.request.header.x-b", "'kept'"),
        ("integration.request.querystring.q", "'mapped'"),
        ("integration.request.querystring.r", "'kept'"),
        ("integration.request.path.p", "method.request.path.id"),
    ]);
    let (_, mapped) = sent(&integration, None, "").unwrap();
    let header = |name: &'static str, value: &'static str| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let parameters = mapped.parameters;
    let expected = [header("x-b", "kept"), header("x-a", "1"), header("x-a", "2")];
    assert_eq!(parameters.headers, expected);
    let expected = [("r".into(), "kept".to_owned()), ("q".into(), "over".to_owned())];
    assert_eq!(parameters.query, expected);
    assert_eq!(parameters.path, [("p".into(), PathValue::Text("a%b".into()))]);
    integration.request_templates = table(&[(
        "application/json",
        "#set($context.requestOverride.header.Content-Length = '1')",
    )]);
    let refused = sent(&integration, None, "").map(drop);
    let name = HeaderName::from_static("content-length");
    assert_eq!(refused, Err(MappingError::HeaderNotAllowed(name)));
}

/// rest-data-plane 7.9, the rows of requests.
#[test]
fn bodies_are_converted_for_the_integration() {
    use ContentHandling::{ConvertToBinary as ToBinary, ConvertToText as ToText};
    for (content_type, handling, expected) in [
        ("text/plain", None, "aGk="),
        ("text/plain", Some(ToText), "aGk="),
        ("text/plain", Some(ToBinary), "hi"),
        ("image/png", None, "aGk="),
        ("image/png", Some(ToText), "YUdrPQ=="),
        ("image/png", Some(ToBinary), "aGk="),
    ] {
        let mut integration = integration(&[], Passthrough::WhenNoMatch);
        integration.kind = IntegrationKind::Aws;
        integration.content_handling = handling;
        let (_, mapped) = sent(&integration, Some(content_type), "aGk=").unwrap();
        assert_eq!(mapped.body.unwrap(), expected, "{content_type} {handling:?}");
        let broken = sent(&integration, Some(content_type), "no base64!").map(drop);
        let decodes = content_type == "text/plain" && handling == Some(ToBinary);
        assert_eq!(broken == Err(MappingError::NotBase64), decodes);
        // A template needs text.
        integration.request_templates = table(&[("$default", "x")]);
        let templated = sent(&integration, Some(content_type), "aGk=").map(drop);
        let text = handling == Some(ToText) || content_type == "text/plain" && handling.is_none();
        let expected = if text { Ok(()) } else { Err(MappingError::BinaryTemplate(Side::Request)) };
        assert_eq!(templated, expected, "{content_type} {handling:?}");
    }
}

/// rest-data-plane 7.2. AWS: "Mock integrations for REST APIs"; leniency and failures as recorded.
#[test]
fn a_mock_names_its_status() {
    for (text, named) in [
        (r#"{"statusCode": 200}"#, Some(200)),
        ("{statusCode: 200}", Some(200)),
        (" { 'statusCode' : 404 , } \n", Some(404)),
        (r#"{"statusCode": 200 ,, }"#, Some(200)),
        (r#"{"statusCode": 200, "x": {"statusCode": 1, 'y': [1, "}"]}}"#, Some(200)),
        (r#"{"x": {"statusCode": 201}, "statusCode": 202}"#, Some(202)),
        (r#"{"a": "\"statusCode\": 1", "statusCode": 203}"#, Some(203)),
        // Names run to the colon, values to the comma or brace.
        ("{statusCode: 200,super{ f}oo: [ba r]}", Some(200)),
        ("{statusCode: 200, foo}: [ba r]}", Some(200)),
        ("{statusCode: 200, foo'}: [ba r]}", Some(200)),
        ("{statusCode: 200, }foo: [ba r]}", Some(200)),
        ("{statusCode: 200, }foo: ''}", Some(200)),
        (r#"{"statusCode": 200, "a": }"#, Some(200)),
        ("{statusCode: 200, foo: a:b}", Some(200)),
        ("{statusCode: 200, foo: it's}", Some(200)),
        ("{statusCode: 200, foo: b{ar}", Some(200)),
        ("{statusCode: 200, foo}: [ba}r]}", Some(200)),
        ("{foo: it's b{ar, a: [x y, {b: c}], statusCode : 201 }", Some(201)),
        ("{a: 'b, statusCode: 500', statusCode: 202}", Some(202)),
        ("{a: {statusCode: 500}, statusCode: 203, statusCode: 204}", Some(204)),
        ("{\nstatusCode: 200,\n a: b\n}\n", Some(200)),
        ("{statusCode: 200, {foo: [ba r]}", None),
        (r#"{"statusCode": 200 "a":1}"#, None),
        ("{statusCode: 200 foo: bar}", None),
        (r#"{"statusCode": 200, 'a':"b" 'c':1}"#, None),
        ("{statusCode: 200, a: {b: 1} c: 1}", None),
        ("{statusCode: 200, a: [b}", None),
        ("{statusCode: 200, a: 'b}", None),
        ("{statusCode: 200, a}", None),
        ("{{statusCode: 200}}", None),
        ("{statusCode 200}", None),
        (r#"{"statusCode ": 200}"#, None),
        ("{statusCode: null}", None),
        (r#"{"statusCode": "200"}"#, None),
        (r#"{"statusCode": 2.5}"#, None),
        (r#"{"code": 200}"#, None),
        (r#"{"statusCode": 200"#, None),
        // What stands behind the object is not looked at.
        (r#"{"statusCode": 200} x"#, Some(200)),
        (r#"[{"statusCode": 200}]"#, None),
        ("statusCode: 200", None),
        ("{", None),
        ("}{", None),
        (r#"{"statusCode": 999}"#, None),
        (r#"{"statusCode": -1}"#, None),
        ("{statusCode: 99}", None),
        ("{statusCode: }", None),
        ("", None),
    ] {
        let status = mock::status(text).ok().map(|status| status.as_u16());
        assert_eq!(status, named, "{text}");
    }
    for deep in ["[", "{a:"] {
        let deep = format!("{{a: {}", deep.repeat(100_000));
        assert_eq!(mock::status(&deep), Err(MappingError::NoMockStatus));
    }
}

proptest! {
    #[test]
    fn a_mock_s_reader_never_panics(text in "[{}\\[\\]\"':,\\\\a0 é]{0,40}") {
        let _status = mock::status(&text);
        let _status = mock::status(&format!("{{{text}"));
        // Whatever stands behind the status, it is that or none; both readings come to an end.
        let status = mock::status(&format!("{{statusCode: 200, x{text}"));
        prop_assert!(status.is_err() || status.is_ok_and(|status| status.as_u16() == 200));
        let long = format!("{{statusCode: 200, x{}", text.repeat(500));
        let _status = mock::status(&long);
    }

    /// Whatever JSON says the lenient reader says, too.
    #[test]
    fn strict_json_is_read_as_it_is(status in 100_u16..600, noise: String) {
        let text = serde_json::json!({"noise": noise, "statusCode": status}).to_string();
        prop_assert_eq!(mock::status(&text).unwrap().as_u16(), status);
    }
}

/// rest-data-plane 5.5: claims have no text as a whole, each of them has; of mTLS's certificate all
/// parts can be asked for.
#[test]
fn a_template_sees_claims_and_the_client_s_certificate() {
    let cert = ClientCert {
        pem: "-----BEGIN".into(),
        subject_dn: "CN=me".into(),
        issuer_dn: "CN=ca".into(),
        serial_number: "a1".into(),
        not_before: "May 28 12:30:02 2019 GMT".into(),
        not_after: "Aug  5 09:36:04 2021 GMT".into(),
    };
    let mut caller = CallerFacts { client_cert: Some(Box::new(cert)), ..CallerFacts::default() };
    caller.claims.insert("sub".into(), "s".into());
    caller.claims.insert("cognito:groups".into(), "g,h".into());
    for (template, expected) in [
        ("[$context.authorizer.claims]", "[]"),
        ("$context.authorizer.claims.sub", "s"),
        ("$context.authorizer.claims['cognito:groups']", "g,h"),
        ("[$context.authorizer.claims.nope]", "[]"),
        ("$context.identity.clientCert.clientCertPem", "-----BEGIN"),
        ("$context.identity.clientCert.subjectDN", "CN=me"),
        ("$context.identity.clientCert.issuerDN", "CN=ca"),
        ("$context.identity.clientCert.serialNumber", "a1"),
        ("$context.identity.clientCert.validity.notBefore", "May 28 12:30:02 2019 GMT"),
        ("$context.identity.clientCert.validity.notAfter", "Aug  5 09:36:04 2021 GMT"),
        ("[$context.identity.clientCert.validity.nope]", "[]"),
    ] {
        let integration = integration(&[("application/json", template)], Passthrough::Never);
        let side = with_route(|route| RequestSide::compile(&integration, route)).unwrap();
        let plan = side.plan(&headers(&[]), &BinaryTypes::default()).unwrap();
        let mapped = with_call(Some(&caller), |call| plan.run(call, None)).unwrap();
        assert_eq!(mapped.body.unwrap(), expected, "{template}");
    }
    // An anonymous caller has none of them.
    let template = "[$context.authorizer.claims.sub][$context.identity.clientCert.subjectDN]";
    let integration = integration(&[("application/json", template)], Passthrough::Never);
    assert_eq!(sent(&integration, None, "").unwrap().1.body.unwrap(), "[][]");
}

/// rest-data-plane 12.5: names in a map of all headers are those the client wrote, or lower case
/// where it had no choice; the gateway's own names are its own.
#[test]
fn names_of_headers_are_those_the_client_wrote() {
    let spelling = Spelling::new(Bytes::from_static(b"X-oNe\nVia\nx-Forwarded-FOR"));
    let names = |spelling: Option<&Spelling>, protocol: &'static str| {
        with_call(None, |call| {
            let mut headers = call.headers.clone();
            headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
            let call = CallContext { headers: &headers, spelling, protocol, ..*call };
            let all = call.all(Place::Header).into_iter().map(|(name, _)| name.into_owned());
            let mut all: Vec<String> = all.collect();
            all.sort_unstable();
            all.join(" ")
        })
    };
    assert_eq!(
        names(Some(&spelling), "HTTP/1.1"),
        "User-Agent Via X-Forwarded-For X-oNe host x-two"
    );
    assert_eq!(names(None, "HTTP/2.0"), "X-Forwarded-For host user-agent via x-one x-two");
}
