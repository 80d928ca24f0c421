//! Bodies and models: rest-data-plane 4.2 and 3.5.

use jsonschema::Draft;
use proptest::prelude::*;

use super::*;

const API: &str = "a1b2c3d4e5";

fn url(name: &str) -> String {
    format!("https://apigateway.amazonaws.com/restapis/{API}/models/{name}")
}

fn texts(models: &[(&str, Value)]) -> IndexMap<String, String> {
    models.iter().map(|(name, schema)| ((*name).to_owned(), schema.to_string())).collect()
}

fn compile(models: &[(&str, Value)], name: &str) -> Result<Arc<Model>, SchemaError> {
    match Models::compile(API, &texts(models), [name]) {
        Ok(compiled) => Ok(Arc::clone(compiled.get(name).expect("it was asked for"))),
        Err(mut failed) => {
            let (of, err) = failed.remove(0);
            assert_eq!(of, name);
            Err(err)
        }
    }
}

#[track_caller]
fn model(schema: Value) -> Arc<Model> {
    compile(&[("M", schema)], "M").unwrap()
}

#[track_caller]
fn check(model: &Model, body: &str, expected: Fit) {
    assert_eq!(model.check(body.as_bytes()), expected, "{body}");
}

/// rest-data-plane 4.2: an empty body is `{}`; what is no JSON fits nothing.
#[test]
fn empty_bodies_and_bodies_that_are_no_json() {
    let needs = json!({"type": "object", "required": ["a"]});
    for (schema, without) in [
        (json!({}), Fit::Fits),
        (json!({"type": "object"}), Fit::Fits),
        (needs, Fit::DoesNotFit),
        (json!({"type": "array"}), Fit::DoesNotFit),
        (json!({"type": "string"}), Fit::DoesNotFit),
    ] {
        let model = model(schema.clone());
        check(&model, "", without);
        assert_eq!(model.takes_no_body(), without == Fit::Fits, "{schema}");
        for body in ["{", "nope", "{} {}", "{'a':1}", " ", "\u{feff}{}", "{\"a\":01}"] {
            check(&model, body, Fit::NotJson);
        }
        assert_eq!(model.check(b"\"\xff\""), Fit::NotJson);
    }
}

/// rest-data-plane 4.2: draft 4, with what AWS leaves out of it.
#[test]
fn the_draft_is_the_fourth() {
    use Fit::{DoesNotFit, Fits};
    for (schema, body, expected) in [
        (json!({"type": "integer"}), "1", Fits),
        // In draft 4 a number with a point is no integer.
        (json!({"type": "integer"}), "1.0", DoesNotFit),
        (json!({"type": "number"}), "1", Fits),
        (json!({"type": ["null", "string"]}), "null", Fits),
        (json!({"type": ["null", "string"]}), "3", DoesNotFit),
        (json!({"minimum": 3, "exclusiveMinimum": true}), "3", DoesNotFit),
        (json!({"minimum": 3, "exclusiveMinimum": false}), "3", Fits),
        (json!({"format": "int32"}), "99999999999", Fits),
        (json!({"format": "uuid"}), "\"x\"", Fits),
        (json!({"format": "ipv4"}), "\"x\"", DoesNotFit),
        (json!({"nullable": true, "type": "string"}), "null", DoesNotFit),
        (json!({"type": "string", "readOnly": true, "example": 3}), "\"x\"", Fits),
        // Recorded: models with circles name `minItems`, and it counts.
        (json!({"type": "array", "minItems": 1}), "[]", DoesNotFit),
        (json!({"const": 1}), "2", Fits),
        (json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}), "1", Fits),
        (json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}), "1", DoesNotFit),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#", "const": 1}), "2", Fits),
        (
            json!({"id": "http://elsewhere/", "properties": {"id": {"type": "string"}}}),
            "{\"id\":1}",
            DoesNotFit,
        ),
    ] {
        let model = model(schema.clone());
        assert_eq!(model.check(body.as_bytes()), expected, "{schema} {body}");
    }
}

fn person() -> [(&'static str, Value); 2] {
    [
        (
            "Person",
            json!({"type": "object", "required": ["name", "b"], "properties": {
                "name": {"type": "string"}, "b": {"type": "number"},
                "house": {"$ref": url("House")},
            }}),
        ),
        (
            "House",
            json!({"type": "object", "required": ["contains"], "properties": {
                "contains": {"type": "array", "minItems": 1, "items": {"$ref": url("Person")}},
            }}),
        ),
    ]
}

/// Recorded: test_import_with_circular_models_and_request_validation.
#[test]
fn models_may_refer_to_each_other_in_a_circle() {
    let model = compile(&person(), "Person").unwrap();
    let body = |inner: &str| format!(r#"{{"name":"n","b":2,"house":{{"contains":[{inner}]}}}}"#);
    check(&model, &body(r#"{"name":"c","b":3}"#), Fit::Fits);
    check(&model, &body(r#"{"name":"c"}"#), Fit::DoesNotFit);
    check(&model, &body(""), Fit::DoesNotFit);
    let report = model.report(body(r#"{"name":"c"}"#).as_bytes());
    assert_eq!(report, r#"[object has missing required properties (["b"])]"#);
}

/// Every way to write a reference.
#[test]
fn references_lead_to_models_and_into_them() {
    let item = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    for target in [
        url("item"),
        format!("{}#", url("item")),
        "#/definitions/item".to_owned(),
        "#/components/schemas/item".to_owned(),
    ] {
        let list = json!({"type": "array", "items": {"$ref": target}});
        let model = compile(&[("list", list), ("item", item.clone())], "list").unwrap();
        check(&model, r#"[{"a":1}]"#, Fit::Fits);
        check(&model, r#"[{"a":"x"}]"#, Fit::DoesNotFit);
    }
    let inner = json!({"properties": {"a": {"$ref": format!("{}#/properties/a", url("item"))}}});
    let model = compile(&[("inner", inner), ("item", item)], "inner").unwrap();
    check(&model, r#"{"a":"x"}"#, Fit::DoesNotFit);
    // A definition of one's own comes before a model of that name.
    let own = json!({
        "definitions": {"item": {"type": "string"}, "self": {"$ref": "#"}},
        "properties": {"a": {"$ref": "#/definitions/item"}, "b": {"$ref": "#/definitions/self"}},
    });
    let model = compile(&[("own", own), ("item", json!({"type": "array"}))], "own").unwrap();
    check(&model, r#"{"a":"x","b":{"a":"y"}}"#, Fit::Fits);
    check(&model, r#"{"a":"x","b":{"a":1}}"#, Fit::DoesNotFit);
    // Names that are no keywords where they stand.
    let odd = json!({"properties": {
        "not": {"$ref": "#"}, "anyOf": {"$ref": "#"}, "enum": {"type": "string"},
    }});
    check(
        &compile(&[("M", odd)], "M").unwrap(),
        r#"{"not":{"anyOf":{"enum":1}}}"#,
        Fit::DoesNotFit,
    );
}

#[test]
fn what_cannot_be_compiled_says_why() {
    let refers = |target: &str| json!({"properties": {"a": {"$ref": target}}});
    let elsewhere = "https://apigateway.amazonaws.com/restapis/other00000/models/M";
    for target in [elsewhere, "http://10.0.0.1/x", "file:///etc/passwd", "#/definitions/none", "x"]
    {
        let err = compile(&[("M", refers(target))], "M").unwrap_err();
        let expected = SchemaError::BadReference { model: "M".into(), target: target.into() };
        assert_eq!(err, expected);
    }
    let failed = |schema: Value| compile(&[("M", schema)], "M").unwrap_err();
    assert!(matches!(failed(json!({"type": "thing"})), SchemaError::NotASchema(_)));
    for pattern in ["(", "["] {
        let own = json!({"properties": {"a": {"pattern": pattern}}});
        let table = json!({"patternProperties": {pattern: {}}});
        for schema in [own, table] {
            assert!(matches!(check_patterns(&schema), Err(SchemaError::BadPattern { .. })));
            assert!(matches!(failed(schema), SchemaError::BadPattern { .. }));
        }
    }
    let named = json!({"properties": {"pattern": {"enum": [{"pattern": "("}]}}, "pattern": "a"});
    assert_eq!(check_patterns(&named), Ok(()));
    assert!(matches!(failed(json!({"required": true})), SchemaError::NotASchema(_)));
    assert!(matches!(failed(json!([])), SchemaError::NotJson { .. }));
    let mut texts = texts(&[]);
    texts.insert("M".into(), "<xml/>".into());
    let failed = Models::compile(API, &texts, ["M", "Gone", "Empty"]).unwrap_err();
    assert!(matches!(failed[0].1, SchemaError::NotJson { .. }));
    assert_eq!(failed[1].1, SchemaError::Unknown("Gone".into()));
    assert_eq!(failed.len(), 2, "{EMPTY} need not be kept");
    let long = json!({"description": "x".repeat(quotas::MODEL_BYTES_MAX)});
    assert!(matches!(compile(&[("M", long)], "M"), Err(SchemaError::TooLong { .. })));
}

/// Thirty models that name the next one twice; a schema that is itself.
#[test]
fn what_nobody_could_afford_is_refused() {
    let mut doubling = serde_json::Map::new();
    for n in 0..30 {
        let next = json!({"$ref": format!("#/definitions/D{}", n + 1)});
        let both = json!({"properties": {"a": next}, "patternProperties": {"a": next}});
        doubling.insert(format!("D{n}"), both);
    }
    doubling.insert("D30".to_owned(), json!({"type": "string"}));
    let doubling = json!({"definitions": doubling, "$ref": "#/definitions/D0"});
    let circle = json!({"definitions": {"A": {"$ref": "#/definitions/B"}, "B": {"$ref": "#/definitions/A"}},
        "properties": {"a": {"$ref": "#/definitions/A"}}});
    let mut chain = json!({"type": "string"});
    for _ in 0..40 {
        chain = json!({ "not": { "not": chain } });
    }
    for schema in [doubling, circle, json!({"anyOf": [{"$ref": "#"}]}), chain] {
        let err = compile(&[("M", schema)], "M").unwrap_err();
        assert!(matches!(err, SchemaError::TooHeavy(_)), "{err}");
    }
}

/// A recursion that branches: each level of the body doubles what a naive comparison costs.
fn branching() -> Value {
    let node = |name: &str| json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": [name]});
    json!({"anyOf": [node("x"), node("y"), {"type": "string"}]})
}

fn nested(open: &str, core: &str, close: &str, depth: usize) -> String {
    format!("{}{core}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn a_branching_recursion_ends() {
    let model = model(branching());
    check(&model, &nested(r#"{"x":1,"y":1,"a":"#, "\"s\"", "}", 120), Fit::Fits);
    let wrong = nested(r#"{"x":1,"y":1,"a":"#, "7", "}", 120);
    check(&model, &wrong, Fit::DoesNotFit);
    let report = model.report(wrong.as_bytes());
    assert_eq!(report, "[instance failed to match at least one required schema among 3]");
    // Two schemas of one member double as well.
    let twice =
        json!({"patternProperties": {"a": {"$ref": "#"}, "^a": {"$ref": "#"}}, "minProperties": 1});
    let model = self::model(twice);
    let wrong = nested(r#"{"a":"#, "{}", "}", 120);
    check(&model, &wrong, Fit::DoesNotFit);
    let report = model.report(wrong.as_bytes());
    let message = "object has too few properties (found 0 but schema requires at least 1)";
    assert!(report.starts_with(&format!("[{message}")), "{report}");
}

/// The parser's depth and the schema's bounds together bound the stack: a data plane's thread has
/// 2 MiB, and a build without optimisation needs the most of them.
#[test]
fn the_deepest_body_and_the_longest_row_fit_onto_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let work = || {
        let mut row = json!({"properties": {"a": {"$ref": "#"}}});
        for _ in 0..20 {
            row = json!({ "allOf": [row] });
        }
        let model = model(row);
        for depth in [1, 30, 56] {
            let body = nested(r#"{"a":"#, "1", "}", depth);
            check(&model, &body, Fit::Fits);
            model.report(body.as_bytes());
        }
        // A row of 21 schemas a thousand times in one another is given up.
        check(&model, &nested(r#"{"a":"#, "1", "}", 1_000), Fit::DoesNotFit);
        let plain =
            self::model(json!({"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}}));
        for body in [nested(r#"{"a":"#, "1", "}", 1_000), nested("[", "1", "]", 1_000)] {
            check(&plain, &body, Fit::Fits);
            plain.report(body.as_bytes());
        }
        check(&model, &nested(r#"{"a":"#, "1", "}", 100_000), Fit::NotJson);
        check(&model, &nested("[", "1", "]", 1_000_000), Fit::NotJson);
    };
    thread.spawn(work).unwrap().join().unwrap();
}

/// Patterns that a backtracking engine never comes to an end with.
#[test]
fn a_pattern_cannot_hold_a_call_up() {
    let model = model(json!({"type": "string", "pattern": "^(a+)+(?=b)$"}));
    let body = format!("\"{}\"", "a".repeat(5_000));
    assert_ne!(model.check(body.as_bytes()), Fit::NotJson);
}

/// rest-data-plane 3.5: the words of fge's json-schema-validator.
#[test]
fn the_report_is_in_the_validators_words() {
    let both = json!({"type": "object", "required": ["id", "name"], "properties": {
        "n": {"type": "integer"},
    }});
    for (schema, body, expected) in [
        (both.clone(), "{}", r#"[object has missing required properties (["id","name"])]"#),
        (both.clone(), "", r#"[object has missing required properties (["id","name"])]"#),
        // What is within a value that is wrong itself is not looked at.
        (both, r#"{"id":1,"n":"x"}"#, r#"[object has missing required properties (["name"])]"#),
        (
            json!({"properties": {"n": {"type": "integer"}}}),
            r#"{"n":"x"}"#,
            r#"[instance type (string) does not match any allowed primitive type (allowed: ["integer"])]"#,
        ),
        (
            json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
            r#"{"a":1,"b":2.5}"#,
            r#"[instance type (integer) does not match any allowed primitive type (allowed: ["string"]), instance type (number) does not match any allowed primitive type (allowed: ["string"])]"#,
        ),
        (
            json!({"enum": ["dog", "cat"]}),
            "\"cow\"",
            r#"[instance value ("cow") not found in enum (possible values: ["dog","cat"])]"#,
        ),
        (
            json!({"additionalProperties": false, "properties": {"a": {}}}),
            r#"{"b":1,"a":1}"#,
            r#"[object instance has properties which are not allowed by the schema: ["b"]]"#,
        ),
        (
            json!({"minLength": 3}),
            "\"ä\"",
            r#"[string "ä" is too short (length: 1, required minimum: 3)]"#,
        ),
        (
            json!({"maxLength": 1}),
            "\"abc\"",
            r#"[string "abc" is too long (length: 3, maximum allowed: 1)]"#,
        ),
        (
            json!({"pattern": "^[a-z]+$"}),
            "\"A\"",
            r#"[ECMA 262 regex "^[a-z]+$" does not match input string "A"]"#,
        ),
        (
            json!({"minimum": 5}),
            "3",
            "[numeric instance is lower than the required minimum (minimum: 5, found: 3)]",
        ),
        (
            json!({"maximum": 5}),
            "7",
            "[numeric instance is greater than the required maximum (maximum: 5, found: 7)]",
        ),
        (
            json!({"maximum": 5, "exclusiveMaximum": true}),
            "5",
            "[numeric instance is not strictly lower than the required maximum 5]",
        ),
        (
            json!({"minItems": 2}),
            "[1]",
            "[array is too short: must have at least 2 elements but instance has 1 elements]",
        ),
        (json!({"uniqueItems": true}), "[1,1]", "[array must not contain duplicate elements]"),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            "1",
            "[instance failed to match exactly one schema (matched 0 out of 2)]",
        ),
        (
            json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}),
            "1",
            "[instance failed to match exactly one schema (matched 2 out of 2)]",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            "1",
            "[instance failed to match at least one required schema among 2]",
        ),
        (json!({"not": {}}), "1", "[instance matched a schema which it should not have]"),
        (json!({"format": "email"}), "\"x\"", "[string \"x\" is not a valid email address]"),
        (json!({}), "nope", ""),
    ] {
        assert_eq!(model(schema.clone()).report(body.as_bytes()), expected, "{schema} {body}");
    }
}

/// rest-data-plane 3.5: what the validator says of less common keywords, and in which order.
#[test]
fn the_report_has_the_validators_order_and_texts_as_they_are() {
    let circle = json!({"required": ["v"], "properties": {
        "next": {"oneOf": [{"type": "null"}, {"$ref": "#"}]},
    }});
    let strings = json!({"properties": {
        "z": {"type": "string"}, "b": {"type": "string"}, "o": {"properties": {"i": {"type": "null"}}},
    }});
    for (schema, body, expected) in [
        (
            json!({"additionalProperties": false}),
            r#"{"c":1}"#,
            r#"object instance has properties which are not allowed by the schema: ["c"]"#,
        ),
        (
            json!({"additionalProperties": false, "patternProperties": {"^x": {}}}),
            r#"{"z":1,"x":1,"b":2}"#,
            r#"object instance has properties which are not allowed by the schema: ["b","z"]"#,
        ),
        (circle.clone(), "{}", r#"object has missing required properties (["v"])"#),
        (
            circle,
            r#"{"v":1,"next":{"v":1,"next":{}}}"#,
            "instance failed to match exactly one schema (matched 0 out of 2)",
        ),
        (
            json!({"type": "number"}),
            "\"x\"",
            r#"instance type (string) does not match any allowed primitive type (allowed: ["integer","number"])"#,
        ),
        (
            json!({"type": ["string", "null", "array"]}),
            "7",
            r#"instance type (integer) does not match any allowed primitive type (allowed: ["array","null","string"])"#,
        ),
        (
            json!({"allOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            r#"{"a":1}"#,
            "instance failed to match all required schemas (matched only 1 out of 2)",
        ),
        (
            json!({"dependencies": {"a": ["b"]}}),
            r#"{"a":1}"#,
            r#"property "a" of object has missing property dependencies (schema requires ["b"]; missing: ["b"])"#,
        ),
        (
            json!({"dependencies": {"a": ["d", "c", "b"], "q": ["r"], "b": {"required": ["s"]}}}),
            r#"{"a":1,"b":2}"#,
            r#"property "a" of object has missing property dependencies (schema requires ["b","c","d"]; missing: ["c","d"]), object has missing required properties (["s"])"#,
        ),
        (
            json!({"required": ["z", "a", "m"], "maxProperties": 0}),
            r#"{"m":1}"#,
            r#"object has too many properties (found 1 but schema requires at most 0), object has missing required properties (["a","z"])"#,
        ),
        // Members by name; what is deeper only while nothing was wrong.
        (
            strings,
            r#"{"z":1,"o":{"i":1},"b":true}"#,
            r#"instance type (boolean) does not match any allowed primitive type (allowed: ["string"]), instance type (integer) does not match any allowed primitive type (allowed: ["string"])"#,
        ),
        (
            json!({"pattern": "^\\d\"$"}),
            "\"a\\\"\\n\"",
            "ECMA 262 regex \"^\\d\"$\" does not match input string \"a\"\n\"",
        ),
        (
            json!({"minLength": 9}),
            "\"\\\"q\\\"\"",
            "string \"\"q\"\" is too short (length: 3, required minimum: 9)",
        ),
        (
            json!({"maximum": 1}),
            "1.50",
            "numeric instance is greater than the required maximum (maximum: 1, found: 1.50)",
        ),
        (
            json!({"maximum": 1}),
            "123456789012345678901234567890",
            "numeric instance is greater than the required maximum (maximum: 1, found: 123456789012345678901234567890)",
        ),
        (
            json!({"maximum": 1, "exclusiveMaximum": true}),
            "2",
            "numeric instance is greater than the required maximum (maximum: 1, found: 2)",
        ),
        (
            json!({"minimum": 25}),
            "24.9999999999999999999",
            "numeric instance is lower than the required minimum (minimum: 25, found: 24.9999999999999999999)",
        ),
        (json!({"multipleOf": 0.1}), "0.35", "remainder of division is not zero (0.35 / 0.1)"),
        (
            json!({"format": "regex"}),
            "\"[\"",
            "string \"[\" is not a valid ECMA 262 regular expression",
        ),
        (
            json!({"items": [{}, {"type": "null"}], "additionalItems": false}),
            "[1,2,3]",
            "array has too many elements: only 2 are allowed but instance has 3 elements",
        ),
        (
            json!({"items": [{}], "additionalItems": {"type": "null"}}),
            "[1,null,3]",
            r#"instance type (integer) does not match any allowed primitive type (allowed: ["null"])"#,
        ),
    ] {
        let model = model(schema.clone());
        assert_eq!(model.check(body.as_bytes()), Fit::DoesNotFit, "{schema} {body}");
        assert_eq!(model.report(body.as_bytes()), format!("[{expected}]"), "{schema} {body}");
    }
}

/// What serde_json refuses and AWS's reader takes.
#[test]
fn numbers_halves_of_characters_and_depth_are_json() {
    for (schema, body, expected) in [
        (json!({"type": "number"}), "1e400", Fit::Fits),
        (json!({"type": "integer"}), "18446744073709551616", Fit::Fits),
        (json!({"maximum": 9_007_199_254_740_993_u64}), "9007199254740994", Fit::DoesNotFit),
        (json!({"minimum": 25}), "24.9999999999999999999", Fit::DoesNotFit),
        (json!({"multipleOf": 0.1}), "0.3", Fit::Fits),
        (json!({"enum": [1, {"a": [1.5], "b": 2}]}), r#"{"b":2.0,"a":[15e-1]}"#, Fit::Fits),
        (json!({"uniqueItems": true}), r#"[{"a":1,"b":2},{"b":2,"a":1.0}]"#, Fit::DoesNotFit),
        (json!({"uniqueItems": true}), r#"["1",1,[1],{"1":1},true,"true"]"#, Fit::Fits),
        (json!({"maxLength": 1}), r#""\ud800""#, Fit::Fits),
        (json!({"maxLength": 1}), r#""\ud83d\ude00""#, Fit::Fits),
        (json!({}), r#"{"\u0061":"\/\b\f\n\r\t\\\""}"#, Fit::Fits),
        (json!({"required": ["a"]}), r#"{"\u0061":1}"#, Fit::Fits),
        // The last of two members of a name is the one that is there.
        (json!({"properties": {"a": {"type": "null"}}}), r#"{"a":1,"a":null}"#, Fit::Fits),
    ] {
        check(&model(schema), body, expected);
    }
    let any = model(json!({}));
    check(&any, &nested("[", "1", "]", 1_000), Fit::Fits);
    check(&any, &nested("[", "1", "]", 1_001), Fit::NotJson);
    for body in [
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,]",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "nul",
        "\"\t\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u+123""#,
        "\"a",
        "[",
        "{",
        "{\"a\":",
        "]",
        "NaN",
        "// c\n1",
    ] {
        check(&any, body, Fit::NotJson);
    }
}

#[test]
fn a_report_has_an_end() {
    let model = model(json!({"items": {"enum": ["x"]}}));
    let value = "y".repeat(1_000);
    for count in [60, 6_000] {
        let body = Value::from(vec![value.as_str(); count]).to_string();
        let report = model.report(body.as_bytes());
        assert!(report.len() > 3_000);
        assert!(report.len() < 5_000 && report.starts_with('[') && report.ends_with(']'));
    }
    let many = Value::from(vec![json!({"enum": ["x"]}); 100]);
    let model = compile(&[("M", json!({"items": {"anyOf": many}}))], "M").unwrap();
    for count in [500, 5_000] {
        let report = model.report(Value::from(vec!["y"; count]).to_string().as_bytes());
        let message = "[instance failed to match at least one required schema among 100, ";
        assert!(report.starts_with(message) && report.len() < 5_000, "{report}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-e]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-e]", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Schemas of draft 4 over the names that `any_json` gives, some with circles.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        prop::sample::select(vec!["string", "integer", "object", "array", "null", "number"])
            .prop_map(|name| json!({ "type": name })),
        Just(json!({"required": ["a", "b"]})),
        Just(json!({"enum": [1, "a", null, {"a": []}]})),
        (0_u8..4).prop_map(|n| json!({"minItems": n, "maxLength": n, "minProperties": n})),
        "[a-e]{1,3}".prop_map(|text| json!({"pattern": format!("^({text}|a+)*$")})),
        (-5_i8..5).prop_map(|n| json!({"minimum": n, "exclusiveMinimum": true})),
        Just(json!({"$ref": "#/definitions/M"})),
        Just(json!({"$ref": url("M")})),
        Just(json!({"uniqueItems": true, "maxItems": 2, "format": "date-time"})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(
                |(a, b)| json!({"properties": {"a": a, "b": b}, "additionalProperties": false})
            ),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"patternProperties": {"^[ab]": a}, "items": b})),
            some.clone().prop_map(|list| json!({ "anyOf": list })),
            some.clone().prop_map(|list| json!({ "oneOf": list })),
            some.prop_map(|list| json!({ "allOf": list })),
            inner.clone().prop_map(|schema| json!({ "not": schema })),
            inner.prop_map(|schema| json!({"dependencies": {"a": schema, "b": ["c"]}})),
        ]
    })
}

proptest! {
    /// Nothing a client sends and no model brings a node down, and the two answers agree; so does a
    /// library that validates by draft 4 and knows nothing of AWS's words.
    #[test]
    fn any_body_has_an_answer(schema in any_schema(), bodies in prop::collection::vec(any_json(), 1..4)) {
        let models = [("M", schema)];
        let model = match compile(&models, "M") {
            Ok(model) => model,
            Err(err) => {
                prop_assert!(matches!(err, SchemaError::TooHeavy(_)), "{err}");
                return Ok(());
            }
        };
        let document = gather(API, &texts(&models), "M").unwrap();
        let other = jsonschema::options().with_draft(Draft::Draft4).offline();
        let other = other.should_validate_formats(true).build(&document).unwrap();
        for body in bodies {
            let text = body.to_string();
            let fit = model.check(text.as_bytes());
            prop_assert_ne!(fit, Fit::NotJson);
            prop_assert_eq!(fit == Fit::Fits, other.is_valid(&body), "{} {}", document, text);
            let report = model.report(text.as_bytes());
            if fit == Fit::Fits {
                prop_assert_eq!(report, "[]");
            } else {
                prop_assert!(report != "[]", "{text}");
            }
        }
    }

    #[test]
    fn any_model_is_compiled_or_refused(schema in any_json(), body in any_json()) {
        if let Ok(model) = compile(&[("M", schema)], "M") {
            model.check(body.to_string().as_bytes());
            model.report(body.to_string().as_bytes());
        }
    }

    #[test]
    fn any_bytes_have_an_answer(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let model = model(json!({"type": "object", "required": ["a"]}));
        let fit = model.check(&body);
        prop_assert_ne!(fit, Fit::Fits);
        model.report(&body);
    }
}
