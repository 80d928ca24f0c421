//! One answer of AWS STS, `GetCallerIdentity`: Terraform asks it for the account id.
//!
//! AWS: STS API Reference, "GetCallerIdentity"; the query protocol (form in, XML out).

use http::Method;
use http::request::Parts;

use crate::admin::iam::gate::Caller;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::Site;

/// A form is a few dozen bytes.
const FORM_BYTES_MAX: usize = 4 * 1024;

/// Whether a request asks who it is: `Action=GetCallerIdentity`, in the form or in the query.
pub fn is_get_caller_identity(parts: &Parts, body: &[u8]) -> bool {
    if parts.uri.path() != "/" || body.len() > FORM_BYTES_MAX {
        return false;
    }
    let asks = |form: &str| form.split('&').any(|pair| pair == "Action=GetCallerIdentity");
    let form = std::str::from_utf8(body).unwrap_or_default();
    (parts.method == Method::POST && asks(form)) || asks(parts.uri.query().unwrap_or_default())
}

/// `text/xml`.
pub fn get_caller_identity(caller: &Caller, site: &Site, request_id: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <GetCallerIdentityResult>\n    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    \
         <Account>{}</Account>\n  </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n",
        caller.arn, caller.access_key_id, site.account_id
    )
}

/// STS's form of an error.
pub fn refusal(error: &ApiError, request_id: &str) -> String {
    let name = error.kind.name().trim_end_matches("Exception");
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
         <Type>Sender</Type>\n    <Code>{name}</Code>\n    <Message>{}</Message>\n  </Error>\n  \
         <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
        error.message.replace('&', "&amp;").replace('<', "&lt;")
    )
}
