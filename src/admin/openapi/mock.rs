//! The one mapping template we can read without a template engine: a MOCK's constant status.
//!
//! AWS reads the result of the template leniently, so `{"statusCode": 200}`, `{statusCode: 200}`,
//! single quotes and a trailing comma are all the same. Anything that computes is refused.
//!
//! AWS: API Gateway Developer Guide, "Mock integrations for REST APIs".

/// The status a constant template names; `None` when the text is anything else.
pub(super) fn constant_status(template: &str) -> Option<u16> {
    if template.contains(['$', '#']) {
        return None;
    }
    let strict: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(template).ok();
    let status = match strict {
        Some(object) => u16::try_from(object.get("statusCode")?.as_u64()?).ok()?,
        None => lenient_status(template)?,
    };
    (100..=599).contains(&status).then_some(status)
}

fn lenient_status(template: &str) -> Option<u16> {
    let inner = template.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
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
