//! `doctor`: how everything is that the daemon and the accounts stand on, and what to do.

use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::terminal::Tone;
use crate::text;

/// Looks at everything.
///
/// # Errors
/// [`Exit::Failed`] when something is bad.
pub async fn run(context: &Context<'_>) -> Result<Value> {
    let terminal = context.terminal;
    let found = context.daemon.manager.diagnose().await?;
    for finding in &found {
        let tone = match finding.state.as_str() {
            "ok" => Tone::Good,
            "warning" => Tone::Warning,
            _ => Tone::Bad,
        };
        let state = format!("{:<8}", text::path(finding.state.as_bytes()));
        let area = text::path(finding.area.as_bytes());
        let message = text::full(&finding.message);
        terminal.line(&format!(
            "{} {area}: {message}",
            terminal.paint(tone, &state)
        ));
        if !finding.advice.is_empty() {
            let advice = text::full(&finding.advice);
            terminal.line(&terminal.paint(Tone::Faint, &format!("         {advice}")));
        }
    }
    let findings = found.iter().map(|finding| {
        json!({
            "area": finding.area,
            "state": finding.state,
            "message": finding.message,
            "advice": finding.advice,
        })
    });
    let findings = Value::from(findings.collect::<Vec<_>>());
    match found.iter().filter(|f| f.state == "bad").count() {
        0 => Ok(json!({ "findings": findings })),
        n => {
            let said = format!("{} to put right.", text::count(n as u64, "thing"));
            Err(Failure::new(Exit::Failed, said).with("findings", findings))
        }
    }
}
