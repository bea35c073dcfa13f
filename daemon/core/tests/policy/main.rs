//! Policy as its users see it: texts in, decisions and problems out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bundles;
mod conditions;
mod decisions;
mod hostile;
mod keys;
mod laws;
mod samples;
mod standing;

use mooring_core::policy::{Actor, Facts, Policy, Source, Verb, unite};

/// Whose rules they are.
const HEAD: &str = "[organisation]\nname = \"Example GmbH\"\ncontact = \"it@example.org\"\n";

fn source(path: &str, text: impl Into<String>) -> Source {
    Source {
        path: path.to_owned(),
        text: text.into(),
    }
}

/// A policy of one file: [`HEAD`] (lines 1 to 3) and then the text, from line 4 on.
fn policy(rules: &str) -> Policy {
    unite(&[source("a.toml", format!("{HEAD}{rules}"))]).unwrap()
}

fn facts(actor: Actor, provider: &str, identity: &str) -> Facts {
    Facts::new(Verb::SignOut, actor, provider, identity)
}

/// The person `alice` at `local`.
fn alice() -> Facts {
    facts(Actor::Person, "local", "alice")
}
