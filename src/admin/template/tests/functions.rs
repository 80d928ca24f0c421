//! CloudFormation Template Reference, "Intrinsic function reference".

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{expanded, property, refused};

/// A template whose API's description is this value.
fn with(value: &str) -> String {
    format!(
        "Parameters:\n  P: {{ Type: String, Default: given }}\n  N: {{ Type: Number, Default: 7 }}\n  \
         L: {{ Type: CommaDelimitedList, Default: 'a, b,c' }}\n\
         Mappings: {{ M: {{ eu-central-1: {{ k: mapped }}, given: {{ k: by-parameter }} }} }}\n\
         Conditions:\n  \
         Yes: !Equals [!Ref P, given]\n  \
         No: !Not [!Condition Yes]\n  \
         Both: !And [!Condition Yes, !Condition No]\n  \
         One: !Or [!Condition Yes, !Condition No]\n  \
         Seven: !Equals [!Ref N, '7']\n\
         Resources:\n  \
         F: {{ Type: AWS::Lambda::Function, Properties: {{ FunctionName: pets }} }}\n  \
         G: {{ Type: AWS::Lambda::Function }}\n  \
         Q: {{ Type: AWS::SQS::Queue }}\n  \
         Off: {{ Type: AWS::ApiGateway::RestApi, Condition: No, Properties: {{ Name: x }} }}\n  \
         Api:\n    Type: AWS::ApiGateway::RestApi\n    Properties:\n      Name: x\n      \
         Description: {value}\n"
    )
}

#[test]
fn functions_come_to_their_values() {
    for (value, wanted) in [
        ("!Ref P", json!("given")),
        ("{ Ref: P }", json!("given")),
        ("!Ref AWS::Region", json!("eu-central-1")),
        ("!Ref AWS::AccountId", json!("123456789012")),
        ("!Ref AWS::StackName", json!("shop")),
        ("!Ref AWS::Partition", json!("aws")),
        ("!Ref AWS::URLSuffix", json!("amazonaws.com")),
        ("!Ref AWS::NoValue", Json::Null),
        ("!Ref L", json!(["a", "b", "c"])),
        ("!Ref F", json!("pets")),
        ("!Ref G", json!("shop-G")),
        ("!GetAtt F.Arn", json!("arn:aws:lambda:eu-central-1:123456789012:function:pets")),
        ("!GetAtt [F, Arn]", json!("arn:aws:lambda:eu-central-1:123456789012:function:pets")),
        (
            "{ 'Fn::GetAtt': F.Arn }",
            json!("arn:aws:lambda:eu-central-1:123456789012:function:pets"),
        ),
        ("!GetAtt Q.Arn", json!("arn:aws:sqs:eu-central-1:123456789012:shop-Q")),
        ("!Ref Q", json!("https://sqs.eu-central-1.amazonaws.com/123456789012/shop-Q")),
        (
            "!Sub 'a ${P} ${AWS::Region} ${F.Arn} ${!P}'",
            json!(
                "a given eu-central-1 arn:aws:lambda:eu-central-1:123456789012:function:pets ${P}"
            ),
        ),
        ("!Sub ['${x}-${P}', { x: !Select [1, !Ref L] }]", json!("b-given")),
        ("!Sub 'open ${ end'", json!("open ${ end")),
        ("!Join ['/', [a, !Ref P, !Ref N]]", json!("a/given/7")),
        ("!Join ['', !Ref L]", json!("abc")),
        ("!Select ['2', !Ref L]", json!("c")),
        ("!Select [0, !Split [',', 'x,y']]", json!("x")),
        ("!Split ['-', a-b]", json!(["a", "b"])),
        ("!If [Yes, on, off]", json!("on")),
        ("!If [No, on, off]", json!("off")),
        ("!If [Both, on, off]", json!("off")),
        ("!If [One, on, off]", json!("on")),
        ("!If [Seven, on, off]", json!("on")),
        ("!If [No, !Ref Nobody, !Ref AWS::NoValue]", Json::Null),
        ("!FindInMap [M, !Ref AWS::Region, k]", json!("mapped")),
        ("!FindInMap [M, !Ref P, k]", json!("by-parameter")),
        ("!FindInMap [M, none, k, { DefaultValue: !Ref P }]", json!("given")),
        ("!Base64 text", json!("dGV4dA==")),
        ("!Base64 { 'Fn::Sub': '${P}' }", json!("Z2l2ZW4=")),
        ("!Length [a, b]", json!(2)),
        ("!ToJsonString { a: !Ref P }", json!("{\"a\":\"given\"}")),
        ("!Select [1, !GetAZs '']", json!("eu-central-1b")),
        ("plain", json!("plain")),
    ] {
        assert_eq!(property(&expanded(&with(value)), "Api", "Description"), wanted, "{value}");
    }
}

#[test]
fn json_templates_are_read_too() {
    let text = json!({"Resources": {"Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {
        "Name": {"Fn::Join": ["", ["a", {"Ref": "AWS::Region"}]]}
    }}}});
    assert_eq!(property(&expanded(&text.to_string()), "Api", "Name"), "aeu-central-1");
}

#[test]
fn what_waits_for_a_resource_stays_a_function() {
    let text = with("!Sub '${P}/${Other}/${!x}'").replace(
        "  Api:\n",
        "  Other: { Type: AWS::ApiGateway::RestApi, Properties: { Name: o } }\n  Api:\n",
    );
    let found = expanded(&text);
    let waits = json!({"Fn::Sub": "given/${Other}/${!x}"});
    assert_eq!(property(&found, "Api", "Description"), waits);
    assert_eq!(found.order, ["Other", "Api"]);
}

#[test]
fn wrong_functions_are_refused_with_their_place() {
    for (value, wanted) in [
        ("!Ref Nobody", "no parameter or resource `Nobody`"),
        ("!Ref Off", "the condition of `Off` is false"),
        ("!GetAtt Nobody.Arn", "no parameter or resource `Nobody`"),
        ("!GetAtt F", "Fn::GetAtt takes"),
        ("!Sub '${Nobody}'", "no parameter or resource `Nobody`"),
        ("!Sub [a]b", "not valid YAML"),
        ("!Sub { a: b }", "Fn::Sub takes"),
        ("!Select [9, !Ref L]", "no such item"),
        ("!Select [x, !Ref L]", "no such item"),
        ("!If [Maybe, a, b]", "no condition `Maybe`"),
        ("!If [Yes, a]", "Fn::If takes"),
        ("!FindInMap [M, none, k]", "no mapping has M.none.k"),
        ("!ImportValue other", "--export other=VALUE"),
        ("!Join [a]", "Fn::Join takes"),
        ("!Split ['', a]", "Fn::Split takes"),
        ("!Nothing x", "`!Nothing` is no function"),
        ("{ 'Fn::Nothing': x }", "Fn::Nothing is not known"),
        ("!Cidr [a, 1, 2]", "Fn::Cidr is not known"),
    ] {
        let said = refused(&with(value));
        assert!(said.contains(wanted), "{value}: {said}");
        assert!(said.starts_with("t.yaml:"), "{value}: {said}");
    }
    let said = refused(&with("!Ref Nobody"));
    assert!(said.starts_with("t.yaml:21:"), "{said}");
    assert!(said.contains("Resources.Api.Properties.Description"), "{said}");
}

#[test]
fn circles_bombs_and_wrong_sections_are_refused() {
    let api = "{ Type: AWS::ApiGateway::RestApi, Properties: { Name: x } }";
    for (text, wanted) in [
        ("", "empty"),
        ("- a\n", "a template is a table"),
        ("Resources: {}\n", "no Resources"),
        ("Resources: []\n", "must be a table"),
        ("Resourcez: {}\n", "no section"),
        (&format!("Resources: {{ A: {api} }}\nTransform: Other::Macro\n"), "transform"),
        (
            &format!(
                "Conditions: {{ A: !Condition B, B: !Condition A }}\nResources: {{ A: {api} }}\n"
            ),
            "needs itself",
        ),
        (
            "Resources: { A: { Type: AWS::ApiGateway::RestApi, Properties: { Name: !Ref B } },\n  B: { Type: AWS::ApiGateway::RestApi, Properties: { Name: !Ref A } } }\n",
            "need each other: A → B → A",
        ),
        ("Resources: { A: { Type: AWS::ApiGateway::RestApi, DependsOn: A } }\n", "need each other"),
        ("Resources: { A: { Type: AWS::ApiGateway::RestApi, DependsOn: C } }\n", "no resource `C`"),
        ("Resources: { A: { Properties: {} } }\n", "needs a Type"),
        ("Resources: { A-b: { Type: x } }\n", "letters and digits"),
        (
            &format!("Parameters: {{ P: {{ Type: String }} }}\nResources: {{ A: {api} }}\n"),
            "--parameter P=VALUE",
        ),
        (
            &format!(
                "Parameters: {{ P: {{ Type: String, Default: a, AllowedValues: [b] }} }}\nResources: {{ A: {api} }}\n"
            ),
            "AllowedValues",
        ),
        (
            "Resources: { A: { Type: AWS::Serverless::Api, Properties: { StageName: s, DefinitionUri: ../../../../etc/passwd } } }\n",
            "DefinitionUri",
        ),
        (
            "Resources: { A: { Type: AWS::Serverless::Api, Properties: { StageName: s, DefinitionUri: s3://b/k } } }\n",
            "only files beside",
        ),
    ] {
        let said = refused(text);
        assert!(said.contains(wanted), "{text}: {said}");
    }
    let mut bomb = "x".to_owned();
    for _ in 0..12 {
        bomb = format!("!Sub ['${{a}}${{a}}${{a}}${{a}}${{a}}${{a}}', {{ a: {bomb} }}]");
    }
    assert!(refused(&with(&bomb)).contains("more than 8388608 bytes"));
    let aliases = "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n\
        c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n\
        e: &e [*d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e, *e, *e, *e]\n";
    assert!(refused(aliases).contains("not valid YAML"));
    let deep = format!("Resources: {}{}", "[".repeat(500), "]".repeat(500));
    assert!(refused(&deep).starts_with("t.yaml:"));
}

fn any_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[ -~]{0,8}".prop_map(Json::from),
        prop_oneof![
            Just("A"),
            Just("P"),
            Just("A.Arn"),
            Just("${A}"),
            Just("AWS::Region"),
            Just("C"),
            Just("AWS::ApiGateway::RestApi"),
            Just("AWS::Serverless::Function"),
            Just("/x"),
            Just("AWS::Serverless::Api"),
            Just("AWS::ApiGateway::Method"),
            Just("Api"),
            Just("get"),
        ]
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let key = prop_oneof![
            Just("Ref".to_owned()),
            Just("Fn::Sub".to_owned()),
            Just("Fn::If".to_owned()),
            Just("Fn::Join".to_owned()),
            Just("Fn::GetAtt".to_owned()),
            Just("Type".to_owned()),
            Just("Properties".to_owned()),
            Just("Events".to_owned()),
            Just("Auth".to_owned()),
            Just("Cors".to_owned()),
            Just("Condition".to_owned()),
            Just("Fn::Transform".to_owned()),
            Just("Fn::Equals".to_owned()),
            Just("Path".to_owned()),
            Just("Method".to_owned()),
            Just("DefinitionBody".to_owned()),
            Just("StageName".to_owned()),
            "[A-C]{1}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::vec((key, inner), 0..5)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in a template, reading it ends, with resources or with a complaint.
    #[test]
    fn any_document_is_answered_or_refused(
        types in proptest::collection::vec(0usize..6, 1..4),
        values in proptest::collection::vec(any_value(), 4),
        conditions in any_value(),
        globals in any_value(),
    ) {
        const TYPES: [&str; 6] = [
            "AWS::Serverless::Api", "AWS::Serverless::HttpApi", "AWS::Serverless::Function",
            "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Method", "AWS::ApiGatewayV2::Route",
        ];
        let mut resources = json!({});
        for (at, (kind, value)) in types.iter().zip(&values).enumerate() {
            let id = ["A", "B", "C"][at];
            resources[id] = json!({"Type": TYPES[*kind], "Properties": value});
        }
        let text = json!({"Resources": resources, "Conditions": {"C": conditions},
            "Globals": {"Api": globals}, "Parameters": {"P": {"Default": values[3]}}});
        for text in [json!({"Resources": resources}).to_string(), text.to_string()] {
            if let Ok(template) = crate::admin::template::document::read(
                "t", std::path::Path::new("."), text.as_bytes()
            ) {
                let checked = crate::admin::template::apply::check(&template, &super::settings());
                if let Err(problems) = checked {
                    prop_assert!(!problems.to_string().is_empty());
                }
            }
        }
    }

    /// Text that is no template at all.
    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n\t&*!:{}\\[\\]]{0,200}") {
        if let Err(problems) = super::expand(&text) {
            prop_assert!(problems.to_string().starts_with("t.yaml:"));
        }
    }
}
