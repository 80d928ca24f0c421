//! AWS's first layer of validation.

use crate::admin::protocol::check::{LEFT_TO_HANDLERS, PRINT_ORDERS};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::{Form, Service, ShapeId};
use crate::admin::protocol::tests::{operation, operations, read};

fn validation(message: &str) -> ApiError {
    ApiError::new(ErrorKind::Validation, message.to_owned())
}

#[test]
fn a_wrong_patch_op_is_named_with_its_place_and_awss_order() {
    let body = r#"{"patchOperations": [{"op": "wrong-op", "path": "/statusCode"}]}"#;
    let error = read("PATCH", "/restapis/a/gatewayresponses/DEFAULT_4XX", body).unwrap_err();
    assert_eq!(
        error,
        validation(
            "1 validation error detected: Value 'wrong-op' at \
             'updateGatewayResponseInput.patchOperations.1.member.op' failed to satisfy \
             constraint: Member must satisfy enum value set: [add, remove, move, test, replace, \
             copy]"
        )
    );
}

#[test]
fn all_violations_are_collected() {
    let body = r#"{"name": "a", "apiKeySource": "x",
        "endpointConfiguration": {"types": ["EDGE", "y"], "ipAddressType": "z"}}"#;
    let error = read("POST", "/restapis", body).unwrap_err();
    let constraint = |value: &str, place: &str, set: &str| {
        format!(
            "Value '{value}' at 'createRestApiInput.{place}' failed to satisfy constraint: Member \
             must satisfy enum value set: [{set}]"
        )
    };
    let all = [
        constraint("x", "apiKeySource", "HEADER, AUTHORIZER"),
        constraint("[EDGE, y]", "endpointConfiguration.types", "PRIVATE, EDGE, REGIONAL"),
        constraint("z", "endpointConfiguration.ipAddressType", "ipv4, dualstack"),
    ];
    assert_eq!(error, validation(&format!("3 validation errors detected: {}", all.join("; "))));
}

#[test]
fn members_of_the_address_are_named_alone() {
    let target = "/restapis/a/resources/b/methods/GET/responses/600";
    let error = read("PUT", target, "{}").unwrap_err();
    assert_eq!(
        error,
        validation(
            r"1 validation error detected: Value '600' at 'statusCode' failed to satisfy constraint: Member must satisfy regular expression pattern: [1-5]\d\d"
        )
    );
    // The whole text must fit, in ASCII digits.
    for status in ["2000", "x200", "20", "2%D9%A0%D9%A0", "200%0A"] {
        let target = format!("/restapis/a/resources/b/methods/GET/responses/{status}");
        assert_eq!(read("PUT", &target, "{}").unwrap_err().kind, ErrorKind::Validation, "{status}");
    }
    let error = read("GET", "/restapis/a/gatewayresponses/OTHER", "").unwrap_err();
    let start = "1 validation error detected: Value 'OTHER' at 'responseType' failed";
    assert!(error.message.starts_with(start), "{}", error.message);
    let error = read("PUT", "/restapis/a?mode=new", "").unwrap_err();
    let start = "1 validation error detected: Value 'new' at 'mode' failed";
    assert!(error.message.starts_with(start), "{}", error.message);
}

#[test]
fn a_missing_member_is_null() {
    let error = read("POST", "/restapis", "{}").unwrap_err();
    assert_eq!(
        error,
        validation(
            "1 validation error detected: Value null at 'createRestApiInput.name' failed to \
             satisfy constraint: Member must not be null"
        )
    );
}

#[test]
fn v2_answers_bad_request_and_knows_lengths_and_bounds() {
    let body = r#"{"timeoutInMillis": 49, "integrationType": "HTTP_PROXY"}"#;
    let error = read("POST", "/v2/apis/a/integrations", body).unwrap_err();
    assert_eq!(
        error,
        ApiError::bad_request(
            "1 validation error detected: Value '49' at 'createIntegrationInput.timeoutInMillis' \
             failed to satisfy constraint: Member must have value greater than or equal to 50"
        )
    );
    let error = read("GET", "/v2/domainnames/d/routingrules?maxResults=101", "").unwrap_err();
    assert!(error.message.ends_with("Member must have value less than or equal to 100"));
    let error = read("GET", "/v2/apis/a/exports/OAS31?outputType=XML", "").unwrap_err();
    assert!(error.message.starts_with("2 validation errors detected: "), "{}", error.message);
    let body = format!(
        r#"{{"priority": 1, "conditions": [], "actions": [{{"invokeApi":
        {{"apiId": "a", "stage": "s"}}}}, {{"invokeApi": {{"apiId": "{}"}}}}]}}"#,
        "a".repeat(9)
    );
    let error = read("POST", "/v2/domainnames/d/routingrules", &body).unwrap_err();
    assert!(error.message.contains("createRoutingRuleInput.actions.2.member.invokeApi.stage"));
}

#[test]
fn what_handlers_have_words_for_is_left_to_them() {
    assert!(read("POST", "/v2/apis", r#"{"name": "a", "protocolType": "FTP"}"#).is_ok());
    assert!(read("POST", "/vpclinks", r#"{"targetArns": []}"#).is_ok());
    for (service, name, member) in LEFT_TO_HANDLERS {
        let input = operation(*service, name).input().unwrap();
        assert!(input.body.contains_key(*member), "{name} {member}");
    }
}

#[test]
fn print_orders_have_all_values_of_their_enumerations() {
    for (service, shape, order) in PRINT_ORDERS {
        let mut known = enumeration(*service, shape);
        let mut printed = order.to_vec();
        known.sort_unstable();
        printed.sort_unstable();
        assert_eq!(known, printed, "{shape}");
    }
}

fn enumeration(service: Service, name: &str) -> Vec<&'static str> {
    fn find(service: Service, id: ShapeId, name: &str) -> Option<Vec<&'static str>> {
        let shape = service.model().shape(id)?;
        match &shape.form {
            Form::Text(rules) if *shape.name == *name => {
                Some(rules.values.iter().map(|value| &**value).collect())
            }
            Form::Structure(structure) => {
                structure.body.values().find_map(|member| find(service, member.shape, name))
            }
            Form::List(inner) | Form::Map(inner) => find(service, *inner, name),
            _ => None,
        }
    }
    operations()
        .filter(|operation| operation.service == service)
        .find_map(|operation| find(service, operation.input?, name))
        .unwrap()
}

#[test]
fn a_long_value_is_not_repeated_whole() {
    let body = format!(r#"{{"name": "a", "apiKeySource": "{}"}}"#, "é".repeat(100_000));
    assert!(read("POST", "/restapis", &body).unwrap_err().message.len() < 5_000);
    let operation = r#"{"op": "x"}"#;
    let body = format!(r#"{{"patchOperations": [{}]}}"#, vec![operation; 10_000].join(","));
    let error = read("PATCH", "/restapis/a", &body).unwrap_err();
    assert!(error.message.starts_with("10000 validation errors detected: "));
    assert!(error.message.len() < 20_000);
}
