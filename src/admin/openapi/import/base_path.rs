//! What stands before every path of a document: `basePath` of Swagger 2.0, the servers of OpenAPI 3.
//!
//! AWS: API Gateway Developer Guide, "Set the OpenAPI basePath property".

use crate::admin::openapi::import::{BasePath, Dialect, Reader};
use crate::model::document::At;

impl<'a> Reader<'a> {
    /// What stands before every path, without a slash at its end: empty, or `/a/b`.
    pub(super) fn base_path(&self) -> String {
        let whole = match (self.options.base_path, self.dialect) {
            (BasePath::Ignore, _) => return String::new(),
            (_, Dialect::Swagger2) => self
                .root
                .get("basePath")
                .and_then(|at| at.text())
                .map(|text| self.own(text))
                .unwrap_or_default(),
            _ => self.servers_path().unwrap_or_default(),
        };
        let whole = whole.trim_matches('/');
        let kept = match self.options.base_path {
            BasePath::Split => whole.split_once('/').map(|(_, rest)| rest).unwrap_or_default(),
            _ => whole,
        };
        if kept.is_empty() { String::new() } else { format!("/{kept}") }
    }

    /// The first `basePath` variable of a server, or the first path in a server's address.
    fn servers_path(&self) -> Option<String> {
        let servers = self.root.get("servers")?.items();
        let variable = |server: &At<'a>, name: &str| {
            let default = server.get("variables")?.get(name)?.get("default")?;
            default.text().map(|text| self.own(text))
        };
        if let Some(path) = servers.iter().find_map(|server| variable(server, "basePath")) {
            return Some(path);
        }
        servers.iter().find_map(|server| {
            let url = server.get("url").and_then(|at| at.text())?;
            let after = url.split_once("://").map_or(url, |(_, rest)| rest);
            let path = if url.starts_with('/') { url } else { after.split_once('/')?.1 };
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let parts = path.split('/').map(|part| {
                let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
                name.and_then(|name| variable(server, name)).unwrap_or_else(|| self.own(part))
            });
            let path = parts.collect::<Vec<_>>().join("/");
            (!path.trim_matches('/').is_empty()).then_some(path)
        })
    }
}
