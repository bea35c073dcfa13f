//! An agent of authentication that does as a test says, in place of a dialog.

use std::collections::HashMap;

use mooring_tests::{PATIENCE, Process};
use tokio::sync::{Mutex, mpsc};
use zbus::{Connection, OwnedVariant, Variant, interface};

use crate::device::ANNA;

const PATH: &str = "/org/mooring1/test/agent";
const AUTHORITY: (&str, &str, &str) = (
    "org.freedesktop.PolicyKit1",
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1.Authority",
);

/// What polkit told the agent.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// To ask: the action, and what the dialog shows.
    Ask(String, String),
    /// To close the dialog.
    Cancel,
}

/// What the person does with the dialog.
#[derive(Debug, Clone, Copy)]
pub enum Person {
    /// Types the right password.
    Knows,
    /// Closes it.
    Dismisses,
    /// Is not there.
    Sleeps,
}

struct Object {
    person: Person,
    told: mpsc::UnboundedSender<Told>,
    closed: Mutex<mpsc::UnboundedReceiver<()>>,
    close: mpsc::UnboundedSender<()>,
}

/// What an agent says that has no answer.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.PolicyKit1.Error")]
enum Unanswered {
    #[zbus(error)]
    ZBus(zbus::Error),
    Cancelled(String),
}

fn closed() -> Unanswered {
    Unanswered::Cancelled("closed".to_owned())
}

/// A registered agent.
pub struct Agent {
    told: mpsc::UnboundedReceiver<Told>,
    _connection: Connection,
}

impl Agent {
    /// For the calls of a process of Anna's.
    pub async fn of(process: &Process, person: Person) -> Self {
        // Root may register for others. A connection of its own, which goes with the agent.
        let connection = Connection::system().await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let (close, closed) = mpsc::unbounded_channel();
        let closed = Mutex::new(closed);
        let object = Object {
            person,
            told: tell,
            closed,
            close,
        };
        connection.object_server().at(PATH, object).await.unwrap();
        let pid = u32::try_from(process.pid().as_raw()).unwrap();
        let start = started(process);
        let subject: HashMap<&str, Variant<'_>> =
            HashMap::from([("pid", pid.into()), ("start-time", start.into())]);
        let body = (("unix-process", subject), "C", PATH);
        let (name, path, interface) = AUTHORITY;
        connection
            .call_method(
                Some(name),
                path,
                Some(interface),
                "RegisterAuthenticationAgent",
                &body,
            )
            .await
            .unwrap();
        Self {
            told,
            _connection: connection,
        }
    }

    /// Whether it was never told anything that was not read.
    pub fn heard_nothing(&mut self) -> bool {
        self.told.try_recv().is_err()
    }

    /// What it is told next.
    pub async fn next(&mut self) -> Told {
        let told = tokio::time::timeout(PATIENCE, self.told.recv()).await;
        told.expect("polkit tells the agent").unwrap()
    }
}

/// When a process started, in ticks since the boot: the 22nd field of its `stat` (proc(5)).
fn started(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(19).unwrap().parse().unwrap()
}

#[interface(name = "org.freedesktop.PolicyKit1.AuthenticationAgent")]
impl Object {
    #[allow(clippy::too_many_arguments)] // polkit's, not ours
    async fn begin_authentication(
        &self,
        action: &str,
        message: &str,
        _icon: &str,
        _details: HashMap<String, String>,
        cookie: &str,
        _identities: Vec<(String, HashMap<String, OwnedVariant>)>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Unanswered> {
        let ask = Told::Ask(action.to_owned(), message.to_owned());
        self.told.send(ask).unwrap();
        match self.person {
            Person::Dismisses => Err(closed()),
            Person::Knows => {
                let uid: HashMap<&str, Variant<'_>> = HashMap::from([("uid", ANNA.into())]);
                let body = (0_u32, cookie, ("unix-user", uid));
                let (name, path, interface) = AUTHORITY;
                connection
                    .call_method(
                        Some(name),
                        path,
                        Some(interface),
                        "AuthenticationAgentResponse2",
                        &body,
                    )
                    .await
                    .unwrap();
                Ok(())
            }
            Person::Sleeps => {
                self.closed.lock().await.recv().await;
                Err(closed())
            }
        }
    }

    async fn cancel_authentication(&self, _cookie: &str) {
        self.told.send(Told::Cancel).unwrap();
        self.close.send(()).unwrap();
    }
}
