//! Medians, ratios and their spread, as Markdown.

use std::time::Duration;

/// What was measured, row by row.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    peer: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    goal: Option<f64>,
    unit: &'static str,
}

impl Table {
    /// A pair of times of one run; `goal` is the ratio not to exceed.
    pub fn add(
        &mut self,
        what: &'static str,
        peer: &'static str,
        ours: Duration,
        theirs: Duration,
        goal: f64,
    ) {
        self.add_seconds(what, peer, [ours, theirs], Some(goal));
    }

    /// The same time beside the least that it could take, which is no goal.
    pub fn add_least(
        &mut self,
        what: &'static str,
        least: &'static str,
        ours: Duration,
        it: Duration,
    ) {
        self.add_seconds(what, least, [ours, it], None);
    }

    fn add_seconds(
        &mut self,
        what: &str,
        peer: &'static str,
        [ours, theirs]: [Duration; 2],
        goal: Option<f64>,
    ) {
        eprintln!(
            "  {what}: {:.2} s, {peer}: {:.2} s",
            ours.as_secs_f64(),
            theirs.as_secs_f64()
        );
        let row = self.row(what, peer, goal, "s");
        row.ours.push(ours.as_secs_f64());
        row.theirs.push(theirs.as_secs_f64());
    }

    /// A pair of times of one run that are far below a second.
    pub fn add_pair_time(
        &mut self,
        what: &str,
        peer: &'static str,
        ours: Duration,
        theirs: Duration,
        goal: f64,
    ) {
        let (ours, theirs) = (ours.as_secs_f64() * 1e3, theirs.as_secs_f64() * 1e3);
        self.add_pair(what, peer, [ours, theirs], goal, "ms");
    }

    /// A pair of amounts of memory.
    pub fn add_pair_kib(
        &mut self,
        what: &str,
        peer: &'static str,
        ours: u64,
        theirs: u64,
        goal: f64,
    ) {
        self.add_pair(what, peer, [ours, theirs].map(megabytes), goal, "MB");
    }

    fn add_pair(
        &mut self,
        what: &str,
        peer: &'static str,
        [ours, theirs]: [f64; 2],
        goal: f64,
        unit: &'static str,
    ) {
        eprintln!("  {what}: {ours:.3} {unit}, {peer}: {theirs:.3} {unit}");
        let row = self.row(what, peer, Some(goal), unit);
        row.ours.push(ours);
        row.theirs.push(theirs);
    }

    /// A time without a peer.
    pub fn add_time(&mut self, what: &'static str, time: Duration) {
        self.row(what, "", None, "ms")
            .ours
            .push(time.as_secs_f64() * 1e3);
    }

    /// An amount of memory.
    pub fn add_kib(&mut self, what: &'static str, kib: u64) {
        self.row(what, "", None, "MB").ours.push(megabytes(kib));
    }

    fn row(
        &mut self,
        what: &str,
        peer: &'static str,
        goal: Option<f64>,
        unit: &'static str,
    ) -> &mut Row {
        let at = self
            .rows
            .iter()
            .position(|row| row.what == what)
            .unwrap_or_else(|| {
                let empty = Row {
                    what: what.to_owned(),
                    peer,
                    ours: Vec::new(),
                    theirs: Vec::new(),
                    goal,
                    unit,
                };
                self.rows.push(empty);
                self.rows.len() - 1
            });
        &mut self.rows[at]
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("| What | Mooring | Instead | | Ratio | Spread | Goal |");
        println!("|---|---|---|---|---|---|---|");
        for row in &self.rows {
            let ours = format!("{} {}", figure(median(&row.ours)), row.unit);
            if row.theirs.is_empty() {
                println!("| {} | {ours} | | | | {} | |", row.what, spread(&row.ours));
                continue;
            }
            let ratio = median(&row.ours) / median(&row.theirs);
            let ratios: Vec<_> = row
                .ours
                .iter()
                .zip(&row.theirs)
                .map(|(o, t)| o / t)
                .collect();
            println!(
                "| {} | {ours} | {} | {} {} | **{ratio:.2}** | {} | {} |",
                row.what,
                row.peer,
                figure(median(&row.theirs)),
                row.unit,
                spread(&ratios),
                row.goal
                    .map_or_else(String::new, |goal| format!("≤ {goal}"))
            );
        }
    }
}

fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

/// Two places, and three where two would say too little.
fn figure(value: f64) -> String {
    let places = if value < 1.0 { 3 } else { 2 };
    format!("{value:.places$}")
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{least:.2} – {most:.2}")
}
