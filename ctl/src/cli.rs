//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::pages;
use crate::commands::reauthenticate;
use crate::commands::{backup, restore, verify, why};
use crate::commands::{
    inhibit, jobs, monitor, new_password, pause, policy, receipts, resolve, show, sign_in,
    sign_out, sync, undelete,
};

/// The accounts of this device: sign in, keep in step, and leave without losing anything.
///
/// Without a command: an overview of accounts, and what needs attention.
#[derive(Debug, Parser)]
#[command(name = "mooringctl", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage (also: a question and no terminal), \
3 policy denies it, 4 not allowed or wrong password, 5 something stands in the way (unsynced files, \
an outdated plan, another job), 6 the daemon cannot be reached, 7 cancelled, or left \
running.";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Print one JSON document on the standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// How long to wait for a daemon that vanishes while a job is watched, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(..=3600))]
    pub daemon_wait: u64,
    /// Speak to the daemon of the device, on the system bus (also: MOORING_BUS=system)
    #[arg(long, global = true, conflicts_with = "session")]
    pub system: bool,
    /// Speak to the daemon of your session, on the session bus (also: MOORING_BUS=session)
    ///
    /// Without either: the daemon of the session if it runs, else that of the device if it is there,
    /// else that of the session.
    #[arg(long, global = true)]
    pub session: bool,
    /// Do not ask on this terminal for a password of the device, where polkit wants one
    #[arg(long, global = true)]
    pub no_ask_password: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign in to an account, and bring its files to this device
    SignIn(sign_in::SignIn),
    /// The accounts at a glance (the same as no command)
    Status(monitor::Status),
    /// Tell every change as it comes, until Ctrl-C; with --json one document a line
    Monitor,
    /// Show an account in full
    Show(show::Show),
    /// Bring an account and its storage in step now
    Sync(sync::Sync),
    /// Answer the question about deletions that were not carried over
    Resolve(resolve::Resolve),
    /// List the files of which two versions were kept
    Conflicts(crate::commands::conflicts::Conflicts),
    /// List what was deleted in the last 30 days, or bring a file back
    Undelete(undelete::Undelete),
    /// Take a backup of an account's files on this device
    Backup(backup::Backup),
    /// Bring files back from a backup, overwriting nothing
    Restore(restore::Restore),
    /// Read every copy back from the storage and compare it
    Verify(verify::Verify),
    /// Say how a file stands, and why
    Why(why::Why),
    /// Stop syncing an account by itself, until it is resumed
    Pause(pause::Which),
    /// Sync a paused account by itself again
    Resume(pause::Which),
    /// Give the password again, where a session became too old; what waited for it goes on
    Reauthenticate(reauthenticate::Reauthenticate),
    /// Sign out: check that every file is safe in the storage, then remove it from this device
    SignOut(sign_out::SignOut),
    /// Drop an account whose storage is gone for good; every file stays where it is
    Forget(crate::commands::forget::Forget),
    /// Set another password
    #[command(subcommand)]
    Password(new_password::NewPassword),
    /// Look at the policy of this device
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Look at the receipts of earlier sign-outs
    Receipts(receipts::Receipts),
    /// Show what policy decided on this device, from the journal
    Audit(crate::commands::audit::Audit),
    /// Report on every account that you may see, for administrators and their tools
    Report(crate::commands::report::Report),
    /// List the devices that use an account's storage, or ask one to sign out
    Devices(crate::commands::devices::Devices),
    /// Look at the long operations, and act on them
    Jobs(jobs::Jobs),
    /// Look whether everything is as it should be, and say what to do
    Doctor(crate::commands::doctor::Doctor),
    /// Run a program, and let sign-outs wait for it
    Inhibit(inhibit::Inhibit),
    /// List the apps that ask to wait with signing out
    Inhibitors,
    /// Print the completions for a shell
    #[command(hide = true)]
    Completions(pages::Completions),
    /// Write the manual pages
    #[command(hide = true)]
    Man(pages::Pages),
}

impl Command {
    /// The descriptor that a password is to be read from.
    pub fn password_fd(&self) -> Option<u32> {
        match self {
            Self::SignIn(args) => args.password_fd,
            Self::Reauthenticate(args) => args.password_fd,
            Self::Password(new_password::NewPassword::Change(args)) => args.password_fd,
            Self::Jobs(args) => args.password_fd(),
            Self::SignOut(args) if !args.dry_run => args.password_fd,
            _ => None,
        }
    }

    /// Whether it does something that polkit may want a password for. What only looks does not wait
    /// for an agent to be there.
    pub fn acts(&self) -> bool {
        match self {
            Self::SignIn(_)
            | Self::Sync(_)
            | Self::Resolve(_)
            | Self::Undelete(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Verify(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Reauthenticate(_)
            | Self::Forget(_)
            | Self::Password(_)
            | Self::Devices(_)
            | Self::Jobs(_)
            | Self::Doctor(_)
            | Self::Inhibit(_) => true,
            Self::SignOut(args) => !args.dry_run,
            Self::Status(_)
            | Self::Monitor
            | Self::Show(_)
            | Self::Conflicts(_)
            | Self::Why(_)
            | Self::Policy(_)
            | Self::Receipts(_)
            | Self::Audit(_)
            | Self::Report(_)
            | Self::Inhibitors
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}
