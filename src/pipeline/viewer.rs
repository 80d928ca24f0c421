//! What does an edge tell of its viewer? Headers that backends, templates and functions see besides
//! the client's own.
//!
//! They are put in once, where a call comes out of the tunnel, so that all who look at the call's
//! headers see the same. What a client says under these names is dropped, since only the edge knows.
//! Countries and networks are not told: nobody here looks them up.
//!
//! AWS: Amazon CloudFront Developer Guide, "Add CloudFront request headers"; recorded, rest-data-plane
//! 12.6.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http::header::{USER_AGENT, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use uuid::Uuid;

use crate::call::Spelling;

const OF_CLOUDFRONT: &str = "cloudfront-";
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("cloudfront-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-cf-id");
const DEVICES: [(Device, HeaderName); 4] = [
    (Device::Desktop, HeaderName::from_static("cloudfront-is-desktop-viewer")),
    (Device::Mobile, HeaderName::from_static("cloudfront-is-mobile-viewer")),
    (Device::SmartTv, HeaderName::from_static("cloudfront-is-smarttv-viewer")),
    (Device::Tablet, HeaderName::from_static("cloudfront-is-tablet-viewer")),
];

/// How AWS's edges write these names. It stands behind the client's own spellings, since the last
/// one counts.
const SPELLED: &[u8] = b"CloudFront-Forwarded-Proto\nCloudFront-Is-Desktop-Viewer\n\
    CloudFront-Is-Mobile-Viewer\nCloudFront-Is-SmartTV-Viewer\nCloudFront-Is-Tablet-Viewer\nVia\n\
    X-Amz-Cf-Id";

/// Puts in what the edge of this name tells. `proto` is `https` or `http`.
pub(super) fn tell(head: &mut Parts, edge: &str, proto: &'static str, id: &Uuid) {
    let headers = &mut head.headers;
    let of_client = |name: &&HeaderName| name.as_str().starts_with(OF_CLOUDFRONT);
    let forged: Vec<HeaderName> = headers.keys().filter(of_client).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    headers.reserve(DEVICES.len() + 3);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    let device = Device::of(headers);
    for (own, name) in DEVICES {
        let is = if own == device { "true" } else { "false" };
        headers.insert(name, HeaderValue::from_static(is));
    }
    let version = match head.version {
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    };
    let mut via = Vec::new();
    for earlier in headers.get_all(VIA) {
        via.extend_from_slice(earlier.as_bytes());
        via.extend_from_slice(b", ");
    }
    via.extend_from_slice(format!("{version} {edge}.tidegate (Tidegate)").as_bytes());
    // A name of a node is letters, digits and hyphens, so both are values of headers.
    if let Ok(via) = HeaderValue::from_bytes(&via) {
        headers.insert(VIA, via);
    }
    if let Ok(id) = HeaderValue::from_str(&URL_SAFE.encode(id.as_bytes())) {
        headers.insert(REQUEST_ID, id);
    }
    let clients = head.extensions.remove::<Spelling>().unwrap_or_default();
    let all = [clients.as_bytes(), SPELLED].join(&b'\n');
    head.extensions.insert(Spelling::new(Bytes::from(all)));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Desktop,
    Mobile,
    SmartTv,
    Tablet,
}

impl Device {
    /// A guess, as CloudFront's is one.
    fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let agent = agent.unwrap_or_default();
        let has = |words: &[&str]| words.iter().any(|word| agent.contains(word));
        if has(&["SmartTV", "SMART-TV", "AppleTV", "HbbTV", "GoogleTV"]) {
            Device::SmartTv
        } else if has(&["iPad", "Tablet"]) {
            Device::Tablet
        } else if has(&["Mobi", "iPhone", "iPod"]) {
            Device::Mobile
        } else {
            Device::Desktop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(agent: &'static str, version: Version) -> Parts {
        let mut request = http::Request::new(());
        *request.version_mut() = version;
        let sent = [("user-agent", agent), ("via", "1.0 a"), ("cloudfront-viewer-country", "XX")];
        for (name, value) in sent {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let (mut head, ()) = request.into_parts();
        head.extensions.insert(Spelling::new(Bytes::from_static(b"via\nUSER-Agent")));
        tell(&mut head, "fra1", "https", &Uuid::nil());
        head
    }

    /// rest-data-plane 12.6.
    #[test]
    fn an_edge_tells_of_its_viewer_and_believes_no_client() {
        for (agent, device) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Mobile/15E148",
                "cloudfront-is-mobile-viewer",
            ),
            ("Mozilla/5.0 (iPad; CPU OS 17_0)", "cloudfront-is-tablet-viewer"),
            ("Mozilla/5.0 (SMART-TV; Linux)", "cloudfront-is-smarttv-viewer"),
            ("curl/8", "cloudfront-is-desktop-viewer"),
        ] {
            let headers = told(agent, Version::HTTP_11).headers;
            for (_, name) in DEVICES {
                let is = if name == device { "true" } else { "false" };
                assert_eq!(headers[&name], is, "{agent}: {name}");
            }
            assert_eq!(headers["cloudfront-forwarded-proto"], "https");
            assert_eq!(headers.get("cloudfront-viewer-country"), None);
            assert_eq!(headers["x-amz-cf-id"].len(), 24);
        }
        for (version, via) in [
            (Version::HTTP_11, "1.0 a, 1.1 fra1.tidegate (Tidegate)"),
            (Version::HTTP_2, "1.0 a, 2.0 fra1.tidegate (Tidegate)"),
            (Version::HTTP_3, "1.0 a, 3.0 fra1.tidegate (Tidegate)"),
        ] {
            assert_eq!(told("curl/8", version).headers[VIA], via);
        }
        let head = told("curl/8", Version::HTTP_11);
        let spelling = head.extensions.get::<Spelling>().unwrap();
        let spelled = |name: HeaderName| spelling.of(&name).map(ToOwned::to_owned);
        assert_eq!(spelled(VIA).as_deref(), Some("Via"));
        assert_eq!(spelled(USER_AGENT).as_deref(), Some("USER-Agent"));
        for name in head.headers.keys().filter(|name| **name != USER_AGENT) {
            assert!(spelled(name.clone()).is_some_and(|own| own != name.as_str()), "{name}");
        }
    }
}
