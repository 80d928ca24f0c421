//! AWS facts: rest-api resource matching as recorded (path table, sibling order, method in match).

use http::Method;
use proptest::prelude::*;

use super::*;

fn router(routes: &[(&str, &str)]) -> Router<String> {
    let mut router = Router::new();
    for (method, path) in routes {
        router.insert(path, method, format!("{method} {path}")).unwrap();
    }
    router
}

/// `expected` is the route and its parameters as `name=value`, or `None`.
fn check(routes: &[(&str, &str)], request: &str, expected: Option<&str>) {
    let router = router(routes);
    let (method, path) = request.split_once(' ').unwrap();
    let mut parameters = Vec::new();
    let found = router.find(&method.parse().unwrap(), path, &mut parameters);
    let text = found.map(|leaf| {
        let trimmed = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        parameters.iter().fold(leaf.clone(), |text, (name, range)| {
            format!("{text} {name}={}", trimmed.get(range.clone()).unwrap())
        })
    });
    assert_eq!(text.as_deref(), expected, "{request}");
}

const RECORDED: &[(&str, &str)] = &[("ANY", "/{proxy+}"), ("GET", "/hardcoded")];

/// Recorded: test_lambda_aws_proxy_integration (edge-optimized endpoint).
#[test]
fn recorded_path_table() {
    check(RECORDED, "GET /proxy-value", Some("ANY /{proxy+} proxy=proxy-value"));
    check(RECORDED, "GET /proxy-value/", Some("ANY /{proxy+} proxy=proxy-value"));
    check(RECORDED, "GET /a//double", Some("ANY /{proxy+} proxy=a//double"));
    check(RECORDED, "GET /hardcoded", Some("GET /hardcoded"));
    check(RECORDED, "GET /test%2Balias@x", Some("ANY /{proxy+} proxy=test%2Balias@x"));
    check(RECORDED, "GET /", None);
}

/// Validated: test_proxy_routing_with_hardcoded_resource_sibling.
#[test]
fn the_method_takes_part_in_the_match() {
    let routes = &[("POST", "/test"), ("OPTIONS", "/{proxy+}"), ("ANY", "/test/any")];
    check(routes, "OPTIONS /test", Some("OPTIONS /{proxy+} proxy=test"));
    check(routes, "OPTIONS /test/any", Some("ANY /test/any"));
    check(routes, "GET /test", None);
}

/// Validated: test_routing_with_hardcoded_resource_sibling_order.
#[test]
fn a_static_sibling_does_not_hide_the_greedy_one() {
    let routes = &[("GET", "/part1/hardcoded-value"), ("GET", "/{param+}")];
    check(routes, "GET /part1/random-value", Some("GET /{param+} param=part1/random-value"));
    check(routes, "GET /part1/hardcoded-value", Some("GET /part1/hardcoded-value"));
}

#[test]
fn a_greedy_variable_needs_a_segment() {
    let routes = &[("GET", "/parent/{proxy+}")];
    check(routes, "GET /parent", None);
    check(routes, "GET /parent/", None);
    check(routes, "GET /parent/a", Some("GET /parent/{proxy+} proxy=a"));
}

#[test]
fn the_root_and_variables_in_the_middle() {
    let routes = &[("GET", "/"), ("GET", "/a/{x}/b/{y}"), ("GET", "/a/fixed/b/z")];
    check(routes, "GET /", Some("GET /"));
    check(routes, "GET /a/1/b/2", Some("GET /a/{x}/b/{y} x=1 y=2"));
    check(routes, "GET /a/fixed/b/z", Some("GET /a/fixed/b/z"));
    check(routes, "GET /a/fixed/b/q", Some("GET /a/{x}/b/{y} x=fixed y=q"));
    check(routes, "GET /a//b/2", None);
}

#[test]
fn get_does_not_imply_head_and_any_has_seven_verbs() {
    check(&[("GET", "/x")], "HEAD /x", None);
    check(&[("ANY", "/x")], "HEAD /x", Some("ANY /x"));
    check(&[("ANY", "/x")], "TRACE /x", None);
}

/// Recorded: test_create_proxy_resource_validation.
#[test]
fn impossible_trees_are_refused() {
    let mut router = Router::new();
    router.insert("/{proxy+}", "GET", ()).unwrap();
    assert!(matches!(
        router.insert("/{other}", "GET", ()),
        Err(RouterError::SecondVariable { .. })
    ));
    assert!(matches!(
        router.insert("/{proxy+}/child", "GET", ()),
        Err(RouterError::ChildOfGreedy(_))
    ));
    assert!(matches!(router.insert("/{proxy+}", "GET", ()), Err(RouterError::SecondMethod { .. })));
    assert!(matches!(router.insert("/x", "FETCH", ()), Err(RouterError::BadMethod(_))));
}

/// A slow, obviously right matcher: every template against the path, best one by precedence.
fn model(routes: &[String], path: &str) -> Option<String> {
    let trimmed = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    let segments: Vec<&str> =
        if trimmed == "/" { vec![] } else { trimmed.get(1..).unwrap().split('/').collect() };
    let rank = |template: &str| -> Option<Vec<u8>> {
        let parts: Vec<&str> =
            if template == "/" { vec![] } else { template.get(1..).unwrap().split('/').collect() };
        let mut ranks = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if part.ends_with("+}") {
                ranks.push(2);
                return (segments.len() > index).then_some(ranks);
            }
            let segment = segments.get(index)?;
            if part.starts_with('{') {
                if segment.is_empty() {
                    return None;
                }
                ranks.push(1);
            } else if part == segment {
                ranks.push(0);
            } else {
                return None;
            }
        }
        (parts.len() == segments.len()).then_some(ranks)
    };
    routes.iter().filter_map(|t| Some((rank(t)?, t))).min().map(|(_, t)| t.clone())
}

proptest! {
    #[test]
    fn finds_what_the_slow_matcher_finds(
        templates in prop::collection::btree_set("(/(a|b|c|\\{x\\})){1,4}(/\\{g\\+\\})?|/", 1..12),
        path in "(/(a|b|c|d|)){1,5}/?",
    ) {
        let mut router = Router::new();
        let mut kept = Vec::new();
        for template in templates {
            if router.insert(&template, "GET", template.clone()).is_ok() {
                kept.push(template);
            }
        }
        let found = router.find(&Method::GET, &path, &mut Vec::new()).cloned();
        prop_assert_eq!(found, model(&kept, &path));
    }

    #[test]
    fn never_panics(template in "\\PC{0,30}", path in "/\\PC{0,40}") {
        let mut router = Router::new();
        router.insert(&template, "GET", ()).ok();
        router.insert("/{a+}", "ANY", ()).ok();
        let mut parameters = Vec::new();
        let trimmed = path.strip_suffix('/').filter(|p| !p.is_empty()).unwrap_or(&path);
        if router.find(&Method::GET, &path, &mut parameters).is_some() {
            for (_, range) in parameters {
                prop_assert!(trimmed.get(range).is_some());
            }
        }
    }
}
