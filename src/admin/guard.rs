//! Who may come in to the admin listener? The rules of [`super::http`], each by itself.
//!
//! RFC 9110 section 7.2 (`Host`), RFC 6454 section 7 (`Origin`).

use std::net::{IpAddr, Ipv6Addr};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use http::{Request, StatusCode};

use crate::admin::answer::Refusal;
use crate::admin::http::PurgeRequest;
use crate::model::quotas;

/// Longest path pattern of a purge: the longest request target AWS takes.
const PATTERN_BYTES_MAX: usize = quotas::URI_BYTES_MAX_REGIONAL;
/// Longest API id; AWS's have ten characters.
const API_ID_BYTES_MAX: usize = 64;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    pub(super) ip: IpAddr,
    pub(super) may_change: bool,
}

/// RFC 9110 section 7.2: exactly one `Host`. A name we do not know may be a web page's own,
/// pointed at us by its DNS.
pub(super) fn check_host(names: &[String], headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let known = host_name(host).is_some_and(|name| {
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || names.iter().any(|own| own.eq_ignore_ascii_case(name))
    });
    if known {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::MISDIRECTED_REQUEST,
        "the Host header names neither an address, nor localhost, nor a name of this node",
        "use the listener's IP address, or add the name to the topology file",
    ))
}

/// Whether a request claims to be signed, in its head or in its address.
pub(super) fn is_signed<B>(request: &Request<B>) -> bool {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let query = request.uri().query().unwrap_or_default();
    header.is_some_and(|value| value.starts_with(b"AWS4-"))
        || query.split('&').any(|piece| piece.starts_with("X-Amz-Signature="))
}

/// RFC 6454 section 7: whoever sends an `Origin` is a web page.
pub(super) fn check_origin(headers: &HeaderMap, hint: &'static str) -> Result<(), Refusal> {
    if headers.contains_key(ORIGIN) {
        let message = "requests from web pages are refused";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message, hint));
    }
    Ok(())
}

/// Whether this request may change anything at all.
pub(super) fn check_change(headers: &HeaderMap, visitor: Visitor) -> Result<(), Refusal> {
    let hint = "send the request from the command line: `tidegate purge --api ID --stage NAME`";
    check_origin(headers, hint)?;
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON",
            "add the header `Content-Type: application/json`",
        ));
    }
    if !visitor.may_change {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "changes from another machine need a client certificate",
            "run the command on the node itself, or present a node certificate of the cluster",
        ));
    }
    Ok(())
}

pub(super) fn check_purge(request: &PurgeRequest) -> Result<(), Refusal> {
    let is_name = |text: &str, length_max: usize| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_$".contains(&byte);
        !text.is_empty() && text.len() <= length_max && text.bytes().all(allowed)
    };
    let invalid = |message: &str, hint: &'static str| {
        Err(Refusal::new(StatusCode::BAD_REQUEST, message.to_owned(), hint))
    };
    if !is_name(request.api.as_str(), API_ID_BYTES_MAX) {
        return invalid("`api` is not an API's id", "`tidegate status` lists the ids");
    }
    if !is_name(request.stage.as_str(), quotas::STAGE_NAME_MAX) {
        return invalid("`stage` is not a stage's name", "`tidegate status` lists the stages");
    }
    let pattern_is_wrong = |path: &String| {
        !path.starts_with('/')
            || path.len() > PATTERN_BYTES_MAX
            || path.chars().any(char::is_control)
    };
    if request.path.as_ref().is_some_and(pattern_is_wrong) {
        return invalid(
            "`path` must begin with `/` and be a plain pattern",
            "an example is `/pets/*`; leave it out for the whole stage",
        );
    }
    Ok(())
}

/// The host of `host[:port]`, brackets of an IPv6 address removed; `None` where it is neither.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<Ipv6Addr>().ok()?;
            (name, port.strip_prefix(':').or_else(|| port.is_empty().then_some("0"))?)
        }
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    port.parse::<u16>().ok().map(|_| name)
}
