//! `[region.store]`: where the region keeps what its control plane is told, and what seals it.

use std::path::{Path, PathBuf};

use crate::model::document::{At, Section};
use crate::node::config::StoreConfig;
use crate::store::control::{DatabaseConfig, KeySource, PostgresUrl};
use crate::topology::units;

/// A program and what it is told; more is a mistake.
const COMMAND_WORDS_MAX: usize = 64;

/// What was read, before the node's data folder is known, from which all paths count.
#[derive(Default)]
pub(super) struct Store {
    database: Option<DatabaseConfig>,
    key: Option<KeySource>,
}

pub(super) fn read(at: Option<At<'_>>) -> Store {
    let Some(at) = at else { return Store::default() };
    let section = Section::new(at);
    let password_at = section.take("password_file");
    let password_file = password_at.as_ref().and_then(|at| units::path(at, Path::new("")));
    let database = section.take("url").and_then(|at| database(&at, password_file));
    if let Some(at) = password_at
        && !matches!(database, Some(DatabaseConfig::Postgres { .. }))
    {
        at.problem("only a `postgres://` database has a password", None);
    }
    let file = section.take("key_file").and_then(|at| units::path(&at, Path::new("")));
    let command_at = section.take("key_command");
    if let Some(at) = &command_at
        && file.is_some()
    {
        at.problem("the key comes from `key_file` already", Some("leave one out".to_owned()));
    }
    let key = command_at.and_then(|at| command(&at)).or_else(|| file.map(KeySource::File));
    section.finish();
    Store { database, key }
}

impl Store {
    pub(super) fn in_folder(self, data: &Path) -> StoreConfig {
        let default = StoreConfig::in_folder(data);
        let database = match self.database {
            None => default.database,
            Some(DatabaseConfig::Sqlite { path }) => {
                DatabaseConfig::Sqlite { path: data.join(path) }
            }
            Some(DatabaseConfig::Postgres { url, password_file }) => DatabaseConfig::Postgres {
                url,
                password_file: password_file.map(|path| data.join(path)),
            },
        };
        let key = match self.key {
            None => default.key,
            Some(KeySource::File(path)) => KeySource::File(data.join(path)),
            Some(command) => command,
        };
        StoreConfig { database, key }
    }
}

fn database(at: &At<'_>, password_file: Option<PathBuf>) -> Option<DatabaseConfig> {
    const FORMS: &str = "\"sqlite:FILE\" or \"postgres://USER@HOST/DATABASE\"";
    let text = at.text()?;
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(['\0', '?']) || path == ":memory:" {
            at.problem("this is no file to keep anything in", Some(FORMS.to_owned()));
            return None;
        }
        return Some(DatabaseConfig::Sqlite { path: path.into() });
    }
    let Some(url) = PostgresUrl::new(text) else {
        // The text may hold a password.
        at.problem("this is no database", Some(FORMS.to_owned()));
        return None;
    };
    Some(DatabaseConfig::Postgres { url, password_file })
}

fn command(at: &At<'_>) -> Option<KeySource> {
    let words: Vec<String> = at.texts().into_iter().map(str::to_owned).collect();
    let is_good = (1..=COMMAND_WORDS_MAX).contains(&words.len())
        && words.first().is_some_and(|program| !program.is_empty())
        && words.iter().all(|word| !word.contains('\0'));
    if !is_good {
        let hint = "a list of a program and its arguments, such as [\"kms\", \"decrypt\"]";
        at.problem("no command", Some(hint.to_owned()));
        return None;
    }
    Some(KeySource::Command(words))
}
