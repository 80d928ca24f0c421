use indexmap::IndexMap;

use super::*;
use crate::model::rest_api::Integration;

/// What an integration is, is known once the stage's variables are put in: each part of its URI may
/// come from one (rest-data-plane 7.10).
#[test]
fn a_function_is_known_whatever_its_uri_is_made_of() {
    const FUNCTION: &str = "path/2015-03-31/functions/arn:aws:lambda:r:1:function:f/invocations";
    let mut variables = IndexMap::from(
        [("region", "us-east-1"), ("service", "lambda"), ("other", "sqs"), ("a:b", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let whole = format!("arn:aws:apigateway:us-east-1:lambda:{FUNCTION}");
    variables.insert("whole".to_owned(), whole.clone());
    let facts = RouteFacts {
        api_id: "abcdefghij",
        account_id: "000000000000",
        stage: "prod",
        deployment_id: "d",
        resource_id: "r",
        resource_path: "/",
        operation_name: "",
        stage_variables: &variables,
        is_canary: None,
    };
    for (uri, is_lambda) in [
        (whole.as_str(), true),
        ("${stageVariables.whole}", true),
        ("arn:aws:apigateway:${stageVariables.region}:${stageVariables.service}:path/x", true),
        // Colons of a variable's name are none of the URI's.
        ("arn:aws:apigateway:u${stageVariables.a:b}:lambda:path/x", true),
        ("arn:aws:apigateway:us-east-1:${stageVariables.other}:path/x", false),
        ("arn:aws:apigateway:us-east-1:${stageVariables.none}:path/x", false),
    ] {
        let integration = Integration {
            kind: IntegrationKind::Aws,
            uri: uri.to_owned(),
            ..Integration::default()
        };
        let method = Method { http_method: "POST".into(), integration, ..Method::default() };
        let Ok(Flow::Custom(flow)) = flow(&method, &facts) else { panic!("{uri}") };
        assert_eq!(flow.is_lambda, is_lambda, "{uri}");
    }
}
