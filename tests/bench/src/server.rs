//! A daemon with accounts, asked as any client asks it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mooring_api::{BUS_NAME, ROOT_PATH};
use mooring_tests::{PATIENCE, Process, next};
use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zbus::fdo::{DBusProxy, ManagedObjects};
use zbus::{Connection, Message};

use crate::process;
use crate::stage::Stage;

/// How long one question is asked again and again.
const ASKED: Duration = Duration::from_secs(2);
/// How long before that it is asked without being measured.
const WARM: Duration = Duration::from_millis(200);
/// Clients that ask at the same time.
const CLIENTS: u32 = 32;
/// What starts goa-daemon says where it is, which differs between distributions.
const GOA_SERVICE: &str = "/usr/share/dbus-1/services/org.gnome.OnlineAccounts.service";
const GOA_INSTALL: &str = "run: apt-get install gnome-online-accounts (or: tests/setup.sh bench)";

const PEER: &str = "org.freedesktop.DBus.Peer";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A daemon, and how to ask it.
pub struct Server {
    program: String,
    arguments: &'static [&'static str],
    name: &'static str,
    root: &'static str,
    account: &'static str,
}

/// What one life of it showed: memory at rest in KiB, times of one call.
pub struct Figures {
    pub resident: u64,
    pub share: u64,
    pub dirty: u64,
    pub start: Duration,
    pub ping: Duration,
    pub objects: Duration,
    pub together: Duration,
}

impl Server {
    /// Ours.
    pub fn mooring() -> Self {
        Self {
            program: "mooringd".into(),
            arguments: &["--session"],
            name: BUS_NAME,
            root: ROOT_PATH,
            account: "org.mooring1.Account",
        }
    }

    /// GNOME's.
    ///
    /// # Panics
    /// When it is missing, with the line that installs it.
    pub fn goa() -> Self {
        let text = fs::read_to_string(GOA_SERVICE)
            .unwrap_or_else(|e| panic!("{GOA_SERVICE}: {e}; {GOA_INSTALL}"));
        let program = text.lines().find_map(|line| line.strip_prefix("Exec="));
        Self {
            program: program.expect("a program").trim().into(),
            arguments: &[],
            name: "org.gnome.OnlineAccounts",
            root: "/org/gnome/OnlineAccounts",
            account: "org.gnome.OnlineAccounts.Account",
        }
    }

    /// The version of the package that it is from.
    pub fn goa_version() -> String {
        let query = ["-W", "-f", "${Package} ${Version}", "gnome-online-accounts"];
        let out = Command::new("dpkg-query").args(query).output();
        out.ok()
            .filter(|out| out.status.success())
            .and_then(|out| String::from_utf8(out.stdout).ok())
            .unwrap_or_else(|| "gnome-online-accounts of another kind of package".into())
    }

    /// Starts it, lets it come to rest, asks it, and ends it.
    pub async fn measure(&self, stage: &Stage) -> Figures {
        let client = stage.world.connect().await;
        let (mut process, start) = self.start(stage, &client).await;
        let account = self.an_account(stage, &client).await;
        let pid = process.pid();
        process::rest(pid).await;
        let [resident, share, dirty] =
            ["Rss:", "Pss:", "Private_Dirty:"].map(|key| process::field(pid, "smaps_rollup", key));
        let figures = Figures {
            resident,
            share,
            dirty,
            start,
            ping: self.ask(&client, PEER, "Ping").await,
            objects: self.ask(&client, OBJECT_MANAGER, "GetManagedObjects").await,
            together: self.ask_together(stage, &account).await,
        };
        process.signal(Signal::SIGTERM);
        process.wait(PATIENCE).await;
        let bus = stage.world.bus();
        bus.wait_for_name(self.name, false, PATIENCE).await;
        figures
    }

    /// Starts it; how long until it owns its name.
    async fn start(&self, stage: &Stage, client: &Connection) -> (Process, Duration) {
        let bus = DBusProxy::new(client).await.expect("the bus itself");
        let mut changes = bus
            .receive_name_owner_changed_with_args(&[(0, self.name)])
            .await
            .expect("a match rule");
        let mut command = stage.world.command(&self.program);
        let log = stage.world.folder().join("measured.log");
        let log_file = File::create(&log).expect("a log");
        command.args(self.arguments).env("MOORING_LOG", "info");
        command.stdout(Stdio::null()).stderr(log_file);
        let started = Instant::now();
        let mut process = Process::start(&self.program, &mut command);
        tokio::select! {
            change = timeout(PATIENCE, next(&mut changes)) => {
                let took = started.elapsed();
                let change = change.expect("a start in time").expect("the bus stays");
                assert!(change.args().expect("three strings").new_owner().is_some());
                (process, took)
            }
            () = process.ended() => self.gone(&log),
        }
    }

    fn gone(&self, log: &Path) -> ! {
        let text = fs::read_to_string(log).unwrap_or_default();
        panic!(
            "{} ended before it owned {}:\n{text}",
            self.program, self.name
        );
    }

    /// The path of an account, once it was seen that all of them are there.
    async fn an_account(&self, stage: &Stage, client: &Connection) -> String {
        let reply = self
            .call(client, self.root, OBJECT_MANAGER, "GetManagedObjects")
            .await;
        let bytes = reply.data().len();
        let objects: ManagedObjects = reply.body().deserialize().expect("objects");
        let mut accounts: Vec<_> = objects
            .into_iter()
            .filter(|(_, all)| all.keys().any(|name| name.as_str() == self.account))
            .map(|(path, _)| path.to_string())
            .collect();
        let number = accounts.len();
        assert_eq!(number, stage.accounts, "{} shows all of them", self.program);
        eprintln!("  {}: {number} accounts in {bytes} bytes", self.program);
        accounts.sort();
        accounts.swap_remove(0)
    }

    async fn call(&self, client: &Connection, path: &str, of: &str, method: &str) -> Message {
        client
            .call_method(Some(self.name), path, Some(of), method, &())
            .await
            .unwrap_or_else(|e| panic!("{} {method}: {e}", self.program))
    }

    /// The median time of a call at its root.
    async fn ask(&self, client: &Connection, of: &str, method: &str) -> Duration {
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < WARM + ASKED {
            let asked = Instant::now();
            let _ = self.call(client, self.root, of, method).await;
            if begun.elapsed() > WARM {
                times.push(asked.elapsed());
            }
        }
        times.sort();
        times[times.len() / 2]
    }

    /// How long each call takes of the time, when many clients ask for the properties of an account.
    async fn ask_together(&self, stage: &Stage, account: &str) -> Duration {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(stage.world.connect().await);
        }
        let (begun, mut running) = (Instant::now(), JoinSet::new());
        for client in clients {
            let (name, interface, account) = (self.name, self.account, account.to_owned());
            running.spawn(async move {
                let mut answers = 0_u32;
                while begun.elapsed() < ASKED {
                    let to = (Some(name), account.as_str(), Some(PROPERTIES));
                    let answer = client.call_method(to.0, to.1, to.2, "GetAll", &interface);
                    answer.await.expect("properties");
                    answers += 1;
                }
                answers
            });
        }
        let answers: u32 = running.join_all().await.into_iter().sum();
        let took = begun.elapsed();
        let each = f64::from(answers) / took.as_secs_f64();
        eprintln!("  {}: {each:.0} calls/s of {CLIENTS} clients", self.program);
        took / answers
    }
}
