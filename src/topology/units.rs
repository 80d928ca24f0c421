//! Values as people write them in a topology: sizes, times, addresses, names.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::document::{At, Value};

/// Most characters of a name or a free text.
const TEXT_MAX: usize = 256;

/// An integer of bytes, or text such as `"64MiB"`; both bounds are included.
pub(super) fn bytes(at: &At<'_>, least: u64, most: u64) -> Option<u64> {
    let size = match &at.node.value {
        Value::Integer(count) => u64::try_from(*count).ok(),
        Value::Text(text) => scaled(
            text,
            &[
                ("B", 1),
                ("kB", 1_000),
                ("KB", 1_000),
                ("MB", 1_000_000),
                ("GB", 1_000_000_000),
                ("TB", 1_000_000_000_000),
                ("KiB", 1 << 10),
                ("MiB", 1 << 20),
                ("GiB", 1 << 30),
                ("TiB", 1 << 40),
            ],
        ),
        _ => None,
    };
    match size {
        Some(size) if (least..=most).contains(&size) => Some(size),
        Some(size) => {
            at.problem(format!("{size} bytes are not between {least} and {most}"), None);
            None
        }
        None => {
            at.problem("no size", Some("a number of bytes, or such as \"64MiB\"".to_owned()));
            None
        }
    }
}

/// An integer of seconds, or text such as `"500ms"`; both bounds are included.
pub(super) fn duration(at: &At<'_>, least: Duration, most: Duration) -> Option<Duration> {
    let millis = match &at.node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().and_then(|s| s.checked_mul(1_000)),
        Value::Text(text) => scaled(
            text,
            &[("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000)],
        ),
        _ => None,
    };
    match millis.map(Duration::from_millis) {
        Some(time) if (least..=most).contains(&time) => Some(time),
        Some(time) => {
            at.problem(format!("{time:?} is not between {least:?} and {most:?}"), None);
            None
        }
        None => {
            at.problem("no time", Some("a number of seconds, or such as \"500ms\"".to_owned()));
            None
        }
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `IP:port` to listen on.
pub(super) fn listen(at: &At<'_>) -> Option<SocketAddr> {
    let text = at.text()?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Some(address),
        _ => {
            at.problem(
                format!("`{text}` is no address to listen on"),
                Some("IP and port, such as \"127.0.0.1:8443\" or \"[::]:443\"".to_owned()),
            );
            None
        }
    }
}

pub(super) fn ip(at: &At<'_>) -> Option<IpAddr> {
    let text = at.text()?;
    match text.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() => Some(ip),
        _ => {
            at.problem(
                format!("`{text}` is no IP address others could reach"),
                Some("such as \"203.0.113.7\"".to_owned()),
            );
            None
        }
    }
}

/// `host:port` to dial; the host may be a name.
pub(super) fn dial(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let good = text.parse::<SocketAddr>().is_ok_and(|a| a.port() != 0 && !a.ip().is_unspecified())
        || text.rsplit_once(':').is_some_and(|(host, port)| {
            is_host_name(host) && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
    if !good {
        at.problem(
            format!("`{text}` is no address to dial"),
            Some("host and port, such as \"region.example.com:4701\"".to_owned()),
        );
        return None;
    }
    Some(text.to_owned())
}

/// A name that is safe in a certificate, a file name and a label.
pub(super) fn name(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let good = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if !good {
        at.problem(
            format!("`{text}` is no name"),
            Some("1 to 63 letters, digits and `-`, which stands inside only".to_owned()),
        );
        return None;
    }
    Some(text.to_owned())
}

/// Text for people: short and without control characters.
pub(super) fn words(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    if text.chars().count() > TEXT_MAX || text.chars().any(char::is_control) {
        at.problem(format!("text of at most {TEXT_MAX} plain characters, please"), None);
        return None;
    }
    Some(text.to_owned())
}

/// A host name in lower case; with `*` as its first label where `wild` says so.
pub(super) fn host(at: &At<'_>) -> Option<String> {
    let text = at.text()?.to_ascii_lowercase();
    if !is_host_name(&text) {
        at.problem(format!("`{text}` is no host name"), None);
        return None;
    }
    Some(text)
}

/// A host name whose first label may be `*`.
pub(super) fn certificate_name(at: &At<'_>) -> Option<String> {
    let text = at.text()?.to_ascii_lowercase();
    if !is_host_name(text.strip_prefix("*.").unwrap_or(&text)) {
        at.problem(
            format!("`{text}` is no host name"),
            Some("such as \"api.example.com\" or \"*.example.com\"".to_owned()),
        );
        return None;
    }
    Some(text)
}

/// RFC 1123 section 2.1.
pub(super) fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// A path, from the topology file's folder if it is relative.
pub(super) fn path(at: &At<'_>, folder: &Path) -> Option<PathBuf> {
    let text = at.text()?;
    if text.is_empty() || text.contains('\0') {
        at.problem("no path", None);
        return None;
    }
    Some(folder.join(text))
}
