//! A service under the daemon's name and user, all of whose methods are one question to polkit.
//! Started by the tests, as a process of its own: polkit looks at who asks.

use std::time::Duration;

use mooring_api::{BUS_NAME, ROOT_PATH};
use mooringd::bus::actions::Action;
use mooringd::polkit::{About, Polkit};
use zbus::message::{Flags, Header};
use zbus::{Connection, OwnedFd, interface};

/// What makes this test's program the service.
pub const ARGUMENTS: [&str; 5] = [
    "--ignored",
    "--exact",
    "stand_in::stand_in",
    "--nocapture",
    "--test-threads=1",
];
/// In place of two minutes, where the caller's `why` is this.
pub const SOON: &str = "soon";
/// Gives the call up in mid-question, where the caller's `why` is this.
pub const GIVE_UP: &str = "give up";
const SHORT: Duration = Duration::from_secs(1);

struct Manager;

/// `Inhibit` is what clients know how to call; here `what` is an action, and `who` an identity.
#[interface(name = "org.mooring1.Manager")]
impl Manager {
    async fn inhibit(
        &self,
        what: &str,
        who: &str,
        why: &str,
        _mode: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> mooring_api::Result<OwnedFd> {
        let action = Action::ALL
            .into_iter()
            .find(|action| action.id().ends_with(&format!(".{what}")))
            .unwrap();
        let flags = header.primary().flags();
        let interactive = flags.contains(Flags::ALLOW_INTERACTIVE_AUTH);
        let mut polkit = Polkit::new(connection);
        if why == SOON {
            polkit = polkit.with_question_limit(SHORT);
        }
        let about = About::identity(who);
        let sender = header.sender().unwrap();
        let question = polkit.permit(sender, action, interactive, &about);
        let verdict = if why == GIVE_UP {
            match tokio::time::timeout(SHORT, question).await {
                Ok(verdict) => verdict,
                Err(_) => {
                    println!("verdict {what} {who}: given up");
                    return Err(mooring_api::Error::Cancelled("given up".to_owned()));
                }
            }
        } else {
            question.await
        };
        match &verdict {
            Ok(()) => println!("verdict {what} {who}: yes"),
            Err(failure) => println!("verdict {what} {who}: {failure}"),
        }
        verdict?;
        let (reader, _) = std::io::pipe().unwrap();
        Ok(std::os::fd::OwnedFd::from(reader).into())
    }
}

#[tokio::test]
#[ignore = "the service that the tests start"]
async fn stand_in() {
    let connection = Connection::system().await.unwrap();
    let server = connection.object_server();
    server.at(ROOT_PATH, Manager).await.unwrap();
    connection.request_name(BUS_NAME).await.unwrap();
    // Until it is killed, or the bus goes.
    connection.closed().await;
}
