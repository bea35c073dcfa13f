//! The object of the daemon as a whole.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use mooring_api::{
    AccountFound, BundleCheck, CollectionSpec, Finding, Inhibitor, PolicyChange, PolicyDecision,
    PolicySimulation, PolicyStatus, ReceiptSummary, Result, SignInOptions,
};
use mooring_core::policy::{Actor, MAX_FILE_BYTES, Problem, Simulation, Source, Verb};
use zbus::message::Header;
use zbus::{Connection, OwnedFd, OwnedObjectPath, interface};

use super::persons::Persons;
use super::{arguments, job_path};
use crate::account::Chosen;
use crate::failure::Failure;
use crate::folders::Mode;
use crate::people::ADMINISTRATOR;
use crate::polkit::About;
use crate::questions::Question;
use crate::{inhibitors, plan, secret};

/// The longest name of a policy file that is checked, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Signing in, policy, receipts.
pub(super) struct ManagerObject {
    persons: Arc<Persons>,
}

impl ManagerObject {
    pub(super) fn new(persons: Arc<Persons>) -> Self {
        Self { persons }
    }
}

#[interface(name = "org.mooring1.Manager", introspection_docs = false)]
impl ManagerObject {
    async fn inspect(
        &self,
        provider: &str,
        options: SignInOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<AccountFound> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let broker = &shared.broker;
        let wanted = arguments::inspect(provider, &options)?;
        if wanted.identity.is_some() {
            // Who looks for somebody is about to sign them in, and hears of a denial here.
            broker.expect_no_denial_of_sign_in(&wanted)?;
        }
        let found = broker.inspect(&wanted).await?;
        Ok(AccountFound {
            exists: found.record.is_some(),
            identity: found
                .record
                .map(|record| record.identity)
                .unwrap_or_default(),
            not_empty: specs(&found.not_empty),
            collections: specs(&found.collections),
            warnings: found.warnings,
        })
    }

    async fn sign_in(
        &self,
        provider: &str,
        identity: &str,
        options: SignInOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let (arrived, shared) = self.persons.arrive(&header).await?;
        let broker = &shared.broker;
        let wanted = arguments::sign_in_to(provider, identity, &options)?;
        let policy = || broker.expect_no_denial_of_sign_in(&wanted);
        let about = About::identity(identity);
        let caller = arrived.let_in(connection, about, policy).await?;
        if self.persons.people().mode() == Mode::System && caller.uid() == ADMINISTRATOR {
            let why = "accounts are people's: sign in as yourself, not as root".to_owned();
            return Err(Failure::NotAuthorized(why).into());
        }
        let request = arguments::sign_in(wanted, options).await?;
        let number = broker.sign_in(request, caller.uid()).await?;
        shared.told().await;
        Ok(job_path(number))
    }

    async fn reload(&self, #[zbus(header)] header: Header<'_>) -> Result<()> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        self.persons.people().reload()?;
        shared.told().await;
        Ok(())
    }

    async fn show_policy(&self, #[zbus(header)] header: Header<'_>) -> Result<PolicyStatus> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let broker = &shared.broker;
        let in_force = broker.rules.in_force();
        let problems = in_force.standing.problems().iter();
        let problems = problems.chain(in_force.settings_problems.iter());
        let missing = broker.missing_accounts();
        Ok(PolicyStatus {
            state: in_force.standing.state().name().to_owned(),
            files: in_force.standing.policy().files().to_vec(),
            problems: problems.map(Problem::to_string).chain(missing).collect(),
            effective: in_force.standing.policy().to_toml(),
            enforced: broker.mode.enforced(),
            ..in_force
                .standing
                .bundle()
                .map(of_bundle)
                .unwrap_or_default()
        })
    }

    async fn check_bundle(
        &self,
        name: &str,
        bundle: OwnedFd,
        signature: OwnedFd,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<BundleCheck> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        Ok(super::bundle::check(&shared.broker, name, bundle, signature).await?)
    }

    async fn check_policy(
        &self,
        name: &str,
        file: OwnedFd,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<Finding>> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let found = match policy_file(name, file).await? {
            Ok(source) => super::bundle::check_file(&shared.broker, source).await?,
            Err(problem) => vec![problem],
        };
        Ok(found.into_iter().map(|p| of_file(name, p)).collect())
    }

    async fn simulate_policy(
        &self,
        name: &str,
        file: OwnedFd,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<PolicySimulation> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let source = policy_file(name, file).await?;
        let broker = shared.broker.clone();
        let simulate = move || source.map_err(|p| vec![p]).and_then(|s| broker.simulate(s));
        Ok(super::bundle::simulated(name, simulate).await?)
    }

    async fn simulate_bundle(
        &self,
        name: &str,
        bundle: OwnedFd,
        signature: OwnedFd,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<PolicySimulation> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        Ok(super::bundle::simulate(&shared.broker, name, bundle, signature).await?)
    }

    async fn explain_policy(
        &self,
        verb: &str,
        account: &str,
        actor: &str,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<PolicyDecision> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let invalid =
            |error: mooring_core::policy::Unknown| Failure::InvalidArgument(error.to_string());
        let verb: Verb = verb.parse().map_err(invalid)?;
        let actor: Actor = actor.parse().map_err(invalid)?;
        let shared = self.persons.with_account(&shared, account).await;
        let broker = &shared.broker;
        let known = shared
            .published()
            .account(account)
            .map(|view| view.account.clone());
        let decision = match known {
            Ok(account) => broker.decide(&account, verb, actor),
            // Whether somebody may sign in is asked before they have.
            Err(_)
                if verb == Verb::SignIn && mooring_core::identity::check_name(account).is_ok() =>
            {
                broker.decide_arrival(account, actor)
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut told = plan::told(&decision, verb, actor, broker.mode.enforced());
        told.known = broker.facts_asked_for().unwrap_or_default();
        Ok(told)
    }

    async fn list_receipts(
        &self,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<ReceiptSummary>> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let receipts = shared.broker.list_receipts().await?;
        let summary = |receipt: crate::receipts::Summary| ReceiptSummary {
            when: mooring_core::receipt::seconds(&receipt.signed_out_at).unwrap_or(0),
            removed: receipt.removed,
            left: receipt.left,
            path: receipt.path.into_os_string().into_vec(),
            id: receipt.id,
            identity: receipt.identity,
        };
        Ok(receipts.into_iter().map(summary).collect())
    }

    async fn read_receipt(&self, id: &str, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        Ok(shared.broker.receipts.read(id)?)
    }

    async fn diagnose(
        &self,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<mooring_api::Diagnosis>> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        Ok(shared.broker.diagnose().await)
    }

    async fn inhibit(
        &self,
        what: &str,
        who: &str,
        why: &str,
        mode: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedFd> {
        let (caller, shared) = self.persons.admit(&header).await?;
        let pid = shared.gate.process(&header, connection).await;
        let lock = arguments::inhibit((what, who, why, mode), caller.uid(), pid)?;
        Ok(shared.broker.inhibit(lock)?.into())
    }

    async fn list_inhibitors(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<Inhibitor>> {
        let (_caller, shared) = self.persons.admit(&header).await?;
        let held = shared.broker.inhibitors.list();
        Ok(held.into_iter().map(inhibitor).collect())
    }

    async fn list_refusals(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<BTreeMap<String, u64>> {
        let (_caller, _) = self.persons.admit(&header).await?;
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for shared in self.persons.seen_by(&header, connection).await? {
            for (reason, times) in shared.broker.refusals()? {
                let sum = all.entry(reason).or_default();
                *sum = sum.saturating_add(times);
            }
        }
        Ok(all)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn mode(&self) -> &'static str {
        self.persons.people().mode().name()
    }

    #[zbus(property)]
    async fn policy_state(&self) -> String {
        self.persons.policy_state().await
    }
}

fn specs(chosen: &[Chosen]) -> Vec<CollectionSpec> {
    let spec = |chosen: &Chosen| CollectionSpec {
        name: chosen.collection.name().to_owned(),
        root: chosen.root.clone(),
    };
    chosen.iter().map(spec).collect()
}

fn inhibitor(lock: inhibitors::Inhibitor) -> Inhibitor {
    Inhibitor {
        what: inhibitors::SIGN_OUT.to_owned(),
        who: lock.who,
        why: lock.why,
        mode: lock.mode.name().to_owned(),
        pid: lock.pid,
    }
}

fn of_bundle(bundle: &mooring_core::policy::bundle::Bundle) -> PolicyStatus {
    PolicyStatus {
        bundle_version: bundle.version,
        bundle_expires: bundle.expires,
        bundle_organisation: bundle.organisation.clone(),
        bundle_key: bundle.key.clone(),
        ..PolicyStatus::default()
    }
}

/// Passes for what can be a file's name.
pub(super) fn expect_name(name: &str) -> std::result::Result<(), Failure> {
    if name.len() > MAX_NAME_BYTES {
        let message = "this is no name of a file".to_owned();
        return Err(Failure::InvalidArgument(message));
    }
    Ok(())
}

/// A policy file as it is handed over; a problem when it is no text.
async fn policy_file(
    name: &str,
    file: OwnedFd,
) -> std::result::Result<std::result::Result<Source, Problem>, Failure> {
    expect_name(name)?;
    let bytes = secret::read_document(file.into(), MAX_FILE_BYTES).await?;
    Ok(Source::from_bytes(name, &bytes))
}

/// What the file of this name would change, or what is wrong with it.
pub(super) fn simulated_as_told(
    name: &str,
    simulated: std::result::Result<(Vec<Question>, Simulation), Vec<Problem>>,
) -> PolicySimulation {
    let (questions, simulation) = match simulated {
        Ok(simulated) => simulated,
        Err(problems) => {
            return PolicySimulation {
                findings: problems.into_iter().map(|p| of_file(name, p)).collect(),
                ..PolicySimulation::default()
            };
        }
    };
    let change = |change: mooring_core::policy::Change| {
        let question = questions.get(change.question)?;
        Some(PolicyChange {
            account: question.account.clone(),
            identity: question.identity.clone(),
            verb: question.verb.name().to_owned(),
            actor: question.actor.name().to_owned(),
            what: change.what.to_owned(),
            before: change.before,
            after: change.after,
            because: change.because,
        })
    };
    PolicySimulation {
        findings: Vec::new(),
        replaces: simulation.replaces.unwrap_or_default(),
        changes: simulation.changes.into_iter().filter_map(change).collect(),
        changes_total: simulation.changes_total as u64,
        conflicts: simulation
            .conflicts
            .iter()
            .map(Problem::to_string)
            .collect(),
        missing: simulation.missing,
    }
}

/// A finding about this file; one about another file names it.
pub(super) fn of_file(name: &str, problem: Problem) -> Finding {
    if problem.file == name {
        return finding(problem);
    }
    Finding {
        line: 0,
        column: 0,
        message: problem.to_string(),
    }
}

fn finding(problem: Problem) -> Finding {
    Finding {
        line: problem.line,
        column: problem.column,
        message: problem.message,
    }
}
