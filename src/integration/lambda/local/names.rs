//! Which function does an integration mean?
//!
//! Lambda API Reference, "Invoke", `FunctionName`: a name, a partial ARN (`123456789012:function:f`)
//! or an ARN, each with `:qualifier` behind it or without. Account and region of an ARN are not
//! compared: a definition written for AWS runs here unchanged.

/// A function's name and the version or alias asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    pub(super) qualifier: Option<&'a str>,
}

/// `None` for text that names no function, such as an ARN of another service.
pub(super) fn parse(text: &str) -> Option<Reference<'_>> {
    let rest = match text.strip_prefix("arn:") {
        Some(arn) => {
            let mut parts = arn.splitn(5, ':');
            let (_partition, service) = (parts.next()?, parts.next()?);
            let (_region, _account) = (parts.next()?, parts.next()?);
            if service != "lambda" {
                return None;
            }
            parts.next()?.strip_prefix("function:")?
        }
        None => match text.split_once(":function:") {
            Some((account, rest)) if is_account(account) => rest,
            Some(_) => return None,
            None => text.strip_prefix("function:").unwrap_or(text),
        },
    };
    let (name, qualifier) = match rest.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (rest, None),
    };
    let is_good = is_name(name) && qualifier.is_none_or(is_qualifier);
    is_good.then_some(Reference { name, qualifier })
}

/// Lambda API Reference, "CreateFunction", `FunctionName`.
pub fn is_name(text: &str) -> bool {
    (1..=super::config::NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Lambda API Reference, "Invoke", `Qualifier`.
pub fn is_qualifier(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$'))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
