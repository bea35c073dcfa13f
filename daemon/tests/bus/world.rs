//! A bus, folders and a broker for one test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mooring_api::{
    AccountProxy, CollectionSpec, FilesProxy, JobProxy, ManagerProxy, SignInOptions, SignOutOptions,
};
use mooring_core::identity::Cost;
use mooringd::broker::{Broker, Parts};
use mooringd::bus;
use mooringd::clock::Clock;
use mooringd::folders::{Folders, Mode};
use mooringd::people::People;
use mooringd::published::{JobState, JobView, Published};
use mooringd::rules::Device;
use mooringd::store::Store;
use tempfile::TempDir;
use zbus::{Connection, OwnedObjectPath};

use crate::worker::Fake;

/// Nothing that a test waits for takes this long.
pub const BOUND: Duration = Duration::from_secs(20);
const CHEAP: Cost = Cost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};
pub const STORAGE: &[u8] = b"/mnt/nas";

pub struct World {
    bus: Child,
    address: String,
    pub home: TempDir,
    pub fake: Fake,
    pub clock: Arc<Turned>,
}

pub struct Turned(pub AtomicU64);

impl Clock for Turned {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl World {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("bus");
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .arg(format!("--address=unix:path={}", socket.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is needed: apt-get install dbus");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let clock = Arc::new(Turned(AtomicU64::new(1_795_446_000)));
        let world = Self {
            bus,
            address: address.trim().to_owned(),
            home,
            fake: Fake::new(),
            clock,
        };
        world.write_settings("[sync]\ncontinuous = false\n");
        world
    }

    /// Settings for the next broker. Without any, nothing is synced by itself.
    pub fn write_settings(&self, text: &str) {
        let folder = self.folders().config.join("mooring.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("10-test.toml"), text).unwrap();
    }

    pub fn folders(&self) -> Folders {
        let home = self.home.path();
        Folders::below(&home.join("config/mooring"), &home.join("state"), home)
    }

    pub async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address.as_str())
            .build()
            .await
            .unwrap()
    }

    /// A broker on the bus, and a client.
    pub async fn start(&self) -> Running {
        self.start_as(nix::unistd::getuid().as_raw()).await
    }

    pub async fn start_as(&self, uid: u32) -> Running {
        let folders = self.folders();
        folders.make().unwrap();
        let store = Store::open(&folders.state.join("broker.db")).unwrap();
        let key = mooringd::sealed::Key::from_bytes(&[7; 32]).unwrap();
        store
            .use_key(key, mooringd::keys::Place::Credential)
            .unwrap();
        let store = Arc::new(store);
        let rules = Device::load(folders.clone(), store.clone(), self.clock.now()).unwrap();
        let broker = Broker::new(Parts {
            mode: Mode::Session,
            store,
            rules,
            folders,
            clock: self.clock.clone(),
            launcher: Arc::new(self.fake.clone()),
            cost: CHEAP,
            uid,
            system_bus: Some(self.address.clone()),
            numbers: Arc::default(),
        })
        .unwrap();
        let connection = self.connect().await;
        let people = Arc::new(People::One(broker.clone()));
        let serving = bus::serve(&connection, people).await.unwrap();
        let publishing = tokio::spawn(async move { serving.run().await.unwrap() });
        let client = self.connect().await;
        let manager = ManagerProxy::new(&client).await.unwrap();
        Running {
            broker,
            connection,
            publishing,
            client,
            manager,
        }
    }

    pub fn write_policy(&self, text: &str) {
        let folder = self.folders().policies.remove(0);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("10-test.toml"), text).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

pub struct Running {
    pub broker: Arc<Broker>,
    connection: Connection,
    publishing: tokio::task::JoinHandle<()>,
    pub client: Connection,
    pub manager: ManagerProxy<'static>,
}

impl Running {
    /// Stops in the middle of whatever is under way.
    pub async fn stop(self) {
        self.publishing.abort();
        self.broker.stop().await;
        self.connection.close().await.unwrap();
    }

    /// Waits until what clients see is so.
    pub async fn until(&self, what: &str, so: impl FnMut(&Published) -> bool) {
        let mut published = self.broker.published.subscribe();
        let waited = tokio::time::timeout(BOUND, published.wait_for(so)).await;
        assert!(
            waited.is_ok(),
            "never: {what}\n{:#?}",
            self.broker.published.borrow().jobs
        );
    }

    pub async fn job_until(&self, number: u64, so: impl Fn(&JobView) -> bool) -> JobView {
        self.until("a job", |p| p.jobs.get(&number).is_some_and(|job| so(job)))
            .await;
        JobView::clone(&self.broker.published.borrow().jobs[&number])
    }

    pub async fn ended(&self, number: u64) -> JobView {
        self.job_until(number, |job| job.state == JobState::Finished)
            .await
    }

    pub async fn blocked(&self, number: u64, error: &str) -> JobView {
        self.job_until(number, |job| {
            job.state == JobState::Blocked && job.blocked.error == error
        })
        .await
    }

    pub async fn job(&self, number: u64) -> JobProxy<'static> {
        let path = format!("/org/mooring1/jobs/{number}");
        JobProxy::builder(&self.client)
            .path(path)
            .build()
            .await
            .unwrap()
    }

    pub async fn account(&self) -> AccountProxy<'static> {
        AccountProxy::builder(&self.client)
            .path(self.account_path())
            .build()
            .await
            .unwrap()
    }

    pub async fn files(&self) -> FilesProxy<'static> {
        FilesProxy::builder(&self.client)
            .path(self.account_path())
            .build()
            .await
            .unwrap()
    }

    fn account_path(&self) -> String {
        format!("/org/mooring1/accounts/{}", self.account_id())
    }

    pub fn account_id(&self) -> String {
        self.broker
            .published
            .borrow()
            .accounts
            .keys()
            .next()
            .unwrap()
            .clone()
    }

    /// Signs alice in to a new storage; everything is as it should be.
    pub async fn signed_in(&self) {
        let (code, options) = new_identity("right-password");
        let path = self
            .manager
            .sign_in("local", "alice", options)
            .await
            .unwrap();
        let job = self.ended(number(&path)).await;
        assert!(job.outcome.success, "{:?}", job.outcome);
        assert_eq!(written(code).split_whitespace().count(), 12);
    }

    /// Begins a sign-out as planned.
    pub async fn sign_out(&self, password: Option<&str>, keep: &[&str]) -> u64 {
        let account = self.account().await;
        let keep: Vec<String> = keep.iter().map(|k| (*k).to_owned()).collect();
        let options = mooring_api::PlanOptions {
            keep: Some(keep.clone()),
        };
        let plan = account.plan_sign_out(options).await.unwrap();
        let options = SignOutOptions {
            keep: Some(keep),
            password: password.map(|p| piped(p).into()),
        };
        number(&account.sign_out(&plan.digest, options).await.unwrap())
    }
}

/// Options that make a new identity; what its recovery code is written to comes first.
pub fn new_identity(password: &str) -> (OwnedFd, SignInOptions) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let options = SignInOptions {
        create: Some(true),
        recovery_code: Some(writer.into()),
        password: Some(piped(password).into()),
        ..known_identity()
    };
    (reader, options)
}

pub fn known_identity() -> SignInOptions {
    SignInOptions {
        storage: Some(STORAGE.to_vec()),
        device: Some("laptop".into()),
        collections: Some(
            ["photos", "documents"]
                .map(|name| CollectionSpec {
                    name: name.into(),
                    root: Vec::new(),
                })
                .to_vec(),
        ),
        ..SignInOptions::default()
    }
}

pub fn piped(text: &str) -> OwnedFd {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    File::from(writer).write_all(text.as_bytes()).unwrap();
    reader
}

pub fn written(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    text
}

pub fn number(path: &OwnedObjectPath) -> u64 {
    path.as_str()
        .strip_prefix("/org/mooring1/jobs/")
        .unwrap()
        .parse()
        .unwrap()
}

pub fn receipt_files(world: &World) -> Vec<PathBuf> {
    let folder = world.folders().receipts;
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// The next item of a stream.
pub async fn next<S: zbus::export::futures_core::Stream + Unpin>(stream: &mut S) -> S::Item {
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context))
        .await
        .unwrap()
}
