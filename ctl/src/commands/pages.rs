//! What is installed beside the program and says the same as `--help`: completions for shells, and
//! manual pages. Made when the program is built, and of no interest to a person.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Failure, Result};

/// The shells that completions are made for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// For bash-completion
    Bash,
    /// For zsh
    Zsh,
    /// For fish
    Fish,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Kind,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Pages {
    /// The folder to write the pages into
    folder: PathBuf,
}

/// Prints the completions for a shell.
///
/// # Errors
/// When the output is closed.
pub fn completions(args: &Completions) -> Result<()> {
    let shell = match args.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    let mut command = public(Cli::command());
    clap_complete::generate(shell, &mut command, "mooringctl", &mut script);
    io::stdout()
        .write_all(&script)
        .map_err(|e| Failure::new(Exit::Failed, format!("The output was lost: {e}.")))
}

/// Writes the manual pages: one for the program, and one for each of its commands.
///
/// # Errors
/// When they cannot be written.
pub fn man(args: &Pages) -> Result<()> {
    let mut command = public(Cli::command()).disable_help_subcommand(true);
    command.build();
    write(&command, &args.folder).map_err(|e| {
        let folder = crate::text::path(args.folder.as_os_str().as_encoded_bytes());
        Failure::new(
            Exit::Failed,
            format!("The pages cannot be written into {folder}: {e}."),
        )
    })
}

fn write(command: &Command, folder: &Path) -> io::Result<()> {
    Man::new(command.clone())
        .manual("Mooring")
        .generate_to(folder)?;
    command.get_subcommands().try_for_each(|c| write(c, folder))
}

/// The commands that are for people.
fn public(command: Command) -> Command {
    let all = command.get_subcommands().cloned();
    let shown: Vec<Command> = all.filter(|command| !command.is_hide_set()).collect();
    Command::new("mooringctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about(command.get_about().cloned().unwrap_or_default())
        .long_about(command.get_long_about().cloned().unwrap_or_default())
        .after_help(command.get_after_help().cloned().unwrap_or_default())
        .args(command.get_arguments().cloned())
        .subcommands(shown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_command_that_is_for_people_has_its_page_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let args = Pages {
            folder: folder.path().to_owned(),
        };
        man(&args).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name));
        for command in Cli::command().get_subcommands() {
            let found = page(&format!("mooringctl-{}.1", command.get_name()));
            assert_eq!(found.is_ok(), !command.is_hide_set(), "{command}");
        }
        let main = page("mooringctl.1").unwrap();
        assert!(
            main.contains("Exit codes") && main.contains("sign\\-out"),
            "{main}"
        );
        assert!(
            page("mooringctl-password-change.1")
                .unwrap()
                .contains("password")
        );
        let nowhere = Pages {
            folder: folder.path().join("missing"),
        };
        assert!(man(&nowhere).is_err());
    }
}
