//! What the scenarios share: Alice, her files, and waiting for what the bus tells.

use std::fs::{self, File, FileTimes, Permissions};
use std::future::poll_fn;
use std::io::Write;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use mooring_api::{AccountProxy, Blocked, JobOutcome, JobProxy, PlanOptions, SignOutOptions};
use mooring_tests::{Ctl, Daemon, Manifest, Output, PATIENCE, World, next};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath};

pub const ALICE: &str = "alice";
pub const PASSWORD: &str = "correct horse battery staple";

/// Names that Mooring itself keeps in a collection, and what lies in them.
fn own(name: &[u8]) -> bool {
    name.split(|b| *b == b'/')
        .any(|part| part.starts_with(b".mooring"))
}

/// What Alice has in her account's folders.
pub fn belongings(world: &World) -> Manifest {
    plain(world.manifest(world.account_folder(ALICE)))
}

/// What the storage holds of it.
pub fn copies(world: &World) -> Manifest {
    plain(world.manifest(world.storage()))
}

/// A manifest without what is Mooring's own.
pub fn plain(manifest: Manifest) -> Manifest {
    manifest.without(own)
}

/// Everything of Alice's folders that is a file, Mooring's staging folder included.
pub fn remains(world: &World) -> usize {
    let marker = |name: &[u8]| name.ends_with(b".mooring-collection");
    world
        .manifest(world.account_folder(ALICE))
        .without(marker)
        .files()
}

/// Writes one of Alice's files; `day` sets its time, to the nanosecond.
pub fn write(path: &Path, content: &[u8], mode: u32, day: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_permissions(Permissions::from_mode(mode)).unwrap();
    let since = Duration::new(1_500_000_000 + u64::from(day) * 86_400, day * 7_654_321);
    let modified = SystemTime::UNIX_EPOCH + since;
    file.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

/// The few files that Alice starts with; answers how many.
pub fn fill(world: &World) -> usize {
    let home = world.account_folder(ALICE);
    for n in 0..20 {
        let photo = format!("Photos/{}/IMG_{n:04}.jpg", 2019 + n % 2);
        write(
            &home.join(photo),
            &vec![n as u8; 100 + 900 * n as usize],
            0o644,
            n,
        );
    }
    for n in 0..8 {
        let card = format!("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Number {n}\r\nEND:VCARD\r\n");
        let name = format!("Contacts/{n:012x}.vcf");
        write(&home.join(name), card.as_bytes(), 0o600, n);
    }
    write(&home.join("Videos/waves.avi"), &vec![7; 300_000], 0o640, 30);
    let odd = [
        ("empty", &b""[..], 0o644),
        ("read only", b"look", 0o444),
        ("mine alone", b"secret", 0o400),
        ("script", b"#!/bin/sh\n", 0o755),
        ("line\nbreak", b"1\n2", 0o644),
        ("-rf", b"no option", 0o644),
        ("日本語", b"text", 0o664),
        ("deep/er/est/file", b"down here", 0o644),
        ("twin 1", b"the same bytes", 0o644),
        ("twin 2", b"the same bytes", 0o600),
    ];
    for ((name, content, mode), day) in odd.into_iter().zip(40..) {
        write(&home.join("Documents").join(name), content, mode, day);
    }
    belongings(world).files()
}

/// `mooringctl sign-in` of Alice, the password not yet given.
pub fn sign_in(world: &World) -> Ctl {
    let storage = world.storage();
    let storage = storage.to_str().unwrap();
    world.ctl(&[
        "sign-in",
        "local",
        "--identity",
        ALICE,
        "--storage",
        storage,
        "--yes",
    ])
}

/// Alice signed in, all her files in the storage.
pub async fn signed_in(world: &World) -> (Daemon, Manifest) {
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(world);
    let before = belongings(world);
    let _ = sync(world).await.expect_code(0);
    before.assert_same(&copies(world));
    (daemon, before)
}

pub async fn sync(world: &World) -> Output {
    world.ctl(&["sync", ALICE, "--wait"]).run().await
}

pub async fn sign_out(world: &World, more: &[&str]) -> Output {
    let arguments = [&["sign-out", ALICE, "--yes"], more].concat();
    world.ctl(&arguments).password(PASSWORD).run().await
}

/// Signs Alice in again and holds what came back to what there was.
pub async fn everything_comes_back(world: &World, before: &Manifest) {
    let told = sign_in(world).password(PASSWORD).run().await.expect_code(0);
    let checked = format!("{0} of {0} checked", before.files());
    assert!(told.stdout.contains(&checked), "{}", told.stdout);
    before.assert_same(&belongings(world));
}

/// The reading end of a pipe that holds a secret and ends.
pub fn piped(secret: &str) -> zbus::OwnedFd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(secret.as_bytes()).unwrap();
    OwnedFd::from(reader).into()
}

/// A client that sees every signal of the daemon, and asks it anew every time.
pub struct Client {
    pub connection: Connection,
    signals: MessageStream,
}

impl Client {
    pub async fn new(world: &World) -> Self {
        let connection = world.connect().await;
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .path_namespace("/org")
            .build()
            .unwrap();
        let signals = MessageStream::for_match_rule(rule, &connection, NonZero::new(4096))
            .await
            .unwrap();
        Self {
            connection,
            signals,
        }
    }

    /// Waits until `look` finds something; it looks again whenever the daemon told anything.
    pub async fn until<T>(&mut self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                let told = next(&mut self.signals).await;
                told.expect("the bus stays").expect("a signal");
                self.pass_by().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("never came: {what}"),
        }
    }

    /// Passes by what was told already: one look is enough for all of it.
    async fn pass_by(&mut self) {
        loop {
            let mut told = pin!(next(&mut self.signals));
            let waiting =
                poll_fn(|context| std::task::Poll::Ready(told.as_mut().poll(context).is_ready()));
            if !waiting.await {
                return;
            }
        }
    }

    pub async fn job(&self, path: &OwnedObjectPath) -> JobProxy<'static> {
        let builder = JobProxy::builder(&self.connection).path(path.clone());
        let uncached = builder.cache_properties(CacheProperties::No);
        uncached.build().await.unwrap()
    }

    /// Alice's account, if there is one.
    pub async fn account(&self, world: &World) -> Option<AccountProxy<'static>> {
        let account = world.account(ALICE).await?;
        let path = account.inner().path().to_owned();
        let builder = AccountProxy::builder(&self.connection).path(path);
        let uncached = builder.cache_properties(CacheProperties::No);
        Some(uncached.build().await.unwrap())
    }

    /// Begins to sign Alice out, with the right password; answers the job.
    pub async fn begin_sign_out(&self, world: &World) -> JobProxy<'static> {
        let account = self.account(world).await.unwrap();
        let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
        let options = SignOutOptions {
            keep: None,
            password: Some(piped(PASSWORD)),
        };
        let job = account.sign_out(&plan.digest, options).await.unwrap();
        self.job(&job).await
    }

    /// Waits until a job is finished.
    pub async fn outcome(&mut self, job: &JobProxy<'_>) -> JobOutcome {
        self.until("the end of the job", async || {
            (job.state().await.unwrap() == "finished").then_some(())
        })
        .await;
        job.outcome().await.unwrap()
    }

    /// Waits until a job is blocked.
    pub async fn blocked(&mut self, job: &JobProxy<'_>) -> Blocked {
        self.until("that the job waits", async || {
            let state = job.state().await.unwrap();
            assert_ne!(state, "finished", "{:?}", job.outcome().await);
            (state == "blocked").then_some(())
        })
        .await;
        job.blocked().await.unwrap()
    }
}

/// The worker stands still; it goes on when this is dropped.
pub struct Stopped(Pid);

impl Stopped {
    pub fn worker_of(daemon: &Daemon) -> Self {
        let pid = daemon.worker_pid().expect("a worker");
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Gone is as good as going on.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// The text of the last receipt, as a person reads it.
pub async fn last_receipt(world: &World) -> String {
    let receipts = world.ctl(&["receipts", "--json"]).run().await;
    let receipts = receipts.expect_code(0).json();
    let id = receipts["receipts"][0]["id"].as_str().unwrap();
    let shown = world.ctl(&["receipts", "show", id]).run().await;
    shown.expect_code(0).stdout
}
