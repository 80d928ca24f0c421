//! Paths, by cases. Expected values follow Jayway's JsonPath; rest-data-plane 5.3.

use proptest::prelude::*;

use super::*;

const STORE: &str = r#"{"store":{"book":[
    {"title":"A","price":8.95,"tags":["x","y"]},
    {"title":"B","price":12,"isbn":"1"},
    {"title":"C","price":"9"}],
    "open":true,"owner":null},"a b":{"x.y":1},"n":[3,1,2],"e":[]}"#;

fn read(path: &str) -> Option<String> {
    let document = Document::parse(STORE).unwrap().unwrap();
    let found = JsonPath::compile(path).unwrap().read(&document).unwrap();
    found.map(|value| to_json(&value).unwrap())
}

#[test]
fn paths() {
    let cases: &[(&str, Option<&str>)] = &[
        ("$.store.open", Some("true")),
        ("store.open", Some("true")),
        ("$['store'][\"open\"]", Some("true")),
        ("$.store.owner", Some("null")),
        ("$.nope", None),
        ("$.store.book.title", None),
        ("$.n[0]", Some("3")),
        ("$.n[-1]", Some("2")),
        ("$.n[3]", None),
        ("$.n[0,2]", Some("[3,2]")),
        ("$.n[0:2]", Some("[3,1]")),
        ("$.n[1:]", Some("[1,2]")),
        ("$.n[:-1]", Some("[3,1]")),
        ("$.n[-2:]", Some("[1,2]")),
        ("$.n[*]", Some("[3,1,2]")),
        ("$.e[*]", Some("[]")),
        ("$['a b']['x.y']", Some("1")),
        ("$.store['open','owner']", Some(r#"{"open":true,"owner":null}"#)),
        ("$..title", Some(r#"["A","B","C"]"#)),
        ("$.store.book[*].title", Some(r#"["A","B","C"]"#)),
        ("$..book[0].title", Some(r#"["A"]"#)),
        ("$.store.book[?(@.price < 10)].title", Some(r#"["A"]"#)),
        ("$.store.book[?(@.price == 9)].title", Some(r#"["C"]"#)),
        ("$.store.book[?(@.isbn)].title", Some(r#"["B"]"#)),
        ("$.store.book[?(!@.isbn)].title", Some(r#"["A","C"]"#)),
        ("$.store.book[?(@.title == 'A' || @.title == \"B\")].title", Some(r#"["A","B"]"#)),
        ("$.store.book[?(@.title != 'A' && @.price > 10)].title", Some(r#"["B"]"#)),
        ("$.store.book[?(@.title in ['A','C'])].title", Some(r#"["A","C"]"#)),
        ("$.store.book[?(@.title nin ['A','C'])].title", Some(r#"["B"]"#)),
        ("$.store.book[?(@.title =~ /[ab]/i)].title", Some(r#"["A","B"]"#)),
        ("$.store.book[?(@.tags size 2)].title", Some(r#"["A"]"#)),
        ("$.store.book[?(@.tags contains 'x')].title", Some(r#"["A"]"#)),
        ("$.store.book[?(@.tags empty false)].title", Some(r#"["A"]"#)),
        ("$.store.book[?(@.price > $.n[0])].title", Some(r#"["A","B"]"#)),
        ("$..[?(@.isbn)].title", Some(r#"["B"]"#)),
        ("$..book[?(@.isbn)].title", Some(r#"["B"]"#)),
        ("$..n[?(@ > 1)]", Some("[3,2]")),
        ("$..['title','isbn']", Some(r#"[{"title":"B","isbn":"1"}]"#)),
        ("$..['title','nope']", Some("[]")),
        ("$.store['open','nope']", Some(r#"{"open":true}"#)),
        ("$.store.book.[0].title", Some(r#""A""#)),
        ("$.['store'].book.[*].title", Some(r#"["A","B","C"]"#)),
        ("$.n.length()", Some("3")),
        ("$.n.max()", Some("3.0")),
        ("$.n.min()", Some("1.0")),
        ("$.n.avg()", Some("2.0")),
        ("$.n.sum()", Some("6.0")),
        ("$.store.book.length()", Some("3")),
        ("$..price.length()", Some("3")),
        ("$.store.keys()", Some(r#"["book","open","owner"]"#)),
    ];
    for (path, expected) in cases {
        assert_eq!(read(path).as_deref(), *expected, "{path}");
    }
}

#[test]
fn texts_that_are_no_paths() {
    for text in
        ["", "$.", "$.[", "$[", "$['a", "$.a[?(@.x ==)]", "$.a b", "$[?]", "$.f(1)", "$.a.nope()"]
    {
        assert!(JsonPath::compile(text).is_err(), "{text}");
    }
    assert!(JsonPath::compile(&format!("$[?({})]", "(".repeat(10_000))).is_err());
}

#[test]
fn documents() {
    for text in
        ["", "{", "[1,]", "{\"a\":1,}", "01", "1.", "nul", "\"\n\"", "{} x", "'a'", "\u{feff}{}"]
    {
        assert!(Document::parse(text).unwrap().is_none(), "{text}");
    }
    assert!(Document::parse(&"[".repeat(100_000)).is_err());
    let surrogates = Document::parse(r#""\ud83d\ude00\ud83d""#).unwrap().unwrap();
    assert_eq!(surrogates.root().as_str(), Some("😀\u{fffd}"));
    assert_eq!(to_plain(surrogates.root()).unwrap(), "😀\u{fffd}");
}

proptest! {
    #[test]
    fn nothing_panics(path in "[$@.a-c\\[\\]'\"*?()0-9:,=<>!& |~/-]{0,40}") {
        let document = Document::parse(STORE).unwrap().unwrap();
        if let Ok(path) = JsonPath::compile(&path) {
            let _outcome = path.read(&document);
        }
    }

    /// Our reader takes what serde_json takes, and writes the same document.
    #[test]
    fn documents_are_read_as_others_do(
        names in prop::collection::vec(".{0,6}", 0..6),
        numbers in prop::collection::vec(any::<i64>(), 0..6),
    ) {
        let json = serde_json::json!({"names": names, "numbers": numbers, "x": {"y": null}});
        let text = json.to_string();
        let document = Document::parse(&text).unwrap().unwrap();
        let written = to_json(document.root()).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), json);
    }
}
