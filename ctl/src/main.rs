//! `mooringctl`, the command line of Mooring: what a person sees of it.
//!
//! It talks to the daemon over the public bus and knows nothing that another client could not
//! know. It promises: names of files cannot drive the terminal, a password is never shown, stored
//! or passed as text, and every end has its exit code.

mod bus;
mod cli;
mod commands;
mod exit;
mod job;
mod json;
mod secret;
mod table;
mod terminal;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

use crate::bus::Daemon;
use crate::cli::{Cli, Command};
use crate::commands::{Context, jobs, overview, policy, receipts, show, sign_in, sign_out, sync};
use crate::exit::{Exit, Failure, Result};
use crate::secret::Password;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything opens a descriptor of its own under that number.
    let number = cli.command.as_ref().and_then(Command::password_fd);
    let password = number.map(secret::from_descriptor).transpose();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: mooringctl cannot start: {e}.");
            return Exit::Failed.into();
        }
    };
    let code = runtime.block_on(run(cli, password));
    // A thread that still waits for a key must not keep the program alive.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli, password: Result<Option<Password>>) -> ExitCode {
    let terminal = match Terminal::new(cli.global.json, cli.global.color) {
        Ok(terminal) => terminal,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            return failure.exit.into();
        }
    };
    let result = match password {
        Ok(password) => command(cli, &terminal, password).await,
        Err(failure) => Err(failure),
    };
    terminal.restore();
    finish(&terminal, result)
}

async fn command(cli: Cli, terminal: &Terminal, password: Option<Password>) -> Result<Value> {
    let daemon = terminal.patient(Daemon::connect()).await?;
    let daemon_wait = Duration::from_secs(cli.global.daemon_wait);
    let context = Context {
        daemon: &daemon,
        terminal,
        daemon_wait,
    };
    match cli.command {
        None => terminal.patient(overview::run(&context)).await,
        Some(Command::SignIn(args)) => sign_in::run(&context, args, password).await,
        Some(Command::Show(args)) => terminal.patient(show::run(&context, args)).await,
        Some(Command::Sync(args)) => sync::run(&context, args).await,
        Some(Command::SignOut(args)) => sign_out::run(&context, args, password).await,
        Some(Command::Policy(args)) => terminal.patient(policy::run(&context, args)).await,
        Some(Command::Receipts(args)) => terminal.patient(receipts::run(&context, args)).await,
        Some(Command::Jobs(args)) => jobs::run(&context, args).await,
    }
}

fn finish(terminal: &Terminal, result: Result<Value>) -> ExitCode {
    let code = match result {
        Ok(document) => {
            if terminal.json() {
                terminal.document(&document);
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if terminal.json() {
                terminal.document(&failure.to_json());
            }
            terminal.failure(&failure);
            failure.exit.into()
        }
    };
    match terminal.write_error() {
        Some(e) => {
            terminal.failure(&Failure::new(
                Exit::Failed,
                format!("The output was lost: {e}."),
            ));
            Exit::Failed.into()
        }
        None => code,
    }
}
