//! Asks polkit whether whoever made a call may do what it asks for
//! (<https://polkit.pages.freedesktop.org/polkit/eggdbus-interface-org.freedesktop.PolicyKit1.Authority.html>).
//!
//! Everything but a clear yes is a no: also when polkit is not there, is too late, or does not know
//! the action. A person is asked for a password only if the call says that it can wait for one, up
//! to a bound, and no longer than the caller stays on the bus and the call is wanted.

mod question;

use std::time::Duration;

use mooring_api::BUS_NAME;
use zbus::Connection;
use zbus::names::UniqueName;
use zbus::proxy::CacheProperties;

use crate::bus::actions::Action;
use crate::failure::Failure;

use question::{Answer, AuthorityProxy, Question};

/// How long a person has to find the dialog and to type a password.
pub const QUESTION_LIMIT: Duration = Duration::from_secs(120);
/// How long polkit may take to decide by itself: it may have to be started, and its rules may run
/// programs, for ten seconds each.
pub const DECISION_LIMIT: Duration = Duration::from_secs(30);
/// The longest text that polkit and its dialogs are shown, in characters.
const MAX_DETAIL: usize = 128;

/// What a call is about, for the message of the dialog and for an administrator's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    identity: String,
    owner: Option<u32>,
}

impl Default for About {
    /// A call about no account that is known by name.
    fn default() -> Self {
        Self {
            identity: "an account".to_owned(),
            owner: None,
        }
    }
}

impl About {
    /// A call about an account, by who is signed in.
    pub fn identity(identity: &str) -> Self {
        Self {
            identity: shown(identity),
            owner: None,
        }
    }

    /// An account of another person, by the user's number.
    #[must_use]
    pub fn owned_by(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// As polkit takes it. The messages of `org.mooring1.policy` name the keys.
    fn details(&self) -> Vec<(&'static str, String)> {
        let mut details = vec![("identity", self.identity.clone())];
        details.extend(self.owner.map(|uid| ("owner", uid.to_string())));
        details
    }
}

/// A name that cannot drive a terminal or fill a dialog.
fn shown(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_DETAIL).collect()
}

/// The client of polkit.
#[derive(Debug, Clone)]
pub struct Polkit {
    connection: Connection,
    question_limit: Duration,
}

impl Polkit {
    /// Asks over this connection, which must be the one that calls come in by: polkit knows callers
    /// by their names on it.
    pub fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            question_limit: QUESTION_LIMIT,
        }
    }

    /// With another bound on a question to a person.
    #[must_use]
    pub fn with_question_limit(mut self, limit: Duration) -> Self {
        self.question_limit = limit;
        self
    }

    /// Whether `sender` may do this. With `interactive` (the message's flag
    /// `ALLOW_INTERACTIVE_AUTHORIZATION`) a person may be asked meanwhile; whoever drops the call
    /// takes the question back.
    ///
    /// # Errors
    /// [`Failure::NotAuthorized`], with what to do.
    pub async fn permit(
        &self,
        sender: &UniqueName<'_>,
        action: Action,
        interactive: bool,
        about: &About,
    ) -> Result<(), Failure> {
        let answer = self.ask(sender, action, interactive, about).await;
        let answer = answer.inspect_err(|error| {
            tracing::warn!(action = action.id(), %sender, %error, "polkit has not decided");
        });
        verdict(action, interactive, answer)
    }

    async fn ask(
        &self,
        sender: &UniqueName<'_>,
        action: Action,
        interactive: bool,
        about: &About,
    ) -> Result<Answer, Unanswered> {
        let authority = AuthorityProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let details = about.details();
        let question = Question::new(authority, sender, action.id(), &details);
        if !interactive {
            return match tokio::time::timeout(DECISION_LIMIT, question.ask(false)).await {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(Unanswered::Late(DECISION_LIMIT)),
            };
        }
        let gone = question::Caller::watch(&self.connection, sender).await?;
        // What ends the wait drops the question, and so takes it back.
        tokio::select! {
            answer = question.ask(true) => Ok(answer?),
            () = gone.left() => Err(Unanswered::Vanished),
            () = tokio::time::sleep(self.question_limit) => {
                Err(Unanswered::Late(self.question_limit))
            }
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// polkit is not there, or does not want to say.
    #[error("{0}")]
    Bus(#[from] zbus::Error),
    /// The caller has left the bus.
    #[error("whoever called has left the bus")]
    Vanished,
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

fn verdict(
    action: Action,
    interactive: bool,
    answer: Result<Answer, Unanswered>,
) -> Result<(), Failure> {
    let may_not = format!("you may not {}", action.words());
    let why = match answer {
        Ok(answer) if answer.authorized => return Ok(()),
        Ok(answer) if answer.challenge && interactive => format!(
            "{may_not} without a password of this device, and there is nobody to ask for one: run \
             it on a desktop, or in a terminal with `mooringctl` (polkit action {})",
            action.id()
        ),
        Ok(answer) if answer.challenge => format!(
            "{may_not} without a password of this device, and this call cannot wait for one: run \
             it on a desktop, or in a terminal without --no-ask-password (polkit action {})",
            action.id()
        ),
        Ok(answer) if answer.is_dismissed() => format!(
            "{may_not}: no password of this device was given (polkit action {}); try again",
            action.id()
        ),
        Ok(_) => format!(
            "{may_not}: the rules of this device say no (polkit action {}); ask its administrator",
            action.id()
        ),
        Err(Unanswered::Late(limit)) if interactive => format!(
            "{may_not}: no password of this device was given within {} s; try again",
            limit.as_secs()
        ),
        Err(Unanswered::Vanished) => "whoever called has left the bus".to_owned(),
        Err(Unanswered::Bus(error)) if !is_absent(&error) => format!(
            "{may_not}: polkit does not decide about {} ({error}); check that {BUS_NAME}.policy is \
             installed in /usr/share/polkit-1/actions",
            action.id()
        ),
        Err(error) => format!(
            "{may_not}: polkit, which decides that, does not answer ({error}); ask the \
             administrator to start it (`systemctl start polkit`)"
        ),
    };
    Err(Failure::NotAuthorized(why))
}

/// Whether an error comes from the bus, and not from polkit itself.
fn is_absent(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::MethodError(name, ..) => {
            !name.as_str().starts_with("org.freedesktop.PolicyKit1.")
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::collections::HashMap;

    use super::*;

    fn answer(authorized: bool, challenge: bool, details: &[(&str, &str)]) -> Answer {
        let details = details.iter();
        let details = details.map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Answer {
            authorized,
            challenge,
            details: details.collect::<HashMap<_, _>>(),
        }
    }

    fn refusal(interactive: bool, answer: Result<Answer, Unanswered>) -> String {
        match verdict(Action::SignOut, interactive, answer) {
            Err(Failure::NotAuthorized(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        for interactive in [false, true] {
            assert!(verdict(Action::Sync, interactive, Ok(answer(true, false, &[]))).is_ok());
            assert!(refusal(interactive, Ok(answer(false, false, &[]))).contains("rules"));
            let challenge = refusal(interactive, Ok(answer(false, true, &[])));
            assert!(challenge.contains("password of this device"), "{challenge}");
            let late = refusal(interactive, Err(Unanswered::Late(QUESTION_LIMIT)));
            assert!(late.contains("120 s"), "{late}");
            let vanished = refusal(interactive, Err(Unanswered::Vanished));
            assert!(vanished.contains("left the bus"), "{vanished}");
            let lost = Err(Unanswered::Bus(zbus::Error::InvalidReply));
            assert!(refusal(interactive, lost).contains("systemctl start polkit"));
        }
        let dismissed = answer(false, false, &[("polkit.dismissed", "true")]);
        assert!(refusal(true, Ok(dismissed)).contains("no password"));
    }

    #[test]
    fn details_cannot_drive_a_terminal_or_fill_a_dialog() {
        let about = About::identity(&format!("a\x1b[2J\n{}", "b".repeat(10_000)));
        let details = about.owned_by(1001).details();
        let ("identity", name) = &details[0] else {
            panic!("{details:?}")
        };
        assert!(name.starts_with("a[2Jb") && name.chars().count() == MAX_DETAIL);
        assert_eq!(details[1], ("owner", "1001".to_owned()));
        assert_eq!(
            About::default().details(),
            [("identity", "an account".to_owned())]
        );
    }
}
