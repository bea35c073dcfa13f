//! The job of the stand-in.

use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

use mooring_api::{Blocked, Error, JobOutcome, Progress, Result, RetryOptions};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectServer, OwnedFd, OwnedObjectPath, interface};

use super::service::ACCOUNT;
use super::{Shared, read};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The one job.
pub const JOB: &str = "/org/mooring1/jobs/7";

/// Serves a job that was given this password, or none.
pub async fn start(
    server: &ObjectServer,
    mut job: Job,
    password: Option<Vec<u8>>,
) -> Result<OwnedObjectPath> {
    job.try_password(password);
    let path = OwnedObjectPath::try_from(JOB).unwrap();
    server.at(&path, job).await?;
    Ok(path)
}

/// A job that goes as the script says.
pub struct Job {
    script: Shared,
    reads: Sender<()>,
    kind: &'static str,
    stages: &'static [&'static str],
    stage: &'static str,
    state: &'static str,
    blocked: Blocked,
    outcome: JobOutcome,
}

impl Job {
    pub fn new(kind: &'static str, script: &Shared, reads: &Sender<()>) -> Self {
        let stages: &[&str] = match kind {
            "sign-out" => &[
                "planned",
                "authorised",
                "drained",
                "verified",
                "removed",
                "forgotten",
            ],
            _ => &["listed", "carried"],
        };
        Self {
            script: script.clone(),
            reads: reads.clone(),
            kind,
            stages,
            stage: stages[0],
            state: "running",
            blocked: Blocked::default(),
            outcome: JobOutcome::default(),
        }
    }

    fn try_password(&mut self, password: Option<Vec<u8>>) {
        let script = self.script.lock().unwrap().clone();
        if password.as_ref() != Some(&script.password) {
            self.state = "blocked";
            self.blocked = Blocked {
                error: "IncorrectPassword".into(),
                message: "The password is wrong.".into(),
                next_attempt: now() + script.delay,
                ..Blocked::default()
            };
        } else if let Some(blocked) = script.block {
            self.stage = self.stages[1];
            self.state = "blocked";
            self.blocked = blocked;
        } else if script.hangs {
            self.stage = self.stages[1];
            self.state = "running";
            self.blocked = Blocked::default();
        } else {
            self.finish(script.outcome);
        }
    }

    fn finish(&mut self, outcome: JobOutcome) {
        if outcome.success {
            self.stage = self.stages[self.stages.len() - 1];
        }
        self.state = "finished";
        self.blocked = Blocked::default();
        self.outcome = outcome;
    }

    async fn tell(&self, emitter: &SignalEmitter<'_>) -> Result<()> {
        self.stage_changed(emitter).await?;
        self.state_changed(emitter).await?;
        self.blocked_changed(emitter).await?;
        if self.state == "finished" {
            self.outcome_changed(emitter).await?;
            Self::finished(emitter, self.outcome.clone()).await?;
        }
        Ok(())
    }
}

#[interface(name = "org.mooring1.Job")]
impl Job {
    async fn cancel(&mut self, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) -> Result<()> {
        let removing = {
            let mut script = self.script.lock().unwrap();
            script.calls.push("Cancel".into());
            script.removing
        };
        if removing {
            return Err(Error::Busy("Files are being removed.".into()));
        }
        self.finish(JobOutcome {
            error: "Cancelled".into(),
            message: "Cancelled.".into(),
            ..JobOutcome::default()
        });
        self.tell(&emitter).await
    }

    async fn retry(
        &mut self,
        options: RetryOptions,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<()> {
        let keep = options.keep_here == Some(true);
        let outcome = {
            let mut script = self.script.lock().unwrap();
            script.calls.push(format!("Retry keep-here={keep}"));
            script.outcome.clone()
        };
        self.finish(outcome);
        self.tell(&emitter).await
    }

    async fn authenticate(
        &mut self,
        password: OwnedFd,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<()> {
        self.script
            .lock()
            .unwrap()
            .calls
            .push("Authenticate".into());
        self.try_password(read(Some(password)));
        self.tell(&emitter).await
    }

    #[zbus(signal)]
    async fn finished(emitter: &SignalEmitter<'_>, outcome: JobOutcome) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "const"))]
    async fn number(&self) -> u64 {
        7
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn kind(&self) -> String {
        self.kind.into()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn account(&self) -> OwnedObjectPath {
        OwnedObjectPath::try_from(ACCOUNT).unwrap()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn stages(&self) -> Vec<String> {
        self.stages.iter().map(|s| (*s).to_owned()).collect()
    }

    #[zbus(property)]
    async fn stage(&self) -> String {
        self.stage.into()
    }

    #[zbus(property)]
    async fn state(&self, #[zbus(header)] header: Option<Header<'_>>) -> String {
        // Without a header it is read for a signal, and not by a client.
        if header.is_some() {
            // The test may have ended already.
            let _ = self.reads.send(());
        }
        self.state.into()
    }

    #[zbus(property)]
    async fn progress(&self) -> Progress {
        Progress {
            activity: "uploading".into(),
            done: 1,
            total: 2,
            ..Progress::default()
        }
    }

    #[zbus(property)]
    async fn blocked(&self) -> Blocked {
        self.blocked.clone()
    }

    #[zbus(property)]
    async fn cancellable(&self) -> bool {
        !self.script.lock().unwrap().removing
    }

    #[zbus(property)]
    async fn outcome(&self) -> JobOutcome {
        self.outcome.clone()
    }
}
