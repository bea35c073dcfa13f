//! Descriptors that are no secrets: whatever a client passes, it is answered in time, and what it
//! passed does no harm.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mooring_api::{Error, PlanOptions, SECRET_TIMEOUT_SECONDS, SignInOptions, SignOutOptions};
use mooring_tests::World;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::stage::{ALICE, Client, PASSWORD, belongings, piped, signed_in};

/// How long an answer may take: the daemon's own bound, and room for a busy machine.
const IN_TIME: Duration = Duration::from_secs(SECRET_TIMEOUT_SECONDS + 5);

fn memfd(content: &[u8], seals: SealFlag) -> OwnedFd {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("secret", flags).unwrap());
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file.into()
}

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

fn open(path: &str, flags: OFlag) -> OwnedFd {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits());
    options.open(path).unwrap().into()
}

/// One of each kind, with what must be kept open meanwhile.
fn hostile(world: &World) -> Vec<(&'static str, OwnedFd, Option<OwnedFd>)> {
    let (empty, ended) = std::io::pipe().unwrap();
    drop(ended);
    let (closed, writing) = std::io::pipe().unwrap();
    drop(closed);
    let (silent, kept) = std::io::pipe().unwrap();
    let (other_end, reading) = UnixStream::pair().unwrap();
    let (long, mut long_writer) = std::io::pipe().unwrap();
    long_writer.write_all(&[b'x'; 5000]).unwrap();
    let file = world.folder().join("a file");
    std::fs::write(&file, PASSWORD).unwrap();
    let file = file.to_str().unwrap();
    let nothing = OFlag::empty();
    vec![
        ("an empty pipe", empty.into(), None),
        ("a writing end without a reader", writing.into(), None),
        ("a pipe that never ends", silent.into(), Some(kept.into())),
        ("a pipe with too much in it", long.into(), None),
        ("a socket", other_end.into(), Some(reading.into())),
        ("a folder", open("/", nothing), None),
        ("/dev/null", open("/dev/null", nothing), None),
        ("/dev/zero", open("/dev/zero", nothing), None),
        ("a file", open(file, nothing), None),
        ("a file as O_PATH", open(file, OFlag::O_PATH), None),
        ("a folder as O_PATH", open("/", OFlag::O_PATH), None),
        (
            "an unsealed memfd",
            memfd(PASSWORD.as_bytes(), SealFlag::empty()),
            None,
        ),
        (
            "a memfd that may grow",
            memfd(PASSWORD.as_bytes(), SealFlag::F_SEAL_WRITE),
            None,
        ),
        ("an empty memfd", memfd(b"", all_seals()), None),
        (
            "a memfd with too much in it",
            memfd(&[b'x'; 5000], all_seals()),
            None,
        ),
    ]
}

#[track_caller]
fn expect_refused<T: std::fmt::Debug>(
    what: &str,
    member: &str,
    since: Instant,
    answer: Result<T, Error>,
) {
    let taken = since.elapsed();
    assert!(taken < IN_TIME, "{member} takes {taken:?} for {what}");
    match answer {
        Err(Error::InvalidArgument(said)) => assert!(said.len() > 5, "{member} {what}: {said}"),
        other => panic!("{member} with {what}: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_secret_is_refused_in_time() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let (account, manager) = (client.account(&world).await.unwrap(), world.manager().await);
    let digest = account
        .plan_sign_out(PlanOptions::default())
        .await
        .unwrap()
        .digest;
    let job = account
        .sign_out(&digest, SignOutOptions::default())
        .await
        .unwrap();
    let job = client.job(&job).await;
    client.blocked(&job).await;
    let storage = Some(
        world
            .folder()
            .join("other")
            .into_os_string()
            .into_encoded_bytes(),
    );

    // One for each call: what one reader takes out of a pipe, another does not find in it.
    let sets = hostile(&world)
        .into_iter()
        .zip(hostile(&world))
        .zip(hostile(&world));
    for (((what, a, _a), (_, b, _b)), (_, c, _c)) in sets {
        let since = Instant::now();
        let sign_in = SignInOptions {
            storage: storage.clone(),
            create: Some(true),
            password: Some(a.into()),
            ..SignInOptions::default()
        };
        let sign_out = SignOutOptions {
            keep: None,
            password: Some(b.into()),
        };
        // All at once: nobody waits for another's silence.
        let (a, b, c) = tokio::join!(
            manager.sign_in("local", "bob", sign_in),
            account.sign_out(&digest, sign_out),
            job.authenticate(c.into()),
        );
        expect_refused(what, "SignIn", since, a);
        expect_refused(what, "SignOut", since, b);
        expect_refused(what, "Authenticate", since, c);
        assert_eq!(job.state().await.unwrap(), "blocked", "{what}");
    }
    before.assert_same(&belongings(&world));
    assert!(!world.folder().join("other").exists());
    job.cancel().await.unwrap();
    assert_eq!(client.outcome(&job).await.error, "Cancelled");
    assert_eq!(account.state().await.unwrap(), "active");
    before.assert_same(&belongings(&world));
}

#[tokio::test]
async fn what_is_no_policy_is_refused_in_time() {
    let world = World::new();
    let _daemon = world.daemon().await;
    let manager = world.manager().await;
    for (what, fd, _kept) in hostile(&world) {
        let since = Instant::now();
        let answer = manager.check_policy("x.toml", fd.into()).await;
        assert!(since.elapsed() < IN_TIME, "{what}");
        match what {
            // These are documents, of which one is no policy and one is empty.
            "an empty pipe" | "an empty memfd" => assert!(answer.is_ok(), "{what}: {answer:?}"),
            "a file" | "an unsealed memfd" | "a memfd that may grow" => {
                assert_eq!(answer.unwrap().len(), 1, "{what}");
            }
            "a pipe with too much in it" | "a memfd with too much in it" => {
                assert!(!answer.unwrap().is_empty(), "{what}");
            }
            _ => expect_refused(what, "CheckPolicy", since, answer),
        }
    }
    let long = memfd(&vec![b'#'; 70 * 1024], all_seals());
    let found = manager.check_policy("x.toml", long.into()).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let name = "x".repeat(1 << 20);
    let answer = manager
        .check_policy(&name, memfd(b"", all_seals()).into())
        .await;
    assert!(
        matches!(answer, Err(Error::InvalidArgument(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_recovery_code_that_nobody_takes_makes_no_account() {
    let world = World::new();
    let _daemon = world.daemon().await;
    let mut client = Client::new(&world).await;
    let manager = world.manager().await;
    let before = world.manifest(world.storage());
    for (what, fd, _kept) in hostile(&world) {
        if what == "a socket" {
            // The same as any other that is no pipe.
            continue;
        }
        let options = SignInOptions {
            storage: Some(world.storage().into_os_string().into_encoded_bytes()),
            create: Some(true),
            password: Some(piped(PASSWORD)),
            recovery_code: Some(fd.into()),
            ..SignInOptions::default()
        };
        let Ok(job) = manager.sign_in("local", ALICE, options).await else {
            continue;
        };
        let job = client.job(&job).await;
        let outcome = client.outcome(&job).await;
        assert!(
            !outcome.success && !outcome.message.is_empty(),
            "{what}: {outcome:?}"
        );
        assert!(world.account(ALICE).await.is_none(), "{what}");
    }
    before.assert_same(&world.manifest(world.storage()));
    assert!(!world.account_folder(ALICE).exists());
    world.sign_in(ALICE, PASSWORD).await;
}
