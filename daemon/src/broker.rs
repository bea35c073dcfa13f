//! The broker: what all parts of it share, and how it comes to life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mooring_core::identity::Cost;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::account::Account;
use crate::announcements::Announcements;
use crate::background::Noticed;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::folders::{Folders, Mode};
use crate::inhibitors::Inhibitors;
use crate::jobs::journal::Entry;
use crate::jobs::{self, Request};
use crate::keys;
use crate::launch::{Later, Launcher};
use crate::passwords::Passwords;
use crate::published::{AccountView, Holder, JobView, Published};
use crate::receipts::Receipts;
use crate::rules::{Device, Rules};
use crate::sessions::Sessions;
use crate::store::Store;
use crate::terms;
use crate::workers::{Accounts, Heard, Listener, Workers};

/// How long a call waits for a look at its account to end: less than callers commonly wait for an
/// answer (25 s).
const LOOK_PATIENCE: Duration = Duration::from_secs(20);

/// What a broker is made of.
pub struct Parts {
    /// How it runs.
    pub mode: Mode,
    /// Where it keeps things; made already, and locked.
    pub folders: Folders,
    /// Its durable state.
    pub store: Arc<Store>,
    /// The rules of the device.
    pub rules: Arc<Device>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Starts workers.
    pub launcher: Arc<dyn Launcher>,
    /// What new identity records cost; a daemon gives [`Cost::REAL`].
    pub cost: Cost,
    /// The user it works for.
    pub uid: u32,
    /// Where the system bus is; without one, where it is on this machine.
    pub system_bus: Option<String>,
    /// Numbers jobs, for all brokers of this process.
    pub numbers: Arc<AtomicU64>,
}

/// The broker.
pub struct Broker {
    /// How it runs.
    pub mode: Mode,
    /// Where it keeps things.
    pub folders: Folders,
    /// The user it works for.
    pub uid: u32,
    /// Where the system bus is; without one, where it is on this machine.
    pub system_bus: Option<String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Its durable state.
    pub store: Arc<Store>,
    /// Checks passwords.
    pub passwords: Passwords,
    /// The worker.
    pub workers: Workers,
    /// Settings and policy.
    pub rules: Arc<Rules>,
    /// How old sessions are.
    pub sessions: Sessions,
    /// The receipts on this device.
    pub receipts: Receipts,
    /// What apps hold so that a sign-out waits.
    pub inhibitors: Inhibitors,
    /// What apps are told of sign-outs.
    pub announcements: Announcements,
    /// What the worker noticed by itself.
    pub noticed: Arc<Noticed>,
    /// What clients see.
    pub published: Arc<watch::Sender<Published>>,
    next_job: Arc<AtomicU64>,
    requests: Mutex<BTreeMap<u64, mpsc::Sender<Request>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Broker {
    /// Reads the state. Nothing runs yet.
    ///
    /// # Errors
    /// When the state is damaged or cannot be written.
    pub fn new(parts: Parts) -> Result<Arc<Self>, Failure> {
        let Parts {
            mode,
            folders,
            store,
            rules,
            clock,
            launcher,
            cost,
            uid,
            system_bus,
            numbers,
        } = parts;
        let rules = Arc::new(Rules::new(rules, uid));
        let mut published = Published {
            policy_state: rules.in_force().standing.state().name(),
            ..Published::default()
        };
        for mut account in store.accounts()? {
            keys::mark(&store, &mut account)?;
            published
                .accounts
                .insert(account.id.clone(), AccountView::new(account).into());
        }
        for ended in store.ended(clock.now())? {
            let (number, turn) = (ended.number, published.next_end());
            let view = ended.view().map(|view| JobView {
                ended: turn,
                ..view
            });
            published
                .jobs
                .extend(view.map(|view| (number, view.into())));
        }
        published.prune(usize::from(rules.in_force().settings.keep_finished));
        let published = Arc::new(watch::Sender::new(published));
        let noticed = Arc::new(Noticed::default());
        let listener = listener(published.clone(), noticed.clone());
        Ok(Arc::new(Self {
            mode,
            uid,
            system_bus,
            passwords: {
                let rules = rules.clone();
                let slowing = Box::new(move |identity: &str| terms::slowing(&rules, identity));
                Passwords::new(store.clone(), clock.clone(), cost, slowing)
            },
            sessions: Sessions::default(),
            workers: Workers::new(launcher, uid, listener, accounts(&published)),
            receipts: Receipts::new(folders.receipts.clone()),
            inhibitors: Inhibitors::default(),
            announcements: Announcements::default(),
            next_job: {
                numbers.fetch_max(store.last_job()? + 1, Ordering::Relaxed);
                numbers
            },
            requests: Mutex::default(),
            tasks: Mutex::default(),
            folders,
            clock,
            store,
            rules,
            noticed,
            published,
        }))
    }

    /// Takes up what a process before left: shows its jobs, and answers the work that goes on
    /// with them and looks at every other account. Give it to [`Broker::spawn`] once clients can
    /// see the broker.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn resume(self: &Arc<Self>) -> Result<Vec<Later<'static, ()>>, Failure> {
        let mut work = Vec::new();
        let forgetting: BTreeSet<String> = {
            let published = self.published.borrow();
            let accounts = published.accounts.values();
            let marked = accounts.filter(|view| view.account.forgetting.is_some());
            marked.map(|view| view.account.id.clone()).collect()
        };
        let is_its = |entry: &Entry| forgetting.contains(&entry.account);
        let (mut halted, entries): (Vec<_>, Vec<_>) =
            self.store.jobs()?.into_iter().partition(is_its);
        for id in &forgetting {
            tracing::info!(account = id, "is forgotten");
            let job = halted.iter().position(|entry| entry.account == *id);
            let job = job.map(|at| halted.swap_remove(at));
            work.push(self.resume_forgetting(id.clone(), job));
        }
        for entry in entries {
            tracing::info!(job = entry.number, account = entry.account, "goes on");
            work.push(jobs::resume(self, entry)?);
        }
        let idle: Vec<String> = self
            .published
            .borrow()
            .accounts
            .values()
            .filter(|view| view.holder == Holder::Free)
            .map(|view| view.account.id.clone())
            .collect();
        for id in idle {
            let broker = self.clone();
            work.push(Box::pin(async move { broker.look(&id).await }));
        }
        Ok(work)
    }

    /// Whether there is nothing to serve: no account, and no job that is shown or goes on.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn is_empty(&self) -> Result<bool, Failure> {
        let shown = {
            let published = self.published.borrow();
            !published.accounts.is_empty() || !published.jobs.is_empty()
        };
        Ok(!shown && self.store.jobs()?.is_empty())
    }

    /// Takes up what the device's rules are by now.
    pub fn take_up_rules(&self) {
        self.rules.take_up();
        let in_force = self.rules.in_force();
        self.update(|p| {
            p.policy_state = in_force.standing.state().name();
            p.prune(usize::from(in_force.settings.keep_finished));
        });
    }

    /// Stops everything: jobs as in a crash (the journal has them), the worker tidily.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
        self.workers.stop().await;
        // Others may hold the store to the very end; one file is easier to keep than two.
        self.store.empty_journal();
    }

    /// Changes what clients see.
    pub fn update<T>(&self, change: impl FnOnce(&mut Published) -> T) -> T {
        let mut answer = None;
        self.published.send_modify(|published| {
            published.version += 1;
            answer = Some(change(published));
        });
        match answer {
            Some(answer) => answer,
            // `send_modify` calls its argument exactly once.
            None => unreachable!("the change was not applied"),
        }
    }

    /// Runs something beside everything else, until it ends or the broker stops.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        // Those that have ended are cleared away now and then, here.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// All accounts, as the worker knows them.
    pub fn specs(&self) -> Vec<mooring_wire::AccountSpec> {
        let published = self.published.borrow();
        let accounts = published.accounts.values();
        accounts.map(|view| view.account.spec()).collect()
    }

    /// A number that no job had before.
    pub fn next_job(&self) -> u64 {
        self.next_job.fetch_add(1, Ordering::Relaxed)
    }

    /// The open jobs' channels.
    pub fn requests(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::Sender<Request>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an account as clients see it and answers it; none when it is not there any more.
    pub fn change_account(
        &self,
        id: &str,
        change: impl FnOnce(&mut AccountView),
    ) -> Option<Account> {
        self.update(|p| {
            let view = p.account_mut(id)?;
            let record = view.account.record.clone();
            change(view);
            view.account.keep_newer_record(&record);
            Some(view.account.clone())
        })
    }

    /// Takes a free account for `holder`. Waits, up to a bound, while somebody only looks at it: a
    /// look ends by itself, and nobody can do anything about it. A sync by itself makes room.
    ///
    /// # Errors
    /// [`Failure::Busy`] when a job holds it, or the look does not end in time;
    /// [`Failure::NotFound`] when it is not there.
    pub async fn hold(&self, id: &str, holder: Holder) -> Result<Account, Failure> {
        let mut changes = self.published.subscribe();
        let deadline = Instant::now() + LOOK_PATIENCE;
        loop {
            let held = self.update(|p| {
                p.want(id);
                (!p.is_looked_at(id)).then(|| p.hold(id, holder))
            });
            if let Some(held) = held {
                return held;
            }
            let free = changes.wait_for(|p| !p.is_looked_at(id));
            if tokio::time::timeout_at(deadline, free).await.is_err() {
                return self.update(|p| p.hold(id, holder));
            }
        }
    }
}

/// Says which accounts there are.
fn accounts(published: &Arc<watch::Sender<Published>>) -> Accounts {
    let published = published.clone();
    Box::new(move || {
        let published = published.borrow();
        let accounts = published.accounts.values();
        let places = |view: &Arc<AccountView>| {
            let account = &view.account;
            (account.id.clone(), account.places())
        };
        accounts.map(places).collect()
    })
}

/// Hears the worker: progress of an account's operation is progress of its job.
fn listener(published: Arc<watch::Sender<Published>>, noticed: Arc<Noticed>) -> Listener {
    Arc::new(move |heard| match heard {
        Heard::Progressed(account, progress) => {
            published.send_if_modified(|p| show_progress(p, account, progress));
        }
        // A worker may say any name: what is not here is not kept.
        Heard::Changed(account) if published.borrow().accounts.contains_key(account) => {
            tracing::debug!(account, "something changed");
            noticed.changed(account);
        }
        Heard::Changed(_) => tracing::debug!("something changed that is of no account"),
        Heard::Gone => noticed.unwatched(),
    })
}

fn show_progress(p: &mut Published, account: &str, progress: mooring_wire::Progress) -> bool {
    let Some(Holder::Job(number)) = p.accounts.get(account).map(|view| view.holder) else {
        return false;
    };
    let Some(job) = p.job_mut(number) else {
        return false;
    };
    job.progress = mooring_api::Progress {
        activity: progress.activity,
        done: progress.done,
        total: progress.total,
        done_bytes: progress.done_bytes,
        total_bytes: progress.total_bytes,
    };
    true
}
