//! Writes the sample files of the demo: `mooring-samples FOLDER`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: mooring-samples FOLDER");
        return ExitCode::from(2);
    };
    match mooring_tests::samples::write(Path::new(&folder)) {
        Ok(files) => {
            println!("{files}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mooring-samples: {}: {error}", Path::new(&folder).display());
            ExitCode::FAILURE
        }
    }
}
