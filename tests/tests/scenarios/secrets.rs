//! A password and a recovery code go through everything, and are then found nowhere.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;

use mooring_api::{PlanOptions, ResetPasswordOptions, SignInOptions, SignOutOptions};
use mooring_tests::{Output, PATIENCE, World, next};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use zbus::MessageStream;
use zbus::fdo::{DBusProxy, MonitoringProxy};
use zbus::names::BusName;

use crate::stage::{ALICE, Client, fill, piped, sign_in, sync};

const PASSWORD: &str = "Wellenbrecher-7f31-Leuchtturm";
const WRONG: &str = "Nebelhorn-b20c-Schleppanker";
/// The password in between.
const CHANGED: &str = "Takelage-91aa-Kompassrose";
/// Asked of the bus when there is nothing more to come.
const THE_END: &str = "org.mooring.TheEnd";

/// What must not be found.
struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    fn new(texts: &[&str]) -> Self {
        let mut needles = Vec::new();
        for text in texts {
            needles.push(text.as_bytes().to_vec());
            let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
            needles.push(hex.clone().into_bytes());
            needles.push(hex.to_uppercase().into_bytes());
            let wide = text.encode_utf16().flat_map(u16::to_le_bytes);
            needles.push(wide.collect());
            // As a list of numbers, the way a careless `{:?}` shows bytes.
            needles.push(format!("{:?}", text.as_bytes()).into_bytes());
        }
        Self(needles)
    }

    /// Where any of them stands in some bytes.
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let at = |needle: &Vec<u8>| bytes.windows(needle.len()).position(|w| w == needle);
        self.0.iter().find_map(at)
    }

    #[track_caller]
    fn expect_none(&self, place: &str, bytes: &[u8]) {
        if let Some(at) = self.find(bytes) {
            let around = &bytes[at.saturating_sub(80)..(at + 120).min(bytes.len())];
            panic!("a secret stands in {place}: {}", around.escape_ascii());
        }
    }

    /// The first file below a folder that holds one of them, in its name or its bytes.
    fn find_below(&self, folder: &Path) -> Option<std::path::PathBuf> {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.as_os_str().as_encoded_bytes();
            let found = self.find(name).is_some()
                || meta.is_file() && self.find(&fs::read(&path).unwrap()).is_some();
            if found {
                return Some(path);
            }
            if meta.is_dir()
                && let Some(below) = self.find_below(&path)
            {
                return Some(below);
            }
        }
        None
    }

    /// What the system shows of a process to everybody, and to its own user.
    fn expect_none_of(&self, pid: Pid) {
        for name in ["cmdline", "environ", "comm"] {
            let path = format!("/proc/{pid}/{name}");
            // A short-lived command may be gone, and then it shows nothing.
            if let Ok(bytes) = fs::read(&path) {
                self.expect_none(&path, &bytes);
            }
        }
    }
}

/// Everything that goes over the bus, from now to the question after [`THE_END`].
async fn listen(world: &World) -> JoinHandle<Vec<u8>> {
    let connection = world.connect().await;
    let monitor = MonitoringProxy::new(&connection).await.unwrap();
    let mut messages = MessageStream::from(&connection);
    monitor.become_monitor(&[], 0).await.unwrap();
    tokio::spawn(async move {
        let _connection = connection;
        let mut heard = Vec::new();
        while let Some(Ok(message)) = next(&mut messages).await {
            heard.extend_from_slice(message.data().bytes());
            if message
                .data()
                .bytes()
                .windows(THE_END.len())
                .any(|w| w == THE_END.as_bytes())
            {
                break;
            }
        }
        heard
    })
}

/// Makes the account, and answers its recovery code.
pub async fn create(world: &World) -> String {
    let mut client = Client::new(world).await;
    let (reader, writer) = std::io::pipe().unwrap();
    let options = SignInOptions {
        storage: Some(world.storage().into_os_string().into_encoded_bytes()),
        create: Some(true),
        password: Some(piped(PASSWORD)),
        recovery_code: Some(OwnedFd::from(writer).into()),
        ..SignInOptions::default()
    };
    let manager = world.manager().await;
    let job = manager.sign_in("local", ALICE, options).await.unwrap();
    let code = code(reader).await;
    let job = client.job(&job).await;
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");
    code
}

/// The recovery code that comes on a pipe.
async fn code(reader: std::io::PipeReader) -> String {
    let code = tokio::task::spawn_blocking(move || {
        // Up to the newline: whoever listens on the bus has the writing end, too.
        let mut code = String::new();
        BufReader::new(reader).read_line(&mut code).unwrap();
        code
    });
    let code = tokio::time::timeout(PATIENCE, code).await.unwrap().unwrap();
    assert_eq!(code.split_whitespace().count(), 12, "twelve words");
    code.trim().to_owned()
}

/// `mooringctl password change`.
pub async fn change(world: &World, old: &str, new: &str) -> Output {
    let call = world.ctl(&["password", "change", ALICE]).password(old);
    call.secret("--new-password-fd", new).run().await
}

/// Sets a password by the recovery code, and answers the next code.
pub async fn reset(world: &World, by: &str, new: &str) -> String {
    let (reader, writer) = std::io::pipe().unwrap();
    let options = ResetPasswordOptions {
        recovery_code: Some(piped(by)),
        new_password: Some(piped(new)),
        new_recovery_code: Some(OwnedFd::from(writer).into()),
    };
    let account = world.account(ALICE).await.unwrap();
    account.reset_password(options).await.unwrap();
    code(reader).await
}

/// Every property of every object, as the bus shows them.
async fn properties(world: &World) -> Vec<u8> {
    let connection = world.connect().await;
    let objects = zbus::fdo::ObjectManagerProxy::builder(&connection)
        .destination(mooring_api::BUS_NAME)
        .path(mooring_api::ROOT_PATH)
        .build()
        .await
        .unwrap();
    let objects = objects.get_managed_objects().await.unwrap();
    format!("{objects:?}").into_bytes()
}

#[tokio::test]
async fn secrets_are_found_nowhere() {
    let world = World::new();
    let heard = listen(&world).await;
    let daemon = world
        .daemon_with(&[("MOORING_LOG", "trace".as_ref())])
        .await;
    let code = create(&world).await;
    let words: Vec<&str> = code.split(' ').collect();
    // Four words in a row are no accident, and a part of a code is too much, too.
    let parts = [
        words[..4].join(" "),
        words[4..8].join(" "),
        words[8..].join(" "),
    ];
    let parts = parts.each_ref().map(String::as_str);
    let secrets = Secrets::new(&[&[PASSWORD, WRONG], &parts[..]].concat());
    fill(&world);
    let _ = sync(&world).await.expect_code(0);

    let mut told = Vec::new();
    told.push(change(&world, WRONG, CHANGED).await.expect_code(4));
    told.push(change(&world, PASSWORD, CHANGED).await.expect_code(0));
    let next = reset(&world, &code, PASSWORD).await;
    let next = Secrets::new(&[CHANGED, &next]);
    // Wrong, by the call and by the job; then right.
    for (password, code) in [(WRONG, 4), (PASSWORD, 0)] {
        let call = world.ctl(&["sign-out", ALICE, "--yes"]).password(password);
        let running = call.start().await;
        secrets.expect_none_of(Pid::from_raw(running.pid().unwrap().try_into().unwrap()));
        secrets.expect_none_of(daemon.pid());
        secrets.expect_none_of(daemon.worker_pid().unwrap());
        told.push(running.output().await.expect_code(code));
    }
    told.push(sign_in(&world).password(WRONG).run().await.expect_code(4));
    told.push(
        sign_in(&world)
            .password(PASSWORD)
            .run()
            .await
            .expect_code(0),
    );
    wrong_and_right_by_the_bus(&world).await;
    told.push(world.ctl(&["--json"]).run().await);

    for told in told {
        next.expect_none(&told.command, told.stdout.as_bytes());
        next.expect_none(&told.command, told.stderr.as_bytes());
        secrets.expect_none(&told.command, told.stdout.as_bytes());
        secrets.expect_none(&told.command, told.stderr.as_bytes());
    }
    secrets.expect_none("the properties", &properties(&world).await);
    assert!(daemon.log().contains("DEBUG"), "the log tells everything");
    assert!(daemon.terminate().await.success());
    assert_eq!(secrets.find_below(world.folder()), None);
    assert_eq!(next.find_below(world.folder()), None);
    let end = DBusProxy::new(&world.connect().await).await.unwrap();
    end.name_has_owner(BusName::try_from(THE_END).unwrap())
        .await
        .unwrap();
    let heard = tokio::time::timeout(PATIENCE, heard)
        .await
        .unwrap()
        .unwrap();
    assert!(
        Secrets::new(&["Authenticate"]).find(&heard).is_some(),
        "the bus was listened to"
    );
    secrets.expect_none("a message on the bus", &heard);
    next.expect_none("a message on the bus", &heard);

    // A search that finds nothing proves nothing, unless it would find something.
    let log = world.folder().join("planted.log");
    fs::write(&log, format!("DEBUG password={PASSWORD:?}\n")).unwrap();
    assert_eq!(secrets.find_below(world.folder()), Some(log.clone()));
    fs::write(&log, format!("TRACE code: {}", parts[1])).unwrap();
    assert_eq!(secrets.find_below(world.folder()), Some(log));
}

/// A sign-out without a password waits for one, hears a wrong one, and is cancelled.
async fn wrong_and_right_by_the_bus(world: &World) {
    let mut client = Client::new(world).await;
    let account = client.account(world).await.unwrap();
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    let job = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await
        .unwrap();
    let job = client.job(&job).await;
    assert_eq!(client.blocked(&job).await.error, "ReauthRequired");
    let refused = job.authenticate(piped(WRONG)).await.unwrap_err();
    assert_eq!(refused.kind(), "IncorrectPassword");
    job.cancel().await.unwrap();
    assert_eq!(client.outcome(&job).await.error, "Cancelled");
}
