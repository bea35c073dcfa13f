//! What broker and worker say on standard error. Never a secret, never a file's content.
//!
//! A line is an entry of the journal. What is told has names, texts and errors in it that others
//! made up, so no value of it may end the line, or move a terminal's cursor.

use std::fmt::{self, Debug, Write};
use std::io::IsTerminal;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
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
        .fmt_fields(fields())
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

/// The message and the fields of an event, each free of control characters.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(tell).delimited(" ")
}

fn tell(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(OneLine(writer), "{value:?}")
}

/// Passes text on with its control characters escaped.
struct OneLine<'a, W>(&'a mut W);

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            let plain = part.trim_end_matches(char::is_control);
            self.0.write_str(plain)?;
            write!(self.0, "{}", part[plain.len()..].escape_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_that_is_told_is_more_than_one_line() {
        let told = Told::default();
        let writer = told.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(fields())
            .with_ansi(false)
            .with_target(false)
            .without_time();
        let registry = tracing_subscriber::registry().with(lines);
        let bad = "a\n<3>forged\r\u{1b}[2J\u{9b}";
        tracing::subscriber::with_default(registry, || {
            tracing::info!(error = %bad, text = bad, raw = ?Some(bad), "said: {bad}");
        });
        let told = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
        let escaped = r"a\n<3>forged\r\u{1b}[2J\u{9b}";
        assert_eq!(
            told,
            format!(
                " INFO said: {escaped} error={escaped} text=\"{escaped}\" raw=Some(\"{escaped}\")\n"
            )
        );
    }
}
