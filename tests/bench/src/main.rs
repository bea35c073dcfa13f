//! Measures Mooring. Without an argument: side by side with the programs people use instead. With
//! `accounts`: only the broker, side by side with goa-daemon. With `files`: only the worker. With
//! `growth`: what each operation costs as the files grow in number, as a table and a picture. With
//! `count`: instructions, system calls and bytes of each operation, which a busy machine does not
//! change, against those kept in `instructions.toml`.
//!
//! All of it prints Markdown, with the machine and the versions it ran on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod compare;
mod count;
mod growth;
mod least;
mod machine;
mod peer;
mod plot;
mod process;
mod server;
mod stage;
mod step;
mod strace;
mod table;
mod tree;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            accounts::run();
            compare::run();
        }
        ["accounts"] => accounts::run(),
        ["files"] => compare::run(),
        ["growth", picture] => growth::run(picture.as_ref()),
        ["count", kept] => count::run(kept.as_ref(), false),
        ["count", kept, "--keep"] => count::run(kept.as_ref(), true),
        ["step", world, step, files] => step::run(world.as_ref(), step, files.parse().unwrap()),
        _ => {
            eprintln!(
                "usage: mooring-bench [accounts | files | growth PICTURE.svg | count KEPT.toml [--keep]]"
            );
            std::process::exit(2);
        }
    }
}

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect(name))
}
