//! What a sign-out would do: facts of the worker, policy, and the consent that both add up to.

use std::collections::BTreeSet;

use mooring_api as api;
use mooring_core::collection::Collection;
use mooring_core::plan::{Consent, Fate};
use mooring_core::policy::{Actor, Data, Decision, Verb};
use mooring_wire::{CollectionFacts, PlanFacts};

use crate::account::Account;
use crate::audit::Subject;
use crate::broker::Broker;
use crate::failure::Failure;

impl Broker {
    /// Whether policy lets an actor begin to sign the account out now, keeping these collections.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`] names who says so, where, why, and whom to ask;
    /// [`Failure::BackupRequired`] as well.
    pub fn expect_to_begin(
        &self,
        account: &Account,
        actor: Actor,
        keep: &[Collection],
    ) -> Result<Decision, Failure> {
        let decision = self.decide_sign_out(account, actor, keep, true);
        self.audit(Subject::of(account, Verb::SignOut, actor), &decision);
        permitted(decision, account, keep)
    }

    /// Whether policy would let the person begin, before anybody is asked for a password. What it
    /// allows is told when it begins.
    ///
    /// # Errors
    /// As [`Broker::expect_to_begin`].
    pub fn expect_no_denial_of_sign_out(
        &self,
        account: &Account,
        keep: &[Collection],
    ) -> Result<(), Failure> {
        let actor = Actor::Person;
        let decision = self.decide_sign_out(account, actor, keep, true);
        let permitted = permitted(decision.clone(), account, keep).map(drop);
        permitted.inspect_err(|failure| {
            self.audit(Subject::of(account, Verb::SignOut, actor), &decision);
            self.count_refusal(failure);
        })
    }

    /// Whether policy lets an actor go on with signing the account out, keeping these collections.
    ///
    /// # Errors
    /// As [`Broker::expect_to_begin`].
    pub fn expect_allowed_for(
        &self,
        account: &Account,
        actor: Actor,
        keep: &[Collection],
    ) -> Result<Decision, Failure> {
        let decision = self.decide_sign_out(account, actor, keep, false);
        let permitted = permitted(decision.clone(), account, keep);
        // Each step asks again: what it was let begin was told when it began.
        if permitted.is_err() {
            self.audit(Subject::of(account, Verb::SignOut, actor), &decision);
        }
        permitted
    }

    /// Looks at the files and makes a plan. The caller holds the account.
    ///
    /// # Errors
    /// When the worker cannot look.
    pub async fn plan(&self, account: &Account, keep: &[Collection]) -> Result<api::Plan, Failure> {
        let spec = account.spec();
        let names: Vec<String> = keep.iter().map(|c| c.name().to_owned()).collect();
        let since = account.last_backup.as_ref().map_or(0, |last| last.when);
        let record_word = self.renew_record(&account.id).await;
        let (facts, last_sync) = self
            .workers
            .call_about(&account.id, |live| {
                let (spec, names) = (spec.clone(), names.clone());
                Box::pin(async move {
                    let id = spec.id.clone();
                    let attached = live.attach(spec).await?;
                    Ok((
                        live.proxy().plan(&id, names, since).await?,
                        attached.last_sync,
                    ))
                })
            })
            .await?;
        let decision = self.decide_sign_out(account, Actor::Person, keep, true);
        let digest = consent(account, keep, &facts, &decision).digest();
        let mut blockers: Vec<api::Blocker> = facts
            .blockers
            .iter()
            .map(|(error, message)| api::Blocker {
                error: error.clone(),
                message: message.clone(),
            })
            .collect();
        if let Some(message) = self.inhibitors.blocked(self.uid) {
            let error = "Inhibited".to_owned();
            blockers.push(api::Blocker { error, message });
        }
        if let Some(message) = decision.backup_first() {
            let error = "BackupRequired".to_owned();
            blockers.insert(0, api::Blocker { error, message });
        }
        if let Some(message) = refusal(&decision, account, keep) {
            let error = "PolicyDenied".to_owned();
            blockers.insert(0, api::Blocker { error, message });
        }
        let mut warnings = facts.warnings;
        warnings.push(backup_age(account, facts.since, self.clock.now()));
        Ok(api::Plan {
            digest,
            verb: Verb::SignOut.name().to_owned(),
            identity: account.identity.clone(),
            storage: account.storage.clone(),
            collections: collections(account, keep, facts.collections),
            blockers,
            warnings: warnings.into_iter().chain(record_word).collect(),
            policy: told(
                &decision,
                Verb::SignOut,
                Actor::Person,
                self.mode.enforced(),
            ),
            last_sync,
        })
    }
}

/// The decision, if a sign-out may go by it.
fn permitted(
    decision: Decision,
    account: &Account,
    keep: &[Collection],
) -> Result<Decision, Failure> {
    if let Some(refusal) = refusal(&decision, account, keep) {
        return Err(Failure::PolicyDenied(refusal));
    }
    match decision.backup_first() {
        Some(said) => Err(Failure::BackupRequired(said)),
        None => Ok(decision),
    }
}

/// How old the last backup is. It is a warning and nothing that is consented to.
fn backup_age(account: &Account, since: u64, now: u64) -> String {
    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;
    let Some(last) = &account.last_backup else {
        return "No backup was made.".to_owned();
    };
    let ago = |n: u64, unit: &str| match n {
        1 => format!("1 {unit} ago"),
        n => format!("{n} {unit}s ago"),
    };
    let when = match now.saturating_sub(last.when) {
        age if age < HOUR => "less than an hour ago".to_owned(),
        age if age < DAY => ago(age / HOUR, "hour"),
        age => ago(age / DAY, "day"),
    };
    let missing = match last.missing {
        0 => String::new(),
        n => format!(", without {n} of the files"),
    };
    let later = match since {
        0 => String::new(),
        1 => "; 1 file came or changed since and may not be in it".to_owned(),
        n => format!("; {n} files came or changed since and may not be in it"),
    };
    let path = mooring_core::receipt::readable(&last.path);
    format!("Last backup: {when} to {path}{missing}{later}.")
}

/// Why policy does not let this happen; nothing when it does.
fn refusal(decision: &Decision, account: &Account, keep: &[Collection]) -> Option<String> {
    if let Some(refusal) = decision.refusal() {
        return Some(refusal);
    }
    let kept = |chosen: &crate::account::Chosen| keep.contains(&chosen.collection);
    let demand = match decision.data {
        Data::Keep if !account.collections.iter().all(kept) => {
            "the data has to stay on this device: keep every collection (--keep all)"
        }
        Data::Remove if account.collections.iter().any(kept) => {
            "the data has to be removed from this device: keep no collection"
        }
        Data::Conflict => "the rules about the data contradict each other",
        Data::Keep | Data::Remove | Data::Ask if decision.allowed => return None,
        _ => "this is not allowed",
    };
    Some(format!("{demand}. {}", decision.explanation.join(" ")))
}

/// What the person consents to.
fn consent(
    account: &Account,
    keep: &[Collection],
    facts: &PlanFacts,
    decision: &Decision,
) -> Consent {
    let losses = |collection: Collection| -> BTreeSet<String> {
        facts
            .collections
            .iter()
            .filter(|found| found.name == collection.name())
            .flat_map(|found| found.losses.iter().cloned())
            .collect()
    };
    let fates = account.collections.iter().map(|chosen| Fate {
        collection: chosen.collection,
        root: chosen.root.clone(),
        keep: keep.contains(&chosen.collection),
        losses: losses(chosen.collection),
    });
    Consent {
        account: (account.id.clone(), account.sign_in_id.clone()),
        verb: Verb::SignOut.name().to_owned(),
        storage: (account.storage.clone(), account.storage_id.clone()),
        fates: fates.collect(),
        policy: (decision.allowed, decision.data.name().to_owned()),
    }
}

/// The collections of a plan, in the account's order; one that the worker says nothing about has
/// no files.
fn collections(
    account: &Account,
    keep: &[Collection],
    mut facts: Vec<CollectionFacts>,
) -> Vec<api::PlanCollection> {
    let mut plan = Vec::with_capacity(account.collections.len());
    for chosen in &account.collections {
        let name = chosen.collection.name();
        let found = match facts.iter().position(|found| found.name == name) {
            Some(index) => facts.swap_remove(index),
            None => CollectionFacts::default(),
        };
        let copied = found.verified.saturating_add(found.unsynced);
        plan.push(api::PlanCollection {
            name: name.to_owned(),
            root: chosen.root.clone(),
            keep: keep.contains(&chosen.collection),
            items: found.items.files,
            bytes: found.items.bytes,
            here_before: found.here_before,
            unsynced: found.unsynced,
            to_read_back: found.items.files.saturating_sub(copied),
            held: found.held,
            conflicts: found.conflicts,
            hard_links: found.hard_links,
            stays: found.skipped,
            stays_names: found.skipped_names,
            losses: found.losses,
        });
    }
    plan
}

/// The collections of an account as clients see them.
pub fn statuses(account: &Account, facts: &[CollectionFacts]) -> Vec<api::CollectionStatus> {
    let status = |chosen: &crate::account::Chosen| {
        let name = chosen.collection.name();
        let found = facts
            .iter()
            .find(|found| found.name == name)
            .cloned()
            .unwrap_or_default();
        api::CollectionStatus {
            name: name.to_owned(),
            root: chosen.root.clone(),
            mode: "sync".to_owned(),
            items: found.items.files,
            bytes: found.items.bytes,
            unsynced: found.unsynced,
            held: found.held,
            conflicts: found.conflicts,
            verified: found.verified,
            here_before: found.here_before,
            skipped: found.skipped,
            bad_lines: found.bad_lines,
        }
    };
    account.collections.iter().map(status).collect()
}

/// A decision for clients.
pub fn told(decision: &Decision, verb: Verb, actor: Actor, enforced: bool) -> api::PolicyDecision {
    let denials = decision.denials.iter().map(|denial| api::Denial {
        organisation: denial.organisation.clone(),
        rule: denial.rule.clone(),
        file: denial.file.clone(),
        line: denial.line,
        reason: denial.reason.clone(),
        contact: denial.contact.clone(),
    });
    api::PolicyDecision {
        verb: verb.name().to_owned(),
        actor: actor.name().to_owned(),
        allowed: decision.allowed,
        data: decision.data.name().to_owned(),
        denials: denials.collect(),
        explanation: decision.explanation.clone(),
        known: String::new(),
        enforced,
    }
}
