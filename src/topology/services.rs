//! `[lambda]`, `[[service]]`, `[[credentials]]`, `[sts]`: what stands behind AWS integrations, and
//! whose keys sign for it. Secrets stand in files of their own, never here.

use std::path::Path;

use crate::integration::aws::Base;
use crate::model::document::{At, Section};
use crate::node::config::{
    AwsConfig, CredentialsConfig, FunctionEndpoint, KeysConfig, LambdaConfig, ServiceConfig,
    StsConfig,
};
use crate::topology::units;

/// Entries of one list; AWS has about 300 services, and a large API as many functions.
const ENTRIES_MAX: usize = 1_000;
const ADDRESS: &str = "such as \"http://127.0.0.1:9701\"";
const ROLE: &str = "such as \"arn:aws:iam::123456789012:role/orders\", or \"*\" for every role";

pub(super) fn read(root: &Section<'_>, folder: &Path) -> AwsConfig {
    AwsConfig {
        lambda: lambda(root.take("lambda"), folder),
        services: services(root.take("service")),
        credentials: credentials(root.take("credentials"), folder),
        sts: sts(root.take("sts"), folder),
    }
}

fn lambda(at: Option<At<'_>>, folder: &Path) -> LambdaConfig {
    let mut config = LambdaConfig::default();
    let Some(at) = at else { return config };
    let section = Section::new(at);
    config.endpoint = section.take("endpoint").and_then(|at| address(&at));
    config.aws_region = section.take("region").and_then(|at| units::name(&at));
    config.keys = keys(&section, folder);
    for at in entries(section.take("function")) {
        let section = Section::new(at);
        let name = section.require("name").and_then(|at| {
            let name = units::name(&at)?;
            if config.functions.iter().any(|known| known.name == name) {
                at.problem(format!("function `{name}` has an endpoint already"), None);
            }
            Some(name)
        });
        let endpoint = section.require("endpoint").and_then(|at| address(&at));
        section.finish();
        if let (Some(name), Some(endpoint)) = (name, endpoint) {
            config.functions.push(FunctionEndpoint { name, endpoint });
        }
    }
    section.finish();
    config
}

fn services(list: Option<At<'_>>) -> Vec<ServiceConfig> {
    let mut services: Vec<ServiceConfig> = Vec::new();
    for at in entries(list) {
        let section = Section::new(at);
        let name = section.require("name").and_then(|at| {
            let name = at.text()?;
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            if name.is_empty() || !name.bytes().all(fits) {
                let hint = "as in an integration's URI, such as \"dynamodb\" or \"data-ats.iot\"";
                at.problem(format!("`{name}` is no service"), Some(hint.to_owned()));
                return None;
            }
            if services.iter().any(|known| known.name == name) {
                at.problem(format!("service `{name}` has an endpoint already"), None);
            }
            Some(name.to_owned())
        });
        let endpoint = section.require("endpoint").and_then(|at| address(&at));
        let signing_name = section.take("signing_name").and_then(|at| units::name(&at));
        section.finish();
        if let (Some(name), Some(endpoint)) = (name, endpoint) {
            services.push(ServiceConfig { name, endpoint, signing_name });
        }
    }
    services
}

fn credentials(list: Option<At<'_>>, folder: &Path) -> Vec<CredentialsConfig> {
    let mut all: Vec<CredentialsConfig> = Vec::new();
    for at in entries(list) {
        let section = Section::new(at);
        let role = section.require("role").and_then(|at| {
            let role = at.text()?;
            if role != "*" && !(role.starts_with("arn:") && role.contains(":iam::")) {
                at.problem(format!("`{role}` is no role"), Some(ROLE.to_owned()));
                return None;
            }
            if all.iter().any(|known| known.role == role) {
                at.problem(format!("role `{role}` has credentials already"), None);
            }
            Some(role.to_owned())
        });
        let keys = required_keys(&section, folder);
        section.finish();
        if let (Some(role), Some(keys)) = (role, keys) {
            all.push(CredentialsConfig { role, keys });
        }
    }
    all
}

fn sts(at: Option<At<'_>>, folder: &Path) -> Option<StsConfig> {
    let section = Section::new(at?);
    let endpoint = section.take("endpoint").and_then(|at| address(&at));
    let aws_region = section.take("region").and_then(|at| units::name(&at));
    let keys = required_keys(&section, folder);
    section.finish();
    Some(StsConfig { endpoint, aws_region, keys: keys? })
}

/// Keys that must be there.
fn required_keys(section: &Section<'_>, folder: &Path) -> Option<KeysConfig> {
    let id = section.require("access_key_id").and_then(|at| key_id(&at));
    let secret = section.require("secret_key_file").and_then(|at| units::path(&at, folder));
    let token = section.take("session_token_file").and_then(|at| units::path(&at, folder));
    Some(KeysConfig { access_key_id: id?, secret_key_file: secret?, session_token_file: token })
}

/// Keys that are there whole or not at all.
fn keys(section: &Section<'_>, folder: &Path) -> Option<KeysConfig> {
    let id_at = section.take("access_key_id");
    let secret_at = section.take("secret_key_file");
    let token_at = section.take("session_token_file");
    if id_at.is_some() != secret_at.is_some() {
        section.at.problem("`access_key_id` and `secret_key_file` go together", None);
        return None;
    }
    if id_at.is_none()
        && let Some(at) = &token_at
    {
        at.problem("a session token goes with `access_key_id` and `secret_key_file`", None);
    }
    let token = token_at.and_then(|at| units::path(&at, folder));
    let (id, secret) = (key_id(&id_at?), units::path(&secret_at?, folder));
    Some(KeysConfig { access_key_id: id?, secret_key_file: secret?, session_token_file: token })
}

fn key_id(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(fits) {
        at.problem("no access key id", Some("such as \"AKIAIOSFODNN7EXAMPLE\"".to_owned()));
        return None;
    }
    Some(text.to_owned())
}

fn address(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    match Base::parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(why) => {
            at.problem(why.to_string(), Some(ADDRESS.to_owned()));
            None
        }
    }
}

fn entries(list: Option<At<'_>>) -> Vec<At<'_>> {
    let Some(list) = list else { return Vec::new() };
    let mut items = list.items();
    if items.len() > ENTRIES_MAX {
        list.problem(format!("more than {ENTRIES_MAX} entries"), None);
        items.truncate(ENTRIES_MAX);
    }
    items
}
