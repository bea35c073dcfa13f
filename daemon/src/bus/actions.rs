//! What polkit is asked before a method is let in: one action for each thing that a person does.
//!
//! [`ACTIONS`] lists every method of the contract. Tests hold it to the introspection and to the
//! actions that `systemd/polkit/org.mooring1.policy` describes.
//!
//! Where the organisation has a say, its policy is asked first ([`Arrived::let_in`]): of a sign-in
//! and of a sign-out. A backup it never denies; of another device's sign-out that device's policy
//! decides, and of a job the one that is in force when it goes on.
//!
//! [`Arrived::let_in`]: super::gate::Arrived::let_in

/// Something that polkit says who may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Look at one's own accounts, and at what policy says.
    Read,
    /// Sign in to an account.
    SignIn,
    /// Sign out of an account of one's own.
    SignOut,
    /// Keep one's own accounts in step: now, by itself, and what that leaves to be answered.
    Sync,
    /// Take a backup of one's own account.
    Backup,
    /// Bring files back from a backup, which overwrites nothing.
    Restore,
    /// Answer, retry or cancel an operation of one's own that was let in when it began.
    ManageJobs,
    /// Ask another device to sign out.
    ManageDevices,
    /// Set another password of an account.
    ChangePassword,
    /// Ask sign-outs to wait.
    Inhibit,
    /// Act on the daemon, or on accounts of other people.
    Administer,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::Read,
        Self::SignIn,
        Self::SignOut,
        Self::Sync,
        Self::Backup,
        Self::Restore,
        Self::ManageJobs,
        Self::ManageDevices,
        Self::ChangePassword,
        Self::Inhibit,
        Self::Administer,
    ];

    /// Its name in polkit.
    pub fn id(self) -> &'static str {
        match self {
            Self::Read => "org.mooring1.read",
            Self::SignIn => "org.mooring1.sign-in",
            Self::SignOut => "org.mooring1.sign-out",
            Self::Sync => "org.mooring1.sync",
            Self::Backup => "org.mooring1.backup",
            Self::Restore => "org.mooring1.restore",
            Self::ManageJobs => "org.mooring1.manage-jobs",
            Self::ManageDevices => "org.mooring1.manage-devices",
            Self::ChangePassword => "org.mooring1.change-password",
            Self::Inhibit => "org.mooring1.inhibit",
            Self::Administer => "org.mooring1.administer",
        }
    }

    /// What it is, to end the sentence "… may not".
    pub fn words(self) -> &'static str {
        match self {
            Self::Read => "look at accounts",
            Self::SignIn => "sign in to an account",
            Self::SignOut => "sign out of an account",
            Self::Sync => "sync an account",
            Self::Backup => "take a backup",
            Self::Restore => "restore a backup",
            Self::ManageJobs => "act on a running operation",
            Self::ManageDevices => "ask another device to sign out",
            Self::ChangePassword => "change the password of an account",
            Self::Inhibit => "make sign-outs wait",
            Self::Administer => "act on Mooring itself or on accounts of other people",
        }
    }
}

/// The action of every method that can be called.
pub const ACTIONS: &[(&str, &str, Action)] = &[
    ("org.mooring1.Manager", "Inspect", Action::Read),
    ("org.mooring1.Manager", "SignIn", Action::SignIn),
    ("org.mooring1.Manager", "Reload", Action::Administer),
    ("org.mooring1.Manager", "ShowPolicy", Action::Read),
    ("org.mooring1.Manager", "CheckPolicy", Action::Read),
    ("org.mooring1.Manager", "CheckBundle", Action::Read),
    ("org.mooring1.Manager", "ExplainPolicy", Action::Read),
    ("org.mooring1.Manager", "SimulatePolicy", Action::Read),
    ("org.mooring1.Manager", "SimulateBundle", Action::Read),
    ("org.mooring1.Manager", "ListReceipts", Action::Read),
    ("org.mooring1.Manager", "ReadReceipt", Action::Read),
    ("org.mooring1.Manager", "Diagnose", Action::Read),
    ("org.mooring1.Manager", "Inhibit", Action::Inhibit),
    ("org.mooring1.Manager", "ListInhibitors", Action::Read),
    ("org.mooring1.Manager", "ListRefusals", Action::Read),
    ("org.mooring1.Account", "PlanSignOut", Action::Read),
    ("org.mooring1.Account", "SignOut", Action::SignOut),
    (
        "org.mooring1.Account",
        "ChangePassword",
        Action::ChangePassword,
    ),
    (
        "org.mooring1.Account",
        "ResetPassword",
        Action::ChangePassword,
    ),
    ("org.mooring1.Account", "Reauthenticate", Action::Sync),
    ("org.mooring1.Account", "Repair", Action::Sync),
    ("org.mooring1.Account", "Forget", Action::Administer),
    ("org.mooring1.Account.Files", "Sync", Action::Sync),
    ("org.mooring1.Account.Files", "Backup", Action::Backup),
    ("org.mooring1.Account.Files", "Restore", Action::Restore),
    ("org.mooring1.Account.Files", "Verify", Action::Sync),
    ("org.mooring1.Account.Files", "Why", Action::Read),
    ("org.mooring1.Account.Files", "Resolve", Action::Sync),
    ("org.mooring1.Account.Files", "ListTrash", Action::Read),
    ("org.mooring1.Account.Files", "ListConflicts", Action::Read),
    ("org.mooring1.Account.Files", "Undelete", Action::Sync),
    (
        "org.mooring1.Account.Files",
        "UndeleteDamaged",
        Action::Sync,
    ),
    ("org.mooring1.Account.Files", "Pause", Action::Sync),
    ("org.mooring1.Account.Files", "Resume", Action::Sync),
    ("org.mooring1.Account.Devices", "List", Action::Read),
    (
        "org.mooring1.Account.Devices",
        "SignOut",
        Action::ManageDevices,
    ),
    ("org.mooring1.Job", "Cancel", Action::ManageJobs),
    ("org.mooring1.Job", "Retry", Action::ManageJobs),
    ("org.mooring1.Job", "Authenticate", Action::ManageJobs),
];

/// The action of a method; none for what is not listed, and so is open to nobody.
pub fn action_of(interface: &str, member: &str) -> Option<Action> {
    ACTIONS
        .iter()
        .find(|(i, m, _)| *i == interface && *m == member)
        .map(|(_, _, action)| *action)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::collections::BTreeSet;

    use super::*;

    const POLICY: &str = include_str!("../../../systemd/polkit/org.mooring1.policy");

    fn described() -> Vec<&'static str> {
        let actions = POLICY.split("<action id=\"").skip(1);
        actions
            .map(|rest| rest.split('"').next().unwrap())
            .collect()
    }

    #[test]
    fn every_method_has_one_action() {
        let listed: BTreeSet<_> = ACTIONS.iter().map(|(i, m, _)| (*i, *m)).collect();
        assert_eq!(listed.len(), ACTIONS.len(), "a method is listed twice");
        let mut open = BTreeSet::new();
        for (interface, xml) in mooring_api::INTROSPECTION {
            for rest in xml.split("<method name=\"").skip(1) {
                open.insert((interface, rest.split('"').next().unwrap()));
            }
        }
        assert_eq!(listed, open);
        assert_eq!(action_of("org.mooring1.Manager", "Nothing"), None);
        assert_eq!(action_of("org.mooring1.Job", "SignOut"), None);
    }

    #[test]
    fn the_policy_file_describes_these_actions_and_no_others() {
        let ids: BTreeSet<_> = Action::ALL.iter().map(|action| action.id()).collect();
        assert_eq!(ids.len(), Action::ALL.len());
        let described = described();
        assert_eq!(described.len(), ids.len(), "an action is described twice");
        assert_eq!(described.into_iter().collect::<BTreeSet<_>>(), ids);
    }

    #[test]
    fn every_action_is_asked_for_by_some_method() {
        let asked: BTreeSet<_> = ACTIONS.iter().map(|(_, _, action)| *action).collect();
        assert_eq!(asked, Action::ALL.into_iter().collect());
    }

    /// polkit lets nobody but root ask about other people's calls, except an action's owner.
    #[test]
    fn the_daemons_user_owns_every_action() {
        let owner =
            "<annotate key=\"org.freedesktop.policykit.owner\">unix-user:mooring</annotate>";
        for rest in POLICY.split("<action id=\"").skip(1) {
            let action = rest.split("</action>").next().unwrap();
            assert!(action.contains(owner), "{action}");
        }
    }
}
