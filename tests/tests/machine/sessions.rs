//! Sessions of logind: what needs no password of the device is for whoever sits at it. A person who
//! comes from elsewhere is asked for one.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use mooring_tests::Machine;
use zbus::{OwnedFd, OwnedObjectPath, OwnedVariant, Proxy};

/// What a call is told where nobody is there to give a password.
const ASKS: &str = "there is nobody to ask";

/// A call of somebody, which is made when they are told to.
struct Call {
    child: Child,
    said: BufReader<ChildStdout>,
    pid: u32,
}

impl Call {
    /// A sign-in. It does not get far: its storage is not there.
    fn of(machine: &Machine, person: &str) -> Self {
        let script = "echo $$; read go; exec busctl --system --allow-interactive-authorization=yes \
                      call org.mooring1 /org/mooring1 org.mooring1.Manager SignIn 'ssa{sv}' local \
                      alice 1 storage ay 2 47 115 2>&1";
        let mut child = machine
            .command_as(person, &["sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut pid = String::new();
        said.read_line(&mut pid).unwrap();
        let pid = pid.trim().parse().unwrap();
        Self { child, said, pid }
    }

    /// Makes it, and answers what it is told.
    fn go(mut self) -> String {
        let mut input = self.child.stdin.take().unwrap();
        input.write_all(b"go\n").unwrap();
        let mut told = String::new();
        self.said.read_to_string(&mut told).unwrap();
        assert!(!self.child.wait().unwrap().success(), "{told}");
        told
    }
}

/// What logind answers of a new session; it lasts as long as the descriptor in it.
type Session = (
    String,
    OwnedObjectPath,
    String,
    OwnedFd,
    u32,
    String,
    u32,
    bool,
);

/// Has logind make a session of `ann`'s around the process of a call, as pam_systemd(8) does.
async fn session(machine: &Machine, call: &Call, seat: &str) -> Session {
    let bus = machine.connect().await;
    let logind = Proxy::new(
        &bus,
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
    )
    .await
    .unwrap();
    let remote = seat.is_empty();
    let host = if remote { "afar" } else { "" };
    // uid, pid, service, type, class, desktop, seat, terminal, tty, display, remote, by whom, whence.
    let arguments = (
        1000_u32,
        call.pid,
        "mooring-test",
        "tty",
        "user",
        "",
        seat,
        0_u32,
        "",
        "",
        remote,
        "",
        host,
        Vec::<(String, OwnedVariant)>::new(),
    );
    logind.call("CreateSession", &arguments).await.unwrap()
}

#[tokio::test]
async fn who_sits_at_the_device_is_asked_for_nothing() {
    let machine = Machine::new();
    machine.run_as("ann", &["mooringctl", "--system", "status"]);
    let nowhere = Call::of(&machine, "ann").go();
    assert!(nowhere.contains(ASKS), "{nowhere}");

    let afar = Call::of(&machine, "ann");
    let _remote = session(&machine, &afar, "").await;
    let here = Call::of(&machine, "ann");
    let _local = session(&machine, &here, "seat0").await;
    let told = afar.go();
    assert!(told.contains(ASKS), "{told}");
    let told = here.go();
    assert!(!told.contains(ASKS), "{told}");
}
