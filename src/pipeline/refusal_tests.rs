//! Every type with its bytes: rest-data-plane 3.1, 3.2, 3.3, 8.3.

use std::time::Duration;

use super::*;
use crate::mapping::gateway_responses::GatewayResponses;
use crate::model::{quotas, rest_api};

/// Type, AWS's name, status, error type, body.
#[rustfmt::skip]
const TABLE: [(Type, &str, u16, Option<&str>, &str); 27] = [
    (Type::RequestTooLarge, "REQUEST_TOO_LARGE", 413, None, "HTTP content length exceeded 10485760 bytes."),
    (Type::UriTooLong, "DEFAULT_4XX", 414, Some("RequestUriTooLongException"), r#"{"message":"Request URI too long"}"#),
    (Type::ResourceNotFound, "RESOURCE_NOT_FOUND", 404, Some("NotFoundException"), r#"{"message":"Not Found"}"#),
    (Type::AuthorizerConfigurationError, "AUTHORIZER_CONFIGURATION_ERROR", 500, Some("AuthorizerConfigurationException"), r#"{"message":null}"#),
    (Type::MissingAuthenticationToken, "MISSING_AUTHENTICATION_TOKEN", 403, Some("MissingAuthenticationTokenException"), r#"{"message":"Missing Authentication Token"}"#),
    (Type::BadRequestBody, "BAD_REQUEST_BODY", 400, Some("BadRequestException"), r#"{"message":"Invalid request body"}"#),
    (Type::InvalidSignature, "INVALID_SIGNATURE", 403, Some("InvalidSignatureException"), r#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#),
    (Type::IncompleteSignature, "INVALID_SIGNATURE", 403, Some("IncompleteSignatureException"), r#"{"message":"Invalid key=value pair (missing equal-sign) in Authorization header"}"#),
    (Type::InvalidApiKey, "INVALID_API_KEY", 403, Some("ForbiddenException"), r#"{"message":"Forbidden"}"#),
    (Type::BadRequestParameters, "BAD_REQUEST_PARAMETERS", 400, Some("BadRequestException"), r#"{"message":"Missing required request parameters: []"}"#),
    (Type::AuthorizerFailure, "AUTHORIZER_FAILURE", 500, Some("AuthorizerFailureException"), r#"{"message":null}"#),
    (Type::Unauthorized, "UNAUTHORIZED", 401, Some("UnauthorizedException"), r#"{"message":"Unauthorized"}"#),
    (Type::AccessDenied, "ACCESS_DENIED", 403, Some("AccessDeniedException"), r#"{"Message":"User is not authorized to access this resource"}"#),
    (Type::WafFiltered, "WAF_FILTERED", 403, Some("ForbiddenException"), r#"{"message":"Forbidden"}"#),
    (Type::ExpiredToken, "EXPIRED_TOKEN", 403, Some("ExpiredTokenException"), r#"{"message":"The security token included in the request is expired"}"#),
    (Type::Forbidden, "DEFAULT_4XX", 403, Some("ForbiddenException"), r#"{"message":"Forbidden"}"#),
    (Type::BadRequest, "DEFAULT_4XX", 400, Some("BadRequestException"), r#"{"message":"Bad Request"}"#),
    (Type::UnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", 415, Some("BadRequestException"), r#"{"message":"Unsupported Media Type"}"#),
    (Type::Throttled, "THROTTLED", 429, Some("TooManyRequestsException"), r#"{"message":"Too Many Requests"}"#),
    (Type::QuotaExceeded, "QUOTA_EXCEEDED", 429, Some("LimitExceededException"), r#"{"message":"Limit Exceeded"}"#),
    (Type::IntegrationTimeout, "INTEGRATION_TIMEOUT", 504, Some("InternalServerErrorException"), r#"{"message": "Endpoint request timed out"}"#),
    (Type::IntegrationFailure, "INTEGRATION_FAILURE", 504, Some("InternalServerErrorException"), r#"{"message": "Network error communicating with endpoint"}"#),
    (Type::IntegrationRefused, "INTEGRATION_FAILURE", 500, Some("InternalServerErrorException"), r#"{"message": "Internal server error"}"#),
    (Type::BadIntegrationResponse, "INTEGRATION_FAILURE", 502, Some("InternalServerErrorException"), r#"{"message": "Internal server error"}"#),
    (Type::ApiConfigurationError, "API_CONFIGURATION_ERROR", 500, Some("InternalServerErrorException"), r#"{"message": "Internal server error"}"#),
    (Type::ServiceUnavailable, "DEFAULT_5XX", 503, Some("ServiceUnavailableException"), r#"{"message":"Service Unavailable"}"#),
    (Type::Internal, "DEFAULT_5XX", 500, Some("InternalServerErrorException"), r#"{"message":"Internal server error"}"#),
];

fn text(reply: &Reply) -> &str {
    match &reply.body {
        Body::Full(bytes) => std::str::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_type_has_its_bytes() {
    for (kind, name, status, error_type, body) in TABLE {
        let reply = Refusal::new(kind).into_reply();
        assert_eq!(kind.name(), name);
        assert_eq!((reply.status.as_u16(), kind.status().as_u16()), (status, status), "{name}");
        assert_eq!(text(&reply), body, "{name}");
        let header = |name: &HeaderName| reply.headers.get(name).map(|v| v.to_str().unwrap());
        assert_eq!(header(&ERROR_TYPE), error_type, "{name}");
        let media_type = if error_type.is_some() { "application/json" } else { "text/plain" };
        assert_eq!(header(&CONTENT_TYPE), Some(media_type), "{name}");
        assert_eq!(reply.headers.len(), 1 + usize::from(error_type.is_some()), "{name}");
        let report = reply.refusal.as_ref().unwrap();
        assert_eq!(report.response_type, name);
        // What is said of a message elsewhere is what the body says.
        if error_type.is_some() {
            let said: serde_json::Value = serde_json::from_str(body).unwrap();
            let said = said.get("message").or_else(|| said.get("Message")).unwrap().as_str();
            assert_eq!(said.unwrap_or_default(), report.message, "{name}");
        } else {
            assert_eq!(body, report.message);
        }
    }
}

/// Each of AWS's types is raised by something here.
#[test]
fn no_type_of_aws_is_forgotten() {
    const ALL: [&str; 19] = [
        "REQUEST_TOO_LARGE",
        "RESOURCE_NOT_FOUND",
        "AUTHORIZER_CONFIGURATION_ERROR",
        "MISSING_AUTHENTICATION_TOKEN",
        "BAD_REQUEST_BODY",
        "INVALID_SIGNATURE",
        "INVALID_API_KEY",
        "BAD_REQUEST_PARAMETERS",
        "AUTHORIZER_FAILURE",
        "UNAUTHORIZED",
        "INTEGRATION_TIMEOUT",
        "ACCESS_DENIED",
        "WAF_FILTERED",
        "QUOTA_EXCEEDED",
        "THROTTLED",
        "API_CONFIGURATION_ERROR",
        "UNSUPPORTED_MEDIA_TYPE",
        "INTEGRATION_FAILURE",
        "EXPIRED_TOKEN",
    ];
    for name in ALL {
        assert!(TABLE.iter().any(|(_, own, ..)| *own == name), "{name}");
    }
}

#[test]
fn a_message_of_its_own_is_written_in_the_types_style() {
    for (kind, expected) in [
        (Type::BadRequestParameters, r#"{"message":"a \"b\""}"#),
        (Type::IntegrationFailure, r#"{"message": "a \"b\""}"#),
        (Type::AccessDenied, r#"{"Message":"a \"b\""}"#),
        (Type::RequestTooLarge, "a \"b\""),
    ] {
        let reply = Refusal::saying(kind, "a \"b\"").into_reply();
        assert_eq!(text(&reply), expected);
        assert_eq!(reply.refusal.unwrap().message, "a \"b\"");
    }
}

/// rest-data-plane 3.4 with 3.5: each way in which an integration fails, its type and status, and
/// what an entry of the author's for that type makes of the status.
#[test]
fn what_a_failing_integration_really_returns() {
    let lambda = |err| Refusal::from(IntegrationError::Lambda(err));
    let text = || Arc::from("why");
    let failed = || ReplyError::Failed { message: text(), request_id: text() };
    let rows: [(&str, Refusal, &str, u16); 17] = [
        ("no POST", IntegrationError::NotPost.into(), "INTEGRATION_FAILURE", 500),
        ("not permitted", lambda(InvokeError::NotPermitted(text())), "INTEGRATION_FAILURE", 500),
        ("throttled", lambda(InvokeError::Throttled(text())), "INTEGRATION_FAILURE", 500),
        ("no function", lambda(InvokeError::NotFound(text())), "INTEGRATION_FAILURE", 502),
        (
            "another error",
            lambda(InvokeError::Service { status: 400, message: text() }),
            "INTEGRATION_FAILURE",
            502,
        ),
        ("no keys", lambda(InvokeError::NoCredentials(text())), "API_CONFIGURATION_ERROR", 500),
        ("no Lambda", lambda(InvokeError::Network(text())), "INTEGRATION_FAILURE", 504),
        ("function error", failed().into(), "INTEGRATION_FAILURE", 502),
        ("malformed", ReplyError::Malformed.into(), "INTEGRATION_FAILURE", 502),
        (
            "failed before its head",
            ReplyError::Body(BodyError::Failed(text())).into(),
            "INTEGRATION_FAILURE",
            502,
        ),
        ("no stream", ReplyError::BadStream("x").into(), "API_CONFIGURATION_ERROR", 500),
        ("no base64", ReplyError::NotBase64.into(), "API_CONFIGURATION_ERROR", 500),
        ("network", IntegrationError::Network(text()).into(), "INTEGRATION_FAILURE", 504),
        (
            "connection refused",
            IntegrationError::ConnectionRefused(text()).into(),
            "API_CONFIGURATION_ERROR",
            500,
        ),
        ("no URL", IntegrationError::BadEndpoint(text()).into(), "API_CONFIGURATION_ERROR", 500),
        (
            "timeout",
            IntegrationError::Timeout { after: Duration::ZERO }.into(),
            "INTEGRATION_TIMEOUT",
            504,
        ),
        (
            "too long an answer",
            IntegrationError::ResponseTooLarge { limit: 1 }.into(),
            "API_CONFIGURATION_ERROR",
            500,
        ),
    ];
    for (what, refusal, kind, status) in rows {
        let reply = refusal.into_reply();
        assert_eq!(reply.status, status, "{what}");
        assert_eq!(reply.refusal.as_ref().unwrap().response_type, kind, "{what}");
        let error_type = reply.headers[&ERROR_TYPE].to_str().unwrap();
        assert_eq!(error_type, "InternalServerErrorException", "{what}");
        for (own, expected) in [(None, status), (Some(503), 503)] {
            let entry = rest_api::GatewayResponse {
                status_code: own,
                ..rest_api::GatewayResponse::default()
            };
            let entries = [(kind.to_owned(), entry)].into_iter().collect();
            let entries = GatewayResponses::compile(&entries).unwrap();
            let own = entries.of(kind, reply.status).unwrap().status().unwrap_or(reply.status);
            assert_eq!(own, expected, "{what}");
        }
    }
}

/// rest-data-plane 7.11: the limit that was exceeded is named, and Lambda's is no request's.
#[test]
fn a_payload_too_long_for_lambda_names_lambdas_limit() {
    let err = InvokeError::PayloadTooLarge { limit: quotas::LAMBDA_PAYLOAD_BYTES_MAX };
    let reply = Refusal::from(IntegrationError::Lambda(err)).into_reply();
    assert_eq!(reply.status, 413);
    assert_eq!(text(&reply), "HTTP content length exceeded 6291556 bytes.");
}
