//! A message bus of one's own.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;
use zbus::export::futures_core::Stream;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::{Connection, connection};

use crate::process::Process;

/// What to type when there is no message bus daemon.
const INSTALL: &str = "dbus-daemon is missing; run: apt-get install dbus (or: make setup)";

/// A private `dbus-daemon`: one socket, none of the machine's services, everything allowed.
#[derive(Debug)]
pub struct Bus {
    address: String,
    daemon: Process,
}

impl Bus {
    /// Starts a bus whose socket and configuration lie in `folder`. It starts what the files in
    /// `folder/services` describe, with the environment that is given here.
    ///
    /// # Panics
    /// When there is no `dbus-daemon` (with the line that installs it), or it does not start.
    pub fn start(folder: &Path, environment: &[(&str, OsString)], log: impl Into<Stdio>) -> Self {
        let config = folder.join("bus.conf");
        fs::create_dir(folder.join("services")).expect("a folder for services");
        fs::write(&config, configuration(folder)).expect("the configuration of the bus");
        if let Err(error) = Command::new("dbus-daemon").arg("--version").output() {
            panic!("{INSTALL} ({error})");
        }
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--print-address=1"]);
        command.arg("--config-file").arg(&config);
        command
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut daemon = Process::start("dbus-daemon", &mut command);
        let mut address = String::new();
        let stdout = daemon.stdout().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut address)
            .expect("the address of the bus");
        assert!(
            !address.trim().is_empty(),
            "dbus-daemon ended before it told its address"
        );
        Self {
            address: address.trim().to_owned(),
            daemon,
        }
    }

    /// Where the bus in `folder` will listen.
    pub fn address_in(folder: &Path) -> String {
        format!("unix:path={}", folder.join("socket").display())
    }

    /// Ends it, and with it every connection.
    pub fn stop(&mut self) {
        self.daemon.kill();
    }

    /// For `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A new connection.
    pub async fn connect(&self) -> Connection {
        let builder = connection::Builder::address(self.address.as_str());
        builder
            .build()
            .await
            .expect("a connection to the private bus")
    }

    /// Waits until somebody owns `name`, or (with `false`) until nobody does.
    ///
    /// # Panics
    /// When that does not come within `bound`.
    pub async fn wait_for_name(&self, name: &str, owned: bool, bound: Duration) {
        let wait = async {
            let connection = self.connect().await;
            let bus = DBusProxy::new(&connection).await.expect("the bus itself");
            let bus_name = BusName::try_from(name).expect("a bus name");
            // Listen first, look second: a change in between is then told twice, not missed.
            let mut changes = bus
                .receive_name_owner_changed_with_args(&[(0, name)])
                .await
                .expect("a match rule");
            let mut is_owned = bus
                .name_has_owner(bus_name)
                .await
                .expect("an answer of the bus");
            while is_owned != owned {
                let change = next(&mut changes).await.expect("the bus stays");
                is_owned = change.args().expect("three strings").new_owner().is_some();
            }
        };
        let what = if owned { "appears" } else { "goes" };
        if timeout(bound, wait).await.is_err() {
            panic!(
                "the name {name} never {what} on the bus ({} s)",
                bound.as_secs()
            );
        }
    }
}

/// The next item of a stream of signals or changes; `None` at its end.
pub async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// A bus for one person, without the machine's own services, with the limits of a real session's
/// (dbus's `session.conf`): as good as none.
fn configuration(folder: &Path) -> String {
    let (address, services) = (Bus::address_in(folder), folder.join("services"));
    let services = services.display();
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <servicedir>{services}</servicedir>
  <auth>EXTERNAL</auth>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_incoming_unix_fds">250000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_outgoing_unix_fds">250000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_replies_per_connection">50000</limit>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#
    )
}
