//! A worker without files: it answers what a test told it to, and notes what it was asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use mooring_wire::reach::Reach;
use mooring_wire::*;
use mooringd::launch::{self, Later, Launched, Launcher, Life};
use tokio::sync::watch;
use zbus::object_server::SignalEmitter;

use crate::world::BOUND;

/// What a method does when it is called next.
pub enum Act {
    /// Answers as always.
    Pass,
    /// Answers as always, and the next call of another method does this.
    Then(&'static str, Box<Act>),
    /// Answers this error.
    Fail(Error),
    /// The process dies.
    Die,
    /// Waits to be interrupted, and answers `Cancelled`.
    Hang,
    /// Never answers, and hears nothing: a storage's system call that does not return.
    Deaf,
}

#[derive(Default)]
pub struct State {
    /// Everything that was asked, in order.
    pub calls: Vec<String>,
    /// Identity records by storage.
    pub records: BTreeMap<Vec<u8>, String>,
    /// Receipts in the storage.
    pub receipts: BTreeMap<String, String>,
    /// Collections whose folder has files.
    pub not_empty: Vec<String>,
    /// Epochs by account; what a real worker has on disk.
    pub epochs: BTreeMap<String, String>,
    /// What a life has proved.
    proven: BTreeSet<(u64, String)>,
    pub acts: BTreeMap<String, VecDeque<Act>>,
    pub drains: VecDeque<DrainReport>,
    pub verifications: VecDeque<VerifyReport>,
    pub removals: VecDeque<RemoveReport>,
    pub blockers: Vec<(String, String)>,
    /// What the next backup or check names.
    pub missing: Vec<(Vec<u8>, String)>,
    /// Whether the storage is on the network.
    pub remote: bool,
    lives: u64,
    /// What other devices ask.
    pub requests: Vec<DeviceRequest>,
    /// What they were answered: request, state, message.
    pub answers: Vec<(String, String, String)>,
    /// What a sync says that it does, instead of "uploading".
    pub activity: Option<String>,
    /// The sign-ins that were taken out of the storage's list.
    pub withdrawn: Vec<String>,
}

/// Starts such workers, and is what they share: their disk.
#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    interrupted: Arc<watch::Sender<u64>>,
    hanging: Arc<watch::Sender<u64>>,
    changes: Arc<watch::Sender<u64>>,
    /// Syncs that ended well.
    pub syncs: Arc<watch::Sender<u64>>,
    /// Whoever holds it lets no worker start.
    pub starting: Arc<tokio::sync::Mutex<()>>,
    /// How many of the next workers say nothing that makes sense.
    pub babbling: Arc<AtomicUsize>,
}

impl Fake {
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            interrupted: Arc::new(watch::Sender::new(0)),
            hanging: Arc::new(watch::Sender::new(0)),
            changes: Arc::new(watch::Sender::new(0)),
            syncs: Arc::new(watch::Sender::new(0)),
            starting: Arc::default(),
            babbling: Arc::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next call of a method does this; further ones queue.
    pub fn next(&self, method: &str, act: Act) {
        self.state()
            .acts
            .entry(method.to_owned())
            .or_default()
            .push_back(act);
    }

    /// What was asked since the last look, without the questions that change nothing.
    pub fn effects(&self) -> Vec<String> {
        let quiet = [
            "hello",
            "is_remote",
            "attach",
            "counts",
            "inspect",
            "plan",
            "interrupt",
            "requests",
            "answer",
            "answered",
            "withdraw",
        ];
        let calls = std::mem::take(&mut self.state().calls);
        calls
            .into_iter()
            .filter(|call| !quiet.contains(&call.as_str()))
            .collect()
    }

    /// Something changes in every watched folder.
    pub fn change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits until a call hangs.
    pub async fn hanging(&self) {
        let mut hanging = self.hanging.subscribe();
        let waited = tokio::time::timeout(BOUND, hanging.wait_for(|count| *count > 0)).await;
        drop(waited.expect("nothing hangs").unwrap());
        self.hanging.send_replace(0);
    }
}

impl Launcher for Fake {
    fn launch(
        &self,
        _uid: u32,
        _reach: &Reach,
    ) -> Later<'_, std::result::Result<Launched, launch::Error>> {
        Box::pin(async move {
            drop(self.starting.lock().await);
            let (ours, mut theirs) = UnixStream::pair()?;
            let less = |left: usize| left.checked_sub(1);
            let babbles = &self.babbling;
            if babbles
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .is_ok()
            {
                theirs.write_all(b"\0what a bus\0does not carry\r\n")?;
                let task = tokio::spawn(async move {
                    let _open = theirs;
                    std::future::pending().await
                });
                let life = Box::new(Process(task));
                return Ok(Launched { stream: ours, life });
            }
            let life = {
                let mut state = self.state();
                state.lives += 1;
                state.lives
            };
            let (death, dead) = watch::channel(false);
            let service = Service {
                fake: self.clone(),
                life,
                death,
            };
            let task = tokio::spawn(serve(theirs, service, dead));
            Ok(Launched {
                stream: ours,
                life: Box::new(Process(task)),
            })
        })
    }
}

async fn serve(stream: UnixStream, service: Service, mut dead: watch::Receiver<bool>) {
    let connection = zbus::connection::Builder::unix_stream(stream)
        .server(zbus::Guid::generate())
        .p2p()
        .serve_at(WORKER_PATH, service)
        .build()
        .await
        .unwrap();
    let died = tokio::select! {
        () = connection.closed() => false,
        died = dead.wait_for(|dead| *dead) => died.is_ok(),
    };
    if died {
        connection.close().await.unwrap();
    }
}

struct Process(tokio::task::JoinHandle<()>);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Life for Process {
    fn end(self: Box<Self>) -> Later<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

struct Service {
    fake: Fake,
    life: u64,
    death: watch::Sender<bool>,
}

impl Service {
    /// Notes a call and does what was told for it.
    async fn act(&self, method: &str) -> Result<()> {
        let act = {
            let mut state = self.fake.state();
            state.calls.push(method.to_owned());
            state.acts.get_mut(method).and_then(VecDeque::pop_front)
        };
        match act {
            None | Some(Act::Pass) => Ok(()),
            Some(Act::Then(method, act)) => {
                self.fake.next(method, *act);
                Ok(())
            }
            Some(Act::Fail(error)) => Err(error),
            Some(Act::Die) => {
                self.death.send_replace(true);
                std::future::pending().await
            }
            Some(Act::Deaf) => {
                self.fake.hanging.send_modify(|count| *count += 1);
                std::future::pending().await
            }
            Some(Act::Hang) => {
                let mut interrupted = self.fake.interrupted.subscribe();
                let before = *interrupted.borrow();
                self.fake.hanging.send_modify(|count| *count += 1);
                interrupted.wait_for(|count| *count > before).await.unwrap();
                Err(Error::Cancelled("interrupted".into()))
            }
        }
    }
}

fn one_of_each<T>(keep: &[String], kept: bool, value: T) -> Vec<(String, T)>
where
    T: Copy,
{
    ["photos", "videos", "documents", "contacts"]
        .into_iter()
        .filter(|name| keep.iter().any(|k| k == name) == kept)
        .map(|name| (name.to_owned(), value))
        .collect()
}

#[zbus::interface(name = "org.mooring1.Worker")]
impl Service {
    async fn hello(&self) -> Result<String> {
        self.act("hello").await?;
        Ok(VERSION.to_owned())
    }

    async fn fenced(&self) -> Result<Fenced> {
        Ok(Fenced {
            holds: true,
            message: "there are no files".into(),
        })
    }

    async fn inspect(&self, storage: Vec<u8>, roots: Vec<CollectionSpec>) -> Result<Inspected> {
        self.act("inspect").await?;
        let state = self.fake.state();
        let asked = |name: &&String| roots.iter().any(|root| root.name == **name);
        Ok(Inspected {
            record: state.records.get(&storage).cloned().unwrap_or_default(),
            not_empty: state.not_empty.iter().filter(asked).cloned().collect(),
            warnings: vec!["same disk".into()],
        })
    }

    async fn create_identity(&self, storage: Vec<u8>, record: String) -> Result<()> {
        self.act("create_identity").await?;
        if self.fake.state().records.contains_key(&storage) {
            return Err(Error::Refused("there is one".into()));
        }
        self.fake.state().records.insert(storage, record);
        self.act("created").await
    }

    async fn replace_identity(
        &self,
        storage: Vec<u8>,
        expected: String,
        record: String,
    ) -> Result<()> {
        self.act("replace_identity").await?;
        {
            let mut state = self.fake.state();
            match state.records.get(&storage) {
                Some(there) if *there == record => {}
                Some(there) if *there == expected => {
                    state.records.insert(storage, record);
                }
                _ => return Err(Error::Refused("another one is there".into())),
            }
        }
        self.act("replaced").await
    }

    async fn is_remote(&self, _storage: Vec<u8>) -> Result<bool> {
        self.act("is_remote").await?;
        Ok(self.fake.state().remote)
    }

    async fn attach(&self, spec: AccountSpec) -> Result<Attached> {
        self.act("attach").await?;
        let mut state = self.fake.state();
        let epoch = state
            .epochs
            .entry(spec.id)
            .or_insert_with(|| "new".to_owned())
            .clone();
        Ok(Attached {
            epoch,
            last_sync: 77,
        })
    }

    async fn sign_in(
        &self,
        account: String,
        adopt: bool,
        _others: Vec<AccountSpec>,
    ) -> Result<SyncReport> {
        self.act("sign_in").await?;
        let mut state = self.fake.state();
        assert!(adopt || state.not_empty.is_empty());
        state.epochs.insert(account, "active".into());
        Ok(SyncReport {
            downloaded: 3,
            ..SyncReport::default()
        })
    }

    async fn devices(&self, _account: String) -> Result<Vec<Device>> {
        self.act("devices").await?;
        Ok(vec![Device {
            name: "laptop".into(),
            this: true,
            state: "active".into(),
            ..Device::default()
        }])
    }

    async fn ask_device(
        &self,
        _account: String,
        target: String,
        request: String,
    ) -> Result<String> {
        self.act(&format!("ask {target}")).await?;
        Ok(request)
    }

    async fn requests(&self, _account: String) -> Result<Vec<DeviceRequest>> {
        self.act("requests").await?;
        Ok(self.fake.state().requests.clone())
    }

    async fn answer_request(
        &self,
        _account: String,
        request: String,
        state: String,
        message: String,
    ) -> Result<()> {
        self.act("answer").await?;
        {
            let mut fake = self.fake.state();
            // One that is told to wait stays open.
            fake.requests
                .retain(|open| open.id != request || state == "waiting");
            fake.answers.push((request, state, message));
        }
        self.act("answered").await
    }

    async fn withdraw(&self, _storage: Vec<u8>, sign_in_id: String) -> Result<()> {
        self.act("withdraw").await?;
        self.fake.state().withdrawn.push(sign_in_id);
        Ok(())
    }

    async fn abandon(&self, account: String) -> Result<()> {
        self.act("abandon").await?;
        self.fake.state().epochs.remove(&account);
        Ok(())
    }

    async fn sync(
        &self,
        account: String,
        _read_back: bool,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<SyncReport> {
        let activity = self.fake.state().activity.clone();
        let progress = Progress {
            activity: activity.unwrap_or_else(|| "uploading".into()),
            done: 1,
            total: 2,
            ..Progress::default()
        };
        Self::progressed(&emitter, &account, progress).await?;
        self.act("sync").await?;
        self.fake.syncs.send_modify(|count| *count += 1);
        Ok(SyncReport {
            uploaded: 2,
            ..SyncReport::default()
        })
    }

    async fn sync_told(
        &self,
        account: String,
        read_back: bool,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<SyncReport> {
        self.sync(account, read_back, emitter).await
    }

    async fn watch(
        &self,
        account: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<bool> {
        self.act("watch").await?;
        let mut changes = self.fake.changes.subscribe();
        let emitter = emitter.to_owned();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                if Self::changed(&emitter, &account).await.is_err() {
                    return;
                }
            }
        });
        Ok(true)
    }

    async fn diagnose(&self, _account: String) -> Result<Vec<Diagnosis>> {
        self.act("diagnose").await?;
        Ok(vec![Diagnosis {
            area: "photos".into(),
            state: "warning".into(),
            message: "no leases".into(),
            advice: "close your programs".into(),
        }])
    }

    async fn counts(&self, _account: String) -> Result<Vec<CollectionFacts>> {
        self.act("counts").await?;
        Ok(vec![CollectionFacts {
            name: "photos".into(),
            items: Counts {
                files: 5,
                bytes: 50,
            },
            ..CollectionFacts::default()
        }])
    }

    async fn plan(&self, _account: String, _keep: Vec<String>, since: u64) -> Result<PlanFacts> {
        self.act("plan").await?;
        let photos = CollectionFacts {
            name: "photos".into(),
            items: Counts {
                files: 5,
                bytes: 50,
            },
            unsynced: 1,
            verified: 3,
            losses: vec!["ACLs of 1 file".into()],
            ..CollectionFacts::default()
        };
        let blockers = self.fake.state().blockers.clone();
        Ok(PlanFacts {
            collections: vec![photos],
            blockers,
            warnings: Vec::new(),
            since: if since == 0 { 5 } else { 2 },
        })
    }

    async fn drain(&self, account: String, _keep: Vec<String>) -> Result<DrainReport> {
        let latch = |epoch: &mut String| {
            if epoch == "active" {
                *epoch = "leaving".to_owned();
            }
        };
        self.fake.state().epochs.entry(account).and_modify(latch);
        self.act("drain").await?;
        Ok(self.fake.state().drains.pop_front().unwrap_or_default())
    }

    async fn keep_here(&self, _account: String, files: Vec<Vec<u8>>) -> Result<u64> {
        self.act("keep_here").await?;
        Ok(files.len() as u64)
    }

    async fn verify(
        &self,
        account: String,
        _keep: Vec<String>,
        _receipt: String,
    ) -> Result<VerifyReport> {
        self.act("verify").await?;
        let mut state = self.fake.state();
        let base = VerifyReport {
            base_blake3: "ab".repeat(32),
            ..VerifyReport::default()
        };
        let report = state.verifications.pop_front().unwrap_or(base);
        if report.unproven_total == 0 {
            state.proven.insert((self.life, account));
        }
        Ok(report)
    }

    async fn remove(&self, account: String, keep: Vec<String>) -> Result<RemoveReport> {
        if !self
            .fake
            .state()
            .proven
            .remove(&(self.life, account.clone()))
        {
            self.act("remove without proof").await?;
            return Err(Error::NotVerified("no proof".into()));
        }
        self.act("remove").await?;
        self.fake.state().epochs.insert(account, "removing".into());
        self.act("removing").await?;
        if let Some(report) = self.fake.state().removals.pop_front() {
            return Ok(report);
        }
        let counts = Counts {
            files: 2,
            bytes: 20,
        };
        Ok(RemoveReport {
            removed: one_of_each(&keep, false, counts),
            kept: one_of_each(&keep, true, counts),
            left: vec![Left {
                path: b"/home/link".to_vec(),
                reason: "symbolic link".into(),
            }],
            writers_excluded: true,
            ..RemoveReport::default()
        })
    }

    async fn stay(&self, account: String) -> Result<()> {
        self.act("stay").await?;
        self.fake.state().epochs.insert(account, "active".into());
        Ok(())
    }

    async fn store_receipt(&self, _storage: Vec<u8>, receipt: String, text: String) -> Result<()> {
        self.act("store_receipt").await?;
        self.fake.state().receipts.insert(receipt, text);
        Ok(())
    }

    async fn erase(&self, spec: AccountSpec, _keep: Vec<String>) -> Result<EraseReport> {
        self.act("erase").await?;
        self.fake.state().epochs.remove(&spec.id);
        let left = |path: &[u8]| Left {
            path: path.to_vec(),
            reason: "later".into(),
        };
        Ok(EraseReport {
            left: vec![left(b"/home/link"), left(b"/home/late\xff")],
        })
    }

    async fn release(
        &self,
        spec: AccountSpec,
        _erasing: bool,
        brought: bool,
    ) -> Result<EraseReport> {
        assert!(brought, "no test forgets a sign-in");
        self.act("release").await?;
        let is_known = self.fake.state().epochs.contains_key(&spec.id);
        assert!(is_known, "what is discarded is not released again");
        Ok(EraseReport::default())
    }

    async fn settle(&self, _spec: AccountSpec) -> Result<()> {
        self.act("settle").await
    }

    async fn discard(&self, spec: AccountSpec) -> Result<EraseReport> {
        self.act("discard").await?;
        self.fake.state().epochs.remove(&spec.id);
        Ok(EraseReport::default())
    }

    async fn backup(&self, _account: String, to: Vec<u8>, name: String) -> Result<BackupReport> {
        self.act("backup").await?;
        let missing = std::mem::take(&mut self.fake.state().missing);
        Ok(BackupReport {
            path: [&to, &b"/"[..], name.as_bytes()].concat(),
            files: Counts {
                files: 5,
                bytes: 50,
            },
            left_out: 1,
            missing_total: missing.len() as u64,
            missing,
            remarks: vec!["It is on the disk of the storage.".into()],
        })
    }

    async fn restore(
        &self,
        _account: String,
        from: Vec<u8>,
        only: Vec<u8>,
        to: Vec<u8>,
    ) -> Result<RestoreReport> {
        let asked = [from, only, to].map(|path| String::from_utf8_lossy(&path).into_owned());
        self.act("restore").await?;
        self.fake.state().calls.push(asked.join(" "));
        Ok(RestoreReport {
            restored: Counts {
                files: 2,
                bytes: 20,
            },
            conflicts: 1,
            equal: 3,
            ..RestoreReport::default()
        })
    }

    async fn check(&self, _account: String) -> Result<CheckReport> {
        self.act("check").await?;
        let problems = std::mem::take(&mut self.fake.state().missing);
        Ok(CheckReport {
            proven: Counts {
                files: 5,
                bytes: 50,
            },
            problems_total: problems.len() as u64,
            problems,
            ..CheckReport::default()
        })
    }

    async fn conflicts(&self, _account: String) -> Result<Vec<mooring_wire::ConflictCopy>> {
        self.act("conflicts").await?;
        Ok(vec![mooring_wire::ConflictCopy {
            path: b"/home/a (conflict d 2026-11-24 01).jpg".to_vec(),
            original: b"/home/a.jpg".to_vec(),
            device: "d".into(),
            size: 3,
            ..Default::default()
        }])
    }

    async fn why(&self, _account: String, file: Vec<u8>) -> Result<WhyReport> {
        self.act("why").await?;
        Ok(WhyReport {
            state: "in-step".into(),
            copies: vec![file],
            read_back_at: 7,
            ..WhyReport::default()
        })
    }

    async fn recall(&self, _account: String, _file: Vec<u8>, unseen: String) -> Result<WhyReport> {
        Ok(WhyReport {
            state: "in-step".into(),
            unseen,
            ..WhyReport::default()
        })
    }

    async fn interrupt(&self, _account: String) -> Result<()> {
        self.act("interrupt").await?;
        self.fake.interrupted.send_modify(|count| *count += 1);
        Ok(())
    }

    #[zbus(signal)]
    async fn changed(emitter: &SignalEmitter<'_>, account: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn progressed(
        emitter: &SignalEmitter<'_>,
        account: &str,
        progress: Progress,
    ) -> zbus::Result<()>;
}
