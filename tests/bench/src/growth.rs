//! What each operation costs as the files grow in number: time and peak memory, as a table and a
//! picture.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::plot::{Line, Panel, svg};
use crate::step::{Measured, STEPS};
use crate::{machine, number};

/// Numbers of files; the last only with `FULL=1`.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Measures, prints the table, and writes the picture.
pub fn run(picture: &Path) {
    let sizes = &SIZES[..SIZES.len() - usize::from(number("FULL", 0) == 0)];
    let mut lines: Vec<_> = STEPS.iter().map(|(_, what)| (*what, Vec::new())).collect();
    for size in sizes {
        eprintln!("{size} files");
        let folder = tempfile::Builder::new()
            .prefix("mooring-")
            .tempdir()
            .unwrap();
        let _ = step(folder.path(), "make", *size);
        for ((name, _), line) in STEPS.iter().zip(&mut lines) {
            let measured = step(folder.path(), name, *size);
            eprintln!(
                "  {name}: {:.0} ms, {} KiB",
                measured.milliseconds, measured.peak_kib
            );
            line.1.push(measured);
        }
    }
    machine::print();
    print(sizes, &lines);
    fs::write(picture, draw(sizes, &lines)).unwrap();
}

fn step(world: &Path, step: &str, files: usize) -> Measured {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg("step")
        .arg(world)
        .arg(step)
        .arg(files.to_string());
    let out = command.output().expect("this program");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{step}: {}\n{errors}", out.status);
    Measured::from_line(&String::from_utf8_lossy(&out.stdout))
}

fn print(sizes: &[usize], lines: &[(&str, Vec<Measured>)]) {
    println!("Files of up to 2 KiB; time, and peak memory of the process.\n");
    let heads: String = sizes
        .iter()
        .map(|size| format!(" {size} files |"))
        .collect();
    println!("| What |{heads}\n|---|{}", "---|".repeat(sizes.len()));
    for (what, measured) in lines {
        let cells: String = measured
            .iter()
            .map(|m| format!(" {}, {} MB |", time(m.milliseconds), m.peak_kib / 1000))
            .collect();
        println!("| {what} |{cells}");
    }
}

fn time(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 1000.0 => format!("{short:.0} ms"),
        long => format!("{:.1} s", long / 1000.0),
    }
}

fn draw(sizes: &[usize], lines: &[(&str, Vec<Measured>)]) -> String {
    let panel = |title, unit, value: fn(&Measured) -> f64| Panel {
        title,
        unit,
        lines: lines
            .iter()
            .map(|(name, measured)| Line {
                name,
                points: sizes
                    .iter()
                    .zip(measured)
                    .map(|(size, m)| (*size as f64, value(m)))
                    .collect(),
            })
            .collect(),
    };
    svg(&[
        panel("Time", "ms", |m| m.milliseconds),
        panel("Peak memory", "MB", |m| m.peak_kib as f64 / 1000.0),
    ])
}
