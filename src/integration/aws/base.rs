//! Where a service lives: its address, and how its requests name it.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::integration::endpoint::Endpoint;
use crate::net::client::Target;

/// The address of a service, as `http://host:port/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) target: Target,
    /// Before every path; empty, or begins with a slash and does not end with one.
    pub(crate) prefix: String,
}

impl Base {
    /// # Errors
    /// What is wrong with the address.
    pub(crate) fn parse(url: &str) -> Result<Self, Arc<str>> {
        let endpoint = Endpoint::compile(url, &IndexMap::new(), false)?;
        let mut prefix = String::new();
        endpoint.fill(&[], &mut prefix)?;
        if prefix.contains('?') {
            return Err(Arc::from(format!("{url}: a service's address has no query")));
        }
        let target = endpoint.target(&[])?.into_owned();
        Ok(Self { target, prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// `host:port`, without the port where it is the scheme's own.
    pub(crate) fn authority(&self) -> String {
        self.target.authority()
    }

    /// Whether a name can be put before the host's.
    pub(crate) fn takes_subdomain(&self) -> bool {
        let host = &*self.target.host;
        host.parse::<std::net::IpAddr>().is_err()
    }
}
