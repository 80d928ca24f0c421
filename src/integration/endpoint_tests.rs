use proptest::prelude::*;

use super::*;

fn variables() -> IndexMap<String, String> {
    [("host", "pets.test:8080"), ("url", "https://pets.test/v1"), ("path", "a/b?x=1")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `scheme host port target`, with `{raw}` and `{text}` filled.
fn filled(uri: &str, value: &str) -> String {
    let endpoint = match Endpoint::compile(uri, &variables(), false) {
        Ok(endpoint) => endpoint,
        Err(_) => return "bad".to_owned(),
    };
    let values = [
        (Arc::from("raw"), PathValue::Raw(value.to_owned())),
        (Arc::from("text"), PathValue::Text(value.to_owned())),
    ];
    let Ok(target) = endpoint.target(&values) else { return "bad".to_owned() };
    let Target { scheme, host, port } = target.into_owned();
    let mut target = String::new();
    match endpoint.fill(&values, &mut target) {
        Ok(()) => format!("{scheme:?} {host} {port} {target}"),
        Err(_) => "unfilled".to_owned(),
    }
}

#[test]
fn uris_are_taken_apart_and_filled() {
    for (uri, value, expected) in [
        ("http://pets.test", "", "Http pets.test 80 /"),
        ("HTTPS://Pets.Test/", "", "Https pets.test 443 /"),
        ("http://pets.test:8080/a/b?c=d#e", "", "Http pets.test 8080 /a/b?c=d"),
        ("http://pets.test?c=d", "", "Http pets.test 80 /?c=d"),
        ("http://[::1]:8080/a", "", "Http ::1 8080 /a"),
        ("http://127.0.0.1:8080/a", "", "Http 127.0.0.1 8080 /a"),
        ("http://${stageVariables.host}/a", "", "Http pets.test 8080 /a"),
        ("${stageVariables.url}/a", "", "Https pets.test 443 /v1/a"),
        ("http://h/${stageVariables.path}", "", "Http h 80 /a/b?x=1"),
        ("http://h/x${stageVariables.none}y", "", "Http h 80 /xy"),
        ("http://h/{raw}", "a/b%2Fc", "Http h 80 /a/b%2Fc"),
        ("http://h/{text}", "a/b%2Fc", "Http h 80 /a/b%252Fc"),
        ("http://h/{raw}", "a?b#c d|e", "Http h 80 /a%3Fb%23c%20d%7Ce"),
        ("http://h/x?y={text}", "a&b=c+%", "Http h 80 /x?y=a%26b%3Dc%2B%25"),
        ("http://h/x?y={raw}", "a&b%20", "Http h 80 /x?y=a%26b%20"),
        ("http://h/a b", "", "Http h 80 /a%20b"),
        ("http://h/{other}", "", "unfilled"),
        ("http://${stageVariables.none}/a", "", "bad"),
        ("http://{raw}/a", "", "bad"),
        ("http://{raw}/a", "H.test:8080", "Http h.test 8080 /a"),
        ("https://{text}.test/a", "h", "Https h.test 443 /a"),
        ("http://h{raw}:80/a", "/b", "bad"),
        ("http://{text}@h/a", "u", "bad"),
        ("http://{other}/a", "h", "bad"),
        ("http://{raw/a", "h", "bad"),
        ("http:///a", "", "bad"),
        ("ftp://h/a", "", "bad"),
        ("h/a", "", "bad"),
        ("http://user@h/a", "", "bad"),
        ("http://h:0x50/a", "", "bad"),
        ("http://h:22/a", "", "bad"),
        ("http://h:65536/a", "", "bad"),
        ("http://[::1/a", "", "bad"),
        ("http://[::1]x/a", "", "bad"),
        ("http://h/{open", "", "bad"),
        ("http://h/close}", "", "bad"),
        ("http://h/${stageVariables.open", "", "bad"),
        ("", "", "bad"),
    ] {
        assert_eq!(filled(uri, value), expected, "{uri} {value}");
    }
}

#[test]
fn an_insecure_integration_has_connections_of_its_own() {
    let endpoint = Endpoint::compile("https://h/", &variables(), true).unwrap();
    assert_eq!(endpoint.target(&[]).unwrap().scheme, Scheme::HttpsUnverified);
}

proptest! {
    #[test]
    fn compiling_never_panics(uri in ".{0,60}") {
        filled(&uri, "x");
    }

    #[test]
    fn likely_uris_never_panic(
        uri in "(http://|https://)?[a-z\\[\\]:0-9{}$.]{0,8}(/|\\?|#|\\{raw\\}|\\$\\{stageVariables\\.host\\}|é|%|\\{|\\}){0,8}",
    ) {
        filled(&uri, "x");
    }

    /// Whatever the value, the number of path segments that follow and the query stay as written.
    #[test]
    fn a_value_stays_in_its_place(value in ".{0,30}") {
        for (uri, head, tail) in [
            ("http://h/a/{raw}/z?q=1", "/a/", "/z?q=1"),
            ("http://h/a/{text}/z?q=1", "/a/", "/z?q=1"),
            ("http://h/a?x={raw}&q=1", "/a?x=", "&q=1"),
            ("http://h/a?x={text}&q=1", "/a?x=", "&q=1"),
        ] {
            let filled = filled(uri, &value);
            let target = filled.strip_prefix("Http h 80 ").unwrap();
            let inner = target.strip_prefix(head).unwrap().strip_suffix(tail).unwrap();
            prop_assert!(!inner.contains(['?', '#', ' ', '\r', '\n']), "{}", inner);
            if head.contains('?') {
                prop_assert!(!inner.contains(['&', '=', '+', ';']), "{}", inner);
            }
            prop_assert!(http::uri::PathAndQuery::try_from(target).is_ok(), "{}", target);
        }
    }
}
