//! What broker and worker say on standard error. Never a secret, never a file's content.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

/// The variable that says what is told.
const VARIABLE: &str = "MOORING_LOG";

/// Starts logging, filtered by `$MOORING_LOG`: a level (`debug`), levels of modules
/// (`warn,mooringd::jobs=trace`), or `off`; `info` where it is not set. The journal stamps lines
/// itself.
pub fn start() {
    let wanted = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let (filter, bad) = match wanted.as_deref().map(str::parse::<Targets>) {
        None => (Targets::new().with_default(LevelFilter::INFO), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(e)) => (Targets::new().with_default(LevelFilter::INFO), Some(e)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing::subscriber::set_global_default(registry.with(lines.without_time()))
    } else {
        tracing::subscriber::set_global_default(registry.with(lines))
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    if let Some(e) = bad {
        tracing::warn!(
            "{VARIABLE} cannot be read ({e}): levels are off, error, warn, info, debug and trace; info is taken"
        );
    }
}
