//! Which status does the constant request template of a MOCK name?
//!
//! AWS reads the result of the template leniently: `{"statusCode": 200}`, `{statusCode: 200}`,
//! single quotes and trailing commas are all the same (recorded). Of texts that are no object, or
//! whose status is no integer, it makes a 500 when the call comes; what else it takes is not known,
//! so that such texts are left to a reader that knows.
//!
//! AWS: API Gateway Developer Guide, "Mock integrations for REST APIs".

use super::templates::is_constant;

/// What a template says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Status(u16),
    /// Surely no status: each call is answered by 500.
    Nothing,
    /// Empty, computed, or beyond what we read.
    Unknown,
}

/// The status that `template` names.
pub fn named_status(template: &str) -> Named {
    let text = template.trim();
    if text.is_empty() || !is_constant(text) {
        return Named::Unknown;
    }
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return Named::Nothing;
    };
    let strict: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(text).ok();
    let status = match strict {
        Some(object) => match object.get("statusCode").map(serde_json::Value::as_i64) {
            None | Some(None) => return Named::Nothing,
            Some(Some(status)) => u16::try_from(status).ok(),
        },
        None => lenient(inner),
    };
    let status = status.filter(|status| (100..=599).contains(status));
    status.map_or(Named::Unknown, Named::Status)
}

fn lenient(inner: &str) -> Option<u16> {
    let inner = inner.trim_end_matches(|c: char| c == ',' || c.is_whitespace());
    let (key, value) = inner.split_once(':')?;
    let key = key.trim();
    let bare = ['"', '\'']
        .iter()
        .find_map(|quote| key.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(key);
    let value = value.trim();
    (bare == "statusCode" && value.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| value.parse().ok())?
}
