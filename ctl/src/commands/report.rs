//! `report`: every account that the caller may see, for administrators and their tools.

mod metrics;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::commands::{Context, state_words};
use crate::exit::Result;
use crate::json;
use crate::table::{Align, lay_out};
use crate::text;

/// Options of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Write the numbers to this file as well, in the text format of Prometheus, for the textfile
    /// collector of node_exporter
    #[arg(long, value_name = "FILE.prom")]
    metrics: Option<PathBuf>,
}

/// Asks, writes the metrics, and shows the report.
///
/// # Errors
/// Whatever the daemon answers; [`crate::exit::Exit::Failed`] when the file cannot be written.
pub async fn run(context: &Context<'_>, args: Report) -> Result<Value> {
    let manager = &context.daemon.manager;
    let policy = manager.show_policy().await?;
    let accounts = context.daemon.accounts().await?;
    let receipts = manager.list_receipts().await?;
    let refusals = manager.list_refusals().await?;
    let now = text::now();
    let report = json!({
        "device": host(),
        "when": now,
        "daemon": { "version": manager.version().await?, "mode": manager.mode().await? },
        "policy": {
            "state": policy.state,
            "enforced": policy.enforced,
            "bundle": json::bundle(&policy),
            "problems": policy.problems,
        },
        "accounts": accounts.iter().map(|account| {
            let mut told = json::account(account);
            let waiting = account.files.as_ref().map_or(0, |files| {
                files.collections.iter().map(|c| c.unsynced + c.held).sum()
            });
            told["waiting"] = json!(waiting);
            told["paused"] = json!(account.files.as_ref().is_some_and(|files| files.paused));
            told
        }).collect::<Vec<_>>(),
        "sign-outs": receipts.len(),
        "refused-sign-outs": refusals,
    });
    if let Some(file) = &args.metrics {
        metrics::write(file, &metrics::text(&report))?;
    }
    let terminal = context.terminal;
    let mut rows = Vec::new();
    for (account, told) in accounts
        .iter()
        .zip(report["accounts"].as_array().into_iter().flatten())
    {
        let last = account.files.as_ref().map_or(0, |files| files.last_sync);
        let last = match last {
            0 => "never".to_owned(),
            last => text::ago(last, now),
        };
        rows.push(vec![
            text::sentence(&account.state.identity),
            state_words(&account.state.state).to_owned(),
            format!("synced {last}"),
            match told["paused"] == true {
                true => format!("{} waiting when it was paused", told["waiting"]),
                false => format!("{} waiting", told["waiting"]),
            },
        ]);
    }
    for line in lay_out(
        &[Align::Left, Align::Left, Align::Left, Align::Right],
        &rows,
    ) {
        terminal.line(&line);
    }
    context.field("Policy", &policy.state);
    for problem in &policy.problems {
        context.warn(problem);
    }
    Ok(report)
}

fn host() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| String::new(),
        |name| name.to_string_lossy().into_owned(),
    )
}
