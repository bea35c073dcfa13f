//! The command line of `mooringd`.

use clap::{ArgGroup, Parser};

/// Mooring's broker: keeps accounts, and lets a person leave with a receipt.
#[derive(Debug, Parser)]
#[command(
    name = "mooringd",
    version,
    group = ArgGroup::new("what").required(true).args(["session", "check_config"])
)]
pub struct Cli {
    /// Run for the person who starts it, on the session bus, with the XDG folders
    #[arg(long)]
    pub session: bool,
    /// Read configuration and policy, tell what is wrong with them, and end
    #[arg(long)]
    pub check_config: bool,
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
            &["mooringd", "--session", "--check-config"],
            &["m", "x"],
        ] {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), 2);
        }
    }
}
