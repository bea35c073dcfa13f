//! `receipts`: what was signed out on this device, and what became of it.

use std::io::IsTerminal;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::{Failure, Result};
use crate::json;
use crate::table::Align;
use crate::text;

/// Options of `receipts`.
#[derive(Debug, Args)]
pub struct Receipts {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the receipts (the same as no command)
    List,
    /// Show the text of a receipt
    Show {
        /// The receipt's name, as listed
        id: String,
    },
}

/// Lists the receipts or shows one.
///
/// # Errors
/// When there is no such receipt.
pub async fn run(context: &Context<'_>, args: Receipts) -> Result<Value> {
    match args.command {
        None | Some(Command::List) => list(context).await,
        Some(Command::Show { id }) => show(context, &id).await,
    }
}

async fn list(context: &Context<'_>) -> Result<Value> {
    let receipts = context.daemon.manager.list_receipts().await?;
    let terminal = context.terminal;
    if receipts.is_empty() {
        terminal.line("There are no receipts: nobody has signed out on this device yet.");
    } else {
        let head = ["Receipt", "Account", "Signed out", "Removed", "Left"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(receipts.iter().map(|r| {
            vec![
                text::path(r.id.as_bytes()),
                text::path(r.identity.as_bytes()),
                text::timestamp(r.when),
                text::number(r.removed),
                text::number(r.left),
            ]
        }));
        let columns = [
            Align::Left,
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Right,
        ];
        terminal.table(&columns, &rows);
    }
    Ok(json!({ "receipts": receipts.iter().map(json::receipt).collect::<Vec<_>>() }))
}

async fn show(context: &Context<'_>, id: &str) -> Result<Value> {
    let read = context.daemon.manager.read_receipt(id).await;
    let content = read.map_err(|error| {
        let missing = matches!(
            error,
            mooring_api::Error::NotFound(_) | mooring_api::Error::InvalidArgument(_)
        );
        let failure = Failure::from(error);
        match missing {
            true => failure.hint("`mooringctl receipts` lists the names of those that are here."),
            false => failure,
        }
    })?;
    if !context.terminal.json() {
        if std::io::stdout().is_terminal() {
            content
                .lines()
                .for_each(|line| context.terminal.line(&text::sentence(line)));
        } else {
            // Into a file or a program: byte for byte, so that digests fit.
            context.terminal.raw(&content);
        }
    }
    Ok(json!({ "id": id, "text": content }))
}
