//! `mooringctl`, the command line of Mooring: what a person sees of it.
//!
//! It talks to the daemon over the public bus and knows nothing that another client could not
//! know. It promises: names of files cannot drive the terminal, a password is never shown, stored
//! or passed as text, and every end has its exit code.

mod agent;
mod bus;
mod cli;
mod commands;
mod exit;
mod job;
mod json;
mod reset;
mod secret;
mod table;
mod terminal;
mod text;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

use crate::agent::Agent;
use crate::bus::Daemon;
use crate::bus::find::{self, Choice, Kind};
use crate::cli::{Cli, Command};
use crate::commands::{
    Context, inhibit, jobs, monitor, new_password, overview, pause, policy, receipts, resolve,
    resume, show, sign_in, sign_out, sync, undelete,
};
use crate::commands::{backup, restore, verify, why};
use crate::commands::{pages, reauthenticate};
use crate::exit::{Exit, Failure, Result};
use crate::secret::Password;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    // These need no daemon, and nothing of the person's.
    let written = match &cli.command {
        Some(Command::Completions(args)) => Some(pages::completions(args)),
        Some(Command::Man(args)) => Some(pages::man(args)),
        _ => None,
    };
    if let Some(written) = written {
        return match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("error: {}", failure.message);
                failure.exit.into()
            }
        };
    }
    // Before anything opens a descriptor of its own under that number.
    let number = cli.command.as_ref().and_then(Command::password_fd);
    let password = number.map(secret::from_descriptor).transpose();
    let further = match &cli.command {
        Some(Command::Password(args)) => args.read_further(),
        _ => Ok(new_password::Given::default()),
    };
    let secrets = password.and_then(|password| Ok((password, further?)));
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
    let code = runtime.block_on(run(cli, secrets));
    // A thread that still waits for a key must not keep the program alive.
    runtime.shutdown_background();
    code
}

/// Says what is wrong with the command line, or shows the help that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    // What was given could not be read whole: whether a document is wanted is looked for.
    let json = std::env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    if !(json && error.use_stderr()) {
        error.exit();
    }
    let said = error.render().to_string();
    let failure = Failure::usage(said.trim().trim_start_matches("error: "));
    match writeln!(std::io::stdout(), "{}", json::text(&failure.to_json())) {
        Ok(()) => error.exit(),
        Err(e) => {
            eprintln!("error: The output was lost: {e}.");
            Exit::Failed.into()
        }
    }
}

/// The password that holds, and the secrets of `password`, from descriptors.
type Secrets = (Option<Password>, new_password::Given);

async fn run(cli: Cli, secrets: Result<Secrets>) -> ExitCode {
    let terminal = match Terminal::new(cli.global.json, cli.global.color) {
        Ok(terminal) => terminal,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            return failure.exit.into();
        }
    };
    let result = match secrets {
        Ok(secrets) => command(cli, &terminal, secrets).await,
        Err(failure) => Err(failure),
    };
    terminal.restore();
    match result {
        Ok(Done::As(code)) => code,
        Ok(Done::Told(document)) => finish(&terminal, Ok(document)),
        Err(failure) => finish(&terminal, Err(failure)),
    }
}

/// What a command that did as asked ends with.
enum Done {
    /// The document of `--json`.
    Told(Value),
    /// The exit code of a program that it ran.
    As(ExitCode),
}

async fn command(cli: Cli, terminal: &Terminal, secrets: Secrets) -> Result<Done> {
    let global = &cli.global;
    if let Some(Command::Audit(args)) = &cli.command {
        return commands::audit::run(terminal, global, args).map(Done::Told);
    }
    let variable = std::env::var_os(find::VARIABLE);
    let choice = Choice::of(global.system, global.session, variable.as_deref())?;
    let daemon = terminal.patient(Daemon::connect(choice)).await?;
    let daemon_wait = Duration::from_secs(global.daemon_wait);
    let context = Context {
        daemon: &daemon,
        terminal,
        daemon_wait,
    };
    let agent = agent(&cli, &context).await?;
    let done = dispatch(cli.command, &context, secrets).await;
    if let Some(agent) = agent {
        agent.stop().await;
    }
    done
}

/// Who asks for a password of the device, where polkit may want one: on the system bus, at a
/// terminal, for anybody but root, who may do everything.
async fn agent(cli: &Cli, context: &Context<'_>) -> Result<Option<Agent>> {
    let acts = cli.command.as_ref().is_some_and(Command::acts);
    let wanted = acts
        && !cli.global.no_ask_password
        && context.daemon.bus() == Kind::System
        && context.terminal.interactive()
        && !nix::unistd::geteuid().is_root();
    if !wanted {
        return Ok(None);
    }
    let start = async { Ok(Agent::start().await) };
    match context.terminal.patient(start).await? {
        Ok(agent) => Ok(Some(agent)),
        Err(e) => {
            context.warn(&format!(
                "nobody can be asked for a password of this device: pkttyagent: {e}"
            ));
            Ok(None)
        }
    }
}

async fn dispatch(
    command: Option<Command>,
    context: &Context<'_>,
    (password, further): Secrets,
) -> Result<Done> {
    let terminal = context.terminal;
    let told = match command {
        None => terminal.patient(overview::run(context)).await,
        Some(Command::SignIn(args)) => sign_in::run(context, args, password).await,
        Some(Command::Show(args)) => terminal.patient(show::run(context, args)).await,
        Some(Command::Sync(args)) => sync::run(context, args).await,
        Some(Command::Resolve(args)) => resolve::run(context, args).await,
        Some(Command::Conflicts(args)) => crate::commands::conflicts::run(context, args).await,
        Some(Command::Undelete(args)) => undelete::run(context, args).await,
        Some(Command::Backup(args)) => backup::run(context, args).await,
        Some(Command::Restore(args)) => restore::run(context, args).await,
        Some(Command::Verify(args)) => verify::run(context, args).await,
        Some(Command::Why(args)) => terminal.patient(why::run(context, args)).await,
        Some(Command::Pause(args)) => terminal.patient(pause::run(context, args)).await,
        Some(Command::Resume(args)) => terminal.patient(resume::run(context, args)).await,
        Some(Command::Reauthenticate(args)) => reauthenticate::run(context, args, password).await,
        Some(Command::SignOut(args)) => sign_out::run(context, args, password).await,
        Some(Command::Forget(args)) => commands::forget::run(context, args).await,
        Some(Command::Password(args)) => new_password::run(context, args, password, further).await,
        Some(Command::Policy(args)) => terminal.patient(policy::run(context, args)).await,
        Some(Command::Report(args)) => terminal.patient(commands::report::run(context, args)).await,
        Some(Command::Receipts(args)) => terminal.patient(receipts::run(context, args)).await,
        Some(Command::Devices(args)) => commands::devices::run(context, args).await,
        Some(Command::Jobs(args)) => jobs::run(context, args, password).await,
        Some(Command::Inhibit(args)) => return inhibit::run(context, args).await.map(Done::As),
        Some(Command::Status(args)) if args.watch => {
            return monitor::watch(context).await.map(Done::As);
        }
        Some(Command::Status(_)) => terminal.patient(overview::run(context)).await,
        Some(Command::Monitor) => return monitor::run(context).await.map(Done::As),
        Some(Command::Doctor(args)) => commands::doctor::run(context, args).await,
        // Answered before a daemon was looked for.
        Some(Command::Audit(_) | Command::Completions(_) | Command::Man(_)) => Ok(Value::Null),
        Some(Command::Inhibitors) => terminal.patient(inhibit::list(context)).await,
    };
    told.map(Done::Told)
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
