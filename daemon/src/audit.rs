//! What policy decided, for whoever has to answer for it: one entry a decision in the journal, with
//! fields that can be searched for (systemd.journal-fields(7), JOURNAL_NATIVE_PROTOCOL). The texts
//! to the message IDs are in `systemd/catalog/mooring.catalog`.
//!
//! An entry is sent without waiting: a journal that does not take it must not hold up the broker.
//! Then, and where there is no journal, it goes where everything else is logged.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use mooring_core::policy::bundle::Bundle;
use mooring_core::policy::{Actor, Decision, Denial, Verb};

use crate::account::Account;
use crate::broker::Broker;

/// Policy let something happen.
pub const ALLOWED: &str = "c21555439085462e87ebf572b9060ed9";
/// Policy let something not happen.
pub const DENIED: &str = "c9455f424ee142fba087b07198d9bd81";
/// Another policy is in force, or the same one otherwise.
pub const POLICY: &str = "01cc61a7a3a74604a917ae5ecd4d52f4";
/// The signed bundle was given up.
pub const RELEASED: &str = "7795e84bb33b4fa4b7870c683d0ce6c8";

/// Where the journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The longest value of a field, in bytes.
const MAX_VALUE: usize = 1_024;
/// The most rules that one entry names. With [`MAX_VALUE`], an entry fits into a datagram.
const MAX_RULES: usize = 16;

/// `LOG_NOTICE` and `LOG_INFO` of syslog(3).
const NOTICE: char = '5';
const INFO: char = '6';

/// An entry while it is made.
struct Entry {
    id: &'static str,
    bytes: Vec<u8>,
    message: String,
}

impl Entry {
    fn new(id: &'static str, priority: char, message: String) -> Self {
        let entry = Self {
            id,
            bytes: Vec::new(),
            message: one_line(&message),
        };
        let message = entry.message.clone();
        entry
            .with("MESSAGE", &message)
            .with("MESSAGE_ID", id)
            .with("PRIORITY", &priority.to_string())
            .with("SYSLOG_IDENTIFIER", "mooringd")
    }

    /// Adds a field; of a name that is there already, one more value.
    fn with(mut self, name: &str, value: &str) -> Self {
        let value = one_line(value);
        self.bytes
            .extend_from_slice(format!("{name}={value}\n").as_bytes());
        self
    }

    fn send(self, journal: &Path) {
        if let Err(error) = send(&self.bytes, journal) {
            tracing::debug!(%error, "the journal takes no entries");
            tracing::info!(id = self.id, "{}", self.message);
        }
    }
}

fn send(bytes: &[u8], journal: &Path) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(bytes, journal).map(|_| ())
}

/// A value on one line and within its bound: what others named must not look like a field.
fn one_line(value: &str) -> String {
    let mut line = String::new();
    for c in value.chars() {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
        if line.len() > MAX_VALUE {
            line.push('…');
            break;
        }
    }
    line
}

/// Whom a decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The account's ID; empty before there is one.
    pub account: &'a str,
    /// Its identity.
    pub identity: &'a str,
    /// The kind of its provider.
    pub provider: &'a str,
    /// What is wanted.
    pub verb: Verb,
    /// Who wants it.
    pub actor: Actor,
}

impl<'a> Subject<'a> {
    /// A verb about an account.
    pub fn of(account: &'a Account, verb: Verb, actor: Actor) -> Self {
        Self {
            account: &account.id,
            identity: &account.identity,
            provider: &account.provider,
            verb,
            actor,
        }
    }
}

fn decided(uid: u32, version: u64, about: Subject<'_>, decision: &Decision) -> Entry {
    let against: Vec<&Denial> = decision.denials.iter().chain(&decision.lacking).collect();
    let (verb, identity) = (about.verb.name(), about.identity);
    let (id, priority, word) = match against.is_empty() {
        true => (ALLOWED, INFO, "allowed"),
        false => (DENIED, NOTICE, "denied"),
    };
    let mut said = format!(
        "policy: {verb} of {identity} by {} {word}",
        about.actor.name()
    );
    if let Some(first) = against.first() {
        said = format!("{said}: {}", place(first));
    }
    let mut entry = Entry::new(id, priority, said)
        .with("MOORING_VERB", verb)
        .with("MOORING_ACTOR", about.actor.name())
        .with("MOORING_DECISION", word)
        .with("MOORING_ACCOUNT", about.account)
        .with("MOORING_IDENTITY", identity)
        .with("MOORING_PROVIDER", about.provider)
        .with("MOORING_UID", &uid.to_string())
        .with("MOORING_POLICY_VERSION", &version.to_string());
    for denial in against.into_iter().take(MAX_RULES) {
        entry = entry.with("MOORING_RULE", &place(denial));
    }
    entry
}

/// A rule and where it is written.
fn place(denial: &Denial) -> String {
    format!("{} ({}:{})", denial.rule, denial.file, denial.line)
}

/// Tells that a policy is in force, and in which state.
pub fn policy(state: &str, files: usize, bundle: Option<&Bundle>) {
    policy_entry(state, files, bundle).send(Path::new(JOURNAL));
}

fn policy_entry(state: &str, files: usize, bundle: Option<&Bundle>) -> Entry {
    let version = bundle.map_or(0, |bundle| bundle.version);
    let mut entry = Entry::new(
        POLICY,
        NOTICE,
        format!("policy: {state}, {files} files, bundle {version}"),
    )
    .with("MOORING_POLICY_STATE", state)
    .with("MOORING_POLICY_VERSION", &version.to_string());
    if let Some(bundle) = bundle {
        entry = entry
            .with("MOORING_ORGANISATION", &bundle.organisation)
            .with("MOORING_KEY", &bundle.key);
    }
    entry
}

/// Tells that the signed bundle was given up.
pub fn released(bundle: &Bundle) {
    released_entry(bundle).send(Path::new(JOURNAL));
}

fn released_entry(bundle: &Bundle) -> Entry {
    let Bundle {
        organisation,
        version,
        ..
    } = bundle;
    let said = format!("policy: the bundle of {organisation}, version {version}, was given up");
    Entry::new(RELEASED, NOTICE, said)
        .with("MOORING_ORGANISATION", organisation)
        .with("MOORING_POLICY_VERSION", &version.to_string())
        .with("MOORING_KEY", &bundle.key)
}

impl Broker {
    /// Tells what policy decided about something that was really to happen.
    pub fn audit(&self, about: Subject<'_>, decision: &Decision) {
        let in_force = self.rules.in_force();
        let version = in_force
            .standing
            .bundle()
            .map_or(0, |bundle| bundle.version);
        decided(self.uid, version, about, decision).send(Path::new(JOURNAL));
    }
}

#[cfg(test)]
mod tests;
