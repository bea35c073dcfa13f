//! Signing in to a `local` account: prove who you are, then bring the data.
//!
//! Nothing is durable on this device before the password was right. From then on the account is,
//! and a restart goes on with it.

mod request;

use std::sync::Arc;

use mooring_core::account::{Event, State};
use mooring_core::identity::{Password, Record};
use mooring_wire::{Error as WireError, Inspected, SyncReport};
use zbus::OwnedFd;

use super::journal::{Ending, Entry, Work};
use super::{Job, Kind, MAX_OPEN_JOBS, Opening, blocked_by, ending, failed, sync};
use crate::account::{Account, Chosen, places};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::published::{AccountView, Published};
use crate::{random, secret};

pub use request::{Asked, Found, Request, Wanted};

/// The most accounts on one device: as many as one worker takes.
const MAX_ACCOUNTS: usize = 256;

/// How the person proves who they are.
enum Proof {
    /// By the record that is there.
    Record(Box<Record>, Option<Password>),
    /// There is none: it is made, with this password; the recovery code goes to the descriptor.
    New {
        password: Password,
        recovery_code: OwnedFd,
        storage_id: [u8; 16],
    },
}

impl Broker {
    /// Looks at a storage and at local folders; changes nothing.
    ///
    /// # Errors
    /// When the worker cannot look, or the storage's record cannot be used.
    pub async fn inspect(&self, wanted: &Wanted) -> Result<Found, Failure> {
        let home = &self.folders.home;
        let mut identity = wanted.identity.clone();
        if identity.is_none() {
            // Default folders have the identity's name in them: the storage may know it.
            let bare = self.look_at(&wanted.storage, &[]).await?;
            identity = record(&bare)?.map(|record| record.identity);
        }
        let collections = wanted.chosen(identity.as_deref(), home);
        let inspected = self.look_at(&wanted.storage, &collections).await?;
        let holds_files = |chosen: &&Chosen| {
            inspected
                .not_empty
                .iter()
                .any(|n| n == chosen.collection.name())
        };
        Ok(Found {
            record: record(&inspected)?,
            not_empty: collections.iter().filter(holds_files).cloned().collect(),
            warnings: inspected.warnings,
            collections,
        })
    }

    async fn look_at(&self, storage: &[u8], roots: &[Chosen]) -> Result<Inspected, Failure> {
        let _reaching = self.workers.reach(places(roots, storage));
        self.workers
            .call(|live| {
                let storage = storage.to_vec();
                let roots = roots.iter().map(Chosen::spec).collect();
                Box::pin(async move { Ok(live.proxy().inspect(&storage, roots).await?) })
            })
            .await
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`] before anything is looked at,
    /// [`Failure::InvalidArgument`] when the request does not fit what is there,
    /// [`Failure::Busy`] when this device is signed in there already.
    pub async fn sign_in(self: &Arc<Self>, request: Request, uid: u32) -> Result<u64, Failure> {
        self.expect_sign_in(&request.wanted)?;
        self.expect_unlocked().await?;
        let found = self.inspect(&request.wanted).await?;
        request.expect_consent(&found)?;
        if let (None, Some(password)) = (&found.record, &request.password) {
            let identity = request.wanted.identity.as_deref().unwrap_or_default();
            self.expect_long_enough(identity, password)?;
        }
        let account = self.draft(&request, &found)?;
        let proof = request.into_proof(found)?;
        let account = match &proof {
            Proof::Record(record, _) => Account {
                storage_id: record.storage_id.clone(),
                ..account
            },
            Proof::New { storage_id, .. } => Account {
                storage_id: mooring_core::identity::hex(storage_id),
                ..account
            },
        };
        self.update(|p| {
            p.expect_room(MAX_OPEN_JOBS)?;
            expect_new(p, &account)?;
            p.accounts
                .insert(account.id.clone(), AccountView::new(account.clone()).into());
            Ok::<_, Failure>(())
        })?;
        let number = self.next_job();
        let opening = Opening {
            number,
            kind: Kind::SignIn,
            account: account.id.clone(),
            uid,
        };
        let job = Job::open(self, opening);
        let entry = Entry {
            number,
            account: account.id.clone(),
            uid,
            work: Work::SignIn { undoing: None },
        };
        self.spawn(begin(job, account, entry, proof));
        Ok(number)
    }

    /// The account as it would be.
    fn draft(&self, request: &Request, found: &Found) -> Result<Account, Failure> {
        let wanted = &request.wanted;
        let mut account = Account {
            id: format!("a{}", random::hex::<8>()?),
            provider: wanted.provider.clone(),
            identity: wanted.identity.clone().unwrap_or_default(),
            storage: wanted.storage.clone(),
            storage_id: String::new(),
            sign_in_id: random::hex::<16>()?,
            device: self.device_name(request.device.as_deref())?,
            left_with: String::new(),
            collections: found.collections.clone(),
            adopt: request.adopt,
            record: String::new(),
            signed_in_at: 0,
            state: State::SignedOut,
            message: String::new(),
            paused: false,
            last_backup: None,
            backup_begun: 0,
            forgetting: None,
        };
        if let Some(record) = &found.record {
            account.record = record.to_toml()?;
        }
        account.apply(Event::SignInBegan, "");
        Ok(account)
    }

    fn device_name(&self, asked: Option<&str>) -> Result<String, Failure> {
        if let Some(name) = asked {
            return Ok(name.to_owned());
        }
        let host = nix::unistd::gethostname()
            .map_err(|errno| Failure::Internal(format!("this device has no name: {errno}")))?;
        let host = host.to_string_lossy();
        Ok(self.rules.in_force().settings.device(&host).to_owned())
    }
}

/// The storage's identity record, if it has one.
fn record(inspected: &Inspected) -> Result<Option<Record>, Failure> {
    match inspected.record.as_str() {
        "" => Ok(None),
        text => Ok(Some(Record::parse(text)?)),
    }
}

/// One sign-in of an identity, or of a storage, on a device.
fn expect_new(published: &Published, account: &Account) -> Result<(), Failure> {
    if published.accounts.len() >= MAX_ACCOUNTS {
        return Err(Failure::Busy(format!(
            "this device has {MAX_ACCOUNTS} accounts, the most"
        )));
    }
    let same = |other: &Account| {
        other.storage_id == account.storage_id || other.storage == account.storage
    };
    match published.accounts.values().find(|view| same(&view.account)) {
        None => Ok(()),
        Some(view) => Err(Failure::Busy(format!(
            "this device is signed in there already, as {} ({})",
            view.account.identity, view.account.state
        ))),
    }
}

/// Everything up to the first durable step.
async fn begin(mut job: Job, mut account: Account, entry: Entry, proof: Proof) {
    match prove(&mut job, &account, proof).await {
        Ok(record) => account.record = record,
        Err(failure) => return vanish(job, failed(ending(&failure))),
    }
    // The password may have been long in coming.
    if let Err(denial) = job.broker.expect_sign_in_goes_on(&account) {
        return vanish(job, failed(ending(&denial)));
    }
    account.signed_in_at = job.broker.clock.now();
    account.left_with = match job.broker.left_with(&account).await {
        Ok(id) => id,
        Err(failure) => return vanish(job, failed(ending(&failure))),
    };
    if let Err(error) = job.broker.store.save(&account, &entry) {
        return vanish(job, failed(ending(&error.into())));
    }
    job.broker
        .change_account(&account.id, |view| view.account = account.clone());
    bring(job, account, entry).await;
}

/// Answers the record, as text, of whoever was right about the password, or made a new one.
async fn prove(job: &mut Job, account: &Account, proof: Proof) -> Result<String, Failure> {
    match proof {
        Proof::Record(record, password) => {
            let record = job.authorise(&record.identity, password).await?;
            Ok(record.to_toml()?)
        }
        Proof::New {
            password,
            recovery_code,
            storage_id,
        } => {
            let broker = job.broker.clone();
            let create = create(&broker, account, password, recovery_code, storage_id);
            job.drive(false, create).await
        }
    }
}

/// Makes an identity. The code goes out first: an identity without one could not be recovered.
async fn create(
    broker: &Broker,
    account: &Account,
    password: Password,
    recovery_code: OwnedFd,
    storage_id: [u8; 16],
) -> Result<String, Failure> {
    let identity = account.identity.clone();
    let (record, code) = broker
        .passwords
        .new_record(identity, storage_id, password)
        .await?;
    secret::write("recovery code", recovery_code.into(), code.words()).await?;
    drop(code);
    let text = record.to_toml()?;
    let (storage, written) = (account.storage.clone(), text.clone());
    broker
        .workers
        .call(move |live| {
            let (storage, text) = (storage.clone(), written.clone());
            Box::pin(async move {
                match live.proxy().create_identity(&storage, &text).await {
                    // A worker that died over the first call may have done it.
                    Err(WireError::Refused(message)) => {
                        match live.proxy().inspect(&storage, Vec::new()).await?.record == text {
                            true => Ok(()),
                            false => Err(WireError::Refused(message).into()),
                        }
                    }
                    other => Ok(other?),
                }
            })
        })
        .await?;
    Ok(text)
}

/// Goes on with a sign-in after a restart.
pub(super) async fn resume(job: Job, account: Account, entry: Entry) {
    match entry.work.clone() {
        Work::SignIn {
            undoing: Some(ending),
        } => undo(job, account, ending).await,
        _ => bring(job, account, entry).await,
    }
}

/// Brings the data: again and again, until it is here, or nobody wants it or may have it any more.
async fn bring(mut job: Job, mut account: Account, mut entry: Entry) {
    job.show(|view| view.stage = "authorised");
    let broker = job.broker.clone();
    let report = loop {
        let fetched = match broker.expect_sign_in_goes_on(&account) {
            Ok(()) => job.drive(true, fetch(&broker, &account)).await,
            Err(denial) => Err(denial),
        };
        let failure = match fetched {
            Ok(report) => break report,
            Err(failure) => failure,
        };
        let gives_up = matches!(
            failure,
            Failure::Cancelled(_)
                | Failure::PolicyDenied(_)
                | Failure::Worker(WireError::Refused(_))
        );
        let failure = if gives_up {
            failure
        } else {
            match job.block(blocked_by(&failure), true).await {
                Ok(_) => continue,
                Err(failure) => failure,
            }
        };
        let ending = ending(&failure);
        entry.work = Work::SignIn {
            undoing: Some(ending.clone()),
        };
        // Until it can be written down: a restart must not bring again what was cancelled.
        while let Err(error) = broker.store.save_job(&entry) {
            let blocked = blocked_by(&error.into());
            if job.block(blocked, false).await.is_err() {
                return;
            }
        }
        return undo(job, account, ending).await;
    };
    account.apply(Event::SignInEnded, "");
    end(job, account, report).await;
}

async fn end(mut job: Job, account: Account, report: SyncReport) {
    let broker = job.broker.clone();
    job.show(|view| view.stage = "brought");
    let outcome = sync::outcome(report);
    while let Err(error) = broker.store.end_job(&account, &job.ended(&outcome)) {
        let blocked = blocked_by(&error.into());
        if job.block(blocked, false).await.is_err() {
            return;
        }
    }
    broker.change_account(&account.id, |view| view.account = account.clone());
    broker.count(&account).await;
    job.finish(outcome);
}

async fn fetch(broker: &Broker, account: &Account) -> Result<SyncReport, Failure> {
    let adopt = account.adopt;
    let others: Vec<_> = broker
        .specs()
        .into_iter()
        .filter(|other| other.id != account.id)
        .collect();
    let asked = broker.workers.ask(account.spec(), move |live, id| {
        let others = others.clone();
        Box::pin(async move { live.proxy().sign_in(&id, adopt, others).await })
    });
    asked.await
}

/// Puts everything back. Files stay where they are.
async fn undo(mut job: Job, account: Account, ending: Ending) {
    let broker = job.broker.clone();
    loop {
        let abandoned = match job.drive(false, abandon(&broker, &account)).await {
            // Nobody knows what was brought; all of it stays, and no sign-in waits for ever.
            Err(Failure::Worker(WireError::StateDamaged(why))) => {
                tracing::warn!(job = job.number, why, "what was brought so far stays");
                Ok(())
            }
            abandoned => abandoned,
        };
        let undone = abandoned.and_then(|()| {
            let ended = job.ended(&failed(ending.clone()));
            broker
                .store
                .forget(&account.id, &ended)
                .map_err(Failure::from)
        });
        let Err(failure) = undone else { break };
        if job.block(blocked_by(&failure), false).await.is_err() {
            return;
        }
    }
    vanish(job, failed(ending));
}

async fn abandon(broker: &Broker, account: &Account) -> Result<(), Failure> {
    let _reaching = broker.workers.reach(account.ways());
    let asked = broker.workers.ask(account.spec(), |live, id| {
        Box::pin(async move { live.proxy().abandon(&id).await })
    });
    asked.await
}

/// The account was never, or is no more, here.
fn vanish(job: Job, outcome: mooring_api::JobOutcome) {
    let broker = job.broker.clone();
    broker.change_account(&job.account, |view| {
        view.account.apply(Event::SignInUndone, "")
    });
    broker.update(|p| p.accounts.remove(&job.account));
    job.finish(outcome);
}
