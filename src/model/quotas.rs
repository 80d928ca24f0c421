//! AWS's limits, one constant each, with the page it comes from. Unless said otherwise the source
//! is API Gateway Developer Guide, "Quotas for configuring and running a REST API".

use std::time::Duration;

/// Payload of a request or of a response, bytes.
pub const BODY_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Names and values of all headers of a request together, bytes (REST, public endpoints).
pub const HEADER_BYTES_MAX: usize = 10_240;
/// Request target, bytes, on edge-optimized and private endpoints.
pub const URI_BYTES_MAX_EDGE: usize = 8_192;
/// Request target, bytes, on regional endpoints.
pub const URI_BYTES_MAX_REGIONAL: usize = 10_240;
/// Idle time after which a connection is closed.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(310);
/// Shortest integration timeout.
pub const INTEGRATION_TIMEOUT_MIN: Duration = Duration::from_millis(50);
/// Default and longest integration timeout; an operator may allow more.
pub const INTEGRATION_TIMEOUT_MAX: Duration = Duration::from_millis(29_000);
/// Lifetime of a cached response when the stage does not say ("Cache settings for REST APIs").
pub const CACHE_TTL_DEFAULT_SECONDS: u32 = 300;
/// Longest lifetime of a cached response ("Cache settings for REST APIs").
pub const CACHE_TTL_MAX_SECONDS: u32 = 3_600;
/// Largest response the stage cache keeps, bytes ("Cache settings for REST APIs").
pub const CACHE_ENTRY_BYTES_MAX: usize = 1_048_576;
/// Size of an API definition handed to an import, bytes.
pub const DEFINITION_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// Resources per API.
pub const RESOURCES_MAX: usize = 300;
/// Stage variables per stage; length of a name; length of a value.
pub const STAGE_VARIABLES_MAX: usize = 100;
pub const STAGE_VARIABLE_NAME_MAX: usize = 64;
pub const STAGE_VARIABLE_VALUE_MAX: usize = 512;
/// Length of a stage's name.
pub const STAGE_NAME_MAX: usize = 128;
/// A method's ARN, bytes; a longer one answers 414.
pub const METHOD_ARN_BYTES_MAX: usize = 1_600;
/// An access log's format string, bytes.
pub const ACCESS_LOG_FORMAT_BYTES_MAX: usize = 3_072;
/// Largest and smallest value of `minimumCompressionSize`, bytes.
pub const MINIMUM_COMPRESSION_SIZE_MAX: u32 = 10_485_760;
/// Length of an API's resource policy.
pub const RESOURCE_POLICY_BYTES_MAX: usize = 8_192;
/// Length of a model's schema (AWS counts all models of an API together).
pub const MODEL_BYTES_MAX: usize = 400 * 1024;
/// Length of a mapping template.
pub const TEMPLATE_BYTES_MAX: usize = 300 * 1024;
/// Longest lifetime of an authorizer's answer, seconds; default when the authorizer does not say
/// (API Gateway API Reference, "CreateAuthorizer").
pub const AUTHORIZER_TTL_MAX_SECONDS: i64 = 3_600;
pub const AUTHORIZER_TTL_DEFAULT_SECONDS: i64 = 300;
/// Integration timeout of an answer that is streamed ("Stream the integration response").
pub const STREAMING_TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a streamed answer may pause on regional and private endpoints, and on edge-optimized
/// ones ("Stream the integration response").
pub const STREAMING_IDLE_REGIONAL: Duration = Duration::from_secs(5 * 60);
pub const STREAMING_IDLE_EDGE: Duration = Duration::from_secs(30);
/// JSON metadata at the beginning of a streamed answer of a Lambda function, bytes (same page).
pub const STREAMING_METADATA_BYTES_MAX: usize = 16 * 1024;
/// Payload of a synchronous invocation and of its answer, bytes (Lambda Developer Guide, "Lambda
/// quotas": 6 MB; the service's error message names this number).
pub const LAMBDA_PAYLOAD_BYTES_MAX: u64 = 6_291_556;
/// Tags per resource; length of a key; length of a value ("Tagging your API Gateway resources").
pub const TAGS_MAX: usize = 50;
pub const TAG_KEY_MAX: usize = 128;
pub const TAG_VALUE_MAX: usize = 256;
/// What one control plane keeps. AWS's defaults are lower (600 APIs; 300 resources, 10 authorizers
/// per API) and raised on request; these only bound the memory of one region.
pub const REST_APIS_KEPT_MAX: usize = 10_000;
pub const RESOURCES_KEPT_MAX: usize = 20_000;
pub const MODELS_KEPT_MAX: usize = 2_000;
pub const AUTHORIZERS_KEPT_MAX: usize = 1_000;
pub const REQUEST_VALIDATORS_KEPT_MAX: usize = 1_000;
