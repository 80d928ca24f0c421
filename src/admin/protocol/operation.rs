//! An operation as its handler sees it: input, context, outcome.
//!
//! The protocol has read the request by AWS's service model before a handler runs, and writes the
//! outcome by the same model afterwards: members the model does not know are not written. All
//! names are the ones on the wire (`restapi_id` in a URI, `patchOperations` in a body).

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::model::quotas;
use crate::net::clock::Timestamp;
use crate::store::control::{Body, Txn};

/// What a handler does: a plain function over a transaction. It may be run more than once.
pub type Handler = fn(&mut Context<'_>, &Input) -> Result<Outcome, ApiError>;

/// Operations by the name of the service model.
pub type Operations = &'static [(&'static str, Handler)];

/// A request, read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// URI labels by name, decoded.
    pub uri: Map<String, Value>,
    /// Query parameters the model names, by name: text, list of text, integer or boolean.
    pub query: Map<String, Value>,
    /// Free-form query parameters (the model's `parameters` maps).
    pub parameters: IndexMap<String, String>,
    /// The JSON body, unknown members removed. Empty when the payload is no JSON.
    pub body: Body,
    /// The raw payload of operations whose body is a blob.
    pub payload: Bytes,
    /// `Accept`, for exports.
    pub accept: Option<String>,
}

impl Input {
    /// A URI label; the protocol has made sure it is there.
    pub fn label(&self, name: &str) -> &str {
        self.uri.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn query_text(&self, name: &str) -> Option<&str> {
        self.query.get(name).and_then(Value::as_str)
    }

    pub fn query_flag(&self, name: &str) -> bool {
        self.query.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A text member of the body; `None` when absent or null.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.body.get(name).and_then(Value::as_bool)
    }
}

/// Where and for whom a handler works.
#[derive(Debug)]
pub struct Context<'a> {
    pub txn: &'a mut Txn,
    pub site: &'a Site,
    pub now: Timestamp,
    /// What must happen once the changes are committed.
    pub effects: Vec<Effect>,
}

/// The account and region this control plane plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// Such as `eu-central-1`.
    pub aws_region: String,
    /// Twelve digits.
    pub account_id: String,
    /// Public domain: APIs answer at `{api}.execute-api.{aws_region}.{domain}`.
    pub domain: String,
    /// `:8443`, or empty where clients need no port.
    pub port: String,
    pub installation: Installation,
}

/// What AWS's account and region do not say: what this installation allows and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The longest `timeoutInMillis` of an answer that is not streamed.
    pub integration_timeout_max_ms: u64,
    /// ARNs of the load balancers that VPC links can lead to. Where there is none, nothing is said
    /// of any: an installation that serves no VPC links still keeps them.
    pub load_balancers: Vec<String>,
}

impl Default for Installation {
    fn default() -> Self {
        let most = quotas::INTEGRATION_TIMEOUT_MAX.as_millis();
        Self {
            integration_timeout_max_ms: u64::try_from(most).unwrap_or(u64::MAX),
            load_balancers: Vec::new(),
        }
    }
}

/// What a committed change brings about beyond the new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Drop the cached answers of a stage on every node.
    FlushStage { api: String, stage: String },
    /// Drop the cached authorizer results of a stage on every node.
    FlushAuthorizers { api: String, stage: String },
}

/// What a handler answers with.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The output shape, by wire names.
    Body(Body),
    /// A blob: content type, `Content-Disposition`, bytes.
    Payload {
        content_type: String,
        disposition: String,
        bytes: Bytes,
    },
    /// Needs the data plane: the call to make, with the API as it is now.
    TestInvokeMethod(Box<TestInvokeMethod>),
    TestInvokeAuthorizer(Box<TestInvokeAuthorizer>),
}

/// TestInvokeMethod's request, and the definition to run it on.
#[derive(Clone, Debug)]
pub struct TestInvokeMethod {
    /// As [`crate::admin::rest::definition::freeze`] gives it.
    pub definition: Value,
    pub resource_id: String,
    pub http_method: String,
    /// `pathWithQueryString`, `body`, `headers`, `multiValueHeaders`, `stageVariables`, …
    pub request: Body,
}

#[derive(Clone, Debug)]
pub struct TestInvokeAuthorizer {
    pub authorizer: Body,
    pub request: Body,
}

impl Context<'_> {
    /// Seconds since the epoch, as v1 keeps dates.
    pub fn seconds(&self) -> Value {
        Value::from(self.now.as_seconds())
    }

    /// A new id of this length that `taken` does not know.
    pub fn new_id(&self, length: usize, taken: impl Fn(&str) -> bool) -> String {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        loop {
            let id: String = (0..length)
                .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
                .collect();
            if !taken(&id) {
                return id;
            }
        }
    }
}
