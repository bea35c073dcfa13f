//! `conflicts`: the files of which two versions were kept.

use clap::Args;
use mooring_api::ConflictCopy;
use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::Result;
use crate::table::{Align, lay_out};
use crate::text;

/// Options of `conflicts`.
#[derive(Debug, Args)]
pub struct Conflicts {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
}

/// Lists the conflict copies of an account, and says what to do about them.
///
/// # Errors
/// When there is no such account, or its folders cannot be looked at.
pub async fn run(context: &Context<'_>, args: Conflicts) -> Result<Value> {
    let terminal = context.terminal;
    let find = context.daemon.account(args.account.as_deref());
    let account = terminal.patient(find).await?;
    let files = terminal
        .patient(context.daemon.files_proxy(&account))
        .await?;
    let list = async { Ok(files.list_conflicts().await?) };
    let copies = terminal.patient(list).await?;
    show(context, &copies);
    Ok(json!({
        "account": account.state.identity,
        "conflicts": copies.iter().map(to_json).collect::<Vec<_>>(),
    }))
}

fn show(context: &Context<'_>, copies: &[ConflictCopy]) {
    let terminal = context.terminal;
    if copies.is_empty() {
        terminal.line("There are no conflict copies.");
        return;
    }
    let mut rows = vec![["Size", "Modified", "File"].map(str::to_owned).to_vec()];
    for copy in copies {
        let row = |size, modified, path: String| {
            vec![text::size(size), text::ago(modified, text::now()), path]
        };
        rows.push(row(copy.size, copy.modified, text::path(&copy.path)));
        if copy.original.is_empty() {
            let none = "  the file it is a version of is not there".to_owned();
            rows.push(vec![String::new(), String::new(), none]);
        } else {
            let other = format!("  the other version: {}", text::path(&copy.original));
            rows.push(row(copy.original_size, copy.original_modified, other));
        }
    }
    for line in lay_out(&[Align::Right, Align::Left, Align::Left], &rows) {
        terminal.line(&line);
    }
    terminal.line("");
    terminal.line(
        "Compare the two, keep what you want under the plain name, and delete the copy: the next \
         sync carries that over.",
    );
}

fn to_json(copy: &ConflictCopy) -> Value {
    let original = (!copy.original.is_empty()).then(|| {
        json!({
            "path": String::from_utf8_lossy(&copy.original),
            "bytes": copy.original_size,
            "modified": copy.original_modified,
        })
    });
    json!({
        "path": String::from_utf8_lossy(&copy.path),
        "original": original,
        "device": copy.device,
        "date": copy.date,
        "bytes": copy.size,
        "modified": copy.modified,
    })
}
