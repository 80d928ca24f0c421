//! Tables of rest-data-plane 1.2 and 1.3.

use proptest::prelude::*;

use super::*;
use crate::model::stage::HeaderCondition;

fn mapping(base_path: &str, api: &str, stage: Option<&str>) -> Mapping {
    Mapping {
        base_path: base_path.into(),
        api: ApiId::new(api),
        stage: stage.map(StageName::new),
        matched: Arc::new(Matched::BasePath(base_path.into())),
    }
}

fn rule(id: &str, priority: u32, conditions: &[RuleCondition], strips: bool) -> Rule {
    Rule {
        matched: Arc::new(Matched::Rule(id.into())),
        priority,
        conditions: conditions.iter().map(Condition::of).collect(),
        strips_base_path: strips,
        api: ApiId::new(id),
        stage: StageName::new("s"),
    }
}

fn header(name: &str, glob: &str) -> RuleCondition {
    RuleCondition::Headers(vec![HeaderCondition {
        header: name.to_owned(),
        value_glob: glob.to_owned(),
    }])
}

fn base(path: &str) -> RuleCondition {
    RuleCondition::BasePaths(vec![path.to_owned()])
}

fn domain(mut rules: Vec<Rule>, mut mappings: Vec<Mapping>, is_rules_only: bool) -> Domain {
    mappings.sort_by_key(|mapping| Reverse(mapping.base_path.len()));
    rules.sort_by_key(|rule| rule.priority);
    Domain { rules, mappings, is_rules_only }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (HeaderName::from_static(name), http::HeaderValue::from_static(value))
    });
    pairs.collect()
}

/// API, stage and the path below it, as text.
fn shown(domain: &Domain, path: &str, sent: &[(&'static str, &'static str)]) -> String {
    match domain.target(path, &headers(sent)) {
        Ok(target) => {
            format!("{} {} {}", target.api, target.stage, path.get(target.rest..).unwrap())
        }
        Err(nowhere) => format!("{nowhere:?}"),
    }
}

#[test]
fn the_longest_base_path_wins_1_2() {
    let domain = domain(
        Vec::new(),
        vec![
            mapping("orders", "o", Some("prod")),
            mapping("orders/v1/items", "i", Some("prod")),
            mapping("v1", "a", Some("one")),
            mapping("v2", "a", Some("two")),
            mapping("open", "a", None),
            mapping("", "rest", Some("all")),
        ],
        false,
    );
    for (path, wanted) in [
        // Versions side by side.
        ("/v1/pets", "a one /pets"),
        ("/v2/pets", "a two /pets"),
        ("/v1", "a one "),
        ("/v1/", "a one /"),
        ("//v1/pets", "a one /pets"),
        // Whole segments only, with case.
        ("/v11/pets", "rest all /v11/pets"),
        ("/V1/pets", "rest all /V1/pets"),
        ("/orders/v1/items/7", "i prod /7"),
        ("/orders/v1/item", "o prod /v1/item"),
        ("/orders/v1/items2", "o prod /v1/items2"),
        ("/orders", "o prod "),
        // The caller names the stage, and keeps the choice when there is none of that name.
        ("/open/one/pets", "a one /pets"),
        ("/open/nine/pets", "a nine /pets"),
        ("/", "rest all /"),
        ("//", "rest all /"),
    ] {
        assert_eq!(shown(&domain, path, &[]), wanted, "{path}");
    }
}

#[test]
fn no_mapping_fits_1_2() {
    let domain = domain(Vec::new(), vec![mapping("v1", "a", Some("one"))], false);
    assert_eq!(shown(&domain, "/v2/pets", &[]), "NoMapping");
    assert_eq!(shown(&domain, "/", &[]), "NoMapping");
}

#[test]
fn rules_go_by_priority_and_all_conditions_1_3() {
    let rules = || {
        vec![
            rule("last", 1_000_000, &[header("x-all", "yes")], false),
            rule("both", 20, &[header("X-Version", "beta*"), header("x-user", "*admin*")], false),
            rule("beta", 30, &[header("x-version", "beta*")], false),
            rule("strip", 40, &[base("orders/v1")], true),
            rule("whole", 50, &[base("orders")], false),
            rule("and", 10, &[base("/both/"), header("x-a", "1")], true),
        ]
    };
    type Sent<'t> = &'t [(&'static str, &'static str)];
    let table: [(&str, Sent<'_>, &str); 13] = [
        ("/p", &[("x-version", "beta-7")], "beta s /p"),
        ("/p", &[("x-version", "beta"), ("x-user", "an admin too")], "both s /p"),
        // Values are compared with case, and lists are not split.
        ("/p", &[("x-version", "BETA")], "mapped s /p"),
        ("/p", &[("x-version", "alpha, beta")], "mapped s /p"),
        ("/orders/v1/items", &[], "strip s /items"),
        ("/orders/v1", &[], "strip s "),
        ("/orders/v11", &[], "whole s /orders/v11"),
        ("/orders", &[], "whole s /orders"),
        ("/Orders", &[], "mapped s /Orders"),
        ("/both/x", &[("x-a", "1")], "and s /x"),
        ("/both/x", &[], "mapped s /both/x"),
        ("//orders/x", &[], "whole s /orders/x"),
        ("/orders/v1", &[("x-version", "beta"), ("x-all", "yes")], "beta s /orders/v1"),
    ];
    let then_mapped = domain(rules(), vec![mapping("", "mapped", Some("s"))], false);
    let only = domain(rules(), vec![mapping("", "mapped", Some("s"))], true);
    for (path, sent, wanted) in table {
        assert_eq!(shown(&then_mapped, path, sent), wanted, "{path} {sent:?}");
        let wanted = if wanted.starts_with("mapped") { "NoRule" } else { wanted };
        assert_eq!(shown(&only, path, sent), wanted, "{path} {sent:?}");
    }
    let catch_all = domain(vec![rule("all", 1, &[], true)], Vec::new(), true);
    assert_eq!(shown(&catch_all, "/a/b", &[]), "all s /a/b");
}

#[test]
fn what_matched_is_known_1_3() {
    let domain =
        domain(vec![rule("r1", 1, &[base("r")], true)], vec![mapping("m", "a", Some("s"))], false);
    let matched = |path| domain.target(path, &HeaderMap::new()).unwrap().matched.unwrap();
    assert_eq!(*matched("/r/x"), Matched::Rule("r1".into()));
    assert_eq!(*matched("/m/x"), Matched::BasePath("m".into()));
}

#[test]
fn globs_1_3() {
    for (glob, value, fits) in [
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("abc*", "abcd", true),
        ("abc*", "xabc", false),
        ("*abc", "xabc", true),
        ("*abc", "abcx", false),
        ("*abc*", "xabcx", true),
        ("*abc*", "ab c", false),
        ("*", "", true),
        ("*", "anything", true),
        ("**", "anything", true),
        ("", "", true),
        ("", "x", false),
        // In between it is a character like others.
        ("a*c", "abc", false),
        ("a*c", "a*c", true),
    ] {
        assert_eq!(Glob::of(glob).fits(value.as_bytes()), fits, "{glob} {value}");
    }
}

#[test]
fn an_exact_name_goes_before_a_wildcard_1_2() {
    let mut domains = Domains::default();
    for name in ["api.example.com", "*.example.com"] {
        let api = name.replace(['.', '*'], "-");
        domains.entry(name).mappings.push(mapping("", &api, Some("s")));
    }
    let found = |host: &str| {
        domains.find(host).map(|domain| domain.target("/", &HeaderMap::new()).unwrap().api)
    };
    assert_eq!(found("api.example.com"), Some("api-example-com"));
    assert_eq!(found("www.example.com"), Some("--example-com"));
    for none in ["example.com", "a.b.example.com", ".example.com", "www.example.org", ""] {
        assert_eq!(found(none), None, "{none}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn targets_lie_within_the_path(
        path in "/[a-c/]{0,12}",
        bases in proptest::collection::vec("[a-c]{1,2}(/[a-c]{1,2}){0,2}", 0..6),
        strips in any::<bool>(),
    ) {
        let rules = bases.iter().zip(1..).map(|(path, at)| rule("r", at, &[base(path)], strips));
        let mappings = bases.iter().map(|path| mapping(path, "a", None));
        for domain in [
            domain(rules.clone().collect(), Vec::new(), true),
            domain(Vec::new(), mappings.clone().collect(), false),
        ] {
            if let Ok(target) = domain.target(&path, &HeaderMap::new()) {
                let rest = path.get(target.rest..).unwrap();
                prop_assert!(rest.is_empty() || rest.starts_with('/'));
            }
        }
    }
}
