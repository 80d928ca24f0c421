//! rest-data-plane 5.5: what `$context` has.

use super::super::context::{CallerFacts, ErrorFacts, Node};
use super::with_call;

/// rest-data-plane 5.5: keys in the recorded order; nulls print nothing.
#[test]
fn a_template_sees_the_recorded_keys() {
    with_call(None, |call| {
        let keys: Vec<&str> = call.keys().collect();
        let recorded = "resourceId, resourcePath, httpMethod, extendedRequestId, requestTime, path, \
                        accountId, protocol, requestOverride, stage, domainPrefix, \
                        requestTimeEpoch, requestId, identity, domainName, deploymentId, \
                        responseOverride, apiId";
        assert_eq!(keys.join(", "), recorded);
        let Some(Node::Map(identity)) = call.node("identity") else { panic!() };
        let keys: Vec<&str> = identity.iter().map(|(name, _)| &**name).collect();
        let recorded = "cognitoIdentityPoolId, accountId, cognitoIdentityId, caller, sourceIp, \
                        principalOrgId, accessKey, cognitoAuthenticationType, \
                        cognitoAuthenticationProvider, userArn, userAgent, user";
        assert_eq!(keys.join(", "), recorded);
        assert_eq!(identity[1].1, Node::Null);
        assert_eq!(call.node("authorizer"), Some(Node::Map(Vec::new())));
    });
}

/// rest-data-plane 5.5 and 3.5.
#[test]
fn variables_of_the_caller_and_of_errors() {
    let mut caller = CallerFacts { user: Some("me".into()), ..CallerFacts::default() };
    caller.authorizer.insert("principalId".into(), "user|1".into());
    caller.claims.insert("sub".into(), "s".into());
    with_call(Some(&caller), |call| {
        let mut call = *call;
        call.facts.is_canary = Some(false);
        call.error = Some(ErrorFacts {
            message: Some("it's \"no\""),
            response_type: "THROTTLED",
            validation_error: "",
        });
        for (name, expected) in [
            ("identity.user", Some("me")),
            ("identity.caller", None),
            ("authorizer.principalId", Some("user|1")),
            ("authorizer.claims.sub", Some("s")),
            ("authorizer.claims", None),
            ("isCanaryRequest", Some("false")),
            ("error.message", Some("it's \"no\"")),
            ("error.messageString", Some(r#""it's \"no\"""#)),
            ("error.responseType", Some("THROTTLED")),
            ("error.validationErrorString", Some("")),
            ("deploymentId", Some("dep123")),
            ("resourceId", Some("res123")),
            ("operationName", None),
            ("identity", None),
            ("nothing", None),
        ] {
            assert_eq!(call.text(name).as_deref(), expected, "{name}");
        }
        call.error = Some(ErrorFacts { message: None, response_type: "", validation_error: "" });
        assert_eq!(call.text("error.message"), None);
        assert_eq!(call.text("error.messageString").as_deref(), Some("null"));
        assert!(call.keys().any(|key| key == "isCanaryRequest"));
    });
}
