//! `audit`: what policy decided on this device, from the journal.

use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::{Exit, Failure, Result};
use crate::terminal::Terminal;
use crate::text;

/// Allowed, denied, another policy, a bundle given up: as in the daemon and its catalog.
const MESSAGES: [&str; 4] = [
    "c21555439085462e87ebf572b9060ed9",
    "c9455f424ee142fba087b07198d9bd81",
    "01cc61a7a3a74604a917ae5ecd4d52f4",
    "7795e84bb33b4fa4b7870c683d0ce6c8",
];
/// Anybody may write to the journal; from which unit it came, the journal itself says.
const OF_DEVICE: &str = "_SYSTEMD_UNIT=mooringd.service";
/// And only of one's own service manager: everybody may call a unit of theirs like that.
const OF_SESSION: &str = "_SYSTEMD_USER_UNIT=mooringd.service";
/// Who reads what the daemon of a device wrote.
const READERS: &str = "Root, and members of the group systemd-journal, can read all of it.";
/// The fields of an entry that are shown as they are.
const FIELDS: &str = "MOORING_";

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Only what was decided since then, as journalctl reads it: "2026-11-24", "-2h", today
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// How many entries at most, the newest
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    lines: u32,
}

/// Reads and shows the entries. Needs no daemon.
///
/// # Errors
/// [`Exit::Failed`] when the journal cannot be read.
pub fn run(terminal: &Terminal, global: &Global, args: &Audit) -> Result<Value> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=json", "--all"]);
    command.arg(format!("--lines={}", args.lines));
    if let Some(since) = &args.since {
        command.arg(format!("--since={since}"));
    }
    let ids = MESSAGES.map(|id| format!("MESSAGE_ID={id}"));
    if !global.session {
        command.arg(OF_DEVICE).args(&ids);
    }
    if !global.session && !global.system {
        command.arg("+");
    }
    if !global.system {
        let own = format!("_UID={}", nix::unistd::getuid());
        command.arg(OF_SESSION).arg(own).args(&ids);
    }
    let entries = read(command)?;
    for entry in &entries {
        let time = entry["time"].as_u64().unwrap_or_default();
        let message = entry["message"].as_str().unwrap_or_default();
        let line = format!("{}  {}", text::timestamp(time), text::sentence(message));
        terminal.line(&line);
    }
    if entries.is_empty() {
        terminal.line("The journal has no decision of policy that you can read.");
        if let Some(hint) = unseen() {
            terminal.line(&hint);
        }
    }
    Ok(json!({ "entries": entries }))
}

/// What journalctl says of entries that it does not show to whoever asks; none for those who see all.
fn unseen() -> Option<String> {
    let output = Command::new("journalctl")
        .args(["--no-pager", "--lines=0"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    (!lines.is_empty()).then(|| text::sentence(&lines.join(" ")))
}

fn read(mut command: Command) -> Result<Vec<Value>> {
    let fail =
        |said: String| Failure::new(Exit::Failed, format!("The journal cannot be read: {said}."));
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| fail(format!("journalctl: {e}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(fail(text::sentence(said.trim().trim_end_matches('.'))).hint(READERS));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let entries = said.lines().filter(|line| !line.is_empty()).map(|line| {
        let entry: Value = serde_json::from_str(line).map_err(|e| fail(e.to_string()))?;
        Ok(told(&entry))
    });
    entries.collect()
}

/// An entry with the time in seconds, the message, and our own fields under their own names.
fn told(entry: &Value) -> Value {
    const MICROSECONDS: u64 = 1_000_000;
    let time = entry["__REALTIME_TIMESTAMP"].as_str();
    let time = time.and_then(|time| time.parse::<u64>().ok());
    let mut out = serde_json::Map::new();
    out.insert("time".to_owned(), json!(time.map(|t| t / MICROSECONDS)));
    out.insert("message".to_owned(), entry["MESSAGE"].clone());
    out.insert("message-id".to_owned(), entry["MESSAGE_ID"].clone());
    for (name, value) in entry.as_object().into_iter().flatten() {
        if let Some(name) = name.strip_prefix(FIELDS) {
            out.insert(name.to_lowercase().replace('_', "-"), value.clone());
        }
    }
    Value::Object(out)
}
