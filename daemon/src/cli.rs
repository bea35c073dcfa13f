//! The command line of `mooringd`.

use clap::{ArgGroup, Parser};

use crate::folders::Mode;

/// Mooring's broker: keeps accounts, and lets a person leave with a receipt.
#[derive(Debug, Parser)]
#[command(
    name = "mooringd",
    version,
    group = ArgGroup::new("mode").args(["session", "system"]),
    group = ArgGroup::new("what").required(true).multiple(true)
        .args(["session", "system", "check_config", "rotate_key"])
)]
pub struct Cli {
    /// Run for the person who starts it, on the session bus, with the XDG folders
    #[arg(long)]
    pub session: bool,
    /// Run for all people of this device, on the system bus, as a service of its own user
    #[arg(long)]
    pub system: bool,
    /// Read configuration and policy, tell what is wrong with them, and end; with --system those
    /// of the device
    #[arg(long)]
    pub check_config: bool,
    /// Seal the secrets by a new key and end, while no daemon runs; with --system those of all
    /// people, by the credential mooring.key.next
    #[arg(long, conflicts_with = "check_config")]
    pub rotate_key: bool,
}

impl Cli {
    /// The way to run that was asked for.
    pub fn mode(&self) -> Mode {
        if self.system {
            Mode::System
        } else {
            Mode::Session
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn one_of_the_two_has_to_be_asked_for() {
        assert!(
            Cli::try_parse_from(["mooringd", "--session"])
                .unwrap()
                .session
        );
        assert!(
            Cli::try_parse_from(["mooringd", "--check-config"])
                .unwrap()
                .check_config
        );
        for wrong in [
            &["mooringd"][..],
            &["mooringd", "--session", "--system"],
            &["m", "x"],
        ] {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), 2);
        }
    }
}
