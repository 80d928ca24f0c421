//! What does a stage want to read about each call?
//!
//! A format string is compiled into a list of pieces: text to copy, values to print. All that can
//! be wrong with it is found at that moment, so rendering cannot fail and does not allocate (beyond
//! the growth of the buffer it is given).
//!
//! A variable's name ends where the longest dotted name ends: `$context.status.` is the status and
//! a full stop, `$context.statusCode` is an unknown name and prints `-`, as AWS prints any value
//! that is not there.
//!
//! AWS: API Gateway Developer Guide, "Set up CloudWatch logging for REST APIs in API Gateway"
//! (presets, size, mandatory request id) and "Variables for access logging for API Gateway".

use crate::call::IntegrationReport;
use crate::model::quotas::ACCESS_LOG_FORMAT_BYTES_MAX;
use crate::net::text::{push_address, push_number, request_time};
use crate::telemetry::access_log::escape::Escaping;
use crate::telemetry::access_log::record::Record;

/// A compiled format string.
#[derive(Clone, Debug)]
pub struct Format {
    pieces: Vec<Piece>,
    escaping: Escaping,
    unknown: Vec<String>,
    wants: Wants,
}

/// Which values of a record a format prints, of those that take some work to find: the others may be
/// left empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    pub domain_name: bool,
    pub user_agent: bool,
    pub xray_trace_id: bool,
    pub validation_error: bool,
}

/// Why a format string was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error(
        "the access log format has {bytes} bytes; at most {ACCESS_LOG_FORMAT_BYTES_MAX} are allowed"
    )]
    TooLong { bytes: usize },
    #[error(
        "the access log format must contain $context.requestId or $context.extendedRequestId, \
         or be one of CLF, JSON, XML, CSV"
    )]
    NoRequestId,
    #[error("the access log format must be a single line without control characters")]
    NotOneLine,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Value(Variable),
}

/// Bytes of a line beyond which no further value is added: a format may name a client's header a
/// hundred times. AWS: "Customize HTTP API access logs" (an entry has at most 1 MB).
const LINE_BYTES_MAX: usize = 1_000_000;

const PREFIX: &str = "$context.";

/// The presets the console offers, by the names a topology may use.
const PRESETS: [(&str, &str); 4] = [
    (
        "CLF",
        "$context.identity.sourceIp $context.identity.caller $context.identity.user \
         [$context.requestTime] \"$context.httpMethod $context.resourcePath $context.protocol\" \
         $context.status $context.responseLength $context.requestId $context.extendedRequestId",
    ),
    (
        "JSON",
        "{\"requestId\":\"$context.requestId\",\"extendedRequestId\":\"$context.extendedRequestId\",\
         \"ip\":\"$context.identity.sourceIp\",\"caller\":\"$context.identity.caller\",\
         \"user\":\"$context.identity.user\",\"requestTime\":\"$context.requestTime\",\
         \"httpMethod\":\"$context.httpMethod\",\"resourcePath\":\"$context.resourcePath\",\
         \"status\":\"$context.status\",\"protocol\":\"$context.protocol\",\
         \"responseLength\":\"$context.responseLength\"}",
    ),
    (
        "XML",
        "<request id=\"$context.requestId\"><ip>$context.identity.sourceIp</ip>\
         <caller>$context.identity.caller</caller><user>$context.identity.user</user>\
         <requestTime>$context.requestTime</requestTime>\
         <httpMethod>$context.httpMethod</httpMethod>\
         <resourcePath>$context.resourcePath</resourcePath><status>$context.status</status>\
         <protocol>$context.protocol</protocol>\
         <responseLength>$context.responseLength</responseLength>\
         <extendedRequestId>$context.extendedRequestId</extendedRequestId></request>",
    ),
    (
        "CSV",
        "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,\
         $context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,\
         $context.status,$context.responseLength,$context.requestId,$context.extendedRequestId",
    ),
];

impl Format {
    /// Compiles a format string, or the preset of that name. A line break at the end, as editors
    /// leave it, is ignored.
    pub fn compile(text: &str) -> Result<Self, FormatError> {
        let text = text.trim_end();
        let preset = PRESETS.iter().find(|(name, _)| *name == text);
        let text = preset.map_or(text, |(_, format)| format);
        if text.len() > ACCESS_LOG_FORMAT_BYTES_MAX {
            return Err(FormatError::TooLong { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(FormatError::NotOneLine);
        }
        let mut format = Self {
            pieces: Vec::new(),
            escaping: Escaping::of(text),
            unknown: Vec::new(),
            wants: Wants::default(),
        };
        format.take_apart(text);
        format.wants = Wants {
            domain_name: format.prints(&[Variable::DomainName, Variable::DomainPrefix]),
            user_agent: format.prints(&[Variable::UserAgent]),
            xray_trace_id: format.prints(&[Variable::XrayTraceId]),
            validation_error: format.prints(&[Variable::ErrorValidation]),
        };
        if format.prints(&[Variable::RequestId, Variable::ExtendedRequestId]) {
            Ok(format)
        } else {
            Err(FormatError::NoRequestId)
        }
    }

    /// What a record must have for this format.
    pub fn wants(&self) -> Wants {
        self.wants
    }

    fn prints(&self, any: &[Variable]) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Value(value) if any.contains(value)))
    }

    /// Names after `$context.` that AWS does not have either; most likely misspelt. They print `-`.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Appends one line, without a line break at its end and without any inside it. A line that
    /// has grown beyond all measure ends early, between two values.
    pub fn render(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let start = line.len();
        for piece in &self.pieces {
            if line.len() - start > LINE_BYTES_MAX {
                return;
            }
            match piece {
                Piece::Text(text) => line.extend_from_slice(text),
                Piece::Value(variable) => {
                    let before = line.len();
                    variable.push(record, self.escaping, line);
                    if line.len() == before {
                        line.push(b'-');
                    }
                }
            }
        }
    }

    fn take_apart(&mut self, text: &str) {
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(PREFIX) {
            literal.push_str(before);
            let (name, remainder) = after.split_at(name_length(after));
            rest = remainder;
            match VARIABLES.iter().find(|(known, _)| *known == name) {
                Some((_, variable)) => {
                    self.push_text(&mut literal);
                    self.pieces.push(Piece::Value(*variable));
                }
                None if name.is_empty() => literal.push_str(PREFIX),
                None => {
                    literal.push('-');
                    if !is_without_value(name) {
                        self.unknown.push(name.to_owned());
                    }
                }
            }
        }
        literal.push_str(rest);
        self.push_text(&mut literal);
    }

    fn push_text(&mut self, literal: &mut String) {
        if !literal.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(literal).into_bytes().into()));
        }
    }
}

/// Bytes of the variable's name that `text` begins with: letters, digits and `_`, joined by single
/// dots. A dot that no name follows belongs to the text behind it.
fn name_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut end = 0;
    loop {
        let part = bytes.iter().skip(end).take_while(|byte| is_name(byte)).count();
        end += part;
        let dot_then_name =
            part > 0 && bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(is_name);
        if !dot_then_name {
            return end;
        }
        end += 1;
    }
}

macro_rules! variables {
    ($($variant:ident $name:literal,)*) => {
        /// A `$context` variable that can have a value here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Variable { $($variant,)* }

        const VARIABLES: &[(&str, Variable)] = &[$(($name, Variable::$variant),)*];
    };
}

variables! {
    RequestId "requestId",
    ExtendedRequestId "extendedRequestId",
    RequestTime "requestTime",
    RequestTimeEpoch "requestTimeEpoch",
    HttpMethod "httpMethod",
    Path "path",
    ResourcePath "resourcePath",
    ResourceId "resourceId",
    Protocol "protocol",
    DomainName "domainName",
    DomainPrefix "domainPrefix",
    XrayTraceId "xrayTraceId",
    AccountId "accountId",
    ApiId "apiId",
    Stage "stage",
    DeploymentId "deploymentId",
    IsCanaryRequest "isCanaryRequest",
    EndpointType "endpointType",
    TlsVersion "tlsVersion",
    CipherSuite "cipherSuite",
    SourceIp "identity.sourceIp",
    UserAgent "identity.userAgent",
    Caller "identity.caller",
    User "identity.user",
    UserArn "identity.userArn",
    IdentityAccountId "identity.accountId",
    AccessKey "identity.accessKey",
    PrincipalOrgId "identity.principalOrgId",
    ApiKeyId "identity.apiKeyId",
    PrincipalId "authorizer.principalId",
    Status "status",
    ResponseLength "responseLength",
    ResponseLatency "responseLatency",
    IntegrationStatus "integrationStatus",
    IntegrationStatusDotted "integration.status",
    IntegrationIntegrationStatus "integration.integrationStatus",
    IntegrationLatency "integrationLatency",
    IntegrationLatencyDotted "integration.latency",
    ErrorMessage "error.message",
    ErrorMessageString "error.messageString",
    IntegrationError "integration.error",
    IntegrationErrorMessage "integrationErrorMessage",
    IntegrationRequestId "integration.requestId",
    AwsEndpointRequestId "awsEndpointRequestId",
    IntegrationTransferMode "integration.responseTransferMode",
    IntegrationTimeToAllHeaders "integration.timeToAllHeaders",
    BasePathMatched "customDomain.basePathMatched",
    RoutingRuleIdMatched "customDomain.routingRuleIdMatched",
    ErrorResponseType "error.responseType",
    ErrorValidation "error.validationErrorString",
}

/// Variables of AWS that nothing here can fill yet; they print `-` without being called unknown.
const WITHOUT_VALUE: &[&str] = &[
    "identity.apiKey",
    "identity.cognitoAuthenticationProvider",
    "identity.cognitoAuthenticationType",
    "identity.cognitoIdentityId",
    "identity.cognitoIdentityPoolId",
    "identity.vpcId",
    "identity.vpceId",
    "integration.timeToFirstContent",
    "wafResponseCode",
    "webaclArn",
];

/// The same for whole families, whose last part the API's author may choose.
const FAMILIES_WITHOUT_VALUE: &[&str] = &[
    "authenticate.",
    "authorize.",
    "authorizer.",
    "identity.clientCert.",
    "requestOverride.",
    "responseOverride.",
    "waf.",
];

/// AWS: "Amazon API Gateway important notes": what the log says of an id that is no UUID.
const REPLACED_REQUEST_ID: &[u8] = b"UUID_REPLACED_INVALID_REQUEST_ID";

fn is_without_value(name: &str) -> bool {
    WITHOUT_VALUE.contains(&name)
        || FAMILIES_WITHOUT_VALUE.iter().any(|family| name.starts_with(family))
}

impl Variable {
    /// Appends the value; appends nothing where there is none.
    fn push(self, record: &Record<'_>, escaping: Escaping, line: &mut Vec<u8>) {
        let text = |text: &str, line: &mut Vec<u8>| escaping.push(text.as_bytes(), line);
        match self {
            Variable::RequestId => match record.request_id {
                // Hexadecimal digits and hyphens need no escape, nor does the other id's base64.
                Some(id) => line.extend_from_slice(id),
                None => line.extend_from_slice(REPLACED_REQUEST_ID),
            },
            Variable::ExtendedRequestId => line.extend_from_slice(&record.extended_request_id.0),
            Variable::RequestTime => line.extend_from_slice(&request_time(record.received_at)),
            Variable::RequestTimeEpoch => push_number(record.received_at.as_millis(), line),
            Variable::HttpMethod => text(record.http_method, line),
            Variable::Path => text(record.path, line),
            Variable::ResourcePath => text(record.resource_path, line),
            Variable::ResourceId => text(record.resource_id, line),
            Variable::Protocol => text(record.protocol, line),
            Variable::DomainName => text(record.domain_name, line),
            Variable::DomainPrefix => {
                text(record.domain_name.split('.').next().unwrap_or_default(), line);
            }
            Variable::XrayTraceId => text(record.xray_trace_id, line),
            Variable::AccountId => text(record.account_id, line),
            Variable::ApiId => text(record.api_id, line),
            Variable::Stage => text(record.stage, line),
            Variable::DeploymentId => text(record.deployment_id, line),
            Variable::IsCanaryRequest => match record.is_canary_request {
                None => text("", line),
                Some(true) => text("true", line),
                Some(false) => text("false", line),
            },
            Variable::EndpointType => text(record.endpoint_type, line),
            Variable::TlsVersion => text(record.tls_version, line),
            Variable::CipherSuite => text(record.cipher_suite, line),
            Variable::SourceIp => push_address(record.source_ip, line),
            Variable::UserAgent => escaping.push(record.user_agent, line),
            Variable::Caller => text(record.identity.caller, line),
            Variable::User => text(record.identity.user, line),
            Variable::UserArn => text(record.identity.user_arn, line),
            Variable::IdentityAccountId => text(record.identity.account_id, line),
            Variable::AccessKey => text(record.identity.access_key, line),
            Variable::PrincipalOrgId => text(record.identity.principal_org_id, line),
            Variable::ApiKeyId => text(record.identity.api_key_id, line),
            Variable::PrincipalId => text(record.identity.principal_id, line),
            Variable::Status => push_number(u64::from(record.status), line),
            Variable::ResponseLength => push_number(record.response_length, line),
            Variable::ResponseLatency => push_number(record.response_latency_ms, line),
            Variable::IntegrationStatus | Variable::IntegrationIntegrationStatus => {
                push_status(record.integration.map_or(0, |report| report.status), line);
            }
            Variable::IntegrationStatusDotted => {
                let status =
                    |report: &IntegrationReport| report.function_status.unwrap_or(report.status);
                push_status(record.integration.map_or(0, status), line);
            }
            Variable::IntegrationError | Variable::IntegrationErrorMessage => {
                let error = record.integration.and_then(|report| report.error.as_deref());
                text(error.unwrap_or_default(), line);
            }
            Variable::IntegrationRequestId | Variable::AwsEndpointRequestId => {
                let id = record.integration.and_then(|report| report.request_id.as_deref());
                text(id.unwrap_or_default(), line);
            }
            Variable::IntegrationTransferMode => match record.integration {
                None => {}
                Some(report) if report.is_streamed => text("STREAMED", line),
                Some(_) => text("BUFFERED", line),
            },
            Variable::IntegrationTimeToAllHeaders => {
                let streamed = record.integration.filter(|report| report.is_streamed);
                if let Some(report) = streamed {
                    push_number(report.latency_ms, line);
                }
            }
            Variable::BasePathMatched => text(record.base_path_matched, line),
            Variable::RoutingRuleIdMatched => text(record.routing_rule_matched, line),
            Variable::IntegrationLatency | Variable::IntegrationLatencyDotted => {
                if let Some(integration) = record.integration {
                    push_number(integration.latency_ms, line);
                }
            }
            Variable::ErrorMessage => {
                text(record.refusal.map_or("", |refusal| &refusal.message), line);
            }
            // A JSON string with its quotes, whatever the line is made of.
            Variable::ErrorMessageString => {
                match record.refusal.map(|refusal| refusal.message.as_bytes()) {
                    None => {}
                    // AWS has no message for some types, and says so.
                    Some([]) => line.extend_from_slice(b"null"),
                    Some(message) => {
                        line.push(b'"');
                        Escaping::Json.push(message, line);
                        line.push(b'"');
                    }
                }
            }
            Variable::ErrorResponseType => {
                text(record.refusal.map_or("", |refusal| &refusal.response_type), line);
            }
            Variable::ErrorValidation => {
                let error = record.refusal.and_then(|refusal| refusal.validation_error.as_deref());
                text(error.unwrap_or_default(), line);
            }
        }
    }
}

/// No status is no value: the integration did not answer.
fn push_status(status: u16, line: &mut Vec<u8>) {
    if status > 0 {
        push_number(u64::from(status), line);
    }
}
