//! `mooringd`: see the library beside this for everything but the start.

use std::process::ExitCode;

use clap::Parser;
use mooring_wire::logging;
use mooringd::{cli::Cli, keys, run};

fn main() -> ExitCode {
    // First of all: what is in our memory is nobody else's, not even as a core dump.
    if let Err(errno) = nix::sys::prctl::set_dumpable(false) {
        eprintln!("mooringd: cannot protect its memory: {errno}");
        return ExitCode::FAILURE;
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    logging::start();
    if cli.check_config {
        run::check_config(cli.mode())
    } else if cli.rotate_key {
        keys::change::run(cli.mode())
    } else {
        run::run(cli.mode())
    }
}
