use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::cache::key::{KeyError, KeySource, KeyTemplate};
use crate::model::ids::{ApiId, StageName};

fn compile(parameters: &[&str]) -> Result<KeyTemplate, KeyError> {
    compile_for("/pets/{id}", false, parameters)
}

fn compile_for(path: &str, shared: bool, parameters: &[&str]) -> Result<KeyTemplate, KeyError> {
    let parameters: Vec<_> = parameters.iter().map(|text| (*text).to_owned()).collect();
    KeyTemplate::compile(&KeySource {
        canary: None,
        api: &ApiId::new("api"),
        stage: &StageName::new("prod"),
        namespace: "res",
        namespace_is_shared: shared,
        http_method: "GET",
        resource_path: path,
        parameters: &parameters,
    })
}

fn render(template: &KeyTemplate, id: &str, query: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let mut key = vec![1, 2, 3];
    template.render(&mut key, |name| (name == "id").then_some(id), Some(query), &map);
    key
}

/// "Cache settings for REST APIs": parameters that are not declared share one entry.
#[test]
fn undeclared_parameters_are_not_part_of_the_key() {
    let template = compile(&["method.request.querystring.page"]).unwrap();
    let one = render(&template, "1", "page=2&department=A", &[("x-user", "ann")]);
    let other = render(&template, "7", "department=B&page=2", &[]);
    assert_eq!(one, other);
    assert_ne!(one, render(&template, "1", "page=3", &[]));
}

#[test]
fn query_values_are_decoded_before_they_are_compared() {
    let template = compile(&["method.request.querystring.q"]).unwrap();
    let key = |query| render(&template, "1", query, &[]);
    assert_eq!(key("q=a+b"), key("q=a%20b"));
    assert_eq!(key("q=a%2Bb"), key("%71=a%2bb"));
    assert_eq!(key("x=1;q=a"), key("q=a"));
    assert_eq!(key("q"), key("q="));
    assert_ne!(key(""), key("q="), "absent is not empty");
    assert_ne!(key("q=1&q=2"), key("q=2"), "the backend sees both");
    assert_ne!(key("q=1&q=2"), key("q=2&q=1"));
    assert_ne!(key("q=100%"), key("q=100"));
    assert_ne!(key("Q=1"), key("q=1"), "names are compared with case");
}

#[test]
fn header_names_are_compared_without_case_and_values_joined() {
    let template = compile(&["method.request.header.Accept-Language"]).unwrap();
    let key = |headers: &[(&str, &str)]| render(&template, "1", "", headers);
    assert_eq!(key(&[("accept-language", "da")]), key(&[("Accept-Language", "da")]));
    let lines = key(&[("accept-language", "da"), ("accept-language", "en")]);
    assert_eq!(lines, key(&[("accept-language", "da, en")]));
    assert_ne!(key(&[]), key(&[("accept-language", "")]), "absent is not empty");
}

#[test]
fn the_order_of_declaration_does_not_matter() {
    let one = compile(&["method.request.path.id", "method.request.header.x"]).unwrap();
    let other = compile(&["method.request.header.X", "method.request.path.id"]).unwrap();
    let headers = [("x", "1")];
    assert_eq!(render(&one, "1", "", &headers), render(&other, "1", "", &headers));
}

#[test]
fn unknown_parameters_are_refused() {
    for text in ["id", "method.request.body.x", "method.request.path.", "method.request.header.a b"]
    {
        assert!(matches!(compile(&[text]), Err(KeyError::UnknownParameter(_))), "{text}");
    }
    assert!(matches!(compile(&["method.request.path.id"; 65]), Err(KeyError::TooMany)));
}

#[test]
fn a_key_that_leaves_out_a_path_parameter_is_shared_by_paths() {
    let keyed = ["method.request.path.id", "method.request.path.proxy"];
    let shared = |path, namespace, keyed: &[&str]| {
        compile_for(path, namespace, keyed).unwrap().path_is_shared()
    };
    assert!(!shared("/pets", false, &[]));
    assert!(!shared("/pets/{id}", false, &keyed));
    assert!(!shared("/{proxy+}", false, &keyed));
    assert!(shared("/pets/{id}", false, &[]));
    assert!(shared("/{proxy+}", false, &keyed[..1]));
    assert!(shared("/pets", true, &[]), "another resource may use the namespace");
}

/// What a client can vary of a call, as values the key is made of.
type Call = (Option<String>, Option<Vec<String>>, Option<String>);

fn call() -> impl Strategy<Value = Call> {
    // Few different characters, the format's own tags among them, so that near-collisions happen.
    let text = "[a\u{1}\u{8}\u{0}&;=%, ]{0,4}";
    let query = proptest::collection::vec(text, 1..3);
    (proptest::option::of(text), proptest::option::of(query), proptest::option::of("[a, ]{0,4}"))
}

fn render_call((path, query, header): &Call) -> Vec<u8> {
    let parameters =
        ["method.request.path.id", "method.request.querystring.q", "method.request.header.h"];
    let template = compile(&parameters).unwrap();
    let mut headers = HeaderMap::new();
    if let Some(value) = header {
        headers.insert("h", HeaderValue::from_str(value).unwrap());
    }
    let escape = |value: &String| {
        let bytes = value.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        format!("q={bytes}")
    };
    let query =
        query.as_ref().map(|values| values.iter().map(escape).collect::<Vec<_>>().join("&"));
    let mut key = Vec::new();
    template.render(&mut key, |_| path.as_deref(), query.as_deref(), &headers);
    key
}

proptest! {
    /// Different values, different bytes; the same values, the same bytes.
    #[test]
    fn keys_are_injective_and_stable(one in call(), other in call()) {
        prop_assert_eq!(one == other, render_call(&one) == render_call(&other));
        prop_assert_eq!(render_call(&one), render_call(&one));
    }

    #[test]
    fn parts_do_not_run_into_each_other(
        a in "[ab]{0,3}", b in "[ab]{0,3}", c in "[ab]{0,3}", d in "[ab]{0,3}",
    ) {
        let key = |api: &str, namespace: &str| {
            let template = KeyTemplate::compile(&KeySource {
                canary: None,
                api: &ApiId::new(api),
                stage: &StageName::new("s"),
                namespace,
                namespace_is_shared: false,
                http_method: "GET",
                resource_path: "/",
                parameters: &[],
            })
            .unwrap();
            let mut key = Vec::new();
            template.render(&mut key, |_| None, None, &HeaderMap::new());
            key
        };
        prop_assert_eq!((&a, &b) == (&c, &d), key(&a, &b) == key(&c, &d));
    }

    /// Whatever a client sends.
    #[test]
    fn any_query_renders(query in any::<String>()) {
        let template = compile(&["method.request.querystring.q"]).unwrap();
        prop_assert!(render(&template, "1", &query, &[]).len() <= 64 + query.len() * 6);
    }
}
