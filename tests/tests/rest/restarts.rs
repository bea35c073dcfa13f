//! A service manager that keeps descriptors (`sd_notify(3)`, `FDSTORE=1`) brings an account's watch
//! from one life of the broker to the next: what changes in between is heard, and nothing else is
//! looked at.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use mooring_tests::{Daemon, World, binary};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::stage::*;

/// Becomes the daemon with what came as standard input and output at the places where a service
/// manager puts what it kept (`sd_listen_fds(3)`).
const BECOME: &str = "exec 3<&0 4<&1 </dev/null >/dev/null; \
                      export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$0\" --session";

/// What is kept, by its name.
type Kept = Arc<Mutex<BTreeMap<String, OwnedFd>>>;

/// Keeps what it is told to, as a service manager does, until the test ends.
fn keeper(world: &World) -> Kept {
    let socket = UnixDatagram::bind(world.folder().join("notify")).unwrap();
    let kept = Kept::default();
    let keeps = kept.clone();
    // Ends with the process of the tests: the socket says nothing when its last sender is gone.
    std::thread::spawn(move || {
        loop {
            let (told, descriptor) = receive(&socket);
            let lines = || told.lines().filter_map(|line| line.split_once('='));
            let of = |key: &str| lines().find(|(k, _)| *k == key).map(|(_, value)| value);
            let name = of("FDNAME").map(str::to_owned);
            let mut kept = keeps.lock().unwrap();
            match (of("FDSTORE"), of("FDSTOREREMOVE"), name, descriptor) {
                (Some("1"), None, Some(name), Some(descriptor)) => {
                    kept.insert(name, descriptor);
                }
                (None, Some("1"), Some(name), None) => drop(kept.remove(&name)),
                // How the daemon is.
                (None, None, None, None) => {}
                other => panic!("{told:?} with {other:?}"),
            }
        }
    });
    kept
}

/// One message, with the descriptor that came along.
fn receive(socket: &UnixDatagram) -> (String, Option<OwnedFd>) {
    let mut bytes = [0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let told = str::from_utf8(&bytes[..received.bytes]).unwrap();
    (told.to_owned(), descriptor)
}

/// The daemon, kept for by whoever listens at the world's `notify`.
async fn kept_for(world: &World) -> Daemon {
    let notify = world.folder().join("notify");
    let env = [("NOTIFY_SOCKET", notify.as_os_str())];
    world.daemon_with(&env).await
}

/// The next daemon, with what was kept of the one before.
async fn next_with(world: &World, kept: &Kept) -> Daemon {
    let (names, mut descriptors): (Vec<String>, Vec<OwnedFd>) = {
        let kept = kept.lock().unwrap();
        let all = kept.iter();
        all.map(|(name, it)| (name.clone(), it.try_clone().unwrap()))
            .unzip()
    };
    assert_eq!(names.len(), 2, "{names:?}");
    let mut command = world.command("/bin/sh");
    let second = descriptors.pop().unwrap();
    command
        .args([OsStr::new("-c"), OsStr::new(BECOME)])
        .arg(binary("mooringd"))
        .env("NOTIFY_SOCKET", world.folder().join("notify"))
        .env("LISTEN_FDNAMES", names.join(":"))
        .stdin(Stdio::from(descriptors.pop().unwrap()))
        .stdout(Stdio::from(second));
    world.daemon_by(command).await
}

fn names(kept: &Kept) -> Vec<String> {
    kept.lock().unwrap().keys().cloned().collect()
}

/// How often a watch was taken up, everything was looked at, and only what changed, so far.
fn looks(daemon: &Daemon) -> [usize; 3] {
    [
        "the watch is taken up",
        "looks at everything",
        "looks at what changed",
    ]
    .map(|what| told(daemon, what))
}

#[tokio::test]
async fn what_changes_while_no_broker_runs_is_heard_by_the_watch_that_was_kept() {
    let world = restless();
    idle(&world, 4);
    let kept = keeper(&world);
    let mut daemon = kept_for(&world).await;
    fill(&world).await;
    rested(&daemon).await;
    for (n, tidy) in [true, false].into_iter().enumerate() {
        until("both to be kept", || names(&kept).len() == 2).await;
        let before = looks(&daemon);
        match tidy {
            true => assert!(daemon.terminate().await.success()),
            false => daemon.kill(),
        }
        // Said by nobody, looked at by nobody: only the kernel knows.
        let late = format!("Documents/folder 1/late {n}");
        write(&world, &late, "while nobody ran");
        daemon = next_with(&world, &kept).await;
        until("the copy", || there(&world, &late).exists()).await;
        rested(&daemon).await;
        in_step(&world).await;
        let [taken, everything, changed] = looks(&daemon);
        assert!(taken > before[0] && changed > before[2], "tidy: {tidy}");
        assert_eq!(everything, before[1], "tidy: {tidy}");
    }

    // Without what was kept, everything is looked at.
    let before = looks(&daemon);
    assert!(daemon.terminate().await.success());
    write(&world, "Documents/folder 2/later", "while nobody ran");
    let daemon = kept_for(&world).await;
    in_step(&world).await;
    rested(&daemon).await;
    let [taken, everything, _] = looks(&daemon);
    assert_eq!(taken, before[0]);
    assert!(everything > before[1]);
}

#[tokio::test]
async fn nothing_is_kept_of_an_account_that_is_gone() {
    let world = restless();
    let kept = keeper(&world);
    let daemon = kept_for(&world).await;
    fill(&world).await;
    rested(&daemon).await;
    until("both to be kept", || names(&kept).len() == 2).await;
    let out = world.ctl(&["sign-out", ALICE, "--yes"]).password(PASSWORD);
    let _ = out.run().await.expect_code(0);
    rested(&daemon).await;
    until("nothing to be kept", || names(&kept).is_empty()).await;
}
