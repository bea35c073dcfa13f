//! The answers about a signed bundle of policy.

use std::sync::Arc;

use mooring_api::{BundleCheck, PolicySimulation};
use mooring_core::policy::bundle::{Bundle, MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES};
use mooring_core::policy::{Problem, Simulation, Source, State};
use zbus::OwnedFd;

use super::manager::{expect_name, of_file, simulated_as_told};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::questions::Question;
use crate::{rules, secret};

/// Reads and checks a bundle that was handed over, and what it would contradict.
pub(super) async fn check(
    broker: &Arc<Broker>,
    name: &str,
    bundle: OwnedFd,
    signature: OwnedFd,
) -> Result<BundleCheck, Failure> {
    expect_name(name)?;
    let signed = read(bundle, signature).await?;
    let (file, broker) = (name.to_owned(), broker.clone());
    let check = move || {
        let bundle = open(&broker, &file, &signed)?;
        let mut found = beside_the_others(&broker, broker.simulate_bundle(bundle.clone()));
        if bundle.expired(broker.clock.now()) {
            let message = "it has expired: renew it".to_owned();
            found.push(Problem::of_file(&file, message));
        }
        Ok((bundle, found))
    };
    let found = |problems: Vec<Problem>| problems.into_iter().map(|p| of_file(name, p)).collect();
    Ok(match elsewhere(check).await? {
        Ok((bundle, problems)) => BundleCheck {
            findings: found(problems),
            ..told(bundle)
        },
        Err(problems) => BundleCheck {
            findings: found(problems),
            ..BundleCheck::default()
        },
    })
}

/// Checks a policy file that was handed over, and what it would contradict.
pub(super) async fn check_file(
    broker: &Arc<Broker>,
    source: Source,
) -> Result<Vec<Problem>, Failure> {
    let broker = broker.clone();
    let check = move || {
        let found = mooring_core::policy::check(&source);
        match found.is_empty() {
            true => beside_the_others(&broker, broker.simulate(source)),
            false => found,
        }
    };
    elsewhere(check).await
}

/// What would contradict itself or what is in force, or be too much with it. Where that cannot be
/// told, because what is in force cannot be read, this says nothing about the file.
fn beside_the_others(
    broker: &Broker,
    simulated: Result<(Vec<Question>, Simulation), Vec<Problem>>,
) -> Vec<Problem> {
    match simulated {
        Ok((_, simulation)) => simulation.conflicts,
        Err(_) if broker.rules.in_force().standing.state() == State::Invalid => Vec::new(),
        Err(problems) => problems,
    }
}

/// Reads a bundle that was handed over, and what it would change.
pub(super) async fn simulate(
    broker: &Arc<Broker>,
    name: &str,
    bundle: OwnedFd,
    signature: OwnedFd,
) -> Result<PolicySimulation, Failure> {
    expect_name(name)?;
    let signed = read(bundle, signature).await?;
    let (file, broker) = (name.to_owned(), broker.clone());
    let simulate = move || broker.simulate_bundle(open(&broker, &file, &signed)?);
    simulated(name, simulate).await
}

/// A bundle that may come into force now.
fn open(
    broker: &Broker,
    name: &str,
    (bundle, signature): &(Vec<u8>, Vec<u8>),
) -> Result<Bundle, Vec<Problem>> {
    rules::check_bundle(
        &broker.folders,
        name,
        (bundle, signature),
        broker.clock.now(),
    )
}

/// A signature costs milliseconds, and so do a MiB of rules and many decisions: others are served
/// meanwhile.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::Internal(error.to_string()))
}

/// What a simulation answers.
pub(super) async fn simulated(
    name: &str,
    simulate: impl FnOnce() -> Result<(Vec<Question>, Simulation), Vec<Problem>> + Send + 'static,
) -> Result<PolicySimulation, Failure> {
    Ok(simulated_as_told(name, elsewhere(simulate).await?))
}

async fn read(bundle: OwnedFd, signature: OwnedFd) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let bundle = secret::read_document(bundle.into(), MAX_BUNDLE_BYTES).await?;
    let signature = secret::read_document(signature.into(), MAX_SIGNATURE_BYTES).await?;
    Ok((bundle, signature))
}

fn told(bundle: Bundle) -> BundleCheck {
    BundleCheck {
        findings: Vec::new(),
        files: bundle.files.into_iter().map(|file| file.path).collect(),
        organisation: bundle.organisation,
        version: bundle.version,
        expires: bundle.expires,
        key: bundle.key,
    }
}
