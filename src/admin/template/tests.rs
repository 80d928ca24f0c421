//! Templates read, answered, expanded, and applied to a control plane in memory.

mod apply;
mod functions;
mod sam;

use std::path::Path;

use serde_json::Value as Json;

use super::document::{Expanded, Settings, Site, read};
use crate::model::problem::Problems;

fn site() -> Site {
    Site {
        partition: "aws".to_owned(),
        aws_region: "eu-central-1".to_owned(),
        account_id: "123456789012".to_owned(),
        url_suffix: "amazonaws.com".to_owned(),
    }
}

fn settings() -> Settings {
    Settings { stack: "shop".to_owned(), ..Settings::default() }
}

fn expand(text: &str) -> Result<Expanded, Problems> {
    read("t.yaml", Path::new("."), text.as_bytes())?.expand(&settings(), &site())
}

#[track_caller]
fn expanded(text: &str) -> Expanded {
    expand(text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(text: &str) -> String {
    expand(text).expect_err("it is refused").to_string()
}

/// A property of a resource.
#[track_caller]
fn property(expanded: &Expanded, id: &str, name: &str) -> Json {
    let resource = expanded.resources.get(id).unwrap_or_else(|| panic!("no {id}"));
    resource.properties.get(name).cloned().unwrap_or(Json::Null)
}
