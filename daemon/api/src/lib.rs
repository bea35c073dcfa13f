//! The D-Bus contract of Mooring (`org.mooring1`): names, wire types, errors and client proxies.
//!
//! `mooringctl` and every other client use this crate and nothing else of Mooring. The interfaces
//! are described, for readers in any language, by the XML files beside this crate in
//! `introspection/`; a test holds the running daemon to them.
//!
//! Conventions on the bus:
//! - Paths of files are byte arrays (`ay`) without a trailing NUL: a Linux file name is bytes.
//! - Times are seconds since the Unix epoch (`t`), sizes are bytes (`t`).
//! - Secrets enter and leave as file descriptors (`h`), never as strings.
//! - Dictionaries (`a{sv}`) may grow keys; readers ignore the ones they do not know.

mod error;
mod proxy;
mod types;

pub use error::{Error, Result};
pub use proxy::DevicesProxy;
pub use proxy::{
    AccountProxy, FilesProxy, Finished, FinishedStream, JobProxy, ManagerProxy, SigningOut,
    SigningOutStream,
};
pub use types::ConflictCopy;
pub use types::{
    AccountFound, Blocked, Blocker, BundleCheck, ChangePasswordOptions, CollectionSpec,
    CollectionStatus, Denial, Finding, Inhibitor, JobOutcome, Plan, PlanCollection, PlanOptions,
    PolicyDecision, PolicyStatus, Progress, ReceiptSummary, ResetPasswordOptions, RetryOptions,
    ReturnCheck, SignInOptions, SignOutOptions,
};
pub use types::{Device, Diagnosis};
pub use types::{LastBackup, Problem, RestoreOptions, WhyAnswer};
pub use types::{PolicyChange, PolicySimulation};

/// The well-known bus name of the daemon.
pub const BUS_NAME: &str = "org.mooring1";
/// The object that carries `org.freedesktop.DBus.ObjectManager` and [`ManagerProxy`]'s interface.
pub const ROOT_PATH: &str = "/org/mooring1";
/// Accounts live below this path, one object each: `/org/mooring1/accounts/ID`.
pub const ACCOUNTS_PATH: &str = "/org/mooring1/accounts";
/// Jobs live below this path, one object each: `/org/mooring1/jobs/N`.
pub const JOBS_PATH: &str = "/org/mooring1/jobs";
/// The longest secret that is read from a file descriptor, in bytes.
pub const MAX_SECRET_BYTES: usize = 4096;
/// How long the daemon waits for a secret to arrive on a file descriptor, in seconds.
pub const SECRET_TIMEOUT_SECONDS: u64 = 5;

/// The checked-in introspection XML of every interface, by interface name.
pub const INTROSPECTION: [(&str, &str); 5] = [
    (
        "org.mooring1.Manager",
        include_str!("../introspection/org.mooring1.Manager.xml"),
    ),
    (
        "org.mooring1.Account",
        include_str!("../introspection/org.mooring1.Account.xml"),
    ),
    (
        "org.mooring1.Account.Files",
        include_str!("../introspection/org.mooring1.Account.Files.xml"),
    ),
    (
        "org.mooring1.Account.Devices",
        include_str!("../introspection/org.mooring1.Account.Devices.xml"),
    ),
    (
        "org.mooring1.Job",
        include_str!("../introspection/org.mooring1.Job.xml"),
    ),
];
