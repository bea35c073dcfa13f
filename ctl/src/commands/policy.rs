//! `policy`: what device management says, whether a file is sound, and why a verb is denied.

mod bundle;
mod simulate;

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use mooring_api::{Finding, PolicyDecision};
use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::json;
use crate::secret;
use crate::terminal::Tone;
use crate::text;

/// The longest policy file, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The commands about policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show the policy in force, and where it comes from
    Show,
    /// Check a policy file, or a signed bundle of them (FILE.bundle beside FILE.bundle.minisig), and apply nothing
    Check {
        /// The file
        file: PathBuf,
    },
    /// Show what a policy file, or a signed bundle, would change on this device, and apply nothing
    Simulate {
        /// The file
        file: PathBuf,
    },
    /// Explain what policy decides
    Explain {
        /// What is to be done: sign-out, sign-in, forget or backup
        #[arg(default_value = "sign-out")]
        verb: String,
        /// The identity or the ID; may be left out when there is one account. Of sign-in also an
        /// identity that is not here
        account: Option<String>,
        /// Who wants to do it
        #[arg(long, default_value = "person")]
        actor: Actor,
    },
}

/// Who wants to do something.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Actor {
    /// The person at this device
    Person,
    /// Another device of the account
    Device,
    /// The organisation that manages the device
    Organisation,
}

impl Actor {
    fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Device => "device",
            Self::Organisation => "organisation",
        }
    }
}

/// Answers a question about policy.
///
/// # Errors
/// [`Exit::Failed`] when a checked file has findings; whatever the daemon answers.
pub async fn run(context: &Context<'_>, command: Policy) -> Result<Value> {
    match command {
        Policy::Show => show(context).await,
        Policy::Check { file } if bundle::is_one(&file) => bundle::check(context, &file).await,
        Policy::Check { file } => check(context, &file).await,
        Policy::Simulate { file } => simulate::run(context, &file).await,
        Policy::Explain {
            verb,
            account,
            actor,
        } => explain(context, &verb, account.as_deref(), actor).await,
    }
}

async fn show(context: &Context<'_>) -> Result<Value> {
    let policy = context.daemon.manager.show_policy().await?;
    let terminal = context.terminal;
    let words = match policy.state.as_str() {
        "none" => "There is no policy on this device.",
        "in-force" => "A policy is in force.",
        "last-good" => "A policy file is wrong. The last good policy stays in force.",
        "expired" => {
            "The signed bundle of policy expired. It stays in force until a newer one comes."
        }
        "invalid" => "A policy file is wrong. Signing in and out is refused until it is corrected.",
        _ => "The policy is in a state that this version does not know.",
    };
    terminal.line(words);
    if !policy.enforced && policy.state != "none" {
        terminal.line("It is advice here: you run the daemon yourself.");
    }
    if policy.bundle_version != 0 {
        terminal.line(&bundle::words(
            &policy.bundle_organisation,
            policy.bundle_version,
            policy.bundle_expires,
            &policy.bundle_key,
        ));
    }
    section(context, "Problems", &policy.problems);
    section(context, "Files", &policy.files);
    let effective: Vec<String> = policy.effective.lines().map(str::to_owned).collect();
    section(context, "In effect", &effective);
    Ok(json::policy(&policy))
}

fn section(context: &Context<'_>, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    context.terminal.line("");
    context
        .terminal
        .line(&context.terminal.paint(Tone::Strong, title));
    for line in lines {
        context
            .terminal
            .line(format!("  {}", text::sentence(line)).trim_end());
    }
}

async fn check(context: &Context<'_>, file: &Path) -> Result<Value> {
    let shown = text::os(file);
    let (name, fd) = handed_over(file, MAX_FILE_BYTES)?;
    let found = context.daemon.manager.check_policy(&name, fd).await?;
    if found.is_empty() {
        context
            .terminal
            .line(&format!("{shown}: nothing to remark."));
        return Ok(json!({ "findings": [] }));
    }
    Err(findings(context, &shown, &found))
}

/// A policy file's name and content, for the daemon.
fn handed_over(file: &Path, most: u64) -> Result<(String, zbus::OwnedFd)> {
    let content = secret::small_file(file, most).map_err(|e| {
        let shown = text::os(file);
        Failure::new(Exit::Failed, format!("{shown} cannot be checked: {e}."))
    })?;
    let fd = secret::sealed("policy", &content)?;
    let name = file.file_name().unwrap_or(file.as_os_str());
    Ok((name.to_string_lossy().into_owned(), fd))
}

/// Shows what is wrong with a file; the failure that says so.
fn findings(context: &Context<'_>, shown: &str, findings: &[Finding]) -> Failure {
    let document = json!(findings.iter().map(finding).collect::<Vec<_>>());
    for f in findings {
        context.terminal.line(&format!(
            "{shown}{}: {}",
            place(f),
            text::sentence(&f.message)
        ));
    }
    let n = text::count(findings.len() as u64, "finding");
    Failure::new(Exit::Failed, format!("{n} in {shown}."))
        .kind("Findings")
        .with("findings", document)
}

fn finding(f: &Finding) -> Value {
    json!({ "line": f.line, "column": f.column, "message": f.message })
}

/// `:line:column` as far as they are known.
fn place(f: &Finding) -> String {
    match (f.line, f.column) {
        (0, _) => String::new(),
        (line, 0) => format!(":{line}"),
        (line, column) => format!(":{line}:{column}"),
    }
}

async fn explain(
    context: &Context<'_>,
    verb: &str,
    account: Option<&str>,
    actor: Actor,
) -> Result<Value> {
    let id = match (context.daemon.account(account).await, account) {
        (Ok(account), _) => account.state.id,
        // Whether somebody may sign in is asked before they have.
        (Err(failure), Some(identity)) if verb == "sign-in" && failure.kind != "Unreachable" => {
            identity.to_owned()
        }
        (Err(failure), _) => return Err(failure),
    };
    let manager = &context.daemon.manager;
    let decision = manager.explain_policy(verb, &id, actor.name()).await?;
    show_decision(context, &decision);
    if !decision.known.is_empty() {
        context.terminal.line("");
        context
            .terminal
            .line(&format!("  {}", text::full(&decision.known)));
    }
    Ok(json::decision(&decision))
}

/// What policy decides, who said it, and where.
pub fn show_decision(context: &Context<'_>, decision: &PolicyDecision) {
    let terminal = context.terminal;
    let verdict = match (decision.allowed, decision.data.as_str()) {
        (true, "keep") => terminal.paint(Tone::Good, "Allowed, if the files stay on this device."),
        (true, "remove") => terminal.paint(Tone::Good, "Allowed, if the files are removed."),
        (true, _) => terminal.paint(Tone::Good, "Allowed."),
        (false, _) => terminal.paint(Tone::Bad, "Denied."),
    };
    terminal.line(&format!("  {verdict}"));
    // With a denial, the fields below say the same, better ordered.
    let sentences = decision
        .explanation
        .iter()
        .filter(|_| decision.denials.is_empty());
    for sentence in sentences {
        terminal.line(&format!("  {}", text::full(sentence)));
    }
    for d in &decision.denials {
        terminal.line("");
        let place = format!("{}:{}", text::sentence(&d.file), d.line);
        let fields = [
            ("Decided by", text::sentence(&d.organisation)),
            ("Rule", text::sentence(&d.rule)),
            ("Written in", place),
            ("Because", text::sentence(&d.reason)),
            ("Contact", text::sentence(&d.contact)),
        ];
        for (label, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            context.field(label, value);
        }
    }
    if !decision.allowed && !decision.enforced {
        terminal.line("  It is advice here: you run the daemon yourself, and it keeps to it.");
    }
}
