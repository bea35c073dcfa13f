//! The stages of a sign-out, and the one function that says what comes next.
//!
//! [`next`] looks at facts and not at a remembered position, so a start after a crash needs no
//! special case: what a dead process had proved is simply no longer a fact.

use serde::{Deserialize, Serialize};

/// How often a drain (and what follows it) is repeated before the person is asked.
pub const MAX_ROUNDS: u8 = 3;

/// The stages, in order. Each is a promise about what has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The person saw the plan and agreed to it.
    Planned,
    /// The person proved who they are.
    Authorised,
    /// Every file has a copy in the storage.
    Drained,
    /// A backup was made, where one was asked for.
    BackedUp,
    /// Every copy was read back.
    Verified,
    /// The proven files are gone from this device.
    Removed,
    /// The provider was told to end the session.
    Revoked,
    /// Secrets and state are gone.
    Forgotten,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Planned,
        Self::Authorised,
        Self::Drained,
        Self::BackedUp,
        Self::Verified,
        Self::Removed,
        Self::Revoked,
        Self::Forgotten,
    ];

    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Authorised => "authorised",
            Self::Drained => "drained",
            Self::BackedUp => "backed-up",
            Self::Verified => "verified",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
            Self::Forgotten => "forgotten",
        }
    }
}

/// How far the removal is. Only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// Nothing was touched: the sign-out can be undone.
    NotBegun,
    /// The worker's latch says `removing`: forward only.
    Begun,
    /// Everything proven is gone.
    Done,
}

/// What is known about a sign-out now. What only lives in a process (`drained`, `proven`) is
/// false again after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Policy, decided now, lets it happen.
    pub allowed: bool,
    /// The person proved who they are, for this plan.
    pub authorised: bool,
    /// The last drain left nothing without a copy.
    pub drained: bool,
    /// A backup is wanted and not there yet.
    pub backup_missing: bool,
    /// The worker holds a proof for everything it would remove.
    pub proven: bool,
    /// How far the removal is.
    pub removal: Removal,
    /// The provider was told, or need not be.
    pub revoked: bool,
    /// State and secrets are gone.
    pub forgotten: bool,
    /// Drains in this run that did not lead to the end.
    pub rounds: u8,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Stop: policy denies it. Nothing was removed.
    Deny,
    /// Ask for the password.
    Authorise,
    /// Upload what has no copy.
    Drain,
    /// Stop and name the files that cannot be uploaded or proved.
    AskAboutUnsynced,
    /// Make the backup.
    BackUp,
    /// Read the copies back.
    Verify,
    /// Remove what was proved.
    Remove,
    /// Tell the provider.
    Revoke,
    /// Write the receipt, erase secrets and state.
    Forget,
    /// Nothing is left to do.
    Done,
}

/// What comes next in a sign-out.
///
/// There is no way to [`Step::Remove`] but with a proof, a drained account, an authorised person
/// and, unless the removal has begun, a policy that allows it.
pub fn next(facts: &Facts) -> Step {
    if facts.forgotten {
        return Step::Done;
    }
    if facts.removal == Removal::Done {
        return if facts.revoked {
            Step::Forget
        } else {
            Step::Revoke
        };
    }
    // Half a removal is worse than a whole one, and what is gone was proven: go on.
    if facts.removal == Removal::NotBegun && !facts.allowed {
        return Step::Deny;
    }
    if !facts.authorised {
        return Step::Authorise;
    }
    if !facts.drained {
        return if facts.rounds >= MAX_ROUNDS {
            Step::AskAboutUnsynced
        } else {
            Step::Drain
        };
    }
    if facts.backup_missing {
        return Step::BackUp;
    }
    if !facts.proven {
        return Step::Verify;
    }
    Step::Remove
}

/// The stage that the facts have reached, for people to see.
pub fn stage(facts: &Facts) -> Stage {
    match next(facts) {
        Step::Deny | Step::Authorise => Stage::Planned,
        Step::Drain | Step::AskAboutUnsynced => Stage::Authorised,
        Step::BackUp => Stage::Drained,
        Step::Verify => Stage::BackedUp,
        Step::Remove => Stage::Verified,
        Step::Revoke => Stage::Removed,
        Step::Forget => Stage::Revoked,
        Step::Done => Stage::Forgotten,
    }
}
