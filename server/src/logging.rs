//! Structured logs on stderr, for people (`text`) or programs (`json`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Sends the process's events to stderr from here on.
///
/// Called once per process; a second call changes nothing.
pub(crate) fn start(format: LogFormat, level: &LogLevel) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(std::io::stderr);
    let outcome = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Only tests start it twice in one process.
    drop(outcome);
}

/// The level for our own events; the libraries below stay quiet unless they are named.
fn filter(level: &LogLevel) -> EnvFilter {
    let directives = if level.names_targets() {
        level.as_str().to_owned()
    } else {
        format!("{level},openraft=error,h2=warn,hyper=warn,tonic=warn,tower=warn")
    };
    EnvFilter::new(directives)
}
