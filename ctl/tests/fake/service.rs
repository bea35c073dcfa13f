//! The interfaces of the contract, answered from a script.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};

use mooring_api::{
    AccountFound, CollectionStatus, Error, Finding, Plan, PlanOptions, PolicyDecision,
    PolicyStatus, ReceiptSummary, Result, SignInOptions, SignOutOptions,
};
use zbus::{ObjectServer, OwnedFd, OwnedObjectPath, interface};

use super::job::{Job, start};
use super::{Shared, read};

/// The one account.
pub const ACCOUNT: &str = "/org/mooring1/accounts/a1";

/// The stand-in on its own thread.
pub struct Service {
    pub job_reads: Receiver<()>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    pub fn start(address: &str, script: Shared) -> Self {
        Self::launch(address, script, false)
    }

    /// As a daemon that was restarted: the job is there again before the name is.
    pub fn start_with_job(address: &str, script: Shared) -> Self {
        Self::launch(address, script, true)
    }

    fn launch(address: &str, script: Shared, resumes: bool) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = channel();
        let (reads, job_reads) = channel();
        let address = address.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let connection = serve(&address, script, reads, resumes).await.unwrap();
                ready.send(()).unwrap();
                let _ = stopped.await;
                drop(connection);
            });
        });
        is_ready.recv().unwrap();
        Self {
            job_reads,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Leaves the bus without a word to anybody.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(
    address: &str,
    script: Shared,
    reads: Sender<()>,
    resumes: bool,
) -> zbus::Result<zbus::Connection> {
    let signed_in = script.lock().unwrap().signed_in;
    let manager = Manager {
        script: script.clone(),
        reads: reads.clone(),
    };
    let connection = zbus::connection::Builder::address(address)
        .serve_at("/org/mooring1", super::objects::Objects)
        .serve_at("/org/mooring1", manager)
        .build()
        .await?;
    if resumes {
        let password = script.lock().unwrap().password.clone();
        let job = Job::new("sync", &script, &reads);
        start(connection.object_server(), job, Some(password))
            .await
            .unwrap();
    }
    if signed_in {
        let server = connection.object_server();
        server
            .at(
                ACCOUNT,
                Account {
                    script: script.clone(),
                    reads: reads.clone(),
                },
            )
            .await?;
        server.at(ACCOUNT, Files { script, reads }).await?;
    }
    connection.request_name("org.mooring1").await?;
    Ok(connection)
}

struct Manager {
    script: Shared,
    reads: Sender<()>,
}

#[interface(name = "org.mooring1.Manager")]
impl Manager {
    async fn inspect(&self, provider: String, options: SignInOptions) -> Result<AccountFound> {
        let mut script = self.script.lock().unwrap();
        script.calls.push(format!("Inspect {provider}"));
        let mut collections = options
            .collections
            .unwrap_or(script.found.collections.clone());
        // As the daemon does: the default folders of whom the call names.
        if let Some(identity) = options.identity {
            for collection in &mut collections {
                let root = String::from_utf8(collection.root.clone()).unwrap();
                let own = format!("/Accounts/{identity}/");
                collection.root = root.replace("/Accounts/", &own).into_bytes();
            }
        }
        Ok(AccountFound {
            collections,
            ..script.found.clone()
        })
    }

    async fn sign_in(
        &self,
        _provider: String,
        identity: String,
        options: SignInOptions,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath> {
        let password = read(options.password);
        let (create, adopt) = (options.create == Some(true), options.adopt == Some(true));
        {
            let mut script = self.script.lock().unwrap();
            script
                .calls
                .push(format!("SignIn {identity} create={create} adopt={adopt}"));
            script.asked = options.collections.unwrap_or_default();
            if !create && password.as_ref() != Some(&script.password) {
                return Err(Error::IncorrectPassword("The password is wrong.".into()));
            }
        }
        if let Some(fd) = options.recovery_code {
            let fd: std::os::fd::OwnedFd = fd.into();
            File::from(fd)
                .write_all(b"anchor bridge cedar dune\n")
                .unwrap();
        }
        let job = Job::new("sign-in", &self.script, &self.reads);
        let right = self.script.lock().unwrap().password.clone();
        start(server, job, Some(right)).await
    }

    async fn reload(&self) -> Result<()> {
        Ok(())
    }

    async fn show_policy(&self) -> Result<PolicyStatus> {
        Ok(self.script.lock().unwrap().policy.clone())
    }

    async fn check_policy(&self, name: String, file: OwnedFd) -> Result<Vec<Finding>> {
        let bytes = read(Some(file)).unwrap().len();
        let mut script = self.script.lock().unwrap();
        script.calls.push(format!("CheckPolicy {name} {bytes}"));
        Ok(script.findings.clone())
    }

    async fn list_refusals(&self) -> Result<std::collections::BTreeMap<String, u64>> {
        Ok([("policy".to_owned(), 2)].into())
    }

    async fn simulate_policy(
        &self,
        name: String,
        file: OwnedFd,
    ) -> Result<mooring_api::PolicySimulation> {
        let bytes = read(Some(file)).unwrap().len();
        let mut script = self.script.lock().unwrap();
        script.calls.push(format!("SimulatePolicy {name} {bytes}"));
        let change = mooring_api::PolicyChange {
            account: "a1".to_owned(),
            identity: "alice".to_owned(),
            verb: "sign-out".to_owned(),
            actor: "person".to_owned(),
            what: "sign-out".to_owned(),
            before: "allowed".to_owned(),
            after: "needs a backup".to_owned(),
            because: vec!["Example GmbH wants it.".to_owned()],
        };
        Ok(mooring_api::PolicySimulation {
            findings: script.findings.clone(),
            changes: vec![change],
            ..Default::default()
        })
    }

    async fn explain_policy(
        &self,
        verb: String,
        account: String,
        actor: String,
    ) -> Result<PolicyDecision> {
        let mut script = self.script.lock().unwrap();
        script
            .calls
            .push(format!("ExplainPolicy {verb} {account} {actor}"));
        Ok(script.plan.policy.clone())
    }

    async fn list_receipts(&self) -> Result<Vec<ReceiptSummary>> {
        Ok(self.script.lock().unwrap().receipts.clone())
    }

    async fn read_receipt(&self, id: String) -> Result<String> {
        match id.as_str() {
            "r1" => Ok("# A receipt\nid = \"r1\"\n".into()),
            _ => Err(Error::NotFound(format!("There is no receipt {id}."))),
        }
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> String {
        "0.1.0".into()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn mode(&self) -> String {
        "session".into()
    }

    #[zbus(property)]
    async fn policy_state(&self) -> String {
        self.script.lock().unwrap().policy.state.clone()
    }
}

pub struct Account {
    script: Shared,
    reads: Sender<()>,
}

#[interface(name = "org.mooring1.Account")]
impl Account {
    async fn plan_sign_out(&self, options: PlanOptions) -> Result<Plan> {
        let script = self.script.lock().unwrap();
        let mut plan = script.plan.clone();
        for collection in &mut plan.collections {
            let keep = options.keep.iter().flatten();
            collection.keep = keep
                .into_iter()
                .any(|k| k == "all" || *k == collection.name);
        }
        Ok(plan)
    }

    async fn sign_out(
        &self,
        digest: String,
        options: SignOutOptions,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath> {
        let keep = options.keep.unwrap_or_default().join(",");
        self.script
            .lock()
            .unwrap()
            .calls
            .push(format!("SignOut {digest} keep={keep}"));
        start(
            server,
            Job::new("sign-out", &self.script, &self.reads),
            read(options.password),
        )
        .await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn id(&self) -> String {
        "a1".into()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn provider(&self) -> String {
        "local".into()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn identity(&self) -> String {
        self.script.lock().unwrap().plan.identity.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn storage(&self) -> Vec<u8> {
        self.script.lock().unwrap().plan.storage.clone()
    }

    #[zbus(property)]
    async fn state(&self) -> String {
        "active".into()
    }

    #[zbus(property)]
    async fn state_detail(&self) -> String {
        String::new()
    }

    #[zbus(property)]
    async fn state_message(&self) -> String {
        String::new()
    }

    #[zbus(property)]
    async fn job(&self) -> OwnedObjectPath {
        OwnedObjectPath::try_from("/").unwrap()
    }

    #[zbus(property)]
    async fn signed_in_at(&self) -> u64 {
        1_700_000_000
    }
}

pub struct Files {
    script: Shared,
    reads: Sender<()>,
}

#[interface(name = "org.mooring1.Account.Files")]
impl Files {
    async fn sync(&self, #[zbus(object_server)] server: &ObjectServer) -> Result<OwnedObjectPath> {
        let password = self.script.lock().unwrap().password.clone();
        start(
            server,
            Job::new("sync", &self.script, &self.reads),
            Some(password),
        )
        .await
    }

    #[zbus(property)]
    async fn collections(&self) -> Vec<CollectionStatus> {
        self.script.lock().unwrap().collections.clone()
    }

    async fn pause(&self) {
        self.script.lock().unwrap().paused = true;
    }

    async fn resume(&self) {
        self.script.lock().unwrap().paused = false;
    }

    #[zbus(property)]
    async fn paused(&self) -> bool {
        self.script.lock().unwrap().paused
    }

    #[zbus(property)]
    async fn last_sync(&self) -> u64 {
        1_700_000_000
    }
}
