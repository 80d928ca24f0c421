//! An API's resource policy as it comes in, and as AWS gives it back.
//!
//! It is kept compact, with `execute-api:/…` written out as the whole ARN. In answers its quotes
//! are escaped once more than JSON needs: Terraform's provider undoes just that.
//!
//! AWS: API Gateway Developer Guide, "Controlling access to a REST API with API Gateway resource
//! policies".

use serde_json::Value;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::Site;
use crate::model::quotas;
use crate::store::control::Body;

/// The policy to keep for an API.
pub(crate) fn read(sent: &str, site: &Site, api: &str) -> Result<String, ApiError> {
    let invalid = || {
        ApiError::bad_request(
            "Invalid policy document. Please check the policy syntax and ensure that Principals \
             are valid.",
        )
    };
    if sent.len() > quotas::RESOURCE_POLICY_BYTES_MAX {
        return Err(ApiError::bad_request(format!(
            "Resource policy size exceeds {} characters",
            quotas::RESOURCE_POLICY_BYTES_MAX
        )));
    }
    let mut policy: Value = serde_json::from_str(sent).map_err(|_| invalid())?;
    let statements = match policy.get_mut("Statement") {
        Some(Value::Array(statements)) => statements.as_mut_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_mut(statement),
        _ => return Err(invalid()),
    };
    for statement in statements {
        let statement = statement.as_object_mut().ok_or_else(invalid)?;
        if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
            return Err(invalid());
        }
        for name in ["Resource", "NotResource"] {
            match statement.get_mut(name) {
                Some(Value::Array(arns)) => {
                    arns.iter_mut().for_each(|arn| write_out(arn, site, api));
                }
                Some(arn) => write_out(arn, site, api),
                None => {}
            }
        }
    }
    Ok(policy.to_string())
}

/// Escapes the policy of an API that is to be shown.
pub(crate) fn escape(api: &mut Body) {
    if let Some(Value::String(policy)) = api.get_mut("policy") {
        *policy = policy.replace('\\', "\\\\").replace('"', "\\\"");
    }
}

/// Writes a short resource name out; any other text stays.
pub(crate) fn write_out(arn: &mut Value, site: &Site, api: &str) {
    if let Some(path) = arn.as_str().and_then(|arn| arn.strip_prefix("execute-api:/")) {
        let Site { partition, aws_region, account_id, .. } = site;
        *arn = Value::from(format!(
            "arn:{partition}:execute-api:{aws_region}:{account_id}:{api}/{path}"
        ));
    }
}
