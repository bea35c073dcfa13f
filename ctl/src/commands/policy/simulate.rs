//! `policy simulate`: what a file would change on this device if it were in force.

use std::path::Path;

use mooring_api::{PolicyChange, PolicySimulation};
use serde_json::{Value, json};

use super::{MAX_FILE_BYTES, bundle, findings, handed_over, section};
use crate::commands::Context;
use crate::exit::Result;
use crate::table::{Align, lay_out};
use crate::text;

/// Asks, and shows the answer.
///
/// # Errors
/// [`crate::exit::Exit::Failed`] when the file has findings; whatever the daemon answers.
pub async fn run(context: &Context<'_>, file: &Path) -> Result<Value> {
    let shown = text::os(file);
    let manager = &context.daemon.manager;
    let simulation = if bundle::is_one(file) {
        let (name, bundle, signature) = bundle::with_signature(file)?;
        manager.simulate_bundle(&name, bundle, signature).await?
    } else {
        let (name, fd) = handed_over(file, MAX_FILE_BYTES)?;
        manager.simulate_policy(&name, fd).await?
    };
    if !simulation.findings.is_empty() {
        return Err(findings(context, &shown, &simulation.findings));
    }
    show(context, &shown, &simulation);
    if matches!(
        manager.policy_state().await?.as_str(),
        "last-good" | "invalid"
    ) {
        context.terminal.line("");
        context.warn(
            "a file of policy is wrong, and nothing changes until it is corrected: `mooringctl \
             policy show` says which.",
        );
    }
    Ok(document(&simulation))
}

fn show(context: &Context<'_>, shown: &str, simulation: &PolicySimulation) {
    let terminal = context.terminal;
    match simulation.replaces.as_str() {
        "" => terminal.line(&format!("If {shown} were added:")),
        path => terminal.line(&format!(
            "If {shown} took the place of {}:",
            text::sentence(path)
        )),
    }
    terminal.line("");
    if simulation.changes.is_empty() {
        terminal.line("  Nothing would change for the accounts on this device.");
    } else {
        for row in lay_out(&[Align::Left; 5], &rows(&simulation.changes)) {
            terminal.line(&row);
        }
    }
    let told = simulation.changes.len() as u64;
    let more = simulation.changes_total.saturating_sub(told);
    if more > 0 {
        terminal.line(&format!(
            "  and {more} more: there are too many to tell all of them"
        ));
    }
    section(context, "Because", &reasons(&simulation.changes));
    section(context, "Contradictions", &simulation.conflicts);
    section(context, "Required and not here", &simulation.missing);
}

/// One row a change; the actors of one and the same change share it.
fn rows(changes: &[PolicyChange]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for change in changes {
        let what = match change.what == change.verb {
            true => change.verb.clone(),
            false => format!("{}, {}", change.verb, change.what),
        };
        let row = [
            text::path(change.identity.as_bytes()),
            text::sentence(&what),
            text::sentence(&change.before),
            format!("→ {}", text::sentence(&change.after)),
            text::sentence(&change.actor),
        ];
        match rows.iter_mut().find(|known| known[..4] == row[..4]) {
            Some(known) => known[4] = format!("{}, {}", known[4], row[4]),
            None => rows.push(row.to_vec()),
        }
    }
    rows
}

/// Every reason once.
fn reasons(changes: &[PolicyChange]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for reason in changes.iter().flat_map(|change| &change.because) {
        if !reasons.contains(reason) {
            reasons.push(reason.clone());
        }
    }
    reasons
}

fn document(simulation: &PolicySimulation) -> Value {
    let change = |c: &PolicyChange| {
        json!({
            "account": c.account,
            "identity": c.identity,
            "verb": c.verb,
            "actor": c.actor,
            "what": c.what,
            "before": c.before,
            "after": c.after,
            "because": c.because,
        })
    };
    json!({
        "replaces": simulation.replaces,
        "changes": simulation.changes.iter().map(change).collect::<Vec<_>>(),
        "changes-total": simulation.changes_total,
        "conflicts": simulation.conflicts,
        "missing": simulation.missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_of_one_change_share_a_row() {
        let change = |actor: &str| PolicyChange {
            identity: "alice".to_owned(),
            verb: "sign-out".to_owned(),
            actor: actor.to_owned(),
            what: "sign-out".to_owned(),
            before: "allowed".to_owned(),
            after: "denied".to_owned(),
            because: vec!["So.".to_owned()],
            ..PolicyChange::default()
        };
        let changes = [change("person"), change("device")];
        let expected = ["alice", "sign-out", "allowed", "→ denied", "person, device"];
        assert_eq!(rows(&changes), [expected.map(str::to_owned).to_vec()]);
        assert_eq!(reasons(&changes), ["So."]);
    }
}
