//! What policy and settings demand of an account in use: of its passwords, and of the age of its
//! session.

use mooring_core::attempts::Slowing;
use mooring_core::identity::Password;
use mooring_core::policy::SessionLimit;

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::rules::Rules;

/// The kind of provider whose passwords this device checks.
pub(crate) const LOCAL: &str = "local";

/// How wrong passwords of an identity are slowed down.
pub fn slowing(rules: &Rules, identity: &str) -> Slowing {
    let in_force = rules.in_force();
    let policy = in_force.standing.policy();
    policy
        .terms(LOCAL, identity, &in_force.circumstances)
        .slowing
}

impl Broker {
    /// How old the session of an account may become, if anybody says.
    pub fn session_limit(&self, account: &Account) -> Option<SessionLimit> {
        let in_force = self.rules.in_force();
        let policy = in_force.standing.policy();
        let now = &in_force.circumstances;
        policy
            .terms(&account.provider, &account.identity, now)
            .session
    }

    /// Checks a password that somebody chose for an identity.
    ///
    /// # Errors
    /// [`Failure::InvalidArgument`] when it is too short, and who wants it longer.
    pub fn expect_long_enough(&self, identity: &str, password: &Password) -> Result<(), Failure> {
        let in_force = self.rules.in_force();
        let usual = in_force.settings.min_password;
        let policy = in_force.standing.policy();
        let demanded = policy
            .terms(LOCAL, identity, &in_force.circumstances)
            .min_length;
        let (least, said) = match demanded {
            Some((demanded, said)) if demanded > usual => (demanded, format!(". {said}")),
            _ => (usual, String::new()),
        };
        if password.characters() >= usize::from(least) {
            return Ok(());
        }
        Err(Failure::InvalidArgument(format!(
            "the new password is too short: it needs {least} characters at least{said}"
        )))
    }
}
