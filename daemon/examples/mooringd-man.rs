//! Prints the manual page of `mooringd`, from the same source as its `--help`. Run when the program
//! is built; it is no part of it.

use std::io;

use clap::CommandFactory;
use mooringd::cli::Cli;

fn main() -> io::Result<()> {
    clap_mangen::Man::new(Cli::command())
        .section("8")
        .manual("Mooring")
        .render(&mut io::stdout())
}
