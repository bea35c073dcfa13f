//! The plan of a sign-out on one screen.

use mooring_api::{Plan, PlanCollection};

use crate::commands::overview::last_sync;
use crate::commands::policy::show_decision;
use crate::commands::{Context, collection};
use crate::table::{Align, lay_out};
use crate::terminal::Tone;
use crate::text::{self, count, number, size};

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the plan removes and what it keeps.
pub fn totals(plan: &Plan) -> (Total, Total) {
    let sum = |keep: bool| {
        plan.collections
            .iter()
            .filter(|c| c.keep == keep)
            .fold(Total::default(), |t, c| Total {
                files: t.files.saturating_add(c.items),
                bytes: t.bytes.saturating_add(c.bytes),
            })
    };
    (sum(false), sum(true))
}

/// Shows the plan.
pub fn show(context: &Context<'_>, plan: &Plan) {
    let terminal = context.terminal;
    let who = text::path(plan.identity.as_bytes());
    terminal.line(&terminal.paint(Tone::Strong, &format!("Signing {who} out of this device")));
    terminal.line("");
    context.field("Storage", &text::path(&plan.storage));
    context.field("Last sync", &last_sync(plan.last_sync));
    terminal.line("");
    collections(context, plan);
    section(
        context,
        "What the copies lack",
        Tone::Warning,
        &losses(plan),
    );
    section(context, "Good to know", Tone::Strong, &remarks(plan));
    if !plan.policy.allowed || !plan.policy.explanation.is_empty() {
        terminal.line("");
        terminal.line(&terminal.paint(Tone::Strong, "Policy"));
        show_decision(context, &plan.policy);
    }
    // A denial stands under "Policy" already, with more to it.
    let told = |error: &str| error == "PolicyDenied" && !plan.policy.denials.is_empty();
    let open = plan.blockers.iter().filter(|b| !told(&b.error));
    let blockers: Vec<String> = open.map(|b| text::full(&b.message)).collect();
    section(context, "In the way", Tone::Bad, &blockers);
    terminal.line("");
    let digest = format!("  Plan {}", text::path(plan.digest.as_bytes()));
    terminal.line(&terminal.paint(Tone::Faint, &digest));
    terminal.line("");
}

fn collections(context: &Context<'_>, plan: &Plan) {
    let terminal = context.terminal;
    let head = [
        "Collection",
        "Files",
        "Size",
        "On this device",
        "To upload",
        "To read back",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(plan.collections.iter().map(row));
    let (removed, kept) = totals(plan);
    let mut sums = 0;
    for (words, total) in [("removed", removed), ("kept", kept)] {
        if total.files > 0 && plan.collections.len() > 1 {
            let first = if sums == 0 { "Together" } else { "" };
            rows.push(
                [
                    first,
                    &number(total.files),
                    &size(total.bytes),
                    words,
                    "",
                    "",
                ]
                .map(str::to_owned)
                .to_vec(),
            );
            sums += 1;
        }
    }
    let columns = [
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Right,
    ];
    let lines = lay_out(&columns, &rows);
    let first_sum = lines.len() - sums;
    for (i, line) in lines.iter().enumerate() {
        match i {
            0 => terminal.line(&terminal.paint(Tone::Faint, line)),
            i if i >= first_sum => terminal.line(&terminal.paint(Tone::Strong, line)),
            _ => terminal.line(line),
        }
    }
}

fn row(c: &PlanCollection) -> Vec<String> {
    let fate = if c.keep { "kept" } else { "removed" };
    let (upload, read_back) = match c.keep {
        true => (String::new(), String::new()),
        false => (number(c.unsynced), number(c.to_read_back)),
    };
    vec![
        collection(&c.name),
        number(c.items),
        size(c.bytes),
        fate.to_owned(),
        upload,
        read_back,
    ]
}

fn losses(plan: &Plan) -> Vec<String> {
    plan.collections
        .iter()
        .filter(|c| !c.keep)
        .flat_map(|c| {
            c.losses
                .iter()
                .map(|l| format!("{}: {}", collection(&c.name), text::sentence(l)))
        })
        .collect()
}

fn remarks(plan: &Plan) -> Vec<String> {
    let mut out: Vec<String> = plan.warnings.iter().map(|w| text::full(w)).collect();
    for c in &plan.collections {
        let name = collection(&c.name);
        if c.here_before > 0 && !c.keep {
            let n = count(c.here_before, "file");
            out.push(format!(
                "{name}: of these, {n} here before the account came."
            ));
        }
        if c.hard_links > 0 && !c.keep {
            let n = count(c.hard_links, "file");
            out.push(format!(
                "{name}: {n} with further hard links; the content stays under them."
            ));
        }
        if c.held > 0 {
            let n = count(c.held, "file");
            out.push(format!(
                "{name}: {n} held, gone on one side and not deleted on the other."
            ));
        }
        if c.conflicts > 0 {
            let n = count(c.conflicts, "file");
            out.push(format!(
                "{name}: {n} with both versions kept after a conflict."
            ));
        }
        if c.stays > 0 {
            out.push(format!("{name}: {}", stays(c)));
        }
    }
    out
}

/// `2 names stay, neither uploaded nor removed: a, b`.
fn stays(c: &PlanCollection) -> String {
    let verb = if c.stays == 1 { "stays" } else { "stay" };
    let names: Vec<String> = c.stays_names.iter().map(|name| text::path(name)).collect();
    let more = c.stays.saturating_sub(names.len() as u64);
    let tail = match (names.is_empty(), more) {
        (true, _) => ".".to_owned(),
        (false, 0) => format!(": {}", names.join(", ")),
        (false, more) => format!(": {} and {} more", names.join(", "), number(more)),
    };
    format!(
        "{} {verb}, neither uploaded nor removed{tail}",
        count(c.stays, "name")
    )
}

fn section(context: &Context<'_>, title: &str, tone: Tone, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    context.terminal.line("");
    context.terminal.line(&context.terminal.paint(tone, title));
    for line in lines {
        context.terminal.line(&format!("  {line}"));
    }
}
