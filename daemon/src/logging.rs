//! What the broker says on standard error. Never a secret, never a file's content.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging, filtered by `$MOORING_LOG` (default `info`). The journal stamps lines itself.
pub fn start() {
    let filter = EnvFilter::try_from_env("MOORING_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing::subscriber::set_global_default(builder.without_time().finish())
    } else {
        tracing::subscriber::set_global_default(builder.finish())
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
