//! `inhibit`: runs a program while a lock makes sign-outs wait, and `inhibitors`: who holds one.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::table::Align;
use crate::text;

/// What a shell adds to the number of a signal that ended a program.
const SIGNAL_BASE: i32 = 128;

/// Options of `inhibit`.
#[derive(Debug, Args)]
pub struct Inhibit {
    /// How it works
    #[arg(long, default_value = "block")]
    mode: Mode,
    /// Who asks to wait; the name of the program by default
    #[arg(long, value_name = "WHO")]
    who: Option<String>,
    /// Why
    #[arg(long, value_name = "WHY", default_value = "it is at work")]
    why: String,
    /// The program to run meanwhile, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a lock works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// A sign-out that has begun waits, up to a bound
    Delay,
    /// No sign-out begins, and one that has not removed anything yet waits
    Block,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Block => "block",
        }
    }
}

/// Runs a program while holding a lock, and ends as it ends.
///
/// # Errors
/// When there is no lock to be had, or the program cannot be started.
pub async fn run(context: &Context<'_>, args: Inhibit) -> Result<ExitCode> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("Say which program to run."));
    };
    let who = args
        .who
        .unwrap_or_else(|| program.to_string_lossy().into_owned());
    let mode = args.mode.name();
    let manager = &context.daemon.manager;
    let lock = manager.inhibit("sign-out", &who, &args.why, mode);
    let lock = context.terminal.patient(async { Ok(lock.await?) }).await?;
    let shown = text::path(program.as_encoded_bytes());
    // The lock is not inherited: what the program leaves running does not hold it. Ctrl-C is the
    // program's own affair, and this one stays until it has ended.
    let mut child = Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|e| Failure::new(Exit::Failed, format!("{shown} cannot be started: {e}.")))?;
    let status = child
        .wait()
        .await
        .map_err(|e| Failure::new(Exit::Failed, format!("{shown} is lost: {e}.")))?;
    drop(lock);
    let code = match status.code() {
        Some(code) => code,
        None => SIGNAL_BASE + status.signal().unwrap_or_default(),
    };
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Lists the locks that are held.
///
/// # Errors
/// Whatever the daemon answers.
pub async fn list(context: &Context<'_>) -> Result<Value> {
    let held = context.daemon.manager.list_inhibitors().await?;
    let terminal = context.terminal;
    if held.is_empty() {
        terminal.line("No app asks to wait with signing out.");
    } else {
        let head = ["Who", "Mode", "Process", "Why"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(held.iter().map(|lock| {
            vec![
                text::path(lock.who.as_bytes()),
                text::path(lock.mode.as_bytes()),
                lock.pid.to_string(),
                text::path(lock.why.as_bytes()),
            ]
        }));
        let columns = [Align::Left, Align::Left, Align::Right, Align::Left];
        terminal.table(&columns, &rows);
    }
    let shown = held.iter().map(|lock| {
        json!({
            "what": lock.what,
            "who": lock.who,
            "why": lock.why,
            "mode": lock.mode,
            "pid": lock.pid,
        })
    });
    Ok(json!({ "inhibitors": shown.collect::<Vec<_>>() }))
}
