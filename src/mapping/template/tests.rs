//! The engine, by cases; recorded ones stand in `tests/data/vtl/recorded.case`, and
//! `tests/it/velocity.rs` compares it with Apache Velocity.

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// Everything a template sees, as plain data.
#[derive(Default)]
struct World {
    body: String,
    context: Json,
    stage_variables: IndexMap<String, String>,
    parameters: ListedParameters,
    overrides: Overrides,
    limits: Limits,
}

impl World {
    fn render(&mut self, template: &str) -> Result<String, String> {
        let template = Template::compile(template).map_err(|error| error.to_string())?;
        let mut scope = Scope {
            input: Input { body: &self.body, parameters: &self.parameters },
            context: &self.context,
            stage_variables: &self.stage_variables,
            overrides: std::mem::take(&mut self.overrides),
            limits: self.limits,
        };
        let result = template.render(&mut scope).map_err(|error| error.to_string());
        self.overrides = scope.overrides;
        result
    }
}

#[track_caller]
fn check(template: &str, expected: &str) {
    assert_eq!(World::default().render(template).as_deref(), Ok(expected), "{template}");
}

#[track_caller]
fn check_body(body: &str, template: &str, expected: &str) {
    let mut world = World { body: body.to_owned(), ..World::default() };
    assert_eq!(world.render(template).as_deref(), Ok(expected), "{template} of {body}");
}

#[track_caller]
fn check_error(template: &str, part: &str) {
    let error = World::default().render(template).expect_err(template);
    assert!(error.contains(part), "{template}: {error}");
}

/// Lines that begin with one letter, joined by line ends.
fn lines(case: &str, letter: char) -> Option<String> {
    let wanted: Vec<&str> = case
        .lines()
        .filter_map(|line| line.strip_prefix(letter))
        .filter_map(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix(' ') })
        .collect();
    (!wanted.is_empty()).then(|| wanted.join("\n"))
}

#[test]
fn recorded_answers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vtl/recorded.case");
    let text = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    let cases: Vec<&str> = text.split("\n# ").skip(1).collect();
    assert!(cases.len() > 40);
    for case in cases {
        let json = |letter| lines(case, letter).map(|text| serde_json::from_str(&text).unwrap());
        let stage: Json = json('s').unwrap_or(json!({}));
        let mut world = World {
            body: lines(case, 'b').unwrap_or_default(),
            context: json('c').unwrap_or(Json::Null),
            stage_variables: serde_json::from_value(stage).unwrap(),
            ..World::default()
        };
        let result = world.render(&lines(case, 't').unwrap());
        let expected = lines(case, 'o');
        if expected != result.clone().ok() {
            wrong.push(format!("{case}\n  was {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// rest-data-plane 5.3
#[test]
fn parameters_are_found_in_path_then_query_then_header() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let parameters = ListedParameters {
        path: vec![pair("a", "p")],
        query: vec![pair("a", "q"), pair("b", "q1"), pair("b", "q2")],
        header: vec![pair("a", "h"), pair("b", "h"), pair("X-C", "h")],
    };
    let mut world = World { parameters, ..World::default() };
    let cases = [
        (
            "$input.params('a')$input.params('b')$input.params('X-C') [$input.params('d')]",
            "pq2h []",
        ),
        ("$input.params().path.a$input.params().querystring.b", "pq2"),
        ("$input.params().header['X-C']$input.params().header.X-C", "hh"),
        ("$input.params()", "{path={a=p}, querystring={a=q, b=q2}, header={a=h, b=h, X-C=h}}"),
        (
            "#set($all = $input.params())#foreach($kind in $all.keySet())#set($p = $all.get($kind))\
             #foreach($n in $p.keySet())$kind.$n=$util.escapeJavaScript($p.get($n));#end#end",
            "path.a=p;querystring.a=q;querystring.b=q2;header.a=h;header.b=h;header.X-C=h;",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(world.render(template).as_deref(), Ok(expected), "{template}");
    }
}

/// rest-data-plane 5.7
#[test]
fn overrides_go_to_the_caller_and_to_the_next_template() {
    let mut world = World::default();
    let request = "#set($context.requestOverride.header.a = 'x')\
        #set($context.requestOverride.header['b'] = ['1', '2'])\
        #set($context.requestOverride.querystring.q = 7)\
        #set($p = $context.requestOverride.path)#set($_ = $p.put('id', 'i'))\
        #set($context.responseOverride.status = 444)#set($context.responseOverride.extra = 'e')\
        #set($context.responseOverride.header.foo = 'bar')";
    assert_eq!(world.render(request).as_deref(), Ok(""));
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let overrides = world.overrides.clone();
    assert_eq!(overrides.request_headers(), [("a", texts(&["x"])), ("b", texts(&["1", "2"]))],);
    assert_eq!(overrides.request_query(), [("q", texts(&["7"]))]);
    assert_eq!(overrides.request_path(), [("id", "i".to_owned())]);
    assert_eq!(overrides.response_headers(), [("foo", texts(&["bar"]))]);
    assert_eq!(overrides.response_status(), Some(444));

    let response = "$context.requestOverride.path.id $context.responseOverride.extra \
        $context.responseOverride.header.foo#set($context.responseOverride.status = 201)";
    assert_eq!(world.render(response).as_deref(), Ok("i e bar"));
    assert_eq!(world.overrides.response_status(), Some(201));
    assert_eq!(world.overrides.request_path(), overrides.request_path());
    assert_eq!(world.render("no context").as_deref(), Ok("no context"));
    assert_eq!(world.overrides.response_status(), Some(201));
}

#[test]
fn a_whole_map_can_be_an_override_and_bad_statuses_are_none() {
    let mut world = World::default();
    world.render("#set($context.requestOverride = {'header': {'a': 'b'}})").unwrap();
    assert_eq!(world.overrides.request_headers(), [("a", vec!["b".to_owned()])]);
    for status in ["600", "'x'", "99", "'404'", "404.0", "true", "[404]"] {
        world.render(&format!("#set($context.responseOverride.status = {status})")).unwrap();
        assert_eq!(world.overrides.response_status(), None, "{status}");
    }
    world.render("#set($context.responseOverride.status = 404)").unwrap();
    assert_eq!(world.overrides.response_status(), Some(404));
}

/// rest-data-plane 5.7: brackets, names and `put` are one and the same, to the end of the chain.
#[test]
fn an_override_is_written_in_many_ways() {
    let texts = |text: &str| vec![("a", vec![text.to_owned()])];
    for set in [
        "#set($context.requestOverride.header.a = 'x')",
        "#set($context.requestOverride.header['a'] = 'x')",
        "#set($context['requestOverride']['header']['a'] = 'x')",
        "#set($n = 'a')#set($context.requestOverride['header'][$n] = \"x\")",
        "#set($_ = $context.requestOverride.header.put('a', 'x'))",
        "$context['requestOverride']['header'].put('a', 'x')",
        "$context.requestOverride.get('header').put('a', 'x')",
        "#set($h = $context.requestOverride.header)#set($h.a = 'x')",
        "#set($_ = $context.requestOverride.put('header', {'a': 'x'}))",
        "$context.requestOverride.header.putAll({'a': 'x'})",
    ] {
        let mut world = World::default();
        assert_eq!(world.render(set).as_deref(), Ok(""), "{set}");
        assert_eq!(world.overrides.request_headers(), texts("x"), "{set}");
    }
    for set in [
        "#set($context['responseOverride']['status'] = 444)",
        "#set($_ = $context.responseOverride.put('status', 444))",
        "#set($r = $context.responseOverride)$r.put('status', 444)",
    ] {
        let mut world = World::default();
        assert_eq!(world.render(set).as_deref(), Ok(""), "{set}");
        assert_eq!(world.overrides.response_status(), Some(444), "{set}");
    }
}

/// rest-data-plane 5.7: one override of each parameter; headers are the same in any case.
#[test]
fn a_second_override_of_a_parameter_is_an_error() {
    let request = "$context.requestOverride";
    let response = "$context.responseOverride";
    for (first, second, parameter) in [
        ("header.a = 1", "header.a = 1", "header.a"),
        ("header.a = 1", "header.A = 2", "header.a"),
        ("header['X-a'] = 1", "header.x-A = 2", "header.x-a"),
        ("path.p = 1", "path['p'] = 2", "path.p"),
        ("querystring.q = 1", "querystring.q = 2", "querystring.q"),
    ] {
        let twice = format!("#set({request}.{first})#set({request}.{second})");
        check_error(&twice, &format!("`{request}.{parameter}` is overridden twice"));
    }
    for (twice, parameter) in [
        ("#set(R.status = 200)#set(R.status = 201)", "status"),
        ("#set(R.status = 200)#set($_ = R.put('status', 201))", "status"),
        ("#set(R.header.a = 1)#set($_ = R.header.put('a', 2))", "header.a"),
        ("#set($_ = R.header.put('a', 1))R.header.putAll({'A': 2})", "header.a"),
        ("#set($h = R.header)#set($h.a = 1)#set($h['a'] = 2)", "header.a"),
        ("#foreach($i in [1..2])#set(R.header.a = $i)#end", "header.a"),
    ] {
        let twice = twice.replace('R', response);
        check_error(&twice, &format!("`{response}.{parameter}` is overridden twice"));
    }
    let once = "#set($context.requestOverride.querystring.q = 1)\
        #set($context.requestOverride.querystring.Q = 1)#set($context.requestOverride.path.q = 1)\
        #set($context.requestOverride.header.q = 1)#set($context.responseOverride.header.q = 1)\
        #set($context.responseOverride.other = 1)#set($context.responseOverride.other = 2)\
        #set($m = {})#set($m.status = 1)#set($m.status = 2)";
    let mut world = World::default();
    assert_eq!(world.render(once).as_deref(), Ok(""));
    assert_eq!(world.render(once).as_deref(), Ok(""), "the response's template may override again");
}

/// rest-data-plane 5.4; escaping as of Apache Commons Lang, the others as of the JDK.
#[test]
fn functions_of_util() {
    let check = |function: &str, argument: &str, expected: Result<&str, &str>| {
        let body = json!({"s": argument}).to_string();
        let mut world = World { body, ..World::default() };
        let result = world.render(&format!("$util.{function}($input.path('$.s'))"));
        match expected {
            Ok(text) => assert_eq!(result.as_deref(), Ok(text), "{function} of {argument:?}"),
            Err(part) => assert!(result.unwrap_err().contains(part), "{function} of {argument:?}"),
        }
    };
    for (function, argument, expected) in [
        ("escapeJavaScript", "a/b 'c' \"d\" \\", "a\\/b \\'c\\' \\\"d\\\" \\\\"),
        ("escapeJavaScript", "\u{8}\t\n\u{c}\r", "\\b\\t\\n\\f\\r"),
        ("escapeJavaScript", "\0\u{1}\u{1f}\u{7f}", "\\u0000\\u0001\\u001F\u{7f}"),
        ("escapeJavaScript", "é€\u{2028}", "\\u00E9\\u20AC\\u2028"),
        ("escapeJavaScript", "😀", "\\uD83D\\uDE00"),
        ("escapeJavaScript", "", ""),
        ("parseJson", r#"{"a": [1, {"b": null}]}"#, r#"{a=[1,{"b":null}]}"#),
        ("parseJson", r#"[1, "a", 2.50]"#, r#"[1,"a",2.5]"#),
        ("parseJson", "7", "7"),
        ("parseJson", "\"x\"", "x"),
        ("parseJson", " true ", "true"),
        ("parseJson", "null", ""),
        ("parseJson", "{a: 1}", ""),
        ("parseJson", "", ""),
        ("urlEncode", "a b&c=d+e", "a+b%26c%3Dd%2Be"),
        ("urlEncode", "é/😀*~._-", "%C3%A9%2F%F0%9F%98%80*%7E._-"),
        ("urlDecode", "a+b%26c%3Dd%2Be", "a b&c=d+e"),
        ("urlDecode", "%C3%A9%f0%9F%98%80", "é😀"),
        ("urlDecode", "%E9", "\u{fffd}"),
        ("base64Encode", "é?", "w6k/"),
        ("base64Encode", "a", "YQ=="),
        ("base64Encode", "", ""),
        ("base64Decode", "w6k/", "é?"),
        ("base64Decode", "YQ==", "a"),
        ("base64Decode", "YQ", "a"),
        ("base64Decode", "/w==", "\u{fffd}"),
    ] {
        check(function, argument, Ok(expected));
    }
    check("urlDecode", "%z1", Err("urlDecode"));
    check("urlDecode", "%4", Err("urlDecode"));
    check("parseJson", &"[".repeat(101), Err("deep"));
}

/// rest-data-plane 5 and 5.1: what AWS has not or has less of.
#[test]
fn what_the_language_lacks() {
    check("#foreach($i in [1..1000])#set($n = $foreach.count)#end$n", "1000");
    check("#foreach($i in [1..1001])#set($n = $foreach.count)#end$n", "1000");
    check(
        "#include('a.vm')|#parse(\"a.vm\")|#include|#parse()",
        "#include('a.vm')|#parse(\"a.vm\")|#include|#parse()",
    );
    check_error("#set($a = 1)#set($b = 3)#foreach($i in [$a..$b])$i#end", "");
    check_error("#set($b = 3)#set($l = [1..$b])", "range");
}

#[test]
fn constants_are_known_before_a_call() {
    let constant = |text| Template::compile(text).unwrap().constant().map(str::to_owned);
    assert_eq!(constant("{\"statusCode\": 200}").as_deref(), Some("{\"statusCode\": 200}"));
    assert_eq!(constant("").as_deref(), Some(""));
    assert_eq!(constant("a $b"), None);
}

#[test]
fn texts_count_in_utf16() {
    check("#set($s = 'aé😀b')$s.length() $s.indexOf('b') $s.substring(4) $s.charAt(1)", "5 4 b é");
    check(
        "#set($s = 'x')$s.format('%5.2f|%-4s|%04d|%,d|%%', 1.5, 'a', 7, 1234567)",
        " 1.50|a   |0007|1,234,567|%",
    );
    check("#set($n = 0)$n.parseInt('12')$n.parseInt('ff', 16)", "12255");
    check_error("#set($n = 0)$n.parseInt('x')", "not a number");
}

#[test]
fn bodies_keep_java_types() {
    check_body(
        r#"{"i":1,"l":3000000000,"d":1.50,"e":1e10,"b":99999999999999999999,"s":"a/b\u00e9\n"}"#,
        "$input.json('$')",
        "{\"i\":1,\"l\":3000000000,\"d\":1.5,\"e\":1.0E10,\"b\":99999999999999999999,\
         \"s\":\"a/bé\\n\"}",
    );
    check_body(r#"{"a":[1,null,"x"]}"#, "$input.path('$.a')", r#"[1,null,"x"]"#);
    check_body(r#"{"a":{"b":null}}"#, "$input.path('$')", "{a={b=null}}");
    check_body(r#"{"n":null}"#, "$input.json('$.n')", "null");
    check_body(
        r#"{"a":[{"n":1},{"n":2}]}"#,
        "#foreach($x in $input.path('$.a'))$x.n#if($foreach.hasNext),#end#end",
        "1,2",
    );
}

/// rest-data-plane 5.3: what came is printed, also where no number of ours holds it.
#[test]
fn numbers_keep_their_digits() {
    let long = "1".repeat(60);
    let body = format!(
        r#"{{"a":1e400,"b":0.1234567890123456789,"c":{long},"d":-1.10000000000000000000,"e":0.5}}"#
    );
    check_body(&body, "$input.json('$')", &body);
    let printed =
        format!("{{a=1e400, b=0.1234567890123456789, c={long}, d=-1.10000000000000000000, e=0.5}}");
    check_body(&body, "$input.path('$')", &printed);
    check_body(&body, "$util.parseJson($input.body).b", "0.1234567890123456789");
    check_body(&body, "#set($x = $input.path('$.d') + 1)$x", "-0.10000000000000009");
    check_body(&body, "#if($input.path('$.b') < $input.path('$.e'))less#end", "less");
    check_body(&body, "$input.json('$[?(@.b < 0.2)].b')", "[0.1234567890123456789]");
}

/// A body that we do not follow to its end is an error, not a body without content.
#[test]
fn bodies_too_deep_are_errors() {
    let body = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for template in ["$input.json('$')", "$input.path('$.a')"] {
        let mut world = World { body: body(101), ..World::default() };
        let error = world.render(template).unwrap_err();
        assert!(error.contains("100 deep"), "{template}: {error}");
    }
    check_body(&body(99), "$input.json('$')", &body(99));
    check_body(&body(101), "$input.body.length()", "203");
}

#[test]
fn every_bound_ends_a_rendering() {
    let double = "#set($s = 'xxxxxxxxxxxxxxxx')#foreach($i in [1..100])#set($s = \"$s$s\")#end";
    check_error(double, "longer than");
    let nested = "#set($l = [1..999])#foreach($i in $l)#foreach($j in $l)#foreach($k in $l)\
        #set($x = $k + 1)#end#end#end";
    let limits = Limits { steps: 100_000, ..Limits::default() };
    let error = World { limits, ..World::default() }.render(nested).unwrap_err();
    assert!(error.contains("steps"), "{error}");
    check_error("#define($d)$d#end$d", "deep");
    check_error("#set($m = {})#foreach($i in [1..999])#set($m = {'a': $m})#end", "deep");
    check_error("#set($m = {})$m.put('m', $m)$m", "deep");
    check_error("#set($x = [1..2000000000])", "more than");
    check_error("#set($s = 'a')#set($s = $s.repeat(2000000000))", "more than");
    check("#foreach($i in [1..2000])#set($n = $i)#end$n", "1000");
    let mut world =
        World { limits: Limits { output_bytes: 10, ..Limits::default() }, ..World::default() };
    assert!(world.render("0123456789").is_ok());
    assert!(world.render("01234567890").unwrap_err().contains("longer"));
    assert!(Template::compile(&" ".repeat(quotas::TEMPLATE_BYTES_MAX + 1)).is_err());
}

#[test]
fn chains_of_puts_are_freed_without_recursion() {
    let chain = "#set($root = {})#set($at = $root)#foreach($i in [1..500])#foreach($j in [1..500])\
        #set($new = {})#set($_ = $at.put('n', $new))#set($at = $new)#end#end$i";
    check(chain, "");
}

#[test]
fn nesting_in_the_text_is_bounded() {
    for (open, close) in [("#if(true)", "#end"), ("#set($x = (", "))"), ("$a[", "]"), ("!", "")] {
        let text = format!("#set($y = {}1{})", open.repeat(5_000), close.repeat(5_000));
        assert!(Template::compile(&text).is_err());
        assert!(Template::compile(&open.repeat(50_000)).is_err() || open == "!");
    }
    let long = format!("#set($x = 1{})$x", " + 1".repeat(50_000));
    check(&long, "50001");
}

#[test]
fn errors_name_the_line() {
    let error = Template::compile("a\nb\n#if(true)\n$x[)\n#end").unwrap_err();
    assert!(matches!(error, TemplateError::Syntax { line: 4, .. }), "{error}");
}

fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "#set($a = ",
        ")",
        "#if(",
        "#elseif(",
        "#else",
        "#end",
        "#foreach($i in ",
        "$a",
        "${a",
        "}",
        "$!a",
        ".b",
        "['x']",
        "[0]",
        ".size()",
        ".put(",
        "null",
        ",",
        "\"",
        "'",
        "[1..3]",
        "{\"k\":",
        "1",
        "2.5",
        " + ",
        " == ",
        " && ",
        "!",
        "#define($d)",
        "$d",
        "#stop",
        "#break",
        "##",
        "#*",
        "*#",
        "#[[",
        "]]#",
        "\\",
        "\n",
        " ",
        "$input.path('$..a')",
        "$input.json('$')",
        "$input.params()",
        "$context.a.b",
        "$util.parseJson(",
        "#macro(m)",
        "#m()",
        "é",
        ".replaceAll('(a|b)+', '$1')",
        "$foreach.index",
        "-",
        "/ 0",
        "$input.body",
        ".substring(1)",
        ".split(',')",
        "#",
        "$",
    ];
    prop_oneof![
        9 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        1 => ".{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever the text, it is a template or an error, and rendering ends.
    #[test]
    fn nothing_panics(
        pieces in prop::collection::vec(piece(), 0..40),
        body in prop_oneof![Just("{\"a\":[1,{\"a\":\"x\"}]}".to_owned()), ".{0,30}"],
    ) {
        let mut world = World {
            body,
            context: json!({"a": {"b": 1}}),
            limits: Limits { steps: 100_000, memory_bytes: 1 << 20, ..Limits::default() },
            ..World::default()
        };
        let _outcome = world.render(&pieces.concat());
    }

    /// A text without `$`, `#` and `\` is its own output.
    #[test]
    fn plain_text_is_itself(text in "[^$#\\\\]{0,200}") {
        prop_assert_eq!(World::default().render(&text), Ok(text));
    }
}
