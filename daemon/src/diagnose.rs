//! Looks at everything the daemon stands on: its files, its worker, and each account. Changes
//! nothing, and one part that fails does not hide the others.

use mooring_api::Diagnosis;
use mooring_core::account::{Reason, State};
use mooring_core::policy::{self, Problem};
use mooring_core::settings::Settings;

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;

const JOURNAL: &str = "the daemon's log has more: journalctl -u mooringd, with --user in a session";

const BAD: &str = "bad";

const RELOAD: &str = "have them read: systemctl reload mooringd, with --user in a session";

const FENCE: &str = "use a kernel with Landlock, 6.2 or later, and `landlock` among its `lsm=`";

/// How many contradictions of the policy are told.
const MAX_CONFLICTS: usize = 10;

impl Broker {
    /// Everything that was looked at, and how it is.
    pub async fn diagnose(&self) -> Vec<Diagnosis> {
        let mut found = self.own().await;
        let live = match self.workers.live().await {
            Ok(live) => live,
            Err(failure) => {
                found.push(bad("worker", &failure.to_string(), JOURNAL));
                return found;
            }
        };
        let version = mooring_wire::VERSION;
        found.push(ok(
            "worker",
            &format!("the worker answers, version {version}"),
        ));
        let fenced = live.fenced();
        found.push(match fenced.holds {
            true => ok("fence", &fenced.message),
            false => warning("fence", &fenced.message, FENCE),
        });
        // Whoever holds it keeps it from resting.
        drop(live);
        let published = self.published.borrow().accounts.clone();
        for view in published.values() {
            let area = format!("account {}", view.account.identity);
            let before = found.len();
            // One that a job holds is busy, and comes off without a look.
            let told = self.diagnose_account(&view.account).await;
            match told {
                Ok(told) => found.extend(told.into_iter().map(|d| Diagnosis {
                    area: format!("{area}, {}", d.area),
                    state: d.state,
                    message: d.message,
                    advice: d.advice,
                })),
                Err(failure @ Failure::Busy(_)) => {
                    found.push(warning(&area, &failure.to_string(), ""));
                }
                Err(failure @ Failure::Worker(mooring_wire::Error::StateDamaged(_))) => {
                    let area = format!("{area}, state");
                    let advice = "build it anew from both sides: mooringctl doctor --repair";
                    found.push(bad(&area, &failure.to_string(), advice));
                }
                Err(failure) => found.push(bad(&area, &failure.to_string(), JOURNAL)),
            }
            if let Some(word) = self.renew_record(&view.account.id).await {
                found.push(warning(&format!("{area}, password"), &word, ""));
            }
            // Where the look shows it, it is told once.
            if found[before..].iter().all(|finding| finding.state != BAD) {
                found.extend(needs_attention(&area, &view.account));
            }
        }
        found
    }

    async fn diagnose_account(
        &self,
        account: &Account,
    ) -> Result<Vec<mooring_wire::Diagnosis>, Failure> {
        let looking = self.looking(&account.id).await?;
        looking
            .ask(|live, id| Box::pin(async move { live.proxy().diagnose(&id).await }))
            .await
    }

    /// What is the broker's own.
    async fn own(&self) -> Vec<Diagnosis> {
        let in_force = self.rules.in_force();
        let device = self.rules.device();
        let mut found = vec![configuration(
            &in_force.settings,
            device.settings_were_read(),
            device.settings_on_disk(),
        )];
        let standing = &in_force.standing;
        let conflicts = standing.policy().conflicts();
        let mut others = standing.problems().iter();
        let problem = others.find(|problem| !conflicts.contains(problem));
        found.push(match (standing.state(), problem) {
            (policy::State::None, _) => ok("policy", "there is no policy"),
            (policy::State::InForce, _) => ok("policy", "the policy is in force"),
            (policy::State::Expired, problem) => {
                let said = problem.map_or("the bundle expired".to_owned(), ToString::to_string);
                warning(
                    "policy",
                    &said,
                    "ask who manages this device for a newer bundle",
                )
            }
            (policy::State::LastGood | policy::State::Invalid, problem) => {
                let said = problem.map_or("a file is wrong".to_owned(), ToString::to_string);
                bad(
                    "policy",
                    &said,
                    "correct the file: mooringctl policy check FILE",
                )
            }
        });
        let told = |conflict: &Problem| {
            let message = format!("the policy contradicts itself: {conflict}");
            bad(
                "policy",
                &message,
                "change one of the two: mooringctl policy show",
            )
        };
        found.extend(conflicts.iter().take(MAX_CONFLICTS).map(told));
        found.extend(self.surroundings_known());
        let missing = self.missing_accounts().into_iter();
        found.extend(missing.map(|said| bad("policy", &said, "sign in: mooringctl sign-in")));
        found.push(match self.checked_state().await {
            Ok(None) => ok("state", "the daemon's database is whole"),
            Ok(Some(said)) => bad(
                "state",
                &said,
                "look at the disk; then stop the daemon, and start it again: it names the way out",
            ),
            Err(error) => bad("state", &error.to_string(), JOURNAL),
        });
        found.push(match self.store.key_place() {
            Ok(place) => ok("secrets", &place.to_string()),
            Err(why) => bad(
                "secrets",
                &why,
                "what needs no password goes on; nothing is lost",
            ),
        });
        found.push(match self.unreadable_receipts().await {
            Ok(unreadable) if unreadable.is_empty() => ok("receipts", "every receipt can be read"),
            Ok(unreadable) => warning(
                "receipts",
                &format!("these receipts cannot be read: {}", unreadable.join(", ")),
                "their copies in the storage (.mooring/receipts) can be put in their place",
            ),
            Err(failure) => bad("receipts", &failure.to_string(), JOURNAL),
        });
        found
    }
}

impl Broker {
    /// What is damaged of the broker's own state, or nothing. Every page is read: others are served
    /// meanwhile.
    async fn checked_state(&self) -> Result<Option<String>, Failure> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.check()).await {
            Ok(checked) => Ok(checked?),
            Err(error) => Err(Failure::Internal(format!("it cannot be checked: {error}"))),
        }
    }

    /// Whether the facts are known that settings ask for.
    fn surroundings_known(&self) -> Vec<Diagnosis> {
        let wish = self.rules.in_force().settings.rest;
        let now = self.published.borrow().surroundings;
        let asked = [
            (
                wish.asks_for_power(),
                now.on_battery.is_some(),
                "power",
                "on-battery",
                "UPower",
            ),
            (
                wish.asks_for_network(),
                now.metered.is_some(),
                "network",
                "on-metered",
                "NetworkManager",
            ),
        ];
        let asked = asked.into_iter().filter(|(asks, ..)| *asks);
        asked
            .map(|(_, known, area, key, service)| {
                if known {
                    return ok(area, &format!("{service} answers, for `{key}`"));
                }
                let message = format!(
                    "{service} does not say how it is, so `{key}` in the settings pauses nothing"
                );
                warning(area, &message, &format!("install and start {service}"))
            })
            .collect()
    }
}

/// What an account waits for that a look at its files does not show.
fn needs_attention(area: &str, account: &Account) -> Option<Diagnosis> {
    let State::NeedsAttention(reason) = &account.state else {
        return None;
    };
    Some(match reason {
        // The look has just found that right: the next sync does, too.
        Reason::StorageGone | Reason::HomeGone | Reason::StateDamaged => warning(
            area,
            &format!("when it was last synced: {}", account.message),
            "it looks right now: mooringctl sync",
        ),
        _ => bad(area, &account.message, reason.advice()),
    })
}

/// How the settings in force stand to what their files say by now.
fn configuration(
    in_force: &Settings,
    were_read: bool,
    on_disk: Result<Settings, Vec<Problem>>,
) -> Diagnosis {
    let area = "configuration";
    let instead = match were_read {
        true => "the settings before stay in force",
        false => "until it is corrected, what holds without any settings is in force",
    };
    match on_disk.as_ref().map_err(|problems| problems.first()) {
        Ok(settings) if settings == in_force => ok(area, "the configuration is right"),
        Ok(_) => warning(
            area,
            "the files were changed, and the settings before are still in force",
            RELOAD,
        ),
        Err(problem) => bad(
            area,
            &format!(
                "{}; {instead}",
                problem.map_or("a file is wrong".to_owned(), ToString::to_string)
            ),
            "correct the file (mooringd --check-config), then reload",
        ),
    }
}

fn ok(area: &str, message: &str) -> Diagnosis {
    told(area, "ok", message, "")
}

fn warning(area: &str, message: &str, advice: &str) -> Diagnosis {
    told(area, "warning", message, advice)
}

fn bad(area: &str, message: &str, advice: &str) -> Diagnosis {
    told(area, BAD, message, advice)
}

fn told(area: &str, state: &str, message: &str, advice: &str) -> Diagnosis {
    Diagnosis {
        area: area.to_owned(),
        state: state.to_owned(),
        message: message.to_owned(),
        advice: advice.to_owned(),
    }
}
