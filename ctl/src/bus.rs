//! The daemon as this program sees it: the connection, the accounts, the jobs.

pub mod find;

use std::collections::HashMap;

use mooring_api::{
    ACCOUNTS_PATH, AccountProxy, BUS_NAME, Blocked, CollectionStatus, FilesProxy, JOBS_PATH,
    JobOutcome, JobProxy, ManagerProxy, Progress, ROOT_PATH,
};
use zbus::names::OwnedInterfaceName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, DeserializeDict, OwnedObjectPath, OwnedVariant, Type};

use crate::exit::{Exit, Failure, Result};
use crate::job::watch::Watch;
use crate::text;

use find::{Choice, Kind};

/// The properties of an account, read at once.
#[derive(Debug, Clone, Default, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "PascalCase")]
pub struct AccountState {
    /// The immutable ID.
    pub id: String,
    /// The kind of provider.
    pub provider: String,
    /// Who is signed in.
    pub identity: String,
    /// Where the storage is.
    pub storage: Vec<u8>,
    /// The state.
    pub state: String,
    /// With `needs-attention` the reason, with `signing-out` the stage.
    pub state_detail: String,
    /// What is wrong and what to do.
    pub state_message: String,
    /// The job under way, or `/`.
    pub job: OwnedObjectPath,
    /// When this device signed in.
    pub signed_in_at: u64,
}

/// The properties of an account that keeps files.
#[derive(Debug, Clone, Default, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "PascalCase")]
pub struct FilesState {
    /// The collections.
    pub collections: Vec<CollectionStatus>,
    /// When the account last synced completely, or 0.
    pub last_sync: u64,
    /// Whether it is not kept in step by itself.
    pub paused: bool,
    /// Why nothing is synced by itself just now, although it is not paused; or empty.
    pub resting: Option<String>,
    /// The last backup.
    pub last_backup: Option<mooring_api::LastBackup>,
}

/// The properties of a job, read at once, so that they belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "PascalCase")]
pub struct JobState {
    /// The number.
    pub number: u64,
    /// `sign-in`, `sync`, `sign-out`, `backup`, `restore` or `verify`.
    pub kind: String,
    /// The account.
    pub account: OwnedObjectPath,
    /// The stages it goes through.
    pub stages: Vec<String>,
    /// The stage last reached.
    pub stage: String,
    /// `running`, `blocked` or `finished`.
    pub state: String,
    /// How far it is.
    pub progress: Progress,
    /// What it waits for.
    pub blocked: Blocked,
    /// Whether `Cancel` can still undo it.
    pub cancellable: bool,
    /// How it ended.
    pub outcome: JobOutcome,
}

/// An account on this device.
pub struct Account {
    /// Its object.
    pub path: OwnedObjectPath,
    /// What it says of itself.
    pub state: AccountState,
    /// Its files, when it keeps any.
    pub files: Option<FilesState>,
}

/// The connection to the daemon.
pub struct Daemon {
    connection: Connection,
    bus: Kind,
    /// The daemon as a whole.
    pub manager: ManagerProxy<'static>,
    /// What the daemon's jobs tell, from before the first call on.
    pub watch: Watch,
}

type Objects = HashMap<OwnedObjectPath, HashMap<OwnedInterfaceName, HashMap<String, OwnedVariant>>>;

impl Daemon {
    /// Connects to the bus that the person wants, or that the daemon is on.
    ///
    /// # Errors
    /// [`Exit::Unreachable`] when there is no bus.
    pub async fn connect(choice: Choice) -> Result<Self> {
        let (connection, bus) = choice.connect().await?;
        let watch = Watch::new(&connection).await?;
        let manager = ManagerProxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        Ok(Self {
            connection,
            bus,
            manager,
            watch,
        })
    }

    /// Which bus it is.
    pub fn bus(&self) -> Kind {
        self.bus
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Every account, by identity.
    ///
    /// # Errors
    /// Whatever the daemon answers.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let mut accounts = Vec::new();
        for (path, interfaces) in self.objects(ACCOUNTS_PATH).await? {
            let state = match self.properties(&path, "org.mooring1.Account").await {
                Ok(state) => state,
                // It was forgotten between the list and the look.
                Err(f) if f.kind == "NotFound" => continue,
                Err(f) => return Err(f),
            };
            let files = if interfaces.iter().any(|i| i == "org.mooring1.Account.Files") {
                Some(self.properties(&path, "org.mooring1.Account.Files").await?)
            } else {
                None
            };
            accounts.push(Account { path, state, files });
        }
        accounts.sort_by(|a, b| {
            (&a.state.identity, &a.state.id).cmp(&(&b.state.identity, &b.state.id))
        });
        Ok(accounts)
    }

    /// The account of this identity or ID; without a name the only one there is.
    ///
    /// # Errors
    /// [`Exit::Failed`] when there is none, [`Exit::Usage`] when the name fits several.
    pub async fn account(&self, name: Option<&str>) -> Result<Account> {
        let mut accounts = self.accounts().await?;
        let Some(name) = name else {
            return match accounts.len() {
                1 => Ok(accounts.remove(0)),
                0 => Err(none_signed_in()),
                _ => Err(Failure::usage("There are several accounts: say which.")
                    .hint(format!("Signed in here: {}.", names(&accounts)))),
            };
        };
        if let Some(i) = accounts.iter().position(|a| a.state.id == name) {
            return Ok(accounts.swap_remove(i));
        }
        let fits: Vec<usize> = (0..accounts.len())
            .filter(|&i| accounts[i].state.identity == name)
            .collect();
        match fits[..] {
            [i] => Ok(accounts.swap_remove(i)),
            [] if accounts.is_empty() => Err(none_signed_in()),
            [] => {
                let shown = text::path(name.as_bytes());
                Err(Failure::new(
                    Exit::Failed,
                    format!("There is no account {shown} on this device."),
                )
                .kind("NotFound")
                .hint(format!("Signed in here: {}.", names(&accounts))))
            }
            _ => {
                let ids: Vec<String> = fits
                    .iter()
                    .map(|&i| text::path(accounts[i].state.id.as_bytes()))
                    .collect();
                Err(
                    Failure::usage("This identity is signed in more than once: give the ID.")
                        .hint(format!("The IDs are {}.", ids.join(", "))),
                )
            }
        }
    }

    /// Every job the daemon knows, oldest first.
    ///
    /// # Errors
    /// Whatever the daemon answers.
    pub async fn jobs(&self) -> Result<Vec<(OwnedObjectPath, JobState)>> {
        let mut jobs = Vec::new();
        for (path, _) in self.objects(JOBS_PATH).await? {
            match self.job_state(&path).await {
                Ok(state) => jobs.push((path, state)),
                Err(f) if f.kind == "NotFound" => {}
                Err(f) => return Err(f),
            }
        }
        jobs.sort_by_key(|(_, state)| state.number);
        Ok(jobs)
    }

    /// The properties of a job now.
    ///
    /// # Errors
    /// Kind `NotFound` when it is not there (any more).
    pub async fn job_state(&self, path: &OwnedObjectPath) -> Result<JobState> {
        self.properties(path, "org.mooring1.Job").await
    }

    /// A job, to act on.
    ///
    /// # Errors
    /// Only when the bus is gone.
    pub async fn job(&self, path: &OwnedObjectPath) -> Result<JobProxy<'static>> {
        Ok(JobProxy::builder(&self.connection)
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?)
    }

    /// An account, to act on.
    ///
    /// # Errors
    /// Only when the bus is gone.
    pub async fn account_proxy(&self, account: &Account) -> Result<AccountProxy<'static>> {
        self.account_at(&account.path).await
    }

    /// The account of an object, to act on.
    ///
    /// # Errors
    /// Only when the bus is gone.
    pub async fn account_at(&self, path: &OwnedObjectPath) -> Result<AccountProxy<'static>> {
        Ok(AccountProxy::builder(&self.connection)
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?)
    }

    /// The files of an account, to act on.
    ///
    /// # Errors
    /// Only when the bus is gone.
    pub async fn files_proxy(&self, account: &Account) -> Result<FilesProxy<'static>> {
        Ok(FilesProxy::builder(&self.connection)
            .path(account.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?)
    }

    async fn objects(&self, below: &str) -> Result<Vec<(OwnedObjectPath, Vec<String>)>> {
        let reply = self
            .connection
            .call_method(
                Some(BUS_NAME),
                ROOT_PATH,
                Some("org.freedesktop.DBus.ObjectManager"),
                "GetManagedObjects",
                &(),
            )
            .await?;
        let objects: Objects = reply.body().deserialize()?;
        Ok(objects
            .into_iter()
            .filter(|(path, _)| {
                path.as_str()
                    .strip_prefix(below)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
            .map(|(path, interfaces)| {
                (
                    path,
                    interfaces
                        .into_keys()
                        .map(|name| name.to_string())
                        .collect(),
                )
            })
            .collect())
    }

    async fn properties<T>(&self, path: &OwnedObjectPath, interface: &str) -> Result<T>
    where
        T: serde::de::DeserializeOwned + Type,
    {
        let reply = self
            .connection
            .call_method(
                Some(BUS_NAME),
                path,
                Some("org.freedesktop.DBus.Properties"),
                "GetAll",
                &interface,
            )
            .await?;
        Ok(reply.body().deserialize()?)
    }
}

/// The number of a job's path, for the person.
pub fn job_number(path: &OwnedObjectPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

/// The path of a job by its number.
///
/// # Errors
/// Never for a number; the signature follows the bus.
pub fn job_path(number: u64) -> Result<OwnedObjectPath> {
    Ok(OwnedObjectPath::try_from(format!("{JOBS_PATH}/{number}"))?)
}

fn names(accounts: &[Account]) -> String {
    let names: Vec<String> = accounts
        .iter()
        .map(|a| text::path(a.state.identity.as_bytes()))
        .collect();
    names.join(", ")
}

fn none_signed_in() -> Failure {
    Failure::new(Exit::Failed, "Nobody is signed in on this device.")
        .kind("NotFound")
        .hint("Sign in with `mooringctl sign-in local --identity NAME --storage FOLDER`.")
}
