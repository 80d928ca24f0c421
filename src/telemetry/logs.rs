//! Where does the program say what it is doing?
//!
//! On standard error, as lines for people or as JSON for machines; what is said is chosen by a
//! filter in the `env-filter` syntax (`info,tidegate::tunnel=debug`). The filter comes from the
//! command line or the topology file, never from the environment: two nodes with the same topology
//! behave the same.
//!
//! Levels: ERROR wakes a person, WARN went on anyway, INFO is what the operator just did, DEBUG is
//! per connection, TRACE per call.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is said when the topology does not say. The disk cache's engine tells of every start and
/// stop at INFO, which is nothing an operator did.
pub const DEFAULT_FILTER: &str = "info,foyer=warn";

/// Longest filter accepted, bytes; ours, to keep a slip of the clipboard out.
const FILTER_BYTES_MAX: usize = 4_096;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error(
        "log filter `{filter}` is not understood: {reason}; an example is `info,tidegate::tunnel=debug`"
    )]
    Filter { filter: String, reason: String },
    #[error("log filter is longer than {FILTER_BYTES_MAX} bytes")]
    FilterTooLong,
    #[error("logging was set up already")]
    Twice,
}

/// How the program's log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    Json,
}

/// Sets up the process's log; once, from `main`.
pub fn init(shape: Shape, filter: &str) -> Result<(), LogsError> {
    let filter = parse(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match shape {
        Shape::Json => builder.json().flatten_event(true).try_init(),
        Shape::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    set.map_err(|_| LogsError::Twice)
}

/// Checks a filter without using it, for the topology's reader.
pub fn check(filter: &str) -> Result<(), LogsError> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, LogsError> {
    if filter.len() > FILTER_BYTES_MAX {
        return Err(LogsError::FilterTooLong);
    }
    EnvFilter::try_new(filter).map_err(|reason| LogsError::Filter {
        filter: filter.to_owned(),
        reason: reason.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine's crates all begin with `foyer`, and a filter's target is a beginning.
    #[test]
    fn the_disk_engine_is_quiet_by_default() {
        use tracing::subscriber::with_default;
        use tracing_subscriber::layer::SubscriberExt;

        let subscriber = tracing_subscriber::registry().with(parse(DEFAULT_FILTER).unwrap());
        with_default(subscriber, || {
            assert!(!tracing::enabled!(target: "foyer_storage::engine", tracing::Level::INFO));
            assert!(!tracing::enabled!(target: "foyer::hybrid::cache", tracing::Level::INFO));
            assert!(tracing::enabled!(target: "foyer_storage::engine", tracing::Level::WARN));
            assert!(tracing::enabled!(target: "tidegate::tunnel", tracing::Level::INFO));
        });
    }

    #[test]
    fn a_filter_is_checked_before_it_is_used() {
        assert!(check("info,tidegate::tunnel=debug").is_ok());
        assert!(check("warn").is_ok());
        let error = check("info,tidegate=loud").unwrap_err();
        assert!(error.to_string().contains("tidegate=loud"), "{error}");
        assert!(matches!(check(&"x".repeat(5_000)), Err(LogsError::FilterTooLong)));
    }
}
