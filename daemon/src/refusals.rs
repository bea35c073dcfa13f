//! How often sign-outs were refused, and why: counted for whoever watches many devices. No account
//! and no person is named, and the reasons are few; so a count may outlive the account.

use std::collections::BTreeMap;

use crate::broker::Broker;
use crate::bus::error::to_api;
use crate::failure::Failure;

/// The reasons, and the errors on the bus that each stands for.
const REASONS: [(&str, &[&str]); 8] = [
    ("policy", &["PolicyDenied"]),
    ("backup", &["BackupRequired"]),
    ("password", &["IncorrectPassword", "TooManyAttempts"]),
    ("unsynced", &["UnsyncedData"]),
    ("inhibited", &["Inhibited"]),
    ("plan-stale", &["PlanStale"]),
    ("offline", &["Offline"]),
    ("secrets-locked", &["SecretsLocked"]),
];

/// The reason that an error is one of; none for what is no refusal, as a person's own `Cancelled`.
fn reason(error: &str) -> Option<&'static str> {
    let of = |(_, errors): &&(&str, &[&str])| errors.contains(&error);
    REASONS.iter().find(of).map(|(reason, _)| *reason)
}

impl Broker {
    /// Counts a refused sign-out.
    pub fn count_refusal(&self, failure: &Failure) {
        self.count_refusal_as(to_api(failure).kind());
    }

    /// The same, by the name of an error on the bus.
    pub fn count_refusal_as(&self, error: &str) {
        if let Some(reason) = reason(error)
            && let Err(error) = self.store.count_refusal(reason)
        {
            // Nobody is to be kept by it: the refusal stands.
            tracing::warn!(%error, reason, "a refused sign-out is not counted");
        }
    }

    /// How often sign-outs were refused, by every reason there is.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn refusals(&self) -> Result<BTreeMap<String, u64>, Failure> {
        let counted = self.store.refusals()?;
        let count = |(reason, _): &(&str, _)| {
            let times = counted.get(*reason).copied().unwrap_or_default();
            ((*reason).to_owned(), times)
        };
        Ok(REASONS.iter().map(count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_gives_up_is_no_refusal() {
        assert_eq!(reason("TooManyAttempts"), Some("password"));
        assert_eq!(reason("PolicyDenied"), Some("policy"));
        for none in ["Cancelled", "NotFound", "Busy", "ReauthRequired", ""] {
            assert_eq!(reason(none), None, "{none}");
        }
    }
}
