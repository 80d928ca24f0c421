//! Where the control plane is kept, and what seals it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use zeroize::Zeroizing;

/// The store of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub database: DatabaseConfig,
    pub key: KeySource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseConfig {
    /// Created where it is missing.
    Sqlite { path: PathBuf },
    /// The database must exist; its tables are made.
    Postgres {
        url: PostgresUrl,
        /// Takes the place of a password in the URL. Its last newline does not count.
        password_file: Option<PathBuf>,
    },
}

/// A `postgres://` URL that keeps its password to itself when it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Zeroizing<String>);

impl PostgresUrl {
    /// `None` for what is no such URL.
    pub fn new(text: &str) -> Option<Self> {
        let is_ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
        (is_ours && PgConnectOptions::from_str(text).is_ok())
            .then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_str(&self.0)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.options() {
            Ok(options) => out.write_str(&place(&options)),
            Err(_) => out.write_str("postgres://?"),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PostgresUrl({self})")
    }
}

/// The database in words: no password, nothing of the query.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string().replace('/', "%2F"),
        None => options.get_host().to_owned(),
    };
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{host}:{}/{database}", options.get_port())
}

/// Where the 32 bytes come from that seal every body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// 64 hexadecimal digits or base64. Made at the first start.
    File(PathBuf),
    /// A program and its arguments; the key is what it prints, in the same forms.
    Command(Vec<String>),
}

impl fmt::Display for KeySource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => write!(out, "key file {}", path.display()),
            // Arguments may hold what is not for everybody.
            KeySource::Command(words) => {
                write!(out, "key command `{}`", words.first().map_or("", String::as_str))
            }
        }
    }
}
