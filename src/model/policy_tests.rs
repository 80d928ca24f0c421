use proptest::prelude::*;
use serde_json::json;

use super::*;

fn policy(statements: Value) -> Policy {
    Policy::read(&json!({ "Version": "2012-10-17", "Statement": statements })).unwrap()
}

fn context(entries: &[(&str, &str)]) -> IndexMap<String, Vec<String>> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect()
}

const USER: &str = "arn:aws:iam::123456789012:user/ann";

fn ask_with(policies: &[&Policy], action: &str, resource: &str, with: &[(&str, &str)]) -> Decision {
    let context = context(with);
    let ask = Ask { principal: USER, action, resource, context: &context };
    decide(policies.iter().copied(), ask)
}

fn ask(policies: &[&Policy], action: &str, resource: &str) -> Decision {
    ask_with(policies, action, resource, &[])
}

#[test]
fn what_nobody_allows_is_denied_and_a_deny_wins() {
    let allow = policy(json!({"Effect": "Allow", "Action": "apigateway:*", "Resource": "*"}));
    let deny = policy(json!({
        "Effect": "Deny", "Action": "apigateway:DELETE",
        "Resource": "arn:aws:apigateway:*::/restapis/prod*"
    }));
    let prod = "arn:aws:apigateway:eu-central-1::/restapis/prod123456";
    assert_eq!(ask(&[], "apigateway:GET", prod), Decision::ImplicitDeny);
    assert_eq!(ask(&[&allow], "apigateway:DELETE", prod), Decision::Allow);
    assert_eq!(ask(&[&allow, &deny], "apigateway:DELETE", prod), Decision::ExplicitDeny);
    assert_eq!(ask(&[&allow, &deny], "apigateway:GET", prod), Decision::Allow);
    assert_eq!(ask(&[&allow], "s3:GetObject", prod), Decision::ImplicitDeny);
}

#[test]
fn actions_have_no_case_and_resources_do() {
    let allow = policy(json!({"Effect": "Allow", "Action": "APIGateway:Get", "Resource": "arn:A"}));
    assert_eq!(ask(&[&allow], "apigateway:GET", "arn:A"), Decision::Allow);
    assert_eq!(ask(&[&allow], "apigateway:GET", "arn:a"), Decision::ImplicitDeny);
}

#[test]
fn not_action_and_not_resource_invert() {
    let allow = policy(json!({
        "Effect": "Allow", "NotAction": "apigateway:DELETE", "NotResource": ["arn:secret*"]
    }));
    assert_eq!(ask(&[&allow], "apigateway:GET", "arn:open"), Decision::Allow);
    assert_eq!(ask(&[&allow], "apigateway:DELETE", "arn:open"), Decision::ImplicitDeny);
    assert_eq!(ask(&[&allow], "apigateway:GET", "arn:secret/1"), Decision::ImplicitDeny);
}

#[test]
fn principals_are_arns_accounts_or_anybody() {
    let by = |principal: Value| {
        let one = policy(json!({
            "Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*"
        }));
        ask(&[&one], "a:b", "r") == Decision::Allow
    };
    assert!(by(json!("*")));
    assert!(by(json!({"AWS": USER})));
    assert!(by(json!({"AWS": "123456789012"})));
    assert!(by(json!({"AWS": ["arn:aws:iam::123456789012:root"]})));
    assert!(!by(json!({"AWS": "arn:aws:iam::999999999999:root"})));
    assert!(!by(json!({"Service": "lambda.amazonaws.com"})));
}

#[test]
fn conditions_hold_as_the_operators_table_says() {
    let when = |condition: Value, with: &[(&str, &str)]| {
        let one = policy(json!({
            "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition
        }));
        ask_with(&[&one], "a:b", "r", with) == Decision::Allow
    };
    let ip = [("aws:sourceip", "10.1.2.3")];
    assert!(when(json!({"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8"]}}), &ip));
    assert!(!when(json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), &ip));
    assert!(!when(json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), &[]));
    assert!(when(json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), &[]));
    assert!(when(json!({"IpAddressIfExists": {"aws:SourceIp": "10.0.0.0/8"}}), &[]));
    let user = [("aws:username", "ann")];
    assert!(when(json!({"StringEquals": {"aws:username": ["bob", "ann"]}}), &user));
    assert!(!when(json!({"StringNotEquals": {"aws:username": ["bob", "ann"]}}), &user));
    assert!(when(json!({"StringLike": {"aws:username": "a*"}}), &user));
    assert!(when(json!({"StringEqualsIgnoreCase": {"aws:username": "ANN"}}), &user));
    assert!(when(json!({"Null": {"aws:TokenIssueTime": "true"}}), &user));
    assert!(!when(json!({"Null": {"aws:username": "true"}}), &user));
    assert!(when(
        json!({"Bool": {"aws:SecureTransport": true}}),
        &[("aws:securetransport", "true")]
    ));
    let time = [("aws:currenttime", "2026-11-21T00:00:00Z")];
    assert!(when(json!({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01"}}), &time));
    assert!(!when(json!({"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}), &time));
    assert!(when(json!({"NumericLessThanEquals": {"n": 5}}), &[("n", "5")]));
    assert!(!when(json!({"NumericLessThan": {"n": "5"}}), &[("n", "x")]));
    // Two keys must both hold.
    assert!(!when(json!({"StringEquals": {"aws:username": "ann", "other": "1"}}), &user));
}

#[test]
fn sets_are_tested_by_any_or_all_values() {
    let mut with = IndexMap::new();
    with.insert("tags".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
    let holds = |operator: &str, values: Value| {
        let one = policy(json!({
            "Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": { operator: { "tags": values } }
        }));
        let ask = Ask { principal: USER, action: "a:b", resource: "r", context: &with };
        decide([&one], ask) == Decision::Allow
    };
    assert!(holds("ForAnyValue:StringEquals", json!(["b", "c"])));
    assert!(!holds("ForAllValues:StringEquals", json!(["b", "c"])));
    assert!(holds("ForAllValues:StringEquals", json!(["a", "b", "c"])));
}

#[test]
fn variables_stand_for_the_callers_values() {
    let own = policy(json!({
        "Effect": "Allow", "Action": "*", "Resource": "arn:home/${aws:username}/*"
    }));
    let user = [("aws:username", "ann")];
    assert_eq!(ask_with(&[&own], "a:b", "arn:home/ann/x", &user), Decision::Allow);
    assert_eq!(ask_with(&[&own], "a:b", "arn:home/bob/x", &user), Decision::ImplicitDeny);
    assert_eq!(ask(&[&own], "a:b", "arn:home//x"), Decision::ImplicitDeny);
}

#[test]
fn a_document_that_is_not_understood_is_refused_with_its_place() {
    let refused = |statement: Value| {
        let document = json!({ "Version": "2012-10-17", "Statement": [statement] });
        Policy::read(&document).unwrap_err().to_string()
    };
    assert_eq!(
        refused(json!({"Effect": "allow", "Action": "*", "Resource": "*"})),
        "Statement[0].Effect: is neither Allow nor Deny"
    );
    assert_eq!(
        refused(json!({"Effect": "Deny", "Resource": "*"})),
        "Statement[0].Action: is missing"
    );
    assert_eq!(
        refused(json!({"Effect": "Deny", "Action": "*", "Condition": {"StringIs": {"a": "b"}}})),
        "Statement[0].Condition.StringIs: is no condition operator"
    );
    assert_eq!(
        refused(json!({"Effect": "Deny", "Action": "*", "Resources": "*"})),
        "Statement[0].Resources: is no element of a statement"
    );
    assert!(Policy::parse("{").is_err());
    assert!(Policy::parse(&" ".repeat(DOCUMENT_CHARACTERS_MAX + 1)).is_err());
}

/// The definition of a wildcard, without cleverness.
fn naive_like(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            naive_like(&pattern[1..], text) || (!text.is_empty() && naive_like(pattern, &text[1..]))
        }
        (Some('?'), Some(_)) => naive_like(&pattern[1..], &text[1..]),
        (Some(a), Some(b)) if a == b => naive_like(&pattern[1..], &text[1..]),
        _ => false,
    }
}

proptest! {
    #[test]
    fn wildcards_are_what_the_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(is_like(&pattern, &text), naive_like(&chars(&pattern), &chars(&text)));
    }

    /// Order of policies and statements changes nothing, and one deny that applies decides.
    #[test]
    fn order_does_not_matter(effects in proptest::collection::vec((any::<bool>(), "[ab*]{1,2}"), 0..6)) {
        let one = |(allow, action): &(bool, String)| {
            policy(json!({"Effect": if *allow { "Allow" } else { "Deny" }, "Action": action, "Resource": "*"}))
        };
        let policies: Vec<Policy> = effects.iter().map(one).collect();
        let forwards: Vec<&Policy> = policies.iter().collect();
        let backwards: Vec<&Policy> = policies.iter().rev().collect();
        let decision = ask(&forwards, "a", "r");
        prop_assert_eq!(decision, ask(&backwards, "a", "r"));
        let denied = effects.iter().any(|(allow, action)| !allow && is_like(action, "a"));
        prop_assert_eq!(decision == Decision::ExplicitDeny, denied);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC]{0,60}") {
        drop(Policy::parse(&text));
    }
}
