//! Typed client proxies, one for each interface. Every call says that it can wait while polkit asks
//! a person, where an agent is there to ask.

use std::collections::BTreeMap;

use zbus::{OwnedFd, OwnedObjectPath, proxy};

use crate::{
    AccountFound, Blocked, ChangePasswordOptions, CollectionStatus, Finding, Inhibitor, JobOutcome,
    Plan, PlanOptions, PolicyDecision, PolicyStatus, Progress, ReceiptSummary,
    ResetPasswordOptions, Result, RetryOptions, SignInOptions, SignOutOptions,
};

/// The daemon as a whole: signing in, policy, receipts.
#[proxy(
    interface = "org.mooring1.Manager",
    default_service = "org.mooring1",
    default_path = "/org/mooring1"
)]
pub trait Manager {
    /// Looks at a storage and at local folders, and changes nothing.
    #[zbus(allow_interactive_auth)]
    fn inspect(&self, provider: &str, options: SignInOptions) -> Result<AccountFound>;
    /// Signs in: makes the identity or checks its password, then brings the data. Answers the job.
    #[zbus(allow_interactive_auth)]
    fn sign_in(
        &self,
        provider: &str,
        identity: &str,
        options: SignInOptions,
    ) -> Result<OwnedObjectPath>;
    /// Reads configuration and policy again, as SIGHUP does.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> Result<()>;
    /// The policy in force.
    #[zbus(allow_interactive_auth)]
    fn show_policy(&self) -> Result<PolicyStatus>;
    /// Checks a policy file, given as an open descriptor (64 KiB at most), and applies nothing.
    #[zbus(allow_interactive_auth)]
    fn check_policy(&self, name: &str, file: OwnedFd) -> Result<Vec<Finding>>;
    /// Checks a signed bundle of policy files (1 MiB at most) and its signature by the keys that this
    /// device trusts, and applies nothing.
    #[zbus(allow_interactive_auth)]
    fn check_bundle(
        &self,
        name: &str,
        bundle: OwnedFd,
        signature: OwnedFd,
    ) -> Result<crate::BundleCheck>;
    /// What a policy file would change for the accounts of this device; applies nothing. A file of
    /// the same name that is in force is thought away.
    #[zbus(allow_interactive_auth)]
    fn simulate_policy(&self, name: &str, file: OwnedFd) -> Result<crate::PolicySimulation>;
    /// The same for a signed bundle (1 MiB at most), which takes the place of the one in force.
    #[zbus(allow_interactive_auth)]
    fn simulate_bundle(
        &self,
        name: &str,
        bundle: OwnedFd,
        signature: OwnedFd,
    ) -> Result<crate::PolicySimulation>;
    /// What policy decides about a verb of an account, for `person`, `device` or `organisation`.
    #[zbus(allow_interactive_auth)]
    fn explain_policy(&self, verb: &str, account: &str, actor: &str) -> Result<PolicyDecision>;
    /// The receipts kept on this device, newest first.
    #[zbus(allow_interactive_auth)]
    fn list_receipts(&self) -> Result<Vec<ReceiptSummary>>;
    /// The text of a receipt (TOML).
    #[zbus(allow_interactive_auth)]
    fn read_receipt(&self, id: &str) -> Result<String>;

    /// Looks at everything the daemon and its accounts stand on; changes nothing.
    #[zbus(allow_interactive_auth)]
    fn diagnose(&self) -> Result<Vec<crate::Diagnosis>>;
    /// Asks a sign-out to wait, as in logind, until every copy of the answered descriptor is closed.
    ///
    /// `what` is `sign-out`. `mode` is `delay` (a sign-out that begins is told by
    /// `Account.SigningOut` and waits, up to a bound) or `block` (none begins, and one that has not
    /// removed anything yet waits). When the daemon goes, the descriptor, the read end of a pipe,
    /// comes to its end.
    #[zbus(allow_interactive_auth)]
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> Result<OwnedFd>;
    /// The inhibitors that are held, oldest first.
    #[zbus(allow_interactive_auth)]
    fn list_inhibitors(&self) -> Result<Vec<Inhibitor>>;
    /// How often sign-outs were refused, by reason, of all that the caller may see.
    #[zbus(allow_interactive_auth)]
    fn list_refusals(&self) -> Result<BTreeMap<String, u64>>;

    /// The version of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> Result<String>;
    /// `session` or `system`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn mode(&self) -> Result<String>;
    /// `none`, `in-force`, `last-good`, `expired` or `invalid`.
    #[zbus(property)]
    fn policy_state(&self) -> Result<String>;
}

/// One identity at one provider on this device.
#[proxy(interface = "org.mooring1.Account", default_service = "org.mooring1")]
pub trait Account {
    /// What a sign-out would do. Looks at the files anew and changes nothing.
    #[zbus(allow_interactive_auth)]
    fn plan_sign_out(&self, options: PlanOptions) -> Result<Plan>;
    /// Signs out as planned: backs up, verifies, removes, revokes. Answers the job.
    #[zbus(allow_interactive_auth)]
    fn sign_out(&self, digest: &str, options: SignOutOptions) -> Result<OwnedObjectPath>;
    /// Sets another password, by the one that holds.
    #[zbus(allow_interactive_auth)]
    fn change_password(&self, options: ChangePasswordOptions) -> Result<()>;
    /// Sets another password, and another recovery code, by the recovery code that holds.
    #[zbus(allow_interactive_auth)]
    fn reset_password(&self, options: ResetPasswordOptions) -> Result<()>;

    /// Proves who the person is, by the password (a descriptor), and begins the session anew: what
    /// stopped because policy found it too old goes on.
    #[zbus(allow_interactive_auth)]
    fn reauthenticate(&self, password: OwnedFd) -> Result<()>;

    /// With `dry` what is wrong with Mooring's own state of the account. Without, a damaged or missing
    /// one is put aside, and the answer is where: the next sync fills the new one by comparing bytes.
    /// Empty when all is well.
    #[zbus(allow_interactive_auth)]
    fn repair(&self, dry: bool) -> Result<String>;

    /// Drops the account without a sign-out: every file stays where it is, nothing is proved and
    /// nothing removed. Also while a job of it waits. Answers the receipt that says so.
    #[zbus(allow_interactive_auth)]
    fn forget(&self) -> Result<String>;

    /// Tells apps to save what is open: a sign-out begins, now that it is authorised (`true`), or
    /// will not happen after all (`false`).
    #[zbus(signal)]
    fn signing_out(&self, begins: bool) -> Result<()>;

    /// The immutable ID, the last part of the object path.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> Result<String>;
    /// The kind of provider, e.g. `local`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn provider(&self) -> Result<String>;
    /// Who is signed in, e.g. `alice`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn identity(&self) -> Result<String>;
    /// Where the storage is.
    #[zbus(property(emits_changed_signal = "const"))]
    fn storage(&self) -> Result<Vec<u8>>;
    /// `signed-out`, `signing-in`, `active`, `needs-attention` or `signing-out`.
    #[zbus(property)]
    fn state(&self) -> Result<String>;
    /// With `needs-attention` the reason, with `signing-out` the stage, else empty.
    #[zbus(property)]
    fn state_detail(&self) -> Result<String>;
    /// A sentence about the state: what is wrong and what to do, or empty.
    #[zbus(property)]
    fn state_message(&self) -> Result<String>;
    /// The job under way, or `/`.
    #[zbus(property)]
    fn job(&self) -> Result<OwnedObjectPath>;
    /// When this device signed in.
    #[zbus(property)]
    fn signed_in_at(&self) -> Result<u64>;
}

/// The capability of an account to keep files.
#[proxy(
    interface = "org.mooring1.Account.Files",
    default_service = "org.mooring1"
)]
pub trait Files {
    /// Brings both sides in step. Answers the job.
    #[zbus(allow_interactive_auth)]
    fn sync(&self) -> Result<OwnedObjectPath>;
    /// Takes a backup: a dated folder of plain files, below the folder `to`. Answers the job.
    #[zbus(allow_interactive_auth)]
    fn backup(&self, to: &[u8]) -> Result<OwnedObjectPath>;
    /// Restores from a backup's folder, and overwrites nothing. Answers the job.
    #[zbus(allow_interactive_auth)]
    fn restore(&self, from: &[u8], options: crate::RestoreOptions) -> Result<OwnedObjectPath>;
    /// Reads every copy back from the storage and compares. Answers the job.
    #[zbus(allow_interactive_auth)]
    fn verify(&self) -> Result<OwnedObjectPath>;
    /// Says how one file stands, and why. `file` is an absolute path.
    #[zbus(allow_interactive_auth)]
    fn why(&self, file: &[u8]) -> Result<crate::WhyAnswer>;
    /// The last backup.
    #[zbus(property)]
    fn last_backup(&self) -> Result<crate::LastBackup>;
    /// Answers the question about held deletions, for all of them: `delete` carries them over,
    /// `keep` brings the files back. Answers the job, which is a sync.
    #[zbus(allow_interactive_auth)]
    fn resolve(&self, answer: &str) -> Result<OwnedObjectPath>;
    /// What deletions took away in the last thirty days, newest first, at most 10,000: where it
    /// was, and the day (`YYYY-MM-DD`, UTC).
    #[zbus(allow_interactive_auth)]
    fn list_trash(&self) -> Result<Vec<(Vec<u8>, String)>>;
    /// The conflict copies of the account, at most 10,000, ordered by path.
    #[zbus(allow_interactive_auth)]
    fn list_conflicts(&self) -> Result<Vec<crate::ConflictCopy>>;
    /// Brings a file back from the trash, if it has the bytes that were deleted. Answers the job, which
    /// is a sync.
    #[zbus(allow_interactive_auth)]
    fn undelete(&self, file: &[u8]) -> Result<OwnedObjectPath>;
    /// The same although it does not have the bytes any more that were deleted: then it comes back
    /// as it is, under a name that says so. Answers the job, which is a sync.
    fn undelete_damaged(&self, file: &[u8]) -> Result<OwnedObjectPath>;
    /// Stops keeping both sides in step by itself. Lasts until `resume`, over restarts.
    #[zbus(allow_interactive_auth)]
    fn pause(&self) -> Result<()>;
    /// Keeps both sides in step again, beginning now.
    #[zbus(allow_interactive_auth)]
    fn resume(&self) -> Result<()>;

    /// Whether both sides are not kept in step by themselves.
    #[zbus(property)]
    fn paused(&self) -> Result<bool>;
    /// Why nothing is synced by itself just now, although it is not paused: `on-battery`,
    /// `on-metered` (a metered network), or empty.
    #[zbus(property)]
    fn resting(&self) -> Result<String>;

    /// The collections and how they stand.
    #[zbus(property)]
    fn collections(&self) -> Result<Vec<CollectionStatus>>;
    /// When the account last synced completely, or 0.
    #[zbus(property)]
    fn last_sync(&self) -> Result<u64>;
}

/// The capability of an account to see the other devices that use its storage.
#[proxy(
    interface = "org.mooring1.Account.Devices",
    default_service = "org.mooring1"
)]
pub trait Devices {
    /// The devices that use the storage, this one first, then those that left, newest first.
    #[zbus(allow_interactive_auth)]
    fn list(&self) -> Result<Vec<crate::Device>>;
    /// Asks another device, by its sign-in ID, to sign out; answers the request's ID. It does so
    /// when it sees the request and its own policy allows it; [`DevicesProxy::list`] tells.
    #[zbus(allow_interactive_auth)]
    fn sign_out(&self, device: &str) -> Result<String>;
}

/// A long operation.
#[proxy(interface = "org.mooring1.Job", default_service = "org.mooring1")]
pub trait Job {
    /// Stops the job and undoes what it can. After the first unlink of a sign-out: `Busy`.
    #[zbus(allow_interactive_auth)]
    fn cancel(&self) -> Result<()>;
    /// Tries again what a blocked job waits for.
    #[zbus(allow_interactive_auth)]
    fn retry(&self, options: RetryOptions) -> Result<()>;
    /// Gives the password that a job waits for, as a descriptor.
    #[zbus(allow_interactive_auth)]
    fn authenticate(&self, password: OwnedFd) -> Result<()>;

    /// Tells that the job has ended; the same as the property `Outcome`.
    #[zbus(signal)]
    fn finished(&self, outcome: JobOutcome) -> Result<()>;

    /// The job's number.
    #[zbus(property(emits_changed_signal = "const"))]
    fn number(&self) -> Result<u64>;
    /// `sign-in`, `sync`, `sign-out`, `backup`, `restore` or `verify`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> Result<String>;
    /// The account.
    #[zbus(property(emits_changed_signal = "const"))]
    fn account(&self) -> Result<OwnedObjectPath>;
    /// The stages the job goes through.
    #[zbus(property(emits_changed_signal = "const"))]
    fn stages(&self) -> Result<Vec<String>>;
    /// The stage last reached, or empty.
    #[zbus(property)]
    fn stage(&self) -> Result<String>;
    /// `running`, `blocked` or `finished`.
    #[zbus(property)]
    fn state(&self) -> Result<String>;
    /// How far it is. Changes are told at most ten times a second.
    #[zbus(property)]
    fn progress(&self) -> Result<Progress>;
    /// What it waits for.
    #[zbus(property)]
    fn blocked(&self) -> Result<Blocked>;
    /// Whether `Cancel` can still undo it.
    #[zbus(property)]
    fn cancellable(&self) -> Result<bool>;
    /// How it ended.
    #[zbus(property)]
    fn outcome(&self) -> Result<JobOutcome>;
}
