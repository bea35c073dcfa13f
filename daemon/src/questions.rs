//! What policy is asked: the facts of a question, gathered from what the broker knows, and the
//! refusals that follow. What policy answers is `mooring_core::policy`'s.

use mooring_core::collection::Collection;
use mooring_core::policy::bundle::Bundle;
use mooring_core::policy::{
    Actor, Circumstances, Decision, Facts, Problem, Simulation, Source, TakenBackup, Verb,
    simulate, simulate_bundle,
};

use crate::account::{Account, LastBackup};
use crate::audit::Subject;
use crate::broker::Broker;
use crate::circumstances;
use crate::failure::Failure;
use crate::jobs::sign_in::Wanted;
use crate::terms::LOCAL;

impl Broker {
    /// What policy says about a verb, as an actor would begin it now.
    pub fn decide(&self, account: &Account, verb: Verb, actor: Actor) -> Decision {
        let facts = self.facts(account, verb, actor);
        self.rules.in_force().standing.decide(&facts)
    }

    /// What policy says about a sign-out that an actor wants and that keeps these collections:
    /// one that would begin now, or one that is under way and began when it was allowed to.
    pub fn decide_sign_out(
        &self,
        account: &Account,
        actor: Actor,
        keep: &[Collection],
        begins: bool,
    ) -> Decision {
        let facts = self.facts(account, Verb::SignOut, actor);
        let facts = Facts {
            removes: facts.collections.iter().any(|c| !keep.contains(c)),
            begins: facts.begins.filter(|_| begins),
            ..facts
        };
        self.rules.in_force().standing.decide(&facts)
    }

    fn facts(&self, account: &Account, verb: Verb, actor: Actor) -> Facts {
        let now = self.clock.now();
        Facts {
            collections: account.collections.iter().map(|c| c.collection).collect(),
            now,
            begins: Some(now),
            removes: true,
            backup: account.last_backup.as_ref().map(taken),
            circumstances: self.circumstances(),
            ..Facts::new(verb, actor, &account.provider, &account.identity)
        }
    }

    /// What is known of the device and its person now.
    fn circumstances(&self) -> Circumstances {
        Circumstances {
            metered: self.published.borrow().surroundings.metered,
            ..self.rules.in_force().circumstances.clone()
        }
    }

    /// Whether policy lets the person sign in, with these collections.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`] names who says so, where, why, and whom to ask.
    pub fn expect_sign_in(&self, wanted: &Wanted) -> Result<(), Failure> {
        let decision = self.decide_sign_in(wanted);
        self.audit(of_sign_in(wanted), &decision);
        not_denied(&decision)
    }

    /// The same before anybody is asked for a password. What it allows is told when it begins.
    ///
    /// # Errors
    /// As [`Broker::expect_sign_in`].
    pub fn expect_no_denial_of_sign_in(&self, wanted: &Wanted) -> Result<(), Failure> {
        let decision = self.decide_sign_in(wanted);
        not_denied(&decision).inspect_err(|_| self.audit(of_sign_in(wanted), &decision))
    }

    /// What policy says to the sign-in of somebody who is not here, with every collection.
    pub fn decide_arrival(&self, identity: &str, actor: Actor) -> Decision {
        let facts = Facts {
            collections: Collection::ALL.to_vec(),
            circumstances: self.circumstances(),
            ..Facts::new(Verb::SignIn, actor, LOCAL, identity)
        };
        self.rules.in_force().standing.decide(&facts)
    }

    /// What is known of the device and its person, as a sentence, where rules in force ask for it.
    pub fn facts_asked_for(&self) -> Option<String> {
        let in_force = self.rules.in_force();
        let asked = in_force.standing.policy().asks_for_circumstances();
        asked.then(|| self.circumstances().words())
    }

    /// The same of one that is under way: the policy that is in force now may be another one.
    ///
    /// # Errors
    /// As [`Broker::expect_sign_in`].
    pub fn expect_sign_in_goes_on(&self, account: &Account) -> Result<(), Failure> {
        let decision = self.decide(account, Verb::SignIn, Actor::Person);
        let subject = Subject::of(account, Verb::SignIn, Actor::Person);
        // What it allows was told when it began.
        not_denied(&decision).inspect_err(|_| self.audit(subject, &decision))
    }

    fn decide_sign_in(&self, wanted: &Wanted) -> Decision {
        let identity = wanted.identity.as_deref().unwrap_or_default();
        let facts = Facts {
            collections: wanted.collections.iter().map(|(c, _)| *c).collect(),
            circumstances: self.circumstances(),
            ..Facts::new(Verb::SignIn, Actor::Person, &wanted.provider, identity)
        };
        self.rules.in_force().standing.decide(&facts)
    }

    /// The accounts that policy requires and that are not here, as sentences.
    pub fn missing_accounts(&self) -> Vec<String> {
        let in_force = self.rules.in_force();
        let now = self.circumstances();
        in_force.standing.policy().missing(&self.present(), &now)
    }

    /// The accounts of this device, each a provider and an identity.
    fn present(&self) -> Vec<(String, String)> {
        let published = self.published.borrow();
        let accounts = published.accounts.values().map(|view| &view.account);
        accounts
            .map(|account| (account.provider.clone(), account.identity.clone()))
            .collect()
    }

    /// What a file would change for the accounts of this device; applies nothing. Answers the
    /// questions and, by their places, the changes.
    ///
    /// # Errors
    /// What is wrong with the file, or with the policy in force.
    pub fn simulate(&self, file: Source) -> Result<(Vec<Question>, Simulation), Vec<Problem>> {
        let (questions, facts, now) = self.everything_asked();
        let standing = &self.rules.in_force().standing;
        let simulation = simulate(standing, file, &facts, &self.present(), &now)?;
        Ok((questions, simulation))
    }

    /// The same for a signed bundle.
    ///
    /// # Errors
    /// As [`Broker::simulate`].
    pub fn simulate_bundle(
        &self,
        bundle: Bundle,
    ) -> Result<(Vec<Question>, Simulation), Vec<Problem>> {
        let (questions, facts, now) = self.everything_asked();
        let standing = &self.rules.in_force().standing;
        let simulation = simulate_bundle(standing, bundle, &facts, &self.present(), &now)?;
        Ok((questions, simulation))
    }

    /// Every question that can be asked about the accounts of this device.
    fn everything_asked(&self) -> (Vec<Question>, Vec<Facts>, Circumstances) {
        let accounts: Vec<Account> = {
            let published = self.published.borrow();
            let views = published.accounts.values();
            views.map(|view| view.account.clone()).collect()
        };
        // The file may ask for what no rule in force asks for.
        let now = Circumstances {
            metered: self.published.borrow().surroundings.metered,
            ..circumstances::gather(self.uid)
        };
        let mut questions = Vec::new();
        let mut facts = Vec::new();
        for account in &accounts {
            for (_, verb) in Verb::ALL {
                for (_, actor) in Actor::ALL {
                    questions.push(Question {
                        account: account.id.clone(),
                        identity: account.identity.clone(),
                        verb,
                        actor,
                    });
                    // What depends on the hour is told as hours.
                    facts.push(Facts {
                        begins: None,
                        circumstances: now.clone(),
                        ..self.facts(account, verb, actor)
                    });
                }
            }
        }
        (questions, facts, now)
    }
}

fn of_sign_in(wanted: &Wanted) -> Subject<'_> {
    Subject {
        account: "",
        identity: wanted.identity.as_deref().unwrap_or_default(),
        provider: &wanted.provider,
        verb: Verb::SignIn,
        actor: Actor::Person,
    }
}

/// Passes for what no rule denies.
///
/// # Errors
/// [`Failure::PolicyDenied`].
pub(crate) fn not_denied(decision: &Decision) -> Result<(), Failure> {
    let refusal = decision.refusal();
    refusal.map_or(Ok(()), |refusal| Err(Failure::PolicyDenied(refusal)))
}

/// What a simulation is about.
#[derive(Debug, Clone)]
pub struct Question {
    /// The account's ID.
    pub account: String,
    /// Its identity.
    pub identity: String,
    /// What would be done.
    pub verb: Verb,
    /// By whom.
    pub actor: Actor,
}

/// A backup is remembered only when all of it was read back.
fn taken(last: &LastBackup) -> TakenBackup {
    TakenBackup {
        when: last.when,
        complete: last.missing == 0,
        read_back: true,
    }
}
